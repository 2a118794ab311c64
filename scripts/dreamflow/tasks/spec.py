"""The format of a task (raw_root/probe/<name>.jsonl), the selection of tasks, and how models answer them."""

from typing import Annotated, Literal

from pydantic import Field

from ..config import NO_REPEATS, Different, Name, NotNegative, Optional, Section, Share, Whole
from ..generation.settings import Sampling

KINDS = ("extraction", "arithmetic", "format", "classification", "code", "facts", "knowledge")


class TaskSelection(Section):
    """Which tasks a spec uses: base tasks, which people wrote, and generated ones."""

    base: bool = Field(True, description="Whether to use the tasks in `raw_root/probe/`.")
    kinds: Optional[Different[Name]] = Field(None, description="Kinds of base tasks. Default: all.")
    generate: dict[Literal[KINDS], Annotated[int, Field(ge=1, le=100_000)]] = Field(
        default_factory=dict, description="Number of tasks to generate per kind, such as `{extraction: 100}`."
    )
    seed: Whole = Field(
        1,
        description="Seed of the generators. The same seed gives the same tasks; a larger number only adds tasks.",
    )


class AnswerSettings(Section):
    """How models answer tasks."""

    template: Name = Field(
        "plain-v1", description="A prompt in `raw_root/templates/answer/`: Jinja2 with the task's `prompt`."
    )
    samples: Annotated[int, Field(ge=1, le=100)] = Field(1, description="Answers to each task.")
    sampling: Sampling = Field(
        default_factory=Sampling,
        description="Sampling parameters; they win over the model's. Without them `temperature` is 0 "
        "and `max_tokens` 48.",
    )
    by_kind: dict[Literal[KINDS], Sampling] = Field(
        default_factory=dict,
        description="More sampling parameters for tasks of a kind, such as `{code: {max_tokens: 160}}`; they win over "
        "`sampling`.",
    )


class WorkedExample(Section):
    """A task with its answer, shown to a teacher."""

    prompt: Name = Field(description="The prompt of the example.")
    answer: Name = Field(description="Its correct answer.")


class _Grader(Section):
    allow: Optional[Annotated[list[Literal["fence", "quotes", "full stop", "case"]], NO_REPEATS]] = Field(
        None, description="Differences that do not count: fence, quotes, full stop, case."
    )


class ExactGrader(_Grader):
    """The answer is the correct answer."""

    name: Literal["exact"] = Field(description="How answers are compared.")
    also: Optional[Annotated[list[Name], Field(min_length=1)]] = Field(None, description="Other correct answers.")


class NumberGrader(_Grader):
    """The answer is the correct number."""

    name: Literal["number"] = Field(description="How answers are compared.")
    tolerance: Optional[NotNegative] = Field(None, description="Largest difference that is still correct.")
    last: Optional[bool] = Field(
        None, description="Whether the last number of the answer counts, whatever text comes before it."
    )
    units: Optional[Annotated[list[Name], Field(min_length=1)]] = Field(
        None, description="Texts that may stand before or after the number."
    )


class JsonGrader(_Grader):
    """The answer is the same JSON value."""

    name: Literal["json"] = Field(description="How answers are compared.")


class LinesGrader(_Grader):
    """The answer has the same lines."""

    name: Literal["lines"] = Field(description="How answers are compared.")


class MentionsGrader(_Grader):
    """The answer mentions the correct answer and no wrong one."""

    name: Literal["mentions"] = Field(description="How answers are compared.")
    others: list[Name] = Field(description="Wrong answers, which must not occur besides the correct one.")


class RegexGrader(_Grader):
    """The whole answer matches a pattern."""

    name: Literal["regex"] = Field(description="How answers are compared.")
    pattern: Name = Field(description="A Python regular expression for the whole answer.")


class OneOfGrader(_Grader):
    """The answer is the correct label."""

    name: Literal["one_of"] = Field(description="How answers are compared.")
    labels: Annotated[Different[Name], Field(min_length=2)] = Field(description="The labels to choose from.")


class ListGrader(_Grader):
    """The answer has the same items, in the same order."""

    name: Literal["list"] = Field(description="How answers are compared.")
    separator: Optional[Name] = Field(None, description="Text between two items. Default: a comma.")


class SetGrader(ListGrader):
    """The answer has the same items, in any order."""

    name: Literal["set"] = Field(description="How answers are compared.")


class CodeTest(Section):
    """One hidden test of a function."""

    call: Name = Field(description="A call as Python text.")
    returns: Name = Field(description="The repr of its result.")


class CodeGrader(_Grader):
    """The function in the answer passes hidden tests."""

    name: Literal["code"] = Field(description="How answers are compared.")
    wrapped: Optional[bool] = Field(None, description="Whether the code may stand among other text.")
    entry: Annotated[str, Field(pattern="^[A-Za-z_][A-Za-z0-9_]*$")] = Field(description="The requested function.")
    tests: Annotated[list[CodeTest], Field(min_length=2)] = Field(
        description="Calls that the model does not see, and the repr of what they return."
    )


Grader = Annotated[
    ExactGrader
    | NumberGrader
    | JsonGrader
    | LinesGrader
    | MentionsGrader
    | RegexGrader
    | OneOfGrader
    | ListGrader
    | SetGrader
    | CodeGrader,
    Field(discriminator="name"),
]


class TaskLine(Section):
    """One task: one line of raw_root/probe/<name>.jsonl."""

    task_id: Annotated[str, Field(pattern="^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$")] = Field(
        description="Letters, digits, '.', '_' and '-'; unique among all tasks."
    )
    kind: Literal[KINDS] = Field(description="The kind of task.")
    context: Annotated[str, Field(pattern="^[a-z][a-z -]*$")] = Field(
        description="Where such texts come from, such as invoices."
    )
    group: Annotated[str, Field(pattern=r"^[a-z]+\.[a-z0-9-]+\.[a-z0-9-]+$")] = Field(
        description="`<kind>.<skill>.<template>`. Tasks of one group are never split."
    )
    prompt: Name = Field(description="The whole question.")
    grader: Grader = Field(description="How an answer is compared with the correct one: `name` and its options.")
    answer: Name = Field(description="A correct answer.")
    stakes: Optional[Share] = Field(None, description="How much depends on the answer (0 to 1); part of its salience.")
    worked: Optional[list[WorkedExample]] = Field(None, description="Worked examples of the same kind, for a teacher.")
