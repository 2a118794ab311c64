"""The pages on cohorts: their numbers are those of the tables, and foreign texts stay texts."""

import csv
import json
import re
from html.parser import HTMLParser

import pytest
from dreamflow.cohorts import text_pages
from dreamflow.files import pretty, write_atomic
from dreamflow.generation.model import Result, Usage, as_json
from dreamflow.reports.tables import write_reports
from dreamflow.site.build import write_pages
from dreamflow.site.generations import read_shown
from plans import planned
from project import Project

MODELS = {
    "m1": {"provider": "replay", "name": "answers.jsonl", "price": {"prompt": 1, "completion": 2}},
    "m2": {"provider": "replay", "name": "answers.jsonl"},
    "judge": {"provider": "replay", "name": "answers.jsonl"},
}
SPEC = {
    "combos": {"lists": [["a", "b"], ["b", "c"]], "level": "paragraph"},
    "axes": {
        "draft_template": ["plain"],
        "draft_llm": ["m1", "m2"],
        "essay_template": ["long", "kept"],
        "evaluation_template": ["novelty", "rigor"],
        "evaluation_llm": ["judge", "m1"],
    },
}
HOSTILE = "# <script>alert('title')</script>\n\nSee [this](javascript:alert(1)) <img src=x onerror=alert(2)>\n"


@pytest.fixture
def trial(tmp_path, monkeypatch):
    """A project whose generations can be made by hand."""
    project = Project(tmp_path / "project", MODELS, SPEC)
    project.write("answers.jsonl", "")
    monkeypatch.chdir(project.root)
    return project


def make(plan, *, without=(), failed=(), texts=None):
    """Write the files of the generations: scores go up with the place in the plan."""
    rows = plan.world.generations
    for place, (gen_id, row) in enumerate(rows.items()):
        if gen_id in without:
            continue
        score = place % 10
        text = f"Because of {gen_id}.\nSCORE: {score}" if row.stage == "evaluation" else f"# Title {gen_id}\n\nBody."
        text = (texts or {}).get(gen_id, text)
        result = Result(
            **{"gen_id": gen_id, "stage": row.stage, "mode": row.mode, "template_id": row.template_id},
            **{"parents": list(row.parents), "wildcards": dict(row.wildcards), "replicate": row.replicate},
            **{"model_id": row.model.model_id if row.mode == "llm" else None, "provider": "replay", "model_name": "r"},
            **{"sampling": {"temperature": 0.5, "max_tokens": 99}, "parser_options": dict(row.parser_options)},
            status="failed" if gen_id in failed else "ok",
            reason="truncated: three times" if gen_id in failed else "",
            usage=Usage(prompt_tokens=1200, completion_tokens=34),
            cost_usd=0.25 if row.mode == "llm" else None,
            latency_s=1.5,
            parsed={"warnings": [f"odd: {gen_id}"] if row.stage == "draft" else []},
            created_at="2026-01-02T03:04:05+00:00",
        )
        folder = plan.world.layout.generation(row.stage, gen_id)
        parsed = f"{text.split('.')[0]}\n{score}" if row.stage == "evaluation" else text
        files = {"prompt.txt": f"Asked for {gen_id}.", "raw.txt": text, "parsed.txt": parsed}
        for name, content in files.items():
            write_atomic(folder / name, content)
        write_atomic(folder / "metadata.json", pretty(as_json(result)))


def pages_of(plan):
    return {page.path: page for page in plan.families["cohorts"].pages()}


def built(plan, folder):
    """The site of the cohorts in a folder, and its HTML pages by path."""
    write_pages(plan.families["cohorts"].pages(), folder)
    return {path.relative_to(folder).as_posix(): path.read_text() for path in folder.glob("cohorts/**/*.html")}


class Reader(HTMLParser):
    """The elements of a page, the addresses of its links, and its text."""

    def __init__(self, page):
        super().__init__()
        self.tags, self.links, self.text, self.attributes = [], [], "", []
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [name for name, _ in attrs]
        self.links += [value for name, value in attrs if name in ("href", "src") and value]

    def handle_data(self, data):
        self.text += data


