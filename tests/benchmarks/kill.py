"""A run that is killed (-9) at random moments and started again: nothing is lost, nothing is asked twice.

Run: python tests/benchmarks/kill.py [CHAINS] [KILLS] [SEED]     (3000 chains of 3 generations, 20 kills)
The moments are drawn over all calls, and so over all stages. An answer that was stored when a run was killed must never
be asked for again, must be in the ledger, and its generation must be made in the end. Of a call in flight at the kill
nobody can know whether it was answered: it is made again, and must be listed as lost, as it may have been billed.
"""

import json
import os
import random
import signal
import sys
import tempfile
import time
from pathlib import Path

from chains import STAGES, make_project, query, server_model
from dreamflow.files import sha256
from project import Project
from service import Service

LATENCY_S = 0.05


def stored_prompts(project: Project) -> set[str]:
    """The digests of the prompts whose answers are stored."""
    records = query(project, "SELECT record FROM answers")
    return {sha256(json.loads(record)["request"]["messages"][-1]["content"]) for (record,) in records}


def run_until(project: Project, service: Service, answers: int, delay_s: float) -> bool:
    """Run, and kill the run a moment after the server has sent so many answers; False if it ended before."""
    process = project.start()
    while process.poll() is None and service.counts()["answers"] < answers:
        time.sleep(0.02)
    time.sleep(delay_s)
    was_running = process.poll() is None
    if was_running:
        os.killpg(process.pid, signal.SIGKILL)
    screen, _ = process.communicate()
    if not was_running:
        print(f"the run ended by itself ({process.returncode}):\n{screen[-2000:]}")
    project.run("--unlock")
    return was_running


def main(chains: int, kills: int, seed: int) -> int:
    """Kill, and check; the number of problems."""
    draw, total = random.Random(seed), chains * STAGES
    with tempfile.TemporaryDirectory() as folder, Service({"latency_s": LATENCY_S}) as service:
        project = make_project(Path(folder).resolve(), chains, server_model(service.url))
        kept: dict[str, int] = {}  # the calls of each prompt when its answer was first seen in the store
        started = time.monotonic()
        for number, answers in enumerate(sorted(draw.sample(range(1, total), kills)), 1):
            killed = run_until(project, service, answers, draw.random() / 5)
            counts, stored = service.counts(questions=True), stored_prompts(project)
            kept |= {prompt: counts["prompts"][prompt] for prompt in stored - kept.keys()}
            what = f"{counts['answers']:,} answers sent, {len(stored):,} stored, {counts['unsure']} broken off"
            print(f"kill {number:2}: {what}" if killed else "no kill", flush=True)
        done = project.run()
        counts, stored, made = service.counts(questions=True), stored_prompts(project), project.generations()
        ledger = query(project, "SELECT COUNT(*), COUNT(DISTINCT key) FROM ledger")[0]
        ((lost,),) = query(project, "SELECT COUNT(*) FROM lost")
        repeated = sum(counts["prompts"][prompt] - calls for prompt, calls in kept.items())
        usable = sum(result["status"] == "ok" for result in made.values())
        checks = {
            f"the last run ended with {done.returncode}:\n{done.stdout[-2000:]}": done.returncode == 0,
            f"{repeated} stored answers were asked for again": repeated == 0,
            f"{len(stored):,} of {total:,} answers are stored": len(stored) == total,
            f"{ledger[0]:,} rows of {ledger[1]:,} answers are in the ledger": tuple(ledger) == (total, total),
            f"{usable:,} of {total:,} generations are usable": usable == total,
        }
        in_flight = counts["answers"] + counts["unsure"] - total
        checks[f"{in_flight} calls were in flight, {lost} are listed as lost"] = lost >= in_flight
        problems = [text for text, holds in checks.items() if not holds]
        print(
            f"{total:,} generations, {kills} kills, {time.monotonic() - started:.0f} s: {repeated} repeated, "
            f"{total - len(stored)} lost, {in_flight} calls in flight when killed ({lost} listed)"
        )
        print("\n".join(problems) or "nothing is wrong")
    return len(problems)


if __name__ == "__main__":
    given = [int(argument) for argument in sys.argv[1:]]
    sys.exit(main(*given, *(3000, 20, 1)[len(given) :]))
