"""Who made what from what: the same few facts of a generation, from its plan row or from its metadata.json.

A cohort may rest on drafts and essays that are not in its plan (a curated selection), and folders written by
the original pipeline have fewer keys; both are read here, so that no table has to know.
"""

from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from ..files import read_json

Facts = dict[str, Any]
Find = Callable[[str], Facts | None]

_STAGE = {"d": "draft", "e": "essay", "v": "evaluation"}


def facts(record: Mapping[str, Any]) -> Facts:
    """The facts of a plan row or a metadata.json (also the original's). A copied text has no model."""
    copied = record.get("mode") == "copy"
    model = {} if copied else record.get("model") or record
    parents = record.get("parents") or [p for p in [record.get("parent_gen_id")] if p]
    low, high = (record.get("parser_options") or {}).get("scale") or (None, None)
    return {
        "gen_id": record["gen_id"],
        "stage": record["stage"],
        "mode": record.get("mode") or "llm",
        "parents": list(parents),
        "combo_id": (record.get("wildcards") or record).get("combo_id") or "",
        "template_id": record.get("template_id") or "",
        "model_id": model.get("model_id") or model.get("llm_model_id") or "",
        "served_as": (model.get("provider") or "", model.get("name") or model.get("model_name") or ""),
        "replicate": record.get("replicate") or 1,
        "scale": (low, high),
    }


def gen_path(data_root: Path | str, stage: str, gen_id: str, name: str = "parsed.txt") -> str:
    """The path of a generation's file, beginning as `data_root` does."""
    return (Path(data_root) / "gens" / stage / gen_id / name).as_posix()


def read_metadata(data_root: Path | str, stage: str, gen_id: str) -> dict[str, Any] | None:
    """What metadata.json says, or None where there is none yet."""
    path = Path(gen_path(data_root, stage, gen_id, "metadata.json"))
    return read_json(path) if path.exists() else None


def finder(generations: Mapping[str, Mapping[str, Any]], data_root: Path | str) -> Find:
    """A look-up of facts by id: in the plan first, else among the generations under data/gens."""

    @cache
    def find(gen_id: str) -> Facts | None:
        record = generations.get(gen_id) or read_metadata(data_root, _STAGE.get(gen_id[:1], "draft"), gen_id)
        return facts(record) if record else None

    return find


def draft_and_essay(judged_id: str, find: Find) -> tuple[Facts | None, Facts | None]:
    """The draft and the essay behind a text that is judged; the essay is None where that text is a draft."""
    judged = find(judged_id)
    if judged is None or judged["stage"] != "essay":
        return judged, None
    return (find(judged["parents"][0]) if judged["parents"] else None), judged


def writers(draft: Facts | None, essay: Facts | None) -> list[Facts]:
    """The generations whose model wrote the text: the draft, and an essay that is no copy."""
    return [made for made in (draft, essay) if made and made["model_id"]]


def same_model(one: Facts, other: Facts) -> bool:
    """Whether one model is behind both: an equal id, or another id for the same provider's model."""
    named = one["served_as"][1]
    return one["model_id"] == other["model_id"] or bool(named and one["served_as"] == other["served_as"])
