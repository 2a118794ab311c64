"""What the page on a cohort says: its ranking, comparisons, agreement, scores, costs and gaps, from the long table of
scores (`reports.scores`), so that the numbers are those of the report tables."""

import csv
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from markupsafe import Markup

from ..generation.model import Json
from ..generation.summary import Look
from ..reports.analysis import evaluator_agreement, paired_differences
from ..reports.comparisons import ENOUGH
from ..reports.frames import prepared
from ..reports.lineage import Facts, was_paid
from ..reports.scores import COLUMNS, as_frame
from ..reports.tables import final_results
from ..site import charts
from ..site.parts import Amount, Badge, Interval, status_badge, usd

SHOWN_PROBLEMS = 100  # rows
FACTORS = {  # of paired_differences
    "generation_model": "models that wrote the text",
    "draft_model": "models that wrote the draft",
    "models": "models (draft → essay)",
    "generation_template": "essay templates",
    "draft_template": "draft templates",
    "templates": "templates (draft → essay)",
    "evaluation_model": "evaluators",
    "evaluation_template": "rubrics",
}
GROUPS = {  # of final_results, with the column of their names
    "by_generation_model": ("Writers", "generation_model"),
    "by_generation_template": ("Essay templates", "generation_template"),
    "by_draft_template": ("Draft templates", "draft_template"),
    "by_evaluation_model": ("Evaluators", "evaluation_llm_model"),
    "by_evaluation_template": ("Rubrics", "evaluation_template"),
    "by_combo_id": ("Combinations of concepts", "combo_id"),
}
COMPARISONS = {
    "all_evaluators": "all evaluators",
    "models": "models with the rubric",
    "templates": "rubrics of the model",
    "replicates": "repeated scores of",
}
_NUMBERS = ("score", "scale_low", "scale_high", "score_01", "cost_usd")
_COUNTS = ("draft_replicate", "essay_replicate", "evaluation_replicate")
STATUS = {
    "missing": "not made yet",
    "pending": "waiting for an answer",
    "failed": "failed",
    "skipped": "skipped",
}


def read_scores(path: Path) -> pd.DataFrame | None:
    """The long table of scores in a file of earlier reports; None if there is none, or one of another program."""
    if not path.exists():
        return None
    with path.open(encoding="utf-8", newline="") as stream:
        reader = csv.DictReader(stream)
        if set(COLUMNS) - set(reader.fieldnames or ()):
            return None
        return as_frame(map(_typed, reader))


def _typed(row: Mapping[str, str]) -> dict[str, Json]:
    values: dict[str, Json] = dict(row)
    for name in _NUMBERS:
        values[name] = float(row[name]) if row[name] else None
    for name in _COUNTS:
        values[name] = int(float(row[name])) if row[name] else None
    return {**values, "self_judged": row["self_judged"] == "True"}


def charts_of(scores: pd.DataFrame, names: Mapping[str, str]) -> list[Markup]:
    """The charts of a cohort; `names` has the names of combinations. A factor with one level has none."""
    if not scores["score_01"].notna().any():
        return []
    table = prepared(scores)
    stage = _main_stage(table)
    final = final_results(table)
    final = final[(final["judged_stage"] == stage) & (final["count"] > 0)]
    drawn = [_group_chart(final, kind, stage, names) for kind in GROUPS]
    drawn.insert(1, _heat_map(final))
    return [*filter(None, drawn), *_distributions(table[table["judged_stage"] == stage])]


def _main_stage(table: pd.DataFrame) -> str:
    scored = table.loc[table["score_01"].notna(), "judged_stage"]
    return "essay" if (scored == "essay").any() else str(scored.iloc[0])


def _group_chart(final: pd.DataFrame, kind: str, stage: str, names: Mapping[str, str]) -> Markup | None:
    title, column = GROUPS[kind]
    rows = final[final["analysis_type"] == kind].sort_values("average_01", ascending=False)
    if len(rows) < 2:
        return None
    estimates = [
        charts.Interval(
            _named(row[column], names),
            row["average_01"],
            _known(row["ci_low"]),
            _known(row["ci_high"]),
            f"{row['count']:,} scores of {row['texts']:,} {stage}s",
        )
        for row in rows.to_dict("records")
    ]
    return charts.intervals(
        f"{title}.", "Mean score with its 95% interval over texts.", estimates, "mean score, 0-1", (0, 1)
    )


def _named(name: str, names: Mapping[str, str]) -> str:
    return names.get(name, name) or "(none)"


def _heat_map(final: pd.DataFrame) -> Markup | None:
    rows = final[final["analysis_type"] == "by_template_and_generation_model"]
    kinds = len(rows["generation_template"].unique()), len(rows["generation_model"].unique())
    if max(kinds) < 2:
        return None
    cells = [
        charts.Cell(
            row["generation_template"] or "(none)",
            row["generation_model"] or "(none)",
            row["average_01"],
            f"{row['average_01']:.2f}",
            f"{row['count']:,} scores",
        )
        for row in rows.to_dict("records")
    ]
    return charts.heat_map("Templates and writers.", "Mean score, 0-1.", cells, "template", "model that wrote the text")


_DISTRIBUTIONS = (
    ("Scores by writer.", "generation_model"),
    ("Scores by essay template.", "generation_template"),
    ("Scores by evaluator.", "evaluator"),
)


