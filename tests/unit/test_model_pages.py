"""The pages on models, probes and students: their numbers are those of the files, keys and markup never appear."""

import json
import re
from pathlib import Path

import pytest
from dreamflow.distill.validate import compare_answers, gate
from dreamflow.files import write_atomic
from dreamflow.routing.choices import Choice, ChoiceFile
from dreamflow.routing.choose import Expected
from dreamflow.site import charts
from dreamflow.site.build import write_pages
from dreamflow.tasks.outcomes import Outcome, write_grades
from dreamflow.trust.table import Row, csv_text
from plans import planned
from project import Project

MODELS = {
    "small": {"provider": "replay", "name": "answers.jsonl", "atp": 0.5},
    "large": {
        **{"provider": "openai", "name": "big", "base_url": "https://user:secret@models.example:8080/v1?token=hidden"},
        **{"api_key_env": "MY_KEY", "price": {"prompt": 1, "completion": 2}, "extra_body": {"x-key": "hidden"}},
    },
}
SPEC = {
    "combos": {"lists": [["a", "b"]], "level": "paragraph"},
    "axes": {"draft_template": ["plain"], "draft_llm": ["small"], "essay_template": ["kept"]},
}
SECTION = ("trust", "probe", "distill")


@pytest.fixture
def trial(tmp_path, monkeypatch):
    """A project with two models."""
    project = Project(tmp_path / "project", MODELS, SPEC)
    project.write("answers.jsonl", "")
    monkeypatch.chdir(project.root)
    monkeypatch.setenv("MY_KEY", "hidden-key")
    return project


def pages_of(*families, **config):
    plan = planned({"cohorts": [], **config})
    return {page.path: page for name in families or SECTION for page in plan.families[name].pages()}


def built(folder, **config):
    """The HTML pages of the section by path."""
    write_pages(pages_of(**config).values(), folder)
    return {path.relative_to(folder).as_posix(): path.read_text() for path in folder.glob("models/**/*.html")}


def trust_row(cycle, model_id, context="*", trust=0.5, evidence="exact", **fields):
    values = {"layer": "sensory", "low": trust - 0.1, "high": trust + 0.1, "n": 9.0, "outcomes": 10 * cycle, "new": 4}
    values |= {"change": None, "successes": 5.0, "failures": 4.0, "alpha": 6.0, "beta": 5.0, "moving_average": None}
    values |= {"revision": "", "last_cycle": None}
    same = {"cycle": cycle, "model_id": model_id, "context": context, "evidence": evidence, "trust": trust}
    return Row(**{**values, **same, **fields})


def write_trust(*rows):
    for cycle in {row.cycle for row in rows}:
        text = csv_text(row for row in rows if row.cycle == cycle)
        write_atomic(Path(f"data/trust/cycle-{cycle}/trust.csv"), text)
        write_atomic(Path(f"data/trust/cycle-{cycle}/reputation.jsonl"), "")


def choose(*models, cycle=0):
    expected = {"small": Expected(mean=0.5, atp=1.0, value=0.5, propensity=0.5)}
    same = {"propensity": 0.5, "context": "novel", "evidence": "exact", "cycle": cycle, "state": "", "why": "so"}
    rows = [Choice(slot=f"e_{cycle}_{place}", model_id=model, **same) for place, model in enumerate(models)]
    ChoiceFile(Path("data/trust/choices.jsonl")).add([(row, expected) for row in rows])


def outcome(model_id, number, passed, kind="facts", group=None, **fields):
    values = {"context": "calls", "group": group or f"g{number}", "sample": 1, "score": None if passed is None else 1.0}
    values |= {"prompt_tokens": 40, "completion_tokens": 2, "latency_s": 0.5, "cost_usd": 0.0, "why": "so it is"}
    own = {"model_id": model_id, "task_id": f"{kind}-{number}", "kind": kind, "gen_id": f"a_{model_id}{kind}{number}"}
    return Outcome(**{**values, **own, "passed": passed, **fields})


