"""The database: what is in it, how it follows the files, search in it, and its exports."""

import asyncio
import json
import os
import re
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import chdir, closing
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from dreamflow.chunks.recall import place_beside
from dreamflow.database.build import FILE, all_sources, update_database, write_database
from dreamflow.database.core import core_sources
from dreamflow.database.datasets import write_datasets
from dreamflow.database.parquet import export, write_parquet
from dreamflow.database.schema import Search, Source, Table, View, columns, files
from dreamflow.database.search import is_outdated, kinds, search
from dreamflow.distill.sources import distill_sources
from dreamflow.errors import DreamflowError
from dreamflow.generation.layout import Layout
from dreamflow.generation.models import load_models
from dreamflow.plan import Plan
from dreamflow.reports.scores import collect_scores
from golden.frozen import REPOSITORY, load, new_project
from plans import cohorts_of, planned

SCRIPTS = REPOSITORY / "scripts"
TEXTS = {
    "bread": "Sourdough. My starter rises slowly; an AI model said to wait again",
    "china": "关于中国经济的讨论，用AI写作。最后一个字是猫",
    "japan": "引っ越しの手続きと確定申告。中国",
    "short": "They said it again: café, 🍞 and C++ -> Rust",
}


@pytest.fixture(scope="module")
def plan(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Plan]:
    """The golden project with the files of its run, and its database; tests do not change it."""
    root = new_project(tmp_path_factory.mktemp("database") / "project")
    for path, text in load().items():
        file = root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8", newline="")
    with chdir(root):
        made = planned(yaml.safe_load(Path("config/config.yaml").read_text()))
        before = tree()
        write_database(made)
        assert tree() - before == {Path("data", FILE), place_beside(Path("data", FILE))}
        yield made


def tree() -> set[Path]:
    return set(Path("data").rglob("*"))


def rows(path: Path, sql: str, *values: Any) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as connection:
        return connection.execute(sql, values).fetchall()


def of(plan: Plan, sql: str) -> list[tuple[Any, ...]]:
    return rows(plan.world.layout.root / FILE, sql)


def everything(plan: Plan) -> dict[str, Table | View]:
    return {item.name: item for source in all_sources(plan) for item in (*source.tables, *source.views)}


def test_the_tables_have_what_the_files_say(plan: Plan) -> None:
    found = {path.parent.name: json.loads(path.read_text()) for path in Path("data").glob("gens/*/*/metadata.json")}
    made = {row[0]: row[1:] for row in of(plan, "SELECT gen_id, stage, status, model_id, path FROM generations")}
    assert made.keys() == found.keys()
    assert all(made[gen_id][:3] == (one["stage"], one["status"], one["model_id"]) for gen_id, one in found.items())
    assert all(Path("data", row[3]).exists() for row in made.values())
    edges = {(gen_id, parent) for gen_id, one in found.items() for parent in one["parents"]}
    assert set(of(plan, "SELECT gen_id, parent_id FROM lineage")) == edges
    texts = of(
        plan, "SELECT group_concat(content, '') FROM (SELECT * FROM chunks ORDER BY position) GROUP BY conversation_id"
    )
    originals = [json.loads(path.read_text()) for path in Path("data").glob("chunks/*/archive_v*.json")]
    assert {text for (text,) in texts} <= {"".join(c["content"] for c in one["b_chunks"]) for one in originals}
    assert of(plan, "SELECT count(*) FROM variants") == of(
        plan, "SELECT count(*) FROM generations WHERE stage = 'variant'"
    )
    assert of(plan, "SELECT count(*) FROM verdicts WHERE viability IS NOT NULL")[0][0] > 0
    assert of(plan, "SELECT reader, item, problem FROM sources WHERE problem IS NOT NULL") == []


def test_scores_are_those_of_the_cohorts_tables(plan: Plan) -> None:
    seen = 0
    for name, cohort in cohorts_of(plan).items():
        table = collect_scores(cohort.members, "data", name)
        for row in table[table["status"] != "missing"].to_dict("records"):
            (cells,) = of(plan, f"SELECT * FROM scores WHERE gen_id = '{row['gen_id']}'")
            view = dict(zip(everything(plan)["scores"].columns, cells, strict=True))
            same = set(view) & set(row) - {"reason", "draft_replicate", "essay_replicate"}
            assert {key: view[key] for key in same} == {key: row[key] if row[key] == row[key] else None for key in same}
            assert (view["reason"] or "") == row["reason"]
            seen += 1
    assert seen > 20


