"""What a plan would still call and cost, told before anything is spent, from the plan and the response store alone."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from .make import Context, build, evidence_path, gen_folder, read_parent
from .providers import Response
from .providers.human import answer_path
from .respond import NeedsCall, cost

TYPICAL_SHARE = 0.5  # of its limit: how long an answer is taken to be where nothing better is known
RESERVED = 64  # tokens that a chat template may add to a prompt


@dataclass
class Line:
    """Forecast of one stage and model. `tokens` and `cost_usd` are expected ones, the `upper` ones a bound."""

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
    """Tokens of a text, roughly: four characters of ASCII, or one and a half others, make one."""
    ascii_count = sum(1 for char in text if char < "\x80")
    return round(ascii_count / 4 + (len(text) - ascii_count) / 1.5)


def _no_ask(question: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    raise NeedsCall(key)


def forecast(
    generations: Mapping[str, Mapping[str, Any]], context: Context, kept: Mapping[str, Mapping[str, Any]]
) -> list[Line]:
    """One line for each stage and model. Generations must come after their parents; those `kept` are read from files.

    What the store answers is walked just as a run would walk it; where an answer is missing, the answers below it
    are taken to be missing too, and parents' texts to be as long as their limits allow.
    """
    outside = {parent for row in generations.values() for parent in row["parents"] if parent in kept}
    known: dict[str, dict[str, Any]] = {  # gen_id -> as a parent: {gen_id, status, text}
        gen_id: read_parent(gen_folder(context.data_root, kept[gen_id]["stage"], gen_id)) for gen_id in outside
    }
    longest: dict[str, int] = {}  # gen_id -> tokens that its text may have
    asked: set[str] = set()
    lines: dict[tuple[str, str], Line] = {}
    for gen_id, row in generations.items():
        model_id = row["model"]["model_id"] if row["model"] else row["mode"]
        line = lines.setdefault((row["stage"], model_id), Line(row["stage"], model_id))
        line.generations += 1
        parents = [known[parent] for parent in row["parents"] if parent in known]
        waits = row["mode"] == "human" and not answer_path(context.data_root / "inbox", gen_id).exists()
        if waits or (row["mode"] in ("copy", "human") and len(parents) < len(row["parents"])):  # no call, no text yet
            longest[gen_id] = max((longest.get(parent, 0) for parent in row["parents"]), default=0)
            continue
        new = True
        measured = "evidence" not in row or evidence_path(row, context).exists()
        if len(parents) == len(row["parents"]) and measured:
            try:
                made = build(row, context, parents, _no_ask)
                known[gen_id] = {"gen_id": gen_id, "status": made.outcome.status, "text": made.outcome.parsed.text}
                line.answered += 1
                continue
            except NeedsCall as needed:
                key = str(needed)
                new = key not in asked  # else one call answers this generation and another
                asked.add(key)
        _add_call(line, row, context, known, longest, new=new)
        longest[gen_id] = row["sampling"]["max_tokens"]
    return list(lines.values())


def _add_call(
    line: Line,
    row: Mapping[str, Any],
    context: Context,
    known: Mapping[str, Mapping[str, Any]],
    longest: Mapping[str, int],
    *,
    new: bool,
) -> None:
    model = context.models[row["model"]["model_id"]]
    limit = row["sampling"]["max_tokens"]
    fixed = RESERVED + estimate_tokens(context.texts[row["template_sha256"]])
    fixed += sum(estimate_tokens(context.texts[digest]) for digest in _texts(row["variables"]))
    fixed += sum(estimate_tokens(known[parent]["text"]) for parent in row["parents"] if parent in known)
    fixed += sum(estimate_tokens(turn["content"]) for turn in row.get("turns", ()))
    open_ended = sum(longest.get(parent, 0) for parent in row["parents"])
    prompt, answer = fixed + round(open_ended * TYPICAL_SHARE), round(limit * TYPICAL_SHARE)
    line.calls += new
    line.calls_upper += row["attempts"]
    line.prompt_tokens += new * prompt
    line.completion_tokens += new * answer
    largest = max(limit, model.get("max_output_tokens", model["context_length"] // 2))
    for attempt in range(row["attempts"]):
        most = min(limit * 2**attempt, largest)  # a truncated answer is asked for again with twice the limit
        line.tokens_upper += 2 * fixed + open_ended + most
        line.cost_upper_usd += _price(2 * fixed + open_ended, most, model)
    line.cost_usd += new * _price(prompt, answer, model)
    line.priced = line.priced and "price" in model


def _texts(variables: Any) -> Iterator[str]:
    """The digests of all input texts that a row's variables name."""
    if isinstance(variables, Mapping):
        if variables.keys() == {"sha256"}:
            yield variables["sha256"]
        else:
            yield from (digest for value in variables.values() for digest in _texts(value))
    elif isinstance(variables, list):
        yield from (digest for value in variables for digest in _texts(value))


def _price(prompt: int, completion: int, model: Mapping[str, Any]) -> float:
    usage = {"prompt_tokens": prompt, "completion_tokens": completion}
    return cost(Response("", usage=usage), model.get("price")) or 0.0


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
        total += f"; without a price in models.yaml, so not counted: {', '.join(unpriced)}"
    return "\n".join([head, *rows, total])


def _money(amount: float, line: Line) -> str:
    return f"${amount:.4f}" if line.priced else "?"
