"""Pages on procedures: what they say of nights, procedures and variants, and that no text of a model gets through."""

import re
from html.parser import HTMLParser

import pytest
from dreamflow.dreams.check import unified_diff
from dreamflow.dreams.code_diff import in_words, side_by_side, undo
from dreamflow.dreams.drawing import dependency_svg
from dreamflow.dreams.equivalence import Counterexample
from dreamflow.dreams.health import health, write_yields, yields
from dreamflow.dreams.pages import pages
from dreamflow.dreams.recorded import read_cycles
from dreamflow.dreams.tables import write_csv
from dreamflow.files import pretty, write_atomic
from dreamflow.generation.layout import Layout
from dreamflow.generation.model import as_json
from dreamflow.pyanalysis import analysis
from dreamflow.site.render import render
from hypothesis import given
from hypothesis import strategies as st
from night import SOURCE, answered, check, entry, failed_check, outcome, table, verdict

EVIL = '<script>alert(1)</script><img src=x onerror="alert(2)">\u202e"\'</script>'
QUICK, SLOW, BAD = "p_quick", "p_slow", "p_bad"


class Seen(HTMLParser):
    """What a browser would make of a page: its text, its elements, links and ids."""

    def __init__(self, html):
        super().__init__()
        self.tags, self.attributes, self.links, self.ids, self.texts = [], set(), [], [], []
        self.feed(html)
        self.text = " ".join("".join(self.texts).split())

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes |= {name for name, _ in attrs}
        self.links += [value for name, value in attrs if name == "href"]
        self.ids += [value for name, value in attrs if name == "id"]

    def handle_data(self, data):
        self.texts.append(data)


def write_cycle(root, *entries, night="demo", number=1, journal="# demo\n\nThe journal says hello."):
    """The files of a finished cycle, as a night writes them."""
    folder, records = root / "dreams" / night / f"cycle-{number}", table(*entries)
    write_csv(records, folder / "dreams.csv")
    checks = {each.row.gen_id: each.check for each in entries if each.check}
    write_atomic(folder / "checks" / "web.backup.json", pretty(as_json(checks)))
    tests = {each.row.gen_id: {"skip": None, "values": {}, "test": as_json(each.test)} for each in entries}
    write_atomic(folder / "tests" / "web.backup.json", pretty({"procedure": {}, **tests}))
    write_yields(yields(records), folder / "yield.csv")
    write_atomic(folder / "health.json", pretty({**as_json(health(records)), "failure_patterns": []}))
    write_atomic(folder / "journal.md", journal)
    for each in entries:
        write_atomic(root / "gens" / "variant" / each.row.gen_id / "parsed.py", each.code)
    return folder


@pytest.fixture
def project(tmp_path):
    write_atomic(tmp_path / "raw" / "web" / "backup.py", SOURCE)
    card = {"category": "backup", "tags": ["files"], "contexts": [], "description": "Keeps the newest copies."}
    write_atomic(tmp_path / "raw" / "web" / "backup.yaml", pretty({**card, "inputs": [{"args": ["abc"]}]}))
    return tmp_path


def build(root, configured=("demo",)):
    return {page.path: page for page in pages(Layout(root), root / "raw", configured)}


def show(page):
    return Seen(render(page.template, page.path, page.section, page.title, {**page.facts, "problems": ()}))


def variant(gen_id, night="demo", number=1):
    return f"procedures/nights/{night}/cycle-{number}/{gen_id}.html"


def judged(gen_id, viability, **parts):
    return entry(gen_id, verdict=verdict(viability, f"j{gen_id[1:]}"), **parts)


def test_an_empty_project_says_what_to_do(tmp_path):
    (page,) = build(tmp_path).values()
    assert "snakemake dreams" in show(page).text


def test_the_best_variants_come_first_and_by_gain(project):
    slow, quick = outcome(seconds_ratio=0.9), outcome(seconds_ratio=0.4)
    entries = [judged(SLOW, 0.9, test=slow), judged(QUICK, 0.7, test=quick), judged(BAD, 0.1), entry("p_open")]
    write_cycle(project, *entries)
    built = build(project)
    ids = [row[0].target.rpartition("/")[2] for row in built["procedures/index.html"].facts["best"]]
    assert ids == ["p_quick.html", "p_slow.html", "p_open.html"]
    page = show(built[variant(QUICK)])
    assert "60% less time" in page.text
    assert "behaves like the original on 5 calls" in page.text.lower()


