"""Curated selections: which essays a `from` block keeps, what is planned for them, and the list to edit by hand."""

import csv
import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from dreamflow.errors import DreamflowError
from dreamflow.plan import Plan
from dreamflow.reports.lineage import Facts, Members, facts
from dreamflow.reports.membership import manifest, membership
from dreamflow.run import Run
from dreamflow.upkeep import list_orphans
from plans import cohorts_of, of_stage, planned
from project import Project
from select_essays import main

MODELS = {name: {"provider": "openai", "name": name} for name in ("writer", "judge", "second")}
SPEC = {
    "combos": {"lists": [["a", "b"]]},
    "axes": {
        "draft_template": ["plain"],
        "draft_llm": ["writer"],
        "essay_template": ["long", "kept"],
        "evaluation_template": ["novelty"],
        "evaluation_llm": ["judge"],
    },
    "output": {"field_order": ["combo_id"]},
}
FURTHER = {"evaluation_template": ["novelty", "rigor"], "evaluation_llm": ["second"]}


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    monkeypatch.chdir(tmp_path)
    return Project(tmp_path, MODELS, SPEC)


def select(project: Project, block: dict[str, Any], cohorts: tuple[str, ...] = ("more",), **spec: Any) -> Plan:
    """The plan with a cohort `more` that selects."""
    output = {"field_order": ["essay_gen_id"]}
    project.write("config/cohorts/more.yaml", {"from": block, "axes": FURTHER, "output": output, **spec})
    return planned({"cohorts": list(cohorts)})


def essays_of(plan: Plan) -> list[str]:
    return [gen_id for gen_id, row in cohorts_of(plan)["trial"].generations.items() if row.stage == "essay"]


def lay(project: Project, gen_id: str, stage: str, text: str = "A text.\n", **metadata: Any) -> None:
    """Files of a generation as somebody may have them; without a status, as from the original pipeline."""
    project.write(f"data/gens/{stage}/{gen_id}/parsed.txt", text)
    metadata = {"gen_id": gen_id, "stage": stage, "mode": "llm", "replicate": 1, **metadata}
    project.write(f"data/gens/{stage}/{gen_id}/metadata.json", json.dumps(metadata))


def lay_original(project: Project, **of_essay: Any) -> None:
    """A draft and an essay as the original pipeline leaves them."""
    lay(project, "d_old", "draft", combo_id="combo_v1_x", template_id="t7", llm_model_id="gemini")
    names = {"template_id": "t8", "llm_model_id": "gemini", "parent_gen_id": "d_old"}
    lay(project, "e_old", "essay", **names, **of_essay)


# --- what is kept ---


def test_members_are_what_their_rows_say(project: Project) -> None:
    plan = select(project, {"essays": essays_of(planned({"cohorts": ["trial"]}))}, ("more", "trial"))
    for cohort in cohorts_of(plan).values():
        of_rows = {**cohort.kept, **{gen_id: facts(row) for gen_id, row in cohort.generations.items()}}
        assert [shown(made) for made in cohort.members.values()] == [shown(made) for made in of_rows.values()]
        assert cohort.members.keys() == of_rows.keys()
        assert len(cohort.members) == len(of_rows)
        for stage in ("draft", "essay", "evaluation"):
            assert [made.gen_id for made in cohort.members.of_stage(stage)] == of_stage_ids(of_rows, stage)
    everything = Members({}, plan.generations)
    assert [shown(made) for made in everything.values()] == [shown(facts(row)) for row in plan.generations.values()]


def shown(made: Facts) -> tuple[Any, ...]:
    """The facts that tables show."""
    hidden = ("concepts", "wildcards")
    return made.combo_id, *(getattr(made, name) for name in made.__struct_fields__ if name not in hidden)


def of_stage_ids(members: dict[str, Facts], stage: str) -> list[str]:
    return [gen_id for gen_id, made in members.items() if made.stage == stage]


def test_essays_of_another_cohort_are_judged_further(project: Project) -> None:
    essays = essays_of(planned({"cohorts": ["trial"]}))
    plan = select(project, {"essays": essays}, ("more", "trial"))  # whatever their order
    more = cohorts_of(plan)["more"]
    assert len(more.generations) == 2 * 2
    assert {row.stage for row in more.generations.values()} == {"evaluation"}
    assert [row.stage for row in more.kept.values()] == ["draft", "essay", "essay"]
    assert not plan.world.kept, "the other cohort makes them"
    assert list(more.combos) == list(cohorts_of(plan)["trial"].combos)
    assert list(plan.generations) == [*cohorts_of(plan)["trial"].generations, *more.generations]


