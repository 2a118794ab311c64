"""How well chunkers find where the subject of a conversation changes.

Run: python tests/benchmarks/segmentation.py [--part dev] [--groups NAME ...] [--json FILE] [--write FOLDER]
                                             [--archives FOLDER ...]

Conversations are joined from texts that others wrote (segmentation_texts.py; fetched once, with `python
tests/benchmarks/segmentation_fetch.py`) and from the threads of this project's authors (segmentation_threads.py); both
are reported apart. What was learnt or chosen, was so on the parts "train" and "dev": the weights of the segmenter, and
for each group of conversations the setting of each rival, by Pk. The part "test" is reported.

Intervals are 95% bootstrap intervals over conversations. As conversations share texts, they are somewhat too narrow for
"other texts".

--write puts the conversations into a folder, as JSON Lines that the workflow can chunk; --archives then reads a folder
of archives (data/chunks), and reports it as a method of its own under the folder's name.
"""

import argparse
import json
import sys
import time
from collections import Counter
from collections.abc import Iterable, Mapping
from functools import partial
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[2] / "scripts"))
sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parent))

import boundary_metrics as metrics
import segmentation_methods as methods
import segmentation_texts as texts
import segmentation_threads as threads
from segmentation_texts import Case, conversation

RESAMPLES = 4000
MEASURES = ("Pk", "WindowDiff", "F1")
OURS, HIDDEN, LIMITS = "ours", "ours, roles hidden", "ours, with cuts by size"

Row = dict[str, float]


def score(case: Case, method: methods.Method, roles: bool) -> Row:
    """All measures of what one method answers to one conversation."""
    talk = conversation(case, roles)
    started = time.process_time()
    found = method(talk)
    seconds = time.process_time() - started
    turns = len(case.turns)
    return {
        "Pk": metrics.pk(case.known, found, turns),
        "WindowDiff": metrics.window_diff(case.known, found, turns),
        "F1": metrics.boundary_f1(case.known, found, turns, tolerance=1)[2],
        "density": metrics.boundary_density(found, turns),
        "purity": metrics.purity(case.known, found, turns),
        "coverage": metrics.purity(found, case.known, turns),
        "seconds": seconds,
        "turns": turns,
    }


def interval(values: Iterable[float]) -> tuple[float, float, float]:
    """Mean and 95% bootstrap interval (percentiles) of one value for each conversation."""
    values = np.array(list(values))
    drawn = np.random.default_rng(0).integers(len(values), size=(RESAMPLES, len(values)))
    low, high = np.percentile(values[drawn].mean(axis=1), [2.5, 97.5])
    return float(values.mean()), float(low), float(high)


def chosen(name: str, settings: list[methods.Method], development: list[Case]) -> tuple[str, methods.Method]:
    """The setting with the lowest Pk on the development part, and the method's name with it."""
    if len(settings) == 1:
        return name, settings[0]
    best = min(settings, key=lambda setting: _mean([score(case, setting, True) for case in development], "Pk"))
    values = ", ".join(str(value) for value in best.args if type(value) is int)
    return (name.replace(" N ", f" {values} ") if " N " in name else f"{name} ({values})"), best


def evaluate(cases: list[Case], development: list[Case], archives: Iterable[Path]) -> dict[str, list[Row]]:
    """Method -> a row of measures for each case; `development` chooses the rivals' settings."""
    results = {
        OURS: [score(case, partial(methods.ours, False), True) for case in cases],
        HIDDEN: [score(case, partial(methods.ours, False), False) for case in cases],
        LIMITS: [score(case, partial(methods.ours, True), True) for case in cases],
    }
    for name, settings in methods.choices().items():
        named, method = chosen(name, settings, development)
        results[named] = [score(case, method, True) for case in cases]
    results["evenly, number known"] = [
        score(case, partial(methods.evenly, len(case.known) + 1), True) for case in cases
    ]
    for folder in archives:
        results[folder.name] = [score(case, partial(methods.archived, folder), True) for case in cases]
    return results


def _mean(rows: Iterable[Mapping[str, float]], measure: str) -> float:
    return float(np.mean([row[measure] for row in rows]))


