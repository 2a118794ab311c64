"""Write config/schemas/*.schema.json and the tables of config/README.md from the pydantic models, and those of
docs/database.md from their definitions: `make schemas`.

In config/README.md a table is between `<!-- table: Model -->` and `<!-- end -->`. Keys of a section without a table of
its own are listed as `section.key`.
"""

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from types import UnionType
from typing import Union, get_args, get_origin

from dreamflow.chunks.spec import ChunkingSpec
from dreamflow.cohorts.spec import CohortSpec
from dreamflow.config import Section
from dreamflow.database.describe import described_tables
from dreamflow.distill.spec import DistillationSpec
from dreamflow.dreams.spec import NightSpec, ProcedureCard
from dreamflow.generation.model import Json
from dreamflow.generation.settings import ModelsFile, Sampling
from dreamflow.probe.spec import ProbeSpec
from dreamflow.settings import Settings
from dreamflow.tasks.spec import TaskLine
from pydantic.fields import FieldInfo

CONFIG = Path(__file__).parents[1] / "config"
DATABASE = CONFIG.parent / "docs/database.md"
TABLES = "<!-- tables: written by scripts/write_schemas.py -->"
FILES = {
    "config": Settings,
    "models": ModelsFile,
    "cohort": CohortSpec,
    "night": NightSpec,
    "procedure": ProcedureCard,
    "chunking": ChunkingSpec,
    "probe": ProbeSpec,
    "distillation": DistillationSpec,
    "task": TaskLine,
}
_TABLE = re.compile(r"(<!-- table: (\w+) -->\n).*?(<!-- end -->)", re.S)


def generated() -> dict[Path, str]:
    """The content of every generated file, by path, including the two documents with their new tables."""
    files = {CONFIG / "schemas" / f"{name}.schema.json": schema_text(model) for name, model in FILES.items()}
    readme = CONFIG / "README.md"
    before, mark, _ = DATABASE.read_text(encoding="utf-8").partition(TABLES)
    return {
        **files,
        readme: with_tables(readme.read_text(encoding="utf-8")),
        DATABASE: f"{before}{mark}\n\n{described_tables()}\n",
    }


def schema_text(model: type[Section]) -> str:
    """The JSON Schema of a file, with which editors complete and check keys."""
    schema = {"$schema": "https://json-schema.org/draft/2020-12/schema", **_tidy(model.model_json_schema())}
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"


def _tidy(node: Json) -> Json:
    """A schema without titles, which only repeat names, and without defaults of null for keys that do not accept it."""
    if isinstance(node, list):
        return [_tidy(item) for item in node]
    if not isinstance(node, dict):
        return node
    drop = {"title"} if isinstance(node.get("title"), str) else set()
    if node.get("default", 0) is None and "anyOf" not in node:
        drop.add("default")
    return {key: " ".join(part.split()) if key == "description" and isinstance(part, str) else _tidy(part)
            for key, part in node.items() if key not in drop}  # fmt: skip


def with_tables(readme: str) -> str:
    """The text of config/README.md with the new content of every table."""
    models = {model.__name__: model for model in _sections(Section)}
    own = {name for _, name, _ in _TABLE.findall(readme)}
    if unknown := own - models.keys():
        raise SystemExit(f"config/README.md: unknown model {min(unknown)}")
    return _TABLE.sub(lambda match: match[1] + _table(models[match[2]], own) + match[3], readme)


def _sections(model: type[Section]) -> Iterator[type[Section]]:
    for section in model.__subclasses__():
        yield section
        yield from _sections(section)


def _table(model: type[Section], own: set[str]) -> str:
    rows = [f"| `{key}` | {_default(field)} | {_meaning(field, own)} |\n" for key, field in _fields(model, own)]
    return "| key | default | meaning |\n|---|---|---|\n" + "".join(rows)


def _meaning(field: FieldInfo, own: set[str]) -> str:
    text, section = (field.description or "").replace("|", "\\|"), _section_of(field)
    if section is None or section.__name__ not in own:
        return text
    return (
        f"{text} See [Sampling](#sampling)." if section is Sampling else f"{text} Its keys have a table of their own."
    )


def _is_optional(field: FieldInfo) -> bool:
    return get_origin(field.annotation) in (Union, UnionType)


def _section_of(field: FieldInfo) -> type[Section] | None:
    """The section that is the value of a key, else None."""
    parts = get_args(field.annotation) if _is_optional(field) else (field.annotation,)
    return next((part for part in parts if isinstance(part, type) and issubclass(part, Section)), None)


def _fields(model: type[Section], own: set[str], before: str = "") -> Iterator[tuple[str, FieldInfo]]:
    """The keys of a section; the keys of a part without a table of its own follow as `part.key`."""
    for name, field in model.model_fields.items():
        key = f"{before}{field.alias or name}"
        inner = _section_of(field)
        listed = inner is not None and any(kind.__name__ in own for kind in (inner, *inner.__subclasses__()))
        if inner is None or listed or _is_optional(field):
            yield key, field
        if inner is not None and not listed:
            yield from _fields(inner, own, f"{key}.")


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    value = field.get_default(call_default_factory=True)
    if value is None or value == "" or isinstance(value, Section):
        return ""
    return f"`{json.dumps(value, ensure_ascii=False)}`"


def main() -> int:
    """Write the files that have changed and delete unknown schemas; returns the exit status."""
    for path, text in generated().items():
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")
            print(f"{path.relative_to(CONFIG.parent)}: written")
    known = {path.name for path in generated()}
    for path in (CONFIG / "schemas").glob("*.json"):
        if path.name not in known:
            path.unlink()
            print(f"{path.relative_to(CONFIG.parent)}: deleted")
    return 0


if __name__ == "__main__":
    sys.exit(main())
