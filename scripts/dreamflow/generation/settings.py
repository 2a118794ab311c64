"""What every family's configuration shares: sampling, models.yaml, and how a model is called."""

from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

from ..config import AS_WRITTEN, Count, Different, Name, NotNegative, Optional, Positive, Section, Share, Whole
from . import hub
from .model import Message
from .providers import PROVIDERS, provider


class Sampling(Section):
    """Sampling parameters. Those of a spec win over those of the model in models.yaml."""

    temperature: Optional[Annotated[float, Field(ge=0, le=2), AS_WRITTEN]] = Field(
        None, description="Randomness: 0 always takes the likeliest token."
    )
    top_p: Optional[Annotated[float, Field(gt=0, le=1), AS_WRITTEN]] = Field(
        None, description="Sample from the likeliest tokens that together have this probability."
    )
    top_k: Optional[Whole] = Field(None, description="Sample from this many of the likeliest tokens.")
    min_p: Optional[Share] = Field(
        None, description="Drop tokens less likely than this share of the likeliest token's probability."
    )
    repeat_penalty: Optional[NotNegative] = Field(None, description="Penalty for repeated tokens; 1 means no penalty.")
    max_tokens: Optional[Count] = Field(None, description="Maximum length of an answer, in tokens.")
    seed: Optional[Whole] = Field(None, description="Seed of the random draw, sent to providers that accept one.")
    stop: Optional[list[str]] = Field(None, description="Texts at which the answer ends.")


AUTO = "auto"  # as a model: the routing table chooses it (routing/auto.py)
LAYERS = ("sensory", "tactical", "specialized", "strategic")  # of models, the least capable first
_LAYER_ATP = (1, 3, 10)  # from which `atp` on a model is in the next layer, unless it says its layer


class Example(Section):
    """A worked example of a model."""

    prompt: Name = Field(description="A prompt.")
    answer: Name = Field(description="The answer that the model should give.")


class Price(Section):
    """Price of a model in US dollars per million tokens."""

    prompt: NotNegative = Field(description="Price of prompt tokens.")
    cached_prompt: Optional[NotNegative] = Field(
        None, description="Price of prompt tokens that the provider has cached. Default: the price of prompt tokens."
    )
    cache_write: Optional[NotNegative] = Field(
        None,
        description="Price of prompt tokens that the provider writes to its cache. Default: 1.25 times the price of "
        "prompt tokens.",
    )
    completion: NotNegative = Field(description="Price of answer tokens; reasoning counts as part of an answer.")
    batch: Optional[Share] = Field(
        None, description="Factor on all prices for answers from the provider's batches. Default: 0.5."
    )


class LimitSettings(Section):
    """How much of a model or a provider may be used at a time, by all processes with one data folder together."""

    requests_per_minute: Optional[Positive] = Field(None, description="Calls a minute, evenly.")
    tokens_per_minute: Optional[Positive] = Field(
        None,
        description="Tokens a minute. A call counts with its prompt and `max_tokens` when it starts.",
    )
    requests_per_day: Optional[Count] = Field(
        None,
        description="Calls a day, by UTC; refused calls count too. When they are used, the rest waits for a later run.",
    )
    in_flight: Optional[Count] = Field(None, description="Calls at a time.")


