"""A folder in the original's layout runs as it is; its edits are noticed; its essays are judged further."""

import csv
import json
import shutil
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from project import Project
from server import PATIENCE_S, Server, held
from trial import SPEC, answer, models

RAW = "old/data/1_raw"
CONCEPTS = {  # concept -> the levels that it has; "d" has none, so its name must do
    "a": ["sentence", "paragraph", "article"],
    "b": ["sentence"],
    "c": ["paragraph"],
    "d": [],
    "unused": ["paragraph"],
}
FILES = {
    "draft/rolling-v3": "Link them.\n{% for one in concepts %}{{ one.name }}: {{ one.content }}\n{% endfor %}",
    "draft/file-only": "One idea.\n{% for concept in concepts %}{{ concept.name }}\n{% endfor %}",
    "essay/synthesis": "Write an essay.\n{{ links_block }}",
    "evaluation/novelty": "Rate novelty.\n{{ response }}",
    "evaluation/scientific-rigor": "Rate rigor.\n{{ response }}",
}
COLUMNS = ["template_id", "template_name", "description", "parser", "generator", "active", "notes"]
CATALOGS = {
    "draft": [("rolling-v3", "Rolling", "Says, with a comma", "identity", "llm", "true", "x")],
    "essay": [
        ("synthesis", "Synthesis", "", "", "llm", "false", ""),
        ("parsed-from-links-v1", "Parsed", "No file", "", "copy", "true", ""),  # no template file
    ],
    "evaluation": [
        ("novelty", "Novelty", "", "in_last_line", "llm", "true", ""),  # scientific-rigor has no row
        ("spare", "Spare", "", "in_last_line", "llm", "true", ""),  # no file, but nobody asks for it
    ],
}
AXES = {
    "draft_template": ["rolling-v3", "file-only"],
    "draft_llm": ["writer"],
    "essay_template": ["synthesis", "parsed-from-links-v1"],
    "evaluation_template": ["novelty", "scientific-rigor"],
    "evaluation_llm": ["judge"],
}
DRAFTS, ESSAYS, EVALUATIONS = 2 * 2, 2 * 2 * 2, 2 * 2 * 2 * 2
CALLS = DRAFTS + ESSAYS // 2 + EVALUATIONS


def table(project: Project, name: str, header: list[str], rows: list[tuple]) -> None:
    """A CSV file as spreadsheets write it: a byte order mark, and CRLF at the ends of lines."""
    path = project.write(f"{RAW}/{name}", "")
    with path.open("w", newline="", encoding="utf-8-sig") as stream:
        csv.writer(stream, lineterminator="\r\n").writerows([header, *rows])


def concepts(project: Project, **names: str) -> None:
    rows = [(concept, names.get(concept, concept.upper()), "true", "") for concept in CONCEPTS]
    table(project, "concepts_metadata.csv", ["concept_id", "name", "active", "source"], rows)


def original_folder(project: Project) -> None:
    concepts(project)
    for concept, levels in CONCEPTS.items():
        for level in levels:
            text = f"The {level} on {concept}.\r\nIts second line.\r\n"
            path = project.write(f"{RAW}/concepts/descriptions-{level}/{concept}.txt", "")
            path.write_bytes(text.encode())
    for name, text in FILES.items():
        project.write(f"{RAW}/templates/{name}.txt", "").write_bytes(text.replace("\n", "\r\n").encode())
    for stage, rows in CATALOGS.items():
        table(project, f"{stage}_templates.csv", COLUMNS, rows)
    table(project, "llm_models.csv", ["id", "model", "provider"], [("gemini", "google/gemini", "google")])
    table(project, "replication_config.csv", ["stage", "replicates"], [("draft", "1")])
    project.write(f"{RAW}/concepts/day_dreaming_concepts.json", "{}")


def make_project(root: Path, server: Server) -> Project:
    project = Project(root, models(server.url), {**SPEC, "combos": {"lists": [["a", "b"], ["c", "d"]]}, "axes": AXES})
    shutil.rmtree(root / "data")
    original_folder(project)
    project.write("config/config.yaml", {"cohorts": ["trial"], "raw_root": RAW})
    return project


