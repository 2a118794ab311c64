"""What a check says of variants: readable problems, duplicates, signatures, and claims that it proves itself."""

import shutil
import subprocess
from textwrap import dedent

import pytest
from dreamflow.dreams.check import Candidate, check_variants, unified_diff
from dreamflow.dreams.procedure import Procedure

SOURCE = '''\
"""Orders."""

import json
import logging


def fetch(url):
    return json.loads(url)


def total(items: list, rate: float = 0.2, *, timeout: int = 30) -> float:
    """The total of some items."""
    logging.info("start")
    low = len(items)
    high = low + 1
    base = fetch("a")
    extra = fetch("b")
    for item in items:
        base += item
    return base + extra * rate + low + high
'''


def procedure(source=SOURCE, entry="total", effects=None):
    effects = {"fetch": ("read:network",), "logging.info": ("log",)} if effects is None else effects
    return Procedure("shop.total", "shop", "pricing", (), (), "", entry, source, effects, {}, {}, (), True)


def check(code, kind="sample", adds=(), site="whole", base=None):
    candidate = Candidate(dedent(code), kind, kind != "sample", tuple(adds), site)
    return check_variants(base or procedure(), {"v": candidate})["v"]


def changed(*pairs, kind="sample", adds=(), site="whole"):
    code = SOURCE
    for old, new in pairs:
        assert old in code
        code = code.replace(old, new)
    return check(code, kind, adds, site)


def test_a_good_variant():
    entry = changed(("base += item", "base = base + item * 2"))
    assert entry.compiles and entry.passed
    assert entry.problems == [] and entry.undefined == []
    assert (entry.signature, entry.claims, entry.duplicate_of) == ("kept", "none", None)
    assert entry.nearest == "base"
    assert 0 < entry.novelty == entry.distance_to_base < 0.1
    assert "-        base += item\n+        base = base + item * 2\n" in entry.diff


PROBLEMS = {
    "syntax": ("def total(:\n    pass\n", "does not compile: line 1: "),
    "return outside": ("def total(items, rate=0.2, *, timeout=30): pass\nreturn 1\n", "'return' outside function"),
    "null byte": ("x = '\0'\n", "does not compile: "),
    "nothing": ("", "the entry point 'total' is missing"),
    "another name": ("def sum_up(items): return 1\n", "the entry point 'total' is missing"),
    "async": ("async def total(items, rate=0.2, *, timeout=30): return 1\n", "is an async function"),
    "class": ("class total:\n    pass\n", "is a class"),
    "lambda": ("total = lambda items, rate=0.2, *, timeout=30: 1\n", "is not a function"),
    "hidden by a class": (SOURCE + "class total: pass\n", "is a class"),
    "no import": (SOURCE.replace("import json\n", ""), "undefined name 'json' in line 7"),
    "no helper": (SOURCE.replace("def fetch(", "def get("), "undefined name 'fetch' in line 16"),
    "nested too deeply": ("x = " + "(" * 150 + "1" + ")" * 150 + "\n" + SOURCE, None),
    "a long sum": ("x = " + " + ".join("a" * 3000) + "\n", "does not compile: nested too deeply"),
}


@pytest.mark.parametrize(("code", "problem"), PROBLEMS.values(), ids=PROBLEMS)
def test_problems_are_said_in_a_line(code, problem):
    entry = check(code)
    if problem is None:
        assert entry.passed
        return
    assert not entry.passed
    assert any(problem in line for line in entry.problems)
    assert all(line and "\n" not in line for line in entry.problems)


def test_code_that_does_not_compile_has_no_distance():
    entry = check("def total(:\n")
    assert not entry.compiles
    assert (entry.novelty, entry.distance_to_base, entry.nearest) == (0, 0, "base")
    assert entry.diff.startswith("--- a/total.py\n+++ b/total.py\n")


def test_names_that_the_base_lacks_too_are_no_problem_of_the_variant():
    source = SOURCE.replace("import json\n", "")
    entry = check(source.replace("base += item", "base += 2 * item"), base=procedure(source))
    assert entry.passed and entry.undefined == []


SIGNATURES = {
    "annotations": ("items: list, rate: float = 0.2, *, timeout: int = 30)", "items, rate=0.2, *, timeout=30)", "kept"),
    "spelling of a default": ("rate: float = 0.2", "rate: float = 0.20", "kept"),
    "added with a default": ("timeout: int = 30", "timeout: int = 30, depth: int = 3", "added: depth=3"),
    "added before keywords": ("rate: float = 0.2,", "rate: float = 0.2, depth=3,", "added: depth=3"),
    "added **kwargs": ("timeout: int = 30", "timeout: int = 30, **options", "added: **kwargs"),
}  # fmt: skip


@pytest.mark.parametrize(("old", "new", "signature"), SIGNATURES.values(), ids=SIGNATURES)
def test_signatures_that_calls_can_bear(old, new, signature):
    entry = changed((old, new))
    assert entry.passed, entry.problems
    assert entry.signature == signature


