"""Where subjects change: the change-point model, cuts of the right sizes, and that nobody's role counts."""

from dataclasses import replace
from itertools import combinations, pairwise

import numpy as np
import pytest
from dreamflow.chunks import segmenter
from dreamflow.chunks.changepoint import posteriors, runs_of, scatter
from dreamflow.chunks.conversation import Conversation, Turn
from dreamflow.chunks.cutting import cut
from dreamflow.chunks.gap_features import gap_features
from dreamflow.chunks.passages import passages_of
from dreamflow.chunks.rules import boundaries_by_rules, chunk_by_rules
from dreamflow.chunks.units import split_units
from hypothesis import given, settings
from hypothesis import strategies as st

TEA = ["How long should green tea steep?", "Two minutes in water of 75 degrees; longer makes the tea bitter.",
       "And black tea?", "Black tea takes four minutes in boiling water, and a little milk suits it.",
       "Which pot keeps tea warm?", "A thick stoneware pot with a lid keeps tea warm for an hour."]  # fmt: skip
TAXES = ["When must I file my income tax return?", "Your tax return is due on the 31st of July at the tax office.",
         "Can I deduct the train to work?", "Yes, commuting is deductible: 30 cents for each kilometre, as an expense.",
         "What if I file late?", "The office adds a late fee of 25 euros for each month to your tax."]  # fmt: skip


def vectors(n, dimensions=4, seed=0):
    found = np.random.default_rng(seed).normal(size=(n, dimensions)).astype(np.float32)
    return found / np.linalg.norm(found, axis=1, keepdims=True)


def talk(said, roles=("user", "assistant")):
    text, turns = "", []
    for i, words in enumerate(said):
        header = f"{roles[i % len(roles)]}: "
        turns.append(Turn(i + 1, header[:-2], len(text), len(text) + len(header + words) + 1, len(text) + len(header)))
        text += f"{header}{words}\n"
    conversation = Conversation("talk", text, tuple(turns))
    return conversation, split_units(conversation)


def starts(conversation, units, **sizes):
    chunks = chunk_by_rules(conversation, units, 1, len(units), **sizes)
    return [units[chunk.first - 1].turn for chunk in chunks]


def test_posteriors_are_those_of_all_segmentations():
    n = 6
    seen, weights = vectors(n), np.linspace(0.4, 1, n)
    cost = scatter(runs_of(seen, weights, 80))
    found = posteriors(cost, [(0.3, 0.5), (1.0, 0.2)])
    for column, (penalty, temperature) in enumerate([(0.3, 0.5), (1.0, 0.2)]):
        total, begins = 0.0, np.zeros(n)
        for count in range(n):
            for places in combinations(range(1, n), count):
                energy = 0.0
                for a, b in pairwise([0, *places, n]):
                    own, weight = seen[a:b], weights[a:b]
                    mean = weight @ own / weight.sum()
                    energy += penalty + weight.sum() - weight.sum() * mean @ mean
                share = np.exp(-energy / temperature)
                total += share
                begins[[0, *places]] += share
        assert found[:, column] == pytest.approx(begins / total, abs=1e-4)


def test_runs_reach_only_as_far_as_asked():
    seen = vectors(40)
    runs = runs_of(seen, np.ones(40), 7)
    assert runs.squares.shape == (40, 7)
    total = seen[3:9].sum(0)
    assert runs.between(np.array([3]), np.array([9]))[1] == pytest.approx([total @ total], rel=1e-4)


def test_small_chunks_join_the_neighbour_across_their_weaker_end():
    chances = [0, 0.9, 0, 0.6, 0.8, 0]
    assert cut([1, 3, 4], chances, [50, 50, 50, 10, 50, 50], 40, 800) == ([0, 1, 4], set())
    chances[3], chances[4] = 0.8, 0.6
    assert cut([1, 3, 4], chances, [50, 50, 50, 10, 50, 50], 40, 800) == ([0, 1, 3], set())


def test_large_chunks_are_divided_at_the_best_gap_and_marked():
    chances = [0.0, 0.1, 0.3, 0.1, 0.9, 0.1]
    assert cut([4], chances, [300] * 6, 40, 800) == ([0, 2, 4], {2})
    assert cut([], chances, [1000, 10, 10, 10, 10, 10], 1, 800) == ([0, 1], {1})