def test_from_concepts_to_evaluations(plan: Plan) -> None:
    steps = dict(of(plan, "SELECT stage, group_concat(DISTINCT steps) FROM from_concepts GROUP BY stage"))
    assert steps["draft"] == "1" and "2" in steps["essay"] and "3" in steps["evaluation"]
    (evaluation,) = of(plan, "SELECT gen_id FROM from_concepts WHERE stage = 'evaluation' AND steps = 3 LIMIT 1")
    ancestors = (
        "SELECT stage FROM ancestors AS a JOIN generations AS g ON g.gen_id = a.ancestor_id WHERE a.gen_id = '{}'"
    )
    assert of(plan, f"{ancestors.format(evaluation[0])} ORDER BY steps") == [("essay",), ("draft",)]


def test_the_file_is_as_other_programs_like_it(plan: Plan) -> None:
    path = plan.world.layout.root / FILE
    assert not list(path.parent.glob(f"*{FILE}*-*")) and not list(path.parent.glob(f".{FILE}*"))
    assert path.read_bytes()[18:20] == b"\x01\x01"  # no write-ahead log
    with closing(sqlite3.connect(path)) as connection:
        for (table,) in connection.execute("SELECT name FROM sqlite_master WHERE sql LIKE '%REFERENCES%'").fetchall():
            indexes = [row[1] for row in connection.execute(f"PRAGMA index_list([{table}])")]
            first = {connection.execute(f"PRAGMA index_info([{name}])").fetchone()[2] for name in indexes}
            assert {row[3] for row in connection.execute(f"PRAGMA foreign_key_list([{table}])")} <= first
        assert connection.execute("SELECT count(*) FROM sqlite_stat1").fetchone()[0] > 0


def test_datasette_shows_every_table(plan: Plan) -> None:
    from datasette.app import Datasette

    async def look() -> None:
        shown = Datasette([], immutables=[str(Path("data", FILE).absolute())])
        await shown.invoke_startup()
        for name in everything(plan):
            assert (await shown.client.get(f"/dreamflow/{name}.json?_size=1")).status_code == 200, name
        assert "_search" in (await shown.client.get("/dreamflow/chunks")).text

    asyncio.run(look())


def test_duckdb_reads_views_and_parquet_files(plan: Plan) -> None:
    import duckdb
    import pandas as pd

    write_parquet(plan)
    folder = Path("data/export/parquet")
    assert {path.stem for path in folder.iterdir()} == everything(plan).keys()
    for name, item in everything(plan).items():
        if isinstance(item, View):  # its SQLite extension parses them when it attaches the file
            duckdb.extract_statements(f"CREATE VIEW shown AS {item.sql}")
        assert duckdb.sql(f"SELECT count(*) FROM '{folder}/{name}.parquet'").fetchall() == of(
            plan, f"SELECT count(*) FROM [{name}]"
        )
    frame = pd.read_parquet(folder / "generations.parquet")
    assert frame["score_01"].max() <= 1 and list(frame.columns) == list(everything(plan)["generations"].columns)
    assert not [path for path in folder.iterdir() if os.fsencode(Path.cwd()) in path.read_bytes()]


def test_parquet_files_of_tables_that_are_gone_are_removed(tmp_path: Path) -> None:
    path = tmp_path / FILE
    update_database(path, [notes(tmp_path)])
    (tmp_path / "old.parquet").write_text("")
    assert export(path, {"notes": NOTES.columns}, tmp_path) == 0
    assert [file.name for file in tmp_path.glob("*.parquet")] == ["notes.parquet"]


def test_datasets_agree_with_their_cards(plan: Plan) -> None:
    said = write_datasets(plan)
    folders = sorted(Path("data/export/datasets").iterdir())
    assert [folder.name for folder in folders] == ["chunks", "training-lesson-cycle-1"]
    for folder in folders:
        card = (folder / "README.md").read_text(encoding="utf-8")
        front = yaml.safe_load(card.split("---\n")[1])
        assert front["license"] == "unknown" and str(Path.cwd()) not in card and str(folder) in said
        (config,) = front["configs"]
        splits = {split["name"]: split for split in front["dataset_info"]["splits"]}
        assert {split["split"] for split in config["data_files"]} == splits.keys()
        for split in config["data_files"]:
            lines = (folder / split["path"]).read_bytes().decode().splitlines()
            assert len(lines) == splits[split["split"]]["num_examples"] > 0
            names = [feature["name"] for feature in front["dataset_info"]["features"]]
            assert all(sorted(names) == sorted(json.loads(line)) for line in lines)


