"""Chains of three calls (draft, essay, evaluation) over three providers, run against `service`, and what must hold.

`Trial` makes the project and runs it; its checks collect what is wrong in `problems`. Between two moments in which no
call is in flight, every answer that the server sent whole is one new row of the ledger with its tokens and cost. An
answer that was asked for again would have no row, since a key has one.
"""

import json
import os
import re
import shutil
import signal
import sqlite3
import subprocess
from dataclasses import dataclass
from itertools import combinations, islice
from pathlib import Path
from typing import Any

from faults import USAGE_LOST
from project import Project, heed_interrupts
from service import Service

PRICE = {"prompt": 1.0, "completion": 2.0, "cached_prompt": 1.0, "cache_write": 1.0}
KEYS = {
    "TRIAL_API_KEY": "sk-trial-0123456789abcdef",
    "OPENROUTER_API_KEY": "sk-or-v1-fedcba9876543210",
    "ANTHROPIC_API_KEY": "sk-ant-api03-00112233445566",
}
WRITERS = ("chat", "router", "claude")
CONCEPTS = [f"c{number:02}" for number in range(40)]
NEW_LINE = re.compile(r"\n+")


@dataclass(frozen=True)
class Moment:
    """What the server has sent whole and what the ledger has, while no call is in flight."""

    answers: int
    rows: int
    server: tuple[int, int, float]  # tokens of prompts and answers, US dollars
    ledger: tuple[int, int, float]


def models(url: str, **more: Any) -> dict[str, Any]:
    """A model for each provider."""
    row = {
        "base_url": url,
        "context_length": 8192,
        "timeout_s": 5,
        "sampling": {"temperature": 0.5, "max_tokens": 300},
        "price": PRICE,
        **more,
    }
    return {
        "chat": {"provider": "openai", "name": "chat", "api_key_env": "TRIAL_API_KEY", **row},
        "router": {"provider": "openrouter", "name": "router", **row},
        "claude": {"provider": "anthropic", "name": "claude", **row},
        "judge": {"provider": "openai", "name": "judge", "api_key_env": "TRIAL_API_KEY", **row},
    }


CORES = 64  # of profiles/default: calls in flight


