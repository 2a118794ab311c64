"""Every way in which a judge has been seen to give its verdict, and the ways that are refused."""

import json
from pathlib import Path

import pytest
from dreamflow.dreams.verdict_parser import tier_of
from dreamflow.generation.parsers import ParseError, parse
from hypothesis import given
from hypothesis import strategies as st


def verdict(answer, **options):
    return parse("verdict", answer, {"viable": 0.6, "speculative": 0.3, **options})


def read(answer):
    values = verdict(answer).values
    return values["viability"], values["tier"], values["reasons"]


READABLE = {
    # the documented form, and what the original made of it or failed at
    "as documented": ("Dream 1: Viability 0.8, Tier 1. [It keeps the order.]", (0.8, 1, "[It keeps the order.]")),
    "two decimals are not cut to one": ("Dream 1: Viability 0.85, Tier 1. Sound.", (0.85, 1, "Sound.")),
    "one, without decimals": ("Dream 1: Viability 1, Tier 1. Sound.", (1.0, 1, "Sound.")),
    "no digit before the point": ("Dream 1: Viability .8, Tier 1. Sound.", (0.8, 1, "Sound.")),
    "bold name": ("**Dream 1**: Viability 0.8, Tier 1. Sound.", (0.8, 1, "Sound.")),
    "variant": ("Variant 3: Viability 0.4, Tier 2. Odd.", (0.4, 2, "Odd.")),
    "procedure with a name": ("Procedure 2 (web.backup): Viability 0.1, Tier 3. No.", (0.1, 3, "No.")),
    "number sign": ("Dream #1 - Viability: 0.8 - Tier: 1 - Sound.", (0.8, 1, "Sound.")),
    "heading and bullets": (
        "### Dream 1\n\n- **Viability:** 0.85\n- **Tier:** 1\n- **Reasoning:** It is *sound*.",
        (0.85, 1, "It is *sound*."),
    ),
    "headings with values below": ("## Viability\n0.8\n\n## Tier\n1\n\n## Reasoning\nSound.", (0.8, 1, "Sound.")),
    "numbered": ("1. **Viability Score**: 0.72\n2. **Tier**: 1\n3. **Reasons**: sound", (0.72, 1, "sound")),
    "table": ("| Viability | 0.8 |\n| Tier | 1 |", (0.8, 1, "")),
    "bars": ("Dream 1: Viability: 0.8 | Tier: 1 | Reasoning: sound", (0.8, 1, "sound")),
    "tier first": ("Tier 1 (viability 0.8): sound", (0.8, 1, "sound")),
    "number behind the name": ("Dream 1: 0.8, Tier 1 - sound", (0.8, 1, "sound")),
    "snake case": ("viability_score = 0.82\ntier = 1", (0.82, 1, "")),
    "reasons in lines of their own": (
        "Viability: 0.2\nTier: 3\n\nIt deletes\nthe wrong files.",
        (0.2, 3, "It deletes\nthe wrong files."),
    ),
    # numbers
    "fraction of one": ("Viability: 1.0/1.0, Tier 1", (1.0, 1, "")),
    "fraction of ten": ("Viability: 8/10", (0.8, 1, "")),
    "out of ten": ("Viability: 3 out of 10", (0.3, 2, "")),
    "percent": ("Viability: 85%", (0.85, 1, "")),
    "percent in words": ("Viability: 85 percent", (0.85, 1, "")),
    "decimal comma": ("Viability: 0,85, Tier 1", (0.85, 1, "")),
    "scale in parentheses": ("Viability (0-1): 0.8", (0.8, 1, "")),
    "word before the number": ("Viability: high (0.8)", (0.8, 1, "")),
    "about": ("Viability: ~0.7", (0.7, 1, "")),
    "long dash": ("Viability – 0.8", (0.8, 1, "")),
    "zero": ("Viability: 0, Tier 3", (0.0, 3, "")),
    "score alone": ("0.85", (0.85, 1, "")),
    "percent alone": ("**85%**", (0.85, 1, "")),
    # tiers
    "tier in words": ("Viability: 0.8\nTier: one", (0.8, 1, "")),
    "tier by name": ("Viability: 0.8\nTier: viable", (0.8, 1, "")),
    "tier with its name": ("Viability: 0.4, Tier 2 (speculative)", (0.4, 2, "")),
    "roman tier": ("Viability: 0.4\nTier II", (0.4, 2, "")),
    "hyphen": ("Viability 0.8, Tier-1", (0.8, 1, "")),
    "bold tier": ("Viability: **0.8** (Tier **1**)", (0.8, 1, "")),
    # prose
    "prose": (
        "I see a viability of about 0.45, which is speculative: tier 2.",
        (0.45, 2, "I see a viability of about 0.45, which is speculative: tier 2."),
    ),
    "prose with a fraction": ("I rate it 0.8/1.0 overall.", (0.8, 1, "I rate it 0.8/1.0 overall.")),
    "prose with a percentage": ("It is 85% viable.", (0.85, 1, "It is 85% viable.")),
    "a score": ("The score is 0.7.", (0.7, 1, "The score is 0.7.")),
    "a confidence, for want of better": ("Confidence: 0.5", (0.5, 2, "")),
    # which number
    "viability over confidence": ("Viability: 0.8\nConfidence: 0.4", (0.8, 1, "")),
    "viability over other scores": ("Novelty score: 0.9\nViability: 0.2\nScore: 0.5", (0.2, 3, "")),
    "total over parts": ("Safety score: 0.9\nNovelty score: 0.1\nOverall score: 0.4", (0.4, 2, "")),
    "final over first": ("Viability: 0.4\nFinal viability: 0.7", (0.7, 1, "")),
    "label over a wish": (
        "Viability: 0.5, Tier 2\nA viability of 0.9 would need tests, and be tier 1.",
        (0.5, 2, "A viability of 0.9 would need tests, and be tier 1."),
    ),
    "numbers of something else": (
        "Viability 0.8, Tier 1. It saves 40% of 3 calls; 2 tests differ.",
        (0.8, 1, "It saves 40% of 3 calls; 2 tests differ."),
    ),
    "the same twice": ("Viability: 0.8, Tier 1\nSound.\nFinal tier: 1", (0.8, 1, "Sound.\nFinal")),
    "thinking": ("<think>Viability: 0.2, tier 3?</think>\nViability: 0.7, Tier 1", (0.7, 1, "")),
    # JSON
    "json": ('{"viability": 0.85, "tier": 1, "reasons": "Sound."}', (0.85, 1, "Sound.")),
    "json in a fence": ('```json\n{"viability_score": 0.4, "tier": 2}\n```', (0.4, 2, "")),
    "json in prose": ('Here: {"score": 0.3, "reasoning": "Odd."} as asked', (0.3, 2, "Odd.")),
    "json with text values": ('{"viability": "85%", "tier": "Tier 1 (viable)"}', (0.85, 1, "")),
    "json with a list of reasons": ('{"Viability": 1, "Tier": "one", "Reasons": ["a", "b"]}', (1.0, 1, "a\nb")),
    "json inside json": ('{"dreams": [{"dream": 1, "confidence": 0.1}]}', (0.1, 3, "")),
    "json list": ('[{"viability": 0.8, "tier": null, "reasons": "Sound."}]', (0.8, 1, "Sound.")),
    "nearly json": ("{'viability': 0.8, 'tier': 1}", (0.8, 1, "")),
}  # fmt: skip


