"""The digest of a generation changes with all that decides it, and files with another digest are stale."""

import json
import os
from typing import Any

import pytest
from dreamflow.errors import DreamflowError
from dreamflow.files import write_atomic
from dreamflow.generation.calls import Calls
from dreamflow.generation.digest import Freshness, inputs_digest, late_input
from dreamflow.generation.layout import Layout
from dreamflow.generation.make import Context, make_generation
from dreamflow.generation.model import (
    Candidate,
    Evidence,
    Generation,
    Message,
    ModelIdentity,
    Variant,
    as_json,
    from_json,
)
from dreamflow.generation.models import Model
from dreamflow.generation.stage import Stage
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import fields, replace

MODEL = ModelIdentity(
    model_id="m", provider="openai", name="x", revision="r", lora="l", extra_body={"a": 1}, service="s"
)
ROW = Generation(
    family="cohort",
    stage="draft",
    gen_id="d_1",
    mode="llm",
    template_id="t",
    template_sha256="T",
    parser="identity/1",
    parser_options={"scale": [0, 9]},
    max_attempts=2,
    min_lines=1,
    model=MODEL,
    sampling={"temperature": 0.5, "max_tokens": 9},
    fallbacks=[Candidate(MODEL, {"max_tokens": 9})],
    response_format={"type": "grammar", "grammar": "g"},
    replicate=1,
    parents=["d_0"],
    variables={"a": {"sha256": "A"}, "b": [1, {"c": 2, "d": 3}]},
    wildcards={"combo_id": "c", "level": "l"},
    turns=[Message("user", "Why?")],
    keep_truncated=False,
    repair="Again.",
    evidence=Evidence("x.json", "e"),
    request="r",
    operator={"name": "o"},
    variant=Variant("what", True, ("f",)),
)
OTHER: dict[str, Any] = {
    "family": "dream",
    "stage": "essay",
    "gen_id": "d_2",
    "mode": "human",
    "template_id": "u",
    "template_sha256": None,
    "parser": "identity/2",
    "parser_options": {"scale": [0, 8]},
    "max_attempts": 3,
    "min_lines": 2,
    "model": None,
    "sampling": {"temperature": 0.5, "max_tokens": 9, "top_p": 0.5},
    "fallbacks": [],
    "response_format": None,
    "replicate": 2,
    "parents": ["d_0", "d_00"],
    "variables": {"a": {"sha256": "A"}, "b": [1, {"c": 2, "d": 4}]},
    "wildcards": {"combo_id": "c"},
    "turns": [Message("assistant", "Why?")],
    "keep_truncated": True,
    "repair": "",
    "evidence": Evidence("x.json", "f"),
    "request": "s",
    "operator": {"name": "p"},
    "variant": Variant("what", False, ("f",)),
    "agree": 2,
}
OF_A_MODEL = {
    "model_id": "n",
    "provider": "replay",
    "name": "y",
    "revision": "",
    "lora": "k",
    "extra_body": {"a": 2},
    "service": "t",
    "examples": [Message("user", "2+2?"), Message("assistant", "4")],
}


def digest(row: Generation, parents: Any = (("ok", "P"),), late: str = "") -> str:
    return inputs_digest(row, parents, late)


def test_every_field_is_tried():
    assert {field.name for field in fields(Generation)} == OTHER.keys()
    assert {field.name for field in fields(ModelIdentity)} == OF_A_MODEL.keys()


@pytest.mark.parametrize("name", OTHER)
def test_every_field_of_a_row_is_a_part_of_the_digest(name):
    assert digest(replace(ROW, **{name: OTHER[name]})) != digest(ROW)


@pytest.mark.parametrize("name", OF_A_MODEL)
def test_every_field_of_a_model_is_a_part_of_the_digest(name):
    model = replace(MODEL, **{name: OF_A_MODEL[name]})
    fallback = replace(ROW, fallbacks=[Candidate(model, {"max_tokens": 9})])
    assert len({digest(ROW), digest(replace(ROW, model=model)), digest(fallback)}) == 3


