"""Forecast of the calls and the cost of a run, from the plan and the response store, before anything is spent."""

import math
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

from .budget_use import BudgetUse, amount
from .digest import late_input
from .make import Context, build, read_parent
from .model import SAMPLES_PER_REPLICATE, Candidate, Generation, Json, Parent, Question, Record, Usage
from .models import Model
from .prices import PRICE_REMEDY, cost, most_cost, price_row
from .respond import COMPLAINT_TOKENS, NeedsCall
from .store import DamagedRecord
from .tokens import MOST_TEMPLATE_TOKENS, estimate_tokens, most_prompt_tokens, most_tokens

TYPICAL_SHARE = 0.5  # expected length of an answer, as a share of its limit


@dataclass
class Line:
    """Forecast of one stage and model. Tokens and cost are expected values, the `upper` fields are bounds.

    `waiting` calls are in a batch that the provider has not finished; `calls` are without them, tokens and cost are
    not. `later` calls, of an expected cost of `later_usd`, are made by later runs, after people or batches have
    answered; nothing else counts them. `priced`: all prices of the expected calls are known; `unpriced` are all models
    whose price is unknown.
    """

    stage: str
    model_id: str
    generations: int = 0
    answered: int = 0
    calls: int = 0
    calls_upper: int = 0
    waiting: int = 0
    later: int = 0
    later_usd: float = 0.0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    tokens_upper: int = 0
    cost_usd: float = 0.0
    cost_upper_usd: float = 0.0
    priced: bool = True
    unpriced: set[str] = field(default_factory=set)
    problems: list[str] = field(default_factory=list)  # errors of generations whose stored answers cannot be read


class Size(NamedTuple):
    """Tokens of a text: those that are expected, and a bound."""

    typical: int = 0
    most: int = 0


class _Bound(NamedTuple):
    """What all attempts of a model may take: the calls, the tokens, the cost of each, and the longest answer."""

    calls: int
    tokens: int
    costs: tuple[float | None, ...]
    longest: int


class _Missing(NeedsCall):
    """The first question that the store cannot answer."""

    def __init__(self, question: Question, key: str) -> None:
        super().__init__(key)
        self.question, self.key = question, key


def _no_call(question: Question, key: str) -> Record:
    raise _Missing(question, key)


def forecast(
    rows: Iterable[Generation],
    context: Context,
    is_stale: Callable[[str], bool],
    folder: Callable[[str], Path],
    redraws: Container[str] = frozenset(),
    waiting: Mapping[str, str] = MappingProxyType({}),
    is_batch: Callable[[str, Model], bool] = lambda stage, model: False,
    answer_tokens: Callable[[Generation], int | None] = lambda row: None,
) -> list[Line]:
    """A line for each stage and model. Parents precede children in `rows`; `folder(gen_id)` is a generation's folder;
    the generations in `redraws` get new samples; `waiting` has the questions in a provider's batch (key -> gen_id);
    `is_batch(stage, model)` says which questions are for batches, at their price; `answer_tokens(row)` how long an
    answer is expected to be (None: half of its limit).

    Rows that are up to date, and parents outside of `rows`, are read from their files. For a stale row the stored
    answers are tried as in a run, also those of fallback models. If an answer is missing, the forecast assumes that the
    answers of the row's children are missing too, and that its text is as long as its limit allows.
    """
    walk = _Walk(context, is_stale, folder, redraws, waiting, is_batch, answer_tokens)
    for row in rows:
        walk.add(row)
    return list(walk.lines.values())


