"""The context of a prompt: in which kind of situation a model is asked. Trust is kept per model and context.

`classify` has the rules, first match first:

1. novel: it asks for something new (what, why, how, explain, tell me about);
2. unstable: it says that things are uncertain or complex (however, but, uncertain, complex, analyze);
3. moving: it is similar, not equal, to one of the last prompts: the Jaccard index of their words is in (.3, .7), ends
   excluded. (Jaccard 1901: shared words / words of both);
4. stable: it is routine (hello, thanks, yes, no, list, show);
5. otherwise moving.

Words match as whole words ('show' is not 'how'), in the language of the text: contexts.yaml has the words of six
languages. The language is the one most of whose frequent words occur; without any, words of all languages match. In
Chinese and Japanese, which have no blanks, words match as parts of the text. Texts in other languages reach rules 3 and
5. Text in code fences or backquotes is not read, nor is a text that is code in every line. A long text contains some
word of rule 1 or 2 almost surely: there, contexts by similarity (`similarity`) or by kind tell more.
"""

import re
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import TYPE_CHECKING
from unicodedata import normalize

from ..config import under
from ..errors import ConfigError
from ..files import read_table
from ..generation.model import Json

if TYPE_CHECKING:
    from .similarity import TfidfContexts

CONTEXTS = ("stable", "moving", "unstable", "novel")
OTHER = "other"  # of a row without the column that has the context
RECENT = 3  # prompts that a prompt is compared with
SIMILAR = (0.3, 0.7)
_LONGEST_CODE = 400  # characters of a line; matching takes their square
SEARCHED = 1000  # characters of a text that patterns of users are searched in

_RULES = ("novel", "unstable", "stable")
_REPEATS = ("MAX_REPEAT", "MIN_REPEAT")
_CJK = "\u3005-\u3007\u3041-\u309f\u30a1-\u30ff\u3400-\u9fff\uf900-\ufaff\uff66-\uff9f\U00020000-\U0003ffff"
_HAS_CJK = re.compile(f"[{_CJK}]")
_KANA = re.compile("[\u3041-\u309f\u30a1-\u30ff]")
_WORD = re.compile(r"\w+")
_PIECE = re.compile(f"[{_CJK}]+|[^\\W{_CJK}]+")
_FENCED = re.compile(r"```.*?(?:```|\Z)|~~~.*?(?:~~~|\Z)|`[^`\n]+`", re.DOTALL)
_CODE_LINE = re.compile(
    r"\s*(?:(?:def|class)\s+\w+.*:|(?:import|return|function|var|let|const|public|private|static|int|void)\s.*"
    r"|from\s+[\w.]+\s+import\s.*|#include.*|@[\w.]+.*|[\w.]+\(.*\)[:;]?|[\w.\[\]'\"]+\s*[-+*/|&]?=\s*\S.*|.*[;{}]"
    r"|(?:if|elif|for|while|with|except)\s.*[=(<>\[].*:|(?:else|try|finally):|[)\]}]+,?|(?:#|//).*)\s*"
)


def classify(text: str, recent: Sequence[str] = ()) -> tuple[str, str]:
    """Return the context of a prompt (one of `CONTEXTS`) and the reason in words.

    `recent` are the prompts before it, the last one last; the last `RECENT` of them count. If several are similar, the
    reason names the most similar, and the latest of those. Any text has a context: without words it is moving.
    """
    plain = _normal(text)
    prose = _prose(plain)
    matched = _first_match(prose)
    if matched and matched[0] != "stable":
        return matched
    if similar := _similar(plain, recent):
        return "moving", similar
    if matched:
        return matched
    if not prose.strip():
        return "moving", f"{'the text is only code' if plain.strip() else 'the text is empty'}; moving is the default"
    if not any(character.isalpha() for character in prose):
        return "moving", "the text has no words; moving is the default"
    return "moving", f"no rule matches {_language_name(prose)}; moving is the default"


def terms(text: str) -> list[str]:
    """Return the words of a text in order, in lower case, without compatibility forms.

    The words of Chinese and Japanese are pairs of neighbouring characters (Nie et al., IRAL 2000)."""
    found: list[str] = []
    for piece in _PIECE.findall(_normal(text)):
        if len(piece) > 1 and _HAS_CJK.match(piece):
            found += (piece[place : place + 2] for place in range(len(piece) - 1))
        elif word := piece.strip("_"):
            found.append(word)
    return found


@lru_cache(maxsize=64)
def _term_set(plain: str) -> frozenset[str]:
    return frozenset(terms(plain))