def test_the_results_of_parents_and_late_inputs_are_parts_of_the_digest():
    known = [
        digest(ROW),
        digest(ROW, []),
        digest(ROW, [("failed", "P")]),
        digest(ROW, [("ok", "Q")]),
        digest(ROW, [("ok", "P"), ("ok", "Q")]),
        digest(ROW, [("ok", "Q"), ("ok", "P")]),
        digest(ROW, late="evidence"),
        digest(ROW, late="other evidence"),
    ]
    assert len(set(known)) == len(known)


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


def reordered(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: reordered(value[key]) for key in reversed(value)}
    return [reordered(item) for item in value] if isinstance(value, list) else value


@given(st.dictionaries(st.text(), JSON, max_size=5))
def test_the_order_of_keys_is_no_part_of_the_digest(values):
    rows = [replace(ROW, variables=v, wildcards=v, sampling=v, parser_options=v) for v in (values, reordered(values))]
    assert digest(rows[0]) == digest(rows[1])


def test_a_row_that_was_written_and_read_has_the_same_digest():
    assert digest(from_json(json.loads(json.dumps(as_json(ROW))), Generation)) == digest(ROW)


def test_half_a_character_has_a_digest():
    torn = replace(ROW, variables={"a": "half \ud83d a pair"})
    assert digest(torn) not in (digest(ROW), digest(replace(ROW, variables={"a": "half \ud83e a pair"})))


# --- files


class World:
    """A chain of copies: an essay of a kept draft, an evaluation of the essay; and a question to a person."""

    def __init__(self, root):
        stages = {name: Stage(name, name[0], ()) for name in ("draft", "essay", "evaluation")}
        self.layout = Layout(root, stages)
        copy = replace(ROW, mode="copy", model=None, fallbacks=[], evidence=None, operator=None, variant=None)
        person = ModelIdentity(model_id="person", provider="human", name="", revision="")
        human = replace(copy, mode="human", model=person, variables={}, sampling={})
        self.rows = {
            "e_1": replace(copy, stage="essay", gen_id="e_1", parents=["d_1"]),
            "v_1": replace(copy, stage="evaluation", gen_id="v_1", parents=["e_1"]),
            "v_2": replace(human, stage="evaluation", gen_id="v_2", parents=["e_1"]),
        }
        models = {"person": Model(model_id="person", provider="human")}
        self.context = Context(self.layout, {"T": "Rate it."}, models, Calls(self.layout.store, models))
        self.kept = {"d_1": "draft"}
        self.write_draft("A draft.")
        for gen_id in self.rows:
            self.make(gen_id)
        self.freshness = Freshness(self.rows.get, self.layout, self.kept)

    def folder(self, gen_id):
        return self.layout.generation(self.kept.get(gen_id) or self.rows[gen_id].stage, gen_id)

    def write_draft(self, text, status="ok"):
        write_atomic(self.folder("d_1") / "parsed.txt", text)
        metadata = {"gen_id": "d_1", "stage": "draft", "status": status}  # of an old version, without a digest
        write_atomic(self.folder("d_1") / "metadata.json", json.dumps(metadata))

    def make(self, gen_id):
        row = self.rows[gen_id]
        make_generation(row, self.context, [self.folder(parent) for parent in row.parents])

    def stale(self):
        self.freshness.forget()
        return {gen_id for gen_id in [*self.kept, *self.rows] if self.freshness.is_stale(gen_id)}


ALL, EVALUATIONS = {"e_1", "v_1", "v_2"}, {"v_1", "v_2"}


@pytest.fixture
def world(tmp_path):
    world = World(tmp_path)
    assert world.stale() == set()
    return world


@pytest.mark.parametrize("name", ["prompt.txt", "raw.txt", "parsed.txt", "metadata.json"])
def test_a_generation_without_one_of_its_files_is_stale_and_so_are_its_children(world, name):
    (world.folder("v_1") / name).unlink()
    assert world.stale() == {"v_1"}
    (world.folder("e_1") / name).unlink()
    assert world.stale() == ALL
    world.make("e_1")
    assert world.stale() == {"v_1"}
    world.make("v_1")
    assert world.stale() == set()


