"""A cohort's spec -> its generations: drafts, essays and evaluations, each with all that decides its result."""

import hashlib
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from itertools import count, islice
from pathlib import Path
from typing import Any

from ..config import check, in_file, under
from ..errors import ConfigError
from ..files import canonical, checked_name, read_text
from ..generation.catalog import Catalog, Template, description, template
from ..generation.ids import draft_id, essay_id, evaluation_id
from ..generation.model import Candidate, Generation, ModelIdentity
from ..generation.models import Model, check_sampling, find_model, identity, merge_sampling
from ..generation.parsers import parser_version
from ..generation.questions import check_candidates, find_fallbacks
from ..generation.settings import AUTO, AutoModel
from ..reports.lineage import Facts, Members
from ..routing.auto import Router, agreement, candidates, known_prompt, with_chain
from ..routing.choices import Choice
from ..routing.choose import Option
from .columns import FIELDS, SELECTION_FIELDS, canonical_fields, written_at
from .combos import Combo, make_combos
from .planned import Entry, Planned, RowIds, Shared
from .selection import COLUMN, Known, kept_generations, selected_essays
from .spec import CohortSpec
from .spec_language import compile_spec, load_spec

Row = dict[str, Any]  # a spec, a part of it, or a row that it compiles to

MIN_LINES = {"draft": 3, "essay": 1, "evaluation": 1}
_COLUMNS = {"draft": ("combo_id", "draft_"), "essay": ("combo_id", "draft_", "essay_"), "evaluation": ("",)}
JUDGES = ("stages", "evaluation", "judges")


@dataclass
class Cohort:
    """A compiled cohort. `generations` are in the order in which the rows first name them.

    `row_ids` says for each row, by stage, the id of what it names (two, with a blank between, where a row has both
    its draft and its essay judged). `kept` are drafts and essays that a selection keeps: not planned here, judged.
    """

    cohort_id: str
    spec_path: Path
    rows: Collection[Row]
    generations: Mapping[str, Generation] = field(default_factory=dict)
    combos: dict[str, Combo] = field(default_factory=dict)
    row_ids: Collection[dict[str, str]] = field(default_factory=list)
    kept: dict[str, Facts] = field(default_factory=dict)

    @property
    def member_ids(self) -> list[str]:
        """The ids of all that the cohort consists of: what it keeps, then what it plans."""
        return [*self.kept, *(gen_id for gen_id in self.generations if gen_id not in self.kept)]

    @property
    def members(self) -> Members:
        """All that the cohort consists of, as tables see it."""
        return Members(self.kept, self.generations)

    @cached_property
    def digest(self) -> str:
        """SHA-256 of `canonical([rows, member_ids])`."""
        whole = hashlib.sha256(b"[[")
        for place, values in enumerate((self.rows, self.member_ids)):
            whole.update(b"],[" if place else b"")
            some = iter(values)
            for number in count():  # in parts: all rows at once would be larger than the plan
                if not (part := list(islice(some, 1000))):
                    break
                text = canonical(part)[1:-1]
                whole.update((f",{text}" if number else text).encode("utf-8", "surrogatepass"))
        whole.update(b"]]")
        return whole.hexdigest()


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
        rows = compile_spec({"axes": axes, "rules": spec.rules, "output": spec.output}, path)
        rows = canonical_fields(rows, spec, fields)
    return Cohort(cohort_id, path, rows, combos=own)


def _selection_axis(spec: CohortSpec, data_root: Path) -> Row:
    if spec.combos or COLUMN in spec.axes:
        key = ("combos",) if spec.combos else ("axes", COLUMN)
        raise ConfigError("delete this: 'from' decides which texts the cohort has", key)
    return {COLUMN: selected_essays(spec.from_, data_root)}


def compile_cohort(
    path: Path, spec: CohortSpec, catalog: Catalog, models: Mapping[str, Model], known: Known, router: Router
) -> Cohort:
    """Compile a spec. `known` is what else it can refer to."""
    cohort = compile_rows(path, spec, catalog, known.data_root)
    combos = cohort.combos = {**known.combos, **cohort.combos}
    with in_file(path):
        if spec.from_:
            cohort.kept = kept_generations(list(dict.fromkeys(row[COLUMN] for row in cohort.rows)), known)
        compiler = _Compiler(cohort, spec, catalog, models, router)
        compiler.run()
    used = dict.fromkeys(made.combo_id for made in cohort.kept.values()) | compiler.used
    cohort.combos = {combo: combos[combo] for combo in used if combo in combos}
    return cohort


