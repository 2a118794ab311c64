"""The file of a shard: what its job made, and what it could not make.

`data/shards/<kind>/<scope>/<unit>/<shard>.json` has for each generation the digests of its inputs and of its result,
and a stamp of its four files, so that a run reads some hundred files instead of every metadata.json. It is a shortcut:
a generation whose stamp differs is read from its own files, and without the file of a shard its job reads them all.
"""

import os
from collections.abc import Mapping

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


_DECODER = msgspec.json.Decoder(ShardFile)


class ShardRecords:
    """The files of the shards of a plan. What a file said is kept when Snakemake deletes it before it runs the job."""

    def __init__(self, shards: Shards) -> None:
        self.shards, self.layout = shards, shards.layout
        self._files: dict[str, tuple[int, ShardFile]] = {}
        folders = self.layout.root.glob("shards/*/*")
        self._scopes = sorted({folder.name for folder in folders}, key=lambda name: name != ALL)

    def read(self, path: str) -> ShardFile | None:
        """The content of the file of a shard; None if there was none, or if it is damaged: its job writes it again."""
        changed, file = self._files.get(path, (0, None))
        try:
            now = os.stat(path).st_mtime_ns  # noqa: PTH116
            if now != changed:
                with open(path, "rb") as stream:  # noqa: PTH123
                    file = _DECODER.decode(stream.read())
                self._files[path] = (now, file)
        except FileNotFoundError:
            pass
        except (OSError, msgspec.MsgspecError):
            return None
        return file

    def summary(self, stage: str, gen_id: str) -> Summary | None:
        """The summary of such a generation."""
        entry = self.entry(stage, gen_id)
        return entry and entry.summary

    def entry(self, stage: str, gen_id: str) -> Entry | None:
        """What a shard's file says of a generation whose files have not changed since; None if none says so."""
        segment = self.shards.segment(gen_id)
        now = 0
        for scope in self._scopes if segment else ():
            file = self.read(self.shards.path(segment, scope))
            if file is not None and (entry := file.generations.get(gen_id)) is not None:
                now = now or stamp(self.layout, stage, gen_id)
                if now and entry.stamp == now:
                    return entry
        return None


def write_shard(path: str, generations: Mapping[str, Entry], missing: Mapping[str, str]) -> None:
    """Write the file of a shard, with a line for each generation."""
    encode = msgspec.json.encode
    lines = [b"%s: %s" % (encode(gen_id), encode(entry)) for gen_id, entry in generations.items()]
    text = b'{"generations": {\n%s\n},\n"missing": %s}\n' % (b",\n".join(lines), encode(missing))
    write_atomic(path, text)


def stamp(layout: Layout, stage: str, gen_id: str) -> int:
    """A number that changes whenever one of the four files of a generation changes; 0 if one is absent. It is the sum
    of their times of change (ctime, in microseconds), which the system sets and no program can set back."""
    folder = f"{layout.root}/gens/{stage}/{gen_id}/"
    try:
        return sum(os.stat(folder + name).st_ctime_ns // 1000 for name in layout.file_names(stage))  # noqa: PTH116
    except OSError:
        return 0
