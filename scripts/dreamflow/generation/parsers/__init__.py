"""Parsers: pure functions from raw text to `Parsed`, or a `ParseError` that quotes the text. This is their interface.

To add a parser, write it in a module here under `@register("name", version=1)` and import that module below. Name and
version are part of the digest of a generation, so with a new version the stored answers are parsed again. Options come
from the template (`scale` [low, high], `schema`) or from the plan row (`entry`, `options`, `viable`, `speculative`).
"""

from collections.abc import Mapping

from ...errors import ConfigError, unknown
from ..model import Json
from . import code, score, structured, text  # noqa: F401  (their parsers)
from .base import PARSERS, Parsed, ParseError, Parser

__all__ = ["PARSERS", "ParseError", "Parsed", "Parser", "check_parser", "parse", "parser_version"]


def check_parser(name: str) -> Parser:
    """The parser called `name`. Raises a `ConfigError` that lists all names."""
    if name not in PARSERS:
        raise ConfigError(unknown("parser", name, PARSERS))
    return PARSERS[name]


def parser_version(name: str) -> str:
    """Name and version, such as "in_last_line/1"."""
    return f"{name}/{check_parser(name).version}"


def parse(name: str, raw: str, options: Mapping[str, Json] | None = None) -> Parsed:
    """Parse the answer `raw` with the parser `name`. Raises `ParseError`."""
    parsed = check_parser(name).function(raw, options or {})
    try:
        parsed.text.encode()
    except UnicodeEncodeError as error:
        # Such text cannot be written to a file, so the answer is unusable.
        raise ParseError("half a surrogate pair, unfit for a file", parsed.text[error.start :]) from None
    return parsed
