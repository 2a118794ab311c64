"""What was read of the files of conversations: an index of the files, and each conversation when it is asked for.

    data/talks/index.json, read/<digest>.msgpack

The index is small, so a run that starts reads it and no conversation. A file of `read/` has the conversations of one
source with their units; its name is a digest of what decides it, so it never changes and may be deleted.
"""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple, TypeVar

import msgspec

from ..errors import DreamflowError
from ..files import write_atomic
from .conversation import Conversation, Unit

T = TypeVar("T")

INDEX, READ = "index.json", "read"
_KEPT = 8  # conversations in memory: jobs ask for the conversation, then for its units


class Talk(msgspec.Struct, frozen=True, omit_defaults=True):
    """A conversation in a file. `read_as` is its id there, `conversation_id` its id here: "" if another copy of it is
    used instead. `digest` is that of all that archives show; its bytes are `place` (begin, end) of the file of `read`.
    """

    read_as: str
    conversation_id: str
    title: str
    turns: int
    characters: int
    text_sha256: str
    digest: str
    place: tuple[int, int]
    by_file: bool = False  # its id is the name of its file
    first_time: str | None = None
    last_time: str | None = None
    newest: str = ""  # the last time that can be compared: ISO 8601 in UTC


class Source(msgspec.Struct, frozen=True, omit_defaults=True):
    """A file of conversations, by its path in their folder, as it was when it was read. `mtime_ns` is -1 if it could
    not be opened. `problems` are what could not be read in it, `notices` what a person may want to look at."""

    path: str
    size: int
    mtime_ns: int
    cache: str = ""  # the file of `read` without its suffix
    talks: list[Talk] = []
    problems: list[str] = []
    notices: list[str] = []


class Index(msgspec.Struct, frozen=True, omit_defaults=True):
    """What was read. `method` is a digest of how, `told` says what was done about conversations that occur twice."""

    method: str
    files: list[Source] = []
    told: list[str] = []

    @property
    def problems(self) -> list[str]:
        """What could not be read, one line each."""
        return [problem for file in self.files for problem in file.problems]

    @property
    def notices(self) -> list[str]:
        """What was read, but may be read otherwise than meant; and conversations that occur twice."""
        return [*(notice for file in self.files for notice in file.notices), *self.told]


class Stored(msgspec.Struct, frozen=True, array_like=True):
    """A conversation with its units, in a file of `read`."""

    conversation: Conversation
    units: tuple[Unit, ...]


_INDEX = msgspec.json.Decoder(Index)
_DECODER = msgspec.msgpack.Decoder(Stored)


def load_index(folder: Path) -> Index:
    """The index in a folder (data/talks). Raises a `DreamflowError` if it is missing or damaged."""
    path = folder / INDEX
    if not path.exists():
        raise DreamflowError(f"{path}: no such file; run `snakemake chunks` to read the conversations")
    try:
        return _INDEX.decode(path.read_bytes())
    except (msgspec.DecodeError, msgspec.ValidationError) as error:
        raise DreamflowError(f"{path}: damaged: {error}. Run `snakemake chunks` to make it again") from None


def write_index(folder: Path, index: Index) -> None:
    """Write the index."""
    write_atomic(folder / INDEX, msgspec.json.format(msgspec.json.encode(index)) + b"\n")


class Part(Mapping[str, T]):
    """What `read` returns for some names."""

    def __init__(self, names: Collection[str], read: Callable[[str], T]) -> None:
        self.names, self.read = names, read

    def __len__(self) -> int:
        return len(self.names)

    def __iter__(self) -> Iterator[str]:
        return iter(self.names)

    def __contains__(self, name: object) -> bool:
        return name in self.names

    def __getitem__(self, name: str) -> T:
        if name not in self.names:
            raise KeyError(name)
        return self.read(name)


class _Place(NamedTuple):
    file: Source
    talk: Talk


class Library(Mapping[str, Conversation]):
    """The conversations of an index by id, sorted. A conversation is read when it is asked for: `places` has what the
    index says, `stored` gives it with its units. `fresh` has the content of files of `read` that are not written."""

    def __init__(self, folder: Path, index: Index, fresh: Mapping[str, bytes] | None = None) -> None:
        self.folder, self.index, self.fresh = folder, index, fresh or {}
        places = {
            talk.conversation_id: _Place(file, talk)
            for file in index.files
            for talk in file.talks
            if talk.conversation_id
        }
        self.places = dict(sorted(places.items()))
        self.stored = lru_cache(_KEPT)(self._stored)

    def __len__(self) -> int:
        return len(self.places)

    def __iter__(self) -> Iterator[str]:
        return iter(self.places)

    def __contains__(self, conversation_id: object) -> bool:  # without reading it
        return conversation_id in self.places

    def __getitem__(self, conversation_id: str) -> Conversation:
        return self.stored(conversation_id).conversation

    def _stored(self, conversation_id: str) -> Stored:
        file, talk = self.places[conversation_id]
        stored = stored_talk(self.folder, file.cache, talk, self.fresh)
        if talk.read_as == conversation_id:
            return stored
        return Stored(replace(stored.conversation, conversation_id=conversation_id), stored.units)


def stored_talk(folder: Path, cache: str, talk: Talk, fresh: Mapping[str, bytes]) -> Stored:
    """A conversation as it was read. Raises a `DreamflowError` if its file of `read` is missing or damaged."""
    begin, end = talk.place
    path = cache_path(folder, cache)
    try:
        if cache in fresh:
            return _DECODER.decode(fresh[cache][begin:end])
        with path.open("rb") as stream:
            stream.seek(begin)
            return _DECODER.decode(stream.read(end - begin))
    except FileNotFoundError:
        raise DreamflowError(f"{path}: no such file; run `snakemake chunks` to make it") from None
    except (msgspec.DecodeError, msgspec.ValidationError) as error:
        raise DreamflowError(f"{path}: damaged: {error}. Delete it and run `snakemake chunks`") from None


def cache_path(folder: Path, cache: str) -> Path:
    """A file of `read`."""
    return folder / READ / f"{cache}.msgpack"


def shown(lines: Sequence[str], most: int = 20) -> list[str]:
    """The first of many lines, and how many more there are."""
    return [*lines[:most], *([f"and {len(lines) - most:,} more"] if len(lines) > most else [])]
