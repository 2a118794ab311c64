"""Generations that were made and verified, as the workflow writes them."""

import json

from dreamflow.files import write_atomic
from dreamflow.outcomes.generations import GradedAnswer
from dreamflow.tasks.generators import generate
from dreamflow.tasks.outcomes import Outcome

TASKS = generate("extraction", 3) + generate("arithmetic", 1)


class Recorded:
    """A data folder with generations as the workflow writes them, made one after the other in time."""

    def __init__(self, root):
        self.root, self.minute, self.graded = root, 0, {}

    def add(self, stage, gen_id, prompt="", **fields):
        self.minute += 1
        metadata = {
            "gen_id": gen_id,
            "stage": stage,
            "mode": "llm",
            "status": "ok",
            "reason": "",
            "parents": [],
            "wildcards": {},
            "template_id": "plain",
            "model_id": "small",
            "attempts": [],
            "prompt_sha256": f"sha of {prompt}",
            "response_key": f"key of {gen_id}",
            "usage": {"prompt_tokens": 90, "completion_tokens": 10},
            "cost_usd": 0.0,
            "latency_s": 1.5,
            "parsed": {"warnings": []},
            "parser_options": {},
            "created_at": f"2026-01-01T00:{self.minute:02}:00+00:00",
            **fields,
        }
        folder = self.root / "gens" / stage / gen_id
        write_atomic(folder / "prompt.txt", prompt)
        write_atomic(folder / "metadata.json", json.dumps(metadata))
        return folder

    def answer(self, gen_id, task=TASKS[0], score=1.0, passed=..., **fields):
        passed = score == 1.0 if passed is ... else passed
        outcome = Outcome(
            **{key: task[key] for key in ("task_id", "kind", "context", "group")},
            **{"model_id": "small", "gen_id": gen_id, "sample": 1, "score": score, "passed": passed, "why": "so it is"},
            **dict.fromkeys(("prompt_tokens", "completion_tokens", "latency_s", "cost_usd")),
            stakes=task.get("stakes"),
        )
        self.graded[gen_id] = GradedAnswer(outcome, task["prompt"])
        return self.add("answer", gen_id, task["prompt"], **fields)

    def evaluation(self, gen_id, parent, score, judge="judge", **fields):
        same = {"parser_options": {"scale": [0, 9]}, "parents": [parent], "model_id": judge}
        return self.add("evaluation", gen_id, "Rate it.", **{**same, "parsed": {"score": score}, **fields})

    def variant(self, gen_id, outcome, agreeing=8, night="demo/cycle-1", **fields):
        self.add("variant", gen_id, f"Relax {gen_id}.", wildcards={"kind": "relax"}, **fields)
        test = {"outcome": outcome, "agreeing": agreeing, "inputs_run": 8, "reason": "as tested"}
        path = self.root / "dreams" / night / "tests" / f"{gen_id}.json"
        entry = {"skip": None, "values": {}, "test": test if outcome else None}
        write_atomic(path, json.dumps({gen_id: entry, "procedure": {"inputs": []}}))
