"""Every way in which a model has been seen to wrap code, and the choice of one name among several."""

import ast
import json
import textwrap

import pytest
from dreamflow.errors import ConfigError
from dreamflow.generation.parsers import ParseError, parse
from hypothesis import given, settings
from hypothesis import strategies as st

BODY = """def backup(path, keep=3):
    # newest first
    names = sorted(path, reverse=True)
    if not names:
        return []

    return names[:keep]
"""
HELPER = """import re


def newest(names):
    return sorted(names, key=lambda name: re.sub(r"\\D", "", name))
"""
USER = """def backup(path, keep=3):
    return newest(path)[-keep:]
"""


def module(answer, entry="backup"):
    return parse("code", answer, {"entry": entry})


def indented(text, by="    "):
    return textwrap.indent(text, by)


def numbered(text, form):
    return "\n".join(form.format(number, line) for number, line in enumerate(text.splitlines(), start=1))


def session(text):
    first, *rest = text.rstrip().splitlines()
    lines = [f">>> {first}", *(f"... {line}".rstrip() for line in rest), "..."]
    return "\n".join([*lines, ">>> backup(['a', 'b'])", "['b', 'a']", ""])


WRAPPED = {
    "nothing around it": BODY,
    "fence": f"```python\n{BODY}```",
    "fence in prose": f"Here is the variant:\n\n```python\n{BODY}```\n\nIt keeps the newest.",
    "short name": f"```py\n{BODY}```",
    "capitals": f"```Python3\n{BODY}```",
    "bare fence": f"```\n{BODY}```",
    "space before the language": f"``` python\n{BODY}```",
    "attributes": f'```python title="backup.py"\n{BODY}```',
    "waves": f"~~~python\n{BODY}~~~",
    "four ticks": f"````python\n{BODY}````",
    "closed at the end of a line": f"```python\n{BODY.rstrip()}```\n\nDone.",
    "opened behind words": f"The code: ```python\n{BODY}```",
    "windows line ends": f"```python\n{BODY}```".replace("\n", "\r\n"),
    "heading above": f"### Variant 1\n\n**Keeps the newest**\n\n```python\n{BODY}```",
    "in a list": f"1. The variant:\n\n{indented(f'```python{chr(10)}{BODY}```')}\n\n2. Why it matters: order.",
    "in a list, code not indented": f"- ```python\n{BODY}  ```",
    "indented all the same": f"```python\n{indented(BODY)}```",
    "in a quotation": indented(f"```python\n{BODY}```", "> "),
    "code tag": f"<code>\n{BODY}</code>",
    "pre and code": f'<pre><code class="language-python">{BODY}</code></pre>',
    "json": json.dumps({"description": "keeps the newest", "code": BODY}),
    "json in a fence": f"```json\n{json.dumps({'code': BODY}, indent=2)}\n```",
    "json in prose": f"Sure! {json.dumps({'code': BODY})} Good luck.",
    "json with broken strings": '{"code": "' + BODY + '"}',
    "json that holds a fence": json.dumps({"code": f"```python\n{BODY}```"}),
    "prose before and after": f"Here is the variant:\n\n{BODY}\nThis keeps the newest.\nNote: it sorts in reverse.\n",
    "one word above": f"Answer\n\n{BODY}",
    "interpreter session": f"Typed in:\n\n{session(BODY)}",
    "interpreter session in a fence": f"```pycon\n{session(BODY)}```",
    "listing with colons": numbered(BODY, "{}: {}"),
    "listing with bars": f"```\n{numbered(BODY, '{:>3} | {}')}\n```",
    "listing with spaces": f"The code:\n\n{numbered(BODY, '{:>4}  {}')}\n\nThat is all.",
    "listing aligned on the left": "```\n" + numbered(BODY + "\n\nLAST = None\n\n", "{:<3} {}") + "\n```",
    "thinking before": f"<think>\n```python\ndef backup(): return 0\n```\n</think>\n```python\n{BODY}```",
    "usage behind": f"```python\n{BODY}```\n\nUse it so:\n\n```python\nprint(backup(['a']))\n```",
    "installation before": f"```bash\npip install nothing\n```\n\n```python\n{BODY}```",
    "an excerpt behind": f"```python\n{BODY}```\n\nIn short:\n\n```python\ndef backup(path, keep=3):\n    ...\n```",
}


@pytest.mark.parametrize("answer", WRAPPED.values(), ids=WRAPPED)
def test_code_is_found(answer):
    found = module(answer).text
    assert ast.dump(ast.parse(found).body[0]) == ast.dump(ast.parse(BODY).body[0])
    assert found.endswith("\n")
    assert "# newest first" in found


@given(st.sampled_from(sorted(WRAPPED)))
def test_what_was_read_is_read_again(name):
    found = module(WRAPPED[name])
    assert module(found.text).text == found.text


def test_a_whole_module_is_kept_to_the_letter():
    source = '"""Fences in a text:\n\n```python\nbackup()\n```\n"""\n\n# a\n\n\n' + BODY + "\n# the end\n\n"
    assert module(source).text == source
    assert module(BODY.rstrip()).text == BODY


def test_documentation_with_fences_of_its_own():
    documentation = '    """Example:\n\n    ```python\n    backup([])\n    ```\n    """\n'
    source = BODY.replace("    # newest", f"{documentation}    # newest")
    assert module(f"So:\n\n```python\n{source}```\nDone.").text == source