def jaccard(left: Set[str], right: Set[str]) -> float:
    """Return the share of common elements among those of both sets, from 0 to 1; 0 for two empty sets."""
    common = len(left & right)
    return common / (len(left) + len(right) - common) if common else 0.0


# --- the words of languages ---


@dataclass(frozen=True)
class _Language:
    """The words of a language. `phrases` by their first word: (words, context), longer ones first."""

    common: frozenset[str]
    phrases: Mapping[str, Sequence[tuple[tuple[str, ...], str]]]


@dataclass(frozen=True)
class _Script:
    """The entries of a language without blanks; `alone` match between punctuation marks only."""

    neutral: re.Pattern[str] | None
    entries: Sequence[tuple[str, str]]
    alone: frozenset[str]


@cache
def _languages() -> tuple[Mapping[str, _Language], Mapping[str, _Script]]:
    spaced, unspaced = {}, {}
    for name, lists in read_table(__file__, "contexts.yaml").items():
        entries = [(_normal(entry), context) for context in _RULES for entry in lists[context]]
        if "common" not in lists:
            neutral = re.compile("|".join(map(re.escape, map(_normal, lists["neutral"]))))
            unspaced[name] = _Script(neutral, entries, frozenset(map(_normal, lists["alone"])))
            continue
        phrases: dict[str, list[tuple[tuple[str, ...], str]]] = {}
        for entry, context in entries:
            words = tuple(_WORD.findall(entry))
            phrases.setdefault(words[0], []).append((words, context))
        spaced[name] = _Language(frozenset(map(_normal, lists["common"])), phrases)
    return spaced, unspaced


def _first_match(prose: str) -> tuple[str, str] | None:
    """Return the first rule of `_RULES` that a word matches, and the reason with the first such word."""
    spaced, unspaced = _languages()
    words = [word.strip("_") for word in _WORD.findall(prose)]
    found: dict[str, str] = {}
    for language in _spoken(words, spaced):
        for place, word in enumerate(words):
            for phrase, context in language.phrases.get(word, ()):
                if context not in found and tuple(words[place : place + len(phrase)]) == phrase:
                    found[context] = " ".join(phrase)
    if _HAS_CJK.search(prose):
        script = unspaced["ja" if _KANA.search(prose) else "zh"]
        rest = script.neutral.sub(" ", prose)
        for entry, context in script.entries:
            if context not in found and entry in rest:
                found[context] = entry
        if "stable" not in found and (alone := script.alone.intersection(words)):
            found["stable"] = min(alone)
    return next(((context, f"contains '{found[context]}'") for context in _RULES if context in found), None)


def _spoken(words: Sequence[str], languages: Mapping[str, _Language]) -> list[_Language]:
    """Return the languages with the most of their common words in the text; all if there are none of any language."""
    counts = [sum(word in language.common for word in words) for language in languages.values()]
    return [language for language, count in zip(languages.values(), counts, strict=True) if count == max(counts)]


def _language_name(prose: str) -> str:
    """Return "this text" if a language with rules is recognised, else a hint that there are none for its language."""
    spaced, _ = _languages()
    words = set(_WORD.findall(prose))
    known = _HAS_CJK.search(prose) or any(not words.isdisjoint(language.common) for language in spaced.values())
    return "this text" if known else "this text, whose language is unknown (it has none of the frequent words)"


def _normal(text: str) -> str:
    """Return the text in lower case without compatibility forms, such as full-width letters."""
    return text.lower() if text.isascii() else normalize("NFKC", normalize("NFKC", text).casefold())


def _prose(plain: str) -> str:
    """Return a text without what is marked as code; nothing if every line looks like code."""
    prose = _FENCED.sub(" ", plain) if "`" in plain or "~~~" in plain else plain
    lines = [line for line in prose.split("\n") if line and not line.isspace()]
    is_code = lines and all(len(line) <= _LONGEST_CODE and _CODE_LINE.fullmatch(line) for line in lines)
    return "" if is_code else prose


def _similar(plain: str, recent: Sequence[str]) -> str:
    """Return a reason if a recent prompt is similar, else an empty text."""
    own, best, which = _term_set(plain) if recent else frozenset(), 0.0, 0
    for back, prompt in enumerate(reversed(recent[-RECENT:]), 1):
        similarity = jaccard(own, _term_set(_normal(prompt)))
        if SIMILAR[0] < similarity < SIMILAR[1] and similarity > best:
            best, which = similarity, back
    return f"similar to the prompt {which} before it (Jaccard index {best:.2f})" if which else ""


