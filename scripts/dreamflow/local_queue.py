"""The order in which models of this process work: a model that is loaded goes on while it has something to do."""

import threading
from collections import defaultdict
from collections.abc import Callable
from concurrent.futures import Future
from heapq import heappop, heappush
from itertools import count


class LocalQueue:
    """Threads that do work for models, `size` at a time and one model at a time; the model with most work comes next.

    Work of one template follows on each other, since its prompts share their beginnings.
    """

    def __init__(self, size: int) -> None:
        self.waiting: dict[str, list[tuple[str, int, Future, Callable[[], object]]]] = defaultdict(list)
        self.running = 0
        self.model_id = ""  # the model that works now
        self.changed = threading.Condition()
        self.number = count()
        self.to_start = size

    def submit(self, model_id: str, template_id: str, work: Callable[[], object]) -> Future:
        """Do some work for a model when its turn comes."""
        future: Future = Future()
        with self.changed:
            heappush(self.waiting[model_id], (template_id, next(self.number), future, work))
            if self.to_start:
                threading.Thread(target=self._work, name=f"local-{self.to_start}", daemon=True).start()
                self.to_start -= 1
            self.changed.notify()
        return future

    def _next(self) -> bool:
        """Whether a free thread has work; it may be for another model once the model that works has none left."""
        if not self.waiting[self.model_id] and not self.running:
            self.model_id = max(self.waiting, key=lambda model_id: len(self.waiting[model_id]))
        return bool(self.waiting[self.model_id])

    def _work(self) -> None:
        while True:
            with self.changed:
                while not self._next():
                    self.changed.wait()
                *_, future, work = heappop(self.waiting[self.model_id])
                self.running += 1
            try:
                future.set_result(work())
            except BaseException as error:
                future.set_exception(error)
            finally:
                with self.changed:
                    self.running -= 1
                    self.changed.notify_all()
