"""Recorded answers, for tests and demonstrations without a network.

The model's `name` is a JSON Lines file. A line is {"text": ..., "finish_reason"?, "usage"?} and may restrict the
prompts that it answers: "contains" (a part of the prompt) or "prompt_sha256" (the whole prompt). Sample n uses the n-th
line that fits the prompt, or the last such line if there are fewer.
"""

import json
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from operator import itemgetter
from pathlib import Path

from ...errors import ConfigError
from ...files import sha256
from ..model import Json, Usage, from_json
from . import CallError, Provider, Request, Response

_READING = threading.Lock()


@dataclass(frozen=True)
class _Answers:
    """The lines of a file, in order: those for single prompts by digest, and all others. A line has its number."""

    by_prompt: Mapping[str, list[tuple[int, dict[str, Json]]]]
    others: list[tuple[int, dict[str, Json]]]

    def fitting(self, prompt: str, digest: str) -> list[dict[str, Json]]:
        """The lines that answer a prompt."""
        lines = [*self.by_prompt.get(digest, ()), *self.others]
        return [line for _, line in sorted(lines, key=itemgetter(0)) if line.get("contains", "") in prompt]


def _answers(path: str) -> _Answers:
    with _READING:  # once, however many threads need it
        return _read_answers(path)


@cache
def _read_answers(path: str) -> _Answers:
    try:
        text = Path(path).read_text(encoding="utf-8")
    except OSError as error:
        raise CallError(f"replay: {path}: {error.strerror}", kind="account") from None
    answers = _Answers({}, [])
    for number, content in enumerate(text.split("\n"), start=1):
        try:
            if content.strip():
                line = json.loads(content)
                digest = line.get("prompt_sha256")
                lines = answers.others if digest is None else answers.by_prompt.setdefault(digest, [])
                lines.append((number, line))
        except json.JSONDecodeError as error:
            raise ConfigError(f"{path}:{number}: not JSON: {error.msg}") from None
    return answers


class Replay(Provider):
    """Recorded answers."""

    is_free = is_instant = True

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