class ModelSettings(Section):
    """One model of models.yaml."""

    provider: Literal[tuple(PROVIDERS)] = Field(
        description="Who answers: " + ", ".join(f"`{name}` ({text})" for name, text in PROVIDERS.items()) + "."
    )
    name: str = Field(
        "",
        description="The provider's name of the model. For `llama_cpp`: a GGUF file, "
        "`package:<python package>/<file>`, or `hf:<owner>/<repository>/<file>` (see "
        "[Files of the Hugging Face Hub](#files-of-the-hugging-face-hub)). For "
        '`replay`: a JSON Lines file of `{"text": ..., "contains"?: ..., '
        '"prompt_sha256"?: ...}`, or a CSV file with the columns `question` and `answer`. Required, except for '
        "`human`.",
    )
    lora: Optional[Name] = Field(
        None,
        description="For `llama_cpp`: a GGUF LoRA file with an adapter trained on that model, or "
        "`hf:<owner>/<repository>/<file>@<revision>`. It is identified by its content.",
    )
    revision: str = Field(
        "",
        description="Any text that names a version of the model; after a change all its calls are made again. A local "
        "file without a revision is identified by its content. With `hf:` a branch, tag or commit (default: "
        "`main`).",
    )
    base_url: Optional[Annotated[str, Field(pattern="^https?://")]] = Field(
        None,
        description="URL of the endpoint. Default: the provider's own. A change to another public host asks the model "
        "again; the provider's own endpoint and private servers (local names and addresses) share stored answers.",
    )
    api_key_env: Optional[Annotated[str, Field(pattern="^[A-Z_][A-Z0-9_]*$")]] = Field(
        None,
        description="Environment variable that holds the API key. Default: `OPENAI_API_KEY`, `OPENROUTER_API_KEY` or "
        "`ANTHROPIC_API_KEY`; an `openai` model at another `base_url` needs none.",
    )
    service: Literal["online", "batch"] = Field(
        "online",
        description="`batch`: an `openai` or `anthropic` model answers in batches, for half the price and within a "
        "day; a run submits them when it ends, and the next run collects them. A change asks nothing again.",
    )
    context_length: Annotated[int, Field(ge=64)] = Field(
        131072, description="Maximum tokens of prompt and answer together."
    )
    max_output_tokens: Optional[Count] = Field(
        None,
        description="Maximum length of an answer, in tokens. A truncated answer is requested again with twice the "
        "limit, up to this value. Default: half of `context_length`.",
    )
    max_tokens_field: Optional[Literal["max_tokens", "max_completion_tokens"]] = Field(
        None,
        description="Name of the request field with which an `openai` endpoint limits the answer. Default: "
        "`max_completion_tokens` for the models of api.openai.com that reason, else `max_tokens`.",
    )
    timeout_s: Positive = Field(600, description="Seconds to wait for an answer.")
    limits: Optional[LimitSettings] = Field(
        None,
        description="The most that may be used of the model. Without limits, and below them, the pace is learned: "
        "calls begin slowly, and slow down when the server refuses some (429) or its headers say so.",
    )
    threads: Optional[Count] = Field(None, description="CPU threads of a local model. Default: all processors.")
    gpu_layers: Annotated[int, Field(ge=-1)] = Field(
        0, description="Layers of a local model to run on the GPU; -1 is all."
    )
    sampling: Sampling = Field(
        default_factory=Sampling,
        description="Sampling parameters of this model; one that its provider does not take is an error. Without them "
        "`temperature` is 0.7 and `max_tokens` 20480.",
    )
    price: Optional[Price] = Field(
        None,
        description="US dollars per million tokens: `prompt`, `completion` and, optionally, `cached_prompt` and "
        "`cache_write`. Default: the price that the Python package genai-prices lists for a model of OpenAI, Anthropic "
        "or OpenRouter at the provider's own endpoint. Without either the cost is unknown, and a budget in dollars "
        "refuses the model. Providers of OpenRouter differ in price; with "
        "`extra_body: {provider: {max_price: {prompt: 1, completion: 2}}}` none that costs more answers, and budgets "
        "reserve that price. Local, human and replayed models are free.",
    )
    atp: NotNegative = Field(
        2,
        description="Attention points of one answer, before its length counts. Reports show how many a student saves, "
        "and `model: auto` prefers models that cost less.",
    )
    layer: Optional[Literal[LAYERS]] = Field(
        None,
        description="How capable the model is: `sensory`, `tactical`, `specialized` or `strategic`. Default by `atp`: "
        "below 1 sensory, below 3 tactical, below 10 specialized, else strategic.",
    )
    examples: Optional[Annotated[list[Example], Field(min_length=1)]] = Field(
        None,
        description="Worked examples, each with `prompt` and `answer`, sent before every prompt as turns of a chat. A "
        "change asks the model again. The same file with and without examples can be two models.",
    )
    extra_body: dict[str, Any] = Field(
        default_factory=dict,
        description="More fields of the request, sent unchanged; null leaves a field out. A change asks the model "
        "again. For `openrouter`: `provider` (which providers may answer, at what price), `models` (those that answer "
        "if this one is down), `reasoning`. For `anthropic`: `thinking`.",
    )

    @model_validator(mode="after")
    def _fields_fit_the_provider(self) -> "ModelSettings":
        if not self.name and self.provider != "human":
            raise PydanticCustomError("no_name", "'name' is missing; expected: the provider's name of the model")
        if self.lora is not None and not provider(self.provider).takes_adapters:
            raise PydanticCustomError(
                "no_lora",
                "'lora' is for llama_cpp models only; the provider is {provider}",
                {"provider": self.provider},
            )
        for name in (self.name, self.lora or ""):
            if provider(self.provider).is_local and name.startswith(hub.PREFIX) and not hub.FORM.fullmatch(name):
                raise PydanticCustomError(
                    "hub_name", "'{name}' should be {form}", {"name": name, "form": hub.FORM_SAID}
                )
        if self.extra_body.get("stream") or self.extra_body.get("n", 1) != 1:
            raise PydanticCustomError(
                "not_read", "'extra_body' has 'stream' or 'n', whose answers cannot be read; delete it"
            )
        if self.service == "batch" and not provider(self.provider).batches:
            raise PydanticCustomError(
                "no_batches",
                "'service: batch' is for models of providers with a batch API: openai, anthropic; the provider is "
                "{provider}",
                {"provider": self.provider},
            )
        if self.examples and self.provider == "human":
            raise PydanticCustomError("no_examples", "'examples' are for models, not for people; delete them")
        return self

    @property
    def known_layer(self) -> str:
        """The layer that was given, else that of its ATP."""
        return self.layer or LAYERS[sum(self.atp >= bound for bound in _LAYER_ATP)]

    @property
    def example_turns(self) -> list[Message]:
        """The worked examples as turns of a chat."""
        pairs = [(("user", example.prompt), ("assistant", example.answer)) for example in self.examples or ()]
        return [Message(role, text) for pair in pairs for role, text in pair]


