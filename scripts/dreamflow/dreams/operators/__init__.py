"""Operators: functions that list the variants of a procedure without a model.

| operator      | change                                                                | safe |
|---------------|-----------------------------------------------------------------------|------|
| `reorder`     | the order of steps that do not depend on each other                   | yes  |
| `parallelise` | independent steps run at the same time                                | yes  |
| `parameters`  | a timeout, threshold, number of retries, delay or limit               | no   |
| `conditional` | a step becomes optional by a new parameter; its default keeps the step | yes  |
| `fallback`    | a call is retried with exponential back-off, or has an alternative    | no   |
"""

from collections.abc import Callable
from dataclasses import dataclass


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


from . import conditional, fallback, parallelise, parameters, reorder  # noqa: E402  (they need `Variation`)

# name -> the function that lists the variations of an analysed procedure, the most promising first, and its version,
# which increases with every change of behaviour
OPERATORS = {
    module.__name__.rpartition(".")[2]: (module.variations, 1)
    for module in (reorder, parallelise, parameters, conditional, fallback)
}
