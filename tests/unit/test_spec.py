"""The spec DSL: what each rule makes, row by row, and what is said of each mistake."""

import json
from itertools import product
from pathlib import Path

import pytest
from dreamflow.cohorts.spec_language import compile_spec, load_spec
from dreamflow.errors import ConfigError
from hypothesis import given
from hypothesis import strategies as st

WHERE = Path("cohorts/night.yaml")
AB = {"a": ["a1", "a2", "a3"], "b": ["b1", "b2"]}
NAMES = st.from_regex(r"[a-z]{1,6}", fullmatch=True)
LEVELS = st.lists(NAMES | st.integers(-5, 5), min_size=1, max_size=4)


def compiled(axes, rules=None, order=None, where=WHERE):
    """Rows as tuples, after a check that all have the same fields in the same order."""
    order = order or [next(iter(axes))]
    rows = list(compile_spec({"axes": axes, "rules": rules or {}, "output": {"field_order": order}}, where))
    assert len({tuple(row) for row in rows}) == 1
    return [tuple(row.values()) for row in rows]


def refused(message_parts, axes=AB, rules=None, output=None, where=WHERE):
    output = {"field_order": ["a"]} if output is None else output
    with pytest.raises(ConfigError) as caught:
        compile_spec({"axes": axes, "rules": {} if rules is None else rules, "output": output}, where)
    message = str(caught.value)
    for part in (f"{where}: ", *message_parts):
        assert part in message, message


# Axes, product, order of fields


def test_the_product_in_the_order_of_the_axes():
    spec = {"axes": {**AB, "replicate": [1, 2]}, "output": {"field_order": ["b"]}}
    rows = list(compile_spec(spec, WHERE))
    assert rows[:3] == [
        {"b": "b1", "a": "a1", "replicate": 1},
        {"b": "b1", "a": "a1", "replicate": 2},
        {"b": "b2", "a": "a1", "replicate": 1},
    ]
    assert len(rows) == 12
    assert list(rows[0]) == ["b", "a", "replicate"]
    assert all(type(row["replicate"]) is int for row in rows)


def test_a_level_named_twice_counts_once():
    assert compiled({"a": ["x", "y", "x"], "b": [1, 1]}) == [("x", 1), ("y", 1)]


def test_other_top_level_keys_are_not_its_business():
    spec = {"axes": {"a": ["x"]}, "output": {"field_order": ["a"]}, "combos": {"size": 3}, "stages": 1}
    assert list(compile_spec(spec, WHERE)) == [{"a": "x"}]
    assert list(compile_spec({**spec, "rules": None}, WHERE)) == [{"a": "x"}]


def test_the_spec_is_not_changed():
    spec = {
        "axes": {k: list(v) for k, v in AB.items()},
        "rules": {"subsets": {"a": ["a1"]}, "ties": {"t": {"axes": ["a"]}}},
        "output": {"field_order": ["a"]},
    }
    before = json.dumps(spec)
    compile_spec(spec, WHERE)
    assert json.dumps(spec) == before


@pytest.mark.parametrize(
    ("axes", "parts"),
    [
        (None, ["axes: nothing (null); expected a mapping"]),
        (["a"], ["axes: a list", "expected a mapping"]),
        ({}, ["axes: no axes"]),
        ({"a": "x"}, ['axes.a: "x"; expected a list, or "@file:']),
        ({"a": {"levels": ["x"]}}, ['axes.a: {"levels": ["x"]}; expected a list']),
        ({"a": []}, ["axes.a: the list is empty"]),
        ({"a": ["x", ["y", "z"]]}, ['axes.a[1]: a list (["y", "z"]); expected one text or number']),
        ({"a": [{"x": 1}]}, ["axes.a[0]: a mapping"]),
        ({"a": [None]}, ["axes.a[0]: nothing (null)"]),
        ({"a": ["x", True]}, ["axes.a[1]: YAML reads this value as true; put it in quotes"]),
        ({"a": ["x", "  "]}, ["axes.a[1]: a blank value"]),
        ({"a": ["x", "@file:y.csv"]}, ['axes.a[1]: "@file:y.csv" inside a list']),
        ({1: ["x"]}, ["axes.1: 1 is not the name of an axis"]),
        ({"": ["x"]}, ['"" is not the name of an axis']),
    ],
)
def test_wrong_axes(axes, parts):
    refused(parts, axes=axes)


