"""Each format is read as the turns beside its sample say, and no word of a sample is lost without an error.

A sample is a file (or a folder, as an export is unpacked) in `conversations/`, its turns are `<sample>.turns.yaml`.
"""

import json
import re
from pathlib import Path

import pytest
import yaml
from dreamflow.chunks.readers import Detail, conversation_files, read_file
from dreamflow.errors import ConfigError

SAMPLES = Path(__file__).parent / "conversations"
NAMES = sorted(path.name.removesuffix(".turns.yaml") for path in SAMPLES.glob("*.turns.yaml"))


def sample(name):
    return next(path for path in SAMPLES.glob(f"{name}*") if path.stem == name and path.suffix != ".yaml")


def read(path, detail=Detail()):  # noqa: B008
    """The conversations in a sample, as its expected turns are written, and the problems."""
    root = path if path.is_dir() else path.parent
    talks, problems = [], []
    for file in conversation_files(path) if path.is_dir() else [path]:
        found = read_file(file, root, detail)
        problems += found.problems
        talks += [as_written(conversation) for conversation in found.conversations]
    return talks, problems


def as_written(conversation):
    written = {"id": conversation.conversation_id}
    written |= {key: value for key in ("title", "updated") if (value := getattr(conversation, key))}
    place = 0
    turns = []
    for turn in conversation.turns:
        assert turn.start == place
        place = turn.end
        words = conversation.text[turn.content_start : turn.end].removesuffix("\n")
        turns.append({turn.role: words} | {key: value for key in ("time", "model") if (value := getattr(turn, key))})
    assert place == len(conversation.text)
    return written | {"turns": turns}


def test_every_sample_has_its_turns():
    assert {path.stem for path in SAMPLES.iterdir() if path.suffix != ".yaml"} == set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_a_format_is_read_as_its_turns_say(name):
    talks, problems = read(sample(name))
    assert not problems
    assert talks == yaml.safe_load((SAMPLES / f"{name}.turns.yaml").read_text(encoding="utf-8"))


# --- tools and reasoning by name, in full, or not at all

DETAILS = {
    "claude": [
        ("full", "full", 'Rye needs a sourdough.\n[tool: web_search]\n{"query":"rye hydration"}\nRye basics'),
        ("name", "name", "[reasoning]\n[tool: web_search]\nRye basics"),
        ("none", "none", "Here is a plan.\nRye plan\n1. Feed"),
    ],
    "openai": [("full", "full", '[tool: get_weather]\n{"city": "Oslo"}'), ("none", "full", "Rain at 4")],
    "deepseek": [("name", "name", "[reasoning]\nAbout 30 metres"), ("none", "none", "About 30 metres")],
    "codex": [("full", "none", '[tool: shell]\n{"command": ["ls"]}'), ("none", "name", "[reasoning]")],
    "llamacpp": [("name", "none", "It steadies the kite.")],
    "openwebui": [("name", "name", "[reasoning]\n255"), ("name", "none", "255")],
    "gemini_studio": [("name", "none", "Take a dry-treated half rope.")],
    "sillytavern": [("name", "name", "[reasoning]\nThen ye need coin.")],
}


THOUGHTS = ("Rye needs", "Inca bridge", "Use ls.", "Drag at", "150 plus", "Ice wants", "Pirates want")


@pytest.mark.parametrize(
    ("name", "tools", "reasoning", "said"),
    [(name, *expected) for name, cases in DETAILS.items() for expected in cases],
)
def test_tools_and_reasoning_are_read_as_wanted(name, tools, reasoning, said):
    talks, problems = read(sample(name), Detail(tools, reasoning))
    assert not problems
    texts = [text for turn in talks[0]["turns"] for role, text in turn.items() if role in ("assistant", "tool")]
    assert any(said in text for text in texts)
    assert tools != "none" or not any("[tool" in text for text in texts)
    assert reasoning == "full" or not any(thought in text for text in texts for thought in THOUGHTS)
    assert all(texts)


# --- no word of JSON is lost

JSON = [name for name in NAMES if sample(name).suffix in (".json", ".jsonl")]
# What is left out on purpose: other branches, other swipes, activities with other products, settings, summaries and
# suggestions of a site, what is for the model alone, arguments of tools; and what only repeats other words.
LEFT_OUT = re.compile(
    r"They need more water|Start on Saturday at noon|Plan a loaf|And the oven|they planned a loaf|Weighing leavens"
    r"|This block is not supported|A list of oppositions|Watched a film|Gave feedback|What is 16|Be brief and friendly"
    r"|Once upon a time|Tell me a story|Caveat: the messages|Delete them|No map for ye|Get the weather of"
    r"|You are ChatGPT|Eastern Daylight|<summary>Thought|Prompted |{.name.: .Shade plan|Successfully created"
)


def values_of(path):
    text = path.read_text(encoding="utf-8")
    return json.loads(text) if path.suffix == ".json" else [json.loads(line) for line in text.split("\n") if line]


def texts_of(value, key=""):
    """(key, text) of every text in a JSON value, also in texts that are JSON."""
    if isinstance(value, dict):
        for name, item in value.items():
            yield from texts_of(item, name)
    elif isinstance(value, list):
        for item in value:
            yield from texts_of(item, key)
    elif isinstance(value, str):
        yield key, value


def words(text):
    return set(re.findall(r"\w+", re.sub(r"<[^>]*>|&\w+;", " ", text.replace("\\n", "\n"))))


@pytest.mark.parametrize("name", JSON)
def test_every_text_is_in_the_turns(name):
    talks, _ = read(sample(name))
    said = words(json.dumps(talks, ensure_ascii=False))
    for key, text in texts_of(values_of(sample(name))):
        is_words = len(re.findall(r"[^\W\d_]", text)) >= 20 and " " in text.strip()
        assert not is_words or LEFT_OUT.search(text) or words(text) <= said, (key, text)


# Names of things and people, times and addresses; and a system's prompt beside the messages.
LABELS = re.compile(
    r"name|title|url|model|time|date|_at$|At$|^id$|uuid|Id$|_id$|sender$|role|from|link|user|type|ts$|header|products|system"
    r"|attached|attachments|files?$"
)


def renamed(value, key):
    """A JSON value in which a key has another name everywhere."""
    if isinstance(value, dict):
        return {(f"{name}X" if name == key else name): renamed(item, key) for name, item in value.items()}
    return [renamed(item, key) for item in value] if isinstance(value, list) else value


def said_in(talks):
    """The words of all turns."""
    return "\n".join(text for talk in talks for turn in talk["turns"] for text in list(turn.values())[:1])


@pytest.mark.parametrize("name", JSON)
def test_a_renamed_field_loses_no_words_in_silence(name, tmp_path):
    path, value = sample(name), values_of(sample(name))
    said = said_in(read(path)[0])
    keys = {key for key, text in texts_of(value) if text and text in said}
    assert keys
    other = tmp_path / path.name
    for key in sorted(key for key in keys if not LABELS.search(key)):
        changed = renamed(value, key)
        lines = changed if path.suffix == ".jsonl" else [changed]
        other.write_text("\n".join(json.dumps(line, ensure_ascii=False) for line in lines), encoding="utf-8")
        try:
            talks, problems = read(other)
        except ConfigError:
            continue
        assert not any("unknown" in turn for talk in talks for turn in talk["turns"])
        assert problems or words(said) <= words(said_in(talks)), key
