"""`snakemake --report`: each category has its files, also those that no job of the default target makes."""

import json
import re
import shutil
import zipfile

import pytest
from dreamflow.public_text import public_text
from dreamflow.workflow_report import page_of
from project import REPOSITORY, Project

RAW = REPOSITORY / "data/1_raw"


def shown(project: Project, name: str) -> dict[str, str]:
    """The text of every result in a report by its category, subcategory and name; fails if a file is missing."""
    done = project.run("--report", name)
    assert done.returncode == 0, done.stdout
    found = {}
    with zipfile.ZipFile(project.root / name) as archive:
        (page,) = (entry for entry in archive.namelist() if entry.endswith("report.html"))
        text, folder = archive.read(page).decode("utf-8"), page.removesuffix("report.html")
        results, categories = (
            json.JSONDecoder().raw_decode(text, re.search(rf"var {what} = (?={{)", text).end())[0]
            for what in ("results", "categories")
        )
        for category, parts in categories.items():
            for part, paths in parts.items():
                for path in paths:
                    result = results[path]
                    assert result["caption"]
                    content = archive.read(f"{folder}{result['data_uri']}").decode("utf-8")
                    found[f"{category}/{part}/{result['name']}"] = content
    return found


def test_a_report_has_the_results_of_every_run(project: Project):
    project.write("config/probes/early.yaml", {"tasks": {"kinds": ["facts"]}, "models": ["writer"]})
    project.write("data/1_raw/probe/facts.jsonl", (RAW / "probe/facts.jsonl").read_text())
    shutil.copytree(RAW / "templates/answer", project.root / "data/1_raw/templates/answer")
    project.edit("config/config.yaml", probes=["early"])
    page = "# Probe early\n\n- writer solves 1.\n\n![accuracy](accuracy.png)\n"
    project.write("data/probes/early/report.md", page)  # made by a run with another target
    project.write("data/probes/early/accuracy.svg", "<svg/>")
    first = shown(project, "one.zip")
    names = {
        *("Cohorts/cohort trial/00-summary.html", "Cohorts/cohort trial/ranking.csv"),
        *("Models/probe early/00-summary.html", "Models/probe early/accuracy.svg", "Spending/Ledger/by_model.csv"),
        *("Configuration/Models/models.html", "Configuration/Cohorts/trial.html"),
        "Provenance/Versions and counts/provenance.html",
    }
    assert names <= first.keys()
    assert "4 essays by writer have 4 scores by judge on novelty." in first["Cohorts/cohort trial/00-summary.html"]
    assert "data:image/svg+xml;base64," in first["Models/probe early/00-summary.html"]
    assert sum(name.startswith("Cohorts/cohort trial/0") for name in first) == 5  # and four essays
    assert project.run().returncode == 0
    assert shown(project, "two.zip").keys() == first.keys()
    (project.root / "data/cohorts/trial/reports/summary/ranking.csv").unlink()  # as after a run that was interrupted
    assert first.keys() - shown(project, "three.zip").keys() == {"Cohorts/cohort trial/ranking.csv"}


@pytest.mark.parametrize(
    ("text", "public"),
    [
        ("  my_api_key: abc\n", "  my_api_key: (hidden)\n"),
        ("api_key_env: MY_KEY\n", "api_key_env: MY_KEY\n"),
        ("headers:\n  Authorization: Bearer x\n", "headers:\n  Authorization: (hidden)\n"),
        ("base_url: https://me:secret@host/v1\n", "base_url: https://host/v1\n"),
        ("max_tokens: 20\n", "max_tokens: 20\n"),
    ],
)
def test_secrets_are_not_in_a_report(text, public):
    assert public_text(text) == public


def test_a_page_obeys_no_text_and_needs_no_file(tmp_path):
    page = tmp_path / "README.md"
    page.write_text("---\nscore: <b>\n---\n# A\n\n<script>x</script> [text](other.md) ![a](none.png)\n")
    made = page_of(page)
    assert "<script>" not in made
    assert "&lt;b&gt;" in made
    assert "other.md" not in made
    assert "no figure none.png" in made
