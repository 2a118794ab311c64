"""A student is measured with its adapter off and on; the script writes answers, differences and the gate's word."""

import json
import runpy
from pathlib import Path
from types import SimpleNamespace

import peft
import pytest
import torch
from dreamflow.distill.measure import load_trained, measure_student
from dreamflow.distill.student import load_student
from dreamflow.errors import ConfigError, DreamflowError
from tiny_student import write_tiny_student

SCRIPT = Path(__file__).parents[2] / "scripts" / "validate_student.py"
LIMITS = {"margin": 0.1, "most_lost": 0.02, "smallest": 2}


class Given(dict):
    """What Snakemake gives a script: names as keys and as attributes."""

    __getattr__ = dict.__getitem__


def task(kind, number):
    return {
        **{"task_id": f"{kind}-{number}", "kind": kind, "context": "notes", "group": f"{kind}.a.t{number}"},
        **{"prompt": f"Say {number * 7} and nothing else.", "grader": {"name": "exact"}, "answer": str(number * 7)},
    }


HELD_OUT, GENERAL = [task("extraction", n) for n in range(3)], [task("facts", n) for n in range(3, 5)]


@pytest.fixture(scope="module")
def student(tmp_path_factory):
    return write_tiny_student(tmp_path_factory.mktemp("student"))


@pytest.fixture(scope="module")
def adapter(student, tmp_path_factory):
    return write_adapter(student, tmp_path_factory.mktemp("adapter"), scale=0.5)


def write_adapter(student, folder, scale):
    torch.manual_seed(1)
    model, _ = load_student(str(student), folder)
    model = peft.get_peft_model(model, peft.LoraConfig(r=4, lora_alpha=8, target_modules="all-linear"))
    for name, parameter in model.named_parameters():
        if "lora_B" in name:
            parameter.data.normal_(0, scale) if scale else parameter.data.zero_()
    model.save_pretrained(folder)
    return folder


def measure(student, adapter, lines, tmp_path):
    model, tokenizer = load_trained(str(student), tmp_path, adapter)
    sets = {"held_out": HELD_OUT, "general": GENERAL}
    return measure_student(model, tokenizer, sets, max_new_tokens=6, batch=2, run="no sandbox", tell=lines.append)


def test_every_task_is_answered_before_and_after(student, adapter, tmp_path):
    lines = []
    rows = measure(student, adapter, lines, tmp_path)
    assert [(row["set"], row["student"], row["task_id"]) for row in rows] == [
        (name, when, one["task_id"])
        for when in ("before", "after")
        for name, tasks in (("held_out", HELD_OUT), ("general", GENERAL))
        for one in tasks
    ]
    assert rows[0].keys() == {
        *("set", "student", "task_id", "kind", "group", "text", "prompt_tokens", "completion_tokens", "seconds"),
        *("finish_reason", "score", "passed", "why"),
    }
    before, after = ([row["text"] for row in rows if row["student"] == when] for when in ("before", "after"))
    assert before != after
    assert lines[-1] == "after the training: 0 of 5 tasks solved"
    assert "before the training: 2 of 5 tasks answered" in lines


def test_before_is_the_student_as_it_was(student, adapter, tmp_path):
    nothing = write_adapter(student, tmp_path / "nothing", scale=0)
    rows = measure(student, nothing, [], tmp_path)
    before, after = ([row["text"] for row in rows if row["student"] == when] for when in ("before", "after"))
    assert before == after
    trained = measure(student, adapter, [], tmp_path)
    assert [row["text"] for row in trained if row["student"] == "before"] == before


def test_an_adapter_that_is_none_is_named(student, tmp_path):
    (tmp_path / "adapter_config.json").write_text("{}")
    with pytest.raises(ConfigError, match=f"adapter {tmp_path}: not a LoRA adapter of the student {student}"):
        load_trained(str(student), tmp_path, tmp_path)


def test_out_of_memory_says_what_to_lower(student, adapter, tmp_path, monkeypatch):
    def full(*given):
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr("dreamflow.distill.measure.answer_prompts", full)
    with pytest.raises(DreamflowError, match=r"while 2 tasks were answered together; lower validation\.batch"):
        measure(student, adapter, [], tmp_path)


# --- the script -----------------------------------------------------------------------------------------


def run_script(folder, student, adapter, **changed):
    for name, tasks in (("held_out", HELD_OUT), ("general", GENERAL)):
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(one) + "\n" for one in tasks))
    job = {
        **{"student": str(student), "cache": str(folder / "cache"), "max_new_tokens": 6, "batch": 2},
        **{"gate": LIMITS, "seed": 1, **changed},
    }
    (folder / "job.json").write_text(json.dumps(job))
    files = {"adapter": str(adapter), "held_out": f"{folder}/held_out.jsonl", "general": f"{folder}/general.jsonl"}
    given = Given(**files, job=[f"{folder}/job.json"])
    made = Given({name: f"{folder}/made/{name}" for name in ("answers", "validation", "gate")})
    snakemake = SimpleNamespace(input=given, output=made, threads=torch.get_num_threads(), log=[f"{folder}/made/log"])
    runpy.run_path(str(SCRIPT), {"snakemake": snakemake})


def test_the_script_writes_its_three_files_the_same_each_time(student, adapter, tmp_path, capsys):
    run_script(tmp_path, student, adapter)
    rows = [json.loads(line) for line in (tmp_path / "made" / "answers").read_text().splitlines()]
    assert len(rows) == 10
    validation = json.loads((tmp_path / "made" / "validation").read_text())
    assert (validation["held_out"]["extraction"]["n"], validation["general"]["facts"]["n"]) == (3, 2)
    gate = json.loads((tmp_path / "made" / "gate").read_text())
    assert gate["deployed"] is False
    assert "+0.0 points; the minimum is" in capsys.readouterr().err
    run_script(tmp_path, student, adapter)
    again = [json.loads(line) for line in (tmp_path / "made" / "answers").read_text().splitlines()]
    assert [{**row, "seconds": 0} for row in again] == [{**row, "seconds": 0} for row in rows]
    assert json.loads((tmp_path / "made" / "gate").read_text()) == gate


def test_the_script_writes_nothing_where_it_fails(student, tmp_path, capsys):
    with pytest.raises(SystemExit):
        run_script(tmp_path, student, tmp_path / "no-adapter")
    assert f"adapter {tmp_path}/no-adapter: not a LoRA adapter" in capsys.readouterr().err
    assert [path.name for path in (tmp_path / "made").iterdir()] == ["log"]