class Trial:
    """A project of `chains` chains that has not run yet, and a server for it."""

    def __init__(self, root: Path, service: Service, chains: int, **more: Any) -> None:
        self.service, self.chains = service, chains
        self._kept = root.with_name("kept")
        self.problems: list[str] = []
        self.screens: list[str] = []
        combos = [list(pair) for pair in islice(combinations(CONCEPTS, 2), -(-chains // len(WRITERS)))]
        axes = {
            "draft_template": ["plain"],
            "draft_llm": list(WRITERS),
            "essay_template": ["long"],
            "evaluation_template": ["novelty"],
            "evaluation_llm": ["judge"],
        }
        stages = {"draft": {"min_lines": 1}}
        spec = {"combos": {"lists": combos}, "axes": axes, "output": {"field_order": ["combo_id"]}, "stages": stages}
        self.project = project = Project(root, models(service.url, **more), spec)
        self.chains = len(combos) * len(WRITERS)
        concepts = [(name, name.title()) for name in CONCEPTS]
        project.rows("data/1_raw/concepts_metadata.csv", ["concept_id", "name"], concepts)
        for name in CONCEPTS:
            project.write(f"data/1_raw/concepts/descriptions-paragraph/{name}.txt", f"What {name} is.\n")

    # Runs

    def run(self, *arguments: str, **environment: str) -> int:
        """Run to the end; the exit status."""
        done = self.project.run(*arguments, **KEYS, **environment)
        self.screens.append(done.stdout)
        return done.returncode

    def run_at_last(self, **environment: str) -> None:
        """A run that has to make everything that is left."""
        if self.run(**environment) != 0:
            self.problem(f"the last run failed:\n{self.screens[-1][-3000:]}")

    def start(self, *arguments: str, **environment: str) -> subprocess.Popen[str]:
        """Start a run."""
        return self.project.start(*arguments, **KEYS, **environment)

    def end(self, process: subprocess.Popen[str], *signals: int) -> int:
        """Send signals to a run and wait until it has ended; the exit status."""
        for number in signals:
            os.killpg(process.pid, number)
        screen, _ = process.communicate(timeout=600)
        self.screens.append(screen)
        if signal.SIGKILL in signals:
            self.project.run("--unlock")
        return process.returncode

    def start_in_sandbox(self, *mounts: str, before: str = ":", after: str = ":") -> subprocess.Popen[str]:
        """Start a run with other mounts (arguments of bwrap), between two commands of the shell."""
        script = f'{before}; "$@"; status=$?; {after}; exit $status'
        sandbox = ["bwrap", "--bind", "/", "/", "--dev-bind", "/dev", "/dev", "--proc", "/proc", *mounts, "--"]
        return subprocess.Popen(
            [*sandbox, "sh", "-c", script, "sh", *self.project.command()],
            env=self.project.environment(**KEYS),
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            preexec_fn=heed_interrupts,
        )

    def start_on_small_disk(self, size: int) -> tuple[subprocess.Popen[str], Path]:
        """Start a run whose data folder is on a disk of so many bytes; where one can see that disk meanwhile."""
        data, initial = self.project.root / "data", self.project.root.with_name("initial")
        data.rename(initial)
        data.mkdir()
        before = f"cp -a {initial}/. {data}"
        after = f"rm -f {data}/filler; cp -a {data} {self._kept}"
        process = self.start_in_sandbox("--size", str(size), "--tmpfs", str(data), before=before, after=after)
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
        while process.poll() is None and not (found := children.read_text().split()):
            pass
        return process, Path(f"/proc/{found[0]}/root{data}")

    def keep_small_disk(self) -> None:
        """Put what was on the small disk in the place of the data folder, after the run."""
        shutil.rmtree(self.project.root / "data")
        self._kept.rename(self.project.root / "data")

    # Checks

    def problem(self, text: str) -> None:
        """Note that something is wrong."""
        self.problems.append(text)

    def expect(self, holds: bool, text: str) -> None:
        """Note that something is wrong, unless it holds."""
        if not holds:
            self.problem(text)

    def rows(self) -> list[dict[str, Any]]:
        """The ledger."""
        return _query(self.project.root / "data", "ledger")

    def lost(self) -> list[dict[str, Any]]:
        """The calls that may have been billed although no answer came."""
        return _query(self.project.root / "data", "lost")

    def now(self) -> Moment:
        """The counts of both sides."""
        counts, rows = self.service.counts(), self.rows()
        names = ("prompt_tokens", "completion_tokens", "cost_usd")
        known = [row for row in rows if not row.get("estimated")]
        ledger = tuple(sum(row[name] or 0 for row in known) for name in names)
        lost = {name: sum(counts["total"].get(f"{fault} {name}", 0) for fault in USAGE_LOST) for name in names}
        server = tuple(counts["total"].get(name, 0) - lost[name] for name in names)
        return Moment(counts["answers"], len(rows), server, ledger)

    def check_ledger(self, since: Moment | None = None) -> None:
        """The ledger grew by what the server sent; without `since`, it is what the server sent."""
        since, now = since or Moment(0, 0, (0, 0, 0.0), (0, 0, 0.0)), self.now()
        answers, rows = now.answers - since.answers, now.rows - since.rows
        self.expect(answers == rows, f"{answers} answers were sent whole, but the ledger has {rows} rows")
        for name, sent, kept, sent_before, kept_before in zip(
            ("prompt tokens", "answer tokens", "USD"), now.server, now.ledger, since.server, since.ledger, strict=True
        ):
            ours, theirs = kept - kept_before, sent - sent_before
            self.expect(abs(ours - theirs) < 1e-9, f"{name}: the server bills {theirs}, the ledger has {ours}")
        keys = [row["key"] for row in self.rows() if "key" in row]
        self.expect(len(keys) == len(set(keys)), "an answer is twice in the ledger")

    def check_once(self) -> None:
        """No question was answered twice (where no answer is unusable and no process was killed)."""
        most = self.service.counts()["most_answers_to_a_question"]
        self.expect(most <= 1, f"a question was answered {most} times")

    def check_lost(self, at: Moment, kills: int) -> None:
        """Nothing but what was in flight when a run was killed is missing `at` a moment, and all that may have been
        billed although it is not in the ledger is listed as lost by now."""
        missing, lost = at.answers - at.rows, len(self.lost())
        counts = self.service.counts()
        # An answer is in flight until it is stored, also where the server has done with it.
        self.expect(missing <= kills * CORES, f"{missing} answers were not stored: more than were in flight")
        text = f"{missing} answers were not stored, {counts['unsure']} were not sent whole; {lost} are listed as lost"
        self.expect(lost >= missing + counts["unsure"], text)

    def statuses(self) -> dict[str, dict[str, int]]:
        """How many generations of each stage have each status; "absent" for those that are not there."""
        result = {}
        for stage in ("draft", "essay", "evaluation"):
            found = [metadata["status"] for metadata in self.project.generations(stage).values()]
            counts = {status: found.count(status) for status in sorted(set(found))}
            absent = self.chains - len(found)
            result[stage] = counts | ({"absent": absent} if absent else {})
        return result

    def check_complete(self, *, failures: bool = False) -> None:
        """Every chain is complete; with `failures`, or it is told why it is not."""
        for stage, counts in self.statuses().items():
            wrong = {name for name in counts if name != "ok" and not (failures and name in ("failed", "skipped"))}
            self.expect(not wrong, f"{stage}: {counts}")
        for gen_id, metadata in self.project.generations().items():
            if metadata["status"] != "ok":
                self.expect(bool(metadata["reason"]), f"{gen_id} is {metadata['status']} without a reason")

    def check_told(self, pattern: str) -> None:
        """The last run said this, and showed no traceback."""
        self.expect(bool(re.search(pattern, self.screens[-1])), f"{pattern!r} is not on the screen:\n{self.tail()}")
        self.expect("Traceback" not in self.screens[-1], f"a traceback on the screen:\n{self.tail()}")

    def tail(self) -> str:
        """The end of the last screen."""
        return NEW_LINE.sub("\n", self.screens[-1])[-2500:]

    def check_rest(self) -> None:
        """A further run has nothing to do, and no key was written anywhere."""
        before = self.service.counts()["calls"]
        self.run()
        self.expect(self.service.counts()["calls"] == before, "a further run asked again")
        secrets = [key.encode() for key in KEYS.values()]
        places = [*self.project.root.rglob("*")]
        written = [path for path in places if path.is_file() and any(key in path.read_bytes() for key in secrets)]
        self.expect(not written, f"a key is written in {written}")
        shown = any(key in screen for key in KEYS.values() for screen in self.screens)
        self.expect(not shown, "a key is on the screen")


def _query(data: Path, table: str) -> list[dict[str, Any]]:
    database = data / "store" / "answers.sqlite"
    if not database.exists():
        path = data / "store" / "ledger.jsonl"
        found = path.read_text().splitlines() if table == "ledger" and path.exists() else []
        return [json.loads(line) for line in found]
    connection = sqlite3.connect(database)
    connection.row_factory = sqlite3.Row
    try:
        return [dict(row) for row in connection.execute(f"SELECT * FROM {table}")]
    finally:
        connection.close()
