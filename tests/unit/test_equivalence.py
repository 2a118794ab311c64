"""Originals and variants in the sandbox: every outcome, every aspect that is compared, generated inputs."""

import ast
import json
import re
from dataclasses import replace

import pytest
from dreamflow.dreams.equivalence import Counterexample, Trials
from dreamflow.dreams.equivalence import test_procedure as compare
from dreamflow.dreams.procedure import Procedure
from dreamflow.dreams.smaller import smaller
from dreamflow.errors import ConfigError
from dreamflow.generation.model import as_json, from_json
from dreamflow.sandbox.isolation import Isolation, Limits, isolation
from msgspec import structs

LIMITS = Limits(seconds=20, memory_mb=256, processes=16, output_kb=256, disk_mb=8)
SHORT = replace(LIMITS, seconds=3)  # where a limit of time is what is tested; what ends by itself takes milliseconds

needs_sandbox = pytest.mark.skipif(not isinstance(isolation(), Isolation), reason=f"no sandbox here: {isolation()}")


def procedure(source, *inputs, **parts):
    card = {"inputs": inputs, "generate": False, "effects": {}, "fakes": {}, "files": {}, "card": "p/f.yaml"}
    texts = {"procedure_id": "p.f", "project": "p", "category": "test", "description": "", "entry": "f"}
    return Procedure(**texts, **{**card, **parts}, tags=(), contexts=(), source=source)


def args(*values, **named):
    return {"args": list(values), "kwargs": named}


def run(original, variants, count=5, safe=None, seed=1, limits=LIMITS):
    return compare(original, variants, inputs=count, seed=seed, limits=limits, safe=safe)


def verdict(original, variant):
    """What is said of one variant, besides times."""
    return structs.replace(run(original, {"v": variant}).variants["v"], seconds_ratio=None)


def without_times(answer):
    text = re.sub(r'"(seconds|seconds_ratio)": [^,}]+', r'"\1": 0', json.dumps(as_json(answer), sort_keys=True))
    return json.loads(text)


# --- outcomes -------------------------------------------------------------------------------------------

TOTAL = """
def f(items, start=0):
    total = start
    for item in items:
        total += item
    return total
"""
OUTCOMES = {
    "equivalent": (TOTAL.replace("total += item", "total = item + total"), "behaves the same on 3 inputs"),
    "differs": (TOTAL.replace("start=0", "start=1"), "f([]): result 1, where the original has 0 (1 of 3 inputs agree)"),
    "syntax": ("def f(items:\n", "SyntaxError"),
    "runtime": (TOTAL.replace("return total", "return totals"), "raises NameError: name 'totals' is not defined"),
    "type": (TOTAL.replace("+= item", "+= [item]"), "raises TypeError"),
    "timeout": (TOTAL.replace("return", "while True: pass\n    return"), "gives no answer within 3 s"),
    "resource": (TOTAL.replace("return", "b = bytes(1 << 30)\n    return"), "uses more than 256 MB of memory"),
    "forbidden": (TOTAL.replace("return", "open('/etc/passwd')\n    return"), "read /etc/passwd"),
}


@pytest.fixture(scope="module")
def totals():
    original = procedure(TOTAL, args([1, 2, 3]), args([]), args([5], start=2))
    sources = {outcome: source for outcome, (source, _) in OUTCOMES.items()}
    stuck = run(original, {"timeout": sources.pop("timeout")}, limits=SHORT)
    found = run(original, sources, safe={"differs": True})
    return structs.replace(found, variants={**found.variants, **stuck.variants})


@needs_sandbox
@pytest.mark.parametrize("outcome", OUTCOMES)
def test_outcomes(outcome, totals):
    found = totals.variants[outcome]
    assert found.outcome == outcome
    assert OUTCOMES[outcome][1] in found.reason
    assert "\n" not in found.reason


