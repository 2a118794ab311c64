"""Which generations have an outcome that somebody else than their model verified, and what it is.

| stage        | verified by       | outcome, from 0 to 1                                      | kind, context       |
|--------------|-------------------|-----------------------------------------------------------|---------------------|
| answer       | the task's grader | its score                                                 | the task's          |
| draft, essay | judges            | the mean of its evaluations, each carried from its scale  | stage, template     |
| variant      | the sandbox       | share of calls that behave as the original's; 0: it fails | "variant", operator |
| chunk        | its parser        | share of its answer that needed no repair, 0 without one  | "chunk", quality    |

A judge's score is an opinion, and neither right nor wrong; a variant that differs may be meant to: both have no
`passed`. Evaluations of a copy (an essay that is its draft) are of what was copied.
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
Found = TypeVar("Found")

_NEEDED = (
    *("gen_id", "stage", "mode", "status", "reason", "parents", "wildcards", "template_id", "model_id", "attempts"),
    *("prompt_sha256", "response_key", "usage", "cost_usd", "latency_s", "parsed", "parser_options", "created_at"),
)


@dataclass(frozen=True)
class Graded:
    """An answer's grade, and the prompt of its task: without the worked examples that a teacher is shown."""

    outcome: Outcome
    prompt: str


@dataclass(frozen=True)
class Verified:
    """A generation and its outcome. `evidence` are the files that say so, from the data folder on; `judged` has the
    outcomes that judges gave, one for each evaluation; `stakes` (0-1) is what the task says of them, else None."""

    metadata: Result
    prompt: str
    verified_by: str
    kind: str
    context: str
    outcome: float
    passed: bool | None
    why: str
    evidence: tuple[str, ...] = ()
    judged: tuple[float, ...] = ()
    group: str | None = None
    task_id: str | None = None
    stakes: float | None = None

    @property
    def order(self) -> tuple[str, str, str]:
        """What comes earlier has the smaller one; what no model answered has no time and comes first."""
        return self.metadata.created_at or "", self.metadata.stage, self.metadata.gen_id

    @property
    def experience_id(self) -> str:
        """A digest of the generation and its answer: drawn anew, it is another experience."""
        parts = [getattr(self.metadata, key) for key in ("stage", "gen_id", "response_key", "prompt_sha256")]
        return sha256(canonical(parts))[:16]


class LeftOut(Exception):
    """A generation that makes no experience; the message is the reason."""


def verified(data_root: Path, graded: Mapping[str, Graded], left_out: Counter[str]) -> list[Verified]:
    """All generations under `data_root` with a verified outcome, in their `order`; others are counted in `left_out`.

    `graded` has the answers that were graded, by id.
    """
    collect = partial(_collect, left_out)
    scores: dict[str, list[tuple[Result, float]]] = {}
    for author, evaluation, score in collect(partial(_score, data_root), _ids(data_root, "evaluation")):
        scores.setdefault(author, []).append((evaluation, score))
    found = [
        *collect(partial(_answer, data_root), graded.items()),
        *collect(partial(_judged, data_root), scores.items()),
        *collect(partial(_tested, data_root), _tests(data_root, left_out).items()),
        *collect(partial(_chunked, data_root), _ids(data_root, "chunk")),
    ]
    return sorted(found, key=lambda one: one.order)


def _collect(left_out: Counter[str], make: Callable[[Item], Found], items: Iterable[Item]) -> Iterator[Found]:
    """What `make` makes of each item; items that it leaves out are counted."""
    for item in items:
        try:
            yield make(item)
        except LeftOut as reason:
            left_out[str(reason)] += 1


def _ids(data_root: Path, stage: str) -> list[str]:
    folder = data_root / "gens" / stage
    return sorted(entry.name for entry in folder.iterdir() if entry.is_dir()) if folder.is_dir() else []


def _folder(data_root: Path, stage: str, gen_id: str) -> Path:
    return data_root / "gens" / stage / gen_id


def _generation(data_root: Path, stage: str, gen_id: str) -> Result:
    """The metadata of a generation that was made, or could not be; other programs' have not all that is needed."""
    try:
        metadata = read_json(_folder(data_root, stage, gen_id) / "metadata.json")
    except (OSError, DreamflowError):
        raise LeftOut(f"{stage}: no metadata.json that can be read") from None
    try:
        if not all(key in metadata for key in _NEEDED):
            raise LeftOut(f"{stage}: made by another program")
        result = from_json(metadata, Result)
    except (TypeError, ValidationError):
        raise LeftOut(f"{stage}: made by another program") from None
    if result.gen_id != gen_id:
        raise LeftOut(f"{stage}: made by another program")
    if result.status not in ("ok", "failed"):
        raise LeftOut(f"{stage}: {result.status}")
    return result


def prompt_of(data_root: Path, stage: str, gen_id: str) -> str:
    """The prompt of a generation; empty where it had none (copies, skipped ones) or its file is gone."""
    try:
        return (_folder(data_root, stage, gen_id) / "prompt.txt").read_text(encoding="utf-8")
    except (OSError, ValueError):
        return ""


