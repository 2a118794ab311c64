"""A student learns: LoRA on a file of chat messages, with its loss on the answers only, resumable at any step.

LoRA: Hu et al. 2021, on all linear layers (Dettmers et al. 2023 found that to matter more than the rank). AdamW with
a linear warmup and a cosine to zero. The same settings and data give the same weights, whether or not the training
was interrupted (on a CPU with as many threads; a GPU adds up in no fixed order).
"""

import math
import platform
import random
import resource
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import peft
import torch
import transformers
from peft import set_peft_model_state_dict
from transformers import PreTrainedModel

from ..errors import DreamflowError
from ..files import canonical, pretty, sha256, write_atomic
from ..generation.model import Json
from ..generation.model_files import weights_fingerprint
from .adapter import adapter_weights, with_adapter, write_adapter
from .checkpoint import load_checkpoint, room_for, save_checkpoint
from .encode import Example
from .losses import answer_logits, answer_loss, teacher_loss
from .student import load_student
from .training_data import Data, read_data
from .training_log import draw_training, training_csv

CLIPPED = 1.0  # the longest gradient (2-norm) that a step follows; a longer one is shortened to this
TOGETHER = 1024  # tokens that go through the model at once on a CPU; more is no faster there, and takes memory
TOGETHER_ON_GPU = 16384
TOLD_EVERY = 5.0  # seconds between two lines of progress

Tell = Callable[[str], None]


@dataclass
class _Progress:
    """Where a training stands: all that a checkpoint must bring back, besides weights and optimizer."""

    step: int = 0
    tokens: int = 0  # that went through the model
    seconds: float = 0.0
    best: float = math.inf  # validation loss
    best_step: int = 0
    best_weights: dict[str, torch.Tensor] = field(default_factory=dict)
    waited: int = 0  # evaluations since the best
    rows: list[dict[str, float | None]] = field(default_factory=list)
    resumed: int = 0


@dataclass
class _Training:
    """A model with all that it is trained by, and where that stands."""

    model: PreTrainedModel
    padding: int
    data: Data
    settings: Mapping[str, Json]
    checkpoint: Path
    key: str
    tell: Tell
    optimizer: torch.optim.Optimizer
    progress: _Progress = field(default_factory=_Progress)
    begun: float = field(default_factory=time.monotonic)  # less the seconds before an interruption


def train(job: Mapping[str, Json], train_file: Path, validation_file: Path, folder: Path, tell: Tell) -> dict:
    """Train `job["student"]` by `job["training"]`; returns what training.json says.

    Writes `folder`/adapter (a peft adapter: the weights of the lowest validation loss), training.csv, training.png
    and training.json; a file or folder is there whole or not at all. Until then, what was reached is kept in the
    folder `job["checkpoint"]`: training again with the same job and files goes on from there.
    Raises `ConfigError` for wrong data or settings before it trains; `DreamflowError` where the loss is no number, or
    memory or disk do not suffice.
    """
    settings = dict(job["training"])
    folder, checkpoint = Path(folder), Path(job["checkpoint"])
    torch.set_num_threads(settings["threads"])
    started = time.monotonic()
    model, tokenizer = load_student(job["student"], Path(job["cache"]))
    data = read_data(settings, tokenizer, Path(train_file), Path(validation_file))
    for line in data.too_long:
        tell(f"left out: {line}")
    try:
        model = with_adapter(model, settings)
        key = _key(job, [train_file, validation_file], data, model.device.type)
        tell(_first_words(job, data, model))
        parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
        optimizer = torch.optim.AdamW(parameters, lr=0.0, weight_decay=settings["weight_decay"])
        training = _Training(model, tokenizer.pad_token_id, data, settings, checkpoint, key, tell, optimizer)
        _restore(training)
        _train(training)
    except (MemoryError, RuntimeError) as error:
        words = ("out of memory", "DefaultCPUAllocator", "can't allocate memory")
        if not isinstance(error, MemoryError | torch.OutOfMemoryError) and not any(w in str(error) for w in words):
            raise
        raise DreamflowError(_out_of_memory(settings, model.device.type)) from None
    with room_for("the adapter", folder):
        folder.mkdir(parents=True, exist_ok=True)
        write_adapter(model, job["student"], folder / "adapter")
        write_atomic(folder / "training.csv", training_csv(training.progress.rows))
        draw_training(folder / "training.csv", folder / "training.png")
        summary = _summary(job, data, model, training.progress, time.monotonic() - started)
        write_atomic(folder / "training.json", pretty(summary))
    shutil.rmtree(checkpoint, ignore_errors=True)
    return summary


