"""The pages on models: an index with trust over the cycles, routing and costs, and a page for each model.

Probes and distillations give their own pages to this section; the index lists them.
"""

import csv
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from markupsafe import Markup
from msgspec import ValidationError, convert

from ..errors import DreamflowError
from ..files import is_name, read_json
from ..generation.layout import Layout
from ..generation.model import Json
from ..generation.models import Model
from ..ledger_tables import ledger_database
from ..reports.markdown import counted
from ..routing.choices import Choice, ChoiceFile
from ..routing.preferences import Preference, preferences
from ..routing.table import EVERY_CONTEXT, read_table
from ..site import charts
from ..site.page import Document, Page
from ..site.parts import Amount, Badge, Column, Interval, Link, Seconds, usd
from .folders import cycle_folder, cycles
from .table import Row

if TYPE_CHECKING:
    from .family import TrustFamily

PANELS = 6  # contexts with a chart
EVIDENCE = {"exact": "measured exactly", "person": "rated by persons", "judged": "judged by models"}
MODEL_COLUMNS = (
    Column("model"),
    Column("provider", choices=True),
    Column("trust", "number", "chance of a success over all contexts, measured exactly, with its 90% interval"),
    Column("outcomes", "number"),
    Column("ATP", "number", "attention points of one answer, before its length counts"),
    Column("calls", "number"),
    Column("tokens", "number"),
    Column("cost", "number"),
    Column("time", "number", "mean of an answer"),
    Column("chosen", "number", "how often model: auto chose it"),
)
TRUST_COLUMNS = (
    Column("context"),
    Column("evidence", choices=True),
    Column("trust", "number", "chance of a success, with its 90% interval"),
    Column("outcomes", "number"),
    Column("new", "number", "outcomes of the last cycle"),
    Column("change", "number", "since the cycle before"),
)
ROUTING_COLUMNS = (
    Column("context"),
    Column("prefers"),
    Column("chosen", "number"),
    Column("success", "number", "expected"),
    Column("ATP", "number"),
    Column("instead of"),
    Column("success", "number", "expected of that"),
    Column("ATP", "number"),
    Column("saves", "number"),
)
STAGE_COLUMNS = (
    Column("stage"),
    *(Column(name, "number") for name in ("calls", "tokens", "ATP", "cost", "time of an answer")),
)
_SUMS = (
    "count(*), sum(coalesce(prompt_tokens, 0) + coalesce(completion_tokens, 0)), sum(atp), sum(cost_usd), "
    "avg(latency_s), sum(cost_usd IS NULL)"
)


def model_pages(family: "TrustFamily") -> Iterator[Page]:
    """The pages of the section Models that concern no single probe or distillation."""
    world, root = family.world, family.layout.root
    problems: list[str] = []
    history = _history(root, problems)
    last = max((row.cycle for row in history), default=0)
    now = [row for row in history if row.cycle == last]
    spent = _spent(family.layout, problems)
    choices = ChoiceFile(root / "trust" / "choices.jsonl").read()
    chosen = Counter(choice.model_id for choice in choices)
    registered = {path.stem for path in (root / "models").glob("*.yaml")}
    students = _students(root)
    names = [*world.models, *sorted({*(row.model_id for row in now), *spent} - set(world.models))]
    every = {row.model_id: row for row in now if row.context == EVERY_CONTEXT and row.evidence == "exact"}
    lines = []
    for name in filter(is_name, names):
        model, own = world.models.get(name), [row for row in now if row.model_id == name]
        path = f"models/model/{name}.html"
        facts = {
            "trail": [("Models", "models/index.html"), (name, "")],
            "name": name,
            "configuration": configuration(model) if model else [],
            "is_student": name in registered,
            "student": students.get(name),
            "trust": [
                _trust_cells(row) for row in sorted(own, key=lambda row: (row.context != EVERY_CONTEXT, -row.outcomes))
            ],
            "trust_columns": TRUST_COLUMNS,
            "charts": [*_by_context(own), *_over_cycles(history, only=name)],
            "stages": [_stage_cells(stage, sums) for stage, sums in sorted(spent.get(name, {}).items())],
            "stage_columns": STAGE_COLUMNS,
            "chosen": chosen[name],
            "choices": len(choices),
        }
        total = _total(spent.get(name, {}))
        summary = f"trust {every[name].trust:.2f}" if name in every else "no outcomes yet"
        text = "\n".join(f"{term}: {value}" for term, value in facts["configuration"])
        documents = [Document("model", name, text)]
        yield Page(path, name, "models", "models_model.html", facts, summary=summary, documents=documents)
        lines.append(_line(name, path, model, every.get(name), total, chosen[name], name in registered))
    facts = {
        "columns": MODEL_COLUMNS,
        "models": lines,
        "cycle": last,
        "state": _state(root, last),
        "damaged": problems,
        "charts": [*_trust_charts(history), *_routing_charts(choices), *_cost_charts(spent)],
        "routing": [_routing_cells(each) for each in _preferences(root, problems)],
        "routing_columns": ROUTING_COLUMNS,
        "choices": len(choices),
    }
    best = max(every.values(), key=lambda row: row.trust, default=None)
    summary = f"{counted(len(lines), 'model')}" + (f"; most trusted: {best.model_id}, {best.trust:.2f}" if best else "")
    yield Page("models/index.html", "Models", "models", "models_index.html", facts, summary, is_index=True)


