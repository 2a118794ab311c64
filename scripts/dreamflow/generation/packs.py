"""Packs: groups of generations of one local model. One cluster job answers a pack and loads the model once.

The job writes the answers into the response store, and the errors into `data/packs/<pack_id>.json`. That file is an
input of each generation's own job, which then reads the answer from the store and needs no model.

`data/packs/plan.json` assigns generations to packs. Jobs in other processes read it. It also keeps assignments from run
to run, because Snakemake compares a job's inputs with those of the last run: a generation that was made with a pack
keeps it, and a generation that was made without a pack never gets one. Every run assigns the other generations again.
"""

import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from msgspec import Struct

from ..errors import DreamflowError
from ..files import canonical, pretty, read_as, sha256, write_atomic
from .layout import Layout
from .model import Generation, as_json
from .model_files import model_file
from .models import Model
from .providers import provider

FREE_MB = 1500  # memory of a job without its model: two Snakemake processes, this library, a context
UNKNOWN_MB = 4000  # assumed memory of a model whose file is not on this machine


class Packs(Struct, frozen=True):
    """`members` has the generations of each pack when it was formed, `of` the current pack of each generation."""

    members: dict[str, tuple[str, ...]] = {}
    of: dict[str, str] = {}

    def assigned(self, pack_id: str) -> list[str]:
        """The generations that a pack has to answer: its members that are not in a later pack."""
        return [gen_id for gen_id in self.members[pack_id] if self.of.get(gen_id) == pack_id]


def _plan_path(layout: Layout) -> Path:
    return layout.packs / "plan.json"


def pack_path(layout: Layout, pack_id: str) -> Path:
    """The file that the job of a pack writes when it ends."""
    return layout.packs / f"{pack_id}.json"


def read_packs(layout: Layout) -> Packs:
    """The packs of earlier runs. Raises `DreamflowError` if the file is damaged."""
    path = _plan_path(layout)
    return read_as(path, Packs) if path.exists() else Packs()


def write_packs(packs: Packs, layout: Layout) -> None:
    """Write the packs for the jobs of this run and for later runs, if there are any."""
    if packs.members or _plan_path(layout).exists():
        write_atomic(_plan_path(layout), pretty(as_json(packs)))


def pack_problems(layout: Layout, pack_id: str) -> dict[str, str]:
    """The error message of each generation that a pack could not answer; empty if the pack has not run yet."""
    try:
        return json.loads(pack_path(layout, pack_id).read_text(encoding="utf-8"))["problems"]
    except (FileNotFoundError, ValueError, KeyError):
        return {}


def keep_answered(packs: Packs, rows: Mapping[str, Generation], layout: Layout) -> Packs:
    """The packs, without the generations that are neither made nor answered. `rows` are the plan's rows by gen_id."""
    problems = {
        pack_id: pack_problems(layout, pack_id) for pack_id in packs.members if pack_path(layout, pack_id).exists()
    }
    of = {
        gen_id: pack_id
        for gen_id, pack_id in packs.of.items()
        if (gen_id in rows and pack_id in problems and gen_id not in problems[pack_id])
        or _is_made(layout, gen_id, rows.get(gen_id))
    }
    used = set(of.values())
    return Packs({pack_id: members for pack_id, members in packs.members.items() if pack_id in used}, of)


def extend_packs(
    packs: Packs,
    rows: Mapping[str, Generation],
    is_due: Callable[[str], bool],
    models: Mapping[str, Model],
    origin: Mapping[str, str],
    size: int,
) -> Packs:
    """`packs` and new packs of at most `size` generations that are due and not in a pack (size 0: no new packs).

    `rows` are the plan's rows by gen_id, in the order in which they should be answered. The rows of a pack have the
    same stage, model and origin (the spec that plans them), and no row is the parent of another.
    """
    waiting: dict[tuple[str, str, str, int], list[str]] = defaultdict(list)
    depth: dict[str, int] = {}
    for gen_id, row in rows.items() if size else ():
        if gen_id not in packs.of and is_packable(row) and is_due(gen_id):
            key = (row.stage, row.model.model_id, origin.get(gen_id, ""), _depth(gen_id, rows, depth))
            waiting[key].append(gen_id)
    members, of = dict(packs.members), dict(packs.of)
    for (_, model_id, *_), gen_ids in waiting.items():
        kind = "g" if models[model_id].gpu_layers else "p"
        for start in range(0, len(gen_ids), size):
            pack = tuple(gen_ids[start : start + size])
            pack_id = f"{kind}_{sha256(canonical(pack))[:16]}"
            members[pack_id] = pack
            of |= dict.fromkeys(pack, pack_id)
    return Packs(members, of)


def is_packable(row: Generation) -> bool:
    """Whether all models that may answer a row are local: cluster jobs call no remote models."""
    return row.mode == "llm" and all(provider(candidate.model.provider).is_local for candidate in row.candidates)


def _is_made(layout: Layout, gen_id: str, row: Generation | None) -> bool:
    stages = [row.stage] if row else list(layout.stages)
    return any(Path(layout.metadata(stage, gen_id)).exists() for stage in stages)


def _depth(gen_id: str, rows: Mapping[str, Generation], known: dict[str, int]) -> int:
    """The number of successive ancestors in the same stage: packs of one depth cannot wait for each other."""
    if gen_id not in known:
        same = [parent for parent in rows[gen_id].parents if parent in rows]
        same = [parent for parent in same if rows[parent].stage == rows[gen_id].stage]
        known[gen_id] = 1 + max((_depth(parent, rows, known) for parent in same), default=-1)
    return known[gen_id]


def memory_mb(rows: Iterable[Generation]) -> int:
    """The memory of a job that loads the models of `rows` in turn: that of the largest model, plus FREE_MB."""
    sizes = []
    for name in {row.model.name for row in rows}:
        try:
            sizes.append(round(1.5 * model_file(name).stat().st_size / 1e6))
        except (DreamflowError, OSError):
            sizes.append(UNKNOWN_MB)
    return FREE_MB + max(sizes, default=0)


def answer_pack(pack_id: str, gen_ids: Sequence[str], answer: Callable[[str], None], layout: Layout) -> dict[str, str]:
    """Answer the generations of a pack: `answer(gen_id)` puts the answers of a generation into the store.

    Returns the error message of each generation that could not be answered; the generations' own jobs report them.
    Raises a `DreamflowError` with all messages if no generation could be answered.
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
    outcome = {"pack_id": pack_id, "generations": list(gen_ids), "problems": problems}
    write_atomic(pack_path(layout, pack_id), pretty(outcome))
    return problems
