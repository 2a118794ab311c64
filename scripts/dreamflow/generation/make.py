"""The one way to make a generation: render -> respond -> parse -> write.

A generation is a folder `gens/<stage>/<gen_id>/` with `prompt.txt`, `raw.txt`, `parsed.<txt|json|py>` and
`metadata.json`. It is a pure function of its plan row, of its parents and of the response store.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import ConfigError
from ..files import pretty, sha256, write_atomic
from .parsers import ParseError, parse
from .providers import CallError, Pending, Request
from .providers import human as human_provider
from .render import render, resolve
from .respond import Ask, Outcome, asker, respond
from .store import response_path

SCHEMA_VERSION = 1
PARSED_SUFFIX = {
    "variant": ".py",
    "verdict": ".json",
    "chunk": ".json",
    "cluster": ".json",
}  # by stage; everything else is text
REDRAW = "redraw"  # a file of this name in a generation's folder asks for new samples, once


@dataclass(frozen=True)
class Context:
    """What generations are made with. `texts` are input texts by SHA-256, `origin` says which cohort plans an id
    first, `local(row)` is the text of a row that asks nobody (mode `local`), `on_answer(record)` hears of every new
    answer, `on_done(metadata)` of every generation written."""

    data_root: Path
    texts: Mapping[str, str]
    models: Mapping[str, Mapping[str, Any]]
    origin: Mapping[str, str]
    call_attempts: int = 5
    local: Callable[[Mapping[str, Any]], str] | None = None
    on_answer: Callable[[Mapping[str, Any]], None] = lambda record: None
    on_done: Callable[[Mapping[str, Any]], None] = lambda metadata: None

    @property
    def store(self) -> Path:
        """The folder of the response store."""
        return self.data_root / "store"


@dataclass(frozen=True)
class Made:
    """A generation in memory, before or after it is written."""

    prompt: str
    outcome: Outcome


def gen_folder(data_root: Path, stage: str, gen_id: str) -> Path:
    """The folder of a generation."""
    return data_root / "gens" / stage / gen_id


def parsed_name(stage: str) -> str:
    """The file that holds what was read from a generation's raw text."""
    return "parsed" + PARSED_SUFFIX.get(stage, ".txt")


def make_generation(row: Mapping[str, Any], context: Context, parent_folders: list[Path]) -> None:
    """Make the generation of a plan row and write its four files.

    Raises `CallError` where a call could not be made or answered: then nothing is written.
    """
    folder = gen_folder(context.data_root, row["stage"], row["gen_id"])
    parents = [read_parent(parent) for parent in parent_folders]
    redraw = folder / REDRAW
    made = build(row, context, parents, _ask(row, context), redraw=redraw.exists())
    metadata = describe(row, made, context, parents)
    write_atomic(folder / "prompt.txt", made.prompt)
    write_atomic(folder / "raw.txt", made.outcome.raw)
    write_atomic(folder / parsed_name(row["stage"]), made.outcome.parsed.text)
    write_atomic(folder / "metadata.json", pretty(metadata))
    redraw.unlink(missing_ok=True)
    context.on_done(metadata)


def answer_generation(row: Mapping[str, Any], context: Context, parent_folders: list[Path]) -> None:
    """Put the answers that a generation needs into the store, and write nothing else: see `dreamflow.packs`.

    Raises `CallError` where a call could not be made or answered.
    """
    build(row, context, [read_parent(parent) for parent in parent_folders], _ask(row, context))


def read_parent(folder: Path) -> dict[str, Any]:
    """A generation as its children see it: metadata and text. The original's metadata has no status."""
    metadata = json.loads((folder / "metadata.json").read_text(encoding="utf-8"))
    text = (folder / parsed_name(folder.parent.name)).read_text(encoding="utf-8")
    return {"status": "ok", "origin_cohort_id": "", **metadata, "text": text}


def _ask(row: Mapping[str, Any], context: Context) -> Ask:
    asked_by = {
        "gen_id": row["gen_id"],
        "stage": row["stage"],
        "cohort_id": context.origin.get(row["gen_id"], ""),
    }
    return asker(context.models, context.store, asked_by, context.call_attempts, context.on_answer)


def build(
    row: Mapping[str, Any],
    context: Context,
    parents: list[Mapping[str, Any]],
    ask: Ask,
    *,
    redraw: bool = False,
) -> Made:
    """What a plan row becomes, given its parents ({gen_id, status, text}); writes nothing in the gens folder."""
    blocked = next((parent for parent in parents if parent["status"] != "ok"), None)
    if blocked is not None:
        reason = f"parent {blocked['gen_id']} is {blocked['status']}"
        return Made("", Outcome("skipped", reason))
    if row["mode"] == "copy":
        return Made("", _parse_text(row, parents[0]["text"]))
    if row["mode"] == "local":
        return Made(row["request"] + "\n", _parse_text(row, context.local(row)))
    by_id = {parent["gen_id"]: parent["text"] for parent in parents}
    values = resolve(row["variables"], context.texts, by_id.__getitem__)
    if "evidence" in row:
        evidence = read_evidence(row, context)
        if evidence["skip"]:
            return Made("", Outcome("skipped", evidence["skip"]))
        values |= evidence["values"]
    where = f"{row['stage']}/{row['template_id']}"
    prompt = render(context.texts[row["template_sha256"]], values, where)
    if row["mode"] == "human":
        return Made(prompt, _from_inbox(row, prompt, context.models[row["model"]["model_id"]], context))
    return Made(prompt, respond(row, prompt, context.store, ask, models=context.models, redraw=redraw))


