"""Progress and errors of `script:` rules, which run in their own processes."""

import sys
from collections.abc import Callable
from pathlib import Path

from .errors import DreamflowError
from .files import write_atomic


def show(line: str) -> None:
    """Show a line on the screen, or in the log of a cluster job."""
    print(line, file=sys.stderr, flush=True)


def run_script(log: Path | str, work: Callable[[], None]) -> None:
    """Run `work`; on a `DreamflowError`, write its message to the log file, show it and exit."""
    try:
        work()
    except DreamflowError as error:
        write_atomic(log, f"{error}\n")
        sys.exit(str(error))
    except KeyboardInterrupt:
        sys.exit("interrupted")
