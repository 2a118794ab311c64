"""Routing among simulated models, whose rates of success are known and drift."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[2] / "scripts"))

from dreamflow.routing.atp import atp_cost
from dreamflow.routing.choose import Option, decide
from dreamflow.routing.table import Cell, RoutingSettings, State, Table
from dreamflow.trust.online import OnlineTrust
from dreamflow.trust.posterior import EVERY, moving_average, posteriors

MODELS = (Option("tiny", "sensory", 1), Option("small", "tactical", 2.5), Option("medium", "specialized", 6),
          Option("large", "strategic", 12), Option("huge", "strategic", 20))  # fmt: skip
CONTEXTS = ("stable", "moving", "unstable", "novel")
MIX = (0.4, 0.3, 0.2, 0.1)
ABLE = (0, 1, 2, 4)  # the first model that is able in each context
WORDS = 40  # of a prompt
ATP_VALUE, MULTIPLIER = 0.005, 1.0
DRIFTS = (0.4, 0.7)  # shares of the tasks
LEARNT, WINDOW, CYCLE = 2000, 100, 10
RESAMPLES = 2000
COSTS = np.array([atp_cost(model.atp, WORDS) for model in MODELS])
LAYERS = {model.model_id: model.layer for model in MODELS}


class World(NamedTuple):
    """The context of each task, the rate of each model in it, and the tasks at which a rate drops."""

    contexts: np.ndarray
    rates: np.ndarray  # tasks x models
    drifts: tuple[int, ...]


class Run(NamedTuple):
    """What a policy achieved: the rate and the ATP of the model that it chose, for each task."""

    rate: np.ndarray
    atp: np.ndarray


def world(tasks: int, seed: int) -> World:
    """Able models are right in 94 to 95% of the tasks of a context, others in 20 to 75%. All rates drift slowly by up
    to 2 points; twice, the best model in a context drops to 30 to 50%, and there the next costlier one is able."""
    random = np.random.default_rng(seed)
    able = np.arange(len(MODELS))[None, :] >= np.array(ABLE)[:, None]
    rates = np.where(able, random.uniform(0.94, 0.95, able.shape), random.uniform(0.2, 0.75, able.shape))
    contexts = random.choice(len(CONTEXTS), tasks, p=MIX)
    per_task, drifts = np.empty((tasks, len(MODELS))), tuple(int(share * tasks) for share in DRIFTS)
    slope = random.uniform(-0.02, 0.02, able.shape)
    hit = random.permutation(3)  # never the context in which only the costliest is able
    for begin, end in zip((0, *drifts), (*drifts, tasks), strict=True):
        if begin:
            context = hit[drifts.index(begin)]
            best = int(np.argmax(MULTIPLIER * rates[context] - ATP_VALUE * COSTS))
            rates = rates.copy()
            rates[context, best] = random.uniform(0.3, 0.5)
        at = np.arange(begin, end)
        per_task[at] = np.clip(rates[contexts[at]] + slope[contexts[at]] * (at / tasks)[:, None], 0.02, 0.98)
    return World(contexts, per_task, drifts)


def learn(tasks: World, seed: int) -> tuple[Run, int]:
    """The router of this project, with online trust; and how many changes of models it found."""
    random = np.random.default_rng(seed + 1000)
    trust = OnlineTrust(LAYERS, CONTEXTS)
    chosen = np.empty(len(tasks.contexts), dtype=int)
    ids = [model.model_id for model in MODELS]
    outcomes = random.random(tasks.rates.shape) < tasks.rates
    decisions: dict[int, object] = {}
    for at, context in enumerate(tasks.contexts):
        if at % CYCLE == 0:
            decisions.clear()
        if context not in decisions:
            decisions[context] = decide(_table(trust, CONTEXTS[context]), CONTEXTS[context], WORDS, MODELS)
        model = decisions[context].pick(f"{seed}/{at}")
        chosen[at] = ids.index(model)
        if trust.observe(model, CONTEXTS[context], float(outcomes[at, chosen[at]])):
            decisions.clear()
    return _run(tasks, chosen), len(trust.changes)


def _table(trust: OnlineTrust, context: str) -> Table:
    cells = []
    for model in MODELS:
        alpha, beta = trust.cells[model.model_id, context]
        n = sum(trust.counts.get((model.model_id, context), (0, 0)))
        cells.append(Cell(model.model_id, context, "exact", alpha, beta, n, alpha / (alpha + beta), 0, 1))
    return Table(0, State("wake", 1000, MULTIPLIER), RoutingSettings(0, ATP_VALUE, ["exact"]), {}, cells)


def _run(tasks: World, chosen: np.ndarray) -> Run:
    return Run(np.take_along_axis(tasks.rates, chosen[:, None], axis=1)[:, 0], COSTS[chosen])


def utility(run: Run) -> np.ndarray:
    """The expected value of each answer."""
    return MULTIPLIER * run.rate - ATP_VALUE * run.atp


def oracle(tasks: World) -> Run:
    """The model of the greatest value by the true rates."""
    return _run(tasks, np.argmax(MULTIPLIER * tasks.rates - ATP_VALUE * COSTS, axis=1))


def argmax(tasks: World, seed: int) -> Run:
    """The original rule: the highest moving average in the context; ties in the order of capability."""
    random = np.random.default_rng(seed + 1000)
    trust = np.full((len(CONTEXTS), len(MODELS)), 0.5)
    chosen = np.empty(len(tasks.contexts), dtype=int)
    for at, context in enumerate(tasks.contexts):
        chosen[at] = len(MODELS) - 1 - int(np.argmax(trust[context][::-1]))
        outcome = float(random.random() < tasks.rates[at, chosen[at]])
        trust[context, chosen[at]] = moving_average(trust[context, chosen[at]], outcome)
    return _run(tasks, chosen)


def recovery(run: Run, best: Run, drift: int) -> float:
    """Tasks after a drift until the next WINDOW ones reach 95% of the utility of the oracle."""
    mine, ideal = utility(run), utility(best)
    for begin in range(drift, len(mine) - WINDOW):
        if mine[begin : begin + WINDOW].sum() >= 0.95 * ideal[begin : begin + WINDOW].sum():
            return begin - drift
    return len(mine) - drift


def covered(seed: int) -> list[bool]:
    """Whether 90% intervals hold the true rates, of models whose evidence comes in very unequal amounts."""
    random = np.random.default_rng(seed)
    layers = {f"model-{number}": ("sensory", "tactical", "strategic")[number % 3] for number in range(6)}
    between_contexts, between_models = random.choice([5, 10, 20, 40]), random.choice([4, 8, 16])
    at_layer = {layer: random.beta(3, 2) for layer in set(layers.values())}
    counts, rates = {}, {}
    for model, layer in layers.items():
        mean = random.beta(between_models * at_layer[layer], between_models * (1 - at_layer[layer]))
        for context in (*CONTEXTS, EVERY):
            rate = random.beta(between_contexts * mean, between_contexts * (1 - mean))
            rates[model, context] = rate
            if context != EVERY:
                size = int(random.integers(1, 100))
                right = int(random.binomial(size, rate))
                counts[model, context] = right, size - right
    known = posteriors(counts, layers)
    return [known[key].low <= rate <= known[key].high for key, rate in rates.items()]


def report(tasks: int, seeds: int) -> list[str]:
    """The lines of a table: means over the seeds, with 90% bootstrap intervals."""
    worlds = [world(tasks, seed) for seed in range(seeds)]
    best = [oracle(one) for one in worlds]
    learnt = [learn(one, seed) for seed, one in enumerate(worlds)]
    runs = {
        "oracle (true rates)": best,
        "router, online": [run for run, _ in learnt],
        "argmax of moving averages (costs ignored)": [argmax(one, seed) for seed, one in enumerate(worlds)],
        "random": [Run(one.rates.mean(axis=1), np.full(tasks, COSTS.mean())) for one in worlds],
        **{
            f"{model.model_id} ({model.atp:g} ATP)": [_run(one, np.full(tasks, number)) for one in worlds]
            for number, model in enumerate(MODELS)
        },
    }
    head = ["policy", "success", "ATP per task", f"utility after {LEARNT:,} tasks", "of the oracle's"]
    lines = [f"## {tasks:,} tasks, {len(MODELS)} models, {len(CONTEXTS)} contexts, {seeds} seeds", ""]
    lines += [f"| {' | '.join(head)} |", f"|{'---|' * len(head)}"]
    for name, mine in runs.items():
        late = [utility(run)[LEARNT:].mean() for run in mine]
        share = [u / utility(ideal)[LEARNT:].mean() for u, ideal in zip(late, best, strict=True)]
        cells = [_interval([run.rate.mean() for run in mine]), _interval([run.atp.mean() for run in mine], 2)]
        lines.append(f"| {' | '.join([name, *cells, _interval(late), _interval(share)])} |")
    router, costliest = runs["router, online"], runs[f"{MODELS[-1].model_id} ({MODELS[-1].atp:g} ATP)"]
    pairs = list(zip(router, costliest, strict=True))
    lines += ["", f"best single: {MODELS[-1].model_id}"]
    lines.append(
        f"ATP saved against it: {_interval([1 - a.atp.mean() / b.atp.mean() for a, b in pairs])} (at least .6)"
    )
    lost = [b.rate.mean() - a.rate.mean() for a, b in pairs]
    lines.append(f"success lost against it: {_interval(lost, 4)} (at most .01)")
    after = [recovery(run, ideal, d) for run, ideal, one in zip(router, best, worlds, strict=True) for d in one.drifts]
    lines.append(f"tasks to recover from a drift: {_interval(after, 0)}, at most {max(after):.0f} (at most 300)")
    false = sum(found for _, found in learnt) / seeds
    lines.append(f"changes found per run: {false:.1f} ({len(DRIFTS)} abrupt ones, and slow drift)")
    hits = [float(np.mean(covered(seed))) for seed in range(40 * seeds)]
    lines.append(f"90% intervals that hold the true rate: {_interval(hits)} (.88 to .92)")
    return lines


def _interval(values: Sequence[float], digits: int = 3) -> str:
    random = np.random.default_rng(0)
    sample = np.asarray(values, dtype=float)
    means = sample[random.integers(0, len(sample), (RESAMPLES, len(sample)))].mean(axis=1)
    low, high = np.quantile(means, (0.05, 0.95))
    return f"{sample.mean():.{digits}f} ({low:.{digits}f}-{high:.{digits}f})"