def _train(training: _Training) -> None:
    """Train from where it stands; leaves the best weights in the model."""
    progress, settings, tell = training.progress, training.settings, training.tell
    steps_per_epoch = math.ceil(len(training.data.train) / settings["batch_examples"])
    steps = steps_per_epoch * settings["epochs"]
    every = max(1, round(steps_per_epoch / settings["evaluations_per_epoch"]))
    begun_at = progress.tokens
    begun_here = saved = told = time.monotonic()
    training.begun = begun_here - progress.seconds
    if not progress.rows:
        _validated(training, {"step": 0, "epoch": 0.0, "loss": None, "lr": None})
    while progress.step < steps and progress.waited < max(1, settings["patience"]):
        step = progress.step + 1
        rate = settings["learning_rate"] * _share(step, steps, settings["warmup"])
        batch = _batch(training.data.train, settings, progress.step, steps_per_epoch)
        loss = _step(training, batch, rate, step)
        progress.step = step
        progress.tokens += sum(len(example.ids) for example in batch)
        speed = (progress.tokens - begun_at) / (time.monotonic() - begun_here)
        row = {"step": step, "epoch": step / steps_per_epoch, "loss": loss, "lr": rate, "tokens_per_s": speed}
        if step % steps_per_epoch % every == 0 or step == steps:
            last = _validated(training, row)
            tell(f"step {step} of {steps}: validation loss {last:.4f}, best {progress.best:.4f}")
        else:
            progress.rows.append(_row(training, row, None))
        now = time.monotonic()
        progress.seconds = now - training.begun
        if now - told >= TOLD_EVERY:
            told = now
            left = (now - begun_here) / (step - progress.resumed) * (steps - step)
            tell(f"step {step} of {steps}: loss {loss:.4f}, {speed:.0f} tokens/s, {left:.0f} s left")
        if now - saved >= settings["checkpoint_s"]:
            _keep(training)
            saved = time.monotonic()
    set_peft_model_state_dict(training.model, progress.best_weights)


def _step(training: _Training, batch: Sequence[Example], rate: float, step: int) -> float:
    """One step of the optimizer; returns the loss: the mean over the batch's answer tokens, by example weight."""
    model, optimizer, settings, data = training.model, training.optimizer, training.settings, training.data
    model.train()
    tokens = sum(len(example.answer) for example in batch)
    total = 0.0
    for together in _together(batch, model.device.type):
        with _precision(model):
            logits = answer_logits(model, together, training.padding)
        loss = logits[0].new_zeros(())
        for example, own in zip(together, logits, strict=True):
            part = answer_loss(own, example)
            if example.name in data.teacher:
                share = settings["kl_weight"]
                against = teacher_loss(own, data.teacher[example.name], settings["kl_temperature"])
                part = (1 - share) * part + share * against
            loss = loss + data.weights[example.name] * part / tokens
        loss.backward()
        total += loss.item()
    for group in optimizer.param_groups:
        group["lr"] = rate
    norm = torch.nn.utils.clip_grad_norm_(optimizer.param_groups[0]["params"], CLIPPED)
    if not math.isfinite(total) or not torch.isfinite(norm):
        raise DreamflowError(
            f"training: the loss is no longer a number ({total}, gradient {norm.item()}) at step {step} with a "
            f"learning rate of {rate:.3g}, on {', '.join(example.name for example in batch)}; "
            "lower training.learning_rate or raise training.warmup"
        )
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    return total


def _together(batch: Sequence[Example], device: str) -> Iterator[list[Example]]:
    """A batch in parts that go through the model at once: of like length, so that little of it is padding.

    Measured on two CPU cores (135M parameters, 16 examples of 58 to 98 tokens): 190 tokens of training a second, and
    210 where 8 examples are packed into one sequence with a mask between them. That is not worth the packing, which
    only holds for architectures without a state that runs through the sequence.
    """
    most = TOGETHER_ON_GPU if device == "cuda" else TOGETHER
    part: list[Example] = []
    for example in sorted(batch, key=lambda example: (len(example.ids), example.name)):
        if part and (len(part) + 1) * len(example.ids) > most:
            yield part
            part = []
        part.append(example)
    yield part


def _batch(examples: Sequence[Example], settings: Mapping[str, Json], step: int, steps_per_epoch: int) -> list[Example]:
    """The examples of a step: each epoch goes through all of them in an order of its own, drawn from the seed."""
    epoch, place = divmod(step, steps_per_epoch)
    order = list(range(len(examples)))
    random.Random(f"{settings['seed']}:{epoch}").shuffle(order)  # noqa: S311  (not for secrets)
    size = settings["batch_examples"]
    return [examples[index] for index in order[place * size : (place + 1) * size]]


def _share(step: int, steps: int, warmup: float) -> float:
    """Which share of the learning rate a step has: linear over the first `warmup` of all, then a cosine to zero."""
    first = max(1, round(steps * warmup))
    if step <= first:
        return step / first
    return 0.5 * (1 + math.cos(math.pi * (step - first) / max(1, steps - first)))


def _validated(training: _Training, row: dict[str, float | None]) -> float:
    """Measure the validation loss, write its row of the log, and keep the weights if none were better."""
    model, progress, examples = training.model, training.progress, training.data.validation
    model.eval()
    total = 0.0
    with torch.inference_mode(), _precision(model):
        for together in _together(examples, model.device.type):
            logits = answer_logits(model, together, training.padding)
            total += sum(answer_loss(own, example).item() for own, example in zip(logits, together, strict=True))
    loss = total / sum(len(example.answer) for example in examples)
    if not math.isfinite(loss):
        raise DreamflowError(
            f"training: the validation loss is no number ({loss}) after step {progress.step}; lower "
            "training.learning_rate (or, at step 0, look at the student: it cannot read the validation examples)"
        )
    progress.rows.append(_row(training, row, loss))
    if loss < progress.best or not progress.best_weights:
        progress.best, progress.best_step, progress.waited = loss, progress.step, 0
        progress.best_weights = adapter_weights(model)
    else:
        progress.waited += 1
    return loss


