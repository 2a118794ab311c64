"""Pages of docs/ that tell what to type and which files to write: their blocks, done in order in a home folder."""

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

from project import REPOSITORY

_BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.M | re.S)
_PATH = re.compile(r"(?:#|\{#) (\S+)(?: #\})?\n")


class Block(NamedTuple):
    """A block of a page: its language, the file that its first line names ("" for commands and output), its text."""

    language: str
    path: str
    text: str


def blocks(page: str, title: str = "") -> list[Block]:
    """The blocks of a page of docs/, or of its section with this title, in order."""
    text = (REPOSITORY / "docs" / page).read_text(encoding="utf-8")
    if title:
        text = next(part for part in f"\n{text}".split("\n## ") if part.partition("\n")[0] == title)
    found = []
    for language, content in _BLOCK.findall(text):
        named = _PATH.match(content) if language not in ("sh", "text") else None
        found.append(Block(language, named[1] if named else "", content))
    return found


class Reader:
    """A person who follows a page, in `home`: `~/dreamflow` is this repository, `folder` where the person is."""

    def __init__(self, home: Path) -> None:
        self.home = self.folder = home
        (home / "dreamflow").symlink_to(REPOSITORY)
        self.shown: list[str] = []  # what each block of commands has printed

    def do(self, block: Block) -> None:
        """Write the file of a block, or run its commands; output that the page shows is left out."""
        if block.language == "sh":
            self.run(block.text)
        elif block.path:
            self.write(block.path, block.text.partition("\n")[2] if block.language == "json" else block.text)

    def write(self, path: str, text: str) -> None:
        """Write a file; a path that begins with ~ is in the home folder, all others are in the person's folder."""
        file = self.home / path.removeprefix("~/") if path.startswith("~/") else self.folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")

    def run(self, commands: str) -> str:
        """Run commands in a shell, from the person's folder, which they may change; returns what they print."""
        where = self.home / ".where"
        paths = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        done = subprocess.run(
            ["bash", "-euc", f"{commands}\npwd > {where}"],
            cwd=self.folder,
            env={**os.environ, "HOME": str(self.home), "PATH": paths, "COLUMNS": "100"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"{commands}\n{done.stdout}"
        self.folder = Path(where.read_text().strip())
        self.shown.append(done.stdout)
        return done.stdout
