"""Packs: generations of one local model that one job of a cluster answers, with the model loaded once.

A pack answers into the response store and notes in `data/packs/<pack_id>.json` what it could not answer. The job of a
generation has that file as an input, finds its answer in the store and writes its files at once, wherever it runs.

Which pack a generation belongs to stands in `data/packs/plan.json`, because jobs in other processes have to know, and
because Snakemake compares the inputs of a job with those of the last time: what was made with a pack keeps naming it,
what was made without one never gets one. What has yet to be made is divided anew by every run.
"""

import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from ..errors import DreamflowError
from ..files import canonical, pretty, sha256, write_atomic
from .make import gen_folder
from .model_files import model_file

Row = Mapping[str, Any]

FREE_MB = 1500  # what a job takes besides the model: Snakemake twice, this library, a context
UNKNOWN_MB = 4000  # of a model whose file cannot be found from here


@dataclass(frozen=True)
class Packs:
    """`members` of each pack when it was formed; `of` says which pack a generation belongs to now."""

    members: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    of: Mapping[str, str] = field(default_factory=dict)

    @cached_property
    def assigned(self) -> Mapping[str, list[str]]:
        """The generations that a pack has to answer now: those of its members that are in no later pack."""
        return {
            pack_id: [gen_id for gen_id in members if self.of.get(gen_id) == pack_id]
            for pack_id, members in self.members.items()
        }


def plan_path(data_root: Path) -> Path:
    """Where it stands which pack a generation belongs to."""
    return data_root / "packs" / "plan.json"


def pack_path(data_root: Path, pack_id: str) -> Path:
    """The file that tells that a pack has been answered."""
    return data_root / "packs" / f"{pack_id}.json"


def read_packs(data_root: Path) -> Packs:
    """The packs of the last run that formed some. Raises `DreamflowError` where the file is not what was written."""
    path = plan_path(data_root)
    try:
        plan = json.loads(path.read_text(encoding="utf-8"))
        return Packs({pack_id: tuple(members) for pack_id, members in plan["members"].items()}, dict(plan["of"]))
    except FileNotFoundError:
        return Packs()
    except (ValueError, KeyError, TypeError, AttributeError):
        raise DreamflowError(
            f"{path} cannot be read; delete it: what a pack made is then made again, from the store, without a call"
        ) from None


def write_packs(packs: Packs, data_root: Path) -> None:
    """Let the jobs of this run, and later runs, know the packs. Nothing is written where there are none."""
    if packs.members or plan_path(data_root).exists():
        write_atomic(plan_path(data_root), pretty({"members": packs.members, "of": packs.of}))


def problems_of(data_root: Path, pack_id: str) -> dict[str, str]:
    """What a pack could not answer: a line by gen_id. Empty where it could answer all, or has not been asked."""
    try:
        return json.loads(pack_path(data_root, pack_id).read_text(encoding="utf-8"))["problems"]
    except (FileNotFoundError, ValueError, KeyError):
        return {}


def settled(earlier: Packs, rows: Mapping[str, Row], data_root: Path) -> Packs:
    """The packs that still hold: of the generations that are made, and of those that their pack has answered.

    `rows` are the plan's by gen_id. Whatever else is to be made is divided anew, or made without a pack.
    """
    problems = {
        pack_id: problems_of(data_root, pack_id)
        for pack_id in earlier.members
        if pack_path(data_root, pack_id).exists()
    }
    of = {
        gen_id: pack_id
        for gen_id, pack_id in earlier.of.items()
        if (gen_id in rows and pack_id in problems and gen_id not in problems[pack_id])
        or _is_made(data_root, gen_id, rows.get(gen_id))
    }
    used = set(of.values())
    return Packs({pack_id: members for pack_id, members in earlier.members.items() if pack_id in used}, of)


