"""Grade answers; the code in them runs in the sandbox (see sandbox/isolation.py)."""

from collections.abc import Iterable, Mapping, Sequence

from ..generation.layout import Layout
from ..sandbox.isolation import TOOLS, Limits, isolation
from ..sandbox.runs import STUCK, run_calls
from .answers import ANSWER
from .graders import Run, Task
from .outcomes import outcomes, write_grades

LIMITS = Limits(seconds=3, memory_mb=256, processes=8, output_kb=64, disk_mb=4)  # of one call of a small function


def grade_answers(layout: Layout, gen_ids: Iterable[str], tasks: Mapping[str, Task], path: str) -> None:
    """Grade the answers and write the grades to `path`."""
    folders = [layout.generation(ANSWER.name, gen_id) for gen_id in gen_ids]
    write_grades(path, outcomes(folders, tasks, sandbox()))


def sandbox(limits: Limits = LIMITS, tools: Sequence[str] = TOOLS) -> Run | str:
    """Return a function that runs code in a sandbox (`run` of `graders.grade`), or the reason why there is none.

    Each answer has its own sandbox, and each call its own process with these `limits`. If a call exceeds a limit or
    breaks its sandbox, the remaining calls of the answer are skipped. The function raises a `DreamflowError` if a
    sandbox cannot be created any more.
    """
    way = isolation(tuple(tools))
    if isinstance(way, str):
        return f"code cannot be run safely here ({way})"

    def run(source: str, calls: Sequence[str]) -> list[dict[str, str]]:
        job = {
            **{"source": source, "entry": calls[0].partition("(")[0]},
            **{"fakes": {}, "files": {}, "unordered": [], "preload": []},
        }
        return [
            {"returned": result["result"]}
            if result["ended"] == "returned"
            else {"error": result["says"] if result["ended"] in STUCK else result["error"]}
            for result in run_calls(job, calls, limits, way)
        ]

    return run
