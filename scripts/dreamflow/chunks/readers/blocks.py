"""The text of a message's content: a string, or blocks as in the APIs."""

from ...files import canonical
from ...generation.model import Json
from .message import NotUnderstood
from .values import label_of

_DEEPEST = 20  # levels of nested blocks


def text_of(content: Json, depth: int = 0) -> str:
    """The text of a message: a string, or a list of blocks, which may be nested."""
    if content is None or isinstance(content, str):
        return content or ""
    if depth > _DEEPEST:
        raise NotUnderstood(f"blocks are nested more than {_DEEPEST} levels deep")
    if isinstance(content, list):
        return "\n".join(text for text in (text_of(item, depth + 1) for item in content) if text)
    if not isinstance(content, dict):
        return canonical(content)
    for key in ("text", "thinking", "parts", "content", "thoughts", "result"):
        if isinstance(content.get(key), str | list):
            return text_of(content[key], depth + 1)
    kind = label_of(content.get("type")) or label_of(content.get("content_type")) or "something else"
    return "[image]" if "image" in kind else f"[{kind[:60]}]"
