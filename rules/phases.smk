"""How the phases of a night start: as runs of Snakemake with the options of this one. For rules/night.smk."""

from dreamflow.generation.stopping import STOPPING
from dreamflow.nights.night import Caller, preview, run_night

PHASE_CHATTER = (
    *("Using workflow specific", "Config file ", "Building DAG", "Conda environments:", "Complete log(s):"),
    *("Elapsed time:", "DAG of jobs", "Updating checkpoint"),
)


def options(arguments):
    """The arguments of this run without its targets."""
    rest = arguments[: arguments.index("--")] if "--" in arguments else list(arguments)
    while targets := targets_of(rest):
        for place, argument in enumerate(rest):
            fewer = [*rest[:place], *rest[place + 1 :]]
            if argument == targets[0] and targets_of(fewer) == targets[1:]:
                rest = fewer
                break
        else:
            raise DreamflowError(f"cannot tell the targets of this command from its options: {' '.join(arguments)}")
    return rest


def first_directory():
    """The folder that this run was started in: paths on its command line are relative to it."""
    here, given = Path.cwd(), get_argument_parser().parse_known_args(sys.argv[1:])[0].directory
    shell = Path(os.environ.get("PWD", here))
    return str(shell if given and (shell / given).resolve() == here.resolve() else here)


def blocked(output):
    """Why a phase could not begin."""
    if "cannot be locked" not in output:
        return ""
    return (
        "another run of Snakemake works on the same files. If none does, one was killed: run 'snakemake --unlock', "
        "then 'snakemake night'"
    )


def night_caller():
    rest, start = options(sys.argv[1:]), [sys.executable, "-m", "snakemake"]
    return Caller(
        lambda target: [*start, target, "--quiet", "rules", "progress", "host", "reason", *rest],
        first_directory(),
        blocked,
        STOPPING,
        flow.display.show,
        PHASE_CHATTER,
    )


def night_preview():
    """The files of the next night, for a dry run; a run makes them in its phases."""
    files, text = preview(flow.plan)
    flow.display.show(text)
    return files
