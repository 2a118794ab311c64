"""Variants in which independent calls run at the same time, in threads or, for pure functions, in processes.

Results are taken in the original's order, so an exception is raised at the same place. The analysis decides what may
run early; this operator permits nothing more. Threads claim to be safe. Processes do not: a value may not be picklable.
"""

import ast
import builtins
import re
from collections.abc import Sequence
from functools import partial
from itertools import pairwise
from typing import NamedTuple

from ...pyanalysis import syntax
from ...pyanalysis.analysis import Analysis, Step, independent_groups
from ...pyanalysis.syntax import Code
from ..procedure import Procedure
from . import Variation

VERSION = 1

# Code with these names may depend on its thread or process.
_BOUND = re.compile(
    r"\b(?:threading|contextvars|asyncio|signal|decimal|locals|vars|_getframe|stack|currentframe|exc_info)\b"
)
_UNMOVABLE = (ast.NamedExpr, ast.Yield, ast.YieldFrom, ast.Await)
_PICKLABLE = {"str", "int", "float", "bool", "bytes"}


class _Job(NamedTuple):
    """A step that can run in a pool, its assignment, and the position of its text."""

    step: Step
    statement: ast.Assign | ast.AnnAssign
    lines: tuple[int, int]
    works: bool
    pure: bool


def variations(procedure: Procedure, analysis: Analysis) -> list[Variation]:
    """Whole groups before pairs, groups with effects first."""
    if _BOUND.search(procedure.source):
        return []
    code = syntax.read_code(procedure.source, procedure.entry)
    jobs = _jobs(code, analysis)
    groups: dict[tuple[str, ...], list[_Job]] = {}
    for group in independent_groups(analysis):
        candidates = [jobs[name] for name in group if name in jobs]
        for members in (candidates, *map(list, pairwise(candidates))):
            members = _together(analysis, members)
            if len(members) > 1:
                groups.setdefault(tuple(job.step.step_id for job in members), members)
    ranked = sorted(
        groups.values(), key=lambda g: (-sum(j.works for j in g), -len(g), g[0].step.start, g[-1].step.start)
    )
    return [_variation(code, analysis, chosen) for chosen in ranked]


def _jobs(code: Code, analysis: Analysis) -> dict[str, _Job]:
    """The steps to run in a pool, by id: variables set to the result of a call, except calls of builtins."""
    lines = syntax.own_lines(code, analysis)
    jobs = {}
    for line, step in syntax.steps_by_line(code, analysis).items():
        statement = code.statements.get(line)
        # "x" and "f" mark an except or finally, in which the current thread knows the exception
        if (
            step.step_id not in lines
            or set("xf") & set(step.step_id)
            or not isinstance(statement, ast.Assign | ast.AnnAssign)
        ):
            continue
        targets = statement.targets if isinstance(statement, ast.Assign) else [statement.target]
        names = [part for target in targets for part in getattr(target, "elts", [target])]
        call = statement.value
        simple = len(targets) == 1 and isinstance(call, ast.Call) and all(isinstance(n, ast.Name) for n in names)
        if not simple or any(isinstance(node, _UNMOVABLE) for node in ast.walk(statement)):
            continue
        root = syntax.name_of(call.func).partition(".")[0]
        if step.effects or (root and root not in dir(builtins)):
            pure = not step.effects and not step.may_raise and _picklable(code, call)
            jobs[step.step_id] = _Job(step, statement, lines[step.step_id], bool(step.effects), pure)
    return jobs


def _picklable(code: Code, call: ast.Call) -> bool:
    """Whether a call is a plain function of the module with constants and plain parameters of the entry."""
    functions = {node.name for node in code.tree.body if isinstance(node, ast.FunctionDef) and not node.decorator_list}
    plain = {
        node.arg
        for node in ast.walk(code.entry.args)
        if isinstance(node, ast.arg) and node.annotation and ast.unparse(node.annotation) in _PICKLABLE
    }
    values = [*call.args, *(keyword.value for keyword in call.keywords if keyword.arg)]
    return (
        isinstance(call.func, ast.Name)
        and call.func.id in functions
        and code.bindings[call.func.id] == 1
        and len(values) == len(call.args) + len(call.keywords)
        and all(isinstance(v, ast.Constant) or (isinstance(v, ast.Name) and v.id in plain) for v in values)
    )


def _together(analysis: Analysis, jobs: Sequence[_Job]) -> list[_Job]:
    """The first of these jobs of a block, and those that can be moved up to it, past all steps in between."""
    chosen = list(jobs[:1])
    names = [step.step_id for step in analysis.blocks[chosen[0].step.block]] if chosen else []
    for job in jobs[1:]:
        between = names[names.index(chosen[0].step.step_id) : names.index(job.step.step_id)]
        passed = set(between) - {other.step.step_id for other in chosen}
        if not any(analysis.graph.has_edge(name, job.step.step_id) for name in passed):
            chosen.append(job)
    return chosen


def _variation(code: Code, analysis: Analysis, jobs: list[_Job]) -> Variation:
    processes = all(job.pure for job in jobs)
    lines = ",".join(str(job.statement.lineno) for job in jobs)
    where = "processes" if processes else "threads"
    site = f"{lines} in {where}" if len(lines) <= 60 else f"{lines[:50]}... ({len(jobs)}) in {where}"
    return Variation(
        site=site,
        description=f"lines {lines.replace(',', ', ')} run at the same time, in {where}",
        make=partial(_made, code, jobs, "ProcessPoolExecutor" if processes else "ThreadPoolExecutor"),
        safe=not processes,
    )


def _made(code: Code, jobs: list[_Job], executor: str) -> str:
    executor, executor_import = syntax.bring(code, "concurrent.futures", executor)
    pool = code.fresh("pool")
    indent, unit = code.indent(jobs[0].statement), code.indent(code.entry.body[0])
    submits, results = [], []
    for job in jobs:
        statement, call = job.statement, job.statement.value
        target = min(syntax.bound_names([statement]))
        future = code.fresh(f"{target}_future")
        start, end = code.span(statement)
        value_start, value_end = code.span(call)
        remarks = code.text[job.lines[0] : code.line_start(statement.lineno)].split("\n")[:-1]
        trailing = code.text[end : code.lines(statement)[1]].strip()
        submits += [f"{indent}{unit}{remark.strip()}".rstrip() for remark in remarks]
        submit = f"{indent}{unit}{future} = {pool}.submit({_work(code, call)})"
        submits.append(f"{submit}  {trailing}" if trailing else submit)
        before, after = code.text[start:value_start], code.text[value_end:end]
        results.append(f"{indent}{unit}{before}{future}.result(){after}")
    opening = f"{indent}with {executor}(max_workers={len(jobs)}) as {pool}:"
    block = "\n".join([opening, *submits, *results]) + "\n"
    (first_start, first_end), *others = [job.lines for job in jobs]
    edits = [(first_start, first_end, block), *((start, end, "") for start, end in others)]
    return syntax.edited(code, [*edits, *syntax.import_edits(code, [executor_import])], "parallelise")


def _work(code: Code, call: ast.Call) -> str:
    """The arguments of `submit`: function and arguments if they are plain, so that nothing can fail or change before
    the call; else the call as a lambda."""
    values = [*call.args, *(keyword.value for keyword in call.keywords)]
    if isinstance(call.func, ast.Name) and all(isinstance(v, ast.Name | ast.Constant) for v in values):
        arguments = code.text[code.span(call.func)[1] : code.span(call)[1]].partition("(")[2][:-1]
        return f"{call.func.id}, {arguments}" if values else call.func.id
    return f"lambda: {code.of(call)}"
