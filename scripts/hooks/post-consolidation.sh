#!/bin/sh
# List the evaluations that wait for an agent and print each with the form of its answer, as context for the agent.
# Silent if nothing waits, and the exit status is always 0: a hook must not stop the agent. docs/agents.md shows how to use it.
#
# DREAMFLOW_PROJECT: the folder in which you run snakemake. Default: the agent's project, else the working directory.
repository=$(cd "$(dirname "$0")/../.." && pwd) || exit 0
cd "${DREAMFLOW_PROJECT:-${CLAUDE_PROJECT_DIR:-.}}" 2>/dev/null || exit 0
data=$(sed -n "s/^data_root:[[:space:]]*['\"]\{0,1\}\([^'\"#]*[^'\"#[:space:]]\).*/\1/p" config/config.yaml 2>/dev/null)
set -- "${data:-data}"/inbox/*.question.txt
[ -e "$1" ] || exit 0
python="$repository/.venv/bin/python"
[ -x "$python" ] || python=python3
"$python" "$repository/scripts/pending_evaluations.py" </dev/null
exit 0
