"""Errors with messages for the user: what is wrong, where, and what to do."""

import json
import re
from collections.abc import Iterable
from difflib import get_close_matches
from pathlib import PurePath

# The path of a value in a configuration file: keys, positions in lists, and the file that a list is included from.
Key = tuple[str | int | PurePath, ...]


class DreamflowError(Exception):
    """A failure whose message is written for the user."""


class ConfigError(DreamflowError):
    """An error in a configuration, spec or catalog; raised before anything is spent.

    `key` is the path of the wrong value in its file. `placed`: the message already has the file and line.
    """

    def __init__(self, message: str, key: Key = (), *, placed: bool = False) -> None:
        super().__init__(f"{dotted(key)}: {message}" if key else message)
        self.message, self.key, self.placed = message, key, placed


def dotted(key: Key) -> str:
    """A key as text, such as `axes.draft_llm[0]` or `axes.level (levels.csv)[3]`."""
    text = ""
    for part in key:
        if isinstance(part, PurePath):
            text += f" ({part})"
        elif isinstance(part, int):
            text += f"[{part}]"
        else:
            is_plain = re.fullmatch(r"[\w.*-]+", str(part))
            shown = str(part) if is_plain else json.dumps(part, ensure_ascii=False, default=str)
            text += f".{shown}" if text else shown
    return text


def did_you_mean(name: object, known: Iterable[str]) -> str:
    """`did you mean 'x'?` if a known name is similar to `name`, else ""."""
    close = get_close_matches(str(name), list(known), n=1)
    return f"did you mean {close[0]!r}?" if close else ""


def joined(*parts: str) -> str:
    """The non-empty parts of a message, separated by semicolons."""
    return "; ".join(part for part in parts if part).replace("?; ", "? ")


def unknown(kind: str, name: object, known: Iterable[str]) -> str:
    """The message about an unknown name, with a similar name and at most 20 of the known names."""
    names = sorted(known)
    more = f", ... ({len(names)} in all)" if len(names) > 20 else ""
    listed = ", ".join(names[:20]) + more if names else "none"
    return joined(f"unknown {kind} {name!r}", did_you_mean(name, names), f"known: {listed}")
