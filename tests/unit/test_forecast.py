"""What a plan would still call and cost: exact in calls, a bound in money, and silent on the disk."""

import json

import pytest
from dreamflow.generation.forecast import as_table, estimate_tokens, forecast
from dreamflow.generation.make import Context, build
from dreamflow.generation.providers import Response
from dreamflow.generation.respond import cost, respond
from dreamflow.generation.store import save_response
from dreamflow.run import Run
from hypothesis import given
from hypothesis import strategies as st
from project import REPOSITORY, Project

PRICE = {"prompt": 3.0, "completion": 15.0}
AXES = {
    "draft_template": ["plain"],
    "draft_llm": ["writer"],
    "essay_template": ["long", "kept"],
    "evaluation_template": ["novelty"],
    "evaluation_llm": ["judge"],
}
SPEC = {
    "combos": {"lists": [["a", "b"], ["b", "c"]]},
    "axes": AXES,
    "output": {"field_order": ["combo_id"]},
    "stages": {"draft": {"min_lines": 1}},
}


@pytest.fixture
def project(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    answers = {
        "Rate": "SCORE: 6\n",
        "What a is": "Of a.",
        "What c is": "Of c.",
        "Of a": "More on a.",
        "Of c": "More on c.",
    }
    lines = [{"contains": part, "text": text * 20} for part, text in answers.items()]
    (tmp_path / "answers.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    recorded = {"provider": "replay", "name": str(tmp_path / "answers.jsonl"), "context_length": 8000}
    models = {"writer": {**recorded, "price": PRICE}, "judge": {**recorded, "price": PRICE}}
    return Project(tmp_path, {**models, "colleague": {"provider": "human"}}, SPEC)


def lines(flow):
    return {(line.stage, line.model_id): line for line in forecast(flow.plan.generations, flow.context, {})}


def counts(flow):
    return {key: (line.generations, line.answered, line.calls) for key, line in lines(flow).items()}


def make(flow, stage):
    for gen_id in flow.plan.of_stage(stage):
        flow.make(gen_id, "log")


def test_counts_before_during_and_after(project):
    flow = Run({"cohorts": ["trial"]})
    d, e, c, v = ("draft", "writer"), ("essay", "writer"), ("essay", "copy"), ("evaluation", "judge")
    assert counts(flow) == {d: (2, 0, 2), e: (2, 0, 2), c: (2, 0, 0), v: (4, 0, 4)}
    assert lines(flow)[v].calls_upper == 12
    assert "8 calls to make (at most 24 with every retry), 0 generations already answered" in flow.forecast_text()
    make(flow, "draft")
    assert counts(flow) == {d: (2, 2, 0), e: (2, 0, 2), c: (2, 2, 0), v: (4, 0, 4)}
    make(flow, "essay")
    before = flow.ledger.calls
    assert (before, counts(flow)[v]) == (4, (4, 0, 4))
    make(flow, "evaluation")
    assert counts(flow) == {d: (2, 2, 0), e: (2, 2, 0), c: (2, 2, 0), v: (4, 4, 0)}
    assert flow.ledger.calls == 8
    assert "0 calls to make (at most 0 with every retry), 10 generations already answered" in flow.forecast_text()
    assert flow.forecast_text().endswith("about $0.00, at most $0.00")

    project.write("data/1_raw/templates/evaluation/novelty.txt", "Rate {{ response }} anew.\n")
    assert counts(Run({"cohorts": ["trial"]})) == {d: (2, 2, 0), e: (2, 2, 0), c: (2, 2, 0), v: (4, 0, 4)}


def test_what_was_spent_lies_below_what_was_forecast(project):
    flow = Run({"cohorts": ["trial"]})
    told = lines(flow).values()
    for stage in ("draft", "essay", "evaluation"):
        make(flow, stage)
    assert 0 < flow.ledger.cost_usd <= sum(line.cost_upper_usd for line in told)


def test_a_forecast_writes_nothing_and_waiting_for_a_person_is_not_answered(project):
    project.edit("config/cohorts/trial.yaml", axes={**AXES, "draft_llm": ["colleague"], "essay_llm": ["writer"]})
    files = sorted(project.root.rglob("*"))
    flow = Run({"cohorts": ["trial"]})
    assert counts(flow)["draft", "colleague"] == (2, 0, 0)
    assert sorted(project.root.rglob("*")) == files


def test_models_without_a_price_are_named_as_long_as_they_are_to_be_called(project):
    models = project.read("config/models.yaml")["models"]
    models["judge"] |= {"provider": "openai", "base_url": "http://127.0.0.1:9/v1"}
    del models["judge"]["price"]
    project.edit("config/models.yaml", models=models)
    flow = Run({"cohorts": ["trial"]})
    table = flow.forecast_text()
    assert table.endswith("without a price in models.yaml, so not counted: judge")
    row = next(line for line in table.splitlines() if line.startswith("evaluation"))
    assert row.split()[-2:] == ["?", "?"]
    make(flow, "draft")
    drafts = {gen_id: flow.row(gen_id) for gen_id in flow.plan.of_stage("draft")}
    assert "without a price" not in as_table(forecast(drafts, flow.context, {}))
    assert as_table([]).splitlines()[1].startswith("0 calls to make")


def planned(stage, parents, limit, attempts, template="T"):
    return {
        "gen_id": f"{stage}_1",
        "stage": stage,
        "mode": "llm",
        "template_id": "t",
        "template_sha256": template,
        "parser": "identity/1",
        "parser_options": {},
        "replicate": 1,
        "attempts": attempts,
        "min_lines": 1,
        "model": {"model_id": "m"},
        "sampling": {"max_tokens": limit},
        "response_format": None,
        "parents": parents,
        "variables": {},
    }


@given(
    template=st.text("ab 机\n", max_size=400),
    limits=st.lists(st.integers(1, 30_000), min_size=1, max_size=4),
    attempts=st.integers(1, 6),
    most=st.none() | st.integers(1, 60_000),
    prices=st.tuples(st.floats(0, 100), st.floats(0, 100)),
)
def test_the_bound_holds_when_every_answer_is_cut_off_at_its_limit(
    tmp_path_factory, template, limits, attempts, most, prices
):
    store = tmp_path_factory.mktemp("data")
    model = {"context_length": 8192, "price": dict(zip(("prompt", "completion"), prices, strict=True))}
    model |= {} if most is None else {"max_output_tokens": most}
    context = Context(store, {"T": template}, {"m": model}, {})
    chain, parents = {}, []
    for number, limit in enumerate(limits):
        row = planned(f"stage{number}", parents, limit, attempts)
        chain[row["gen_id"]], parents = row, [row["gen_id"]]
    told = forecast(chain, context, {})
    for line in told:
        assert 0 <= line.cost_usd <= line.cost_upper_usd + 1e-12
        assert 0 < line.prompt_tokens + line.completion_tokens <= line.tokens_upper
        assert 1 == line.calls <= line.calls_upper == attempts

    spent = {"tokens": 0, "cost": 0.0}

    def ask(question, key):
        usage = {
            "prompt_tokens": estimate_tokens(question["messages"][0]["content"]),
            "completion_tokens": question["sampling"]["max_tokens"],
        }
        spent["tokens"] += sum(usage.values())
        spent["cost"] += cost(Response("", usage=usage), model["price"])
        record = {
            "request": question,
            "response": {"text": "x", "finish_reason": "length", "usage": usage},
            "asked": {},
        }
        save_response(store / "fresh", key, record)
        return record

    respond(next(iter(chain.values())), template, store / "fresh", ask, models={"m": model})
    assert spent["tokens"] <= told[0].tokens_upper
    assert spent["cost"] <= told[0].cost_upper_usd + 1e-6


def test_the_bound_holds_for_every_shipped_draft_template(tmp_path, monkeypatch):
    """Some of them name a concept more than once."""
    monkeypatch.chdir(REPOSITORY)
    names = sorted(path.stem for path in REPOSITORY.glob("data/1_raw/templates/draft/*.txt"))
    spec = {**SPEC, "combos": {"size": 5, "sample": 3}}
    spec["axes"] = {"draft_template": names, "draft_llm": ["sonnet-4"]}
    (tmp_path / "shipped.json").write_text(json.dumps(spec))
    flow = Run({"cohorts": [str(tmp_path / "shipped.json")], "data_root": str(tmp_path / "data")})
    asked = {"text": "x\n" * 9, "finish_reason": "stop", "usage": {}}
    for gen_id, row in flow.plan.generations.items():
        (line,) = forecast({gen_id: row}, flow.context, {})
        prompt = build(row, flow.context, [], lambda question, key: {"response": asked}).prompt
        tokens = estimate_tokens(prompt)
        assert 0 < tokens <= line.tokens_upper / row["attempts"] - row["sampling"]["max_tokens"]


@pytest.mark.parametrize(
    ("text", "low", "high"),
    [
        ("", 0, 0),
        ("The quick brown fox jumps over the lazy dog.", 8, 14),
        ("机器学习正在改变我们理解世界的方式。", 9, 24),
        ("Größenwahn naïf", 3, 8),
    ],
)
def test_tokens_are_about_what_tokenizers_count(text, low, high):
    assert low <= estimate_tokens(text) <= high


@given(st.text(), st.text())
def test_more_text_is_more_tokens(one, other):
    both = estimate_tokens(one + other)
    assert (
        max(estimate_tokens(one), estimate_tokens(other)) <= both <= estimate_tokens(one) + estimate_tokens(other) + 1
    )
