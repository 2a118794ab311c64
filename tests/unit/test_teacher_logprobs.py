"""What a teacher finds likely, written for a student that learns from that too."""

import json

import pytest
import torch
from dreamflow.distill.encode import encode_chat
from dreamflow.distill.student import load_student, tokenizer_sha256
from dreamflow.distill.teacher import write_top_logprobs
from dreamflow.errors import ConfigError
from tiny_student import write_tiny_student

TURNS = [{"role": "user", "content": "2+2?"}, {"role": "assistant", "content": "4"}]
MESSAGES = [{"role": "user", "content": "3+3?"}, {"role": "assistant", "content": "6!"}]
ROW = {"gen_id": "a_1", "messages": MESSAGES}


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    return str(write_tiny_student(tmp_path_factory.mktemp("teacher") / "teacher"))


def written(weights, tmp_path, rows, most=5):
    write_top_logprobs(weights, tmp_path / "cache", rows, most, tmp_path / "logprobs", print)
    return {path.stem: json.loads(path.read_text()) for path in (tmp_path / "logprobs").glob("*.json")}


def test_each_token_of_the_answer_has_its_likeliest_tokens(weights, tmp_path):
    found = written(weights, tmp_path, [(ROW, TURNS)])["a_1"]
    model, tokenizer = load_student(weights, tmp_path / "cache")
    ids, start = encode_chat(tokenizer, [*TURNS, *MESSAGES])
    assert found["tokenizer_sha256"] == tokenizer_sha256(tokenizer)
    assert len(found["positions"]) == len(ids) - start == 3  # "6", "!" and the end
    with torch.inference_mode():
        whole = torch.log_softmax(model(input_ids=torch.tensor([ids])).logits[0].float(), -1)
    for place, position in enumerate(found["positions"]):
        expected = whole[start - 1 + place].topk(5)
        assert position["ids"] == expected.indices.tolist()
        assert position["logprobs"] == pytest.approx(expected.values.tolist(), abs=1e-4)


def test_what_the_teacher_saw_before_counts(weights, tmp_path):
    shown = written(weights, tmp_path / "shown", [(ROW, TURNS)])["a_1"]
    alone = written(weights, tmp_path / "alone", [(ROW, [])])["a_1"]
    assert shown["positions"] != alone["positions"]


def test_more_tokens_than_there_are(weights, tmp_path):
    with pytest.raises(ConfigError, match="top_logprobs is 100000"):
        written(weights, tmp_path, [(ROW, [])], most=100_000)
