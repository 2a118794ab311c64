"""Questions that a provider answers in batches, at half the price and within a day.

A run puts such questions into a queue, where their generations are `pending`, and submits the queue when it ends (see
`batch_files`). The next run collects what has been answered before its jobs are planned, and goes on from there.
Whether a question went online or into a batch is no part of its key.
"""

import re
import secrets
import threading
from collections import Counter
from collections.abc import Callable, Collection, Container, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import count
from pathlib import Path
from sqlite3 import Connection
from typing import NoReturn

from .backoff import call_with_retries
from .batch_files import (
    WITH_QUESTIONS,
    Batch,
    Item,
    batch_lock,
    batch_path,
    collected_ids,
    move_collected,
    open_batches,
    read_batch,
    write_batch,
)
from .budgets import ANSWERED, Labels, question_atp, release
from .database import DatabaseError, query_json
from .model import SAMPLES_PER_REPLICATE, Generation, Json, Question, Record
from .models import Model
from .processes import batch_name, is_batch_name, own_name
from .providers import CallError, Pending, provider
from .providers.batch import HOURS, State, batch_api
from .records import in_a_batch, record_of, request_of
from .stopping import STOPPING
from .store import book, database, ledger_entry, put_answers

GROUP = 200  # answers that are stored at once
LISTED_S = 300  # after which a batch that was created is in the provider's list
CLOCKS_S = 86400  # by which our clock and the provider's may differ


def goes_in_batches(stages: Collection[str], stage: str, model: Model) -> bool:
    """Whether the questions of a stage to a model are for batches; `stages` are those of the configuration."""
    return model.service == "batch" or (stage in stages and provider(model.provider).batches is not None)


