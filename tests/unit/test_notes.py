"""Notes: which answers are refused, what is superseded and contradicted, and how notes carry over between versions."""

import json
from pathlib import Path
from typing import Any

import pytest
from dreamflow.chunks import note_parser
from dreamflow.chunks.archive import build_archive
from dreamflow.chunks.conversation import Archive, Chunk, Conversation, Turn
from dreamflow.chunks.notes import check_notes, consolidate, dates_of, plan_notes
from dreamflow.chunks.sources import chunk_sources
from dreamflow.chunks.units import split_units
from dreamflow.database.build import update_database
from dreamflow.database.search import search
from dreamflow.errors import DreamflowError
from dreamflow.files import pretty, write_atomic
from dreamflow.generation.parsers.base import ParseError

SAID = {
    "move": ("2026-02-11T10:00:00Z", ["I moved to Turin last week.", "My rent is 700 euros.", "Nothing else is new."]),
    "later": ("2026-05-04T10:00:00Z", ["Yesterday I moved to Genoa.", "The rent there is 650 euros."]),
}
IDS = ["b_move_0", "b_move_1", "b_later_0"]


def conversation(name: str) -> Conversation:
    time, words = SAID[name]
    turns, text = [], ""
    for number, said in enumerate(words, 1):
        part = f"user: {said}\n"
        turns.append(Turn(number, "user", len(text), len(text) + len(part), len(text) + 6, time))
        text += part
    return Conversation(name, text, tuple(turns))


TALKS = {name: conversation(name) for name in SAID}


def archive(name: str, *lasts: int) -> Archive:
    """An archive whose chunks end with these turns."""
    units = split_units(TALKS[name])
    made_by = {"method": "rules", "quality_level": "basic"}
    firsts = [1, *(last + 1 for last in lasts[:-1])]
    chunks = [Chunk(a, b, (), (), "", "", None, made_by) for a, b in zip(firsts, lasts, strict=True)]
    return build_archive(TALKS[name], units, chunks)


ARCHIVES = [archive("move", 1, 3), archive("later", 2)]


def turns_of(name: str) -> tuple[Turn, ...]:
    return TALKS[name].turns


def parsed(answer: Any, ids: list[str] = IDS) -> dict[str, Any]:
    text = answer if isinstance(answer, str) else json.dumps(answer)
    return json.loads(note_parser.notes(text, {"ids": ids}).text)


def note(claim: str, *chunks: str, **days: str) -> dict[str, Any]:
    return {"claim": claim, "chunks": list(chunks), "from": "", "until": "", **days}


TURIN = note("The user lives in Turin.", "b_move_0", **{"from": "2026-02"})
GENOA = note("The user lives in Genoa.", "b_later_0", **{"from": "2026-05-03"})
CHEAP, DEAR = note("The rent is 650 euros.", "b_later_0"), note("The rent is 700 euros.", "b_move_1")
ANSWER = {
    "notes": [TURIN, GENOA, CHEAP, DEAR],
    "superseded": [{"old": 1, "new": 2}],
    "contradictions": [{"a": 3, "b": 4, "what": "the rent"}],
}


def made(before: Any = (), answer: Any = ANSWER, archives: Any = ARCHIVES) -> dict[str, dict[str, Any]]:
    found = consolidate(before, [("c_1", "n_1", parsed(answer))], archives, turns_of)
    check_notes(found, archives)
    return {one["claim"]: one for one in found}


@pytest.mark.parametrize(
    ("answer", "problem"),
    [
        ({"notes": [note("It rains.")]}, "note 1 cites no passage"),
        ({"notes": [TURIN, note("It rains.", "b_move_0", "b_rain_0")]}, "note 2 cites b_rain_0, which is none"),
        ({"notes": [{**TURIN, "chunks": [3]}]}, "note 1 cites 3"),
        ({"notes": [note("", "b_move_0")]}, "note 1 needs a claim"),
        ({"notes": [note("One fact in one sentence", "b_move_0")]}, "the form was not filled in"),
        ({"notes": [{**TURIN, "from": "last week"}]}, "is no day, month or year"),
        ({"notes": [{**TURIN, "until": "2026-13"}]}, "is no day, month or year"),
        ({"notes": [TURIN], "superseded": [{"old": 1, "new": 2}]}, "have to be the numbers of two notes"),
        ({"notes": [TURIN, GENOA], "contradictions": [{"a": 1, "b": 1}]}, "have to be the numbers of two notes"),
        ({"notes": [TURIN], "superseded": "none"}, "no list of objects"),
        ({"claims": []}, 'no JSON object with a list "notes"'),
        ("I have no notes.", 'no JSON object with a list "notes"'),
        ({"notes": [TURIN] * 101}, "at most 100"),
    ],
)
def test_an_answer_that_cites_nothing_that_is_there_is_refused(answer: Any, problem: str) -> None:
    with pytest.raises(ParseError, match=problem):
        parsed(answer)