@settings(deadline=None, max_examples=60)
@given(
    sizes=st.lists(st.integers(1, 30), min_size=1, max_size=120),
    chances=st.lists(st.floats(0, 1), min_size=120, max_size=120),
)
def test_cuts_have_the_right_sizes(sizes, chances):
    wanted = [i for i in range(len(sizes)) if chances[i] > 0.5]
    begins, limits = cut(wanted, chances, sizes, 20, 150)
    pieces = [sum(sizes[a:b]) for a, b in pairwise([*begins, len(sizes)])]
    assert begins[0] == 0 and limits < set(begins)
    assert all(20 <= size <= 150 for size in pieces) or len(pieces) == 1


def test_a_change_in_one_of_three_gaps_is_found_once():
    assert segmenter.are_changes([0.1, 0.3, 0.25, 0.1, 0.05, 0.9, 0.15], 0.5) == [
        False,
        True,
        *[False] * 3,
        True,
        False,
    ]
    assert segmenter.are_changes([0.15] * 5, 0.3) == [False] * 5


def test_who_speaks_does_not_count():
    conversation, units = talk(TEA + TAXES)
    assert starts(conversation, units) == [1, 7]
    for roles in (("text",), ("Ann", "Ben", "Cleo")):
        assert starts(*talk(TEA + TAXES, roles)) == [1, 7]
    turns = tuple(replace(turn, role="Ann") for turn in conversation.turns)
    assert starts(replace(conversation, turns=turns), units) == [1, 7]


def test_a_part_has_the_boundaries_of_the_whole():
    conversation, units = talk(TEA + TAXES)
    (boundary,) = boundaries_by_rules(conversation, units, 1, len(units))
    assert boundaries_by_rules(conversation, units, 3, len(units) - 2) == {boundary}
    assert boundaries_by_rules(conversation, units, boundary, len(units)) == set()
    assert boundaries_by_rules(conversation, units, 3, 2) == set()


def test_long_texts_are_read_in_blocks(monkeypatch):
    said = (TEA + TAXES) * 3
    whole, units = talk(said)
    expected = boundaries_by_rules(whole, units, 1, len(units))
    segmenter.change_chances.cache_clear()
    monkeypatch.setattr(segmenter, "_BLOCK", 16)
    assert boundaries_by_rules(whole, units, 1, len(units)) == expected
    assert 7 in {units[number - 1].turn for number in expected}
    segmenter.change_chances.cache_clear()


def test_without_weights_the_changes_of_vectors_decide(monkeypatch, tmp_path):
    segmenter.model.cache_clear()
    segmenter.change_chances.cache_clear()
    monkeypatch.setattr(segmenter, "MODEL", tmp_path / "none.json")
    try:
        assert starts(*talk(TEA + TAXES)) == [1, 7]
    finally:
        segmenter.model.cache_clear()
        segmenter.change_chances.cache_clear()


def test_features_of_short_and_odd_texts_are_numbers():
    for said in (["a", "b"], ["", "?"], ["x"] * 5, ["好", "", "Hi! " * 4000]):
        found = gap_features(said, vectors(len(said)))
        assert set(found) >= set(segmenter.model()["networks"][0]["features"])
        assert all(len(values) == len(said) - 1 and np.isfinite(values).all() for values in found.values())


def test_paragraphs_of_long_turns_and_of_texts_are_passages():
    text = (
        "# Tea\n\nGreen tea steeps for two minutes.\n\nBlack tea takes four.\n\n# Taxes\n\nThe return is due in July.\n"
    )
    conversation = Conversation("text", text, (Turn(1, "text", 0, len(text), 0),))
    found = [text[passage.start : passage.stop] for passage in passages_of(conversation, split_units(conversation))]
    assert found == [
        "# Tea\n\nGreen tea steeps for two minutes.\n\n", "Black tea takes four.\n\n",
        "# Taxes\n\nThe return is due in July.\n",
    ]  # fmt: skip
    short, units = talk(["One.\n\nTwo.", "Three."])
    assert len(passages_of(short, units)) == 2
    long, units = talk(["First paragraph. " * 150 + "\n\n" + "Second one. " * 150, "Three."])
    assert len(passages_of(long, units)) > 3
    assert [p.begins_turn for p in passages_of(long, units)].count(True) == 2
