"""The procedures that ship with the project do what their cards say, and a card that is wrong names its file."""

import builtins
import contextlib
import copy
import io
import json
import re
from pathlib import Path
from types import SimpleNamespace

import jsonschema
import pytest
from dreamflow.dreams.procedure import load_procedure, load_procedures
from dreamflow.errors import ConfigError
from dreamflow.generation.render import check_template, render

RAW = Path(__file__).parents[2] / "data" / "1_raw"
SHIPPED = load_procedures(RAW / "procedures")
EACH = pytest.mark.parametrize("procedure", SHIPPED.values(), ids=SHIPPED)

# --- a small stand-in for the outside: enough for code that is known ------------------------------------------


def value(spec, scope):
    if isinstance(spec, list):
        return [value(item, scope) for item in spec]
    if isinstance(spec, dict):
        if spec.keys() == {"python"}:
            return eval(spec["python"], scope)
        if spec.keys() == {"attributes"}:
            return SimpleNamespace(**{name: value(item, scope) for name, item in spec["attributes"].items()})
        return {key: value(item, scope) for key, item in spec.items()}
    return spec


def fake(name, behaviour, scope, calls):
    steps = behaviour.get("sequence", [behaviour])
    made = []

    def stand_in(*args, **kwargs):
        calls.append((name, copy.deepcopy(args), copy.deepcopy(kwargs)))
        step = steps[min(len(made), len(steps) - 1)]
        made.append(name)
        if "raises" in step:
            kind, _, text = step["raises"].partition(": ")
            raise getattr(builtins, kind)(text)
        return value(step.get("returns"), scope)

    return stand_in


def behaviours(procedure, folder, monkeypatch, source=None):
    """What each input of the card leads to: the result or the exception, the calls of fakes, and the files."""
    code = compile(source or procedure.source, procedure.procedure_id, "exec")
    return [
        behave(procedure, code, call, folder / str(number), monkeypatch) for number, call in enumerate(procedure.inputs)
    ]


