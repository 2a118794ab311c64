"""Charts as SVG inside of a page: Vega-Lite draws them when the site is made, so a browser needs neither a script nor a
server for them.

Colours are the variables of `static/site.css`, so a chart is light or dark with its page. Colour alone says nothing:
series also differ in the shape of their points and the dashes of their lines, and cells have their number. Each chart
has a text for screen readers, a title on each mark, and its numbers as a table.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from html import escape
from textwrap import wrap

import msgspec
from markupsafe import Markup

from ..generation.model import Json

WIDTH = 460  # of a chart in its own units, so that a phone shows its letters at 10 pixels
ROW = 32  # of a category, with two lines of letters
SERIES = 6  # colours of site.css
MOST_ROWS = 40  # that a chart shows
BINS = 20  # of a distribution of many values
_LINE, _LINES = 25, 2  # characters and lines of a label

_COLOURS = [f"var(--series-{number})" for number in range(1, SERIES + 1)]
_SHAPES = ["circle", "square", "triangle-up", "diamond", "cross", "triangle-down"]
_DASHES = [[1, 0], [6, 3], [2, 2], [8, 3, 2, 3], [4, 4], [1, 3]]
_CONFIG: dict[str, Json] = {
    "background": None,
    "font": "Arial, Helvetica, sans-serif",
    "view": {"stroke": None},
    "axis": {
        **{"labelColor": "var(--ink)", "titleColor": "var(--soft)", "labelFontSize": 13, "titleFontSize": 13},
        **{"gridColor": "var(--line)", "tickColor": "var(--line)", "domainColor": "var(--line)"},
        **{"titleFontWeight": "normal", "labelLimit": 170, "labelOverlap": "parity"},
    },
    "legend": {
        **{"labelColor": "var(--ink)", "labelFontSize": 13, "labelLimit": 170, "orient": "top", "columns": 2},
        **{"columnPadding": 34, "symbolStrokeWidth": 0, "symbolOpacity": 1},
    },
}
_POINT = {"type": "point", "filled": True, "size": 80, "opacity": 1}
_MARK = re.compile(r'<(path|line|text|rect) aria-label="([^"]*)" role="graphics-symbol"[^>]*? (transform="[^>]*)/>')
_TEXT_MARK = re.compile(r'<text aria-label="([^"]*)" role="graphics-symbol" aria-roledescription="[^"]*"')
_ARIA = re.compile(r' (?:aria-[a-z]+|role|pointer-events)="[^"]*"')
_EMPTY = re.compile(r'<path class="(?:background|foreground)" d="(?:M0,0h0v0h0Z)?"(?: display="none")?/>')
_ROOT = re.compile(r"<svg [^>]*>")


@dataclass(frozen=True)
class Interval:
    """An estimate with its interval, if that is known; `series` tells several estimates of one label apart."""

    label: str
    value: float
    low: float | None = None
    high: float | None = None
    note: str = ""
    series: str = ""


@dataclass(frozen=True)
class Cell:
    """A cell of a heat map: `share` (0-1) is how strong its colour is, None if it is unknown; `text` is its number."""

    row: str
    column: str
    share: float | None
    text: str
    note: str = ""


@dataclass(frozen=True)
class Point:
    """A point of a line, with its interval if that is known."""

    series: str
    x: float
    y: float
    low: float | None = None
    high: float | None = None
    note: str = ""


def intervals(
    title: str, description: str, rows: Sequence[Interval], axis: str, domain: tuple[float, float], *, digits: int = 2
) -> Markup:
    """Estimates with their intervals, a line for each label, in the given order; a line marks 0 if it is inside."""
    rows = rows[:MOST_ROWS]
    labels = _labels(row.label for row in rows)
    series = list(dict.fromkeys(row.series for row in rows))
    values = [
        {
            "label": labels[row.label],
            "series": row.series,
            "value": row.value,
            "low": row.value if row.low is None else row.low,
            "high": row.value if row.high is None else row.high,
            "text": ", ".join(filter(None, (row.label, row.series, _estimate(row, digits), row.note))),
        }
        for row in rows
    ]
    place: dict[str, Json] = {"y": _rows("label"), "description": {"field": "text"}}
    styles = _styles(series) if len(series) > 1 else {}
    if styles:
        place |= {"yOffset": {"field": "series", "sort": None}, "color": styles["color"]}
    x = {"type": "quantitative", "title": axis, "scale": {"domain": list(domain), "nice": False, "clamp": True}}
    x["axis"] = {"tickCount": 5}
    colour = {} if styles else {"color": _COLOURS[0]}
    dash, shape = ({name: styles[name]} if styles else {} for name in ("strokeDash", "shape"))
    between = {**place, **dash, "x": {"field": "low", **x}, "x2": {"field": "high"}}
    layers: list[Json] = [
        {"mark": {"type": "rule", "strokeWidth": 2, "aria": False, **colour}, "encoding": between},
        {"mark": {**_POINT, **colour}, "encoding": {**place, **shape, "x": {"field": "value", **x}}},
    ]
    if domain[0] < 0 < domain[1]:
        zero = {"type": "rule", "color": "var(--soft)", "strokeDash": [4, 3], "aria": False}
        layers.insert(0, {"mark": zero, "encoding": {"x": {"datum": 0}}})
    height = ROW * max(1, len(series) * 0.7) * len({row.label for row in rows})
    head = ["", "series", axis, "interval", ""]
    table = [[row.label, row.series, f"{row.value:.{digits}f}", _between(row, digits), row.note] for row in rows]
    return _figure(title, description, {"height": height, "layer": layers}, values, head, table)


def heat_map(title: str, description: str, cells: Sequence[Cell], row: str, column: str) -> Markup:
    """A table whose cells are the stronger coloured the larger their value, with the values as text."""
    labels = _labels(cell.row for cell in cells)
    rows, columns = (list(dict.fromkeys(getattr(cell, name) for cell in cells)) for name in ("row", "column"))
    values = [
        {
            "row": labels[cell.row],
            "column": cell.column,
            "share": None if cell.share is None else round(0.06 + 0.39 * cell.share, 3),  # ink is readable on all of it
            "number": cell.text,
            "text": ", ".join(filter(None, (cell.row, cell.column, cell.text, cell.note))),
        }
        for cell in cells
    ]
    across = {"field": "column", "type": "nominal", "sort": None, "title": column}
    angle = 0 if len(columns) * max(map(len, columns), default=0) < 36 else -40
    across["axis"] = {"orient": "top", "labelAngle": angle, "grid": False, "labelLimit": 120, "labelOverlap": False}
    opacity = {"field": "share", "type": "quantitative", "scale": {"domain": [0, 1], "range": [0, 1]}, "legend": None}
    layers = [
        {
            "mark": {"type": "rect", "color": "var(--accent)", "stroke": "var(--line)"},
            "encoding": {"fillOpacity": opacity, "description": {"field": "text"}},
        },
        {
            "mark": {"type": "text", "color": "var(--ink)", "fontSize": 13, "aria": False},
            "encoding": {"text": {"field": "number"}},
        },
    ]
    spec = {"height": 32 * len(rows), "layer": layers, "encoding": {"x": across, "y": _rows("row", grid=False)}}
    known = {(cell.row, cell.column): cell.text for cell in cells}
    table = [[name, *(known.get((name, other), "") for other in columns)] for name in rows]
    return _figure(title, description, spec, values, [row, *columns], table)


def distribution(
    title: str, description: str, groups: Mapping[str, Mapping[float, int]], axis: str, domain: tuple[float, float]
) -> Markup:
    """How often each value occurs in each group ({group: {value: count}}): circles with areas that are the counts."""
    groups = _binned(dict(list(groups.items())[:MOST_ROWS]), domain)
    labels = _labels(groups)
    values = [
        {"group": labels[name], "value": value, "count": count, "text": f"{name}, {value:g}: {count:,} times"}
        for name, counts in groups.items()
        for value, count in sorted(counts.items())
    ]
    most = max((count for counts in groups.values() for count in counts.values()), default=1)
    encoding = {
        "y": _rows("group"),
        "x": {
            "field": "value",
            "type": "quantitative",
            "title": axis,
            "scale": {"domain": list(domain), "padding": 12},
        },
        "size": {
            "field": "count",
            "type": "quantitative",
            "legend": None,
            "scale": {"domain": [0, most], "range": [16, 420]},
        },
        "description": {"field": "text"},
    }
    mark = {"type": "circle", "color": "var(--series-1)", "opacity": 0.75, "stroke": "var(--paper)"}
    spec = {"height": 34 * len(groups), "mark": mark, "encoding": encoding}
    places = sorted({value for counts in groups.values() for value in counts})
    if len(places) <= 12:
        table = [[name, *(f"{counts.get(value, 0):,}" for value in places)] for name, counts in groups.items()]
        return _figure(title, description, spec, values, ["", *(f"{value:g}" for value in places)], table)
    table = [[name, f"{sum(counts.values()):,}", _mean(counts)] for name, counts in groups.items()]
    return _figure(title, description, spec, values, ["", "scores", "mean"], table)


def _binned(groups: Mapping[str, Mapping[float, int]], domain: tuple[float, float]) -> dict[str, dict[float, int]]:
    """The counts of values, of the middles of bins if there are too many values to tell apart."""
    if len({value for counts in groups.values() for value in counts}) <= BINS + 1:
        return {name: dict(counts) for name, counts in groups.items()}
    low, width = domain[0], (domain[1] - domain[0]) / BINS
    binned: dict[str, dict[float, int]] = {}
    for name, counts in groups.items():
        own = binned[name] = {}
        for value, count in counts.items():
            middle = round(low + width * (min(max(int((value - low) / width), 0), BINS - 1) + 0.5), 6)
            own[middle] = own.get(middle, 0) + count
    return binned


def lines(
    title: str,
    description: str,
    points: Sequence[Point],
    axes: tuple[str, str],
    domain: tuple[float, float] | None = None,
    *,
    whole: bool = True,
    height: int = 220,
    digits: int = 2,
    marks: bool = True,
) -> Markup:
    """A line for each series, with a band where intervals are known. `axes` are the titles of x and y; `whole`: x has
    whole numbers only, such as cycles."""
    series = list(dict.fromkeys(point.series for point in points))
    values = [
        {
            "series": point.series,
            "x": point.x,
            "y": point.y,
            "low": point.y if point.low is None else point.low,
            "high": point.y if point.high is None else point.high,
            "text": ", ".join(
                filter(None, (point.series, f"{axes[0]} {point.x:g}", _point(point, digits), point.note))
            ),
        }
        for point in points
    ]
    first, last = min(point.x for point in points), max(point.x for point in points)
    x: dict[str, Json] = {"field": "x", "type": "quantitative", "title": axes[0]}
    x["scale"] = {"domain": [first - 0.5, last + 0.5] if first == last else [first, last], "nice": False, "padding": 10}
    x["axis"] = (
        {"format": "d", "values": _ticks(first, last), "grid": False} if whole else {"grid": False, "tickCount": 6}
    )
    y = {"type": "quantitative", "title": axes[1], "axis": {"tickCount": 5}}
    y["scale"] = {"zero": domain is None, **({"domain": list(domain), "nice": False} if domain else {})}
    styles = _styles(series)
    if not marks and styles["color"]["legend"]:
        styles["color"]["legend"] |= {"symbolType": "stroke", "symbolStrokeWidth": 3}
    colour = {"color": styles["color"]}
    layers: list[Json] = []
    if any(point.low is not None for point in points):
        between = {"x": x, "y": {"field": "low", **y}, "y2": {"field": "high"}, **colour}
        layers.append({"mark": {"type": "area", "opacity": 0.12, "aria": False}, "encoding": between})
        bars = {"type": "rule", "opacity": 0.8, "strokeWidth": 1, "aria": False}
        layers.append({"mark": bars, "encoding": between})
    line = {"x": x, "y": {"field": "y", **y}, **colour, "strokeDash": styles["strokeDash"]}
    layers.append({"mark": {"type": "line", "strokeWidth": 2, "aria": False}, "encoding": line})
    if marks:
        point = {"x": x, "y": {"field": "y", **y}, **colour, "shape": styles["shape"], "description": {"field": "text"}}
        size = 80 if len(points) <= 15 * len(series) else 25
        layers.append({"mark": {**_POINT, "size": size}, "encoding": point})
    if len(points) > 5 * MOST_ROWS:
        every = max(1, len(points) // MOST_ROWS)
        shown = [point for place, point in enumerate(points) if place % every == 0 or place == len(points) - 1]
    else:
        shown = list(points)
    table = [
        [point.series, f"{point.x:g}", f"{point.y:.{digits}f}", _between(point, digits), point.note] for point in shown
    ]
    head = ["series", *axes, "interval", ""]
    return _figure(title, description, {"height": height, "layer": layers}, values, head, table)


def bars(title: str, description: str, rows: Sequence[tuple[str, float, str]], axis: str) -> Markup:
    """Bars with their values as text: (label, value, text)."""
    rows = rows[:MOST_ROWS]
    labels = _labels(label for label, _, _ in rows)
    values = [
        {"label": labels[label], "value": value, "number": text, "text": f"{label}, {text}"}
        for label, value, text in rows
    ]
    longest = max((value for _, value, _ in rows), default=0)
    x = {"field": "value", "type": "quantitative", "title": axis, "axis": {"tickCount": 4}}
    x["scale"] = {"domain": [0, longest * 1.25 or 1], "nice": False}
    encoding = {"y": _rows("label"), "x": x}
    bar = {"type": "bar", "color": "var(--series-1)", "height": {"band": 0.7}}
    text = {"type": "text", "align": "left", "dx": 4, "color": "var(--ink)", "fontSize": 13, "aria": False}
    layers = [
        {"mark": bar, "encoding": {**encoding, "description": {"field": "text"}}},
        {"mark": text, "encoding": {**encoding, "text": {"field": "number"}}},
    ]
    spec = {"height": ROW * len(rows), "layer": layers}
    return _figure(title, description, spec, values, ["", axis], [[label, number] for label, _, number in rows])


def _labels(names: Iterable[str]) -> dict[str, str]:
    """Labels in at most two lines, which the axis shows one below the other; different names have different labels."""
    labels: dict[str, str] = {}
    for name in names:
        lines = wrap(name, _LINE, break_on_hyphens=True) or [""]
        label = "\n".join(lines if len(lines) <= _LINES else [lines[0], f"{lines[1][: _LINE - 2]} …"])
        if name not in labels:
            while label in labels.values():
                label += "\u200b"  # which is not seen
            labels[name] = label
    return labels


def _rows(name: str, *, grid: bool = True) -> dict[str, Json]:
    axis = {"grid": grid, "domain": False, "ticks": False, "labelLimit": 170, "labelOverlap": False}
    axis |= {"labelExpr": r"split(datum.label, '\n')", "labelLineHeight": 14}
    return {"field": name, "type": "nominal", "sort": None, "title": None, "axis": axis}


def _ticks(first: float, last: float) -> list[int]:
    """At most ten whole numbers."""
    return list(range(int(first), int(last) + 1, max(1, -(-(int(last) - int(first)) // 9))))


def _styles(series: Sequence[str]) -> dict[str, Json]:
    """Colours, shapes and dashes of series, in one legend; the colours repeat with other shapes."""
    count = len(series)

    def scale(values: Sequence[Json], shift: int = 0) -> dict[str, Json]:
        chosen = [values[(place + shift * (place // SERIES)) % len(values)] for place in range(count)]
        legend = {"legend": None if not any(series) or values is _DASHES else {"title": None}}
        return {"field": "series", "type": "nominal", "scale": {"domain": list(series), "range": chosen}, **legend}

    return {"color": scale(_COLOURS), "shape": scale(_SHAPES, 1), "strokeDash": scale(_DASHES, 1)}


def _between(row: Interval | Point, digits: int) -> str:
    return "" if row.low is None or row.high is None else f"{row.low:.{digits}f} to {row.high:.{digits}f}"


def _estimate(row: Interval, digits: int) -> str:
    between = _between(row, digits)
    return f"{row.value:.{digits}f}" + (f" [{between}]" if between else "")


def _point(point: Point, digits: int) -> str:
    between = _between(point, digits)
    return f"{point.y:.{digits}f}" + (f" [{between}]" if between else "")


def _mean(counts: Mapping[float, int]) -> str:
    return f"{sum(value * count for value, count in counts.items()) / sum(counts.values()):.2f}"


def _figure(
    title: str, description: str, spec: Mapping[str, Json], values: Json, head: Sequence[str], table: Json
) -> Markup:
    """A chart with its caption, and its numbers as a table."""
    whole = {
        "$schema": "https://vega.github.io/schema/vega-lite/v6.json",
        "width": WIDTH,
        "autosize": {"type": "fit-x", "contains": "padding"},
        "padding": {"left": 6, "right": 6, "top": 2, "bottom": 2},
        "config": _CONFIG,
        "data": {"values": values},
        **spec,
    }
    kept = [place for place, name in enumerate(head) if not place or any(row[place] for row in table)]
    head, table = [head[place] for place in kept], [[row[place] for place in kept] for row in table]
    picture = _svg(msgspec.json.encode(whole), f"{title}. {description}")
    cells = "".join(f"<tr><th scope=row>{_cells(row)}</tr>" for row in table)
    names = "".join(f"<th scope=col>{escape(name)}</th>" for name in head)
    return Markup(  # noqa: S704  (escaped above and in _svg)
        f'<figure class="chart"><figcaption><strong>{escape(title)}</strong> {escape(description)}</figcaption>'
        f'{picture}<details><summary>Numbers</summary><div class="inside"><table><thead><tr>{names}</tr></thead>'
        f"<tbody>{cells}</tbody></table></div></details></figure>"
    )


def _cells(row: Sequence[str]) -> str:
    first, *others = map(escape, row)
    return f"{first}</th>" + "".join(f"<td>{cell}</td>" for cell in others)


@cache
def _svg(spec: bytes, label: str) -> str:
    """The picture of a specification; its marks have titles, which browsers show and screen readers can read."""
    import vl_convert  # loads its engine at the first chart, which takes half a second

    text = vl_convert.vegalite_to_svg(spec.decode(), vl_version="6.4", show_warnings=False)
    head = _ROOT.match(text)
    if head is None:
        raise ValueError("no SVG")
    box = re.search(r'viewBox="[^"]*"', head[0])
    body = _TEXT_MARK.sub("<text", text[head.end() :])
    body = _MARK.sub(r"<\1 \3><title>\2</title></\1>", body)
    body = _EMPTY.sub("", _ARIA.sub("", body))
    return f'<svg {box[0] if box else ""} role="img" aria-label="{escape(label)}">{body}'
