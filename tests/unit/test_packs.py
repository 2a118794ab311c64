"""Packs: which generations are answered together, what keeps its pack, and what a pack does with what fails."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from dreamflow.errors import DreamflowError
from dreamflow.files import write_atomic
from dreamflow.generation.layout import Layout
from dreamflow.generation.model import Candidate, Generation, ModelIdentity
from dreamflow.generation.models import Model
from dreamflow.generation.packs import (
    Packs,
    answer_pack,
    extend_packs,
    is_packable,
    keep_answered,
    memory_mb,
    pack_path,
    pack_problems,
    read_packs,
    write_packs,
)
from dreamflow.generation.stage import Stage
from msgspec.structs import replace

MODELS = {
    "small": Model(model_id="small", provider="llama_cpp", name="no-such-file.gguf"),
    "large": Model(model_id="large", provider="llama_cpp", name="no-such-file.gguf", gpu_layers=-1),
    "remote": Model(model_id="remote", provider="openai", name="x"),
}


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    return Layout(tmp_path, {name: Stage(name, name[0], ()) for name in ("draft", "essay")})


def identity(model: str) -> ModelIdentity:
    known = MODELS[model]
    return ModelIdentity(model_id=model, provider=known.provider, name=known.name, revision="")


def row(stage: str = "draft", model: str | None = "small", parents: tuple[str, ...] = (), **more: Any) -> Generation:
    fields = {"family": "cohort", "gen_id": "", "mode": "llm", "template_id": "t", "template_sha256": None}
    fields |= {"parser": "identity/1", "max_attempts": 1, "min_lines": 1, "model": identity(model) if model else None}
    return Generation(stage=stage, parents=parents, **{**fields, **more})


def rows_of(count: int) -> dict[str, Generation]:
    return {f"d_{number}": row() for number in range(count)}


def make(layout: Layout, gen_id: str, stage: str = "draft") -> None:
    write_atomic(layout.metadata(stage, gen_id), "{}")


def due(layout: Layout, rows: dict[str, Generation]) -> Callable[[str], bool]:
    return lambda gen_id: not Path(layout.metadata(rows[gen_id].stage, gen_id)).exists()


def run_begins(layout: Layout, rows: dict[str, Generation], size: int) -> Packs:
    """The packs of a run, written as when it starts."""
    packs = extend_packs(keep_answered(read_packs(layout), rows, layout), rows, due(layout, rows), MODELS, {}, size)
    write_packs(packs, layout)
    return packs


def test_what_is_to_be_made_is_divided_in_its_order(layout: Layout) -> None:
    rows = rows_of(5)
    make(layout, "d_1")
    packs = run_begins(layout, rows, 3)
    assert sorted(packs.members.values()) == [("d_0", "d_2", "d_3"), ("d_4",)]
    assert "d_1" not in packs.of
    assert all(gen_id in packs.assigned(pack_id) for gen_id, pack_id in packs.of.items())
    assert read_packs(layout) == packs


def test_without_packs_nothing_is_written(layout: Layout) -> None:
    assert run_begins(layout, rows_of(3), 0) == Packs()
    assert not (layout.packs / "plan.json").exists()


def test_a_pack_has_one_stage_model_and_origin_and_no_generation_with_its_parent(layout: Layout) -> None:
    rows = {
        "d_0": row(),
        "d_1": row(model="large"),
        "d_2": row(),
        "e_0": row("essay", parents=("d_0",)),
        "e_1": row("essay", parents=("e_0",)),
    }
    packs = extend_packs(Packs(), rows, due(layout, rows), MODELS, {"d_2": "another cohort"}, 10)
    assert sorted(packs.members.values()) == [("d_0",), ("d_1",), ("d_2",), ("e_0",), ("e_1",)]
    assert [pack_id for pack_id in packs.members if pack_id.startswith("g_")] == [packs.of["d_1"]]


@pytest.mark.parametrize(
    ("planned", "packable"),
    [
        (row(), True),
        (row(model="remote"), False),
        (row(fallbacks=[Candidate(identity("large"), {})]), True),
        (row(fallbacks=[Candidate(identity("remote"), {})]), False),
        (row(model=None, mode="copy"), False),
        (row(mode="human"), False),
    ],
)
def test_only_rows_that_local_models_answer_are_packed(planned: Generation, packable: bool) -> None:
    assert is_packable(planned) is packable


def test_what_is_made_keeps_its_pack_and_the_rest_is_divided_anew(layout: Layout) -> None:
    rows = rows_of(4)
    first = run_begins(layout, rows, 4)
    make(layout, "d_0")
    (pack_id,) = first.members
    second = run_begins(layout, rows, 2)
    assert second.of["d_0"] == pack_id
    assert second.assigned(pack_id) == ["d_0"]
    assert {second.of[gen_id] for gen_id in ("d_1", "d_2", "d_3")}.isdisjoint({pack_id})
    # Without packs, what is not made yet is made without one.
    assert run_begins(layout, rows, 0).of == {"d_0": pack_id}


def test_what_a_pack_has_answered_stays_in_it_and_what_it_has_not_leaves_it(layout: Layout) -> None:
    rows = rows_of(3)
    (pack_id,) = run_begins(layout, rows, 3).members
    write_atomic(pack_path(layout, pack_id), json.dumps({"problems": {"d_1": "too long"}}))
    packs = run_begins(layout, rows, 3)
    assert packs.assigned(pack_id) == ["d_0", "d_2"]
    assert packs.members[packs.of["d_1"]] == ("d_1",)


def test_what_is_no_longer_planned_keeps_its_pack_while_it_lies_there(layout: Layout) -> None:
    packs = run_begins(layout, rows_of(2), 2)
    make(layout, "d_0")
    assert run_begins(layout, {}, 2).of == {"d_0": packs.of["d_0"]}


def test_a_damaged_plan_is_named(layout: Layout) -> None:
    write_atomic(layout.packs / "plan.json", '{"members": [')
    with pytest.raises(DreamflowError, match=r"plan\.json: damaged: .* Delete plan\.json"):
        read_packs(layout)


def fails_for(*bad: str) -> tuple[list[str], Any]:
    tried: list[str] = []

    def answer(gen_id: str) -> None:
        tried.append(gen_id)
        if gen_id in bad:
            raise DreamflowError(f"{gen_id} is too long")

    return tried, answer


def test_what_fails_in_a_pack_is_noted_and_the_others_are_answered(layout: Layout) -> None:
    tried, answer = fails_for("d_1")
    problems = answer_pack("p_0", ["d_0", "d_1", "d_2"], answer, layout)
    assert tried == ["d_0", "d_1", "d_2"]
    assert problems == pack_problems(layout, "p_0") == {"d_1": "d_1 is too long"}


def test_a_pack_of_which_nothing_could_be_answered_has_failed(layout: Layout) -> None:
    _, answer = fails_for("d_0", "d_1")
    with pytest.raises(DreamflowError, match=r"none of 2 could be answered\nd_0 is too long\nd_1 is too long"):
        answer_pack("p_0", ["d_0", "d_1"], answer, layout)
    assert not pack_path(layout, "p_0").exists()
    assert pack_problems(layout, "p_0") == {}


def test_a_pack_that_nobody_needs_any_more_is_done(layout: Layout) -> None:
    assert answer_pack("p_0", [], lambda gen_id: None, layout) == {}
    assert pack_path(layout, "p_0").exists()


def test_memory_follows_the_largest_model(tmp_path: Path) -> None:
    (tmp_path / "model.gguf").write_bytes(bytes(4_000_000))

    def of_file(name: str) -> Generation:
        return replace(row(), model=replace(identity("small"), name=str(tmp_path / name)))

    assert memory_mb([of_file("model.gguf")]) == 1506
    assert memory_mb([of_file("model.gguf"), of_file("gone.gguf")]) > 4000
