"""Probes and distillations, as the rules see them: which answers they consist of, and what is made of those.

What trains and draws is imported where it is used. Which tasks a teacher is asked follows from a cycle's experiences
(`data/distill/<name>/cycle-<n>/replay.jsonl`); its answers are known from that file alone, so that a run that was
interrupted, and a job in a process of its own, find them.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import ConfigError
from ..files import canonical, pretty, sha256, write_atomic
from ..generation.make import Context, gen_folder, make_generation
from ..generation.model_files import weights_fingerprint
from ..generation.models import registration
from ..plan import Plan

if TYPE_CHECKING:
    from .compile import Distillation

PROBE_FILES = ("report.md", "accuracy.csv", "answers.csv", "accuracy.png")
VERSION = 1  # of how answers are graded and selected; raised, what follows from them is made again

Row = Mapping[str, Any]


class Lessons:
    """The probes and distillations of a plan. `rows` are all their answers by id, the teachers' included as far as
    they are known; `runs` has the distillations by name and cycle, as their folders are called."""

    def __init__(self, plan: Plan, data: Path) -> None:
        self.plan, self.data = plan, data
        self.runs: dict[str, Distillation] = {one.run: one for one in plan.distillations.values()}
        self.rows: dict[str, Row] = {}
        self.priority: dict[str, int] = {}  # in the order of the rows: neighbours share a prompt's beginning
        self.teachers: dict[str, dict[str, Row]] = {}  # by run
        self.known: dict[str, int] = {}  # by run: the time of the file that they were read from
        for one in (*plan.probes.values(), *plan.distillations.values()):
            self._add(one.generations)
        for run in self.runs:
            if self._file(run, "replay.jsonl").exists():
                self.teacher_rows(run)

    def _add(self, rows: Mapping[str, Row]) -> None:
        for gen_id, row in rows.items():
            self.rows[gen_id] = row
            self.priority.setdefault(gen_id, -len(self.priority))

    def _file(self, run: str, name: str) -> Path:
        return self.data / "distill" / run / name

    def _metadata(self, gen_ids: Iterable[str]) -> list[str]:
        return [f"{self.data}/gens/answer/{gen_id}/metadata.json" for gen_id in gen_ids]

    # --- probes ---

    def probe_files(self, probe: str) -> list[str]:
        """The metadata of a probe's answers."""
        return self._metadata(self.plan.probes[probe].generations)

    def probe_param(self, probe: str) -> str:
        """What decides a probe's tables besides the answers: the tasks."""
        return canonical([VERSION, sha256(canonical(self.plan.probes[probe].tasks))])

    def probe_report(self, probe: str) -> str:
        """Write a probe's tables and picture; returns the table for the screen."""
        from ..probe.report import write_report

        one = self.plan.probes[probe]
        return write_report(probe, self._outcomes(one.tasks, one.generations), self.data / "probes" / probe)

    def probe_targets(self) -> list[str]:
        """Every file that probes make."""
        return [f"{self.data}/probes/{probe}/{name}" for probe in self.plan.probes for name in PROBE_FILES]

    def _outcomes(self, tasks: Mapping[str, Row], gen_ids: Iterable[str]) -> list[dict[str, Any]]:
        from ..tasks.outcomes import outcomes
        from ..tasks.running import sandbox

        folders = [gen_folder(self.data, "answer", gen_id) for gen_id in gen_ids]
        return outcomes(folders, tasks, sandbox())

    def probed(self) -> dict[str, Row]:
        """The answers of all probes."""
        return {gen_id: row for one in self.plan.probes.values() for gen_id, row in one.generations.items()}

    # --- experiences and what is learned from them ---

    def asked(self) -> dict[str, Row]:
        """The answers of all distillations; as many of a teacher's as there can be, until it is known which."""
        from .compile import practised, teacher_rows

        rows: dict[str, Row] = {}
        for run, one in self.runs.items():
            rows |= one.generations
            replay = one.spec["replay"]
            most = round(replay["size"] * (1 - replay["general_share"]))
            targets = [task for task in practised(one) if task["kind"] in replay["kinds"]]
            rows |= self.teachers.get(run) or teacher_rows(one, targets[:most])
        return rows

    def practice_files(self, cycle: str) -> list[str]:
        """The metadata of the answers that students gave before a cycle's training."""
        return [path for one in self._of_cycle(cycle) for path in self._metadata(one.generations)]

    def _of_cycle(self, cycle: str) -> "list[Distillation]":
        found = [one for one in self.runs.values() if str(one.spec["cycle"]) == str(cycle)]
        if not found:
            raise ConfigError(f"no distillation of config/config.yaml has cycle {cycle}")
        return found

    def experiences_param(self, cycle: str) -> str:
        """What decides a cycle's experiences besides the answers. What else lies under data/ when they are collected is
        taken as it is then: a later cycle sees what came after."""
        digests = [sha256(canonical(one.tasks)) for one in self._of_cycle(cycle)]
        return canonical([VERSION, digests, self.plan.config["salience"]])

    def experiences_file(self, run: str) -> str:
        """The experiences that a run learns from."""
        return f"{self.data}/experiences/cycle-{self.runs[run].spec['cycle']}.jsonl"

    def experiences(self, cycle: str, path: str) -> str:
        """Collect a cycle's experiences; returns a line on how many there are, and what was left out."""
        from .experiences import experience_lines, experiences

        tasks, answers = {}, set()
        for one in (*self._of_cycle(cycle), *self.plan.probes.values()):
            tasks |= one.tasks
            answers |= one.generations.keys()
        made = [gen_id for gen_id in sorted(answers) if gen_folder(self.data, "answer", gen_id).exists()]
        graded = {row["gen_id"]: {**row, "task": tasks[row["task_id"]]} for row in self._outcomes(tasks, made)}
        found = experiences(self.data, int(cycle), graded, {"weights": self.plan.config["salience"]})
        write_atomic(path, experience_lines(found.rows))
        left_out = "; ".join(f"{count:,} {reason}" for reason, count in found.left_out.items())
        return f"{len(found.rows):,} experiences: {path}" + (f" (left out: {left_out})" if left_out else "")

    def replay_param(self, run: str) -> str:
        """What decides a replay set besides the experiences."""
        one = self.runs[run]
        return canonical([VERSION, one.spec["replay"], sha256(canonical(one.tasks))])

    def select(self, run: str) -> None:
        """Write what is learned and what is only measured on; the teacher's answers are known then."""
        from .experiences import load_experiences
        from .replay import replay_set

        one = self.runs[run]
        mine = [row for row in load_experiences(self.data, one.spec["cycle"]) if row["gen_id"] in one.generations]
        replay = replay_set(mine, list(one.tasks.values()), one.spec["replay"], one.spec["replay"]["seed"])
        write_atomic(self._file(run, "held_out.jsonl"), _lines(replay.held_out))
        write_atomic(self._file(run, "general.jsonl"), _lines(replay.general))
        write_atomic(self._file(run, "replay.json"), pretty(replay.summary))
        write_atomic(self._file(run, "data_card.md"), replay.card)
        write_atomic(self._file(run, "replay.jsonl"), _lines(replay.rows))
        self.teacher_rows(run)

    def teacher_rows(self, run: str) -> dict[str, Row]:
        """The teacher's answers that a run's replay set asks for, by id: another process may have selected since."""
        from .compile import teacher_rows

        path = self._file(run, "replay.jsonl")
        written = path.stat().st_mtime_ns
        if self.known.get(run) != written:
            asked = [row["task"] for row in read_lines(path) if row["role"] == "target"]
            # Tasks of a group share their worked examples: side by side, they share the evaluated prefix too.
            asked.sort(key=lambda task: (task["group"], task["task_id"]))
            self.teachers[run] = teacher_rows(self.runs[run], asked)
            self._add(self.teachers[run])
            self.known[run] = written
            for gen_id in self.teachers[run]:
                self.plan.origin.setdefault(gen_id, run)
        return self.teachers[run]

    def teacher_files(self, run: str) -> list[str]:
        """The metadata of the teacher's answers."""
        return self._metadata(self.teacher_rows(run))

    def teaching_param(self, run: str) -> str:
        """What decides the training data besides the answers."""
        return canonical([VERSION, self.runs[run].spec["teacher"], bool(self.logprobs(run))])

    def teach(self, run: str) -> None:
        """Write the accepted answers as training data."""
        from ..tasks.graders import grade
        from ..tasks.running import sandbox
        from .teaching import accepted, chat_rows

        one, replay = self.runs[run], read_lines(self._file(run, "replay.jsonl"))
        tasks = {row["task_id"]: row["task"] for row in replay}
        answers: dict[str, list[dict[str, Any]]] = {}
        for gen_id, row in self.teacher_rows(run).items():
            answers.setdefault(row["wildcards"]["task_id"], []).append(self._answer(gen_id))
        check = partial(grade, run=sandbox())
        keep = one.spec["teacher"]["keep"]
        taught = {task_id: accepted(tasks[task_id], given, check, keep) for task_id, given in answers.items()}
        own = {row["wildcards"]["task_id"]: self._answer(gen_id) for gen_id, row in one.generations.items()}
        whole = {task_id: answer for task_id, answer in own.items() if answer["text"] and not answer["truncated"]}
        train, validation, counts = chat_rows(replay, taught, whole)
        if self.logprobs(run):
            for row in train:
                if row["role"] == "target":
                    row["top_logprobs"] = f"logprobs/{row['gen_id']}.json"
        write_atomic(self._file(run, "train.jsonl"), _lines(train))
        write_atomic(self._file(run, "validation.jsonl"), _lines(validation))
        write_atomic(self._file(run, "teaching.json"), pretty(counts))

    def _answer(self, gen_id: str) -> dict[str, Any]:
        folder = gen_folder(self.data, "answer", gen_id)
        metadata = _read_json(folder / "metadata.json")
        text = (folder / "parsed.txt").read_text(encoding="utf-8") if metadata["status"] == "ok" else None
        return {"gen_id": gen_id, "text": text, "truncated": metadata["truncated"]}

    # --- jobs of the scripts ---

    def _weights(self, run: str) -> dict[str, Any]:
        """Where a student's weights are, and what their content is known by, so that others are noticed."""
        weights = self.runs[run].weights
        return {
            "student": weights,
            "fingerprint": weights_fingerprint(weights),
            "cache": str(self.data / "distill" / "students"),
        }

    def training_job(self, run: str) -> str:
        """The job of scripts/distill_student.py."""
        checkpoint = str(self._file(run, "checkpoint"))
        return canonical({**self._weights(run), "training": self.runs[run].spec["training"], "checkpoint": checkpoint})

    def logprobs(self, run: str) -> list[str]:
        """The folder of the teacher's log-probabilities, where the training asks for them."""
        return [str(self._file(run, "logprobs"))] if self.runs[run].spec["training"]["kl_weight"] else []

    def logprobs_job(self, run: str) -> str:
        """The job of scripts/teacher_logprobs.py."""
        one = self.runs[run]
        return canonical({
            "teacher": one.teacher_weights,
            "fingerprint": weights_fingerprint(one.teacher_weights),
            "top_logprobs": one.spec["teacher"]["top_logprobs"],
            "cache": str(self.data / "distill" / "students"),
            "answers": str(self.data / "gens" / "answer"),
        })  # fmt: skip

    def validation_job(self, run: str) -> str:
        """The job of scripts/validate_student.py."""
        settings = self.runs[run].spec["validation"]
        gate = {key: settings[key] for key in ("margin", "most_lost", "smallest")}
        return canonical({
            **self._weights(run),
            "max_new_tokens": settings["max_tokens"],
            "batch": settings["batch"],
            "gate": gate,
            "seed": self.runs[run].spec["training"]["seed"],
        })  # fmt: skip

    def export_job(self, run: str) -> str:
        """The job of scripts/export_student.py."""
        one = self.runs[run]
        student = self.plan.models[one.spec["student"]["model"]]
        return canonical({
            **self._weights(run),
            "gguf": student["name"] if student["provider"] == "llama_cpp" else None,
            "merged": one.spec["export"]["merged"],
            "license": one.spec["student"]["license"],
            "model_id": one.model_id,
        })  # fmt: skip

    # --- a student at work ---

    def register(self, run: str, context: Context) -> None:
        """Answer the held-out tasks with the exported student in llama.cpp; make it a model of its own if the gate and
        that let it through, and take it back if not."""
        one, adapter = self.runs[run], self._file(run, "export") / "adapter.gguf"
        gate = _read_json(self._file(run, "gate.json"))
        base = self.plan.models[one.spec["student"]["model"]]
        reasons = list(gate["reasons"])
        exported: dict[str, Any] = {"model_id": one.model_id, "accuracy": None}
        if base["provider"] == "llama_cpp" and adapter.exists():
            model = {**base, "model_id": one.model_id, "lora": str(adapter)}
            exported["accuracy"] = self._measure(run, model, context)
            if not exported["accuracy"]["agrees"]:
                reasons.append("in llama.cpp it solves another share of the held-out tasks than where it was trained")
        else:
            reasons.append(f"{base['model_id']} is no llama_cpp model, so the adapter cannot be put to work here")
        path = self.data / "models" / f"{one.model_id}.yaml"
        exported |= {"deployed": not reasons, "reasons": reasons, "registered": str(path) if not reasons else None}
        if reasons:
            path.unlink(missing_ok=True)
        else:
            own = {key: value for key, value in base.items() if key not in ("model_id", "local_models")}
            write_atomic(path, registration(one.model_id, {**own, "lora": str(adapter)}))
        write_atomic(self._file(run, "exported.json"), pretty(exported))

    def _measure(self, run: str, model: Row, context: Context) -> dict[str, Any]:
        """How many held-out tasks the exported student solves, beside what it solved where it was trained."""
        from .validate import agreement

        models = {**self.plan.models, model["model_id"]: model}
        for row in self._exported_rows(run, models).values():
            make_generation(row, replace(context, models=models), [])
        there = [
            row
            for row in read_lines(self._file(run, "answers.jsonl"))
            if (row["set"], row["student"]) == ("held_out", "after")
        ]
        return agreement(there, self._exported(run, models))

    def held_out(self, run: str) -> list[dict[str, Any]]:
        """The tasks of the kinds that are learned that a student is only measured on."""
        return read_lines(self._file(run, "held_out.jsonl"))

    def _exported_rows(self, run: str, models: Mapping[str, Row]) -> dict[str, Row]:
        """The exported student's answers to the held-out tasks."""
        from .compile import answer_rows

        one = self.runs[run]
        sampling = {"max_tokens": one.spec["validation"]["max_tokens"]}
        asked = {**one.spec["practice"], "model": one.model_id, "samples": 1, "sampling": sampling, "by_kind": {}}
        return answer_rows(self.held_out(run), asked, one.catalog, models)

    def _exported(self, run: str, models: Mapping[str, Row]) -> list[dict[str, Any]]:
        tasks = {task["task_id"]: task for task in self.held_out(run)}
        return self._outcomes(tasks, self._exported_rows(run, models))

    def report(self, run: str) -> str:
        """Write what a run brought; returns its short form for the screen."""
        from .report import asked_words, write_report

        one = self.runs[run]
        names = {who: one.spec[who]["model"] for who in ("student", "teacher")}
        replay = {row["task_id"]: row for row in read_lines(self._file(run, "replay.jsonl")) if row["role"] == "target"}
        tasks = {task_id: row["task"] for task_id, row in replay.items()}
        before = {g: row for g, row in one.generations.items() if row["wildcards"]["task_id"] in tasks}
        costs = {
            "teacher": self._outcomes(tasks, self.teacher_rows(run)),
            "before": self._outcomes(tasks, before),
        }
        if _read_json(self._file(run, "exported.json"))["accuracy"] is not None:
            base = self.plan.models[names["student"]]
            student = {**base, "model_id": one.model_id, "lora": str(self._file(run, "export") / "adapter.gguf")}
            costs["after"] = self._exported(run, {**self.plan.models, one.model_id: student})
        for outcomes in costs.values():
            for row in outcomes:
                folder = gen_folder(self.data, "answer", row["gen_id"])
                turns = _read_json(folder / "metadata.json").get("turns", ())
                row["words"] = asked_words((folder / "prompt.txt").read_text(encoding="utf-8"), turns)
        facts = {
            "run": run,
            **names,
            "model_id": one.model_id,
            "atp": {who: self.plan.models[name]["atp"] for who, name in names.items()},
            "costs": costs,
            "notes": self._notes(one),
        }
        return write_report(self._file(run, "report.md").parent, facts)

    def _notes(self, one: "Distillation") -> list[str]:
        """What the numbers of a report do not show."""
        notes = []
        if one.spec["teacher"]["model"] == one.spec["student"]["model"]:
            notes.append(
                f"Teacher and student are the same model: it was shown {one.spec['teacher']['worked']} worked examples "
                f"before each question and drew {one.spec['teacher']['samples']} answers, of which the graders chose. "
                "What it learned is to do without the examples, not anything that it could not do with them."
            )
        if one.spec["replay"]["general_share"]:
            notes.append("Answers to general tasks are the student's own, right or wrong: they keep it as it was.")
        return notes

    def targets(self) -> list[str]:
        """Every file that distillations make in the end."""
        return [str(self._file(run, name)) for run in self.runs for name in ("report.md", "accuracy.png")]

    def earlier(self) -> set[str]:
        """The ids of all answers that are planned, or that an experience or a training example came from."""
        ids = set(self.rows)
        for path in (*self.data.glob("experiences/cycle-*.jsonl"), *self.data.glob("distill/*/cycle-*/train.jsonl")):
            ids |= {row["gen_id"] for row in read_lines(path)}
        return ids


def read_lines(path: Path | str) -> list[dict[str, Any]]:
    """The objects of a JSON Lines file."""
    return [json.loads(line) for line in Path(path).read_text(encoding="utf-8").splitlines() if line]


def _lines(rows: Iterable[Row]) -> str:
    return "".join(json.dumps(row, ensure_ascii=False, sort_keys=True) + "\n" for row in rows)


def _read_json(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))
