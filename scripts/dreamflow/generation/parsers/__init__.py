"""Parsers: raw text in, `Parsed` out, or one `ParseError` that quotes where it looked. This is their door.

A parser is a pure function. To add one, write it in a module here under `@register("name", version=1)` and
import that module below. Name and version are part of what decides a rerun, so raising the version of a
parser reads the stored answers again. Options come from the template: `scale` [low, high], `schema`;
or from the plan row: `entry`, `options`, `viable`, `speculative`.
"""

from collections.abc import Mapping
from typing import Any

from ...errors import ConfigError, unknown
from . import code, score, structured, text  # noqa: F401  (their parsers)
from .base import PARSERS, Parsed, ParseError, Parser

__all__ = ["PARSERS", "ParseError", "Parsed", "Parser", "check_parser", "parse", "parser_version"]


def check_parser(name: str) -> Parser:
    """The parser called `name`, or a `ConfigError` that lists those there are; for plan time."""
    if name not in PARSERS:
        raise ConfigError(unknown("parser", name, PARSERS))
    return PARSERS[name]


def parser_version(name: str) -> str:
    """Name and version, such as "in_last_line/1"."""
    return f"{name}/{check_parser(name).version}"


def parse(name: str, raw: str, options: Mapping[str, Any] | None = None) -> Parsed:
    """What the parser `name` makes of the answer `raw`."""
    parsed = check_parser(name).function(raw, options or {})
    try:
        parsed.text.encode()
    except UnicodeEncodeError as error:
        # Half a character: such text cannot be written to a file, so it must fail here, as an answer.
        raise ParseError("half a surrogate pair, unfit for a file", parsed.text[error.start :]) from None
    return parsed
