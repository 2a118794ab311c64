"""Archives: what is in them, that nothing is lost, versions, the manifest, the page and the result of a run."""

import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from chat import chunk, conversation, model, talks
from dreamflow.chunks.archive import (
    build_archive,
    check_archive,
    chunks_of,
    read_latest,
    read_version,
    usage_of,
    write_archive,
)
from dreamflow.chunks.clusters import build_clusters, check_clusters, cluster_units, with_description
from dreamflow.chunks.paid import NONE, NOTHING_LEFT
from dreamflow.chunks.render import between, chunks_page
from dreamflow.chunks.result import Change, result_table, task_result, where_to_read
from dreamflow.chunks.rules import chunk_by_rules
from dreamflow.chunks.stitch import PartitionError
from dreamflow.chunks.units import split_units
from dreamflow.errors import ConfigError, DreamflowError
from dreamflow.files import sha256
from dreamflow.generation.model import Result, Usage
from hypothesis import given, settings
from hypothesis import strategies as st

TALK = conversation(
    ("user", "I was billed twice by ACME. What now?"),
    ("assistant", "Ask ACME for a refund."),
    ("user", "顺便问一下，东京的天气怎么样？"),
    ("assistant", "东京今天下雨。"),
    times=["2026-02-13T08:00:00Z", "", "2026-02-13T08:05:00Z", ""],
)
UNITS = split_units(TALK)
RULES = {"method": "rules", "quality_level": "basic"}
SECOND = next(unit.number for unit in UNITS if unit.turn == 3)


def generation(gen_id="g1", tokens=(900, 101), cost=0.003, seconds=1.5, at="2026-02-13T09:00:00+00:00"):
    usage = Usage(prompt_tokens=tokens[0], completion_tokens=tokens[1])
    return Result(gen_id=gen_id, stage="chunk", usage=usage, cost_usd=cost, latency_s=seconds, created_at=at)


def chunks(first=None, second=None):
    return [
        chunk(1, SECOND - 1, "billing", made_by=first or model(), entities=("ACME",), confidence=0.8),
        chunk(SECOND, len(UNITS), "weather", made_by=second or RULES, language="zh", entities=("东京", "ACME")),
    ]


def archive(*args, generations=None):
    return build_archive(TALK, UNITS, chunks(*args), [generation()] if generations is None else generations)


def test_an_archive_has_what_the_design_says():
    made = archive()
    assert made["id"] == "d_talk"
    assert made["quality_level"] == "basic"  # the lowest of its chunks
    assert made["created_at"] == "2026-02-13T09:00:00+00:00"
    assert made["entities"] == ["ACME", "东京"]
    assert made["metadata"]["status"] == "active"
    first, second = made["b_chunks"]
    assert first["id"] == "b_talk_0"
    assert first["parent_id"] == "talk"
    assert first["content"] == "user: I was billed twice by ACME. What now?\nassistant: Ask ACME for a refund.\n"
    assert first["speakers"] == ["user", "assistant"]
    assert (first["quality_level"], first["needs_upgrade"], first["llm_used"]) == ("good", False, "m-good")
    assert (second["quality_level"], second["needs_upgrade"], second["llm_used"]) == ("basic", True, None)
    assert second["language"] == "zh"
    assert second["time_range"] == ["2026-02-13T08:05:00Z", "2026-02-13T08:05:00Z"]
    assert TALK.text[slice(*second["char_range"])] == second["content"]
    assert second["token_range"] == [first["token_range"][1], sum(unit.tokens for unit in UNITS)]
    assert (first["tokens_used"], first["processing_time_ms"], first["cost_usd"]) == (1001, 1500, 0.003)
    assert (second["tokens_used"], second["cost_usd"]) == (0, 0.0)


def test_entities_that_stand_together_twice_are_related():
    parts = [chunk(1, 1, entities=("A", "B")), chunk(2, 2, entities=("B", "A", "C")), chunk(3, len(UNITS))]
    made = build_archive(TALK, UNITS, parts)
    assert made["relationships"] == [
        {"source": "A", "target": "B", "type": "named_together", "chunks": ["b_talk_0", "b_talk_1"]}
    ]


