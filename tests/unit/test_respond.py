"""Getting a usable answer: the walk over samples, which calls are repeated, and what metadata.json says about it."""

import json
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
from dreamflow.files import pretty
from dreamflow.generation.budgets import Labels
from dreamflow.generation.calls import Calls
from dreamflow.generation.layout import Layout
from dreamflow.generation.make import Context, build, describe, make_with_parents, read_parent, read_result
from dreamflow.generation.model import (
    SAMPLES_PER_REPLICATE,
    Call,
    Candidate,
    Generation,
    Message,
    ModelIdentity,
    Parent,
    Question,
    Record,
    Response,
    Usage,
    as_json,
)
from dreamflow.generation.models import Model
from dreamflow.generation.parsers import parser_version
from dreamflow.generation.providers import CallError, replay
from dreamflow.generation.respond import NeedsCall, respond
from dreamflow.generation.store import database, load_response, read_record, request_key
from msgspec.structs import replace as changed
from server import PATIENCE_S, Server, held, ok, reply, status
from stored import save_response

MODEL = Model(model_id="m", provider="replay", name="x.jsonl", context_length=1000)
IDENTITY = ModelIdentity(model_id="m", provider="replay", name="x.jsonl", revision="")
GOOD = ("Well.\nSCORE: 7", "stop")
LONG, DECLINED, EMPTY, UNREADABLE = ("SCORE: 7", "length"), ("No.", "refusal"), (" \n", "stop"), ("Good!", "stop")


def row(**changes):
    """A plan row of an evaluation."""
    fields = {
        "gen_id": "v_1",
        "stage": "evaluation",
        "family": "cohort",
        "mode": "llm",
        "template_id": "novelty",
        "template_sha256": "T",
        "parser": parser_version("in_last_line"),
        "parser_options": {"scale": [0, 9]},
        "max_attempts": 3,
        "min_lines": 1,
        "model": IDENTITY,
        "sampling": {"temperature": 0.5, "max_tokens": 100},
        "parents": ["e_1"],
        "variables": {"response": {"parent": "e_1"}},
        "wildcards": {"combo_id": "c"},
    }
    return Generation(**{**fields, **changes})


def call(**changes):
    """How an answer was obtained."""
    fields = {"gen_id": "v_1", "stage": "evaluation", "cohort_id": "trial", "at": "2026-01-01", "latency_s": 1.0}
    return Call(**{**fields, **changes})


class Script:
    """An `ask` that gives answers in order and keeps them in the store, as the true one does."""

    def __init__(self, store, *answers, gen_id="v_1"):
        self.store, self.answers, self.questions, self.gen_id = store, list(answers), [], gen_id

    def __call__(self, question, key):
        given = self.answers.pop(0)
        self.questions.append(question)
        response = given if isinstance(given, Response) else Response(*given, Usage(completion_tokens=9), "M")
        made = call(gen_id=self.gen_id)
        save_response(self.store, key, Record(schema_version=1, request=question, response=response, call=made))
        return load_response(self.store, question, key)


def nobody(question, key):
    raise NeedsCall


# The walk.


@pytest.mark.parametrize(
    ("answers", "errors", "reason"),
    [
        ([GOOD], [None], ""),
        ([DECLINED, EMPTY, GOOD], ["refusal", "too_short", None], ""),
        ([UNREADABLE, LONG, GOOD], ["unparsable", "truncated", None], ""),
        ([LONG, GOOD], ["truncated", None], ""),
        ([DECLINED] * 3, ["refusal"] * 3, "refusal: the model declined: 'No.'"),
        ([LONG] * 3, ["truncated"] * 3, "truncated: cut off after 9 tokens"),
        ([("SCORE: 7", "refusal"), DECLINED, EMPTY], ["refusal"] * 2 + ["too_short"], "too_short: 0 non-empty lines"),
        ([DECLINED, DECLINED, UNREADABLE], ["refusal"] * 2 + ["unparsable"], "unparsable: "),
    ],
)
def test_samples_are_walked_until_one_can_be_used(tmp_path, answers, errors, reason):
    ask = Script(tmp_path, *answers)
    outcome = respond(row(), "Rate it.", tmp_path, ask, models={"m": MODEL})
    assert [attempt.error for attempt in outcome.attempts] == errors
    assert [question.sample for question in ask.questions] == list(range(len(errors)))
    assert (outcome.status, outcome.raw) == ("failed" if errors[-1] else "ok", answers[-1][0])
    assert outcome.reason.startswith(reason) and bool(outcome.reason) == bool(reason)
    assert outcome.parsed.values.get("score") == (None if errors[-1] else 7)
    # Once more from the store alone: nothing is asked, everything is the same.
    assert respond(row(), "Rate it.", tmp_path, nobody, models={"m": MODEL}) == outcome


