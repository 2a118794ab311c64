"""Cycles of trust: outcomes -> records -> the table, and everything that follows from it."""

import csv
import json
import sqlite3
from pathlib import Path

import pytest
from dreamflow.errors import DreamflowError
from dreamflow.files import sha256
from dreamflow.generation.models import Model
from dreamflow.outcomes.table import OutcomeRow, write_outcomes
from dreamflow.routing.choices import Choice, ChoiceFile
from dreamflow.routing.choose import Expected
from dreamflow.trust.folders import cycle_folder, cycles
from dreamflow.trust.policies import estimate_policies
from dreamflow.trust.spec import Trust
from dreamflow.trust.standing import read_records, replay
from dreamflow.trust.update import past, update

MODELS = {
    name: Model.model_validate({"model_id": name, "provider": "openai", "name": name, "atp": atp})
    for name, atp in (("small", 0.5), ("large", 5))
}
LAYERS = {"small": "sensory", "large": "specialized"}


def outcome(number: int, model_id: str = "small", value: float = 1.0, **fields: object) -> OutcomeRow:
    """An outcome of a probe answer; `number` orders it in time."""
    made = {
        "outcome_id": sha256(f"{model_id} {number}")[:16],
        "model_id": model_id,
        "revision": "r1",
        "layer": LAYERS.get(model_id, ""),
        "context": "novel",
        "kind": "facts",
        "evidence_class": "exact",
        "verified_by": "grader",
        "outcome": value,
        "weight": 1.0,
        "stage": "answer",
        "gen_id": f"a_{number}",
        "evidence": f"gens/answer/a_{number}/metadata.json",
        "tokens": 20,
        "cost_usd": 0.0,
        "atp": 0.6,
        "latency_s": 0.1,
        "prompt_words": 20,
        "created_at": f"2026-11-27T00:{number // 60:02}:{number % 60:02}+00:00",
        "why": "",
        "cycle": 1,
    }
    return OutcomeRow(**(made | fields))


def run(root: Path, cycle: int, rows: list[OutcomeRow], settings: Trust | None = None) -> list[dict[str, str]]:
    """Make a cycle of these outcomes; returns the rows of trust.csv."""
    folder = cycle_folder(root, cycle)
    folder.mkdir(parents=True, exist_ok=True)
    write_outcomes(folder / "outcomes.csv", rows)
    update(root, cycle, MODELS, settings or Trust())
    return table(root, cycle)


