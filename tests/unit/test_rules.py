"""Chunks without a model server: a partition of the right sizes whatever the text, cut where the subject changes."""

import pytest
from dreamflow.chunks.conversation import Conversation, Turn
from dreamflow.chunks.rules import chunk_by_rules
from dreamflow.chunks.terms import terms
from dreamflow.chunks.units import split_units
from hypothesis import example, given, settings
from hypothesis import strategies as st

BREAD = [
    ("user", "My sourdough bread is flat and dense, although the starter doubles in six hours. What goes wrong?"),
    ("assistant", "The dough needs a longer rise. Let the dough grow by half in a warm place before you shape the "
     "bread, and bake the bread in a hot pot with a lid, so that steam keeps the crust soft and the dough can rise."),
    ("user", "And how warm?"),
    ("assistant", "About 25 degrees. A colder dough only needs more hours; the starter sets the pace of the dough, and "
     "the bread tastes better for it."),
]  # fmt: skip
TRAINS = [
    ("user", "Is a railway pass for Switzerland cheaper than single tickets if I travel from Zurich to Geneva twice?"),
    ("assistant", "Two journeys from Zurich to Geneva cost about 180 francs at full price. A Half Fare Card for a "
     "month costs 120 francs and halves every ticket, so the railway pass pays only for more journeys by train."),
    ("user", "Does it cover boats?"),
    ("assistant", "Yes, boats on the lakes and most buses too; mountain railways give a discount on the ticket, and "
     "a seat in the train need not be reserved."),
]  # fmt: skip
GRAPHICS_CARD = [
    ("user", "想买一张显卡玩游戏,偶尔用 Stable Diffusion 画图,预算三千元,应该看哪些型号?"),
    ("assistant", "先看显存。画图至少要十二吉字节的显存,玩游戏则看显卡的核心和带宽。三千元可以买 RTX 4060 Ti,"
     "显存有十六吉字节的版本,显卡功耗一百六十五瓦,五百瓦的电源就够,机箱里留出两个槽位的空间。"),
    ("user", "那二手显卡呢?"),
    ("assistant", "二手显卡多半挖过矿,显存长期高温,又没有保修,坏了修不划算。要买就当面测试显存温度,跑半小时的"
     "压力测试,看有没有花屏,再查序列号还在不在保修期里。"),
]  # fmt: skip
ENGLISH_EXAM = [
    ("user", "考研英语阅读总是错一半,离考试还有七个月,单词只有四千个,我应该怎样安排每天的复习?"),
    ("assistant", "前两个月每天背八十个单词,同时拆解长难句;第三个月开始做真题阅读。每篇阅读做完都要复盘,"
     "在原文里找到每道题的依据,写下错误选项错在哪里,不认识的单词记进自己的单词本。"),
    ("user", "那作文呢?"),
    ("assistant", "作文从十月开始,每周写两篇,背句型而不背整篇范文,写完对照范文修改,大作文图画和图表各练一半,"
     "考试之前再按时间完整模拟三次,检查单词拼写和时态。"),
]  # fmt: skip


def conversation(said, times=None):
    text, turns = "", []
    for i, (role, words) in enumerate(said):
        start = len(text)
        text += f"{role}: {words}\n"
        time = times[i] if times else None
        turns.append(Turn(len(turns) + 1, role, start, len(text), start + len(role) + 2, time))
    return Conversation("test", text, tuple(turns))


def chunks_of(said, times=None, **limits):
    """(conversation, units, chunks, the turns at which chunks begin)."""
    talk = conversation(said, times)
    units = split_units(talk)
    chunks = chunk_by_rules(talk, units, 1, len(units), **limits)
    return talk, units, chunks, [units[chunk.first - 1].turn for chunk in chunks]


def text_of(talk, units, chunk):
    return talk.text[units[chunk.first - 1].start : units[chunk.last - 1].end]


@pytest.mark.parametrize(
    "said",
    [BREAD + TRAINS, TRAINS + BREAD, GRAPHICS_CARD + ENGLISH_EXAM, BREAD + GRAPHICS_CARD],
    ids=["bread, trains", "trains, bread", "Chinese", "both languages"],
)
def test_cuts_where_the_topic_changes(said):
    _, _, chunks, starts = chunks_of(said)
    assert starts == [1, 5]
    assert all(0.5 < chunk.confidence <= 1 for chunk in chunks)
    assert all(chunk.made_by == {"method": "rules", "quality_level": "basic"} for chunk in chunks)


def test_a_question_stays_with_its_answer():
    # By its words the second question belongs to what comes before, and its answer to what follows.
    said = [*BREAD[:2], ("user", "And my bread?"), *TRAINS[1:]]
    assert 4 not in chunks_of(said)[3]


# After BREAD comes a question that goes on; what is said with it, or when, makes a new subject of it.
GOES_ON = ("user", "How does the dough rise without the starter, and is bread with yeast in the dough as good as this?")
ANSWER = BREAD[1]


@pytest.mark.parametrize("cue", ["Unrelated: ", "Another question: ", "Thanks! On a different note, ", "换个话题。"])
def test_words_that_announce_a_new_subject(cue):
    assert chunks_of([*BREAD, GOES_ON, ANSWER, *BREAD[2:]])[3] == [1]
    assert chunks_of([*BREAD, ("user", cue + GOES_ON[1]), ANSWER, *BREAD[2:]])[3] == [1, 5]
    said = ("user", f"Is this dough a different subject? {cue}")
    assert chunks_of([*BREAD, said, ANSWER, *BREAD[2:]])[3] == [1]


