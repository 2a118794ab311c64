"""Dreamflow: language models at work offline, on files. README.md shows how to use it."""

import sys

from snakemake.utils import min_version

min_version("9.27")
sys.path.insert(0, f"{workflow.basedir}/scripts")

from dreamflow.errors import DreamflowError
from dreamflow.settings import has_keys

try:
    configured = has_keys()
except DreamflowError as error:
    sys.exit(f"Dreamflow cannot start:\n{error}")

if configured:  # Snakemake refuses a blank file; here it means that every key has its default

    configfile: "config/config.yaml"


include: "rules/common.smk"
include: "rules/cohorts.smk"
include: "rules/packs.smk"
include: "rules/dreams.smk"
include: "rules/chunks.smk"
include: "rules/probe.smk"
include: "rules/distill.smk"
include: "rules/reports.smk"
include: "rules/upkeep.smk"


# On a cluster: what calls a remote model, and what takes a moment, runs in the process that submits. Jobs of their own
# are `pack`, `pack_gpu`, `sandbox_test`, and what trains, measures, exports and registers a student.
localrules:
    analyse,
    answer,
    archive,
    check,
    chunk,
    chunk_result,
    chunks_page,
    cluster,
    cluster_plan,
    clusters,
    combo_mappings,
    cross_experiment,
    distill_report,
    draft,
    essay,
    estimate,
    evaluation,
    experiences,
    forget_failed,
    journal,
    match,
    membership,
    orphans,
    probe_report,
    promote,
    prune,
    replay_set,
    reports,
    results,
    retry_failed,
    teacher_answers,
    upgrade,
    upgrade_conversation,
    upgrade_plan,
    variant,
    verdict,


rule all:
    default_target: True
    input:
        lambda wildcards: flow.targets(),
