"""A run of the workflow: the compiled plan with what it needs to be carried out. The rules call nothing else."""

import os
import re
import signal
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType
from typing import Any

from . import upkeep
from .chunks.family import Talks, plan_text
from .cohorts.combos import Combo
from .distill.family import Lessons
from .dreams.family import Nights
from .errors import DreamflowError
from .files import canonical, sha256, write_atomic
from .generation.forecast import as_table, forecast
from .generation.ledger import Ledger
from .generation.make import (
    Context,
    answer_generation,
    call_problem,
    evidence_path,
    gen_folder,
    make_generation,
    parsed_name,
)
from .generation.models import missing_key
from .generation.packs import (
    Packs,
    answer_pack,
    extended,
    memory_mb,
    pack_path,
    problems_of,
    read_packs,
    settled,
    write_packs,
)
from .generation.providers import human
from .generation.respond import STOPPING
from .plan import STAGES, Plan, compile_plan
from .reports import CROSS_FILES, REPORT_FILES
from .settings import nest_upgrade_keys

SHOWN_PROBLEMS = 10  # on the screen; each has a log file


class Run:
    """The plan of a configuration and the state of one process that makes it (ledger, progress)."""

    def __init__(self, config: Mapping[str, Any], *, in_job: bool = False) -> None:
        """`in_job` says that this is no run but a job of one, in a process of its own."""
        self.plan: Plan = compile_plan(config)
        self.cohorts = self.plan.cohorts
        self.top_n: int = self.plan.config["results_top_n"]
        self.data = Path(self.plan.config["data_root"])
        self.ledger = Ledger(self.data / "store" / "ledger.jsonl")
        self.nights = Nights(self.plan, self.data)
        self.talks = Talks(self.plan, self.data)
        self.lessons = Lessons(self.plan, self.data)
        self.upgrade_asked = bool(self.talks.chunking and nest_upgrade_keys(config).get("upgrade"))
        self.problems: list[str] = []  # generations that could not be made
        self.shown: list[str] = []  # tables that the end of the run shows
        self.previews: set[str] | None = None  # in a dry run: targets whose forecast has been told
        self.packs = read_packs(self.data)
        if self.packs.members and not in_job:
            self.packs = settled(self.packs, self._rows(), self.data)
        if not in_job:
            self.packs = self._with_more(self.packs)
        self.context = Context(
            data_root=self.data,
            texts=self.plan.texts,
            models=self.plan.models,
            origin=self.plan.origin,
            call_attempts=self.plan.config["call_attempts"],
            local=self.nights.local_variant,
            on_answer=self.ledger.answered,
            on_done=self.ledger.made,
        )

    def _rows(self) -> dict[str, Mapping[str, Any]]:
        """The rows that may be packed by id, those first that are made first. Which chunks an upgrade or a group of
        chunks asks about is known only while it runs, and answered by the main process."""
        ordered = sorted(self.plan.generations, key=self.priority, reverse=True)
        return {gen_id: self.plan.generations[gen_id] for gen_id in ordered} | self.lessons.rows

    def _with_more(self, packs: Packs) -> Packs:
        """`packs`, and more for the rows that are in none, where the configuration asks for packs."""
        size = self.plan.config["pack"]
        if not size:
            return packs
        return extended(packs, self._rows(), self.data, self.plan.models, self.plan.origin, size)

    # --- look-ups for the rules ---

    def row(self, gen_id: str) -> Mapping[str, Any]:
        """The plan row of a generation."""
        for rows in (self.plan.generations, self.talks.rows, self.lessons.rows):
            if gen_id in rows:
                return rows[gen_id]
        return self.talks.cluster_rows[gen_id][1]

    def param(self, gen_id: str) -> str:
        """All that decides a generation's result besides its parents, as one string: Snakemake compares it."""
        return canonical(self.row(gen_id))

    def priority(self, gen_id: str) -> int:
        """Higher is earlier."""
        return self.plan.priority.get(gen_id) or self.lessons.priority.get(gen_id, 0)

    def is_local(self, gen_id: str) -> int:
        """1 if a model in this process answers, else 0."""
        model = self.row(gen_id)["model"]
        return int(gen_id not in self.packs.of and model is not None and model["provider"] == "llama_cpp")

    def folder(self, gen_id: str) -> Path:
        """The folder of a generation that is planned, or kept by a selection."""
        row = self.plan.generations.get(gen_id) or self.plan.kept[gen_id]
        return gen_folder(self.data, row["stage"], gen_id)

    def gen_ids(self) -> str:
        """The pattern of ids that rules make. What a selection keeps is an input, and nothing's output."""
        kept = "|".join(map(re.escape, self.plan.kept))
        return (f"(?!(?:{kept})/)" if kept else "") + "[a-z]_[0-9a-z-]+"

    def inputs(self, gen_id: str) -> list[str]:
        """The files that a generation reads: its parents', and a person's answer once there is one."""
        row = self.row(gen_id)
        folders = [self.folder(parent) for parent in row["parents"]]
        files = [
            str(folder / name) for folder in folders for name in (parsed_name(folder.parent.name), "metadata.json")
        ]
        if "evidence" in row:
            files.append(str(evidence_path(row, self.context)))
        if row["mode"] == "human":
            answer = human.answer_path(self.data / "inbox", gen_id)
            files += [str(answer)] if answer.exists() else []
        return files

    def pack_file(self, gen_id: str) -> list[str]:
        """The file that tells that the pack of a generation has been answered, if it is in one."""
        return [str(pack_path(self.data, self.packs.of[gen_id]))] if gen_id in self.packs.of else []

    def pack_rows(self, pack_id: str) -> dict[str, Mapping[str, Any]]:
        """The rows that a pack was formed of, as far as they are still planned."""
        if pack_id not in self.packs.members:
            raise DreamflowError(f"no such pack: {pack_id}. Ask for what it is needed for: a run forms the packs")
        planned = self.plan.generations.keys() | self.lessons.rows.keys()
        return {gen_id: self.row(gen_id) for gen_id in self.packs.members[pack_id] if gen_id in planned}

    def pack_inputs(self, pack_id: str) -> list[str]:
        """The files that the generations of a pack read."""
        return list(dict.fromkeys(path for gen_id in self.pack_rows(pack_id) for path in self.inputs(gen_id)))

    def pack_param(self, pack_id: str) -> str:
        """What decides a pack besides its files."""
        return sha256(canonical(self.pack_rows(pack_id)))

    def pack_threads(self, pack_id: str) -> int:
        """The processors that the models of a pack use: as configured, else 2."""
        models = [self.plan.models[row["model"]["model_id"]] for row in self.pack_rows(pack_id).values()]
        return max((model.get("threads", 2) for model in models), default=1)

    def pack_memory_mb(self, pack_id: str) -> int:
        """The memory that a pack takes."""
        return memory_mb(self.pack_rows(pack_id).values(), self.plan.models)

    def files(self, stage: str | None = None) -> list[str]:
        """The files that tell that the generations (of a stage) are there and whole.

        That is the metadata, written last, and whatever file is missing beside it. To name all four of each would
        cost Snakemake time that grows with the square of their number.
        """
        files = []
        for gen_id, row in self.plan.generations.items():
            if stage in (None, row["stage"]):
                folder = f"{self.data}/gens/{row['stage']}/{gen_id}"
                files.append(f"{folder}/metadata.json")
                if os.path.exists(files[-1]):  # noqa: PTH110  (thousands of times)
                    others = [f"{folder}/{name}" for name in ("prompt.txt", "raw.txt", parsed_name(row["stage"]))]
                    files += [path for path in others if not os.path.exists(path)]  # noqa: PTH110
        return files

    def leaves(self, cohort: str) -> list[str]:
        """The metadata of a cohort's generations that are nobody's parent: when they are made, all are."""
        generations = self.cohorts[cohort].generations
        parents = {parent for row in generations.values() for parent in row["parents"]}
        return [f"{self.folder(gen_id)}/metadata.json" for gen_id in generations if gen_id not in parents]

    # --- what the rules do ---

    def make(self, gen_id: str, log: str) -> None:
        """Make one generation; a call that fails is told on one line, in the log file and on the screen."""
        row = self.row(gen_id)
        try:
            if gen_id in self.packs.of:
                problem = problems_of(self.data, self.packs.of[gen_id]).get(gen_id)
                if problem:
                    raise DreamflowError(problem)
            make_generation(row, self.context, [self.folder(p) for p in row["parents"]])
        except DreamflowError as error:
            problem = call_problem(row, error)
            write_atomic(log, problem + "\n")
            self.problems.append(gen_id)
            if len(self.problems) <= SHOWN_PROBLEMS:
                self.ledger.tell(problem)
            raise DreamflowError(problem) from None

    def answer_pack(self, pack_id: str, log: str) -> None:
        """Answer the generations of a pack; what cannot be answered is told in the log file, and by their own jobs."""
        rows = self.pack_rows(pack_id)

        def answer(gen_id: str) -> None:
            answer_generation(rows[gen_id], self.context, [self.folder(p) for p in rows[gen_id]["parents"]])

        gen_ids = [gen_id for gen_id in self.packs.assigned[pack_id] if gen_id in rows]

        def work() -> None:
            problems = answer_pack(pack_id, gen_ids, answer, self.data)
            if problems:
                write_atomic(log, "".join(f"{gen_id}: {line}\n" for gen_id, line in problems.items()))

        self.attempt(log, work)

    def tell_failed(self, rule: str, reason: str | None, logs: Sequence[str]) -> None:
        """Tell that a job of a cluster failed: how it says so itself, as far as it could, and where its logs are."""
        written = [path for path in logs if Path(path).exists() and Path(path).stat().st_size]
        own = Path(logs[0]).read_text(encoding="utf-8").strip() if logs[:1] == written[:1] != [] else ""
        where = f"see {' and '.join(written)}" if written else "it left no log"
        self.ledger.tell(f"rule {rule} failed: {own or reason or 'no reason is known'}\n  {where}")

    def attempt(self, log: str, work: Callable[[], None]) -> None:
        """Do the work of a job; what a person has to know if it fails is told in the log file and on the screen."""
        try:
            work()
        except DreamflowError as error:
            write_atomic(log, f"{error}\n")
            self.ledger.tell(str(error))
            raise

    def plan_upgrade(self) -> None:
        """Plan the upgrade of conversations anew, and tell the plan."""
        text = self.talks.write_plan(self.now)
        self.ledger.tell(text)
        folders = [gen_folder(self.data, "chunk", gen_id) for gen_id in self.talks.rows]
        if missing := sum(not (folder / "metadata.json").exists() for folder in folders):
            self.ledger.planned["chunk"] += missing

    def plan_lessons(self, run: str) -> None:
        """Select what a distillation learns; the ledger hears of the teacher's answers."""
        self.lessons.select(run)
        self.packs = self._with_more(self.packs)
        write_packs(self.packs, self.data)
        self.ledger.planned["answer"] += sum(not Path(path).exists() for path in self.lessons.teacher_files(run))

    def register_student(self, run: str) -> None:
        """Measure an exported student where it will work, and register it; the ledger hears of its answers."""
        self.ledger.planned["answer"] += len(self.lessons.held_out(run))
        self.lessons.register(run, self.context)

    def plan_clusters(self) -> None:
        """Group the chunks of all conversations; the ledger hears of the generations that say what they are about."""
        self.talks.plan_clusters()
        self.ledger.planned["cluster"] += sum(not Path(path).exists() for path in self.talks.cluster_files())

    def cohort_param(self, cohort: str) -> str:
        """A digest of all that a cohort plans."""
        planned = self.cohorts[cohort]
        return sha256(canonical([planned.rows, list(planned.members)]))

    def combos(self) -> dict[str, Combo]:
        """Every combination that a cohort uses."""
        return {key: combo for cohort in self.cohorts.values() for key, combo in cohort.combos.items()}

    def results_param(self, cohort: str) -> str:
        """What decides a cohort's results besides its generations."""
        return canonical([self.cohort_param(cohort), self.top_n])

    def targets(self) -> list[str]:
        """Everything that the default target makes."""
        of_cohorts = [
            f"{self.data}/{path}"
            for cohort in self.cohorts
            for path in (
                f"cohorts/{cohort}/manifest.json",
                f"cohorts/{cohort}/membership.csv",
                *(f"cohorts/{cohort}/reports/{name}" for name in REPORT_FILES),
                f"results/{cohort}",
            )
        ]
        over_all = [f"{self.data}/combo_mappings.csv", *(f"{self.data}/7_cross_experiment/{n}" for n in CROSS_FILES)]
        return [
            *self.files(),
            *of_cohorts,
            *(over_all if of_cohorts else []),
            *self.nights.targets(),
            *self.talks.targets(),
        ]

    def forecast_text(self) -> str:
        """The forecast of the whole plan, as a table, and of the upgrade of conversations that is configured."""
        text = as_table(forecast(self.plan.generations, self.context, self.plan.kept))
        if not self.upgrade_asked:
            return text
        planned = self.talks.plan_upgrade(self.now)
        self.talks.register(planned)
        return f"{text}\n{plan_text(planned)}"

    def asked(self, rule: str) -> list[str]:
        """The targets of `probe` or `distill`; a dry run tells, once, what their answers cost."""
        if self.previews is not None and rule not in self.previews:
            self.previews.add(rule)
            rows = self.lessons.probed() if rule == "probe" else self.lessons.asked()
            print(f"{rule}:", as_table(forecast(rows, self.context, {})), sep="\n", file=sys.stderr)
        return self.lessons.probe_targets() if rule == "probe" else self.lessons.targets()

    def missing_keys(self) -> list[str]:
        """A line for each environment variable that a planned model's key should come from and that is not set."""
        rows = [*self.plan.generations.values(), *self.talks.rows.values()]
        if self.ledger.planned["answer"]:
            rows += self.lessons.rows.values()
        used = Counter(row["model"]["model_id"] for row in rows if row["model"])
        return [
            f"environment variable {name} is not set: the {used[model_id]:,} generations of model {model_id} need it"
            for model_id in used
            if (name := missing_key(self.plan.models[model_id]))
        ]

    @property
    def now(self) -> str:
        """A value that no earlier run had: the parameter of a rule that has to run every time it is asked for."""
        return datetime.now(UTC).isoformat()

    def estimate(self, path: str) -> None:
        """Write the forecast to a file, and show it."""
        text = self.forecast_text()
        write_atomic(path, text + "\n")
        print(text, file=sys.stderr)

    def orphans(self, *, remove: bool) -> None:
        """List the generations that no plan names, or remove them."""
        planned = {**self.plan.kept, **self.plan.generations}.keys()
        folders = upkeep.orphans(
            self.data, planned | self.nights.earlier() | self.talks.earlier() | self.lessons.earlier()
        )
        for folder in folders:
            print(folder)
        if remove:
            upkeep.prune(folders)
        done = "removed; their answers stay in the store" if remove else "'snakemake prune' removes them"
        print(f"{len(folders):,} generations that no configured cohort plans" + (f": {done}" if folders else ""))

    def forget_failed(self, path: str) -> None:
        """Make every failed generation of the plan be drawn anew; lists their folders in a file."""
        folders = [self.folder(gen_id) for gen_id in self.plan.generations]
        folders += [gen_folder(self.data, "chunk", gen_id) for gen_id in self.talks.rows]
        folders += [gen_folder(self.data, "answer", gen_id) for gen_id in self.lessons.rows]
        failed = upkeep.forget_failed(folders)
        write_atomic(path, "".join(f"{folder}\n" for folder in failed))
        print(f"{len(failed):,} failed generations will be drawn anew", file=sys.stderr)

    def start(self, rules: Iterable[str]) -> None:
        """Begin showing progress, and listen for Ctrl-C; `rules` names the rule of every job that will run."""
        usual = signal.getsignal(signal.SIGINT)

        def interrupt(number: int, frame: FrameType | None) -> None:
            STOPPING.set()
            if callable(usual):
                usual(number, frame)

        signal.signal(signal.SIGINT, interrupt)
        write_packs(self.packs, self.data)
        counts = Counter(rules)
        self.ledger.start({stage: counts[stage] for stage in STAGES if counts[stage]})
        if self.ledger.planned:
            for line in self.missing_keys():
                print(line, file=sys.stderr)

    def finish(self, *, ok: bool) -> None:
        """Say what this run did, what it could not do, and where to look."""
        self.ledger.stop()
        self.ledger.count_all()
        for line in self.summary(ok=ok):
            print(line, file=sys.stderr)

    def summary(self, *, ok: bool) -> list[str]:
        """The closing lines of a run."""
        ledger, lines = self.ledger, ["", *(table + "\n" for table in self.shown)]
        if ledger.planned:
            made = f"{ledger.done.total():,} of {ledger.planned.total():,} generations made"
            lines.append(f"{made} · {ledger.spent()}")
        if troubled := [f"{ledger.status[s]:,} {s}" for s in ("failed", "skipped", "pending") if ledger.status[s]]:
            lines.append(
                f"{', '.join(troubled)}: see status and reason in their metadata.json; "
                "'snakemake retry_failed' draws failed ones anew"
            )
        if self.problems:
            lines.append(f"{len(self.problems):,} could not be made: see {self.data}/logs/<stage>/<gen_id>.log")
        if not ok:
            lines.append("What was answered stands in the store; the same command goes on from here.")
        return lines
