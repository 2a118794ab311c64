"""The batch APIs of OpenAI (files and batches) and Anthropic (message batches), as the test servers have them.

A batch is in progress until it was looked at `polls` times. `outcomes` has what becomes of the items, one after the
other in order of arrival: "ok", "expired", "errored" (a 400 for this item) or "canceled"; where it has ended, items are
"ok". `billed` has the custom_id of each item that was answered, as often as it was; `on_answer(id, answer)` hears it.
"""

import email.parser
import email.policy
import itertools
import json
import re
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, urlsplit

from protocols import answer_to

Answer = tuple[int, Any]  # status, and a body: JSON, or bytes
Item = dict[str, Any]  # custom_id, body

OPENAI_STATES = {"in_progress": "in_progress", "ended": "completed", "failed": "failed", "expired": "expired"}


@dataclass
class Batch:
    """A batch of one of the two APIs, and what became of its items: a list of (custom_id, outcome, answer)."""

    id: str
    kind: str  # openai | anthropic
    items: list[Item]
    polls: int
    created: dict[str, Any]  # what its creator said
    state: str = "in_progress"  # in_progress | ended | failed
    results: list[tuple[str, str, Any]] = field(default_factory=list)
    errors: list[dict[str, Any]] = field(default_factory=list)
    cancelled: bool = False


