"""The drawing of a dependency analysis: whole, readable XML in which nothing lies on top of another thing."""

import itertools
import re
from xml.etree import ElementTree

import pytest
from dreamflow.dreams.drawing import dependency_svg
from dreamflow.pyanalysis.analysis import analyse

SVG = "{http://www.w3.org/2000/svg}"
PROCEDURE = '''
def tidy(path, items):
    """Doc <of> "it" & more."""
    total = 0
    seen = set()
    for item in items:
        if item in seen:
            continue
        elif item < 3:
            seen.add(item)
        else:
            total += 1
    try:
        text = open(path).read()
    except OSError:
        text = ""
    label = f"{total} of {len(text)}"
    print(label, "and a line that is much longer than anybody would want to have it in a drawing of steps")
    print(seen)
    return label
'''


def drawing_of(source, entry, title="demo.procedure"):
    return ElementTree.fromstring(dependency_svg(analyse(source, entry), title))


@pytest.fixture(scope="module")
def drawing():
    return drawing_of(PROCEDURE, "tidy")


def texts(root):
    return [element.text or "" for element in root.iter(f"{SVG}text")]


def paths(root):
    return [element.get("d") for group in root.iter(f"{SVG}g") for element in [group.find(f"{SVG}path")]]


def test_every_step_stands_in_it_with_its_id(drawing):
    written = texts(drawing)
    for step in analyse(PROCEDURE, "tidy").steps:
        assert step.step_id in written
        assert step.text in written or any(text.endswith("…") and step.text.startswith(text[:-1]) for text in written)
    assert "else:" in written and "except OSError:" in written
    assert "demo.procedure" in written and "print !" in written


def test_rows_do_not_overlap_and_all_lies_inside(drawing):
    heights = sorted({float(element.get("y")) for element in drawing.iter(f"{SVG}text")})
    assert all(below - above >= 16 for above, below in itertools.pairwise(heights))
    width, height = float(drawing.get("width")), float(drawing.get("height"))
    assert heights[-1] < height
    for element in drawing.iter(f"{SVG}text"):
        size, x = float(element.get("font-size")), float(element.get("x"))
        assert x + 0.61 * size * len(element.text or "") <= width
    assert all(float(x) < width for path in paths(drawing) for x in re.findall(r"H([0-9.]+)", path))


def test_arrows_share_no_lane_where_they_overlap(drawing):
    spans = {}
    for path in paths(drawing):
        start, lane, end = re.search(r"^M\S+ (\S+) .*Q(\S+) .* V(\S+) ", path).groups()
        spans.setdefault(lane, []).append((float(start), float(end)))
    assert len(spans) > 1
    for taken in spans.values():
        assert all(above[1] < below[0] for above, below in itertools.pairwise(sorted(taken)))


def test_arrows_say_why_and_leave_out_what_follows():
    root = drawing_of("def f(p):\n    a = p\n    b = a\n    c = a, b\n    return c\n", "f")
    reasons = [title.text for group in root.iter(f"{SVG}g") for title in group.iter(f"{SVG}title")]
    assert reasons == ["2 reads a, which 1 writes", "3 reads b, which 2 writes"]


def test_arrows_of_each_kind_have_their_colour():
    def colour(body, **others):
        root = ElementTree.fromstring(dependency_svg(analyse(f"def f(p):\n{body}", "f", **others), "f"))
        return next(root.iter(f"{SVG}g")).find(f"{SVG}path").get("stroke")

    data = colour("    a = 1\n    b = a\n")
    effect = colour("    note()\n    note()\n", effects={"note": ("log",)})
    early = colour("    if p is None: return\n    note()\n", effects={"note": ("log",)})
    assert len({data, effect, early}) == 3


def test_steps_that_can_be_done_at_the_same_time_have_dots():
    together = drawing_of("def f():\n    a = 1\n    b = 2\n    c = a\n    return b, c\n", "f")
    alone = drawing_of("def f():\n    a = 1\n    c = a\n    return c\n", "f")
    legend = 1
    assert len(list(together.iter(f"{SVG}circle"))) == 2 + 2 + legend
    assert len(list(alone.iter(f"{SVG}circle"))) == legend


def test_odd_sources_give_xml_too():
    source = "def f(p):\n\tname = '<&>\"\x0c\x01' ; größe = '日本語'\n\tif p: return name\n\tp('''\n  ]]>''')\n"
    assert any("日本語" in text for text in texts(drawing_of(source, "f", "<&> \x00")))
    assert drawing_of("def f(): pass", "f").get("width")
