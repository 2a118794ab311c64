"""Conversations: files -> an index of what was read -> windows -> archives and pages; upgrades of archives; clusters.

Every version of an archive is a separate file that is never overwritten. The manifest names the current version.
"""

CHUNKS = flow.families["chunks"]
ARCHIVE_JOB = job_file("archives", CHUNKS.archive_job, f"{DATA}/talks/made/{{batch}}.json")
UPGRADE_JOB = job_file("upgrade_conversation", CHUNKS.upgrade_job, f"{DATA}/chunks/{{conversation}}/upgrade.json")


rule chunks:
    """Chunk every configured conversation."""
    input:
        lambda wildcards: flow.look_up(flow.targets, "chunks"),


checkpoint read_conversations:
    """Read the files of conversations that are new or changed, and divide their texts into units."""
    input:
        lambda wildcards: flow.always(*flow.look_up(CHUNKS.unread)),
    output:
        update(f"{DATA}/talks/index.json"),
    log:
        f"{DATA}/logs/read_conversations.log",
    localrule: True
    run:
        flow.job(log[0], lambda: CHUNKS.read() or flow.expect_more("chunk", of=CHUNKS.is_basic))


rule archives:
    """Chunk a batch of conversations at the level basic, and write their pages; better chunks of an upgrade stay."""
    input:
        lambda wildcards: checkpoints.read_conversations.get() and flow.look_up(CHUNKS.archive_inputs, wildcards.batch),
        job=lambda wildcards: checkpoints.read_conversations.get() and ARCHIVE_JOB(wildcards),
        lost=lambda wildcards: checkpoints.read_conversations.get()
        and flow.always(*flow.look_up(CHUNKS.incomplete, wildcards.batch)),
    output:
        update(f"{DATA}/talks/made/{{batch}}.json"),
    log:
        f"{DATA}/logs/archives/{{batch}}.log",
    wildcard_constraints:
        batch="(many|one)/[A-Za-z0-9][A-Za-z0-9._-]*",
    localrule: True
    run:
        flow.job(log[0], lambda: CHUNKS.make_archives(wildcards.batch, output[0]), input)


rule chunk_result:
    """Write the changes of a run to the archives, its cost, and what could not be read."""
    input:
        f"{DATA}/talks/index.json",
        lambda wildcards: checkpoints.read_conversations.get() and flow.look_up(CHUNKS.batch_files),
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
        lambda wildcards: checkpoints.read_conversations.get() and flow.look_up(CHUNKS.batch_files),
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
    wildcard_constraints:
        conversation="[A-Za-z0-9][A-Za-z0-9._-]*",
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
        lambda wildcards: checkpoints.read_conversations.get() and flow.look_up(CHUNKS.batch_files),
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


checkpoint note_plan:
    """Gather the passages of each cluster, with the dates that they name, for notes."""
    input:
        f"{DATA}/chunks/clusters/plan.json",
    output:
        f"{DATA}/chunks/clusters/notes.json",
    log:
        f"{DATA}/logs/note_plan.log",
    localrule: True
    run:
        flow.job(log[0], lambda: CHUNKS.write_note_plan() or flow.expect_more("note"))


rule notes:
    """Write down what a configured model finds worth remembering, each claim with the chunks that say so."""
    input:
        lambda wildcards: flow.look_up(flow.targets, "notes"),
        lambda wildcards: checkpoints.note_plan.get() and flow.look_up(CHUNKS.note_inputs),
        job=job_file("notes", CHUNKS.notes_job, f"{DATA}/chunks/notes.json"),
    output:
        f"{DATA}/chunks/notes.json",
    log:
        f"{DATA}/logs/notes.log",
    localrule: True
    run:
        flow.job(log[0], lambda: flow.display.show(CHUNKS.write_notes(output[0])), input)
