"""Sampling parameters that a provider does not take are errors of the configuration."""

import pytest
import yaml
from dreamflow.cohorts.stages import DRAFT
from dreamflow.errors import ConfigError
from dreamflow.generation.catalog import load_catalog
from dreamflow.generation.models import load_models
from dreamflow.generation.questions import question_fields
from dreamflow.generation.settings import ModelCall, Sampling


def model_with(sampling, **fields):
    row = {"name": "m", **fields, "sampling": sampling}
    return {"models": {"m": row}}


@pytest.mark.parametrize(
    ("fields", "sampling"),
    [
        ({"provider": "openai"}, {"top_k": 5}),
        ({"provider": "openai"}, {"min_p": 0.1}),
        ({"provider": "openai"}, {"repeat_penalty": 1.1}),
        ({"provider": "openai", "base_url": "https://me.openai.azure.com/openai/v1"}, {"top_k": 5}),
        ({"provider": "openai", "name": "o3-mini"}, {"temperature": 1.0}),
        ({"provider": "openai", "name": "gpt-5"}, {"top_p": 0.9}),
        ({"provider": "anthropic"}, {"min_p": 0.1}),
        ({"provider": "anthropic"}, {"repeat_penalty": 1.0}),
        ({"provider": "anthropic"}, {"temperature": 1.5}),
        ({"provider": "anthropic", "name": "claude-opus-4-7"}, {"temperature": 1.0}),
        ({"provider": "anthropic", "extra_body": {"thinking": {"type": "enabled"}}}, {"temperature": 1.0}),
    ],
)
def test_a_sampling_parameter_that_the_provider_does_not_take(tmp_path, fields, sampling):
    path = tmp_path / "models.yaml"
    path.write_text(yaml.safe_dump(model_with(sampling, **fields), sort_keys=False))
    (name,) = sampling
    line = path.read_text().splitlines().index(f"      {name}: {sampling[name]}") + 1
    with pytest.raises(ConfigError) as caught:
        load_models(path, None, {})
    assert str(caught.value).startswith(f"{path}:{line}: models.m.sampling.{name}: ")
    # in a spec as well
    path.write_text(yaml.safe_dump(model_with({}, **fields)))
    (tmp_path / "templates/draft").mkdir(parents=True)
    (tmp_path / "templates/draft/draft-v1.txt").write_text("{{ concepts }}")
    catalog = load_catalog(tmp_path, DRAFT.prompts)
    call = ModelCall(model="m", sampling=Sampling(**sampling))
    with pytest.raises(ConfigError) as caught:
        question_fields("draft", call, catalog, load_models(path, None, {}))
    assert caught.value.key == ("sampling", name)


@pytest.mark.parametrize(
    ("fields", "sampling"),
    [
        (
            {"provider": "openai", "base_url": "http://localhost:8080/v1"},
            {"top_k": 5, "min_p": 0.1, "repeat_penalty": 1.1},
        ),
        ({"provider": "openrouter"}, {"top_k": 5, "min_p": 0.1, "repeat_penalty": 1.1, "temperature": 1.5}),
        ({"provider": "openai"}, {"temperature": 1.5, "top_p": 0.9, "seed": 1, "stop": ["x"], "max_tokens": 5}),
        ({"provider": "openai", "name": "gpt-5"}, {"seed": 1, "max_tokens": 5}),
        ({"provider": "anthropic"}, {"temperature": 1.0, "top_k": 5, "seed": 1, "stop": ["x"]}),
        ({"provider": "llama_cpp"}, {"top_k": 5, "min_p": 0.1, "repeat_penalty": 1.1}),
    ],
)
def test_sampling_parameters_that_the_provider_takes(tmp_path, fields, sampling):
    path = tmp_path / "models.yaml"
    path.write_text(yaml.safe_dump(model_with(sampling, **fields)))
    assert load_models(path, None, {})["m"].sampling.as_dict() == sampling


@pytest.mark.parametrize("more", [{"stream": True}, {"n": 2}])
def test_answers_that_cannot_be_read_are_not_asked_for(tmp_path, more):
    path = tmp_path / "models.yaml"
    path.write_text(yaml.safe_dump(model_with({}, provider="openai", extra_body=more)))
    with pytest.raises(ConfigError, match="cannot be read; delete it"):
        load_models(path, None, {})
