"""Exports of Slack: a folder for each channel with a file for each day, a list of messages; users.json has the names.

A channel is one conversation. Answers in a thread follow the message that began it.
"""

import re
from collections.abc import Mapping, Sequence
from html import unescape

from ...generation.model import Json
from .account import account_for
from .blocks import file_mark
from .message import Detail, Message, NotUnderstood, Read, Talk
from .values import first_label, joined, label_of, object_in, objects_in, seconds_of, time_of

_MENTION = re.compile(r"<([@#!]?)([^<>|]*)(?:\|([^<>]*))?>")
# Blocks and attachments are written in other ways beside `text`; profiles are names.
_LEFT_OUT = frozenset(
    {"user_profile", "bot_profile", "profile", "icons", "reactions", "replies", "reply_users", "edited", "room",
     "files", "attachments", "blocks", "root", "topic", "purpose", "channel", "team", "source_team",
     "user_team", "fallback", "metadata"}
)  # fmt: skip


def recognises(value: Json) -> bool:
    """Whether this is the list of a channel's messages."""
    if not isinstance(value, list) or not value or not all(isinstance(item, dict) for item in value):
        return False
    return all(item.get("type") == "message" and "ts" in item for item in value)


def read(value: Json, detail: Detail) -> Read:
    """The messages of one file, with the names that are in the messages themselves."""
    yield channel("", value, names_of([]))


def names_of(users: Json) -> dict[str, str]:
    """The names of users by their ids, from users.json."""
    names = {}
    for user in users if isinstance(users, list) else []:
        if isinstance(user, dict):
            profile = object_in(user, "profile")
            name = first_label(profile, "display_name", "real_name") or first_label(user, "real_name", "name")
            names[first_label(user, "id")] = name
    return names


def channel(name: str, messages: Sequence[Mapping[str, Json]], names: Mapping[str, str]) -> Talk:
    """The conversation of a channel from the messages of all its days. Raises a `NotUnderstood`."""
    known = dict(names)
    for message in messages:
        profile = object_in(message, "user_profile")
        if said := first_label(profile, "display_name", "real_name", "name"):
            known.setdefault(first_label(message, "user"), said)
    placed = sorted(enumerate(messages), key=lambda item: _order(item[1]))
    read_messages = []
    for place, message in placed:
        try:
            read_messages.append(_message(message, known))
        except NotUnderstood as error:
            raise error.within(place) from None
    said = [message for message in read_messages if message.text]
    last = max((seconds_of(message.get("ts")) or 0 for message in messages), default=None)
    return Talk(name, f"#{name}" if name else "", said, time_of(last))


def _order(message: Mapping[str, Json]) -> tuple[float, float]:
    own = seconds_of(message.get("ts")) or 0
    return (seconds_of(message.get("thread_ts")) or own, own)


def _message(message: Mapping[str, Json], names: Mapping[str, str]) -> Message:
    if "text" not in message and not any(message.get(key) for key in ("blocks", "attachments", "files", "subtype")):
        raise NotUnderstood("a message without text; this version of the format is not known")
    user = first_label(message, "user", "bot_id")
    bot = first_label(message, "username") or first_label(object_in(message, "bot_profile"), "name")
    speaker = names.get(user) or bot or user or first_label(message, "subtype")
    if not speaker:
        raise NotUnderstood("a message without a user; this version of the format is not known")
    text = _shown(message.get("text"), names)
    if not text:
        text = _shown(_blocks(message.get("blocks"), names), names)
    quoted = [_quote(part, names) for part in objects_in(message, "attachments")]
    files = list(map(file_mark, objects_in(message, "files")))
    comment = _shown(object_in(message, "comment").get("comment"), names)
    whole = joined(text, *(quote for quote in quoted if quote not in text), *files, comment)
    rest = {key: value for key, value in message.items() if key not in ("text", "comment")}
    account_for(rest, whole, _LEFT_OUT)
    account_for({"blocks": _blocks(message.get("blocks"), names)}, joined(whole, label_of(message.get("text"))))
    return Message(speaker, whole, time_of(message.get("ts")), first_label(message, "client_msg_id", "ts") or None)


def _quote(part: Mapping[str, Json], names: Mapping[str, str]) -> str:
    """What an attachment shows, such as the beginning of a linked page or what a bot reports."""
    title, link = first_label(part, "title"), first_label(part, "title_link")
    fields = [_shown(joined(first_label(field, "title"), first_label(field, "value")), names)
              for field in objects_in(part, "fields")]  # fmt: skip
    texts = [_shown(part.get("pretext"), names), f"{title} ({link})" if title and link else title or link]
    texts += [_shown(part.get("text"), names), *fields]
    return joined(*texts) or _shown(part.get("fallback"), names)


def _shown(text: Json, names: Mapping[str, str]) -> str:
    """The text of a message with names for mentions and without escapes."""
    if not isinstance(text, str):
        return ""

    def shown(match: re.Match) -> str:
        mark, what, label = match.groups()
        if mark == "@":
            return f"@{names.get(what) or label or what}"
        if mark == "#":
            return f"#{label or what}"
        if mark == "!":
            return f"@{label or what.partition('^')[0]}"
        return f"{label} ({what})" if label and label != what else what

    return unescape(_MENTION.sub(shown, text))


def _blocks(value: Json, names: Mapping[str, str]) -> str:
    """The text in blocks, in their order."""
    if isinstance(value, list):
        return "".join(_blocks(item, names) for item in value)
    if not isinstance(value, dict):
        return ""
    kind = value.get("type")
    if kind == "user":
        return f"@{names.get(first_label(value, 'user_id')) or first_label(value, 'user_id')}"
    if isinstance(value.get("text"), str):
        return value["text"]
    inner = "".join(_blocks(item, names) for item in value.values() if isinstance(item, list | dict))
    return (
        f"{inner}\n" if kind in ("rich_text_section", "section", "rich_text_preformatted", "rich_text_quote") else inner
    )
