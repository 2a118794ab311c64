"""Configuration: what is wrong is told with file, line, key and expectation; what is left out has a default."""

import copy
import json
import re
from pathlib import Path

import jsonschema
import pytest
import yaml
from dreamflow.cohorts.spec_language import load_spec
from dreamflow.config import SCHEMAS, check, load_yaml, unfolded
from dreamflow.errors import ConfigError
from dreamflow.generation.models import load_models
from dreamflow.plan import compile_plan
from project import REPOSITORY

README = (REPOSITORY / "config/README.md").read_text(encoding="utf-8")
NAMES = ["config", "models", "cohort", "chunking"]
COHORTS = sorted((REPOSITORY / "config/cohorts").glob("*.yaml"))


def loaded(folder: Path, text: str, schema: str):
    path = folder / "given.yaml"
    path.write_bytes(text.encode())
    return load_yaml(path, schema)


ONE = "models:\n  m:\n    provider: human\n"
SMALL = "axes: {a: [1]}\noutput: {}\n"


@pytest.mark.parametrize(
    ("schema", "text", "line", "key", "expected"),
    [
        ("config", "cohorts: []\r\nresults_top_n: 0\r\n", 2, "results_top_n", "minimum of 1; expected: how many"),
        ("config", "cohorts:\n  - demo\n  - 7\n", 3, "cohorts.1", "7 is not of type 'string'"),
        ("config", "\nlocal_models:\n  memory_gb: no\n", 3, "local_models.memory_gb", "expected: how much memory"),
        ("config", "# a list\n- demo\n", 2, "(top level)", "not of type 'object'"),
        ("config", "cohorts: []\n\ncohort: demo\n", 3, "(top level)", "'cohort' was unexpected) (known keys: call_"),
        ("models", "models:\n  m:\n    provider: gpt\n", 3, "models.m.provider", "'replay']; expected: who answers"),
        ("models", "models:\n  m:\n", 2, "models.m", "None is not of type 'object'"),
        ("models", "models:\n  m: {name: x}\n", 2, "models.m", "'provider' is a required property"),
        ("models", f"{ONE}    price: {{prompt: 1}}\n", 4, "models.m.price", "'completion' is a required"),
        ("models", f"{ONE}    trust: 1\n", 4, "models.m", "'trust' was unexpected"),
        ("models", f"{ONE}    revision: 1.0\n", 4, "models.m.revision", "not of type 'string'; expected: a version"),
        ("cohort", f"{SMALL}combos:\n  level: word\n", 4, "combos.level", "['sentence', 'paragraph', 'article']"),
        (
            "cohort",
            f"{SMALL}stages: {{draft: {{sampling: {{top_p: 0}}}}}}\n",
            3,
            "stages.draft.sampling.top_p",
            "minimum",
        ),
    ],
)
def test_a_mistake_is_told_with_file_line_key_and_expectation(tmp_path, schema, text, line, key, expected):
    with pytest.raises(ConfigError) as error:
        loaded(tmp_path, text, schema)
    assert str(error.value).startswith(f"{tmp_path}/given.yaml:{line}: {key}: ")
    assert expected in str(error.value)


def test_all_mistakes_are_told_at_once(tmp_path):
    text = "models:\n  a: {provider: human, threads: 0}\n  b: {gpu_layers: x, provider: human, prize: 1}\nmodel: {}\n"
    with pytest.raises(ConfigError) as error:
        loaded(tmp_path, text, "models")
    told = str(error.value).splitlines()
    assert len(told) == 4
    assert all(line.startswith(f"{tmp_path}/given.yaml:") for line in told)
    assert [sum(word in line for line in told) for word in ("models.a.threads", "models.b.gpu", "prize")] == [1, 1, 1]


