"""From files to a table of generations: catalogs, combinations, cohorts, and the order in which they are made."""

import math
import re
from itertools import combinations
from pathlib import Path

import pytest
import yaml
from dreamflow.cohorts.combos import extend_mappings, load_mappings, make_combo, make_combos
from dreamflow.cohorts.spec import Combos
from dreamflow.cohorts.stages import STAGES
from dreamflow.errors import DreamflowError
from dreamflow.generation.catalog import Catalog, description, load_catalog, parse_scale, template
from dreamflow.generation.ids import draft_id, essay_id
from hypothesis import assume, given
from hypothesis import strategies as st
from plans import cohorts_of, of_stage, planned
from project import REPOSITORY, Project

AXES = {"draft_template": ["plain"], "draft_llm": ["one"]}
ESSAYS = {"essay_template": ["long"]}
JUDGED = {"evaluation_template": ["novelty"], "evaluation_llm": ["one"]}
SPEC = {"combos": {"lists": [["a", "b"]]}, "axes": AXES, "output": {"field_order": ["combo_id"]}}
PROMPTS = [prompt for stage in STAGES for prompt in stage.prompts]
MODELS = {
    "one": {"provider": "openai", "name": "m1", "sampling": {"temperature": 0.2, "max_tokens": 900}},
    "two": {"provider": "anthropic", "name": "m2", "max_output_tokens": 500},
}


