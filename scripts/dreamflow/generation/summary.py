"""Summaries of generations: what tables read of a generation, without its texts.

A summary comes from the result that was just made (`summarise`), from a file that keeps many of them, or from the
files of the generation (`read_summary`).
"""

import json
import math
from collections.abc import Callable
from pathlib import Path

import msgspec
from msgspec import Struct

from ..errors import DreamflowError
from .model import Attempt, Json, Number, Result

SCORED_STAGES = ("evaluation",)  # their parsed files are scores


class Summary(Struct, frozen=True, array_like=True, gc=False):
    """What tables read of a generation; in JSON it is a list, whose last items may be absent.

    `score` is the number in the parsed file of a scored stage; None if there is none, or no such file (`no_text`).
    `cost_usd` is the cost of all samples in US dollars, None if unknown. `provider` and `model_name` say what answered
    as the provider reports it. `warnings` are joined by "; ".
    """

    status: str = "ok"
    score: float | None = None
    cost_usd: Number | None = None
    origin_cohort_id: str = ""
    model_id: str = ""
    provider: str = ""
    model_name: str = ""
    reason: str = ""
    warnings: str = ""
    no_text: bool = False


class Metadata(Struct, frozen=True, kw_only=True):
    """metadata.json as this workflow or the original pipeline writes it; each has fields that the other lacks."""

    gen_id: str
    stage: str
    status: str | None = None
    reason: str | None = None
    mode: str | None = None
    parents: tuple[str, ...] | None = None
    parent_gen_id: str | None = None
    wildcards: dict[str, Json] | None = None
    combo_id: str | None = None
    template_id: str | None = None
    model_id: str | None = None
    llm_model_id: str | None = None
    provider: str | None = None
    model_name: str | None = None
    replicate: int | None = None
    parser_options: dict[str, Json] | None = None
    parsed: dict[str, Json] | None = None
    origin_cohort_id: str | None = None
    cost_usd: Number | None = None
    attempts: Json = None


Look = Callable[[str, str], Summary | None]  # (stage, gen_id) -> its summary; None if it does not exist yet

_DECODER = msgspec.json.Decoder(Metadata, strict=False)


class Summaries:
    """The summaries of the generations under `root`, each read once: a `Look`.

    `stored` gives the summaries that files of many generations have; all others are read from the generations' files.
    `version` is another number after each `forget()`, which is necessary when this process has written generations.
    """

    def __init__(self, root: Path, stored: Look = lambda stage, gen_id: None) -> None:
        self.root, self.stored, self.version = root, stored, 0
        self._read: dict[str, Summary] = {}

    def __call__(self, stage: str, gen_id: str) -> Summary | None:
        """The summary of a generation; None if it does not exist yet. Raises a `DreamflowError` if it is damaged."""
        found = self._read.get(gen_id) or self.stored(stage, gen_id) or read_summary(self.root, stage, gen_id)
        if found is not None:
            self._read[gen_id] = found
        return found

    def forget(self) -> None:
        """Read everything again."""
        self.version += 1
        self._read.clear()


def summarise(result: Result | Metadata, root: Path, text: str | None = "") -> Summary:
    """The summary of a result. `text` is the content of the parsed file if its stage is one of `SCORED_STAGES`: None if
    there is no such file. `root` has the store, which is read if there were several samples."""
    parsed = result.parsed or {}
    return Summary(
        status=result.status or "ok",
        score=score_of(text) if text else None,
        cost_usd=_total_cost(result, root),
        origin_cohort_id=result.origin_cohort_id or "",
        model_id=result.model_id or "",
        provider=result.provider or "",
        model_name=result.model_name or "",
        reason=result.reason or "",
        warnings="; ".join(parsed.get("warnings") or ()),
        no_text=text is None,
    )


def read_summary(root: Path, stage: str, gen_id: str) -> Summary | None:
    """The summary of a generation from its files; None if it has no metadata.json. Raises a `DreamflowError` if that is
    damaged."""
    metadata = read_metadata(root, stage, gen_id)
    return metadata and summarise(metadata, root, read_score_text(root, stage, gen_id))


def read_score_text(root: Path, stage: str, gen_id: str) -> str | None:
    """The parsed file of a generation, for `summarise`: "" if its stage is not scored, None if there is no file."""
    if stage not in SCORED_STAGES:
        return ""
    try:
        with open(f"{root}/gens/{stage}/{gen_id}/parsed.txt", encoding="utf-8", errors="replace") as stream:  # noqa: PTH123
            return stream.read()
    except FileNotFoundError:
        return None


def score_of(text: str) -> float | None:
    """The score in a parsed file: the number on its last line, or the "score" of its JSON object."""
    try:
        score = float(text.rstrip().rpartition("\n")[2])
    except ValueError:
        score = _json_score(text)
    return score if math.isfinite(score) else None


def _json_score(text: str) -> float:
    try:
        value = json.loads(text)["score"]
    except (ValueError, KeyError, TypeError):
        return math.nan
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else math.nan


def read_metadata(root: Path | str, stage: str, gen_id: str) -> Metadata | None:
    """The metadata of a generation; None if it does not exist yet. Raises a `DreamflowError` if it cannot be read."""
    path = f"{root}/gens/{stage}/{gen_id}/metadata.json"
    try:
        with open(path, "rb") as stream:  # noqa: PTH123  (a Path costs as much as the file)
            return _DECODER.decode(stream.read())
    except FileNotFoundError:
        return None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise DreamflowError(f"{path}: damaged: {error}. Delete its folder and run again") from None


def _total_cost(result: Result | Metadata, root: Path) -> Number | None:
    """The cost of a generation with all its samples, including unusable ones, in US dollars; None if unknown."""
    if not isinstance(result.attempts, list) or len(result.attempts) < 2:
        return result.cost_usd
    from .make import with_total_cost  # few generations have several samples

    try:
        attempts = msgspec.convert(result.attempts, list[Attempt])
        whole = Result(gen_id=result.gen_id, stage=result.stage, attempts=attempts)
        return with_total_cost(whole, root).cost_usd
    except (msgspec.ValidationError, DreamflowError):  # of another program; the store has lost an answer
        return None
