"""The table of a night, its health, and the page that people read."""

import csv
import json
import re
import sqlite3

import pytest
from dreamflow.dreams.best import summary_table
from dreamflow.dreams.best_of_n import comparison
from dreamflow.dreams.equivalence import Counterexample
from dreamflow.dreams.health import (
    failure_patterns,
    health,
    normalised,
    read_yields,
    write_yields,
    yields,
)
from dreamflow.dreams.journal import journal
from dreamflow.dreams.records import COLUMNS
from dreamflow.dreams.tables import write_csv, write_sqlite
from dreamflow.dreams.tiers import final_tier
from dreamflow.dreams.tightening import Limit
from dreamflow.generation.model import Attempt, as_json
from dreamflow.reports.markdown import block, code, plain, visible
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from night import TIERS, answered, check, entry, failed_check, outcome, result, table, verdict

# --- tiers ----------------------------------------------------------------------------------------------

DUPLICATE = check(duplicate_of="p_1")
TIER_CASES = {
    "viable and equivalent": (0.6, check(), outcome(), True, 1),
    "speculative": (0.59, check(), outcome(), False, 2),
    "boundary of speculative": (0.3, check(), outcome(), False, 2),
    "archive": (0.29, check(), outcome(), False, 3),
    "differs as it may": (0.9, check(), outcome("differs"), False, 1),
    "differs although safe": (0.9, check(), outcome("differs"), True, 2),
    "untested": (0.9, check(), outcome("untested"), False, 2),
    "flaky original": (0.9, check(), outcome("flaky original"), False, 2),
    "not run": (0.9, check(), None, False, 2),
    "not run, and bad": (0.1, check(), None, False, 3),
    **{f"test: {word}": (0.9, check(), outcome(word), False, 2) for word in ("syntax", "runtime", "type")},
    **{f"test: {word}": (0.9, check(), outcome(word), False, 2) for word in ("timeout", "resource", "forbidden")},
    "duplicate": (0.9, DUPLICATE, outcome(), True, 3),
    "duplicate without a verdict": (None, DUPLICATE, None, True, 3),
    "failed check": (None, failed_check(), None, False, 3),
    "no verdict": (None, check(), outcome(), True, None),
    "not made": (None, None, None, True, None),
}


@pytest.mark.parametrize(("viability", "checked", "tested", "safe", "tier"), TIER_CASES.values(), ids=TIER_CASES)
def test_tiers(viability, checked, tested, safe, tier):
    given_verdict = None if viability is None else {"viability": viability}
    found, why = final_tier(given_verdict, checked, tested, safe, TIERS)
    assert found == tier
    assert why


# --- records --------------------------------------------------------------------------------------------


def night():
    """Eight variants, one for each way that a variant can go."""
    differs = outcome("differs", counterexample=example("backup('a|b')", "['b']", "['`a`']"))
    return table(
        entry("p_best", verdict=verdict(0.85, "j_1"), test=differs, check=check(novelty=0.5)),
        entry("p_good", kind="relax", result=answered("p_good"), verdict=verdict(0.7, "j_2"), check=check(novelty=0.8)),
        entry("p_near", kind="relax", result=answered("p_near"), verdict=verdict(0.4, "j_3"), check=check(novelty=0.9)),
        entry("p_same", kind="reorder", safe=True, check=check(duplicate_of="base", novelty=0.0), test=None),
        entry("p_bug", kind="reorder", safe=True, test=outcome("runtime", reason="KeyError: 'a' in line 7")),
        entry("p_bad", kind="relax", result=answered("p_bad"), check=failed_check(), test=None),
        entry(
            "p_none", kind="relax", result=answered("p_none", status="failed", reason="no code"), check=None, test=None
        ),
        entry("p_mine", kind="sample", result=answered("p_mine"), verdict=verdict(0.2, "j_4")),
        matches={"web.backup": 2},
    )


def example(call, original, variant):
    return Counterexample(call, "result", original, variant)


def test_statuses_tell_the_truth():
    assert {record.gen_id: (record.status, record.tier) for record in night()} == {
        "p_best": ("tested", 1),
        "p_good": ("tested", 1),
        "p_near": ("tested", 2),
        "p_same": ("archived", 3),
        "p_bug": ("pending_evaluation", None),
        "p_bad": ("archived", 3),
        "p_none": ("archived", None),
        "p_mine": ("archived", 3),
    }
    untried = table(entry(test=None), entry(test=outcome("untested"), verdict=verdict(0.5)))
    assert [record.status for record in untried] == ["pending_test", "evaluated"]


