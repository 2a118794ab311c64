"""A run of the workflow: the compiled plan and the state of its execution. The rules call it and the families."""

import re
import sys
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from functools import partial

from . import cluster, telemetry
from .cycles import this_night
from .errors import DreamflowError
from .family import Report
from .files import write_atomic
from .generation import hub
from .generation.batches import Batches, goes_in_batches
from .generation.calls import Calls
from .generation.database import DatabaseError
from .generation.digest import Freshness
from .generation.make import Context, evidence_path, failure_message, make_generation
from .generation.model import Generation, Json, Result
from .generation.models import Model
from .generation.providers import human
from .generation.rows import Rows
from .generation.store import run_totals
from .interrupts import stop_on_signals
from .jobs import REPORTED, JobError, Jobs
from .nights.totals import note_run
from .plan import compile_plan
from .run_budgets import check_prices, configured_budgets, labels, run_name
from .run_progress import Progress, kind_of
from .run_reports import report_lines, reports_of
from .settings import in_config
from .shard_files import ShardFile, ShardRecords
from .shard_jobs import Pools, ShardJobs
from .shards import MAIN, is_local
from .upkeep import failed_generations, forecast_lines, forecast_text, missing_files, missing_keys, preview


class Run(Jobs):
    """The plan of a configuration and the state of one process that carries it out; arguments as in `Jobs`, and how
    many generations the jobs of shards may make at the same time."""

    def __init__(
        self,
        config: Mapping[str, Json],
        force: Callable[[str], None],
        *,
        in_job: bool = False,
        dry: bool = False,
        pools: Pools | None = None,
    ) -> None:
        self.plan = compile_plan(config)
        run = run_name(in_job=in_job)
        with in_config(config):
            self.budgets = configured_budgets(self.plan.world.settings, run)
            if self.plan.world.settings.telemetry:
                telemetry.check_installed()
        super().__init__(self.plan.world.layout, force, in_job=in_job, dry=dry)
        self.settings, self.families = self.plan.world.settings, self.plan.families
        self.missing: set[str] = set()  # lines on missing keys that were shown
        self.seen: dict[str, None] = {}  # the generations whose jobs Snakemake considers
        self.goals: dict[str, None] = {}  # the target rules whose files were looked up
        self.redraws: set[str] = set()  # generations that a dry run of retry_failed would draw again
        self.retried: set[str] = set()  # those, and their descendants
        self.forecast_shown = False
        self.has_failed_silently = False  # a job failed without a message of ours
        self.batches = Batches(
            self.layout.store,
            self.plan.models,
            self._is_batch,
            self.display.show,
            attempts=self.settings.call_attempts,
            run=run,
            on_answer=self.display.record_answer,
        )
        if not (in_job or dry):
            self.batches.collect()
        shards = self.plan.world.shards
        records = ShardRecords(shards) if shards else None
        recorded = {"recorded": records.entry} if records else {}
        if records:
            self.plan.world.summaries.stored = records.summary
        self.freshness = Freshness(
            self.plan.find, self.layout, self.plan.world.kept, self.batches.is_waiting, **recorded
        )
        calls = Calls(
            self.layout.store,
            self.plan.models,
            attempts=self.settings.call_attempts,
            run=run,
            budgets=self.budgets,
            labels=partial(labels, self.plan, run),
            on_answer=self.display.record_answer,
            batches=self.batches,
        )
        self.spans = telemetry.Telemetry(run, self.display.show) if self.settings.telemetry and not dry else None
        if self.spans:
            calls.traced = self.spans.call
        self.context = Context(
            layout=self.layout,
            texts=self.plan.world.catalog.texts,
            models=self.plan.models,
            calls=calls,
            local=lambda row: self.plan.family_of_stage[row.stage].local_text(row),
            on_done=self._note_result,
            choice=self.plan.world.router.described,
        )
        self.shards = (
            ShardJobs(
                shards, records, self.freshness, self.context, pools or Pools(1, 1), self._report, self._count_kept
            )
            if shards
            else None
        )
        self.due: dict[str, None] = {}  # the generations that were stale when the run started
        self.due_shards: dict[str, bool] = {}  # the files whose jobs run; whether in this process
        self.progress = Progress(self.plan, self.context, self.display, self.problems, self.batches)

    def _is_batch(self, stage: str, model: Model) -> bool:
        return goes_in_batches(self.settings.batch, stage, model)

    def _note_result(self, row: Generation, result: Result) -> None:
        self.freshness.forget()
        self.plan.world.summaries.forget()
        self.progress.count(row, result)

    def row(self, gen_id: str) -> Generation:
        """A planned generation. Raises `DreamflowError` if the id is unknown."""
        row = self.plan.find(gen_id)
        if row is None:
            raise DreamflowError(f"no configured spec plans the generation {gen_id}")
        return row

    def is_stale(self, gen_id: str) -> bool:
        """Whether the run has to make a generation. A job in its own process forces nothing, so there it is false."""
        return not self.in_job and self.freshness.is_stale(gen_id)

    def inputs(self, gen_id: str) -> list[str]:
        """The files that a generation reads: those of its parents, and a person's answer if it exists.

        A stale generation is forced: its digest decides, not the times of files or Snakemake's records.
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

    def shard_inputs(self, path: str) -> tuple[list[str], list[str], bool]:
        """The files that the job of a shard waits for, its evidence files, and whether it has to run."""
        if self.shards is None:
            raise DreamflowError(
                f"{path}: in this configuration each generation has its own job; request a target instead"
            )
        segment, scope = self.shards.find(path)
        gen_ids = self.shards.gen_ids(path)
        self.seen |= dict.fromkeys(gen_ids)
        is_due = not self.in_job and self.shards.is_due(path, dry=self.dry)
        if is_due and segment.kind != MAIN and not (self.dry or any(map(self.is_stale, gen_ids))):
            self.shards.make(path)  # reads what is there; a cluster job would do nothing else
            is_due = False
        if is_due:
            self.force(path)
            self.due_shards[path] = False
        evidence = [f"{self.layout.root}/{file}" for file in segment.evidence]
        return self.plan.world.shards.inputs(segment, scope), evidence, is_due

    def threads(self, path: str) -> int:
        """The processors of the cluster job of a shard."""
        return cluster.threads(map(self.row, self.shards.gen_ids(path)), self.plan.models)

    def memory_mb(self, path: str) -> int:
        """The memory of the cluster job of a shard."""
        return cluster.memory_mb(map(self.row, self.shards.gen_ids(path)), self.plan.models)

    def evidence(self, gen_id: str) -> list[str]:
        """The evidence file of a generation, if it has one."""
        row = self.row(gen_id)
        return [str(evidence_path(row, self.layout))] if row.evidence else []

    def is_local(self, gen_id: str) -> int:
        """1 if a model in this process may answer for a generation, else 0."""
        return int(is_local(self.row(gen_id)))

    def has_local_models(self, path: str) -> int:
        """1 if models in this process may answer for generations of a shard, else 0."""
        segment, _ = self.shards.find(path)
        return int(segment.is_local)

    def targets(self, goal: str) -> list[str]:
        """The files that a target rule makes; says so if no spec is configured for it."""
        if goal not in self.goals and not self.in_job and (advice := self.plan.nothing_for(goal)):
            self.display.show(advice)
        self.goals[goal] = None
        return self.plan.targets(goal)

    def _reports(self, is_stale: Callable[[str], bool], *, is_done: bool) -> list[Report]:
        """The results of the families whose targets were requested; if not all was made, those that are out of date say
        so."""
        if self.in_job or self.dry:
            return []
        families, goals = self.families.values(), self.goals.keys()
        whole = [each for each in families if each.name in goals or (each.in_default_target and "all" in goals)]
        parts = [each for each in families if each not in whole and goals & {*each.goals}]
        if is_done:
            return [*reports_of(whole), *reports_of(parts, is_stale)]
        return reports_of([*whole, *parts], is_stale)

    def show_reports(self) -> None:
        """Show where the results are, where nothing had to be made."""
        found = self._reports(self.freshness.is_stale, is_done=True)
        lines = report_lines(found) if this_night() is None else []  # its journal has them
        self.display.screen.lines("\n".join(["Nothing to be done: what was requested exists.", *lines]))

    def retry_targets(self) -> list[str]:
        """The default target, and all generations that have a folder. A dry run does not mark the failed ones, so it
        notes what would be made: they, and the descendants that were skipped because of them."""
        rows = [row for row in self.plan.generations.values() if self.plan.folder(row.gen_id).exists()]
        if self.dry:
            self.redraws = set(failed_generations(self.plan))
            self.retried = set(self.redraws)
            for row in rows:
                if not self.retried.isdisjoint(row.parents):
                    self.retried.add(row.gen_id)
            self.seen |= dict.fromkeys(self.retried)
        if self.shards:
            return [*self.targets("all"), *self.plan.world.shards.files(row.gen_id for row in rows)]
        return [*self.targets("all"), *(self.layout.metadata(row.stage, row.gen_id) for row in rows)]

    def gen_id_pattern(self) -> str:
        """A pattern for the ids that rules make. Unplanned parents are inputs and not outputs of a rule."""
        kept = "|".join(map(re.escape, self.plan.world.kept))
        return (f"(?!(?:{kept})/)" if kept else "") + "[a-z]_[0-9a-z-]+"

    def wildcard_patterns(self) -> dict[str, str]:
        """A pattern for each wildcard of the families' rules, which matches the existing names."""
        return {name: "|".join(map(re.escape, values)) or "(?!)" for name, values in self.plan.wildcards().items()}

    def make(self, gen_id: str, log: str) -> None:
        """Make one generation."""
        row = self.row(gen_id)

        def work() -> None:
            try:
                make_generation(row, self.context, [self.plan.folder(parent) for parent in row.parents])
            except (DreamflowError, OSError) as error:
                self.progress.count_not_made(row, self.due)
                raise _job_error(row, error) from None

        self.job(log, work)

    def make_shard(self, path: str, log: str) -> None:
        """Make the generations of a shard."""
        self.due_shards[path] = True
        self.job(log, lambda: self.shards.make(path))

    def _report(self, row: Generation, error: Exception) -> str:
        """Log and show why a generation of a shard was not made; returns the message."""
        if isinstance(error, DreamflowError | OSError):
            error = _job_error(row, error)
        self.progress.count_not_made(row, self.due)
        return self.report(self.layout.log(row.stage, row.gen_id), error)

    def _count_kept(self, row: Generation) -> None:
        if row.gen_id in self.due:
            self.display.expect_less(row.stage, kind_of(row))

    def job(self, log: str, work: Callable[[], str | None], inputs: Iterable[str] = ()) -> None:
        """Do the work of a job, as `Jobs.job` does. If the file of a shard among the `inputs` says that generations are
        missing, the job fails, since it would need them; why they are missing was reported."""
        folder = f"{self.layout.root}/shards/"
        files = [file for path in inputs if str(path).startswith(folder) and (file := self.shards.records.read(path))]
        if missing := sum(len(file.missing) for file in files):
            write_atomic(log, f"{missing:,} generations that this job needs were not made\n")
            raise RuntimeError(REPORTED)
        super().job(log, work)

    def expect_more(self, *stages: str, of: Callable[[Generation], bool] = lambda row: True) -> None:
        """After a job that wrote a file of deferred generations of these stages: count them in the progress, and show
        missing keys. `of` says of which generations the file is, if other files have some of these stages too."""
        self.freshness.forget()
        rows = [row for row in self.plan.deferred().values() if (row.stage in stages or not stages) and of(row)]
        self._save_choices({row.gen_id for row in rows})
        due = [row for row in rows if self.freshness.is_stale(row.gen_id)]
        self.display.expect_more(Counter(row.stage for row in due), self.progress.to_call(due))
        self.display.has_later = any(self.plan.find(gen_id) is None for gen_id in preview(self.plan)[0])
        self._show_missing_keys(due)

    def _is_due(self, gen_id: str) -> bool:
        return gen_id in self.retried or self.freshness.is_stale(gen_id)

    def forecast_text(self) -> str:
        """The calls and the cost of this run as a table, missing keys, and what the providers have."""
        return forecast_text(self.plan, self.context, self.seen, self._is_due, self.redraws)

    def show_forecast(self) -> None:
        """Show the forecast of a dry run, or why it cannot be made."""
        try:
            print(self.forecast_text(), file=sys.stderr)
        except (DreamflowError, OSError) as error:
            print(f"no forecast: {error}", file=sys.stderr)

    def estimate(self, path: str) -> None:
        """Write the forecast of the default target to a file and show it."""
        self.seen |= dict.fromkeys(self.plan.needed())
        text = self.forecast_text()
        write_atomic(path, text + "\n")
        print(text, file=sys.stderr)

    def start(self, rules: Iterable[str], targets: Iterable[str] = (), command: str = "") -> None:
        """Start the progress display and handle Ctrl-C and `kill`; `rules` has the rule of every job that will run,
        `targets` and `command` say what was wanted, for other terminals."""
        stop_on_signals()
        due = Rows()  # which does not keep the rows: all together they are large
        due.source |= dict.fromkeys(filter(self.is_stale, self.seen), self.plan.with_all(self.seen))
        self.due = dict.fromkeys(due)
        counts = Counter(rules)
        if self.shards:
            counts += Counter(map(self.plan.stage, self.due))
        later = {gen_id: row for gen_id, row in preview(self.plan)[0].items() if gen_id not in self.seen}
        due.source |= dict.fromkeys(later, later)
        check_prices(self.plan, self.budgets, self.context.calls.labels, due.values())
        self._check_keys(due)
        self._save_choices()
        self._download_models(due)
        self._reports(self.due.__contains__, is_done=False)  # what is out of date says so, even if this run is killed
        self.display.has_later = bool(later)
        if not (self.in_job or counts["night"]):  # a night has its own journal, and its phases are runs
            self.progress.tell({"targets": list(targets), "command": command})
            if self.spans:
                self.spans.begin(list(targets))
        self.progress.look_up(self.due)
        planned = {stage: counts[stage] for stage in self.plan.family_of_stage if counts[stage]}
        self.display.start(planned, self.progress.to_call(due[gen_id] for gen_id in self.due))

    def _save_choices(self, more: Collection[str] = ()) -> None:
        """Write the models that trust has chosen for generations of this run: all that families plan of which a job
        needs a generation, and `more`. What no job needs is chosen when a run needs it. Jobs in other processes compile
        the same plan, so they have to find all choices of it."""
        if self.dry or self.in_job or not self.plan.world.router.has_new:
            return
        family_of = {stage.prefix: family for family in self.families.values() for stage in family.stages}
        needed = {family_of[gen_id[0]].name for gen_id in (*self.seen, *more)}

        def is_wanted(gen_id: str) -> bool:
            return family_of[gen_id[0]].name in needed and self.plan.find(gen_id) is not None

        for problem in self.plan.world.router.save(is_wanted):
            self.display.show(problem)

    def _download_models(self, due: Mapping[str, Generation]) -> None:
        """Download the files of the Hugging Face Hub that calls of this run need; cluster nodes may have no network."""
        models = [self.plan.models[model_id] for model_id in {row.model.model_id for row in due.values() if row.model}]
        if any(hub.is_missing(name) for model in models for name in (model.source, model.lora or "")):
            forecast, *_ = forecast_lines(self.plan, self.context, self.seen, self._is_due, self.redraws)
            for name in missing_files(self.plan, forecast):
                hub.download(name)

    def _check_keys(self, due: Mapping[str, Generation]) -> None:
        """Raise a `DreamflowError` if calls of this run need a key that is not set."""
        lines = missing_keys(self.plan, due.values())
        if lines:  # the answers may be in the store
            forecast, *_ = forecast_lines(self.plan, self.context, self.seen, self._is_due, self.redraws)
            needed = {line.model_id for line in forecast if line.calls}
            lines = missing_keys(self.plan, [row for row in due.values() if row.model and row.model.model_id in needed])
        if lines:
            raise DreamflowError("\n".join([*lines, "Nothing was done. Set what is missing, and run again."]))

    def _show_missing_keys(self, due: Iterable[Generation]) -> None:
        """Show which keys these generations lack, each line once in a run."""
        for line in missing_keys(self.plan, due):
            if line not in self.missing:
                self.missing.add(line)
                self.display.show(line)

    def finish(self, *, ok: bool) -> bool:
        """Show the tables, totals and failures of this run; returns whether everything was made."""
        self.display.stop()
        self.batches.submit()
        if self.spans:
            self.spans.end()
        missing: set[str] = set()
        for path, is_here in self.due_shards.items():
            if (file := self.shards.records.read(path)) is not None:
                missing |= file.missing.keys()
                if not is_here and not path.startswith(f"{self.layout.root}/shards/{MAIN}/"):
                    self._count_elsewhere(file)
        with suppress(DatabaseError):  # the reason why the run ends
            if self.context.calls.database.failed is None:  # else it would wait for a lock once more
                self.context.calls.limits.close()
            self.display.count_all(run_totals(self.layout.store, self.context.calls.run))
        is_complete = ok and not missing
        if not is_complete:
            self._show_unfinished()
        found = self._reports(self.freshness.is_stale, is_done=is_complete)
        reports = report_lines(found, self.tables) if this_night() is None else []  # its journal has them
        tables = [*self.tables, *filter(None, ["\n".join(reports)])]
        lines = [*self.display.summary(tables), *self.batches.summary(), *self.progress.ending(len(missing))]
        if not is_complete:
            lines.append("All answers are in the store. Run the same command again to continue.")
        self.display.screen.lines("\n".join(lines))
        if (night := this_night()) is not None:
            note_run(self.layout.root, night, self.display.done, [each.message for each in self.problems.all()])
        self.progress.end(is_complete=is_complete)
        self.has_failed_silently = not (is_complete or missing or self.problems.total())
        return is_complete

    def _show_unfinished(self) -> None:
        """Let families make what has its answers, and say what a run that ends before all is made has cost."""
        for family in self.families.values() if not (self.in_job or self.dry) else ():
            try:
                self.tables += filter(None, [family.unfinished(self.goals)])
            except (DreamflowError, OSError) as error:
                self.display.show(str(error))

    def _count_elsewhere(self, file: ShardFile) -> None:
        """Count the generations of a job in another process, and show why some are missing."""
        made = [(self.row(gen_id), entry.status) for gen_id, entry in file.generations.items() if gen_id in self.due]
        self.display.count_made(Counter(row.stage for row, _ in made), Counter(status for _, status in made))
        for gen_id, line in file.missing.items():
            if " was not made: " in line and self.problems.add(line, self.layout.log(self.plan.stage(gen_id), gen_id)):
                self.display.show(line)  # not that its parent is missing

    @property
    def now(self) -> str:
        """The current time in ISO 8601."""
        return datetime.now(UTC).isoformat()


def _job_error(row: Generation, error: DreamflowError | OSError) -> JobError:
    """The error of a generation that was not made."""
    if isinstance(error, OSError):  # the answer is in the store
        cause = f"{error.filename}: {error.strerror}. Make room, or make it writable, and run again"
        return JobError(failure_message(row, DreamflowError(cause)), cause=error.strerror or cause)
    return JobError(failure_message(row, error), cause=getattr(error, "cause", ""))
