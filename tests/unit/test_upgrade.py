"""Which tier a task gets and why; which chunks are upgraded within limits; new chunks in the place of old ones."""

import json
from dataclasses import replace

import pytest
from chat import chunk, conversation, model
from dreamflow.chunks.archive import build_archive
from dreamflow.chunks.stitch import PartitionError, check_partition
from dreamflow.chunks.units import split_units
from dreamflow.chunks.upgrade import Outlook, Room, merge_upgrade, plan_upgrades
from dreamflow.chunks.upgrade_tried import tried_again
from dreamflow.errors import ConfigError
from dreamflow.resources import select_resources
from hypothesis import given
from hypothesis import strategies as st

TIERS = {
    "basic": {"model_id": "local", "max_tokens": None},
    "good": {"model_id": "haiku", "max_tokens": 50_000},
    "premium": {"model_id": "sonnet", "max_tokens": 100_000},
}
RULES = {"method": "rules", "quality_level": "basic"}


def select(budget=200_000, quality=None, seconds=None, conversations=5, urgency="normal", tiers=TIERS):
    return select_resources(budget, quality, seconds, conversations, urgency, tiers)


@pytest.mark.parametrize(
    ("arguments", "tier", "max_tokens", "reason"),
    [
        ({"budget": 0}, "basic", None, "budget is 0"),
        ({"budget": 0, "urgency": "high", "seconds": 5}, "basic", None, "budget is 0"),
        ({}, "good", 50_000, "5 conversations are a small batch"),
        ({"budget": 20_000}, "good", 20_000, "small batch"),
        ({"conversations": 10}, "basic", None, "10 conversations are a large batch"),
        ({"conversations": 500, "seconds": 59}, "good", 50_000, "59 s, less than 60"),
        ({"urgency": "high", "seconds": 59}, "good", 50_000, "the fast model"),
        ({"conversations": 500, "urgency": "high"}, "premium", 100_000, "urgent"),
        ({"budget": 100_000, "urgency": "high"}, "good", 50_000, "small batch"),
        ({"quality": "premium"}, "premium", 100_000, "premium was required"),
        ({"quality": "premium", "budget": None}, "premium", 100_000, "premium was required"),
        ({"quality": "premium", "budget": 100_001}, "premium", 100_000, "premium was required"),
        ({"quality": "good", "conversations": 500}, "good", 50_000, "good was required"),
        ({"quality": "basic", "urgency": "high"}, "basic", None, "basic was required"),
    ],
)
def test_the_rules_of_the_design(arguments, tier, max_tokens, reason):
    chosen = select(**arguments)
    assert (chosen["tier"], chosen["max_tokens"]) == (tier, max_tokens)
    assert chosen["model_id"] == TIERS[tier]["model_id"]
    assert chosen["as_required"]
    assert any(reason in sentence for sentence in chosen["reasons"])


@pytest.mark.parametrize(
    ("arguments", "tier", "reason"),
    [
        ({"quality": "premium", "budget": 100_000}, "good", "above 100,000 tokens; the budget is 100,000"),
        ({"quality": "premium", "seconds": 30}, "good", "too slow for 30 s"),
        ({"quality": "premium", "budget": 0}, "basic", "budget is 0"),
        ({"quality": "good", "budget": 0}, "basic", "budget is 0"),
        ({"quality": "premium", "tiers": {"basic": TIERS["basic"]}}, "basic", "No model is configured for premium"),
    ],
)
def test_what_was_required_and_cannot_be_had_is_said(arguments, tier, reason):
    chosen = select(**arguments)
    assert chosen["tier"] == tier
    assert not chosen["as_required"]
    text = " ".join(chosen["reasons"])
    assert reason in text
    assert f"have the quality level {tier}, not {arguments['quality']}" in text


@pytest.mark.parametrize("arguments", [{"quality": "deep"}, {"urgency": "soon"}, {"tiers": {"good": TIERS["good"]}}])
def test_wrong_arguments_of_the_selection(arguments):
    with pytest.raises(ConfigError):
        select(**arguments)


