"""The plan, compiled once when the workflow is parsed; the other rule files look things up in it."""

import sys

from snakemake.logging import logger
from snakemake_interface_logger_plugins.common import LogEvent

sys.path.insert(0, f"{workflow.basedir}/scripts")

from dreamflow.errors import DreamflowError
from dreamflow.run import Run

CHATTER = {LogEvent.JOB_FINISHED, LogEvent.PROGRESS, LogEvent.RESOURCES_INFO}
CHATTER_BEGINS = ("Select jobs", "Execute ", "Using shell", "Assuming unrestricted", "Using workflow")


def is_heard(record):
    """Several lines a job, for thousands of jobs: the ledger's one line of progress says more, and what could not be
    made is told by the run itself, in one line each; a job of a cluster that failed cannot tell, so it is told here."""
    event = getattr(record, "event", None)
    if event == LogEvent.JOB_ERROR and workflow.is_main_process and not workflow.local_exec:
        if record.rule_name not in workflow._localrules:
            flow.tell_failed(record.rule_name, record.rule_msg, record.log)
    return not (
        event in CHATTER or str(record.msg).startswith(CHATTER_BEGINS) or "DreamflowError in file" in str(record.msg)
    )


logger.addFilter(is_heard)

try:
    flow = Run(config, in_job=not workflow.is_main_process)
    for manifest in flow.talks.torn():
        if workflow.output_settings.dryrun:
            print(f"{manifest} lists archives that are not there: a run makes it again", file=sys.stderr)
        elif workflow.is_main_process:
            manifest.unlink()
    if workflow.output_settings.dryrun:
        flow.previews = set()
        print(flow.forecast_text(), *flow.missing_keys(), sep="\n", file=sys.stderr)
except DreamflowError as error:
    sys.exit(f"Dreamflow cannot start:\n{error}")

DATA = flow.plan.config["data_root"]


wildcard_constraints:
    gen_id=flow.gen_ids(),
    cohort=r"[A-Za-z0-9][A-Za-z0-9._-]*",
    night=flow.nights.pattern(flow.nights.by_folder),
    procedure=flow.nights.pattern(flow.plan.procedures),
    conversation=flow.nights.pattern(flow.talks.chunking),
    probe=flow.nights.pattern(flow.plan.probes),
    run=flow.nights.pattern(flow.lessons.runs),
    cycle=r"[1-9][0-9]*",


onstart:
    # Snakemake's limit of jobs started per second sets a timer in every round of scheduling, and every timer starts a
    # round: after some hundred jobs the main thread does nothing else, and local models run at half their speed.
    # A cluster is spared by `jobs`, the limit of those that are in its queue.
    workflow.scheduler.job_rate_limiter = None
    flow.start(job.rule.name for job in workflow.dag.needrun_jobs())


onsuccess:
    flow.finish(ok=True)


onerror:
    flow.finish(ok=False)