@pytest.mark.parametrize(("answer", "expected"), READABLE.values(), ids=READABLE)
def test_verdict_is_read(answer, expected):
    parsed = verdict(answer)
    assert read(answer) == expected
    assert json.loads(parsed.text) == parsed.values
    assert parsed.text.endswith("}\n")


REFUSED = {
    "empty": ("", "no viability such as"),
    "no score": ("Tier 1. Sound.", "no viability such as"),
    "a percentage of something else": ("In 80% of the cases it fails.", "no viability such as"),
    "tier 3 with 0.9": ("Dream 1: Viability 0.9, Tier 3.", "contradicts itself: viability 0.9"),
    "tier 1 with 0.5": ('{"viability": 0.5, "tier": 1}', "tier 2 (1 from 0.6, 2 from 0.3), but it says '\"tier\": 1'"),
    "tier 4": ("Viability: 0.8\nTier: 4", "there is no tier 4"),
    "tier 0": ('{"viability": 0.8, "tier": 0}', "there is no tier 0"),
    "half a tier": ("Viability: 0.8, Tier 1.5", "a tier that can be read in more than one way"),
    "above one": ("Viability: 1.2", "viability 1.2 is outside 0-1"),
    "eight": ("Viability: 8, Tier 1", "viability 8 is outside 0-1"),
    "150 percent": ("Viability: 150%", "outside 0-1"),
    "negative": ("Viability: -0.2", "viability -0.2 is outside 0-1"),
    "negative alone": ("-0.2", "viability -0.2 is outside 0-1"),
    "json above one": ('{"viability": 85}', "viability 85 is outside 0-1"),
    "json truth": ('{"viability": true}', "no viability such as"),
    "json words": ('{"viability": "high"}', "more than one way"),
    "range": ("Viability: 0.6-0.8", "more than one way"),
    "either": ("Viability: 0.6 or 0.8", "more than one way"),
    "bound": ("Viability: <0.3", "more than one way"),
    "version": ("Viability: 0.8.1", "more than one way"),
    "division by zero": ("Viability: 1/0", "more than one way"),
    "two dreams": ("Dream 1: Viability 0.8, Tier 1.\nDream 2: Viability 0.4, Tier 2.", "several verdicts that differ"),
    "two objects": ('[{"viability": 0.8}, {"viability": 0.4}]', "several verdicts that differ"),
    "text against json": ('{"viability": 0.25}\nViability: 0.9', "several verdicts that differ"),
    "two tiers": ("Viability: 0.8\nTier: 1\nTier: 2", "the tier is ambiguous"),
    "thinking cut off": ("<think>Viability: 0.8", "never ends"),
}  # fmt: skip


