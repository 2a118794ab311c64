"""Ratings by persons: `inbox/ratings.csv`, all CSV files in `inbox/ratings/`, and evaluations that a person wrote.

Columns: `gen_id` (a generation's id, or the path of one of its files), `rating`, and maybe `scale` (lowest-highest,
such as 1-5; without it ratings are from 0 to 1), `rater` and `comment`. A person rates a text once.
"""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from ..errors import ConfigError
from ..generation.catalog import parse_scale
from .csv_files import number, place_of, raise_all, read_rows
from .generations import author_of
from .made import Generations, Made, NoOutcome

_PATH = re.compile(r"(?:^|[/\\])gens[/\\]([^/\\]+)[/\\]([^/\\]+)")
_DEFAULT_SCALE = "0-1"


class Rating(NamedTuple):
    """A rating from 0 to 1; `place` is where it is written, below the data folder."""

    rater: str
    value: float
    place: str
    comment: str = ""


Ratings = Mapping[tuple[str, str], Sequence[Rating]]  # (stage, gen_id) -> its ratings


def read_ratings(generations: Generations, left_out: Counter[str]) -> Ratings:
    """The ratings of each generation. Those of a copy are those of its original.

    Ratings of unknown generations and repeated ones are named in `left_out`. Raises a `DreamflowError` that names file,
    line and column of everything that is no rating, and of ratings that contradict each other.
    """
    root = generations.root
    ratings: dict[tuple[str, str], list[Rating]] = {}
    problems: list[str] = []
    for path in [*root.glob("inbox/ratings.csv"), *sorted(root.glob("inbox/ratings/*.csv"))]:
        columns, rows = read_rows(path, ["gen_id", "rating"])
        if not columns:
            left_out[f"{path}: an empty file"] += 1
        for line, row in rows:
            try:
                value = _value(row["rating"], row.get("scale") or _DEFAULT_SCALE)
                text = _rated(generations, row["gen_id"])
            except ConfigError as error:
                problems.append(f"{path}:{line}: {error}")
            except NoOutcome as reason:
                left_out[f"{path}:{line}: {reason}"] += 1
            else:
                rating = Rating(row.get("rater", ""), value, place_of(path, line, root), row.get("comment", ""))
                known = ratings.setdefault(text, [])
                same = next((other for other in known if other.rater == rating.rater), None)
                if same is None:
                    known.append(rating)
                elif same.value == rating.value:
                    left_out[f"{path}:{line}: the same rating as {same.place}"] += 1
                else:
                    who = f"by {rating.rater!r}" if rating.rater else "without a rater"
                    contradicted = f"{same.place} has another rating {who} of the same text; delete one"
                    problems.append(f"{path}:{line}: rating: {contradicted}, or name different raters")
    raise_all(problems)
    return ratings


def _value(written: str, scale: str) -> float:
    """A rating from 0 to 1. Raises a `ConfigError` that names the column."""
    try:
        low, high = parse_scale(scale)
    except ConfigError as error:
        raise ConfigError(f"scale: {error}") from None
    value = number(written)
    if value is None or not low <= value <= high:
        hint = "" if scale != _DEFAULT_SCALE else "; a column 'scale' gives another scale, such as 1-5"
        raise ConfigError(f"rating: {written!r}; expected a number from {low:g} to {high:g}{hint}")
    return (value - low) / (high - low)


def _rated(generations: Generations, name: str) -> tuple[str, str]:
    """The generation (stage, id) that wrote the rated text. Raises `NoOutcome` if there is none."""
    path = _PATH.search(name)
    stages = [path[1]] if path else generations.stages()
    gen_id = path[2] if path else name
    stage = next((stage for stage in stages if gen_id in generations.ids(stage)), None)
    if not gen_id or stage is None:
        raise NoOutcome(f"gen_id: there is no generation {name!r}")
    made: Made = generations(stage, gen_id)
    return author_of(generations, made) if made.mode == "copy" else (stage, gen_id)
