"""How well chunkers find where the topic of a conversation changes.

Run: python tests/benchmarks/chunking.py [--half development] [--json FILE] [--write FOLDER] [--archives FOLDER ...]

Conversations are concatenations of 3 to 6 of the threads in threads/*.yaml, which were written for this benchmark;
some are on near subjects. Each time a thread is drawn, it is left after one of its answers, so that it has from 4
turns (2 where they are long) to 9, and mostly from 100 to 400 tokens: the truth, which is where one thread ends and
the next begins, agrees with chunks of 100 to 800 tokens and cannot be had by counting. The threads are divided into
a development half, on which the constants of the rules, the N of every-N-turns, TextTiling's parameters and the
libraries' chunk sizes were chosen, and a test half, which is reported. All methods get the same conversations. A cut
inside a turn counts at that turn; inside the first one, as none.

Intervals are 95% bootstrap intervals over conversations. They answer "other conversations of such threads": as
conversations share threads, they are somewhat too narrow for "other threads". And one writer wrote the threads.

--write puts the conversations into a folder, as JSON Lines that the workflow can chunk; --archives then reads a
folder of archives (data/chunks), and reports it as a method of its own under the folder's name.
"""

import argparse
import json
import random
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cache, partial
from pathlib import Path

import numpy as np
import yaml

sys.path.insert(0, str(Path(__file__).parents[2] / "scripts"))
sys.path.insert(0, str(Path(__file__).parents[1]))

import boundary_metrics as metrics
import chonkie
import nltk
import semchunk
from dreamflow.chunks.conversation import Conversation, Turn
from dreamflow.chunks.rules import chunk_by_rules
from dreamflow.chunks.terms import STOP_WORDS, words
from dreamflow.chunks.units import split_units
from dreamflow.generation.tokens import estimate_tokens

THREADS = Path(__file__).parent / "threads"
CONVERSATIONS = {"en": 14, "zh": 14, "ja": 10, "mixed": 12}  # in each half
RESAMPLES = 4000
SMALLER_IS_BETTER = {"Pk": True, "WindowDiff": True, "F1": False}

Span = tuple[int, int]  # characters


@dataclass(frozen=True)
class Case:
    """A conversation and the numbers of the turns at which a new thread begins."""

    conversation: Conversation
    language: str
    known: tuple[int, ...]


@dataclass(frozen=True)
class Answer:
    """The chunks of one conversation (characters of its text), and what they cost."""

    spans: list[Span]
    seconds: float
    tokens: int = 0


# --- conversations ----------------------------------------------------------------------------------------


def compose(half: str) -> list[Case]:
    """The conversations of the half "development" or "test", always the same."""
    pools = {
        path.stem: [thread for thread in yaml.safe_load(path.read_text(encoding="utf-8")) if thread["half"] == half]
        for path in sorted(THREADS.glob("*.yaml"))
    }
    cases = []
    for language, number in CONVERSATIONS.items():
        rng = random.Random(f"{half} {language}")
        deck: list[dict] = []
        for i in range(1, number + 1):
            size = rng.randint(3, 6)
            if language == "mixed":  # two or more that change the language themselves, the others in either language
                others = rng.sample(pools["en"] + pools["zh"], size - min(size - 1, 3))
                drawn = rng.sample(pools["mixed"], min(size - 1, 3)) + others
                rng.shuffle(drawn)
            else:
                drawn = []
                while len(drawn) < size:  # every thread is drawn as often as any other
                    deck = deck or rng.sample(pools[language], len(pools[language]))
                    thread = next((thread for thread in deck if thread not in drawn), None)
                    if thread is None:
                        deck = []
                    else:
                        deck.remove(thread)
                        drawn.append(thread)
            cut = [_left(thread["turns"], rng) for thread in drawn]
            cases.append(_case(f"{half}-{language}-{i:02}", language, cut))
    return cases


def _left(turns: list[dict], rng: random.Random) -> list[dict]:
    """The turns of a thread up to one of its answers: its fourth turn or later, or where it has said enough."""
    ends = []
    for i in range(1, len(turns) + 1):
        said = sum(estimate_tokens(words) for turn in turns[:i] for words in turn.values())
        if "assistant" in turns[i - 1] and (i >= 4 or said >= 250) and said >= 100:
            ends.append(i)
    return turns[: rng.choice(ends or [len(turns)])]


def _case(name: str, language: str, threads: Iterable[list[dict]]) -> Case:
    text, turns, known = "", [], []
    for thread in threads:
        known.append(len(turns) + 1)
        for turn in thread:
            ((role, said),) = turn.items()
            start, header = len(text), f"{role}: "
            text += f"{header}{said}\n"
            turns.append(Turn(len(turns) + 1, role, start, len(text), start + len(header)))
    return Case(Conversation(name, text, tuple(turns)), language, tuple(known[1:]))