@needs_sandbox
def test_the_answer_is_plain_and_complete(totals):
    assert totals.isolation == str(isolation())
    assert totals.inputs == ["f([1, 2, 3])", "f([])", "f([5], start=2)"]
    original = as_json(totals.original)
    assert original.pop("seconds") > 0
    assert original == {"status": "steady", "reason": "the same twice on 3 inputs", "not_used": {}, "tried": []}
    same = as_json(totals.variants["equivalent"])
    assert same.pop("seconds_ratio") is None  # calls of microseconds
    assert same == {
        **{"outcome": "equivalent", "reason": "behaves the same on 3 inputs", "inputs_run": 3, "agreeing": 3},
        "counterexample": None,
    }
    differs = totals.variants["differs"]
    assert (differs.inputs_run, differs.agreeing) == (3, 1)
    assert differs.counterexample == Counterexample("f([])", "result", "0", "1")
    assert differs.reason.startswith("was to behave the same, but: ")
    assert totals == from_json(json.loads(json.dumps(as_json(totals))), Trials)


@needs_sandbox
def test_the_time_of_calls_is_compared_where_they_take_any():
    slow = "def f(n):\n    return sum(range(n))\n"
    found = run(procedure(slow, args(3_000_000)), {"v": slow.replace("sum(", "0 + sum(")}, count=1)
    assert found.variants["v"].seconds_ratio > 0


@needs_sandbox
def test_a_variant_that_meets_limits_is_given_up():
    calls = [args(n) for n in range(6)]
    found = run(
        procedure("def f(x):\n    return x\n", *calls), {"v": "def f(x):\n    while True: pass\n"}, limits=SHORT
    )
    assert (found.variants["v"].outcome, found.variants["v"].inputs_run) == ("timeout", 3)
    one = run(
        procedure("def f(x):\n    return x\n", *calls),
        {"v": "def f(x):\n    while x == 4: pass\n    return x\n"},
        limits=SHORT,
    )
    assert (one.variants["v"].inputs_run, one.variants["v"].agreeing) == (6, 5)
    assert one.variants["v"].counterexample.call == "f(4)"


@needs_sandbox
def test_modules_that_do_not_load():
    original = procedure("def f():\n    return 1\n", args())
    broken = {
        "import": "import nothing_of_that_name\ndef f():\n    return 1\n",
        "missing": "def g():\n    return 1\n",
        "exits": "import sys\nsys.exit(3)\n",
        "type": "None + 1\n",
    }
    found = run(original, broken).variants
    assert {name: item.outcome for name, item in found.items()} == dict.fromkeys(broken, "runtime")
    assert "defines no 'f'" in found["missing"].reason


# --- the original ---------------------------------------------------------------------------------------


@needs_sandbox
@pytest.mark.parametrize(
    "expression",
    ["random.SystemRandom().random()", "time.time_ns()", "repr(object())", "str(uuid.uuid4())", "id([])"],
)
def test_flaky_originals(expression):
    source = f"import random, time, uuid\ndef f(x):\n    return {expression}\n"
    answer = run(procedure(source, args(1), args(2)), {"same": source})
    assert answer.original.status == "flaky"
    assert answer.variants["same"].outcome == "flaky original"
    assert "2 of 2 inputs" in answer.variants["same"].reason


@needs_sandbox
@pytest.mark.parametrize(
    "expression",
    ["random.random()", "list({'a', 'b', 'c', 'd'})", "time.localtime(0)", "object()", "hash('a')", "float('nan')"],
)
def test_what_only_seems_flaky(expression):
    source = f"import random, time\ndef f():\n    return {expression}\n"
    assert verdict(procedure(source, args()), source).outcome == "equivalent"


@needs_sandbox
def test_inputs_on_which_the_original_is_flaky_or_stuck_are_left_out():
    source = """
import os
def f(x):
    if x == 1: return os.urandom(4)
    while x == 2: pass
    if x == 3: return bytes(1 << 30)
    return x
"""
    variants = {"same": source, "odd": source.replace("== 1", "== 4")}
    answer = run(procedure(source, *(args(n) for n in range(6))), variants, limits=SHORT)
    assert answer.inputs == ["f(0)", "f(4)", "f(5)"]
    assert answer.original.not_used == {
        "f(1)": "behaves differently from one run to the next",
        "f(2)": "gives no answer within 3 s",
        "f(3)": "uses more than 256 MB of memory",
    }
    assert answer.variants["same"].outcome == "equivalent"
    assert answer.variants["odd"].counterexample.call == "f(4)"


