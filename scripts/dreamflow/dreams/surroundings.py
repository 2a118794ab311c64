"""What a procedure needs of the project that its module is in: modules that it imports, and files that it names.

Imports are followed from module to module as Python would, without running anything. A file is found if a text in the
code names it, relative to the module or to the project. In tests, only what was found is visible, as a read-only copy:
never a hidden file, nothing outside of the project's folder, and no file whose name says that it is secret.
"""

import ast
import hashlib
import os
import re
import shutil
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from ..errors import ConfigError
from ..files import sha256
from ..generation.model import Json
from ..pyanalysis.source import parse_python

INSIDE = "/project"  # where the sandbox has the copies
PACKAGES = "/project-packages"
_MARKS = ("pyproject.toml", "setup.py", "setup.cfg", "requirements.txt", ".git", ".hg")  # of a project's folder
_LARGEST = 16 << 20  # bytes of a file that is found by its name in the code
_SECRET = re.compile(r"secret|credential|passw|token|\.(pem|key|p12|pfx|keystore)$", re.I)


@dataclass(frozen=True)
class Surroundings:
    """The surroundings of a module. Paths are relative to `root`, the folder of its project.

    `name` is the module's dotted name, `file` its path; `search` are the folders in which Python finds its neighbours.
    `files` has a digest for each visible file, `named` are those that the code names, as written. `external` are the
    imported modules that are no neighbours; `packages` are folders of installed packages, with a digest of their names.
    """

    root: Path
    name: str
    file: str
    search: tuple[str, ...]
    files: Mapping[str, str]
    named: Mapping[str, str]
    external: tuple[str, ...]
    packages: Mapping[str, str]

    def digest(self) -> list[Json]:
        """What decides a test, besides the module itself."""
        return [self.name, self.file, self.search, self.files, self.named, list(self.packages.values())]

    def job(self) -> dict[str, Json]:
        """What the guard of a sandbox must know, as plain JSON."""
        inside = {text: f"{INSIDE}/{path}" for text, path in self.named.items()}
        packages = [f"{PACKAGES}/{number}" for number in range(len(self.packages))]
        search = [f"{INSIDE}/{folder}".rstrip("/") for folder in self.search]
        return {"name": self.name, "file": f"{INSIDE}/{self.file}", "path": [*search, *packages], "named": inside}

    def binds(self, folder: Path) -> list[tuple[str, str]]:
        """Copy the files into the empty `folder`; what a sandbox must show, [from, to]."""
        copy = folder / "project"
        copy.mkdir()
        for file in self.files:
            (copy / file).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(self.root / file, copy / file)
        for folder_of in self.search:
            (copy / folder_of).mkdir(parents=True, exist_ok=True)
        for path in (copy, *copy.rglob("*")):  # the user inside is another one
            path.chmod(0o755 if path.is_dir() else 0o644)
        packages = [(path, f"{PACKAGES}/{number}") for number, path in enumerate(self.packages)]
        return [(str(copy), INSIDE), *packages]


def surroundings(module: Path, source: str, more: Sequence[str] = (), python: str | None = None) -> Surroundings | None:
    """The surroundings of a module with this source; None if it needs nothing but Python.

    `more` are patterns of files, relative to the module's folder; `python` is an interpreter, or the folder of an
    environment, with the packages of the project. Raises `ConfigError` with the key of the card.
    """
    module = Path(os.path.abspath(module))  # noqa: PTH100  (a link stays where it is)
    top, root = _top(module, source), project_folder(module, source)
    folders = [folder for folder in dict.fromkeys((top, module.parent, root, root / "src")) if folder.is_dir()]
    modules, external = _imported(module, source, folders, root)
    named = _named({module: source, **modules}, root)
    others = _matching(more, module.parent, root)
    packages = {str(path): _installed(path) for path in _packages(python)} if python else {}
    installed = [name for name in external if name.partition(".")[0] not in sys.stdlib_module_names]
    if not (modules or named or others or packages or installed):
        return None
    files = sorted({*modules, *named.values(), *others})
    parts = module.relative_to(top).with_suffix("").parts
    return Surroundings(
        root=root,
        name=".".join(parts[:-1] if parts[-1] == "__init__" and parts[1:] else parts),
        file=_relative(module, root),
        search=tuple(_relative(folder, root) for folder in folders),
        files={_relative(path, root): hashlib.sha256(path.read_bytes()).hexdigest() for path in files},
        named={text: _relative(path, root) for text, path in named.items()},
        external=tuple(external),
        packages=packages,
    )


