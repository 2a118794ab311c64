"""Training: what is learned and what it costs to be interrupted; what is refused before, and what stops it."""

import csv
import json
import math
import os
import resource
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from dreamflow.distill.checkpoint import room_for, write_whole
from dreamflow.distill.encode import Example, prompt_ids
from dreamflow.distill.losses import answer_logits, answer_loss, teacher_loss
from dreamflow.distill.student import load_student, tokenizer_sha256
from dreamflow.distill.train import train
from dreamflow.distill.training_log import COLUMNS, draw_training
from dreamflow.errors import ConfigError, DreamflowError
from dreamflow.files import write_atomic
from peft import PeftModel
from safetensors.torch import load_file
from tiny_student import write_tiny_student

ROOT = Path(__file__).parents[2]
SETTINGS = {
    "rank": 4,
    "alpha": 8,
    "dropout": 0.1,
    "learning_rate": 1e-2,
    "epochs": 3,
    "batch_examples": 8,
    "warmup": 0.1,
    "weight_decay": 0.01,
    "max_length": 128,
    "patience": 3,
    "evaluations_per_epoch": 2,
    "gradient_checkpointing": False,
    "weight_by_salience": True,
    "kl_weight": 0.0,
    "kl_temperature": 1.0,
    "seed": 1,
    "checkpoint_s": 3600,
    "threads": 1,
}


def rows(count, first=0, **more):
    return [
        {
            "messages": [
                {"role": "user", "content": f"after {number}"},
                {"role": "assistant", "content": f"comes {number + 1}" + " then" * (number % 3)},
            ],
            "weight": 0.5 + number % 2,
            "gen_id": f"gen{number}",
        }
        | more
        for number in range(first, first + count)
    ]


