"""Which steps may change places, and that nobody can tell when they have."""

import contextlib
import gc
import io
import itertools
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from textwrap import dedent, indent

import networkx
import pytest
from dreamflow.errors import DreamflowError
from dreamflow.pyanalysis.analysis import (
    analyse,
    as_json,
    independent_groups,
    movable,
    permutations,
    reorderable_pairs,
)
from hypothesis import given, settings
from hypothesis import strategies as st

SCRIPTS = Path(__file__).parents[2] / "scripts"


def analysis_of(body, parameters="p, q", effects=None, module=""):
    """The analysis of a function with this body; its first step is "1"."""
    return analyse(
        f"{dedent(module)}\ndef f({parameters}):\n{indent(dedent(body).strip(), '    ')}\n", "f", effects or {}
    )


def free(body, **others):
    """Whether the first two steps of the function may change places."""
    return movable(analysis_of(body, **others), "1", "2")


def step_of(body, step_id="1", **others):
    return next(step for step in analysis_of(body, **others).steps if step.step_id == step_id)


# --- what the original got wrong -------------------------------------------------------------------------


def test_original_write_after_read():
    assert not free("a = p\np = 1\nreturn a, p")


def test_original_write_after_write():
    assert not free("a = 1\na = 2\nreturn a")


def test_original_two_effects_without_a_common_variable():
    assert not free("print('one')\nprint('two')")
    assert not free("open('x', 'w').write('1')\nremove('y')", effects={"remove": ("write:files",)})
    assert not free("fetch(1)\nsave(2)", effects={"fetch": ("read:network",), "save": ("write:files",)})


def test_original_the_ends_of_a_chain():
    chain = analysis_of("a = 1\nb = a\nc = b\nreturn c")
    assert not movable(chain, "1", "3")
    assert ("1", "3") not in reorderable_pairs(chain)
    assert permutations(chain, "", 10) == []


def test_original_variables_of_the_next_lines_do_not_bleed_into_a_step():
    near = analysis_of("a = 1\nb = 2\nc = b\nreturn a, b, c")
    assert next(step for step in near.steps if step.step_id == "1").reads == set()
    assert movable(near, "1", "2") and movable(near, "1", "3") and not movable(near, "2", "3")


KEPT = {
    "augmented assignment": "a = 1\na += 1\nreturn a",
    "annotated assignment": "a: int = 1\nb = a\nreturn b",
    "for target": "a = 0\nfor a in 'xy': pass\nreturn a",
    "with target": "a = 0\nwith p as a: pass\nreturn a",
    "except target": "a = 0\ntry: p()\nexcept ValueError as a: pass\nreturn 0",
    "import target": "math = 0\nimport math\nreturn math",
    "walrus": "a = 0\nb = (a := 1)\nreturn a, b",
    "starred target": "a = 0\nb, *a = 'xyz'\nreturn a, b",
    "match capture": "a = 0\nmatch p:\n    case [a]: pass\nreturn a",
    "del": "a = p\ndel p\nreturn a",
    "attribute written": "p.n = 1\na = p.n\nreturn a",
    "two attributes": "p.n = 1\np.m = 2",
    "subscript written": "p[0] = 1\na = p[0]\nreturn a",
    "subscript through another name": "p[0] = 1\na = len(q)\nreturn a",
    "method that changes": "a = [1]\na.append(2)\nreturn a",
    "changed and looked at": "a.append(2)\nb = len(a)\nreturn a, b",
    "unknown method": "p.push(1)\na = p.top()\nreturn a",
    "print": "print(1)\nprint(2)",
    "requests": "a = requests.get(p)\nrequests.post(q)\nreturn a",
    "pathlib": "Path('x').write_text('1')\na = Path('x').read_text()\nreturn a",
    "socket": "s.sendall(p)\na = s.recv(3)\nreturn a",
    "logging": "logging.info('one')\nlogging.info('two')",
    "global": "count = 1\na = read_count()\nreturn a",
    "closure": "b = 2\na = show()\nreturn a",
    "clock": "a = time.time()\nb = time.time()\nreturn a, b",
    "randomness": "a = random.random()\nb = random.random()\nreturn a, b",
    "environment": "os.environ['x'] = p\na = os.environ['x']\nreturn a",
    "process": "subprocess.run(p)\nsubprocess.run(q)",
    "two that may raise": "a = p + 1\nb = q + 1\nreturn a, b",
    "a guard and what it guards": "assert p\na = 1 // p\nreturn a",
    "raise": "if p: raise ValueError\nprint(1)",
    "return": "if p: return 1\nprint(1)",
    "what never ends": "while p: pass\nprint(1)",
    "locals()": "a = 1\nb = locals()\nreturn b",
    "eval": "a = 1\nb = eval('a')\nreturn b",
    "yield": "a = 1\nyield 2\nreturn a",
    "docstring": "'''Says what it does.'''\na = 1\nreturn a",
    "the last use of an object": "p = None\nprint(1)",
    "return itself": "a = 1\nreturn 2",
}
BEFORE = {
    "changed and looked at": "a = []",
    "global": "global count",
    "closure": "b = 1\ndef show(): return b",
}


