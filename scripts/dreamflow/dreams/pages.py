"""The pages on procedures: an index, a page for each cycle of a night, each procedure and each variant."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import yaml

from ..errors import DreamflowError
from ..files import is_name, read_text
from ..generation.layout import Layout
from ..generation.summary import Metadata, read_metadata
from ..reports.markdown import visible
from ..site.page import Document, Page
from ..site.parts import Amount, Badge, Column, Interval, Link, usd
from .best import is_sound, tested
from .code_diff import in_words, side_by_side, undo
from .graph import in_words as steps_in_words
from .graph import inline_svg
from .health import Yield
from .procedure import Procedure
from .promote import promoted_id
from .recorded import Cycle, ranked
from .records import Record, known_sum
from .seen import SECTION, Dreamed, Seen, idea_of, night_folder, procedure_path, read_dreamed

TRAIL = ("Procedures", f"{SECTION}/index.html")
_LONGEST = 40_000  # characters of a prompt or an answer on a page

_VARIANT = (
    Column("variant", "long"),
    Column("tier", hint="1: viable, 2: speculative, 3: archive", choices=True),
    Column("test", hint="the variant beside its original, in a sandbox", choices=True),
    Column("kind", choices=True),
)
_FIGURES = (
    Column("time", "number", "the time of its calls as a share of the original's"),
    Column("viability", "number", "of the verdict, from 0 to 1"),
    Column("novelty", "number", "the distance from the nearest other version, from 0 to 1"),
    Column("made by", choices=True),
)
_CYCLE = Column("cycle", choices=True)
_PROCEDURE = Column("procedure", choices=True)
_NIGHTS = (
    Column("cycle"),
    Column("last answer", "date"),
    *(Column(title, "number") for title in ("variants", "sound, new", "equivalent", "judged", "tier 1", "health")),
    Column("cost", "number"),
    Column("tokens", "number"),
    Column("configuration", choices=True),
)
_PROCEDURES = (Column("procedure"), Column("category", choices=True), Column("what it does", "long"))
_PROCEDURES += (Column("variants", "number"), Column("best tier", choices=True))
_TIERS = {1: Badge("tier 1", "good"), 2: Badge("tier 2", "warn"), 3: Badge("tier 3", "bad"), None: Badge("not judged")}
_TONES = {"equivalent": "good", "differs": "warn", "untested": "plain", None: "plain"}


def tier_badge(record: Record) -> Badge:
    """The tier of a variant."""
    return _TIERS.get(record.tier, _TIERS[None])


def test_badge(record: Record) -> Badge:
    """How far a variant came, and the result of its test."""
    if record.made != "ok":
        return Badge("not made", "bad", record.reason)
    if record.duplicate_of:
        return Badge("a duplicate")
    if record.check_passed is False:
        return Badge("check failed", "bad", record.problems or "")
    words = {"equivalent": "like the original", "differs": "differs"}
    outcome = record.outcome or "untested"
    return Badge(words.get(outcome, outcome), _TONES.get(outcome, "bad"), tested(record))


test_badge.__test__ = False  # not a test of pytest


def gain_badge(each: Seen) -> Badge | None:
    """How much time a variant saves or costs."""
    if each.gain is None:
        return None
    return Badge(
        f"{abs(each.gain):.0%} {'less' if each.gain >= 0 else 'more'} time", "good" if each.gain > 0 else "plain"
    )


def _cells(each: Seen, *between: str) -> list[object]:
    record = each.record
    return [
        Link(visible(record.description or record.gen_id), each.path),
        tier_badge(record),
        test_badge(record),
        record.kind,
        *between,
        Amount(record.seconds_ratio, 2, after="×"),
        record.viability,
        record.novelty,
        record.model_id or "an operator",
    ]


def _place(cycle: Cycle) -> str:
    return f"{cycle.night}, cycle {cycle.number}"


def pages(layout: Layout, procedures: Path, configured: Sequence[str]) -> Iterator[Page]:
    """All pages. `procedures` is the folder with the cards, `configured` are the nights in the configuration."""
    dreamed = read_dreamed(layout, procedures, configured)
    for seen in dreamed.seen:
        yield variant_page(dreamed, seen)
    for cycle in dreamed.cycles:
        yield night_page(dreamed, cycle)
    for name in sorted({*dreamed.procedures, *dreamed.by_procedure}):
        yield procedure_page(dreamed, name)
    yield index_page(dreamed)


# --- one page each ---


def index_page(dreamed: Dreamed) -> Page:
    """The first page: the best variants, the nights and the procedures."""
    names = sorted(
        {*dreamed.procedures, *dreamed.by_procedure}, key=lambda name: (-len(dreamed.by_procedure.get(name, [])), name)
    )
    facts = {
        "best_columns": [*_VARIANT, _PROCEDURE, _CYCLE, *_FIGURES],
        "best": [_cells(each, each.record.procedure_id, _place(each.cycle)) for each in dreamed.best],
        "night_columns": _NIGHTS,
        "nights": [_night_row(dreamed, cycle) for cycle in dreamed.cycles],
        "procedure_columns": _PROCEDURES,
        "procedures": [_procedure_row(dreamed, name) for name in names],
        "unfinished": dreamed.unfinished,
        "unread": dreamed.problems,
        "variants": len(dreamed.by_id),
        "varied": len(dreamed.by_procedure),
    }
    summary = f"{len(dreamed.by_id):,} variants of {len(dreamed.by_procedure):,} procedures"
    first = f"{sum(each.record.tier == 1 for each in dreamed.seen):,} in tier 1"
    summary += f", {first}" if any(each.record.viability is not None for each in dreamed.seen) else ", none judged"
    return Page(f"{SECTION}/index.html", "Procedures", SECTION, "dreams_index.html", facts, summary=summary)


def _night_row(dreamed: Dreamed, cycle: Cycle) -> list[object]:
    numbers = _numbers(cycle)
    shown = ("variants", "sound", "equivalent", "judged", "first", "health")
    return [
        Link(_place(cycle), f"{night_folder(cycle)}/index.html"),
        _date(cycle.records)[:16].replace("T", " ") or None,
        *(numbers[name] for name in shown),
        usd(numbers["cost"]),
        numbers["tokens"],
        Badge("configured", "info") if cycle.night in dreamed.configured else Badge("no longer configured"),
    ]


def _procedure_row(dreamed: Dreamed, name: str) -> list[object]:
    procedure, variants = dreamed.procedures.get(name), dreamed.by_procedure.get(name, [])
    return [
        Link(name, procedure_path(name)),
        procedure.category if procedure else None,
        procedure.description if procedure else "Its files are gone.",
        len(variants),
        tier_badge(_ranked(variants)[0].record) if variants else None,
    ]


def _numbers(cycle: Cycle) -> dict[str, int | float | None]:
    records = cycle.records
    return {
        "variants": len(records),
        "sound": sum(bool(record.check) and is_sound(record) for record in records),
        "equivalent": sum(record.outcome == "equivalent" for record in records),
        "judged": sum(record.viability is not None for record in records),
        "first": sum(record.tier == 1 for record in records),
        "health": cycle.health.score if cycle.health else None,
        "cost": known_sum(record.cost_usd for record in records),
        "tokens": sum(record.tokens for record in records),
    }


def _date(records: Sequence[Record]) -> str:
    """The time of the newest answer of some variants; "" without a model."""
    return max((time for record in records for time in (record.created_at, record.evaluated_at) if time), default="")


def _ranked(variants: Sequence[Seen]) -> list[Seen]:
    """The variants in the order of `recorded.ranked`, then those that it leaves out."""
    of = {id(each.record): each for each in variants}
    first = [of.pop(id(record)) for record in ranked([each.record for each in variants])]
    return [*first, *of.values()]


def night_page(dreamed: Dreamed, cycle: Cycle) -> Page:
    """The page of a cycle."""
    variants = _ranked([each for each in dreamed.seen if each.cycle is cycle])
    others = [other for other in dreamed.cycles if other.night == cycle.night]
    numbers, date, title = _numbers(cycle), _date(cycle.records), _place(cycle)
    facts = {
        "trail": [TRAIL, (title, "")],
        "cycle": cycle,
        "is_configured": cycle.night in dreamed.configured,
        "numbers": numbers,
        "cost": usd(numbers["cost"]) if numbers["cost"] else Amount(numbers["tokens"], after=" tokens"),
        "date": date,
        "columns": [*_VARIANT, _PROCEDURE, *_FIGURES],
        "variants": [_cells(each, each.record.procedure_id) for each in variants],
        "best": [each for each in variants if each.record.made == "ok" and each.record.tier != 3][:6],
        "cycles": [(other.number, f"{night_folder(other)}/index.html") for other in reversed(others)],
        "yield_columns": ["kind", *(Column(name.replace("_", " "), "number") for name in _YIELDS), *_SHARE],
        "yields": [_yield_row(kind, result) for kind, result in cycle.yields.items()],
        "tier_badge": tier_badge,
        "test_badge": test_badge,
        "gain_badge": gain_badge,
    }
    summary = f"{len(variants)} variants, {numbers['sound']} sound and new, {numbers['first']} in tier 1"
    documents = [Document("journal", f"Journal: {title}", cycle.journal, "journal", date)] if cycle.journal else []
    path, highlight = f"{night_folder(cycle)}/index.html", _highlight(variants)
    return Page(path, title, SECTION, "dreams_night.html", facts, summary, documents, highlight=highlight, date=date)


def _highlight(variants: Sequence[Seen]) -> str:
    """The best variant of a cycle in words."""
    best = ranked([each.record for each in variants])
    if not best:
        return ""
    tier = f"tier {best[0].tier}" if best[0].tier else "not judged"
    what = visible(f"{best[0].description} ({best[0].procedure_id})")
    return f"The best of {len(variants)} variants: {what}: {tested(best[0])}, {tier}."


_YIELDS = (
    "variants",
    "unique",
    "passed_check",
    "equivalent",
    "differs",
    "failed",
    "tier_1",
    "tier_2",
    "tier_3",
    "tokens",
)
_SHARE = (Column("share in tier 1", "number", "with its 95% interval (Wilson)"),)


def _yield_row(kind: str, result: Yield) -> list[object]:
    share = Interval(result.tier_1_share, result.tier_1_low, result.tier_1_high)
    return [kind, *(getattr(result, name) for name in _YIELDS), share]


def procedure_page(dreamed: Dreamed, name: str) -> Page:
    """The page of a procedure, also of one whose files are gone."""
    procedure, variants = dreamed.procedures.get(name), dreamed.by_procedure.get(name, [])
    problems: list[str] = []
    analysis = dreamed.layout.root / "dreams" / "analysis"
    drawing, steps, groups = None, [], []
    try:
        if (analysis / f"{name}.svg").exists() and is_name(name):
            steps, groups = steps_in_words(analysis / f"{name}.json")
            drawing = inline_svg(analysis / f"{name}.svg")
    except DreamflowError as error:
        problems.append(str(error))
    facts = {
        "procedure": procedure,
        "name": name,
        "card": _card(procedure) if procedure else "",
        "trail": [TRAIL, (name, "")],
        "columns": [*_VARIANT, _CYCLE, *_FIGURES],
        "variants": [_cells(each, _place(each.cycle)) for each in _ranked(variants)],
        "origin": dreamed.promoted.get(name),
        "drawing": drawing,
        "steps": steps,
        "groups": groups,
        "unread": problems,
    }
    summary = procedure.description if procedure else "its files are gone"
    text = f"{procedure.description}\n{procedure.source}" if procedure else ""
    documents = [Document("procedure", name, text, "code")] if procedure else []
    return Page(procedure_path(name), name, SECTION, "dreams_procedure.html", facts, summary, documents)


def _card(procedure: Procedure) -> str:
    """What a card says about calls and tests, as YAML."""
    card = {
        "effects": {call: list(words) for call, words in procedure.effects.items()},
        "fakes": procedure.fakes,
        "files": dict(procedure.files),
        "inputs": list(procedure.inputs),
        "generate": procedure.generate,
    }
    plain = json.loads(json.dumps({key: value for key, value in card.items() if value}, default=str))
    return visible(yaml.safe_dump(plain, sort_keys=False, allow_unicode=True, width=100)) if plain else ""


def variant_page(dreamed: Dreamed, seen: Seen) -> Page:
    """The page of a variant in a cycle."""
    record, cycle, layout = seen.record, seen.cycle, dreamed.layout
    procedure = dreamed.procedures.get(record.procedure_id)
    original = undo(record.code, record.check.diff) if record.check else None
    parts = [] if original is None else side_by_side(original, record.code)
    change = in_words(parts) if original is not None else ""
    metadata = _metadata(layout, "variant", record.gen_id)
    same_idea = [each for each in dreamed.by_idea[idea_of(record)] if each.record.gen_id != record.gen_id]
    copies = [each for each in dreamed.by_procedure[record.procedure_id] if each.record.duplicate_of == record.gen_id]
    night, base = (_place(cycle), f"{night_folder(cycle)}/index.html"), procedure_path(record.procedure_id)
    facts = {
        "trail": [TRAIL, night, (record.procedure_id, base), (record.gen_id, "")],
        "seen": seen,
        "folder": layout.generation("variant", record.gen_id).as_posix(),
        "record": record,
        "badges": [tier_badge(record), test_badge(record), gain_badge(seen)],
        "tier_badge": tier_badge,
        "test_badge": test_badge,
        "procedure_path": base,
        "procedure": procedure,
        "diff": parts,
        "change": change,
        "is_sound": bool(record.check) and is_sound(record),
        "tested": tested(record),
        "answer": _answer(layout, "variant", record.gen_id if record.model_id else None),
        "judgement": _answer(layout, "verdict", record.verdict_id),
        "parents": [(parent, _choice(layout, parent)) for parent in (metadata.parents or ()) if is_name(parent)]
        if metadata
        else [],
        "choice": metadata.template_id if metadata else "",
        "elsewhere": [each for each in dreamed.by_id[record.gen_id] if each.cycle is not cycle],
        "same_idea": sorted(same_idea, key=lambda each: (each.cycle.night, each.cycle.number, each.record.gen_id)),
        "copies": [each for each in copies if each.cycle is cycle],
        "original": next(iter(dreamed.by_id.get(record.duplicate_of or "", [])), None),
        "nearest": next(iter(dreamed.by_id.get(record.nearest or "", [])), None),
        **_promotion(dreamed, seen, procedure),
    }
    texts = (record.description, record.code, record.problems, record.counterexample, record.gen_id)
    documents = [
        Document("variant", f"{record.kind}: {record.description}", _joined(texts), "", record.created_at or "")
    ]
    if record.reasons:
        title = f"Verdict: {record.description}"
        documents.append(Document("verdict", title, record.reasons, "verdict", record.evaluated_at or ""))
    title = f"{record.description} ({record.procedure_id})"
    return Page(seen.path, visible(title), SECTION, "dreams_variant.html", facts, record.why, documents)


def _joined(texts: Sequence[str | None]) -> str:
    return "\n".join(text for text in texts if text)


def _promotion(dreamed: Dreamed, seen: Seen, procedure: Procedure | None) -> dict[str, object]:
    """How a variant becomes a procedure: the id that it has or would have, and its patch if that is written."""
    if procedure is None:
        return {"new_id": "", "is_promoted": False, "has_patch": False, "patch": "", "is_configured": False}
    new_id = promoted_id(procedure, seen.record.gen_id)
    patch = dreamed.layout.root / "dreams" / seen.cycle.key / "promoted" / f"{new_id}.patch"
    return {
        "new_id": new_id,
        "is_promoted": new_id in dreamed.procedures,
        "promoted_path": procedure_path(new_id),
        "patch": patch.as_posix(),
        "has_patch": patch.exists(),
        "is_configured": seen.cycle.night in dreamed.configured,
    }


def _metadata(layout: Layout, stage: str, gen_id: str) -> Metadata | None:
    try:
        return read_metadata(layout.root, stage, gen_id)
    except DreamflowError:
        return None


def _choice(layout: Layout, gen_id: str) -> str:
    """The parsed text of a generation that a variant follows from: the partner that a model chose."""
    return _text(layout.generation("match", gen_id) / layout.parsed_name("match"))


def _answer(layout: Layout, stage: str, gen_id: str | None) -> dict[str, str]:
    """The prompt and the raw text of a model; empty where there is none."""
    if not is_name(gen_id):
        return {"prompt": "", "answer": ""}
    folder = layout.generation(stage, gen_id)
    return {"prompt": _text(folder / "prompt.txt"), "answer": _text(folder / "raw.txt")}


def _text(path: Path) -> str:
    try:
        text = read_text(path)
    except DreamflowError:
        return ""
    return visible(text if len(text) <= _LONGEST else f"{text[:_LONGEST]}\n… {len(text) - _LONGEST:,} more characters")
