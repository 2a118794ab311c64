"""One call of a program under test: its module, its fakes, the call, and what can be seen of it afterwards."""

import builtins
import contextlib
import datetime
import errno
import importlib
import os
import random
import resource
import sys
import threading
import types
import warnings
from collections.abc import Callable, Iterable, Mapping
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from time import perf_counter
from typing import Any
from uuid import UUID

from .canonical import Recorded, canonical, files_below, shorten, type_name
from .watch import Watch

Report = dict[str, Any]

# Names that the text of an input may use besides those of the module.
_HELPERS = {
    **{"SimpleNamespace": types.SimpleNamespace, "Path": Path, "Decimal": Decimal, "Fraction": Fraction, "UUID": UUID},
    **{"datetime": datetime, "date": datetime.date, "timedelta": datetime.timedelta, "timezone": datetime.timezone},
}
_MOST_CALLS = 10_000  # of fakes, that are kept
_REFUSALS = {errno.EPERM, errno.EACCES, errno.EROFS, errno.ENETUNREACH, errno.ENETDOWN, errno.EADDRNOTAVAIL}
_SHORTAGES = {errno.ENOSPC, errno.EFBIG, errno.EAGAIN, errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EDQUOT}

WORK = Path("/tmp/work")  # noqa: S108  (private to the sandbox); where every call begins


class CardError(Exception):
    """The card of the procedure asks for something that is not there."""


class Fake(Recorded):
    """Stands in for `name`: notes each call, then does the next of its behaviours."""

    def __init__(self, name: str, behaviour: Mapping[str, Any], module: "Module") -> None:
        self.name, self.module = name, module
        self.behaviours = behaviour.get("sequence", [behaviour])
        self.calls = 0

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        told = [canonical(value) for value in args]
        told += [f"{key}={canonical(value)}" for key, value in sorted(kwargs.items())]
        with self.module.lock:
            behaviour = self.behaviours[min(self.calls, len(self.behaviours) - 1)]
            self.calls += 1
            if len(self.module.calls) < _MOST_CALLS:
                self.module.calls.append((self.name, shorten(f"{self.name}({', '.join(told)})", 2_000)))
        if "sequence" in behaviour:
            raise CardError(f"fake {self.name}: a sequence within a sequence")
        if "raises" in behaviour:
            raise self.module.exception(behaviour["raises"], self.name)
        return self.module.value(behaviour["returns"]) if "returns" in behaviour else None


class Module:
    """The module of a program, its fakes, and the calls that they have noted."""

    def __init__(self, job: Mapping[str, Any]) -> None:
        self.job = job
        self.names: dict[str, Any] = {"__name__": "procedure"}
        self.calls: list[tuple[str, str]] = []
        self.lock = threading.Lock()
        self.replaced: list[tuple[Any, str, Any]] = []

    def load(self, code: types.CodeType) -> None:
        """Run the module; fakes stand in already while it runs."""
        module = types.ModuleType("procedure")
        module.__file__ = str(Path.cwd() / "procedure.py")
        sys.modules["procedure"] = module
        self.names = module.__dict__
        fakes = {name: Fake(name, behaviour, self) for name, behaviour in self.job["fakes"].items()}
        for name, fake in fakes.items():
            head, _, rest = name.partition(".")
            if not rest:
                self.names[name] = fake
            elif (library := _library(head)) is not None:
                self.replace(library, rest, fake, missing_is_fine=True)
        exec(code, self.names)  # noqa: S102  (what the sandbox is for)
        for name, fake in fakes.items():
            head, _, rest = name.partition(".")
            if not rest:
                self.names[name] = fake
            elif head in self.names:
                self.replace(self.names[head], rest, fake, missing_is_fine=False)

    def replace(self, holder: Any, path: str, fake: Fake, missing_is_fine: bool) -> None:
        """Put a fake in the place of `path` below `holder`."""
        *way, last = path.split(".")
        for part in way:
            holder = getattr(holder, part, None)
        if holder is None:
            if missing_is_fine:
                return
            raise CardError(f"fake {fake.name}: there is no {path!r} to stand in for")
        old = getattr(holder, last, None)
        if old is not fake:
            self.replaced.append((holder, last, old))
            setattr(holder, last, fake)

    def restore(self) -> None:
        """Take the fakes out of libraries, which the report needs as they are."""
        for holder, name, old in reversed(self.replaced):
            setattr(holder, name, old)

    def value(self, text: str) -> Any:
        """What a Python expression is, with the names of the module."""
        return eval(text, self.environment())  # noqa: S307  (what the sandbox is for)

    def environment(self) -> dict[str, Any]:
        """Names that an expression may use."""
        return {**_HELPERS, **self.names, "recorder": self.recorder, "_arguments": _arguments}

    def arguments(self, call: str) -> tuple[tuple, dict[str, Any]]:
        """The arguments that the text of a call gives."""
        return self.value(call.replace(self.job["entry"], "_arguments", 1))

    def recorder(self, name: str) -> Fake:
        """A function that notes its calls and returns None: for parameters that are functions."""
        return Fake(name, {}, self)

    def exception(self, text: str, fake: str) -> BaseException:
        """The exception that "TimeoutError: text" means."""
        name, _, message = text.partition(": ")
        head, *rest = name.split(".")
        found = self.names.get(head, getattr(builtins, head, None)) or _library(head)
        for part in rest:
            found = getattr(found, part, None)
        if not (isinstance(found, type) and issubclass(found, BaseException)):
            raise CardError(f"fake {fake}: there is no exception {name!r}")
        if name.endswith("CalledProcessError"):
            return found(1, message)
        return found(message) if message else found()


