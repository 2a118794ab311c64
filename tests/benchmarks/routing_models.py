"""What routing saves on tasks of this project, with recorded answers of real models.

Run: python tests/benchmarks/routing_models.py [--tasks all|written|generated] [--contexts kind|rules|kind+rules]
         [--orders 10] [--atp-value 0.01 ...]
     python tests/benchmarks/routing_models.py --record      (how routing_models_record.py recorded the answers)

tests/benchmarks/data/probe_outcomes.csv.gz has the graded answers of the `WAYS` to 150 tasks. Policies, of which those
called online learn while they answer, from nothing: each task once, in random order, and they see only the outcome of
the way that they chose (graded strictly), after cycles of 20 tasks. Contexts are the kinds of tasks, or what --contexts
says.

- each way alone (plain and student cost the least ATP); random; the oracle: the cheapest way that solves the task, or
  the cheapest of all if none does;
- argmax: the original rule: the highest moving average of outcomes (eta .1, from .5) in the context, ties in the order
  of the ways, costs ignored;
- Thompson: the router of this project, with the worth of an ATP in successes (`trust.atp_value`);
- Thompson after probes: the same, when a half of the tasks was answered by all ways before (groups of tasks are never
  in both halves), which `snakemake probe` does; its ATP for these answers do not count;
- cascade: the cheapest way first, then the next, until an answer is accepted: by its form (what the task asks for, such
  as one of the labels; the right answer is not used), because a second drawn answer is the same, or by the grader;
  the last way is accepted as it is. All answers count.

ATP, tokens and seconds are means per task. A strict success passes the task's grader, a lenient one is found in the
text by a reader; above chance is (strict - chance) / (1 - chance). Seconds are of CPU (one thread), on a
machine with other work. 95% intervals: bootstrap over groups of tasks (a group is a template, or a task by a person).
"""

import argparse
import csv
import gzip
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[2] / "scripts"))

from dreamflow.routing.choose import Option, decide
from dreamflow.routing.contexts import classify
from dreamflow.routing.table import Cell, RoutingSettings, State, Table
from dreamflow.trust.posterior import posteriors

FILE = Path(__file__).parent / "data" / "probe_outcomes.csv.gz"
WAYS = {
    "plain": "SmolLM2-135M",
    "student": "the distilled student",
    "shown": "SmolLM2-135M, 4 examples",
    "coder": "Qwen2.5-Coder-1.5B",
}
BASE_ATP = {"plain": 0.5, "student": 0.5, "shown": 0.5, "coder": 1.5}
LAYERS = {"plain": "sensory", "student": "sensory", "shown": "sensory", "coder": "tactical"}
MEASURES = ("atp", "strict", "lenient", "chance", "tokens", "cpu")
CYCLE = 20  # tasks after which a learning policy sees the outcomes
RESAMPLES = 2000


# --- the recorded answers


class Answers:
    """The recorded answers: arrays (tasks, ways) by name of the measure, and columns of the tasks."""

    def __init__(self, rows: Sequence[dict[str, str]], contexts: str) -> None:
        by_task: dict[str, dict[str, dict[str, str]]] = {}
        for row in rows:
            by_task.setdefault(row["task_id"], {})[row["way"]] = row
        tasks = [ways for ways in by_task.values() if ways.keys() >= WAYS.keys()]
        first = [ways["plain"] for ways in tasks]
        self.kinds = np.array([row["kind"] for row in first])
        self.groups = np.array([row["group"] for row in first])
        self.contexts = [context_of(row, contexts) for row in first]
        numbers = ("atp", "strict", "lenient", "chance", "form", "words", "cpu_seconds")
        self.of = {name: np.array([[float(ways[way][name]) for way in WAYS] for ways in tasks]) for name in numbers}
        self.of["cpu"] = self.of.pop("cpu_seconds")
        tokens = ("prompt_tokens", "completion_tokens")
        self.of["tokens"] = np.array(
            [[sum(int(ways[way][t]) for t in tokens) for way in WAYS] for ways in tasks], float
        )
        # The second answer of a way, drawn for the agreement; the last way has none.
        self.agrees = np.array([[float(ways[way]["agrees"] or 0) for way in WAYS] for ways in tasks])
        again = ("second_tokens", "second_cpu_seconds")
        self.again = [np.array([[float(ways[way][name] or 0) for way in WAYS] for ways in tasks]) for name in again]

    def __len__(self) -> int:
        return len(self.kinds)


