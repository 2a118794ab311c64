"""Reports against numbers worked out by hand: what is missing stays missing, and nothing is averaged away."""

import csv
import json
import random
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from dreamflow.cohorts.combos import Combo
from dreamflow.cohorts.compile import Cohort
from dreamflow.generation.model import (
    Call,
    Candidate,
    Generation,
    Message,
    ModelIdentity,
    Question,
    Record,
    Response,
)
from dreamflow.generation.summary import Summaries, read_summary
from dreamflow.reports import CROSS_FILES, TABLE_FILES, analysis, cross, frames, results, scores, statistics, tables
from dreamflow.reports.findings import as_markdown, as_text, findings
from dreamflow.reports.groups import Groups
from dreamflow.reports.lineage import Members
from dreamflow.reports.membership import manifest, membership, write_manifest, write_membership
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from stored import save_response

# --- a cohort on paper ---

MODELS = {
    "m1": ModelIdentity(model_id="m1", provider="openai", name="one", revision=""),
    "m2": ModelIdentity(model_id="m2", provider="openai", name="two", revision=""),
    "w": ModelIdentity(model_id="w", provider="openai", name="two", revision=""),  # m2 under another id
}
SCALES = {"novelty": [0.0, 9.0], "rigor": [0.0, 9.0], "clarity": [1.0, 5.0]}

# essay -> rubric -> evaluator -> its two replicates; a word is the status of an evaluation without a score
GIVEN = {
    "a": {
        "novelty": {"m1": (9, 7), "m2": (6, 6)},
        "rigor": {"m1": (8, 8), "m2": (3, "failed")},
        "clarity": {"m1": (5, 5), "m2": (3, 3)},
    },
    "b": {
        "novelty": {"m1": (6, 4), "m2": (5, "missing")},
        "rigor": {"m1": (5, 5), "m2": ("skipped", "pending")},
        "clarity": {"m1": (4, 2), "m2": (2, 2)},
    },
    "c": {
        "novelty": {"m1": (3, 3), "m2": (3, 3)},
        "rigor": {"m1": (0, 0), "m2": (0, 0)},
        "clarity": {"m1": (1, 1), "m2": (3, 1)},
    },
}


class Paper:
    """A cohort written by hand: rows of a plan, and under `root` the files of what was made."""

    def __init__(self, root: Path) -> None:
        self.root = root
        spec = root / "trial.yaml"
        spec.write_text("axes: {}\n")
        combos = {c: Combo(c, ("x", "y"), "paragraph", 2) for c in ("c1", "c2")}
        self.cohort = Cohort("trial", spec, [], combos=combos)
        self.data = root / "data"

    def add(self, gen_id, stage, template, model, *, parents=(), mode="llm", replicate=1, scale=None, **wildcards):
        row = Generation(
            family="cohort",
            gen_id=gen_id,
            stage=stage,
            mode=mode,
            template_id=template,
            template_sha256="",
            parser="identity/1",
            max_attempts=1,
            min_lines=1,
            parents=list(parents),
            model=MODELS.get(model),
            replicate=replicate,
            parser_options={"scale": scale} if scale else {},
            wildcards={"combo_id": wildcards.pop("combo", "c1"), **wildcards},
            variables={"concepts": [{"concept_id": "x", "name": "Ex", "level": "sentence"}]},
        )
        self.cohort.generations[gen_id] = row
        return row

    def make(self, gen_id, text="", status="ok", reason="", **metadata):
        row = self.cohort.generations[gen_id]
        folder = self.data / "gens" / row.stage / gen_id
        folder.mkdir(parents=True, exist_ok=True)
        known = {key: getattr(row, key) for key in ("gen_id", "stage", "mode", "template_id", "parents", "replicate")}
        known |= {"wildcards": row.wildcards, "parser_options": row.parser_options}
        for key, field in (("model_id", "model_id"), ("provider", "provider"), ("model_name", "name")):
            known[key] = getattr(row.model, field) if row.model else None
        known |= {"status": status, "reason": reason, "cost_usd": 0.001, "origin_cohort_id": "first"}
        known |= {"parsed": {"warnings": []}} | metadata
        (folder / "metadata.json").write_text(json.dumps(known))
        (folder / "parsed.txt").write_text(text)

    def evaluate(self, judged, rubric, model, replicate, outcome, combo):
        gen_id = f"v_{judged[2:]}{rubric}{model}{replicate}"
        self.add(gen_id, "evaluation", rubric, model, parents=[judged], replicate=replicate,
                 scale=SCALES[rubric], combo=combo)  # fmt: skip
        if outcome == "missing":
            return
        if isinstance(outcome, str):
            self.make(gen_id, "", outcome, f"why it is\n {outcome}")
        else:
            self.make(gen_id, f"{float(outcome)}\n")

    def scores(self):
        return scores.collect_scores(self.cohort.members, self.data, "trial")


@pytest.fixture
def paper(tmp_path):
    """3 essays x 3 rubrics x 2 models x 2 replicates; a, b are m1's essays, c a copy of w's (m2's) draft."""
    paper = Paper(tmp_path)
    lines = {"a": ("c1", "t1", "m1", "long"), "b": ("c1", "t2", "m1", "long"), "c": ("c2", "t1", "w", "kept")}
    for name, (combo, template, model, essay_template) in lines.items():
        paper.add(f"d_{name}", "draft", template, model, combo=combo)
        paper.make(f"d_{name}", f"draft {name}", cost_usd=0.01)
        copied = essay_template == "kept"
        paper.add(f"e_{name}", "essay", essay_template, None if copied else model, parents=[f"d_{name}"],
                  mode="copy" if copied else "llm", combo=combo)  # fmt: skip
        paper.make(f"e_{name}", f"essay {name}\n", cost_usd=None if copied else 0.02)
        for rubric, models in GIVEN[name].items():
            for judge, replicates in models.items():
                for number, outcome in enumerate(replicates, start=1):
                    paper.evaluate(f"e_{name}", rubric, judge, number, outcome, combo)
    return paper


