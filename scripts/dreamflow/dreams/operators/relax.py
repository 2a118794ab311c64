"""Constraints of a procedure that a model is asked to violate: one at one place a call, so that nothing is cut off.

The constraints are the original's: the order of steps, that a step is necessary, what happens on an error, when
something happens, and what it takes (resources).
"""

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain, zip_longest
from typing import NamedTuple

from ...pyanalysis.analysis import Analysis, Step
from ...pyanalysis.syntax import Code, name_of, read_code, steps_by_line
from ..procedure import Procedure

_LONGEST = 70  # characters of a line that a request quotes

_LOOPS = (ast.For, ast.While, ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)
_ASSIGNMENTS = (ast.Assign, ast.AnnAssign, ast.AugAssign)
_WHOLE = {"read", "readlines", "read_text", "read_bytes", "splitlines", "load", "loads", "list", "sorted", "copytree"}
_GROWING = {"append", "add", "extend", "insert", "setdefault", "update"}


@dataclass(frozen=True)
class Relaxation:
    """One constraint to violate at one place. `request` is the sentence that a prompt holds, `lines` are the first and
    the last line of the statement."""

    site: str
    constraint: str
    place: str
    request: str
    lines: tuple[int, int]


class _Found(NamedTuple):
    """A place before it is ranked: the lowest rank is the most promising."""

    rank: int
    statement: ast.stmt
    request: str
    more: str = ""  # of the site


def sites(procedure: Procedure, analysis: Analysis) -> list[Relaxation]:
    """All places, the best of each constraint first, then the second best of each."""
    code = read_code(procedure.source, procedure.entry)
    steps = steps_by_line(code, analysis)
    statements = [statement for block in code.blocks for statement in block if statement.lineno in steps]
    found = {
        "order": _order(code, analysis, steps, statements),
        "error path": chain.from_iterable(_error_path(code, s, steps[s.lineno]) for s in statements),
        "necessity": chain.from_iterable(_necessity(code, s, steps[s.lineno]) for s in statements),
        "timing": chain.from_iterable(_timing(code, s, steps[s.lineno]) for s in statements),
        "resource": chain.from_iterable(_resource(code, s) for s in statements),
    }
    ranked = []
    for constraint, places in found.items():
        best = sorted(places, key=lambda place: (place.rank, place.statement.lineno, place.more))
        by_site = {}
        for place in best:
            site = f"{constraint} {code.position(place.statement)}{place.more}"
            where = _place(code, place.statement)
            lines = (place.statement.lineno, place.statement.end_lineno or place.statement.lineno)
            by_site.setdefault(site, Relaxation(site, constraint, where, place.request, lines))
        ranked.append(by_site.values())
    return [relaxation for column in zip_longest(*ranked) for relaxation in column if relaxation]


def _place(code: Code, node: ast.stmt | ast.expr) -> str:
    line = code.of(node).partition("\n")[0].rstrip()
    return f"line {node.lineno}: `{line if len(line) <= _LONGEST else line[: _LONGEST - 1] + '…'}`"


def _order(code: Code, analysis: Analysis, steps: dict[int, Step], statements: list[ast.stmt]) -> Iterator[_Found]:
    """Steps that need another one for its data or its effect, those that deal with the world outside first."""
    known = {steps[statement.lineno].step_id: statement for statement in reversed(statements)}
    for one, other, kinds in analysis.graph.edges(data="kinds"):
        if one not in known or other not in known or not {"data", "effect"} & set(kinds):
            continue
        first, second = known[one], known[other]
        idle = sum(_idleness(steps[statement.lineno], statement) for statement in (first, second))
        leaves = isinstance(second, ast.Return | ast.Raise)
        request = (
            f"The procedure always runs {_place(code, first)} before {_place(code, second)}. Violate that order: let "
            "the second run first, or both at once, and get what it needs from the first in another way: an assumed "
            "value that is corrected afterwards, a value kept from before, or a step that is split."
        )
        yield _Found(idle + 3 * leaves, second, request, f" before {first.lineno}")


def _idleness(step: Step, statement: ast.stmt) -> int:
    """0 for a step that deals with the world outside, 1 for one that calls something, 2 for the others."""
    return 0 if _outside(step) else 1 if _calls(statement) else 2


def _outside(step: Step) -> bool:
    return bool({effect.rpartition(":")[2] for effect in step.effects} & {"network", "process", "files"})


