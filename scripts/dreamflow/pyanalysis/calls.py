"""What calls read, change and cause: declared calls, builtins, methods of builtin types, and others."""

import ast
import builtins

from . import types_of_builtins as table
from .effects import UNKNOWN as UNKNOWN_EFFECT
from .effects import effects_of_call, effects_of_open
from .expressions import WORLD, Access, Expressions
from .scope import dotted
from .types_of_builtins import KNOWN, SCALARS, Types, words

_COPYING = words("list tuple set frozenset dict sorted any all sum min max")
_LOOKING = words("len bool str repr abs int float hash")
_STREAMS = ("sys.stdout", "sys.stderr")


class Calls(Expressions):
    """The walk over calls."""

    def _call(self, node: ast.Call, acc: Access) -> None:
        types = [self.scope.type_of(argument) for argument in node.args]
        if dotted(node.func) in self.declared:
            self._declared(node, acc)
        elif self.scope.is_builtin(node.func):
            self._mention(node.func, acc)
            self._builtin(node, node.func.id, types, acc)
        elif isinstance(node.func, ast.Attribute) and table.has_method(
            self.scope.type_of(node.func.value), node.func.attr
        ):
            self._method(node, node.func, types, acc)
        else:
            self._other(node, acc)

    def _arguments(self, node: ast.Call, acc: Access) -> None:
        for argument in node.args:
            self.expr(argument, acc)
        self._keywords(node, acc)

    def _keywords(self, node: ast.Call, acc: Access) -> None:
        for keyword in node.keywords:
            self.expr(keyword.value, acc)
            if keyword.arg is None:
                acc.runs_code()

    def _declared(self, node: ast.Call, acc: Access) -> None:
        """A call that the card declares, with the declared effects only; it may look at anything in its arguments."""
        root = node.func
        while isinstance(root, ast.Attribute):
            acc.reads.add(dotted(root))
            root = root.value
        raised = acc.may_raise
        self.expr(root, acc)
        if root.id not in self.scope.locals:
            acc.may_raise = raised  # the declaration of a name guarantees that it exists
        self._arguments(node, acc)
        words = set(self.declared[dotted(node.func)])
        acc.effects |= words
        acc.seen.add(WORLD)
        acc.may_raise |= "raise" in words
        if "unknown" in words:
            acc.runs_code()

    def _builtin(self, node: ast.Call, name: str, types: list[Types], acc: Access) -> None:
        if name == "print":
            self._print(node, types, acc)
            return
        calm = not node.keywords and table.builtin_is_calm(name, types)
        several = name in ("min", "max") and len(types) > 1
        for position, argument in enumerate(node.args):
            if name in _COPYING and not position and not several and not isinstance(argument, ast.Starred):
                self.iterate(argument, acc)
            elif name in _LOOKING or (name == "isinstance" and not position):
                self.look(argument, acc)
            elif name in ("callable", "type"):
                self.look(argument, acc, content=False)
            else:
                self.expr(argument, acc)
        self._keywords(node, acc)
        if name == "isinstance" and len(types) == 2 and not node.keywords:
            classes = node.args[1].elts if isinstance(node.args[1], ast.Tuple) else [node.args[1]]
            named = all(
                self.scope.is_builtin(part) and isinstance(getattr(builtins, part.id), type) for part in classes
            )
            calm = named and bool(types[0]) and types[0] <= KNOWN
        acc.runs_code(unless=calm)
        if name == "open":
            acc.effects |= effects_of_open(_mode(node))
            return
        self._note_effects(node, effects_of_call(name), acc)

    def _note_effects(self, node: ast.Call, effects: frozenset[str], acc: Access) -> None:
        """Add effects from the table; a callback among the arguments may have any effect."""
        if effects <= {"raise"} and any(map(_calls_back, node.keywords)):
            effects = UNKNOWN_EFFECT
        acc.effects |= effects
        if "unknown" in effects:
            for argument in (*node.args, *(keyword.value for keyword in node.keywords)):
                acc.mutates |= self.roots(argument)

    def _print(self, node: ast.Call, types: list[Types], acc: Access) -> None:
        for argument in node.args:
            self.look(argument, acc)
        self._keywords(node, acc)
        acc.effects.add("print")
        acc.may_raise = True  # the stream may be closed, or cannot encode the text
        streams = [keyword.value for keyword in node.keywords if keyword.arg == "file"]
        if any(self.scope.origin(stream) not in _STREAMS for stream in streams):
            acc.effects |= UNKNOWN_EFFECT
        if streams or not all(kinds and kinds <= SCALARS for kinds in types):
            acc.runs_code()

    def _method(self, node: ast.Call, method: ast.Attribute, types: list[Types], acc: Access) -> None:
        receiver, name = self.scope.type_of(method.value), method.attr
        if name in table.CHANGING:
            self.change(method.value, acc)
        elif name in table.VIEWS:
            self.expr(method.value, acc)  # a view keeps a reference to its dict
        else:
            self.look(method.value, acc)
        for argument in node.args:
            if name in table.COPYING and not isinstance(argument, ast.Starred):
                self.iterate(argument, acc)
            else:
                self.expr(argument, acc)
        self._keywords(node, acc)
        if node.keywords or not table.method_is_calm(receiver, name, types):
            acc.runs_code()
        self._note_effects(node, frozenset(), acc)

    def _other(self, node: ast.Call, acc: Access) -> None:
        """A library call in the table, or an unknown call."""
        origin = self.scope.origin(node.func) or ""
        self.expr(node.func, acc)
        self._arguments(node, acc)
        acc.runs_code()
        effects = effects_of_call(origin or f"?.{getattr(node.func, 'attr', '')}")
        if origin in ("re.sub", "re.subn") and not (len(node.args) > 1 and self.scope.type_of(node.args[1]) <= {"str"}):
            effects = UNKNOWN_EFFECT
        if origin in ("io.open", "pathlib.Path().open", "gzip.open"):
            effects = effects_of_open(_mode(node, 0 if origin.startswith("pathlib") else 1))
        self._note_effects(node, effects, acc)
        if isinstance(node.func, ast.Attribute) and ("unknown" in effects or "()." in origin):
            acc.mutates |= self.roots(node.func.value)


def _calls_back(keyword: ast.keyword) -> bool:
    if keyword.arg not in ("key", "default", "object_hook", "cls", "parse_float"):
        return False
    value = keyword.value
    if isinstance(value, ast.Lambda):
        return any(isinstance(part, ast.Call) for part in ast.walk(value.body))
    return not isinstance(value, ast.Constant)


def _mode(node: ast.Call, position: int = 1) -> str | None:
    """The mode of an `open`, if it is a constant."""
    modes = [keyword.value for keyword in node.keywords if keyword.arg == "mode"] + node.args[position : position + 1]
    unknown = any(keyword.arg is None for keyword in node.keywords)
    if unknown or any(isinstance(part, ast.Starred) for part in node.args):
        return None
    if not modes:
        return "r"
    return modes[0].value if isinstance(modes[0], ast.Constant) and isinstance(modes[0].value, str) else None
