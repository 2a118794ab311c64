"""Every format is read, nothing said is lost, and what cannot be read is refused by name, line and reason."""

import json

import pytest
from dreamflow.chunks.readers import list_conversations, read_conversations
from dreamflow.errors import ConfigError
from hypothesis import given, settings
from hypothesis import strategies as st


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("conversations")


def read(folder, name, written):
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(written if isinstance(written, bytes) else written.encode("utf-8", "surrogatepass"))
    try:
        return read_conversations(path, folder)
    finally:
        path.unlink()


def check_partition(conversation):
    place = 0
    for number, turn in enumerate(conversation.turns, 1):
        assert (turn.number, turn.start) == (number, place)
        assert turn.start <= turn.content_start <= turn.end
        place = turn.end
    assert place == len(conversation.text)
    conversation.text.encode()


def content(conversation, turn):
    """The words of a turn: without its header, and without its final line break (LF or CR LF)."""
    words = conversation.text[turn.content_start : turn.end]
    return words.removesuffix("\n").removesuffix("\r") if words.endswith("\n") else words


def said(conversation):
    check_partition(conversation)
    return [(turn.role, content(conversation, turn)) for turn in conversation.turns]


def lines(*turns):
    return "\n".join(json.dumps(turn) for turn in turns)


# --- JSON Lines


def test_json_lines(folder):
    (talk,) = read(
        folder,
        "garden/soil.jsonl",
        "\ufeff"
        + lines(
            {"role": "system", "content": "Be kind.", "temperature": 1, "deep": [[[[{}]]]]},
            {"role": "user", "content": "你好\nuser: no turn", "time": "2024-05-01T10:00:00Z", "id": "t1"},
            {"role": "human", "content": "", "time": 1714557600},
            {"role": "Model", "content": None, "time": 1714557600000, "id": 7},
            {"role": "a\r\nb:\u2028 c", "content": [{"type": "text", "text": "A"}, {"type": "image_url"}], "time": [1]},
        )
        + "\n\n",
    )
    assert said(talk) == [
        ("system", "Be kind."),
        ("user", "你好\nuser: no turn"),
        ("user", ""),
        ("assistant", ""),
        ("a b: c", "A\n[image]"),
    ]
    assert talk.text.startswith("system: Be kind.\nuser: 你好\nuser: no turn\nuser: \nassistant: \na b: c: A\n")
    assert [turn.time for turn in talk.turns] == [None, *["2024-05-01T10:00:00Z"] * 3, None]
    assert [turn.turn_id for turn in talk.turns] == [None, "t1", None, "7", None]
    assert (talk.conversation_id, talk.title, talk.source) == ("soil", "", "garden/soil.jsonl")