@pytest.mark.parametrize(
    ("output", "parts"),
    [
        ([], ["output: a list ([]); expected a mapping with field_order"]),
        ({}, ["output: 'field_order' is missing"]),
        ({"field_order": []}, ["output.field_order: a list ([]); expected a list of names"]),
        ({"field_order": "a"}, ['output.field_order: text ("a"); expected a list of names']),
        ({"field_order": ["a", 1]}, ["output.field_order[1]: 1; expected a name"]),
        ({"field_order": ["a", "a"]}, ["output.field_order[1]: 'a' is named twice"]),
        (
            {"field_order": ["a", "c"]},
            ["output.field_order[1]: there is no axis 'c'", 'the axes are "a", "b"'],
        ),
        ({"field_order": ["a"], "seed": 1}, ["output.seed: unknown key; the keys are field_order"]),
        ({"field_orders": ["a"]}, ['output.field_orders: unknown key (did you mean "field_order"?)']),
    ],
)
def test_wrong_output(output, parts):
    refused(parts, output=output)


def test_without_an_output_fields_are_in_the_order_of_the_axes():
    ordered = compile_spec({"axes": AB, "output": {"field_order": [*AB]}}, WHERE)
    assert list(compile_spec({"axes": AB}, WHERE)) == list(ordered)


# Rules in general


@pytest.mark.parametrize(
    ("rules", "parts"),
    [
        ([{"subset": {}}], ["rules: a list", "expected a mapping with subsets, ties, pairs, tuples"]),
        (
            {"subset": {}},
            ['rules.subset: unknown key (did you mean "subsets"?)', "subsets, ties, pairs, tuples"],
        ),
        ({"subsets": ["a"]}, ["rules.subsets: a list", "expected a mapping from names to rules"]),
        ({"ties": None}, ["rules.ties: nothing (null)"]),
        ({"ties": {1: ["a", "b"]}}, ["rules.ties.1: 1; expected a name"]),
        ({"tuples": {"t": {"axes": ["c"], "items": [["x"]]}}, "pairs": []}, ["rules.pairs: a list"]),
    ],
)
def test_wrong_sections(rules, parts):
    refused(parts, rules=rules)


# Subsets


def test_a_subset_keeps_the_order_of_the_axis():
    assert compiled(AB, {"subsets": {"a": ["a3", "a1"], "b": ["b2"]}}) == [("a1", "b2"), ("a3", "b2")]


@pytest.mark.parametrize(
    ("entry", "parts"),
    [
        ({"c": ["x"]}, ["rules.subsets.c: there is no axis 'c'", 'the axes are "a", "b"']),
        (
            {"a": ["a1", "b1"]},
            ["rules.subsets.a[1]: 'a' has no level \"b1\"", 'its levels are "a1", "a2", "a3"'],
        ),
        ({"a": []}, ["rules.subsets.a: the list is empty"]),
        ({"a": "a1"}, ['rules.subsets.a: "a1"; expected a list']),
        ({"a": [["a1"]]}, ["rules.subsets.a[0]: 'a' has no level [\"a1\"]"]),
        ({"a": [{"a1": 1}]}, ["rules.subsets.a[0]: a mapping"]),
    ],
)
def test_wrong_subsets(entry, parts):
    refused(parts, rules={"subsets": entry})


def test_a_misspelt_name_or_level_gets_a_hint():
    axes = {"a": ["x"], "draft_template": ["creative-synthesis-v10", "dream"]}
    refused(['(did you mean "draft_template"?)'], axes, {"subsets": {"draft_templat": ["dream"]}})
    refused(
        ['(did you mean "creative-synthesis-v10"?)'],
        axes,
        {"subsets": {"draft_template": ["creative_synthesis_v10"]}},
    )


def test_a_number_and_its_text_are_told_apart():
    refused(
        ["rules.subsets.r[0]: \"1\" is text here, but a number in 'r'; write both alike"],
        {"a": ["x"], "r": [1, 2]},
        {"subsets": {"r": ["1"]}},
    )


