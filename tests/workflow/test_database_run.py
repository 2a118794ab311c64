"""The database, its exports and search in a project that was run: the queries of docs/database.md, and Datasette."""

import json
import re
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from urllib.request import urlopen

import pytest
from golden.frozen import REPOSITORY, new_project
from project import Project

MADE = ("cohorts", "dreams", "chunks", "probe", "trust")
QUERIES = re.findall(r"```sql\n(.*?)```", (REPOSITORY / "docs/database.md").read_text(encoding="utf-8"), re.S)
STATEMENTS = [statement.strip() for block in QUERIES for statement in block.split(";") if statement.strip()]
WITHOUT_ROWS = ("sources", "cohort_members")  # nothing is damaged, and nothing is missing


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """The golden project after a run, with its database and exports."""
    made = Project.at(new_project(tmp_path_factory.mktemp("database") / "project"))
    for targets in (MADE, ("database", "parquet", "datasets")):
        done = made.run("--cores", "4", *targets)
        assert done.returncode == 0, done.stdout
    return made


@pytest.mark.parametrize("statement", STATEMENTS)
def test_the_queries_of_the_document(project: Project, statement: str) -> None:
    with closing(sqlite3.connect(f"{project.root / 'data/dreamflow.sqlite'}")) as connection:
        rows = connection.execute(statement).fetchall()
    assert rows or any(f"FROM {table}" in statement for table in WITHOUT_ROWS)


def test_the_ledger_and_the_tables_of_nights_and_trust(project: Project) -> None:
    with closing(sqlite3.connect(project.root / "data/dreamflow.sqlite")) as connection:
        counts = {
            table: connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0]
            for table in ("ledger", "dream_procedures", "variants", "outcomes", "trust", "model_trust", "probe_grades")
        }
    with closing(sqlite3.connect(project.root / "data/store/answers.sqlite")) as store:
        assert counts["ledger"] == store.execute("SELECT count(*) FROM ledger").fetchone()[0]
    assert counts["variants"] == counts["dream_procedures"] and all(counts.values())


def test_a_second_look_finds_nothing_new_and_a_new_result_is_added(project: Project) -> None:
    assert "data/dreamflow.sqlite is up to date" in project.run("--cores", "1", "database").stdout
    essay = next(project.root.glob("data/gens/essay/*/parsed.txt"))
    essay.write_text("Quokkas keep sourdough starters.\n")
    assert "1 new or changed sources read" in project.run("--cores", "1", "database").stdout
    program = [sys.executable, str(REPOSITORY / "scripts/search.py"), "quokkas sourdough", "--in", "essays", "--json"]
    done = subprocess.run(program, cwd=project.root, capture_output=True, text=True, check=True)
    (hit,) = map(json.loads, done.stdout.splitlines())
    assert hit["id"] == essay.parent.name and Path(project.root, "data", hit["path"]) == essay
    assert done.stderr == ""


def test_datasette_serves_the_file(project: Project) -> None:
    command = [sys.executable, "-m", "datasette", "--immutable", "data/dreamflow.sqlite", "--port", "0"]
    with subprocess.Popen(
        command, cwd=project.root, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as server:
        try:
            said = ""
            while not (match := re.search(r"running on (http://\S+)", said)):
                line = server.stdout.readline()
                assert line, f"Datasette ended: {said}"
                said += line
            with urlopen(f"{match[1]}/dreamflow/scores.json?_shape=array&_size=2") as answer:
                assert len(json.load(answer)) == 2
        finally:
            server.terminate()
