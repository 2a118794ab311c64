"""The form in which an answer is expected: what a person or an agent has to write so that the stage's parser reads it.

A form that is sent back as it is will not be read: its fields are placeholders, which parsers refuse."""

from collections.abc import Mapping

from ..families import FAMILIES  # noqa: F401  (its import registers the parsers of all families)
from ..generation.model import Json, Result
from ..generation.parsers import PARSERS, ParseError, parse
from ..generation.parsers.base import scale_of


def form_of(parser: str, options: Mapping[str, Json]) -> str:
    """The form of an answer for a parser with its version, such as "verdict/1"; "" if any text will do."""
    name = parser.partition("/")[0]
    if name == "verdict":
        return "Viability: 0.NN\nTier: N\nReasons: [reasons]"
    if name in ("in_last_line", "complex"):
        return "[reasons]\nSCORE: <n>"
    if name == "json":
        return _json_form(options.get("schema"))
    if name == "choice":
        return f"[reasons]\n<one of: {', '.join(map(str, options.get('options') or ()))}>"
    if name == "chunks":
        chunk = '{"from": <n>, "to": <n>, "labels": ["…"], "language": "…", "entities": ["…"], "summary": "…"}'
        return f'{{"chunks": [{chunk}]}}'
    if name == "cluster":
        return '{"theme": "…", "summary": "…", "contradictions": []}'
    if name == "notes":
        note = '{"claim": "…", "chunks": ["…"], "from": "", "until": ""}'
        return f'{{"notes": [{note}], "superseded": [], "contradictions": []}}'
    if name in ("essay_block", "essay_block_lenient"):
        return "<essay>\n[text]\n</essay>"
    if name == "essay_idea_last":
        return '<essay-idea stage="1">\n[text]\n</essay-idea>'
    return ""


def _json_form(schema: Json) -> str:
    fields = schema.get("properties") if isinstance(schema, Mapping) else None
    return "{" + ", ".join(f'"{name}": <{name}>' for name in fields or ("score",)) + "}"


def rules_of(parser: str, options: Mapping[str, Json]) -> str:
    """What the fields of the form may have, in one sentence."""
    name = parser.partition("/")[0]
    if name == "verdict":
        viable, speculative = options.get("viable", 0.6), options.get("speculative", 0.3)
        return (
            f"Viability is a number from 0 to 1; tier 1 (viable) from {viable:g}, tier 2 (speculative) from "
            f"{speculative:g}, tier 3 (archive) below. The tier must agree with the viability."
        )
    if name in ("in_last_line", "complex"):
        low, high = scale_of(options)
        return f"The score is a number from {low:g} to {high:g} in the last line."
    if name == "chunks" and "first" in options:
        return f"The chunks must cover units {options['first']} to {options.get('last')}, in order and without a gap."
    known = PARSERS.get(name)
    return known.description if known else "The answer is taken as it is."


def check_answer(result: Result, answer: str) -> dict[str, Json]:
    """What the stage's parser reads from an answer. Raises a `ParseError` if it cannot read it."""
    if not answer.strip():
        raise ParseError("the answer is empty")
    parsed = parse(result.parser.partition("/")[0], answer, result.parser_options)
    return {**parsed.values, **({"warnings": list(parsed.warnings)} if parsed.warnings else {})}
