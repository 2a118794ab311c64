"""Variants that survive a failure: a call is retried with exponential back-off, or has an alternative.

A retry waits a random time up to a bound that doubles each time: exponential back-off with "full jitter", as in
M. Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015. Only `Exception`s are caught, not those that
stop a program; the last one is raised again.
"""

import ast
from functools import partial
from itertools import chain, zip_longest

from ...pyanalysis import syntax
from ...pyanalysis.analysis import Analysis, Step
from ...pyanalysis.syntax import Code
from ..procedure import Procedure
from . import Variation

VERSION = 1

ATTEMPTS = 3
FIRST_PAUSE = 0.5  # seconds: the bound of the first pause

# Effects that may fail now and succeed later, the likeliest first.
_RISKS = ("network", "process", "files", "unknown")
# The empty value of each type that a helper can declare; numbers have none.
_EMPTY = {"dict": "{}", "list": "[]", "str": '""', "tuple": "()", "set": "set()", "bool": "False", "bytes": 'b""'}


def variations(procedure: Procedure, analysis: Analysis) -> list[Variation]:
    """Alternately the retries of risky calls and the alternatives to calls that may fail; network calls first."""
    code = syntax.read_code(procedure.source, procedure.entry)
    steps = syntax.steps_by_line(code, analysis)
    fit = [
        (statement, steps[line])
        for line, statement in code.statements.items()
        if line in steps and steps[line].may_raise and _fit(statement)
    ]
    tries = [node for node in ast.walk(code.entry) if isinstance(node, ast.Try) and node.handlers]
    guarded = {line for t in tries for line in range(t.body[0].lineno, (t.body[-1].end_lineno or 0) + 1)}
    fit.sort(key=lambda pair: (pair[0].lineno in guarded, _risk(pair[1]), pair[0].lineno))
    retries = [_retry(code, statement) for statement, step in fit if _risk(step) < len(_RISKS)]
    alternatives = [v for statement, step in fit for v in _alternatives(code, statement, step)]
    return [v for v in chain.from_iterable(zip_longest(retries, alternatives)) if v]


def _fit(statement: ast.stmt) -> bool:
    """Whether a statement is simple, contains a call, and does not suspend the function."""
    simple = isinstance(statement, ast.Expr | ast.Assign | ast.AnnAssign | ast.AugAssign | ast.Return)
    nodes = list(ast.walk(statement)) if simple else []
    pauses = any(isinstance(node, ast.Yield | ast.YieldFrom | ast.Await) for node in nodes)
    return not pauses and any(isinstance(node, ast.Call) for node in nodes)


def _risk(step: Step) -> int:
    kinds = {effect.rpartition(":")[2] for effect in step.effects}
    return next((rank for rank, risk in enumerate(_RISKS) if risk in kinds), len(_RISKS))


def _retry(code: Code, statement: ast.stmt) -> Variation:
    called = _called(statement)
    return Variation(
        site=f"{code.position(statement)} retry {_ascii(called)}",
        description=f"{called} in line {statement.lineno} is tried up to {ATTEMPTS} times with exponential back-off",
        make=partial(_with_retry, code, statement),
    )


def _with_retry(code: Code, statement: ast.stmt) -> str:
    time, time_import = syntax.bring(code, "time")
    random, random_import = syntax.bring(code, "random")
    attempt = code.fresh("attempt")
    unit = code.indent(code.entry.body[0])
    lines = [
        f"for {attempt} in range({ATTEMPTS}):",
        f"{unit}try:",
        _indented(code, statement, unit * 2),
        *([] if isinstance(statement, ast.Return) else [f"{unit * 2}break"]),
        f"{unit}except Exception:",
        f"{unit * 2}if {attempt} == {ATTEMPTS - 1}:",
        f"{unit * 3}raise",
        f"{unit * 2}{time}.sleep({random}.uniform(0, {FIRST_PAUSE} * 2**{attempt}))",
    ]
    return _written(code, statement, lines, [random_import, time_import])


def _alternatives(code: Code, statement: ast.stmt, step: Step) -> list[Variation]:
    called = _called(statement)
    if isinstance(statement, ast.Expr):
        if _risk(step) == len(_RISKS):
            return []
        targets, value, end = [], "", f"goes on without {called}"
    else:
        targets = _names(statement)
        if not targets:
            return []
        value = "" if set(targets) <= syntax.surely_bound(code, statement) else _empty(code, statement)
        names = " and ".join(targets)
        end = f"gives {names} the value {value}" if value else f"leaves {names} as before"
    site = f"else {'='.join([*targets, value])}" if value else f"else go on without {called}"
    return [
        Variation(
            site=f"{code.position(statement)} {_ascii(site)}",
            description=f"a failure in line {statement.lineno} is logged and {end}",
            make=partial(_with_alternative, code, statement, called, targets if value else [], value),
        )
    ]


def _with_alternative(code: Code, statement: ast.stmt, called: str, targets: list[str], value: str) -> str:
    logging, logging_import = syntax.bring(code, "logging")
    unit = code.indent(code.entry.body[0])
    lines = [
        "try:",
        _indented(code, statement, unit),
        "except Exception:",
        f'{unit}{logging}.warning("{called} failed, going on", exc_info=True)',
        *([f"{unit}{' = '.join([*targets, value])}"] if value else []),
    ]
    return _written(code, statement, lines, [logging_import])


def _indented(code: Code, statement: ast.stmt, by: str) -> str:
    """The lines of a statement, moved by `by`, without its first indent."""
    start, end = code.lines(statement)
    indent = code.indent(statement)
    return syntax.reindented(code.text[start:end], indent, by).removesuffix("\n").removeprefix(indent)


def _written(code: Code, statement: ast.stmt, lines: list[str], imports: list[str]) -> str:
    indent = code.indent(statement)
    text = "".join(f"{indent}{line}\n" for line in lines)
    return syntax.edited(code, [(*code.lines(statement), text), *syntax.import_edits(code, imports)], "fallback")


def _names(statement: ast.stmt) -> list[str]:
    """The variables that an assignment binds, if it binds nothing else."""
    if not isinstance(statement, ast.Assign | ast.AnnAssign):
        return []
    targets = statement.targets if isinstance(statement, ast.Assign) else [statement.target]
    flat = [part for target in targets for part in getattr(target, "elts", [target])]
    return [part.id for part in flat] if all(isinstance(part, ast.Name) for part in flat) else []


def _empty(code: Code, statement: ast.Assign | ast.AnnAssign) -> str:
    """The empty value of the type that the called helper declares, else None."""
    value = statement.value
    if isinstance(value, ast.Call) and len(_names(statement)) == 1:
        for node in code.tree.body:
            if isinstance(node, ast.FunctionDef) and node.name == syntax.name_of(value.func) and node.returns:
                return _EMPTY.get(ast.unparse(node.returns).partition("[")[0], "None")
    return "None"


def _called(statement: ast.stmt) -> str:
    """The outermost call of a statement, such as "time.sleep" or "read_text"."""
    call = next(node for node in ast.walk(statement) if isinstance(node, ast.Call))
    return syntax.name_of(call.func) or getattr(call.func, "attr", "the call")


def _ascii(text: str) -> str:
    return text.encode("ascii", "replace").decode()[:50]
