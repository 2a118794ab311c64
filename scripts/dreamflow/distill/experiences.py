"""Experiences: verified generations with their outcomes and salience. A JSON Lines file per cycle.

Rows are sorted by created_at, stage and gen_id. Earlier experiences of a row are those of earlier cycles and the rows
before it. A file contains no experience of an earlier file.
"""

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict

from msgspec import UNSET

from ..errors import DreamflowError
from ..family import World
from ..files import canonical, read_text, write_atomic
from ..generation.model import Json
from ..outcomes.generations import GradedAnswer, collect_scores, collect_verified
from ..outcomes.made import Generations, Made, costs_of, metadata_file, prompt_of
from ..outcomes.outcome import Outcome
from ..tasks.outcomes import read_grades
from . import salience as snarc
from .likeness import nearest_earlier

Costs = dict[str, Json]  # tokens, cost_usd, latency_s


class Experience(TypedDict):
    """A line of a file of experiences. `outcome` and the signals are from 0 to 1; unknown signals are null (see
    `salience`)."""

    experience_id: str  # a digest of the generation and its answer
    cycle: int  # the first cycle with it
    stage: str
    gen_id: str
    prompt_sha256: str | None
    metadata: str  # its file, below the data folder
    evidence: list[str]  # the files that verify it, below the data folder
    model_id: str | None  # null for an operator without a model
    kind: str  # see `outcomes.generations`
    context: str
    group: str | None  # of its task, if any
    task_id: str | None
    verified_by: str  # grader, judge, sandbox or parser
    outcome: float
    passed: bool | None  # null: neither right nor wrong
    why: str
    expected: float  # the expected outcome of this model, kind and context
    tokens: int | None  # of all its samples; null without a model
    cost_usd: float | None
    latency_s: float | None
    surprise: float | None
    novelty: float | None
    arousal: float | None
    reward: float | None
    conflict: float | None
    salience: float | None
    created_at: str | None  # the time of the answer; null without a model


@dataclass(frozen=True)
class Collected:
    """The experiences of a cycle, and the numbers of generations left out, by reason."""

    rows: list[Experience]
    left_out: dict[str, int]


def collect_experiences(world: World, cycle: int, practice: Iterable[str], path: str) -> str:
    """Write the experiences of a cycle to `path`; returns a line with the counts.

    `practice` are files of grades. Existing grades of probes are added.
    """
    graded: dict[str, GradedAnswer] = {}
    for file in (*practice, *sorted(world.layout.root.glob("probes/*/grades.jsonl"))):
        for outcome in read_grades(file):
            row = world.generations.get(outcome.gen_id)  # None: no longer planned
            prompt = row and world.catalog.texts[row.variables["prompt"]["sha256"]]
            graded[outcome.gen_id] = GradedAnswer(outcome, prompt)
    collected = experiences(world.layout.root, cycle, graded, world.settings.salience.as_dict())
    write_atomic(path, experience_lines(collected.rows))
    left_out = "; ".join(f"{count:,} {reason}" for reason, count in collected.left_out.items())
    return f"{len(collected.rows):,} experiences: {path}" + (f" (left out: {left_out})" if left_out else "")


def experiences(
    data_root: Path, cycle: int, graded: Mapping[str, GradedAnswer], weights: Mapping[str, float]
) -> Collected:
    """Collect the experiences below `data_root` that no earlier cycle has; `weights` are those of the signals.

    `graded` are the graded answers, by id; other answers make no experience. Evaluations count whoever wrote them,
    which those in outcomes for trust do not. Raises a `DreamflowError` for an invalid file of an earlier cycle; invalid
    generations are counted and left out.
    """
    previous = load_experiences(data_root, cycle - 1)
    previous_ids = {row["experience_id"] for row in previous}
    left_out: Counter[str] = Counter()
    generations = Generations(data_root)
    scores = collect_scores(generations, left_out)
    everything = collect_verified(generations, graded, left_out, scores)
    new = [item for item in everything if item.experience_id not in previous_ids]
    if len(new) < len(everything):
        left_out["in an earlier cycle"] = len(everything) - len(new)
    costs = [costs_of(item.made, data_root) for item in new]
    expected, novelties = _expected(new, previous), _novelties(new, previous, data_root, graded)
    conflicts, ranks = _conflicts(new), _cost_ranks(costs)
    rows = []
    for number, item in enumerate(new):
        signals = {
            "surprise": snarc.surprise(item.outcome, expected[number], _mean_logprob(item.made)),
            "novelty": novelties[number],
            "arousal": snarc.arousal(item.stakes, ranks[number]),
            "reward": item.outcome,
            "conflict": conflicts[number],
        }
        numbers = {**signals, "salience": snarc.salience(signals, weights)}
        numbers |= {"outcome": item.outcome, "expected": expected[number]}
        rounded = {name: None if value is None else round(value, 6) for name, value in numbers.items()}
        rows.append({**_facts(item, cycle), **costs[number], **rounded})
    return Collected(rows, dict(sorted(left_out.items())))


