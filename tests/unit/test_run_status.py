"""The files of runs, and what they say from outside: running, ended, killed."""

import json
import subprocess
import sys

from dreamflow.run_status import RunFile, read_status

STATE = {"stages": {"draft": {"planned": 3, "made": 1}}, "in_flight": [], "budgets": []}
ENDING = {"stages": {"draft": {"planned": 3, "made": 3}}, "why": "done", "is_complete": True}
WRITE = """
import sys
from dreamflow.run_status import RunFile
RunFile(sys.argv[1], {"run": "killed", "targets": ["essays"]}).write({"stages": {"draft": {"planned": 3, "made": 2}}})
"""


def killed_run(root):
    """A process wrote its state, and ended without a word."""
    path = ":".join(sys.path)
    subprocess.run([sys.executable, "-c", WRITE, str(root)], env={"PYTHONPATH": path}, check=True)


def test_a_run_can_be_read_while_it_runs_and_when_it_has_ended(tmp_path):
    assert read_status(tmp_path)["running"] == read_status(tmp_path)["finished"] == []
    run = RunFile(tmp_path, {"run": "one", "targets": ["all"]})
    run.write(STATE)
    run.write({**STATE, "stages": {"draft": {"planned": 3, "made": 2}}})
    (state,) = read_status(tmp_path)["running"]
    assert (state["run"], state["stages"]["draft"]["made"], state["targets"]) == ("one", 2, ["all"])
    run.end(ENDING)
    said = read_status(tmp_path)
    assert said["running"] == said["died"] == []
    assert [(line["run"], line["why"]) for line in said["finished"]] == [("one", "done")]


def test_a_killed_run_is_told_and_the_next_run_notes_it(tmp_path):
    killed_run(tmp_path)
    said = read_status(tmp_path)
    assert said["running"] == said["finished"] == []
    (gone,) = said["died"]
    assert gone["run"] == "killed" and "killed" in gone["why"] and "--unlock" in gone["remedy"]
    run = RunFile(tmp_path, {"run": "next", "targets": []})
    run.write(STATE)
    said = read_status(tmp_path)
    assert [state["run"] for state in said["running"]] == ["next"] and said["died"] == []
    assert [(line["run"], line["stages"]["draft"]["made"]) for line in said["finished"]] == [("killed", 2)]


def test_two_runs_beside_each_other_have_a_file_each(tmp_path):
    one, two = (RunFile(tmp_path, {"run": name, "targets": []}) for name in ("one", "two"))
    for run in (one, two, one, two):
        run.write(STATE)
    assert {state["run"] for state in read_status(tmp_path)["running"]} == {"one", "two"}
    one.end(ENDING)
    assert {state["run"] for state in read_status(tmp_path)["running"]} == {"two"}


def test_damaged_files_are_left_out(tmp_path):
    RunFile(tmp_path, {"run": "one"}).end(ENDING)
    lines = tmp_path / "runs/runs.jsonl"
    lines.write_text(lines.read_text() + '{"run": "torn", "sta')
    (tmp_path / "runs/current.json").write_text("[]")
    RunFile(tmp_path, {"run": "two"}).end(ENDING)
    assert [line["run"] for line in read_status(tmp_path)["finished"]] == ["two", "one"]


def test_what_waits_for_people_is_listed(tmp_path):
    inbox = tmp_path / "inbox"
    inbox.mkdir()
    for name in ("v_1.question.txt", "v_2.question.txt", "v_2.answer.txt"):
        (inbox / name).write_text("?")
    waiting = read_status(tmp_path)["waiting"]
    assert (waiting["people"], waiting["people_total"]) == ([str(inbox / "v_1.question.txt")], 1)


def test_a_run_of_another_machine_counts_until_it_is_silent(tmp_path):
    run = RunFile(tmp_path, {"run": "far", "targets": []})
    run.known["host"] = "another"
    run.write(STATE)
    assert [state["run"] for state in read_status(tmp_path)["running"]] == ["far"]
    state = json.loads(run.path.read_text())
    run.path.write_text(json.dumps({**state, "updated": "2026-01-01T00:00:00+00:00"}))
    (gone,) = read_status(tmp_path)["died"]
    assert "another" in gone["why"]