@pytest.mark.parametrize("name", KEPT)
def test_original_statements_that_it_did_not_see(name):
    before = BEFORE.get(name, "")
    analysis = analysis_of(f"{before}\n{KEPT[name]}")
    first = str(1 + len(before.splitlines()))
    assert not movable(analysis, first, str(int(first) + 1))


def test_original_effects_are_known_at_every_level():
    nested = "for x in p:\n    if x:\n        print(x)"
    assert "print" in step_of(nested).effects
    assert "print" in step_of(nested, "1.1").effects


# --- what may move ---------------------------------------------------------------------------------------

FREE = {
    "constants": "n = 1\nm = 'x'\nreturn n, m",
    "containers": "n = []\nm = {}\nreturn n, m",
    "past an effect": "print(1)\nn = 0\nreturn n",
    "past what may raise": "n = p + 1\nm = []\nreturn n, m",
    "past a call of which nothing is known": "n = p()\nm = []\nreturn n, m",
    "past a guard that returns": "if not p: return None\nn = 0\nreturn n",
    "past a loop": "for x in p: q(x)\nn = ''\nreturn n",
    "texts of known values": "n = f'{1}'\nm = 'x'.upper()\nreturn n, m",
    "private lists": "a.append(p)\nb.append(q)\nreturn a, b",
    "a private list and a call": "a.append(p)\nq()\nreturn a, b",
    "a private list inside a loop": "for x in 'xy': a.append(x)\nn = len(b)\nreturn a, n",
    "arithmetic of known values": "n = 1 + 2\nm = len(a)\nreturn n, m",
    "a condition on known values": "n = 1 if a else 2\nm = not b\nreturn n, m",
    "functions": "g = lambda: 1\nh = lambda: 2\nreturn g, h",
    "what a parameter is": "n = p is None\nm = q is None\nreturn n, m",
    "declared reads": "n = fetch(1)\nm = fetch(2)\nreturn n, m",
    "declared pure calls": "n = slug('x')\nm = slug('y')\nreturn n, m",
    "a pure call and an effect": "n = slug('x')\nnote()\nreturn n",
}
DECLARED = {"fetch": ("read:network",), "slug": (), "p.get": (), "note": ("log",)}


@pytest.mark.parametrize("name", FREE)
def test_steps_that_may_change_places(name):
    analysis = analysis_of(f"a = []\nb = []\n{FREE[name]}", effects=DECLARED)
    assert movable(analysis, "3", "4") and movable(analysis, "4", "3")
    assert ("3", "4") in reorderable_pairs(analysis)


STAYING = {
    "handed out to another list": "c = [a]\na.append(1)\nc[0].append(2)\nreturn a",
    "another name for the list": "c = a\na.append(1)\nc.append(2)\nreturn a",
    "kept by a call": "keep(a)\na.append(1)\nuse()\nreturn a",
    "seen by a nested function": "g = lambda: a\na.append(1)\nuse(g)\nreturn a",
    "one object with two names": "c = d = []\nc.append(1)\nd.append(2)\nreturn c",
    "elements of unknown type are compared": "c = 1\nd = sorted(p)\ne = p == q\nreturn c, d, e",
}


