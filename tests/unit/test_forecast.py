"""What a plan would still call and cost: exact in calls, a bound in money, and silent on the disk."""

import json
from collections import Counter
from contextlib import suppress
from dataclasses import replace as changed

import pytest
from dreamflow.generation.budget_use import BudgetUse, budget_use
from dreamflow.generation.budgets import Budget
from dreamflow.generation.digest import Freshness
from dreamflow.generation.forecast import Line, as_table, forecast
from dreamflow.generation.layout import Layout
from dreamflow.generation.make import Context, build
from dreamflow.generation.model import (
    Call,
    Candidate,
    Generation,
    Message,
    ModelIdentity,
    Question,
    Record,
    Response,
    Usage,
)
from dreamflow.generation.models import Model, identity
from dreamflow.generation.prices import cost
from dreamflow.generation.respond import NeedsCall, respond
from dreamflow.generation.store import add_spent, database, request_key
from dreamflow.generation.tokens import most_tokens
from dreamflow.run import Run
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from project import REPOSITORY, Project
from stored import save_response

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


def run():
    flow = Run({"cohorts": ["trial"]}, lambda path: None)
    flow.seen = dict.fromkeys(flow.plan.generations)
    return flow


def forecast_of(flow, rows):
    return forecast(rows, flow.context, flow.freshness.is_stale, flow.plan.folder)


def lines(flow):
    return {(line.stage, line.model_id): line for line in forecast_of(flow, flow.plan.generations.values())}


def counts(flow):
    return {key: (line.generations, line.answered, line.calls) for key, line in lines(flow).items()}


def of_stage(flow, stage):
    return [row for row in flow.plan.generations.values() if row.stage == stage]


def make(flow, stage):
    for row in of_stage(flow, stage):
        flow.make(row.gen_id, "log")


def test_counts_before_during_and_after(project):
    flow = run()
    d, e, c, v = ("draft", "writer"), ("essay", "writer"), ("essay", "copy"), ("evaluation", "judge")
    assert counts(flow) == {d: (2, 0, 2), e: (2, 0, 2), c: (2, 0, 0), v: (4, 0, 4)}
    assert lines(flow)[v].calls_upper == 12
    assert "8 calls to make (at most 24 with every retry), 0 generations already answered" in flow.forecast_text()
    make(flow, "draft")
    assert counts(flow) == {d: (2, 2, 0), e: (2, 0, 2), c: (2, 2, 0), v: (4, 0, 4)}
    make(flow, "essay")
    before = flow.display.calls
    assert (before, counts(flow)[v]) == (4, (4, 0, 4))
    make(flow, "evaluation")
    assert counts(flow) == {d: (2, 2, 0), e: (2, 2, 0), c: (2, 2, 0), v: (4, 4, 0)}
    assert flow.display.calls == 8
    assert "0 calls to make (at most 0 with every retry), 10 generations already answered" in flow.forecast_text()
    assert flow.forecast_text().endswith("about $0.00, at most $0.00")

    project.write("data/1_raw/templates/evaluation/novelty.txt", "Rate {{ response }} anew.\n")
    assert counts(run()) == {d: (2, 2, 0), e: (2, 2, 0), c: (2, 2, 0), v: (4, 0, 4)}


def test_what_was_spent_lies_below_what_was_forecast(project):
    flow = run()
    before = lines(flow).values()
    for stage in ("draft", "essay", "evaluation"):
        make(flow, stage)
    assert 0 < flow.display.cost_usd <= sum(line.cost_upper_usd for line in before)


def test_a_forecast_writes_nothing_and_waiting_for_a_person_is_not_answered(project):
    project.edit("config/cohorts/trial.yaml", axes={**AXES, "draft_llm": ["colleague"], "essay_llm": ["writer"]})
    files = sorted(project.root.rglob("*"))
    flow = run()
    assert counts(flow)["draft", "colleague"] == (2, 0, 0)
    assert sorted(project.root.rglob("*")) == files


def test_models_without_a_price_are_named_as_long_as_they_are_to_be_called(project):
    models = project.read("config/models.yaml")["models"]
    models["judge"] |= {"provider": "openai", "base_url": "http://127.0.0.1:9/v1"}
    del models["judge"]["price"]
    project.edit("config/models.yaml", models=models)
    flow = run()
    table = flow.forecast_text()
    unknown = next(line for line in table.splitlines() if line.startswith("not counted, since the price is unknown"))
    assert ": judge. Write it into models.yaml" in unknown
    row = next(line for line in table.splitlines() if line.startswith("evaluation"))
    assert row.split()[-2:] == ["?", "?"]
    make(flow, "draft")
    assert "price is unknown" not in as_table(forecast_of(flow, of_stage(flow, "draft")))
    assert as_table([]).splitlines()[1].startswith("0 calls to make")


