"""Operators: what they find in a procedure, and that every variant they list is whole, different and honest."""

import ast
import importlib
import io
import os
import subprocess
import sys
import threading
import tokenize
from collections import Counter
from pathlib import Path
from textwrap import dedent

import pytest
from dreamflow.dreams.claims import broken_claim
from dreamflow.dreams.operators import OPERATORS, operator
from dreamflow.dreams.operators.relax import sites
from dreamflow.dreams.operators.synthesise import FLOOR, WEIGHTS, partners, parts, similarity
from dreamflow.dreams.procedure import Procedure, load_procedures
from dreamflow.pyanalysis.analysis import analyse
from dreamflow.pyanalysis.syntax import name_of

ROOT = Path(__file__).parents[2]
CORPUS = [
    "textwrap",
    "shutil",
    "statistics",
    "string",
    "bisect",
    "heapq",
    "fnmatch",
    "posixpath",
    "calendar",
    "difflib",
]
CONSTRAINTS = {"order", "necessity", "error path", "timing", "resource"}


def procedure(source, entry="run", effects=None, **fields):
    values = {"procedure_id": "p.run", "project": "p", "category": "c", "tags": (), "contexts": (), "description": ""}
    values |= {"fakes": {}, "files": {}, "inputs": (), "generate": True, **fields}
    return Procedure(entry=entry, source=dedent(source), effects=effects or {}, **values)


def variations(name, source, effects=None):
    given = procedure(source, effects=effects)
    return operator(name).variations(given, analyse(given.source, given.entry, given.effects))


def variant(name, source, site, effects=None):
    """The code of the one variation whose site contains this."""
    found = [v for v in variations(name, source, effects) if site in v.site]
    assert len(found) == 1, [v.site for v in found]
    return found[0].make()


def executed(code, **names):
    space = {}
    exec(compile(code, "<variant>", "exec"), space)
    space.update(names)
    return space


# --- all of them, over functions of the standard library -----------------------------------------------------


def functions_of(module):
    """The source of every top-level function of a module, by its name."""
    text = Path(importlib.import_module(module).__file__).read_text(encoding="utf-8")
    lines = text.split("\n")
    for node in ast.parse(text).body:
        if isinstance(node, ast.FunctionDef):
            start = min(part.lineno for part in (node, *node.decorator_list))
            yield node, "\n".join(lines[start - 1 : node.end_lineno]) + "\n"


def comments(code):
    tokens = tokenize.generate_tokens(io.StringIO(code).readline)
    return Counter(token.string for token in tokens if token.type == tokenize.COMMENT)


@pytest.mark.parametrize("module", CORPUS)
def test_every_variation_of_a_corpus_is_whole_and_different(module):
    for node, source in functions_of(module):
        calls = {name_of(part.func) for part in ast.walk(node) if isinstance(part, ast.Call)}
        # with calls that are said to be harmless, there is more to reorder
        for effects in ({}, dict.fromkeys(calls - {""}, ("read:network",))):
            given = procedure(source, node.name, effects)
            analysis = analyse(source, node.name, effects)
            relaxations = sites(given, analysis)
            assert len({relaxation.site for relaxation in relaxations}) == len(relaxations)
            for name in OPERATORS:
                if effects and name not in ("reorder", "parallelise"):
                    continue
                found = operator(name).variations(given, analysis)
                assert len({v.site for v in found}) == len(found)
                for v in found:
                    where = f"{module}.{node.name}: {name} at {v.site}"
                    assert len(v.site) <= 80 and v.site.isascii() and v.site.isprintable() and "|" not in v.site
                    code = v.make()
                    assert code != source, where
                    tree = ast.parse(code)
                    compile(tree, where, "exec")
                    assert any(isinstance(n, ast.FunctionDef) and n.name == node.name for n in tree.body), where
                    assert comments(code) == comments(source), where
                    assert v.safe == (name in ("reorder", "parallelise")) or name == "conditional", where
                    if name in ("reorder", "parallelise", "conditional"):
                        assert not broken_claim(analysis, code, name, v.adds), where
                    if name == "reorder":
                        assert sorted(code.split("\n")) == sorted(source.split("\n")), where
                    if name == "parameters":
                        pairs = zip(source.split("\n"), code.split("\n"), strict=True)
                        assert sum(old != new for old, new in pairs) == 1, where


