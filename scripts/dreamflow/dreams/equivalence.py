"""Compare the behaviour of a variant with its original. Both run in a sandbox on the same inputs; each call is compared
by result or exception, arguments after the call, calls of the declared fakes, files, and printed text.

All of the result except `seconds` and `seconds_ratio` is the same for the same programs, inputs and seed.
"""

import ast
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from keyword import iskeyword
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from msgspec import Struct

from ..errors import ConfigError, DreamflowError
from ..generation.model import Json
from ..pyanalysis.source import parse_python
from ..sandbox.isolation import TOOLS, Binds, Isolation, Limits, isolation, run_isolated
from ..sandbox.runs import OUTCOMES, STUCK, Difference, Run, compare, is_usable, run_calls
from .procedure import Procedure
from .smaller import smaller

_MOST_STUCK = 3  # calls that meet a limit, after which the program is not called again
_ROUNDS, _A_ROUND = 5, 8  # rounds that reduce a counterexample, and calls in each
_SHOWN = 300  # characters of a text in a counterexample

_MISSING = (
    ". If an environment of your project has it, name it in the card: `python: path/to/.venv`; if it is a module of "
    "your project, name its file in `neighbours`"
)

TELLING_S = 0.005  # a shorter call says nothing about speed: the fakes answer at once


class Counterexample(Struct, frozen=True):
    """A call on which a variant and its original differ, the aspect, and the behaviour of both."""

    call: str
    aspect: str
    original: str
    variant: str


class Trial(Struct, frozen=True):
    """The comparison of a variant with its original: `outcome` is one of `sandbox.runs.OUTCOMES`."""

    outcome: str
    reason: str
    inputs_run: int = 0
    agreeing: int = 0
    counterexample: Counterexample | None = None
    seconds_ratio: float | None = None


class OriginalTrial(Struct, frozen=True):
    """The behaviour of the original: `status` is steady, flaky or an outcome, `not_used` has the reason for each call
    that cannot be compared, `tried` are its forbidden attempts."""

    status: str
    reason: str
    seconds: float | None = None
    not_used: dict[str, str] = {}
    tried: list[str] = []


class Trials(Struct, frozen=True):
    """The tests of a procedure's variants, by id. `isolation` is the tool, `inputs` are the compared calls as Python
    text."""

    isolation: str | None
    inputs: list[str]
    original: OriginalTrial
    variants: dict[str, Trial]


@dataclass(frozen=True)
class _Bench:
    """A sandbox, the job that all compared programs share, and the original's runs on reduced inputs."""

    way: Isolation
    limits: Limits
    job: Mapping[str, Json]
    original: str
    binds: Binds = ()
    steady: dict[str, Run | None] = field(default_factory=dict)

    def run(self, source: str, calls: Sequence[str], most_stuck: int = _MOST_STUCK) -> list[Run]:
        """The runs of a program's calls in order; fewer after `most_stuck` calls that meet a limit."""
        runs: list[Run] = []
        while len(runs) < len(calls) and sum(run["ended"] in STUCK for run in runs) < most_stuck:
            runs += run_calls({**self.job, "source": source}, calls[len(runs) :], self.limits, self.way, self.binds)
        return runs

    def inputs(self, count: int, seed: int) -> list[str]:
        """Generated calls as text; empty if the module cannot be loaded, which its first call will report."""
        limits = replace(self.limits, seconds=max(30.0, self.limits.seconds), memory_mb=max(512, self.limits.memory_mb))
        job = {**self.job, "task": "inputs", "source": self.original, "calls": [""], "count": count, "seed": seed}
        finished = run_isolated(job, limits, self.way, limits.seconds, self.binds)
        try:
            return [str(text) for text in json.loads(finished.stdout)["report"]["inputs"]]
        except (ValueError, KeyError, TypeError):
            output = f"{finished.stdout}{finished.stderr}".strip()[-500:] or finished.ended
            raise DreamflowError(f"no inputs could be generated for {self.job['entry']}: {output}") from None

    def steady_runs(self, calls: Sequence[str]) -> dict[str, Run]:
        """The original's runs on `calls`, without those that are not repeatable or meet a limit."""
        new = [call for call in calls if call not in self.steady]
        self.steady.update(dict.fromkeys(new))
        if new:
            first = dict(zip(new, self.run(self.original, new), strict=False))
            usable = [call for call, run in first.items() if is_usable(run)]
            second = zip(usable, self.run(self.original, usable), strict=False)
            self.steady.update({call: first[call] for call, run in second if compare(first[call], run) is None})
        return {call: self.steady[call] for call in calls if self.steady[call] is not None}


