"""Budgets that cannot be overspent, across threads, processes and nodes.

Before a call, the most that it and the attempts after it can cost is reserved in every budget that covers it; when the
answer is stored, what it did cost takes the place of the reservation. A call is refused if the budget cannot hold it
even if all other calls in flight cost nothing; it waits if only their reservations are in the way. If a budget can hold
the call and not the attempts that may follow, the call waits until no other is in flight, and only it is reserved.

The same table says which questions are in flight, so no two threads or processes ask one question at a time.
"""

import json
import math
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ..routing.atp import atp_cost, words_of
from .database import insert, query_json
from .model import SAMPLES_PER_REPLICATE, Generation, Question
from .models import Model
from .prices import most_costs
from .processes import is_alive, is_batch_name, own_name, remove_dead
from .store import DAY, MONTH, Answer, Entry, add_spent, book, put_answers
from .tokens import most_prompt_tokens

TOOL_TOKENS = 600  # that Anthropic adds to a request that enforces a schema, at most
DOLLAR_DIGITS = 9
ATP_DIGITS = 6
BATCHES = "batches"  # the name under which all questions in batches are reserved together
Size = tuple[float, int, float]  # US dollars, tokens and ATP
EMPTY: Size = (0.0, 0, 0.0)

_IN = "IN (SELECT value FROM json_each(?))"
ANSWERED = f"SELECT json_group_array(key) FROM answers WHERE key {_IN}"  # noqa: S608
_HELD = f"""
    SELECT json_group_array(json_array(key, owner, json_extract(call, '$.batch'))) FROM in_flight WHERE key {_IN}
"""  # noqa: S608
_SPENT = f"SELECT json_group_array(json_array(scope, usd, tokens, atp)) FROM spent WHERE scope {_IN}"  # noqa: S608
_RESERVED = f"""
    SELECT json_group_array(json_array(scope, usd, tokens, atp)) FROM (
        SELECT scope, total(usd) AS usd, total(tokens) AS tokens, total(atp) AS atp FROM reserved
        WHERE scope {_IN} AND key != ? GROUP BY scope
    )
"""  # noqa: S608
_IN_BATCHES = f"""
    SELECT json_group_array(json_array(scope, usd, tokens, atp)) FROM reserved WHERE scope {_IN} AND key = ?
"""  # noqa: S608
_INSERT_RESERVED = "INSERT INTO reserved (scope, key, usd, tokens, atp)"
_ADD_RESERVED = (
    "ON CONFLICT (scope, key) DO UPDATE SET "
    "usd = usd + excluded.usd, tokens = tokens + excluded.tokens, atp = atp + excluded.atp"
)


@dataclass(frozen=True)
class Budget:
    """A cap on everything in a scope, in US dollars, tokens or ATP (None: no cap); `key` is where the user has set
    it."""

    scope: str
    key: str
    usd: float | None = None
    tokens: int | None = None
    atp: float | None = None


@dataclass(frozen=True)
class Deadline:
    """The time in ISO 8601 after which no call may end, the seconds that a call is expected to take, and what to say
    of it: where the user has set it."""

    until: str
    call_s: float
    key: str

    @property
    def left_s(self) -> float:
        """The seconds until then."""
        return (datetime.fromisoformat(self.until) - datetime.now(UTC)).total_seconds()


@dataclass(frozen=True)
class Labels:
    """What a call belongs to: family (its key in config.yaml), spec and quality tier, for the ledger; and the scopes of
    the budgets that cover it, except those of the time. No call may end after `time`, if there is one."""

    family: str = ""
    spec: str = ""
    tier: str = ""
    scopes: Sequence[str] = ()
    time: "Deadline | None" = None


