"""Summaries: the same from a result, from files and from JSON, and each read once until it may have changed."""

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from dreamflow.errors import DreamflowError
from dreamflow.files import pretty
from dreamflow.generation.model import (
    Attempt,
    Call,
    Message,
    ModelIdentity,
    Question,
    Record,
    Response,
    Result,
    as_json,
)
from dreamflow.generation.summary import Summaries, Summary, read_summary, summarise
from stored import save_response

MODEL = ModelIdentity(model_id="m", provider="openai", name="one", revision="")


def result(**fields: Any) -> Result:
    own = {"model_id": "m", "provider": "openai", "model_name": "one-2024", "origin_cohort_id": "first"}
    return Result(**{"gen_id": "v_a", "stage": "evaluation", "cost_usd": 0.5, **own, **fields})


def lay(root: Path, made: Result, text: str | None) -> None:
    folder = root / "gens" / made.stage / made.gen_id
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "metadata.json").write_text(pretty(as_json(made)))
    if text is not None:
        (folder / "parsed.txt").write_text(text)


def samples(store: Path, costs: dict[str, float | None]) -> list[Attempt]:
    """The samples of a generation, whose answers are in the store."""
    for key, cost in costs.items():
        question = Question(MODEL, [Message("user", "?")], {}, None, 0)
        call = Call(gen_id="v_a", stage="evaluation", cohort_id="", at="", latency_s=1.0, cost_usd=cost)
        save_response(store, key, Record(schema_version=1, request=question, response=Response("x"), call=call))
    return [Attempt(sample=number, response_key=key, error=None) for number, key in enumerate(costs)]


@pytest.mark.parametrize(
    ("fields", "text", "expected"),
    [
        ({}, "so\n7\n", {"score": 7.0}),
        ({}, "none", {}),
        ({}, "", {}),
        ({}, None, {"no_text": True}),
        ({"cost_usd": 0}, "7", {"score": 7.0, "cost_usd": 0}),
        ({"status": "failed", "reason": "no\n number"}, "", {"status": "failed", "reason": "no\n number"}),
        ({"parsed": {"warnings": ["odd", "long"]}}, "1", {"score": 1.0, "warnings": "odd; long"}),
    ],
)
def test_a_summary_is_the_same_from_a_result_and_from_its_files(
    tmp_path: Path, fields: dict[str, Any], text: str | None, expected: dict[str, Any]
) -> None:
    made = result(**fields)
    lay(tmp_path, made, text)
    usual = {"cost_usd": 0.5, "origin_cohort_id": "first", "model_id": "m", "provider": "openai"}
    summary = Summary(**{**usual, "model_name": "one-2024", **expected})
    assert summarise(made, tmp_path, text) == summary == read_summary(tmp_path, "evaluation", "v_a")
    stored = msgspec.json.encode(summary)
    assert msgspec.json.decode(stored, type=Summary) == summary
    assert type(msgspec.json.decode(stored, type=Summary).cost_usd) is type(made.cost_usd)  # 0 and 0.0 look different


@pytest.mark.parametrize(
    ("costs", "total"), [({"k1": 0.25, "k2": 0.5}, 0.75), ({"k1": None, "k2": 0.5}, None)], ids=["known", "unknown"]
)
def test_the_cost_is_that_of_all_samples(tmp_path: Path, costs: dict[str, float | None], total: float | None) -> None:
    made = result(attempts=samples(tmp_path / "store", costs))
    lay(tmp_path, made, "7")
    assert summarise(made, tmp_path, "7").cost_usd == total
    assert read_summary(tmp_path, "evaluation", "v_a").cost_usd == total
    made.attempts = [*made.attempts, Attempt(sample=2, response_key="lost", error=None)]
    assert summarise(made, tmp_path, "7").cost_usd is None


def test_the_score_of_a_draft_is_not_read(tmp_path: Path) -> None:
    lay(tmp_path, result(gen_id="d_a", stage="draft"), "so\n7\n")
    assert read_summary(tmp_path, "draft", "d_a").score is None


def test_each_generation_is_read_once_until_it_may_have_changed(tmp_path: Path) -> None:
    look = Summaries(tmp_path)
    assert look("evaluation", "v_a") is None
    lay(tmp_path, result(), "7")
    assert look("evaluation", "v_a").score == 7, "what did not exist is looked for again"
    lay(tmp_path, result(), "8")
    assert look("evaluation", "v_a").score == 7
    version = look.version
    look.forget()
    assert look.version != version
    assert look("evaluation", "v_a").score == 8


def test_stored_summaries_come_first(tmp_path: Path) -> None:
    lay(tmp_path, result(), "7")
    lay(tmp_path, result(gen_id="v_b"), "6")
    look = Summaries(tmp_path, lambda stage, gen_id: Summary(score=1.0) if gen_id == "v_a" else None)
    assert [look("evaluation", gen_id).score for gen_id in ("v_a", "v_b")] == [1, 6]


def test_damaged_metadata_is_named(tmp_path: Path) -> None:
    lay(tmp_path, result(), "7")
    path = tmp_path / "gens/evaluation/v_a/metadata.json"
    path.write_text(json.dumps({"gen_id": "v_a"}))
    with pytest.raises(DreamflowError, match=f"{path}: damaged: .* Delete its folder and run again"):
        read_summary(tmp_path, "evaluation", "v_a")
