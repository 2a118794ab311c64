"""Files are whole or absent, equal values have equal digests, names stay in their folder."""

import json
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from dreamflow.errors import ConfigError, DreamflowError
from dreamflow.files import (
    canonical,
    checked_name,
    jsonl,
    pretty,
    read_json,
    read_jsonl,
    sha256,
    write_atomic,
    write_folder,
)
from hypothesis import given
from hypothesis import strategies as st
from project import REPOSITORY

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=5),
    max_leaves=20,
)


@given(st.text(st.characters(exclude_categories=("Cs",))), st.booleans())
def test_a_text_is_written_to_the_byte(tmp_path_factory, text, durable):
    path = tmp_path_factory.getbasetemp() / "deep/er/file.txt"
    write_atomic(path, text, durable=durable)
    assert path.read_bytes() == text.encode()
    assert [file.name for file in path.parent.iterdir()] == ["file.txt"]


def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "file.txt"
    write_atomic(path, "old")
    with pytest.raises(UnicodeEncodeError):
        write_atomic(path, "n" * 100_000 + "\ud800")
    with pytest.raises(TypeError):
        write_atomic(path, None)
    (tmp_path / "folder").mkdir()
    with pytest.raises(OSError):
        write_atomic(tmp_path / "folder", "text")
    assert path.read_text() == "old"
    assert sorted(file.name for file in tmp_path.iterdir()) == ["file.txt", "folder"]


def test_a_reader_sees_one_of_the_texts_and_never_a_part(tmp_path):
    path, done, seen = tmp_path / "file.txt", threading.Event(), set()
    texts = {letter * 200_000 for letter in "abc"}
    write_atomic(path, min(texts))

    def read():
        while not done.is_set():
            seen.add(path.read_text())

    def write(text):
        for _ in range(30):
            write_atomic(path, text)

    reader, writers = threading.Thread(target=read), [threading.Thread(target=write, args=(text,)) for text in texts]
    for thread in [reader, *writers]:
        thread.start()
    for thread in writers:
        thread.join()
    done.set()
    reader.join()
    assert seen <= texts
    assert [file.name for file in tmp_path.iterdir()] == ["file.txt"]


def test_a_folder_has_its_last_file_only_while_all_belong_together(tmp_path):
    folder, done, seen = tmp_path / "deep" / "folder", threading.Event(), []

    def read():
        while not done.is_set():
            try:
                first, text, last = [(folder / name).read_text() for name in ("last.txt", "a.txt", "last.txt")]
            except FileNotFoundError:
                continue
            if first == last:
                seen.append((first, text))

    reader = threading.Thread(target=read)
    reader.start()
    for turn in range(100, 300):
        write_folder(folder, {"a.txt": str(turn) * (400 - turn) * 100, "last.txt": str(turn)})
    done.set()
    reader.join()
    assert all(text == first * (400 - int(first)) * 100 for first, text in seen)
    assert sorted(path.name for path in folder.iterdir()) == ["a.txt", "last.txt"]
    (folder / "a.txt").unlink()
    (folder / "a.txt").mkdir()
    with pytest.raises(IsADirectoryError):  # a folder that could not be written whole has no last file
        write_folder(folder, {"a.txt": "a", "last.txt": "b"})
    assert [path.name for path in folder.iterdir()] == ["a.txt"]


def test_what_a_killed_process_left_in_a_folder_is_removed(tmp_path):
    write_folder(tmp_path, {"a.txt": "a"})
    code = "import os, sys; from dreamflow import files; print(f'.b.txt.{files._HOST}-{os.getpid()}.0')"
    done = subprocess.run(
        [sys.executable, "-c", code], env={"PYTHONPATH": REPOSITORY / "scripts"}, check=True, capture_output=True
    )
    (tmp_path / done.stdout.decode().strip()).write_text("half")
    (tmp_path / f".b.txt.0123abcd-{2**22 + 1}.0").write_text("of another machine")
    write_folder(tmp_path, {"a.txt": "b"})
    assert sorted(path.name for path in tmp_path.iterdir()) == [f".b.txt.0123abcd-{2**22 + 1}.0", "a.txt"]


