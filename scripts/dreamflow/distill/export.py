"""A trained adapter for other programs: safetensors with a model card, GGUF LoRA, merged weights.

An export folder holds

| file | what it is |
|---|---|
| `adapter_model.safetensors`, `adapter_config.json` | the adapter as peft loads it |
| `adapter.gguf` | the adapter as llama.cpp loads it, where the student's architecture is known |
| `merged/` | the student with the adapter in its weights (float32), a Hugging Face folder, if asked for |
| `equality.json` | how alike they are, by equality.py |
| `README.md` | the model card, with the front matter of Hugging Face |
"""

import errno
import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import yaml
from transformers import PreTrainedTokenizerBase

from ..errors import ConfigError, DreamflowError
from ..files import pretty, read_json
from ..generation.model import Json
from ..generation.model_files import model_file
from .adapter import put_on
from .equality import LONGEST, check_equality
from .lora_gguf import ARCHITECTURES, write_lora_gguf
from .student import load_student

TEXTS = 8  # tasks on whose prompts and answers the three are compared


def export_student(
    job: Mapping[str, Json],
    adapter: Path,
    tasks: Sequence[Mapping[str, Json]],
    card: Mapping[str, Json],
    folder: Path,
    *,
    threads: int,
    tell: Callable[[str], None],
) -> dict[str, Json]:
    """Write the export folder of the adapter in folder `adapter`; returns what is in equality.json.

    `job` has `student` and `cache` (see `load_student`), `gguf` (the student's model file for llama.cpp, or None),
    `merged`, `license`, `model_id`. `tasks` have `prompt` and `answer`; `card` has what the model card tells, by
    heading. `folder` appears when it is whole. Raises `DreamflowError` where the three do not do the same.
    """
    if not tasks:
        raise ConfigError(f"{adapter}: no tasks to compare its exports on")
    base = model_file(job["gguf"]) if job["gguf"] else None
    student, tokenizer = load_student(job["student"], Path(job["cache"]))
    student.float()
    folder.parent.mkdir(parents=True, exist_ok=True)
    made = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}."))
    try:
        _copy_adapter(adapter, made, job["student"])
        lora = made / "adapter.gguf"
        if base is None and student.config.model_type not in ARCHITECTURES:
            lora = None
            tell(f"no GGUF: students of type {student.config.model_type} have no known form there")
        else:
            write_lora_gguf(made, student.config.to_dict(), lora, name=job["model_id"], base=base)
        model = put_on(student, adapter, job["student"])
        tell("comparing the adapter in torch, merged, and in llama.cpp")
        sequences = [_tokens(tokenizer, task) for task in _spread(tasks)]
        equality = {
            "model_id": job["model_id"],
            **check_equality(model, sequences, base, lora, scratch=made, threads=threads),
        }
        if not equality["equal"]:
            raise DreamflowError(f"{adapter}: its exports do not do the same as the adapter:\n{pretty(equality)}")
        if job["merged"]:
            merged = model.merge_and_unload()  # what is merged already stays so
            merged.config._name_or_path = ""  # no machine's paths in the folder
            merged.save_pretrained(made / "merged")
            tokenizer.save_pretrained(made / "merged")
        (made / "equality.json").write_text(pretty(equality), encoding="utf-8")
        (made / "README.md").write_text(model_card(job, card, equality), encoding="utf-8")
        made.chmod(0o755)
        if folder.exists():
            shutil.rmtree(folder)
        made.rename(folder)
    except OSError as error:
        if error.errno == errno.ENOSPC:
            raise DreamflowError(f"{folder}: the disk is full; nothing was written there") from None
        raise
    finally:
        shutil.rmtree(made, ignore_errors=True)
    return equality


def _copy_adapter(adapter: Path, folder: Path, student: str) -> None:
    """The two files that peft reads; the configuration names the student as the job does, not by its place here."""
    settings = read_json(adapter / "adapter_config.json")
    weights = adapter / "adapter_model.safetensors"
    if not weights.is_file():
        raise ConfigError(f"{weights}: no such file")
    shutil.copyfile(weights, folder / weights.name)
    settings["base_model_name_or_path"] = student
    settings["target_modules"] = sorted(settings["target_modules"])  # a set, which peft writes in any order
    (folder / "adapter_config.json").write_text(pretty(settings), encoding="utf-8")


