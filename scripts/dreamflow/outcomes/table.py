"""The outcomes of a cycle of trust as a CSV file: a line for each, in the order in which they were collected.

An unknown value is an empty cell; the files of `evidence` are separated by "; ".
"""

import csv
import io
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from pathlib import Path

from msgspec import UNSET, Struct
from msgspec.structs import asdict

from ..errors import DreamflowError
from ..files import write_atomic
from ..routing.atp import atp_cost
from .csv_files import Row, number, raise_all, read_rows
from .outcome import Outcome

EVIDENCE_CLASSES = ("exact", "person", "judged")
REMEDY = "restore the file, or delete it and those of later cycles and run again"
_ID = re.compile("[0-9a-f]{16}")


class OutcomeRow(Struct, frozen=True, kw_only=True, gc=False):
    """A line of outcomes.csv; the fields are its columns. `context` is the one in which models are trusted, `layer` and
    `atp` (the cost of the answer) are unknown for a model that models.yaml does not have any more. `slot` and
    `propensity` are those of the choice, if trust chose the model. See `Outcome`."""

    outcome_id: str
    model_id: str
    revision: str
    layer: str
    context: str
    kind: str
    evidence_class: str
    verified_by: str
    outcome: float
    weight: float
    stage: str
    gen_id: str
    evidence: str
    tokens: int | None
    cost_usd: float | None
    atp: float | None
    latency_s: float | None
    prompt_words: int | None
    created_at: str
    why: str
    cycle: int
    slot: str = ""
    propensity: float | None = None


COLUMNS = OutcomeRow.__struct_fields__


def outcome_rows(
    outcomes: Iterable[Outcome],
    cycle: int,
    context_of: Callable[[Outcome], str],
    layers: Mapping[str, str],
    atp: Mapping[str, float],
) -> list[OutcomeRow]:
    """The lines of these outcomes of models in a cycle. `layers` and `atp` are those of each model in models.yaml."""
    same = ("outcome_id", "model_id", "revision", "kind", "evidence_class", "verified_by")
    same += ("stage", "gen_id", "tokens", "prompt_words")
    rows = []
    for outcome in outcomes:
        base, words = atp.get(outcome.model_id), outcome.prompt_words
        rows.append(
            OutcomeRow(
                **{name: getattr(outcome, name) for name in same},
                layer=layers.get(outcome.model_id, ""),
                context=context_of(outcome),
                outcome=round(outcome.outcome, 6),
                weight=round(outcome.weight, 6),
                evidence="; ".join(outcome.evidence),
                cost_usd=None if outcome.cost_usd is None else round(outcome.cost_usd, 9),
                atp=None if base is None or words is None else round(atp_cost(base, words), 6),
                latency_s=None if outcome.latency_s is None else round(outcome.latency_s, 6),
                created_at=outcome.created_at or "",
                why=" ".join(outcome.why.encode("utf-8", "replace").decode("utf-8").split()),
                cycle=cycle,
                **_choice(outcome),
            )
        )
    return rows


def _choice(outcome: Outcome) -> Mapping[str, str | float]:
    """The choice of the model, unless another model stood in for it."""
    made = outcome.made
    if made is None or made.choice is UNSET or made.choice["model_id"] != outcome.model_id:
        return {}
    return {"slot": made.choice["slot"], "propensity": made.choice["propensity"]}


def new_outcomes(outcomes: Iterable[Outcome], earlier: Iterable[OutcomeRow]) -> list[Outcome]:
    """The outcomes that no earlier cycle has, each once. An answer that was drawn anew, or of which the evidence says
    something else now, is another outcome."""
    known = {row.outcome_id for row in earlier}
    return list({outcome.outcome_id: outcome for outcome in outcomes if outcome.outcome_id not in known}.values())


def write_outcomes(path: Path | str, rows: Iterable[OutcomeRow]) -> None:
    """Write the outcomes of a cycle."""
    stream = io.StringIO(newline="")
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows([_cell(value) for value in asdict(row).values()] for row in rows)
    write_atomic(path, stream.getvalue())


def _cell(value: str | float | None) -> str:
    """A value as text; no float is longer than it must be."""
    if isinstance(value, float):
        return str(int(value)) if value == int(value) else repr(value)
    return "" if value is None else str(value)


def read_outcomes(path: Path | str) -> list[OutcomeRow]:
    """The outcomes of a cycle. Raises a `DreamflowError` that names file, line and column of what is damaged."""
    path = Path(path)
    columns, rows = read_rows(path, COLUMNS)
    if not columns:
        raise DreamflowError(f"{path}: an empty file; {REMEDY}")
    problems: list[str] = []
    found: dict[str, OutcomeRow] = {}
    for line, row in rows:
        values, wrong = _parsed(row)
        problems += [f"{path}:{line}: {problem}" for problem in wrong]
        if not wrong and values["outcome_id"] in found:
            problems.append(f"{path}:{line}: outcome_id: {values['outcome_id']} is there twice")
        elif not wrong:
            found[values["outcome_id"]] = OutcomeRow(**values)
    raise_all([*problems, f"To go on: {REMEDY}"] if problems else [])
    return list(found.values())


def _parsed(row: Row) -> tuple[dict[str, str | float | int | None], Sequence[str]]:
    """The values of a line, and what is wrong with them."""
    values, wrong = {}, []
    for name in COLUMNS:
        read, expected = _READERS.get(name, (str, ""))
        try:
            values[name] = read(row[name])
        except ValueError:
            wrong.append(f"{name}: {row[name]!r}; expected {expected}")
    return values, wrong


def _matching(pattern: re.Pattern[str]) -> Callable[[str], str]:
    def read(text: str) -> str:
        if not pattern.fullmatch(text):
            raise ValueError(text)
        return text

    return read


def _share(text: str) -> float:
    value = number(text)
    if value is None or not 0 <= value <= 1:
        raise ValueError(text)
    return value


def _probability(text: str) -> float | None:
    value = _share(text) if text else None
    if value == 0:
        raise ValueError(text)
    return value


def _not_negative(text: str) -> float | None:
    value = number(text) if text else 0.0
    if value is None or value < 0:
        raise ValueError(text)
    return value if text else None


def _whole(text: str) -> int | None:
    if text and not re.fullmatch("[0-9]+", text):
        raise ValueError(text)
    return int(text) if text else None


def _cycle(text: str) -> int:
    if not re.fullmatch("[1-9][0-9]*", text):
        raise ValueError(text)
    return int(text)


def _time(text: str) -> str:
    if text:
        datetime.fromisoformat(text)
    return text


_some_text = (_matching(re.compile(r".+", re.S)), "text")
_amount = (_not_negative, "a number of at least 0, or nothing")
_count = (_whole, "a whole number, or nothing")
_READERS: Mapping[str, tuple[Callable[[str], str | float | int | None], str]] = {
    "outcome_id": (_matching(_ID), "16 hexadecimal digits"),
    **dict.fromkeys(("model_id", "verified_by", "stage"), _some_text),
    "evidence_class": (_matching(re.compile("|".join(EVIDENCE_CLASSES))), f"one of {', '.join(EVIDENCE_CLASSES)}"),
    **dict.fromkeys(("outcome", "weight"), (_share, "a number from 0 to 1")),
    **dict.fromkeys(("cost_usd", "atp", "latency_s"), _amount),
    **dict.fromkeys(("tokens", "prompt_words"), _count),
    "created_at": (_time, "a time such as 2026-01-01T00:00:00+00:00, or nothing"),
    "cycle": (_cycle, "a whole number from 1"),
    "propensity": (_probability, "a number above 0 and up to 1, or nothing"),
}
