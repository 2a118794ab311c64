"""Probes: models answer tasks with exact graders; the report has their accuracy."""

from dreamflow.probe.family import REPORT_FILES as PROBE_FILES

PROBE = flow.families["probe"]


checkpoint night_tasks:
    """Choose the tasks of a night's probe: those whose answers are expected to tell most about the models."""
    output:
        f"{DATA}/probes/{{night_probe}}/tasks.jsonl",
    log:
        f"{DATA}/logs/night_tasks/{{night_probe}}.log",
    localrule: True
    run:
        flow.job(log[0], lambda: flow.display.show(PROBE.write_night_tasks(output[0])) or flow.expect_more("answer"))


rule probe_grades:
    """Grade all answers of a probe; code runs in the sandbox."""
    input:
        lambda wildcards: (
            not PROBE.want_night(wildcards.probe) or checkpoints.night_tasks.get(night_probe=wildcards.probe)
        )
        and flow.look_up(PROBE.answer_files, wildcards.probe),
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


rule night_probes:
    """Ask models the tasks whose answers tell most about them."""
    input:
        lambda wildcards: flow.look_up(flow.targets, "night_probes"),
