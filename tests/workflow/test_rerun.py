"""Edit and rerun is exact: each change makes just the generations that it concerns, with just the calls they need."""

import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from project import Project
from server import Server


@pytest.fixture(params=["finished", "finished_in_shards"], ids=["jobs", "shards"])
def project(request: pytest.FixtureRequest, tmp_path: Path) -> Project:
    """A copy of a finished project, with Snakemake's records."""
    root = tmp_path / "project"
    shutil.copytree(request.getfixturevalue(request.param).root, root, symlinks=True)
    return Project.at(root)


CHAIN_OF_ONE_COMBO = {"draft": 1, "essay": 2, "evaluation": 2}
EVERYTHING = {"draft": 2, "essay": 4, "evaluation": 4}
EVALUATIONS = {"evaluation": 4}


def axes(**changes: list) -> Callable[[Project], None]:
    def change(project: Project) -> None:
        spec = project.read("config/cohorts/trial.yaml")
        project.edit("config/cohorts/trial.yaml", axes={**spec["axes"], **changes})

    return change


def text(path: str, content: str) -> Callable[[Project], None]:
    return lambda project: project.write(f"data/1_raw/{path}", content) and None


def sampling(model: str, **values: float) -> Callable[[Project], None]:
    def change(project: Project) -> None:
        models = project.read("config/models.yaml")["models"]
        models[model]["sampling"].update(values)
        project.edit("config/models.yaml", models=models)

    return change


def model(model_id: str, **changes: Any) -> Callable[[Project], None]:
    def change(project: Project) -> None:
        models = project.read("config/models.yaml")["models"]
        models[model_id].update(changes)
        project.edit("config/models.yaml", models=models)

    return change


def other_name_of_the_server(project: Project) -> None:
    url = project.read("config/models.yaml")["models"]["judge"]["base_url"]
    model("judge", base_url=url.replace("127.0.0.1", "localhost"))(project)


def nothing(project: Project) -> None:
    pass


def new_concept(project: Project) -> None:
    rows = [(c, c.title()) for c in "abcd"]
    project.rows("data/1_raw/concepts_metadata.csv", ["concept_id", "name"], rows)
    project.write("data/1_raw/concepts/descriptions-paragraph/d.txt", "What d is.\n")
    project.edit("config/cohorts/trial.yaml", combos={"lists": [["a", "b"], ["b", "c"], ["a", "d"]]})


def other_parser(project: Project) -> None:
    rows = [("novelty", "complex", "llm"), ("rigor", "in_last_line", "llm")]
    project.rows("data/1_raw/evaluation_templates.csv", ["template_id", "parser", "generator"], rows)


def renamed_cohort(project: Project) -> None:
    cohorts = project.root / "config/cohorts"
    (cohorts / "trial.yaml").rename(cohorts / "renamed.yaml")
    project.edit("config/config.yaml", cohorts=["renamed"])


def second_cohort(project: Project) -> None:
    """Another cohort asks the same questions through a template of another name."""
    twin = project.read("data/1_raw/templates/draft/plain.txt")
    project.write("data/1_raw/templates/draft/twin.txt", twin)
    spec = project.read("config/cohorts/trial.yaml")
    spec["axes"]["draft_template"] = ["twin"]
    project.write("config/cohorts/second.yaml", spec)
    project.edit("config/config.yaml", cohorts=["trial", "second"])


def deleted_folder(project: Project) -> None:
    shutil.rmtree(project.root / "data/gens")


DRAFT = "Join these.\n{% for concept in concepts %}{{ concept.name }}: {{ concept.content }}\n{% endfor %}\n"
renders_alike = text("templates/draft/plain.txt", "{# why #}" + DRAFT)
TABLE = [
    ("nothing changed", nothing, {}, 0),
    ("a model more", axes(draft_llm=["writer", "second"]), EVERYTHING, 8),
    ("an evaluation template more", axes(evaluation_template=["novelty", "rigor"]), EVALUATIONS, 4),
    ("a replicate more", axes(evaluation_replicate=[1, 2]), EVALUATIONS, 4),
    ("a concept more", new_concept, CHAIN_OF_ONE_COMBO, 4),
    ("a draft template edited", text("templates/draft/plain.txt", DRAFT + "Briefly."), EVERYTHING, 8),
    ("an evaluation template edited", text("templates/evaluation/novelty.txt", "Rate {{ response }}"), EVALUATIONS, 4),
    ("a concept's text edited", text("concepts/descriptions-paragraph/a.txt", "Not a."), CHAIN_OF_ONE_COMBO, 4),
    ("an edit that renders alike", renders_alike, EVERYTHING, 0),
    ("the evaluator's temperature", sampling("judge", temperature=0.1), EVALUATIONS, 4),
    ("two parameters swap values", sampling("judge", temperature=0.9, top_p=0.5), EVALUATIONS, 4),
    ("more fields of the request", model("judge", extra_body={"reasoning": {"effort": "high"}}), EVALUATIONS, 4),
    ("another name of a private server", other_name_of_the_server, {}, 0),
    ("another price", model("judge", price={"prompt": 9.0, "completion": 9.0}), {}, 0),
    ("another parser", other_parser, EVALUATIONS, 0),
    ("the cohort renamed", renamed_cohort, {}, 0),
    ("the same prompts in a second cohort", second_cohort, EVERYTHING, 0),
    ("the generations deleted", deleted_folder, EVERYTHING, 0),
    ("an unused template edited", text("templates/draft/spare.txt", "Other."), {}, 0),
]


