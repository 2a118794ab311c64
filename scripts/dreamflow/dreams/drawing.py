"""A drawing of a dependency analysis: the source from top to bottom, with the order of its steps beside it."""

import re
import unicodedata
from html import escape

import networkx

from ..pyanalysis.analysis import Analysis, Step, independent_groups, reorderable_pairs
from ..pyanalysis.dependences import DATA, EFFECT, EXCEPTION, PLACE

_COLOURS = {DATA: "#2563a8", EFFECT: "#c66a00", EXCEPTION: "#b0305c"}
_DASHES = {DATA: "", EFFECT: ' stroke-dasharray="7 3"', EXCEPTION: ' stroke-dasharray="2 3"'}
_LEGEND = {
    DATA: "it uses what the other step writes or changes",
    EFFECT: "order of effects",
    EXCEPTION: "either step may end early (raise, return)",
}
_FREE, _INK, _FAINT = "#0f7b6c", "#1f2328", "#6e7781"
# Pixels: height of a row, widths of a lane of arrows, a column of groups, the margin and an indentation.
_ROW, _LANE, _COLUMN, _MARGIN, _INDENT = 22, 11, 13, 20, 24
_TOP = 70
_CHARACTER = {13: 7.85, 11: 6.65}  # width in pixels of a monospaced character, by font size
_LONGEST, _MOST_GROUPS = 76, 12
_BRANCH = re.compile(r"(else|except|finally|case)\b")
_LINE = re.compile(r"\r\n|\r|\n")
_UNFIT = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")  # characters that XML cannot hold


def dependency_svg(analysis: Analysis, title: str) -> str:
    """A stand-alone SVG of the steps with their ids and effects; an arrow joins a step to each that must stay behind.

    An arrow that follows from others is omitted. A step that cannot move has a square instead of arrows. Dots joined
    by a line, left of the steps, are a group that can run at the same time.
    """
    rows = _rows(analysis)
    place = {step.step_id: number for number, (step, _, _) in enumerate(rows) if step}
    groups = independent_groups(analysis)[:_MOST_GROUPS]
    pairs = reorderable_pairs(analysis)
    free = {name for pair in pairs for name in pair}
    arrows = _arrows(analysis, place)

    left = _MARGIN + _COLUMN * len(groups) + (8 if groups else 0)
    text = left + max((_width(step.step_id, 11) for step, _, _ in rows if step), default=0) + 16
    marks = text + max((_width(line, 13) + _INDENT * depth for _, line, depth in rows), default=0) + 16
    arrow = marks + max((_width(_effects(step), 11) for step, _, _ in rows if step), default=0) + 12
    lanes = 1 + max((lane for *_, lane in arrows), default=0)
    bottom = _TOP + _ROW * len(rows) + 14
    width = round(max(arrow + _LANE * (lanes + 1) + _MARGIN, _width(title, 13) * 1.3 + 2 * _MARGIN, 560))
    height = bottom + 20 * (len(_LEGEND) + 3)

    stripes, labels = [], []
    for number, (step, line, depth) in enumerate(rows):
        middle = _middle(number)
        labels.append(_label(text + _INDENT * depth, middle + 4, line, fill=_INK if step else _FAINT))
        if number % 2:
            place_of_stripe = f'x="{left - 4}" y="{middle - _ROW / 2:g}" width="{arrow - left - 4:.0f}" height="{_ROW}"'
            stripes.append(f'<rect {place_of_stripe} fill="#f6f8fa"/>')
        if step:
            movable = {"fill": _FREE, "weight": "bold"} if step.step_id in free else {"fill": _FAINT}
            labels.append(_label(left, middle + 4, step.step_id, size=11, **movable))
            labels.append(_label(marks, middle + 4, _effects(step), size=11, fill=_FAINT))
            if _stays(analysis, step):
                labels.append(_square(arrow - 3, middle))
    head = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}" '
        'role="img" font-family="ui-monospace, \'DejaVu Sans Mono\', Menlo, Consolas, monospace">',
        f"<title>{_text(title)}</title>",
        f'<rect width="{width}" height="{height}" fill="#ffffff"/>',
        _label(_MARGIN, 32, title, size=17, weight="bold"),
        _label(_MARGIN, 53, f"{len(analysis.steps)} steps, {len(pairs)} pairs can change places", 11, _FAINT),
    ]
    drawn = [_arrow(analysis, first, second, arrow, place, lane) for first, second, lane in arrows]
    return "\n".join([*head, *stripes, *_group_lines(groups, place), *labels, *drawn, *_legend(bottom), "</svg>\n"])


def _rows(analysis: Analysis) -> list[tuple[Step | None, str, int]]:
    """The rows from top to bottom: (step, text, depth); the step is None for `else:` and similar lines."""
    lines = _LINE.split(analysis.source)
    rows: list[tuple[Step | None, str, int]] = []
    chained = {step.step_id for step in analysis.steps if step.kind == "elif"}  # as deep as its `if`
    for step in analysis.steps:
        depth = len(step.control) - len(chained & {step.step_id, *step.control})
        head = lines[step.start - 2].strip()
        if step is analysis.blocks[step.block][0] and _BRANCH.match(head) and step.control:
            rows.append((None, _shortened(head), depth - 1))
        rows.append((step, _shortened(step.text), depth))
    return rows