def test_a_night_without_a_judge_shows_its_best_variants(project):
    write_cycle(project, entry("p_same"), entry("p_other", test=outcome("differs", agreeing=3)))
    page = build(project)["procedures/nights/demo/cycle-1/index.html"]
    text = show(page).text
    assert "Nobody has judged this cycle" in text
    assert [each.record.gen_id for each in page.facts["best"]] == ["p_same", "p_other"]
    assert "not judged" in page.highlight
    assert [document.kind for document in page.documents] == ["journal"]


def test_a_variant_shows_its_difference_test_and_verdict(project):
    found = Counterexample("backup('abc')", "result", "returns ['c']", "returns []")
    differs = outcome("differs", agreeing=3, counterexample=found)
    write_cycle(project, judged(QUICK, 0.8, test=differs, result=answered(QUICK)))
    folder = project / "gens" / "variant" / QUICK
    write_atomic(folder / "prompt.txt", "Please relax this.")
    write_atomic(folder / "raw.txt", "Here it is.")
    page = build(project)[variant(QUICK)]
    seen = show(page)
    for words in (
        "keep: int = 3",
        "keep: int = 6",
        "1 line changed",
        "behaves differently on 2 of 5 calls",
        "returns ['c']",
        "returns []",
        "It keeps more.",
        "Please relax this.",
        "Here it is.",
        "snakemake promote",
        "dreams/demo/cycle-1/promoted/web.backup_quick.patch",
    ):
        assert words.lower() in seen.text.lower()
    assert {document.kind for document in page.documents} == {"variant", "verdict"}
    assert {document.anchor for document in page.documents} <= {"", *seen.ids}


def test_a_variant_that_was_not_made_says_why(project):
    failed = entry("p_none", code="", check=None, test=None)
    failed.result.status, failed.result.reason = "failed", "unparsable: no code"
    write_cycle(project, failed, judged(BAD, 0.9, check=failed_check(), test=None, code="def backup(:\n"))
    built = build(project)
    assert "It could not be made: unparsable: no code" in show(built[variant("p_none")]).text
    assert "does not compile" in show(built[variant(BAD)]).text


def test_lineage_over_cycles(project):
    write_cycle(project, judged(QUICK, 0.8), entry("p_copy", check=check(duplicate_of=QUICK)))
    write_cycle(project, judged(QUICK, 0.5), number=2)
    built = build(project)
    links = show(built[variant(QUICK)]).links
    assert "../cycle-2/p_quick.html" in links
    assert "p_copy.html" in links
    assert "p_quick.html" in show(built[variant("p_copy")]).links
    assert built["procedures/index.html"].facts["variants"] == 2


def test_a_night_that_is_no_longer_configured_keeps_its_pages(project):
    write_cycle(project, judged(QUICK, 0.8), night="old")
    built = build(project)
    assert "no longer in the configuration" in show(built["procedures/nights/old/cycle-1/index.html"]).text
    assert "name the night old" in show(built[variant(QUICK, "old")]).text


def test_a_procedure_whose_files_are_gone_keeps_its_variants(project):
    write_cycle(project, judged(QUICK, 0.8))
    (project / "raw" / "web" / "backup.yaml").unlink()
    built = build(project)
    assert "gone" in show(built["procedures/procedure/web.backup/index.html"]).text
    assert "keep: int = 6" in show(built[variant(QUICK)]).text


def test_damaged_files_are_named_and_cost_only_their_cycle(project):
    write_cycle(project, judged(QUICK, 0.8))
    broken = write_cycle(project, judged(SLOW, 0.8), number=2)
    write_atomic(broken / "health.json", "{")
    write_atomic(broken / "checks" / "web.backup.json", '{"p_slow": 1}')
    write_atomic(project / "dreams" / "demo" / "cycle-3" / "dreams.csv", "gen_id\n../../x\n")
    built = build(project)
    text = show(built["procedures/index.html"]).text
    assert all(name in text for name in ("cycle-2/health.json", "cycle-2/checks/web.backup.json", "cycle-3/dreams.csv"))
    assert variant(QUICK) in built
    assert "It keeps more." in show(built[variant(SLOW, number=2)]).text


