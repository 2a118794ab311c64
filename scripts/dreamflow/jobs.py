"""The jobs of a run: their input functions and job files, and the one way in which their errors are reported."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any  # Snakemake wildcards, and the arguments and results of input functions

from .entry import log_error
from .errors import DreamflowError
from .files import write_atomic
from .generation.layout import Layout
from .generation.progress import Display
from .problems import Problems

REPORTED = "the reason was shown above"  # the message of an error whose cause was already shown


class JobError(DreamflowError):
    """A job that failed; `cause` is the reason if other jobs share it."""

    def __init__(self, message: str, *, cause: str) -> None:
        super().__init__(message)
        self.cause = cause


class Jobs:
    """What all rules use.

    `in_job`: this process is a job of a run. `dry`: nothing may be written. `force(path)` makes Snakemake run the job
    that writes `path`, whatever its own records say.
    """

    def __init__(self, layout: Layout, force: Callable[[str], None], *, in_job: bool, dry: bool) -> None:
        self.layout, self.force, self.in_job, self.dry = layout, force, in_job, dry
        self.display = Display()
        self.problems = Problems()  # why jobs failed
        self.tables: list[str] = []  # shown at the end of the run

    def look_up(self, find: Callable[..., Any], *arguments: Any) -> Any:
        """Call the input function `find`; show the message of its error and raise one without details."""
        try:
            return find(*arguments)
        except (DreamflowError, OSError) as error:
            self.display.show(str(error))
            raise RuntimeError(REPORTED) from None

    def job_file(self, rule: str, wildcards: Any, job: Callable[..., str], output: str) -> list[str]:
        """The job file `data/jobs/<rule>/<wildcards>.json` with the text `job(*wildcards)`, written if it has changed.

        A dry run writes nothing; instead it forces `output`, the pattern of an output of the rule.
        """
        text = self.look_up(job, *wildcards)
        path = self.layout.root / "jobs" / rule / f"{'/'.join(wildcards) or 'all'}.json"
        current = path.read_text(encoding="utf-8") if path.exists() else None
        if current != text and not self.in_job:
            if self.dry:
                self.force(output.format(**wildcards))
            else:
                self.look_up(write_atomic, path, text)
        return [str(path)] if path.exists() else []

    def always(self, *outputs: str) -> list[str]:
        """An input function without files that forces the job of `outputs`, so that it runs in every run."""
        if not self.in_job:
            for file in outputs:
                self.force(file)
        return []

    def job(self, log: str, work: Callable[[], str | None]) -> None:
        """Do the work of a job; the text that it returns is shown when the run ends.

        On an error, write the message to the log file, with a traceback unless it is a `DreamflowError`, show it, and
        raise an error without details.
        """
        try:
            table = work()
        except Exception as error:
            self.report(log, error)
            raise RuntimeError(REPORTED) from None
        if table:
            self.tables.append(table)

    def report(self, log: str, error: Exception) -> str:
        """Write the message of an error to a log file, and show it unless it is like an earlier one, which the end of
        the run counts; returns it."""
        message = log_error(log, error)
        if self.problems.add(message, log, cause=getattr(error, "cause", "")):
            self.display.show(message)
        return message

    def report_failure(self, rule: str, reason: str | None, logs: Sequence[str]) -> None:
        """Show the error of a failed cluster job: the message in its log, else `reason`, and the paths of its logs."""
        written = [path for path in logs if Path(path).exists() and Path(path).stat().st_size]
        message = Path(logs[0]).read_text(encoding="utf-8").strip() if logs[:1] == written[:1] != [] else ""
        where = f"see {' and '.join(written)}" if written else "it wrote no log"
        self.display.show(f"rule {rule} failed: {message or reason or 'unknown reason'}\n  {where}")
