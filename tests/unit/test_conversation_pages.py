"""Pages on conversations: every word is on them once, facts, versions, and that no text of a chat gets through."""

import json
import re
from html.parser import HTMLParser

import pytest
from chat import chunk, conversation, model, talks
from dreamflow.chunks import talk_pages
from dreamflow.chunks.archive import build_archive, write_archive
from dreamflow.chunks.conversation import Conversation
from dreamflow.chunks.making import basic_archive
from dreamflow.chunks.pages import pages
from dreamflow.chunks.units import split_units
from dreamflow.files import pretty, write_atomic
from dreamflow.site.render import render
from hypothesis import given, settings

EVIL = (
    '<script>alert(1)</script> <img src=x onerror="alert(2)"> [a](javascript:alert(3)) ![b](http://spy.example/x.png)'
)
TALK = conversation(
    ("user", "I was billed **twice** by ACME.\nWhat now?"),
    ("assistant", "Run `refund`:\n\n```python\ndef refund(x):\n    return x\n```\n\n1. Wait.\n2. Done."),
    ("user", "顺便问一下，东京的天气怎么样？"),
    ("assistant", "东京今天下雨。"),
    times=["2026-02-13T08:00:00Z", "", "2026-02-13T08:05:00Z", "later"],
)
_SIGNS = re.compile(r"&#?\w+;|^\s*\d+[.)](?=\s|$)", re.M)  # of Markdown: an entity, the number of an item


class Words(HTMLParser):
    """The elements of a page, and the text in its turns."""

    def __init__(self, html):
        super().__init__()
        self.tags, self.attributes, self.links, self.ids = [], set(), [], []
        self.texts, self.spoken, self._open, self._inside = [], [], [], 0
        self.feed(html)
        self.text = " ".join("".join(self.texts).split())

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        self.tags.append(tag)
        self.attributes |= set(attrs)
        self.links += [attrs["href"]] if "href" in attrs else []
        self.ids += [attrs["id"]] if "id" in attrs else []
        if tag == "div":
            self._open.append("prose" in (attrs.get("class") or ""))
        if tag == "pre" and "data-language" in attrs:
            self.spoken.append(attrs["data-language"])

    def handle_endtag(self, tag):
        if tag == "div":
            self._open.pop()

    def handle_data(self, data):
        self.texts.append(data)
        if any(self._open):
            self.spoken.append(data)


def put(root, talk=TALK, archive=None):
    write_archive(root / "chunks" / talk.conversation_id, archive or basic_archive(talk, split_units(talk), [], None))


def build(root, *known):
    return {page.path: page for page in pages(root / "chunks", {t.conversation_id: t for t in known})}


def show(page):
    return Words(render(page.template, page.path, page.section, page.title, {**page.facts, "problems": ()}))


def path(name="talk", file="index.html"):
    return f"conversations/talk/{name}/{file}"


def letters(text):
    """The letters of a text, without white space and marks."""
    return "".join(re.findall(r"\w", text))


def said(talk):
    """The letters of all turns, as they are shown."""
    return letters(_SIGNS.sub("", "".join(talk.text[turn.content_start : turn.end] for turn in talk.turns)))


def test_an_empty_project_says_what_to_do(tmp_path):
    (page,) = build(tmp_path).values()
    assert "snakemake chunks" in show(page).text


def test_a_conversation_shows_its_words_speakers_times_and_code(tmp_path):
    put(tmp_path)
    page = build(tmp_path, TALK)[path()]
    seen = show(page)
    assert letters("".join(seen.spoken)) == said(TALK)
    assert {"strong", "code", "ol"} <= set(seen.tags)
    for words in ("user 2026-02-13 08:00 UTC", "assistant later", "2026-02-13 08:00 UTC to later", "basic"):
        assert words in seen.text
    assert [document.kind for document in page.documents] == ["chunk"] * len(page.facts["chunks"])
    assert {document.anchor for document in page.documents} <= set(seen.ids)
    assert "".join(d.text for d in page.documents).count("ACME") >= 1


