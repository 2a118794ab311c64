"""Write the teacher's log-probabilities at each token of its accepted answers."""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import torch
from torch.nn.functional import log_softmax

from ..errors import ConfigError
from ..files import write_atomic
from ..generation.model import Json
from .encode import encode_chat
from .student import load_student, tokenizer_sha256


@torch.inference_mode()
def write_top_logprobs(
    source: str,
    cache: Path,
    rows: Sequence[tuple[Mapping[str, Json], Sequence[Mapping[str, str]]]],
    count: int,
    folder: Path,
    tell: Callable[[str], None],
) -> None:
    """Write `folder`/<gen_id>.json for each example: {tokenizer_sha256, temperature, positions: [{ids, logprobs}]}.

    `source` are the teacher's weights (see `load_student`); a row is an example of train.jsonl and the turns before it
    in the teacher's chat. A position has the `count` likeliest token ids and their log-probabilities (nats) at a token
    of the answer or at its end.
    """
    model, tokenizer = load_student(source, cache)
    if count > model.config.vocab_size:
        raise ConfigError(f"top_logprobs is {count}, but {source} has {model.config.vocab_size} tokens")
    digest = tokenizer_sha256(tokenizer)
    for number, (row, turns) in enumerate(rows, 1):
        ids, start = encode_chat(tokenizer, [*turns, *row["messages"]])
        inputs = torch.tensor([ids[:-1]], device=model.device)
        logits = model(input_ids=inputs, logits_to_keep=len(ids) - start, use_cache=False).logits[0].float()
        likeliest = log_softmax(logits, -1).topk(count)
        positions = [
            {"ids": tokens.tolist(), "logprobs": [round(value, 5) for value in values.tolist()]}
            for tokens, values in zip(likeliest.indices, likeliest.values, strict=True)
        ]
        content = {"tokenizer_sha256": digest, "temperature": 1.0, "positions": positions}
        write_atomic(folder / f"{row['gen_id']}.json", json.dumps(content) + "\n")
        if number % 20 == 0 or number == len(rows):
            tell(f"log-probabilities of {number} of {len(rows)} answers")
