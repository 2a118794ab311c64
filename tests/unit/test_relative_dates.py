"""Relative dates, resolved against the time of a turn: Wednesday, 12 July 2023."""

from itertools import pairwise

import pytest
from dreamflow.chunks.relative_dates import resolve
from hypothesis import given, settings
from hypothesis import strategies as st

WHEN = "2023-07-12T16:33:00+02:00"


@pytest.mark.parametrize(
    ("text", "dates"),
    [
        ("I went there yesterday, and today I rest.", ["2023-07-11", "2023-07-12"]),
        ("The day before yesterday it rained; the day after tomorrow too?", ["2023-07-10", "2023-07-14"]),
        ("Last night we talked", ["2023-07-11"]),
        ("two days ago, 3 weeks ago", ["2023-07-10", "2023-06-19/2023-06-25"]),
        ("four years ago and a month ago, in two months", ["2019", "2023-06", "2023-09"]),
        ("last week / this week / next week", [
            "2023-07-03/2023-07-09", "2023-07-10/2023-07-16", "2023-07-17/2023-07-23",
        ]),
        ("last Friday, last Wednesday, next Wednesday, last Tues", [
            "2023-07-07", "2023-07-05", "2023-07-19", "2023-07-11",
        ]),
        ("last weekend", ["2023-07-08/2023-07-09"]),
        ("next month, last year", ["2023-08", "2022"]),
        ("我昨天去了,大前天也去了,后天再去", ["2023-07-11", "2023-07-09", "2023-07-14"]),
        ("上周五见面,下周一出发,上个月搬家", ["2023-07-07", "2023-07-17", "2023-06"]),
        ("三天前,两个星期前,去年,5年前", ["2023-07-09", "2023-06-26/2023-07-02", "2022", "2018"]),
        ("昨日は雨、一昨日は晴れ、明後日に行きます", ["2023-07-11", "2023-07-10", "2023-07-14"]),
        ("先週の金曜日、来週、先月、3日前、2週間前", [
            "2023-07-07", "2023-07-17/2023-07-23", "2023-06", "2023-07-09", "2023-06-26/2023-07-02",
        ]),
        ("recently, some days ago, on Friday, 今度, 二週間前までに", []),
        ("He stayed for in total; todays, lastly, blast week", []),
    ],
)  # fmt: skip
def test_words_become_dates(text: str, dates: list[str]) -> None:
    assert [found.date for found in resolve(text, WHEN)] == dates
    assert all(text[found.start :].startswith(found.text) for found in resolve(text, WHEN))


def test_ends_of_months_and_years() -> None:
    assert [found.date for found in resolve("yesterday, last month, last year", "2024-03-01")] == [
        "2024-02-29", "2024-02", "2023",
    ]  # fmt: skip
    assert resolve("last month", "2024-01-31T23:59:00Z")[0].date == "2023-12"
    assert resolve("999 years ago", "0800-01-01") == []


@pytest.mark.parametrize("time", [None, "", "yesterday", "12:30", "3rd of May"])
def test_without_a_time_nothing_is_resolved(time: str | None) -> None:
    assert resolve("yesterday", time) == []


@settings(max_examples=40)
@given(st.text(alphabet="昨天上周五三日前 last week 2 days ago", max_size=60), st.dates())
def test_any_text_is_read(text: str, day: object) -> None:
    spans = [(found.start, found.start + len(found.text)) for found in resolve(text, f"{day}")]
    assert all(a[1] <= b[0] for a, b in pairwise(spans))
