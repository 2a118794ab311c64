"""A generation as pages show it: its texts, and how it was made in plain words."""

from collections.abc import Iterator, Mapping
from pathlib import Path

from msgspec import Struct

from ..errors import DreamflowError
from ..generation.make import read_result
from ..generation.model import Json, Result
from ..generation.summary import read_metadata
from .parts import usd

_SAMPLING = {
    "temperature": "temperature",
    "top_p": "top p",
    "top_k": "top k",
    "min_p": "min p",
    "repeat_penalty": "repeat penalty",
    "max_tokens": "at most",
    "seed": "seed",
}
MODES = {"copy": "a copy of its parent", "local": "made by a program", "human": "written by a person"}


class Shown(Struct, frozen=True, kw_only=True):
    """A generation for a template. `text` is its parsed file; a text is None if there is no such file. `facts` are
    pairs of a term and its value."""

    gen_id: str
    stage: str
    status: str
    reason: str
    mode: str
    model_id: str
    template_id: str
    created_at: str
    cost_usd: float | None
    warnings: list[str]
    parsed: Mapping[str, Json]
    facts: list[tuple[str, str]]
    prompt: str | None
    turns: list[tuple[str, str]]
    raw: str | None
    text: str | None


def read_shown(data_root: Path, stage: str, gen_id: str, parsed_name: str = "parsed.txt") -> Shown | None:
    """A generation with its texts; None if it does not exist yet or is damaged."""
    folder = data_root / "gens" / stage / gen_id
    try:
        result = read_result(folder)
        if result.model_id is None and result.mode not in MODES:
            original = read_metadata(data_root, stage, gen_id)  # the original pipeline has another name for it
            result.model_id = original and original.llm_model_id
    except DreamflowError:
        return None
    return Shown(
        gen_id=gen_id,
        stage=stage,
        status=result.status,
        reason=result.reason,
        mode=result.mode,
        model_id=result.model_id or "",
        template_id=result.template_id,
        created_at=result.created_at or "",
        cost_usd=result.cost_usd,
        warnings=[str(warning) for warning in result.parsed.get("warnings") or ()],
        parsed=result.parsed,
        facts=described(result),
        prompt=_read(folder / "prompt.txt"),
        turns=[(turn.role, turn.content) for turn in result.turns or ()],
        raw=_read(folder / "raw.txt"),
        text=_read(folder / parsed_name),
    )


def _read(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None


def described(result: Result) -> list[tuple[str, str]]:
    """How a generation was made: pairs of a term and its value. What is unknown is left out."""
    usage = result.usage
    prompt = _tokens(usage.prompt_tokens, usage.cached_tokens, "from a cache")
    answer = _tokens(usage.completion_tokens, usage.reasoning_tokens, "to think")
    samples = len(result.attempts)
    terms = {
        "model": result.model_id or MODES.get(result.mode, ""),
        "served as": " / ".join(filter(None, (result.provider, result.model_name))) if result.model_id else "",
        "template": result.template_id,
        "sampling": ", ".join(_sampling(result.sampling)),
        "prompt": prompt,
        "answer": answer + (" (counted here)" if answer and usage.estimated else ""),
        "cost": cost_words(result.cost_usd) if result.attempts or result.cost_usd is not None else "",
        "time": "" if result.latency_s is None else f"{result.latency_s:,.1f} s",
        "draw": f"replicate {result.replicate}",
        "samples": f"{samples}, of which the last was used" if samples > 1 and result.status == "ok" else "",
        "end": "" if result.finish_reason in (None, "stop", "copy", "local") else f"{result.finish_reason}",
        "status": "" if result.status == "ok" else f"{result.status}: {result.reason}",
        "made": (result.created_at or "")[:16].replace("T", " "),
    }
    return [(term, value) for term, value in terms.items() if value]


def _sampling(given: Mapping[str, Json]) -> Iterator[str]:
    for name in (*_SAMPLING, *sorted(given.keys() - _SAMPLING)):
        if name in given:
            yield f"{_SAMPLING.get(name, name)} {given[name]}" + (" tokens" if name == "max_tokens" else "")


def _tokens(count: Json, part: Json, what: str) -> str:
    if not isinstance(count, int):
        return ""
    return f"{count:,} tokens" + (f", {part:,} of them {what}" if isinstance(part, int) and part else "")


def cost_words(cost: float | None) -> str:
    """A cost in US dollars; "unknown" if so."""
    amount = usd(cost)
    return "unknown" if cost is None else f"${cost:,.{amount.digits}f}"
