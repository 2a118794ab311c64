"""How fast calls are made: against bare aiohttp beside them, against a server's limit, and with a million answers.

Run: python tests/benchmarks/transport.py [store] [bare] [limit] [stray] [million]
- store: calls a second with store, budgets and ledger, and as a ratio to aiohttp with the same bodies in the same run.
- bare: the same without store and ledger.
- limit: a server that allows 50 requests a second: refused calls, and the time as a ratio to the ideal one.
- stray: 3% of calls are refused whatever the pace, as by OpenRouter's providers: calls a second.
- million: opening a store of a million answers and look-ups in it, and as a ratio to a store of a thousand.
The server is a process of its own; each answer takes 0.2 s, and 200 calls are in flight.
"""

import asyncio
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import median

sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parents[2] / "scripts"))

import aiohttp
import dreamflow.families  # noqa: F401  (it registers the parsers)
from dreamflow.generation.budgets import Budget, Labels
from dreamflow.generation.calls import Calls
from dreamflow.generation.model import Call, Generation, Message, Question, Record, Response, Usage
from dreamflow.generation.models import Model, identity
from dreamflow.generation.providers import Request, provider
from dreamflow.generation.respond import respond
from dreamflow.generation.store import database, load_response, put_answers, request_key
from faults import shares
from service import Service

IN_FLIGHT, LATENCY_S, ROUNDS = 200, 0.2, 3
CALLS = 4000  # in a round: 4 s, if nothing but the latency counted
LIMIT, LIMITED_CALLS = 50, 2000
LOOK_UPS = 5000
STRAY, STRAY_CALLS = 0.03, 500
PROMPT = "Question {}. " + "What may follow from these two ideas, and what speaks against it? " * 20


def model_at(url: str) -> Model:
    """A model of the server."""
    price = {"prompt": 1.0, "completion": 2.0}
    return Model(model_id="m", provider="openai", name="m", base_url=url, context_length=8192, price=price)


def row(number: int, model: Model) -> Generation:
    """A plan row."""
    return Generation(
        family="cohort",
        stage="draft",
        gen_id=f"d_{number}",
        mode="llm",
        template_id="plain",
        template_sha256="T",
        parser="identity/1",
        max_attempts=3,
        min_lines=1,
        model=identity(model),
        sampling={"temperature": 0.5, "max_tokens": 200},
    )


def in_threads(work: Callable[[int], object], numbers: Sequence[int]) -> float:
    """Seconds until so many threads have done the work."""
    left = iter(numbers)

    def worker() -> None:
        for number in left:
            work(number)

    with ThreadPoolExecutor(IN_FLIGHT) as pool:
        started = time.perf_counter()
        for done in [pool.submit(worker) for _ in range(IN_FLIGHT)]:
            done.result()
        return time.perf_counter() - started


def with_store(url: str, numbers: Sequence[int], folder: Path) -> float:
    """Seconds of calls whose answers are stored, booked and held to budgets."""
    model = model_at(url)
    labels = Labels("cohorts", "trial", scopes=["run:r1", "spec:trial"])
    budgets = [Budget("run:r1", "budgets.run", usd=1000.0), Budget("day:", "budgets.day", tokens=10**12)]
    calls = Calls(folder / "store", {"m": model}, run="r1", budgets=budgets, labels=lambda _row: labels)

    def work(number: int) -> None:
        generation = row(number, model)
        outcome = respond(
            generation, PROMPT.format(number), calls.store, calls.ask_for(generation), models=calls.models
        )
        if outcome.status != "ok":
            raise AssertionError(outcome.reason)

    return in_threads(work, numbers)


def without_store(url: str, numbers: Sequence[int], _folder: Path) -> float:
    """Seconds of calls whose answers are only read."""
    model = model_at(url)
    chosen = provider("openai")

    def work(number: int) -> None:
        messages = [Message("user", PROMPT.format(number))]
        chosen.complete(Request(model=model, messages=messages, sampling={"temperature": 0.5, "max_tokens": 200}))

    return in_threads(work, numbers)


def with_aiohttp(url: str, numbers: Sequence[int], _folder: Path) -> float:
    """Seconds of the same calls by aiohttp, which reads the answers as JSON."""

    async def run() -> float:
        left = iter(numbers)
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:

            async def work() -> None:
                for number in left:
                    messages = [{"role": "user", "content": PROMPT.format(number)}]
                    body = {"model": "m", "messages": messages, "temperature": 0.5, "max_tokens": 200}
                    async with session.post(url + "/chat/completions", json=body) as answer:
                        (await answer.json())["choices"][0]["message"]["content"]

            started = time.perf_counter()
            await asyncio.gather(*(work() for _ in range(IN_FLIGHT)))
            return time.perf_counter() - started

    return asyncio.run(run())


def compare(name: str, ours: Callable[[str, Sequence[int], Path], float], folder: Path) -> None:
    """Print the calls a second of `ours` and of aiohttp, in turns, the median ratio, and processor time a call."""
    speeds: dict[str, list[float]] = {"ours": [], "aiohttp": []}
    busy = {"ours": 0.0, "aiohttp": 0.0}
    with Service({"latency_s": LATENCY_S}) as service:
        for turn in range(ROUNDS):
            numbers = range(turn * CALLS, (turn + 1) * CALLS)
            for who, make in (("ours", ours), ("aiohttp", with_aiohttp)):
                before = time.process_time()
                speeds[who].append(CALLS / make(service.url, numbers, folder))
                busy[who] += time.process_time() - before
    ratios = [one / other for one, other in zip(*speeds.values(), strict=True)]
    each = ", ".join(f"{a:.0f} and {b:.0f}" for a, b in zip(*speeds.values(), strict=True))
    cost = " and ".join(f"{1000 * seconds / (ROUNDS * CALLS):.2f}" for seconds in busy.values())
    fast = median(speeds["ours"])
    print(f"{name}: {fast:.0f} calls/s, {median(ratios):.2f} of aiohttp", end="; ")
    print(f"ours and aiohttp: {each}; ms of processor a call: {cost}", flush=True)