@given(st.integers(0, 10**6), st.integers(0, 10**6))
def test_what_an_answer_took_is_divided_among_its_chunks_without_loss(prompt, answer):
    made = archive(model(), model(), generations=[generation(tokens=(prompt, answer))])
    assert sum(part["tokens_used"] for part in made["b_chunks"]) == prompt + answer
    assert sum(part["processing_time_ms"] for part in made["b_chunks"]) == 1500
    assert sum(part["cost_usd"] for part in made["b_chunks"]) == pytest.approx(0.003)


def test_a_failed_generation_counts_in_the_sums():
    made = archive(generations=[generation(), generation("g-failed", cost=None)])
    assert made["metadata"]["usage"] == {"tokens_used": 2002, "processing_time_ms": 3000, "cost_usd": 0.003}
    assert made["metadata"]["generations"] == ["g-failed", "g1"]


def test_chunks_come_back_from_an_archive_with_what_they_cost():
    made = archive()
    again = build_archive(TALK, UNITS, chunks_of(made), [generation("g2")])
    for before, after in zip(made["b_chunks"], again["b_chunks"], strict=True):
        assert after == before


@settings(deadline=None)
@given(talks)
def test_any_conversation_is_archived_whole(talk):
    units = split_units(talk)
    made = build_archive(talk, units, chunk_by_rules(talk, units, 1, len(units)))
    assert "".join(part["content"] for part in made["b_chunks"]) == talk.text
    check_archive(json.loads(json.dumps(made)))
    chunks_page(talk, made)


def test_content_that_is_not_the_slice_is_refused():
    made = archive()
    for change in (
        {"content": "INVENTED"},
        {"content": made["b_chunks"][0]["content"].upper()},
        {"char_range": [1, 2]},
    ):
        wrong = {**made, "b_chunks": [{**made["b_chunks"][0], **change}, made["b_chunks"][1]]}
        with pytest.raises(PartitionError):
            check_archive(wrong)
    with pytest.raises(PartitionError):
        check_archive({**made, "b_chunks": made["b_chunks"][1:]})


# --- files -----------------------------------------------------------------------------------------------------------


def test_versions_and_their_lifecycle(tmp_path):
    folder = tmp_path / "talk"
    assert write_archive(folder, archive(RULES, RULES, generations=[])) == 1
    assert write_archive(folder, archive()) == 2
    before = (folder / "archive_v1.json").read_bytes()
    assert write_archive(folder, archive(model("premium"), model("premium"))) == 3
    assert (folder / "archive_v1.json").read_bytes() == before
    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest["conversation_id"] == "talk"
    assert manifest["latest_version"] == 3
    assert manifest["versions"]["2"] == {
        "is_latest": False,
        "status": "superseded",
        "storage_location": "cold",
        "previous_version": 1,
        "supersedes_version": 1,
        "superseded_by_version": 3,
        "superseded_at": "2026-02-13T09:00:00+00:00",
    }
    assert manifest["versions"]["3"]["is_latest"]
    assert manifest["versions"]["3"]["superseded_by_version"] is None
    latest = read_latest(folder)
    assert (latest["version"], latest["quality_level"]) == (3, "premium")
    assert latest["metadata"]["supersedes_version"] == 2


def test_the_same_content_is_no_new_version(tmp_path):
    folder = tmp_path / "talk"
    assert write_archive(folder, archive()) == 1
    files = {path.name: (path.read_bytes(), path.stat().st_mtime_ns) for path in folder.iterdir()}
    assert write_archive(folder, archive()) == 1
    assert {path.name: (path.read_bytes(), path.stat().st_mtime_ns) for path in folder.iterdir()} == files
    assert sorted(files) == ["archive_v1.json", "manifest.json"]


def test_chunking_anew_does_not_undo_an_upgrade(tmp_path):
    folder = tmp_path / "talk"
    write_archive(folder, archive(RULES, RULES, generations=[]))
    write_archive(folder, archive())
    assert write_archive(folder, archive(RULES, RULES, generations=[])) == 1
    assert read_latest(folder)["version"] == 2


