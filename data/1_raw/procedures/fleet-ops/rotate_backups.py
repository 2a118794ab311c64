"""Grandfather, father, son: which backups of a folder are kept as they grow old."""

import datetime
import re
from pathlib import Path

DATED = re.compile(r"(?P<name>[\w-]+)-(?P<day>\d{4}-\d{2}-\d{2})\.(?:tar\.gz|sql\.gz|zip)")


def dated(folder: Path) -> dict[str, list[tuple[datetime.date, Path]]]:
    """The backups in a folder by what they are of, newest first; files with other names are nobody's backup."""
    found = {}
    for path in folder.iterdir():
        match = DATED.fullmatch(path.name)
        if match:
            try:
                day = datetime.date.fromisoformat(match["day"])
            except ValueError:
                continue
            found.setdefault(match["name"], []).append((day, path))
    return {name: sorted(items, reverse=True) for name, items in found.items()}


def rotate_backups(
    folder: str = "backups", daily: int = 3, weekly: int = 2, monthly: int = 2, dry_run: bool = False
) -> dict:
    """Delete what is neither among the newest `daily` days nor the newest of a recent week or month.

    The newest backup always stays, whatever the numbers. Returns {kept, deleted} with names of files.
    """
    rules = ((daily, "%Y-%m-%d"), (weekly, "%G-%V"), (monthly, "%Y-%m"))
    keep = set()
    deleted = []
    backups = dated(Path(folder))
    for items in backups.values():
        keep.add(items[0][1])
        for limit, form in rules:
            periods = set()
            for day, path in items:
                period = day.strftime(form)
                if period not in periods and len(periods) < limit:
                    keep.add(path)
                    periods.add(period)
    for name in sorted(backups):
        for _, path in reversed(backups[name]):
            if path not in keep:
                deleted.append(path.name)
                if not dry_run:
                    path.unlink()
    return {"kept": sorted(path.name for path in keep), "deleted": deleted}
