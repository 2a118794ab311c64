"""All outcomes of models in a project.

Besides those of `generations`, judged texts by other models than their authors only:

| stage or source                      | verified by  | outcome, from 0 to 1              | class  |
|--------------------------------------|--------------|-----------------------------------|--------|
| evaluation, verdict, match, cluster  | its parser   | 1 if its answer could be read     | exact  |
| chunk                                | windows      | see `windows`                     | exact  |
| any, with ratings                    | person       | mean of the ratings               | person |
| draft, essay, evaluated by a person  | person       | mean of the ratings               | person |
| any: a model that gave no usable     | its parser   | 0, see `unusable`                 |        |
| answer, so that another one answered |              |                                   |        |
| rows of `raw_root`/outcomes          | row          | as recorded                       | exact  |

Classes never mix: a text may have an outcome in each. A judged outcome weighs as much as its judges (see `judges`).
Whether a judge's verdict fits the sandbox's test is no outcome, since the test's result is in the verdict's prompt.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from statistics import fmean

from msgspec.structs import replace

from ..errors import DreamflowError
from ..generation.models import Model
from ..routing.atp import count_words, words_of
from ..tasks.outcomes import read_grades
from .benchmarks import read_benchmarks
from .generations import GradedAnswer, Scores, collect, collect_scores, collect_verified
from .judges import judge_weights
from .made import Generations, NoOutcome, costs_of, metadata_file, of_generation, prompt_of
from .outcome import Outcome
from .ratings import Rating, Ratings, read_ratings
from .unusable import unusable_outcomes
from .windows import window_outcomes

PARSED_STAGES = ("evaluation", "verdict", "match", "cluster", "note")  # their answers are read by a parser, or not
_BY = {"human": "by a person, not by a model", "local": "by an operator, not by a model", "copy": "a copy"}
_GRADES = ("probes/*/grades.jsonl", "distill/*/cycle-*/grades/*.jsonl")


def collect_outcomes(
    data_root: Path, raw_root: Path, models: Mapping[str, Model]
) -> tuple[list[Outcome], Counter[str]]:
    """The outcomes of models, by `Outcome.order`, and the numbers of what was left out, by reason.

    `raw_root` may have a folder `outcomes` of benchmarks; only these are left out if their model is not among `models`.
    Damaged results are left out. Raises a `DreamflowError` for a file of a person (ratings, benchmarks) with errors.
    """
    left_out: Counter[str] = Counter()
    generations = Generations(data_root)
    graded = graded_answers(data_root, left_out)
    by_models, ratings = _judgements(generations, left_out)
    everything = [
        *_weighted(collect_verified(generations, graded, left_out, by_models), by_models, ratings),
        *_all_parsed(generations, left_out),
        *window_outcomes(generations, left_out),
        *unusable_outcomes(generations, left_out),
        *collect(left_out, partial(_rated, generations, graded), ratings.items()),
    ]
    # What a model is always sent before a prompt is no part of the generation.
    before = {model_id: words_of(model.example_turns) for model_id, model in models.items()}
    found = [*collect(left_out, partial(_of_a_model, data_root, before), everything)]
    found += [
        replace(row, prompt_words=count_words(row.prompt) + before[row.model_id])
        for row in read_benchmarks(raw_root / "outcomes", data_root, models, left_out)
    ]
    return sorted(found, key=lambda outcome: outcome.order), left_out


def graded_answers(data_root: Path, left_out: Counter[str]) -> dict[str, GradedAnswer]:
    """The grades of all answers, by id; files that cannot be read are named in `left_out`."""
    graded: dict[str, GradedAnswer] = {}
    for path in (path for pattern in _GRADES for path in sorted(data_root.glob(pattern))):
        try:
            grades = read_grades(path)
        except DreamflowError as error:
            left_out[str(error)] += 1
            continue
        file = path.relative_to(data_root).as_posix()
        graded |= {grade.gen_id: GradedAnswer(grade, file=file) for grade in grades}
    return graded


def _judgements(generations: Generations, left_out: Counter[str]) -> tuple[Scores, Ratings]:
    """The evaluations by other models than the author, and the ratings by persons."""
    scores = {}
    ratings = {text: list(given) for text, given in read_ratings(generations, left_out).items()}
    for text, evaluations in collect_scores(generations, left_out).items():
        persons = [item for item in evaluations if item[0].mode == "human"]
        ratings.setdefault(text, []).extend(
            Rating(str(made.model_id), score, metadata_file(made)) for made, score in persons
        )
        judged = [item for item in evaluations if item[0].mode != "human"]
        others = [item for item in judged if item[0].model_id != generations(*text).model_id]
        left_out["evaluation: an author's judgement of its own text"] += len(judged) - len(others)
        if others:
            scores[text] = others
    left_out += Counter()  # drops zeros
    return scores, {text: given for text, given in ratings.items() if given}


def _weighted(outcomes: Iterable[Outcome], scores: Scores, ratings: Ratings) -> Iterable[Outcome]:
    """The outcomes; those by judges with the mean weight of their judges."""
    by_judge: dict[str, dict[tuple[str, str], list[float]]] = {}
    for text, evaluations in scores.items():
        for made, score in evaluations:
            by_judge.setdefault(str(made.model_id), {}).setdefault(text, []).append(score)
    means = {judge: {text: fmean(values) for text, values in given.items()} for judge, given in by_judge.items()}
    persons = {text: fmean(rating.value for rating in given) for text, given in ratings.items()}
    weights = judge_weights(means, persons)
    for outcome in outcomes:
        if outcome.verified_by == "judge":
            judges = sorted({str(made.model_id) for made, _ in scores[outcome.stage, outcome.gen_id]})
            why = "; ".join([outcome.why, *(f"{judge}: {weights[judge].why}" for judge in judges)])
            yield replace(outcome, weight=fmean(weights[judge].weight for judge in judges), why=why)
        else:
            yield outcome


def _all_parsed(generations: Generations, left_out: Counter[str]) -> Iterator[Outcome]:
    for stage in PARSED_STAGES:
        # What is wrong with an evaluation was counted when its score was read.
        reasons = Counter() if stage == "evaluation" else left_out
        items = [(stage, gen_id) for gen_id in sorted(generations.ids(stage))]
        yield from collect(reasons, partial(_parsed, generations), items)


def _parsed(generations: Generations, item: tuple[str, str]) -> Outcome:
    stage, gen_id = item
    made = generations(stage, gen_id)
    if made.mode != "llm":
        raise NoOutcome(f"{stage}: {_BY.get(made.mode, made.mode)}")
    is_ok = made.status == "ok"
    return Outcome(
        **of_generation(made),
        prompt=prompt_of(generations.root, stage, gen_id),
        **{"kind": stage, "context": made.template_id, "evidence_class": "exact", "verified_by": "parser"},
        **{"outcome": float(is_ok), "passed": is_ok, "why": "its answer was read" if is_ok else made.reason},
        evidence=(metadata_file(made),),
    )


def _rated(
    generations: Generations, graded: Mapping[str, GradedAnswer], item: tuple[tuple[str, str], Sequence[Rating]]
) -> Outcome:
    (stage, gen_id), ratings = item
    made = generations(stage, gen_id)
    grade = graded[gen_id].outcome if gen_id in graded else None
    raters = sorted({rating.rater or "a person" for rating in ratings})
    comments = [" ".join(rating.comment.split()) for rating in ratings if rating.comment]
    return Outcome(
        **of_generation(made),
        prompt=prompt_of(generations.root, stage, gen_id),
        **{"kind": grade.kind if grade else stage, "context": grade.context if grade else made.template_id},
        **{"evidence_class": "person", "verified_by": "person"},
        outcome=fmean(rating.value for rating in ratings),
        passed=None,
        why="; ".join([f"{len(ratings)} rating(s) by {', '.join(raters)}", *comments]),
        evidence=tuple(rating.place for rating in ratings),
        judge_outcomes=tuple(rating.value for rating in ratings),
    )


def _of_a_model(root: Path, words_before: Mapping[str, int], outcome: Outcome) -> Outcome:
    """The outcome with its costs. Raises `NoOutcome` if no model made the answer."""
    made = outcome.made
    if made.mode != "llm" or not made.model_id:
        raise NoOutcome(f"{outcome.stage}: {_BY.get(made.mode, made.mode)}")
    words = None
    if outcome.prompt:
        words = count_words(outcome.prompt) + words_of(made.turns or ()) + words_before.get(made.model_id, 0)
    return replace(outcome, prompt_words=words, **costs_of(made, root))