def test_a_record_knows_what_a_variant_cost():
    made, judged, local = night()[1], night()[0], night()[4]
    assert (made.cost_usd, made.tokens, made.latency_s) == (0.003, 1400, 6.0)
    assert (judged.cost_usd, judged.tokens) == (0.001, 400)
    assert (local.cost_usd, local.tokens, local.created_at) == (None, 0, None)


def test_an_unknown_cost_is_unknown_in_every_sum():
    attempt = Attempt(sample=0, response_key="k", error=None)
    unpriced = answered("p_aaaaaaaaaa", None, attempts=[attempt])
    records = table(
        entry(kind="relax", result=unpriced, verdict=verdict(0.9)), entry("p_b", "relax", result=answered("p_b"))
    )
    assert [record.cost_usd for record in records] == [None, 0.002]
    assert records[0].tokens == 1400
    assert yields(records)["relax"].cost_usd is None and yields(records)["relax"].tier_1_per_usd is None
    assert "Cost: 0.0020 USD, and 1 generation of unknown cost." in page(records)
    assert "unpriced" not in COLUMNS


def test_the_choice_of_partners_is_part_of_what_a_night_cost():
    assert "Cost: 0.5020 USD." in page(table(entry(result=answered("p_b"))), matching=[answered("m_1", 0.5)])


def test_an_unusable_verdict_is_none():
    (record,) = table(entry(verdict=result("j_1", status="failed", reason="unparsable: no viability")))
    assert (record.viability, record.tier, record.status) == (None, None, "pending_evaluation")
    assert [one.category for one in failure_patterns([record])] == ["verdict"]


