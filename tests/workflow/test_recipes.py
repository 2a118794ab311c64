"""Each recipe of docs/recipes.md, taken literally and done from an empty project; recorded answers stand for models."""

import csv
import json
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from pages import Block, Reader, blocks

TEAMS = ("billing", "delivery", "account")


@pytest.fixture
def reader(tmp_path: Path) -> Reader:
    return Reader(tmp_path)


def follow(reader: Reader, recipe: str, changed: Callable[[Block], None]) -> list[str]:
    """Do the blocks of a recipe, calling `changed` after each; returns what the commands printed."""
    for block in blocks("recipes.md", recipe):
        reader.do(block)
        changed(block)
    return reader.shown


def record(reader: Reader, answers: Mapping[str, list[dict[str, Any]]]) -> None:
    """Let these models of the project give recorded answers; the other models stay."""
    path = reader.folder / "config/models.yaml"
    models = yaml.safe_load(path.read_text())["models"]
    for model_id, lines in answers.items():
        assert model_id in models, "the page names a model that models.yaml does not have"
        recorded = reader.home / f"{model_id}.jsonl"
        recorded.write_text("".join(f"{json.dumps(line)}\n" for line in lines))
        models[model_id] = {"provider": "replay", "name": str(recorded)}
    path.write_text(yaml.safe_dump({"models": models}))


def change(reader: Reader, path: str, **sections: Any) -> None:
    """Add to the sections of a YAML file."""
    file = reader.folder / path
    content = yaml.safe_load(file.read_text())
    file.write_text(yaml.safe_dump({**content, **{key: {**content.get(key, {}), **sections[key]} for key in sections}}))


def test_compare_two_models(reader: Reader) -> None:
    answers = {
        "calm": [{"text": "We send a new one today; it is with you on Friday."}],
        "wild": [{"text": "Lamps are like stars."}],
        "judge": [{"contains": "Friday", "text": '{"reason": "It says when.", "score": 5}'},
                  {"contains": "Lamps", "text": '{"reason": "Beside the point.", "score": 2}'}],
    }  # fmt: skip

    def changed(block: Block) -> None:
        if block.path == "config/models.yaml":
            record(reader, answers)

    said = " ".join(follow(reader, "Compare two models", changed)[-1].split())
    assert "calm is better than wild by 3.00 [3.00, 3.00] points on helpful (1-5), 12 pairs in 6 combinations" in said
    assert "by a model that wrote the text" not in said


def test_dream_about_a_function_of_your_project(reader: Reader) -> None:
    verdict = {"reason": "It does the same.", "viability": 0.8}
    relaxed = [
        {"contains": "viability", "text": json.dumps(verdict)},
        {"contains": "Viability", "text": "Viability: 0.8\nReason: it does the same."},
        {"text": "    goods = float(sum(prices))"},
    ]

    def changed(block: Block) -> None:
        if "new_project" in block.text:
            record(reader, {"smollm2-135m": relaxed})

    first, second = follow(reader, "Dream about a function of your project", changed)
    assert "of ~/shop: shop/rates.json, shop/rates.py\n" in first.replace(str(reader.home), "~")
    assert "5 calls" in first and "equivalent" in first and "untested" not in first
    assert "untested" not in second and "none judged" not in second
    journal = (reader.folder / "data/dreams/shop/cycle-1/journal.md").read_text()
    assert "goods = float(sum(prices))" in journal


def test_make_exported_chats_searchable(reader: Reader) -> None:
    said = ["How do I feed my sourdough starter?", "Every day, with as much flour as water."]
    messages = [{"sender": sender, "text": text} for sender, text in zip(("human", "assistant"), said, strict=True)]
    (reader.home / "Downloads").mkdir()
    with zipfile.ZipFile(reader.home / "Downloads/export.zip", "w") as archive:
        chats = [{"uuid": "bread", "name": "Bread", "chat_messages": messages}]
        archive.writestr("data-2025/conversations.json", json.dumps(chats))
        archive.writestr("data-2025/users.json", "[]")
    *_, found = follow(reader, "Make exported chats searchable", lambda block: None)
    assert "[sourdough] [starter]" in found and "data/chunks/bread/chunks.html" in found
    assert (reader.folder / "data/chunks/bread/chunks.html").exists()


def test_teach_a_small_model(reader: Reader, tmp_path_factory: pytest.TempPathFactory) -> None:
    pytest.importorskip("torch")
    from tiny_student import write_tiny_student

    weights = write_tiny_student(tmp_path_factory.mktemp("weights") / "student")
    with (reader.home / "questions.csv").open("w", newline="") as stream:
        table = csv.writer(stream)
        table.writerow(["question", "answer"])
        table.writerows((f"Message {number}. Which team?", TEAMS[number % 3]) for number in range(60))

    def changed(block: Block) -> None:
        if block.path == "config/models.yaml":
            record(reader, {"smollm2-135m": [{"text": "I do not know."}]})
        if block.path == "config/distillations/mine.yaml":
            sizes = {"size": 24, "held_out_size": 10, "general_size": 10}
            change(reader, block.path, student={"weights": str(weights)}, replay=sizes,
                   training={"rank": 2, "epochs": 1}, validation={"max_tokens": 8})  # fmt: skip

    follow(reader, "Teach a small model", changed)
    folder = reader.folder / "data/distill/mine/cycle-1"
    learned = [json.loads(line) for line in (folder / "train.jsonl").read_text().splitlines()]
    taught = {
        row["messages"][0]["content"]: row["messages"][1]["content"] for row in learned if row["role"] == "target"
    }
    assert len(taught) > 10
    assert all(answer == TEAMS[int(question.split()[1].strip(".")) % 3] for question, answer in taught.items())
    assert "held-out" in (folder / "report.md").read_text()
