"""Contexts of prompts: the rules in several languages, contexts of users, similarity, and which predicts better."""

import json
import re

import pytest
from dreamflow.errors import ConfigError
from dreamflow.routing.context_report import assign_contexts, compare_contexts, context_report
from dreamflow.routing.contexts import CONTEXTS, OTHER, NamedContexts, classify, compile_named, context_of
from dreamflow.routing.similarity import NOTHING_ALIKE, TfidfContexts
from dreamflow.settings import load_settings
from hypothesis import given
from hypothesis import strategies as st

PROMPTS = {
    "en": {
        "novel": ["What is this?", "WHAT’S UP", "Tell me about cats", "tell me\nabout cats", "Show me how it works"],
        "unstable": ["Sort it, but keep the first", "However you like", "Analyse the log", "yes, but briefly"],
        "stable": ["Hello!", "no", "Yes.", "List the names", "Show it", "thank you"],
        "moving": ["I know nothing", "Press the button", "The shower is broken", "Shift the knowledge", "how_many(x)"],
    },
    "de": {
        "novel": ["Was ist das?", "Warum nicht?", "Erzähl mir von Katzen", "WIE GEHT ES DIR", "Erkläre das Gesetz"],
        "unstable": ["Sortiere die Namen, aber behalte den ersten", "Die Lage ist jedoch komplex"],
        "stable": ["Hallo!", "Nein", "Zeige die Namen", "Danke"],
        "moving": ["Das hat etwas mit der Liebe zu tun", "Die Januarzahlen sind da"],
    },
    "fr": {
        "novel": ["Comment ça va ?", "Qu’est-ce que c’est ?", "Explique la loi", "Pourquoi le ciel est-il bleu ?"],
        "unstable": ["Il est tard, mais je reste", "La question est complexe"],
        "stable": ["Bonjour", "Merci", "Montre la liste"],
        "moving": ["Les maisons de la rue", "Le nonce est là"],
    },
    "es": {
        "novel": ["¿Qué es esto?", "¿Co\u0301mo está usted?", "¿Por qué?", "Háblame de los gatos"],
        "unstable": ["Es tarde, pero me quedo", "Sin embargo, es así"],
        "stable": ["¡Hola!", "Gracias", "Muestra los nombres"],
        "moving": ["Los perros de la casa", "La nota es de este mes"],
    },
    "zh": {
        "novel": ["这是什么？", "為什麼天是藍的", "请解释一下", "如何安装"],
        "unstable": ["天气很好，但是很冷", "情况复杂"],
        "stable": ["你好", "是的", "请列出名字", "好的。"],
        "moving": ["他是的士司机", "今天天气很好", "这不过分"],
    },
    "ja": {
        "novel": ["何ですか", "なぜ空は青いのか", "説明してください", "ﾅｾﾞ？なぜ"],
        "unstable": ["しかし、難しい", "状況は複雑です"],
        "stable": ["こんにちは", "はい。", "名前を一覧にして"],
        "moving": ["幾何を学ぶ", "こんなに寒い日", "はいいろの空"],
    },
}
CASES = [
    (language, context, prompt)
    for language, of_context in PROMPTS.items()
    for context, prompts in of_context.items()
    for prompt in prompts
]


@pytest.mark.parametrize(("language", "context", "prompt"), CASES)
def test_a_prompt_has_the_context_of_its_words(language, context, prompt):
    assert classify(prompt)[0] == context


@pytest.mark.parametrize(
    ("prompt", "context", "why"),
    [
        ("It was late when she came to the door", "moving", "no rule"),  # German: what
        ("Add a comment to the function", "moving", "no rule"),  # French: how
        ("Ｗｈａｔ ｉｓ ｉｔ？", "novel", "contains 'what'"),
        ("", "moving", "the text is empty"),
        (" \n\t", "moving", "the text is empty"),
        ("12, 34.5 (6)", "moving", "no words"),
        ("?!…", "moving", "no words"),
        ("```python\nwhat = list(how)\n```", "moving", "only code"),
        ("def how(x):\n    return list(x)\n", "moving", "only code"),
        ("Run this:\n```\nwhat = list(how)\n```", "moving", "no rule"),
        ("Rename `what` to `how`", "moving", "no rule"),
        ("Покажи список", "moving", "whose language is unknown"),
        ("List what you see, however small", "novel", "contains 'what'"),  # the first rule wins
    ],
)
def test_what_is_no_word_of_a_rule_and_why(prompt, context, why):
    found, reason = classify(prompt)
    assert (found, why in reason) == (context, True), reason


def test_a_prompt_similar_to_one_of_the_last_three_is_moving():
    before = "list the four names in this file"
    similar = "list the four numbers in this file"  # 6 of 8 words in common: above the range
    assert classify(similar, [before])[0] == "stable"
    similar = "list two numbers in this file"
    assert classify(similar) == ("stable", "contains 'list'")
    assert classify(similar, [before]) == ("moving", "similar to the prompt 1 before it (Jaccard index 0.44)")
    assert classify(similar, [before, "a", "b"])[1].startswith("similar to the prompt 3 before it")
    assert classify(similar, [before, "a", "b", "c"])[0] == "stable"
    assert classify("what is in this file", [before])[0] == "novel"  # the words of rules 1 and 2 come first


