"""Threads in a queue: only the first looks at the clock, so a thousand that wait cost nothing."""

import threading
from collections.abc import Callable

from .stopping import STOPPING, stopped

LOOK_S = 0.1  # between two looks of the first thread at whether the run was stopped


class WaitingLine:
    """A queue in the order of arrival. `lock` guards what `ready` looks at."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self._first = threading.Condition(self.lock)
        self._others = threading.Condition(self.lock)
        self._has_first = False
        self._waiting = 0

    def enter(self, ready: Callable[[], float]) -> None:
        """Wait until `ready()` is 0. It is called under `lock`, by the first of the queue; otherwise it returns the
        seconds after which it may be 0. What it raises is raised here. Raises a `CallError` if the run was stopped."""
        with self.lock:
            if self._has_first:
                self._waiting += 1
                try:
                    self._others.wait()
                finally:
                    self._waiting -= 1
            self._has_first = True
            try:
                while True:
                    if STOPPING.is_set():
                        raise stopped()
                    wait = ready()
                    if wait <= 0:
                        return
                    self._first.wait(min(wait, LOOK_S))
            finally:
                if self._waiting:
                    self._others.notify()  # the next is first now
                else:
                    self._has_first = False

    def look(self) -> None:
        """Let the first of the queue call `ready` now; under `lock`."""
        if self._has_first:
            self._first.notify()
