"""Report pages from the Jinja2 templates in `templates/`."""

from functools import cache
from pathlib import Path

import jinja2

from . import markdown

_TEMPLATES = Path(__file__).with_name("templates")


def render(template: str, **values: object) -> str:
    """The page of `templates/<template>` with `values`. HTML is escaped here, Markdown by the template."""
    return _environment().get_template(template).render(values)


@cache
def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_TEMPLATES),
        autoescape=jinja2.select_autoescape(["html"]),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    names = ("plain", "code", "block", "table", "number", "percent", "count")
    environment.filters |= {name: getattr(markdown, name) for name in names}
    return environment