def test_the_leaderboard_and_its_figures_are_those_of_the_tables(trial):
    plan = planned({"cohorts": ["trial"]})
    evaluations = [gen_id for gen_id in plan.world.generations if gen_id.startswith("v_")]
    make(plan, without=evaluations[:1], failed=evaluations[5:11:5])
    family = plan.families["cohorts"]
    write_reports(family.cohorts["trial"], trial.root / "data", trial.root / "reports", family.scores("trial"))
    with (trial.root / "reports/summary/ranking.csv").open() as stream:
        ranking = [row for row in csv.DictReader(stream) if row["judged_stage"] == "essay"]
    facts = pages_of(plan)["cohorts/trial/index.html"].facts
    assert len(facts["boards"][0]["texts"]) == len(ranking) == 8
    for (rank, link, score, n, *_), row in zip(facts["boards"][0]["texts"], ranking, strict=True):
        assert (rank, n) == (int(row["rank"]), f"{row['scores']}/{row['planned']}")
        assert row["gen_id"] in (link[0] if isinstance(link, list) else link).target
        assert score.value == pytest.approx(float(row["mean"]), abs=1e-4)
        assert score.low == pytest.approx(float(row["ci_low"]), abs=1e-4)
    with (trial.root / "reports/analysis/paired_differences.csv").open() as stream:
        differences = list(csv.DictReader(stream))
    shown = [(row[1], row[2], round(row[5].value, 4), row[7]) for row in facts["differences"]]
    expected = [(r["level_a"], r["level_b"], float(r["difference"]), int(r["pairs"])) for r in differences]
    assert shown == expected
    assert {row[6].text for row in facts["differences"]} == {"too few combinations"}  # there are two
    assert (facts["made"], facts["planned"]) == (len(evaluations) - 3, len(evaluations))
    assert ("evaluations", str(facts["made"]), f"of {len(evaluations)}: 1 not made yet, 2 failed") in facts["progress"]
    assert [row[2].text for row in facts["gaps"]] == ["missing", "failed", "failed"]
    assert facts["remedy"] == "snakemake retry_failed"
    written = sum(row.mode == "llm" for gen_id, row in plan.world.generations.items() if gen_id != evaluations[0])
    assert facts["cost"].value == pytest.approx(0.25 * written)
    assert "Not complete" in built(plan, trial.root / "site")["cohorts/trial/index.html"]


def test_a_text_is_shown_with_everything_that_it_comes_from(trial):
    plan = planned({"cohorts": ["trial"]})
    make(plan)
    pages = built(plan, trial.root / "site")
    page = pages_of(plan)["cohorts/trial/index.html"]
    best = page.facts["boards"][0]["texts"][0][1]
    best = best[0] if isinstance(best, list) else best
    text = Reader(pages[best.target]).text
    draft = next(row.parents[0] for gen_id, row in plan.world.generations.items() if f"/{gen_id}." in best.target)
    rows = plan.world.generations.items()
    judges = [gen_id for gen_id, row in rows if row.parents and f"/{row.parents[0]}." in best.target]
    concepts = plan.world.generations[draft].wildcards["combo_id"]
    for concept in plan.families["cohorts"].cohorts["trial"].combos[concepts].concept_ids:
        assert f"What {concept} is." in text
    for expected in (f"Asked for {draft}.", f"odd: {draft}", *(f"Because of {gen_id}." for gen_id in judges)):
        assert expected in text
    for expected in ("temperature 0.5, at most 99 tokens", "1,200 tokens", "$0.2500", "1.5 s", "2026-01-02 03:04"):
        assert expected in text
    for path, content in pages.items():
        for link in Reader(content).links:
            place = link.partition("#")[0]
            if place and "://" not in link and not link.startswith("data:") and path.count("/") == 2:
                target = (trial.root / "site" / path).parent / place
                assert target.exists() or target.parts[-2] in ("procedures", "conversations", "models", "spending")


def test_the_search_finds_texts_drafts_and_evaluations_at_their_places(trial):
    plan = planned({"cohorts": ["trial"]})
    make(plan)
    pages, found = built(plan, trial.root / "site"), {}
    for path, page in pages_of(plan).items():
        for document in page.documents:
            found.setdefault(document.kind, []).append(document)
            assert f'id="{document.anchor}"' in pages[path]
    assert {kind: len(documents) for kind, documents in found.items()} == {"essay": 8, "draft": 4, "evaluation": 32}


