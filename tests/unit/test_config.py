"""Configuration files: every mistake is reported with file, line, key and expectation; defaults fill in the rest."""

import json
import random
import re
import subprocess
import sys
from pathlib import Path

import jsonschema
import pytest
import write_schemas
import yaml
from dreamflow.chunks.spec import ChunkingSpec
from dreamflow.cohorts.compile import read_spec
from dreamflow.cohorts.spec import CohortSpec
from dreamflow.config import check, load_yaml
from dreamflow.distill.spec import DistillationSpec
from dreamflow.dreams.spec import NightSpec, ProcedureCard
from dreamflow.errors import ConfigError, DreamflowError
from dreamflow.generation.models import load_models
from dreamflow.generation.settings import ModelsFile
from dreamflow.plan import compile_plan
from dreamflow.probe.spec import ProbeSpec
from dreamflow.settings import Settings, has_keys, load_settings, nest_keys
from dreamflow.tasks.spec import TaskLine
from hypothesis import given, settings
from hypothesis import strategies as st
from project import REPOSITORY, Project

README = (REPOSITORY / "config/README.md").read_text(encoding="utf-8")
SHIPPED = {
    "config/cohorts": CohortSpec,
    "config/procedures": NightSpec,
    "config/conversations": ChunkingSpec,
    "config/probes": ProbeSpec,
    "config/distillations": DistillationSpec,
    "data/1_raw/procedures/*": ProcedureCard,
}
FILES = [
    (REPOSITORY / "config/config.yaml", Settings),
    (REPOSITORY / "config/models.yaml", ModelsFile),
    *((path, model) for folder, model in SHIPPED.items() for path in sorted(REPOSITORY.glob(f"{folder}/*.yaml"))),
]


def loaded(folder: Path, text: str, model: type):
    path = folder / "given.yaml"
    path.write_bytes(text.encode())
    return load_yaml(path, model)


def message(folder: Path, text: str, model: type) -> str:
    with pytest.raises(ConfigError) as error:
        loaded(folder, text, model)
    return str(error.value).replace(f"{folder}/", "")


ONE = "models:\n  m:\n    provider: human\n"
SMALL = "axes: {a: [1]}\noutput: {}\n"
LEARN = "student: {model: s}\nteacher: {model: t}\nreplay: {kinds: [facts]}\n"
WORD = "sampling: {temprature: 0.5}"
MISSPELT = "temprature: unknown key; did you mean 'temperature'? known keys: max_tokens, min_p"