def test_long_lists_of_levels_are_cut():
    refused(["… (50 in all)"], {"a": [f"level{n}" for n in range(50)]}, {"subsets": {"a": ["other"]}})


# Ties


def test_tied_axes_have_the_same_value_in_every_row():
    axes = {"x": [1], "a": ["p", "q", "r"], "y": [2], "b": ["r", "q", "s"]}
    spec = {"axes": axes, "rules": {"ties": {"llm": ["a", "b"]}}, "output": {"field_order": ["x"]}}
    rows = list(compile_spec(spec, WHERE))
    assert rows == [{"x": 1, "a": "q", "b": "q", "y": 2}, {"x": 1, "a": "r", "b": "r", "y": 2}]


def test_a_tie_may_have_the_name_of_one_of_its_axes():
    axes = {"a": ["p", "q"], "x": [1, 2], "b": ["q", "p"]}
    for entry in (["b", "a"], {"axes": ["b", "a"]}):
        assert compiled(axes, {"ties": {"b": entry}}, ["a", "b", "x"]) == [
            ("q", "q", 1),
            ("q", "q", 2),
            ("p", "p", 1),
            ("p", "p", 2),
        ]


def test_three_axes_in_a_tie_and_a_tie_of_a_tie():
    axes = {"a": ["p", "q"], "b": ["p", "q"], "c": ["q"]}
    assert compiled(axes, {"ties": {"t": ["a", "b", "c"]}}) == [("q", "q", "q")]
    assert compiled(axes, {"ties": {"t": ["a", "b"], "u": ["b", "c"]}}) == [("q", "q", "q")]


def test_other_rules_know_a_tied_axis_by_either_name():
    axes = {"a": ["p", "q"], "b": ["p", "q"], "c": ["x", "y"]}
    for name in ("a", "b", "t"):
        rules = {
            "ties": {"t": ["a", "b"]},
            "pairs": {"n": {"left": name, "right": "c", "allowed": [["q", "x"], ["p", "y"]]}},
        }
        assert compiled(axes, rules, ["a", "b", "c"]) == [("q", "q", "x"), ("p", "p", "y")]
        assert compiled(axes, {"ties": {"t": ["a", "b"]}, "subsets": {name: ["q"]}}) == [
            ("q", "q", "x"),
            ("q", "q", "y"),
        ]


@pytest.mark.parametrize(
    ("entry", "parts"),
    [
        ({"t": ["a", "b"]}, ["rules.ties.t: no level is common", 'a: "a1", "a2", "a3"; b: "b1", "b2"']),
        ({"t": {"axes": ["a", "c"]}}, ["rules.ties.t.axes[1]: there is no axis 'c'"]),
        ({"t": {"axes": ["a"], "to": "b"}}, ["rules.ties.t.to: ", "delete 'to'"]),
        ({"t": {"axis": ["a"]}}, ['rules.ties.t.axis: unknown key (did you mean "axes"?)']),
        ({"t": {}}, ["rules.ties.t: 'axes' is missing"]),
        ({"t": "a"}, ['rules.ties.t: text ("a"); expected a list of names']),
        ({"t": []}, ["rules.ties.t: a list ([]); expected a list of names"]),
        ({"t": ["a", 2]}, ["rules.ties.t[1]: 2; expected a name"]),
        ({"t": ["a", "a"]}, ["rules.ties.t[1]: 'a' is named twice"]),
        ({"b": ["a"]}, ["rules.ties.b: there is already an axis 'b'; choose another name"]),
    ],
)
def test_wrong_ties(entry, parts):
    refused(parts, rules={"ties": entry})


def test_a_tie_names_an_axis_once_even_by_two_names():
    axes = {"a": ["p"], "b": ["p"], "c": ["p"]}
    refused(
        ["rules.ties.u: ", "two of these are already tied"],
        axes,
        {"ties": {"t": ["a", "b"], "u": ["a", "b"]}},
    )


# Pairs


def test_a_pair_allows_what_it_lists():
    axes = {"x": [1, 2], "a": ["a1", "a2"], "y": [3], "b": ["b1", "b2"]}
    rules = {
        "pairs": {
            "ab": {"left": "b", "right": "a", "allowed": [["b2", "a1"], ["b1", "a1"], ["b2", "a1"]]},
        }
    }
    assert compiled(axes, rules, ["x", "a", "b", "y"]) == [
        (1, "a1", "b2", 3),
        (1, "a1", "b1", 3),
        (2, "a1", "b2", 3),
        (2, "a1", "b1", 3),
    ]


