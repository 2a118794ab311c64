"""Variants that claim to be safe behave as their originals do: a slice of the corpus that the benchmark measures."""

from dataclasses import replace

import pytest
from benchmarks import safe_operators
from benchmarks.safe_operators import KINDS, measure, table
from corpus import corpus, procedure
from dreamflow.dreams.operators import Variation, operator
from dreamflow.sandbox.isolation import Isolation, isolation

needs_sandbox = pytest.mark.skipif(not isinstance(isolation(), Isolation), reason=f"no sandbox here: {isolation()}")

# Texts, numbers, a generator, files, nested blocks, a module of a package; the last four with declared effects.
SLICE = (
    *("textwrap.dedent", "statistics._coerce", "statistics.median_grouped", "difflib.unified_diff", "heapq._siftup"),
    *("base64.a85decode", "networkx.utils.misc.make_list_of_ints", "encodings.punycode.decode_generalized_number"),
    *("filecmp.cmp", "ntpath.relpath", "encodings.uu_codec.uu_encode", "hmac.digest"),
)
MOST, INPUTS = 2, 6


@pytest.fixture(scope="module")
def measured():
    # One after the other: in some releases of Python 3.11, two threads that parse at once can end in a SystemError.
    return {name: measure(name, MOST, INPUTS) for name in SLICE}


@needs_sandbox
def test_safe_variants_of_real_functions_are_equivalent(measured):
    tested = [one for variants, _ in measured.values() for one in variants]
    assert [(one.function, one.site, one.trial.reason) for one in tested if one.ending != "equivalent"] == []
    kinds = [one.kind for one in tested]
    assert kinds.count("reorder") >= 15
    assert kinds.count("parallelise") >= 4
    assert kinds.count("conditional") >= 20
    assert all(one.trial.inputs_run >= 5 and one.diff for one in tested)


@needs_sandbox
def test_table_counts_by_kind(measured):
    tested = [one for variants, _ in measured.values() for one in variants]
    found = {kind: sum(counts[kind] for _, counts in measured.values()) for kind in KINDS}
    lines = [[cell.strip() for cell in line.strip("|").split("|")] for line in table(tested, found)]
    columns, _, *rows = lines
    assert [row[0] for row in rows] == [*KINDS, "all"]
    counts = {row[0]: dict(zip(columns[1:], map(int, row[1:]), strict=True)) for row in rows}
    assert counts["parallelise"]["functions with variants"] == 4
    assert counts["all"]["tested"] == counts["all"]["equivalent"] == len(tested)
    assert counts["all"]["differ"] == counts["all"]["other"] == 0
    assert counts["all"]["calls compared"] == sum(one.trial.inputs_run for one in tested)
    assert all(counts[kind]["variants found"] >= counts[kind]["tested"] for kind in KINDS)


@needs_sandbox
def test_a_wrong_variant_is_counted(monkeypatch):
    def wrong(procedure, _):
        changes = {
            "comes out otherwise": ("childpos = rightpos", "childpos = pos + 1"),
            "does not compile": ("endpos = len(heap)", "endpos = = len(heap)"),
            "never ends": ("endpos = len(heap)", "endpos = len(heap)\n    while True: pass"),
            "is the same": ("endpos = len(heap)", "endpos = len(heap)  # of it"),
        }
        sources = {site: procedure.source.replace(*change) for site, change in changes.items()}
        return [Variation(site, site, lambda source=source: source, safe=True) for site, source in sources.items()]

    for kind in KINDS:
        monkeypatch.setattr(operator(kind), "variations", wrong if kind == "reorder" else lambda *_: [])
    monkeypatch.setattr(safe_operators, "LIMITS", replace(safe_operators.LIMITS, seconds=3))
    tested, found = measure("heapq._siftup", None, 5)
    assert {one.site: one.ending for one in tested} == {
        "comes out otherwise": "differ",
        "does not compile": "differ",
        "never ends": "other",
        "is the same": "equivalent",
    }
    row = next(line for line in table(tested, found) if line.startswith("| reorder"))
    assert row.endswith("| 1 | 2 | 1 |")


def test_variants_are_taken_from_first_to_last():
    spread = safe_operators._spread(list(range(10)), 4)
    assert spread == [0, 3, 6, 9]
    assert safe_operators._spread([1, 2], 4) == [1, 2]
    assert safe_operators._spread([1, 2], None) == [1, 2]


def test_corpus_is_large_and_each_function_has_calls():
    assert len(corpus()) >= 70
    assert all(len(card["calls"].splitlines()) >= 3 for card in corpus().values())
    relpath = procedure("ntpath.relpath")
    assert relpath.effects == {"abspath": ("read:environment",), "normpath": ()}
    assert not relpath.generate
    assert procedure("textwrap.dedent").generate
    assert "def dedent" in procedure("textwrap.dedent").source
