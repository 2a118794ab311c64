"""Exports of chats are read from the zip as it was downloaded, and a zip that is something else says what to do."""

import io
import json
import zipfile
from pathlib import Path

import pytest
from dreamflow.chunks.readers import export_zip, list_conversations
from dreamflow.errors import ConfigError


def chatgpt(name: str, said: str = "Hello") -> dict:
    node = {"message": {"author": {"role": "user"}, "content": {"parts": [said]}}, "parent": None, "children": []}
    return {"id": name, "title": name.upper(), "mapping": {"a": node}, "current_node": "a"}


def claude(name: str) -> dict:
    return {"uuid": name, "name": name, "chat_messages": [{"sender": "human", "text": "Hello"}]}


def zipped(files: dict[str, object], **how: object) -> bytes:
    """A zip of files: text, bytes, or anything else as JSON."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED, **how) as archive:
        for name, content in files.items():
            archive.writestr(name, content if isinstance(content, str | bytes) else json.dumps(content))
    return stream.getvalue()


def read(folder: Path, content: bytes, name: str = "export.zip") -> dict:
    (folder / name).write_bytes(content)
    return list_conversations(folder)


@pytest.mark.parametrize(
    "files",
    [
        {"conversations.json": [chatgpt("a"), chatgpt("b")], "user.json": {}, "chat.html": "<html>", "dall-e/": b""},
        {"conversations.json": [claude("a"), claude("b")], "users.json": [], "projects.json": []},
        {"conversations-000.json": [chatgpt("a")], "conversations-001.json": [chatgpt("b")]},
        {"My export/2024/Conversations.json": [chatgpt("a"), chatgpt("b")], "__MACOSX/._conversations.json": b"\0"},
        {"OpenAI/part.zip": zipped({"x/conversations.json": [chatgpt("a")]}), "conversations.json": [chatgpt("b")]},
        {"../../conversations.json": [chatgpt("a")], "C:\\chats\\conversations_2.json": [chatgpt("b")]},
    ],
)
def test_exports_as_they_are_downloaded(tmp_path, files):
    found = read(tmp_path, zipped(files))
    assert [(name, chat.source) for name, chat in found.items()] == [("a", "export.zip"), ("b", "export.zip")]
    assert all("Hello" in chat.text for chat in found.values())
    assert [path.name for path in tmp_path.iterdir()] == ["export.zip"]


def test_a_zip_is_read_as_its_file_would_be(tmp_path):
    chats = [chatgpt("a", "in two\nlines"), claude("b") | {"name": "旅行"}, chatgpt("../../x")]
    for folder, name, content in (("one", "export.zip", zipped({"conversations.json": chats})),
                                  ("two", "conversations.json", json.dumps(chats).encode())):  # fmt: skip
        (tmp_path / folder).mkdir()
        read(tmp_path / folder, content, name)
    one, two = (list_conversations(tmp_path / folder) for folder in ("one", "two"))
    assert [(chat.text, chat.turns, chat.title) for chat in one.values()] == [
        (chat.text, chat.turns, chat.title) for chat in two.values()
    ]


def encrypted() -> bytes:
    """A zip whose first file is marked as encrypted."""
    data = bytearray(zipped({"conversations.json": [chatgpt("a")]}))
    for mark, at in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        data[data.index(mark) + at] |= 1
    return bytes(data)


def with_wrong_bytes() -> bytes:
    data = bytearray(zipped({"conversations.json": [chatgpt("a", "x" * 2000)]}))
    data[60:70] = b"\xff" * 10
    return bytes(data)


def lying() -> bytes:
    """A bomb whose directory says that it is small."""
    data = bytearray(zipped({"conversations.json": b" " * (20 << 20)}))
    at = data.index(b"PK\x01\x02") + 24
    data[at : at + 4] = (100).to_bytes(4, "little")
    return bytes(data)


REFUSED = {
    "not a zip": (b"<html>Log in to download</html>", "not a zip file, or a damaged one .*: download it again"),
    "empty": (b"", "not a zip file"),
    "stopped early": (zipped({"conversations.json": [chatgpt("a")]})[:-40], "a download that stopped early"),
    "wrong bytes": (with_wrong_bytes(), "damaged one"),
    "encrypted": (encrypted(), "conversations.json: encrypted: unpack it with its password"),
    "another zip": (
        zipped({"photos/a.png": b"", "b.txt": b""}),
        r"has no conversations.json.* It has 'a.png', 'b.txt'",
    ),
    "a zip of nothing": (zipped({}), "It has no files"),
    "too deep": (zipped({"a.zip": zipped({"b.zip": zipped({"conversations.json": []})})}), "has no conversations.json"),
    "a bomb": (zipped({"conversations.json": b" " * (40 << 20)}), "more than 16 MB when unpacked, from 0.0 MB"),
    "a bomb that lies": (lying(), "damaged one|more than 16 MB"),
    "not JSON": (zipped({"conversations.json": "{"}), "export.zip: conversations.json: not valid JSON"),
    "not UTF-8": (zipped({"conversations.json": b"\xff\xfe"}), "export.zip: conversations.json: not UTF-8 text"),
    "an id twice": (
        zipped({"conversations-0.json": [chatgpt("a")], "conversations-1.json": [chatgpt("a", "more")]}),
        "conversation 2 .* conversation 1 has the same id, 'a'",
    ),
}


@pytest.mark.parametrize(("content", "said"), REFUSED.values(), ids=REFUSED)
def test_a_zip_that_cannot_be_read_says_what_to_do(tmp_path, content, said):
    with pytest.raises(ConfigError, match=said) as error:
        read(tmp_path, content)
    assert "export.zip: " in str(error.value)


def test_all_conversations_together_are_limited(tmp_path, monkeypatch):
    monkeypatch.setattr(export_zip, "_LARGEST", 1000)
    files = {f"conversations-{number}.json": [chatgpt(f"{number}", "x" * 300)] for number in range(4)}
    with pytest.raises(ConfigError, match="when unpacked"):
        read(tmp_path, zipped(files))
