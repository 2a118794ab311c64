"""Routing on recorded outcomes: each question once, in random order, learning only from the outcomes observed."""

import csv
import gzip
import sys
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[2] / "scripts"))

from dreamflow.errors import DreamflowError
from dreamflow.routing import predictor as prompts
from dreamflow.routing.features import features, fit_topics
from dreamflow.routing.price import price_for
from dreamflow.trust.posterior import moving_average, posteriors

TEXT_COLUMNS, CONTEXT_COLUMNS = ("prompt", "question", "text", "input"), ("domain", "context", "subject", "category")
SHARES = tuple(np.arange(1, 10) / 10)  # of the dearest model: points of a curve
PRICES = (-0.1, 0, 0.03, 0.06, 0.09, 0.12, 0.15, 0.2, 0.3, 0.5)
RESAMPLES = 500
_FIRST_FIT, _WINDOW, _TIE = 32, 400, 1e-6


class Recorded(NamedTuple):
    """Questions, their contexts (numbers), and the outcomes of the models (columns: from cheap to dear)."""

    texts: list[str]
    contexts: np.ndarray
    names: list[str]
    models: list[str]
    outcomes: np.ndarray

    def take(self, places: np.ndarray) -> "Recorded":
        """Some of the questions, in this order."""
        texts = [self.texts[place] for place in places]
        return self._replace(texts=texts, contexts=self.contexts[places], outcomes=self.outcomes[places])


def read(path: Path, text: str | None, context: str | None, models: Sequence[str] | None) -> Recorded:
    """The recorded outcomes in a CSV file. Models are sorted by their mean outcome, unless they are named.

    Raises a DreamflowError for a file without a text column or two models, or with an outcome outside of 0-1.
    """
    csv.field_size_limit(sys.maxsize)
    try:
        with gzip.open(path, "rt", newline="") if path.suffix == ".gz" else path.open(newline="") as file:
            reader = csv.DictReader(file, strict=True)
            rows = [(reader.line_num, row) for row in reader]
            columns = list(reader.fieldnames or ())
    except (OSError, EOFError, UnicodeDecodeError, csv.Error) as error:
        raise DreamflowError(f"{path}: cannot be read: {error}") from None
    text = text or next((name for name in TEXT_COLUMNS if name in columns), None)
    context = context or next((name for name in CONTEXT_COLUMNS if name in columns), None)
    named = list(models or [name for name in columns if name not in (text, context)])
    if missing := [name for name in (text, context, *named) if name and name not in columns]:
        raise DreamflowError(f"{path}: no column {', '.join(missing)}; its columns: {', '.join(columns)}")
    if text is None:
        raise DreamflowError(f"{path}: no column of texts ({', '.join(TEXT_COLUMNS)}); name it with --text")
    if len(named) < 2 or len(set(named)) < len(named):
        found = ", ".join(named) or "none"
        raise DreamflowError(f"{path}: two or more different columns of models are needed, not {found}")
    if len(rows) < 100:
        raise DreamflowError(f"{path}: {len(rows)} questions are too few for a curve; give 100 or more")
    outcomes = np.array([[_outcome(path, line, name, row[name]) for name in named] for line, row in rows])
    if not models:
        order = np.argsort(outcomes.mean(axis=0), kind="stable")
        named, outcomes = [named[place] for place in order], outcomes[:, order]
    if outcomes[:, 0].mean() == outcomes[:, -1].mean():
        raise DreamflowError(f"{path}: {named[0]} and {named[-1]} are equally good, so there is no curve between them")
    names, contexts = np.unique([row[context] or "" if context else "" for _, row in rows], return_inverse=True)
    return Recorded([row[text] or "" for _, row in rows], contexts, names.tolist(), named, outcomes)


def _outcome(path: Path, line: int, name: str, value: str | None) -> float:
    try:
        number = float(value or "")
    except ValueError:
        number = np.nan
    if not 0 <= number <= 1:
        raise DreamflowError(
            f"{path}:{line}: {name}: '{value}' is not an outcome from 0 to 1; name the models with --models"
        )
    return number


def costs_of(data: Recorded) -> np.ndarray:
    """The costs of the models, evenly from 0 to 1: of two models, the mean cost is the share of the dear one."""
    return np.linspace(0, 1, len(data.models))


