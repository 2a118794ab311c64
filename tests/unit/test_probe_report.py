"""The files of a probe: tables that hold what was found, a picture, and a report that people can read."""

import csv

from dreamflow.probe.report import accuracy_by_model, write_report
from dreamflow.probe.words import in_words
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
        *("accuracy.csv", "accuracy.png", "accuracy.svg", "answers.csv", "report.md")
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
    table, said, where = write_report("demo", [], tmp_path).split("\n\n")[1:]
    assert table.startswith("model  kind")
    assert said == "- No answer is graded: 0 answers."
    assert where == f"The report: {tmp_path}/report.md"
    assert (tmp_path / "accuracy.csv").read_text().count("\n") == 1


def test_a_picture_without_marks(tmp_path):
    draw_shares({"small": {"code": None, "facts": (1.0, 0.2, 1.0)}}, "title", tmp_path / "new" / "a.png")
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == ["a.png", "a.svg"]


def asked(model, results):
    """Answers of a model to tasks of a template each."""
    return [outcome(number, "facts", passed, model, group=f"facts.{number}") for number, passed in enumerate(results)]


def test_which_model_is_better_in_words():
    better, worse = asked("large", [True] * 8), asked("small", [True] * 2 + [False] * 6)
    assert in_words([*better, *worse]) == [
        "large is better than small by 75.0 [36.3, 100.0] percentage points of the tasks solved, "
        "8 common tasks in 8 templates."
    ]
    (equal,) = in_words([*worse, *asked("other", [False, True, True] + [False] * 5)])
    assert equal.startswith("No difference shown between other and small: 0.0 [-44.7, 44.7] percentage points")


def test_what_a_probe_cannot_say():
    few, last = in_words([*asked("large", [True] * 3), *asked("small", [False] * 3)])
    assert few.startswith("Not enough to say whether large is better than small: large is ahead by 100.0 ")
    assert last == "A comparison needs tasks of at least 6 templates."
    assert in_words(asked("small", [True, True, None])) == ["small solves 100% [34%, 100%] of 2 graded answers."]
    assert in_words(asked("small", [None])) == ["No answer is graded: 1 answer."]
    apart = [outcome(9, "facts", True, "large"), *asked("small", [True])]
    assert in_words(apart) == ["The models have no common graded task, so they cannot be compared."]
