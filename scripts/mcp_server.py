"""Serve this project to agents over the Model Context Protocol: `python scripts/mcp_server.py --directory PROJECT`.

An MCP client starts it and talks to it over standard input and output. Without flags its tools only read.
docs/agents.md shows how to connect Claude Code, Claude Desktop and others.
"""

import argparse
import os
import sys

from dreamflow.errors import DreamflowError


def main() -> None:
    """Serve until the client closes standard input."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--directory", default=".", metavar="DIR", help="the folder in which you run snakemake")
    parser.add_argument("--allow-submit", action="store_true", help="agents may answer pending questions")
    parser.add_argument("--allow-run", action="store_true", help="agents may start runs, each with a budget")
    options = parser.parse_args()
    try:
        from dreamflow.agents.server import make_server
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in ("mcp", "mcp_types"):
            raise
        sys.exit("mcp_server: the package 'mcp' is not installed: pip install -r envs/agents.txt")
    try:
        os.chdir(options.directory)
        from dreamflow.agents.project import open_project

        server = make_server(open_project(), allow_submit=options.allow_submit, allow_run=options.allow_run)
    except (DreamflowError, OSError) as error:
        sys.exit(f"mcp_server: {error}")
    server.run("stdio")


if __name__ == "__main__":
    main()