def test_foreign_texts_cannot_become_markup(trial):
    plan = planned({"cohorts": ["trial"]})
    make(plan, texts=dict.fromkeys(plan.world.generations, HOSTILE))
    pages = built(plan, trial.root / "site")
    assert len(pages) == 8 + 3
    for page in pages.values():
        reader = Reader(page)
        assert "onerror" not in reader.attributes
        assert not [link for link in reader.links if link.startswith("javascript:")]
        assert "<script>alert" not in page
    data = [path.read_text() for path in (trial.root / "site/cohorts/trial/data").iterdir()]
    assert len(data) == 8
    assert not any("<" in text for text in data)
    value = json.loads(re.fullmatch(r"dreamflowText\((.*)\);\n", data[0])[1])
    assert value["title"] == "<script>alert('title')</script>"
    assert "<script" not in value["html"]


def test_a_text_without_scores_or_a_project_without_texts_says_what_to_run(trial):
    plan = planned({"cohorts": ["trial"]})
    make(plan, without=[gen_id for gen_id in plan.world.generations if gen_id.startswith("v_")])
    page = built(plan, trial.root / "site")["cohorts/trial/index.html"]
    assert "Nothing is scored yet" in page
    assert "snakemake cohorts" in page
    assert "snakemake cohorts" in built(planned({"cohorts": []}), trial.root / "nothing")["cohorts/index.html"]


def test_a_cohort_without_generations_has_a_page(trial):
    page = built(planned({"cohorts": ["trial"]}), trial.root / "site")["cohorts/trial/index.html"]
    assert "No text is finished yet" in page


def test_a_cohort_that_is_no_longer_configured_is_shown_from_its_table(trial):
    plan = planned({"cohorts": ["trial"]})
    make(plan)
    family = plan.families["cohorts"]
    folder = trial.root / "data/cohorts"
    write_reports(family.cohorts["trial"], trial.root / "data", folder / "trial/reports", family.scores("trial"))
    trial.rows("data/cohorts/foreign/reports/summary/evaluation_scores.csv", ["gen_id"], [("x",)])
    before = pages_of(plan)["cohorts/trial/index.html"].facts
    later = pages_of(planned({"cohorts": []}))
    after = later["cohorts/trial/index.html"].facts
    assert not after["is_configured"]
    assert [(row[0], row[1], row[3]) for row in after["boards"][0]["texts"]] == [
        (row[0], row[1], row[3]) for row in before["boards"][0]["texts"]
    ]
    means = [row[2].value for row in before["boards"][0]["texts"]]
    assert [row[2].value for row in after["boards"][0]["texts"]] == pytest.approx(
        means, abs=1e-4
    )  # the table has four decimals
    assert after["cost"] == before["cost"]
    assert "cohorts/foreign/index.html" not in later
    assert [line["cohort_id"] for line in later["cohorts/index.html"].facts["cohorts"]] == ["foreign", "trial"]


def test_a_damaged_generation_hides_only_its_cohort(trial):
    trial.write("config/cohorts/other.yaml", {**SPEC, "combos": {"lists": [["a", "c"]], "level": "paragraph"}})
    plan = planned({"cohorts": ["trial", "other"]})
    make(plan)
    first = next(iter(plan.families["cohorts"].cohorts["trial"].generations))
    trial.write(f"data/gens/draft/{first}/metadata.json", "{")
    pages = built(plan, trial.root / "site")
    assert "cohorts/other/index.html" in pages
    assert f"{first}/metadata.json: damaged" in pages["cohorts/index.html"]


def test_the_best_texts_have_pages_and_the_page_says_how_many(trial, monkeypatch):
    monkeypatch.setattr(text_pages, "PAGES", 2)
    plan = planned({"cohorts": ["trial"]})
    make(plan)
    pages = built(plan, trial.root / "site")
    assert len([path for path in pages if "/e_" in path]) == 2
    assert "The best 2 of 8 have a page" in " ".join(pages["cohorts/trial/index.html"].split())
    assert len(pages_of(plan)["cohorts/trial/index.html"].facts["boards"][0]["texts"]) == 8


def test_a_generation_of_the_original_pipeline_is_shown_with_its_model(tmp_path):
    metadata = {"gen_id": "e_x", "stage": "essay", "mode": "llm", "parent_gen_id": "d_x", "template_id": "old"}
    write_atomic(tmp_path / "gens/essay/e_x/metadata.json", json.dumps({**metadata, "llm_model_id": "gemini"}))
    shown = read_shown(tmp_path, "essay", "e_x")
    assert (shown.model_id, shown.text) == ("gemini", None)
    assert ("model", "gemini") in shown.facts
    assert read_shown(tmp_path, "essay", "e_y") is None
