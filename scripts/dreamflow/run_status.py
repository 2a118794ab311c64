"""What runs of this data folder do and did: the files in `data/runs/`, and what they say to who asks from outside.

A run writes its state to `current.json` about once a second, and when it ends a line to `runs.jsonl`; then it removes
`current.json`. A second run beside it (`--nolock`) has a file `current-<run>.json`. Who finds the file of a process
that is gone knows that the run was killed; the next run notes that in `runs.jsonl`.
"""

import fcntl
import json
import os
import platform
import threading
from collections.abc import Iterator, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

from .cycles import nights_folder, open_night
from .files import is_name, write_atomic
from .generation.model import Json
from .generation.providers.human import answer_path

SILENT_S = 30.0  # a process of another machine that has written nothing for so long may be dead
SHOWN_RUNS = 5  # of those that have ended
SHOWN_WAITING = 20  # questions to people that are named
TAIL_BYTES = 200_000  # of runs.jsonl that are read for the last runs
DIED = "its process was killed, or the machine stopped"
CONTINUE = "Run 'snakemake --unlock', then the same command again: it goes on, and no answer is asked for again"


class RunFile:
    """The file in which a run says what it does. `known` is what stays the same: the name of the run, its targets."""

    def __init__(self, root: Path | str, known: Mapping[str, Json]) -> None:
        self.folder = Path(root, "runs")
        self.known = {
            **known,
            "started": datetime.now(UTC).isoformat(timespec="seconds"),
            "pid": os.getpid(),
            "host": platform.node(),
            "began": _began(os.getpid()),
        }
        self.path: Path | None = None
        self._guard, self._has_ended = threading.Lock(), False

    def write(self, state: Mapping[str, Json]) -> None:
        """Say what the run does now. A folder that cannot be written is no reason to end a run."""
        text = json.dumps({**self.known, "updated": _now(), **state}, ensure_ascii=False)
        with suppress(OSError), self._guard:
            if self._has_ended:
                return
            if self.path is None:
                self.path = self._claimed(text)
            else:
                write_atomic(self.path, text + "\n")

    def end(self, line: Mapping[str, Json]) -> None:
        """Note how the run has ended."""
        with suppress(OSError), self._guard:
            self._has_ended = True
            _add_line(self.folder, {**self.known, "ended": _now(), **line})
            if self.path is not None:
                self.path.unlink(missing_ok=True)

    def _claimed(self, text: str) -> Path:
        """The file of this run. Runs that were killed are noted, and their files removed."""
        self.folder.mkdir(parents=True, exist_ok=True)
        for path, state in _states(self.folder):
            if not _is_alive(state):
                path.unlink(missing_ok=True)
                _add_line(self.folder, _died(state))
        for name in ("current.json", f"current-{self.known['run']}.json"):
            with suppress(FileExistsError), open(self.folder / name, "x", encoding="utf-8") as stream:  # noqa: PTH123
                stream.write(text + "\n")
                return self.folder / name
        return self.folder / name


def read_status(data_root: Path | str) -> dict[str, Json]:
    """What runs of a data folder do and did; it writes nothing and needs no configuration. A dictionary of

    - `running`: the state of each run that is alive (see `Display.state`), with `run`, `started`, `updated`, `pid`,
      `host`, `targets`, `night`, `failures`; the oldest first. Without a run the list is empty;
    - `died`: the same of runs whose process is gone without a word, with `why` and `remedy`;
    - `finished`: the last lines of runs.jsonl, the last run first: `started`, `ended`, `why`, `is_complete`, counts by
      stage, calls, tokens, cost, `failures`;
    - `night`: the open night with its `number`, `started`, `is_running` and the `phases` that have ended; or None;
    - `waiting`: what waits for others: `people` (paths of questions without an answer), `people_total` (their number),
      `batches` (name, model, questions, created), `budgets` (those of the last run that are used up).

    It raises nothing for damaged or missing files: they are left out.
    """
    root = Path(data_root)
    alive, died = [], []
    for _, state in _states(root / "runs"):
        (alive if _is_alive(state) else died).append(state)
    finished = _last_lines(root / "runs" / "runs.jsonl", SHOWN_RUNS)
    known = {line.get("run") for line in finished}
    died = [_died(state) for state in died if state.get("run") not in known]
    last = alive or died or finished
    return {
        "running": sorted(alive, key=lambda state: str(state.get("started"))),
        "died": died,
        "finished": finished,
        "night": _night(root),
        "waiting": {**_people(root), "batches": _batches(root), "budgets": _used_up(last[0]) if last else []},
    }


def _states(folder: Path) -> Iterator[tuple[Path, dict[str, Json]]]:
    """The files of runs that have not said that they have ended."""
    for path in sorted(folder.glob("current*.json")):
        with suppress(OSError, ValueError):
            state = json.loads(path.read_text(encoding="utf-8", errors="replace"))
            if isinstance(state, dict) and isinstance(state.get("stages"), dict):
                yield path, state


