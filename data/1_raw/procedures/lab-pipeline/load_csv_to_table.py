"""Readings of several instruments, cleaned and put together in one table."""

import csv
import math
from pathlib import Path

TO_CELSIUS = {"C": lambda t: t, "F": lambda t: (t - 32) / 1.8, "K": lambda t: t - 273.15}


def clean(row: dict) -> tuple[str, float]:
    """Sample and temperature in degrees Celsius of a row; ValueError with the reason for a row that is unusable."""
    sample = (row["sample"] or "").strip().upper()
    if not sample:
        raise ValueError("no sample")
    # some instruments write a decimal comma
    value = float((row["value"] or "").replace(",", "."))
    unit = (row["unit"] or "C").strip().lstrip("°").upper()
    if unit not in TO_CELSIUS:
        raise ValueError(f"unknown unit {unit}")
    celsius = TO_CELSIUS[unit](value)
    if not math.isfinite(celsius) or celsius < -273.15:
        raise ValueError(f"impossible temperature {celsius}")
    return sample, celsius


def load_csv_to_table(
    sources: list[str], target: str = "out/table.csv", min_readings: int = 2, max_rejects: float = 0.25
) -> dict:
    """Write count, mean, minimum and maximum (degrees Celsius) of every sample with at least `min_readings` readings.

    Rows that cannot be used go to rejects.csv beside the target, with the reason. Returns {rows, rejected, samples}.
    Raises KeyError for a file without the columns, ValueError when more than the share `max_rejects` is rejected.
    """
    readings = {}
    rejects = []
    rows = 0
    for source in sources:
        with Path(source).open(encoding="utf-8-sig", newline="") as stream:
            reader = csv.DictReader(stream)
            for row in reader:
                rows += 1
                try:
                    sample, celsius = clean(row)
                except ValueError as error:
                    rejects.append([source, reader.line_num, str(error)])
                else:
                    readings.setdefault(sample, []).append(celsius)
    if len(rejects) > max_rejects * rows:
        raise ValueError(f"{len(rejects)} of {rows} rows rejected, first: {rejects[0][2]}")
    table = [["sample", "count", "mean", "minimum", "maximum"]]
    for sample, values in sorted(readings.items()):
        if len(values) >= min_readings:
            mean = math.fsum(values) / len(values)
            table.append([sample, len(values), f"{mean:.2f}", f"{min(values):.2f}", f"{max(values):.2f}"])
    out = Path(target)
    out.parent.mkdir(parents=True, exist_ok=True)
    for path, lines in ((out, table), (out.with_name("rejects.csv"), rejects)):
        with path.open("w", encoding="utf-8", newline="") as stream:
            csv.writer(stream).writerows(lines)
    return {"rows": rows, "rejected": len(rejects), "samples": len(table) - 1}