def context_of(row: Mapping[str, str], by: str) -> str:
    """Return the context of a task by its kind, by the rules for its prompt, or by both."""
    return "/".join(row["kind"] if part == "kind" else classify(row["prompt"])[0] for part in by.split("+"))


def read(source: str, contexts: str) -> Answers:
    """Read the file; `source` is all, written or generated, `contexts` kind, rules or kind+rules."""
    with gzip.open(FILE, "rt", encoding="utf-8", newline="") as file:
        return Answers([row for row in csv.DictReader(file) if source in ("all", row["source"])], contexts)


# --- policies: each returns the measures (tasks, len(MEASURES)), means over the orders if it learns


def taken(answers: Answers, shares: np.ndarray) -> np.ndarray:
    """Return the measures of a policy that takes a way with these shares (tasks, ways)."""
    return np.stack([(answers.of[name] * shares).sum(1) for name in MEASURES], 1)


def one_hot(choice: np.ndarray) -> np.ndarray:
    """Return shares of 1 for the chosen way of each task."""
    return np.eye(len(WAYS))[choice]


def oracle(answers: Answers) -> np.ndarray:
    """Return the cheapest way that solves each task; the cheapest of all if none does."""
    value = answers.of["strict"] * 1e6 - answers.of["atp"]
    return one_hot(value.argmax(1))


# A learning policy: (answers, the tasks in their order, seed) -> the way that it chooses for each task.
Policy = Callable[[Answers, np.ndarray, int], np.ndarray]


def argmax(answers: Answers, order: np.ndarray, _seed: int) -> np.ndarray:
    """Return the choices of the original rule."""
    trust: dict[str, np.ndarray] = {}
    choice = np.zeros(len(answers), int)
    for task in order:
        mean = trust.setdefault(answers.contexts[task], np.full(len(WAYS), 0.5))
        chosen = choice[task] = mean.argmax()
        mean[chosen] += 0.1 * (answers.of["strict"][task, chosen] - mean[chosen])
    return choice


def thompson(atp_value: float, past: Sequence[int] = ()) -> Policy:
    """Return the router of this project; `past` are tasks of which it knows the outcomes of all ways."""

    def choose(answers: Answers, order: np.ndarray, seed: int) -> np.ndarray:
        counts: dict[tuple[str, str], list[float]] = {}

        def count(task: int, way: int) -> None:
            cell = counts.setdefault((list(WAYS)[way], answers.contexts[task]), [0, 0])
            cell[int(not answers.of["strict"][task, way])] += 1

        for task in past:
            for way in range(len(WAYS)):
                count(task, way)
        choice = np.zeros(len(answers), int)
        for start in range(0, len(order), CYCLE):
            known = routing_table(counts, atp_value)
            tasks = order[start : start + CYCLE]
            for task in tasks:
                words = answers.of["words"][task]
                options = [
                    Option(way, LAYERS[way], BASE_ATP[way], int(words[n] - words[0])) for n, way in enumerate(WAYS)
                ]
                decision = decide(known, answers.contexts[task], int(words[0]), options)
                choice[task] = list(WAYS).index(decision.pick(f"{seed}:{task}"))
            for task in tasks:
                count(task, choice[task])
        return choice

    return choose


