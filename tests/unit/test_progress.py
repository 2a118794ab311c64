"""Progress and totals on the screen."""

import pytest
from dreamflow.generation.model import Call, ModelIdentity, Question, Record, Response, Result, Usage
from dreamflow.generation.progress import PROGRESS_INTERVAL_S, Display, duration
from msgspec import UNSET
from msgspec.structs import replace


def record(gen_id="d_1", cost=0.25, **usage):
    model = ModelIdentity(model_id="schreiber-ü", provider="openai", name="x", revision="")
    at = "2026-01-01T00:00:00+00:00"
    call = Call(gen_id=gen_id, stage="draft", cohort_id="trial", at=at, latency_s=1.5, cost_usd=cost)
    question, response = Question(model, [], {}, None, 3), Response("", usage=Usage(**usage))
    return Record(schema_version=1, request=question, response=response, call=call)


def test_an_unknown_cost_is_nothing_in_the_total():
    display = Display()
    display.record_answer(record(cost=None))
    display.record_answer(record(cost=0.5, prompt_tokens=1200, completion_tokens=34))
    assert display.totals() == "2 calls · 1,234 tokens · $0.5000"


def test_the_progress_line(capsys):
    display = Display()
    display.start({"draft": 1, "essay": 1})
    assert display.progress_line() == "0/2 generations · 0 calls · 0 tokens"
    display.record_answer(record(cost=None, prompt_tokens=30, cached_tokens=20, completion_tokens=5))
    display.count_generation(Result(gen_id="d_1", stage="draft"))
    assert capsys.readouterr().err == ""  # not at every generation where the screen is a file
    display.last_line -= PROGRESS_INTERVAL_S + 1
    display.count_generation(Result(gen_id="e_1", stage="essay", status="failed"))
    expected = "2/2 generations · 1 calls · 35 tokens (20 cached) · about 0 s left"
    assert capsys.readouterr().err == expected + "\n"
    assert display.progress_line() == expected
    assert (display.status["ok"], display.status["failed"]) == (1, 1)
    display.stop()


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(0, "0 s"), (45.4, "45 s"), (59.6, "1:00 min"), (185, "3:05 min"), (3599.7, "1:00 h"), (7800, "2:10 h"),
     (360_000, "100:00 h")],
)  # fmt: skip
def test_durations_as_people_say_them(seconds, said):
    assert duration(seconds) == said


def test_what_was_odd_about_answers_is_counted_in_the_summary():
    display = Display()
    for text in ("another model answered: x-mini, asked was x", "", "another model answered: x-mini, asked was x"):
        odd = record()
        response = Response("", warnings=[text] if text else UNSET)
        display.record_answer(replace(odd, response=response))
    (line,) = [line for line in display.summary([]) if line.strip()]
    assert line == "model schreiber-ü: another model answered: x-mini, asked was x (2 times)"