class _Walk:
    """The state of a forecast. `known` has the parents whose text exists or follows from the store, `open_ended` the
    sizes of the texts of all others, and `blocked` those of them that this run does not make; `keys` are the keys of
    missing answers; `sizes` are those of known texts."""

    def __init__(
        self,
        context: Context,
        is_stale: Callable[[str], bool],
        folder: Callable[[str], Path],
        redraws: Container[str],
        waiting: Mapping[str, str],
        is_batch: Callable[[str, Model], bool],
        answer_tokens: Callable[[Generation], int | None],
    ) -> None:
        self.answer_tokens = answer_tokens
        self.context, self.is_stale, self.folder, self.is_batch = context, is_stale, folder, is_batch
        self.redraws, self.waiting, self.waiting_ids = redraws, waiting, set(waiting.values())
        self.lines: dict[tuple[str, str], Line] = {}
        self.known: dict[str, Parent] = {}
        self.open_ended: dict[str, Size] = {}
        self.blocked: set[str] = set()
        self.keys: set[str] = set()
        self.sizes: dict[str, Size] = {}
        # Many rows have the same limits, and prompts of the same size.
        self._expected, self._bound = lru_cache(1 << 16)(self._expect), lru_cache(1 << 16)(self._bind)

    def line(self, row: Generation, model_id: str) -> Line:
        line = self.lines.get((row.stage, model_id))
        if line is None:
            line = self.lines[row.stage, model_id] = Line(row.stage, model_id)
        return line

    def add(self, row: Generation) -> None:
        line = self.line(row, row.model.model_id if row.model else row.mode)
        line.generations += 1
        waits = row.mode == "human" and not late_input(row, self.context.layout)
        if waits or not self.blocked.isdisjoint(row.parents):
            self._add_later(row)
            return
        if not self.is_stale(row.gen_id):
            if row.gen_id in self.waiting_ids:
                self._add_call(row, None, is_waiting=True)
            else:
                line.answered += 1
            return
        parents = [parent for gen_id in row.parents if (parent := self.parent(gen_id)) is not None]
        complete = len(parents) == len(row.parents)
        if row.mode != "llm" and not complete:  # needs no call, but has no text yet
            self.open_ended[row.gen_id] = self._as_long_as_parents(row)
            return
        missing = None
        if complete and not (row.evidence and not late_input(row, self.context.layout)):
            try:
                redraw = row.gen_id in self.redraws
                outcome = build(row, self.context, parents, _no_call, redraw=redraw, read_only=True).outcome
                self.known[row.gen_id] = Parent(row.gen_id, outcome.status, outcome.parsed.text)
                line.answered += 1
                return
            except _Missing as error:
                missing = error.with_traceback(None)  # whose frames refer to it: a cycle for each row
            except DamagedRecord as error:  # its job will fail; the forecast of the others holds
                line.problems.append(str(error))
                self.open_ended[row.gen_id] = Size()
                return
        self._add_call(row, missing, is_waiting=missing is not None and missing.key in self.waiting)

    def parent(self, gen_id: str) -> Parent | None:
        """A parent whose text exists or follows from the store, else None."""
        if gen_id not in self.known and gen_id not in self.open_ended:
            folder = self.folder(gen_id)
            if (folder / "metadata.json").exists():
                self.known[gen_id] = read_parent(folder, self.context.layout)
            else:
                self.open_ended[gen_id] = Size()
        return self.known.get(gen_id)

    def _as_long_as_parents(self, row: Generation) -> Size:
        sizes = [self.open_ended.get(parent, Size()) for parent in row.parents]
        typical = max((size.typical for size in sizes), default=0)
        return Size(typical, max((size.most for size in sizes), default=0))

    def _add_later(self, row: Generation) -> None:
        """Add a row that this run cannot make, since it waits for a person or a batch, maybe those of a parent."""
        self.blocked.add(row.gen_id)
        if row.mode != "llm":
            self.open_ended[row.gen_id] = self._as_long_as_parents(row)
            return
        candidate = row.candidates[0]
        line = self.line(row, candidate.model.model_id)
        limit = candidate.sampling["max_tokens"]
        answer, prompt = self._answer(row, limit), self._prompt(row).typical
        expected = self._expected(row.stage, candidate.model.model_id, answer, prompt, False)
        if expected is None:
            line.unpriced.add(candidate.model.model_id)
        line.later += 1
        line.later_usd += expected or 0.0
        self.open_ended[row.gen_id] = Size(limit, limit)

    def _add_call(self, row: Generation, missing: _Missing | None, *, is_waiting: bool) -> None:
        """Add the calls of a row. `missing` is its first question without an answer, if its parents have texts."""
        candidates, used, prompt = row.candidates, 0, self._prompt(row)
        if missing is not None:
            question = missing.question
            first = [candidate.model for candidate in candidates].index(question.model)
            used = 0 if row.gen_id in self.redraws else question.sample % SAMPLES_PER_REPLICATE
            prompt = Size(prompt.typical, most_prompt_tokens(question.messages, row.response_format))
            prompt = prompt._replace(most=prompt.most + max(map(_most_examples, candidates[first + 1 :]), default=0))
            candidates = [Candidate(question.model, question.sampling), *candidates[first + 1 :]]
        line = self.line(row, candidates[0].model.model_id)
        if missing is None or missing.key not in self.keys:  # else another generation already counts this call
            self.keys |= {missing.key} if missing else set()
            answer = self._answer(row, candidates[0].sampling["max_tokens"])
            self._add_expected(line, candidates[0].model.model_id, prompt.typical, answer, is_waiting=is_waiting)
        longest = 0
        for candidate in candidates:
            attempts = row.max_attempts - used
            longest = max(longest, self._add_bound(line, candidate, attempts, prompt.most, row.repair))
            used = 0
        self.open_ended[row.gen_id] = Size(row.sampling["max_tokens"], longest)
        if is_waiting or self.is_batch(row.stage, self.context.models[candidates[0].model.model_id]):
            self.blocked.add(row.gen_id)

    def _answer(self, row: Generation, limit: int) -> int:
        """The expected tokens of an answer."""
        expected = self.answer_tokens(row)
        return round(limit * TYPICAL_SHARE) if expected is None else min(expected, limit)

    def _add_expected(self, line: Line, model_id: str, prompt: int, answer: int, *, is_waiting: bool) -> None:
        """Add one call."""
        expected = self._expected(line.stage, model_id, answer, prompt, is_waiting)
        line.waiting += is_waiting
        line.calls += not is_waiting
        line.prompt_tokens += prompt
        line.completion_tokens += answer
        line.cost_usd += expected or 0.0
        if expected is None:
            line.priced = False
            line.unpriced.add(model_id)

    def _expect(self, stage: str, model_id: str, answer: int, prompt: int, is_waiting: bool) -> float | None:
        """The expected cost of a call."""
        model = self.context.models[model_id]
        batch = is_waiting or self.is_batch(stage, model)
        return cost(Usage(prompt_tokens=prompt, completion_tokens=answer), price_row(model, prompt), batch)

    def _add_bound(self, line: Line, candidate: Candidate, attempts: int, prompt: int, repair: str) -> int:
        """Add every attempt of a candidate at its largest; returns the tokens of its longest answer."""
        model_id, limit = candidate.model.model_id, candidate.sampling["max_tokens"]
        bound = self._bound(line.stage, model_id, limit, attempts, prompt, repair)
        line.calls_upper += bound.calls
        line.tokens_upper += bound.tokens
        for each in bound.costs:
            line.cost_upper_usd += each or 0.0
        if None in bound.costs:
            line.unpriced.add(model_id)
        return bound.longest

    def _bind(self, stage: str, model_id: str, limit: int, attempts: int, prompt: int, repair: str) -> _Bound:
        """The bound of all attempts of a model."""
        model = self.context.models[model_id]
        tokens, most, costs = 0, 0, []
        for attempt, most in enumerate(model.answer_limits(limit, attempts)):
            # At most once, an answer is sent back.
            sent_back = most + most_tokens(repair) + COMPLAINT_TOKENS if repair and attempt == attempts - 1 > 0 else 0
            costs.append(most_cost(model, prompt + sent_back, most, self.is_batch(stage, model)))
            tokens += prompt + sent_back + most
        return _Bound(len(costs), tokens, tuple(costs), most)

    def _prompt(self, row: Generation) -> Size:
        """The size of a row's prompt, from its parts: a template may name a part twice, so the bound counts it so, and
        another model may count more tokens in the text of a parent than the model that writes it."""
        texts = self.context.texts
        template = texts[row.template_sha256]
        sizes = [self._size(row.template_sha256, template)]
        for name, value in row.variables.items():
            own = [self._size(digest, texts[digest]) for digest in _texts(value)]
            sizes += own if name in template else [size._replace(typical=0) for size in own]
        sizes += [Size(estimate_tokens(turn.content), most_tokens(turn.content)) for turn in row.turns]
        first = sum(estimate_tokens(turn.content) for turn in row.model.examples or ()) if row.model else 0
        sizes.append(Size(first, max(map(_most_examples, row.candidates), default=0)))
        for parent in row.parents:
            if parent in self.known:
                sizes.append(self._size(parent, self.known[parent].text))
            if size := self.open_ended.get(parent):
                sizes.append(Size(round(size.typical * TYPICAL_SHARE), size.most))
        typical = MOST_TEMPLATE_TOKENS + sum(size.typical for size in sizes)
        most = most_prompt_tokens([], row.response_format) + sum(size.most for size in sizes)
        return Size(typical, 2 * most + MOST_TEMPLATE_TOKENS * (len(row.turns) + 1))

    def _size(self, key: str, text: str) -> Size:
        if key not in self.sizes:
            self.sizes[key] = Size(estimate_tokens(text), most_tokens(text))
        return self.sizes[key]