def listing():
    """Everything that operators say of the project's own procedures, as one text."""
    found = []
    for given in load_procedures(ROOT / "data/1_raw/procedures").values():
        analysis = analyse(given.source, given.entry, given.effects)
        for name in OPERATORS:
            variations = operator(name).variations(given, analysis)
            found += [f"{name} {v.site} {v.description} {v.make()}" for v in variations]
        found += map(str, sites(given, analysis))
    return "\n".join(found)


def test_listings_do_not_depend_on_the_process():
    path = os.pathsep.join([str(ROOT / "scripts"), str(ROOT / "tests" / "unit")])
    code = "import hashlib, test_operators; print(hashlib.sha256(test_operators.listing().encode()).hexdigest())"
    digests = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "PYTHONPATH": path, "PYTHONHASHSEED": seed},
            check=True,
            capture_output=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert len(digests) == 1


def test_local_operators_are_listed():
    assert list(OPERATORS) == ["reorder", "parallelise", "parameters", "conditional", "fallback"]


# --- reorder -------------------------------------------------------------------------------------------------

REORDER = '''
def run(path):
    """Text."""
    # about x,
    # in two lines
    x = read(path)

    # about y
    y = load(
        path,
    )  # behind y
    return x, y
'''
READS = {"read": ("read:files",), "load": ("read:network",), "save": ("write:files",)}


def test_reorder_takes_comments_along_and_leaves_blank_lines():
    found = variations("reorder", REORDER, READS)
    assert [(v.site, v.safe) for v in found] == [("4-11 ba", True)]
    assert found[0].description == "lines 4-11 in another order: y = load(; x = read(path)"
    first, second = (
        "    # about x,\n    # in two lines\n    x = read(path)\n",
        REORDER[REORDER.index("    # about y") :],
    )
    second = second[: second.index("    return")]
    assert found[0].make() == REORDER.replace(f"{first}\n{second}", f"{second}\n{first}")


ORDERED = {
    "read after write": "x = read(path)\n    y = load(x)",
    "write after read": "x = read(path)\n    path = load(1)",
    "write after write": "x = read(path)\n    x = load(path)",
    "effects": "x = read(path)\n    save(path)",
    "chain": "x = read(path)\n    y = [x]\n    z = load(y)",
    "may raise": "x = int(path)\n    save(1)",
    "several on a line": "x = read(path); y = load(path)",
    "two constants": "x = []\n    y = {}",
    "the same twice": "load(path)\n    load(path)",
    "a line that goes on": "x = read(path)\n    y = \\\n        load(path) \\\n\n",
}


@pytest.mark.parametrize("body", ORDERED.values(), ids=ORDERED)
def test_reorder_leaves_alone(body):
    assert variations("reorder", f"def run(path):\n    {body}\n    return x\n", READS) == []


def test_reorder_in_inner_blocks_and_at_the_end_of_a_file():
    source = "def run(path):\n    if path:\n        a = read(1)\n        b = load(2)"
    assert [v.make() for v in variations("reorder", source, READS)] == [
        "def run(path):\n    if path:\n        b = load(2)\n        a = read(1)"
    ]


# --- parallelise ---------------------------------------------------------------------------------------------

POOL = '''
"""Figures."""

from __future__ import annotations


def run(host, pool=1):
    total = 0
    # the first
    load = read(host)  # slow
    # the second
    memory: int = load_memory(host, unit=None)
    disks = get(host.name, [pool])
    return total, load, memory, disks
'''
PURE_READS = {"read": ("read:network",), "load_memory": ("read:network",), "get": ("read:network",)}


def test_parallelise_whole_groups_and_pairs():
    found = variations("parallelise", POOL, PURE_READS)
    assert [v.site for v in found] == ["10,12 in threads"]  # an attribute may raise, whatever is said of the call
    assert found[0].safe
    code = found[0].make()
    expected = (
        "    with ThreadPoolExecutor(max_workers=2) as pool_2:\n"
        "        # the first\n"
        "        load_future = pool_2.submit(read, host)  # slow\n"
        "        # the second\n"
        "        memory_future = pool_2.submit(load_memory, host, unit=None)\n"
        "        load = load_future.result()\n"
        "        memory: int = memory_future.result()\n"
    )
    assert expected in code
    assert "from __future__ import annotations\nfrom concurrent.futures import ThreadPoolExecutor\n" in code


