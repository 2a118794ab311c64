"""Variants in which a new parameter of the entry can skip a step; its default keeps the step."""

import ast
import io
import re
import tokenize
from collections import Counter
from collections.abc import Iterator
from functools import partial
from typing import NamedTuple

from ...pyanalysis import syntax
from ...pyanalysis.analysis import Analysis
from ...pyanalysis.syntax import Code, Edit
from ..procedure import Procedure
from . import Variation

VERSION = 1

_COMPOUND = (ast.If, ast.For, ast.While, ast.With, ast.Try, ast.Match)
_LEAVES = (ast.Raise, ast.Return, ast.Continue, ast.Break)
_FRAME = {"locals", "vars", "dir", "eval", "exec"}
_PAUSES = (ast.Yield, ast.YieldFrom, ast.Await)


class _Step(NamedTuple):
    """A statement that can be skipped, its rank (0 is best), and its name."""

    statement: ast.stmt
    rank: int
    name: str


def variations(procedure: Procedure, analysis: Analysis) -> list[Variation]:
    """Calls made for their effect first, then checks, then other compound steps, then calls whose value is used."""
    code = syntax.read_code(procedure.source, procedure.entry)
    effects = {line: step.effects for line, step in syntax.steps_by_line(code, analysis).items()}
    steps = [step for statement in code.statements.values() for step in _steps(statement)]
    steps.sort(key=lambda step: (step.rank, not effects.get(step.statement.lineno), step.statement.lineno))
    # **kwargs may already accept such a keyword with another meaning; a frame shows all parameters
    safe = code.entry.args.kwarg is None and not _FRAME & code.names
    reads = _reads(code.entry)
    return [_variation(code, step, _unset(code, step.statement, reads), safe) for step in steps]


def _variation(code: Code, step: _Step, unset: list[str], safe: bool) -> Variation:
    parameter = code.fresh(f"skip_{step.name}")
    description = f"line {step.statement.lineno} can be left out by {parameter}=True"
    return Variation(
        site=f"{code.position(step.statement)} {parameter}",
        description=description + (f" ({', '.join(unset)} is None then)" if unset else ""),
        make=partial(_made, code, step.statement, parameter, unset),
        safe=safe,
        adds=(parameter,),
    )


def _steps(statement: ast.stmt) -> Iterator[_Step]:
    if any(isinstance(node, (*_PAUSES, ast.Global, ast.Nonlocal)) for node in ast.walk(statement)):
        return
    if isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Call):
        yield _Step(statement, 0, _call(statement))
    elif isinstance(statement, ast.Assert) or (
        isinstance(statement, ast.If) and not statement.orelse and isinstance(statement.body[-1], _LEAVES)
    ):  # a check
        yield _Step(statement, 1, f"{_first_name(statement.test)}_check")
    elif isinstance(statement, _COMPOUND):
        if not any(isinstance(node, ast.Return) for node in ast.walk(statement)):
            yield _Step(statement, 2, _compound(statement))
    elif isinstance(statement, ast.Assign | ast.AnnAssign | ast.AugAssign) and statement.value:
        targets = statement.targets if isinstance(statement, ast.Assign) else [statement.target]
        if _call(statement) and all(isinstance(target, ast.Name) for target in targets):
            yield _Step(statement, 3, _word(targets[0].id))


def _compound(statement: ast.stmt) -> str:
    if isinstance(statement, ast.For):
        return f"{_first_name(statement.target)}_loop"
    if isinstance(statement, ast.If | ast.While):
        return f"{_first_name(statement.test)}_{type(statement).__name__.lower()}"
    if isinstance(statement, ast.Match):
        return f"{_first_name(statement.subject)}_match"
    return _call(statement) or type(statement).__name__.lower()


def _call(statement: ast.stmt) -> str:
    """The name of the first call in a statement, such as `save`, `time_sleep`, `rows_append`; "" for none."""
    for node in ast.walk(statement):
        if isinstance(node, ast.Call):
            whole = syntax.name_of(node.func)
            last = node.func.attr if isinstance(node.func, ast.Attribute) else "call"
            return _word("_".join(whole.split(".")[-2:]) if whole else last)
    return ""


