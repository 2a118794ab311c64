"""Stages, the kinds of generation, and the kinds of their prompts."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from .model import Json


@dataclass(frozen=True)
class PromptKind:
    """A folder of templates, `raw_root/templates/<name>/`: the variables that they can use, the default parser of the
    answers, and the default sampling parameters."""

    name: str
    variables: tuple[str, ...]
    parser: str
    sampling: Mapping[str, Json] = field(default_factory=dict)


@dataclass(frozen=True)
class Stage:
    """A kind of generation: the folder below data/gens/, the first letter of its ids, the suffix of its parsed file.

    `prompts` are the kinds of prompt that its generations can have. `planner` is a module of the family: its function
    `rows(family)` plans the generations, from those that the family has planned, where `compile()` does not.
    """

    name: str
    prefix: str
    prompts: tuple[PromptKind, ...]
    suffix: str = ".txt"
    planner: str = ""

    @property
    def parsed_name(self) -> str:
        """The file that holds what was read from a generation's raw text."""
        return f"parsed{self.suffix}"