def test_parallelised_calls_run_at_the_same_time():
    barrier = threading.Barrier(3, timeout=600)

    def meet(value, **_):
        barrier.wait()
        return value

    source = POOL.replace("get(host.name, [pool])", "get((host, 2))")
    found = variations("parallelise", source, PURE_READS)
    assert [v.site for v in found] == ["10,12,13 in threads", "10,12 in threads", "12,13 in threads"]
    space = executed(found[0].make(), read=meet, load_memory=meet, get=meet)
    assert space["run"]("a") == (0, "a", "a", ("a", 2))


def test_exceptions_come_out_in_the_order_of_the_original():
    def fail(error):
        def function(*_, **__):
            raise error

        return function

    source = POOL.replace("get(host.name, [pool])", "get([host, host])")
    space = executed(
        variant("parallelise", source, "10,12,13", PURE_READS),
        read=lambda host: host,
        load_memory=fail(KeyError("second")),
        get=fail(ValueError("third")),
    )
    with pytest.raises(KeyError, match="second"):
        space["run"]("a")


def test_parallelise_brings_calls_together_past_other_steps():
    source = "def run(a):\n    x = read(a)\n    n = 0\n    y = load_memory(a)\n    return x, y, n\n"
    code = variant("parallelise", source, "2,4", PURE_READS)
    assert executed(code, read=lambda a: a, load_memory=lambda a: -a)["run"](2) == (2, -2, 0)
    assert code.index("result()") < code.index("n = 0")


def test_a_pool_that_is_there_already_stays():
    source = """
        from concurrent.futures import ThreadPoolExecutor as Pool

        def run(a):
            with Pool() as pool:
                z = pool.submit(read, a)
                z = z.result()
            x = read(a)
            y = load_memory(a)
            return x, y, z
    """
    given = procedure(source, effects=PURE_READS)
    analysis = analyse(given.source, "run", PURE_READS)
    found = operator("parallelise").variations(given, analysis)
    assert [v.site for v in found] == ["8,9 in threads"]
    code = found[0].make()
    assert code.count("import") == 1 and code.count("with Pool(") == 2
    assert not broken_claim(analysis, code, "parallelise", ())


SEQUENTIAL = {
    "dependent": "x = read(a)\n    y = load_memory(x)",
    "effects": "x = read(a)\n    y = save(a)",
    "one": "x = read(a)\n    y = 1",
    "builtins": "x = len([a])\n    y = str(1)",
    "walrus": "x = read(n := a)\n    y = load_memory(n)",
    "attribute": "a.x = read(a)\n    a.y = load_memory(a)",
    "bound to a thread": "x = read(decimal)\n    y = load_memory(a)",
    "in a handler": "try:\n        x = y = 0\n    except E:\n        x = read(a)\n        y = load_memory(a)",
}


@pytest.mark.parametrize("body", SEQUENTIAL.values(), ids=SEQUENTIAL)
def test_parallelise_leaves_alone(body):
    assert variations("parallelise", f"def run(a):\n    {body}\n    return x, y\n", PURE_READS | READS) == []


def test_pure_functions_of_plain_values_go_to_processes():
    source = """
        def count(n: int) -> int:
            return sum(range(n))


        def run(a: int, b):
            x = count(a)
            y = count(10)
            z = count(b)
            return x, y, z
    """
    found = variations("parallelise", source, {"count": ()})
    assert [(v.site, v.safe) for v in found] == [
        ("7,8,9 in threads", True),
        ("7,8 in processes", False),
        ("8,9 in threads", True),
    ]
    assert "with ProcessPoolExecutor(max_workers=2) as pool:" in found[1].make()
    assert executed(found[0].make())["run"](3, 4) == (3, 45, 6)


# --- parameters ----------------------------------------------------------------------------------------------