@pytest.mark.parametrize(
    ("allowed", "fair"),
    [
        ([["a1", "b1"], ["a2", "b2"]], {"left", "right", "both"}),
        ([["a1", "b1"], ["a2", "b1"]], {"left", "right", "both"}),
        ([["a1", "b1"], ["a2", "b1"], ["a3", "b2"]], {"left"}),
        (
            [["a1", "b1"], ["a1", "b2"], ["a2", "b1"], ["a2", "b2"], ["a3", "b1"], ["a3", "b2"]],
            {"left", "right", "both"},
        ),
        ([["a1", "b1"], ["a1", "b2"], ["a2", "b1"]], set()),
        ([["a1", "b1"], ["a1", "b1"], ["a2", "b2"]], {"left", "right", "both"}),  # repeats count once
    ],
)
def test_balance(allowed, fair):
    for balance in ("left", "right", "both"):
        rules = {"pairs": {"ab": {"left": "a", "right": "b", "allowed": allowed, "balance": balance}}}
        if balance in fair:
            compiled(AB, rules)
        else:
            refused(["rules.pairs.ab.balance: the ", "values do not occur equally often"], AB, rules)


def test_an_unfair_balance_is_counted():
    rules = {
        "pairs": {
            "ab": {
                "left": "a",
                "right": "b",
                "allowed": [["a1", "b1"], ["a2", "b1"], ["a3", "b2"]],
                "balance": "right",
            }
        }
    }
    refused(["the right values", '"b1" 2x, "b2" 1x'], rules=rules)


@pytest.mark.parametrize(
    ("change", "parts"),
    [
        ({"left": "c"}, ["rules.pairs.ab.left: there is no axis 'c'"]),
        ({"right": "a"}, ["rules.pairs.ab: 'left' and 'right' are the same axis 'a'"]),
        ({"right": None}, ["rules.pairs.ab.right: null; expected a name"]),
        ({"allowed": []}, ["rules.pairs.ab.allowed: the list is empty"]),
        ({"allowed": {"a1": "b1"}}, ['rules.pairs.ab.allowed: {"a1": "b1"}; expected a list']),
        (
            {"allowed": [["a1", "b1"], "a1"]},
            ['rules.pairs.ab.allowed[1]: text ("a1"); expected a list [a, b]'],
        ),
        (
            {"allowed": [["a1", "b1", "c"]]},
            ["rules.pairs.ab.allowed[0]: ", "has 3 values; expected 2: [a, b]"],
        ),
        (
            {"allowed": [["a1", "b1"], ["a1", "b3x"]]},
            ["rules.pairs.ab.allowed[1][1]: 'b' has no level \"b3x\""],
        ),
        ({"allowed": [["zz", "b1"]]}, ["rules.pairs.ab.allowed[0][0]: 'a' has no level \"zz\""]),
        (
            {"balance": "lef"},
            ['rules.pairs.ab.balance: "lef" (did you mean "left"?); expected left, right, both'],
        ),
        ({"balance": ["left"]}, ["rules.pairs.ab.balance: "]),
        ({"allow": []}, ['rules.pairs.ab.allow: unknown key (did you mean "allowed"?)']),
    ],
)
def test_wrong_pairs(change, parts):
    refused(parts, rules={"pairs": {"ab": {"left": "a", "right": "b", "allowed": [["a1", "b1"]], **change}}})


def test_more_wrong_pairs():
    pair = {"left": "a", "right": "b", "allowed": [["a1", "b1"]]}
    refused(["rules.pairs.ab: a list"], rules={"pairs": {"ab": [["a1", "b1"]]}})
    refused(["rules.pairs.ab: 'allowed' is missing"], rules={"pairs": {"ab": {"left": "a", "right": "b"}}})
    refused(["rules.pairs.a: there is already an axis 'a'"], rules={"pairs": {"a": pair}})
    refused(
        ["rules.pairs.two.left: axis 'a' is already a part of 'one'; name that one"],
        rules={"pairs": {"one": pair, "two": pair}},
    )
    refused(
        ["rules.subsets.a: axis 'a' is already a part of 'ab'"],
        rules={"pairs": {"ab": pair}, "subsets": {"a": ["a1"]}},
    )


