"""The names in a text, by their form: identifiers, quoted titles, capitalised names, and names in Chinese and Japanese.

What begins with a capital letter is a name only where that letter tells something: not at the beginning of a sentence,
in a heading, in a line of capitals or in German, where all nouns have one.
"""

import re

from ..files import read_table
from ..generation.parsers.fences import without_blocks
from .terms import DATES, HAN, KATAKANA, STOP_WORDS, UNLIKE_NOUNS, words

MOST, LONGEST = 12, 40  # names; characters

_LETTERS = "A-Za-zÀ-ÖØ-öø-ÿ0-9_"  # names in other scripts have no capital letters
_IDENTIFIER = re.compile(
    r"`(?P<quoted>[^`\n]+)`"
    r"|(?<![\w./@\\-])(?P<code>[a-z]\w*(?:(?:\.|::)[a-z_]\w+)+|[a-z]\w+\(\d?\)|[a-z]+_[\w.-]*\w|(?-i:[a-z]+[A-Z])\w*)(?![\w/@])",
    re.ASCII | re.IGNORECASE,
)
_ADDRESS = re.compile(r"(?:https?://|www\.)\S+|\S+@\S+\.\w+|(?<!\w)~?/[\w./-]+|</?\w[^<>\n]*>")
_DOMAIN = re.compile(r"(?:\w+\.)+(?:com|org|net|io|dev|edu|gov|de|jp|cn|uk|html?)", re.I)
_ABBREVIATION = re.compile(r"(?:[a-z]\.)+[a-z]?|etc|vs", re.I)
_TITLE = re.compile(rf"《([^》\n]{{1,{LONGEST}}})》|『([^』\n]{{2,{LONGEST}}})』")
_CAPITAL = rf"[A-ZÀ-ÖØ-Þ](?:[{_LETTERS}&+]|['’-](?=[{_LETTERS}]))*"
_NUMBER = rf" [0-9]+(?:\.[0-9]+)*(?![{_LETTERS}%,]|\.[0-9])"
_NAME = re.compile(
    rf"(?<![{_LETTERS}.$])(?<![{_LETTERS}]['’-])(?<!\d )"
    rf"{_CAPITAL}(?:(?:/| | (?:of|of the|de|da|do|du|von|van|&) ){_CAPITAL}|{_NUMBER})*"
)
_BEGINS_SENTENCE = re.compile(r"(?:^|[.!?:。！？：;|•…]|\n)[\s\"'“‘(（\[*_#>|-]*(?:\d+[.)]\s*)?[\"'“‘(*_\[]*\Z")
_LOWER = re.compile(rf"(?<![{_LETTERS}])[a-zß-öø-ÿ][{_LETTERS}]*")
_HEADING = re.compile(r"[ \t]*(?:#{1,6} .*|(?:[-*+]|\d+[.)])?[ \t]*\*\*[^*\n]+\*\*:?[ \t]*|[^\n]{1,60}:[ \t]*)$")
_HONOURED = re.compile(
    rf"(?P<ja>[{KATAKANA}{HAN}]{{1,8}})(?=さん|さま|くん|ちゃん|先生)|(?P<dots>[{KATAKANA}]{{2,}}(?:・[{KATAKANA}]{{2,}})+)"
)
_NUMBERED = (
    "section|figure|table|chapter|step|part|team|match|round|segment|appendix|page|problem|question|example|top|day"
)
_LEAD = re.compile(r"[ \t]*(?:[-*+•]|\d+[.)])[ \t]+\**[^:：\n]{1,60}\**[:：]")  # "2. Change Management: ..."
_IN_CHINESE = re.compile(
    rf"(?:{'|'.join(read_table(__file__, 'words.yaml')['places_zh'].split())})"
    r"(?:省|市|县|区|大学)?"
    rf"|(?<![{HAN}])[{HAN}]{{2,8}}(?:大学|公司|集团|银行|医院|学院|机场)(?![{HAN}]*的)"
    rf"|(?<![{HAN}])[{HAN}]{{1,3}}(?=先生|女士|老师|教授)"
)


