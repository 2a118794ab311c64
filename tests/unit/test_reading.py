"""Files of conversations are read once: what is new, changed, gone, broken, killed in the middle or there twice."""

import json
import os
from pathlib import Path

import pytest
from dreamflow.chunks import reading
from dreamflow.chunks.index import Library, load_index, write_index
from dreamflow.chunks.readers import Detail
from dreamflow.chunks.reading import find_files, is_current, read_files, remove_unused


class Folder:
    """A folder of conversations, and what was read of it."""

    def __init__(self, root: Path) -> None:
        self.raw, self.talks = root / "raw", root / "talks"
        self.raw.mkdir()

    def write(self, name: str, text: str, time: int | None = None) -> None:
        path = self.raw / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        if time:
            os.utime(path, (time, time))

    def export(self, name: str, **talks: tuple[str, ...]) -> None:
        """An export of conversations by id; what is said on the first day, the second and so on."""
        items = [
            {
                "uuid": raw_id,
                "chat_messages": [
                    {"sender": "human", "text": text, "created_at": f"2026-01-{day:02}T00:00:00Z"}
                    for day, text in enumerate(said, 1)
                ],
            }
            for raw_id, said in talks.items()
        ]
        self.write(name, json.dumps(items))

    @property
    def before(self):
        return load_index(self.talks) if (self.talks / "index.json").exists() else None

    def read(self) -> Library:
        index = read_files(self.raw, self.talks, self.before, find_files(self.raw), Detail())
        write_index(self.talks, index)
        remove_unused(self.talks, index)
        assert is_current(self.before, find_files(self.raw), self.talks, Detail())
        return Library(self.talks, load_index(self.talks))

    def is_current(self) -> bool:
        return is_current(self.before, find_files(self.raw), self.talks, Detail())


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path)


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the files that are read."""
    names: list[str] = []
    read_file = reading.read_file
    monkeypatch.setattr(reading, "read_file", lambda path, *more: names.append(path.name) or read_file(path, *more))
    return names


def test_only_what_has_changed_is_read(folder, opened):
    assert not folder.is_current()
    folder.write("a.md", "User: a\nAssistant: b\n")
    folder.write("b.md", "User: b\n")
    library = folder.read()
    assert sorted(opened) == ["a.md", "b.md"]
    talk = library["a"]
    assert (talk.text, talk.source, len(talk.turns)) == ("User: a\nAssistant: b\n", "a.md", 2)
    units = library.stored("a").units
    assert "".join(talk.text[unit.start : unit.end] for unit in units) == talk.text
    opened.clear()
    assert folder.read().index == library.index and not opened
    folder.write("b.md", "User: bb\n")
    assert not folder.is_current()
    assert folder.read()["b"].text == "User: bb\n" and opened == ["b.md"]
    assert len(list((folder.talks / "read").iterdir())) == 2
    opened.clear()
    os.utime(folder.raw / "a.md", (1, 1))  # a copy: other times, the same words
    assert not folder.is_current()
    assert list(folder.read()) == ["a", "b"] and not opened
    (folder.raw / "a.md").unlink()
    assert not folder.is_current()
    assert list(folder.read()) == ["b"] and len(list((folder.talks / "read").iterdir())) == 1


def test_after_a_kill_in_the_middle_nothing_is_torn_or_read_twice(folder, opened, monkeypatch):
    folder.write("a.md", "User: a\n")
    before = folder.read().index
    folder.write("a.md", "User: aa\n")
    folder.write("b.md", "User: b\n")
    opened.clear()
    split_units = reading.split_units

    def killed(talk):
        if talk.conversation_id == "b":
            raise KeyboardInterrupt
        return split_units(talk)

    monkeypatch.setattr(reading, "split_units", killed)
    with pytest.raises(KeyboardInterrupt):
        folder.read()
    assert folder.before == before and Library(folder.talks, before)["a"].text == "User: a\n"
    monkeypatch.setattr(reading, "split_units", split_units)
    assert [talk.text for talk in folder.read().values()] == ["User: aa\n", "User: b\n"]
    assert opened == ["a.md", "b.md", "b.md"]


@pytest.mark.parametrize("lost", ["index.json", "read"])
def test_what_is_lost_or_damaged_is_read_again(folder, lost):
    folder.write("a.md", "User: a\n")
    folder.read()
    path = folder.talks / lost
    for file in path.iterdir() if path.is_dir() else [path]:
        file.unlink()
    assert not folder.is_current()
    assert folder.read()["a"].text == "User: a\n"


def test_what_cannot_be_read_loses_nothing_else(folder, opened):
    folder.write("good.md", "User: a\nAssistant: b\n")
    (folder.raw / "bad.md").write_bytes(bytes(range(256)) * 20)
    (folder.raw / "gone.md").symlink_to("nowhere")
    folder.write(
        "part.json", json.dumps([{"uuid": "x", "chat_messages": [{"sender": "human", "text": "Hi"}]}, {"y": 1}])
    )
    folder.write("long.txt", "All of this was written by hand, and no speaker is named. " * 200)
    library = folder.read()
    assert list(library) == ["good", "long", "x"]
    bad, gone, part = library.index.problems
    assert "bad.md: not UTF-8" in bad and "gone.md: cannot be read" in gone and "part.json: conversation 2" in part
    (notice,) = library.index.notices
    assert "long.txt: a single turn of" in notice
    opened.clear()
    assert folder.read().index == library.index and not opened  # they are not tried again until they change
    folder.write("bad.md", "User: now\n")
    assert folder.read()["bad"].text == "User: now\n"


def test_the_newer_of_two_exports_of_a_conversation_is_used(folder):
    folder.export("b/conversations.json", one=("Hi",), two=("Hi", "there"), three=("Once", "more"))
    assert list(folder.read()) == ["one", "three", "two"]
    folder.export("a/conversations.json", one=("Hi",), two=("Hi", "there", "again"), three=("Once",))
    library = folder.read()
    assert {name: talk.source[0] for name, talk in library.items()} == {"one": "b", "two": "a", "three": "b"}
    told = " ".join(library.index.told)
    assert "a/conversations.json: 2 conversations are in b/conversations.json too (1 the same, 1 newer there)" in told
    assert "b/conversations.json: a conversation is in a/conversations.json too (1 newer there); those" in told
    (folder.raw / "b/conversations.json").unlink()
    assert folder.read()["three"].source.startswith("a") and not folder.read().index.notices


def test_different_conversations_with_one_name_both_stay_and_the_first_keeps_its_id(folder):
    folder.write("b/chat.md", "User: b\n")
    assert folder.read()["chat"].source == "b/chat.md"
    folder.write("a/chat.md", "User: a\n")
    folder.write("c/chat.md", "User: b\nAssistant: It goes on.\n")  # the words of b/chat.md, and more
    library = folder.read()
    other = next(name for name in library if name != "chat")
    assert library["chat"].source == "c/chat.md"
    assert {talk.text for talk in library.values()} == {"User: a\n", "User: b\nAssistant: It goes on.\n"}
    assert other.startswith("chat-") and any(other in line for line in library.index.told)
    folder.write("c/chat.md", "User: c\n")
    names = {talk.source: name for name, talk in folder.read().items()}
    assert len(names) == 3 and other in names.values()


def test_a_name_of_our_own_folders_becomes_another_id(folder):
    folder.write("upgrade.md", "User: a\n")
    (name,) = folder.read()
    assert name.startswith("upgrade-") and not folder.read().index.notices
