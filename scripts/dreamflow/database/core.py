"""The sources of tables that belong to no family: generations, answers' costs, models and written documents."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..files import read_text, sha256
from ..generation.models import Model
from ..generation.store import database
from .generations import TITLE, generation_source
from .schema import Rows, Search, Source, Table, View, columns, stamp

if TYPE_CHECKING:
    from ..family import World

BLOCK = 10_000  # rows of the ledger that are copied together
# Folders of the data folder without documents of their own, or whose documents are in other tables.
_WITHOUT_DOCUMENTS = {"1_raw", "chunks", "export", "gens", "inbox", "jobs", "logs", "prefixes", "shards", "site"}


LEDGER = Table(
    "ledger",
    "A row for each answer of a model: what was paid for what.",
    columns("""
        number INTEGER the order in which the answers came
        at TEXT when (ISO 8601, UTC)
        key TEXT the key of the answer in the store
        gen_id TEXT the generation that needed it first
        stage TEXT its stage
        family TEXT its family
        spec TEXT its spec
        tier TEXT its quality level, of chunks
        run TEXT the run that asked
        model_id TEXT the model
        sample INTEGER the number of the draw
        prompt_tokens INTEGER tokens of the prompt
        cached_tokens INTEGER of these, read from the provider's cache
        cache_write_tokens INTEGER of these, written to the provider's cache
        completion_tokens INTEGER tokens of the answer
        reasoning_tokens INTEGER of these, not in the text
        estimated INTEGER 1: the provider reported no tokens, so they were counted here
        cost_usd REAL US dollars; null if unknown
        latency_s REAL seconds
        batch TEXT the provider's batch, if any
        atp REAL cost in ATP (docs/trust.md)
    """),
    ("number",),
    indexes=(("gen_id",), ("model_id",), ("at",)),
)
MODELS = Table(
    "models",
    "The models of config/models.yaml and the students that were registered here; no keys, no addresses.",
    columns("""
        model_id TEXT the id in specs
        provider TEXT who answers
        name TEXT the provider's name of the model; of a local file its name without the folder
        revision TEXT the version
        registered INTEGER 1: a student that was trained here
        context_length INTEGER the most tokens of prompt and answer
        prompt_price REAL US dollars for a million tokens of prompts, if models.yaml says so
        completion_price REAL the same, of answers
        layer TEXT the layer of trust
        atp REAL the cost of a call in ATP, if models.yaml says so
    """),
    ("model_id",),
)
DOCUMENTS = Table(
    "documents",
    "Journals and reports as they were written (Markdown).",
    columns("""
        path TEXT the file, below the data folder
        kind TEXT journal or report
        title TEXT the first line
        text TEXT the text
    """),
    ("path",),
    search=Search("kind || 's'", "path", "title", "NULL", "path", {"title": 3.0, "text": 1.0}),
)
SPENDING = View(
    "spending",
    "Calls, tokens and known cost by day, model and stage.",
    columns("""
        day TEXT the day (UTC)
        model_id TEXT the model
        stage TEXT the stage
        calls INTEGER answers
        prompt_tokens INTEGER tokens of prompts
        completion_tokens INTEGER tokens of answers
        cost_usd REAL US dollars, as far as known
        unpriced_calls INTEGER answers of unknown cost
    """),
    """SELECT substr("at", 1, 10) AS day, model_id, stage, count(*) AS calls, sum(prompt_tokens) AS prompt_tokens,
    sum(completion_tokens) AS completion_tokens, sum(cost_usd) AS cost_usd, sum(cost_usd IS NULL) AS unpriced_calls
FROM ledger GROUP BY 1, 2, 3""",
)


def core_sources(world: "World") -> list[Source]:
    """The sources that every project has."""
    return [generation_source(world.layout), _ledger(world.layout.store), _models(world), _documents(world.layout.root)]


def _ledger(store: Path) -> Source:
    """Blocks of rows, which are never changed: only the last block grows."""

    def find() -> Iterable[tuple[str, str]]:
        for block, count, last in database(store).read(
            f"SELECT number / {BLOCK}, count(*), max(number) FROM ledger GROUP BY 1"  # noqa: S608
        ):
            yield str(block), f"{count}.{last}"

    def read(block: str) -> Rows:
        names = ", ".join(LEDGER.columns)
        rows = database(store).read(
            f"SELECT {names} FROM ledger WHERE number / {BLOCK} = ?",  # noqa: S608
            (int(block),),
        )
        return {"ledger": (dict(zip(LEDGER.columns, row, strict=True)) for row in rows)}

    return Source("ledger", 1, (LEDGER,), find, read, (SPENDING,))


def _models(world: "World") -> Source:
    registered = {path.stem for path in world.layout.registered_models.glob("*.yaml")}

    def rows() -> list[Mapping[str, Any]]:
        return [_model(model, registered) for model in world.models.values()]

    def find() -> Iterable[tuple[str, str]]:
        yield "models.yaml", sha256(json.dumps(rows()))

    return Source("models", 1, (MODELS,), find, lambda item: {"models": rows()})


def _model(model: Model, registered: set[str]) -> Mapping[str, Any]:
    price = model.own_price or {}
    return {
        "model_id": model.model_id,
        "provider": model.provider,
        "name": model.name.rpartition("/")[2] if model.source and Path(model.name).is_absolute() else model.name,
        "revision": model.revision,
        "registered": model.model_id in registered,
        "context_length": model.context_length,
        "prompt_price": price.get("prompt"),
        "completion_price": price.get("completion"),
        "layer": model.known_layer,
        "atp": model.atp,
    }


def _documents(root: Path) -> Source:
    def find() -> Iterable[tuple[str, str]]:
        folders = sorted(root.iterdir()) if root.is_dir() else []
        for folder in folders:
            if folder.is_dir() and folder.name not in _WITHOUT_DOCUMENTS and not folder.name.startswith("."):
                yield from ((path.relative_to(root).as_posix(), stamp(path)) for path in _markdown(folder))

    def read(item: str) -> Rows:
        text = read_text(root / item)
        first = next((line.strip("# \t") for line in text.splitlines() if line.strip("# \t")), item)
        kind = "journal" if item.endswith("/journal.md") else "report"
        return {"documents": [{"path": item, "kind": kind, "title": first[:TITLE], "text": text}]}

    return Source("documents", 1, (DOCUMENTS,), find, read)


def _markdown(folder: Path) -> Iterable[Path]:
    """The documents in a folder; in `results` the essays themselves are left out, since they are generations."""
    return sorted(folder.glob("*/README.md" if folder.name == "results" else "**/*.md"))