@pytest.fixture
def project(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return Project(tmp_path, MODELS, SPEC)


@pytest.fixture
def compiled(project):
    """The plan of one cohort: compiled(axes, **other sections of the spec)."""

    def compile_one(axes, **sections):
        project.write("config/cohorts/trial.yaml", {**SPEC, "axes": axes, **sections})
        return planned({"cohorts": ["trial"]})

    return compile_one


def rejected(*parts):
    """An error whose message has these parts, in this order."""
    return pytest.raises(DreamflowError, match="(?s)" + ".*".join(re.escape(part) for part in parts))


def raw(project):
    return load_catalog(project.root / "data/1_raw", PROMPTS)


# Catalogs.


def test_a_catalog_as_spreadsheets_write_it(project):
    path = project.root / "data/1_raw/concepts_metadata.csv"
    path.write_bytes('\ufeffnotes,concept_id,name\r\n"x, y",a,"A, first"\r\n,,\r\n, b ,\r\nshort\r\n'.encode())
    assert raw(project).concepts == {"a": "A, first", "b": "b"}
    path.write_text("concept_id\na\nb\na\n")
    with rejected("concepts_metadata.csv:4", "'a' is listed twice"):
        raw(project).concepts  # noqa: B018  (read on first use)
    path.write_text("id,name\na,A\n")
    with rejected("concepts_metadata.csv:1", "no column 'concept_id'"):
        raw(project).concepts  # noqa: B018
    with rejected("raw_root", "no such folder"):
        load_catalog(project.root / "nowhere", PROMPTS)


def test_a_template_is_known_by_its_file_and_a_row_says_more(project):
    project.write("data/1_raw/templates/evaluation/new.txt", "Rate {{ response }}")
    project.write("data/1_raw/schemas/s.json", '{"type": "object"}')
    columns = ["scale", "template_id", "parser", "schema", "whatever"]
    project.rows("data/1_raw/evaluation_templates.csv", columns, [("1-5", "rigor", "json", "schemas/s.json", "x")])
    new, row = (template(raw(project), "evaluation", name) for name in ("new", "rigor"))
    assert (new.parser, new.generator, new.scale, new.response_format) == ("in_last_line", "llm", (0, 9), None)
    assert (row.parser, row.generator, row.scale) == ("json", "llm", (1, 5))
    assert row.response_format == {"type": "json_schema", "schema": {"type": "object"}}
    (project.root / "data/1_raw/essay_templates.csv").unlink()
    assert template(raw(project), "essay", "long").parser == "identity"


@pytest.mark.parametrize(
    ("row", "text", "parts"),
    [
        (("x", "identity", "llm", "", ""), None, ["x.txt: no such file"]),
        (("x", "best", "llm", "", ""), "", ["evaluation_templates.csv: x: unknown parser 'best'", "in_last_line"]),
        (("x", "identity", "tool", "", ""), "", ["evaluation_templates.csv: x: generator 'tool'", "llm, copy"]),
        (("x", "json", "llm", "5-1", ""), "", ["evaluation_templates.csv: x: scale '5-1'", "LOW-HIGH"]),
        (
            ("x", "json", "llm", "", "../../secret.json"),
            "",
            ["_templates.csv: schema '../../secret.json' is outside"],
        ),
        (("x", "json", "llm", "", "/etc/passwd"), "", ["_templates.csv: schema '/etc/passwd' is outside"]),
        (("x", "json", "llm", "", "templates/evaluation/x.txt"), "a\nb", ["x.txt:1: not valid JSON"]),
        (("x", "json", "llm", "", ""), "fine\n{% if %}", ["x.txt:2: not a Jinja2 template"]),
        (("x", "json", "llm", "", ""), "{{ draft }}", ["x.txt: unknown variable 'draft'", "response"]),
    ],
)
def test_a_template_that_will_not_do_is_told_with_its_file(project, row, text, parts):
    project.write("secret.json", "{}")
    project.rows(
        "data/1_raw/evaluation_templates.csv", ["template_id", "parser", "generator", "scale", "schema"], [row]
    )
    if text is not None:
        project.write("data/1_raw/templates/evaluation/x.txt", text)
    with rejected(*parts):
        template(raw(project), "evaluation", "x")


def test_a_description_is_read_at_the_level_asked_for_or_the_next_shorter_one(project):
    root = "data/1_raw/concepts/descriptions-"
    project.write(f"{root}article/a.txt", " All of a. \n")
    project.write(f"{root}sentence/b.txt", "B in short.")
    (project.root / f"{root}paragraph/b.txt").unlink()
    (project.root / f"{root}paragraph/c.txt").unlink()
    catalog = raw(project)
    assert description(catalog, "a", "article") == ("article", "All of a.")
    assert description(catalog, "a", "paragraph") == ("paragraph", "What a is.")
    assert description(catalog, "a", "sentence") == ("name", "A")  # never a longer one
    assert [description(catalog, "b", level)[0] for level in ("article", "paragraph")] == ["sentence"] * 2
    assert description(catalog, "c", "article") == ("name", "C")
    with rejected("unknown concept 'z'", "concepts_metadata.csv"):
        description(catalog, "z", "article")


def test_scales():
    assert [parse_scale(text) for text in ("", "0-9", "1-5", "10", "-5-5")] == [
        (0, 9),
        (0, 9),
        (1, 5),
        (0, 10),
        (-5, 5),
    ]
    for text in ("5-1", "3-3", "0", "high", "1-", "nan", "0-inf"):
        with rejected(f"scale {text!r}", "LOW-HIGH"):
            parse_scale(text)


# Combinations.


def block(**given):
    return Combos(**given)


def catalog_of(size):
    catalog = Catalog(Path("raw"), {})
    catalog.concepts = {f"c{number:02}": "" for number in range(size)}
    return catalog


@given(st.integers(1, 8), st.integers(1, 8), st.data())
def test_all_subsets_or_a_reproducible_sample_of_them(count, size, data):
    assume(size <= count)
    catalog, total = catalog_of(count), math.comb(count, size)
    everything = make_combos(block(size=size), catalog)
    assert [combo.concept_ids for combo in everything] == list(combinations(catalog.concepts, size))
    wanted, seed = data.draw(st.integers(1, total)), data.draw(st.integers(0, 9))
    drawn = make_combos(block(size=size, sample=wanted, seed=seed), catalog)
    assert drawn == make_combos(block(size=size, sample=wanted, seed=seed), catalog)
    assert len({combo.combo_id for combo in drawn}) == wanted
    assert {combo.combo_id for combo in drawn} <= {combo.combo_id for combo in everything}


def test_seeds_differ_and_lists_come_first():
    def draw(seed):
        chosen = make_combos(block(size=3, sample=5, seed=seed, lists=[["c09", "c01"]]), catalog_of(12))
        return [combo.concept_ids for combo in chosen]

    assert draw(1)[0] == draw(2)[0] == ("c01", "c09")
    assert draw(1) != draw(2)
    same = make_combos(block(lists=[["c01", "c02"], ["c02", "c01"]], level="article"), catalog_of(3))
    assert same == [make_combo(["c01", "c02"], "article")]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"size": 4}, "some combinations of 4 are requested, but 3 concepts have 0"),
        ({"size": 2, "sample": 4}, "4 combinations of 2 are requested, but 3 concepts have 3"),
        ({"sample": 2}, "'size' is missing"),
        ({"concepts": ["c00"], "lists": [["c01"]]}, "'size' is missing"),
        ({}, "'size' is missing"),
        ({"lists": [["c00"], ["c01", "c01"]]}, "combos.lists[1]: a concept is named twice"),
        (
            {"size": 1, "concepts": ["c00", "zz"]},
            "unknown concept 'zz'; known: c00, c01, c02 (in raw/concepts_metadata.csv)",
        ),
    ],
)
def test_wrong_combinations(given, said):
    with rejected("combos", said.removeprefix("combos")):
        make_combos(block(**given), catalog_of(3))