@pytest.mark.parametrize("name", STAYING)
def test_lists_that_others_may_hold_are_not_private(name):
    assert not movable(analysis_of(f"a = []\n{STAYING[name]}", effects={"keep": ()}), "3", "4")


# Body, and the two steps that stay in their order.
ORDERED = {
    "a return and a declared effect": ("if p is None: return 1\nnote()", "1", "2"),
    "a return and a list that others hold": (
        "a = []\nb = [a]\nif p is None: return 1\na.append(1)\nreturn b",
        "3",
        "4",
    ),
    "a return of what is changed then": ("a = []\nif p is None: return use(a)\na.append(1)\nreturn a", "2", "3"),
    "a return that does not leave": ("a = []\ntry: return use(a)\nexcept: pass\na.append(1)\nuse()", "3", "4"),
    "the last use in a loop": ("for x in p:\n    o = None\n    note()\n    o = p()", "1.1", "1.2"),
    "unpacking": ("n, m = [1]\nnote()\nreturn n, m", "1", "2"),
    "hashing": ("n = {p: 1}\nnote()\nreturn n", "1", "2"),
    "continue": ("for x in 'ab':\n    if x == 'a': continue\n    n = 1\nreturn n", "1.1", "1.2"),
    "a global and what may set it": ("n = LIMIT\nuse()\nreturn n", "1", "2"),
    "a pure call and what its argument holds": ("n = p.get(1)\nq.append(1)\nreturn n", "1", "2"),
    "the truth of a list": ("a = []\nn = a or 1\na.append(1)\nreturn n", "2", "3"),
    "a generator reads late": ("n = 1\ng = (n for x in 'ab')\nn = 2\nm = list(g)\nreturn m", "3", "4"),
    "the smaller list": ("a = []\nb = []\nc = min(a, b)\na.append(1)\nc.append(2)", "4", "5"),
    "bound by a nested function": (
        "n = 0\ndef g():\n    nonlocal n\n    import math as n\nn = 1\nuse(g)\nreturn n",
        "3",
        "4",
    ),
}


@pytest.mark.parametrize("name", ORDERED)
def test_steps_that_stay_in_order(name):
    body, one, other = ORDERED[name]
    analysis = analysis_of(body, effects=DECLARED, module="LIMIT = 1")
    assert analysis.graph.has_edge(one, other) and not movable(analysis, one, other)


def test_a_local_that_is_looked_at_after_an_exception_stays():
    body = "try:\n    {first}\n    a = 1\nexcept ValueError:\n    a = 0\nreturn {result}"
    assert not movable(analysis_of(body.format(first="b = p()", result="a")), "1.1", "1.2")
    assert movable(analysis_of("try:\n    b = p()\n    c = 1\nfinally:\n    q()"), "1.1", "1.2")
    looped = "for x in p:\n    try:\n        print(a)\n        b = p()\n        a = 1\n    except ValueError: pass"
    assert not movable(analysis_of(looped), "1.1.2", "1.1.3")


def test_a_name_that_may_be_unbound_raises():
    assert step_of("if p: a = 1\nb = a\nreturn b", "2").may_raise
    assert not step_of("if p: a = 1\nelse: a = 2\nb = a\nreturn b", "2").may_raise
    assert step_of("a = p is None and (b := 1)\nc = b\nreturn a, c", "2").may_raise
    assert step_of("with p:\n    a = 1\nb = a\nreturn b", "2").may_raise
    assert step_of("try: a = p()\nexcept ValueError: pass\nb = a\nreturn b", "2").may_raise


def test_a_loop_over_what_is_unknown_or_grows_may_not_end_well():
    assert step_of("for x in p: pass").may_raise
    assert step_of("a = [1]\nfor x in a: a.append(x)", "2").may_raise
    assert not step_of("a = [1]\nb = []\nfor x in a: b.append(x)", "3").may_raise


def test_a_shadowed_builtin_is_not_trusted():
    assert step_of("a = list()", module="list = print").effects == {"unknown"}
    assert not step_of("a = list()").may_raise
    assert step_of("a = len('x')", module="from somewhere import *").may_raise


