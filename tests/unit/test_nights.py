"""The family of nights: what it keeps from `prune`, and what it says of files that are missing or damaged."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from dreamflow.dreams.check import Check
from dreamflow.dreams.family import Dreams
from dreamflow.dreams.operators import operator
from dreamflow.errors import DreamflowError
from dreamflow.family import World
from dreamflow.files import pretty, read_as
from dreamflow.generation.layout import Layout
from dreamflow.generation.model import Generation, as_json
from dreamflow.pyanalysis.analysis import analyse
from dreamflow.settings import Settings
from night import KNOWN, result


@pytest.fixture
def dreams(tmp_path):
    return Dreams(World(Settings(), Layout(tmp_path), {}, None))


def write(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def test_all_cycles_keep_what_their_tables_name_and_what_that_was_made_from(dreams, tmp_path):
    write(tmp_path / "dreams/a/cycle-1/dreams.csv", "gen_id,verdict_id\np_1,j_1\np_2,\n")
    write(tmp_path / "dreams/b/cycle-3/dreams.csv", "gen_id,verdict_id\np_3,j_3\n")
    write(tmp_path / "gens/variant/p_1/metadata.json", pretty(as_json(result("p_1", parents=["m_1"]))))
    assert dreams.referenced() == {"p_1", "p_2", "p_3", "j_1", "j_3", "m_1"}


def test_a_damaged_table_is_named_before_anything_is_removed(dreams, tmp_path):
    write(tmp_path / "dreams/a/cycle-1/dreams.csv", "something else\n")
    with pytest.raises(DreamflowError, match=r"cycle-1/dreams\.csv: damaged"):
        dreams.referenced()


def test_promotion_without_a_night_says_so(dreams):
    with pytest.raises(DreamflowError, match="no night is configured"):
        dreams.promote()


@pytest.mark.parametrize("text", ['{"p_1": ', '{"p_1": {"passed": true}}', '{"p_1": 1}'])
def test_damaged_checks_are_named(tmp_path, text):
    write(tmp_path / "checks.json", text)
    with pytest.raises(DreamflowError, match=r"checks\.json: "):
        read_as(tmp_path / "checks.json", dict[str, Check])


def test_jobs_can_make_variants_at_the_same_time(dreams):
    procedure = KNOWN["web.backup"]
    dreams.procedures = KNOWN
    analysis = analyse(procedure.source, procedure.entry, procedure.effects)
    expected = {one.site: one.make() for one in operator("parameters").variations(procedure, analysis)}
    rows = [
        Generation(
            **{"family": "dream", "stage": "variant", "gen_id": f"p_{number}", "mode": "local"},
            **{"template_id": "parameters", "template_sha256": None, "parser": "code/1"},
            **{"max_attempts": 1, "min_lines": 1},
            wildcards={"procedure_id": procedure.procedure_id, "kind": "parameters", "site": site},
        )
        for number, site in enumerate(expected)
    ]
    assert len(rows) > 1
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(dreams.local_text, rows)) == list(expected.values())
