"""What the store and the models leave to expect of the regions of an upgrade: calls, tokens and cost.

The numbers are those of the forecast of a dry run, so a plan and the table beside it agree.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from ..errors import DreamflowError
from ..generation.batch_files import open_batches
from ..generation.budgets import worst_case
from ..generation.forecast import Line, forecast
from ..generation.layout import Layout
from ..generation.make import Build, Context, build, describe, with_total_cost
from ..generation.model import Generation, Json, Question, Record
from ..generation.models import Model
from ..generation.respond import NeedsCall
from ..generation.store import database
from ..generation.tokens import estimate_tokens
from .archive import usage_of
from .compile import Chunking, chunk_rows
from .conversation import Archive
from .upgrade import Outlook, known_total
from .upgrade_tried import answers_digest, read_summary, region_key

ANSWER_TOKENS = 90  # for a chunk: numbers, labels, entities and a sentence; never the text
CHUNK_TOKENS = 250  # of a usual chunk
CANDIDATE_TOKENS = 7  # for a turn at which a topic may begin, in the format `begins`
_ENOUGH = 5  # answers of a model, whose mean length is then expected
_TOO_LARGE = (
    "one of its calls may take {largest:,} tokens, and {cap} is {most:,}: raise it, or lower sampling.max_tokens "
    "of the tier"
)
_CHANGED = "its text has changed since its archive was made: run `snakemake chunks`"
_MEASURED = """
    SELECT model_id, sum(completion_tokens), sum(prompt_tokens), count(*) FROM ledger WHERE stage = 'chunk' GROUP BY 1
