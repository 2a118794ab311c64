"""What the library needs to make a generation, without Snakemake: CPU time of this process.

Run: python tests/benchmarks/generations.py [CHAINS] [replay] [budget] [http] [profile]
Chains of a draft, its essay and its evaluation, each with a prompt of its own, in 64 threads, as in one shard after the
other. Prints microseconds a generation for recorded answers (`replay`), the same with a budget of tokens (`budget`), or
a server without latency (`http`, with that budget); for bare writes of as many files; and for a second pass that finds
all answers in the store. `profile` prints where the time goes, in one thread. ext4 without a journal creates files
slowly where many were deleted in the last minutes: TMPDIR=/dev/shm leaves the disk out.
"""

import cProfile
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

from chains import RECORDED, chains_of, make_project, plan_of, record_answers, server_model
from dreamflow.files import write_folder
from dreamflow.generation.calls import Calls
from dreamflow.generation.make import Context, make_with_parents
from dreamflow.generation.model import Generation
from dreamflow.generation.store import database
from dreamflow.plan import Plan
from dreamflow.run_budgets import configured_budgets, labels
from service import Service

THREADS = 64


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
            model = server_model(service.url) if part == "http" else RECORDED
            project = make_project(root, count, model)
            if part != "replay":
                project.edit("config/config.yaml", budgets={"day": {"tokens": 10**12}})
            plan = plan_of(project)
            chains = chains_of(plan)
            record_answers(plan, root / "answers.jsonl")
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
    main(numbers[0] if numbers else 2000, named or ["replay", "budget", "http"])
