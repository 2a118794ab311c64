"""DREAM consolidation: experiences -> replay set -> teacher's answers -> student -> gate -> export -> registration.

`run` is the name and cycle of a distillation, as in its folder: demo/cycle-1.
"""

DISTILL = flow.families["distill"]
RUN = f"{DATA}/distill/{{run}}"


rule practice_grades:
    """Grade the answers of the untrained student; code runs in the sandbox."""
    input:
        lambda wildcards: flow.look_up(DISTILL.answer_files, wildcards.run, "practice"),
        job=job_file("practice_grades", DISTILL.grades_job, f"{RUN}/grades/practice.jsonl"),
    output:
        f"{RUN}/grades/practice.jsonl",
    log:
        f"{DATA}/logs/practice_grades/{{run}}.log",
    localrule: True
    resources:
        cpu=1,
    run:
        flow.job(log[0], lambda: DISTILL.write_grades(wildcards.run, "practice", output[0]), input)


rule experiences:
    """Collect the verified generations of a cycle with their outcomes and salience."""
    input:
        lambda wildcards: flow.look_up(DISTILL.practice_grades, wildcards.cycle),
        job=job_file("experiences", DISTILL.experiences_job, f"{DATA}/experiences/cycle-{{cycle}}.jsonl"),
    output:
        f"{DATA}/experiences/cycle-{{cycle}}.jsonl",
    log:
        f"{DATA}/logs/experiences/cycle-{{cycle}}.log",
    wildcard_constraints:
        cycle="[1-9][0-9]*",
    localrule: True
    run:
        flow.job(log[0], lambda: flow.display.show(DISTILL.experiences(wildcards.cycle, output[0])))


checkpoint replay_set:
    """Select the tasks to learn from by salience, and the tasks to measure on."""
    input:
        lambda wildcards: flow.look_up(DISTILL.experiences_file, wildcards.run),
        job=job_file("replay_set", DISTILL.replay_job, f"{RUN}/replay.jsonl"),
    output:
        replay=f"{RUN}/replay.jsonl",
        held_out=f"{RUN}/held_out.jsonl",
        general=f"{RUN}/general.jsonl",
        counts=f"{RUN}/replay.json",
        card=f"{RUN}/data_card.md",
    log:
        f"{DATA}/logs/replay_set/{{run}}.log",
    localrule: True
    run:
        flow.job(log[0], lambda: DISTILL.select(wildcards.run) or flow.expect_more())


rule teacher_grades:
    """Grade the teacher's answers to the tasks of the replay set."""
    input:
        answers=lambda wildcards: DISTILL.want("teacher")
        and checkpoints.replay_set.get(run=wildcards.run)
        and flow.look_up(DISTILL.answer_files, wildcards.run, "teacher"),
        job=job_file("teacher_grades", DISTILL.grades_job, f"{RUN}/grades/teacher.jsonl"),
    output:
        f"{RUN}/grades/teacher.jsonl",
    log:
        f"{DATA}/logs/teacher_grades/{{run}}.log",
    localrule: True
    resources:
        cpu=1,
    run:
        flow.job(log[0], lambda: DISTILL.write_grades(wildcards.run, "teacher", output[0]), input)


rule teacher_answers:
    """Write the accepted answers of the teacher as chat messages to train on."""
    input:
        replay=f"{RUN}/replay.jsonl",
        practice=f"{RUN}/grades/practice.jsonl",
        teacher=f"{RUN}/grades/teacher.jsonl",
        job=job_file("teacher_answers", DISTILL.teaching_job, f"{RUN}/train.jsonl"),
    output:
        train=f"{RUN}/train.jsonl",
        validation=f"{RUN}/validation.jsonl",
        counts=f"{RUN}/teaching.json",
    log:
        f"{DATA}/logs/teacher_answers/{{run}}.log",
    localrule: True
    run:
        flow.job(log[0], lambda: DISTILL.teach(wildcards.run))


rule teacher_logprobs:
    """Write the teacher's log-probabilities at each token of its answers, if the training needs them."""
    input:
        train=f"{RUN}/train.jsonl",
        job=job_file("teacher_logprobs", DISTILL.logprobs_job, f"{RUN}/logprobs"),
    output:
        directory(f"{RUN}/logprobs"),
    log:
        f"{DATA}/logs/teacher_logprobs/{{run}}.log",
    conda:
        "../envs/distill.yaml"
    threads: 8
    resources:
        gpu=1,
        local_llm=LOCAL_AT_ONCE,
        mem_mb=8000,
        runtime=120,
    script:
        "../scripts/teacher_logprobs.py"


