"""Shards: the generations that one job makes, when there are too many for a job each.

A shard is a set of whole trees of generations (a draft, its essays, their evaluations). Which tree lies in which shard
is a pure function of the plan: the trees of a unit (see `Family.unit`) are ordered by a hash, and the space of hashes
is halved until no part has more than `size` generations. The name of a part is the prefix of its hashes, so a tree
that comes or goes changes one shard, or splits or joins one.

A shard has several segments, one job each, where generations wait for the job of another rule (evidence) or for
another shard. The level of a segment is the number of such waits before it, so jobs never wait for each other in turn.
"""

from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

from .deferred import Deferred
from .files import is_name, sha256
from .generation.model import Generation
from .generation.models import Model
from .generation.providers import provider

if TYPE_CHECKING:
    from .plan import Plan

BITS = 64  # of a place: those of the tree's root, then those of the part that was cut off
ALL = "all"  # the scope of a job that makes all generations of a segment
MAIN, CLUSTER, GPU = "main", "cluster", "gpu"  # where jobs run: in the main process, or in cluster jobs


@dataclass(frozen=True, eq=False)
class Segment:
    """The generations of a shard that one job makes, parents first. `name` is the path of its file without the scope,
    `outside` are parents that other jobs make, `evidence` the files with measurements (in the data folder), and
    `is_local` tells whether a local model answers for some of them."""

    kind: str
    name: str
    level: int
    gen_ids: tuple[str, ...]
    outside: tuple[str, ...]
    evidence: tuple[str, ...]
    is_local: bool


class Group(NamedTuple):
    """The generations that may lie in the same shards: those of a unit that are made in the same kind of jobs. `size`
    is the most that a shard has."""

    kind: str
    unit: str
    size: int


