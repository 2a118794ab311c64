"""Encode chat messages as token ids with the model's chat template, and mark the part to learn."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from transformers import PreTrainedTokenizerBase

from ..errors import ConfigError
from ..files import read_text

Message = Mapping[str, str]


@dataclass(frozen=True)
class Example:
    """`ids` are the tokens of a chat including the end-of-turn token of the answer, which begins at `start`."""

    name: str
    ids: tuple[int, ...]
    start: int
    weight: float
    teacher: str | None  # file with the teacher's log-probabilities, relative to the file of examples

    @property
    def answer(self) -> tuple[int, ...]:
        """The tokens to learn: the answer and the token that ends it."""
        return self.ids[self.start :]


def prompt_text(tokenizer: PreTrainedTokenizerBase, messages: Sequence[Message]) -> str:
    """Return the text before the model's answer, including the template's beginning of an answer."""
    return tokenizer.apply_chat_template(list(messages), tokenize=False, add_generation_prompt=True)


def prompt_ids(tokenizer: PreTrainedTokenizerBase, messages: Sequence[Message]) -> list[int]:
    """Return the tokens of `prompt_text`; the template has already written all special tokens."""
    return tokenizer(prompt_text(tokenizer, messages), add_special_tokens=False).input_ids


def encode_chat(tokenizer: PreTrainedTokenizerBase, messages: Sequence[Message]) -> tuple[tuple[int, ...], int]:
    """Return the tokens of a chat that ends with an assistant's answer, and the position where this answer begins.

    Text after the end-of-turn token (a newline in most templates) is left out, since the model never writes it. Raises
    `ConfigError` if the template writes a prompt differently when an answer follows.
    """
    if len(messages) < 2 or messages[-1]["role"] != "assistant":
        raise ConfigError("a training chat needs at least one message before an assistant's answer")
    before = prompt_text(tokenizer, messages[:-1])
    whole = tokenizer.apply_chat_template(list(messages), tokenize=False)
    head = tokenizer(before, add_special_tokens=False).input_ids
    ids = tokenizer(whole, add_special_tokens=False).input_ids
    if not whole.startswith(before) or ids[: len(head)] != head:
        raise ConfigError(
            "the chat template writes a prompt differently when an answer follows it, so training and use would "
            "differ; give the student another template (chat_template.jinja)"
        )
    special = set(tokenizer.all_special_ids)
    end = next((place for place in range(len(ids) - 1, len(head) - 1, -1) if ids[place] in special), None)
    if end is None:
        raise ConfigError("the chat template ends an answer without a special token, so the model cannot learn to stop")
    return tuple(ids[: end + 1]), len(head)


def end_of_turn(tokenizer: PreTrainedTokenizerBase) -> int:
    """Return the token that ends an answer in this model's chats."""
    ids, _ = encode_chat(tokenizer, [{"role": "user", "content": "Hello"}, {"role": "assistant", "content": "Hello"}])
    return ids[-1]


def read_examples(tokenizer: PreTrainedTokenizerBase, path: Path, max_length: int) -> tuple[list[Example], list[str]]:
    """Return the examples of a file of chat messages (JSON Lines), and a message for each that is too long.

    Raises a `ConfigError` for an invalid line, and if no example is left.
    """
    examples, too_long = [], []
    for number, line in enumerate(read_text(path).split("\n"), 1):
        if not line.strip():
            continue
        example = _example(tokenizer, line, f"{path}:{number}")
        if len(example.ids) > max_length:
            length = len(example.ids)
            too_long.append(f"{path}:{number}: {example.name} has {length} tokens, max_length is {max_length}")
        else:
            examples.append(example)
    if not examples:
        hint = f"; {len(too_long)} are longer than max_length {max_length}" if too_long else ""
        raise ConfigError(f"{path}: no example to learn from{hint}")
    return examples, too_long


def _example(tokenizer: PreTrainedTokenizerBase, line: str, place: str) -> Example:
    try:
        row = json.loads(line)
        messages = [{"role": str(message["role"]), "content": str(message["content"])} for message in row["messages"]]
        weight = float(row.get("weight", 1.0))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ConfigError(
            f"{place}: not a line of chat messages ({type(error).__name__}: {error}); "
            'it should be {"messages": [{"role", "content"}, ...], "weight": number}'
        ) from None
    if not 0 <= weight < float("inf"):
        raise ConfigError(f"{place}: weight {weight} is not a finite number of at least 0")
    try:
        ids, start = encode_chat(tokenizer, messages)
    except ConfigError as error:
        raise ConfigError(f"{place}: {error}") from None
    return Example(str(row.get("gen_id") or row.get("task_id") or place), ids, start, weight, row.get("top_logprobs"))
