"""The family of nights over procedures: variants of code are written, checked, tested in a sandbox and judged.

The key of a night is its name and cycle, like its folder below dreams/: demo/cycle-1. Modules that read code are
imported where they are used: a project of cohorts alone does not load their libraries.
"""

import csv
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING

from ..database.schema import Source
from ..errors import DreamflowError
from ..family import Family, Report, World
from ..files import canonical, read_as, sha256
from ..generation.make import read_result, with_total_cost
from ..generation.model import Generation, Result, as_json
from ..generation.stage import PromptKind, Stage
from ..site.page import Page
from . import statement_parser, verdict_parser  # noqa: F401  (they register their parsers)

if TYPE_CHECKING:
    from .compile import Night
    from .operators import Variation
    from .procedure import Procedure
    from .records import Record

NIGHT_FILES = ("journal.md", "dreams.csv", "dreams.sqlite", "health.json", "yield.csv", "next.yaml")
VERSION = 1  # of checks and tests; a higher number runs them again

# A plain sample has the sampling parameters of a relaxation, so that the two are comparable.
_RELAX = {"temperature": 0.8, "top_p": 0.9, "max_tokens": 2000}
_MATCH = PromptKind(
    "match", ("procedure", "candidates"), "choice", {"temperature": 0.5, "top_p": 0.9, "max_tokens": 1000}
)
_VARIANT = (
    PromptKind("relax", ("procedure", "constraint", "place", "request", "statement"), "code", _RELAX),
    PromptKind("synthesise", ("procedure", "partner"), "code", {"temperature": 0.7, "top_p": 0.95, "max_tokens": 3000}),
    PromptKind("sample", ("procedure",), "code", _RELAX),
)
_VERDICT = PromptKind(
    "verdict",
    ("procedure", "kind", "description", "code", "diff", "check", "test"),
    "verdict",
    {"temperature": 0.2, "max_tokens": 1000},
)


