"""Exports of chats are read from the zip as it was downloaded, and a zip that is something else says what to do."""

import io
import json
import zipfile
from pathlib import Path

import pytest
from dreamflow.chunks.readers import conversation_files, export_zip, list_conversations, read_file
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


SAMPLES = Path(__file__).parent / "conversations"


@pytest.mark.parametrize(
    ("content", "ids"),
    [
        (zipped({"chat-1.json": (SAMPLES / "mistral.json").read_bytes(), "chat-1-files/map.pdf": b"%PDF"}), ["chat-7"]),
        (
            zipped({"ttl/30d/x/prod-grok-backend.json": (SAMPLES / "grok.json").read_bytes(), "ttl/auth.json": {}}),
            ["g-1"],
        ),
        (
            zipped({"Takeout/My Activity/Gemini Apps/MyActivity.json": (SAMPLES / "gemini_takeout.json").read_bytes()}),
            ["gemini-2025-05-01", "gemini-2025-05-02"],
        ),
        (zipped({"2023/conversations.json": [chatgpt("a")], "2024/conversations.json": [chatgpt("b")]}), ["a", "b"]),
        (zipped({"conversations_2023.json": [chatgpt("a")], "conversations_2024.json": [chatgpt("b")]}), ["a", "b"]),
        (zipped({"one/chat.json": [chatgpt("")], "two/chat.json": [chatgpt("")]}), ["one-chat-1", "two-chat-1"]),
        (zipped({"a.jsonl": (SAMPLES / "claude_code.jsonl").read_bytes()}), ["s-1", "s-1-agent-s1"]),
        (
            zipped({"a.md": "## User\nhi\n## AI\nyo", "b.txt": "User: a\nAI: b", "README.md": "User: a\nAI: b"}),
            ["a", "b"],
        ),
        (zipped({"conversations.json": [chatgpt("a")], "notes.md": "## User\nhi\n## AI\nyo"}), ["a"]),
    ],
)
def test_downloads_of_other_sites_and_of_several_years(tmp_path, content, ids):
    assert list(read(tmp_path, content)) == ids


def test_two_states_of_a_conversation_in_a_zip_are_both_read(tmp_path):
    older, newer = chatgpt("a") | {"update_time": 1714557600}, chatgpt("a", "more") | {"update_time": 1714557700}
    (tmp_path / "a.zip").write_bytes(zipped({"conversations-0.json": [older], "conversations-1.json": [newer]}))
    read_twice = read_file(tmp_path / "a.zip", tmp_path).conversations
    assert [(talk.conversation_id, talk.updated) for talk in read_twice] == [
        ("a", "2024-05-01T10:00:00Z"),
        ("a", "2024-05-01T10:01:40Z"),
    ]


def test_what_is_not_understood_in_a_zip_loses_nothing_else(tmp_path):
    strange = chatgpt("b") | {
        "mapping": {"a": {"message": {"author": {"role": "user"}, "content": {"sung": "la la la"}}}}
    }
    files = {"conversations-0.json": [chatgpt("a"), strange, chatgpt("c")], "conversations-1.json": "{"}
    (tmp_path / "a.zip").write_bytes(zipped(files | {"conversations-2.json": [chatgpt("d")], "other.json": [1]}))
    found = read_file(tmp_path / "a.zip", tmp_path)
    assert [talk.conversation_id for talk in found.conversations] == ["a", "c", "d"]
    (one, two) = found.problems
    assert "a.zip: conversations-0.json: conversation 2 ('B'): mapping.a.message.content: " in one
    assert "a.zip: conversations-1.json: not valid JSON" in two


def test_an_export_of_slack_is_read_from_its_zip_as_from_its_folder(tmp_path):
    folder = SAMPLES / "slack"
    files = {f"My Slack/{path.relative_to(folder).as_posix()}": path.read_bytes() for path in folder.rglob("*.json")}
    zipped_talks = read(tmp_path, zipped(files))
    unpacked = list_conversations(folder)
    assert [(talk.text, talk.turns, talk.title) for talk in zipped_talks.values()] == [
        (talk.text, talk.turns, talk.title) for talk in unpacked.values()
    ]
    assert [path.name for path in conversation_files(folder)] == ["2025-01-08.json"]


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
    "not UTF-8": (zipped({"conversations.json": b"\xff\xfe\x00"}), "export.zip: conversations.json: not UTF-8 text"),
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
