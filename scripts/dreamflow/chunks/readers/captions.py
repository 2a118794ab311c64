"""WebVTT and SRT: the captions of a recording, with the names of speakers where they have them.

Neighbouring captions of one speaker are one message, whose time is that of the first. Comments and styles are not said.
"""

import re
from html import unescape

from .message import Detail, Message, NotUnderstood, Read, Talk

_TIMING = re.compile(
    r"^[ \t]*((?:\d{1,4}:)?\d{1,2}:\d\d[.,]\d{1,3})[ \t]+-->[ \t]+(?:\d{1,4}:)?\d{1,2}:\d\d[.,]\d{1,3}[^\n]*$", re.M
)
_VOICE = re.compile(r"<v(?:\.[\w.-]+)?[ \t]+([^>\n]+)>")
_TAG = re.compile(r"</?(?:[bciuv]|ruby|rt|lang|font)\b[^>\n]*>|<\d[\d:.]*>|\{\\an?\d\}", re.I)
_PREFIX = re.compile(r"(?:>>[ ]?|-[ ])?([^\W\d_][^\n:<>]{0,48}?):[ \t]+")
_WORDS_IN_NAME = 5


def recognises(text: str) -> bool:
    """Whether a text begins as WebVTT or SRT."""
    head = text[:2000].removeprefix("\ufeff").lstrip()
    if re.match(r"WEBVTT(?:\s|$)", head):
        return True
    return bool(re.match(r"\d+[ \t]*\r?\n", head) and (timing := _TIMING.search(head)) and timing.start() < 12)


def read(text: str, detail: Detail) -> Read:
    """What was said."""
    title = re.match(r"\ufeff?\s*WEBVTT[ \t]+-?[ \t]*([^\n]+)", text)
    cues = _cues(text)
    if not cues:
        raise NotUnderstood("captions in which nothing is said")
    lines = [(time, name, line) for time, name, words in cues for line in words.split("\n")]
    prefixed = [_PREFIX.match(line) for _, name, line in lines if not name]
    names = {match[1] for match in prefixed if match and len(match[1].split()) <= _WORDS_IN_NAME}
    has_names = bool(names) and prefixed[0] is not None and sum(map(bool, prefixed)) * 4 >= len(prefixed)
    messages: list[Message] = []
    for time, name, line in lines:
        prefix = _PREFIX.match(line) if has_names and not name else None
        if prefix and prefix[1] in names:
            name, line = prefix[1], line[prefix.end() :]
        role = name or (messages[-1].role if messages else "text")
        if messages and messages[-1].role == role:
            messages[-1] = messages[-1]._replace(text=f"{messages[-1].text}\n{line}")
        else:
            messages.append(Message(role, line, time))
    yield Talk("", title[1].strip() if title else "", messages)


def _cues(text: str) -> list[tuple[str, str, str]]:
    """(time, name, words) of each caption, and of each voice in it."""
    timings = list(_TIMING.finditer(text))
    cues = []
    for timing, after in zip(timings, [*timings[1:], None], strict=False):
        body = text[timing.end() : after.start() if after else len(text)].replace("\r\n", "\n").lstrip("\n")
        body = re.split(r"\n[ \t]*\n", body, maxsplit=1)[0]  # an identifier of the next caption is after an empty line
        time = timing[1].replace(",", ".")
        voices = _VOICE.split(body)
        for name, words in [("", voices[0]), *zip(voices[1::2], voices[2::2], strict=True)]:
            words = unescape(_TAG.sub("", words)).strip()
            if words:
                cues.append((time, " ".join(unescape(name).split()), words))
    return cues