def test_the_same_evaluation_is_planned_alike_by_both(project: Project) -> None:
    essays = essays_of(planned({"cohorts": ["trial"]}))
    axes = {"evaluation_template": ["novelty"], "evaluation_llm": ["judge"]}
    plan = select(project, {"essays": essays}, ("trial", "more"), axes=axes)
    assert set(cohorts_of(plan)["more"].generations) < set(cohorts_of(plan)["trial"].generations)


def test_files_of_the_original_can_be_selected(project: Project) -> None:
    lay_original(project)
    plan = select(project, {"essays": ["e_old"]})
    assert list(plan.world.kept) == ["d_old", "e_old"]
    one = next(iter(plan.generations.values()))
    assert one.parents == ["e_old"]
    assert one.wildcards == {
        "combo_id": "combo_v1_x",
        **{"draft_template": "t7", "draft_llm": "gemini", "draft_replicate": 1},
        **{"essay_template": "t8", "essay_llm": "gemini", "essay_replicate": 1},
        **{"evaluation_template": "novelty", "evaluation_llm": "second", "evaluation_replicate": 1},
    }
    table = membership(cohorts_of(plan)["more"])
    assert list(table["gen_id"])[:2] == ["d_old", "e_old"]
    assert set(table["combo_id"]) == {"combo_v1_x"}
    listed = manifest(cohorts_of(plan)["more"])
    assert listed["kept"] == 2
    assert listed["generations"] == {"draft": 1, "essay": 1, "evaluation": 2}
    assert listed["rows_sharing"] == {"draft": 2, "essay": 2, "evaluation": 0}


def test_an_essay_without_its_draft_can_be_judged_but_not_its_draft(project: Project) -> None:
    lay(project, "e_alone", "essay", template_id="t8", llm_model_id="gemini")
    plan = select(project, {"essays": ["e_alone"]})
    assert list(plan.world.kept) == ["e_alone"]
    assert next(iter(cohorts_of(plan)["more"].row_ids)).keys() == {"essay", "evaluation"}
    with pytest.raises(DreamflowError, match=r"more\.yaml:15: stages\.evaluation\.judges: the draft of essay e_alone"):
        select(project, {"essays": ["e_alone"]}, stages={"evaluation": {"judges": ["draft", "essay"]}})


def test_kept_drafts_can_be_judged_too(project: Project) -> None:
    lay_original(project)
    plan = select(project, {"essays": ["e_old"]}, stages={"evaluation": {"judges": ["draft", "essay"]}})
    parents = sorted(parent for row in plan.generations.values() for parent in row.parents)
    assert parents == ["d_old", "d_old", "e_old", "e_old"]


def test_rules_may_name_the_selected_essays(project: Project) -> None:
    for name in ("e_1", "e_2"):
        lay(project, name, "essay")
    pairs = {
        "who": {"left": "essay_gen_id", "right": "evaluation_llm", "allowed": [["e_1", "judge"], ["e_2", "second"]]}
    }
    axes = {"evaluation_template": ["novelty"], "evaluation_llm": ["judge", "second"]}
    plan = select(project, {"essays": ["e_1", "e_2"]}, axes=axes, rules={"pairs": pairs})
    assert [(r["essay_gen_id"], r["evaluation_llm"]) for r in cohorts_of(plan)["more"].rows] == [
        ("e_1", "judge"),
        ("e_2", "second"),
    ]


def test_a_run_reads_kept_texts_as_inputs_and_leaves_them_alone(project: Project) -> None:
    lay_original(project)
    select(project, {"essays": ["e_old"]})
    lay(project, "e_other", "essay")
    run = Run({"cohorts": ["more"]}, lambda path: None)
    evaluation = of_stage(run.plan, "evaluation")[0]
    assert run.inputs(evaluation) == ["data/gens/essay/e_old/parsed.txt", "data/gens/essay/e_old/metadata.json"]
    assert run.gen_id_pattern().startswith("(?!(?:d_old|e_old)/)")
    assert not [path for path in run.targets("all") if "old" in path]
    for gen_id in run.plan.generations:
        run.inputs(gen_id)
    assert "2 calls to make" in run.forecast_text()


def test_orphans_are_not_what_a_selection_keeps(project: Project, capsys: pytest.CaptureFixture[str]) -> None:
    lay_original(project)
    lay(project, "e_other", "essay")
    list_orphans(select(project, {"essays": ["e_old"]}), remove=True)
    assert capsys.readouterr().out.splitlines()[0] == "data/gens/essay/e_other"
    assert sorted(path.name for path in project.root.glob("data/gens/*/*")) == ["d_old", "e_old"]


# --- where the ids come from ---


