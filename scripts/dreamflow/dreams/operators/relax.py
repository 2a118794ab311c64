"""Constraints of a procedure that a model is to violate: one constraint at one place per prompt.

The constraints are the original's: the order of steps, the necessity of a step, error handling, timing and resources.
"""

import ast
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import chain, zip_longest
from typing import NamedTuple

from ...files import read_table
from ...pyanalysis.analysis import Analysis, Step
from ...pyanalysis.syntax import Code, name_of, read_code, steps_by_line
from ..procedure import Procedure

_LONGEST = 70  # characters of a line that a request quotes

_LOOPS = (ast.For, ast.While, ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)
_BLOCKS = (ast.If, ast.For, ast.While, ast.With, ast.Try, ast.Match, ast.FunctionDef, ast.ClassDef)
_ASSIGNMENTS = (ast.Assign, ast.AnnAssign, ast.AugAssign)
_WHOLE = {"read", "readlines", "read_text", "read_bytes", "splitlines", "load", "loads", "list", "sorted", "copytree"}
_GROWING = {"append", "add", "extend", "insert", "setdefault", "update"}


@dataclass(frozen=True)
class Relaxation:
    """One constraint to violate at one place. `request` is the sentence in the prompt, `lines` are the first and the
    last line of the statement."""

    site: str
    constraint: str
    place: str
    request: str
    lines: tuple[int, int]


class _Candidate(NamedTuple):
    """A place with its rank: the lowest is the most promising. `request` is the key of a text in relax.yaml."""

    rank: int
    statement: ast.stmt
    request: str
    suffix: str = ""  # of the site
    values: Mapping[str, str | int] = {}  # for the text, besides the place


def sites(procedure: Procedure, analysis: Analysis) -> list[Relaxation]:
    """All places: the best of each constraint first, then the second best of each."""
    code = read_code(procedure.source, procedure.entry)
    requests = read_table(__file__, "relax.yaml")
    steps = steps_by_line(code, analysis)
    statements = [statement for block in code.blocks for statement in block if statement.lineno in steps]
    places = {
        "order": _order(code, analysis, steps, statements),
        "error path": chain.from_iterable(_error_path(code, s, steps[s.lineno]) for s in statements),
        "necessity": chain.from_iterable(_necessity(s, steps[s.lineno]) for s in statements),
        "timing": chain.from_iterable(_timing(s, steps[s.lineno]) for s in statements),
        "resource": chain.from_iterable(_resource(s) for s in statements),
    }
    ranked = []
    for constraint, candidates in places.items():
        by_site = {}
        for candidate in sorted(candidates, key=lambda each: (each.rank, each.statement.lineno, each.suffix)):
            statement = candidate.statement
            site = f"{constraint} {code.position(statement)}{candidate.suffix}"
            where, lines = _place(code, statement), (statement.lineno, statement.end_lineno or statement.lineno)
            request = requests[candidate.request].format(where=where, **candidate.values)
            by_site.setdefault(site, Relaxation(site, constraint, where, request, lines))
        ranked.append(by_site.values())
    return [relaxation for column in zip_longest(*ranked) for relaxation in column if relaxation]


def _place(code: Code, node: ast.stmt | ast.expr) -> str:
    line = code.of(node).partition("\n")[0].rstrip()
    return f"line {node.lineno}: `{line if len(line) <= _LONGEST else line[: _LONGEST - 1] + '…'}`"


def _order(code: Code, analysis: Analysis, steps: dict[int, Step], statements: list[ast.stmt]) -> Iterator[_Candidate]:
    """Steps that need another step's data or effect; steps with effects outside of the process first."""
    known = {steps[statement.lineno].step_id: statement for statement in reversed(statements)}
    for before, after, kinds in analysis.graph.edges(data="kinds"):
        if before not in known or after not in known or not {"data", "effect"} & set(kinds):
            continue
        first, second = known[before], known[after]
        # 0 for a step with effects outside of the process, 1 for a step with a call, 2 for the others
        idle = sum(0 if _outside(steps[s.lineno]) else 1 if _calls(s) else 2 for s in (first, second))
        leaves = isinstance(second, ast.Return | ast.Raise)
        yield _Candidate(idle + 3 * leaves, second, "order", f" before {first.lineno}", {"first": _place(code, first)})


def _outside(step: Step) -> bool:
    return bool({effect.rpartition(":")[2] for effect in step.effects} & {"network", "process", "files"})


def _error_path(code: Code, statement: ast.stmt, step: Step) -> Iterator[_Candidate]:
    if isinstance(statement, ast.Raise):
        yield _Candidate(0, statement, "raise")
    elif isinstance(statement, ast.Try):
        for handler in statement.handlers:
            caught = ast.unparse(handler.type) if handler.type else "any exception"
            values = {"caught": caught, "line": handler.lineno, "reaction": _place(code, handler.body[0])}
            yield _Candidate(1, statement, "handler", f" {caught[:30]}".encode("ascii", "replace").decode(), values)
    elif step.may_raise and step.effects and not isinstance(statement, _BLOCKS):
        yield _Candidate(2, statement, "failure")


def _necessity(statement: ast.stmt, step: Step) -> Iterator[_Candidate]:
    if isinstance(statement, ast.Expr) and (step.effects or _calls(statement)):
        yield _Candidate(0 if step.effects else 2, statement, "step")
    elif isinstance(statement, ast.If | ast.Assert) and any(isinstance(n, ast.Raise) for n in ast.walk(statement)):
        yield _Candidate(1, statement, "check")
    elif isinstance(statement, _ASSIGNMENTS) and _calls(statement):
        yield _Candidate(1 if step.effects else 3, statement, "value")


def _timing(statement: ast.stmt, step: Step) -> Iterator[_Candidate]:
    called = _last_names(statement)
    if isinstance(statement, _BLOCKS):
        return
    if "sleep" in called:
        yield _Candidate(0, statement, "sleep")
    elif _outside(step):
        yield _Candidate(1, statement, "outside")
    elif isinstance(statement, _ASSIGNMENTS) and called:
        yield _Candidate(2, statement, "computed")


def _resource(statement: ast.stmt) -> Iterator[_Candidate]:
    called = _last_names(statement)
    if isinstance(statement, ast.For | ast.While):
        yield _Candidate(0, statement, "loop")
    elif isinstance(statement, _BLOCKS):
        return
    elif called & _WHOLE or any(isinstance(node, _LOOPS) for node in ast.walk(statement)):
        yield _Candidate(1, statement, "memory")
    elif called & _GROWING:
        yield _Candidate(2, statement, "growth")


def _last_names(statement: ast.stmt) -> set[str]:
    return {name.rpartition(".")[2] for name in _calls(statement)}


def _calls(statement: ast.stmt) -> list[str]:
    """The names of the calls in a statement, "?" for a call of an expression without a name."""
    calls = [node.func for node in ast.walk(statement) if isinstance(node, ast.Call)]
    return [name_of(function) or getattr(function, "attr", "?") for function in calls]
