"""The examples of docs/extending.md, taken literally and run; and what no family may get wrong, on one of them."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from project import REPOSITORY, Project

PAGE = (REPOSITORY / "docs/extending.md").read_text(encoding="utf-8")
SHORT = ("A provider", "A parser", "An operator", "A format of conversations", "A quality tier", "A stage", "A family")
LATER = "A family that plans more during a run"
BLOCK = re.compile(r"^```(\w+)\n(?:# (\S+)|\{# (\S+) #\})\n(.*?)^```$", re.M | re.S)
RAW = REPOSITORY / "data/1_raw"


def sections() -> dict[str, str]:
    """The sections of the page by title."""
    return {part.partition("\n")[0]: part for part in PAGE.split("\n## ")[1:]}


def files_of(title: str) -> dict[str, str]:
    """The files of an example: text by path."""
    blocks = [(language, path or other, match) for match in BLOCK.finditer(sections()[title])
              for language, path, other in [match.group(1, 2, 3)]]  # fmt: skip
    return {path: f"{match[0].splitlines()[1]}\n{match[4]}" for language, path, match in blocks if language != "diff"}


def registration(title: str) -> tuple[str, str, str]:
    """(file, lines before, lines after) of the line that registers an example."""
    ((path, diff),) = [match.group(2, 4) for match in BLOCK.finditer(sections()[title]) if match[1] == "diff"]
    old = "".join(f"{line[1:]}\n" for line in diff.splitlines() if line[0] in " -")
    new = "".join(f"{line[1:]}\n" for line in diff.splitlines() if line[0] in " +")
    return path, old, new


@pytest.fixture(scope="module")
def extended(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of Dreamflow with all examples."""
    copy = tmp_path_factory.mktemp("dreamflow")
    for folder in ("scripts", "rules", "profiles", "envs", "config/schemas", "docs"):
        shutil.copytree(REPOSITORY / folder, copy / folder, ignore=shutil.ignore_patterns("__pycache__"))
    for file in ("Snakefile", "config/README.md", "pyproject.toml"):
        shutil.copy(REPOSITORY / file, copy / file)
    for title in sections():
        write(copy, title, ("scripts/", "rules/"))
        path, old, new = registration(title)
        text = (copy / path).read_text(encoding="utf-8")
        assert text.count(old) == 1, f"{path} does not contain what docs/extending.md changes: {old}"
        (copy / path).write_text(text.replace(old, new), encoding="utf-8")
    return copy


def write(root: Path, title: str, folders: tuple[str, ...]) -> None:
    """Write those files of an example that belong below these folders."""
    for path, text in files_of(title).items():
        if path.startswith(folders):
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            (root / path).write_text(text, encoding="utf-8")


def replayed(project: Project, name: str, *answers: dict[str, Any], **fields: Any) -> dict[str, Any]:
    """A model that gives recorded answers."""
    project.write(f"{name}.jsonl", "".join(json.dumps(answer) + "\n" for answer in answers))
    return {"provider": "replay", "name": f"{name}.jsonl", **fields}


@pytest.fixture
def project(extended: Path, tmp_path: Path) -> Project:
    """A project that the extended copy runs on; nothing is configured yet."""
    project = Project(tmp_path / "project", {}, {})
    project.repository = extended
    project.write("config/config.yaml", "results_top_n: 3\n")
    for title in sections():
        write(project.root, title, ("config/", "data/"))
    return project


def ran(project: Project, *arguments: str, **environment: str) -> str:
    done = project.run("--cores", "1", *arguments, **environment)
    assert done.returncode == 0, done.stdout
    return done.stdout


KEY = "sk-test-0123456789"
COHORT = {
    "combos": {"lists": [["a", "b"]]},
    "axes": {"draft_template": ["plain"], "draft_llm": ["writer"]},
    "output": {"field_order": ["combo_id"]},
    "stages": {"draft": {"min_lines": 1}},
}

# --- each example ---------------------------------------------------------------------------------------------------


def test_the_page_has_an_example_of_everything():
    assert tuple(sections()) == (*SHORT, LATER)


@pytest.mark.parametrize("title", SHORT)
def test_an_example_has_one_line_of_registration_and_fewer_than_40_lines_of_code(title: str):
    _, old, new = registration(title)
    assert len(set(new.splitlines()) - set(old.splitlines())) == 1
    files = [text.splitlines() for text in files_of(title).values()]
    assert max(map(len, files)) < 40
    assert sum(bool(line.strip()) for lines in files for line in lines) < 40


