"""The one way to make a generation: render -> respond -> parse -> write.

A generation is a folder `gens/<stage>/<gen_id>/` with `prompt.txt`, `raw.txt`, `parsed.<txt|json|py>` and
`metadata.json`. It is a pure function of its plan row, of its parents and of the response store.
"""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from msgspec import UNSET
from msgspec.structs import replace

from ..errors import DreamflowError
from ..files import pretty, read_as, sha256, write_atomic, write_folder
from .calls import Calls
from .digest import inputs_digest, late_input
from .layout import Layout
from .model import Generation, Json, Message, Parent, Record, Result, as_json
from .models import Model
from .parsers import ParseError, parse
from .providers import Pending, Request, provider
from .providers.human import answer_path
from .render import render, resolve
from .respond import Ask, Outcome, respond
from .store import read_record

# A file of this name in a generation's folder requests further samples, once. It may say up to how many.
REDRAW = "redraw"
REMAKE = "Delete the file and run again: it is rebuilt from the store, without a call"
WITHOUT_MODEL = ("copy", "local")


@dataclass(frozen=True)
class Context:
    """Everything that `make_generation` needs besides the row and its parents.

    `texts` are input texts by SHA-256, `calls` calls the models (None: no call is made), `local(generation)` computes
    the text of a generation of mode `local`. `on_done(generation, result)` is called with every written
    generation. `choice(gen_id)` says why trust chose the model of a generation; None if a spec names it.
    """

    layout: Layout
    texts: Mapping[str, str]
    models: Mapping[str, Model]
    calls: Calls | None = None
    local: Callable[[Generation], str] | None = None
    on_done: Callable[[Generation, Result], None] = lambda generation, result: None
    choice: Callable[[str], Mapping[str, Json] | None] = lambda gen_id: None


@dataclass(frozen=True)
class Build:
    """A generation in memory, before it is written."""

    prompt: str
    outcome: Outcome


def make_generation(generation: Generation, context: Context, parent_folders: Sequence[Path]) -> None:
    """Make a generation and write its four files. Raises `CallError` if a call failed: then nothing is written."""
    make_with_parents(generation, context, [read_parent(parent, context.layout) for parent in parent_folders])


def make_with_parents(generation: Generation, context: Context, parents: Sequence[Parent]) -> tuple[Result, Parent]:
    """Make a generation of parents in memory and write its four files: its metadata, and the generation as its children
    see it. Raises `CallError` if a call failed: then nothing is written."""
    folder = context.layout.generation(generation.stage, generation.gen_id)
    # Computed first: if a person's answer arrives meanwhile, the digest is outdated and the next run reads the answer.
    digest = inputs_digest(generation, [(p.status, p.sha256) for p in parents], late_input(generation, context.layout))
    redraw = folder / REDRAW
    again = redraw.exists()
    up_to = int(redraw.read_text() or 0) if again else 0
    built = build(generation, context, parents, context.calls.ask_for(generation), redraw=again, up_to=up_to)
    result = describe(generation, built, parents, digest)
    if (choice := context.choice(generation.gen_id)) is not None:
        result = replace(result, choice=dict(choice))
    parsed = built.outcome.parsed.text.encode()
    contents = (built.prompt, built.outcome.raw, parsed, pretty(as_json(result)))
    write_folder(folder, dict(zip(context.layout.file_names(generation.stage), contents, strict=True)))
    if again and built.outcome.status == "pending":
        write_atomic(redraw, str(built.outcome.allowed))
    elif again:
        redraw.unlink(missing_ok=True)
    context.on_done(generation, result)
    return result, as_parent(result, parsed)


def read_result(folder: Path) -> Result:
    """The metadata of a generation. Raises a `DreamflowError` that names the file if it cannot be read."""
    return read_as(folder / "metadata.json", Result, REMAKE)


def read_parent(folder: Path, layout: Layout) -> Parent:
    """A generation as its children see it."""
    result = read_result(folder)
    return as_parent(result, (folder / layout.parsed_name(folder.parent.name)).read_bytes())


def as_parent(result: Result, content: bytes) -> Parent:
    """A generation as its children see it; `content` is that of its parsed file."""
    text = content.decode("utf-8")
    if "\r" in text:
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    digest = hashlib.sha256(content).hexdigest()
    return Parent(result.gen_id, result.status, text, digest, result.origin_cohort_id)


def build(
    generation: Generation,
    context: Context,
    parents: Sequence[Parent],
    ask: Ask,
    *,
    redraw: bool = False,
    up_to: int = 0,
    read_only: bool = False,
) -> Build:
    """The prompt and the outcome of a plan row, given its parents. It does not write to the gens folder. With
    `read_only` only `ask` writes anything."""
    blocked = next((parent for parent in parents if parent.status != "ok"), None)
    if blocked is not None:
        return Build("", Outcome("skipped", f"parent {blocked.gen_id} is {blocked.status}"))
    if generation.mode == "copy":
        return Build("", _parse_text(generation, parents[0].text))
    if generation.mode == "local":
        return Build(generation.request + "\n", _parse_text(generation, context.local(generation)))
    by_id = {parent.gen_id: parent.text for parent in parents}
    values = resolve(generation.variables, context.texts, by_id.__getitem__)
    if generation.evidence:
        evidence = _evidence(generation, context.layout)
        if evidence["skip"]:
            return Build("", Outcome("skipped", evidence["skip"]))
        values |= evidence["values"]
    where = f"{generation.stage}/{generation.template_id}"
    prompt = render(context.texts[generation.template_sha256], values, where)
    if generation.mode == "human":
        return Build(prompt, _from_inbox(generation, prompt, context))
    store, models = context.layout.store, context.models
    options = {"models": models, "redraw": redraw, "up_to": up_to, "read_only": read_only}
    return Build(prompt, respond(generation, prompt, store, ask, **options))


