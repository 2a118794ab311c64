"""Made-up entries of a night, for the tests of its tables, its journal and its promotions."""

from dreamflow.dreams.check import Candidate, Check, check_variants, unified_diff
from dreamflow.dreams.equivalence import Trial
from dreamflow.dreams.procedure import Procedure
from dreamflow.dreams.records import Entry, records
from dreamflow.dreams.spec import Tiers
from dreamflow.generation.model import Generation, Result, Usage, Variant

TIERS = Tiers(viable=0.6, speculative=0.3)
SOURCE = '''"""Copies."""

import shutil


def backup(path: str, keep: int = 3) -> list[str]:
    """Keep the newest."""
    names = sorted(path)
    shutil.copy(path, "/tmp")
    return names[-keep:]
'''


def procedure(name="web.backup", **fields):
    project, _, stem = name.partition(".")
    values = {
        **{"procedure_id": name, "project": project, "category": "backup", "tags": ("files",), "contexts": ()},
        **{"description": "Keeps the newest copies.", "entry": stem, "source": SOURCE.replace("backup", stem)},
        **{"effects": {"shutil.copy": ("write:files",)}, "fakes": {"shutil.copy": {"returns": None}}, "files": {}},
        **{"inputs": ({"args": ["abc"], "kwargs": {}},), "generate": True},
        "card": f"data/1_raw/procedures/{project}/{stem}.yaml",
    }
    return Procedure(**{**values, **fields})


KNOWN = {name: procedure(name) for name in ("web.backup", "app.restore")}


def check(**fields):
    values = {"compiles": True, "problems": [], "passed": True, "signature": "kept"}
    values |= {"novelty": 0.25, "distance_to_base": 0.25}
    values["diff"] = unified_diff(SOURCE, SOURCE.replace("keep: int = 3", "keep: int = 6"), "backup")
    return Check(**{**values, **fields})


def outcome(word="equivalent", **fields):
    agreeing = 5 if word == "equivalent" else 3
    values = {"outcome": word, "reason": f"it was {word}", "inputs_run": 5, "agreeing": agreeing}
    return Trial(**{**values, "seconds_ratio": 1.5, **fields})


def result(gen_id, **fields):
    stage = "verdict" if gen_id.startswith("j_") else "variant"
    return Result(**{"gen_id": gen_id, "stage": stage, **fields})


def verdict(viability, gen_id="j_1", **fields):
    tier = 1 if viability >= 0.6 else 2 if viability >= 0.3 else 3
    parsed = {"viability": viability, "tier": tier, "reasons": "It keeps more.", "warnings": []}
    answered = {"model_id": "judge", "usage": Usage(prompt_tokens=300, completion_tokens=100), "cost_usd": 0.001}
    answered |= {"latency_s": 2.0, "created_at": "2026-01-02T03:04:05+00:00"}
    return result(gen_id, **{**answered, "parsed": parsed, **fields})


def entry(gen_id="p_aaaaaaaaaa", kind="parameters", safe=False, procedure_id="web.backup", **parts):
    """An entry as `records.records` takes it; `parts` are check, test, verdict, result, code, description."""
    description = parts.pop("description", "keep in line 6: 3 -> 6")
    row = Generation(
        **{"family": "dream", "stage": "variant", "gen_id": gen_id, "mode": "local", "template_id": kind},
        **{"template_sha256": None, "parser": "code/1", "max_attempts": 1, "min_lines": 1},
        wildcards={"procedure_id": procedure_id, "kind": kind, "site": "6:31 keep*2"},
        variant=Variant(description, safe),
    )
    values = {"result": result(gen_id), "code": SOURCE.replace("= 3", "= 6")}
    values |= {"check": check(), "test": outcome(), "verdict": None}
    return Entry(row, **{**values, **parts})


def answered(gen_id, cost=0.002, tokens=1000, **fields):
    """The metadata of a variant that a model made."""
    usage = Usage(prompt_tokens=tokens // 2, completion_tokens=tokens - tokens // 2, cached_tokens=0)
    values = {"model_id": "coder", "usage": usage, "cost_usd": cost, "latency_s": 4.0}
    return result(gen_id, **{**values, "created_at": "2026-01-02T03:00:00+00:00", **fields})


def table(*entries, matches=None, promoted=()):
    return records(entries, KNOWN, TIERS, matches=matches or {}, promoted=promoted)


def failed_check():
    """A check as `check_variants` makes it of code that does not compile."""
    broken = Candidate("def backup(:\n", "parameters", False, (), "1:1 x*2")
    return check_variants(KNOWN["web.backup"], {"p": broken})["p"]
