"""Parsers of the answers about procedures: a Python module in any wrapping, and a choice among names.

Models wrap code in fences, lists, headings, tags, JSON, listings or interpreter sessions, or do not wrap it. Python
decides: a wrapping is removed if its content parses and defines the entry.
"""

import ast
import builtins
import html
import re
import symtable
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

from ...errors import ConfigError
from ...pyanalysis.source import parse_python
from .base import Options, Parsed, ParseError, drop_thinking, quoted, register
from .fences import OPENING, closes, drop_fence
from .json_text import find_json

_TAG = re.compile(r"<(?P<close>/?)(?P<name>pre|code|python)(?:\s[^<>]{0,200})?>", re.I)
_PROMPT = re.compile(r"[ \t]*(?:>>>|\.\.\.)(?: |$)")
_NUMBER = re.compile(r"(?P<number>[ \t]*(?P<value>\d{1,5})[:|.)│]?)(?P<rest>(?:[ \t│|].*)?)")
_BEGINS = re.compile(r"[A-Za-z_@#\"'(\[]")
_BROKEN = re.compile(r"(?:async[ ]+)?def[ ]+\w+[ ]*\(|class[ ]+\w+[ ]*[:(]|@\w")
_CONTINUES = re.compile(r"[)\]}]|(?:else|elif|except|finally)\b")
# Limits far above any normal answer, since the code below parses many candidates.
_LONGEST = 50_000  # characters of an answer that is not code alone
_MOST_FENCES = 8
_MOST_PIECES = 60  # pieces of a statement that begin in the first column, as "else:" does


@dataclass(frozen=True)
class _Block:
    """A piece of an answer that may be code."""

    code: str
    closed: bool = True


class _NotTheModule(Exception):
    """A piece of text is not the requested module; the message says why."""


@register("code", version=1)
def code(raw: str, options: Options) -> Parsed:
    """The Python module that defines the template's `entry`, in any wrapping."""
    entry = options.get("entry")
    if not entry:
        raise ConfigError("the parser 'code' needs the option 'entry', the name of the function to look for")
    tree = _parses(raw)
    if tree and _defines(tree, entry) is False and all(_is_code(n) for n in tree.body if isinstance(n, ast.Expr)):
        return Parsed(raw if raw.endswith("\n") else raw + "\n", {"blocks": 1})  # the answer is code alone
    text = drop_thinking(raw).replace("\r\n", "\n")
    if not text.strip():
        raise ParseError(f"a Python module that defines {entry!r} was expected, but the answer is empty")
    if len(text) > _LONGEST:
        raise ParseError(f"an answer of {len(text):,} characters is too long to look for {entry!r} in it", text)
    problems: list[tuple[str, str]] = []
    for blocks in _sources(text):
        if chosen := _choose(blocks, entry, problems):
            module, used, warnings = chosen
            return Parsed(module.strip("\n") + "\n", {"blocks": used}, warnings)
    # The longest piece is the most likely to be the intended module.
    problem, where = max(problems, key=lambda problem: len(problem[1]), default=("there is no code", text))
    raise ParseError(f"a Python module that defines the function {entry!r} was expected: {problem}", where)


def _sources(text: str) -> Iterator[list[_Block]]:
    """The pieces of an answer that may be code, by kind of wrapping, the most likely kind first."""
    yield _json_code(text, whole=True)
    lines = text.split("\n")
    fenced = _fenced(lines)
    yield fenced
    yield from ([block] for block in _fenced_wider(lines))
    yield _tagged(text)
    yield _json_code(text, whole=False)
    if fenced:  # the text around fences is not code
        return
    yield [_Block("\n".join(line for line in lines if _PROMPT.match(line)))]
    yield [_Block("\n".join(line for line in lines if _NUMBER.fullmatch(line)))]
    yield [_Block(_statements(textwrap.dedent(text).split("\n")))]


