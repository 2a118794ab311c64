"""Tiers: the combined result of verdict, check and test. 1 is viable, 2 speculative, 3 goes to the archive.

| state of the variant                                      | tier                        |
|-----------------------------------------------------------|-----------------------------|
| duplicate, or its check failed                            | 3, regardless of a verdict  |
| no verdict                                                | none                        |
| its test failed, or it differs although labelled safe     | the verdict's, 2 at best    |
| not tested, or its original is flaky                      | the verdict's, 2 at best    |
| equivalent, or it differs and is not labelled safe        | the verdict's               |
"""

from collections.abc import Mapping

from ..generation.model import Json
from ..sandbox.runs import FAILED
from .check import Check
from .equivalence import Trial
from .spec import Tiers
from .verdict_parser import TIERS, tier_of


def test_passed(outcome: str | None, safe: bool) -> bool:
    """Whether a test allows tier 1: the variant is equivalent, or it differs and makes no claim to be safe."""
    return outcome == "equivalent" or (outcome == "differs" and not safe)


test_passed.__test__ = False  # not a test of pytest


def final_tier(
    verdict: Mapping[str, Json] | None, check: Check | None, test: Trial | None, safe: bool, tiers: Tiers
) -> tuple[int | None, str]:
    """The tier of a variant and the reason. `tiers` has the thresholds `viable` and `speculative`.

    `verdict` is None without a verdict, `check` for a variant that was not made, `test` for one that was not run.
    """
    if not check:
        return None, "it could not be made"
    if check.duplicate_of:
        same = "its original" if check.duplicate_of == "base" else check.duplicate_of
        return 3, f"it is the same program as {same}"
    if not check.passed:
        return 3, f"its check failed: {'; '.join(check.problems)}"
    if not verdict:
        return None, "it has no verdict"
    viability = verdict["viability"]
    tier = tier_of(viability, tiers.viable, tiers.speculative)
    why = f"viability {viability:g}: {TIERS[tier]}"
    outcome = test.outcome if test else None
    if tier > 1 or test_passed(outcome, safe):
        return tier, why
    if outcome in FAILED:
        problem = f"its test failed ({outcome})"
    elif outcome == "differs":
        problem = "it is labelled safe, but differs from its original"
    elif outcome == "flaky original":
        problem = "its original does not repeat its own results, so nothing can be compared"
    else:
        problem = "it could not be tested"
    return 2, f"{why}, but tier 2 at best: {problem}"
