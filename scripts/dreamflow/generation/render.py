"""Prompts: Jinja2 templates, rendered in Jinja2's sandbox. A missing variable is an error."""

from collections.abc import Callable, Collection, Mapping
from functools import lru_cache

import jinja2
from jinja2 import meta
from jinja2.sandbox import SandboxedEnvironment

from ..errors import ConfigError
from .model import Json

_ENVIRONMENT = SandboxedEnvironment(
    undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True, autoescape=False
)


@lru_cache(maxsize=1024)
def _compiled(text: str) -> jinja2.Template:
    return _ENVIRONMENT.from_string(text)


def check_template(text: str, where: str, variables: Collection[str]) -> None:
    """Raise a `ConfigError` if `text` is not a Jinja2 template or uses other variables; `where` is its file."""
    try:
        used = meta.find_undeclared_variables(_ENVIRONMENT.parse(text))
    except jinja2.TemplateSyntaxError as error:
        raise ConfigError(f"{where}:{error.lineno}: not a Jinja2 template: {error.message}") from None
    for name in sorted(used - set(variables)):
        raise ConfigError(f"{where}: unknown variable {name!r}; known: {', '.join(sorted(variables))}")


def render(text: str, values: Mapping[str, Json], where: str) -> str:
    """The prompt of a template and its variables; errors name the template by `where`."""
    try:
        return _compiled(text).render(values).strip() + "\n"
    except jinja2.TemplateError as error:
        raise ConfigError(f"template {where}: {error}") from None


def resolve(value: Json, texts: Mapping[str, str], parent_text: Callable[[str], str]) -> Json:
    """A plan row's variables with their references replaced: {"sha256": …} by an input text, {"parent": gen_id} by that
    generation's parsed text, {"choice": key, "of": {…}} by the value of the key."""
    if isinstance(value, Mapping):
        if value.keys() == {"sha256"}:
            return texts[value["sha256"]]
        if value.keys() == {"parent"}:
            return parent_text(value["parent"])
        if value.keys() == {"choice", "of"}:
            return resolve(value["of"][resolve(value["choice"], texts, parent_text).strip()], texts, parent_text)
        return {key: resolve(item, texts, parent_text) for key, item in value.items()}
    if isinstance(value, list):
        return [resolve(item, texts, parent_text) for item in value]
    return value