PLACES = {
    "keyword": ("get(url, timeout=30)", "timeout*2", "timeout=60"),
    "float": ("get(url, timeout=0.1)", "timeout*0.75", "timeout=0.075"),
    "float above 1": ("get(url, timeout=2.)", "timeout*1.5", "timeout=3.0"),
    "rounded half up": ("get(url, limit=5)", "limit*0.5", "limit=3"),
    "underscores": ("get(url, chunk_size=10_000)", "chunk_size*10", "chunk_size=100_000"),
    "hexadecimal": ("get(url, buffer=0x10)", "buffer*2", "buffer=32"),
    "constant": ("max_items = 100", "max_items*5", "max_items = 500"),
    "annotated constant": ("cache_ttl: int = 60", "cache_ttl*2", "cache_ttl: int = 120"),
    "product": ("keep = 24 * 60 * 60", "keep*2", "keep = 48 * 60 * 60"),
    "attribute": ("url.batch = 4", "batch*0.5", "url.batch = 2"),
    "comparison": ("return url if size > 8 else 0", "size*2", "size > 16"),
    "comparison the other way": ("return 8 <= url.size", "size*2", "16 <= url.size"),
    "sleep": ("time.sleep(4)", "sleep*0.5", "time.sleep(2)"),
    "retry loop": ("for attempt in range(3): get(url)", "attempts=10", "range(10)"),
    "loop out of a try": ("for _ in range(3):\n        try: return 1\n        except: pass", "attempts=5", "range(5)"),
    "loop from 1": ("for tries in range(1, 4): get(url)", "attempts=2", "range(1, 2)"),
    "retries before bounds": ("get(max_retries=3)", "max_retries=15", "max_retries=15"),
    "lambda": ("f = lambda delay=2: delay", "delay*2", "delay=4"),
    "by position, not by text": ("get(30, a30='30', timeout=30)", "timeout*2", "get(30, a30='30', timeout=60)"),
    "after wide characters": ("get('\u00e4\U0001f600', timeout=30)", "timeout*2", "\U0001f600', timeout=60)"),
}  # fmt: skip


@pytest.mark.parametrize(("line", "site", "expected"), PLACES.values(), ids=PLACES)
def test_parameters_are_found_by_role_and_changed_by_position(line, site, expected):
    source = f"def run(url, size):\n    {line}  # 30\n"
    code = variant("parameters", source, site)
    assert expected in code
    assert code.endswith("  # 30\n")


IGNORED = {
    "no role": "get(url, port=8080)",
    "boolean": "get(url, wait=True)",
    "zero": "get(url, timeout=0)",
    "negative": "get(url, limit=-1)",
    "text": "get(url, timeout='30')",
    "variable": "get(url, timeout=url)",
    "sum": "get(url, timeout=url + 30)",
    "equality": "return size == 8",
    "plain loop": "for i in range(3): get(url)",
    "f-string": 'return f"{get(timeout=30)}"',
    "complex": "get(url, timeout=3j)",
}


@pytest.mark.parametrize("line", IGNORED.values(), ids=IGNORED)
def test_parameters_leaves_alone(line):
    assert variations("parameters", f"def run(url, size):\n    {line}\n") == []


def test_defaults_of_the_entry_come_first_and_places_take_turns():
    source = """
        LIMIT = 3

        def helper(delay=2.0):
            return delay

        def run(a, /, timeout=10, *, retries=3):
            return helper()
    """
    sites = [v.site.split(" ")[1] for v in variations("parameters", source)]
    assert sites == [
        *("timeout*2", "retries=5", "LIMIT*2", "delay*2"),
        *("timeout*0.5", "retries=1", "LIMIT*0.5", "delay*0.5"),
        *("timeout*5", "retries=10", "LIMIT*5", "delay*5"),
        *("timeout*1.5", "retries=2", "LIMIT*1.5", "delay*1.5"),
        *("timeout*0.75", "retries=15", "LIMIT*10", "delay*0.75"),
        *("timeout*10", "delay*10"),
    ]
    assert not any(v.safe for v in variations("parameters", source))


def test_equal_values_are_listed_once_and_the_base_never():
    values = [
        v.make().split("limit=")[1].strip(")\n") for v in variations("parameters", "def run():\n    f(limit=1)\n")
    ]
    assert values == ["2", "5", "10"]
    ladder = [v.site.split("=")[1] for v in variations("parameters", "def run(retries=5): pass\n")]
    assert ladder == ["1", "10", "2", "15"]


