"""A procedure in a file of a project: what it imports and names is found and shown in tests, and nothing else is."""

import json
import sys
from pathlib import Path

import new_procedure
import pytest
from dreamflow.dreams.equivalence import test_procedure as compare
from dreamflow.dreams.procedure import load_procedure
from dreamflow.dreams.surroundings import surroundings
from dreamflow.errors import ConfigError
from dreamflow.sandbox.isolation import Limits, isolation

SHOP = {
    "pyproject.toml": "",
    ".env": "KEY=very-secret\n",
    "credentials.json": "{}",
    "shop/__init__.py": "from .quotes import quote\n",
    "shop/rates.py": "import json\nfrom pathlib import Path\nfrom shop.tools.rounding import cents\n\n"
    "def rate(country):\n"
    "    return json.loads((Path(__file__).parent / 'tables' / 'rates.json').read_text())[country]\n",
    "shop/tools/__init__.py": "",
    "shop/tools/rounding.py": "def cents(amount):\n    return round(amount, 2)\n",
    "shop/tables/rates.json": '{"de": 0.19}',
    "shop/unused.py": "",
    "shop/quotes.py": "from .rates import cents, rate\n\n"
    "def quote(prices: list[float], discount: float = 0.0) -> float:\n    '''The price with tax.\n\n    More.'''\n"
    "    net = sum(prices)\n    tax = net * rate('de')\n    return cents(net + tax - discount)\n\n"
    "def keys():\n    return [open(name).read() for name in ('.env', 'credentials.json', '../../outside.txt')]\n",
}
NEEDED = [
    "shop/__init__.py",
    "shop/rates.py",
    "shop/tables/rates.json",
    "shop/tools/__init__.py",
    "shop/tools/rounding.py",
]
LIMITS = Limits(seconds=10, memory_mb=256)