class Batches:
    """All batches of a server. `answer(body)` gives the text of an answer."""

    def __init__(
        self,
        answer: Callable[[dict[str, Any]], str],
        on_answer: Callable[[str, dict[str, Any]], None] = lambda custom_id, answer: None,
    ) -> None:
        self.answer, self.on_answer = answer, on_answer
        self.polls = 0
        self.outcomes: list[str] = []
        self.billed: list[str] = []
        self.files: dict[str, bytes] = {}
        self.batches: dict[str, Batch] = {}
        self._count = itertools.count(1)
        self._lock = threading.RLock()

    def handles(self, path: str) -> bool:
        """Whether a path is one of these APIs."""
        return bool(re.search(r"/(files|batches)(/|\?|$)", path))

    def request(self, method: str, path: str, content_type: str, content: bytes) -> Answer:
        """Answer a request."""
        split = urlsplit(path)
        parts = split.path.partition("/v1/")[2].split("/")
        query = {name: values[0] for name, values in parse_qs(split.query).items()}
        with self._lock:
            try:
                if parts[0] == "files":
                    return self._file(method, parts[1:], content_type, content)
                if parts[:2] == ["messages", "batches"]:
                    return self._anthropic(method, parts[2:], query, content)
                return self._openai(method, parts[1:], query, content)
            except KeyError as error:
                return 404, {"error": {"message": f"not found: {error}", "type": "not_found_error"}}

    def finish(self) -> None:
        """End every batch now, as when its time has come."""
        with self._lock:
            for batch in self.batches.values():
                self._end(batch)

    # Files (OpenAI)

    def _file(self, method: str, parts: list[str], content_type: str, content: bytes) -> Answer:
        if method == "POST":
            form = _form(content_type, content)
            name = self._add_file(form["file"])
            return 200, self._file_object(name) | {"purpose": form["purpose"].decode()}
        if method == "DELETE":
            del self.files[parts[0]]
            return 200, {"id": parts[0], "object": "file", "deleted": True}
        if not parts:
            return 200, {"object": "list", "data": [self._file_object(name) for name in self.files], "has_more": False}
        if parts[1:] == ["content"]:
            return 200, self.files[parts[0]]
        return 200, self._file_object(parts[0])

    def _add_file(self, content: bytes) -> str:
        name = f"file-{next(self._count)}"
        self.files[name] = content
        return name

    def _file_object(self, name: str) -> dict[str, Any]:
        size = len(self.files[name])
        return {"id": name, "object": "file", "bytes": size, "purpose": "batch", "status": "processed"}

    # Batches (OpenAI)

    def _openai(self, method: str, parts: list[str], query: dict[str, str], content: bytes) -> Answer:
        if method == "POST" and not parts:
            said = json.loads(content)
            lines = [json.loads(line) for line in self.files[said["input_file_id"]].splitlines() if line.strip()]
            batch = self._create(
                "openai", "batch_", [{"custom_id": x["custom_id"], "body": x["body"]} for x in lines], said
            )
            seen: set[str] = set()
            for number, line in enumerate(lines, 1):
                wrong = None
                if line["custom_id"] in seen:
                    wrong = {"code": "duplicate_custom_id", "message": f"duplicate custom_id {line['custom_id']}"}
                elif line.get("url") != said["endpoint"] or line.get("method") != "POST":
                    wrong = {"code": "mismatched_endpoint", "message": "url and method must be those of the batch"}
                if wrong:
                    batch.errors.append({**wrong, "line": number, "param": None})
                seen.add(line["custom_id"])
            if batch.errors:
                batch.state = "failed"
            return 200, self._openai_object(batch)
        if not parts:
            return 200, _page(self._of("openai"), self._openai_object, query, "after") | {"object": "list"}
        batch = self.batches[parts[0]]
        if method == "POST" and parts[1:] == ["cancel"]:
            self._cancel(batch)
            return 200, self._openai_object(batch)
        self._look(batch)
        return 200, self._openai_object(batch)

    def _openai_object(self, batch: Batch) -> dict[str, Any]:
        outcomes = [outcome for _, outcome, _ in batch.results]
        state = OPENAI_STATES[batch.state]
        if batch.state == "ended" and batch.cancelled:
            state = "cancelled"
        elif batch.state == "ended" and "expired" in outcomes:
            state = "expired"
        output = f"{batch.id}-output" if f"{batch.id}-output" in self.files else None
        errors = f"{batch.id}-errors" if f"{batch.id}-errors" in self.files else None
        counts = {"total": len(batch.items), "completed": outcomes.count("ok"), "failed": outcomes.count("errored")}
        return {
            "id": batch.id,
            "object": "batch",
            "endpoint": batch.created["endpoint"],
            "errors": {"object": "list", "data": batch.errors} if batch.errors else None,
            "input_file_id": batch.created["input_file_id"],
            "completion_window": batch.created["completion_window"],
            "status": state,
            "output_file_id": output,
            "error_file_id": errors,
            "created_at": int(time.time()),
            "expires_at": int(time.time()) + 86400,
            "request_counts": counts,
            "metadata": batch.created.get("metadata"),
        }

    # Batches (Anthropic)

    def _anthropic(self, method: str, parts: list[str], query: dict[str, str], content: bytes) -> Answer:
        if method == "POST" and not parts:
            said = json.loads(content)
            ids = [item["custom_id"] for item in said["requests"]]
            wrong = next((i for i in ids if not re.fullmatch(r"[a-zA-Z0-9_-]{1,64}", i) or ids.count(i) > 1), None)
            if wrong is not None:
                message = f"requests: custom_id {wrong!r} is not unique, or not 1 to 64 of a-z, A-Z, 0-9, _ and -"
                return 400, {"type": "error", "error": {"type": "invalid_request_error", "message": message}}
            items = [{"custom_id": item["custom_id"], "body": item["params"]} for item in said["requests"]]
            return 200, self._anthropic_object(self._create("anthropic", "msgbatch_", items, said))
        if not parts:
            return 200, _page(self._of("anthropic"), self._anthropic_object, query, "after_id")
        batch = self.batches[parts[0]]
        if method == "POST" and parts[1:] == ["cancel"]:
            self._cancel(batch)
            return 200, self._anthropic_object(batch)
        if parts[1:] == ["results"]:
            if batch.state != "ended":
                return 404, {"type": "error", "error": {"type": "not_found_error", "message": "no results yet"}}
            return 200, _lines(_anthropic_result(*result) for result in reversed(batch.results))
        self._look(batch)
        return 200, self._anthropic_object(batch)

    def _anthropic_object(self, batch: Batch) -> dict[str, Any]:
        names = {"succeeded": "ok", "errored": "errored", "canceled": "canceled", "expired": "expired"}
        outcomes = [outcome for _, outcome, _ in batch.results]
        ended = batch.state == "ended"
        counts = {name: outcomes.count(outcome) for name, outcome in names.items()}
        now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        return {
            "id": batch.id,
            "type": "message_batch",
            "processing_status": "ended" if ended else "in_progress",
            "request_counts": {"processing": len(batch.items) - len(outcomes), **counts},
            "created_at": now,
            "expires_at": now,
            "ended_at": now if ended else None,
            "cancel_initiated_at": now if batch.cancelled else None,
            "archived_at": None,
            "results_url": f"/v1/messages/batches/{batch.id}/results" if ended else None,
        }

    # Both

    def _of(self, kind: str) -> list[Batch]:
        return [batch for batch in reversed(self.batches.values()) if batch.kind == kind]  # the newest first

    def _create(self, kind: str, prefix: str, items: list[Item], said: dict[str, Any]) -> Batch:
        batch = Batch(f"{prefix}{next(self._count)}", kind, items, self.polls, said)
        self.batches[batch.id] = batch
        return batch

    def _look(self, batch: Batch) -> None:
        if batch.polls <= 0:
            self._end(batch)
        batch.polls -= 1

    def _cancel(self, batch: Batch) -> None:
        if batch.state == "in_progress":
            batch.cancelled = True
            self._end(batch)

    def _end(self, batch: Batch) -> None:
        if batch.state != "in_progress":
            return
        path = "/v1/messages" if batch.kind == "anthropic" else "/v1/chat/completions"
        for item in batch.items:
            outcome = "canceled" if batch.cancelled else self.outcomes.pop(0) if self.outcomes else "ok"
            answer = None
            if outcome == "ok":
                answer = answer_to(path, item["body"], self.answer(item["body"]))
                self.billed.append(item["custom_id"])
                self.on_answer(item["custom_id"], answer)
            batch.results.append((item["custom_id"], outcome, answer))
        batch.state = "ended"
        if batch.kind == "openai":
            good = [result for result in batch.results if result[1] == "ok"]
            bad = [result for result in batch.results if result[1] != "ok"]
            for name, results in (("output", good), ("errors", bad)):
                if results:
                    self.files[f"{batch.id}-{name}"] = _lines(_openai_result(*result) for result in reversed(results))


