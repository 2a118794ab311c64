"""Python source as a syntax tree, for threads that parse at the same time."""

import ast
from threading import Lock

_LOCK = Lock()


def parse_python(source: str, mode: str = "exec") -> ast.AST:
    """`ast.parse`, one thread at a time.

    CPython 3.11 counts the depth of a tree for all threads together, so parallel calls can fail with "SystemError: AST
    constructor recursion depth mismatch" (https://github.com/python/cpython/issues/106905).
    """
    with _LOCK:
        return ast.parse(source, mode=mode)
