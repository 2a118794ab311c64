"""Answers of a student: the same whatever they are batched with, and as transformers' own loop would have them."""

import pytest
import torch
from dreamflow.distill.encode import prompt_ids
from dreamflow.distill.measure import answer_prompts
from dreamflow.distill.student import load_student
from tiny_student import write_tiny_student

PROMPTS = ["", "Hello", "Which of these two is the longer one?", "2 + 2", "x" * 60, "Bye", "naïve 😀", "y"]
MOST = 24


@pytest.fixture(scope="module")
def student(tmp_path_factory):
    folder = tmp_path_factory.mktemp("student")
    torch.set_num_threads(1)
    model, tokenizer = load_student(str(write_tiny_student(folder)), folder / "cache")
    return model, tokenizer


@pytest.fixture(scope="module")
def stopping(student, tmp_path_factory):
    """A student that ends some answers by itself: its end-of-turn token is made likelier."""
    model, tokenizer = student
    folder = tmp_path_factory.mktemp("stopping")
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    model, tokenizer = load_student(str(folder), folder / "cache")
    with torch.no_grad():
        model.get_output_embeddings().weight[tokenizer.eos_token_id] *= 2.5
    return model, tokenizer


def plain(answers):
    return [{name: value for name, value in answer.items() if name != "seconds"} for answer in answers]


@pytest.mark.parametrize("batch", [2, 3, 8, 100])
def test_answers_do_not_depend_on_the_batch(stopping, batch):
    alone = plain(answer_prompts(*stopping, PROMPTS, MOST, 1))
    assert plain(answer_prompts(*stopping, PROMPTS, MOST, batch)) == alone
    assert {answer["finish_reason"] for answer in alone} == {"stop", "length"}


def test_answers_are_the_most_likely_tokens(stopping):
    model, tokenizer = stopping
    for prompt, answer in zip(PROMPTS, answer_prompts(model, tokenizer, PROMPTS, MOST, 4), strict=True):
        ids = prompt_ids(tokenizer, [{"role": "user", "content": prompt}])
        whole = model.generate(
            torch.tensor([ids]),
            attention_mask=torch.ones(1, len(ids), dtype=torch.long),
            max_new_tokens=MOST,
            do_sample=False,
            pad_token_id=tokenizer.pad_token_id,
            eos_token_id=tokenizer.eos_token_id,
        )[0][len(ids) :].tolist()
        stopped = tokenizer.eos_token_id in whole
        written = whole[:-1] if stopped else whole
        assert answer["text"] == tokenizer.decode(written, skip_special_tokens=True)
        assert answer["finish_reason"] == ("stop" if stopped else "length")
        assert (answer["prompt_tokens"], answer["completion_tokens"]) == (len(ids), len(written))
        assert answer["seconds"] > 0


def test_progress_is_told_and_no_prompt_is_no_work(student):
    told = []
    assert len(answer_prompts(*student, PROMPTS, 1, 3, told.append)) == len(PROMPTS)
    assert told == [3, 6, 8]
    assert answer_prompts(*student, [], 4, 2) == []
