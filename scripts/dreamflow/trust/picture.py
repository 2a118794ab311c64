"""The picture of trust: how it moved over the cycles, with its intervals, a panel for each context."""

from collections.abc import Mapping, Sequence
from math import ceil
from pathlib import Path

from matplotlib.figure import Figure

from ..reports.pictures import save
from .posterior import EVERY
from .table import Row

COLUMNS, MOST_PANELS = 3, 12
TITLES = {EVERY: "all contexts"}


def draw_trust(history: Sequence[Row], path: Path) -> None:
    """Draw the trust of every model, by cycle, with 90% intervals, and write the chart to `path` (PNG; SVG beside it).

    `history` has the rows of all cycles. Each context and class of evidence has a panel; those with most outcomes are
    drawn. The number at a model's last point is that of its outcomes there.
    """
    panels: dict[tuple[str, str], list[Row]] = {}
    for row in history:
        panels.setdefault((row.context, row.evidence), []).append(row)
    last = max((row.cycle for row in history), default=0)
    size = {key: sum(row.outcomes for row in rows if row.cycle == last) for key, rows in panels.items()}
    order = sorted(panels, key=lambda key: (key[0] != EVERY, -size[key], key))[:MOST_PANELS]
    models = sorted({row.model_id for row in history})
    colours = {model: f"C{number % 10}" for number, model in enumerate(models)}
    lines = max(1, ceil(len(order) / COLUMNS))
    columns = min(COLUMNS, max(1, len(order)))
    figure = Figure(figsize=(1.0 + 3.6 * columns, 0.8 + 2.7 * lines), dpi=120, layout="constrained")
    axes = figure.subplots(lines, columns, squeeze=False, sharey=True)
    for place, key in enumerate(order):
        _panel(axes[place // columns][place % columns], key, panels[key], colours)
    for place in range(len(order), lines * columns):
        axes[place // columns][place % columns].set_visible(False)
    if models and order:
        handles, labels = axes[0][0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=min(3, len(models)), fontsize="small")
    figure.suptitle(f"Trust after {last} cycle{'s' * (last != 1)}, with 90% intervals", fontsize="medium")
    save(figure, path)


def _panel(axes: object, key: tuple[str, str], rows: Sequence[Row], colours: Mapping[str, str]) -> None:
    context, evidence = key
    by_model: dict[str, list[Row]] = {}
    for row in sorted(rows, key=lambda row: row.cycle):
        by_model.setdefault(row.model_id, []).append(row)
    for number, model in enumerate(sorted(colours)):
        own = by_model.get(model, [])
        shift = 0.24 * ((number + 0.5) / len(colours) - 0.5)
        x = [row.cycle + shift for row in own]
        y = [100 * row.trust for row in own]
        below = [100 * (row.trust - row.low) for row in own]
        above = [100 * (row.high - row.trust) for row in own]
        axes.errorbar(x, y, yerr=[below, above], fmt="o-", ms=4, lw=1, capsize=2, color=colours[model], label=model)
        if own:
            axes.annotate(
                f"{own[-1].outcomes:,}", (x[-1], y[-1]), xytext=(5, 3), textcoords="offset points", fontsize=7,
                color=colours[model],
            )  # fmt: skip
    cycles = sorted({row.cycle for row in rows})
    axes.set(ylim=(-3, 103), xlim=(cycles[0] - 0.5, cycles[-1] + 0.5))
    axes.set_xticks(cycles if len(cycles) <= 8 else cycles[:: ceil(len(cycles) / 8)])
    axes.set_title(f"{TITLES.get(context, context)} ({evidence})", fontsize="small")
    axes.set_xlabel("cycle", fontsize="small")
    axes.set_ylabel("trust, %", fontsize="small")
    axes.tick_params(labelsize="small")
    axes.grid(axis="y", alpha=0.3)