@given(
    st.integers(0, 300_000) | st.none(),
    st.sampled_from([None, "basic", "good", "premium"]),
    st.floats(0, 1e5) | st.none(),
    st.integers(1, 1000),
    st.sampled_from(["normal", "high"]),
)
def test_premium_never_without_the_budget_and_never_a_silent_change(budget, quality, seconds, conversations, urgency):
    chosen = select(budget, quality, seconds, conversations, urgency)
    assert chosen["reasons"]
    if chosen["tier"] == "premium":
        assert budget is None or budget > 100_000
        assert seconds is None or seconds >= 60
    if budget == 0:
        assert chosen["tier"] == "basic"
    assert chosen["as_required"] == (quality in (None, chosen["tier"]))


# --- plans -----------------------------------------------------------------------------------------------------------


def archive(name, *parts, sentence="This is a sentence about nothing in particular. "):
    """An archive of chunks given as (sentences, labels, confidence, made_by)."""
    turns = [("user", (sentence * count).strip()) for count, *_ in parts]
    talk = conversation(*turns, name=name)
    units = split_units(talk)
    chunks = []
    for turn, (_, labels, confidence, made_by) in zip(talk.turns, parts, strict=True):
        numbers = [unit.number for unit in units if unit.turn == turn.number]
        chunks.append(chunk(numbers[0], numbers[-1], *labels, confidence=confidence, made_by=made_by))
    return {**build_archive(talk, units, chunks), "version": 1}


def unanswered(archive, first, last):
    """The outlook of a region that no stored answer is known of: a call of 500 tokens and the text."""
    chars = archive["b_chunks"][0]["char_range"][0], archive["b_chunks"][-1]["char_range"][1]
    inside = [one for one in archive["b_chunks"] if first <= one["unit_range"][0] and one["unit_range"][1] <= last]
    tokens = sum(one["token_range"][1] - one["token_range"][0] for one in inside)
    assert chars[0] == 0 and inside
    most = {"most_tokens": 50_000, "most_usd": 0.5}
    return Outlook(1, prompt_tokens=500 + tokens, answer_tokens=100, usd=(600 + tokens) / 1e6, seconds=4.0, **most)


def plan(
    archives,
    text="needs_upgrade=true",
    target="good",
    look=unanswered,
    *,
    priorities=None,
    rooms=(),
    tried=(),
    **limits,
):
    return plan_upgrades(archives, text, target, limits, look, priorities=priorities, rooms=rooms, tried=tried)


def names(regions):
    return [(region["conversation_id"], len(region["chunks"])) for region in regions]


def test_neighbouring_chunks_are_one_region():
    made = archive(
        "a",
        (5, ["x"], 0.5, RULES),
        (5, ["x"], 0.5, RULES),
        (5, ["x"], 0.5, model("good")),
        (5, ["x"], 0.5, RULES),
    )
    found = plan([made])
    assert names(found["regions"]) == [("a", 2), ("a", 1)]
    first = found["regions"][0]
    assert (first["first"], first["last"]) == (1, made["b_chunks"][1]["unit_range"][1])
    assert first["chunks"] == ["b_a_0", "b_a_1"]
    assert found["totals"]["chunks"] == 3
    json.dumps(found)


def test_only_chunks_below_the_target_are_upgraded():
    made = [archive("a", (5, ["x"], 0.1, model("good"))), archive("b", (5, ["x"], 0.1, model("premium")))]
    found = plan(made, "labels CONTAINS x", "good")
    assert found["regions"] == []
    assert (found["totals"]["matched_chunks"], found["totals"]["already_at_target"]) == (2, 2)
    assert names(plan(made, "labels CONTAINS x", "premium")["regions"]) == [("a", 1)]


def test_low_confidence_comes_first():
    made = [archive(name, (5, [], sure, RULES)) for name, sure in (("a", 0.9), ("b", 0.1), ("c", None))]
    assert [region["conversation_id"] for region in plan(made)["regions"]] == ["b", "c", "a"]


def test_labels_that_are_often_used_come_first():
    made = [
        archive("a", (5, ["rare"], 0.5, RULES)),
        archive("b", (5, ["common"], 0.5, RULES)),
        archive("c", (5, ["Common"], 0.5, model("premium"))),
    ]
    assert [region["conversation_id"] for region in plan(made)["regions"]] == ["b", "a"]


def test_the_users_priority_comes_first():
    made = [archive(name, (5, [name + "-label"], 0.5, RULES)) for name in "abc"]
    order = [r["conversation_id"] for r in plan(made, priorities={"C": 3, "b-label": 2})["regions"]]
    assert order == ["c", "b", "a"]


