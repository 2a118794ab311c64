"""The data of a training: examples, their weights, and the teacher's log-probabilities if needed."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from transformers import PreTrainedTokenizerBase

from ..errors import ConfigError
from ..files import read_text
from ..generation.model import Json
from .encode import Example, read_examples
from .student import tokenizer_sha256

Positions = tuple[tuple[tuple[int, ...], tuple[float, ...]], ...]  # token ids and their log-probabilities


@dataclass(frozen=True)
class Data:
    """Training and validation examples. `weights` are those of the training examples, with mean 1."""

    train: list[Example]
    validation: list[Example]
    weights: dict[str, float]
    teacher: dict[str, Positions]
    too_long: list[str]


def read_data(
    settings: Mapping[str, Json], tokenizer: PreTrainedTokenizerBase, train_file: Path, validation_file: Path
) -> Data:
    """Read the examples of both files and the teacher's log-probabilities. Raises `ConfigError` for invalid data."""
    train, too_long = read_examples(tokenizer, train_file, settings["max_length"])
    validation, too_long_validation = read_examples(tokenizer, validation_file, settings["max_length"])
    names = [example.name for example in train]
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        raise ConfigError(f"{train_file}: several examples have the same gen_id: {', '.join(repeated[:5])}")
    mean = sum(example.weight for example in train) / len(train)
    if settings["weight_by_salience"] and mean == 0:
        raise ConfigError(f"{train_file}: all examples have the weight 0, so nothing can be learned")
    weights = {example.name: example.weight / mean if settings["weight_by_salience"] else 1.0 for example in train}
    teacher = {}
    if settings["kl_weight"]:
        digest = tokenizer_sha256(tokenizer)
        teacher = {
            example.name: _read_teacher(train_file.parent / example.teacher, example, digest)
            for example in train
            if example.teacher is not None
        }
        if not teacher:
            raise ConfigError(
                f"{train_file}: training.kl_weight is {settings['kl_weight']}, but no example has a teacher's "
                "log-probabilities (top_logprobs); set it to 0"
            )
    return Data(train, validation, weights, teacher, too_long + too_long_validation)


def _read_teacher(path: Path, example: Example, student_tokenizer: str) -> Positions:
    """Return the teacher's likeliest tokens at each token of an example's answer, as logits of temperature 1."""
    try:
        content = json.loads(read_text(path))
        tokenizer, temperature = content["tokenizer_sha256"], float(content["temperature"])
        positions = tuple(
            (tuple(map(int, position["ids"])), tuple(float(value) * temperature for value in position["logprobs"]))
            for position in content["positions"]
        )
    except (ValueError, KeyError, TypeError) as error:
        raise ConfigError(
            f"{path}: not a file of a teacher's log-probabilities ({type(error).__name__}: {error})"
        ) from None
    if tokenizer != student_tokenizer:
        raise ConfigError(
            f"{path}: the teacher's tokenizer ({tokenizer[:12]}) is not the student's ({student_tokenizer[:12]}), so "
            "their probabilities cannot be compared; set training.kl_weight: 0, or take a teacher with the same "
            "tokenizer"
        )
    if len(positions) != len(example.answer):
        raise ConfigError(
            f"{path}: log-probabilities of {len(positions)} tokens, but the answer of {example.name} has "
            f"{len(example.answer)} (including its end)"
        )
    if any(not ids or len(ids) != len(logprobs) for ids, logprobs in positions):
        raise ConfigError(f"{path}: the numbers of ids and log-probabilities of a token differ or are 0")
    return positions
