"""The stages of a cohort, in the order in which they are made."""

from ..generation.stage import PromptKind, Stage

DRAFT = Stage("draft", "d", (PromptKind("draft", ("concepts",), "identity"),))
ESSAY = Stage("essay", "e", (PromptKind("essay", ("draft_block", "links_block"), "identity"),))
EVALUATION = Stage("evaluation", "v", (PromptKind("evaluation", ("response",), "in_last_line"),))

STAGES = (
    DRAFT,
    ESSAY,
    EVALUATION,
)
STAGE_NAMES = tuple(stage.name for stage in STAGES)
