"""Dataset folders as Hugging Face's `datasets.load_dataset(folder)` reads them: JSON Lines, and a card (README.md).

The card begins with YAML in the Hub's format: configurations, features, and the size of each split.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import yaml

from ..errors import DreamflowError
from ..files import jsonl, write_atomic
from ..generation.model import Json

if TYPE_CHECKING:
    from ..plan import Plan

FOLDER = "export/datasets"
SIZES = {1_000: "n<1K", 10_000: "1K<n<10K", 100_000: "10K<n<100K", 1_000_000: "100K<n<1M", 10_000_000: "1M<n<10M"}
TEXT, WHOLE, REAL, FLAG = "string", "int64", "float64", "bool"
TEXTS = [TEXT]  # a list of texts


class Feature(NamedTuple):
    """A column of a dataset. `kind` is TEXT, WHOLE, REAL or FLAG, a list of one of them, or a list of objects, as a
    mapping in a list."""

    kind: str | list
    about: str


class Dataset(NamedTuple):
    """A dataset: `splits` gives the rows of each split. `about` says what a row is, `made` how the data was made;
    `notes` are paragraphs on its use. `languages` are ISO codes, as far as known."""

    name: str
    title: str
    about: str
    made: str
    notes: str
    features: Mapping[str, Feature]
    splits: Mapping[str, Callable[[], Iterable[Mapping[str, Json]]]]
    tasks: Sequence[str] = ()
    languages: Callable[[], Iterable[str]] = tuple


def write_datasets(plan: "Plan") -> str:
    """Write the datasets of all families into export/datasets; returns a text for the screen."""
    folder = plan.world.layout.root / FOLDER
    made = [dataset for family in plan.families.values() for dataset in family.datasets()]
    lines = [f"{folder / dataset.name}: {write_dataset(dataset, folder / dataset.name)}" for dataset in made]
    return "\n".join(lines) or "No dataset: there are neither chunks nor training data yet; run `snakemake chunks`"


def write_dataset(dataset: Dataset, folder: Path) -> str:
    """Write the files of a dataset, its card last; returns the numbers of rows."""
    sizes: dict[str, tuple[int, int]] = {}
    for split, rows in dataset.splits.items():
        lines = [{name: row.get(name) for name in dataset.features} for row in rows()]
        text = jsonl(lines).encode("utf-8", "replace")
        write_atomic(folder / "data" / f"{split}.jsonl", text)
        sizes[split] = (len(lines), len(text))
    if not sizes:
        raise DreamflowError(f"the dataset {dataset.name} has no splits")
    write_atomic(folder / "README.md", card(dataset, sizes))
    return ", ".join(f"{split} {count:,} rows" for split, (count, _) in sizes.items())


def card(dataset: Dataset, sizes: Mapping[str, tuple[int, int]]) -> str:
    """The card of a dataset, with the rows and bytes of its splits."""
    rows = sum(count for count, _ in sizes.values())
    size = next((name for most, name in SIZES.items() if rows < most), "n>10M")
    languages = sorted({language for language in dataset.languages() if language})
    front = {
        "pretty_name": dataset.title,
        "license": "unknown",
        **({"language": languages} if languages else {}),
        **({"task_categories": list(dataset.tasks)} if dataset.tasks else {}),
        "size_categories": [size],
        "tags": ["dreamflow"],
        "configs": [
            {
                "config_name": "default",
                "data_files": [{"split": split, "path": f"data/{split}.jsonl"} for split in sizes],
            }
        ],
        "dataset_info": {
            "features": [_feature(name, feature.kind) for name, feature in dataset.features.items()],
            "splits": [
                {"name": split, "num_bytes": length, "num_examples": count} for split, (count, length) in sizes.items()
            ],
        },
    }
    columns = "\n".join(f"| `{name}` | {_shown(kind)} | {about} |" for name, (kind, about) in dataset.features.items())
    counts = "\n".join(f"| {split} | {count:,} |" for split, (count, _) in sizes.items())
    return f"""---
{yaml.safe_dump(front, sort_keys=False, allow_unicode=True)}---

# {dataset.title}

{dataset.about}

    from datasets import load_dataset
    data = load_dataset("FOLDER")  # this folder

| split | rows |
|---|---|
{counts}

| column | type | meaning |
|---|---|---|
{columns}

## Where it is from

{dataset.made}

## Before you share it

{dataset.notes}

The licence is unknown: Dreamflow does not know the terms of the texts, or of the models that wrote them. Set it
before you publish the data.
"""


def _feature(name: str, kind: str | list) -> dict[str, Json]:
    if isinstance(kind, str):
        return {"name": name, "dtype": kind}
    (inner,) = kind
    if isinstance(inner, str):
        return {"name": name, "sequence": inner}
    return {"name": name, "list": [_feature(key, value) for key, value in inner.items()]}


def _shown(kind: str | list) -> str:
    if isinstance(kind, str):
        return kind
    return f"list of {kind[0]}" if isinstance(kind[0], str) else f"list of {{{', '.join(kind[0])}}}"
