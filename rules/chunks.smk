"""Conversations: windows -> archive -> page, for each configured conversation; upgrades of archives; clusters.

Every archive is a file of its own that is never overwritten; which one is current is in the conversation's manifest.
"""

CHUNKS = flow.families["chunks"]
UPGRADE_JOB = job_file("upgrade_conversation", CHUNKS.upgrade_job, f"{DATA}/chunks/{{conversation}}/upgrade.json")


rule chunks:
    """Every configured conversation."""
    input:
        lambda wildcards: flow.look_up(flow.targets, "chunks"),


rule archive:
    """The chunks of a conversation, by its tier basic; better chunks that an upgrade made stay."""
    input:
        lambda wildcards: flow.look_up(CHUNKS.archive_inputs, wildcards.conversation),
        job=job_file("archive", CHUNKS.archive_job, f"{DATA}/chunks/{{conversation}}/manifest.json"),
        broken=lambda wildcards: flow.always(*CHUNKS.broken_manifest(wildcards.conversation)),
    output:
        update(f"{DATA}/chunks/{{conversation}}/manifest.json"),
    log:
        f"{DATA}/logs/archive/{{conversation}}.log",
    localrule: True
    run:
        flow.job(log[0], lambda: CHUNKS.make_archive(wildcards.conversation))


rule chunks_page:
    """A conversation with its chunks side by side, to look at."""
    input:
        f"{DATA}/chunks/{{conversation}}/manifest.json",
    output:
        f"{DATA}/chunks/{{conversation}}/chunks.html",
    log:
        f"{DATA}/logs/chunks_page/{{conversation}}.log",
    localrule: True
    run:
        flow.job(log[0], lambda: CHUNKS.write_page(wildcards.conversation))


rule chunk_result:
    """What a run changed in the archives, and what it cost."""
    input:
        CHUNKS.manifests(),
    output:
        update(f"{DATA}/chunks/result.json"),
    log:
        f"{DATA}/logs/chunk_result.log",
    localrule: True
    run:
        flow.job(log[0], CHUNKS.write_result)


checkpoint upgrade_plan:
    """Which chunks a better model re-chunks: most value for money first, within the limits."""
    input:
        CHUNKS.manifests(),
        lambda wildcards: flow.always(f"{DATA}/chunks/upgrade/plan.json"),  # each upgrade begins with its own plan
    output:
        f"{DATA}/chunks/upgrade/plan.json",
    log:
        f"{DATA}/logs/upgrade_plan.log",
    localrule: True
    run:
        flow.job(log[0], lambda: flow.ledger.show(CHUNKS.write_upgrade_plan(flow.now)) or flow.expect_more("chunk"))


rule upgrade_conversation:
    """The next archive of a conversation, with the planned chunks re-chunked."""
    input:
        lambda wildcards: checkpoints.upgrade_plan.get() and flow.look_up(CHUNKS.upgrade_inputs, wildcards.conversation),
        job=lambda wildcards: checkpoints.upgrade_plan.get() and UPGRADE_JOB(wildcards),
    output:
        f"{DATA}/chunks/{{conversation}}/upgrade.json",
    log:
        f"{DATA}/logs/upgrade_conversation/{{conversation}}.log",
    localrule: True
    run:
        flow.job(log[0], lambda: CHUNKS.upgrade(wildcards.conversation, output[0]))


rule upgrade:
    """Re-chunk the chunks that match the filter with a better model (config: upgrade)."""
    input:
        lambda wildcards: flow.look_up(flow.targets, "upgrade"),
        lambda wildcards: checkpoints.upgrade_plan.get() and flow.look_up(CHUNKS.upgraded),
    log:
        f"{DATA}/logs/upgrade.log",
    localrule: True
    run:
        flow.job(log[0], CHUNKS.write_result)


checkpoint cluster_plan:
    """Which chunks of all conversations are about the same thing."""
    input:
        CHUNKS.manifests(),
        job=job_file("cluster_plan", CHUNKS.cluster_plan_job, f"{DATA}/chunks/clusters/plan.json"),
    output:
        f"{DATA}/chunks/clusters/plan.json",
    log:
        f"{DATA}/logs/cluster_plan.log",
    localrule: True
    run:
        flow.job(log[0], lambda: CHUNKS.write_cluster_plan() or flow.expect_more("cluster"))


rule clusters:
    """Groups of chunks, with what a model says about them where one is configured: theme, summary, contradictions."""
    input:
        lambda wildcards: flow.look_up(flow.targets, "clusters"),
        lambda wildcards: checkpoints.cluster_plan.get() and flow.look_up(CHUNKS.cluster_inputs),
        job=job_file("clusters", CHUNKS.clusters_job, f"{DATA}/chunks/clusters.json"),
    output:
        f"{DATA}/chunks/clusters.json",
    log:
        f"{DATA}/logs/clusters.log",
    localrule: True
    run:
        flow.job(log[0], lambda: CHUNKS.write_clusters(output[0]))
