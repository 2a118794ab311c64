"""Names of attributes as the installed conventions have them, and what is missing."""

import re
from pathlib import Path

import pytest
from dreamflow import telemetry
from dreamflow.errors import ConfigError
from dreamflow.generation.model import Message

DEPRECATED = {"gen_ai.system", "gen_ai.prompt", "gen_ai.completion", "gen_ai.usage.prompt_tokens",
              "gen_ai.usage.completion_tokens"}  # fmt: skip


def test_the_attributes_are_those_of_the_conventions():
    conventions = pytest.importorskip("opentelemetry.semconv._incubating.attributes.gen_ai_attributes")
    known = {value for value in vars(conventions).values() if isinstance(value, str)} - DEPRECATED
    text = Path(telemetry.__file__).read_text()
    used = {*re.findall(r'"(gen_ai\.[\w.]+)"', text), *telemetry._SAMPLING.values()}
    assert used <= known and len(used) > 15


def test_a_missing_package_is_told_with_what_to_install(monkeypatch):
    monkeypatch.setattr(telemetry, "find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"telemetry: needs OpenTelemetry.*envs/telemetry\.txt"):
        telemetry.check_installed()


def test_messages_have_the_form_of_the_conventions():
    assert telemetry._messages([Message("user", "Wie geht's?")]) == (
        """[{"role": "user", "parts": [{"type": "text", "content": "Wie geht's?"}]}]"""
    )