def planned(stage, parents=(), limit=9, max_attempts=1, **changes):
    fields = {
        "family": "cohort",
        "stage": stage,
        "gen_id": f"{stage}_1",
        "mode": "llm",
        "template_id": "t",
        "template_sha256": "T",
        "parser": "identity/1",
        "max_attempts": max_attempts,
        "min_lines": 1,
        "model": ModelIdentity(model_id="m", provider="replay", name="x", revision=""),
        "sampling": {"max_tokens": limit},
        "parents": parents,
    }
    return Generation(**{**fields, **changes})


def record(question, text="x", finish_reason="stop", usage=None):
    call = Call(gen_id="d_1", stage="draft", cohort_id="trial", at="2026-01-01", latency_s=1.0)
    response = Response(text, finish_reason, usage or Usage())
    return Record(schema_version=1, request=question, response=response, call=call)


def forecast_all(rows, context, kept=None):
    """The forecast of rows as a run makes it, with the stages of the parents that are only read."""
    by_id, layout, kept = {row.gen_id: row for row in rows}, context.layout, kept or {}

    def folder(gen_id):
        return layout.generation(by_id[gen_id].stage if gen_id in by_id else kept[gen_id], gen_id)

    return forecast(rows, context, Freshness(by_id.get, layout, kept).is_stale, folder)


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
    data = tmp_path_factory.mktemp("data")
    price = dict(zip(("prompt", "completion"), prices, strict=True))
    model = Model(
        model_id="m",
        provider="replay",
        name="x",
        context_length=8192,
        **({"max_output_tokens": most} if most else {}),
        price=price,
    )
    context = Context(Layout(data), {"T": template}, {"m": model}, {})
    chain, parents = [], []
    for number, limit in enumerate(limits):
        chain.append(planned(f"stage{number}", parents, limit, attempts))
        parents = [chain[-1].gen_id]
    expected = forecast_all(chain, context)
    for line in expected:
        assert 0 <= line.cost_usd <= line.cost_upper_usd + 1e-12
        assert 0 < line.prompt_tokens + line.completion_tokens <= line.tokens_upper
        assert 1 == line.calls <= line.calls_upper == attempts

    spent = {"tokens": 0, "cost": 0.0}

    def ask(question, key):
        prompt, answer = most_tokens(question.messages[0].content), question.sampling["max_tokens"]
        usage = Usage(prompt_tokens=prompt, completion_tokens=answer)
        spent["tokens"] += prompt + answer
        spent["cost"] += cost(usage, price)
        save_response(data / "fresh", key, record(question, "x", "length", usage))
        return record(question, "x", "length", usage)

    respond(chain[0], template, data / "fresh", ask, models={"m": model})
    assert spent["tokens"] <= expected[0].tokens_upper
    assert spent["cost"] <= expected[0].cost_upper_usd + 1e-6


def test_the_bound_holds_for_every_shipped_draft_template(tmp_path, monkeypatch):
    """Some of them name a concept more than once."""
    monkeypatch.chdir(REPOSITORY)
    names = sorted(path.stem for path in REPOSITORY.glob("data/1_raw/templates/draft/*.txt"))
    spec = {**SPEC, "combos": {"size": 5, "sample": 3}}
    spec["axes"] = {"draft_template": names, "draft_llm": ["sonnet-4"]}
    (tmp_path / "shipped.json").write_text(json.dumps(spec))
    config = {"cohorts": [str(tmp_path / "shipped.json")], "data_root": str(tmp_path / "data")}
    flow = Run(config, lambda path: None)
    for row in flow.plan.generations.values():
        (line,) = forecast_of(flow, [row])
        prompt = build(row, flow.context, [], lambda question, key: record(question, "x\n" * 9)).prompt
        tokens = most_tokens(prompt)
        assert 0 < tokens <= line.tokens_upper / row.max_attempts - row.sampling["max_tokens"]


# Parents that are not among the rows.


@pytest.fixture
def context(tmp_path):
    texts = {"T": "Rate it.", "P": "Rate {{ text }}."}
    model = Model(model_id="m", provider="replay", name="x", context_length=8000)
    return Context(Layout(tmp_path), texts, {"m": model, "person": Model(model_id="person", provider="human")})


