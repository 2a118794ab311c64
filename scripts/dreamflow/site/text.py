"""Foreign texts as safe HTML: Markdown, and code with colours."""

import re
from functools import cache, lru_cache

from markdown_it import MarkdownIt
from markdown_it.rules_core import StateCore
from markdown_it.rules_inline import StateInline
from markupsafe import Markup, escape
from pygments import highlight
from pygments.formatters import HtmlFormatter
from pygments.lexer import Lexer
from pygments.lexers import TextLexer, get_lexer_by_name
from pygments.util import ClassNotFound

_DEEPER = 2  # a heading of a text is this many levels below that of the page
# LaTeX in a text: between \\( \\), \\[ \\], $$ $$, or $ $ if it has a character that Markdown would take for its own.
_FORMULA = re.compile(
    r"\\\(.{1,2000}?\\\)|\\\[.{1,2000}?\\\]|\$\$.{1,2000}?\$\$|\$(?=[^\s$])(?=[^$\n]*[\\^_{*])[^$\n]*(?<=[^\s\\])\$(?!\d)",
    re.S,
)


def rendered(text: str) -> Markup:
    """Markdown as HTML (CommonMark with tables and strikethrough). HTML in the text is shown and not obeyed, images
    become links, and only web and mail addresses and places of the page are linked. No word is lost: definitions of
    links are shown, and formulas as they are written."""
    return Markup(_markdown().render(text))  # noqa: S704  (markdown-it escapes, since `html` is off)


def highlighted(text: str, language: str = "python") -> Markup:
    """Code as HTML whose classes `static/site.css` colours; unknown languages have no colours."""
    return Markup(highlight(text, _lexer(language), _FORMAT))  # noqa: S704  (pygments escapes)


_SCHEME = re.compile(r"[^/?#]*:")
_FORMAT = HtmlFormatter(nowrap=True)


@lru_cache(64)
def _lexer(language: str) -> Lexer:
    try:
        return get_lexer_by_name(language, stripnl=False)
    except ClassNotFound:
        return TextLexer(stripnl=False)


@cache
def _markdown() -> MarkdownIt:
    parser = MarkdownIt("commonmark", {"html": False, "highlight": _fence}).enable(["table", "strikethrough"])
    parser.validateLink = lambda address: _is_allowed(address) or _is_place(address)
    parser.disable(["image", "reference"])
    parser.inline.ruler.before("escape", "formula", _formula)
    parser.core.ruler.push("deeper_headings", _deepen)
    parser.core.ruler.push("places", _unlink)
    return parser


def _deepen(state: StateCore) -> None:
    for token in state.tokens:
        if token.type in ("heading_open", "heading_close"):
            token.tag = f"h{min(6, int(token.tag[1:]) + _DEEPER)}"
        elif token.type in ("table_open", "code_block"):
            token.attrSet("tabindex", "0")  # may be scrolled, so the keyboard must reach it


def _unlink(state: StateCore) -> None:
    """Leave the words of links to other files, which a page does not have beside it."""
    for token in state.tokens:
        kept, is_open = [], False
        for child in token.children or ():
            if child.type == "link_open" and _is_place(str(child.attrGet("href"))):
                is_open = True
            elif child.type == "link_close" and is_open:
                is_open = False
            else:
                kept.append(child)
        if token.children:
            token.children = kept


def _formula(state: StateInline, silent: bool) -> bool:
    match = _FORMULA.match(state.src, state.pos, state.posMax) if state.src[state.pos] in "\\$" else None
    if not match:
        return False
    if not silent:
        token = state.push("code_inline", "code", 0)
        token.content = match[0]
        token.attrSet("class", "formula")
    state.pos = match.end()
    return True


def _fence(text: str, language: str, attributes: str) -> str:
    info = escape(f"{language} {attributes}".strip())
    label = f' data-language="{info}"' if info else ""
    return f'<pre tabindex="0"{label}><code>{highlighted(text, language or "text")}</code></pre>'


def _is_allowed(address: str) -> bool:
    return address.lower().startswith(("http://", "https://", "mailto:", "#"))


def _is_place(address: str) -> bool:
    """Whether an address is a path of the file system, relative to the text."""
    return not _SCHEME.match(address) and not address.startswith(("#", "//"))
