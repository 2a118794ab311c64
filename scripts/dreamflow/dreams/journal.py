"""The journal of a cycle: a Markdown page with the best variants, the failures, and the reasons.

The same records give the same page, byte for byte. Text from models and programs is escaped, so that it cannot break
the page or imitate a part of it.
"""

from collections.abc import Mapping, Sequence

from ..generation.model import Result
from ..reports.markdown import code, count, number
from ..reports.render import render
from .best import best_first, is_sound, speculative_first, tested, unjudged_first
from .best_of_n import Comparison
from .health import HEALTHY, Health, Inputs, Pattern, Yield
from .records import Record, known_sum, unpriced_answers
from .tightening import Limit

BEST = 5  # variants with full details
NEAR = 5  # near misses
PATTERNS = 10
DIFF_LINES = 80
_SHOWN = 600  # characters of a text by a model
_CALL_SHOWN = 200  # characters of a call or its result


def journal(
    table: Sequence[Record],
    health: Health,
    yields: Mapping[str, Yield],
    patterns: Sequence[Pattern],
    comparison: Comparison,
    next_limits: Mapping[str, Limit],
    title: str,
    matching: Sequence[Result] = (),
) -> str:
    """The page: `table` from `records.records`, `matching` the choices of partners, the other arguments from `health`,
    `best_of_n` and `tightening`."""
    costs = known_sum(each.cost_usd for each in (*table, *matching))
    unpriced = sum(record.unpriced for record in table) + unpriced_answers(matching)
    tokens = sum(record.tokens for record in table)
    tokens += sum(choice.usage.prompt + choice.usage.completion for choice in matching)
    near, best = speculative_first(table), best_first(table)
    return render(
        "journal.md",
        title=title,
        table=table,
        procedures=len({record.procedure_id for record in table}),
        sound=sum(map(is_sound, table)),
        judged=any(record.viability is not None for record in table),
        cost=_cost(costs, tokens) + (f", and {count(unpriced, 'generation')} of unknown cost" if unpriced else ""),
        glance=_glance(yields),
        bugs=[f"{results.analysis_bugs} by {kind}" for kind, results in yields.items() if results.analysis_bugs],
        best=best,
        unjudged=[] if best else unjudged_first(table),
        shown=BEST,
        near=near,
        shown_near=NEAR,
        patterns=patterns,
        failures=_failures(patterns[:PATTERNS]),
        duplicates=_duplicates(table),
        health=health,
        healthy_above=HEALTHY,
        parts=[
            (name, number(part.score, 2, "–"), f"{part.weight:.0%}", part.formula, _inputs(part.inputs))
            for name, part in health.parts.items()
        ],
        comparison=comparison,
        sides=_sides(comparison),
        next_limits=next_limits,
        longest=_SHOWN,
        tested=tested,
        cut=lambda text: text if len(text) <= _CALL_SHOWN else f"{text[:_CALL_SHOWN]} …",
        diff_lines=lambda record: record.check.diff.rstrip("\n").split("\n"),
        diff_shown=DIFF_LINES,
    )


def _cost(usd: float | None, tokens: int) -> str:
    if usd:
        return f"{usd:.4f} USD"
    return count(tokens, "token") if tokens else "nothing"


def _glance(yields: Mapping[str, Yield]) -> list[tuple[object, ...]]:
    return [
        (
            kind,
            *(
                getattr(results, name)
                for name in ("variants", "unique", "passed_check", "equivalent", "differs", "failed")
            ),
            *(results.tier_1, results.tier_2, results.tier_3),
            f"{results.tier_1_share:.0%} ({results.tier_1_low:.0%} to {results.tier_1_high:.0%})",
            _cost(results.cost_usd, results.tokens),
        )
        for kind, results in yields.items()
    ]


def _failures(patterns: Sequence[Pattern]) -> list[tuple[object, ...]]:
    return [
        (
            pattern.count,
            pattern.category,
            code(pattern.pattern).replace("|", "\\|"),
            ", ".join(pattern.kinds),
            ", ".join(code(example.gen_id) for example in pattern.examples),
        )
        for pattern in patterns
    ]


def _duplicates(table: Sequence[Record]) -> list[dict[str, object]]:
    """The duplicates, grouped by their original: {same (the original), records, kinds}."""
    groups: dict[str, list[Record]] = {}
    for record in table:
        if record.duplicate_of:
            base = record.duplicate_of == "base"
            same = f"{code(record.procedure_id)} itself" if base else code(record.duplicate_of)
            groups.setdefault(same, []).append(record)
    return [
        {"same": same, "records": records, "kinds": sorted({record.kind for record in records})}
        for same, records in groups.items()
    ]


def _inputs(inputs: Inputs) -> str:
    return ", ".join(
        f"{name.replace('_', ' ')} {'–' if value is None else f'{value:.3g}' if isinstance(value, float) else value}"
        for name, value in inputs.items()
    )


def _sides(comparison: Comparison) -> list[tuple[object, ...]]:
    sides = [(name, getattr(comparison, name)) for name in ("dreams", "samples")]
    if not all(side.of for _, side in sides):
        return []
    return [
        (
            name,
            f"{side.variants} of {side.of}",
            f"{side.cost:.4f} USD" if comparison.unit == "cost_usd" else count(side.cost, "token"),
            *(number(getattr(side, key), 2, "–") for key in ("best_viability", "mean_novelty")),
            side.tier_1,
        )
        for name, side in sides
    ]