def evidence_path(generation: Generation, layout: Layout) -> Path:
    """The JSON file with measurements of a generation's parent."""
    return layout.root / generation.evidence.file


def _evidence(generation: Generation, layout: Layout) -> Mapping[str, Json]:
    """{"skip": a reason to skip the generation, or null, "values": further variables of its template}"""
    path, entry = evidence_path(generation, layout), generation.evidence.entry
    entries = read_as(path, dict[str, Json])
    evidence = entries.get(entry)
    if not isinstance(evidence, dict) or not {"skip", "values"} <= evidence.keys():
        raise DreamflowError(f"{path}: damaged: no measurements of {entry}. Delete {path.name} and run again")
    return evidence


def _parse_text(generation: Generation, text: str) -> Outcome:
    try:
        return Outcome("ok", "", text, parse(generation.parser.split("/")[0], text, generation.parser_options))
    except ParseError as error:
        return Outcome("failed", f"unparsable: {error}", text)


def _from_inbox(generation: Generation, prompt: str, context: Context) -> Outcome:
    """The outcome of a person's answer file. It is read every time and not stored, since the person may correct it."""
    model = context.models[generation.model.model_id]
    inbox = context.layout.inbox
    request = Request(model, [Message("user", prompt)], {}, gen_id=generation.gen_id, inbox=inbox)
    try:
        text = provider("human").complete(request).text
    except Pending as pending:
        return Outcome("pending", str(pending))
    outcome = _parse_text(generation, text)
    if outcome.status == "ok":
        return outcome
    answer = answer_path(inbox, generation.gen_id)
    return Outcome("pending", f"{outcome.reason}; correct {answer}", text)


def describe(generation: Generation, built: Build, parents: Sequence[Parent], inputs_sha256: str) -> Result:
    """The metadata of a generation. Times and origins come from the store, so a rebuilt file has the same bytes."""
    outcome, record = built.outcome, built.outcome.record
    result = Result(
        inputs_sha256=inputs_sha256,
        gen_id=generation.gen_id,
        stage=generation.stage,
        family=generation.family,
        mode=generation.mode,
        status=outcome.status,
        reason=outcome.reason,
        template_id=generation.template_id,
        template_sha256=generation.template_sha256,
        parents=list(generation.parents),
        wildcards=dict(generation.wildcards),
        replicate=generation.replicate,
        sampling=dict(generation.sampling),
        turns=list(generation.turns) or UNSET,
        prompt_sha256=sha256(built.prompt) if built.prompt else None,
        response_key=outcome.key or None,
        finish_reason=generation.mode if generation.mode in WITHOUT_MODEL else None,
        attempts=outcome.attempts,
        parser=generation.parser,
        parser_options=dict(generation.parser_options),
        parsed={**outcome.parsed.values, "warnings": list(outcome.parsed.warnings)},
        origin_cohort_id=next((parent.origin_cohort_id for parent in parents), ""),
    )
    model = record.request.model if record else generation.model  # the model that answered may be a fallback
    if model:
        names = {"model_name": model.name, "model_revision": model.revision}
        result = replace(result, model_id=model.model_id, provider=model.provider, **names)
    return replace(result, **_response_fields(record, outcome, result)) if record else result


def _response_fields(record: Record, outcome: Outcome, result: Result) -> dict[str, Json]:
    """The fields of the metadata that come from the answer in the store."""
    response, call = record.response, record.call
    return {
        "parsed": {**result.parsed, "warnings": [*result.parsed["warnings"], *(response.warnings or [])]},
        "model_name": response.model_name or result.model_name,
        "sampling": record.request.sampling,
        "sample": outcome.attempts[-1].sample,
        "response_key": outcome.key,
        "finish_reason": response.finish_reason or result.finish_reason,
        "truncated": response.finish_reason == "length",
        "usage": response.usage,
        "price": call.price,
        "cost_usd": call.cost_usd,
        "latency_s": call.latency_s,
        "call_waits": call.waits,
        "origin_cohort_id": call.cohort_id or result.origin_cohort_id,
        "created_at": call.at,
    }


def with_total_cost(result: Result, root: Path) -> Result:
    """Metadata with the usage, cost and seconds of all samples, including unusable ones."""
    if len(result.attempts) < 2:
        return result
    records = [_stored_record(root / "store", attempt.response_key, result) for attempt in result.attempts]
    usage = records[0].response.usage
    for record in records[1:]:
        usage += record.response.usage
    costs = [record.call.cost_usd for record in records]
    cost = None if None in costs else sum(costs)
    seconds = [record.call.latency_s for record in records]
    latency = None if None in seconds else sum(seconds)
    return replace(result, usage=usage, cost_usd=cost, latency_s=latency)


def _stored_record(store: Path, key: str, result: Result) -> Record:
    record = read_record(store, key)
    if record is None:
        raise DreamflowError(
            f"{store}: no answer {key}, but the metadata of {result.stage} {result.gen_id} refers to it. Restore the "
            "store, or delete the generation's metadata.json and run again: the model is then called again"
        )
    return record


def failure_message(generation: Generation, error: Exception) -> str:
    """The message about a generation that could not be made."""
    model = generation.model.model_id if generation.model else "no model"
    return f"{generation.stage} {generation.gen_id} ({model}) was not made: {error}"
