"""Made-up entries of a night, for the tests of its tables, its journal and its promotions."""

from dreamflow.dreams.check import check_variants, unified_diff
from dreamflow.dreams.procedure import Procedure
from dreamflow.dreams.records import records

TIERS = {"viable": 0.6, "speculative": 0.3}
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
    values = {"compiles": True, "problems": [], "passed": True, "signature": "kept", "undefined": [], "claims": "none"}
    values |= {"duplicate_of": None, "novelty": 0.25, "nearest": "base", "distance_to_base": 0.25}
    values["diff"] = unified_diff(SOURCE, SOURCE.replace("keep: int = 3", "keep: int = 6"), "backup")
    return {**values, **fields}


def outcome(word="equivalent", **fields):
    agreeing = 5 if word == "equivalent" else 3
    values = {"outcome": word, "reason": f"it was {word}", "inputs_run": 5, "agreeing": agreeing}
    return {**values, "counterexample": None, "seconds_ratio": 1.5, **fields}


def metadata(gen_id, **fields):
    values = {"gen_id": gen_id, "status": "ok", "reason": "", "model_id": None, "usage": {}, "cost_usd": None}
    return {**values, "latency_s": None, "created_at": None, "parsed": {}, **fields}


def verdict(viability, gen_id="j_1", **fields):
    tier = 1 if viability >= 0.6 else 2 if viability >= 0.3 else 3
    parsed = {"viability": viability, "tier": tier, "reasons": "It keeps more.", "warnings": []}
    asked = {"model_id": "judge", "usage": {"prompt_tokens": 300, "completion_tokens": 100}, "cost_usd": 0.001}
    asked |= {"latency_s": 2.0, "created_at": "2026-01-02T03:04:05+00:00"}
    return metadata(gen_id, **{**asked, "parsed": parsed, **fields})


def entry(gen_id="p_aaaaaaaaaa", kind="parameters", safe=False, procedure_id="web.backup", **parts):
    """An entry as `records.records` takes it; `parts` are check, test, verdict, metadata, code, description."""
    where = {"procedure_id": procedure_id, "kind": kind, "site": "6:31 keep*2"}
    planned = {"description": parts.pop("description", "keep in line 6: 3 -> 6"), "safe": safe, "adds": []}
    values = {
        "row": {"gen_id": gen_id, "wildcards": where, "variant": planned},
        "metadata": metadata(gen_id),
        "code": SOURCE.replace("= 3", "= 6"),
        **{"check": check(), "test": outcome(), "verdict": None},
    }
    return {**values, **parts}


def asked(gen_id, cost=0.002, tokens=1000, **fields):
    """The metadata of a variant that a model made."""
    usage = {"prompt_tokens": tokens // 2, "completion_tokens": tokens - tokens // 2, "cached_tokens": 0}
    values = {"model_id": "coder", "usage": usage, "cost_usd": cost, "latency_s": 4.0}
    return metadata(gen_id, **{**values, "created_at": "2026-01-02T03:00:00+00:00", **fields})


def table(*entries, matches=None, promoted=()):
    return records(entries, KNOWN, TIERS, matches=matches or {}, promoted=promoted)


def failed_check():
    """A check as `check_variants` makes it of code that does not compile."""
    from dreamflow.dreams.check import Candidate

    broken = Candidate("def backup(:\n", "parameters", False, (), "1:1 x*2")
    return check_variants(KNOWN["web.backup"], {"p": broken})["p"]
