"""The response store: what is a part of a key, which old answers are found again, and errors for damaged files."""

import json

import pytest
from dreamflow.errors import DreamflowError
from dreamflow.files import pretty, write_atomic
from dreamflow.generation.make import read_result, with_total_cost
from dreamflow.generation.model import Attempt, Call, Message, Question, Record, Response, Result, Usage, as_json
from dreamflow.generation.models import Model, identity
from dreamflow.generation.store import DamagedRecord, database, load_response, read_record, request_key
from msgspec import UNSET
from msgspec.structs import replace as changed
from stored import save_response

PLAIN = Model(model_id="m", provider="openai", name="gpt-x")
PUBLIC, OTHER = "https://models.example.org/v1", "https://elsewhere.example.org/v1"


def other_model(**fields):
    return PLAIN.model_copy(update=fields)


def question(model=PLAIN):
    return Question(identity(model), [Message("user", "Why?")], {"max_tokens": 9}, None, 0)


def key(model):
    return request_key(question(model))


def old_file(store, key):
    """The file of an answer in a store of an earlier version."""
    return store / "responses" / key[:2] / f"{key}.json"


def record(model=PLAIN, text="Because.", **usage):
    call = Call(gen_id="d_1", stage="draft", cohort_id="trial", at="2026-01-01", latency_s=1.0, cost_usd=0.5)
    response = Response(text, usage=Usage(**usage))
    return Record(schema_version=1, request=question(model), response=response, call=call)


# Keys.


@pytest.mark.parametrize(
    ("provider", "base_url", "service"),
    [
        ("openai", None, ""),
        ("openai", "https://api.openai.com/v1", ""),
        ("openai", "https://API.OpenAI.com:443/v1", ""),
        ("openai", PUBLIC, "models.example.org"),
        ("openai", "https://models.example.org:8443/other/path", "models.example.org"),
        ("openai", "https://api.anthropic.com/v1", "api.anthropic.com"),
        ("anthropic", "https://api.anthropic.com", ""),
        ("openrouter", "https://openrouter.ai/api/v1", ""),
        ("openai", "http://8.8.8.8/v1", "8.8.8.8"),
        ("openai", "http://localhost:8000/v1", ""),
        ("openai", "http://127.0.0.1:8000/v1", ""),
        ("openai", "http://[::1]:8000/v1", ""),
        ("openai", "http://10.1.2.3/v1", ""),
        ("openai", "http://192.168.0.7/v1", ""),
        ("openai", "http://node17:8000/v1", ""),
        ("openai", "http://box.local/v1", ""),
        ("openai", "http://gpu.cluster.internal/v1", ""),
    ],
)
def test_a_public_service_of_its_own_is_a_part_of_the_key_and_a_private_server_is_not(provider, base_url, service):
    plain = other_model(provider=provider)
    model = other_model(provider=provider, base_url=base_url)
    assert identity(model).service == (service or UNSET)
    assert (key(model) == key(plain)) == (not service)


def test_extra_body_is_a_part_of_the_key_and_its_order_is_not():
    low, high = (other_model(extra_body={"reasoning": {"effort": e, "x": 1}, "n": 2}) for e in ("low", "high"))
    assert len({key(PLAIN), key(low), key(high)}) == 3
    assert key(other_model(extra_body={"n": 2, "reasoning": {"x": 1, "effort": "low"}})) == key(low)
    assert key(other_model(extra_body={})) == key(PLAIN)


def test_keys_that_later_versions_must_find_again():
    """Frozen when `extra_body` and `service` became parts of a key."""
    body = {"reasoning": {"effort": "high"}}
    assert key(PLAIN) == "180b41974fd6f96e77f0e0ac0d2aec9f5f50486e7cb39cef2d5ed10e698c8115"
    assert key(other_model(extra_body=body)) == "ea50e14c859976615eafda9ef2af0cb01bd03e5275f1d4450fdd388973c5b91c"
    assert key(other_model(base_url=PUBLIC)) == "46e89c1ac7a4bde1785d31991fad8d9b2d4dae2984d9a07fa542927598feb946"
    assert (
        key(other_model(base_url=PUBLIC, extra_body=body))
        == "ab8e2b322cc1d1dfc9e9eb66d340ce6342cdd3b47feb8d7a7ed53d7cc3dc2902"
    )


# Answers of versions whose keys did not name the service.