def test_the_examples_are_clean_code_and_the_configuration_follows_from_them(extended: Path):
    for command in (["check"], ["format", "--check"]):
        done = subprocess.run(
            [sys.executable, "-m", "ruff", *command, str(extended / "scripts")],
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout
    subprocess.run([sys.executable, str(extended / "scripts/write_schemas.py")], capture_output=True, check=True)
    schemas = {path.name.split(".")[0]: json.loads(path.read_text()) for path in extended.glob("config/schemas/*.json")}
    assert {"mottos", "riddles"} <= schemas["config"]["properties"].keys()
    assert "command" in schemas["models"]["$defs"]["ModelSettings"]["properties"]["provider"]["enum"]
    assert "memoise" in schemas["night"]["properties"]["kinds"]["items"]["enum"]
    assert "best" in schemas["chunking"]["$defs"]["Levels"]["properties"]
    tables = (extended / "config/README.md").read_text()
    assert "| `mottos` | `[]` | Mottos: names of files" in tables and "`command` (a program on this machine)" in tables


def test_a_format_of_conversations_is_read(extended: Path, tmp_path: Path):
    part = {"question": "Why ropes?", "answer": "They hold.", "at": 1714557600}
    (tmp_path / "a.json").write_text(json.dumps({"interviewee": "Ada", "answers": [part]}))
    (tmp_path / "b.json").write_text(
        json.dumps({"interviewee": "Ada", "answers": [part | {"aside": "She laughs a lot."}]})
    )
    script = (
        "from pathlib import Path; from dreamflow.chunks.readers import read_file\n"
        "for name in 'ab':\n    print(*read_file(Path(f'{name}.json'), Path('.'))[:2])"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=tmp_path,
        env={"PYTHONPATH": str(extended / "scripts")},
        capture_output=True,
        text=True,
        check=True,
    )
    one, other = done.stdout.splitlines()
    assert "interviewer: Why ropes?\\nAda: They hold.\\n" in one and "2024-05-01T10:00:00Z" in one
    assert "b.json: conversation 1: aside: text that no turn would have" in other


def test_a_provider_answers(project: Project):
    project.edit("config/config.yaml", cohorts=["trial"])
    project.write("config/models.yaml", {"models": {"writer": {"provider": "command", "name": "tr a-z A-Z"}}})
    project.write("config/cohorts/trial.yaml", COHORT)
    ran(project, "drafts")
    (gen_id,) = project.generations("draft")
    assert "WHAT A IS." in project.read(f"data/gens/draft/{gen_id}/parsed.txt")
    project.write("config/models.yaml", {"models": {"writer": {"provider": "comand", "name": "tr"}}})
    assert "did you mean 'command'?" in project.run("drafts").stdout


def test_a_parser_reads_answers(project: Project):
    project.edit("config/config.yaml", cohorts=["trial"])
    answers = [{"text": "No list here."}, {"text": "Here:\n- one\n* two\n\nDone."}]
    project.write("config/models.yaml", {"models": {"writer": replayed(project, "writer", *answers)}})
    project.write("config/cohorts/trial.yaml", COHORT)
    project.rows("data/1_raw/draft_templates.csv", ["template_id", "parser"], [["plain", "bullets"]])
    ran(project, "drafts")
    ((gen_id, made),) = project.generations("draft").items()
    assert project.read(f"data/gens/draft/{gen_id}/parsed.txt") == "one\ntwo\n"
    assert made["parser"] == "bullets/1" and made["parsed"]["items"] == 2
    assert "a list was expected" in made["attempts"][0]["reason"]


def test_an_operator_makes_variants(project: Project):
    project.edit("config/config.yaml", procedures=["trial"])
    project.write("config/procedures/trial.yaml", {"kinds": ["memoise"], "test": {"inputs": 3}})
    for suffix in (".py", ".yaml"):
        text = (RAW / f"procedures/webshop/quote_basket{suffix}").read_text()
        project.write(f"data/1_raw/procedures/webshop/quote_basket{suffix}", text)
    ran(project, "dreams")
    (gen_id,) = project.generations("variant")
    assert "@functools.cache\ndef quote_basket" in project.read(f"data/gens/variant/{gen_id}/parsed.py")
    assert gen_id in project.read("data/dreams/trial/cycle-1/dreams.csv")


def test_a_tier_is_a_target_of_upgrades(project: Project):
    project.edit("config/config.yaml", conversations=["trial"])
    about = {"labels": ["bread"], "language": "en", "entities": [], "summary": "On bread."}
    answer = {"text": json.dumps({"chunks": [{"from": 1, "to": 3, **about}]})}
    project.write("config/models.yaml", {"models": {"writer": replayed(project, "writer", answer)}})
    shutil.copytree(RAW / "templates/chunk", project.root / "data/1_raw/templates/chunk")
    project.write("data/1_raw/conversations/bread.txt", "Bread needs flour. It needs water too. Salt is optional.\n")
    ran(project, "chunks")
    shown = ran(project, "upgrade", "--config", "upgrade_target=best")
    assert "upgrade of trial to best (writer): 1 chunks" in shown
    result = project.read("data/chunks/result.json")
    assert result["quality_counts"] == {"basic": 0, "good": 0, "premium": 0, "best": 1}


def test_a_stage_is_made_with_the_rest_of_its_family(project: Project):
    project.edit("config/config.yaml", cohorts=["trial"])
    answers = [{"contains": "a title", "text": "On Joining"}, {"text": "A text."}]
    project.write("config/models.yaml", {"models": {"writer": replayed(project, "writer", *answers)}})
    axes = {**COHORT["axes"], "essay_template": ["long", "kept"], "essay_llm": ["writer"]}
    project.write("config/cohorts/trial.yaml", {**COHORT, "axes": axes})
    assert re.search(r"^title +writer +1 ", ran(project, "-n"), re.M)
    ran(project)
    ((gen_id, made),) = project.generations("title").items()
    assert project.read(f"data/gens/title/{gen_id}/parsed.txt") == "On Joining"
    assert made["parents"][0] in project.generations("essay")
    assert "0 generations" in ran(project, "orphans")
    assert "Nothing to be done" in ran(project)


def test_a_family_is_planned_and_made(project: Project):
    project.edit("config/config.yaml", mottos=["trial"])
    answers = [{"contains": "bread", "text": "Rise."}, {"contains": "salt", "text": "A pinch will do."}]
    project.write("config/models.yaml", {"models": {"writer": replayed(project, "writer", *answers)}})
    project.write("config/mottos/trial.yaml", {"model": "writer", "words": ["bread", "salt"]})
    assert "\n2 calls to make" in ran(project, "-n")
    ran(project)
    assert {meta["status"] for meta in project.generations("motto").values()} == {"ok"}
    assert "Nothing to be done" in ran(project)
    project.edit("config/config.yaml", mottos=["trail"])
    assert "unknown name 'trail'; did you mean 'trial'?" in project.run().stdout


# --- what no family may get wrong -----------------------------------------------------------------------------------

REFUSED = {"text": "I would rather not.", "finish_reason": "refusal"}


@pytest.fixture
def riddles(project: Project) -> Project:
    """Riddles about four words: one is refused at first, one gives its solution away, one is not solved at first."""
    project.edit("config/config.yaml", riddles=["trial"])
    makes = [
        {"contains": "about bread", "text": "It rises and is eaten."},
        {"contains": "about salt", "text": "It is salt."},
        {"contains": "about rain", "text": "It falls and is not hurt."},
        {"contains": "about snow", **REFUSED},
        {"contains": "about snow", "text": "It is white and melts."},
    ]
    solves = [
        {"contains": "rises", "text": "Bread!"},
        {"contains": "falls", **REFUSED},
        {"contains": "falls", "text": "Rain!"},
        {"contains": "melts", "text": "Snow!"},
    ]
    models = {
        "maker": replayed(project, "maker", *makes),
        "solver": replayed(project, "solver", *solves, api_key_env="SOLVER_KEY"),
    }
    project.write("config/models.yaml", {"models": models})
    words = ["bread", "salt", "rain", "snow"]
    project.write("config/riddles/trial.yaml", {"model": "maker", "solver": "solver", "words": words, "attempts": 1})
    return project


def texts(project: Project) -> list[str]:
    return [line["text"] for line in project.read("data/riddles/trial/table.json")]


def test_failed_generations_are_drawn_again_also_deferred_ones_and_what_was_skipped(riddles: Project):
    ran(riddles, SOLVER_KEY=KEY)
    assert texts(riddles) == ["Bread!", "", ""]
    statuses = sorted(meta["status"] for meta in riddles.generations("solution").values())
    assert statuses == ["failed", "ok", "skipped"]
    assert "Nothing to be done" in ran(riddles, SOLVER_KEY=KEY)
    shown = ran(riddles, "retry_failed", SOLVER_KEY=KEY)
    assert "2 failed generations" in shown
    assert {meta["status"] for meta in riddles.generations().values()} == {"ok"}
    assert texts(riddles) == ["Bread!", "Rain!", "Snow!"]
    assert "Nothing to be done" in ran(riddles, SOLVER_KEY=KEY)


def test_prune_keeps_what_a_product_refers_to(riddles: Project):
    ran(riddles, SOLVER_KEY=KEY)
    made = riddles.generations()
    shown = {gen_id for line in riddles.read("data/riddles/trial/table.json") for gen_id in line.values()} & {*made}
    assert len(made) == 7 and len(shown) == 6
    assert "0 generations" in ran(riddles, "prune")
    riddles.edit("config/config.yaml", riddles=[])
    assert "1 generations that no configured spec plans: removed" in ran(riddles, "prune")
    assert {*riddles.generations()} == shown


def test_a_missing_key_of_a_later_model_ends_the_run_before_any_call(riddles: Project):
    line = "environment variable SOLVER_KEY is not set: the 4 generations of model solver need it"
    assert line in ran(riddles, "-n") and line not in ran(riddles, "-n", SOLVER_KEY="k")
    done = riddles.run("--cores", "1", "--keep-going")
    assert done.returncode != 0 and not riddles.generations()
    assert line in done.stdout and "Nothing was done. Set what is missing, and run again." in done.stdout
    assert "Traceback" not in done.stdout
