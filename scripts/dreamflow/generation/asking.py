"""Who is asked for a kind of generation, and how: the fields of a plan row that a spec's `models` decide."""

from collections.abc import Mapping
from typing import Any

from ..config import under
from ..errors import ConfigError
from .catalog import Catalog, Template, template
from .models import find_model, identity, merge_sampling
from .parsers import parser_version

Row = dict[str, Any]


def asking(
    kind: str,
    settings: Mapping[str, Any],
    sampling: Mapping[str, Any],
    catalog: Catalog,
    models: Mapping[str, Row],
) -> Row:
    """The fields of a row of this kind. `settings` are model, fallback, template, attempts and sampling as a spec has
    them; `sampling` are the kind's own defaults, which the spec's win over."""
    with under("template"):
        chosen: Template = template(catalog, kind, settings.get("template", f"{kind}-v1"))
    names = [settings["model"], *settings["fallback"]]
    if len(set(names)) < len(names):
        raise ConfigError(f"a model is named twice: {', '.join(names)}", ("fallback",))
    with under("model"):
        askable = [find_model(models, settings["model"])]
    for place, name in enumerate(settings["fallback"]):
        with under("fallback", place):
            askable.append(find_model(models, name))
    human = [name for name, model in zip(names, askable, strict=True) if model["provider"] == "human"]
    if human and len(names) > 1:
        raise ConfigError(f"{human[0]!r} is a human model: it cannot have fallbacks or be one", ("fallback",))
    own = {**sampling, **settings["sampling"]}
    chain = [{"model": identity(model), "sampling": merge_sampling(model, own)} for model in askable]
    return {
        "mode": "human" if human else "llm",
        "template_id": chosen.template_id,
        "template_sha256": chosen.sha256,
        "parser": parser_version(chosen.parser),
        "parser_options": {},
        "attempts": settings["attempts"],
        "min_lines": 1,
        "model": chain[0]["model"],
        "sampling": {} if human else chain[0]["sampling"],
        "fallbacks": chain[1:],
        "response_format": chosen.response_format,
        "replicate": 1,
        "parents": [],
    }