@pytest.mark.parametrize("text", ["", '{"gen_id": "e_1", "inputs_', "[]", "null", '{"inputs_sha256": 3}', b"\xff"])
def test_damaged_metadata_is_stale(world, text):
    path = world.folder("e_1") / "metadata.json"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    assert world.stale() == ALL


def test_metadata_of_a_version_without_digests_is_stale(world):
    path = world.folder("e_1") / "metadata.json"
    metadata = json.loads(path.read_text())
    del metadata["inputs_sha256"]
    path.write_text(json.dumps(metadata))
    assert world.stale() == ALL


def test_an_edited_row_is_stale_and_so_are_its_descendants(world):
    world.rows["e_1"] = replace(world.rows["e_1"], template_id="other")
    assert world.stale() == ALL
    world.make("e_1")
    assert world.stale() == set()  # its text is what it was, so its children are not affected


def test_an_edited_parsed_file_makes_the_children_stale_and_not_itself(world):
    (world.folder("e_1") / "parsed.txt").write_text("Edited by hand.")
    assert world.stale() == EVALUATIONS
    world.make("v_1")
    world.make("v_2")
    assert world.stale() == set()


def test_the_times_of_files_decide_nothing(world):
    for path in world.layout.root.rglob("*"):
        os.utime(path, (1, 1))
    os.utime(world.folder("e_1") / "parsed.txt")
    assert world.stale() == set()


def test_a_generation_that_is_only_read_is_never_stale_and_its_children_follow_it(world):
    world.write_draft("Another draft.")
    assert world.stale() == ALL
    world.write_draft("A draft.")
    assert world.stale() == set()
    world.write_draft("A draft.", status="failed")
    assert world.stale() == ALL
    (world.folder("d_1") / "parsed.txt").unlink()
    assert world.stale() == ALL


def test_the_answer_of_a_person_is_noticed(world):
    answer = world.layout.inbox / "v_2.answer.txt"
    answer.write_text("Good.")
    assert world.stale() == {"v_2"}
    world.make("v_2")
    assert world.stale() == set()
    answer.write_text("Better.")
    assert world.stale() == {"v_2"}


def test_evidence_is_noticed_entry_by_entry(world):
    path = world.layout.root / "x.json"
    row = world.rows["v_1"] = replace(world.rows["v_1"], evidence=Evidence("x.json", "mine"))
    assert late_input(row, world.layout) == ""  # there is no such file yet
    write_atomic(path, json.dumps({"mine": {"skip": None, "values": {}}, "other": 1}))
    assert world.stale() == {"v_1"}
    world.make("v_1")
    assert world.stale() == set()
    write_atomic(path, json.dumps({"other": 2, "mine": {"values": {}, "skip": None}}))
    os.utime(path, (5, 5))  # whatever the clock's grain
    assert world.stale() == set()
    write_atomic(path, json.dumps({"other": 2, "mine": {"values": {"a": 1}, "skip": None}}))
    os.utime(path, (6, 6))
    assert world.stale() == {"v_1"}


@pytest.mark.parametrize("content", [{}, [], {"mine": 1}, {"mine": {"skip": None}}])
def test_damaged_evidence_is_named_when_it_is_read(world, content):
    world.rows["v_2"] = replace(world.rows["v_2"], evidence=Evidence("x.json", "mine"))
    write_atomic(world.layout.root / "x.json", json.dumps(content))
    assert world.stale() == {"v_2"}
    with pytest.raises(DreamflowError, match=r"x\.json: damaged"):
        world.make("v_2")


def test_what_was_read_is_cached_until_it_is_forgotten(world):
    (world.folder("e_1") / "raw.txt").unlink()
    assert not world.freshness.is_stale("e_1")
    world.freshness.forget()
    assert world.freshness.is_stale("e_1")
