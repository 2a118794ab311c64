"""The pages that belong to no family: Home, Spending, Runs."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..generation.budgets import Budget
from .page import Page

if TYPE_CHECKING:
    from ..plan import Plan
    from .build import Site


@dataclass(frozen=True)
class Surroundings:
    """What the site needs to know of the run: what waits for whom, as `snakemake pending` says it, and the budgets."""

    waiting: Callable[[], str]
    budgets: Sequence[Budget]


def shared_pages(plan: "Plan", site: "Site", around: Surroundings) -> Iterator[Page]:
    """Home, Spending and Runs."""
    yield Page("index.html", "Home", "home", "home.html", is_index=True)