def limit(folder: Path) -> None:
    """Print what a limited server costs, for three kinds of Retry-After."""
    for retry_after in ("seconds", "zero", "none"):
        rate = {"requests": LIMIT, "retry_after": retry_after, "headers": False}
        with Service({"latency_s": LATENCY_S, "rate": rate}) as service:
            seconds = with_store(service.url, range(LIMITED_CALLS), folder / retry_after)
            counts = service.counts()
        refused, ideal = counts["refused"], LIMITED_CALLS / LIMIT
        shares = f"{refused} refused ({refused / LIMITED_CALLS:.1%} of {LIMITED_CALLS})"
        print(f"limit, Retry-After {retry_after}: {shares}, {seconds / ideal:.2f} of {ideal:.0f} s", flush=True)


def stray(folder: Path) -> None:
    """Print how much refusals cost that have nothing to do with the pace."""
    faults = shares(("429", "429 untimed", "529"), STRAY)
    with Service({"latency_s": LATENCY_S, "faults": faults}) as service:
        seconds = with_store(service.url, range(STRAY_CALLS), folder)
        refused = sum(service.counts()["faults"].values())
    speed = f"{STRAY_CALLS / seconds:.0f} calls/s in the first {STRAY_CALLS} calls"
    print(f"stray: {refused} calls were refused whatever the pace, {speed}", flush=True)


def question(number: int) -> Question:
    """A small question."""
    return Question(identity(model_at("http://127.0.0.1/v1")), [Message("user", str(number))], {}, None, 0)


def fill(store: Path, count: int) -> float:
    """Put answers into a store; the seconds."""
    made = Call(gen_id="d_1", stage="draft", cohort_id="trial", at="2026-01-01T00:00:00+00:00", latency_s=0.2)
    started = time.perf_counter()

    def put(connection: object, numbers: Sequence[int]) -> None:
        answers = []
        for number in numbers:
            asked = question(number)
            answer = Response("An answer.", usage=Usage(10, 0, 3))
            record = Record(schema_version=1, request=asked, response=answer, call=made)
            answers.append((request_key(asked), record, b"{}"))
        put_answers(connection, answers)

    for first in range(0, count, 50_000):
        numbers = range(first, min(count, first + 50_000))
        database(store).write(lambda connection, numbers=numbers: put(connection, numbers))
    database(store).close()
    return time.perf_counter() - started


def look_up(store: Path, count: int) -> None:
    """Print seconds to open a store in this new process, and milliseconds a look-up of known and unknown questions."""
    chance = random.Random(1)
    known = [question(chance.randrange(count)) for _ in range(LOOK_UPS)]
    unknown = [question(count + number) for number in range(LOOK_UPS)]
    keys = {id(one): request_key(one) for one in known + unknown}
    started = time.perf_counter()
    load_response(store, known[0], keys[id(known[0])])
    opened = time.perf_counter() - started
    figures = [opened]
    for questions, is_known in ((known, True), (unknown, False)):
        started = time.perf_counter()
        for one in questions:
            if (load_response(store, one, keys[id(one)]) is not None) != is_known:
                raise AssertionError(one)
        figures.append((time.perf_counter() - started) / LOOK_UPS)
    print(*figures)


def million(folder: Path) -> None:
    """Print what a large store costs."""
    figures = {}
    for count in (1_000, 1_000_000):
        store = folder / str(count)
        filled = fill(store, count)
        command = [sys.executable, __file__, "look_up", str(store), str(count)]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        figures[count] = [float(figure) for figure in done.stdout.split()]
        size = sum(path.stat().st_size for path in store.rglob("*") if path.is_file())
        opened, known, unknown = (1000 * figure for figure in figures[count])
        text = f"opened in {opened:.1f} ms, {known:.3f} ms a known and {unknown:.3f} ms an unknown question"
        print(f"{count:,} answers: {text} ({size / 1e6:.0f} MB, filled in {filled:.0f} s)", flush=True)
    ratios = [large / small for small, large in zip(*figures.values(), strict=True)]
    print("a million to a thousand: " + ", ".join(f"{ratio:.2f}" for ratio in ratios))


PARTS: dict[str, Callable[[Path], None]] = {
    "store": lambda folder: compare("with store and ledger", with_store, folder),
    "bare": lambda folder: compare("without store and ledger", without_store, folder),
    "limit": limit,
    "stray": stray,
    "million": million,
}


def main(names: Sequence[str]) -> None:
    """Run parts of the benchmark, or all."""
    for name in names or PARTS:
        with tempfile.TemporaryDirectory() as folder:
            PARTS[name](Path(folder))


if __name__ == "__main__":
    if sys.argv[1:2] == ["look_up"]:
        look_up(Path(sys.argv[2]), int(sys.argv[3]))
    else:
        main(sys.argv[1:])