def row_of(table, **values):
    """The one row of a table that has these values."""
    chosen = table
    for column, value in values.items():
        chosen = chosen[chosen[column] == value]
    assert len(chosen) == 1, f"{len(chosen)} rows have {values}"
    return chosen.iloc[0]


def close(expected):
    return pytest.approx(expected, abs=5e-7, nan_ok=True)


# --- the long table ---


def test_every_planned_evaluation_is_a_row(paper):
    table = paper.scores()
    original = "gen_id parent_gen_id evaluation_template evaluation_llm_model score error evaluation_response_path"
    original += " combo_id draft_template generation_template generation_model origin_cohort_id"
    original += " generation_response_path input_mode copied_from"
    assert " ".join(table.columns[:15]) == original
    assert len(table) == 36
    assert table["score"].count() == 32
    assert table["status"].value_counts().to_dict() == {
        "ok": 32, "failed": 1, "skipped": 1, "pending": 1, "missing": 1,
    }  # fmt: skip
    assert (table["score"].isna() == (table["reason"] != "")).all()
    failed = row_of(table, gen_id="v_arigorm22")
    assert (failed["error"], failed["reason"]) == ("why it is failed", "why it is failed")
    assert row_of(table, gen_id="v_bnoveltym22")["error"] == "missing parsed.txt"
    assert row_of(table, gen_id="v_bnoveltym22")["origin_cohort_id"] == "trial"


def test_a_row_knows_its_lineage(paper):
    one = row_of(paper.scores(), gen_id="v_aclaritym21")
    assert (one["score"], one["scale_low"], one["scale_high"], one["score_01"]) == (3.0, 1.0, 5.0, 0.5)
    assert (one["draft_template"], one["generation_template"], one["generation_model"]) == (
        "t1",
        "long",
        "m1",
    )
    assert one["evaluation_response_path"] == f"{paper.data}/gens/evaluation/v_aclaritym21/parsed.txt"
    assert one["generation_response_path"] == f"{paper.data}/gens/essay/e_a/parsed.txt"
    assert (one["input_mode"], one["copied_from"], one["origin_cohort_id"]) == ("prompt", "", "first")
    copy = row_of(paper.scores(), gen_id="v_cclaritym21")
    assert (copy["generation_model"], copy["draft_model"], copy["input_mode"]) == ("w", "w", "copy")
    assert copy["copied_from"] == f"{paper.data}/gens/draft/d_c/parsed.txt"
    assert (copy["draft_replicate"], copy["essay_replicate"], copy["evaluation_replicate"]) == (1, 1, 1)


def test_a_model_that_judges_itself_is_flagged_under_any_id(paper):
    flags = paper.scores().groupby(["parent_gen_id", "evaluation_llm_model"])["self_judged"].agg(["all", "any"])
    # m1 wrote a and b; w, which is m2 by another id, wrote c
    own = {("e_a", "m1"), ("e_b", "m1"), ("e_c", "m2")}
    assert {pair for pair, flag in flags["all"].items() if flag} == own
    assert {pair for pair, flag in flags["any"].items() if flag} == own


def test_tables_name_the_model_that_answered(tmp_path):
    paper = Paper(tmp_path)
    spare = [Candidate(MODELS["w"], {})]
    for gen_id, stage, template, parents in (("d_a", "draft", "t1", []), ("v_a", "evaluation", "novelty", ["d_a"])):
        row = paper.add(gen_id, stage, template, "m1", parents=parents, scale=SCALES["novelty"])
        paper.cohort.generations[gen_id] = replace(row, fallbacks=spare)
    paper.make("d_a", "text", model_id="w", model_name="two")
    paper.make("v_a", "6\n")
    one = paper.scores().iloc[0]
    assert (one["draft_model"], one["generation_model"], one["evaluation_llm_model"]) == ("w", "w", "m1")
    assert not one["self_judged"]
    assert results.standing(paper.cohort, paper.data)["generation_model"].tolist() == ["w"]
    paper.make("v_a", "6\n", model_id="w", model_name="two")
    one = paper.scores().iloc[0]
    assert (one["evaluation_llm_model"], one["self_judged"]) == ("w", True)
    paper.make("v_a", "", "failed", "nobody could", model_id="w", model_name="two")
    assert paper.scores().iloc[0]["evaluation_llm_model"] == "m1"  # nobody answered: the row's own model


def test_evaluations_of_drafts(tmp_path):
    paper = Paper(tmp_path)
    paper.add("d_a", "draft", "t1", "m1")
    paper.make("d_a", "text")
    paper.evaluate("d_a", "novelty", "m1", 1, 4.5, "c1")
    one = paper.scores().iloc[0]
    assert (one["judged_stage"], one["generation_template"], one["generation_model"]) == ("draft", "", "m1")
    assert (one["score_01"], one["self_judged"], pd.isna(one["essay_replicate"])) == (0.5, True, True)
    assert one["generation_response_path"] == f"{paper.data}/gens/draft/d_a/parsed.txt"
    assert results.standing(paper.cohort, paper.data)["gen_id"].tolist() == ["d_a"]


