"""What all parsers share: the result, the one error, the registry, and the dropping of wrappings."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ...errors import ConfigError, DreamflowError

Options = Mapping[str, Any]

_QUOTED = 200
_DEFAULT_SCALE = (0, 9)
_THINKING = re.compile(r"(?P<begins_line>^[^\S\n]*+)?<(?P<close>/?)think(?:ing)?\s*+>", re.I | re.M)


@dataclass(frozen=True)
class Parsed:
    """What a parser made of an answer: the text of parsed.*, values for the tables, and what was doubtful."""

    text: str
    values: Mapping[str, Any] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()


class ParseError(DreamflowError):
    """An answer that cannot be read. The message says what was looked for and quotes where it looked."""

    def __init__(self, problem: str, where: str = "", *, end: bool = False):
        # One line and a glance of the answer at most: this ends up in tables and logs.
        quotation = f", in {quoted(where, end=end)}" if where else ""
        super().__init__(" ".join(problem.split()) + quotation)


def quoted(text: str, *, end: bool = False) -> str:
    """The beginning (or the `end`) of `text`, at most 200 characters of it, as a literal on one line."""
    text = text.strip()
    if len(text) <= _QUOTED:
        return repr(text)
    return f"…{text[-_QUOTED:]!r}" if end else f"{text[:_QUOTED]!r}…"


@dataclass(frozen=True)
class Parser:
    """A pure function from (raw text, options) to `Parsed` or `ParseError`, and its version."""

    function: Callable[[str, Options], Parsed]
    version: int

    @property
    def description(self) -> str:
        """What it does, in the first line of its function's docstring."""
        return (self.function.__doc__ or "").strip().partition("\n")[0]


PARSERS: dict[str, Parser] = {}


def register(name: str, *, version: int) -> Callable:
    """Decorator: enter a function under `name`. Raise `version` with its behaviour; that parses anew."""

    def enter(function: Callable[[str, Options], Parsed]) -> Callable[[str, Options], Parsed]:
        if name in PARSERS:
            raise ValueError(f"two parsers are called {name!r}")
        PARSERS[name] = Parser(function, version)
        return function

    return enter


def scale_of(options: Options) -> tuple[float, float]:
    """The template's scale (low, high); the originals' 0-9 when it names none."""
    low, high = options.get("scale") or _DEFAULT_SCALE
    if not low < high:
        raise ConfigError(f"scale {low}-{high}: its first number must be the smaller one")
    return low, high


def on_scale(score: float, options: Options, where: str) -> float:
    """`score` as a float, or an error when it lies outside the scale."""
    low, high = scale_of(options)
    if not low <= score <= high:  # also refuses NaN
        raise ParseError(f"score {str(score)[:20]} is outside the scale {low:g}-{high:g}", where)
    return float(score) + 0.0  # no negative zero


def drop_thinking(text: str) -> str:
    """`text` without its <think> and <thinking> blocks; one that never ends is an answer cut off."""
    kept, start, opened = [], 0, None
    for tag in _THINKING.finditer(text):
        begins_line = tag["begins_line"] is not None
        if tag["close"] and opened is not None:
            kept.append(text[start:opened])
            start, opened = tag.end(), None
        elif not begins_line:
            continue  # an essay about models may well mention <think> in a sentence
        elif tag["close"]:
            # Some chat templates open the block inside the prompt: all that comes before is thinking.
            kept, start = [], tag.end()
        elif opened is None:
            opened = tag.start()
    if opened is not None:
        raise ParseError("the thinking block never ends: the answer is cut off", text[opened:], end=True)
    return "".join(kept) + text[start:]
