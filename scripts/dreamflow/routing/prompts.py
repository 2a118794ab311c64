"""Trust in models by prompt: the regression of `predictor`, fitted to a cycle's outcomes and kept as a file.

It is made and used if prompts are sorted by similarity (`trust.contexts.by`), from MINIMUM outcomes on.
"""

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path

from msgspec import Struct

from ..files import read_as
from .features import Topics, features, fit_topics

FILE = "prompts.json"
MINIMUM = 200  # outcomes of a class of evidence
_REMEDY = "Delete the file and run 'snakemake trust': it is made again"


class Example(Struct, frozen=True):
    """An outcome (0-1) of a model on a prompt in a context, with its weight."""

    text: str
    context: str
    model_id: str
    outcome: float
    weight: float = 1.0


class PromptTrust(Struct, frozen=True, dict=True):
    """A fitted regression as plain data: the models, the contexts, the topics, and the normal posterior."""

    models: list[str]
    contexts: list[str]
    terms: list[str]
    idf: list[float]
    components: list[list[float]]
    mean: list[list[float]]
    covariance: list[list[float]]
    variances: tuple[float, float]

    @property
    def topics(self) -> Topics | None:
        """The topics of prompts; None if there were too few prompts."""
        return Topics(self.terms, self.idf, self.components) if self.terms else None

    @cached_property
    def _predictor(self):  # noqa: ANN202
        import numpy as np

        from .predictor import Predictor

        return Predictor(np.array(self.mean), np.array(self.covariance), self.variances, len(self.contexts))

    def chances(self, text: str, context: str) -> dict[str, tuple[float, float]]:
        """(alpha, beta) of the Beta distribution of each model's success on this prompt."""
        import numpy as np

        from .predictor import beta

        indicators = [[float(context == name) for name in self.contexts]]
        alphas, betas = beta(self._predictor, np.hstack([indicators, features([text], self.topics)]))
        pairs = zip(alphas[0].tolist(), betas[0].tolist(), strict=True)
        return dict(zip(self.models, pairs, strict=True))


def fit_prompts(examples: Sequence[Example]) -> PromptTrust | None:
    """The regression of these outcomes; None for fewer than MINIMUM. Their order does not matter."""
    if len(examples) < MINIMUM:
        return None
    import numpy as np

    from .predictor import fit

    examples = sorted(examples, key=lambda one: (one.text, one.context, one.model_id, one.outcome, one.weight))
    models, contexts = (sorted({getattr(one, name) for one in examples}) for name in ("model_id", "context"))
    topics = fit_topics(sorted({one.text for one in examples}))
    indicators = np.array([[one.context == name for name in contexts] for one in examples], dtype=float)
    x = np.hstack([indicators, features([one.text for one in examples], topics)])
    known = fit(
        x,
        [models.index(one.model_id) for one in examples],
        [one.outcome for one in examples],
        len(models),
        len(contexts),
        [one.weight for one in examples],
    )
    shown = topics or Topics([], [], [])
    return PromptTrust(
        models=models,
        contexts=contexts,
        **{name: _rounded(value) for name, value in shown._asdict().items()},
        mean=_rounded(known.mean.tolist()),
        covariance=_rounded(known.covariance.tolist(), 9),
        variances=known.variances,
    )


def read_prompts(path: Path) -> dict[str, PromptTrust]:
    """The regressions in a file by class of evidence; none if there is no file. Raises a DreamflowError for a damaged
    one."""
    return read_as(path, dict[str, PromptTrust], _REMEDY) if path.exists() else {}


def with_chances(cells: Sequence, chances: Mapping[str, tuple[float, float]]) -> list:
    """The cells of models, with the posteriors on a prompt where they are known."""
    from msgspec.structs import replace

    return [
        replace(cell, alpha=own[0], beta=own[1], mean=own[0] / sum(own))
        if (own := chances.get(cell.model_id))
        else cell
        for cell in cells
    ]


def _rounded(value: object, digits: int = 5):  # noqa: ANN202
    if isinstance(value, list):
        return [_rounded(one, digits) for one in value]
    return round(value, digits) if isinstance(value, float) else value
