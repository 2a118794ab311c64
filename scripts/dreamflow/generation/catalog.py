"""The inputs under `raw_root`: templates, concepts and the catalogs that describe them.

The layout is the one of DayDreaming's `data/1_raw` (CSV catalogs, descriptions at three levels, Jinja2 templates), so
such a folder works unchanged: our columns are optional, other columns are ignored, and a template needs no catalog row.
"""

import csv
import io
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from ..errors import ConfigError, unknown
from ..files import checked_name, read_text, sha256
from .model import Json
from .parsers import check_parser
from .render import check_template
from .stage import PromptKind

LEVELS = ("article", "paragraph", "sentence")  # a missing description falls back to the next shorter one
GENERATORS = ("llm", "copy")
DEFAULT_SCALE = (0.0, 9.0)
_SCALE = re.compile(r"(?:(-?\d+(?:\.\d+)?)-)?(-?\d+(?:\.\d+)?)")


@dataclass(frozen=True)
class Template:
    """A prompt template. `scale` is the range of an evaluation's scores; `response_format` constrains the answers:
    None, {"type": "json_schema", "schema": ...} or {"type": "grammar", "grammar": GBNF}."""

    template_id: str
    parser: str
    generator: str
    scale: tuple[float, float]
    response_format: Mapping[str, Json] | None
    sha256: str


@dataclass
class Catalog:
    """Inputs by name. `prompts` are the kinds of prompt; `texts` has every input text of the plan, by its SHA-256. CSV
    catalogs, templates and descriptions are read when a plan needs them."""

    root: Path
    prompts: Mapping[str, PromptKind]
    texts: dict[str, str] = field(default_factory=dict)
    templates: dict[tuple[str, str], Template] = field(default_factory=dict)
    descriptions: dict[tuple[str, str], tuple[str, str]] = field(default_factory=dict)
    _rows: dict[str, dict[str, dict[str, str]]] = field(default_factory=dict)

    def keep(self, text: str) -> str:
        """Add a text to `texts`; returns its digest."""
        digest = sha256(text)
        self.texts[digest] = text
        return digest

    @cached_property
    def concepts(self) -> dict[str, str]:
        """The names of the concepts, by id. Raises `ConfigError`."""
        rows = read_csv(self.root / "concepts_metadata.csv", ("concept_id",))
        return {concept_id: row.get("name") or concept_id for concept_id, row in rows.items()}

    def rows(self, kind: str) -> dict[str, dict[str, str]]:
        """The rows of the template catalog of a kind of prompt, by template. Raises `ConfigError`."""
        if kind not in self._rows:
            self._rows[kind] = read_csv(self.root / f"{kind}_templates.csv", ("template_id",), missing_ok=True)
        return self._rows[kind]


def load_catalog(root: Path | str, prompts: Iterable[PromptKind]) -> Catalog:
    """The catalog of the inputs under `root`. Raises `ConfigError` if there is no such folder."""
    if not Path(root).is_dir():
        raise ConfigError(f"raw_root: {root}: no such folder")
    return Catalog(Path(root), {prompt.name: prompt for prompt in prompts})


def read_csv(path: Path, required: tuple[str, ...], *, missing_ok: bool = False) -> dict[str, dict[str, str]]:
    """The rows of a CSV file by the first column of `required`. Rows without an id are skipped; an id occurs once."""
    if missing_ok and not path.exists():
        return {}
    reader = csv.DictReader(io.StringIO(read_text(path).removeprefix("\ufeff")))
    missing = [column for column in required if column not in (reader.fieldnames or [])]
    if missing:
        raise ConfigError(f"{path}:1: no column {missing[0]!r}; the header must have {', '.join(required)}")
    rows: dict[str, dict[str, str]] = {}
    for row in reader:
        row = {key: (value or "").strip() for key, value in row.items() if isinstance(key, str)}
        key = row[required[0]]
        if not key:
            continue
        if key in rows:
            raise ConfigError(f"{path}:{reader.line_num}: {required[0]} {key!r} is listed twice")
        rows[key] = row
    return rows


