"""A run of the workflow: the compiled plan with what it takes to carry it out. The rules call it and the families."""

import re
import signal
import sys
import traceback
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType
from typing import Any

from .errors import DreamflowError
from .files import write_atomic
from .generation.digest import Freshness
from .generation.ledger import Ledger
from .generation.make import Context, answer_generation, evidence_path, make_generation, not_made
from .generation.model import Generation, Result
from .generation.providers import human, provider
from .generation.respond import STOPPING
from .pack_jobs import PackJobs
from .plan import compile_plan
from .upkeep import forecast_text, missing_keys, preview

SHOWN_PROBLEMS = 10  # on the screen; each has a log file
REPORTED = "the reason was shown when it happened"  # in errors that are raised after their message was shown


class Run:
    """The plan of a configuration and the state of one process that makes it.

    `in_job`: this is no run but a job of one, in a process of its own; `dry`: nothing may be written. `force(path)`
    makes Snakemake run the job that writes `path`, whatever its own notes say.
    """

    def __init__(
        self, config: Mapping[str, Any], force: Callable[[str], None], *, in_job: bool = False, dry: bool = False
    ) -> None:
        self.plan = compile_plan(config)
        self.settings, self.layout = self.plan.world.settings, self.plan.world.layout
        self.families = self.plan.families
        self.force, self.in_job, self.dry = force, in_job, dry
        self.ledger = Ledger(self.layout.ledger)
        self.problems: list[str] = []  # jobs that failed
        self.shown: list[str] = []  # tables that the end of the run shows
        self.missing: set[str] = set()  # lines on missing keys that were shown
        self.seen: dict[str, None] = {}  # the generations of the jobs that Snakemake considers
        self.forecast_shown = False
        self.freshness = Freshness(self.plan.find, self.layout, self.plan.world.kept)
        self.packs = PackJobs(self.plan, self.freshness.is_stale, in_job=in_job)
        self.context = Context(
            layout=self.layout,
            texts=self.plan.world.catalog.texts,
            models=self.plan.models,
            origin=self.plan.world.origin,
            call_attempts=self.settings.call_attempts,
            local=lambda row: self.plan.family_of_stage[row.stage].local_text(row),
            on_answer=self.ledger.answered,
            on_done=self._on_done,
        )

    def _on_done(self, result: Result) -> None:
        self.freshness.forget()
        self.ledger.made(result)

    # --- look-ups: input functions of the rules ---

    def look_up(self, find: Callable[..., Any], *arguments: str) -> Any:
        """The result of an input function; on an error, show its message and raise one that says only that."""
        try:
            return find(*arguments)
        except (DreamflowError, OSError) as error:
            self.ledger.show(str(error))
            raise RuntimeError(REPORTED) from None

    def row(self, gen_id: str) -> Generation:
        """A planned generation."""
        row = self.plan.find(gen_id)
        if row is None:
            raise DreamflowError(f"no configured spec plans a generation {gen_id}")
        return row

    def is_stale(self, gen_id: str) -> bool:
        """Whether a generation has to be made, in this run and not only in this job."""
        return not self.in_job and self.freshness.is_stale(gen_id)

    def inputs(self, gen_id: str) -> list[str]:
        """The files that a generation reads: its parents', and a person's answer once there is one.

        A stale generation is forced: what decides is its digest, not the times of files or Snakemake's notes.
        """
        row = self.row(gen_id)
        self.seen[gen_id] = None
        if self.is_stale(gen_id):
            self.force(self.layout.metadata(row.stage, gen_id))
        folders = [self.plan.folder(parent) for parent in row.parents]
        files = [
            f"{folder}/{name}"
            for folder in folders
            for name in (self.layout.parsed_name(folder.parent.name), "metadata.json")
        ]
        if row.mode == "human" and (answer := human.answer_path(self.layout.inbox, gen_id)).exists():
            files.append(str(answer))
        return files

    def pack_inputs(self, pack_id: str) -> list[str]:
        """The files that the generations of a pack read."""
        return list(dict.fromkeys(path for gen_id in self.packs.rows(pack_id) for path in self.inputs(gen_id)))

    def evidence(self, gen_id: str) -> list[str]:
        """The file with what was measured about a generation's parent, if its prompt has that."""
        row = self.row(gen_id)
        return [str(evidence_path(row, self.layout))] if row.evidence else []

    def is_local(self, gen_id: str) -> int:
        """1 if a model in this process answers, else 0."""
        row = self.row(gen_id)
        in_process = row.model is not None and provider(row.model.provider).is_local
        return int(in_process and gen_id not in self.packs.of)

    def targets(self, goal: str) -> list[str]:
        """The files that a target rule makes."""
        return self.plan.targets(goal)

    def retry_targets(self) -> list[str]:
        """The default target, and everything that is known and failed or was skipped."""
        known = [row for row in self.plan.generations.values() if self.plan.folder(row.gen_id).exists()]
        return [*self.targets("all"), *(self.layout.metadata(row.stage, row.gen_id) for row in known)]

    def gen_id_pattern(self) -> str:
        """A pattern of the ids that rules make. What a selection keeps is an input, and no rule's output."""
        kept = "|".join(map(re.escape, self.plan.world.kept))
        return (f"(?!(?:{kept})/)" if kept else "") + "[a-z]_[0-9a-z-]+"

    def wildcard_patterns(self) -> dict[str, str]:
        """A pattern for each wildcard of the families' rules, which matches the names that there are."""
        return {name: "|".join(map(re.escape, values)) or "(?!)" for name, values in self.plan.wildcards().items()}

    def job_file(self, rule: str, wildcards: Any, job: Callable[..., str], makes: str) -> list[str]:
        """The file `data/jobs/<rule>/<wildcards>.json` with the text `job(*wildcards)`, written when that has changed.

        A dry run writes nothing; it forces `makes`, the pattern of an output of the rule, instead.
        """
        text = self.look_up(job, *wildcards)
        path = self.layout.root / "jobs" / rule / f"{'/'.join(wildcards) or 'all'}.json"
        current = path.read_text(encoding="utf-8") if path.exists() else None
        if current != text and not self.in_job:
            if self.dry:
                self.force(makes.format(**wildcards))
            else:
                write_atomic(path, text)
        return [str(path)] if path.exists() else []

    def always(self, *makes: str) -> list[str]:
        """No input file; makes sure that the rule that writes `makes` runs whenever it is a part of the run."""
        if not self.in_job:
            for file in makes:
                self.force(file)
        return []

    # --- jobs ---

    def make(self, gen_id: str, log: str) -> None:
        """Make one generation."""
        row = self.row(gen_id)

        def work() -> None:
            try:
                self.packs.check(gen_id)
                make_generation(row, self.context, [self.plan.folder(parent) for parent in row.parents])
            except DreamflowError as error:
                raise DreamflowError(not_made(row, error)) from None

        self.job(log, work)

    def answer_pack(self, pack_id: str, log: str) -> None:
        """Answer the generations of a pack; what cannot be answered is in the log, and reported by their own jobs."""

        def answer(row: Generation) -> None:
            answer_generation(row, self.context, [self.plan.folder(parent) for parent in row.parents])

        self.job(log, lambda: self.packs.answer(pack_id, answer, log))

    def job(self, log: str, work: Callable[[], str | None]) -> None:
        """Do the work of a job; the text that it returns is shown when the run ends.

        Whatever fails is one plain line on the screen and in the log file, which has the traceback of what is not a
        `DreamflowError`; then an error is raised that says only that.
        """
        try:
            shown = work()
        except Exception as error:
            known = isinstance(error, DreamflowError)
            message = str(error) if known else f"{type(error).__name__}: {error} (see {log})"
            write_atomic(log, f"{message}\n" if known else f"{message}\n\n{traceback.format_exc()}")
            self.problems.append(log)
            if len(self.problems) <= SHOWN_PROBLEMS:
                self.ledger.show(message)
            raise RuntimeError(REPORTED) from None
        if shown:
            self.shown.append(shown)

    def report_failure(self, rule: str, reason: str | None, logs: Sequence[str]) -> None:
        """Show that a job of a cluster failed: its own message, as far as it left one, and where its logs are."""
        written = [path for path in logs if Path(path).exists() and Path(path).stat().st_size]
        own = Path(logs[0]).read_text(encoding="utf-8").strip() if logs[:1] == written[:1] != [] else ""
        where = f"see {' and '.join(written)}" if written else "it left no log"
        self.ledger.show(f"rule {rule} failed: {own or reason or 'no reason is known'}\n  {where}")

    def expect_more(self, *stages: str) -> None:
        """After a job that made deferred generations of these stages known: pack them, count them in the progress, and
        show the keys that they lack."""
        self.freshness.forget()
        self.packs.form()
        self.packs.write()
        rows = [row for row in self.plan.deferred().values() if row.stage in stages or not stages]
        due = [row for row in rows if self.freshness.is_stale(row.gen_id)]
        for stage, count in Counter(row.stage for row in due).items():
            self.ledger.planned[stage] = max(self.ledger.planned[stage], self.ledger.done[stage] + count)
        self._show_missing_keys(due)

    # --- before and after a run ---

    def forecast_text(self) -> str:
        """What this run would call and cost, as a table, and a line for each key that is missing."""
        return forecast_text(self.plan, self.context, self.seen, self.freshness.is_stale)

    def estimate(self, path: str) -> None:
        """Write the forecast of the default target to a file, and show it."""
        self.seen |= dict.fromkeys(self.plan.world.generations)
        text = self.forecast_text()
        write_atomic(path, text + "\n")
        print(text, file=sys.stderr)

    def start(self, rules: Iterable[str]) -> None:
        """Begin showing progress, and listen for Ctrl-C; `rules` names the rule of every job that will run."""
        usual = signal.getsignal(signal.SIGINT)

        def interrupt(number: int, frame: FrameType | None) -> None:
            STOPPING.set()
            if callable(usual):
                usual(number, frame)

        signal.signal(signal.SIGINT, interrupt)
        self.packs.write()
        counts = Counter(rules)
        self.ledger.start({stage: counts[stage] for stage in self.plan.family_of_stage if counts[stage]})
        expected, _ = preview(self.plan)
        later = [row for gen_id, row in expected.items() if self.plan.find(gen_id) is None]
        self._show_missing_keys([*(self.row(gen_id) for gen_id in self.seen if self.is_stale(gen_id)), *later])

    def _show_missing_keys(self, due: Iterable[Generation]) -> None:
        """Show which keys these generations lack, each line once in a run."""
        for line in missing_keys(self.plan, due):
            if line not in self.missing:
                self.missing.add(line)
                self.ledger.show(line)

    def finish(self, *, ok: bool) -> None:
        """Say what this run did, what it could not do, and where to look."""
        self.ledger.stop()
        self.ledger.count_all()
        for line in self.ledger.summary(self.shown):
            print(line, file=sys.stderr)
        if self.problems:
            print(f"{len(self.problems):,} jobs failed: see {self.layout.root}/logs/", file=sys.stderr)
        if not ok:
            print("All answers so far are in the store; the same command goes on from here.", file=sys.stderr)

    @property
    def now(self) -> str:
        """The time, as ISO 8601."""
        return datetime.now(UTC).isoformat()