@needs_sandbox
@pytest.mark.parametrize(
    ("source", "status", "said"),
    [
        ("import nothing_of_that_name\ndef f(x):\n    pass\n", "runtime", "No module named 'nothing_of_that_name'"),
        ("def f(x):\n    while True: pass\n", "timeout", "gives no answer within 3 s"),
        ("def f(x):\n    return bytes(1 << 30)\n", "resource", "uses more than 256 MB"),
    ],
)
def test_originals_that_cannot_be_used(source, status, said):
    answer = run(procedure(source, args(1)), {"v": "def f(x):\n    return 1\n"}, limits=SHORT)
    assert answer.original.status == status
    assert answer.variants["v"].outcome == "untested"
    assert said in answer.variants["v"].reason


@needs_sandbox
def test_a_procedure_without_inputs_is_untested():
    answer = run(procedure("def f():\n    return 1\n"), {"v": "def f():\n    return 2\n"})
    assert answer.variants["v"].outcome == "untested"
    assert "no inputs" in answer.variants["v"].reason


@needs_sandbox
def test_inputs_are_generated_where_a_default_is_a_list():
    source = "def f(n: int, more=[], named={}) -> int:\n    return n + len(more) + len(named)\n"
    found = run(procedure(source, generate=True), {"v": source.replace("n + len(more)", "len(more) + n")}, count=4)
    assert (len(found.inputs), found.variants["v"].outcome) == (4, "equivalent")


@needs_sandbox
def test_what_the_original_raises_is_behaviour():
    source = "def f(x):\n    return 10 // x\n"
    original = procedure(source, args(0))
    assert verdict(original, source.replace("10 // x", "(10 + 0) // x")).outcome == "equivalent"
    found = verdict(original, "def f(x):\n    return x\n")
    assert (found.outcome, found.counterexample.aspect) == ("differs", "exception")
    assert found.counterexample.original.startswith("raises ZeroDivisionError")
    assert found.counterexample.variant == "returns 0"
    other = verdict(original, "def f(x):\n    raise KeyError(x)\n")
    assert (other.outcome, other.counterexample.variant) == ("differs", "raises KeyError: 0")


@needs_sandbox
def test_what_the_original_tries_outside_is_told_and_allowed_to_the_variant():
    source = "def f():\n    try:\n        return open('/etc/hostname').read()\n    except OSError:\n        return ''\n"
    answer = run(procedure(source, args()), {"same": source, "more": source.replace("hostname", "hosts")})
    assert answer.original.tried == ["read /etc/hostname"]
    assert {name: found.outcome for name, found in answer.variants.items()} == {
        "same": "equivalent",
        "more": "forbidden",
    }


# --- aspects --------------------------------------------------------------------------------------------

ASPECTS = {
    "result": ("return 1", "return 1.0"),
    "result, order of a dict": ("return {1: 1, 2: 2}", "return {2: 2, 1: 1}"),
    "result, kind of sequence": ("return [1]", "return (1,)"),
    "result, generator": ("return (n for n in range(3))", "return (n for n in range(4))"),
    "result, end of a generator": ("return (1 // n for n in (1, 0))", "return (1 // n for n in (1,))"),
    "result, large": ("return list(range(100_000))", "return [*range(99_999), 0]"),
    "result, attributes": ("return Thing(a=1)", "return Thing(a=2)"),
    "result, slots": ("return Slotted(1)", "return Slotted(2)"),
    "result, class": ("return Thing()", "return Other()"),
    "result, function": ("return len", "return max"),
    "result, negative zero": ("return 0.0", "return -0.0"),
    "arguments": ("x.append(1)", "x.append(2)"),
    "printed": ("print('a')", "print('b')"),
    "printed, as error": ("print('a', file=sys.stderr)", "print('a')"),
    "printed, by a process": ("subprocess.run(['echo', 'a'])", "subprocess.run(['echo', 'b'])"),
    "files": ("open('new', 'w').write('a')", "open('new', 'w').write('b')"),
    "files, name": ("open('new', 'w')", "open('old', 'w')"),
    "files, executable": ("open('new', 'w')", "open('new', 'w')\n    os.chmod('new', 0o755)"),
    "files, removed": ("pass", "os.remove('kept.txt')"),
    "calls": ("send('a')", "send('b')"),
    "calls, number": ("send('a')", "send('a')\n    send('a')"),
    "calls, order": ("send(1)\n    send(2)", "send(2)\n    send(1)"),
    "calls, by name": ("send(1)", "send(to=1)"),
    "exception": ("raise ValueError('a')", "raise ValueError('b')"),
}
ASPECT = """
import os, subprocess, sys
class Thing:
    def __init__(self, **parts): vars(self).update(parts)
class Other(Thing): pass
class Slotted:
    __slots__ = ('a',)
    def __init__(self, a): self.a = a
def send(*args, **kwargs): pass
def fetch(x): pass
def f(x):
    BODY
"""


