"""The plan, compiled once when the workflow is parsed; the other rule files look things up in it."""

import sys

sys.path.insert(0, f"{workflow.basedir}/scripts")

from dreamflow.errors import DreamflowError
from dreamflow.run import Run

try:
    flow = Run(config)
    if workflow.dryrun:
        print(flow.forecast_text(), *flow.missing_keys(), sep="\n", file=sys.stderr)
except DreamflowError as error:
    raise WorkflowError(str(error))

DATA = flow.plan.config["data_root"]


wildcard_constraints:
    gen_id=r"[a-z]_[0-9a-z-]+",
    cohort=r"[A-Za-z0-9][A-Za-z0-9._-]*",


onstart:
    flow.start(job.rule.name for job in workflow.dag.needrun_jobs())


onsuccess:
    flow.finish(ok=True)


onerror:
    flow.finish(ok=False)
