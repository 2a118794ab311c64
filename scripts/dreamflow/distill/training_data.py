"""What a student is trained on: examples, their weights, and the teacher's probabilities where they are asked for."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import ConfigError
from ..generation.model import Json
from .encode import Example, read_examples
from .losses import Positions, read_teacher
from .student import tokenizer_sha256

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


@dataclass(frozen=True)
class Data:
    """What is learned from, and checked on; `weights` are the training examples' own, of mean 1."""

    train: list[Example]
    validation: list[Example]
    weights: dict[str, float]
    teacher: dict[str, Positions]
    too_long: list[str]


def read_data(
    settings: Mapping[str, Json], tokenizer: "PreTrainedTokenizerBase", train_file: Path, validation_file: Path
) -> Data:
    """The examples of both files, and what teachers said of them; raises `ConfigError` for what cannot be learned."""
    train_rows, too_long = read_examples(tokenizer, train_file, settings["max_length"])
    validation, too_long_too = read_examples(tokenizer, validation_file, settings["max_length"])
    names = [example.name for example in train_rows]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ConfigError(f"{train_file}: more than one example is called {', '.join(twice[:5])} (gen_id)")
    mean = sum(example.weight for example in train_rows) / len(train_rows)
    if settings["weight_by_salience"] and mean == 0:
        raise ConfigError(f"{train_file}: every example has the weight 0, so that there is nothing to learn")
    weights = {example.name: example.weight / mean if settings["weight_by_salience"] else 1.0 for example in train_rows}
    teacher = {}
    if settings["kl_weight"]:
        digest = tokenizer_sha256(tokenizer)
        for example in train_rows:
            if example.teacher is not None:
                teacher[example.name] = read_teacher(train_file.parent / example.teacher, example, digest)
        if not teacher:
            raise ConfigError(
                f"{train_file}: training.kl_weight is {settings['kl_weight']}, but no example has a teacher's "
                "log-probabilities (top_logprobs); set it to 0"
            )
    return Data(train_rows, validation, weights, teacher, too_long + too_long_too)