# --- conditional ---------------------------------------------------------------------------------------------

SIGNATURES = {
    "none": ("()", "(*, skip_save=False)"),
    "plain": ("(a, b=1)", "(a, b=1, *, skip_save=False)"),
    "trailing comma": ("(a, b=1,)", "(a, b=1, *, skip_save=False)"),
    "annotated": ("(a: int) -> dict[str, int]", "(a: int, *, skip_save: bool = False) -> dict[str, int]"),
    "positional-only": ("(a, /)", "(a, /, *, skip_save=False)"),
    "args": ("(*args)", "(*args, skip_save=False)"),
    "keyword-only": ("(*, a=(1, 2))", "(*, a=(1, 2), skip_save=False)"),
    "kwargs": ("(a=2**3, **kwargs)", "(a=2**3, *, skip_save=False, **kwargs)"),
    "everything": ("(a, /, b, *args, c, **kwargs)", "(a, /, b, *args, c, skip_save=False, **kwargs)"),
    "lines": ("(\n    a,  # one\n    b=1,\n)", "(\n    a,  # one\n    b=1,\n    *,\n    skip_save=False,\n)"),
    "lines, no last comma": (
        "(\n    a,\n    b=1  # two\n)",
        "(\n    a,\n    b=1,  # two\n    *,\n    skip_save=False,\n)",
    ),
    "lines with kwargs": (
        "(\n    a: int,\n    **kwargs,\n)",
        "(\n    a: int,\n    *,\n    skip_save: bool = False,\n    **kwargs,\n)",
    ),
    "brackets in defaults": ("(a='(', b=[(')', 1)])", "(a='(', b=[(')', 1)], *, skip_save=False)"),
}


@pytest.mark.parametrize(("before", "after"), SIGNATURES.values(), ids=SIGNATURES)
def test_conditional_adds_a_keyword_to_any_signature(before, after):
    source = f"import x\n\n@x.y(1)\ndef run{before}:\n    save(1)\n    return 2\n"
    found = variations("conditional", source)
    assert [(v.adds, v.safe) for v in found] == [(("skip_save",), "**kwargs" not in before)]
    assert found[0].make() == (
        f"import x\n\n@x.y(1)\ndef run{after}:\n    if not skip_save:\n        save(1)\n    return 2\n"
    )


def test_conditional_is_not_safe_where_the_new_argument_shows():
    assert not variations("conditional", "def run(a):\n    save(1)\n    return locals()\n")[0].safe


CONDITIONAL = '''
def run(items, skip_check=1):
    if not items:
        raise ValueError
    rows = []
    text = """
one
""" + load(
        items
    )
    for item in items:
        # kept
        rows.append(item)
        last = item
    store(rows)
    assert text, """
    indented"""
    return rows, text, last
'''


def test_conditional_lists_effects_then_checks_then_loops_then_values():
    assert [v.site for v in variations("conditional", CONDITIONAL)] == [
        "15:5 skip_store",
        "13:9 skip_rows_append",
        "3:5 skip_items_check",
        "16:5 skip_text_check",
        "11:5 skip_item_loop",
        "6:5 skip_text",
    ]


def test_conditional_at_its_default_does_what_the_base_does():
    stored = []
    names = {"load": lambda items: str(items), "store": stored.append}
    expected = executed(CONDITIONAL, **names)["run"]([1, 2])
    for v in variations("conditional", CONDITIONAL):
        assert executed(v.make(), **names)["run"]([1, 2]) == expected
    assert len(stored) == 7


def test_conditional_leaves_a_step_out():
    names = {"load": str, "store": len}
    loop = executed(variant("conditional", CONDITIONAL, "skip_item_loop"), **names)["run"]
    assert loop([1], skip_item_loop=True) == ([], "\none\n[1]", None)
    text = executed(variant("conditional", CONDITIONAL, "skip_text_check"), load=lambda _: "", store=len)["run"]
    assert text([1], skip_text_check=True) == ([1], "\none\n", 1)
    check = executed(variant("conditional", CONDITIONAL, "skip_items_check"), **names)["run"]
    with pytest.raises(UnboundLocalError):
        check([], skip_items_check=True)


