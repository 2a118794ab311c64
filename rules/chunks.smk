"""Conversations: windows -> archive -> page, for each configured conversation; and upgrades of what is there.

Every archive is a file of its own that is never written over; which one holds is in the conversation's manifest.json.
"""

from dreamflow.files import canonical


use rule draft as chunk with:
    output:
        prompt=f"{DATA}/gens/chunk/{{gen_id}}/prompt.txt",
        raw=f"{DATA}/gens/chunk/{{gen_id}}/raw.txt",
        parsed=f"{DATA}/gens/chunk/{{gen_id}}/parsed.json",
        metadata=f"{DATA}/gens/chunk/{{gen_id}}/metadata.json",
    log:
        f"{DATA}/logs/chunk/{{gen_id}}.log",


rule archive:
    """The chunks of a conversation, by its tier basic; better ones that an upgrade made stay."""
    input:
        lambda wildcards: flow.talks.archive_inputs(wildcards.conversation),
    output:
        update(f"{DATA}/chunks/{{conversation}}/manifest.json"),
    log:
        f"{DATA}/logs/archive/{{conversation}}.log",
    params:
        conversation=lambda wildcards: flow.talks.archive_param(wildcards.conversation),
    run:
        flow.attempt(log[0], lambda: flow.talks.archive(wildcards.conversation))


rule chunks_page:
    """A conversation with its chunks side by side, to look at."""
    input:
        f"{DATA}/chunks/{{conversation}}/manifest.json",
    output:
        f"{DATA}/chunks/{{conversation}}/chunks.html",
    log:
        f"{DATA}/logs/chunks_page/{{conversation}}.log",
    run:
        flow.attempt(log[0], lambda: flow.talks.page(wildcards.conversation))


rule chunk_result:
    """What this run changed in the archives, and what it took."""
    input:
        flow.talks.manifests(),
    output:
        update(f"{DATA}/chunks/result.json"),
    log:
        f"{DATA}/logs/chunk_result.log",
    run:
        flow.shown.append(flow.talks.result())


rule chunks:
    """Every configured conversation."""
    input:
        lambda wildcards: [*flow.files("chunk"), *flow.talks.targets()],


checkpoint upgrade_plan:
    """Which chunks a better model makes anew: most value for money first, within the limits."""
    input:
        flow.talks.manifests(),
    output:
        f"{DATA}/chunks/upgrade/plan.json",
    log:
        f"{DATA}/logs/upgrade_plan.log",
    params:
        always=flow.now,  # each upgrade begins with a plan of its own
    run:
        flow.attempt(log[0], flow.plan_upgrade)


rule upgrade_conversation:
    """The next archive of a conversation, with the planned chunks made anew."""
    input:
        lambda wildcards: checkpoints.upgrade_plan.get() and flow.talks.upgrade_inputs(wildcards.conversation),
    output:
        f"{DATA}/chunks/{{conversation}}/upgrade.json",
    log:
        f"{DATA}/logs/upgrade_conversation/{{conversation}}.log",
    params:
        part=lambda wildcards: flow.talks.upgrade_param(wildcards.conversation),
    run:
        flow.attempt(log[0], lambda: flow.talks.upgrade(wildcards.conversation, output[0]))


rule upgrade:
    """Make anew, by a better model, what the filter means (config: upgrade)."""
    input:
        lambda wildcards: checkpoints.upgrade_plan.get() and flow.talks.upgraded(),
    log:
        f"{DATA}/logs/upgrade.log",
    run:
        flow.shown.append(flow.talks.result())


checkpoint cluster_plan:
    """Which chunks of all conversations are about the same thing."""
    input:
        flow.talks.manifests(),
    output:
        f"{DATA}/chunks/clusters/plan.json",
    log:
        f"{DATA}/logs/cluster_plan.log",
    params:
        settings=canonical(flow.plan.config["clusters"]),
    run:
        flow.attempt(log[0], flow.plan_clusters)


use rule draft as cluster with:
    output:
        prompt=f"{DATA}/gens/cluster/{{gen_id}}/prompt.txt",
        raw=f"{DATA}/gens/cluster/{{gen_id}}/raw.txt",
        parsed=f"{DATA}/gens/cluster/{{gen_id}}/parsed.json",
        metadata=f"{DATA}/gens/cluster/{{gen_id}}/metadata.json",
    log:
        f"{DATA}/logs/cluster/{{gen_id}}.log",


rule clusters:
    """Groups of chunks, with what a model says of them where one is configured: theme, summary, contradictions."""
    input:
        lambda wildcards: [*checkpoints.cluster_plan.get().output, *flow.talks.cluster_files()],
    output:
        f"{DATA}/chunks/clusters.json",
    log:
        f"{DATA}/logs/clusters.log",
    run:
        flow.shown.append(flow.talks.clusters(output[0]))