def test_declared_effects_are_all_that_a_call_has():
    step = step_of("a = client.get(p)", effects={"client.get": ("read:network", "raise")})
    assert step.effects == {"read:network", "raise"} and step.may_raise
    quiet = step_of("a = client.get(p)", effects={"client.get": ("read:network",)})
    assert quiet.effects == {"read:network"} and not quiet.may_raise and not quiet.mutates


CALLS = {
    "open(p)": {"read:files"},
    "open(p, 'w')": {"write:files"},
    "open(p, q)": {"read:files", "write:files"},
    "Path(p).read_text()": {"read:files"},
    "(Path(p) / 'x').unlink()": {"write:files"},
    "os.path.join(p, q)": set(),
    "os.path.exists(p)": {"read:files"},
    "os.getenv('x')": {"read:environment"},
    "os.environ['x']": {"read:environment"},
    "subprocess.run(p)": {"process"},
    "get(p)": {"read:network"},
    "requests.post(p)": {"write:network", "read:network"},
    "time.sleep(1)": {"clock"},
    "datetime.datetime.now()": {"clock"},
    "random.choice(p)": {"random"},
    "log.info('x')": {"log"},
    "print(p)": {"print"},
    "json.dumps(p)": set(),
    "re.sub('x', 'y', p)": set(),
    "re.sub('x', q, p)": {"unknown"},
    "sorted(p, key=q)": {"unknown"},
    "sorted(p, key=lambda x: -x)": set(),
    "p.write_text('x')": {"unknown", "write:files"},
    "helper(p)": {"unknown"},
    "ValueError(p)": set(),
    "p()": {"unknown"},
}
MODULE = """
    import datetime, json, logging, os, random, re, requests, subprocess, time
    from pathlib import Path
    from requests import get
    log = logging.getLogger(__name__)
    def helper(x): return x
"""


@pytest.mark.parametrize("call", CALLS)
def test_effects_of_calls(call):
    assert step_of(f"a = {call}", module=MODULE).effects == CALLS[call]


def test_what_a_step_reads_writes_and_changes():
    step = step_of("self.a.b = d[k] + x\ndel d[k], x", parameters="self, d, k, x")
    assert step.reads == {"self", "self.a", "d", "d[]", "k", "x"}
    assert (step.writes, step.mutates, step.deletes) == ({"self.a.b"}, {"self"}, set())
    step = step_of("self.a.b = d[k] + x\ndel d[k], x", "2", parameters="self, d, k, x")
    assert step.deletes == {"d[]", "x"} and step.mutates == {"d"}
    nested = step_of("for i, x in enumerate(p):\n    import json\n    q.send(json.loads(x))\n    if i: break")
    assert nested.writes == {"i", "x", "json"} and nested.mutates == {"p", "q"}
    assert nested.imports == ("json",) and not nested.exits


def test_steps_have_ids_by_position():
    body = """
        if p: a = 1
        elif q:
            a = 2
        else:
            a = 3
        try: b = 1; c = 2
        except ValueError:
            b = 2
        finally:
            match a:
                case 1:
                    b = 3
        for x in p:
            if x: continue
        else:
            pass
    """
    steps = {step.step_id: step for step in analysis_of(body).steps}
    assert list(steps) == [
        *("1", "1.1", "1e.1", "1e.1.1", "1e.1e.1", "2", "2.1", "2x1.1", "2f.1", "2f.1c1.1"),
        *("3", "3.1", "3.1.1", "3e.1"),
    ]
    assert steps["1e.1"].kind == "elif" and steps["2.1"].text == "b = 1; c = 2"
    assert steps["2f.1c1.1"].control == ("2", "2f.1") and steps["2f.1c1.1"].block == "2f.1c1"
    assert steps["3.1.1"].exits and steps["3.1"].exits and not steps["3"].exits


# --- orders and groups -----------------------------------------------------------------------------------

SEVERAL = "a = 1\nb = 2\nc = a\nd = []\nprint(b)\nreturn a, b, c, d"


def inversions(order):
    return sum(int(one) > int(other) for one, other in itertools.combinations(order, 2))