@given(talks)
@settings(max_examples=40, deadline=None)
def test_every_word_is_on_the_page_once(tmp_path_factory, talk):
    root = tmp_path_factory.mktemp("talk")
    put(root, talk)
    spoken = "".join(show(build(root, talk)[path()]).spoken)
    assert letters(_SIGNS.sub("", spoken)) == said(talk)


def test_definitions_of_links_and_formulas_are_shown_as_they_are_written(tmp_path):
    talk = conversation(
        ("user", "[docs]: http://a.example 'read me'"), ("assistant", r"So \(a_1 * b_2\) and $x_1 * y_2 * z$.")
    )
    put(tmp_path, talk)
    spoken = "".join(show(build(tmp_path, talk)[path()]).spoken)
    for words in ("[docs]: http://a.example 'read me'", r"\(a_1 * b_2\)", "$x_1 * y_2 * z$"):
        assert words in spoken


def test_a_code_block_goes_on_in_the_next_chunk(tmp_path):
    code = "\n\n".join(f"def f{n}():\n    return '# {n} *a* <b>'" for n in range(40))
    talk = conversation(("user", "Code!"), ("assistant", f"Here:\n\n```python\n{code}\n```\n\nIt **ends** here."))
    units = split_units(talk)
    middle = len(units) // 2
    two = [chunk(1, middle, "one"), chunk(middle + 1, len(units), "two")]
    put(tmp_path, talk, build_archive(talk, units, two))
    seen = show(build(tmp_path, talk)[path()])
    assert seen.text.count("(continued)") == 1
    assert seen.tags.count("h3") == 0  # a line of code with # is no heading
    assert seen.tags.count("em") == 0
    assert "strong" in seen.tags
    assert letters("".join(seen.spoken)).replace("python", "") == letters(f"Code!Here:{code}It ends here.")


def test_a_long_conversation_has_several_pages(tmp_path, monkeypatch):
    monkeypatch.setattr(talk_pages, "LONGEST", 2000)
    turns = [("user" if n % 2 else "assistant", f"Turn {n}. " + "word " * 60 + "。") for n in range(60)]
    talk = conversation(*turns)
    units = split_units(talk)
    step = 10
    made = [chunk(n, min(n + step - 1, len(units)), f"part {n}") for n in range(1, len(units) + 1, step)]
    put(tmp_path, talk, build_archive(talk, units, made))
    built = build(tmp_path, talk)
    parts = [page for place, page in built.items() if "/talk/" in place]
    assert len(parts) > 3
    assert letters("".join("".join(show(page).spoken) for page in parts)) == letters("".join(text for _, text in turns))
    assert re.search(rf"chunks\s*{len(made)}\s*tokens", show(parts[0]).text)
    last = show(parts[-1])
    assert "part-2.html" in last.links
    for page in parts:  # search results find their chunk on the page that has it
        assert {document.anchor for document in page.documents} <= set(show(page).ids)
    contents = parts[0].facts["contents"]
    assert contents[-1][0].target == f"{parts[-1].path}#chunk-{len(made)}"


def test_versions_and_an_upgrade(tmp_path):
    put(tmp_path)
    units = split_units(TALK)
    better = [chunk(1, len(units), "billing", made_by=model("good"), confidence=0.8)]
    put(tmp_path, TALK, build_archive(TALK, units, better))
    summary = {"target": "good", "before": 1, "after": 2, "planned_at": "2026-03-01T00:00:00+00:00"}
    write_atomic(tmp_path / "chunks" / "talk" / "upgrade.json", pretty(summary))
    built = build(tmp_path, TALK)
    page = built[path()]
    assert [row[0] for row in page.facts["history"]] == [2, 1]
    text = show(page).text
    assert "to good, was planned 2026-03-01 00:00 UTC: version 1 became 2" in text
    assert "confidence 0.80" in text
    failed = {"generations": 2, "cost_usd": 0.125, "unknown_costs": 1}
    summary |= {"after": 1, "failed": failed, "reason": "too long"}
    write_atomic(tmp_path / "chunks" / "talk" / "upgrade.json", pretty(summary))
    text = show(build(tmp_path, TALK)[path()]).text
    assert (
        "it changed nothing. The answers for 2 parts could not be used (too long); they cost $0.1250 or more." in text
    )
    assert "m-good" in show(built["conversations/index.html"]).text


