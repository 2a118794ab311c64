"""The servers of the tests: what other tests believe of them."""

import json

import pytest
import requests
from server import Server, closed, reply_lost


@pytest.fixture
def server():
    with Server() as running:
        yield running


def body(number: int) -> dict:
    return {"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": f"Question {number}"}]}


def upload(server: Server, ids: list[str]) -> str:
    line = {"method": "POST", "url": "/v1/chat/completions"}
    lines = [json.dumps({"custom_id": name, **line, "body": body(n)}) for n, name in enumerate(ids)]
    files = {"file": ("batch.jsonl", "\n".join(lines))}
    return requests.post(f"{server.url}/files", data={"purpose": "batch"}, files=files).json()["id"]


def create(server: Server, ids: list[str]) -> dict:
    said = {"input_file_id": upload(server, ids), "endpoint": "/v1/chat/completions", "completion_window": "24h"}
    return requests.post(f"{server.url}/batches", json=said | {"metadata": {"run": "r1"}}).json()


def lines(server: Server, name: str) -> dict[str, dict]:
    content = requests.get(f"{server.url}/files/{name}/content").text
    return {line["custom_id"]: line for line in map(json.loads, content.splitlines())}


def test_a_batch_of_openai_is_made_and_its_failed_items_are_in_a_file_of_their_own(server):
    server.batches.polls = 1
    server.batches.outcomes = ["ok", "errored", "expired"]
    batch = create(server, ["a", "b", "c"])
    address = f"{server.url}/batches/{batch['id']}"
    assert requests.get(address).json()["status"] == "in_progress"
    done = requests.get(address).json()
    assert (done["status"], done["metadata"]) == ("expired", {"run": "r1"})
    assert done["request_counts"] == {"total": 3, "completed": 1, "failed": 1}
    good, bad = lines(server, done["output_file_id"]), lines(server, done["error_file_id"])
    assert "Question 0" in good["a"]["response"]["body"]["choices"][0]["message"]["content"]
    assert bad["b"]["response"]["status_code"] == 400
    assert bad["c"]["error"]["code"] == "batch_expired"
    assert server.batches.billed == ["a"]


def test_a_batch_of_openai_with_an_id_twice_fails(server):
    batch = create(server, ["a", "a"])
    assert batch["status"] == "failed"
    assert batch["errors"]["data"][0]["line"] == 2


def test_batches_are_listed_in_pages_the_newest_first(server):
    ids = [create(server, ["a"])["id"] for _ in range(3)]
    first = requests.get(f"{server.url}/batches?limit=2").json()
    assert [batch["id"] for batch in first["data"]] == ids[:0:-1]
    assert first["has_more"]
    second = requests.get(f"{server.url}/batches?limit=2&after={first['last_id']}").json()
    assert [batch["id"] for batch in second["data"]] == ids[:1]
    assert not second["has_more"]


def test_a_batch_whose_reply_is_lost_is_found_in_the_list(server):
    server.batch_script = [closed(), reply_lost]
    for _ in range(2):
        with pytest.raises(requests.RequestException):
            create(server, ["a"])
    assert len(requests.get(f"{server.url}/batches").json()["data"]) == 1


def test_a_batch_of_anthropic_has_results_when_it_has_ended(server):
    address = f"{server.url}/messages/batches"
    server.batches.polls = 1
    server.batches.outcomes = ["ok", "errored", "expired"]
    requested = [{"custom_id": name, "params": body(n)} for n, name in enumerate("abc")]
    batch = requests.post(address, json={"requests": requested}).json()
    assert requests.get(f"{address}/{batch['id']}").json()["results_url"] is None
    assert requests.get(f"{address}/{batch['id']}/results").status_code == 404
    done = requests.get(f"{address}/{batch['id']}").json()
    assert done["request_counts"] == {"processing": 0, "succeeded": 1, "errored": 1, "canceled": 0, "expired": 1}
    content = requests.get(server.url.removesuffix("/v1") + done["results_url"]).text
    results = {line["custom_id"]: line["result"] for line in map(json.loads, content.splitlines())}
    assert {name: result["type"] for name, result in results.items()} == {
        "a": "succeeded",
        "b": "errored",
        "c": "expired",
    }
    assert "Question 0" in results["a"]["message"]["content"][0]["text"]
    assert [b["id"] for b in requests.get(address).json()["data"]] == [batch["id"]]


def test_anthropic_refuses_ids_that_it_does_not_allow(server):
    wrong = {"requests": [{"custom_id": "a/b", "params": body(0)}]}
    assert requests.post(f"{server.url}/messages/batches", json=wrong).status_code == 400


def test_a_cancelled_batch_has_ended(server):
    server.batches.polls = 9
    batch = create(server, ["a"])
    done = requests.post(f"{server.url}/batches/{batch['id']}/cancel").json()
    assert done["status"] == "cancelled"
    assert server.batches.billed == []