# --- what is read ---


def _history(root: Path, problems: list[str]) -> list[Row]:
    """The rows of all cycles of trust."""
    rows: list[Row] = []
    try:
        numbers = cycles(root)
    except DreamflowError as error:
        problems.append(str(error))
        return rows
    for cycle in numbers:
        path = cycle_folder(root, cycle) / "trust.csv"
        if path.exists():
            try:
                with path.open(encoding="utf-8", newline="") as stream:
                    lines = [{key: value or None for key, value in line.items()} for line in csv.DictReader(stream)]
                texts = ("layer", "revision")
                rows += [
                    convert({**line, **{name: line[name] or "" for name in texts}}, Row, strict=False) for line in lines
                ]
            except (ValidationError, KeyError, TypeError, ValueError) as error:
                problems.append(f"{path}: damaged: {error}. Run snakemake trust to make the last cycle again")
    return rows


def _spent(layout: Layout, problems: list[str]) -> dict[str, dict[str, tuple]]:
    """{model: {stage: (calls, tokens, ATP, cost, mean seconds, calls of unknown cost)}}, from the ledger."""
    try:
        rows = ledger_database(layout).read(f"SELECT model_id, stage, {_SUMS} FROM ledger GROUP BY 1, 2")  # noqa: S608
    except DreamflowError as error:
        problems.append(str(error))
        return {}
    spent: dict[str, dict[str, tuple]] = {}
    for model_id, stage, *sums in rows:
        if model_id:
            spent.setdefault(model_id, {})[stage or ""] = tuple(sums)
    return spent


def _total(stages: Mapping[str, tuple]) -> tuple:
    """The sums of all stages of a model; unknown is None."""

    def added(place: int) -> float | None:
        known = [sums[place] for sums in stages.values() if sums[place] is not None]
        return sum(known) if known else None

    calls = sum(sums[0] for sums in stages.values())
    seconds = [(sums[0], sums[4]) for sums in stages.values() if sums[4] is not None]
    mean = sum(count * value for count, value in seconds) / sum(count for count, _ in seconds) if seconds else None
    return calls, added(1), added(2), added(3), mean


def _students(root: Path) -> dict[str, str]:
    """The distillations that made students: their pages, by the id of the model."""
    found = {}
    for path in sorted(root.glob("distill/*/cycle-*/exported.json")):
        name, cycle = path.parts[-3:-1]
        try:
            found[read_json(path)["model_id"]] = f"models/student/{name}-{cycle}.html"
        except (DreamflowError, KeyError, TypeError):
            continue  # its own page says what is wrong
    return found


