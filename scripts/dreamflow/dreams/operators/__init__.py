"""Operators: functions that list the variants of a procedure which need no model.

| operator      | what it changes                                                        | safe |
|---------------|------------------------------------------------------------------------|------|
| `reorder`     | the order of steps that do not depend on each other                      | yes  |
| `parallelise` | independent steps run at the same time                                   | yes  |
| `parameters`  | a timeout, threshold, number of retries, delay or limit                  | no   |
| `conditional` | a step becomes optional through a new argument; its default keeps the step | yes  |
| `fallback`    | the call is retried with exponential back-off, or has an alternative     | no   |
"""

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Variation:
    """One variant that an operator can make.

    `site` says where and what, unique within procedure and operator (`12:8 timeout*2`). `make()` is the whole new
    source. `safe` claims the same behaviour for every call that the original accepts; `adds` are parameters that
    the entry gains, each with a default.
    """

    site: str
    description: str
    make: Callable[[], str]
    safe: bool = False
    adds: tuple[str, ...] = ()


from . import conditional, fallback, parallelise, parameters, reorder  # noqa: E402  (they need `Variation`)

# name -> the function that lists variations of a procedure with an analysis, the most promising first, and its
# version, which is raised with its behaviour
OPERATORS = {
    one.__name__.rpartition(".")[2]: (one.variations, 1)
    for one in (reorder, parallelise, parameters, conditional, fallback)
}