def keep(context, stage, gen_id, text, status="ok"):
    folder = context.layout.generation(stage, gen_id)
    folder.mkdir(parents=True)
    (folder / "parsed.txt").write_text(text)
    (folder / "metadata.json").write_text(json.dumps({"gen_id": gen_id, "stage": stage, "status": status}))


def child(parent):
    return planned("essay", [parent], variables={"text": {"parent": parent}}, template_sha256="P")


def test_a_parent_that_is_only_read_is_found_by_its_stage(context):
    keep(context, "draft", "d_1", "word " * 4000)
    (long,) = forecast_all([child("d_1")], context, {"d_1": "draft"})
    assert (long.calls, long.prompt_tokens > 3000) == (1, True)
    prompt = "Rate " + "word " * 4000 + ".\n"
    question = Question(child("d_1").model, [Message("user", prompt)], {"max_tokens": 9}, None, 0)
    save_response(context.layout.store, request_key(question), record(question))
    (line,) = forecast_all([child("d_1")], context, {"d_1": "draft"})
    assert (line.answered, line.calls) == (1, 0)


def test_a_forecast_finds_an_answer_of_an_old_version_and_leaves_it_where_it_is(context):
    row, plain = planned("draft"), ModelIdentity(model_id="m", provider="openai", name="x", revision="")
    question = Question(plain, [Message("user", "Rate it.\n")], {"max_tokens": 9}, None, 0)
    save_response(context.layout.store, request_key(question), record(question))
    answers = database(context.layout.store).read("SELECT * FROM answers")
    (line,) = forecast_all([replace(row, model=replace(plain, service="models.example.org"))], context)
    assert (line.answered, line.calls) == (1, 0)
    assert database(context.layout.store).read("SELECT * FROM answers") == answers


def test_a_damaged_record_is_a_line_and_not_the_end_of_the_forecast(context):
    row, other = planned("draft"), planned("draft", gen_id="d_2", replicate=2)
    key = request_key(Question(row.model, [Message("user", "Rate it.\n")], {"max_tokens": 9}, None, 0))
    file = context.layout.store / "responses" / key[:2] / f"{key}.json"
    file.parent.mkdir(parents=True)
    file.write_text('{"schema_version": 1, "requ')
    (line,) = forecast_all([row, other], context)
    assert (line.generations, line.answered, line.calls, len(line.problems)) == (2, 0, 1, 1)
    assert as_table([line]).splitlines()[-1].startswith(f"{file}: this record of the response store is damaged")


def test_the_child_of_a_failed_parent_is_skipped_without_a_call(context):
    keep(context, "draft", "d_1", "", status="failed")
    (line,) = forecast_all([child("d_1")], context, {"d_1": "draft"})
    assert (line.answered, line.calls) == (1, 0)


def test_a_parent_that_has_no_files_yet_has_no_text(context):
    (line,) = forecast_all([child("d_1")], context, {"d_1": "draft"})
    assert (line.answered, line.calls) == (0, 1)


@pytest.mark.parametrize("mode", ["copy", "human", "local"])
def test_without_its_parents_text_nothing_is_called_for_a_mode_without_calls(context, mode):
    person = identity(Model(model_id="person", provider="human"))
    rows = [planned("draft"), planned("essay", ["draft_1"], mode=mode, model=person if mode == "human" else None)]
    draft, essay = forecast_all([*rows, planned("evaluation", ["essay_1"])], context)[:2]
    assert (draft.calls, essay.calls, essay.answered, essay.generations) == (1, 0, 0, 1)


# Fallback models.


def with_fallback(context, price=None):
    """A row with a fallback model, and a context that has both models; `price` is the fallback's."""
    spare = Model(
        model_id="spare", provider="replay", name="y", context_length=8000, **({"price": price} if price else {})
    )
    fallback = Candidate(identity(spare), {"max_tokens": 100})
    row = planned("draft", limit=9, max_attempts=2, fallbacks=[fallback])
    return row, changed(context, models={**context.models, "spare": spare})


def answered(context, row, *answers):
    """Store answers to the row's questions, in the order in which a run asks them; returns how many were stored."""
    left = list(answers)

    def ask(question, key):
        if not left:
            raise NeedsCall(key)
        found = record(question, *left.pop(0))
        save_response(context.layout.store, key, found)
        return found

    with suppress(NeedsCall):
        respond(row, context.texts[row.template_sha256] + "\n", context.layout.store, ask, models=context.models)
    return len(answers) - len(left)


