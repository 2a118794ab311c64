"""Outcomes: what counts as evidence about a model, with which weight, and what is said about bad files."""

import gzip
import json

import pytest
from dreamflow.errors import DreamflowError
from dreamflow.files import pretty, write_atomic
from dreamflow.generation.model import Attempt, Message, Result, Usage, as_json
from dreamflow.generation.models import Model
from dreamflow.outcomes.collect import collect_outcomes
from dreamflow.outcomes.judges import judge_weights
from dreamflow.outcomes.table import COLUMNS, new_outcomes, outcome_rows, read_outcomes, write_outcomes
from dreamflow.tasks.outcomes import write_grades
from recorded import TASKS, Recorded


class Project(Recorded):
    """A data folder and its outcomes."""

    def collect(self, **examples):
        write_grades(self.root / "probes/demo/grades.jsonl", [graded.outcome for graded in self.graded.values()])
        own = {name: {"examples": examples[name]} if name in examples else {} for name in ("small", "large")}
        models = {name: Model(model_id=name, provider="replay", name="r", **given) for name, given in own.items()}
        return collect_outcomes(self.root, self.root / "1_raw", models)

    def told(self, *names):
        found, _ = self.collect()
        return {tuple(getattr(outcome, name) for name in names) for outcome in found}

    def csv(self, path, *lines, end="\n"):
        write_atomic(self.root / path, "".join(line + end for line in lines))

    def chunk(self, gen_id, first, last, begins, level="basic", **fields):
        own = {"wildcards": {"quality_level": level}, "parser_options": {"first": first, "last": last}}
        parsed = {"validity": 1.0, "chunks": len(begins), "warnings": []}
        folder = self.add("chunk", gen_id, "Units.", parsed=parsed, **own, **fields)
        write_atomic(folder / "parsed.json", json.dumps({"chunks": [{"first": unit} for unit in begins]}))

    def archive(self, version, generations, text="one text"):
        archive = {"metadata": {"text_sha256": text, "generations": generations}, "b_chunks": []}
        write_atomic(self.root / f"chunks/talk/archive_v{version}.json", json.dumps(archive))


@pytest.fixture
def data(tmp_path):
    return Project(tmp_path)


def rows_of(outcomes, cycle=1):
    return outcome_rows(outcomes, cycle, lambda outcome: "stable", {"small": "sensory"}, {"small": 2.0})


# --- evidence ---------------------------------------------------------------------------------------------------------


def test_a_graded_answer_is_exact_with_what_it_cost_and_the_words_that_were_sent(data):
    turns = [{"role": "user", "content": "two words"}, {"role": "assistant", "content": "水が出る"}]
    data.answer("a1", score=0.0, turns=turns, model_revision="r2")
    write_atomic(data.root / "gens/answer/a1/prompt.txt", "And these are five words.")
    (outcome,), left_out = data.collect(small=[{"prompt": "Who?", "answer": "Ann Lee"}])
    told = [outcome.evidence_class, outcome.verified_by, outcome.outcome, outcome.weight, outcome.evidence]
    assert told == ["exact", "grader", 0.0, 1.0, ("probes/demo/grades.jsonl",)]
    assert (outcome.model_id, outcome.revision, outcome.kind) == ("small", "r2", TASKS[0]["kind"])
    assert (outcome.tokens, outcome.cost_usd, outcome.latency_s) == (100, 0.0, 1.5)
    assert outcome.prompt_words == 5 + 2 + 2 + 3
    assert not left_out


def test_metadata_of_this_version_has_what_outcomes_need(data):
    made = Result(
        **{"gen_id": "j1", "stage": "verdict", "mode": "llm", "model_id": "other", "model_revision": "r1"},
        turns=[Message("user", "Hello")],
        attempts=[Attempt(sample=0, response_key="k", error=None)],
        usage=Usage(prompt_tokens=3, completion_tokens=4),
    )
    write_atomic(data.root / "gens/verdict/j1/metadata.json", pretty(as_json(made)))
    (outcome,), left_out = data.collect()
    assert (outcome.model_id, outcome.revision, outcome.tokens) == ("other", "r1", 7)
    assert (outcome.kind, outcome.verified_by, outcome.outcome) == ("verdict", "parser", 1.0)
    assert not left_out