def test_procedure(
    procedure: Procedure,
    variants: Mapping[str, str],
    *,
    inputs: int,
    seed: int,
    limits: Limits,
    safe: Mapping[str, bool] | None = None,
    tools: Sequence[str] = TOOLS,
) -> Trials:
    """Compare variants (id -> source of the module) with the original, on about `inputs` calls of the card and the
    generator. `safe` has the variants that claim the same behaviour. Raises `ConfigError` for an invalid card."""
    way = isolation(tuple(tools))
    if isinstance(way, str):
        reason = f"no sandbox can be made here: {way}"
        return _untested(None, [], OriginalTrial("untested", reason), variants)
    with TemporaryDirectory(prefix="dreamflow-") as folder:
        binds = procedure.surroundings.binds(Path(folder)) if procedure.surroundings else ()
        bench = _Bench(way, limits, _job(procedure), procedure.source, binds)
        runs, original = _original(bench, procedure, inputs, seed)
        if not runs or original.status == "flaky":
            return _untested(way, list(runs), original, variants)
        claims = safe or {}
        trials = {name: _tried(bench, source, runs, claims.get(name, False)) for name, source in variants.items()}
        return Trials(str(way), list(runs), original, trials)


test_procedure.__test__ = False  # not a test of pytest


def _untested(way: Isolation | None, calls: list[str], original: OriginalTrial, variants: Iterable[str]) -> Trials:
    """The result if no variant was run, because of the original."""
    outcome = "flaky original" if original.status == "flaky" else "untested"
    trials = {name: Trial(outcome, original.reason) for name in variants}
    return Trials(str(way) if way else None, calls, original, trials)


def _original(bench: _Bench, procedure: Procedure, inputs: int, seed: int) -> tuple[dict[str, Run], OriginalTrial]:
    """The calls that can be compared, with the original's runs on them, and its status."""
    card = [_call(procedure, given) for given in procedure.inputs]
    wanted = max(0, inputs - len(card)) if procedure.generate else 0
    first = dict(zip(card, bench.run(bench.original, card, most_stuck=len(card) + 1), strict=True))
    _check_card(procedure, first)
    if wanted:
        generated = [call for call in bench.inputs(wanted, seed) if call not in first] or [f"{procedure.entry}()"]
        drawn = dict(zip(generated, bench.run(bench.original, generated), strict=False))
        _check_card(procedure, {call: run for call, run in drawn.items() if run["phase"] != "input"})
        first.update(_chosen(drawn, wanted))
    for run in first.values():
        if run["phase"] in ("syntax", "load"):
            kind = "syntax" if run["phase"] == "syntax" else "runtime"
            advice = _MISSING if "ModuleNotFoundError" in run["says"] else ""
            return {}, OriginalTrial(kind, f"the original cannot be loaded: {run['says']}{advice}")
    not_used = {call: run["says"] for call, run in first.items() if not is_usable(run)}
    usable = [call for call in first if call not in not_used]
    second = dict(zip(usable, bench.run(bench.original, usable), strict=False))
    steady = {call: first[call] for call in second if compare(first[call], second[call]) is None}
    not_used.update({call: "behaves differently from one run to the next" for call in usable if call not in steady})
    bench.steady.update({call: steady.get(call) for call in first})
    seconds = [run["seconds"] for run in steady.values() if run["seconds"] is not None]
    tried = list(dict.fromkeys(attempt for run in first.values() for attempt in run["attempts"]))
    seen = (median(seconds) if seconds else None, not_used, tried)
    if not first:
        return {}, OriginalTrial("untested", "the card has no inputs, and none are generated", *seen)
    if 2 * len(steady) < len(usable):
        reason = f"the original behaves differently from one run to the next on {len(usable) - len(steady)} of "
        return steady, OriginalTrial("flaky", f"{reason}{len(usable)} inputs", *seen)
    if not steady:
        status = next((run["ended"] for run in first.values() if run["ended"] in STUCK), "runtime")
        return {}, OriginalTrial(status, f"no input can be used: the original {min(not_used.values())}", *seen)
    return steady, OriginalTrial("steady", f"the same twice on {len(steady)} inputs", *seen)


