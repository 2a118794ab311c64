"""Parsers whose value is text: the whole answer, or a tagged block of it."""

import re

from .base import Options, Parsed, ParseError, drop_thinking, quoted, register
from .fences import drop_fence

_ESSAY = re.compile(r"<(?P<close>/?)essay(?:\s[^<>]{0,500})?>", re.I)
_IDEA = re.compile(r"<(?P<close>/?)essay-idea(?P<attributes>\s[^<>]{0,500})?>", re.I)
_STAGE = re.compile(r"""(?<![\w-])stage\s*+=\s*+["'“”‘’]?\s*+([0-9]+(?:\.[0-9]+)?)""", re.I)


@register("identity", version=1)
def identity(raw: str, options: Options) -> Parsed:
    """The whole answer, unchanged."""
    return Parsed(_filled(raw, "the answer"))


@register("essay_block", version=1)
def essay_block(raw: str, options: Options) -> Parsed:
    """The text of the first <essay>…</essay>, stripped; without a closing tag, the rest of the answer."""
    text = drop_fence(drop_thinking(raw))
    opening, closing = _first_block(text)
    if not opening:
        raise ParseError("no <essay> tag", text or raw)
    warnings = () if closing else ("<essay> is never closed: all that follows it was taken",)
    body = text[opening.end() : closing.start() if closing else None]
    return Parsed(_filled(drop_fence(body).strip(), "<essay>"), warnings=warnings)


@register("essay_block_lenient", version=1)
def essay_block_lenient(raw: str, options: Options) -> Parsed:
    """Like essay_block; without tags, the whole answer, stripped and without thinking blocks."""
    text = drop_fence(drop_thinking(raw))
    opening, closing = _first_block(text)
    if opening:
        return essay_block(raw, options)
    warnings = ("</essay> is never opened: all that precedes it was taken",) if closing else ()
    body = text[: closing.start() if closing else None]
    return Parsed(_filled(drop_fence(body).strip(), "the answer"), warnings=warnings)


def _first_block(text: str) -> tuple[re.Match | None, re.Match | None]:
    """The first opening <essay> and the closing tag after it; either may be missing."""
    tags = list(_ESSAY.finditer(text))
    opening = next((tag for tag in tags if not tag["close"]), None)
    start = opening.end() if opening else 0
    return opening, next((tag for tag in tags if tag["close"] and tag.start() >= start), None)


@register("essay_idea_last", version=1)
def essay_idea_last(raw: str, options: Options) -> Parsed:
    """The body of the <essay-idea stage="N"> with the highest N, verbatim; without numbers, the last <essay-idea>."""
    text = drop_thinking(raw)
    ideas, unclosed, opening = [], [], None
    for tag in _IDEA.finditer(text):
        if (tag["attributes"] or "").endswith("/"):
            continue
        if not tag["close"]:
            unclosed += [opening] if opening else []
            opening = tag
        elif opening:
            stage = _STAGE.search(opening["attributes"] or "")
            body = _body(text[opening.end() : tag.start()])
            ideas.append((float(stage[1]) if stage else None, body))
            opening = None
    if opening:
        raise ParseError("the last <essay-idea> is never closed: the answer is cut off", text, end=True)
    if not ideas:
        raise ParseError("no <essay-idea …>…</essay-idea>", text or raw)
    staged = [(stage, body) for stage, body in ideas if stage is not None] or ideas
    # Sorting is stable, so the last of equal stages comes last.
    _, chosen = sorted(staged, key=lambda idea: idea[0] or 0)[-1]
    warnings = tuple(f"{quoted(tag[0])} is never closed: passed over" for tag in unclosed)
    return Parsed(_filled(chosen, "<essay-idea>"), warnings=warnings)


def _body(block: str) -> str:
    """The text, verbatim except for the line breaks (and the indentation) that belong to the tags."""
    first, newline, rest = block.partition("\n")
    if newline and not first.strip():
        block = rest
    head, newline, last = block.rpartition("\n")
    if newline and not last.strip():
        block = head.removesuffix("\r")
    return block


def _filled(text: str, what: str) -> str:
    if not text.strip():
        raise ParseError(f"{what} is empty")
    return text