@dataclass(frozen=True)
class WorstCase:
    """The most that a call can cost: `tokens`, `usd` and `atp` for it alone, `all_tokens`, `all_usd` and `all_atp` with
    the attempts that may follow."""

    tokens: int
    usd: float
    all_tokens: int
    all_usd: float
    atp: float = 0.0
    all_atp: float = 0.0

    @property
    def size(self) -> Size:
        """The call alone."""
        return self.usd, self.tokens, self.atp

    def times(self, factor: float) -> "WorstCase":
        """The same, if the server bills so many times what a request allows."""
        tokens, all_tokens = (math.ceil(tokens * factor) for tokens in (self.tokens, self.all_tokens))
        return replace(self, tokens=tokens, usd=self.usd * factor, all_tokens=all_tokens, all_usd=self.all_usd * factor)

    @property
    def whole_size(self) -> Size:
        """The call with the attempts that may follow."""
        return self.all_usd, self.all_tokens, self.all_atp


NOTHING = WorstCase(0, 0.0, 0, 0.0)


@dataclass(frozen=True)
class Claim:
    """A question that this process may ask, and the budgets that cover it. `call` is what the store notes of the call
    while it is in flight. `alone`: the budgets need not hold the attempts that may follow."""

    key: str
    worst: WorstCase
    budgets: Sequence[Budget]
    call: Mapping[str, Any]
    alone: bool = False


def covering(budgets: Iterable[Budget], scopes: Sequence[str]) -> list[Budget]:
    """The budgets that cover these scopes, each with the scope of the day or month that it stands for."""
    return [
        replace(budget, scope=scope)
        for budget in budgets
        for scope in scopes
        if scope == budget.scope or (budget.scope in (DAY, MONTH) and scope.startswith(budget.scope))
    ]


def question_atp(question: Question, model: Model) -> float:
    """The ATP of an answer to a question, which is known before the call."""
    return round(atp_cost(model.atp, words_of(question.messages)), 6)


def worst_case(question: Question, generation: Generation, model: Model, *, batch: bool = False) -> WorstCase:
    """The most that a question can cost, in tokens, in US dollars (0 if the price is unknown) and in ATP. The attempts
    that follow one in a `batch` are in later batches, and reserved then."""
    prompt = most_prompt_tokens(question.messages, question.response_format)
    prompt += TOOL_TOKENS if question.response_format else 0
    number = question.sample % SAMPLES_PER_REPLICATE
    left = 1 if batch else generation.max_attempts - number % generation.max_attempts
    limit = question.sampling["max_tokens"]
    answers = [model.most_answer(most) for most in model.answer_limits(limit, left)]
    usd = [most or 0.0 for most in most_costs(model, prompt, answers, batch)]
    atp = question_atp(question, model)
    return WorstCase(prompt + answers[0], usd[0], prompt * left + sum(answers), sum(usd), atp, atp * left)


class Totals:
    """What is spent and reserved in scopes.

    A batch takes hours, so nobody waits for its reservations: they count as spent until it is collected.
    """

    def __init__(self, connection: sqlite3.Connection, scopes: Iterable[str]) -> None:
        scopes = sorted(set(scopes))
        self.spent: dict[str, Size] = dict.fromkeys(scopes, EMPTY)
        self.reserved: dict[str, Size] = dict.fromkeys(scopes, EMPTY)
        if scopes:
            for scope, *size in query_json(connection, _SPENT, scopes):
                self.spent[scope] = tuple(size)
            for scope, *size in query_json(connection, _RESERVED, scopes, BATCHES):
                self.reserved[scope] = tuple(size)
            for scope, *size in query_json(connection, _IN_BATCHES, scopes, BATCHES):
                self.spent[scope] = _sum(self.spent[scope], size)

    def size(self, claim: Claim) -> Size | str | Budget:
        """What to reserve; "full" if reservations have to be waited for; "last" if the budgets hold only this call, and
        no other is in flight; or the budget that refuses the call."""
        worst = claim.worst
        problem = self.problem(claim, worst.whole_size)
        if not isinstance(problem, Budget):
            return problem or worst.whole_size
        alone = self.problem(claim, worst.size)
        if isinstance(alone, Budget):
            return alone
        # Calls that have begun come first: they may need the rest for the attempts that follow.
        if any(self.reserved[budget.scope] != EMPTY for budget in claim.budgets):
            return "full"
        return worst.size if claim.alone else "last"

    def problem(self, claim: Claim, size: Size) -> str | Budget:
        """The budget that cannot hold a call of this size; "full" if one can hold it later; else ""."""
        full = ""
        for budget in claim.budgets:
            with_call = _sum(self.spent[budget.scope], size)
            if _exceeds(budget, with_call):
                return budget
            if _exceeds(budget, _sum(with_call, self.reserved[budget.scope])):
                full = "full"
        return full

    def reserve(self, claim: Claim, size: Size, *, in_batch: bool) -> None:
        """Add the reservation of a call."""
        totals = self.spent if in_batch else self.reserved
        for budget in claim.budgets:
            totals[budget.scope] = _sum(totals[budget.scope], size)