@pytest.mark.parametrize(
    ("parsed", "score", "reason"),
    [
        ("7.0\n", 7.0, ""),
        ("because\n8\n", 8.0, ""),
        ('{\n  "reason": "so",\n  "score": 6\n}\n', 6.0, ""),
        ("", None, "parsed.txt has no score in its last line"),
        ("nan\n", None, "parsed.txt has no score in its last line"),
        ('{"score": true}\n', None, "parsed.txt has no score in its last line"),
        ("12\n", None, "parsed.txt: score 12 is outside the scale 0-9"),
    ],
)
def test_what_counts_as_a_score(tmp_path, parsed, score, reason):
    paper = Paper(tmp_path)
    paper.add("d_a", "draft", "t1", "m1")
    paper.evaluate("d_a", "novelty", "m2", 1, 0, "c1")
    paper.make("v_anoveltym21", parsed)
    one = paper.scores().iloc[0]
    assert (None if pd.isna(one["score"]) else one["score"], one["reason"]) == (score, reason)
    assert one["status"] == ("failed" if reason else "ok")


# --- summaries ---


def test_final_results_of_one_rubric(paper):
    novelty = row_of(
        tables.final_results(paper.scores()),
        analysis_type="by_evaluation_template",
        evaluation_template="novelty",
    )
    # a 9 7 6 6, b 6 4 5, c 3 3 3 3: n 11, sum 55, mean 5; squared deviations 16+4+1+1+1+1+0+4*4 = 40, /10 = 4
    assert (novelty["planned"], novelty["count"], novelty["missing"], novelty["texts"]) == (12, 11, 1, 3)
    assert (novelty["average"], novelty["std_dev"]) == (close(5), close(2))
    assert (novelty["min_score"], novelty["max_score"], novelty["scale"]) == (3, 9, "0-9")
    assert (novelty["perfect_scores"], novelty["perfect_score_pct"]) == (1, close(100 / 11))
    assert (novelty["high_scores_8plus"], novelty["low_scores_3minus"]) == (1, 4)
    assert novelty["average_01"] == close(5 / 9)
    # residuals in ninths sum to a 8, b 0, c -8: SE = sqrt(3/2 * 128)/11/9 = 0.139964, times t(2) = 4.3027 is
    # 0.6022, wider than the scale, so it is cut there
    assert (novelty["ci_low"], novelty["ci_high"]) == (0, 1)


def test_final_results_respect_each_scale(paper):
    table = tables.final_results(paper.scores())
    clarity = row_of(table, analysis_type="by_evaluation_template", evaluation_template="clarity")
    # a 5 5 3 3, b 4 2 2 2, c 1 1 3 1: sum 32 of 12; the maximum is 5; 8/9 of 1-5 is 4.56, 3/9 is 2.33
    assert clarity["average"] == close(32 / 12)
    assert (clarity["perfect_scores"], clarity["high_scores_8plus"], clarity["low_scores_3minus"]) == (
        2,
        2,
        6,
    )
    assert (clarity["scale"], clarity["average_01"]) == ("1-5", close((32 / 12 - 1) / 4))
    # a 4+3+4 scores that sum to 28/9 + 19/9 + 3 = 74/9, b 9 to 25/9 + 1.5, c 12 to 4/3 + 0.5: 14.333333 of 32
    overall = row_of(table, analysis_type="overall_statistics")
    assert (overall["planned"], overall["count"], overall["scale"]) == (36, 32, "mixed")
    assert np.isnan(overall["average"])
    assert np.isnan(overall["std_dev"])
    assert overall["average_01"] == close(0.44791667)
    assert overall["perfect_scores"] == 3
    assert overall["self_judged_scores"] == 6 + 6 + 6  # m1 on a and b, m2 on c: each all six


def test_final_results_have_every_analysis(paper):
    table = tables.final_results(paper.scores())
    assert list(dict.fromkeys(table["analysis_type"])) == list(tables.ANALYSIS_TYPES)
    pair = row_of(
        table,
        analysis_type="by_generation_vs_evaluation_model",
        generation_model="m1",
        evaluation_llm_model="m2",
    )
    # a 6 6 3 - 3 3, b 5 - - - 2 2, of twice six planned
    assert (pair["count"], pair["planned"], pair["self_judged_scores"]) == (8, 12, 0)
    # (2/3 + 2/3 + 1/3 + 1/2 + 1/2 + 5/9 + 1/4 + 1/4) / 8
    assert pair["average_01"] == close((24 + 24 + 12 + 18 + 18 + 20 + 9 + 9) / 36 / 8)
    # residual sums 8/3 - 5 * 0.465278 = 0.340278 and its negative: SE = sqrt(4 * 0.340278^2)/8 = 0.085069;
    # t(1) = 12.706205 makes it 1.0809, so all of the scale
    assert (pair["texts"], pair["ci_low"], pair["ci_high"]) == (2, 0, 1)
    lone = row_of(table, analysis_type="by_generation_model", generation_model="w")
    assert lone["texts"] == 1
    assert np.isnan(lone["ci_low"])  # one text says nothing about others: empty, not 0


def test_generation_scores(paper):
    table = tables.generation_scores(paper.scores())
    assert list(table.columns[:5]) == [
        "combo_id", "draft_template", "generation_template", "generation_model", "parent_gen_id",
    ]  # fmt: skip
    a, b, c = (row_of(table, parent_gen_id=f"e_{name}") for name in "abc")
    assert (a["m1_novelty"], a["m1_novelty_min"], a["m1_novelty_max"], a["m1_novelty_n"]) == (8, 7, 9, 2)
    assert (a["m2_rigor"], a["m2_rigor_n"]) == (3, 1)
    assert np.isnan(b["m2_rigor"])
    assert b["m2_rigor_n"] == 0
    # 8+6+8+3+5+3, and 3+3+0+0+1+2; b lacks an evaluator, so it has no sum
    assert (a["allowlisted_template_score_sum"], c["allowlisted_template_score_sum"]) == (33, 9)
    assert np.isnan(b["allowlisted_template_score_sum"])
    assert (b["scores"], b["planned"], b["mean_01"]) == (9, 12, close((3 * 5 / 9 + 0.5 + 0.25) / 5))


