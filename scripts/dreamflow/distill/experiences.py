"""Experiences: what models did, what came of it, and how salient that is. One JSON object a line, a file a cycle.

Rows stand in the order of created_at, stage and gen_id. What came before a row are the files of earlier cycles and the
rows before it. A file has no experience that an earlier file has.
"""

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict

from msgspec import UNSET

from ..errors import DreamflowError
from ..family import World
from ..files import canonical, read_text, write_atomic
from ..generation.make import with_total_cost
from ..generation.model import Json, Result
from ..tasks.outcomes import read_grades
from . import salience as snarc
from .evidence import Graded, Verified, prompt_of, verified
from .likeness import nearest_earlier

Costs = dict[str, Json]  # tokens, cost_usd, latency_s


class Experience(TypedDict):
    """A line of a file of experiences. `outcome` and the signals are from 0 to 1; those of them that are null are not
    known (see `salience`)."""

    experience_id: str  # a digest of the generation and its answer
    cycle: int  # the first one that had it
    stage: str
    gen_id: str
    prompt_sha256: str | None
    metadata: str  # its file, below the data folder
    evidence: list[str]  # the files that verify it, below the data folder
    model_id: str | None  # null for an operator without a model
    kind: str  # see `evidence`
    context: str
    group: str | None  # of its task; null where it has none
    task_id: str | None
    verified_by: str  # grader, judge, sandbox or parser
    outcome: float
    passed: bool | None  # null: neither right nor wrong
    why: str
    expected: float  # the outcome that was expected of this model, kind and context before
    tokens: int | None  # of all answers that were drawn for it; null where no model answered
    cost_usd: float | None
    latency_s: float | None
    surprise: float | None
    novelty: float | None
    arousal: float | None
    reward: float | None
    conflict: float | None
    salience: float | None
    created_at: str | None  # when it was answered; null where no model answered


@dataclass(frozen=True)
class Found:
    """The experiences of a cycle, and how many generations made none, by reason."""

    rows: list[Experience]
    left_out: dict[str, int]


def collect_experiences(world: World, cycle: int, practice: Iterable[str], path: str) -> str:
    """Write the experiences of a cycle to `path`; returns a line on how many there are, and what was left out.

    `practice` are the files of grades that it needs. Those of probes are taken as far as they are there.
    """
    graded: dict[str, Graded] = {}
    for file in (*practice, *sorted(world.layout.root.glob("probes/*/grades.jsonl"))):
        for outcome in read_grades(file):
            if row := world.generations.get(outcome.gen_id):
                graded[outcome.gen_id] = Graded(outcome, world.catalog.texts[row.variables["prompt"]["sha256"]])
    found = experiences(world.layout.root, cycle, graded, world.settings.salience.as_dict())
    write_atomic(path, experience_lines(found.rows))
    left_out = "; ".join(f"{count:,} {reason}" for reason, count in found.left_out.items())
    return f"{len(found.rows):,} experiences: {path}" + (f" (left out: {left_out})" if left_out else "")


def experiences(data_root: Path, cycle: int, graded: Mapping[str, Graded], weights: Mapping[str, float]) -> Found:
    """The experiences of a cycle: all that lie under `data_root` and are in no earlier cycle's file.

    `graded` has the answers that were graded, by id; others make no experience. `weights` are those of the signals (see
    `salience.check_weights`). A generation that is torn, foreign or without a
    verified outcome is counted; an earlier cycle's file that cannot be read is a `DreamflowError`.
    """
    weights = snarc.check_weights(weights)
    earlier = load_experiences(data_root, cycle - 1)
    met = {row["experience_id"] for row in earlier}
    left_out: Counter[str] = Counter()
    everything = verified(data_root, graded, left_out)
    new = [one for one in everything if one.experience_id not in met]
    if len(new) < len(everything):
        left_out["met in an earlier cycle"] = len(everything) - len(new)
    costs = [_cost(one.metadata, data_root) for one in new]
    expected = _expected(new, earlier)
    novelties = _novelties(new, earlier, data_root, graded)
    conflicts = _conflicts(new)
    ranks = _cost_ranks(costs)
    rows = []
    for number, one in enumerate(new):
        signals = {
            "surprise": snarc.surprise(one.outcome, expected[number], _mean_logprob(one.metadata)),
            "novelty": novelties[number],
            "arousal": snarc.arousal(one.stakes, ranks[number]),
            "reward": one.outcome,
            "conflict": conflicts[number],
        }
        numbers = {**signals, "salience": snarc.salience(signals, weights)}
        numbers |= {"outcome": one.outcome, "expected": expected[number]}
        numbers = {name: None if value is None else round(value, 6) for name, value in numbers.items()}
        rows.append({**_facts(one, cycle), **costs[number], **numbers})
    return Found(rows, dict(sorted(left_out.items())))


def experience_lines(rows: Iterable[Experience]) -> str:
    """The text of a file of experiences."""
    return "".join(canonical(row) + "\n" for row in rows)


def experience_file(data_root: Path, cycle: int) -> Path:
    """Where the experiences of a cycle lie."""
    return data_root / "experiences" / f"cycle-{cycle}.jsonl"


