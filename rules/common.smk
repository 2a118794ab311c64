"""The run (`flow`), created when the workflow is parsed. The other rule files use it."""

import os
import shlex
import sys
from pathlib import Path

from snakemake.cli import get_argument_parser
from snakemake.logging import logger
from snakemake.settings.enums import Quietness
from snakemake.sourcecache import infer_source_file
from snakemake_interface_logger_plugins.common import LogEvent

sys.path.insert(0, f"{workflow.current_basedir}/../scripts")

from dreamflow import __version__
from dreamflow.cycles import NEXT, NIGHT
from dreamflow.entry import REPORTED_STATUS
from dreamflow.errors import DreamflowError
from dreamflow.generation.screen import Screen
from dreamflow.jobs import REPORTED
from dreamflow.run import Run
from dreamflow.shard_jobs import Pools
from dreamflow.workflow_report import collect

CHATTER = {LogEvent.JOB_FINISHED, LogEvent.PROGRESS, LogEvent.RESOURCES_INFO}
CHATTER_BEGINS = (
    *("Building DAG", "Select jobs", "Execute ", "Using shell", "Assuming unrestricted", "Using workflow", "Reasons:"),
    *("Conda environments:", "Updating checkpoint", "DAG of jobs will be updated", "Elapsed time:", "Config file "),
    "The run involves checkpoint jobs",
)
LAST_WORDS = ("Exiting because a job execution failed", "Complete log(s):")  # needless if we have said why
DAG_READY_BEGINS = ("Job stats", "Nothing to be done")
SHOWN_ALREADY = (REPORTED, f"non-zero exit status {REPORTED_STATUS}.")  # errors whose message is on the screen
DRY = workflow.output_settings.dryrun
DRY_RUN_ENDS = "This was a dry-run"
ONCE_BEGINS = ("Job stats",)  # a dry run shows the table twice
LOCKED = "Directory cannot be locked"
RUNS = (
    "Another run works in this folder: 'python scripts/status.py' shows what it does.\nIf none does, one was killed: "
    "run 'snakemake --unlock', then the same command again."
)
seen_once = set()


def is_shown(record):
    """Whether a message of Snakemake is shown: not if the progress line replaces it or its reason was already shown.

    In a dry run, print the forecast once the jobs are known. If a cluster job failed, show its error.
    """
    message, event = str(record.msg), getattr(record, "event", None)
    if DRY and message.startswith(DAG_READY_BEGINS) and not flow.forecast_shown:
        flow.forecast_shown = True
        flow.show_forecast()
    if event in JOB_EVENTS:
        note_job(event, record)
    if event == LogEvent.JOB_ERROR and workflow.is_main_process and not workflow.local_exec:
        if record.rule_name not in workflow._localrules:
            flow.report_failure(record.rule_name, record.rule_msg, record.log)
    if not DRY and message.startswith("Nothing to be done") and workflow.is_main_process:
        if Quietness.ALL not in (workflow.output_settings.quiet or ()):
            flow.show_reports()
        return False
    if LOCKED in message:
        record.msg = RUNS
    elif message.startswith(DRY_RUN_ENDS):
        record.msg = "Nothing was made: this was a dry run (-n)."
    if message.startswith(ONCE_BEGINS):
        if message in seen_once:
            return False
        seen_once.add(message)
    is_chatter = event in CHATTER or message.startswith(CHATTER_BEGINS)
    if not flow.has_failed_silently:
        is_chatter = is_chatter or message.startswith(LAST_WORDS) or "At least one job did not complete" in message
    return not is_chatter and not any(text in message for text in SHOWN_ALREADY)


JOB_EVENTS = {LogEvent.JOB_INFO, LogEvent.JOB_FINISHED, LogEvent.JOB_ERROR}


def note_job(event, record):
    """Note which jobs run, besides those that make generations."""
    if event != LogEvent.JOB_INFO:
        flow.display.job_ended(getattr(record, "job_id", getattr(record, "jobid", None)))
    elif record.rule_name not in flow.plan.family_of_stage and not record.rule_name.startswith(("shard", "night")):
        is_script = workflow.get_rule(record.rule_name).is_script
        flow.display.job_began(record.jobid, record.rule_name, speaks=is_script)


def has_other_profile(arguments):
    """Whether Snakemake says something else than PROFILE_LINE of its profiles, as options may make it."""
    begins = ("--p", "--w", "--s", "-s")  # --profile, --workflow-profile, --snakefile, which may be abbreviated
    return "SNAKEMAKE_PROFILE" in os.environ or any(argument.startswith(begins) for argument in arguments)