def write_rows(path, rows):
    write_atomic(path, "".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.fixture(scope="module")
def student(tmp_path_factory):
    return write_tiny_student(tmp_path_factory.mktemp("student"))


@pytest.fixture
def job(student, tmp_path):
    return {
        "student": str(student),
        "cache": str(tmp_path / "cache"),
        "checkpoint": str(tmp_path / "run" / "checkpoint"),
        "training": dict(SETTINGS),
    }


@pytest.fixture
def files(tmp_path):
    train_file = write_rows(tmp_path / "train.jsonl", rows(30))
    return train_file, write_rows(tmp_path / "validation.jsonl", rows(6, 100))


def trained(job, files, folder, told=None):
    return train(job, *files, folder, [].append if told is None else told.append)


def weights(folder):
    return (folder / "adapter" / "adapter_model.safetensors").read_bytes()


def steps(folder):
    return list(csv.DictReader((folder / "training.csv").open()))


# --- what is learned ------------------------------------------------------------------------------------------------


def test_a_student_learns_and_all_is_written(job, files, tmp_path):
    run = tmp_path / "run"
    summary = trained(job, files, run)
    assert sorted(path.name for path in run.iterdir()) == ["adapter", "training.csv", "training.json", "training.png"]
    assert sorted(path.name for path in (run / "adapter").iterdir()) == [
        "adapter_config.json",
        "adapter_model.safetensors",
    ]
    assert json.loads((run / "training.json").read_text()) == summary
    assert summary["validation_loss"]["best"] < summary["validation_loss"]["before"] - 1
    assert summary["steps"] == summary["planned_steps"] == 12
    assert summary["tokens_per_s"] > 0 and summary["peak_memory_gb"]["process"] > 0
    log = steps(run)
    assert tuple(log[0]) == COLUMNS
    assert [int(row["step"]) for row in log] == list(range(13))
    assert [int(row["step"]) for row in log if row["validation_loss"]] == [0, 2, 4, 6, 8, 10, 12]
    rates = [float(row["lr"]) for row in log[1:]]
    assert rates[0] == max(rates) == SETTINGS["learning_rate"] and rates == sorted(rates, reverse=True)
    assert (run / "training.png").read_bytes().startswith(b"\x89PNG")


def test_the_same_job_gives_the_same_bytes(job, files, tmp_path):
    trained(job, files, tmp_path / "first")
    trained(job, files, tmp_path / "second")
    for name in ("adapter_model.safetensors", "adapter_config.json"):
        assert (tmp_path / "first/adapter" / name).read_bytes() == (tmp_path / "second/adapter" / name).read_bytes()
    job["training"]["seed"] = 2
    trained(job, files, tmp_path / "third")
    assert weights(tmp_path / "third") != weights(tmp_path / "first")


def test_the_adapter_is_the_one_of_the_best_step(job, files, student, tmp_path):
    """Loaded by peft, it has the validation loss that the log names as the lowest."""
    job["training"] |= {"learning_rate": 0.3, "epochs": 6, "patience": 2}
    summary = trained(job, files, tmp_path / "run")
    log = {int(row["step"]): float(row["validation_loss"]) for row in steps(tmp_path / "run") if row["validation_loss"]}
    assert summary["stopped_early"] and summary["best_step"] < summary["steps"] < summary["planned_steps"]
    assert min(log, key=log.get) == summary["best_step"]
    base, tokenizer = load_student(str(student), tmp_path / "cache")
    model = PeftModel.from_pretrained(base, tmp_path / "run" / "adapter")
    total = count = 0
    for row in rows(6, 100):
        whole = tokenizer.apply_chat_template(row["messages"], tokenize=True, return_dict=False)[:-1]
        head = tokenizer.apply_chat_template(row["messages"][:1], add_generation_prompt=True, return_dict=False)
        labels = [-100] * len(head) + whole[len(head) :]
        with torch.inference_mode():
            loss = model(input_ids=torch.tensor([whole]), labels=torch.tensor([labels])).loss
        total += loss.item() * (len(whole) - len(head))
        count += len(whole) - len(head)
    assert total / count == pytest.approx(summary["validation_loss"]["best"], rel=1e-4)


def test_gradient_checkpointing_changes_nothing(job, files, tmp_path):
    job["training"]["dropout"] = 0.0
    trained(job, files, tmp_path / "plain")
    job["training"]["gradient_checkpointing"] = True
    trained(job, files, tmp_path / "checkpointing")
    plain = load_file(tmp_path / "plain/adapter/adapter_model.safetensors")
    other = load_file(tmp_path / "checkpointing/adapter/adapter_model.safetensors")
    assert all(torch.allclose(plain[name], other[name], atol=1e-5) for name in plain)


def test_an_example_is_learned_by_its_weight(job, files, tmp_path):
    """Of two answers to one question, the heavier is the likelier in the end; without salience neither is."""
    chats = [("yes", 3.0), ("not", 0.2)]
    both = [
        {"messages": [{"role": "user", "content": "Well?"}, {"role": "assistant", "content": text}], "weight": weight}
        | {"gen_id": text}
        for text, weight in chats
    ]
    job["training"] |= {"epochs": 30, "patience": 100, "dropout": 0.0, "evaluations_per_epoch": 1}
    validation = write_rows(tmp_path / "validation.jsonl", both[:1])
    path = write_rows(tmp_path / "train.jsonl", both)
    by_salience = trained(job, (path, validation), tmp_path / "salience")["validation_loss"]["last"]
    job["training"]["weight_by_salience"] = False
    alike = trained(job, (path, validation), tmp_path / "alike")["validation_loss"]["last"]
    assert by_salience < 0.7 * alike


# --- losses ---------------------------------------------------------------------------------------------------------


def test_examples_side_by_side_do_not_see_each_other(student, tmp_path):
    model, tokenizer = load_student(str(student), tmp_path)
    examples = [
        Example("short", tuple(range(10, 19)), 6, 1.0, None),
        Example("long", tuple(range(40, 75)), 9, 1.0, None),
    ]
    with torch.inference_mode():
        together = answer_logits(model, examples, tokenizer.pad_token_id)
        for example, logits in zip(examples, together, strict=True):
            alone = model(input_ids=torch.tensor([example.ids])).logits[0, example.start - 1 : -1]
            assert torch.allclose(logits, alone, atol=1e-5)
            expected = -alone.log_softmax(-1)[range(len(example.answer)), list(example.answer)].sum()
            assert answer_loss(logits, example).item() == pytest.approx(expected.item(), rel=1e-5)


def test_a_teacher_is_compared_on_the_tokens_that_it_names():
    logits = torch.tensor([[2.0, 0.0, 1.0, 9.0]])
    same = ((0, 1, 2), (1.5, -0.5, 0.5))  # the same but for a constant, which probabilities do not have
    assert teacher_loss(logits, (same,), 2.0).item() == pytest.approx(0, abs=1e-6)
    even = ((0, 1), (0.0, 0.0))
    likely = math.exp(2) / (math.exp(2) + 1)
    expected = 0.5 * math.log(0.5 / likely) + 0.5 * math.log(0.5 / (1 - likely))
    assert teacher_loss(logits, (even,), 1.0).item() == pytest.approx(expected, rel=1e-5)
    cooler = ((0, 1), (0.0, 0.0))
    flat = math.exp(1) / (math.exp(1) + 1)
    expected = 4 * (0.5 * math.log(0.5 / flat) + 0.5 * math.log(0.5 / (1 - flat)))
    assert teacher_loss(logits, (cooler,), 2.0).item() == pytest.approx(expected, rel=1e-5)


def teacher_file(folder, tokenizer, answer, *, digest=None, first=None, missing=0):
    """A teacher that is nearly sure of `first`, or of the answer's first letter, and of the answer's others."""
    ids = [*tokenizer(answer, add_special_tokens=False).input_ids, tokenizer.eos_token_id]
    sure = [tokenizer(first, add_special_tokens=False).input_ids[0] if first else ids[0], *ids[1:]]
    other = tokenizer("#", add_special_tokens=False).input_ids[0]
    positions = [{"ids": [token, other], "logprobs": [-0.01, -4.6]} for token in sure[: len(ids) - missing]]
    found = {"tokenizer_sha256": digest or tokenizer_sha256(tokenizer), "temperature": 1.0, "positions": positions}
    write_atomic(folder / "logprobs" / "one.json", json.dumps(found))
    return "logprobs/one.json"


def one_row(answer, **more):
    return [
        {"messages": [{"role": "user", "content": "Well?"}, {"role": "assistant", "content": answer}], "gen_id": "one"}
        | more
    ]


def test_a_student_follows_its_teacher(job, student, tmp_path):
    """The answer begins with a, but the teacher holds b for a hundred times as likely as #: so does the student."""
    _, tokenizer = load_student(str(student), tmp_path)
    pointer = teacher_file(tmp_path, tokenizer, "ax", first="b")
    data = write_rows(tmp_path / "train.jsonl", one_row("ax", top_logprobs=pointer))
    job["training"] |= {"epochs": 30, "patience": 100, "evaluations_per_epoch": 1, "dropout": 0.0}

    def odds(kl_weight):
        job["training"]["kl_weight"] = kl_weight
        folder = tmp_path / f"run-{kl_weight}"
        summary = trained(job, (data, data), folder)
        assert summary["examples"]["with_teacher"] == (1 if kl_weight else 0)
        base, _ = load_student(str(student), tmp_path)
        model = PeftModel.from_pretrained(base, folder / "adapter")
        ids = torch.tensor([prompt_ids(tokenizer, one_row("ax")[0]["messages"][:1])])
        with torch.inference_mode():
            likely, other = model(input_ids=ids).logits[0, -1, tokenizer.convert_tokens_to_ids(["b", "#"])].tolist()
        return likely - other

    assert odds(0.9) == pytest.approx(4.6, abs=1)
    assert odds(0.0) < 3


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"digest": "0" * 64}, "the teacher's tokenizer .* is not the student's"),
        ({"missing": 1}, "log-probabilities of 2 tokens, but the answer of one has 3"),
    ],
)
def test_a_teacher_of_something_else_is_refused(job, student, tmp_path, options, words):
    _, tokenizer = load_student(str(student), tmp_path)
    pointer = teacher_file(tmp_path, tokenizer, "ax", **options)
    data = write_rows(tmp_path / "train.jsonl", one_row("ax", top_logprobs=pointer))
    job["training"]["kl_weight"] = 0.5
    with pytest.raises(ConfigError, match=words):
        trained(job, (data, data), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_kl_weight_without_a_teacher_is_refused(job, files, tmp_path):
    job["training"]["kl_weight"] = 0.5
    with pytest.raises(ConfigError, match="no example has a teacher's log-probabilities"):
        trained(job, files, tmp_path / "run")


# --- interruptions --------------------------------------------------------------------------------------------------

KILLED = """
import json, os, signal, sys
from pathlib import Path
from dreamflow.distill.train import train

def tell(line):
    if line.startswith(f"step {sys.argv[2]} "):
        os.kill(os.getpid(), signal.SIGKILL)

job, train_file, validation_file, folder = json.loads(sys.argv[1])
train(job, Path(train_file), Path(validation_file), Path(folder), tell)
"""


def killed(job, files, folder, step):
    """Train in another process, which kills itself when that step has been validated."""
    arguments = json.dumps([job, *map(str, files), str(folder)])
    environment = os.environ | {"PYTHONPATH": str(ROOT / "scripts")}
    process = subprocess.run([sys.executable, "-c", KILLED, arguments, str(step)], env=environment, capture_output=True)
    assert process.returncode == -signal.SIGKILL, process.stderr.decode()


def test_a_killed_training_goes_on_to_the_same_weights(job, files, tmp_path):
    job["training"]["checkpoint_s"] = 0
    trained(job, files, tmp_path / "whole")
    run = tmp_path / "run"
    killed(job, files, run, 8)
    assert [path.name for path in run.iterdir()] == ["checkpoint"]
    told = []
    summary = trained(job, files, run, told)
    # The step that it died in was not kept: it is made again.
    assert summary["resumed_at_step"] == 7 and "resuming from the checkpoint at step 7" in told
    assert weights(run) == weights(tmp_path / "whole")
    for ours, other in zip(steps(run), steps(tmp_path / "whole"), strict=True):
        for name in ("step", "epoch", "tokens", "loss", "validation_loss", "lr"):
            assert ours[name] == other[name]
    assert not Path(job["checkpoint"]).exists()


@pytest.mark.parametrize("what", ["settings", "data", "damage"])
def test_a_checkpoint_of_something_else_is_not_gone_on_from(job, files, tmp_path, what):
    job["training"]["checkpoint_s"] = 0
    killed(job, files, tmp_path / "run", 4)
    if what == "settings":
        job["training"]["learning_rate"] = 2e-2
    elif what == "data":
        write_rows(files[0], rows(29))
    else:
        kept = Path(job["checkpoint"]) / "checkpoint.pt"
        kept.write_bytes(kept.read_bytes()[:-1000])
    told = []
    assert trained(job, files, tmp_path / "run", told)["resumed_at_step"] is None
    assert any("starts from the beginning" in line for line in told)
    trained(job | {"checkpoint": str(tmp_path / "elsewhere")}, files, tmp_path / "fresh")
    assert weights(tmp_path / "run") == weights(tmp_path / "fresh")


def test_how_often_it_is_kept_is_no_other_training(job, files, tmp_path):
    job["training"]["checkpoint_s"] = 0
    killed(job, files, tmp_path / "run", 4)
    job["training"]["checkpoint_s"] = 100
    assert trained(job, files, tmp_path / "run")["resumed_at_step"] == 3


# --- what stops it --------------------------------------------------------------------------------------------------


def test_a_loss_that_is_no_number_stops_it(job, files, tmp_path):
    job["training"] |= {"learning_rate": 1e30, "evaluations_per_epoch": 1}
    with pytest.raises(DreamflowError, match=r"no longer a number .* at step 2 with a learning rate .*gen\d+.*; lower"):
        trained(job, files, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_validation_loss_that_is_no_number_stops_it(job, files, tmp_path):
    job["training"] |= {"learning_rate": 1e30, "batch_examples": 30}
    with pytest.raises(DreamflowError, match=r"validation loss is not a number .* after step 1"):
        trained(job, files, tmp_path / "run")


def test_memory_that_does_not_suffice_stops_it(job, files, tmp_path):
    """An adapter of such a rank takes more than the process may have: what to lower is said."""
    job["training"]["rank"] = 200_000
    limited = (
        "import json, resource, sys\nfrom pathlib import Path\nimport torch\n"
        "from dreamflow.distill.train import train\nfrom dreamflow.errors import DreamflowError\n"
        "job, learn, check, folder = json.loads(sys.argv[1])\n"
        "used = int(Path('/proc/self/statm').read_text().split()[0]) * resource.getpagesize()\n"
        "resource.setrlimit(resource.RLIMIT_AS, (used + 2**30, used + 2**30))\n"
        "try:\n    train(job, Path(learn), Path(check), Path(folder), print)\n"
        "except DreamflowError as error:\n    sys.exit(str(error))\n"
    )
    process = subprocess.run(
        [sys.executable, "-c", limited, json.dumps([job, *map(str, files), str(tmp_path / "run")])],
        env=os.environ | {"PYTHONPATH": str(ROOT / "scripts")},
        capture_output=True,
        text=True,
    )
    assert process.returncode == 1
    (line,) = process.stderr.strip().splitlines()[-1:]
    assert line.startswith("training: out of memory on cpu; set training.gradient_checkpointing: true, lower")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("what", ["a checkpoint", "the adapter"])
def test_a_disk_without_room_stops_it(job, files, tmp_path, what):
    """Files may grow to 20 kB: that holds a log, but neither a checkpoint nor an adapter."""
    job["training"] |= {"rank": 16, "checkpoint_s": 0 if what == "a checkpoint" else 3600}
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, before[1]))
    try:
        with pytest.raises(DreamflowError, match=f"no room to write {what} .*resumes from its last checkpoint"):
            trained(job, files, tmp_path / "run")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, ignored)
    assert [path for path in (tmp_path / "run").rglob("*") if path.is_file()] == []
    assert not (tmp_path / "run" / "adapter").exists()


def test_other_failures_to_write_are_not_hidden(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(FileExistsError), room_for("it", tmp_path):
        write_whole(tmp_path / "file" / "inside", b"")


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ([], "no example to learn from"),
        (rows(2) + rows(1), "several examples have the same gen_id: gen0"),
        ([row | {"weight": 0} for row in rows(3)], "all examples have the weight 0"),
    ],
)
def test_data_that_teach_nothing_are_refused(job, files, tmp_path, data, words):
    write_rows(files[0], data)
    with pytest.raises(ConfigError, match=words):
        trained(job, files, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_only_a_log_is_drawn(tmp_path):
    (tmp_path / "other.csv").write_text("a,b\n1,2\n")
    with pytest.raises(ConfigError, match="not the log of a training"):
        draw_training(tmp_path / "other.csv", tmp_path / "other.png")
    assert not (tmp_path / "other.png").exists()