def test_a_cycle_that_goes_on_is_named(project):
    write_cycle(project, judged(QUICK, 0.8))
    write_atomic(project / "dreams" / "demo" / "cycle-2" / "checks" / "web.backup.json", "{}")
    built = build(project)
    assert "demo, cycle 2: begun, but without results yet" in show(built["procedures/index.html"]).text
    assert "procedures/nights/demo/cycle-2/index.html" not in built


def test_an_id_that_leaves_the_folder_is_refused(project):
    folder = write_cycle(project, judged(QUICK, 0.8))
    table_file = (folder / "dreams.csv").read_text(encoding="utf-8")
    write_atomic(folder / "dreams.csv", table_file.replace(QUICK, "../../evil"))
    (cycle,) = read_cycles(project / "dreams", project / "gens" / "variant")
    assert not cycle.records
    assert "is no id" in cycle.problems[0]


def test_the_drawing_is_in_the_page_with_the_same_in_words(project):
    steps = analysis.analyse(SOURCE, "backup", {"shutil.copy": ("write:files",)})
    write_atomic(project / "dreams" / "analysis" / "web.backup.json", pretty(analysis.as_json(steps)))
    drawing = dependency_svg(steps, "web.backup").replace("</svg>", "<script>alert(1)</script><g onload='x'/></svg>")
    write_atomic(project / "dreams" / "analysis" / "web.backup.svg", drawing)
    page = build(project)["procedures/procedure/web.backup/index.html"]
    seen = show(page)
    assert {"svg", "circle"} & set(seen.tags) >= {"svg"}
    assert "onload" not in seen.attributes
    assert "alert" not in seen.text
    assert "Step 1, line" in seen.text
    assert not re.findall(r'(?:fill|stroke)="#', str(page.facts["drawing"]))  # it follows light and dark


def test_hostile_texts_stay_texts(project):
    cruel = entry(
        QUICK,
        description=EVIL,
        code=SOURCE + f"\n# {EVIL}\n",
        check=check(diff=unified_diff(SOURCE, SOURCE + f"\n# {EVIL}\n", "backup"), signature=EVIL, claims=EVIL),
        test=outcome("differs", agreeing=1, reason=EVIL),
        verdict=verdict(0.9, parsed={"viability": 0.9, "tier": 1, "reasons": f"[a](javascript:x) {EVIL}"}),
        result=answered(QUICK),
    )
    write_cycle(project, cruel, journal=EVIL)
    write_atomic(project / "gens" / "variant" / QUICK / "raw.txt", EVIL)
    write_atomic(project / "raw" / "web" / "backup.py", SOURCE + f"\n# {EVIL}\n")
    for page in build(project).values():
        seen = show(page)
        assert seen.tags.count("script") <= 2  # those of the frame
        assert "img" not in seen.tags
        assert "onerror" not in seen.attributes
        assert not [link for link in seen.links if link and link.lower().startswith("javascript:")]


CODES = st.lists(st.sampled_from(["a = 1", "b = 2", "", "    c = '''", "\x0c", 'd = "\u2028"']), max_size=8)


@given(CODES, CODES, st.booleans(), st.booleans())
def test_a_difference_can_be_undone_and_shows_every_line(old, new, ends, begins):
    old, new = "\n".join(old) + "\n" * ends, "\n".join(new) + "\n" * begins
    assert undo(new, unified_diff(old, new, "x")) == old
    parts = side_by_side(old, new)
    numbers = [row.new_number for part in parts for row in part.rows if row.new_number]
    assert numbers == list(range(1, len(numbers) + 1))
    assert (in_words(parts) == "no change") == (old.removesuffix("\n") == new.removesuffix("\n"))


def test_a_diff_of_another_code_is_not_undone():
    diff = unified_diff("a = 1\nb = 2\n", "a = 1\nb = 3\n", "x")
    assert undo("a = 9\nb = 3\n", diff) is None
