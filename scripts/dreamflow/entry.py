"""How a script ends: the entry points of `script:` rules, which run in processes of their own."""

import sys
from collections.abc import Callable
from pathlib import Path

from .errors import DreamflowError
from .files import write_atomic


def tell(line: str) -> None:
    """Progress: a line on the screen, or in the log of a cluster's job."""
    print(line, file=sys.stderr, flush=True)


def attempt(log: Path | str, work: Callable[[], None]) -> None:
    """Run a script; on a `DreamflowError`, write its message to the log file, show it and exit."""
    try:
        work()
    except DreamflowError as error:
        write_atomic(log, f"{error}\n")
        sys.exit(str(error))
    except KeyboardInterrupt:
        sys.exit("interrupted")