def _answer(data_root: Path, item: tuple[str, Graded]) -> Verified:
    gen_id, graded = item
    metadata, outcome = _generation(data_root, "answer", gen_id), graded.outcome
    if outcome.passed is None:
        raise LeftOut("answer: not graded")
    return Verified(
        metadata=metadata,
        prompt=graded.prompt,
        verified_by="grader",
        outcome=float(outcome.score),
        passed=outcome.passed,
        why=outcome.why,
        stakes=outcome.stakes,
        kind=outcome.kind,
        context=outcome.context,
        group=outcome.group,
        task_id=outcome.task_id,
    )


def _score(data_root: Path, gen_id: str) -> tuple[str, Result, float]:
    """(the judged text as "<stage>/<gen_id>", the evaluation, its score from 0 to 1)."""
    metadata = _generation(data_root, "evaluation", gen_id)
    score = metadata.parsed.get("score")
    scale = metadata.parser_options.get("scale")
    if metadata.status != "ok" or score is None or not scale:
        raise LeftOut("evaluation: without a score")
    low, high = scale
    return _author(data_root, metadata), metadata, (score - low) / (high - low)


def _author(data_root: Path, evaluation: Result) -> str:
    """The generation whose model wrote the text that was judged."""
    metadata = evaluation
    while metadata is evaluation or metadata.mode == "copy":
        parent = next(iter(metadata.parents), "")
        stage = next((one for one in ("essay", "draft") if parent and _folder(data_root, one, parent).is_dir()), "")
        if not stage:
            raise LeftOut("evaluation: what it judged is gone")
        metadata = _generation(data_root, stage, parent)
    return f"{metadata.stage}/{metadata.gen_id}"


def _judged(data_root: Path, item: tuple[str, Sequence[tuple[Result, float]]]) -> Verified:
    author, scores = item
    metadata = _generation(data_root, *author.split("/"))
    judges = ", ".join(sorted({str(evaluation.model_id) for evaluation, _ in scores}))
    outcome = fmean(score for _, score in scores)
    return Verified(
        metadata=metadata,
        prompt=prompt_of(data_root, metadata.stage, metadata.gen_id),
        verified_by="judge",
        kind=metadata.stage,
        context=metadata.template_id,
        outcome=outcome,
        passed=None,
        why=f"{len(scores)} evaluation(s) by {judges}",
        evidence=tuple(f"gens/evaluation/{evaluation.gen_id}/metadata.json" for evaluation, _ in scores),
        judged=tuple(score for _, score in scores),
    )


def _tests(data_root: Path, left_out: Counter[str]) -> dict[str, tuple[str, Json]]:
    """gen_id -> (file, test) for each variant that was tested; of several nights' tests the last one's."""
    found: dict[str, tuple[str, Json]] = {}
    files = (data_root / "dreams").glob("*/cycle-*/tests/*.json")
    for path in sorted(files, key=lambda path: (path.parts[-4], len(path.parts[-3]), path.parts)):
        try:
            entries = read_json(path)
            tests = {gen_id: entry["test"] for gen_id, entry in entries.items() if gen_id != "procedure"}
        except (DreamflowError, OSError, TypeError, KeyError, AttributeError):
            left_out["variant: tests that cannot be read"] += 1
            continue
        found |= {gen_id: (path.relative_to(data_root).as_posix(), test) for gen_id, test in tests.items()}
    return found


def _tested(data_root: Path, item: tuple[str, tuple[str, Mapping[str, Json] | None]]) -> Verified:
    gen_id, (path, test) = item
    metadata = _generation(data_root, "variant", gen_id)
    outcome = test["outcome"] if test else None
    if outcome not in (*COMPARED, *FAILED) or (outcome in COMPARED and not test["inputs_run"]):
        raise LeftOut("variant: not tested")
    return Verified(
        metadata=metadata,
        prompt=prompt_of(data_root, "variant", gen_id),
        verified_by="sandbox",
        kind="variant",
        context=metadata.wildcards["kind"],
        outcome=test["agreeing"] / test["inputs_run"] if outcome in COMPARED else 0.0,
        passed=None if outcome == "differs" else outcome == "equivalent",
        why=test["reason"],
        evidence=(path,),
    )


def _chunked(data_root: Path, gen_id: str) -> Verified:
    metadata = _generation(data_root, "chunk", gen_id)
    made = metadata.status == "ok"
    repairs = len(metadata.parsed.get("warnings", ()))
    return Verified(
        metadata=metadata,
        prompt=prompt_of(data_root, "chunk", gen_id),
        verified_by="parser",
        kind="chunk",
        context=metadata.wildcards["quality_level"],
        outcome=metadata.parsed["validity"] if made else 0.0,
        passed=made,
        why=f"read with {repairs} repair(s)" if made else f"rules stood in: {metadata.reason}",
    )
