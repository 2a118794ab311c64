"""Curated selections: a cohort that keeps essays which exist and has further evaluations made of them.

    from: {essays: [e_1cx6440bb5zj9466, ...]}    the essays' ids
    from: {csv: FILE, column: essay_gen_id}      ids in a CSV file, such as scripts/select_essays.py writes
    from: {top: {cohort: ID, n: 10}}             the first of another cohort's ranking.csv, as it is there now

Kept essays and their drafts are never asked for. Where a configured cohort plans them, it makes them; all others are
plain inputs that have to be there.
"""

import csv
import io
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from ..errors import ConfigError
from ..files import checked_name, read_text
from ..generation.layout import Layout
from ..generation.model import Generation
from ..generation.summary import Metadata, read_metadata
from ..reports.lineage import Facts, facts
from .combos import Combo
from .spec import Selection

COLUMN = "essay_gen_id"
_YES, _NO = ("true", "1", "yes", "y", "x"), ("", "false", "0", "no", "n")


@dataclass
class Known:
    """What a cohort can refer to besides the inputs: combinations, other cohorts' plan rows, and what lies there."""

    data_root: Path
    combos: dict[str, Combo] = field(default_factory=dict)
    planned: Mapping[str, Generation] = field(default_factory=dict)


def selected_essays(block: Selection, data_root: Path) -> list[str]:
    """The ids of the essays that a `from` block selects; at least one."""
    ways = [way for way in ("essays", "csv", "top") if getattr(block, way) is not None]
    if len(ways) != 1:
        raise ConfigError(f"{' and '.join(ways) or 'nothing'} given; expected one of essays, csv, top", ("from",))
    if block.column is not None and block.csv is None:
        raise ConfigError("only a csv file has columns", ("from", "column"))
    if block.essays is not None:
        return block.essays
    if block.csv is not None:
        return _listed(Path(block.csv), block.column or COLUMN)
    return _best(data_root / "cohorts", block.top.cohort, block.top.n)


def _listed(path: Path, column: str) -> list[str]:
    """The ids in a column of a CSV file; where it has a column `selected`, those of the rows that say yes there."""
    ids = []
    for line, row in _rows(path, column):
        chosen = row.get("selected", "yes").lower()
        if chosen not in (*_YES, *_NO):
            raise ConfigError(f"{path}:{line}: selected {chosen!r}; expected true or false", ("from", "csv"))
        if row[column] and chosen in _YES:
            ids.append(row[column])
    if not ids:
        raise ConfigError(f"{path}: no row is selected", ("from", "csv"))
    return ids


def _best(cohorts: Path, cohort: str, n: int) -> list[str]:
    """The first `n` essays of a cohort's ranking."""
    path = cohorts / checked_name(cohort, "cohort") / "reports" / "summary" / "ranking.csv"
    if not path.exists():
        raise ConfigError(
            f"{path}: no such file. A selection needs the scores of that cohort: make it first with "
            f"snakemake --config 'cohorts=[{cohort}]'",
            ("from", "top", "cohort"),
        )
    ranked = [row["gen_id"] for _, row in _rows(path, "gen_id") if row["judged_stage"] == "essay" and row["rank"]]
    if not ranked:
        raise ConfigError(f"{path}: no essay has a score", ("from", "top"))
    return ranked[:n]


def _rows(path: Path, column: str) -> Iterator[tuple[int, dict[str, str]]]:
    """The rows of a CSV file with their lines; cells are stripped."""
    reader = csv.DictReader(io.StringIO(read_text(path).removeprefix("\ufeff")))
    columns = reader.fieldnames or []
    if column not in columns:
        raise ConfigError(f"{path}:1: no column {column!r}; the columns are {', '.join(columns) or '(none)'}")
    for row in reader:
        yield reader.line_num, {key: (value or "").strip() for key, value in row.items() if isinstance(key, str)}


def kept_generations(essays: list[str], known: Known) -> dict[str, Facts]:
    """Selected essays and their drafts, drafts first: of other cohorts' plans, or else of files."""
    kept: dict[str, Facts] = {}
    for gen_id in essays:
        planned = known.planned.get(gen_id)
        essay = facts(planned) if planned else facts(_existing_essay(gen_id, known.data_root))
        draft = _draft(essay.parents[0], known) if essay.parents else None
        if draft is not None:
            kept[draft.gen_id] = draft
        before = draft.wildcards if draft else {"combo_id": ""}
        kept[gen_id] = _with_wildcards(essay, before)
    return dict(sorted(kept.items(), key=lambda item: item[1].stage))


def _draft(gen_id: str, known: Known) -> Facts | None:
    if gen_id in known.planned:
        return facts(known.planned[gen_id])
    made = _existing(gen_id, "draft", known.data_root)
    return _with_wildcards(facts(made), {"combo_id": made.combo_id or ""}) if made else None


def _existing_essay(gen_id: str, data_root: Path) -> Metadata:
    essay = _existing(checked_name(gen_id, "essay"), "essay", data_root)
    if essay is None:
        raise ConfigError(
            f"unknown essay {gen_id!r}: no configured cohort plans it, and {data_root}/gens/essay/{gen_id}/ "
            "lacks metadata.json or parsed.txt",
            ("from",),
        )
    if (essay.status or "ok") != "ok":
        raise ConfigError(f"essay {gen_id} cannot be judged: it is {essay.status} ({essay.reason or ''})", ("from",))
    return essay


def _existing(gen_id: str, stage: str, data_root: Path) -> Metadata | None:
    """The metadata of a generation that lies in data/gens, if its text is there too."""
    parsed = Layout(data_root).generation(stage, gen_id) / "parsed.txt"
    return read_metadata(data_root, stage, gen_id) if parsed.exists() else None


def _with_wildcards(made: Facts, before: Mapping[str, Any]) -> Facts:
    """Facts with the wildcards of a plan row; the original's metadata has no wildcards, but names the same things."""
    if f"{made.stage}_template" in made.wildcards:
        return made
    own = {
        f"{made.stage}_template": made.template_id or None,
        f"{made.stage}_llm": made.model_id or None,
        f"{made.stage}_replicate": made.replicate,
    }
    return replace(made, wildcards={**before, **own})
