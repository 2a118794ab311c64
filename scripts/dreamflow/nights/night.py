"""One night: its phases within its limits, and then its journal."""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from threading import Event

from ..cycles import NIGHT, next_cycles, nights_folder, open_night
from ..errors import DreamflowError
from ..family import Family
from ..plan import Plan
from .driver import Step, Surroundings, run_after, run_phases
from .journal import limits_text, write_journal
from .lock import NightRuns, night_lock
from .state import Limits, begin, state_name, trust_state
from .totals import last_night, night_totals

# Phases and their targets, of which the first that a family has counts.
PHASES = (
    ("chunks", ("chunks",)),
    ("upgrade", ("upgrade",)),
    ("dreams", ("dreams",)),
    ("evaluations", ("cohorts",)),
    ("probe", ("night_probes", "probe")),
    ("trust", ("trust",)),
    ("distill", ("distill",)),
)
ALWAYS = ("trust",)  # takes seconds, so it runs although the time is over


@dataclass(frozen=True)
class Caller:
    """How to start a phase: the command for a target, and the folder to start it in; `blocked(output)` says why a phase
    could not begin and `chatter` which lines say nothing (see `Surroundings`); `stopping`: this process ends.
    """

    command: Callable[[str], Sequence[str]]
    directory: str
    blocked: Callable[[str], str]
    stopping: Event
    show: Callable[[str], None]
    chatter: tuple[str, ...]


def run_night(plan: Plan, caller: Caller) -> str:
    """Run the open night, or the next one; returns the summary of its journal, or who holds the lock.

    Raises a `DreamflowError` if the night was interrupted or could not begin: it goes on in the next call.
    """
    root, settings = plan.world.layout.root, plan.world.settings.night
    now = datetime.now(UTC)
    try:
        with night_lock(nights_folder(root), now) as lock:
            limits = Limits(settings.minutes, settings.usd, settings.tokens, settings.atp)
            booked = last_night(plan.world.layout.store)
            night = begin(root, limits, _next_cycles(plan), now, booked)
            os.environ[NIGHT] = str(night.number)
            around = Surroundings(
                command=caller.command,
                totals=partial(night_totals, root, plan.world.layout.store, night.number),
                stopping=caller.stopping,
                show=caller.show,
                lock=lock,
                blocked=caller.blocked,
                directory=caller.directory,
                chatter=caller.chatter,
            )
            run_phases(night, steps(plan), around)
            summary = write_journal(night)
            run_after(
                night, Step("site", "site", lambda: "" if (root / "site").exists() else "there is no site"), around
            )
            return summary
    except NightRuns as error:
        return str(error)


def steps(plan: Plan) -> list[Step]:
    """The phases of a night for a configuration."""
    found = []
    for phase, targets in PHASES:
        owners = [(family, target) for target in targets for family in plan.families.values() if target in family.goals]
        if owners:
            family, target = owners[0]
            found.append(Step(phase, target, partial(_left_out, family, target), phase in ALWAYS))
    return found


def _left_out(family: Family, target: str) -> str:
    """Why a phase is left out; a family that could not be compiled says in its phase why."""
    return "" if family.problem else family.left_out(target)


def _next_cycles(plan: Plan) -> dict[str, int]:
    return next_cycles(item for family in plan.families.values() for item in family.cycles().items())


def preview(plan: Plan) -> tuple[list[str], str]:
    """For a dry run: the files that the phases of the next night would make, and the phases as text."""
    root, settings = plan.world.layout.root, plan.world.settings.night
    number = open_night(root)
    name = f"night {number}, which goes on" if number else "the next night"
    limits = limits_text(Limits(settings.minutes, settings.usd, settings.tokens, settings.atp))
    state = state_name(trust_state(root))
    lines = [f"{name}: limits: {limits}" + (f"; state: {state}" if state else "")]
    lines += [f"  {key}: cycle {cycle}" for key, cycle in _next_cycles(plan).items()]
    files: list[str] = []
    for step in steps(plan):
        try:
            reason = step.skip()
            files += [] if reason else plan.targets(step.target)
        except DreamflowError as error:  # as the phase itself will say
            reason = str(error)
        lines.append(f"  {step.phase}: " + (f"left out ({reason})" if reason else f"snakemake {step.target}"))
    return list(dict.fromkeys(files)), "\n".join(lines)