def routing_table(counts: Mapping[tuple[str, str], Sequence[float]], atp_value: float) -> Table | None:
    """Return the routing table after these successes and failures, as the family trust writes it."""
    if not counts:
        return None
    cells = [
        Cell(model_id, context, "exact", one.alpha, one.beta, one.n, one.mean, one.low, one.high)
        for (model_id, context), one in posteriors({place: tuple(c) for place, c in counts.items()}, LAYERS).items()
    ]
    return Table(1, State("wake", 100, 1), RoutingSettings(5, atp_value, ["exact"]), {}, cells)


def cascade(answers: Answers, accepts: np.ndarray, ways: Sequence[int], *, twice: bool = False) -> np.ndarray:
    """Return the measures of asking `ways` in turn until an answer is accepted. With `twice` every way but the last is
    asked for a second answer, of the same ATP."""
    open_ = np.ones(len(answers), bool)
    total = np.zeros((len(answers), len(MEASURES)))
    for place, way in enumerate(ways):
        last = place == len(ways) - 1
        for name in ("atp", "tokens", "cpu"):
            cost = answers.of[name][:, way].copy()
            if twice and not last:
                if name == "atp":
                    cost *= 2
                elif name == "tokens":
                    cost += answers.again[0][:, way]
                else:
                    cost += answers.again[1][:, way]
            total[open_, MEASURES.index(name)] += cost[open_]
        done = open_ & (np.ones(len(answers), bool) if last else accepts[:, way] > 0)
        for name in ("strict", "lenient", "chance"):
            total[done, MEASURES.index(name)] = answers.of[name][done, way]
        open_ &= ~done
    return total


def online(answers: Answers, policy: Policy, orders: int) -> np.ndarray:
    """Return the measures of a learning policy, as means over random orders."""
    shares = np.zeros((len(answers), len(WAYS)))
    for seed in range(orders):
        order = np.random.default_rng(seed).permutation(len(answers))
        shares += one_hot(policy(answers, order, seed))
    return taken(answers, shares / orders)


