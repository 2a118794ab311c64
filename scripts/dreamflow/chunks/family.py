"""The family of conversations: its doors, and the files and jobs of its rules.

Modules that read and split text are imported late: a project of cohorts alone need not wait for their libraries.
Upgrades and clusters are planned from existing archives; their generations are known from the files of these plans.
"""

import os
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from ..config import under
from ..cycles import read_night, this_night
from ..database.datasets import Dataset
from ..database.schema import Source
from ..deferred import Deferred
from ..errors import ConfigError, DreamflowError
from ..family import NOTHING, Family, Report, World
from ..files import canonical, pretty, read_json, write_atomic
from ..generation.model import Generation, Json
from ..generation.stage import PromptKind, Stage
from ..site.page import Page
from . import parsers  # noqa: F401  (registers them)
from .conversation import LEVELS

if TYPE_CHECKING:
    from ..generation.budgets import Deadline
    from ..generation.models import Model
    from ..routing.auto import Asked
    from .compile import Chunking
    from .spec import Upgrade
    from .upgrade_look import Prospects

RESERVED = ("upgrade", "clusters", "result.json", "clusters.json")  # names beside the conversations' folders
SAMPLING = {"temperature": 0.2, "max_tokens": 4000}
CHUNK_VARIABLES = ("units", "text", "first", "last", "candidates", "fewest", "most")
CHUNK = Stage("chunk", "c", (PromptKind("chunk", CHUNK_VARIABLES, "chunks", SAMPLING),), ".json")
CLUSTER = Stage("cluster", "k", (PromptKind("cluster", ("chunks",), "cluster", SAMPLING),), ".json")