# --- methods: a conversation in, the spans of its chunks out ------------------------------------------------


def _at_turns(conversation: Conversation, boundaries: Iterable[int]) -> list[Span]:
    starts = [1, *sorted(set(boundaries) - {1})]
    ends = [*starts[1:], len(conversation.turns) + 1]
    turns = conversation.turns
    return [(turns[a - 1].start, turns[b - 2].end) for a, b in zip(starts, ends, strict=True)]


def every(n: int, conversation: Conversation) -> list[Span]:
    """A chunk of `n` turns after another."""
    return _at_turns(conversation, range(n + 1, len(conversation.turns) + 1, n))


def every_user_turn(conversation: Conversation) -> list[Span]:
    """Each question with its answer."""
    return _at_turns(conversation, [turn.number for turn in conversation.turns if turn.role == "user"])


def rules(conversation: Conversation) -> list[Span]:
    """The rule-based tier: splitting into units is part of its time."""
    units = split_units(conversation)
    chunks = chunk_by_rules(conversation, units, 1, len(units))
    return [(units[chunk.first - 1].start, units[chunk.last - 1].end) for chunk in chunks]


def rules_without_roles(conversation: Conversation) -> list[Span]:
    """The same where nothing says who speaks: how far the words alone lead, with constants chosen for more."""
    turns = tuple(replace(turn, role="text") for turn in conversation.turns)
    return rules(replace(conversation, turns=turns))


def text_tiling(w: int, k: int, user_turns: bool, conversation: Conversation) -> list[Span]:
    """TextTiling as nltk has it, each turn a paragraph.

    It knows only the letters a-z. So for texts in other scripts it is given the terms that the rules count, spelled
    in letters. With `user_turns` its cuts are moved to the nearest turn of a user, which is more than it can know.
    """
    turns, text = conversation.turns, conversation.text
    said = [text[turn.content_start : turn.end].strip() for turn in turns]
    if sum(map(str.isascii, text)) < 0.98 * len(text):
        said = [" ".join(_letters(term) for term, _ in words(part)) for part in said]
    paragraphs, starts = "", []
    for part in said:
        starts.append(len(paragraphs))
        paragraphs += "\n".join(line for line in part.splitlines() if line.strip()) + "\n\n"
    try:
        tiles = nltk.TextTilingTokenizer(w=w, k=k, stopwords=STOP_WORDS).tokenize(paragraphs)
    except (ValueError, IndexError):  # too little text for such blocks
        return [(0, len(text))]
    found, place = [], 0
    for tile in tiles[:-1]:
        place += len(tile)  # the end of a paragraph; its blank line is part of the next tile
        found.append(min(range(len(turns)), key=lambda i: abs(starts[i] - place)) + 1)
    if user_turns:
        asked = [turn.number for turn in turns if turn.role == "user"]
        found = [min(asked, key=lambda number: (abs(number - cut), number)) for cut in found]
    return _at_turns(conversation, found)


def _letters(term: str) -> str:
    return "".join(c if "a" <= c <= "z" else "".join(chr(97 + int(digit)) for digit in str(ord(c))) for c in term)


def by_semchunk(size: int, conversation: Conversation) -> list[Span]:
    """semchunk, a splitter at the deepest separator that fits."""
    _, offsets = semchunk.chunk(conversation.text, size, estimate_tokens, offsets=True)
    return offsets


def by_chonkie(chunker: str, size: int, conversation: Conversation) -> list[Span]:
    """chonkie's recursive or sentence chunker; its semantic ones need a downloaded network."""
    return [(c.start_index, c.end_index) for c in _chonkie(chunker, size)(conversation.text)]


@cache
def _chonkie(chunker: str, size: int) -> chonkie.BaseChunker:
    delimiters = [". ", "! ", "? ", "\n", "。", "！", "？"]
    if chunker == "sentence":
        return chonkie.SentenceChunker(estimate_tokens, chunk_size=size, delim=delimiters)
    return chonkie.RecursiveChunker(estimate_tokens, chunk_size=size)


def measured(method: Callable[[Conversation], list[Span]], conversation: Conversation) -> Answer:
    """What a method answers, and its time."""
    started = time.perf_counter()
    spans = method(conversation)
    return Answer(spans, time.perf_counter() - started)