def test_csv(tmp_path):
    write_csv(night(), tmp_path / "dreams.csv")
    with (tmp_path / "dreams.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert tuple(rows[0]) == COLUMNS
    assert [row["tier"] for row in rows] == ["1", "1", "2", "3", "", "3", "", "3"]
    assert rows[0]["verdict_id"] == "j_1"
    assert rows[0]["counterexample"] == "backup('a|b'): result: original ['b'], variant ['`a`']"
    write_csv([], tmp_path / "empty.csv")
    assert (tmp_path / "empty.csv").read_text() == ",".join(COLUMNS) + "\n"


def test_sqlite_has_the_schema_of_the_seed(tmp_path):
    records = night()
    paths = [tmp_path / "a" / "dreams.sqlite", tmp_path / "b.sqlite"]
    for path in paths:
        write_sqlite(records, health(records), "light", path)
    assert paths[0].read_bytes() == paths[1].read_bytes()
    assert list(paths[0].parent.iterdir()) == [paths[0]]
    write_sqlite(records[:1], health(records[:1]), "light", paths[1])  # written over
    base = sqlite3.connect(paths[0])
    base.row_factory = sqlite3.Row
    dreams = base.execute("SELECT * FROM dream_procedures WHERE tier = 1 ORDER BY viability_score DESC").fetchall()
    assert [dream["id"] for dream in dreams] == ["p_best", "p_good"]
    assert dict(dreams[1]) == {
        **{"id": "p_good", "base_procedure_id": "web.backup", "base_procedure_name": "backup"},
        **{"dream_type": "constraint_relaxation", "code": records[1].code, "model_used": "coder"},
        **{"reasoning": "relax at 6:31 keep*2", "generated_description": "keep in line 6: 3 -> 6"},
        **{"status": "tested", "tier": 1, "viability_score": 0.7, "claude_reasoning": "It keeps more."},
        **{"test_outcome": "equivalent", "test_error": None, "test_timestamp": None, "novelty_score": 0.8},
        **{"cross_project_matches": 2, "effectiveness_metric": 1.5, "generated_at": 1767322800},
        **{"evaluated_at": 1767323045, "created_by": "dreamflow"},
    }
    run = dict(base.execute("SELECT * FROM dream_generation_runs").fetchone())
    assert run["total_dreams_generated"] == 8
    assert (run["constraint_relaxation_count"], run["parameter_exploration_count"]) == (4, 1)
    assert (run["timestamp"], run["duration_seconds"]) == (1767323045, 28.0)
    assert json.loads(run["model_usage"]) == {"coder": 5, "local": 3}
    metrics = dict(base.execute("SELECT * FROM dream_metrics").fetchone())
    assert len(metrics) == 18
    assert (metrics["tier1_count"], metrics["tier2_count"], metrics["tier3_count"]) == (2, 1, 3)
    assert metrics["health_score"] == health(records).score
    base.close()


def test_sqlite_of_a_night_without_dreams(tmp_path):
    write_sqlite([], health([]), "light", tmp_path / "dreams.sqlite")
    base = sqlite3.connect(tmp_path / "dreams.sqlite")
    assert base.execute("SELECT COUNT(*) FROM dream_procedures").fetchone() == (0,)
    assert base.execute("SELECT total_dreams, health_score FROM dream_metrics").fetchone() == (0, None)
    base.close()


# --- health ---------------------------------------------------------------------------------------------


def test_health_by_hand():
    found = health(night())
    parts = {name: part.score for name, part in found.parts.items()}
    # Novelties .5 .8 .9 0 .25 .25; that of the program that does not compile is unknown.
    assert parts["novelty"] == pytest.approx(0.7 * 2.7 / 6 + 0.3 * 2 / 10)
    assert parts["quality"] == pytest.approx(
        0.5 * (0.85 + 0.7 + 0.4 + 0.2) / 4 + 0.3 * (1 + 0.3 + 0.3) / 6 + 0.2, abs=1e-6
    )
    assert parts["leverage"] == 1.0  # 2 of 8 adopted
    assert parts["efficiency"] == 1.0  # 28 s
    weighted = 0.6 * parts["novelty"] + 0.15 * parts["quality"] + 0.15 + 0.1
    assert found.score == pytest.approx(weighted, abs=1e-5)
    assert found.healthy == (found.score > 0.6)
    assert found.left_out == []


def test_parts_without_data_are_left_out_and_their_weight_is_shared():
    found = health(table(entry(check=check(novelty=0.9)), entry(check=check(novelty=0.7))))
    assert found.left_out == ["quality", "leverage", "efficiency"]
    assert [part.weight for part in found.parts.values()] == [1.0, 0.0, 0.0, 0.0]
    assert found.score == pytest.approx(0.7 * 0.8 + 0.3 * 0.2)
    nothing = health([])
    assert (nothing.score, nothing.healthy) == (None, None)


def test_health_of_slow_models_and_of_promoted_dreams():
    slow = [entry(result=answered(f"p_{n}", latency_s=600.0), verdict=verdict(0.5)) for n in range(8)]
    found = health(table(*slow, promoted=["p_aaaaaaaaaa"]))
    assert found.parts["efficiency"].score == 0.1
    assert found.parts["leverage"].score == 1.0
    assert health(table(*slow)).parts["leverage"].score == 0.0


def test_a_verdict_that_its_test_belies_costs_quality():
    good = health(table(entry(verdict=verdict(0.9)))).parts["quality"]
    belied = health(table(entry(verdict=verdict(0.9), test=outcome("runtime")))).parts["quality"]
    assert (good.inputs["tier_1_success"], belied.inputs["tier_1_success"]) == (1.0, 0.0)
    assert good.score > belied.score + 0.2


@given(st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1), st.floats(0, 1e4), st.booleans()), max_size=8))
def test_health_and_its_parts_are_shares(values):
    entries = [
        entry(check=check(novelty=novelty), verdict=verdict(viability, latency_s=seconds) if judged else None)
        for novelty, viability, seconds, judged in values
    ]
    found = health(table(*entries, matches={"web.backup": 2}))
    scores = [found.score, *(part.score for part in found.parts.values())]
    assert all(score is None or 0 <= score <= 1 for score in scores)
    assert sum(part.weight for part in found.parts.values()) == pytest.approx(1 if values else 0, abs=1e-5)


def test_failure_patterns_are_counted_together():
    reason = "KeyError: {!r} in line {}, (4 of 5 inputs agree)"
    broken = [entry(f"p_{n}", test=outcome("runtime", reason=reason.format("ab"[n % 2], n))) for n in range(5)]
    patterns = failure_patterns([*table(*broken), *night()])
    assert [(one.category, one.count) for one in patterns] == [
        ("runtime", 5),
        ("analysis bug", 1),
        ("check", 1),
        ("not made", 1),
    ]
    assert patterns[0].pattern == "KeyError: '…' in line N, (N of N inputs agree)"
    assert [one.gen_id for one in patterns[0].examples] == ["p_0", "p_1", "p_2"]


@given(st.text())
def test_patterns_are_short_and_stable(message):
    assert len(normalised(message)) <= 50
    assert "\n" not in normalised(message)


