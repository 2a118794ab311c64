"""The plan of a configuration: the generations of all families, compiled without side effects when a run starts."""

import gc
from collections import ChainMap
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property
from importlib import import_module
from os.path import normpath
from pathlib import Path

from .deferred import Deferred
from .errors import ConfigError, DreamflowError, unknown
from .families import FAMILIES
from .family import Family, World
from .generation.catalog import load_catalog
from .generation.layout import Layout
from .generation.model import Generation, Json
from .generation.models import Model, load_models
from .settings import Settings, in_config, load_settings
from .shards import Shards


@contextmanager
def _without_collections() -> Iterator[None]:
    """Hold Python's search for cycles of objects while many objects come that have none: it goes through all of them
    again and again. Afterwards it leaves out what exists now."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        if was_on:
            gc.enable()


class Plan:
    """All families of a configuration. A family that cannot be compiled has a `problem`; only its targets fail."""

    def __init__(self, world: World, families: Mapping[str, Family]) -> None:
        self.world, self.families = world, families

    @property
    def problems(self) -> list[str]:
        """The error message of each family that could not be compiled."""
        return [family.problem for family in self.families.values() if family.problem]

    def check(self, families: Iterable[Family] | None = None) -> None:
        """Raise a `DreamflowError` if one of these families (default: all) could not be compiled."""
        families = self.families.values() if families is None else families
        if problems := [family.problem for family in families if family.problem]:
            raise DreamflowError("\n".join(problems))

    def find(self, gen_id: str) -> Generation | None:
        """A planned or deferred generation; None if the id is unknown."""
        if (source := self.world.generations.source.get(gen_id)) is not None:
            return source[gen_id]
        deferred = self._deferred_with(gen_id)
        return deferred.generations[gen_id] if deferred else None

    def _deferred_with(self, gen_id: str) -> Deferred | None:
        for deferred in self.deferred_files:
            if gen_id in deferred.generations:
                self.world.origin.setdefault(gen_id, deferred.origin)
                return deferred
        return None

    @property
    def deferred_files(self) -> list[Deferred]:
        """The files that generations are read from."""
        return [deferred for family in self.families.values() for deferred in family.deferred()]

    def deferred(self) -> dict[str, Generation]:
        """The deferred generations, from the current content of their files."""
        known: dict[str, Generation] = {}
        for deferred in self.deferred_files:
            known |= deferred.generations
            for gen_id in deferred.generations:
                self.world.origin.setdefault(gen_id, deferred.origin)
        return known

    @property
    def generations(self) -> Mapping[str, Generation]:
        """All planned and deferred generations, by id."""
        deferred = self.deferred()
        return ChainMap(deferred, self.world.generations) if deferred else self.world.generations

    def folder(self, gen_id: str) -> Path:
        """The folder of a planned generation, or of an unplanned parent."""
        return self.world.layout.generation(self.stage(gen_id), gen_id)

    def stage(self, gen_id: str) -> str:
        """The stage of a planned generation, or of an unplanned parent."""
        if gen_id in self.world.generations:
            return self.world.generations.stage(gen_id)
        row = self.find(gen_id)
        return row.stage if row else self.world.kept[gen_id]

    def referenced(self) -> set[str]:
        """The ids of all generations that are planned, read by a planned generation, or needed by a product."""
        needed = (gen_id for family in self.families.values() for gen_id in family.referenced())
        return {*self.generations, *self.world.kept, *needed}

    def with_all(self, gen_ids: Collection[str]) -> Mapping[str, Generation]:
        """The generations with at least these: without the deferred ones, which take time, if these are planned."""
        planned = self.world.generations
        return planned if all(gen_id in planned for gen_id in gen_ids) else self.generations

    def needed(self) -> list[str]:
        """The generations that are planned or follow from what was read; not those of plans of upgrades."""
        later = (gen_id for family in self.families.values() for gen_id in family.follow())
        return list(dict.fromkeys([*self.world.generations, *later]))

    @property
    def models(self) -> Mapping[str, Model]:
        """All models that a generation may use, including models that are trained during the run."""
        return ChainMap(self.world.models, self.world.candidates)

    @cached_property
    def family_of_stage(self) -> dict[str, Family]:
        """The family of each stage."""
        return {stage.name: family for family in self.families.values() for stage in family.stages}

    @cached_property
    def _order(self) -> dict[str, int]:
        stages = list(self.family_of_stage)

        def key(row: Generation) -> tuple[int, str, str]:
            return stages.index(row.stage), row.model.model_id if row.model else "", row.template_id

        keys = {gen_id: key(row) for gen_id, row in self.world.generations.items()}
        ordered = sorted(keys, key=keys.__getitem__)
        return {gen_id: len(ordered) - position for position, gen_id in enumerate(ordered)}

    def priority(self, gen_id: str) -> int:
        """The priority of a generation; higher is earlier. The order is by stage, then by model and template, since
        successive prompts with the same model and prefix are faster. Deferred generations keep the order of their file.
        """
        if gen_id in self._order:
            return self._order[gen_id]
        deferred = self._deferred_with(gen_id)
        return -deferred.position(gen_id) if deferred else 0

    def wildcards(self) -> dict[str, list[str]]:
        """The values of each wildcard in the families' rules."""
        merged: dict[str, list[str]] = {}
        for family in self.families.values():
            for name, values in family.wildcards().items():
                merged.setdefault(name, []).extend(values)
        return merged

    def targets(self, goal: str) -> list[str]:
        """The files of a target rule (or "all"). Raises a `DreamflowError` if a necessary family was not compiled."""
        families = self.families.values()
        needed = [each for each in families if (each.in_default_target if goal == "all" else goal in each.goals)]
        self.check(needed)
        return [path for family in needed for path in family.targets(goal)]

    def nothing_for(self, goal: str) -> str:
        """What to do if no spec is configured that a target rule (or "all") is about; empty if there is one."""
        keys = [
            family.config_key
            for family in self.families.values()
            if family.config_key and (goal in family.goals or (goal == "all" and family.in_default_target))
        ]
        if not keys or any(getattr(self.world.settings, key) for key in keys):
            return ""
        return (
            f"config/config.yaml names no {' or '.join(keys)}, so there is nothing to make. For example, "
            f"`{keys[0]}: [mine]` runs config/{keys[0]}/mine.yaml (docs/recipes.md, config/README.md)"
        )


