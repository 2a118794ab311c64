"""Small conversations for tests, made of turns."""

from collections.abc import Iterable
from typing import Any

from dreamflow.chunks.conversation import Chunk, Conversation, Turn
from hypothesis import strategies as st


def conversation(*turns: tuple[str, str], name: str = "talk", times: Iterable[str] = ()) -> Conversation:
    """A conversation of (role, words), in the form that JSON conversations are given."""
    text, made, stamps = "", [], list(times)
    for number, (role, words) in enumerate(turns, 1):
        start, header = len(text), f"{role}: "
        text += f"{header}{words}\n"
        time = stamps[number - 1] if stamps else None
        made.append(Turn(number, role, start, len(text), start + len(header), time))
    return Conversation(name, text, tuple(made), title="A talk", source=f"{name}.jsonl")


def model(level: str = "good", gen_id: str = "g1") -> dict[str, Any]:
    """A `made_by` of a model."""
    return {"method": "llm", "model_id": f"m-{level}", "provider": "p", "gen_id": gen_id, "quality_level": level}


def chunk(first: int, last: int, *labels: str, made_by: dict[str, Any] | None = None, **about: Any) -> Chunk:
    said = {"entities": (), "summary": "It is said.", "language": "en", "confidence": None, **about}
    return Chunk(first=first, last=last, labels=labels, made_by=made_by or model(), **said)


words = st.text(
    st.one_of(st.sampled_from("abc 。！? \n\t`#【】中文かな:{}[]\"'<>"), st.characters(exclude_categories=["Cs"])),
    max_size=200,
)
talks = st.lists(st.tuples(st.sampled_from(["user", "assistant", "system"]), words), min_size=1, max_size=12).map(
    lambda turns: conversation(*turns)
)