class Chunks(Family):
    """The conversations of a configuration. `specs` are the compiled specs by name, `spec_of` by conversation; `wanted`
    are the goals of Snakemake whose generations are not known yet."""

    name = "chunks"
    section = "conversations"
    config_key = "conversations"
    description = "Chunkings of conversations: names of files in `config/conversations/` without `.yaml`."
    stages = (CHUNK, CLUSTER)
    goals = ("chunks", "upgrade", "clusters")

    def __init__(self, world: World) -> None:
        super().__init__(world)
        self.folder = world.layout.root / "chunks"
        self.upgrade_plan = self.folder / "upgrade" / "plan.json"
        self.cluster_plan = self.folder / "clusters" / "plan.json"
        self.specs: dict[str, Chunking] = {}
        self.spec_of: dict[str, Chunking] = {}
        self.wanted: set[str] = set()
        self._deferred: list[Deferred] = []
        self._prospects: Prospects | None = None
        self._until: tuple[int, dict[str, Json]] = 0, {}
        self._cluster_question: Asked | None = None

    def compile(self) -> None:
        """Plan the windows of the level basic of all conversations. Raises `ConfigError`."""
        from .compile import cluster_question, compile_chunking
        from .filters import parse_filter
        from .readers import list_conversations
        from .upgrade import available_seconds

        world = self.world
        known = list_conversations(Path(world.settings.raw_root) / "conversations")
        specs = {
            name: compile_chunking(name, known, world.catalog, world.models, world.router) for name in self.spec_names()
        }
        spec_of = _by_conversation(specs.values())
        upgrade = world.settings.upgrade
        with under("upgrade", "filter"):
            parse_filter(upgrade.filter)
        with under("upgrade", "deadline"):
            available_seconds({**upgrade.as_dict(), "now": _now()})
        self._cluster_question = cluster_question(world.settings.clusters, world.catalog, world.models, world.router)
        self._deferred = self._defer(specs)
        for name, spec in specs.items():
            for rows in spec.generations.values():
                self.add(name, {row.gen_id: row for row in rows})
        self.specs, self.spec_of = specs, spec_of

    def _defer(self, specs: "Mapping[str, Chunking]") -> list[Deferred]:
        upgrades = [Deferred(self.upgrade_plan, name, partial(_read_upgrade, spec)) for name, spec in specs.items()]
        clusters = Deferred(self.cluster_plan, "clusters", lambda path: self._cluster_rows(read_json(path)))
        for deferred in (*upgrades, clusters):
            try:
                deferred.generations  # noqa: B018  (an unreadable plan stops this family alone)
            except DreamflowError as error:
                raise ConfigError(f"{error}\n  Or delete {deferred.path}, which plans these generations.") from None
        return [*upgrades, clusters]

    def deferred(self) -> Sequence[Deferred]:
        """The generations of the planned upgrade and of the planned clusters."""
        return self._deferred

    def targets(self, goal: str) -> list[str]:
        """The files of a target rule; for `upgrade` and `clusters` the plan that decides their other files."""
        if not self.specs:
            return []
        if goal in ("upgrade", "clusters"):
            self.wanted.add(goal)
            return [str(self.upgrade_plan if goal == "upgrade" else self.cluster_plan)]
        pages = [f"{self.folder}/{conversation_id}/chunks.html" for conversation_id in self.spec_of]
        return [*self.stage_files("chunk"), *self.manifests(), *pages, f"{self.folder}/result.json"]

    def reports(self) -> list[Report]:
        """The chunks of all conversations."""
        from .result import in_words

        page = self.folder / "result.json"
        ids = [gen_id for spec in self.specs.values() for rows in spec.generations.values() for gen_id in _ids(rows)]
        pages = [self.folder / conversation_id / "chunks.html" for conversation_id in self.spec_of]
        return [Report("conversations", page, in_words(page), ids, files=pages)] if self.specs else []

    def referenced(self) -> set[str]:
        """The ids of all generations in archives. Raises a `ConfigError` if an archive is damaged."""
        from .archive import load_archive

        ids: set[str] = set()
        for path in self.folder.glob("*/archive_v*.json"):
            archive = load_archive(path)
            ids |= {*archive["metadata"]["generations"], *(chunk["gen_id"] or "" for chunk in archive["b_chunks"])}
        return ids

    def wildcards(self) -> Mapping[str, Iterable[str]]:
        """Every configured conversation."""
        return {"conversation": self.spec_of}

    def preview(self) -> tuple[Mapping[str, Generation], str]:
        """The generations that a wanted upgrade and wanted clusters would plan now, and the upgrade's plan as text."""
        if not self.wanted:
            return {}, ""
        from .compile import upgrade_rows
        from .upgrade_plan import plan_text

        rows: dict[str, Generation] = {}
        text = ""
        if "clusters" in self.wanted:
            rows |= self._cluster_rows(self._plan_clusters())
        if "upgrade" in self.wanted:
            plan = self._plan_upgrade(_now(), expected=True)
            text = plan_text(plan)
            for spec in self.specs.values():
                rows |= upgrade_rows(spec, plan)
        return rows, text

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

        known = {name: spec.conversations[name] for name, spec in self.spec_of.items()}
        return pages(self.folder, known, Path(self.world.settings.raw_root) / "conversations")

    def manifests(self) -> list[str]:
        """The manifests of all conversations."""
        return [f"{self.folder}/{conversation_id}/manifest.json" for conversation_id in self.spec_of]

    def broken_manifest(self, conversation_id: str) -> list[str]:
        """The manifest of a conversation if it is unreadable or lists a missing archive."""
        from .archive import is_broken

        manifest = self.folder / conversation_id / "manifest.json"
        return [str(manifest)] if is_broken(manifest) else []

    def archive_inputs(self, conversation_id: str) -> list[str]:
        """The files of the generations of an archive."""
        rows = self.spec_of[conversation_id].generations[conversation_id]
        return self.result_files("chunk", [row.gen_id for row in rows])

    def archive_job(self, conversation_id: str) -> str:
        """What decides an archive besides the answers, as JSON."""
        from .products import archive_job

        return archive_job(self.spec_of[conversation_id], conversation_id)

    def make_archive(self, conversation_id: str) -> None:
        """Write the archive of a conversation, unless the latest archive has the same content."""
        from .products import make_archive

        make_archive(self.spec_of[conversation_id], conversation_id, self.folder / conversation_id, self.layout)

    def write_page(self, conversation_id: str) -> None:
        """Write the page with a conversation's chunks."""
        from .products import write_page

        write_page(self.spec_of[conversation_id], conversation_id, self.folder / conversation_id)

    def write_result(self) -> str:
        """Write the changes of the archives since the last result; returns its table."""
        from .products import write_result

        return write_result(self.spec_of, self.folder, self.layout, self._all_upgrade_rows())

    def unfinished(self, goals: Collection[str]) -> str:
        """Upgrade what has all of its answers, and show the result of an upgrade that could not be completed."""
        if "upgrade" not in goals or not self._is_own_plan():
            return ""
        from .compile import regions_of

        for conversation_id in dict.fromkeys(name for name, _, _ in regions_of(read_json(self.upgrade_plan))):
            path = self.folder / conversation_id / "upgrade.json"
            if conversation_id in self.spec_of and not (
                path.exists() and path.stat().st_mtime_ns >= self.upgrade_plan.stat().st_mtime_ns
            ):
                self.upgrade(conversation_id, str(path))
        return self.write_result()

    def _is_own_plan(self) -> bool:
        """Whether this run has planned an upgrade."""
        from ..run_budgets import RUN

        return self.upgrade_plan.exists() and read_json(self.upgrade_plan).get("run") == os.environ.get(RUN, "")

    def _all_upgrade_rows(self) -> list[Generation]:
        return [row for deferred in self._deferred[:-1] for row in deferred.generations.values()]

    def _plan_upgrade(self, now: str, *, expected: bool = False) -> dict[str, Json]:
        """The plan of an upgrade that begins now; with `expected`, from the archives that a run would make before."""
        from ..generation.budget_use import budget_use
        from ..run_budgets import RUN, configured_budgets
        from .products import expected_archives
        from .upgrade_plan import plan_upgrade

        settings, run = self.world.settings, os.environ.get(RUN, "")
        self._prospects = None  # the store may have more answers by now
        return plan_upgrade(
            self.specs,
            self.folder,
            self._upgrade_settings(),
            now,
            self.layout,
            run=run,
            uses=budget_use(self.layout.store, configured_budgets(settings, run)),
            is_batch=self._is_batch,
            archives=partial(expected_archives, folder=self.folder, layout=self.layout) if expected else None,
        )

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
        from ..generation.budgets import Deadline

        level = generation.wildcards.get("quality_level", LEVELS[0])
        if level == LEVELS[0] or not self.upgrade_plan.exists():
            return None
        changed = self.upgrade_plan.stat().st_mtime_ns
        if changed != self._until[0]:
            self._until = changed, read_json(self.upgrade_plan)
        plan = self._until[1]
        if not plan.get("until") or plan.get("run") != run:
            return None
        tier = self.spec_of[generation.wildcards["conversation_id"]].tiers[level]
        key = "upgrade.deadline" if plan["upgrade"].get("deadline") else "upgrade.max_duration_s"
        return Deadline(plan["until"], tier.seconds_per_call, key)

    def _upgrade_settings(self) -> "Upgrade":
        """The section `upgrade` of config.yaml; in a night, the upgrade ends before the night does."""
        settings, night = self.world.settings.upgrade, this_night()
        ends = read_night(self.layout.root, night).get("ends") if night else None
        return settings.model_copy(update={"deadline": ends}) if ends and not settings.deadline else settings

    def left_out(self, goal: str) -> str:
        """Why a night leaves out the chunks or their upgrade: no better model, or nothing that is worth it within the
        limits."""
        if goal != "upgrade" or not self.specs:
            return NOTHING if not self.specs and not self.problem else ""
        if not any(set(spec.tiers) - {LEVELS[0]} for spec in self.specs.values()):
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
        from .products import upgrade_archive

        spec, rows = self.spec_of[conversation_id], self._upgrade_rows(conversation_id)
        folder, plan = self.folder / conversation_id, read_json(self.upgrade_plan)
        if summary := upgrade_archive(spec, conversation_id, folder, self.layout, plan, rows):
            write_atomic(path, pretty(summary))

    def _archives(self) -> list[Mapping[str, Json]]:
        from .upgrade_plan import archives_of

        return [archive for spec in self.specs.values() for archive in archives_of(spec, self.folder)]

    def _plan_clusters(self) -> dict[str, Json]:
        from .clusters import plan_clusters

        return plan_clusters(self._archives(), self.world.settings.clusters.similarity)

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
        return self.metadata_files("cluster", self._deferred[-1].generations)

    def write_clusters(self, path: str) -> str:
        """Write the clusters with their descriptions, and check all chunk ids; returns a line for the screen."""
        from .clusters import described_clusters

        plan, rows = read_json(self.cluster_plan), self._deferred[-1].generations
        clusters = described_clusters(plan["clusters"], rows, self._archives(), self.layout)
        write_atomic(path, pretty({"clusters": clusters}))
        contradictions = sum(len(cluster["contradictions"]) for cluster in clusters)
        return f"{len(clusters):,} clusters, {contradictions:,} contradictions: {path}"

    def sources(self) -> Sequence[Source]:
        """The tables of this family in the database."""
        from .sources import chunk_sources

        return chunk_sources(self.layout.root)

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
            if conversation_id in RESERVED:
                raise ConfigError(f"a conversation cannot have the reserved name {conversation_id!r}; rename its file")
            other = spec_of.setdefault(conversation_id, spec)
            if other is not spec:
                both = f"{other.path} and {spec.path}"
                raise ConfigError(f"conversation {conversation_id} is in {both}; remove it from one of them")
    return spec_of


def _ids(rows: Iterable[Generation]) -> list[str]:
    return [row.gen_id for row in rows]


def _read_upgrade(spec: "Chunking", path: Path) -> Mapping[str, Generation]:
    from .compile import upgrade_rows

    return upgrade_rows(spec, read_json(path))


def _now() -> str:
    return datetime.now(UTC).isoformat()
