"""The paths under the data folder, except those of the families' products."""

import os
from collections.abc import Mapping
from pathlib import Path

from .stage import Stage


class Layout:
    """The paths under `root`. `stages` have the suffixes of parsed files; the suffix of an unknown stage is .txt."""

    def __init__(self, root: Path, stages: Mapping[str, Stage] | None = None) -> None:
        self.root, self.stages = root, stages or {}
        self.store = root / "store"  # the response store, with the ledger and the budgets
        self.inbox = root / "inbox"  # questions to people, and their answers
        self.registered_models = root / "models"  # trained students that passed their gate

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

    def log(self, stage: str, gen_id: str) -> str:
        """The log of a generation's job."""
        return f"{self.root}/logs/{stage}/{gen_id}.log"
