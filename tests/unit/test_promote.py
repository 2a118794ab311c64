"""A variant becomes a procedure by a patch that git applies, and that cannot touch what is there."""

import subprocess

import pytest
from dreamflow.dreams.equivalence import Counterexample
from dreamflow.dreams.procedure import load_procedure
from dreamflow.dreams.promote import patch, promoted_id
from dreamflow.errors import DreamflowError
from night import KNOWN, SOURCE, answered, entry, outcome, table, verdict

PROCEDURE = KNOWN["web.backup"]
CHANGED = SOURCE.replace("= 3", "= 6")


@pytest.fixture
def repository(tmp_path):
    subprocess.run(["git", "init", "-q", tmp_path], check=True)
    folder = tmp_path / "data/1_raw/procedures/web"
    folder.mkdir(parents=True)
    (folder / "backup.py").write_text(SOURCE)
    return tmp_path


def apply(repository, text):
    command = ["git", "-C", str(repository), "apply", "-"]
    return subprocess.run(command, input=text.encode(), capture_output=True, check=False)


def promoted(code=CHANGED, gen_id="p_abcdef123456", existing=("web.backup",), **parts):
    parts = {"verdict": verdict(0.9), **parts}
    (record,) = table(entry(gen_id, code=code, **parts))
    return patch(PROCEDURE, code, record, set(existing))


def test_the_patch_adds_a_procedure_that_can_be_loaded(repository):
    name, text = promoted()
    assert name == "web.backup_abcdef12.patch"
    assert apply(repository, text).stderr == b""
    folder = repository / "data/1_raw/procedures/web"
    assert sorted(path.name for path in folder.iterdir()) == ["backup.py", "backup_abcdef12.py", "backup_abcdef12.yaml"]
    assert (folder / "backup.py").read_text() == SOURCE
    loaded = load_procedure(folder / "backup_abcdef12.yaml")
    assert (loaded.procedure_id, loaded.entry) == ("web.backup_abcdef12", "backup")
    assert loaded.source == CHANGED
    assert (loaded.effects, loaded.fakes, loaded.inputs) == (PROCEDURE.effects, PROCEDURE.fakes, PROCEDURE.inputs)
    assert loaded.description == "Keeps the newest copies. Variant: keep in line 6: 3 -> 6"


def test_a_file_that_is_there_is_never_overwritten(repository):
    _, text = promoted()
    assert apply(repository, text).returncode == 0
    changed = repository / "data/1_raw/procedures/web/backup_abcdef12.py"
    changed.write_text("mine\n")
    again = apply(repository, text)
    assert again.returncode != 0
    assert changed.read_text() == "mine\n"


def test_a_variant_is_promoted_once():
    assert promoted_id(PROCEDURE, "p_abcdef123456") == "web.backup_abcdef12"
    with pytest.raises(DreamflowError, match=r"promoted already: it is the procedure web\.backup_abcdef12"):
        promoted(existing=["web.backup_abcdef12"])


def test_the_header_tells_origin_verdict_and_test():
    example = Counterexample("backup('x')", "result", "1", "2")
    tested = outcome("differs", counterexample=example)
    _, text = promoted(kind="relax", result=answered("p_abcdef123456"), test=tested)
    header = text.partition("\ndiff --git ")[0].splitlines()
    assert all(line.startswith("#") for line in header)
    assert header[2:8] == [
        "# Variant p_abcdef123456 of web.backup: keep in line 6: 3 -> 6",
        "# Written by the model coder: relax at 6:31 keep*2",
        "# Verdict j_1: viability 0.9: viable",
        "# Reasons: It keeps more.",
        "# Test: behaves differently on 2 of 5 calls",
        "# Difference: backup('x'): result: original 1, variant 2",
    ]


HOSTILE = "good \x1b[2J\n--- a/x\n+++ b/data/1_raw/procedures/web/backup.py\n -1 +1 \ndiff --git a/x b/x"


def test_what_a_model_wrote_stays_a_comment(repository):
    spoken = verdict(0.9)
    spoken.parsed["reasons"] = HOSTILE
    _, text = promoted(description=HOSTILE, verdict=spoken)
    assert apply(repository, text).stderr == b""
    assert (repository / "data/1_raw/procedures/web/backup.py").read_text() == SOURCE
    assert load_procedure(repository / "data/1_raw/procedures/web/backup_abcdef12.yaml").category == "backup"


@pytest.mark.parametrize(
    "code",
    [
        "def backup(path, keep=3):\n    return '\f\x0b\u2028é'",
        "\n\ndef backup(path):\n    pass\n\n\n",
        SOURCE.replace("\n", "\r\n"),
    ],
    ids=["odd characters", "empty lines", "windows line ends"],
)
def test_code_arrives_as_it_was(repository, code):
    assert apply(repository, promoted(code)[1]).returncode == 0
    written = (repository / "data/1_raw/procedures/web/backup_abcdef12.py").read_bytes().decode()
    assert written == code.removesuffix("\n") + "\n"
