"""The plan rows of a cohort, kept compactly: what many rows share is there once, and a row is put together when it is
asked for. A cohort of 100,000 generations takes 20 MB instead of 200.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from copy import copy
from functools import lru_cache

from msgspec import Struct

from ..generation.model import Generation, Json
from ..generation.rows import CompactRows
from .stages import STAGE_NAMES

RECENT = 1024  # rows that are kept, since who asks for a row often asks again soon
_COORDINATES = {stage: (f"{stage}_template", f"{stage}_llm", f"{stage}_replicate") for stage in STAGE_NAMES}


class Shared(Struct, frozen=True):
    """What generations of one stage, template and model have in common: a row without what is its own, and the names
    in their ids."""

    row: Generation
    template: str
    llm: str | None


class Entry(Struct, frozen=True, gc=False):
    """One generation. `source` is the combination of a draft, the parent of another one."""

    gen_id: str
    shared: Shared
    source: str
    replicate: int


class Planned(CompactRows):
    """Plan rows by id, in the order in which they were planned. A row is not kept for long.

    `concepts(combo_id)` are a combination's concepts as a variable; `kept(gen_id)` are the wildcards of a parent that
    is not planned here, or None.
    """

    def __init__(
        self, concepts: Callable[[str], Sequence[Json]], kept: Callable[[str], Mapping[str, Json] | None]
    ) -> None:
        self._concepts, self._kept = concepts, kept
        self.entries: dict[str, Entry] = {}
        self._row = lru_cache(RECENT)(self._make)

    def __len__(self) -> int:
        return len(self.entries)

    def __iter__(self) -> Iterator[str]:
        return iter(self.entries)

    def __contains__(self, gen_id: object) -> bool:
        return gen_id in self.entries

    def __getitem__(self, gen_id: str) -> Generation:
        return self._row(gen_id)

    def _make(self, gen_id: str) -> Generation:
        entry = self.entries[gen_id]
        row, source = copy(entry.shared.row), entry.source
        row.gen_id, row.replicate = gen_id, entry.replicate
        row.wildcards = self._wildcards(entry)
        if row.stage == "draft":
            row.parents, row.variables = [], {"concepts": self._concepts(source)}
            return row
        row.parents, parent = [source], {"parent": source}
        row.variables = {"draft_block": parent, "links_block": parent} if row.stage == "essay" else {"response": parent}
        return row

    def _wildcards(self, entry: Entry) -> dict[str, Json]:
        row, source = entry.shared.row, entry.source
        if row.stage == "draft":
            before: Mapping[str, Json] = {"combo_id": source}
        elif (kept := self._kept(source)) is not None:
            before = kept
        else:
            before = self._wildcards(self.entries[source])
        template, llm, replicate = _COORDINATES[row.stage]
        model_id = row.model.model_id if row.model else None
        return {**before, template: row.template_id, llm: model_id, replicate: entry.replicate}

    def stage(self, gen_id: str) -> str:
        """The stage of a generation."""
        return self.entries[gen_id].shared.row.stage

    def combo_id(self, gen_id: str) -> str:
        """The combination of a generation; "" if unknown."""
        entry = self.entries[gen_id]
        while entry.shared.row.stage != "draft":
            if (kept := self._kept(entry.source)) is not None:
                return kept.get("combo_id") or ""
            entry = self.entries[entry.source]
        return entry.source

    def leaves(self) -> list[tuple[str, str]]:
        """(stage, id) of the generations that are nobody's parent."""
        sources = {entry.source for entry in self.entries.values()}
        return [(entry.shared.row.stage, gen_id) for gen_id, entry in self.entries.items() if gen_id not in sources]


class RowIds:
    """For each row of a spec, by stage, the ids of what it names; a list for each stage."""

    def __init__(self) -> None:
        self._columns: tuple[list[str | None], ...] = tuple([] for _ in STAGE_NAMES)

    def append(self, ids: Mapping[str, str]) -> None:
        """Add the ids of the next row."""
        for stage, column in zip(STAGE_NAMES, self._columns, strict=True):
            column.append(ids.get(stage))

    def __len__(self) -> int:
        return len(self._columns[0])

    def __iter__(self) -> Iterator[dict[str, str]]:
        for ids in zip(*self._columns, strict=True):
            yield {stage: gen_id for stage, gen_id in zip(STAGE_NAMES, ids, strict=True) if gen_id is not None}