@pytest.mark.parametrize(
    ("model", "text", "expected"),
    [
        (
            Settings,
            "cohorts: []\r\nresults_top_n: 0\r\n",
            "2: results_top_n: 0 is below the minimum of 1; expected: Nu",
        ),
        (Settings, "cohorts:\n  - demo\n  - 7\n", "3: cohorts[1]: 7 is not text; expected: Cohorts: names of files"),
        (
            Settings,
            "\nlocal_models:\n  memory_gb: no\n",
            "3: local_models.memory_gb: false is not a number; expected: M",
        ),
        (Settings, "# a list\n- demo\n", '2: (top level): ["demo"] is not a mapping'),
        (
            Settings,
            "cohorts: []\n\ncohort: demo\n",
            "3: cohort: unknown key; did you mean 'cohorts'? known keys: batch, budgets",
        ),
        (Settings, "upgrade:\n  target: null\n", "2: upgrade.target: null is not one of good, premium; expected: Requ"),
        (Settings, f"clusters:\n  {WORD}\n", f"2: clusters.sampling.{MISSPELT}"),
        (
            ModelsFile,
            "models:\n  m:\n    provider: opnai\n",
            "replay; did you mean 'openai'? expected: Who answers: `ll",
        ),
        (ModelsFile, "models:\n  m:\n", "2: models.m: the key has no value; give it one (a mapping), or delete it"),
        (ModelsFile, "models:\n  m: {name: x}\n", "2: models.m: 'provider' is missing; expected: Who answers"),
        (ModelsFile, f"{ONE}    price: {{prompt: 1}}\n", "4: models.m.price: 'completion' is missing; expected: Price"),
        (ModelsFile, f"{ONE}    trust: 1\n", "4: models.m.trust: unknown key; known keys: api_key_env, atp"),
        (ModelsFile, f"{ONE}    revision: 1.0\n", "4: models.m.revision: 1.0 is not text; expected: Any text that na"),
        (ModelsFile, "models:\n  -: {provider: human}\n", '2: models.-: "-" does not match ^[A-Za-z0-9]'),
        (ModelsFile, "models:\n  m: {provider: openai}\n", "2: models.m: 'name' is missing; expected: the provider's"),
        (ModelsFile, f"{ONE}    {WORD}\n", f"4: models.m.sampling.{MISSPELT}"),
        (CohortSpec, f"{SMALL}combos:\n  level: word\n", '4: combos.level: "word" is not one of sentence, paragraph'),
        (CohortSpec, f"{SMALL}stages: {{draft: {{{WORD}}}}}\n", f"3: stages.draft.sampling.{MISSPELT}"),
        (CohortSpec, "axes: {a: [1]}\noutput: 3\n", "2: output: 3 is not a mapping; expected: `field_order`"),
        (NightSpec, "limits:\n  reoder: 1\n", "2: limits.reoder: unknown key; did you mean 'reorder'? known keys: con"),
        (NightSpec, "kinds: [relax, relax]\n", '1: kinds: "relax" occurs twice; delete one'),
        (NightSpec, "tiers: {viable: 0.1}\n", "1: tiers: 'speculative' is above 'viable'"),
        (NightSpec, f"models:\n  relax:\n    model: m\n    {WORD}\n", f"4: models.relax.sampling.{MISSPELT}"),
        (ChunkingSpec, f"tiers:\n  basic:\n    {WORD}\n", f"3: tiers.basic.sampling.{MISSPELT}"),
        (ProbeSpec, f"models: [m]\nasked:\n  {WORD}\n", f"3: asked.sampling.{MISSPELT}"),
        (ProbeSpec, "models: [m]\nasked: {by_kind: {code: {temprature: 1}}}\n", f"2: asked.by_kind.code.{MISSPELT}"),
        (
            ProbeSpec,
            "models: [m]\nasked: {by_kind: {cod: {}}}\n",
            "2: asked.by_kind.cod: unknown key; did you mean 'code'?",
        ),
        (DistillationSpec, f"{LEARN}practice: {{{WORD}}}\n", f"4: practice.sampling.{MISSPELT}"),
        (DistillationSpec, LEARN.replace("t}", f"t, {WORD}}}"), f"2: teacher.sampling.{MISSPELT}"),
    ],
)
def test_a_mistake_is_reported_with_file_line_key_and_expectation(tmp_path, model, text, expected):
    said = message(tmp_path, text, model)
    assert said.startswith("given.yaml:")
    assert expected in said


def test_all_mistakes_are_reported_at_once(tmp_path):
    text = "models:\n  a: {provider: human, threads: 0}\n  b: {gpu_layers: x, provider: human, prize: 1}\nmodel: {}\n"
    lines = message(tmp_path, text, ModelsFile).splitlines()
    assert [line.split(": ")[:2] for line in lines] == [
        ["given.yaml:4", "model"],
        ["given.yaml:2", "models.a.threads"],
        ["given.yaml:3", "models.b.gpu_layers"],
        ["given.yaml:3", "models.b.prize"],
    ]


@pytest.mark.parametrize(
    ("text", "place", "said"),
    [
        ("models:\n\ta: {provider: human}\n", ":2:1", "not valid YAML"),
        ("models:\n  a: {provider: human\n", ":3:1", "not valid YAML"),
        ("models: {}\n---\nmodels: {}\n", ":2:1", "another document"),
        ("models: !!python/object/apply:os.getcwd []\n", ":1:9", "tag"),
        ("models:\n  a: {provider: human}\n  a: {provider: replay, name: x}\n", ":3:3", "the key 'a' occurs twice"),
        ("models: \0\n", "", "not valid YAML"),
        ("models: &again {a: *again}\n", "", ""),
        ("models: {a: {provider: human, sampling: {temperature: .nan}}}\n", "", ""),
        ("[" * 5000, "", ""),
    ],
    ids=["tab", "unclosed", "two documents", "Python object", "key twice", "NUL", "circle", "no number", "deep"],
)
def test_a_file_that_is_not_sound_yaml_is_reported_without_a_traceback(tmp_path, text, place, said):
    problem = message(tmp_path, text, ModelsFile)
    assert problem.startswith(f"given.yaml{place}")
    assert said in problem


