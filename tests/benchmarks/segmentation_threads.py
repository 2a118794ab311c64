"""Conversations composed of the threads in threads/*.yaml, which this project's authors wrote.

They are concatenations of 3 to 6 threads, some on near subjects. Each time a thread is drawn, it is left after one of
its answers, so that it has from 4 turns (2 where they are long) to 9, and mostly from 100 to 400 tokens. The threads
are divided into a development and a test half. One hand wrote threads and rules, so that results on others' texts
(segmentation_texts.py) say more.
"""

import random
from pathlib import Path

import yaml
from dreamflow.generation.tokens import estimate_tokens
from segmentation_texts import Case

THREADS = Path(__file__).parent / "threads"
CONVERSATIONS = {"en": 14, "zh": 14, "ja": 10, "mixed": 12}  # in each half
HALVES = {"dev": "development", "test": "test"}


def cases(part: str) -> list[Case]:
    """The cases of "dev" or "test", always the same."""
    half = HALVES[part]
    pools = {
        path.stem: [thread for thread in yaml.safe_load(path.read_text(encoding="utf-8")) if thread["half"] == half]
        for path in sorted(THREADS.glob("*.yaml"))
    }
    made = []
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
            turns, known = [], []
            for thread in drawn:
                known.append(len(turns) + 1)
                turns += [next(iter(turn.items())) for turn in _left(thread["turns"], rng)]
            name = f"{half}-{language}-{i:02}"
            made.append(Case(name, f"threads {language}", "authors", language, part, tuple(turns), tuple(known[1:])))
    return made


def _left(turns: list[dict], rng: random.Random) -> list[dict]:
    """The turns of a thread up to one of its answers: its fourth turn or later, or where it has said enough."""
    ends = []
    for i in range(1, len(turns) + 1):
        said = sum(estimate_tokens(words) for turn in turns[:i] for words in turn.values())
        if "assistant" in turns[i - 1] and (i >= 4 or said >= 250) and said >= 100:
            ends.append(i)
    return turns[: rng.choice(ends or [len(turns)])]