def force(path):
    """Run the job that writes `path`, whatever Snakemake's records say."""
    workflow.dag.forcefiles.add(path)


def resource(name, default):
    """The amount of a resource of this machine (see profiles/default)."""
    return workflow.global_resources[name].value if name in workflow.global_resources else default


REPORTING = any(argument.split("=")[0] == "--report" for argument in sys.argv[1:])  # no job runs
if REPORTING and "--report-after-run" in sys.argv:
    sys.exit("A report shows what exists: run 'snakemake' first, then 'snakemake --report report.zip'.")

if DRY and "night" in sys.argv:  # it shows what the next night would make
    os.environ[NIGHT] = NEXT

PROFILE_LINE = "Using workflow specific profile profiles/default for setting default command line arguments."
if workflow.is_main_process and Screen().isatty() and not has_other_profile(sys.argv[1:]):
    Screen().take_back(PROFILE_LINE)  # print() has shown it before this file was read

AT_ONCE = workflow.resource_settings.cores or workflow.resource_settings.local_cores or 1
LOCAL_AT_ONCE = resource("local_llm", 16)  # generations of models in this process

try:
    flow = Run(
        config,
        (lambda path: None) if REPORTING else force,
        in_job=not workflow.is_main_process,
        dry=DRY or REPORTING,
        pools=Pools(AT_ONCE, LOCAL_AT_ONCE),
    )
except DreamflowError as error:
    sys.exit(f"Dreamflow cannot start:\n{error}")

logger.addFilter(is_shown)
if workflow.is_main_process:
    for handler in logger.handlers:  # the progress and the messages of Snakemake have one writer
        if getattr(handler, "stream", None) is sys.stderr:
            handler.setStream(flow.display.screen)
for problem in flow.plan.problems if workflow.is_main_process else []:
    print(f"{problem}\n  Targets that do not need it are not affected.", file=sys.stderr)

DATA = str(flow.layout.root)


wildcard_constraints:
    **flow.wildcard_patterns(),
    gen_id=flow.gen_id_pattern(),
    shard="[A-Za-z0-9._/-]+",


onstart:
    # Snakemake's limit of jobs per second sets a timer in every scheduling round, and every timer starts a round: after
    # some hundred jobs the main thread does nothing else, and local models run at half speed. On a cluster, `jobs`
    # limits the jobs in the queue.
    workflow.scheduler.job_rate_limiter = None
    rules_to_run = [job.rule.name for job in workflow.dag.needrun_jobs()]
    flow.look_up(flow.start, rules_to_run, workflow.dag_settings.targets, shlex.join(["snakemake", *sys.argv[1:]]))


onsuccess:
    if not flow.finish(ok=True):
        raise RuntimeError(REPORTED)


onerror:
    flow.finish(ok=False)


def job_file(rule, job, makes):
    """An input function for the job file, which has the settings of a job as JSON text: `job(*wildcards)`.

    A changed file is noticed even without Snakemake's records of parameters. `makes` is an output of the rule.
    """

    return lambda wildcards: flow.job_file(rule, wildcards, job, makes)


def targets_of(arguments):
    """The targets on a command line."""
    return list(get_argument_parser().parse_known_args(arguments)[0].targets)


def others():
    """The inputs of the targets of families that the command names: what reads all results comes after them."""
    goals = {goal for family in flow.families.values() for goal in family.goals}
    names = [name for name in targets_of(sys.argv[1:]) if name in goals]
    return [file for name in names for file in getattr(rules, name).input]


def shard_file(kind, wildcards):
    """The file of a shard; `kind` says where its job runs: main, cluster or gpu."""
    return f"{DATA}/shards/{kind}/{wildcards.shard}.json"


def shard_inputs(kind):
    """An input function for the files that a shard waits for, as `generation_inputs` is for a generation."""

    def inputs(wildcards):
        files, evidence, is_due = flow.look_up(flow.shard_inputs, shard_file(kind, wildcards))
        return [*(files if is_due else map(ancient, files)), *evidence]

    return inputs


def in_report():
    """What `snakemake --report` shows: the results that exist, and those of their jobs that the default target has."""
    config_file = Path(workflow.configfiles[0] if workflow.configfiles else "config/config.yaml")
    items = flow.look_up(collect, flow.plan, flow.layout, flow.budgets, config_file, __version__)
    made = [path for path in flow.look_up(flow.targets, "all") if Path(path).exists()]
    return [*made, *map(as_result, items)]


def as_result(item):
    """A file of the report with its place there."""
    caption = infer_source_file(f"{workflow.basedir}/report/{item.caption}")
    return report(item.path, caption, item.category, item.subcategory, item.labels)
