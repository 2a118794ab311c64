"""Whether this process is about to end."""

import threading

from .providers import CallError

STOPPING = threading.Event()  # set on Ctrl-C: calls in flight finish, no call begins, waits for busy servers end


def stopped() -> CallError:
    """The error of a call that was not made because the run was stopped."""
    return CallError("the run was stopped before this call", kind="stopped", cause="the run was stopped")
