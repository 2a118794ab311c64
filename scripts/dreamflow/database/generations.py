"""The tables of generations: what they are, what they cost, their texts, and which was made from which."""

import os
from collections.abc import Iterable
from pathlib import Path

import msgspec

from ..errors import DreamflowError
from ..generation.layout import Layout
from ..generation.make import read_result, with_total_cost
from ..generation.model import Json, Number
from ..generation.summary import SCORED_STAGES, Metadata, summarise
from ..reports.lineage import facts
from ..reports.scores import on_unit, read_score
from .schema import Rows, Search, Source, Table, View, columns, stamp

TITLE = 90  # characters of a title
_NOT_SEARCHED = ("chunk", "cluster", "match", "note")  # chunks, notes and variants have what they say

GENERATIONS = Table(
    "generations",
    "A row for each generation that was made, failed ones too.",
    columns("""
        gen_id TEXT the id
        stage TEXT draft, essay, evaluation, variant, verdict, chunk, answer ...
        family TEXT cohort, dream, conversation or model
        spec TEXT the spec that first needed the answer
        mode TEXT llm, human, copy (the parent's text) or local (an operator)
        status TEXT ok, failed, skipped or pending
        reason TEXT why it is not ok
        title TEXT its first line, or what it is about
        template_id TEXT the template of its prompt
        model_id TEXT the model that answered; null without a model
        provider TEXT who serves the model
        model_name TEXT the model as the provider reports it
        replicate INTEGER the number of this draw, from 1
        combo_id TEXT the combination of concepts, of drafts, essays and evaluations
        parent_id TEXT the first parent
        score REAL the score of an evaluation, on its own scale
        score_01 REAL the score, rescaled to 0-1
        score_problem TEXT why an evaluation has no score
        scale_low REAL the lowest score of the scale
        scale_high REAL the highest score of the scale
        samples INTEGER how many answers were drawn
        prompt_tokens INTEGER tokens of all prompts
        completion_tokens INTEGER tokens of all answers
        cost_usd REAL US dollars of all samples; null if unknown, or if there was no call
        latency_s REAL seconds of all samples
        finish_reason TEXT why the last answer ended: stop, length, refusal ...
        warnings TEXT warnings of the parser and the provider
        created_at TEXT when the answer came (ISO 8601, UTC)
        wildcards TEXT JSON: its coordinates in the spec
        parsed TEXT JSON: the values that the parser read
        path TEXT its parsed file, below the data folder
        text TEXT the text of the parsed file
    """),
    ("gen_id",),
    indexes=(("stage", "model_id"), ("parent_id",), ("combo_id",), ("created_at",), ("spec",)),
    search=Search(
        kind="stage || 's'",
        id="gen_id",
        title="title",
        date="created_at",
        path="path",
        columns={"title": 3.0, "text": 1.0},
        where=f"stage NOT IN {_NOT_SEARCHED}",
    ),
)
LINEAGE = Table(
    "lineage",
    "An edge from each generation to each of its parents.",
    columns("""
        gen_id TEXT the generation
        parent_id TEXT what it was made from
        position INTEGER the place among its parents, from 0
    """),
    ("gen_id", "position"),
    indexes=(("parent_id",),),
)
ANCESTORS = View(
    "ancestors",
    "Recursive: everything that a generation was made from, with the number of steps to it.",
    columns("""
        gen_id TEXT the generation
        ancestor_id TEXT what it was made from, by some steps
        steps INTEGER the number of steps
    """),
    """WITH RECURSIVE up (gen_id, ancestor_id, steps) AS (
    SELECT gen_id, parent_id, 1 FROM lineage
    UNION SELECT up.gen_id, lineage.parent_id, steps + 1 FROM up JOIN lineage ON lineage.gen_id = up.ancestor_id
) SELECT gen_id, ancestor_id, steps FROM up""",
)


class _Metadata(Metadata, frozen=True, kw_only=True):
    """metadata.json, with what the database has besides."""

    family: str | None = None
    finish_reason: str | None = None
    usage: dict[str, Json] | None = None
    latency_s: Number | None = None
    created_at: str | None = None


_DECODER = msgspec.json.Decoder(_Metadata, strict=False)


