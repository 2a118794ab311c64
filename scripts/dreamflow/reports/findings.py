"""What the scores of a cohort say, in words: the comparison of models and templates, and how far to trust it.

The numbers are those of `analysis.paired_differences` and `analysis.evaluator_agreement`. An interval is 95%, for other
combinations of concepts; it is not corrected for the number of comparisons.
"""

import re
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain

import numpy as np
import pandas as pd

from ..generation.model import Json
from .analysis import evaluator_agreement, paired_differences
from .frames import prepared
from .markdown import count, plain
from .tables import ranking

DIFFERENCES_FILE = "analysis/paired_differences.csv"  # under reports/
MIN_COMBOS = 6  # of fewer, all can agree by chance: the two-sided sign test has p = 2 * 0.5^n > 0.05 for n < 6
RELIABLE = 0.667  # Krippendorff's lowest alpha for tentative conclusions (Content Analysis, ch. 12)
MANY = 10  # comparisons: of so many, half a false one is to be expected
SHOWN = 3  # comparisons in words per factor, and names in a list
WIDTH = 100
_INTERVAL = re.compile(r"\\\[(-?[\d.]+, -?[\d.]+)\\\]")  # as `plain` escapes it, though it cannot be a link

WRITERS = {"models": "model", "generation_model": "model", "draft_model": "draft model"}
TEMPLATES = {"templates": "template pair", "generation_template": "essay template", "draft_template": "draft template"}
JUDGES = {"evaluation_model": "judge", "evaluation_template": "evaluation template"}
_REASONS = {"missing": "not made yet"}  # words for the status of an evaluation without a score


@dataclass(frozen=True)
class Findings:
    """What the scores say: the comparison, what speaks against trusting it, and what is missing ("" if complete).
    All texts are plain text."""

    sentences: list[str]
    warnings: list[str]
    missing: str = ""

    @property
    def answer(self) -> str:
        """The first comparison, for a list of results."""
        return next(iter(self.sentences[1:]), self.sentences[0])


def findings(scores: pd.DataFrame) -> Findings:
    """The findings of a cohort from its long table (`scores.collect_scores`, or the CSV file read again)."""
    if not len(scores):
        return Findings(["The cohort plans no evaluations, so its texts cannot be compared."], [])
    table = prepared(scores)
    scored = table[table["score_01"].notna()]
    missing = _missing(table)
    if not len(scored):
        return Findings([f"No text has a score yet: {count(len(table), 'evaluation')} planned."], [], missing)
    sentences, warnings = [], []
    stages = [stage for stage in ("essay", "draft") if (scored["judged_stage"] == stage).any()]
    differences, agreement = paired_differences(table), evaluator_agreement(table)
    for stage in stages:
        part = scored[scored["judged_stage"] == stage]
        rows = differences[differences["judged_stage"] == stage]
        sentences += [_opening(part, stage), *_comparisons(rows, part)]
        agreed, doubts = _agreement(agreement[agreement["judged_stage"] == stage], part)
        sentences += agreed
        warnings += [*doubts, *_same_scores(part), *_ties(part, stage), *_self_judging(part, rows, stage)]
    made = f"{count(len(differences), 'comparison')} were made; each interval is 95%, not corrected for their number"
    if len(differences) >= MANY:
        warnings.append(f"{made}: if nothing differed, about {round(len(differences) / 20):,} would seem to.")
    elif len(differences) > 1:
        sentences.append(f"{made}.")
    return Findings(sentences, warnings, missing)


def _opening(scored: pd.DataFrame, stage: str) -> str:
    texts, judges = scored["parent_gen_id"].nunique(), _names(scored["evaluation_llm_model"])
    models = _names(scored["generation_model"])
    return (
        f"{count(texts, stage)} by {models[0] if len(models) == 1 else count(len(models), 'model')} "
        f"{'has' if texts == 1 else 'have'} {count(len(scored), 'score')} "
        f"by {_listed(judges)} on {_listed(_names(scored['evaluation_template']))}."
    )


def _names(column: pd.Series) -> list[str]:
    return sorted(column.astype(str).unique())


def _listed(names: Sequence[str], noun: str = "more") -> str:
    """Names as text: "a", "a and b", "a, b, c and 4 more"."""
    if len(names) > SHOWN + 1:
        names = [*names[:SHOWN], f"{len(names) - SHOWN} {noun}"]
    return " and ".join(filter(None, [", ".join(names[:-1]), names[-1]])) if names else "nothing"


# --- comparisons ---


