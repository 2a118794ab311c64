"""What the workflow itself costs: chains of three generations whose answers are replayed, from nothing to reports.

Run: python tests/benchmarks/overhead.py [CHAINS ...]     (1000: 3,000 generations; 33334: 100,000)
Prints, for a first run, a run with nothing to do, and a run after the text of one essay was edited by hand (one call):
seconds, milliseconds a generation, both of wall and of CPU time, the memory of the largest process, and the ratio to
Snakemake with as many jobs that only touch their four files (up to 3,000: beyond, it takes too long). The first line is
what it takes to write four files a generation, and nothing else: much of the rest, and it differs between disks. The
variable TMPDIR says on which disk; some need long to delete what was made.
"""

import resource
import sys
import tempfile
import time
from pathlib import Path

from chains import RECORDED, STAGES, Cost, chains_of, make_project, measure, plan_of, query, record_answers
from project import REPOSITORY, Project

MOST_BARE = 3000  # jobs
BARE = """
rule make:
    output: "out/{i}/a", "out/{i}/b", "out/{i}/c", "out/{i}/d"
    run:
        for path in output:
            open(path, "w").close()
rule all:
    input: expand("out/{i}/a", i=range(COUNT))
    default_target: True
onstart:
    workflow.scheduler.job_rate_limiter = None
"""


def bare_costs(root: Path, jobs: int) -> dict[str, Cost]:
    """What Snakemake alone takes for so many jobs, and with nothing to do."""
    project = Project(root, {}, {})
    project.write("Snakefile", BARE.replace("COUNT", str(jobs)))
    command = [sys.executable, "-m", "snakemake", "--directory", str(root), "--snakefile", str(root / "Snakefile")]
    command += ["--workflow-profile", str(REPOSITORY / "profiles/default")]
    return {what: measure(command, project) for what in ("first run", "nothing to do")}


def bare_writes(root: Path, jobs: int) -> Cost:
    """What four files in a folder of their own take, so many times, in this process."""
    started, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_SELF)
    for number in range(jobs):
        folder = root / str(number % STAGES) / str(number)
        folder.mkdir(parents=True)
        for name in ("prompt.txt", "raw.txt", "parsed.txt", "metadata.json"):
            (folder / name).write_text("x" * 1200)
    used = resource.getrusage(resource.RUSAGE_SELF)
    cpu = used.ru_utime + used.ru_stime - before.ru_utime - before.ru_stime
    return Cost(time.perf_counter() - started, cpu, 0)


def show(what: str, cost: Cost, jobs: int, ratio: str = "") -> None:
    """Print a line of the table."""
    each = f"{1000 * cost.wall / jobs:8.2f} {1000 * cost.cpu / jobs:12.2f}"
    print(f"{what:32}{cost.wall:9.1f}{cost.cpu:9.1f} {each} {cost.memory:5.0f}  {ratio}", flush=True)


def main(chains: int) -> None:
    """Measure and print."""
    with tempfile.TemporaryDirectory() as folder:
        root, jobs = Path(folder).resolve(), chains * STAGES
        project = make_project(root / "project", chains, RECORDED)
        plan = plan_of(project)
        answers = root / "project" / RECORDED["name"]
        record_answers(plan, answers)
        essay = plan.folder(chains_of(plan)[chains // 2][1].gen_id) / "parsed.txt"
        del plan
        bare = bare_costs(root / "bare", jobs) if jobs <= MOST_BARE else {}
        print(f"{jobs:,} generations{'':18} wall s    CPU s  ms each  CPU ms each   MB  times bare Snakemake (CPU)")
        show("only the files", bare_writes(root / "files", jobs), jobs)
        calls = {"first run": jobs, "nothing to do": 0, "one edited row": 1}
        for what, expected in calls.items():
            if expected == 1:
                essay.write_text(essay.read_text() + "One more line.\n")
                with answers.open("a") as stream:
                    stream.write('{"text": "SCORE: 5"}\n')
            before = _calls(project)
            cost = measure(project.command(), project)
            if (made := _calls(project) - before) != expected:
                sys.exit(f"{what}: {made:,} calls were made instead of {expected:,}")
            ratio = f"{cost.wall / bare[what].wall:.2f} ({cost.cpu / bare[what].cpu:.2f})" if what in bare else "n/a"
            show(what, cost, jobs, ratio)


def _calls(project: Project) -> int:
    """The calls that were made so far."""
    found = query(project, "SELECT COUNT(*) FROM ledger")
    return found[0][0] if found else 0


if __name__ == "__main__":
    for number in sys.argv[1:] or ["1000"]:
        main(int(number))