def _chosen(runs: Mapping[str, Run], wanted: int) -> dict[str, Run]:
    """`wanted` generated calls: first those that the original accepts, then at most a third that raise, or more if the
    others are too few. Without either, the first unusable call, whose run says why."""
    returns = [call for call, run in runs.items() if run["ended"] == "returned"]
    raises = [call for call, run in runs.items() if run["ended"] == "raised" and run["phase"] == "call"]
    raising = max(min(wanted // 3, len(raises)), wanted - len(returns))
    kept = {*returns[: wanted - min(raising, len(raises))], *raises[:raising]} or {*list(runs)[:1]}
    return {call: run for call, run in runs.items() if call in kept}


def _check_card(procedure: Procedure, runs: Mapping[str, Run]) -> None:
    for call, run in runs.items():
        if run["kind"] == "card":
            raise ConfigError(f"{procedure.card}: {run['error'].partition(': ')[2]}")
        if run["phase"] == "input":
            raise ConfigError(f"{procedure.card}: inputs: {call}: {run['error']}")


def _job(procedure: Procedure) -> dict[str, Json]:
    """The job that all runs of the procedure share, as plain JSON; values are Python expressions as text."""
    effects = procedure.effects
    reads = [name for name in effects if all(word.startswith("read:") for word in effects[name])]
    tree = parse_python(procedure.source)
    imported = [alias.name for node in tree.body if isinstance(node, ast.Import) for alias in node.names]
    imported += [node.module for node in tree.body if isinstance(node, ast.ImportFrom) and node.module]
    return {
        "entry": procedure.entry,
        "fakes": {name: _behaviour(behaviour, procedure) for name, behaviour in procedure.fakes.items()},
        "files": dict(procedure.files),
        "unordered": reads,
        "preload": procedure.surroundings.external if procedure.surroundings else imported,
        **({"place": procedure.surroundings.job()} if procedure.surroundings else {}),
    }


def _behaviour(behaviour: Mapping[str, Json], procedure: Procedure) -> dict[str, Json]:
    if "sequence" in behaviour:
        return {"sequence": [_behaviour(item, procedure) for item in behaviour["sequence"]]}
    if "returns" in behaviour:
        return {"returns": _expression(behaviour["returns"], procedure)}
    return dict(behaviour)


def _call(procedure: Procedure, given: Mapping[str, Json]) -> str:
    """An input of the card as Python text."""
    args = [_expression(value, procedure) for value in given.get("args", ())]
    return f"{procedure.entry}({', '.join([*args, *_keywords(given.get('kwargs', {}), procedure)])})"


def _keywords(values: Mapping[str, Json], procedure: Procedure) -> list[str]:
    return [
        f"{name}={_expression(value, procedure)}"
        if name.isidentifier() and not iskeyword(name)
        else f"**{{{name!r}: {_expression(value, procedure)}}}"
        for name, value in values.items()
    ]


def _expression(value: Json, procedure: Procedure) -> str:
    """A value of the card as Python text: plain, {python: expression} or {attributes: {name: value}}."""
    if isinstance(value, Mapping) and set(value) == {"python"}:
        try:
            return ast.unparse(parse_python(str(value["python"]).strip(), mode="eval"))
        except SyntaxError as error:
            raise ConfigError(f"{procedure.card}: {value['python']!r} is no Python expression: {error.msg}") from None
    if isinstance(value, Mapping) and set(value) == {"attributes"}:
        return f"SimpleNamespace({', '.join(_keywords(value['attributes'], procedure))})"
    if isinstance(value, Mapping):
        items = (f"{key!r}: {_expression(item, procedure)}" for key, item in value.items())
        return f"{{{', '.join(items)}}}"
    if isinstance(value, list):
        return f"[{', '.join(_expression(item, procedure) for item in value)}]"
    return repr(value)


def _tried(bench: _Bench, source: str, originals: Mapping[str, Run], claimed_safe: bool) -> Trial:
    """The trial of one variant."""
    runs = dict(zip(originals, bench.run(source, list(originals)), strict=False))
    compared = {call: compare(originals[call], run) for call, run in runs.items()}
    differences = {call: difference for call, difference in compared.items() if difference is not None}
    agreeing = len(runs) - len(differences)
    pairs = [(run["seconds"], originals[call]["seconds"]) for call, run in runs.items()]
    ratios = [mine / its for mine, its in pairs if mine is not None and its and its >= TELLING_S]
    ratio = median(ratios) if ratios else None
    if not differences:
        return Trial("equivalent", f"behaves the same on {agreeing} inputs", len(runs), agreeing, None, ratio)
    outcome = min((difference.outcome for difference in differences.values()), key=OUTCOMES.index)
    call = min((c for c, d in differences.items() if d.outcome == outcome), key=lambda c: (len(c), c))
    if outcome in ("differs", "runtime", "type") and runs[call]["phase"] == "call":
        call, difference = _shrunk(bench, source, call, differences[call])
    else:
        difference = differences[call]
    claim = "was to behave the same, but: " if claimed_safe else ""
    reason = f"{claim}{_sentence(call, difference)} ({agreeing} of {len(runs)} inputs agree)"
    texts = _excerpts(difference.original, difference.variant, _SHOWN)
    counterexample = None if outcome == "syntax" else Counterexample(call, difference.aspect, *texts)
    return Trial(outcome, reason, len(runs), agreeing, counterexample, ratio)


def _shrunk(bench: _Bench, source: str, call: str, difference: Difference) -> tuple[str, Difference]:
    """A smaller call with the same outcome; each step takes the smallest call that keeps it."""
    for _ in range(_ROUNDS):
        texts = smaller(call)
        few = [texts[at * len(texts) // _A_ROUND] for at in range(_A_ROUND)] if len(texts) > _A_ROUND else texts
        originals = bench.steady_runs(few)  # large steps and small steps
        runs = zip(originals, bench.run(source, list(originals)), strict=False) if originals else ()
        compared = ((text, compare(originals[text], run)) for text, run in runs)
        better = next(((text, d) for text, d in compared if d is not None and d.outcome == difference.outcome), None)
        if better is None:
            break
        call, difference = better
    return call, difference


def _sentence(call: str, difference: Difference) -> str:
    call = call if len(call) <= 80 else f"{call[:80]}…"
    original, variant = _excerpts(difference.original, difference.variant, 80)
    if difference.aspect in ("outcome", "exception"):
        text = f"{call}: {variant}, where the original {original}"
    else:
        text = f"{call}: {difference.aspect} {variant or 'nothing'}, where the original has {original or 'nothing'}"
    return " ".join(text.split())


def _excerpts(first: str, second: str, longest: int) -> list[str]:
    """Both texts; long texts are cut to the part where they start to differ."""
    at = next((i for i, (a, b) in enumerate(zip(first, second, strict=False)) if a != b), min(len(first), len(second)))
    start = max(0, at - longest // 4) if max(len(first), len(second)) > longest else 0
    cut = [f"{'…' if start else ''}{text[start:]}" for text in (first, second)]
    return [text if len(text) <= longest else f"{text[:longest]}…" for text in cut]
