"""Charts of shares with their intervals, as PNG and SVG: the same bytes for the same numbers and library versions."""

import io
from collections.abc import Mapping
from pathlib import Path

from matplotlib import rc_context
from matplotlib.figure import Figure

from ..files import write_atomic

Share = tuple[float, float, float]  # share, lower and upper end of its interval


def draw_shares(series: Mapping[str, Mapping[str, Share | None]], title: str, path: Path) -> None:
    """Draw {label: {kind: (share, low, high)}} (0-1) with a column for each kind, and write the chart to `path` (PNG),
    and as SVG beside it.

    Kinds are in the order of their first occurrence; a missing share has no mark.
    """
    kinds = list(dict.fromkeys(kind for shares in series.values() for kind in shares))
    figure = Figure(figsize=(max(5.0, 1.5 + 1.1 * len(kinds)), 4.0), dpi=120, layout="constrained")
    axes = figure.subplots()
    for number, (label, shares) in enumerate(series.items()):
        known = [(place, *shares[kind]) for place, kind in enumerate(kinds) if shares.get(kind) is not None]
        shift = 0.6 * ((number + 0.5) / len(series) - 0.5)
        positions = [place + shift for place, *_ in known]
        heights = [100 * share for _, share, _, _ in known]
        below = [100 * max(0.0, share - low) for _, share, low, _ in known]
        above = [100 * max(0.0, high - share) for _, share, _, high in known]
        axes.errorbar(positions, heights, yerr=[below, above], fmt="o", capsize=3, label=label)
    axes.set(title=title, ylabel="solved, %", ylim=(-3, 103))
    axes.set_xticks(range(len(kinds)), kinds, rotation=30 if len(kinds) > 5 else 0)
    axes.grid(axis="y", alpha=0.3)
    if series:
        axes.legend(fontsize="small")
    save(figure, path)


def save(figure: Figure, path: Path) -> None:
    """Write a figure to `path` (PNG), and as SVG with searchable text beside it."""
    for suffix, metadata in ((path.suffix, {"Software": None}), (".svg", {"Date": None, "Creator": None})):
        image = io.BytesIO()
        with rc_context({"svg.hashsalt": path.stem, "svg.fonttype": "none"}):
            figure.savefig(image, format=suffix[1:], metadata=metadata)
        write_atomic(path.with_suffix(suffix), image.getvalue())
