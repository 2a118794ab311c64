"""What the scores of a cohort say in words: the sentences are true, whatever the scores are."""

import numpy as np
import pandas as pd
import pytest
from dreamflow.reports.findings import WIDTH, alpha_text, as_markdown, as_text, findings
from dreamflow.reports.scores import as_frame

NINE, FIVE = (0.0, 9.0), (1.0, 5.0)


def table(given: dict, *, stage: str = "essay", scales: dict | None = None) -> pd.DataFrame:
    """A long table: {(model, judge, rubric): the scores of combinations 0, 1, ...}; a word is the status of a missing
    score."""
    rows = []
    for (model, judge, rubric), outcomes in given.items():
        low, high = (scales or {}).get(rubric, NINE)
        for combo, outcome in enumerate(outcomes):
            score = None if isinstance(outcome, str) else float(outcome)
            rows.append(
                {
                    "gen_id": f"v_{model}{judge}{rubric}{combo}",
                    "parent_gen_id": f"e_{model}{combo}",
                    "evaluation_template": rubric,
                    "evaluation_llm_model": judge,
                    "score": score,
                    "combo_id": f"c{combo}",
                    "draft_template": "plan",
                    "generation_template": "prose" if stage == "essay" else "",
                    "generation_model": model,
                    "draft_model": model,
                    "status": "ok" if score is not None else outcome,
                    "judged_stage": stage,
                    "scale_low": low,
                    "scale_high": high,
                    "score_01": None if score is None else (score - low) / (high - low),
                    "self_judged": model == judge,
                    **dict.fromkeys(("draft_replicate", "essay_replicate", "evaluation_replicate"), 1),
                    **dict.fromkeys(("generation_response_path", "draft_gen_id"), ""),
                }
            )
    return as_frame(rows)


FIRST = (3, 4, 5, 6, 3, 4, 5, 6)
BETTER = (4, 5, 6, 7, 4, 5, 6, 8)  # by 1, and once by 2: 1.125 +- 2.365 * 0.125


def said(given: dict, **options) -> list[str]:
    return findings(table(given, **options)).sentences


@pytest.mark.parametrize("stage", ["essay", "draft"])
@pytest.mark.parametrize("turned", [False, True], ids=["second better", "first better"])
def test_a_clear_difference_in_points_of_the_rubric(stage, turned):
    names = ("m2", "m1") if turned else ("m1", "m2")
    given = {(names[0], "j", "clarity"): FIRST, (names[1], "j", "clarity"): BETTER}
    found = findings(table(given, stage=stage))
    assert found.sentences == [
        f"16 {stage}s by 2 models have 16 scores by j on clarity.",
        f"{names[1]} is better than {names[0]} by 1.1 [0.8, 1.4] points on clarity (0-9), "
        "8 pairs in 8 combinations of concepts.",
    ]
    assert found.answer == found.sentences[1]
    assert found.missing == ""
    assert "one judge (j on clarity)" in found.warnings[0]


@pytest.mark.parametrize(
    ("other", "words"),
    [
        (FIRST, "No difference shown between m1 and m2: 0.0 [0.0, 0.0] points"),
        ((4, 3, 6, 5, 4, 3, 6, 5), "No difference shown between m1 and m2: 0.0 [-0.9, 0.9] points"),
        ((2, 4, 5, 6, 3, 4, 5, 6), "No difference shown between m1 and m2: m1 is ahead by 0.1 [-0.2, 0.4] points"),
    ],
    ids=["equal", "equal on average", "slightly ahead"],
)
def test_an_interval_with_zero_shows_no_difference(other, words):
    given = {("m1", "j", "clarity"): FIRST, ("m2", "j", "clarity"): other}
    assert said(given)[1] == f"{words} on clarity (0-9), 8 pairs in 8 combinations of concepts."


@pytest.mark.parametrize("combos", [1, 2, 5])
def test_too_few_combinations_are_not_enough(combos):
    """Even where every pair says the same, and the interval has no width."""
    given = {("m1", "j", "clarity"): [3] * combos, ("m2", "j", "clarity"): [4] * combos}
    _, sentence, last = said(given)
    assert last == "A comparison needs at least 6 combinations of concepts."
    assert sentence.startswith("Not enough to say whether m2 is better than m1: m2 is ahead by 1.0 ")
    assert f"in only {combos} pair" in sentence
    assert not any(str(nothing) in sentence for nothing in (np.nan, None))


def test_rubrics_of_two_scales_are_compared_on_each_and_on_the_unit():
    given = {}
    for model, scores in (("m1", FIRST), ("m2", BETTER)):
        given[model, "j", "clarity"] = scores
        given[model, "j", "rigor"] = [1 + (score - 3) / 2 for score in scores]
    _, overall, *each = said(given, scales={"rigor": FIVE})[:4]
    assert overall.startswith(
        "m2 is better than m1 by 0.13 [0.10, 0.17] on the scale 0-1 (clarity and rigor), 16 pairs"
    )
    assert "by 1.1 [0.8, 1.4] points on clarity (0-9), 8 pairs" in each[0]
    assert "by 0.56 [0.41, 0.71] points on rigor (1-5), 8 pairs" in each[1]


