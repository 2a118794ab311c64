"""How long the site's search takes to build and to answer, and how large it is.

`python tests/benchmarks/site.py [--generations 5000] [--chunks 20000] [--keep FOLDER]` makes texts of random words with
the frequencies of a language, builds the site, and asks questions in Chromium.
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

sys.path[:0] = [str(Path(__file__).parents[2] / "scripts"), str(Path(__file__).parents[1])]

from browser import opened
from dreamflow.site.build import write_pages
from dreamflow.site.page import Document, Page

WORDS = 60_000  # of the vocabulary
PER_PAGE = 20
QUESTIONS = ("sourdough", "sourdough starter", "trust", "nothingatall", "水温", "wa", "the of and to in it")


def main() -> None:
    """Build, ask, and print figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--generations", type=int, default=5000, help="with 500 words each")
    parser.add_argument("--chunks", type=int, default=20_000, help="with 300 words each, every tenth in Chinese")
    parser.add_argument("--keep", type=Path, help="write the site here")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.keep or Path(temporary)
        begin = time.process_time()
        texts = list(pages(options.generations, options.chunks))
        made = time.process_time()
        write_pages(texts, folder)
        built = time.process_time()
        write_pages(texts, folder)
        again = time.process_time()
        print(f"texts made in {made - begin:.1f} s; built in {built - made:.1f} CPU s, again in {again - built:.1f} s")
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
