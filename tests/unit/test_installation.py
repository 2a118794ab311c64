"""How `make` installs local models: from an index of wheels, else compiled, and what it says without a compiler."""

import base64
import hashlib
import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from io import BytesIO
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
NAME = "llama_cpp_python-1.0"
# Builds a wheel like the one below without any other package, as llama-cpp-python's own backend does with a compiler.
BACKEND = """
import shutil
def build_wheel(folder, config_settings=None, metadata_directory=None):
    wheel = "llama_cpp_python-1.0-py3-none-any.whl"
    shutil.copy(wheel, folder)
    return wheel
"""


def wheel(code: str) -> bytes:
    """A wheel whose only module, `llama_cpp`, has this code."""
    files = {
        "llama_cpp.py": code,
        f"{NAME}.dist-info/METADATA": "Metadata-Version: 2.1\nName: llama_cpp_python\nVersion: 1.0\n",
        f"{NAME}.dist-info/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    digests = {
        name: base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()
        for name, text in files.items()
    }
    lines = [f"{name},sha256={digests[name]},{len(text.encode())}" for name, text in files.items()]
    files[f"{NAME}.dist-info/RECORD"] = "\n".join([*lines, f"{NAME}.dist-info/RECORD,,", ""])
    stream = BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for name, text in files.items():
            archive.writestr(name, text)
    return stream.getvalue()


def sdist(code: str) -> bytes:
    """A source distribution that builds such a wheel."""
    files = {
        "PKG-INFO": b"Metadata-Version: 2.1\nName: llama_cpp_python\nVersion: 1.0\n",
        "pyproject.toml": b'[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n',
        "backend.py": BACKEND.encode(),
        f"{NAME}-py3-none-any.whl": wheel(code),
    }
    stream = BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz") as archive:
        for name, content in files.items():
            entry = tarfile.TarInfo(f"{NAME}/{name}")
            entry.size = len(content)
            archive.addfile(entry, BytesIO(content))
    return stream.getvalue()


def index(folder: Path, files: dict[str, bytes]) -> str:
    """A package index in a folder; returns its address."""
    project = folder / "llama-cpp-python"
    project.mkdir(parents=True)
    for name, content in files.items():
        (project / name).write_bytes(content)
    links = (f'<a href="{name}">{name}</a>' for name in files)
    (project / "index.html").write_text("<!DOCTYPE html><html><body>" + "".join(links) + "</body></html>")
    return folder.as_uri()


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A folder with the Makefile and locks that name one package."""
    root = tmp_path / "project"
    (root / "envs").mkdir(parents=True)
    shutil.copy(REPOSITORY / "Makefile", root)
    for name, text in {"base": "", "local_models": "llama_cpp_python==1.0\n", "demo_model": ""}.items():
        (root / "envs" / f"{name}.txt").write_text(text)
    (root / "scripts").mkdir()
    return root


@pytest.fixture
def base(project: Path) -> Path:
    """The same, with everything installed but local models."""
    subprocess.run([sys.executable, "-m", "venv", project / ".venv"], check=True)
    (project / ".venv/base.installed").touch()
    return project


def make(root: Path, *arguments: str, main_index: str = "", path: str | None = None) -> subprocess.CompletedProcess:
    """Run make with pip's own settings and with the given package index in the place of PyPI."""
    kept = {name: os.environ[name] for name in ("HOME", "TMPDIR") if name in os.environ}
    pip = {"PIP_CONFIG_FILE": os.devnull, "PIP_INDEX_URL": main_index, "PIP_NO_CACHE_DIR": "1"}
    environment = {**kept, **pip, "PATH": path or os.environ["PATH"]}
    return subprocess.run(["make", *arguments], cwd=root, env=environment, capture_output=True, text=True, check=False)


def installed(root: Path) -> str:
    command = [root / ".venv/bin/python", "-c", "import llama_cpp; print(llama_cpp.origin)"]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()


