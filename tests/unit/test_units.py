"""Units partition a conversation; sentences, lists, code and languages are told apart."""

import pytest
from dreamflow.chunks.conversation import Conversation, Turn
from dreamflow.chunks.labels import label_turns
from dreamflow.chunks.units import LONGEST, language, split_units
from dreamflow.generation.tokens import estimate_tokens
from hypothesis import given, settings
from hypothesis import strategies as st


def conversation(*turns, header="user: "):
    text, made = "", []
    for number, words in enumerate(turns, 1):
        start = len(text)
        text += header + words
        made.append(Turn(number, "user", start, len(text), start + len(header)))
    return Conversation("c", text, tuple(made))


def check_partition(talk, units):
    """Every character is in one unit, no unit crosses a turn, and numbers follow one another."""
    assert [unit.number for unit in units] == list(range(1, len(units) + 1))
    place = 0
    for turn in talk.turns:
        for unit in (unit for unit in units if unit.turn == turn.number):
            assert unit.start == place
            assert unit.end > place
            place = unit.end
        assert place == turn.end
    assert place == len(talk.text)


def pieces(words, header=""):
    talk = conversation(words, header=header)
    units = split_units(talk)
    check_partition(talk, units)
    return [talk.text[unit.start : unit.end] for unit in units]


SENTENCES = {
    "English": ["Dr. Smith paid $3.5 for it. ", 'Why? ', "He said so, e.g. twice.  ", "See Fig. 3!"],
    "German": ["Am 3. Mai kam z.B. Herr Dr. Müller aus Köln zu uns. ", "Das war sehr schön."],
    "Chinese": ["你好。", "你在吗？", "他说：“我走了。你呢？”", "价格是3.5元！", "好的"],
    "Japanese": ["今日は。", "元気ですか？", "すごい！！", "ありがとう"],
    "Chinese among English": ["I said 你好。", "他走了。", "Then we left."],
    "lines that say something each": ["好的\n", "第二行\n", "third line\n", "fourth line"],
    "prose that was wrapped": [
        "This sentence goes on and on, until the line is full, and\nthen it goes on in the next line. ",
        "So does this.",
    ],
    "lists": ["Buy:\n", "- milk. ", "Two litres\n", "* bread\n", "1. An egg.\n", "2) Salt\n", "3、糖\n", "一、茶"],
    "headings and rows": ["# A. B\n", "Words\n", "| a | b |\n|---|---|\n", "| c | d |\n", "End."],
    "blank lines": ["One\n\n", "two\r\n \r\n", "three\n"],
    "what says nothing alone": ["Yes! 🎉\n---\n", "No?! :-)"],
    "nothing but signs": ["🎉🎉\n..."],
}  # fmt: skip


@pytest.mark.parametrize("expected", SENTENCES.values(), ids=SENTENCES)
def test_sentences(expected):
    assert pieces("".join(expected)) == expected


def test_header_goes_with_the_first_sentence_and_indentation_with_its_line():
    assert pieces(" \n\n One. \n\t Two. \n", header="user: ") == ["user:  \n\n One. \n", "\t Two. \n"]


def test_an_empty_turn_is_its_header():
    talk = conversation("", " \n", "Hi.")
    units = split_units(talk)
    check_partition(talk, units)
    assert [talk.text[unit.start : unit.end] for unit in units] == ["user: ", "user:  \n", "user: Hi."]
    assert [unit.turn for unit in units] == [1, 2, 3]
    assert split_units(Conversation("c", "", ())) == ()


def kinds(words):
    talk = conversation(words, header="")
    return [(unit.kind, talk.text[unit.start : unit.end]) for unit in split_units(talk)]


def test_code_is_a_unit_with_its_fences():
    block = "```py\nprint('One. Two.')\n\n# User: no\n~~~\n```\n"
    assert kinds(f"See. This:\n{block}\nDone.") == [
        ("sentence", "See. "),
        ("sentence", "This:\n"),
        ("code", block + "\n"),
        ("sentence", "Done."),
    ]
    assert kinds("~~~\na\n~~~~\nb") == [("code", "~~~\na\n~~~~\n"), ("sentence", "b")]
    assert kinds("````\n```\nx. Y\n```\n````") == [("code", "````\n```\nx. Y\n```\n````")]
    assert kinds("```\nnever closed. So\nall of it") == [("code", "```\nnever closed. So\nall of it")]
    assert [kind for kind, _ in kinds("```inline``` code. It is none.")] == ["sentence", "sentence"]


def test_long_code_is_divided_at_blank_lines():
    function = "def f(x):\n" + "    x = call(x, 'and more') + 1\n" * 3 + "\n\n"
    units = kinds("```\n" + function * 12 + "```\n")
    assert {kind for kind, _ in units} == {"code"}
    assert len(units) == 3
    assert all(words.endswith("\n\n\n") for _, words in units[:-1])
    assert all(estimate_tokens(words) <= LONGEST for _, words in units)


def test_long_code_without_blank_lines_is_divided_at_lines():
    units = kinds("```\n" + "x = call(x, 'and more') + 1\n" * 100 + "```\n")
    assert all(words.endswith("\n") for _, words in units)
    assert all(LONGEST * 0.4 < estimate_tokens(words) <= LONGEST for _, words in units)


