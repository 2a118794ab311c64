"""What decides the jobs of a distillation besides the files that they read, as JSON text (see `Run.job_file`)."""

from ..files import canonical, sha256
from ..generation.model import Json
from ..generation.model_files import weights_fingerprint
from .compile import Distillation

VERSION = 1  # of how answers are graded and selected; raised, what follows from them is made again


def grades_job(distillation: Distillation) -> str:
    """Of the grades of answers."""
    return canonical([VERSION, sha256(canonical(distillation.tasks))])


def replay_job(distillation: Distillation) -> str:
    """Of the replay set."""
    return canonical([VERSION, distillation.spec.replay.as_dict(), sha256(canonical(distillation.tasks))])


def teaching_job(distillation: Distillation) -> str:
    """Of the training data."""
    return canonical([VERSION, distillation.spec.teacher.as_dict(), bool(distillation.spec.training.kl_weight)])


def logprobs_job(distillation: Distillation) -> str:
    """Of scripts/teacher_logprobs.py."""
    root = distillation.world.layout.root
    return canonical({
        "teacher": distillation.teacher_weights,
        "fingerprint": weights_fingerprint(distillation.teacher_weights),
        "top_logprobs": distillation.spec.teacher.top_logprobs,
        "cache": str(root / "distill" / "students"),
        "answers": str(root / "gens" / "answer"),
    })  # fmt: skip


def training_job(distillation: Distillation) -> str:
    """Of scripts/distill_student.py."""
    training, checkpoint = distillation.spec.training.as_dict(), str(distillation.folder / "checkpoint")
    return canonical({**_weights(distillation), "training": training, "checkpoint": checkpoint})


def validation_job(distillation: Distillation) -> str:
    """Of scripts/validate_student.py."""
    settings = distillation.spec.validation
    return canonical({
        **_weights(distillation),
        "max_new_tokens": settings.max_tokens,
        "batch": settings.batch,
        "gate": {"margin": settings.margin, "most_lost": settings.most_lost, "smallest": settings.smallest},
        "seed": distillation.spec.training.seed,
    })  # fmt: skip


def export_job(distillation: Distillation) -> str:
    """Of scripts/export_student.py, and of what is done with the exported student."""
    return canonical({
        **_weights(distillation),
        "gguf": distillation.student.name if distillation.exported else None,
        "merged": distillation.spec.export.merged,
        "license": distillation.spec.student.license,
        "model_id": distillation.model_id,
    })  # fmt: skip


def _weights(distillation: Distillation) -> dict[str, Json]:
    """Where a student's weights are, and what their content is known by, so that others are noticed."""
    return {
        "student": distillation.weights,
        "fingerprint": weights_fingerprint(distillation.weights),
        "cache": str(distillation.world.layout.root / "distill" / "students"),
    }