@pytest.mark.parametrize(("umask", "mode"), [(0o027, 0o640), (0o002, 0o664)])
def test_permissions_follow_the_umask(tmp_path, umask, mode):
    code = f"import os; os.umask({umask}); from dreamflow.files import write_atomic; write_atomic('file.txt', 'x')"
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env={"PYTHONPATH": REPOSITORY / "scripts"}, check=True)
    assert (tmp_path / "file.txt").stat().st_mode & 0o777 == mode


def shuffled(value, random):
    if isinstance(value, dict):
        items = [(key, shuffled(item, random)) for key, item in value.items()]
        return dict(random.sample(items, len(items)))
    return [shuffled(item, random) for item in value] if isinstance(value, list) else value


@given(JSON, st.randoms())
def test_equal_values_have_one_canonical_line(value, random):
    line = canonical(value)
    assert canonical(shuffled(value, random)) == line
    assert canonical(json.loads(pretty(value))) == line  # a value that went through a file
    assert "\n" not in line
    assert json.loads(line) == value
    assert sha256(line) == sha256(canonical(shuffled(value, random)))


@given(JSON, JSON)
def test_different_values_have_different_lines(one, other):
    assert one == other or canonical(one) != canonical(other)


@pytest.mark.parametrize(
    "name",
    [
        "../x",
        "..",
        ".",
        "/etc/passwd",
        "",
        "a/b",
        "a\\b",
        "a\0b",
        "a" * 129,
        ".hidden",
        "-rf",
        "a b",
        "é",
        "a\n",
        "C:x",
    ],
)
def test_path_tricks_are_refused_by_what_they_are(name):
    with pytest.raises(ConfigError, match=r"^concept '.*' cannot be used as a file name"):
        checked_name(name, "concept")


@given(st.text("aZ0._-/\\~: \0\né", max_size=140) | st.from_regex(r"[a-z0-9][\w.-]*", fullmatch=True))
def test_an_accepted_name_is_one_part_of_a_path(name):
    try:
        checked_name(name, "name")
    except ConfigError:
        return
    assert Path("/folder", name).resolve() == Path("/folder") / name
    assert Path(name).parts == (name,)
    assert name.isascii() and 0 < len(name) <= 128


ROWS = st.lists(st.dictionaries(st.text(), JSON, max_size=3).filter(bool), max_size=4)


@given(ROWS)
def test_json_lines_come_back_as_they_were(tmp_path_factory, rows):
    path = tmp_path_factory.getbasetemp() / "rows.jsonl"
    write_atomic(path, jsonl(rows))
    assert read_jsonl(path) == rows  # U+2028 and U+0085 end no line


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b'{"a": 1}\n{"a": 2', "rows.jsonl:2: damaged: not valid JSON: Expecting"),
        (b'{"a": "\xff"}', r"rows.jsonl: damaged: not UTF-8 text \(byte 7\)"),
        (b"[" * 100_000, "rows.jsonl:1: damaged: not valid JSON: maximum recursion"),
    ],
)
def test_a_damaged_file_is_named_with_what_to_do(tmp_path, content, problem):
    path = tmp_path / "rows.jsonl"
    path.write_bytes(content)
    with pytest.raises(DreamflowError, match=rf"{problem}.*\. Delete rows\.jsonl and run again"):
        read_jsonl(path)
    with pytest.raises(DreamflowError, match=r"rows\.jsonl: damaged: not .*\. Delete rows\.jsonl and run again"):
        read_json(path)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(DreamflowError, match=r"no\.json: no such file; run Snakemake again"):
        read_json(tmp_path / "no.json")


@given(JSON | st.floats() | st.lists(st.floats(1e-9, 1e-3)))
def test_readable_json_is_that_of_the_standard_library(value):
    assert pretty(value) == json.dumps(value, sort_keys=True, ensure_ascii=False, indent=2) + "\n"
