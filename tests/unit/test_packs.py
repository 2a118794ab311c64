"""Packs: which generations are answered together, what keeps its pack, and what a pack does with what fails."""

import json
from pathlib import Path
from typing import Any

import pytest
from dreamflow.errors import DreamflowError
from dreamflow.files import write_atomic
from dreamflow.generation.packs import (
    Packs,
    answer_pack,
    extended,
    is_packable,
    memory_mb,
    pack_path,
    plan_path,
    problems_of,
    read_packs,
    settled,
    write_packs,
)

MODELS = {
    "small": {"provider": "llama_cpp", "gpu_layers": 0, "name": "no-such-file.gguf"},
    "large": {"provider": "llama_cpp", "gpu_layers": -1, "name": "no-such-file.gguf"},
    "remote": {"provider": "openai", "gpu_layers": 0, "name": "x"},
}


def row(
    stage: str = "draft", model: str | None = "small", parents: tuple[str, ...] = (), **more: Any
) -> dict[str, Any]:
    asked = {"model_id": model} if model else None
    return {"stage": stage, "mode": "llm", "model": asked, "parents": list(parents), **more}


def rows_of(count: int) -> dict[str, dict[str, Any]]:
    return {f"d_{number}": row() for number in range(count)}


def make(data: Path, gen_id: str, stage: str = "draft") -> None:
    write_atomic(data / "gens" / stage / gen_id / "metadata.json", "{}")


def run_begins(data: Path, rows: dict[str, Any], size: int) -> Packs:
    """The packs of a run, written as when it starts."""
    packs = extended(settled(read_packs(data), rows, data), rows, data, MODELS, {}, size)
    write_packs(packs, data)
    return packs


def test_what_is_to_be_made_is_divided_in_its_order(tmp_path: Path) -> None:
    rows = rows_of(5)
    make(tmp_path, "d_1")
    packs = run_begins(tmp_path, rows, 3)
    assert sorted(packs.members.values()) == [("d_0", "d_2", "d_3"), ("d_4",)]
    assert "d_1" not in packs.of
    assert all(gen_id in packs.assigned[pack_id] for gen_id, pack_id in packs.of.items())
    assert read_packs(tmp_path) == packs


def test_without_packs_nothing_is_written(tmp_path: Path) -> None:
    assert run_begins(tmp_path, rows_of(3), 0) == Packs()
    assert not plan_path(tmp_path).exists()


def test_a_pack_has_one_stage_model_and_origin_and_no_generation_with_its_parent(tmp_path: Path) -> None:
    rows = {
        "d_0": row(),
        "d_1": row(model="large"),
        "d_2": row(),
        "e_0": row("essay", parents=("d_0",)),
        "e_1": row("essay", parents=("e_0",)),
    }
    packs = extended(Packs(), rows, tmp_path, MODELS, {"d_2": "another cohort"}, 10)
    assert sorted(packs.members.values()) == [("d_0",), ("d_1",), ("d_2",), ("e_0",), ("e_1",)]
    assert [pack_id for pack_id in packs.members if pack_id.startswith("g_")] == [packs.of["d_1"]]


@pytest.mark.parametrize(
    ("asked", "packable"),
    [
        (row(), True),
        (row(model="remote"), False),
        (row(fallbacks=[{"model": {"model_id": "large"}}]), True),
        (row(fallbacks=[{"model": {"model_id": "remote"}}]), False),
        (row(model=None, mode="copy"), False),
        (row(mode="human"), False),
    ],
)
def test_only_what_asks_nobody_else_is_packed(asked: dict[str, Any], packable: bool) -> None:
    assert is_packable(asked, MODELS) is packable


def test_what_is_made_keeps_its_pack_and_the_rest_is_divided_anew(tmp_path: Path) -> None:
    rows = rows_of(4)
    first = run_begins(tmp_path, rows, 4)
    make(tmp_path, "d_0")
    (pack_id,) = first.members
    second = run_begins(tmp_path, rows, 2)
    assert second.of["d_0"] == pack_id
    assert second.assigned[pack_id] == ["d_0"]
    assert {second.of[gen_id] for gen_id in ("d_1", "d_2", "d_3")}.isdisjoint({pack_id})
    # Without packs, what is not made yet is made without one.
    assert run_begins(tmp_path, rows, 0).of == {"d_0": pack_id}


def test_what_a_pack_has_answered_stays_in_it_and_what_it_has_not_leaves_it(tmp_path: Path) -> None:
    rows = rows_of(3)
    (pack_id,) = run_begins(tmp_path, rows, 3).members
    write_atomic(pack_path(tmp_path, pack_id), json.dumps({"problems": {"d_1": "too long"}}))
    packs = run_begins(tmp_path, rows, 3)
    assert packs.assigned[pack_id] == ["d_0", "d_2"]
    assert packs.members[packs.of["d_1"]] == ("d_1",)


def test_what_is_no_longer_planned_keeps_its_pack_while_it_lies_there(tmp_path: Path) -> None:
    packs = run_begins(tmp_path, rows_of(2), 2)
    make(tmp_path, "d_0")
    assert run_begins(tmp_path, {}, 2).of == {"d_0": packs.of["d_0"]}


def test_a_plan_that_is_torn_is_named(tmp_path: Path) -> None:
    write_atomic(plan_path(tmp_path), '{"members": [')
    with pytest.raises(DreamflowError, match=r"plan\.json cannot be read; delete it"):
        read_packs(tmp_path)


def fails_for(*bad: str) -> tuple[list[str], Any]:
    asked: list[str] = []

    def answer(gen_id: str) -> None:
        asked.append(gen_id)
        if gen_id in bad:
            raise DreamflowError(f"{gen_id} is too long")

    return asked, answer


def test_what_fails_in_a_pack_is_noted_and_the_others_are_answered(tmp_path: Path) -> None:
    asked, answer = fails_for("d_1")
    problems = answer_pack("p_0", ["d_0", "d_1", "d_2"], answer, tmp_path)
    assert asked == ["d_0", "d_1", "d_2"]
    assert problems == problems_of(tmp_path, "p_0") == {"d_1": "d_1 is too long"}


def test_a_pack_of_which_nothing_could_be_answered_has_failed(tmp_path: Path) -> None:
    _, answer = fails_for("d_0", "d_1")
    with pytest.raises(DreamflowError, match=r"none of 2 could be answered\nd_0 is too long\nd_1 is too long"):
        answer_pack("p_0", ["d_0", "d_1"], answer, tmp_path)
    assert not pack_path(tmp_path, "p_0").exists()
    assert problems_of(tmp_path, "p_0") == {}


def test_a_pack_that_nobody_needs_any_more_is_done(tmp_path: Path) -> None:
    assert answer_pack("p_0", [], lambda gen_id: None, tmp_path) == {}
    assert pack_path(tmp_path, "p_0").exists()


def test_memory_follows_the_largest_model(tmp_path: Path) -> None:
    (tmp_path / "model.gguf").write_bytes(bytes(4_000_000))
    models = {"a": {"name": str(tmp_path / "model.gguf")}, "b": {"name": str(tmp_path / "gone.gguf")}}
    assert memory_mb([row(model="a")], models) == 1506
    assert memory_mb([row(model="a"), row(model="b")], models) > 4000
