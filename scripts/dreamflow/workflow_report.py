"""What `snakemake --report` shows: copies of the results that exist, in a folder of their own, `<data_root>/report/`.

No rule makes these copies, so the report has them whether the jobs behind them are known again or not (results behind
checkpoints, and targets that the default target does not make), and whether the last run was complete or not.
"""

import base64
import html
import platform
import re
import shutil
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from .family import Family, Report
from .files import write_atomic
from .generation.budgets import Budget
from .generation.layout import Layout
from .ledger_tables import write_ledger
from .plan import Plan
from .public_text import public_text

MOST_FILES = 300  # of one result: a report is one file, which a browser has to hold
_KINDS = {".html": "page", ".csv": "table", ".svg": "figure", ".png": "figure", ".json": "data"}
_LOCAL_LINK = re.compile(r"(?<!!)\[([^\]\[]+)\]\((?!https?:|mailto:|#)[^()\s]*\)")  # other pages are elsewhere
_PACKAGES = ("snakemake", "pandas", "numpy", "scipy", "krippendorff", "llama-cpp-python", "torch")
_STYLE = """body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem;
color: #1b1b1f; background: #fff } table { border-collapse: collapse; display: block; overflow-x: auto }
th, td { border: 1px solid #bbb; padding: .2rem .5rem; text-align: left } pre { overflow-x: auto; background: #f4f4f6;
padding: .5rem } .gi { background: #d6f5d6 } .gd { background: #fbdcdc } blockquote { border-left: 4px solid #b45309;
margin-left: 0; padding-left: 1rem } img { max-width: 100% }"""


@dataclass(frozen=True)
class Item:
    """A file of the report, and where the report shows it. `caption` is a file of report/."""

    path: str
    category: str
    subcategory: str
    labels: dict[str, str]
    caption: str


def collect(plan: Plan, layout: Layout, budgets: Iterable[Budget], config_file: Path, own: str) -> list[Item]:
    """Write the copies and return what the report shows: results by family, spending, configuration, provenance."""
    folder = layout.root / "report"
    shutil.rmtree(folder, ignore_errors=True)
    items = [item for family in plan.families.values() if not family.problem for item in _results(family, folder)]
    ledger = folder / "spending"
    write_ledger(layout, budgets, ledger)
    for path in sorted(ledger.glob("*.csv")):
        labels = {"table": path.stem.replace("_", " ")}
        items.append(Item(str(path), "Spending", "Ledger", labels, "spending.rst"))
    items += _configuration(plan, folder / "configuration", config_file)
    facts = {**_facts(plan), "Dreamflow": own}
    page = folder / "provenance.html"
    write_atomic(page, _document("Provenance", _table(facts)))
    return [*items, Item(str(page), "Provenance", "Versions and counts", {"page": "provenance"}, "provenance.rst")]


def _results(family: Family, folder: Path) -> Iterator[Item]:
    category = family.section.capitalize()
    for report in family.reports():
        if not report.page.exists():
            continue
        place = folder / family.name / re.sub(r"[^\w.-]+", "-", report.title)
        taken: set[str] = set()
        paths = [report.page] if report.page.suffix == ".md" else []
        for source in [*paths, *report.files][:MOST_FILES]:
            if source.exists():
                yield _item(source, report, place, category, taken)


def _item(source: Path, report: Report, place: Path, category: str, taken: set[str]) -> Item:
    is_page = source == report.page
    suffix = ".html" if source.suffix == ".md" else source.suffix
    own = (
        source.parent.name if source.name == "chunks.html" else "00-summary" if is_page else source.stem
    )  # sorted first
    name = own if f"{own}{suffix}" not in taken else f"{source.parent.name}-{own}"
    taken.add(f"{name}{suffix}")
    target = place / f"{name}{suffix}"
    if source.suffix == ".md":
        write_atomic(target, page_of(source))
    else:
        write_atomic(target, source.read_bytes())
    kind = "summary" if is_page else _KINDS.get(suffix, "file")
    caption = f"{kind}.rst" if kind in ("summary", "table") else "page.rst"
    return Item(str(target), category, report.title, {"result": name, "kind": kind}, caption)


def page_of(source: Path) -> str:
    """A Markdown page as HTML that needs no other file: its pictures are in it, and its front matter is a table."""
    from .site.text import rendered

    text = source.read_text(encoding="utf-8", errors="replace")
    front = ""
    if text.startswith("---\n") and "\n---\n" in text:
        matter, text = text[4:].split("\n---\n", 1)
        front = f"<details><summary>Rank, scores, lineage and cost</summary>{_code(matter)}</details>"
    pictures = {name: _picture(source.parent / name) for name in re.findall(r"!\[[^\]]*\]\(([\w.-]+\.png)\)", text)}
    text = re.sub(r"!\[[^\]]*\]\(([\w.-]+\.png)\)", r"(figure \1)", text)
    body = str(rendered(_LOCAL_LINK.sub(r"\1", text)))
    for name, picture in pictures.items():
        body = body.replace(f"(figure {name})", picture, 1)
    return _document(source.parent.name, f"{front}{body}<hr><p>A copy of {html.escape(source.as_posix())}</p>")


def _picture(path: Path) -> str:
    vector = path.with_suffix(".svg")
    source, kind = (vector, "svg+xml") if vector.exists() else (path, "png")
    if not source.exists():
        return f"(no figure {html.escape(path.name)})"
    content = base64.b64encode(source.read_bytes()).decode("ascii")
    return (
        f'<img alt="{html.escape(path.stem)}: the numbers are in the table" src="data:image/{kind};base64,{content}">'
    )


def _document(title: str, body: str) -> str:
    return (
        f'<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><title>{html.escape(title)}</title>'
        f"<style>{_STYLE}</style></head>\n<body>{body}</body></html>\n"
    )


def _configuration(plan: Plan, folder: Path, config_file: Path) -> Iterator[Item]:
    settings = plan.world.settings
    sources = [("configuration", config_file), ("models", Path(settings.models))]
    for family in plan.families.values():
        for name in getattr(settings, family.config_key) if family.config_key else ():
            sources.append((family.config_key, family.spec_file(name)))
    for kind, source in sources:
        if source.is_file():
            text = public_text(source.read_text(encoding="utf-8", errors="replace"))
            target = folder / kind / f"{source.stem}.html"
            write_atomic(target, _document(source.name, f"<h1>{html.escape(source.name)}</h1>{_code(text)}"))
            labels = {"file": source.as_posix()}
            yield Item(str(target), "Configuration", kind.capitalize(), labels, "configuration.rst")


def _code(text: str) -> str:
    return f"<pre>{html.escape(text)}</pre>"


def _facts(plan: Plan) -> dict[str, str]:
    counts: dict[str, int] = {}
    for gen_id in plan.needed():
        stage = plan.stage(gen_id)
        counts[stage] = counts.get(stage, 0) + 1
    facts = {f"planned {stage}s": f"{number:,}" for stage, number in counts.items()}
    facts["models"] = ", ".join(sorted(plan.models)) or "none"
    facts["Python"] = f"{platform.python_version()} on {platform.system()} {platform.machine()}"
    for package in _PACKAGES:
        try:
            facts[package] = version(package)
        except PackageNotFoundError:
            continue
    return facts


def _table(facts: Mapping[str, str]) -> str:
    rows = "".join(
        f"<tr><th>{html.escape(name)}</th><td>{html.escape(value)}</td></tr>" for name, value in facts.items()
    )
    return f"<h1>Provenance</h1><table>{rows}</table>"
