"""Pages from the templates in `templates/`: links are relative, texts of models and chats are escaped."""

import json
import posixpath
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any  # what templates show

import jinja2
from markupsafe import Markup

from ..generation.progress import duration
from ..reports import markdown
from .page import SECTIONS, section_path
from .parts import Column, sort_key, status_badge, usd
from .text import highlighted, rendered

FOLDER = Path(__file__).parent
LONG = 300  # rows of a table that stand in the page; the others are shown when they are looked at

_KINDS = {type(None): "none", int: "int", float: "float", list: "list", tuple: "list", str: "str", Markup: "str"}


def render(
    template: str,
    path: str,
    section: str,
    title: str,
    values: Mapping[str, Any],
    sections: Mapping[str, str] = SECTIONS,
) -> str:
    """The page of `templates/<template>` for the place `path`, with `values`.

    In a template, `url(path)` is the relative link to another place of the site, `ui` has the macros of
    `components.html`, and `trail`, if it is among the values, is shown as a breadcrumb. `sections` are in the head.
    """
    start = posixpath.dirname(path)

    def url(target: str) -> str:
        place, mark, anchor = target.partition("#")
        return (posixpath.relpath(place, start or ".") if place else "") + mark + anchor

    frame = {"url": url, "path": path, "section": section, "title": title, "sections": sections}
    ui = environment().get_template("components.html").make_module({"url": url})
    return environment().get_template(template).render({**frame, "section_path": section_path, "ui": ui, **values})


@cache
def environment() -> jinja2.Environment:
    """The templates, with filters: `number`, `percent`, `markdown` (rendered, as safe HTML), `code` (highlighted)."""
    result = jinja2.Environment(
        loader=jinja2.FileSystemLoader(FOLDER / "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        extensions=["jinja2.ext.loopcontrols"],
    )
    result.filters |= {
        "number": markdown.number,
        "percent": markdown.percent,
        "count": markdown.count,
        "counted": markdown.counted,
        "markdown": rendered,
        "code": highlighted,
    }
    result.globals |= {
        "LONG": LONG,
        "kind_of": lambda value: _KINDS.get(type(value), type(value).__name__),
        "sort_key": sort_key,
        "keys_of": lambda row: [sort_key(cell) for cell in row],
        "as_columns": _columns,
        "in_script": _in_script,
        "status_badge": status_badge,
        "duration": duration,
        "usd": usd,
    }
    return result


def _columns(columns: Sequence[Column | str]) -> list[Column]:
    return [column if isinstance(column, Column) else Column(column) for column in columns]


def _in_script(value: Any) -> Markup:
    """JSON that can stand in a script element, shorter than `tojson` makes it."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return Markup(text.replace("</", "<\\/").replace("<!--", "\\u003c!--"))  # noqa: S704
