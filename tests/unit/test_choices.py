"""Choosing a model: draws, propensities, budgets, crisis, evidence; and the file of choices, also after a crash."""

import json
import os
from collections import Counter

import pytest
from dreamflow.errors import DreamflowError
from dreamflow.routing.atp import atp_cost, count_words
from dreamflow.routing.choices import Choice, ChoiceFile
from dreamflow.routing.choose import DRAWS, Expected, Option, decide, explain
from dreamflow.routing.table import Cell, RoutingSettings, State, Table, read_table
from hypothesis import given
from hypothesis import strategies as st

OPTIONS = (Option("large", "strategic", 10.0), Option("middle", "tactical", 2.0), Option("small", "sensory", 0.5))


def cell(model_id, alpha, beta, context="novel", evidence="exact"):
    mean = alpha / (alpha + beta)
    return Cell(model_id, context, evidence, alpha, beta, alpha + beta, mean, mean, mean)


def table(*cells, state="wake", budget=100.0, multiplier=1.0, atp_value=0.01, minimum=5):
    settings = RoutingSettings(minimum, atp_value, ["exact", "person", "judged"])
    return Table(3, State(state, budget, multiplier), settings, {}, list(cells))


def test_words_and_atp():
    assert count_words("What  is\nit?") == 3
    assert count_words("什么是记忆, 为什么? OK。") == 3 + 2 + 1
    assert count_words("買い物リスト") == 3
    assert atp_cost(2, 150) == 5


def test_propensities_are_shares_of_the_draws_that_choose():
    known = table(cell("large", 30, 3), cell("middle", 12, 6), cell("small", 6, 8))
    decision = decide(known, "novel", 50, OPTIONS)
    chosen = Counter(decision.order[number] for number in decision.winners)
    assert sum(chosen.values()) == DRAWS
    assert {m: one.propensity for m, one in decision.expected.items()} == {m: chosen[m] / DRAWS for m in chosen} | {
        m: 0.0 for m in ("small", "middle", "large") if m not in chosen
    }
    picked = Counter(decision.pick(f"d_{number}") for number in range(4000))
    for model_id, one in decision.expected.items():
        assert picked[model_id] / 4000 == pytest.approx(one.propensity, abs=0.03)
    assert decision.pick("d_1") == decide(known, "novel", 50, OPTIONS[::-1]).pick("d_1")  # order does not matter
    value = 1.0 * (30 / 33) - 0.01 * 15
    assert decision.expected["large"] == Expected(30 / 33, 15.0, value, chosen["large"] / DRAWS)


def test_a_further_candidate_changes_no_draw():
    known = table(cell("large", 30, 3), cell("middle", 12, 6), cell("small", 1, 999))
    two, three = decide(known, "novel", 50, OPTIONS[:2]), decide(known, "novel", 50, OPTIONS)
    assert [two.order[n] for n in two.winners] == [three.order[n] for n in three.winners]


def test_without_a_table_all_have_the_same_chance():
    decision = decide(None, "novel", 10, OPTIONS)
    assert {one.propensity for one in decision.expected.values()} == {1 / 3}
    assert set(decision.why.values()) == {"no table yet"}
    assert {decision.pick(f"d_{number}") for number in range(30)} == {"small", "middle", "large"}
    assert decide(None, "novel", 0, OPTIONS, budget_atp=1).order == ("small",)


def test_budgets_and_crisis():
    cells = cell("large", 30, 3), cell("middle", 12, 6), cell("small", 6, 8)
    poor = decide(table(*cells, budget=3), "novel", 0, OPTIONS)
    assert poor.expected["large"].propensity == 0
    assert "above the budget" in poor.why["large"]
    assert decide(table(*cells), "novel", 0, OPTIONS, budget_atp=1).pick("d_1") == "small"
    nothing = decide(table(*cells, budget=0.1), "novel", 0, OPTIONS)
    assert (nothing.pick("d_1"), nothing.expected["small"].propensity) == ("small", 1)
    assert "the cheapest answers" in nothing.why["small"]
    crisis = decide(table(*cells, state="crisis", budget=1), "novel", 0, OPTIONS)
    assert (crisis.pick("d_1"), crisis.expected["large"].propensity) == ("large", 1)
    assert "most capable" in crisis.why["large"]


def test_a_model_that_cannot_read_the_prompt_is_left_out():
    options = (OPTIONS[0], OPTIONS[2]._replace(words=30, most_words=100))
    assert decide(None, "novel", 70, options).order == ("small", "large")
    assert decide(None, "novel", 71, options).order == ("large",)
    assert decide(None, "novel", 71, options[1:]).order == ("small",)


def test_a_cascade_begins_with_the_cheapest_that_has_a_chance():
    cells = cell("large", 30, 3), cell("middle", 12, 6), cell("small", 1, 2000)
    assert decide(table(*cells), "novel", 0, OPTIONS, cascade=True).order == ("middle", "large")
    assert decide(table(*cells, budget=5), "novel", 0, OPTIONS, cascade=True).order == ("middle",)
    assert decide(None, "novel", 0, OPTIONS, cascade=True).order == ("small", "middle", "large")