@pytest.mark.parametrize(
    ("answer", "blocks"),
    [
        (f"First a helper:\n\n```python\n{HELPER}```\n\nThen:\n\n```python\n{USER}```", 2),
        (f"```python\n{USER}```\n\nwith\n\n```python\n{HELPER}```", 2),
        (f"```python\nimport re\n```\n```python\n{HELPER.split('import re')[1]}```\n```python\n{USER}```", 3),
        (f"```python\n{HELPER}\n\n{USER}```\n```python\nprint(newest([]))\n```", 1),
    ],
    ids=["before", "behind", "imports apart", "together"],
)
def test_helpers_are_joined(answer, blocks):
    parsed = module(answer)
    space = {}
    exec(parsed.text, space)
    assert space["backup"](["b2", "a1"], 1) == ["b2"]
    assert parsed.values == {"blocks": blocks}
    assert parsed.warnings == ()


def test_blocks_that_nobody_needs_are_left_out():
    parsed = module(f"```python\nresult = 1\n```\n```python\n{BODY}```\n```python\nprint(result)\n```")
    assert parsed.text == BODY


def test_the_last_of_several_definitions_is_taken():
    parsed = module(f"The original:\n```python\ndef backup(p):\n    return p\n```\nBetter:\n```python\n{BODY}```")
    assert parsed.text == BODY
    assert parsed.warnings == ("2 code blocks define 'backup': the last one was taken",)


def test_a_fence_left_open_around_a_whole_program():
    parsed = module(f"So:\n```python\n{BODY}")
    assert parsed.text == BODY
    assert parsed.warnings == ("the code fence is never closed: all that follows it was taken",)


REFUSED = {
    "empty": ("", "the answer is empty"),
    "prose": ("I cannot do that.\nSorry.", "there is no code"),
    "refusal that is nearly python": ("No", "there is no code"),
    "another name": ("```python\ndef backup_v2(path):\n    return path\n```", "the code defines 'backup_v2'"),
    "no function": ("```python\nbackup = 3\n```", "the code defines no function"),
    "async": ("```python\nasync def backup(path):\n    return path\n```", "it is 'async'"),
    "method": (f"```python\nclass Tool:\n{indented(BODY)}```", "not at the top level"),
    "syntax error": ("```python\ndef backup(path):\n    return path +\n```", "does not compile: line 2"),
    "another language": ("```js\nfunction backup(path) { return path; }\n```", "does not compile: line 1"),
    "body left out": ("```python\ndef backup(path):\n    'Copies.'\n    ...\n```", "'backup' is left out"),
    "cut off in a fence": ("```python\ndef backup(path):\n    return sorted(", "does not compile"),
    "cut off behind the entry": (f"```python\n{BODY}\ndef helper(x):\n    return (x", "does not compile"),
    "cut off without a fence": (f"{BODY}\ndef helper(x):\n    return (x", "does not compile"),
    "broken helper in prose": (f"So:\n\n{BODY}\ndef helper(x) return x\n", "does not compile"),
    "thinking only": ("<think>\n```python\ndef backup(p):\n    return p\n```\n</think>", "the answer is empty"),
    "thinking cut off": ("<think>\nLet me see", "never ends"),
    "null byte": ("```python\ndef backup(p):\n    return '\0'\n```", "does not compile"),
    "endless": ("(" * 300_000, "too long to look for 'backup'"),
}


@pytest.mark.parametrize(("answer", "message"), REFUSED.values(), ids=REFUSED)
def test_code_is_refused(answer, message):
    with pytest.raises(ParseError) as caught:
        module(answer)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@settings(max_examples=60)
@given(st.text(st.sampled_from("`~>. 1:|def backup(x)\n\t{}[]\"'\\#"), max_size=120))
def test_whatever_comes_is_read_or_refused(answer):
    try:
        parsed = module(answer)
    except ParseError:
        return
    assert any(isinstance(node, ast.FunctionDef) and node.name == "backup" for node in ast.parse(parsed.text).body)


def test_the_entry_has_to_be_said():
    with pytest.raises(ConfigError, match="'entry'"):
        parse("code", BODY)


# --- a choice -------------------------------------------------------------------------------------------

NAMES = {"options": ["web.backup", "web.backup_all", "web.backup.old", "site-sync"]}
CHOICES = {
    "name": "web.backup",
    "full stop": "web.backup.",
    "bold": "**web.backup**",
    "code": "The best is `web.backup`.",
    "quotes": '"web.backup"',
    "italics": "_web.backup_",
    "label": "Reasoning: web.backup_all is too broad.\n\nAnswer: web.backup",
    "bold label": "**Answer:** web.backup",
    "bullet": "- web.backup",
    "letter case": "Web.Backup",
    "lines below": "web.backup\n\n```\n",
    "thinking": "<think>site-sync</think>web.backup",
}


@pytest.mark.parametrize("answer", CHOICES.values(), ids=CHOICES)
def test_choice(answer):
    parsed = parse("choice", answer, NAMES)
    assert parsed.text == "web.backup\n"
    assert parsed.values == {"choice": "web.backup"}


@pytest.mark.parametrize("name", NAMES["options"])
def test_choice_of_names_that_contain_each_other(name):
    assert parse("choice", f"Answer: {name}.", NAMES).values["choice"] == name


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        ("", "is empty"),
        ("None of them.", "was expected in the last line"),
        ("web.backup or site-sync", "the last line has web.backup, site-sync"),
        ("web.backup\nbecause it is near", "was expected in the last line"),
        ("my-site-sync", "was expected in the last line"),
    ],
)
def test_choice_is_refused(answer, message):
    with pytest.raises(ParseError, match=message):
        parse("choice", answer, NAMES)


def test_options_have_to_be_said():
    with pytest.raises(ConfigError, match="'options'"):
        parse("choice", "web.backup")
