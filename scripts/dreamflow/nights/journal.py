"""The journal of a night: a page on what it did, what it cost against its limits, what got better and what waits.

Only facts from files are told. Texts of models are escaped.
"""

import os
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

from ..cycles import numbers
from ..family import NOTHING
from ..files import write_atomic
from ..generation.progress import duration
from ..reports.markdown import counted, plain, table
from ..reports.render import render
from ..routing.preferences import WORDS
from ..routing.table import EVERY_CONTEXT
from .facts import SHOWN_ESSAYS, Dream, Facts, facts_of
from .state import Limits, Night, Phase, state_name
from .trust_facts import SHOWN_MOVES, Move, TrustFacts, trust_facts

UNITS = (("minutes", "minutes"), ("usd", "USD"), ("tokens", "tokens"), ("atp", "ATP"))
FAILED = ("failed", "stopped")
HEADER = ("phase", "result", "time", "calls", "tokens", "USD", "ATP", "made")
SUMMARY_LINES = 12


def write_journal(night: Night) -> str:
    """Write data/nights/<n>/journal.md, which ends the night; returns a summary for the screen.

    Whatever other files have in them, there is a journal: at least the table of phases.
    """
    path = night.folder / "journal.md"
    try:
        facts, trust = facts_of(night), trust_facts(night)
        headline = _headline(night, facts, trust)
        page = _page(night, facts, trust, headline)
        summary = _summary(night, facts, trust, headline)
    except Exception as error:
        problem = f"The rest of this journal could not be written: {type(error).__name__}: {error}"
        rows = [*map(_row, night.lines), _total_row(night)]
        page = f"# Night {night.number}\n\n{plain(problem)}\n\n{table(rows, HEADER)}\n"
        summary = [f"night {night.number}: {problem}"]
    write_atomic(path, page, durable=True)
    return "\n".join([*summary[: SUMMARY_LINES - 2], "", f"The journal: {path}"])


def _page(night: Night, facts: Facts, trust: TrustFacts, headline: str) -> str:
    return render(
        "night.md",
        night=night,
        headline=headline,
        ended=datetime.now(UTC).isoformat(timespec="minutes"),
        header=HEADER,
        phases=[*map(_row, night.lines), _total_row(night)],
        caps=_caps(night),
        facts=facts,
        trust=trust,
        moves=trust.moves[:SHOWN_MOVES],
        moved=_moved,
        essays=facts.essays[:SHOWN_ESSAYS],
        words=WORDS,
        failures=[line for line in night.lines if line.status in FAILED],
        remedy=_remedy,
        notes=[*night.notes, *facts.notes, *trust.notes],
        state_before=state_name(night.state),
        state_after=state_name(trust.state),
        tomorrow=_tomorrow(night),
        link=lambda target: os.path.relpath(target, night.folder),
        witness=lambda name: os.path.relpath(night.root / name, night.folder),
        log=lambda line: f"logs/{line.phase}.log",
    )


def _headline(night: Night, facts: Facts, trust: TrustFacts) -> str:
    """What the night changed, in a sentence or two."""
    parts = []
    if facts.students:
        passed = sum(bool(student["deployed"]) for _, student in facts.students)
        parts.append(f"{counted(passed, 'new student')} passed the gate" if passed else "no student passed its gate")
    if variants := sum(dream.variants for dream in facts.dreams):
        parts.append(f"{counted(variants, 'variant')} dreamt, {sum(dream.viable for dream in facts.dreams)} viable")
    if facts.upgrades:
        parts.append(f"{counted(sum(facts.upgrades.values()), 'chunk')} upgraded")
    if facts.chunked:
        parts.append(f"{counted(sum(facts.chunked.values()), 'new chunk')}")
    made = Counter()
    for line in night.lines:
        made.update(line.made)
    for stage, noun in (("evaluation", "evaluation"), ("answer", "answer to a task")):
        if count := made[stage]:
            parts.append(counted(count, noun) if noun != "answer to a task" else f"{counted(count, 'answer')} to tasks")
    moved = [move for move in trust.moves if move.before is not None]
    if moved:
        move = moved[0]
        parts.append(f"trust in {move.model_id} {_by(move)} in {move.context}")
    elif trust.moves:
        known = len({move.model_id for move in trust.moves})
        parts.append(f"first trust in {counted(known, 'model')}")
    if not parts:
        return "Nothing was left to do." if not _failed(night) else "Nothing new was made."
    text = "; ".join(parts)
    return f"{text[0].upper()}{text[1:]}."


def _by(move: Move) -> str:
    return f"{'rose' if move.change > 0 else 'fell'} by {abs(move.change):.2f} to {move.after:.2f}"


def _moved(move: Move) -> str:
    if move.before is None:
        return f"new: {move.after:.2f}"
    return f"{move.before:.2f} -> {move.after:.2f} ({move.change:+.2f})"