def test_classes_of_evidence_stay_apart_and_nobody_judges_themselves(data):
    data.add("essay", "e1", "Write.", model_id="writer")
    data.evaluation("v1", "e1", 9.0, "writer")
    data.evaluation("v2", "e1", 4.5, "judge")
    data.evaluation("v3", "e1", 0.0, "ann", mode="human")
    data.evaluation("v4", "e1", None, "judge", status="failed", reason="unparsable: no score", parsed={})
    data.csv("inbox/ratings.csv", "gen_id,rating,scale,rater", "e1,5,1-5,bob")
    assert data.told("stage", "model_id", "evidence_class", "outcome", "weight") == {
        ("essay", "writer", "judged", 0.5, 0.25),  # by the judge alone
        ("essay", "writer", "person", 0.5, 1.0),  # ann and bob
        ("evaluation", "writer", "exact", 1.0, 1.0),  # scores that could be read
        ("evaluation", "judge", "exact", 1.0, 1.0),
        ("evaluation", "judge", "exact", 0.0, 1.0),
    }
    assert data.collect()[1] == {
        "evaluation: an author's judgement of its own text": 1,
        "evaluation: without a score": 1,
    }


def test_what_no_model_made_is_no_models_outcome(data):
    data.variant("p_1", "equivalent", mode="local", model_id=None)
    data.variant("p_2", "timeout", model_id="coder")
    data.add("draft", "d1", mode="human", model_id="me")
    data.add("essay", "e1", mode="copy", model_id=None, parents=["d1"])
    data.csv("inbox/ratings.csv", "gen_id,rating", "e1,1")
    found, left_out = data.collect()
    assert [(outcome.model_id, outcome.outcome, outcome.verified_by) for outcome in found] == [
        ("coder", 0.0, "sandbox")
    ]
    assert left_out == {
        "variant: by an operator, not by a model": 1,
        "draft: by a person, not by a model": 1,
    }


def test_overlapping_windows_of_one_text_agree_on_boundaries_or_not(data):
    data.chunk("c_1", 1, 10, [1, 5, 8])
    data.chunk("c_2", 6, 15, [6, 8, 9, 12])
    data.chunk("c_3", 14, 20, [14, 18], model_id="large")  # no boundary in the overlap with c_2
    data.chunk("c_4", 1, 10, [1, 5, 8], "good", model_id="large")
    data.chunk("c_5", 1, 10, [1, 2, 3])  # read another version of the text
    data.archive(1, ["c_5"], text="an old text")
    data.archive(2, ["c_1", "c_2", "c_3", "c_lost"])
    data.archive(3, ["c_4"])
    data.csv("chunks/talk/archive_v4.json", "{")
    found, left_out = data.collect()
    windows = {outcome.gen_id: outcome for outcome in found if outcome.verified_by == "windows"}
    assert {gen_id: outcome.outcome for gen_id, outcome in windows.items()} == {
        "c_1": 3 / 4,  # 8 but not 9 with c_2; 5 and 8 with c_4
        "c_2": 2 / 4,
        "c_4": 3 / 4,
    }
    assert {outcome.weight for outcome in windows.values()} == {0.5}
    assert windows["c_4"].evidence == ("chunks/talk/archive_v3.json",)
    assert left_out == {"chunk: unreadable archive": 1}


def test_a_damaged_result_is_left_out_and_named(data):
    (data.answer("a1") / "metadata.json").write_text('{"gen_id": "a')
    data.answer("a2", score=1.5)
    data.evaluation("v1", "e1", 99.0)
    write_atomic(data.root / "distill/demo/cycle-1/grades/torn.jsonl", '{"task_id": ')
    found, left_out = data.collect()
    assert [outcome.gen_id for outcome in found] == ["v1"]  # that a score was read is true all the same
    (named,) = [reason for reason in left_out if "torn.jsonl:1: not a grade" in reason]
    del left_out[named]
    assert left_out == {
        "answer: no readable metadata.json": 1,
        "answer: a grade outside of 0-1": 1,
        "evaluation: a score outside of its scale": 1,
    }


# --- judges -----------------------------------------------------------------------------------------------------------

TEXTS = [("essay", f"e{number}") for number in range(8)]
TRUE = {text: number / 7 for number, text in enumerate(TEXTS)}


def test_a_judge_weighs_as_much_as_it_agrees():
    wrong = {text: 1 - value for text, value in TRUE.items()}
    near = {text: min(1.0, value + 0.1) for text, value in TRUE.items()}
    weights = judge_weights({"good": TRUE, "near": near, "wrong": wrong, "new": {TEXTS[0]: 1.0}}, TRUE)
    assert weights["good"] == (0.5, "agreement 1.00 with persons on 8 texts")
    assert 0.4 < weights["near"].weight < 0.5
    assert weights["wrong"].weight == 0
    assert weights["new"] == (0.25, "agreement not measured")


