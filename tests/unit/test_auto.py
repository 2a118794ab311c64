"""`model: auto`: the row is that of a spec that names the model, and a choice stays once it is written."""

import json
import re
from collections import Counter
from itertools import product

import pytest
from dreamflow.errors import DreamflowError
from dreamflow.generation.budgets import worst_case
from dreamflow.generation.digest import row_digest
from dreamflow.generation.model import Call, Message, Record, Response, as_json
from dreamflow.generation.respond import respond
from dreamflow.plan import compile_plan
from dreamflow.routing.atp import count_words
from dreamflow.routing.auto import known_prompt
from dreamflow.trust.collect import write_cycle_outcomes
from plans import of_stage, planned
from project import REPOSITORY, Project

MODELS = {
    "one": {"provider": "openai", "name": "m1", "base_url": "http://localhost:1", "atp": 0.5},
    "two": {"provider": "openai", "name": "m2", "base_url": "http://localhost:1", "atp": 4},
    "keyed": {"provider": "anthropic", "name": "m3"},
    "gone": {"provider": "llama_cpp", "name": "gone.gguf"},
    "recorded": {"provider": "replay", "name": "answers.jsonl"},
    "person": {"provider": "human"},
}
CALL = Call(gen_id="d_1", stage="draft", cohort_id="trial", at="2026-01-01", latency_s=1)
AXES = {
    "draft_template": ["plain"],
    "draft_llm": ["auto"],
    "draft_replicate": [1, 2, 3, 4],
    "essay_template": ["long"],
    "essay_llm": ["auto"],
    "evaluation_template": ["novelty"],
    "evaluation_llm": ["auto"],
}
SPEC = {"combos": {"lists": [["a", "b"], ["b", "c"]]}, "axes": AXES, "output": {"field_order": ["combo_id"]}}


