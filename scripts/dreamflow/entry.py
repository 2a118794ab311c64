"""The entry points of `script:` rules, which run in their own processes."""

import sys
import traceback
from collections.abc import Callable
from pathlib import Path

from .errors import DreamflowError
from .files import write_atomic

REPORTED_STATUS = 65  # exit status of a script whose message is on the screen already


def show(line: str) -> None:
    """Show a progress line on the screen, or in the log of a cluster's job."""
    print(line, file=sys.stderr, flush=True)


def run_script(log: Path | str, work: Callable[[], None]) -> None:
    """Run a script. On an error, log and show its message, and exit with `REPORTED_STATUS`.

    The log has the traceback too if it is not a `DreamflowError`.
    """
    try:
        work()
    except DreamflowError as error:
        write_atomic(log, f"{error}\n")
        show(str(error))
        sys.exit(REPORTED_STATUS)
    except Exception as error:
        message = f"{type(error).__name__}: {error} (see {log})"
        write_atomic(log, f"{message}\n\n{traceback.format_exc()}")
        show(message)
        sys.exit(REPORTED_STATUS)
    except KeyboardInterrupt:
        sys.exit("interrupted")
