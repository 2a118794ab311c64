"""The configuration of dreams: nights (config/procedures/<name>.yaml) and the cards of procedures."""

from typing import Annotated, Literal

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from ..config import Count, Cycle, Different, Name, Optional, Positive, Section, Share, Whole
from ..generation.model import Json
from ..generation.settings import ModelCall
from .operators import OPERATORS

KINDS = (*OPERATORS, "relax", "synthesise", "sample")
Kind = Literal[KINDS]
EFFECTS = (
    *("read:files", "write:files", "process", "read:network", "write:network"),
    *("read:environment", "write:environment", "clock", "random", "print", "log", "raise"),
)


class TestLimits(Section):
    """How variants are tested against their original."""

    inputs: Optional[Annotated[int, Field(ge=1, le=200)]] = Field(
        None, description="Calls to compare. Default by `strategy`: light 5, balanced 20, deep 50."
    )
    seed: Whole = Field(1, description="Seed of the generated inputs.")
    seconds: Positive = Field(10, description="Maximum seconds of one call.")
    memory_mb: Annotated[int, Field(ge=64)] = Field(
        512, description="Maximum memory of all processes of a call together, in megabytes."
    )
    processes: Annotated[int, Field(ge=4)] = Field(32, description="Maximum number of processes and threads together.")
    output_kb: Count = Field(1024, description="Maximum output of one call, in kilobytes.")
    disk_mb: Count = Field(64, description="Maximum size of written files, in megabytes.")


class Tiers(Section):
    """Minimum viability of a variant for the tiers 1 and 2."""

    viable: Share = Field(
        0.6,
        description="Minimum viability for tier 1. Tier 2 at best: variants that failed their test or could not be "
        "tested, and those that differ although labelled safe.",
    )
    speculative: Share = Field(0.3, description="Minimum viability for tier 2; not above `viable`.")

    @model_validator(mode="after")
    def _in_order(self) -> "Tiers":
        if self.speculative > self.viable:
            raise PydanticCustomError("order", "'speculative' is above 'viable'")
        return self


class NightSpec(Section):
    """One night over procedures (config/procedures/<name>.yaml)."""

    procedures: Annotated[list[Name], Field(min_length=1)] = Field(
        default_factory=lambda: ["*"],
        description="Shell patterns of procedure ids (`<project>.<name>`), such as `webshop.*`.",
    )
    strategy: Literal["light", "balanced", "deep"] = Field(
        "light", description="Variants of each kind per procedure: `light` 5, `balanced` 15, `deep` 30."
    )
    cycle: Cycle = Field(
        1,
        description="Number of the night. Cycle n takes the limits that cycle n-1 wrote to its `next.yaml` and "
        "continues after its variants. `auto` is the last one that was begun, and `snakemake night` begins the next.",
    )
    kinds: Different[Kind] = Field(
        default_factory=lambda: list(OPERATORS),
        description="Kinds of variants. Operators, without calls: "
        + ", ".join(f"`{name}` ({text})" for name, text in OPERATORS.items())
        + ". By a model: `relax`, `synthesise`, and `sample`, a plain rewrite to compare the others with.",
    )
    limits: dict[Kind, Annotated[int, Field(ge=0, le=1000)]] = Field(
        default_factory=dict, description="Variants per procedure for single kinds, in place of the strategy's number."
    )
    match: Literal["similarity", "model"] = Field(
        "similarity",
        description="How the partner of a synthesis is found: `similarity` (of category, tags, contexts, signature and "
        "code) or `model`.",
    )
    models: dict[Literal["relax", "synthesise", "sample", "match", "verdict"], ModelCall] = Field(
        default_factory=dict,
        description="The models for `relax`, `synthesise`, `sample`, `match` and `verdict`. Without "
        "`verdict`, variants are tested but not judged.",
    )
    test: TestLimits = Field(default_factory=TestLimits, description="How variants are tested against their original.")
    tiers: Tiers = Field(default_factory=Tiers, description="Minimum viability of the tiers of variants.")


