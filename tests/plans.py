"""The plan of a configuration, as tests look at it."""

from typing import Any

from dreamflow.cohorts.compile import Cohort
from dreamflow.plan import Plan, compile_plan


def planned(config: dict[str, Any]) -> Plan:
    """The plan of a configuration, all of whose families have to compile."""
    plan = compile_plan(config)
    plan.check()
    return plan


def cohorts_of(plan: Plan) -> dict[str, Cohort]:
    """The cohorts of a plan by id."""
    return plan.families["cohorts"].cohorts


def of_stage(plan: Plan, stage: str) -> list[str]:
    """The ids of a stage's generations, in the order of the plan."""
    return [gen_id for gen_id, row in plan.generations.items() if row.stage == stage]
