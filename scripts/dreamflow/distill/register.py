"""Register an exported student as a model that specs can name, if it passes the gate and works in llama.cpp."""

from collections.abc import Mapping, Sequence

from ..files import pretty, read_json, read_jsonl, write_atomic
from ..generation.model import Json, as_json
from ..generation.models import registration
from ..reports.accuracy import accuracy_by_kind, tokens_of
from ..reports.statistics import wilson
from ..tasks.outcomes import read_grades
from .compile import Distillation

Row = Mapping[str, Json]


def register(distillation: Distillation) -> None:
    """Register or unregister the student and write exported.json.

    The student is registered if it passes the gate and solves as many held-out tasks in llama.cpp as in torch.
    """
    folder, exported = distillation.folder, distillation.exported
    reasons = list(read_json(folder / "gate.json")["reasons"])
    accuracy = None
    if exported is None or not (folder / "export" / "adapter.gguf").exists():
        reasons.append(f"{distillation.student.model_id} is not a llama_cpp model, so the adapter cannot be used here")
    else:
        answers = read_jsonl(folder / "answers.jsonl")
        trained = [row for row in answers if (row["set"], row["student"]) == ("held_out", "after")]
        accuracy = agreement(trained, [as_json(row) for row in read_grades(folder / "grades" / "exported.jsonl")])
        if not accuracy["agrees"]:
            reasons.append("in llama.cpp it solves a different share of the held-out tasks than in torch")
    path = distillation.world.layout.registered_models / f"{distillation.model_id}.yaml"
    if reasons:
        path.unlink(missing_ok=True)
    else:
        write_atomic(path, registration(exported, exported.lora))
    decision = {"deployed": not reasons, "reasons": reasons, "registered": None if reasons else str(path)}
    facts = {"model_id": distillation.model_id, "accuracy": accuracy, **decision}
    write_atomic(folder / "exported.json", pretty(facts))


def agreement(in_torch: Sequence[Row], in_llama_cpp: Sequence[Row]) -> dict[str, Json]:
    """Compare the share of tasks that a student solves in torch and, exported, in llama.cpp.

    Returns {agrees, n, there (share in torch), here (in llama.cpp), low, high, same, kinds}, over the `n` tasks with
    both grades: they agree if `here` lies in Wilson's 95% interval of `there`. `same` is the number of equal grades;
    `kinds` are the rows of `accuracy_by_kind` in llama.cpp. Without tasks they do not agree; the shares are None.
    """
    graded = {row["task_id"]: bool(row["passed"]) for row in in_torch if row["passed"] is not None}
    both = [row for row in in_llama_cpp if row["task_id"] in graded and row["passed"] is not None]
    pairs = [(graded[row["task_id"]], bool(row["passed"])) for row in both]
    kinds = accuracy_by_kind({**row, "seconds": row["latency_s"], "tokens": tokens_of(row)} for row in in_llama_cpp)
    if not pairs:
        return {"agrees": False, "n": 0, **dict.fromkeys(("there", "here", "low", "high")), "same": 0, "kinds": kinds}
    n, solved = len(pairs), sum(before for before, _ in pairs)
    low, high = wilson(solved, n)
    share = sum(after for _, after in pairs) / n
    return {
        "agrees": low <= share <= high,
        "n": n,
        **{"there": solved / n, "here": share, "low": low, "high": high},
        "same": sum(before == after for before, after in pairs),
        "kinds": kinds,
    }
