"""The configuration of a distillation (config/distillations/<name>.yaml) and of salience."""

from typing import Annotated

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from ..config import AS_WRITTEN, Count, Cycle, Different, Name, NotNegative, Optional, Positive, Section, Share, Whole
from ..generation.settings import MayBeAuto
from ..tasks.spec import AnswerSettings, TaskSelection


class Salience(Section):
    """Weights of the signals in the salience of an experience. An unknown signal counts nothing."""

    surprise: NotNegative = Field(0.25, description="Weight of how unexpected the answer was, or else its outcome.")
    novelty: NotNegative = Field(0.2, description="Weight of how different the question is from earlier ones.")
    arousal: NotNegative = Field(0.2, description="Weight of stakes and cost.")
    reward: NotNegative = Field(0.2, description="Weight of the outcome.")
    conflict: NotNegative = Field(0.15, description="Weight of disagreement between samples or judges.")

    @model_validator(mode="after")
    def _check_sum(self) -> "Salience":
        if not any(self.as_dict().values()):
            raise PydanticCustomError("no_weight", "all weights are 0; set at least one of them above 0")
        return self


class Student(Section):
    """The model that learns."""

    model: Name = Field(description="An id of models.yaml: the model that answers before the training.")
    weights: Optional[Name] = Field(
        None,
        description="The weights of that model, to train: a Hugging Face folder, a GGUF file, "
        "`package:<python package>/<file>` or `hf:<owner>/<repository>/<file>@<revision>`. Default: the `name` of a "
        "`llama_cpp` model.",
    )
    license: Name = Field("unknown", description="Licence of the weights, for the model card.")


class Teacher(AnswerSettings, MayBeAuto):
    """The model that answers the selected tasks, with worked examples; answers that the grader refuses are dropped."""

    model: Name = Field(description="An id of models.yaml, of any provider, or `auto`: trust chooses for each task.")
    worked: Annotated[int, Field(ge=0, le=50)] = Field(
        4,
        description="Worked examples before each question, as turns of a chat: of its group, else of its skill or "
        "kind; never of held-out groups.",
    )
    keep: Count = Field(1, description="Accepted answers to keep per task.")
    weights: Optional[Name] = Field(
        None,
        description="For `training.kl_weight` only: the weights of the teacher, in the same form as `student.weights`.",
    )
    top_logprobs: Annotated[int, Field(ge=2)] = Field(
        20,
        description="For `training.kl_weight` only: how many likeliest tokens to keep at each place, in `logprobs/`.",
    )


class Replay(Section):
    """What is learned, and on which tasks it is measured."""

    kinds: Different[Name] = Field(description="Kinds of tasks to learn; all other kinds are general tasks.")
    size: Count = Field(200, description="Number of tasks to learn from.")
    general_share: Annotated[float, Field(ge=0, le=0.9), AS_WRITTEN] = Field(
        0.2, description="Share of general tasks among them, with the student's own answers, against forgetting."
    )
    min_salience: Share = Field(0, description="Minimum salience of an experience to learn from.")
    validation: Annotated[float, Field(gt=0, le=0.5), AS_WRITTEN] = Field(
        0.1, description="Share of the groups of tasks that decide when the training stops (`validation.jsonl`)."
    )
    held_out: Annotated[float, Field(gt=0, le=0.8), AS_WRITTEN] = Field(
        0.3, description="Share of the groups of tasks that are used for measuring only."
    )
    held_out_size: Annotated[int, Field(ge=10)] = Field(
        160, description="Held-out tasks to measure on, of the kinds to learn."
    )
    general_size: Annotated[int, Field(ge=10)] = Field(100, description="General tasks to measure forgetting on.")
    near_duplicate: Annotated[float, Field(gt=0, le=1), AS_WRITTEN] = Field(
        0.9, description="Similarity of two prompts (Jaccard index of character 5-grams) from which one is left out."
    )
    seed: Whole = Field(1, description="Seed of the split of groups.")


