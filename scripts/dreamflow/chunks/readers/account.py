"""That no words are lost: every text in a message's JSON is in its turn, or under a key that is left out on purpose."""

import re
from collections.abc import Callable, Collection, Iterator

from ...errors import Key
from ...generation.model import Json
from .message import Detail, NotUnderstood

# Keys whose values are never words that somebody said: names of things, places of things, states and settings.
_LABELS = re.compile(
    r"(?:^|_)(?:id|ids|uuid|uuids|guid|url|urls|uri|href|link|links|src|at|ts|time|times|date|timestamp|timezone|type|"
    r"types|kind|role|sender|author|recipient|model|models|slug|status|state|hash|sha256|etag|digest|signature|"
    r"signatures|mime|mimetype|language|lang|locale|version|token|tokens|usage|encoding|path|cwd|branch|base64|data|"
    r"settings|config|options|preset|presets|permissions|flags|feedback|rating|reaction|reactions|logprobs|pointer|"
    r"timings|stats|avatar|icon|color|emoji|agent|name|names|filename|title)$"
)
_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_TEXTS = frozenset(
    {"text", "content", "contents", "body", "message", "messages", "msg", "value", "mes", "parts", "part", "fragments",
     "prompt", "response", "answer", "question", "output", "result", "thinking", "thought", "thoughts", "reasoning",
     "summary", "caption", "transcript", "chunks", "said", "words", "utterance"}
)  # fmt: skip
_LETTER, _WORD = re.compile(r"[^\W\d_]"), re.compile(r"\w+")
_SPACE = re.compile(r"\s")
_WORDS, _LETTERS, _CHARACTERS = 3, 5, 8  # of a text under a key that is not known; in scripts without spaces
ARGUMENTS = frozenset({"input", "arguments", "args", "action", "parameters"})  # of a tool: read as a whole, or left out


def checked_text(read: Callable[[Detail], str], source: Json, detail: Detail, left_out: Collection[str] = ()) -> str:
    """The text that `read` reads from a message in the wanted detail, after checking that it loses no words of it.

    Raises a `NotUnderstood`, see `account_for`.
    """
    text = read(detail)
    is_whole = detail.tools != "none" and detail.reasoning == "full"
    account_for(source, text if is_whole else read(Detail()), ARGUMENTS.union(left_out))
    return text


def account_for(source: Json, text: str, left_out: Collection[str] = (), *, known: bool = False) -> None:
    """Check that the words in a part of an export are in the text that was read from it.

    Not searched are keys in `left_out`, and those that name things (ids, addresses, times, settings). With `known` only
    texts under keys such as `text` and `content` count. Raises a `NotUnderstood` with the path of a text that is lost.
    """
    words: set[str] | None = None
    for key, said in _texts(source, left_out, known=known):
        stripped = said.strip()
        if stripped in text:
            continue
        if words is None:
            words = set(_WORD.findall(text))
        if not words.issuperset(_WORD.findall(stripped)):
            shown = " ".join(stripped[:200].split())
            raise NotUnderstood(
                f"text that no turn would have: {shown[:60]!r}; this version of the format is not known", key
            )


def has_words(source: Json) -> bool:
    """Whether a part of an export holds words that somebody may have said."""
    return any(True for _ in _texts(source, (), known=False))


def _texts(source: Json, left_out: Collection[str], *, known: bool) -> Iterator[tuple[Key, str]]:
    waiting: list[tuple[Key, str, Json]] = [((), "", source)]
    while waiting:
        key, name, value = waiting.pop()
        if isinstance(value, str):
            if _is_said(value, name in _TEXTS, known=known):
                yield key, value
        elif isinstance(value, list):
            waiting += [((*key, place), name, item) for place, item in enumerate(value)]
        elif isinstance(value, dict):
            for inner, item in value.items():
                snake = _CAMEL.sub("_", inner).lower()
                if isinstance(item, str | list | dict) and inner not in left_out and not _LABELS.search(snake):
                    waiting.append(((*key, inner), snake, item))


def _is_said(text: str, is_text: bool, *, known: bool) -> bool:
    if is_text:
        return bool(_LETTER.search(text))
    beginning = text[:2000].strip()
    letters = 0 if known else len(_LETTER.findall(beginning))
    if letters < _LETTERS or not _SPACE.search(beginning):
        return letters >= _CHARACTERS and not beginning.isascii()
    return len(_WORD.findall(beginning)) >= _WORDS
