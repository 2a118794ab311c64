"""The report of a distillation says what was measured, also where that is bad news or not known."""

import json

import pytest
from dreamflow.distill.report import question_words, saving, write_report
from dreamflow.distill.validate import compare_answers, gate
from dreamflow.errors import DreamflowError

LIMITS = {"margin": 0.1, "most_lost": 0.02, "smallest": 50}
TRAINING = {
    **{"examples": {"train": 180, "validation": 20}, "steps": 40, "planned_steps": 46, "stopped_early": True},
    **{"best_step": 30, "validation_loss": {"before": 1.5, "best": 0.25, "last": 0.3}, "tokens_per_s": 151.2},
    **{"seconds": {"training": 290.0, "in_all": 300.0}, "peak_memory_gb": {"process": 1.9, "cuda": None}},
    "device": "cpu",
}
TEACHING = {
    "kinds": [
        {
            **{"role": "target", "kind": "extraction", "tasks": 100, "tasks_taught": 80, "examples": 80},
            **{"asked": 300, "rejected": 120, "ungraded": 0, "repeated": 90},
        },
        {"role": "general", "kind": "facts", "tasks": 40, "tasks_taught": 39, "examples": 39},
    ]
}


def rows(name, kind, steps):
    return [
        {
            **{"set": name, "student": student, "task_id": f"{kind}-{number}", "kind": kind},
            **{"group": f"{kind}.a.g{number % 8}", "passed": step == "1"},
            **{"prompt_tokens": 50, "completion_tokens": 8, "seconds": 0.5},
        }
        for number, pair in enumerate(steps)
        for student, step in zip(("before", "after"), pair, strict=True)
    ]


def outcome(task_id, passed, words, seconds=0.5, tokens=(40, 10)):
    return {
        **{"task_id": task_id, "passed": passed, "words": words, "latency_s": seconds, "cost_usd": 0.0},
        **{"prompt_tokens": tokens[0], "completion_tokens": tokens[1]},
    }


FACTS = {
    **{"run": "demo/cycle-1", "student": "small", "teacher": "small", "model_id": "small-demo-c1"},
    "atp": {"student": 0.5, "teacher": 0.5},
    "costs": {
        "teacher": [outcome(f"t{n // 3}", n % 3 == 0, 300, 1.0, (200, 10)) for n in range(30)],
        "before": [outcome(f"t{n}", n < 3, 50) for n in range(10)],
        "after": [outcome(f"t{n}", n < 8, 50, 0.4) for n in range(10)],
    },
    "notes": ["Three epochs forgot too much."],
}


def write_run(folder, general=("11",) * 60, deployed=True, accuracy=True):
    validation = compare_answers(
        [
            *rows("held_out", "extraction", ["01"] * 40 + ["11"] * 20 + ["00"] * 20),
            *(rows("general", "facts", general) + rows("general", "code", ["10", "01", "10"])),
        ],
        seed=1,
    )
    measured = {"agrees": True, "n": 80, "there": 0.75, "here": 0.7375, "low": 0.6448, "high": 0.8319, "same": 77}
    files = {
        **{"validation": validation, "gate": gate(validation, LIMITS), "training": TRAINING, "teaching": TEACHING},
        "exported": {
            "deployed": deployed,
            "reasons": [] if deployed else ["it forgot", "it is slow"],
            "accuracy": measured if accuracy else None,
        },
    }
    for name, value in files.items():
        (folder / f"{name}.json").write_text(json.dumps(value))


def test_a_report_tells_the_whole_story(tmp_path):
    write_run(tmp_path)
    short = write_report(tmp_path, FACTS)
    assert short.startswith("small learned extraction from itself. It solves 75.0% (before: 25.0%; +50.0 points, 95% ")
    assert short.endswith("It is registered: specs can name it as small-demo-c1.")
    text = (tmp_path / "report.md").read_text()
    assert text.startswith(f"# Distillation demo/cycle-1\n\n{short}\n\n## What it solves\n\n| set | kind |")
    assert "| held-out | extraction | 80 | 25.0% | 75.0% | +50.0 points | +38.8 to +61.3 |" in text
    assert "Exported to llama.cpp, the student solves 73.8% of the held-out tasks" in text
    assert "77 of 80 tasks have the same grade" in text
    assert "| target | extraction | 100 | 80 | 80 | 300 | 120 |" in text
    assert "| general | facts | 40 | 39 | 39 | - | - |" in text
    assert "40 of 46 steps, stopped early; the weights of step 30 were kept. Validation loss: 1.500 before" in text
    assert "- It solves fewer general tasks of the kind code than before: -33.3 points" in text
    assert "- Three epochs forgot too much." in text
    assert (tmp_path / "accuracy.png").read_bytes().startswith(b"\x89PNG")


def test_what_is_saved_is_per_task_and_per_solved_task(tmp_path):
    write_run(tmp_path)
    write_report(tmp_path, FACTS)
    text = (tmp_path / "report.md").read_text()
    # 3 answers of 0.5 * (1 + 300 / 100) ATP; of 0.5 * (1 + 50 / 100), 8 of 10 solved.
    assert "| teacher | 10 | 3.0 | 100.0% | 630 | 3.00 | 6.00 | 6.00 | 0.000000 |" in text
    assert "| after | 10 | 1.0 | 80.0% | 50 | 0.40 | 0.75 | 0.94 | 0.000000 |" in text
    assert (
        "50 tokens instead of 630 (-92%), 0.40 seconds instead of 3.00 (-87%), 0.75 ATP instead of 6.00 (-88%)" in text
    )
    assert (
        "It solves fewer tasks: 80% instead of 100%. The training took 300 s: it pays off in time after 115 tasks."
        in text
    )


def test_costs_that_are_not_known_are_not_made_up():
    one = saving("teacher", [outcome("a", False, 10), outcome("a", True, 10, None, (None, 3))], base=2.0)
    assert (one["answers"], one["solved"], one["atp"]) == (2.0, 1.0, pytest.approx(4.4))
    assert one["tokens"] is one["seconds"] is None


def test_a_student_that_was_held_back_and_could_not_be_measured_at_work(tmp_path):
    write_run(tmp_path, general=["10"], deployed=False, accuracy=False)
    short = write_report(tmp_path, {**FACTS, "teacher": "large", "costs": {}, "notes": []})
    assert "learned extraction from large" in short
    assert short.endswith("It was not registered: it forgot; it is slow.")
    text = (tmp_path / "report.md").read_text()
    assert "What it saves" not in text
    assert "Exported" not in text


def test_the_same_files_give_the_same_bytes(tmp_path):
    write_run(tmp_path)
    written = []
    for _ in range(2):
        write_report(tmp_path, FACTS)
        written.append([(tmp_path / name).read_bytes() for name in ("report.md", "accuracy.png")])
    assert written[0] == written[1]


def test_a_file_that_is_missing_is_named(tmp_path):
    write_run(tmp_path)
    (tmp_path / "training.json").unlink()
    with pytest.raises(DreamflowError, match=r"training\.json: no such file; run Snakemake again to make it"):
        write_report(tmp_path, FACTS)


def test_words_of_all_that_is_asked():
    assert question_words("Who  rang?", [{"content": "Who sang?"}, {"content": "Ann"}]) == 5
