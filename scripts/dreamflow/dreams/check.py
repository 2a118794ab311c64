"""The check of a variant without running it: whether it may be run, and how novel it is."""

import ast
import difflib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from msgspec import Struct
from pyflakes import checker, messages

from ..pyanalysis.analysis import Analysis, analyse
from ..pyanalysis.source import parse_python
from .claims import broken_claim
from .novelty import distance, fingerprint
from .procedure import Procedure

BASE = "base"

_UNDEFINED = (messages.UndefinedName, messages.UndefinedLocal)
_CLAIMING = ("reorder", "parallelise", "conditional")  # the kinds that claim to respect dependences


@dataclass(frozen=True)
class Candidate:
    """A variant before its check. `adds` are the parameters that it declares to add, `site` is where it edits."""

    code: str
    kind: str
    safe: bool
    adds: tuple[str, ...]
    site: str


class Check(Struct, kw_only=True):
    """The check of a variant. Distances are 0-1; they are 0 for code that does not compile.

    `problems` are lines for people; `signature` is "kept", "declared: +skip_save", "added: x=3" or "changed: ...";
    `undefined` are names; `claims` is "verified", "none" or a reason; `duplicate_of` is "base" or the id of the first
    equal variant; `novelty` is the smallest distance to the base and the previous variants, `nearest` the id.
    """

    compiles: bool
    problems: list[str]
    passed: bool
    signature: str
    undefined: list[str] = []
    claims: str = "none"
    duplicate_of: str | None = None
    novelty: float = 0.0
    nearest: str = BASE
    distance_to_base: float = 0.0
    diff: str


class _Base(NamedTuple):
    """The base of the comparison; `undefined` are the names that it does not define either."""

    procedure: Procedure
    analysis: Analysis
    undefined: frozenset[str]


class _Parameter(NamedTuple):
    kind: str
    default: str | None  # normalised source; None without a default


class _Signature(NamedTuple):
    text: str
    problems: list[str]


def check_variants(procedure: Procedure, candidates: Mapping[str, Candidate]) -> dict[str, Check]:
    """The checks of variants by id. Each variant is compared with the base and with the previous variants."""
    base = _Base(
        procedure,
        analyse(procedure.source, procedure.entry, procedure.effects),
        frozenset(_undefined(parse_python(procedure.source))),
    )
    seen = {BASE: procedure.source}
    return {name: _check(base, name, candidate, seen) for name, candidate in candidates.items()}


def _check(base: _Base, name: str, candidate: Candidate, seen: dict[str, str]) -> Check:
    """The check of one variant; adds its code to `seen` (code by id)."""
    procedure = base.procedure
    diff = unified_diff(procedure.source, candidate.code, procedure.procedure_id.removeprefix(f"{procedure.project}."))
    try:
        tree = parse_python(candidate.code)
        compile(tree, f"<{name}>", "exec", dont_inherit=True)
        prints = {fingerprint(source): other for other, source in reversed(seen.items())}
        same = prints.get(fingerprint(candidate.code))
        distances = {other: distance(candidate.code, source) for other, source in seen.items()}
        missing = {word: line for word, line in _undefined(tree).items() if word not in base.undefined}
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        broken = "changed: it does not compile"
        return Check(compiles=False, problems=[_unreadable(error)], passed=False, signature=broken, diff=diff)
    seen[name] = candidate.code
    signature = _signature(procedure, tree, candidate)
    problems = signature.problems + [f"undefined name {word!r} in line {line}" for word, line in missing.items()]
    claims = "none"
    if candidate.kind in _CLAIMING:
        broken = "the entry point is not the same function" if signature.problems else ""
        broken = broken or broken_claim(base.analysis, candidate.code, candidate.kind, candidate.adds)
        claims = broken or "verified"
        problems += [f"its kind keeps all dependences, but {broken}"] if broken else []
    nearest = min(distances, key=lambda other: distances[other])
    return Check(
        compiles=True,
        problems=problems,
        passed=not problems,
        signature=signature.text,
        undefined=list(missing),
        claims=claims,
        duplicate_of=same,
        novelty=round(distances[nearest], 4),
        nearest=nearest,
        distance_to_base=round(distances[BASE], 4),
        diff=diff,
    )