def test_students_say_why_they_are_not_used(tmp_path: Path) -> None:
    facts = {"model_id": "s-1", "accuracy": {"there": 0.5, "here": 0.25}, "deployed": False, "reasons": ["too few"]}
    (tmp_path / "distill/demo/cycle-2").mkdir(parents=True)
    (tmp_path / "distill/demo/cycle-2/exported.json").write_text(json.dumps(facts))
    update_database(tmp_path / FILE, distill_sources(tmp_path))
    assert rows(tmp_path / FILE, "SELECT * FROM students") == [
        ("demo", "cycle-2", "s-1", 0, 0.5, 0.25, '["too few"]', 1)
    ]


def test_no_secret_is_in_the_database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_OWN_KEY", "sk-very-secret")
    row = {
        "provider": "openai",
        "name": "m",
        "base_url": "https://me:pass-word@host.example/v1",
        "api_key_env": "MY_OWN_KEY",
    }
    (tmp_path / "models.yaml").write_text(
        yaml.safe_dump({"models": {"mine": {**row, "extra_body": {"token": "t-secret"}}}})
    )
    world = SimpleNamespace(layout=Layout(tmp_path / "data"), models=load_models(tmp_path / "models.yaml", None, {}))
    (tmp_path / "data").mkdir()
    update_database(tmp_path / "data" / FILE, core_sources(world))
    content = (tmp_path / "data" / FILE).read_bytes()
    assert rows(tmp_path / "data" / FILE, "SELECT model_id, provider, name FROM models") == [("mine", "openai", "m")]
    assert not [text for text in (b"secret", b"pass-word", b"host.example", b"MY_OWN_KEY") if text in content]


# --- a source of our own ---

NOTES = Table(
    "notes",
    "Notes.",
    columns("""
        name TEXT the name
        text TEXT the text
    """),
    ("name",),
    search=Search("'notes'", "name", "name", "NULL", "name || '.txt'", {"name": 3.0, "text": 1.0}),
)


def notes(root: Path, seen: list[str] | None = None) -> Source:
    def read(item: str) -> dict[str, list[dict[str, str]]]:
        (seen if seen is not None else []).append(item)
        text = (root / item).read_text()
        if text == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        if text == "damaged":
            raise DreamflowError(f"{item}: damaged")
        return {"notes": [{"name": item.removesuffix(".txt"), "text": text}]}

    return Source("notes", 1, (NOTES,), files(root, "*.txt"), read)


@pytest.fixture
def noted(tmp_path: Path) -> Path:
    """A database of notes."""
    for name, text in TEXTS.items():
        (tmp_path / f"{name}.txt").write_text(text)
    update_database(tmp_path / FILE, [notes(tmp_path)])
    return tmp_path / FILE


def test_only_what_changed_is_read_again(noted: Path) -> None:
    root, seen = noted.parent, []
    before = noted.stat()
    assert "up to date" in update_database(noted, [notes(root, seen)])
    assert seen == [] and noted.stat().st_ino == before.st_ino
    (root / "bread.txt").write_text("Rye and wheat.")
    (root / "short.txt").unlink()
    (root / "new.txt").write_text("A new note on spelt.")
    assert "2 new or changed sources read; 1 removed" in update_database(noted, [notes(root, seen)])
    assert sorted(seen) == ["bread.txt", "new.txt"]
    assert [name for (name,) in rows(noted, "SELECT name FROM notes ORDER BY 1")] == ["bread", "china", "japan", "new"]
    assert [hit.id for hit in search(noted, "spelt")] == ["new"]
    assert [hit.id for hit in search(noted, "wheat")] == ["bread"]
    assert search(noted, "starter") == search(noted, "Rust") == []
    assert kinds(noted) == {"notes": 4}


