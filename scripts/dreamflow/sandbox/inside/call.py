"""One call of a tested program: its module, its fakes, the call, and the observations after it."""

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
from collections.abc import Callable, Mapping
from decimal import Decimal
from fractions import Fraction
from importlib.machinery import ModuleSpec
from pathlib import Path
from time import perf_counter
from typing import Any
from uuid import UUID

from .canonical import Recorded, Value, canonical, files_below, shorten, type_name
from .watch import Watch

Json = Any  # a value that JSON can hold
Report = dict[str, Json]

# Names that the text of an input may use, besides the names of the module.
_HELPERS = {
    **{"SimpleNamespace": types.SimpleNamespace, "Path": Path, "Decimal": Decimal, "Fraction": Fraction, "UUID": UUID},
    **{"datetime": datetime, "date": datetime.date, "timedelta": datetime.timedelta, "timezone": datetime.timezone},
}
_MOST_CALLS = 10_000  # recorded calls of fakes
_REFUSALS = {errno.EPERM, errno.EACCES, errno.EROFS, errno.ENETUNREACH, errno.ENETDOWN, errno.EADDRNOTAVAIL}
_SHORTAGES = {errno.ENOSPC, errno.EFBIG, errno.EAGAIN, errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EDQUOT}

WORK = Path("/tmp/work")  # noqa: S108  (private to the sandbox); the working directory of every call


class CardError(Exception):
    """The card of the procedure refers to something that does not exist."""


class Fake(Recorded):
    """Replaces `name`: records each call, then follows the next of its behaviours."""

    def __init__(self, name: str, behaviour: Mapping[str, Json], module: "Module") -> None:
        self.name, self.module = name, module
        self.behaviours = behaviour.get("sequence", [behaviour])
        self.calls = 0

    def __call__(self, *args: Value, **kwargs: Value) -> Value:
        texts = [canonical(value) for value in args]
        texts += [f"{key}={canonical(value)}" for key, value in sorted(kwargs.items())]
        with self.module.lock:
            behaviour = self.behaviours[min(self.calls, len(self.behaviours) - 1)]
            self.calls += 1
            if len(self.module.calls) < _MOST_CALLS:
                self.module.calls.append((self.name, shorten(f"{self.name}({', '.join(texts)})", 2_000)))
        if "sequence" in behaviour:
            raise CardError(f"fake {self.name}: a sequence within a sequence")
        if "raises" in behaviour:
            raise self.module.exception(behaviour["raises"], self.name)
        return self.module.value(behaviour["returns"]) if "returns" in behaviour else None


class Module:
    """The module of a program, its fakes, and their recorded calls."""

    def __init__(self, job: Mapping[str, Json]) -> None:
        self.job = job
        self.names: dict[str, Value] = {"__name__": "procedure"}
        self.calls: list[tuple[str, str]] = []
        self.lock = threading.Lock()
        self.replaced: list[tuple[object, str, Value]] = []

    def load(self, code: types.CodeType) -> None:
        """Run the module; the fakes are active while it runs."""
        if place := self.job.get("place"):
            # Python imports it, since a package may import its module itself.
            sys.meta_path.insert(0, Finder(place, lambda module: self.fill(module, code)))
            importlib.import_module(place["name"])
            return
        module = types.ModuleType("procedure")
        module.__file__ = str(Path.cwd() / "procedure.py")
        sys.modules["procedure"] = module
        self.fill(module, code)

    def fill(self, module: types.ModuleType, code: types.CodeType) -> None:
        """Run the program's code in its module."""
        self.names = module.__dict__
        fakes = {name: Fake(name, behaviour, self) for name, behaviour in self.job["fakes"].items()}
        for name, fake in fakes.items():
            head, _, rest = name.partition(".")
            if not rest:
                self.names[name] = fake
            elif (library := _library(head)) is not None:
                self.replace(library, rest, fake, missing_is_fine=True)
        exec(code, self.names)  # noqa: S102  (the purpose of the sandbox)
        for name, fake in fakes.items():
            head, _, rest = name.partition(".")
            if not rest:
                self.names[name] = fake
            elif head in self.names:
                self.replace(self.names[head], rest, fake, missing_is_fine=False)

    def replace(self, holder: object, path: str, fake: Fake, missing_is_fine: bool) -> None:
        """Put a fake at `path` below `holder`."""
        *parents, last = path.split(".")
        for part in parents:
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
        """Remove the fakes from libraries, which the report needs unchanged."""
        for holder, name, old in reversed(self.replaced):
            setattr(holder, name, old)

    def value(self, text: str) -> Value:
        """The value of a Python expression with the names of the module."""
        return eval(text, self.environment())  # noqa: S307  (the purpose of the sandbox)

    def environment(self) -> dict[str, Value]:
        """The names that an expression may use; `recorder` stands for an argument that is a function."""

        def recorder(name: str) -> Fake:
            return Fake(name, {}, self)

        def arguments(*args: Value, **kwargs: Value) -> tuple[tuple, dict[str, Value]]:
            return args, kwargs

        return {**_HELPERS, **self.names, "recorder": recorder, "_arguments": arguments}

    def exception(self, text: str, fake: str) -> BaseException:
        """The exception that a text such as "TimeoutError: down" describes."""
        name, _, message = text.partition(": ")
        head, *rest = name.split(".")
        kind = self.names.get(head, getattr(builtins, head, None)) or _library(head)
        for part in rest:
            kind = getattr(kind, part, None)
        if not (isinstance(kind, type) and issubclass(kind, BaseException)):
            raise CardError(f"fake {fake}: there is no exception {name!r}")
        if name.endswith("CalledProcessError"):
            return kind(1, message)
        return kind(message) if message else kind()


