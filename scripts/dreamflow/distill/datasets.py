"""The training data of each distillation as a dataset."""

from collections.abc import Iterable
from pathlib import Path

from ..database.datasets import REAL, TEXT, Dataset, Feature
from ..files import read_jsonl

FEATURES = {
    "messages": Feature([{"role": TEXT, "content": TEXT}], "the chat; the last message is the answer to learn"),
    "weight": Feature(REAL, "the weight in the training"),
    "task_id": Feature(TEXT, "the task"),
    "kind": Feature(TEXT, "its kind"),
    "group": Feature(TEXT, "tasks of a group are in the same split"),
    "role": Feature(TEXT, "target: to learn; general: what the student must not forget"),
    "gen_id": Feature(TEXT, "the answer's generation"),
}


def training_datasets(root: Path) -> Iterable[Dataset]:
    """A dataset for each distillation and cycle with training data."""
    for path in sorted(root.glob("distill/*/cycle-*/train.jsonl")):
        folder, files = path.parent, {"train": path, "validation": path.with_name("validation.jsonl")}
        name = f"training-{folder.parent.name}-{folder.name}"
        yield Dataset(
            name=name,
            title=f"Training data of {folder.parent.name}, {folder.name}",
            about="A row is a chat with an answer that an exact grader accepts.",
            made="A teacher model answered tasks (`snakemake distill`), and exact graders accepted these answers. "
            f"`data_card.md` in `distill/{folder.parent.name}/{folder.name}` of the project says how the tasks were "
            "selected, and `report.md` what a student learned from them.",
            notes="Answers are a model's: its provider's terms may limit what they are used for.",
            features=FEATURES,
            splits={split: lambda file=file: read_jsonl(file) for split, file in files.items() if file.exists()},
            tasks=("text-generation",),
        )
