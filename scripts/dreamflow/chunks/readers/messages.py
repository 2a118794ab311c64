"""Conversations with a list of messages: OpenAI's {"messages": [...]}, ShareGPT's {"conversations": [...]}, and others
of this shape, such as chats of ChatWise, Chatbot UI and the APIs.

A message has a role (`role`, `from`, `sender`, `author` or the like) and a body (`content`, `text`, `value` or the
like). If messages name their parents, the branch that was seen last is read.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise

from ...generation.model import Json
from ..labels import ROLES
from .account import account_for, checked_text
from .blocks import call_text, files_text, reasoning_text, result_text, text_of
from .message import Detail, Message, NotUnderstood, Talk
from .tree import branch
from .values import first_label, joined, list_in, object_in, objects_in, seconds_of, time_of

_LISTS = (
    "messages", "conversations", "conversation", "history", "turns", "dialogue", "dialog", "transcript", "chat",
    "items",
)  # fmt: skip
_BODIES = ("content", "text", "value", "message", "body", "parts", "mes", "utterance", "say", "content_list")
_ROLES = ("role", "from", "sender", "author", "speaker", "sender_name")
_REASONING = ("reasoning_content", "reasoningContent", "reasoning", "thinking", "thinking_trace", "thinkingTrace")
_CALLS = ("tool_calls", "toolCalls", "toolInvocations")
_FILES = ("files", "attachments", "experimental_attachments", "extra", "file_attachments", "images")
_MORE = frozenset({*_BODIES[1:], *_REASONING, *_CALLS, *_FILES, "refusal", "function_call", "audio"})
_TIMES = (
    "time", "timestamp", "created_at", "createdAt", "create_time", "created", "date", "inserted_at", "send_date", "ts",
    "timestamp_ms",
)  # fmt: skip
_IDS = ("id", "uuid", "message_id", "messageId", "_id", "response_id")
_PARENTS = (
    "parent_id", "parentId", "parent_message_uuid", "parentMessageId", "parent", "parent_response_id", "parentUuid",
)  # fmt: skip
_MODELS = ("model", "model_slug", "modelName", "model_name")
_TALK_IDS = ("conversation_id", "conversationId", "id", "uuid", "_id", "chat_id", "chatId", "session_id", "custom_id")
_TITLES = ("title", "name", "subject", "topic")
_INSIDE = ("request", "body", "conversation", "chat", "data")
_ABOUT = ("metadata", "channel", "thread", "session")
_UPDATES = ("updated_at", "updatedAt", "update_time", "modify_time", "modified", "lastModified", "last_modified")
_IS_USER = ("isCreatedByUser", "is_user", "isUser", "fromUser", "from_me")
_OF_TALK = frozenset(
    {"summary", "prompt", "system_prompt", "systemPrompt", "instructions", "system", "output", "tools"}
)
# Of one message: other answers, suggestions and what a site shows around a message.
_LEFT_OUT = frozenset(
    {"swipes", "swipe_info", "followUps", "suggestions", "annotations", "citations", "sources", "tools", "metadata",
     "children", "childrenIds", "codeInterpreter", "embeds", "reference", "mentions", "stickers", "web_search",
     "file_search"}
)  # fmt: skip


def recognises(item: Mapping[str, Json]) -> bool:
    """Whether this is an object with a list of messages, maybe in a request."""
    return _list_in(item) is not None or any(_list_in(object_in(item, key)) for key in _INSIDE)


def read(item: Mapping[str, Json], detail: Detail) -> Talk | None:
    """The messages; None if there are none."""
    key = _list_in(item)
    if not key:
        outer = next(key for key in _INSIDE if _list_in(object_in(item, key)))
        about = {**item[outer], **{name: item[name] for name in (*_TALK_IDS, *_TITLES, *_UPDATES) if name in item}}
        rest = {name: value for name, value in item.items() if name != outer}
        answers = _choices(rest) or _choices(object_in(rest, "response"))
        account_for({} if answers else rest, "", _OF_TALK, known=True)
        return read({**about, "choices": answers} if answers else about, detail)
    said = messages_in(item, key) + [object_in(choice, "message") for choice in _choices(item)[:1]]
    rest = {name: value for name, value in item.items() if name != "choices"}
    talk = talk_of(rest, said, (key,), detail)
    system = text_of(item.get("system"), detail) if isinstance(item.get("system"), str | list) else ""
    if talk and system:
        return talk._replace(messages=[Message("system", system), *talk.messages])
    return talk


def messages_in(item: Mapping[str, Json], key: str) -> list[Mapping[str, Json]]:
    """The messages in the list at a key. Raises a `NotUnderstood` about one that is not an object."""
    for place, message in enumerate(list_in(item, key)):
        if not isinstance(message, dict):
            raise NotUnderstood("a message that is not an object", (key, place))
    return list_in(item, key)


def is_message(value: Json) -> bool:
    """Whether a value has the shape of a message."""
    return isinstance(value, dict) and bool(role_of(value)) and any(key in value for key in (*_BODIES, *_CALLS))


def _choices(item: Mapping[str, Json]) -> list[Mapping[str, Json]]:
    """The answers to a request that was logged with them."""
    return [choice for choice in objects_in(item, "choices") if isinstance(choice.get("message"), dict)]


def _list_in(item: Mapping[str, Json]) -> str | None:
    """The key of the list of messages."""
    for key in _LISTS:
        value = item.get(key)
        if isinstance(value, list) and value and any(map(is_message, value[:5])):
            return key
    return None


def talk_of(
    item: Mapping[str, Json],
    messages: Sequence[Mapping[str, Json]],
    key: tuple[str | int, ...],
    detail: Detail,
    *,
    about: Mapping[str, Json] | None = None,
    current: Json = None,
    read_one: Callable[[Mapping[str, Json], Detail], Message] | None = None,
) -> Talk | None:
    """The conversation of an item with these messages at `key`: on the branch to `current`, or the newest.

    `about` is the object with id, title and times, `read_one` reads one message. Messages in which nothing is said are
    left out; None if all are.
    """
    about = item if about is None else about
    read_messages = []
    for place in on_branch(messages, current):
        if not read_one and not role_of(messages[place]) and not any(map(messages[place].get, _BODIES)):
            continue  # a note that somebody joined, or the like
        try:
            read_messages.append((read_one or message_of)(messages[place], detail))
        except NotUnderstood as error:
            raise error.within(*key, place) from None
    account_for({name: value for name, value in item.items() if name not in key}, "", _OF_TALK, known=True)
    said = [message for message in read_messages if message.text]
    model = first_label(about, *_MODELS)
    if model:
        said = [message._replace(model=model) if _is_model(message) else message for message in said]
    updated = next((time for name in _UPDATES if (time := time_of(about.get(name)))), None)
    title = next(
        filter(
            None,
            (first_label(value, *_TITLES) for value in (about, *map(about.get, _ABOUT)) if isinstance(value, dict)),
        ),
        "",
    )
    return Talk(first_label(about, *_TALK_IDS), title, said, updated) if said else None


def _is_model(message: Message) -> bool:
    return not message.model and message.role.lower() in ("assistant", "gpt", "model", "ai", "bot")


def on_branch(messages: Sequence[Mapping[str, Json]], current: Json = None) -> list[int]:
    """The places of the messages on the branch to `current`, or the newest: all, if they do not name their parents."""
    places: dict[str, int] = {}
    for place, message in enumerate(messages):
        places[first_label(message, *_IDS)] = place
    if "" in places or len(places) < len(messages) or not any(_has_parent(message) for message in messages):
        return _oldest_first(messages)
    parents: dict[str, str | None] = {}
    last = None
    for name, place in places.items():  # a message that does not say what it follows follows the one before it
        says = any(key in messages[place] for key in _PARENTS)
        parents[name] = first_label(messages[place], *_PARENTS) or (None if says else last)
        last = name
    times = {name: _time(messages[place]) for name, place in places.items()}
    return [places[name] for name in branch(parents, times, current)]


def _oldest_first(messages: Sequence[Mapping[str, Json]]) -> list[int]:
    """The places of all messages: as they are listed, or backwards if the newest is listed first."""
    places = list(range(len(messages)))
    seconds = [seconds_of(_time(message)) for message in messages]
    is_backwards = None not in seconds and all(later >= earlier for later, earlier in pairwise(seconds))
    return places[::-1] if is_backwards and len(messages) > 1 and seconds[0] > seconds[-1] else places


def _has_parent(message: Mapping[str, Json]) -> bool:
    return bool(first_label(message, *_PARENTS))


def _time(message: Mapping[str, Json]) -> Json:
    return next((message[key] for key in _TIMES if message.get(key) is not None), None)


def message_of(message: Mapping[str, Json], detail: Detail, role: str | None = None) -> Message:
    """A message of the usual shape. Raises a `NotUnderstood` if it has no role or no body, or words elsewhere."""
    role = role_of(message) if role is None else role
    if not role and "role" not in message:
        raise NotUnderstood("a message without a role or sender; this version of the format is not known")
    has_body = any(key in message for key in (*_BODIES, *_CALLS, "function_call", "refusal", "audio"))
    if not has_body:
        raise NotUnderstood("a message without content or text; this version of the format is not known")
    source = (
        {**message, **dict.fromkeys(_CALLS)} if any(isinstance(message.get(key), str) for key in _CALLS) else message
    )
    text = checked_text(lambda detail: body_of(message, role, detail), source, detail, _LEFT_OUT)
    turn_id, model = first_label(message, *_IDS) or None, first_label(message, *_MODELS) or None
    return Message(role, text, time_of(_time(message)), turn_id, None if role.lower() in ("user", "human") else model)


def role_of(message: Mapping[str, Json]) -> str:
    """Who said a message, as the source names it; "" if it does not."""
    for key in _IS_USER:
        if isinstance(message.get(key), bool):
            return "user" if message[key] else "assistant"
    for key in _ROLES:
        author = object_in(message, key)
        if role := first_label(author, "role", "name", "type") or first_label(message, key):
            return role
    kind = first_label(message, "type")  # LangChain's "human" and "ai"
    return kind if kind.lower() in ROLES or kind in ("tool", "function") else ""


def body_of(message: Mapping[str, Json], role: str, detail: Detail) -> str:
    """What a message of the usual shape says."""
    is_tool = role.lower() in ("tool", "function", "observation")
    if isinstance(message.get("content"), str) and not message.keys() & _MORE and not is_tool:  # nearly always
        return message["content"]
    thought = reasoning_text(joined(*(_part(message, key, detail) for key in _REASONING)), detail)
    parts: list[str] = []
    for key in (*_BODIES, "refusal"):
        text = _part(message, key, detail)
        if text and text not in "\n".join(parts):  # often one repeats another, or is a part of it
            parts = [*(part for part in parts if part not in text), text]
    if is_tool:
        parts = [result_text(joined(*parts), detail)]
    calls = [call for key in _CALLS for call in _calls(message.get(key))] + [object_in(message, "function_call")]
    parts += [call_text(call, detail) for call in calls if call]
    parts.append(text_of(object_in(message, "audio").get("transcript"), detail))
    parts += [files_text(message.get(key)) for key in _FILES]
    return joined(thought if thought not in "\n".join(parts) else "", *parts)


def _calls(value: Json) -> list[Mapping[str, Json]]:
    """The calls in a list, or in JSON in a text."""
    if isinstance(value, str) and value.strip():
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            raise NotUnderstood("calls of tools that are not JSON") from None
    return [call for call in value if isinstance(call, dict)] if isinstance(value, list) else []


def _part(message: Mapping[str, Json], key: str, detail: Detail) -> str:
    value = message.get(key)
    if not isinstance(value, str | list | dict):
        return "" if value is None or isinstance(value, bool) else text_of(value, detail)
    try:
        if isinstance(value, dict) and key == "message":
            return joined(*(_part(value, inner, detail) for inner in _BODIES))
        if key == "text" and isinstance(value, list) and any(isinstance(piece, str) for piece in value):
            return "".join(text_of(piece, detail) for piece in value)  # a text with links and the like in it
        return text_of(value, detail)
    except NotUnderstood as error:
        raise error.within(key) from None