def entities(text: str, language: str = "") -> tuple[str, ...]:
    """At most 12 names by their form, in order of their first place."""
    prose = _ADDRESS.sub(lambda match: " " * len(match[0]), without_blocks(text))
    starts: dict[str, int] = {}
    for match in _IDENTIFIER.finditer(prose):
        name = (match["quoted"] or match["code"]).strip()
        if _is_identifier(name, quoted=match["quoted"] is not None):
            starts.setdefault(name, match.start())
    for match in _TITLE.finditer(prose):
        starts.setdefault((match[1] or match[2]).strip(), match.start())
    for match in _HONOURED.finditer(prose):
        starts.setdefault(match[0], match.start())
    if language == "zh":
        for match in _IN_CHINESE.finditer(prose):
            starts.setdefault(match[0], match.start())
    plain = _IDENTIFIER.sub(lambda match: " " * len(match[0]), prose)
    for name, place in _capitalised(plain, language).items():
        starts.setdefault(name, place)
    names = sorted((start, name) for name, start in starts.items() if 1 < len(name) <= LONGEST)
    return tuple(name for _, name in names[:MOST])


def _is_identifier(name: str, *, quoted: bool) -> bool:
    if not any(map(str.isalpha, name)) or _DOMAIN.fullmatch(name) or _ABBREVIATION.fullmatch(name):
        return False
    if name.lower() in STOP_WORDS or name.lower() in UNLIKE_NOUNS:
        return False
    return not quoted or (re.fullmatch(r"[\w.:+#-]+(?:\([^()\n]{0,20}\))?", name) is not None and len(name) > 2)


def _capitalised(plain: str, language: str) -> dict[str, int]:
    """Names with capital letters, and their first places."""
    lower_case = set(_LOWER.findall(plain))
    found: dict[str, int] = {}
    start = 0
    for line in plain.splitlines(keepends=True):
        letters = [char for char in line if char.isalpha()]
        capitals = sum(map(str.isupper, letters))
        words_of_line = re.findall(rf"[{_LETTERS}]+", line)
        capitalised = sum(word[0].isupper() for word in words_of_line)
        shouted = len(words_of_line) > 2 and capitals > 0.7 * len(letters)
        is_title = _HEADING.match(line) and capitalised * 2 > len(words_of_line) and len(words_of_line) > 1
        if not shouted:
            lead = _LEAD.match(line)
            for match in _NAME.finditer(line):
                titled = bool(is_title) or (lead is not None and match.end() <= lead.end())
                begins = titled or _BEGINS_SENTENCE.search(line, max(match.start() - 12, 0), match.start())
                name = _name(match[0], lower_case, bool(begins), titled, language)
                if name:
                    found.setdefault(name, start + match.start() + match[0].find(name))
        start += len(line)
    return found


def _name(written: str, lower_case: set[str], begins: bool, is_title: bool, language: str) -> str:
    """The name in capitalised words; "" if they are none."""
    parts = re.sub(r"['’]s\b", "", written).split(" ")
    if is_title:
        parts = [part for part in parts if _tells(part)]
        return parts[0] if len(parts) == 1 and parts[0].lower() not in lower_case else ""
    first = parts[0].lower()
    if re.match(rf"(?:{_NUMBERED})\Z", first) and parts[-1][:1].isdigit():
        return ""
    acts = len(parts) > 1 and first.endswith(("ing", "ed"))  # "Pressing F3"
    if begins and not _tells(parts[0]) and (acts or first in lower_case or not _is_topical(parts[0])):
        parts = parts[1:]
        begins = False
    while parts and (not parts[0][:1].isupper() or parts[0].lower().replace("’", "'") in STOP_WORDS):
        parts = parts[1:]
    while parts and (parts[-1].islower() or (not _is_topical(parts[-1]) and not parts[-1][0].isdigit())):
        parts = parts[:-1]
    if len(parts) == 1 and not _tells(parts[0]) and (begins or not _is_topical(parts[0])):
        return ""
    if not parts or (len(parts) == 1 and parts[0].lower() in (lower_case | DATES)):
        return ""
    if all(part.lower() in DATES or (begins and part.lower() in lower_case) for part in parts):
        return ""
    if "/" in written and not any(map(_tells, re.split(r"[/ ]", written))):
        return ""
    if len(parts) == 1 and (parts[0].endswith("ly") or re.search(r"([A-Za-z])\1\1", parts[0])):
        return ""
    if language == "de" and len(parts) == 1 and not _tells(parts[0]):
        return ""
    return " ".join(parts)


def _tells(word: str) -> bool:
    """Whether a word is a name by its form, wherever it stands: NASA, PyTorch, C++, R2."""
    return len(word) > 1 and any(char.isupper() or char.isdigit() for char in word[1:]) and not word.isdigit()


def _is_topical(word: str) -> bool:
    lower = re.sub(r"['’].*", "", word.lower())
    if lower in STOP_WORDS or word.lower().replace("’", "'") in STOP_WORDS or lower in UNLIKE_NOUNS:
        return False
    return bool(words(word)) or _tells(word)
