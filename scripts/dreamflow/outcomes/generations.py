"""Outcomes of generations that were checked independently of their model.

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
from math import isfinite
from statistics import fmean
from typing import TypeVar

from ..errors import DreamflowError
from ..files import read_json
from ..generation.model import Json
from ..sandbox.runs import COMPARED, FAILED
from ..tasks.outcomes import Outcome as Grade
from .made import Generations, Made, NoOutcome, metadata_file, of_generation, prompt_of
from .outcome import Outcome

Item = TypeVar("Item")
Out = TypeVar("Out")
Scores = Mapping[tuple[str, str], Sequence[tuple[Made, float]]]  # (stage, gen_id) -> evaluations with their scores


@dataclass(frozen=True)
class GradedAnswer:
    """The grade of an answer; the prompt of its task without worked examples (None: that of its prompt.txt); the file
    with the grade, below the data folder."""

    outcome: Grade
    prompt: str | None = None
    file: str = ""


def collect(left_out: Counter[str], make: Callable[[Item], Out], items: Iterable[Item]) -> Iterator[Out]:
    """Yield `make(item)` for each item; count the items for which it raises `NoOutcome`."""
    for item in items:
        try:
            yield make(item)
        except NoOutcome as reason:
            left_out[str(reason)] += 1


def collect_verified(
    generations: Generations, graded: Mapping[str, GradedAnswer], left_out: Counter[str], judged: Scores
) -> list[Outcome]:
    """The outcomes of all generations that were verified, at most one each, by `order`; the others are counted in
    `left_out`. `graded` are the graded answers, by id; `judged` are the evaluations that count."""
    items = [
        *collect(left_out, partial(_answer, generations), graded.items()),
        *collect(left_out, partial(_judged, generations), judged.items()),
        *collect(left_out, partial(_tested, generations), _tests(generations, left_out).items()),
        *collect(left_out, partial(_chunked, generations), sorted(generations.ids("chunk"))),
    ]
    return sorted(items, key=lambda item: item.order)


def _answer(generations: Generations, item: tuple[str, GradedAnswer]) -> Outcome:
    gen_id, graded = item
    made, grade = generations("answer", gen_id), graded.outcome
    if grade.passed is None:
        raise NoOutcome("answer: not graded")
    if grade.score is None or not 0 <= grade.score <= 1:
        raise NoOutcome("answer: a grade outside of 0-1")
    return Outcome(
        **of_generation(made),
        prompt=prompt_of(generations.root, "answer", gen_id) if graded.prompt is None else graded.prompt,
        **{"evidence_class": "exact", "verified_by": "grader", "outcome": float(grade.score)},
        **{name: getattr(grade, name) for name in ("kind", "context", "group", "task_id", "passed", "why", "stakes")},
        evidence=(graded.file,) if graded.file else (),
    )


def collect_scores(generations: Generations, left_out: Counter[str]) -> Scores:
    """The usable evaluations of each judged text, with their scores from 0 to 1. A copy's are those of its original."""
    scores: dict[tuple[str, str], list[tuple[Made, float]]] = {}
    for author, made, score in collect(left_out, partial(_score, generations), sorted(generations.ids("evaluation"))):
        scores.setdefault(author, []).append((made, score))
    return scores


def _score(generations: Generations, gen_id: str) -> tuple[tuple[str, str], Made, float]:
    made = generations("evaluation", gen_id)
    score = made.parsed.get("score")
    scale = made.parser_options.get("scale")
    if made.status != "ok" or score is None or not scale:
        raise NoOutcome("evaluation: without a score")
    try:
        low, high = scale
        share = (score - low) / (high - low)
    except (TypeError, ValueError, ZeroDivisionError):
        share = -1.0
    if not isfinite(share) or not 0 <= share <= 1:
        raise NoOutcome("evaluation: a score outside of its scale")
    return author_of(generations, made), made, share


