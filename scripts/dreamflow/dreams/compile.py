"""A night's spec -> its generations: variants of procedures, the partners of syntheses, and verdicts on variants."""

import textwrap
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from itertools import islice
from pathlib import Path
from typing import Any

import yaml

from ..config import in_file, load_yaml, under
from ..errors import ConfigError, unknown
from ..files import checked_name, read_text
from ..generation.asking import asking
from ..generation.catalog import Catalog
from ..generation.ids import generation_id
from ..generation.parsers import parser_version
from ..pyanalysis.analysis import Analysis, analyse
from .operators import OPERATORS
from .operators.relax import sites as relaxations
from .operators.synthesise import partners
from .procedure import Procedure
from .spec import NightSpec

Row = dict[str, Any]

STRATEGIES = {"light": 5, "balanced": 15, "deep": 30}  # variants of a kind that a procedure gets
INPUTS = {"light": 5, "balanced": 20, "deep": 50}  # calls that a variant is tested with
SAMPLING = {  # the seed's table; a plain sample is asked for as a relaxation is, so that the two compare
    "relax": {"temperature": 0.8, "top_p": 0.9, "max_tokens": 2000},
    "synthesise": {"temperature": 0.7, "top_p": 0.95, "max_tokens": 3000},
    "sample": {"temperature": 0.8, "top_p": 0.9, "max_tokens": 2000},
    "match": {"temperature": 0.5, "top_p": 0.9, "max_tokens": 1000},
    "verdict": {"temperature": 0.2, "max_tokens": 1000},
}
CANDIDATES = 8  # procedures among which a model chooses a partner


@dataclass
class Night:
    """One cycle over some procedures. `variants` are the ids of a procedure's variants, `verdicts` maps a variant's id
    to its verdict's. `configured` says for each kind how many variants a procedure gets by strategy and spec, `limits`
    how many it gets in this cycle, after how many, and why."""

    name: str
    path: Path
    spec: Row
    procedures: dict[str, Procedure]
    configured: dict[str, int]
    limits: dict[str, Row]
    generations: dict[str, Row] = field(default_factory=dict)
    variants: dict[str, list[str]] = field(default_factory=dict)
    verdicts: dict[str, str] = field(default_factory=dict)

    @property
    def folder(self) -> str:
        """Where its files are, below the data folder."""
        return f"dreams/{self.name}/cycle-{self.spec['cycle']}"


@dataclass(frozen=True)
class _Idea:
    """A variant that is to be made: the fields of its row that its kind decides."""

    site: str
    description: str
    fields: Row
    safe: bool = False
    adds: tuple[str, ...] = ()


def compile_night(
    name: str, known: Mapping[str, Procedure], catalog: Catalog, models: Mapping[str, Row], data_root: Path
) -> Night:
    """Compile `config/procedures/<name>.yaml` over the procedures that there are."""
    path = Path(f"config/procedures/{checked_name(name, 'procedures')}.yaml")
    spec = load_yaml(path, NightSpec).as_dict()
    spec["test"].setdefault("inputs", INPUTS[spec["strategy"]])
    configured = {kind: spec["limits"].get(kind, STRATEGIES[spec["strategy"]]) for kind in spec["kinds"]}
    with in_file(path):
        limits = _limits(name, spec["cycle"], configured, data_root)
        night = Night(name, path, spec, _chosen(spec["procedures"], known), configured, limits)
        _Compiler(night, known, catalog, models).run()
    return night


def _chosen(patterns: list[str], known: Mapping[str, Procedure]) -> dict[str, Procedure]:
    for place, pattern in enumerate(patterns):
        if not any(fnmatchcase(name, pattern) for name in known):
            raise ConfigError(unknown("procedure", pattern, known), ("procedures", place))
    return {name: p for name, p in known.items() if any(fnmatchcase(name, pattern) for pattern in patterns)}


