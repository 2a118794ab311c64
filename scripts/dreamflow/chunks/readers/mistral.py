"""Exports of Le Chat by Mistral: for each chat a list of messages, in no order, with `chatId` and `contentChunks`.

Of several versions of a message the last is read. Left out are references and ratings.
"""

from collections.abc import Mapping

from ...generation.model import Json
from .account import checked_text
from .blocks import call_text, file_mark, plain_text, text_of
from .message import Detail, Message, NotUnderstood, Read, Talk
from .messages import on_branch
from .values import first_label, joined, label_of, objects_in, seconds_of, time_of

_LEFT_OUT = frozenset(
    {"reactionDetail", "reactionComment", "preference", "preferenceOver", "context", "publicArguments"}
)


def recognises(value: Json) -> bool:
    """Whether this is a list of messages with the id of their chat."""
    if not isinstance(value, list) or not value or not all(isinstance(item, dict) for item in value):
        return False
    return all("chatId" in item and ("contentChunks" in item or "content" in item) for item in value)


def read(value: Json, detail: Detail) -> Read:
    """The conversation of each chat in the list."""
    chats: dict[str, list[Mapping[str, Json]]] = {}
    for message in value:
        chats.setdefault(first_label(message, "chatId"), []).append(message)
    for chat, messages in chats.items():
        last: dict[str, Mapping[str, Json]] = {}
        for place, message in enumerate(messages):
            name = first_label(message, "id") or f"#{place}"
            if name not in last or (message.get("version") or 0) >= (last[name].get("version") or 0):
                last[name] = message
        ordered = sorted(last.values(), key=lambda message: seconds_of(message.get("createdAt")) or 0)
        said = []
        try:
            for place in on_branch(ordered):
                said.append(_message(ordered[place], detail))
        except NotUnderstood as error:
            yield error.within(value.index(ordered[place]))
            continue
        said = [message for message in said if message.text]
        if said:
            title = first_label(messages[0], "chatTitle", "title") or _title(ordered)
            yield Talk(chat, title, said, said[-1].time)


def _title(messages: list[Mapping[str, Json]]) -> str:
    """The first words of a chat, which has no title."""
    first = next((said for message in messages if (said := first_label(message, "content"))), "")
    return first if len(first) <= 60 else first[:60].rpartition(" ")[0] + " …"


def _message(message: Mapping[str, Json], detail: Detail) -> Message:
    role = first_label(message, "role")
    if not role or not ("content" in message or isinstance(message.get("contentChunks"), list)):
        raise NotUnderstood(f"no {'content' if role else 'role'}; this version of the format is not known")
    source = message if not message.get("contentChunks") else {**message, "content": ""}
    text = checked_text(lambda detail: _text(message, detail), source, detail, _LEFT_OUT)
    model = None if role == "user" else first_label(message, "model") or None
    return Message(role, text, time_of(message.get("createdAt")), label_of(message.get("id")), model)


def _text(message: Mapping[str, Json], detail: Detail) -> str:
    chunks = message.get("contentChunks") or []
    parts: list[str] = [""]
    for place, chunk in enumerate(chunks if isinstance(chunks, list) else []):
        kind = first_label(chunk, "type") if isinstance(chunk, dict) else "text"
        try:
            text = _chunk(chunk, kind, detail)
        except NotUnderstood as error:
            raise error.within("contentChunks", place) from None
        if kind in ("text", "reference"):  # a text goes on after a reference
            parts[-1] += text
        else:
            parts += [text, ""]
    said = joined(*parts)
    if not said:
        said = text_of(message.get("content"), detail)
    canvas = [
        joined(first_label(sheet, "title"), plain_text(sheet.get("content"))) for sheet in objects_in(message, "canvas")
    ]
    quotes = [plain_text(quote) for quote in objects_in(message, "quotes")]
    return joined(said, *canvas, *quotes, *map(file_mark, objects_in(message, "files")))


def _chunk(chunk: Json, kind: str, detail: Detail) -> str:
    if kind == "reference":
        return ""
    if kind == "tool_call":
        call = {**chunk, "arguments": chunk.get("publicArguments"), "result": None}
        return joined(call_text(call, detail), "" if detail.tools == "none" else plain_text(chunk.get("publicResult")))
    return text_of([chunk], detail)
