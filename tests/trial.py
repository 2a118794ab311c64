"""The cohort of most workflow tests: its spec, its models and the answers of their server."""

from typing import Any

from protocols import scored as answer

__all__ = ["SPEC", "answer", "models"]

SPEC = {
    "combos": {"lists": [["a", "b"], ["b", "c"]]},
    "axes": {
        "draft_template": ["plain"],
        "draft_llm": ["writer"],
        "essay_template": ["long", "kept"],
        "evaluation_template": ["novelty"],
        "evaluation_llm": ["judge"],
    },
    "output": {"field_order": ["combo_id"]},
    "stages": {"draft": {"min_lines": 1}},
}


def models(url: str) -> dict[str, Any]:
    """Three models of one server."""

    def row(name: str) -> dict[str, Any]:
        return {
            "provider": "openai",
            "name": name,
            "base_url": url,
            "context_length": 8192,
            "sampling": {"temperature": 0.5, "top_p": 0.9, "max_tokens": 200},
            "price": {"prompt": 1.0, "completion": 2.0},
        }

    return {name: row(name) for name in ("writer", "second", "judge")}
