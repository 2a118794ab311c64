"""The text of a message's content: a string, or blocks as in the APIs of OpenAI, Anthropic, Mistral and Google."""

from collections.abc import Mapping

from ...files import canonical
from ...generation.model import Json
from .account import has_words
from .message import Detail, NotUnderstood
from .values import first_label, joined, label_of, object_in

_DEEPEST = 20  # levels of nested blocks
_TEXTS = ("text", "thinking", "parts", "content", "thoughts", "result")  # the key of a block's text, of any kind
_REASONING = ("thinking", "think", "reasoning", "thought", "reasoning_text", "redacted_thinking", "thoughts")
_OTHER_TEXTS = (
    "value", "refusal", "summary", "output", "markdown", "code", "error", "transcript", "description", "subtitles",
    "snippet", "query",
)  # fmt: skip
_NEED_TEXT = ("text", "input_text", "output_text", "thinking", "think", "reasoning", "thoughts")
_CALLS = ("tool_use", "server_tool_use", "mcp_tool_use", "tool_call", "function_call")
_RESULTS_OF = ("tool_result", "function_call_output")
_OF_FILES = (
    "extracted_content",
    "content",
    "text",
    "mime_type",
    "mimeType",
    "size",
    "url",
    "image_url",
    "asset_pointer",
)
_NAMES = ("filename", "file_name", "fileName", "name", "title")


def text_of(content: Json, detail: Detail, depth: int = 0) -> str:
    """The text of a message: a string, or a list of blocks, which may be nested. Raises a `NotUnderstood`."""
    if content is None or isinstance(content, str):
        return content or ""
    if depth > _DEEPEST:
        raise NotUnderstood(f"blocks are nested more than {_DEEPEST} levels deep")
    if isinstance(content, list):
        texts = []
        for place, item in enumerate(content):
            try:
                texts.append(text_of(item, detail, depth + 1))
            except NotUnderstood as error:
                raise error.within(place) from None
        return joined(*texts)
    return _block(content, detail, depth) if isinstance(content, dict) else canonical(content)


def _block(block: Mapping[str, Json], detail: Detail, depth: int) -> str:
    kind = first_label(block, "type", "content_type", "kind").lower()
    if kind in _REASONING or block.get("thought") is True:
        return reasoning_text(_inner(block, detail, depth, "think", "reasoning", "summary", "summaries"), detail)
    if kind in _CALLS or kind.endswith(("_call", "_call_request")):
        return call_text(block, detail)
    if kind.endswith(("_result", "_output")) or kind in _RESULTS_OF:
        return result_text(_inner(block, detail, depth, "output", "output_str", "results", "error"), detail)
    if kind.startswith("tool-") or kind == "dynamic-tool":
        return call_text({"name": kind.removeprefix("tool-"), **block, "type": None}, detail)
    if kind in ("step-start", "step-finish"):
        return ""
    if kind.startswith("source-"):
        return _title(block)
    if "image" in kind:
        return joined(
            marked("image", first_label(block, "filename", "file_name", "name")), _extra(block, detail, depth)
        )
    if kind in ("file", "document", "input_file", "attachment"):
        return joined(file_mark(block), _extra(block, detail, depth, "extracted_content", "file_data"), _source(block))
    return _inner(block, detail, depth, *_OTHER_TEXTS)


def _inner(block: Mapping[str, Json], detail: Detail, depth: int, *more: str) -> str:
    """The text of a block; its kind in brackets if it has none. Raises if it has words elsewhere."""
    for key in (*_TEXTS, *more):
        value = block.get(key)
        if isinstance(value, dict) and ("value" in value or "text" in value):  # {"text": {"value": ...}}
            value = value.get("value", value.get("text"))
        if isinstance(value, str | list):
            title = _title(block) if key == "text" or "url" in block else ""
            try:
                return joined(title, text_of(value, detail, depth + 1))
            except NotUnderstood as error:
                raise error.within(key) from None
    kind = first_label(block, "type", "content_type") or "something else"
    if any(key in block and block[key] is None for key in (*_TEXTS, *more)) and not has_words(block):
        return ""
    if kind in _NEED_TEXT and not any(key in block for key in (*_TEXTS, *more, "encrypted_content", "signature")):
        raise NotUnderstood(
            f"a block of the kind {kind[:60]!r} without a text; this version of the format is not known"
        )
    if has_words(block):
        known = first_label(block, "type", "content_type")
        what = f"a block of the unknown kind {kind[:60]!r}" if known else f"an object with {', '.join(block)[:80]}"
        raise NotUnderstood(f"{what}, which has text; this version of the format is not known")
    return f"[{kind[:60]}]"


