"""Who gave no usable answer is blamed, although another model answered in the end."""

import json

import pytest
from dreamflow.files import write_atomic
from dreamflow.generation.make import Build, describe
from dreamflow.generation.model import Call, Candidate, Generation, ModelIdentity, Record, Response, Usage, as_json
from dreamflow.generation.models import Model
from dreamflow.generation.respond import respond
from dreamflow.outcomes.collect import collect_outcomes
from stored import save_response

MODELS = {name: Model(model_id=name, provider="openai", name=name) for name in ("small", "middle", "large")}


@pytest.fixture
def made(tmp_path):
    """made(stage, gen_id, answers): make a generation; `answers` has what each model says, in the order of asking."""

    def make(stage, gen_id, answers):
        models = [ModelIdentity(model_id=name, provider="openai", name=name, revision="r") for name in answers]
        candidates = [Candidate(model, {"max_tokens": 9}) for model in models]
        row = Generation(
            **{"family": "cohort", "stage": stage, "gen_id": gen_id, "mode": "llm", "template_id": "t"},
            **{"template_sha256": "s", "parser": "in_last_line/1" if stage == "evaluation" else "identity/1"},
            **{"max_attempts": 2, "min_lines": 1, "model": models[0], "sampling": {"max_tokens": 9}},
            fallbacks=candidates[1:],
            parser_options={"scale": [0, 9]},
        )
        call = Call(gen_id=gen_id, stage=stage, cohort_id="c", at="2026-01-01", latency_s=2, cost_usd=0.5)

        def ask(question, key):
            usage = Usage(prompt_tokens=5, completion_tokens=1)
            response = Response(answers[question.model.model_id], "stop", usage)
            record = Record(schema_version=2, request=question, response=response, call=call)
            save_response(tmp_path / "store", key, record)
            return record

        outcome = respond(row, f"Why {gen_id}?", tmp_path / "store", ask, models=MODELS)
        result = describe(row, Build(f"Why {gen_id}?", outcome), [], "digest")
        folder = tmp_path / "gens" / stage / gen_id
        write_atomic(folder / "prompt.txt", "Why not?")
        write_atomic(folder / "metadata.json", json.dumps(as_json(result)))

    return make


def test_the_models_before_the_one_that_answered_failed(made, tmp_path):
    made("evaluation", "v_1", {"small": "no score", "middle": "none either", "large": "SCORE: 7"})
    made("evaluation", "v_2", {"small": "SCORE: 3", "large": "SCORE: 4"})
    made("draft", "d_1", {"small": "", "large": "Text."})
    made("draft", "d_2", {"small": "", "middle": ""})
    found, left_out = collect_outcomes(tmp_path, tmp_path, MODELS)
    told = {(o.gen_id, o.model_id, o.evidence_class, o.verified_by, o.outcome) for o in found}
    assert told == {
        ("v_1", "small", "exact", "parser", 0.0),
        ("v_1", "middle", "exact", "parser", 0.0),
        ("v_1", "large", "exact", "parser", 1.0),
        ("v_2", "small", "exact", "parser", 1.0),
        ("d_1", "small", "judged", "parser", 0.0),
        ("d_2", "small", "judged", "parser", 0.0),
        ("d_2", "middle", "judged", "parser", 0.0),
    }
    first = next(o for o in found if (o.gen_id, o.model_id) == ("v_1", "small"))
    assert (first.tokens, first.cost_usd, first.latency_s, first.revision, first.prompt_words) == (12, 1.0, 4, "r", 2)
    assert first.why.startswith("no usable answer in 2 attempt(s): unparsable")
    assert len({o.outcome_id for o in found}) == len(found)
    assert not any("store" in reason for reason in left_out)
