"""The parser of answers that rewrite one statement: fewer tokens than a whole module, and no other code can change."""

import re
import textwrap

from ..errors import ConfigError
from ..generation.parsers.base import Options, Parsed, ParseError, drop_thinking, register
from ..generation.parsers.code import code
from ..generation.parsers.fences import closed_blocks
from ..pyanalysis.source import parse_python


@register("statement", version=1)
def statement(raw: str, options: Options) -> Parsed:
    """The module `base`, with its `lines` (first, last) replaced by the answer; or the module in the answer."""
    if not {"entry", "base", "lines"} <= options.keys():
        raise ConfigError("the parser 'statement' needs the options 'entry', 'base' and 'lines'")
    text = drop_thinking(raw)
    if re.search(rf"^[ \t]*def\s+{re.escape(options['entry'])}\b", text, re.M):
        return code(raw, options)
    first, last = options["lines"]
    lines = options["base"].splitlines(keepends=True)
    margin = re.match(r"[ \t]*", lines[first - 1])[0]
    problem = "there is no code"
    for block in [*closed_blocks(text), text]:
        replacement = textwrap.dedent(block.strip("\n")).strip()
        if not replacement:
            continue
        module = "".join(lines[: first - 1]) + textwrap.indent(replacement, margin) + "\n" + "".join(lines[last:])
        try:
            parse_python(module)
        except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
            problem = f"with it the module does not compile: {getattr(error, 'msg', error)}"
            continue
        return Parsed(module)
    raise ParseError(f"new code for lines {first}-{last} was expected: {problem}", text)