def test_combo_mappings_are_only_added_to(tmp_path):
    path = tmp_path / "combo_mappings.csv"
    one, two, three = (make_combo(ids, "sentence", 4) for ids in (["b", "a"], ["c"], ["a", "c"]))
    extend_mappings(path, [one, two], "2025-01-01")
    first = path.read_text()
    extend_mappings(path, [two, one], "2026-01-01")
    assert path.read_text() == first
    path.write_text(first.rstrip("\n"))  # as an editor may leave it
    extend_mappings(path, [three, one], "2026-01-01")
    assert path.read_text().startswith(first)
    assert load_mappings(path) == {combo.combo_id: combo for combo in (one, two, three)}
    path.write_text(f"\ufeffnote,k_max,description_level,concept_id,combo_id\nx,4,sentence,c,{two.combo_id}\n")
    extend_mappings(path, [one, two], "2026-01-01")
    assert load_mappings(path) == {combo.combo_id: combo for combo in (one, two)}
    path.write_text(first + f"{two.combo_id},v1,a,article,4,x\n")
    with rejected("combo_mappings.csv:5", "has two levels or sizes"):
        load_mappings(path)
    path.write_text("combo_id,concept_id\nx,a\n")
    with rejected("combo_mappings.csv:2", "expected the columns"):
        load_mappings(path)


def test_a_combination_from_the_mappings_is_read_at_its_level(project, compiled):
    project.write("data/1_raw/concepts/descriptions-sentence/a.txt", "A in short.")
    combo = make_combo(["a", "b"], "sentence", 7)
    extend_mappings(project.root / "data/combo_mappings.csv", [combo, make_combo(["gone"], "article")], "x")
    spec = {**SPEC, "axes": {"combo_id": [combo.combo_id], **AXES}}
    del spec["combos"]
    project.write("config/cohorts/trial.yaml", spec)
    (row,) = planned({"cohorts": ["trial"]}).generations.values()
    assert [concept["level"] for concept in row.variables["concepts"]] == ["sentence", "name"]
    spec["axes"]["combo_id"] = [make_combo(["gone"], "article").combo_id]
    project.write("config/cohorts/trial.yaml", spec)
    with rejected("unknown concept 'gone'"):
        planned({"cohorts": ["trial"]})


# Cohorts.


def test_a_design_crossed_in_two_phases_is_planned_whole(compiled):
    """The original drops every other essay of this design, because an essay's id does not tell who writes it."""
    plan = compiled(
        {
            "draft_template": ["plain", "spare"],
            "draft_llm": ["one", "two"],
            "essay_template": ["long"],
            "essay_llm": ["one", "two"],
            "evaluation_template": ["novelty", "rigor"],
            "evaluation_llm": ["one", "two"],
        },
        combos={"lists": [["a", "b"], ["b", "c"]]},
    )
    assert len(cohorts_of(plan)["trial"].rows) == 64
    assert [len(of_stage(plan, stage)) for stage in ("draft", "essay", "evaluation")] == [8, 16, 64]
    original = {essay_id(draft, "long", 1) for draft in of_stage(plan, "draft")}
    for gen_id in of_stage(plan, "essay"):
        wildcards = plan.generations[gen_id].wildcards
        assert (gen_id in original) == (wildcards["essay_llm"] == wildcards["draft_llm"])
        assert plan.generations[gen_id].model.model_id == wildcards["essay_llm"]