def evidence_path(row: Mapping[str, Any], context: Context) -> Path:
    """The JSON file with what was measured about a row's parent, beside the parent itself."""
    return context.data_root / row["evidence"]["file"]


def read_evidence(row: Mapping[str, Any], context: Context) -> Mapping[str, Any]:
    """{"skip": a reason not to make the generation, or null, "values": further variables of its template}."""
    return json.loads(evidence_path(row, context).read_text(encoding="utf-8"))[row["evidence"]["entry"]]


def _parse_text(row: Mapping[str, Any], text: str) -> Outcome:
    try:
        return Outcome("ok", "", text, parse(row["parser"].split("/")[0], text, row["parser_options"]))
    except ParseError as error:
        return Outcome("failed", f"unparsable: {error}", text)


def _from_inbox(row: Mapping[str, Any], prompt: str, model: Mapping[str, Any], context: Context) -> Outcome:
    """A person's answer is a file that the person may correct, so it is read anew and not kept in the store."""
    inbox = {**model, "inbox": str(context.data_root / "inbox")}
    request = Request(inbox, [{"role": "user", "content": prompt}], {}, gen_id=row["gen_id"])
    try:
        text = human_provider.complete(request).text
    except Pending as pending:
        return Outcome("pending", str(pending))
    outcome = _parse_text(row, text)
    if outcome.status == "ok":
        return outcome
    answer = human_provider.answer_path(context.data_root / "inbox", row["gen_id"])
    return Outcome("pending", f"{outcome.reason}; correct {answer}", text)


def describe(row: Mapping[str, Any], made: Made, context: Context, parents: list[Mapping[str, Any]]) -> dict[str, Any]:
    """The metadata of a generation. Times and first askers come from the store, so it can be rebuilt byte by byte."""
    outcome = made.outcome
    record = outcome.record or {"response": {}, "asked": {}}
    response, asked = record["response"], record["asked"]
    model = record["request"]["model"] if outcome.record else row["model"] or {}  # a fallback's, where that answered
    origin = asked.get("cohort_id") or next((p["origin_cohort_id"] for p in parents), "")
    return {
        "schema_version": SCHEMA_VERSION,
        "gen_id": row["gen_id"],
        "stage": row["stage"],
        "family": row["family"],
        "mode": row["mode"],
        "status": outcome.status,
        "reason": outcome.reason,
        "template_id": row["template_id"],
        "template_sha256": row["template_sha256"],
        "parents": row["parents"],
        "wildcards": row["wildcards"],
        "replicate": row["replicate"],
        "model_id": model.get("model_id"),
        "provider": model.get("provider"),
        "model_name": response.get("model_name") or model.get("name"),
        "model_revision": model.get("revision"),
        "sampling": record["request"]["sampling"] if outcome.record else row["sampling"],
        "sample": outcome.attempts[-1]["sample"] if outcome.attempts else None,
        **({"turns": row["turns"]} if row.get("turns") else {}),  # before the prompt
        "prompt_sha256": sha256(made.prompt) if made.prompt else None,
        "response_key": outcome.key or None,
        "finish_reason": response.get("finish_reason") or (row["mode"] if row["mode"] in ("copy", "local") else None),
        "truncated": response.get("finish_reason") == "length",
        "usage": response.get("usage", {}),
        "price": asked.get("price"),
        "cost_usd": asked.get("cost_usd"),
        "latency_s": asked.get("latency_s"),
        "attempts": [_attempt(attempt, context) for attempt in outcome.attempts],
        "call_waits": asked.get("attempts", []),
        "parser": row["parser"],
        "parser_options": row["parser_options"],
        "parsed": {**outcome.parsed.values, "warnings": list(outcome.parsed.warnings)},
        "origin_cohort_id": origin,
        "created_at": asked.get("at"),
    }


def _attempt(attempt: Mapping[str, Any], context: Context) -> dict[str, Any]:
    path = response_path(context.store, attempt["response_key"]).relative_to(context.data_root)
    return {**attempt, "response": path.as_posix()}


def spent(metadata: Mapping[str, Any], data_root: Path) -> Mapping[str, Any]:
    """Metadata with the usage, cost and seconds of all answers that were drawn, the unusable ones included."""
    paths = [data_root / attempt["response"] for attempt in metadata["attempts"]]
    if len(paths) < 2:
        return metadata
    answers = [json.loads(path.read_text(encoding="utf-8")) for path in paths]
    usages = [answer["response"]["usage"] for answer in answers]
    costs = [answer["asked"]["cost_usd"] for answer in answers]
    return {
        **metadata,
        "usage": {key: sum(usage.get(key, 0) for usage in usages) for key in usages[0]},
        "cost_usd": None if None in costs else sum(costs),
        "latency_s": sum(answer["asked"]["latency_s"] for answer in answers),
    }


def call_problem(row: Mapping[str, Any], error: CallError | ConfigError) -> str:
    """The line that a person reads when a generation could not be made."""
    model = row["model"]["model_id"] if row["model"] else "no model"
    return f"{row['stage']} {row['gen_id']} ({model}) was not made: {error}"
