"""Spans of calls for an OpenTelemetry collector, if `telemetry: true` is in config.yaml.

Names follow the semantic conventions for generative AI (opentelemetry-semantic-conventions 0.66b2): a span
`chat <model>` for each call below a span for its stage, below one for the run. The standard variables `OTEL_...` say
where spans go. Texts are left out unless `OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT` asks for them.
"""

import atexit
import json
import logging
import os
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from msgspec import UNSET

from .errors import ConfigError
from .generation.model import Generation, Json, Message, Question, Record
from .generation.models import Model
from .generation.providers import CallError, provider

if TYPE_CHECKING:
    from opentelemetry.trace import Span

PACKAGES = ("opentelemetry.sdk", "opentelemetry.exporter.otlp.proto.http")
CAPTURE = "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT"
CAPTURING = ("true", "span_only", "span_and_event")  # its values that ask for texts in spans
PARENT = "TRACEPARENT"  # environment variable with the span that this process works for (W3C Trace Context)
SHUTDOWN_S = 5.0  # for the last spans; then they are lost
_SAMPLING = {
    **{name: f"gen_ai.request.{name}" for name in ("temperature", "top_p", "top_k", "max_tokens", "seed")},
    **{name: f"gen_ai.request.{name}" for name in ("frequency_penalty", "presence_penalty")},
    "stop": "gen_ai.request.stop_sequences",
}


def check_installed() -> None:
    """Raise a `ConfigError` if the packages are not there that `telemetry` needs."""
    try:
        is_there = all(find_spec(name) is not None for name in PACKAGES)
    except ModuleNotFoundError:
        is_there = False
    if not is_there:
        message = "needs OpenTelemetry, which is not installed: pip install -r envs/telemetry.txt, or set it to false"
        raise ConfigError(message, ("telemetry",))


