"""The progress and the cost of this run, on the screen."""

import sys
import threading
import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from .model import Record, Result
from .providers.reading import OTHER_MODEL

if TYPE_CHECKING:
    from rich.progress import Progress

PROGRESS_INTERVAL_S = 15  # between two progress lines, if standard error is not a terminal
SHOWN_OTHERS = 5  # models that answered in place of those that were asked


class Display:
    """Shows progress and messages. Its methods may be called from any thread.

    On a terminal, progress is one line that is updated; elsewhere, a new line is printed every `PROGRESS_INTERVAL_S`.
    """

    def __init__(self) -> None:
        self.guard = threading.Lock()
        self.planned: Counter[str] = Counter()
        self.done: Counter[str] = Counter()
        self.status: Counter[str] = Counter()
        self.others: Counter[str] = Counter()  # answers of other models than were asked, by what was odd
        self.odd = 0  # other answers of which something was odd
        self.calls = self.prompt_tokens = self.cached_tokens = self.completion_tokens = 0
        self.cost_usd = 0.0
        self.started = self.last_line = time.monotonic()
        self.bar: Progress | None = None

    def start(self, planned: Mapping[str, int]) -> None:
        """Start a run; `planned` has the number of generations to make in each stage."""
        self.planned = Counter(planned)
        self.started = self.last_line = time.monotonic()
        if sys.stderr.isatty() and self.planned:
            from rich.console import Console  # which nothing else needs
            from rich.progress import BarColumn, Progress, TextColumn

            columns = (BarColumn(bar_width=24), TextColumn("{task.description}"))
            self.bar = Progress(*columns, console=Console(file=sys.stderr), transient=True)
            self.bar.add_task(self.progress_line(), total=self.planned.total())
            self.bar.start()

    def record_answer(self, record: Record) -> None:
        """Add a new answer to the totals."""
        usage = record.response.usage
        warnings = record.response.warnings or []
        others = [warning for warning in warnings if warning.startswith(OTHER_MODEL)]
        with self.guard:
            self.others.update(f"model {record.request.model.model_id}: {warning}" for warning in others)
            self.odd += bool(warnings and not others)
            self._count(1, usage.prompt, usage.cached, usage.completion, record.call.cost_usd)

    def _count(self, calls: int, prompt: int, cached: int, completion: int, cost_usd: float | None) -> None:
        self.calls += calls
        self.prompt_tokens += prompt
        self.cached_tokens += cached
        self.completion_tokens += completion
        self.cost_usd += cost_usd or 0.0

    def count_all(self, totals: Sequence[float]) -> None:
        """Set the totals: calls, prompt, cached and completion tokens, cost; those of all processes of the run."""
        with self.guard:
            self.calls = self.prompt_tokens = self.cached_tokens = self.completion_tokens = 0
            self.cost_usd = 0.0
            self._count(*totals)

    def expect_less(self, stage: str) -> None:
        """Count a planned generation that turned out to be up to date: its parents were made again, and are alike."""
        with self.guard:
            self.planned[stage] -= 1

    def count_made(self, by_stage: Counter[str], by_status: Counter[str]) -> None:
        """Count generations that other processes have made."""
        with self.guard:
            self.done += by_stage
            self.status += by_status

    def count_generation(self, result: Result) -> None:
        """Count a written generation and show the progress."""
        with self.guard:
            self.done[result.stage] += 1
            self.status[result.status] += 1
            if self.bar is not None:
                self.bar.update(self.bar.task_ids[0], advance=1, description=self.progress_line())
            elif self.planned and time.monotonic() - self.last_line > PROGRESS_INTERVAL_S:
                self.last_line = time.monotonic()
                sys.stderr.write(self.progress_line() + "\n")
                sys.stderr.flush()

    def show(self, message: str) -> None:
        """Show a message beside the progress."""
        if self.bar is not None:
            self.bar.console.print(message, style="red", markup=False, highlight=False, soft_wrap=True)
        else:
            sys.stderr.write(message + "\n")  # at once: print writes the end of the line by itself
            sys.stderr.flush()

    def stop(self) -> None:
        """End the progress display."""
        if self.bar is not None:
            self.bar.stop()
            self.bar = None

    def progress_line(self) -> str:
        """The progress: generations, calls, tokens, cost, remaining time."""
        done, planned = self.done.total(), self.planned.total()
        parts = [f"{done}/{planned} generations", self.totals()]
        if done:  # an estimate from the speed so far
            parts.append(f"about {duration((time.monotonic() - self.started) / done * (planned - done))} left")
        return " · ".join(parts)

    def summary(self, tables: Iterable[str]) -> list[str]:
        """The last lines of a run: its tables, then its totals."""
        lines = ["", *(table + "\n" for table in tables)]
        if self.planned:
            lines.append(f"{self.done.total():,} of {self.planned.total():,} generations made · {self.totals()}")
        lines += [f"{what} ({count:,} times)" for what, count in self.others.most_common(SHOWN_OTHERS)]
        if len(self.others) > SHOWN_OTHERS:
            lines.append(
                f"and {len(self.others) - SHOWN_OTHERS:,} more: see the warnings under parsed in metadata.json"
            )
        if self.odd:
            lines.append(f"{self.odd:,} answers had odd fields: see the warnings under parsed in their metadata.json")
        if counts := [f"{self.status[s]:,} {s}" for s in ("failed", "skipped", "pending") if self.status[s]]:
            lines.append(
                f"{', '.join(counts)}: see status and reason in their metadata.json; "
                "'snakemake retry_failed' draws new samples for the failed generations"
            )
        return lines

    def totals(self) -> str:
        """Calls, tokens and cost of this run."""
        tokens = f"{self.prompt_tokens + self.completion_tokens:,} tokens"
        if self.cached_tokens:
            tokens += f" ({self.cached_tokens:,} cached)"
        cost = f" · ${self.cost_usd:.4f}" if self.cost_usd else ""
        return f"{self.calls:,} calls · {tokens}{cost}"


def duration(seconds: float) -> str:
    """Seconds as text: 45 s, 3:05 min, 2:10 h."""
    seconds = round(seconds)
    if seconds < 60:
        return f"{seconds} s"
    if seconds < 3600:
        return f"{seconds // 60}:{seconds % 60:02d} min"
    return f"{seconds // 3600}:{seconds % 3600 // 60:02d} h"