def load_experiences(data_root: Path, through: int) -> list[Experience]:
    """The experiences of the cycles 1 to `through`, in their order; a cycle without a file has none."""
    rows = []
    for path in (experience_file(data_root, cycle) for cycle in range(1, through + 1)):
        lines = read_text(path).split("\n") if path.exists() else []
        for number, line in enumerate(lines, 1):
            if not line.strip():
                continue
            try:
                row = json.loads(line)
            except ValueError:
                row = None
            if not isinstance(row, dict) or "experience_id" not in row or "salience" not in row:
                raise DreamflowError(f"{path}:{number}: not an experience; delete the file and run again")
            rows.append(row)
    return rows


def _facts(one: Verified, cycle: int) -> dict[str, Json]:
    metadata = one.metadata
    same = ("stage", "gen_id", "prompt_sha256", "model_id", "created_at")
    told = ("experience_id", "kind", "context", "group", "task_id", "verified_by", "passed", "why")
    return {
        "cycle": cycle,
        "metadata": f"gens/{metadata.stage}/{metadata.gen_id}/metadata.json",
        "evidence": list(one.evidence),
        **{name: getattr(metadata, name) for name in same},
        **{name: getattr(one, name) for name in told},
    }


def _cost(metadata: Result, data_root: Path) -> Costs:
    """{tokens, cost_usd, latency_s} of all answers that were drawn; of the last one where the store has lost some."""
    with suppress(OSError, DreamflowError):
        metadata = with_total_cost(metadata, data_root)
    usage = metadata.usage
    tokens = usage.prompt + usage.completion if usage.is_known else None
    return {"tokens": tokens, "cost_usd": metadata.cost_usd, "latency_s": metadata.latency_s}


def _cost_ranks(costs: Sequence[Costs]) -> list[float | None]:
    """The rank of each cost in the cycle: by dollars, then by tokens; by tokens alone where a price is not known."""
    asked = [cost["tokens"] is not None for cost in costs]
    priced = all(cost["cost_usd"] is not None for cost, there in zip(costs, asked, strict=True) if there)
    return snarc.ranks(
        [
            ((cost["cost_usd"] if priced else 0), cost["tokens"]) if there else None
            for cost, there in zip(costs, asked, strict=True)
        ]
    )


def _mean_logprob(metadata: Result) -> float | None:
    """The mean log-probability of the answer's tokens where the provider reports their sum as usage.logprob."""
    usage = metadata.usage
    return usage.logprob / usage.completion if usage.logprob is not UNSET and usage.completion else None


def _expected(new: Sequence[Verified], earlier: Sequence[Experience]) -> list[float]:
    """What was expected before each of `new`, from the outcomes of its model, kind and context so far."""
    past: dict[tuple, list[float]] = defaultdict(lambda: [0.0, 0])
    met = [((row["model_id"], row["kind"], row["context"]), row["outcome"]) for row in earlier]
    coming = [((one.metadata.model_id, one.kind, one.context), one.outcome) for one in new]
    expected = []
    for key, outcome in [*met, *coming]:
        expected.append(snarc.expectation(*past[key]))
        past[key][0] += outcome
        past[key][1] += 1
    return expected[len(met) :]


def _novelties(
    new: Sequence[Verified], earlier: Sequence[Experience], data_root: Path, graded: Mapping[str, Graded]
) -> list[float | None]:
    """1 - likeness to the most alike prompt that the same model met before; None without a prompt, or a model.

    Prompts of earlier cycles are read where they lie; those that were deleted since count as never met.
    """
    met: dict[str, list[str]] = defaultdict(list)
    for row in earlier:
        answer = graded.get(row["gen_id"]) if row["stage"] == "answer" else None
        prompt = answer.prompt if answer else prompt_of(data_root, row["stage"], row["gen_id"])
        if prompt.strip():
            met[row["model_id"]].append(prompt)
    coming: dict[str, list[int]] = defaultdict(list)
    for number, one in enumerate(new):
        if one.prompt.strip() and one.metadata.model_id:
            coming[one.metadata.model_id].append(number)
    novelties: list[float | None] = [None] * len(new)
    for model, numbers in coming.items():
        nearest = nearest_earlier([*met[model], *(new[number].prompt for number in numbers)])[len(met[model]) :]
        for number, likeness in zip(numbers, nearest, strict=True):
            novelties[number] = 1.0 - likeness
    return novelties


def _conflicts(new: Sequence[Verified]) -> list[float | None]:
    """How far the judges of a text disagree, else how far a model's answers to one prompt do in their outcomes.

    None without a model: the prompts of operators only name them.
    """
    samples: dict[tuple, list[float]] = defaultdict(list)
    keys = [(one.metadata.model_id, one.metadata.prompt_sha256, one.metadata.stage) for one in new]
    for key, one in zip(keys, new, strict=True):
        samples[key].append(one.outcome)
    return [
        snarc.conflict(one.judged if len(one.judged) > 1 else samples[key]) if key[0] else None
        for key, one in zip(keys, new, strict=True)
    ]
