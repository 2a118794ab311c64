"""The files of a night: night.json, which it writes when it begins, and phases.jsonl, a line for each phase that ended.

A night goes on until it has a journal: after a crash, phases that have a line are not repeated.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec

from ..cycles import nights_folder, numbers, open_night, read_night
from ..errors import DreamflowError
from ..files import pretty, read_json, write_atomic
from ..generation.model import Json
from ..routing.choose import CRISIS

INTERRUPTED = "interrupted"  # the status of a phase that the next `snakemake night` repeats


class Limits(msgspec.Struct, frozen=True):
    """What a night may take; None is no limit."""

    minutes: float | None = None
    usd: float | None = None
    tokens: int | None = None
    atp: float | None = None


class Phase(msgspec.Struct, kw_only=True):
    """A phase that ended. `status`: done, failed, stopped (by a limit), skipped or interrupted; `why` has the reason,
    `made` the numbers of new generations by stage."""

    phase: str
    target: str
    started: str
    status: str
    why: str = ""
    seconds: float = 0.0
    calls: int = 0
    tokens: int = 0
    usd: float = 0.0
    atp: float = 0.0
    made: dict[str, int] = {}


@dataclass
class Night:
    """A night. `lines` are all lines of phases.jsonl, `notes` what was odd about its files."""

    root: Path
    number: int
    started: str
    limits: Limits
    state: Mapping[str, Json] | None
    cycles: Mapping[str, int]
    lines: list[Phase] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def folder(self) -> Path:
        """Its folder."""
        return nights_folder(self.root) / str(self.number)

    @property
    def phases(self) -> dict[str, Phase]:
        """The phases that ended and are not repeated, by name."""
        return {line.phase: line for line in self.lines if line.status != INTERRUPTED}

    @property
    def spent_s(self) -> float:
        """The seconds of all phases."""
        return sum(line.seconds for line in self.lines)

    def add(self, phase: Phase) -> None:
        """Write the line of a phase that ended."""
        path = self.folder / "phases.jsonl"
        with path.open("ab+") as stream:
            size = stream.seek(0, 2)
            if size:
                stream.seek(size - 1)
                if stream.read(1) != b"\n":  # the line of a process that was killed
                    stream.write(b"\n")
            stream.write(json.dumps(msgspec.to_builtins(phase), ensure_ascii=False).encode() + b"\n")
        self.lines.append(phase)


def read_phases(folder: Path) -> tuple[list[Phase], list[str]]:
    """The lines of the phases.jsonl of a night, and a note on each that cannot be read; its phase is repeated."""
    path = folder / "phases.jsonl"
    phases, notes = [], []
    for number, line in enumerate(path.read_bytes().split(b"\n") if path.exists() else (), 1):
        if line.strip():
            try:
                phases.append(msgspec.json.decode(line, type=Phase))
            except (msgspec.DecodeError, UnicodeDecodeError):  # ValidationError is a DecodeError
                notes.append(f"{path}:{number}: not a whole line; its phase was repeated")
    return phases, notes


def begin(root: Path, limits: Limits, cycles: Mapping[str, int], now: datetime, booked: int = 0) -> Night:
    """The open night, which goes on with these limits; else a new one, which pins `cycles`. Writes night.json.

    `booked` is the last night whose calls are in the ledger: a new night must not share its budget, even if the folders
    of earlier nights were deleted.

    Raises a `DreamflowError` if the night.json of the open night is damaged.
    """
    folder = nights_folder(root)
    state = trust_state(root)
    notes = []
    if (number := open_night(root)) is not None:
        known = read_night(root, number)
        started, cycles, state = str(known.get("started", "")), known["cycles"], known.get("state")
        if _time(started) and _time(started) > now:
            notes.append(f"the clock went back: the night began at {started}, and it is {now:%Y-%m-%dT%H:%M}")
    else:
        before = max(numbers(folder), default=0)
        number, started = max(before, booked) + 1, now.isoformat(timespec="seconds")
        if booked > before:
            notes.append(f"{folder} lacks night {booked}, which is in the ledger; it was deleted")
        last = _started(folder / str(before) / "night.json") if before else None
        if last and last > now:
            notes.append(f"the clock went back: night {before} began at {last.isoformat(timespec='seconds')}")
    night = Night(root, number, started, limits, state, cycles, notes=notes)
    if limits.atp is not None and state_name(state) == CRISIS:
        night.limits = msgspec.structs.replace(limits, atp=None)
        notes.append("the state is crisis: the limit of ATP does not hold, those of money do")
    night.lines, more = read_phases(night.folder)
    notes += more
    left = None if limits.minutes is None else max(60 * limits.minutes - night.spent_s, 0)
    content = {
        "schema_version": 1,
        "night": number,
        "started": started,
        "ends": None if left is None else (now + timedelta(seconds=left)).isoformat(timespec="seconds"),
        "limits": msgspec.to_builtins(night.limits),
        "state": state,
        "cycles": dict(cycles),
    }
    write_atomic(night.folder / "night.json", pretty(content), durable=True)
    return night


def trust_state(root: Path) -> dict[str, Json] | None:
    """The metabolic state that the last cycle of trust has written; None without one."""
    folder = Path(root, "trust")
    for number in reversed(numbers(folder)):
        path = folder / f"cycle-{number}" / "state.json"
        if path.exists():
            try:
                state = read_json(path)
            except DreamflowError:
                return None
            return state if isinstance(state, dict) else None
    return None


def state_name(state: Mapping[str, Any] | None) -> str:
    """The name of a metabolic state; "" if it is unknown."""
    name = (state or {}).get("name") or (state or {}).get("state")
    return name if isinstance(name, str) else ""


def night_limits(root: Path, number: int) -> Limits:
    """The limits in the night.json of a night. Raises a `DreamflowError` if it is damaged."""
    try:
        return msgspec.convert(read_night(root, number).get("limits", {}), Limits)
    except msgspec.ValidationError as error:
        path = nights_folder(root) / str(number) / "night.json"
        raise DreamflowError(f"{path}: damaged: limits: {error}. Run 'snakemake night' again") from None


def _started(path: Path) -> datetime | None:
    try:
        return _time(read_json(path)["started"])
    except (DreamflowError, TypeError, KeyError):
        return None


def _time(text: str) -> datetime | None:
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        return None
    return time if time.tzinfo else time.replace(tzinfo=UTC)
