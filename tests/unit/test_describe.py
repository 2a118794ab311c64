"""Descriptions by rules: a sentence that says what a passage is about, key phrases, and names that are names."""

import re

import pytest
from chat import conversation
from dreamflow.chunks.describe import describe
from dreamflow.chunks.names import entities
from dreamflow.chunks.phrases import MOST
from dreamflow.chunks.sentences import LONGEST, shortened, what_code_is
from dreamflow.chunks.units import split_units
from hypothesis import given, settings
from hypothesis import strategies as st

LONG_ANSWER = """Certainly! Happy to help.

Rye starters rise faster than wheat starters because rye flour has more sugars and enzymes. Feed it twice a day.

| flour | water |
|---|---|
| 50 g | 50 g |

```python
def feed(starter):
    return starter * 2
```

Let me know if you have any other questions!"""


def described(*said, each=None):
    """What is said of a conversation as one chunk, or of chunks of `each` turns."""
    talk = conversation(*said)
    units = split_units(talk)
    each = each or len(said)
    spans = []
    for first in range(0, len(said), each):
        numbers = [unit.number for unit in units if first < unit.turn <= first + each]
        spans.append((numbers[0], numbers[-1]))
    return describe(talk, units, spans)


@pytest.mark.parametrize(
    ("said", "summary"),
    [
        (
            [("user", "Hi!"), ("assistant", "Hello! How can I help?"), ("user", "How do I feed a rye starter?")],
            "How do I feed a rye starter?",
        ),
        ([("user", "Go on, please."), ("assistant", LONG_ANSWER)], "Rye starters rise faster"),
        ([("user", "## Rye\n\nhttps://rye.example/a?c=d\n\nRye bread keeps for a week.")], "Rye bread keeps"),
        ([("user", "你好！"), ("assistant", "你好！"), ("user", "怎样用黑麦粉养酵头？")], "怎样用黑麦粉"),
        ([("user", "こんにちは。"), ("assistant", "昆布だしは弱火でゆっくり温めて取ります。")], "昆布だしは"),
        ([("user", "ok")], "ok"),
        ([("user", "```python\n# Doubles the starter\nx = 2 * x\n```")], "Code (python): Doubles the starter"),
        ([("user", "| flour | water |\n|---|---|\n| rye | 50 g |")], "flour water"),
        ([("user", "- **Read** the [manual](http://a.example) of the `gs` tool first.")], "Read the manual of the gs"),
    ],
    ids=["greeting", "answer", "header and address", "zh", "ja", "one word", "code", "table", "Markdown"],
)  # fmt: skip
def test_the_summary_says_what_a_passage_is_about(said, summary):
    assert described(*said)[0]["summary"].startswith(summary)


def test_a_question_that_points_back_says_less_than_its_answer():
    said = (
        ("user", "And what about that one?"),
        ("assistant", "A railway pass pays off after six trips."),
    )
    assert described(*said)[0]["summary"] == said[1][1]


def test_long_sentences_end_at_a_clause():
    text = "One clause has some words, " * 20
    assert shortened("short") == "short"
    assert len(shortened(text)) <= LONGEST
    assert shortened(text).endswith("some words…")
    assert len(shortened("字" * 1000)) == LONGEST


def test_what_code_is():
    assert what_code_is("```js\nfunction load(a) {}\nclass Page {}\n```") == "Code (js): load, Page"
    assert what_code_is('```\ndef f():\n    """Loads the page."""\n```') == "Code: Loads the page."
    assert what_code_is("```sh\n#!/bin/sh\nls -l\n```") == "Code (sh): #!/bin/sh"


def test_labels_are_phrases_with_nouns_that_other_passages_lack():
    bread, train = described(
        ("user", "My sourdough bread is dense. Is the starter too weak for the dough?"),
        ("assistant", "Let the dough rise longer. A weak starter makes dense sourdough bread."),
        ("user", "Is a railway pass for Switzerland cheaper than a ticket?"),
        ("assistant", "A railway pass pays off after six trips, so buy the ticket for fewer trips."),
        each=2,
    )
    assert "sourdough bread" in bread["labels"]
    assert "railway pass" in train["labels"]
    for one in (bread, train):
        assert 1 <= len(one["labels"]) <= MOST
        assert not {"is", "rise", "pays", "cheaper", "longer", "makes", "buy", "fewer"} & set(one["labels"])


def test_labels_in_chinese_and_japanese_are_whole_words():
    graphics = described(
        ("user", "想买一张显卡，显卡的显存要多大？"), ("assistant", "显存至少十二吉字节，这张显卡的价格是三千元。")
    )[0]
    assert "显卡" in graphics["labels"]
    soup = described(
        ("user", "昆布だしの取り方は？"), ("assistant", "昆布だしにはミネラルウォーターを使います。昆布は弱火で。")
    )[0]
    assert {"ミネラルウォーター"} <= set(soup["labels"])
    assert all(re.fullmatch(r"[\u30a1-\u30ff\u3400-\u9fff]+", label) for label in soup["labels"])


def test_entities():
    assert entities("We met Ada Lovelace near the Tower of London. However, we liked Paris more. Good.") == (
        "Ada Lovelace", "Tower of London", "Paris",
    )  # fmt: skip
    assert entities("Call `df.groupby` or my_func, then load_all(), in 《红楼梦》 with Docker用PyTorch 2.") == (
        "df.groupby", "my_func", "load_all()", "红楼梦", "Docker", "PyTorch 2",
    )  # fmt: skip
    assert entities("```\nFoo.bar()\n```\nBread is good. Good bread. It takes 5 GB.") == ()
    assert (
        entities("I'm here in May. On Monday I'd go. WHAT IS THIS GUY. Honestly I'd stay. (Alternatively, go.)") == ()
    )
    assert entities("## How To Bake Bread\n\n**Cost Effective**: less. See https://Some.example/Path.") == ()
    assert entities("The Free Software Foundation and Debian GNU/Linux 12.") == (
        "Free Software Foundation",
        "Debian GNU/Linux 12",
    )
    assert entities("Ich mag das Brot und die Katze bei Anna Schmidt aus der NASA.", "de") == ("Anna Schmidt", "NASA")
    assert entities("田中さんとジョン・スミスは『雪国』を読んだ。") == ("田中", "ジョン・スミス", "雪国")


@settings(deadline=None, max_examples=30)
@given(st.text(max_size=300), st.sampled_from(["", "`", "|a|b|", "](", "**", "- ", "```\n", "。", "显卡"]))
def test_any_text_is_described(text, mark):
    (one,) = described(("user", mark + text + mark))
    assert len(one["summary"]) <= LONGEST
    assert len(one["labels"]) <= MOST
    assert all(1 < len(name) <= 40 for name in one["entities"])