# Tuples


def tuple_rule(items, axes=("t", "m")):
    return {"tuples": {"tm": {"axes": list(axes), "items": items}}}


def test_the_fields_of_a_tuple_move_together():
    rules = tuple_rule([["t1", 1], ["t2", 2], ["t1", 1]])
    assert compiled({"a": ["a1", "a2"]}, rules, ["t", "a", "m"]) == [
        ("t1", "a1", 1),
        ("t2", "a1", 2),
        ("t1", "a2", 1),
        ("t2", "a2", 2),
    ]


def test_two_tuples_as_in_the_originals_reference_cohort():
    rules = {
        "tuples": {
            "templates": {"axes": ["dt", "et"], "items": [["v10", "v10"], ["v7", "copy"]]},
            "models": {"axes": ["dm", "em"], "items": [["g", "g"], ["d", "d"]]},
        }
    }
    rows = compiled({"combo": ["x", "y", "z"], "r": [1, 2]}, rules, ["combo", "dt", "dm", "et", "em", "r"])
    assert len(rows) == 3 * 2 * 2 * 2
    assert rows[:3] == [
        ("x", "v10", "g", "v10", "g", 1),
        ("x", "v10", "d", "v10", "d", 1),
        ("x", "v7", "g", "copy", "g", 1),
    ]


def test_tuples_alone_are_enough():
    assert compiled({}, tuple_rule([["t1", "m1"]]), ["t"]) == [("t1", "m1")]


@pytest.mark.parametrize(
    ("entry", "parts"),
    [
        (
            {"axes": ["t", "a"]},
            ["rules.tuples.tm.axes[1]: there is already an axis 'a'", "come from its items"],
        ),
        ({"axes": ["t", "t"]}, ["rules.tuples.tm.axes[1]: 't' is named twice"]),
        ({"axes": "t"}, ["rules.tuples.tm.axes: text"]),
        ({"axes": ["t", "tm"]}, ["rules.tuples.tm: a tuple needs a name of its own"]),
        ({"items": []}, ["rules.tuples.tm.items: the list is empty"]),
        ({"items": None}, ["rules.tuples.tm.items: null; expected a list"]),
        (
            {"items": [["t1", "m1"], ["t1"]]},
            ['rules.tuples.tm.items[1]: ["t1"] has 1 values; expected 2: [t, m]'],
        ),
        ({"items": ["t1"]}, ['rules.tuples.tm.items[0]: text ("t1"); expected a list [t, m]']),
        ({"items": [["t1", ["m1"]]]}, ["rules.tuples.tm.items[0][1]: a list"]),
        ({"items": [["t1", None]]}, ["rules.tuples.tm.items[0][1]: nothing (null)"]),
        ({"expand": False}, ["rules.tuples.tm.expand: tuples are always expanded: delete 'expand'"]),
        ({"item": 1}, ['rules.tuples.tm.item: unknown key (did you mean "items"?)']),
    ],
)
def test_wrong_tuples(entry, parts):
    refused(parts, rules={"tuples": {"tm": {"axes": ["t", "m"], "items": [["t1", "m1"]], **entry}}})


def test_more_wrong_tuples():
    refused(["rules.tuples.tm: a list"], rules={"tuples": {"tm": []}})
    refused(["rules.tuples.tm: 'items' is missing"], rules={"tuples": {"tm": {"axes": ["t"]}}})
    refused(
        ["rules.tuples.a: there is already an axis 'a'"],
        rules={"tuples": {"a": {"axes": ["t"], "items": [["x"]]}}},
    )
    both = {"one": {"axes": ["t"], "items": [["x"]]}, "two": {"axes": ["t"], "items": [["x"]]}}
    refused(["rules.tuples.two.axes[0]: there is already an axis 't'"], rules={"tuples": both})


# Rules over what rules made, and their order


PAIR_OVER_TUPLE = {
    "tuples": {"tm": {"axes": ["t", "m"], "items": [["t1", "m1"], ["t1", "m2"], ["t2", "m1"]]}},
    "pairs": {
        "atm": {"left": "a", "right": "tm", "allowed": [["a1", ["t1", "m2"]], ["a2", ["t2", "m1"]]]},
    },
}