def _extra(block: Mapping[str, Json], detail: Detail, depth: int, *more: str) -> str:
    """The text in a block that need not have one."""
    found = next((block[key] for key in ("text", *more) if isinstance(block.get(key), str | list)), None)
    return text_of(found, detail, depth + 1)


def _source(block: Mapping[str, Json]) -> str:
    source = object_in(block, "source")
    text = source.get("data") if source.get("type") == "text" else None
    return text if isinstance(text, str) else ""


def _title(block: Mapping[str, Json]) -> str:
    """Where a quoted text is from, such as "Soil (https://…)"."""
    title, url = first_label(block, "title"), first_label(block, "url")
    return f"{title} ({url})" if title and url else title or url


def marked(kind: str, name: str | None) -> str:
    """A mark such as "[image]" or "[image: cat.png]"."""
    return f"[{kind}: {name}]" if name else f"[{kind}]"


def file_mark(value: Json) -> str:
    """The mark of an attachment, such as "[file: notes.txt]"."""
    if isinstance(value, dict):
        inner = next((object_in(value, key) for key in ("file", "document") if isinstance(value.get(key), dict)), {})
        value = first_label(value, *_NAMES) or first_label(inner, *_NAMES, "id") or first_label(value, "id", "uuid")
    return f"[file: {label_of(value) or 'unnamed'}]"


def files_text(value: Json) -> str:
    """The marks of the attachments in a list, each with the text in it that the source has."""
    texts = []
    for item in value if isinstance(value, list) else []:
        if isinstance(item, dict):
            mark = file_mark(item)
            if mark == file_mark({}) and not item.keys() & _OF_FILES:  # what a search found, say
                continue
            said = next(
                (item[key] for key in ("extracted_content", "content", "text") if isinstance(item.get(key), str)), ""
            )
            texts += [mark, said]
        elif isinstance(item, str):
            texts.append(file_mark(item))
    return joined(*texts)


def reasoning_text(text: str, detail: Detail) -> str:
    """What is read of a model's reasoning."""
    return text if detail.reasoning == "full" or not text else "[reasoning]" if detail.reasoning == "name" else ""


def call_text(call: Mapping[str, Json], detail: Detail) -> str:
    """What is read of the call of a tool, and of its result where the source has it in the same place."""
    if detail.tools == "none":
        return ""
    inner = next(
        (
            object_in(call, key)
            for key in ("function", "tool_call", "toolInvocation", "custom")
            if isinstance(call.get(key), dict)
        ),
        call,
    )
    name = first_label(inner, "name", "tool", "tool_name", "toolName") or first_label(call, "name", "type") or "tool"
    given = next((inner[key] for key in ("input", "arguments", "args", "action", "parameters") if key in inner), None)
    said = given if isinstance(given, str) or given is None else canonical(given)
    result = next((inner[key] for key in ("output", "result", "response") if inner.get(key)), None)
    return joined(f"[tool: {name}]", said if detail.tools == "full" else "", plain_text(result))


def result_text(text: str, detail: Detail) -> str:
    """What is read of the result of a tool."""
    return "" if detail.tools == "none" else text


def plain_text(value: Json, depth: int = 0) -> str:
    """The text of a tool's result, which may be anything: of an object what is said in it, else all its fields."""
    if value is None or isinstance(value, str):
        return value or ""
    if depth > _DEEPEST:
        raise NotUnderstood(f"a result is nested more than {_DEEPEST} levels deep")
    if isinstance(value, list):
        return joined(*(plain_text(item, depth + 1) for item in value))
    if not isinstance(value, dict):
        return canonical(value)
    where = _title(value)
    if not where and not value.keys() & set(_RESULTS):
        fields = ((key, plain_text(item, depth + 1)) for key, item in value.items())
        return joined(*(f"{key}: {text}" for key, text in fields if text))
    said = (
        item
        for key, item in value.items()
        if key in _RESULTS or (isinstance(item, str | list | dict) and has_words({key: item}))
    )
    return joined(where, *(plain_text(item, depth + 1) for item in said if not isinstance(item, bool)))


_RESULTS = (
    "text",
    "content",
    "output",
    "result",
    "results",
    "snippet",
    "preview",
    "description",
    "stdout",
    "stderr",
    "error",
)