def _failed(night: Night) -> list[Phase]:
    return [phase for phase in night.phases.values() if phase.status in FAILED]


def _row(line: Phase) -> tuple[str, ...]:
    """A row of the table of phases."""
    result = "nothing configured" if line.why == NOTHING else line.status
    return (line.phase, result, *_amounts(line), _made(line.made))


def _amounts(line: Phase) -> tuple[str, ...]:
    if line.status == "skipped":
        return ("", "", "", "", "")
    return (duration(line.seconds), f"{line.calls:,}", f"{line.tokens:,}", f"{line.usd:.4f}", f"{line.atp:,.1f}")


def _made(made: dict[str, int]) -> str:
    return ", ".join(counted(count, stage) for stage, count in made.items())


def _total(night: Night) -> Phase:
    total = Phase(phase="all", target="", started="", status="")
    for line in night.lines:
        for name in ("seconds", "calls", "tokens", "usd", "atp"):
            setattr(total, name, getattr(total, name) + getattr(line, name))
    return total


def _total_row(night: Night) -> tuple[str, ...]:
    return ("**all**", "", *_amounts(_total(night)), "")


def _caps(night: Night) -> list[str]:
    """What the night took of each limit."""
    total, limits = _total(night), night.limits
    spent = {"minutes": total.seconds / 60, "usd": total.usd, "tokens": total.tokens, "atp": total.atp}
    shown = []
    for name, unit in UNITS:
        if (cap := getattr(limits, name)) is not None:
            share = f" ({spent[name] / cap:.0%})" if cap else ""
            shown.append(f"{_number(spent[name])} of {_number(cap)} {unit}{share}")
    return shown


def _number(value: float) -> str:
    """A number without needless digits."""
    return (
        f"{value:,.0f}" if value == round(value) or value >= 100 else f"{value:,.2g}" if value < 1 else f"{value:,.1f}"
    )


def _remedy(line: Phase) -> str:
    """What to do about a phase that failed."""
    if "the budget" in line.why:
        return "Raise the budget, or leave the rest to the next night."
    if line.status == "stopped":
        return "The next night goes on with it; `night.minutes` in config/config.yaml is the limit."
    return f"See its log, then `snakemake {line.target}`; the next night tries again."


def _tomorrow(night: Night) -> list[str]:
    """What the next night will begin with."""
    lines = []
    for key, cycle in sorted(night.cycles.items()):
        done = _is_finished(night.root, key, cycle)
        lines.append(f"{key}: cycle {cycle + 1}" if done else f"{key}: cycle {cycle} again, which is not finished")
    return lines


def _is_finished(root: Path, key: str, cycle: int) -> bool:
    family, _, name = key.partition("/")
    folder, final = {
        "procedures": (root / "dreams" / name, "journal.md"),
        "distillations": (root / "distill" / name, "report.md"),
    }.get(family, (root / family, "reputation.jsonl"))
    return cycle in numbers(folder) and (folder / f"cycle-{cycle}" / final).exists()


def _summary(night: Night, facts: Facts, trust: TrustFacts, headline: str) -> list[str]:
    """The lines for the screen."""
    total = _total(night)
    lines = [f"night {night.number}: {headline}", ""]
    lines.append(
        f"{duration(total.seconds)}, {counted(total.calls, 'call')}, {total.tokens:,} tokens, ${total.usd:.4f}, "
        f"{total.atp:,.1f} ATP" + (f"; limits: {'; '.join(caps)}" if (caps := _caps(night)) else "")
    )
    for line in _failed(night):
        lines.append(f"{line.phase}: {line.status}: {line.why[:200]}")
    for preference in trust.routing[:2]:
        saved = f", {preference.saved:.0%} less ATP than {preference.best_id}" if preference.saved else ""
        where = "all contexts" if preference.context == EVERY_CONTEXT else preference.context
        lines.append(f"routing, {where}: {preference.model_id}{saved}")
    if trust.state and state_name(trust.state) != state_name(night.state):
        before = f"{state_name(night.state)} -> " if state_name(night.state) else ""
        lines.append(f"state: {before}{state_name(trust.state)}")
    waits = _waits(facts)
    lines += [f"waits for you: {waits}"] if waits else []
    return lines


def _waits(facts: Facts) -> str:
    promotable = _promotable(facts.dreams)
    parts = [f"{counted(promotable, 'variant')} to promote (snakemake promote)"] if promotable else []
    if facts.questions:
        parts.append(f"{counted(len(facts.questions), 'question')} in the inbox (snakemake pending)")
    return ", ".join(parts)


def _promotable(dreams: list[Dream]) -> int:
    return sum(dream.to_promote for dream in dreams)


def limits_text(limits: Limits) -> str:
    """The limits of a night as text."""
    known = [(getattr(limits, name), unit) for name, unit in UNITS]
    return ", ".join(f"{_number(value)} {unit}" for value, unit in known if value is not None) or "none"