def _fenced(lines: list[str]) -> list[_Block]:
    """The inside of each fence; a fence without an end extends to the end of the answer."""
    blocks, opening, start, tries = [], None, 0, 0
    for number, line in enumerate(lines):
        if opening is None:
            if opening := OPENING.fullmatch(line):
                start = number + 1
        elif closes(line, opening):
            blocks.append(_inside(lines[start:number], opening))
            opening = None
        elif line.rstrip().endswith(opening["marks"]) and tries < _MOST_FENCES:  # "    return x```"
            tries += 1
            block = _inside([*lines[start:number], line.rstrip().removesuffix(opening["marks"])], opening)
            if _parses(block.code):
                blocks.append(block)
                opening = None
    if opening is not None:
        blocks.append(_inside(lines[start:], opening, closed=False))
    return blocks


def _fenced_wider(lines: list[str]) -> Iterator[_Block]:
    """The text from each opening fence to every later closing fence: code may contain documentation with fences."""
    openings = [(number, match) for number, line in enumerate(lines) if (match := OPENING.fullmatch(line))]
    for number, opening in openings[:_MOST_FENCES]:
        closings = [end for end in range(number + 1, len(lines)) if closes(lines[end], opening)]
        for end in closings[1:_MOST_FENCES]:
            yield _inside(lines[number + 1 : end], opening)


def _inside(lines: list[str], opening: re.Match, *, closed: bool = True) -> _Block:
    lead = opening["lead"]
    if ">" in lead:  # a quotation: every line has a mark
        lines = [re.sub(r"^[ \t]*>[ \t]?", "", line) for line in lines]
    elif lead[:1].isspace() or not lead.strip("-*+.)0123456789 \t"):
        # In a list, lines are indented like the fence, or not at all.
        lines = [re.sub(rf"^[ \t]{{0,{len(lead)}}}", "", line) for line in lines]
    return _Block("\n".join(lines), closed)


def _json_code(text: str, *, whole: bool) -> list[_Block]:
    """The values of "code" in JSON objects; `whole`: only if the answer is one such object."""
    if whole:
        text = drop_fence(text).strip()
        if not text.startswith("{"):
            return []
    blocks = []
    for match in find_json(text):
        inside = match.value.get("code") if isinstance(match.value, dict) else None
        if isinstance(inside, str):
            blocks += _fenced(inside.split("\n")) or [_Block(inside)]
    return blocks


def _tagged(text: str) -> list[_Block]:
    """The inside of <pre>, <code> and <python>."""
    blocks, openings = [], {}
    for tag in _TAG.finditer(text):
        name = tag["name"].lower()
        if not tag["close"]:
            openings.setdefault(name, tag.end())
        elif name in openings:
            blocks.append(_Block(text[openings.pop(name) : tag.start()]))
    return blocks


def _statements(lines: list[str]) -> str:
    """The Python statements of an answer without wrapping, without the prose before, between and after them."""
    starts = [number for number, line in enumerate(lines) if line[:1].strip() and not line.startswith("#")]
    starts.append(len(lines))
    kept: list[str] = []
    at = 0
    while at < len(starts) - 1:
        first = starts[at]
        size = _statement(lines, starts[at : at + _MOST_PIECES + 1]) if _BEGINS.match(lines[first]) else 0
        if size:
            while first and lines[first - 1].startswith("#"):  # comments directly above the statement
                first -= 1
            kept += lines[first : starts[at + size]]
        elif size is None or _BROKEN.match(lines[first]):  # an incomplete program: keep the rest, so that it fails
            return "\n".join(lines[first:])
        at += size or 1
    while kept and (not kept[-1].strip() or kept[-1].startswith("#")):
        kept.pop()
    return "\n".join(kept)


def _statement(lines: list[str], starts: list[int]) -> int | None:
    """The number of pieces (lines between starts) of the first statement; 0: it is prose; None: it has no end."""
    for size, end in enumerate(starts[1:], start=1):
        if end < len(lines) and _CONTINUES.match(lines[end]):
            continue
        try:
            body = parse_python("\n".join(lines[starts[0] : end])).body
        except SyntaxError as error:
            unfinished = "never closed" in error.msg or "triple-quoted" in error.msg
            if not unfinished and starts[0] + (error.lineno or 0) <= starts[size - 1]:
                return 0  # an error before the last piece: more lines cannot correct it
        except (ValueError, RecursionError, MemoryError):
            return 0
        else:
            return size if all(map(_is_code, body)) else 0
    return None if len(starts) > 2 else 0