def test_a_fallback_whose_model_has_failed_is_forecast_as_its_own_line(context):
    price = {"prompt": 0.0, "completion": 1e6}
    row, context = with_fallback(context, price)
    (before,) = forecast_all([row], context)
    assert (before.model_id, before.calls, before.calls_upper) == ("m", 1, 4)
    assert before.cost_usd == 0 and before.cost_upper_usd == 100 + 200  # of the fallback, with a doubled limit
    assert answered(context, row, ("", "refusal"), ("", "refusal")) == 2
    planned_line, spare = forecast_all([row], context)
    assert (planned_line.generations, planned_line.answered, planned_line.calls) == (1, 0, 0)
    assert (spare.model_id, spare.generations, spare.calls, spare.calls_upper) == ("spare", 0, 1, 2)
    assert spare.cost_usd == 50
    assert answered(context, row, ("yes", "stop")) == 1
    (line,) = forecast_all([row], context)
    assert (line.model_id, line.answered, line.calls) == ("m", 1, 0)


def test_samples_that_were_drawn_are_not_counted_again(context):
    row, context = with_fallback(context)
    assert answered(context, row, ("cut o", "length")) == 1
    (line,) = forecast_all([row], context)
    assert (line.calls, line.calls_upper) == (1, 3)


@given(
    rows=st.lists(
        st.tuples(
            st.integers(1, 3),  # attempts
            st.booleans(),  # has a fallback
            st.lists(st.sampled_from([("", "refusal"), ("cut o", "length"), ("yes", "stop")]), max_size=5),
            st.booleans(),  # another generation asks the same
        ),
        min_size=1,
        max_size=4,
    )
)
def test_a_run_makes_the_calls_that_were_forecast_if_each_first_answer_is_usable(tmp_path_factory, rows):
    models = {name: Model(model_id=name, provider="replay", name="x", context_length=8000) for name in ("m", "spare")}
    texts = {f"T{number}": f"Question {number}." for number in range(len(rows))}
    context = Context(Layout(tmp_path_factory.mktemp("data")), texts, models, {})
    store, planned_rows = context.layout.store, []
    for number, (attempts, has_fallback, stored, is_twice) in enumerate(rows):
        fallbacks = [Candidate(identity(models["spare"]), {"max_tokens": 100})] if has_fallback else []
        for copy in range(1 + is_twice):
            changes = {"template_sha256": f"T{number}", "gen_id": f"d_{number}-{copy}", "max_attempts": attempts}
            planned_rows.append(planned("draft", fallbacks=fallbacks, **changes))
        answered(context, planned_rows[-1], *stored)
    made = Counter()

    def ask(question, key):
        made[question.model.model_id] += 1
        save_response(store, key, record(question, "yes"))
        return record(question, "yes")

    expected = Counter({line.model_id: line.calls for line in forecast_all(planned_rows, context)})
    for row in planned_rows:
        respond(row, texts[row.template_sha256] + "\n", store, ask, models=models)
    assert made == +expected
    assert sum(line.calls for line in forecast_all(planned_rows, context)) == 0


def test_a_question_that_is_with_the_provider_is_no_call_to_make(context):
    row = planned("draft")
    key = request_key(Question(row.model, [Message("user", "Rate it.\n")], {"max_tokens": 9}, None, 0))
    (line,) = forecast(
        [row], context, lambda gen_id: True, lambda gen_id: context.layout.root, waiting={key: row.gen_id}
    )
    assert (line.calls, line.waiting, line.completion_tokens > 0) == (0, 1, True)
    assert forecast([row], context, lambda gen_id: False, lambda gen_id: context.layout.root, (), {"?": row.gen_id})[
        0
    ].waiting
    assert "0 calls to make" in as_table([line]) and "1 more are with the provider, in batches" in as_table([line])


# What waits for people and batches.


def test_what_waits_for_a_person_is_called_by_a_later_run(project):
    project.edit("config/cohorts/trial.yaml", axes={**AXES, "draft_llm": ["colleague"], "essay_llm": ["writer"]})
    essays, evaluations = ("essay", "writer"), ("evaluation", "judge")
    flow = run()
    for _ in range(2):  # before the questions are asked, and after
        found = lines(flow)
        assert sum(line.calls for line in found.values()) == sum(line.calls_upper for line in found.values()) == 0
        assert (found[essays].later, found[evaluations].later) == (2, 4)
        assert "0 calls to make" in flow.forecast_text() and "6 more later, for about $0." in flow.forecast_text()
        for stage in ("draft", "essay", "evaluation"):
            make(flow, stage)
        assert flow.display.calls == 0
        flow = run()
    answered_row = of_stage(flow, "draft")[0]
    project.write(f"data/inbox/{answered_row.gen_id}.answer.txt", "What a is: Of a. Of c.")
    flow = run()
    found = lines(flow)
    assert [(found[key].calls, found[key].later) for key in (essays, evaluations)] == [(1, 1), (2, 2)]
    for stage in ("draft", "essay", "evaluation"):
        make(flow, stage)
    assert flow.display.calls == 3