def test_ranking(paper):
    table = tables.ranking(paper.scores())
    assert table[["rank", "gen_id"]].to_numpy().tolist() == [[1, "e_a"], [2, "e_b"], [3, "e_c"]]
    a, b, c = (table.iloc[place] for place in range(3))
    # evaluators' means in 18ths: 16 12 16 6 18 9, mean 77/6; sd 4.665476, over sqrt(6) 1.904673; t(5) 2.5706
    assert a["mean"] == close(77 / 108)
    assert (a["ci_low"], a["ci_high"]) == (close(77 / 108 - 0.2720067), close(77 / 108 + 0.2720067))
    assert (a["m1_novelty"], a["m2_rigor"]) == (close(8 / 9), close(1 / 3))
    assert (a["scores"], a["planned"], a["self_judged"]) == (11, 12, True)
    assert a["mean_by_others"] == close((12 / 18 + 6 / 18 + 9 / 18) / 3)  # without m1, who wrote it
    assert b["mean"] == close((3 * 5 / 9 + 0.5 + 0.25) / 5)
    assert np.isnan(b["m2_rigor"])
    assert c["mean"] == close((1 / 3 + 1 / 3 + 0 + 0 + 0 + 0.25) / 6)


def test_perfect_scores_and_pivot(paper):
    perfect = tables.perfect_score_paths(paper.scores())
    assert perfect["gen_id"].tolist() == ["v_aclaritym11", "v_aclaritym12", "v_anoveltym11"]
    assert set(perfect["notes"]) == {"the model judged itself"}
    pivot = row_of(tables.evaluation_model_template_pivot(paper.scores()), draft_template="t2")
    assert (pivot["m1_novelty"], pivot["m2_novelty"], pivot["coverage_pct"]) == (5, 5, 75)
    assert np.isnan(pivot["m2_rigor"])


# --- analysis ---


def test_variance_analysis(paper):
    table = analysis.variance_analysis(paper.scores())
    one = row_of(table, analysis_type="model_variance", parent_gen_id="e_a", evaluation_template="novelty")
    # 9 7 by m1, 6 6 by m2: mean 7, squared deviations 4 0 1 1, sd sqrt(6/3)
    assert (one["n"], one["mean"], one["std"], one["range"]) == (4, 7, close(2**0.5), 3)
    assert (one["cv"], one["stability_classification"]) == (close(2**0.5 / 7), "low_agreement")
    # between the evaluators: means 8/9 and 6/9; within: variances 2/81 and 0, pooled 1/81
    assert one["evaluators"] == 2
    assert (one["evaluator_std_01"], one["replicate_std_01"]) == (close(2 / 9 / 2**0.5), close(1 / 9))
    grade = table.set_index(["analysis_type", "parent_gen_id", "evaluation_template"])["stability_classification"]
    assert grade["model_variance", "e_a", "rigor"] == "poor_agreement"  # 8 8 3
    assert grade["model_variance", "e_b", "rigor"] == "high_agreement"  # 5 5, m2 gave none
    assert grade["model_variance", "e_a", "clarity"] == "poor_agreement"  # 5 5 3 3 on 1-5 is 4.5 of 9
    assert grade["model_variance", "e_b", "novelty"] == "moderate_agreement"  # 6 4 5
    mixed = row_of(table, analysis_type="overall_variance", parent_gen_id="e_a")
    assert (mixed["n"], mixed["planned"], mixed["scale"], mixed["range_01"]) == (
        11,
        12,
        "mixed",
        close(2 / 3),
    )
    assert np.isnan(mixed["mean"])


def test_one_score_has_no_spread(tmp_path):
    paper = Paper(tmp_path)
    paper.add("d_a", "draft", "t1", "m1")
    paper.evaluate("d_a", "novelty", "m1", 1, 4, "c1")
    paper.evaluate("d_a", "novelty", "m1", 2, "failed", "c1")
    spread = analysis.variance_analysis(paper.scores()).iloc[0]
    assert (spread["n"], spread["planned"], spread["stability_classification"]) == (1, 2, "insufficient_data")
    assert spread[["std", "range", "cv", "replicate_std_01"]].isna().all()
    assert pd.isna(tables.ranking(paper.scores()).iloc[0]["ci_low"])
    assert analysis.evaluator_agreement(paper.scores())["alpha"].isna().all()
    assert analysis.variance_table(paper.scores())["variance"].isna().all()


def test_agreement_between_evaluators(paper):
    table = analysis.evaluator_agreement(paper.scores())
    # means of m1, m2 on novelty: (8,6) (5,5) (3,3). Observed 2*2^2/6 = 4/3; expected 2(6*168 - 30^2)/30 = 7.2
    models = row_of(table, comparison="models", evaluation_template="novelty")
    assert (models["raters"], models["texts"], models["ratings"]) == (2, 3, 6)
    assert models["alpha"] == close(1 - 4 / 3 / 7.2)
    # m1's replicates: (9,7) (6,4) (3,3). Observed 2(4 + 4)/6; expected 2(6*200 - 32^2)/30
    again = row_of(table, comparison="replicates", evaluation_template="novelty", evaluation_llm_model="m1")
    assert again["alpha"] == close(1 - (16 / 6) / (2 * 176 / 30))
    assert row_of(table, comparison="all_evaluators")["raters"] == 6


