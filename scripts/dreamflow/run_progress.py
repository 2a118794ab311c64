"""What the progress of a run is made of: its plan, the store, its problems, and the file that other terminals read."""

import threading
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence

from .cycles import this_night
from .errors import DreamflowError
from .generation.batches import Batches
from .generation.budget_use import WHOLE_RUN, BudgetUse, budget_use
from .generation.database import DatabaseError
from .generation.flights import Kind
from .generation.forecast import forecast
from .generation.make import Context
from .generation.model import Generation, Json, Result
from .generation.progress import Display
from .generation.stopping import STOPPING
from .generation.store import database
from .plan import Plan
from .problems import Problems, as_lines
from .run_status import RunFile

MOST_LOOKED_UP = 5000  # generations whose stored answers are looked for, for the time that is left
_ONLY_NOW = (
    "in_flight",
    "calls_in_flight",
    "calls_waiting",
    "jobs",
    "tokens_per_s",
    "calls_left",
    "left_s",
    "has_later",
)


def kind_of(row: Generation) -> Kind | None:
    """The stage and the model of a generation that a model answers."""
    return (row.stage, row.model.model_id) if row.mode == "llm" and row.model else None


class Progress:
    """Tells the display and other terminals what a run does. `problems` are why jobs and generations were not made."""

    def __init__(self, plan: Plan, context: Context, display: Display, problems: Problems, batches: Batches) -> None:
        self.plan, self.context, self.display, self.problems, self.batches = plan, context, display, problems, batches
        self.failures = Problems()  # generations without a usable answer
        self.file: RunFile | None = None
        self._guard = threading.Lock()
        self._children: dict[str, list[str]] | None = None
        self._lost: set[str] = set()  # generations that need one that could not be made
        display.flights = context.calls.flights
        display.budgets = self._budget_use

    def tell(self, wanted: Mapping[str, Json]) -> None:
        """Tell other terminals of this run from now on; `wanted` says what it should make."""
        file = RunFile(self.context.layout.root, {"run": self.context.calls.run, "night": this_night(), **wanted})
        self.file, self.display.on_tick = file, lambda state: file.write(self._with_problems(state))

    def _with_problems(self, state: Mapping[str, Json]) -> dict[str, Json]:
        return {**state, "failures": [*self.problems.as_json(), *self.failures.as_json()]}

    def to_call(self, rows: Iterable[Generation]) -> Counter[Kind]:
        """How many of some generations models answer in this run, by stage and model; those in batches are not."""
        kinds, models, is_batch = Counter(map(kind_of, rows)), self.plan.models, self.batches.is_batch
        return Counter({kind: n for kind, n in kinds.items() if kind and not is_batch(kind[0], models[kind[1]])})

    def look_up(self, due: Collection[str]) -> None:
        """Let the display find out how many of the generations that are `due` have their answers in the store. What was
        never asked for is not looked up, so a first run does nothing."""
        self.display.find_stored = lambda: self._stored_answers(due)

    def _stored_answers(self, due: Collection[str]) -> Counter[Kind] | None:
        if not self.display.to_call:
            return Counter()
        try:
            sql = "SELECT DISTINCT gen_id FROM ledger WHERE run != ?"
            rows = database(self.context.layout.store).read(sql, (self.context.calls.run,))
            asked = {gen_id for (gen_id,) in rows}.intersection(due)
            if not asked:
                return Counter()
            if len(asked) > MOST_LOOKED_UP:
                return None
            known = [gen_id for gen_id in self.plan.generations if gen_id in asked]  # parents first
            found = filter(None, map(self.plan.find, known))
            options = {"waiting": self.batches.waiting, "is_batch": self.batches.is_batch}
            lines = forecast(found, self.context, lambda gen_id: True, self.plan.folder, **options)
        except (DreamflowError, OSError):  # whose jobs will tell
            return None
        return Counter({(line.stage, line.model_id): line.answered for line in lines})

    def _budget_use(self) -> Sequence[BudgetUse]:
        """What is spent of the budgets that can end this run: its own, those of the time, those of its specs."""
        settings, night = self.plan.world.settings, this_night()
        specs = {f"budgets.{key}.{name}" for key in settings.budgets.by_family() for name in getattr(settings, key)}
        keys = {*WHOLE_RUN, *specs, "upgrade.max_tokens", *(["night"] if night else [])}
        try:
            budgets = [budget for budget in self.context.calls.budgets if budget.key in keys]
            return budget_use(self.context.layout.store, budgets)
        except DatabaseError:  # which calls will tell
            return ()

    def count(self, row: Generation, result: Result) -> None:
        """Count a generation that was written."""
        self.display.count_generation(result, kind_of(row))
        if result.status == "failed":
            place = self.context.layout.metadata(row.stage, row.gen_id)
            self.failures.add(f"{row.stage} failed: {result.reason}", place)

    def count_not_made(self, row: Generation, due: Collection[str]) -> None:
        """Count a generation that could not be made; of those that are `due`, this run does not make those that need it
        either."""
        self.display.count_not_made(row.stage, kind_of(row))
        with self._guard:
            if self._children is None:
                self._children = defaultdict(list)
                for child in filter(None, map(self.plan.find, due)):
                    for parent in child.parents:
                        self._children[parent].append(child.gen_id)
            found = list(self._children.get(row.gen_id, ()))
            while found:
                gen_id = found.pop()
                if gen_id not in self._lost:
                    self._lost.add(gen_id)
                    found += self._children.get(gen_id, ())
                    self.display.count_out_of_reach(kind_of(self.plan.find(gen_id)))

    def ending(self, missing: int) -> list[str]:
        """The last lines on what went wrong; `missing` generations are missing."""
        again = [each for each in self.problems.all() if each.count > 1 or each.is_shared]  # each was shown once
        lines = [*as_lines(self.failures.all()), *as_lines(again)]
        if total := self.problems.total():
            lines.append(f"{total:,} jobs failed: see {self.context.layout.root}/logs/")
        return [*lines, f"{missing:,} generations are missing"] if missing else lines

    def end(self, *, is_complete: bool) -> None:
        """Note how the run has ended, for other terminals."""
        if self.file is not None:
            state = {key: value for key, value in self.display.state().items() if key not in _ONLY_NOW}
            why = self._why(is_complete=is_complete)
            self.file.end({**self._with_problems(state), "is_complete": is_complete, "why": why})

    def _why(self, *, is_complete: bool) -> str:
        if STOPPING.is_set():
            return "it was interrupted"
        if is_complete:
            return "everything was made"
        problems = self.problems.all()
        return problems[0].message if problems else "a job failed"
