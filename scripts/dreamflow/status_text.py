"""What `scripts/status.py` prints of the runs of a data folder."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime

from .generation.model import Json
from .generation.progress import duration, left_text, line_parts, money_text
from .run_status import CONTINUE, age

SHOWN_FLIGHTS = 10
SHOWN_FAILURES = 10
FROZEN_S = 30.0  # without a word of a process that is alive


def status_text(status: Mapping[str, Json]) -> str:
    """The status (see `run_status.read_status`) as text."""
    lines = [line for state in status["running"] for line in [*_running(state), ""]]
    lines += [line for state in status["died"] for line in [*_died(state), ""]]
    if night := status["night"]:
        lines += [*_night(night), ""]
    if not (status["running"] or status["died"] or night):
        lines += ["No run is at work.", ""]
    if waiting := list(_waiting(status["waiting"])):
        lines += ["waiting:", *waiting, ""]
    if status["finished"]:
        lines += ["last runs:", *(line for run in status["finished"] for line in _finished(run))]
    return "\n".join(lines).rstrip("\n")


def _running(state: Mapping[str, Json]) -> Iterator[str]:
    yield f"{_name(state)} runs since {_time(state['started'])} ({duration(age(state['started']))}, {_process(state)})"
    silent = age(state.get("updated"))
    if silent > FROZEN_S:
        yield f"  It has said nothing for {duration(silent)}: it may be suspended, or the disk may be full."
    yield "  " + (" · ".join(text for _, text in line_parts(state)) or "nothing to make by models")
    if state["calls_left"] and not left_text(state):
        least_most = " to ".join(map(duration, state["left_s"] or ()))
        unknown = f"somewhere from {least_most}" if least_most else "unknown until every stage and model has answered"
        yield f"  time left: {unknown}"
    yield from _stages(state)
    flights = state["in_flight"]
    for flight in flights[:SHOWN_FLIGHTS]:
        tokens = f", {flight['tokens']:,} tokens written" if flight["tokens"] else ""
        does = "waits" if flight["waits"] else "in flight"
        seconds = duration(flight["seconds"])
        yield f"  {does} {seconds:>9}: {flight['stage']} {flight['gen_id']} ({flight['model']}){tokens}"
    total = state["calls_in_flight"] + state["calls_waiting"]
    if total > SHOWN_FLIGHTS:
        yield f"  and {total - SHOWN_FLIGHTS:,} more calls"
    for job in state["jobs"]:
        yield f"  job {job['rule']}: {duration(job['seconds'])}"
    yield from _money(state)
    yield from _failures(state)


def _died(state: Mapping[str, Json]) -> Iterator[str]:
    yield f"{_name(state)} died: {state['why']} (begun {_time(state['started'])}, last sign {_time(state['ended'])})"
    yield f"  {CONTINUE}"
    yield from _stages(state)
    yield from _failures(state)


def _finished(run: Mapping[str, Json]) -> Iterator[str]:
    made, planned = (sum(stage.get(name, 0) for stage in run["stages"].values()) for name in ("made", "planned"))
    parts = [f"{made:,} of {planned:,} made"] if planned else []
    parts += [f"{run.get('calls', 0):,} calls", *([money] if (money := money_text(run)) else [])]
    why = "" if run.get("is_complete") else f" · {str(run.get('why', '')).splitlines()[0]}"
    took = duration(age(run["started"]) - age(run["ended"])) if run.get("ended") else "?"
    yield f"  {_time(run['started'])}, {took}: {_name(run)}: {' · '.join(parts)}{why}"
    if not run.get("is_complete"):
        yield from (f"  {line}" for line in _failures(run))


def _night(night: Mapping[str, Json]) -> Iterator[str]:
    now = "is at work" if night["is_running"] else "was interrupted: 'snakemake night' goes on with it"
    yield f"night {night['number']} {now}"
    for phase in night["phases"]:
        why = f" ({phase['why']})" if phase["why"] else ""
        yield f"  {phase['phase']}: {phase['status']}, {duration(phase['seconds'] or 0)}{why}"


def _stages(state: Mapping[str, Json]) -> Iterator[str]:
    for stage, counts in state["stages"].items():
        more = [
            f"{counts[name]:,} {name.replace('_', ' ')}"
            for name in ("from_store", "failed", "not_made", "skipped", "pending")
            if counts.get(name)
        ]
        yield f"  {stage:<12} {counts['made']:>7,} of {counts['planned']:,}" + (f" ({', '.join(more)})" if more else "")


def _money(state: Mapping[str, Json]) -> Iterator[str]:
    tokens = state["prompt_tokens"] + state["completion_tokens"]
    money = money_text(state)
    yield f"  {state['calls']:,} calls, {tokens:,} tokens" + (f", {money}" if money else "")


def _failures(state: Mapping[str, Json]) -> Iterator[str]:
    failures = state.get("failures") or []
    for failure in failures[:SHOWN_FAILURES]:
        places = ", ".join(failure["where"])
        more = (
            f" and {failure['count'] - len(failure['where']):,} more"
            if failure["count"] > len(failure["where"])
            else ""
        )
        yield f"  {failure['count']:,} x {failure['message'].splitlines()[0]}"
        yield f"      see {places}{more}"
    if len(failures) > SHOWN_FAILURES:
        yield f"  and {len(failures) - SHOWN_FAILURES:,} other problems"


def _waiting(waiting: Mapping[str, Json]) -> Iterator[str]:
    if waiting["people_total"]:
        first = waiting["people"][0]
        yield f"  {waiting['people_total']:,} questions to people, the first in {first}"
    for batch in waiting["batches"]:
        since = f"{batch['state']}, begun {_time(batch['created'])}"
        yield f"  a batch of {batch['questions']:,} questions to {batch['model']}, {since}"
    if waiting["budgets"]:
        yield f"  used up: budget {', '.join(waiting['budgets'])}"


def _name(state: Mapping[str, Json]) -> str:
    targets: Sequence[str] = state.get("targets") or ["all"]
    shown = " ".join(map(str, targets[:3])) + (" ..." if len(targets) > 3 else "")
    night = f"night {state['night']}, " if state.get("night") else ""
    return f"{night}snakemake {shown}"


def _process(state: Mapping[str, Json]) -> str:
    return f"process {state['pid']} on {state['host']}"


def _time(at: Json) -> str:
    """A time in ISO 8601 as people say it, in the time zone of this machine."""
    try:
        return f"{datetime.fromisoformat(str(at)).astimezone():%Y-%m-%d %H:%M:%S}"
    except ValueError:
        return "an unknown time"
