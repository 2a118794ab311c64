"""Targets for looking after a project; none of them is a part of the default target."""

from dreamflow import upkeep


rule estimate:
    """Write what a run would call and cost, without calling anything."""
    input:
        lambda wildcards: flow.always(f"{DATA}/estimate.txt"),  # the answer changes with the store, which is no input
    output:
        f"{DATA}/estimate.txt",
    log:
        f"{DATA}/logs/estimate.log",
    localrule: True
    run:
        flow.job(log[0], lambda: flow.estimate(output[0]))


rule orphans:
    """List the generations that no configured spec plans."""
    log:
        f"{DATA}/logs/orphans.log",
    localrule: True
    run:
        flow.job(log[0], lambda: upkeep.list_orphans(flow.plan))


rule prune:
    """Remove the generations that no configured spec plans; their answers stay in the store."""
    log:
        f"{DATA}/logs/prune.log",
    localrule: True
    run:
        flow.job(log[0], lambda: upkeep.prune(flow.plan))


checkpoint forget_failed:
    """Mark the failed generations so that new samples are drawn."""
    input:
        lambda wildcards: flow.always(f"{DATA}/store/forgotten.txt"),
    output:
        temp(f"{DATA}/store/forgotten.txt"),
    log:
        f"{DATA}/logs/forget_failed.log",
    localrule: True
    run:
        flow.job(log[0], lambda: upkeep.forget_failed(flow.plan, output[0]))


rule retry_failed:
    """Draw failed generations again, and make what was skipped because of them."""
    input:
        lambda wildcards: [*checkpoints.forget_failed.get().output, *flow.look_up(flow.retry_targets)],
    log:
        f"{DATA}/logs/retry_failed.log",
    localrule: True