def test_files_that_cannot_be_read_are_named(tmp_path):
    (tmp_path / "latin.yaml").write_bytes(b"models: \xe9\n")
    with pytest.raises(ConfigError, match=r"latin\.yaml: not UTF-8 text \(byte 8\)"):
        load_yaml(tmp_path / "latin.yaml", ModelsFile)
    with pytest.raises(ConfigError, match=r"none\.yaml: no such file"):
        load_yaml(tmp_path / "none.yaml", ModelsFile)
    with pytest.raises(ConfigError, match=r"cannot be read: Is a directory"):
        load_yaml(tmp_path, ModelsFile)


def test_a_date_is_text_and_an_impossible_date_is_reported(tmp_path):
    model = "models: {{{}: {{provider: human, revision: {}}}}}\n"
    assert loaded(tmp_path, model.format("m", "2025-01-02"), ModelsFile).models["m"].revision == "2025-01-02"
    assert re.match(r"given\.yaml: .*month must be in", message(tmp_path, model.format("m", "2025-13-02"), ModelsFile))
    assert re.match(r"given\.yaml: .*date", message(tmp_path, model.format("2025-01-02", "x"), ModelsFile))


def test_a_mistake_in_a_json_spec_that_is_indented_by_tabs(tmp_path):
    path = tmp_path / "trial.json"
    path.write_text('{\n\t"axes": {"a": [1]},\n\t"output": 3\n}')
    with pytest.raises(ConfigError, match=r"trial\.json(:3)?: output: 3 is not a mapping"):
        read_spec(path)


def test_defaults_exist_at_every_level_and_copies_are_independent(tmp_path):
    given = {"axes": {"a": [1]}, "output": {}, "stages": {"essay": {"attempts": 9}}, "combos": {"size": 2}}
    spec = check(given, CohortSpec, "x.yaml")
    value = spec.as_dict()
    assert [value["stages"][stage]["attempts"] for stage in ("draft", "essay", "evaluation")] == [3, 9, 3]
    assert value["stages"]["evaluation"] == {"attempts": 3, "fallback": [], "sampling": {}}
    assert value["combos"] == {"size": 2, "level": "paragraph", "seed": 0, "lists": []}
    value["stages"]["draft"]["sampling"]["top_k"] = 1
    value["axes"]["a"].append(2)
    assert spec.as_dict()["stages"]["draft"]["sampling"] == {}
    assert spec.axes == {"a": [1]}
    assert check({"axes": {"a": [1]}, "output": {}}, CohortSpec, "x.yaml").as_dict().keys() == {
        "axes",
        "output",
        "stages",
    }

    nowhere = loaded(tmp_path, "local_models: {prefix_folder: null}", Settings)
    assert nowhere.as_dict()["local_models"]["prefix_folder"] is None
    assert loaded(tmp_path, "local_models: {memory_gb: 2}", Settings).local_models.prefix_states == 8
    model = loaded(tmp_path, "models: {m: {provider: human}}", ModelsFile).models["m"].as_dict()
    assert (model["sampling"], model["timeout_s"], "price" in model) == ({}, 600, False)


def test_numbers_stay_as_they_are_written():
    sampling = {"temperature": 1, "top_p": 1.0, "max_tokens": 5}
    spec = check({"axes": {"a": [1]}, "output": {}, "stages": {"draft": {"sampling": sampling}}}, CohortSpec, "x.yaml")
    assert json.dumps(spec.as_dict()["stages"]["draft"]["sampling"]) == json.dumps(sampling)


def test_null_is_a_value_only_where_a_value_may_be_null():
    card = {
        "category": "c",
        "description": "d",
        "fakes": {"f": {"returns": None}, "g": {}},
        "inputs": [{"args": [None]}],
    }
    known = check(card, ProcedureCard, "x.yaml").as_dict()
    assert (known["fakes"], known["inputs"]) == (card["fakes"], card["inputs"])


# config.yaml and the command line.


