"""The pages that belong to no family: Home, Spending, Runs."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from .page import Page

if TYPE_CHECKING:
    from ..plan import Plan


def shared_pages(plan: "Plan") -> Iterator[Page]:
    """Home, Spending and Runs."""
    yield Page("index.html", "Home", "home", "home.html", is_index=True)