def _state(root: Path, cycle: int) -> Mapping[str, Json] | None:
    path = cycle_folder(root, cycle) / "state.json"
    try:
        state = read_json(path) if path.exists() else None
    except DreamflowError:
        return None
    return (
        state if isinstance(state, dict) and {"name", "budget_atp", "multiplier", "reasons"} <= state.keys() else None
    )


def _preferences(root: Path, problems: list[str]) -> Sequence[Preference]:
    try:
        table = read_table(root)
        return preferences(table) if table else []
    except DreamflowError as error:
        problems.append(str(error))
        return []


def configuration(model: Model) -> list[tuple[str, str]]:
    """How a model is configured, in plain words: never a key, nor the whole of an address."""
    sampling = ", ".join(f"{name} {value}" for name, value in model.sampling.as_dict().items())
    price = model.own_price
    limits = model.limits.as_dict() if model.limits else {}
    terms = {
        "provider": model.provider,
        "name": model.name,
        "revision": model.revision,
        "host": urlsplit(model.base_url).hostname or "" if model.base_url else "",
        "adapter": model.lora or "",
        "layer": model.known_layer,
        "ATP": f"{model.atp:g} for an answer, more for long prompts",
        "context": f"{model.context_length:,} tokens",
        "longest answer": f"{model.longest_answer:,} tokens",
        "sampling": sampling or "that of each spec",
        "price": ", ".join(f"{name} ${value:g}" for name, value in price.items()) + " per million tokens"
        if price
        else "",
        "limits": ", ".join(f"{name.replace('_', ' ')} {value:g}" for name, value in limits.items()),
        "service": "batches" if model.service == "batch" else "",
        "worked examples": f"{len(model.examples)} before each prompt" if model.examples else "",
    }
    return [(term, value) for term, value in terms.items() if value]


# --- how it is shown ---


def context_name(context: str) -> str:
    """The name of a context of trust."""
    return "all contexts" if context == EVERY_CONTEXT else context


def _line(
    name: str, path: str, model: Model | None, trust: Row | None, total: tuple, chosen: int, is_student: bool
) -> list[Json]:
    calls, tokens, _, cost, seconds = total
    note = "student" if is_student else "" if model else "not configured"
    return [
        Link(name, path, note),
        model.provider if model else "",
        Interval(trust.trust, trust.low, trust.high) if trust else None,
        trust.outcomes if trust else None,
        model.atp if model else None,
        calls or None,
        tokens,
        usd(cost),
        Seconds(seconds),
        chosen or None,
    ]


def _trust_cells(row: Row) -> list[Json]:
    moved = None if row.change is None else round(row.change, 2) + 0.0  # never -0
    change = Amount(moved, 2, "+" if moved and moved > 0 else "")
    interval = Interval(row.trust, row.low, row.high)
    return [
        context_name(row.context),
        EVIDENCE.get(row.evidence, row.evidence),
        interval,
        row.outcomes,
        row.new,
        change,
    ]


def _stage_cells(stage: str, sums: tuple) -> list[Json]:
    calls, tokens, atp, cost, seconds, unknown = sums
    return [stage, calls, tokens, Amount(atp, 1), usd(cost if unknown < calls else None), Seconds(seconds)]


def _routing_cells(each: Preference) -> list[Json]:
    is_best = each.model_id == each.best_id
    other = (
        [Badge("the same", "plain"), None, None]
        if is_best
        else [each.best_id, Amount(each.best_mean, 2), Amount(each.best_atp, 1)]
    )
    saved = Amount(None if each.saved is None else 100 * each.saved, 0, after="%")
    share = Amount(100 * each.share, 0, after="%")
    return [context_name(each.context), each.model_id, share, Amount(each.mean, 2), Amount(each.atp, 1), *other, saved]


def _by_context(rows: Sequence[Row]) -> list[Markup]:
    """The trust of a model in its contexts."""
    own = sorted(rows, key=lambda row: (row.context != EVERY_CONTEXT, -row.outcomes))
    if not own:
        return []
    estimates = [
        charts.Interval(
            context_name(row.context),
            row.trust,
            row.low,
            row.high,
            f"{row.outcomes:,} outcomes",
            EVIDENCE.get(row.evidence, row.evidence),
        )
        for row in own[:20]
    ]
    return [
        charts.intervals("Trust by context.", "Chance of a success, with 90% intervals.", estimates, "trust", (0, 1))
    ]