def _openai_result(custom_id: str, outcome: str, answer: Any) -> dict[str, Any]:
    line = {"id": f"batch_req_{custom_id}", "custom_id": custom_id, "response": None, "error": None}
    if outcome == "ok":
        return line | {"response": {"status_code": 200, "request_id": "r", "body": answer}}
    if outcome == "errored":
        body = {"error": {"message": "told to fail", "type": "invalid_request_error"}}
        return line | {"response": {"status_code": 400, "request_id": "r", "body": body}}
    code = {"expired": "batch_expired", "canceled": "batch_cancelled"}[outcome]
    return line | {"error": {"code": code, "message": "This request could not be executed."}}


def _anthropic_result(custom_id: str, outcome: str, answer: Any) -> dict[str, Any]:
    if outcome == "ok":
        result = {"type": "succeeded", "message": answer}
    elif outcome == "errored":
        error = {"type": "invalid_request_error", "message": "told to fail"}
        result = {"type": "errored", "error": {"type": "error", "error": error}}
    else:
        result = {"type": outcome}
    return {"custom_id": custom_id, "result": result}


def _page(batches: list[Batch], show: Callable[[Batch], Any], query: dict[str, str], after: str) -> dict[str, Any]:
    ids = [batch.id for batch in batches]
    start = ids.index(query[after]) + 1 if after in query else 0
    end = start + int(query.get("limit", 20))
    data = [show(batch) for batch in batches[start:end]]
    ends = {"first_id": data[0]["id"], "last_id": data[-1]["id"]} if data else {"first_id": None, "last_id": None}
    return {"data": data, "has_more": end < len(ids), **ends}


def _lines(values: Any) -> bytes:
    return b"".join(json.dumps(value).encode() + b"\n" for value in values)


def _form(content_type: str, content: bytes) -> dict[str, bytes]:
    """The fields of a multipart/form-data body."""
    head = f"Content-Type: {content_type}\r\n\r\n".encode()
    message = email.parser.BytesParser(policy=email.policy.HTTP).parsebytes(head + content)
    return {
        part.get_param("name", header="content-disposition"): part.get_payload(decode=True)
        for part in message.iter_parts()
    }
