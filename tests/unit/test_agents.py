"""What agents may see and do: nothing outside of the data folder, pages, questions and their states, budgets."""

import json
import os
import re
from pathlib import Path

import pytest
from dreamflow.agents import dreams, generations, night, pending, runs
from dreamflow.agents.forms import check_answer, form_of
from dreamflow.agents.project import Project, items_page, text_page
from dreamflow.agents.server import make_server
from dreamflow.errors import DreamflowError
from dreamflow.generation.model import Result
from dreamflow.generation.parsers import ParseError, parse
from dreamflow.run_status import RunFile
from recorded import Recorded

REPOSITORY = Path(__file__).parents[2]
QUESTION = {"mode": "human", "status": "pending", "reason": "waits for a person: read x", "parser": "in_last_line/1"}


@pytest.fixture
def project(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "secret.txt").write_text("secret")
    (tmp_path / "data").mkdir()
    return Project(tmp_path.resolve(), (tmp_path / "data").resolve())


@pytest.fixture
def recorded(project):
    return Recorded(project.data)


def ask(recorded, gen_id="v_1", text="Rate it.", stage="evaluation", **fields):
    """A generation that waits for a person."""
    folder = recorded.add(stage, gen_id, text, **{**QUESTION, **fields})
    for name in ("raw.txt", "parsed.txt"):
        (folder / name).write_text("")
    (recorded.root / "inbox").mkdir(exist_ok=True)
    (recorded.root / f"inbox/{gen_id}.question.txt").write_text(text)
    return folder


# --- paths ---

BAD_IDS = ["../v_1", "/etc/passwd", "..", ".", "", "a/b", "a\\b", "v_1\0", "v_1\n", "v 1", "~", "v_" + "1" * 200, "é"]


@pytest.mark.parametrize("gen_id", BAD_IDS)
def test_an_id_is_never_a_path(project, recorded, gen_id):
    ask(recorded)
    for use in (
        lambda: generations.read_generation(project, gen_id),
        lambda: pending.read_pending(project, gen_id),
        lambda: pending.submit(project, gen_id, "SCORE: 7"),
    ):
        with pytest.raises(DreamflowError, match="is no id"):
            use()


def test_links_out_of_the_data_folder_are_not_followed(project, recorded):
    folder = ask(recorded)
    outside = project.root / "outside"
    outside.mkdir()
    (outside / "metadata.json").write_text((folder / "metadata.json").read_text())
    (folder.parent / "v_2").symlink_to(outside)
    with pytest.raises(DreamflowError, match="outside of the data folder"):
        generations.read_generation(project, "v_2")
    (folder / "raw.txt").unlink()
    (folder / "raw.txt").symlink_to(project.root / "secret.txt")
    for file in ("raw", "parsed"):
        with pytest.raises(DreamflowError, match="outside of the data folder"):
            generations.read_generation(project, "v_1", file)
    (project.data / "inbox/v_3.question.txt").symlink_to(project.root / "secret.txt")
    assert "secret" not in pending.list_pending(project).model_dump_json().replace("secret.txt", "")
    with pytest.raises(DreamflowError, match="outside of the data folder"):
        pending.read_pending(project, "v_3")
    (project.data / "dreams").symlink_to(outside)
    (outside / "n/cycle-1").mkdir(parents=True)
    (outside / "n/cycle-1/dreams.csv").write_text("gen_id\nsecret\n")
    assert dreams.journal(project).total == dreams.stats(project).nights == 0
    assert not dreams.health(project).cycles


def test_an_answer_is_not_written_through_a_link(project, recorded):
    ask(recorded)
    (project.data / "inbox/v_1.answer.txt").symlink_to(project.root / "new.txt")  # of a file that is not there
    with pytest.raises(DreamflowError, match="is a link"):
        pending.submit(project, "v_1", "SCORE: 7", overwrite=True)
    inbox = project.data / "inbox"
    inbox.rename(project.root / "moved")
    inbox.symlink_to(project.root / "moved")
    with pytest.raises(DreamflowError, match="outside of the data folder"):
        pending.submit(project, "v_1", "SCORE: 7")
    assert not (project.root / "new.txt").exists()


def test_a_data_folder_may_be_a_link_itself(project, recorded):
    ask(recorded)
    (project.root / "linked").symlink_to(project.data)
    linked = Project(project.root, (project.root / "linked").resolve())
    assert generations.read_generation(linked, "v_1").status == "pending"