def test_a_copied_essay_is_one_whoever_would_write_it(compiled):
    plan = compiled({**AXES, "essay_template": ["kept", "long"], "essay_llm": ["one", "two"], **JUDGED})
    assert [len(of_stage(plan, stage)) for stage in ("draft", "essay", "evaluation")] == [1, 3, 3]
    copied = next(row for row in plan.generations.values() if row.mode == "copy")
    assert (copied.model, copied.sampling, copied.wildcards["essay_llm"]) == (None, {}, None)
    assert copied.gen_id == essay_id(*copied.parents, "kept", 1)


@pytest.mark.parametrize(
    ("axes", "judges", "stages"),
    [
        ({**ESSAYS, **JUDGED}, None, ["essay"]),
        ({**ESSAYS, **JUDGED}, ["draft"], ["draft"]),
        ({**ESSAYS, **JUDGED}, ["draft", "essay"], ["draft", "essay"]),
        (JUDGED, None, ["draft"]),
        (ESSAYS, ["essay"], []),
    ],
)
def test_who_is_judged(compiled, axes, judges, stages):
    plan = compiled({**AXES, **axes}, stages={"evaluation": {"judges": judges} if judges else {}})
    evaluations = [plan.generations[gen_id] for gen_id in of_stage(plan, "evaluation")]
    assert [plan.generations[row.parents[0]].stage for row in evaluations] == stages
    assert all(row.variables == {"response": {"parent": row.parents[0]}} for row in evaluations)


def test_replicates_may_be_digits_and_axes_have_other_names(compiled):
    plan = compiled({**AXES, **ESSAYS, "draft_replicate": [1, 2], "essay_replicate": [1, 3]})
    assert [len(of_stage(plan, stage)) for stage in ("draft", "essay")] == [2, 4]
    other = {"draft_template": ["plain"], "generation_llm": ["one"], "essay_rep": [1, "3"]}
    assert compiled({**other, **ESSAYS, "draft_template_replicate": ["1", "2"]}).generations == plan.generations
    for value in (0, -1, "x", 1.5, "2.0"):
        with rejected("trial.yaml:11: axes.draft_replicate[0]", repr(value), "whole number from 1"):
            compiled({**AXES, "draft_replicate": [value]})


def test_a_cohort_over_published_inputs_has_the_published_ids(tmp_path):
    common = ["dearth-ai-discoveries", "default-mode-network", "economic-innovation-models", "economic-moat"]
    spec = {
        "combos": {"lists": [[*common, "generator-verifier-gap"], [*common, "flywheel-effect"]]},
        "axes": {
            "draft_template": ["creative-synthesis-v10"],
            "draft_llm": ["gemini_25_pro"],
            "draft_replicate": [1, 2],
            "essay_template": ["creative-synthesis-v10"],
            "essay_llm": ["gemini_25_pro", "deepseek_r1_p"],
            "evaluation_template": ["novelty-v2"],
            "evaluation_llm": ["sonnet-4", "gemini_25_pro"],
        },
        "output": {"field_order": ["combo_id"]},
    }
    path = tmp_path / "published.yaml"
    path.write_text(yaml.safe_dump(spec))
    shipped = {"models": str(REPOSITORY / "config/models.yaml"), "raw_root": str(REPOSITORY / "data/1_raw")}
    plan = planned({"cohorts": [str(path)], "data_root": str(tmp_path), **shipped})
    assert set(cohorts_of(plan)["published"].combos) == {"combo_v1_85128e4e5ef3", "combo_v1_f74195c24ea7"}
    assert set(plan.generations) >= {"d_5ezrffv9uf3lr37d", "d_45vl8xljrnxk3daa", "d_3cxfemmhegfzaguo"}
    assert set(plan.generations) >= {"e_sq5klak2lljyyom", "e_1cx6440bb5zj9466"}
    assert set(plan.generations) >= {"v_4xdwfjt7penqwg2g", "v_2pzejj5kr4xwdzil"}
    assert [len(of_stage(plan, stage)) for stage in ("draft", "essay", "evaluation")] == [4, 8, 16]