BROKEN_SIGNATURES = {
    "removed": ("rate: float = 0.2, ", "", "signature: rate is missing"),
    "renamed": ("rate: float = 0.2", "share: float = 0.2", "signature: rate is missing"),
    "order": ("items: list, rate: float = 0.2", "rate: float, items: list = ()", "signature: the order is rate, items"),
    "default": ("timeout: int = 30", "timeout: int = 60", "signature: the default of timeout is 60, not 30"),
    "default removed": ("timeout: int = 30", "timeout: int", "signature: the default of timeout is missing, not 30"),
    "type of a default": ("timeout: int = 30", "timeout: int = 30.0", "the default of timeout is 30.0, not 30"),
    "kind": ("rate: float = 0.2, *,", "rate: float = 0.2,", "signature: timeout is positional, not keyword-only"),
    "required": ("*, timeout: int = 30", "*, user, timeout: int = 30", "signature: user is new and has no default"),
    "in between": ("rate: float = 0.2", "depth: int = 1, rate: float = 0.2", "depth is new and comes before rate"),
}


@pytest.mark.parametrize(("old", "new", "problem"), BROKEN_SIGNATURES.values(), ids=BROKEN_SIGNATURES)
def test_signatures_that_calls_stumble_over(old, new, problem):
    entry = changed((old, new), ("* rate", "* 1"))
    assert any(problem in line for line in entry.problems)
    assert entry.signature.startswith("changed: ")


def test_only_the_declared_default_may_change():
    site = "11:50 timeout*2"
    entry = changed(("timeout: int = 30", "timeout: int = 60"), kind="parameters", site=site)
    assert entry.passed and entry.signature == "declared: timeout=60"
    entry = changed(("rate: float = 0.2", "rate: float = 0.4"), kind="parameters", site=site)
    assert entry.problems == ["signature: the default of rate is 0.4, not 0.2"]
    entry = changed(("timeout: int = 30", "timeout: int"), kind="parameters", site=site)
    assert not entry.passed
    entry = changed(("timeout: int = 30", "timeout: int = 60"), kind="relax", site=site)
    assert not entry.passed


def test_positional_only_and_starred_parameters():
    base = procedure("def total(a, /, b, *args, c=1, **kwargs): return a\n")
    entry = check("def total(a, /, b, *rest, d=2, c=1, **options): return b\n", base=base)
    assert entry.passed and entry.signature == "added: d=2"
    entry = check("def total(a, /, b, x=1, *args, c=1, **kwargs): return b\n", base=base)
    assert entry.problems == ["signature: x is new and comes before *args"]
    entry = check("def total(a, b, /, c=1): return b\n", base=base)
    assert "signature: *args is missing" in entry.problems
    assert "signature: b is positional-only, not positional" in entry.problems
    assert "signature: c is positional, not keyword-only" in entry.problems
    assert "signature: **kwargs is missing" in entry.problems


def test_duplicates_of_the_base_and_of_earlier_siblings():
    variant = SOURCE.replace("base += item", "base += 2 * item")
    codes = {
        "same": SOURCE.replace("# ", "").replace('"""Orders."""', '"""All orders."""'),
        "first": variant,
        "broken": "def",
        "second": variant.replace("low", "lowest"),
        "third": variant.replace("2 * item", "3 * item"),
    }
    entries = check_variants(procedure(), {name: Candidate(c, "sample", False, (), "") for name, c in codes.items()})
    assert [entries[name].duplicate_of for name in codes] == ["base", None, None, "first", None]
    assert entries["same"].novelty == entries["second"].novelty == 0
    assert entries["second"].distance_to_base > 0
    assert entries["third"].nearest == "first"
    assert 0 < entries["third"].novelty < entries["third"].distance_to_base
    assert list(entries) == list(codes)


# --- claims ------------------------------------------------------------------------------------------------

SWAPPED = ('    base = fetch("a")\n    extra = fetch("b")\n', '    extra = fetch("b")\n    base = fetch("a")\n')
POOLED = (
    SWAPPED[0],
    "    with ThreadPoolExecutor() as pool:\n"
    '        one = pool.submit(fetch, "a")\n'
    '        two = pool.submit(lambda: fetch("b"))\n'
    "        base = one.result()\n"
    "        extra = two.result()\n",
)
IMPORT = ("import json\n", "import json\nfrom concurrent.futures import ThreadPoolExecutor\n")
LOGGED = '    logging.info("start")\n'
SKIPPED = (LOGGED, '    if not quiet:\n        logging.info("start")\n')
QUIET = ("timeout: int = 30", "timeout: int = 30, quiet: bool = False")

KEPT = {
    "reorder": ([SWAPPED], "reorder", ()),
    "threads": ([IMPORT, POOLED], "parallelise", ()),
    "conditional": ([SKIPPED, QUIET], "conditional", ("quiet",)),
    "conditional, the other way round": (
        [
            ("    low = len(items)\n", "    if run:\n        low = len(items)\n    else:\n        low = None\n"),
            ("timeout: int = 30", "timeout: int = 30, run: bool = True"),
        ],
        "conditional",
        ("run",),
    ),
}