def table(root: Path, cycle: int) -> list[dict[str, str]]:
    """The rows of trust.csv."""
    with (cycle_folder(root, cycle) / "trust.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def row_of(rows: list[dict[str, str]], model_id: str, context: str, evidence: str = "exact") -> dict[str, str]:
    """The one row of a place."""
    [row] = [r for r in rows if (r["model_id"], r["context"], r["evidence"]) == (model_id, context, evidence)]
    return row


def three_cycles(root: Path) -> None:
    """Two models, two contexts, two classes of evidence, one new revision."""
    run(root, 1, [outcome(n, value=n % 2) for n in range(10)] + [outcome(n, "large") for n in range(20, 30)])
    judged = [outcome(n, evidence_class="judged", verified_by="judge", weight=0.3, value=0.7) for n in range(40, 46)]
    run(root, 2, [*judged, *(outcome(n, context="stable", value=0.0) for n in range(50, 58))])
    run(root, 3, [outcome(n, value=n % 2, revision="r2") for n in range(60, 70)])


def test_the_table_follows_from_the_records_alone(tmp_path):
    three_cycles(tmp_path)
    written = [table(tmp_path, cycle) for cycle in (1, 2, 3)]
    for folder in (cycle_folder(tmp_path, cycle) for cycle in (1, 2, 3)):
        for file in folder.iterdir():
            if file.name != "reputation.jsonl":
                file.unlink()
    again = past(tmp_path, 4, LAYERS).rows
    for cycle, rows in enumerate(written, 1):
        own = [row for row in again if row.cycle == cycle]
        assert [(r.model_id, r.context, r.evidence) for r in own] == [
            (r["model_id"], r["context"], r["evidence"]) for r in rows
        ]
        for name in ("trust", "low", "high", "alpha", "beta", "successes", "failures", "n"):
            assert [getattr(r, name) for r in own] == pytest.approx([float(r[name]) for r in rows], abs=1e-6)
        assert [r.new for r in own] == [int(r["new"]) for r in rows]


def test_records_say_what_changed_why_and_by_which_files(tmp_path):
    three_cycles(tmp_path)
    for cycle in (2, 3):
        records = read_records(cycle_folder(tmp_path, cycle) / "reputation.jsonl")
        for row in table(tmp_path, cycle):
            own = [r for r in records if r.place == (row["model_id"], row["context"], row["evidence"])]
            if own and row["context"] != "*" and row["change"]:
                total = sum(r.trust_change["T3_reliability"] for r in own)
                assert total == pytest.approx(float(row["change"]), abs=1e-4)
        for record in records:
            assert record.reason
            assert bool(record.witnesses) == bool(record.outcomes)
    third = [r for r in records if r.place == ("small", "novel", "exact")]
    assert [r.action for r in third] == ["aged", "changed", "answered facts"]
    assert third[2].reason == "5 of 10 right, by grader"
    assert third[2].witnesses[0] == "gens/answer/a_60/metadata.json"


def test_classes_of_evidence_never_pool(tmp_path):
    exact = run(tmp_path / "a", 1, [outcome(n, value=0.0) for n in range(10)])
    judged = [outcome(n, evidence_class="judged", verified_by="judge", value=1.0) for n in range(20, 90)]
    both = run(tmp_path / "b", 1, [*(outcome(n, value=0.0) for n in range(10)), *judged])
    assert row_of(both, "small", "novel") == row_of(exact, "small", "novel")
    assert float(row_of(both, "small", "novel", "judged")["trust"]) > 0.9


def test_without_outcomes_trust_ages(tmp_path):
    before = row_of(run(tmp_path, 1, [outcome(n) for n in range(30)]), "small", "novel")
    after = row_of(run(tmp_path, 2, [], Trust(half_life=1)), "small", "novel")
    assert float(after["n"]) == pytest.approx(float(before["n"]) / 2)
    assert float(after["high"]) - float(after["low"]) > float(before["high"]) - float(before["low"])
    assert after["moving_average"] == before["moving_average"]


def test_another_revision_keeps_part_of_the_evidence(tmp_path):
    run(tmp_path, 1, [outcome(n) for n in range(20)])
    rows = run(tmp_path, 2, [outcome(30, revision="r2")], Trust(half_life=1e9, revision_share=0.25))
    assert float(row_of(rows, "small", "novel")["n"]) == pytest.approx(20 * 0.25 + 1)


def test_surprising_outcomes_widen_the_posterior_and_ask_for_probes(tmp_path):
    run(tmp_path, 1, [outcome(n) for n in range(60)])
    expected = run(tmp_path / "other", 1, [outcome(n) for n in range(60)])
    rows = run(tmp_path, 2, [outcome(n, value=0.0) for n in range(70, 90)])
    routing = json.loads((cycle_folder(tmp_path, 2) / "routing.json").read_text())
    assert routing["verify"] == [{"model_id": "small", "context": "novel", "evidence": "exact"}]
    records = read_records(cycle_folder(tmp_path, 2) / "reputation.jsonl")
    [surprised] = [record for record in records if record.action == "surprised"]
    assert surprised.factor < 1
    assert float(row_of(rows, "small", "novel")["trust"]) < 0.5 < float(row_of(expected, "small", "novel")["trust"])


def test_the_routing_table_has_configured_models_and_layers_only(tmp_path):
    run(tmp_path, 1, [outcome(1), outcome(2, "large"), outcome(3, "retired")])
    routing = json.loads((cycle_folder(tmp_path, 1) / "routing.json").read_text())
    assert set(routing["models"]) == {"small", "large"}
    named = {cell["model_id"] for cell in routing["cells"]}
    assert {"small", "large"} < named
    assert "retired" not in named
    assert all(name.startswith("*") for name in named - {"small", "large"})
    assert routing["state"]["budget_atp"] == 100


def test_the_database_has_the_tables_of_the_original(tmp_path):
    three_cycles(tmp_path)
    with sqlite3.connect(cycle_folder(tmp_path, 3) / "trust.sqlite") as base:
        rows = base.execute(
            "SELECT model_name, context_state, success_count FROM model_trust WHERE evidence_class = 'exact'"
        ).fetchall()
        names = {name for (name,) in base.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    base.close()
    assert names == {"model_trust", "training_examples", "model_performance"}
    assert {(model, context) for model, context, _ in rows} == {
        ("small", "novel"), ("small", "stable"), ("large", "novel")
    }  # fmt: skip


def test_a_cycle_made_again_is_the_same(tmp_path):
    three_cycles(tmp_path)
    folder = cycle_folder(tmp_path, 3)
    before = {path.name: path.read_bytes() for path in folder.iterdir() if path.suffix != ".sqlite"}
    update(tmp_path, 3, MODELS, Trust())
    assert {path.name: path.read_bytes() for path in folder.iterdir() if path.suffix != ".sqlite"} == before


def test_two_folders_of_one_cycle_are_an_error(tmp_path):
    for name in ("cycle-2", "cycle-02"):
        (tmp_path / "trust" / name).mkdir(parents=True)
    with pytest.raises(DreamflowError, match="are the same cycle 2; keep the right one as cycle-2"):
        cycles(tmp_path)


def test_damaged_or_misplaced_records_are_named(tmp_path):
    three_cycles(tmp_path)
    path = cycle_folder(tmp_path, 2) / "reputation.jsonl"
    whole = path.read_text()
    path.write_text(whole[:-20])
    last = whole.count("\n")
    with pytest.raises(DreamflowError, match=rf"cycle-2/reputation.jsonl:{last}: not a reputation record"):
        past(tmp_path, 4, LAYERS)
    path.write_text((cycle_folder(tmp_path, 3) / "reputation.jsonl").read_text())
    with pytest.raises(DreamflowError, match="it has records of cycle 3"):
        past(tmp_path, 4, LAYERS)


def test_the_moving_average_is_that_of_the_outcomes_in_their_order(tmp_path):
    rows = run(tmp_path, 1, [outcome(1, value=1.0), outcome(2, value=1.0), outcome(3, value=1.0)])
    assert float(row_of(rows, "small", "novel")["moving_average"]) == pytest.approx(0.6355)
    standing = replay(read_records(cycle_folder(tmp_path, 1) / "reputation.jsonl"))
    assert standing["small", "novel", "exact"].outcomes == 3


def test_the_page_prefers_what_is_worth_its_cost(tmp_path):
    cheap = [outcome(n, value=float(n % 10 != 0)) for n in range(100)]  # .9 for .6 ATP
    dear = [outcome(n, "large", context="novel") for n in range(200, 300)]  # 1.0 for ten times as much
    run(tmp_path, 1, [*cheap, *dear], Trust(atp_value=0.05))
    page = (cycle_folder(tmp_path, 1) / "trust.md").read_text(encoding="utf-8")
    [line] = [line for line in page.splitlines() if line.startswith("| novel |")]
    cells = [cell.strip() for cell in line.strip("|").split("|")]
    assert (cells[1], cells[5]) == ("`small`", "`large`")
    assert cells[-1] == "90%"
    assert "Too few choices" in page


def test_other_policies_are_estimated_from_the_choices_that_were_made(tmp_path):
    expected = {"small": Expected(0.5, 0.6, 0.4, 0.5), "large": Expected(0.5, 6.0, 0.4, 0.5)}
    names = ["small", "large"]
    fields = {"context": "novel", "evidence": "", "cycle": 0, "state": "", "why": "no table yet", "propensity": 0.5}
    made = [(Choice(slot=f"s{n}", model_id=names[n % 2], **fields), expected) for n in range(400)]
    file = ChoiceFile(tmp_path / "trust" / "choices.jsonl")
    file.add(made)
    # The large model is right 9 of 10 times, the small one 3 of 10 times.
    right = {"small": lambda n: n // 2 % 10 < 3, "large": lambda n: n // 2 % 10 < 9}
    rows = [outcome(n, names[n % 2], float(right[names[n % 2]](n)), slot=f"s{n}", propensity=0.5) for n in range(400)]
    policies = {each.name: each for each in estimate_policies(rows, ChoiceFile(file.path))}
    for name, mean, atp in (("small", 0.3, 0.6), ("large", 0.9, 6.0)):
        policy = policies[f"always {name}"]
        assert policy.outcome.mean == pytest.approx(mean, abs=0.01)
        assert policy.by_weights.mean == pytest.approx(mean, abs=0.01)
        assert policy.outcome.low < mean < policy.outcome.high
        assert (policy.atp, policy.agreement) == (pytest.approx(atp), 0.5)
    assert policies["as it was"].outcome.mean == pytest.approx(0.6, abs=0.01)
    assert policies["always the cheapest"].atp == pytest.approx(0.6)
    assert estimate_policies(rows[:10], ChoiceFile(file.path)) == []


def test_by_day_the_state_of_a_night_stands(tmp_path):
    run(tmp_path, 1, [outcome(1)])
    path = cycle_folder(tmp_path, 1) / "state.json"
    state = json.loads(path.read_text())
    assert (state["name"], state["measured"]["night"]) == ("wake", False)
    at_night = {**state, "name": "dream", "measured": {**state["measured"], "night": True}}
    path.write_text(json.dumps(at_night))
    update(tmp_path, 1, MODELS, Trust())
    assert json.loads(path.read_text()) == at_night
    path.write_text("{")
    update(tmp_path, 1, MODELS, Trust())
    assert json.loads(path.read_text())["name"] == "wake"
