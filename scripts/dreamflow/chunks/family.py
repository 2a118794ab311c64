"""The family of conversations: its doors, and the files and jobs of its rules.

A start reads no conversation: a job reads their files and writes an index (`index.py`), which the generations of the
level basic follow from. Upgrades and clusters are planned from existing archives; their generations are known from the
files of these plans. Modules that read and split text are imported late: other targets need not wait for them.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from ..config import in_file, under
from ..cycles import read_night, this_night
from ..database.datasets import Dataset
from ..database.schema import Source
from ..deferred import Deferred
from ..errors import ConfigError, DreamflowError
from ..family import NOTHING, Family, Report, World
from ..files import canonical, pretty, read_json, write_atomic
from ..generation.model import Generation, Json
from ..generation.stage import PromptKind, Stage
from ..reports.markdown import counted
from ..site.page import Page
from . import note_parser, parsers  # noqa: F401  (registers them)
from .conversation import LEVELS

if TYPE_CHECKING:
    from ..generation.budgets import Deadline
    from ..generation.models import Model
    from ..routing.auto import Asked
    from .compile import Chunking
    from .conversation import Turn
    from .index import Index, Library
    from .readers import Detail
    from .reading import Found
    from .spec import Upgrade
    from .upgrade_look import Prospects

SAMPLING = {"temperature": 0.2, "max_tokens": 4000}
CHUNK_VARIABLES = ("units", "text", "first", "last", "candidates", "fewest", "most")
CHUNK = Stage("chunk", "c", (PromptKind("chunk", CHUNK_VARIABLES, "chunks", SAMPLING),), ".json")
CLUSTER = Stage("cluster", "k", (PromptKind("cluster", ("chunks",), "cluster", SAMPLING),), ".json")
NOTE = Stage("note", "n", (PromptKind("notes", ("passages",), "notes", SAMPLING),), ".json")


class Chunks(Family):
    """The conversations of a configuration. `wanted` are goals of Snakemake whose generations may not be known yet."""

    name = "chunks"
    section = "conversations"
    config_key = "conversations"
    description = "Chunkings of conversations: names of files in `config/conversations/` without `.yaml`."
    stages = (CHUNK, CLUSTER, NOTE)
    goals = ("chunks", "upgrade", "clusters", "notes")

    def __init__(self, world: World) -> None:
        super().__init__(world)
        self.folder, self.talks = world.layout.root / "chunks", world.layout.root / "talks"
        self.raw = Path(world.settings.raw_root) / "conversations"
        self.upgrade_plan = self.folder / "upgrade" / "plan.json"
        self.cluster_plan = self.folder / "clusters" / "plan.json"
        self.note_plan = self.folder / "clusters" / "notes.json"
        self.wanted: set[str] = set()
        self._loaded: dict[str, Chunking] = {}
        self._basic: list[Deferred] = []
        self._upgrades: list[Deferred] = []
        self._clusters: Deferred | None = None
        self._cluster_question: Asked | None = None
        self._notes: Deferred | None = None
        self._note_question: Asked | None = None
        self._prospects: Prospects | None = None
        self._found: Sequence[Found] | None = None  # the files of conversations when this run started
        self._fresh: dict[str, bytes] = {}  # what a preview has read
        self._read: tuple[int, Library] | None = None  # (time of the index, its conversations)
        self._now: tuple[Sequence[Found], Library] | None = None  # what a preview has read of these files
        self._bound: tuple[Library, Mapping[str, Chunking], Mapping[str, Chunking]] | None = None
        self._batches: tuple[Library, Mapping[str, Sequence[str]]] | None = None

    def compile(self) -> None:
        """Check the specs; before the first run also that there are files. None is read. Raises `ConfigError`."""
        from .compile import cluster_question, load_chunking
        from .filters import parse_filter
        from .notes import note_question
        from .upgrade import available_seconds

        world = self.world
        specs = {name: load_chunking(name, world.catalog, world.models, world.router) for name in self.spec_names()}
        index = self.talks / "index.json"
        for spec in () if index.exists() else specs.values():
            self._check_files(spec)
        upgrade = world.settings.upgrade
        with under("upgrade", "filter"):
            parse_filter(upgrade.filter)
        with under("upgrade", "deadline"):
            available_seconds({**upgrade.as_dict(), "now": _now()})
        self._cluster_question = cluster_question(world.settings.clusters, world.catalog, world.models, world.router)
        self._upgrades = [
            Deferred(self.upgrade_plan, name, partial(self._read_upgrade, name), [index]) for name in specs
        ]
        self._note_question = note_question(world.settings.notes, world.catalog, world.models, world.router)
        self._clusters = Deferred(self.cluster_plan, "clusters", self._read_clusters)
        self._notes = Deferred(self.note_plan, "notes", self._read_notes)
        self._basic = [
            Deferred(index, name, partial(self._read_basic, name)) for name, spec in specs.items() if spec.has_basic
        ]
        self._loaded = specs

    def _check_files(self, spec: "Chunking") -> None:
        from .readers import conversation_files

        with in_file(spec.path), under("conversations"):
            if not conversation_files(self.raw):
                raise ConfigError(_nothing(self.raw, ()))

    def deferred(self) -> Sequence[Deferred]:
        """The generations of the level basic, of the planned upgrade, of the planned clusters and of their notes."""
        return [*self._basic, *self._upgrades, self._clusters, self._notes] if self._loaded else []

    @property
    def specs(self) -> "Mapping[str, Chunking]":
        """The specs by name, with the conversations that were read. Raises a `DreamflowError` if none were read, or if
        a spec does not fit them."""
        return self._of(self.library())[0]

    @property
    def specs_now(self) -> "Mapping[str, Chunking]":
        """As `specs`, with the conversations as their files are now; nothing is written."""
        return self._of(self._library_now())[0]

    @property
    def spec_of(self) -> "Mapping[str, Chunking]":
        """The spec of each conversation that was read."""
        return self._of(self.library())[1]

    def _of(self, library: "Library") -> "tuple[Mapping[str, Chunking], Mapping[str, Chunking]]":
        if self._bound is None or self._bound[0] is not library:
            if not library:
                raise ConfigError(_nothing(self.raw, library.index.problems))
            specs = {name: spec.among(library) for name, spec in self._loaded.items()}
            self._bound = (library, specs, _by_conversation(specs.values()))
        return self._bound[1:]

    def library(self) -> "Library":
        """The conversations that were read, also of no spec. Raises a `DreamflowError` if none were, or if the index is
        damaged."""
        from .index import INDEX, Library, load_index

        path = self.talks / INDEX
        changed = path.stat().st_mtime_ns if path.exists() else 0
        if self._read is None or self._read[0] != changed:
            self._read = (changed, Library(self.talks, load_index(self.talks)))
        return self._read[1]

    def _index(self) -> "Index | None":
        """The index; None if there is none, or if it is damaged: then everything is read again."""
        try:
            return self.library().index
        except DreamflowError:
            return None

    def _files(self) -> "Sequence[Found]":
        from .reading import find_files

        if self._found is None:
            self._found = find_files(self.raw)
        return self._found

    def _detail(self) -> "Detail":
        """How much of calls of tools and of reasoning is read (section `reading` of config.yaml)."""
        from .readers import Detail

        return Detail(self.world.settings.reading.tools, self.world.settings.reading.reasoning)

    def is_current(self) -> bool:
        """Whether all files of conversations are read as they are now. Raises a `ConfigError` without their folder."""
        from .reading import is_current

        return is_current(self._index(), self._files(), self.talks, self._detail())

    def unread(self) -> list[str]:
        """The index if a file of conversations is new, changed or gone."""
        self.wanted.add("chunks")
        return [] if self.is_current() else [str(self.talks / "index.json")]

    def read(self) -> None:
        """Read the files of conversations that are new or changed. Raises a `ConfigError` if a spec does not fit."""
        from .index import write_index
        from .reading import find_files, read_files, remove_unused, write_fresh

        write_fresh(self.talks, self._fresh)
        self._found = find_files(self.raw)
        index = read_files(self.raw, self.talks, self._index(), self._found, self._detail())
        self._fresh = {}
        write_index(self.talks, index)
        self.specs  # noqa: B018  (it checks them)
        remove_unused(self.talks, index)

    def _unread_text(self) -> str:
        from .reading import changed

        number = len(changed(self._index(), self._files(), self.talks, self._detail()))
        return f"conversations: {counted(number, 'file')} of {len(self._files()):,} to read"

    def _library_now(self) -> "Library":
        """The conversations as their files are now; nothing is written."""
        from .index import Library
        from .reading import read_files

        if self.is_current():
            return self.library()
        if self._now is None or self._now[0] is not self._files():
            index = read_files(self.raw, self.talks, self._index(), self._files(), self._detail(), self._fresh)
            self._now = (self._files(), Library(self.talks, index, self._fresh))
        return self._now[1]

    def targets(self, goal: str) -> list[str]:
        """The files of a target rule; for `upgrade`, `clusters` and `notes` the plan that decides their other files."""
        if not self._loaded:
            return []
        self.wanted.add("chunks")
        if self.is_current():
            self.specs  # noqa: B018  (a mistake in a spec is told before anything runs)
        plans = {"upgrade": self.upgrade_plan, "clusters": self.cluster_plan, "notes": self.note_plan}
        if goal == "notes" and self._note_question is None:
            raise ConfigError(
                "notes need a model: write `notes: {model: <an id of models.yaml>}` into config/config.yaml"
            )
        if goal in plans:
            self.wanted.add(goal)
            return [str(plans[goal])]
        return [f"{self.folder}/result.json"]

    def reports(self) -> list[Report]:
        """The chunks of all conversations."""
        from .result import in_words

        if not self._loaded:
            return []
        page = self.folder / "result.json"
        is_read = (self.talks / "index.json").exists()
        pages = [self.folder / conversation_id / "chunks.html" for conversation_id in (self.spec_of if is_read else ())]
        return [Report("conversations", page, in_words(page), list(self.follow()), files=pages)]

    def referenced(self) -> set[str]:
        """The ids of all generations in archives. Raises a `ConfigError` if an archive is damaged, and a
        `DreamflowError` if no index says which other generations are needed."""
        from .archive import load_archive

        if self._loaded and (self.layout.root / "gens" / CHUNK.name).exists():
            self.library()
        ids: set[str] = set()
        for path in self.folder.glob("*/archive_v*.json"):
            archive = load_archive(path)
            ids |= {*archive["metadata"]["generations"], *(chunk["gen_id"] or "" for chunk in archive["b_chunks"])}
        return ids

    def follow(self) -> Iterable[str]:
        """The generations of the level basic."""
        return (gen_id for deferred in self._basic for gen_id in deferred.generations)

    def is_basic(self, generation: Generation) -> bool:
        """Whether the conversations alone decide that a generation is made."""
        return generation.wildcards.get("quality_level") == LEVELS[0]

    def expected(self) -> int:
        """About how many generations the conversations need that are not planned yet."""
        from .reading import expected_windows

        return sum(
            expected_windows(self._index(), self._files(), spec.tiers[LEVELS[0]].window_tokens)
            for spec in self._loaded.values()
            if spec.has_basic
        )

    def preview(self) -> tuple[Mapping[str, Generation], str]:
        """The generations that wanted chunks, a wanted upgrade and wanted clusters would plan now, and a text."""
        if not self.wanted:
            return {}, ""
        from .compile import upgrade_rows
        from .upgrade_plan import plan_text

        rows: dict[str, Generation] = {}
        texts = []
        is_current = self.is_current()
        needs_text = self._basic or "upgrade" in self.wanted
        specs = self.specs_now if needs_text else {}
        if not is_current:
            texts.append(self._unread_text())
            rows |= {
                row.gen_id: row for spec in specs.values() for name in spec.talks for row in spec.generations[name]
            }
        if "clusters" in self.wanted:
            rows |= self._cluster_rows(self._plan_clusters())
        if "notes" in self.wanted:
            rows |= self._note_rows(self._plan_notes(self._plan_clusters()))
        if "upgrade" in self.wanted:
            plan = self._plan_upgrade(_now(), specs, is_expected=True)
            texts.append(plan_text(plan))
            for spec in specs.values():
                rows |= upgrade_rows(spec, plan)
        return rows, "\n".join(texts)

    def scopes(self, generation: Generation) -> Sequence[str]:
        """The quality level of a chunk; and `upgrade` for a chunk above the level that always runs."""
        if generation.stage != CHUNK.name:
            return ()
        level = generation.wildcards["quality_level"]
        return (f"tier:{level}", *(("upgrade",) if level != LEVELS[0] else ()))

    def unit(self, generation: Generation, origin: str) -> tuple[str, ...]:
        """The conversation of a chunk; all clusters are one unit."""
        conversation = generation.wildcards.get("conversation_id")
        return (*super().unit(generation, origin), *([conversation] if conversation else []))

    def pages(self) -> Iterable[Page]:
        """The pages on all archived conversations, also of those that are no longer configured, and on clusters."""
        from .pages import pages

        known = self.library() if self._index() else {}
        return pages(self.folder, known)

    def batches(self) -> Mapping[str, Sequence[str]]:
        """The conversations of each batch."""
        from .batches import batches_of

        library = self.library()
        if self._batches is None or self._batches[0] is not library:
            self._batches = (library, batches_of(self.spec_of))
        return self._batches[1]

    def batch_files(self) -> list[str]:
        """The files that tell that the archives of all conversations are made."""
        from .batches import batch_path

        return [str(batch_path(self.talks, batch)) for batch in self.batches()]

    def _batch(self, batch: str) -> Sequence[str]:
        names = self.batches().get(batch)
        if names is None:
            raise DreamflowError(f"{batch}: no batch of conversations has this name (any more)")
        return names

    def incomplete(self, batch: str) -> list[str]:
        """The file of a batch if files of its conversations are lost or unreadable."""
        from .batches import batch_path, is_incomplete

        names = self._batch(batch)
        return [str(batch_path(self.talks, batch))] if any(is_incomplete(self.folder / name) for name in names) else []

    def archive_inputs(self, batch: str) -> list[str]:
        """The files of the generations of the archives of a batch."""
        rows = (row for name in self._batch(batch) for row in self.spec_of[name].generations[name])
        return self.result_files("chunk", _ids(rows))

    def archive_job(self, batch: str) -> str:
        """What decides the archives of a batch besides the answers, as JSON."""
        from .batches import batch_job

        return batch_job(self.spec_of, self._batch(batch))

    def make_archives(self, batch: str, path: str) -> None:
        """Write the archives and pages of a batch that are not as they should be, and its file (`path`)."""
        from .batches import make_batch

        make_batch(self.spec_of, self._batch(batch), Path(path), self.talks, self.folder, self.layout)

    def write_result(self) -> str:
        """Write the changes of the archives since the last result; returns its table."""
        from .batches import remove_others
        from .products import write_result

        remove_others(self.talks, self.batches())
        return write_result(self.spec_of, self.folder, self.layout, self.library().index, self._all_upgrade_rows())

    def unfinished(self, goals: Collection[str]) -> str:
        """Upgrade what has all of its answers, and show the result of an upgrade that could not be completed."""
        from .upgrade_run import is_of_this_run, unfinished_conversations

        if "upgrade" not in goals or not is_of_this_run(self.upgrade_plan):
            return ""
        for conversation_id in unfinished_conversations(self.upgrade_plan, self.spec_of):
            self.upgrade(conversation_id, f"{self.folder}/{conversation_id}/upgrade.json")
        return self.write_result()

    def _plan_upgrade(
        self, now: str, specs: "Mapping[str, Chunking] | None" = None, *, is_expected: bool = False
    ) -> dict[str, Json]:
        """The plan of an upgrade that begins now; if `is_expected`, from the archives that a run would make before."""
        from .upgrade_run import plan_of_run

        self._prospects = None  # the store may have more answers by now
        own, settings = self.specs if specs is None else specs, self._upgrade_settings()
        return plan_of_run(own, self.folder, settings, now, self.world, self._is_batch, is_expected=is_expected)

    def _is_batch(self, stage: str, model: "Model") -> bool:
        from ..generation.batches import goes_in_batches

        return goes_in_batches(self.world.settings.batch, stage, model)

    def answer_tokens(self, generation: Generation) -> int | None:
        """As many as answers had so far, else by the length of the text."""
        if generation.stage != CHUNK.name:
            return None
        from .upgrade_look import Prospects

        if self._prospects is None:
            self._prospects = Prospects.of(self.layout, self._is_batch)
        return self._prospects.answer_tokens(generation, self.world.catalog.texts)

    def deadline(self, generation: Generation, run: str) -> "Deadline | None":
        """The end of the upgrade that this run has planned."""
        if not self.scopes(generation) or self.is_basic(generation):
            return None
        from .upgrade_run import deadline

        level = generation.wildcards["quality_level"]
        tier = self._loaded[self.world.origin[generation.gen_id]].tiers[level]
        return deadline(self.upgrade_plan, run, tier.seconds_per_call)

    def _upgrade_settings(self) -> "Upgrade":
        """The section `upgrade` of config.yaml; in a night, the upgrade ends before the night does."""
        settings, night = self.world.settings.upgrade, this_night()
        ends = read_night(self.layout.root, night).get("ends") if night else None
        return settings.model_copy(update={"deadline": ends}) if ends and not settings.deadline else settings

    def left_out(self, goal: str) -> str:
        """Why a night leaves out the chunks or their upgrade: no better model, or nothing that is worth it within the
        limits."""
        if goal != "upgrade" or not self._loaded:
            return NOTHING if not self._loaded and not self.problem else ""
        if not any(set(spec.tiers) - {LEVELS[0]} for spec in self._loaded.values()):
            return f"no tier above {LEVELS[0]} has a model"
        parts = self._plan_upgrade(_now())["specs"].values()
        if any(part["regions"] for part in parts):
            return ""
        reasons = [reason for part in parts for reason in part["resources"]["reasons"]]
        return " ".join(dict.fromkeys(["No chunk is worth an upgrade within the limits.", *reasons]))

    def write_upgrade_plan(self, now: str) -> str:
        """Plan an upgrade and write its plan; returns it as text."""
        from .upgrade_plan import plan_text

        plan = self._plan_upgrade(now)
        write_atomic(self.upgrade_plan, pretty(plan))
        return plan_text(plan)

    def _read_upgrade(self, name: str, path: Path) -> Mapping[str, Generation]:
        from .compile import upgrade_rows

        with _planned_by(path):
            return upgrade_rows(self.specs[name], read_json(path))

    def _read_clusters(self, path: Path) -> Mapping[str, Generation]:
        with _planned_by(path):
            return self._cluster_rows(read_json(path))

    def _read_basic(self, name: str, _path: Path) -> Mapping[str, Generation]:
        spec = self.specs[name]
        return {row.gen_id: row for conversation in spec.talks for row in spec.generations[conversation]}

    def _all_upgrade_rows(self) -> list[Generation]:
        return [row for deferred in self._upgrades for row in deferred.generations.values()]

    def _upgrade_rows(self, conversation_id: str) -> list[Generation]:
        return [row for row in self._all_upgrade_rows() if row.wildcards["conversation_id"] == conversation_id]

    def upgraded(self) -> list[str]:
        """The last file of each conversation in the planned upgrade."""
        from .compile import regions_of

        self.wanted.discard("upgrade")
        names = dict.fromkeys(name for name, _, _ in regions_of(read_json(self.upgrade_plan)))
        return [f"{self.folder}/{name}/upgrade.json" for name in names]

    def upgrade_inputs(self, conversation_id: str) -> list[str]:
        """The generations of a conversation's upgrade."""
        self.wanted.discard("upgrade")
        return self.metadata_files("chunk", [row.gen_id for row in self._upgrade_rows(conversation_id)])

    def upgrade_job(self, conversation_id: str) -> str:
        """A conversation's part of the upgrade's plan, as JSON."""
        from .products import upgrade_job

        return upgrade_job(read_json(self.upgrade_plan), conversation_id)

    def upgrade(self, conversation_id: str, path: str) -> None:
        """Write the upgraded archive of a conversation, its page, and a summary (`path`)."""
        from .batches import batch_path
        from .products import upgrade_archive, write_page

        spec, rows = self.spec_of[conversation_id], self._upgrade_rows(conversation_id)
        folder, plan = self.folder / conversation_id, read_json(self.upgrade_plan)
        summary = upgrade_archive(spec, conversation_id, folder, self.layout, plan, rows)
        if not summary:  # no region has all of its answers
            return
        write_atomic(path, pretty(summary))
        write_page(spec, conversation_id, folder)
        batch = next(batch for batch, names in self.batches().items() if conversation_id in names)
        batch_path(self.talks, batch).touch()  # what reads archives is made again

    def _archives(self) -> list[Mapping[str, Json]]:
        from .upgrade_plan import archives_of

        return [archive for spec in self.specs.values() for archive in archives_of(spec, self.folder)]

    def _plan_clusters(self) -> dict[str, Json]:
        from ..database.build import FILE
        from .clusters import plan_clusters
        from .recall import embed_known

        embed = embed_known(self.layout.root / FILE)
        return plan_clusters(self._archives(), self.world.settings.clusters.similarity, embed)

    def _cluster_rows(self, plan: Mapping[str, Json]) -> Mapping[str, Generation]:
        from .compile import cluster_rows

        return cluster_rows(plan, self._cluster_question)

    def write_cluster_plan(self) -> None:
        """Write the clusters, and the texts of their chunks for prompts."""
        write_atomic(self.cluster_plan, pretty(self._plan_clusters()))

    def cluster_plan_job(self) -> str:
        """What decides the clusters besides the archives, as JSON."""
        return canonical(self.world.settings.clusters.similarity)

    def clusters_job(self) -> str:
        """What decides the descriptions of clusters, as JSON."""
        return canonical(self.world.settings.clusters.as_dict())

    def cluster_inputs(self) -> list[str]:
        """The generations that describe clusters."""
        self.wanted.discard("clusters")
        return self.metadata_files("cluster", self._clusters.generations)

    def write_clusters(self, path: str) -> str:
        """Write the clusters with their descriptions, and check all chunk ids; returns a line for the screen."""
        from .clusters import described_clusters

        plan, rows = read_json(self.cluster_plan), self._clusters.generations
        clusters = described_clusters(plan["clusters"], rows, self._archives(), self.layout)
        write_atomic(path, pretty({"clusters": clusters}))
        contradictions = sum(len(cluster["contradictions"]) for cluster in clusters)
        return f"{len(clusters):,} clusters, {contradictions:,} contradictions: {path}"

    def _turns_of(self, conversation_id: str) -> "Sequence[Turn]":
        return self.spec_of[conversation_id].conversations[conversation_id].turns

    def _plan_notes(self, clusters: Mapping[str, Json]) -> dict[str, Json]:
        from .notes import plan_notes

        return plan_notes(clusters["clusters"], self._archives(), self._turns_of)

    def _note_rows(self, plan: Mapping[str, Json]) -> Mapping[str, Generation]:
        from .notes import note_rows

        return note_rows(plan, self._note_question)

    def _read_notes(self, path: Path) -> Mapping[str, Generation]:
        with _planned_by(path):
            return self._note_rows(read_json(path))

    def write_note_plan(self) -> None:
        """Write the texts of the planned clusters, with their dates, for prompts."""
        write_atomic(self.note_plan, pretty(self._plan_notes(read_json(self.cluster_plan))))

    def notes_job(self) -> str:
        """What decides the notes besides the answers, as JSON."""
        return canonical(self.world.settings.notes.as_dict())

    def note_inputs(self) -> list[str]:
        """The generations that write notes."""
        self.wanted.discard("notes")
        return self.metadata_files("note", self._notes.generations)

    def write_notes(self, path: str) -> str:
        """Write the next version of the notes; returns a line for the screen."""
        from .notes import write_notes

        return write_notes(Path(path), self._notes.generations, self._archives(), self._turns_of, self.layout)

    def sources(self) -> Sequence[Source]:
        """The tables of this family in the database."""
        from .sources import chunk_sources

        return chunk_sources(self.layout.root)

    def index(self, database: Path, show: Callable[[str], None]) -> str:
        """Bring the vectors of chunks up to date with the database."""
        from .recall import update_meaning

        return update_meaning(database, show)

    def datasets(self) -> Iterable[Dataset]:
        """The datasets of this family."""
        from .datasets import chunk_datasets

        return chunk_datasets(self.layout.root)