def author_of(generations: Generations, child: Made) -> tuple[str, str]:
    """The generation (stage, id) whose model wrote the text that `child` judges, or of which it is a copy."""
    made = child
    while made is child or made.mode == "copy":
        parent = next(iter(made.parents), "")
        stage = next((name for name in ("essay", "draft") if parent in generations.ids(name)), "")
        if not stage:
            raise NoOutcome("evaluation: the judged text is missing")
        made = generations(stage, parent)
    return made.stage, made.gen_id


def _judged(generations: Generations, item: tuple[tuple[str, str], Sequence[tuple[Made, float]]]) -> Outcome:
    author, scores = item
    made = generations(*author)
    judges = ", ".join(sorted({str(evaluation.model_id) for evaluation, _ in scores}))
    return Outcome(
        **of_generation(made),
        prompt=prompt_of(generations.root, *author),
        **{"kind": made.stage, "context": made.template_id, "evidence_class": "judged", "verified_by": "judge"},
        outcome=fmean(score for _, score in scores),
        passed=None,
        why=f"{len(scores)} evaluation(s) by {judges}",
        evidence=tuple(metadata_file(evaluation) for evaluation, _ in scores),
        judge_outcomes=tuple(score for _, score in scores),
    )


def _tests(generations: Generations, left_out: Counter[str]) -> dict[str, tuple[str, Json]]:
    """(file, test) of each tested variant by gen_id; the last night's test counts."""
    last: dict[str, tuple[str, Json]] = {}
    root = generations.root
    files = (root / "dreams").glob("*/cycle-*/tests/*.json")
    for path in sorted(files, key=lambda path: (path.parts[-4], len(path.parts[-3]), path.parts)):
        try:
            entries = read_json(path)
            tests = {gen_id: entry["test"] for gen_id, entry in entries.items() if gen_id != "procedure"}
        except (DreamflowError, OSError, TypeError, KeyError, AttributeError):
            left_out["variant: unreadable tests"] += 1
            continue
        last |= {gen_id: (path.relative_to(root).as_posix(), test) for gen_id, test in tests.items()}
    return last


def _tested(generations: Generations, item: tuple[str, tuple[str, Mapping[str, Json] | None]]) -> Outcome:
    gen_id, (path, test) = item
    made = generations("variant", gen_id)
    try:
        outcome = test["outcome"] if test else None
        share = test["agreeing"] / test["inputs_run"] if outcome in COMPARED and test["inputs_run"] else None
        why = str(test["reason"]) if test else ""
    except (TypeError, KeyError):
        raise NoOutcome("variant: unreadable tests") from None
    if outcome not in FAILED and share is None:
        raise NoOutcome("variant: not tested")
    return Outcome(
        **of_generation(made),
        prompt=prompt_of(generations.root, "variant", gen_id),
        **{"kind": "variant", "context": str(made.wildcards.get("kind", ""))},
        **{"evidence_class": "exact", "verified_by": "sandbox"},
        outcome=0.0 if share is None else share,
        passed=None if outcome == "differs" else outcome == "equivalent",
        why=why,
        evidence=(path,),
    )


def _chunked(generations: Generations, gen_id: str) -> Outcome:
    made = generations("chunk", gen_id)
    is_ok = made.status == "ok"
    validity = made.parsed.get("validity") if is_ok else 0.0
    if not isinstance(validity, int | float) or not 0 <= validity <= 1:
        raise NoOutcome("chunk: made by another program")
    repairs = len(made.parsed.get("warnings", ()))
    return Outcome(
        **of_generation(made),
        prompt=prompt_of(generations.root, "chunk", gen_id),
        **{"kind": "chunk", "context": str(made.wildcards.get("quality_level", ""))},
        **{"evidence_class": "exact", "verified_by": "parser"},
        outcome=validity,
        passed=is_ok,
        why=f"read with {repairs} repair(s)" if is_ok else f"rules stood in: {made.reason}",
    )
