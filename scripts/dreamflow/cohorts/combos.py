"""Combinations of concepts: made from a cohort's `combos` block, or looked up in combo_mappings.csv."""

import csv
import io
import math
import random
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

from ..errors import ConfigError, Key
from ..files import read_text, write_atomic
from ..generation.catalog import Catalog, unknown_concept
from ..generation.ids import combo_id
from .spec import Combos

COLUMNS = ("combo_id", "version", "concept_id", "description_level", "k_max", "created_at")


@dataclass(frozen=True, slots=True)
class Combo:
    """Some concepts, to be read at one level of description. `k_max` is a part of the original's id."""

    combo_id: str
    concept_ids: tuple[str, ...]
    level: str
    k_max: int


def make_combo(concept_ids: Iterable[str], level: str, k_max: int | None = None) -> Combo:
    """The combination with its id; concepts in sorted order, as the id sees them."""
    ids = tuple(sorted(concept_ids))
    k_max = len(ids) if k_max is None else k_max
    return Combo(combo_id(ids, level, k_max), ids, level, k_max)


def make_combos(block: Combos, catalog: Catalog) -> list[Combo]:
    """The combinations that a `combos` block asks for: the lists, then all or a seeded sample of the k-subsets."""
    if not catalog.concepts:
        raise ConfigError(
            f"{catalog.root}/concepts_metadata.csv lists no concepts; add a line for each, such as 'tide,Tides', and "
            f"its text, {catalog.root}/concepts/descriptions-{block.level}/tide.txt",
            ("combos",),
        )
    for key, names in _named(block):
        for place, name in enumerate(names):
            if name not in catalog.concepts:
                raise ConfigError(unknown_concept(catalog, name), (*key, place))
    for number, concept_list in enumerate(block.lists):
        if len(set(concept_list)) != len(concept_list):
            raise ConfigError("a concept is named twice", ("combos", "lists", number))
    chosen = [tuple(concept_list) for concept_list in block.lists]
    if block.size is not None:
        chosen += _subsets(block, sorted(catalog.concepts) if block.concepts is None else block.concepts)
    elif block.sample is not None or block.concepts is not None or not chosen:
        raise ConfigError("'size' is missing; expected: the number of concepts in a combination", ("combos",))
    return list({combo.combo_id: combo for combo in (make_combo(ids, block.level) for ids in chosen)}.values())


def _named(block: Combos) -> Iterator[tuple[Key, list[str]]]:
    """The lists of concepts in a `combos` block, with their keys."""
    yield ("combos", "concepts"), block.concepts or []
    for number, names in enumerate(block.lists):
        yield ("combos", "lists", number), names


def _subsets(block: Combos, concepts: list[str]) -> list[tuple[str, ...]]:
    size, concepts = block.size, list(dict.fromkeys(concepts))
    total = math.comb(len(concepts), size)
    wanted = total if block.sample is None else block.sample
    if wanted > total or total == 0:
        raise ConfigError(
            f"{wanted or 'some'} combinations of {size} are requested, but {len(concepts)} concepts have {total}",
            ("combos", "size" if block.sample is None else "sample"),
        )
    if wanted == total:
        return list(combinations(concepts, size))
    rng = random.Random(block.seed)  # noqa: S311  (a reproducible draw, not a secret)
    drawn: dict[tuple[int, ...], None] = {}
    while len(drawn) < wanted:
        drawn.setdefault(tuple(sorted(rng.sample(range(len(concepts)), size))))
    return [tuple(concepts[index] for index in indices) for indices in drawn]


def load_mappings(path: Path) -> dict[str, Combo]:
    """The combinations in a combo_mappings.csv (one row a concept); none if there is no such file."""
    if not path.exists():
        return {}
    members: dict[str, list[str]] = {}
    kinds: dict[str, tuple[str, int]] = {}
    for line, row in enumerate(csv.DictReader(io.StringIO(read_text(path).removeprefix("\ufeff"))), start=2):
        try:
            kind = (row["description_level"], int(row["k_max"]))
            members.setdefault(row["combo_id"], []).append(row["concept_id"])
        except (KeyError, TypeError, ValueError):
            raise ConfigError(f"{path}:{line}: expected the columns {', '.join(COLUMNS)}") from None
        if kinds.setdefault(row["combo_id"], kind) != kind:
            raise ConfigError(f"{path}:{line}: {row['combo_id']} has two levels or sizes")
    return {key: Combo(key, tuple(sorted(ids)), *kinds[key]) for key, ids in members.items()}


def extend_mappings(path: Path, combos: Iterable[Combo], created_at: str) -> None:
    """Append the combinations that a combo_mappings.csv lacks; the rows that it has stay as they are."""
    known = load_mappings(path)
    there = read_text(path) if known else ""
    header = next(csv.reader(io.StringIO(there.removeprefix("\ufeff"))), COLUMNS)
    out = io.StringIO()
    writer = csv.DictWriter(out, header, extrasaction="ignore", lineterminator="\n")
    if not known:
        writer.writeheader()
    for combo in combos:
        if combo.combo_id not in known:
            constant = (combo.level, combo.k_max, created_at)
            writer.writerows(
                dict(zip(COLUMNS, (combo.combo_id, "v1", concept, *constant), strict=True))
                for concept in combo.concept_ids
            )
    if there and not there.endswith("\n"):  # as some editors leave it
        there += "\n"
    write_atomic(path, there + out.getvalue())
