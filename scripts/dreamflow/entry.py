"""The entry points of `script:` rules, which run in their own processes."""

import sys
import traceback
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from .errors import DreamflowError
from .files import write_atomic

REPORTED_STATUS = 65  # exit status of a script whose message is on the screen already


def show(line: str) -> None:
    """Show a progress line on the screen, or in the log of a cluster's job."""
    print(line, file=sys.stderr, flush=True)


def log_error(log: Path | str, error: Exception) -> str:
    """Write an error to a log file, with a traceback unless it is a `DreamflowError`; returns its message.

    On a full disk no log is written."""
    if isinstance(error, DreamflowError):
        message = text = str(error)
    else:
        message = f"{type(error).__name__}: {error} (see {log})"
        text = f"{message}\n\n{''.join(traceback.format_exception(error))}"
    with suppress(OSError):
        write_atomic(log, text.rstrip("\n") + "\n")
    return message


def run_script(log: Path | str, work: Callable[[], None]) -> None:
    """Run a script. On an error, log and show its message, and exit with `REPORTED_STATUS`."""
    try:
        work()
    except Exception as error:
        show(log_error(log, error))
        sys.exit(REPORTED_STATUS)
    except KeyboardInterrupt:
        sys.exit("interrupted")
