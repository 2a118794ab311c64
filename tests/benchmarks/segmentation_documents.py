"""Sections of documentation in English, Chinese and Japanese as topics, from packages of Debian.

A work belongs to one part in all its languages, so that no translation of a test text is trained on.
"""

import gzip
import re
from functools import cache
from html.parser import HTMLParser
from pathlib import Path

from segmentation_fetch import Topic, files

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
        for path in files(languages[language][0], f"usr/{languages[language][1]}"):
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
