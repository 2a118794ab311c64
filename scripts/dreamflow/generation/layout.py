"""The paths under the data folder, except those of the families' products."""

import os
from dataclasses import dataclass, field
from pathlib import Path

from .stage import Stage


@dataclass(frozen=True)
class Layout:
    """The paths under `root`. `stages` have the suffixes of parsed files; the suffix of an unknown stage is .txt."""

    root: Path
    stages: dict[str, Stage] = field(default_factory=dict)

    def generation(self, stage: str, gen_id: str) -> Path:
        """The folder of a generation."""
        return self.root / "gens" / stage / gen_id

    def metadata(self, stage: str, gen_id: str) -> str:
        """The path of a generation's metadata.json, spelled as in the rules."""
        return f"{self.root}/gens/{stage}/{gen_id}/metadata.json"

    def parsed_name(self, stage: str) -> str:
        """The name of the parsed file in this stage."""
        return self.stages[stage].parsed_name if stage in self.stages else "parsed.txt"

    def file_names(self, stage: str) -> tuple[str, str, str, str]:
        """The four files of a generation, in the order in which they are written."""
        return ("prompt.txt", "raw.txt", self.parsed_name(stage), "metadata.json")

    def is_whole(self, stage: str, gen_id: str) -> bool:
        """Whether all four files of a generation exist."""
        folder = f"{self.root}/gens/{stage}/{gen_id}"
        try:
            present = {entry.name for entry in os.scandir(folder)}
        except FileNotFoundError:
            return False
        return present.issuperset(self.file_names(stage))

    @property
    def store(self) -> Path:
        """The response store."""
        return self.root / "store"

    @property
    def ledger(self) -> Path:
        """The ledger, with a line for every new answer."""
        return self.store / "ledger.jsonl"

    @property
    def inbox(self) -> Path:
        """Questions to people, and their answers."""
        return self.root / "inbox"

    @property
    def packs(self) -> Path:
        """The packs, the groups of generations that one cluster job answers."""
        return self.root / "packs"

    @property
    def registered_models(self) -> Path:
        """The registered models: trained students that passed their gate."""
        return self.root / "models"

    def log(self, stage: str, gen_id: str) -> str:
        """The log of a generation's job."""
        return f"{self.root}/logs/{stage}/{gen_id}.log"