@pytest.mark.parametrize(
    ("file", "changed", "said"),
    [
        ("cohorts: []\nresults_top_n: x\n", {}, "config.yaml:2: results_top_n: "),
        (
            "cohorts: []\nresults_top_n: 3\n",
            {"results_top_n": "x"},
            "command line (--config or --configfile): results_top_n: ",
        ),
        (
            "cohorts: []\n",
            {"cohort": ["demo"]},
            "command line (--config or --configfile): cohort: unknown key; did you mean",
        ),
        (
            "upgrade:\n  urgency: high\n",
            {"upgrade_limit": "x"},
            "command line (--config or --configfile): upgrade.limit: ",
        ),
        ("upgrade:\n  urgency: low\n", {"upgrade_limit": 1}, "config.yaml:2: upgrade.urgency: "),
        ("- demo\n", {}, "config.yaml:1: (top level): expected keys with values, such as 'cohorts: [demo]'"),
        ("cohorts: [demo\n", {}, "config.yaml:2:1: not valid YAML"),
    ],
)
def test_a_mistake_is_blamed_on_the_file_or_on_the_command_line(tmp_path, file, changed, said):
    path = tmp_path / "config.yaml"
    path.write_text(file)
    try:
        written = yaml.safe_load(file)
    except yaml.YAMLError:
        written = {}
    given = {**(written if isinstance(written, dict) else {}), **changed}
    with pytest.raises(ConfigError) as error:
        load_settings(given, path)
    assert str(error.value).replace(f"{tmp_path}/", "").startswith(said)


@pytest.mark.parametrize("text", ["", "# nothing yet\n", "{}\n"])
def test_a_blank_config_file_is_all_defaults(tmp_path, text):
    (tmp_path / "config.yaml").write_text(text)
    assert not has_keys(tmp_path / "config.yaml")
    assert load_settings({}, tmp_path / "config.yaml") == load_settings(None, tmp_path / "config.yaml") == Settings()


