"""Budgets that cannot be overspent, across threads, processes and nodes.

Before a call, the most that it and the attempts after it can cost is reserved in every budget that covers it; when the
answer is stored, what it did cost takes the place of the reservation. A call is refused if the budget cannot hold it
even if all other calls in flight cost nothing; it waits if only their reservations are in the way. If a budget can hold
the call and not the attempts that may follow, only the call is reserved: each of them asks the budget again.

The same table says which questions are in flight, so no two threads or processes ask one question at a time.
"""

import json
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from .model import SAMPLES_PER_REPLICATE, Generation, Question
from .models import Model
from .prices import most_cost
from .processes import is_alive, is_batch_name, own_name, remove_dead
from .store import add_spent
from .tokens import most_prompt_tokens

TOOL_TOKENS = 600  # that Anthropic adds to a request that enforces a schema, at most
DOLLAR_DIGITS = 9


BATCHES = "batches"  # the name under which all questions in batches are reserved together
DAY, MONTH = "day:", "month:"  # scopes of budgets that hold for every day or month


@dataclass(frozen=True)
class Budget:
    """A cap on everything in a scope, in US dollars or tokens (None: no cap); `key` is where the user has set it."""

    scope: str
    key: str
    usd: float | None = None
    tokens: int | None = None


@dataclass(frozen=True)
class Labels:
    """What a call belongs to: family (its key in config.yaml), spec and quality tier, for the ledger; and the scopes of
    the budgets that cover it, except those of the time."""

    family: str = ""
    spec: str = ""
    tier: str = ""
    scopes: Sequence[str] = ()


@dataclass(frozen=True)
class Worst:
    """The most that a call can cost: `tokens` and `usd` for it alone, `all_tokens` and `all_usd` with the attempts that
    may follow."""

    tokens: int
    usd: float
    all_tokens: int
    all_usd: float


@dataclass(frozen=True)
class Claim:
    """A question that this process may ask. `scopes` include those of the time at which it was claimed."""

    key: str
    scopes: Sequence[str]
    worst: Worst
    budgets: Sequence[Budget]


def covering(budgets: Iterable[Budget], scopes: Sequence[str]) -> list[Budget]:
    """The budgets that cover these scopes, each with the scope of the day or month that it stands for."""
    return [
        replace(budget, scope=scope)
        for budget in budgets
        for scope in scopes
        if scope == budget.scope or (budget.scope in (DAY, MONTH) and scope.startswith(budget.scope))
    ]


def worst_case(question: Question, generation: Generation, model: Model, *, batch: bool = False) -> Worst:
    """The most that a question can cost, in tokens and in US dollars (0 if the price is unknown). The attempts that
    follow one in a `batch` are in later batches, and reserved then."""
    prompt = most_prompt_tokens(question.messages, question.response_format)
    prompt += TOOL_TOKENS if question.response_format else 0
    number = question.sample % SAMPLES_PER_REPLICATE
    left = 1 if batch else generation.max_attempts - number % generation.max_attempts
    limit = question.sampling["max_tokens"]
    longest = max(limit, model.longest_answer)
    answers = [min(limit * 2**attempt, longest) for attempt in range(left)]  # twice the limit after a truncated answer
    usd = [most_cost(model, prompt, answer, batch) or 0.0 for answer in answers]
    return Worst(prompt + limit, usd[0], prompt * left + sum(answers), sum(usd))


def claim(connection: sqlite3.Connection, store: Path, claimed: Claim, call: Mapping[str, Any]) -> str | Budget:
    """Claim a question and reserve its worst case, as one write of the database.

    Returns "claimed"; "answered" if the store has the answer by now; "busy" if another call asks this question; "full"
    if it has to wait for reservations; "batched" if it is in a batch or in a queue for one; or the budget that refuses
    it.

    A batch takes hours, so nobody waits for its reservations: they count as spent until it is collected.
    """
    if connection.execute("SELECT 1 FROM answers WHERE key = ?", (claimed.key,)).fetchone():
        return "answered"
    holder = connection.execute("SELECT owner, call FROM in_flight WHERE key = ?", (claimed.key,)).fetchone()
    if holder:
        if is_alive(store, holder[0]):
            return "batched" if json.loads(holder[1]).get("batch") else "busy"
        bury_dead(connection, store)
    name = BATCHES if call.get("batch") else claimed.key
    size = reserve(connection, store, claimed, name)
    if isinstance(size, str | Budget):
        return size
    reserved = {"reserved_usd": size[0], "reserved_tokens": size[1], "budgets": [one.scope for one in claimed.budgets]}
    text = json.dumps({**call, **reserved})
    connection.execute("INSERT INTO in_flight VALUES (?, ?, ?)", (claimed.key, own_name(store), text))
    return "claimed"