def test_a_prompt_that_is_too_long_is_asked_once_and_again_only_if_new_samples_are_wanted(tmp_path):
    too_long = ("too many tokens", "context")
    ask = Script(tmp_path, too_long, too_long, GOOD)
    outcome = respond(row(), "Rate it.", tmp_path, ask, models={"m": MODEL})
    assert (outcome.status, [attempt.error for attempt in outcome.attempts]) == ("failed", ["too_long"])
    assert respond(row(), "Rate it.", tmp_path, nobody, models={"m": MODEL}) == outcome
    for errors in (["too_long"] * 2, ["too_long"] * 2 + [None]):
        again = respond(row(), "Rate it.", tmp_path, ask, models={"m": MODEL}, redraw=True)
        assert [attempt.error for attempt in again.attempts] == errors
        assert respond(row(), "Rate it.", tmp_path, nobody, models={"m": MODEL}) == again


@pytest.mark.parametrize("finish_reason", ["stop", "length"])
def test_an_answer_of_reasoning_alone_gets_a_larger_limit(tmp_path, finish_reason):
    ask = Script(tmp_path, Response("", finish_reason, Usage(completion_tokens=9), "M", reasoning="Hm."), GOOD)
    outcome = respond(row(keep_truncated=True), "Rate it.", tmp_path, ask, models={"m": MODEL})
    assert [attempt.error for attempt in outcome.attempts] == ["truncated", None]
    assert [question.sampling["max_tokens"] for question in ask.questions] == [100, 200]


@pytest.mark.parametrize(
    ("model", "limits"),
    [
        ({}, [100, 200, 400, 500, 500]),
        ({"max_output_tokens": 300}, [100, 200, 300, 300, 300]),
        ({"max_output_tokens": 50}, [100, 100, 100, 100, 100]),
    ],
)
def test_a_truncated_answer_gets_twice_the_limit_up_to_the_models(tmp_path, model, limits):
    ask = Script(tmp_path, *[LONG] * 5)
    respond(row(max_attempts=5), "Rate it.", tmp_path, ask, models={"m": MODEL.model_copy(update=model)})
    assert [question.sampling["max_tokens"] for question in ask.questions] == limits
    assert {question.sampling["temperature"] for question in ask.questions} == {0.5}


def test_only_truncation_changes_the_limit(tmp_path):
    ask = Script(tmp_path, DECLINED, LONG, UNREADABLE, GOOD)
    respond(row(max_attempts=4), "Rate it.", tmp_path, ask, models={"m": MODEL})
    assert [question.sampling["max_tokens"] for question in ask.questions] == [100, 100, 200, 200]


def test_drawing_anew_allows_as_many_samples_again(tmp_path):
    def walk(*answers, redraw=False, **changes):
        ask = Script(tmp_path, *answers)
        outcome = respond(row(**changes), "Rate it.", tmp_path, ask, models={"m": MODEL}, redraw=redraw)
        return [question.sample for question in ask.questions], len(outcome.attempts), outcome.status

    assert walk(*[DECLINED] * 3) == ([0, 1, 2], 3, "failed")
    assert walk(*[DECLINED] * 4, redraw=True) == ([3, 4, 5], 6, "failed")
    assert walk(GOOD) == ([], 6, "failed")
    assert walk(GOOD, max_attempts=1) == ([], 6, "failed")
    assert walk(DECLINED, DECLINED, GOOD, max_attempts=8) == ([6, 7], 8, "failed")
    assert walk(GOOD, redraw=True) == ([8], 9, "ok")
    assert walk(redraw=True) == ([], 9, "ok")


def test_replicates_share_no_sample_and_other_questions_no_answer(tmp_path):
    ask = Script(tmp_path, *[DECLINED] * 20, *[DECLINED] * 20, *[GOOD] * 4)
    for replicate in (1, 2):
        respond(row(replicate=replicate, max_attempts=20), "Rate it.", tmp_path, ask, models={"m": MODEL})
    assert len({request_key(question) for question in ask.questions}) == 40
    assert ask.questions[20].sample == SAMPLES_PER_REPLICATE
    schema = {"type": "json_schema", "schema": {}}
    for change in ({"model": changed(IDENTITY, revision="2")}, {"sampling": {"max_tokens": 100}}):
        respond(row(**change), "Rate it.", tmp_path, ask, models={"m": MODEL})
    respond(row(), "Rate this.", tmp_path, ask, models={"m": MODEL})
    respond(row(response_format=schema), "Rate it.", tmp_path, ask, models={"m": MODEL})
    assert ask.answers == []