def extended(
    packs: Packs,
    rows: Mapping[str, Row],
    data_root: Path,
    models: Mapping[str, Row],
    origin: Mapping[str, str],
    size: int,
) -> Packs:
    """`packs` and more for what has to be made and is in none, with at most `size` generations each (0: no more).

    `rows` are the plan's by gen_id, in the order in which they should be answered. The rows of a pack have stage,
    model and origin (which spec plans them) in common, and none is another's parent.
    """
    waiting: dict[tuple[str, str, str, int], list[str]] = defaultdict(list)
    depth: dict[str, int] = {}
    for gen_id, row in rows.items() if size else ():
        if gen_id not in packs.of and is_packable(row, models) and not _is_made(data_root, gen_id, row):
            model_id = row["model"]["model_id"]
            key = (row["stage"], model_id, origin.get(gen_id, ""), _depth(gen_id, rows, depth))
            waiting[key].append(gen_id)
    members, of = dict(packs.members), dict(packs.of)
    for (_, model_id, *_), gen_ids in waiting.items():
        kind = "g" if models[model_id]["gpu_layers"] else "p"
        for start in range(0, len(gen_ids), size):
            pack = tuple(gen_ids[start : start + size])
            pack_id = f"{kind}_{sha256(canonical(pack))[:16]}"
            members[pack_id] = pack
            of |= dict.fromkeys(pack, pack_id)
    return Packs(members, of)


def is_packable(row: Row, models: Mapping[str, Row]) -> bool:
    """Whether only models in this process may answer a row: a job of a cluster calls no one else."""
    asked = [row, *row.get("fallbacks", ())] if row["mode"] == "llm" else []
    return bool(asked) and all(models[link["model"]["model_id"]]["provider"] == "llama_cpp" for link in asked)


def _is_made(data_root: Path, gen_id: str, row: Row | None) -> bool:
    stages = [row["stage"]] if row else [path.name for path in (data_root / "gens").glob("*")]
    return any((gen_folder(data_root, stage, gen_id) / "metadata.json").exists() for stage in stages)


def _depth(gen_id: str, rows: Mapping[str, Row], known: dict[str, int]) -> int:
    """How many generations of its own stage come before a generation: packs must not wait for each other in a ring."""
    if gen_id not in known:
        same = [parent for parent in rows[gen_id]["parents"] if parent in rows]
        same = [parent for parent in same if rows[parent]["stage"] == rows[gen_id]["stage"]]
        known[gen_id] = 1 + max((_depth(parent, rows, known) for parent in same), default=-1)
    return known[gen_id]


def memory_mb(rows: Iterable[Row], models: Mapping[str, Row]) -> int:
    """The memory that a job needs that loads the models of `rows`, one after the other: the largest and some more."""
    sizes = []
    for name in {models[row["model"]["model_id"]]["name"] for row in rows}:
        try:
            sizes.append(round(1.5 * model_file(name).stat().st_size / 1e6))
        except (DreamflowError, OSError):
            sizes.append(UNKNOWN_MB)
    return FREE_MB + max(sizes, default=0)


def answer_pack(pack_id: str, gen_ids: Sequence[str], answer: Callable[[str], None], data_root: Path) -> dict[str, str]:
    """Answer the generations of a pack by `answer(gen_id)`, which puts what it draws into the store; note the rest.

    Raises `DreamflowError` with all that went wrong where not one could be answered: then the pack has failed.
    Returns the problems, a line by gen_id, which the generations' own jobs report.
    """
    problems: dict[str, str] = {}
    for gen_id in gen_ids:
        try:
            answer(gen_id)
        except DreamflowError as error:
            problems[gen_id] = str(error)
    if problems and len(problems) == len(gen_ids):
        lines = dict.fromkeys(problems.values())
        raise DreamflowError("\n".join([f"pack {pack_id}: none of {len(gen_ids)} could be answered", *lines]))
    write_atomic(
        pack_path(data_root, pack_id),
        pretty({"pack_id": pack_id, "generations": list(gen_ids), "problems": problems}),
    )
    return problems
