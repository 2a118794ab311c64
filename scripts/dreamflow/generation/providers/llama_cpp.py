"""A GGUF model in this process. The engine is imported at its first use: llama-cpp-python may not be installed."""

import sys
from collections.abc import Callable, Mapping
from types import ModuleType
from typing import TYPE_CHECKING

from ...errors import ConfigError
from .. import hub
from ..model import Response
from ..model_files import source_fingerprint
from . import Provider, Request

if TYPE_CHECKING:
    from ..models import Model


class LlamaCpp(Provider):
    """llama.cpp, through llama-cpp-python."""

    is_local = True
    is_free = True
    takes_adapters = True

    def complete(self, request: Request) -> Response:
        """Answer in this process. Raises a terminal `CallError` if the prompt does not fit into the model's context."""
        return _engine(request.model).complete(request)

    def revision(self, model: "Model") -> str:
        """A digest of the model's file, unless its revision is given; a revision at the Hub may be a branch."""
        by_content = not model.revision or model.name.startswith(hub.PREFIX)
        return source_fingerprint(model.source) if by_content else model.revision

    def written(self) -> Mapping[str, int]:
        """The tokens written so far of the answers in the slots of all loaded models."""
        # While another thread imports the module, it is there and not whole.
        written = getattr(sys.modules.get(f"{__package__}.llama_cpp_engine"), "written", None)
        return written() if written else {}

    def token_counter(self, model: "Model") -> Callable[[str], int]:
        """Count with the model's own vocabulary; its weights are not loaded."""
        return _engine(model).token_counter(model)


PROVIDER = LlamaCpp


def _engine(model: "Model") -> ModuleType:
    try:
        from . import llama_cpp_engine
    except (ImportError, OSError, RuntimeError) as error:  # the last two: a build for another machine
        raise ConfigError(
            f"model {model.model_id}: llama-cpp-python cannot be loaded ({error}). Install it with `make run`, "
            "or use a model on a server"
        ) from None
    return llama_cpp_engine
