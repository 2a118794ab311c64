"""Nights over procedures, as the rules see them: which files a night consists of, and what makes them.

What reads code is imported where it is used: a project of cohorts alone need not wait for its libraries.
"""

import csv
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import DreamflowError
from ..files import canonical, sha256
from ..generation.make import gen_folder, spent
from ..plan import Plan

if TYPE_CHECKING:
    from .compile import Night

NIGHT_FILES = ("journal.md", "dreams.csv", "dreams.sqlite", "health.json", "yield.csv", "next.yaml")
VERSION = 1  # of the checks and tests; raised, they are made again


class Nights:
    """The nights of a plan; `by_folder` has them by name and cycle, as their folders are called."""

    def __init__(self, plan: Plan, data: Path) -> None:
        self.plan, self.data = plan, data
        self.by_folder: dict[str, Night] = {n.folder.removeprefix("dreams/"): n for n in plan.nights.values()}
        self.variations: dict[tuple[str, str], dict[str, Any]] = {}

    @staticmethod
    def pattern(names: Iterable[str]) -> str:
        """A pattern that matches these names and nothing else."""
        return "|".join(map(re.escape, names)) or "(?!)"

    def procedure_files(self, procedure: str) -> list[str]:
        """A procedure's card and its code."""
        card = Path(self.plan.procedures[procedure].card)
        return [str(card), str(card.with_suffix(".py"))]

    def variant_files(self, night: str, procedure: str) -> list[str]:
        """The metadata of a procedure's variants."""
        return [f"{self.data}/gens/variant/{gen_id}/metadata.json" for gen_id in self.variants(night, procedure)]

    def variants(self, night: str, procedure: str) -> list[str]:
        """The ids of a procedure's variants, in the order in which later ones are compared with earlier ones."""
        return self.by_folder[night].variants[procedure]

    def local_variant(self, row: Mapping[str, Any]) -> str:
        """The code of a variant that an operator makes without a model."""
        from ..pyanalysis.analysis import analyse
        from .operators import OPERATORS

        where = row["wildcards"]
        key = (where["procedure_id"], where["kind"])
        if key not in self.variations:
            procedure = self.plan.procedures[where["procedure_id"]]
            analysis = analyse(procedure.source, procedure.entry, procedure.effects)
            function, _ = OPERATORS[where["kind"]]
            self.variations[key] = {variation.site: variation for variation in function(procedure, analysis)}
        return self.variations[key][where["site"]].make()

    def check_param(self, night: str, procedure: str) -> str:
        """What decides a check besides the variants."""
        rows = {gen_id: self.plan.generations[gen_id]["variant"] for gen_id in self.variants(night, procedure)}
        return canonical([VERSION, sha256(self.plan.procedures[procedure].source), rows])

    def check(self, night: str, procedure: str, path: str) -> None:
        """Check the variants of a procedure."""
        from .night import write_checks

        rows = {gen_id: self.plan.generations[gen_id] for gen_id in self.variants(night, procedure)}
        write_checks(self.plan.procedures[procedure], rows, self.data / "gens" / "variant", path)

    def test_param(self, night: str, procedure: str) -> str:
        """The job of a sandbox test (see `dreams.night.write_tests`) and a digest of what it reads besides."""
        planned = self.plan.procedures[procedure]
        card = [planned.source, planned.effects, planned.fakes, planned.files, planned.inputs, planned.generate]
        variants = self.variants(night, procedure)
        job = {
            "version": VERSION,
            "card": planned.card,
            "card_sha256": sha256(canonical(card)),
            "gens": str(self.data / "gens" / "variant"),
            "variants": {gen_id: self.plan.generations[gen_id]["variant"]["safe"] for gen_id in variants},
            "test": self.by_folder[night].spec["test"],
        }
        return canonical(job)

    def files(self, night: str) -> list[str]:
        """What a journal is written from: tests of all procedures, and the verdicts."""
        planned = self.by_folder[night]
        tests = [f"{self.data}/dreams/{night}/tests/{procedure}.json" for procedure in planned.variants]
        return tests + [f"{self.data}/gens/verdict/{gen_id}/metadata.json" for gen_id in planned.verdicts.values()]

    def param(self, night: str) -> str:
        """What decides a journal besides its files."""
        planned = self.by_folder[night]
        return canonical([VERSION, planned.spec, planned.limits, planned.verdicts])

    def journal(self, night: str) -> str:
        """Write the files of a night; returns its table."""
        from .night import write_night

        planned = self.by_folder[night]
        spec = planned.spec
        job = {
            "name": planned.name,
            **{key: spec[key] for key in ("cycle", "strategy")},
            "limits": planned.limits,
            "configured": planned.configured,
        }
        folder = self.data / "dreams" / night
        return f"{write_night(job, self.table(night), folder)}\n\nThe journal: {folder}/journal.md"

    def table(self, night: str) -> list[dict[str, Any]]:
        """A record of each variant of a night."""
        from .night import table_of

        planned = self.by_folder[night]
        entries = [entry for procedure in planned.variants for entry in self.entries(night, procedure)]
        return table_of(entries, self.plan.procedures, planned.spec["tiers"])

    def entries(self, night: str, procedure: str) -> Iterator[dict[str, Any]]:
        """All that is known of each variant of a procedure."""
        folder, planned = self.data / "dreams" / night, self.by_folder[night]
        checks, tests = (_read_json(folder / part / f"{procedure}.json") for part in ("checks", "tests"))
        for gen_id in self.variants(night, procedure):
            variant = gen_folder(self.data, "variant", gen_id)
            verdict = planned.verdicts.get(gen_id)
            yield {
                "row": self.plan.generations[gen_id],
                "metadata": spent(_read_json(variant / "metadata.json"), self.data),
                "code": (variant / "parsed.py").read_text(encoding="utf-8"),
                "check": checks.get(gen_id),
                "test": tests[gen_id]["test"],
                "verdict": spent(_read_json(gen_folder(self.data, "verdict", verdict) / "metadata.json"), self.data)
                if verdict
                else None,
            }

    def promote(self) -> None:
        """Write a patch for each variant in tier 1 of the configured nights."""
        from .night import write_patches

        if not self.by_folder:
            raise DreamflowError(
                "config/config.yaml: procedures: no night is configured, so there is nothing to promote"
            )
        for night in self.by_folder:
            folder = self.data / "dreams" / night / "promoted"
            patches = write_patches(self.table(night), self.plan.procedures, folder)
            print(f"{night}: {len(patches)} variants in tier 1 that are no procedures yet")
            for path in patches:
                print(f"  git apply {path}")

    def targets(self) -> list[str]:
        """Every file of every night."""
        drawn = sorted({name for night in self.by_folder.values() for name in night.variants})
        analyses = [f"{self.data}/dreams/analysis/{name}.{suffix}" for name in drawn for suffix in ("json", "svg")]
        return analyses + [f"{self.data}/dreams/{night}/{name}" for night in self.by_folder for name in NIGHT_FILES]

    def earlier(self) -> set[str]:
        """The ids of what earlier cycles dreamt: the tables name them, so they are not forgotten."""
        ids = set()
        for path in self.data.glob("dreams/*/cycle-*/dreams.csv"):
            with path.open(encoding="utf-8", newline="") as stream:
                for row in csv.DictReader(stream):
                    ids |= {row["gen_id"], row["verdict_id"]}
        return ids


def _read_json(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))
