"""Which contexts predict outcomes better: those of the rules, those by similarity, kinds of tasks, or none.

"rules + recent" are the rules with the last prompts of the same kind. Choices of models use the rules of a prompt
alone: with the prompts before it, a choice would depend on what else is asked.
"""

import math
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence

from ..generation.model import Json
from ..reports.markdown import counted, number, plain, table
from .contexts import RECENT, classify
from .similarity import TfidfContexts

SCHEMES = ("none", "kind", "rules", "rules + recent", "similarity")
_STRENGTH = 2.0  # weight of a model's own mean as the prior of its outcomes in a context, in outcomes
_RESAMPLES = 1000
_LOWEST = 1e-6  # of a prediction: an outcome that was thought impossible costs 14
_MAX_EXAMPLES = 8
_MAX_KINDS = 10  # in the report, the most frequent
_FEWEST = 10  # texts with which an interval means something
_SHOWN = 70  # characters of a prompt in the report
_ALL = "*"

Outcomes = Sequence[Mapping[str, Json]]  # text, kind, model_id, outcome (0-1), in the order in which they came


def assign_contexts(outcomes: Outcomes, *, seed: int = 0) -> dict[str, list[tuple[str, str]]]:
    """Return the (context, reason) of every outcome in each scheme. Similarity is learned from the texts alone, never
    from outcomes: one group for ten different texts, 2 to 8 groups."""
    texts = [row["text"] for row in outcomes]
    different = list(dict.fromkeys(texts))
    similarity = TfidfContexts.fit(different, clusters=min(8, max(2, len(different) // 10)), seed=seed)
    by_rules = {text: classify(text) for text in different}
    by_similarity = {text: similarity.assign(text) for text in different}
    return {
        "none": [("any", "")] * len(texts),
        "kind": [(str(row["kind"]), "") for row in outcomes],
        "rules": [by_rules[text] for text in texts],
        "rules + recent": _with_recent(outcomes),
        "similarity": [by_similarity[text] for text in texts],
    }


def _with_recent(outcomes: Outcomes) -> list[tuple[str, str]]:
    """Return the context of each outcome by its prompt and the different prompts of its kind before it."""
    before: defaultdict[str, list[str]] = defaultdict(list)
    contexts: dict[str, tuple[str, str]] = {}  # of a prompt when it came first
    for row in outcomes:
        text, recent = row["text"], before[str(row["kind"])]
        if text not in contexts:
            contexts[text] = classify(text, recent)
            recent.append(text)
            del recent[:-RECENT]
    return [contexts[row["text"]] for row in outcomes]


def compare_contexts(outcomes: Outcomes, *, seed: int = 0) -> list[dict[str, Json]]:
    """Return how well each scheme predicts outcomes, over all ("*") and by kind: log_loss, lower is better, and its
    `difference` from no contexts with a 95% interval (low, high), and of similarity from rules.

    Prequential (Dawid, "Statistical theory: the prequential approach", 1984): each outcome is predicted from those
    before it, by the mean of a Beta posterior of its model and context, whose prior has the model's mean so far and the
    weight of two outcomes. The loss of an outcome y predicted as p is -y ln p - (1 - y) ln(1 - p). Intervals are
    percentiles of a paired bootstrap over texts, since all outcomes of a text share what is easy or hard in it; with
    less than 10 texts they are None.
    """
    assigned = assign_contexts(outcomes, seed=seed)
    return _compare(outcomes, assigned, seed)


def _compare(outcomes: Outcomes, assigned: Mapping[str, Sequence[tuple[str, str]]], seed: int) -> list[dict[str, Json]]:
    contexts = {scheme: [context for context, _ in assigned[scheme]] for scheme in SCHEMES}
    losses = {scheme: _losses(outcomes, contexts[scheme]) for scheme in SCHEMES}
    rows = []
    for kind in (_ALL, *sorted({str(row["kind"]) for row in outcomes})) if outcomes else ():
        places = [place for place, row in enumerate(outcomes) if kind in (_ALL, str(row["kind"]))]
        texts = [outcomes[place]["text"] for place in places]
        for scheme, than in (*((scheme, "none") for scheme in SCHEMES), ("similarity", "rules")):
            own, other = ([losses[one][place] for place in places] for one in (scheme, than))
            low, high = _interval([a - b for a, b in zip(own, other, strict=True)], texts, seed)
            rows.append({
                **{"kind": kind, "contexts": scheme, "n": len(places), "texts": len(set(texts))},
                **{"groups": len({contexts[scheme][place] for place in places}), "log_loss": _mean(own)},
                **{"than": than, "difference": _mean(own) - _mean(other), "low": low, "high": high},
            })  # fmt: skip
    return rows


def _losses(outcomes: Outcomes, contexts: Sequence[str]) -> list[float]:
    """Return the loss of each outcome, predicted from those before it."""
    models: defaultdict[str, list[float]] = defaultdict(lambda: [1.0, 1.0])
    cells: defaultdict[tuple[str, str], list[float]] = defaultdict(lambda: [0.0, 0.0])
    losses = []
    for row, context in zip(outcomes, contexts, strict=True):
        model, cell, outcome = models[row["model_id"]], cells[row["model_id"], context], float(row["outcome"])
        mean = model[0] / sum(model)
        predicted = (cell[0] + _STRENGTH * mean) / (sum(cell) + _STRENGTH)
        predicted = min(1 - _LOWEST, max(_LOWEST, predicted))
        losses.append(-outcome * math.log(predicted) - (1 - outcome) * math.log(1 - predicted))
        for counts in (model, cell):
            counts[0] += outcome
            counts[1] += 1 - outcome
    return losses


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values)


def _interval(differences: Sequence[float], texts: Sequence[str], seed: int) -> tuple[float, float] | tuple[None, None]:
    """Return the 95% interval of the mean difference, by resampling texts."""
    import numpy as np

    numbers: dict[str, int] = {}
    member = [numbers.setdefault(text, len(numbers)) for text in texts]
    if len(numbers) < _FEWEST:
        return None, None
    sums, counts = np.bincount(member, weights=differences), np.bincount(member)
    draws = np.random.default_rng(seed).integers(0, len(counts), (_RESAMPLES, len(counts)))
    low, high = np.quantile(sums[draws].sum(axis=1) / counts[draws].sum(axis=1), (0.025, 0.975))
    return float(low), float(high)


def context_report(outcomes: Outcomes, *, seed: int = 0) -> str:
    """Return the report on contexts as Markdown: where rules and similarity differ, and which predict better."""
    if not outcomes:
        return "# Contexts\n\nThere are no outcomes yet, so there is nothing to compare.\n"
    assigned = assign_contexts(outcomes, seed=seed)
    rows = _compare(outcomes, assigned, seed)
    kinds = Counter(str(row["kind"]) for row in outcomes)
    shown = {_ALL, *(kind for kind, _ in kinds.most_common(_MAX_KINDS))}
    pairs = {row["text"]: (assigned["rules"][i], assigned["similarity"][i]) for i, row in enumerate(outcomes)}
    parts = [
        "# Contexts",
        f"{counted(len(outcomes), 'outcome')} of {counted(len(pairs), 'prompt')}. Each outcome is predicted from those "
        "before it; a lower log loss is a better prediction. A difference whose 95% interval contains 0 may be chance.",
        f"**{_verdict(rows)}**",
        table([_cells(row) for row in rows if row["than"] == "none" and row["kind"] in shown], _HEADER),
        "## Where rules and similarity differ",
        "Prompts by context of the rules (columns) and group of similar prompts (rows, named after their words):",
        _crossed(pairs),
        *_disagreements(pairs),
    ]
    return "\n\n".join(parts) + "\n"


_HEADER = ("kind", "contexts", "how many", "outcomes", "log loss", "difference from none", "95% interval")


def _cells(row: Mapping[str, Json]) -> tuple[str, ...]:
    kind = "all" if row["kind"] == _ALL else plain(row["kind"])
    own = (kind, row["contexts"], str(row["groups"]), str(row["n"]), number(row["log_loss"], 4))
    if row["contexts"] == "none":
        return (*own, "-", "-")
    interval = "-" if row["low"] is None else f"{row['low']:+.4f} to {row['high']:+.4f}"
    return (*own, f"{row['difference']:+.4f}", interval)


def _verdict(rows: Sequence[Mapping[str, Json]]) -> str:
    """Return in a sentence which of rules and similarity predicts better, and whether either beats no contexts."""
    overall = {(row["contexts"], row["than"]): row for row in rows if row["kind"] == _ALL}
    pair = overall["similarity", "rules"]
    if pair["low"] is None:
        return f"{counted(pair['texts'], 'prompt')} are too few to compare contexts."
    better = "similarity" if pair["difference"] < 0 else "rules"
    interval = f"by {abs(pair['difference']):.4f}, 95% interval {pair['low']:+.4f} to {pair['high']:+.4f}"
    if pair["low"] <= 0 <= pair["high"]:
        first = (
            f"Rules and similarity predict equally well as far as {counted(pair['n'], 'outcome')} can tell ({interval})"
        )
    else:
        first = f"Contexts by {better} predict outcomes better ({interval})"
    useful = [scheme for scheme in SCHEMES[1:] if overall[scheme, "none"]["high"] < 0]
    return f"{first}. Better than no contexts: {', '.join(useful) if useful else 'none of them, surely'}."


def _crossed(pairs: Mapping[str, tuple[tuple[str, str], tuple[str, str]]]) -> str:
    counts = Counter((similar[0], rule[0]) for rule, similar in pairs.values())
    columns = sorted({rule for _, rule in counts})
    return table(
        [(plain(group), *(str(counts[group, rule]) for rule in columns)) for group in sorted({g for g, _ in counts})],
        ("similar prompts", *columns),
    )


def _disagreements(pairs: Mapping[str, tuple[tuple[str, str], tuple[str, str]]]) -> list[str]:
    """Return examples of prompts whose context by the rules is not the one of most prompts like them."""
    members: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for rule, similar in pairs.values():
        members[similar[0]][rule[0]] += 1
    usual = {group: min(counts, key=lambda rule: (-counts[rule], rule)) for group, counts in members.items()}
    different = [(text, *pair) for text, pair in pairs.items() if pair[0][0] != usual[pair[1][0]]]
    if not different:
        return ["All prompts of a group have the same context by the rules."]
    lines = [
        f"- {plain(text, _SHOWN)}: {rule[0]} by the rules ({plain(rule[1])}); like prompts that are mostly "
        f"{usual[similar[0]]} ({plain(similar[1])})"
        for text, rule, similar in different[:_MAX_EXAMPLES]
    ]
    share = f"{counted(len(different), 'prompt')} of {len(pairs):,} differ from most prompts like them"
    return [f"{share}; the first {len(lines)}:", "\n".join(lines)]