def _most_examples(candidate: Candidate) -> int:
    """The most tokens of the worked examples that a model gets before every prompt."""
    examples = candidate.model.examples
    return most_prompt_tokens(examples) if examples else 0


def _texts(variables: Json) -> list[str]:
    """The digests of all input texts that a row's variables name."""
    if isinstance(variables, dict):
        if "sha256" in variables and len(variables) == 1:
            return [variables["sha256"]]
        variables = variables.values()
    elif not isinstance(variables, list):
        return []
    return [digest for value in variables if not isinstance(value, str) for digest in _texts(value)]


def as_table(lines: Sequence[Line], budgets: Sequence[BudgetUse] = ()) -> str:
    """The forecast as text: a table, the totals, and the caps that the run will respect."""
    head = (
        f"{'stage':<12}{'model':<24}{'planned':>8}{'answered':>10}{'calls':>8}{'tokens':>12}{'cost':>10}{'at most':>10}"
    )
    rows = [
        f"{line.stage:<12}{line.model_id:<24}{line.generations:>8,}{line.answered:>10,}{line.calls:>8,}"
        f"{line.prompt_tokens + line.completion_tokens:>12,}{_money(line.cost_usd, line.priced):>10}"
        f"{_money(line.cost_upper_usd, not line.unpriced):>10}"
        for line in lines
    ]
    caps, cap_usd = _caps(budgets)
    most = min(sum(line.cost_upper_usd for line in lines), cap_usd)
    total = (
        f"{sum(line.calls for line in lines):,} calls to make "
        f"(at most {sum(line.calls_upper for line in lines):,} with every retry), "
        f"{sum(line.answered for line in lines):,} generations already answered, "
        f"about ${min(sum(line.cost_usd for line in lines), most):.2f}, at most ${most:.2f}"
    )
    if waiting := sum(line.waiting for line in lines):
        total += f"; {waiting:,} more are with the provider, in batches"
    if later := sum(line.later for line in lines):
        usd = sum(line.later_usd for line in lines)
        total += f"; {later:,} more later, for about ${usd:.2f}, when people or batches have answered"
    if unknown := sorted({model_id for line in lines for model_id in line.unpriced}):
        total += f"\nnot counted, since the price is unknown: {', '.join(unknown)}. {PRICE_REMEDY}"
    return "\n".join([head, *rows, total, *caps, *(problem for line in lines for problem in line.problems)])


def _caps(budgets: Iterable[BudgetUse]) -> tuple[list[str], float]:
    """Lines on the caps, and the US dollars that they leave for the whole run."""
    lines, left = [], {"usd": math.inf, "tokens": math.inf, "atp": math.inf}
    for unit in left:
        caps = [use for use in budgets if use.unit == unit]
        left[unit] = min((use.left for use in caps if use.covers_all), default=math.inf)
        parts = [
            f"{use.name} {amount(use.cap, unit)} (spent {amount(use.spent, unit)}"
            f"{f', reserved {amount(use.reserved, unit)}' if use.reserved else ''})"
            for use in caps
        ]
        bound = f": at most {amount(left[unit], unit)} will be spent" if left[unit] < math.inf else ""
        lines += [f"cap: {', '.join(parts)}{bound}"] if parts else []
    return lines, left["usd"]


def _money(amount: float, is_known: bool) -> str:
    return f"${amount:.4f}" if is_known else "?"
