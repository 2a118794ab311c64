"""The golden project: how it is run, what of its files is frozen, and the form in which that is kept.

`project/` is a whole project with recorded answers. `data/*.txt` is everything that one run of it wrote under `data/`,
unchanged, so that it is two things at once: what every later version has to write again (`normalised` takes out
what no two runs share), and a project of an old version, whose paid answers a later version has to find again.
"""

import csv
import io
import json
import os
import re
import shutil
import sqlite3
import subprocess
import sys
from collections import defaultdict
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path

HERE = Path(__file__).parent
REPOSITORY = HERE.parents[1]
PROJECT = HERE / "project"
FROZEN = HERE / "data"

STEPS = (
    [],
    ["all", "probe", "promote", "data/distill/lesson/cycle-1/train.jsonl"],
    ["upgrade", "--config", "upgrade_target=good", "upgrade_filter=conversation_id = 'water'"],
    ["clusters"],
)
BEST = "cohorts=[trial,crossed,chosen,best]"  # best selects from a ranking, which the first step makes

# Pictures and pages are looked at, logs are about a run, a database holds what the tables hold, and what was read of
# conversations is a copy that may be deleted.
SKIPPED_SUFFIXES = {".html", ".png", ".svg", ".sqlite", ".sqlite-wal", ".sqlite-shm", ".log"}
SKIPPED_FOLDERS = {"data/1_raw", "data/logs", "data/runs", "data/store/processes", "data/talks"}

_VOLATILE = [
    (re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|\+00:00)"), "<time>"),
    (
        re.compile(
            r'("(latency_s|seconds|seconds_ratio|overhead_s|duration_s|call_seconds|processing_time_(seconds|ms))": ?)'
            r"(null|[\d.]+(e-\d+)?)"
        ),
        r"\1<seconds>",
    ),
    (re.compile(r'("run": )"\d{8}T\d{6}-[0-9a-f]{6}"'), r'\1"<run>"'),
    (re.compile(r"\bcall seconds [\d.]+"), "call seconds <seconds>"),
    (re.compile(r"\| \d+\.\d\d (\| \d+\.\d{6} \|)$", re.M), r"| <seconds> \1"),  # a probe's table: seconds, USD
    (re.compile(r"; takes [\d.]+ times as long"), ""),
    (re.compile(r"\b(bwrap|bubblewrap|unshare) [\d.]+\b"), "<sandbox>"),
]


def normalised(path: str, text: str) -> str:
    """A file without what no two runs share: times, seconds, the sandbox's name, the order of the ledger's lines."""
    for pattern, stands_for in _VOLATILE:
        text = pattern.sub(stands_for, text)
    if path.endswith(".csv"):
        text = _without_seconds(text)
    if path == "data/store/ledger.jsonl":
        text = "".join(sorted(text.splitlines(keepends=True)))
    return text


def _without_seconds(table: str) -> str:
    """A CSV table whose columns of seconds say nothing."""
    rows = list(csv.reader(io.StringIO(table)))
    places = {rows[0].index(name) for name in ("seconds", "latency_s", "seconds_ratio") if name in rows[0]}
    if not places:
        return table
    rows[1:] = [["<seconds>" if n in places else cell for n, cell in enumerate(row)] for row in rows[1:]]
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerows(rows)
    return out.getvalue()


def run(root: Path, repository: Path = REPOSITORY) -> None:
    """Run every step on the project at `root`; raises `AssertionError` with what the workflow said if one fails."""
    environment = {name: value for name, value in os.environ.items() if not name.endswith("_API_KEY")}
    for number, step in enumerate(STEPS):
        arguments = step if number == 0 else _with_config(step)
        command = [sys.executable, "-m", "snakemake", "--snakefile", str(repository / "Snakefile")]
        command += ["--directory", str(root), "--cores", "1", *arguments]
        done = subprocess.run(command, env=environment, text=True, capture_output=True, check=False)
        assert done.returncode == 0, f"snakemake {' '.join(arguments)}\n{done.stdout}\n{done.stderr}"


def _with_config(step: list[str]) -> list[str]:
    return [*step, BEST] if "--config" in step else [*step, "--config", BEST]


def new_project(root: Path) -> Path:
    """A copy of the golden project at `root`, which must not exist; returns `root`."""
    shutil.copytree(PROJECT, root)
    return root


def written(root: Path) -> dict[str, str]:
    """The text of every frozen file that the project at `root` has, by its path."""
    found = {}
    for file in sorted((root / "data").rglob("*")):
        path = file.relative_to(root).as_posix()
        folders = {parent.as_posix() for parent in Path(path).parents}
        if file.is_file() and file.suffix not in SKIPPED_SUFFIXES and not folders & SKIPPED_FOLDERS:
            found[path] = file.read_bytes().decode("utf-8")
    return {**_stored(root / "data/store/answers.sqlite"), **found}


LEDGER = ("at", "cached_tokens", "completion_tokens", "cost_usd", "gen_id", "latency_s", "model_id", "prompt_tokens")


def _stored(database: Path) -> dict[str, str]:
    """The answers and the ledger of a database, in the form of the files that earlier versions wrote."""
    if not database.exists():
        return {}
    files, lines = {}, []
    with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as connection:
        for key, record in connection.execute("SELECT key, record FROM answers"):
            text = json.dumps(json.loads(record), sort_keys=True, ensure_ascii=False, indent=2)
            files[f"data/store/responses/{key[:2]}/{key}.json"] = text + "\n"
        columns = (*LEDGER, "sample", "spec", "stage")
        for row in connection.execute(f"SELECT {', '.join(columns)} FROM ledger"):
            entry = dict(zip(columns, row, strict=True))
            entry["cohort_id"] = entry.pop("spec")
            lines.append(json.dumps(entry, sort_keys=True) + "\n")
    return {**files, "data/store/ledger.jsonl": "".join(lines)}


# --- the form in which files are kept: one text for each part of data/, a header line before each file -------------

_HEADER = re.compile(r"^=== (data/\S+)( \(no newline at the end\))?\n", re.M)


def save(files: Mapping[str, str], folder: Path = FROZEN) -> None:
    """Write files as texts that can be read and compared; replaces what `folder` holds."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    parts: dict[str, list[str]] = defaultdict(list)
    for path, text in sorted(files.items()):
        assert not _HEADER.search(text), f"{path} holds a line that looks like a header"
        whole = text.endswith("\n") or not text
        parts[_part(path)].append(
            f"=== {path}{'' if whole else ' (no newline at the end)'}\n{text}{'' if whole else chr(10)}"
        )
    for part, texts in parts.items():
        (folder / f"{part}.txt").write_bytes("".join(texts).encode("utf-8"))
    assert load(folder) == dict(files)


def _part(path: str) -> str:
    _, first, *rest = path.split("/")
    return f"{first}-{rest[0]}" if first in ("gens", "store") and len(rest) > 1 else Path(first).stem


def load(folder: Path = FROZEN) -> dict[str, str]:
    """The frozen files, by their paths."""
    files = {}
    for part in sorted(folder.glob("*.txt")):
        text = part.read_bytes().decode("utf-8")
        headers = list(_HEADER.finditer(text))
        ends = [*(header.start() for header in headers[1:]), len(text)]
        for header, end in zip(headers, ends, strict=True):
            content = text[header.end() : end]
            files[header[1]] = content[:-1] if header[2] else content
    return files