@pytest.mark.parametrize(
    ("given", "nested"),
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
def test_keys_of_an_upgrade_can_be_given_at_the_top(given, nested):
    assert nest_keys(given) == (given if "cohorts" in given else {"upgrade": nested})


def test_an_upgrade_that_is_not_a_mapping_is_reported():
    with pytest.raises(ConfigError, match=r'upgrade: "all" is not a mapping'):
        load_settings({"upgrade": "all", "upgrade_limit": 3})


# Names that do not exist.


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    """The shipped configuration in a folder of its own, to be changed; the inputs are the shipped ones."""
    for path, _ in FILES:
        if "config" in path.parts:
            copy = tmp_path / path.relative_to(REPOSITORY)
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_text(path.read_text(encoding="utf-8"), encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    return tmp_path


NAMES = [
    (
        "cohorts/demo",
        "draft_llm: [smollm2-135m]",
        "draft_llm:\n    - smollm2-135m\n    - smolm2",
        "axes.draft_llm[1]: unknown model 'smolm2'; did you mean 'smollm2-135m'?",
    ),
    (
        "cohorts/demo",
        "[clarity-short-v1, o",
        "[clarity-short-v2, o",
        "axes.evaluation_template[0]: unknown evaluation template 'clarity-short-v2'; did you mean 'clarity-short-v1'?",
    ),
    (
        "cohorts/demo",
        "  size: 3",
        "  size: 2\n  concepts: [economic-moat, flywheel-efect]",
        "combos.concepts[1]: unknown concept 'flywheel-efect'; did you mean 'flywheel-effect'?",
    ),
    (
        "cohorts/demo",
        "size: 3",
        "size: 3\n  lists: [[economic-moats]]",
        "combos.lists[0][0]: unknown concept 'economic-moats'; did you mean 'economic-moat'?",
    ),
    (
        "cohorts/demo",
        "output:\n",
        "rules:\n  tuples:\n    who:\n      axes: [essay_llm]\n      items:\n        - [gpt]\noutput:\n",
        "rules.tuples.who.items[0][0]: unknown model 'gpt'",
    ),
    (
        "cohorts/demo",
        "output:\n",
        "rules:\n  subsets:\n    draft_replicate:\n      - 3\noutput:\n",
        "rules.subsets.draft_replicate[0]: 'draft_replicate' has no level 3",
    ),
    (
        "cohorts/demo",
        "field_order: [combo_id, ",
        "field_order: [combi_id, ",
        "output.field_order[0]: there is no axis 'combi_id'",
    ),
    (
        "procedures/demo",
        "verdict: {model: smollm2-135m",
        "verdict: {model: smollm",
        "models.verdict.model: unknown model 'smollm'; did you mean 'smollm2-135m'?",
    ),
    (
        "procedures/demo",
        "verdict-short-v1",
        "verdict-short",
        "models.verdict.template: unknown verdict template 'verdict-short'; did you mean 'verdict-short-v1'?",
    ),
    (
        "procedures/demo",
        "fleet-ops.check_host,",
        "fleet-ops.check,",
        "procedures[0]: unknown procedure 'fleet-ops.check'; did you mean 'fleet-ops.check_host'?",
    ),
    ("conversations/demo", "basic: {}", "basic: {model: none}", "tiers.basic.model: unknown model 'none'"),
    ("probes/demo", "[smollm2-135m,", "[smollm2-135m, gpt,", "models[1]: unknown model 'gpt'; known: colleague"),
    (
        "probes/demo",
        "asked:",
        "asked:\n  template: plain",
        "asked.template: unknown answer template 'plain'; did you mean 'plain-v1'?",
    ),
    (
        "distillations/demo",
        "  model: smollm2-135m\n  samples",
        "  model: smollm3\n  samples",
        "teacher.model: unknown model 'smollm3'",
    ),
    (
        "distillations/demo",
        "  samples: 2",
        "  samples: 2\n  template: plane",
        "teacher.template: unknown answer template 'plane'",
    ),
    ("distillations/demo", "student: {model: smollm2-135m", "student: {model: me", "student.model: unknown model 'me'"),
    (
        "distillations/demo",
        "  kinds: [extraction, cl",
        "  kinds: [extraction, poems, cl",
        "replay.kinds[1]: no tasks of this kind: unknown kind 'poems'",
    ),
    ("config", "cohorts: [demo]", "clusters: {model: gpt}", "clusters.model: unknown model 'gpt'"),
    ("config", "cohorts: [demo]", "cohorts: [demos]", "cohorts[0]: unknown name 'demos'; did you mean 'demo'?"),
    ("config", "probes: [demo]", "probes: [demo, demo]", "probes[1]: 'demo' is named twice"),
]


def with_mistake(project, name, old, new):
    """The settings of a project with only the targets of a file of `config`, in which `old` is replaced by `new`."""
    path = project / f"config/{name}.yaml"
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), encoding="utf-8")
    config = yaml.safe_load((project / "config/config.yaml").read_text(encoding="utf-8"))
    if name != "config":
        named = {key: names for key, names in config.items() if isinstance(names, list)}
        config = {key: names if name.startswith(key) else [] for key, names in named.items()}
    return {**config, "raw_root": str(REPOSITORY / "data/1_raw"), "data_root": str(project / "data")}


def assert_placed(error, project, name, said):
    place, _, rest = str(error.value).partition(": ")
    assert rest.startswith(said)
    file, _, line = place.partition(":")
    assert file == f"config/{name}.yaml"
    wrong = re.search(r"'([\w. -]+)'", said)[1] if "subsets" not in said.partition(":")[0] else "3"
    assert wrong in (project / file).read_text(encoding="utf-8").splitlines()[int(line) - 1]


@pytest.mark.parametrize(("name", "old", "new", "said"), NAMES, ids=[case[3].split(":")[0] for case in NAMES])
def test_a_name_that_does_not_exist_is_reported_with_its_line(project, name, old, new, said):
    settings = with_mistake(project, name, old, new)
    with pytest.raises(DreamflowError) as error:
        compile_plan(settings).check()
    assert_placed(error, project, name, said)


def test_a_conversation_that_does_not_exist_is_reported_with_its_line_once_the_files_are_read(project):
    settings = with_mistake(project, "conversations/demo", '["*"]', '["*", bread]')
    said = "conversations[1]: unknown conversation 'bread'; known: "
    reading = compile_plan(settings).families["chunks"]
    assert reading.targets("chunks")  # its file may be among those that are not read yet
    with pytest.raises(ConfigError) as error:
        reading.read()
    assert_placed(error, project, "conversations/demo", said)
    for goal in ("chunks", "upgrade", "clusters"):  # a run that starts now says it before anything runs
        with pytest.raises(ConfigError) as error:
            compile_plan(settings).families["chunks"].targets(goal)
        assert_placed(error, project, "conversations/demo", said)