@pytest.mark.parametrize("name", ["a.ndjson", "a.json", "a.txt", "a.JSONL"])
def test_json_lines_are_told_by_their_content(folder, name):
    (talk,) = read(folder, name, lines({"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}))
    assert said(talk) == [("user", "a"), ("assistant", "b")]


def test_a_json_list_of_turns(folder):
    (talk,) = read(folder, "a.json", json.dumps([{"role": "user", "content": "a"}, {"role": "ai", "content": 5}]))
    assert said(talk) == [("user", "a"), ("assistant", "5")]


CONTENT = st.text(alphabet=st.characters(codec=None, exclude_categories=()))


@settings(deadline=None)
@given(st.lists(st.tuples(CONTENT, CONTENT), min_size=1))
def test_json_lines_lose_nothing(folder, turns):
    (talk,) = read(folder, "any.jsonl", lines(*({"role": role, "content": words} for role, words in turns)))
    # json joins the halves of a pair that stand together; what stays is half a character.
    expected = [json.loads(json.dumps(words)) for _, words in turns]
    expected = ["".join("\ufffd" if "\ud800" <= char <= "\udfff" else char for char in words) for words in expected]
    check_partition(talk)
    assert [talk.text[turn.content_start : turn.end] for turn in talk.turns] == [words + "\n" for words in expected]
    assert all("\n" not in talk.text[turn.start : turn.content_start] for turn in talk.turns)


# --- exports


def node(name, parent, role, *parts, children=("x",), **message):
    author = {"role": role}
    body = {"id": f"m-{name}", "author": author, "content": {"content_type": "text", "parts": list(parts)}, **message}
    return {"id": name, "parent": parent, "children": list(children), "message": body}


def chatgpt(**changes):
    mapping = {
        "root": {"id": "root", "parent": None, "children": ["s"], "message": None},
        "s": node("s", "root", "system", "", metadata={"is_visually_hidden_from_conversation": True}),
        "q": node("q", "s", "user", {"content_type": "image_asset_pointer", "asset_pointer": "file"}, "What is it?"),
        "old": node("old", "q", "assistant", "A dog.", children=()),
        "new": node("new", "q", "assistant", "A cat.", create_time=1714557600.5),
        "tool": node("tool", "new", "tool", children=(), content={"content_type": "code", "text": "print(1)"}),
    }
    return {"title": "Cats\n& dogs", "conversation_id": "c-1", "mapping": mapping, "current_node": "tool", **changes}


def test_chatgpt_export(folder):
    (talk,) = read(folder, "conversations.json", json.dumps([chatgpt()]))
    assert said(talk) == [("user", "[image]\nWhat is it?"), ("assistant", "A cat."), ("tool", "print(1)")]
    assert [(turn.time, turn.turn_id) for turn in talk.turns][1] == ("2024-05-01T10:00:00Z", "m-new")
    assert (talk.conversation_id, talk.title) == ("c-1", "Cats & dogs")
    (other,) = read(folder, "conversations.json", json.dumps(chatgpt(current_node="old")))
    assert said(other)[-1] == ("assistant", "A dog.")
    (without,) = read(folder, "conversations.json", json.dumps([chatgpt(current_node=None, conversation_id=None)]))
    assert said(without) == said(talk)
    assert without.conversation_id == "conversations-1"


def test_chatgpt_export_in_a_circle(folder):
    broken = chatgpt()
    broken["mapping"]["q"]["parent"] = "tool"
    with pytest.raises(ConfigError, match=r"conversation 2 \('Cats & dogs'\): its messages form a cycle"):
        read(folder, "conversations.json", json.dumps([chatgpt(conversation_id="other"), broken]))


def claude(*messages, **changes):
    return {"uuid": "u-1", "name": "Bread", "account": {"uuid": "x"}, "chat_messages": list(messages), **changes}


def test_claude_export(folder):
    pasted = {"file_name": "notes.txt", "extracted_content": "Line one\nLine two"}
    (talk,) = read(
        folder,
        "conversations.json",
        json.dumps(
            [
                claude(
                    {"uuid": "m1", "sender": "human", "text": "Hi", "content": [], "attachments": [pasted]},
                    {
                        "sender": "assistant",
                        "text": "not this",
                        "created_at": "2024-05-01T10:00:00.123Z",
                        "content": [
                            {"type": "thinking", "thinking": "Hm."},
                            {"type": "text", "text": "Hello"},
                            {"type": "tool_use", "name": "search", "input": {}},
                            {"type": "tool_result", "content": [{"type": "text", "text": "found"}]},
                        ],
                    },
                    {"sender": "human", "text": ""},
                ),
                claude(uuid="empty"),
            ]
        ),
    )
    assert said(talk) == [
        ("user", "Hi\n[file: notes.txt]\nLine one\nLine two"),
        ("assistant", "Hm.\nHello\n[tool: search]\nfound"),
        ("user", ""),
    ]
    assert (talk.turns[0].turn_id, talk.turns[1].time) == ("m1", "2024-05-01T10:00:00.123Z")
    assert (talk.conversation_id, talk.title) == ("u-1", "Bread")


def test_two_conversations_of_an_export_with_one_id(folder):
    message = {"sender": "human", "text": "a"}
    with pytest.raises(ConfigError, match=r"conversation 3 .* conversation 1 has the same id, 'u-1'"):
        read(folder, "conversations.json", json.dumps([claude(message), claude(message, uuid="b"), claude(message)]))


# --- text and Markdown

TEXTS = {
    "plain": ("User: hi\nthere\n\nAssistant: hello\n", [("user", "hi\nthere\n"), ("assistant", "hello")]),
    "other names, any case": ("HUMAN: a\nai: b\nYou: c\n", [("user", "a"), ("assistant", "b"), ("user", "c")]),
    "CRLF and BOM": ("\ufeffUser: a\r\nb\r\nAI:\r\nc", [("user", "a\r\nb"), ("assistant", "c")]),
    "Chinese": ("用户：你好\n助手:你好！\n", [("user", "你好"), ("assistant", "你好！")]),
    "Japanese": ("ユーザー：はい\nアシスタント： どうも", [("user", "はい"), ("assistant", "どうも")]),
    "headings": (
        "# Soil\n\n## User\n\nhi\n\n### User\n## 🤖 Assistant:\n    x = 1\n",
        [("text", "# Soil\n"), ("user", "hi\n\n### User"), ("assistant", "    x = 1")],
    ),
    "bold": ("**User:** a\n**Assistant**: b\n__Human__\nc", [("user", "a"), ("assistant", "b"), ("user", "c")]),
    "copied from a page": ("You said:\na\nChatGPT said:\nb", [("user", "a"), ("assistant", "b")]),
    "empty turns": ("User:\n\nAI:\nUser: \n", [("user", ""), ("assistant", ""), ("user", "")]),
    "a system prompt, and a system": (
        "System: Be kind.\nUser: My PC:\nSystem: Windows\nAI: ok",
        [("system", "Be kind."), ("user", "My PC:\nSystem: Windows"), ("assistant", "ok")],
    ),
    "a quoted dialogue": ("## User\nUser: a\nAI: b\n## AI\nok", [("user", "User: a\nAI: b"), ("assistant", "ok")]),
    "labels in code": (
        "User: ```\nAI: no\n```\nAI: ~~~\nUser: no\n~~~",
        [("user", "```\nAI: no\n```"), ("assistant", "~~~\nUser: no\n~~~")],
    ),
    "code that is never closed": ("User: ```py\nAI: yes", [("user", "```py"), ("assistant", "yes")]),
    "transcript": (
        "Ana: a\nBob Lee: b\nmore\nAna: c\nBob Lee: d",
        [("Ana", "a"), ("Bob Lee", "b\nmore"), ("Ana", "c"), ("Bob Lee", "d")],
    ),
    "no speakers": ("Note: a\nb. See https://x.y\nAI: c\n", [("text", "Note: a\nb. See https://x.y\nAI: c")]),
    "words before all": ("A talk.\nUser: a\nAI: b", [("text", "A talk."), ("user", "a"), ("assistant", "b")]),
    "controls": ("User: a long line\0b\x0c\x85\u2028AI: c\n", [("user", "a long line\0b\x0c\x85\u2028AI: c")]),
}  # fmt: skip


@pytest.mark.parametrize("name", ["talk.md", "talk.txt"])
@pytest.mark.parametrize(("text", "expected"), TEXTS.values(), ids=TEXTS)
def test_text(folder, name, text, expected):
    (talk,) = read(folder, name, text)
    assert talk.text == text
    assert said(talk) == expected


def test_title_of_a_markdown_file(folder):
    assert read(folder, "a.md", "\ufeff# Soil  and  water\nUser: a\nAI: b")[0].title == "Soil and water"
    assert read(folder, "a.md", "User: a\n# Soil\nAI: b")[0].title == ""


LABELS = st.sampled_from(
    ["User: ", "\nAI:", "## User\n", "\n**Human:** ", "\n助手：", "```\n", "\r\n", "\ufeff", "A: ", "\n"]
)
ANY_TEXT = st.text() | st.lists(LABELS | st.text(max_size=5), max_size=30).map("".join)


@settings(deadline=None)
@given(ANY_TEXT.filter(lambda text: text.removeprefix("\ufeff").strip()))
def test_any_text_is_kept_or_refused_as_binary(folder, text):
    try:
        (talk,) = read(folder, "any.txt", text)
    except ConfigError as error:
        assert "binary" in str(error)
        return
    check_partition(talk)
    assert talk.text == text


@pytest.mark.parametrize(
    "piece",
    [
        "User: a\n",
        "User: ```py\n",
        "User:\n   ",
        "Ab Cd Ef: x\n",
        "a",
        "#",
        "**",
        "`",
        "~~~\n",
        " ",
        "[",
        "```\nUser:\n",
    ],
)
def test_half_a_megabyte_of_anything_is_read(folder, piece):
    # No clock: what is not linear would need minutes here.
    text = "x\n" + piece * (500_000 // len(piece))
    (talk,) = read(folder, "long.md", text)
    check_partition(talk)
    assert talk.text == text
    (talk,) = read(folder, "long.jsonl", lines({"role": "user", "content": text}))
    assert said(talk) == [("user", text)]


# --- what is refused

REFUSED = {
    "binary": ("a.txt", b"\x89PNG\r\n\x1a\n\0\0", r"a\.txt: not UTF-8 text but binary, .* \(byte 0\)"),
    "binary that is UTF-8": ("a.txt", b"ab\0\0\0cd\1\2", "a binary file"),
    "UTF-16 that is cut off": ("a.txt", "User: a".encode("utf-16")[:-1], "UTF-16, but damaged at byte 14; save it as"),
    "a page without a chat": ("a.html", "<!DOCTYPE html><p>User: a</p>", r"a\.html: an HTML page without a chat"),
    "empty": ("a.md", "\ufeff \n", "an empty file"),
    "no line": ("a.jsonl", "", "an empty file"),
    "broken line": ("a.jsonl", '{"role": "user", "content": "a"}\n\n{"role": "us', r"a\.jsonl:3: not valid JSON: U"),
    "line that is no turn": ("a.jsonl", '{"role": "user", "content": "a"}\n[1]', r"a\.jsonl:2: a turn must be"),
    "no content": ("a.jsonl", '{"role": "user"}', r"a\.jsonl:1: a turn must be"),
    "role that is no text": ("a.jsonl", '{"role": 1, "content": ""}', r"a\.jsonl:1: a turn must be"),
    "deep line": ("a.jsonl", "[" * 100_000, r"a\.jsonl:1: the JSON is nested too deeply"),
    "deep blocks": ("a.jsonl", '{"role": "user", "content": ' + "[" * 50 + "]" * 50 + "}", r"l:1: content.*: blocks"),
    "huge number": ("a.jsonl", '{"role": "user", "content": ' + "9" * 5000 + "}", r"a\.jsonl:1: not valid JSON"),
    "broken export": ("conversations.json", '[{"mapping": {}},\n {"x"', r"conversations\.json: not valid .* line 2"),
    "another JSON file": ("a.json", '{"email": "a@b.c"}', "expected an export"),
    "a JSON list of others": ("a.json", "[1, 2]", "expected an export"),
    "an empty JSON list": ("a.json", "[]", "expected an export"),
    "odd mapping": ("a.json", '{"mapping": [1]}', "its mapping is not"),
    "odd messages": ("a.json", '{"chat_messages": [1]}', "chat_messages is not a list"),
}  # fmt: skip


@pytest.mark.parametrize(("name", "written", "message"), REFUSED.values(), ids=REFUSED)
def test_refused(folder, name, written, message):
    with pytest.raises(ConfigError, match=message) as caught:
        read(folder, name, written)
    assert len(str(caught.value)) < 500


def test_no_file_and_no_folder(tmp_path):
    with pytest.raises(ConfigError, match="cannot be read"):
        read_conversations(tmp_path / "a.txt", tmp_path)
    with pytest.raises(ConfigError, match="no such folder"):
        list_conversations(tmp_path / "nothing")


# --- folders and ids


def test_list_conversations(tmp_path):
    def write(name, text):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")

    write("b.md", "User: b")
    write("deep/er/a.jsonl", lines({"role": "user", "content": "a"}))
    write("export/conversations.json", json.dumps([chatgpt(), chatgpt(conversation_id="c-0")]))
    write("export/user.json", '{"email": "of its owner"}')
    write("export/picture.png", "no text")
    for name in ("README.md", ".hidden.md", ".git/x.md"):
        write(name, "not a conversation")
    found = list_conversations(tmp_path)
    assert list(found) == ["a", "b", "c-0", "c-1"]
    assert [talk.source for talk in found.values()] == [
        "deep/er/a.jsonl",
        "b.md",
        "export/conversations.json",
        "export/conversations.json",
    ]
    assert all(talk.conversation_id == key for key, talk in found.items())
    assert list_conversations(tmp_path) == found

    write("export/b.txt", "User: another")
    with pytest.raises(
        ConfigError, match=r"two conversations have the id 'b': in .*b\.md and in .*export/b\.txt; rename"
    ):
        list_conversations(tmp_path)


@pytest.mark.parametrize(
    "raw", ["../../x", "/etc/passwd", "..", "a/b", "a\\b", "", ".hidden", "旅行", "a" * 200, "x\0y", "-a"]
)
def test_an_id_never_becomes_a_path(folder, raw):
    (talk,) = read(
        folder, "conversations.json", json.dumps([claude({"sender": "human", "text": "a"}, uuid=raw, name="")])
    )
    assert talk.conversation_id.isascii()
    assert talk.conversation_id[0].isalnum()
    assert not set(talk.conversation_id) & set("/\\\0")
    assert ".." not in talk.conversation_id
    assert len(talk.conversation_id) <= 80
    assert talk.title == raw


def test_ids_that_cannot_be_file_names_stay_apart(folder):
    message = {"sender": "human", "text": "a"}
    talks = read(
        folder,
        "conversations.json",
        json.dumps([claude(message, uuid=raw) for raw in ("../x", "/../x", "旅", "行", "x")]),
    )
    ids = [talk.conversation_id for talk in talks]
    assert len(set(ids)) == 5
    assert ids[4] == "x"
    assert all(one.startswith(("x-", "conversation-")) for one in ids[:4])


def test_a_file_name_that_is_no_id(folder):
    (talk,) = read(folder, "旅行计划.md", "User: a")
    assert talk.conversation_id.startswith("conversation-")
    assert (talk.title, talk.source) == ("旅行计划", "旅行计划.md")