# Fallbacks.

SPARE = changed(IDENTITY, model_id="spare")
BOTH = {"m": MODEL, "spare": MODEL}


def by_model(store, **answers):
    """An `ask` with the answers of each model in order; an exception among them is raised."""
    scripts = {name: Script(store, *given) for name, given in answers.items()}

    def ask(question, key):
        script = scripts[question.model.model_id]
        if isinstance(script.answers[0], CallError):
            raise script.answers.pop(0)
        return script(question, key)

    return ask


def down():
    return CallError("no connection", kind="connection")


@pytest.mark.parametrize(
    ("first", "spare", "status"),
    [
        ([DECLINED, DECLINED, GOOD], [], "ok"),
        ([DECLINED] * 3, [DECLINED, GOOD], "ok"),
        ([DECLINED] * 3, [DECLINED] * 3, "failed"),
        ([down()], [GOOD], "ok"),
        ([DECLINED, down()], [LONG, GOOD], "ok"),
    ],
)
def test_a_fallback_answers_where_the_first_model_does_not(context, first, spare, status):
    planned = row(fallbacks=[Candidate(SPARE, {"temperature": 0.1, "max_tokens": 9})])
    context = replace(context, models=BOTH)
    made = build(planned, context, [ESSAY], by_model(context.layout.store, m=first, spare=spare))
    metadata = describe(planned, made, [ESSAY], "digest")
    assert metadata.status == status
    assert metadata.model_id == ("spare" if spare else "m")
    assert metadata.sampling["temperature"] == (0.1 if spare else 0.5)
    given = [answer for answer in (*first, *spare) if not isinstance(answer, CallError)]
    assert len(metadata.attempts) == len(given)  # those of the first model were paid for too
    # Rebuilt, it is the same, and nobody is asked: not even the model that was down.
    if not any(isinstance(answer, CallError) for answer in first) or status == "ok":
        assert build(planned, context, [ESSAY], nobody) == made


@pytest.mark.parametrize("spare", [[down()], [DECLINED] * 3])
def test_while_a_model_was_not_asked_the_next_run_tries_again(tmp_path, spare):
    planned = row(fallbacks=[Candidate(SPARE, {"max_tokens": 9})])
    with pytest.raises(CallError, match="no connection"):
        respond(planned, "Rate it.", tmp_path, by_model(tmp_path, m=[down()], spare=spare), models=BOTH)
    again = by_model(tmp_path, m=[GOOD], spare=[])
    assert respond(planned, "Rate it.", tmp_path, again, models=BOTH).status == "ok"


def test_an_answer_of_a_fallback_to_another_generation_stands_in_for_nobody(tmp_path):
    sampling = {"temperature": 0.1, "max_tokens": 9}
    other = Script(tmp_path, GOOD, gen_id="v_2")
    respond(row(gen_id="v_2", model=SPARE, sampling=sampling), "Rate it.", tmp_path, other, models=BOTH)
    planned = row(fallbacks=[Candidate(SPARE, sampling)])
    for first, answered in (([down()], "spare"), ([GOOD], "m")):
        ask = by_model(tmp_path, m=first, spare=[])
        outcome = respond(planned, "Rate it.", tmp_path, ask, models=BOTH)
        assert outcome.record.request.model.model_id == answered


# Repairs.


def test_what_cannot_be_read_is_sent_back_once_with_what_is_wrong(tmp_path):
    ask = Script(tmp_path, UNREADABLE, UNREADABLE, DECLINED, GOOD)
    planned = row(max_attempts=4, repair="Answer again, with a score.")
    outcome = respond(planned, "Rate it.", tmp_path, ask, models={"m": MODEL})
    assert outcome.status == "ok"
    assert [len(question.messages) for question in ask.questions] == [1, 3, 1, 1]
    original, answer, complaint = ask.questions[1].messages
    assert (original.content, answer) == ("Rate it.", Message("assistant", UNREADABLE[0]))
    assert complaint.role == "user" and complaint.content.endswith("Answer again, with a score.")
    assert respond(planned, "Rate it.", tmp_path, nobody, models={"m": MODEL}) == outcome


# Asking.


@pytest.fixture
def server():
    with Server() as running:
        yield running


