"""The project of the benchmarks: chains of a draft, its essay and its evaluation, each with a prompt of its own."""

import json
import os
import sqlite3
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import closing
from itertools import combinations, islice
from pathlib import Path
from typing import Any, NamedTuple

sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parents[2] / "scripts"))

from dreamflow.files import sha256
from dreamflow.generation.model import Generation
from dreamflow.generation.render import render, resolve
from dreamflow.plan import Plan, compile_plan
from project import Project

STAGES = 3  # generations of a chain
CONCEPTS = [f"c{number}" for number in range(400)]  # 79,800 pairs
TEXT = "What may follow from these two ideas, and what speaks against it? Number {}. " * 12
RECORDED = {"provider": "replay", "name": "answers.jsonl", "sampling": {"temperature": 0.5, "max_tokens": 500}}


def server_model(url: str) -> dict[str, Any]:
    """A model of a server as in `service`."""
    sampling, price = {"temperature": 0.5, "max_tokens": 500}, {"prompt": 1.0, "completion": 2.0}
    row = {"provider": "openai", "name": "m", "base_url": url, "context_length": 8192}
    return {**row, "sampling": sampling, "price": price}


def make_project(root: Path, chains: int, model: dict[str, Any]) -> Project:
    """A project with a cohort of so many chains, all by one model."""
    axes = {
        "draft_template": ["plain"],
        "draft_llm": ["m"],
        "essay_template": ["long"],
        "evaluation_template": ["novelty"],
        "evaluation_llm": ["m"],
    }
    combos = {"lists": [list(pair) for pair in islice(combinations(CONCEPTS, 2), chains)]}
    stages = {"draft": {"min_lines": 1}}
    spec = {"combos": combos, "axes": axes, "output": {"field_order": ["combo_id"]}, "stages": stages}
    project = Project(root, {"m": model}, spec)
    project.rows("data/1_raw/concepts_metadata.csv", ["concept_id", "name"], [(c, c.upper()) for c in CONCEPTS])
    for concept in CONCEPTS:
        text = f"What {concept} is. " + "It is so. " * 20
        project.write(f"data/1_raw/concepts/descriptions-paragraph/{concept}.txt", text)
    return project


def plan_of(project: Project) -> Plan:
    """The plan of a project, whose root becomes the working directory."""
    os.chdir(project.root)
    plan = compile_plan(project.read("config/config.yaml"))
    plan.check()
    return plan


def chains_of(plan: Plan) -> list[list[Generation]]:
    """The generations of each chain, in order."""
    rows = plan.world.generations
    child = {row.parents[0]: row for row in rows.values() if row.parents}
    drafts = [row for row in rows.values() if not row.parents]
    return [[draft, (essay := child[draft.gen_id]), child[essay.gen_id]] for draft in drafts]


def record_answers(plan: Plan, path: Path) -> None:
    """Write the file of recorded answers: one for each prompt, and none for others."""
    texts, lines = plan.world.catalog.texts, []
    for number, rows in enumerate(chains_of(plan)):
        parent = ""
        for row in rows:
            values = resolve(row.variables, texts, lambda _gen_id, parent=parent: parent)
            digest = sha256(render(texts[row.template_sha256], values, row.gen_id))
            parent = TEXT.format(*[f"{number} {row.stage}"] * 12) + ("\nSCORE: 7" if row.stage == "evaluation" else "")
            lines.append(json.dumps({"prompt_sha256": digest, "text": parent}) + "\n")
    path.write_text("".join(lines))


class Cost(NamedTuple):
    """What a command took: seconds of wall and CPU time (of all its processes), and memory of the largest in MB."""

    wall: float
    cpu: float
    memory: float


def measure(command: Sequence[str], project: Project) -> Cost:
    """Run a command, which has to succeed."""
    started = time.perf_counter()
    with (project.root / "screen.txt").open("w+") as screen:
        process = subprocess.Popen(command, env=project.environment(), stdout=screen, stderr=subprocess.STDOUT)
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        wall = time.perf_counter() - started
        if process.returncode:
            screen.seek(0)
            sys.exit(f"{' '.join(command)} failed:\n{(text := screen.read())[:1500]}\n...\n{text[-1500:]}")
    return Cost(wall, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024)


def query(project: Project, sql: str) -> list[Any]:
    """Rows of the response store; none before it exists."""
    path = project.root / "data/store/answers.sqlite"
    if not path.exists():
        return []
    with closing(sqlite3.connect(path)) as store:
        return store.execute(sql).fetchall()
