"""Targets for looking after a project; none of them is a part of the default target."""


rule estimate:
    """Write what a run would call and cost, without calling anything."""
    output:
        f"{DATA}/estimate.txt",
    log:
        f"{DATA}/logs/estimate.log",
    params:
        always=flow.now,  # the answer changes with the store, which is no input
    run:
        flow.estimate(output[0])


rule orphans:
    """List the generations that no configured cohort plans."""
    log:
        f"{DATA}/logs/orphans.log",
    run:
        flow.orphans(remove=False)


rule prune:
    """Remove the generations that no configured cohort plans; their answers stay in the store."""
    log:
        f"{DATA}/logs/prune.log",
    run:
        flow.orphans(remove=True)


checkpoint forget_failed:
    """Take the failed generations' metadata away, so that they have to be made anew."""
    output:
        temp(f"{DATA}/store/forgotten.txt"),
    log:
        f"{DATA}/logs/forget_failed.log",
    params:
        always=flow.now,
    run:
        flow.forget_failed(output[0])


rule retry_failed:
    """Draw failed generations anew, and make what was skipped because of them."""
    input:
        lambda wildcards: [*checkpoints.forget_failed.get().output, *flow.targets()],
    log:
        f"{DATA}/logs/retry_failed.log",