def claim_all(store: Path, connection: sqlite3.Connection, claims: Sequence[Claim]) -> list[str | Budget]:
    """Claim questions and reserve their worst cases. Returns for each:

    "claimed"; "answered" if the store has the answer by now; "busy" if another call asks this question; "full" or
    "last" if it has to wait for other calls (see `Totals.size`); "batched" if it is in a batch or a queue for one; or
    the budget that refuses it.
    """
    keys = [claim.key for claim in claims]
    answered = set(query_json(connection, ANSWERED, keys))
    held = {key: (owner, in_batch) for key, owner, in_batch in query_json(connection, _HELD, keys)}
    if any(not is_alive(store, owner) for owner, _ in held.values()):
        end_dead_claims(connection, store)
        held = {key: holder for key, holder in held.items() if is_alive(store, holder[0])}
    scopes = [budget.scope for claim in claims for budget in claim.budgets]
    totals, may_end = Totals(connection, scopes), True
    results: list[str | Budget] = []
    new: list[tuple[str, str, str]] = []
    reserved: list[tuple[str, str, float, int, float]] = []
    for claim in claims:
        if claim.key in answered:
            results.append("answered")
        elif claim.key in held:
            results.append("batched" if held[claim.key][1] else "busy")
        else:
            size = totals.size(claim)
            if size == "full" and may_end:
                may_end = False
                if not reserved and end_dead_claims(connection, store):
                    totals = Totals(connection, scopes)
                    size = totals.size(claim)
            if isinstance(size, str | Budget):
                results.append(size)
                continue
            in_batch = claim.call["batch"]
            totals.reserve(claim, size, in_batch=in_batch)
            held[claim.key] = (own_name(store), in_batch)
            own = [budget.scope for budget in claim.budgets]
            kept = dict(zip(("reserved_usd", "reserved_tokens", "reserved_atp"), size, strict=True))
            note = {**claim.call, **kept, "budgets": own}
            new.append((claim.key, own_name(store), json.dumps(note)))
            reserved += [(scope, BATCHES if in_batch else claim.key, *size) for scope in own]
            results.append("claimed")
    insert(connection, "INSERT INTO in_flight", new)
    insert(connection, _INSERT_RESERVED, reserved, _ADD_RESERVED)
    return results


def reserve(connection: sqlite3.Connection, store: Path, claim: Claim) -> Size | str | Budget:
    """Reserve the worst case of a call that is repeated; or "full" if the call has to wait for
    other reservations; or the budget that refuses it."""
    scopes = [budget.scope for budget in claim.budgets]
    size = Totals(connection, scopes).size(claim)
    if size == "full" and end_dead_claims(connection, store):
        size = Totals(connection, scopes).size(claim)
    if isinstance(size, tuple):
        insert(connection, _INSERT_RESERVED, [(scope, claim.key, *size) for scope in scopes], _ADD_RESERVED)
    return size