class ModelsFile(Section):
    """The models that specs can name, by id (config/models.yaml)."""

    models: dict[Annotated[str, Field(pattern="^[A-Za-z0-9][A-Za-z0-9._-]*$")], ModelSettings] = Field(
        default_factory=dict, description="Mapping from an id of your choice to the settings of a model."
    )
    provider_limits: dict[Literal[tuple(PROVIDERS)], LimitSettings] = Field(
        default_factory=dict, description="Limits for all models of a provider together, by the provider's name."
    )


class Cap(Section):
    """A budget: no call is made that could exceed it."""

    usd: Optional[NotNegative] = Field(None, description="US dollars.")
    tokens: Optional[Whole] = Field(None, description="Tokens of prompts and answers.")


class LocalModels(Section):
    """Limits of models that run in this process."""

    memory_gb: Positive = Field(
        8,
        description="Memory for all loaded models together, with the prompt beginnings that they keep. What was unused "
        "for longest is dropped.",
    )
    prefix_states: Whole = Field(
        8, description="How many evaluated prompt beginnings to keep per model; 0 turns prefix reuse off."
    )
    prefix_folder: str | None = Field(
        "prefixes",
        description="Folder, in `data_root` unless the path is absolute, that keeps evaluated prompt beginnings for "
        "later runs; null keeps none.",
    )
    prefix_folder_gb: Positive = Field(
        2, description="Disk space for that folder. The files unused for longest are deleted."
    )
    sequences: Count = Field(
        16,
        description="How many calls of a model are answered together, as far as `memory_gb` allows. Each takes the "
        "memory of a whole `context_length`.",
    )
    exact: bool = Field(
        False,
        description="Whether an answer must have the same bits whichever calls are answered with it. Only as many are "
        "then answered together as this machine computes exactly: all `sequences` for files such as Q4_1, 3 for Q4_K.",
    )

    def as_dict(self) -> dict[str, Any]:
        """All keys, as null is a value here."""
        return self.model_dump()