def aspect_procedure(body):
    effects = {"send": ("write:network",), "fetch": ("read:network",)}
    fakes = {"send": {}, "fetch": {"returns": 7}}
    parts = {"effects": effects, "fakes": fakes, "files": {"kept.txt": "kept"}}
    return procedure(ASPECT.replace("BODY", body), args([]), **parts)


@needs_sandbox
@pytest.mark.parametrize(("original", "variant"), ASPECTS.values(), ids=ASPECTS)
def test_aspects(original, variant, request):
    found = verdict(aspect_procedure(original), ASPECT.replace("BODY", variant))
    assert found.outcome == "differs"
    assert found.counterexample.aspect == request.node.callspec.id.partition(",")[0]
    assert found.counterexample.original != found.counterexample.variant


@needs_sandbox
@pytest.mark.parametrize(
    ("original", "variant"),
    [("pandas.DataFrame({'a': [1, 2]})", "pandas.DataFrame({'a': [1, 3]})"), ("numpy.zeros(9)", "numpy.zeros(9, int)")],
)
def test_tables_and_arrays_are_compared_by_what_they_hold(original, variant):
    source = f"import numpy, pandas\ndef f():\n    return {original}\n"
    answer = run(procedure(source, args()), {"same": source, "other": source.replace(original, variant)})
    assert [found.outcome for found in answer.variants.values()] == ["equivalent", "differs"]


SAME = {
    "order of attributes": ("return Thing(a=1, b=2)", "return Thing(b=2, a=1)"),
    "order of a set": ("return {'a', 'b', 'c'}", "return {'c', 'b', 'a'}"),
    "objects that hold themselves": ("x.append(x)\n    return x", "x.append(x)\n    return x[0]"),
    "order of reads": ("return [fetch(1), fetch(2)]", "b = fetch(2)\n    return [fetch(1), b]"),
    "threads": (
        "return [fetch(n) for n in range(6)]",
        "from concurrent.futures import ThreadPoolExecutor\n"
        "    with ThreadPoolExecutor(6) as pool: return list(pool.map(fetch, range(6)))",
    ),
    "lines of a traceback": (
        "try: x[9]\n    except IndexError:\n        import traceback; traceback.print_exc()",
        "\n    try: x[9]\n    except IndexError:\n        import traceback; traceback.print_exc()",
    ),
    "place of a warning": ("import warnings; warnings.warn('w')", "\n    import warnings; warnings.warn('w')"),
    "files outside of its folder": ("open('/tmp/scratch', 'w').write('a')", "pass"),
    "state of the module": (
        "x.append(len(Thing.__dict__)); Thing.seen = 1; return x",
        "x.append(len(Thing.__dict__)); Thing.seen = 1; return x",
    ),
}


@needs_sandbox
@pytest.mark.parametrize(("original", "variant"), SAME.values(), ids=SAME)
def test_what_makes_no_difference(original, variant):
    assert verdict(aspect_procedure(original), ASPECT.replace("BODY", variant)).outcome == "equivalent"


@needs_sandbox
def test_calls_do_not_share_state():
    source = (
        "seen = []\ndef f(x):\n    seen.append(x)\n    open('log', 'a').write(x)\n    return seen, open('log').read()\n"
    )
    answer = run(
        procedure(source, args("a"), args("b")),
        {"fresh": "def f(x):\n    open('log', 'a').write(x)\n    return [x], x\n"},
    )
    assert answer.variants["fresh"].agreeing == 2