def test_permutations_are_safe_different_and_begin_with_the_nearest():
    analysis = analysis_of(SEVERAL)
    found = permutations(analysis, "", 1000)
    assert found[0] == ("2", "1", "3", "4", "5", "6")
    assert [inversions(order) for order in found] == sorted(map(inversions, found))
    every = {tuple(order) for order in networkx.all_topological_sorts(analysis.graph)}
    assert set(found) == every - {("1", "2", "3", "4", "5", "6")} and len(found) == len(every) - 1
    assert permutations(analysis, "", 3) == found[:3] and permutations(analysis, "", 0) == []


def test_independent_groups_are_pairwise_free_and_maximal():
    analysis = analysis_of(SEVERAL)
    groups = independent_groups(analysis)
    assert ("1", "2", "4") in groups and ("3", "4", "5") in groups
    for group in groups:
        assert all(movable(analysis, one, other) for one, other in itertools.combinations(group, 2))
        others = [name for name in analysis.graph if name not in group]
        assert not any(all(movable(analysis, one, other) for one in group) for other in others)


def test_a_step_that_may_leave_is_in_no_group():
    analysis = analysis_of("if p: return 1\na = 0\nb = 1\nreturn a, b")
    assert movable(analysis, "1", "2") and independent_groups(analysis) == [("2", "3")]


def test_steps_of_different_blocks_do_not_change_places():
    analysis = analysis_of("a = 1\nif p:\n    b = 1\nreturn a")
    assert not movable(analysis, "1", "2.1") and not movable(analysis, "1", "1") and not movable(analysis, "1", "9")


COMMENTED = '''\
def other(): pass


@decorated
def f(p):  # head
    # what it does

    """Doc."""
    a = 1  # beside a

    # above b
    b = [
        2,  # inside b
    ]
    if a:
        # above c
        c = 1
        # below c

    # above g
    @cached
    # between
    def g():
        pass
    return a, b, g  # end
    # foot
'''


def test_comments_belong_to_the_step_below_them():
    analysis = analyse(COMMENTED, "f")
    lines = {step.step_id: (step.start, step.end, step.line) for step in analysis.steps}
    assert lines == {
        "1": (6, 8, 8),
        "2": (9, 9, 9),
        "3": (10, 14, 12),
        "4": (15, 18, 15),
        "4.1": (16, 17, 17),
        "5": (19, 24, 23),
        "6": (25, 25, 25),
    }


def test_the_file_that_people_read():
    found = json.loads(json.dumps(as_json(analysis_of("a = p.x\nb = a\nprint(b)"))))
    assert found["entry"] == "f" and [step["text"] for step in found["steps"]] == ["a = p.x", "b = a", "print(b)"]
    assert found["steps"][0]["reads"] == ["p", "p.x"]
    edge = next(edge for edge in found["edges"] if edge["before"] == "1" and edge["after"] == "2")
    assert edge["why"] == ["2 reads a, which 1 writes"] and edge["kinds"] == ["data"]
    ends = next(edge for edge in found["edges"] if edge["before"] == "1" and edge["after"] == "3")
    assert ends["why"][0] == "1 may raise, and 3 may end early too"


def test_it_is_the_same_whatever_the_order_of_sets():
    code = (
        "import json; from dreamflow.dreams import drawing; from dreamflow.pyanalysis import analysis\n"
        f"found = analysis.analyse({COMMENTED + SEVERAL_FUNCTION!r}, 'g')\n"
        "print(json.dumps(analysis.as_json(found)), drawing.dependency_svg(found, 'g'))"
    )
    outputs = set()
    for seed in ("1", "2"):
        environment = os.environ | {"PYTHONHASHSEED": seed, "PYTHONPATH": str(SCRIPTS)}
        outputs.add(
            subprocess.run([sys.executable, "-c", code], env=environment, check=True, capture_output=True).stdout
        )
    assert len(outputs) == 1


SEVERAL_FUNCTION = (
    "def g(p, q, self):\n    self.x = p.y = q[0]\n    try: p.z(q, self)\n    except: del p, q\n    print(self)\n"
)