class AutoModel(Section):
    """Which models `model: auto` may choose."""

    of: Optional[Different[Name]] = Field(
        None,
        description="Ids of models.yaml. Default: all models that are neither `human` nor `replay`, whose key is set "
        "and whose file is here.",
    )
    layer: Optional[Literal[LAYERS]] = Field(None, description="Only models of this layer.")
    budget_atp: Optional[Positive] = Field(
        None,
        description="Most ATP of an answer: `atp` x (1 + words of the prompt / 100). Default: that of the metabolic "
        "state.",
    )
    cascade: bool = Field(
        False,
        description="Whether the cheapest model that has a chance is asked first, and those that cost more after it, "
        "in turn, as fallbacks, if its answers cannot be used.",
    )
    agree: Annotated[int, Field(ge=1, le=20)] = Field(
        1,
        description="For a cascade: how many equal samples of a model make its answer count. The last model's first "
        "usable answer counts in any case. At `temperature` 0 all samples are equal.",
    )

    @model_validator(mode="after")
    def _agree_in_a_cascade(self) -> "AutoModel":
        if self.agree > 1 and not self.cascade:
            raise PydanticCustomError("no_cascade", "'agree' is for a cascade; add 'cascade: true'")
        return self


def _model_or_auto(schema: dict[str, Any]) -> None:
    """Let the JSON Schema of a section say that `auto` alone is enough."""
    required = schema.get("required", [])
    if "model" in required:
        required.remove("model")
        if not required:
            del schema["required"]
        schema["anyOf"] = [{"required": ["model"]}, {"required": ["auto"]}]


class MayBeAuto(Section):
    """A section that names a model, or lets trust choose one."""

    model_config = ConfigDict(json_schema_extra=_model_or_auto)

    auto: Optional[AutoModel] = Field(
        None,
        description="Which models `model: auto` may choose; without `model` it means `model: auto`.",
    )

    @model_validator(mode="before")
    @classmethod
    def _auto_is_a_model(cls, given: Any) -> Any:
        is_alone = isinstance(given, dict) and given.get("auto") is not None and "model" not in given
        return {**given, "model": AUTO} if is_alone and "model" in cls.model_fields else given

    @model_validator(mode="after")
    def _model_is_auto(self) -> "MayBeAuto":
        model = getattr(self, "model", AUTO)
        if self.auto is not None and model != AUTO:
            raise PydanticCustomError("not_auto", "'auto' is for 'model: auto'; the model is {model}", {"model": model})
        return self


class ModelCall(MayBeAuto):
    """Which models answer and how they are called."""

    model: Name = Field(description="An id of models.yaml, or `auto`: trust chooses.")
    fallback: list[Name] = Field(
        default_factory=list,
        description="More ids of models.yaml, tried in this order if the first model gives no usable answer.",
    )
    template: Optional[Name] = Field(
        None, description="A prompt in `raw_root/templates/<kind>/`, without `.txt`. Default: `<kind>-v1`."
    )
    attempts: Annotated[int, Field(ge=1, le=20)] = Field(
        3, description="Samples to draw from each model before the generation counts as failed."
    )
    sampling: Sampling = Field(default_factory=Sampling, description="Sampling parameters; they win over the model's.")
