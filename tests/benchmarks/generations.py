"""What the library needs to make a generation, without Snakemake: CPU time of this process.

Run: python tests/benchmarks/generations.py [CHAINS] [replay] [http] [profile]
Chains of a draft, its essay and its evaluation, each with a prompt of its own, in 64 threads, as in one shard after the
other. Prints microseconds a generation for recorded answers (`replay`) or a server without latency (`http`), of this
process and of all that it costs (`user` and `sys`), and the same for bare writes of the same files; then of a second
pass that finds all answers in the store. `profile` prints where the time goes, in one thread.
"""

import cProfile
import json
import os
import pstats
import shutil
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parents[2] / "scripts"))

from dreamflow.files import sha256, write_folder
from dreamflow.generation.calls import Calls
from dreamflow.generation.make import Context, make_with_parents
from dreamflow.generation.model import Generation
from dreamflow.generation.render import render, resolve
from dreamflow.generation.store import database
from dreamflow.plan import Plan, compile_plan
from dreamflow.run_budgets import configured_budgets, labels
from project import Project
from service import Service

THREADS, CONCEPTS = 64, 400
TEXT = "What may follow from these two ideas, and what speaks against it? Number {}. " * 12


def spec(chains: int) -> dict[str, Any]:
    """A cohort of so many drafts, each with one essay and one evaluation."""
    names = [f"c{number}" for number in range(CONCEPTS)]
    pairs = [[one, other] for place, one in enumerate(names) for other in names[:place]]
    return {
        "combos": {"lists": pairs[:chains]},
        "axes": {
            "draft_template": ["plain"],
            "draft_llm": ["m"],
            "essay_template": ["long"],
            "evaluation_template": ["novelty"],
            "evaluation_llm": ["m"],
        },
        "output": {"field_order": ["combo_id"]},
        "stages": {"draft": {"min_lines": 1}},
    }


def project(root: Path, chains: int, model: dict[str, Any]) -> Plan:
    """The plan of a project in `root`, which becomes the working directory."""
    made = Project(root, {"m": model}, spec(chains))
    names = [f"c{number}" for number in range(CONCEPTS)]
    made.rows("data/1_raw/concepts_metadata.csv", ["concept_id", "name"], [(name, name.upper()) for name in names])
    for name in names:
        made.write(f"data/1_raw/concepts/descriptions-paragraph/{name}.txt", f"What {name} is. " + "It is so. " * 20)
    made.edit("config/config.yaml", budgets={"day": {"tokens": 10**12}})
    os.chdir(root)
    plan = compile_plan(made.read("config/config.yaml"))
    plan.check()
    return plan


def chains_of(plan: Plan) -> list[list[Generation]]:
    """The generations of each chain, in order."""
    rows = plan.world.generations
    child = {row.parents[0]: row for row in rows.values() if row.parents}
    drafts = [row for row in rows.values() if not row.parents]
    return [[draft, (essay := child[draft.gen_id]), child[essay.gen_id]] for draft in drafts]


def record_answers(plan: Plan, chains: Sequence[Sequence[Generation]], path: Path) -> None:
    """Write the file of recorded answers: one for each prompt."""
    texts, lines = plan.world.catalog.texts, []
    for number, rows in enumerate(chains):
        parent = ""
        for row in rows:
            values = resolve(row.variables, texts, lambda _gen_id, parent=parent: parent)
            digest = sha256(render(texts[row.template_sha256], values, row.gen_id))
            parent = TEXT.format(*[f"{number} {row.stage}"] * 12) + ("\nSCORE: 7" if row.stage == "evaluation" else "")
            lines.append(json.dumps({"prompt_sha256": digest, "text": parent}) + "\n")
    path.write_text("".join(lines))


def context_of(plan: Plan) -> Context:
    """What the generations need, as in a run."""
    budgets = configured_budgets(plan.world.settings, "r")
    calls = Calls(plan.world.layout.store, plan.models, run="r", budgets=budgets, labels=partial(labels, plan, "r"))
    return Context(plan.world.layout, plan.world.catalog.texts, plan.models, calls)


def make_chain(context: Context, rows: Sequence[Generation]) -> None:
    """Make the generations of a chain."""
    parents = []
    for row in rows:
        result, parent = make_with_parents(row, context, parents)
        if result.status != "ok":
            raise AssertionError(result.reason)
        parents = [parent]


def write_chain(root: Path, rows: Sequence[Generation]) -> None:
    """Write four files for each generation of a chain, and nothing else."""
    for row in rows:
        names = ("prompt.txt", "raw.txt", "parsed.txt", "metadata.json")
        write_folder(root / row.stage / row.gen_id, dict.fromkeys(names, "x" * 1500))


def measure(what: str, work: Any, chains: Sequence[Sequence[Generation]]) -> None:
    """Print what the work on all chains costs."""
    wall, before = time.perf_counter(), os.times()
    with ThreadPoolExecutor(THREADS) as pool:
        for _ in pool.map(work, chains):
            pass
    wall, after = time.perf_counter() - wall, os.times()
    count = sum(map(len, chains))
    user, system = (1e6 * (now - then) / count for now, then in list(zip(after, before, strict=True))[:2])
    line = f"{user + system:.0f} us of CPU a generation (user {user:.0f}, sys {system:.0f})"
    print(f"{what}: {line}, {1e6 * wall / count:.0f} us of wall time", flush=True)


def main(count: int, parts: Sequence[str]) -> None:
    """Measure and print."""
    for part in parts:
        with tempfile.TemporaryDirectory() as folder, Service({}) as service:
            root = Path(folder).resolve()
            model = {"sampling": {"temperature": 0.5, "max_tokens": 500}}
            if part == "http":
                price = {"prompt": 1.0, "completion": 2.0}
                model |= {"provider": "openai", "name": "m", "base_url": service.url, "price": price}
                model |= {"context_length": 8192}
            else:
                model |= {"provider": "replay", "name": str(root / "answers.jsonl")}
            plan = project(root, count, model)
            chains = chains_of(plan)
            record_answers(plan, chains, root / "answers.jsonl")
            context = context_of(plan)
            if part == "profile":
                profile = cProfile.Profile()
                profile.enable()
                for rows in chains:
                    make_chain(context, rows)
                profile.disable()
                pstats.Stats(profile).sort_stats("tottime").print_stats(45)
                continue
            measure(f"{part}, bare writes", partial(write_chain, root / "bare"), chains)
            measure(f"{part}, new", partial(make_chain, context), chains)
            shutil.rmtree(plan.world.layout.root / "gens")
            measure(f"{part}, from the store", partial(make_chain, context), chains)
            measure(f"{part}, again over its files", partial(make_chain, context), chains)
            database(plan.world.layout.store).close()


if __name__ == "__main__":
    numbers = [int(argument) for argument in sys.argv[1:] if argument.isdigit()]
    named = [argument for argument in sys.argv[1:] if not argument.isdigit()]
    main(numbers[0] if numbers else 2000, named or ["replay", "http"])