def _sum(first: Sequence[float], second: Sequence[float]) -> Size:
    return first[0] + second[0], first[1] + second[1], first[2] + second[2]


def _exceeds(budget: Budget, size: Size) -> bool:
    usd, tokens, atp = size
    over_usd = budget.usd is not None and round(usd, DOLLAR_DIGITS) > budget.usd
    over_atp = budget.atp is not None and round(atp, ATP_DIGITS) > budget.atp
    return over_usd or over_atp or (budget.tokens is not None and tokens > budget.tokens)


def release(connection: sqlite3.Connection, key: str) -> None:
    """End a claim and its reservations."""
    found = connection.execute("SELECT call FROM in_flight WHERE key = ?", (key,)).fetchone()
    call = json.loads(found[0]) if found else {}
    if call.get("batch"):
        connection.executemany(
            "UPDATE reserved SET usd = max(0, usd - ?), tokens = max(0, tokens - ?), atp = max(0, atp - ?) "
            "WHERE scope = ? AND key = ?",
            [
                (call["reserved_usd"], call["reserved_tokens"], call.get("reserved_atp", 0), scope, BATCHES)
                for scope in call["budgets"]
            ],
        )
    connection.execute("DELETE FROM in_flight WHERE key = ?", (key,))
    connection.execute("DELETE FROM reserved WHERE key = ?", (key,))


def settle_all(connection: sqlite3.Connection, rows: Sequence[tuple[Answer, Entry]]) -> list[None]:
    """Store answers, book them, and end their claims, which are not those of batches."""
    put_answers(connection, [answer for answer, _ in rows])
    book(connection, [entry for _, entry in rows])
    keys = json.dumps([key for (key, _, _), _ in rows])
    connection.execute(f"DELETE FROM in_flight WHERE key {_IN}", (keys,))  # noqa: S608
    connection.execute(f"DELETE FROM reserved WHERE key {_IN}", (keys,))  # noqa: S608
    return [None] * len(rows)


def settle_unclaimed(connection: sqlite3.Connection, rows: Sequence[tuple[Answer, Entry]]) -> list[bool]:
    """Store and book answers to questions that nobody had to claim. Returns for each whether it is the first answer to
    its question; further ones are dropped."""
    answered = set(query_json(connection, ANSWERED, [key for (key, _, _), _ in rows]))
    new = {answer[0]: (answer, entry) for answer, entry in rows if answer[0] not in answered}
    if new:
        put_answers(connection, [answer for answer, _ in new.values()])
        book(connection, [entry for _, entry in new.values()])
    return [new.get(answer[0], (None,))[0] is answer for answer, _ in rows]


def book_lost(connection: sqlite3.Connection, key: str, call: Mapping[str, Any], reason: str) -> None:
    """Book the worst case of a call that may have been billed although its answer did not arrive."""
    at = datetime.now(UTC).isoformat(timespec="seconds")
    names = ("gen_id", "model_id", "spec", "run", "tokens", "usd")
    atp = call.get("atp", 0)  # that processes of earlier versions do not know
    connection.execute(
        "INSERT INTO lost (at, key, gen_id, model_id, spec, run, tokens, cost_usd, reason, atp) "
        "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (at, key, *(call[name] for name in names), reason, atp),
    )
    add_spent(connection, dict.fromkeys(call["scopes"], (call["usd"], call["tokens"], atp)))


def lose(connection: sqlite3.Connection, claim: Claim, reason: str) -> None:
    """Book a lost call that may be repeated: its worst case takes the place of its reservation, so the repetition has
    to `reserve` again."""
    book_lost(connection, claim.key, claim.call, reason)
    connection.execute("DELETE FROM reserved WHERE key = ?", (claim.key,))


def end_dead_claims(connection: sqlite3.Connection, store: Path) -> bool:
    """End the claims of dead processes, and of batches that have no file any more; their calls may have been billed.
    Returns whether there were any."""
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
