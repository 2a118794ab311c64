"""The interface of a family: a kind of work with its specs, its stages and its products.

Shared code (plan, shards, forecast, retry, prune, missing keys, wildcards) loops over `families.FAMILIES`, so you add a
family in one place. Families exchange data through files and never import each other.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from .database.datasets import Dataset
from .database.schema import Source
from .deferred import Deferred
from .errors import ConfigError, unknown
from .files import canonical, checked_name
from .generation.catalog import Catalog
from .generation.layout import Layout
from .generation.model import Generation, as_json
from .generation.models import Model
from .generation.rows import Rows
from .generation.stage import Stage
from .generation.summary import Summaries
from .routing.auto import Router
from .site.page import Page

if TYPE_CHECKING:
    from .generation.budgets import Deadline
    from .settings import Settings  # which has a key of each family
    from .shards import Shards


NOTHING = "nothing configured"  # why a night leaves out a phase


@dataclass
class World:
    """The inputs that families compile, and the plan so far.

    `settings` is the checked configuration. `generations` are the planned generations by id, `origin` has the spec that
    planned an id first, `kept` the stages of unplanned generations that are read. `candidates` are models that specs
    cannot name (yet). `shards` are those of the plan, None if each generation has its own job. `summaries` are what
    tables read of the generations that exist. `router` chooses models where specs say `model: auto`.
    """

    settings: "Settings"
    layout: Layout
    models: dict[str, Model]
    catalog: Catalog
    generations: Rows = field(default_factory=Rows)
    origin: dict[str, str] = field(default_factory=dict)
    kept: dict[str, str] = field(default_factory=dict)
    candidates: dict[str, Model] = field(default_factory=dict)
    shards: "Shards | None" = None
    summaries: Summaries = field(init=False)
    router: Router = field(init=False)

    def __post_init__(self) -> None:
        self.summaries = Summaries(self.layout.root)
        self.router = Router(self.settings.trust, self.layout.root, self.models)


@dataclass
class Report:
    """A result that a person reads: its `title`, its `page`, what it says in `words` (at most a sentence), and the
    `generations` that it is about. `state` is a JSON file beside it that says whether it is complete, `folder` what to
    show instead of the page, `outdated` why it is not up to date ("" if it is), `remedy` what to do without a page,
    `files` further files that belong to it."""

    title: str
    page: Path
    words: str = ""
    generations: Collection[str] = ()
    state: Path | None = None
    folder: Path | None = None
    outdated: str = ""
    remedy: str = ""
    files: Sequence[Path] = ()

    @property
    def where(self) -> Path:
        """The path to show."""
        return self.folder or self.page


class Family:
    """A family in a run. Subclasses set the class variables and override methods.

    `name` is the name of the package, `config_key` the key of config.yaml that lists the specs ("" if the family has no
    specs), and `description` the text on that key in config/README.md. `goals` are the target rules that need the
    family; the default target needs it if `in_default_target`. `section` is the folder of its pages on the site, one of
    `site.page.SECTIONS` or a new one.
    """

    name: ClassVar[str]
    config_key: ClassVar[str] = ""
    description: ClassVar[str] = ""
    section: ClassVar[str] = "home"
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
        self.generations = Rows()  # known when the workflow is parsed
        self.problem = ""  # the error message if it cannot be compiled

    # --- interface ---

    def compile(self) -> None:
        """Plan all specs in the configuration, without side effects. Raises `ConfigError`."""
        raise NotImplementedError

    def deferred(self) -> Sequence[Deferred]:
        """The generations that are read from files of other jobs."""
        return ()

    def follow(self) -> Iterable[str]:
        """The ids of the deferred generations that follow from inputs alone, so that a forecast has them."""
        return ()

    def expected(self) -> int:
        """About how many such generations there are, at little cost: many of them share jobs, as planned ones do."""
        return 0

    def targets(self, goal: str) -> list[str]:
        """The files of this family that the target rule `goal` (or "all") makes."""
        return []

    def reports(self) -> Sequence[Report]:
        """The results of the configured specs, whether they are made yet or not."""
        return ()

    def referenced(self) -> set[str]:
        """The ids of unplanned generations that products of the family still need; `prune` keeps them."""
        return set()

    def preview(self) -> tuple[Mapping[str, Generation], str]:
        """For a dry run: generations that a requested product may need and that are not planned yet, and a text."""
        return {}, ""

    def wildcards(self) -> Mapping[str, Iterable[str]]:
        """The values of each wildcard in the family's rules."""
        return {}

    def cycles(self) -> Mapping[str, tuple[int, int]]:
        """The last begun and the last finished cycle of everything with `cycle: auto`, 0 for none, by key, such as
        `procedures/demo`: a night pins the next one."""
        return {}

    def left_out(self, goal: str) -> str:
        """Why a night leaves out the target rule `goal`; "" if it makes it."""
        return "" if not self.config_key or getattr(self.world.settings, self.config_key) else NOTHING

    def sources(self) -> Sequence[Source]:
        """The sources of the family's tables in the database (see `database.schema`)."""
        return ()

    def index(self, database: Path, show: Callable[[str], None]) -> str:
        """Bring up to date what the family keeps beside the database, which is; returns a line, or "". `show`
        shows how far it is."""
        return ""

    def datasets(self) -> Iterable[Dataset]:
        """What the family exports for `datasets.load_dataset` (see `database.datasets`)."""
        return ()

    def pages(self) -> Iterable[Page]:
        """The pages of the family for the site, from the results that exist."""
        return ()

    def local_text(self, generation: Generation) -> str:
        """The text of a generation of mode `local`."""
        raise NotImplementedError

    def scopes(self, generation: Generation) -> Sequence[str]:
        """The budgets that cover a generation besides those of its spec, the run and the time: `tier:<name>` for its
        quality level, `upgrade` if an upgrade plans it."""
        return ()

    def answer_tokens(self, generation: Generation) -> int | None:
        """The tokens that an answer is expected to have; None: half of its limit."""
        return None

    def deadline(self, generation: Generation, run: str) -> "Deadline | None":
        """The time after which no call of a run for a generation may end, if there is one."""
        return None

    def unfinished(self, goals: Collection[str]) -> str:
        """What to show at the end of a run that could not make all that these target rules need. What has its answers
        may be made before."""
        return ""

    def unit(self, generation: Generation, origin: str) -> tuple[str, ...]:
        """The path of the unit in which generations may share a job: what their consumers wait for. `origin` is the
        spec of the generation."""
        return tuple(origin.split("/"))

    # --- for subclasses ---

    def spec_names(self) -> list[str]:
        """The names of the specs in the configuration. Raises a `ConfigError` if a name is repeated or has no file."""
        names: list[str] = getattr(self.world.settings, self.config_key)
        for position, name in enumerate(names):
            file = self.spec_file(name)
            if name in names[:position]:
                raise ConfigError(f"{name!r} is named twice; delete one entry", (self.config_key, position))
            if not file.exists():
                known = [path.stem for path in Path("config", self.config_key).glob("*.yaml")]
                others = (file.with_suffix(".yml"), Path("config", file.name), Path(file.name))
                astray = next((f"; move {other} there" for other in others if other.exists()), "")
                raise ConfigError(
                    f"{unknown('name', name, known)} (no file {file}{astray})", (self.config_key, position)
                )
        return names

    def spec_file(self, name: str) -> Path:
        """The file of a spec."""
        return Path(f"config/{self.config_key}/{checked_name(name, self.config_key)}.yaml")

    def add(self, origin: str, generations: Mapping[str, Generation]) -> None:
        """Plan the generations of a spec. Another spec may plan the same generations, but only with equal rows."""
        world = self.world
        known = world.generations.source
        for gen_id in generations if known else ():
            if gen_id not in known:
                continue
            existing, row = known[gen_id][gen_id], generations[gen_id]
            if existing is not row and existing != row:
                raise ConfigError(_conflict(existing, row, world.origin[gen_id], origin))
        for gen_id in generations:
            self.generations.source[gen_id] = known.setdefault(gen_id, generations)
            world.origin.setdefault(gen_id, origin)

    def stage_of(self, gen_id: str) -> str:
        """The stage of a planned or deferred generation."""
        if gen_id in self.generations:
            return self.generations.stage(gen_id)
        return next(one.generations[gen_id].stage for one in self.deferred() if gen_id in one.generations)

    def result_files(self, stage: str, gen_ids: Iterable[str]) -> list[str]:
        """The files of these generations that a job depends on which reads their texts: metadata.json and the parsed
        files, which may be edited by hand, or the files of their shards, which change with them."""
        paths = self.metadata_files(stage, gen_ids)
        if self.world.shards:
            return paths
        return [*paths, *(f"{path.removesuffix('metadata.json')}{self.layout.parsed_name(stage)}" for path in paths)]

    def metadata_files(self, stage: str, gen_ids: Iterable[str]) -> list[str]:
        """The metadata.json files of the given generations of a stage, or the files of their shards."""
        if self.world.shards:
            return self.world.shards.files(gen_ids)
        return [self.layout.metadata(stage, gen_id) for gen_id in gen_ids]

    def stage_files(self, stage: str, *, only: bool = False) -> list[str]:
        """The metadata.json files of all planned generations of a stage, or the files of their shards; with `only`,
        the jobs of shards make this stage and what it needs, and nothing else."""
        gen_ids = [gen_id for gen_id in self.generations if self.generations.stage(gen_id) == stage]
        if only and self.world.shards:
            return self.world.shards.files(gen_ids, stage)
        return self.metadata_files(stage, gen_ids)


def _conflict(existing: Generation, row: Generation, first: str, second: str) -> str:
    old, new = as_json(existing), as_json(row)
    different = [key for key in {**old, **new} if old.get(key) != new.get(key)]
    return (
        f"{row.stage} {row.gen_id} is planned twice with different {', '.join(different)}: "
        f"by {first} ({canonical({key: old.get(key) for key in different})}) "
        f"and by {second} ({canonical({key: new.get(key) for key in different})}). "
        "Settings are not part of an id: give one of the models a separate id in models.yaml."
    )
