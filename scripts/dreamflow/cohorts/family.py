"""The family `cohorts`: its plan, its products, and what decides the jobs of its rules."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ..database.schema import Source
from ..errors import ConfigError, DreamflowError
from ..family import Family, Report, World
from ..files import canonical, pretty, read_json, write_atomic
from ..reports import CROSS_FILES, FINDINGS_FILE, REPORT_FILES, STATE_FILE, TABLE_FILES
from ..site.page import Page
from .combos import Combo, extend_mappings, load_mappings
from .compile import Cohort, compile_cohort, read_spec, spec_path
from .selection import Known
from .stages import STAGES

if TYPE_CHECKING:
    from pandas import DataFrame

    from ..reports.findings import Findings


class Cohorts(Family):
    """The cohorts of a configuration, by id. Reports load libraries of tables, so they are imported where they are
    written."""

    name = "cohorts"
    section = "cohorts"
    config_key = "cohorts"
    description = (
        "Cohorts: names of files in `config/cohorts/` without `.yaml`, or paths that end in `.yaml`, `.yml` or `.json`."
    )
    stages = STAGES
    goals = ("drafts", "essays", "evaluations", "cohorts", "reports", "crate")

    def __init__(self, world: World) -> None:
        super().__init__(world)
        self.cohorts: dict[str, Cohort] = {}
        self._found: dict[str, tuple[DataFrame, Findings]] = {}  # what these scores say
        self._tables: dict[str, tuple[int, DataFrame]] = {}  # scores, and the version of the summaries they are from

    def compile(self) -> None:
        """Plan all cohorts; those that select generations of others (`from`) come after them."""
        world, root = self.world, self.layout.root
        known = Known(root, load_mappings(root / "combo_mappings.csv"), world.generations)
        specs = [(path, read_spec(path)) for path in map(self.spec_file, self.spec_names())]
        for path, spec in sorted(specs, key=lambda pair: pair[1].from_ is not None):
            cohort = compile_cohort(path, spec, world.catalog, world.models, known, world.router)
            if cohort.cohort_id in self.cohorts:
                raise ConfigError(f"the cohort {cohort.cohort_id!r} is named twice", (self.config_key,))
            self.cohorts[cohort.cohort_id] = cohort
            self.add(cohort.cohort_id, cohort.generations)
            known.combos |= cohort.combos
            kept = {gen_id: one.stage for gen_id, one in cohort.kept.items() if gen_id not in world.generations}
            world.kept.update(kept)

    def spec_file(self, name: str) -> Path:
        """The file of a cohort: a path, or a name in config/cohorts/."""
        return spec_path(name)

    def targets(self, goal: str) -> list[str]:
        """The generations of one stage, or all generations and reports."""
        if goal in ("reports", "crate"):  # from what exists
            return []
        if goal in self.goals and goal != self.name:
            return self.stage_files(goal.removesuffix("s"), only=True)
        if not self.cohorts:
            return []
        root = self.layout.root
        return [
            *(path for stage in STAGES for path in self.stage_files(stage.name)),
            *(path for cohort_id in self.cohorts for path in self._products(cohort_id)),
            f"{root}/combo_mappings.csv",
            *(f"{root}/7_cross_experiment/{name}" for name in CROSS_FILES),
        ]

    def _products(self, cohort_id: str) -> list[str]:
        root = self.layout.root
        folder = f"{root}/cohorts/{cohort_id}"
        reports = [f"{folder}/reports/{name}" for name in REPORT_FILES]
        return [f"{folder}/manifest.json", f"{folder}/membership.csv", *reports, f"{root}/results/{cohort_id}"]

    def wildcards(self) -> Mapping[str, list[str]]:
        """The cohorts by id."""
        return {"cohort": list(self.cohorts)}

    def reports(self) -> list[Report]:
        """The results of each cohort, with the first comparison in words."""
        return [self._report(cohort_id, cohort) for cohort_id, cohort in self.cohorts.items()]

    def _report(self, cohort_id: str, cohort: Cohort) -> Report:
        path = self._reports(cohort_id) / STATE_FILE
        try:
            state = read_json(path)
        except (DreamflowError, OSError):  # not made yet, or by an earlier version
            state = {}
        changed = state and state.get("cohort_sha256") != cohort.digest
        return Report(
            f"cohort {cohort_id}",
            self.layout.root / "results" / cohort_id / "README.md",
            state.get("answer", ""),
            cohort.generations,
            path,
            outdated="the plan of the cohort has changed since" if changed else "",
            remedy=" 'snakemake reports' makes them from what is there.",
            files=[
                *sorted((self.layout.root / "results" / cohort_id).glob("[0-9]*-*.md")),
                *(self._reports(cohort_id) / name for name in TABLE_FILES if not name.startswith("parsing/")),
            ],
        )

    # --- what the rules need ---

    def leaves(self, cohort_id: str) -> list[str]:
        """The metadata of a cohort's generations that are nobody's parent: when they are made, all are."""
        leaves: dict[str, list[str]] = {}
        for stage, gen_id in self.cohorts[cohort_id].generations.leaves():
            leaves.setdefault(stage, []).append(gen_id)
        return list(dict.fromkeys(path for stage, ids in leaves.items() for path in self.metadata_files(stage, ids)))

    def cohort_job(self, cohort_id: str) -> str:
        """What decides the membership and the reports of a cohort besides its generations."""
        return canonical({"cohort_sha256": self.cohorts[cohort_id].digest})

    def results_job(self, cohort_id: str) -> str:
        """What decides a cohort's best essays besides its reports."""
        return canonical({"cohort_sha256": self.cohorts[cohort_id].digest, "top_n": self.world.settings.results_top_n})

    def combos_job(self) -> str:
        """The combinations that cohorts use."""
        return canonical(sorted(self._combos()))

    def _combos(self) -> dict[str, Combo]:
        return {key: combo for cohort in self.cohorts.values() for key, combo in cohort.combos.items()}

    # --- jobs ---

    def write_combos(self, path: str, now: str) -> None:
        """Add the combinations that combo_mappings.csv lacks."""
        extend_mappings(Path(path), self._combos().values(), now)

    def write_membership(self, cohort_id: str, manifest: str, membership: str) -> None:
        """Write what a cohort consists of."""
        from ..reports.membership import write_manifest, write_membership

        write_manifest(self.cohorts[cohort_id], manifest)
        write_membership(self.cohorts[cohort_id], membership)

    def write_reports(self, cohort_id: str) -> None:
        """Write the tables of a cohort's scores, what they say, and that they are complete."""
        from ..reports.findings import as_markdown
        from ..reports.tables import write_reports

        cohort, root = self.cohorts[cohort_id], self.layout.root
        folder, found = self._reports(cohort_id), self._findings(cohort_id)
        write_reports(cohort, root, folder, self.scores(cohort_id))
        write_atomic(folder / FINDINGS_FILE, f"# What the scores of cohort {cohort_id} say\n\n{as_markdown(found)}\n")
        state = {"cohort_id": cohort_id, "cohort_sha256": cohort.digest, "complete": True, "answer": found.answer}
        write_atomic(folder / STATE_FILE, pretty(state))

    def write_results(self, cohort_id: str, folder: str) -> str:
        """Write the best texts of a cohort; returns a table of them for the screen."""
        from ..reports.results import write_results

        cohort, top_n, look = self.cohorts[cohort_id], self.world.settings.results_top_n, self.world.summaries
        scores, found = self.scores(cohort_id), self._findings(cohort_id)
        return write_results(cohort, self.layout.root, folder, top_n, scores, look, found)

    def write_all_reports(self) -> str:
        """Write the tables and best texts of every cohort from the generations that exist; returns what they say."""
        shown = []
        for cohort_id in self.cohorts:
            self.write_reports(cohort_id)
            shown.append(self.write_results(cohort_id, f"{self.layout.root}/results/{cohort_id}"))
        return "\n\n".join(shown) or "No cohort is configured."

    def write_crates(self) -> str:
        """Write an RO-Crate of every cohort from what exists; returns a line for each."""
        from .crate import write_crate

        folder, lines = self.layout.root / "export/crates", []
        for report, (cohort_id, cohort) in zip(self.reports(), self.cohorts.items(), strict=True):
            says = report.words or "Its scores are not compared yet."
            lines.append(write_crate(cohort, self.world.catalog, self.layout, folder / cohort_id, says))
        return "\n".join(lines) or "No cohort is configured."

    def write_cross(self, folder: str) -> None:
        """Write the tables over all evaluations that the data folder has."""
        from ..reports.cross import write_cross
        from ..reports.lineage import Members

        write_cross(self.layout.root, folder, Members({}, self.generations), self.world.summaries)

    def pages(self) -> Iterator[Page]:
        """The pages on all cohorts that are configured or have results."""
        from .pages import cohort_pages

        return cohort_pages(self)

    def _reports(self, cohort_id: str) -> Path:
        return self.layout.root / "cohorts" / cohort_id / "reports"

    def _findings(self, cohort_id: str) -> "Findings":
        """What the scores of a cohort say, found once for all rules that need it."""
        from ..reports.findings import findings

        scores = self.scores(cohort_id)
        if self._found.get(cohort_id, (None,))[0] is not scores:
            self._found[cohort_id] = scores, findings(scores)
        return self._found[cohort_id][1]

    def scores(self, cohort_id: str) -> "DataFrame":
        """The long table of a cohort's scores, collected once for all rules that need it."""
        from ..reports.scores import collect_scores

        version, table = self._tables.get(cohort_id, (None, None))
        if version != self.world.summaries.version:
            cohort, summaries = self.cohorts[cohort_id], self.world.summaries
            version = summaries.version
            table = collect_scores(cohort.members, self.layout.root, cohort_id, summaries)
            self._tables[cohort_id] = version, table
        return table

    def sources(self) -> Sequence[Source]:
        """The tables of this family in the database."""
        from .sources import cohort_sources

        return cohort_sources(self.world)


FAMILY = Cohorts