def test_the_ends_of_the_range_are_outside():
    ten = "a1 a2 a3 a4 a5 a6 a7 a8 a9 a10"
    words = ten.split()
    for common, context in ((3, "stable"), (4, "moving"), (6, "moving"), (7, "stable")):
        recent = [" ".join(words[:common])]
        assert classify(f"{' '.join(words[:9])} list", recent)[0] == context, common


def test_of_equally_similar_prompts_the_latest_is_named():
    assert "prompt 1 before" in classify("one two three", ["one two four", "one two five"])[1]


def test_characters_are_compared_where_there_are_no_blanks():
    assert classify("天气很好吗", ["今天天气很好"])[1].startswith("similar")
    assert classify("天气很好吗", ["我喜欢吃苹果"])[1].startswith("no rule")


@given(st.text(), st.lists(st.text(), max_size=4))
def test_any_text_has_a_context_and_always_the_same(text, recent):
    context, reason = classify(text, recent)
    assert context in CONTEXTS and reason
    assert classify(text, recent) == (context, reason)


WORDS = st.lists(
    st.sampled_from(
        ["what", "But", "LIST", "jedoch", "weiß", "zeige", "QUÉ", "straße", "什么", "はい", "show", "button"]
    ),
    max_size=6,
)


@given(WORDS, WORDS)
def test_letter_case_does_not_matter(words, recent):
    text, before = " ".join(words), " ".join(recent)
    assert classify(text.upper(), [before]) == classify(text.lower(), [before.upper()])


# --- contexts of users ---


def test_the_first_named_context_that_matches_wins():
    named = compile_named({"billing": ["invoice", r"re:^refund\b", "Zahlung"], "files": ["a file", "文件"]})
    found = {
        text: (named.find(text) or ("",))[0] for text in ("An INVOICE, a file", "invoiced", "Refund me", "no refund")
    }
    assert found == {"An INVOICE, a file": "billing", "invoiced": "", "Refund me": "billing", "no refund": ""}
    assert named.find("open a  file") == ("files", "matches 'a file'")
    assert named.find("打开文件夹")[0] == "files"
    assert NamedContexts().find("anything") is None


@pytest.mark.parametrize(
    "pattern", ["re:(a+)+$", "re:(a|aa)*b", r"re:(\w+\s?)*$", "re:(a{1,9}){1,9}", "re:((ab?)c)+", "re:("]
)
def test_a_pattern_that_is_wrong_or_could_take_forever_is_an_error_with_its_key(pattern):
    with pytest.raises(ConfigError, match=re.escape(f"billing[1]: {pattern!r}")) as error:
        compile_named({"billing": ["invoice", pattern]})
    assert error.value.key == ("billing", 1)


@pytest.mark.parametrize(
    "pattern", [r"re:^refund\b", "re:(foo|bar)", "re:(ab)+c*", "re:a{3}", "re:x.*y", "re:(a{2}b)*"]
)
def test_other_patterns_are_fine(pattern):
    assert compile_named({"billing": [pattern]}).patterns


def test_a_wrong_pattern_of_the_configuration_is_named_before_anything_runs(tmp_path):
    config = tmp_path / "config.yaml"
    config.write_text("trust:\n  contexts:\n    named:\n      billing: [invoice, 're:(a+)+']\n")
    with pytest.raises(
        ConfigError, match=re.escape("config.yaml:4: trust.contexts.named.billing[1]: 're:(a+)+' repeats")
    ):
        load_settings(path=config)


def test_a_context_has_a_name_and_a_pattern_has_words():
    for named in ({"*": ["a"]}, {" ": ["a"]}, {"x": ["?!"]}, {"x": [""]}):
        with pytest.raises(ConfigError):
            compile_named(named)


def test_a_context_comes_from_names_then_rules_or_a_column():
    named = compile_named({"billing": ["invoice"]})
    assert context_of("What invoice?", {"kind": "facts"}, by=["kind"], named=named)[0] == "billing"
    assert context_of("What is it?", {"kind": "facts"}, by=["kind"], named=named) == ("facts", "its kind is 'facts'")
    assert context_of("What is it?", {}, by=["rules"], named=named)[0] == "novel"
    assert context_of("What is it?", {"kind": None}, by=["kind"]) == (OTHER, "it has no 'kind'")
    assert context_of("x", {"year": 2020}, by=["year"])[0] == "2020"
    assert context_of("What is it?", {}, by=["similarity"])[0] == "novel"  # no classifier yet: the rules


# --- similarity ---