def test_conditional_does_not_touch_what_cannot_be_left_out():
    source = '''
        import json
        def run(a):
            """Text."""
            global state
            import os
            def inner():
                return save(1)
            x = 1; save(2)
            if a: save(3)
            yield save(4)
            return inner
    '''
    assert [v.site for v in variations("conditional", source)] == ["10:5 skip_a_if"]


def test_a_name_that_only_a_comprehension_binds_stays_global():
    source = "import time\ndef run(x):\n    y = [time for time in load(x)]\n    return time.strftime, y\n"
    run = executed(variant("conditional", source, "skip_y"), load=list)["run"]
    assert run([1])[1] == [1]
    assert run([1], skip_y=True)[1] is None


# --- fallback ------------------------------------------------------------------------------------------------

FALLBACK = '''
"""Pages."""
import time

def fetch(url) -> dict:
    return {}

def run(url, attempt=0, page="old"):
    random = 1
    # the page
    data = fetch(url)  # slow
    page = fetch(page)
    send(data)
    return data, page, random
'''
NETWORK = {"fetch": ("read:network", "raise"), "send": ("write:network", "raise")}


class Clock:
    """Stands for the module time: notes how long it was asked to sleep."""

    def __init__(self):
        self.pauses = []

    def sleep(self, seconds):
        self.pauses.append(seconds)


def failing(errors, value=None):
    """A function that raises these errors, one a call, and then returns the value."""
    left = list(errors)

    def function(*_):
        if left:
            raise left.pop(0)
        return value

    return function


def retried(errors):
    code = variant("fallback", FALLBACK, "11:5 retry fetch", NETWORK)
    clock = Clock()
    space = executed(code, time=clock, send=failing([]), fetch=failing(errors, {"a": 1}))
    return clock, lambda: space["run"]("u")


def test_retry_waits_longer_and_longer_up_to_a_random_part():
    clock, run = retried([OSError(1), ValueError(2)])
    assert run() == ({"a": 1}, {"a": 1}, 1)
    assert len(clock.pauses) == 2
    assert 0 <= clock.pauses[0] <= 0.5
    assert 0 <= clock.pauses[1] <= 1


def test_retry_raises_the_last_error_and_never_catches_an_interrupt():
    clock, run = retried([OSError(1), OSError(2), OSError(3)])
    with pytest.raises(OSError, match="3"):
        run()
    assert len(clock.pauses) == 2
    clock, run = retried([KeyboardInterrupt()])
    with pytest.raises(KeyboardInterrupt):
        run()
    assert clock.pauses == []


def test_retry_reads_well():
    code = variant("fallback", FALLBACK, "11:5 retry fetch", NETWORK)
    assert code == FALLBACK.replace("import time\n", "import time\nimport random as random_2\n").replace(
        "    data = fetch(url)  # slow\n",
        "    for attempt_2 in range(3):\n"
        "        try:\n"
        "            data = fetch(url)  # slow\n"
        "            break\n"
        "        except Exception:\n"
        "            if attempt_2 == 2:\n"
        "                raise\n"
        "            time.sleep(random_2.uniform(0, 0.5 * 2**attempt_2))\n",
    )


ALTERNATIVES = {
    "empty value of the declared type": ("11:5 else data={}", ({}, "p", 1)),
    "value from before": ("12:5 else go on without fetch", ("p", "old", 1)),
    "nothing": ("13:5 else go on without send", ("p", "p", 1)),
}


@pytest.mark.parametrize(("site", "expected"), ALTERNATIVES.values(), ids=ALTERNATIVES)
def test_an_alternative_is_taken_and_logged(site, expected, caplog):
    late = failing([TimeoutError("late")])
    first, second, send = (late if site.startswith(line) else failing([], "p") for line in ("11", "12", "13"))
    fetches = iter([first, second])
    code = variant("fallback", FALLBACK, site, NETWORK)
    space = executed(code, fetch=lambda url: next(fetches)(url), send=send)
    assert space["run"]("u") == expected
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "failed, going on" in caplog.text and "TimeoutError: late" in caplog.text


