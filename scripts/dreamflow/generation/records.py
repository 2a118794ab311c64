"""What an answer becomes in the store: its record, with the tokens and the cost."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from msgspec import UNSET, UnsetType
from msgspec.structs import asdict, replace

from .model import Call, Question, Record, Response
from .models import Model
from .prices import answer_cost, price_row
from .providers import Request, provider
from .providers.reading import storable
from .store import SCHEMA_VERSION
from .tokens import estimate_usage


def request_of(question: Question, model: Model, gen_id: str) -> Request:
    """The request that asks a question for a generation."""
    return Request(
        model=model,
        messages=question.messages,
        sampling=question.sampling,
        sample=question.sample,
        response_format=question.response_format,
        gen_id=gen_id,
    )


def record_of(
    question: Question,
    model: Model,
    response: Response,
    body: bytes,
    called: Mapping[str, Any],
    batch: str | UnsetType = UNSET,
) -> Record:
    """The store's record of an answer in a body. `called` has the fields of `Call` that the answer does not tell;
    `batch` is the provider's id of the batch that it was in."""
    usage = response.usage
    if usage.prompt_tokens is UNSET or usage.completion_tokens is UNSET:
        is_read = response.finish_reason != "unreadable"  # else its text says why
        text = response.text + (response.reasoning or "") if is_read else body.decode("utf-8", "replace")
        counted = estimate_usage(model, question.messages, text)
        known = {name: value for name, value in asdict(usage).items() if value is not UNSET}
        usage = replace(counted, **known)
    price = price_row(model, usage.prompt)
    call = Call(
        **called,
        at=datetime.now(UTC).isoformat(timespec="seconds"),
        price=price,
        cost_usd=answer_cost(replace(response, usage=usage), price, batch=batch is not UNSET),
        batch=batch,
    )
    stored = replace(
        response,
        text=storable(response.text),
        model_name=storable(response.model_name),
        usage=usage,
        cost_usd=UNSET,
    )
    service = "" if provider(model.provider).base_url and not question.model.service else UNSET
    return Record(schema_version=SCHEMA_VERSION, request=question, response=stored, call=call, service=service)


def in_a_batch(model_id: str) -> str:
    """Why the generation of a question in a batch is pending."""
    return f"waits for a batch of model {model_id}: run again to collect it"
