"""Exports of LibreChat: a list of messages that name their parents, or a tree of messages with `children`.

LibreChat does not say which branch was seen last: the newest is read.
"""

from collections.abc import Iterator, Mapping

from ...generation.model import Json
from .message import Detail, NotUnderstood, Talk
from .messages import message_of, messages_in, talk_of
from .values import first_label, objects_in

_LISTS = ("messagesTree", "messages")


def recognises(item: Mapping[str, Json]) -> bool:
    """Whether this is a conversation whose messages say who created them."""
    messages = [message for key in _LISTS for message in objects_in(item, key)]
    return bool(messages) and any("isCreatedByUser" in message or "messageId" in message for message in messages)


def read(item: Mapping[str, Json], detail: Detail) -> Talk | None:
    """The messages on the newest branch; None if there are none."""
    key = next(key for key in _LISTS if objects_in(item, key))
    messages = list(_flat(messages_in(item, key)))
    about = {"model": None, **item}
    talk = talk_of({}, messages, (key,), detail, about=about, read_one=message_of)
    return talk


def _flat(messages: list[Mapping[str, Json]], parent: str | None = None) -> Iterator[Mapping[str, Json]]:
    """The messages of a tree; in a tree they need not name their parents."""
    waiting = [(message, parent) for message in reversed(messages)]
    while waiting:
        message, parent = waiting.pop()
        named = {"parentMessageId": parent or message.get("parentMessageId")}
        name = first_label(message, "messageId", "id")
        if not name and objects_in(message, "children"):
            raise NotUnderstood("a message with children but without a messageId")
        yield {**message, **named, "children": None}
        waiting += [(child, name) for child in reversed(objects_in(message, "children"))]
