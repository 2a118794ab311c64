"""Looking after what is there: generations that no plan names any more, and failed ones to be drawn anew."""

import shutil
from collections.abc import Container, Iterable
from pathlib import Path

from .files import read_json, write_atomic
from .generation.make import REDRAW


def orphans(data_root: Path, planned: Container[str]) -> list[Path]:
    """The folders of generations that no configured plan names, in order of stage and id."""
    folders = sorted(path for path in data_root.glob("gens/*/*") if path.is_dir())
    return [folder for folder in folders if folder.name not in planned]


def prune(folders: Iterable[Path]) -> None:
    """Remove generations. Their answers stay in the response store."""
    for folder in folders:
        shutil.rmtree(folder)


def unusable(folders: Iterable[Path], status: str) -> list[Path]:
    """Those of the generations that have this status."""
    return [folder for folder in folders if _status(folder) == status]


def _status(folder: Path) -> str | None:
    path = folder / "metadata.json"
    return read_json(path)["status"] if path.exists() else None


def forget_failed(folders: Iterable[Path]) -> list[Path]:
    """Ask for new samples of the generations that failed, by taking their metadata away and leaving a mark.

    What was skipped because of them is made again by itself, since it depends on their files.
    """
    failed = unusable(folders, "failed")
    for folder in failed:
        write_atomic(folder / REDRAW, "")
        (folder / "metadata.json").unlink()
    return failed
