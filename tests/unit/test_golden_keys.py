"""Keys and ids as the first version made them: what was paid for lies under these names for good.

`tests/golden/questions.json` was written by that version. A vector is never edited; new ones may be added.
"""

import json
from collections.abc import Mapping
from typing import Any

import pytest
from dreamflow.generation import ids
from dreamflow.generation.model import Question, from_json
from dreamflow.generation.store import request_key
from golden.frozen import HERE, load

VECTORS = json.loads((HERE / "questions.json").read_text(encoding="utf-8"))


def key_of(question: Mapping[str, Any]) -> str:
    """The key of a question that is given as plain data: the one place that knows how the store takes questions."""
    return request_key(from_json(question, Question))


@pytest.mark.parametrize("vector", VECTORS, ids=[vector["what"] for vector in VECTORS])
def test_a_question_has_the_key_that_it_always_had(vector: Mapping[str, Any]):
    assert key_of(vector["question"]) == vector["key"]


def test_every_answer_of_the_golden_project_lies_under_the_key_of_its_question():
    stored = {path: json.loads(text) for path, text in load().items() if path.startswith("data/store/responses/")}
    assert len(stored) > 100
    for path, record in stored.items():
        key = key_of(record["request"])
        assert path == f"data/store/responses/{key[:2]}/{key}.json"


@pytest.mark.parametrize(
    ("prefix", "parts", "expected"),
    [
        ("d_", ["combo_v1_f1be33e7eb3c", "plain", "writer", 1], "d_4efpk112xwnrtjde"),
        ("d_", [" Combo ", "Plain-V1", "Writer ", 2], "d_1url8yhi1xliqli"),  # neither case nor outer spaces count
        ("e_", ["d_16jbq3vb7ogr1rfm", "long", 1], "e_1cx1par4utczknd0"),
        ("e_", ["d_16jbq3vb7ogr1rfm", "long", 1, "careful"], "e_55npvklmuecqemp4"),
        ("v_", ["e_56aljzn8e2fgldut", "novelty", "judge", 1], "v_1bbpxzodcyh9hqzz"),
        ("m_", ["webshop.quote_basket", "match-v1", "judge", "fleet-ops.check_host"], "m_44ocaqkhyfmywjyh"),
        ("p_", ["webshop.quote_basket", "reorder", "36-37 ba", "", "local", 1], "p_gd5n09qtqg7hbok"),
        ("j_", ["p_1ws9pbzgyaiyv9to", "verdict-v1", "judge", "night", 1], "j_u8yxaq155js01dk"),
        ("c_", ["water", "basic", "boundaries-v1", "chunker", 1, 13], "c_3hlx6vumk51m72u7"),
        ("k_", ["c_bddd5b15461f", "cluster-v1", "judge"], "k_23vdp54r5onurjcf"),
        ("a_", ["facts-0001", "plain-v1", "small", "0" * 64, 1], "a_1gwv5v7809qz7f1r"),
    ],
)
def test_a_generation_has_the_id_that_it_always_had(prefix: str, parts: list[str | int], expected: str):
    assert ids.generation_id(prefix, *parts) == expected


def test_the_ids_of_a_cohort_are_what_they_always_were():
    assert ids.combo_id(["b", "A", "c"], "paragraph", 2) == "combo_v1_911e431c11c1"
    assert ids.draft_id("combo_v1_f1be33e7eb3c", "plain", "writer", 1) == "d_4efpk112xwnrtjde"
    assert ids.essay_id("d_16jbq3vb7ogr1rfm", "long", 1) == "e_1cx1par4utczknd0"
    assert ids.essay_id("d_16jbq3vb7ogr1rfm", "long", 1, "careful") == "e_55npvklmuecqemp4"
    assert ids.evaluation_id("e_56aljzn8e2fgldut", "novelty", "judge", 1) == "v_1bbpxzodcyh9hqzz"
