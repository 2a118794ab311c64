"""Where the results of a run are, in a few lines; and the mark on those that are not complete."""

import json
import os

from dreamflow.family import Report
from dreamflow.run_reports import SHOWN, mark, report_lines


def page(tmp_path, name="demo", **fields):
    path = tmp_path / name / "README.md"
    path.parent.mkdir()
    path.write_text("# The best\n\n- m1 is better.\n")
    return Report(f"cohort {name}", path, "m1 is better.", **fields)


def test_results_that_are_not_on_the_screen_are_listed(tmp_path):
    report = page(tmp_path)
    assert report_lines([report]) == ["Results:", f"  cohort demo: {report.page}", "    m1 is better."]
    assert report_lines([report], [f"Best essays, to read in {report.page.parent}/"]) == []
    assert report_lines([Report("cohort new", tmp_path / "new/README.md")]) == []


def test_results_that_are_missing_or_old_say_so(tmp_path):
    old = page(tmp_path, outdated="3 of 9 generations are not made")
    assert report_lines([old])[1] == f"  cohort demo: {old.page} NOT COMPLETE: 3 of 9 generations are not made."
    assert len(report_lines([old], [f"Best essays, to read in {old.page.parent}/"])) == 3  # also if it was shown
    new = Report("cohort new", tmp_path / "new/README.md", outdated="2 of 9 are not made", remedy=" Do it.")
    assert report_lines([new])[1] == "  cohort new: no tables yet (2 of 9 are not made). Do it."


def test_many_results_are_cut(tmp_path):
    lines = report_lines([page(tmp_path, f"c{number}") for number in range(SHOWN + 3)])
    assert lines[-1] == "  and 3 more"
    assert len(lines) == 1 + 2 * SHOWN + 1


def test_a_mark_comes_and_goes_and_leaves_no_trace(tmp_path):
    state = tmp_path / "state.json"
    state.write_text(json.dumps({"complete": True, "answer": "m1 is better."}))
    report = page(tmp_path, state=state)
    before, times = report.page.read_bytes(), report.page.stat().st_mtime_ns
    for outdated in ("the plan has changed", "3 of 9 are not made"):
        report.outdated = outdated
        mark(report)
        lines = report.page.read_text().splitlines()
        assert lines[:3] == ["# The best", "", f"> **Not complete:** {outdated}."]
        assert json.loads(state.read_text())["complete"] is False
        assert json.loads(state.read_text())["outdated"] == outdated
    report.outdated = ""
    mark(report)
    assert report.page.read_bytes() == before
    assert report.page.stat().st_mtime_ns == times
    assert json.loads(state.read_text()) == {"complete": True, "answer": "m1 is better."}


def test_a_page_without_more_than_a_title_can_be_marked(tmp_path):
    report = page(tmp_path, outdated="it is old")
    report.page.write_text("# Only this\n")
    os.utime(report.page, (1, 1))
    mark(report)
    assert report.page.read_text() == "# Only this\n\n> **Not complete:** it is old.\n"
    assert report.page.stat().st_mtime == 1
