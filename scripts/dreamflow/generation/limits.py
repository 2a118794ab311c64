"""How fast a model may be called."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from .database import Database
from .models import Model
from .providers import CallError


class Turn:
    """A call that may be made."""

    def succeeded(self, headers: Mapping[str, str]) -> None:
        """The call was answered."""

    def failed(self, error: CallError) -> None:
        """The call failed."""


class Limits:
    """No limit."""

    def __init__(self, database: Database | None = None) -> None:
        self.database = database

    @contextmanager
    def turn(self, model: Model, tokens: int) -> Iterator[Turn]:
        """A call of this size may be made."""
        yield Turn()