@pytest.mark.parametrize("torn", ["", '{"latest_version": 1', None])
def test_a_manifest_that_is_torn_or_lost_is_made_again(tmp_path, torn):
    folder = tmp_path / "talk"
    write_archive(folder, archive(RULES, RULES, generations=[]))
    write_archive(folder, archive())
    manifest = folder / "manifest.json"
    whole = manifest.read_text()
    manifest.unlink() if torn is None else manifest.write_text(torn)
    assert read_latest(folder)["version"] == 2
    assert write_archive(folder, archive()) == 2
    assert manifest.read_text() == whole


def test_a_damaged_archive_is_named_and_never_written_over(tmp_path):
    folder = tmp_path / "talk"
    write_archive(folder, archive())
    path = folder / "archive_v1.json"
    for damaged in (path.read_text()[:-40], path.read_text().replace("billed", "charged"), "[]"):
        path.write_text(damaged)
        with pytest.raises(ConfigError, match=r"archive_v1\.json: this archive is damaged"):
            read_latest(folder)
        with pytest.raises(ConfigError, match="damaged"):
            write_archive(folder, archive())
        assert path.read_text() == damaged
        path.unlink()
        assert write_archive(folder, archive()) == 1


def test_names_never_leave_the_folder(tmp_path):
    for name in ("../../escape", "a/b", "..", ""):
        with pytest.raises(ConfigError, match="file name"):
            build_archive(conversation(("user", "Hi."), name=name), *short())
        with pytest.raises(ConfigError, match="file name"):
            write_archive(tmp_path / "talk", {**archive(), "conversation_id": name})
    with pytest.raises(ConfigError, match="not the folder"):
        write_archive(tmp_path / "other", archive())
    assert not list(tmp_path.rglob("*.json"))


def short():
    units = split_units(conversation(("user", "Hi.")))
    return units, [chunk(1, len(units))]


def test_no_archive(tmp_path):
    with pytest.raises(ConfigError, match="snakemake chunks"):
        read_latest(tmp_path / "talk")


# --- the page --------------------------------------------------------------------------------------------------------


class _Text(HTMLParser):
    def __init__(self):
        super().__init__()
        self.tags, self.links, self.ids, self.text = [], [], set(), ""

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        values = dict(attributes)
        self.links += [values["href"]] if "href" in values else []
        self.ids |= {values["id"]} if "id" in values else set()

    def handle_data(self, data):
        self.text += data


def test_the_page_shows_the_words_and_what_is_known_of_each_chunk():
    page = _Text()
    page.feed(chunks_page(TALK, archive()))
    shown = re.sub(r"\s+", " ", page.text)
    for turn in TALK.turns:
        assert TALK.text[turn.content_start : turn.end].strip() in shown
    for words in ("billing", "weather", "m-good", "rules, no model", "0.80", "not measured", "b_talk_1"):
        assert words in shown
    assert {link.removeprefix("#") for link in page.links} - page.ids == {"data:,"}


def test_the_page_marks_cuts_by_size_and_says_times_with_their_zone_and_costs():
    times = ["2026-02-13T23:59:00+08:00", "2026-02-14T00:01:30+08:00"]
    talk = conversation(("user", "What is due?"), ("assistant", "Ask ACME."), times=times)
    made = build_archive(talk, split_units(talk), [chunk(1, 1), chunk(2, 2)])
    made["b_chunks"][1] |= {"limit": True, "llm_used": "m", "cost_usd": 0.0123, "tokens_used": 500}
    page = _Text()
    page.feed(chunks_page(talk, made))
    shown = re.sub(r"\s+", " ", page.text)
    assert shown.count("cut by size") == 2  # the chunk, and the sum
    for words in ("2026-02-13 23:59 UTC+8:00", "2026-02-14 00:01 UTC+8:00", "cost $0.0123", "500 tokens"):
        assert words in shown


@pytest.mark.parametrize(
    ("start", "end", "shown"),
    [
        ("2026-02-13T08:00:00Z", "2026-02-13T09:30:00+00:00", "2026-02-13 08:00 to 09:30 UTC"),
        ("2026-02-13T08:00:00", "2026-02-14T08:00:00", "2026-02-13 08:00 to 2026-02-14 08:00"),
        ("2026-02-13T08:00:00-03:30", "2026-02-13T08:00:00Z", "2026-02-13 08:00 UTC\u22123:30 to 08:00 UTC"),
        ("yesterday", None, "yesterday"),
        (None, None, ""),
    ],
)
def test_spans_of_time(start, end, shown):
    assert between(start, end) == shown