def after_probes(answers: Answers, atp_value: float, orders: int) -> np.ndarray:
    """Return the measures of the router on each half of the groups, when it knows the other half."""
    shares = np.zeros((len(answers), len(WAYS)))
    names = np.unique(answers.groups)
    for seed in range(orders):
        random = np.random.default_rng(seed)
        mine = np.isin(answers.groups, random.permutation(names)[: len(names) // 2])
        for half in (mine, ~mine):
            order = random.permutation(np.flatnonzero(half))
            choice = thompson(atp_value, np.flatnonzero(~half))(answers, order, seed)
            shares[half] += one_hot(choice)[half]
    return taken(answers, shares / orders)


# --- the table


def policies(answers: Answers, orders: int, atp_values: Sequence[float]) -> dict[str, np.ndarray]:
    """Return the measures of all policies by name."""
    ways = list(WAYS)
    rows = {
        f"{name} ({way})": taken(answers, one_hot(np.full(len(answers), n)))
        for n, (way, name) in enumerate(WAYS.items())
    }
    rows["random"] = taken(answers, np.full((len(answers), len(ways)), 1 / len(ways)))
    rows["argmax of moving averages, online"] = online(answers, argmax, orders)
    for value in atp_values:
        rows[f"Thompson, atp_value {value:g}, online"] = online(answers, thompson(value), orders)
        rows[f"Thompson, atp_value {value:g}, after probes"] = after_probes(answers, value, orders)
    everything, two = [0, 1, 2, 3], [ways.index("student"), ways.index("coder")]
    rows["cascade of all, by form"] = cascade(answers, answers.of["form"], everything)
    rows["cascade student, coder, by form"] = cascade(answers, answers.of["form"], two)
    rows["cascade student, coder, by agreement"] = cascade(answers, answers.agrees, two, twice=True)
    rows["cascade student, coder, by grader"] = cascade(answers, answers.of["strict"], two)
    rows["cascade of all, by grader"] = cascade(answers, answers.of["strict"], everything)
    rows["oracle"] = taken(answers, oracle(answers))
    return rows


def summary(measures: np.ndarray) -> np.ndarray:
    """Return (..., ATP, strict, lenient, above chance, tokens, cpu) of means (..., MEASURES)."""
    atp, strict, lenient, chance, tokens, cpu = np.moveaxis(measures, -1, 0)
    return np.stack([atp, strict, lenient, (strict - chance) / (1 - chance), tokens, cpu], -1)


def resampled(answers: Answers) -> np.ndarray:
    """Return weights (RESAMPLES, tasks) of the tasks: groups drawn with replacement, their sum is 1."""
    _, member = np.unique(answers.groups, return_inverse=True)
    n = member.max() + 1
    counts = np.random.default_rng(0).multinomial(n, np.full(n, 1 / n), RESAMPLES)[:, member]
    return counts / counts.sum(1, keepdims=True)


def interval(values: np.ndarray, digits: int = 2, scale: float = 1) -> str:
    """Return the 95% interval of bootstrapped values as text."""
    low, high = np.percentile(values * scale, (2.5, 97.5))
    return f"[{low:.{digits}f}, {high:.{digits}f}]"


def table(answers: Answers, rows: dict[str, np.ndarray]) -> str:
    """Return the table as Markdown: each policy, and its ATP and strict successes against the best single way."""
    weights = resampled(answers)
    best = max(list(rows)[: len(WAYS)], key=lambda name: rows[name][:, 1].mean())
    drawn_best = summary(weights @ rows[best])
    lines = [
        "| policy | ATP | strict % | lenient % | above chance % | tokens | CPU s | ATP saved % | points of strict |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for name, measures in rows.items():
        mean, drawn = summary(measures.mean(0)), summary(weights @ measures)
        cells = [f"{mean[0]:.2f} {interval(drawn[:, 0])}"]
        cells += [f"{100 * mean[i]:.1f} {interval(drawn[:, i], 0, 100)}" for i in (1, 2, 3)]
        cells += [f"{mean[4]:.0f}", f"{mean[5]:.2f}"]
        saved, gained = 1 - drawn[:, 0] / drawn_best[:, 0], drawn[:, 1] - drawn_best[:, 1]
        mean_best = summary(rows[best].mean(0))
        cells += [f"{100 * (1 - mean[0] / mean_best[0]):.0f} {interval(saved, 0, 100)}"]
        cells += [f"{100 * (mean[1] - mean_best[1]):+.1f} {interval(gained, 1, 100)}"]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join([f"{len(answers)} tasks; best single: {best}", "", *lines])


def by_kind(answers: Answers) -> str:
    """Return the strict and lenient successes of each way and kind."""
    lines = ["| kind | tasks | chance % | " + " | ".join(f"{way}: strict, lenient %" for way in WAYS) + " |"]
    lines.append("|---|---|---|" + "---|" * len(WAYS))
    for kind in np.unique(answers.kinds):
        rows = answers.kinds == kind
        shares = zip(answers.of["strict"][rows].mean(0), answers.of["lenient"][rows].mean(0), strict=True)
        chance = answers.of["chance"][rows].mean()
        cells = [f"{100 * strict:.0f}, {100 * lenient:.0f}" for strict, lenient in shares]
        lines.append(f"| {kind} | {rows.sum()} | {100 * chance:.0f} | {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tasks", choices=("all", "written", "generated"), default="all")
    parser.add_argument("--contexts", choices=("kind", "rules", "kind+rules"), default="kind")
    parser.add_argument("--orders", type=int, default=10, help="random orders of the tasks")
    parser.add_argument("--atp-value", type=float, nargs="+", default=[0.01, 0.1, 0.3])
    parser.add_argument("--record", action="store_true", help="print how the answers were recorded")
    options = parser.parse_args()
    if options.record:
        import routing_models_record

        print(routing_models_record.__doc__)
        return
    answers = read(options.tasks, options.contexts)
    print(by_kind(answers), table(answers, policies(answers, options.orders, options.atp_value)), sep="\n\n")


if __name__ == "__main__":
    main()
