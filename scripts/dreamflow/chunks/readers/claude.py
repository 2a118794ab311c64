"""Exports of Claude (conversations.json): `chat_messages`, with the text of their attachments."""

from collections.abc import Mapping

from ...generation.model import Json
from .blocks import text_of
from .message import Detail, Message, NotUnderstood, Talk
from .values import label_of, time_of


def recognises(item: Mapping[str, Json]) -> bool:
    """Whether this is a conversation with chat_messages."""
    return "chat_messages" in item


def read(item: Mapping[str, Json], detail: Detail) -> Talk | None:
    """The messages; None if there are none."""
    chat_messages = item.get("chat_messages")
    if not isinstance(chat_messages, list) or not all(isinstance(message, dict) for message in chat_messages):
        raise NotUnderstood("its chat_messages is not a list of objects")
    messages = []
    for message in chat_messages:
        parts = [text_of(message.get("content")) or text_of(message.get("text"))]
        for attachment in message.get("attachments") or []:
            if isinstance(attachment, dict):
                parts.append(f"[file: {label_of(attachment.get('file_name')) or 'unnamed'}]")
                parts.append(text_of(attachment.get("extracted_content")))
        role, text = label_of(message.get("sender")) or "unknown", "\n".join(filter(None, parts))
        messages.append(Message(role, text, time_of(message.get("created_at")), label_of(message.get("uuid"))))
    title = label_of(item.get("title")) or label_of(item.get("name")) or ""
    return (
        Talk(label_of(item.get("uuid")) or "", title, messages, time_of(item.get("updated_at"))) if messages else None
    )