def archived(folder: Path, conversation: Conversation) -> Answer:
    """The newest archive of a conversation, made by the workflow from what --write wrote."""
    home = folder / conversation.conversation_id
    if not (home / "manifest.json").exists():
        raise SystemExit(f"{home}: no manifest.json; chunk what --write wrote for this half, and name its data/chunks")
    version = json.loads((home / "manifest.json").read_text(encoding="utf-8"))["latest_version"]
    chunks = json.loads((home / f"archive_v{version}.json").read_text(encoding="utf-8"))["b_chunks"]
    spans = [tuple(chunk["char_range"]) for chunk in chunks]
    if any(conversation.text[start:end] != chunk["content"] for (start, end), chunk in zip(spans, chunks, strict=True)):
        raise SystemExit(f"{home}: made from another conversation than the benchmark's; run --write and chunk again")
    milliseconds = sum(chunk.get("processing_time_ms") or 0 for chunk in chunks)
    return Answer(spans, milliseconds / 1000, sum(chunk.get("tokens_used") or 0 for chunk in chunks))


def choices() -> dict[str, list[Callable[[Conversation], list[Span]]]]:
    """For each method the settings among which the development half chooses."""
    sizes = (100, 150, 200, 250, 300, 400, 500, 650, 800)
    grid = [(w, k) for w in (5, 10, 20) for k in (3, 6, 10)]
    return {
        "rules (ours)": [rules],
        "rules (ours), roles hidden": [rules_without_roles],
        "every turn": [partial(every, 1)],
        "every user turn": [every_user_turn],
        "every N turns": [partial(every, n) for n in range(2, 21)],
        "TextTiling, defaults": [partial(text_tiling, 20, 10, False)],
        "TextTiling": [partial(text_tiling, w, k, False) for w, k in grid],
        "TextTiling at user turns": [partial(text_tiling, w, k, True) for w, k in grid],
        "semchunk": [partial(by_semchunk, size) for size in sizes],
        "chonkie recursive": [partial(by_chonkie, "recursive", size) for size in sizes],
        "chonkie sentence": [partial(by_chonkie, "sentence", size) for size in sizes],
    }


# --- scores -----------------------------------------------------------------------------------------------


def score(case: Case, answer: Answer) -> dict[str, float]:
    """All measures of one answer."""
    turns = case.conversation.turns
    starts = {start for start, _ in answer.spans}
    found = {turn.number for turn in turns if any(turn.start <= start < turn.end for start in starts)} - {1}
    return {
        "Pk": metrics.pk(case.known, found, len(turns)),
        "WindowDiff": metrics.window_diff(case.known, found, len(turns)),
        "F1": metrics.boundary_f1(case.known, found, len(turns), tolerance=1)[2],
        "F1 exact": metrics.boundary_f1(case.known, found, len(turns), tolerance=0)[2],
        "density": metrics.boundary_density(found, len(turns)),
        "coverage": metrics.coverage(answer.spans, len(case.conversation.text)),
        "seconds": answer.seconds,
        "tokens": answer.tokens,
        "turns": len(turns),
    }


def scores(cases: list[Case], method: Callable[[Conversation], Answer]) -> list[dict[str, float]]:
    """One row of measures for each conversation."""
    return [score(case, method(case.conversation)) for case in cases]


def mean(rows: Iterable[Mapping[str, float]], measure: str) -> float:
    """Mean of a measure over conversations."""
    return float(np.mean([row[measure] for row in rows]))


def interval(values: Iterable[float]) -> tuple[float, float, float]:
    """Mean and 95% bootstrap interval (percentiles) of one value for each conversation."""
    values = np.array(list(values))
    drawn = np.random.default_rng(0).integers(len(values), size=(RESAMPLES, len(values)))
    low, high = np.percentile(values[drawn].mean(axis=1), [2.5, 97.5])
    return float(values.mean()), float(low), float(high)


def evaluate(half: str, archives: Iterable[Path]) -> dict[str, list[dict[str, float]]]:
    """Method -> a row of measures for each conversation of `half`; settings come from the development half."""
    development, cases = compose("development"), compose(half)
    from_archives = {folder.name: scores(cases, partial(archived, folder)) for folder in archives}
    results = {}
    rules(development[0].conversation)  # the language statistics are loaded once, before any clock starts
    for name, settings in choices().items():
        method = settings[0]
        if len(settings) > 1:
            tried = [scores(development, partial(measured, setting)) for setting in settings]
            method = settings[min(range(len(settings)), key=lambda i: mean(tried[i], "WindowDiff"))]
            chosen = ", ".join(str(value) for value in method.args if type(value) is int)
            name = name.replace(" N ", f" {chosen} ") if " N " in name else f"{name} ({chosen})"
        results[name] = scores(cases, partial(measured, method))
    groups = {language: [i for i, case in enumerate(cases) if case.language == language] for language in CONVERSATIONS}
    every_n = [scores(cases, partial(measured, partial(every, n))) for n in range(1, 21)]
    results["every N turns, best N in hindsight"] = _best_in_hindsight(every_n, groups.values())
    return results | from_archives


