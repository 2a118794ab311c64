"""A cohort's spec -> its generations: drafts, essays and evaluations, each with all that decides its result."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..config import check, in_file, under
from ..errors import ConfigError, Key, did_you_mean, joined
from ..files import checked_name, read_text
from ..generation.catalog import Catalog, Template, description, template
from ..generation.ids import draft_id, essay_id, evaluation_id
from ..generation.model import Candidate, Generation, ModelIdentity
from ..generation.models import Model, check_sampling, find_model, identity, merge_sampling
from ..generation.parsers import parser_version
from ..generation.questions import check_candidates, find_fallbacks
from ..reports.lineage import Facts, Members
from .combos import Combo, make_combos
from .selection import COLUMN, Known, kept_generations, selected_essays
from .spec import CohortSpec
from .spec_language import compile_spec, load_spec

Row = dict[str, Any]  # a spec, a part of it, or a row that it compiles to

ALIASES = {
    "combo": "combo_id",
    "draft_model": "draft_llm",
    "generation_llm": "draft_llm",
    "essay_model": "essay_llm",
    "evaluation_model": "evaluation_llm",
    "draft_template_replicate": "draft_replicate",
    "draft_rep": "draft_replicate",
    "essay_template_replicate": "essay_replicate",
    "essay_rep": "essay_replicate",
    "evaluation_template_replicate": "evaluation_replicate",
    "evaluation_llm_replicate": "evaluation_replicate",
    "evaluation_rep": "evaluation_replicate",
}
FIELDS = (
    *("combo_id", "draft_template", "draft_llm", "draft_replicate"),
    *("essay_template", "essay_llm", "essay_replicate"),
    *("evaluation_template", "evaluation_llm", "evaluation_replicate"),
)
MIN_LINES = {"draft": 3, "essay": 1, "evaluation": 1}
JUDGES = ("stages", "evaluation", "judges")
SELECTION_FIELDS = (COLUMN, "evaluation_template", "evaluation_llm", "evaluation_replicate")


@dataclass
class Cohort:
    """A compiled cohort. `generations` are in the order in which the rows first name them.

    `row_ids` says for each row, by stage, the id of what it names (two, with a blank between, where a row has both
    its draft and its essay judged). `kept` are drafts and essays that a selection keeps: not planned here, judged.
    """

    cohort_id: str
    spec_path: Path
    rows: list[Row]
    generations: dict[str, Generation] = field(default_factory=dict)
    combos: dict[str, Combo] = field(default_factory=dict)
    row_ids: list[dict[str, str]] = field(default_factory=list)
    kept: dict[str, Facts] = field(default_factory=dict)

    @property
    def member_ids(self) -> list[str]:
        """The ids of all that the cohort consists of: what it keeps, then what it plans."""
        return list(self.kept | self.generations)

    @property
    def members(self) -> Members:
        """All that the cohort consists of, as tables see it."""
        return Members(self.kept, self.generations)


def spec_path(name: str) -> Path:
    """The file of a cohort that the config names: a path, or a name in config/cohorts/."""
    return Path(name if name.endswith((".yaml", ".yml", ".json")) else f"config/cohorts/{name}.yaml")


def read_spec(path: Path) -> CohortSpec:
    """The spec in a file, checked, defaults filled in."""
    return check(load_spec(path), CohortSpec, path, read_text(path))


def compile_rows(path: Path, spec: CohortSpec, catalog: Catalog, data_root: Path) -> Cohort:
    """The rows of a spec and the combinations that it makes; nothing is planned yet."""
    cohort_id = checked_name(path.parent.parent.name if path.name == "config.yaml" else path.stem, "cohort")
    with in_file(path):
        own = {c.combo_id: c for c in make_combos(spec.combos, catalog)} if spec.combos else {}
        axes, fields = spec.axes, FIELDS
        if spec.from_:
            axes, fields = {**_selection_axis(spec, data_root), **axes}, SELECTION_FIELDS
        elif own and not axes.keys() & {"combo_id", "combo"}:
            axes = {"combo_id": list(own), **axes}
        rows = [
            _canonical_fields(row, spec, fields)
            for row in compile_spec({"axes": axes, "rules": spec.rules, "output": spec.output}, path)
        ]
    return Cohort(cohort_id, path, rows, combos=own)


def _selection_axis(spec: CohortSpec, data_root: Path) -> Row:
    if spec.combos or COLUMN in spec.axes:
        key = ("combos",) if spec.combos else ("axes", COLUMN)
        raise ConfigError("delete this: 'from' decides which texts the cohort has", key)
    return {COLUMN: selected_essays(spec.from_, data_root)}


def compile_cohort(path: Path, spec: CohortSpec, catalog: Catalog, models: Mapping[str, Model], known: Known) -> Cohort:
    """Compile a spec. `known` is what else it can refer to."""
    cohort = compile_rows(path, spec, catalog, known.data_root)
    combos = cohort.combos = {**known.combos, **cohort.combos}
    with in_file(path):
        if spec.from_:
            cohort.kept = kept_generations(list(dict.fromkeys(row[COLUMN] for row in cohort.rows)), known)
        _Compiler(cohort, spec, catalog, models).run()
    members: list[Facts | Generation] = [*cohort.kept.values(), *cohort.generations.values()]
    used = dict.fromkeys(made.wildcards.get("combo_id", "") for made in members)
    cohort.combos = {combo: combos[combo] for combo in used if combo in combos}
    return cohort


def _canonical_fields(row: Mapping[str, Any], spec: CohortSpec, fields: tuple[str, ...]) -> Row:
    renamed = {ALIASES.get(key, key): value for key, value in row.items()}
    if len(renamed) != len(row):
        raise ConfigError(f"one field is given under two names (aliases: {ALIASES})", ("axes",))
    unknown = sorted(renamed.keys() - set(fields))
    if unknown:
        why = " ('from' takes the place of drafts and essays)" if fields is SELECTION_FIELDS else ""
        message = joined(
            f"unknown field {unknown[0]!r}",
            did_you_mean(unknown[0], fields),
            f"a row can have {', '.join(fields)}{why}",
        )
        raise ConfigError(message, written_at(spec, unknown[0], None))
    return renamed


def written_at(spec: CohortSpec, name: str, value: Any) -> Key:
    """The key at which a spec gives `value` to a field: a level of an axis or a value of a tuple, if it is listed."""
    names = {name, *(alias for alias, field_name in ALIASES.items() if field_name == name)}
    for axis, levels in spec.axes.items():
        if axis in names:
            return ("axes", axis, *_index(levels, value))
    for title, rule in ((spec.rules or {}).get("tuples") or {}).items():
        for column in (place for place, axis in enumerate(rule["axes"]) if axis in names):
            items = rule["items"] if isinstance(rule["items"], list) else []
            number = next((n for n, item in enumerate(items) if item[column] == value), None)
            return ("rules", "tuples", title, "items", *(() if number is None else (number, column)))
    return ("axes", name)


def _index(levels: Any, value: Any) -> tuple[int, ...]:
    return (levels.index(value),) if isinstance(levels, list) and value in levels else ()


class _Compiler:
    """Walks the rows of one cohort; what many rows share (a draft, a template, a model) is made once."""

    def __init__(self, cohort: Cohort, spec: CohortSpec, catalog: Catalog, models: Mapping[str, Model]) -> None:
        self.cohort, self.spec, self.catalog, self.models = cohort, spec, catalog, models
        self.row_of: dict[str, tuple[Row, tuple]] = {}
        self.identities: dict[str, ModelIdentity] = {}
        self.shared: dict[tuple, Row] = {}
        self.spares: dict[str, list[Model]] = {}

    def run(self) -> None:
        if not self.cohort.rows:
            raise ConfigError("the spec compiles to no rows", ("axes",))
        judges = self.check_fields(self.cohort.rows[0])
        for stage, settings in self.spec.stages:
            with under("stages", stage):
                self.spares[stage] = find_fallbacks(settings.fallback, self.models)
                for spare in self.spares[stage]:
                    check_sampling(spare, settings.sampling.as_dict())
        for row in self.cohort.rows:
            made = self.selected(row, judges) if self.cohort.kept else {"draft": self.draft(row)}
            if "essay_template" in row:
                made["essay"] = self.essay(row, made["draft"])
            if "evaluation_template" in row:
                made["evaluation"] = " ".join([self.evaluation(row, made[judged]) for judged in judges])
            self.cohort.row_ids.append(made)

    def check_fields(self, first: Row) -> list[str]:
        """Complain of fields that all rows lack; returns what is judged."""
        drafts = () if COLUMN in first else ("combo_id", "draft_template", "draft_llm")
        for name in drafts or ("evaluation_template",):
            if name not in first:
                what = "a draft" if drafts else "a further evaluation"
                raise ConfigError(f"{name!r} is missing: every row needs {what}", ("axes",))
        for stage in ("essay", "evaluation") if drafts else ():
            parts = {key for key in first if key.startswith(f"{stage}_")}
            if parts and f"{stage}_template" not in first:
                raise ConfigError(f"{sorted(parts)[0]!r} without '{stage}_template'", ("axes",))
        essays = "essay_template" in first or COLUMN in first
        judges = self.spec.stages.evaluation.judges or (["essay"] if essays else ["draft"])
        if "essay" in judges and "evaluation_template" in first and not essays:
            raise ConfigError("no axis 'essay_template', so there are no essays", JUDGES)
        return judges

    def selected(self, row: Row, judges: list[str]) -> dict[str, str]:
        """A kept essay and its draft, where that is there too."""
        essay = row[COLUMN]
        draft = next((parent for parent in self.cohort.kept[essay].parents if parent in self.cohort.kept), None)
        if "draft" in judges and draft is None:
            raise ConfigError(f"the draft of essay {essay} does not exist", JUDGES)
        return {"essay": essay} if draft is None else {"draft": draft, "essay": essay}

    def draft(self, row: Row) -> str:
        combo = self.cohort.combos.get(row["combo_id"])
        if combo is None:
            raise ConfigError(
                f"unknown combination {row['combo_id']!r}: neither made by 'combos:' nor in combo_mappings.csv",
                written_at(self.spec, "combo_id", row["combo_id"]),
            )
        replicate = self.replicate(row, "draft")
        gen_id = draft_id(combo.combo_id, row["draft_template"], row["draft_llm"], replicate)
        signature = (combo.combo_id, row["draft_template"], row["draft_llm"], replicate)
        if self.is_new(gen_id, signature, row):
            fields = self.fields(row, "draft", row["draft_template"], row["draft_llm"], replicate)
            self.add(gen_id, row, fields, [], {"concepts": self.concepts(combo)})
        return gen_id

    def concepts(self, combo: Combo) -> list[Row]:
        return [
            {
                "concept_id": concept,
                "name": self.catalog.concepts[concept],
                "level": found,
                "content": {"sha256": self.catalog.keep(text)},
            }
            for concept in combo.concept_ids
            for found, text in [description(self.catalog, concept, combo.level)]
        ]

    def essay(self, row: Row, draft: str) -> str:
        chosen = self.template("essay", row["essay_template"])
        llm = row.get("essay_llm", row["draft_llm"])
        if llm not in (None, "None"):
            self.model(llm, "essay")  # a copy asks nobody, but a misspelt name is a mistake all the same
        other = llm if chosen.generator != "copy" and llm != row["draft_llm"] else None
        replicate = self.replicate(row, "essay")
        gen_id = essay_id(draft, row["essay_template"], replicate, other)
        if self.is_new(gen_id, (draft, row["essay_template"], replicate, other), row):
            fields = self.fields(row, "essay", row["essay_template"], llm, replicate)
            parent = {"parent": draft}
            self.add(gen_id, row, fields, [draft], {"draft_block": parent, "links_block": parent})
        return gen_id

    def evaluation(self, row: Row, parent: str) -> str:
        if "evaluation_llm" not in row:
            raise ConfigError("'evaluation_template' without 'evaluation_llm'", ("axes",))
        replicate = self.replicate(row, "evaluation")
        gen_id = evaluation_id(parent, row["evaluation_template"], row["evaluation_llm"], replicate)
        if self.is_new(gen_id, (parent, row["evaluation_template"], row["evaluation_llm"], replicate), row):
            fields = self.fields(row, "evaluation", row["evaluation_template"], row["evaluation_llm"], replicate)
            self.add(gen_id, row, fields, [parent], {"response": {"parent": parent}})
        return gen_id

    def is_new(self, gen_id: str, signature: tuple, row: Row) -> bool:
        """Whether `gen_id` is not planned yet; two different generations under one id are an error."""
        earlier = self.row_of.setdefault(gen_id, (row, signature))
        if earlier[1] != signature:
            raise ConfigError(
                f"two rows get the same id {gen_id}; "
                "give one of them another name (ids ignore letter case)\n"
                f"  {earlier[0]}\n  {row}"
            )
        return gen_id not in self.cohort.generations

    def replicate(self, row: Row, stage: str) -> int:
        value = row.get(f"{stage}_replicate", 1)
        if isinstance(value, str) and value.isdecimal():  # as CSV files and the original's fixtures have it
            value = int(value)
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            key = written_at(self.spec, f"{stage}_replicate", value)
            raise ConfigError(f"{value!r}; expected a whole number from 1", key)
        return value

    def template(self, stage: str, template_id: str) -> Template:
        with under(*written_at(self.spec, f"{stage}_template", template_id)):
            return template(self.catalog, stage, template_id)

    def fields(self, row: Row, stage: str, template_id: str, llm: str, replicate: int) -> Row:
        """What all generations of a stage with this template, model and replicate have in common."""
        key = (stage, template_id, llm, replicate)
        if key not in self.shared:
            self.shared[key] = self._fields(stage, template_id, llm, replicate)
        return self.shared[key]

    def _fields(self, stage: str, template_id: str, llm: str, replicate: int) -> Row:
        chosen, settings = self.template(stage, template_id), getattr(self.spec.stages, stage)
        options: Row = {"scale": list(chosen.scale)} if stage == "evaluation" else {}
        if chosen.response_format and "schema" in chosen.response_format:
            options["schema"] = chosen.response_format["schema"]
        fields: Row = {
            "family": "cohort",
            "stage": stage,
            "mode": chosen.generator,
            "template_id": template_id,
            "template_sha256": chosen.sha256,
            "parser": parser_version(chosen.parser),
            "parser_options": options,
            "replicate": replicate,
            "max_attempts": settings.attempts,
            "min_lines": settings.min_lines if settings.min_lines is not None else MIN_LINES[stage],
            "model": None,
            "sampling": {},
            "response_format": None,
        }
        if chosen.generator == "copy":
            if stage == "draft":
                key = written_at(self.spec, "draft_template", template_id)
                raise ConfigError(f"draft template {template_id!r} is 'copy', but a draft has no parent", key)
            return fields
        model = self.model(llm, stage)
        fields["model"] = self.identities[llm]
        if model.provider == "human":
            fields["mode"] = "human"
        else:
            with under("stages", stage):
                check_sampling(model, settings.sampling.as_dict())
            fields["sampling"] = merge_sampling(model, settings.sampling.as_dict())
        if spares := self.fallbacks(model, stage):
            fields["fallbacks"] = spares
        fields["response_format"] = chosen.response_format
        return fields

    def fallbacks(self, first: Model, stage: str) -> list[Candidate]:
        """The models that answer if the model of a row does not: those of the stage, without that model itself."""
        with under("stages", stage):
            others = [model for model in self.spares[stage] if model.model_id != first.model_id]
            check_candidates([first, *others])
            for model in others:
                with under("fallback"):
                    self.identities.setdefault(model.model_id, identity(model))
        own = getattr(self.spec.stages, stage).sampling.as_dict()
        return [Candidate(self.identities[model.model_id], merge_sampling(model, own)) for model in others]

    def model(self, llm: str, stage: str) -> Model:
        if llm not in self.identities:
            with under(*written_at(self.spec, f"{stage}_llm", llm)):
                self.identities[llm] = identity(find_model(self.models, llm))
        return self.models[llm]

    def add(self, gen_id: str, row: Row, fields: Row, parents: list[str], variables: Row) -> None:
        stage = fields["stage"]
        own = {
            f"{stage}_template": fields["template_id"],
            f"{stage}_llm": fields["model"].model_id if fields["model"] else None,
            f"{stage}_replicate": fields["replicate"],
        }
        parent = (self.cohort.kept.get(parents[0]) or self.cohort.generations[parents[0]]) if parents else None
        before = parent.wildcards if parent else {"combo_id": row["combo_id"]}
        self.cohort.generations[gen_id] = Generation(
            **fields, gen_id=gen_id, parents=parents, variables=variables, wildcards={**before, **own}
        )