def test_a_long_pause_changes_the_subject():
    said = [*BREAD, GOES_ON, ANSWER, *BREAD[2:]]
    soon = [f"2026-03-01T10:{minute:02}:00+00:00" for minute in range(8)]
    assert chunks_of(said, soon)[3] == [1]
    assert chunks_of(said, soon[:4] + [f"2026-03-09T10:{minute:02}:00+00:00" for minute in range(4)])[3] == [1, 5]
    odd = ["yesterday", "2026-03-01", "2026-03-01T10:00:00+00:00", "", None, "later", "x", "y"]
    assert chunks_of(said, odd)[3] == [1]


def test_confidence_falls_where_another_cut_would_do_as_well():
    clear = chunks_of(BREAD + TRAINS)[2]
    # Nothing in one speech without topics says where to cut it; only its size does.
    vague = chunks_of([("user", "Well, so it goes, and there it is, you see. " * 150)])[2]
    assert len(vague) > 1
    assert max(chunk.confidence for chunk in vague) < min(chunk.confidence for chunk in clear)
    assert chunks_of(BREAD[:1])[2][0].confidence == 1  # nothing else is possible


def test_texts_without_users():
    said = [({"user": "Ann", "assistant": "Bo"}[role], words) for role, words in BREAD * 2 + TRAINS * 2]
    assert 9 in chunks_of(said)[3]
    document = "\n\n".join(words for _, words in BREAD * 3 + TRAINS * 3)
    talk, units, chunks, _ = chunks_of([("text", document)], max_tokens=400)
    border = talk.text.index(TRAINS[0][1])
    assert border in [units[chunk.first - 1].start for chunk in chunks]


def test_a_part_of_a_conversation():
    talk = conversation(BREAD + TRAINS)
    units = split_units(talk)
    chunks = chunk_by_rules(talk, units, 4, len(units) - 2)
    assert (chunks[0].first, chunks[-1].last) == (4, len(units) - 2)
    assert chunk_by_rules(talk, units, 4, 3) == []


WORDS = st.sampled_from(
    ["bread ", "dough. ", "Zurich ", "train? ", "ok", "by the way ", "\n\n", "# ", "- ", "```\n", "x = f(1)\n",
     "显卡", "单词,", "怎么办?", "ところで", "昆布だし。", "カレー", "😀", "\r\n", "user: ", " ", "\t", "<b>",
     '"', "「名」", "\x00", "é", "Ø"]
)  # fmt: skip
TURNS = st.lists(
    st.tuples(
        st.sampled_from(["user", "assistant", "system", "Ann", "text"]),
        st.one_of(st.text(max_size=60), st.lists(WORDS, max_size=250).map("".join)),
    ),
    min_size=1,
    max_size=12,
)


@settings(deadline=None, max_examples=150)
@given(said=TURNS, limits=st.sampled_from([(100, 800), (20, 120), (1, 30), (50, 60)]))
@example(said=[("user", "a" * 30_000)], limits=(100, 800))
@example(said=[("user", "")] * 300, limits=(100, 800))
@example(said=[("assistant", "ok. " * 5000)], limits=(100, 800))
def test_any_text_is_partitioned_into_chunks_of_the_right_size(said, limits):
    least, most = limits
    talk, units, chunks, _ = chunks_of(said, min_tokens=least, max_tokens=most)
    assert [(chunk.first, chunk.last) for chunk in chunks] == list(
        zip([1, *(chunk.last + 1 for chunk in chunks[:-1])], [chunk.last for chunk in chunks], strict=True)
    )
    assert chunks[-1].last == len(units)
    assert all(chunk.first <= chunk.last for chunk in chunks)
    assert "".join(text_of(talk, units, chunk) for chunk in chunks) == talk.text
    sizes = [sum(unit.tokens for unit in units[chunk.first - 1 : chunk.last]) for chunk in chunks]
    assert all(size <= most or chunk.first == chunk.last for size, chunk in zip(sizes, chunks, strict=True))
    largest = max(unit.tokens for unit in units)
    if 3 * largest <= most - 2 * least:  # else a large unit can leave its neighbours no room
        assert all(size >= least for size in sizes) or len(chunks) == 1
    for chunk in chunks:
        assert 0 <= chunk.confidence <= 1
        assert len(chunk.labels) <= 4 and len(chunk.entities) <= 12
        assert len(chunk.summary) <= 300
    assert chunks == chunk_by_rules(talk, units, 1, len(units), least, most)


# --- terms --------------------------------------------------------------------------------------


def test_terms():
    assert terms("The cups, a CUP; baking, baked, it's 12 and 2026.") == {"cup": 2, "bak": 2, "2026": 1}
    assert terms("显卡的显存") == {"显卡": 1, "显存": 1}
    assert terms("茶とカレーを作る") == {"茶": 1, "カレー": 1, "作": 1}
    assert terms("user_name = 用Docker部署") == {"user": 1, "name": 1, "docker": 1, "部署": 1}
    assert terms(" ,,。\x00 と の 的") == {}