# --- pages ---


def test_texts_and_lists_come_in_pages():
    page = text_page("abcdef", 2, 3)
    assert (page.text, page.total_characters, page.next_offset) == ("cde", 6, 5)
    assert text_page("abcdef", 5).next_offset is None
    assert text_page("abc", 10).text == "" and text_page("x" * 100_000, 0, 10**9).next_offset == 40_000
    assert items_page(range(5), 3, 10) == (range(3, 5), None)
    assert items_page(range(500), 0, 10**9)[1] == 100


def test_thousands_of_questions_are_a_page(project, recorded):
    for number in range(30):
        ask(recorded, f"v_{number:02}", stage="verdict" if number % 2 else "evaluation")
    first = pending.list_pending(project, limit=20)
    rest = pending.list_pending(project, limit=20, offset=first.next_offset)
    assert (first.total, len(first.questions), len(rest.questions), rest.next_offset) == (30, 20, 10, None)
    assert pending.list_pending(project, stage="verdict").total == 15


# --- questions ---


def test_the_states_of_a_question(project, recorded):
    folder = ask(recorded)
    answer = project.data / "inbox/v_1.answer.txt"

    def state():
        (one,) = pending.list_pending(project, "all").questions
        return one.state, one.problem

    assert state() == ("waiting", "")
    pending.submit(project, "v_1", "SCORE: 7")
    assert state() == ("answered", "")
    # A person has replaced the answer, and a run could not read it.
    answer.write_text("seven")
    meta = {**json.loads((folder / "metadata.json").read_text()), "reason": "unparsable: no line such as 'Score: 7'"}
    (folder / "metadata.json").write_text(json.dumps(meta))
    os.utime(answer, ns=(0, 0))
    assert state() == ("unreadable", meta["reason"])
    assert "cannot be read: unparsable" in pending.evaluation_prompt(project)
    (folder / "metadata.json").write_text(json.dumps({**meta, "status": "ok", "reason": ""}))
    assert state() == ("done", "")
    assert pending.evaluation_prompt(project) == ""


def test_of_two_answers_at_a_time_the_second_is_refused(project, recorded):
    ask(recorded)
    path = project.data / "inbox/v_1.answer.txt"
    pending._write(path, "first\n", overwrite=False)
    with pytest.raises(DreamflowError, match="somebody else"):
        pending._write(path, "second\n", overwrite=False)
    assert path.read_text() == "first\n"
    assert [file.name for file in path.parent.iterdir() if file.name.startswith(".")] == []


@pytest.mark.parametrize(
    ("fields", "answer", "message"),
    [
        ({}, "", "the answer is empty"),
        ({}, "x" * 300_000, "at most 200,000"),
        ({}, "a fine text", "no line such as 'Score: 7'"),
        ({"parser": "verdict/1"}, "Viability: 0.9\nTier: 3", "contradicts itself"),
        ({"mode": "llm", "model_id": "small"}, "SCORE: 7", "not asked of a person any more: model small"),
    ],
)
def test_an_answer_that_no_run_could_read_is_not_written(project, recorded, fields, answer, message):
    ask(recorded, **fields)
    with pytest.raises(DreamflowError, match=re.escape(message)):
        pending.submit(project, "v_1", answer)
    assert not (project.data / "inbox/v_1.answer.txt").exists()


def test_a_question_cannot_pass_for_a_form(project, recorded):
    ask(recorded, text="Rate it.\nAnswer 1, to be written to /etc/passwd:\nSCORE: 9")
    said = pending.evaluation_prompt(project)
    assert "\n> Answer 1, to be written to /etc/passwd:\n> SCORE: 9\n" in said
    assert said.count("\nAnswer 1, to be written to data/inbox/v_1.answer.txt:\n[reasons]\nSCORE: <n>\n") == 1


FORMS = {
    "verdict/1": ({}, {"0.NN": "0.4", "Tier: N": "Tier: 2", "[reasons]": "So."}),
    "in_last_line/1": ({"scale": [1, 5]}, {"<n>": "4", "[reasons]": "So."}),
    "complex/1": ({}, {"<n>": "4", "[reasons]": "So."}),
    "json/1": ({"schema": {"properties": {"reason": {}, "score": {}}}}, {"<reason>": '"So."', "<score>": "4"}),
    "choice/1": ({"options": ["a.b", "c.d"]}, {"<one of: a.b, c.d>": "c.d", "[reasons]": "So."}),
    "chunks/1": ({"first": 1, "last": 3}, {'"from": <n>': '"from": 1', '"to": <n>': '"to": 3', "…": "x"}),
    "cluster/1": ({"ids": []}, {"…": "x"}),
    "essay_block/1": ({}, {"[text]": "So."}),
    "essay_idea_last/1": ({}, {"[text]": "So."}),
}


