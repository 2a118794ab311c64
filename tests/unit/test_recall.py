"""Search of chunks by meaning, beside a database that has nothing but chunks."""

import sqlite3
from contextlib import closing
from pathlib import Path

import numpy
import pytest
from dreamflow.chunks.recall import ask, embed_known, passages, pieces, place_beside, update_meaning
from dreamflow.errors import DreamflowError
from hypothesis import given, settings
from hypothesis import strategies as st

CHUNKS = {
    "b_flat_0": ("The flat", "2026-01-18", "user: The neighbour's television is loud.\nassistant: Try a bookcase.\n"),
    "b_flat_1": ("The flat", "2026-01-18", "user: Tomatoes?\nassistant: Twenty litres of soil for each plant.\n"),
    "b_health_0": ("健康", "2026-03-02", "user: 下个月我妈要来住,她有点高血压\nassistant: 一个人一天不超过 5 克盐。\n"),
    "b_move_0": ("", None, "user: 引っ越しの費用を抑えたい\nassistant: 三月下旬は高い時期です。\n"),
}


@pytest.fixture
def database(tmp_path: Path) -> Path:
    """A database of the chunks, with vectors."""
    path = tmp_path / "dreamflow.sqlite"
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("CREATE TABLE chunks (id TEXT, title TEXT, time TEXT, content TEXT, path TEXT)")
        rows = [(name, title, time, text, "chunks.html") for name, (title, time, text) in CHUNKS.items()]
        connection.executemany("INSERT INTO chunks VALUES (?, ?, ?, ?, ?)", rows)
    assert f"vectors of {len(CHUNKS)} chunks made" in update_meaning(path)
    return path


def change(path: Path, sql: str, *values: str) -> None:
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(sql, values)


def test_a_question_finds_other_words_of_the_same_meaning_in_any_language(database: Path) -> None:
    questions = {
        "How can I hear less noise from next door?": "b_flat_0",
        "怎样少吃盐来降血压?": "b_health_0",
        "いつ引っ越すと安いですか": "b_move_0",
        "How much salt may an old person eat?": "b_health_0",
        "litres": "b_flat_1",
    }
    assert {question: ask(database, question)[0].id for question in questions} == questions


def test_hits_show_the_passage_and_where_it_is(database: Path) -> None:
    hit = ask(database, "How much soil does a plant need?", limit=1)[0]
    assert (hit.kind, hit.id, hit.title, hit.path, hit.date) == (
        "chunks", "b_flat_1", "The flat", "chunks.html", "2026-01-18",
    )  # fmt: skip
    assert "Twenty litres of soil" in hit.snippet and "\n" not in hit.snippet
    assert ask(database, "引っ越し", limit=1)[0].title == "b_move_0"
    found = passages(database, "soil")
    assert [p.score for p in found] == sorted((p.score for p in found), reverse=True)
    assert all(p.text == CHUNKS[p.chunk][2][p.start : p.end] for p in found)


def test_a_month_is_found(database: Path) -> None:
    sql = "INSERT INTO chunks VALUES (?, '', ?, 'user: We walked round the lake.', 'chunks.html')"
    for month in ("05", "06", "07"):
        change(database, sql, f"b_walk_{month}", f"2026-{month}-03T10:00:00Z")
    update_meaning(database)
    assert ask(database, "the walk in June 2026")[0].id == "b_walk_06"
    assert ask(database, "6月的散步")[0].id == "b_walk_06"


def test_only_what_has_changed_is_read_again(database: Path) -> None:
    assert update_meaning(database) == ""
    change(database, "UPDATE chunks SET content = 'user: My bicycle was stolen.' WHERE id = 'b_flat_0'")
    change(database, "DELETE FROM chunks WHERE id = 'b_move_0'")
    assert ask(database, "引っ越しの費用")  # a chunk that is gone is not shown
    assert "vectors of 1 chunks made, of 2 removed" in update_meaning(database)
    assert ask(database, "theft of a bike")[0].id == "b_flat_0"
    assert {hit.id for hit in ask(database, "loud television")} == {"b_flat_0", "b_flat_1", "b_health_0"}


def test_vectors_that_are_there_are_not_made_again(database: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    known, new = CHUNKS["b_flat_0"][2], "Nobody has said this yet."
    there = embed_known(database)([new, known, new])
    missing = embed_known(database.with_name("none.sqlite"))([new, known, new])
    assert there.shape == (3, 512) and numpy.allclose(there, missing, atol=1e-3)
    assert embed_known(database)([]).shape == (0, 512)
    monkeypatch.setattr("dreamflow.embedding.embed", lambda texts: numpy.zeros((len(texts), 512)))
    assert (embed_known(database)([known]) == there[1:2]).all()


def test_a_damaged_file_is_made_anew_and_a_missing_one_is_asked_for(database: Path) -> None:
    place_beside(database).write_bytes(b"no database")
    with pytest.raises(DreamflowError, match="it cannot be read"):
        ask(database, "soil")
    assert update_meaning(database)
    assert ask(database, "soil")[0].id == "b_flat_1"
    place_beside(database).unlink()
    with pytest.raises(DreamflowError, match="Run `snakemake database`"):
        ask(database, "soil")


def test_without_words_or_chunks(database: Path) -> None:
    assert len(ask(database, "?!")) == len(CHUNKS)
    change(database, "DELETE FROM chunks")
    update_meaning(database)
    assert ask(database, "soil") == []


@settings(max_examples=30)
@given(st.text(alphabet="ab .!。?\n\r\x85長い", max_size=400))
def test_pieces_partition_a_text(text: str) -> None:
    spans = pieces(text)
    assert "".join(text[start:end] for start, end in spans) == text
    assert all(start < end for start, end in spans)
