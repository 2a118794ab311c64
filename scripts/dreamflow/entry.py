"""The entry points of `script:` rules, which run in their own processes."""

import sys
from collections.abc import Callable
from pathlib import Path

from .errors import DreamflowError
from .files import write_atomic

REPORTED_STATUS = 65  # exit status of a script whose message is on the screen already


def show(line: str) -> None:
    """Show a progress line on the screen, or in the log of a cluster's job."""
    print(line, file=sys.stderr, flush=True)


def run_script(log: Path | str, work: Callable[[], None]) -> None:
    """Run a script; on a `DreamflowError`, log and show its message, and exit with `REPORTED_STATUS`."""
    try:
        work()
    except DreamflowError as error:
        write_atomic(log, f"{error}\n")
        show(str(error))
        sys.exit(REPORTED_STATUS)
    except KeyboardInterrupt:
        sys.exit("interrupted")
