"""Whether calls of a model make sense."""

from .models import Model
from .providers import CallError


class Circuits:
    """They always do."""

    def check(self, model: Model) -> None:
        """Raise a `CallError` if they do not."""

    def succeeded(self, model: Model) -> None:
        """A call was answered."""

    def failed(self, model: Model, error: CallError) -> None:
        """A call failed."""
