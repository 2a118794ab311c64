"""What the next cycle does with what the last ones brought."""

import pytest
import yaml
from dreamflow.dreams.health import Yield
from dreamflow.dreams.tightening import Limit, next_limits, read_next, write_next
from dreamflow.errors import ConfigError
from dreamflow.generation.model import as_json
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace


def cycle(first=0, second=0, third=0, judged=None):
    n = first + second + third
    counts = dict.fromkeys(Yield.__struct_fields__, 0)
    tiers = {"tier_1": first, "tier_2": second, "tier_3": third}
    return Yield(**{**counts, **tiers, "variants": n, "judged": n if judged is None else judged})


def limit(history, now=15, usual=15):
    found = next_limits([{"relax": one} for one in history], {"relax": now}, {"relax": usual}, {"relax": 15})["relax"]
    assert found.taken == 15
    return found.limit, found.why


def test_more_of_what_reaches_tier_1_and_less_of_what_fails():
    history = [{"relax": cycle(first=8, third=2), "reorder": cycle(third=10), "sample": cycle(second=10)}]
    kinds = ("relax", "reorder", "sample")
    found = next_limits(history, *(dict.fromkeys(kinds, number) for number in (15, 15, 30)))
    assert {kind: one.limit for kind, one in found.items()} == {"relax": 21, "reorder": 4, "sample": 15}
    why = "More, 21 instead of 15: of 10 variants, 8 reached tier 1, 0 tier 2 and 2 tier 3."
    assert found["relax"] == Limit(21, 30, why)
    assert found["reorder"].why.startswith("Fewer, 4 instead of 15: of 10 variants, 0 reached tier 1")
    assert found["sample"].why.startswith("Stays at 15: of 10 variants")


STAYS = {
    "too few": ([cycle(first=4)], "only 4 variants with a tier, too few"),
    "one": ([cycle(first=1)], "only 1 variant with a tier, too few"),
    "no verdicts": ([cycle(third=20, judged=0)], "without verdicts"),
    "no history": ([], "the last cycle had no variant of this kind"),
}


@pytest.mark.parametrize(("history", "why"), STAYS.values(), ids=STAYS)
def test_limits_stay_where_too_little_is_known(history, why):
    found = limit(history, now=9)
    assert found[0] == 9
    assert why in found[1]


def test_a_kind_without_ideas_stays():
    found = next_limits([{"relax": cycle(9)}, {"other": cycle(9)}], {"relax": 7}, {"relax": 5}, {"relax": 9})
    assert found["relax"].limit == 7
    assert "no variant of this kind" in found["relax"].why


def test_only_three_cycles_count():
    bad = [cycle(third=10)] * 3
    assert limit([cycle(first=1000), *bad]) == limit(bad)
    assert limit([cycle(first=1000), *bad[:2]]) != limit(bad[:2])


def test_a_kind_that_is_switched_off_stays_off():
    assert limit([cycle(first=10)], now=0, usual=0)[0] == 0


COUNT = st.integers(0, 60)
CYCLES = st.lists(st.builds(cycle, COUNT, COUNT, COUNT), max_size=4)


@given(CYCLES, st.integers(0, 1000), st.integers(1, 100))
def test_limits_stay_between_floor_and_ceiling(history, now, usual):
    assert 1 <= limit(history, now, usual)[0] <= 2 * usual


@given(
    CYCLES,
    st.builds(cycle, COUNT, COUNT, st.integers(1, 60)),
    st.integers(1, 100),
    st.sampled_from(["tier_2", "tier_3"]),
)
def test_a_variant_that_rises_to_tier_1_never_lowers_a_limit(history, last, usual, lower):
    if getattr(last, lower):
        better = replace(last, **{lower: getattr(last, lower) - 1, "tier_1": last.tier_1 + 1})
        assert limit([*history, better], usual, usual)[0] >= limit([*history, last], usual, usual)[0]


@given(CYCLES, st.builds(cycle, COUNT, COUNT, st.integers(5, 60)), st.integers(1, 100))
def test_one_more_in_tier_1_never_lowers_a_limit(history, last, usual):
    more = replace(last, tier_1=last.tier_1 + 1, variants=last.variants + 1)
    assert limit([*history, more], usual, usual)[0] >= limit([*history, last], usual, usual)[0]


def test_next_yaml(tmp_path):
    planned = next_limits([{"relax": cycle(first=10)}], {"relax": 5}, {"relax": 5}, {"relax": 5})
    path = tmp_path / "next.yaml"
    write_next(planned, path)
    text = path.read_text()
    assert text.startswith("# The limits of the next cycle")
    assert yaml.safe_load(text) == {"limits": as_json(planned)}
    assert read_next(path) == planned
    write_next({}, path)
    assert read_next(path) == {}


@pytest.mark.parametrize("text", ["limits: [", "", "limits: {relax: {limit: many, taken: 0, why: x}}\n"])
def test_a_damaged_next_yaml_is_named(tmp_path, text):
    path = tmp_path / "next.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=r"next\.yaml: damaged"):
        read_next(path)
