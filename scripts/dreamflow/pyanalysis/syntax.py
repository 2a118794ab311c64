"""Edit Python source by position: text outside the edits keeps its bytes, with comments."""

import ast
import io
import re
import tokenize
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property, lru_cache

from ..errors import DreamflowError
from .analysis import Analysis, Step
from .scope import bound_by, dotted, own_nodes
from .source import parse_python

Edit = tuple[int, int, str]  # first character, last character (exclusive), and the new text

_LINE = re.compile(r"\r\n?|\n")
_STRINGS = {tokenize.STRING, getattr(tokenize, "FSTRING_MIDDLE", tokenize.STRING)}  # the latter from Python 3.12 on
_SURE = (ast.Assign, ast.AugAssign, ast.Import, ast.ImportFrom, ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
_FIELDS = ("body", "orelse", "handlers", "finalbody", "cases")


@dataclass(frozen=True)
class Code:
    """A module's source with its tree; `entry` is the function of the procedure."""

    text: str
    tree: ast.Module
    entry: ast.FunctionDef
    starts: tuple[int, ...]  # offset of each line, in characters

    def offset(self, line: int, column: int) -> int:
        """The offset in the text of a position of the tree (line from 1, column in UTF-8 bytes)."""
        start = self.starts[line - 1]
        end = self.starts[line] if line < len(self.starts) else len(self.text)
        content = self.text[start:end]
        return start + (column if content.isascii() else len(content.encode()[:column].decode()))

    def span(self, node: ast.expr | ast.stmt) -> tuple[int, int]:
        """The offsets of the beginning and end of a node."""
        return (
            self.offset(node.lineno, node.col_offset),
            self.offset(node.end_lineno or node.lineno, node.end_col_offset or 0),
        )

    def of(self, node: ast.expr | ast.stmt) -> str:
        """The text of a node."""
        start, end = self.span(node)
        return self.text[start:end]

    def position(self, node: ast.expr | ast.stmt) -> str:
        """Line and column of a node for people, both from 1, such as "12:8"."""
        return f"{node.lineno}:{self.offset(node.lineno, node.col_offset) - self.starts[node.lineno - 1] + 1}"

    def line_start(self, line: int) -> int:
        """The offset of a line (from 1); the end of the text for the line after the last."""
        return self.starts[line - 1] if line <= len(self.starts) else len(self.text)

    def lines(self, statement: ast.stmt) -> tuple[int, int]:
        """The offsets of the beginning and end of a statement's lines."""
        return self.line_start(statement.lineno), self.line_start((statement.end_lineno or 0) + 1)

    def indent(self, statement: ast.stmt) -> str:
        """The white space before a statement at the beginning of its line."""
        return self.text[self.starts[statement.lineno - 1] : self.span(statement)[0]]

    def alone(self, statement: ast.stmt) -> bool:
        """Whether a statement's lines contain only the statement, white space and a comment behind it."""
        start, end = self.span(statement)
        before = self.text[self.starts[statement.lineno - 1] : start]
        after = self.text[end : self.line_start((statement.end_lineno or 0) + 1)].strip()
        begins = not before.strip() and not self.text.startswith("elif", start)
        return begins and not getattr(statement, "decorator_list", []) and (not after or after.startswith("#"))

    @cached_property
    def blocks(self) -> list[list[ast.stmt]]:
        """The statement lists of the entry, outer lists first, without those of nested functions and classes."""
        blocks = [self.entry.body]
        for block in blocks:  # the list grows during the loop
            for statement in block:
                if not isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                    blocks += inner_blocks(statement)
        return blocks

    @cached_property
    def statements(self) -> dict[int, ast.stmt]:
        """The statements of the entry that are alone on their lines, by first line."""
        return {s.lineno: s for block in self.blocks for s in block if self.alone(s)}

    @cached_property
    def bindings(self) -> Counter[str]:
        """The number of bindings of each name in the module."""
        nodes = list(ast.walk(self.tree))
        names = Counter(name for node in nodes for name in bound_by(node))
        names.update(node.arg for node in nodes if isinstance(node, ast.arg))
        names.update(name for node in nodes if isinstance(node, ast.Global | ast.Nonlocal) for name in node.names)
        return names

    @cached_property
    def names(self) -> set[str]:
        """Every name in the module."""
        words = {node.id for node in ast.walk(self.tree) if isinstance(node, ast.Name)}
        keywords = {node.arg for node in ast.walk(self.tree) if isinstance(node, ast.keyword) and node.arg}
        return words | keywords | set(self.bindings)

    def fresh(self, name: str) -> str:
        """`name`, with a number if the module already uses it."""
        number, free = 1, name
        while free in self.names:
            number += 1
            free = f"{name}_{number}"
        return free


@lru_cache(maxsize=256)
def read_code(source: str, entry: str) -> Code:
    """The code of a module that defines `entry` at its top level."""
    tree = parse_python(source)
    function = [node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == entry][-1]
    return Code(source, tree, function, (0, *(match.end() for match in _LINE.finditer(source))))


def inner_blocks(statement: ast.stmt) -> list[list[ast.stmt]]:
    """The statement lists directly inside a compound statement."""
    blocks = []
    for name in _FIELDS:
        inner = getattr(statement, name, None) or []
        if inner and isinstance(inner[0], ast.stmt):
            blocks.append(inner)
        else:  # handlers of a try, cases of a match
            blocks += [part.body for part in inner]
    return blocks


def bound_names(body: Iterable[ast.AST]) -> set[str]:
    """The names that statements bind in their scope."""
    return {name for node in own_nodes(body) for name in bound_by(node)}


def surely_bound(code: Code, statement: ast.stmt) -> set[str]:
    """Names of the entry that certainly have a value before a statement runs; the list may be incomplete."""
    names = {node.arg for node in ast.walk(code.entry.args) if isinstance(node, ast.arg)}
    block = code.entry.body
    while block:
        around = None
        for other in block:
            if other is statement:
                return names
            if other.lineno <= statement.lineno <= (other.end_lineno or 0):
                around = other
                break
            if isinstance(other, _SURE) or (isinstance(other, ast.AnnAssign) and other.value):
                names |= bound_names([other])
        inner = inner_blocks(around) if around else []
        block = next((b for b in inner if b[0].lineno <= statement.lineno <= (b[-1].end_lineno or 0)), [])
        if block and block is getattr(around, "body", None):
            targets = [getattr(around, "target", None), *(item.optional_vars for item in getattr(around, "items", []))]
            names |= bound_names(target for target in targets if target)
    return names


def steps_by_line(code: Code, analysis: Analysis) -> dict[int, Step]:
    """The outermost step of each line, by the line of its code, below comments and blank lines."""
    steps: dict[int, Step] = {}
    lines = _LINE.split(code.text)
    for step in analysis.steps:
        line = step.start
        while not (text := lines[line - 1].strip()) or text.startswith("#"):
            line += 1
        steps.setdefault(line, step)
    return steps


def own_lines(code: Code, analysis: Analysis) -> dict[str, tuple[int, int]]:
    """The offsets of each movable step with the comments above it, without the blank lines above, which stay."""
    offsets = {}
    for line, step in steps_by_line(code, analysis).items():
        start, end = code.line_start(step.start), code.line_start(step.end + 1)
        text = code.text[start:end]
        # a backslash would continue on the line below
        if line in code.statements and not text.rstrip().endswith("\\"):
            offsets[step.step_id] = (start + re.match(r"(?:[^\S\n]*\n)*", text).end(), end)
    return offsets


def name_of(node: ast.AST) -> str:
    """ "a.b.c" for a name with attributes, "" for any other expression."""
    return dotted(node) or ""


def edited(code: Code, edits: Iterable[Edit], operator: str) -> str:
    """The text after edits that do not overlap; edits at the same place keep their order.

    Raises a `DreamflowError` that names the operator if the result does not compile.
    """
    parts, done = [], 0
    for start, end, new in sorted(edits, key=lambda edit: edit[:2]):
        parts += [code.text[done:start], new]
        done = end
    text = "".join(parts) + code.text[done:]
    try:
        compile(text, "<variant>", "exec", dont_inherit=True)
    except (SyntaxError, ValueError) as error:
        message = f"{operator} wrote code that does not compile: {error}; please report this operator"
        raise DreamflowError(message) from None
    return text


def bring(code: Code, module: str, name: str = "") -> tuple[str, str]:
    """The name of a module, or of a `name` in it, in this code, and the import line that it needs (or "")."""
    for node in code.tree.body:
        if isinstance(node, ast.ImportFrom if name else ast.Import) and (not name or node.module == module):
            for alias in node.names:
                written = alias.asname or alias.name
                # a second binding would hide the import somewhere
                if alias.name == (name or module) and code.bindings[written] == 1:
                    return written, ""
    written = code.fresh(name or module)
    line = f"from {module} import {name}" if name else f"import {module}"
    return written, line if written == (name or module) else f"{line} as {written}"


def import_edits(code: Code, lines: Iterable[str]) -> list[Edit]:
    """Edits that add import lines after the imports at the top, else after docstring and `from __future__`."""
    lines = [line for line in lines if line]
    if not lines:
        return []
    top = 0
    for node in code.tree.body:
        docstring = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
        if not isinstance(node, ast.Import | ast.ImportFrom) and not (docstring and node is code.tree.body[0]):
            break
        top = node.end_lineno or 0
    imported = any(isinstance(node, ast.Import | ast.ImportFrom) for node in code.tree.body[:2])
    text = "".join(f"{line}\n" for line in lines)
    if not top:
        first = code.tree.body[0]
        top = min([first.lineno, *(d.lineno for d in getattr(first, "decorator_list", []))]) - 1
        text += "\n\n"
    elif not imported:
        text = "\n" + text
    place = code.line_start(top + 1)
    return [(place, place, text)]


def reindented(text: str, indent: str, by: str) -> str:
    """The lines of a block with indentation `indent`, moved to the right by `by`, except empty lines and inner lines of
    a string."""
    inside = set()
    # a block is not a module; a line before it makes it one
    for token in tokenize.generate_tokens(io.StringIO("if 1:\n" + text).readline):
        if token.type in _STRINGS:
            inside |= set(range(token.start[0], token.end[0]))
    moved = []
    for number, line in enumerate(text.split("\n"), start=1):
        keeps = number in inside or not line.strip()
        # after the indent, so that tabs and spaces keep their order
        moved.append(line if keeps else indent + by + line[len(indent) :] if line.startswith(indent) else by + line)
    return "\n".join(moved)