def test_paired_differences(paper):
    table = analysis.paired_differences(paper.scores())
    models = row_of(table, factor="evaluation_model")
    # m1 - m2 where both scored: a 3/9 1/9 5/9 1/2 1/2 = 2 of 5; b 1/9 1/2 0 of 3; c 0 0 0 0 -1/2 0 of 6
    mean = (2 + 11 / 18 - 0.5) / 14
    assert (models["level_a"], models["level_b"], models["pairs"], models["combos"]) == ("m1", "m2", 14, 2)
    assert models["difference"] == close(mean) == close(models["mean_a"] - models["mean_b"])
    assert (models["ci_low"], models["ci_high"]) == (-1, 1)  # two combinations: t(1) is 12.7
    # a - b: novelty 3/9 3/9 1/9, rigor 3/9 3/9, clarity 1/4 3/4 1/4 1/4; one combination, so no interval
    drafts = row_of(table, factor="draft_template")
    assert (drafts["level_a"], drafts["level_b"], drafts["pairs"]) == ("t1", "t2", 9)
    assert drafts["difference"] == close((13 / 9 + 1.5) / 9)
    assert np.isnan(drafts["ci_low"])
    # c has another combination: no essay differs from it in one thing alone
    assert set(table["factor"]) == {"draft_template", "evaluation_template", "evaluation_model"}


def test_lines_that_differ_in_both_phases_are_paired(tmp_path):
    paper = Paper(tmp_path)
    for name, template, essay_template, mode in [("a", "t1", "long", "llm"), ("b", "single", "kept", "copy")]:
        paper.add(f"d_{name}", "draft", template, "m1")
        paper.add(f"e_{name}", "essay", essay_template, "m1", parents=[f"d_{name}"], mode=mode)
    paper.evaluate("e_a", "novelty", "m2", 1, 6, "c1")
    paper.evaluate("e_b", "novelty", "m2", 1, 3, "c1")
    only = analysis.paired_differences(paper.scores())
    assert only["factor"].tolist() == ["templates"]
    assert (only["level_a"][0], only["level_b"][0]) == ("single → kept", "t1 → long")
    assert only["difference"][0] == close(-3 / 9)


# --- statistics ---


@settings(deadline=None, max_examples=60)
@given(st.lists(st.integers(0, 3), max_size=120), st.integers(0, 2**32))
def test_sums_of_groups_are_those_of_numpy_to_the_last_bit(members, seed):
    number, values = np.array(members, dtype=int), np.random.default_rng(seed).random(len(members))
    groups = Groups(number, 4)
    alone = [pd.Series(values[number == group]) for group in range(4)]
    means, deviations = groups.means_and_deviations(values)
    assert groups.sums(values).tolist() == [part.to_numpy().sum() for part in alone]
    np.testing.assert_array_equal(means, [part.mean() for part in alone])
    np.testing.assert_array_equal(deviations, [part.std() for part in alone])
    np.testing.assert_array_equal(groups.extremes(values), [[p.min() for p in alone], [p.max() for p in alone]])


def test_krippendorff_published_example():
    """Krippendorff 2011, Computing Krippendorff's Alpha-Reliability: 4 observers, 12 units, 0.849."""
    nan = np.nan
    observers = [
        [1, 2, 3, 3, 2, 1, 4, 1, 2, nan, nan, nan],
        [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, nan, 3],
        [nan, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, nan],
        [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, nan],
    ]
    assert statistics.krippendorff_alpha(np.array(observers)) == pytest.approx(0.849, abs=5e-4)
    assert np.isnan(statistics.krippendorff_alpha(np.array([[1.0, nan], [nan, 2.0]])))
    assert np.isnan(statistics.krippendorff_alpha(np.array([[2.0, 2.0], [2.0, 2.0]])))


def test_clustered_mean_by_hand():
    # mean 4; residual sums -5, -1, 6; SE = sqrt(3/2 * 62)/6 = 1.607275, as of the cluster means 1.5 3.5 7
    estimate = statistics.clustered_mean(np.array([1, 2, 3, 4, 5, 9.0]), np.array(list("aabbcc")))
    assert estimate.mean == 4
    assert estimate.high - 4 == close(1.6072751 * 4.3026527)
    assert 4 - estimate.low == close(estimate.high - 4)
    # one value a cluster: the ordinary t interval. 1 2 3: s/sqrt(3) = 0.5773503
    alone = statistics.clustered_mean(np.array([1, 2, 3.0]), np.array(list("abc")))
    assert alone.high - 2 == close(0.57735027 * 4.3026527)
    assert np.isnan(statistics.clustered_mean(np.array([1, 2.0]), np.array(list("aa"))).low)
    assert np.isnan(statistics.clustered_mean(np.array([]), np.array([])).mean)


def test_variance_components_of_a_balanced_table():
    # texts 1, 2 x judges p, q x 2: 1 3 | 2 2 // 5 7 | 4 4. Mean squares: text 18, judge 2, interaction 2,
    # within 1; so within 1, interaction (2-1)/2, judge (2-2)/4, text (18-2)/4
    values = np.array([1, 3, 2, 2, 5, 7, 4, 4.0])
    parts = statistics.variance_components(values, np.array(list("11112222")), np.array(list("ppqqppqq")))
    assert parts == {
        "text": close(4),
        "evaluator": close(0),
        "interaction": close(0.5),
        "replicate": close(1),
    }
    single = statistics.variance_components(values[::2], np.array(list("1122")), np.array(list("pqpq")))
    assert np.isnan(single["replicate"])
    # 1 2 // 5 4 without replicates: mean squares text 9, judge 0, rest 1: text (9-1)/2, judge (0-1)/2
    assert (single["text"], single["evaluator"], single["interaction"]) == (close(4), close(-0.5), close(1))


def test_evaluator_severity_is_not_taken_for_essays():
    """Judge q is 3 stricter and saw other texts more often than p: texts that are equal stay equal."""
    values = np.array([5, 2, 5, 5, 5, 2, 2, 2.0])
    texts, judges = np.array(list("11122333")), np.array(list("pqpppqqq"))
    parts = statistics.variance_components(values, texts, judges)
    assert parts["text"] == close(0)
    assert parts["evaluator"] == close(4.5)  # of 5 and 2


