"""What counts as the same procedure, and how far apart others are."""

from textwrap import dedent

import pytest
from dreamflow.dreams.novelty import distance, fingerprint

BASE = '''
import json

def load(path: str, limit: int = 10) -> list[str]:
    """Lines of a file."""
    # the first ones only
    found = []
    for line in open(path):
        if len(found) < limit:
            found.append(line.strip())
    return found
'''

SAME = {
    "docstring": ('    """Lines of a file."""\n', '    """All lines."""\n    "and a remark"\n'),
    "no docstring": ('    """Lines of a file."""\n', ""),
    "comment": ("# the first ones only", "# the last ones"),
    "annotations": ("path: str, limit: int = 10) -> list[str]", "path, limit: float = 10)"),
    "annotated variable": ("found = []", "found: list[str] = []"),
    "declared variable": ("found = []", "line: str\n    found = []"),
    "local variables": ("found", "result"),
    "loop variable": ("line", "row"),
    "folded arithmetic": ("limit: int = 10", "limit: int = 2 * (6 - 1)"),
    "blank lines and spaces": ("found = []", "\n    found   =  [ ]  "),
    "quotes": ("import json", "import json\n''"),
    "pass": ("found = []", "pass\n    found = []"),
}


@pytest.mark.parametrize(("old", "new"), SAME.values(), ids=SAME)
def test_what_does_not_matter(old, new):
    variant = BASE.replace(old, new)
    assert variant != BASE
    assert fingerprint(variant) == fingerprint(BASE)
    assert distance(variant, BASE) == 0


# pairs that a careless normalisation would take for the same
DIFFERENT = {
    "constant": ("x = 1", "x = 2"),
    "type of a constant": ("x = 1", "x = 1.0"),
    "slice": ("def f(a): return a[1:]", "def f(a): return a[:1]"),
    "block": ("def f(a):\n if a:\n  a()\n a()", "def f(a):\n if a:\n  a()\n  a()"),
    "nested call": ("f(g(1), 2)", "f(g(1, 2))"),
    "none as a key": ("x = {None: y}", "x = {**y}"),
    "parameter names": ("def f(a, b): return a - b", "def f(b, a): return b - a"),
    "default": ("def f(a, b=1): pass", "def f(a=1, b=1): pass"),
    "name of a function": ("def f(): pass", "def g(): pass"),
    "two variables exchanged": ("def f():\n a = 1\n b = 2\n return a", "def f():\n a = 1\n b = 2\n return b"),
    "module in place of a variable": (
        "def f(x): return [json for json in x], json",
        "def f(x): return [a for a in x], a",
    ),
    "attributes of a class": ("class A:\n x: int = 1", "class A:\n y: int = 1"),
    "fields of a class": ("class A:\n x: int", "class A:\n x: str"),
    "local import": ("def f():\n import json\n return json", "def f():\n import yaml\n return yaml"),
    "global": ("def f():\n global a\n a = 1", "def f():\n global b\n b = 1"),
    "nonlocal": (
        "def f():\n a = 1\n b = 2\n def g():\n  nonlocal a\n  a = 3\n g()\n return a",
        "def f():\n a = 1\n b = 2\n def g():\n  nonlocal b\n  b = 3\n g()\n return a",
    ),
    "caught error": ("try:\n x()\nexcept A: pass", "try:\n x()\nexcept B: pass"),
    "formatted string": ('def f(a): return f"{a}"', 'def f(a): return f"{a!r}"'),
    "comparison": ("a < b", "a <= b"),
    "import alias": ("import a as b", "import c as b"),
}


@pytest.mark.parametrize(("one", "other"), DIFFERENT.values(), ids=DIFFERENT)
def test_what_does_matter(one, other):
    assert fingerprint(one) != fingerprint(other)
    assert 0 < distance(one, other) <= 1


SAME_SCOPES = {
    "comprehension": ("def f(x): return [a for a in x if a]", "def f(x): return [b for b in x if b]"),
    "nested function": ("def f():\n def g(): return 1\n return g", "def f():\n def h(): return 1\n return h"),
    "closure": ("def f():\n a = 1\n return lambda: a", "def f():\n b = 1\n return lambda: b"),
    "handler": ("def f():\n try: g()\n except E as a: h(a)", "def f():\n try: g()\n except E as b: h(b)"),
    "pattern": (
        "def f(x):\n match x:\n  case [a, *b]: return a, b",
        "def f(x):\n match x:\n  case [c, *d]: return c, d",
    ),
    "mapping pattern": (
        "def f(x):\n match x:\n  case {1: a, **b}: g(b)",
        "def f(x):\n match x:\n  case {1: c, **d}: g(d)",
    ),
    "walrus": ("def f(x):\n if (a := x): return a", "def f(x):\n if (b := x): return b"),
    "f-string without fields": ('x = f"a"', 'x = "a"'),
    "negative number": ("x = -1 + 0", "x = 1 - 2"),
}


@pytest.mark.parametrize(("one", "other"), SAME_SCOPES.values(), ids=SAME_SCOPES)
def test_names_are_seen_through_in_their_scope(one, other):
    assert fingerprint(one) == fingerprint(other)


def test_distance_is_a_distance():
    other = BASE.replace("line.strip()", "line.strip().lower()")
    unrelated = dedent("""
        class Queue:
            def __init__(self):
                self.items = {}

            async def put(self, key, value=None):
                while key in self.items:
                    await self.wait(key)
                self.items[key] = value
    """)
    near, far = distance(BASE, other), distance(BASE, unrelated)
    assert 0 < near < 0.1 < 0.5 < far <= 1
    assert distance(unrelated, BASE) == far
    assert distance("", "") == 0
    assert distance("", BASE) > 0.9


def test_division_by_zero_and_huge_results_are_left_alone():
    assert fingerprint("x = 1 / 0") != fingerprint("x = 1 // 0")
    assert fingerprint("x = 1e308 * 10 - 1") != fingerprint("x = 1")
