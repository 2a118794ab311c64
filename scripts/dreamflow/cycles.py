"""Which cycle `cycle: auto` means: by day the last that was begun, in a night the one that the night has pinned.

A night pins, when it starts, the cycle after the last finished one for everything with `cycle: auto`. So all its
processes agree, and a plain `snakemake` by day moves nothing on. A night is open while its folder has night.json and
no journal.md.
"""

import os
import re
from collections.abc import Iterable
from pathlib import Path

from .errors import DreamflowError
from .files import read_json
from .generation.model import Json

AUTO = "auto"
NIGHT = "DREAMFLOW_NIGHT"  # environment variable with the number of the night, for the runs of its phases
NEXT = "next"  # its value in a dry run, which shows the night that would begin

_NUMBERED = re.compile(r"(?:cycle-)?([1-9][0-9]*)")


def nights_folder(root: Path) -> Path:
    """The folder of all nights; `root` is the data folder."""
    return Path(root, "nights")


def numbers(folder: Path) -> list[int]:
    """The numbers of the folders `<n>` or `cycle-<n>` below `folder`, in order."""
    try:
        names = [entry.name for entry in os.scandir(folder) if entry.is_dir()]
    except FileNotFoundError:
        return []
    return sorted(int(match[1]) for name in names if (match := _NUMBERED.fullmatch(name)))


def last_cycles(folder: Path, final: str) -> tuple[int, int]:
    """The numbers of the last begun and of the last finished cycle below `folder`, 0 for none. A cycle is finished if
    its folder has the file `final`."""
    begun = numbers(folder)
    finished = [number for number in begun if (folder / f"cycle-{number}" / final).exists()]
    return max(begun, default=0), max(finished, default=0)


def open_night(root: Path) -> int | None:
    """The number of the last night if it has not ended yet; None if no night is open."""
    last = max(numbers(nights_folder(root)), default=0)
    folder = nights_folder(root) / str(last)
    return last if (folder / "night.json").exists() and not (folder / "journal.md").exists() else None


def read_night(root: Path, number: int) -> dict[str, Json]:
    """The night.json of a night. Raises a `DreamflowError` if it is missing or damaged."""
    path = nights_folder(root) / str(number) / "night.json"
    remedy = f"Restore it, or delete it: 'snakemake night' then begins night {number + 1}, and keeps all that was made"
    night = read_json(path, remedy)
    cycles = night.get("cycles") if isinstance(night, dict) else None
    if not isinstance(cycles, dict) or not all(type(cycle) is int and cycle > 0 for cycle in cycles.values()):
        raise DreamflowError(f"{path}: damaged: 'cycles' with numbers is missing. {remedy}")
    return night


def this_night() -> int | None:
    """The number of the night that this process belongs to; None by day."""
    number = os.environ.get(NIGHT, "")
    return int(number) if number.isdigit() else None


def current_cycle(root: Path, key: str, last_begun: int, last_finished: int) -> int:
    """The number that `cycle: auto` stands for in `key`, such as `procedures/demo` or `trust`.

    Raises a `DreamflowError` if the night.json of an open night is damaged.
    """
    if os.environ.get(NIGHT) == NEXT and open_night(root) is None:
        return last_finished + 1
    number = open_night(root)
    pinned = read_night(root, number)["cycles"].get(key) if number is not None else None
    return pinned or max(last_begun, 1)


def next_cycles(cycles: Iterable[tuple[str, tuple[int, int]]]) -> dict[str, int]:
    """The cycles that a night pins, by key; `cycles` has the last begun and finished one of each key."""
    return {key: finished + 1 for key, (_, finished) in cycles}
