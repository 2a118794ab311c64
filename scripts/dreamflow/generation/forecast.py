"""Forecast of the calls and the cost of a run, from the plan and the response store, before anything is spent."""

from collections.abc import Callable, Container, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from .digest import late_input
from .make import Context, build, read_parent
from .model import Generation, Json, Parent, Question, Record, Usage
from .models import Model
from .respond import NeedsCall, price_of

TYPICAL_SHARE = 0.5  # expected length of an answer, as a share of its limit
RESERVED = 64  # tokens that a chat template may add to a prompt


@dataclass
class Line:
    """Forecast of one stage and model. Tokens and cost are expected values, the `upper` fields are bounds."""

    stage: str
    model_id: str
    generations: int = 0
    answered: int = 0
    calls: int = 0
    calls_upper: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    tokens_upper: int = 0
    cost_usd: float = 0.0
    cost_upper_usd: float = 0.0
    priced: bool = True


def estimate_tokens(text: str) -> int:
    """An estimate of the tokens of a text: 1 for every 4 ASCII characters, 1 for every 1.5 other characters."""
    ascii_count = sum(1 for char in text if char < "\x80")
    return round(ascii_count / 4 + (len(text) - ascii_count) / 1.5)


def _no_call(question: Question, key: str) -> Record:
    raise NeedsCall(key)


def forecast(
    rows: Iterable[Generation],
    context: Context,
    is_stale: Callable[[str], bool],
    folder: Callable[[str], Path],
    redraws: Container[str] = frozenset(),
) -> list[Line]:
    """A line for each stage and model. Parents precede children in `rows`; `folder(gen_id)` is a generation's folder;
    the generations in `redraws` get new samples.

    Rows that are up to date, and parents outside of `rows`, are read from their files. For a stale row the stored
    answers are tried as in a run. If an answer is missing, the forecast assumes that the answers of the row's children
    are missing too, and that its text is as long as its limit allows.
    """
    walk = _Walk(context, is_stale, folder, redraws)
    for row in rows:
        walk.add(row)
    return list(walk.lines.values())


class _Walk:
    """The state of a forecast. `known` has the parents whose text exists or follows from the store, `longest` the
    maximum tokens of the texts of all others; `keys` are the keys of missing answers."""

    def __init__(
        self,
        context: Context,
        is_stale: Callable[[str], bool],
        folder: Callable[[str], Path],
        redraws: Container[str],
    ) -> None:
        self.context, self.is_stale, self.folder, self.redraws = context, is_stale, folder, redraws
        self.lines: dict[tuple[str, str], Line] = {}
        self.known: dict[str, Parent] = {}
        self.longest: dict[str, int] = {}
        self.keys: set[str] = set()

    def add(self, row: Generation) -> None:
        model_id = row.model.model_id if row.model else row.mode
        line = self.lines.setdefault((row.stage, model_id), Line(row.stage, model_id))
        line.generations += 1
        if not self.is_stale(row.gen_id):
            line.answered += 1
            return
        parents = [parent for gen_id in row.parents if (parent := self.parent(gen_id)) is not None]
        complete = len(parents) == len(row.parents)
        waits = row.mode == "human" and not late_input(row, self.context.layout)
        if waits or (row.mode != "llm" and not complete):  # needs no call, but has no text yet
            self.longest[row.gen_id] = max((self.longest.get(parent, 0) for parent in row.parents), default=0)
            return
        new = True
        if complete and not (row.evidence and not late_input(row, self.context.layout)):
            try:
                redraw = row.gen_id in self.redraws
                outcome = build(row, self.context, parents, _no_call, redraw=redraw, read_only=True).outcome
                self.known[row.gen_id] = Parent(row.gen_id, outcome.status, outcome.parsed.text)
                line.answered += 1
                return
            except NeedsCall as needed:
                new = str(needed) not in self.keys  # else another generation already counts this call
                self.keys.add(str(needed))
        self._add_call(line, row, new=new)
        self.longest[row.gen_id] = row.sampling["max_tokens"]

    def parent(self, gen_id: str) -> Parent | None:
        """A parent whose text exists or follows from the store, else None."""
        if gen_id not in self.known and gen_id not in self.longest:
            folder = self.folder(gen_id)
            if (folder / "metadata.json").exists():
                self.known[gen_id] = read_parent(folder, self.context.layout)
            else:
                self.longest[gen_id] = 0
        return self.known.get(gen_id)

    def _add_call(self, line: Line, row: Generation, *, new: bool) -> None:
        model, texts = self.context.models[row.model.model_id], self.context.texts
        limit = row.sampling["max_tokens"]
        fixed = RESERVED + estimate_tokens(texts[row.template_sha256])
        fixed += sum(estimate_tokens(texts[digest]) for digest in _texts(row.variables))
        fixed += sum(estimate_tokens(self.known[parent].text) for parent in row.parents if parent in self.known)
        fixed += sum(estimate_tokens(turn.content) for turn in row.turns)
        open_ended = sum(self.longest.get(parent, 0) for parent in row.parents)
        prompt, answer = fixed + round(open_ended * TYPICAL_SHARE), round(limit * TYPICAL_SHARE)
        line.calls += new
        line.calls_upper += row.max_attempts
        line.prompt_tokens += new * prompt
        line.completion_tokens += new * answer
        largest = max(limit, model.longest_answer)
        for attempt in range(row.max_attempts):
            most = min(limit * 2**attempt, largest)  # after a truncated answer the limit is doubled
            line.tokens_upper += 2 * fixed + open_ended + most
            line.cost_upper_usd += _price(2 * fixed + open_ended, most, model)
        line.cost_usd += new * _price(prompt, answer, model)
        line.priced = line.priced and model.price is not None


def _texts(variables: Json) -> Iterator[str]:
    """The digests of all input texts that a row's variables name."""
    if isinstance(variables, Mapping):
        if variables.keys() == {"sha256"}:
            yield variables["sha256"]
        else:
            yield from (digest for value in variables.values() for digest in _texts(value))
    elif isinstance(variables, list):
        yield from (digest for value in variables for digest in _texts(value))


def _price(prompt: int, completion: int, model: Model) -> float:
    return price_of(Usage(prompt, 0, completion), model.prices) if model.prices else 0.0


def as_table(lines: list[Line]) -> str:
    """The forecast as text: a table and the totals."""
    head = (
        f"{'stage':<12}{'model':<24}{'planned':>8}{'answered':>10}{'calls':>8}{'tokens':>12}{'cost':>10}{'at most':>10}"
    )
    rows = [
        f"{line.stage:<12}{line.model_id:<24}{line.generations:>8,}{line.answered:>10,}{line.calls:>8,}"
        f"{line.prompt_tokens + line.completion_tokens:>12,}{_money(line.cost_usd, line):>10}"
        f"{_money(line.cost_upper_usd, line):>10}"
        for line in lines
    ]
    calls = sum(line.calls for line in lines)
    upper = sum(line.calls_upper for line in lines)
    unpriced = sorted({line.model_id for line in lines if line.calls and not line.priced})
    total = (
        f"{calls:,} calls to make (at most {upper:,} with every retry), "
        f"{sum(line.answered for line in lines):,} generations already answered, "
        f"about ${sum(line.cost_usd for line in lines):.2f}, at most ${sum(line.cost_upper_usd for line in lines):.2f}"
    )
    if unpriced:
        total += f"; not counted, since models.yaml has no price: {', '.join(unpriced)}"
    return "\n".join([head, *rows, total])


def _money(amount: float, line: Line) -> str:
    return f"${amount:.4f}" if line.priced else "?"