@pytest.mark.parametrize(
    ("source", "message"),
    [("def f(:", "not valid Python"), ("def g(): pass", "no function of that name"), ("class f: pass", "no function")],
)
def test_what_cannot_be_analysed(source, message):
    with pytest.raises(DreamflowError, match=message):
        analyse(source, "f")


# --- nobody can tell -------------------------------------------------------------------------------------

# An object that does whatever operators may do: prints, keeps what it gets, changes it later, raises.
WORLD = """
COUNT = 0
KEPT = []
def changed():
    for kept in KEPT:
        if isinstance(kept, list): kept.append(7)
class Noisy:
    def __init__(self): self.__dict__["n"] = 1
    def __setattr__(self, name, value): print("set", name); KEPT.append(value); self.__dict__[name] = value
    def __getattr__(self, name): raise AttributeError(name)
    def __add__(self, other): print("add"); KEPT.append(other); changed(); return other
    __radd__ = __add__
    def __eq__(self, other): print("eq"); KEPT.append(other); return False
    def __bool__(self): print("bool"); changed(); return len(KEPT) % 2 == 0
    def __len__(self): print("len"); return 2
    def __iter__(self): print("iter"); return iter([1, 2])
    def __call__(self, *got): print("call"); changed(); KEPT.extend(got)
    def __repr__(self): print("repr"); return "Noisy"
class Last:
    def __del__(self): print("last use", len(KEPT))
class Swallow:
    def __enter__(self): return self
    def __exit__(self, *error): print("exit"); return True
def keep(x): KEPT.append(x); return x
def same(x): return x
def note(): print("note")
def read(): return 4
def touch():
    global COUNT
    COUNT = len(KEPT); print("touch"); changed()
    return [kept() for kept in KEPT if type(kept).__name__ == "function"]
"""
# I and J stand for any of a, b, c; L and M for xs or ys.
SIMPLE = """
    I = 0|I = 1|I = J|I += 1|I = I + J|I = I // J|I = len(L)|I = L[0]|I = p|I = -J|I = I < J|I = I if J else L
    I = L.pop()|L = []|L = M|L = [I]|L = list(M)|L = L + M[:2]|L.append(I)|L.append(M)|L += M[:2]|L[0] = I
    del L[0]|L.sort()|L.reverse()|L = [x for x in M]|L = sorted(M)|L = [lambda: I]|L.extend(M[:2])|L = p
    L.clear()|L = M = []|I, L = L, I|L = I or []|s = ''|s = f'{I}'[:9]|s = f'{L}'[:9]|s += 'x'|s = s.upper()
    I = s|L = s.split()|I = s in L|I = s == J|s = str(I)[:9]|print(1)|print(I)|print(s)|del I|p.n = I|I = p.n
    p.n += 1|I = p + J|p(L)|I = p == L|I = bool(p)|I = not L|print(len(L))|keep(L)|I = keep(J)|I = same(L)
    touch()|I = COUNT|COUNT = I|d = {}|d[I] = L|I = d[J]|L = list(d.items())|I = d.get(J)|I = Last()|I = None
    assert I|I = (J := 2)|L = [(J := x) for x in M]|I = lambda: J|I = I() if callable(I) else 0|note()
    I = isinstance(J, int)|I = J is None|I = min(I, J)|I = sum(x for x in L)|I, J = L|I, *L = p|I = 1; J = I
    I = read()|raise ValueError(I)|return L|return I, L|def I(): return J|def I(x=L): return x
    import math as I|I = (x for x in L)
"""
HEADS = ("if I:", "if I is None:", "for I in M[:3]:", "for I, x in enumerate(M[:2]):", "for I, J in zip(p, range(2)):")
HEADS += ("with Swallow():", "try:", "try:")
TAILS = ("except (ValueError, TypeError):", "except Exception as I:", "finally:")
NAMES = {"I": "abc", "J": "abc", "L": ("xs", "ys"), "M": ("xs", "ys")}
BEGINNING = ("a = 0", "b = 1", "c = 2", "xs = [1, 2]", "ys = []", "s = 'x'", "d = {}")


