"""What must not change: a whole project writes what it always wrote, and answers that were paid for are found again.

`tests/golden/` has the project, the files, and how they are made again (`python tests/golden/make.py --update`).
"""

import difflib
import json
import re
import shutil
from collections.abc import Mapping
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import pytest
from golden.frozen import load, new_project, normalised, run, written

# What a later version may write besides. Edit these only for a change that is wanted.
# New since: grades as files, and what decides a job as a file. These are shell patterns; * also stands for slashes.
EXTRA_FILES: tuple[str, ...] = (
    *("data/jobs/*", "data/*/grades/*.jsonl", "data/probes/*/grades.jsonl"),
    *("data/cohorts/*/reports/summary/findings.md", "data/cohorts/*/reports/state.json"),
)
EXTRA_METADATA: frozenset[str] = frozenset({"inputs_sha256"})  # keys of data/gens/*/*/metadata.json
EXTRA_PRICE: frozenset[str] = frozenset({"source"})  # keys of their `price`: prices can come from a library now

FINDINGS = re.compile(r"\A(# .*\n\n)(?:- .*\n)+\n")  # what the scores say in words: new below these titles
SAYS_FINDINGS = ("data/results/*/README.md", "data/probes/*/report.md")

# What experiences are there, in the order of their answers' times, decides these files. They are the same only where
# the store has the answers (and so the times) and every generation is made again in the order of the first run.
BY_ORDER = ("data/experiences/", "data/distill/")

# An upgrade's plan counts what is still to be asked, and a result what was paid in this run, so they are others where
# the store has the answers.
BY_STORE = ("data/chunks/upgrade/plan.json", "data/chunks/result.json")

LEDGER = "data/store/ledger.jsonl"


@pytest.fixture(scope="session")
def frozen() -> Mapping[str, str]:
    return load()


@pytest.fixture(scope="session")
def fresh(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The golden project, run from nothing."""
    root = new_project(tmp_path_factory.mktemp("golden") / "project")
    run(root)
    return root


def old_project(root: Path, frozen: Mapping[str, str], *folders: str) -> Path:
    """A project that an old version has run, of which these folders are left; no model can answer any more."""
    new_project(root)
    shutil.rmtree(root / "answers")
    for path, text in frozen.items():
        if path.startswith(folders):
            file = root / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(text.encode("utf-8"))
    return root


def metadata(path: str, text: str) -> dict[str, Any]:
    """A metadata.json without the keys that a later version may add."""
    found = {key: value for key, value in json.loads(text).items() if key not in EXTRA_METADATA}
    # Answers are not in files of their own any more, so attempts name keys only.
    found["attempts"] = [{k: v for k, v in attempt.items() if k != "response"} for attempt in found["attempts"]]
    return {**found, "price": known_price(found["price"])}


def known_price(price: Mapping[str, Any] | None) -> Mapping[str, Any] | None:
    """A price without the keys that a later version may add."""
    return price and {key: value for key, value in price.items() if key not in EXTRA_PRICE}


def is_metadata(path: str) -> bool:
    return fnmatchcase(path, "data/gens/*/*/metadata.json")


def comparable(path: str, text: str) -> str:
    if is_metadata(path):
        text = json.dumps(metadata(path, text), indent=2, sort_keys=True, ensure_ascii=False) + "\n"
    if fnmatchcase(path, "data/store/responses/*.json"):
        record = json.loads(text)
        record["asked"]["price"] = known_price(record["asked"]["price"])
        text = json.dumps(record, indent=2, sort_keys=True, ensure_ascii=False) + "\n"
    if any(fnmatchcase(path, page) for page in SAYS_FINDINGS):
        text = FINDINGS.sub(r"\1", text)
    return normalised(path, text)


def differences(expected: Mapping[str, str], found: Mapping[str, str], ignored: tuple[str, ...] = ()) -> str:
    """A unified diff of every file that is not as expected, and the names of files that are missing or too many.

    Files under `ignored` have to be there; what they say is not compared.
    """
    told = [f"missing: {path}" for path in sorted(expected.keys() - found.keys())]
    extra = sorted(found.keys() - expected.keys())
    told += [f"too many: {path}" for path in extra if not any(fnmatchcase(path, known) for known in EXTRA_FILES)]
    for path in sorted(path for path in expected.keys() & found.keys() if not path.startswith(ignored)):
        before, after = (comparable(path, files[path]).splitlines() for files in (expected, found))
        told += difflib.unified_diff(before, after, f"golden {path}", f"found {path}", lineterm="", n=1)
    return "\n".join(told)


def test_a_project_from_nothing_writes_what_it_always_wrote(fresh: Path, frozen: Mapping[str, str]):
    found = differences(frozen, written(fresh), BY_ORDER)
    assert not found, f"\n{found}"


@pytest.mark.parametrize(
    ("folders", "ignored"),
    [(("data/store/", "data/gens/", "data/inbox/"), (*BY_ORDER, *BY_STORE)), (("data/store/",), BY_STORE)],
    ids=["store and generations", "store alone"],
)
def test_paid_answers_of_an_old_project_are_found_again(
    frozen: Mapping[str, str], tmp_path: Path, folders: tuple[str, ...], ignored: tuple[str, ...]
):
    root = old_project(tmp_path / "old", frozen, *folders)
    run(root)
    found = written(root)
    assert found[LEDGER] == frozen[LEDGER]  # no call
    told = differences(frozen, found, ignored)
    assert not told, f"\n{told}"
    # Times and costs come from the store, so metadata is the same to the second.
    for path in filter(is_metadata, frozen):
        assert metadata(path, found[path]) == metadata(path, frozen[path]), path


def test_the_golden_project_has_every_stage_and_every_status(frozen: Mapping[str, str]):
    made = [json.loads(text) for path, text in frozen.items() if is_metadata(path)]
    stages = {"draft", "essay", "evaluation", "match", "variant", "verdict", "chunk", "cluster", "answer"}
    assert {meta["stage"] for meta in made} == stages
    assert {meta["status"] for meta in made} == {"ok", "failed", "skipped", "pending"}
    assert {meta["mode"] for meta in made} == {"llm", "copy", "local", "human"}
    errors = {attempt["error"] for meta in made for attempt in meta["attempts"]}
    assert errors == {None, "refusal", "truncated", "too_short", "unparsable"}
