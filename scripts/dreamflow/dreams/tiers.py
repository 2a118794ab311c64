"""Tiers: what a verdict, a check and a test say together. 1 is viable, 2 speculative, 3 goes to the archive.

| what is known                                                       | tier                               |
|---------------------------------------------------------------------|------------------------------------|
| it duplicates another, or its check failed                          | 3, whatever a verdict says         |
| there is no verdict                                                 | none                               |
| its test failed, or it differs although labelled safe               | the verdict's, but 2 at best       |
| nothing could be tested, or its original is flaky                   | the verdict's, but 2 at best       |
| its test says equivalent, or that it differs as it may              | the verdict's                      |
"""

from collections.abc import Mapping

from ..generation.model import Json
from ..sandbox.runs import FAILED
from .check import Check
from .equivalence import Trial
from .spec import Tiers
from .verdict_parser import TIERS, tier_of


def test_passed(outcome: str | None, safe: bool) -> bool:
    """Whether a test lets a variant into tier 1: it behaves as the original does, or differs and may."""
    return outcome == "equivalent" or (outcome == "differs" and not safe)


test_passed.__test__ = False  # pytest: it is no test


def final_tier(
    verdict: Mapping[str, Json] | None,
    check: Check | None,
    test: Trial | None,
    safe: bool,
    tiers: Tiers,
) -> tuple[int | None, str]:
    """The tier of a variant and why, in words. `tiers` has the thresholds `viable` and `speculative`.

    `verdict` {viability} is None where none was given; `check` is None for a variant that was not made, `test` for
    one that was not run.
    """
    if not check:
        return None, "it was not made"
    if check.duplicate_of:
        same = "its original" if check.duplicate_of == "base" else check.duplicate_of
        return 3, f"it is the same program as {same}"
    if not check.passed:
        return 3, f"its check failed: {'; '.join(check.problems)}"
    if not verdict:
        return None, "there is no verdict on it"
    viability = verdict["viability"]
    tier = tier_of(viability, tiers.viable, tiers.speculative)
    why = f"viability {viability:g}: {TIERS[tier]}"
    outcome = test.outcome if test else None
    if tier > 1 or test_passed(outcome, safe):
        return tier, why
    if outcome in FAILED:
        problem = f"its test failed ({outcome})"
    elif outcome == "differs":
        problem = "it was to behave as the original does, and differs"
    elif outcome == "flaky original":
        problem = "its original differs from itself, so that nothing can be compared"
    else:
        problem = "it could not be tested"
    return 2, f"{why}, but not above tier 2, since {problem}"