def _best_in_hindsight(tried: list[list[dict]], groups: Iterable[list[int]]) -> list[dict[str, float]]:
    """For each language and each measure the N that would have been best, which nobody can know."""
    rows = [dict(row) for row in tried[0]]
    for members in groups:
        for measure in rows[0]:
            sign = 1 if SMALLER_IS_BETTER.get(measure, measure != "F1 exact") else -1
            best = min(tried, key=lambda rows: sign * mean([rows[i] for i in members], measure))
            for i in members:
                rows[i][measure] = best[i][measure]
    return rows


# --- report -----------------------------------------------------------------------------------------------


def report(cases: list[Case], results: dict[str, list[dict]]) -> tuple[str, dict]:
    """(Markdown, the same as JSON values)."""
    groups = {"all": list(range(len(cases)))}
    groups |= {name: [i for i, case in enumerate(cases) if case.language == name] for name in CONVERSATIONS}
    ours = next(iter(results))
    lines, values = [], {}
    for group, members in groups.items():
        turns = sum(len(cases[i].conversation.turns) for i in members)
        lines += [f"\n### {group}: {len(members)} conversations, {turns} turns\n"]
        lines += [
            "| method | Pk | WindowDiff | F1 (±1 turn) | F1 (exact) | density | coverage | s / 1,000 turns | tokens |"
        ]
        lines += ["|---|---|---|---|---|---|---|---|---|"]
        values[group] = {"conversations": len(members), "turns": turns, "methods": {}, "differences": {}}
        for name, rows in results.items():
            rows = [rows[i] for i in members]
            known = {m: interval(row[m] for row in rows) for m in ("Pk", "WindowDiff", "F1", "F1 exact")}
            seconds = 1000 * sum(row["seconds"] for row in rows) / turns
            rest = {m: mean(rows, m) for m in ("density", "coverage")}
            tokens = 1000 * sum(row["tokens"] for row in rows) / turns
            values[group]["methods"][name] = {
                **known, **rest, "seconds_per_1000_turns": seconds, "tokens_per_1000_turns": tokens
            }  # fmt: skip
            cells = [_shown(known[m]) for m in known] + [f"{rest['density']:.3f}", f"{rest['coverage']:.3f}"]
            lines.append(f"| {name} | {' | '.join(cells)} | {seconds:.2f} | {tokens:.0f} |")
        truth = np.mean([len(cases[i].known) / (len(cases[i].conversation.turns) - 1) for i in members])
        lines += [f"\nThe true density is {truth:.3f}. Paired difference, {ours} minus …:\n"]
        lines += ["| … | Pk | WindowDiff | F1 (±1 turn) |", "|---|---|---|---|"]
        for name, rows in list(results.items())[1:]:
            paired = {m: interval(results[ours][i][m] - rows[i][m] for i in members) for m in SMALLER_IS_BETTER}
            values[group]["differences"][name] = paired
            lines.append(f"| {name} | {' | '.join(_shown(paired[m], '+') for m in paired)} |")
    return "\n".join(lines), values


def _shown(estimate: tuple[float, float, float], sign: str = "") -> str:
    return "{:{s}.3f} [{:{s}.3f}, {:{s}.3f}]".format(*estimate, s=sign)


def write(cases: list[Case], folder: Path) -> None:
    """Each conversation as a file of JSON Lines; its name is the conversation's."""
    folder.mkdir(parents=True, exist_ok=True)
    for case in cases:
        conversation = case.conversation
        lines = [
            json.dumps(
                {"role": turn.role, "content": conversation.text[turn.content_start : turn.end - 1]}, ensure_ascii=False
            )
            for turn in conversation.turns
        ]
        path = folder / f"{conversation.conversation_id}.jsonl"
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--half", choices=("test", "development"), default="test", help="what is reported")
    parser.add_argument("--json", type=Path, help="write all numbers to this file too")
    parser.add_argument("--write", type=Path, help="only write the conversations, one JSON Lines file each")
    parser.add_argument("--archives", type=Path, nargs="*", default=[], help="folders of archives to report as methods")
    arguments = parser.parse_args()
    conversations = compose(arguments.half)
    if arguments.write:
        write(conversations, arguments.write)
        sys.exit()
    markdown, numbers = report(conversations, evaluate(arguments.half, arguments.archives))
    print(f"Boundaries of topics, {arguments.half} half, mean and 95% interval. Smaller Pk and WindowDiff are better.")
    print(markdown)
    if arguments.json:
        arguments.json.write_text(json.dumps(numbers, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
