"""A small project in a folder of its own, and real `snakemake` runs on it."""

import csv
import json
import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import yaml

REPOSITORY = Path(__file__).parents[1]

TEMPLATES = {
    "draft": {
        "plain": "Join these.\n{% for concept in concepts %}{{ concept.name }}: {{ concept.content }}\n{% endfor %}",
        "spare": "One idea.\n{% for concept in concepts %}{{ concept.content }}\n{% endfor %}",
    },
    "essay": {"long": "Write an essay on this draft.\n{{ draft_block }}", "kept": ""},
    "evaluation": {
        "novelty": "Rate novelty from 0 to 9; end with SCORE: n.\n{{ response }}",
        "rigor": "Rate rigor.\n{{ response }}",
    },
}
CATALOG = {
    "draft": [("plain", "identity", "llm"), ("spare", "identity", "llm")],
    "essay": [("long", "identity", "llm"), ("kept", "identity", "copy")],
    "evaluation": [("novelty", "in_last_line", "llm"), ("rigor", "in_last_line", "llm")],
}


def heed_interrupts() -> None:
    """In a new process: heed Ctrl-C, also if the tests themselves run in the background, where it is ignored."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


class Project:
    """Files of a project under `root`: three concepts, two templates a stage, models and a cohort named `trial`.

    `repository` is the copy of Dreamflow that runs on it."""

    repository = REPOSITORY

    def __init__(self, root: Path, models: Mapping[str, Any], spec: Mapping[str, Any]) -> None:
        self.root = root
        self.write("config/config.yaml", {"cohorts": ["trial"]})
        self.write("config/models.yaml", {"models": dict(models)})
        self.write("config/cohorts/trial.yaml", dict(spec))
        raw = root / "data/1_raw"
        self.rows("data/1_raw/concepts_metadata.csv", ["concept_id", "name"], [(c, c.title()) for c in "abc"])
        for concept in "abc":
            self.write(f"data/1_raw/concepts/descriptions-paragraph/{concept}.txt", f"What {concept} is.\n")
        columns = ["template_id", "parser", "generator"]
        for stage, templates in TEMPLATES.items():
            self.rows(f"data/1_raw/{stage}_templates.csv", columns, CATALOG[stage])
            for name, text in templates.items():
                self.write(raw / "templates" / stage / f"{name}.txt", text + "\n")

    @classmethod
    def at(cls, root: Path) -> "Project":
        """A project whose files are there already."""
        project = object.__new__(cls)
        project.root = root
        return project

    def write(self, path: str | Path, content: Any) -> Path:
        """Write text, or anything else as YAML."""
        path = self.root / path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content if isinstance(content, str) else yaml.safe_dump(content, sort_keys=False))
        return path

    def rows(self, path: str, header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        """Write a CSV file."""
        with self.write(path, "").open("w", newline="") as stream:
            csv.writer(stream).writerows([header, *rows])

    def read(self, path: str | Path) -> Any:
        """What a file of the project says: YAML and JSON as values, else text."""
        path = self.root / path
        text = path.read_text()
        if path.suffix == ".json":
            return json.loads(text)
        return yaml.safe_load(text) if path.suffix == ".yaml" else text

    def edit(self, path: str, **changes: Any) -> None:
        """Set top-level keys of a YAML file."""
        self.write(path, {**self.read(path), **changes})

    def command(self, *arguments: str) -> list[str]:
        """The command line of a `snakemake` run on this project."""
        program = [sys.executable, "-m", "snakemake", "--snakefile", str(self.repository / "Snakefile")]
        return [*program, "--directory", str(self.root), *arguments]

    def environment(self, **extra: str) -> dict[str, str]:
        """The environment of such a run: bytecode is cached, keys are absent unless given."""
        kept = {k: v for k, v in os.environ.items() if not k.endswith("_API_KEY")}
        kept.pop("PYTHONDONTWRITEBYTECODE", None)
        return {**kept, **extra}

    def run(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run `snakemake` and wait; stdout and stderr come together in `stdout`."""
        return subprocess.run(
            self.command(*arguments),
            env=self.environment(**environment),
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            check=False,
        )

    def start(self, *arguments: str, **environment: str) -> subprocess.Popen[str]:
        """Start `snakemake` in a process group of its own, to be interrupted or killed."""
        return subprocess.Popen(
            self.command(*arguments),
            env=self.environment(**environment),
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            preexec_fn=heed_interrupts,
        )

    def answers(self) -> dict[str, dict[str, Any]]:
        """The records of the response store, by key."""
        with closing(sqlite3.connect(self.root / "data/store/answers.sqlite")) as store:
            return {key: json.loads(record) for key, record in store.execute("SELECT key, record FROM answers")}

    def generations(self, stage: str = "*") -> dict[str, dict[str, Any]]:
        """The metadata of the generations that are there, by id."""
        files = sorted(self.root.glob(f"data/gens/{stage}/*/metadata.json"))
        return {path.parent.name: json.loads(path.read_text()) for path in files}
