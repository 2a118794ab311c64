"""Exports of Open WebUI: `chat.history.messages` is a tree of messages, seen last at `currentId`."""

import re
from collections.abc import Mapping

from ...generation.model import Json
from .account import ARGUMENTS, account_for
from .blocks import file_mark, marked, text_of
from .chatgpt import first_text
from .message import Detail, Message, NotUnderstood, Talk
from .messages import message_of, messages_in, talk_of
from .values import first_label, joined, object_in, objects_in, time_of

# Suggestions, sources of answers, and what the page shows while it works.
_LEFT_OUT = frozenset(
    {"followUps", "statusHistory", "sources", "citations", "info", "files", "annotation", "embeds", "code_executions",
     "childrenIds", "merged", "userContext", "lastSentence", "arena"}
)  # fmt: skip
_DETAILS = re.compile(r"<details(?P<about>[^>]*)>.*?</details>\s*", re.S)


def recognises(item: Mapping[str, Json]) -> bool:
    """Whether this is a chat with a history of messages."""
    chat = object_in(item, "chat") or item
    return isinstance(object_in(chat, "history").get("messages"), dict) or (
        "chat" in item and isinstance(chat.get("messages"), list)
    )


def read(item: Mapping[str, Json], detail: Detail) -> Talk | None:
    """The messages on the branch that was seen last; None if there are none."""
    chat = object_in(item, "chat") or item
    history = object_in(chat, "history")
    named = history.get("messages")
    if isinstance(named, dict):
        for name, message in named.items():
            if not isinstance(message, dict):
                raise NotUnderstood("a message that is not an object", ("history", "messages", name))
        messages = [{"id": name, **message} for name, message in named.items()]
        key: tuple[str | int, ...] = (*(("chat",) if "chat" in item else ()), "history", "messages")
    else:
        messages, key = messages_in(chat, "messages"), ("chat", "messages")
    about = {**chat, **{name: value for name, value in item.items() if value is not None}}
    about.pop("model", None)
    try:
        talk = talk_of({}, messages, key, detail, about=about, current=history.get("currentId"), read_one=_message)
    except NotUnderstood as error:
        if isinstance(named, dict) and len(error.key) > len(key) and isinstance(error.key[len(key)], int):
            name = str(messages[error.key[len(key)]]["id"])
            raise NotUnderstood(error.message, (*key, name, *error.key[len(key) + 1 :])) from None
        raise
    return talk


def _message(message: Mapping[str, Json], detail: Detail) -> Message:
    failed = first_text(object_in(message, "error"), "content") or first_text(message, "error")
    files = joined(*map(_file, objects_in(message, "files")))
    known = {name: value for name, value in message.items() if name not in (*_LEFT_OUT, "error", "output")}
    output = message.get("output")
    said = message_of({**known, "content": text_of(output, detail)}, detail) if isinstance(output, list) else None
    if said is None or not said.text or not _holds(text_of(output, Detail("full")), known.get("content")):
        said = message_of(
            {**known, "content": _shown(known.get("content"), detail)} if "content" in known else known, detail
        )
    model = said.model or first_label(message, "modelName") or None
    text = joined(said.text, failed if failed not in said.text else "", files)
    return said._replace(text=text, time=time_of(message.get("timestamp")), model=model)


def _file(file: Mapping[str, Json]) -> str:
    name = first_label(file, "name") or first_label(object_in(file, "file"), "filename", "name")
    return marked("image", name) if first_label(file, "type").startswith("image") else file_mark(name or file.get("id"))


def _holds(text: str, content: Json) -> bool:
    """Whether a text has all words of a message without what its model did besides answering."""
    try:
        account_for({"content": _DETAILS.sub("", content) if isinstance(content, str) else content}, text, ARGUMENTS)
    except NotUnderstood:
        return False
    return True


def _shown(content: Json, detail: Detail) -> Json:
    """A message's text; without reasoning and tools, if only their names or nothing of them is read."""
    if not isinstance(content, str):
        return content

    def kept(match: re.Match) -> str:
        wanted = detail.reasoning if 'type="reasoning"' in match["about"] else "full"
        wanted = detail.tools if 'type="tool_calls"' in match["about"] and detail.tools == "none" else wanted
        return match[0] if wanted == "full" else "[reasoning]\n" if wanted == "name" else ""

    return _DETAILS.sub(kept, content)