def test_without_persons_judges_are_compared_with_each_other():
    elsewhere = {("essay", f"other{number}"): 0.5 for number in range(8)}
    weights = judge_weights({"a": TRUE, "b": dict(TRUE), "alone": elsewhere}, {TEXTS[0]: 0.0})
    assert {judge: weight for judge, (weight, _) in weights.items()} == {"a": 0.5, "b": 0.5, "alone": 0.25}
    assert "with other judges on 8 texts" in weights["a"].why


# --- files of persons -------------------------------------------------------------------------------------------------


def test_ratings_come_from_any_spreadsheet(data):
    for gen_id in ("e1", "e2", "e3"):
        data.add("essay", gen_id, "Write.")
    lines = [
        "gen_id,rating,scale,comment,rater",
        "e1,4,0-8,fine,ann",
        r"data\gens\essay\e2\parsed.txt, .25 ,,,ann",
        ",,,,",
    ]
    data.csv("inbox/ratings.csv", "\ufeff" + lines[0], *lines[1:], end="\r\n")
    data.csv("inbox/ratings/more.csv", "rater,gen_id,rating", "ann,e1,0.5", "bob,e1,1", "ann,e_gone,1")
    data.csv("inbox/ratings/nothing.csv")
    assert data.told("gen_id", "outcome", "why") == {
        ("e1", 0.75, "2 rating(s) by ann, bob; fine"),
        ("e2", 0.25, "1 rating(s) by ann"),
    }
    inbox = data.root / "inbox"
    assert data.collect()[1] == {
        f"{inbox}/ratings/more.csv:2: the same rating as inbox/ratings.csv:2": 1,
        f"{inbox}/ratings/more.csv:4: gen_id: there is no generation 'e_gone'": 1,
        f"{inbox}/ratings/nothing.csv: an empty file": 1,
    }


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["id,rating", "e1,1"], "ratings.csv:1: no column 'gen_id'"),
        (["gen_id;rating", "e1;1"], "separated by commas"),
        (["gen_id,rating,rating", "e1,1,1"], "ratings.csv:1: rating: the column is there twice"),
        (["gen_id,rating", "e1,1,ann"], "ratings.csv:2: 3 cells, but 2 columns"),
        (["gen_id,rating", "", "e1,4"], "ratings.csv:3: rating: '4'; expected a number from 0 to 1; a column 'scale'"),
        (["gen_id,rating", "e1,nan"], "ratings.csv:2: rating: 'nan'; expected a number"),
        (["gen_id,rating", "e1,"], "ratings.csv:2: rating: ''; expected a number"),
        (["gen_id,rating,scale", "e1,4,5-1"], "ratings.csv:2: scale: scale '5-1'; expected LOW-HIGH"),
        (["gen_id,rating,scale", "e1,6,1-5"], "ratings.csv:2: rating: '6'; expected a number from 1 to 5"),
        (["gen_id,rating,rater", "e1,1,ann", "e1,0,ann"], r"ratings.csv:3: rating: inbox/ratings.csv:2 has another"),
    ],
)
def test_a_rating_that_cannot_be_meant_is_an_error_with_its_place(data, lines, message):
    data.add("essay", "e1", "Write.")
    data.csv("inbox/ratings.csv", *lines)
    with pytest.raises(DreamflowError) as error:
        data.collect()
    assert message in str(error.value)


def test_rows_of_a_benchmark_are_exact_outcomes_of_known_models(data):
    lines = [
        "domain,prompt,small,gpt-x,large",
        'law,"What is\na tort?",1,1,0',
        "law,Who sues?,0.5,1,",
        "art,Why?,0,0,1",
    ]
    data.csv("1_raw/outcomes/mmlu.csv", *lines)
    again = data.root / "1_raw/outcomes/other.csv.gz"
    write_atomic(again, gzip.compress(b"domain,prompt,large\nart,Why?,1\n"))
    assert data.told("model_id", "context", "outcome", "prompt_words", "evidence") == {
        ("small", "law", 1.0, 4, ("1_raw/outcomes/mmlu.csv:2",)),
        ("large", "law", 0.0, 4, ("1_raw/outcomes/mmlu.csv:2",)),
        ("small", "law", 0.5, 2, ("1_raw/outcomes/mmlu.csv:4",)),
        ("small", "art", 0.0, 1, ("1_raw/outcomes/mmlu.csv:5",)),
        ("large", "art", 1.0, 1, ("1_raw/outcomes/mmlu.csv:5",)),
    }
    assert data.collect()[1] == {
        f"{data.root}/1_raw/outcomes/mmlu.csv:1: gpt-x: no model of models.yaml has this id": 3,
        "benchmark: the same row and outcome twice": 1,
    }