@pytest.mark.parametrize(
    ("text", "place", "said"),
    [
        ("models:\n\ta: {provider: human}\n", ":2:1", "not valid YAML"),
        ("models:\n  a: {provider: human\n", ":3:1", "not valid YAML"),
        ("models: {}\n---\nmodels: {}\n", ":2:1", "another document"),
        ("models: !!python/object/apply:os.getcwd []\n", ":1:9", "tag"),
        ("models:\n  a: {provider: human}\n  a: {provider: replay, name: x}\n", ":3:3", "the key 'a' is there twice"),
        ("models: \0\n", "", "not valid YAML"),
        ("models: &again {a: *again}\n", "", ""),
        ("models: {a: {provider: human, sampling: {temperature: .nan}}}\n", "", ""),
    ],
    ids=["tab", "unclosed", "two documents", "Python object", "key twice", "NUL", "circle", "no number"],
)
def test_what_is_no_sound_yaml_is_told_and_never_a_traceback(tmp_path, text, place, said):
    with pytest.raises(ConfigError) as error:
        loaded(tmp_path, text, "models")
    assert str(error.value).startswith(f"{tmp_path}/given.yaml{place}")
    assert said in str(error.value)


def test_files_that_cannot_be_read_are_named(tmp_path):
    (tmp_path / "latin.yaml").write_bytes(b"models: \xe9\n")
    with pytest.raises(ConfigError, match=r"latin\.yaml: not UTF-8 text \(byte 8\)"):
        load_yaml(tmp_path / "latin.yaml", "models")
    with pytest.raises(ConfigError, match=r"none\.yaml: no such file"):
        load_yaml(tmp_path / "none.yaml", "models")


def test_what_looks_like_a_date_is_text_and_one_that_is_none_is_told(tmp_path):
    model = "models: {{{}: {{provider: human, revision: {}}}}}\n"
    assert loaded(tmp_path, model.format("m", "2025-01-02"), "models")["models"]["m"]["revision"] == "2025-01-02"
    with pytest.raises(ConfigError, match=r"given\.yaml: .*month must be in"):
        loaded(tmp_path, model.format("m", "2025-13-02"), "models")
    with pytest.raises(ConfigError, match=r"given\.yaml: .*date"):
        loaded(tmp_path, model.format("2025-01-02", "x"), "models")


def test_a_mistake_in_a_json_spec_that_is_indented_by_tabs(tmp_path):
    path = tmp_path / "trial.json"
    path.write_text('{\n\t"axes": {"a": [1]},\n\t"output": 3\n}')
    with pytest.raises(ConfigError, match=r"trial\.json(:3)?: output: 3 is not of type 'object'"):
        check(load_spec(path), "cohort", path, path.read_text())


def test_defaults_are_there_at_every_level_and_belong_to_nobody(tmp_path):
    given = {"axes": {"a": [1]}, "output": {}, "stages": {"essay": {"attempts": 9}}, "combos": {"size": 2}}
    before = copy.deepcopy(given)
    value = check(given, "cohort", "x.yaml")
    assert given == before
    assert [value["stages"][stage]["attempts"] for stage in ("draft", "essay", "evaluation")] == [3, 9, 3]
    assert value["stages"]["evaluation"]["sampling"] == {}
    assert value["combos"] == {"size": 2, "level": "paragraph", "seed": 0, "lists": []}
    value["stages"]["draft"]["sampling"]["top_k"] = 1
    value["combos"]["lists"].append(["a"])
    again = check(given, "cohort", "x.yaml")
    assert (again["stages"]["draft"]["sampling"], again["combos"]["lists"]) == ({}, [])
    assert "combos" not in check({"axes": {"a": [1]}, "output": {}}, "cohort", "x.yaml")

    assert loaded(tmp_path, "", "config")["local_models"]["prefix_folder"] is None
    assert loaded(tmp_path, "local_models: {memory_gb: 2}", "config")["local_models"]["prefix_states"] == 8
    model = loaded(tmp_path, "models: {m: {provider: human}}", "models")["models"]["m"]
    assert (model["sampling"], model["timeout_s"], "price" in model) == ({}, 600, False)


# What is shipped.


def test_every_shipped_file_is_valid_and_compiles(tmp_path, monkeypatch):
    monkeypatch.chdir(REPOSITORY)
    config = load_yaml("config/config.yaml", "config")
    load_yaml("config/models.yaml", "models")
    for path in COHORTS:
        load_yaml(path, "cohort")
    assert set(config["cohorts"]) <= {path.stem for path in COHORTS}
    plan = compile_plan({"cohorts": [path.stem for path in COHORTS], "data_root": str(tmp_path)})
    assert all(cohort.generations for cohort in plan.cohorts.values())


def properties(node):
    """(name, schema) of every property that a JSON Schema describes, wherever it is."""
    if isinstance(node, dict):
        if isinstance(node.get("properties"), dict):
            yield from node["properties"].items()
        for part in node.values():
            yield from properties(part)