def project_folder(module: Path, source: str) -> Path:
    """The folder of a module's project: the next with pyproject.toml, .git or the like, else where its package is."""
    top = _top(Path(os.path.abspath(module)), source)  # noqa: PTH100
    return next((folder for folder in (top, *top.parents) if any((folder / mark).exists() for mark in _MARKS)), top)


def _top(module: Path, source: str) -> Path:
    """The folder that Python searches for the module: that of its outermost package, which its relative imports need,
    even if it has no `__init__.py`."""
    try:
        imports = [node for node in ast.walk(parse_python(source)) if isinstance(node, ast.ImportFrom)]
    except (SyntaxError, ValueError):
        imports = []
    levels = max((node.level for node in imports), default=0)
    return next(
        folder
        for depth, folder in enumerate(module.parents)
        if (depth >= levels and not (folder / "__init__.py").is_file()) or folder == folder.parent
    )


def _relative(path: Path, root: Path) -> str:
    return "" if path == root else path.relative_to(root).as_posix()


def _imported(
    module: Path, source: str, folders: Sequence[Path], root: Path
) -> tuple[dict[Path, str], dict[str, None]]:
    """The neighbours that the module imports, directly or not, with their sources; the other imported modules."""
    found: dict[Path, str] = {}
    external: dict[str, None] = {}
    waiting = [(module, source), *((path, "") for path in _initial(module, root))]
    while waiting:
        path, text = waiting.pop()
        if path != module:
            if path in found or not _is_inside(path, root):
                continue
            text = found[path] = path.read_text(encoding="utf-8", errors="replace")
        try:
            tree = parse_python(text)
        except (SyntaxError, ValueError):  # Python will say so, if the module is loaded
            continue
        for places, parts in _imports(tree, path, folders):
            paths = next((paths for folder in places if (paths := _below(folder, parts))), [])
            if not paths and places in ((), folders):
                external.setdefault(".".join(parts))
            waiting += [(each, "") for way in paths for each in (way, *_initial(way, root))]
    return found, external