def template(catalog: Catalog, kind: str, template_id: str) -> Template:
    """A template of a kind of prompt; its text is added to `catalog.texts`. Raises `ConfigError`."""
    key = (kind, template_id)
    if key not in catalog.templates:
        catalog.templates[key] = _load_template(catalog, catalog.prompts[kind], template_id)
    return catalog.templates[key]


def _load_template(catalog: Catalog, kind: PromptKind, template_id: str) -> Template:
    row = catalog.rows(kind.name).get(template_id, {})
    listing = catalog.root / f"{kind.name}_templates.csv"
    path = catalog.root / "templates" / kind.name / f"{checked_name(template_id, 'template')}.txt"
    generator = row.get("generator") or "llm"
    if generator not in GENERATORS:
        raise ConfigError(f"{listing}: {template_id}: generator {generator!r}; expected {', '.join(GENERATORS)}")
    if not row and not path.exists():
        known = sorted({*catalog.rows(kind.name), *(file.stem for file in path.parent.glob("*.txt"))})
        message = unknown(f"{kind.name} template", template_id, known)
        raise ConfigError(f"{message} (no row in {listing}, no file {path})")
    text = "" if generator == "copy" else read_text(path)
    check_template(text, str(path), kind.variables)
    parser = row.get("parser") or kind.parser
    try:
        check_parser(parser)
        scale = parse_scale(row.get("scale", ""))
    except ConfigError as error:
        raise ConfigError(f"{listing}: {template_id}: {error}") from None
    response_format = _load_response_format(catalog.root, row["schema"], listing) if row.get("schema") else None
    return Template(template_id, parser, generator, scale, response_format, catalog.keep(text))


def _load_response_format(root: Path, name: str, listing: Path) -> Mapping[str, Json]:
    path = (root / name).resolve()
    if not path.is_relative_to(root.resolve()):
        raise ConfigError(f"{listing}: schema {name!r} is outside {root}")
    text = read_text(path)
    if path.suffix == ".gbnf":
        return {"type": "grammar", "grammar": text}
    try:
        return {"type": "json_schema", "schema": json.loads(text)}
    except json.JSONDecodeError as error:
        raise ConfigError(f"{path}:{error.lineno}: not valid JSON: {error.msg}") from None


def parse_scale(text: str) -> tuple[float, float]:
    """`"1-5"` or `"10"` (from 0) as (low, high); an empty text is 0-9, as in the original."""
    if not text:
        return DEFAULT_SCALE
    match = _SCALE.fullmatch(text)
    scale = (float(match[1] or 0), float(match[2])) if match else (0.0, 0.0)
    if scale[0] >= scale[1]:
        raise ConfigError(f"scale {text!r}; expected LOW-HIGH such as 0-9, or HIGH")
    return scale


def description(catalog: Catalog, concept_id: str, level: str) -> tuple[str, str]:
    """(level, text) of a concept: at this level, else at the next shorter level that exists, else its name."""
    key = (concept_id, level)
    if key not in catalog.descriptions:
        catalog.descriptions[key] = _load_description(catalog, concept_id, level)
    return catalog.descriptions[key]


def unknown_concept(catalog: Catalog, concept_id: str) -> str:
    """The message about a concept that is not in the catalog."""
    return f"{unknown('concept', concept_id, catalog.concepts)} (in {catalog.root / 'concepts_metadata.csv'})"


def _load_description(catalog: Catalog, concept_id: str, level: str) -> tuple[str, str]:
    if concept_id not in catalog.concepts:
        raise ConfigError(unknown_concept(catalog, concept_id))
    checked_name(concept_id, "concept")
    for candidate in LEVELS[LEVELS.index(level) :]:
        path = catalog.root / "concepts" / f"descriptions-{candidate}" / f"{concept_id}.txt"
        if path.exists():
            return candidate, read_text(path).strip()
    return "name", catalog.concepts[concept_id]