def by_prompt(
    data: Recorded, past: int, seed: int, *, text: bool, context: bool, is_priced: bool = False
) -> np.ndarray:
    """Choices by trust by prompt, the first `past` questions being evidence: within a budget, SHARES x questions; or by
    Thompson sampling at fixed prices, as `model: auto` chooses, PRICES x questions."""
    size, costs = len(data.texts), costs_of(data)
    models, width = len(costs), len(data.names) if context else 0
    points_of = PRICES if is_priced else SHARES
    chosen, chances = np.full((len(points_of), size), -1), np.zeros((len(points_of), size, models))
    random = np.random.default_rng(seed)
    ties = random.normal(0, _TIE, (size, models))
    fits = [past]
    while fits[-1] < size:
        fits.append(min(size, max(_FIRST_FIT, int(fits[-1] * (1.4 if past else 2)))))
    indicators = np.eye(len(data.names))[data.contexts] if context else np.zeros((size, 0))
    for start, end in pairwise(fits):
        x = indicators[:end]
        if text:
            x = np.hstack([x, features(data.texts[:end], fit_topics(data.texts[:start]))])
        for point, share in enumerate(points_of):
            known = prompts.prior(models, x.shape[1], width)
            if start:
                online = np.arange(past, start)
                rows = np.r_[np.repeat(np.arange(past), models), online]
                of = np.r_[np.tile(np.arange(models), past), chosen[point, online]]
                known = prompts.fit(x[rows], of, data.outcomes[rows, of], models, width)
            at = start
            while at < end:
                block = np.arange(at, min(end, at + max(1, min(32, at // 100))))
                if is_priced:
                    chances[point, block], price = random.beta(*prompts.beta(known, x[block])), share
                else:
                    chances[point, block] = prompts.expected(known, x[block]) + ties[block]
                    price = price_for(chances[point, max(past, at - _WINDOW) : block[-1] + 1], costs, share)
                choice = np.argmax(chances[point, block] - price * costs, axis=1)
                chosen[point, block] = choice
                known = prompts.update(known, x[block], choice, data.outcomes[block, choice])
                at = block[-1] + 1
    return chosen


def by_context(data: Recorded, past: int, seed: int) -> np.ndarray:
    """Choices by Thompson sampling from the posteriors of contexts, at fixed prices: PRICES x questions."""
    size, costs, random = len(data.texts), costs_of(data), np.random.default_rng(seed)
    layers = dict.fromkeys(data.models, "tactical")
    chosen = np.full((len(PRICES), size), -1)
    for point, price in enumerate(PRICES):
        counts = np.zeros((len(data.models), len(data.names), 2))
        for place in range(past):
            outcome = data.outcomes[place]
            counts[:, data.contexts[place]] += np.stack([outcome, 1 - outcome], axis=1)
        next_fit = past
        for at in range(past, size):
            if at == next_fit:
                cells = _cells(data, counts, layers)
                next_fit = max(at + 50, int(at * 1.3))
            draws = random.beta(*cells[:, data.contexts[at]].T)
            choice = int(np.argmax(draws - price * costs))
            outcome = data.outcomes[at, choice]
            for table in (counts, cells):
                table[choice, data.contexts[at]] += outcome, 1 - outcome
            chosen[point, at] = choice
    return chosen


def _cells(data: Recorded, counts: np.ndarray, layers: dict[str, str]) -> np.ndarray:
    """(alpha, beta) of each model and context."""
    keys = {(m, c): tuple(counts[i, j]) for i, m in enumerate(data.models) for j, c in enumerate(data.names)}
    known = posteriors(keys, layers)
    return np.array([[known[model, name][:2] for name in data.names] for model in data.models])


def by_argmax(data: Recorded, past: int) -> np.ndarray:
    """Choices of the original rule: the highest moving average in the context, costs ignored; ties to the dearest."""
    trust = np.full((len(data.names), len(data.models)), 0.5)
    chosen = np.full((1, len(data.texts)), -1)
    for at in range(len(data.texts)):
        mine = trust[data.contexts[at]]
        asked = range(len(mine)) if at < past else [len(mine) - 1 - int(np.argmax(mine[::-1]))]
        for model in asked:
            mine[model] = moving_average(mine[model], data.outcomes[at, model])
        if at >= past:
            chosen[0, at] = asked[0]
    return chosen


def in_hindsight(data: Recorded, past: int) -> np.ndarray:
    """The best choices by the true rates of each context: SHARES x questions."""
    contexts, outcomes = data.contexts[past:], data.outcomes[past:]
    member = np.eye(len(data.names))[contexts]
    rates = member.T @ outcomes / np.maximum(member.sum(axis=0), 1)[:, None]
    chances = rates[data.contexts] + np.random.default_rng(0).normal(0, _TIE, data.outcomes.shape)
    costs = costs_of(data)
    prices = [price_for(chances[past:], costs, share) for share in SHARES]
    chosen = np.stack([np.argmax(chances - price * costs, axis=1) for price in prices])
    chosen[:, :past] = -1
    return chosen


def oracle(data: Recorded, past: int) -> np.ndarray:
    """The cheapest model that is right, else the cheapest."""
    chosen = np.argmax(data.outcomes, axis=1)[None, :].copy()
    chosen[:, :past] = -1
    return chosen


def points(chosen: np.ndarray, data: Recorded, weight: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(mean cost, mean outcome) of each point of a curve, questions weighted."""
    weight = weight * (chosen[0] >= 0)
    got = np.take_along_axis(data.outcomes, np.maximum(chosen, 0).T, axis=1)
    return (costs_of(data)[chosen] @ weight) / weight.sum(), (weight @ got) / weight.sum()


def area(chosen: np.ndarray, data: Recorded, weight: np.ndarray) -> float:
    """The mean over the share of dear calls of (accuracy - cheapest) / (dearest - cheapest)."""
    cost, outcome = points(chosen, data, weight)
    asked = weight * (chosen[0] >= 0)
    cheap, dear = (asked @ data.outcomes / asked.sum())[[0, -1]]
    order = np.argsort(cost, kind="stable")
    share = np.r_[0, cost[order], 1]
    return float(np.trapezoid(np.r_[0, (outcome[order] - cheap) / (dear - cheap), 1], share))


def interval(statistic: Callable[[np.ndarray, np.ndarray], float], curves: Sequence[np.ndarray]) -> str:
    """The mean of a statistic (of choices and weights of questions) over the orders, with a 90% bootstrap interval over
    questions and orders."""
    random, size = np.random.default_rng(0), curves[0].shape[1]
    mean = np.mean([statistic(chosen, np.ones(size)) for chosen in curves])
    resampled = []
    for _ in range(RESAMPLES):
        weight = np.bincount(random.integers(0, size, size), minlength=size).astype(float)
        resampled.append(statistic(curves[random.integers(len(curves))], weight))
    low, high = np.quantile(resampled, (0.05, 0.95))
    return f"{mean:.3f} ({low:.3f}-{high:.3f})"


def report(data: Recorded, orders: int, past_share: float) -> list[str]:
    """The lines of a table: what each policy achieves on the questions that are no past evidence."""
    size, past = len(data.texts), int(past_share * len(data.texts))
    shuffled = [np.random.default_rng(seed).permutation(size) for seed in range(orders)]
    named = len(data.names) > 1
    policies: dict[str, Callable[[Recorded, int], np.ndarray]] = {
        "text, within a budget": lambda part, seed: by_prompt(part, past, seed, text=True, context=False),
    }
    if named:
        policies = {
            "contexts, Thompson sampling at fixed prices": lambda part, seed: by_context(part, past, seed),
            "contexts, within a budget": lambda part, seed: by_prompt(part, past, seed, text=False, context=True),
            **policies,
            "contexts and text, within a budget": lambda part, seed: by_prompt(
                part, past, seed, text=True, context=True
            ),
            "contexts and text, Thompson sampling at fixed prices": lambda part, seed: by_prompt(
                part, past, seed, text=True, context=True, is_priced=True
            ),
            "true rates of contexts (hindsight)": lambda part, seed: in_hindsight(part, past),
        }
    policies |= {
        "argmax of moving averages (costs ignored)": lambda part, seed: by_argmax(part, past),
        "oracle (cheapest that is right)": lambda part, seed: oracle(part, past),
    }
    asked = f"{size - past:,} questions" + (f" after {past:,} with all outcomes" if past else ", from nothing")
    lines = [f"## {asked}, {len(data.names)} contexts, {orders} orders", ""]
    means = np.mean([data.outcomes[order[past:]].mean(axis=0) for order in shuffled], axis=0)
    for name, mean, cost in zip(data.models, means, costs_of(data), strict=True):
        lines.append(f"{name}: accuracy {mean:.3f} at cost {cost:g}")
    shown = (0.2, 0.5, 0.8)
    heads = ["policy", "area", *(f"accuracy at {share:.0%}" for share in shown), "or at its own cost"]
    lines += ["", f"| {' | '.join(heads)} |", f"|{'---|' * len(heads)}", _random_row(means, shown, len(heads))]
    for name, policy in policies.items():
        curves = []
        for seed, order in enumerate(shuffled):
            back = np.empty(size, dtype=int)
            back[order] = np.arange(size)
            curves.append(policy(data.take(order), seed)[:, back])
        if len(curves[0]) == 1:
            cost = np.mean([points(chosen, data, np.ones(size))[0][0] for chosen in curves])
            own = interval(lambda chosen, weight: float(points(chosen, data, weight)[1][0]), curves)
            cells = ["", *[""] * len(shown), f"{own} at {cost:.2f}"]
        else:
            cells = [interval(lambda chosen, weight: area(chosen, data, weight), curves)]
            cells += [f"{np.mean([_at(chosen, data, share) for chosen in curves]):.3f}" for share in shown]
            cells.append("")
        lines.append(f"| {' | '.join([name, *cells])} |")
    return lines


def _random_row(means: np.ndarray, shown: Sequence[float], width: int) -> str:
    cheap, dear = means[[0, -1]]
    cells = ["random mixture", "0.500", *(f"{cheap + share * (dear - cheap):.3f}" for share in shown)]
    return f"| {' | '.join(cells + [''] * (width - len(cells)))} |"


def _at(chosen: np.ndarray, data: Recorded, share: float) -> float:
    """The accuracy at a share of dear calls, between the points of the curve."""
    weight = np.ones(chosen.shape[1])
    cost, outcome = points(chosen, data, weight)
    cheap, dear = (weight * (chosen[0] >= 0) @ data.outcomes / (chosen[0] >= 0).sum())[[0, -1]]
    order = np.argsort(cost, kind="stable")
    return float(np.interp(share, np.r_[0, cost[order], 1], np.r_[cheap, outcome[order], dear]))
