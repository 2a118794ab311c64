"""The folders of cycles: data/trust/cycle-<n>/."""

import re
from pathlib import Path

from ..errors import DreamflowError
from ..outcomes.table import OutcomeRow, read_outcomes

OUTCOMES, RECORDS = "outcomes.csv", "reputation.jsonl"
_FOLDER = re.compile(r"cycle-(\d+)")


def cycle_folder(data_root: Path, cycle: int) -> Path:
    """The folder of a cycle."""
    return data_root / "trust" / f"cycle-{cycle}"


def cycles(data_root: Path) -> list[int]:
    """The numbers of the cycles that exist, ascending. Raises a `DreamflowError` if two folders have one number."""
    found: dict[int, str] = {}
    for path in sorted((data_root / "trust").glob("cycle-*")):
        if not (match := _FOLDER.fullmatch(path.name)):
            continue
        number = int(match[1])
        if number in found or path.name != f"cycle-{number}":
            other = found.get(number, f"cycle-{number}")
            raise DreamflowError(
                f"{path.parent}: {path.name} and {other} are the same cycle {number}; keep the right one as "
                f"cycle-{number} and delete the other"
            )
        found[number] = path.name
    return sorted(found)


def earlier_outcomes(data_root: Path, cycle: int) -> list[OutcomeRow]:
    """The outcomes of the cycles before `cycle`. Raises a `DreamflowError` for damaged ones."""
    files = [cycle_folder(data_root, number) / OUTCOMES for number in cycles(data_root) if number < cycle]
    return [row for file in files if file.exists() for row in read_outcomes(file)]


def check_previous(data_root: Path, cycle: int) -> None:
    """Raise a `DreamflowError` if the cycle before has not been made, so that its evidence would be missing."""
    previous = cycle_folder(data_root, cycle - 1) / RECORDS
    if cycle > 1 and not previous.exists():
        raise DreamflowError(
            f"cycle {cycle} of trust continues cycle {cycle - 1}, but {previous} does not exist: set "
            f"'trust: {{cycle: {cycle - 1}}}' and run `snakemake trust` first"
        )