def test_the_region_that_gains_most_for_its_price_comes_first():
    """A call has a fixed price besides its text, so much text in one call is worth more than little."""
    made = [archive("a", (5, [], 0.5, RULES)), archive("b", (90, [], 0.5, RULES)), archive("c", (90, [], 0.99, RULES))]
    assert [region["conversation_id"] for region in plan(made)["regions"]] == ["b", "a", "c"]

    def dear(archive, first, last):
        return replace(unanswered(archive, first, last), usd=1.0 if archive["conversation_id"] == "b" else 0.01)

    assert [region["conversation_id"] for region in plan(made, look=dear)["regions"]] == ["a", "c", "b"]


def test_a_conversation_that_exceeds_the_budget_is_skipped_and_named_and_the_rest_goes_on():
    made = [
        archive("a", (5, [], 0.1, RULES)),
        archive("huge", (900, [], 0.0, RULES)),
        archive("z", (5, [], 0.9, RULES)),
    ]
    small = plan(made[:1])["regions"][0]["estimate"]["tokens"]
    found = plan(made, priorities={"huge": 1000}, max_tokens=2 * small + 100)
    assert names(found["regions"]) == [("a", 1), ("z", 1)]
    (skipped,) = found["skipped"]
    assert skipped["conversation_id"] == "huge"
    assert "would exceed max_tokens: needs" in skipped["reason"]
    assert found["totals"]["tokens"] <= 2 * small + 100


def test_the_limit_of_chunks():
    made = archive("a", *[(5, [], 0.5, RULES)] * 7)
    found = plan([made], limit=3)
    assert found["totals"]["chunks"] == 3
    assert found["totals"]["skipped_chunks"] == 4
    assert all("the limit of chunks" in region["reason"] for region in found["skipped"])


def test_the_time():
    made = [archive(name, (5, [], 0.5, RULES)) for name in "abc"]
    assert len(plan(made, max_duration_s=9)["regions"]) == 2
    deadline = {"deadline": "2026-02-13T04:00:05Z", "now": "2026-02-13T04:00:00+00:00"}
    assert len(plan(made, **deadline)["regions"]) == 1
    assert plan(made, deadline="2026-02-13T03:00:00Z", now=deadline["now"])["regions"] == []
    with pytest.raises(ConfigError, match="current time"):
        plan(made, deadline="2026-02-13T03:00:00Z")
    with pytest.raises(ConfigError, match="not a time"):
        plan(made, deadline="soon", now="2026-02-13T03:00:00Z")


def test_what_is_answered_takes_nothing_and_comes_first_and_what_cannot_be_used_blocks_nothing():
    made = [archive(name, (5, [], 0.5, RULES)) for name in ("a", "b", "c", "d")]
    paid = {"answers": 2, "tokens": 700, "cost_usd": 0.02}
    outlooks = {
        "a": Outlook(unusable="refusal: no", paid=paid),
        "b": unanswered(made[1], 1, 99),
        "c": Outlook(),
        "d": replace(unanswered(made[3], 1, 99), blocked="one of its calls is too large"),
    }
    one = plan(made[:1])["regions"][0]["estimate"]["tokens"]
    found = plan(made, look=lambda made, *_: outlooks[made["conversation_id"]], max_tokens=2 * one, priorities={"a": 9})
    assert names(found["regions"]) == [("c", 1), ("b", 1)]
    assert [region["estimate"]["tokens"] for region in found["regions"]] == [0, one]
    assert names(found["unusable"]) == [("a", 1)] and found["unusable"][0]["reason"] == "refusal: no"
    assert [region["reason"] for region in found["skipped"]] == ["one of its calls is too large"]
    totals = found["totals"]
    assert (totals["tokens"], totals["calls"], totals["chunks"]) == (one, 1, 2)
    assert totals["at_most"] == {"tokens": 50_000, "cost_usd": 0.5}
    assert totals["unusable_paid"] == paid and totals["skipped"]["calls"] == 1
    answered = plan(made[2:3], look=lambda *_: Outlook(), max_tokens=one)
    assert names(answered["regions"]) == [("c", 1)]  # once, also where nothing has to be asked


def test_an_unknown_price_is_not_zero():
    made = [archive("a", (5, [], 0.5, RULES))]
    found = plan(made, look=lambda *own: replace(unanswered(*own), usd=None, most_usd=None))
    assert found["totals"]["cost_usd"] is None and found["totals"]["at_most"]["cost_usd"] is None
    assert found["totals"]["tokens"] > 0 and found["regions"][0]["value_for_money"] > 0