def test_a_prebuilt_wheel_is_taken_from_the_index(base: Path, tmp_path: Path) -> None:
    pypi = index(tmp_path / "pypi", {f"{NAME}.tar.gz": sdist("origin = 'compiled'")})
    wheels = index(tmp_path / "wheels", {f"{NAME}-py3-none-any.whl": wheel("origin = 'prebuilt'")})
    done = make(base, ".venv/local_models.installed", f"LLAMA_CPP_INDEX={wheels}", main_index=pypi)
    assert done.returncode == 0, done.stderr
    assert installed(base) == "prebuilt"


@pytest.mark.parametrize("code", [None, "raise OSError('libc.musl-x86_64.so.1: no such file')"])
def test_without_a_wheel_that_works_it_is_compiled(base: Path, tmp_path: Path, code: str | None) -> None:
    pypi = index(tmp_path / "pypi", {f"{NAME}.tar.gz": sdist("origin = 'compiled'")})
    wheels = index(tmp_path / "wheels", {f"{NAME}-py3-none-any.whl": wheel(code)} if code else {})
    done = make(base, ".venv/local_models.installed", f"LLAMA_CPP_INDEX={wheels}", main_index=pypi)
    assert done.returncode == 0, done.stderr
    assert f"No llama-cpp-python from {wheels} works here. Compiling it" in done.stdout
    assert installed(base) == "compiled"


@pytest.fixture
def no_compiler(tmp_path: Path) -> str:
    """A PATH with make, a shell and Python, but without a compiler."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in ("sh", "ls", "make"):
        (folder / name).symlink_to(shutil.which(name) or name)
    (folder / "python3").write_text("#!/bin/sh\necho python3 was called\nexit 1\n")
    (folder / "python3").chmod(0o755)
    return str(folder)


@pytest.mark.parametrize("target", ["run", "distill", "test"])
def test_without_a_compiler_one_line_says_so_before_anything_is_installed(
    project: Path, no_compiler: str, target: str
) -> None:
    done = make(project, target, path=no_compiler)
    assert done.returncode != 0
    assert done.stdout == ""
    said = [line for line in done.stderr.splitlines() if not line.startswith("make: ***")]
    assert len(said) == 1
    for part in ("No C and C++ compiler", "apt-get install g++", "LOCAL_MODELS=no", "LLAMA_CPP_INDEX"):
        assert part in said[0]


@pytest.mark.parametrize("way", ["LOCAL_MODELS=no", "LLAMA_CPP_INDEX=file:///nowhere", "installed"])
def test_a_compiler_is_not_needed_where_nothing_is_compiled(project: Path, no_compiler: str, way: str) -> None:
    if way == "installed":
        (project / ".venv/lib/python3.11/site-packages/llama_cpp").mkdir(parents=True)
    done = make(project, "run", *[way] if "=" in way else [], path=no_compiler)
    assert "python3 was called" in done.stdout  # to make .venv


def test_without_local_models_only_the_base_is_installed(project: Path) -> None:
    done = make(project, "--dry-run", "run", "LOCAL_MODELS=no")
    assert "envs/base.txt" in done.stdout
    assert "local_models.txt" not in done.stdout and "demo_model.txt" not in done.stdout
    assert done.stdout.splitlines()[-2:] == [".venv/bin/snakemake chunks", ".venv/bin/snakemake site"]


def test_readme_names_all_demos_that_use_the_local_model() -> None:
    """Apart from a distillation, whose student must be local, and what only a command line asks for."""
    config = REPOSITORY / "config"
    using = {path.relative_to(config).as_posix() for path in config.glob("*/*.yaml") if "smollm2" in path.read_text()}
    named = {f"{kind}/demo.yaml" for kind in ("cohorts", "procedures", "probes")}
    assert using - {"distillations/demo.yaml", "conversations/demo-model.yaml"} == named
    assert "config/{cohorts,procedures,probes}/demo.yaml" in (REPOSITORY / "docs/how-to.md").read_text()