def _imports(tree: ast.AST, path: Path, folders: Sequence[Path]) -> Iterator[tuple[Sequence[Path], list[str]]]:
    """Each import: the folders in which its module can be, and the parts of its dotted name."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield _places(alias.name, folders), alias.name.split(".")
        elif isinstance(node, ast.ImportFrom):
            parts = node.module.split(".") if node.module else []
            if node.level:
                places: Sequence[Path] = list(path.parents)[node.level - 1 : node.level]
            else:
                places = _places(parts[0], folders)
            if parts:
                yield places, parts
            for alias in node.names:  # maybe a module of the package
                if any(_below(folder, [*parts, alias.name], whole=True) for folder in places):
                    yield places, [*parts, alias.name]


def _places(name: str, folders: Sequence[Path]) -> Sequence[Path]:
    """Where a module can be: in none of the folders if Python brings it."""
    return () if name.partition(".")[0] in sys.stdlib_module_names else folders


def _below(folder: Path, parts: Sequence[str], whole: bool = False) -> list[Path]:
    """The files that Python runs to import this module from `folder`; if `whole`, only if the last part is a module."""
    files: list[Path] = []
    for number, part in enumerate(parts):
        package, file = folder / part, folder / f"{part}.py"
        if (package / "__init__.py").is_file() or (package.is_dir() and not file.is_file()):
            files += [package / "__init__.py"] if (package / "__init__.py").is_file() else []
            folder = package
            continue
        if file.is_file():
            return [*files, file] if not whole or number == len(parts) - 1 else []
        return [] if whole or not number else files
    return files


def _initial(path: Path, root: Path) -> list[Path]:
    """The `__init__.py` of the packages that a module is in."""
    above = []
    for folder in path.parents:
        if folder == root.parent or not (folder / "__init__.py").is_file():
            break
        above.append(folder / "__init__.py")
    return [init for init in above if init != path]


def _named(sources: Mapping[Path, str], root: Path) -> dict[str, Path]:
    """The files that texts in the code name, by the text."""
    named: dict[str, Path] = {}
    for path, source in sources.items():
        texts = _texts(source)
        bases = [path.parent, root]
        for _ in range(3):  # folders within folders: Path("data") / "2024" / "rates.csv"
            below = [place for base in bases for text, place in _there(base, texts) if os.path.isdir(place)]  # noqa: PTH112
            bases = [base for base in dict.fromkeys([*bases, *below]) if _is_inside(base, root)]
        for base in bases:
            for text, place in _there(base, texts):
                if os.path.isfile(place) and _may_be_shown(place, root):  # noqa: PTH113  (it never raises)
                    named.setdefault(text, Path(os.path.normpath(place)))
    return named


def _texts(source: str) -> list[str]:
    """The texts in a source that can be names of files."""
    try:
        nodes = ast.walk(parse_python(source))
        values = [node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str)]
    except (SyntaxError, ValueError):
        return []
    return list(dict.fromkeys(text for text in values if text.isprintable() and 0 < len(text.encode()) < 200))


def _there(folder: Path, texts: Iterable[str]) -> Iterator[tuple[str, Path]]:
    """The texts that begin with the name of something in a folder, as paths: most begin with nothing that is there."""
    names = {".", ".."}
    with suppress(OSError):
        names |= {path.name for path in folder.iterdir()}
    yield from ((text, folder / text) for text in texts if text.split("/")[0] in names)


def _may_be_shown(file: Path, root: Path) -> bool:
    """Whether a file that the code names is shown without being asked for; Python files are if they are imported."""
    if file.suffix == ".py" or _SECRET.search(file.name) or not _is_inside(file, root):
        return False
    return file.stat().st_size <= _LARGEST


def _matching(patterns: Iterable[str], folder: Path, root: Path) -> list[Path]:
    """The files of the card's patterns. Raises `ConfigError` for a pattern without a file."""
    files = []
    for place, pattern in enumerate(patterns):
        try:
            paths = [Path(os.path.normpath(path)) for path in folder.glob(pattern)]
        except (ValueError, NotImplementedError):
            paths = []
        matching = [path for path in paths if path.is_file() and _is_inside(path, root)]
        if not matching:
            raise ConfigError(
                f"{pattern!r} matches no file that may be shown: patterns are relative to {folder}, and neither hidden "
                f"files nor files outside of {root} are shown",
                ("neighbours", place),
            )
        files += matching
    return files


def _is_inside(path: Path, root: Path) -> bool:
    """Whether a path is really below the project's folder, and nothing on the way is hidden."""
    path = Path(os.path.normpath(path))
    if not path.is_relative_to(root) or not path.resolve().is_relative_to(root.resolve()):
        return False
    return not any(part.startswith(".") for part in path.relative_to(root).parts)


def _packages(python: str) -> list[Path]:
    """The folders of packages of an interpreter or an environment."""
    path, version = Path(python).expanduser(), f"{sys.version_info.major}.{sys.version_info.minor}"
    if not path.exists():
        raise ConfigError(f"{python}: no such interpreter or environment, such as .venv/bin/python", ("python",))
    prefix = path if path.is_dir() else path.parent.parent
    prefix = Path(os.path.abspath(prefix))  # noqa: PTH100  (a link names another environment)
    folders = [prefix / f"lib/python{version}/site-packages", prefix / f"local/lib/python{version}/dist-packages"]
    folders += [prefix / "lib/python3/dist-packages"] if prefix == Path("/usr") else []
    found = [folder.resolve() for folder in folders if folder.is_dir()]
    if not found:
        others = sorted(folder.parent.name for folder in prefix.glob("lib/python3.*/site-packages"))
        has = f"has packages for {', '.join(others)}" if others else "has no packages"
        raise ConfigError(
            f"{python} {has}, but tests run in Python {version}: make an environment of this version with the packages "
            "of the project, and name its interpreter",
            ("python",),
        )
    return found


def _installed(folder: Path) -> str:
    """A digest of the names and versions of installed packages."""
    return sha256("\n".join(sorted(path.name for path in folder.glob("*.dist-info"))))
