"""Runs of the workflow: what one would make and cost, how to start one in the background, and what it does.

The workflow is a program of its own, `snakemake`: nothing here imports it. A run that was started goes on when the
server ends."""

import os
import shlex
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pydantic import BaseModel, Field

from ..chunks.conversation import LEVELS
from ..chunks.filters import parse_filter
from ..errors import DreamflowError, unknown
from ..families import FAMILIES
from ..run_status import read_status
from ..settings import load_settings
from .project import Project, cut

REPOSITORY = Path(__file__).resolve().parents[3]
# What a run may make: the goals of all families, and targets that only add or renew files. Not those that remove.
_GOALS = (goal for family in FAMILIES for goal in family.goals)
TARGETS = tuple(dict.fromkeys(("all", *_GOALS, "night", "reports", "estimate", "ledger", "database", "site")))
FORECAST_S = 300
STARTS_S = 20  # until a run has its lock, or has ended
LONGEST_OUTPUT = 12_000
SHOWN_LOG = 4000  # characters of the end of a log
MOST_CORES = 256
_NOISE = ("Using workflow specific profile", "Building DAG", "Config file ", "host:", "Rules with missing metadata")


class Forecast(BaseModel):
    """What a run would make, call and cost."""

    targets: list[str] = Field(description="What would be made.")
    ok: bool = Field(description="Whether the run could start; if not, `text` says what is wrong and where.")
    text: str = Field(
        description="The forecast: per stage and model the planned and answered generations, calls, tokens, expected "
        "and highest cost; missing keys; what budgets allow; then the jobs."
    )
    command: str = Field(description="The command with which a person would start this run.")


class Started(BaseModel):
    """A run that was started in the background."""

    pid: int = Field(description="Its process.")
    targets: list[str] = Field(description="What it makes.")
    command: str = Field(description="Its command line.")
    log: str = Field(description="The file with what it says.")
    says: str = Field(description="What it has said so far.")
    next: str = Field(description="How to follow it.")


class Status(BaseModel):
    """What runs of this project do and did."""

    running: list[dict[str, Any]] = Field(description="Runs that are alive: stages, calls, tokens, cost, failures.")
    died: list[dict[str, Any]] = Field(description="Runs whose process is gone without a word, and what to do.")
    finished: list[dict[str, Any]] = Field(description="The last runs, the latest first, and why they ended.")
    night: dict[str, Any] | None = Field(description="The open night with its phases; null if there is none.")
    waiting: dict[str, Any] = Field(description="What waits: questions to people, batches, budgets that are used up.")
    log: str = Field(description='The log of the last run that an agent has started; "" if there is none.')
    log_end: str = Field(description="The end of that log.")


def check_targets(targets: Sequence[str]) -> list[str]:
    """The targets. Raises a `DreamflowError` for one that is not allowed."""
    for target in targets:
        if target not in TARGETS:
            raise DreamflowError(f"{unknown('target', target[:100], TARGETS)}. Only these can be made from here")
    return list(dict.fromkeys(targets)) or ["all"]


def overrides(
    targets: Sequence[str],
    budget_usd: float | None,
    budget_tokens: int | None,
    upgrade: Mapping[str, str | int | None],
    *,
    required: bool,
) -> list[str]:
    """What the command line changes in the configuration: the budget, and which chunks are upgraded to what. Raises a
    `DreamflowError` for a wrong value, or if a budget is `required` and missing."""
    if (budget_usd is not None and not 0 < budget_usd < 1e6) or (budget_tokens is not None and budget_tokens <= 0):
        raise DreamflowError("a budget must be above 0: budget_usd in US dollars, budget_tokens in tokens")
    if required and budget_usd is None and budget_tokens is None:
        raise DreamflowError(
            "give the run a budget: budget_usd (US dollars) or budget_tokens, above 0. Calls never exceed it"
        )
    given = [f"budget_usd={budget_usd:.9g}"] if budget_usd is not None else []
    given += [f"budget_tokens={budget_tokens}"] if budget_tokens is not None else []
    if "night" in targets and given:  # each phase is a run of its own, so the night as a whole needs the limit
        night = load_settings().night.as_dict()
        night |= {"usd": budget_usd} if budget_usd is not None else {}
        night |= {"tokens": budget_tokens} if budget_tokens is not None else {}
        given.append(f"night={{{', '.join(f'{key}: {value}' for key, value in night.items() if value is not None)}}}")
    if (target := upgrade.get("target")) is not None and target not in LEVELS[1:]:
        raise DreamflowError(unknown("quality level", target, LEVELS[1:]))
    if (text := upgrade.get("filter")) is not None:
        if not str(text).isprintable():
            raise DreamflowError("the filter has characters that cannot be printed")
        parse_filter(text)
    return given + [f"upgrade_{key}={value}" for key, value in upgrade.items() if value is not None]


def command_line(project: Project, targets: Sequence[str], config: Sequence[str], *options: str) -> list[str]:
    """The command line of a run."""
    program = [sys.executable, "-m", "snakemake", "--snakefile", str(REPOSITORY / "Snakefile")]
    changes = ["--config", *config] if config else []
    return [*program, *options, "--directory", str(project.root), *targets, *changes]


