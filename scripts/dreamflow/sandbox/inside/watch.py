"""Forbidden attempts of a program: access to files outside its folder, the network, signals to its guard.

Python reports such calls to an audit hook before it makes them, so an attempt is known even if the program hides the
error. The hook is only for the report: the namespaces and the filter of system calls do the protection.
"""

import os
import sys
from collections.abc import Callable, Iterator
from os import fsdecode, getcwd  # bound now: a program's fakes may replace them in os
from os.path import join, normpath

from .canonical import shorten
from .lock import AF_UNIX

_MOST = 20  # reported attempts
_WRITE = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
_READABLE = ("/usr", "/lib", "/lib64", "/bin", "/packages", "/proc/self", "/dev", "/sandbox", "/etc/ld.so.cache")
_READABLE += ("/project", "/project-packages")
_WRITABLE = ("/tmp", "/dev/null", "/dev/shm", "/dev/fd", "/dev/stdout", "/dev/stderr")  # noqa: S108
# Positions of the paths among an event's arguments.
_WRITES = {
    **{"os.remove": (0,), "os.rmdir": (0,), "os.mkdir": (0,), "os.chmod": (0,), "os.chown": (0,), "os.utime": (0,)},
    **{"os.truncate": (0,), "os.setxattr": (0,), "os.rename": (0, 1), "os.link": (1,), "os.symlink": (1,)},
    **{"shutil.rmtree": (0,), "sqlite3.connect": (0,)},
}
_READS = {"os.listdir": (0,), "os.scandir": (0,)}
_NETWORK = {
    **{"socket.connect": "connect to {1}", "socket.bind": "bind {1}", "socket.sendto": "send to {1}"},
    **{"socket.getaddrinfo": "look up {0!r}", "socket.gethostbyname": "look up {0!r}"},
    **{"urllib.Request": "open {0}", "http.client.connect": "connect to {1}:{2}", "ftplib.connect": "connect to {1}"},
    **{"smtplib.connect": "connect to {1}"},
}


class Watch:
    """Reports each attempt once to `report` while `active`."""

    def __init__(self, report: Callable[[str], None]) -> None:
        self.report, self.active, self.seen = report, False, set()
        self.readable = (*_READABLE, *_WRITABLE, sys.base_prefix)
        sys.addaudithook(self)

    def __call__(self, event: str, arguments: tuple) -> None:
        if not self.active:
            return
        try:
            for attempt in self.attempts(event, arguments):
                if attempt not in self.seen and len(self.seen) < _MOST:
                    self.seen.add(attempt)
                    self.report(shorten(attempt, 200))
        except (OSError, ValueError, TypeError, RecursionError):  # an invalid path; the call itself will fail
            return

    def attempts(self, event: str, arguments: tuple) -> Iterator[str]:
        if event == "open":
            path, mode, flags = arguments
            writes = set(mode or "") & set("wax+") or (isinstance(flags, int) and flags & _WRITE)
            yield from self.outside("write" if writes else "read", path)
        elif event in _WRITES:
            for position in _WRITES[event]:
                yield from self.outside("write", arguments[position])
        elif event in _READS:
            yield from self.outside("list", arguments[0])
        elif event in _NETWORK:
            if not (event.startswith("socket.") and getattr(arguments[0], "family", None) == AF_UNIX):
                yield f"network: {_NETWORK[event].format(*arguments)}"
        elif event == "socket.__new__" and arguments[1] not in (AF_UNIX, -1):
            yield "network: make a socket"
        elif event == "os.kill" and arguments[0] in (1, -1):
            yield "signal to the sandbox"

    def outside(self, verb: str, path: str | bytes | os.PathLike | int | None) -> Iterator[str]:
        if isinstance(path, int) or path is None:
            return
        text = fsdecode(path)
        full = normpath(join(getcwd(), text))  # noqa: PTH109, PTH118
        allowed = _WRITABLE if verb == "write" else self.readable
        if not any(full == place or full.startswith(f"{place}/") for place in allowed):
            yield f"{verb} {full}"