def _error_path(code: Code, statement: ast.stmt, step: Step) -> Iterator[_Found]:
    where = _place(code, statement)
    if isinstance(statement, ast.Raise):
        request = (
            f"On this error the procedure stops: {where}. Violate that: let it go on with what it has, and report the "
            "error in its result or by a warning instead of an exception."
        )
        yield _Found(0, statement, request)
    elif isinstance(statement, ast.Try):
        for handler in statement.handlers:
            caught = ast.unparse(handler.type) if handler.type else "any exception"
            request = (
                f"What happens on {caught} is fixed in line {handler.lineno}. Violate that: react in another way, such "
                "as another source, a repair of the input, a result in part, or an early end, where it now does "
                f"{_place(code, handler.body[0])}."
            )
            yield _Found(1, statement, request, f" {caught[:30]}".encode("ascii", "replace").decode())
    elif step.may_raise and step.effects and not isinstance(statement, _BLOCKS):
        request = (
            f"A failure of this step ends the procedure: {where}. Violate that: let it survive the failure by another "
            "way to the same end, and undo what was done before if there is no other way."
        )
        yield _Found(2, statement, request)


def _necessity(code: Code, statement: ast.stmt, step: Step) -> Iterator[_Found]:
    where = _place(code, statement)
    if isinstance(statement, ast.Expr) and (step.effects or _calls(statement)):
        request = (
            f"This step always runs: {where}. Violate that: do without it, or do it only when something shows that it "
            "is needed, and say in a comment when."
        )
        yield _Found(0 if step.effects else 2, statement, request)
    elif isinstance(statement, ast.If | ast.Assert) and any(isinstance(n, ast.Raise) for n in ast.walk(statement)):
        request = (
            f"This check is always made: {where}. Violate that: do without it and make the steps behind it bear what "
            "it keeps out, or check only where it matters."
        )
        yield _Found(1, statement, request)
    elif isinstance(statement, _ASSIGNMENTS) and _calls(statement):
        request = (
            f"The value of this step is always computed: {where}. Violate that: find the result without it, or compute "
            "it only where it is used for the first time."
        )
        yield _Found(1 if step.effects else 3, statement, request)


def _timing(code: Code, statement: ast.stmt, step: Step) -> Iterator[_Found]:
    where = _place(code, statement)
    called = {name.rpartition(".")[2] for name in _calls(statement)}
    if isinstance(statement, _BLOCKS):
        return
    if "sleep" in called:
        request = (
            f"The procedure waits as long as this says: {where}. Violate that: wait for what it waits for instead, for "
            "a time that follows what was seen so far, or not at all."
        )
        yield _Found(0, statement, request)
    elif _outside(step):
        request = (
            f"This happens when its turn has come: {where}. Violate that: start it earlier, put it off until the "
            "result is asked for, or bound the time that it and all steps like it may take together."
        )
        yield _Found(1, statement, request)
    elif isinstance(statement, _ASSIGNMENTS) and called:
        request = (
            f"This is computed at once and once: {where}. Violate that: compute it when it is needed for the first "
            "time, keep it up to date step by step, or keep it from call to call."
        )
        yield _Found(2, statement, request)


def _resource(code: Code, statement: ast.stmt) -> Iterator[_Found]:
    where = _place(code, statement)
    called = {name.rpartition(".")[2] for name in _calls(statement)}
    if isinstance(statement, ast.For | ast.While):
        request = (
            f"The loop handles one item after the other: {where}. Violate that: handle several at a time, in batches "
            "or with workers, with a bound on how many, and keep the order of the results."
        )
        yield _Found(0, statement, request)
    elif isinstance(statement, _BLOCKS):
        return
    elif called & _WHOLE or any(isinstance(node, _LOOPS) for node in ast.walk(statement)):
        request = (
            f"This holds everything in memory at once: {where}. Violate that: take it piece by piece, so that memory "
            "does not grow with the input."
        )
        yield _Found(1, statement, request)
    elif called & _GROWING:
        request = (
            f"What is collected here grows without a bound: {where}. Violate that: keep only what the result needs, "
            "such as counts, the best few, or a summary."
        )
        yield _Found(2, statement, request)


def _calls(statement: ast.stmt) -> list[str]:
    """The names of the calls in a statement, "?" for a call of something without a name."""
    calls = [node.func for node in ast.walk(statement) if isinstance(node, ast.Call)]
    return [name_of(function) or getattr(function, "attr", "?") for function in calls]


_BLOCKS = (ast.If, ast.For, ast.While, ast.With, ast.Try, ast.Match, ast.FunctionDef, ast.ClassDef)
