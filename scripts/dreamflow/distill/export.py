"""Export a trained adapter for other programs.

An export folder contains

| file | content |
|---|---|
| `adapter_model.safetensors`, `adapter_config.json` | the adapter for peft |
| `adapter.gguf` | the adapter for llama.cpp, if the student's architecture is known |
| `merged/` | the student with the adapter in its weights (float32), a Hugging Face folder, if requested |
| `equality.json` | the differences between them, by equality.py |
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
from ..reports.markdown import table
from .adapter import attach_adapter
from .equality import MAX_TOKENS, check_equality
from .lora_gguf import ARCHITECTURES, write_lora_gguf
from .student import load_student

MAX_TEXTS = 8  # tasks whose prompts and answers are compared


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
    """Write the export folder of the adapter in folder `adapter`; returns the content of equality.json.

    `job` has `student` and `cache` (see `load_student`), `gguf` (the student's model file for llama.cpp, or None),
    `merged`, `license` and `model_id`. `tasks` have `prompt` and `answer`; `card` has the facts of the model card by
    heading. `folder` is complete or absent. Raises a `DreamflowError` if the exports differ.
    """
    if not tasks:
        raise ConfigError(f"{adapter}: no tasks to compare the exports on")
    base = model_file(job["gguf"]) if job["gguf"] else None
    student, tokenizer = load_student(job["student"], Path(job["cache"]))
    student.float()
    folder.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}."))
    try:
        _copy_adapter(adapter, temporary, job["student"])
        lora = temporary / "adapter.gguf"
        if base is None and student.config.model_type not in ARCHITECTURES:
            lora = None
            tell(f"no GGUF: students of type {student.config.model_type} are not supported")
        else:
            write_lora_gguf(temporary, student.config.to_dict(), lora, name=job["model_id"], base=base)
        model = attach_adapter(student, adapter, job["student"])
        tell("comparing the adapter in torch, merged, and in llama.cpp")
        count = min(MAX_TEXTS, len(tasks))
        sequences = [_tokens(tokenizer, tasks[number * len(tasks) // count]) for number in range(count)]
        equality = {
            "model_id": job["model_id"],
            **check_equality(model, sequences, base, lora, scratch=temporary, threads=threads),
        }
        if not equality["equal"]:
            raise DreamflowError(f"{adapter}: its exports differ from the adapter:\n{pretty(equality)}")
        if job["merged"]:
            merged = model.merge_and_unload()  # keeps merged weights
            merged.config._name_or_path = ""  # no path of this machine
            merged.save_pretrained(temporary / "merged")
            tokenizer.save_pretrained(temporary / "merged")
        (temporary / "equality.json").write_text(pretty(equality), encoding="utf-8")
        (temporary / "README.md").write_text(model_card(job, card, equality), encoding="utf-8")
        temporary.chmod(0o755)
        if folder.exists():
            shutil.rmtree(folder)
        temporary.rename(folder)
    except OSError as error:
        if error.errno == errno.ENOSPC:
            raise DreamflowError(f"{folder}: the disk is full; nothing was written") from None
        raise
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return equality


def _copy_adapter(adapter: Path, folder: Path, student: str) -> None:
    """Copy the files for peft. The configuration names the student as the job does, not by its path here."""
    settings = read_json(adapter / "adapter_config.json")
    weights = adapter / "adapter_model.safetensors"
    if not weights.is_file():
        raise ConfigError(f"{weights}: no such file")
    shutil.copyfile(weights, folder / weights.name)
    settings["base_model_name_or_path"] = student
    settings["target_modules"] = sorted(settings["target_modules"])  # peft writes a set in any order
    (folder / "adapter_config.json").write_text(pretty(settings), encoding="utf-8")


def _tokens(tokenizer: PreTrainedTokenizerBase, task: Mapping[str, Json]) -> list[int]:
    """Return a task's prompt and reference answer in the student's chat template."""
    turns = [{"role": "user", "content": task["prompt"]}, {"role": "assistant", "content": task["answer"]}]
    text = tokenizer.apply_chat_template(turns, tokenize=False)
    return tokenizer(text, add_special_tokens=False).input_ids[:MAX_TOKENS]


def model_card(job: Mapping[str, Json], card: Mapping[str, Json], equality: Mapping[str, Json]) -> str:
    """Return the model card: front matter for Hugging Face, the content of the folder, and the facts in `card`."""
    front = {
        "base_model": job["student"],
        "base_model_relation": "adapter",
        "library_name": "peft",
        "license": job["license"],
        "pipeline_tag": "text-generation",
        "tags": ["lora", "distillation"] + (["gguf"] if equality["gguf"] is not None else []),
    }
    lines = [
        *("---", yaml.safe_dump(front, sort_keys=False, allow_unicode=True).rstrip(), "---", ""),
        *(f"# {job['model_id']}", ""),
        f"A LoRA adapter of `{job['student']}`, trained by Dreamflow on answers that exact graders accepted.",
        "`adapter_model.safetensors` is for peft, `adapter.gguf` (if it exists) for llama.cpp.",
        *("", "## Equality", "", f"Next-token distributions at {equality['positions']} positions.", ""),
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
            "same likeliest token": equality[key]["same_top"],
            "mean KL (nats)": equality[key]["mean_kl"],
            "mean KL without an adapter": equality[key].get("without_adapter", {}).get("mean_kl"),
        }
        for key, name in names.items()
        if equality[key]
    ]
    return [_table(rows)] + (
        [] if equality["gguf"] else ["", "Not compared in llama.cpp: no model file of the student."]
    )


def _fact_lines(facts: Mapping[str, Json], level: int) -> list[str]:
    """Format facts of any shape: rows as tables, mappings under headings, everything else as a list."""
    lines = []
    for key, value in facts.items():
        if rows := _rows(value):
            lines += ["", f"{'#' * level} {key}", "", _table(rows), ""]
        elif isinstance(value, Mapping):
            lines += ["", f"{'#' * level} {key}", "", *_fact_lines(value, level + 1), ""]
        else:
            lines.append(f"- {key}: {_value(value)}")
    return lines


def _rows(value: Json) -> list[dict[str, Json]]:
    """Return the rows of a list, or of a mapping by name; empty for other values."""
    if isinstance(value, Mapping) and all(isinstance(row, Mapping) for row in value.values()):
        value = [{"": name, **row} for name, row in value.items()]
    if not isinstance(value, list):
        return []
    flat = (isinstance(row, Mapping) and not any(isinstance(cell, Mapping) for cell in row.values()) for row in value)
    return [dict(row) for row in value] if all(flat) else []


def _table(rows: Sequence[Mapping[str, Json]]) -> str:
    columns = list(dict.fromkeys(key for row in rows for key in row))
    return table([[_value(row.get(key)) for key in columns] for row in rows], columns)


def _value(value: Json) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, list):
        return "; ".join(map(_value, value)) or "none"
    return "" if value is None else str(value)
