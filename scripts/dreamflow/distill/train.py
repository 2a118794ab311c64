"""Train a student: LoRA on chat messages, with the loss on the answers only; resumable at any step.

LoRA (Hu et al. 2021) on all linear layers, which matters more than the rank (Dettmers et al. 2023); AdamW with linear
warmup and cosine decay. On a CPU, the same settings, data and number of threads give the same weights, interrupted or
not; a GPU adds in no fixed order.
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
from .adapter import adapter_weights, add_adapter, write_adapter
from .checkpoint import load_checkpoint, room_for, save_checkpoint
from .encode import Example
from .losses import answer_logits, answer_loss, teacher_loss
from .student import load_student
from .training_data import Data, read_data
from .training_log import draw_training, training_csv

MAX_GRADIENT = 1.0  # 2-norm; longer gradients are scaled to it
TOKENS_PER_BATCH = {"cpu": 1024, "cuda": 16384}  # more is not faster on a CPU, and needs memory
PROGRESS_INTERVAL_S = 5.0

Tell = Callable[[str], None]
LogRow = dict[str, float | None]


@dataclass
class _Progress:
    """The state of a training besides weights and optimizer, as in a checkpoint."""

    step: int = 0
    tokens: int = 0  # processed by the model
    seconds: float = 0.0
    best: float = math.inf  # validation loss
    best_step: int = 0
    best_weights: dict[str, torch.Tensor] = field(default_factory=dict)
    waited: int = 0  # evaluations since the best
    rows: list[LogRow] = field(default_factory=list)
    resumed: int = 0


@dataclass
class _Run:
    """A running training. `begun` is the time when it would have begun without interruptions."""

    model: PreTrainedModel
    optimizer: torch.optim.Optimizer
    data: Data
    settings: Mapping[str, Json]
    padding: int
    progress: _Progress
    begun: float

    @property
    def device(self) -> str:
        return self.model.device.type


def train(job: Mapping[str, Json], train_file: Path, validation_file: Path, folder: Path, tell: Tell) -> dict:
    """Train `job["student"]` with the settings `job["training"]`; returns the content of training.json.

    Writes `folder`/adapter (a peft adapter with the weights of the lowest validation loss), training.csv, training.png
    and training.json. Checkpoints are in the folder `job["checkpoint"]`: a training with the same job and files resumes
    from there. Raises `ConfigError` for invalid data or settings, and `DreamflowError` if the loss is not a number or
    memory or disk space is too small.
    """
    settings = dict(job["training"])
    folder, checkpoint = Path(folder), Path(job["checkpoint"])
    torch.set_num_threads(settings["threads"])
    started = time.monotonic()
    model, tokenizer = load_student(job["student"], Path(job["cache"]))
    device = model.device.type
    data = read_data(settings, tokenizer, Path(train_file), Path(validation_file))
    for line in data.too_long:
        tell(f"left out: {line}")
    try:
        model = add_adapter(model, settings)
        trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
        trained_count = sum(parameter.numel() for parameter in trained)
        count = sum(parameter.numel() for parameter in model.parameters())
        tell(
            f"{job['student']} on {device}: {len(data.train)} training examples, {len(data.validation)} validation "
            f"examples, {trained_count / 1e6:.1f} of {count / 1e6:.1f} million parameters are trained"
        )
        optimizer = torch.optim.AdamW(trained, lr=0.0, weight_decay=settings["weight_decay"])
        key = _key(job, [train_file, validation_file], data, device)
        progress = _restore(model, optimizer, checkpoint, key, tell)
        begun = time.monotonic() - progress.seconds
        _train(_Run(model, optimizer, data, settings, tokenizer.pad_token_id, progress, begun), checkpoint, key, tell)
    except (MemoryError, RuntimeError) as error:
        if not _is_out_of_memory(error):
            raise
        hint = "" if settings["gradient_checkpointing"] else "set training.gradient_checkpointing: true, "
        raise DreamflowError(
            f"training: out of memory on {device}; {hint}lower training.max_length (now {settings['max_length']}), "
            f"training.batch_examples ({settings['batch_examples']}) or training.rank ({settings['rank']}), or take a "
            "smaller student"
        ) from None
    with room_for("the adapter", folder):
        folder.mkdir(parents=True, exist_ok=True)
        write_adapter(model, job["student"], folder / "adapter")
        write_atomic(folder / "training.csv", training_csv(progress.rows))
        draw_training(folder / "training.csv", folder / "training.png")
        summary = _summary(job, data, progress, trained_count, time.monotonic() - started, device)
        write_atomic(folder / "training.json", pretty(summary))
    shutil.rmtree(checkpoint, ignore_errors=True)
    return summary


def _train(run: _Run, checkpoint: Path, key: str, tell: Tell) -> None:
    """Train to the end; leaves the best weights in the model."""
    settings, progress = run.settings, run.progress
    steps_per_epoch, steps = _steps(run.data, settings)
    interval = max(1, round(steps_per_epoch / settings["evaluations_per_epoch"]))
    resumed_at = saved_at = shown_at = time.monotonic()
    resumed_tokens = progress.tokens
    if not progress.rows:
        _validate(run, {"step": 0, "epoch": 0.0, "loss": None, "lr": None})
    while progress.step < steps and progress.waited < max(1, settings["patience"]):
        step = progress.step + 1
        rate = settings["learning_rate"] * _rate_factor(step, steps, settings["warmup"])
        batch = _batch(run.data.train, settings, progress.step, steps_per_epoch)
        loss = _step(run, batch, rate, step)
        progress.step = step
        progress.tokens += sum(len(example.ids) for example in batch)
        speed = (progress.tokens - resumed_tokens) / (time.monotonic() - resumed_at)
        row = {"step": step, "epoch": step / steps_per_epoch, "loss": loss, "lr": rate, "tokens_per_s": speed}
        if step % steps_per_epoch % interval == 0 or step == steps:
            validation_loss = _validate(run, row)
            tell(f"step {step} of {steps}: validation loss {validation_loss:.4f}, best {progress.best:.4f}")
        else:
            _log(run, row, None)
        now = time.monotonic()
        progress.seconds = now - run.begun
        if now - shown_at >= PROGRESS_INTERVAL_S:
            shown_at = now
            left = (now - resumed_at) / (step - progress.resumed) * (steps - step)
            tell(f"step {step} of {steps}: loss {loss:.4f}, {speed:.0f} tokens/s, {left:.0f} s left")
        if now - saved_at >= settings["checkpoint_s"]:
            _save(run, checkpoint, key)
            saved_at = time.monotonic()
    set_peft_model_state_dict(run.model, progress.best_weights)


def _steps(data: Data, settings: Mapping[str, Json]) -> tuple[int, int]:
    """Return the number of steps in an epoch and in all epochs."""
    per_epoch = math.ceil(len(data.train) / settings["batch_examples"])
    return per_epoch, per_epoch * settings["epochs"]


def _step(run: _Run, batch: Sequence[Example], rate: float, step: int) -> float:
    """Do a step of the optimizer; returns the loss: the mean over the batch's answer tokens, by example weight."""
    run.model.train()
    data, kl_weight = run.data, run.settings["kl_weight"]
    tokens = sum(len(example.answer) for example in batch)
    total = 0.0
    for part in _parts(batch, run.device):
        with _precision(run.device):
            logits = answer_logits(run.model, part, run.padding)
        loss = logits[0].new_zeros(())
        for example, own in zip(part, logits, strict=True):
            example_loss = answer_loss(own, example)
            if example.name in data.teacher:
                distance = teacher_loss(own, data.teacher[example.name], run.settings["kl_temperature"])
                example_loss = (1 - kl_weight) * example_loss + kl_weight * distance
            loss = loss + data.weights[example.name] * example_loss / tokens
        loss.backward()
        total += loss.item()
    for group in run.optimizer.param_groups:
        group["lr"] = rate
    norm = torch.nn.utils.clip_grad_norm_(run.optimizer.param_groups[0]["params"], MAX_GRADIENT)
    if not math.isfinite(total) or not torch.isfinite(norm):
        raise DreamflowError(
            f"training: the loss is no longer a number ({total}, gradient {norm.item()}) at step {step} with a "
            f"learning rate of {rate:.3g}, on {', '.join(example.name for example in batch)}; "
            "lower training.learning_rate or raise training.warmup"
        )
    run.optimizer.step()
    run.optimizer.zero_grad(set_to_none=True)
    return total


