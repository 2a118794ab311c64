"""Exports of the web page of llama.cpp: `conv` and its `messages`, a tree seen last at `currNode`."""

from collections.abc import Mapping

from ...generation.model import Json
from .message import Detail, Talk
from .messages import messages_in, talk_of
from .values import object_in


def recognises(item: Mapping[str, Json]) -> bool:
    """Whether this is a conversation with a current node."""
    return "messages" in item and ("currNode" in object_in(item, "conv") or "currNode" in item)


def read(item: Mapping[str, Json], detail: Detail) -> Talk | None:
    """The messages on the branch that was seen last; None if there are none."""
    about = object_in(item, "conv") or item
    messages = messages_in(item, "messages")
    return talk_of({}, messages, ("messages",), detail, about=about, current=about.get("currNode"))
