"""Exports of DeepSeek: a `mapping` as ChatGPT's, whose messages have no author and, today, `fragments`.

A fragment REQUEST is the user's; older exports have `content` and `reasoning_content`, and speakers in turn. The site's
own JSON of a chat (`chat_session`, `chat_messages`) is read too.
"""

from collections.abc import Mapping

from ...generation.model import Json
from .account import checked_text
from .blocks import files_text, plain_text, reasoning_text, result_text, text_of
from .chatgpt import nodes_on_branch
from .message import Detail, Message, NotUnderstood, Talk
from .tree import branch
from .values import first_label, joined, label_of, object_in, objects_in, time_of

_LEFT_OUT = ("references", "cite_index", "site_name", "site_icon", "query_indexes", "tips", "ban_edit", "snippet")


def recognises(item: Mapping[str, Json]) -> bool:
    """Whether this is a conversation whose messages have fragments or no author."""
    if isinstance(item.get("chat_messages"), list) and ("chat_session" in item):
        return True
    nodes = item.get("mapping").values() if isinstance(item.get("mapping"), dict) else ()
    messages = [node["message"] for node in nodes if isinstance(node, dict) and isinstance(node.get("message"), dict)]
    return bool(messages) and any(
        "fragments" in message or ("inserted_at" in message and "author" not in message) for message in messages
    )


def read(item: Mapping[str, Json], detail: Detail) -> Talk | None:
    """The messages on the newest branch; None if there are none."""
    about = object_in(item, "chat_session") or item
    if "chat_messages" in item:
        found = _session(objects_in(item, "chat_messages"), about.get("current_message_id"))
    else:
        found = [(("mapping", name, "message"), message) for name, message in nodes_on_branch(item)]
    messages: list[Message] = []
    for key, message in found:
        try:
            read_one = _message(message, detail, messages)
        except NotUnderstood as error:
            raise error.within(*key) from None
        messages += [read_one] if read_one.text else []
    raw_id, updated = first_label(about, "id", "conversation_id", "uuid"), time_of(about.get("updated_at"))
    return Talk(raw_id, first_label(about, "title"), messages, updated) if messages else None


def _session(
    chat_messages: list[Mapping[str, Json]], current: Json
) -> list[tuple[tuple[str | int, ...], Mapping[str, Json]]]:
    places = {
        first_label(message, "message_id", "id") or f"#{place}": place for place, message in enumerate(chat_messages)
    }
    path = branch(
        {name: chat_messages[place].get("parent_id") for name, place in places.items()},
        {name: chat_messages[place].get("inserted_at") for name, place in places.items()},
        current,
    )
    return [(("chat_messages", places[name]), chat_messages[places[name]]) for name in path]


def _message(message: Mapping[str, Json], detail: Detail, before: list[Message]) -> Message:
    fragments = message.get("fragments")
    if not isinstance(fragments, list) and "content" not in message:
        raise NotUnderstood("neither fragments nor content; this version of the format is not known")
    kinds = [first_label(fragment, "type").upper() for fragment in fragments or [] if isinstance(fragment, dict)]
    role = first_label(message, "role").lower() or ("user" if "REQUEST" in kinds else "")
    if not role:
        role = "assistant" if kinds or (before and before[-1].role == "user") else "user"
    text = checked_text(lambda detail: _text(message, detail), message, detail, _LEFT_OUT)
    model = None if role == "user" else label_of(message.get("model"))
    turn_id = first_label(message, "id", "message_id") or None
    return Message(role, text, time_of(message.get("inserted_at")), turn_id, model)


def _text(message: Mapping[str, Json], detail: Detail) -> str:
    parts = []
    for place, fragment in enumerate(message.get("fragments") or []):
        try:
            parts.append(_fragment(fragment, detail))
        except NotUnderstood as error:
            raise error.within("fragments", place) from None
    if not parts:
        found = joined(*(plain_text({"title": result.get("title"), "url": result.get("url")})
                         for result in objects_in(message, "search_results")))  # fmt: skip
        thought = text_of(message.get("reasoning_content") or message.get("thinking_content"), detail)
        parts = [result_text(found, detail), reasoning_text(thought, detail), text_of(message.get("content"), detail)]
    return joined(*parts, files_text(message.get("files")))


def _fragment(fragment: Json, detail: Detail) -> str:
    if not isinstance(fragment, dict):
        return text_of(fragment, detail)
    kind, results = first_label(fragment, "type").upper(), objects_in(fragment, "results")
    if "content" not in fragment and not results and kind in ("REQUEST", "RESPONSE", "THINK"):
        raise NotUnderstood(f"a fragment {kind} without content; this version of the format is not known")
    text = text_of(fragment.get("content"), detail)
    if kind == "THINK":
        return reasoning_text(text, detail)
    if kind in ("REQUEST", "RESPONSE") or (text and not results):
        return text
    queries = joined(*(first_label(query, "query") for query in objects_in(fragment, "queries")))
    found = [plain_text({"title": result.get("title"), "url": result.get("url")}) for result in results]
    return result_text(joined(f"[tool: {kind.lower()}]" if kind else "", text, queries, *found), detail)