def test_trust_on_the_pages_is_that_of_the_last_cycle(trial):
    write_trust(
        *(trust_row(1, "small", trust=0.3), trust_row(1, "large", trust=0.4), trust_row(1, "gone", trust=0.2)),
        *(trust_row(2, "small", trust=0.625, change=0.325), trust_row(2, "large", trust=0.75)),
        trust_row(2, "small", "novel", trust=0.55),
        trust_row(2, "small", "novel", trust=0.9, evidence="judged"),
    )
    choose("small", "large", "small", "small")
    choose("large", cycle=1)
    pages = pages_of("trust")
    index = pages["models/index.html"].facts
    lines = {row[0].text: row for row in index["models"]}
    assert (lines["small"][2].value, lines["small"][2].low, lines["small"][3]) == (0.625, 0.525, 20)
    assert lines["small"][-1] == 3
    assert "gone" not in lines  # no outcome in the last cycle
    assert index["cycle"] == 2
    small = pages["models/model/small.html"].facts
    shown = [(row[0], row[1], row[2].value) for row in small["trust"]]
    assert sorted(shown) == [
        ("all contexts", "measured exactly", 0.625),
        ("novel", "judged by models", 0.9),
        ("novel", "measured exactly", 0.55),
    ]
    assert (small["chosen"], small["choices"]) == (3, 5)
    drawn = "".join(index["charts"])
    assert "small, cycle 1, 0.30 [0.20 to 0.40], 10 outcomes" in drawn
    assert "small, cycle 0, 0.75, 3 of 4" in drawn  # its share of the questions


def test_a_model_is_described_without_keys_or_addresses(trial):
    page = built(trial.root / "site")["models/model/large.html"]
    assert "models.example" in page
    for secret in ("secret", "hidden", "MY_KEY", "user:", "8080"):
        assert secret not in page


def test_a_damaged_table_of_trust_does_not_hide_the_models(trial):
    trial.write("data/trust/cycle-1/trust.csv", "cycle,model_id\n1,small\n")
    page = built(trial.root / "site")["models/index.html"]
    assert "cycle-1/trust.csv: damaged" in page
    assert "small" in page


def test_a_probe_shows_every_answer_with_what_was_expected(trial):
    same = {"kind": "facts", "context": "calls", "grader": {"name": "exact"}}
    tasks = [
        {
            "task_id": f"facts-{n}",
            "group": f"facts.who.t{n}",
            "prompt": f"What is {n}?",
            "answer": f"the number {n}",
            **same,
        }
        for n in range(8)
    ]
    trial.write("data/1_raw/templates/answer/plain-v1.txt", "{{ prompt }}")
    trial.write("data/1_raw/probe/facts.jsonl", "".join(json.dumps(task) + "\n" for task in tasks))
    trial.write("config/probes/mine.yaml", {"models": ["small", "large"], "tasks": {"base": True}})
    graded = [outcome("small", n, n < 2) for n in range(8)] + [outcome("large", n, n != 7) for n in range(7)]
    graded += [outcome("large", 7, None, why="ungraded: pending")]
    write_grades("data/probes/mine/grades.jsonl", graded)
    for row in graded:
        write_atomic(f"data/gens/answer/{row.gen_id}/parsed.txt", f"<b>answer {row.gen_id}</b>")
    page = pages_of("probe", probes=["mine"])["models/probe/mine.html"]
    whole = {row[0]: row for row in page.facts["accuracy"] if row[1] == "all kinds"}
    assert (whole["small"][2], whole["small"][3].value) == (8, 0.25)
    assert (whole["large"][2], whole["large"][3].value, whole["large"][4]) == (7, 1.0, 1)
    assert page.highlight.startswith("large is better than small by 71.4 [26.3, 100.0] ")
    answers = {row[-1]: row for row in page.facts["answers"]}
    assert len(answers) == 16
    assert answers["a_smallfacts1"][2].text == "right"
    assert answers["a_largefacts7"][2].text == "not graded"
    assert answers["a_smallfacts5"][3:6] == ["What is 5?", "the number 5", "<b>answer a_smallfacts5</b>"]
    assert "<b>answer" not in built(trial.root / "site", probes=["mine"])["models/probe/mine.html"]
    assert {document.anchor for document in page.documents} == {f"~answers.q={gen_id}" for gen_id in answers}


def test_answers_to_tasks_that_are_no_longer_configured_are_shown_with_their_ids(trial):
    write_grades("data/probes/old/grades.jsonl", [outcome("small", 1, True)])
    trial.write("data/probes/broken/grades.jsonl", "{}\n")
    pages = built(trial.root / "site")
    assert "no longer configured" in pages["models/probe/old.html"]
    assert "not a grade" in pages["models/probe/broken.html"]


