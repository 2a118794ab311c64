"""Pages from the templates in `templates/`: links are relative, texts of models and chats are escaped."""

import posixpath
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any  # what templates show

import jinja2

from ..reports import markdown
from .page import SECTIONS, section_path
from .text import highlighted, rendered

FOLDER = Path(__file__).parent


def render(template: str, path: str, section: str, title: str, values: Mapping[str, Any]) -> str:
    """The page of `templates/<template>` for the place `path`, with `values`.

    In a template, `url(path)` is the relative link to another place of the site.
    """
    start = posixpath.dirname(path)

    def url(target: str) -> str:
        place, mark, anchor = target.partition("#")
        return (posixpath.relpath(place, start or ".") if place else "") + mark + anchor

    frame = {"url": url, "path": path, "section": section, "title": title, "sections": SECTIONS}
    return environment().get_template(template).render({**frame, "section_path": section_path, **values})


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
    )
    result.filters |= {
        "number": markdown.number,
        "percent": markdown.percent,
        "count": markdown.count,
        "markdown": rendered,
        "code": highlighted,
    }
    return result