def test_an_old_answer_belongs_to_the_first_service_that_it_fits(tmp_path):
    first, second = (other_model(base_url=url) for url in (PUBLIC, OTHER))
    file = old_file(tmp_path, key(PLAIN))
    write_atomic(file, pretty(as_json(record())))
    before = file.read_bytes()

    # A forecast reads it and writes nothing, so the first one is not decided by it.
    for model in (second, first):
        assert load_response(tmp_path, question(model), key(model), read_only=True) == record()
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == [file]

    assert load_response(tmp_path, question(first), key(first)) == record()
    assert read_record(tmp_path, key(first)) == record()
    for model in (second, PLAIN):
        assert load_response(tmp_path, question(model), key(model)) is None
        assert load_response(tmp_path, question(model), key(model), read_only=True) is None
    assert read_record(tmp_path, key(second)) is None

    # metadata.json of generations that are only read name the old key.
    assert read_record(tmp_path, key(PLAIN)).response == record().response
    assert file.read_bytes() == before


def test_an_answer_of_a_service_is_not_one_of_another_or_of_the_providers_own(tmp_path):
    first, second = (other_model(base_url=url) for url in (PUBLIC, OTHER))
    save_response(tmp_path, key(first), record(first))
    assert load_response(tmp_path, question(first), key(first)) == record(first)
    for model in (second, PLAIN):
        assert load_response(tmp_path, question(model), key(model)) is None


def test_an_answer_that_is_known_to_be_of_no_service_is_never_one_of_a_service(tmp_path):
    noted = changed(record(), service="")
    save_response(tmp_path, key(PLAIN), noted)
    assert load_response(tmp_path, question(PLAIN), key(PLAIN)) == noted
    service = other_model(base_url=PUBLIC)
    assert load_response(tmp_path, question(service), key(service)) is None


# Records of earlier versions.


@pytest.mark.parametrize(
    ("usage", "known"),
    [
        ({}, Usage()),
        ({"prompt_tokens": 3, "completion_tokens": 4}, Usage(prompt_tokens=3, completion_tokens=4)),
        (
            {"prompt_tokens": 3, "cached_tokens": 1, "reasoning_tokens": 7},
            Usage(prompt_tokens=3, cached_tokens=1, reasoning_tokens=7),
        ),
        ({"logprob": -1.75}, Usage(logprob=-1.75)),
        ({"logprob": -2}, Usage(logprob=-2)),
    ],
)
def test_usage_as_earlier_versions_wrote_it_is_read(tmp_path, usage, known):
    written = as_json(record())
    written["response"]["usage"] = usage
    write_atomic(old_file(tmp_path, key(PLAIN)), pretty(written))
    assert load_response(tmp_path, question(), key(PLAIN)).response.usage == known
    write_atomic(tmp_path / "g/metadata.json", pretty({"gen_id": "d_1", "stage": "draft", "usage": usage}))
    assert read_result(tmp_path / "g").usage == known


def test_a_record_that_is_read_and_written_is_the_same_to_the_byte(tmp_path):
    def text(key):
        return database(tmp_path).read("SELECT record FROM answers WHERE key = ?", (key,))[0][0]

    save_response(tmp_path, "ab", record(prompt_tokens=3, completion_tokens=1))
    save_response(tmp_path, "cd", read_record(tmp_path, "ab"))
    assert text("cd") == text("ab")
    assert json.loads(text("ab"))["response"] == {
        "text": "Because.",
        "finish_reason": "stop",
        "usage": {"prompt_tokens": 3, "completion_tokens": 1},
        "model_name": "",
    }
    assert json.loads(text("ab")).keys() == {"schema_version", "request", "response", "asked"}


def test_the_ledger_of_an_earlier_version_is_copied_once(tmp_path):
    old = {"at": "2026-01-31T23:59:59+00:00", "gen_id": "d_1", "stage": "draft", "cohort_id": "trial", "model_id": "m"}
    old |= {
        "sample": 0,
        "prompt_tokens": 5,
        "cached_tokens": 0,
        "completion_tokens": 2,
        "cost_usd": 0.25,
        "latency_s": 1,
    }
    lines = [json.dumps(old), json.dumps(old | {"cost_usd": None}), '{"at": "2026-01-', ""]
    write_atomic(tmp_path / "ledger.jsonl", "\n".join(lines))
    save_response(tmp_path, "ab", record())
    rows = database(tmp_path).read("SELECT spec, prompt_tokens, cost_usd, estimated FROM ledger")
    assert rows == [("trial", 5, 0.25, 0), ("trial", 5, None, 0)]
    spent = database(tmp_path).read("SELECT scope, usd, tokens FROM spent ORDER BY scope")
    assert spent == [("day:2026-01-31", 0.25, 14), ("month:2026-01", 0.25, 14)]
    database(tmp_path).close()
    save_response(tmp_path, "cd", record())
    assert len(database(tmp_path).read("SELECT 1 FROM ledger")) == 2


# Damaged files.


