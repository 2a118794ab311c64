"""How much the scores of a judge count: by its agreement with persons, or else with the other judges.

Agreement is Krippendorff's alpha on the interval scale (Content Analysis, ch. 12) between the judge's mean scores and
the persons' mean ratings of the same texts, or else the mean scores of the other judges: 1 for equal scores, 0 for
chance. A judged outcome weighs at most half as much as an exact one: MOST x alpha, alpha cut to 0-1. A judge with fewer
than FEWEST texts in common, or whose texts all have the same score, weighs UNMEASURED.
"""

from collections.abc import Mapping, Sequence
from math import isnan
from statistics import fmean
from typing import NamedTuple

MOST = 0.5
UNMEASURED = 0.25
FEWEST = 5

Text = tuple[str, str]  # (stage, gen_id)


class JudgeWeight(NamedTuple):
    """The weight of a judge's scores, and how it was measured."""

    weight: float
    why: str


def judge_weights(scores: Mapping[str, Mapping[Text, float]], persons: Mapping[Text, float]) -> dict[str, JudgeWeight]:
    """The weight of each judge. `scores` are the mean scores (0-1) of each judge by text, `persons` the persons' mean
    ratings (0-1) by text."""
    by_text: dict[Text, dict[str, float]] = {}
    for judge, given in scores.items():
        for text, score in given.items():
            by_text.setdefault(text, {})[judge] = score
    weights = {}
    for judge, given in scores.items():
        others = {
            text: fmean(score for other, score in by_text[text].items() if other != judge)
            for text in given
            if len(by_text[text]) > 1
        }
        weights[judge] = next(
            (
                JudgeWeight(MOST * max(0.0, alpha), f"agreement {alpha:.2f} with {whom} on {texts} texts")
                for whom, reference in (("persons", persons), ("other judges", others))
                for alpha, texts in [_agreement(given, reference)]
                if alpha is not None
            ),
            JudgeWeight(UNMEASURED, "agreement not measured"),
        )
    return weights


def _agreement(given: Mapping[Text, float], reference: Mapping[Text, float]) -> tuple[float | None, int]:
    """Alpha and the number of common texts; None if it cannot be measured."""
    common: Sequence[Text] = sorted(given.keys() & reference.keys())
    if len(common) < FEWEST:
        return None, len(common)
    from ..reports.statistics import krippendorff_alpha  # imports NumPy

    # Its time and memory grow with the number of different values.
    alpha = krippendorff_alpha([[round(source[text], 2) for text in common] for source in (given, reference)])
    return (None if isnan(alpha) else min(1.0, alpha)), len(common)
