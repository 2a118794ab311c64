"""Exports of ChatGPT (conversations.json): `mapping` is a tree of messages.

Its owner saw the path to `current_node`. Left out are hidden messages, and the metadata of messages (such as search
results and citations) except the names of attachments.
"""

import json
from collections.abc import Mapping

from ...generation.model import Json
from .account import checked_text
from .blocks import marked, reasoning_text, result_text, text_of
from .message import Detail, Message, NotUnderstood, Talk
from .tree import branch
from .values import first_label, joined, label_of, object_in, objects_in, time_of

_LEFT_OUT = (
    "metadata",
    "author",
    "assets",
    "context_connectors",
    "chunks",
    "domain",
    "response_format_name",
    "channel",
)
_CONTEXT = ("user_profile", "user_instructions", "model_set_context", "repo_summary", "structured_context")


def recognises(item: Mapping[str, Json]) -> bool:
    """Whether this is a conversation with a mapping."""
    return "mapping" in item


def read(item: Mapping[str, Json], detail: Detail) -> Talk | None:
    """The messages on the branch that the owner saw last, without hidden ones; None if there are none."""
    messages = []
    for name, message in nodes_on_branch(item):
        if object_in(message, "metadata").get("is_visually_hidden_from_conversation"):
            continue
        try:
            read_one = _message(message, detail)
        except NotUnderstood as error:
            raise error.within("mapping", name, "message") from None
        messages += [read_one] if read_one else []
    raw_id = first_label(item, "conversation_id", "id", "uuid")
    return Talk(raw_id, first_label(item, "title"), messages, time_of(item.get("update_time"))) if messages else None


def nodes_on_branch(item: Mapping[str, Json]) -> list[tuple[str, Mapping[str, Json]]]:
    """The messages on the branch that was seen last, with the names of their nodes. Raises a `NotUnderstood`."""
    mapping = item.get("mapping")
    if not isinstance(mapping, dict) or not all(isinstance(node, dict) for node in mapping.values()):
        raise NotUnderstood("its mapping is not an object of nodes")
    children = {name: node["children"] for name, node in mapping.items() if isinstance(node.get("children"), list)}
    by_children = {child: name for name, names in children.items() for child in names if isinstance(child, str)}
    parents = {name: node["parent"] if "parent" in node else by_children.get(name) for name, node in mapping.items()}
    times = {
        name: object_in(node, "message").get("create_time") or object_in(node, "message").get("inserted_at")
        for name, node in mapping.items()
    }
    path = branch(parents, times, item.get("current_node"))
    messages = [(name, mapping[name]["message"]) for name in path if mapping[name].get("message")]
    for name, message in messages:
        if not isinstance(message, dict):
            raise NotUnderstood("not an object; this version of the format is not known", ("mapping", name, "message"))
    return messages


def _message(message: Mapping[str, Json], detail: Detail) -> Message | None:
    role = first_label(object_in(message, "author"), "role")
    if not role:
        raise NotUnderstood("no author.role; this version of the format is not known")
    if "content" not in message:
        raise NotUnderstood("no content; this version of the format is not known")
    canvas = _canvas(message)
    source = {**message, "content": canvas} if canvas else message
    text = checked_text(lambda detail: _text(message, role, canvas, detail), source, detail, _LEFT_OUT)
    if not text and (message["content"] is None or detail != Detail()):
        return None
    about = object_in(message, "metadata")
    model = None if role == "user" else first_label(about, "model_slug") or None
    return Message(role, text, time_of(message.get("create_time")), label_of(message.get("id")), model)


def _text(message: Mapping[str, Json], role: str, canvas: Mapping[str, Json] | None, detail: Detail) -> str:
    about, content = object_in(message, "metadata"), message["content"]
    recipient = first_label(message, "recipient")
    names = {}
    for attachment in objects_in(about, "attachments"):
        names[first_label(attachment, "id") or str(len(names))] = first_label(attachment, "name", "file_name")
    try:
        text = _content(content, names, detail)
    except NotUnderstood as error:
        raise error.within("content") from None
    if canvas:
        text = _canvas_text(canvas)
    elif role == "tool" or (recipient and recipient != "all"):
        text = result_text(text, detail)
    return joined(text, *(f"[file: {name}]" for name in names.values() if name and f": {name}]" not in text))


def _content(content: Json, names: Mapping[str, str], detail: Detail) -> str:
    if not isinstance(content, dict):
        return text_of(content, detail)
    kind = first_label(content, "content_type")
    if kind in ("user_editable_context", "model_editable_context"):
        return joined(*(text_of(content.get(key), detail) for key in _CONTEXT)) or f"[{kind}]"
    if kind in ("tether_quote", "sonic_webpage", "tether_browsing_display"):
        title, url = first_label(content, "title"), first_label(content, "url")
        where = f"{title} ({url})" if title and url else title or url
        return joined(where, *(text_of(content.get(key), detail) for key in ("text", "snippet", "result", "summary")))
    if kind == "thoughts":
        return reasoning_text(joined(*map(_thought, objects_in(content, "thoughts"))), detail)
    if kind == "reasoning_recap":
        return reasoning_text(text_of(content.get("content"), detail), detail)
    if kind == "computer_output":
        return joined("[image]", *(text_of(object_in(content, "state").get(key), detail) for key in ("title", "url")))
    if isinstance(content.get("parts"), list):
        return joined(*(_part(part, names, detail) for part in content["parts"]))
    return text_of(content, detail)


def _part(part: Json, names: Mapping[str, str], detail: Detail) -> str:
    if not isinstance(part, dict):
        return text_of(part, detail)
    prompt = first_label(object_in(object_in(part, "metadata"), "dalle"), "prompt")
    place = first_label(part, "asset_pointer")
    if place and "image" in first_label(part, "content_type"):
        return marked("image", names.get(place.rpartition("/")[2]) or prompt)
    return text_of(part, detail)


def _thought(thought: Mapping[str, Json]) -> str:
    chunks = thought.get("chunks")
    said = first_text(thought, "content") or joined(*(chunk for chunk in chunks or [] if isinstance(chunk, str)))
    return joined(first_text(thought, "summary"), said)


def first_text(value: Mapping[str, Json], *keys: str) -> str:
    """The first text that is not empty at one of the keys, unchanged; else ""."""
    return next((value[key] for key in keys if isinstance(value.get(key), str) and value[key]), "")


def _canvas(message: Mapping[str, Json]) -> Mapping[str, Json] | None:
    """The JSON in a message that writes, changes or comments a canvas; None if it is no such message."""
    content = object_in(message, "content")
    text = content.get("text") if isinstance(content.get("text"), str) else None
    if (
        text is None
        and isinstance(content.get("parts"), list)
        and all(isinstance(part, str) for part in content["parts"])
    ):
        text = "".join(content["parts"])
    if text is None or not first_label(message, "recipient").startswith("canmore"):
        return None
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) and _canvas_text(value) else None


def _canvas_text(canvas: Mapping[str, Json]) -> str:
    changes = [first_text(change, "replacement") for change in objects_in(canvas, "updates")]
    comments = [first_text(comment, "comment") for comment in objects_in(canvas, "comments")]
    return joined(first_label(canvas, "name"), first_text(canvas, "content"), *changes, *comments)