def test_answers_are_read_in_the_forms_that_models_give() -> None:
    assert parsed({"notes": []}) == {"notes": [], "superseded": [], "contradictions": []}
    said = parsed(f"<think>Hm.</think>\n```json\n{json.dumps([{**TURIN, 'chunks': 'b_move_0'}])}\n```")["notes"]
    assert said == [
        {"claim": TURIN["claim"], "chunk_ids": ["b_move_0"], "valid_from": "2026-02", "valid_to": None}
    ]  # fmt: skip
    assert parsed({**ANSWER, "superseded": [{"old": "1", "new": 2}]})["superseded"] == [{"old": 1, "new": 2}]
    assert parsed({"notes": [{**TURIN, "from": "2026-02-03T10:00"}]})["notes"][0]["valid_from"] == "2026-02-03"


def test_passages_show_which_days_their_relative_dates_mean() -> None:
    plan = plan_notes([{"id": "c_1", "related_chunks": IDS}], ARCHIVES, turns_of)
    (cluster,) = plan["clusters"]
    assert cluster["chunks"] == IDS
    assert (
        'b_move_0, 2026-02-11T10:00:00Z\n> user: I moved to Turin last week.\nDates: "last week" is 2026-02-02/'
        in (cluster["passages"])
    )
    assert dates_of(ARCHIVES[1]["b_chunks"][0], turns_of) == [{"text": "Yesterday", "date": "2026-05-03"}]


def test_what_is_superseded_ends_and_stays_and_contradictions_are_both_shown() -> None:
    found = made()
    turin, genoa = found[TURIN["claim"]], found[GENOA["claim"]]
    assert (turin["status"], turin["superseded_by"]) == ("superseded", [genoa["id"]])
    assert (turin["valid_from"], turin["valid_to"], genoa["valid_from"]) == ("2026-02", "2026-05-03", "2026-05-03")
    assert genoa["status"] == "active" and genoa["dates_resolved"] == [{"text": "Yesterday", "date": "2026-05-03"}]
    cheap, dear = found[CHEAP["claim"]], found[DEAR["claim"]]
    assert cheap["contradicts"] == [{"id": dear["id"], "what": "the rent"}]
    assert dear["contradicts"] == [{"id": cheap["id"], "what": "the rent"}]
    assert dear["valid_from"] == "2026-02-11"  # the day it was said
    assert {cheap["status"], dear["status"]} == {"active"}


def test_notes_carry_over_and_nothing_is_deleted() -> None:
    before = list(made().values())
    again = made(before, {"notes": [{**TURIN, "claim": "The user  lives in TURIN."}]})
    assert len(again) == len(before)
    turin = again["The user lives in TURIN."]
    assert turin["status"] == "superseded" and turin["valid_to"] == "2026-05-03"
    assert list(made(before).values()) == before


def test_chunks_that_were_cut_anew_are_found_again_by_their_place() -> None:
    before = list(made().values())
    anew = [archive("move", 3), archive("later", 1, 2)]
    found = made(before, {"notes": []}, anew)
    assert found[DEAR["claim"]]["chunk_ids"] == ["b_move_0"]
    assert found[GENOA["claim"]]["chunk_ids"] == ["b_later_0", "b_later_1"]
    gone = made(before, {"notes": []}, anew[1:])
    assert gone[DEAR["claim"]]["status"] == "lost" and gone[GENOA["claim"]]["status"] == "active"
    assert made(list(gone.values()), {"notes": []}, anew)[DEAR["claim"]]["status"] == "active"


def test_notes_are_found_in_the_database(tmp_path: Path) -> None:
    notes = {"version": 1, "previous_version": None, "notes": list(made().values())}
    write_atomic(tmp_path / "chunks/notes.json", pretty(notes))
    update_database(tmp_path / "dreamflow.sqlite", chunk_sources(tmp_path))
    hit, *others = search(tmp_path / "dreamflow.sqlite", "genoa", "notes")
    assert (hit.title, hit.date, hit.path, others) == (GENOA["claim"], "2026-05-04T10:00:00Z", "chunks/notes.json", [])


def test_a_chunk_that_does_not_exist_any_more_is_told() -> None:
    with pytest.raises(DreamflowError, match="b_later_0, which does not exist"):
        made((), ANSWER, ARCHIVES[:1])
    wrong = [{**made()[DEAR["claim"]], "chunk_ids": ["b_nowhere_0"]}]
    with pytest.raises(DreamflowError, match="no such chunk"):
        check_notes(wrong, ARCHIVES)
