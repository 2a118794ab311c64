"""Trust by prompt: what models are good at is learned from texts, kept as a file, and decides between models."""

import json

import pytest
from dreamflow.errors import DreamflowError
from dreamflow.files import canonical
from dreamflow.routing.choose import Option, decide
from dreamflow.routing.features import features, fit_topics
from dreamflow.routing.predictor import expected, fit, prior, update
from dreamflow.routing.price import price_for
from dreamflow.routing.prompts import Example, fit_prompts, read_prompts
from dreamflow.routing.table import Cell, RoutingSettings, State, Table
from msgspec.structs import asdict

np = pytest.importorskip("numpy")
EASY, HARD = "Name the capital city of country number {}.", "Prove the theorem about prime ideals, case {}."
OPTIONS = (Option("small", "tactical", 1), Option("large", "strategic", 10))


def examples(count: int = 150) -> list[Example]:
    """The small model names cities, and proves nothing; the large one does both."""
    made = []
    for number in range(count):
        made += [Example(EASY.format(number), "x", model, float(number % 10 > 0)) for model in ("small", "large")]
        made += [Example(HARD.format(number), "x", "small", float(number % 10 == 0))]
        made += [Example(HARD.format(number), "x", "large", float(number % 10 > 0))]
    return made


def mean(pair):
    return pair[0] / sum(pair)


def test_models_are_told_apart_by_what_a_prompt_is_about():
    known = fit_prompts(examples())
    easy, hard = (known.chances(text.format(999), "x") for text in (EASY, HARD))
    assert mean(easy["small"]) > 0.75
    assert mean(hard["small"]) < 0.3
    assert mean(hard["large"]) > 0.75
    assert known.chances("?", "a new context").keys() == {"small", "large"}


def test_the_choice_of_a_model_depends_on_the_prompt():
    known = fit_prompts(examples())
    cells = [Cell(model.model_id, "x", "exact", 60, 60, 120, 0.5, 0.4, 0.6) for model in OPTIONS]
    table = Table(1, State("wake", 100, 1.0), RoutingSettings(5, 0.01, ["exact"]), {}, cells)
    best = {
        text: max(decision.expected, key=lambda model: decision.expected[model].propensity)
        for text in (EASY, HARD)
        for decision in [decide(table, "x", 10, OPTIONS, chances=known.chances(text.format(7), "x"))]
    }
    assert best == {EASY: "small", HARD: "large"}


def test_a_regression_is_kept_as_a_file(tmp_path):
    path = tmp_path / "prompts.json"
    assert read_prompts(path) == {}
    known = fit_prompts(examples())
    assert asdict(fit_prompts(examples()[::-1])) == asdict(known)
    path.write_text(canonical({"exact": asdict(known)}))
    again = read_prompts(path)["exact"]
    for model, pair in known.chances(HARD, "x").items():
        assert again.chances(HARD, "x")[model] == pytest.approx(pair, rel=1e-3)
    path.write_text(json.dumps({"exact": {"models": 3}}))
    with pytest.raises(DreamflowError, match=r"prompts\.json"):
        read_prompts(path)


def test_few_outcomes_make_no_regression():
    assert fit_prompts(examples(10)) is None


def test_outcomes_of_one_model_tell_how_hard_prompts_are_for_another():
    x = np.array([[1.0, 0.0]] * 40 + [[0.0, 1.0]] * 40)
    known = fit(x, [0] * 80, [1.0] * 40 + [0.0] * 40, models=2, contexts=2)
    easy, hard = expected(known, np.eye(2))[:, 1]
    assert easy > hard + 0.2


def test_updates_lead_to_what_a_fit_finds():
    random = np.random.default_rng(3)
    x, model = random.normal(size=(300, 3)), random.integers(0, 2, 300)
    outcome = (random.random(300) < 1 / (1 + np.exp(-x[:, 0] - model))).astype(float)
    online = prior(2, 3)
    for number in range(300):
        online = update(online, x[[number]], model[[number]], outcome[[number]])
    assert expected(online, x[:20]) == pytest.approx(expected(fit(x, model, outcome, 2), x[:20]), abs=0.08)


def test_the_price_keeps_choices_within_a_budget():
    chances = np.random.default_rng(2).random((400, 3))
    costs = np.array([1.0, 2.0, 10.0])
    for budget in (1.5, 3.0, 6.0):
        best = np.argmax(chances - price_for(chances, costs, budget) * costs, axis=1)
        assert costs[best].mean() == pytest.approx(budget, abs=0.1)


def test_texts_of_any_language_have_features():
    texts = ["什么是记忆", "", "What is memory?", "12 + 30 = ?"] * 10
    topics = fit_topics(texts)
    rows = features(texts, topics)
    assert np.isfinite(rows).all()
    assert rows.shape[0] == 40
    assert features(["什么"], topics)[0, 6:].any()
    assert fit_topics(texts[:8]) is None
    assert fit_topics([""] * 40) is None