class Batches:
    """The queue of this run and the batches of all runs on a data folder.

    `is_batch(stage, model)` says which questions are for batches; `show(line)` tells the user; `run` is the name of the
    run, for the ledger; `on_answer(record)` is called with every new answer. `takes`, `put` and `is_waiting` may be
    called from any thread.
    """

    def __init__(
        self,
        store: Path,
        models: Mapping[str, Model],
        is_batch: Callable[[str, Model], bool],
        show: Callable[[str], None],
        *,
        attempts: int = 5,
        run: str = "",
        on_answer: Callable[[Record], None] = lambda record: None,
    ) -> None:
        self.store, self.models, self.is_batch, self.show = store, models, is_batch, show
        self.attempts, self.run, self.on_answer = attempts, run, on_answer
        self.guard = threading.Lock()
        self.queue: dict[str, Item] = {}
        self.failed: dict[str, CallError] = {}  # by key: why the provider did not answer, for this run
        self.read()

    def read(self) -> None:
        """Read which questions are in batches, from the files on this machine."""
        self.open = {batch.name: batch for batch in open_batches(self.store)}
        # The keys of the questions in batches that were not collected yet, each with a generation that needs it.
        self.waiting = {item.key: item.gen_id for batch in self.open.values() for item in batch.items.values()}

    def is_waiting(self, key: str | None) -> bool:
        """Whether a question is in a batch that was not collected yet, or in the queue."""
        return key in self.waiting or key in self.queue

    def takes(self, question: Question, key: str, generation: Generation) -> bool:
        """Whether a question, which nobody has answered, is for a batch.

        Raises `Pending` if it is in one, and `CallError` if the provider has refused it or would refuse it.
        """
        model = self.models[question.model.model_id]
        if key in self.failed:
            raise self.failed[key]
        if self.is_waiting(key):
            raise Pending(in_a_batch(model.model_id))
        if not self.is_batch(generation.stage, model):
            return False
        batch_api(model.provider).line(generation.gen_id, request_of(question, model, generation.gen_id))
        return True

    def put(self, question: Question, key: str, generation: Generation, labels: Labels, scopes: list[str]) -> NoReturn:
        """Put a question that was claimed into the queue, and raise `Pending`."""
        item = Item(
            key=key,
            gen_id=generation.gen_id,
            stage=generation.stage,
            family=labels.family,
            spec=labels.spec,
            tier=labels.tier,
            scopes=scopes,
            question=question,
        )
        with self.guard:
            self.queue[key] = item
        raise Pending(in_a_batch(question.model.model_id))

    # Submitting

    def submit(self) -> None:
        """Submit the queue. What is not submitted is asked again by the next run; after Ctrl-C that is all of it."""
        if not self.queue:
            return
        if STOPPING.is_set():
            self.show(f"{len(self.queue):,} questions for batches were not submitted: run again to submit them")
            return
        try:
            with batch_lock(self.store, self.show):
                self._submit_queue()
        except (DatabaseError, OSError) as error:
            self.show(f"not all questions for batches were submitted: {error}\n  Run again to submit the others.")

    def _submit_queue(self) -> None:
        self.read()
        by_model: dict[str, list[Item]] = {}
        for item in self.queue.values():
            if item.key not in self.waiting:
                by_model.setdefault(item.question.model.model_id, []).append(item)
        try:
            for model_id, items in by_model.items():
                self._submit_all(self.models[model_id], items)
        finally:
            self.read()
            self._release(self.queue.keys() - self.waiting.keys())
            self.queue.clear()

    def _submit_all(self, model: Model, items: Sequence[Item]) -> None:
        left = len(items)
        for chosen, lines in _parts(model, items):
            try:
                call_with_retries(partial(self._submit, model, chosen, lines), self.attempts, STOPPING)
            except CallError as error:
                self.show(
                    f"{left:,} questions for batches of model {model.model_id} were not submitted: {error}\n"
                    "  Run again to submit them."
                )
                return
            left -= len(chosen)

    def _submit(self, model: Model, items: dict[str, Item], lines: Sequence[bytes]) -> None:
        now = datetime.now(UTC)
        name = f"{model.model_id}-{now:%Y%m%dT%H%M%S}-{secrets.token_hex(4)}"
        batch = Batch(name=name, model_id=model.model_id, provider=model.provider, created=_iso(now), items=items)

        def creating() -> None:
            batch.state, batch.asked_at = "creating", _iso(datetime.now(UTC))
            write_batch(self.store, batch)

        write_batch(self.store, batch)
        self._hand_over([item.key for item in items.values()], batch_name(name))
        try:
            batch.id = batch_api(model.provider).submit(model, name, lines, creating)
        except CallError as error:
            if not error.may_be_billed:
                self._hand_over([item.key for item in items.values()], own_name(self.store))
                batch_path(self.store, name).unlink()
                raise
            self.show(
                f"{error}\n  It is not known whether the batch {name} of {len(items):,} questions was created: the "
                "next run looks for it at the provider, and asks nothing twice."
            )
            return
        batch.state = "submitted"
        write_batch(self.store, batch)

    # Collecting

    def collect(self) -> None:
        """Store what the providers have answered. What they did not answer may be asked again after this; what they
        refused is in `failed`."""
        if not self.open:
            return
        try:
            with batch_lock(self.store, self.show):
                self.read()
                for name in list(self.open):
                    self._try_to_collect(name)
                self.read()
        except (DatabaseError, OSError) as error:
            self.show(f"not all batches were collected: {error}\n  Run again to collect the others.")

    def _try_to_collect(self, name: str) -> None:
        path = batch_path(self.store, name)
        try:
            if batch := read_batch(path, WITH_QUESTIONS):
                self._collect(batch)
        except CallError as error:
            hint = ""
            if error.status == 404:
                hint = (
                    f"\n  If the batch is lost, delete {path} and run again: its {len(self.open[name].items):,} "
                    "questions are then asked again."
                )
            self.show(f"batch {name} could not be collected: {error}{hint}")

    def _collect(self, batch: Batch[Item]) -> None:
        model = self.models.get(batch.model_id)
        if model is None or model.provider != batch.provider:
            self.show(
                f"{batch_path(self.store, batch.name)}: this batch of model {batch.model_id} is with {batch.provider}, "
                "but models.yaml has no such model; add it again to collect the batch"
            )
            return
        api = batch_api(model.provider)
        if batch.state == "creating" and (found := self._find(batch, model)):
            batch.state, batch.id = "submitted", found
            write_batch(self.store, batch)
        if batch.state == "prepared" or (batch.state == "creating" and found is None):
            self._release(item.key for item in batch.items.values())
            batch_path(self.store, batch.name).unlink()
            self.show(f"batch {batch.name} was never created: its {len(batch.items):,} questions are asked again")
            return
        if batch.state == "creating":
            self.show(
                f"batch {batch.name}: it is not known yet whether it was created; the next run looks again, after "
                f"{_clock(datetime.fromisoformat(batch.asked_at) + timedelta(seconds=LISTED_S))}"
            )
            return
        state = api.state(model, batch.id)
        if not state.ended:
            self.show(f"batch {batch.name}: {state.done:,} of {len(batch.items):,} questions are answered")
            return
        self.show(f"batch {batch.name} has ended: {self._keep_results(batch, model, state)}")
        self._release(item.key for item in batch.items.values())
        move_collected(self.store, batch)

    def _keep_results(self, batch: Batch[Item], model: Model, state: State) -> str:
        """Store the answers of a batch that has ended; returns what became of its questions."""
        left, counts, first_error = dict(batch.items), Counter(), ""
        if state.problem:
            problem = CallError(
                f"{model.provider}: {model.model_id}: the batch failed: {state.problem}", kind="account"
            )
            self.failed |= {item.key: problem for item in left.values()}
            return f"the provider refused all of it: {state.problem}"
        answers: list[tuple[Item, Record, bytes]] = []
        for custom_id, result in batch_api(model.provider).results(model, state):
            item = left.pop(custom_id, None)
            if item is None:
                continue
            if isinstance(result, bytes):
                counts["answered"] += 1
                answers.append((item, _record(batch, item, model, result), result))
                if len(answers) == GROUP:
                    self._store(answers)
                    answers = []
            elif result.retryable:
                counts["asked again"] += 1
            else:
                counts["refused"] += 1
                self.failed[item.key] = result
                first_error = first_error or f" ({result})"
        self._store(answers)
        counts["asked again"] += len(left)
        texts = {"answered": "answered", "asked again": "not answered and asked again", "refused": "refused"}
        return ", ".join(f"{counts[name]:,} {text}" for name, text in texts.items() if counts[name]) + first_error

    def _store(self, answers: Sequence[tuple[Item, Record, bytes]]) -> None:
        """Store and book answers, except those that an earlier, interrupted collection has stored."""

        def settle(connection: Connection) -> list[Record]:
            keys = [item.key for item, _, _ in answers]
            stored = set(query_json(connection, ANSWERED, keys))
            new = [each for each in answers if each[0].key not in stored]
            put_answers(connection, [(item.key, record, body) for item, record, body in new])
            book(connection, [(self._entry(item, record), item.scopes) for item, record, _ in new])
            for key in keys:
                release(connection, key)
            return [record for _, record, _ in new]

        for record in database(self.store).write(settle):
            self.on_answer(record)

    def _entry(self, item: Item, record: Record) -> dict[str, Json]:
        model = self.models.get(record.request.model.model_id)
        atp = question_atp(record.request, model) if model else None
        return ledger_entry(item.key, record, family=item.family, tier=item.tier, run=self.run, atp=atp)

    def _hand_over(self, keys: Sequence[str], owner: str) -> None:
        """Hand claims to a batch, so that they outlive this process and count as lost without it, or back."""
        rows = [(owner, "true" if is_batch_name(owner) else "false", key) for key in keys]
        sql = "UPDATE in_flight SET owner = ?, call = json_set(call, '$.bills', json(?)) WHERE key = ?"
        database(self.store).write(lambda connection: connection.executemany(sql, rows) and None)

    def _release(self, keys: Iterable[str]) -> None:
        keys = list(keys)
        database(self.store).write(lambda connection: [release(connection, key) for key in keys] and None)

    def _find(self, batch: Batch[Item], model: Model) -> str | None:
        """The provider's id of a batch whose creation was not confirmed; None if it was not created; "" if that is not
        certain yet.

        A batch at OpenAI has our name. Anthropic keeps no name: there the batch is the one, unknown to us, that has as
        many requests and the same custom_ids. As these are to be seen only in the results, a batch of that size that
        has not ended leaves it open.
        """
        api = batch_api(model.provider)
        since = datetime.fromisoformat(batch.created) - timedelta(seconds=CLOCKS_S)
        known = {each.id for each in self.open.values()} | collected_ids(self.store)
        doubtful = datetime.now(UTC) < datetime.fromisoformat(batch.asked_at) + timedelta(seconds=LISTED_S)
        for state in api.list_since(model, since):
            if state.name == batch.name:
                return state.id
            if state.name is None and state.id not in known and state.total == len(batch.items):
                if not state.ended:
                    doubtful = True
                elif {custom_id for custom_id, _ in api.results(model, state)} == batch.items.keys():
                    return state.id
        return "" if doubtful else None

    # What waits

    def summary(self) -> list[str]:
        """What the providers have, for the end of a run and for forecasts; empty if they have nothing."""
        if not self.waiting:
            return []
        counts = Counter()
        for batch in self.open.values():
            counts[batch.model_id] += len(batch.items)
        latest = max(datetime.fromisoformat(batch.created) for batch in self.open.values()) + timedelta(hours=HOURS)
        models = ", ".join(f"{model_id}: {count:,}" for model_id, count in counts.items())
        generations = len(set(self.waiting.values()))
        return [
            f"{generations:,} generations are with the provider ({models}): run again after a while; the provider "
            f"answers by {_clock(latest)}"
        ]


