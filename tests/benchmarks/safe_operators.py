"""Do variants that claim to be safe behave as their originals do? Those of the functions of `tests/corpus.yaml`.

Run: python tests/benchmarks/safe_operators.py [--inputs N] [--all] [FUNCTION...]
Prints a Markdown table, then everything that is not equivalent, in full. Ends with status 1 if there is any of it.

Of each kind and function at most 3 variants are tested, spread evenly over the list of the operator, which begins with
the most promising; `--all` tests all of them. A variant is compared on the calls of the corpus and on as many generated
ones as it takes to make N. "differ" counts every variant that does anything else than its original: another result or
exception, changed arguments, files or output, code that does not compile. "other" are those that met a limit, or could
not be compared.
"""

import argparse
import os
import sys
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parents[2] / "scripts"))

from corpus import corpus, procedure
from dreamflow.dreams.check import unified_diff
from dreamflow.dreams.equivalence import Trial
from dreamflow.dreams.equivalence import test_procedure as compare
from dreamflow.dreams.operators import operator
from dreamflow.errors import DreamflowError
from dreamflow.pyanalysis.analysis import analyse
from dreamflow.sandbox.isolation import Isolation, Limits, isolation

KINDS = ("reorder", "parallelise", "conditional")
MOST = 3  # variants of a kind and function
LIMITS = Limits(seconds=20)
SEED = 1
_DIFFER = ("differs", "type", "runtime", "syntax", "forbidden")


@dataclass(frozen=True)
class Tested:
    """One variant of a function: where it was made, its diff, and its test in the sandbox."""

    function: str
    kind: str
    site: str
    diff: str
    trial: Trial

    @property
    def ending(self) -> str:
        """The column of the table that it is counted in."""
        outcome = self.trial.outcome
        return "differ" if outcome in _DIFFER else outcome if outcome == "equivalent" else "other"


def measure(name: str, most: int | None, inputs: int) -> tuple[list[Tested], dict[str, int]]:
    """Test at most `most` safe variants of each kind of a function of the corpus; and how many there are, by kind."""
    original = procedure(name)
    analysis = analyse(original.source, original.entry, original.effects)
    listed = {kind: [one for one in operator(kind).variations(original, analysis) if one.safe] for kind in KINDS}
    sources = {f"{kind} {one.site}": one.make() for kind in KINDS for one in _spread(listed[kind], most)}
    claims = dict.fromkeys(sources, True)
    answer = compare(original, sources, inputs=inputs, seed=SEED, limits=LIMITS, safe=claims)
    tested = [
        Tested(name, *key.split(" ", 1), unified_diff(original.source, source, original.entry), answer.variants[key])
        for key, source in sources.items()
    ]
    return tested, {kind: len(variations) for kind, variations in listed.items()}


def _spread(variations: list, most: int | None) -> list:
    """`most` of the variations, evenly from first to last."""
    if most is None or len(variations) <= most:
        return variations
    return [variations[place * (len(variations) - 1) // (most - 1)] for place in range(most)]


def table(tested: Iterable[Tested], found: dict[str, int]) -> Iterator[str]:
    """The lines of the table; `found` says how many variants there are of each kind."""
    tested = list(tested)
    yield "| kind | functions with variants | variants found | tested | calls compared | equivalent | differ | other |"
    yield f"|{'---|' * 8}"
    for kind in (*KINDS, "all"):
        mine = [one for one in tested if kind in (one.kind, "all")]
        endings = [one.ending for one in mine]
        counts = [found[kind] if kind in found else sum(found.values()), len(mine)]
        counts = [len({one.function for one in mine}), *counts, sum(one.trial.inputs_run for one in mine)]
        counts += [endings.count(ending) for ending in ("equivalent", "differ", "other")]
        yield f"| {' | '.join(map(str, [kind, *counts]))} |"


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("functions", nargs="*", metavar="FUNCTION", help="functions of the corpus (default: all)")
    parser.add_argument("--inputs", type=int, default=20, metavar="N", help="calls to compare each variant on (20)")
    parser.add_argument("--all", action="store_true", help=f"test all variants, not {MOST} of a kind and function")
    options = parser.parse_args()
    if unknown := set(options.functions) - set(corpus()):
        parser.error(f"not in the corpus: {', '.join(sorted(unknown))}")
    if not isinstance(way := isolation(), Isolation):
        sys.exit(f"no sandbox can be made here: {way}")
    started = time.perf_counter()
    names = options.functions or list(corpus())
    failed: dict[str, str] = {}

    def attempt(name: str) -> tuple[list[Tested], dict[str, int]]:
        try:
            return measure(name, None if options.all else MOST, options.inputs)
        except DreamflowError as error:  # the others can be measured all the same
            failed[name] = str(error)
            return [], dict.fromkeys(KINDS, 0)

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        measured = list(pool.map(attempt, names))
    tested = [one for variants, _ in measured for one in variants]
    found = {kind: sum(counts[kind] for _, counts in measured) for kind in KINDS}
    print(f"{len(names)} functions, {options.inputs} inputs each, {time.perf_counter() - started:.0f} s, {way}\n")
    print(*table(tested, found), sep="\n")
    bad = [one for one in tested if one.ending != "equivalent"]
    for one in bad:
        print(f"\n## {one.function}: {one.kind} {one.site}: {one.trial.outcome}\n\n{one.trial.reason}\n")
        print(f"{one.trial.counterexample}\n\n```diff\n{one.diff}```")
    for name, reason in failed.items():
        print(f"\n## {name} could not be measured\n\n{reason}")
    return 1 if bad or failed else 0


if __name__ == "__main__":
    sys.exit(main())