def experience_lines(rows: Iterable[Experience]) -> str:
    """Return the text of a file of experiences."""
    return "".join(canonical(row) + "\n" for row in rows)


def experience_file(data_root: Path, cycle: int) -> Path:
    """Return the file of the experiences of a cycle."""
    return data_root / "experiences" / f"cycle-{cycle}.jsonl"


def load_experiences(data_root: Path, through: int) -> list[Experience]:
    """Return the experiences of the cycles 1 to `through`, in order. A file may be missing."""
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


def _facts(item: Outcome, cycle: int) -> dict[str, Json]:
    names = ("stage", "gen_id", "model_id", "created_at", "experience_id")
    names += ("kind", "context", "group", "task_id", "verified_by", "passed", "why")
    return {
        "cycle": cycle,
        "metadata": metadata_file(item.made),
        "evidence": list(item.evidence),
        "prompt_sha256": item.made.prompt_sha256,
        **{name: getattr(item, name) for name in names},
    }


def _cost_ranks(costs: Sequence[Costs]) -> list[float | None]:
    """Rank the costs of the cycle by dollars, then by tokens; by tokens only if a price is unknown."""
    has_prices = all(cost["cost_usd"] is not None for cost in costs if cost["tokens"] is not None)
    pairs = [((cost["cost_usd"] if has_prices else 0), cost["tokens"]) for cost in costs]
    return snarc.ranks([None if pair[1] is None else pair for pair in pairs])


def _mean_logprob(made: Made) -> float | None:
    """Return the mean log-probability of the answer's tokens if the provider reports their sum."""
    usage = made.usage
    return usage.logprob / usage.completion if usage.logprob is not UNSET and usage.completion else None


def _expected(new: Sequence[Outcome], previous: Sequence[Experience]) -> list[float]:
    """Return the expected outcome of each new item from earlier outcomes of its model, kind and context."""
    totals: dict[tuple, list[float]] = defaultdict(lambda: [0.0, 0])
    outcomes = [((row["model_id"], row["kind"], row["context"]), row["outcome"]) for row in previous]
    outcomes += [((item.model_id, item.kind, item.context), item.outcome) for item in new]
    expected = []
    for key, outcome in outcomes:
        expected.append(snarc.expectation(*totals[key]))
        totals[key][0] += outcome
        totals[key][1] += 1
    return expected[len(previous) :]


def _novelties(
    new: Sequence[Outcome], previous: Sequence[Experience], data_root: Path, graded: Mapping[str, GradedAnswer]
) -> list[float | None]:
    """Return 1 - likeness to the most similar earlier prompt of the same model; None without a prompt or a model.

    Prompts of earlier cycles are read from their files; deleted prompts are ignored.
    """
    earlier: dict[str | None, list[str]] = defaultdict(list)
    for row in previous:
        answer = graded.get(row["gen_id"]) if row["stage"] == "answer" else None
        prompt = answer and answer.prompt
        prompt = prompt_of(data_root, row["stage"], row["gen_id"]) if prompt is None else prompt
        if prompt.strip():
            earlier[row["model_id"]].append(prompt)
    by_model: dict[str, list[int]] = defaultdict(list)
    for number, item in enumerate(new):
        if item.prompt.strip() and item.model_id:
            by_model[item.model_id].append(number)
    novelties: list[float | None] = [None] * len(new)
    for model, numbers in by_model.items():
        nearest = nearest_earlier([*earlier[model], *(new[number].prompt for number in numbers)])
        for number, likeness in zip(numbers, nearest[len(earlier[model]) :], strict=True):
            novelties[number] = 1.0 - likeness
    return novelties


def _conflicts(new: Sequence[Outcome]) -> list[float | None]:
    """Return the conflict of the judges of a text, or else of a model's answers to the same prompt.

    None without a model: the prompts of operators only name the operator.
    """
    samples: dict[tuple, list[float]] = defaultdict(list)
    keys = [(item.model_id, item.made.prompt_sha256, item.stage) for item in new]
    for key, item in zip(keys, new, strict=True):
        samples[key].append(item.outcome)
    return [
        snarc.conflict(item.judge_outcomes if len(item.judge_outcomes) > 1 else samples[key]) if key[0] else None
        for key, item in zip(keys, new, strict=True)
    ]
