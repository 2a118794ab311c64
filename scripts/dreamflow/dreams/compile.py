"""Compile the spec of a night into generations: variants of procedures, partner choices and verdicts."""

import textwrap
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from functools import cache
from itertools import count, islice
from pathlib import Path
from typing import NamedTuple

from msgspec.structs import replace

from ..config import in_file, load_yaml
from ..cycles import AUTO, current_cycle, last_cycles
from ..errors import ConfigError, unknown
from ..files import checked_name
from ..generation.catalog import Catalog
from ..generation.ids import generation_id
from ..generation.model import Evidence, Generation, Json, Variant
from ..generation.models import Model
from ..generation.parsers import parser_version
from ..pyanalysis.analysis import Analysis, analyse
from ..routing.auto import Asked, Router
from .operators import OPERATORS, operator
from .operators.relax import sites as relaxations
from .operators.synthesise import partners
from .procedure import Procedure
from .spec import NightSpec
from .tightening import Limit, read_next

STRATEGIES = {"light": 5, "balanced": 15, "deep": 30}  # variants of each kind per procedure
INPUTS = {"light": 5, "balanced": 20, "deep": 50}  # calls in the test of a variant
FINAL = "journal.md"  # the last file of a cycle that is written
CANDIDATES = 8  # procedures among which a model chooses a partner


@dataclass
class Night:
    """One cycle of a night. `variants` has the ids of variants by procedure, `verdicts` the verdict's id by variant.

    `configured` is the number of variants of each kind that strategy and spec give, `limits` the one in this cycle.
    `cycles`: the last begun and the last finished cycle, if the spec has `cycle: auto`.
    """

    name: str
    spec: NightSpec
    procedures: dict[str, Procedure]
    configured: dict[str, int]
    limits: dict[str, Limit]
    generations: dict[str, Generation] = field(default_factory=dict)
    variants: dict[str, list[str]] = field(default_factory=dict)
    verdicts: dict[str, str] = field(default_factory=dict)
    cycles: tuple[int, int] | None = None

    @property
    def key(self) -> str:
        """Name and cycle; also the path of its folder below dreams/."""
        return f"{self.name}/cycle-{self.spec.cycle}"


class _Sources(NamedTuple):
    """The sources of ideas. `question(kind)` has what the kind's models and template decide of a row."""

    spec: NightSpec
    known: Mapping[str, Procedure]
    catalog: Catalog
    question: Callable[[str], Asked]


class _Idea(NamedTuple):
    """A possible variant: its row, without the fields that all variants share, and the rows that it depends on."""

    site: str
    description: str
    row: Generation
    safe: bool = False
    adds: tuple[str, ...] = ()
    needs: tuple[Generation, ...] = ()


def compile_night(
    name: str,
    known: Mapping[str, Procedure],
    catalog: Catalog,
    models: Mapping[str, Model],
    data_root: Path,
    router: Router,
) -> Night:
    """Compile `config/procedures/<name>.yaml` over all procedures. Raises `ConfigError`."""
    path = Path(f"config/procedures/{checked_name(name, 'procedures')}.yaml")
    spec = load_yaml(path, NightSpec)
    test = spec.test.model_copy(update={"inputs": spec.test.inputs or INPUTS[spec.strategy]})
    cycles = last_cycles(data_root / "dreams" / name, FINAL) if spec.cycle == AUTO else None
    cycle = current_cycle(data_root, f"procedures/{name}", *cycles) if cycles else spec.cycle
    spec = spec.model_copy(update={"test": test, "cycle": cycle})
    configured = {kind: spec.limits.get(kind, STRATEGIES[spec.strategy]) for kind in spec.kinds}
    question = cache(lambda kind: _question(kind, spec, catalog, models, router))
    with in_file(path):
        limits = _limits(name, spec.cycle, configured, data_root)
        night = Night(name, spec, _matching(spec.procedures, known), configured, limits, cycles=cycles)
        _plan(night, _Sources(spec, known, catalog, question))
    return night


def _matching(patterns: list[str], known: Mapping[str, Procedure]) -> dict[str, Procedure]:
    for position, pattern in enumerate(patterns):
        if not any(fnmatchcase(name, pattern) for name in known):
            raise ConfigError(
                f"{unknown('procedure', pattern, known)}. A procedure is a card, <project>/<name>.yaml in the folder "
                "`procedures` of `raw_root` (data/1_raw); for a function of your own: python scripts/new_procedure.py "
                "path/to/module.py::function",
                ("procedures", position),
            )
    return {name: p for name, p in known.items() if any(fnmatchcase(name, pattern) for pattern in patterns)}