def test_a_source_that_cannot_be_looked_for_keeps_its_rows(noted: Path) -> None:
    def fail() -> Iterator[tuple[str, str]]:
        raise DreamflowError("cycle-1 is there twice")
        yield

    source, seen = notes(noted.parent), list[str]()
    other = source._replace(
        name="other", tables=(NOTES._replace(name="others"),), find=lambda: [], read=lambda item: {}
    )
    update_database(noted, [source, other])
    (noted.parent / "bread.txt").write_text("Rye.")
    said = update_database(noted, [notes(noted.parent, seen), other._replace(find=fail)])
    assert "1 could not be read: cycle-1 is there twice" in said and seen == ["bread.txt"]
    assert "up to date; 1 could not" in update_database(noted, [source._replace(find=fail), other])
    assert kinds(noted) == {"notes": 4}


def test_with_nothing_made_yet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("config").mkdir()
    Path("data/1_raw").mkdir(parents=True)
    Path("config/models.yaml").write_text("models: {}\n")
    plan = planned({"cohorts": [], "procedures": [], "conversations": [], "probes": [], "distillations": []})
    write_database(plan)
    assert "up to date" in write_database(plan)
    assert search(Path("data", FILE), "anything") == [] and kinds(Path("data", FILE)) == {}
    assert "there are neither chunks nor training data yet" in write_datasets(plan)
    with pytest.raises(DreamflowError, match="the database has no texts yet"):
        search(Path("data", FILE), "anything", "essays")


def test_another_schema_makes_the_file_anew_and_so_does_damage(noted: Path) -> None:
    seen: list[str] = []
    update_database(noted, [notes(noted.parent, seen)._replace(version=2)])
    assert len(seen) == len(TEXTS)
    noted.write_bytes(b"SQLite format 3\0 and nothing else")
    update_database(noted, [notes(noted.parent)])
    assert kinds(noted) == {"notes": 4}


def test_a_killed_update_leaves_the_old_database(noted: Path) -> None:
    root = noted.parent
    (root / "bread.txt").write_text("Rye.")
    (root / "zz.txt").write_text("kill")
    before = rows(noted, "SELECT * FROM notes")
    if (child := os.fork()) == 0:
        update_database(noted, [notes(root)])
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
    assert rows(noted, "SELECT * FROM notes") == before
    assert len(list(root.glob(f".{FILE}*"))) == 1
    (root / "zz.txt").unlink()
    update_database(noted, [notes(root)])
    assert [hit.id for hit in search(noted, "Rye.")] == ["bread"]
    assert not list(root.glob(f".{FILE}*"))


def test_a_reader_keeps_what_it_has_opened(noted: Path) -> None:
    with closing(sqlite3.connect(f"{noted.as_uri()}?immutable=1", uri=True)) as reader:
        assert reader.execute("SELECT count(*) FROM notes").fetchone() == (4,)
        (noted.parent / "bread.txt").unlink()
        update_database(noted, [notes(noted.parent)])
        assert reader.execute("SELECT text FROM notes WHERE name = 'bread'").fetchone() == (TEXTS["bread"],)
        assert reader.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    assert kinds(noted) == {"notes": 3}


def test_a_damaged_source_is_named_and_harms_no_other(noted: Path) -> None:
    (noted.parent / "bread.txt").write_text("damaged")
    assert "1 could not be read: bread.txt: damaged" in update_database(noted, [notes(noted.parent)])
    assert rows(noted, "SELECT item, problem FROM sources WHERE problem <> ''") == [("bread.txt", "bread.txt: damaged")]
    assert kinds(noted) == {"notes": 3}
    (noted.parent / "bread.txt").write_text("Good again.")
    update_database(noted, [notes(noted.parent)])
    assert kinds(noted) == {"notes": 4}


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("sourdough starter", ["bread"]),
        ("STARTER", ["bread"]),
        ("dough", ["bread"]),  # within a word
        ('"starter rises"', ["bread"]),
        ('"rises starter"', []),
        ("中国", ["china", "japan"]),  # in the middle, and as the last characters of a text
        ("中国经济", ["china"]),
        ("猫", ["china"]),
        ("確定申告", ["japan"]),
        ("手", ["japan"]),
        ("AI", ["bread", "china"]),  # a whole word: not in "said", and also between Chinese characters
        ("ai starter", ["bread"]),
        ("->", ["short"]),
        ("C++", ["short"]),
        ("🍞", ["short"]),
        ("café", ["short"]),
        ("it", ["short"]),
    ],
)
def test_words_of_any_language_and_length_are_found(noted: Path, query: str, found: list[str]) -> None:
    assert sorted(hit.id for hit in search(noted, query)) == found


