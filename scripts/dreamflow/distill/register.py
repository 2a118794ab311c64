"""Whether an exported student goes to work: registered, it is a model that any spec can name."""

from ..files import pretty, read_json, read_jsonl, write_atomic
from ..generation.model import Json, as_json
from ..generation.models import registration
from ..tasks.outcomes import read_grades
from .compile import Distillation
from .validate import agreement


def register(distillation: Distillation) -> None:
    """Write exported.json, and register the student or take it back.

    It is registered if the gate lets it through and if, in its new runtime, it solves as many held-out tasks as where
    it was trained.
    """
    folder, exported = distillation.folder, distillation.exported
    reasons = list(read_json(folder / "gate.json")["reasons"])
    accuracy = _accuracy(distillation)
    if accuracy is None:
        reasons.append(
            f"{distillation.student.model_id} is no llama_cpp model, so the adapter cannot be put to work here"
        )
    elif not accuracy["agrees"]:
        reasons.append("in llama.cpp it solves another share of the held-out tasks than where it was trained")
    path = distillation.world.layout.registered_models / f"{distillation.model_id}.yaml"
    if reasons or exported is None:
        path.unlink(missing_ok=True)
    else:
        write_atomic(path, registration(exported, exported.lora))
    decision = {"deployed": not reasons, "reasons": reasons, "registered": None if reasons else str(path)}
    facts = {"model_id": distillation.model_id, "accuracy": accuracy, **decision}
    write_atomic(folder / "exported.json", pretty(facts))


def _accuracy(distillation: Distillation) -> dict[str, Json] | None:
    """How many held-out tasks the exported student solves, beside what it solved where it was trained; None if it
    cannot be asked here."""
    if distillation.exported is None or not (distillation.folder / "export" / "adapter.gguf").exists():
        return None
    answers = read_jsonl(distillation.folder / "answers.jsonl")
    trained = [row for row in answers if (row["set"], row["student"]) == ("held_out", "after")]
    exported = [as_json(one) for one in read_grades(distillation.folder / "grades" / "exported.jsonl")]
    return agreement(trained, exported)