class _Compiler:
    """Walks the rows of one cohort; what many rows share (a draft, a template, a model) is made once."""

    def __init__(
        self, cohort: Cohort, spec: CohortSpec, catalog: Catalog, models: Mapping[str, Model], router: Router
    ) -> None:
        self.cohort, self.spec, self.catalog, self.models, self.router = cohort, spec, catalog, models, router
        self.identities: dict[str, ModelIdentity] = {}
        self.shared: dict[tuple, Shared] = {}
        self.spares: dict[str, list[Model]] = {}
        self.options: dict[str, tuple[Option, ...]] = {}  # by stage: among which trust chooses
        self.prompt = lru_cache(1024)(self.known_prompt)
        self.pieces: dict[tuple[str, str], Row] = {}
        self.used: dict[str, None] = {}  # combinations
        kept, combos = cohort.kept, cohort.combos
        planned = Planned(
            lambda combo_id: self.concepts(combos[combo_id]),
            lambda gen_id: kept[gen_id].wildcards if gen_id in kept else None,
        )
        self.entries, self.row_ids = planned.entries, RowIds()
        cohort.generations, cohort.row_ids = planned, self.row_ids

    def run(self) -> None:
        if not self.cohort.rows:
            raise ConfigError("the spec compiles to no rows", ("axes",))
        judges = self.check_fields(next(iter(self.cohort.rows)))
        for stage, settings in self.spec.stages:
            with under("stages", stage):
                self.spares[stage] = find_fallbacks(settings.fallback, self.models)
                for spare in self.spares[stage]:
                    check_sampling(spare, settings.sampling.as_dict())
        of_drafts, of_essays = [], []  # fields; successive rows often name the same draft and essay
        for name in next(iter(self.cohort.rows)):
            if not name.startswith("evaluation_"):
                (of_essays if name.startswith("essay_") else of_drafts).append(name)
        draft_key, essay_key, draft, llm, essay = None, None, "", None, ""
        for row in self.cohort.rows:
            if self.cohort.kept:
                made = self.selected(row, judges)
            else:
                if (key := [row[name] for name in of_drafts]) != draft_key:
                    draft_key, essay_key, (draft, llm) = key, None, self.draft(row)
                made = {"draft": draft}
            if "essay_template" in row:
                if (key := [row[name] for name in of_essays]) != essay_key:
                    essay_key, essay = key, self.essay(row, draft, llm)
                made["essay"] = essay
            if "evaluation_template" in row:
                made["evaluation"] = " ".join([self.evaluation(row, made[judged]) for judged in judges])
            self.row_ids.append(made)
        for stage, settings in self.spec.stages:
            if settings.auto is not None and stage not in self.options:
                raise ConfigError(f"no row has 'auto' as its '{stage}_llm'", ("stages", stage, "auto"))

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

    def draft(self, row: Row) -> tuple[str, str]:
        """The id of a row's draft, and its model."""
        combo = self.cohort.combos.get(row["combo_id"])
        if combo is None:
            raise ConfigError(
                f"unknown combination {row['combo_id']!r}: neither made by 'combos:' nor in combo_mappings.csv",
                written_at(self.spec, "combo_id", row["combo_id"]),
            )
        if combo.combo_id not in self.used:
            self.used[combo.combo_id] = None
            self.concepts(combo)  # raises the errors of its concepts, and keeps their texts
        replicate, template_id, llm = self.replicate(row, "draft"), row["draft_template"], row["draft_llm"]
        choice = None
        if llm == AUTO:
            choice = self.choose("draft", draft_id(combo.combo_id, template_id, AUTO, replicate), row)
            llm = choice.model_id
        gen_id = draft_id(combo.combo_id, template_id, llm, replicate)
        return self.add("draft", gen_id, row, combo.combo_id, (template_id, llm), replicate, llm, choice), llm

    def concepts(self, combo: Combo) -> list[Row]:
        return [self.piece(concept, combo.level) for concept in combo.concept_ids]

    def piece(self, concept: str, level: str) -> Row:
        key = (concept, level)
        if key not in self.pieces:
            found, text = description(self.catalog, concept, level)
            name, content = self.catalog.concepts[concept], {"sha256": self.catalog.keep(text)}
            self.pieces[key] = {"concept_id": concept, "name": name, "level": found, "content": content}
        return self.pieces[key]

    def essay(self, row: Row, draft: str, draft_llm: str) -> str:
        template_id = row["essay_template"]
        chosen = self.template("essay", template_id)
        llm, choice, replicate = row.get("essay_llm", draft_llm), None, self.replicate(row, "essay")
        if llm == AUTO and chosen.generator != "copy":
            choice = self.choose("essay", essay_id(draft, template_id, replicate, AUTO), row)
            llm = choice.model_id
        elif llm not in (None, "None", AUTO):
            self.model(llm, "essay")  # a copy asks nobody, but a misspelt name is a mistake all the same
        other = llm if chosen.generator != "copy" and llm != draft_llm else None
        gen_id = essay_id(draft, template_id, replicate, other)
        return self.add("essay", gen_id, row, draft, (template_id, other), replicate, llm, choice)

    def evaluation(self, row: Row, parent: str) -> str:
        if "evaluation_llm" not in row:
            raise ConfigError("'evaluation_template' without 'evaluation_llm'", ("axes",))
        template_id, llm = row["evaluation_template"], row["evaluation_llm"]
        replicate = self.replicate(row, "evaluation")
        choice = None
        if llm == AUTO:
            choice = self.choose("evaluation", evaluation_id(parent, template_id, AUTO, replicate), row)
            llm = choice.model_id
        gen_id = evaluation_id(parent, template_id, llm, replicate)
        return self.add("evaluation", gen_id, row, parent, (template_id, llm), replicate, llm, choice)

    def choose(self, stage: str, slot: str, row: Row) -> Choice:
        """The model that trust chooses for a row's generation of a stage."""
        settings = getattr(self.spec.stages, stage)
        auto = settings.auto or AutoModel()
        if stage not in self.options:
            with under("stages", stage):
                self.options[stage] = tuple(candidates(auto, self.models, settings.sampling.as_dict()))
        text = self.prompt(stage, row[f"{stage}_template"], row["combo_id"] if stage == "draft" else "")
        columns = {name: value for name, value in row.items() if name.startswith(_COLUMNS[stage])}
        return self.router.choose(slot, auto, self.options[stage], text, stage, columns)

    def known_prompt(self, stage: str, template_id: str, combo: str) -> str:
        """The prompt of a draft; the template of what has a parent."""
        text = self.catalog.texts[self.template(stage, template_id).sha256]
        variables = {"concepts": self.concepts(self.cohort.combos[combo])} if combo else {}
        return known_prompt(text, variables, self.catalog.texts)

    def add(
        self,
        stage: str,
        gen_id: str,
        row: Row,
        source: str,
        names: tuple[str, str | None],
        replicate: int,
        llm: str,
        choice: Choice | None,
    ) -> str:
        """Plan a generation unless it is planned; `names` are the template and the model in its id, `llm` is the model
        that makes it, `choice` why trust chose it. Two different generations under one id are an error."""
        chain = choice.fallbacks if choice else ()
        if choice is not None:
            self.router.note(gen_id, choice)
        earlier = self.entries.get(gen_id)
        if earlier is None:
            key = (stage, *names, llm, chain)
            shared = self.shared.get(key)
            if shared is None:
                shared = self.shared[key] = Shared(self.common(stage, names[0], llm, chain), *names)
            self.entries[gen_id] = Entry(gen_id, shared, source, replicate)
            return gen_id
        made = (earlier.source, earlier.shared.template, earlier.shared.llm, earlier.replicate)
        if made != (source, *names, replicate):
            place = next((n for n, ids in enumerate(self.row_ids) if gen_id in " ".join(ids.values()).split()), 0)
            raise ConfigError(
                f"two rows get the same id {gen_id}; "
                "give one of them another name (ids ignore letter case)\n"
                f"  {next(islice(self.cohort.rows, place, None))}\n  {row}"
            )
        return earlier.gen_id

    def replicate(self, row: Row, stage: str) -> int:
        value = row.get(f"{stage}_replicate", 1)
        if isinstance(value, str) and value.isdecimal():  # as CSV files and the original's fixtures have it
            value = int(value)
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            key = written_at(self.spec, f"{stage}_replicate", value)
            raise ConfigError(f"{value!r}; expected a whole number from 1", key)
        return value

    def template(self, stage: str, template_id: str) -> Template:
        found = self.catalog.templates.get((stage, template_id))
        if found is None:
            with under(*written_at(self.spec, f"{stage}_template", template_id)):
                found = template(self.catalog, stage, template_id)
        return found

    def common(self, stage: str, template_id: str, llm: str, chain: tuple[str, ...]) -> Generation:
        """What all generations of a stage with this template and model have in common, as a row."""
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
            "gen_id": "",
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
            return Generation(**fields)
        model = self.model(llm, stage)
        fields["model"] = self.identities[llm]
        if model.provider == "human":
            fields["mode"] = "human"
        else:
            with under("stages", stage):
                check_sampling(model, settings.sampling.as_dict())
            fields["sampling"] = merge_sampling(model, settings.sampling.as_dict())
        if spares := self.fallbacks(model, stage, chain):
            fields["fallbacks"] = spares
        fields["response_format"] = chosen.response_format
        return Generation(**fields | agreement(settings.auto or AutoModel(), chain, settings.attempts))

    def fallbacks(self, first: Model, stage: str, chain: tuple[str, ...]) -> list[Candidate]:
        """The models that answer if the model of a row does not: those of its cascade, then those of the stage, without
        that model itself."""
        with under("stages", stage):
            spares = [model.model_id for model in self.spares[stage]]
            others = [self.models[name] for name in with_chain(first.model_id, chain, spares, self.models)]
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