@dataclass(frozen=True)
class _Scale:
    """The unit of a difference: the points of a scale that all scores share, else parts of the scale 0-1."""

    width: float
    words: str

    def span(self, *values: float) -> str:
        """A difference and its interval; never rounded to zero if they are not zero."""
        values = tuple(round(value * self.width, 9) for value in values)
        digits = 1 if self.width >= 5 else 2
        while digits < 5 and any(value and not round(value, digits) for value in values):
            digits += 1
        first, *ends = (f"{round(value, digits) + 0.0:.{digits}f}" for value in values)
        return f"{first} [{', '.join(ends)}]" if ends else first


def _scale(scored: pd.DataFrame) -> _Scale:
    scales = scored[["scale_low", "scale_high"]].drop_duplicates()
    rubrics = _listed(_names(scored["evaluation_template"]))
    if len(scales) > 1:
        return _Scale(1.0, f"on the scale 0-1 ({rubrics})")
    low, high = scales.iloc[0]
    return _Scale(high - low, f"points on {rubrics} ({low:g}-{high:g})")


def _comparisons(rows: pd.DataFrame, scored: pd.DataFrame) -> list[str]:
    scale, models = _scale(scored), _names(scored["generation_model"])
    sentences: list[str] = []
    if len(models) > 1 and not rows["factor"].isin(WRITERS).any():
        sentences.append(
            f"{_listed(models)} cannot be compared: no two of their scores have the same concepts, templates, judge "
            "and replicates."
        )
    for factor, noun in (WRITERS | TEMPLATES | JUDGES).items():
        of_factor = [_oriented(row) for row in rows[rows["factor"] == factor].to_dict("records")]
        if factor in JUDGES:
            of_factor = [row for row in of_factor if _enough(row)]
        sentences += _of_factor(of_factor, factor, noun, scale)
        if factor in ("models", "generation_model") and len(of_factor) == 1 and _enough(of_factor[0]):
            sentences += _by_rubric(of_factor[0], factor, scored)
    if any(text.startswith("Not enough") for text in sentences):
        sentences.append(f"A comparison needs at least {MIN_COMBOS} combinations of concepts.")
    return sentences or ["Nothing is compared: all texts have the same model and templates."]


def _oriented(row: Mapping[str, Json]) -> dict[str, Json]:
    """A difference with the better level first."""
    row = {**row, "difference": round(row["difference"], 9) + 0.0}
    if row["difference"] >= 0:
        return {**row, "first": row["level_a"], "second": row["level_b"]}
    turned = {"difference": -row["difference"], "ci_low": -row["ci_high"], "ci_high": -row["ci_low"]}
    return {**row, **turned, "first": row["level_b"], "second": row["level_a"]}


def _enough(row: Mapping[str, Json]) -> bool:
    return row["combos"] >= MIN_COMBOS and not np.isnan(row["ci_low"])


def _clear(row: Mapping[str, Json]) -> bool:
    return _enough(row) and row["ci_low"] > 0


def _of_factor(rows: list[dict[str, Json]], factor: str, noun: str, scale: _Scale) -> list[str]:
    """The comparisons of a factor, at most `SHOWN` in words: all of them, or the best level against its rivals."""
    if not rows:
        return []
    if len(rows) <= SHOWN and factor not in JUDGES:
        ordered = sorted(rows, key=lambda row: (not _clear(row), not _enough(row), -row["difference"]))
        return [_sentence(row, factor, noun, scale) for row in ordered]
    levels = sorted(set(chain.from_iterable((row["first"], row["second"]) for row in rows)))
    clear = [row for row in rows if _clear(row)]
    if not clear or factor in JUDGES:
        largest = max(clear or rows, key=lambda row: (_enough(row), row["difference"]))
        if len(rows) == 1:
            return [_sentence(largest, factor, noun, scale)]
        found = "No difference is shown" if any(map(_enough, rows)) else "Not enough to say"
        head = f"{found} between any of {len(levels)} {noun}s in {len(rows)} comparisons ({DIFFERENCES_FILE}); "
        if clear:
            head = f"{len(clear)} of {len(rows)} comparisons of {noun}s show a difference ({DIFFERENCES_FILE}); "
        return [f"{head}the largest: {_sentence(largest, factor, noun, scale, start=False)}"]
    wins = dict.fromkeys(levels, 0)
    for row in clear:
        wins[row["first"]] += 1
        wins[row["second"]] -= 1
    sums = {level: sum(_towards(row, level) for row in rows) for level in levels}
    best = max(levels, key=lambda level: (wins[level], sums[level]))
    own = [row for row in rows if best in (row["first"], row["second"])]
    beaten = sum(_clear(row) and row["first"] == best for row in own)
    rivals = sorted(own, key=lambda row: _towards(row, best))[:SHOWN]
    lost = sum(_clear(row) and row["second"] == best for row in own)
    words = f"{_name(best)} is better than {beaten} of the {len(own)} {noun}s that it is compared with"
    words += f", worse than {lost}" if lost else ""
    words += f"; no difference is shown from {len(own) - beaten - lost}" if len(own) > beaten + lost else ""
    more = len(rows) - len(rivals)
    return [
        f"{words}.",
        *(_sentence(row, factor, noun, scale) for row in rivals),
        f"{more:,} more comparisons of {noun}s: {DIFFERENCES_FILE}.",
    ]


