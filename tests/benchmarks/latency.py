"""Chains of three generations on a server that takes its time, 64 calls in flight, beside a bare asyncio loop.

Run: python tests/benchmarks/latency.py [CHAINS] [LATENCY_S ...]     (1000 chains, 0.2 and 2 s)
Prints the seconds of a whole run (start to reports) and those from the first call to the last answer, generations a
second, and both as a ratio to the ideal: all calls, 64 at a time, without any other work. The loop asks the same server
questions of the same length, each chain one after the other.
"""

import asyncio
import sys
import tempfile
import time
from pathlib import Path

import aiohttp
from chains import STAGES, TEXT, make_project, measure, server_model
from service import Service

IN_FLIGHT = 64


async def bare_loop(url: str, chains: int) -> float:
    """The seconds of a loop that does nothing but ask."""
    places = asyncio.Semaphore(IN_FLIGHT)

    async def ask(session: aiohttp.ClientSession, prompt: str) -> str:
        body = {"model": "m", "messages": [{"role": "user", "content": prompt}], "max_tokens": 500}
        async with places, session.post(f"{url}/chat/completions", json=body) as response:
            return (await response.json())["choices"][0]["message"]["content"]

    async def chain(session: aiohttp.ClientSession, number: int) -> None:
        draft = await ask(session, f"Join these. {number} {TEXT}")
        essay = await ask(session, f"Write an essay on this draft.\n{draft}")
        await ask(session, f"Rate novelty from 0 to 9; end with SCORE: n.\n{essay}")

    started = time.perf_counter()
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=IN_FLIGHT)) as session:
        await asyncio.gather(*(chain(session, number) for number in range(chains)))
    return time.perf_counter() - started


def main(chains: int, latency_s: float) -> None:
    """Measure and print."""
    calls = chains * STAGES
    ideal = calls * latency_s / IN_FLIGHT
    with tempfile.TemporaryDirectory() as folder:
        with Service({"latency_s": latency_s}) as service:
            loop = asyncio.run(bare_loop(service.url, chains))
        with Service({"latency_s": latency_s}) as service:
            project = make_project(Path(folder).resolve(), chains, server_model(service.url))
            cost = measure(project.command("--cores", str(IN_FLIGHT)), project)
            counts = service.counts()
        if counts["answers"] != calls:
            sys.exit(f"{counts['answers']:,} answers were sent instead of {calls:,}")
        print(
            f"{latency_s:g} s latency, {calls:,} generations, {counts['peak']} in flight, {cost.cpu:.1f} s of CPU time"
        )
        spans = {"asyncio loop": loop, "calls": counts["seconds"] + latency_s, "whole run": cost.wall}
        for what, seconds in {"ideal": ideal, **spans}.items():
            line = f"{seconds:7.1f} s {calls / seconds:6.0f} a second, {seconds / ideal:.2f} of the ideal"
            print(f"  {what:13}{line}, {seconds / loop:.2f} of the loop", flush=True)


if __name__ == "__main__":
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 1000
    for latency in sys.argv[2:] or ["0.2", "2"]:
        main(count, float(latency))
