"""The section `trust` of config.yaml."""

from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field, WithJsonSchema
from pydantic_core import PydanticCustomError

from ..config import AS_WRITTEN, NO_REPEATS, Count, Cycle, Different, Name, NotNegative, Positive, Section, Share
from ..errors import ConfigError
from ..routing.contexts import compile_pattern

EVIDENCE = ("exact", "person", "judged")  # classes of evidence, in the order in which routing prefers them


_OneOrMore = Annotated[
    Different[Name],
    BeforeValidator(lambda value: [value] if isinstance(value, str) else value),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "string", "minLength": 1},
                {"type": "array", "items": {"type": "string", "minLength": 1}, "minItems": 1},
            ]
        }
    ),
]


def _check_pattern(written: str) -> str:
    try:
        compile_pattern(written)
    except ConfigError as error:
        raise PydanticCustomError("pattern", "{problem}", {"problem": error.message}) from None
    return written


class Contexts(Section):
    """How outcomes and questions are sorted into contexts."""

    by: _OneOrMore = Field(
        default_factory=lambda: ["kind", "rules"],
        description="What sorts them: `kind` (of the task, else the stage), `rules` (stable, moving, unstable or "
        "novel, by the words of the prompt), `similarity` (the nearest group of earlier prompts, by TF-IDF), or names "
        "of columns of the rows, such as `draft_template`. Several make combinations, such as `facts/novel`.",
    )
    named: dict[Name, Annotated[list[Annotated[Name, AfterValidator(_check_pattern)]], Field(min_length=1)]] = Field(
        default_factory=dict,
        description="Contexts of your own, which come first: a name and the words of which one occurs in the prompt, "
        "or regular expressions (`re:...`), such as `{billing: [invoice, 're:refund(s|ed)?']}`.",
    )


class Trust(Section):
    """How models earn trust, and how `model: auto` uses it (docs/trust.md)."""

    cycle: Cycle = Field(
        "auto",
        description="Number of the cycle; `auto` is the last one that was begun, and each night begins the next.",
    )
    round: Count = Field(1, description="Raise it to let `model: auto` choose again for every generation.")
    contexts: Contexts = Field(default_factory=Contexts, description="How outcomes and questions are sorted.")
    half_life: Positive = Field(10, description="Cycles after which an outcome counts half.")
    revision_share: Share = Field(
        0.5, description="How much of its earlier evidence a model keeps when its file or revision changes."
    )
    eta: Annotated[float, Field(gt=0, le=1), AS_WRITTEN] = Field(
        0.1, description="Rate of the moving average that `trust.csv` shows for comparison."
    )
    minimum_evidence: NotNegative = Field(
        5, description="Outcomes of a model in a context below which `model: auto` says that it explores."
    )
    atp_value: NotNegative = Field(
        0.01,
        description="What one ATP is worth, as a share of a success: `model: auto` weighs outcomes against ATP by it.",
    )
    evidence: Annotated[list[Literal[EVIDENCE]], Field(min_length=1), NO_REPEATS] = Field(
        default_factory=lambda: list(EVIDENCE),
        description="Classes of evidence that `model: auto` uses, the best first; they are never mixed.",
    )
