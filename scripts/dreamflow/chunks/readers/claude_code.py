"""Sessions of Claude Code (JSON Lines): lines of type "user" and "assistant" with a `message`; they name their parents.

Left out are branches that begin with a question which was taken back, lines for the model alone (`isMeta`), and lines
of other types (snapshots of files, notices). Sub-agents (`isSidechain`) are conversations of their own.
"""

from collections.abc import Mapping, Sequence

from ...generation.model import Json
from .account import checked_text
from .blocks import text_of
from .message import Detail, Message, NotUnderstood, Read, Talk
from .tree import branch
from .values import first_label, joined, label_of, object_in, time_of

_TYPES = ("user", "assistant")
_LEFT_OUT = frozenset({"usage", "stop_details", "container", "diagnostics", "context_management"})


def recognises(value: Json) -> bool:
    """Whether these are lines of a session."""
    if not isinstance(value, list) or not all(isinstance(line, dict) for line in value):
        return False
    return any(
        line.get("type") in _TYPES and isinstance(line.get("message"), dict) and "role" not in line for line in value
    )


def read(value: Json, detail: Detail) -> Read:
    """The session, and each conversation of a sub-agent in it."""
    for place, line in enumerate(value):
        if "message" in line and line.get("type") not in (*_TYPES, "progress", "system"):
            raise NotUnderstood(f"a message of the unknown type {label_of(line.get('type'))!r}", (place,))
        if line.get("type") in _TYPES and not isinstance(line.get("message"), dict):
            raise NotUnderstood("no message; this version of the format is not known", (place,))
    said = [place for place, line in enumerate(value) if line.get("type") in _TYPES]
    session = next((name for line in value if (name := first_label(line, "sessionId", "session_id"))), "")
    summaries = [first_label(line, "summary", "customTitle", "aiTitle") for line in value]
    title = next((summary for summary in summaries if summary), "")
    main = [place for place in said if not value[place].get("isSidechain")]
    messages = _messages(value, _seen(value, main), detail)
    if messages:
        yield Talk(session, title, messages, messages[-1].time)
    aside = [place for place in said if value[place].get("isSidechain")]
    for name, places in _sidechains(value, aside).items():
        messages = _messages(value, places, detail)
        if messages:
            yield Talk(f"{session or 'session'}-agent-{name}", title, messages, messages[-1].time)


def _seen(lines: Sequence[Mapping[str, Json]], places: list[int]) -> list[int]:
    """The lines that were not taken back: on the newest branch, or beside it without a question of their own.

    Answers to several calls of tools at once stand beside the branch, too."""
    named = {name: place for place in places if (name := first_label(lines[place], "uuid"))}
    if len(named) < len(places):
        return places
    parents: dict[str, Json] = {}
    others = {first_label(line, "uuid"): line for line in lines}
    for name, place in named.items():
        parents[name] = _parent(lines[place], others, named)
    path = set(branch(parents, {name: lines[place].get("timestamp") for name, place in named.items()}))
    kept: dict[str, bool] = {}
    for name, place in named.items():  # in the order of the file: parents first
        parent = label_of(parents[name])
        is_kept = name in path or not _is_question(lines[place])
        kept[name] = name in path or (is_kept and (parent is None or kept.get(parent, True)))
    return [place for name, place in named.items() if kept[name]]


def _parent(line: Mapping[str, Json], others: Mapping[str, Mapping[str, Json]], named: Mapping[str, int]) -> str | None:
    """The message before a line, past lines of other types."""
    seen = set()
    name = first_label(line, "parentUuid", "logicalParentUuid")
    while name and name not in named and name in others and name not in seen:
        seen.add(name)
        name = first_label(others[name], "parentUuid", "logicalParentUuid")
    return name or None


def _is_question(line: Mapping[str, Json]) -> bool:
    content = object_in(line, "message").get("content")
    if line.get("type") != "user" or line.get("isMeta"):
        return False
    return not _is_result(content)


def _is_result(content: Json) -> bool:
    blocks = content if isinstance(content, list) else []
    return bool(blocks) and all(isinstance(block, dict) and block.get("type") == "tool_result" for block in blocks)


def _sidechains(lines: Sequence[Mapping[str, Json]], places: list[int]) -> dict[str, list[int]]:
    """The lines of each sub-agent, by its name or that of its first line."""
    chains: dict[str, list[int]] = {}
    chain_of: dict[str, str] = {}
    for place in places:
        name, parent = first_label(lines[place], "uuid"), first_label(lines[place], "parentUuid")
        chain = first_label(lines[place], "agentId") or chain_of.get(parent) or name or "all"
        chain_of[name] = chain
        chains.setdefault(chain, []).append(place)
    return chains


def _messages(lines: Sequence[Mapping[str, Json]], places: list[int], detail: Detail) -> list[Message]:
    messages: list[Message] = []
    for place in places:
        try:
            message = None if lines[place].get("isMeta") else _message(lines[place], detail)
        except NotUnderstood as error:
            raise error.within(place) from None
        if not message or not message.text:
            continue
        before = messages[-1] if messages else None
        if before and before.role == message.role == "assistant" and before.turn_id == message.turn_id:
            messages[-1] = before._replace(text=joined(before.text, message.text))  # a line for each block
        else:
            messages.append(message)
    return messages


def _message(line: Mapping[str, Json], detail: Detail) -> Message:
    message = object_in(line, "message")
    if "content" not in message:
        raise NotUnderstood("no content; this version of the format is not known", ("message",))
    try:
        text = checked_text(lambda detail: text_of(message["content"], detail), message, detail, _LEFT_OUT)
    except NotUnderstood as error:
        raise error.within("message", "content") from None
    role = first_label(message, "role") or line["type"]
    if line.get("isCompactSummary"):
        role = "system"
    elif role == "user" and _is_result(message["content"]):
        role = "tool"
    turn_id = first_label(message, "id") or first_label(line, "uuid") or None
    return Message(role, text, time_of(line.get("timestamp")), turn_id, label_of(message.get("model")))