@pytest.fixture(scope="module")
def finished_old(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Project:
    project = make_project(tmp_path_factory.mktemp("old"), server)
    before, calls = contents(project), server.calls
    done = project.run()
    assert done.returncode == 0, done.stdout
    assert server.calls - calls == CALLS
    assert contents(project) == before, "inputs are only read"
    return project


@pytest.fixture
def old(finished_old: Project, tmp_path: Path) -> Project:
    """A copy of the finished project, to change."""
    root = tmp_path / "project"
    shutil.copytree(finished_old.root, root, symlinks=True)
    copy = object.__new__(Project)
    copy.root = root
    return copy


def contents(project: Project) -> dict[str, bytes]:
    root = project.root / RAW
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def counts(project: Project) -> dict[str, int]:
    return {stage: len(project.generations(stage)) for stage in ("draft", "essay", "evaluation")}


def stamps(project: Project) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in project.root.glob("data/gens/*/*/metadata.json")}


def remade(project: Project, before: dict[Path, int]) -> dict[str, int]:
    found: dict[str, int] = {}
    for path, stamp in stamps(project).items():
        if before.get(path) != stamp:
            found[path.parts[-3]] = found.get(path.parts[-3], 0) + 1
    return found


# --- it runs ---


def test_such_a_folder_runs_unchanged(finished_old: Project) -> None:
    assert counts(finished_old) == {"draft": DRAFTS, "essay": ESSAYS, "evaluation": EVALUATIONS}
    assert {made["status"] for made in finished_old.generations().values()} == {"ok"}


def test_concepts_fall_back_and_line_ends_are_plain(finished_old: Project) -> None:
    drafts = finished_old.generations("draft")
    prompts = {
        (made["template_id"], made["wildcards"]["combo_id"]): finished_old.read(f"data/gens/draft/{gen_id}/prompt.txt")
        for gen_id, made in drafts.items()
    }
    rolling = sorted(text for (template, _), text in prompts.items() if template == "rolling-v3")
    assert rolling[0].startswith("Link them.\nA: The paragraph on a.\nIts second line.\nB: The sentence on b.")
    assert "C: The paragraph on c.\nIts second line.\nD: D" in rolling[1]
    assert not [text for text in prompts.values() if "\r" in text]


def test_templates_are_found_by_row_or_by_file(finished_old: Project) -> None:
    essays = finished_old.generations("essay").values()
    assert {(made["template_id"], made["mode"]) for made in essays} == {
        ("synthesis", "llm"),
        ("parsed-from-links-v1", "copy"),
    }
    judged = finished_old.generations("evaluation").values()
    assert {(made["template_id"], made["parser"].split("/")[0]) for made in judged} == {
        ("novelty", "in_last_line"),
        ("scientific-rigor", "in_last_line"),
    }


# --- what the original's schedule did ---


def edit(path: str, old: str, new: str) -> Callable[[Project], None]:
    def change(project: Project) -> None:
        file = project.root / RAW / path
        text = file.read_bytes().decode()
        assert old in text
        file.write_bytes(text.replace(old, new).encode())

    return change


