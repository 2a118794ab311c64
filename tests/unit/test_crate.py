"""A cohort as an RO-Crate: the validator of its makers accepts it, and what it says is true."""

import csv
import json
from pathlib import Path

import pytest
import requests
import rocrate
from dreamflow.cohorts.combos import Combo
from dreamflow.cohorts.compile import Cohort
from dreamflow.cohorts.crate import write_crate
from dreamflow.generation.catalog import Catalog
from dreamflow.generation.layout import Layout
from dreamflow.generation.model import Generation, ModelIdentity
from recorded import Recorded
from requests_cache import CachedSession
from rocrate_validator import services
from rocrate_validator.models import Severity, ValidationSettings
from urllib3 import HTTPResponse

CONTEXT = "https://w3id.org/ro/crate/1.1/context"
JUDGE = ModelIdentity(model_id="judge", provider="openai", name="judge-1", revision="")


class FromLibrary(requests.adapters.BaseAdapter):
    """Answers with the context that the library of RO-Crates brings along."""

    def send(self, request, **options):
        body = (Path(rocrate.__file__).parent / "data/ro-crate.jsonld").open("rb")
        raw = HTTPResponse(body, {"Content-Type": "application/ld+json"}, 200, preload_content=False)
        return requests.adapters.HTTPAdapter().build_response(request, raw)

    def close(self):
        pass


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    """The validator's cache with the context of RO-Crates, so that it needs no network."""
    path = tmp_path_factory.mktemp("cache") / "http"
    with CachedSession(str(path), backend="sqlite", allowable_codes=(200,)) as session:
        session.mount("https://", FromLibrary())
        session.get(CONTEXT)
    return path


def problems(folder, cache):
    """What the validator has against a crate."""
    settings = ValidationSettings(
        rocrate_uri=str(folder),
        profile_identifier="ro-crate-1.1",
        requirement_severity=Severity.REQUIRED,
        offline=True,
        cache_path=cache,
    )
    return [issue.message for issue in services.validate(settings).get_issues()]


@pytest.fixture
def crate(tmp_path):
    """The crate of a cohort of one draft and two evaluations, of which one is made."""
    raw, root = tmp_path / "raw", tmp_path / "data"
    for path in ("templates/draft/plain.txt", "templates/evaluation/plain.txt", "concepts/descriptions-sentence/a.txt"):
        (raw / path).parent.mkdir(parents=True, exist_ok=True)
        (raw / path).write_text("What it is.")
    spec = tmp_path / "trial.yaml"
    spec.write_text("axes: {}\nmy_api_key: abc\n")
    made = Recorded(root)
    made.add("draft", "d_1", model_id=None, mode="copy")
    made.evaluation("v_1", "d_1", 5, cost_usd=0.25, provider="openai", model_name="judge-1")
    rows = [("d_1", "draft", None, []), ("v_1", "evaluation", JUDGE, ["d_1"]), ("v_2", "evaluation", JUDGE, ["d_1"])]
    generations = {
        gen_id: Generation(
            **{"family": "cohort", "gen_id": gen_id, "stage": stage, "mode": "llm" if model else "copy"},
            **{"template_id": "plain", "template_sha256": "", "parser": "identity/1", "max_attempts": 1},
            **{"min_lines": 1, "parents": parents, "model": model, "wildcards": {"combo_id": "c1"}},
        )
        for gen_id, stage, model, parents in rows
    }
    cohort = Cohort("trial", spec, [], generations, {"c1": Combo("c1", ("a",), "sentence", 1)})
    reports = root / "cohorts/trial/reports/summary"
    reports.mkdir(parents=True)
    (reports / "ranking.csv").write_text("rank\n1\n")
    folder = root / "export/crates/trial"
    (folder / "old.txt").parent.mkdir(parents=True)
    (folder / "old.txt").write_text("of an earlier crate")
    said = write_crate(cohort, Catalog(raw, {}), Layout(root), folder, "d_1 is best.")
    assert said == f"{folder}/: 2 of 3 generations, by 2 actions"
    return folder


def entities(folder):
    graph = json.loads((folder / "ro-crate-metadata.json").read_text())["@graph"]
    return {entity["@id"]: entity for entity in graph}


def test_a_crate_is_valid_and_the_validator_would_see_if_it_were_not(crate, cache):
    assert problems(crate, cache) == []
    metadata = json.loads((crate / "ro-crate-metadata.json").read_text())
    (root,) = (entity for entity in metadata["@graph"] if entity["@id"] == "./")
    del root["datePublished"]
    (crate / "ro-crate-metadata.json").write_text(json.dumps(metadata))
    (crate / "generations.csv").unlink()
    assert len(problems(crate, cache)) == 2


def test_a_crate_says_what_was_made_by_which_model_and_when(crate):
    known = entities(crate)
    parts = {part["@id"] for part in known["./"]["hasPart"]}
    files = {path.relative_to(crate).as_posix() for path in crate.rglob("*") if path.is_file()}
    assert parts == files - {"ro-crate-metadata.json"}
    assert {"cohort/trial.yaml", "templates/draft/plain.txt", "concepts/sentence/a.txt", "models.json"} <= parts
    assert {"tables/summary/ranking.csv", "workflow/Snakefile", "workflow/LICENSE"} <= parts
    assert "2 of 3 planned generations. d_1 is best." in known["./"]["description"]
    action = known["#evaluation-2"]
    assert action["startTime"] == action["endTime"] == "2026-01-01T00:02:00+00:00"
    assert [one["@id"] for one in action["instrument"]] == ["workflow/Snakefile", "#model-1"]
    assert (known["#model-1"]["name"], known["#model-1"]["description"]) == ("judge", "openai: judge-1")
    assert action["description"].startswith(
        "1 generations of the stage evaluation, 0 without a text; 100 tokens; 0.2500 US"
    )
    with (crate / "generations.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    assert [(row["gen_id"], row["parents"], row["cost_usd"]) for row in rows] == [
        ("d_1", "", "0.0"),
        ("v_1", "d_1", "0.25"),
    ]


def test_a_crate_keeps_no_secret(crate):
    assert "abc" not in (crate / "cohort/trial.yaml").read_text()
    assert json.loads((crate / "models.json").read_text()) == {
        "judge": {"name": "judge-1", "provider": "openai", "revision": ""}
    }
