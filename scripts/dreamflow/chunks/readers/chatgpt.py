"""Exports of ChatGPT (conversations.json): `mapping` is a tree of messages.

Its owner saw the path to `current_node`."""

from collections.abc import Mapping

from ...generation.model import Json
from .blocks import text_of
from .message import Detail, Message, NotUnderstood, Talk
from .values import label_of, object_in, time_of


def recognises(item: Mapping[str, Json]) -> bool:
    """Whether this is a conversation with a mapping."""
    return "mapping" in item


def read(item: Mapping[str, Json], detail: Detail) -> Talk | None:
    """The messages on the branch that the owner saw last, without hidden ones; None if there are none."""
    messages = _messages(item)
    raw_id = next((label for key in ("conversation_id", "id", "uuid") if (label := label_of(item.get(key)))), "")
    title = label_of(item.get("title")) or ""
    return Talk(raw_id, title, messages, time_of(item.get("update_time"))) if messages else None


def _messages(item: Mapping[str, Json]) -> list[Message]:
    mapping = item.get("mapping")
    if not isinstance(mapping, dict) or not all(isinstance(node, dict) for node in mapping.values()):
        raise NotUnderstood("its mapping is not an object of nodes")
    messages = []
    for name in _path(mapping, item.get("current_node")):
        message = mapping[name].get("message")
        if not isinstance(message, dict) or object_in(message, "metadata").get("is_visually_hidden_from_conversation"):
            continue
        role = label_of(object_in(message, "author").get("role")) or "unknown"
        text = text_of(message.get("content"))
        messages.append(Message(role, text, time_of(message.get("create_time")), label_of(message.get("id"))))
    return messages


def _path(mapping: Mapping[str, Json], current: Json) -> list[str]:
    """The names of the nodes from the root to `current`, or to the newest leaf if `current` does not exist."""
    if not isinstance(current, str) or current not in mapping:
        current = next(reversed([name for name, node in mapping.items() if not node.get("children")]), None)
    path: dict[str, None] = {}
    while isinstance(current, str) and current in mapping:
        if current in path:
            raise NotUnderstood(f"its messages form a cycle at {current[:80]!r}")
        path[current] = None
        current = mapping[current].get("parent")
    return list(reversed(path))