def _parts(model: Model, items: Sequence[Item]) -> Iterator[tuple[dict[str, Item], list[bytes]]]:
    """The items by custom_id, and the requests, of batches that are not larger than the provider allows."""
    api = batch_api(model.provider)
    part: dict[str, Item] = {}
    lines: list[bytes] = []
    size = 0
    for item in items:
        name = _custom_id(item, part)
        line = api.line(name, request_of(item.question, model, item.gen_id))
        if part and (len(part) == api.MAX_REQUESTS or size + len(line) + 1 > api.MAX_BYTES):
            yield part, lines
            part, lines, size = {}, [], 0
        part[name] = item
        lines.append(line)
        size += len(line) + 1
    if part:
        yield part, lines


def _custom_id(item: Item, taken: Container[str]) -> str:
    """The gen_id; `-s2` and so on for further samples. Both providers allow up to 64 letters, digits, "_" and "-"."""
    stem = item.gen_id if re.fullmatch(r"[A-Za-z0-9_-]{1,56}", item.gen_id) else item.key[:40]
    first = item.question.sample % SAMPLES_PER_REPLICATE + 1
    names = (stem if number == 1 else f"{stem}-s{number}" for number in count(first))
    return next(name for name in names if name not in taken)


def _record(batch: Batch, item: Item, model: Model, body: bytes) -> Record:
    """The store's record of an answer. The seconds of a single answer are not known."""
    response = provider(model.provider).read(request_of(item.question, model, item.gen_id), body)
    called = {"gen_id": item.gen_id, "stage": item.stage, "cohort_id": item.spec, "latency_s": None}
    return record_of(item.question, model, response, body, called, batch.id)


def _iso(time: datetime) -> str:
    return time.isoformat(timespec="seconds")


def _clock(time: datetime) -> str:
    return f"{time.astimezone(UTC):%Y-%m-%d %H:%M} UTC"
