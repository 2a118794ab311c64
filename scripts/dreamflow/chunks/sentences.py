"""The sentences of a passage that could say what it is about, and the best of them.

The best sentence is near to the middle of all of them (Radev, Jing and Budzikowska, "Centroid-based summarization of
multiple documents", 2000; with embeddings, Rossiello, Basile and Semeraro, 2017), and comes early: a speaker's first
sentence tells the subject more often than any other (the lead is the strongest baseline of news and of questions).
Greetings, thanks and offers of help are known by their nearness to examples of them, in any language.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

from ..embedding import embed
from ..files import read_table
from .conversation import Conversation, Unit
from .terms import HAN, KATAKANA, words

if TYPE_CHECKING:
    import numpy

LONGEST = 300  # characters of a summary
CANDIDATES = 6  # sentences of a passage that are embedded
_EMBEDDED = 160  # characters of a sentence that are embedded

# Chosen on passages of tests/benchmarks/describing.py with other seeds than the one that is reported.
CENTRAL = 1.0
ASKED, ANSWERED, FIRST = 0.3, 0.12, 0.08  # the first sentence of a user's turn, of another turn, of the passage
LATER = 0.03  # for each sentence further in its turn, up to six
POOR = {1: 0.5, 2: 0.3, 3: 0.12, 4: 0.06, 5: 0.02}  # few topical words
SMALL_TALK, LIKE_SMALL_TALK = 0.6, 0.45
POINTS_BACK, OPEN_END, HEADING, LONG = 0.12, 0.03, 0.12, 0.1

_TABLES = read_table(__file__, "words.yaml")
_POINTS_BACK = re.compile(_TABLES["points_back"], re.X | re.I)
_REFERS_BACK = re.compile(_TABLES["signs"]["refers_back"], re.X | re.I)
_WIDE = re.compile(rf"[{HAN}{KATAKANA}\u3041-\u309f\u3000-\u303f\uff01-\uff65]")
_MARKS = re.compile(r"[ \t]*(?:(?:[-*+•‣◦–]|\(?[0-9]{1,3}[.)]|\(?[a-zA-Z][.)]|#{1,6}|>+)[ \t]+|[0-9]{1,3}、)*")
_LINK = re.compile(r"!?\[([^\[\]\n]*)\]\([^()\s]*(?:\([^()\s]*\)[^()\s]*)*(?: \"[^\"\n]*\")?\)")
_EMPHASIS = re.compile(r"(\*\*|__|~~|`+)(?=\S)(.+?)(?<=\S)\1|(?<![\w*])\*(?=[^\s*])([^*\n]+?)(?<=[^\s*])\*(?![\w*])")
_ESCAPED = re.compile(r"\\([*_#`\[\]~>+-])\s*")
_UNENDED = re.compile(r"[^.!?。！？…:：;；)）\"'”]$")
_HEADER = re.compile(r"[ \t]*(?:#{1,6}[ \t]|(?:[-*+]|\d+[.)])?[ \t]*\*\*[^*\n]+\*\*:?[ \t]*$)")
_ROW = re.compile(r"[ \t]*\|.*\||[^|\n]*(?:\t[^\t\n]*){2,}|[^|\n]+(?:\|[^|\n]*){2,}")
_RULE = re.compile(r"[\s|:+=-]*")
_ADDRESS = re.compile(r"(?:https?://|www\.)\S+")
_CODE_SIGNS = re.compile(r"[{}<>=;\\|$@_/&#^~\[\]]|\w\(|--?\w|\w\.\w")
_STATEMENT = re.compile(
    r"[;{}]\s*$|^\s*[{\[]*\s*\"[\w\\]+\"\s*:|^\s*[$#>] \w"
    r"|^\s*(?:const|let|var|def|class|import|return|if|for|while|SELECT)\b.*[({=]"
)
_COLON = re.compile(r"[:：]\s*$")
_CLAUSE = re.compile(r"[,;、，；:：]\s*|\s+[-–—]\s+")
_COMMENT = re.compile(r"^\s*(?:#(?!!)|//|--|/?\*+(?!/)|;+|%+|<!--)\s*(?P<line>[^\s].*?)\s*(?:\*/|-->)?$", re.M)
_DOCSTRING = re.compile(r"(\"\"\"|''')\s*(?P<line>[^\n]+?)\s*(?:\1|\n)")
_DEFINED = re.compile(
    r"^\s*(?:export\s+|public\s+|private\s+|static\s+|async\s+|abstract\s+|final\s+|pub\s+)*"
    r"(?:def|class|function|func|fn|interface|struct|enum|trait|module|CREATE\s+TABLE)\s+(?P<name>[\w.]+)",
    re.M | re.I,
)
_FENCE = re.compile(r"^[ \t]*(?:`{3,}|~{3,})[ \t]*(?P<language>[\w+#.-]*)", re.M)


@dataclass(frozen=True)
class Sentence:
    """A sentence without Markdown, the role that says it, and its place: in its turn, and the turn's in the passage,
    from 0. `is_prose` is false for a heading, a row of a table, code and what is no sentence at all."""

    text: str
    role: str
    place: int
    turn: int
    is_prose: bool
    terms: tuple[str, ...]


def sentences_of(conversation: Conversation, part: Sequence[Unit]) -> list[Sentence]:
    """The sentences of units that follow each other, without code blocks."""
    found: list[Sentence] = []
    turn, place = -1, 0
    turns = {number: n for n, number in enumerate(dict.fromkeys(unit.turn for unit in part))}
    for unit in part:
        if unit.turn != turn:
            turn, place = unit.turn, 0
        if unit.kind == "code":
            continue
        said = conversation.turns[unit.turn - 1]
        for text, is_prose in _plain(conversation.text[max(unit.start, said.content_start) : unit.end]):
            topical = tuple(term for term, _ in words(text))
            found.append(Sentence(text, said.role, place, turns[turn], is_prose, topical))
            place += len(topical) > 1 and is_prose  # "Certainly!" is no first sentence
    return found


def _plain(text: str) -> list[tuple[str, bool]]:
    """(sentence without Markdown, whether it is prose) of a unit: its lines, joined where they wrap."""
    if _ROW.match(text) or _RULE.fullmatch(text):
        rows = [" ".join(re.split(r"\s*[|\t]\s*", line.strip(" \t|"))) for line in text.splitlines()]
        return [(row, False) for row in rows if row.strip(" -:=+")]
    is_header = _HEADER.match(text) is not None
    joined = ""
    for line in text.splitlines():
        line = _MARKS.sub("", line, count=1).strip() if line.strip() else ""
        wide = joined and line and _WIDE.match(joined[-1]) and _WIDE.match(line[0])
        joined += line if wide or not joined else f" {line}"
    plain = _LINK.sub(r"\1", joined.rstrip("| "))
    plain = _ESCAPED.sub(r"\1", plain)
    plain = " ".join(_EMPHASIS.sub(lambda match: match[2] or match[3], plain).split())
    if not any(map(str.isalpha, plain)):
        return []
    return [(plain, not is_header and not _is_code(plain))]


def _is_code(text: str) -> bool:
    """Whether a line is an address, a command or code rather than a sentence."""
    rest = _ADDRESS.sub("", text)
    if _STATEMENT.search(text):
        return True
    if sum(map(str.isalpha, rest)) < len(text) / 3:
        return True
    return len(_CODE_SIGNS.findall(rest)) > max(3, len(rest) / 18)


def candidates_of(sentences: Sequence[Sentence]) -> list[Sentence]:
    """The sentences that are worth to be embedded: those that come first in turns, and those whose words recur."""
    prose = [sentence for sentence in sentences if sentence.is_prose]
    if len(prose) <= CANDIDATES:
        return prose
    counts: dict[str, int] = {}
    for sentence in prose:
        for term in set(sentence.terms):
            counts[term] = counts.get(term, 0) + 1

    def worth(sentence: Sentence) -> float:
        shared = sum(counts[term] - 1 for term in set(sentence.terms))
        lead = {0: 2.0, 1: 1.5}.get(sentence.place, 1.0)
        return lead * (shared + 1) / (len(sentence.terms) + 6)

    leads = [number for number, sentence in enumerate(prose) if sentence.place == 0 and len(sentence.terms) > 1]
    order = sorted(range(len(prose)), key=lambda number: (-worth(prose[number]), number))
    best = dict.fromkeys([*leads[: CANDIDATES // 2], *order])
    return [prose[number] for number in sorted(list(best)[:CANDIDATES])]


def embedded(sentences: Sequence[Sentence]) -> list[str]:
    """The texts of sentences, as they are embedded."""
    return [sentence.text[:_EMBEDDED] for sentence in sentences]


def middle(vectors: "numpy.ndarray", sentences: Sequence[Sentence]) -> "numpy.ndarray":
    """What sentences are about, as a vector of length 1 (or 0 without sentences): the mean, by their topical words."""
    import numpy

    weights = numpy.array([min(len(set(sentence.terms)), 12) ** 0.5 + 0.1 for sentence in sentences])
    mean = (weights[:, None] * vectors).sum(axis=0) if len(sentences) else numpy.zeros(vectors.shape[1])
    return mean / (numpy.linalg.norm(mean) or 1.0)


def summary(sentences: Sequence[Sentence], candidates: Sequence[Sentence], vectors: "numpy.ndarray", code: str) -> str:
    """The sentence that says best what a passage is about, of at most `LONGEST` characters; `vectors` are those of its
    candidates, `code` its code. A passage without sentences: what its code or table is, else its first line."""
    best = -1.0
    chosen = None
    if candidates:
        central = vectors @ middle(vectors, candidates)
        chatter = (vectors @ _small_talk().T).max(axis=1)
        for number, sentence in enumerate(candidates):
            score = _score(sentence, float(central[number]), float(chatter[number]))
            if chosen is None or score > best:
                chosen, best = sentence, score
    if chosen is not None and (best > 0.25 or not code):
        return shortened(chosen.text)
    if code.strip():
        return shortened(what_code_is(code))
    if chosen is not None:
        return shortened(chosen.text)
    rest = [sentence.text for sentence in sentences]
    return shortened(max(rest[:3], key=lambda text: min(len(set(text)), 12))) if rest else ""


def _score(sentence: Sentence, central: float, chatter: float) -> float:
    text, topical = sentence.text, len(set(sentence.terms))
    score = CENTRAL * central - POOR.get(max(topical, 1), 0.0) - LATER * min(sentence.place, 6)
    if sentence.place == 0:
        asks_alone = not (topical < 6 and _REFERS_BACK.search(text))
        score += ASKED if sentence.role == "user" and asks_alone else ANSWERED
        score += FIRST * (sentence.turn == 0)
    if chatter > LIKE_SMALL_TALK:
        score -= SMALL_TALK * min((chatter - LIKE_SMALL_TALK) * 3, 1.0) * (1.0 if topical < 6 else 0.5)
    score -= POINTS_BACK * bool(_POINTS_BACK.match(text))
    score -= (OPEN_END if topical > 4 else 3 * OPEN_END) * bool(_COLON.search(text))
    score -= HEADING * bool(sentence.role in ("text", "assistant") and len(text) < 30 and _UNENDED.search(text))
    score -= LONG * (len(text) > LONGEST)
    return score


@cache
def _small_talk() -> "numpy.ndarray":
    return embed(_TABLES["small_talk"])


def what_code_is(code: str) -> str:
    """What a block of code says of itself: its docstring or its first comment, else what it defines, else its first
    line; with its language, if its fence tells it."""
    fence = _FENCE.search(code)
    language = fence["language"] if fence else ""
    lines = "\n".join(line for line in code.splitlines() if not _FENCE.match(line))
    about = _DOCSTRING.search(lines) or _COMMENT.search(lines)
    names = list(dict.fromkeys(match["name"] for match in _DEFINED.finditer(lines)))
    first = next((line.strip() for line in lines.splitlines() if any(map(str.isalnum, line))), "")
    kind = f"Code ({language})" if language and language != "text" else "Code"
    said = about["line"] if about and sum(map(str.isalpha, about["line"])) > 8 else ""
    return f"{kind}: {said or ', '.join(names[:4]) or first}"


def shortened(text: str) -> str:
    """A text of at most `LONGEST` characters: cut after a clause, else after a word, with an ellipsis."""
    if len(text) <= LONGEST:
        return text
    head = text[: LONGEST - 1]
    ends = [match.start() for match in _CLAUSE.finditer(head) if match.start() > LONGEST // 2]
    space = head.rfind(" ")
    place = ends[-1] if ends else space if space > LONGEST // 2 else len(head)
    return head[:place].rstrip() + "…"
