"""scripts/compile_spec.py: the rows of a spec for people and scripts, and the two reference cohorts."""

import csv
import io
import json
import subprocess
import sys
from pathlib import Path

import pytest
from compile_spec import main
from project import REPOSITORY, Project

SPEC = {
    "combos": {"lists": [["a", "b"]]},
    "axes": {
        "draft_template": ["plain"],
        "generation_llm": ["writer"],
        "essay_template": ["long", "kept"],
        "evaluation_template": ["novelty"],
        "evaluation_llm": ["judge"],
    },
    "output": {"field_order": ["essay_template"]},
}
MODELS = {name: {"provider": "openai", "name": name} for name in ("writer", "judge")}


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    monkeypatch.chdir(tmp_path)
    return Project(tmp_path, MODELS, SPEC)


def rows_of(capsys: pytest.CaptureFixture[str], *arguments: str) -> list[dict[str, str]]:
    assert main(list(arguments)) == 0
    return list(csv.DictReader(io.StringIO(capsys.readouterr().out)))


def test_rows_are_printed_in_the_order_of_their_fields(project: Project, capsys: pytest.CaptureFixture[str]) -> None:
    rows = rows_of(capsys, "config/cohorts/trial.yaml")
    columns = "essay_template combo_id draft_template draft_llm evaluation_template evaluation_llm"
    assert [" ".join(row) for row in rows] == [columns, columns]
    assert [row["essay_template"] for row in rows] == ["long", "kept"]
    assert rows == rows_of(capsys, "trial")  # by name


def test_json_lines_keep_numbers(project: Project, capsys: pytest.CaptureFixture[str]) -> None:
    project.edit("config/cohorts/trial.yaml", axes={**SPEC["axes"], "draft_replicate": [1, 2]})
    assert main(["trial", "--format", "jsonl"]) == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [row["draft_replicate"] for row in rows] == [1, 2, 1, 2]


def test_ids_are_those_that_the_workflow_plans(project: Project, capsys: pytest.CaptureFixture[str]) -> None:
    rows = rows_of(capsys, "trial", "--ids")
    assert list(rows[0])[-3:] == ["draft_gen_id", "essay_gen_id", "evaluation_gen_id"]
    assert len({row["draft_gen_id"] for row in rows}) == 1
    assert len({row["evaluation_gen_id"] for row in rows}) == 2
    project.edit("config/cohorts/trial.yaml", stages={"evaluation": {"judges": ["draft", "essay"]}})
    both = rows_of(capsys, "trial", "--ids")
    of_draft, of_essay = both[0]["evaluation_gen_id"].split(" ")
    assert of_essay == rows[0]["evaluation_gen_id"] != of_draft


def test_rows_need_neither_models_nor_templates(project: Project, capsys: pytest.CaptureFixture[str]) -> None:
    (project.root / "config/config.yaml").unlink()
    (project.root / "config/models.yaml").unlink()
    (project.root / "data/1_raw/draft_templates.csv").unlink()
    moved = (project.root / "data/1_raw").rename(project.root / "elsewhere")
    assert len(rows_of(capsys, "trial", "--raw-root", str(moved))) == 2
    spec = {key: SPEC[key] for key in ("axes", "output")}
    project.write("bare.yaml", {**spec, "axes": {**SPEC["axes"], "combo_id": ["combo_v1_0"]}})
    assert len(rows_of(capsys, "bare.yaml", "--raw-root", "nowhere")) == 2


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["nowhere"], ["config/cohorts/nowhere.yaml", "no such file"]),
        (["trial", "--raw-root", "nowhere"], ["nowhere", "no such folder"]),
        (["odd.yaml"], ["odd.yaml", "'draft_modell'"]),
        (["many.yaml"], ["many.yaml", "axes", "output", "rulez"]),
        (["unknown.yaml", "--ids"], ["unknown.yaml", "axes.draft_llm", "'nobody'"]),
    ],
)
def test_an_error_is_one_line(
    project: Project, capsys: pytest.CaptureFixture[str], arguments: list[str], expected: list[str]
) -> None:
    project.write("odd.yaml", {**SPEC, "axes": {**SPEC["axes"], "draft_modell": ["x"]}})
    project.write("many.yaml", {"rulez": {}})
    axes = {key: value for key, value in SPEC["axes"].items() if key != "generation_llm"}
    project.write("unknown.yaml", {**SPEC, "axes": {**axes, "draft_llm": ["nobody"]}})
    assert main(arguments) == 1
    printed = capsys.readouterr()
    assert not printed.out
    assert len(printed.err.splitlines()) == 1
    for part in ["compile_spec: ", *expected]:
        assert part in printed.err


def test_a_reader_that_stops_early_is_no_error(project: Project) -> None:
    project.edit("config/cohorts/trial.yaml", axes={**SPEC["axes"], "draft_replicate": list(range(1, 20001))})
    command = f"{sys.executable} {REPOSITORY / 'scripts/compile_spec.py'} trial | head -1"
    done = subprocess.run(["bash", "-o", "pipefail", "-c", command], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("essay_template,")


PUBLISHED = {  # originals.md §1.3
    "combo_v1_85128e4e5ef3": ("d_5ezrffv9uf3lr37d", "e_sq5klak2lljyyom"),
    "combo_v1_f74195c24ea7": ("d_3cxfemmhegfzaguo", "e_1cx6440bb5zj9466"),
    "combo_v1_13c725cf02fa": ("d_1z2eobtuv71xs5az", "e_4nqjjtqtnpxlljlz"),
}


@pytest.mark.parametrize("cohort", ["best_novelty_all_evals", "creative-synthesis-gap-v1"])
def test_the_reference_cohorts_have_the_published_ids(
    cohort: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(REPOSITORY)
    rows = rows_of(capsys, cohort, "--ids")
    planned = {(row["combo_id"], row["draft_gen_id"], row["essay_gen_id"]) for row in rows}
    assert {(combo, *ids) for combo, ids in PUBLISHED.items()} <= planned
    assert "v_4xdwfjt7penqwg2g" in {row["evaluation_gen_id"] for row in rows}
    if cohort == "best_novelty_all_evals":
        assert len(planned) == 3
        assert {"v_1fo1pv48lzrkhwlh", "v_2pzejj5kr4xwdzil"} <= {row["evaluation_gen_id"] for row in rows}
    else:
        assert not [row for row in rows if row["draft_llm"] == row["evaluation_llm"]]