def generation_source(layout: Layout) -> Source:
    """The generations below the data folder."""
    return Source(
        "generations",
        1,
        (GENERATIONS, LINEAGE),
        lambda: _find(layout),
        lambda item: _read(layout, *item.split("/")),
        (ANCESTORS,),
    )


def _find(layout: Layout) -> Iterable[tuple[str, str]]:
    root = f"{layout.root}/gens"
    for stage in _folders(root):
        parsed = layout.parsed_name(stage)
        for gen_id in _folders(f"{root}/{stage}"):
            folder = f"{root}/{stage}/{gen_id}"
            found = stamp(f"{folder}/metadata.json", f"{folder}/{parsed}")
            if found[0] != "-":  # else it is being made
                yield f"{stage}/{gen_id}", found


def _folders(path: str) -> list[str]:
    try:
        return [entry.name for entry in os.scandir(path) if entry.is_dir()]
    except OSError:
        return []


def _read(layout: Layout, stage: str, gen_id: str) -> Rows:
    folder = layout.generation(stage, gen_id)
    try:
        made = _DECODER.decode((folder / "metadata.json").read_bytes())
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise DreamflowError(f"{folder}/metadata.json: damaged: {error}. Delete its folder and run again") from None
    name = layout.parsed_name(stage)
    text = _text(folder / name)
    known = facts(made)
    summary = summarise(made, layout.root, text if stage in SCORED_STAGES else "")
    score, _, problem = read_score(known, summary) if stage in SCORED_STAGES else (None, "", "")
    samples = len(made.attempts) if isinstance(made.attempts, list) else 0
    usage, latency = made.usage or {}, made.latency_s
    if samples > 1:
        usage, latency = _usage_of_all(layout.root, folder, usage, latency)
    row = {
        "gen_id": gen_id,
        "stage": stage,
        "family": made.family,
        "spec": made.origin_cohort_id,
        "mode": known.mode,
        "status": made.status or "ok",
        "reason": made.reason or None,
        "title": _title(stage, gen_id, made, text or ""),
        "template_id": known.template_id,
        "model_id": known.model_id or None,
        "provider": made.provider,
        "model_name": made.model_name,
        "replicate": known.replicate,
        "combo_id": known.combo_id or None,
        "parent_id": known.parents[0] if known.parents else None,
        "score": score,
        "score_problem": problem or None,
        "score_01": on_unit(score, *known.scale),
        "scale_low": known.scale[0],
        "scale_high": known.scale[1],
        "samples": samples,
        "prompt_tokens": usage.get("prompt_tokens"),
        "completion_tokens": usage.get("completion_tokens"),
        "cost_usd": summary.cost_usd,
        "latency_s": latency,
        "finish_reason": made.finish_reason,
        "warnings": summary.warnings or None,
        "created_at": made.created_at,
        "wildcards": made.wildcards or {},
        "parsed": made.parsed or {},
        "path": f"gens/{stage}/{gen_id}/{name}",
        "text": text,
    }
    edges = ({"gen_id": gen_id, "parent_id": p, "position": n} for n, p in enumerate(known.parents))
    return {"generations": [row], "lineage": edges}


def _usage_of_all(root: Path, folder: Path, usage: dict[str, Json], latency: Number | None) -> tuple:
    """Tokens and seconds of all samples, or of the last one if the store has lost some."""
    try:
        whole = with_total_cost(read_result(folder), root)
    except DreamflowError:
        return usage, latency
    return {"prompt_tokens": whole.usage.prompt, "completion_tokens": whole.usage.completion}, whole.latency_s


def _text(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return None


def _title(stage: str, gen_id: str, made: _Metadata, text: str) -> str:
    """The first line of prose; what other texts are about."""
    where = made.wildcards or {}
    if stage in SCORED_STAGES:
        parent = made.parents[0] if made.parents else made.parent_gen_id or ""
        return f"{made.template_id or stage} of {parent}"
    about = where.get("procedure_id") or where.get("task_id")
    if about:
        of = "" if stage == "variant" or not made.parents else f"{stage} of "
        return (
            f"{of}{about}: {where['kind']} at {where['site']}" if {"kind", "site"} <= where.keys() else f"{of}{about}"
        )
    first = next((line.strip("#*_> \t") for line in text.splitlines() if line.strip("#*_> \t")), "")
    return first[:TITLE] or gen_id
