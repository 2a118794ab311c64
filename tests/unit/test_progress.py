"""The ledger: one whole line an answer whoever writes, totals that agree with the file, lines that people read."""

import json
import threading

import pytest
from dreamflow.generation.ledger import PROGRESS_INTERVAL_S, Ledger, duration
from dreamflow.generation.model import Call, ModelIdentity, Question, Record, Response, Result, Usage


def record(gen_id="d_1", cost=0.25, **usage):
    model = ModelIdentity(model_id="schreiber-ü", provider="openai", name="x", revision="")
    at = "2026-01-01T00:00:00+00:00"
    call = Call(gen_id=gen_id, stage="draft", cohort_id="trial", at=at, latency_s=1.5, cost_usd=cost)
    question, response = Question(model, [], {}, None, 3), Response("", usage=Usage(**usage))
    return Record(schema_version=1, request=question, response=response, call=call)


def test_lines_of_many_writers_are_whole_and_add_up(tmp_path):
    path = tmp_path / "store/ledger.jsonl"
    ledgers = [Ledger(path), Ledger(path)]  # as two processes have them

    def write(number):
        for turn in range(50):
            gen_id = f"d_{number}_{turn}" + "x" * 200 * number
            answer = record(gen_id, prompt_tokens=10, cached_tokens=4, completion_tokens=number)
            ledgers[number % 2].record_answer(answer)

    threads = [threading.Thread(target=write, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    entries = [json.loads(line) for line in path.read_text().splitlines()]
    assert len({entry["gen_id"] for entry in entries}) == len(entries) == 400
    assert {entry["model_id"] for entry in entries} == {"schreiber-ü"}
    for name in ("prompt_tokens", "cached_tokens", "completion_tokens", "cost_usd"):
        assert sum(getattr(ledger, name) for ledger in ledgers) == sum(entry[name] for entry in entries)
    assert [ledger.calls for ledger in ledgers] == [200, 200]


def test_an_unknown_cost_is_null_in_the_file_and_nothing_in_the_total(tmp_path):
    ledger = Ledger(tmp_path / "ledger.jsonl")
    ledger.record_answer(record(cost=None))
    ledger.record_answer(record(cost=0.5, prompt_tokens=1200, completion_tokens=34))
    first, second = (json.loads(line) for line in ledger.path.read_text().splitlines())
    assert (first["cost_usd"], first["prompt_tokens"]) == (None, 0)
    assert (second["cost_usd"], second["sample"], second["cohort_id"]) == (0.5, 3, "trial")
    assert ledger.totals() == "2 calls · 1,234 tokens · $0.5000"


def test_the_progress_line(tmp_path, capsys):
    ledger = Ledger(tmp_path / "ledger.jsonl")
    ledger.start({"draft": 1, "essay": 1})
    assert ledger.progress_line() == "0/2 generations · 0 calls · 0 tokens"
    ledger.record_answer(record(cost=None, prompt_tokens=30, cached_tokens=20, completion_tokens=5))
    ledger.count_generation(Result(gen_id="d_1", stage="draft"))
    assert capsys.readouterr().err == ""  # not at every generation where the screen is a file
    ledger.last_line -= PROGRESS_INTERVAL_S + 1
    ledger.count_generation(Result(gen_id="e_1", stage="essay", status="failed"))
    expected = "2/2 generations · 1 calls · 35 tokens (20 cached) · about 0 s left"
    assert capsys.readouterr().err == expected + "\n"
    assert ledger.progress_line() == expected
    assert (ledger.status["ok"], ledger.status["failed"]) == (1, 1)
    ledger.stop()


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(0, "0 s"), (45.4, "45 s"), (59.6, "1:00 min"), (185, "3:05 min"), (3599.7, "1:00 h"), (7800, "2:10 h"),
     (360_000, "100:00 h")],
)  # fmt: skip
def test_durations_as_people_say_them(seconds, said):
    assert duration(seconds) == said