def test_a_csv_file_lists_them(project: Project) -> None:
    for name in ("e_1", "e_2", "e_3"):
        lay(project, name, "essay")
    rows = [("e_1", "TRUE"), ("e_2", ""), ("", "yes"), ("e_3", "x"), ("e_1", "1")]
    project.rows("data/curation/top.csv", ["essay_gen_id", "selected"], rows)
    assert list(select(project, {"csv": "data/curation/top.csv"}).world.kept) == ["e_1", "e_3"]
    project.rows("all.csv", ["rank", "text"], [("1", "e_2"), ("2", "e_1")])
    assert list(select(project, {"csv": "all.csv", "column": "text"}).world.kept) == ["e_2", "e_1"]


def test_the_best_of_a_ranking(project: Project) -> None:
    for name in ("e_1", "e_2"):
        lay(project, name, "essay")
    rows = [("1", "e_2", "essay"), ("2", "e_1", "essay"), ("", "e_3", "essay"), ("1", "d_1", "draft")]
    project.rows("data/cohorts/trial/reports/summary/ranking.csv", ["rank", "gen_id", "judged_stage"], rows)
    assert list(select(project, {"top": {"cohort": "trial", "n": 1}}).world.kept) == ["e_2"]
    assert list(select(project, {"top": {"cohort": "trial", "n": 9}}).world.kept) == ["e_2", "e_1"]


@pytest.mark.parametrize(
    ("block", "spec", "expected"),
    [
        ({}, {}, "from: nothing given; expected one of essays, csv, top"),
        ({"essays": ["e_1"], "csv": "x.csv"}, {}, "from: essays and csv given"),
        ({"essays": ["e_1"], "column": "x"}, {}, "from.column: only a csv file"),
        ({"essays": ["e_0"]}, {}, "unknown essay 'e_0': no configured cohort plans it"),
        ({"essays": ["../e_1"]}, {}, "essay '../e_1' cannot be used as a file name"),
        ({"essays": ["e_bad"]}, {}, "essay e_bad cannot be judged: it is failed (refusal: no)"),
        ({"essays": ["e_torn"]}, {}, "gens/essay/e_torn/metadata.json: damaged"),
        ({"csv": "gone.csv"}, {}, "gone.csv: no such file"),
        (
            {"csv": "list.csv", "column": "gen"},
            {},
            "list.csv:1: no column 'gen'; the columns are essay_gen_id, selected",
        ),
        ({"csv": "list.csv"}, {}, "list.csv:3: selected 'maybe'"),
        ({"csv": "none.csv"}, {}, "none.csv: no row is selected"),
        ({"top": {"cohort": "trial", "n": 3}}, {}, "snakemake --config 'cohorts=[trial]'"),
        ({"top": {"cohort": "trial"}}, {}, "from.top: 'n' is missing"),
        ({"essays": ["e_1"]}, {"axes": {**FURTHER, "draft_llm": ["writer"]}}, "unknown field 'draft_llm'"),
        ({"essays": ["e_1"]}, {"axes": {"evaluation_llm": ["judge"]}}, "'evaluation_template' is missing"),
        ({"essays": ["e_1"]}, {"combos": {"size": 2}}, "combos: delete this: 'from' decides"),
        ({"essays": ["e_1"]}, {"axes": {**FURTHER, "essay_gen_id": ["e_1"]}}, "axes.essay_gen_id: delete this"),
    ],
)
def test_what_is_wrong_is_told(project: Project, block: dict, spec: dict, expected: str) -> None:
    lay(project, "e_1", "essay")
    lay(project, "e_bad", "essay", status="failed", reason="refusal: no")
    lay(project, "e_torn", "essay")
    project.write("data/gens/essay/e_torn/metadata.json", "{")
    project.rows("list.csv", ["essay_gen_id", "selected"], [("e_1", "true"), ("e_1", "maybe")])
    project.rows("none.csv", ["essay_gen_id", "selected"], [("e_1", "no")])
    with pytest.raises(DreamflowError) as raised:
        select(project, block, **spec)
    assert expected in str(raised.value)
    assert "config/cohorts/more.yaml" in str(raised.value)


# --- scripts/select_essays.py ---

HEADER = ["gen_id", "parent_gen_id", "evaluation_template", "evaluation_llm_model", "judged_stage", "score_01"]
SCORES = [  # essay, template, model, its replicates
    ("e_1", "novelty", "m1", ("0.8", "0.6")),
    ("e_1", "novelty", "m2", ("0.9", "")),
    ("e_1", "rigor", "m1", ("0.1",)),
    ("e_2", "novelty", "m1", ("0.8", "0.8")),
    ("e_2", "rigor", "m1", ("0.6",)),
    ("e_3", "novelty", "m1", ("0.7",)),
    ("e_4", "novelty", "m1", ("",)),
    ("d_1", "novelty", "m1", ("1.0",)),
]


