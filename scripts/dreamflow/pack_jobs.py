"""The packs of a run: cluster jobs that answer generations of local models, and the resources of each job."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from .errors import DreamflowError
from .files import canonical, write_atomic
from .generation.model import Generation, as_json
from .generation.packs import (
    answer_pack,
    extend_packs,
    keep_answered,
    memory_mb,
    pack_path,
    pack_problems,
    read_packs,
    write_packs,
)

if TYPE_CHECKING:
    from .plan import Plan


class PackJobs:
    """The packs of a plan, for the rules."""

    def __init__(self, plan: Plan, is_due: Callable[[str], bool], *, in_job: bool) -> None:
        self.plan, self.layout, self.is_due = plan, plan.world.layout, is_due
        self.packs = read_packs(self.layout)
        if not in_job:
            if self.packs.members:
                self.packs = keep_answered(self.packs, self._rows(), self.layout)
            self.form()

    def _rows(self) -> dict[str, Generation]:
        """The rows of the plan, by priority."""
        rows = self.plan.generations
        return {gen_id: rows[gen_id] for gen_id in sorted(rows, key=self.plan.priority, reverse=True)}

    def form(self) -> None:
        """Form packs of the generations that are due and not in a pack, if the configuration sets `pack`."""
        if size := self.plan.world.settings.pack:
            world = self.plan.world
            self.packs = extend_packs(self.packs, self._rows(), self.is_due, self.plan.models, world.origin, size)

    def write(self) -> None:
        """Write the packs, for jobs in other processes."""
        write_packs(self.packs, self.layout)

    @property
    def of(self) -> Mapping[str, str]:
        """The pack of each generation."""
        return self.packs.of

    def file(self, gen_id: str) -> list[str]:
        """The file that the pack of a generation writes; empty if the generation is not in a pack."""
        return [str(pack_path(self.layout, self.of[gen_id]))] if gen_id in self.of else []

    def check(self, gen_id: str) -> None:
        """Raise a `DreamflowError` if the pack of a generation could not answer it."""
        if gen_id in self.of and (problem := pack_problems(self.layout, self.of[gen_id]).get(gen_id)):
            raise DreamflowError(problem)

    def rows(self, pack_id: str) -> dict[str, Generation]:
        """The rows of a pack that are still planned. Raises `DreamflowError` if the pack is unknown."""
        if pack_id not in self.packs.members:
            raise DreamflowError(
                f"unknown pack {pack_id}: packs are formed by the run that needs them, so request its target instead"
            )
        rows = {gen_id: self.plan.find(gen_id) for gen_id in self.packs.members[pack_id]}
        return {gen_id: row for gen_id, row in rows.items() if row is not None}

    def job(self, pack_id: str) -> str:
        """The content of the job file of a pack."""
        return canonical(as_json(self.rows(pack_id)))

    def threads(self, pack_id: str) -> int:
        """The processors that the models of a pack use: the configured number, else 2."""
        models = [self.plan.models[row.model.model_id] for row in self.rows(pack_id).values()]
        return max((model.threads or 2 for model in models), default=1)

    def memory_mb(self, pack_id: str) -> int:
        """The memory that a pack needs."""
        return memory_mb(self.rows(pack_id).values())

    def answer(self, pack_id: str, answer: Callable[[Generation], None], log: str) -> None:
        """Answer the generations of a pack and log the errors."""
        rows = self.rows(pack_id)
        gen_ids = [gen_id for gen_id in self.packs.assigned(pack_id) if gen_id in rows]
        problems = answer_pack(pack_id, gen_ids, lambda gen_id: answer(rows[gen_id]), self.layout)
        if problems:
            write_atomic(Path(log), "".join(f"{gen_id}: {line}\n" for gen_id, line in problems.items()))
