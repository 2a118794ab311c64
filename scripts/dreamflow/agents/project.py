"""The project that an agent works with: checked ids, files inside the data folder only, texts and lists in pages."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, Field

from ..errors import DreamflowError
from ..files import is_name
from ..settings import load_settings

T = TypeVar("T")

PAGE_CHARACTERS = 12_000
MOST_CHARACTERS = 40_000
PAGE_ITEMS = 20
MOST_ITEMS = 100


@dataclass(frozen=True)
class Project:
    """A project: the folder that has `config/`, which must be the working directory, and its data folder (absolute,
    without symbolic links)."""

    root: Path
    data: Path

    def inside(self, path: Path) -> Path:
        """`path` without symbolic links. Raises a `DreamflowError` if it is not in the data folder."""
        try:
            real = path.resolve()
        except (OSError, ValueError, RuntimeError):
            raise DreamflowError("this path cannot be followed") from None
        if not real.is_relative_to(self.data):
            raise DreamflowError(f"{path.name} is a link to a place outside of the data folder, so it is not read")
        return real

    def shown(self, path: Path) -> str:
        """A path as a person in the project's folder writes it."""
        return str(path.relative_to(self.root)) if path.is_relative_to(self.root) else str(path)

    def find_generation(self, gen_id: str) -> Path:
        """The folder of a generation. Raises a `DreamflowError` for an id that is malformed or has no generation."""
        check_id(gen_id)
        for stage in self.folders(self.data / "gens"):
            folder = stage / gen_id
            if folder.is_dir():
                return self.inside(folder)
        raise DreamflowError(
            f"there is no generation {gen_id}. Ids are the names of folders in {self.shown(self.data / 'gens')}/*/; "
            "`search`, `dream_journal` and `list_pending` show them"
        )

    def folders(self, parent: Path) -> list[Path]:
        """The folders in a folder of the data folder, by name; hidden ones and links to other places are left out."""
        found = []
        for path in sorted(parent.glob("*")) if parent.is_dir() else ():
            if is_name(path.name) and path.is_dir() and path.resolve().is_relative_to(self.data):
                found.append(path)
        return found


def open_project() -> Project:
    """The project in the working directory. Raises a `ConfigError` if its config/config.yaml is broken."""
    settings = load_settings()
    return Project(Path.cwd().resolve(), Path(settings.data_root).resolve())


def check_id(gen_id: str) -> str:
    """`gen_id`. Raises a `DreamflowError` if it cannot be the id of a generation."""
    if not is_name(gen_id):
        raise DreamflowError(
            f"{gen_id[:80]!r} is no id of a generation: ids have letters, digits, '_', '-' and '.', such as "
            "e_18yf9r0k1io2sqa2"
        )
    return gen_id


class TextPage(BaseModel):
    """A part of a text."""

    text: str = Field(description="The text from `offset` on.")
    offset: int = Field(description="Position of its first character in the whole text.")
    total_characters: int = Field(description="Length of the whole text.")
    next_offset: int | None = Field(description="Where the rest begins: call again with this offset. Null: no rest.")


def text_page(text: str, offset: int = 0, characters: int = PAGE_CHARACTERS) -> TextPage:
    """The page of `text` that begins at `offset`; at most `MOST_CHARACTERS` characters."""
    end = max(offset, 0) + max(1, min(characters, MOST_CHARACTERS))
    part = text[max(offset, 0) : end]
    return TextPage(
        text=part,
        offset=max(offset, 0),
        total_characters=len(text),
        next_offset=end if end < len(text) else None,
    )


def items_page(items: Sequence[T], offset: int, limit: int) -> tuple[Sequence[T], int | None]:
    """The items from `offset` on, at most `limit` and `MOST_ITEMS`, and the offset of the next page (None: no more)."""
    start = max(offset, 0)
    end = start + max(1, min(limit, MOST_ITEMS))
    return items[start:end], end if end < len(items) else None


def read(path: Path) -> str:
    """The text of a file of the data folder, whatever its bytes are. Raises a `DreamflowError` if it is missing."""
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise DreamflowError(f"{path.name} cannot be read: {error.strerror}") from None


def cut(text: str, characters: int) -> str:
    """`text` on one line, at most so many characters."""
    line = " ".join(text.split())
    return line if len(line) <= characters else line[: characters - 1] + "…"