@pytest.fixture
def scored(project: Project) -> Project:
    rows = [
        (f"v_{number}_{place}", text, template, model, "essay" if text[0] == "e" else "draft", score)
        for number, (text, template, model, scores) in enumerate(SCORES)
        for place, score in enumerate(scores)
    ]
    project.rows("data/cohorts/trial/reports/parsing/aggregated_scores.csv", HEADER, rows)
    project.rows("data/7_cross_experiment/aggregated_scores.csv", HEADER, [r for r in rows if r[1] == "e_3"])
    return project


def chosen(*arguments: str, cohort: str = "trial") -> list[dict[str, str]]:
    assert main(["--cohort", cohort, "--out", "list.csv", *arguments]) == 0
    with Path("list.csv").open(newline="") as stream:
        return list(csv.DictReader(stream))


def test_an_essays_score_is_the_mean_of_its_evaluators_means(scored: Project) -> None:
    rows = chosen("--top-n", "2")
    assert list(rows[0]) == [
        *("selection_rank", "selected", "essay_gen_id", "avg_score", "max_score", "models_covered"),
        *("score__m1", "score__m2", "evaluation_template", "source_models", "selection_method", "selection_limit"),
        "proposed_cohort_id",
    ]
    # e_2: (0.8 + 0.6) / 2; e_3: 0.7; e_1: (0.7 + 0.9 + 0.1) / 3; equal means share a rank, in the order of ids
    assert [(r["selection_rank"], r["essay_gen_id"], r["avg_score"]) for r in rows] == [
        ("1", "e_2", "0.7"),
        ("1", "e_3", "0.7"),
    ]
    third = chosen("--top-n", "3")[2]
    assert (third["selection_rank"], third["avg_score"], third["max_score"]) == ("3", "0.5667", "0.9")
    assert (third["models_covered"], third["score__m1"], third["score__m2"]) == ("2", "0.4", "0.9")
    assert (third["selected"], third["selection_method"], third["selection_limit"]) == ("true", "top_n", "3")


def test_templates_and_evaluators_are_chosen(scored: Project) -> None:
    rows = chosen("--top-n", "9", "--template", "novelty")
    assert [(r["essay_gen_id"], r["avg_score"]) for r in rows] == [("e_1", "0.8"), ("e_2", "0.8"), ("e_3", "0.7")]
    rows = chosen("--top-n", "9", "--template", "novelty", "--template", "rigor", "--evaluator", "m1")
    assert [(r["essay_gen_id"], r["avg_score"]) for r in rows] == [("e_2", "0.7"), ("e_3", "0.7"), ("e_1", "0.4")]


def test_all_within_a_span_or_only_the_best(scored: Project) -> None:
    assert [r["essay_gen_id"] for r in chosen("--span", "0.1", "--template", "novelty")] == ["e_1", "e_2", "e_3"]
    assert [r["essay_gen_id"] for r in chosen("--span", "0.09", "--template", "novelty")] == ["e_1", "e_2"]
    assert [r["essay_gen_id"] for r in chosen("--max-only")] == ["e_2", "e_3"]
    assert [r["essay_gen_id"] for r in chosen("--top-n", "5", cohort="all")] == ["e_3"]


def test_its_list_is_a_selection(scored: Project) -> None:
    for name in ("e_2", "e_3"):
        lay(scored, name, "essay")
    chosen("--max-only")
    assert list(select(scored, {"csv": "list.csv"}).world.kept) == ["e_2", "e_3"]
    table = pd.read_csv("list.csv")
    table.loc[0, "selected"] = False
    table.to_csv("list.csv", index=False)
    assert list(select(scored, {"csv": "list.csv"}).world.kept) == ["e_3"]


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--cohort", "gone"], "aggregated_scores.csv: no such file"),
        (["--cohort", "trial", "--template", "x"], "--template x: no evaluation in"),
        (["--cohort", "trial", "--evaluator", "x"], "it has m1, m2"),
        (["--cohort", "trial", "--evaluator", "m2", "--template", "rigor"], "--template rigor"),
        (["--cohort", "../x"], "cannot be used as a file name"),
    ],
)
def test_what_cannot_be_selected_is_told(
    scored: Project, capsys: pytest.CaptureFixture[str], arguments: list[str], expected: str
) -> None:
    assert main([*arguments, "--max-only", "--out", "list.csv"]) == 1
    assert expected in capsys.readouterr().err
    assert not Path("list.csv").exists()