def _spread(tasks: Sequence[Mapping[str, Json]]) -> list[Mapping[str, Json]]:
    """At most `TEXTS` of the tasks, from all over the list."""
    return [tasks[number * len(tasks) // TEXTS] for number in range(TEXTS)] if len(tasks) > TEXTS else list(tasks)


def _tokens(tokenizer: PreTrainedTokenizerBase, task: Mapping[str, Json]) -> list[int]:
    """A task's prompt and reference answer in the student's chat template."""
    turns = [{"role": "user", "content": task["prompt"]}, {"role": "assistant", "content": task["answer"]}]
    text = tokenizer.apply_chat_template(turns, tokenize=False)
    return tokenizer(text, add_special_tokens=False).input_ids[:LONGEST]


def model_card(job: Mapping[str, Json], card: Mapping[str, Json], equality: Mapping[str, Json]) -> str:
    """README.md: front matter as Hugging Face reads it, what is in the folder, and all facts in `card` by heading."""
    front = {
        "base_model": job["student"],
        "base_model_relation": "adapter",
        "library_name": "peft",
        "license": job["license"],
        "pipeline_tag": "text-generation",
        "tags": ["lora", "distillation"] + (["gguf"] if equality["gguf"] is not None else []),
    }
    lines = ["---", yaml.safe_dump(front, sort_keys=False, allow_unicode=True).rstrip(), "---", ""]
    lines += [
        f"# {job['model_id']}",
        "",
        f"A LoRA adapter of `{job['student']}`, trained by Dreamflow on answers that exact graders accepted.",
        "`adapter_model.safetensors` is for peft, `adapter.gguf` (where it is there) for llama.cpp.",
        "",
        *_equality_lines(equality),
    ]
    for heading, facts in card.items():
        lines += ["", f"## {heading}", "", *_fact_lines(facts, 3)]
    return "\n".join(lines) + "\n"


def _equality_lines(equality: Mapping[str, Json]) -> list[str]:
    names = {
        "merged": "merged weights",
        "gguf_16_bit": "llama.cpp, 16-bit weights",
        "gguf": "llama.cpp, its model file",
    }
    rows = [
        {
            "compared with the adapter in torch": name,
            "same most likely token": one["same_top"],
            "mean KL (nats)": one["mean_kl"],
            "mean KL with no adapter": one["without_adapter"]["mean_kl"] if "without_adapter" in one else None,
        }
        for key, name in names.items()
        if (one := equality[key])
    ]
    lines = ["## Equality", "", f"Next-token distributions at {equality['positions']} positions.", "", *_table(rows)]
    return lines if equality["gguf"] else [*lines, "", "Not compared in llama.cpp: no model file of the student given."]


def _fact_lines(facts: Mapping[str, Json], level: int) -> list[str]:
    """Facts of any shape: tables for rows, headings for what has parts of its own, a list for everything else."""
    lines = []
    for key, value in facts.items():
        if rows := _rows(value):
            lines += ["", f"{'#' * level} {key}", "", *_table(rows), ""]
        elif isinstance(value, Mapping):
            lines += ["", f"{'#' * level} {key}", "", *_fact_lines(value, level + 1), ""]
        else:
            lines.append(f"- {key}: {_value(value)}")
    return lines


def _rows(value: Json) -> list[dict[str, Json]]:
    """The rows in a list, or by name in a mapping; none where it is nothing of the kind."""
    if isinstance(value, Mapping):
        if not all(isinstance(row, Mapping) for row in value.values()):
            return []
        value = [{"": name, **row} for name, row in value.items()]
    if not isinstance(value, list):
        return []
    flat = (isinstance(row, Mapping) and not any(isinstance(one, Mapping) for one in row.values()) for row in value)
    return [dict(row) for row in value] if all(flat) else []


def _table(rows: Sequence[Mapping[str, Json]]) -> list[str]:
    columns = list(dict.fromkeys(key for row in rows for key in row))
    lines = [f"| {' | '.join(columns)} |", f"|{'---|' * len(columns)}"]
    return lines + [f"| {' | '.join(_value(row.get(key)) for key in columns)} |" for row in rows]


def _value(value: Json) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, list):
        return "; ".join(map(_value, value)) or "none"
    return "" if value is None else str(value)
