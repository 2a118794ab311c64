"""Pages for people from the Jinja2 templates in `templates/`."""

from functools import cache
from pathlib import Path
from typing import Any

import jinja2

from . import markdown

_TEMPLATES = Path(__file__).with_name("templates")


def render(template: str, **values: Any) -> str:
    """The page that `templates/<template>` makes of `values`. HTML is escaped; in Markdown the template escapes."""
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