def test_settings_of_the_stage_win_over_the_model_and_stay_below_its_limit(compiled):
    axes = {**AXES, "draft_llm": ["one", "two"], **ESSAYS}
    plan = compiled(axes, stages={"essay": {"sampling": {"temperature": 1}, "min_lines": 5, "attempts": 1}})
    found = {
        (row.stage, row.model.model_id): (row.sampling, row.min_lines, row.max_attempts)
        for row in plan.generations.values()
    }
    assert found == {
        ("draft", "one"): ({"temperature": 0.2, "max_tokens": 900}, 3, 3),
        ("draft", "two"): ({"temperature": 0.7, "max_tokens": 500}, 3, 3),
        ("essay", "one"): ({"temperature": 1, "max_tokens": 900}, 5, 1),
        ("essay", "two"): ({"temperature": 1, "max_tokens": 500}, 5, 1),
    }


@pytest.mark.parametrize(
    ("axes", "parts"),
    [
        ({"draft_template": ["plain"]}, ["axes: 'draft_llm' is missing"]),
        ({**AXES, "draft_llm": ["gpt"]}, [":9: axes.draft_llm[0]: unknown model 'gpt'; known: one, two"]),
        ({**AXES, "draft_template": ["none"]}, [":7: axes.draft_template[0]: unknown draft template 'none'", "spare"]),
        ({**AXES, "draft_template": ["../x"]}, ["axes.draft_template[0]: template '../x' cannot be used as"]),
        ({**AXES, "draft_template": [7]}, ["axes.draft_template", "7"]),
        ({**AXES, "essay_llm": ["one"]}, ["axes: 'essay_llm' without 'essay_template'"]),
        ({**AXES, "essay_template": ["kept"], "essay_llm": ["gone"]}, ["axes.essay_llm[0]: unknown model 'gone'; did"]),
        ({**AXES, "evaluation_template": ["novelty"]}, ["'evaluation_template' without 'evaluation_llm'"]),
        ({**AXES, "draft_model": ["one"]}, ["one field is given under two names"]),
        ({**AXES, "mood": ["glad"]}, ["unknown field 'mood'", "combo_id"]),
        ({**AXES, "combo_id": ["combo_v1_0"]}, ["unknown combination 'combo_v1_0'", "combo_mappings.csv"]),
        ({**AXES, "draft_template": ["plain", "Plain"]}, ["same id", "ids ignore letter case", "'Plain'"]),
    ],
)  # fmt: skip
def test_a_cohort_that_cannot_be_planned_is_told_with_its_file(project, compiled, axes, parts):
    project.write("data/1_raw/templates/draft/Plain.txt", "Other.")
    with rejected("config/cohorts/trial.yaml", *parts):
        compiled(axes)


def test_other_conflicts_within_a_cohort(project, compiled):
    project.rows("data/1_raw/draft_templates.csv", ["template_id", "generator"], [("plain", "copy")])
    with rejected("trial.yaml:7: axes.draft_template[0]: draft template 'plain' is 'copy'"):
        compiled(AXES)
    with rejected("trial.yaml:", ": stages.evaluation.judges: no axis 'essay_template'"):
        compiled({**AXES, **JUDGED}, stages={"evaluation": {"judges": ["essay"]}})


def test_cohorts_share_what_they_agree_on_and_quarrel_by_name(project):
    more = {**SPEC, "axes": {**AXES, "draft_replicate": [1, 2]}}
    project.write("config/cohorts/more.yaml", more)
    plan = planned({"cohorts": ["trial", "config/cohorts/more.yaml"]})
    assert sorted(plan.world.origin.values()) == ["more", "trial"]
    project.write("config/cohorts/more.yaml", {**more, "stages": {"draft": {"attempts": 1}}})
    with rejected(
        "planned twice with different max_attempts", "by trial", '"max_attempts":3', "by more", '"max_attempts":1'
    ):
        planned({"cohorts": ["trial", "more"]})
    with rejected("cohorts: the cohort 'trial' is named twice"):
        planned({"cohorts": ["trial", "config/cohorts/trial.yaml"]})


