"""Conversations with the same id: two exports of one conversation, or two by coincidence.

Of one conversation the newer copy is used: by the last time in it, then by its turns, then by the time of its file. An
id from an export means that they are one. An id from the name of a file means nothing: they are one if the text of one
begins with that of the other; else both stay, and the one that had the id keeps it. So nothing that was said is lost.
"""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec

from ..files import sha256
from .index import Index, Source, Talk, stored_talk

RESERVED = (
    "upgrade",
    "clusters",
    "result.json",
    "clusters.json",
    "notes.json",
)  # names beside the conversations' folders


class _Copy(NamedTuple):
    file: Source
    talk: Talk
    place: int  # in its file


def resolved(index: Index, before: Index | None, folder: Path, fresh: Mapping[str, bytes]) -> Index:
    """The index with the id of each conversation, and what was done about ids that occur twice. `before` is the index
    of the last time: what had an id keeps it."""
    held = {talk.conversation_id: file.path for file in before.files for talk in file.talks} if before else {}
    copies: dict[str, list[_Copy]] = defaultdict(list)
    for file in index.files:
        for place, talk in enumerate(file.talks):
            copies[talk.read_as].append(_Copy(file, talk, place))
    ids: dict[tuple[str, int], str] = {}
    again: Counter[tuple[str, str, bool]] = Counter()  # (file that is used, other file, is it the same text)
    told: list[str] = []
    for name, group in copies.items():
        holder = held.get(name)
        kept = [group[0]]
        if len(group) > 1:
            kept, left_out = _apart(group, holder, folder, fresh)
            again.update(
                (used.file.path, copy.file.path, used.talk.text_sha256 == copy.talk.text_sha256)
                for copy, used in left_out
            )
            ids |= {(copy.file.path, copy.place): "" for copy, _ in left_out}
            holder = next((used.file.path for copy, used in left_out if copy.file.path == holder), holder)
        own = [copy for copy in kept if held.get(_other_id(copy)) != copy.file.path]
        first = next((copy for copy in own if copy.file.path == holder), own[0] if own else None)
        for copy in kept:
            is_first = copy is first and name not in RESERVED
            ids[copy.file.path, copy.place] = name if is_first else _other_id(copy)
        base = first or kept[0]
        told += [
            f"{copy.file.path}: its conversation {name} is another one than that of {base.file.path}; its id is "
            f"{ids[copy.file.path, copy.place]}"
            for copy in kept
            if copy is not base
        ]
    files = [
        msgspec.structs.replace(
            file,
            talks=[
                msgspec.structs.replace(talk, conversation_id=ids[file.path, place])
                for place, talk in enumerate(file.talks)
            ],
        )
        for file in index.files
    ]
    return msgspec.structs.replace(index, files=files, told=[*_words(again), *told])


def _apart(
    group: Sequence[_Copy], holder: str | None, folder: Path, fresh: Mapping[str, bytes]
) -> tuple[list[_Copy], list[tuple[_Copy, _Copy]]]:
    """The conversations to keep, in the order of their files; and (copy, what is used instead) of the others."""

    def newest(copy: _Copy) -> tuple[str, int, int, bool, int]:
        return copy.talk.newest, copy.talk.turns, copy.file.mtime_ns, copy.file.path == holder, -copy.place

    if not any(copy.talk.by_file for copy in group):
        best = max(group, key=newest)
        same = [copy for copy in group if copy.talk.text_sha256 == best.talk.text_sha256]
        best = next((copy for copy in same if copy.file.path == holder), best)
        return [best], [(copy, best) for copy in group if copy is not best]
    kept: list[tuple[_Copy, str]] = []
    left_out: list[tuple[_Copy, _Copy]] = []
    for copy in sorted(group, key=lambda copy: (copy.talk.characters, copy.file.path == holder), reverse=True):
        text = stored_talk(folder, copy.file.cache, copy.talk, fresh).conversation.text
        longer = next((other for other, whole in kept if whole.startswith(text)), None)
        if longer:
            left_out.append((copy, longer))
        else:
            kept.append((copy, text))
    return [copy for copy in group if any(copy is other for other, _ in kept)], left_out


def _other_id(copy: _Copy) -> str:
    """An id for a conversation whose own is taken, which does not depend on the other files."""
    return f"{copy.talk.read_as[:110]}-{sha256(f'{copy.file.path} {copy.place}')[:12]}"


def _words(again: Mapping[tuple[str, str, bool], int]) -> list[str]:
    """What is said about the copies that are not used."""
    lines = []
    for used, other in dict.fromkeys((used, other) for used, other, _ in again):
        same, newer = again.get((used, other, True), 0), again.get((used, other, False), 0)
        where = "twice in it" if used == other else f"in {used} too"
        parts = [f"{same:,} the same"] if same else []
        parts += [f"{newer:,} newer there" if used != other else f"{newer:,} in two states"] if newer else []
        lines.append(
            f"{other}: {_counted(same + newer)} {where} ({', '.join(parts)}); "
            + ("the newer copy is used" if used == other else "those are used")
        )
    return lines


def _counted(number: int) -> str:
    return f"{number:,} conversations are" if number > 1 else "a conversation is"
