"""From answers to archives: windows that fail, better chunks that stay, regions that are made anew."""

import pytest
from chat import chunk, conversation, talks
from dreamflow.chunks.archive import build_archive, chunks_of
from dreamflow.chunks.conversation import Window
from dreamflow.chunks.making import Answer, basic_archive, chunks_from, upgraded_archive
from dreamflow.chunks.stitch import check_partition
from dreamflow.chunks.units import split_units
from dreamflow.errors import ConfigError
from dreamflow.generation.model import Result, Usage
from hypothesis import given
from hypothesis import strategies as st

SAID = "The rent of the flat in Lyon is paid on the first of the month, and the deposit comes back in autumn. "
TALK = conversation(*[(role, SAID * 3) for role in ("user", "assistant") * 6])
UNITS = split_units(TALK)
ALL = len(UNITS)


def answer(first, last, *begins, status="ok", gen_id="c_1"):
    """An answer in which chunks begin at these units besides the window's first."""
    starts = [first, *begins]
    ends = [*(begin - 1 for begin in begins), last]
    about = {"labels": ["rent"], "entities": [], "summary": "It is paid.", "language": "en"}
    parsed = {"chunks": [{"first": a, "last": b, **about} for a, b in zip(starts, ends, strict=True)], "validity": 1.0}
    usage = Usage(prompt_tokens=90, completion_tokens=10)
    cost = {"usage": usage, "cost_usd": 0.5, "latency_s": 1.0}
    result = Result(gen_id=gen_id, stage="chunk", status=status, model_id="m", provider="p", **cost)
    return Answer(Window(first, last), result, parsed)


def spans(chunks):
    return [(one.first, one.last, one.made_by["method"], one.made_by["quality_level"]) for one in chunks]


def levels(archive):
    return [(c["unit_range"], c["quality_level"]) for c in archive["b_chunks"]]


def test_windows_become_chunks_and_one_that_failed_is_chunked_by_rules():
    half = ALL // 2
    answers = [answer(1, half, status="failed"), answer(half - 1, ALL, half + 7, gen_id="c_2")]
    chunks = chunks_from(TALK, UNITS, answers, "good")
    check_partition(chunks, UNITS, TALK)
    made = {(one.made_by["method"], one.made_by["quality_level"]) for one in chunks}
    assert made == {("rules", "basic"), ("llm", "good")}
    archive = build_archive(TALK, UNITS, chunks, [one.result for one in answers])
    assert archive["metadata"]["usage"]["cost_usd"] == 1.0  # what failed was paid for, too
    assert archive["b_chunks"][0]["tokens_used"] == 0 and archive["b_chunks"][-1]["tokens_used"] > 0


def test_chunking_anew_keeps_what_is_better_and_says_the_same():
    basic = basic_archive(TALK, UNITS, [], None)
    first, last = basic["b_chunks"][1]["unit_range"]
    better = upgraded_archive(TALK, UNITS, {**basic, "version": 1}, [((first, last), [answer(first, last)])], "good")
    assert levels(better) == [(place, "good" if place == [first, last] else level) for place, level in levels(basic)]
    assert basic_archive(TALK, UNITS, [], better) is better
    # A model at the tier basic cuts elsewhere: the better chunk stays, what is around it is cut anew.
    other = basic_archive(TALK, UNITS, [answer(1, ALL, first + 1, gen_id="c_9")], better)
    assert (([first, last], "good")) in levels(other)
    assert {c["llm_used"] for c in other["b_chunks"]} == {"m"}
    check_partition(chunks_of(other), UNITS, TALK)


def test_another_text_keeps_nothing():
    good = build_archive(TALK, UNITS, [chunk(1, ALL, "rent")])
    longer = conversation(*[(role, SAID * 3) for role in ("user", "assistant") * 6], ("user", "Thanks."))
    assert {level for _, level in levels(basic_archive(longer, split_units(longer), [], good))} == {"basic"}
    with pytest.raises(ConfigError, match="has changed since its archive was made"):
        upgraded_archive(longer, split_units(longer), good, [], "good")


def test_an_upgrade_whose_answers_failed_changes_nothing():
    basic = basic_archive(TALK, UNITS, [], None)
    first, last = basic["b_chunks"][0]["unit_range"]
    failed = [((first, last), [answer(first, last, status="failed")])]
    assert upgraded_archive(TALK, UNITS, basic, failed, "good") is basic


@given(talks, st.data())
def test_whatever_is_answered_the_text_stays_whole(talk, data):
    units = split_units(talk)
    n = len(units)
    cut = data.draw(st.integers(1, n))
    statuses = st.sampled_from(["ok", "failed"])
    answers = [answer(1, cut, status=data.draw(statuses)), answer(cut, n, status=data.draw(statuses), gen_id="c_2")]
    good = build_archive(talk, units, chunks_from(talk, units, answers, "good"), [a.result for a in answers])
    for archive in (good, basic_archive(talk, units, [], good), basic_archive(talk, units, answers[:0], None)):
        assert "".join(one["content"] for one in archive["b_chunks"]) == talk.text
    kept = [place for place, level in levels(good) if level == "good"]
    assert {tuple(place) for place in kept} <= {
        tuple(place) for place, _ in levels(basic_archive(talk, units, [], good))
    }
