"""Search everything that was made: `python scripts/search.py "sourdough starter" [--in chunks] [--limit 20] [--json]`.

All words must occur; quotes make a phrase. With --meaning the query is a question in your own words, for chunks of
conversations: the best passages come first, whether its words occur in them or not.

It reads data/dreamflow.sqlite (and dreamflow.meaning.sqlite beside it), which `snakemake database` makes.
"""

import argparse
import json
import re
import sys
from pathlib import Path

from dreamflow.database.search import Hit, is_outdated, kinds, search
from dreamflow.errors import DreamflowError

FILE = "dreamflow.sqlite"
_DATA_ROOT = re.compile(r"^data_root:\s*['\"]?([^'\"#\n]+?)['\"]?\s*(?:#.*)?$", re.M)


def main() -> None:
    """Search and show what was found."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("query", nargs="+", help="words that must all occur")
    parser.add_argument("--in", dest="kind", metavar="KIND", help="chunks, essays, drafts, evaluations, variants, ...")
    parser.add_argument("--meaning", action="store_true", help="find chunks that may answer a question")
    parser.add_argument("--limit", type=int, default=10, metavar="N", help="show at most N (default: 10)")
    parser.add_argument("--json", action="store_true", help="a JSON object a line")
    options = parser.parse_args()
    if options.limit < 1:
        parser.error("--limit must be at least 1")
    if options.meaning and options.kind not in (None, "all", "chunk", "chunks"):
        parser.error(f"--meaning searches chunks, not {options.kind}")
    path, query = data_root() / FILE, " ".join(options.query)
    try:
        hits = (answers if options.meaning else search)(path, query, options.kind, options.limit)
        outdated = is_outdated(path)
        known = kinds(path) if not hits else {}
    except DreamflowError as error:
        sys.exit(str(error))
    if outdated:
        print("There are newer results; `snakemake database` adds them.", file=sys.stderr)
    for number, hit in enumerate(hits, 1):
        print(json.dumps(hit._asdict(), ensure_ascii=False) if options.json else shown(number, hit, path.parent))
    if not hits:
        print(nothing_found(query, options.kind, known), file=sys.stderr)
        sys.exit(1)


def answers(path: Path, question: str, kind: str | None, limit: int) -> list[Hit]:
    """The chunks that may answer a question; `kind` is chunks."""
    from dreamflow.chunks.recall import ask  # late: the encoder takes a second

    return ask(path, question, limit)


def shown(number: int, hit: Hit, folder: Path) -> str:
    """A hit as lines for a person."""
    when = f"  {hit.date[:10]}" if hit.date else ""
    place = f"\n   {folder / hit.path}" if hit.path else ""
    return f"{number}. {hit.title}{when}  ({hit.kind}, {hit.id})\n   {hit.snippet}{place}"


def nothing_found(query: str, kind: str | None, known: dict[str, int]) -> str:
    """What to say when nothing was found."""
    text = f"Nothing found for {query!r}" + (f" in {kind}; try --in all." if kind not in (None, "all") else ".")
    counts = ", ".join(f"{number:,} {name}" for name, number in known.items())
    return f"{text} Searched: {counts or 'no texts; run `snakemake` and then `snakemake database`'}."


def data_root() -> Path:
    """The data folder of the project in the working directory; its configuration is not read in full, which takes
    longer than a search."""
    try:
        found = _DATA_ROOT.search(Path("config/config.yaml").read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError):
        found = None
    return Path(found[1] if found else "data")


if __name__ == "__main__":
    try:
        sys.stdout.reconfigure(errors="replace")
        sys.stderr.reconfigure(errors="replace")
        main()
    except BrokenPipeError:  # as of `| head`
        sys.stderr.close()
