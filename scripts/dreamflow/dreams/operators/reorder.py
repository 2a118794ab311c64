"""Variants with another order of the steps in one block that keeps all dependences; they claim to be safe.

Two steps that only set variables are never swapped: `a = []; b = []` is the same in either order.
"""

from collections.abc import Sequence
from functools import partial
from itertools import combinations
from string import ascii_lowercase, ascii_uppercase, digits

from ...pyanalysis.analysis import Analysis, Step, permutations
from ...pyanalysis.syntax import Code, edited, own_lines, read_code
from ..procedure import Procedure
from . import Variation

VERSION = 1

LIMIT = 150  # orders of one block to consider
_LETTERS = ascii_lowercase + ascii_uppercase + digits
_SHOWN = 40  # characters of a step in a description


def variations(procedure: Procedure, analysis: Analysis) -> list[Variation]:
    """Orders that swap two steps with effects first, then those with the fewest changes."""
    code = read_code(procedure.source, procedure.entry)
    lines = own_lines(code, analysis)
    ranked = []
    for block, steps in analysis.blocks.items():
        names = [step.step_id for step in steps]
        for number, new_names in enumerate(permutations(analysis, block, LIMIT)):
            order = [names.index(name) for name in new_names]
            places = [place for place, name in enumerate(order) if place != name]
            first, last = places[0], places[-1]
            # the site has one letter per step
            if last - first >= len(_LETTERS) or not all(names[place] in lines for place in places):
                continue
            texts = [code.text[slice(*lines[names[place]])].strip() for place in places]
            if texts != [code.text[slice(*lines[new_names[place]])].strip() for place in places]:
                swapped = [(steps[a], steps[b]) for a, b in combinations(order, 2) if a > b]
                effective = [_has_effect(first_step) + _has_effect(second) for first_step, second in swapped]
                if min(effective):
                    rank = (-max(effective), len(swapped), steps[first].start, number)
                    order = [place - first for place in order[first : last + 1]]
                    ranked.append((rank, steps[first : last + 1], order))
    ranked.sort(key=lambda entry: entry[0])
    return [_variation(code, lines, steps, order) for _, steps, order in ranked]


def _has_effect(step: Step) -> bool:
    return bool(step.effects or step.mutates or step.may_raise)


def _variation(code: Code, lines: dict[str, tuple[int, int]], steps: Sequence[Step], order: list[int]) -> Variation:
    places = [lines.get(step.step_id, (0, 0)) for step in steps]
    moved = "; ".join(steps[number].text[:_SHOWN] for number in order)
    return Variation(
        site=f"{steps[0].start}-{steps[-1].end} {''.join(_LETTERS[number] for number in order)}",
        description=f"lines {steps[0].start}-{steps[-1].end} in another order: {moved}",
        make=partial(_made, code, places, order),
        safe=True,
    )


def _made(code: Code, places: list[tuple[int, int]], order: list[int]) -> str:
    edits = []
    for (start, end), number in zip(places, order, strict=True):
        if places[number] != (start, end):
            text = code.text[slice(*places[number])].removesuffix("\n")
            # the last step of a file may have no line break at its end
            edits.append((start, end, text + "\n" * code.text.endswith("\n", start, end)))
    return edited(code, edits, "reorder")
