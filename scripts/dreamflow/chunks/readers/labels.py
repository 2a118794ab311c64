"""Text and Markdown with labels of speakers, and all other text, which is one turn."""

import re

from ..labels import label_turns
from .message import Detail, Marked, Read


def recognises(text: str) -> bool:
    """Any text."""
    return True


def read(text: str, detail: Detail) -> Read:
    """The text with its turns; its title is a heading before the first speaker."""
    turns = label_turns(text)
    heading = re.search(r"^\ufeff?# +(.+)$", text[: turns[0].end] if turns[0].role == "text" else "", re.M)
    yield Marked(turns, heading[1] if heading else "")