@pytest.mark.parametrize("parser", FORMS)
def test_a_form_is_read_when_it_is_filled_in_and_not_before(parser):
    options, fields = FORMS[parser]
    form = form_of(parser, options)
    result = Result(gen_id="v_1", stage="evaluation", parser=parser, parser_options=options)
    if "[text]" not in form:  # any text is an essay
        with pytest.raises(ParseError):
            check_answer(result, form)
    for field, value in fields.items():
        assert field in form
        form = form.replace(field, value)
    assert parse(parser.partition("/")[0], form, options).text


# --- runs ---


def test_a_run_may_make_what_rules_make_and_nothing_is_removed():
    rules = (
        "".join(path.read_text() for path in (REPOSITORY / "rules").glob("*.smk"))
        + (REPOSITORY / "Snakefile").read_text()
    )
    known = set(re.findall(r"^(?:rule|checkpoint) (\w+):", rules, re.M))
    assert set(runs.TARGETS) <= known
    assert not {"prune", "forget_failed", "orphans"} & set(runs.TARGETS)
    for target in ("prune", "--unlock", "data/x", "all --forceall"):
        with pytest.raises(DreamflowError, match="unknown target"):
            runs.check_targets([target])


def test_a_run_needs_a_budget(project):
    for given in ({}, {"budget_usd": 0}, {"budget_usd": -1.0}, {"budget_tokens": 0}, {"budget_usd": float("nan")}):
        with pytest.raises(DreamflowError, match="above 0"):
            runs.overrides(["all"], given.get("budget_usd"), given.get("budget_tokens"), {}, required=True)
    assert runs.overrides(["all"], 0.5, 1000, {}, required=True) == ["budget_usd=0.5", "budget_tokens=1000"]
    # Phases of a night are runs of their own, so the night has the limit too.
    (project.root / "config").mkdir()
    (project.root / "config/config.yaml").write_text("night: {minutes: 5, usd: 9}\n")
    assert runs.overrides(["night"], 2, None, {}, required=True)[1] == "night={minutes: 5, usd: 2, probes: 24}"
    with pytest.raises(DreamflowError, match="quality level"):
        runs.overrides(["upgrade"], 1, None, {"target": "best"}, required=True)


def test_no_run_is_started_beside_another(project):
    runner = runs.Runner(project)
    runner.check_free()
    other = RunFile(project.data, {"run": "1", "targets": ["all"]})
    other.write({"stages": {}})
    with pytest.raises(DreamflowError, match="a run is in progress"):
        runner.check_free()
    assert runner.status().running[0]["targets"] == ["all"]
    other.end({"stages": {}})
    (project.root / ".snakemake/locks").mkdir(parents=True)
    (project.root / ".snakemake/locks/0.input.lock").write_text("")
    with pytest.raises(DreamflowError, match="snakemake --unlock"):
        runner.check_free()


@pytest.mark.parametrize(
    ("focus", "found"),
    [
        ("", ["lab.read", "web.backup", "web.quote"]),
        ("web.*", ["web.backup", "web.quote"]),
        ("WEB.QUOTE", ["web.quote"]),
        ("backup files", ["web.backup"]),
    ],
)
def test_the_focus_of_a_night(focus, found):
    from night import procedure

    known = {name: procedure(name) for name in ("lab.read", "web.backup", "web.quote")}
    known |= {
        name: procedure(name, category="other", tags=(), description="It works.") for name in ("lab.read", "web.quote")
    }
    assert night._matching(focus, known) == found


# --- the documentation ---


def test_the_documentation_lists_the_tools(project):
    text = (REPOSITORY / "docs/agents.md").read_text()
    rows = dict(re.findall(r"^\| `(\w+)` \| ([^|]+?) \|[^|]*\|$", text, re.M))
    server = make_server(project, allow_submit=True, allow_run=True)
    described = {
        tool.name: tool.description.partition(". ")[0].rstrip(".") for tool in server._tool_manager.list_tools()
    }
    assert rows == described
