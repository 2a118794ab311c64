"""Google Takeout's MyActivity.json of Gemini: activities, newest first, each a prompt and its answer as HTML.

It does not say which activities belong to one chat. The activities of a day are one conversation.
"""

import re
from collections.abc import Mapping

from ...generation.model import Json
from .account import account_for
from .html_text import text_of_html
from .message import Detail, Message, NotUnderstood, Read, Talk
from .values import first_label, joined, label_of, list_in, objects_in, seconds_of, time_of

_PRODUCT = re.compile(r"gemini|bard", re.I)
_ASKED = re.compile(r"(?:Prompted(?: with:)?|Asked(?: Gemini:| Bard:)?|Said|Branched|Answered) +")
_DONE = re.compile(
    r"(?:Created|Used|Added|Gave|Selected|Shared|Deleted|Viewed|Visited|Pinned|Renamed|Exported|Updated) "
)
_LEFT_OUT = frozenset({"header", "products", "activityControls", "details", "locationInfos", "imageFile"})


def recognises(value: Json) -> bool:
    """Whether this is a list of activities, of Gemini among others."""
    if not isinstance(value, list) or not value or not all(isinstance(item, dict) for item in value):
        return False
    return "title" in value[0] and "time" in value[0] and any(map(_is_ours, value))


def read(value: Json, detail: Detail) -> Read:
    """A conversation for each day; activities with other products are left out."""
    days: dict[str, list[tuple[int, Mapping[str, Json]]]] = {}
    for place, item in enumerate(value):
        if _is_ours(item):
            days.setdefault((time_of(item.get("time")) or "")[:10], []).append((place, item))
    for day, items in sorted(days.items()):
        ordered = sorted(items, key=lambda placed: (seconds_of(placed[1].get("time")) or 0, -placed[0]))
        messages: list[Message] = []
        try:
            for place, item in ordered:
                messages += _messages(item, place)
        except NotUnderstood as error:
            yield error
            continue
        if messages:
            yield Talk(f"gemini-{day or 'undated'}", f"Gemini {day}".strip(), messages, messages[-1].time)


def _is_ours(item: Mapping[str, Json]) -> bool:
    products = item["products"] if isinstance(item.get("products"), list) else []
    named = any(_PRODUCT.search(label_of(name) or "") for name in (item.get("header"), *products))
    return named or ("safeHtmlItem" in item and not products and "header" not in item)


def _messages(item: Mapping[str, Json], place: int) -> list[Message]:
    try:
        return _said(item)
    except NotUnderstood as error:
        raise error.within(place) from None


def _said(item: Mapping[str, Json]) -> list[Message]:
    if not isinstance(item.get("title"), str):
        raise NotUnderstood("an activity without a title; this version of the format is not known")
    time, answers = time_of(item.get("time")), item.get("safeHtmlItem") or []
    if not answers and _DONE.match(item["title"]):  # what its owner did with an answer
        return []
    answers = answers if isinstance(answers, list) else [answers]
    said = _ASKED.sub("", item["title"], count=1) if _ASKED.match(item["title"]) else item["title"]
    files = [f"[file: {name}]" for name in list_in(item, "attachedFiles") if isinstance(name, str)]
    more = [first_label(subtitle, "name") for subtitle in objects_in(item, "subtitles")]
    question = joined(said, *(text for text in more if text not in said), *files)
    texts = [answer.get("html") or answer.get("htmlValue") for answer in answers if isinstance(answer, dict)]
    if len(texts) < len(answers) or not all(isinstance(text, str) for text in texts):
        raise NotUnderstood("an answer without html; this version of the format is not known", ("safeHtmlItem",))
    answer = joined(*map(text_of_html, texts))
    rest = {name: value for name, value in item.items() if name != "safeHtmlItem"}
    account_for(rest, joined(question, item["title"], answer), _LEFT_OUT)
    messages = [Message("user", question, time)] if question else []
    return messages + ([Message("assistant", answer, time)] if answer else [])
