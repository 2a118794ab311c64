"""The speakers of a text: labels at the beginnings of lines, which divide it into turns.

Which lines of a text are labels is not known from a line alone: "**Note:**" has the form of "**DeepSeek:**". The rules
are, in this order:

- A text has one form of labels, the first in which both sides of a conversation speak, so a dialogue that is quoted in
  another form adds no turns. Where the two sides have a form each, such as headings of two levels, these are the form.
- A name of neither side in exactly that form is a speaker where one is missing: the side that has no known name, if it
  follows (or comes before) the other side as a rule; and a third speaker where a known side would follow itself.
- A known name that stands among the keys of pasted data, or is written as it is nowhere else, is none.
- A text in which most lines begin with one of a few recurring names is a transcript of their turns.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise

from .conversation import Turn
from .label_lines import SPACE, Label, header_end, labels_in
from .pasted_labels import is_data, without_facts
from .speaker_names import ROLES, is_no_speaker, role_of

__all__ = ["ROLES", "label_turns"]

_SIDES = {"user": "assistant", "assistant": "user"}
_MOST_NAMES = 12
_ANY_NAME = re.compile(rf"^\ufeff?(?P<any>[^\W\d_][\w.'’-]*(?:[ ][\w.'’-]+){{0,2}}){SPACE}(?::(?=\s)|：)", re.M)
_ISO = re.compile(r"(\d{4}-\d\d-\d\d)[T ](\d\d:\d\d(?::\d\d(?:\.\d+)?)?) ?(Z|[+-]\d\d:?\d\d)?$")


def label_turns(text: str) -> tuple[Turn, ...]:
    """The turns that partition a text; a single turn of the role "text" if no speaker is named.

    A header is a label, a time on a line of its own, and the white space after them, up to the first line with text.
    """
    labels = _speakers(text)
    turns: list[Turn] = []
    if not labels or _has_text(text[: labels[0].start]):
        end = labels[0].start if labels else len(text)
        turns.append(Turn(1, "text", 0, end, 0))
    for label, after in zip(labels, [*labels[1:], None], strict=False):
        start = turns[-1].end if turns else 0  # white space before the first label belongs to its turn
        end = after.start if after else len(text)
        content_start, time = header_end(text, label.end, end, label.form)
        time = iso_time(label.time or time)
        turns.append(Turn(len(turns) + 1, label.role or label.name, start, end, content_start, time, None, label.model))
    return tuple(turns)


def iso_time(time: str | None) -> str | None:
    """A time that is nearly in ISO 8601 as such; another unchanged."""
    iso = _ISO.match(time) if time else None
    return f"{iso[1]}T{iso[2]}{iso[3] or ''}" if iso else time


def _speakers(text: str) -> list[Label]:
    found = list(labels_in(text))
    if not _is_named(text, found) and (transcript := _transcript(text)):
        sides = {role_of(name)[0] for name in {label.name for label in transcript}}
        if sides != set(_SIDES):
            return transcript
    found = without_facts(text, found)
    forms: dict[str, list[Label]] = {}
    for label in found:
        forms.setdefault(label.form, []).append(label)
    plans = {form: _pair(text, _indented_alike(labels)) for form, labels in forms.items()}
    joined = _joined({form: labels for form, labels in forms.items() if not plans[form]})
    if joined:
        plans[joined[0].form] = joined
    for form, labels in forms.items():
        if not plans[form] and form != "bare":
            plans[form] = _with_unknown_side(text, _indented_alike(labels))
    # A quotation is the weakest form, and before it two names alone on their lines.
    best = min(
        (labels for labels in plans.values() if labels and (not _is_quoted(labels[0]) or _begins(text, labels[0]))),
        key=lambda labels: (_is_quoted(labels[0]), _is_short(labels), labels[0].start),
        default=None,
    )
    if best:
        return best
    one_side = _one_side(text, forms.values())
    begins = bool(one_side) and not _has_text(text[: one_side[0].start])
    return one_side if begins else _unknown(text, forms.values()) or one_side


def _is_quoted(label: Label) -> bool:
    return label.form.startswith(">") and "[!]" not in label.form


def _is_short(labels: Sequence[Label]) -> bool:
    return labels[0].form == "bare" and len(labels) < 3


def _is_named(text: str, labels: Sequence[Label]) -> bool:
    """Whether known names divide a text, so that it is no transcript of other names."""
    named = [label for label in labels if label.name.lower() in ROLES]
    return len(named) > 1 or bool(named and not _has_text(text[: named[0].start]))


def _has_text(text: str) -> bool:
    return bool(text.removeprefix("\ufeff").strip())


def _key(label: Label) -> str:
    return label.name.casefold()


def _indented_alike(labels: Sequence[Label]) -> list[Label]:
    """The labels with the indentation of the first that names a side."""
    first = next((label for label in labels if label.is_sure), labels[0])
    indent = first.shape[1] if isinstance(first.shape[1], int) and not isinstance(first.shape[1], bool) else None
    return [label for label in labels if indent is None or label.shape[1] == indent]


# --- both sides are known


def _pair(text: str, labels: Sequence[Label]) -> list[Label]:
    """The labels of a form if both sides have a known name in it, with those of other speakers; else none."""
    sure = _only_labels(text, [label for label in labels if label.is_sure])
    sides = {label.role for label in sure} & set(_SIDES)
    if len(sides) == 2:
        return _with_others(labels, sure) if labels[0].form != "bare" else _alternating(text, sure)
    if len(sides) == 1:
        (side,) = sides
        beside = _beside(labels, sure, side, lambda label: label.role == _SIDES[side] and not label.is_sure)
        return _with_others(labels, _merged(sure, beside)) if beside else []
    weak = _weak_pair(text, [label for label in labels if label.role and not label.is_sure], labels)
    return _with_others(labels, weak) if weak else []


def _only_labels(text: str, sure: Sequence[Label]) -> list[Label]:
    """The labels without known names that are no speakers: a system in the middle, keys of data, other spellings."""
    spelling: dict[str, str] = {}
    kept: list[Label] = []
    is_plain = bool(sure) and "plain" in sure[0].form
    starts = {label.start for label in sure}
    for place, label in enumerate(sure):
        late = label.role == "system" and any(other.role != "system" for other in kept)
        if late or (is_plain and (spelling.setdefault(_key(label), label.name) != label.name)):
            continue
        if (
            is_plain
            and label.name.islower()
            and is_data(text, label, starts, (*kept[-1:], *sure[place + 1 : place + 2]))
        ):
            continue
        kept.append(label)
    first = next((_key(label) for label in kept if label.role == "user"), "")
    return [
        label
        for place, label in enumerate(kept)
        if not is_plain or label.role != "user" or _key(label) == first or not _is_doubled(kept, place)
    ]


def _is_doubled(labels: Sequence[Label], place: int) -> bool:
    """Whether the side of a label speaks directly before or after it too."""
    around = [*labels[max(place - 1, 0) : place], *labels[place + 1 : place + 2]]
    return any(other.role == labels[place].role for other in around)


def _weak_pair(text: str, weak: Sequence[Label], labels: Sequence[Label]) -> list[Label]:
    """Labels such as Prompt and Response: the first two names of both sides of which one follows the other."""
    for asks, answers in pairwise(weak):
        if (asks.role, answers.role) == ("user", "assistant"):
            break
    else:
        return []
    names = {_stem(asks), _stem(answers)}
    if names == {"q", "a"} and any(_key(label) == "b" for label in labels):
        return []  # a quiz
    pair = [label for label in weak if _stem(label) in names]
    answered = sum((first.role, second.role) == ("user", "assistant") for first, second in pairwise(pair))
    is_short = answered == 1 and (len(pair) != 2 or not _begins(text, pair[0]))
    return pair if answered * 3 >= len(pair) and not is_short else []


def _stem(label: Label) -> str:
    return re.sub(r"[ ]*\#?\d+$", "", _key(label))


def _begins(text: str, label: Label) -> bool:
    """Whether at most headings and lines of facts stand before a label."""
    before = text[: label.start].removeprefix("\ufeff")
    return all(re.match(r"[ \t]*(?:#|$|---|\*\*[^*]+:?\*\*|>|<!--|\w[\w ]*: )", line) for line in before.split("\n"))


def _alternating(text: str, labels: Sequence[Label]) -> list[Label]:
    """Labels whose sides take turns, else none."""
    turns = sum(first.role != second.role for first, second in pairwise(labels))
    begins = not _has_text(text[: labels[0].start]) or text[: labels[0].start].endswith("\n\n")
    return list(labels) if turns == len(labels) - 1 and (turns > 1 or begins) else []


def _joined(forms: dict[str, list[Label]]) -> list[Label]:
    """The labels of two forms, one for each side."""
    sides: dict[str, list[list[Label]]] = {"user": [], "assistant": []}
    for form, labels in forms.items():
        sure = [label for label in labels if label.is_sure and label.role in _SIDES]
        if sure and form.lstrip("- ")[0] in "#bi" and form != "bare" and len({label.role for label in sure}) == 1:
            sides[sure[0].role].append(sure)
    for asks in sides["user"]:
        for answers in sides["assistant"]:
            labels = _merged(asks, answers)
            turns = sum(first.role != second.role for first, second in pairwise(labels))
            if turns * 2 >= len(labels) - 1:
                return labels
    return []


def _merged(*lists: Iterable[Label]) -> list[Label]:
    return sorted({label.start: label for labels in lists for label in labels}.values(), key=lambda label: label.start)


# --- a side without a known name, and other speakers


def _with_unknown_side(text: str, labels: Sequence[Label]) -> list[Label]:
    """The labels of a form in which one side has a known name and the other an unknown one; else none."""
    sure = _only_labels(text, [label for label in labels if label.is_sure])
    sides = {label.role for label in sure} & set(_SIDES)
    if len(sides) != 1:
        return []
    (side,) = sides
    beside = _beside(labels, sure, side, lambda label: _may_speak(label, sure), text)
    return _with_others(labels, _merged(sure, beside)) if beside else []


def _may_speak(label: Label, beside: Sequence[Label]) -> bool:
    """Whether a label has exactly the form of known ones, and a name that may be one."""
    if label.is_sure or is_no_speaker(label.name):
        return False
    small = label.name[:1].islower() and not any(other.name[:1].islower() for other in beside[:20])
    return not small and any(label.shape == other.shape for other in beside[:20])


def _beside(
    labels: Sequence[Label], sure: Sequence[Label], side: str, allowed: Callable[[Label], bool], text: str = ""
) -> list[Label]:
    """The labels of the name that as a rule answers the user, or that the assistant as a rule answers."""
    order = list(labels) if side == "user" else list(reversed(labels))
    kept = {label.start for label in sure}
    runs, beside, open_ = 0, Counter(), False
    for label in order:
        if label.start in kept:
            runs += not open_ and label.role == side
            open_ = label.role == side
        elif open_ and allowed(label):
            open_ = False
            beside[_key(label)] += 1
    if not beside:
        return []
    name, count = beside.most_common(1)[0]
    chosen = [label for label in labels if _key(label) == name and allowed(label)]
    if count < 2 and not chosen[0].role and not (runs == 1 and _is_one_answer(text, chosen, labels, allowed)):
        return []
    return chosen if count * 2 >= runs else []


def _is_one_answer(
    text: str, chosen: Sequence[Label], labels: Sequence[Label], allowed: Callable[[Label], bool]
) -> bool:
    """Whether the only label of a name may be the one answer of a text."""
    alone = len(chosen) == 1 and sum(allowed(label) for label in labels) == 1
    paragraph = re.search(r"\n[ \t]*\r?\n[ \t>]*$", text[max(chosen[0].start - 20, 0) : chosen[0].start])
    is_name = chosen[0].name[:1].isupper() or not chosen[0].name[:1].islower()
    return alone and is_name and bool(paragraph)


def _with_others(labels: Sequence[Label], accepted: list[Label]) -> list[Label]:
    """`accepted` and the labels of further speakers: a name that speaks where a side would follow itself, or whose
    labels have the next number, or a time as all labels have."""
    names = {_key(label) for label in accepted}
    others: dict[str, list[Label]] = {}
    for label in labels:
        if _key(label) not in names and not label.is_sure and _may_speak(label, accepted):
            others.setdefault(_key(label), []).append(label)
    timed = all(label.time for label in accepted)
    found = list(accepted)
    for own in list(others.values())[: _MOST_NAMES * 4]:
        if timed or _is_numbered(accepted, own) or _fills(accepted, own):
            found = _merged(found, own)
    return found


def _is_numbered(accepted: Sequence[Label], own: Sequence[Label]) -> bool:
    """Whether labels go on with the numbers of the others."""
    order = _merged(accepted, own)
    if len(order) < 3 or any(label.number is None for label in order):
        return False
    return all(first.number + 1 == second.number for first, second in pairwise(order))


def _fills(accepted: Sequence[Label], own: Sequence[Label]) -> bool:
    """Whether a name speaks where otherwise a side would follow itself."""
    filled = certain = place = 0
    for label in own:
        while place < len(accepted) and accepted[place].start < label.start:
            place += 1
        before = accepted[place - 1] if place else None
        after = accepted[place] if place < len(accepted) else None
        if before and after and (before.role or _key(before)) == (after.role or _key(after)):
            filled, certain = filled + 1, certain + 1
        elif before and not after and before.role != "assistant":
            filled += 1
    return certain >= 1 and filled * 3 >= len(own)


# --- one side only, or no known name


def _one_side(text: str, forms: Iterable[Sequence[Label]]) -> list[Label]:
    """The labels of the first form with known names of one side: several, or one with which the text begins."""
    for labels in forms:
        sure = [label for label in labels if label.is_sure and label.form != "bare" and not _is_quoted(label)]
        sure = _only_labels(text, sure) if sure else []
        if len(sure) > 1 or (sure and not _has_text(text[: sure[0].start])):
            return sure
    return []


def _transcript(text: str) -> list[Label]:
    """Labels of a few recurring names, if the first line and most other lines begin with a name."""
    code = {label.start for label in labels_in(text)} if "```" in text or "~~~" in text else None
    labels = [
        Label(match["any"], None, False, "plain", (), match.start(), match.end())
        for match in _ANY_NAME.finditer(text)
        if code is None or match.start() in code
    ]
    names = Counter(label.name for label in labels)
    lines = sum(1 for line in text.split("\n") if line.strip())
    recurring = 2 <= len(names) <= _MOST_NAMES and min(names.values()) > 1
    return labels if recurring and len(labels) * 2 >= lines and not _has_text(text[: labels[0].start]) else []


def _unknown(text: str, forms: Iterable[Sequence[Label]]) -> list[Label]:
    """The labels of a form in which a few unknown names recur, from the beginning of the text on."""
    for labels in forms:
        first = next((label for label in labels if not is_no_speaker(label.name)), None)
        if not first or first.form == "bare" or _is_quoted(first) or not _begins(text, first):
            continue
        own = [label for label in labels if label.shape == first.shape and not is_no_speaker(label.name)]
        names = Counter(_key(label) for label in own)
        often = [label for label in own if names[_key(label)] > 1]
        changes = sum(_key(one) != _key(other) for one, other in pairwise(often))
        is_talk = 2 <= len({_key(label) for label in often}) <= _MOST_NAMES and changes * 2 >= len(often)
        if is_talk and len(often) * 10 >= len(labels) * 7:
            found = own if len(own) == len(labels) else often
        else:  # the first name, and the one that as a rule answers it
            asks = [label for label in own if _key(label) == _key(first)]
            answers = _answers(own, first) if len(asks) > 1 else []
            found = _with_others(labels, _merged(asks, answers)) if answers else []
        if found and (first.form != "plain" or _in_paragraphs(text, found)):
            return found
    return []


def _answers(labels: Sequence[Label], first: Label) -> list[Label]:
    """The labels of the name that as a rule comes after those of a first name, where the two take turns."""
    sided = [label._replace(role="user") if _key(label) == _key(first) else label for label in labels]
    asks = [label for label in sided if label.role == "user"]
    answers = _beside(sided, asks, "user", lambda label: label.role != "user")
    talk = _merged(asks, answers)
    changes = sum(_key(one) != _key(other) for one, other in pairwise(talk))
    return answers if len(answers) > 1 and changes * 4 >= (len(talk) - 1) * 3 else []


def _in_paragraphs(text: str, labels: Sequence[Label]) -> bool:
    """Whether all labels but the first begin a paragraph."""
    return all(re.search(r"\n[ \t]*\r?\n$", text[max(label.start - 9, 0) : label.start]) for label in labels[1:])
