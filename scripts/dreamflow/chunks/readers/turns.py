"""Turns {"role": ..., "content": ..., "time": ..., "id": ...}: a JSON list of them, or JSON Lines; one conversation.

Lists of messages that call these otherwise ({"from", "value"}, {"sender", "text"}) are read too.
"""

from ...generation.model import Json
from .message import Detail, Message, NotUnderstood, Read, Talk
from .messages import is_message, message_of


def recognises(value: Json) -> bool:
    """Whether this is a list of turns."""
    if not isinstance(value, list) or not value or not isinstance(value[0], dict):
        return False
    return "role" in value[0] or (is_message(value[0]) and all(map(is_message, value)))


def read(value: Json, detail: Detail) -> Read:
    """The conversation."""
    yield Talk("", "", [_turn(item, number, detail) for number, item in enumerate(value)])


def _turn(value: Json, number: int, detail: Detail) -> Message:
    is_turn = isinstance(value, dict) and isinstance(value.get("role", ""), str)
    if not is_turn or not ("content" in value if "role" in value else is_message(value)):
        raise NotUnderstood('a turn must be an object such as {"role": "user", "content": "…"}', (number,))
    try:
        return message_of(value, detail, value.get("role"))
    except NotUnderstood as error:
        raise error.within(number) from None
