"""The jobs of shards: which have to run, and how one makes its generations.

All jobs of a process share its pools of threads, so their calls overlap: a job has no wait of its own but for its last
generations, while others go on. Parents stay in memory until their children are made.
"""

import threading
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Container, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from queue import SimpleQueue

from .errors import DreamflowError
from .generation.digest import Entry, Freshness, late_input
from .generation.make import Context, as_parent, make_with_parents, read_parent, read_result
from .generation.model import Generation, Parent, Result
from .generation.stopping import STOPPING, stopped
from .generation.summary import SCORED_STAGES, summarise
from .local_queue import LocalQueue
from .shard_files import ShardRecords, stamp, write_shard, write_stamps
from .shards import Segment, Shards, is_local


class Pools:
    """The threads of a process that make generations: `calls` at a time, and `local` by models in this process."""

    def __init__(self, calls: int, local: int) -> None:
        self._calls = ThreadPoolExecutor(calls, thread_name_prefix="generation")
        self._local = LocalQueue(local)

    def submit(self, row: Generation, work: Callable[[], object]) -> Future:
        """Do some work for a generation."""
        if is_local(row):
            return self._local.submit(row.model.model_id, row.template_id, work)
        return self._calls.submit(work)


class NotMade(Exception):
    """A generation that could not be made, for a reason that was reported."""


class ShardJobs:
    """The shards of a plan, for the rules. `report(generation, error)` logs and shows an error, and returns its
    message; `on_kept(generation)` is called with each that turns out to be up to date."""

    def __init__(
        self,
        shards: Shards,
        records: ShardRecords,
        freshness: Freshness,
        context: Context,
        pools: Pools,
        report: Callable[[Generation, Exception], str],
        on_kept: Callable[[Generation], None],
    ) -> None:
        self.shards, self.records, self.plan, self.layout = shards, records, shards.plan, shards.layout
        self.freshness, self.context, self.pools = freshness, context, pools
        self.report, self.on_kept = report, on_kept
        self._making: dict[str, Future] = {}  # by gen_id: jobs of several scopes may need the same generation
        self._guard = threading.Lock()

    def find(self, path: str) -> tuple[Segment, str]:
        """The segment and the scope of a file. Raises a `DreamflowError` if the plan has no such file."""
        found = self.shards.find(path)
        if found is None:
            raise DreamflowError(f"{path}: the plan has no such shard; request a target such as `all` instead")
        return found

    def gen_ids(self, path: str) -> list[str]:
        """The generations of a job, parents first."""
        return self.shards.gen_ids(*self.find(path))

    def is_due(self, path: str, *, dry: bool) -> bool:
        """Whether a job has to run: a generation is stale, or differs from what the file says. If only times of files
        have changed, as in a copy of the project, the stamps are brought up to date, unless `dry`."""
        file, gen_ids = self.records.read(path), self.gen_ids(path)
        if file is None or file.missing or len(file.generations) != len(gen_ids):
            return True
        has_moved = False
        for gen_id in gen_ids:
            said = file.generations.get(gen_id)
            if said is None or self.freshness.is_stale(gen_id):
                return True
            entry = self.freshness.entry(self.plan.stage(gen_id), gen_id)
            if entry is not said:
                has_moved = True
                found = (entry.inputs_sha256, *self.freshness.result(gen_id))
                if found != (said.inputs_sha256, said.status, said.parsed_sha256):
                    return True
        if has_moved and not dry:
            write_stamps(path, {gen_id: stamp(self.layout, self.plan.stage(gen_id), gen_id) for gen_id in gen_ids})
        return False

    def make(self, path: str) -> None:
        """Make the stale generations of a shard, and write its file. One that cannot be made is reported, and the file
        lists it as missing; the others are made. Raises a `DreamflowError` if the run is stopped."""
        self.freshness.forget()  # jobs in other processes may have made parents
        gen_ids = self.gen_ids(path)
        before = self.records.read(path)
        work = _Work(self, gen_ids, before.missing if before else {})
        work.do()
        if STOPPING.is_set():
            raise stopped()
        made = [gen_id for gen_id in gen_ids if gen_id in work.entries]
        write_stamps(path, {gen_id: work.stamps[gen_id] for gen_id in made})
        write_shard(path, {gen_id: work.entries[gen_id] for gen_id in made}, work.missing)

    def kept(self, gen_id: str) -> tuple[Entry, int]:
        """The entry of a generation that is up to date, and its stamp."""
        stage = self.plan.stage(gen_id)
        entry, now = self.freshness.entry(stage, gen_id), stamp(self.layout, stage, gen_id)
        if entry.parsed_sha256:
            return entry, now
        folder = self.layout.generation(stage, gen_id)
        result = read_result(folder)
        return self.entry(result, as_parent(result, (folder / self.layout.parsed_name(stage)).read_bytes())), now

    def start(self, row: Generation, parents: Sequence[Parent], *, failed_before: bool) -> Future:
        """Make a generation in a thread; the future has its entry, its stamp, and what its children see."""

        def work() -> tuple[Entry, int, Parent]:
            if STOPPING.is_set():
                raise NotMade("the run was stopped")
            try:
                result, own = make_with_parents(row, self.context, parents)
            except Exception as error:
                if not STOPPING.is_set():  # what was there is of something else
                    Path(self.layout.metadata(row.stage, row.gen_id)).unlink(missing_ok=True)
                raise NotMade(self.report(row, error)) from None
            if failed_before:
                Path(self.layout.log(row.stage, row.gen_id)).unlink(missing_ok=True)
            return self.entry(result, own), stamp(self.layout, row.stage, row.gen_id), own

        with self._guard:
            future = self._making.get(row.gen_id)
            if future is None:
                future = self._making[row.gen_id] = self.pools.submit(row, work)
                future.add_done_callback(lambda _: self._making.pop(row.gen_id, None))
        return future

    def entry(self, result: Result, own: Parent) -> Entry:
        """What the file of a shard says of a generation; `own` is what its children see."""
        key = result.response_key if result.status == "pending" else None
        summary = summarise(result, self.layout.root, own.text if result.stage in SCORED_STAGES else "")
        return Entry(result.inputs_sha256, result.status, own.sha256, key, summary)


