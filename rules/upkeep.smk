"""Targets for the maintenance of a project; the default target does not include them."""

from dreamflow import ledger_tables, pending, upkeep


rule estimate:
    """Write a forecast of the calls and the cost of a run, without calling any model."""
    input:
        lambda wildcards: flow.always(f"{DATA}/estimate.txt"),  # depends on the store, which is not an input
    output:
        f"{DATA}/estimate.txt",
    log:
        f"{DATA}/logs/estimate.log",
    localrule: True
    run:
        flow.job(log[0], lambda: flow.estimate(output[0]))


rule ledger:
    """Write tables of what all answers have cost, of the budgets, and of calls that may have been billed in vain."""
    input:
        lambda wildcards: flow.always(*expand(f"{DATA}/reports/ledger/{{name}}", name=ledger_tables.FILES)),
    output:
        expand(f"{DATA}/reports/ledger/{{name}}", name=ledger_tables.FILES),
    log:
        f"{DATA}/logs/ledger.log",
    localrule: True
    run:
        flow.job(
            log[0],
            lambda: ledger_tables.write_ledger(
                flow.layout, flow.context.calls.budgets, flow.layout.root / "reports/ledger"
            ),
        )


rule pending:
    """List what waits for whom: people, providers' batches, budgets, quotas, keys."""
    log:
        f"{DATA}/logs/pending.log",
    localrule: True
    run:
        flow.job(log[0], lambda: pending.pending_text(flow.plan, flow.context, flow.freshness.is_stale))


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
        flow.job(log[0], lambda: upkeep.list_orphans(flow.plan, remove=True))


checkpoint forget_failed:
    """Mark the failed generations for new samples."""
    input:
        lambda wildcards: flow.always(f"{DATA}/store/forgotten.txt"),
    output:
        temp(f"{DATA}/store/forgotten.txt"),
    log:
        f"{DATA}/logs/forget_failed.log",
    localrule: True
    run:
        flow.job(log[0], lambda: upkeep.forget_failed(flow.plan, output[0]) or flow.freshness.forget())


rule retry_failed:
    """Draw new samples for failed generations, and make the generations that were skipped because of them."""
    input:
        # The targets come first: if a family cannot be compiled, nothing is marked.
        lambda wildcards: [*flow.look_up(flow.retry_targets), *checkpoints.forget_failed.get().output],
    log:
        f"{DATA}/logs/retry_failed.log",
    localrule: True
