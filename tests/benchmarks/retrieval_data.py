"""The questions of retrieval.py and the conversations they are about: LoCoMo's file, or our own shape.

LoCoMo (Maharana et al., "Evaluating very long-term conversational memory of LLM agents", ACL 2024; its authors' file
locomo10.json, CC BY-NC 4.0, is not part of this project) has samples of two persons' sessions, with turn ids such as
D1:3, and questions with the ids of their evidence. Our own shape is that of retrieval.yaml.
"""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import yaml
from dreamflow.chunks.conversation import Conversation, Turn
from dreamflow.chunks.readers import list_conversations
from dreamflow.errors import ConfigError

# LoCoMo's numbers of its kinds of questions. The evidence of an adversarial one speaks of the other person: there is
# no answer, and finding the evidence only shows that the question's words lead there.
CATEGORIES = {1: "several turns", 2: "time", 3: "open domain", 4: "one turn", 5: "adversarial"}
ADVERSARIAL = CATEGORIES[5]

Place = tuple[str, int]  # a conversation and the number of a turn


@dataclass(frozen=True)
class Question:
    """A question, the turns that answer it, and its kind (a category of LoCoMo's, or a language)."""

    text: str
    evidence: frozenset[Place]
    kind: str


@dataclass(frozen=True)
class Sample:
    """Conversations that are searched together, and the questions on them."""

    name: str
    conversations: Mapping[str, Conversation]
    questions: Sequence[Question]


def read_samples(path: Path, conversations: Path) -> list[Sample]:
    """The samples of a file: LoCoMo's, or our own on the conversations of a folder. Raises a `ConfigError`."""
    text = path.read_text(encoding="utf-8")
    data = json.loads(text) if path.suffix == ".json" else yaml.safe_load(text)
    if not isinstance(data, list) or not data:
        raise ConfigError(f"{path}: expected a list of questions, or of samples as in LoCoMo")
    if "qa" in data[0]:
        return [_locomo(item) for item in data]
    known = list_conversations(conversations)
    questions = [_question(item, known, f"{path}: question {number}") for number, item in enumerate(data, 1)]
    return [Sample(path.stem, known, questions)]


def _question(item: Mapping[str, Any], known: Mapping[str, Conversation], where: str) -> Question:
    evidence = set()
    for place in item["evidence"]:
        ((name, reference),) = place.items()
        if name not in known:
            raise ConfigError(f"{where}: there is no conversation {name}; there are: {', '.join(known)}")
        evidence.add((name, _turn(known[name], reference, where)))
    return Question(item["question"], frozenset(evidence), item.get("language", ""))


def _turn(conversation: Conversation, reference: int | str, where: str) -> int:
    """The number of the turn that has this number, this id or these words."""
    found = [turn.number for turn in conversation.turns if reference in (turn.number, turn.turn_id)]
    found = found or [
        turn.number for turn in conversation.turns if str(reference) in conversation.text[turn.start : turn.end]
    ]
    if len(found) != 1:
        raise ConfigError(f"{where}: {len(found)} turns of {conversation.conversation_id} are or have {reference!r}")
    return found[0]


def _locomo(item: Mapping[str, Any]) -> Sample:
    sessions = item["conversation"]
    conversations, places = {}, {}
    for key in (key for key in sessions if re.fullmatch(r"session_\d+", key)):
        name = f"{item.get('sample_id', 'sample')}-{key}"
        turns = sessions[key]
        conversations[name] = _conversation(name, turns, _time(sessions.get(f"{key}_date_time", "")))
        places |= {turn["dia_id"]: (name, number) for number, turn in enumerate(turns, 1)}
    questions = []
    for asked in item["qa"]:
        ids = [found for text in asked.get("evidence", ()) for found in re.findall(r"D\d+:\d+", text)]
        evidence = frozenset(places[name] for name in ids if name in places)
        if evidence:  # some have none
            questions.append(Question(asked["question"], evidence, CATEGORIES[asked["category"]]))
    return Sample(item.get("sample_id", "sample"), conversations, questions)


def _conversation(name: str, messages: Iterable[Mapping[str, Any]], time: str | None) -> Conversation:
    turns, parts, at = [], [], 0
    for number, message in enumerate(messages, 1):
        caption = f" [shows {message['blip_caption']}]" if message.get("blip_caption") else ""
        header = f"{message['speaker']}: "
        part = f"{header}{message['text']}{caption}\n"
        turns.append(Turn(number, message["speaker"], at, at + len(part), at + len(header), time, message["dia_id"]))
        parts.append(part)
        at += len(part)
    return Conversation(name, "".join(parts), tuple(turns))


def _time(text: str) -> str | None:
    """ "1:56 pm on 8 May, 2023" in ISO 8601."""
    try:
        return datetime.strptime(text, "%I:%M %p on %d %B, %Y").isoformat()
    except ValueError:
        return None
