"""The ledger: a line for every new answer, and the progress and the cost of this run."""

import json
import os
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn

from .model import Json, Record, Result

PROGRESS_INTERVAL_S = 15  # between two progress lines, if standard error is not a terminal


class Ledger:
    """Appends to `ledger.jsonl` and shows progress. Its methods may be called from any thread.

    On a terminal, progress is one line that is updated; elsewhere, a new line is printed every `PROGRESS_INTERVAL_S`.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.guard = threading.Lock()
        self.planned: Counter[str] = Counter()
        self.done: Counter[str] = Counter()
        self.status: Counter[str] = Counter()
        self.calls = self.prompt_tokens = self.cached_tokens = self.completion_tokens = 0
        self.cost_usd = 0.0
        self.started = self.last_line = time.monotonic()
        self.bar: Progress | None = None
        self.first_byte = 0  # where this run's lines begin in the file

    def start(self, planned: Mapping[str, int]) -> None:
        """Start a run; `planned` has the number of generations to make in each stage."""
        self.planned = Counter(planned)
        self.started = self.last_line = time.monotonic()
        self.first_byte = self.path.stat().st_size if self.path.exists() else 0
        if sys.stderr.isatty() and self.planned:
            columns = (BarColumn(bar_width=24), TextColumn("{task.description}"))
            self.bar = Progress(*columns, console=Console(file=sys.stderr), transient=True)
            self.bar.add_task(self.progress_line(), total=self.planned.total())
            self.bar.start()

    def record_answer(self, record: Record) -> None:
        """Append a new answer to the file and add it to the totals."""
        usage, call = record.response.usage, record.call
        entry = {
            "at": call.at,
            "gen_id": call.gen_id,
            "stage": call.stage,
            "cohort_id": call.cohort_id,
            "model_id": record.request.model.model_id,
            "sample": record.request.sample,
            "prompt_tokens": usage.prompt,
            "cached_tokens": usage.cached,
            "completion_tokens": usage.completion,
            "cost_usd": call.cost_usd,
            "latency_s": call.latency_s,
        }
        line = json.dumps(entry, sort_keys=True) + "\n"
        with self.guard:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            handle = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
            try:
                os.write(handle, line.encode())  # a single write, so that lines of several processes do not mix
            finally:
                os.close(handle)
            self._count(entry)

    def _count(self, entry: Mapping[str, Json]) -> None:
        self.calls += 1
        self.prompt_tokens += entry["prompt_tokens"]
        self.cached_tokens += entry["cached_tokens"]
        self.completion_tokens += entry["completion_tokens"]
        self.cost_usd += entry["cost_usd"] or 0.0

    def count_all(self) -> None:
        """Set the totals from this run's lines in the file, which include those of jobs in other processes."""
        if not self.path.exists():
            return
        with self.guard, self.path.open("rb") as stream:
            stream.seek(self.first_byte)
            self.calls = self.prompt_tokens = self.cached_tokens = self.completion_tokens = 0
            self.cost_usd = 0.0
            for line in stream:
                self._count(json.loads(line))

    def count_generation(self, result: Result) -> None:
        """Count a written generation and show the progress."""
        with self.guard:
            self.done[result.stage] += 1
            self.status[result.status] += 1
            if self.bar is not None:
                self.bar.update(self.bar.task_ids[0], advance=1, description=self.progress_line())
            elif self.planned and time.monotonic() - self.last_line > PROGRESS_INTERVAL_S:
                self.last_line = time.monotonic()
                print(self.progress_line(), file=sys.stderr, flush=True)

    def show(self, message: str) -> None:
        """Show a message beside the progress."""
        if self.bar is not None:
            self.bar.console.print(message, style="red", markup=False, highlight=False, soft_wrap=True)
        else:
            print(message, file=sys.stderr, flush=True)

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
