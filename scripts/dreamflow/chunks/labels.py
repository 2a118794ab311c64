"""The speakers of a text: labels at the beginnings of lines, which divide it into turns."""

import re
from collections import Counter
from collections.abc import Callable
from typing import NamedTuple

from ..generation.parsers.fences import fence_end, fence_opening
from .conversation import Turn

_NAMES = {
    "user": """user human you me 用户 用戶 人类 人類 我 ユーザー ユーザ 人間 사용자 nutzer benutzer utilisateur usuario
    utente usuário gebruiker пользователь""",
    "assistant": """assistant ai bot chatgpt claude gpt gpt-4 gpt-4o gemini copilot 助手 助理 アシスタント 어시스턴트
    assistent asistente assistente ассистент""",
    "system": "system 系统 系統 システム 시스템 система",
}
ROLES = {name: role for role, names in _NAMES.items() for name in names.split()}
_NAME = rf"(?P<name>{'|'.join(map(re.escape, sorted(ROLES, key=len, reverse=True)))})(?:[ ]said)?"
_BOLD = r"(?:\*\*|__)"
_SPACE = "[ \t\u3000]*"
_BEGIN = "^\ufeff?"

# The forms of a label. Headings of different levels are different forms.
_LABEL = re.compile(
    rf"""{_BEGIN}(?:
    (?P<heading>\#{{1,6}}){_SPACE}(?:[^\w\s\#*]+[ ])?{_BOLD}?{_NAME}{_SPACE}[:：]?{_BOLD}?{_SPACE}\#*{_SPACE}(?=\r?$)
    |(?P<bold>{_BOLD}){_NAME.replace("name", "bold_name")}(?:[:：]{_BOLD}|{_BOLD}{_SPACE}[:：]|{_BOLD}{_SPACE}(?=\r?$))
    |(?P<plain>[ ]{{0,3}}){_NAME.replace("name", "plain_name")}{_SPACE}(?::(?![:/\\])|：)
    )""",
    re.M | re.I | re.X,
)
_ANY_NAME = re.compile(rf"{_BEGIN}(?P<any>[^\W\d_][\w.'’-]*(?:[ ][\w.'’-]+){{0,2}}){_SPACE}(?::(?=\s)|：)", re.M)
_MOST_NAMES = 12
_HEADER_END = re.compile(rf"{_SPACE}(?:(?:\r?\n{_SPACE})*\r?\n)?")


class _Label(NamedTuple):
    role: str
    start: int
    end: int


def label_turns(text: str) -> tuple[Turn, ...]:
    """The turns that partition a text; a single turn of the role "text" if no speaker is named.

    A header is a label and the white space after it, up to the first line with text.
    """
    labels = _speakers(text) or _transcript(text)
    if not labels or _has_text(text[: labels[0].start]):
        labels = [_Label("text", 0, 0), *labels]
    ends = [label.start for label in labels[1:]] + [len(text)]
    turns = []
    for number, (label, end) in enumerate(zip(labels, ends, strict=True), 1):
        start = turns[-1].end if turns else 0  # white space before the first label belongs to its turn
        content_start = _HEADER_END.match(text, label.end, end).end() if label.end else start
        turns.append(Turn(number, label.role, start, end, content_start))
    return tuple(turns)


def _speakers(text: str) -> list[_Label]:
    """The labels of known speakers in the form of the first label."""
    labels: list[_Label] = []
    form, in_code = None, _code_test(text)
    for match in _LABEL.finditer(text):
        own_form = match["heading"] or ("bold" if match["bold"] else "plain")
        role = ROLES[(match["name"] or match["bold_name"] or match["plain_name"]).lower()]
        late = role == "system" and any(label.role != "system" for label in labels)
        if form not in (None, own_form) or late or in_code(match):
            continue
        form = own_form
        labels.append(_Label(role, match.start(), match.end()))
    # A single label inside a text is no speaker.
    return labels if len(labels) > 1 or (labels and not _has_text(text[: labels[0].start])) else []


def _transcript(text: str) -> list[_Label]:
    """Labels of a few recurring names, if the first line and most other lines begin with a name."""
    in_code = _code_test(text)
    labels = [
        _Label(match["any"], match.start(), match.end()) for match in _ANY_NAME.finditer(text) if not in_code(match)
    ]
    names = Counter(label.role for label in labels)
    lines = sum(1 for line in text.split("\n") if line.strip())
    recurring = 2 <= len(names) <= _MOST_NAMES and min(names.values()) > 1
    return labels if recurring and len(labels) * 2 >= lines and not _has_text(text[: labels[0].start]) else []


def _has_text(text: str) -> bool:
    return bool(text.removeprefix("\ufeff").strip())


def _code_test(text: str) -> Callable[[re.Match], bool]:
    """A function that takes the labels in order and returns whether a label is in a closed code block."""
    position = 0
    never_closed: dict[str, int] = {}  # by mark: the length from which fences are never closed: no second search

    def in_code(label: re.Match) -> bool:
        nonlocal position
        while position < label.start() and (opening := fence_opening(text, position, label.start())):
            mark, length = opening["marks"][0], len(opening["marks"])
            end = None if length >= never_closed.get(mark, length + 1) else fence_end(text, opening, len(text))
            if end is None:
                never_closed[mark] = min(length, never_closed.get(mark, length))
            position = end or opening.end()
        if position > label.start():
            return True
        position = _HEADER_END.match(text, label.end()).end()  # a block may begin on the line of the label
        return False

    return in_code
