"""What a cluster job needs that makes a shard of a local model's generations."""

from collections.abc import Iterable, Mapping

from .errors import DreamflowError
from .generation.model import Generation
from .generation.model_files import model_file
from .generation.models import Model

FREE_MB = 1500  # memory of a job without its model: two Snakemake processes, this library, a context
UNKNOWN_MB = 4000  # assumed memory of a model whose file is not on this machine
THREADS = 2  # of a model that does not say how many


def threads(rows: Iterable[Generation], models: Mapping[str, Model]) -> int:
    """The processors that the models use."""
    return max((models[row.model.model_id].threads or THREADS for row in rows), default=1)


def memory_mb(rows: Iterable[Generation], models: Mapping[str, Model]) -> int:
    """The memory of a job that loads the models of `rows` in turn: that of the largest model, plus FREE_MB."""
    sizes = []
    for name in {models[row.model.model_id].source for row in rows}:
        try:
            sizes.append(round(1.5 * model_file(name).stat().st_size / 1e6))
        except (DreamflowError, OSError):
            sizes.append(UNKNOWN_MB)
    return FREE_MB + max(sizes, default=0)