@pytest.mark.parametrize(
    "query",
    [
        "",
        " ",
        '"',
        '""',
        "*",
        "**",
        "x*",
        "'",
        "';--",
        "NEAR(a b)",
        "AND",
        "a OR b",
        "name:bread",
        "^",
        "-",
        "(",
        "\0",
        "\ud800",
        "%_",
        "\\",
    ],
)
def test_no_query_is_an_error(noted: Path, query: str) -> None:
    assert isinstance(search(noted, query), list)


def test_a_hit_says_what_and_where(noted: Path) -> None:
    (noted.parent / "starter.txt").write_text("Nothing of it in the text. " * 9)
    update_database(noted, [notes(noted.parent)])
    titled, hit = search(noted, "starter")
    assert titled.id == "starter" and titled.score > hit.score
    assert (hit.kind, hit.id, hit.title, hit.path, hit.date) == ("notes", "bread", "bread", "bread.txt", "")
    assert hit.snippet == "Sourdough. My [starter] rises slowly; an AI model said to wait again"
    assert search(noted, "starter", limit=1) == [titled]
    assert all(search(noted, "starter", kind) == [titled, hit] for kind in ("notes", "note", "all"))
    with pytest.raises(DreamflowError, match="no texts of the kind 'essay'; there are: notes"):
        search(noted, "starter", "essay")


def test_a_whole_word_comes_before_a_part_of_one(noted: Path) -> None:
    (noted.parent / "a.txt").write_text("Generation, iteration, gratitude: narration.")
    (noted.parent / "z.txt").write_text(
        "Here is a long text, which has many words, and among them is a rat, once. " * 2
    )
    update_database(noted, [notes(noted.parent)])
    assert [hit.id for hit in search(noted, "rat")] == ["z", "a"]


def test_every_kind_of_text_is_searched(plan: Plan) -> None:
    path = Path("data", FILE)
    texts = {f"{stage}s": text for stage, text in of(plan, "SELECT stage, text FROM generations WHERE text <> ''")}
    texts |= {"concepts": "珈琲", "procedures": "def", "chunks": "invoice", "journals": "cycle", "reports": "answers"}
    assert {"essays", "drafts", "evaluations", "variants", "verdicts", "answers"} < texts.keys()
    for kind, number in kinds(path).items():
        hits = search(path, re.findall(r"\w+", texts[kind])[0], kind, 3)
        assert {hit.kind for hit in hits} == {kind}, kind
        places = [Path("data", hit.path) for hit in hits if hit.path]
        # Pages are not among the frozen files.
        assert number and all((place.parent if place.suffix == ".html" else place).exists() for place in places)


def test_without_a_database(tmp_path: Path) -> None:
    with pytest.raises(DreamflowError, match=r"there is no database yet. Run `snakemake database`"):
        search(tmp_path / FILE, "x")
    (tmp_path / FILE).write_text("no database")
    with pytest.raises(DreamflowError, match="it cannot be read"):
        search(tmp_path / FILE, "x")


def test_newer_results_make_it_outdated(noted: Path) -> None:
    assert not is_outdated(noted)
    (noted.parent / "gens/essay/e_1").mkdir(parents=True)
    os.utime(noted, ns=(1, 1))
    assert is_outdated(noted)
    update_database(noted, [notes(noted.parent)])
    assert not is_outdated(noted)


def test_the_program(noted: Path) -> None:
    project = noted.parent / "project"
    (project / "config").mkdir(parents=True)
    (project / "config/config.yaml").write_text("data_root: ..  # elsewhere\n")

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        program = [sys.executable, str(SCRIPTS / "search.py"), *arguments]
        return subprocess.run(program, cwd=project, capture_output=True, text=True, check=False)

    done = run("sourdough", "starter")
    assert done.returncode == 0 and "[Sourdough]. My [starter]" in done.stdout and "../bread.txt" in done.stdout
    assert json.loads(run("AI", "--json", "--limit", "1").stdout)["kind"] == "notes"
    nothing = run("xyzzy", "--in", "notes")
    assert nothing.returncode == 1 and "try --in all" in nothing.stderr and "Traceback" not in nothing.stderr


def test_a_search_imports_little() -> None:
    heavy = "{'pandas', 'pydantic', 'msgspec', 'yaml', 'sqlite_utils', 'asyncio'}"
    code = f"import sys; import dreamflow.database.search; print({heavy} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], cwd=SCRIPTS, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
