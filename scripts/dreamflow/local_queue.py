"""The order in which models of this process work: a model that is loaded goes on while it has something to do."""

import threading
from collections import Counter, defaultdict
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
        self.running: Counter[str] = Counter()
        self.changed = threading.Condition()
        self.number = count()
        for place in range(size):
            threading.Thread(target=self._work, name=f"local-{place}", daemon=True).start()

    def submit(self, model_id: str, template_id: str, work: Callable[[], object]) -> Future:
        """Do some work for a model when its turn comes."""
        future: Future = Future()
        with self.changed:
            heappush(self.waiting[model_id], (template_id, next(self.number), future, work))
            self.changed.notify()
        return future

    def _next(self) -> str | None:
        """The model that a free thread works for; None if it has to wait for the threads of another model."""
        if current := next(iter(+self.running), None):
            return current if self.waiting[current] else None
        return max((model for model, work in self.waiting.items() if work), key=self._amount, default=None)

    def _amount(self, model_id: str) -> int:
        return len(self.waiting[model_id])

    def _work(self) -> None:
        while True:
            with self.changed:
                while (model_id := self._next()) is None:
                    self.changed.wait()
                *_, future, work = heappop(self.waiting[model_id])
                self.running[model_id] += 1
            try:
                future.set_result(work())
            except BaseException as error:
                future.set_exception(error)
            finally:
                with self.changed:
                    self.running[model_id] -= 1
                    self.changed.notify_all()
