"""The files of a probe: tables that hold what was found, a picture, and a report that people can read."""

import csv

from dreamflow.probe.report import accuracy_by_model, write_report
from dreamflow.reports.pictures import draw_shares


def outcome(number, kind, passed, model="small", tokens=(40, 5), **rest):
    return {
        **{"task_id": f"{kind}-{number}", "kind": kind, "context": "notes", "group": f"{kind}.a.b"},
        **{"model_id": model, "gen_id": f"a_{number}", "sample": 1, "score": None if passed is None else float(passed)},
        **{"passed": passed, "why": "as expected" if passed else "expected `Ann`,\nin 'Bob'"},
        **{"prompt_tokens": tokens[0], "completion_tokens": tokens[1], "latency_s": 0.25, "cost_usd": 1e-07, **rest},
    }


OUTCOMES = [
    *(outcome(number, "facts", number < 3) for number in range(4)),
    outcome(4, "code", None, why="ungraded: no sandbox", tokens=(None, None)),
    outcome(5, "facts", True, "large"),
]


def test_rows_by_model_and_kind():
    rows = accuracy_by_model(OUTCOMES)
    assert [(row["model_id"], row["kind"], row["n"], row["passed"]) for row in rows] == [
        *(("large", "facts", 1, 1), ("large", "all", 1, 1)),
        *(("small", "code", 0, 0), ("small", "facts", 4, 3), ("small", "all", 4, 3)),
    ]
    assert [row["tokens"] for row in rows] == [45, 45, None, 45, 45]


def test_the_four_files(tmp_path):
    shown = write_report("demo", OUTCOMES, tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        *("accuracy.csv", "accuracy.png", "answers.csv", "report.md")
    ]
    assert shown.splitlines()[0] == "probe demo"
    (line,) = (line.split() for line in shown.splitlines() if line.startswith("small  facts"))
    assert line == ["small", "facts", "4", "75%", "30%", "to", "95%", "0", "45", "0.25", "0.000000"]
    with (tmp_path / "accuracy.csv").open() as stream:
        table = list(csv.DictReader(stream))
    assert [(row["model_id"], row["kind"], row["accuracy"]) for row in table][2:4] == [
        *(("small", "code", ""), ("small", "facts", "0.75"))
    ]
    with (tmp_path / "answers.csv").open() as stream:
        answers = list(csv.DictReader(stream))
    assert [row["gen_id"] for row in answers] == [row["gen_id"] for row in OUTCOMES]
    assert answers[0]["cost_usd"] == "1e-07"  # small prices are not rounded away
    assert (answers[4]["passed"], answers[4]["prompt_tokens"]) == ("", "")
    report = (tmp_path / "report.md").read_text()
    assert "| small | facts | 4 | 75% | 30% to 95% | 0 | 45 | 0.25 | 0.000000 |" in report
    assert "- 1 × no sandbox" in report
    assert "- small, facts-3: ``expected `Ann`, in 'Bob'``" in report
    assert (tmp_path / "accuracy.png").read_bytes().startswith(b"\x89PNG")


def test_the_same_outcomes_give_the_same_bytes(tmp_path):
    for folder in ("one", "two"):
        write_report("demo", OUTCOMES, tmp_path / folder)
    for path in (tmp_path / "one").iterdir():
        assert path.read_bytes() == (tmp_path / "two" / path.name).read_bytes()


def test_nothing_answered_is_a_report_too(tmp_path):
    assert write_report("demo", [], tmp_path).splitlines()[-1].startswith("model  kind")
    assert (tmp_path / "accuracy.csv").read_text().count("\n") == 1


def test_a_picture_without_marks(tmp_path):
    draw_shares({"small": {"code": None, "facts": (1.0, 0.2, 1.0)}}, "title", tmp_path / "new" / "a.png")
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["a.png"]