@pytest.fixture
def http(server):
    price = {"prompt": 1.0, "completion": 2.0}
    return Model(**{**MODEL.as_dict(), "provider": "openai", "base_url": server.url, "price": price})


def question(text="Why?", sample=0):
    return Question(IDENTITY, [Message("user", text)], {"max_tokens": 100}, None, sample)


def ask_through(models, store, spec, attempts, on_answer=lambda record: None):
    labels = Labels("cohorts", spec, "", ["run:r", f"cohorts:{spec}"])
    calls = Calls(store, models, attempts=attempts, run="r", labels=lambda generation: labels, on_answer=on_answer)
    return calls.ask_for(row())


def test_a_question_that_many_ask_at_once_is_one_call(tmp_path, server, http):
    go, arrived, heard = threading.Event(), threading.Event(), []
    server.script += [held(go, arrived)]
    ask = ask_through({"m": http}, tmp_path, "trial", 1, heard.append)
    key = request_key(question())
    with ThreadPoolExecutor(8) as pool:
        answers = [pool.submit(ask, question(), key) for _ in range(8)]
        assert arrived.wait(PATIENCE_S)
        other = pool.submit(ask, question(sample=1), request_key(question(sample=1)))  # need not wait for the first
        go.set()
        texts = {answer.result().response.text for answer in answers}
    assert (server.calls, len(heard), len(texts)) == (2, 2, 1)
    assert other.result().request.sample == 1
    later = ask_through(
        {"m": http.model_copy(update={"base_url": "http://127.0.0.1:9/v1"})}, tmp_path, "later", 1, heard.append
    )
    assert later(question(), key).call.cohort_id == "trial"
    assert len(heard) == 2


def test_an_answer_is_in_the_store_before_anyone_hears_of_it(tmp_path, http):
    key, heard = request_key(question()), []

    def on_answer(record):
        heard.append((record, load_response(tmp_path, question(), key)))

    ask_through({"m": http}, tmp_path, "trial", 1, on_answer)(question(), key)
    ((record, stored),) = heard
    assert record == stored
    assert (stored.call.gen_id, stored.call.stage, stored.call.cohort_id) == ("v_1", "evaluation", "trial")
    usage = stored.response.usage
    assert stored.call.cost_usd == pytest.approx((usage.prompt + 2 * usage.completion) / 1e6)


@pytest.mark.parametrize(
    ("script", "attempts", "calls"),
    [
        ([status(400), ok], 5, 1),
        ([status(429, retry_after="601"), ok], 5, 1),
        ([status(503, retry_after="0")] * 3, 3, 3),
    ],
    ids=["terminal", "asked to wait too long", "tried as often as allowed"],
)
def test_a_call_that_fails_leaves_nothing_and_can_be_made_later(tmp_path, server, http, script, attempts, calls):
    server.script += script
    ask, key = ask_through({"m": http}, tmp_path, "trial", attempts), request_key(question())
    with pytest.raises(CallError):
        ask(question(), key)
    assert server.calls == calls
    assert {database(tmp_path).read(f"SELECT count(*) FROM {table}")[0][0] for table in TABLES} == {0}
    server.script.clear()
    ask = ask_through({"m": http}, tmp_path, "trial", attempts)  # of the next run
    assert ask(question(), key).call.waits == []


@pytest.mark.parametrize("text", ["half \ud83d a pair", "\udcff", "whole \U0001f600, \u2028, \0"])
def test_any_text_can_be_stored(tmp_path, text):
    path = tmp_path / "answers.jsonl"
    path.write_text(json.dumps({"text": text}))
    model = MODEL.model_copy(update={"name": str(path)})
    record = ask_through({"m": model}, tmp_path / "store", "trial", 1)(question(), "k")
    assert load_response(tmp_path / "store", question(), "k").response == record.response
    assert record.response.text == text.encode("utf-8", "replace").decode()


def test_a_model_name_with_half_a_character_can_be_stored(tmp_path, server, http):
    message = {"role": "assistant", "content": "Yes."}
    server.script += [reply(200, {"model": "m\ud800", "choices": [{"message": message, "finish_reason": "stop"}]})]
    record = ask_through({"m": http}, tmp_path, "trial", 1)(question(), "k")
    assert load_response(tmp_path, question(), "k").response == record.response


TABLES = ("answers", "ledger", "spent", "in_flight", "reserved", "lost")


# From a row to a generation.


@pytest.fixture
def context(tmp_path):
    texts = {"T": "{# why #}Rate {{ response }}."}
    models = {"m": MODEL, "colleague": Model(model_id="colleague", provider="human")}
    return Context(Layout(tmp_path), texts, models, Calls(tmp_path / "store", models))


