"""Which lines of a text begin a turn, and which only look like it."""

import pytest
from dreamflow.chunks.labels import label_turns
from hypothesis import given, settings
from hypothesis import strategies as st


def said(text):
    turns = label_turns(text)
    assert [turn.start for turn in turns] == [0, *(turn.end for turn in turns[:-1])]
    assert turns[-1].end == len(text)
    return [(turn.role, text[turn.content_start : turn.end].strip()) for turn in turns]


PAIR = [("user", "one"), ("assistant", "two"), ("user", "three"), ("assistant", "four")]

# How exporters and people write the two sides: (user, assistant), each before words on the same line or the next.
FORMS = {
    "times in headings": ("## User (2026-01-02 10:00)\n", "## Assistant (2026-01-02 10:01)\n"),
    "numbers in headings": ("### {n}. User\n", "### {n}. Assistant\n"),
    "turns in headings": ("## Turn {n}: User\n", "## Turn {n}: Assistant\n"),
    "prompt and response": ("## Prompt:\n", "## Response:\n"),
    "questions": ("## Q:\n", "## A:\n"),
    "numbered questions": ("**Q{n}:** ", "**A{n}:** "),
    "questions in full": ("### Question\n", "### Answer\n"),
    "lists": ("- **User:** ", "- **Assistant:** "),
    "stars": ("* **User**: ", "* **ChatGPT**: "),
    "callouts": ("> [!question] User\n", "> [!note]+ ChatGPT\n"),
    "callouts of a plugin": (
        "> [!nexus_user]\n> **User** - 2024-01-15 14:30:22\n>\n",
        "> [!nexus_agent]\n> **Assistant**\n",
    ),
    "as a page says": ("**You said:**\n", "**ChatGPT said:**\n"),
    "as a page says, in headings of two levels": ("##### You said:\n", "###### ChatGPT said:\n"),
    "as a French page says": ("Vous avez dit :\n", "ChatGPT a dit :\n"),
    "as a German page says": ("##### Du hast gesagt:\n", "###### ChatGPT:\n"),
    "as a Chinese app says": ("## 来自你的消息:\n", "## 来自 ChatGPT 的消息:\n"),
    "italics": ("_User_\n\n", "_Assistant_\n\n"),
    "bold italics": ("_**User (2025-09-15 12:35Z)**_\n\n", "_**Agent (model gpt-5.2, mode Agent)**_\n\n"),
    "pictures": ("## 👤 User\n", "## 🤖 Assistant\n"),
    "pictures before bold names": ("👤 **You**\n", "🤖 **Gemini**\n"),
    "pictures after names": ("**User** 👤:\n", "**DeepSeek** 🤖:\n"),
    "rules between": ("---\n\n**User**\n\n", "---\n\n**Cursor**\n\n"),
    "bold in headings": ("### **You**\n", "### **Claude 3.5 Sonnet**\n"),
    "times after": ("**User** (10:00): ", "**GPT-4o mini** (10:01): "),
    "times before": ("[10:00] User: ", "[10:01] AI: "),
    "a time below": ("## Prompt:\n1/2/2026, 10:00:00 AM\n\n", "## Response:\n1/2/2026, 10:00:09 AM\n\n"),
    "a time in a tag": ('#### You:\n<time datetime="2023-05-01T10:00:00.000Z">10:00</time>\n\n', "#### ChatGPT:\n"),
    "quotation marks": (">> User:\n", ">> ChatGPT:\n"),
    "names in lines": ("=== USER ===\n", "=== ASSISTANT ===\n"),
    "names alone": ("You\n", "ChatGPT\n"),
    "names in brackets": ("[User]: ", "[Assistant]: "),
    "Russian": ("**Вы:** ", "**Ассистент:** "),
    "Spanish": ("### Tú\n", "### Asistente\n"),
    "Polish": ("**Użytkownik**: ", "**Asystent**: "),
    "Korean": ("사용자: ", "챗봇: "),
    "Arabic": ("## المستخدم\n", "## المساعد\n"),
}  # fmt: skip


