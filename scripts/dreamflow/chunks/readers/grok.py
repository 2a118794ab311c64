"""Exports of Grok (prod-grok-backend.json): items of a `conversation` and its `responses`, which name their parents."""

from collections.abc import Mapping

from ...generation.model import Json
from .account import checked_text
from .blocks import file_mark, plain_text, reasoning_text, result_text, text_of
from .message import Detail, Message, NotUnderstood, Talk
from .messages import messages_in, talk_of
from .values import first_label, joined, list_in, object_in, objects_in, time_of

_FOUND = ("web_search_results", "cited_web_search_results", "webSearchResults", "xposts", "x_posts")
_FILES = ("file_attachments", "fileAttachments", "attachments", "image_attachments")
# The site's own notes on a response, and what it found: of results only title and address are read.
_LEFT_OUT = frozenset(
    {"steps", "query", "query_type", "metadata", "card_attachments_json", "ui_layout", "preview", "snippet", "agents"}
)


def recognises(item: Mapping[str, Json]) -> bool:
    """Whether this is a conversation with responses."""
    return isinstance(item.get("responses"), list) and ("conversation" in item or "id" in item or "title" in item)


def read(item: Mapping[str, Json], detail: Detail) -> Talk | None:
    """The responses on the newest branch; None if there are none."""
    about = object_in(item, "conversation") or item
    responses = [object_in(response, "response") or response for response in messages_in(item, "responses")]
    leaf = about.get("leaf_response_id")
    return talk_of(item, responses, ("responses",), detail, about=about, current=leaf, read_one=_message)


def _message(response: Mapping[str, Json], detail: Detail) -> Message:
    role = first_label(response, "sender", "role").lower()
    if not role or "message" not in response:
        raise NotUnderstood(f"no {'message' if role else 'sender'}; this version of the format is not known")
    text = checked_text(lambda detail: _text(response, detail), response, detail, _LEFT_OUT)
    model = None if role in ("human", "user") else first_label(response, "model") or None
    turn_id = first_label(response, "_id", "id", "response_id") or None
    return Message(role, text, time_of(response.get("create_time")), turn_id, model)


def _text(response: Mapping[str, Json], detail: Detail) -> str:
    thought = text_of(response.get("thinking_trace") or response.get("thinkingTrace"), detail)
    thought = thought or joined(*(text_of(step.get("text"), detail) for step in objects_in(response, "steps")))
    found = [
        plain_text({"title": result.get("title"), "url": result.get("url"), "text": result.get("text")})
        for key in _FOUND
        for result in objects_in(response, key)
    ]
    files = [attachment for key in _FILES for attachment in list_in(response, key)]
    return joined(
        reasoning_text(thought, detail),
        result_text(joined(*found), detail),
        text_of(response["message"], detail),
        *map(file_mark, files),
        *(text_of(response.get(key), detail) for key in ("error",)),
    )
