"""The file of a shard: what its job made, and what it could not make.

`data/shards/<kind>/<scope>/<unit>/<shard>.json` has for each generation the digests of its inputs and of its result,
and its summary; it has the same bytes whenever the results are the same. Beside it, `<shard>.stamps` has a number for
the four files of each generation that changes with them. So a run reads some hundred files instead of every
metadata.json. Both are shortcuts: a generation whose stamp differs is read from its own files.
"""

import os
from collections.abc import Mapping
from typing import Any  # the content of either file

import msgspec

from .files import write_atomic
from .generation.digest import Entry
from .generation.layout import Layout
from .generation.summary import Summary
from .shards import ALL, Shards


class ShardFile(msgspec.Struct, frozen=True):
    """The content of a file. `missing` has the reason for each generation that could not be made."""

    generations: dict[str, Entry] = {}
    missing: dict[str, str] = {}


_SHARD = msgspec.json.Decoder(ShardFile)
_STAMPS = msgspec.json.Decoder(dict[str, int])


class ShardRecords:
    """The files of the shards of a plan. What a file said is kept when Snakemake deletes it before it runs the job."""

    def __init__(self, shards: Shards) -> None:
        self.shards, self.layout = shards, shards.layout
        self._files: dict[str, tuple[int, Any]] = {}
        self._scopes = [ALL, *sorted({folder.name for folder in self.layout.root.glob("shards/*/*")} - {ALL})]

    def read(self, path: str) -> ShardFile | None:
        """The content of the file of a shard; None if there was none, or if it is damaged: its job writes it again."""
        return self._read(path, _SHARD)

    def stamps(self, path: str) -> dict[str, int]:
        """The stamps beside the file of a shard."""
        return self._read(stamps_path(path), _STAMPS) or {}

    def _read(self, path: str, decoder: msgspec.json.Decoder) -> Any:
        changed, content = self._files.get(path, (0, None))
        try:
            now = os.stat(path).st_mtime_ns  # noqa: PTH116
            if now != changed:
                with open(path, "rb") as stream:  # noqa: PTH123
                    content = decoder.decode(stream.read())
                self._files[path] = (now, content)
        except FileNotFoundError:
            pass
        except (OSError, msgspec.MsgspecError):
            return None
        return content

    def summary(self, stage: str, gen_id: str) -> Summary | None:
        """The summary of a generation; None if no file of a shard has it."""
        entry = self.entry(stage, gen_id)
        return entry and entry.summary

    def entry(self, stage: str, gen_id: str) -> Entry | None:
        """What a shard's file says of a generation whose files have not changed since; None if none says so."""
        segment = self.shards.segment(gen_id)
        now = 0
        for scope in self._scopes if segment else ():
            path = self.shards.path(segment, scope)
            file = self.read(path)
            if file is not None and (entry := file.generations.get(gen_id)) is not None:
                now = now or stamp(self.layout, stage, gen_id)
                if now and self.stamps(path).get(gen_id) == now:
                    return entry
        return None


def stamps_path(path: str) -> str:
    """The file with the stamps of a shard."""
    return path.removesuffix(".json") + ".stamps"


def write_shard(path: str, generations: Mapping[str, Entry], missing: Mapping[str, str]) -> None:
    """Write the file of a shard, with a line for each generation."""
    encode = msgspec.json.encode
    lines = [b"%s: %s" % (encode(gen_id), encode(entry)) for gen_id, entry in generations.items()]
    text = b'{"generations": {\n%s\n},\n"missing": %s}\n' % (b",\n".join(lines), encode(missing))
    write_atomic(path, text)


def write_stamps(path: str, stamps: Mapping[str, int]) -> None:
    """Write the stamps beside the file of a shard."""
    write_atomic(stamps_path(path), msgspec.json.encode(stamps))


def stamp(layout: Layout, stage: str, gen_id: str) -> int:
    """A number that changes whenever one of the four files of a generation changes; 0 if one is absent. It is the sum
    of their times of change (ctime, in microseconds), which the system sets and no program can set back."""
    folder = f"{layout.root}/gens/{stage}/{gen_id}/"
    try:
        return sum(os.stat(folder + name).st_ctime_ns // 1000 for name in layout.file_names(stage))  # noqa: PTH116
    except OSError:
        return 0