def test_the_page_is_safe_and_needs_nothing_else():
    hostile = conversation(("user", "<script>alert(1)</script> <img src=x onerror=y> {{ 7 * 7 }} ${x}"))
    units = split_units(hostile)
    made = build_archive(hostile, units, [chunk(1, len(units), "<b>label</b>", '" onclick="x', language='"><i>')])
    text = chunks_page(hostile, made)
    page = _Text()
    page.feed(text)
    assert not {"script", "img", "i", "iframe"} & set(page.tags)
    assert "<b>label</b>" in page.text
    assert "<script>alert(1)</script>" in page.text
    assert "{{ 7 * 7 }}" in page.text
    assert not re.search(r"(?:src|href)\s*=\s*.?https?:", text)


# --- the result of a run ---------------------------------------------------------------------------------------------


def versioned(made, version):
    return {**made, "version": version}


PAID = {**NONE, "tokens": 1001, "cost_usd": 0.003, "seconds": 1.5}


def test_the_result_of_a_run():
    one = versioned(archive(RULES, RULES, generations=[]), 1)
    two = versioned(archive(), 2)
    result = task_result([Change(one, None)])
    assert (result["chunks_created"], result["chunks_upgraded"]) == (2, 0)
    assert result["quality_counts"] == {"basic": 2, "good": 0, "premium": 0}
    assert result["llm_provider"] == "none"
    result = task_result([Change(two, one, PAID)])
    assert (result["chunks_created"], result["chunks_upgraded"]) == (0, 1)
    assert (result["tokens_consumed"], result["estimated_cost_usd"]) == (1001, 0.003)
    assert (result["llm_provider"], result["llm_model"]) == ("p", "m-good")
    assert result["processing_time_seconds"] == 1.5
    assert result["per_1000_turns"]["chunks"] == 500
    assert result["conversations"][0]["conversation_id"] == "talk"
    unchanged = task_result([Change(two, two)])
    assert (unchanged["chunks_upgraded"], unchanged["tokens_consumed"]) == (0, 0)
    json.dumps(result)


def test_answers_that_changed_nothing_were_paid_for_and_an_unknown_cost_is_not_zero():
    failed = {"answers": 2, "tokens": 120, "cost_usd": 0.125}
    lost = {"calls": 1, "tokens": 5000, "cost_usd": 0.5}
    paid = {**NONE, "tokens": 1121, "cost_usd": 0.25, "unknown": 1, "failed": failed, "lost": lost}
    left = {**NOTHING_LEFT, "chunks": 3, "calls": 2, "tokens": 4000, "cost_usd": 0.0625, "unusable": 1}
    made = versioned(archive(), 2)
    result = task_result([Change(made, made, paid, left)], [PAID])
    assert result["tokens_consumed"] == 1121 + 1001
    assert (result["estimated_cost_usd"], result["unknown_costs"]) == (0.253, 1)
    assert (result["failed"], result["lost_calls"]) == (failed, lost)
    row = result["conversations"][0]
    assert (row["estimated_cost_usd"], row["failed"]) == (0.25, failed)
    assert row["before"] == {"version": 2, "quality_counts": row["quality_counts"]}
    assert result["remaining"] == {**{key: left[key] for key in left if key != "reason"}, "conversations": 1}
    table = result_table(result)
    assert "0.2500+?" in table and "The cost of 1 generations is unknown" in table
    assert "failed: 2 answers of 120 tokens for 0.1250 USD could not be used" in table
    assert "lost: 1 call brought no answer and may be billed, with at most 5,000 tokens and 0.5000 USD" in table
    assert "remaining: 3 chunks of 1 conversation that match the filter, for about 2 calls, 4,000 tokens" in table
    assert "stay as they are: 1 chunk, since no answer" in table
    assert max(map(len, table.splitlines()[:6])) <= 100 and re.search(r"talk .* 0\.2500\+\? +0\.1250 ", table)
    assert "unknown_costs" not in usage_of([generation("c_2", cost=0.25)])