class Dreams(Family):
    """The family of nights; `nights` has them by key, `procedures` are all that a night can select."""

    name = "dreams"
    section = "procedures"
    config_key = "procedures"
    description = "Nights over procedures: names of files in `config/procedures/` without `.yaml`."
    goals = ("dreams", "promote")
    stages = (
        Stage("match", "m", (_MATCH,)),
        Stage("variant", "p", _VARIANT, ".py"),
        Stage("verdict", "j", (_VERDICT,), ".json"),
    )

    def __init__(self, world: World) -> None:
        super().__init__(world)
        self.folder = self.layout.root / "dreams"
        self.procedures: dict[str, Procedure] = {}
        self.nights: dict[str, Night] = {}
        self._variations: dict[tuple[str, str], dict[str, Variation]] = {}
        self._lock = Lock()

    def compile(self) -> None:
        """Plan every configured night. Raises `ConfigError`."""
        from .compile import compile_night
        from .procedure import load_procedures

        names, world = self.spec_names(), self.world
        self.procedures = load_procedures(Path(world.settings.raw_root) / "procedures")
        for name in names:
            night = compile_night(name, self.procedures, world.catalog, world.models, self.layout.root, world.router)
            self.nights[night.key] = night
            self.add(name, night.generations)

    def targets(self, goal: str) -> list[str]:
        """Every file of every night."""
        procedures = sorted({name for night in self.nights.values() for name in night.variants})
        analyses = [f"{self.folder}/analysis/{name}.{suffix}" for name in procedures for suffix in ("json", "svg")]
        measured = [
            f"{self.folder}/{key}/{kind}/{procedure}.json"
            for key, night in self.nights.items()
            for kind in ("checks", "tests")
            for procedure in night.variants
        ]
        return [*analyses, *measured, *(path for key in self.nights for path in self.journal_files(key))]

    def reports(self) -> list[Report]:
        """The journal of each night."""
        from .best import in_words

        return [
            Report(
                f"night {key}",
                self.folder / key / NIGHT_FILES[0],
                in_words(self.folder / key / NIGHT_FILES[1]),
                night.generations,
                files=[
                    *(self.folder / key / name for name in NIGHT_FILES if name.endswith((".csv", ".json"))),
                    *(self.folder / "analysis" / f"{procedure}.svg" for procedure in night.variants),
                ],
            )
            for key, night in self.nights.items()
        ]

    def referenced(self) -> set[str]:
        """The ids in the tables of all cycles, previous ones too, and the parents of their variants."""
        ids: set[str] = set()
        for path in self.layout.root.glob("dreams/*/cycle-*/dreams.csv"):
            with path.open(encoding="utf-8", newline="") as stream:
                rows = csv.DictReader(stream)
                if not {"gen_id", "verdict_id"} <= {*(rows.fieldnames or ())}:
                    raise DreamflowError(f"{path}: damaged: the columns gen_id and verdict_id are missing. Delete it")
                ids |= {row[name] for row in rows for name in ("gen_id", "verdict_id") if row[name]}
        folders = [self.layout.generation("variant", gen_id) for gen_id in ids]
        existing = [folder for folder in folders if (folder / "metadata.json").exists()]
        return ids | {parent for folder in existing for parent in read_result(folder).parents}

    def wildcards(self) -> Mapping[str, Iterable[str]]:
        """The keys of nights and the ids of procedures."""
        return {"night": self.nights, "procedure": self.procedures}

    def cycles(self) -> Mapping[str, tuple[int, int]]:
        """The last cycles of the nights with `cycle: auto`."""
        return {f"{self.config_key}/{one.name}": one.cycles for one in self.nights.values() if one.cycles}

    def unit(self, generation: Generation, origin: str) -> tuple[str, ...]:
        """The night and the procedure."""
        return (*super().unit(generation, origin), generation.wildcards["procedure_id"])

    def local_text(self, generation: Generation) -> str:
        """The code of a variant that an operator writes without a model."""
        where = generation.wildcards
        with self._lock:  # jobs are threads; those of the same procedure wait for one analysis
            variations = self._variations_of(where["procedure_id"], where["kind"])
        return variations[where["site"]].make()

    def _variations_of(self, procedure_id: str, kind: str) -> "dict[str, Variation]":
        from ..pyanalysis.analysis import analyse
        from .operators import operator

        if (procedure_id, kind) not in self._variations:
            procedure = self.procedures[procedure_id]
            analysis = analyse(procedure.source, procedure.entry, procedure.effects)
            variations = operator(kind).variations(procedure, analysis)
            self._variations[procedure_id, kind] = {variation.site: variation for variation in variations}
        return self._variations[procedure_id, kind]

    def procedure_files(self, procedure: str) -> list[str]:
        """A procedure's card and its code."""
        return [self.procedures[procedure].card, self.procedures[procedure].file]

    def write_analysis(self, procedure: str, analysis_path: str, drawing_path: str) -> None:
        """Write what the steps of a procedure read, write and do, as JSON and as a drawing."""
        from .night import write_analysis

        write_analysis(self.procedures[procedure], analysis_path, drawing_path)

    def variant_files(self, key: str, procedure: str) -> list[str]:
        """The files of a procedure's variants."""
        return self.result_files("variant", self.nights[key].variants[procedure])

    def _variants(self, key: str, procedure: str) -> list[Generation]:
        """A procedure's variants in plan order: each is compared with the previous ones."""
        return [self.generations[gen_id] for gen_id in self.nights[key].variants[procedure]]

    def check_job(self, key: str, procedure: str) -> str:
        """The inputs of a check, besides the variants, as a job file."""
        rows = {row.gen_id: as_json(row.variant) for row in self._variants(key, procedure)}
        return canonical([VERSION, sha256(self.procedures[procedure].source), rows])

    def write_checks(self, key: str, procedure: str, path: str) -> None:
        """Check the variants of a procedure."""
        from .night import write_checks

        write_checks(self.procedures[procedure], self._variants(key, procedure), self.layout, path)

    def test_job(self, key: str, procedure: str) -> str:
        """The job file of a sandbox test (see `night.write_tests`), with a digest of its other inputs."""
        planned = self.procedures[procedure]
        card = [planned.source, planned.effects, planned.fakes, planned.files, planned.inputs, planned.generate]
        card += [planned.surroundings.digest()] if planned.surroundings else []
        job = {
            "version": VERSION,
            "card": planned.card,
            "card_sha256": sha256(canonical(card)),
            "gens": str(self.layout.root / "gens" / "variant"),
            "variants": {row.gen_id: row.variant.safe for row in self._variants(key, procedure)},
            "test": self.nights[key].spec.test.as_dict(),
        }
        return canonical(job)

    def journal_sources(self, key: str) -> list[str]:
        """The inputs of a journal: the tests of all procedures, and the verdicts."""
        night = self.nights[key]
        tests = [f"{self.folder}/{key}/tests/{procedure}.json" for procedure in night.variants]
        return tests + self.metadata_files("verdict", night.verdicts.values())

    def journal_files(self, key: str) -> list[str]:
        """The final files of a night."""
        return [f"{self.folder}/{key}/{name}" for name in NIGHT_FILES]

    def journal_job(self, key: str) -> str:
        """The inputs of a journal, besides its sources, as a job file."""
        night = self.nights[key]
        return canonical([VERSION, night.spec.as_dict(), as_json(night.limits), night.verdicts])

    def write_journal(self, key: str) -> str:
        """Write the final files of a night; returns its table."""
        from .night import write_night

        folder, night = self.folder / key, self.nights[key]
        rows = [row for procedure in night.variants for row in self._variants(key, procedure)]
        parents = dict.fromkeys(parent for row in rows for parent in row.parents)
        choices = [gen_id for gen_id in parents if self.generations[gen_id].stage == "match"]
        matching = [self._result("match", gen_id) for gen_id in choices]
        shown = write_night(night, self._table(key), matching, folder)
        return f"{shown}\n\nThe journal: {folder}/journal.md"

    def _result(self, stage: str, gen_id: str) -> Result:
        """The metadata of a generation, with the cost of all its samples."""
        return with_total_cost(read_result(self.layout.generation(stage, gen_id)), self.layout.root)

    def _table(self, key: str) -> "list[Record]":
        """A record of each variant of a night."""
        from .check import Check
        from .night import Tested, table_of
        from .records import Entry

        night = self.nights[key]
        entries = []
        for procedure in night.variants:
            checks = read_as(self.folder / key / "checks" / f"{procedure}.json", dict[str, Check])
            tests = read_as(self.folder / key / "tests" / f"{procedure}.json", dict[str, Tested])
            for row in self._variants(key, procedure):
                folder, verdict = self.layout.generation("variant", row.gen_id), night.verdicts.get(row.gen_id)
                entries.append(
                    Entry(
                        row=row,
                        result=self._result("variant", row.gen_id),
                        code=(folder / self.layout.parsed_name("variant")).read_text(encoding="utf-8"),
                        check=checks.get(row.gen_id),
                        test=tests[row.gen_id].test,
                        verdict=self._result("verdict", verdict) if verdict else None,
                    )
                )
        return table_of(entries, self.procedures, night.spec.tiers)

    def pages(self) -> Iterable[Page]:
        """The pages on all cycles, also of nights that are no longer configured, and on all procedures."""
        from .pages import pages

        names = [night.name for night in self.nights.values()]
        return pages(self.layout, Path(self.world.settings.raw_root) / "procedures", names)

    def promote(self) -> str:
        """Write a patch for each variant in tier 1 of the configured nights; returns the commands that apply them."""
        from .night import write_patches

        if not self.nights:
            raise DreamflowError(
                "config/config.yaml: procedures: no night is configured, so no variant can be promoted"
            )
        lines = []
        for key in self.nights:
            patches = write_patches(self._table(key), self.procedures, self.folder / key / "promoted")
            lines.append(f"{key}: {len(patches)} variants in tier 1 that are not procedures yet")
            lines += [f"  git apply {path}" for path in patches]
        return "\n".join(lines)

    def sources(self) -> Sequence[Source]:
        """The tables of this family in the database."""
        from .sources import dream_sources

        return dream_sources(self.world)


FAMILY = Dreams