def test_network_comes_first_and_what_is_handled_already_last():
    source = """
        def run(url):
            try:
                a = fetch(url)
            except OSError:
                a = None
            b = read(url)
            return fetch(b)
    """
    found = variations("fallback", source, {"fetch": ("read:network", "raise"), "read": ("read:files", "raise")})
    assert [v.site for v in found if "retry" in v.site] == ["8:5 retry fetch", "7:5 retry read", "4:9 retry fetch"]
    assert not any(v.safe for v in found)
    space = executed(found[0].make(), fetch=failing([OSError(), OSError()], 5), read=len, time=Clock())
    assert space["run"]("u") == 5


def test_nothing_to_fall_back_from():
    assert variations("fallback", "def run(a):\n    b = [a]\n    return len(b)\n") == []


# --- relax ---------------------------------------------------------------------------------------------------


def test_relaxations_begin_with_different_constraints():
    for given in load_procedures(ROOT / "data/1_raw/procedures").values():
        found = sites(given, analyse(given.source, given.entry, given.effects))
        kinds = [relaxation.constraint for relaxation in found]
        assert set(kinds) <= CONSTRAINTS
        first = len(set(kinds))
        assert first >= 4, given.procedure_id
        assert len(set(kinds[:first])) == first


def test_relaxations_say_what_to_violate():
    source = """
        import time
        def run(urls):
            if not urls:
                raise ValueError("none")
            found = []
            for url in urls:
                try:
                    found.append(fetch(url))
                except (OSError, KeyError):
                    time.sleep(2)
            save(found)
            return found
    """
    effects = {"fetch": ("read:network", "raise"), "save": ("write:files", "raise"), "time.sleep": ("clock",)}
    given = procedure(source, effects=effects)
    found = {r.site: r for r in sites(given, analyse(given.source, "run", effects))}
    assert found["error path 5:9"].place == 'line 5: `raise ValueError("none")`'
    assert 'the procedure stops: line 5: `raise ValueError("none")`' in found["error path 5:9"].request
    assert "in line 10" in found["error path 8:9 (OSError, KeyError)"].request
    assert "`time.sleep(2)`" in found["timing 11:13"].request
    assert found["resource 7:5"].place == "line 7: `for url in urls:`"
    assert found["order 12:5 before 7"].place == "line 12: `save(found)`"
    assert "line 7: `for url in urls:` before line 12: `save(found)`" in found["order 12:5 before 7"].request
    assert {r.constraint for r in found.values()} == CONSTRAINTS


# --- synthesise ----------------------------------------------------------------------------------------------


def related(name, source="def run(a): return a\n", **fields):
    return procedure(source, procedure_id=f"{name}.run", project=name, **fields)


def test_similarity_is_the_weighted_sum_of_its_parts():
    assert sum(WEIGHTS.values()) == pytest.approx(1)
    a = related("a", "def run(path: str, n=1) -> int: return n\n", category="x", tags=("t", "u"), contexts=("c",))
    b = related("b", "def run(path: str, m=1) -> int: return m\n", category="y", tags=("t", "v"), contexts=("c", "d"))
    found = parts(a, b)
    assert found["category"] == 0 and found["cross_domain"] == 1
    assert found["tags"] == pytest.approx(1 / 3) and found["contexts"] == 0.5
    assert found["signature"] == pytest.approx(3 / 5)
    assert 0.5 < found["code"] < 1
    assert similarity(a, b) == similarity(b, a) == pytest.approx(sum(WEIGHTS[n] * p for n, p in found.items()))
    same = parts(a, a)
    assert same["category"] == same["tags"] == same["contexts"] == same["signature"] == same["code"] == 1
    assert same["cross_domain"] == 0
    assert parts(related("a"), related("b"))["tags"] == 0


def test_partners_are_of_other_projects_and_the_best_come_first():
    base = related("a", category="x", tags=("t", "u"), contexts=("c",))
    known = {
        "a.run": base,
        "a.other": related("a", category="x", tags=("t", "u"), contexts=("c",)),
        "d.run": related("d", category="y", tags=("t",)),
        "c.run": related("c", category="y", tags=("t",)),
        "b.run": related("b", category="x", tags=("t", "u")),
        "e.run": related("e", category="y", tags=("v",), contexts=("d",)),
    }
    found = partners(base, known)
    assert [name for name, _ in found] == ["b.run", "c.run", "d.run"]
    assert all(score >= FLOOR for _, score in found)
    assert partners(base, dict(reversed(known.items()))) == found
