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
from .comparisons import ENOUGH, SHOWN, Words, is_clear, is_enough, name, oriented, sentence, sentences
from .frames import prepared
from .markdown import count, plain
from .tables import ranking

DIFFERENCES_FILE = "analysis/paired_differences.csv"  # under reports/
RELIABLE = 0.667  # Krippendorff's lowest alpha for tentative conclusions (Content Analysis, ch. 12)
MANY = 10  # comparisons: of so many, half a false one is to be expected
WIDTH = 100
_INTERVAL = re.compile(r"\\\[(-?[\d.]+, -?[\d.]+)\\\]")  # as `plain` escapes it, though it cannot be a link

WRITERS = {"models": "model", "generation_model": "model", "draft_model": "draft model"}
TEMPLATES = {"templates": "template pair", "generation_template": "essay template", "draft_template": "draft template"}
JUDGES = {"evaluation_model": "judge", "evaluation_template": "evaluation template"}
_NAMES = ("combo_id", "draft_template", "generation_template", "draft_model", "generation_model")
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
    named = {name: scores[name].astype("object").where(scores[name].notna(), "") for name in _NAMES}
    table = prepared(scores.assign(**named))  # a CSV file has no empty text
    scored = table[table["score_01"].notna()]
    missing = _missing(table)
    if not len(scored):
        return Findings([f"No text has a score yet: {count(len(table), 'evaluation')} planned."], [], missing)
    said, warnings = [], []
    stages = [stage for stage in ("essay", "draft") if (scored["judged_stage"] == stage).any()]
    differences, agreement = paired_differences(table), evaluator_agreement(table)
    for stage in stages:
        part = scored[scored["judged_stage"] == stage]
        rows = differences[differences["judged_stage"] == stage]
        said += [_opening(part, stage), *_comparisons(rows, part)]
        agreed, doubts = _agreement(agreement[agreement["judged_stage"] == stage], part)
        said += agreed
        warnings += [*doubts, *_same_scores(part), *_ties(part, stage), *_self_judging(part, rows, stage)]
    if any(text.startswith("Not enough") for text in said):
        said.append(f"A comparison needs at least {ENOUGH} combinations of concepts.")
    made = f"{count(len(differences), 'comparison')} were made; each interval is 95%, not corrected for their number"
    if len(differences) >= MANY:
        warnings.append(f"{made}: if nothing differed, about {round(len(differences) / 20):,} would seem to.")
    elif len(differences) > 1:
        said.append(f"{made}.")
    return Findings(said, warnings, missing)


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


def _words(scored: pd.DataFrame, factor: str = "models") -> Words:
    """How comparisons of a factor are said: in points of the scale that all scores share, else on the scale 0-1."""
    noun = (WRITERS | TEMPLATES | JUDGES)[factor]
    verb = "gives higher scores than" if factor in JUDGES else "is better than"
    scales = scored[["scale_low", "scale_high"]].drop_duplicates()
    rubrics = _listed(_names(scored["evaluation_template"]))
    if len(scales) > 1:
        return Words(1.0, f"on the scale 0-1 ({rubrics})", noun, DIFFERENCES_FILE, verb)
    low, high = scales.iloc[0]
    return Words(high - low, f"points on {rubrics} ({low:g}-{high:g})", noun, DIFFERENCES_FILE, verb)


def _comparisons(rows: pd.DataFrame, scored: pd.DataFrame) -> list[str]:
    models = _names(scored["generation_model"])
    said: list[str] = []
    if len(models) > 1 and not rows["factor"].isin(WRITERS).any():
        said.append(
            f"{_listed(models)} cannot be compared: no two of their scores have the same concepts, templates, judge "
            "and replicates."
        )
    for factor in (*WRITERS, *TEMPLATES, *JUDGES):
        of_factor = [oriented(row) for row in rows[rows["factor"] == factor].to_dict("records")]
        if factor in JUDGES:
            of_factor = [row for row in of_factor if is_enough(row)]
        said += sentences(of_factor, _words(scored, factor), only_largest=factor in JUDGES)
        if factor in ("models", "generation_model") and len(of_factor) == 1 and is_enough(of_factor[0]):
            said += _by_rubric(of_factor[0], factor, scored)
    return said or ["Nothing is compared: all texts have the same model and templates."]


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
        lines += [sentence(oriented(one), _words(part, factor)) for one in same]
    return lines


# --- how far to trust it ---


def alpha_text(alpha: float) -> str:
    """Krippendorff's alpha with at most three decimals: .61, .012, 1, -.2."""
    text = f"{alpha:.3f}".rstrip("0").rstrip(".").replace("0.", ".", 1)
    return "0" if text in ("", "-", "-0", ".", "-.") else text


def _agreement(rows: pd.DataFrame, scored: pd.DataFrame) -> tuple[list[str], list[str]]:
    """(sentences, warnings) about the agreement of judges."""
    said, warnings = [], []
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
        (warnings if _is_low(part) else said).append(_agree(who, part))
    if warnings:
        warnings[0] += " The ranking of single texts is not reliable, and what the scores measure is in doubt."
    if not shown:
        judge = f"{scored['evaluation_llm_model'].iloc[0]} on {scored['evaluation_template'].iloc[0]}"
        warnings.append(f"There is one judge ({judge}), so nobody can say whether another would agree.")
    return said, warnings


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
    row = max(map(oriented, compared), key=lambda one: (is_clear(one), one["difference"]))
    others = scored[~scored["self_judged"]]
    kept = paired_differences(others) if len(others) else rows.iloc[:0]
    levels = [row["level_a"], row["level_b"]]
    same = kept[(kept["factor"] == row["factor"]) & kept["level_a"].isin(levels) & kept["level_b"].isin(levels)]
    if same.empty:
        return [f"{words}; without them, {name(row['first'])} and {name(row['second'])} cannot be compared."]
    (kept_row, *_) = same.to_dict("records")
    return [f"{words}; without them, {sentence(oriented(kept_row), _words(others, row['factor']), start=False)}"]


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