@pytest.fixture
def project(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("ANTHROPIC_API_KEY", raising=False)
    made = Project(tmp_path, MODELS, SPEC)
    for kind in ("chunk", "cluster", "answer", "relax", "match", "synthesise", "verdict"):
        for path in (REPOSITORY / "data/1_raw/templates" / kind).iterdir():
            made.write(f"data/1_raw/templates/{kind}/{path.name}", path.read_text())
    return made


def trial(**settings):
    return planned({"cohorts": ["trial"], **settings})


def saved(plan):
    assert plan.world.router.save(lambda gen_id: plan.find(gen_id) is not None) == []
    return plan


def routing(project, cycle=1, **means):
    """A routing table in which the models have these success rates, almost for certain."""
    cells = [
        {"model_id": m, "context": "*", "evidence": "exact", "alpha": 1e6 * p, "beta": 1e6 * (1 - p), "n": 50}
        | {"mean": p, "low": p, "high": p}
        for m, p in means.items()
    ]
    state = {"name": "wake", "budget_atp": 100, "multiplier": 1.0}
    settings = {"minimum_evidence": 5, "atp_value": 0.01, "evidence": ["exact"]}
    content = {"schema_version": 1, "cycle": cycle, "state": state, "settings": settings, "models": {}, "cells": cells}
    project.write(f"data/trust/cycle-{cycle}/routing.json", json.dumps(content))
    project.write(f"data/trust/cycle-{cycle}/reputation.jsonl", "")


def same_as_named(plan, named):
    """Check that each row of a plan is a row of the plan that names the models; returns the models."""
    rows = plan.generations
    assert all(row_digest(row) == row_digest(named.find(gen_id)) for gen_id, row in rows.items())
    return Counter(row.model.model_id for row in rows.values())


def rejected(*parts):
    return pytest.raises(DreamflowError, match="(?s)" + ".*".join(re.escape(part) for part in parts))


def test_a_cohorts_rows_are_those_of_named_models(project):
    plan = trial()
    both = {name: ["one", "two"] for name in ("draft_llm", "essay_llm", "evaluation_llm")}
    project.write("config/cohorts/named.yaml", {**SPEC, "axes": {**AXES, **both}})
    assert set(same_as_named(plan, planned({"cohorts": ["named"]}))) == {"one", "two"}  # no key, no file, not asked for
    assert set(planned({"cohorts": ["trial", "named"]}).generations) >= set(plan.generations)
    for gen_id, choice in plan.world.router.made.items():
        assert plan.find(gen_id).model.model_id == choice.model_id
        assert choice.slot[:2] == gen_id[:2] and choice.slot != gen_id
        assert (choice.propensity, choice.cycle, choice.round) == (0.5, 0, 1)
        assert plan.find(gen_id).wildcards[f"{plan.stage(gen_id)}_llm"] == choice.model_id


def test_an_essay_without_a_model_of_its_own_is_by_the_drafts(project):
    project.edit("config/cohorts/trial.yaml", axes={k: v for k, v in AXES.items() if k != "essay_llm"})
    plan = trial()
    for gen_id in of_stage(plan, "essay"):
        assert plan.find(gen_id).model == plan.find(plan.find(gen_id).parents[0]).model
        assert gen_id not in plan.world.router.made


def test_the_table_decides_and_a_written_choice_stays(project):
    routing(project, one=0.9, two=0.2)
    first = trial()
    assert {row.model.model_id for row in first.generations.values()} == {"one"}
    routing(project, cycle=2, one=0.2, two=0.9)
    before = list(saved(first).generations)
    assert len((project.root / "data/trust/choices.jsonl").read_text().splitlines()) == 24
    project.write("data/1_raw/templates/draft/plain.txt", "What is {{ concepts[0].name }}?")
    again = trial()
    assert list(again.generations) == before and not again.world.router.has_new
    choice = again.world.router.described(before[0])
    assert (choice["cycle"], choice["context"], choice["evidence"], choice["propensity"]) == (
        1,
        "draft/novel",
        "exact",
        1.0,
    )
    second = saved(trial(trust={"round": 2}))
    assert {row.model.model_id for row in second.generations.values()} == {"two"}
    assert list(trial().generations) == before
    assert {row.model.model_id for row in trial(trust={"cycle": 1, "round": 3}).generations.values()} == {"one"}


def test_a_choice_that_is_no_longer_allowed_is_made_again_and_comes_back(project):
    routing(project, one=0.9, two=0.2)
    before = list(saved(trial()).generations)
    stages = {stage: {"auto": {"of": ["two", "recorded"], "layer": "specialized"}} for stage in ("draft", "essay")}
    project.edit("config/cohorts/trial.yaml", stages=stages)
    other = saved(trial())
    assert {other.find(gen_id).model.model_id for gen_id in of_stage(other, "draft")} == {"two"}
    assert {other.find(gen_id).model.model_id for gen_id in of_stage(other, "evaluation")} == {"one"}
    project.write("config/cohorts/trial.yaml", SPEC)
    assert list(trial().generations) == before
    project.write("config/models.yaml", {"models": {k: v for k, v in MODELS.items() if k != "one"}})
    assert {row.model.model_id for row in trial().generations.values()} == {"two"}


def test_of_two_runs_the_first_to_write_decides(project):
    routing(project, one=0.9, two=0.2)
    mine, same = trial(), trial()
    routing(project, one=0.2, two=0.9)
    other = saved(trial())
    with rejected("models were chosen by another run", "Run again"):
        saved(mine)
    assert list(trial().generations) == list(other.generations)
    assert same.world.router.has_new
    choices = project.root / "data/trust/choices.jsonl"
    choices.unlink()
    saved(mine)
    lines = choices.read_text()
    saved(same)  # it chose the same
    assert choices.read_text() == lines


def test_only_what_is_wanted_is_written(project):
    plan = trial()
    drafts = set(of_stage(plan, "draft"))
    plan.world.router.save(drafts.__contains__)
    assert len((project.root / "data/trust/choices.jsonl").read_text().splitlines()) == len(drafts) == 8
    assert plan.world.router.has_new


def test_fallbacks_and_cascades(project):
    routing(project, one=0.9, two=0.2)
    project.edit("config/cohorts/trial.yaml", stages={"draft": {"fallback": ["one", "two"]}})
    plan = trial()
    drafts = [plan.find(gen_id) for gen_id in of_stage(plan, "draft")]
    assert {tuple(c.model.model_id for c in row.candidates) for row in drafts} == {("one", "two")}
    cascade = {"of": ["two", "recorded", "one"], "cascade": True}
    models = {**MODELS, "recorded": {**MODELS["recorded"], "revision": "1", "atp": 2}}
    project.write("config/models.yaml", {"models": models})
    project.edit("config/cohorts/trial.yaml", stages={"draft": {"auto": cascade, "fallback": ["two"]}})
    plan = saved(trial())
    drafts = [plan.find(gen_id) for gen_id in of_stage(plan, "draft")]
    assert {tuple(c.model.model_id for c in row.candidates) for row in drafts} == {("one", "recorded", "two")}
    # The cheap model's answers are too short, so the next one is asked.
    texts = {"one": "Short.", "recorded": "A line.\nAnother.\nA third.\n"}
    asked = []

    def ask(question, key):
        asked.append(question.model.model_id)
        text = Response(texts[question.model.model_id], "stop")
        return Record(schema_version=2, request=question, response=text, call=CALL)

    outcome = respond(drafts[0], "Why?", project.root / "store", ask, models=plan.models)
    assert (outcome.status, outcome.record.request.model.model_id) == ("ok", "recorded")
    assert asked == ["one"] * 3 + ["recorded"]
    # Samples have to agree: three differ, so the next model is asked, two of whose samples are equal.
    project.edit("config/cohorts/trial.yaml", stages={"draft": {"auto": {**cascade, "agree": 2}}})
    row = trial().find(drafts[0].gen_id)
    said = {"one": iter("abc"), "recorded": iter("aba"), "two": iter("a")}
    texts = {}
    asked.clear()

    def say(question, key):
        asked.append(question.model.model_id)
        texts[key] = f"{next(said[question.model.model_id])}\n" * 3
        return Record(schema_version=2, request=question, response=Response(texts[key]), call=CALL)

    outcome = respond(row, "How?", project.root / "store", say, models=plan.models)
    assert (outcome.status, outcome.raw, asked) == ("ok", "a\n" * 3, ["one"] * 3 + ["recorded"] * 3)
    said |= {"one": iter("abc"), "recorded": iter("abc")}
    outcome = respond(row, "How?", project.root / "store", say, models=plan.models)
    assert (outcome.status, outcome.record.request.model.model_id) == ("ok", "two")  # the last needs no second
    project.edit("config/cohorts/trial.yaml", stages={"draft": {"auto": cascade, "fallback": ["two"]}})
    models["recorded"]["atp"] = 20  # what was chosen stays
    project.write("config/models.yaml", {"models": models})
    assert [trial().find(row.gen_id) for row in drafts] == drafts


@pytest.mark.parametrize(
    ("stages", "told"),
    [
        ({"auto": {"of": ["won"]}}, "stages.draft.auto.of[0]: unknown model 'won'"),
        ({"auto": {"of": ["one"], "layer": "strategic"}}, "no model can be chosen (one: its layer is sensory)"),
        ({"auto": {"layer": "tactical"}}, "ANTHROPIC_API_KEY is not set"),
        ({"auto": {"of": ["keyed"]}, "sampling": {"min_p": 0.1}}, "does not take min_p"),
        ({"auto": {"of": ["one", "one"]}}, "occurs twice"),
        ({"auto": {"agree": 2}}, "'agree' is for a cascade"),
    ],
)
def test_what_cannot_be_chosen_is_told(project, stages, told):
    project.edit("config/cohorts/trial.yaml", stages={"draft": stages})
    with rejected("config/cohorts/trial.yaml:", told):
        trial()


def test_auto_where_it_means_nothing_is_an_error(project):
    project.edit("config/cohorts/trial.yaml", axes={**AXES, "draft_llm": ["one"]}, stages={"draft": {"auto": {}}})
    with rejected("trial.yaml:", "stages.draft.auto: no row has 'auto' as its 'draft_llm'"):
        trial()
    project.write("config/models.yaml", {"models": {**MODELS, "auto": MODELS["one"]}})
    with rejected("config/models.yaml:", "'auto' means that trust chooses the model; give this model another id"):
        trial()


def test_a_damaged_table_is_told(project):
    routing(project)
    project.write("data/trust/cycle-1/routing.json", "{")
    with rejected("cycle-1/routing.json", "damaged"):
        trial()


def test_trust_by_prompt_decides_where_prompts_are_sorted_by_similarity(project):
    routing(project, one=0.9, two=0.3)
    by_similarity = {"contexts": {"by": ["similarity"]}}
    rows = "".join(f"Text {number}?,0,1\n" for number in range(100))
    project.write("data/1_raw/outcomes/past.csv", "prompt,one,two\n" + rows)
    write_cycle_outcomes(trial(trust=by_similarity).world, 1)
    by_text = trial(trust=by_similarity)
    assert {row.model.model_id for row in by_text.generations.values()} == {"two"}
    assert {row.model.model_id for row in trial().generations.values()} == {"one"}


def test_a_prompt_is_known_as_far_as_its_parents_are_not_needed():
    variables = {"a": {"sha256": "x"}, "b": {"parent": "d_1"}, "c": {"choice": {"parent": "m_1"}, "of": {"y": 1}}}
    assert known_prompt("{{ a }} and {{ b }}!", {k: variables[k] for k in "ab"}, {"x": "text"}) == "text and !\n"
    assert known_prompt("{{ c }}", variables, {"x": "text"}) == "{{ c }}"
    assert known_prompt("{{ measured }}", {}, {}) == "{{ measured }}"


# Other families.


def test_probes(project):
    spec = {"tasks": {"base": False, "generate": {"facts": 20}}, "models": ["auto"]}
    project.write("config/probes/p.yaml", {**spec, "asked": {"auto": {"of": ["one", "two"]}, "samples": 2}})
    project.write("config/probes/named.yaml", {**spec, "models": ["one", "two"], "asked": {"samples": 2}})
    plan = planned({"probes": ["p"]})
    assert set(same_as_named(plan, planned({"probes": ["named"]}))) == {"one", "two"}
    assert len(plan.generations) == 40
    project.write("config/probes/p.yaml", {**spec, "models": ["one"], "asked": {"auto": {}}})
    with rejected("config/probes/p.yaml:", "asked.auto: 'models' does not name auto"):
        planned({"probes": ["p"]})


def test_contexts_of_a_column(project):
    spec = {"tasks": {"base": False, "generate": {"facts": 2, "code": 2}}, "models": ["auto"]}
    project.write("config/probes/p.yaml", spec)
    plan = planned({"probes": ["p"], "trust": {"contexts": {"by": ["kind"], "named": {"towns": ["town", "capital"]}}}})
    made = plan.world.router.made
    assert {made[g].context for g, row in plan.generations.items() if row.wildcards["kind"] == "code"} == {"code"}
    assert {made[g].context for g, row in plan.generations.items() if row.wildcards["kind"] == "facts"} <= {
        "facts",
        "towns",
    }


def test_conversations_and_clusters(project):
    for name in ("one", "two"):
        project.write(f"data/1_raw/conversations/{name}.md", f"User: {name} is rye.\nAssistant: It is bread.\n" * 9)
    tier = {"auto": {"of": ["one", "two"]}, "window_tokens": 50}
    project.write("config/conversations/c.yaml", {"tiers": {"basic": tier, "good": tier}})
    plan = planned({"conversations": ["c"], "clusters": {"auto": {"of": ["two"]}}})
    plan.families["chunks"].read()
    models = {}
    for row in plan.generations.values():
        models.setdefault(row.wildcards["conversation_id"], set()).add(row.model.model_id)
    assert [len(names) for names in models.values()] == [1, 1]  # one model for a conversation
    assert len(plan.generations) > 2
    for name in ("one", "two"):
        project.write("config/conversations/c.yaml", {"tiers": {"basic": {"model": name, "window_tokens": 50}}})
        named = planned({"conversations": ["c"]})
        mine = [g for g, row in plan.generations.items() if row.model.model_id == name]
        assert all(row_digest(plan.find(g)) == row_digest(named.find(g)) for g in mine)


def test_an_upgrade(project):
    project.write("data/1_raw/conversations/a.md", "User: The rye is here.\nAssistant: It is bread.\n" * 9)
    tier = {"auto": {"of": ["one", "two"]}, "window_tokens": 50}
    project.write("config/conversations/c.yaml", {"tiers": {"good": tier}})
    config = {"conversations": ["c"], "upgrade": {"target": "good"}}
    routing(project, one=0.9, two=0.2)
    plan = planned(config)
    plan.families["chunks"].read()
    plan.families["chunks"].make_archives("many/b", "data/talks/made/many/b.json")
    plan.families["chunks"].targets("upgrade")
    previewed, text = plan.families["chunks"].preview()
    assert "upgrade of c to good (auto): 1 chunks" in text
    assert plan.families["chunks"].write_upgrade_plan("2026-02-13T04:00:00+00:00") == text
    assert plan.deferred() == previewed and {row.model.model_id for row in previewed.values()} == {"one"}
    saved(plan)  # as the job does that wrote the plan
    routing(project, cycle=2, one=0.2, two=0.9)
    again = planned(config)
    assert again.deferred() == previewed and not again.world.router.has_new


def test_a_teacher_may_be_chosen_but_not_a_student(project):
    project.write("small.gguf", "weights")
    models = {**MODELS, "small": {"provider": "llama_cpp", "name": "small.gguf"}}
    project.write("config/models.yaml", {"models": models})
    spec = {
        "student": {"model": "small"},
        "teacher": {"auto": {}, "samples": 2},
        "tasks": {"base": False, "generate": {"extraction": 60, "facts": 40}},
        "replay": {"kinds": ["extraction"], "size": 20, "held_out_size": 10},
    }
    project.write("config/distillations/d.yaml", spec)
    plan = planned({"distillations": ["d"]})
    distill = plan.families["distill"]
    distill.want("teacher")
    rows, _ = distill.preview()
    assert {row.model.model_id for row in rows.values() if row.turns} == {"one", "two"}  # not the student
    assert plan.world.router.save(lambda gen_id: plan.find(gen_id) is not None) == []
    assert not (project.root / "data/trust").exists()  # what is only previewed is not chosen yet
    for part, told in (
        ({"student": {"model": "auto"}}, "student.model: 'auto' is not possible here: name a model"),
        ({"training": {"kl_weight": 0.5}}, "'training.kl_weight' needs the weights of one teacher"),
        ({"teacher": {"model": "one", "auto": {}}}, "'auto' is for 'model: auto'; the model is one"),
    ):
        project.write("config/distillations/d.yaml", {**spec, **part})
        assert told in compile_plan({"distillations": ["d"]}).problems[0]


def test_nights(project):
    raw = REPOSITORY / "data/1_raw/procedures"
    for path in (*raw.glob("*/*.py"), *raw.glob("*/*.yaml")):
        project.write(path.relative_to(REPOSITORY), path.read_text())
    auto = {"auto": {"of": ["one", "two"]}}

    def night(relax, synthesise, match, verdict):
        models = {"relax": relax, "synthesise": synthesise, "match": match, "verdict": verdict}
        spec = {"procedures": ["webshop.q*"], "kinds": ["relax", "synthesise", "parameters"], "match": "model"}
        project.write("config/procedures/n.yaml", {**spec, "models": models})
        return planned({"procedures": ["n"]}).generations

    rows = night(auto, auto, auto, auto)
    assert {row.stage for row in rows.values()} == {"match", "variant", "verdict"}
    assert {row.model.model_id for row in rows.values() if row.model} == {"one", "two"}
    named = set()  # the model of a match is not part of the id of its variants
    for match, maker, judge in product(({"model": "one"}, {"model": "two"}), repeat=3):
        named |= {row_digest(row) for row in night(maker, maker, match, judge).values()}
    assert {row_digest(row) for row in rows.values()} <= named


def test_worked_examples_are_a_part_of_the_model(project):
    examples = [{"prompt": "2+2?", "answer": "4"}, {"prompt": "3+3?", "answer": "6"}]
    models = {**MODELS, "shown": {**MODELS["one"], "examples": examples}}
    project.write("config/models.yaml", {"models": models})
    project.edit("config/cohorts/trial.yaml", stages={"draft": {"auto": {"of": ["shown"]}, "fallback": ["one"]}})
    plan = trial()
    row = plan.find(of_stage(plan, "draft")[0])
    asked = []

    def ask(question, key):
        asked.append(question)
        return Record(schema_version=2, request=question, response=Response("", "stop"), call=CALL)

    respond(row, "1+1?", project.root / "store", ask, models=plan.models)
    turns = [Message("user", "2+2?"), Message("assistant", "4"), Message("user", "3+3?"), Message("assistant", "6")]
    first = [question for question in asked if question.model.model_id == "shown"]
    assert [question.messages for question in first] == [[*turns, Message("user", "1+1?")]] * 3
    rest = [question for question in asked if question.model.model_id == "one"]
    assert [question.messages for question in rest] == [[Message("user", "1+1?")]] * 3
    assert "examples" in as_json(first[0].model) and "examples" not in as_json(rest[0].model)
    worst = [worst_case(questions[0], row, plan.models["one"]).tokens for questions in (first, rest)]
    assert worst[0] > worst[1]
    saved(plan)
    texts = plan.world.catalog.texts
    words = count_words(known_prompt(texts[row.template_sha256], row.variables, texts))
    line = json.loads((project.root / "data/trust/choices.jsonl").read_text().splitlines()[0])
    assert line["expected"]["shown"]["atp"] == pytest.approx(0.5 * (1 + (words + 4) / 100))