# --- what always holds ---

OUTCOMES = st.lists(
    st.tuples(
        st.sampled_from("abc"),
        st.sampled_from(sorted(SCALES)),
        st.sampled_from(["m1", "m2"]),
        st.one_of(st.none(), st.integers(0, 8)),
    ),
    max_size=30,
)


def long_table(outcomes):
    """A long table of (text, rubric, model, eighths of the scale or None)."""
    rows = []
    for number, (text, rubric, model, eighths) in enumerate(outcomes):
        low, high = SCALES[rubric]
        score = None if eighths is None else low + (high - low) * eighths / 8
        rows.append(
            {
                "gen_id": f"v_{number:03d}", "parent_gen_id": f"e_{text}", "combo_id": f"c{text}",
                "evaluation_template": rubric, "evaluation_llm_model": model, "judged_stage": "essay",
                "score": score, "scale_low": low, "scale_high": high,
                "score_01": scores.on_unit(score, low, high), "evaluation_replicate": number,
                "self_judged": model == "m1", "draft_template": "t", "generation_template": "g",
                "generation_model": "m1", "draft_model": "m1", "warnings": "", "draft_replicate": 1,
                "essay_replicate": 1, "draft_gen_id": f"d_{text}", "generation_response_path": f"p/{text}",
            }
        )  # fmt: skip
    return scores.as_frame(rows)


@settings(deadline=None, max_examples=15)
@given(OUTCOMES, st.randoms(use_true_random=False))
def test_the_order_of_rows_does_not_matter(outcomes, rng: random.Random):
    table = long_table(outcomes)
    order = list(table.index)
    rng.shuffle(order)
    for make in tables.TABLES:
        pd.testing.assert_frame_equal(make(table), make(table.loc[order].reset_index(drop=True)))


@settings(deadline=None, max_examples=40)
@given(OUTCOMES, st.sampled_from("abcd"))
def test_a_failed_evaluation_changes_no_mean(outcomes, text):
    before, after = long_table(outcomes), long_table([*outcomes, (text, "novelty", "m1", None)])
    means = [
        tables.ranking(table).dropna(subset="rank").set_index("gen_id")[["rank", "mean", "ci_low", "ci_high"]]
        for table in (before, after)
    ]
    pd.testing.assert_frame_equal(*means, check_index_type=False)
    for kind in ("analysis.evaluator_agreement", "analysis.paired_differences"):
        make = getattr(analysis, kind.partition(".")[2])
        pd.testing.assert_frame_equal(make(before), make(after))


@settings(deadline=None, max_examples=40)
@given(OUTCOMES)
def test_means_stay_on_the_scale(outcomes):
    table = long_table(outcomes)
    for column, made in (("mean", tables.ranking(table)), ("average_01", tables.final_results(table))):
        known = made[column].dropna()
        assert ((known >= 0) & (known <= 1)).all()
        interval = made.dropna(subset="ci_low")
        assert ((interval["ci_low"] <= interval[column]) & (interval[column] <= interval["ci_high"])).all()


# --- files ---


def read_csv(path):
    with path.open(newline="") as stream:
        return list(csv.DictReader(stream))


def test_all_reports_are_written_even_empty(paper, tmp_path):
    tables.write_reports(paper.cohort, paper.data, tmp_path / "full")
    paper.cohort.generations.clear()
    tables.write_reports(paper.cohort, paper.data, tmp_path / "empty")
    for name in TABLE_FILES:
        assert len((tmp_path / "full" / name).read_text().splitlines()) > 1, name
        header = (tmp_path / "empty" / name).read_text().splitlines()
        assert len(header) == 1, name
        assert len(header[0].split(",")) > 5, name


def test_csv_files_say_what_was_read(paper, tmp_path):
    tables.write_reports(paper.cohort, paper.data, tmp_path)
    long = {row["gen_id"]: row for row in read_csv(tmp_path / "parsing/aggregated_scores.csv")}
    assert (long["v_anoveltym12"]["score"], long["v_anoveltym12"]["score_01"]) == ("7.0", "0.7778")
    assert (long["v_bnoveltym22"]["score"], long["v_bnoveltym22"]["cost_usd"]) == ("", "")
    first = read_csv(tmp_path / "summary/ranking.csv")[0]
    assert (first["rank"], first["mean"], first["ci_low"], first["ci_high"]) == (
        "1",
        "0.713",
        "0.441",
        "0.985",
    )


def test_csv_files_are_those_of_pandas(tmp_path):
    table = pd.DataFrame(
        {
            "score": [1e16, 0.1 + 0.2, np.nan, 7.0, 1e-7, np.inf],
            "text": ['a "b", c', "x\ny", None, np.nan, "", "é"],
            "count": pd.array([1, None, 3, 4, 5, 6], dtype="Int64"),
            "flag": [True, False, True, True, False, False],
            "mixed": [1, 2.5, None, "x", True, np.float64(0.1)],
            "kind": pd.Categorical(["a", None, "b", "a", "a", "b"]),
            "name": pd.Series(["p", None, "q", "r", "s", "t"], dtype="str"),
        }
    )
    frames.write_table(table, tmp_path / "a.csv", tmp_path / "b.csv")
    written = (tmp_path / "a.csv").read_text(), (tmp_path / "b.csv").read_text()
    assert written == (table.to_csv(index=False, lineterminator="\n"),) * 2


