"""Probes: models answer tasks with exact graders; the report has their accuracy."""

from dreamflow.probe.family import REPORT_FILES as PROBE_FILES

PROBE = flow.families["probe"]


rule probe_grades:
    """Grade all answers of a probe; code runs in the sandbox."""
    input:
        lambda wildcards: flow.look_up(PROBE.answer_files, wildcards.probe),
        job=job_file("probe_grades", PROBE.grades_job, f"{DATA}/probes/{{probe}}/grades.jsonl"),
    output:
        f"{DATA}/probes/{{probe}}/grades.jsonl",
    log:
        f"{DATA}/logs/probe_grades/{{probe}}.log",
    localrule: True
    resources:
        cpu=1,
    run:
        flow.job(log[0], lambda: PROBE.write_grades(wildcards.probe, output[0]), input)


rule probe_report:
    """Write tables and a figure of the accuracy of each model by kind of task."""
    input:
        f"{DATA}/probes/{{probe}}/grades.jsonl",
    output:
        expand(f"{DATA}/probes/{{{{probe}}}}/{{name}}", name=PROBE_FILES),
    log:
        f"{DATA}/logs/probe_report/{{probe}}.log",
    localrule: True
    run:
        flow.job(log[0], lambda: PROBE.report(wildcards.probe, input[0]))


rule probe:
    """Measure models on tasks with exact graders."""
    input:
        lambda wildcards: flow.look_up(flow.targets, "probe"),