def test_yields(tmp_path):
    found = yields(night())
    relax = found["relax"]
    counts = [getattr(relax, name) for name in ("variants", "made", "unique", "passed_check", "equivalent", "judged")]
    assert counts == [4, 3, 2, 2, 2, 2]
    assert (relax.tier_1, relax.tier_2, relax.tier_3) == (1, 1, 1)
    assert relax.cost_usd == pytest.approx(4 * 0.002 + 2 * 0.001)
    assert relax.tier_1_per_usd == pytest.approx(100)
    assert relax.tier_1_per_1000_tokens == pytest.approx(1000 / 4800, abs=1e-6)
    assert found["reorder"].analysis_bugs == 1
    assert found["reorder"].tier_1_per_usd is None
    write_yields(found, tmp_path / "yield.csv")
    again = read_yields(tmp_path / "yield.csv")
    assert list(again) == list(found)
    for kind, one in found.items():
        assert as_json(again[kind]) == pytest.approx(as_json(one), abs=1e-4)


def dreams_and_samples(dreams, samples, cost=0.002):
    one = [
        entry(f"p_d{n}", "relax", result=answered(f"p_d{n}", cost), verdict=verdict(v)) for n, v in enumerate(dreams)
    ]
    two = [
        entry(f"p_s{n}", "sample", result=answered(f"p_s{n}", cost), verdict=verdict(v)) for n, v in enumerate(samples)
    ]
    return table(*one, *two)


def test_comparison_at_equal_cost():
    found = comparison(dreams_and_samples([0.9, 0.7], [0.5, 0.5, 0.95, 0.95]))
    assert found.unit == "cost_usd"
    assert (found.dreams.variants, found.samples.variants, found.samples.of) == (2, 2, 4)
    assert (found.dreams.cost, found.samples.cost) == (0.006, 0.006)
    assert "At about equal cost" in found.says
    assert "reams have more variants in tier 1 (2 against 0)" in found.says
    assert "dreams have a higher best viability (0.9 against 0.5)" in found.says
    assert "no difference in mean novelty" in found.says


def test_comparison_by_tokens_where_prices_are_zero():
    records = dreams_and_samples([0.5, 0.5, 0.5], [0.9], cost=0.0)
    for record in records:
        record.cost_usd = 0.0
    found = comparison(records)
    assert found.unit == "tokens"
    assert (found.dreams.variants, found.dreams.cost, found.samples.cost) == (1, 1400, 1400)
    assert "samples have a higher best viability" in found.says


def test_comparison_says_when_it_cannot_be_made():
    assert comparison([]).says.startswith("No comparison: this cycle has no dreams (relax or synthesise) and no plain")
    assert "no plain samples" in comparison(dreams_and_samples([0.9], [])).says
    dear = [entry("p_d", "relax", result=answered("p_d", 0.5)), entry("p_s", "sample", result=answered("p_s", 0.002))]
    assert "The budgets differ" in comparison(table(*dear)).says
    assert "Without verdicts" in comparison(table(*dear)).says


# --- the journal ----------------------------------------------------------------------------------------

LIMITS = {"relax": Limit(7, 5, "More, 7 instead of 5: of 6 variants, 4 reached tier 1.")}


def page(records, title="demo, cycle 1", matching=()):
    found, patterns = yields(records), failure_patterns(records)
    return journal(records, health(records), found, patterns, comparison(records), LIMITS, title, matching)


def test_journal_tells_the_night():
    text = page(night())
    assert text.startswith(
        "# demo, cycle 1\n\n**8 variants** of 1 procedure; **5** of them are sound and new, **2** viable. "
        "Cost: 0.0140 USD. The best: keep in line 6: 3 -\\> 6, in `web.backup` "
        "(viability 0.85, behaves differently on 2 of 5 calls).\n"
    )
    headings = re.findall("^## (.*)", text, re.M)
    assert headings == [
        *("The night at a glance", "The best", "Near misses", "Failures", "Duplicates", "Health"),
        *("Dreams against plain samples", "The next cycle"),
    ]
    assert "```diff\n--- a/backup.py\n+++ b/backup.py\n" in text
    assert "the original `['b']`, the variant ``['`a`']``" in text
    assert "- `web.backup` itself: `p_same` (reorder)" in text
    assert (
        "**Analysis bugs:** variants that are labelled safe, but behave differently from the original: 1 by reorder."
        in text
    )
    assert "- relax: 7. More, 7 instead of 5: of 6 variants, 4 reached tier 1." in text
    assert text == page(night())


def test_journal_of_a_night_without_dreams_or_verdicts():
    assert "This cycle has no variants" in page([])
    text = page(table(entry()))
    assert "No variant has a verdict, so no variant can be in tier 1." in text
    assert "## The best\n" not in text


