"""Conversations, as the rules see them: which files their chunks consist of, what an upgrade is, and what makes them.

What reads and cuts text is imported where it is used: a project of cohorts alone need not wait for its libraries.

An upgrade is planned from the archives that are there when it begins (`data/chunks/upgrade/plan.json`); its
generations are known from that file alone, so that a run that was interrupted, and a job in a process of its own,
find them.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import ConfigError
from ..files import canonical, pretty, sha256, write_atomic
from ..generation.make import spent
from ..generation.models import find_model
from ..plan import Plan

if TYPE_CHECKING:
    from .compile import Chunking
    from .making import Answer

VERSION = 1  # of how archives are made; raised, they are made again
RESERVED = ("upgrade", "clusters", "result.json", "clusters.json")  # beside the conversations' folders
SHOWN_SKIPPED = 20  # on the screen; the plan's file has all
_SUMS = ("chunks", "conversations", "calls", "tokens", "cost_usd", "seconds", "skipped_chunks")


class Talks:
    """The conversations of a plan. `rows` are the generations of the upgrade that is planned, by id; `windows` are
    their windows, by conversation and region."""

    def __init__(self, plan: Plan, data: Path) -> None:
        self.plan, self.folder, self.data = plan, data / "chunks", data
        self.chunking: dict[str, Chunking] = {
            talk: chunking for chunking in plan.chunkings.values() for talk in chunking.conversations
        }
        self.rows: dict[str, Mapping[str, Any]] = {}
        self.windows: dict[tuple[str, int, int], dict[str, Any]] = {}
        self.cluster_rows: dict[str, tuple[str, Mapping[str, Any]]] = {}  # by gen_id: cluster and row
        self.read: tuple[int, Mapping[str, Any]] = (0, {})  # the upgrade's plan, with the time of its file
        self.settings: Mapping[str, Any] = plan.config["upgrade"]
        if not self.chunking:
            return
        from .filters import parse_filter

        if reserved := [name for name in RESERVED if name in self.chunking]:
            raise ConfigError(f"a conversation cannot be called {reserved[0]!r}: rename its file")
        try:
            parse_filter(self.settings["filter"])
            self._seconds(datetime.now(UTC).isoformat())
        except ConfigError as error:
            raise ConfigError(f"upgrade: {error}") from None
        if self.plan_file.exists():
            self.upgrade_plan()
        if self.cluster_plan.exists():
            self.register_clusters(_read_json(self.cluster_plan))

    # --- chunking ---

    def archive_inputs(self, talk: str) -> list[str]:
        """What an archive is made from besides the conversation: the generations of its windows."""
        return self._metadata(self.chunking[talk].windows[talk])

    def archive_param(self, talk: str) -> str:
        """What decides an archive besides the answers: the conversation as it was read, and its windows."""
        chunking = self.chunking[talk]
        windows = {gen_id: [w.first, w.last] for gen_id, w in chunking.windows[talk].items()}
        return canonical([VERSION, sha256(canonical(asdict(chunking.conversations[talk]))), windows])

    def archive(self, talk: str) -> None:
        """Write the archive of a conversation, unless the latest one says the same."""
        from .archive import has_archive, read_latest, write_archive
        from .making import basic_archive

        chunking, folder = self.chunking[talk], self.folder / talk
        answers = self._answers(chunking.windows[talk])
        latest = read_latest(folder) if has_archive(folder) else None
        archive = basic_archive(chunking.conversations[talk], chunking.units[talk], answers, latest)
        write_archive(folder, archive)
        (folder / "manifest.json").touch()

    def page(self, talk: str) -> None:
        """Write the page that shows a conversation's chunks."""
        from .archive import read_latest
        from .render import chunks_page

        chunking, folder = self.chunking[talk], self.folder / talk
        page = chunks_page(chunking.conversations[talk], chunking.units[talk], read_latest(folder))
        write_atomic(folder / "chunks.html", page)

    def result(self) -> str:
        """Write what changed since the last result; returns its table."""
        from .archive import has_archive, read_latest, read_version
        from .result import result_table, task_result

        path = self.folder / "result.json"
        rows = _read_json(path)["conversations"] if path.exists() else []
        versions = {row["conversation_id"]: row["version"] for row in rows}
        changes = []
        for talk in self.chunking:
            folder = self.folder / talk
            if not has_archive(folder):  # an upgrade may go on without it
                continue
            now, before = read_latest(folder), None
            if (folder / f"archive_v{versions.get(talk)}.json").exists():
                before = read_version(folder, versions[talk])
            if before is not None and before["metadata"]["text_sha256"] != now["metadata"]["text_sha256"]:
                before = None  # another text: all its chunks are new
            changes.append((now, before))
        result = task_result(changes)
        write_atomic(path, pretty(result))
        pages = f"The chunks to look at: {self.folder}/<conversation>/chunks.html"
        return f"{result_table(result)}\n\n{pages}"

    def targets(self) -> list[str]:
        """Every file that chunking makes."""
        files = [f"{self.folder}/{talk}/{name}" for talk in self.chunking for name in ("manifest.json", "chunks.html")]
        return [*files, f"{self.folder}/result.json"] if files else []

    def manifests(self) -> list[str]:
        """The manifests of all conversations."""
        return [f"{self.folder}/{talk}/manifest.json" for talk in self.chunking]

    def torn(self) -> list[Path]:
        """Manifests that cannot be read or that list an archive that is not there. They are derived from the
        archives: without such a manifest, what is missing is made again."""
        return [path for path in map(Path, self.manifests()) if path.exists() and not _whole(path)]

    def earlier(self) -> set[str]:
        """The ids of all generations that archives name, and those of the upgrade that is planned."""
        ids = {*self.rows, *self.cluster_rows}
        for path in self.folder.glob("*/archive_v*.json"):
            archive = _read_json(path)
            ids |= {*archive["metadata"]["generations"], *(chunk["gen_id"] or "" for chunk in archive["b_chunks"])}
        return ids

    def _archives(self, talks: Iterable[str]) -> Iterator[dict[str, Any]]:
        """The latest archives of those conversations that have one."""
        from .archive import has_archive, read_latest

        return (read_latest(self.folder / talk) for talk in talks if has_archive(self.folder / talk))

    def _metadata(self, gen_ids: Iterable[str]) -> list[str]:
        return [f"{self.data}/gens/chunk/{gen_id}/metadata.json" for gen_id in gen_ids]

    def _answers(self, windows: Mapping[str, Any]) -> "list[Answer]":
        from .making import Answer

        answers = []
        for gen_id, window in windows.items():
            folder = self.data / "gens" / "chunk" / gen_id
            metadata = spent(_read_json(folder / "metadata.json"), self.data)
            parsed = _read_json(folder / "parsed.json") if metadata["status"] == "ok" else {}
            answers.append(Answer(window, metadata, parsed))
        return answers

    # --- clusters ---

    @property
    def cluster_plan(self) -> Path:
        """Where the clusters lie before a model has said what they are about."""
        return self.folder / "clusters" / "plan.json"

    def plan_clusters(self) -> None:
        """Write which chunks of all conversations are about the same thing, and what a model would be shown."""
        from .clusters import build_clusters, cluster_units

        archives = list(self._archives(self.chunking))
        found = build_clusters(archives, self.plan.config["clusters"]["similarity"])
        planned = {"clusters": found, "material": {one["id"]: cluster_units(one, archives) for one in found}}
        write_atomic(self.cluster_plan, pretty(planned))
        self.register_clusters(planned)

    def register_clusters(self, planned: Mapping[str, Any]) -> None:
        """Know the generations that say what clusters are about."""
        from .compile import cluster_rows

        first = next(iter(self.plan.chunkings.values()))
        self.cluster_rows = cluster_rows(planned, self.plan.config["clusters"], first.catalog, first.models)
        for gen_id in self.cluster_rows:
            self.plan.origin.setdefault(gen_id, "clusters")

    def cluster_files(self) -> list[str]:
        """The metadata of these generations."""
        return [f"{self.data}/gens/cluster/{gen_id}/metadata.json" for gen_id in self.cluster_rows]

    def clusters(self, path: str) -> str:
        """Write the clusters with what models said of them, every chunk that they name checked; returns a line."""
        from .clusters import check_clusters, named

        found = {cluster["id"]: cluster for cluster in _read_json(self.cluster_plan)["clusters"]}
        for gen_id, (cluster, _) in self.cluster_rows.items():
            folder = self.data / "gens" / "cluster" / gen_id
            if _read_json(folder / "metadata.json")["status"] == "ok":
                found[cluster] = named(found[cluster], _read_json(folder / "parsed.json"), gen_id)
        clusters = list(found.values())
        check_clusters(clusters, list(self._archives(self.chunking)))
        write_atomic(path, pretty({"clusters": clusters}))
        against = sum(len(cluster["contradictions"]) for cluster in clusters)
        return f"{len(clusters):,} clusters, {against:,} contradictions: {path}"

    # --- upgrades ---

    @property
    def plan_file(self) -> Path:
        """Where the plan of the upgrade lies."""
        return self.folder / "upgrade" / "plan.json"

    def plan_upgrade(self, now: str) -> dict[str, Any]:
        """What an upgrade would do that began at `now` (ISO 8601), from the archives that are there.

        The specs are planned in their order, each with what the ones before it left of the limits.
        """
        from .filters import parse_filter
        from .resources import select_resources
        from .upgrade import plan_upgrades

        limits = {key: self.settings.get(key) for key in ("limit", "max_tokens", "max_duration_s")}
        limits["max_duration_s"] = self._seconds(now)
        means = parse_filter(self.settings["filter"])
        parts, waiting = {}, [talk for talk in self.manifests() if not Path(talk).exists()]
        for name, chunking in self.plan.chunkings.items():
            archives = list(self._archives(chunking.conversations))
            models = {level: tier.get("model") for level, tier in chunking.spec["tiers"].items()}
            chosen = select_resources(
                limits["max_tokens"],
                self.settings.get("target"),
                limits["max_duration_s"],
                sum(any(map(means, archive["b_chunks"])) for archive in archives),
                self.settings["urgency"],
                {level: {"model_id": model} for level, model in models.items()},
            )
            part = {"resources": chosen, "regions": [], "skipped": [], "totals": dict.fromkeys(_SUMS, 0)}
            if chosen["tier"] != "basic":
                estimates = self._estimates(chunking, chosen["tier"])
                priorities = chunking.spec["priorities"]
                part |= plan_upgrades(archives, self.settings["filter"], chosen["tier"], limits, estimates, priorities)
            parts[name] = part
            for key, used in (("limit", "chunks"), ("max_tokens", "tokens"), ("max_duration_s", "seconds")):
                if limits[key] is not None:
                    limits[key] -= part["totals"][used]
        totals = {key: round(sum(part["totals"][key] for part in parts.values()), 9) for key in _SUMS}
        return {
            "schema_version": 1,
            "planned_at": now,
            "upgrade": dict(self.settings),
            "without_archive": [Path(path).parent.name for path in waiting],
            "totals": totals,
            "specs": parts,
        }

    def _seconds(self, now: str) -> float | None:
        """How long the calls of an upgrade may take together, by its longest duration and its deadline."""
        from .upgrade import available_seconds

        return available_seconds({**self.settings, "now": now})

    def _estimates(self, chunking: "Chunking", level: str) -> dict[str, Any]:
        from .compile import asked
        from .tokens import estimate_tokens

        tier = chunking.spec["tiers"][level]
        model = find_model(self.plan.models, tier["model"])
        return {
            "model_id": tier["model"],
            "price": model.get("price"),
            "template_tokens": estimate_tokens(self.plan.texts[asked(chunking, level)["template_sha256"]]),
            "window_tokens": tier["window_tokens"],
            "seconds_per_call": tier["seconds_per_call"],
        }

    def register(self, planned: Mapping[str, Any]) -> None:
        """Know the generations of an upgrade's plan; what is no longer configured, or another text by now, is
        passed over: the next plan will say what to do with it."""
        from .compile import chunk_rows

        self.rows, self.windows = {}, {}
        for talk, level, region in _regions(planned):
            chunking = self.chunking.get(talk)
            if chunking is None or region["last"] > len(chunking.units[talk]):
                continue
            made = chunk_rows(chunking, talk, level, (region["first"], region["last"]))
            self.rows |= {row["gen_id"]: row for row, _ in made}
            self.windows[talk, region["first"], region["last"]] = {row["gen_id"]: window for row, window in made}
            for row, _ in made:
                self.plan.origin.setdefault(row["gen_id"], chunking.name)

    def write_plan(self, now: str) -> str:
        """Plan an upgrade, write the plan, and know its generations; returns it as text."""
        planned = self.plan_upgrade(now)
        write_atomic(self.plan_file, pretty(planned))
        self.upgrade_plan()
        return plan_text(planned)

    def upgrade_plan(self) -> Mapping[str, Any]:
        """The plan that is written, its generations known: another process may have planned since this one looked."""
        written = self.plan_file.stat().st_mtime_ns
        if self.read[0] != written:
            self.read = (written, _read_json(self.plan_file))
            self.register(self.read[1])
        return self.read[1]

    def upgraded(self) -> list[str]:
        """What says that the planned upgrades of all conversations are done."""
        talks = dict.fromkeys(talk for talk, _, _ in _regions(self.upgrade_plan()))
        return [f"{self.folder}/{talk}/upgrade.json" for talk in talks]

    def upgrade_inputs(self, talk: str) -> list[str]:
        """The generations of a conversation's upgrade."""
        self.upgrade_plan()
        return self._metadata(gen_id for (name, *_), found in self.windows.items() if name == talk for gen_id in found)

    def upgrade_param(self, talk: str) -> str:
        """A digest of a conversation's part of the plan."""
        regions = [[level, region["archive_version"], region["first"], region["last"]]
                   for name, level, region in _regions(self.upgrade_plan()) if name == talk]  # fmt: skip
        return canonical([VERSION, regions])

    def upgrade(self, talk: str, path: str) -> None:
        """Write the upgraded archive of a conversation, its page, and what was done."""
        from .archive import read_version, write_archive
        from .making import upgraded_archive

        chunking, folder = self.chunking[talk], self.folder / talk
        planned = [(level, region) for name, level, region in _regions(self.upgrade_plan()) if name == talk]
        before, level = planned[0][1]["archive_version"], planned[0][0]
        places = [(region["first"], region["last"]) for _, region in planned]
        regions = [(place, self._answers(self.windows[talk, *place])) for place in places]
        base = read_version(folder, before)
        archive = upgraded_archive(chunking.conversations[talk], chunking.units[talk], base, regions, level)
        version = write_archive(folder, archive)
        self.page(talk)
        done = {"conversation_id": talk, "target": level, "before": before, "after": version, "regions": places}
        write_atomic(path, pretty(done))


