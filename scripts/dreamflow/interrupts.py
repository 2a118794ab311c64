"""What Ctrl-C and `kill` do to a run."""

import os
import signal
from threading import Thread, Timer
from types import FrameType

from .generation.stopping import STOPPING

LAST_GRACE_S = 20  # to end in order after a second Ctrl-C


def stop_on_signals() -> None:
    """On Ctrl-C and `kill`, begin no call, and do what was done before. After a second Ctrl-C the process ends in any
    case: Snakemake has been seen to wait for ever for a task of its own that it had interrupted."""
    interrupted, terminated = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)

    def interrupt(number: int, frame: FrameType | None) -> None:
        if STOPPING.is_set():
            watch = Timer(LAST_GRACE_S, os._exit, (128 + number,))
            watch.daemon = True
            watch.start()
        STOPPING.set()
        if callable(interrupted):
            interrupted(number, frame)

    def terminate(number: int, frame: FrameType | None) -> None:
        STOPPING.set()
        if callable(terminated):  # Snakemake's handler takes a lock that the main thread, which is here, may hold
            Thread(target=terminated, args=(number, frame), daemon=True).start()

    if interrupted is not signal.SIG_IGN:  # as it is for a process that a script has put into the background
        signal.signal(signal.SIGINT, interrupt)
    signal.signal(signal.SIGTERM, terminate)