def test_a_sentence_without_end_is_divided_between_clauses_or_words():
    words = pieces("so we went on, and " * 300)
    assert len(words) > 5
    assert all(piece.endswith(", ") for piece in words[:-1])
    assert all(LONGEST * 0.4 < estimate_tokens(piece) <= LONGEST * 1.3 for piece in words)
    assert all(piece.endswith(" ") for piece in pieces("word " * 2000))


@pytest.mark.parametrize(
    "character",
    [
        "a",
        "你",
        "e\u0301",
        "👍🏽",
        "👩\u200d🔬",
        "\r\n",
        ".",
        "-",
        "\u200d",
        "。",
        "x;",
        "`",
        "<",
        "\n",
        "\ud800",
        "\0",
    ],
)
def test_half_a_megabyte_in_one_turn(character):
    # No clock: what is not linear would need minutes here. Characters of several parts stay whole.
    size = 500_000 // len(character.encode("utf-8", "surrogatepass"))
    talk = conversation(character * size)
    units = split_units(talk)
    check_partition(talk, units)
    if character.strip() and character != "\u200d":
        assert all((unit.end - len("user: ")) % len(character) == 0 for unit in units)
        assert max(unit.tokens for unit in units) <= LONGEST * 1.3


def test_tokens_are_counted_with_the_tokenizer_at_hand():
    talk = conversation("One two. Three four five.\n", "word " * 500)
    units = split_units(talk, count=lambda text: len(text.split()))
    assert [unit.tokens for unit in units[:2]] == [3, 3]
    assert sum(unit.tokens for unit in units) == len(talk.text.split())
    assert max(unit.tokens for unit in units) <= LONGEST + 1  # the header


# --- languages

LANGUAGES = {
    "en": "I moved the seedlings outside last week, and now their leaves are turning yellow.",
    "de": "Ich habe meinen Mietvertrag gekündigt, aber der Vermieter ist nicht einverstanden.",
    "fr": "Je voudrais savoir comment préparer une bonne pâte à tarte sans beurre.",
    "es": "¿Cuánto tiempo necesito para aprender a tocar la guitarra si practico todos los días?",
    "it": "Vorrei sapere quale treno devo prendere per arrivare a Firenze prima di mezzogiorno.",
    "pt": "Você pode me explicar como funciona a declaração de imposto de renda?",
    "nl": "Ik wil graag weten hoe ik mijn fiets kan repareren zonder nieuw gereedschap te kopen.",
    "pl": "Chciałbym się dowiedzieć, jak zrobić dobry chleb na zakwasie w domu.",
    "ru": "Я хочу испечь хлеб на закваске, но тесто каждый раз получается слишком жидким.",
    "uk": "Я хочу спекти хліб на заквасці, але тісто щоразу виходить занадто рідким.",
    "ar": "أريد أن أعرف كيف يمكنني تعلم اللغة الإنجليزية بسرعة في المنزل",
    "zh": "我在用 Python 写一个爬虫，requests 库总是返回 403。",
    "ja": "サーバーのメモリ使用量が少しずつ増えていきます。",
    "ko": "요즘 잠을 잘 못 자는데 어떻게 하면 좋을까요?",
}


@pytest.mark.parametrize("code", LANGUAGES)
def test_language(code):
    assert language(LANGUAGES[code]) == code
    block = "```py\nfor the_item in the_list: print('this is the code of it and not the text')\n```\n"
    assert language(f"{block * 20}{LANGUAGES[code]} `the code of it`\n{block}") == code


@pytest.mark.parametrize("text", ["", "123 + 4", "ok", "🎉", "```\nthis is the code\n```", "\ud800"])
def test_language_that_nothing_tells(text):
    assert language(text) == "und"
    assert language(text, "de") == "de"


# --- any text

PARTS = (
    "User: ", "\nAssistant: ", "## User\n", "\n", "\r\n", "\n\n", " ", "\t", "```", "```py\n", "~~~\n", "- ", "1. ",
    "# ", "| a |", "Dr. ", "One. ", "two, ", "e.g. ", "你好。", "“他。", "今日は", "？", "🎉", "👩\u200d🔬", "e\u0301",
    "\x00", "\x85", "\u2028", "\ufeff", "\ud800", "…", "“", "(", "word" * 90, "。" * 60, "x = 1;\n" * 80,
)  # fmt: skip
TEXTS = st.text(alphabet=st.characters(codec=None, exclude_categories=())) | st.lists(
    st.sampled_from(PARTS), max_size=40
).map("".join)


@settings(deadline=None)
@given(TEXTS.filter(bool))
def test_units_partition_any_text(text):
    talk = Conversation("c", text, label_turns(text))
    units = split_units(talk)
    check_partition(talk, units)
    assert all(unit.tokens == estimate_tokens(text[unit.start : unit.end]) for unit in units)
    assert split_units(talk) == units


@settings(deadline=None)
@given(st.lists(TEXTS, min_size=1, max_size=5))
def test_units_partition_any_turns(turns):
    talk = conversation(*turns)
    check_partition(talk, split_units(talk))