def _arguments(*args: Any, **kwargs: Any) -> tuple[tuple, dict[str, Any]]:
    return args, kwargs


def _library(name: str) -> types.ModuleType | None:
    try:
        return importlib.import_module(name)
    except ImportError:
        return None


def prepare(job: Mapping[str, Any], limits: Mapping[str, Any]) -> None:
    """Bind this process and its children to the limits; make its folder, with the card's files, and go there."""
    mb = 1 << 20
    size = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    _limit(resource.RLIMIT_AS, limits["memory_mb"] * mb + size)
    _limit(resource.RLIMIT_NPROC, limits["processes"] + limits["other_processes"] + 1)  # and the guard
    _limit(resource.RLIMIT_FSIZE, limits["disk_mb"] * mb)
    _limit(resource.RLIMIT_CPU, int(limits["seconds"]) + 2)
    _limit(resource.RLIMIT_NOFILE, 64)
    _limit(resource.RLIMIT_CORE, 0)
    threading.stack_size(1 << 20)  # address space is what is counted, and a thread takes 8 MB of it by default
    WORK.mkdir()
    for name, text in job.get("files", {}).items():
        path = WORK / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8", newline="")
    os.chdir(WORK)
    random.seed(0)
    warnings.formatwarning = lambda message, category, *_: f"{category.__name__}: {message}\n"  # no line numbers


def _limit(which: int, value: int) -> None:
    resource.setrlimit(which, (value, value))


def run_call(job: Mapping[str, Any], text: str, send: Callable[[Report], None]) -> None:
    """Load the program, make the call that `text` is, send what happened."""
    own = os.getpid()
    watch = Watch(lambda attempt: send({"attempt": attempt}))
    module = Module(job)
    report: Report = {"error": None, "result": "", "arguments": "", "seconds": None}
    watch.active = True
    try:
        _run(module, text, report)
    except BaseException as error:
        report["error"] = describe(error)
    if os.getpid() != own:  # a process that the program has made came back through its call
        os._exit(0)
    module.restore()
    watch.active = False
    for stream in (sys.stdout, sys.stderr, sys.__stdout__, sys.__stderr__):
        with contextlib.suppress(Exception):
            stream.flush()
    report["calls"] = _calls(module.calls, job["unordered"])
    report["files"] = files_below(WORK)
    send({"report": report})


def _run(module: Module, text: str, report: Report) -> None:
    """Fill in the report as far as the program comes; `phase` is where it was."""
    report["phase"] = "syntax"
    code = compile(module.job["source"], "procedure.py", "exec", dont_inherit=True)
    report["phase"] = "load"
    module.load(code)
    entry = module.names.get(module.job["entry"])
    if entry is None:
        raise NameError(f"the module defines no {module.job['entry']!r}")
    report["phase"] = "input"
    args, kwargs = module.arguments(text)
    report["phase"] = "call"
    started = perf_counter()
    try:
        result = entry(*args, **kwargs)
        report["seconds"] = perf_counter() - started
        report["result"] = canonical(result)
    finally:
        report["arguments"] = ", ".join(canonical(value) for value in [*args, *kwargs.values()])


def describe(error: BaseException) -> dict[str, str]:
    """An exception as text, and its kind: type, resource (a limit), forbidden (refused by the sandbox) or runtime."""
    try:
        message = str(error)
    except Exception:  # a __str__ of the program
        message = "(no text)"
    name = type_name(type(error))
    return {"text": shorten(f"{name}: {message}" if message else name, 2_000), "kind": _kind(error)}


def _kind(error: BaseException) -> str:
    chain: list[BaseException] = []
    link: BaseException | None = error
    while link is not None and link not in chain and len(chain) < 10:
        chain.append(link)
        link = link.__cause__ or link.__context__
    if any(type(link).__name__ == "gaierror" or getattr(link, "errno", None) in _REFUSALS for link in chain):
        return "forbidden"
    if any(_is_limit(link) for link in chain):
        return "resource"
    return "card" if isinstance(error, CardError) else "type" if isinstance(error, TypeError) else "runtime"


def _is_limit(error: BaseException) -> bool:
    no_thread = isinstance(error, RuntimeError) and "can't start new thread" in error.args
    return no_thread or isinstance(error, MemoryError) or getattr(error, "errno", None) in _SHORTAGES


def _calls(calls: list[tuple[str, str]], unordered: Iterable[str]) -> str:
    """The calls of fakes in their order, then, sorted, those whose order is without effect."""
    free = sorted(told for name, told in calls if name in unordered)
    ordered = [told for name, told in calls if name not in unordered]
    return shorten("\n".join([*ordered, *(f"in any order: {told}" for told in free)]))