@pytest.mark.parametrize(("pairs", "kind", "adds"), KEPT.values(), ids=KEPT)
def test_claims_that_hold(pairs, kind, adds):
    entry = changed(*pairs, kind=kind, adds=adds)
    assert entry.problems == [] and entry.claims == "verified"
    assert entry.signature == (f"declared: +{adds[0]}" if adds else "kept")


LOW_HIGH = "    low = len(items)\n    high = low + 1\n"
BROKEN = {
    "order of data": (
        [(LOW_HIGH, "    high = low + 1\n    low = len(items)\n")],
        "reorder",
        (),
        "line 15 runs before line 14",
    ),
    "order of effects": ([(LOGGED, ""), (SWAPPED[0], SWAPPED[0] + LOGGED)], "reorder", (), "runs before"),
    "changed on the way": ([SWAPPED, ("+= item", "-= item")], "reorder", (), "line 16 of the base has changed"),
    "a step less": ([(LOGGED, "")], "reorder", (), "the number of steps differs"),
    "a step twice": ([("    high = low + 1\n", "    low = len(items)\n")], "reorder", (), "of the base has changed"),
    "another helper": ([SWAPPED, ("json.loads(url)", "url")], "reorder", (), "code outside the steps"),
    "another decorator": ([SWAPPED, ("def total", "@print\ndef total")], "reorder", (), "code outside the steps"),
    "no threads": ([SWAPPED], "parallelise", (), "no steps run at the same time"),
    "dependent steps": (
        [
            IMPORT,
            (
                LOW_HIGH,
                "    with ThreadPoolExecutor() as pool:\n"
                "        a = pool.submit(len, items)\n"
                "        b = pool.submit(lambda: low + 1)\n"
                "        low = a.result()\n"
                "        high = b.result()\n",
            ),
        ],
        "parallelise",
        (),
        "line 14 and line 15 are not independent",
    ),
    "arguments computed early": (
        [IMPORT, (POOLED[0], POOLED[1].replace('lambda: fetch("b")', 'fetch, "b".lower()'))],
        "parallelise",
        (),
        "are computed before the previous steps end",
    ),
    "result left": (
        [IMPORT, (POOLED[0], POOLED[1].replace("        base = one.result()\n", ""))],
        "parallelise",
        (),
        "the result of a future is not used",
    ),
    "work in between": (
        [IMPORT, (POOLED[0], POOLED[1].replace("        base =", "        print(pool)\n        base ="))],
        "parallelise",
        (),
        "is not part of a plain group of futures",
    ),
    "other default": (
        [SKIPPED, ("timeout: int = 30", "timeout: int = 30, quiet: bool = True")],
        "conditional",
        ("quiet",),
        "the number of steps differs",
    ),
    "asked twice": (
        [SKIPPED, QUIET, ("return base", "return quiet or base")],
        "conditional",
        ("quiet",),
        "of the base has changed",
    ),
    "another branch makes a global local": (
        [(LOGGED, SKIPPED[1] + "    else:\n        logging = None\n"), QUIET],
        "conditional",
        ("quiet",),
        "changes the scope of names",
    ),
    "not declared": ([SKIPPED, QUIET], "conditional", (), "declares no keyword parameter"),
    "wrong signature": ([SWAPPED, ("rate: float = 0.2, ", "")], "reorder", (), "not the same function"),
}


@pytest.mark.parametrize(("pairs", "kind", "adds", "reason"), BROKEN.values(), ids=BROKEN)
def test_claims_that_do_not_hold(pairs, kind, adds, reason):
    entry = changed(*pairs, kind=kind, adds=adds)
    assert reason in entry.claims
    assert not entry.passed
    assert any(reason in problem for problem in entry.problems)


def test_declared_parameters_have_to_be_there():
    entry = changed(SWAPPED, kind="conditional", adds=("quiet",))
    assert "signature: quiet is declared but missing" in entry.problems


# --- diffs -------------------------------------------------------------------------------------------------

TEXTS = {
    "plain": ("a\nb\nc\n", "a\nx\nc\n"),
    "no final line break": ("a\nb", "a\nc"),
    "final line break added": ("a\nb", "a\nb\n"),
    "form feed": ("a\n\x0cb\nc\n", "a\n\x0cb\nd\n"),
    "line separators": ("a = '\u2028'\nb\n", "a = '\u2028'\nc\n"),
}


@pytest.mark.skipif(not shutil.which("patch"), reason="patch is not installed")
@pytest.mark.parametrize(("base", "variant"), TEXTS.values(), ids=TEXTS)
def test_a_diff_can_be_applied(tmp_path, base, variant):
    (tmp_path / "x.py").write_text(base, encoding="utf-8", newline="")
    diff = unified_diff(base, variant, "x")
    subprocess.run(["patch", "-p1", "-s"], cwd=tmp_path, input=diff.encode(), check=True)
    assert (tmp_path / "x.py").read_bytes().decode() == variant


def test_no_diff_of_equal_texts():
    assert unified_diff("a\n", "a\n", "x") == ""
