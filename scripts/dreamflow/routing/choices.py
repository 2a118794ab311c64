"""Choices that were made, `data/trust/choices.jsonl`: a line each, which is never changed.

A choice belongs to a *slot*: the id that the generation would have if its model were called `auto`. The first choice of
a slot that a spec allows stays until `trust.round` asks for another one. A spec that allows none of them (its `of` has
changed, or the model is gone) chooses again, and this line stands beside the others.
"""

import fcntl
import os
from collections.abc import Mapping, Sequence
from itertools import islice
from pathlib import Path

import msgspec
from msgspec import Struct

from ..files import jsonl, sync_folder
from ..generation.model import Json, as_json
from .choose import Expected


class Choice(Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """Which model answers a slot, and why. `propensity` is the probability with which it was chosen, `cycle` that of
    the routing table (0: there was none). `fallbacks` are the models that a cascade asks next,
    `expected` is what was expected of each candidate (known of choices that were read)."""

    slot: str = msgspec.field(name="generation")
    round: int = 1
    model_id: str
    propensity: float
    context: str
    evidence: str
    cycle: int
    state: str
    why: str
    fallbacks: tuple[str, ...] = ()
    expected: Mapping[str, Expected] = {}

    def described(self) -> dict[str, Json]:
        """The choice in the metadata of the generation."""
        names = ("slot", "model_id", "context", "evidence", "cycle", "propensity", "why")
        return {name: getattr(self, name) for name in names}


_LINES_AT_ONCE = 1000  # in memory
_DECODER = msgspec.json.Decoder(Choice)


class ChoiceFile:
    """The file of choices. It is read when the first choice is asked for, and again from there on before it is written.

    `problems` has a line for each damaged line."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.problems: list[str] = []
        self._end = 0  # of what was read

    def read(self) -> list[Choice]:
        """The choices that other reads have not returned yet, in their order. Damaged lines are left out."""
        try:
            with self.path.open("rb") as stream:
                return self._read_on(stream.fileno())
        except FileNotFoundError:
            return []

    def _read_on(self, handle: int) -> list[Choice]:
        size = os.fstat(handle).st_size
        if size < self._end:  # somebody has replaced it
            self._end = 0
        content = os.pread(handle, size - self._end, self._end)
        whole = content[: content.rfind(b"\n") + 1]  # a process may be writing the last line, or was killed
        first, self._end = self._end, self._end + len(whole)
        choices = []
        for line in whole.splitlines(keepends=True):
            try:
                choices.append(_DECODER.decode(line))
            except msgspec.DecodeError as error:
                if line.strip():
                    self.problems.append(f"{self.path}: byte {first}: damaged, so this choice is made again: {error}")
            first += len(line)
        return choices

    def add(self, made: Sequence[tuple[Choice, Mapping[str, Expected]]]) -> list[Choice]:
        """Append choices with what was expected of each model, durably. If another process has added a choice for one
        of these slots since the last read, nothing is written for this slot. Returns what other processes have added.
        """
        self.path.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            fcntl.lockf(handle, fcntl.LOCK_EX)
            others = self._read_on(handle)
            known = {(choice.slot, choice.round) for choice in others}
            if (size := os.fstat(handle).st_size) > self._end:  # no process is writing now
                self.problems.append(f"{self.path}: byte {self._end}: the last line was cut off; it was removed")
                os.ftruncate(handle, self._end)
            lines = (
                {
                    **as_json(choice),
                    "round": choice.round,
                    "expected": {model: _rounded(one) for model, one in expected.items()},
                }
                for choice, expected in made
                if (choice.slot, choice.round) not in known
            )
            while content := jsonl(islice(lines, _LINES_AT_ONCE)).encode():
                while content:
                    done = os.pwrite(handle, content, self._end)
                    self._end, content = self._end + done, content[done:]
            os.fsync(handle)
            if not size:
                sync_folder(self.path.parent)
        finally:
            os.close(handle)  # which releases the lock
        return others


def _rounded(expected: Expected) -> dict[str, float]:
    return {name: round(value, 6) for name, value in as_json(expected).items()}