def _towards(row: Mapping[str, Json], level: str) -> float:
    """By how much a level is ahead in a comparison."""
    return row["difference"] * ((row["first"] == level) - (row["second"] == level))


def _name(level: str) -> str:
    """A level as a reader calls it: the same model for draft and essay is named once."""
    parts = [part for part in level.split(" → ") if part]
    return parts[0] if len(set(parts)) == 1 else " → ".join(parts)


def _sentence(row: Mapping[str, Json], factor: str, noun: str, scale: _Scale, *, start: bool = True) -> str:
    """A comparison in words."""
    first, second = _name(row["first"]), _name(row["second"])
    pairs = f"{count(row['pairs'], 'pair')} in {count(row['combos'], 'combination')} of concepts"
    kind = "" if noun == "model" else f"{noun} "
    kinds = "" if noun == "model" else f"{noun}s "
    verb = "gives higher scores than" if factor in JUDGES else "is better than"
    known = not np.isnan(row["ci_low"])
    size = scale.span(row["difference"], *((row["ci_low"], row["ci_high"]) if known else ()))
    ahead = f"{first} is ahead by {size} {scale.words}" if row["difference"] else f"{size} {scale.words}"
    if _clear(row):
        words = f"{kind}{first} {verb} {second} by {size} {scale.words}, {pairs}."
    elif _enough(row):
        words = f"no difference shown between {kinds}{first} and {second}: {ahead}, {pairs}."
    else:
        words = f"not enough to say whether {kind}{first} {verb} {second}: {ahead}, but in only {pairs}."
    if start and not words.startswith(first):  # an id keeps its letters
        words = words[0].upper() + words[1:]
    return words


def _by_rubric(row: Mapping[str, Json], factor: str, scored: pd.DataFrame) -> list[str]:
    """The one comparison of models on each evaluation template alone."""
    rubrics = _names(scored["evaluation_template"])
    if len(rubrics) < 2:
        return []
    lines = []
    for rubric in rubrics[:SHOWN]:
        part = scored[scored["evaluation_template"] == rubric]
        rows = paired_differences(part)
        same = rows[(rows["factor"] == factor) & (rows["judged_stage"] == row["judged_stage"])].to_dict("records")
        lines += [_sentence(_oriented(one), factor, "model", _scale(part)) for one in same]
    return lines


# --- how far to trust it ---


def alpha_text(alpha: float) -> str:
    """Krippendorff's alpha with at most three decimals: .61, .012, 1, -.2."""
    text = f"{alpha:.3f}".rstrip("0").rstrip(".").replace("0.", ".", 1)
    return "0" if text in ("", "-", "-0", ".", "-.") else text


def _agreement(rows: pd.DataFrame, scored: pd.DataFrame) -> tuple[list[str], list[str]]:
    """(sentences, warnings) about the agreement of judges."""
    sentences, warnings = [], []
    everyone, *parts = rows.to_dict("records")
    models = [part for part in parts if part["comparison"] == "models"]
    shown = []
    if everyone["raters"] > 1:
        kinds = (scored["evaluation_llm_model"].nunique() > 1, scored["evaluation_template"].nunique() > 1)
        who = {(True, False): "judges", (False, True): "evaluation templates"}.get(kinds, "judges with their templates")
        shown.append((f"the {everyone['raters']} {who}", everyone))
        if all(kinds):
            shown += [(f"the {part['raters']} judges on {part['evaluation_template']}", part) for part in models]
    replicates = [part for part in parts if part["comparison"] == "replicates"]
    selves = [
        (f"the replicates of {part['evaluation_llm_model']} on {part['evaluation_template']}", part)
        for part in replicates
    ]
    for who, part in [*shown[: SHOWN + 1], *(one for one in selves if _is_low(one[1]) or not shown)]:
        (warnings if _is_low(part) else sentences).append(_agree(who, part))
    if warnings:
        warnings[0] += " The ranking of single texts is not reliable, and what the scores measure is in doubt."
    if not shown:
        judge = f"{scored['evaluation_llm_model'].iloc[0]} on {scored['evaluation_template'].iloc[0]}"
        warnings.append(f"There is one judge ({judge}), so nobody can say whether another would agree.")
    return sentences, warnings


def _is_low(part: Mapping[str, Json]) -> bool:
    return part["texts"] < 2 or not part["alpha"] >= RELIABLE  # also if it is unknown