def test_the_class_of_evidence_is_the_first_with_enough_and_priors_fill_gaps():
    cells = cell("large", 2, 1), cell("middle", 9, 1, evidence="judged"), cell("*sensory", 1, 3, context="*")
    decision = decide(table(*cells), "novel", 0, OPTIONS)
    assert decision.evidence == "judged"  # 3 exact outcomes are too few
    assert decision.expected["large"].mean == 0.5  # what is known exactly does not count among judged outcomes
    exact = decide(table(*cells, cell("large", 8, 2)), "novel", 0, OPTIONS)
    assert exact.evidence == "exact"
    assert exact.expected["small"].mean == 0.25
    assert "0 outcomes in this context, so it explores" in exact.why["small"]
    assert "large: success 0.80" in explain(table(*cells, cell("large", 8, 2)), "novel", 0, OPTIONS)


def test_equal_models_are_tied_by_atp_then_by_id():
    certain = [cell(name, 1e9, 1e-9) for name in ("b", "a", "c")]
    options = [Option("b", "tactical", 1.0), Option("a", "tactical", 1.0), Option("c", "tactical", 2.0)]
    assert decide(table(*certain, atp_value=0), "novel", 0, options).pick("d_1") == "a"


@given(st.lists(st.tuples(st.floats(0.1, 50), st.floats(0.1, 50), st.floats(0, 20)), min_size=1, max_size=6))
def test_propensities_add_up_to_1(models):
    options = [Option(f"m{n}", "tactical", atp) for n, (_, _, atp) in enumerate(models)]
    cells = [cell(f"m{n}", alpha, beta) for n, (alpha, beta, _) in enumerate(models)]
    decision = decide(table(*cells), "novel", 100, options)
    assert sum(one.propensity for one in decision.expected.values()) == pytest.approx(1)
    assert decision.expected[decision.pick("d_1")].propensity > 0


def test_the_last_table_counts_and_a_damaged_one_is_named(tmp_path):
    assert read_table(tmp_path) is None
    content = {
        "schema_version": 1,
        "cycle": 2,
        "state": {"name": "wake", "budget_atp": 100, "multiplier": 1.0},
        "settings": {"minimum_evidence": 5, "atp_value": 0.01, "evidence": ["exact"]},
        "models": {"one": {"layer": "tactical", "atp": 2, "revision": "r"}},
        "cells": [{"model_id": "one", "context": "*", "evidence": "exact", "alpha": 1, "beta": 1, "n": 0}],
    }
    content["cells"][0] |= {"mean": 0.5, "low": 0.1, "high": 0.9}
    for cycle in (2, 10):
        path = tmp_path / f"trust/cycle-{cycle}/routing.json"
        path.parent.mkdir(parents=True)
        path.write_text(json.dumps(content | {"cycle": cycle}))
    assert read_table(tmp_path).cycle == 10
    assert read_table(tmp_path, 9).cycle == 2
    content["cells"][0]["alpha"] = -1
    path.write_text(json.dumps(content))
    with pytest.raises(DreamflowError, match=r"cycle-10/routing.json: damaged: .*snakemake trust"):
        read_table(tmp_path)


# The file of choices.


def choice(slot, model_id="one", **fields):
    values = {"propensity": 0.5, "context": "novel", "evidence": "exact", "cycle": 1, "state": "wake", "why": "it is"}
    return Choice(slot=slot, model_id=model_id, **{**values, **fields}), {"one": Expected(0.5, 1.0, 0.49, 0.5)}


def test_choices_are_added_once_and_the_first_in_the_file_wins(tmp_path):
    path = tmp_path / "trust" / "choices.jsonl"
    mine, other = ChoiceFile(path), ChoiceFile(path)
    assert (mine.read(), other.read()) == ([], [])
    assert other.add([choice("d_1", "two"), choice("d_2")]) == []
    assert [one.model_id for one in mine.add([choice("d_1"), choice("d_3"), choice("d_1", round=2)])] == ["two", "one"]
    assert [(one.slot, one.model_id, one.round) for one in ChoiceFile(path).read()] == [
        ("d_1", "two", 1),
        ("d_2", "one", 1),
        ("d_3", "one", 1),
        ("d_1", "one", 2),
    ]
    line = json.loads(path.read_text().splitlines()[0])
    assert line["generation"] == "d_1"
    assert line["expected"] == {"one": {"mean": 0.5, "atp": 1.0, "value": 0.49, "propensity": 0.5}}


def test_a_line_that_a_killed_process_left_is_removed_and_others_stay(tmp_path):
    path = tmp_path / "choices.jsonl"
    ChoiceFile(path).add([choice("d_1"), choice("d_2")])
    whole = path.read_bytes()
    with path.open("ab") as stream:
        stream.write(whole[:20])
    again = ChoiceFile(path)
    assert [one.slot for one in again.read()] == ["d_1", "d_2"]
    assert again.problems == []  # another process may be writing it
    again.add([choice("d_3")])
    assert "the last line was cut off" in again.problems[0]
    assert path.read_bytes().startswith(whole)
    assert [one.slot for one in ChoiceFile(path).read()] == ["d_1", "d_2", "d_3"]


def test_a_damaged_line_is_told_and_the_others_are_read(tmp_path):
    path = tmp_path / "choices.jsonl"
    ChoiceFile(path).add([choice("d_1"), choice("d_2")])
    first, second = path.read_text().splitlines(keepends=True)
    path.write_text(first + '{"generation": 3}\n' + second)
    file = ChoiceFile(path)
    assert [one.slot for one in file.read()] == ["d_1", "d_2"]
    assert file.problems[0].startswith(f"{path}: byte {len(first)}: damaged")
    os.truncate(path, len(first))
    file.add([choice("d_2")])
    assert [one.slot for one in ChoiceFile(path).read()] == ["d_1", "d_2"]