def unified_diff(base: str, variant: str, name: str) -> str:
    """A diff of `<name>.py` that `patch -p1` reads; empty for equal texts."""
    # not splitlines: a form feed ends no line of a patch
    before, after = (re.findall(r"[^\n]*\n|[^\n]+", text) for text in (base, variant))
    lines = difflib.unified_diff(before, after, f"a/{name}.py", f"b/{name}.py")
    return "".join(line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n" for line in lines)


def _unreadable(error: Exception) -> str:
    if isinstance(error, SyntaxError):
        return f"does not compile: line {error.lineno}: {error.msg}"
    if isinstance(error, RecursionError | MemoryError):
        return "does not compile: nested too deeply"
    return f"does not compile: {error}"


def _undefined(tree: ast.Module) -> dict[str, int]:
    """The undefined names, with the first line of each."""
    lines: dict[str, int] = {}
    for message in sorted(checker.Checker(tree).messages, key=lambda message: (message.lineno, message.col)):
        if isinstance(message, _UNDEFINED):
            lines.setdefault(message.message_args[0], message.lineno)
    return lines


def _signature(procedure: Procedure, tree: ast.Module, candidate: Candidate) -> _Signature:
    base = _entry(parse_python(procedure.source), procedure.entry)
    entry = _entry(tree, procedure.entry)
    if not isinstance(entry, ast.FunctionDef):
        kinds = {ast.AsyncFunctionDef: "an async function", ast.ClassDef: "a class", type(None): "missing"}
        what = f"{procedure.entry!r} is {kinds.get(type(entry), 'not a function')}"
        return _Signature(f"changed: {what}", [f"the entry point {what}"])
    before, after = _parameters(base.args), _parameters(entry.args)
    declared = [f"+{name}" for name in candidate.adds]
    changed = _changed_default(candidate)
    if changed in before and changed in after and after[changed].default not in (None, before[changed].default):
        declared.append(f"{changed}={after[changed].default}")
        before[changed] = before[changed]._replace(default=after[changed].default)
    changes = list(_changes(before, after))
    changes += [f"{name} is declared but missing" for name in candidate.adds if name not in after]
    if changes:
        return _Signature(f"changed: {'; '.join(changes)}", [f"signature: {change}" for change in changes])
    free = [name for name in after if name not in before and name not in candidate.adds]
    added = [f"{name}={after[name].default}" if after[name].default else name for name in free]
    parts = [f"declared: {', '.join(declared)}"] if declared else []
    parts += [f"added: {', '.join(added)}"] if added else []
    return _Signature("; ".join(parts) or "kept", [])


def _changed_default(candidate: Candidate) -> str:
    """The parameter that a site such as "12:8 timeout*2" declares to change; empty for other sites."""
    match = re.fullmatch(r"[0-9:]+ (\w+)[*=][0-9.]+", candidate.site)
    return match[1] if match and candidate.kind == "parameters" else ""


def _entry(tree: ast.Module, name: str) -> ast.stmt | None:
    """The last statement at the top level that binds `name`."""
    binding = None
    for node in tree.body:
        bound = [target.id for target in ast.walk(node) if isinstance(target, ast.Name)]
        is_assigned = isinstance(node, ast.Assign | ast.AnnAssign) and name in bound
        if getattr(node, "name", None) == name or is_assigned:
            binding = node
    return binding


def _parameters(arguments: ast.arguments) -> dict[str, _Parameter]:
    """The parameters by name, in order; `*args` and `**kwargs` stand for these two, whatever their names are."""
    positional = [*arguments.posonlyargs, *arguments.args]
    defaults = [None] * (len(positional) - len(arguments.defaults)) + arguments.defaults
    parameters = {}
    for number, (arg, default) in enumerate(zip(positional, defaults, strict=True)):
        kind = "positional-only" if number < len(arguments.posonlyargs) else "positional"
        parameters[arg.arg] = _Parameter(kind, default and ast.unparse(default))
    if arguments.vararg:
        parameters["*args"] = _Parameter("*", None)
    for arg, default in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True):
        parameters[arg.arg] = _Parameter("keyword-only", default and ast.unparse(default))
    if arguments.kwarg:
        parameters["**kwargs"] = _Parameter("**", None)
    return parameters


def _changes(before: Mapping[str, _Parameter], after: Mapping[str, _Parameter]) -> Iterator[str]:
    """The changes that break calls of the original."""
    for name, (kind, default) in before.items():
        if name not in after:
            yield f"{name} is missing"
        elif after[name].kind != kind:
            yield f"{name} is {after[name].kind}, not {kind}"
        elif after[name].default != default:
            yield f"the default of {name} is {after[name].default or 'missing'}, not {default or 'none'}"
    positional = ("positional-only", "positional", "*")
    places = [name for name, parameter in before.items() if parameter.kind in positional and name in after]
    new_places = [name for name in after if name in places]
    if places != new_places:
        yield f"the order is {', '.join(new_places)}, not {', '.join(places)}"
    names = list(after)
    for name, (kind, default) in after.items():
        if name in before or kind in ("*", "**"):
            continue
        if default is None:
            yield f"{name} is new and has no default"
        elif kind in positional and any(other in places for other in names[names.index(name) + 1 :]):
            yield f"{name} is new and comes before {places[-1]}"