def _limits(name: str, cycle: int, configured: Mapping[str, int], data_root: Path) -> dict[str, Row]:
    if cycle == 1:
        return {kind: {"limit": limit, "taken": 0, "why": "as configured"} for kind, limit in configured.items()}
    before = data_root / "dreams" / name / f"cycle-{cycle - 1}" / "next.yaml"
    if not before.exists():
        raise ConfigError(
            f"cycle {cycle} continues cycle {cycle - 1}, but {before} does not exist: run 'cycle: {cycle - 1}' first",
            ("cycle",),
        )
    planned = yaml.safe_load(read_text(before))["limits"]
    new = {"taken": 0, "why": "as configured: new in this cycle"}
    return {kind: planned.get(kind, {"limit": limit, **new}) for kind, limit in configured.items()}


class _Compiler:
    """Lists the ideas of each kind for each procedure, and makes rows of those that the limits allow."""

    def __init__(
        self, night: Night, known: Mapping[str, Procedure], catalog: Catalog, models: Mapping[str, Row]
    ) -> None:
        self.night, self.known, self.catalog, self.models = night, known, catalog, models
        self.shared: dict[str, Row] = {}

    def run(self) -> None:
        for procedure in self.night.procedures.values():
            analysis = analyse(procedure.source, procedure.entry, procedure.effects)
            self.night.variants[procedure.procedure_id] = [
                self.variant(procedure, kind, idea)
                for kind, limit in self.night.limits.items()
                for idea in islice(
                    self.ideas(kind, procedure, analysis), limit["taken"], limit["taken"] + limit["limit"]
                )
            ]
        if "verdict" in self.night.spec["models"]:
            for variants in self.night.variants.values():
                for gen_id in variants:
                    self.night.verdicts[gen_id] = self.verdict(gen_id)

    def ideas(self, kind: str, procedure: Procedure, analysis: Analysis) -> Iterator[_Idea]:
        """The ideas of a kind in their order; those that ask a model go on without end, with new samples."""
        if kind in OPERATORS:
            return self.local(kind, procedure, analysis)
        find: Callable[[Procedure, Analysis], list[_Idea]] = getattr(self, kind)
        return _repeated(find(procedure, analysis))

    def local(self, kind: str, procedure: Procedure, analysis: Analysis) -> Iterator[_Idea]:
        function, version = OPERATORS[kind]
        for variation in function(procedure, analysis):
            effects = {call: list(words) for call, words in procedure.effects.items()}
            fields = {
                "mode": "local",
                "template_id": kind,
                "template_sha256": None,
                "request": f"{kind} {procedure.procedure_id} at {variation.site}: {variation.description}",
                "operator": {"version": version, "effects": effects},
                "variables": {"code": {"sha256": self.catalog.keep(procedure.source)}},
                "attempts": 1,
                **{"model": None, "sampling": {}, "response_format": None, "replicate": 1, "parents": []},
                **{"parser": parser_version("code"), "min_lines": 1},
            }
            yield _Idea(variation.site, variation.description, fields, variation.safe, variation.adds)

    def relax(self, procedure: Procedure, analysis: Analysis) -> list[_Idea]:
        asked = self.asked("relax")
        edits = asked["parser"].startswith("statement/")  # the answer is one statement, put into the module
        return [
            _Idea(
                relaxation.site,
                f"{relaxation.constraint} relaxed at {relaxation.place}",
                {
                    **asked,
                    "variables": {
                        "procedure": self.told(procedure),
                        "constraint": relaxation.constraint,
                        "place": relaxation.place,
                        "request": relaxation.request,
                        "statement": {"sha256": self.catalog.keep(_lines(procedure.source, *relaxation.lines))},
                    },
                    "parser_options": {"base": procedure.source, "lines": list(relaxation.lines)} if edits else {},
                },
            )
            for relaxation in relaxations(procedure, analysis)
        ]

    def sample(self, procedure: Procedure, analysis: Analysis) -> list[_Idea]:
        variables = {"procedure": self.told(procedure)}
        return [
            _Idea("whole", "a plain rewrite, without an operator", {**self.asked("sample"), "variables": variables})
        ]

    def synthesise(self, procedure: Procedure, analysis: Analysis) -> list[_Idea]:
        related = [name for name, _ in partners(procedure, self.known)]
        if self.night.spec["match"] == "model":
            return self.matched(procedure, related[:CANDIDATES])
        return [
            _Idea(
                f"with {name}",
                f"a hybrid with {name}",
                {
                    **self.asked("synthesise"),
                    "variables": {"procedure": self.told(procedure), "partner": self.told(self.known[name])},
                },
            )
            for name in related
        ]

    def matched(self, procedure: Procedure, related: list[str]) -> list[_Idea]:
        if not related:
            return []
        asked = self.asked("match")
        candidates = [
            {"id": name, "category": p.category, "tags": list(p.tags), "description": p.description}
            for name, p in ((name, self.known[name]) for name in related)
        ]
        match = generation_id("m_", procedure.procedure_id, asked["template_id"], asked["model"]["model_id"], *related)
        self.night.generations[match] = {
            **asked,
            **{"family": "dream", "stage": "match", "gen_id": match, "parents": []},
            "variables": {"procedure": self.told(procedure), "candidates": candidates},
            "wildcards": {"procedure_id": procedure.procedure_id},
            "parser_options": {"options": related},
        }
        chosen = {"choice": {"parent": match}, "of": {name: self.told(self.known[name]) for name in related}}
        variables = {"procedure": self.told(procedure), "partner": chosen}
        fields = {**self.asked("synthesise"), "parents": [match], "variables": variables}
        return [_Idea("with a model's choice", "a hybrid with the partner that a model chose", fields)]

    def told(self, procedure: Procedure) -> Row:
        """What a prompt says of a procedure."""
        return {
            "name": procedure.procedure_id,
            "description": procedure.description,
            "entry": procedure.entry,
            "code": {"sha256": self.catalog.keep(procedure.source)},
        }

    def asked(self, kind: str) -> Row:
        """The fields of a row that come from the model and the template of its kind."""
        if kind not in self.shared:
            settings = self.night.spec["models"].get(kind)
            if settings is None:
                raise ConfigError(f"missing: name the model that makes it, or leave {kind!r} out", ("models", kind))
            with under("models", kind):
                self.shared[kind] = asking(kind, settings, SAMPLING[kind], self.catalog, self.models)
        return self.shared[kind]

    def variant(self, procedure: Procedure, kind: str, idea: _Idea) -> str:
        fields = idea.fields
        who = fields["model"]["model_id"] if fields["model"] else fields["mode"]
        gen_id = generation_id(
            "p_", procedure.procedure_id, kind, idea.site, fields["template_id"], who, fields["replicate"]
        )
        self.night.generations[gen_id] = {
            **fields,
            **{"family": "dream", "stage": "variant", "gen_id": gen_id},
            "parser_options": {**fields.get("parser_options", {}), "entry": procedure.entry},
            "wildcards": {"procedure_id": procedure.procedure_id, "kind": kind, "site": idea.site},
            "variant": {"description": idea.description, "safe": idea.safe, "adds": list(idea.adds)},
        }
        return gen_id

    def verdict(self, variant: str) -> str:
        asked, row = self.asked("verdict"), self.night.generations[variant]
        procedure = self.night.procedures[row["wildcards"]["procedure_id"]]
        name, cycle, tiers = self.night.name, self.night.spec["cycle"], self.night.spec["tiers"]
        gen_id = generation_id("j_", variant, asked["template_id"], asked["model"]["model_id"], name, cycle)
        self.night.generations[gen_id] = {
            **asked,
            **{"family": "dream", "stage": "verdict", "gen_id": gen_id, "parents": [variant]},
            "variables": {
                "procedure": self.told(procedure),
                "kind": row["wildcards"]["kind"],
                "description": row["variant"]["description"],
                "code": {"parent": variant},
            },
            "evidence": {"file": f"{self.night.folder}/tests/{procedure.procedure_id}.json", "entry": variant},
            "parser_options": {"viable": tiers["viable"], "speculative": tiers["speculative"]},
            "wildcards": row["wildcards"],
        }
        return gen_id


def _lines(source: str, first: int, last: int) -> str:
    """Lines of a module, from 1, without their common indentation."""
    return textwrap.dedent("\n".join(source.splitlines()[first - 1 : last]))


def _repeated(ideas: list[_Idea]) -> Iterator[_Idea]:
    """The ideas once, and again and again with the next replicate."""
    replicate = 0
    while ideas:
        replicate += 1
        for idea in ideas:
            yield _Idea(idea.site, idea.description, {**idea.fields, "replicate": replicate}, idea.safe, idea.adds)
