"""What the calls of a night took, and what its runs made."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from ..cycles import nights_folder
from ..generation.store import database
from .driver import Totals

SHOWN_PROBLEMS = 2  # of a run


def run_prefix(night: int | None) -> str:
    """How the names of the runs of a night begin; "" by day."""
    return "" if night is None else f"night-{night}-"


def note_run(root: Path, night: int, made: Mapping[str, int], problems: Sequence[str]) -> None:
    """Note, when a run of a night ends, how many generations of each stage it made and the problems it had."""
    folder = nights_folder(root) / str(night)
    folder.mkdir(parents=True, exist_ok=True)
    line = {"made": {stage: count for stage, count in made.items() if count}, "problems": problems[:SHOWN_PROBLEMS]}
    with (folder / "runs.jsonl").open("a", encoding="utf-8") as stream:
        stream.write(json.dumps(line, ensure_ascii=False) + "\n")


def last_night(store: Path) -> int:
    """The last night whose calls are in the store; 0 without one."""
    scopes = [scope for (scope,) in database(store).read("SELECT scope FROM spent WHERE scope LIKE 'night:%'")]
    return max((int(name) for scope in scopes if (name := scope.removeprefix("night:")).isdigit()), default=0)


def night_totals(root: Path, store: Path, night: int) -> Totals:
    """The totals of a night so far. Calls that may have been billed in vain count, as budgets count them."""
    begin, end = run_prefix(night), f"night-{night}."  # "." follows "-"
    ledger = "SELECT count(*), total(prompt_tokens) + total(completion_tokens), total(cost_usd), total(atp) FROM ledger"
    lost = "SELECT count(*), total(tokens), total(cost_usd), total(atp) FROM lost"
    answers = database(store)
    rows = [row for sql in (ledger, lost) for row in answers.read(f"{sql} WHERE run >= ? AND run < ?", (begin, end))]
    calls, tokens, usd, atp = (sum(column) for column in zip(*rows, strict=True)) if rows else (0, 0, 0, 0)
    made: Counter[str] = Counter()
    runs = _lines(nights_folder(root) / str(night) / "runs.jsonl")
    for run in runs:
        made.update(run["made"])
    problems = runs[-1]["problems"] if runs else ()
    return Totals(int(calls), int(tokens), float(usd), float(atp), dict(made), len(runs), problems)


def _lines(path: Path) -> list[dict]:
    """The whole lines of a file."""
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except FileNotFoundError:
        return []
    whole = []
    for line in lines:
        try:
            value = json.loads(line)
            whole.append({"made": Counter(value["made"]), "problems": [str(each) for each in value["problems"]]})
        except (ValueError, TypeError, KeyError):
            continue
    return whole