def _is_code(node: ast.stmt) -> bool:
    """False for prose that is also valid Python ("Note", "Fast, simple", "Note: this")."""
    if isinstance(node, ast.Expr):
        return isinstance(node.value, ast.Call) or _is_string(node)
    return not (isinstance(node, ast.AnnAssign) and node.value is None)


def _readings(code: str) -> Iterator[str]:
    """A piece of code unchanged, then without indentation, prompts, line numbers or HTML entities."""
    yield code
    yield textwrap.dedent(code)
    lines = code.split("\n")
    typed = [_PROMPT.sub("", line, count=1) for line in lines if _PROMPT.match(line)]
    if typed:
        yield "\n".join(typed)
    yield from _unnumbered(lines)
    if "&" in code:
        yield textwrap.dedent(html.unescape(code))


def _unnumbered(lines: list[str]) -> Iterator[str]:
    """A listing without its line numbers, which end, or begin, in one column."""
    rows = [_NUMBER.fullmatch(line) for line in lines if line.strip()]
    if len(rows) < 2 or None in rows or any(b != a + 1 for a, b in pairwise(int(row["value"]) for row in rows)):
        return
    rests = [re.sub(r"^([ \t]*)[|│]", r"\1 ", row["rest"]) for row in rows]
    yield textwrap.dedent("\n".join(rests))
    wide = (" " * len(row["number"]) + rest for row, rest in zip(rows, rests, strict=True))
    yield textwrap.dedent("\n".join(wide))


def _choose(
    blocks: list[_Block], entry: str, problems: list[tuple[str, str]]
) -> tuple[str, int, tuple[str, ...]] | None:
    """The last block that defines `entry`, joined with the blocks that it needs; None if no block defines it."""
    readable: list[tuple[str, ast.Module]] = []
    defining: list[int] = []
    warnings: list[str] = []
    for block in blocks:
        try:
            readable.append(_read(block.code, entry))
        except _NotTheModule as problem:
            problems.append((str(problem), block.code))
            continue
        if (stub := _defines(readable[-1][1], entry)) is None:
            problems.append((_why_not_defined(readable[-1][1], entry), block.code))
        elif stub:
            problems.append((f"the body of {entry!r} is left out", block.code))
        else:
            defining.append(len(readable) - 1)
            if not block.closed:
                warnings.append("the code fence is never closed: all that follows it was taken")
    if not defining:
        return None
    if len(defining) > 1:
        warnings.append(f"{len(defining)} code blocks define {entry!r}: the last one was taken")
    kept = _with_helpers(readable, defining)
    return "\n\n".join(readable[index][0].strip("\n") for index in kept), len(kept), tuple(warnings)


def _read(code: str, entry: str) -> tuple[str, ast.Module]:
    """The first reading of a block that defines `entry`, else the first that parses. Raises `_NotTheModule`."""
    parsed = []
    for reading in _readings(code):
        if tree := _parses(reading):
            if _defines(tree, entry) is not None:
                return reading, tree
            parsed.append((reading, tree))
    if parsed and code.strip():
        return parsed[0]
    if not code.strip():
        raise _NotTheModule("there is no code")
    try:
        parse_python(textwrap.dedent(code))
    except SyntaxError as error:
        raise _NotTheModule(f"the code does not compile: line {error.lineno}: {error.msg}") from None
    except (ValueError, RecursionError, MemoryError) as error:
        raise _NotTheModule(f"the code does not compile: {error}") from None
    raise AssertionError("the dedented code is one of the readings")


def _parses(code: str) -> ast.Module | None:
    try:
        return parse_python(code)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


