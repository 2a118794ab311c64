"""The fields of a plan row that a spec's model settings decide."""

from collections.abc import Mapping, Sequence
from typing import Any

from ..config import under
from ..errors import ConfigError
from .catalog import Catalog, Template, template
from .model import Candidate
from .models import Model, check_sampling, find_model, identity, merge_sampling
from .parsers import parser_version
from .settings import ModelCall


def check_question(
    kind: str, call: ModelCall, catalog: Catalog, models: Mapping[str, Model]
) -> tuple[Template, list[Model]]:
    """The template and the models of a question; no model file is read. Raises a `ConfigError` for what is wrong with
    the call."""
    with under("template"):
        chosen = template(catalog, kind, call.template or f"{kind}-v1")
    with under("model"):
        first = find_model(models, call.model)
    used = [first, *find_fallbacks(call.fallback, models)]
    check_candidates(used)
    for model in used:
        check_sampling(model, call.sampling.as_dict())
    return chosen, used


def find_fallbacks(names: Sequence[str], models: Mapping[str, Model]) -> list[Model]:
    """The models that the key `fallback` names. Raises a `ConfigError` for an unknown one."""
    found = []
    for place, name in enumerate(names):
        with under("fallback", place):
            found.append(find_model(models, name))
    return found


def check_candidates(used: Sequence[Model]) -> None:
    """Raise a `ConfigError` if a question cannot have these models: the first, then its fallbacks."""
    names = [model.model_id for model in used]
    if len(set(names)) < len(names):
        raise ConfigError(f"a model is named twice: {', '.join(names)}", ("fallback",))
    human = [model.model_id for model in used if model.provider == "human"]
    if human and len(used) > 1:
        raise ConfigError(f"{human[0]!r} is a human model: it cannot have fallbacks or be one", ("fallback",))


def question_fields(kind: str, call: ModelCall, catalog: Catalog, models: Mapping[str, Model]) -> dict[str, Any]:
    """The fields of a `Generation` of this kind of prompt. `call` is what a spec says; the kind has the
    defaults of template and sampling."""
    _, used = check_question(kind, call, catalog, models)
    fields = slot_fields(kind, call, catalog)
    human = used[0].provider == "human"
    candidates = [Candidate(identity(model), merge_sampling(model, fields["sampling"])) for model in used]
    return fields | {
        "mode": "human" if human else "llm",
        "model": candidates[0].model,
        "sampling": {} if human else candidates[0].sampling,
        "fallbacks": candidates[1:],
    }


def slot_fields(kind: str, call: ModelCall, catalog: Catalog) -> dict[str, Any]:
    """As `question_fields`, before a model is chosen: `sampling` has what the spec and the kind of prompt say."""
    with under("template"):
        chosen = template(catalog, kind, call.template or f"{kind}-v1")
    return {
        "mode": "llm",
        "template_id": chosen.template_id,
        "template_sha256": chosen.sha256,
        "parser": parser_version(chosen.parser),
        "max_attempts": call.attempts,
        "min_lines": 1,
        "model": None,
        "sampling": {**catalog.prompts[kind].sampling, **call.sampling.as_dict()},
        "fallbacks": [],
        "response_format": chosen.response_format,
    }