@pytest.mark.parametrize(
    "content", [b"", b'{"schema_version": 1, "requ', b"[]", b'{"schema_version": 1}', b'{"a": "\xff"}']
)
def test_a_damaged_record_is_named_with_what_to_do(tmp_path, content):
    path = old_file(tmp_path, key(PLAIN))
    path.parent.mkdir(parents=True)
    path.write_bytes(content)
    with pytest.raises(DreamflowError) as error:
        load_response(tmp_path, question(), key(PLAIN))
    assert str(error.value).startswith(f"{path}: ")
    assert "delete it and run again: the model is then called again" in str(error.value)


@pytest.mark.parametrize("content", [b"", b'{"schema_version": 1, "requ', b'{"a": "\xff"}'])
def test_a_damaged_record_of_the_database_is_named_and_the_others_are_read(tmp_path, content):
    store = database(tmp_path)
    save_response(tmp_path, "other", record())
    store.write(
        lambda connection: connection.execute(
            "INSERT INTO answers (key, record) VALUES (?, CAST(? AS TEXT))", (key(PLAIN), content)
        )
    )
    with pytest.raises(DamagedRecord, match=f"answer {key(PLAIN)}: .*DELETE FROM answers WHERE key = "):
        load_response(tmp_path, question(), key(PLAIN))
    assert read_record(tmp_path, "other") == record()


@pytest.mark.parametrize("content", [b"", b'{"gen_id": "d_1", "sta', b"[]", b'{"gen_id": "d_1"}', b'{"a": "\xff"}'])
def test_damaged_metadata_is_named_with_what_to_do(tmp_path, content):
    path = tmp_path / "metadata.json"
    path.write_bytes(content)
    with pytest.raises(DreamflowError) as error:
        read_result(tmp_path)
    assert str(error.value).startswith(f"{path}: ")
    assert "Delete the file and run again: it is rebuilt from the store, without a call" in str(error.value)


# Usage and cost of all answers of a generation.


@pytest.mark.parametrize(
    ("one", "two", "total"),
    [
        ({}, {}, {}),
        ({"prompt_tokens": 3}, {}, {"prompt_tokens": 3}),
        ({}, {"completion_tokens": 0}, {"completion_tokens": 0}),
        (
            {"prompt_tokens": 3, "cached_tokens": 1},
            {"prompt_tokens": 4, "completion_tokens": 5, "logprob": -0.5},
            {"prompt_tokens": 7, "cached_tokens": 1, "completion_tokens": 5, "logprob": -0.5},
        ),
        ({"logprob": -0.5}, {"logprob": -1.5}, {"logprob": -2.0}),
    ],
)
def test_usages_are_added_count_by_count(one, two, total):
    assert as_json(Usage(**one) + Usage(**two)) == total
    assert Usage(**two) + Usage(**one) == Usage(**total)


def test_a_count_that_is_not_known_is_nothing_in_a_sum():
    assert (Usage().prompt, Usage().cached, Usage().completion) == (0, 0, 0)
    assert (Usage(3, 2, 1).prompt, Usage(3, 2, 1).cached, Usage(3, 2, 1).completion) == (3, 2, 1)
    assert Usage(prompt_tokens=0).is_known
    assert not Usage().is_known
    assert not Usage(logprob=-1.0).is_known


def drawn(*keys):
    attempts = [Attempt(sample=number, response_key=key, error=None) for number, key in enumerate(keys)]
    return Result(gen_id="d_1", stage="draft", usage=Usage(1, 1, 1), cost_usd=0.5, latency_s=1.0, attempts=attempts)


def test_the_total_counts_every_answer_that_was_drawn(tmp_path):
    save_response(tmp_path / "store", "aa", record(prompt_tokens=3, completion_tokens=9))
    save_response(tmp_path / "store", "bb", record(prompt_tokens=4))
    total = with_total_cost(drawn("aa", "bb"), tmp_path)
    assert (total.usage, total.cost_usd, total.latency_s) == (Usage(prompt_tokens=7, completion_tokens=9), 1.0, 2.0)
    unpriced = changed(record(), call=changed(record().call, cost_usd=None))
    save_response(tmp_path / "store", "cc", unpriced)
    assert with_total_cost(drawn("aa", "cc"), tmp_path).cost_usd is None
    assert with_total_cost(drawn("gone"), tmp_path) == drawn("gone")  # its own usage is the total


def test_an_answer_that_is_gone_is_named_with_what_to_do(tmp_path):
    save_response(tmp_path / "store", "aa", record())
    with pytest.raises(DreamflowError, match=r"no answer gone, but .* draft d_1 .*Restore the store"):
        with_total_cost(drawn("aa", "gone"), tmp_path)
