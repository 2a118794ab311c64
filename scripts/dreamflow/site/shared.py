"""The pages that belong to no family: Home, Spending, Runs."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..errors import DreamflowError
from ..generation.budgets import Budget
from .home import home_facts
from .page import Page
from .runs import night_pages, runs, runs_page
from .spending import spending_page

if TYPE_CHECKING:
    from ..plan import Plan
    from .build import Site


@dataclass(frozen=True)
class Surroundings:
    """What the site needs to know of the run: what waits for whom, as `snakemake pending` says it, and the budgets."""

    waiting: Callable[[], str]
    budgets: Sequence[Budget]


def spending_pages(plan: "Plan", around: Surroundings) -> Iterator[Page]:
    """What was spent."""
    yield spending_page(plan.world.layout, around.budgets)


def run_pages(plan: "Plan", around: Surroundings) -> Iterator[Page]:
    """Runs, and each night."""
    root = plan.world.layout.root
    yield from night_pages(root)
    waiting, problem = "", ""
    try:
        waiting = around.waiting()
    except DreamflowError as error:
        problem = str(error)
    yield runs_page(plan, runs(root), waiting, problem)


def home_pages(plan: "Plan", site: "Site") -> Iterator[Page]:
    """Home."""
    layout = plan.world.layout
    status = runs(layout.root)
    facts = {"overview": lambda: home_facts(site, status, layout)}
    yield Page("index.html", "Home", "home", "home.html", facts, is_index=True)