def _agree(who: str, part: Mapping[str, Json]) -> str:
    if np.isnan(part["alpha"]) or part["texts"] < 2:
        few = f"only {part['texts']} text has" if part["texts"] == 1 else "no text has"
        why = "all their scores are equal" if part["texts"] > 1 else f"{few} scores of two of them"
        return f"The agreement of {who} cannot be measured: {why}."
    words = f"{who[0].upper()}{who[1:]} agree with alpha {alpha_text(part['alpha'])} on {count(part['texts'], 'text')}"
    return f"{words}, below .667." if _is_low(part) else f"{words}."


def _same_scores(scored: pd.DataFrame) -> list[str]:
    """Judges that give every text the same score tell nothing about texts."""
    by_judge = scored.groupby("evaluator", observed=True)
    spread, texts = by_judge["score"].nunique(), by_judge["parent_gen_id"].nunique()
    flat = spread.index[(spread == 1) & (texts > 2)]
    lines = []
    for evaluator in flat[:SHOWN]:
        own = scored[scored["evaluator"] == evaluator].iloc[0]
        lines.append(
            f"{own['evaluation_llm_model']} gives all {texts[evaluator]:,} texts the same score on "
            f"{own['evaluation_template']} ({own['score']:g} of {own['scale_low']:g}-{own['scale_high']:g})."
        )
    if len(flat) > SHOWN:
        lines.append(f"So do {len(flat) - SHOWN} more judges.")
    return lines


def _ties(scored: pd.DataFrame, stage: str) -> list[str]:
    ranked = ranking(scored)
    first = int((ranked["rank"] == 1).sum())
    return [f"{first} of {count(len(ranked), stage)} share rank 1."] if first > 1 else []


def _self_judging(scored: pd.DataFrame, rows: pd.DataFrame, stage: str) -> list[str]:
    """How many scores are of the judge's own texts, and whether the comparison of models holds without them."""
    own = int(scored["self_judged"].sum())
    if not own:
        return []
    words = f"{own:,} of {len(scored):,} scores of {stage}s are by a model that wrote the text"
    compared = rows[rows["factor"].isin(WRITERS)].to_dict("records")
    if not compared:
        return [f"{words}."]
    row = max(map(_oriented, compared), key=lambda one: (_clear(one), one["difference"]))
    others = scored[~scored["self_judged"]]
    kept = paired_differences(others) if len(others) else rows.iloc[:0]
    levels = [row["level_a"], row["level_b"]]
    same = kept[(kept["factor"] == row["factor"]) & kept["level_a"].isin(levels) & kept["level_b"].isin(levels)]
    if same.empty:
        return [f"{words}; without them, {_name(row['first'])} and {_name(row['second'])} cannot be compared."]
    sentence = _sentence(
        _oriented(same.to_dict("records")[0]), row["factor"], WRITERS[row["factor"]], _scale(others), start=False
    )
    return [f"{words}; without them, {sentence}"]


def _missing(table: pd.DataFrame) -> str:
    """How many planned scores are missing, why, and of whose texts; "" if none is."""
    without = table[table["score_01"].isna()]
    if without.empty:
        return ""
    reasons = without["status"].map(lambda status: _REASONS.get(status, status)).value_counts().sort_index()
    why = ", ".join(f"{number:,} {reason}" for reason, number in reasons.items())
    words = f"{len(without):,} of {len(table):,} planned scores are missing ({why})"
    by_model = table.groupby("generation_model", observed=True)["score_01"].agg(["size", "count"])
    lost = (by_model["size"] - by_model["count"]).sort_values(ascending=False, kind="stable")
    if len(by_model) > 1 and len(without) < len(table):
        each = [f"{number:,} of {by_model['size'][model]:,} by {model}" for model, number in lost.items()]
        words += f": {_listed(each, 'models')}"
    return f"{words}."


# --- for people ---


def lines_of(found: Findings) -> list[tuple[str, str]]:
    """The findings as (mark, text): "" for a sentence, "Warning" and "Missing" for the rest."""
    marked: Iterable[tuple[str, str]] = (("", sentence) for sentence in found.sentences)
    marked = chain(marked, (("Missing", text) for text in (found.missing,) if text))
    return [*marked, *(("Warning", warning) for warning in found.warnings)]


def as_text(found: Findings) -> str:
    """The findings for the screen, at most 100 columns."""
    lines = (f"{mark}: {text}" if mark else text for mark, text in lines_of(found))
    return "\n".join(
        textwrap.fill(line, WIDTH, initial_indent="- ", subsequent_indent="  ", break_on_hyphens=False)
        for line in lines
    )


def as_markdown(found: Findings) -> str:
    """The findings as a list in Markdown."""
    lines = ((mark, _INTERVAL.sub(r"[\1]", plain(text))) for mark, text in lines_of(found))
    return "\n".join(f"- **{mark}:** {text}" if mark else f"- {text}" for mark, text in lines)
