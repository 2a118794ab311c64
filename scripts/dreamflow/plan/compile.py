"""The whole plan of a configuration: every cohort's generations in one table, and the order to make them in."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..config import check
from ..errors import ConfigError
from ..files import canonical
from .catalog import STAGES, load_catalog
from .cohort import Cohort, Row, compile_cohort, read_spec, spec_path
from .combos import load_mappings
from .models import load_models
from .selection import Known


@dataclass
class Plan:
    """`generations` by id; `texts` are the input texts that they refer to, by SHA-256.

    `kept` are drafts and essays that selections refer to and that no cohort plans: files that have to be there.
    """

    config: dict[str, Any]
    models: dict[str, Row]
    cohorts: dict[str, Cohort]
    generations: dict[str, Row]
    texts: dict[str, str]
    origin: dict[str, str] = field(default_factory=dict)
    priority: dict[str, int] = field(default_factory=dict)
    kept: dict[str, Row] = field(default_factory=dict)

    def of_stage(self, stage: str) -> list[str]:
        """The ids of a stage's generations."""
        return [gen_id for gen_id, row in self.generations.items() if row["stage"] == stage]


def compile_plan(config: Mapping[str, Any]) -> Plan:
    """Check a configuration (config/config.yaml as a mapping) and compile all that it names."""
    settings = check(config, "config", "config/config.yaml", _text("config/config.yaml"))
    models = load_models(settings["models"])
    for model in models.values():
        model["local_models"] = settings["local_models"]
    catalog = load_catalog(settings["raw_root"])
    data_root = Path(settings["data_root"])
    plan = Plan(settings, models, {}, {}, catalog.texts)
    known = Known(data_root, load_mappings(data_root / "combo_mappings.csv"), plan.generations)
    specs = [(path, read_spec(path)) for path in map(spec_path, settings["cohorts"])]
    # What selects from the generations of others comes after them.
    for path, spec in sorted(specs, key=lambda pair: "from" in pair[1]):
        cohort = compile_cohort(path, spec, catalog, models, known)
        if cohort.cohort_id in plan.cohorts:
            raise ConfigError(f"config/config.yaml: cohorts: {cohort.cohort_id!r} is named twice")
        plan.cohorts[cohort.cohort_id] = cohort
        _merge(plan, cohort)
        known.combos |= cohort.combos
        plan.kept |= {gen_id: row for gen_id, row in cohort.kept.items() if gen_id not in plan.generations}
    plan.priority = _priorities(plan.generations)
    return plan


def _text(path: str) -> str:
    return Path(path).read_text(encoding="utf-8") if Path(path).exists() else ""


def _merge(plan: Plan, cohort: Cohort) -> None:
    for gen_id, row in cohort.generations.items():
        earlier = plan.generations.setdefault(gen_id, row)
        if earlier is not row and earlier != row:
            different = [key for key in row if row[key] != earlier[key]]
            raise ConfigError(
                f"{row['stage']} {gen_id} is planned twice with different {', '.join(different)}: "
                f"by cohort {plan.origin[gen_id]} ({canonical({k: earlier[k] for k in different})}) "
                f"and by {cohort.cohort_id} ({canonical({k: row[k] for k in different})}). "
                "Settings are no part of an id: give one of them a model id of its own in models.yaml."
            )
        plan.origin.setdefault(gen_id, cohort.cohort_id)


def _priorities(generations: Mapping[str, Row]) -> dict[str, int]:
    """Stage by stage, and within a stage by model and template: neighbours share a model and a prompt's beginning."""

    def key(gen_id: str) -> tuple:
        row = generations[gen_id]
        return (
            STAGES.index(row["stage"]),
            row["model"]["model_id"] if row["model"] else "",
            row["template_id"],
        )

    ordered = sorted(generations, key=key)
    return {gen_id: len(ordered) - place for place, gen_id in enumerate(ordered)}
