"""The log of a training: a CSV file and a figure."""

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path

from ..errors import ConfigError
from ..files import read_text

COLUMNS = ("step", "epoch", "tokens", "loss", "validation_loss", "lr", "tokens_per_s", "seconds")


def training_csv(rows: Sequence[Mapping[str, float | None]]) -> str:
    """Return the log as CSV: a row per step, with empty cells for unknown values. Losses are means per answer token."""
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    for row in rows:
        writer.writerow({name: "" if row[name] is None else f"{row[name]:.6g}" for name in COLUMNS})
    return text.getvalue()


def draw_training(log: Path, picture: Path) -> None:
    """Draw the losses and the learning rate of a training log (PNG)."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    rows = list(csv.DictReader(io.StringIO(read_text(log))))
    if not rows or set(COLUMNS) - set(rows[0]):
        raise ConfigError(f"{log}: not the log of a training")
    figure, (losses, rates) = pyplot.subplots(2, 1, sharex=True, figsize=(7, 5), height_ratios=(3, 1))
    for name, label, style in (("loss", "training", "-"), ("validation_loss", "validation", "o-")):
        points = [(int(row["step"]), float(row[name])) for row in rows if row[name]]
        losses.plot(*zip(*points, strict=True), style, label=label, markersize=4, linewidth=1)
    losses.set_ylabel("loss (nats per answer token)")
    losses.set_ylim(bottom=0)
    losses.legend()
    rates.plot([int(row["step"]) for row in rows if row["lr"]], [float(row["lr"]) for row in rows if row["lr"]])
    rates.set_ylabel("learning rate")
    rates.set_xlabel("step")
    figure.tight_layout()
    picture.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(picture, format="png", dpi=120, metadata={"Software": None})
    pyplot.close(figure)