FAMILY = Chunks


def _by_conversation(specs: "Iterable[Chunking]") -> "dict[str, Chunking]":
    """The spec of each conversation. Raises a `ConfigError` for a conversation of two specs."""
    spec_of: dict[str, Chunking] = {}
    for spec in specs:
        for conversation_id in spec.conversations:
            other = spec_of.setdefault(conversation_id, spec)
            if other is not spec:
                both = f"{other.path} and {spec.path}"
                raise ConfigError(f"conversation {conversation_id} is in {both}; remove it from one of them")
    return spec_of


def _ids(rows: Iterable[Generation]) -> list[str]:
    return [row.gen_id for row in rows]


@contextmanager
def _planned_by(path: Path) -> Iterator[None]:
    """Say of an error that the plan may be deleted."""
    try:
        yield
    except DreamflowError as error:
        raise ConfigError(f"{error}\n  Or delete {path}, which plans these generations.") from None


def _nothing(raw: Path, problems: Sequence[str]) -> str:
    """What to do if no conversation was read."""
    if problems:
        return "\n  ".join([f"no conversation in {raw} could be read:", *problems[:20]])
    return (
        f"there is no conversation: put chats into {raw}, such as the .zip of an export of ChatGPT or Claude as it was "
        "downloaded, or files in .jsonl, .md or .txt"
    )


def _now() -> str:
    return datetime.now(UTC).isoformat()