def behave(procedure, code, call, folder, monkeypatch):
    for name, text in procedure.files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")
    folder.mkdir(parents=True, exist_ok=True)
    scope = {"__name__": "procedure"}
    calls = []
    with monkeypatch.context() as patch, contextlib.redirect_stdout(io.StringIO()) as printed:
        patch.chdir(folder)
        exec(code, scope)
        for name, behaviour in procedure.fakes.items():
            stand_in = fake(name, behaviour, scope, calls)
            *owners, last = name.split(".")
            if owners:
                patch.setattr(eval(".".join(owners), scope), last, stand_in)
            else:
                patch.setitem(scope, last, stand_in)
        try:
            args, kwargs = value(call["args"], scope), value(call["kwargs"], scope)
            outcome = repr(scope[procedure.entry](*args, **kwargs))
        except Exception as error:
            outcome = f"{type(error).__name__}: {error}"
    written = {
        str(path.relative_to(folder)): path.read_text(encoding="utf-8")
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
    return outcome, calls, written, printed.getvalue()


# --- what ships -----------------------------------------------------------------------------------------------


def test_there_are_procedures_of_many_kinds():
    assert len(SHIPPED) >= 12
    assert len({procedure.category for procedure in SHIPPED.values()}) >= 6
    assert len({procedure.project for procedure in SHIPPED.values()}) >= 4
    for code in (RAW / "procedures").glob("*/*"):
        assert code.with_suffix(".yaml").is_file(), f"{code} has no card"


@EACH
def test_a_card_speaks_of_its_module(procedure):
    for name in [*procedure.effects, *procedure.fakes]:
        assert f"{name}(" in procedure.source, f"{name} is called nowhere"
    assert procedure.tags and procedure.contexts
    assert all(re.fullmatch("[a-z-]+", word) for word in (*procedure.tags, *procedure.contexts, procedure.category))


@EACH
def test_a_procedure_can_be_matched_with_one_of_another_project(procedure):
    others = [other for other in SHIPPED.values() if other.project != procedure.project]
    assert any(set(procedure.tags) & set(other.tags) for other in others)


@EACH
def test_runs_are_varied_reach_every_fake_and_repeat_themselves(procedure, tmp_path, monkeypatch):
    runs = behaviours(procedure, tmp_path / "one", monkeypatch)
    assert runs == behaviours(procedure, tmp_path / "two", monkeypatch)
    assert 3 <= len(procedure.inputs) <= 8
    assert len({str(run) for run in runs}) == len(runs), "two inputs show the same"
    called = {name for _, calls, _, _ in runs for name, _, _ in calls}
    assert called == set(procedure.fakes)
    assert str(tmp_path) not in str(runs), "a result depends on the folder"


# One mistake in each, of the kind that a careless variant makes.
MISTAKES = {
    "fleet-ops.check_host": ("value > 0.9 * limit", "value > limit"),
    "fleet-ops.parse_access_log": ('match["path"].split("?")[0]', 'match["path"]'),
    "fleet-ops.rolling_restart": ("len(failed) <= max_failures", "len(failed) < max_failures"),
    "fleet-ops.rotate_backups": ("if not dry_run:", "if dry_run:"),
    "lab-pipeline.load_csv_to_table": ('.replace(",", ".")', ""),
    "lab-pipeline.read_instrument": ("delay * 2**attempt", "delay"),
    "lab-pipeline.schedule_windows": ("occupied_until = max(occupied_until, finish)", "occupied_until = finish"),
    "newsroom.cached_fetch": ("0 <= age <= ttl", "age <= ttl"),
    "newsroom.paginate_api": ('                seen.add(item["id"])\n', ""),
    "textkit.merge_settings": ('merge(old, value, f"{where}{key}.")', "value"),
    "textkit.redact_secrets": ("if secret in keep or", "if"),
    "webshop.deploy_release": ("            switch(root, previous)\n", "            pass\n"),
    "webshop.quote_basket": ("stock.get(article, 0)", "stock[article]"),
    "webshop.validate_order": ("total += quantity * price", "total += price"),
}


@EACH
def test_inputs_show_a_mistake(procedure, tmp_path, monkeypatch):
    right, wrong = MISTAKES[procedure.procedure_id]
    assert procedure.source.count(right) == 1
    mistaken = behaviours(procedure, tmp_path / "mistake", monkeypatch, procedure.source.replace(right, wrong))
    assert mistaken != behaviours(procedure, tmp_path / "right", monkeypatch)


def runs_of(name, tmp_path, monkeypatch):
    return behaviours(SHIPPED[name], tmp_path, monkeypatch)


def test_a_failed_release_leaves_the_old_one_live(tmp_path, monkeypatch):
    procedure = SHIPPED["webshop.deploy_release"]
    live, rolled_back, *_ = runs_of("webshop.deploy_release", tmp_path, monkeypatch)
    assert live[2]["site/current"] == "1.11.0\n"
    assert "site/releases/1.8.0/index.html" not in live[2] and "site/releases/1.9.1/index.html" in live[2]
    assert [call[1] for call in live[1] if call[0] == "time.sleep"] == [(2,), (4,)]
    assert rolled_back[2] == procedure.files


def test_backups_follow_the_three_generations(tmp_path, monkeypatch):
    first, none, dry, *_ = runs_of("fleet-ops.rotate_backups", tmp_path, monkeypatch)
    kept = {name for name in first[2] if name.startswith("backups/db-2024-0")}
    assert kept == {f"backups/db-2024-{day}.sql.gz" for day in ("05-13", "05-12", "05-11", "04-29")}
    assert "backups/db-2024-05-13.sql.gz" in none[2], "the newest stays"
    assert dry[2] == SHIPPED["fleet-ops.rotate_backups"].files


def test_the_table_is_in_one_unit(tmp_path, monkeypatch):
    first, *_ = runs_of("lab-pipeline.load_csv_to_table", tmp_path, monkeypatch)
    assert first[2]["out/table.csv"].splitlines() == [
        "sample,count,mean,minimum,maximum",
        "A1,3,20.83,20.00,22.00",
        "B2,2,22.50,20.00,25.00",
    ]


def test_no_secret_is_left(tmp_path, monkeypatch):
    text = " ".join(run[0] for run in runs_of("textkit.redact_secrets", tmp_path, monkeypatch))
    assert not any(secret in text for secret in ("hunter2", "s3cr3t", "ada.l", "really", "cut off", "Zx81", "abc;"))
    assert "API-Key=demo" in text and "https://db.example:8080/x" in text


# --- cards that are wrong -------------------------------------------------------------------------------------

CARD = "category: cache\ndescription: Does one thing.\n"
CODE = "def job(n: int) -> int:\n    return n\n"
WRONG = {
    "bad YAML": (CARD + "tags: [a\n", CODE, r"job\.yaml:4:1: not valid YAML"),
    "a key twice": (CARD + "category: other\n", CODE, r"job\.yaml:3:1: .*'category' occurs twice"),
    "no description": ("category: cache\n", CODE, r"job\.yaml:1: .*'description' is missing"),
    "unknown key": (
        CARD + "tag: [a]\n",
        CODE,
        r"job\.yaml:3: .*tag: unknown key; did you mean 'tags'\? known keys: .*tags",
    ),
    "no code": (CARD, None, r"job\.py: no such file"),
    "no entry": (CARD + "entry: run\n", CODE, r"job\.yaml:3: entry: .*job\.py defines no function 'run' .*: job\)"),
    "entry in a class": (CARD, "class A:\n    def job(self): ...\n", r"no function 'job' \(it defines: none\)"),
    "syntax error": (CARD, "x = 1\ndef job(:\n", r"job\.py:2: not valid Python"),
    "not text": (CARD, b"\xff", r"job\.py: not UTF-8 text"),
    "effect word": (
        CARD + "effects:\n  a: []\n  b.c: [network]\n",
        CODE,
        r'job\.yaml:5: effects\.b\.c\[0\]: "network" ',
    ),
    "path out of the folder": (
        CARD + "files:\n  a: x\n  ../b: x\n",
        CODE,
        r'job\.yaml:\d: files\."\.\./b": .* does not match',
    ),
    "path from the root": (CARD + "files: {/etc/x: x}\n", CODE, r'job\.yaml:3: files\."/etc/x": .* does not match'),
    "hidden way out": (
        CARD + "files: {a/../../b: x}\n",
        CODE,
        r'job\.yaml:3: files\."a/\.\./\.\./b": .* does not match',
    ),
    "empty sequence": (CARD + "fakes:\n  f: {sequence: []}\n", CODE, r"job\.yaml:4: fakes\.f\.sequence: "),
    "empty sequence in another": (
        CARD + "fakes:\n  f:\n    sequence:\n      - {}\n      - {sequence: []}\n",
        CODE,
        r"job\.yaml:7: fakes\.f\.sequence\[1\]\.sequence: ",
    ),
    "two behaviours": (CARD + "fakes:\n  f: {returns: 1, raises: 'OSError: x'}\n", CODE, r"job\.yaml:4: fakes\.f: "),
    "no exception": (CARD + "fakes:\n  f: {raises: timed out}\n", CODE, r"job\.yaml:4: fakes\.f\.raises: "),
    "arguments of an input": (
        CARD + "inputs:\n  - args: [1]\n  - args: 1\n",
        CODE,
        r"job\.yaml:5: inputs\[1\]\.args: ",
    ),
}


@pytest.mark.parametrize(("card", "code", "message"), WRONG.values(), ids=WRONG)
def test_what_is_wrong_with_a_card(card, code, message, tmp_path):
    (tmp_path / "job.yaml").write_text(card, encoding="utf-8")
    if code is not None:
        (tmp_path / "job.py").write_bytes(code if isinstance(code, bytes) else code.encode())
    with pytest.raises(ConfigError, match=message):
        load_procedure(tmp_path / "job.yaml")


def test_defaults_of_a_card(tmp_path):
    folder = tmp_path / "shop"
    folder.mkdir()
    (folder / "job.yaml").write_text(CARD + "inputs: [{}, {args: [1]}]\n", encoding="utf-8")
    (folder / "job.py").write_text(CODE, encoding="utf-8")
    (procedure,) = load_procedures(tmp_path).values()
    assert (procedure.procedure_id, procedure.project, procedure.entry) == ("shop.job", "shop", "job")
    assert procedure.inputs == ({"args": [], "kwargs": {}}, {"args": [1], "kwargs": {}})
    assert (procedure.effects, procedure.fakes, procedure.files, procedure.generate) == ({}, {}, {}, True)


# --- prompts --------------------------------------------------------------------------------------------------

CODE_OF = {"name": "shop.job", "description": "Does one thing.", "entry": "job", "code": CODE}
VALUES = {
    "relax": {
        "procedure": CODE_OF,
        "request": "Let it fail.",
        "constraint": "timing",
        "place": "line 2",
        "statement": CODE[:-1],
    },
    "synthesise": {"procedure": CODE_OF, "partner": {**CODE_OF, "name": "lab.other", "code": "def other(): ..."}},
    "sample": {"procedure": CODE_OF},
    "match": {
        "procedure": CODE_OF,
        "candidates": [
            {"id": "lab.other", "category": "retry", "tags": ["http", "files"], "description": "Tries again."},
            {"id": "lab.third", "category": "cache", "tags": [], "description": "Keeps pages."},
        ],
    },
    "verdict": {
        "procedure": CODE_OF,
        "kind": "parameters",
        "description": "n: 1 -> 2",
        "code": CODE,
        "diff": "--- a\n+++ b\n",
        "check": ["no problem"],
        "test": ["5 inputs: 1 differs"],
    },
}
TEMPLATES = sorted(path for stage in VALUES for path in (RAW / "templates" / stage).glob("*.txt"))


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: path.stem)
def test_a_template_shows_all_material(path):
    values = VALUES[path.parent.name]
    text = path.read_text(encoding="utf-8")
    check_template(text, str(path), values)
    prompt = render(text, values, path.stem)
    assert "\n\n\n" not in prompt
    if path.parent.name != "verdict":
        assert f"```python\n{CODE}```\n" in prompt
    if path.stem == "match-v1":
        assert (
            "\n- lab.other (retry; http, files): Tries again.\n- lab.third (cache; no tags): Keeps pages.\n" in prompt
        )
    if path.parent.name == "verdict":
        for line in ("+++ b", "n: 1 -> 2", "no problem", "5 inputs: 1 differs"):
            assert line in prompt
        assert "not run" in render(text, {**values, "check": [], "test": []}, path.stem)


@pytest.mark.parametrize("path", [path for path in TEMPLATES if "-short-" in path.stem], ids=lambda path: path.stem)
def test_a_short_template_begins_with_what_never_changes(path):
    """So that one cached prefix serves all prompts."""
    text = path.read_text(encoding="utf-8")
    fixed = text[: text.index("{{")]
    rest = re.sub(r"{{.*?}}", "", text.removeprefix(fixed))
    assert len(fixed) > len(rest)
    assert len(re.sub(r"{{.*?}}", "", text).split()) <= 120


def test_viabilities_are_tenths():
    schema = json.loads((RAW / "schemas" / "viability.json").read_text(encoding="utf-8"))
    for tenth in range(11):
        jsonschema.validate({"reason": "sound", "viability": tenth / 10}, schema)
    for wrong in (
        {"reason": "", "viability": 0.55},
        {"reason": "", "viability": 1.1},
        {"viability": 0.5},
        {"reason": "", "viability": 0.5, "tier": 2},
    ):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(wrong, schema)