def shown_command(targets: Sequence[str], config: Sequence[str]) -> str:
    """The same as a person types it."""
    return shlex.join(["snakemake", *targets, *(["--config", *config] if config else [])])


def forecast(project: Project, targets: Sequence[str], config: Sequence[str]) -> Forecast:
    """What a run would make, by a dry run: no model is called, and a run in progress is not disturbed."""
    command = command_line(project, targets, config, "--dry-run", "--nolock")
    try:
        done = subprocess.run(  # noqa: S603  (a list of checked arguments, no shell)
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            timeout=FORECAST_S,
            check=False,
            cwd=project.root,
        )
    except subprocess.TimeoutExpired:
        raise DreamflowError(f"the forecast took more than {FORECAST_S} s; a person can run `snakemake -n`") from None
    # Snakemake shows the jobs twice, and then why each of them runs.
    before, jobs, after = done.stdout.partition("Job stats:")
    text = before + jobs + after.partition("Job stats:")[0].partition("Reasons:")[0]
    lines = (line.rstrip() for line in text.splitlines() if not line.startswith(_NOISE))
    text = "\n".join(line for line in lines if "missing provenance/metadata" not in line).strip()
    if len(text) > LONGEST_OUTPUT:
        text = text[:LONGEST_OUTPUT] + "\n… (cut)"
    return Forecast(targets=list(targets), ok=done.returncode == 0, text=text, command=shown_command(targets, config))


class Runner:
    """Starts runs of a project. It knows those that it has started itself before they have written anything."""

    def __init__(self, project: Project) -> None:
        self.project = project
        self.process: subprocess.Popen | None = None

    def start(self, targets: Sequence[str], config: Sequence[str], cores: int = 0) -> Started:
        """Start a run in the background. Raises a `DreamflowError` if one is in progress or this one ends at once."""
        self.check_free()
        project = self.project
        folder = project.inside(project.data / "logs") / "agents"
        folder.mkdir(parents=True, exist_ok=True)
        log = project.inside(folder) / f"{datetime.now(UTC):%Y%m%dT%H%M%S%f}.log"
        options = ["--cores", str(min(cores, MOST_CORES))] if cores > 0 else []
        command = command_line(project, targets, config, *options)
        with log.open("xb") as stream:
            self.process = subprocess.Popen(  # noqa: S603  (a list of checked arguments, no shell)
                command,
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=subprocess.STDOUT,
                cwd=project.root,
                start_new_session=True,
            )
        self._wait_until_begun()
        says = _end_of(log)
        if self.process.poll() not in (None, 0):
            raise DreamflowError(f"the run has ended at once (log: {project.shown(log)}):\n{says}")
        return Started(
            pid=self.process.pid,
            targets=list(targets),
            command=shown_command(targets, config),
            log=project.shown(log),
            says=says,
            next=f"`status` says how far it is. A person can stop it in order: kill -INT {self.process.pid}",
        )

    def status(self) -> Status:
        """What runs of the project do and did."""
        if self.process is not None:
            self.process.poll()  # so that a run that has ended does not stay as a process
        logs = sorted((self.project.data / "logs" / "agents").glob("*.log"))
        log = logs[-1] if logs else None
        return Status(
            **read_status(self.project.data),
            log=self.project.shown(log) if log else "",
            log_end=_end_of(self.project.inside(log)) if log else "",
        )

    def check_free(self) -> None:
        """Raise a `DreamflowError` if a run is in progress."""
        if self.process is not None and self.process.poll() is None:
            raise DreamflowError(f"a run is in progress (process {self.process.pid}); `status` says how far it is")
        if running := read_status(self.project.data)["running"]:
            what = " ".join(map(str, running[0].get("targets") or []))
            raise DreamflowError(
                f"a run is in progress ({cut(what, 100) or 'all'}, process {running[0].get('pid')}, since "
                f"{running[0].get('started')}); `status` says how far it is. Start yours when it has ended"
            )
        if self._is_locked():
            raise DreamflowError(
                "the project is locked by Snakemake: a run begins, or one was killed. If no run is in progress, a "
                "person has to run `snakemake --unlock`"
            )

    def _is_locked(self) -> bool:
        return any((self.project.root / ".snakemake" / "locks").glob("*.lock"))

    def _wait_until_begun(self) -> None:
        """Wait until the run has taken its lock or has ended, so that a mistake in the configuration is seen now."""
        end = time.monotonic() + STARTS_S
        while time.monotonic() < end and not self._is_locked():
            with suppress(subprocess.TimeoutExpired):
                self.process.wait(timeout=0.1)
                return


def _end_of(path: Path) -> str:
    with suppress(OSError), path.open("rb") as stream:
        stream.seek(max(stream.seek(0, os.SEEK_END) - SHOWN_LOG, 0))
        return stream.read().decode("utf-8", "replace").strip()
    return ""