@pytest.mark.parametrize(("answer", "message"), REFUSED.values(), ids=REFUSED)
def test_verdict_is_refused(answer, message):
    with pytest.raises(ParseError) as caught:
        verdict(answer)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


TEMPLATE = Path(__file__).parents[2] / "data/1_raw/templates/verdict/verdict-v1.txt"
NUMBERS = (
    "0.NN", "0.N", "N", "NN", "N.N", "X", "0.X", "0.xx", "X.XX", "<number>", "<n>", "<0.0-1.0>", "...", "0...", "0…",
    "…", "[0-1]", "0-1", "0.0-1.0", "0.0 to 1.0", "0..1", "0 <= v <= 1", "0 (bad) to 1 (good)", "__", "0.__", "0.##",
    "#.##", "?", "0.??", "[0.NN]", "0.[NN]", "0,NN", "{number}", "(a number)", "0.NN/1.0",
)  # fmt: skip
BLANK_FORMS = (
    "Viability: {n}\nTier: N", "Viability: {n}\nTier: 3", "Viability: {n}\nTier: 1/2/3",
    "**Viability:** {n}\n**Tier:** N", "Sound.\n- Viability: {n}\n- Tier: 1",
    "Dream 1: Viability {n}, Tier N. [reasoning]", "| Viability | {n} |\n| Tier | 3 |",
    "Viability: {n}\nConfidence: 0.9", '{{"viability": {n}, "tier": 3}}', '{{"viability": "{n}", "tier": "N"}}',
)  # fmt: skip


@pytest.mark.parametrize("form", BLANK_FORMS)
@pytest.mark.parametrize("number", NUMBERS)
def test_a_form_without_a_viability_is_refused(form, number):
    with pytest.raises(ParseError):
        verdict(form.format(n=number))


@pytest.mark.parametrize(
    "tier", ["1/2/3", "1, 2 or 3", "1, 2, or 3", "1|2|3", "[1-3]", "1-3", "1 to 3", "1..3", "1 or 2"]
)
def test_several_tiers_to_choose_from_are_refused(tier):
    with pytest.raises(ParseError, match="a tier that can be read in more than one way"):
        verdict(f"Viability: 0.8\nTier: {tier}")


@pytest.mark.parametrize(
    "echo",
    [
        "Viability: 0.NN\nTier: N",
        "Dream 1: Viability 0.8, Tier 1. [reasoning]",
        "Viability: 0.8\nTier: 1\nReasons: [one short reason]",
        '{"reason": "<reason>", "viability": 0.8}',
    ],
)
def test_the_form_itself_is_no_answer(echo):
    with pytest.raises(ParseError, match="the form was not filled in"):
        verdict(echo)


def test_no_line_of_the_template_is_an_answer():
    text = TEMPLATE.read_text()
    for echo in (text, *text.splitlines()):
        with pytest.raises(ParseError):
            verdict(echo)