def _distributions(table: pd.DataFrame) -> list[Markup]:
    known = table[table["score_01"].notna()]
    drawn = []
    for title, column in _DISTRIBUTIONS:
        rounded = known["score_01"].round(2)
        counts = known.groupby([known[column].astype(str), rounded]).size()
        if known[column].nunique() < 2 and column != "evaluator":
            continue
        groups: dict[str, dict[float, int]] = {}
        for (name, value), count in counts.items():
            groups.setdefault(name or "(none)", {})[float(value)] = int(count)
        drawn.append(
            charts.distribution(title, "How often each score was given.", groups, "score, carried to 0-1", (0, 1))
        )
    return drawn


def _known(value: float) -> float | None:
    return None if value is None or np.isnan(value) else float(value)


def differences(scores: pd.DataFrame) -> tuple[list[list[Json]], Markup | None]:
    """The paired differences, as a table and as a chart. Rows: what is compared, the two levels, the means of both, the
    difference with its interval, whether it is clear, pairs and combinations."""
    rows: list[dict[str, Json]] = []
    for row in paired_differences(scores).to_dict("records"):
        low, high = _known(row["ci_low"]), _known(row["ci_high"])
        rows.append(
            {**row, "ci_low": low, "ci_high": high, "what": f"{FACTORS[row['factor']]}, {row['judged_stage']}s"}
        )
    one_stage = len({row["judged_stage"] for row in rows}) < 2
    drawn = [
        charts.Interval(
            f"{row['level_a']} − {row['level_b']}{'' if one_stage else ' (' + row['judged_stage'] + 's)'}",
            row["difference"],
            row["ci_low"],
            row["ci_high"],
            f"{row['pairs']:,} pairs, {row['combos']:,} combinations ({row['what']})",
        )
        for row in rows
    ]
    chart = drawn and charts.intervals(
        "Paired differences.",
        "All else equal; to the right of 0, the first is scored higher. 95% intervals.",
        drawn,
        "difference of mean scores, 0-1",
        (-1, 1),
    )
    cells = [
        [
            row["what"],
            row["level_a"],
            row["level_b"],
            Amount(row["mean_a"], 2),
            Amount(row["mean_b"], 2),
            Interval(row["difference"], row["ci_low"], row["ci_high"]),
            _verdict(row),
            row["pairs"],
            row["combos"],
        ]
        for row in rows
    ]
    return cells, chart or None


def _verdict(row: Mapping[str, Json]) -> Badge:
    if row["combos"] < ENOUGH:
        return Badge("too few combinations", "plain", f"at least {ENOUGH} combinations of concepts are needed")
    low, high = row["ci_low"], row["ci_high"]
    return Badge("clear", "good") if low is not None and (low > 0 or high < 0) else Badge("not clear", "plain")


def agreement(scores: pd.DataFrame) -> list[list[Json]]:
    """How far evaluators agree, in words: rows of who, Krippendorff's alpha, what it means, raters and texts."""
    rows = []
    for row in evaluator_agreement(scores).to_dict("records"):
        names = " / ".join(filter(None, (row["evaluation_llm_model"], row["evaluation_template"])))
        who = f"{COMPARISONS[row['comparison']]} {names}".strip()
        alpha = _known(row["alpha"])
        tone = "plain" if alpha is None else "good" if alpha >= 0.8 else "info" if alpha >= 0.667 else "warn"
        rows.append([who, Amount(alpha, 3), Badge(alpha_in_words(alpha), tone), row["raters"], row["texts"]])
    return rows


def alpha_in_words(alpha: float | None) -> str:
    """Krippendorff's alpha in words (his limits: .667 and .8)."""
    if alpha is None:
        return "unknown: no text has two different scores to compare"
    if alpha >= 0.8:
        return "good"
    if alpha >= 0.667:
        return "enough for tentative conclusions"
    return "low: rankings are mostly chance" if alpha < 0.3 else "low: read small differences as chance"


def costs(members: Iterable[Facts], look: Look) -> tuple[list[list[Json]], float | None, list[list[Json]], Counter]:
    """What the generations of a cohort cost: rows by model and stage, and the sum of what is known. Also rows of those
    without a usable result, cut at `SHOWN_PROBLEMS`, and how many of each stage have each status."""
    sums: dict[tuple[str, str], list[float]] = defaultdict(lambda: [0, 0.0, 0])
    problems, counts = [], Counter()
    for made in members:
        summary = look(made.stage, made.gen_id)
        status = summary.status if summary else "missing"
        counts[made.stage, status] += 1
        if summary and was_paid(made, summary):
            entry = sums[summary.model_id or made.model_id, made.stage]
            entry[0] += 1
            entry[1] += summary.cost_usd or 0.0
            entry[2] += summary.cost_usd is None
        if status != "ok" and len(problems) < SHOWN_PROBLEMS:
            reason = summary.reason if summary else ""
            problems.append([made.stage, made.gen_id, status_badge(status), made.model_id, made.template_id, reason])
    rows = [
        [model, stage, calls, usd(spent if unknown < calls else None), unknown]
        for (model, stage), (calls, spent, unknown) in sorted(sums.items(), key=lambda item: (-item[1][1], item[0]))
    ]
    known = [row[3].value for row in rows if row[3].value is not None]
    return rows, sum(known) if known else None, problems, counts


def progress(counts: Counter, stages: Sequence[str]) -> list[tuple[str, str, str]]:
    """For each stage how much of it is made, and what the rest waits for."""
    rows = []
    for stage in stages:
        own = {status: count for (name, status), count in counts.items() if name == stage}
        total, made = sum(own.values()), own.get("ok", 0)
        if total:
            rest = [f"{own[status]:,} {words}" for status, words in STATUS.items() if own.get(status)]
            rows.append((f"{stage}s", f"{made:,}", f"of {total:,}: {', '.join(rest)}" if rest else "all made"))
    return rows
