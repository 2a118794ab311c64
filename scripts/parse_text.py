"""Print the text that a parser reads from a file: `python scripts/parse_text.py PARSER FILE`; '-' is standard input.

Warnings go to standard error. The exit status is 1 if the parser cannot read the answer, 2 if an argument is wrong.
"""

import argparse
import json
import sys
from pathlib import Path

import dreamflow.families  # noqa: F401  (registers the parsers of all families)
from dreamflow.errors import ConfigError
from dreamflow.files import read_text
from dreamflow.generation.catalog import parse_scale
from dreamflow.generation.parsers import PARSERS, ParseError, parse


def main(arguments: list[str] | None = None) -> int:
    """Run the command; returns the exit status."""
    options = _command_line().parse_args(arguments)
    if options.list:
        width = max(map(len, PARSERS))
        for name, parser in sorted(PARSERS.items()):
            print(f"{name:{width}}  {parser.description}")
        return 0
    if options.file is None:
        print("parse_text: PARSER and FILE (or --list) are required", file=sys.stderr)
        return 2
    try:
        raw = _standard_input() if options.file == "-" else read_text(options.file)
        parsed = parse(options.parser, raw, _template(options))
    except ParseError as error:
        print(f"{options.parser}: {error}", file=sys.stderr)
        return 1
    except ConfigError as error:
        print(f"parse_text: {error}", file=sys.stderr)
        return 2
    for warning in parsed.warnings:
        print(f"{options.parser}: warning: {warning}", file=sys.stderr)
    sys.stdout.buffer.write(parsed.text.encode())
    return 0


def _command_line() -> argparse.ArgumentParser:
    command = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    command.add_argument("parser", metavar="PARSER", nargs="?", help="the parser's name, see --list")
    command.add_argument("file", metavar="FILE", nargs="?", help="the raw answer, '-' for standard input")
    command.add_argument("--scale", default="", metavar="N|LOW-HIGH", help="the scale (default 0-9)")
    command.add_argument("--schema", type=Path, metavar="FILE", help="a JSON Schema for the json parser")
    command.add_argument("--list", action="store_true", help="list the parsers")
    return command


def _standard_input() -> str:
    try:
        return sys.stdin.buffer.read().decode()
    except UnicodeDecodeError as error:
        raise ConfigError(f"standard input: not UTF-8 text (byte {error.start})") from None


def _template(options: argparse.Namespace) -> dict:
    """Parser options with the scale and the schema of the command line."""
    template = {"scale": parse_scale(options.scale)}
    if options.schema:
        try:
            template["schema"] = json.loads(read_text(options.schema))
        except json.JSONDecodeError as error:
            raise ConfigError(f"{options.schema}:{error.lineno}: not valid JSON: {error.msg}") from None
    return template


if __name__ == "__main__":
    sys.exit(main())