# --- fakes and values of the card -----------------------------------------------------------------------


@needs_sandbox
def test_fakes_return_raise_and_follow_a_sequence():
    source = """
import time, urllib.request
from dataclasses import dataclass
@dataclass
class Page:
    text: str
def f(url):
    for attempt in range(3):
        try:
            page = fetch(url)
            return page.text, urllib.request.urlopen(url).status, now()
        except TimeoutError as error:
            print(error)
            time.sleep(100)
    return None
"""
    slow = {"raises": "TimeoutError: too slow"}
    fakes = {
        "fetch": {"sequence": [slow, slow, {"returns": {"python": "Page('done')"}}]},
        "urllib.request.urlopen": {"returns": {"attributes": {"status": 200}}},
        "time.sleep": {},
        "now": {"returns": {"python": "datetime.datetime(2024, 1, 1)"}},
    }
    original = procedure(source, args("u"), fakes=fakes)
    variants = {
        "same": source.replace("import time, urllib.request", "import time\nfrom urllib import request").replace(
            "urllib.request.urlopen", "request.urlopen"
        ),
        "two": source.replace("range(3)", "range(2)"),
        "sleeps": source.replace("sleep(100)", "sleep(200)"),
    }
    found = run(original, variants).variants
    assert found["same"].outcome == "equivalent"
    assert found["two"].counterexample.variant == "None"
    assert found["two"].counterexample.original == "('done', 200, datetime.datetime(2024, 1, 1, 0, 0))"
    assert found["sleeps"].counterexample.aspect == "calls"
    assert "time.sleep(200)" in found["sleeps"].counterexample.variant


@needs_sandbox
def test_inputs_of_the_card_are_shown_as_python():
    source = "class Box:\n    def __init__(self, n): self.n = n\ndef f(box, way='a', **more):\n    return box.n\n"
    inputs = (
        args({"python": "Box(n=3)"}, way="b"),
        args({"attributes": {"n": [1, None, {"k": 0.5}]}}),
        {"args": [{"attributes": {"n": 1}}], "kwargs": {"in": "x"}},
        args({"python": "next(Box(n) for n in (1, 2))"}),
    )
    answer = run(procedure(source, *inputs), {"same": source})
    assert answer.variants["same"].agreeing == 4
    assert answer.inputs == [
        "f(Box(n=3), way='b')",
        "f(SimpleNamespace(n=[1, None, {'k': 0.5}]))",
        "f(SimpleNamespace(n=1), **{'in': 'x'})",
        "f(next((Box(n) for n in (1, 2))))",
    ]


@needs_sandbox
@pytest.mark.parametrize(
    ("parts", "said"),
    [
        ({"fakes": {"time.doze": {}, "client.send": {}}}, None),
        ({"fakes": {"g.send.all": {}}}, "p/f.yaml: fake g.send.all: there is no 'send.all' to stand in for"),
        ({"fakes": {"g": {"raises": "NoSuchError: x"}}}, "p/f.yaml: fake g: there is no exception 'NoSuchError'"),
        ({"inputs": (args({"python": "1 +"}),)}, "p/f.yaml: '1 +' is no Python expression"),
        ({"inputs": (args({"python": "unknown"}),)}, "p/f.yaml: inputs: f(unknown): NameError"),
    ],
)
def test_cards_that_ask_for_what_is_not_there(parts, said):
    source = "def g(): pass\ndef f(x=1):\n    return g()\n"
    original = procedure(source, **{"inputs": (args(),), **parts})
    if said is None:  # a name that the module does not use
        assert verdict(original, source).outcome == "equivalent"
        return
    with pytest.raises(ConfigError, match=re.escape(said)):
        run(original, {"v": source})


# --- generated inputs -----------------------------------------------------------------------------------

