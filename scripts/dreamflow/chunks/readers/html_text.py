"""HTML as Markdown-like text: what a person reads of it."""

import re
from html.parser import HTMLParser

_BLOCKS = frozenset(
    {"p", "div", "ul", "ol", "table", "tr", "pre", "blockquote", "section", "article", "hr",
     "h1", "h2", "h3", "h4", "h5", "h6"}
)  # fmt: skip
_SILENT = frozenset({"script", "style", "head", "template"})


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.parts: list[str] = []
        self.silent = self.pre = 0
        self.link = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in _SILENT:
            self.silent += 1
        elif tag == "br":
            self.parts.append("\n")
        elif tag == "li":
            self.parts.append("\n- ")
        elif tag == "pre":
            self.pre += 1
            self.parts.append("\n\n```\n")
        elif tag in _BLOCKS:
            self.parts.append("\n\n" + ("#" * int(tag[1]) + " " if tag[0] == "h" and tag[1:].isdigit() else ""))
        elif tag in ("td", "th"):
            self.parts.append(" | ")
        elif tag == "code" and not self.pre:
            self.parts.append("`")
        elif tag == "a":
            self.link = next((value or "" for name, value in attrs if name == "href"), "")
        elif tag == "img":
            alt = next((value for name, value in attrs if name == "alt"), None)
            self.parts.append(f"[image: {alt}]" if alt else "[image]")

    def handle_endtag(self, tag: str) -> None:
        if tag in _SILENT:
            self.silent = max(0, self.silent - 1)
        elif tag == "pre":
            self.pre = max(0, self.pre - 1)
            self.parts.append("\n```\n\n")
        elif tag in _BLOCKS:
            self.parts.append("\n\n")
        elif tag == "code" and not self.pre:
            self.parts.append("`")
        elif tag == "a" and self.link:
            said = "".join(self.parts[-1:]).strip()
            self.parts.append("" if self.link.startswith("#") or self.link in said else f" ({self.link})")
            self.link = ""

    def handle_data(self, data: str) -> None:
        if not self.silent:
            self.parts.append(data if self.pre else re.sub(r"\s+", " ", data))


def text_of_html(html: str) -> str:
    """The text of HTML, with line breaks where blocks end, list items, code and the addresses of links."""
    reader = _Reader()
    reader.feed(html)
    reader.close()
    text = re.sub(r"[ \t]+\n", "\n", "".join(reader.parts))
    return re.sub(r"\n{3,}", "\n\n", re.sub(r"\n ", "\n", text)).strip()