def test_a_plan_is_a_pure_function_in_an_order_that_groups(project, compiled):
    axes = {"draft_llm": ["two", "one"], "draft_template": ["spare", "plain"], "draft_replicate": [1, 2]}
    axes |= {"essay_template": ["long", "kept"], **JUDGED}
    plan = compiled(axes)
    files = sorted(project.root.rglob("*"))
    again = compiled(axes)
    assert (again.generations, again.world.catalog.texts) == (plan.generations, plan.world.catalog.texts)
    assert sorted(project.root.rglob("*")) == files
    assert sorted(map(plan.priority, plan.generations)) == list(range(1, len(plan.generations) + 1))
    ordered = [plan.generations[gen_id] for gen_id in sorted(plan.generations, key=plan.priority, reverse=True)]
    groups = [(row.stage, row.model and row.model.model_id, row.template_id) for row in ordered]
    changes = [group for group, before in zip(groups, [None, *groups], strict=False) if group != before]
    assert len(changes) == len(set(groups))  # each group in one piece
    stages = [row.stage for row in ordered]
    assert stages == sorted(stages)  # draft, essay, evaluation
    assert all(plan.priority(parent) > plan.priority(row.gen_id) for row in ordered for parent in row.parents)
    place = {gen_id: number for number, gen_id in enumerate(plan.generations)}
    assert all(place[parent] < place[row.gen_id] for row in ordered for parent in row.parents)
    combo = make_combo(["a", "b"], "paragraph").combo_id
    assert draft_id(combo, "spare", "two", 2) in plan.generations


# Fallback models.

CROSSED = {**AXES, "draft_llm": ["one", "two"], **ESSAYS, **JUDGED}


def test_fallbacks_are_those_of_the_stage_without_the_model_itself_and_change_no_id(compiled):
    plain = compiled(CROSSED)
    stages = {
        "draft": {"fallback": ["two", "one"], "sampling": {"temperature": 0.9}},
        "evaluation": {"fallback": ["two"]},
    }
    spared = compiled(CROSSED, stages=stages)
    assert list(spared.generations) == list(plain.generations)
    answering = {
        (row.stage, row.model.model_id): [each.model.model_id for each in row.candidates]
        for row in spared.generations.values()
    }
    assert answering == {
        ("draft", "one"): ["one", "two"],
        ("draft", "two"): ["two", "one"],
        ("essay", "one"): ["one"],
        ("essay", "two"): ["two"],
        ("evaluation", "one"): ["one", "two"],
    }
    draft = next(row for row in spared.generations.values() if row.stage == "draft" and row.model.model_id == "one")
    (spare,) = draft.fallbacks
    # Its own limit, and the spec's temperature: the stage's sampling is that of every model that answers.
    assert spare.sampling == {"temperature": 0.9, "max_tokens": 500}
    unchanged = [gen_id for gen_id, row in spared.generations.items() if row == plain.generations[gen_id]]
    assert {spared.generations[gen_id].stage for gen_id in unchanged} == {"essay"}


@pytest.mark.parametrize(
    ("fallback", "told"),
    [
        (["too"], "stages.essay.fallback[0]: unknown model 'too'; did you mean 'two'?"),
        (["two", "two"], "stages.essay.fallback: a model is named twice: one, two, two"),
        (["person"], "stages.essay.fallback: 'person' is a human model: it cannot have fallbacks or be one"),
    ],
)
def test_a_fallback_that_cannot_be_is_told_with_its_line(project, compiled, fallback, told):
    project.write("config/models.yaml", {"models": {**MODELS, "person": {"provider": "human"}}})
    with rejected("config/cohorts/trial.yaml:", told):
        compiled({**AXES, **ESSAYS}, stages={"essay": {"fallback": fallback}})


def test_a_human_model_has_no_fallbacks(project, compiled):
    project.write("config/models.yaml", {"models": {**MODELS, "person": {"provider": "human"}}})
    judged = {**JUDGED, "evaluation_llm": ["one", "person"]}
    with rejected("stages.evaluation.fallback: 'person' is a human model"):
        compiled({**AXES, **judged}, stages={"evaluation": {"fallback": ["two"]}})