def _parts(batch: Sequence[Example], device: str) -> Iterator[list[Example]]:
    """Split a batch into parts of similar length, so that padding is short; each goes through the model at once.

    Packing 8 examples into one masked sequence is hardly faster (210 instead of 190 tokens/s with 135M parameters on
    two CPU cores), and does not work for recurrent architectures.
    """
    part: list[Example] = []
    for example in sorted(batch, key=lambda example: (len(example.ids), example.name)):
        if part and (len(part) + 1) * len(example.ids) > TOKENS_PER_BATCH[device]:
            yield part
            part = []
        part.append(example)
    yield part


def _batch(examples: Sequence[Example], settings: Mapping[str, Json], step: int, steps_per_epoch: int) -> list[Example]:
    """Return the examples of a step. Each epoch has its own order, drawn from the seed."""
    epoch, place = divmod(step, steps_per_epoch)
    order = list(range(len(examples)))
    random.Random(f"{settings['seed']}:{epoch}").shuffle(order)  # noqa: S311  (not for secrets)
    size = settings["batch_examples"]
    return [examples[index] for index in order[place * size : (place + 1) * size]]


def _rate_factor(step: int, steps: int, warmup: float) -> float:
    """Return the factor of the learning rate: linear over the first `warmup` (a share), then a cosine to zero."""
    first = max(1, round(steps * warmup))
    if step <= first:
        return step / first
    return 0.5 * (1 + math.cos(math.pi * (step - first) / max(1, steps - first)))


