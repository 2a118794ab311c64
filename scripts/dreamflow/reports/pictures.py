"""Pictures of shares with their intervals, as PNG files: the same bytes for the same numbers and libraries."""

import io
import os
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from matplotlib.figure import Figure

Share = tuple[float, float, float]  # with the ends of its interval


def draw_shares(series: Mapping[str, Mapping[str, Share | None]], title: str, path: Path) -> None:
    """Draw {who: {kind: (share, low, high)}} (0-1), a column for each kind, and write it to `path`.

    Kinds stand in the order of the first that has each; what is None or missing has no mark.
    """
    kinds = list(dict.fromkeys(kind for shares in series.values() for kind in shares))
    figure = Figure(figsize=(max(5.0, 1.5 + 1.1 * len(kinds)), 4.0), dpi=120, layout="constrained")
    axes = figure.subplots()
    for number, (who, shares) in enumerate(series.items()):
        known = [(place, *shares[kind]) for place, kind in enumerate(kinds) if shares.get(kind) is not None]
        shift = 0.6 * ((number + 0.5) / len(series) - 0.5)
        places = [place + shift for place, *_ in known]
        heights = [100 * share for _, share, _, _ in known]
        ends = [_lengths(known, low_end) for low_end in (True, False)]
        axes.errorbar(places, heights, yerr=ends, fmt="o", capsize=3, label=who)
    axes.set(title=title, ylabel="solved, %", ylim=(-3, 103))
    axes.set_xticks(range(len(kinds)), kinds, rotation=30 if len(kinds) > 5 else 0)
    axes.grid(axis="y", alpha=0.3)
    if series:
        axes.legend(fontsize="small")
    write_png(figure, path)


def _lengths(known: Sequence[tuple[float, ...]], low_end: bool) -> list[float]:
    return [100 * max(0.0, share - low if low_end else high - share) for _, share, low, high in known]


def write_png(figure: Figure, path: Path) -> None:
    """Write a figure so that `path` is never seen half-written."""
    drawn = io.BytesIO()
    figure.savefig(drawn, format="png", metadata={"Software": None})
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(drawn.getvalue())
        Path(temporary).chmod(0o644)
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
