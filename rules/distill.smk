"""DREAM consolidation: experiences -> replay set -> teacher's answers -> student -> gate -> export -> a model to use.

`run` is a distillation's name and cycle, as its folder is called: demo/cycle-1.
"""

RUN = f"{DATA}/distill/{{run}}"


rule experiences:
    """What models did this cycle and how it turned out, with its salience."""
    input:
        lambda wildcards: flow.lessons.practice_files(wildcards.cycle),
    output:
        f"{DATA}/experiences/cycle-{{cycle}}.jsonl",
    log:
        f"{DATA}/logs/experiences/cycle-{{cycle}}.log",
    resources:
        cpu=1,  # code is run in the sandbox
    params:
        job=lambda wildcards: flow.lessons.experiences_param(wildcards.cycle),
    run:
        flow.attempt(log[0], lambda: flow.ledger.tell(flow.lessons.experiences(wildcards.cycle, output[0])))


checkpoint replay_set:
    """Which tasks are worth learning, and which ones nobody may learn from."""
    input:
        lambda wildcards: flow.lessons.experiences_file(wildcards.run),
    output:
        replay=f"{RUN}/replay.jsonl",
        held_out=f"{RUN}/held_out.jsonl",
        general=f"{RUN}/general.jsonl",
        counts=f"{RUN}/replay.json",
        card=f"{RUN}/data_card.md",
    log:
        f"{DATA}/logs/replay_set/{{run}}.log",
    params:
        job=lambda wildcards: flow.lessons.replay_param(wildcards.run),
    run:
        flow.attempt(log[0], lambda: flow.plan_lessons(wildcards.run))


rule teacher_answers:
    """The teacher's answers that the tasks' graders accept, as chat messages to train on."""
    input:
        replay=f"{RUN}/replay.jsonl",
        answers=lambda wildcards: checkpoints.replay_set.get(run=wildcards.run)
        and flow.lessons.teacher_files(wildcards.run),
    output:
        train=f"{RUN}/train.jsonl",
        validation=f"{RUN}/validation.jsonl",
        counts=f"{RUN}/teaching.json",
    log:
        f"{DATA}/logs/teacher_answers/{{run}}.log",
    resources:
        cpu=1,
    params:
        job=lambda wildcards: flow.lessons.teaching_param(wildcards.run),
    run:
        flow.attempt(log[0], lambda: flow.lessons.teach(wildcards.run))


rule teacher_logprobs:
    """What the teacher finds likely at each token of its answers; made where the training asks for it."""
    input:
        f"{RUN}/train.jsonl",
    output:
        directory(f"{RUN}/logprobs"),
    log:
        f"{DATA}/logs/teacher_logprobs/{{run}}.log",
    conda:
        "../envs/distill.yaml"
    threads: 8
    resources:
        gpu=1,
        local_llm=1,
        mem_mb=8000,
        runtime=120,
    params:
        job=lambda wildcards: flow.lessons.logprobs_job(wildcards.run),
    script:
        "../scripts/teacher_logprobs.py"


rule distill_student:
    """LoRA training; a run that was killed goes on from its checkpoint."""
    input:
        train=f"{RUN}/train.jsonl",
        validation=f"{RUN}/validation.jsonl",
        logprobs=lambda wildcards: flow.lessons.logprobs(wildcards.run),
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
        local_llm=1,  # it has the memory and the processors to itself
        mem_mb=8000,
        runtime=240,
    params:
        job=lambda wildcards: flow.lessons.training_job(wildcards.run),
    script:
        "../scripts/distill_student.py"


rule validate_student:
    """The student before and after, on tasks that nobody learned from; and whether that is good enough."""
    input:
        adapter=f"{RUN}/adapter",
        held_out=f"{RUN}/held_out.jsonl",
        general=f"{RUN}/general.jsonl",
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
        local_llm=1,
        mem_mb=8000,
        runtime=120,
    params:
        job=lambda wildcards: flow.lessons.validation_job(wildcards.run),
    script:
        "../scripts/validate_student.py"


rule export_student:
    """The adapter for other programs: safetensors with a model card, GGUF, merged; with a proof that they agree."""
    input:
        adapter=f"{RUN}/adapter",
        validation=f"{RUN}/validation.json",
        gate=f"{RUN}/gate.json",
        held_out=f"{RUN}/held_out.jsonl",
        teaching=f"{RUN}/teaching.json",
        training=f"{RUN}/training.json",
    output:
        directory(f"{RUN}/export"),
    log:
        f"{DATA}/logs/export_student/{{run}}.log",
    conda:
        "../envs/distill.yaml"
    threads: 8
    resources:
        local_llm=1,
        mem_mb=8000,
        runtime=60,
    params:
        job=lambda wildcards: flow.lessons.export_job(wildcards.run),
    script:
        "../scripts/export_student.py"


rule register_student:
    """The exported student at work in llama.cpp; where the gate let it through, a model that any spec can name."""
    input:
        f"{RUN}/export",
        f"{RUN}/held_out.jsonl",
        f"{RUN}/validation.json",
        f"{RUN}/gate.json",
    output:
        f"{RUN}/exported.json",
    log:
        f"{DATA}/logs/register_student/{{run}}.log",
    resources:
        local_llm=1,
        cpu=1,
        mem_mb=4000,
        runtime=60,
    params:
        job=lambda wildcards: flow.lessons.export_job(wildcards.run),
    run:
        flow.attempt(log[0], lambda: flow.register_student(wildcards.run))


rule distill_report:
    """What was learned, what it cost and what it saves."""
    input:
        f"{RUN}/exported.json",
        f"{RUN}/training.csv",
        f"{RUN}/replay.json",
    output:
        f"{RUN}/report.md",
        f"{RUN}/accuracy.png",
    log:
        f"{DATA}/logs/distill_report/{{run}}.log",
    run:
        flow.attempt(log[0], lambda: flow.shown.append(flow.lessons.report(wildcards.run)))


rule distill:
    """Every configured distillation."""
    input:
        lambda wildcards: flow.asked("distill"),
