"""Dreamflow: language models at work offline, on files. README.md shows how to use it."""

from snakemake.utils import min_version

min_version("9.27")


configfile: "config/config.yaml"


include: "rules/common.smk"
include: "rules/generations.smk"
include: "rules/cohorts.smk"
include: "rules/packs.smk"
include: "rules/dreams.smk"
include: "rules/chunks.smk"
include: "rules/probe.smk"
include: "rules/distill.smk"
include: "rules/reports.smk"
include: "rules/upkeep.smk"


rule all:
    default_target: True
    input:
        lambda wildcards: flow.look_up(flow.targets, "all"),
