"""The whole plan of a configuration: the generations of every family in one table, and the order to make them in."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import families  # noqa: F401  (it registers the parsers of all families)
from .cohorts.combos import load_mappings
from .cohorts.compile import Cohort, Row, compile_cohort, read_spec, spec_path
from .cohorts.selection import Known
from .errors import ConfigError, unknown
from .files import canonical
from .generation import catalog as inputs
from .generation.catalog import Catalog, load_catalog
from .generation.models import load_models
from .settings import in_config, load_settings

if TYPE_CHECKING:
    from .chunks.compile import Chunking
    from .distill.compile import Distillation, Probe
    from .dreams.compile import Night
    from .dreams.procedure import Procedure

STAGES = (*inputs.STAGES, "match", "variant", "verdict", "chunk", "cluster", "answer")


@dataclass
class Plan:
    """`generations` by id; `texts` are the input texts that they refer to, by SHA-256.

    `kept` are drafts and essays that selections refer to and that no cohort plans: files that have to be there.
    `procedures` are all that lie there, where nights are configured. Answers of probes and distillations are no part of
    `generations`: they are made where somebody asks for them.
    """

    config: dict[str, Any]
    models: dict[str, Row]
    cohorts: dict[str, Cohort]
    generations: dict[str, Row]
    texts: dict[str, str]
    origin: dict[str, str] = field(default_factory=dict)
    priority: dict[str, int] = field(default_factory=dict)
    kept: dict[str, Row] = field(default_factory=dict)
    procedures: "dict[str, Procedure]" = field(default_factory=dict)
    nights: "dict[str, Night]" = field(default_factory=dict)
    chunkings: "dict[str, Chunking]" = field(default_factory=dict)
    probes: "dict[str, Probe]" = field(default_factory=dict)
    distillations: "dict[str, Distillation]" = field(default_factory=dict)

    def of_stage(self, stage: str) -> list[str]:
        """The ids of a stage's generations."""
        return [gen_id for gen_id, row in self.generations.items() if row["stage"] == stage]


def compile_plan(config: Mapping[str, Any]) -> Plan:
    """Check a configuration (config/config.yaml as a mapping) and compile all that it names."""
    settings = load_settings(config).as_dict()
    models = load_models(settings["models"], Path(settings["data_root"]) / "models")
    for model in models.values():
        model["local_models"] = settings["local_models"]
    catalog = load_catalog(settings["raw_root"])
    data_root = Path(settings["data_root"])
    plan = Plan(settings, models, {}, {}, catalog.texts)
    known = Known(data_root, load_mappings(data_root / "combo_mappings.csv"), plan.generations)
    with in_config(config):
        _check_names(settings)
    specs = [(path, read_spec(path)) for path in map(spec_path, settings["cohorts"])]
    # What selects from the generations of others comes after them.
    for path, spec in sorted(specs, key=lambda pair: "from" in pair[1]):
        cohort = compile_cohort(path, spec, catalog, models, known)
        if cohort.cohort_id in plan.cohorts:
            with in_config(config):
                raise ConfigError(f"the cohort {cohort.cohort_id!r} is named twice", ("cohorts",))
        plan.cohorts[cohort.cohort_id] = cohort
        _merge(plan, cohort.cohort_id, cohort.generations)
        known.combos |= cohort.combos
        plan.kept |= {gen_id: row for gen_id, row in cohort.kept.items() if gen_id not in plan.generations}
    _add_nights(plan, catalog, data_root)
    _add_chunkings(plan, catalog, config)
    _add_answers(plan, catalog)
    plan.priority = _priorities(plan.generations)
    return plan


def _add_nights(plan: Plan, catalog: Catalog, data_root: Path) -> None:
    names = plan.config["procedures"]
    if not names:
        return
    # Imported late: libraries for syntax trees, which a project of cohorts alone does not need.
    from .dreams.compile import compile_night
    from .dreams.procedure import load_procedures

    plan.procedures = load_procedures(Path(plan.config["raw_root"]) / "procedures")
    for name in names:
        night = plan.nights[name] = compile_night(name, plan.procedures, catalog, plan.models, data_root)
        _merge(plan, name, night.generations)


def _add_chunkings(plan: Plan, catalog: Catalog, config: Mapping[str, Any]) -> None:
    names = plan.config["conversations"]
    if not names:
        return
    # Imported late: libraries for sentences and languages, which a project of cohorts alone does not need.
    from .chunks.compile import cluster_rows, compile_chunking
    from .chunks.readers import list_conversations

    known = list_conversations(Path(plan.config["raw_root"]) / "conversations")
    chunked_by: dict[str, Chunking] = {}
    for name in names:
        chunking = plan.chunkings[name] = compile_chunking(name, known, catalog, plan.models)
        for talk in chunking.conversations:
            other = chunked_by.setdefault(talk, chunking)
            if other is not chunking:
                raise ConfigError(
                    f"conversation {talk} is in {other.path} and in {chunking.path}: it has one archive, so one of "
                    "them must leave it out"
                )
        _merge(plan, name, chunking.generations)
    with in_config(config):
        cluster_rows({"clusters": []}, plan.config["clusters"], catalog, plan.models)  # finds names that do not exist


def _add_answers(plan: Plan, catalog: Catalog) -> None:
    if not plan.config["probes"] and not plan.config["distillations"]:
        return
    # Imported late: tasks, which a project of cohorts alone does not need.
    from .distill.compile import compile_distillation, compile_probe

    for key, compiled, compile_one in (
        ("probes", plan.probes, compile_probe),
        ("distillations", plan.distillations, compile_distillation),
    ):
        for name in plan.config[key]:
            compiled[name] = compile_one(name, catalog, plan.models)
            for gen_id in compiled[name].generations:
                plan.origin.setdefault(gen_id, name)


def _check_names(settings: Mapping[str, Any]) -> None:
    """Raise a ConfigError if a list of config.yaml names a spec twice, or one that does not exist."""
    for family in ("cohorts", "procedures", "conversations", "probes", "distillations"):
        folder = Path("config") / family
        for number, name in enumerate(settings[family]):
            file = spec_path(name) if family == "cohorts" else folder / f"{name}.yaml"
            if name in settings[family][:number]:
                message = f"{name!r} is named twice; delete one"
            elif not file.exists():
                known = [path.stem for path in folder.glob("*.yaml")]
                message = f"{unknown('name', name, known)} (no file {file})"
            else:
                continue
            raise ConfigError(message, (family, number))


def _merge(plan: Plan, name: str, generations: Mapping[str, Row]) -> None:
    """Add the generations of a cohort, night or chunking, which may plan what another plans, but not otherwise."""
    for gen_id, row in generations.items():
        earlier = plan.generations.setdefault(gen_id, row)
        if earlier is not row and earlier != row:
            different = [key for key in row if row[key] != earlier[key]]
            raise ConfigError(
                f"{row['stage']} {gen_id} is planned twice with different {', '.join(different)}: "
                f"by {plan.origin[gen_id]} ({canonical({k: earlier[k] for k in different})}) "
                f"and by {name} ({canonical({k: row[k] for k in different})}). "
                "Settings are no part of an id: give one of them a model id of its own in models.yaml."
            )
        plan.origin.setdefault(gen_id, name)


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