class Telemetry:
    """The spans of this process. `show(message)` tells, once, that spans cannot be sent; a run goes on without them."""

    def __init__(self, run: str, show: Callable[[str], None]) -> None:
        from opentelemetry.sdk.resources import SERVICE_NAME, Resource
        from opentelemetry.sdk.trace import TracerProvider

        logger = logging.getLogger("opentelemetry")
        logger.handlers, logger.propagate = [_FirstOnly(show)], False
        name = {} if os.environ.get("OTEL_SERVICE_NAME") else {SERVICE_NAME: "dreamflow"}
        self.run, self.captures = run, os.environ.get(CAPTURE, "").lower() in CAPTURING
        self._guard = threading.Lock()
        self._provider = TracerProvider(resource=Resource.create(name), shutdown_on_exit=False)
        for processor in _processors():
            self._provider.add_span_processor(processor)
        self._tracer = self._provider.get_tracer("dreamflow")
        self._root: Span | None = None
        self._stages: dict[str, Span] = {}
        self._ended = False
        atexit.register(self.end)

    def begin(self, targets: Sequence[str]) -> None:
        """Begin the span of the run. Its jobs in other processes work for it."""
        from opentelemetry.trace.propagation import tracecontext

        attributes = {
            "gen_ai.operation.name": "invoke_workflow",
            "gen_ai.workflow.name": "dreamflow",
            "dreamflow.run": self.run,
            "dreamflow.targets": list(targets) or ["all"],
        }
        name = "invoke_workflow dreamflow"
        self._root = self._tracer.start_span(name, context=self._above(None), attributes=attributes)
        carrier: dict[str, str] = {}
        tracecontext.TraceContextTextMapPropagator().inject(carrier, self._above(self._root))
        os.environ[PARENT] = carrier.get("traceparent", "")

    def _above(self, span: "Span | None") -> Json:
        """The context of the children of a span; without one, of those of the process that has started this one."""
        from opentelemetry.trace import set_span_in_context
        from opentelemetry.trace.propagation import tracecontext

        if span is not None:
            return set_span_in_context(span)
        return tracecontext.TraceContextTextMapPropagator().extract({"traceparent": os.environ.get(PARENT, "")})

    @contextmanager
    def call(self, question: Question, model: Model, generation: Generation) -> Iterator[Callable[[Record], None]]:
        """A span for a call; what it gives takes the record of the answer."""
        from opentelemetry.trace import SpanKind, StatusCode

        attributes = self._request(question, model, generation)
        context = self._above(self._stage(generation.stage))
        name = f"chat {question.model.name}"
        span = self._tracer.start_span(name, context=context, kind=SpanKind.CLIENT, attributes=attributes)

        def answered(record: Record) -> None:
            span.set_attributes(self._response(record))

        try:
            yield answered
        except BaseException as error:
            kind = error.kind if isinstance(error, CallError) else type(error).__qualname__
            span.set_attribute("error.type", str(getattr(error, "status", None) or kind))
            span.set_status(StatusCode.ERROR)  # without the message, which may have a part of a text
            raise
        finally:
            span.end()

    def _stage(self, stage: str) -> "Span":
        """The span of a stage, from its first call to the end of the run."""
        with self._guard:
            if stage not in self._stages:
                attributes = {"dreamflow.stage": stage, "dreamflow.run": self.run}
                span = self._tracer.start_span(stage, context=self._above(self._root), attributes=attributes)
                self._stages[stage] = span
            return self._stages[stage]

    def _request(self, question: Question, model: Model, generation: Generation) -> dict[str, Json]:
        attributes: dict[str, Json] = {
            "gen_ai.operation.name": "chat",
            "gen_ai.provider.name": model.provider,
            "gen_ai.request.model": question.model.name,
            "gen_ai.output.type": "json" if question.response_format else "text",
            "dreamflow.model": question.model.model_id,
            "dreamflow.gen_id": generation.gen_id,
            "dreamflow.stage": generation.stage,
            "dreamflow.sample": question.sample,
            **{_SAMPLING[name]: value for name, value in question.sampling.items() if name in _SAMPLING},
        }
        address = urlsplit(model.base_url or provider(model.provider).base_url or "")
        if address.hostname:
            attributes |= {"server.address": address.hostname}
            attributes |= {"server.port": address.port or (443 if address.scheme == "https" else 80)}
        if self.captures:
            attributes["gen_ai.input.messages"] = _messages(question.messages)
        return attributes

    def _response(self, record: Record) -> dict[str, Json]:
        response, usage = record.response, record.response.usage
        attributes: dict[str, Json] = {
            "gen_ai.response.model": response.model_name or record.request.model.name,
            "gen_ai.response.finish_reasons": [response.finish_reason or "unknown"],
            "gen_ai.usage.input_tokens": usage.prompt_tokens,
            "gen_ai.usage.output_tokens": usage.completion_tokens,
            "gen_ai.usage.cache_read.input_tokens": usage.cached_tokens,
            "gen_ai.usage.cache_creation.input_tokens": usage.cache_write_tokens,
            "gen_ai.usage.reasoning.output_tokens": usage.reasoning_tokens,
            "dreamflow.cost_usd": record.call.cost_usd,
        }
        if self.captures:
            answer = [{"role": "assistant", "parts": [{"type": "text", "content": response.text}]}]
            answer[0]["finish_reason"] = response.finish_reason
            attributes["gen_ai.output.messages"] = json.dumps(answer, ensure_ascii=False)
        return {name: value for name, value in attributes.items() if value is not UNSET and value is not None}

    def end(self) -> None:
        """End all spans and send them, for at most `SHUTDOWN_S`: a collector that cannot be reached stops no run."""
        with self._guard:
            if self._ended:
                return
            self._ended = True
        for span in (*self._stages.values(), *([self._root] if self._root is not None else ())):
            span.end()
        last = threading.Thread(target=self._provider.shutdown, name="telemetry", daemon=True)
        last.start()
        last.join(SHUTDOWN_S)


def _processors() -> list[Json]:
    """What sends the spans: OTLP over HTTP, to where the standard variables say. `none` in OTEL_TRACES_EXPORTER sends
    nothing."""
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    names = [name.strip() for name in os.environ.get("OTEL_TRACES_EXPORTER", "otlp").split(",")]
    return [BatchSpanProcessor(OTLPSpanExporter())] if "otlp" in names else []


def _messages(messages: Sequence[Message]) -> str:
    parts: list[Mapping[str, Json]] = [
        {"role": message.role, "parts": [{"type": "text", "content": message.content}]} for message in messages
    ]
    return json.dumps(parts, ensure_ascii=False)


class _FirstOnly(logging.Handler):
    """Shows the first problem of the exporter, and no other."""

    def __init__(self, show: Callable[[str], None]) -> None:
        super().__init__(logging.WARNING)
        self._show, self._has_shown = show, False

    def emit(self, record: logging.LogRecord) -> None:
        if not self._has_shown:
            self._has_shown = True
            self._show(f"telemetry: {record.getMessage()} (the run goes on; further such messages are not shown)")