@pytest.mark.parametrize("end", ["\n\n", "\r\n\r\n"])
@pytest.mark.parametrize(("user", "assistant"), FORMS.values(), ids=FORMS)
def test_forms(user, assistant, end):
    words = [user, "one", assistant, "two", user, "three", assistant, "four"]
    text = "".join(word.format(n=n // 2 + 1) if n % 2 == 0 else word + end for n, word in enumerate(words))
    text = text.replace("\r\n", "\n").replace("\n", "\r\n") if "\r" in end else text
    rule = "---" if user.startswith("---") else ""
    expected = [("text", "---"), *PAIR] if rule else PAIR
    assert [(role, words.removesuffix("---").strip() or words) for role, words in said(text)] == expected
    titled = said("# A title\n\n**Created:** 1/2/2026\n**Link:** https://x.y\n\n" + text)
    assert [role for role, _ in titled] == ["text", "user", "assistant", "user", "assistant"]


def case(text, *expected):
    return text, list(expected)


OTHERS = {
    "an unknown answerer": case(
        "**User:** one\n\n**Aria:** two\n\n**Note:** more\n\n**User:** three\n\n**Aria:** four",
        ("user", "one"), ("Aria", "two\n\n**Note:** more"), ("user", "three"), ("Aria", "four"),
    ),
    "an unknown answerer, once": case("**User:** one\n\n**Aria:** two", ("user", "one"), ("Aria", "two")),
    "an unknown answerer in headings": case(
        "## User\none\n## Aria\n## Summary\ntwo\n## User\nthree\n## Aria\nfour\n## Details\nx",
        ("user", "one"), ("Aria", "## Summary\ntwo"), ("user", "three"), ("Aria", "four\n## Details\nx"),
    ),
    "an unknown answerer in plain lines": case(
        "User: one\nAria: two\nUser: three\nAria: four",
        ("user", "one"), ("Aria", "two"), ("user", "three"), ("Aria", "four"),
    ),
    "an unknown asker": case(
        "**Anna:** one\n\n**ChatGPT:** two\n\n**Important:** x\n\n**Anna:** three\n\n**ChatGPT:** four",
        ("Anna", "one"), ("assistant", "two\n\n**Important:** x"), ("Anna", "three"), ("assistant", "four"),
    ),
    "a known product": case("**User:** one\n\n**DeepSeek:** two", ("user", "one"), ("assistant", "two")),
    "notes in answers": case(
        "**User:** one\n\n**Assistant:** two\n\n**Careful:** x\n\n**User:** three\n\n"
        "**Assistant:** four\n\n**Careful:** y",
        ("user", "one"), ("assistant", "two\n\n**Careful:** x"), ("user", "three"),
        ("assistant", "four\n\n**Careful:** y"),
    ),
    "a label in another form": case(
        "**User:** one\n\n**Assistant:** two\n**Bob**: x\n\n**User:** three\n\n**Bob**: y\n\n**Assistant:** four",
        ("user", "one"), ("assistant", "two\n**Bob**: x"), ("user", "three\n\n**Bob**: y"), ("assistant", "four"),
    ),
    "a third speaker": case(
        "**User:** one\n\n**Assistant:** two\n\n**User:** three\n\n**Bob Lee:** four\n\n"
        "**User:** five\n\n**Assistant:** six",
        ("user", "one"), ("assistant", "two"), ("user", "three"), ("Bob Lee", "four"), ("user", "five"),
        ("assistant", "six"),
    ),
    "a third speaker by number": case(
        "### 1. User\none\n### 2. Assistant\n### 1. Step\ntwo\n### 3. Bob\nthree\n### 4. User\nfour",
        ("user", "one"), ("assistant", "### 1. Step\ntwo"), ("Bob", "three"), ("user", "four"),
    ),
    "a third speaker by time": case(
        "[10:00] User: one\n[10:01] AI: two\n[10:02] Bob: three\nNote: x\n[10:03] AI: four",
        ("user", "one"), ("assistant", "two"), ("Bob", "three\nNote: x"), ("assistant", "four"),
    ),
    "unknown names only": case(
        "# Talk\n\n**Anna:** one\n\ntwo\n\n**Max:** three\n\n- x\n\n**Anna:** four\n\n**Max:** five",
        ("text", "# Talk"), ("Anna", "one\n\ntwo"), ("Max", "three\n\n- x"), ("Anna", "four"), ("Max", "five"),
    ),
    "unknown names in paragraphs": case(
        "Anna: one\n\ntwo\n\nthree\n\nMax: four\n\nfive\n\nsix\n\nAnna: seven\n\nx\n\ny\n\nMax: eight",
        ("Anna", "one\n\ntwo\n\nthree"), ("Max", "four\n\nfive\n\nsix"), ("Anna", "seven\n\nx\n\ny"), ("Max", "eight"),
    ),
    "no names": case(
        "**Pros:** a\n\n**Cons:** b\n\n**Pros:** c\n\n**Cons:** d",
        ("text", "**Pros:** a\n\n**Cons:** b\n\n**Pros:** c\n\n**Cons:** d")
    ),
    "pasted YAML": case(
        "User: my config\n\ndb:\n  user: admin\n  password: x\nuser: admin\nAssistant: ok",
        ("user", "my config\n\ndb:\n  user: admin\n  password: x\nuser: admin"), ("assistant", "ok"),
    ),
    "pasted YAML in lower case": case(
        "user: my config\nhost: localhost\nuser: admin\npassword: x\nassistant: ok",
        ("user", "my config\nhost: localhost\nuser: admin\npassword: x"), ("assistant", "ok"),
    ),
    "pasted YAML beside another name": case(
        "You: my config\nuser: admin\n\nChatGPT: set\nuser: root\n\nYou: thanks",
        ("user", "my config\nuser: admin"), ("assistant", "set\nuser: root"), ("user", "thanks"),
    ),
    "pasted YAML under headings": case(
        "## User\nuser: admin\nsystem: linux\n## AI\nok", ("user", "user: admin\nsystem: linux"), ("assistant", "ok")
    ),
    "facts before all": case(
        "# Talk\n\n**User:** Anna (a@b.c)\n**Created:** 1/2/2026\n**Model:** x\n\n## Prompt:\none\n\n## Response:\ntwo",
        ("text", "# Talk\n\n**User:** Anna (a@b.c)\n**Created:** 1/2/2026\n**Model:** x"),
        ("user", "one"), ("assistant", "two"),
    ),
    "front matter": case(
        "---\ntitle: x\nuser: anna\nassistant: gpt-4\n---\n\nUser: one\nAssistant: two",
        ("text", "---\ntitle: x\nuser: anna\nassistant: gpt-4\n---"), ("user", "one"), ("assistant", "two"),
    ),
    "a quotation of another talk": case(
        "## Prompt\nUser: a\nAssistant: b\n## Response\nok", ("user", "User: a\nAssistant: b"), ("assistant", "ok")
    ),
    "a quoted label": case(
        "**User:** one\n> **Assistant:** x\n\n**Assistant:** two",
        ("user", "one\n> **Assistant:** x"), ("assistant", "two")
    ),
    "a quiz": case("Q: one?\nA: x\nB: y\nC: z", ("text", "Q: one?\nA: x\nB: y\nC: z")),
    "empty turns": case("## User\n\n## Assistant\n\n## User\n", ("user", ""), ("assistant", ""), ("user", "")),
}  # fmt: skip


@pytest.mark.parametrize(("text", "expected"), OTHERS.values(), ids=OTHERS)
def test_other_speakers(text, expected):
    assert said(text) == expected


# What people and models write in turns, much of which looks like labels.
ASKED = st.sampled_from(
    """How do I bake?|fix:\n\n```yaml\nuser: admin\nassistant: x\n```|db:\n  user: admin\n  password: x
|Why?\n\n**Context:** old
|Error: it fails\nTraceback (most recent call last):\n  File x|I got:\n\n> User: hi\n> Assistant: ho
|## Introduction\n\nwords\n\n## Conclusion\n\nwords""".replace("\n|", "|").split("|")
)
ANSWERED = st.sampled_from(
    """## Steps\n\n1. **Mix:** all\n2. **Bake:** it\n\n**Note:** hot!|### 1. First\n\n---\n\n### 2. Second\n\n**Tip:** x
|Short.
|```py\nprint(1)\n## User\n```\n\n**Explanation:** x|Set:\n\nuser: admin\nhost: x\n\nand restart|### Output\n\nok
|**Pros:**\n- good\n\n**Cons:**\n- bad|Thought for 5s\n\nSources: none""".replace("\n|", "|").split("|")
)
NAMES = {
    "plain": ("User: ", "Assistant: ", ["user", "assistant"]),
    "an unknown answerer": ("**User:** ", "**Aria:** ", ["user", "Aria"]),
    "an unknown answerer in headings": ("## User\n", "## Aria\n", ["user", "Aria"]),
    "an unknown asker": ("## Anna\n", "## ChatGPT\n", ["Anna", "assistant"]),
    "names alone in bold": ("**User**\n\n", "**Dr. Max**\n\n", ["user", "Dr. Max"]),
}


@pytest.mark.parametrize(
    ("user", "assistant", "roles"),
    [*NAMES.values(), *((*form, ["user", "assistant"]) for form in FORMS.values())],
    ids=[*NAMES, *FORMS],
)
@settings(deadline=None, max_examples=8)
@given(talk=st.lists(st.tuples(ASKED, ANSWERED), min_size=2, max_size=4))
def test_what_is_written_in_a_form_is_read_back(user, assistant, roles, talk):
    pieces = [(roles[0], user, talk[number][0], number) for number in range(len(talk))]
    answers = [(roles[1], assistant, talk[number][1], number) for number in range(len(talk))]
    order = [piece for pair in zip(pieces, answers, strict=True) for piece in pair]
    text = "# A title\n\n" + "".join(f"{label.format(n=n + 1)}{words}\n\n" for _, label, words, n in order)
    found = [(role, words.removesuffix("---").strip()) for role, words in said(text)[1:]]
    assert found == [(role, words) for role, _, words, _ in order]