def test_a_pair_over_a_tuple():
    axes = {"a": ["a1", "a2"], "x": [1, 2]}
    assert compiled(axes, PAIR_OVER_TUPLE, ["a", "t", "m", "x"]) == [
        ("a1", "t1", "m2", 1),
        ("a1", "t1", "m2", 2),
        ("a2", "t2", "m1", 1),
        ("a2", "t2", "m1", 2),
    ]


def test_a_tuple_must_come_before_the_pair_that_uses_it():
    early = {name: PAIR_OVER_TUPLE[name] for name in ("pairs", "tuples")}
    refused(
        ["rules.pairs.atm.right: axis 'tm' is made further down, by rules.tuples.tm", "write that one first"],
        {"a": ["a1", "a2"]},
        early,
    )
    early["pairs"] = {"am": {"left": "a", "right": "m", "allowed": [["a1", "m1"]]}}
    refused(["rules.pairs.am.right: axis 'm' is made further down"], {"a": ["a1"]}, early)


def test_a_level_that_a_tuple_does_not_have():
    rules = json.loads(json.dumps(PAIR_OVER_TUPLE))
    rules["pairs"]["atm"]["allowed"][1][1] = ["t2", "m2"]
    refused(
        ['rules.pairs.atm.allowed[1][1]: \'tm\' has no level ["t2", "m2"]', '["t1", "m1"], ["t1", "m2"]'],
        {"a": ["a1", "a2"]},
        rules,
    )


def test_a_subset_of_a_tuple_and_a_pair_of_a_pair():
    assert compiled({"a": ["a1"]}, {**tuple_rule([["t1", 1], ["t2", 2]]), "subsets": {"tm": [["t2", 2]]}}) == [
        ("a1", "t2", 2)
    ]
    rules = {
        "pairs": {
            "ab": {"left": "a", "right": "b", "allowed": [["a1", "b1"], ["a2", "b2"]]},
            "abc": {"left": "ab", "right": "c", "allowed": [[["a2", "b2"], "c1"]]},
        }
    }
    assert compiled({**AB, "c": ["c1"]}, rules) == [("a2", "b2", "c1")]


def test_the_order_of_the_sections_matters():
    axes = {"a": ["p", "q"], "b": ["q", "r"], "c": ["x"]}
    ties, subsets = {"ties": {"t": ["a", "b"]}}, {"subsets": {"b": ["q", "r"]}}
    assert compiled(axes, {**subsets, **ties}) == [("q", "q", "x")]
    refused(["rules.subsets.b[1]: 'b' has no level \"r\""], axes, {**ties, **subsets})


# Includes


@pytest.fixture
def spec_file(tmp_path):
    (tmp_path / "spec" / "items").mkdir(parents=True)
    return tmp_path / "spec" / "config.yaml"


def put(spec_file, name, text):
    (spec_file.parent / name).write_text(text, encoding="utf-8")
    return f"@file:{name}"


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("items/x.csv", "\ufeffname\n one \n\n  \ntwo\none\n", ["one", "two"]),
        ("items/x.txt", "one\n\n  two  \none\n", ["one", "two"]),
        ("items/x.yaml", "- one\n- 2\n", ["one", 2]),
        ("x.yml", "[one, 2]", ["one", 2]),
        ("x.json", '["one", 2]', ["one", 2]),
    ],
)
def test_levels_from_a_file(spec_file, name, text, expected):
    assert compiled({"a": put(spec_file, name, text)}, where=spec_file) == [(value,) for value in expected]


def test_rules_from_files(spec_file):
    rules = {
        "subsets": {"a": put(spec_file, "keep.txt", "a2\na1\n")},
        "tuples": {"tm": {"axes": ["t", "m"], "items": put(spec_file, "items/tm.csv", 't,m\nt1,"m,1"\n t2 ,m2\n')}},
        "pairs": {
            "ab": {"left": "a", "right": "b", "allowed": put(spec_file, "ab.json", '[["a1", "b2"]]')},
        },
    }
    assert compiled(AB, rules, ["a", "b"], spec_file) == [("a1", "b2", "t1", "m,1"), ("a1", "b2", "t2", "m2")]


