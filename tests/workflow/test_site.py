"""The site in a browser: every page of a whole project, from the file system."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from browser import DESKTOP, PHONE, opened, program, show, watched
from dreamflow.run_status import RunFile
from golden.frozen import BEST, REPOSITORY, load, new_project
from playwright.sync_api import Browser, Page, expect

pytestmark = pytest.mark.skipif(not program(), reason="no Chromium is installed")

JOURNAL = "# Night 1\n\n**3 variants dreamt, 1 viable.**\n\n[all of it](../../trust/trust.md) <b>bold</b>\n"
NIGHT = "procedures/nights/night/cycle-1/index.html"
AXE = {"resultTypes": ["violations"], "preload": False}
CONTRAST = {**AXE, "runOnly": ["color-contrast"]}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site of the golden project as an earlier version has left it, with a night and a run."""
    root = new_project(tmp_path_factory.mktemp("site") / "project")
    for path, text in load().items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(text.encode("utf-8"))
    night = root / "data/nights/1"
    night.mkdir(parents=True)
    (night / "journal.md").write_text(JOURNAL, encoding="utf-8")
    (night / "night.json").write_text(json.dumps({"started": "2026-01-02T01:30:00+00:00", "cycles": {}}))
    run = RunFile(root / "data", {"run": "one", "targets": ["all"]})
    run.end({"stages": {"draft": {"planned": 3, "made": 2, "failed": 1}}, "why": "", "is_complete": True})
    command = [sys.executable, "-m", "snakemake", "--snakefile", str(REPOSITORY / "Snakefile"), "--cores", "1"]
    command += ["--directory", str(root), "site", "--config", BEST]
    environment = {name: value for name, value in os.environ.items() if not name.endswith("_API_KEY")}
    done = subprocess.run(command, env=environment, text=True, capture_output=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "open data/site/index.html" in done.stdout + done.stderr
    assert "not on the site" not in done.stdout + done.stderr
    return root / "data/site"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with opened() as browser:
        yield browser


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A page on which nothing goes wrong."""
    with watched(browser) as (page, wrong):
        yield page
    assert wrong == []


class Links(HTMLParser):
    """The links and the ids of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.ids: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if name in ("href", "src", "action") and tag != "base":
                self.links.append(value or "")
            elif name == "id":
                self.ids.append(value or "")


def paths(site: Path) -> list[str]:
    return sorted(path.relative_to(site).as_posix() for path in site.rglob("*.html"))


def kinds(site: Path) -> list[str]:
    """A page of each kind: those of one folder whose names differ in ids and numbers alone are of one kind."""
    found: dict[str, str] = {}
    for path in paths(site):
        *folders, name = path.split("/")
        kind = re.sub(r"\b[a-z]_[0-9a-z]+|\d+", "", name)
        depth = "/".join([*folders[:1], *("*" for _ in folders[1:])])
        is_subject = len(folders) > 1 and kind not in ("index.html", "compare.html", ".html")
        found.setdefault(f"{depth}/{'*' if is_subject else kind}", path)
    return list(found.values())


def test_every_link_leads_somewhere_and_every_section_has_pages(site):
    pages = {path: Links((site / path).read_text(encoding="utf-8")) for path in paths(site)}
    broken = []
    for path, found in pages.items():
        broken += [f"{path}: the id {one} is there twice" for one in set(found.ids) if found.ids.count(one) > 1]
        for link in found.links:
            if link.startswith(("http://", "https://", "mailto:", "data:")):
                continue
            place, _, anchor = link.partition("#")
            target = os.path.normpath(os.path.join(os.path.dirname(path), place)) if place else path  # noqa: PTH118, PTH120
            if not (site / target).is_file():
                broken.append(f"{path}: {link}")
            elif anchor and target in pages and "=" not in anchor and anchor not in pages[target].ids:
                broken.append(f"{path}: {link}: no such place")
    assert broken == []
    assert {path.partition("/")[0] for path in pages} >= {
        *("index.html", "search.html", "cohorts", "procedures", "conversations", "models", "spending", "runs")
    }


@pytest.mark.parametrize(("theme", "size"), [("light", DESKTOP), ("dark", PHONE)], ids=["desktop", "phone"])
def test_every_page_is_shown_without_errors_or_requests_and_fits(site, browser, theme, size):
    with watched(browser, theme=theme, size=size) as (page, wrong):
        for path in paths(site):
            show(page, site, path)
            width = page.evaluate("document.documentElement.scrollWidth")
            if width > size["width"]:
                wrong.append(f"{path} is {width} pixels wide")
            if page.locator("h1").count() != 1:
                wrong.append(f"{path} has no heading, or several")
    assert wrong == []


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_pages_of_every_kind_are_accessible(site, browser, theme):
    faults = []

    def check(page: Page) -> None:
        for fault in Axe().run(page, options=AXE if theme == "light" else CONTRAST).response["violations"]:
            if fault["impact"] in ("serious", "critical"):
                faults.append((page.url, fault["id"], fault["nodes"][0]["html"]))

    with watched(browser, theme=theme, size=PHONE) as (page, _):
        for path in kinds(site):
            show(page, site, path)
            page.evaluate("document.querySelectorAll('details').forEach((each) => (each.open = true))")
            check(page)
        asked(page, site, "receipt")
        check(page)
        show(page, site, "spending/index.html")
        page.get_by_role("combobox", name="Search everything").fill("receipt")
        page.get_by_role("option").first.wait_for()
        page.keyboard.press("ArrowDown")
        check(page)
    assert faults == []


def column(page: Page, table: str, place: int) -> list[str]:
    return page.locator(f"#{table} tbody tr td:nth-child({place})").all_inner_texts()


def test_tables_are_sorted_with_mouse_and_keyboard_and_the_address_keeps_it(site, page):
    show(page, site, "spending/index.html")
    head = page.locator("#by-stage th", has_text="Answers")
    head.get_by_role("button").click()
    expect(head).to_have_attribute("aria-sort", "descending")
    counts = [int(text.replace(",", "")) for text in column(page, "by-stage", 2)]
    assert len(counts) > 3 and counts == sorted(counts, reverse=True)
    head.get_by_role("button").press("Enter")
    expect(head).to_have_attribute("aria-sort", "ascending")
    assert column(page, "by-stage", 2) == [f"{count:,}" for count in sorted(counts)]
    page.reload()
    expect(page.locator("#by-stage th", has_text="Answers")).to_have_attribute("aria-sort", "ascending")
    assert column(page, "by-stage", 2) == [f"{count:,}" for count in sorted(counts)]


def test_tables_are_filtered_by_words_and_values_and_the_address_keeps_it(site, page):
    show(page, site, NIGHT)
    rows = page.locator("#variants tbody tr:visible")
    everything = rows.all_inner_texts()
    box = page.get_by_role("searchbox", name="Filter: ")
    box.fill("at the same time")
    expect(rows).to_have_count(sum("at the same time" in text for text in everything))
    assert 0 < rows.count() < len(everything)
    page.reload()
    expect(box).to_have_value("at the same time")
    box.fill("")
    kind = page.locator("#variants").get_by_role("combobox", name="kind")
    kind.select_option("parameters")
    expect(rows).to_have_count(sum("parameters" in text for text in everything))
    assert 0 < rows.count() < len(everything)
    box.fill("xylophonist")
    expect(rows).to_have_count(0)


def test_a_variant_is_shown_beside_its_original(site, page):
    show(page, site, NIGHT)
    page.get_by_role("link", name="at the same time").first.click()
    shown = page.locator("table.diff:visible")
    expect(shown.locator("td.removed:not(.line)").first).to_contain_text("prices = fetch_prices(timeout=timeout)")
    assert "ThreadPoolExecutor(max_workers=2)" in "".join(shown.locator("td.added").all_inner_texts())
    left, right = (shown.locator(f"td.{side}").first.bounding_box() for side in ("removed", "added"))
    assert left["x"] < right["x"]
    hidden = page.locator(".difference details table").first
    expect(hidden).to_be_hidden()
    page.locator(".difference summary").first.press("Enter")
    expect(hidden).to_be_visible()


def test_commands_are_copied(site, browser):
    with watched(browser) as (page, wrong):
        page.context.grant_permissions(["clipboard-read", "clipboard-write"])
        show(page, site, "runs/index.html")
        page.locator(".command button").first.click()
        expect(page.locator(".command button").first).to_have_text("Copied")
    assert wrong == []


def asked(page: Page, site: Path, question: str) -> list[str]:
    """What the page of the search finds."""
    show(page, site, "search.html")
    box = page.locator("[data-search-page] input")
    box.fill(question)
    page.locator(f'[data-answered="{question}"]').wait_for()
    return page.locator(".results li").all_inner_texts()


@pytest.mark.parametrize(
    ("question", "word"),
    [
        ("quote basket", "quote"),
        ("QUOTES", "quote"),
        ("basket quo", "quote"),
        ("journal of night", "journal"),
        ("receipt", "receipt"),
        ("領収書", "領収書"),
        ("机", "机"),
        ("珈琲", "珈琲"),
    ],
)
def test_the_search_finds_words_in_any_form_and_marks_them(site, page, question, word):
    found = asked(page, site, question)
    assert found and word in found[0].lower()
    assert any(word in mark.lower() for mark in page.locator(".results mark").all_inner_texts())


def test_the_search_says_that_nothing_was_found(site, page):
    assert asked(page, site, "xylophonist") == []
    expect(page.locator("[role=status]")).to_contain_text("Nothing was found")


def test_the_search_filters_by_kind_and_its_address_keeps_the_question(site, page):
    everything = asked(page, site, "the")
    buttons = page.locator(".kinds button")
    kind = buttons.nth(1).inner_text().rpartition(" ")[0]
    buttons.nth(1).click()
    expect(buttons.nth(1)).to_have_attribute("aria-pressed", "true")
    some = page.locator(".results li .note").all_inner_texts()
    assert some and len(some) < len(everything) + 1 and all(kind in text for text in some)
    page.reload()
    page.locator('[data-answered="the"]').wait_for()
    assert page.locator(".results li .note").all_inner_texts() == some


def test_the_search_in_the_head_is_used_with_the_keyboard(site, page):
    show(page, site, "runs/index.html")
    page.keyboard.press("/")
    page.keyboard.type("night")
    options = page.get_by_role("option")
    expect(options.first).to_be_visible()
    page.keyboard.press("ArrowDown")
    expect(options.first).to_have_attribute("aria-selected", "true")
    page.keyboard.press("Escape")
    expect(options.first).to_be_hidden()
    page.keyboard.type(" journal")
    expect(options.first).to_contain_text("Journal of night 1")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    expect(page.locator("h1")).to_have_text("Night 1")
    expect(page.locator("main")).to_contain_text("<b>bold</b>")  # shown, not obeyed


def test_home_says_what_was_done_what_is_new_and_what_waits(site, page):
    show(page, site, "index.html")
    text = page.locator("main").inner_text()
    assert "3 variants dreamt, 1 viable" in text
    assert re.search(r"\d+ failed generation", text) and "answers" in text
    show(page, site, "runs/index.html")
    text = page.locator("main").inner_text()
    assert "snakemake retry_failed" in text and "the model declined" in text


def test_two_texts_are_read_side_by_side_and_the_address_keeps_the_choice(site, page):
    show(page, site, "cohorts/trial/compare.html")
    texts = [page.locator(f"#text-{side} article") for side in "ab"]
    expect(texts[0]).to_contain_text("Ideas mutate, judges select.")
    expect(page.locator("#scores")).to_contain_text("judge, novelty")
    other = page.get_by_label("Right", exact=True)
    chosen = other.locator("option").nth(2).get_attribute("value")
    other.select_option(chosen)
    page.get_by_label("Mark the words that differ").check()
    expect(page.locator("#text-a del").first).to_be_visible()
    expect(page.locator("#text-b ins").first).to_be_visible()
    page.reload()
    expect(other).to_have_value(chosen)
    expect(texts[1]).not_to_be_empty()
