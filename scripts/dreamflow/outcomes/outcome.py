"""An outcome: how good an answer of a model was, and who or what says so."""

from collections.abc import Mapping
from typing import Literal

from msgspec import Struct

from ..files import canonical, sha256
from ..generation.model import Json
from .made import Made

EvidenceClass = Literal["exact", "person", "judged"]


class Outcome(Struct, frozen=True, kw_only=True, gc=False):
    """The outcome of an answer, from 0 to 1, with its evidence.

    - `model_id`, `revision`: the model that answered, maybe a fallback; None for an operator without a model.
    - `stage`, `gen_id`: the generation; "benchmark" and "" for a row of a benchmark.
    - `kind`, `context`: of its task (see `generations`); `columns` are the coordinates of the generation's row.
    - `evidence_class`: exact, person or judged; `verified_by`: grader, sandbox, parser, windows, judge, person, row.
    - `weight`: how much the outcome counts (0 to 1) among those of its class.
    - `passed`: None if it is neither right nor wrong; `why`: the reason, in one line.
    - `prompt`: the text that was asked; `prompt_words`: the words that were sent, None if unknown.
    - `evidence`: the files that verify it, below the data folder; of a row, its file and line.
    - `tokens`, `cost_usd`, `latency_s`: of all samples; None if unknown.
    - `judge_outcomes`: an outcome for each evaluation or rating; `stakes` (0-1), `group`, `task_id`: of its task.
    - `made`: the generation; None for a row of a benchmark.
    """

    model_id: str | None
    revision: str = ""
    stage: str
    gen_id: str
    kind: str
    context: str
    columns: Mapping[str, Json] = {}
    evidence_class: EvidenceClass
    verified_by: str
    outcome: float
    weight: float = 1.0
    passed: bool | None
    why: str
    prompt: str = ""
    prompt_words: int | None = None
    evidence: tuple[str, ...] = ()
    tokens: int | None = None
    cost_usd: float | None = None
    latency_s: float | None = None
    created_at: str | None = None
    judge_outcomes: tuple[float, ...] = ()
    group: str | None = None
    task_id: str | None = None
    stakes: float | None = None
    made: Made | None = None

    @property
    def order(self) -> tuple[str, ...]:
        """The sort key: the time of the answer (without one first), the generation, the evidence."""
        names = (self.evidence_class, self.verified_by, self.model_id or "", self.task_id or "")
        return self.created_at or "", self.stage, self.gen_id, *names

    @property
    def experience_id(self) -> str:
        """A digest of the generation and its answer."""
        return sha256(canonical(self._answer))[:16]

    @property
    def outcome_id(self) -> str:
        """A digest of the generation, its answer, and what the evidence says of it."""
        verdict = [self.model_id, self.task_id, self.evidence_class, self.verified_by, round(self.outcome, 6)]
        return sha256(canonical([*self._answer, *verdict]))[:16]

    @property
    def _answer(self) -> list[str | None]:
        made = self.made
        return [self.stage, self.gen_id, made and made.response_key, made and made.prompt_sha256]