def test_what_follows_from_a_batch_is_called_by_a_later_run(context):
    price = {"prompt": 0.0, "completion": 1e6}
    model = Model(model_id="m", provider="replay", name="x", context_length=8000, price=price)
    context = changed(context, models={"m": model})
    rows = [planned("draft", limit=10), planned("essay", ["draft_1"], limit=10)]
    key = request_key(Question(rows[0].model, [Message("user", "Rate it.\n")], {"max_tokens": 10}, None, 0))

    def forecast_with(waiting, is_stale=True, batches=("draft",)):
        return forecast(
            rows, context, lambda gen_id: is_stale, lambda gen_id: context.layout.root, (), waiting,
            lambda stage, model: stage in batches,
        )  # fmt: skip

    draft, essay = forecast_with({})
    assert (draft.calls, draft.waiting, draft.cost_usd, draft.cost_upper_usd) == (1, 0, 2.5, 5)  # half the price
    assert (essay.calls, essay.calls_upper, essay.later, essay.later_usd, essay.cost_usd) == (0, 0, 1, 5, 0)
    for is_stale in (True, False):  # a generation that waits is up to date as long as the provider works on it
        draft, essay = forecast_with({key: "draft_1"}, is_stale, ())
        assert (draft.calls, draft.waiting, draft.answered, draft.cost_usd) == (0, 1, 0, 2.5)
        assert (essay.calls, essay.later, essay.answered) == (0, 1, 0)


# Budgets.


@pytest.mark.parametrize(
    ("budgets", "expected"),
    [
        ([], "at most $40.00"),
        ([BudgetUse("budgets.day", "day:2026-11-27", "usd", 100.0, 3.2)],
         "cap: day $100.00 (spent $3.20): at most $96.80 will be spent"),
        (
            [
                BudgetUse("budgets.run", "run:1", "usd", 5.0, 0.0),
                BudgetUse("budgets.day", "day:2026-11-27", "usd", 10.0, 3.2),
                BudgetUse("budgets.cohorts.trial", "cohorts:trial", "usd", 1.0, 0.0, 0.5),
            ],
            "about $5.00, at most $5.00\ncap: run $5.00 (spent $0.00), day $10.00 (spent $3.20), "
            "cohorts.trial $1.00 (spent $0.00, reserved $0.50): at most $5.00 will be spent",
        ),
        ([BudgetUse("budgets.month", "month:2026-11", "usd", 5.0, 6.0)],
         "cap: month $5.00 (spent $6.00): at most $0.00 will be spent"),
        (
            [BudgetUse("upgrade.max_tokens", "upgrade:1", "tokens", 10000, 0)],
            "at most $40.00\ncap: upgrade.max_tokens 10,000 tokens (spent 0 tokens)",
        ),
    ],
)  # fmt: skip
def test_the_caps_of_a_run_are_shown_and_bound_what_is_spent(budgets, expected):
    table = as_table([Line("draft", "m", calls=1, cost_usd=20.0, cost_upper_usd=40.0)], budgets)
    assert table.endswith(expected)


def test_what_budgets_have_used_is_read_from_the_store(tmp_path):
    at = "2026-11-27T12:00:00+00:00"
    scopes = ["run:1", "day:2026-11-27", "month:2026-11"]
    database(tmp_path).write(lambda connection: add_spent(connection, dict.fromkeys(scopes, (1.5, 200, 0.0))))
    database(tmp_path).write(lambda connection: add_spent(connection, {"day:2026-11-26": (9.0, 900, 0.0)}))
    budgets = [
        Budget("run:2", "budgets.run", usd=2.0),
        Budget("day:", "budgets.day", usd=1.0, tokens=1000),
        Budget("month:", "budgets.month", tokens=500),
    ]
    assert [(one.name, one.scope, one.unit, one.spent, one.left) for one in budget_use(tmp_path, budgets, at)] == [
        ("run", "run:2", "usd", 0.0, 2.0),
        ("day", "day:2026-11-27", "usd", 1.5, 0),
        ("day", "day:2026-11-27", "tokens", 200, 800),
        ("month", "month:2026-11", "tokens", 200, 300),
    ]
    assert budget_use(tmp_path / "nothing", budgets, at)[0].spent == 0