# Any broken file.

VALUES = [None, True, 0, -1, 2.5, "", "x", [], {}, ["x", "x"], {"x": 1}, [[1]], "2025-01-01", 10**9]
WHOLE = [(path, model) for path, model in FILES if "procedures/" not in str(path.parent.parent)]


@settings(max_examples=100)
@given(st.sampled_from(WHOLE), st.randoms(use_true_random=False), st.sampled_from(["drop", "misspell", "replace"]))
def test_a_changed_file_is_valid_or_reported_with_its_line(case, rng: random.Random, change: str):
    path, model = case
    value = yaml.safe_load(path.read_text(encoding="utf-8"))
    parent, key = rng.choice(list(places(value)))
    if change == "drop":
        del parent[key]
    elif change == "misspell" and isinstance(parent, dict):
        parent[f"{key}{rng.choice('xy_')}"] = parent.pop(key)
    else:
        parent[key] = rng.choice(VALUES)
    text = yaml.safe_dump(value, sort_keys=False)
    try:
        checked = check(yaml.safe_load(text), model, "changed.yaml", text)
    except ConfigError as error:
        for line in str(error).splitlines():
            number = re.match(r"changed\.yaml:(\d+): [^:]+: .", line)
            assert number, line
            assert int(number[1]) <= len(text.splitlines())
    else:
        assert isinstance(checked, model)


@settings(max_examples=100)
@given(st.sampled_from(WHOLE), st.integers(0, 10**6), st.text(max_size=4), st.integers(0, 6))
def test_any_text_is_valid_or_a_message_that_names_the_file(tmp_path_factory, case, place, new, cut):
    path, model = case
    text = path.read_text(encoding="utf-8")
    place %= len(text)
    file = tmp_path_factory.getbasetemp() / "changed.yaml"
    file.write_text(text[:place] + new + text[place + cut :], encoding="utf-8", errors="replace")
    try:
        load_yaml(file, model)
    except ConfigError as error:
        assert all(line.startswith(f"{file}") for line in str(error).splitlines())


def test_starting_a_project_of_cohorts_imports_no_library_of_other_families():
    code = "import dreamflow.plan, sys; print(*sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-c", code], cwd=REPOSITORY / "scripts", capture_output=True, text=True, check=True
    ).stdout.split()
    heavy = {"torch", "scipy", "pandas", "networkx", "rapidfuzz", "sentencex", "jsonschema", "hypothesis", "matplotlib"}
    assert heavy.isdisjoint(loaded)


def places(value):
    """Each mapping or list inside a value with each of its keys or places."""
    for key in list(value) if isinstance(value, dict) else range(len(value)):
        yield value, key
        if isinstance(value[key], dict | list):
            yield from places(value[key])


# What is shipped, and what is generated from the models.


@pytest.mark.parametrize(("path", "model"), FILES, ids=[path.stem for path, _ in FILES])
def test_a_shipped_file_is_valid_and_names_its_schema(path, model):
    load_yaml(path, model)
    first = path.read_text(encoding="utf-8").splitlines()[0]
    schema = re.fullmatch(r"# yaml-language-server: \$schema=(\S+)", first)
    assert schema, first
    file = (path.parent / schema[1]).resolve()
    assert file == REPOSITORY / f"config/schemas/{name_of(model)}.schema.json"
    jsonschema.validate(yaml.safe_load(path.read_text(encoding="utf-8")), json.loads(file.read_text(encoding="utf-8")))


def name_of(model: type) -> str:
    return next(name for name, known in write_schemas.FILES.items() if known is model)


def test_every_shipped_cohort_compiles(tmp_path, monkeypatch):
    monkeypatch.chdir(REPOSITORY)
    cohorts = [path.stem for path in sorted((REPOSITORY / "config/cohorts").glob("*.yaml"))]
    plan = compile_plan({"cohorts": cohorts, "data_root": str(tmp_path)})
    assert all(cohort.generations for cohort in plan.families["cohorts"].cohorts.values())


def test_schemas_and_tables_on_disk_are_the_generated_ones():
    """`make schemas` writes them."""
    for path, text in write_schemas.generated().items():
        assert path.read_text(encoding="utf-8") == text, f"{path}: run make schemas"
    assert {path.name for path in (REPOSITORY / "config/schemas").glob("*")} == {
        f"{name}.schema.json" for name in write_schemas.FILES
    }