def _shortened(text: str) -> str:
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"


def _effects(step: Step) -> str:
    return " ".join([*sorted(step.effects), *["!"] * step.may_raise])


def _stays(analysis: Analysis, step: Step) -> bool:
    """Whether nothing moves across a step: only its position orders it with all others of its block."""
    graph, others = analysis.graph, len(analysis.blocks[step.block]) - 1
    around = [*graph.in_edges(step.step_id, data=True), *graph.out_edges(step.step_id, data=True)]
    return 0 < others == len(around) and all(PLACE in data["kinds"] for _, _, data in around)


def _arrows(analysis: Analysis, place: dict[str, int]) -> list[tuple[str, str, int]]:
    """The dependences that no others imply, each with a lane in which it overlaps no other arrow."""
    kept = networkx.DiGraph()
    kept.add_edges_from(
        (first, second) for first, second, data in analysis.graph.edges(data=True) if PLACE not in data["kinds"]
    )
    edges = sorted(
        networkx.transitive_reduction(kept).edges, key=lambda edge: (place[edge[1]] - place[edge[0]], place[edge[0]])
    )
    lanes: list[list[tuple[int, int]]] = []
    arrows = []
    for first, second in edges:
        start, end = place[first], place[second]
        free = (n for n, taken in enumerate(lanes) if all(end <= top or low <= start for top, low in taken))
        lane = next(free, len(lanes))
        if lane == len(lanes):
            lanes.append([])
        lanes[lane].append((start, end))
        arrows.append((first, second, lane))
    return arrows


def _arrow(analysis: Analysis, first: str, second: str, x: float, place: dict[str, int], lane: int) -> str:
    edge = analysis.graph.edges[first, second]
    kind = edge["kinds"][0]
    start, end, far = _middle(place[first]) + 3, _middle(place[second]) - 3, x + _LANE * (lane + 1.4)
    path = f"M{x:.1f} {start} H{far - 5:.1f} Q{far:.1f} {start} {far:.1f} {start + 5} V{end - 5} " + (
        f"Q{far:.1f} {end} {far - 5:.1f} {end} H{x + 5:.1f}"
    )
    head = f"M{x:.1f} {end} l6 -3.5 v7 z"
    colour = _COLOURS[kind]
    return (
        f"<g><title>{_text('; '.join(edge['why']))}</title>"
        f'<path d="{path}" fill="none" stroke="{colour}" stroke-width="1.5"{_DASHES[kind]}/>'
        f'<path d="{head}" fill="{colour}"/></g>'
    )


def _group_lines(groups: list[tuple[str, ...]], place: dict[str, int]) -> list[str]:
    parts = []
    for column, group in enumerate(groups):
        x, points = _MARGIN + _COLUMN * column + 4, [_middle(place[name]) for name in group]
        parts.append(f'<path d="M{x} {points[0]} V{points[-1]}" stroke="{_FREE}" stroke-width="1.2" opacity="0.45"/>')
        parts += [f'<circle cx="{x}" cy="{y}" r="3.4" fill="{_FREE}"/>' for y in points]
    return parts


def _legend(y: int) -> list[str]:
    parts = [f'<path d="M{_MARGIN} {y} h520" stroke="#d0d7de"/>']
    for number, (kind, text) in enumerate(_LEGEND.items(), 1):
        middle = y + 20 * number
        parts.append(
            f'<path d="M{_MARGIN + 6} {middle} h26" stroke="{_COLOURS[kind]}" stroke-width="1.5"{_DASHES[kind]}/>'
            f'<path d="M{_MARGIN} {middle} l7 -3.5 v7 z" fill="{_COLOURS[kind]}"/>'
        )
        parts.append(_label(_MARGIN + 42, middle + 4, f"must stay behind: {text}", size=11, fill=_FAINT))
    middle += 20
    parts.append(f'<circle cx="{_MARGIN + 4}" cy="{middle}" r="3.4" fill="{_FREE}"/>')
    parts.append(_label(_MARGIN + 14, middle + 4, "can run at the same time", size=11, fill=_FAINT))
    parts.append(_square(_MARGIN + 244, middle))
    parts.append(_label(_MARGIN + 256, middle + 4, "nothing moves across", size=11, fill=_FAINT))
    parts.append(_label(_MARGIN + 414, middle + 4, "! may raise", size=11, fill=_FAINT))
    return parts


def _square(x: float, y: int) -> str:
    return f'<rect x="{x:.1f}" y="{y - 3}" width="6" height="6" fill="{_FAINT}"/>'


def _middle(row: int) -> int:
    return _TOP + _ROW * row + _ROW // 2


def _width(text: str, size: int) -> float:
    wide = sum(2 if unicodedata.east_asian_width(character) in "WF" else 1 for character in text)
    return wide * _CHARACTER[size]


def _text(text: str) -> str:
    return escape(_UNFIT.sub("\ufffd", text.replace("\t", "    ")))


def _label(x: float, y: float, text: str, size: int = 13, fill: str = _INK, weight: str = "normal") -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" font-weight="{weight}" fill="{fill}" '
        f'xml:space="preserve">{_text(text)}</text>'
    )
