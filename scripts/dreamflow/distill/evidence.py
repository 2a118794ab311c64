"""Collect generations whose outcome was checked independently of their model.

| stage        | verified by       | outcome, from 0 to 1                                      | kind, context       |
|--------------|-------------------|-----------------------------------------------------------|---------------------|
| answer       | the task's grader | the score                                                 | those of the task   |
| draft, essay | judges            | mean of the evaluations, scaled to 0-1                    | stage, template     |
| variant      | the sandbox       | share of calls with the original's behaviour; 0: it fails | "variant", operator |
| chunk        | its parser        | share of the answer without repairs; 0 without an answer  | "chunk", quality    |

`passed` is None for a judge's score, which is an opinion, and for a variant that differs, which may be intended.
Evaluations of a copy (an essay that is its draft) count for the original.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import fmean
from typing import TypeVar

from msgspec import ValidationError

from ..errors import DreamflowError
from ..files import canonical, read_json, sha256
from ..generation.model import Json, Result, from_json
from ..sandbox.runs import COMPARED, FAILED
from ..tasks.outcomes import Outcome

Item = TypeVar("Item")
Out = TypeVar("Out")

_REQUIRED = (
    *("gen_id", "stage", "mode", "status", "reason", "parents", "wildcards", "template_id", "model_id", "attempts"),
    *("prompt_sha256", "response_key", "usage", "cost_usd", "latency_s", "parsed", "parser_options", "created_at"),
)


@dataclass(frozen=True)
class GradedAnswer:
    """The grade of an answer, and the prompt of its task without worked examples."""

    outcome: Outcome
    prompt: str


@dataclass(frozen=True)
class VerifiedResult:
    """A generation and its outcome. `evidence` are the files that verify it, below the data folder; `judge_outcomes`
    has an outcome per evaluation; `stakes` (0-1) are those of its task, if any."""

    metadata: Result
    prompt: str
    verified_by: str
    kind: str
    context: str
    outcome: float
    passed: bool | None
    why: str
    evidence: tuple[str, ...] = ()
    judge_outcomes: tuple[float, ...] = ()
    group: str | None = None
    task_id: str | None = None
    stakes: float | None = None

    @property
    def order(self) -> tuple[str, str, str]:
        """The sort key: the time of the answer; generations without a model come first."""
        return self.metadata.created_at or "", self.metadata.stage, self.metadata.gen_id

    @property
    def experience_id(self) -> str:
        """A digest of the generation and its answer."""
        parts = [getattr(self.metadata, key) for key in ("stage", "gen_id", "response_key", "prompt_sha256")]
        return sha256(canonical(parts))[:16]


class NoExperience(Exception):
    """Raised for a generation without an experience; the message is the reason."""


def collect_verified(
    data_root: Path, graded: Mapping[str, GradedAnswer], left_out: Counter[str]
) -> list[VerifiedResult]:
    """Return all generations below `data_root` with a verified outcome, by `order`; count the others in `left_out`.

    `graded` are the graded answers, by id.
    """
    collect = partial(_collect, left_out)
    scores: dict[str, list[tuple[Result, float]]] = {}
    for author, evaluation, score in collect(partial(_score, data_root), _ids(data_root, "evaluation")):
        scores.setdefault(author, []).append((evaluation, score))
    items = [
        *collect(partial(_answer, data_root), graded.items()),
        *collect(partial(_judged, data_root), scores.items()),
        *collect(partial(_tested, data_root), _tests(data_root, left_out).items()),
        *collect(partial(_chunked, data_root), _ids(data_root, "chunk")),
    ]
    return sorted(items, key=lambda item: item.order)


def _collect(left_out: Counter[str], make: Callable[[Item], Out], items: Iterable[Item]) -> Iterator[Out]:
    """Yield `make(item)` for each item; count the items for which it raises `NoExperience`."""
    for item in items:
        try:
            yield make(item)
        except NoExperience as reason:
            left_out[str(reason)] += 1


def _ids(data_root: Path, stage: str) -> list[str]:
    folder = data_root / "gens" / stage
    return sorted(entry.name for entry in folder.iterdir() if entry.is_dir()) if folder.is_dir() else []


def _folder(data_root: Path, stage: str, gen_id: str) -> Path:
    return data_root / "gens" / stage / gen_id


def _generation(data_root: Path, stage: str, gen_id: str) -> Result:
    """Return the metadata of a finished generation. Raises `NoExperience` for others."""
    try:
        metadata = read_json(_folder(data_root, stage, gen_id) / "metadata.json")
    except (OSError, DreamflowError):
        raise NoExperience(f"{stage}: no readable metadata.json") from None
    try:
        is_own = all(key in metadata for key in _REQUIRED) and metadata["gen_id"] == gen_id
        result = from_json(metadata, Result) if is_own else None
    except (TypeError, ValidationError):
        result = None
    if result is None:
        raise NoExperience(f"{stage}: made by another program")
    if result.status not in ("ok", "failed"):
        raise NoExperience(f"{stage}: {result.status}")
    return result


def prompt_of(data_root: Path, stage: str, gen_id: str) -> str:
    """Return the prompt of a generation; empty if it has none or its file is missing."""
    try:
        return (_folder(data_root, stage, gen_id) / "prompt.txt").read_text(encoding="utf-8")
    except (OSError, ValueError):
        return ""


def _answer(data_root: Path, item: tuple[str, GradedAnswer]) -> VerifiedResult:
    gen_id, graded = item
    metadata, outcome = _generation(data_root, "answer", gen_id), graded.outcome
    if outcome.passed is None:
        raise NoExperience("answer: not graded")
    return VerifiedResult(
        **{"metadata": metadata, "prompt": graded.prompt, "verified_by": "grader", "outcome": float(outcome.score)},
        **{name: getattr(outcome, name) for name in ("kind", "context", "group", "task_id", "passed", "why", "stakes")},
    )


def _score(data_root: Path, gen_id: str) -> tuple[str, Result, float]:
    """Return the judged text as "<stage>/<gen_id>", the evaluation, and its score from 0 to 1."""
    metadata = _generation(data_root, "evaluation", gen_id)
    score = metadata.parsed.get("score")
    scale = metadata.parser_options.get("scale")
    if metadata.status != "ok" or score is None or not scale:
        raise NoExperience("evaluation: without a score")
    low, high = scale
    return _author(data_root, metadata), metadata, (score - low) / (high - low)


def _author(data_root: Path, evaluation: Result) -> str:
    """Return the generation whose model wrote the judged text."""
    metadata = evaluation
    while metadata is evaluation or metadata.mode == "copy":
        parent = next(iter(metadata.parents), "")
        stage = next((name for name in ("essay", "draft") if parent and _folder(data_root, name, parent).is_dir()), "")
        if not stage:
            raise NoExperience("evaluation: the judged text is missing")
        metadata = _generation(data_root, stage, parent)
    return f"{metadata.stage}/{metadata.gen_id}"


def _judged(data_root: Path, item: tuple[str, Sequence[tuple[Result, float]]]) -> VerifiedResult:
    author, scores = item
    metadata = _generation(data_root, *author.split("/"))
    judges = ", ".join(sorted({str(evaluation.model_id) for evaluation, _ in scores}))
    return VerifiedResult(
        metadata=metadata,
        prompt=prompt_of(data_root, metadata.stage, metadata.gen_id),
        **{"verified_by": "judge", "kind": metadata.stage, "context": metadata.template_id},
        outcome=fmean(score for _, score in scores),
        passed=None,
        why=f"{len(scores)} evaluation(s) by {judges}",
        evidence=tuple(f"gens/evaluation/{evaluation.gen_id}/metadata.json" for evaluation, _ in scores),
        judge_outcomes=tuple(score for _, score in scores),
    )


def _tests(data_root: Path, left_out: Counter[str]) -> dict[str, tuple[str, Json]]:
    """Return (file, test) of each tested variant by gen_id; the last night's test counts."""
    last: dict[str, tuple[str, Json]] = {}
    files = (data_root / "dreams").glob("*/cycle-*/tests/*.json")
    for path in sorted(files, key=lambda path: (path.parts[-4], len(path.parts[-3]), path.parts)):
        try:
            entries = read_json(path)
            tests = {gen_id: entry["test"] for gen_id, entry in entries.items() if gen_id != "procedure"}
        except (DreamflowError, OSError, TypeError, KeyError, AttributeError):
            left_out["variant: unreadable tests"] += 1
            continue
        last |= {gen_id: (path.relative_to(data_root).as_posix(), test) for gen_id, test in tests.items()}
    return last


