"""The frame of the site: pages, and those that are gone, errors, tables, foreign texts, the index of the search."""

import json
import re

import pytest
from dreamflow.errors import DreamflowError
from dreamflow.plan import compile_plan
from dreamflow.site.build import Site, write_pages, write_site
from dreamflow.site.page import SECTIONS, Document, Page, section_path
from dreamflow.site.parts import Amount, Badge, Column, Interval, Link, usd
from dreamflow.site.render import LONG, environment
from dreamflow.site.search_index import SHARD, Index, count_terms, folded
from dreamflow.site.shared import Surroundings
from dreamflow.site.text import rendered
from project import Project

HOSTILE = "</script><script>alert(1)</script><!-- \" ' & "


def page(name, *documents, section="cohorts", **more):
    return Page(f"{section}/{name}.html", name.title(), section, "section.html", {"entries": ()}, "", documents, **more)


def read(folder, path):
    return (folder / path).read_text(encoding="utf-8")


def test_every_section_has_a_page_that_lists_its_pages(tmp_path):
    assert str(tmp_path) in write_pages([page("one"), page("two")], tmp_path)
    for section in SECTIONS:
        assert (tmp_path / section_path(section)).exists()
    assert 'href="one.html"' in read(tmp_path, "cohorts/index.html")
    assert 'href="two.html"' in read(tmp_path, "cohorts/index.html")


def test_a_family_may_have_a_section_of_its_own(tmp_path):
    site = Site(tmp_path, ["mottos"])
    site.add("mottos", lambda: [page("one", section="mottos")])
    assert "not on the site" not in site.finish()
    assert '<a href="../mottos/index.html">Mottos</a>' in read(tmp_path, "runs/index.html")
    assert "One" in read(tmp_path, "mottos/index.html")


def test_what_has_not_changed_is_not_written_and_what_is_gone_is_removed(tmp_path):
    write_pages([page("one", Document("essay", "One", "some words")), page("two")], tmp_path)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*") if path.is_file()}
    write_pages([page("one", Document("essay", "One", "some words"))], tmp_path)
    after = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*") if path.is_file()}
    assert before.keys() - after.keys() == {tmp_path / "cohorts/two.html"}
    assert {path for path in after if after[path] != before[path]} == {tmp_path / "cohorts/index.html"}


def broken_pages():
    yield page("one")
    raise DreamflowError("data/x.json: damaged. Delete it")


def test_an_error_of_a_family_stops_neither_its_earlier_pages_nor_the_others(tmp_path):
    site = Site(tmp_path)
    site.add("cohorts", broken_pages)
    site.add("procedures", lambda: [page("two", section="procedures"), page("three", section="procedures")])
    said = site.finish()
    assert "data/x.json: damaged" in said
    assert "data/x.json: damaged" in read(tmp_path, "cohorts/index.html")
    assert (tmp_path / "cohorts/one.html").exists() and (tmp_path / "procedures/three.html").exists()
    assert "damaged" not in read(tmp_path, "procedures/index.html")


def test_a_page_that_cannot_be_shown_says_why_and_the_others_are_there(tmp_path):
    wrong = Page("cohorts/wrong.html", "Wrong", "cohorts", "section.html")  # lacks `entries`
    said = write_pages([wrong, page("one")], tmp_path)
    assert "cohorts/wrong.html" in said and "entries" in said
    assert "entries" in read(tmp_path, "cohorts/wrong.html")
    assert (tmp_path / "cohorts/one.html").exists()


@pytest.mark.parametrize("path", ["../x.html", "cohorts/../../x.html", "elsewhere/x.html", "/etc/x.html", "cohorts/.x"])
def test_pages_stay_in_their_folder(tmp_path, path):
    said = write_pages([Page(path, "X", "cohorts", "section.html", {"entries": ()})], tmp_path / "site")
    assert "not on the site" in said
    assert not (tmp_path / "x.html").exists()


