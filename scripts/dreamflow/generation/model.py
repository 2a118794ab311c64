"""The types of the core: plan rows, questions, responses, records of the store, and results (metadata.json).

They are msgspec Structs. A file is decoded where it is read, and an object is encoded where it is written. If a file
has another name for a field, `field(name=...)` gives that name. They hold plain values and never refer back to what
holds them, so Python need not look for cycles among them (`gc=False`).
"""

from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from msgspec import UNSET, Struct, UnsetType, convert, field, to_builtins
from msgspec.structs import replace

T = TypeVar("T")
Json = Any  # a value that JSON can hold: text, number, boolean, null, list, object
Number = int | float  # whole numbers stay whole in files
SAMPLES_PER_REPLICATE = 1000  # replicate r draws the samples from (r - 1) * 1000 on
Sampling = Mapping[str, Json]  # temperature, top_p, max_tokens, ... by the provider-neutral names of config/README.md


class Message(Struct, frozen=True, gc=False):
    """A turn of a chat. `role` is system, user or assistant."""

    role: str
    content: str


class ModelIdentity(Struct, frozen=True, kw_only=True, gc=False):
    """Everything about a model that decides its answers. It is a part of every question, and so of every answer's key.

    Unset optional fields are absent from JSON, so a new optional field leaves the keys of other models as they are.
    `service` is the host that answers, if `base_url` names a public service other than the provider's own; `examples`
    are turns before every prompt.
    """

    model_id: str
    provider: str
    name: str
    revision: str
    lora: str | UnsetType = UNSET
    extra_body: dict[str, Json] | UnsetType = UNSET
    service: str | UnsetType = UNSET
    examples: list[Message] | UnsetType = UNSET


class Candidate(Struct, frozen=True, gc=False):
    """A model that may answer, and its sampling parameters."""

    model: ModelIdentity
    sampling: Sampling


class Evidence(Struct, frozen=True, gc=False):
    """Template variables that are measured during a run: a JSON file in the data folder and the key of its entry."""

    file: str
    entry: str


class Variant(Struct, frozen=True, gc=False):
    """What a procedure's variant changes, whether its operator claims to keep the behaviour, and the calls it adds."""

    description: str
    safe: bool
    adds: Sequence[str] = ()


class Generation(Struct, kw_only=True, omit_defaults=True, gc=False):
    """A row of the plan: everything that decides a result, except the texts of its parents.

    - `variables`: those of the template; they may contain references (see `render.resolve`).
    - `wildcards`: the row's coordinates, for tables.
    - `replicate`: the number of this independent draw of the question, from 1.
    - `max_attempts`: the samples that each model may draw before the generation counts as failed.
    - `fallbacks`: the models that answer, in this order, if `model` gives no usable answer.
    - `agree`: so many equal samples of a model that has fallbacks make a usable answer; the last model needs one.
    - `repair`: a request that is sent back once, with an unreadable answer.
    - `keep_truncated`: a truncated answer is usable.
    - `request`, `operator`: in mode `local`, the content of prompt.txt and what computes the text.
    """

    family: str
    stage: str
    gen_id: str
    mode: str  # llm | human | copy | local
    template_id: str
    template_sha256: str | None
    parser: str  # name/version
    parser_options: Mapping[str, Json] = {}
    max_attempts: int
    min_lines: int
    model: ModelIdentity | None = None
    sampling: Sampling = {}
    fallbacks: Sequence[Candidate] = ()
    response_format: Mapping[str, Json] | None = None
    replicate: int = 1
    parents: Sequence[str] = ()
    variables: Mapping[str, Json] = {}
    wildcards: Mapping[str, Json] = {}
    turns: Sequence[Message] = ()
    keep_truncated: bool = False
    repair: str = ""
    evidence: Evidence | None = None
    request: str = ""
    operator: Mapping[str, Json] | None = None
    variant: Variant | None = None
    agree: int = 1

    @property
    def candidates(self) -> list[Candidate]:
        """The models that may answer, in order; empty in the modes copy and local."""
        return [Candidate(self.model, self.sampling), *self.fallbacks] if self.model else []


class Question(Struct, frozen=True, gc=False):
    """One question to one model. Its canonical JSON is the key of its answer in the response store."""

    model: ModelIdentity
    messages: Sequence[Message]
    sampling: Sampling
    response_format: Mapping[str, Json] | None
    sample: int


class Usage(Struct, frozen=True, gc=False):
    """Tokens of an answer; a count that the provider did not report is absent, which is not 0.

    `cached_tokens` and `cache_write_tokens` are the parts of `prompt_tokens` that were read from the provider's cache
    and written to it, `reasoning_tokens` the part of `completion_tokens` that is not in the text; `logprob` is the sum
    of the log-probabilities (nats) of the answer's tokens. `estimated`: we counted, as the provider reported nothing.
    """

    prompt_tokens: int | UnsetType = UNSET
    cached_tokens: int | UnsetType = UNSET
    completion_tokens: int | UnsetType = UNSET
    logprob: Number | UnsetType = UNSET
    cache_write_tokens: int | UnsetType = UNSET
    reasoning_tokens: int | UnsetType = UNSET
    estimated: bool | UnsetType = UNSET

    def __add__(self, other: "Usage") -> "Usage":
        pairs = {name: (getattr(self, name), getattr(other, name)) for name in self.__struct_fields__}
        total = {name: b if a is UNSET else a if b is UNSET else a + b for name, (a, b) in pairs.items()}
        return Usage(**total | {"estimated": True if any(pairs["estimated"]) else UNSET})

    @property
    def prompt(self) -> int:
        """`prompt_tokens`, or 0 if unknown."""
        return self.prompt_tokens or 0

    @property
    def cached(self) -> int:
        """`cached_tokens`, or 0 if unknown."""
        return self.cached_tokens or 0

    @property
    def completion(self) -> int:
        """`completion_tokens`, or 0 if unknown."""
        return self.completion_tokens or 0

    @property
    def is_known(self) -> bool:
        """Whether any count of tokens was reported or estimated."""
        return replace(self, logprob=UNSET, estimated=UNSET) != Usage()