def test_a_call_is_planned_only_where_its_reserve_fits_too():
    """A budget refuses a call whose longest answer it could not pay: such a region leaves its turn to others."""
    made = [archive(name, (5, [], sure, RULES)) for name, sure in (("a", 0.1), ("b", 0.2), ("c", 0.3))]
    reserves = {"a": 9000, "b": 300, "c": 100}

    def look(made, first, last):
        return replace(unanswered(made, first, last), reserve_tokens=reserves[made["conversation_id"]])

    one = look(made[0], 1, 99).estimate["tokens"]
    found = plan(made, look=look, max_tokens=2 * one + 300)
    assert names(found["regions"]) == [("b", 1), ("c", 1)]
    assert found["skipped"][0]["reason"].startswith("would exceed max_tokens: needs")
    assert "9,000 tokens in reserve" in found["skipped"][0]["reason"]
    assert names(plan(made, look=look, max_tokens=2 * one + 299)["regions"]) == [("b", 1)]
    # Where nothing fits so, some calls of the best region can be made, and the next upgrade makes the others.
    tight = plan(made, look=look, max_tokens=one + 50)
    assert names(tight["regions"]) == [("a", 1)] and names(tight["skipped"]) == [("b", 1), ("c", 1)]
    assert plan(made, look=look, max_tokens=one - 1)["regions"] == []


def test_what_other_budgets_leave_counts_too():
    made = [archive(name, (5, [], 0.5, RULES)) for name in "abc"]
    usd = unanswered(made[0], 1, 99).usd
    found = plan(made, rooms=[Room("budgets.tiers.good", "usd", 2.5 * usd), Room("budgets.run", "tokens", 9_000)])
    assert names(found["regions"]) == [("a", 1), ("b", 1)]
    assert found["skipped"][0]["reason"].startswith("would exceed budgets.tiers.good: needs $0.0006")
    nothing = plan(made, rooms=[Room("budgets.run", "usd", 0.0)])
    assert not nothing["regions"] and len(nothing["skipped"]) == 3


def failure(made, level="good", **changes):
    chunks = made["b_chunks"]
    chars = [chunks[0]["char_range"][0], chunks[-1]["char_range"][1]]
    own = {"conversation_id": made["conversation_id"], "level": level, "chars": chars, "reason": "no answer"}
    return {**own, "text_sha256": made["metadata"]["text_sha256"], **changes}


def test_what_failed_comes_after_what_was_never_tried_and_what_failed_least_first():
    made = [archive(name, (5, [], sure, RULES)) for name, sure in (("a", 0.0), ("b", 0.1), ("c", 0.9), ("d", 0.8))]
    by_name = {one["conversation_id"]: one for one in made}
    tried = tried_again([], [failure(made[0]), failure(made[1])], by_name)
    tried = tried_again(tried, [failure(made[0])], by_name)
    assert [(entry["conversation_id"], entry["times"]) for entry in tried] == [("a", 2), ("b", 1)]
    found = plan(made, tried=tried)["regions"]
    assert [(region["conversation_id"], region["failed"]) for region in found] == [
        ("d", 0),
        ("c", 0),
        ("b", 1),
        ("a", 2),
    ]
    assert found[-1]["problem"] == "no answer"
    # Two a night: everybody gets a turn, and what failed comes again.
    assert names(plan(made, tried=tried, limit=2)["regions"]) == [("d", 1), ("c", 1)]
    others = [entry for name in "cd" for entry in [failure(by_name[name])]]
    twice = tried_again(tried, [*others, *others], by_name)
    assert names(plan(made, tried=twice, limit=2)["regions"]) == [("b", 1), ("a", 1)]


def test_a_failure_is_forgotten_with_its_text_and_once_its_chunks_are_better():
    made = archive("a", (5, [], 0.5, RULES), (5, [], 0.5, RULES))
    halves = [failure(made, chars=one["char_range"]) for one in made["b_chunks"]]
    assert len(tried_again([], halves, {"a": made})) == 2
    half = archive("a", (5, [], 0.5, model("good")), (5, [], 0.5, RULES))
    assert [entry["chars"] for entry in tried_again([], halves, {"a": half})] == [made["b_chunks"][1]["char_range"]]
    assert tried_again([], halves, {"a": archive("a", (6, [], 0.5, RULES))}) == []
    assert tried_again([], halves, {}) == []
    assert plan([made], target="premium", tried=tried_again([], halves, {"a": made}))["regions"][0]["failed"] == 0


