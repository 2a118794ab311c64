"""Calls of a local model answered together against one at a time: answers a second, CPU, and equal answers.

Run: python tests/benchmarks/local_models.py [--model FILE ...] [--calls 32] [--sequences 16] [--repetitions 3]
     [--threads 2] [--tokens 160] [--exact]
Without --model: the small model of config/models.yaml. "One at a time" is the same engine with one sequence.
Two kinds of calls, as a cohort has them: essays (a short prompt, a long answer) and judgements (a rubric that all
share, an essay, and a constrained answer). Each repetition measures both ways, one after the other; the ratios are
medians over repetitions with the lowest and the highest. On a machine with other work, the ratio of CPU time counts.
"""

import argparse
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from statistics import median

sys.path.insert(0, str(Path(__file__).parents[2] / "scripts"))

from dreamflow.generation.model import Message, Response
from dreamflow.generation.models import Model
from dreamflow.generation.providers import Request, llama_cpp_engine
from dreamflow.generation.settings import LocalModels
from local_calls import SCHEMA, SMALL, text


def essay(model: Model, number: int, tokens: int) -> Request:
    """A call with a long answer."""
    prompt = f"Write an essay. Avoid lists. {text(40, 0)}\n\nThe subject: {text(20, number)}"
    sampling = {"temperature": 0.7, "repeat_penalty": 1.05, "max_tokens": tokens}
    return Request(model, [Message("user", prompt)], sampling, number)


def judgement(model: Model, number: int, _tokens: int) -> Request:
    """A call with a long prompt, most of it shared, and a short answer."""
    prompt = f"Judge the essay by this rubric. {text(500, 1)}\n\nThe essay: {text(150, 100 + number)}"
    response_format = {"type": "json_schema", "schema": SCHEMA}
    return Request(model, [Message("user", prompt)], {"temperature": 0.7, "max_tokens": 24}, number, response_format)


@contextmanager
def loaded(name: str, sequences: int, options: argparse.Namespace) -> Iterator[Model]:
    """The model in memory, and no other."""
    llama_cpp_engine.models.clear()
    limits = LocalModels(sequences=sequences, exact=options.exact, prefix_folder=None).as_dict()
    fields = {"model_id": "m", "provider": "llama_cpp", "name": name, "context_length": 2048, "local_models": limits}
    model = Model(**fields, threads=options.threads, gpu_layers=options.gpu_layers)
    llama_cpp_engine.complete(Request(model, [Message("user", "Hello.")], {"max_tokens": 1}, 0))
    yield model


def answers(name: str, make, sequences: int, options: argparse.Namespace) -> tuple[list[Response], float, float]:
    """(answers, seconds, seconds of CPU) with as many callers as sequences and some more."""
    with loaded(name, sequences, options) as model, ThreadPoolExecutor(1 if sequences == 1 else sequences + 4) as pool:
        wall, cpu = time.perf_counter(), time.process_time()
        responses = list(
            pool.map(
                lambda number: llama_cpp_engine.complete(make(model, number, options.tokens)), range(options.calls)
            )
        )
        return responses, time.perf_counter() - wall, time.process_time() - cpu


def spread(ratios: list[float]) -> str:
    """A median with its interval."""
    return f"{median(ratios):.2f} ({min(ratios):.2f}-{max(ratios):.2f})"


def measure(name: str, options: argparse.Namespace) -> None:
    """Print the ratios of one model."""
    print(f"{Path(name).name}, {options.calls} calls, {options.sequences} sequences, exact: {options.exact}")
    total: dict[str, list[list[float]]] = {}
    for make in (essay, judgement):
        walls, cpus, equal = [], [], 0
        for repetition in range(options.repetitions):
            alone, wall, cpu = answers(name, make, 1, options)
            together, wall_together, cpu_together = answers(name, make, options.sequences, options)
            walls.append(wall / wall_together)
            cpus.append(cpu / cpu_together)
            total.setdefault(str(repetition), []).append([wall, wall_together, cpu, cpu_together])
            equal += sum(a.text == b.text for a, b in zip(alone, together, strict=True))
        cached = [sum(r.usage.cached_tokens for r in responses) for responses in (alone, together)]
        print(f"  {make.__name__}s: answers a second {spread(walls)} times, CPU of one at a time {spread(cpus)} times")
        rates = f"{options.calls / wall:.2f} one at a time, {options.calls / wall_together:.2f} together"
        print(f"    answers a second in the last repetition: {rates}")
        print(f"    equal answers: {equal} of {options.calls * options.repetitions}; reused tokens: {cached}")
    sums = [[sum(column) for column in zip(*kinds, strict=True)] for kinds in total.values()]
    speed, cost = (spread([s[i] / s[i + 1] for s in sums]) for i in (0, 2))
    print(f"  both: answers a second {speed} times, CPU of one at a time {cost} times")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", action="append", help="a GGUF file")
    parser.add_argument("--calls", type=int, default=32)
    parser.add_argument("--tokens", type=int, default=160, help="the length of an essay")
    parser.add_argument("--sequences", type=int, default=16)
    parser.add_argument("--repetitions", type=int, default=3)
    parser.add_argument("--threads", type=int)
    parser.add_argument("--gpu-layers", type=int, default=0)
    parser.add_argument("--exact", action="store_true")
    arguments = parser.parse_args()
    for model_name in arguments.model or [SMALL]:
        measure(model_name, arguments)
