"""Dreamflow: language models at work offline, on files. README.md shows how to use it."""

import sys

from snakemake.utils import min_version

min_version("9.27")
sys.path.insert(0, f"{workflow.current_basedir}/scripts")

from dreamflow.errors import DreamflowError
from dreamflow.settings import has_keys

try:
    configured = has_keys()
except DreamflowError as error:
    sys.exit(f"Dreamflow cannot start:\n{error}")

if configured:  # Snakemake refuses a blank file; here it means that every key has its default

    configfile: "config/config.yaml"


report: "report/workflow.rst"


include: "rules/common.smk"
include: "rules/generations.smk"
include: "rules/shards.smk"


for family in flow.families:

    include: f"rules/{family}.smk"


include: "rules/reports.smk"
include: "rules/site.smk"
include: "rules/database.smk"
include: "rules/upkeep.smk"
include: "rules/phases.smk"
include: "rules/night.smk"


rule all:
    default_target: True
    input:
        (lambda wildcards: in_report()) if REPORTING else (lambda wildcards: flow.look_up(flow.targets, "all")),