def test_twenty_models_are_summed_up():
    given = {(f"m{n:02}", "j", "clarity"): [n // 3 + (n == combo) for combo in range(8)] for n in range(20)}
    found = findings(table(given))
    _, best, *rivals, more = found.sentences
    assert best == "m18 is better than 18 of the 19 models that it is compared with; no difference is shown from 1."
    assert rivals[0].startswith("No difference shown between m18 and m19: 0.0 [0.0, 0.0]")
    assert len(rivals) == 3
    assert more == "187 more comparisons of models: analysis/paired_differences.csv."
    assert "190 comparisons were made" in found.warnings[-1]
    assert "about 10 would seem to" in found.warnings[-1]


def test_twenty_equal_models():
    given = {(f"m{n}", "j", "clarity"): FIRST for n in range(20)}
    assert said(given)[1].startswith("No difference is shown between any of 20 models in 190 comparisons")


@pytest.mark.parametrize(
    ("second", "agrees", "words"),
    [
        (FIRST, True, "The 2 judges agree with alpha 1 on 8 texts."),
        (FIRST[::-1], False, "The 2 judges agree with alpha -.875 on 8 texts, below .667."),
        ([5] * 8, False, "The 2 judges agree with alpha -.023 on 8 texts, below .667."),
        (["missing"] * 8, False, "There is one judge (j on clarity)"),
    ],
)
def test_agreement_of_judges_is_said_and_low_agreement_is_a_warning(second, agrees, words):
    found = findings(table({("m1", "j", "clarity"): FIRST, ("m1", "k", "clarity"): second}))
    place, other = (found.sentences, found.warnings) if agrees else (found.warnings, found.sentences)
    assert any(words in text for text in place)
    assert not any("alpha" in text or "one judge" in text for text in other)


def test_judges_that_give_one_score_cannot_agree():
    found = findings(table({("m1", judge, "clarity"): [9] * 8 for judge in "jk"}))
    assert "agreement of the 2 judges cannot be measured: all their scores are equal" in found.warnings[0]
    assert "j gives all 8 texts the same score on clarity (9 of 0-9)." in found.warnings
    assert "8 of 8 essays share rank 1." in found.warnings


def test_models_that_judge_themselves():
    given = {("m1", "m1", "clarity"): BETTER, ("m2", "m1", "clarity"): FIRST}
    given |= {("m1", "m2", "clarity"): FIRST, ("m2", "m2", "clarity"): FIRST}
    found = findings(table(given))
    assert found.answer.startswith("m1 is better than m2 by 0.6 ")
    assert any("without them, m1 and m2 cannot be compared" in text for text in found.warnings)
    others = {("m1", "j", "clarity"): FIRST, ("m2", "j", "clarity"): FIRST}
    (warning,) = [text for text in findings(table(given | others)).warnings if "wrote the text" in text]
    assert warning.startswith("16 of 48 scores of essays are by a model that wrote the text; without them, no differ")


def test_what_is_missing_is_counted_by_reason_and_by_model():
    given = {("m1", "j", "clarity"): ("missing", "failed", *FIRST[2:]), ("m2", "j", "clarity"): FIRST}
    found = findings(table(given))
    assert (
        found.missing == "2 of 16 planned scores are missing (1 failed, 1 not made yet): 2 of 8 by m1 and 0 of 8 by m2."
    )
    nothing = findings(table({("m1", "j", "clarity"): ["missing"] * 3}))
    assert nothing.sentences == ["No text has a score yet: 3 evaluations planned."]
    assert nothing.missing == "3 of 3 planned scores are missing (3 not made yet)."
    assert findings(table({})).sentences == ["The cohort plans no evaluations, so its texts cannot be compared."]


def test_models_without_a_common_combination_cannot_be_compared():
    given = {("m1", "j", "clarity"): FIRST[:4], ("m2", "j", "clarity"): ["missing"] * 4 + list(FIRST)}
    assert "m1 and m2 cannot be compared: no two of their scores" in said(given)[1]
    assert "Nothing is compared" in said({("m1", "j", "clarity"): FIRST})[1]


@pytest.mark.parametrize("stage", ["essay", "draft"])
def test_a_table_that_was_read_again_says_the_same(tmp_path, stage):
    scores = table({("m1", "j", "clarity"): FIRST, ("m2", "j", "clarity"): BETTER}, stage=stage)
    scores.to_csv(tmp_path / "scores.csv", index=False)
    assert findings(pd.read_csv(tmp_path / "scores.csv", keep_default_na=True)) == findings(scores)


def test_findings_fit_the_screen_and_cannot_break_a_page():
    found = findings(table({("m_1", "j", "clear_<b>"): FIRST, ("m_2", "j", "clear_<b>"): BETTER}))
    assert max(map(len, as_text(found).splitlines())) <= WIDTH
    assert "m\\_2 is better than m\\_1" in as_markdown(found)
    assert "<b>" not in as_markdown(found).replace("\\<b\\>", "")


@pytest.mark.parametrize(
    ("alpha", "text"), [(0.61, ".61"), (0.0123, ".012"), (1.0, "1"), (-0.2, "-.2"), (0.0, "0"), (-0.0001, "0")]
)
def test_alpha_as_text(alpha, text):
    assert alpha_text(alpha) == text