def test_the_table_of_a_run():
    result = task_result([Change(versioned(archive(), 2), None, PAID)])
    table = result_table(result)
    assert max(map(len, table.splitlines())) <= 100
    assert re.search(r"talk +4 +2 +0 +1 +1 +0 +1,001 +0\.0030 +1\.5", table)
    assert table.splitlines()[0].split()[-3:] == ["tokens", "USD", "seconds"]
    assert "per 1,000 turns: 500 chunks" in table
    assert "made by: m-good (provider: p)" in table
    assert result_table(task_result([]))
    assert re.search(r"^Tides and moon +4 +2", result_table(result, {"talk": "Tides\nand moon"}), re.M)
    assert where_to_read(result, Path("data/chunks")).startswith("Read data/chunks/talk/chunks.html.\n")


# --- clusters --------------------------------------------------------------------------------------------------------


def clustered():
    made = []
    for name, words in (
        ("a", ["The sourdough starter needs rye flour and warmth.", "The router password was reset."]),
        ("b", ["Rye flour makes the sourdough starter strong.", "The train to Turin leaves at nine."]),
        ("c", ["My sourdough starter smells of rye flour.", "The router lost its password again."]),
    ):
        talk = conversation(*(("user", text) for text in words), name=name, times=["2026-01-01", "2026-01-02"])
        units = split_units(talk)
        labels = ["sourdough" if "sourdough" in text else text.split()[1] for text in words]
        parts = [chunk(unit.number, unit.number, label) for unit, label in zip(units, labels, strict=True)]
        made.append(build_archive(talk, units, parts))
    return made


def test_chunks_about_the_same_thing_are_one_cluster():
    archives = clustered()
    found = build_clusters(archives)
    assert [cluster["related_chunks"] for cluster in found] == [["b_a_0", "b_b_0", "b_c_0"], ["b_a_1", "b_c_1"]]
    assert [cluster["theme"] for cluster in found] == ["sourdough", "router"]
    assert found[0]["participants"] == ["user"]
    assert found[0]["time_span"] == ["2026-01-01", "2026-01-01"]
    assert 0 < found[0]["confidence"] <= 1
    assert found == build_clusters(archives[::-1])
    assert build_clusters([]) == []


def test_only_a_generation_names_contradictions_and_only_between_chunks_that_exist():
    archives = clustered()
    cluster = build_clusters(archives)[0]
    assert cluster["contradictions"] == cluster["contradictions_resolved"] == []
    item = {"a": "b_a_0", "b": "b_b_0", "what": "flour", "resolved": ""}
    settled = {**item, "resolved": "b holds"}
    said = with_description(cluster, {"theme": "bread", "summary": "", "contradictions": [item, settled]}, "g9")
    assert (said["theme"], said["contradictions"], said["contradictions_resolved"]) == ("bread", [item], [settled])
    check_clusters([said], archives)
    wrong = with_description(
        cluster, {"theme": "x", "summary": "", "contradictions": [{**item, "b": "b_nowhere_0"}]}, "g9"
    )
    with pytest.raises(DreamflowError, match="b_nowhere_0"):
        check_clusters([wrong], archives)


def test_a_cluster_is_shown_to_a_model_whole():
    archives = clustered()
    shown = cluster_units(build_clusters(archives)[0], archives)
    assert "b_c_0, 2026-01-01\n> user: My sourdough starter smells of rye flour." in shown


def test_what_was_said_of_another_text_since_is_said_anew(tmp_path):
    folder = tmp_path / "talk"
    first = archive(RULES, RULES, generations=[])
    assert write_archive(folder, first) == 1
    changed = first["b_chunks"][0]["content"].swapcase()
    other = {**first, "b_chunks": [{**first["b_chunks"][0], "content": changed}, *first["b_chunks"][1:]]}
    text = "".join(chunk["content"] for chunk in other["b_chunks"])
    other["metadata"] = {**first["metadata"], "text_sha256": sha256(text)}
    assert write_archive(folder, other) == 2
    assert write_archive(folder, first) == 3
    assert write_archive(folder, first) == 3
    assert read_latest(folder)["b_chunks"] == read_version(folder, 1)["b_chunks"]
    with pytest.raises(ConfigError, match=r"archive_v4\.json is missing"):
        read_version(folder, 4)