rule distill_student:
    """Train the student with LoRA; an interrupted training resumes from its checkpoint."""
    input:
        train=f"{RUN}/train.jsonl",
        validation=f"{RUN}/validation.jsonl",
        logprobs=lambda wildcards: flow.look_up(DISTILL.logprobs, wildcards.run),
        job=job_file("distill_student", DISTILL.training_job, f"{RUN}/adapter"),
    output:
        adapter=directory(f"{RUN}/adapter"),
        log=f"{RUN}/training.csv",
        plot=f"{RUN}/training.png",
        summary=f"{RUN}/training.json",
    log:
        f"{DATA}/logs/distill_student/{{run}}.log",
    conda:
        "../envs/distill.yaml"
    threads: 8
    resources:
        gpu=1,
        local_llm=LOCAL_AT_ONCE,  # no other model runs at the same time
        mem_mb=8000,
        runtime=240,
    script:
        "../scripts/distill_student.py"


rule validate_student:
    """Measure the student before and after the training on held-out and general tasks; apply the gate."""
    input:
        adapter=f"{RUN}/adapter",
        held_out=f"{RUN}/held_out.jsonl",
        general=f"{RUN}/general.jsonl",
        job=job_file("validate_student", DISTILL.validation_job, f"{RUN}/gate.json"),
    output:
        answers=f"{RUN}/answers.jsonl",
        validation=f"{RUN}/validation.json",
        gate=f"{RUN}/gate.json",
    log:
        f"{DATA}/logs/validate_student/{{run}}.log",
    conda:
        "../envs/distill.yaml"
    threads: 8
    resources:
        gpu=1,
        local_llm=LOCAL_AT_ONCE,
        mem_mb=8000,
        runtime=120,
    script:
        "../scripts/validate_student.py"


rule export_student:
    """Export the adapter as safetensors with a model card, GGUF and merged weights; check that they agree."""
    input:
        adapter=f"{RUN}/adapter",
        validation=f"{RUN}/validation.json",
        gate=f"{RUN}/gate.json",
        held_out=f"{RUN}/held_out.jsonl",
        teaching=f"{RUN}/teaching.json",
        training=f"{RUN}/training.json",
        job=job_file("export_student", DISTILL.export_job, f"{RUN}/export"),
    output:
        directory(f"{RUN}/export"),
    log:
        f"{DATA}/logs/export_student/{{run}}.log",
    conda:
        "../envs/distill.yaml"
    threads: 8
    resources:
        local_llm=LOCAL_AT_ONCE,
        mem_mb=8000,
        runtime=60,
    script:
        "../scripts/export_student.py"


checkpoint exported_answers:
    """List the exported student's answers. They are known only now: the adapter is part of the requests."""
    input:
        f"{RUN}/export",
        f"{RUN}/held_out.jsonl",
    output:
        f"{RUN}/exported_answers.jsonl",
    log:
        f"{DATA}/logs/exported_answers/{{run}}.log",
    localrule: True
    run:
        flow.job(log[0], lambda: DISTILL.write_exported(wildcards.run, output[0]) or flow.expect_more())


rule exported_grades:
    """Grade the exported student's answers to the held-out tasks."""
    input:
        answers=lambda wildcards: DISTILL.want("exported")
        and checkpoints.exported_answers.get(run=wildcards.run)
        and flow.look_up(DISTILL.answer_files, wildcards.run, "exported"),
        known=f"{RUN}/exported_answers.jsonl",
        job=job_file("exported_grades", DISTILL.grades_job, f"{RUN}/grades/exported.jsonl"),
    output:
        f"{RUN}/grades/exported.jsonl",
    log:
        f"{DATA}/logs/exported_grades/{{run}}.log",
    localrule: True
    resources:
        cpu=1,
    run:
        flow.job(log[0], lambda: DISTILL.write_grades(wildcards.run, "exported", output[0]), input)


rule register_student:
    """Register the exported student as a model for specs, if it passed the gate."""
    input:
        f"{RUN}/export",
        f"{RUN}/gate.json",
        f"{RUN}/answers.jsonl",
        f"{RUN}/grades/exported.jsonl",
        job=job_file("register_student", DISTILL.export_job, f"{RUN}/exported.json"),
    output:
        f"{RUN}/exported.json",
    log:
        f"{DATA}/logs/register_student/{{run}}.log",
    localrule: True
    run:
        flow.job(log[0], lambda: DISTILL.register(wildcards.run))


rule distill_report:
    """Write the report: what the student learned, what it solves, and what it saves."""
    input:
        f"{RUN}/exported.json",
        f"{RUN}/training.csv",
        f"{RUN}/replay.json",
        expand(f"{RUN}/grades/{{which}}.jsonl", which=("practice", "teacher", "exported"), allow_missing=True),
    output:
        f"{RUN}/report.md",
        f"{RUN}/accuracy.png",
        f"{RUN}/accuracy.svg",
    log:
        f"{DATA}/logs/distill_report/{{run}}.log",
    localrule: True
    run:
        flow.job(log[0], lambda: DISTILL.report(wildcards.run))


rule distill:
    """Train small models on the accepted answers of teachers."""
    input:
        lambda wildcards: flow.look_up(flow.targets, "distill"),
