"""Labels that are no speakers: keys of data that somebody pasted, and of the facts above a conversation."""

import re
from collections.abc import Sequence

from .label_lines import Label

_DATA_LINE = re.compile(r"[ \t]*(?:- )?[\w.-]+[ \t]*:(?:[ \t]+\S*)?[ \t]*\r?$")
_FACTS = frozenset(
    """date created updated exported model link url title source tags time messages id topic participants version
    platform started duration language account email conversation mode project workspace tokens turns""".split()  # noqa: SIM905
)


def is_data(text: str, label: Label, speakers: set[int], beside: Sequence[Label]) -> bool:
    """Whether a label is a key in a block of keys and values: a short value, such a line directly before or after it,
    and no turn of its side without it."""
    line_end = text.find("\n", label.end)
    line_end = len(text) if line_end < 0 else line_end
    if not _DATA_LINE.match(text[label.start : min(line_end, label.start + 200)]):
        return False

    def is_key(place: int | None) -> bool:
        if place is None or place in speakers:
            return False
        end = text.find("\n", place)
        line = text[place : min(len(text) if end < 0 else end, place + 200)]
        return bool(_DATA_LINE.match(line)) and line.lstrip()[:1].islower()

    before = is_key(text.rfind("\n", 0, label.start - 1) + 1 if label.start else None)
    after = is_key(line_end + 1 if line_end < len(text) else None)
    is_doubled = any(other.role == label.role for other in beside)
    is_last = len(beside) == 1 and beside[0].start < label.start
    is_other = not any(other.name == label.name for other in beside) and label.name == "user"
    return ((before or after) and is_doubled) or (
        after and is_last and (before or is_other or beside[0].name.islower())
    )


def without_facts(text: str, labels: Sequence[Label]) -> list[Label]:
    """The labels without those in a paragraph of facts before all turns: "**User:** …" above "**Created:** …"."""
    top = re.compile(r"(?:\ufeff|[ \t\r]*\n|#[^\n]*\n|<!--[^\n]*\n|---+[ \t]*\n)*").match(text)
    facts = [label for label in labels if label.start < top.end() + 4000]
    place, inside, known = top.end(), [], 0
    for label in facts:
        if label.start < place:
            continue
        if label.start != place:
            break
        inside.append(label)
        known += bool(set(re.split(r"\W+", label.name.casefold())) & _FACTS)
        end = text.find("\n", label.end)
        place = len(text) if end < 0 else end + 1
    return [label for label in labels if label.start >= place] if known > 1 else list(labels)