def test_a_benchmark_with_other_values_names_each(data):
    data.csv("1_raw/outcomes/b.csv", "prompt,small,large", "A?,2,yes", ",1,1", "B?,NaN,-1", "C?,1,1e-1")
    with pytest.raises(DreamflowError) as error:
        data.collect()
    path = data.root / "1_raw/outcomes/b.csv"
    assert str(error.value).split("\n") == [
        f"{path}:2: small: '2'; expected an outcome from 0 to 1",
        f"{path}:2: large: 'yes'; expected an outcome from 0 to 1",
        f"{path}:3: prompt: empty; expected the text that was asked",
        f"{path}:4: small: 'NaN'; expected an outcome from 0 to 1",
        f"{path}:4: large: '-1'; expected an outcome from 0 to 1",
    ]


# --- the table of a cycle ---------------------------------------------------------------------------------------------


def test_a_table_has_all_that_is_known_and_is_read_as_it_was_written(data):
    data.answer("a1", score=0.0)
    data.answer("a2", TASKS[3], model_id="gone", usage={}, cost_usd=None, latency_s=None)
    data.csv("1_raw/outcomes/b.csv", "prompt,small", '"What, now?",1')
    found, _ = data.collect()
    rows = rows_of(found)
    path = data.root / "outcomes.csv"
    write_outcomes(path, rows)
    assert read_outcomes(path) == rows
    table = {row.gen_id: row for row in rows}
    assert (table["a1"].layer, table["a1"].atp) == ("sensory", 2.0 * (1 + table["a1"].prompt_words / 100))
    unknown = ("layer", "atp", "tokens", "cost_usd", "latency_s")
    assert [getattr(table["a2"], name) for name in unknown] == ["", None, None, None, None]
    assert (table[""].evidence, table[""].created_at) == ("1_raw/outcomes/b.csv:2", "")
    before = path.read_bytes()
    data.graded = dict(reversed(data.graded.items()))
    write_outcomes(path, rows_of(data.collect()[0]))
    assert path.read_bytes() == before


def test_a_cycle_has_what_is_new_or_verified_anew(data):
    for gen_id in ("a1", "a2", "a3"):
        data.answer(gen_id)
    earlier = rows_of(data.collect()[0])
    data.answer("a1", response_key="drawn anew")
    data.answer("a2", score=0.0)  # graded anew
    data.answer("a4")
    assert {outcome.gen_id for outcome in new_outcomes(data.collect()[0], earlier)} == {"a1", "a2", "a4"}
    assert new_outcomes(data.collect()[0], rows_of(data.collect()[0])) == []


@pytest.mark.parametrize(
    ("column", "cell", "expected"),
    [
        ("outcome_id", "xyz", "16 hexadecimal digits"),
        ("model_id", "", "text"),
        ("evidence_class", "rumour", "one of exact, person, judged"),
        ("outcome", "1.5", "a number from 0 to 1"),
        ("weight", "nan", "a number from 0 to 1"),
        ("tokens", "-3", "a whole number, or nothing"),
        ("cost_usd", "much", "a number of at least 0, or nothing"),
        ("created_at", "yesterday", "a time such as"),
        ("cycle", "0", "a whole number from 1"),
    ],
)
def test_a_damaged_line_of_a_table_is_named(data, column, cell, expected):
    data.answer("a1")
    path = data.root / "outcomes.csv"
    write_outcomes(path, rows_of(data.collect()[0]))
    header, line = path.read_text().splitlines()
    cells = line.split(",")  # no cell of this line has a comma
    cells[COLUMNS.index(column)] = cell
    path.write_text(f"{header}\n{line}\n{','.join(cells)}\n")
    with pytest.raises(DreamflowError) as error:
        read_outcomes(path)
    assert f"{path}:3: {column}: {cell!r}; expected {expected}" in str(error.value)


@pytest.mark.parametrize("content", ["", "outcome_id,model_id\n", b"\xff\xfe"])
def test_a_file_that_is_no_table_is_named(tmp_path, content):
    path = tmp_path / "outcomes.csv"
    write_atomic(path, content)
    with pytest.raises(DreamflowError, match=r"outcomes\.csv"):
        read_outcomes(path)
