"""How scripts of rules end: every error is one line on the screen and in the log, whatever its class."""

import pytest
from dreamflow.entry import REPORTED_STATUS, run_script
from dreamflow.errors import DreamflowError


def fail(error):
    raise error


@pytest.mark.parametrize(
    ("error", "shown"),
    [(DreamflowError("x.json: damaged"), "x.json: damaged"), (KeyError("x"), "KeyError: 'x' (see {log})")],
)
def test_an_error_of_any_class_is_one_line_on_the_screen_and_in_the_log(tmp_path, capsys, error, shown):
    log = tmp_path / "rule.log"
    with pytest.raises(SystemExit) as exited:
        run_script(log, lambda: fail(error))
    assert exited.value.code == REPORTED_STATUS
    assert capsys.readouterr().err == shown.format(log=log) + "\n"
    first, *rest = log.read_text().splitlines()
    assert first == shown.format(log=log)
    assert ("Traceback (most recent call last):" in rest) is not isinstance(error, DreamflowError)