@pytest.mark.parametrize("name", NAMES)
def test_every_key_is_explained_in_the_readme(name):
    schema = json.loads((SCHEMAS / f"{name}.schema.json").read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator.check_schema(schema)
    spans = re.findall(r"`([^`\n]+)`", README) + re.findall(r"^(?:#| {4}).*", README, re.M)
    explained = {word for span in spans for word in re.findall(r"\w+", span)}
    assert {key for key, _ in properties(schema)} - explained == set()


def test_the_readme_tells_the_defaults_of_config_yaml_and_a_cohort_that_is_valid():
    defaults = check({}, "config", "config.yaml")
    for group in ("local_models", "upgrade", "clusters", "salience"):
        defaults |= {f"{group}.{key}": value for key, value in defaults.pop(group).items()}
    defaults |= dict.fromkeys(
        f"upgrade.{key}" for key in ("target", "limit", "max_tokens", "max_duration_s", "deadline")
    )
    defaults["clusters.model"] = None
    section = README.partition("## config.yaml")[2].partition("\n## ")[0]
    told = dict(re.findall(r"^\| `([\w.]+)` \| `?([^|`]+?)`? \|", section, re.M))
    assert {key: None if value == "none" else yaml.safe_load(value) for key, value in told.items()} == defaults
    example = README.partition("one cohort\n\n")[2].partition("\n\nThe rows")[0]
    check(yaml.safe_load(example), "cohort", "README.md", example)


@pytest.mark.parametrize(
    ("given", "unfolded_to"),
    [
        ({"cohorts": []}, {"cohorts": []}),
        ({"upgrade_limit": 3, "upgrade": {"limit": 5, "urgency": "high"}}, {"limit": 3, "urgency": "high"}),
        ({"upgrade.target": "good", "upgrade": None}, {"target": "good"}),
        # Snakemake takes quotes from the end of a value.
        ({"upgrade_filter": 'labels CONTAINS \'it is "so"'}, {"filter": "labels CONTAINS 'it is \"so\"'"}),
        ({"upgrade_filter": "a = 'b' AND c = \"it's"}, {"filter": "a = 'b' AND c = \"it's\""}),
        ({"upgrade_filter": "a = 'b' AND c = 1"}, {"filter": "a = 'b' AND c = 1"}),
    ],
)
def test_keys_of_an_upgrade_can_be_given_at_the_top(given, unfolded_to):
    assert unfolded(given) == (given if "cohorts" in given else {"upgrade": unfolded_to})


def test_an_upgrade_that_is_no_mapping_is_told():
    with pytest.raises(ConfigError, match=r"upgrade: .*not of type 'object'"):
        check(unfolded({"upgrade": "all", "upgrade_limit": 3}), "config", "config.yaml")


def test_registered_models_are_read_too(tmp_path):
    main, folder = tmp_path / "models.yaml", tmp_path / "registered"
    main.write_text(ONE)
    assert load_models(main, folder).keys() == {"m"}  # the folder need not be there
    folder.mkdir()
    (folder / "b.yaml").write_text("models: {b: {provider: llama_cpp, name: b.gguf, lora: none.gguf}}\n")
    (folder / "a.yaml").write_text("models: {a: {provider: llama_cpp, name: a.gguf}}\n")
    models = load_models(main, folder)
    assert list(models) == ["m", "a", "b"]
    assert (models["b"]["model_id"], models["b"]["lora"], "lora" in models["a"]) == ("b", "none.gguf", False)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (ONE, r"new\.yaml: models\.m: .*models\.yaml defines this id too"),
        ("", r"new\.yaml: .*'models' is a required property"),
        ("models:\n  b: {provider: llama_c", r"new\.yaml:\d+:\d+: not valid YAML"),
        ("models: {b: {provider: openai, name: x, lora: y}}", r"new\.yaml: models\.b: 'lora' is for llama_cpp"),
    ],
)
def test_a_registered_model_that_is_wrong_is_told_with_its_file(tmp_path, text, said):
    (tmp_path / "models.yaml").write_text(ONE)
    (tmp_path / "registered").mkdir()
    (tmp_path / "registered/new.yaml").write_text(text)
    with pytest.raises(ConfigError, match=said):
        load_models(tmp_path / "models.yaml", tmp_path / "registered")