def _is_alive(state: Mapping[str, Json]) -> bool:
    """Whether the process of a run is alive. Of another machine's, only its last word is known."""
    if state.get("host") == platform.node():
        with suppress(OSError, ValueError, TypeError):
            number = int(state["pid"])
            os.kill(number, 0)
            return state.get("began") == _began(number)
        return False
    return age(state.get("updated")) < SILENT_S


def _began(number: int) -> str:
    """What tells a process from a later one of the same number: when it began, as Linux counts; else ""."""
    try:
        text = Path(f"/proc/{number}/stat").read_text()
    except OSError:
        return ""
    return text.rpartition(")")[2].split()[19]


def _died(state: Mapping[str, Json]) -> dict[str, Json]:
    gone = {key: value for key, value in state.items() if key not in ("in_flight", "jobs", "left_s", "tokens_per_s")}
    place = "" if state.get("host") == platform.node() else f" on {state.get('host')}, which was silent since then"
    return {**gone, "ended": state.get("updated"), "is_complete": False, "why": DIED + place, "remedy": CONTINUE}


def age(at: Json) -> float:
    """The seconds since a time in ISO 8601; very many if it is no time."""
    try:
        return max((datetime.now(UTC) - datetime.fromisoformat(str(at))).total_seconds(), 0.0)
    except (ValueError, TypeError):
        return float("inf")


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def _add_line(folder: Path, line: Mapping[str, Json]) -> None:
    """Add a line to runs.jsonl, whole, whatever other processes write."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "runs.jsonl").open("a+b") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        end = stream.seek(0, os.SEEK_END)
        if end:  # a process that was killed may have left half a line
            stream.seek(end - 1)
            if stream.read(1) != b"\n":
                stream.write(b"\n")
        stream.write(json.dumps(line, ensure_ascii=False).encode() + b"\n")


def _last_lines(path: Path, count: int) -> list[dict[str, Json]]:
    """The last whole lines of a file of JSON Lines, the last first."""
    try:
        with path.open("rb") as stream:
            stream.seek(max(stream.seek(0, os.SEEK_END) - TAIL_BYTES, 0))
            lines = stream.read().decode("utf-8", "replace").split("\n")
    except OSError:
        return []
    found: list[dict[str, Json]] = []
    for line in reversed(lines):
        with suppress(ValueError):
            value = json.loads(line)
            if isinstance(value, dict) and isinstance(value.get("stages"), dict):
                found.append(value)
        if len(found) == count:
            break
    return found


def _night(root: Path) -> dict[str, Json] | None:
    """The open night; None if there is none."""
    number = open_night(root)
    if number is None:
        return None
    folder = nights_folder(root) / str(number)
    phases, begun = [], {}
    with suppress(OSError, ValueError):
        begun = json.loads((folder / "night.json").read_text(encoding="utf-8"))
    with suppress(OSError):
        for line in (folder / "phases.jsonl").read_text(encoding="utf-8").splitlines():
            with suppress(ValueError):
                phase = json.loads(line)
                phases.append({key: phase.get(key) for key in ("phase", "status", "why", "seconds")})
    started = begun.get("started") if isinstance(begun, dict) else None
    return {"number": number, "started": started, "is_running": _holds_lock(root), "phases": phases}


def _holds_lock(root: Path) -> bool:
    """Whether the process that took the lock of nights is alive. The lock itself is not tried: that could keep a night
    that begins from getting it."""
    with suppress(OSError, ValueError, TypeError, KeyError):
        holder = json.loads((nights_folder(root) / "lock").read_text(encoding="utf-8"))
        if holder["host"] == platform.node():
            os.kill(int(holder["process"]), 0)
            return True
    return False


def _people(root: Path) -> dict[str, Json]:
    """The questions of the inbox without an answer."""
    inbox = root / "inbox"
    waiting = [
        str(path)
        for path in sorted(inbox.glob("*.question.txt"))
        if is_name(name := path.name.removesuffix(".question.txt")) and not answer_path(inbox, name).exists()
    ]
    return {"people": waiting[:SHOWN_WAITING], "people_total": len(waiting)}


def _batches(root: Path) -> list[dict[str, Json]]:
    """What waits in batches of providers."""
    found = []
    for path in sorted((root / "store" / "batches").glob("*.json")):
        with suppress(OSError, ValueError, KeyError, TypeError):
            batch = json.loads(path.read_text(encoding="utf-8"))
            found.append({key: batch[key] for key in ("name", "state", "created")})
            found[-1] |= {"model": batch["model_id"], "questions": len(batch["items"])}
    return found


def _used_up(state: Mapping[str, Json]) -> list[str]:
    budgets = state.get("budgets") or []
    with suppress(TypeError, KeyError):
        return [use["name"] for use in budgets if use["spent"] >= use["cap"]]
    return []