KINDS = """
import datetime, enum, decimal
from dataclasses import dataclass, field
from pathlib import Path
from typing import *
from collections.abc import Callable as Function, Mapping as Map

class Colour(enum.Enum):
    RED = 1
    BLUE = 2
@dataclass
class Job:
    name: str
    tries: int = 3
    tags: list[str] = field(default_factory=list)
class Point(NamedTuple):
    x: int
    y: float = 0.0
class Row(TypedDict):
    key: str
def f(VALUE):
    return value
"""
ANNOTATIONS = {
    "int": r"-?\d+",
    "float": r"-?[\d.e-]+|float\(.*\)",
    "str": r"'.*'( \* 10000)?",
    "bool": "True|False",
    "bytes": r"b'.*'( \* 10000)?",
    "None": "None",
    "Optional[int]": r"None|-?\d+",
    "int | str": r"-?\d+|'.*'( \* 10000)?",
    "Literal['fast', 'slow']": "'fast'|'slow'",
    "Colour": r"Colour\.(RED|BLUE)",
    "list[int]": r"\[.*\]( \* 1000)?",
    "tuple[int, str]": r"\(.*, .*\)",
    "tuple[int, ...]": r"\(.*\)( \* 1000)?",
    "set[int]": r"set\(.*\)",
    "frozenset[str]": r"frozenset\(.*\)",
    "dict[str, int]": r"\{.*\}",
    "Map[str, list[int]]": r"\{.*\}",
    "Path": r"Path\(.*\)",
    "datetime.datetime": r"datetime\.datetime\(.*\)",
    "datetime.date": r"date\(.*\)",
    "datetime.timedelta": r"timedelta\(seconds=.*\)",
    "decimal.Decimal": r"Decimal\('.*'\)",
    "Job": r"Job\(name=.*\)",
    "list[Job]": r"\[(Job\(.*\))?\]( \* 1000)?",
    "Point": r"Point\(x=.*\)",
    "Row": r"dict\(key=.*\)",
    "Function[[int], int]": r"recorder\('value\d+'\)",
    "Iterable[int]": r"\[.*\]( \* 1000)?",
    "Any": ".*",
    "Annotated[int, 'seconds']": r"-?\d+",
}


def generated(parameters, count=16, seed=1, body="return value", files=None):
    source = KINDS.replace("VALUE", parameters).replace("return value", body)
    return run(procedure(source, generate=True, files=files or {}), {}, count, seed=seed).inputs


@pytest.fixture(scope="module")
def drawn():
    """Arguments of generated calls of one function that has a parameter of each kind, as texts."""
    calls = generated(", ".join(f"value{n}: {kind}" for n, kind in enumerate(ANNOTATIONS)), 40, body="return 1")
    assert len(set(calls)) == len(calls) == 40
    arguments = [[ast.unparse(arg) for arg in ast.parse(call).body[0].value.args] for call in calls]
    return dict(zip(ANNOTATIONS, zip(*arguments, strict=True), strict=True))


@needs_sandbox
@pytest.mark.parametrize("annotation", ANNOTATIONS)
def test_generated_values_fit_their_annotation(annotation, drawn):
    for text in drawn[annotation]:
        assert re.fullmatch(ANNOTATIONS[annotation], text, re.S), text
    assert len(set(drawn[annotation])) > 1 or annotation in ("None", "Function[[int], int]")


@needs_sandbox
def test_annotations_that_mean_nothing_at_run_time():
    assert {"f(None)", "f('a')"} <= set(generated("value: 'NotDefinedAnywhere'", count=10))


@needs_sandbox
def test_edge_cases_come_first():
    calls = generated("value: list[int]")
    assert {"f([])", "f([1] * 1000)"} <= set(calls)
    calls = generated("value: int | str | None", count=30)[:15]
    assert {"f(0)", "f(-1)", "f('')", "f('a')", "f(None)"} <= set(calls)


@needs_sandbox
def test_defaults_are_left_out_and_given():
    calls = generated("value: int, /, retries: int = 3, *, name='x', deep: bool = False")
    assert calls[0] == "f(1)"
    for given in ("retries=", "name='", "deep=True"):
        assert 0 < sum(given in call for call in calls) < len(calls)


@needs_sandbox
def test_parameters_without_annotation():
    calls = generated("value, words=('a',), *rest", count=30)
    assert {"f(None)", "f([])", "f({})"} <= set(calls)
    assert any("words=(" in call for call in calls)