def load_world(settings: Settings) -> World:
    """What all families need: the models and the templates of a configuration. Raises `ConfigError`."""
    settings = settings.model_copy(update={"data_root": normpath(settings.data_root)})
    stages = {stage.name: stage for family in FAMILIES for stage in family.stages}
    layout = Layout(Path(settings.data_root), stages)
    local_models = settings.local_models.as_dict()
    if folder := local_models["prefix_folder"]:
        local_models["prefix_folder"] = str(layout.root / Path(folder).expanduser())
    models = load_models(settings.models, layout.registered_models, local_models)
    catalog = load_catalog(settings.raw_root, [prompt for stage in stages.values() for prompt in stage.prompts])
    return World(settings, layout, models, catalog)


@_without_collections()
def compile_plan(config: Mapping[str, Json]) -> Plan:
    """Check a configuration (config/config.yaml as a mapping) and compile its specs. Raises `ConfigError` for errors
    that concern all families; the error of a single family becomes its `problem`."""
    settings = load_settings(config)
    stages = {stage.name: stage for family in FAMILIES for stage in family.stages}
    for place, name in enumerate(settings.batch):
        if name not in stages:
            with in_config(config):
                raise ConfigError(unknown("stage", name, stages), ("batch", place))
    world = load_world(settings)
    plan = Plan(world, {family.name: family(world) for family in FAMILIES})
    for family in plan.families.values():
        if not family.config_key or getattr(settings, family.config_key):
            try:
                with in_config(config):
                    family.compile()
                    for stage in family.stages:
                        if stage.planner:
                            planner = import_module(f"{__package__}.{family.name}.{stage.planner}")
                            family.add(stage.name, planner.rows(family))
            except (DreamflowError, ImportError) as error:
                is_placed = isinstance(error, ConfigError) and error.placed
                family.problem = str(error) if is_placed else f"{family.config_key or family.name}: {error}"
    more = sum(family.expected() for family in plan.families.values() if not family.problem)
    if settings.pack or len(world.generations) + more > settings.shards.above:
        world.shards = Shards(plan)
    return plan