@pytest.mark.parametrize(
    ("name", "text", "parts"),
    [
        (
            "x.csv",
            "l,m\nl1,m1\nl2,\n",
            ["rules.tuples.tm.items: ", "x.csv:3: the cell in column 'm' is blank"],
        ),
        ("x.csv", "l,m\nl1,m1,n1\n", ["x.csv:2: 3 cells; the header has 2 columns"]),
        ("x.csv", "l,m\n", ["x.csv: a header without rows"]),
        ("x.csv", "", ["x.csv:1: the first line must be a header"]),
        ("x.csv", "l,\na,b\n", ["x.csv:1: the first line must be a header"]),
        ("x.csv", 'l,m\n"l1,m1\nl2,m2\n', ["x.csv:3: not valid CSV"]),
        ("x.csv", "l\nl1\n", ['rules.tuples.tm.items (x.csv)[0]: text ("l1"); expected a list [t, m]']),
        ("x.yaml", "- [a, b]\n- [c\n", ["rules.tuples.tm.items: ", "x.yaml:3:1: not valid YAML"]),
        ("x.yaml", "a: 1\n", ['rules.tuples.tm.items (x.yaml): {"a": 1}; expected a list']),
        ("x.yaml", "", ["rules.tuples.tm.items (x.yaml): null; expected a list"]),
        ("x.json", "[[1,\n", ["x.json:2:1: not valid JSON"]),
        ("x.txt", "\n", ["rules.tuples.tm.items (x.txt): the list is empty"]),
        ("x.toml", "", ["x.toml: .toml; expected a .csv, .yaml, .yml, .json or .txt file"]),
    ],
)
def test_wrong_includes(spec_file, name, text, parts):
    refused(parts, rules=tuple_rule(put(spec_file, name, text)), where=spec_file)


@pytest.mark.parametrize(
    "name", ["../x.txt", "items/../../x.txt", "/etc/hostname", "", ".", "items\\x.txt", "a\0b.txt"]
)
def test_an_include_stays_in_the_folder_of_the_spec(spec_file, name):
    (spec_file.parent.parent / "x.txt").write_text("secret")
    refused(
        ["axes.a: @file:", "an include must lie in the folder of the spec", "expected a relative path"],
        {"a": f"@file:{name}"},
        where=spec_file,
    )


def test_a_link_does_not_lead_out_of_it(spec_file):
    outside = spec_file.parent.parent / "x.txt"
    outside.write_text("secret")
    (spec_file.parent / "link.txt").symlink_to(outside)
    (spec_file.parent / "items" / "up").symlink_to(spec_file.parent.parent)
    for name in ("link.txt", "items/up/x.txt"):
        refused(["but a link leads it to", str(outside)], {"a": f"@file:{name}"}, where=spec_file)
    put(spec_file, "real.txt", "one\n")
    (spec_file.parent / "near.txt").symlink_to("real.txt")
    assert compiled({"a": "@file:near.txt"}, where=spec_file) == [("one",)]


def test_an_include_that_is_not_there(spec_file):
    refused(["axes.a: ", "gone.txt: no such file"], {"a": "@file:gone.txt"}, where=spec_file)
    refused(["items: no such file"], {"a": "@file:items"}, where=spec_file)


# Spec files


def test_a_spec_in_yaml_or_json(tmp_path):
    spec = {"axes": {"a": ["x"], "r": [1, 2]}, "rules": {}, "output": {"field_order": ["r"]}}
    (tmp_path / "s.json").write_text(json.dumps(spec))
    (tmp_path / "s.yaml").write_text("axes: {a: [x], r: [1, 2]}\nrules: {}\noutput:\n  field_order: [r]\n")
    assert load_spec(tmp_path / "s.json") == load_spec(str(tmp_path / "s.yaml")) == spec
    (tmp_path / "empty.yml").write_text("# nothing yet\n")
    assert load_spec(tmp_path / "empty.yml") == {}


def test_yaml_anchors_and_merges_are_allowed(tmp_path):
    path = tmp_path / "s.yaml"
    path.write_text("base: &b {a: [x], c: [1]}\naxes:\n  <<: *b\n  c: [2]\n")
    assert load_spec(path)["axes"] == {"a": ["x"], "c": [2]}


