"""Operators: modules that list the variants of a procedure without a model.

An operator has the function `variations(procedure, analysis)`, which lists its variations, the most promising first,
and `VERSION`, which is raised with its behaviour. To add one, write a module here and name it in `OPERATORS`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from types import ModuleType

OPERATORS = {  # modules of this folder, and what each changes
    "reorder": "the order of steps that do not depend on each other",
    "parallelise": "independent steps run at the same time",
    "parameters": "a timeout, threshold, number of retries, delay or limit",
    "conditional": "a step becomes optional through a new argument, whose default keeps it",
    "fallback": "the call is retried with exponential back-off, or has an alternative",
}


@dataclass(frozen=True)
class Variation:
    """One variant of an operator.

    `site` is place and change, unique within procedure and operator (`12:8 timeout*2`). `make()` returns the new
    source. `safe` claims the same behaviour for every call that the original accepts; `adds` are the new parameters of
    the entry, each with a default.
    """

    site: str
    description: str
    make: Callable[[], str]
    safe: bool = False
    adds: tuple[str, ...] = ()


@cache
def operator(name: str) -> ModuleType:
    """The operator called `name`; it is imported here, since it loads what reads code."""
    return import_module(f"{__name__}.{name}")