def assign(
    rows: Iterable[Generation], group_of: Callable[[Generation], Group], outside: Callable[[str], Segment | None]
) -> Iterator[Segment]:
    """The segments of `rows`, whose parents come first. `outside(gen_id)` is the segment of a parent that is not in
    `rows`, None if no job makes it.

    A row lies in the shard of its first parent if both are in the same group, and if not more than the size of a shard
    descends from that parent.
    """
    group: dict[str, Group] = {}
    parents: dict[str, Sequence[str]] = {}
    measured: dict[str, str] = {}
    local: set[str] = set()
    for row in rows:  # which are not kept: all together they are large
        group[row.gen_id], parents[row.gen_id] = group_of(row), row.parents
        if row.evidence is not None:
            measured[row.gen_id] = row.evidence.file
        if is_local(row):
            local.add(row.gen_id)
    above = {gen_id: first[0] if first else "" for gen_id, first in parents.items()}
    weight = dict.fromkeys(parents, 1)  # of a row with its descendants in the same group
    for gen_id in reversed(parents):
        if group.get(above[gen_id]) == group[gen_id]:
            weight[above[gen_id]] += weight[gen_id]
    place: dict[str, int] = {}
    for gen_id, parent in above.items():
        if group.get(parent) == group[gen_id] and weight[parent] <= group[gen_id].size:
            place[gen_id] = place[parent]
        else:  # near the trees that it depends on
            own = int(sha256(gen_id)[: BITS // 4], 16)
            place[gen_id] = (place[parent] >> 32 << 32) | (own >> 32) if parent in place else own
    sizes: dict[Group, Counter[int]] = defaultdict(Counter)  # of the trees at a place
    for gen_id in parents:
        sizes[group[gen_id]][place[gen_id]] += 1
    prefixes = {one: _halve(counts, one.size) for one, counts in sizes.items()}
    level: dict[str, int] = {}
    members: dict[tuple[Group, str, int], list[str]] = defaultdict(list)
    for gen_id, own_parents in parents.items():
        shard = (group[gen_id], prefixes[group[gen_id]][place[gen_id]])
        waits = 0
        for parent in own_parents:
            if parent in level:
                same = (group[parent], prefixes[group[parent]][place[parent]]) == shard
                waits = max(waits, level[parent] + (not same or gen_id in measured))
            elif (other := outside(parent)) is not None:
                waits = max(waits, other.level + 1)
        level[gen_id] = waits
        members[*shard, waits].append(gen_id)
    for (one, prefix, waits), gen_ids in members.items():
        own = set(gen_ids)
        yield Segment(
            kind=one.kind,
            name=f"{one.unit}/s{prefix}.{waits}",
            level=waits,
            gen_ids=tuple(gen_ids),
            outside=tuple(dict.fromkeys(p for gen_id in gen_ids for p in parents[gen_id] if p not in own)),
            evidence=tuple(dict.fromkeys(measured[gen_id] for gen_id in gen_ids if gen_id in measured)),
            is_local=not local.isdisjoint(own),
        )


def _halve(counts: Mapping[int, int], size: int) -> dict[int, str]:
    """The prefix of each place, in bits, so that not more than `size` rows share a prefix unless they share a place."""
    places = sorted(counts)
    before = [0]
    for each in places:
        before.append(before[-1] + counts[each])
    prefixes: dict[int, str] = {}
    parts = [("", 0, len(places))]
    while parts:
        prefix, low, high = parts.pop()
        if before[high] - before[low] <= size or high - low <= 1:
            prefixes |= dict.fromkeys(places[low:high], prefix)
            continue
        half = int(prefix + "1", 2) << (BITS - len(prefix) - 1)
        middle = bisect_left(places, half, low, high)
        parts += [(prefix + "0", low, middle), (prefix + "1", middle, high)]
    return prefixes


class Shards:
    """The shards of a plan, and the files that tell that generations are made: `<data>/shards/<kind>/<scope>/<unit>/
    <shard>.json`. A scope is `ALL` or a stage: then the job makes the generations of that stage, and what they need.
    """

    def __init__(self, plan: "Plan") -> None:
        settings = plan.world.settings
        self.plan, self.layout, self.size, self.pack = plan, plan.world.layout, settings.shards.size, settings.pack
        self._groups: dict[tuple[str, ...], Group] = {}
        self._deferred: dict[Deferred, tuple[Mapping[str, Generation], dict[str, Segment]]] = {}
        self._by_path: dict[str, tuple[Segment, str]] = {}

    @cached_property
    def _planned(self) -> dict[str, Segment]:
        families = {gen_id: one for one in reversed(self.plan.families.values()) for gen_id in one.generations}
        world = self.plan.world

        def group(row: Generation) -> Group:
            family = families[row.gen_id]
            return self._group(row, (family.name, *family.unit(row, world.origin[row.gen_id])))

        segments = assign(world.generations.values(), group, lambda gen_id: None)
        return {gen_id: segment for segment in segments for gen_id in segment.gen_ids}

    def _group(self, row: Generation, unit: tuple[str, ...]) -> Group:
        kind = kind_of(row, self.plan.models) if self.pack else MAIN
        if kind != MAIN:
            unit = (*unit, row.model.model_id)  # a job loads one model
        if (kind, *unit) not in self._groups:
            name = "/".join(part if is_name(part) else sha256(part)[:16] for part in unit)
            self._groups[kind, *unit] = Group(kind, name, self.size if kind == MAIN else self.pack)
        return self._groups[kind, *unit]

    def segment(self, gen_id: str) -> Segment | None:
        """The segment of a planned or deferred generation; None if the id is unknown."""
        if gen_id in self._planned:
            return self._planned[gen_id]
        for deferred in self.plan.deferred_files:
            if gen_id in deferred.generations:
                return self._segments_of(deferred)[gen_id]
        return None

    def _segments_of(self, deferred: Deferred) -> dict[str, Segment]:
        rows = deferred.generations
        read, segments = self._deferred.get(deferred, (None, {}))
        if read is not rows:
            file = deferred.path.relative_to(self.layout.root).with_suffix("").parts
            own = [row for row in rows.values() if row.gen_id not in self._planned]

            def group(row: Generation) -> Group:
                family = self.plan.family_of_stage[row.stage]
                return self._group(row, (*file, *family.unit(row, deferred.origin)))

            segments = {gen_id: one for one in assign(own, group, self._planned.get) for gen_id in one.gen_ids}
            self._deferred[deferred] = (rows, segments)
        return segments

    def path(self, segment: Segment, scope: str) -> str:
        """The file that the job of a segment writes."""
        path = f"{self.layout.root}/shards/{segment.kind}/{scope}/{segment.name}.json"
        self._by_path[path] = (segment, scope)
        return path

    def files(self, gen_ids: Iterable[str], scope: str = ALL) -> list[str]:
        """The files that tell that these generations are made."""
        segments = dict.fromkeys(segment for gen_id in gen_ids if (segment := self.segment(gen_id)) is not None)
        return [self.path(segment, scope) for segment in segments]

    def find(self, path: str) -> tuple[Segment, str] | None:
        """The segment and the scope of a file; None if no segment has that file (any more)."""
        segment, scope = self._by_path.get(path, (None, ""))
        if segment is None or self.segment(segment.gen_ids[0]) is not segment:
            self._by_path.pop(path, None)
            scope = path.removeprefix(f"{self.layout.root}/shards/").split("/")[1]
            self.files(self.plan.generations, scope)  # notes the paths
        return self._by_path.get(path)

    def gen_ids(self, segment: Segment, scope: str) -> list[str]:
        """The generations that a job of this scope makes, parents first."""
        if scope == ALL:
            return list(segment.gen_ids)
        rows = {gen_id: self.plan.find(gen_id) for gen_id in segment.gen_ids}
        wanted = {gen_id for gen_id, row in rows.items() if row.stage == scope}
        for gen_id in reversed(segment.gen_ids):
            if gen_id in wanted:
                wanted.update(rows[gen_id].parents)
        return [gen_id for gen_id in segment.gen_ids if gen_id in wanted]

    def inputs(self, segment: Segment, scope: str) -> list[str]:
        """The files that a job waits for: those of the segments of parents, and those of unplanned parents."""
        parents = segment.outside
        if scope != ALL:
            needed = {parent for gen_id in self.gen_ids(segment, scope) for parent in self.plan.find(gen_id).parents}
            parents = tuple(parent for parent in parents if parent in needed)
        files: dict[str, None] = {}
        for parent in parents:
            if (row := self.plan.find(parent)) is None:
                folder = self.plan.folder(parent)
                names = (self.layout.parsed_name(folder.parent.name), "metadata.json")
                files |= dict.fromkeys(f"{folder}/{name}" for name in names)
            else:
                files |= dict.fromkeys(self.files([parent], scope if scope == ALL else row.stage))
        return list(files)

    def remove_unplanned(self) -> None:
        """Remove the files of shards that the plan does not have (any more)."""
        for path in self.layout.root.glob("shards/**/*.json"):
            if self.find(str(path)) is None:
                path.unlink()
                path.with_suffix(".stamps").unlink(missing_ok=True)


def is_local(row: Generation) -> bool:
    """Whether a model in the process of its job may answer for a generation."""
    if row.model is None:
        return False
    return provider(row.model.provider).is_local or any(
        provider(each.model.provider).is_local for each in row.fallbacks
    )


def kind_of(row: Generation, models: Mapping[str, Model]) -> str:
    """Where a generation is made if the configuration sets `pack`: in cluster jobs if only local models may answer."""
    own = [models[candidate.model.model_id] for candidate in row.candidates]
    if row.mode != "llm" or not all(provider(model.provider).is_local for model in own):
        return MAIN
    return GPU if any(model.gpu_layers for model in own) else CLUSTER
