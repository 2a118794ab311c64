"""Shards: jobs that make some hundred generations each (docs/shards.md). The file of a shard tells what is made."""


rule shard:
    """Make the stale generations of a shard: remote calls, and local models without `pack`."""
    input:
        shard_inputs("main"),
    output:
        f"{DATA}/shards/main/{{shard}}.json",
    log:
        f"{DATA}/logs/shard/{{shard}}.log",
    retries: 0
    localrule: True
    threads: max(1, AT_ONCE // 8)  # some overlap, as the last generations of a shard leave threads idle
    resources:
        local_llm=lambda wildcards: flow.has_local_models(shard_file("main", wildcards)),
    run:
        flow.make_shard(output[0], log[0])


rule shard_cluster:
    """Make the generations of a local model in a cluster job, which loads the model once."""
    input:
        shard_inputs("cluster"),
    output:
        f"{DATA}/shards/cluster/{{shard}}.json",
    log:
        f"{DATA}/logs/shard_cluster/{{shard}}.log",
    threads: lambda wildcards: flow.threads(shard_file("cluster", wildcards))
    resources:
        mem_mb=lambda wildcards, attempt: flow.memory_mb(shard_file("cluster", wildcards)) * attempt,
        runtime=lambda wildcards, attempt: 60 * attempt,
    run:
        flow.make_shard(output[0], log[0])


rule shard_gpu:
    """Make the generations of a local model in a cluster job with a GPU."""
    input:
        shard_inputs("gpu"),
    output:
        f"{DATA}/shards/gpu/{{shard}}.json",
    log:
        f"{DATA}/logs/shard_gpu/{{shard}}.log",
    threads: lambda wildcards: flow.threads(shard_file("gpu", wildcards))
    resources:
        mem_mb=lambda wildcards, attempt: flow.memory_mb(shard_file("gpu", wildcards)) * attempt,
        runtime=lambda wildcards, attempt: 60 * attempt,
        gpu=1,
    run:
        flow.make_shard(output[0], log[0])