def write(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project, and the working directory beside it, which is a project of ours."""
    write(tmp_path, {"outside.txt": "secret", "dreams/config/config.yaml": ""})
    monkeypatch.chdir(tmp_path / "dreams")
    return write(tmp_path / "shop", SHOP)


def of(module: Path, more: tuple[str, ...] = (), python: str | None = None):
    return surroundings(module, module.read_text(), more, python)


def card(shop: Path, text: str = "", entry: str = "quote") -> Path:
    path = Path("data/1_raw/procedures/shop/quote.yaml")
    write(Path(), {str(path): f"category: a\ndescription: b\nentry: {entry}\nmodule: {shop}/shop/quotes.py\n{text}"})
    return path


def test_imports_and_named_files_are_found_and_secrets_are_not(shop):
    found = of(shop / "shop/quotes.py")
    assert (found.name, found.file, sorted(found.files)) == ("shop.quotes", "shop/quotes.py", NEEDED)
    assert found.named == {"rates.json": "shop/tables/rates.json"}


def test_a_link_out_of_the_project_is_not_followed(shop):
    (shop / "shop/tables/rates.json").unlink()
    (shop / "shop/tables/rates.json").symlink_to(shop.parent / "outside.txt")
    assert of(shop / "shop/quotes.py").named == {}


@pytest.mark.parametrize(
    ("files", "module", "needed"),
    [
        ({"a.py": "from pricing import x", "pricing.py": ""}, "a.py", ["pricing.py"]),  # a script beside the others
        ({"src/p/__init__.py": "", "src/p/a.py": "import p.b", "src/p/b.py": ""}, "src/p/a.py",
         ["src/p/__init__.py", "src/p/b.py"]),
        ({"lib/b.py": "", "tools/a.py": "def f():\n    import lib.b"}, "tools/a.py", ["lib/b.py"]),  # no __init__.py
        ({"p/__init__.py": "", "p/a.py": "from . import b", "p/b.py": "from .. import q"}, "p/a.py",
         ["p/__init__.py", "p/b.py"]),
        ({"p/q/a.py": "from .b import c\nfrom ..r import d", "p/q/b.py": "", "p/r.py": ""}, "p/q/a.py",
         ["p/q/b.py", "p/r.py"]),
        ({"a.py": "from ......................... import b\nx = '/' + '\U0001f600' * 60"}, "a.py", None),
        ({"a.py": "import b", "b.py": "this is not Python"}, "a.py", ["b.py"]),
        ({"a.py": "import b", "b.py": "import a"}, "a.py", ["b.py"]),
    ],
)  # fmt: skip
def test_neighbours_of_different_layouts(tmp_path, files, module, needed):
    write(tmp_path, {**files, "setup.cfg": ""})
    found = of(tmp_path / module)
    assert (found and sorted(found.files)) == needed


def test_a_module_that_needs_only_python_has_no_surroundings(tmp_path):
    assert of(write(tmp_path, {"a.py": "import json, os.path\nfrom math import pi\n", "b.py": ""}) / "a.py") is None


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("neighbours: ['*.csv']", "neighbours[0]: '*.csv' matches no file"),
        ("neighbours: ['../.env']", "neighbours[0]: '../.env' matches no file"),
        ("neighbours: ['../../outside.txt']", "neighbours[0]: '../../outside.txt' matches no file"),
        ("python: nowhere/bin/python", "python: nowhere/bin/python: no such interpreter"),
        ("python: other", "python: other has packages for python3.1, but tests run in Python"),
    ],
)
def test_a_card_that_is_wrong_says_where(shop, text, said):
    (Path("other/lib/python3.1/site-packages")).mkdir(parents=True)
    with pytest.raises(ConfigError) as error:
        load_procedure(card(shop, text))
    assert "quote.yaml:" in str(error.value) and said in str(error.value)


def test_a_file_that_is_asked_for_is_shown(shop):
    assert "credentials.json" in load_procedure(card(shop, "neighbours: ['../credentials.json']")).surroundings.files


def test_a_change_of_a_neighbour_or_of_a_package_is_noticed(shop):
    folder = Path(f"env/lib/python{sys.version_info.major}.{sys.version_info.minor}/site-packages")
    (folder / "tax-1.dist-info").mkdir(parents=True)
    digests = []
    for change in (lambda: None, lambda: (shop / "shop/tools/rounding.py").write_text("cents = float\n"),
                   lambda: (folder / "tax-1.dist-info").rename(folder / "tax-2.dist-info")):  # fmt: skip
        change()
        digests.append(json.dumps(load_procedure(card(shop, "python: env")).surroundings.digest()))
    assert len(set(digests)) == 3


@pytest.fixture(params=["bwrap", "unshare"])
def tool(request):
    if isinstance(reason := isolation((request.param,)), str):
        pytest.skip(f"needs {request.param}: {reason}")
    return request.param


def test_variants_run_beside_their_neighbours(shop, tool):
    folder = Path(f"env/lib/python{sys.version_info.major}.{sys.version_info.minor}/site-packages")
    write(folder, {"levy/__init__.py": "def extra():\n    return 1\n"})
    source = SHOP["shop/quotes.py"].replace("net = sum(prices)", "net = sum(prices) + levy.extra()")
    write(shop, {"shop/quotes.py": f"import levy\n{source}"})
    procedure = load_procedure(card(shop, "python: env\ninputs: [{args: [[1.0, 2.5]]}]"))
    variants = {
        "same": procedure.source,
        "other": procedure.source.replace("tax - discount", "tax + discount"),
        "writer": procedure.source.replace("    net =", "    open('/project/shop/rates.py', 'a')\n    net ="),
        "keeper": procedure.source.replace("    net =", "    print(keys())\n    net ="),
    }
    trials = compare(procedure, variants, inputs=6, seed=1, limits=LIMITS, tools=(tool,))
    assert (trials.original.status, trials.original.tried) == ("steady", [])
    outcomes = {name: trial.outcome for name, trial in trials.variants.items()}
    assert outcomes == {"same": "equivalent", "other": "differs", "writer": "forbidden", "keeper": "runtime"}
    assert "secret" not in str(trials)


def test_a_package_that_is_missing_is_named_with_what_to_do(shop, tool):
    write(shop, {"shop/tools/rounding.py": "import no_such_package\n"})
    reason = compare(load_procedure(card(shop)), {}, inputs=2, seed=1, limits=LIMITS, tools=(tool,)).original.reason
    assert "No module named 'no_such_package'" in reason and "`python: path/to/.venv`" in reason


def test_a_variant_of_a_module_stays_beside_its_neighbours(shop):
    """A promoted variant is a file beside its card, which runs in place of the module."""
    path = card(shop)
    changed = SHOP["shop/quotes.py"].replace("sum(prices)", "sum(prices[:])")
    path.with_suffix(".py").write_text(changed)
    procedure = load_procedure(path)
    assert (procedure.source, procedure.file) == (changed, str(path.with_suffix(".py")))
    assert procedure.surroundings.digest() == of(shop / "shop/quotes.py").digest()


def test_a_card_is_written_for_a_function(shop, capsys):
    assert new_procedure.main(["../shop/shop/quotes.py::quote"]) == 0
    said = capsys.readouterr().out
    assert all(name in said for name in NEEDED) and "procedures=[shop]" in said
    procedure = load_procedure(Path("data/1_raw/procedures/shop/quote.yaml"))
    assert (procedure.description, procedure.file) == ("The price with tax.", "../shop/shop/quotes.py")
    assert Path("config/procedures/shop.yaml").exists()
    assert new_procedure.main(["../shop/shop/quotes.py::quote"]) == 1
    assert "exists; edit it" in capsys.readouterr().err


def test_the_environment_of_the_project_is_taken_if_ours_lacks_a_package(shop):
    write(shop, {"shop/tools/rounding.py": "import no_such_package\n"})
    (shop / ".venv/bin").mkdir(parents=True)
    folder = f".venv/lib/python{sys.version_info.major}.{sys.version_info.minor}/site-packages"
    write(shop, {f"{folder}/no_such_package.py": "", ".venv/bin/python": ""})
    _, _, procedure = new_procedure.make("../shop/shop/quotes.py::quote")
    assert procedure.python == str(shop / ".venv")
    assert list(procedure.surroundings.packages) == [str(shop / folder)]


@pytest.mark.parametrize(
    ("function", "said"),
    [
        ("../shop/shop/quotes.py", "expected a file and a function"),
        ("../shop/shop/quote.py::quote", "no such file"),
        ("../shop/shop/quotes.py::quotes", "did you mean 'quote'?"),
        ("../shop/shop/c.py::C", "C is a class"),
        ("../shop/shop/c.py::a", "a is an async function"),
    ],
)
def test_what_cannot_be_a_procedure_is_refused(shop, function, said, capsys):
    write(shop, {"shop/c.py": "class C: ...\nasync def a(): ...\n"})
    assert new_procedure.main([function]) == 1
    assert said in capsys.readouterr().err
    assert not Path("data/1_raw/procedures").exists()