@st.composite
def blocks(draw, depth=0):
    """The lines of a block of statements."""

    def line(choices):
        text = draw(st.sampled_from(choices))
        return re.sub(r"\b[IJLM]\b", lambda place: draw(st.sampled_from(NAMES[place.group()])), text)

    lines = []
    for _ in range(draw(st.integers(1, 6 - 2 * depth))):
        if depth == 2 or draw(st.integers(0, 7)):
            lines.append(line([text.strip() for text in SIMPLE.strip().replace("\n", "|").split("|")]))
            continue
        heads = [line(HEADS)]
        if heads[0] == "try:":
            heads.append(line(TAILS))
        for head in heads:
            lines += [head, *("    " + inner for inner in draw(blocks(depth + 1)))]
    return lines


def show(value, seen):
    """A value as text, with numbers for objects that can change: shows who shares which."""
    if isinstance(value, list | tuple | dict) or type(value).__name__ == "Noisy":
        if id(value) in seen:
            return f"#{seen[id(value)]}"
        seen[id(value)] = len(seen)
        parts = value.__dict__ if type(value).__name__ == "Noisy" else value
        parts = [part for pair in parts.items() for part in pair] if isinstance(parts, dict) else parts
        return f"{type(value).__name__}({', '.join(show(part, seen) for part in parts)})"
    return repr(value) if isinstance(value, int | str | None) else type(value).__name__


def behaviour(source, argument):
    """All that a caller of f can notice: result or exception, what is printed, kept, and left in the argument."""
    module, printed = {}, io.StringIO()
    gc.disable()  # or objects of a reference cycle would say their last word at any time
    exec(compile(WORLD + source, "<procedure>", "exec"), module)
    given_ = module["Noisy"]() if argument == "object" else list(argument)
    with contextlib.redirect_stdout(printed):
        try:
            outcome = ["gives", module["f"](given_)]
        except Exception as error:
            outcome = ["raises", type(error).__name__, *error.args]
        left = show([outcome, given_, module["KEPT"], module["COUNT"]], {})
    gc.enable()
    return left, re.sub("0x[0-9a-f]+", "", printed.getvalue())


@settings(max_examples=100, deadline=None)
@given(blocks(), st.sets(st.sampled_from(BEGINNING)), st.booleans(), st.randoms(use_true_random=False))
def test_nobody_can_tell_that_steps_have_changed_places(lines, left_out, is_global, random):
    body = ["global COUNT"] * is_global + [line for line in BEGINNING if line not in left_out] + lines
    source = "def f(p):\n" + indent("\n".join([*body, "return a, b, xs, ys, s"]), "    ") + "\n"
    try:
        compile(WORLD + source, "<procedure>", "exec")
    except SyntaxError:  # a name that is bound in vain: `global COUNT` and the like
        return
    analysis = analyse(WORLD + source, "f", {"same": (), "note": ("log",), "read": ("read:files",)})
    variants = [(block, order) for block in analysis.blocks for order in permutations(analysis, block, 8)]
    for block in analysis.blocks:
        variants.append((block, shuffled(analysis, block, random)))
        steps = analysis.blocks[block]
        assert all(one.end + 1 == other.start for one, other in itertools.pairwise(steps))
    start = len(WORLD)
    for argument in ("object", (1, 2)):
        expected = behaviour(source, argument)
        for block, order in variants:
            changed = reordered(analysis, block, order)
            assert behaviour(changed[start:], argument) == expected, changed[start:]


def reordered(analysis, block, order):
    """The source with the steps of a block in another order."""
    lines = analysis.source.splitlines(keepends=True)
    steps = {step.step_id: lines[step.start - 1 : step.end] for step in analysis.blocks[block]}
    first, last = analysis.blocks[block][0].start - 1, analysis.blocks[block][-1].end
    return "".join([*lines[:first], *itertools.chain(*map(steps.get, order)), *lines[last:]])


def shuffled(analysis, block, random):
    """Some order of a block that the graph allows."""
    waiting = [step.step_id for step in analysis.blocks[block]]
    order = []
    while waiting:
        ready = [name for name in waiting if not set(analysis.graph.predecessors(name)) & set(waiting)]
        order.append(random.choice(ready))
        waiting.remove(order[-1])
    return tuple(order)
