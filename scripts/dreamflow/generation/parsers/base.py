"""Shared by all parsers: the result, the error, the registry, scales, and the removal of thinking blocks."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from ...errors import ConfigError, DreamflowError
from ..model import Json

Options = Mapping[str, Json]

_QUOTED = 200
_DEFAULT_SCALE = (0, 9)
_THINKING = re.compile(r"(?P<begins_line>^[^\S\n]*+)?<(?P<close>/?)think(?:ing)?\s*+>", re.I | re.M)


@dataclass(frozen=True)
class Parsed:
    """The result of a parser: the text of the parsed file, values for the tables, and warnings about doubtful parts."""

    text: str
    values: Mapping[str, Json] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()


class ParseError(DreamflowError):
    """An answer that cannot be read. The message says what was expected and quotes the text."""

    def __init__(self, problem: str, where: str = "", *, end: bool = False):
        # At most one line and a short quotation: the message is shown in tables and logs.
        quotation = f", in {quoted(where, end=end)}" if where else ""
        super().__init__(" ".join(problem.split()) + quotation)


def quoted(text: str, *, end: bool = False) -> str:
    """The beginning (or the `end`) of `text` as a literal on one line, at most 200 characters."""
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
        """The first line of the function's docstring."""
        return (self.function.__doc__ or "").strip().partition("\n")[0]


PARSERS: dict[str, Parser] = {}


def register(name: str, *, version: int) -> Callable:
    """Decorator: register a function under `name`. Raise `version` if results change; answers are then parsed again."""

    def enter(function: Callable[[str, Options], Parsed]) -> Callable[[str, Options], Parsed]:
        if name in PARSERS:
            raise ValueError(f"two parsers are called {name!r}")
        PARSERS[name] = Parser(function, version)
        return function

    return enter


def scale_of(options: Options) -> tuple[float, float]:
    """The template's scale (low, high); the default is the original's 0-9."""
    low, high = options.get("scale") or _DEFAULT_SCALE
    if not low < high:
        raise ConfigError(f"scale {low}-{high}: the first number must be smaller than the second")
    return low, high


def on_scale(score: float, options: Options, where: str) -> float:
    """`score` as a float. Raises a `ParseError` if it is outside the scale."""
    low, high = scale_of(options)
    if not low <= score <= high:  # also refuses NaN
        raise ParseError(f"score {str(score)[:20]} is outside the scale {low:g}-{high:g}", where)
    return float(score) + 0.0  # no negative zero


def drop_thinking(text: str) -> str:
    """`text` without <think> and <thinking> blocks. Raises a `ParseError` if a block has no end."""
    if "<" not in text:
        return text
    kept, start, opened = [], 0, None
    for tag in _THINKING.finditer(text):
        begins_line = tag["begins_line"] is not None
        if tag["close"] and opened is not None:
            kept.append(text[start:opened])
            start, opened = tag.end(), None
        elif not begins_line:
            continue  # an essay about models may mention <think> in a sentence
        elif tag["close"]:
            # Some chat templates open the block inside the prompt: everything before this tag is thinking.
            kept, start = [], tag.end()
        elif opened is None:
            opened = tag.start()
    if opened is not None:
        raise ParseError("the thinking block never ends: the answer is cut off", text[opened:], end=True)
    return "".join(kept) + text[start:]
