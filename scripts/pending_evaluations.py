"""Print the evaluations that wait for a person or an agent, each with the form of its answer; nothing if none waits.

Run it in the folder in which you run snakemake. scripts/hooks/post-consolidation.sh runs it for agents.
"""

import sys

from dreamflow.agents.pending import evaluation_prompt
from dreamflow.agents.project import open_project
from dreamflow.errors import DreamflowError


def main() -> None:
    """Print the prompt."""
    try:
        print(evaluation_prompt(open_project()), end="")
    except DreamflowError as error:
        sys.exit(f"pending_evaluations: {error}")


if __name__ == "__main__":
    main()
