"""Sessions of Codex (JSON Lines): `response_item` lines, whose payloads are messages, reasoning and calls of tools.

Other lines (`event_msg`, settings) repeat these, and are read only where there are none. What Codex itself tells the
model in the user's place is the system's.
"""

from collections.abc import Mapping

from ...generation.model import Json
from .account import checked_text
from .blocks import call_text, plain_text, reasoning_text, result_text, text_of
from .message import Detail, Message, NotUnderstood, Read, Talk
from .values import first_label, joined, object_in, time_of

_KINDS = ("message", "reasoning", "function_call", "function_call_output", "custom_tool_call", "local_shell_call")
_EVENTS = {"user_message": "user", "agent_message": "assistant", "agent_reasoning": "reasoning"}
_OWN = ("<environment_context>", "<user_instructions>", "<permissions", "<INSTRUCTIONS>", "# AGENTS.md instructions")
_LEFT_OUT = frozenset({"encrypted_content", "call_id", "internal_chat_message_metadata_passthrough", "namespace"})


def recognises(value: Json) -> bool:
    """Whether these are lines of a session."""
    if not isinstance(value, list) or not all(isinstance(line, dict) for line in value):
        return False
    kinds = {line.get("type") if isinstance(line.get("type"), str) else None for line in value}
    wrapped = any(isinstance(line.get("payload"), dict) for line in value)
    if wrapped:
        return bool(kinds & {"response_item", "session_meta", "event_msg"})
    return bool(kinds & set(_KINDS)) and any("record_type" in line or "instructions" in line for line in value)


def read(value: Json, detail: Detail) -> Read:
    """The session."""
    wrapped = any(isinstance(line.get("payload"), dict) for line in value)
    wanted = [place for place, line in enumerate(value) if line.get("type") == "response_item" or not wrapped]
    events = not any(_kind(value[place]) in _KINDS for place in wanted)
    if events:
        wanted = [place for place, line in enumerate(value) if line.get("type") == "event_msg"]
    messages: list[Message] = []
    chosen = set(wanted)
    for place, line in enumerate(value):
        if _kind(line) == "thread_rolled_back":
            messages = _taken_back(messages, object_in(line, "payload").get("num_turns"))
        if place not in chosen:
            continue
        payload = object_in(line, "payload") or line
        try:
            message = _event(payload, detail) if events else _item(payload, detail)
        except NotUnderstood as error:
            raise error.within(place, *(("payload",) if "payload" in line else ())) from None
        if message and message.text:
            messages.append(message._replace(time=time_of(line.get("timestamp"))))
    meta = next((object_in(line, "payload") for line in value if line.get("type") == "session_meta"), value[0])
    models = [first_label(object_in(line, "payload"), "model") for line in value if line.get("type") == "turn_context"]
    model = next(filter(None, models), None)
    if messages:
        messages = [message._replace(model=model) if message.role == "assistant" else message for message in messages]
        yield Talk(first_label(meta, "id", "session_id"), "", _merged(messages), messages[-1].time)


def _taken_back(messages: list[Message], turns: Json) -> list[Message]:
    """The messages without those from the last questions on, which were taken back."""
    asked = [place for place, message in enumerate(messages) if message.role == "user"]
    return messages[: asked[-min(turns, len(asked))]] if isinstance(turns, int) and turns > 0 and asked else messages


def _kind(line: Mapping[str, Json]) -> str:
    return first_label(object_in(line, "payload") or line, "type")


def _item(payload: Mapping[str, Json], detail: Detail) -> Message | None:
    kind = first_label(payload, "type")
    if kind == "message":
        if "content" not in payload or "role" not in payload:
            raise NotUnderstood("a message without role or content; this version of the format is not known")
        text = checked_text(lambda detail: text_of(payload["content"], detail), payload, detail, _LEFT_OUT)
        role = first_label(payload, "role")
        role = "system" if role == "developer" or (role == "user" and text.lstrip().startswith(_OWN)) else role
        return Message(role, text, None, first_label(payload, "id") or None)
    if kind == "reasoning":
        return Message("assistant", checked_text(lambda detail: _thought(payload, detail), payload, detail, _LEFT_OUT))
    if kind.endswith("_output"):
        if "output" not in payload:
            raise NotUnderstood("a result without output; this version of the format is not known")
        said = checked_text(lambda detail: result_text(_output(payload), detail), payload, detail, _LEFT_OUT)
        return Message("tool", said, None, first_label(payload, "call_id") or None)
    if kind.endswith("_call"):
        return Message("assistant", checked_text(lambda detail: call_text(payload, detail), payload, detail, _LEFT_OUT))
    if first_label(payload, "record_type") or kind in ("ghost_snapshot", "compaction", "") or "instructions" in payload:
        return None
    said = checked_text(lambda detail: text_of([payload], detail), payload, detail, _LEFT_OUT)
    return Message("assistant", said) if not said.startswith("[") else None


def _thought(payload: Mapping[str, Json], detail: Detail) -> str:
    summary, content = text_of(payload.get("summary"), detail), text_of(payload.get("content"), detail)
    return reasoning_text(joined(summary, content if content not in summary else ""), detail)


def _output(payload: Mapping[str, Json]) -> str:
    return plain_text(payload.get("output"))


def _event(payload: Mapping[str, Json], detail: Detail) -> Message | None:
    role = _EVENTS.get(first_label(payload, "type"))
    if not role:
        return None
    text = checked_text(lambda detail: text_of(payload.get("message") or payload.get("text"), detail), payload, detail)
    if not text:
        raise NotUnderstood("no message; this version of the format is not known")
    return Message("assistant", reasoning_text(text, detail)) if role == "reasoning" else Message(role, text)


def _merged(messages: list[Message]) -> list[Message]:
    """One turn for what the assistant thinks, says and calls in a row."""
    merged: list[Message] = []
    for message in messages:
        if merged and merged[-1].role == message.role == "assistant":
            merged[-1] = merged[-1]._replace(text=joined(merged[-1].text, message.text), turn_id=message.turn_id)
        else:
            merged.append(message)
    return merged
