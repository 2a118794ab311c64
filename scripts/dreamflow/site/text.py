"""Foreign texts as safe HTML: Markdown, and code with colours."""

from functools import cache

from markdown_it import MarkdownIt
from markupsafe import Markup
from pygments import highlight
from pygments.formatters import HtmlFormatter
from pygments.lexers import TextLexer, get_lexer_by_name
from pygments.util import ClassNotFound


def rendered(text: str) -> Markup:
    """Markdown as HTML (CommonMark with tables and strikethrough). HTML in the text is shown and not obeyed, images
    become links, and only web and mail addresses and places of the page are linked."""
    return Markup(_markdown().render(text))  # noqa: S704  (markdown-it escapes, since `html` is off)


def highlighted(text: str, language: str = "python") -> Markup:
    """Code as HTML whose classes `static/site.css` colours; unknown languages have no colours."""
    try:
        lexer = get_lexer_by_name(language, stripnl=False)
    except ClassNotFound:
        lexer = TextLexer(stripnl=False)
    return Markup(highlight(text, lexer, HtmlFormatter(nowrap=True)))  # noqa: S704  (pygments escapes)


@cache
def _markdown() -> MarkdownIt:
    parser = MarkdownIt("commonmark", {"html": False, "highlight": _fence}).enable(["table", "strikethrough"])
    parser.validateLink = _is_allowed
    parser.disable("image")
    return parser


def _fence(text: str, language: str, _attributes: str) -> str:
    return highlighted(text, language or "text")


def _is_allowed(address: str) -> bool:
    return address.lower().startswith(("http://", "https://", "mailto:", "#"))