def _row(training: _Training, row: dict[str, float | None], validation: float | None) -> dict:
    timing = {"tokens": training.progress.tokens, "seconds": time.monotonic() - training.begun}
    return row | timing | {"tokens_per_s": row.get("tokens_per_s"), "validation_loss": validation}


def _precision(model: PreTrainedModel) -> torch.autocast:
    """bfloat16 on a GPU, float32 on a CPU."""
    device = model.device.type
    return torch.autocast(device, torch.bfloat16, enabled=device == "cuda")


def _key(job: Mapping[str, Json], files: Sequence[Path], data: Data, device: str) -> str:
    """What must be the same for a training to go on: all that its weights depend on."""
    return sha256(
        canonical(
            {
                "training": {name: value for name, value in job["training"].items() if name != "checkpoint_s"},
                "student": weights_fingerprint(job["student"]),
                "files": [sha256(Path(file).read_text(encoding="utf-8")) for file in files],
                "teacher": sha256(canonical(data.teacher)),
                "versions": _versions(),
                "device": device,
            }
        )
    )


def _keep(training: _Training) -> None:
    state = {
        "progress": dict(vars(training.progress)),
        "weights": adapter_weights(training.model),
        "optimizer": training.optimizer.state_dict(),
        "random": torch.get_rng_state(),
        "random_cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
    }
    save_checkpoint(training.checkpoint, training.key, state)


def _restore(training: _Training) -> None:
    state = load_checkpoint(training.checkpoint, training.key)
    if state is None:
        if (training.checkpoint / "checkpoint.pt").exists():
            training.tell("the checkpoint is of other settings or data, or damaged: training begins anew")
        return
    set_peft_model_state_dict(training.model, state["weights"])
    training.optimizer.load_state_dict(state["optimizer"])
    torch.set_rng_state(state["random"])
    if state["random_cuda"]:
        torch.cuda.set_rng_state_all(state["random_cuda"])
    training.progress = _Progress(**state["progress"])
    training.progress.resumed = training.progress.step
    training.tell(f"going on from the checkpoint at step {training.progress.step}")


def _first_words(job: Mapping[str, Json], data: Data, model: PreTrainedModel) -> str:
    learned = sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)
    everything = sum(parameter.numel() for parameter in model.parameters())
    return (
        f"{job['student']} on {model.device.type}: {len(data.train)} examples to learn from, {len(data.validation)} to "
        f"validate, {learned / 1e6:.1f} of {everything / 1e6:.1f} million parameters are trained"
    )


def _out_of_memory(settings: Mapping[str, Json], device: str) -> str:
    hint = "" if settings["gradient_checkpointing"] else "set training.gradient_checkpointing: true, "
    return (
        f"training: out of memory on {device}; {hint}lower training.max_length (now {settings['max_length']}), "
        f"training.batch_examples ({settings['batch_examples']}) or training.rank ({settings['rank']}), or take a "
        "smaller student"
    )


def _versions() -> dict[str, str]:
    return {
        "python": platform.python_version(),
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "peft": peft.__version__,
    }


def _summary(job: Mapping[str, Json], data: Data, model: PreTrainedModel, progress: _Progress, seconds: float) -> dict:
    cuda = model.device.type == "cuda"
    validations = [row["validation_loss"] for row in progress.rows if row["validation_loss"] is not None]
    steps = math.ceil(len(data.train) / job["training"]["batch_examples"]) * job["training"]["epochs"]
    return {
        "student": job["student"],
        "student_fingerprint": weights_fingerprint(job["student"]),
        "training": dict(job["training"]),
        "examples": {
            "train": len(data.train),
            "validation": len(data.validation),
            "with_teacher": len(data.teacher),
            "too_long": data.too_long,
        },
        "tokens": {
            "seen": progress.tokens,
            "train": sum(len(example.ids) for example in data.train),
            "train_answers": sum(len(example.answer) for example in data.train),
        },
        "steps": progress.step,
        "planned_steps": steps,
        "stopped_early": progress.step < steps,
        "best_step": progress.best_step,
        "validation_loss": {"before": validations[0], "best": progress.best, "last": validations[-1]},
        "trained_parameters": sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad),
        "resumed_at_step": progress.resumed or None,
        "seconds": {"training": progress.seconds, "in_all": seconds},
        "tokens_per_s": progress.tokens / progress.seconds if progress.seconds else None,
        "peak_memory_gb": {
            "process": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9,
            "cuda": torch.cuda.max_memory_allocated() / 1e9 if cuda else None,
        },
        "device": torch.cuda.get_device_name() if cuda else "cpu",
        "versions": _versions(),
    }