class Behaviour(Section):
    """What a fake does: nothing (`{}`), or one of `returns`, `raises` and `sequence`."""

    returns: Json = Field(
        None,
        description="The value to return; `{python: expression}` or `{attributes: {...}}` if YAML cannot express it.",
    )
    raises: Optional[Annotated[str, Field(pattern="^[A-Za-z_][A-Za-z0-9_.]*(: .*)?$")]] = Field(
        None, description="The exception to raise and its text, such as `OSError: down`."
    )
    sequence: Optional[Annotated[list["Behaviour"], Field(min_length=1)]] = Field(
        None, description="One behaviour per call; the last one repeats."
    )

    @model_validator(mode="after")
    def _one_of_three(self) -> "Behaviour":
        if len(self.model_fields_set) > 1:
            raise PydanticCustomError("several", "only one of 'returns', 'raises' and 'sequence' is allowed")
        return self


class Call(Section):
    """One call to test with."""

    args: Optional[list[Json]] = Field(None, description="Positional arguments.")
    kwargs: Optional[dict[str, Json]] = Field(None, description="Keyword arguments.")


class ProcedureCard(Section):
    """The card of a procedure (raw_root/procedures/<project>/<name>.yaml)."""

    category: Name = Field(description="What kind of work it is, such as deployment, backup or parsing.")
    description: Name = Field(description="What the procedure does, in one sentence.")
    tags: list[str] = Field(
        default_factory=list, description="Words that procedures of other projects may share; a synthesis uses them."
    )
    contexts: list[str] = Field(
        default_factory=list, description="Where the procedure is used; a synthesis compares these too."
    )
    entry: Optional[Annotated[str, Field(pattern="^[A-Za-z_][A-Za-z0-9_]*$")]] = Field(
        None, description="The function that is the procedure. Default: `<name>`."
    )
    module: Optional[Name] = Field(
        None,
        description="The file of your project that has the function, relative to the folder that Snakemake runs in. "
        "Default: `<name>.py` beside the card. If both exist, the code beside the card runs in place of this file.",
    )
    neighbours: list[Name] = Field(
        default_factory=list,
        description="Patterns, relative to the module's folder, of more files that tests may read. The modules of the "
        "project that it imports and the files that its code names are found without them.",
    )
    python: Optional[Name] = Field(
        None,
        description="The interpreter (or the environment's folder) whose installed packages tests may import, such as "
        "`../shop/.venv`; its Python must have the version of ours. Default: the packages of ours.",
    )
    effects: dict[str, list[Literal[EFFECTS]]] = Field(
        default_factory=dict,
        description="Effects of calls that the analysis cannot inspect, by dotted name: "
        + ", ".join(f"`{word}`" for word in EFFECTS)
        + ". `[]` declares a pure call. An unknown call without a declaration counts as having every effect.",
    )
    fakes: dict[str, Behaviour] = Field(
        default_factory=dict,
        description="Replacements of outside calls during tests, by dotted name: `time.sleep: {}`, "
        '`fetch: {returns: [1, 2]}`, `fetch: {raises: "OSError: down"}`, '
        '`fetch: {sequence: [{raises: "OSError: down"}, {returns: 3}]}`. Calls are recorded and compared.',
    )
    files: dict[Annotated[str, Field(pattern="^[A-Za-z0-9_][A-Za-z0-9_.-]*(/[A-Za-z0-9_][A-Za-z0-9_.-]*)*$")], str] = (
        Field(
            default_factory=dict,
            description="Files in the working directory before every call: relative path to text.",
        )
    )
    inputs: list[Call] = Field(
        default_factory=list,
        description="Calls to test with, each with `args` and `kwargs`; values are YAML, or `{python: \"Path('x')\"}`, "
        "or `{attributes: {status: 200}}`.",
    )
    generate: bool = Field(True, description="Whether inputs are also generated from the type annotations.")
