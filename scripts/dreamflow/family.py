"""What a family is: a kind of thing that dreams, with its specs, its stages and its products, behind a few doors.

All that crosses families (plan, forecast, packs, retry, prune, missing keys, wildcards) loops over `families.FAMILIES`,
so a family that is named there is forgotten nowhere. Families meet in files and never import each other.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from .deferred import Deferred
from .errors import ConfigError, unknown
from .files import canonical, checked_name
from .generation.catalog import Catalog
from .generation.layout import Layout
from .generation.model import Generation, as_json
from .generation.models import Model
from .generation.stage import Stage

if TYPE_CHECKING:
    from .settings import Settings  # which has a key of each family


@dataclass
class World:
    """What families are compiled from. `settings` is the checked configuration; `generations` are all that are planned
    so far, by id; `origin` says which spec planned an id first; `kept` has the stage of each generation that is only
    read; `candidates` are models that specs cannot name (yet)."""

    settings: "Settings"
    layout: Layout
    models: dict[str, Model]
    catalog: Catalog
    generations: dict[str, Generation] = field(default_factory=dict)
    origin: dict[str, str] = field(default_factory=dict)
    kept: dict[str, str] = field(default_factory=dict)
    candidates: dict[str, Model] = field(default_factory=dict)


class Family:
    """A family of a run. Subclasses set the class variables and override what they need.

    `name` is that of its package; `config_key` the key of config.yaml that lists its specs, and `description` what
    config/README.md says of that key; `goals` are the target rules that need it, besides the default target if
    `in_default_target`.
    """

    name: ClassVar[str]
    config_key: ClassVar[str]
    description: ClassVar[str]
    stages: ClassVar[tuple[Stage, ...]] = ()
    goals: ClassVar[tuple[str, ...]] = ()
    in_default_target: ClassVar[bool] = True

    def __init_subclass__(cls) -> None:
        """Refuse a family that has deferred generations and forgets what comes with them: products that keep needing
        generations that no plan names, and a dry run that has to show calls and missing keys before they are known."""
        for door in ("referenced", "preview"):
            if cls.deferred is not Family.deferred and getattr(cls, door) is getattr(Family, door):
                raise TypeError(f"{cls.__name__} has deferred generations, so it must define {door}()")

    def __init__(self, world: World) -> None:
        self.world, self.layout = world, world.layout
        self.generations: dict[str, Generation] = {}  # known when the workflow is parsed
        self.problem = ""  # why it could not be compiled

    # --- doors ---

    def compile(self) -> None:
        """Plan all specs that the configuration names; without side effects. Raises `ConfigError`."""
        raise NotImplementedError

    def deferred(self) -> Sequence[Deferred]:
        """The generations that are known only from files."""
        return ()

    def targets(self, goal: str) -> list[str]:
        """The files that the target rule `goal` (or "all") makes of this family."""
        return []

    def referenced(self) -> set[str]:
        """The ids of generations that no plan names and that its products still need: `prune` keeps them."""
        return set()

    def preview(self) -> tuple[Mapping[str, Generation], str]:
        """For a dry run: generations that a wanted product may need and that are not known yet, and a text on them."""
        return {}, ""

    def wildcards(self) -> Mapping[str, Iterable[str]]:
        """The values that each wildcard of its rules can have."""
        return {}

    def local_text(self, generation: Generation) -> str:
        """The text of a generation of mode `local`."""
        raise NotImplementedError

    # --- for subclasses ---

    def spec_names(self) -> list[str]:
        """The specs that the configuration names. Raises a `ConfigError` for a name that it has twice, or that no file
        has."""
        names: list[str] = getattr(self.world.settings, self.config_key)
        for place, name in enumerate(names):
            file = self.spec_file(name)
            if name in names[:place]:
                raise ConfigError(f"{name!r} is named twice; delete one", (self.config_key, place))
            if not file.exists():
                known = [path.stem for path in Path("config", self.config_key).glob("*.yaml")]
                raise ConfigError(f"{unknown('name', name, known)} (no file {file})", (self.config_key, place))
        return names

    def spec_file(self, name: str) -> Path:
        """The file of a spec that the configuration names."""
        return Path(f"config/{self.config_key}/{checked_name(name, self.config_key)}.yaml")

    def add(self, origin: str, generations: Mapping[str, Generation]) -> None:
        """Plan the generations of a spec. Another spec may plan the same ones, but not otherwise."""
        world = self.world
        for gen_id, row in generations.items():
            existing = world.generations.setdefault(gen_id, row)
            if existing is not row and existing != row:
                raise ConfigError(_conflict(existing, row, world.origin[gen_id], origin))
            self.generations[gen_id] = existing
            world.origin.setdefault(gen_id, origin)

    def metadata_files(self, stage: str, gen_ids: Iterable[str] | None = None) -> list[str]:
        """The metadata.json of generations of a stage: of these, or of all that are planned."""
        if gen_ids is None:
            gen_ids = (gen_id for gen_id, row in self.generations.items() if row.stage == stage)
        return [self.layout.metadata(stage, gen_id) for gen_id in gen_ids]


def _conflict(existing: Generation, row: Generation, first: str, second: str) -> str:
    one, two = as_json(existing), as_json(row)
    different = [key for key in {**one, **two} if one.get(key) != two.get(key)]
    return (
        f"{row.stage} {row.gen_id} is planned twice with different {', '.join(different)}: "
        f"by {first} ({canonical({key: one.get(key) for key in different})}) "
        f"and by {second} ({canonical({key: two.get(key) for key in different})}). "
        "Settings are no part of an id: give one of them a model id of its own in models.yaml."
    )