def _validate(run: _Run, row: LogRow) -> float:
    """Measure and log the validation loss; keep the weights if it is the best."""
    run.model.eval()
    progress, examples = run.progress, run.data.validation
    total = 0.0
    with torch.inference_mode(), _precision(run.device):
        for part in _parts(examples, run.device):
            logits = answer_logits(run.model, part, run.padding)
            total += sum(answer_loss(own, example).item() for own, example in zip(logits, part, strict=True))
    loss = total / sum(len(example.answer) for example in examples)
    if not math.isfinite(loss):
        raise DreamflowError(
            f"training: the validation loss is not a number ({loss}) after step {progress.step}; lower "
            "training.learning_rate (or, at step 0, check the student: it cannot read the validation examples)"
        )
    _log(run, row, loss)
    if loss < progress.best or not progress.best_weights:
        progress.best, progress.best_step, progress.waited = loss, progress.step, 0
        progress.best_weights = adapter_weights(run.model)
    else:
        progress.waited += 1
    return loss


def _log(run: _Run, row: LogRow, validation_loss: float | None) -> None:
    timing = {"tokens": run.progress.tokens, "seconds": time.monotonic() - run.begun}
    run.progress.rows.append({"tokens_per_s": None, **row, **timing, "validation_loss": validation_loss})


def _precision(device: str) -> torch.autocast:
    """bfloat16 on a GPU, float32 on a CPU."""
    return torch.autocast(device, torch.bfloat16, enabled=device == "cuda")


def _key(job: Mapping[str, Json], files: Sequence[Path], data: Data, device: str) -> str:
    """Return a digest of all that decides the weights: only a training with the same key resumes from a checkpoint."""
    parts = {
        "training": {name: value for name, value in job["training"].items() if name != "checkpoint_s"},
        "student": weights_fingerprint(job["student"]),
        "files": [sha256(Path(file).read_text(encoding="utf-8")) for file in files],
        "teacher": sha256(canonical(data.teacher)),
        "versions": _versions(),
        "device": device,
    }
    return sha256(canonical(parts))


def _save(run: _Run, checkpoint: Path, key: str) -> None:
    state = {
        "progress": dict(vars(run.progress)),
        "weights": adapter_weights(run.model),
        "optimizer": run.optimizer.state_dict(),
        "random": torch.get_rng_state(),
        "random_cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
    }
    save_checkpoint(checkpoint, key, state)


def _restore(
    model: PreTrainedModel, optimizer: torch.optim.Optimizer, checkpoint: Path, key: str, tell: Tell
) -> _Progress:
    state = load_checkpoint(checkpoint, key)
    if state is None:
        if (checkpoint / "checkpoint.pt").exists():
            tell("the checkpoint is damaged or of other settings or data: the training starts from the beginning")
        return _Progress()
    set_peft_model_state_dict(model, state["weights"])
    optimizer.load_state_dict(state["optimizer"])
    torch.set_rng_state(state["random"])
    if state["random_cuda"]:
        torch.cuda.set_rng_state_all(state["random_cuda"])
    progress = _Progress(**state["progress"])
    progress.resumed = progress.step
    tell(f"resuming from the checkpoint at step {progress.step}")
    return progress


def _is_out_of_memory(error: BaseException) -> bool:
    words = ("out of memory", "DefaultCPUAllocator", "can't allocate memory")
    return isinstance(error, MemoryError | torch.OutOfMemoryError) or any(word in str(error) for word in words)


def _versions() -> dict[str, str]:
    libraries = {library.__name__: library.__version__ for library in (torch, transformers, peft)}
    return {"python": platform.python_version(), **libraries}


def _summary(
    job: Mapping[str, Json], data: Data, progress: _Progress, trained: int, seconds: float, device: str
) -> dict[str, Json]:
    cuda = device == "cuda"
    validations = [row["validation_loss"] for row in progress.rows if row["validation_loss"] is not None]
    _, steps = _steps(data, job["training"])
    return {
        "student": job["student"],
        "student_fingerprint": weights_fingerprint(job["student"]),
        "training": dict(job["training"]),
        "examples": {
            **{"train": len(data.train), "validation": len(data.validation)},
            **{"with_teacher": len(data.teacher), "too_long": data.too_long},
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
        "trained_parameters": trained,
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
