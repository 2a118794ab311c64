"""Conversations: windows -> archive -> page, for each configured conversation; upgrades of archives; clusters.

Every version of an archive is a separate file that is never overwritten. The manifest names the current version.
"""

CHUNKS = flow.families["chunks"]
UPGRADE_JOB = job_file("upgrade_conversation", CHUNKS.upgrade_job, f"{DATA}/chunks/{{conversation}}/upgrade.json")


rule chunks:
    """Chunk every configured conversation."""
    input:
        lambda wildcards: flow.look_up(flow.targets, "chunks"),


rule archive:
    """Chunk a conversation at the quality level basic; better chunks of an upgrade stay."""
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
        flow.job(log[0], lambda: CHUNKS.make_archive(wildcards.conversation), input)


rule chunks_page:
    """Write the page that shows a conversation and its chunks side by side."""
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
    """Write the changes of a run to the archives, and its cost."""
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
    """Select the chunks to upgrade: most value for money first, within the limits."""
    input:
        CHUNKS.manifests(),
        lambda wildcards: flow.always(f"{DATA}/chunks/upgrade/plan.json"),  # each upgrade makes a new plan
    output:
        f"{DATA}/chunks/upgrade/plan.json",
    log:
        f"{DATA}/logs/upgrade_plan.log",
    localrule: True
    run:
        flow.job(log[0], lambda: flow.display.show(CHUNKS.write_upgrade_plan(flow.now)) or flow.expect_more("chunk"))


rule upgrade_conversation:
    """Write the next archive of a conversation, with the selected chunks re-chunked."""
    input:
        lambda wildcards: flow.look_up(flow.targets, "upgrade")
        and checkpoints.upgrade_plan.get()
        and flow.look_up(CHUNKS.upgrade_inputs, wildcards.conversation),
        job=lambda wildcards: checkpoints.upgrade_plan.get() and UPGRADE_JOB(wildcards),
    output:
        f"{DATA}/chunks/{{conversation}}/upgrade.json",
    log:
        f"{DATA}/logs/upgrade_conversation/{{conversation}}.log",
    localrule: True
    run:
        flow.job(log[0], lambda: CHUNKS.upgrade(wildcards.conversation, output[0]), input)


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
    """Group the chunks of all conversations by topic."""
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
    """Write the groups of chunks on the same topic; a configured model adds theme, summary and contradictions."""
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
        flow.job(log[0], lambda: CHUNKS.write_clusters(output[0]), input)
