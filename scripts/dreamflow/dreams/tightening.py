"""Adaptive tightening: how many variants of each kind the next cycle makes, from what the last ones brought.

Of the variants of a kind that have a tier, those in tier 1 count as successes and those in tier 2 as half of one.
Their share s / n is drawn towards a half, as if four more variants had been half successful (the posterior mean under
a Beta(2, 2) prior):

    p = (s + 2) / (n + 4),    limit = 2 * p * the strategy's number, rounded,

at least 1, so that every kind stays on trial, and at most twice the strategy's number. So p = 1/2 gives what the
strategy gives. Only the last three cycles count: procedures and models change.
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

if TYPE_CHECKING:
    from .health import Yield

CYCLES = 3
ENOUGH = 5  # variants with a tier, below which a limit stays as it is
_PRIOR = 2.0


class Limit(Struct, frozen=True):
    """How many variants of a kind a procedure gets in a cycle, how many of the kind's ideas earlier cycles used up, and
    why it is so many."""

    limit: int
    taken: int
    why: str


def next_limits(
    history: Sequence[Mapping[str, "Yield"]],
    limits: Mapping[str, int],
    strategy: Mapping[str, int],
    taken: Mapping[str, int],
) -> dict[str, Limit]:
    """The limits of the next cycle, for every kind in `limits`.

    `history` has the yields (`health.yields`) of the cycles so far, the newest last; `limits` the numbers of variants
    a procedure that were allowed in the newest; `strategy` the numbers that strategy and configuration give, 0 for a
    kind that is switched off; `taken` how many of a kind's ideas have been taken up by now, so that the next cycle
    goes on behind them.
    """
    recent = history[-CYCLES:]
    judged = any(one.judged for cycle in recent for one in cycle.values())
    result = {}
    for kind, limit in limits.items():
        found = [cycle[kind] for cycle in recent if kind in cycle]
        new, why = _next(found, limit, strategy[kind], judged, dreamt=bool(recent) and kind in recent[-1])
        result[kind] = Limit(new, taken[kind], why)
    return result


def _next(found: "list[Yield]", limit: int, usual: int, judged: bool, *, dreamt: bool) -> tuple[int, str]:
    if not usual:
        return 0, "Switched off in the configuration."
    ceiling = 2 * usual
    kept = min(max(limit, 1), ceiling)
    first, second, third = (sum(getattr(one, f"tier_{tier}") for one in found) for tier in (1, 2, 3))
    n = first + second + third
    if not dreamt:
        return kept, f"Stays at {kept}: the last cycle had no variant of this kind."
    if not judged:
        return kept, f"Stays at {kept}: nothing has been judged, so no kind is known to be better."
    if n < ENOUGH:
        return kept, f"Stays at {kept}: {_variants(n)} with a tier {'is' if n == 1 else 'are'} too few to go by."
    p = (first + second / 2 + _PRIOR) / (n + 2 * _PRIOR)
    new = min(max(floor(ceiling * p + 0.5), 1), ceiling)
    seen = f"of {_variants(n)}, {first} reached tier 1, {second} tier 2 and {third} tier 3"
    if new == kept:
        return new, f"Stays at {new}: {seen}."
    return new, f"{'More' if new > kept else 'Fewer'}, {new} instead of {kept}: {seen}."


def _variants(n: int) -> str:
    return f"{n} variant" if n == 1 else f"{n} variants"


def write_next(planned: Mapping[str, Limit], path: Path | str) -> None:
    """Write next.yaml, from which the next cycle takes its limits: {limits: {kind: {limit, taken, why}}}."""
    lines = [
        "# What the next cycle makes of each kind, for each procedure; read where `cycle` is one higher.",
        "# limit: so many variants, from 1 to twice what the strategy gives. taken: ideas that earlier cycles used up.",
        "limits:" if planned else "limits: {}",
    ]
    for kind, one in planned.items():
        lines.append(f"  {kind}:")
        lines += [f"    limit: {one.limit}", f"    taken: {one.taken}"]
        lines.append("    why: " + yaml.safe_dump(one.why, width=10_000).partition("\n")[0])
    write_atomic(path, "\n".join(lines) + "\n")


def read_next(path: Path) -> dict[str, Limit]:
    """The limits in a next.yaml. Raises a `ConfigError` that names the file if they cannot be read."""
    try:
        return from_json(yaml.safe_load(read_text(path))["limits"], dict[str, Limit])
    except (yaml.YAMLError, TypeError, KeyError, ValidationError) as error:
        raise ConfigError(f"{path}: damaged: {error}. Run the cycle that wrote it again") from None