def test_an_empty_project_has_a_site_that_says_what_to_do(tmp_path, monkeypatch):
    project = Project(tmp_path, {}, {})
    project.write("config/config.yaml", {"cohorts": []})
    monkeypatch.chdir(tmp_path)
    plan = compile_plan(project.read("config/config.yaml"))
    said = write_site(plan, tmp_path / "data/site", Surroundings(lambda: "nothing waits: no question", ()))
    assert "not on the site" not in said
    home = read(tmp_path, "data/site/index.html")
    assert "An empty project" in home and "snakemake" in home
    assert "No model has been called yet" in read(tmp_path, "data/site/spending/index.html")
    assert not (tmp_path / "data/store").exists()  # looking makes nothing


def table(columns, rows):
    components = environment().get_template("components.html").make_module({"url": lambda target: target})
    return str(components.table(columns, rows, "A table", "t"))


def test_cells_of_tables_show_what_they_are_and_keep_what_they_are_sorted_by():
    columns = [Column("Name"), Column("Score", "number"), Column("Cost", "number"), Column("Tier")]
    rows = [[Link("one", "cohorts/one.html"), Interval(1.5, 1, 2), usd(0.002), Badge("tier 1", "good")]]
    text = table(columns, [*rows, [HOSTILE, None, Amount(None), ["a", Badge("b")]]])
    assert '<a href="cohorts/one.html">one</a>' in text
    assert 'data-v="1.5">1.50 <span class="interval">[1.00, 2.00]</span>' in text
    assert 'data-v="0.002">$0.0020' in text
    assert '<span class="badge good">tier 1</span>' in text
    assert "<script>" not in text and text.count('<span class="none">') == 2


def test_the_rows_of_a_long_table_are_data_that_cannot_end_it():
    text = table(["Name", "Number"], [[f"{HOSTILE} {number}", number] for number in range(LONG + 50)])
    (data,) = re.findall(r'<script type="application/json" class="more-rows">(.*?)</script>', text, re.S)
    rows = json.loads(data)
    assert len(rows) == 50 and rows[-1][1] == [f"{HOSTILE} {LONG + 49}", LONG + 49]
    assert "<script>" not in rows[0][0]


def test_foreign_markdown_is_shown_and_not_obeyed():
    text = str(rendered(f"# Title\n\n[a](javascript:alert(1)) ![b](https://x.y/z.png) <b>bold</b> {HOSTILE}"))
    assert "<script" not in text and "<b>" not in text and "<img" not in text and 'href="javascript' not in text
    assert text.startswith("<h3>Title</h3>")


def test_links_to_other_files_leave_their_words():
    text = str(rendered("[the picture](../../trust/x.png), [a](http://b.c), [d](#e), [f](data:text/html,x)"))
    assert text.startswith('<p>the picture, <a href="http://b.c">a</a>, <a href="#e">d</a>, [f](data:')


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("Él café", {"el", "cafe"}),
        ("read_csv(Path)", {"read", "csv", "path"}),
        ("the starters' stories", {"the", "starter", "storie"}),
        ("class basis", {"class", "basis"}),
        ("机器学习", {"机器", "器学", "学习", "习"}),
        ("が か", {"が", "か"}),  # a sound mark is no accent
        ("हिन्दी", {"हिन्दी"}),
    ],
)
def test_words_of_any_language_are_terms(text, found):
    assert set(count_terms(text)) == found


def test_folding_is_the_same_for_composed_and_decomposed_letters():
    assert folded("Ａ\u0065\u0301É") == "aee"


def test_the_files_of_the_index_are_small_and_hold_every_text():
    index = Index()
    words = " ".join(f"w{number}" for number in range(3000))
    for number in range(60):
        index.add(page(f"p{number}", Document("essay", f"Essay {number}", f"{words} {number}", "a", "2026-01-02")))
    files = dict(index.files())
    assert max(len(text.encode()) for text in files.values()) < 1.2 * SHARD
    titles = "".join(text for name, text in files.items() if name.startswith("texts-"))
    assert all(f'"Essay {number}"' in titles for number in range(60))