def student(folder, steps):
    """The files of a student that solves held-out tasks as `steps` says: "01" was learned."""
    held_out = [
        {**{"set": "held_out", "student": when, "task_id": f"t{n}", "kind": "extraction", "group": f"g{n}"},
         **{"passed": step == "1", "prompt_tokens": 9, "completion_tokens": 2, "seconds": 0.1}}
        for n, pair in enumerate(steps)
        for when, step in zip(("before", "after"), pair, strict=True)
    ]  # fmt: skip
    general = [{**row, "set": "general", "kind": "facts", "passed": True} for row in held_out]
    validation = compare_answers([*held_out, *general], seed=1)
    decision = gate(validation, {"margin": 0.1, "most_lost": 0.02, "smallest": 5})
    exported = {
        "deployed": decision["deployed"],
        "reasons": decision["reasons"],
        "accuracy": None,
        "model_id": "small-x",
    }
    for name, value in (("validation", validation), ("gate", decision), ("exported", exported)):
        write_atomic(folder / f"{name}.json", json.dumps(value))
    log = "step,epoch,tokens,loss,validation_loss,lr,tokens_per_s,seconds\n0,0,0,,1.5,,,1\n1,1,9,1.25,0.5,0.001,9,2\n"
    write_atomic(folder / "training.csv", log)
    return validation


def test_a_student_is_shown_with_its_gate_and_what_it_solves(trial):
    folder = trial.root / "data/distill/lesson"
    validation = student(folder / "cycle-1", ["01"] * 6 + ["00"] * 2 + ["11"] * 2)
    student(folder / "cycle-2", ["00"] * 10)
    trial.write("data/distill/lesson/cycle-3/training.csv", "step,loss\n1,2\n")
    pages = pages_of("distill")
    good, bad = (pages[f"models/student/lesson-cycle-{cycle}.html"] for cycle in (1, 2))
    assert (good.facts["status"].text, bad.facts["status"].text) == ("can be used", "not registered")
    assert good.summary == "can be used; 80% of held-out tasks solved, before 20%"
    change = next(row for row in good.facts["solved"] if row[1] == "all kinds")
    held_out = validation["held_out"]["all"]
    assert change[2] == held_out["n"] == 10
    assert (change[5].value, change[5].low) == (100 * held_out["difference"], 100 * held_out["low"])
    assert [row[3].text for row in good.facts["gate"]] == ["yes"] * 4
    assert [row[3].text for row in bad.facts["gate"]] == ["yes", "no", "no", "yes"]
    drawn = "".join(good.facts["charts"])
    assert "validation, step 1, 0.50" in drawn
    assert "held-out: all kinds, after, 0.80" in drawn
    assert "not the log of a training" in built(trial.root / "site")["models/student/lesson-cycle-3.html"]


def test_an_empty_project_says_which_commands_fill_the_section(trial):
    page = built(trial.root / "site")["models/index.html"]
    for command in ("snakemake trust", "snakemake probe", "snakemake distill"):
        assert command in page


def test_charts_have_text_for_everybody_and_colours_of_the_page():
    hostile = '<script>alert("x")</script>'
    twins = [charts.Interval("a very long name that is cut off here, " * 2 + end, 0.5, 0.4, 0.6) for end in "ab"]
    drawn = charts.intervals(
        hostile, "With <b>.", [charts.Interval(hostile, 0.25, 0.1, 0.5, "9 texts"), *twins], "x", (0, 1)
    )
    assert "<script" not in drawn
    assert "<b>" not in drawn
    assert 'role="img" aria-label="&lt;script&gt;' in drawn
    assert "0.25 [0.10 to 0.50], 9 texts</title>" in drawn
    assert "var(--series-1)" in drawn
    assert "<td>0.10 to 0.50</td>" in drawn
    places = set(re.findall(r'translate\([\d.]+,([\d.]+)\)"[^>]*><title>a very', drawn))
    assert len(places) == 2  # names that are cut to the same have a row each
    points = [charts.Point(name, cycle, 0.5) for name in "ab" for cycle in (1, 2)]
    lines = charts.lines("Trust", "", points, ("cycle", "trust"), (0, 1))
    assert "stroke-dasharray" in lines
    assert "var(--series-2)" in lines
    many = charts.distribution("Scores", "", {"a": {n / 100: 2 for n in range(101)}}, "score", (0, 1))
    assert many.count("times</title>") == 20
    assert "<td>202</td><td>0.50</td>" in many