@pytest.mark.parametrize(
    ("name", "text", "parts"),
    [
        ("s.yaml", "axes:\n  a: [x\noutput: {}\n", ["s.yaml:3:7: not valid YAML: "]),
        ("s.yaml", "axes:\n  a: [x]\n  b: [y]\n  a: [z]\n", ["s.yaml:4:3: ", "the key 'a' occurs twice"]),
        ("s.yaml", "- axes\n", ["s.yaml: a list", "expected a mapping with axes, rules and output"]),
        ("s.yaml", "when: 2025-13-45\n", ["s.yaml: not valid YAML: month"]),
        ("s.yaml", "a: \x01\n", ["s.yaml: not valid YAML: "]),
        ("s.yaml", "a: !!python/name:os.system x\n", ["s.yaml:1:4: not valid YAML: "]),
        ("s.json", '{"axes": {}\n "output": 1}', ["s.json:2:2: not valid JSON: "]),
        ("s.json", '{"a": 1, "a": 2}', ["s.json: not valid JSON: the key 'a' occurs twice"]),
        ("s.toml", "", ["s.toml: .toml; expected a .yaml, .yml or .json file"]),
    ],
)
def test_wrong_spec_files(tmp_path, name, text, parts):
    (tmp_path / name).write_text(text)
    with pytest.raises(ConfigError) as caught:
        load_spec(tmp_path / name)
    for part in (str(tmp_path / name), *parts):
        assert part in str(caught.value)


def test_a_spec_that_is_no_file(tmp_path):
    with pytest.raises(ConfigError, match="a folder; expected a spec file"):
        load_spec(tmp_path)
    with pytest.raises(ConfigError, match=r"gone.yaml: no such file"):
        load_spec(tmp_path / "gone.yaml")


# For all specs


@given(st.dictionaries(NAMES, LEVELS, min_size=1, max_size=4), st.randoms())
def test_without_rules_the_rows_are_the_product(axes, random):
    order = random.sample(list(axes), random.randint(1, len(axes)))
    rows = list(compile_spec({"axes": axes, "output": {"field_order": order}}, WHERE))
    levels = [list(dict.fromkeys(values)) for values in axes.values()]
    assert [tuple(row[name] for name in axes) for row in rows] == list(product(*levels))
    expected = order + [name for name in axes if name not in order]
    assert all(list(row) == expected for row in rows)


@given(st.dictionaries(NAMES, LEVELS, min_size=1, max_size=4), st.data())
def test_with_subsets_they_are_a_filtered_product(axes, data):
    kept = {
        name: data.draw(st.lists(st.sampled_from(levels), min_size=1))
        for name, levels in axes.items()
        if data.draw(st.booleans())
    }
    spec = {"axes": axes, "rules": {"subsets": kept}, "output": {"field_order": list(axes)}}
    levels = [list(dict.fromkeys(values)) for values in axes.values()]
    assert [tuple(row.values()) for row in compile_spec(spec, WHERE)] == [
        values
        for values in product(*levels)
        if all(value in kept.get(name, axes[name]) for name, value in zip(axes, values, strict=True))
    ]


def test_a_hundred_thousand_rows():
    axes = {
        "combo": [f"combo_{n}" for n in range(1000)],
        "r": list(range(1, 6)),
        "e": ["e1", "e2"],
        "v": [1, 2],
    }
    rules = {
        "tuples": {"tm": {"axes": ["t", "m"], "items": [[f"t{n}", f"m{n}"] for n in range(10)]}},
        "pairs": {
            "etm": {"left": "e", "right": "tm", "allowed": [["e1", [f"t{n}", f"m{n}"]] for n in range(10)]},
        },
    }
    spec = {"axes": axes, "rules": rules, "output": {"field_order": ["combo", "t", "m", "e", "r", "v"]}}
    rows = list(compile_spec(spec, WHERE))
    assert len(rows) == len({tuple(row.values()) for row in rows}) == 100_000
    assert rows[0] == {"combo": "combo_0", "t": "t0", "m": "m0", "e": "e1", "r": 1, "v": 1}
    assert rows[-1] == {"combo": "combo_999", "t": "t9", "m": "m9", "e": "e1", "r": 5, "v": 2}
