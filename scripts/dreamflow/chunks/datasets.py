"""The chunks of all conversations as a dataset."""

from collections.abc import Iterable, Mapping
from pathlib import Path

from ..database.datasets import REAL, TEXT, TEXTS, WHOLE, Dataset, Feature
from ..generation.model import Json
from .sources import conversations, read_conversation

FEATURES = {
    "id": Feature(TEXT, "the chunk"),
    "conversation_id": Feature(TEXT, "its conversation"),
    "title": Feature(TEXT, "the title of the conversation"),
    "source": Feature(TEXT, "the file of the conversation, in the folder of conversations"),
    "position": Feature(WHOLE, "the place of the chunk, from 0; the chunks in this order are the whole conversation"),
    "content": Feature(TEXT, "the text, verbatim"),
    "summary": Feature(TEXT, "a summary"),
    "labels": Feature(TEXTS, "labels"),
    "entities": Feature(TEXTS, "names in the text"),
    "language": Feature(TEXT, "the language, if known"),
    "speaker": Feature(TEXT, "who says most of it"),
    "time": Feature(TEXT, "the time of its first turn, if known"),
    "confidence": Feature(REAL, "confidence in the chunk, 0 to 1"),
    "quality_level": Feature(TEXT, "basic (rules), good or premium (models)"),
    "method": Feature(TEXT, "what made the chunk"),
    "llm_used": Feature(TEXT, "the model, if any"),
    "tokens": Feature(WHOLE, "tokens of the text"),
}


def chunk_datasets(root: Path) -> Iterable[Dataset]:
    """The dataset of this family, if there are chunks."""
    if any(conversations(root)):
        yield Dataset(
            name="chunks",
            title="Chunks of conversations",
            about="A row is a passage of a conversation with labels, names, a summary and a measured confidence.",
            made="Dreamflow divided conversations into passages (`snakemake chunks`): by rules, or by the model in "
            "`llm_used`. `content` is the text of the conversation, unchanged; labels, names and summaries are not "
            "checked by a person. Only the current version of each conversation is here.",
            notes="Conversations can contain names, addresses and secrets of persons. Nothing was removed.",
            features=FEATURES,
            splits={"train": lambda: _rows(root)},
            languages=lambda: (row["language"] for row in _rows(root)),
        )


def _rows(root: Path) -> Iterable[Mapping[str, Json]]:
    for name in conversations(root):
        made = read_conversation(root / "chunks" / name)
        source = made["conversations"][0]["source"]
        yield from ({**chunk, "source": source} for chunk in made["chunks"])
