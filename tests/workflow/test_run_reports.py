"""A run ends in sight of its results, and results that are not complete say so until they are."""

from project import Project
from server import Server

README, STATE = "data/results/trial/README.md", "data/cohorts/trial/reports/state.json"
NOT_COMPLETE = "> **Not complete:** "


def test_results_say_that_they_are_not_complete_until_they_are(project: Project, server: Server):
    again = project.run()
    assert again.returncode == 0, again.stdout
    assert f"cohort trial: {README}\n" in again.stdout
    whole = project.read(README)
    assert NOT_COMPLETE not in whole
    assert project.read(STATE)["complete"] is True

    spec = project.read("config/cohorts/trial.yaml")
    project.edit("config/cohorts/trial.yaml", axes={**spec["axes"], "draft_template": ["plain", "spare"]})
    assert project.run("drafts").returncode == 0  # a part of the new plan
    marked = project.read(README)
    assert marked.splitlines()[2].startswith(f"{NOT_COMPLETE}8 of 20 generations are not made, or not as planned now")
    assert project.read(STATE)["complete"] is False

    before = server.calls
    tables = project.run("reports")
    assert tables.returncode == 0, tables.stdout
    assert server.calls == before
    assert "What the scores of cohort trial say:" in tables.stdout
    assert "4 of 8 planned scores are missing (4 not made yet)" in " ".join(tables.stdout.split())
    assert NOT_COMPLETE in project.read(README)
    assert "4 not made yet" in project.read(README)

    assert project.run().returncode == 0
    assert NOT_COMPLETE not in project.read(README)
    assert "missing" not in project.read("data/cohorts/trial/reports/summary/findings.md")
    assert project.read(STATE)["complete"] is True