ESSAY = Parent("e_1", "ok", "An essay with {{ 7 * 7 }}", "5ha", "first")


@pytest.mark.parametrize("answers", [[GOOD], [LONG, GOOD], [DECLINED] * 3])
def test_metadata_is_a_pure_function_of_row_and_store(context, answers):
    made = build(row(), context, [ESSAY], Script(context.layout.store, *answers))
    assert made.prompt == "Rate An essay with {{ 7 * 7 }}.\n"  # what a model wrote is text, not a template
    written = pretty(as_json(describe(row(), made, [ESSAY], "digest")))
    elsewhere = replace(context, calls=None)
    rebuilt = build(row(), elsewhere, [ESSAY], nobody)
    assert rebuilt == made
    assert pretty(as_json(describe(row(), rebuilt, [ESSAY], "digest"))) == written
    metadata = describe(row(), made, [ESSAY], "digest")
    assert (metadata.origin_cohort_id, metadata.created_at) == ("trial", "2026-01-01")
    assert metadata.status == ("ok" if answers[-1] == GOOD else "failed")
    assert (metadata.sample, len(metadata.attempts)) == (len(answers) - 1, len(answers))
    assert metadata.sampling["max_tokens"] == (200 if answers[0] == LONG else 100)
    stored = [read_record(context.layout.store, a.response_key) for a in metadata.attempts]
    assert [record.response.text for record in stored] == [text for text, _ in answers]
    assert str(context.layout.root) not in written


@pytest.mark.parametrize("answer", ["SCORE: 7", "Only words.", "7\r\nSCORE: 3\r"])
def test_a_generation_in_memory_is_that_in_its_files(context, tmp_path, monkeypatch, answer):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "x.jsonl").write_text(json.dumps({"text": answer}) + "\n")
    replay._read_answers.cache_clear()
    parser = parser_version("identity" if "\r" in answer else "in_last_line")
    result, parent = make_with_parents(row(parser=parser), context, [ESSAY])
    folder = context.layout.generation("evaluation", "v_1")
    assert (read_result(folder), read_parent(folder, context.layout)) == (result, parent)
    assert (result.status, context.layout.is_whole("evaluation", "v_1")) == (
        "failed" if "Only" in answer else "ok",
        True,
    )
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    (folder / "metadata.json").unlink()
    make_with_parents(row(parser=parser), context, [ESSAY])
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    assert database(context.layout.store).read("SELECT count(*) FROM ledger") == [(len(result.attempts),)]


@pytest.mark.parametrize("state", ["failed", "skipped", "pending"])
def test_what_its_parent_lacks_is_skipped_without_a_call(context, state):
    made = build(row(), context, [changed(ESSAY, status=state)], nobody)
    metadata = describe(row(), made, [ESSAY], "digest")
    assert (metadata.status, metadata.reason) == ("skipped", f"parent e_1 is {state}")
    assert (metadata.response_key, metadata.cost_usd, metadata.attempts, made.prompt) == (None, None, [], "")


def test_a_copy_is_its_parents_text(context):
    copy = row(mode="copy", model=None, sampling={}, parser="identity/1", parser_options={}, stage="essay")
    made = build(copy, context, [ESSAY], nobody)
    metadata = describe(copy, made, [ESSAY], "digest")
    assert (made.outcome.raw, made.outcome.parsed.text) == (ESSAY.text, ESSAY.text)
    assert (metadata.status, metadata.finish_reason, metadata.model_id) == ("ok", "copy", None)
    assert (metadata.origin_cohort_id, metadata.prompt_sha256) == ("first", None)


def test_a_person_is_waited_for_and_may_correct_the_answer(context):
    planned = row(mode="human", sampling={}, model=changed(IDENTITY, model_id="colleague", provider="human"))

    def outcome():
        return build(planned, context, [ESSAY], nobody).outcome

    inbox = context.layout.inbox
    waiting = outcome()
    assert waiting.status == "pending" and "v_1.answer.txt" in waiting.reason
    assert "An essay with" in (inbox / "v_1.question.txt").read_text()
    (inbox / "v_1.answer.txt").write_text("Very good.")
    assert outcome().status == "pending" and "correct" in outcome().reason
    (inbox / "v_1.answer.txt").write_text("Very good.\nSCORE: 8")
    assert (outcome().status, outcome().parsed.values["score"]) == ("ok", 8)
    assert not context.layout.store.exists()