def unjudged():
    """Seven variants without a verdict; the first four are worth reading, in the order c, b, d, a."""
    return table(
        entry("p_a", test=None, check=check(novelty=0.9)),
        entry("p_b", check=check(novelty=0.1)),
        entry("p_c", check=check(novelty=0.2, diff="--- a/backup.py\n+++ b/backup.py\n@@ -1 +1 @@\n-old\n+new\n")),
        entry("p_d", test=outcome("differs"), check=check(novelty=0.8)),
        entry("p_safe", safe=True, test=outcome("differs"), check=check(novelty=0.8)),
        entry("p_crash", test=outcome("runtime"), check=check(novelty=0.9)),
        entry("p_same", check=check(duplicate_of="base")),
    )


def test_a_night_without_a_judge_shows_its_best_variants():
    text = page(unjudged())
    (shown,) = re.findall("## The best without a verdict\n(.*?)\n## ", text, re.S)
    assert re.findall(r"^- `(p_\w+)`: ", shown, re.M) == ["p_c", "p_b", "p_d", "p_a"]
    assert "-old\n+new" in shown
    assert "The best by test and novelty: `p_c`, " in text
    counts, why, _, _, first, *rest = summary_table(unjudged(), 2).splitlines()
    assert counts == "7 variants, 6 sound and new, none judged"
    assert why == "The best 2 of 4 (not judged: by test (like the original, different, not tested), then novelty):"
    assert first.split()[:5] == ["–", "0.20", "equivalent", "parameters", "p_c"]
    assert rest[-3:] == ["  @@ -1 +1 @@", "  -old", "  +new"]


def test_a_night_without_viable_variants_shows_its_near_misses():
    near = table(entry("p_near", verdict=verdict(0.4)), entry("p_bad", verdict=verdict(0.1)))
    lines = summary_table(near).splitlines()
    assert lines[1] == "The best 1 of 1 (none is viable; in tier 2, by novelty):"
    assert lines[4].split()[4] == "p_near"


NASTY = "</details><script>alert(1)</script> **b** `c` | [x](http://y) \n# Heading\n```\n~~~ $a$ <!-- & &lt; \\"


def test_what_models_write_cannot_break_the_page():
    evil = outcome("differs", reason=NASTY, counterexample=example(NASTY, NASTY, NASTY))
    records = table(
        entry("p_1", description=NASTY, test=evil, check=check(diff=NASTY, signature=NASTY), verdict=verdict(0.9)),
        entry("p_2", test=outcome("runtime", reason=NASTY), verdict=verdict(0.5)),
    )
    records[0].reasons = NASTY
    tokens = MarkdownIt("commonmark", {"html": True}).enable("table").parse(page(records, NASTY))
    inner = [child for token in tokens for child in token.children or ()]
    assert not [
        token for token in [*tokens, *inner] if token.type in ("html_block", "html_inline", "link_open", "image")
    ]
    headings = [tokens[at + 1].content for at, token in enumerate(tokens) if token.type == "heading_open"]
    assert [text for text in headings if text.startswith("Heading")] == []
    assert headings[-1] == "The next cycle"
    rows = [token for token in tokens if token.type == "tr_open"]
    cells = [token for token in tokens if token.type in ("td_open", "th_open")]
    assert len(cells) == 12 * 2 + 5 * 2 + 5 * 5
    assert len(rows) == 2 + 2 + 5


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_plain_text_and_code_come_back_as_they_were(text):
    words = visible(" ".join(text.split()))
    if not words:
        return
    markdown = MarkdownIt("commonmark")
    (_, inline, _) = markdown.parse(f"x {plain(words)} x")
    assert "".join(child.content for child in inline.children) == f"x {words} x"
    (_, inline, _) = markdown.parse(f"x {code(words)} x")
    assert [child.content for child in inline.children if child.type == "code_inline"] == [words]
    (fence,) = markdown.parse(block(words, "diff"))
    assert fence.content == f"{words}\n"


def test_nothing_steers_a_terminal():
    shown = page(table(entry(description="\x1b[2Jgone", verdict=verdict(0.9), check=check(diff="+\x1b[2J\tkept"))))
    assert "\x1b" not in shown
    assert "\tkept" in shown


def test_summary_table():
    shown = summary_table(night())
    assert shown.splitlines()[:6] == [
        "8 variants, 5 sound and new, 2 in tier 1",
        "The best 2 of 2 (viable (tier 1), by viability, then novelty):",
        "",
        "viability  novelty  test        kind        variant  procedure",
        "0.85       0.50     differs     parameters  p_best   web.backup",
        "0.70       0.80     equivalent  relax       p_good   web.backup",
    ]
    assert summary_table([]) == "0 variants, 0 sound and new, none judged"