def test_results_are_the_best_texts(paper, tmp_path):
    folder = tmp_path / "results"
    folder.mkdir()
    (folder / "07-e_old.md").write_text("of an earlier ranking")
    (folder / "notes.md").write_text("somebody's own")
    shown = results.write_results(paper.cohort, paper.data, folder, 2)
    assert sorted(path.name for path in folder.iterdir()) == [
        "01-e_a.md",
        "02-e_b.md",
        "README.md",
        "notes.md",
    ]
    table, found = shown.split("\n\nWhat the scores of cohort trial say:\n")
    assert table == results.best_table(results.standing(paper.cohort, paper.data), folder, 2)
    assert found == as_text(findings(paper.scores()))
    assert as_markdown(findings(paper.scores())) in (folder / "README.md").read_text()
    _, matter, text = (folder / "01-e_a.md").read_text().split("---\n", 2)
    front = yaml.safe_load(matter)
    assert text == "\nessay a\n"
    assert (front["rank"], front["of"], front["score"]["mean"]) == (1, 3, 0.713)
    assert front["score"]["interval_95"] == [0.441, 0.985]
    assert front["combo"] == {
        "combo_id": "c1",
        "concepts": [{"concept_id": "x", "name": "Ex", "level": "sentence"}],
    }
    assert front["draft"]["file"] == f"{paper.data}/gens/draft/d_a/parsed.txt"
    # 11 of its 12 evaluations gave a score; the failed one was paid for too
    assert front["cost_usd"] == {"draft": 0.01, "essay": 0.02, "evaluations": 0.012, "total": 0.042}
    judged = {(one["model"], one["template"]): one for one in front["evaluators"]}
    assert judged["m2", "rigor"] == {
        "model": "m2", "template": "rigor", "scale": "0-9", "mean": 3.0, "scores": 1, "planned": 2,
        "self_judged": False,
    }  # fmt: skip
    assert "| 1 | 0.71 | 0.44–0.98 | 11/12 | [e_a](01-e_a.md) (self-judged) |" in (folder / "README.md").read_text()


def test_every_sample_was_paid_for_and_an_unknown_cost_is_counted(paper, tmp_path):
    store = paper.data / "store"
    keys = ("k1", "k2")
    for key, cost in zip(keys, (0.25, 0.5), strict=True):
        question = Question(MODELS["m1"], [Message("user", "?")], {}, None, 0)
        made = Call(gen_id="e_a", stage="essay", cohort_id="", at="", latency_s=1.0, cost_usd=cost)
        save_response(store, key, Record(schema_version=1, request=question, response=Response("x"), call=made))
    attempts = [
        {"sample": n, "response_key": key, "error": error}
        for n, (key, error) in enumerate(zip(keys, ("refusal", None), strict=True))
    ]
    paper.make("e_a", "essay a", cost_usd=0.5, attempts=attempts)
    paper.make("v_anoveltym11", "9\n", cost_usd=None)
    results.write_results(paper.cohort, paper.data, tmp_path / "results", 1)
    (best,) = (tmp_path / "results").glob("01-*.md")
    front = yaml.safe_load(best.read_text().split("---\n")[1])
    assert front["cost_usd"] == {"draft": 0.01, "essay": 0.75, "evaluations": 0.011, "total": 0.771, "unknown": 1}
    assert pd.isna(row_of(paper.scores(), gen_id="v_anoveltym11")["cost_usd"])


def test_equal_means_share_a_rank(tmp_path):
    paper = Paper(tmp_path)
    for name, score in (("c", 5), ("a", 5), ("b", 7), ("d", "failed")):
        paper.add(f"d_{name}", "draft", "t1", "m1")
        paper.make(f"d_{name}", name)
        paper.evaluate(f"d_{name}", "novelty", "m2", 1, score, "c1")
    ranked = results.standing(paper.cohort, paper.data)
    assert results.file_names(ranked) == ["01-d_b.md", "02-d_a.md", "02-d_c.md"]
    assert pd.isna(row_of(tables.ranking(paper.scores()), gen_id="d_d")["rank"])


@pytest.mark.parametrize("failed", [False, True])
def test_without_scores_texts_stand_in_the_order_of_ids(tmp_path, failed):
    paper = Paper(tmp_path)
    for name in "ba":
        paper.add(f"d_{name}", "draft", "t1", "m1")
        paper.make(f"d_{name}", name)
        if failed:
            paper.evaluate(f"d_{name}", "novelty", "m2", 1, "failed", "c1")
    paper.add("d_c", "draft", "t1", "m1")
    paper.make("d_c", "", "failed", "truncated")
    results.write_results(paper.cohort, paper.data, tmp_path / "results", 5)
    page = (tmp_path / "results/README.md").read_text()
    assert "2 of 2 drafts in the order of their ids" in page
    assert ("none of 2 planned evaluations" if failed else "has no evaluations") in page
    assert (tmp_path / "results/01-d_a.md").exists()
    table = results.best_table(results.standing(paper.cohort, paper.data), tmp_path / "results")
    assert "(no scores)" in table
    assert table.index("01-d_a.md") < table.index("02-d_b.md")


def test_results_before_anything_is_written(paper, tmp_path):
    paper.cohort.generations.clear()
    shown = results.write_results(paper.cohort, paper.data, tmp_path / "results")
    assert shown.startswith("No text is finished yet.\n")
    assert "Nothing is written yet" in (tmp_path / "results/README.md").read_text()


def test_best_table_fits_the_screen(paper):
    ranked = results.standing(paper.cohort, paper.data)
    ranked["draft_template"] = "a-template-with-a-rather-long-name"
    ranked["generation_model"] = "provider/some-model-of-some-size [beta]"
    table = results.best_table(ranked, "data/results/trial")
    assert max(map(len, table.splitlines())) <= 100
    assert "Best essays, to read in data/results/trial/" in table
    assert "0.71" in table
    assert "01-e_a.md" in table
    assert results.best_table(ranked.iloc[:0], "x") == "No text is finished yet."


