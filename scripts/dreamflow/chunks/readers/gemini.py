"""Chats with Gemini: `contents` of `parts` as in its API, and prompts saved by AI Studio (`chunkedPrompt`)."""

from collections.abc import Mapping

from ...generation.model import Json
from .account import ARGUMENTS, checked_text
from .blocks import call_text, marked, plain_text, reasoning_text, result_text, text_of
from .message import Detail, Message, NotUnderstood, Read, Talk
from .values import first_label, joined, label_of, object_in, objects_in, time_of

_FILES = (
    "fileData",
    "file_data",
    "driveDocument",
    "driveImage",
    "driveVideo",
    "driveAudio",
    "inlineFile",
    "youtubeVideo",
)
_IN_LINE = ("inlineData", "inline_data", "inlineImage")
_LEFT_OUT = frozenset(
    {"thoughtSignature", "thoughtSignatures", "grounding", "groundingMetadata", "errorMessage", "response", *ARGUMENTS}
)


def recognises(value: Json) -> bool:
    """Whether these are one or several chats with parts, or a saved prompt."""
    items = value if isinstance(value, list) else [value]
    if not items or not all(isinstance(item, dict) for item in items):
        return False
    return _is_turn(items[0]) or all(isinstance(_turns(item)[1], list) and _turns(item)[1] for item in items)


def read(value: Json, detail: Detail) -> Read:
    """The chats: a list of turns is one."""
    if isinstance(value, list) and _is_turn(value[0]):
        yield _talk({}, (), value, detail)
        return
    for number, item in enumerate(value if isinstance(value, list) else [value]):
        key, turns = _turns(item)
        try:
            yield _talk(item, key, turns, detail)
        except NotUnderstood as error:
            yield error.within(number) if isinstance(value, list) else error


def _is_turn(value: Json) -> bool:
    return (
        isinstance(value, dict)
        and isinstance(value.get("parts"), list | str)
        and "content" not in value
        and "role" in value
    )


def _turns(item: Mapping[str, Json]) -> tuple[tuple[str, ...], Json]:
    chunks = object_in(item, "chunkedPrompt").get("chunks")
    if chunks is not None:
        return ("chunkedPrompt", "chunks"), chunks
    request = object_in(item, "request") or item
    contents = request.get("contents")
    if isinstance(contents, list) and contents and isinstance(contents[0], dict) and "parts" in contents[0]:
        return ("contents",), contents
    return (), None


def _talk(item: Mapping[str, Json], key: tuple[str, ...], turns: list[Json], detail: Detail) -> Talk:
    model = first_label(object_in(item, "runSettings"), "model") or first_label(item, "model") or None
    messages: list[Message] = []
    system = item.get("systemInstruction") or item.get("system_instruction")
    if said := (
        text_of(system.get("parts") or system.get("text"), detail)
        if isinstance(system, dict)
        else text_of(system, detail)
    ):
        messages.append(Message("system", said))
    was_thought = False
    for place, turn in enumerate(turns):
        try:
            message = _message(turn, detail, model)
        except NotUnderstood as error:
            raise error.within(*key, place) from None
        if was_thought and message.role == messages[-1].role:  # a thought and its answer are chunks of one message
            messages[-1] = message._replace(text=joined(messages[-1].text, message.text))
        elif message.text:
            messages.append(message)
        was_thought = bool(turn.get("isThought")) and bool(message.text)
    return Talk(first_label(item, "id", "conversation_id"), first_label(item, "title", "name", "displayName"), messages)


def _message(turn: Json, detail: Detail, model: str | None) -> Message:
    role = first_label(turn, "role") if isinstance(turn, dict) else ""
    if not role:
        raise NotUnderstood("no role; this version of the format is not known")
    known = (
        "parts",
        "text",
        *_FILES,
        *_IN_LINE,
        "executableCode",
        "codeExecutionResult",
        "functionCall",
        "functionResponse",
    )
    if not any(name in turn for name in known):
        raise NotUnderstood("neither parts nor text; this version of the format is not known")
    text = checked_text(lambda detail: _text(turn, detail), turn, detail, _LEFT_OUT)
    time = time_of(turn.get("createTime") or turn.get("time"))
    parts = turn.get("parts") if isinstance(turn.get("parts"), list) else []
    if parts and all(
        isinstance(part, dict) and part.keys() & {"functionResponse", "function_response"} for part in parts
    ):
        role = "tool"
    return Message(role, text, time, label_of(turn.get("id")), model if role in ("model", "assistant") else None)


def _text(turn: Mapping[str, Json], detail: Detail) -> str:
    parts = turn.get("parts")
    if isinstance(parts, str):
        return parts
    said = text_of(turn.get("text"), detail)
    pieces = []
    for place, part in enumerate(parts if isinstance(parts, list) else []):
        try:
            pieces.append(_part(part, detail))
        except NotUnderstood as error:
            raise error.within("parts", place) from None
    if turn.get("isThought"):
        return reasoning_text(said or joined(*pieces), detail)
    if said:  # AI Studio repeats the text of a chunk, divided, in its parts
        pieces = [_part({**part, "text": None}, detail) for part in objects_in(turn, "parts")]
    return joined(said, *pieces, _part({**turn, "text": None}, detail))


def _part(part: Json, detail: Detail) -> str:
    if not isinstance(part, dict):
        return text_of(part, detail)
    texts = [text_of(part.get("text"), detail)]
    if part.get("thought"):
        texts = [reasoning_text(texts[0], detail)]
    code, ran = object_in(part, "executableCode"), object_in(part, "codeExecutionResult")
    texts += [text_of(code.get("code"), detail), result_text(text_of(ran.get("output"), detail), detail)]
    for key in ("functionCall", "function_call"):
        texts += [call_text(object_in(part, key), detail)] if object_in(part, key) else []
    for key in ("functionResponse", "function_response"):
        texts.append(result_text(plain_text(object_in(part, key).get("response")), detail))
    texts += [f"[file: {_name(object_in(part, key))}]" for key in _FILES if object_in(part, key)]
    texts += [marked(_kind(object_in(part, key)), None) for key in _IN_LINE if object_in(part, key)]
    return joined(*texts)


def _name(file: Mapping[str, Json]) -> str:
    return first_label(file, "displayName", "name", "fileUri", "file_uri", "id", "uri") or "unnamed"


def _kind(data: Mapping[str, Json]) -> str:
    return first_label(data, "mimeType", "mime_type").partition("/")[0] or "file"