# --- contexts of users ---


@dataclass(frozen=True)
class NamedContexts:
    """The contexts of a user: (context, pattern as written, compiled pattern) in their order."""

    patterns: Sequence[tuple[str, str, re.Pattern[str]]] = ()

    def find(self, text: str) -> tuple[str, str] | None:
        """Return the first context one of whose patterns matches the first `SEARCHED` characters, and the reason."""
        start = text[:SEARCHED]
        plain = _normal(start)
        for context, written, pattern in self.patterns:
            if pattern.search(start if written.startswith("re:") else plain):
                return context, f"matches '{written}'"
        return None


def compile_named(named: Mapping[str, Sequence[str]]) -> NamedContexts:
    """Return the contexts of `named`: words or phrases, which match as whole words in any letter case (in Chinese and
    Japanese as parts of the text), or "re:" and a Python regular expression.

    Raises a `ConfigError` with the key below `named` for an invalid pattern, and for one that could take forever: a
    repetition of something that itself repeats or has alternatives, such as (a+)+.
    """
    patterns = []
    for context, written in named.items():
        with under(context):
            if context != context.strip() or not context or context == "*":
                raise ConfigError("the name of a context must be a word or words; '*' means all contexts")
            for place, pattern in enumerate(written):
                with under(place):
                    patterns.append((context, pattern, compile_pattern(pattern)))
    return NamedContexts(tuple(patterns))


def compile_pattern(written: str) -> re.Pattern[str]:
    """Return a pattern of `compile_named`, compiled. Raises a `ConfigError` as described there."""
    if not written.startswith("re:"):
        words = list(_WORD.findall(_normal(written)))
        if not words:
            raise ConfigError(f"{written!r} has no words; write a word, or 're:' and a regular expression")
        phrase = r"\W+".join(map(re.escape, words))
        return re.compile(phrase if _HAS_CJK.search(phrase) else rf"(?<!\w){phrase}(?!\w)")
    try:
        pattern = re.compile(written.removeprefix("re:"), re.IGNORECASE)
        parsed = re._parser.parse(pattern.pattern, pattern.flags)
    except (re.error, RecursionError, OverflowError) as error:
        raise ConfigError(f"{written!r} is not a regular expression: {error}") from None
    if _is_slow(parsed):
        raise ConfigError(
            f"{written!r} repeats something that itself repeats or has alternatives, which can take forever; write it "
            "without the outer or the inner repetition"
        )
    return pattern


def _nodes(tree: Json) -> Iterator[tuple[str, Json]]:
    """Yield the (operation, argument) pairs of a parsed pattern, outer ones first."""
    if isinstance(tree, re._parser.SubPattern):
        for operation, argument in tree.data:
            yield str(operation), argument
            yield from _nodes(argument)
    elif isinstance(tree, tuple | list):
        for part in tree:
            yield from _nodes(part)


def _is_slow(parsed: Json) -> bool:
    """Whether something that can match one text in several ways is repeated."""
    bodies = [argument[2] for operation, argument in _nodes(parsed) if operation in _REPEATS and int(argument[1]) > 1]
    return any(
        operation == "BRANCH" or (operation in _REPEATS and argument[0] != argument[1])
        for body in bodies
        for operation, argument in _nodes(body)
    )


def context_of(
    text: str,
    row: Mapping[str, Json],
    *,
    by: Sequence[str],
    named: NamedContexts = NamedContexts(),
    similarity: "TfidfContexts | None" = None,
    recent: Sequence[str] = (),
) -> tuple[str, str]:
    """Return the context of a prompt and the reason: a context of the user that matches, else what `by` sorts by:
    "rules", "similarity", or columns of `row`, such as its kind; several are joined by "/".

    Without a classifier `similarity` is not known yet, and the rules decide. A row without a value in a column is in
    the context `OTHER`.
    """
    if found := named.find(text):
        return found
    parts = [_part(text, row, name, similarity, recent) for name in by]
    return "/".join(context for context, _ in parts), "; ".join(reason for _, reason in parts)


def _part(
    text: str, row: Mapping[str, Json], by: str, similarity: "TfidfContexts | None", recent: Sequence[str]
) -> tuple[str, str]:
    if by == "similarity" and similarity is not None:
        return similarity.assign(text)
    if by in ("rules", "similarity"):
        return classify(text, recent)
    value = " ".join(str(row[by]).split()) if row.get(by) is not None else ""
    if not value or value == "*":
        return OTHER, f"it has no '{by}'"
    return value, f"its {by} is '{value}'"