BILLS = [
    f"The invoice of {firm} for {thing} is due; add the amounts" for firm in ("Ada", "Bo") for thing in ("ink", "tea")
]
TRAINS = [f"The train to {city} leaves from platform {n}; find the time" for city in ("Bonn", "Ulm") for n in (1, 2)]


def test_a_prompt_belongs_with_those_it_is_like():
    learned = TfidfContexts.fit([*BILLS, *TRAINS], ["bills"] * 4 + ["trains"] * 4)
    assert learned.assign("An invoice for tea")[0] == "bills"
    context, why = learned.assign("When does the train to Ulm leave?")
    assert context == "trains" and "The train to Ulm" in why and re.match(r"cosine 0\.\d\d; 0\.\d\d with", why)
    assert learned.assign("Quetzal!")[0] == learned.assign("")[0] == NOTHING_ALIKE
    assert TfidfContexts.from_dict(json.loads(json.dumps(learned.as_dict()))).assign(BILLS[0]) == learned.assign(
        BILLS[0]
    )


def test_groups_are_found_without_contexts_and_always_the_same():
    learned = TfidfContexts.fit([*BILLS, *TRAINS], clusters=2)
    groups = [learned.assign(text)[0] for text in (*BILLS, *TRAINS)]
    assert len(set(groups)) == 2 and groups == [groups[0]] * 4 + [groups[4]] * 4
    assert TfidfContexts.fit([*BILLS, *TRAINS], clusters=2) == learned


def test_nothing_or_little_to_learn_from_is_no_error():
    assert TfidfContexts.fit([]).assign("a")[0] == NOTHING_ALIKE
    assert TfidfContexts.fit(["", "?"], ["a", "b"]).centroids == {}
    same = TfidfContexts.fit(["one"] * 3, clusters=5)
    assert len(same.centroids) == 1 and same.assign("one")[0] in same.centroids


def test_equally_near_contexts_are_taken_by_name():
    assert TfidfContexts.fit(["one two", "one two"], ["b", "a"]).assign("two one")[0] == "a"


# --- which predicts better ---


def simulated(solves):
    """Outcomes of a model that solves a prompt if `solves(group, number)`."""
    texts = [
        (kind, text) for _ in range(30) for kind, group in (("bills", BILLS), ("trains", TRAINS)) for text in group
    ]
    return [
        {"text": f"{text} ({number // 8})", "kind": kind, "model_id": "m", "outcome": float(solves(kind, number))}
        for number, (kind, text) in enumerate(texts)
    ]


def by_scheme(rows, kind="*"):
    return {(row["contexts"], row["than"]): row for row in rows if row["kind"] == kind}


def test_similarity_predicts_what_depends_on_the_subject():
    rows = compare_contexts(simulated(lambda kind, number: kind == "bills"))
    overall = by_scheme(rows)
    assert overall["none", "none"]["difference"] == 0
    for scheme, than in (("similarity", "none"), ("kind", "none"), ("similarity", "rules")):
        assert overall[scheme, than]["high"] < 0
    assert overall["similarity", "none"]["n"] == overall["similarity", "none"]["texts"] == 240
    assert {row["kind"] for row in rows} == {"*", "bills", "trains"}
    report = context_report(simulated(lambda kind, number: kind == "bills"))
    assert "Contexts by similarity predict outcomes better" in report
    assert "Better than no contexts: kind, similarity." in report


def test_the_prompts_before_it_count_in_a_scheme_of_their_own():
    texts = ["list the names of firms", "list the names of trains", "greet me", "list the names of firms"]
    rows = [{"text": text, "kind": "k", "model_id": "m", "outcome": 1.0} for text in texts]
    assigned = assign_contexts(rows)
    assert [context for context, _ in assigned["rules"]] == ["stable", "stable", "moving", "stable"]
    assert [context for context, _ in assigned["rules + recent"]] == ["stable", "moving", "moving", "stable"]


def test_a_difference_that_chance_explains_is_called_that():
    report = context_report(simulated(lambda kind, number: number * 7919 % 10 < 5))
    assert "predict equally well" in report and "none of them, surely" in report


def test_the_first_prediction_knows_nothing_and_the_second_learns_from_it():
    rows = [{"text": "a b", "kind": "k", "model_id": "m", "outcome": 1.0}] * 2
    loss = by_scheme(compare_contexts(rows))["none", "none"]["log_loss"]
    # The mean of Beta(1, 1) is 1/2; then the prior mean 2/3 with weight 2, and one success: (1 + 4/3) / 3 = 7/9.
    assert loss == pytest.approx((0.6931471805599453 + 0.2513144282809062) / 2)


def test_without_outcomes_there_is_nothing_to_compare():
    assert compare_contexts([]) == []
    assert "no outcomes yet" in context_report([])


def test_with_few_prompts_there_is_no_verdict():
    rows = simulated(lambda kind, number: kind == "bills")[:9]
    assert {(row["low"], row["high"]) for row in compare_contexts(rows)} == {(None, None)}
    assert "9 prompts are too few to compare contexts." in context_report(rows)
