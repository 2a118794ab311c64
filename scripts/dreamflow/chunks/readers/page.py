"""HTML: the chat.html of an export of ChatGPT, and a saved page of a chat of ChatGPT."""

import json
import re
from html.parser import HTMLParser

from . import chatgpt
from .message import Detail, Message, NotUnderstood, Read, Talk

_DATA = re.compile(r"\b(?:var|let|const)\s+jsonData\s*=\s*(?=\[)")
_ROLE = "data-message-author-role"
_VOID = frozenset(
    ["area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "track", "wbr"]
)
_BLOCKS = frozenset(
    "p div li ul ol pre h1 h2 h3 h4 h5 h6 tr table blockquote br section article".split()  # noqa: SIM905
)
_UNSEEN = frozenset(["script", "style", "svg", "button", "noscript", "template"])


def recognises(text: str) -> bool:
    """Whether a text is a page with a chat of ChatGPT."""
    return bool(re.match(r"\ufeff?\s*<", text)) and (_ROLE in text or _DATA.search(text) is not None)


def read(text: str, detail: Detail) -> Read:
    """The conversations of the page."""
    data = _DATA.search(text)
    if not data:
        page = _Page()
        page.feed(text)
        page.close()
        if not page.messages:
            raise NotUnderstood("no message of the page has words: save it when the chat is shown, as a complete page")
        title = re.sub(r"^ChatGPT - | [|–-] ChatGPT$", "", " ".join("".join(page.title).split()))
        yield Talk("", title, [message.done() for message in page.messages])
        return
    try:
        items, _ = json.JSONDecoder().raw_decode(text, data.end())
    except (json.JSONDecodeError, RecursionError) as error:
        raise NotUnderstood(f"its jsonData is not valid JSON: {error}") from None
    for number, item in enumerate(items, 1):
        title = item.get("title") if isinstance(item, dict) else None
        place = f"conversation {number}" + (f" ({title[:80]!r})" if isinstance(title, str) else "")
        if not isinstance(item, dict) or not chatgpt.recognises(item):
            yield NotUnderstood("not a conversation of ChatGPT").at(place)
            continue
        try:
            talk = chatgpt.read(item, detail)
        except NotUnderstood as error:
            yield error.at(place)
            continue
        if talk:
            yield talk if talk.raw_id else talk._replace(raw_id=f"chat-{number}")


class _Open:
    """A message of a page whose element is being read."""

    def __init__(self, role: str, turn_id: str | None, model: str | None) -> None:
        self.role, self.turn_id, self.model = role, turn_id, model
        self.parts: list[str] = []

    def done(self) -> Message:
        text = re.sub(r"[ \t]+\n", "\n", "".join(self.parts))
        return Message(self.role, re.sub(r"\n{3,}", "\n\n", text).strip(), None, self.turn_id, self.model)


class _Page(HTMLParser):
    """The messages of a page: elements with the role of their author."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.messages: list[_Open] = []
        self.title: list[str] = []
        self.depth = self.unseen = self.code = 0  # levels within a message, an unseen element, preformatted text
        self.in_title = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.in_title = tag == "title" and not self.title
        values = dict(attrs)
        if self.depth:
            self.depth += tag not in _VOID
            self._break(tag)
            if tag in _UNSEEN and not self.unseen:
                self.unseen = self.depth
            self.code += tag == "pre"
            if tag == "li":
                self._add("- ")
            if tag == "img":
                self._add(f"[image: {values['alt']}]" if values.get("alt") else "[image]")
        elif values.get(_ROLE):
            self.depth = 1
            self.messages.append(
                _Open(values[_ROLE], values.get("data-message-id"), values.get("data-message-model-slug"))
            )

    def handle_endtag(self, tag: str) -> None:
        self.in_title = False
        if not self.depth or tag in _VOID:
            return
        if self.unseen == self.depth:
            self.unseen = 0
        self._break(tag)
        self.code -= tag == "pre" and self.code > 0
        self.depth -= 1

    def handle_data(self, data: str) -> None:
        if self.in_title:
            self.title.append(data)
        elif self.depth and not self.unseen:
            self._add(data if self.code else re.sub(r"\s+", " ", data))

    def _break(self, tag: str) -> None:
        parts = self.messages[-1].parts
        if tag in _BLOCKS and parts and not parts[-1].endswith(("\n", "- ")):
            parts.append("\n")
        elif tag in ("td", "th"):
            parts.append(" ")

    def _add(self, data: str) -> None:
        if not self.unseen and (
            data.strip() or (self.messages[-1].parts and not self.messages[-1].parts[-1][-1:].isspace())
        ):
            self.messages[-1].parts.append(data)