def _defines(tree: ast.Module, entry: str) -> bool | None:
    """None: no function `entry` at the top level; True: its body is left out, as in an excerpt; else False."""
    functions = [node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == entry]
    if not functions:
        return None
    body = [node for node in functions[-1].body if not _is_string(node)]
    return all(isinstance(node, ast.Pass) or _constant(node) is ... for node in body)


def _is_string(node: ast.stmt) -> bool:
    return isinstance(_constant(node), str)


def _constant(node: ast.stmt) -> object:
    """The value of a statement that is a constant, else None."""
    is_constant = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    return node.value.value if is_constant else None


def _why_not_defined(tree: ast.Module, entry: str) -> str:
    for node in ast.walk(tree):
        if isinstance(node, ast.AsyncFunctionDef) and node.name == entry:
            return "it is 'async', and a procedure is an ordinary function"
        if isinstance(node, ast.FunctionDef) and node.name == entry:
            return "it is not at the top level of the module"
    names = [node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)]
    return f"the code defines {', '.join(map(quoted, names[:5])) or 'no function'}"


def _with_helpers(readable: list[tuple[str, ast.Module]], defining: list[int]) -> list[int]:
    """The last of `defining` and the other blocks whose names it needs, in order."""
    kept = {defining[-1]}
    others = {index: _own_names(tree) for index, (_, tree) in enumerate(readable) if index not in defining}
    while True:
        missing = _missing("\n\n".join(readable[index][0] for index in sorted(kept)))
        needed = [index for index, own in others.items() if index not in kept and own & missing]
        if not needed:
            return sorted(kept)
        before = [index for index in needed if index < defining[-1]]
        kept.add(before[-1] if before else needed[0])


def _missing(code: str) -> set[str]:
    """The names that a module reads and that neither the module nor Python defines."""
    try:
        table = symtable.symtable(code, "<answer>", "exec")
    except (SyntaxError, ValueError, RecursionError):
        return set()
    read: set[str] = set()
    tables = [table]
    while tables:
        scope = tables.pop()
        tables += scope.get_children()
        read |= {name.get_name() for name in scope.get_symbols() if name.is_referenced() and name.is_global()}
    own = {name.get_name() for name in table.get_symbols() if name.is_assigned() or name.is_imported()}
    return read - own - set(dir(builtins))


def _own_names(tree: ast.Module) -> set[str]:
    """The names that a module defines at its top level."""
    names: set[str] = set()
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.Import | ast.ImportFrom):
            names |= {(alias.asname or alias.name).split(".")[0] for alias in node.names}
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            names |= {node.id for target in targets for node in ast.walk(target) if isinstance(node, ast.Name)}
    return names


@register("choice", version=1)
def choice(raw: str, options: Options) -> Parsed:
    """The name among the template's `options` that the last line contains."""
    names = list(options.get("options") or ())
    if not names:
        raise ConfigError("the parser 'choice' needs the option 'options', a list of names to choose from")
    lines = [line for line in drop_thinking(raw).splitlines() if any(map(str.isalnum, line))]
    if not lines:
        raise ParseError(f"one of {', '.join(names)} was expected, but the answer is empty")
    line = lines[-1]
    for flags in (0, re.I):
        named = [name for name in names if _names(line, name, flags)]
        if len(named) == 1:
            return Parsed(f"{named[0]}\n", {"choice": named[0]})
        if named:
            raise ParseError(f"one name was expected, but the last line has {', '.join(named)}", line)
    raise ParseError(f"one of {', '.join(names)} was expected in the last line", line)


def _names(line: str, name: str, flags: int) -> bool:
    """Whether a line contains `name` as a separate word: not `backup` in `backup.files` or in `daily-backup`."""
    bare = re.sub(r"(?<!\w)_+|_+(?!\w)", " ", line)  # Markdown's _name_
    pattern = rf"(?<![\w.\-/]){re.escape(name)}(?![\w\-/]|\.\w)"
    return any(re.search(pattern, text, flags) for text in (line, bare))