def test_every_key_is_in_a_table_of_the_readme():
    tables = "".join(re.findall(r"<!-- table: \w+ -->\n(.*?)<!-- end -->", README, re.S))
    listed = {key.rpartition(".")[2] for key in re.findall(r"^\| `([\w.]+)` \|", tables, re.M)}
    for name, model in write_schemas.FILES.items():
        if model is not TaskLine:  # tasks/spec.py lists the graders
            schema = model.model_json_schema()
            keys = {key for node in [schema, *schema.get("$defs", {}).values()] for key in node.get("properties", {})}
            nested = {key for node in [schema, *schema.get("$defs", {}).values()]
                      for key, part in node.get("properties", {}).items() if "$ref" in part}  # fmt: skip
            assert keys - nested <= listed, name


def test_every_key_has_a_description():
    for name, model in write_schemas.FILES.items():
        schema = model.model_json_schema()
        for title, node in [(name, schema), *schema.get("$defs", {}).items()]:
            for key, part in node.get("properties", {}).items():
                node = part if "description" in part or "$ref" not in part else schema["$defs"][part["$ref"][8:]]
                assert node.get("description", "").endswith("."), f"{title}.{key}"


def test_the_example_in_the_readme_is_a_valid_cohort():
    example = README.partition("one cohort\n\n")[2].partition("\n\nThe rows")[0]
    check(yaml.safe_load(example), CohortSpec, "README.md", example)


# Models.


def test_registered_models_are_read_too(tmp_path):
    main, folder = tmp_path / "models.yaml", tmp_path / "registered"
    main.write_text(ONE)
    assert load_models(main, folder, {}).keys() == {"m"}  # the folder need not exist
    folder.mkdir()
    (folder / "b.yaml").write_text("models: {b: {provider: llama_cpp, name: b.gguf, lora: none.gguf}}\n")
    (folder / "a.yaml").write_text("models: {a: {provider: llama_cpp, name: a.gguf}}\n")
    models = load_models(main, folder, {})
    assert list(models) == ["m", "a", "b"]
    assert (models["b"].model_id, models["b"].lora, models["a"].lora) == ("b", "none.gguf", None)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (ONE, r"new\.yaml:2: models\.m: .*models\.yaml defines this id too"),
        ("models:\n  b: {provider: llama_c", r"new\.yaml:\d+:\d+: not valid YAML"),
        ("models: {b: {provider: openai, name: x, lora: y}}", r"new\.yaml:1: models\.b: 'lora' is for llama_cpp"),
    ],
)
def test_a_registered_model_that_is_wrong_is_reported_with_its_file(tmp_path, text, said):
    (tmp_path / "models.yaml").write_text(ONE)
    (tmp_path / "registered").mkdir()
    (tmp_path / "registered/new.yaml").write_text(text)
    with pytest.raises(ConfigError, match=said):
        load_models(tmp_path / "models.yaml", tmp_path / "registered", {})


@pytest.mark.parametrize(
    ("given", "cap"),
    [
        ({"budgets": {"day": {"usd": "1.5"}}}, ("day", 1.5, None)),
        ({"budgets": {"run": {"tokens": "1000"}}}, ("run", None, 1000)),
        ({"budget_usd": 2}, ("run", 2, None)),
        ({"budget_tokens": 10, "budget_usd": 0.5}, ("run", 0.5, 10)),
        ({"budgets": {"run": {"usd": 3}}, "budget_tokens": 7}, ("run", 3, 7)),
    ],
)
def test_budgets_of_the_command_line(tmp_path, monkeypatch, given, cap):
    monkeypatch.chdir(tmp_path)
    name, usd, tokens = cap
    found = getattr(load_settings({"cohorts": [], **given}).budgets, name)
    assert (found.usd, found.tokens) == (usd, tokens)


def test_a_text_in_config_yaml_stays_a_text_and_is_refused(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "config.yaml"
    path.write_text("budgets: {day: {usd: '5'}}\n")
    with pytest.raises(ConfigError, match=r"config\.yaml:1: budgets\.day\.usd"):
        load_settings({"budgets": {"day": {"usd": "5"}}}, path)