def _tested(data_root: Path, item: tuple[str, tuple[str, Mapping[str, Json] | None]]) -> VerifiedResult:
    gen_id, (path, test) = item
    metadata = _generation(data_root, "variant", gen_id)
    outcome = test["outcome"] if test else None
    if outcome not in (*COMPARED, *FAILED) or (outcome in COMPARED and not test["inputs_run"]):
        raise NoExperience("variant: not tested")
    return VerifiedResult(
        metadata=metadata,
        prompt=prompt_of(data_root, "variant", gen_id),
        **{"verified_by": "sandbox", "kind": "variant", "context": metadata.wildcards["kind"]},
        outcome=test["agreeing"] / test["inputs_run"] if outcome in COMPARED else 0.0,
        passed=None if outcome == "differs" else outcome == "equivalent",
        why=test["reason"],
        evidence=(path,),
    )


def _chunked(data_root: Path, gen_id: str) -> VerifiedResult:
    metadata = _generation(data_root, "chunk", gen_id)
    is_ok = metadata.status == "ok"
    repairs = len(metadata.parsed.get("warnings", ()))
    return VerifiedResult(
        metadata=metadata,
        prompt=prompt_of(data_root, "chunk", gen_id),
        **{"verified_by": "parser", "kind": "chunk", "context": metadata.wildcards["quality_level"]},
        outcome=metadata.parsed["validity"] if is_ok else 0.0,
        passed=is_ok,
        why=f"read with {repairs} repair(s)" if is_ok else f"rules stood in: {metadata.reason}",
    )