class _Work:
    """The work of one job: `entries` and `stamps` of the generations that are made, and why others are `missing`."""

    def __init__(self, jobs: ShardJobs, gen_ids: Sequence[str], failed: Container[str]) -> None:
        self.jobs, self.failed = jobs, failed
        self.rows = {gen_id: jobs.plan.find(gen_id) for gen_id in gen_ids}
        self.entries: dict[str, Entry] = {}
        self.stamps: dict[str, int] = {}
        self.missing: dict[str, str] = {}
        self.texts: dict[str, Parent] = {}  # of generations that were made here, while children need them
        self.children: dict[str, list[str]] = defaultdict(list)
        self.waits: dict[str, int] = {}
        self.outside: dict[str, tuple[str, str] | None] = {}  # results of parents that other jobs make
        for gen_id, row in self.rows.items():
            own = {parent for parent in row.parents if parent in self.rows}
            self.waits[gen_id] = len(own)
            for parent in own:
                self.children[parent].append(gen_id)
        self.left = Counter({gen_id: len(children) for gen_id, children in self.children.items()})
        self.ready = deque(gen_id for gen_id in gen_ids if not self.waits[gen_id])

    def do(self) -> None:
        """Make what is stale, parents before children, until nothing is left or the run is stopped."""
        done: SimpleQueue[tuple[str, Future]] = SimpleQueue()
        running = 0
        while self.ready or running:
            while self.ready and not STOPPING.is_set():
                gen_id = self.ready.popleft()
                future = self._begin(gen_id)
                if future is not None:
                    running += 1
                    future.add_done_callback(lambda future, gen_id=gen_id: done.put((gen_id, future)))
            if not running:
                break
            gen_id, future = done.get()
            running -= 1
            try:
                self.entries[gen_id], self.stamps[gen_id], self.texts[gen_id] = future.result()
            except NotMade as error:
                self.missing[gen_id] = str(error)
            self._settle(gen_id)

    def _begin(self, gen_id: str) -> Future | None:
        """Start to make a generation; None if it is there already, or if it cannot be made."""
        row, freshness = self.rows[gen_id], self.jobs.freshness
        results = {parent: self._result(parent) for parent in row.parents}
        absent = next((parent for parent, result in results.items() if result is None), None)
        if absent is not None:
            self.missing[gen_id] = f"its parent {absent} was not made"
        elif freshness.is_kept(row, list(results.values()), late_input(row, self.jobs.layout)):
            self.entries[gen_id], self.stamps[gen_id] = self.jobs.kept(gen_id)
            self.jobs.on_kept(row)
        else:
            try:
                parents = [self._text(parent) for parent in row.parents]
            except (DreamflowError, OSError, ValueError) as error:
                self.missing[gen_id] = self.jobs.report(row, error)
            else:
                return self.jobs.start(row, parents, failed_before=gen_id in self.failed)
        self._settle(gen_id)
        return None

    def _result(self, gen_id: str) -> tuple[str, str] | None:
        """(status, SHA-256 of the parsed file) of a parent; None if it was not made."""
        if gen_id in self.rows:
            entry = self.entries.get(gen_id)
            return (entry.status, entry.parsed_sha256) if entry else None
        if gen_id not in self.outside:
            self.outside[gen_id] = self.jobs.freshness.result(gen_id)
        return self.outside[gen_id]

    def _text(self, gen_id: str) -> Parent:
        return self.texts.get(gen_id) or read_parent(self.jobs.plan.folder(gen_id), self.jobs.layout)

    def _settle(self, gen_id: str) -> None:
        """Note that a generation is made, or cannot be made."""
        for child in self.children[gen_id]:
            self.waits[child] -= 1
            if not self.waits[child]:
                self.ready.append(child)
        for parent in set(self.rows[gen_id].parents):
            self.left[parent] -= 1
            if self.left[parent] <= 0:
                self.texts.pop(parent, None)
        if not self.left[gen_id]:
            self.texts.pop(gen_id, None)
