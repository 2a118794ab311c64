"""Recorded answers, for tests and demonstrations without a network.

The model's `name` is a JSON Lines file. A line is {"text": ..., "finish_reason"?, "usage"?} and may restrict the
prompts that it answers: "contains" (a part of the prompt) or "prompt_sha256" (the whole prompt). Sample n uses the n-th
line that fits the prompt, or the last such line if there are fewer.

Or it is a CSV file with the columns `question` and `answer`: the answer to the longest question in the prompt.
"""

import json
import os
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from operator import itemgetter
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from ...errors import ConfigError
from ...files import read_questions, read_text, sha256
from ..model import Json, Usage, from_json
from . import CallError, Provider, Request, Response

if TYPE_CHECKING:
    from ..models import Model

_READING = threading.Lock()


@dataclass(frozen=True)
class _Answers:
    """The lines of a file by their places: those for single prompts by digest, and all others. The former are read when
    they are needed, as there may be very many."""

    file: BinaryIO
    by_prompt: Mapping[str, list[tuple[int, int]]]  # place and length
    others: list[tuple[int, dict[str, Json]]]

    def fitting(self, prompt: str, digest: str) -> list[dict[str, Json]]:
        """The lines that answer a prompt, in order."""
        own = self.by_prompt.get(digest, ())
        lines = [
            *((place, json.loads(os.pread(self.file.fileno(), length, place))) for place, length in own),
            *self.others,
        ]
        return [line for _, line in sorted(lines, key=itemgetter(0)) if line.get("contains", "") in prompt]


@dataclass(frozen=True)
class _Table:
    """The answers of a CSV file by their questions."""

    answers: Mapping[str, str]

    def fitting(self, prompt: str, digest: str) -> list[dict[str, Json]]:
        """The answer to the longest question that the prompt contains, if any."""
        asked = prompt.strip()
        if asked not in self.answers:
            asked = max((question for question in self.answers if question in prompt), key=len, default="")
        return [{"text": self.answers[asked]}] if asked else []


def _answers(path: str) -> _Answers | _Table:
    with _READING:  # once, however many threads need it
        return _read_answers(path)


@cache
def _read_answers(path: str) -> _Answers | _Table:
    if path.lower().endswith(".csv"):
        return _Table({row["question"]: row["answer"] for _, row in read_questions(Path(path))})
    try:
        stream = Path(path).open("rb")  # noqa: SIM115  (stays open)
    except OSError as error:
        raise CallError(f"replay: {path}: {error.strerror}", kind="account") from None
    answers, place = _Answers(stream, {}, []), 0
    for number, content in enumerate(stream, start=1):
        try:
            if content.strip():
                line = json.loads(content)
                if (digest := line.get("prompt_sha256")) is None:
                    answers.others.append((place, line))
                else:
                    answers.by_prompt.setdefault(digest, []).append((place, len(content)))
        except ValueError as error:
            raise ConfigError(f"{path}:{number}: not JSON: {getattr(error, 'msg', error)}") from None
        place += len(content)
    return answers


class Replay(Provider):
    """Recorded answers."""

    is_free = is_instant = True

    def revision(self, model: "Model") -> str:
        """A digest of a CSV file, whose answers a person may correct."""
        is_table = not model.revision and model.name.lower().endswith(".csv") and Path(model.name).is_file()
        return sha256(read_text(model.name)) if is_table else super().revision(model)

    def complete(self, request: Request) -> Response:
        """The recorded answer to a request's last message."""
        prompt, path = request.messages[-1].content, request.model.name
        digest = sha256(prompt)
        fitting = _answers(path).fitting(prompt, digest)
        if not fitting:
            raise CallError(f"replay: {path} has no answer to this prompt (SHA-256 {digest})", kind="request")
        line = fitting[min(request.sample, len(fitting) - 1)]
        counted = Usage(len(prompt.split()), 0, len(line["text"].split()))
        usage = from_json(line["usage"], Usage) if line.get("usage") else counted
        return Response(line["text"], line.get("finish_reason", "stop"), usage, "replay")


PROVIDER = Replay
