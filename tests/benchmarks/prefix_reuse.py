"""How much prefix reuse saves: within a run, and over runs through states on disk.

Run: python tests/benchmarks/prefix_reuse.py [--threads N] [--model FILE] [--essays 20] [--repetitions 3]
Prints (1) 20 essays of 300 tokens judged by one rubric of 1,500, one at a time, with reuse and without, and whether all
answers are the same; (2) the first call of a new run, the load of the model included, with the prefix on disk and
without, by the length of the prefix. The lowest of the repetitions counts.
"""

import argparse
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2] / "scripts"))

from dreamflow.generation.model import Message
from dreamflow.generation.models import Model
from dreamflow.generation.providers import Request, llama_cpp_engine
from dreamflow.generation.settings import LocalModels
from local_calls import SCHEMA, SMALL, text

RUBRIC_TOKENS, ESSAY_TOKENS = 1500, 300
PREFIX_LENGTHS = (64, 128, 256, 512, 1024, 2048)


def complete(options: argparse.Namespace, limits: LocalModels, prompt: str, sample: int):
    """One evaluation with a constrained answer."""
    fields = {"model_id": "m", "provider": "llama_cpp", "name": options.model, "context_length": 4096}
    if options.threads:
        fields["threads"] = options.threads
    model = Model(**fields, local_models=limits.as_dict())
    sampling = {"temperature": 0.7, "max_tokens": 24}
    response_format = {"type": "json_schema", "schema": SCHEMA}
    return llama_cpp_engine.complete(Request(model, [Message("user", prompt)], sampling, sample, response_format))


def judge(options: argparse.Namespace, prefix_states: int) -> tuple[float, float, list[str], list[int]]:
    """(seconds, seconds of CPU, answers, cached tokens) of the evaluation stage; the model is loaded before."""
    limits = LocalModels(prefix_states=prefix_states, prefix_folder=None, sequences=1)
    llama_cpp_engine.models.clear()
    complete(options, limits, "Hello.", 0)
    wall, cpu = time.perf_counter(), time.process_time()
    rubric = "Judge the essay by this rubric. " + text(RUBRIC_TOKENS, 0)
    responses = [
        complete(options, limits, f"{rubric}\n\nEssay:\n{text(ESSAY_TOKENS, number)}", number)
        for number in range(1, options.essays + 1)
    ]
    seconds = time.perf_counter() - wall, time.process_time() - cpu
    return *seconds, [r.text for r in responses], [r.usage.cached_tokens for r in responses]


def first_call(options: argparse.Namespace, length: int, folder: str | None, number: int) -> tuple[float, float, str]:
    """(seconds, seconds of CPU, answer) of the first call of a run."""
    llama_cpp_engine.models.clear()
    limits = LocalModels(prefix_folder=folder, sequences=1)
    wall, cpu = time.perf_counter(), time.process_time()
    answer = complete(options, limits, f"{text(length, length)}\n\nEssay:\n{text(30, number)}", number)
    return time.perf_counter() - wall, time.process_time() - cpu, answer.text


def over_runs(options: argparse.Namespace) -> bool:
    """Print the latency by length of the prefix; whether all answers were the same."""
    same = True
    for length in PREFIX_LENGTHS:
        with tempfile.TemporaryDirectory() as folder:
            llama_cpp_engine.models.clear()
            limits = LocalModels(prefix_folder=folder, sequences=1)
            for number in (1, 2):  # the second finds what they share
                complete(options, limits, f"{text(length, length)}\n\nEssay:\n{text(30, number)}", number)
            size = sum(path.stat().st_size for path in Path(folder).glob("*/*.state"))
            pairs = [[first_call(options, length, f, 3) for f in (None, folder)] for _ in range(options.repetitions)]
        without, on_disk = ([min(pair[way][kind] for pair in pairs) for kind in (0, 1)] for way in (0, 1))
        same &= all(pair[0][2] == pair[1][2] for pair in pairs)
        less, less_cpu = (1 - on_disk[kind] / without[kind] for kind in (0, 1))
        print(f"prefix of {length:4} tokens ({size / 1e6:.1f} MB): first call {without[0]:.2f} s, ", end="")
        print(f"from disk {on_disk[0]:.2f} s ({less:.0%} less; CPU {less_cpu:.0%} less)", flush=True)
    return same


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", default=SMALL)
    parser.add_argument("--threads", type=int)
    parser.add_argument("--essays", type=int, default=20)
    parser.add_argument("--repetitions", type=int, default=3)
    arguments = parser.parse_args()
    without, cpu_without, answers_without, _ = judge(arguments, 0)
    with_reuse, cpu_with, answers_with, cached = judge(arguments, 8)
    ratio, cpu_ratio = without / with_reuse, cpu_without / cpu_with
    print(f"without reuse {without:.1f} s, with reuse {with_reuse:.1f} s, ratio {ratio:.2f} (of CPU {cpu_ratio:.2f})")
    print(f"cached tokens of each evaluation: {cached}")
    same_answers = answers_without == answers_with
    same_answers &= over_runs(arguments)
    print(f"same answers: {same_answers}")
    sys.exit(not same_answers)