def _first_name(node: ast.expr) -> str:
    names = [inner.id for inner in ast.walk(node) if isinstance(inner, ast.Name)]
    return _word(names[0]) if names else "step"


def _word(name: str) -> str:
    return re.sub(r"[^0-9A-Za-z]+", "_", name).strip("_").lower()[:30] or "step"


def _reads(node: ast.AST) -> Counter[str]:
    """The number of reads of each name."""
    names = (inner for inner in ast.walk(node) if isinstance(inner, ast.Name) and isinstance(inner.ctx, ast.Load))
    return Counter(name.id for name in names)


def _unset(code: Code, statement: ast.stmt, reads: Counter[str]) -> list[str]:
    """The names that only this statement binds and that are read elsewhere: without it they need a value."""
    bound = syntax.bound_names([statement])
    inside = _reads(statement) if bound else {}
    needed = {name for name in bound if reads[name] > inside.get(name, 0)}
    return sorted(needed - syntax.surely_bound(code, statement)) if needed else []


def _made(code: Code, statement: ast.stmt, parameter: str, unset: list[str]) -> str:
    indent, unit = code.indent(statement), code.indent(code.entry.body[0])
    start, end = code.lines(statement)
    lines = f"{indent}if not {parameter}:\n" + syntax.reindented(code.text[start:end], indent, unit)
    if unset:
        lines = lines.removesuffix("\n") + f"\n{indent}else:\n{indent}{unit}{' = '.join(unset)} = None\n"
    return syntax.edited(code, [(start, end, lines), *_new_parameter(code, parameter)], "conditional")


def _new_parameter(code: Code, name: str) -> list[Edit]:
    """Edits that add a keyword-only parameter, False by default, before **kwargs or at the end."""
    arguments = code.entry.args
    annotated = any(isinstance(node, ast.arg) and node.annotation for node in ast.walk(arguments))
    new = f"{name}: bool = False" if annotated else f"{name}=False"
    star = [] if arguments.vararg or arguments.kwonlyargs else ["*"]
    if arguments.kwarg:
        place = code.text.rindex("**", 0, code.span(arguments.kwarg)[0])
        before = code.text[code.text.rindex("\n", 0, place) + 1 : place] if "\n" in code.text[:place] else "def"
        behind = ", " if before.strip() else f",\n{before}"
        return [(place, place, "".join(part + behind for part in [*star, new]))]
    last, last_end, close = _header_end(code)
    if last != "(" and "\n" in code.text[last_end:close]:
        # one parameter per line, and `)` on its own line
        line = code.text.rindex("\n", 0, last_end) + 1
        indent = code.text[line : len(code.text) - len(code.text[line:].lstrip())]
        place = code.text.rindex("\n", 0, close) + 1
        lines = "".join(f"{indent}{part},\n" for part in [*star, new])
        return [(last_end, last_end, "" if last == "," else ","), (place, place, lines)]
    before = {"(": "", ",": " "}.get(last, ", ")
    return [(last_end, last_end, before + ", ".join([*star, new]))]


def _header_end(code: Code) -> tuple[str, int, int]:
    """The last token in the parentheses of the entry's definition (maybe the opening one), its end, and the position of
    the closing parenthesis."""
    start = code.span(code.entry)[0]
    depth = 0
    last, last_end = "", 0
    for token in tokenize.generate_tokens(io.StringIO(code.text[start:]).readline):
        if token.type in (tokenize.NL, tokenize.COMMENT):
            continue
        depth += (token.string in ("(", "[", "{")) - (token.string in (")", "]", "}"))
        row, column = token.end
        end = code.line_start(code.entry.lineno + row - 1) + column
        if token.string == ")" and not depth:
            return last, last_end, end - 1
        last, last_end = token.string, end
    raise AssertionError("a definition has parentheses")