"""


@dataclass
class Prospects:
    """What is known of the answers to come: `ratios` has the measured tokens of an answer for each token of a prompt,
    by model; `waiting` the questions in batches (key -> gen_id)."""

    layout: Layout
    is_batch: Callable[[str, Model], bool] = lambda stage, model: False
    waiting: Mapping[str, str] = field(default_factory=dict)
    ratios: Mapping[str, float] = field(default_factory=dict)

    @classmethod
    def of(cls, layout: Layout, is_batch: Callable[[str, Model], bool]) -> "Prospects":
        """Those of a project."""
        waiting = {item.key: item.gen_id for batch in open_batches(layout.store) for item in batch.items.values()}
        return cls(layout, is_batch, waiting, measured_ratios(layout.store))

    def answer_tokens(self, row: Generation, texts: Mapping[str, str]) -> int:
        """The expected tokens of an answer to a generation of the stage chunk: as the model's answers so far, else by
        the number of chunks that its text usually has."""
        text = estimate_tokens(texts[row.variables["text"]["sha256"]])
        ratio = self.ratios.get(row.model.model_id) if row.model else None
        if ratio is not None:
            shown = texts[row.variables["units"]["sha256"]]
            return math.ceil(ratio * (estimate_tokens(texts[row.template_sha256]) + estimate_tokens(shown)))
        form = row.parser_options.get("format")
        if form == "begins":
            return CANDIDATE_TOKENS * len(row.response_format["json_schema"]["schema"]["properties"])
        return math.ceil(text / CHUNK_TOKENS) * ANSWER_TOKENS + (text if form == "verbatim" else 0)


def measured_ratios(store: Path) -> dict[str, float]:
    """The tokens of an answer for each token of its prompt, of the models that have chunked conversations so far."""
    rows = database(store).read(_MEASURED)
    return {model_id: answer / prompt for model_id, answer, prompt, count in rows if count >= _ENOUGH and prompt}


def look(
    chunking: Chunking,
    level: str,
    prospects: Prospects,
    caps: Sequence[tuple[str, int]],
    folder: Path,
    archive: Archive,
    first: int,
    last: int,
) -> Outlook:
    """What the answers in the store leave to ask of units `first` to `last` of an archive, at a level. `caps` are the
    budgets of tokens of the upgrade, `folder` has the archives."""
    conversation_id, text = archive["conversation_id"], archive["metadata"]["text_sha256"]
    if chunking.talks[conversation_id].text_sha256 != text or last > len(chunking.units[conversation_id]):
        return Outlook(calls=1, blocked=_CHANGED)
    models, texts, layout = chunking.models, chunking.catalog.texts, prospects.layout
    context = Context(layout=layout, texts=texts, models=models)
    rows = chunk_rows(chunking, conversation_id, level, (first, last))
    lines: list[Line] = []
    keys, unusable, reserves, largest = [], [], [(0, 0.0)], 0
    waiting = 0
    for row in rows:
        if row.mode == "human":  # a person, who costs nothing
            waiting += 1
            continue
        asked: list[Question] = []
        try:
            built = build(row, context, [], partial(_note, asked), read_only=True)
        except NeedsCall as needed:
            (line,) = _forecast(row, context, prospects)
            if needed.args[0] in prospects.waiting:
                waiting += 1
                continue
            lines.append(line)
            model = models[asked[0].model.model_id]
            worst = worst_case(asked[0], row, model, batch=prospects.is_batch(row.stage, model))
            tokens, usd = worst.tokens - line.prompt_tokens - line.completion_tokens, worst.usd - line.cost_usd
            reserves.append((max(tokens, 0), max(usd, 0.0)))
            largest = max(largest, worst.tokens)
        except DreamflowError as error:  # a damaged record of the store: its job would fail
            return Outlook(calls=1, blocked=str(error))
        else:
            keys.append(built.outcome.key)
            unusable += [(row, built)] if built.outcome.status != "ok" else []
    units = chunking.units[conversation_id]
    chars = (units[first - 1].start, units[last - 1].end)
    applied = read_summary(folder / conversation_id).get("applied", {}).get(region_key(level, chars, text))
    too_large = next(
        (_TOO_LARGE.format(largest=largest, cap=name, most=cap) for name, cap in caps if largest > cap), ""
    )
    return Outlook(
        calls=len(lines),
        waiting=waiting,
        prompt_tokens=sum(line.prompt_tokens for line in lines),
        answer_tokens=sum(line.completion_tokens for line in lines),
        usd=known_total(line.cost_usd if line.priced else None for line in lines),
        seconds=round(len(lines) * chunking.tiers[level].seconds_per_call, 3),
        most_tokens=sum(line.tokens_upper for line in lines),
        most_usd=known_total(None if line.unpriced else line.cost_upper_usd for line in lines),
        reserve_tokens=max(tokens for tokens, _ in reserves),
        reserve_usd=max(usd for _, usd in reserves),
        unusable="" if lines or waiting or not unusable else _unusable(rows, unusable, answers_digest(keys), applied),
        blocked=too_large,
        paid=_paid(unusable, layout),
    )


def _note(asked: list[Question], question: Question, key: str) -> Record:
    asked.append(question)
    raise NeedsCall(key)


def _forecast(row: Generation, context: Context, prospects: Prospects) -> list[Line]:
    """The line of one generation in the forecast of a run."""
    return forecast(
        [row],
        context,
        lambda gen_id: True,
        lambda gen_id: context.layout.generation(row.stage, gen_id),
        waiting=prospects.waiting,
        is_batch=prospects.is_batch,
        answer_tokens=lambda one: prospects.answer_tokens(one, context.texts),
    )


def _unusable(
    rows: Sequence[Generation], unusable: Sequence[tuple[Generation, Build]], digest: str, applied: str | None
) -> str:
    """Why nothing can come of a region whose questions are all answered; "" if something can: all answers are unusable,
    or an upgrade was `applied` with the same answers before, and these chunks stayed."""
    return unusable[0][1].outcome.reason if len(unusable) == len(rows) or digest == applied else ""


def _paid(unusable: Sequence[tuple[Generation, Build]], layout: Layout) -> dict[str, Json]:
    """The sums of the answers that could not be used."""
    results = [with_total_cost(describe(row, built, [], ""), layout.root) for row, built in unusable]
    usage = usage_of(results)
    cost = None if usage.get("unknown_costs") else usage["cost_usd"]
    answers = sum(len(result.attempts) for result in results)
    return {"answers": answers, "tokens": usage["tokens_used"], "cost_usd": cost}
