"""The journal of a cycle: a Markdown page that says what was dreamt, what of it is worth a look, and why.

The same records give the same page, byte for byte: no clock, no machine, no order that a set has. What comes from
models and programs is escaped, so that it can neither break the page nor pretend to be a part of it.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from .health import HEALTHY, Yield
from .records import Record, counterexample

BEST = 5  # variants that are shown whole
NEAR = 5  # near misses
PATTERNS = 10
DIFF_LINES = 80
_SHOWN = 600  # characters of a text by a model
_SPECIAL = re.compile(r"([\\`*_{}\[\]<>#|~!$])")
_KIND_HEADER = (
    "kind",
    "variants",
    "unique",
    "sound",
    "equivalent",
    "differ",
    "failed",
    "tier 1",
    "2",
    "3",
    "share in tier 1",
    "cost",
)


def journal(
    table: Sequence[Record],
    health: Mapping[str, Any],
    yields: Mapping[str, Yield],
    patterns: Sequence[Mapping[str, Any]],
    comparison: Mapping[str, Any],
    next_limits: Mapping[str, Mapping[str, Any]],
    title: str,
) -> str:
    """The page: `table` from `records.records`, the rest from the functions of `health` and `tightening`."""
    sections = [
        [f"# {plain(title)}", "", _headline(table)],
        _glance(yields),
        _best(table),
        _near(table),
        _failed(patterns),
        _duplicates(table),
        _health(health),
        ["## Dreams against plain samples", "", plain(comparison["says"]), *_sides(comparison)],
        _next(next_limits),
    ]
    return "\n\n".join("\n".join(lines) for lines in sections if lines) + "\n"


# Words.


def visible(text: str) -> str:
    """Text of others without what would steer a terminal; tabs and line breaks stay."""
    return "".join(char if char.isprintable() or char in "\t\n" else "\ufffd" for char in text)


def plain(text: str, most: int | None = None) -> str:
    """Text of others within a line of Markdown, where it means nothing but itself; cut at `most` characters."""
    text = visible(" ".join(text.split()))
    if most and len(text) > most:
        text = text[:most].rstrip() + " …"
    return _SPECIAL.sub(r"\\\1", text.replace("&", "&amp;"))


def code(text: str) -> str:
    """Text of others as code within a line."""
    text = visible(" ".join(text.split())) or " "
    marks = "`" * (_longest_run(text) + 1)
    space = " " if text.startswith("`") or text.endswith("`") else ""
    return f"{marks}{space}{text}{space}{marks}"


def block(text: str, language: str) -> list[str]:
    """Text of others as a block of code that it cannot close."""
    marks = "`" * max(3, _longest_run(text) + 1)
    return [f"{marks}{language}", visible(text.rstrip("\n")), marks]


def _longest_run(text: str) -> int:
    return max(map(len, re.findall("`+", text)), default=0)


def _row(cells: Iterable[Any]) -> str:
    return "| " + " | ".join(str(cell) for cell in cells) + " |"


def _table(header: Sequence[str], rows: Iterable[Sequence[Any]]) -> list[str]:
    return [_row(header), _row("---" for _ in header), *map(_row, rows)]


def _number(value: float | None, digits: int = 2) -> str:
    return "–" if value is None else f"{value:.{digits}f}"


def _count(n: int, word: str) -> str:
    return f"{n} {word}" + ("" if n == 1 else "s")


def _cost(usd: float | None, tokens: int) -> str:
    if usd:
        return f"{usd:.4f} USD"
    return _count(tokens, "token") if tokens else "nothing"


# Sections.


def _headline(table: Sequence[Record]) -> str:
    if not table:
        return "Nothing was dreamt: no kind had an idea left, or no procedure was chosen."
    procedures = len({record["procedure_id"] for record in table})
    sound = sum(is_sound(record) for record in table)
    viable = sum(record["tier"] == 1 for record in table)
    costs = [record["cost_usd"] for record in table if record["cost_usd"] is not None]
    cost = _cost(sum(costs) if costs else None, sum(record["tokens"] for record in table))
    said = (
        f"**{_count(len(table), 'variant')}** of {_count(procedures, 'procedure')} dreamt, **{sound}** of them sound "
        f"and not there already, **{viable}** viable; it cost {cost}."
    )
    best = best_first(table)
    if not best:
        judged = any(record["viability"] is not None for record in table)
        return said + (" None is viable." if judged else " None has a verdict, so none can be in tier 1.")
    record = best[0]
    return (
        f"{said} The best: {plain(record['description'], 200)}, in {code(record['procedure_id'])} "
        f"(viability {record['viability']:g}, {tested(record)})."
    )


def is_sound(record: Record) -> bool:
    """Whether a variant passed its check and is no duplicate."""
    return bool(record["check"]) and record["check"]["passed"] and not record["duplicate_of"]


def best_first(table: Sequence[Record]) -> list[Record]:
    """The variants in tier 1: by viability, then novelty, then id."""
    viable = [record for record in table if record["tier"] == 1]
    return sorted(viable, key=lambda r: (-r["viability"], -(r["novelty"] or 0), r["gen_id"]))


def tested(record: Record) -> str:
    """What the test of a variant found, in a few words."""
    outcome = record["outcome"]
    if outcome == "equivalent":
        return f"behaves as the original does on {_count(record['inputs_run'], 'call')}"
    if outcome == "differs":
        differing = record["inputs_run"] - record["agreeing"]
        return f"behaves differently on {differing} of {_count(record['inputs_run'], 'call')}"
    return "not tested" if outcome in (None, "untested") else f"test: {outcome}"


def _glance(yields: Mapping[str, Yield]) -> list[str]:
    if not yields:
        return []
    rows = [
        (
            kind,
            *(one[name] for name in ("variants", "unique", "passed_check", "equivalent", "differs", "failed")),
            *(one[f"tier_{tier}"] for tier in (1, 2, 3)),
            f"{one['tier_1_share']:.0%} ({one['tier_1_low']:.0%} to {one['tier_1_high']:.0%})",
            _cost(one["cost_usd"], one["tokens"]),
        )
        for kind, one in yields.items()
    ]
    bugs = {kind: one["analysis_bugs"] for kind, one in yields.items() if one["analysis_bugs"]}
    lines = ["## The night at a glance", "", *_table(_KIND_HEADER, rows), ""]
    lines.append(
        "Sound: the check found nothing wrong. Equivalent, differ, failed: what running them beside the original "
        "showed. The share has its 95% interval (Wilson)."
    )
    if bugs:
        those = ", ".join(f"{count} by {kind}" for kind, count in bugs.items())
        lines += ["", f"**Analysis bugs:** variants labelled safe that do not behave as the original does: {those}."]
    return lines


def _best(table: Sequence[Record]) -> list[str]:
    best = best_first(table)
    if not best:
        return []
    lines = ["## The best"]
    for place, record in enumerate(best[:BEST], start=1):
        lines += ["", f"### {place}. {plain(record['description'], 200)}", ""]
        lines += _about(record)
        lines += ["", *_diff(record)]
    if len(best) > BEST:
        rest = ", ".join(code(record["gen_id"]) for record in best[BEST:])
        lines += ["", f"Viable as well: {rest}."]
    return lines


def _about(record: Record) -> list[str]:
    """What there is to know of a variant, as a list."""
    model = f" by {code(record['model_id'])}" if record["model_id"] else ""
    lines = [
        f"- {code(record['gen_id'])}: {code(record['procedure_id'])} ({plain(record['category'])}), "
        f"{record['kind']} at {code(record['site'])}{model}"
    ]
    if record["reasons"]:
        lines.append(f"- Why it may matter: {plain(record['reasons'], _SHOWN)}")
    lines.append(f"- Verdict: {plain(record['why'])}")
    lines.append(
        f"- Check: signature {plain(record['signature'])}; claims {plain(record['claims'])}; "
        f"novelty {_number(record['novelty'])}, nearest {code(record['nearest'])}"
    )
    safe = "labelled safe; " if record["safe"] else ""
    ratio = record["seconds_ratio"]
    speed = f"; takes {ratio:.2g} times as long" if ratio is not None else ""
    lines.append(f"- Test: {safe}{tested(record)}{speed}")
    if record["test"] and counterexample(record["test"]):
        lines.append(_example(record["test"]["counterexample"]))
    return lines


def _example(one: Mapping[str, Any]) -> str:
    call, original, variant = (
        code(text if len(text) <= 200 else f"{text[:200]} …") for text in (one["call"], one["original"], one["variant"])
    )
    return f"- Where they differ: {call}, {plain(one['aspect'])}: the original {original}, the variant {variant}"


def _diff(record: Record) -> list[str]:
    lines = record["check"]["diff"].rstrip("\n").split("\n")
    left = len(lines) - DIFF_LINES
    shown = block("\n".join(lines[:DIFF_LINES]), "diff")
    return shown + ([f"({_count(left, 'more line')})"] if left > 0 else [])


def _near(table: Sequence[Record]) -> list[str]:
    near = [record for record in table if record["tier"] == 2]
    near.sort(key=lambda r: (-(r["novelty"] or 0), -r["viability"], r["gen_id"]))
    if not near:
        return []
    lines = ["## Near misses", "", f"{_count(len(near), 'variant')} in tier 2; the most novel first:"]
    for record in near[:NEAR]:
        lines += ["", f"**{plain(record['description'], 200)}**", "", *_about(record)]
    return lines


def _failed(patterns: Sequence[Mapping[str, Any]]) -> list[str]:
    if not patterns:
        return []
    rows = [
        (
            one["count"],
            one["category"],
            code(one["pattern"]).replace("|", "\\|"),
            ", ".join(one["kinds"]),
            ", ".join(code(example["gen_id"]) for example in one["examples"]),
        )
        for one in patterns[:PATTERNS]
    ]
    lines = ["## What failed, and why", "", *_table(("count", "what", "pattern", "kinds", "for example"), rows)]
    if len(patterns) > PATTERNS:
        lines += ["", f"({_count(len(patterns) - PATTERNS, 'rarer pattern')} not shown)"]
    first = patterns[0]["examples"][0]
    return [*lines, "", f"The most frequent one in full ({code(first['gen_id'])}): {plain(first['message'], _SHOWN)}"]


def _duplicates(table: Sequence[Record]) -> list[str]:
    groups: dict[str, list[Record]] = {}
    for record in table:
        if record["duplicate_of"]:
            base = record["duplicate_of"] == "base"
            same = f"{code(record['procedure_id'])} itself" if base else code(record["duplicate_of"])
            groups.setdefault(same, []).append(record)
    if not groups:
        return []
    count = sum(map(len, groups.values()))
    lines = ["## Duplicates", "", f"{_count(count, 'variant')} dreamt what was there already:", ""]
    for same, those in groups.items():
        kinds = ", ".join(sorted({record["kind"] for record in those}))
        lines.append(f"- {same}: {', '.join(code(record['gen_id']) for record in those)} ({kinds})")
    return lines


def _health(health: Mapping[str, Any]) -> list[str]:
    score = health["score"]
    if score is None:
        state = "There is nothing to measure health by."
    else:
        state = (
            f"**{score:.2f}** of 1: {'healthy' if health['healthy'] else 'not healthy'} (healthy is above {HEALTHY:g})."
        )
    if health["left_out"] and score is not None:
        state += f" No data for {' and '.join(health['left_out'])}: the other weights are scaled up."
    rows = [
        (name, _number(part["score"]), f"{part['weight']:.0%}", part["formula"], _inputs(part["inputs"]))
        for name, part in health["parts"].items()
    ]
    return ["## Health", "", state, "", *_table(("part", "score", "weight", "what it is", "from"), rows)]


def _inputs(inputs: Mapping[str, Any]) -> str:
    return ", ".join(
        f"{name.replace('_', ' ')} {'–' if value is None else f'{value:.3g}' if isinstance(value, float) else value}"
        for name, value in inputs.items()
    )


def _sides(comparison: Mapping[str, Any]) -> list[str]:
    sides = [(name, comparison[name]) for name in ("dreams", "samples")]
    if not all(side["of"] for _, side in sides):
        return []
    rows = [
        (
            name,
            f"{side['variants']} of {side['of']}",
            f"{side['cost']:.4f} USD" if comparison["unit"] == "cost_usd" else _count(side["cost"], "token"),
            *(_number(side[key]) for key in ("best_viability", "mean_novelty")),
            side["tier_1"],
        )
        for name, side in sides
    ]
    header = ("", "variants compared", "cost", "best viability", "mean novelty", "in tier 1")
    return ["", *_table(header, rows)]


def _next(limits: Mapping[str, Mapping[str, Any]]) -> list[str]:
    if not limits:
        return []
    lines = ["## What the next cycle will do", "", "For each procedure:", ""]
    return lines + [f"- {kind}: {one['limit']}. {plain(one['why'])}" for kind, one in limits.items()]


# The screen.


def summary_table(table: Sequence[Record], top_n: int = 5) -> str:
    """The short table that ends a run (at most 100 columns, no colours): the best variants, else how far it came."""
    best = best_first(table)
    counts = f"{_count(len(table), 'variant')}, {sum(map(is_sound, table))} sound and new, {len(best)} in tier 1"
    if not best:
        return counts
    header = ("viability", "novelty", "test", "kind", "variant", "procedure")
    rows = [
        (
            _number(record["viability"]),
            _number(record["novelty"]),
            record["outcome"] or "not tested",
            record["kind"],
            record["gen_id"],
            record["procedure_id"],
        )
        for record in best[:top_n]
    ]
    widths = [max(len(row[column]) for row in (header, *rows)) for column in range(len(header))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in (header, *rows)]
    return "\n".join([counts, "", *(line.rstrip()[:100] for line in lines)])