@needs_sandbox
def test_constants_and_files_of_the_procedure_are_among_the_values():
    calls = generated("value: str", files={"list.txt": "x"}, body="return value == 'needle'")
    assert {"f('needle')", "f('list.txt')"} <= set(calls)
    assert "f(918)" in generated("value: int", body="return value > 917")


@needs_sandbox
def test_most_generated_inputs_are_accepted():
    source = "def f(x):\n    return x.upper()\n"
    answer = run(procedure(source, generate=True), {"other": source.replace("upper", "lower")}, 12)
    calls = answer.inputs
    assert len(calls) == 12
    assert sum(call[2] not in "'" for call in calls) <= 4
    assert answer.variants["other"].outcome == "differs"


@needs_sandbox
def test_inputs_of_the_card_come_first_and_count():
    original = procedure("def f(x: int):\n    return x\n", args(41), args(42), generate=True)
    calls = run(original, {}, 6).inputs
    assert calls[:2] == ["f(41)", "f(42)"]
    assert len(calls) == 6
    assert run(original, {}, 1).inputs == ["f(41)", "f(42)"]


@needs_sandbox
def test_the_same_seed_gives_the_same_answer():
    source = "def f(items: list[int], sep: str = ','):\n    return sep.join(map(str, items))\n"
    original = procedure(source, generate=True)
    variants = {"sorted": source.replace("items))", "sorted(items)))"), "broken": source.replace("str,", "string,")}
    answers = [run(original, variants, 8) for _ in range(2)]
    assert without_times(answers[0]) == without_times(answers[1])
    assert run(original, {}, 8, seed=2).inputs != answers[0].inputs


# --- counterexamples ------------------------------------------------------------------------------------


@needs_sandbox
def test_counterexamples_are_small():
    source = "def f(items, limit=10):\n    return sorted(items)[:limit]\n"
    call = args([5, 3, 9, 3], limit=7)
    found = verdict(procedure(source, call), source.replace("sorted(items)", "sorted(set(items))"))
    assert found.counterexample == Counterexample("f([0, 0])", "result", "[0, 0]", "[0]")


@needs_sandbox
def test_long_texts_are_shown_where_they_differ():
    source = "def f():\n    return 'a' * 3000 + 'x'\n"
    shown = verdict(procedure(source, args()), source.replace("x", "y")).counterexample
    assert (shown.original[:1], shown.original[-2:], shown.variant[-2:]) == ("…", "x'", "y'")
    assert len(shown.original) <= 301


@pytest.mark.parametrize(
    ("call", "expected"),
    [
        ("f(8)", ["f(0)", "f(1)", "f(4)", "f(7)"]),
        ("f(-8)", ["f(8)", "f(-0)", "f(-1)", "f(-4)", "f(-7)"]),
        ("f(0)", []),
        ("f('ab')", ["f('')", "f('a')", "f('b')"]),
        ("f([1, 2])", None),
        ("f(2.5)", ["f(0.0)", "f(2.0)"]),
        ("f('x' * 99)", None),
        ("f(a=1)", ["f()", "f(a=0)"]),
        ("f(True, None)", []),
    ],
)
def test_smaller_calls(call, expected):
    found = smaller(call)
    assert all(len(text) <= len(call) for text in found)
    if expected is not None:
        assert found == expected
    else:
        assert found


def test_smaller_calls_come_to_an_end():
    calls, rounds = ["f([[3, 'abc'], {'k': (1.5, -2)}], more={1, 2}, box=Box('x'))"], 0
    while calls:
        calls, rounds = smaller(calls[-1]), rounds + 1
    assert 1 < rounds < 200


# --- no sandbox -----------------------------------------------------------------------------------------


def test_without_a_sandbox_nothing_is_run(tmp_path):
    trace = tmp_path / "was-run"
    source = f"open({str(trace)!r}, 'w')\ndef f():\n    open({str(trace)!r}, 'w')\n"
    original = procedure(source, args())
    answer = compare(original, {"v": source}, inputs=5, seed=1, limits=LIMITS, tools=("no-such-tool",))
    assert answer.isolation is None
    assert answer.variants["v"].outcome == "untested"
    assert answer.variants["v"].reason == "no sandbox can be made here: no-such-tool: not installed"
    assert not trace.exists()
