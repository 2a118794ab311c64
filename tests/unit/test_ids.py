"""The ids: every vector that DayDreaming published, and what holds for all of them."""

import re

import pytest
from dreamflow.errors import ConfigError
from dreamflow.generation.ids import (
    combo_id,
    draft_id,
    essay_id,
    evaluation_id,
    generation_id,
)
from hypothesis import given
from hypothesis import strategies as st

FIVE = ["dearth-ai-discoveries", "default-mode-network", "economic-innovation-models", "economic-moat"]
FOUR = ["dearth-ai-discoveries", "default-mode-network", "generator-verifier-gap", "economic-moat"]
PART = st.text(st.characters(exclude_characters="|", exclude_categories=("Cs",)), max_size=20)
NAME = st.from_regex(r"[a-z0-9][a-z0-9_.-]{0,15}", fullmatch=True)


@pytest.mark.parametrize(
    ("concepts", "k_max", "expected"),
    [
        ([*FIVE, "generator-verifier-gap"], 5, "combo_v1_85128e4e5ef3"),
        ([*FIVE, "flywheel-effect"], 5, "combo_v1_f74195c24ea7"),
        (FOUR, 4, "combo_v1_13c725cf02fa"),
    ],
)
def test_published_combos(concepts, k_max, expected):
    assert combo_id(concepts, "paragraph", k_max) == expected


@pytest.mark.parametrize(
    ("parts", "expected"),
    [
        (("combo_v1_85128e4e5ef3", "creative-synthesis-v10", "gemini_25_pro", 1), "d_5ezrffv9uf3lr37d"),
        (("combo_v1_85128e4e5ef3", "creative-synthesis-v10", "gemini_25_pro", 2), "d_45vl8xljrnxk3daa"),
        (("combo_v1_f74195c24ea7", "creative-synthesis-v10", "gemini_25_pro", 1), "d_3cxfemmhegfzaguo"),
        (("combo_v1_13c725cf02fa", "creative-synthesis-v7", "deepseek_r1_p", 1), "d_1z2eobtuv71xs5az"),
    ],
)
def test_published_drafts(parts, expected):
    assert draft_id(*parts) == expected


@pytest.mark.parametrize(
    ("parts", "expected"),
    [
        (("d_5ezrffv9uf3lr37d", "creative-synthesis-v10", 1), "e_sq5klak2lljyyom"),
        (("d_3cxfemmhegfzaguo", "creative-synthesis-v10", 1), "e_1cx6440bb5zj9466"),
        (("d_1z2eobtuv71xs5az", "parsed-from-links-v1", 1), "e_4nqjjtqtnpxlljlz"),
    ],
)
def test_published_essays(parts, expected):
    assert essay_id(*parts) == expected


@pytest.mark.parametrize(
    ("model", "replicate", "expected"),
    [
        ("sonnet-4", 1, "v_4xdwfjt7penqwg2g"),
        ("sonnet-4", 2, "v_1fo1pv48lzrkhwlh"),
        ("gemini_25_pro", 1, "v_2pzejj5kr4xwdzil"),
    ],
)
def test_published_evaluations(model, replicate, expected):
    assert evaluation_id("e_sq5klak2lljyyom", "novelty-v2", model, replicate) == expected


def test_an_essay_by_another_model_is_another_essay():
    parts = ("d_5ezrffv9uf3lr37d", "creative-synthesis-v10", 1)
    ids = {essay_id(*parts), essay_id(*parts, model="sonnet-4"), essay_id(*parts, model="gemini_25_pro")}
    assert len(ids) == 3
    assert essay_id(*parts, model=" Sonnet-4 ") in ids
    assert essay_id(*parts, "sonnet-4") == generation_id("e_", *parts, "sonnet-4")


@given(st.lists(PART, min_size=1, max_size=6), st.randoms())
def test_the_order_of_concepts_is_irrelevant(concepts, random):
    shuffled = random.sample(concepts, len(concepts))
    assert combo_id(concepts, "paragraph", 3) == combo_id(shuffled, "paragraph", 3)


@given(st.sets(NAME, min_size=1, max_size=5), st.sets(NAME, min_size=1, max_size=5))
def test_other_concepts_another_combo(one, two):
    assert (combo_id(one, "sentence", 5) == combo_id(two, "sentence", 5)) == (one == two)
    assert combo_id(one, "sentence", 5) != combo_id(one, "paragraph", 5)
    assert combo_id(one, "sentence", 5) != combo_id(one, "sentence", 4)


@given(NAME, NAME, NAME, st.integers(1, 99), st.sampled_from(["", " ", "\t", "\n  "]))
def test_letter_case_and_outer_spaces_are_irrelevant(combo, template, model, replicate, space):
    plain = draft_id(combo, template, model, replicate)
    spaced = [space + part.upper() + space for part in (combo, template, model)]
    assert draft_id(*spaced, replicate) == draft_id(*spaced, str(replicate)) == plain


@given(st.lists(NAME, min_size=1, max_size=5), st.lists(NAME, min_size=1, max_size=5))
def test_distinct_parts_give_distinct_ids(one, two):
    assert (generation_id("d_", *one) == generation_id("d_", *two)) == (one == two)


@given(st.sampled_from(["d_", "e_", "v_", "p_"]), st.lists(PART, min_size=1, max_size=5))
def test_prefix_and_alphabet(prefix, parts):
    gen_id = generation_id(prefix, *parts)
    assert re.fullmatch(prefix + "[0-9a-z]{1,16}", gen_id)
    assert int(gen_id.removeprefix(prefix), 36) < 256**10
    assert gen_id == prefix + "0" or not gen_id.startswith(prefix + "0")  # never padded


@pytest.mark.parametrize(
    "make",
    [
        lambda: draft_id("combo", "a|b", "model", 1),
        lambda: generation_id("p_", "a|b"),
        lambda: combo_id(["a|b", "c"], "paragraph", 2),
        lambda: essay_id("d_1", "t", 1, model="a|b"),
    ],
)
def test_a_separator_inside_a_part_is_an_error(make):
    with pytest.raises(ConfigError, match=r"'a\|b' cannot be part of an id"):
        make()
