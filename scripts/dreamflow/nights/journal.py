"""The journal of a night."""

from ..files import write_atomic
from ..plan import Plan
from .state import Night


def write_journal(night: Night, plan: Plan) -> str:
    """Write the journal of a night, which ends it; returns a summary."""
    path = night.folder / "journal.md"
    write_atomic(path, "# Night\n")
    return f"The journal: {path}"