def _trust_charts(history: Sequence[Row]) -> list[Markup]:
    """Trust over the cycles, a chart for each of the contexts with most outcomes."""
    return [chart for key in _busiest(history) for chart in _over_cycles(history, key)]


def _busiest(history: Sequence[Row]) -> list[tuple[str, str]]:
    last = max((row.cycle for row in history), default=0)
    outcomes: Counter[tuple[str, str]] = Counter()
    for row in history:
        outcomes[row.context, row.evidence] += row.outcomes if row.cycle == last else 0
    order = sorted(outcomes, key=lambda key: (key[0] != EVERY_CONTEXT, -outcomes[key], key))
    return order[:PANELS]


def _over_cycles(history: Sequence[Row], key: tuple[str, str] | None = None, only: str | None = None) -> list[Markup]:
    """Trust over the cycles: of all models in the context and class of evidence `key`, or of the model `only`."""
    own = [
        row
        for row in history
        if (row.model_id == only and row.context == EVERY_CONTEXT if only else (row.context, row.evidence) == key)
    ]
    if not own or (only and len({row.cycle for row in own}) < 2):
        return []
    where, evidence = key or (EVERY_CONTEXT, "")
    title = "Trust over the cycles." if only else f"Trust: {context_name(where)}, {EVIDENCE.get(evidence, evidence)}."
    if len({row.cycle for row in own}) == 1:
        rows = [
            charts.Interval(row.model_id, row.trust, row.low, row.high, f"{row.outcomes:,} outcomes") for row in own
        ]
        words = f"Chance of a success after cycle {own[0].cycle}, with 90% intervals."
        return [charts.intervals(title, words, rows, "trust", (0, 1))]
    points = [
        charts.Point(
            EVIDENCE.get(row.evidence, row.evidence) if only else row.model_id,
            row.cycle, row.trust, row.low, row.high, f"{row.outcomes:,} outcomes",
        )
        for row in sorted(own, key=lambda row: (row.evidence, row.model_id, row.cycle))
    ]  # fmt: skip
    return [charts.lines(title, "Chance of a success, with 90% intervals.", points, ("cycle", "trust"), (0, 1))]


def _routing_charts(choices: Sequence[Choice]) -> list[Markup]:
    """Which share of the questions with `model: auto` each model got, by the cycle of the table that chose."""
    if not choices:
        return []
    total = Counter(choice.cycle for choice in choices)
    counts = Counter((choice.model_id, choice.cycle) for choice in choices)
    models = sorted({choice.model_id for choice in choices})
    if len(total) == 1:
        rows = [(model, counts[model, cycle], f"{counts[model, cycle]:,}") for model in models for cycle in total]
        return [charts.bars("Routing.", "Questions that model: auto gave to each model.", rows, "questions")]
    points = [
        charts.Point(
            model, cycle, counts[model, cycle] / total[cycle], note=f"{counts[model, cycle]:,} of {total[cycle]:,}"
        )
        for model in models
        for cycle in sorted(total)
    ]
    words = "Shares of the questions with model: auto, by the cycle of the table that chose (0: there was none yet)."
    return [charts.lines("Routing.", words, points, ("cycle", "share"), (0, 1))]


def _cost_charts(spent: Mapping[str, Mapping[str, tuple]]) -> list[Markup]:
    totals = {name: _total(stages) for name, stages in spent.items()}
    drawn = []
    for title, words, place, axis, digits in (
        ("Cost.", "US dollars of all answers in the store, as far as known.", 3, "US dollars", 4),
        ("Attention.", "ATP of all answers in the store.", 2, "ATP", 0),
    ):
        rows = sorted(((name, sums[place]) for name, sums in totals.items() if sums[place]), key=lambda row: -row[1])
        if rows:
            shown = [(name, value, f"{value:,.{digits}f}") for name, value in rows]
            drawn.append(charts.bars(title, words, shown, axis))
    return drawn