FILLED_IN = {
    "after the form": ("Viability: 0.NN\nTier: N\n\nViability: 0.7\nTier: 1", 0.7),
    "without a tier": ("Viability: 0.8\nTier: N", 0.8),
    "in prose before the form": ("I see a viability of 0.45.\nViability: 0.NN", 0.45),
    "a bold number with a full stop": ("**Viability: 0.**\nTier: 3", 0),
    "bold by underscores": ("__Viability:__ 0.8\n__Tier:__ 1", 0.8),
    "a number with dots": ("Viability: 0.8...", 0.8),
    "a remark with a range": ("Viability: 0.8 (0 is bad, 1 is good)", 0.8),
    "numbers after the tier": ("Viability 0.8, Tier 1, 2 tests differ.", 0.8),
    "a dash after the tier": ("Viability: 0.8, Tier 1 - 2 of 7 calls differ", 0.8),
    "of three tiers": ("Viability: 0.8, Tier 1/3", 0.8),
    "x is a word": ("Viability: 0.8\nTier: 1\nx is always 0.", 0.8),
    "zero, and why": ("Viability: 0. No use.\nTier: 3", 0),
}


@pytest.mark.parametrize(("answer", "viability"), FILLED_IN.values(), ids=FILLED_IN)
def test_a_form_that_was_filled_in_is_read(answer, viability):
    assert read(answer)[:2] == (viability, tier_of(viability))


def test_a_contradiction_is_quoted_from_both_sides():
    with pytest.raises(ParseError) as caught:
        verdict("Viability: 0.9\nIt is good.\nTier: 3")
    assert "'Viability: 0.9'" in str(caught.value)
    assert "'Tier: 3'" in str(caught.value)


@pytest.mark.parametrize(
    ("viability", "tier"),
    [("1", 1), ("0.6", 1), ("60%", 1), ("6/10", 1), ("0.59", 2), ("0.3", 2), ("30%", 2), ("0.29", 3), ("0", 3)],
)
def test_boundaries(viability, tier):
    assert read(f"Viability: {viability}")[1] == tier


def test_thresholds_are_options():
    assert verdict("Viability: 0.7", viable=0.75, speculative=0.7).values["tier"] == 2
    with pytest.raises(ParseError, match=r"1 from 0\.75, 2 from 0\.7"):
        verdict("Viability: 0.7, Tier 1", viable=0.75, speculative=0.7)


FORMS = (
    "Dream 1: Viability {n}, Tier {t}. Because.", "**Dream 1**: Viability **{n}**, Tier **{t}**.", "Viability: {n}",
    "- **Viability:** {n}\n- **Tier:** {t}", "### Variant 2\nViability = {n} (Tier {t})", "Score: {n}",
    "I would give it a viability of {n}.", "{n}", "| Viability | {n} |", '{{"viability": "{n}", "tier": {t}}}',
    "Viability score: {n} because the tests agree.", "Procedure 7: {n}, Tier {t}", "`Viability`: `{n}`. Tier {t}.",
)  # fmt: skip
SCORES = st.integers(0, 1000).map(lambda n: n / 1000) | st.decimals(0, 1, places=6).map(float)


def written(score):
    """The ways to write a score: 0.85, .85, 0,85, 85%, 85 %, 8.5/10, 0.85/1.0."""
    plain, percent, tenths = (f"{score * by:.6f}".rstrip("0").rstrip(".") or "0" for by in (1, 100, 10))
    ways = [plain, f"{plain}/1.0", f"{percent}%", f"{percent} %", f"{tenths}/10", plain.replace(".", ",")]
    return [*ways, plain.removeprefix("0")] if plain.startswith("0.") else ways


@pytest.mark.parametrize("form", FORMS)
@given(data=st.data(), score=SCORES)
def test_any_score_in_any_form_is_read_back_exactly(form, data, score):
    number = data.draw(st.sampled_from(written(score)))
    values = verdict(form.format(n=number, t=tier_of(score))).values
    assert (values["viability"], values["tier"]) == (score, tier_of(score))


@given(score=st.floats(0, 1), tier=st.sampled_from([1, 2, 3, None]), reasons=st.text())
def test_json_is_read_back_exactly_or_contradicts_itself(score, tier, reasons):
    answer = json.dumps({"viability": score, "tier": tier, "reasons": reasons})
    if tier not in (None, tier_of(score)):
        with pytest.raises(ParseError, match="contradicts itself"):
            verdict(answer)
    else:
        assert read(answer) == (score, tier_of(score), reasons.strip())