def test_a_plan_is_the_same_whatever_the_order_of_the_archives():
    made = [archive(name, (5, ["x"], 0.5, RULES)) for name in "abc"]
    assert plan(made) == plan(made[::-1])


def test_wrong_plans():
    for target in ("basic", "deep"):
        with pytest.raises(ConfigError, match="target"):
            plan([], target=target)
    with pytest.raises(ConfigError, match="column 1"):
        plan([], "quality=basic")


@given(st.lists(st.tuples(st.integers(1, 40), st.floats(0, 1)), min_size=1, max_size=6), st.integers(0, 20_000))
def test_no_plan_exceeds_its_budget_and_nothing_is_lost_from_sight(parts, budget):
    made = [archive(f"c{i}", (count, [], sure, RULES)) for i, (count, sure) in enumerate(parts)]
    found = plan(made, max_tokens=budget)
    assert found["totals"]["tokens"] <= budget
    assert len(found["regions"]) + len(found["skipped"]) + len(found["unusable"]) == len(parts)


# --- putting new chunks in the place of old ones ---------------------------------------------------------------------

OLD = [chunk(1, 3, made_by=RULES), chunk(4, 6, made_by=RULES), chunk(7, 9, made_by=model("good"))]


def test_an_upgrade_replaces_its_region():
    new = [chunk(4, 4, "new", made_by=model("premium")), chunk(5, 9, "new", made_by=model("premium"))]
    assert merge_upgrade(OLD, (4, 9), new) == [OLD[0], *new]
    assert merge_upgrade(OLD, (1, 3), [chunk(1, 3)])[1:] == OLD[1:]


def test_what_is_no_better_replaces_nothing():
    # Rules stood in for a part of the answer, over units that were good before.
    mixed = [chunk(4, 7, made_by=model("premium")), chunk(8, 9, made_by=RULES)]
    assert merge_upgrade(OLD, (4, 9), mixed) == OLD
    assert merge_upgrade(OLD, (1, 6), [chunk(1, 6, made_by=RULES)]) == OLD
    # Over units that were basic before, they do no harm.
    partly = [chunk(1, 4), chunk(5, 6, made_by=RULES)]
    assert merge_upgrade(OLD, (1, 6), partly) == [*partly, OLD[2]]


def test_a_failed_part_of_a_region_does_not_cost_the_other_parts():
    better, failed = chunk(1, 6, made_by=model("premium")), chunk(7, 9, made_by=RULES)
    assert merge_upgrade(OLD, (1, 9), [better, failed]) == [better, OLD[2]]
    assert merge_upgrade(OLD, (1, 9), [chunk(1, 3, made_by=RULES), chunk(4, 9)]) == [OLD[0], chunk(4, 9)]


@pytest.mark.parametrize("region", [(2, 6), (4, 8), (1, 10)])
def test_a_region_begins_and_ends_where_chunks_do(region):
    with pytest.raises(PartitionError):
        merge_upgrade(OLD, region, [chunk(*region)])


@pytest.mark.parametrize("new", [[], [chunk(4, 5)], [chunk(4, 5), chunk(5, 6)], [chunk(3, 6)]])
def test_new_chunks_partition_their_region(new):
    with pytest.raises(PartitionError):
        merge_upgrade(OLD, (4, 6), new)


@given(st.lists(st.integers(1, 5), min_size=1, max_size=8), st.data())
def test_merging_keeps_the_partition(sizes, data):
    talk = conversation(*[("user", f"Line {i}.") for i in range(sum(sizes))])
    units = split_units(talk)
    levels = st.sampled_from([RULES, model("good"), model("premium")])
    old, first = [], 1
    for size in sizes:
        old.append(chunk(first, first + size - 1, made_by=data.draw(levels)))
        first += size
    begin = data.draw(st.integers(0, len(old) - 1))
    end = data.draw(st.integers(begin, len(old) - 1))
    region = (old[begin].first, old[end].last)
    cuts = sorted(data.draw(st.sets(st.integers(*region), max_size=4)) | {region[0]})
    ends = [*(cut - 1 for cut in cuts[1:]), region[1]]
    new = [chunk(a, b, made_by=data.draw(levels)) for a, b in zip(cuts, ends, strict=True)]
    check_partition(merge_upgrade(old, region, new), units, talk)