def test_without_its_source_the_archive_is_enough(tmp_path):
    put(tmp_path)
    changed = Conversation("talk", "other", TALK.turns[:1], "", "")
    seen = show(build(tmp_path, changed)[path()])
    assert "speakers are read from the archive" in seen.text
    assert letters("".join(seen.spoken)) == said(TALK)


def test_the_newest_conversation_is_first_and_neighbours_are_linked(tmp_path):
    names = {"old": "2024-01-01T00:00:00Z", "new": "2026-01-01T00:00:00Z", "never": None}
    known = [conversation(("user", f"About {name}."), name=name, times=[time]) for name, time in names.items()]
    for talk in known:
        put(tmp_path, talk)
    built = build(tmp_path, *known)
    rows = built["conversations/index.html"].facts["rows"]
    assert [row[0].target for row in rows] == [path("new"), path("old"), path("never")]
    assert {"../new/index.html", "../never/index.html"} <= set(show(built[path("old")]).links)


def test_a_broken_archive_is_named_and_the_others_are_shown(tmp_path):
    put(tmp_path)
    write_atomic(tmp_path / "chunks" / "torn" / "archive_v1.json", '{"b_chunks": [')
    write_atomic(tmp_path / "chunks" / "odd" / "archive_v1.json", json.dumps({"b_chunks": [], "metadata": {}}))
    write_atomic(tmp_path / "chunks" / "clusters.json", '{"clusters": [{}]}')
    built = build(tmp_path, TALK)
    text = show(built["conversations/index.html"]).text
    assert all(name in text for name in ("torn/archive_v1.json", "odd/archive_v1.json", "clusters.json"))
    assert path() in built


def test_clusters_link_to_their_chunks(tmp_path):
    put(tmp_path)
    found = {"a": "b_talk_0", "b": "b_gone_3", "what": "the sum", "resolved": ""}
    cluster = {"id": "c_1", "theme": EVIL, "content": "Bills.", "related_chunks": ["b_talk_0", "b_gone_3"]}
    cluster |= {"related_clusters": [], "conversations": ["talk"], "confidence": 0.5, "time_span": None}
    cluster |= {"contradictions": [found], "contradictions_resolved": []}
    write_atomic(tmp_path / "chunks" / "clusters.json", pretty({"clusters": [cluster]}))
    built = build(tmp_path, TALK)
    seen = show(built["conversations/clusters.html"])
    assert "talk/talk/index.html#chunk-1" in seen.links
    assert "b_gone_3" in seen.text
    assert "the sum" in seen.text
    assert "clusters.html" in show(built["conversations/index.html"]).links


@pytest.mark.parametrize("role", ["user", EVIL])
def test_hostile_chats_stay_texts(tmp_path, role):
    text = f"{EVIL}\n</script>\n\n```<b>\n</code></pre>{EVIL}\n```\n\n[x]: javascript:alert(4)\n\u202etxt.exe\x00\x1b"
    talk = conversation((role, text), ("user", "fine"))
    units = split_units(talk)
    about = {"summary": EVIL, "entities": (EVIL,), "language": '"><b'}
    evil = [chunk(1, len(units), EVIL, made_by=model() | {"model_id": EVIL}, **about)]
    talk = Conversation(talk.conversation_id, talk.text, talk.turns, title=EVIL, source=EVIL)
    put(tmp_path, talk, build_archive(talk, units, evil))
    for page in build(tmp_path, talk).values():
        html = render(page.template, page.path, page.section, page.title, {**page.facts, "problems": ()})
        seen = Words(html)
        assert seen.tags.count("script") <= 2  # those of the frame
        assert "img" not in seen.tags
        assert "onerror" not in seen.attributes
        assert not [link for link in seen.links if link.lower().startswith("javascript")]
        assert not re.search("[\x00\x1b\u202e]", html)