class Response(Struct, frozen=True, gc=False):
    """One answer.

    `finish_reason` is "stop" (the only good one), "length" (cut off at the limit), "refusal", "context" (the prompt
    does not fit into the model; the text is the server's message), "unreadable" (the text says why), what the
    provider said, in its own words, or "" if it said nothing. `model_name` is the name of the model that the provider
    reports. `cost_usd` is set only if the provider reports the cost; the store keeps it in `Call`. `reasoning` is what
    the model thought before the text; `warnings` say what was odd about the body.
    """

    text: str
    finish_reason: str = "stop"
    usage: Usage = Usage()
    model_name: str = ""
    cost_usd: Number | UnsetType | None = UNSET
    reasoning: str | UnsetType = UNSET
    warnings: list[str] | UnsetType = UNSET


class Wait(Struct, frozen=True, gc=False):
    """A pause before a call was repeated: the class of the error, its HTTP status, and the seconds."""

    error: str
    status: int | None
    wait_s: Number


class Call(Struct, frozen=True, kw_only=True, gc=False):
    """How an answer was obtained: for which generation, when, at what price. It is not part of the key. `batch` is the
    id of the provider's batch that had it."""

    gen_id: str
    stage: str
    cohort_id: str
    at: str
    latency_s: Number | None
    waits: list[Wait] = field(name="attempts", default_factory=list)
    price: Mapping[str, Number | str] | None = None
    cost_usd: Number | None = None
    batch: str | UnsetType = UNSET


class Record(Struct, frozen=True, kw_only=True, gc=False):
    """An answer as the response store keeps it. `service` is "" if it is known to be from no public service besides the
    provider's own. In a record of an earlier version it is the service whose key now has a copy of this answer (see
    `store.load_response`)."""

    schema_version: int
    request: Question
    response: Response
    call: Call = field(name="asked")
    service: str | UnsetType = UNSET


class Attempt(Struct, frozen=True, kw_only=True, gc=False):
    """One sample: the key of its answer and, if that was unusable, the class of the `error` and the `reason`."""

    sample: int
    response_key: str
    error: str | None
    reason: str | UnsetType = UNSET


class Result(Struct, kw_only=True, gc=False):
    """metadata.json: the result of a generation. A pure function of its plan row, its parents and the store.

    `inputs_sha256` is the digest of everything that decided it: if that digest has changed, the generation is stale.
    Files of other programs lack most fields. `choice`: why trust chose the model, if the spec says `model: auto`.
    """

    gen_id: str
    stage: str
    schema_version: int = 1
    inputs_sha256: str = ""
    family: str = ""
    mode: str = ""
    status: str = "ok"  # ok | failed | skipped | pending
    reason: str = ""
    template_id: str = ""
    template_sha256: str | None = None
    parents: list[str] = []
    wildcards: dict[str, Json] = {}
    replicate: int = 1
    model_id: str | None = None
    provider: str | None = None
    model_name: str | None = None
    model_revision: str | None = None
    sampling: dict[str, Json] = {}
    sample: int | None = None
    turns: list[Message] | UnsetType = UNSET
    prompt_sha256: str | None = None
    response_key: str | None = None
    finish_reason: str | None = None
    truncated: bool = False
    usage: Usage = Usage()
    price: dict[str, Number | str] | None = None
    cost_usd: Number | None = None
    latency_s: Number | None = None
    attempts: list[Attempt] = []
    call_waits: list[Wait] = []
    parser: str = ""
    parser_options: dict[str, Json] = {}
    parsed: dict[str, Json] = {}
    origin_cohort_id: str = ""
    created_at: str | None = None
    choice: dict[str, Json] | UnsetType = UNSET

    @property
    def is_unpriced(self) -> bool:
        """Whether a model was asked, at a cost that nobody knows."""
        return bool(self.attempts) and self.cost_usd is None


class Parent(Struct, frozen=True, gc=False):
    """A generation as its children see it. `text` is its parsed file, `sha256` the digest of that file's bytes."""

    gen_id: str
    status: str
    text: str
    sha256: str = ""
    origin_cohort_id: str = ""


def as_json(value: object) -> Json:
    """A Struct, or a container of Structs, as plain JSON values."""
    return to_builtins(value)


def from_json(value: Json, kind: type[T]) -> T:
    """Plain JSON values as an object of type `kind`. Raises `msgspec.ValidationError` if they do not fit."""
    return convert(value, kind)
