"""Exports of Claude (conversations.json): `chat_messages`, with artifacts and the text of attachments.

Of an edited question only the branch to `current_leaf_message_uuid` is read. Left out are `text` where `content` has
blocks, which it repeats, summaries of thinking, and what an artifact was before a change.
"""

from collections.abc import Mapping

from ...generation.model import Json
from .account import checked_text
from .blocks import call_text, file_mark, text_of
from .message import Detail, Message, NotUnderstood, Talk
from .messages import on_branch
from .values import first_label, joined, label_of, objects_in, time_of

_LEFT_OUT = (
    "summaries",
    "message",
    "display_content",
    "integration_name",
    "approval_options",
    "prompt_context_metadata",
    "citations",
    "metadata",
    "meta",
    "structured_content",
)
_ARTIFACT = ("content", "file_text", "new_str")  # keys of the arguments of a tool that are words for the user


def recognises(item: Mapping[str, Json]) -> bool:
    """Whether this is a conversation with chat_messages."""
    return "chat_messages" in item


def read(item: Mapping[str, Json], detail: Detail) -> Talk | None:
    """The messages on the branch that the owner saw last; None if there are none."""
    chat_messages = item.get("chat_messages")
    if not isinstance(chat_messages, list) or not all(isinstance(message, dict) for message in chat_messages):
        raise NotUnderstood("its chat_messages is not a list of objects")
    messages = []
    for place in on_branch(chat_messages, item.get("current_leaf_message_uuid")):
        try:
            message = _message(chat_messages[place], detail, first_label(item, "model"))
        except NotUnderstood as error:
            raise error.within("chat_messages", place) from None
        if message.text or (chat_messages[place].get("text") is not None and detail == Detail()):
            messages.append(message)
    title = first_label(item, "title", "name")
    return Talk(first_label(item, "uuid", "id"), title, messages, time_of(item.get("updated_at"))) if messages else None


def _message(message: Mapping[str, Json], detail: Detail, model: str) -> Message:
    if "content" not in message and "text" not in message:
        raise NotUnderstood("neither content nor text; this version of the format is not known")
    role = first_label(message, "sender", "role")
    if not role:
        raise NotUnderstood("no sender; this version of the format is not known")
    repeated = ("text",) if message.get("content") and message.get("text") is not None else ()
    source = {key: value for key, value in message.items() if key not in repeated}
    text = checked_text(lambda detail: _text(message, detail), source, detail, _LEFT_OUT)
    model = first_label(message, "model") or model
    is_user = role in ("human", "user")
    return Message(
        role,
        text,
        time_of(message.get("created_at")),
        label_of(message.get("uuid")),
        None if is_user else model or None,
    )


def _text(message: Mapping[str, Json], detail: Detail) -> str:
    content = message.get("content")
    try:
        if isinstance(content, list):
            said = joined(*(_block(block, detail, place) for place, block in enumerate(content)))
        else:
            said = text_of(content, detail)
    except NotUnderstood as error:
        raise error.within("content") from None
    parts, names = [said or text_of(message.get("text"), detail)], set()
    for attachment in objects_in(message, "attachments"):
        names.add(first_label(attachment, "file_name", "name"))
        parts += [file_mark(attachment), text_of(attachment.get("extracted_content"), detail)]
    for key in ("files", "files_v2", "sync_sources"):
        for attachment in objects_in(message, key):
            name = first_label(attachment, "file_name", "name", "file_uuid", "uuid")
            parts += [f"[file: {name}]"] if name and name not in names else []
            names.add(name)
    return joined(*parts)


def _block(block: Json, detail: Detail, place: int) -> str:
    try:
        if isinstance(block, dict) and block.get("type") == "tool_use" and isinstance(block.get("input"), dict):
            artifact = _artifact(block["input"])
            if artifact:
                return artifact
            return call_text(block, detail)
        return text_of([block], detail) if isinstance(block, dict) else text_of(block, detail)
    except NotUnderstood as error:
        raise error.within(place) from None


def _artifact(given: Mapping[str, Json]) -> str:
    """What the assistant writes for the user with a tool: a document and its title or path."""
    said = joined(*(given[key] for key in _ARTIFACT if isinstance(given.get(key), str)))
    path = first_label(given, "path")
    return joined(first_label(given, "title") or (f"[file: {path}]" if path else ""), said) if said else ""
