"""Stages (kinds of generation) and kinds of prompt."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from .model import Json


@dataclass(frozen=True)
class PromptKind:
    """A folder of templates, `raw_root/templates/<name>/`: the variables of its templates, and the default parser and
    sampling parameters of the answers."""

    name: str
    variables: tuple[str, ...]
    parser: str
    sampling: Mapping[str, Json] = field(default_factory=dict)


@dataclass(frozen=True)
class Stage:
    """A kind of generation: its folder in data/gens/, the first letter of its ids, its kinds of prompt, and the suffix
    of its parsed file.

    `planner` is a module of the family: its function `rows(family)` plans the generations, from those that the family
    has planned, where `compile()` does not.
    """

    name: str
    prefix: str
    prompts: tuple[PromptKind, ...]
    suffix: str = ".txt"
    planner: str = ""

    @property
    def parsed_name(self) -> str:
        """The name of the parsed file."""
        return f"parsed{self.suffix}"
