"""The site: pages on everything that is there, for a browser."""

from dreamflow import pending


rule site:
    """Write the site, data/site/index.html, from the results that exist; no model is called."""
    input:
        lambda wildcards: flow.always(f"{DATA}/site/index.html"),
        others(),
    output:
        f"{DATA}/site/index.html",
    log:
        f"{DATA}/logs/site.log",
    localrule: True
    run:
        from dreamflow.site.build import write_site  # it loads what no other rule needs
        from dreamflow.site.shared import Surroundings

        around = Surroundings(
            waiting=lambda: pending.pending_text(flow.plan, flow.context, flow.freshness.is_stale),
            budgets=flow.context.calls.budgets,
        )
        flow.job(log[0], lambda: write_site(flow.plan, Path(output[0]).parent, around))
