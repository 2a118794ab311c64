"""A night over procedures that an agent asks for: which procedures, how many variants, at what cost; then the run."""

import os
import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Literal

import yaml
from pydantic import BaseModel, Field

from ..config import load_yaml
from ..cycles import last_cycles
from ..dreams.compile import FINAL, STRATEGIES
from ..dreams.procedure import Procedure, load_procedures
from ..dreams.spec import NightSpec
from ..errors import DreamflowError
from ..files import write_atomic
from ..settings import load_settings
from .project import Project
from .runs import Forecast, Runner, Started, forecast, overrides

Strategy = Literal["light", "balanced", "deep"]
SHOWN_PROCEDURES = 50
_NIGHTS = Path("config/procedures")
_COMMENT = "# Written by the tool `dream` of scripts/mcp_server.py. Change it or delete it as you like.\n"


class DreamNight(BaseModel):
    """A night over procedures: what it makes, and the run if it was started."""

    name: str = Field(description="Name of the night; its results are in data/dreams/<name>/.")
    cycle: int = Field(description="Its cycle: the next one, or the one that was interrupted.")
    strategy: str = Field(description="light, balanced or deep.")
    procedures: list[str] = Field(description="Procedures that get variants.")
    kinds: dict[str, int] = Field(description="Most variants of each kind for each procedure.")
    base: str = Field(description='The configured night whose models, tests and tiers it takes; "" if there is none.')
    spec: str = Field(description="Its spec, config/procedures/<name>.yaml.")
    forecast: Forecast = Field(description="What it would call and cost.")
    started: Started | None = Field(description="The run; null if it was not started.")
    next: str = Field(description="What to do now.")


def dream(
    project: Project,
    runner: Runner | None,
    strategy: Strategy,
    focus_area: str,
    budget_usd: float | None,
    budget_tokens: int | None,
    *,
    start: bool,
) -> DreamNight:
    """Plan a night, and start it if `start`; without a `runner` no run may be started."""
    if start and runner is None:
        raise DreamflowError(
            "this server may not start runs. Call `dream` without `start` to see what the night would make; a person "
            "who wants to allow runs starts the server with --allow-run"
        )
    config = overrides(["dreams"], budget_usd, budget_tokens, {}, required=start)
    name = _name(strategy, focus_area)
    begun, finished = last_cycles(project.data / "dreams" / name, FINAL)
    cycle = begun if begun > finished else finished + 1  # one that was interrupted goes on
    base, spec, known = _spec(strategy, focus_area, cycle)
    text = _COMMENT + yaml.safe_dump(spec, sort_keys=False, allow_unicode=True)
    config = [f"procedures=[{name}]", *config]
    with _copy_with(project, name, text) as copy:
        expected = forecast(copy, ["dreams"], config)
    started = None
    if start:
        if not expected.ok:
            raise DreamflowError(f"the night cannot run:\n{expected.text}")
        runner.check_free()
        write_atomic(project.root / _NIGHTS / f"{name}.yaml", text)
        started = runner.start(["dreams"], config)
    return DreamNight(
        name=name,
        cycle=cycle,
        strategy=strategy,
        procedures=known[:SHOWN_PROCEDURES],
        kinds=dict.fromkeys(NightSpec.model_validate(spec).kinds, STRATEGIES[strategy]),
        base=base,
        spec=text,
        forecast=expected,
        started=started,
        next=_next(expected, started, may_start=runner is not None),
    )


def _next(expected: Forecast, started: Started | None, *, may_start: bool) -> str:
    if started:
        return "`status` says how far it is; afterwards `dream_journal` has the variants."
    if not expected.ok:
        return "The night cannot run: see the forecast."
    if may_start:
        return "To start it, call `dream` again with start=true and a budget."
    return "A person can save the spec and run the command, or start this server with --allow-run."


def _name(strategy: str, focus: str) -> str:
    slug = re.sub(r"[^a-z0-9]+", "-", focus.lower()).strip("-")[:40].strip("-")
    return f"agent-{strategy}" + (f"-{slug}" if slug else "")


def _spec(strategy: str, focus: str, cycle: int) -> tuple[str, dict[str, object], list[str]]:
    """The name of the configured night that the spec follows, the spec, and the ids of its procedures."""
    settings = load_settings()
    known = load_procedures(Path(settings.raw_root) / "procedures")
    if not known:
        raise DreamflowError(
            f"there are no procedures in {settings.raw_root}/procedures, so there is nothing to dream about"
        )
    chosen = _matching(focus, known)
    base = next((name for name in settings.procedures if (_NIGHTS / f"{name}.yaml").exists()), "")
    spec: dict[str, object] = {}
    if base:
        given = load_yaml(_NIGHTS / f"{base}.yaml", NightSpec).model_dump(mode="json", exclude_unset=True)
        spec = {key: value for key, value in given.items() if key not in ("limits", "cycle")}
    return base, {**spec, "procedures": chosen, "strategy": strategy, "cycle": cycle}, chosen


def _matching(focus: str, known: Mapping[str, Procedure]) -> list[str]:
    """The ids of the procedures that a focus names: by id or pattern, else by project, category, tag or words."""
    wanted = focus.strip().casefold()
    if not wanted:
        return list(known)
    by_id = [name for name in known if fnmatchcase(name.casefold(), wanted)]
    words = re.findall(r"\w+", wanted)
    scored = {name: sum(word in _text_of(procedure) for word in words) for name, procedure in known.items()}
    best = max(scored.values(), default=0)
    found = by_id or [name for name, score in scored.items() if score == best and score]
    if not found:
        projects = sorted({procedure.project for procedure in known.values()})
        categories = sorted({procedure.category for procedure in known.values()})
        raise DreamflowError(
            f"no procedure is about {focus[:100]!r}. Projects: {', '.join(projects)}. "
            f"Categories: {', '.join(categories)}"
        )
    return found


def _text_of(procedure: Procedure) -> str:
    parts = (procedure.procedure_id, procedure.category, *procedure.tags, *procedure.contexts, procedure.description)
    return " ".join(parts).casefold()


@contextmanager
def _copy_with(project: Project, name: str, spec: str) -> Iterator[Project]:
    """The project with one more night: links to everything, in another folder, so that a forecast changes nothing."""
    folder = Path(tempfile.mkdtemp(prefix="dreamflow-forecast-"))
    try:
        _link(project.root, folder, without={".snakemake", "config"})
        _link(project.root / "config", folder / "config", without={"procedures"})
        _link(project.root / _NIGHTS, folder / _NIGHTS, without={f"{name}.yaml"})
        (folder / _NIGHTS / f"{name}.yaml").write_text(spec, encoding="utf-8")
        yield replace(project, root=folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _link(source: Path, target: Path, without: set[str]) -> None:
    target.mkdir(exist_ok=True)
    for path in source.iterdir() if source.is_dir() else ():
        if path.name not in without:
            os.symlink(path.resolve(), target / path.name)  # noqa: PTH211