def kept(project: Project) -> Project:
    return project


def deleted(project: Project) -> Project:
    shutil.rmtree(project.root / ".snakemake")
    return project


def half_deleted(project: Project) -> Project:
    notes = sorted(path for path in (project.root / ".snakemake/metadata").rglob("*") if path.is_file())
    for path in notes[::2]:
        path.unlink()
    return project


def copied(project: Project) -> Project:
    """All files are new, in whatever order they were copied."""
    root = project.root.with_name("copied")
    shutil.copytree(project.root, root, copy_function=shutil.copy)
    return Project.at(root)


def copied_without_notes(project: Project) -> Project:
    return deleted(copied(project))


def other_spelling(project: Project) -> Project:
    project.edit("config/config.yaml", data_root="./data")
    return project


NOTES = [kept, deleted, half_deleted, copied, copied_without_notes, other_spelling]


def touched(project: Project) -> None:
    """Every input and every result is newer than it was, the results in an order that is not theirs."""
    for path in sorted(project.root.glob("data/**/*.*"), reverse=True):
        path.touch()


def edited_result(project: Project) -> None:
    """A draft was corrected by hand."""
    (path,) = list(project.root.glob("data/gens/draft/*/parsed.txt"))[:1]
    path.write_text("Corrected.\n")


def stamps(project: Project) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in project.root.glob("data/gens/*/*/metadata.json")}


def remade(project: Project, before: dict[Path, int]) -> dict[str, int]:
    """How many generations of each stage have been written since `before`."""
    return dict(Counter(path.parts[-3] for path, stamp in stamps(project).items() if before.get(path) != stamp))


@pytest.mark.parametrize(
    ("change", "made", "calls"), [row[1:] for row in TABLE], ids=[row[0].replace(" ", "-") for row in TABLE]
)
def test_a_change_makes_what_it_concerns(
    project: Project, server: Server, change: Callable[[Project], None], made: dict[str, int], calls: int
) -> None:
    before, calls_before = stamps(project), server.calls
    change(project)
    done = project.run()
    assert done.returncode == 0, done.stdout
    if change is renders_alike and "shards" in project.read("config/config.yaml"):
        made = {"draft": 2}  # the job of a shard sees that the texts are as they were
    assert remade(project, before) == made
    assert server.calls - calls_before == calls
    assert "Nothing to be done" in project.run("--quiet", "host").stdout


@pytest.mark.parametrize("notes", NOTES, ids=lambda notes: notes.__name__)
@pytest.mark.parametrize(
    ("change", "made", "calls"),
    [
        pytest.param(text("templates/draft/plain.txt", DRAFT + "Briefly."), EVERYTHING, 8, id="edited-template"),
        pytest.param(sampling("judge", temperature=0.1), EVALUATIONS, 4, id="edited-model"),
        pytest.param(edited_result, {"essay": 2, "evaluation": 2}, 3, id="edited-result"),
        pytest.param(touched, {}, 0, id="touched"),
    ],
)
def test_a_change_is_noticed_whatever_became_of_the_notes_of_snakemake(
    project: Project,
    server: Server,
    notes: Callable[[Project], Project],
    change: Callable[[Project], None],
    made: dict[str, int],
    calls: int,
) -> None:
    project = notes(project)
    change(project)
    before, calls_before = stamps(project), server.calls
    forecast = project.run("-n").stdout
    assert forecast.count("calls to make") == 1
    assert f"\n{calls} calls to make" in forecast
    done = project.run()
    assert done.returncode == 0, done.stdout
    assert remade(project, before) == made
    assert server.calls - calls_before == calls
    assert "Nothing to be done" in project.run("--quiet", "host").stdout


def test_what_is_rebuilt_from_the_store_is_the_same_to_the_byte(project: Project, server: Server) -> None:
    def contents() -> dict[Path, bytes]:
        files = project.root.glob("data/gens/*/*/*")
        return {path: path.read_bytes() for path in files}

    before, calls = contents(), server.calls
    deleted_folder(project)
    project.run()
    assert contents() == before
    assert server.calls == calls


def test_a_dropped_model_leaves_orphans_that_only_prune_removes(project: Project, server: Server) -> None:
    axes(draft_llm=["second"])(project)
    dropped = set(project.generations())
    assert project.run().returncode == 0
    assert dropped < set(project.generations())
    listed = project.run("orphans")
    assert "10 generations that no configured spec plans" in listed.stdout
    assert all(gen_id in listed.stdout for gen_id in dropped)
    assert dropped < set(project.generations())
    assert project.run("prune").returncode == 0
    assert not dropped & set(project.generations())
    calls = server.calls
    axes(draft_llm=["writer"])(project)
    assert project.run().returncode == 0
    assert set(project.generations()) >= dropped
    assert server.calls == calls
