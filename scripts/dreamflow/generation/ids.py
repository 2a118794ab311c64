"""Ids by DayDreaming's formulas, so that its ids and ours are the same.

A cohort's id is the name of its spec. Every other id is a digest of a *signature*: names and numbers that identify the
thing. Contents (a template's text, a model's settings) are not part of it: an edit keeps the id and is noticed as a
changed input.
"""

import hashlib
from collections.abc import Iterable

from ..errors import ConfigError

_DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"
_PAIRS = [first + second for first in _DIGITS for second in _DIGITS]  # two digits a division: half the work


def combo_id(concept_ids: Iterable[str], level: str, k_max: int) -> str:
    """The id of a combination of concepts. Their order does not matter; letter case does."""
    signature = _joined([*sorted(concept_ids), str(level), str(int(k_max))])
    return "combo_v1_" + hashlib.sha256(signature.encode()).hexdigest()[:12]


def draft_id(combo: str, template: str, model: str, replicate: int) -> str:
    """The id of a draft."""
    return generation_id("d_", combo, template, model, replicate)


def essay_id(draft_gen_id: str, template: str, replicate: int, model: str | None = None) -> str:
    """The id of an essay. `model` is given only if it is not the draft's model.

    The original ids never contain the essay's model, so essays of different models would share an id.
    """
    parts = (draft_gen_id, template, replicate)
    return generation_id("e_", *parts) if model is None else generation_id("e_", *parts, model)


def evaluation_id(parent_gen_id: str, template: str, model: str, replicate: int) -> str:
    """The id of an evaluation of an essay or a draft."""
    return generation_id("v_", parent_gen_id, template, model, replicate)


def generation_id(prefix: str, *parts: str | int) -> str:
    """`prefix` and the base-36 digest of the parts; letter case and outer spaces do not matter."""
    signature = _joined([str(part).strip().lower() for part in parts])
    return prefix + _base36(hashlib.blake2b(signature.encode(), digest_size=10).digest())


def _joined(parts: list[str]) -> str:
    signature = "|".join(parts)
    if signature.count("|") != len(parts) - 1:  # else ("a|b", "c") and ("a", "b|c") would have the same id
        bad = next(part for part in parts if "|" in part)
        raise ConfigError(f"{bad!r} cannot be part of an id: it contains '|', which separates the parts; rename it")
    return signature


def _base36(digest: bytes) -> str:
    number, text = int.from_bytes(digest, "big"), ""
    while number:
        number, rest = divmod(number, 1296)
        text = _PAIRS[rest] + text
    return text.lstrip("0") or "0"
