"""The one writer of standard error: whole lines, and on a terminal a line below them that is renewed."""

import os
import shutil
import sys
import threading
from collections.abc import Sequence
from contextlib import suppress
from typing import TextIO

RED, PLAIN = "\x1b[31m", "\x1b[39m"
CLEAR = "\r\x1b[K"


class Screen:
    """Threads write whole lines here, and on a terminal the renewed line stays below them.

    It is also a text stream for whom writes to one, such as Snakemake's log: what is written is shown once its line is
    complete.
    """

    encoding = "utf-8"

    def __init__(self, stream: TextIO | None = None) -> None:
        self._guard = threading.RLock()
        self._stream = stream
        self._live = ""
        self._part = ""

    @property
    def stream(self) -> TextIO:
        """Where the lines go."""
        return self._stream or sys.stderr

    def isatty(self) -> bool:
        """Whether it is a terminal that can renew a line."""
        return self.stream.isatty() and os.environ.get("TERM") != "dumb"

    def lines(self, text: str, *, is_problem: bool = False) -> None:
        """Show whole lines."""
        if is_problem and self.isatty() and not os.environ.get("NO_COLOR"):
            text = f"{RED}{text}{PLAIN}"
        with self._guard:
            self._put(text + "\n")

    def live(self, parts: Sequence[tuple[int, str]]) -> None:
        """Renew the last line of a terminal: the parts, without the least important ones if there is no room. The
        smallest number is the most important. Without parts, remove the line."""
        with self._guard:
            line = fitting(parts, shutil.get_terminal_size().columns - 1) if parts else ""
            if line != self._live:
                clear, self._live = CLEAR if self._live else "", line
                self._out(clear + line)

    def write(self, text: str) -> int:
        """Show the lines of `text` that are complete; the rest waits for its end."""
        with self._guard:
            whole, newline, self._part = (self._part + text).rpartition("\n")
            if newline:
                self._put(whole + newline)
        return len(text)

    def take_back(self, line: str) -> None:
        """Remove the last line of a terminal, which others have written."""
        with self._guard:
            rows = -(-len(line) // shutil.get_terminal_size().columns)
            self._out(f"\x1b[{rows}A\x1b[J")

    def flush(self) -> None:
        """For streams; every line is flushed."""

    def _put(self, text: str) -> None:
        self._out(f"{CLEAR}{text}{self._live}" if self._live else text)

    def _out(self, text: str) -> None:
        with suppress(OSError, ValueError):  # a closed pipe, a full disk: no reason to end a run
            self.stream.write(text)  # in one piece, so that other processes do not write between
            self.stream.flush()


def fitting(parts: Sequence[tuple[int, str]], width: int) -> str:
    """The texts of `parts` (importance, text) in their order, without the least important ones that do not fit."""
    kept = list(parts)
    while len(kept) > 1 and len(" · ".join(text for _, text in kept)) > width:
        kept.remove(max(kept, key=lambda part: part[0]))
    return " · ".join(text for _, text in kept)[: max(width, 1)]