def reserve(connection: sqlite3.Connection, store: Path, claimed: Claim, name: str) -> tuple[float, int] | str | Budget:
    """Reserve the worst case of a call under `name`. Returns US dollars and tokens of the reservation; "full" if the
    call has to wait for other reservations; or the budget that refuses it."""
    size = _size(connection, claimed)
    if size == "full" and bury_dead(connection, store):
        size = _size(connection, claimed)
    if isinstance(size, tuple):
        connection.executemany(
            "INSERT INTO reserved VALUES (?, ?, ?, ?) "
            "ON CONFLICT (scope, key) DO UPDATE SET usd = usd + excluded.usd, tokens = tokens + excluded.tokens",
            [(one.scope, name, *size) for one in claimed.budgets],
        )
    return size


def _size(connection: sqlite3.Connection, claimed: Claim) -> tuple[float, int] | str | Budget:
    """US dollars and tokens to reserve; "full" if they have to be waited for; or the budget that refuses the call."""
    worst = claimed.worst
    problem = _problem(connection, claimed, worst.all_usd, worst.all_tokens)
    if not isinstance(problem, Budget):
        return problem or (worst.all_usd, worst.all_tokens)
    return _problem(connection, claimed, worst.usd, worst.tokens) or (worst.usd, worst.tokens)


def _problem(connection: sqlite3.Connection, claimed: Claim, usd: float, tokens: int) -> str | Budget:
    """The budget that cannot hold a call of this size; "full" if one can hold it later; else ""."""
    full = ""
    for budget in claimed.budgets:
        spent_usd, spent_tokens = spent(connection, budget.scope)
        in_batches = connection.execute(
            "SELECT total(usd), total(tokens) FROM reserved WHERE scope = ? AND key = ?", (budget.scope, BATCHES)
        ).fetchone()
        if _exceeds(budget, spent_usd + in_batches[0] + usd, spent_tokens + in_batches[1] + tokens):
            return budget
        reserved = connection.execute(
            "SELECT total(usd), total(tokens) FROM reserved WHERE scope = ? AND key != ?", (budget.scope, claimed.key)
        ).fetchone()
        if _exceeds(budget, spent_usd + reserved[0] + usd, spent_tokens + reserved[1] + tokens):
            full = "full"
    return full


def _exceeds(budget: Budget, usd: float, tokens: float) -> bool:
    over_usd = budget.usd is not None and round(usd, DOLLAR_DIGITS) > budget.usd
    return over_usd or (budget.tokens is not None and tokens > budget.tokens)


def spent(connection: sqlite3.Connection, scope: str) -> tuple[float, int]:
    """US dollars and tokens that were spent in a scope."""
    return connection.execute("SELECT usd, tokens FROM spent WHERE scope = ?", (scope,)).fetchone() or (0.0, 0)


def release(connection: sqlite3.Connection, key: str) -> None:
    """End a claim and its reservations."""
    found = connection.execute("SELECT call FROM in_flight WHERE key = ?", (key,)).fetchone()
    call = json.loads(found[0]) if found else {}
    if call.get("batch"):
        connection.executemany(
            "UPDATE reserved SET usd = max(0, usd - ?), tokens = max(0, tokens - ?) WHERE scope = ? AND key = ?",
            [(call["reserved_usd"], call["reserved_tokens"], scope, BATCHES) for scope in call["budgets"]],
        )
    connection.execute("DELETE FROM in_flight WHERE key = ?", (key,))
    connection.execute("DELETE FROM reserved WHERE key = ?", (key,))


def book_lost(connection: sqlite3.Connection, key: str, call: Mapping[str, Any], reason: str) -> None:
    """Book the worst case of a call that may have been billed although its answer did not arrive."""
    at = datetime.now(UTC).isoformat(timespec="seconds")
    names = ("gen_id", "model_id", "spec", "run", "tokens", "usd")
    connection.execute(
        "INSERT INTO lost (at, key, gen_id, model_id, spec, run, tokens, cost_usd, reason) "
        "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (at, key, *(call[name] for name in names), reason),
    )
    add_spent(connection, call["scopes"], call["usd"], call["tokens"])


def lose(connection: sqlite3.Connection, key: str, call: Mapping[str, Any], reason: str) -> None:
    """Book a lost call that may be repeated: its worst case takes the place of its reservation, so the repetition has
    to `reserve` again."""
    book_lost(connection, key, call, reason)
    connection.execute("DELETE FROM reserved WHERE key = ?", (key,))


def bury_dead(connection: sqlite3.Connection, store: Path) -> bool:
    """End the claims of dead processes, and of batches that have no file any more; their calls may have been billed.
    Whether there were any."""
    own_name(store)
    owners = [owner for (owner,) in connection.execute("SELECT DISTINCT owner FROM in_flight")]
    dead = [owner for owner in owners if not is_alive(store, owner)]
    for owner in dead:
        reason = "the file of its batch was deleted" if is_batch_name(owner) else "the process was killed"
        for key, text in connection.execute("SELECT key, call FROM in_flight WHERE owner = ?", (owner,)).fetchall():
            call = json.loads(text)
            if call["bills"]:
                book_lost(connection, key, call, reason)
            release(connection, key)
    remove_dead(store)
    return bool(dead)