class Training(Section):
    """LoRA and its optimiser."""

    rank: Count = Field(16, description="Rank of the LoRA matrices, on all linear layers.")
    alpha: Positive = Field(32, description="The product of the LoRA matrices is scaled by `alpha / rank`.")
    dropout: Annotated[float, Field(ge=0, lt=1), AS_WRITTEN] = Field(
        0, description="Dropout of the inputs of the LoRA layers."
    )
    learning_rate: Positive = Field(0.0005, description="Highest learning rate of AdamW; it falls as a cosine.")
    epochs: Count = Field(3, description="Maximum number of times that each example is used.")
    batch_examples: Count = Field(8, description="Examples in one step of the optimiser.")
    warmup: Share = Field(0.1, description="Share of the steps during which the learning rate rises.")
    weight_decay: NotNegative = Field(0, description="Weight decay of AdamW.")
    max_length: Annotated[int, Field(ge=16)] = Field(
        512, description="Maximum tokens of an example; longer ones are left out and reported."
    )
    patience: Count = Field(
        2, description="Evaluations without a better validation loss before the training stops; the best weights stay."
    )
    evaluations_per_epoch: Count = Field(2, description="Measurements of the validation loss per epoch.")
    gradient_checkpointing: bool = Field(False, description="Whether to use less memory and more time.")
    weight_by_salience: bool = Field(
        True, description="Whether the salience of its experience is the weight of an example."
    )
    kl_weight: Share = Field(
        0,
        description="Share of the loss that is the distance to the teacher's token probabilities, for examples that "
        "have them.",
    )
    kl_temperature: Positive = Field(1, description="Temperature of both distributions in that distance.")
    seed: Whole = Field(1, description="Seed of the first weights and of the order of examples.")
    checkpoint_s: NotNegative = Field(
        60, description="Seconds between checkpoints; an interrupted training continues from the last one."
    )


class Validation(Section):
    """How the student is measured, and when it is good enough."""

    max_tokens: Count = Field(48, description="Maximum tokens of an answer.")
    batch: Count = Field(16, description="Answers to generate together.")
    margin: Share = Field(
        0.1,
        description="Minimum gain in the share of solved held-out tasks; the confidence interval must lie above 0.",
    )
    most_lost: Share = Field(0.02, description="Maximum loss in the share of solved general tasks.")
    smallest: Count = Field(50, description="Minimum number of held-out tasks for a deployment.")


class Export(Section):
    """Which files are written besides the adapter."""

    merged: bool = Field(False, description="Whether to also write the whole model with the adapter merged in.")
    model_id: Optional[Annotated[str, Field(pattern="^[A-Za-z0-9][A-Za-z0-9._-]*$")]] = Field(
        None, description="Id of the registered student. Default: `<model>-<name>-c<cycle>`."
    )


class DistillationSpec(Section):
    """Which small model learns what, from whom, and when it is good enough (config/distillations/<name>.yaml)."""

    cycle: Cycle = Field(
        1,
        description="Number of the cycle. Each cycle has its own experiences, student and folder. `auto` is the last "
        "one that was begun, and `snakemake night` begins the next.",
    )
    student: Student = Field(description="The model that learns.")
    tasks: TaskSelection = Field(
        default_factory=TaskSelection,
        description="Which tasks to use. Groups of tasks are split into those to learn from and those to measure on.",
    )
    practice: AnswerSettings = Field(
        default_factory=AnswerSettings,
        description="How the student answers before the training.",
    )
    teacher: Teacher = Field(description="The model that shows correct answers.")
    replay: Replay = Field(description="What is learned, and on which tasks it is measured.")
    training: Training = Field(default_factory=Training, description="LoRA and its optimiser.")
    validation: Validation = Field(
        default_factory=Validation, description="When the trained student is good enough to be used."
    )
    export: Export = Field(default_factory=Export, description="Which files are written besides the adapter.")