ALL = {"draft": DRAFTS, "essay": ESSAYS, "evaluation": EVALUATIONS}
HALF = {stage: count // 2 for stage, count in ALL.items()}
ONE_COMBO = {"draft": 2, "essay": 4, "evaluation": 8}
ONE_WAY = {"essay": ESSAYS // 2, "evaluation": EVALUATIONS // 2}
NOVELTY = {"evaluation": EVALUATIONS // 2}
CHANGES = [
    ("a concept's name", edit("concepts_metadata.csv", "a,A,", "a,Alpha,"), ONE_COMBO),
    ("a concept's text", edit("concepts/descriptions-paragraph/c.txt", "second", "other"), ONE_COMBO),
    ("a draft template", edit("templates/draft/rolling-v3.txt", "Link", "Join"), HALF),
    ("an essay template", edit("templates/essay/synthesis.txt", "an essay", "a story"), ONE_WAY),
    ("an evaluation template", edit("templates/evaluation/novelty.txt", "Rate novelty", "Rate it"), NOVELTY),
    ("a draft parser", edit("draft_templates.csv", "identity", "essay_block_lenient"), HALF),
    ("an essay parser", edit("essay_templates.csv", ",,copy", ",essay_block_lenient,copy"), ONE_WAY),
    ("an evaluation parser", edit("evaluation_templates.csv", "Novelty,,in_last_line", "Novelty,,complex"), NOVELTY),
    ("an unused concept", edit("concepts_metadata.csv", "unused,UNUSED", "unused,Other"), {}),
    ("an unused concept's text", edit("concepts/descriptions-paragraph/unused.txt", "The", "Some"), {}),
    ("a level that is not read", edit("concepts/descriptions-article/a.txt", "The", "Some"), {}),
    ("an unused template's row", edit("evaluation_templates.csv", "Spare,,in_last_line", "Other,,complex"), {}),
    ("words about a template", edit("draft_templates.csv", "Says, with", "Said with"), {}),
    ("the active column", edit("essay_templates.csv", "llm,false", "llm,true"), {}),
    ("the original's models", edit("llm_models.csv", "google/gemini", "google/other"), {}),
]  # fmt: skip


@pytest.mark.parametrize(("change", "made"), [row[1:] for row in CHANGES], ids=[row[0] for row in CHANGES])
def test_an_edit_of_an_input_is_noticed_and_an_unused_one_changes_nothing(
    old: Project, change: Callable[[Project], None], made: dict[str, int]
) -> None:
    before = stamps(old)
    change(old)
    done = old.run()
    assert done.returncode == 0, done.stdout
    assert remade(old, before) == made
    assert ("Nothing to be done" in done.stdout) == (not made)


def test_a_failed_refresh_is_done_by_the_next_run(old: Project, server: Server) -> None:
    config = old.read("config/models.yaml")["models"]
    broken = {**config, "judge": {**config["judge"], "base_url": "http://127.0.0.1:9/v1"}}
    old.edit("config/models.yaml", models=broken)
    old.edit("config/config.yaml", call_attempts=1)
    CHANGES[2][1](old)
    before, calls = stamps(old), server.calls
    done = old.run()
    assert done.returncode == 1
    assert "Run the same command again to continue" in done.stdout
    assert remade(old, before) == {"draft": 2, "essay": 4}
    old.edit("config/models.yaml", models=config)
    done = old.run()
    assert done.returncode == 0, done.stdout
    assert remade(old, before) == HALF
    assert server.calls - calls == CALLS // 2, "what was answered before the failure is not asked again"
    assert "Nothing to be done" in old.run().stdout


def test_a_killed_refresh_is_done_by_the_next_run(old: Project, server: Server) -> None:
    go, arrived = threading.Event(), threading.Event()
    server.script += [held(go, arrived)]
    CHANGES[2][1](old)
    before, calls = stamps(old), server.calls
    process = subprocess.Popen(
        old.command("--cores", "1"), env=old.environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    assert arrived.wait(PATIENCE_S)
    process.kill()
    process.wait()
    go.set()
    assert old.run("--unlock").returncode == 0
    done = old.run()
    assert done.returncode == 0, done.stdout
    assert remade(old, before) == HALF
    assert server.calls - calls == CALLS // 2 + 1, "the call in flight is the only one that is lost"
    assert "Nothing to be done" in old.run().stdout


def test_an_edit_that_cannot_be_compiled_is_told_and_the_next_run_goes_on(old: Project) -> None:
    before = stamps(old)
    edit("templates/draft/rolling-v3.txt", "{% endfor %}", "{% endfr %}")(old)
    done = old.run()
    assert done.returncode == 1
    assert f"{RAW}/templates/draft/rolling-v3.txt" in done.stdout
    edit("templates/draft/rolling-v3.txt", "{% endfr %}", "Now.{% endfor %}")(old)
    assert old.run().returncode == 0
    assert remade(old, before) == HALF


# --- a curated selection ---


def second_cohort(project: Project, cohorts: list[str], block: dict[str, Any]) -> None:
    axes = {"evaluation_template": ["novelty", "scientific-rigor"], "evaluation_llm": ["second"]}
    output = {"field_order": ["essay_gen_id"]}
    project.write("config/cohorts/more.yaml", {"from": block, "axes": axes, "output": output})
    project.edit("config/config.yaml", cohorts=cohorts)


def members(project: Project) -> list[str]:
    with (project.root / "data/cohorts/more/membership.csv").open(newline="") as stream:
        return [row["stage"] for row in csv.DictReader(stream)]


def test_the_best_essays_are_judged_further_and_nothing_else_is_asked(old: Project, server: Server) -> None:
    second_cohort(old, ["more"], {"top": {"cohort": "trial", "n": 3}})
    before, calls = stamps(old), server.calls
    dry = old.run("-n")
    assert "6 calls to make" in dry.stdout, dry.stdout
    done = old.run()
    assert done.returncode == 0, done.stdout
    assert remade(old, before) == {"evaluation": 6}
    assert server.calls - calls == 6
    stages = members(old)
    assert (stages.count("essay"), stages.count("evaluation")) == (3, 6)
    with (old.root / "data/cohorts/more/reports/summary/ranking.csv").open(newline="") as stream:
        ranked = list(csv.DictReader(stream))
    assert len(ranked) == 3
    assert all(row["draft_template"] and row["generation_model"] == "writer" for row in ranked)
    assert len(list(old.root.glob("data/results/more/*-e_*.md"))) == 3
    assert "Nothing to be done" in old.run().stdout

    kept = ranked[0]["gen_id"]
    listed = old.run("orphans").stdout
    assert kept not in listed
    assert "essay" in listed, "those that are not selected are orphans of this configuration"

    old.write(f"data/gens/essay/{kept}/parsed.txt", "Edited by hand.\n")
    before, calls = stamps(old), server.calls
    assert old.run().returncode == 0
    assert remade(old, before) == {"evaluation": 2}
    assert server.calls - calls == 2


@pytest.fixture
def own_server() -> Iterator[Server]:
    with Server(answer) as running:
        yield running


def test_a_selection_from_a_cohort_that_is_not_made_yet(own_server: Server, tmp_path: Path) -> None:
    """Ids are known before anything is made, so one run makes the essays and what a selection adds to them."""
    project = make_project(tmp_path / "fresh", own_server)
    from dreamflow.cohorts.combos import make_combo
    from dreamflow.generation.ids import draft_id, essay_id

    combo = make_combo(["a", "b"], "paragraph").combo_id
    essay = essay_id(draft_id(combo, "rolling-v3", "writer", 1), "synthesis", 1)
    second_cohort(project, ["more", "trial"], {"essays": [essay]})
    done = project.run()
    assert done.returncode == 0, done.stdout
    assert own_server.calls == CALLS + 2
    assert members(project) == ["draft", "essay", "evaluation", "evaluation"]
    second_cohort(project, ["trial", "more"], {"top": {"cohort": "gone", "n": 1}})
    refused = project.run()
    assert refused.returncode == 1
    assert "snakemake --config 'cohorts=[gone]'" in refused.stdout


def test_essays_that_the_original_made_are_judged(own_server: Server, tmp_path: Path) -> None:
    project = make_project(tmp_path / "fresh", own_server)
    common = {"mode": "llm", "llm_model_id": "gemini", "origin_cohort_id": "theirs", "replicate": 1}
    draft = {"combo_id": "combo_v1_85128e4e5ef3", "template_id": "creative-synthesis-v10"}
    essay = {"parent_gen_id": "d_5ezrffv9uf3lr37d", "template_id": "creative-synthesis-v10"}
    for stage, gen_id, own in [("draft", "d_5ezrffv9uf3lr37d", draft), ("essay", "e_sq5klak2lljyyom", essay)]:
        folder = f"data/gens/{stage}/{gen_id}"
        project.write(f"{folder}/metadata.json", json.dumps({"stage": stage, "gen_id": gen_id, **common, **own}))
        project.write(f"{folder}/parsed.txt", "Theirs.\n")
    second_cohort(project, ["more"], {"essays": ["e_sq5klak2lljyyom"]})
    done = project.run()
    assert done.returncode == 0, done.stdout
    assert own_server.calls == 2
    assert "Theirs." in own_server.requests[0].body["messages"][-1]["content"]
    assert (project.root / "data/cohorts/more/reports/summary/ranking.csv").read_text().count("gemini") == 2
    assert project.read("data/gens/essay/e_sq5klak2lljyyom/parsed.txt") == "Theirs.\n"
