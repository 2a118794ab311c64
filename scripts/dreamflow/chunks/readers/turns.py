"""Turns {"role": ..., "content": ..., "time": ..., "id": ...}: a JSON list of them, or JSON Lines; one conversation."""

from ...generation.model import Json
from .blocks import text_of
from .message import Detail, Message, NotUnderstood, Read, Talk
from .values import label_of, time_of


def recognises(value: Json) -> bool:
    """Whether this is a list of turns."""
    return isinstance(value, list) and bool(value) and isinstance(value[0], dict) and "role" in value[0]


def read(value: Json, detail: Detail) -> Read:
    """The conversation."""
    yield Talk("", "", [_turn(item, number) for number, item in enumerate(value)])


def _turn(value: Json, number: int) -> Message:
    if not isinstance(value, dict) or not isinstance(value.get("role"), str) or "content" not in value:
        raise NotUnderstood('a turn must be an object such as {"role": "user", "content": "…"}', (number,))
    try:
        return Message(value["role"], text_of(value["content"]), time_of(value.get("time")), label_of(value.get("id")))
    except NotUnderstood as error:
        raise error.within(number) from None
