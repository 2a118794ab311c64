"""The types of the core: plan rows, questions, responses, records of the store, and results (metadata.json).

They are msgspec Structs: https://jcristharif.com/msgspec/structs.html. Files become objects where they are read, and
objects become files where they are written. Where a file has another name for a field, `field(name=...)` says so.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from msgspec import UNSET, Struct, UnsetType, convert, field, to_builtins
from msgspec.structs import replace

Json = Any  # a value that JSON can hold: text, number, boolean, null, list, object
Number = int | float  # whole numbers stay whole in files
Sampling = Mapping[str, Any]  # temperature, top_p, max_tokens, ... by the provider-neutral names of config/README.md


class ModelIdentity(Struct, frozen=True, kw_only=True):
    """Everything about a model that decides its answers. It is a part of every question, and so of every answer's key.

    Optional fields that a model does not have are absent from JSON, so the keys of models without them never change.
    `service` is the host that answers, where `base_url` names a public service other than the provider's own.
    """

    model_id: str
    provider: str
    name: str
    revision: str
    lora: str | UnsetType = UNSET
    extra_body: dict[str, Json] | UnsetType = UNSET
    service: str | UnsetType = UNSET


class Message(Struct, frozen=True):
    """A turn of a chat. `role` is system, user or assistant."""

    role: str
    content: str


class Candidate(Struct, frozen=True):
    """A model that may answer, and its sampling parameters."""

    model: ModelIdentity
    sampling: Sampling


class Evidence(Struct, frozen=True):
    """A JSON file below the data folder, and the key of its entry: further variables of a template, measured late."""

    file: str
    entry: str


class Variant(Struct, frozen=True):
    """What a procedure's variant changes, whether its operator claims to keep the behaviour, and the calls it adds."""

    description: str
    safe: bool
    adds: Sequence[str] = ()


class Generation(Struct, kw_only=True, omit_defaults=True):
    """A row of the plan: all that decides a result besides its parents' texts. Its `digest` follows from all fields.

    `variables` are the template's, with references in them (see `render.resolve`); `wildcards` say what the row is of,
    for tables. `replicate` numbers independent draws of one question, from 1. `max_attempts` samples are drawn before
    the generation has failed. `fallbacks` answer, in this order, where `model` gives no usable answer. `repair` is the
    request that is sent back with an unreadable answer, once. `keep_truncated`: a truncated answer is usable. `request`
    is the prompt.txt of mode `local`; `operator` decides its text.
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

    @property
    def candidates(self) -> list[Candidate]:
        """The models that may answer, in their order; empty for the modes copy and local."""
        return [Candidate(self.model, self.sampling), *self.fallbacks] if self.model else []


class Question(Struct, frozen=True):
    """One question to one model. Its canonical JSON is the key of its answer in the response store."""

    model: ModelIdentity
    messages: Sequence[Message]
    sampling: Sampling
    response_format: Mapping[str, Json] | None
    sample: int


class Usage(Struct, frozen=True):
    """Tokens of an answer; a count that the provider did not report is absent.

    `cached_tokens` is the part of `prompt_tokens` that was not computed or billed in full again; `logprob` is the sum
    of the log-probabilities (nats) of the answer's tokens.
    """

    prompt_tokens: int | UnsetType = UNSET
    cached_tokens: int | UnsetType = UNSET
    completion_tokens: int | UnsetType = UNSET
    logprob: Number | UnsetType = UNSET

    def __add__(self, other: "Usage") -> "Usage":
        pairs = ((getattr(self, name), getattr(other, name)) for name in self.__struct_fields__)
        return Usage(*(b if a is UNSET else a if b is UNSET else a + b for a, b in pairs))

    @property
    def prompt(self) -> int:
        """`prompt_tokens`, 0 where they are not known."""
        return self.prompt_tokens or 0

    @property
    def cached(self) -> int:
        """`cached_tokens`, 0 where they are not known."""
        return self.cached_tokens or 0

    @property
    def completion(self) -> int:
        """`completion_tokens`, 0 where they are not known."""
        return self.completion_tokens or 0

    @property
    def is_known(self) -> bool:
        """Whether the provider reported any count of tokens."""
        return replace(self, logprob=UNSET) != Usage()


class Response(Struct, frozen=True):
    """One answer. `finish_reason` is "stop", "length" (cut off at the limit) or "refusal".

    `model_name` is what the provider says answered. `cost_usd` is set only where the provider itself bills and says so;
    it is kept in `Call`, not with the response.
    """

    text: str
    finish_reason: str = "stop"
    usage: Usage = Usage()
    model_name: str = ""
    cost_usd: Number | UnsetType | None = UNSET


class Wait(Struct, frozen=True):
    """A pause before a call was repeated: the class of the error, its HTTP status, and how long."""

    error: str
    status: int | None
    wait_s: Number


class Call(Struct, frozen=True, kw_only=True):
    """How an answer was obtained: for which generation, when, at what price. No part of its key. (`asked` in files)"""

    gen_id: str
    stage: str
    cohort_id: str
    at: str
    latency_s: Number
    waits: list[Wait] = field(name="attempts", default_factory=list)
    price: Mapping[str, Number] | None = None
    cost_usd: Number | None = None


class Record(Struct, frozen=True, kw_only=True):
    """An answer as the response store keeps it. `service` is set in a record of an earlier version whose answer now
    also lies under the key of that service (see `store.load_response`)."""

    schema_version: int
    request: Question
    response: Response
    call: Call = field(name="asked")
    service: str | UnsetType = UNSET


class Attempt(Struct, frozen=True, kw_only=True):
    """One sample that was tried: the key of its answer, and why it could not be used (`error` is its class)."""

    sample: int
    response_key: str
    response: str  # the answer's file, below the data folder
    error: str | None
    reason: str | UnsetType = UNSET


class Result(Struct, kw_only=True):
    """metadata.json: the result of a generation. A pure function of its plan row, its parents and the store.

    `inputs_sha256` is the digest of everything that decided it: where that digest would be another one now, the
    generation has to be made again. Files of other programs lack most fields.
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
    price: dict[str, Number] | None = None
    cost_usd: Number | None = None
    latency_s: Number | None = None
    attempts: list[Attempt] = []
    call_waits: list[Wait] = []
    parser: str = ""
    parser_options: dict[str, Json] = {}
    parsed: dict[str, Json] = {}
    origin_cohort_id: str = ""
    created_at: str | None = None


class Parent(Struct, frozen=True):
    """A generation as its children see it. `text` is the content of its parsed file, `sha256` that of the bytes."""

    gen_id: str
    status: str
    text: str
    sha256: str = ""
    origin_cohort_id: str = ""


def as_json(value: Any) -> Json:
    """A Struct, or a container of Structs, as plain JSON values."""
    return to_builtins(value)


def from_json(value: Json, kind: type) -> Any:
    """Plain JSON values as an object of type `kind`. Raises `msgspec.ValidationError` if they do not fit."""
    return convert(value, kind)
