"""Adaptive tightening: the number of variants of each kind in the next cycle, from the results of the last cycles.

Of the variants of a kind with a tier, each in tier 1 counts as a success and each in tier 2 as half a success. Their
share s / n is shrunk towards a half, as if four more variants had been half successful (the posterior mean under a
Beta(2, 2) prior):

    p = (s + 2) / (n + 4),    limit = 2 * p * the strategy's number, rounded,

at least 1, so that every kind gets another chance, and at most twice the strategy's number. p = 1/2 gives the
strategy's number. Only the last three cycles count: procedures and models change.
"""

from collections.abc import Mapping, Sequence
from math import floor
from pathlib import Path
from typing import TYPE_CHECKING

import yaml
from msgspec import Struct, ValidationError

from ..errors import ConfigError
from ..files import read_text, write_atomic
from ..generation.model import from_json
from ..reports.markdown import count

if TYPE_CHECKING:
    from .health import Yield

CYCLES = 3
ENOUGH = 5  # variants with a tier; with fewer, a limit stays
_PRIOR = 2.0

Numbers = Mapping[str, int]  # by kind


class Limit(Struct, frozen=True):
    """The number of variants of a kind per procedure in a cycle, the number of ideas that previous cycles used, and the
    reason for the limit."""

    limit: int
    taken: int
    why: str


def next_limits(
    history: Sequence[Mapping[str, "Yield"]], limits: Numbers, strategy: Numbers, taken: Numbers
) -> dict[str, Limit]:
    """The limits of the next cycle, for every kind in `limits`.

    `history` has the yields of the cycles (`health.yields`), the newest last; `limits` the limits of the newest cycle;
    `strategy` the numbers by strategy and configuration, 0 for a kind that is switched off; `taken` the number of used
    ideas of a kind, after which the next cycle continues.
    """
    recent = history[-CYCLES:]
    judged = any(result.judged for cycle in recent for result in cycle.values())
    planned = {}
    for kind, limit in limits.items():
        results = [cycle[kind] for cycle in recent if kind in cycle]
        has_results = bool(recent) and kind in recent[-1]
        new, why = _next(results, limit, strategy[kind], judged=judged, has_results=has_results)
        planned[kind] = Limit(new, taken[kind], why)
    return planned


def _next(results: "list[Yield]", limit: int, usual: int, *, judged: bool, has_results: bool) -> tuple[int, str]:
    if not usual:
        return 0, "Switched off in the configuration."
    ceiling = 2 * usual
    kept = min(max(limit, 1), ceiling)
    first, second, third = (sum(getattr(result, f"tier_{tier}") for result in results) for tier in (1, 2, 3))
    n = first + second + third
    if not has_results:
        return kept, f"Stays at {kept}: the last cycle had no variant of this kind."
    if not judged:
        return kept, f"Stays at {kept}: without verdicts, no kind is known to be better."
    if n < ENOUGH:
        return kept, f"Stays at {kept}: only {count(n, 'variant')} with a tier, too few for a change."
    p = (first + second / 2 + _PRIOR) / (n + 2 * _PRIOR)
    new = min(max(floor(ceiling * p + 0.5), 1), ceiling)
    reached = f"of {count(n, 'variant')}, {first} reached tier 1, {second} tier 2 and {third} tier 3"
    if new == kept:
        return new, f"Stays at {new}: {reached}."
    return new, f"{'More' if new > kept else 'Fewer'}, {new} instead of {kept}: {reached}."


def write_next(planned: Mapping[str, Limit], path: Path | str) -> None:
    """Write next.yaml, from which the next cycle takes its limits: {limits: {kind: {limit, taken, why}}}."""
    lines = [
        "# The limits of the next cycle per procedure and kind; the night reads them when its `cycle` is one higher.",
        "# limit: number of variants, from 1 to twice the strategy's number. taken: ideas that previous cycles used.",
        "limits:" if planned else "limits: {}",
    ]
    for kind, limit in planned.items():
        lines += [f"  {kind}:", f"    limit: {limit.limit}", f"    taken: {limit.taken}"]
        lines.append("    why: " + yaml.safe_dump(limit.why, width=10_000).partition("\n")[0])
    write_atomic(path, "\n".join(lines) + "\n")


def read_next(path: Path) -> dict[str, Limit]:
    """The limits in a next.yaml. Raises a `ConfigError` that names a damaged file."""
    try:
        return from_json(yaml.safe_load(read_text(path))["limits"], dict[str, Limit])
    except (yaml.YAMLError, TypeError, KeyError, ValidationError) as error:
        raise ConfigError(f"{path}: damaged: {error}. Run the previous cycle again") from None