def plan_text(planned: Mapping[str, Any]) -> str:
    """The plan of an upgrade for people: what it would take, and what is left out and why."""
    lines = []
    for name, part in planned["specs"].items():
        totals, chosen = part["totals"], part["resources"]
        what = "nothing" if not totals["chunks"] else (
            f"{totals['chunks']:,} chunks of {totals['conversations']:,} conversations, {totals['calls']:,} calls, "
            f"at most {totals['tokens']:,} tokens and ${totals['cost_usd']:.4f}, about {totals['seconds']:,.0f} s"
        )  # fmt: skip
        lines.append(f"upgrade of {name} to {chosen['tier']} ({chosen['model_id'] or 'rules'}): {what}")
        lines += [f"  {reason}" for reason in chosen["reasons"]]
        if done := totals.get("already_at_target"):
            lines.append(f"  {done:,} chunks that the filter means are good enough already")
        lines += [
            f"  skipped: {region['conversation_id']}, units {region['first']}-{region['last']} "
            f"({len(region['chunks'])} chunks): {region['reason']}"
            for region in part["skipped"][:SHOWN_SKIPPED]
        ]
        if (more := len(part["skipped"]) - SHOWN_SKIPPED) > 0:
            lines.append(f"  skipped: {more:,} more; chunks/upgrade/plan.json names them")
    if missing := planned["without_archive"]:
        lines.append(f"without an archive yet, so not in this plan: {', '.join(missing)}")
    return "\n".join(lines)


def _regions(planned: Mapping[str, Any]) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
    """(conversation, quality level, region) for each region of a plan, in the order of the text."""
    for part in planned["specs"].values():
        for region in sorted(part["regions"], key=lambda region: (region["conversation_id"], region["first"])):
            yield region["conversation_id"], part["resources"]["tier"], region


def _whole(manifest: Path) -> bool:
    try:
        versions = _read_json(manifest)["versions"]
        return all((manifest.parent / f"archive_v{int(version)}.json").exists() for version in versions)
    except (ValueError, KeyError, TypeError):
        return False


def _read_json(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))