def thinned(cases: list[Case], most: int = 16) -> list[Case]:
    """Up to about `most` of the cases, from all their sources."""
    return cases[:: max(len(cases) // most, 1)]


# --- report -----------------------------------------------------------------------------------------------


def report(group: str, cases: list[Case], results: dict[str, list[Row]]) -> tuple[str, dict]:
    """(Markdown of one group, the same as JSON values)."""
    turns = sum(len(case.turns) for case in cases)
    truth = np.mean([metrics.boundary_density(case.known, len(case.turns)) for case in cases])
    lines = [f"\n### {group}: {len(cases)} conversations, {turns:,} turns, true density {truth:.3f}\n"]
    lines += [
        "| method | Pk | WindowDiff | F1 (±1 turn) | density | purity | coverage | Pk minus never cutting | CPU s |"
    ]
    lines += ["|---|---|---|---|---|---|---|---|---|"]
    values = {"conversations": len(cases), "turns": turns, "density": float(truth), "methods": {}}
    uncut = results["never cut"]
    for name, rows in results.items():
        known = {measure: interval(row[measure] for row in rows) for measure in MEASURES}
        rest = {measure: _mean(rows, measure) for measure in ("density", "purity", "coverage")}
        gain = interval(row["Pk"] - other["Pk"] for row, other in zip(rows, uncut, strict=True))
        seconds = 1000 * sum(row["seconds"] for row in rows) / turns
        values["methods"][name] = {**known, **rest, "Pk minus never": gain, "seconds_per_1000_turns": seconds}
        cells = [_shown(estimate) for estimate in known.values()] + [f"{value:.3f}" for value in rest.values()]
        lines.append(f"| {name} | {' | '.join(cells)} | {_shown(gain, '+')} | {seconds:.2f} |")
    return "\n".join(lines), values


def by_source(cases: list[Case], results: dict[str, list[Row]]) -> str:
    """A table of Pk for each way in which conversations were made."""
    names = [OURS, HIDDEN, LIMITS, *list(results)[3:]]
    shown = [name.split(" (")[0] for name in names]
    lines = [f"| Pk on | conversations | {' | '.join(shown)} |", "|---|---|" + "---|" * len(names)]
    for source, number in Counter(case.source for case in cases).items():
        members = [i for i, case in enumerate(cases) if case.source == source]
        cells = [f"{_mean([results[name][i] for i in members], 'Pk'):.3f}" for name in names]
        lines.append(f"| {source} | {number} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _shown(estimate: tuple[float, float, float], sign: str = "") -> str:
    return "{:{s}.3f} [{:{s}.3f}, {:{s}.3f}]".format(*estimate, s=sign)


def write(cases: list[Case], folder: Path) -> None:
    """Each conversation as a file of JSON Lines; its name is the conversation's."""
    folder.mkdir(parents=True, exist_ok=True)
    for case in cases:
        talk = conversation(case)
        lines = [
            json.dumps({"role": turn.role, "content": talk.text[turn.content_start : turn.end - 1]}, ensure_ascii=False)
            for turn in talk.turns
        ]
        (folder / f"{talk.conversation_id}.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")


def main() -> None:
    """Prints Markdown."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    groups = list(dict.fromkeys(["authors", *(group for group, *_ in texts.KINDS.values())]))
    parser.add_argument("--part", choices=("test", "dev"), default="test", help="what is reported")
    parser.add_argument("--groups", nargs="*", choices=groups, default=groups, help="only these conversations")
    parser.add_argument("--json", type=Path, help="write all numbers to this file too")
    parser.add_argument("--write", type=Path, help="only write the conversations, one JSON Lines file each")
    parser.add_argument("--archives", type=Path, nargs="*", default=[], help="folders of archives to report as methods")
    arguments = parser.parse_args()

    def made(part: str, group: str) -> list[Case]:
        kinds = [kind for kind, (belongs, *_) in texts.KINDS.items() if belongs == group]
        return threads.cases(part) if group == "authors" else texts.cases(part, kinds)

    if arguments.write:
        for group in arguments.groups:
            write(made(arguments.part, group), arguments.write)
        return
    print(f"Changes of subject, part {arguments.part}: mean and 95% interval. Smaller Pk and WindowDiff are better;")
    print("CPU seconds are those of 1,000 turns.")
    numbers = {}
    methods.ours(True, conversation(threads.cases("dev")[0]))  # models and statistics are loaded before a clock starts
    for group in arguments.groups:
        cases = made(arguments.part, group)
        results = evaluate(cases, thinned(made("dev", group)), arguments.archives)
        markdown, numbers[group] = report(group, cases, results)
        print(f"{markdown}\n\n{by_source(cases, results)}", flush=True)
    if arguments.json:
        arguments.json.write_text(json.dumps(numbers, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
