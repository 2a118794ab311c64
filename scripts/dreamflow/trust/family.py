"""Trust: outcomes of all families -> reputation records -> trust of models in contexts -> the routing table.

The family has no specs and plans no generations: the section `trust` of config.yaml has its settings. Heavy modules are
imported where they are used.
"""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from ..cycles import AUTO, current_cycle, last_cycles
from ..database.schema import Source
from ..family import Family, Report, World
from ..files import canonical
from ..site.page import Page
from .folders import RECORDS, check_previous, cycle_folder

TRUST_FILES = ("trust.md", "trust.csv", "trust.png", "trust.svg", RECORDS, "routing.json", "state.json", "trust.sqlite")
VERSION = 1  # of the update; raise it to make the last cycle again


class TrustFamily(Family):
    """The trust of a configuration; `cycle` is the number of the current cycle."""

    name = "trust"
    section = "models"
    goals = ("trust",)
    in_default_target = False

    def __init__(self, world: World) -> None:
        super().__init__(world)
        self.cycle = 1

    def compile(self) -> None:
        """Find the current cycle; trust plans no generations. Raises a `DreamflowError` if it cannot be continued."""
        root, cycle = self.layout.root, self.world.settings.trust.cycle
        self.cycle = current_cycle(root, "trust", *last_cycles(root / "trust", RECORDS)) if cycle == AUTO else cycle
        check_previous(root, self.cycle)

    def wildcards(self) -> Mapping[str, Iterable[str]]:
        """The number of the cycle. Files of earlier cycles are inputs only."""
        return {"trust_cycle": [str(self.cycle)]}

    def cycles(self) -> Mapping[str, tuple[int, int]]:
        """The last cycles, if they are numbered by nights."""
        is_auto = self.world.settings.trust.cycle == AUTO
        return {"trust": last_cycles(self.layout.root / "trust", RECORDS)} if is_auto else {}

    def targets(self, goal: str) -> list[str]:
        """The files of the current cycle."""
        return [self.file(str(self.cycle), name) for name in ("outcomes.csv", "contexts.md", *TRUST_FILES)]

    def pages(self) -> Iterable[Page]:
        """The pages on models, their trust and their costs."""
        from .pages import model_pages

        return model_pages(self)

    def reports(self) -> list[Report]:
        """The page of the current cycle."""
        page = Path(self.file(str(self.cycle), TRUST_FILES[0]))
        files = [page.with_name(name) for name in ("trust.svg", "trust.csv", "contexts.md")]
        return [Report(f"trust, cycle {self.cycle}", page, files=files)]

    def file(self, cycle: str, name: str) -> str:
        """A file of a cycle."""
        return str(cycle_folder(self.layout.root, int(cycle)) / name)

    def earlier(self, cycle: str, name: str) -> list[str]:
        """The file of the cycle before, if there is one."""
        path = Path(self.file(str(int(cycle) - 1), name))
        return [str(path)] if int(cycle) > 1 and path.exists() else []

    def job(self, cycle: str) -> str:
        """What decides the update of a cycle besides its files: settings, and the layers of the models."""
        models = {model_id: [model.known_layer, model.atp] for model_id, model in sorted(self.world.models.items())}
        return canonical([VERSION, self.world.settings.trust.as_dict(), models])

    def write_outcomes(self, cycle: int) -> str:
        """Collect the outcomes of a cycle; returns a line with the counts."""
        from .collect import write_cycle_outcomes

        return write_cycle_outcomes(self.world, cycle)

    def update(self, cycle: int) -> str:
        """Write the files of a cycle; returns the table to print."""
        from .update import update

        return update(self.layout.root, cycle, self.world.models, self.world.settings.trust)

    def sources(self) -> Sequence[Source]:
        """The tables of this family in the database."""
        from .sources import trust_sources

        return trust_sources(self.layout.root)


FAMILY = TrustFamily
