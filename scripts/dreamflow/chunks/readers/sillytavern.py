"""Chats of SillyTavern (JSON Lines): a line about the chat, then a message a line, with the text in `mes`.

The one character of a chat is the assistant; of several each keeps its name. Other swipes of a message are left out.
"""

from collections.abc import Mapping

from ...generation.model import Json
from .account import checked_text
from .blocks import call_text, file_mark, marked, reasoning_text, text_of
from .message import Detail, Message, NotUnderstood, Read, Talk
from .values import first_label, joined, object_in, objects_in, written_time

_LEFT_OUT = frozenset(
    {
        "swipes",
        "swipe_info",
        "variables",
        "title",
        "display_text",
        "bias",
        "negative",
        "prompt",
        "tool_invocations",
        "gen_started",
        "gen_finished",
        "force_avatar",
    }
)


def recognises(value: Json) -> bool:
    """Whether these are lines of a chat."""
    if not isinstance(value, list) or not all(isinstance(line, dict) for line in value):
        return False
    if value and "chat_metadata" in value[0]:
        return True
    return any("mes" in line and ("is_user" in line or "send_date" in line) for line in value[:3])


def read(value: Json, detail: Detail) -> Read:
    """The chat."""
    about = value[0] if "mes" not in value[0] and ("user_name" in value[0] or "chat_metadata" in value[0]) else {}
    start = 1 if about else 0
    characters = {
        first_label(line, "name") for line in value[start:] if not line.get("is_user") and not _is_system(line)
    }
    messages = []
    for place, line in enumerate(value[start:], start):
        try:
            messages.append(_message(line, detail, len(characters) == 1))
        except NotUnderstood as error:
            raise error.within(place) from None
    said = [message for message in messages if message.text]
    if said:
        yield Talk("", first_label(about, "character_name"), said, said[-1].time)


def _is_system(line: Mapping[str, Json]) -> bool:
    return bool(line.get("is_system")) and first_label(line, "name") in ("SillyTavern System", "System", "")


def _message(line: Mapping[str, Json], detail: Detail, is_one: bool) -> Message:
    if not isinstance(line.get("mes"), str):
        raise NotUnderstood("a message without mes; this version of the format is not known")
    name = first_label(line, "name")
    if line.get("is_user"):
        role = "user"
    elif _is_system(line):
        role = "system"
    else:
        role = "assistant" if is_one or not name else name
    extra = object_in(line, "extra")
    text = checked_text(lambda detail: _text(line, extra, detail), line, detail, _LEFT_OUT)
    model = first_label(extra, "model") or None
    return Message(role, text, written_time(line.get("send_date")), None, None if role == "user" else model)


def _text(line: Mapping[str, Json], extra: Mapping[str, Json], detail: Detail) -> str:
    calls = [call_text({**call, "name": first_label(call, "displayName", "name")}, detail)
             for call in objects_in(extra, "tool_invocations")]  # fmt: skip
    files = [extra["file"]] if isinstance(extra.get("file"), dict) else []
    files += [file for file in extra.get("files") or [] if isinstance(file, dict)]
    image = marked("image", first_label(extra, "title") or None) if extra.get("image") else ""
    return joined(
        reasoning_text(text_of(extra.get("reasoning"), detail), detail),
        line["mes"],
        *calls,
        image,
        *map(file_mark, files),
    )
