"""How long the site takes to build, and its search to answer; how large both are.

`python tests/benchmarks/site.py project [--generations 5000] [--keep FOLDER]` makes a cohort of so many generations
from recorded answers (chains of a draft, its essay and its evaluation), then its site, twice.

`python tests/benchmarks/site.py search [--generations 5000] [--chunks 20000] [--keep FOLDER]` makes texts of random
words with the frequencies of a language and the index of the search, and asks questions in Chromium.
"""

import argparse
import json
import random
import sys
import tempfile
import time
from collections.abc import Iterator
from itertools import accumulate
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parents[2] / "scripts"))

from browser import opened
from chains import RECORDED, STAGES, make_project, measure, plan_of, record_answers
from dreamflow.site.build import write_pages
from dreamflow.site.page import Document, Page

WORDS = 60_000  # of the vocabulary
PER_PAGE = 20
QUESTIONS = ("sourdough", "sourdough starter", "trust", "nothingatall", "水温", "wa", "the of and to in it")


def main() -> None:
    """Build, ask, and print figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("project", "search"))
    parser.add_argument("--generations", type=int, default=5000, help="with about 500 words each")
    parser.add_argument("--chunks", type=int, default=20_000, help="with 300 words each, every tenth in Chinese")
    parser.add_argument("--keep", type=Path, help="write here")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = (options.keep or Path(temporary)).resolve()
        if options.what == "project":
            build_project(folder / "project", options.generations)
        else:
            build_search(folder, options.generations, options.chunks)


def build_project(root: Path, generations: int) -> None:
    """Make a project and its site, twice, and print what that takes."""
    project = make_project(root, -(-generations // STAGES), RECORDED)
    record_answers(plan_of(project), root / RECORDED["name"])
    measure(project.command(), project)
    nothing = measure(project.command("pending"), project)
    print(f"{generations:,} generations; a command that shows what is pending: {nothing.cpu:.1f} CPU s")
    for what in ("site", "again"):
        cost = measure(project.command("site"), project)
        print(f"{what}: {cost.cpu:.1f} CPU s ({cost.wall:.1f} s), {cost.memory:.0f} MB")
    site = root / "data/site"
    files = [path for path in site.rglob("*") if path.is_file()]
    print(f"{len(files):,} files, {sum(path.stat().st_size for path in files) / 1e6:.1f} MB; the largest:")
    for path in sorted(files, key=lambda path: -path.stat().st_size)[:5]:
        print(f"  {path.stat().st_size / 1e3:,.0f} kB {path.relative_to(site)}")
    open_largest(max((path for path in files if path.suffix == ".html"), key=lambda path: path.stat().st_size))


def open_largest(path: Path) -> None:
    """Open a page in Chromium and print how long that takes."""
    with opened() as browser:
        page = browser.new_page()
        begin = time.perf_counter()
        page.goto(path.as_uri())
        print(f"the largest page opens in {1000 * (time.perf_counter() - begin):.0f} ms")


def build_search(folder: Path, generations: int, chunks: int) -> None:
    """Make the index of random texts, print its size, and ask."""
    begin = time.process_time()
    texts = list(pages(generations, chunks))
    made = time.process_time()
    write_pages(texts, folder)
    built = time.process_time()
    print(f"texts made in {made - begin:.1f} s; built in {built - made:.1f} CPU s")
    print_sizes(folder)
    ask(folder)


def pages(generations: int, chunks: int) -> Iterator[Page]:
    """Pages with `PER_PAGE` texts each."""
    dice = random.Random(1)
    words = ["the", "of", "and", "to", "in", "it"]
    syllables = [a + b for a in "bcdfghklmnprstvw" for b in ("a", "e", "i", "o", "u", "an", "er", "is")]
    while len(words) < WORDS:
        words.append("".join(dice.choices(syllables, k=dice.choice((2, 3, 3, 4)))))
    words[200:200] = ["sourdough", "starter", "trust", "water"]
    weights = list(accumulate(1 / (place + 3) for place in range(len(words))))
    signs = [chr(dice.randrange(0x4E00, 0x9000)) for _ in range(2500)]
    signs[50:50] = "水温"
    for kind, count, length in (("essay", generations, 500), ("chunk", chunks, 300)):
        for first in range(0, count, PER_PAGE):
            documents = []
            for number in range(first, min(first + PER_PAGE, count)):
                chosen = dice.choices(words, cum_weights=weights, k=length)
                if kind == "chunk" and number % 10 == 0:
                    text = "".join(dice.choices(signs, cum_weights=weights[: len(signs)], k=2 * length))
                else:
                    text = " ".join(chosen)
                title = f"{kind} {number}: {' '.join(chosen[:4])}"
                documents.append(Document(kind, title, text, f"t{number}", f"2026-01-{1 + number % 28:02}"))
            section = "cohorts" if kind == "essay" else "conversations"
            yield Page(f"{section}/{kind}-{first}.html", f"{kind}s from {first}", section, "section.html", {
                "entries": ()
            }, documents=documents)  # fmt: skip


def print_sizes(folder: Path) -> None:
    """Print the size of the index by kind of file."""
    for name in ("index", "docs", "terms", "texts"):
        sizes = [path.stat().st_size for path in (folder / "search").glob(f"{name}*.js")]
        print(f"{name}: {len(sizes)} files, {sum(sizes) / 1e6:.2f} MB, the largest {max(sizes) / 1e3:.0f} kB")


def ask(folder: Path) -> None:
    """Ask in Chromium, each question on a new page (nothing is loaded) and again, and print the times."""
    with opened() as browser:
        for question in QUESTIONS:
            page = browser.new_page()
            page.goto((folder / "search.html").as_uri())
            found = []
            for text in (question, "zzz", question):
                begin = time.perf_counter()
                page.evaluate(f"location.hash = 'q=' + encodeURIComponent({json.dumps(text)})")
                page.locator(f"[data-answered='{text}']").wait_for()
                found.append(time.perf_counter() - begin)
            said = page.locator("[role=status]").text_content()
            print(f"{question!r}: {1000 * found[0]:.0f} ms, again {1000 * found[2]:.0f} ms: {said}")
            page.close()


if __name__ == "__main__":
    main()