def _limits(name: str, cycle: int, configured: Mapping[str, int], data_root: Path) -> dict[str, Limit]:
    if cycle == 1:
        return {kind: Limit(limit, 0, "as configured") for kind, limit in configured.items()}
    path = data_root / "dreams" / name / f"cycle-{cycle - 1}" / "next.yaml"
    if not path.exists():
        raise ConfigError(
            f"cycle {cycle} continues cycle {cycle - 1}, but {path} does not exist: run 'cycle: {cycle - 1}' first",
            ("cycle",),
        )
    planned, why = read_next(path), "as configured: new in this cycle"
    return {kind: planned.get(kind, Limit(limit, 0, why)) for kind, limit in configured.items()}


def _question(kind: str, spec: NightSpec, catalog: Catalog, models: Mapping[str, Model], router: Router) -> Asked:
    if kind not in spec.models:
        raise ConfigError(f"missing: name the model for {kind!r}, or remove {kind!r}", ("models", kind))
    return Asked(kind, spec.models[kind], catalog, models, router, place=("models", kind))


def _plan(night: Night, sources: _Sources) -> None:
    """Plan the variants of each procedure, as many of each kind as its limit allows, and their verdicts."""
    for procedure in night.procedures.values():
        analysis = analyse(procedure.source, procedure.entry, procedure.effects)
        variants = night.variants[procedure.procedure_id] = []
        for kind, limit in night.limits.items():
            ideas = _ideas(kind, sources, procedure, analysis)
            for idea in islice(ideas, limit.taken, limit.taken + limit.limit):
                row = _variant(procedure, kind, idea, sources)
                night.generations |= {needed.gen_id: needed for needed in idea.needs}
                night.generations[row.gen_id] = row
                variants.append(row.gen_id)
    if "verdict" in night.spec.models:
        for procedure_id, variants in night.variants.items():
            for gen_id in variants:
                row = _verdict(night, night.procedures[procedure_id], night.generations[gen_id], sources)
                night.generations[row.gen_id] = row
                night.verdicts[gen_id] = row.gen_id


def _ideas(kind: str, sources: _Sources, procedure: Procedure, analysis: Analysis) -> Iterator[_Idea]:
    """The ideas of a kind in order. Those for a model repeat without end, with the next replicate each time."""
    if kind in OPERATORS:
        yield from _local(kind, sources, procedure, analysis)
        return
    ideas = _WITH_MODEL[kind](sources, procedure, analysis)
    for replicate in count(1) if ideas else ():
        yield from (idea._replace(row=replace(idea.row, replicate=replicate)) for idea in ideas)


def _local(kind: str, sources: _Sources, procedure: Procedure, analysis: Analysis) -> Iterator[_Idea]:
    module = operator(kind)
    for variation in module.variations(procedure, analysis):
        row = Generation(
            family="dream",
            stage="variant",
            gen_id="",
            mode="local",
            template_id=kind,
            template_sha256=None,
            parser=parser_version("code"),
            max_attempts=1,
            min_lines=1,
            variables={"code": {"sha256": sources.catalog.keep(procedure.source)}},
            request=f"{kind} {procedure.procedure_id} at {variation.site}: {variation.description}",
            operator={
                "version": module.VERSION,
                "effects": {call: list(words) for call, words in procedure.effects.items()},
            },
        )
        yield _Idea(variation.site, variation.description, row, variation.safe, variation.adds)


def _with_model(kind: str, sources: _Sources, **fields: Json) -> Generation:
    """The row of a variant that a model writes. Its model is known with its id."""
    return Generation(family="dream", stage="variant", gen_id="", **sources.question(kind).slot_fields, **fields)


def _relax(sources: _Sources, procedure: Procedure, analysis: Analysis) -> list[_Idea]:
    edits = (
        sources.question("relax").slot_fields["parser"].startswith("statement/")
    )  # the answer is one statement of the module
    ideas = []
    for relaxation in relaxations(procedure, analysis):
        first, last = relaxation.lines
        statement = textwrap.dedent("\n".join(procedure.source.splitlines()[first - 1 : last]))
        variables = {
            "procedure": _described(procedure, sources),
            "constraint": relaxation.constraint,
            "place": relaxation.place,
            "request": relaxation.request,
            "statement": {"sha256": sources.catalog.keep(statement)},
        }
        options = {"base": procedure.source, "lines": [first, last]} if edits else {}
        row = _with_model("relax", sources, variables=variables, parser_options=options)
        ideas.append(_Idea(relaxation.site, f"{relaxation.constraint} relaxed at {relaxation.place}", row))
    return ideas


