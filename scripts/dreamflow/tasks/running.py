"""The door to the sandbox for answers that are code: what their functions return, told by what can do no harm.

How it is closed in, and against what it is not guarded, stands in sandbox/isolation.py.
"""

from collections.abc import Sequence

from ..sandbox.isolation import TOOLS, Limits, isolation
from ..sandbox.runs import STUCK, run_calls
from .graders import Run

LIMITS = Limits(seconds=3, memory_mb=256, processes=8, output_kb=64, disk_mb=4)  # of one call of a small function


def sandbox(limits: Limits = LIMITS, tools: Sequence[str] = TOOLS) -> Run | str:
    """What `graders.grade` takes as `run`: runs code in a sandbox; or the reason why there is none on this machine.

    Each answer has a sandbox of its own, each of its calls a process of its own that loads the module anew, within
    `limits`. After a call that met a limit, or broke its sandbox, the rest of that answer's calls is not made. A
    `DreamflowError` is raised where a sandbox that worked before cannot be made any more.
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
            {"returned": one["result"]}
            if one["ended"] == "returned"
            else {"error": one["says"] if one["ended"] in STUCK else one["error"]}
            for one in run_calls(job, calls, limits, way)
        ]

    return run