def test_cross_experiment_reads_all_generations(paper, tmp_path):
    cross.write_cross(paper.data, tmp_path / "cross")
    long = read_csv(tmp_path / "cross/aggregated_scores.csv")
    assert len(long) == 35  # all but the one that nobody made
    mine = {row["gen_id"]: row for row in read_csv_of(paper, tmp_path)}
    assert all(row == mine[row["gen_id"]] for row in long)  # the same table without a plan
    wide = read_csv(tmp_path / "cross/evaluation_scores_by_template_model.csv")
    a = next(row for row in wide if row["essay_gen_id"] == "e_a")
    assert (a["essay_task_id"], a["novelty__m1"], a["rigor__m2"]) == ("c1_t1_m1_long", "8.0", "3.0")
    assert a["origin_cohort_id"] == "first"
    b = next(row for row in wide if row["essay_gen_id"] == "e_b")
    assert (b["rigor__m2"], b["allowlisted_template_score_sum"]) == ("", "")


def test_planned_evaluations_of_all_cohorts_are_not_read_again(paper, tmp_path):
    read = []

    def look(stage, gen_id):
        read.append(gen_id)
        return read_summary(paper.data, stage, gen_id)

    cross.write_cross(paper.data, tmp_path / "files")
    members = paper.cohort.members
    cross.write_cross(paper.data, tmp_path / "look", Members({}, paper.cohort.generations), Summaries(paper.data, look))
    for name in CROSS_FILES:
        assert (tmp_path / "look" / name).read_text() == (tmp_path / "files" / name).read_text()
    assert len(read) == len(set(read)) == len(members) - 1  # one was never made
    table = scores.collect_scores(members, paper.data, "trial", look)
    own, shared = tmp_path / "own", tmp_path / "shared"
    shown = results.write_results(paper.cohort, paper.data, own)
    assert results.write_results(paper.cohort, paper.data, shared, 10, table, look) == shown.replace(
        "/own/", "/shared/"
    )
    assert {p.name: p.read_text() for p in shared.iterdir()} == {p.name: p.read_text() for p in own.iterdir()}


def read_csv_of(paper, tmp_path):
    tables.write_reports(paper.cohort, paper.data, tmp_path / "reports")
    return read_csv(tmp_path / "reports/parsing/aggregated_scores.csv")


def test_cross_experiment_of_an_original_folder(tmp_path):
    """The original's metadata.json knows no status, parents or scale: scores are read, score_01 is empty."""
    files = {
        "draft/d_a": {"combo_id": "combo_v1_x", "llm_model_id": "gemini"},
        "essay/e_a": {"parent_gen_id": "d_a", "mode": "copy", "llm_model_id": "gemini"},
        "evaluation/v_a": {"parent_gen_id": "e_a", "llm_model_id": "gemini"},
    }
    for path, own in files.items():
        folder = tmp_path / "data/gens" / path
        folder.mkdir(parents=True)
        stage, gen_id = path.split("/")
        known = {"stage": stage, "gen_id": gen_id, "template_id": stage, "replicate": 2, "mode": "llm", **own}
        (folder / "metadata.json").write_text(json.dumps({**known, "origin_cohort_id": "old"}))
        (folder / "parsed.txt").write_text("8.5\n")
    table = cross.all_scores(tmp_path / "data")
    one = table.iloc[0]
    assert (one["score"], one["combo_id"], one["generation_model"]) == (8.5, "combo_v1_x", "gemini")
    assert (one["self_judged"], one["evaluation_replicate"], pd.isna(one["score_01"])) == (True, 2, True)
    assert cross.by_template_and_model(table)["evaluation__gemini"].tolist() == [8.5]
    cross.write_cross(tmp_path / "nothing", tmp_path / "cross")
    assert len((tmp_path / "cross/aggregated_scores.csv").read_text().splitlines()) == 1


# --- membership ---


@pytest.fixture
def members(tmp_path):
    """Two drafts, each with a copied essay; the rows name two essay models, but a copy has none."""
    paper = Paper(tmp_path)
    for draft in ("m1", "m2"):
        for essay in ("m1", "m2"):
            paper.cohort.rows.append(
                {"combo_id": "c1", "draft_template": "t1", "draft_llm": draft, "essay_template": "kept",
                 "essay_llm": essay}
            )  # fmt: skip
            paper.cohort.row_ids.append({"draft": f"d_{draft}", "essay": f"e_{draft}"})
        paper.add(f"d_{draft}", "draft", "t1", draft)
        paper.add(f"e_{draft}", "essay", "kept", None, parents=[f"d_{draft}"], mode="copy")
    return paper.cohort


def test_membership(members, tmp_path):
    write_membership(members, tmp_path / "membership.csv")
    assert (tmp_path / "membership.csv").read_text().splitlines() == [
        "stage,gen_id,parent_gen_id,combo_id,template_id,llm_model_id,replicate",
        "draft,d_m1,,c1,t1,m1,1",
        "draft,d_m2,,c1,t1,m2,1",
        "essay,e_m1,d_m1,c1,kept,,1",
        "essay,e_m2,d_m2,c1,kept,,1",
    ]
    members.generations.clear()
    assert membership(members).empty


def test_manifest_counts_rows_that_share(members, tmp_path):
    write_manifest(members, tmp_path / "manifest.json")
    written = json.loads((tmp_path / "manifest.json").read_text())
    assert written == manifest(members)
    assert list(written)[:4] == ["combos", "templates", "llms", "replication"]
    assert written["templates"] == {"draft": ["t1"], "essay": ["kept"], "evaluation": []}
    assert written["llms"] == {"generation": ["m1", "m2"], "evaluation": []}
    assert written["rows"] == 4
    assert written["generations"] == {"draft": 2, "essay": 2, "evaluation": 0}
    assert written["rows_sharing"] == {"draft": 4, "essay": 4, "evaluation": 0}
    assert written["repeated_rows"] == 2  # the second essay model of each draft adds nothing