def _sample(sources: _Sources, procedure: Procedure, analysis: Analysis) -> list[_Idea]:
    row = _with_model("sample", sources, variables={"procedure": _described(procedure, sources)})
    return [_Idea("whole", "a plain rewrite, without an operator", row)]


def _synthesise(sources: _Sources, procedure: Procedure, analysis: Analysis) -> list[_Idea]:
    related = {name: _described(sources.known[name], sources) for name, _ in partners(procedure, sources.known)}
    mine = _described(procedure, sources)
    if sources.spec.match != "model":
        hybrids = {
            name: _with_model("synthesise", sources, variables={"procedure": mine, "partner": partner})
            for name, partner in related.items()
        }
        return [_Idea(f"with {name}", f"a hybrid with {name}", row) for name, row in hybrids.items()]
    related = dict(islice(related.items(), CANDIDATES))
    if not related:
        return []
    match = _match(procedure, list(related), sources)
    variables = {"procedure": mine, "partner": {"choice": {"parent": match.gen_id}, "of": related}}
    row = _with_model("synthesise", sources, parents=[match.gen_id], variables=variables)
    return [_Idea("with a model's choice", "a hybrid with the partner that a model chose", row, needs=(match,))]


_WITH_MODEL = {"relax": _relax, "synthesise": _synthesise, "sample": _sample}


def _match(procedure: Procedure, related: list[str], sources: _Sources) -> Generation:
    """The row of a model's choice of a partner."""
    candidates = [
        {"id": name, "category": p.category, "tags": list(p.tags), "description": p.description}
        for name, p in ((name, sources.known[name]) for name in related)
    ]
    variables = {"procedure": _described(procedure, sources), "candidates": candidates}
    wildcards = {"procedure_id": procedure.procedure_id}
    gen_id, fields = sources.question("match").row(
        lambda model, fields: generation_id("m_", procedure.procedure_id, fields["template_id"], model, *related),
        variables,
        wildcards,
    )
    return Generation(
        family="dream",
        stage="match",
        gen_id=gen_id,
        **fields,
        variables=variables,
        wildcards=wildcards,
        parser_options={"options": related},
    )


def _described(procedure: Procedure, sources: _Sources) -> dict[str, Json]:
    """The description of a procedure in a prompt."""
    return {
        "name": procedure.procedure_id,
        "description": procedure.description,
        "entry": procedure.entry,
        "code": {"sha256": sources.catalog.keep(procedure.source)},
    }


def _variant(procedure: Procedure, kind: str, idea: _Idea, sources: _Sources) -> Generation:
    row = idea.row
    wildcards = {"procedure_id": procedure.procedure_id, "kind": kind, "site": idea.site}

    def ids(maker: str, _fields: Mapping[str, Json]) -> str:
        return generation_id("p_", procedure.procedure_id, kind, idea.site, row.template_id, maker, row.replicate)

    if row.mode == "local":
        gen_id, fields = ids(row.mode, {}), {}
    else:
        gen_id, fields = sources.question(kind).row(ids, row.variables, wildcards)
    return replace(
        row,
        **fields,
        gen_id=gen_id,
        parser_options={**row.parser_options, "entry": procedure.entry},
        wildcards=wildcards,
        variant=Variant(idea.description, idea.safe, list(idea.adds)),
    )


def _verdict(night: Night, procedure: Procedure, variant: Generation, sources: _Sources) -> Generation:
    cycle, tiers = night.spec.cycle, night.spec.tiers
    variables = {
        "procedure": _described(procedure, sources),
        "kind": variant.wildcards["kind"],
        "description": variant.variant.description,
        "code": {"parent": variant.gen_id},
    }
    gen_id, fields = sources.question("verdict").row(
        lambda model, fields: generation_id("j_", variant.gen_id, fields["template_id"], model, night.name, cycle),
        variables,
        variant.wildcards,
    )
    return Generation(
        family="dream",
        stage="verdict",
        gen_id=gen_id,
        **fields,
        parents=[variant.gen_id],
        variables=variables,
        evidence=Evidence(f"dreams/{night.key}/tests/{procedure.procedure_id}.json", variant.gen_id),
        parser_options={"viable": tiers.viable, "speculative": tiers.speculative},
        wildcards=variant.wildcards,
    )