class Finder:
    """Python's way to the program, whose code takes the place of a file of a project."""

    def __init__(self, place: Mapping[str, Json], fill: Callable[[types.ModuleType], None]) -> None:
        self.place, self.fill = place, fill

    def find_spec(self, name: str, path: Value = None, target: Value = None) -> ModuleSpec | None:
        """How the program is loaded; None for another module."""
        if name != self.place["name"]:
            return None
        is_package = self.place["file"].endswith("/__init__.py")
        spec = ModuleSpec(name, self, origin=self.place["file"], is_package=is_package)
        spec.has_location = True
        if is_package:
            spec.submodule_search_locations.append(os.path.dirname(self.place["file"]))  # noqa: PTH120
        return spec

    def create_module(self, spec: ModuleSpec) -> None:
        """Python's default module."""

    def exec_module(self, module: types.ModuleType) -> None:
        """Run the program."""
        self.fill(module)


def _library(name: str) -> types.ModuleType | None:
    try:
        return importlib.import_module(name)
    except ImportError:
        return None


def prepare(job: Mapping[str, Json], limits: Mapping[str, Json]) -> None:
    """Apply the limits to this process and its children; create its folder with the card's files, and enter it."""
    mb = 1 << 20
    size = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    bounds = {
        resource.RLIMIT_AS: limits["memory_mb"] * mb + size,
        resource.RLIMIT_NPROC: limits["processes"] + limits["other_processes"] + 1,  # and the guard
        resource.RLIMIT_FSIZE: limits["disk_mb"] * mb,
        resource.RLIMIT_CPU: int(limits["seconds"]) + 2,
        resource.RLIMIT_NOFILE: 64,
        resource.RLIMIT_CORE: 0,
    }
    for limit, value in bounds.items():
        resource.setrlimit(limit, (value, value))
    threading.stack_size(1 << 20)  # a thread takes 8 MB of the limited address space by default
    WORK.mkdir()
    for name, text in job.get("files", {}).items():
        path = WORK / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8", newline="")
    for name, source in (job.get("place") or {}).get("named", {}).items():  # some programs run in their own folder
        path = WORK / name
        if path.resolve().is_relative_to(WORK) and not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(Path(source).read_bytes())
    os.chdir(WORK)
    random.seed(0)
    warnings.formatwarning = lambda message, category, *_: f"{category.__name__}: {message}\n"  # no line numbers


def run_call(job: Mapping[str, Json], text: str, send: Callable[[Report], None]) -> None:
    """Load the program, make the call in `text`, and send the report."""
    own = os.getpid()
    watch = Watch(lambda attempt: send({"attempt": attempt}))
    module = Module(job)
    report: Report = {"error": None, "result": "", "arguments": "", "seconds": None}
    watch.active = True
    try:
        _run(module, text, report)
    except BaseException as error:
        report["error"] = describe(error)
    if os.getpid() != own:  # a child process of the program has returned from its call
        os._exit(0)
    module.restore()
    watch.active = False
    for stream in (sys.stdout, sys.stderr, sys.__stdout__, sys.__stderr__):
        with contextlib.suppress(Exception):
            stream.flush()
    free = sorted(call for name, call in module.calls if name in job["unordered"])
    ordered = [call for name, call in module.calls if name not in job["unordered"]]
    report["calls"] = shorten("\n".join([*ordered, *(f"in any order: {call}" for call in free)]))
    report["files"] = files_below(WORK)
    send({"report": report})


def _run(module: Module, text: str, report: Report) -> None:
    """Fill in the report as far as the program runs; `phase` is the current phase."""
    report["phase"] = "syntax"
    code = compile(module.job["source"], "procedure.py", "exec", dont_inherit=True)
    report["phase"] = "load"
    module.load(code)
    entry = module.names.get(module.job["entry"])
    if entry is None:
        raise NameError(f"the module defines no {module.job['entry']!r}")
    report["phase"] = "input"
    args, kwargs = module.value(text.replace(module.job["entry"], "_arguments", 1))
    report["phase"] = "call"
    started = perf_counter()
    try:
        result = entry(*args, **kwargs)
        report["seconds"] = perf_counter() - started
        report["result"] = canonical(result)
    finally:
        report["arguments"] = ", ".join(canonical(value) for value in [*args, *kwargs.values()])


def describe(error: BaseException) -> dict[str, str]:
    """An exception as text, and its kind: type, resource (a limit), forbidden (by the sandbox), card or runtime."""
    try:
        message = str(error)
    except Exception:  # the program's own __str__
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
    if any(isinstance(link, MemoryError) or getattr(link, "errno", None) in _SHORTAGES for link in chain):
        return "resource"
    if any(isinstance(link, RuntimeError) and "can't start new thread" in link.args for link in chain):
        return "resource"
    return "card" if isinstance(error, CardError) else "type" if isinstance(error, TypeError) else "runtime"
