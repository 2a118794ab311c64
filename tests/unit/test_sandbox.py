"""Hostile programs, each under each way of isolation: contained, within its limits, and the run goes on."""

import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
from dreamflow.dreams.equivalence import test_procedure as compare
from dreamflow.dreams.procedure import Procedure
from dreamflow.sandbox import isolation as sandbox
from dreamflow.sandbox.isolation import TOOLS, Isolation, Limits, isolation, run_isolated
from msgspec import structs

LIMITS = Limits(seconds=60, memory_mb=256, processes=16, output_kb=256, disk_mb=8)
SHORT = replace(LIMITS, seconds=2)  # for programs that never end
ORIGINAL = "def f(x):\n    return x + 1\n"


@pytest.fixture(params=TOOLS, scope="module")
def tool(request):
    way = isolation((request.param,))
    if not isinstance(way, Isolation):
        pytest.skip(f"not available here: {way}")
    return request.param


@pytest.fixture(autouse=True)
def nothing_is_left():
    """No process of ours outlives a test, and what was written to the sandbox's /tmp is not in this one."""
    yield
    assert psutil.Process().children(recursive=True) == []
    guards = [p for p in psutil.process_iter(["cmdline", "ppid"]) if "host_uid" in str(p.info["cmdline"])]
    assert [guard for guard in guards if guard.info["ppid"] == 1] == []  # whose host has gone
    assert not Path("/tmp/work").exists()


def procedure(source=ORIGINAL, **parts):
    card = {"inputs": ({"args": [0]},), "generate": False, "effects": {}, "fakes": {}, "files": {}, "card": "p/f.yaml"}
    texts = {"procedure_id": "p.f", "project": "p", "category": "test", "description": "", "entry": "f"}
    return Procedure(**texts, **{**card, **parts}, tags=(), contexts=(), source=source)


# What it does, how that is judged, and what the reason says.
HOSTILE = {
    "reads a secret": ("return open('/etc/shadow').read()", "forbidden", "read /etc/shadow"),
    "reads a secret, and hides it": (
        "try:\n    open('/etc/passwd')\nexcept OSError: pass\nreturn x + 1",
        "forbidden",
        "read /etc/passwd",
    ),
    "lists the home folder": ("return os.listdir('/home/someone')", "forbidden", "list /home/someone"),
    "lists all homes": ("return os.listdir('/home')", "forbidden", "list /home"),
    "reads a key": ("return open('/root/.ssh/id_rsa').read()", "forbidden", "read /root/.ssh/id_rsa"),
    "reads the guard's environment": ("return open('/proc/1/environ').read()", "forbidden", "read /proc/1/environ"),
    "writes over the guard's memory": (
        "return open('/proc/1/mem', 'r+b').write(b'x')",
        "forbidden",
        "write /proc/1/mem",
    ),
    "connects out": (
        "import socket\nsocket.create_connection(('1.1.1.1', 53), timeout=1)",
        "forbidden",
        "network: look up '1.1.1.1'",
    ),
    "connects out, and hides it": (
        "from urllib.request import urlopen\ntry: urlopen('http://example.com')\nexcept OSError: pass\nreturn x + 1",
        "forbidden",
        "network: open http://example.com",
    ),
    "sends a datagram": (
        "import socket\nsocket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b'x', ('1.1.1.1', 53))",
        "forbidden",
        "network: make a socket",
    ),
    "forks without end": ("while True: os.fork()", "resource", "BlockingIOError"),
    "forks without end, and never gives up": (
        "while True:\n    try: os.fork()\n    except OSError: pass",
        "timeout",
        "no answer within 2 s",
    ),
    "makes threads without end": (
        "import threading, time\nwhile True: threading.Thread(target=time.sleep, args=(60,)).start()",
        "resource",
        "can't start new thread",
    ),
    "fills memory": (
        "held = []\nwhile True: held.append(bytearray(1 << 20))",
        "resource",
        "uses more than 256 MB of memory",
    ),
    "fills memory by many processes": (
        "for _ in range(3): os.fork()\nheld = b'x' * (100 << 20)\nwhile True: pass",
        "resource",
        "uses more than 256 MB of memory",
    ),
    "fills memory by files without a name": ("os.memfd_create('x')", "forbidden", "Operation not permitted"),
    "fills the disk": (
        "for n in range(100): open(f'{n}', 'wb').write(bytes(1 << 20))",
        "resource",
        "No space left on device",
    ),
    "fills the disk by one file": ("open('big', 'wb').write(bytes(100 << 20))", "resource", "File too large"),
    "fills the disk by names": (
        "n = 0\nwhile True:\n    os.mkdir(f'{n}')\n    n += 1",
        "resource",
        "too many files",
    ),
    "nests folders beyond wiping": (
        "for _ in range(1200):\n    os.mkdir('d')\n    os.chdir('d')\nreturn x + 1",
        "differs",
        "files",
    ),
    "ignores signals": (
        "import signal as s\nfor number in set(s.Signals) - {9, 19}: s.signal(number, s.SIG_IGN)\nwhile True: pass",
        "timeout",
        "no answer within 2 s",
    ),
    "sleeps": ("import time\ntime.sleep(600)", "timeout", "no answer within 2 s"),
    "hangs in C": ("return ('a' * 100_000).count('b', 0) or sum(range(10 ** 12))", "timeout", "no answer within 2 s"),
    "writes to the system": ("open('/usr/bin/x', 'w').write('x')", "forbidden", "write /usr/bin/x"),
    "writes to its own library": (
        "open('/packages/x.py', 'w').write('x')",
        "forbidden",
        "write /packages/x.py",
    ),
    "removes the system": (
        "import shutil\nshutil.rmtree('/usr', ignore_errors=True)\nreturn x + 1",
        "forbidden",
        "/usr",
    ),
    "makes it writable first": (
        "import ctypes\nlibc = ctypes.CDLL(None, use_errno=True)\n"
        "if libc.mount(None, b'/', None, 4096 | 32, None): raise OSError(ctypes.get_errno(), 'mount')",
        "forbidden",
        "mount",
    ),
    "makes itself root": ("os.setuid(0)", "runtime", "Invalid argument"),
    "makes a user namespace": (
        "import ctypes\nlibc = ctypes.CDLL(None, use_errno=True)\n"
        "if libc.unshare(0x10000000): raise OSError(ctypes.get_errno(), 'unshare')",
        "forbidden",
        "unshare",
    ),
    "prints 1 GB": ("for _ in range(1 << 10): print('x' * (1 << 20))", "resource", "prints more than 256 KB"),
    "prints 1 GB past Python": (
        "import subprocess\nsubprocess.run('yes', check=True)",
        "resource",
        "prints more than 256 KB",
    ),
    "leaves a daemon": (
        "import time\nif os.fork() == 0:\n    os.setsid()\n    if os.fork() == 0: time.sleep(600)\n    os._exit(0)\n"
        "return x + 1",
        "equivalent",
        "the same on 1",
    ),
    "kills everything": (
        "import signal\nos.kill(-1, signal.SIGKILL)\nos.kill(1, signal.SIGKILL)\nreturn x + 1",
        "forbidden",
        "signal",
    ),
    "kills its group": ("import signal\nos.killpg(0, signal.SIGKILL)", "resource", "SIGKILL"),
    "crashes": ("import ctypes\nctypes.string_at(0)", "runtime", "SIGSEGV"),
    "ends its process": ("os._exit(0)", "runtime", "ends its process with status 0"),
    "closes every file": ("os.closerange(0, 1000)\nreturn x + 1", "runtime", "status 1"),
    "returns without end": ("import itertools\nreturn itertools.count()", "differs", "result itertools.count"),
    "returns what grows when looked at": (
        "class Deep:\n    def __getattr__(self, name): return Deep()\n    @property\n"
        "    def __dict__(self): return {'x': Deep()}\nreturn Deep()",
        "differs",
        "Deep",
    ),
    "forges a report": (
        "for fd in range(3, 64):\n    try: os.write(fd, b'{\"report\": [1, 2]}\\n')\n    except OSError: pass\n"
        "os._exit(0)",
        "runtime",
        "ends its process",
    ),
}


@pytest.fixture(scope="module")
def answer(tool):
    """All of them, one after the other, and an ordinary program in between and at the end."""
    bodies = {name: "".join(f"    {line}\n" for line in body.splitlines()) for name, (body, *_) in HOSTILE.items()}
    hostile = {name: f"import os, sys\ndef f(x):\n{body}" for name, body in bodies.items()}
    endless = {name: hostile.pop(name) for name, (_, outcome, _) in HOSTILE.items() if outcome == "timeout"}
    half = dict(list(hostile.items())[: len(hostile) // 2])
    programs = {**half, "ordinary": ORIGINAL, **hostile, "ordinary at the end": ORIGINAL}
    found = compare(procedure(), programs, inputs=1, seed=1, limits=LIMITS, tools=(tool,))
    programs = {**endless, "ordinary after endless ones": ORIGINAL}
    more = compare(procedure(), programs, inputs=1, seed=1, limits=SHORT, tools=(tool,))
    return structs.replace(found, variants={**found.variants, **more.variants})


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_programs_are_contained(name, answer):
    _, outcome, said = HOSTILE[name]
    verdict = answer.variants[name]
    assert (verdict.outcome, said in verdict.reason) == (outcome, True), verdict


def test_the_run_goes_on_after_hostile_programs(answer):
    assert answer.original.status == "steady"
    ordinary = [verdict for name, verdict in answer.variants.items() if name.startswith("ordinary")]
    assert [verdict.outcome for verdict in ordinary] == ["equivalent"] * 3


# --- what is seen from inside ---------------------------------------------------------------------------


def same(original, variant, tool):
    """Whether two expressions have the same value inside."""
    sources = [f"import os\ndef f(x):\n    return {expression}\n" for expression in (original, variant)]
    answer = compare(procedure(sources[0]), {"v": sources[1]}, inputs=1, seed=1, limits=LIMITS, tools=(tool,))
    return answer.variants["v"].outcome in ("equivalent", "forbidden") and answer.variants["v"]


def test_nothing_of_the_host_is_seen(tool):
    paths = [__file__, str(Path(sandbox.__file__)), "/etc/passwd", "/var", "/run", "/sys", "/home"]
    assert all(map(os.path.exists, paths[:4]))
    seen = f"[path for path in {paths!r} if os.path.exists(path)]"
    assert same("[]", seen, tool).outcome == "equivalent"


def test_only_its_own_processes_are_seen(tool):
    found = same("['1', '2']", "[name for name in os.listdir('/proc') if name.isdigit()]", tool)
    assert found.reason.startswith("f(0): tries what it must not: list /proc")
    ids = same(
        "(2, 1, 65534, 65534, [])", "(os.getpid(), os.getppid(), os.getuid(), os.getgid(), os.getgroups()[:0])", tool
    )
    assert ids.outcome == "equivalent"


def test_the_environment_is_empty(tool, monkeypatch):
    monkeypatch.setenv("DREAMFLOW_SECRET", "key")
    fixed = {"PATH": "/usr/bin:/bin", "HOME": "/tmp", "LANG": "C.UTF-8", "TZ": "UTC"}
    fixed |= {"PYTHONHASHSEED": "0", "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "MALLOC_ARENA_MAX": "1"}
    assert same(repr(fixed), "dict(os.environ)", tool).outcome == "equivalent"


def test_limits_are_those_that_were_asked_for(tool):
    limits = "[__import__('resource').getrlimit(n)[1] for n in (1, 4, 7)]"  # file size, core, open files
    assert same("[8 << 20, 0, 64]", limits, tool).outcome == "equivalent"
    disk = "(lambda s: s.f_blocks * s.f_frsize)(os.statvfs('/tmp'))"
    assert same("8 << 20", disk, tool).outcome == "equivalent"


# --- the host's side ------------------------------------------------------------------------------------

SLEEPS = {
    **{"task": "calls", "entry": "f", "fakes": {}, "files": {}, "unordered": [], "calls": ["f()"]},
    "source": "import time\ndef f():\n    time.sleep(600)\n",
}


def test_a_job_ends_when_its_time_is_over(tool, monkeypatch):
    monkeypatch.setattr(sandbox, "_START_SECONDS", 1)
    finished = run_isolated(SLEEPS, Limits(seconds=600), isolation((tool,)), seconds=0)
    assert (finished.ended, finished.stdout) == ("timeout", "")


def test_a_job_ends_when_it_says_too_much(tool, monkeypatch):
    monkeypatch.setattr(sandbox, "_MOST_ANSWERS", 1000)
    job = {**SLEEPS, "source": "def f():\n    return 'x' * 10_000\n", "calls": ["f()"] * 3}
    assert run_isolated(job, LIMITS, isolation((tool,)), seconds=600).ended == "output"


def test_a_sandbox_dies_with_its_host(tool):
    host = f"""
import json, sys, threading, psutil
from dreamflow.sandbox.isolation import Limits, isolation, run_isolated
job = json.loads({json.dumps(SLEEPS)!r})
way = isolation(({tool!r},))
threading.Thread(target=run_isolated, args=(job, Limits(seconds=600), way, 600)).start()
while True:
    children = psutil.Process().children(recursive=True)
    if len([child for child in children if "host_uid" in str(child.cmdline())]) >= 2:
        break
print(*(child.pid for child in children), flush=True)
"""
    scripts = Path(sandbox.__file__).parents[2]
    environment = {**os.environ, "PYTHONPATH": str(scripts)}
    with subprocess.Popen([sys.executable, "-c", host], stdout=subprocess.PIPE, text=True, env=environment) as process:
        children = [psutil.Process(int(pid)) for pid in process.stdout.readline().split()]
        assert len(children) >= 2
        process.kill()
    _, alive = psutil.wait_procs(children, timeout=60)
    assert alive == []


# --- tools that do not keep what they promise -----------------------------------------------------------


@pytest.fixture
def fake_tool(tmp_path, monkeypatch):
    """Put a shell script in the place of a tool; `$REAL` in it is the real one."""

    def install(name, script):
        real = shutil.which(name) or "/nonexistent"
        path = tmp_path / name
        path.write_text(f'#!/bin/sh\nREAL={real}\n[ "$1" = --version ] && echo {name} 9.9 && exit\n{script}\n')
        path.chmod(0o755)
        monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")

    isolation.cache_clear()
    yield install
    isolation.cache_clear()


def test_a_tool_that_is_refused_says_why(fake_tool):
    fake_tool("bwrap", "echo 'bwrap: No permissions to create new namespace' >&2; exit 1")
    assert (
        isolation(("bwrap", "nothing"))
        == "bwrap: bwrap: No permissions to create new namespace; nothing: not installed"
    )


def test_the_next_tool_is_taken(fake_tool, tool):
    fake_tool("broken", "exit 1")
    found = isolation(("broken", tool))
    assert (found.tool, bool(found.version)) == (tool, True)


def test_a_tool_that_isolates_nothing_is_not_used(fake_tool):
    fake_tool("unshare", 'while [ "$1" != -- ]; do shift; done; shift; exec "$@"')
    assert "must be the first process of its own namespace" in isolation(("unshare",))


@pytest.mark.skipif(not isinstance(isolation(("bwrap",)), Isolation), reason="no bwrap here")
def test_a_sandbox_that_shows_too_much_is_not_used(fake_tool):
    fake_tool("bwrap", 'exec "$REAL" --ro-bind /etc /etc "$@"')
    assert "/etc/passwd can be seen" in isolation(("bwrap",))


@pytest.mark.skipif(not isinstance(isolation(("bwrap",)), Isolation), reason="no bwrap here")
@pytest.mark.skipif(len(psutil.net_if_addrs()) < 2, reason="this machine has no network that could be seen")
def test_a_sandbox_with_a_network_is_not_used(fake_tool):
    fake_tool("bwrap", 'for a; do shift; [ "$a" = --unshare-net ] || set -- "$@" "$a"; done; exec "$REAL" "$@"')
    assert "network interfaces" in isolation(("bwrap",))


@pytest.mark.skipif(not isinstance(isolation(("bwrap",)), Isolation), reason="no bwrap here")
def test_a_sandbox_whose_tmp_is_not_its_own_is_not_used(fake_tool, tmp_path):
    kept = tmp_path / "mine" / "kept"
    kept.parent.mkdir()
    kept.touch()
    bind = f'[ "$a" = -- ] && set -- "$@" --bind {kept.parent} /tmp'
    fake_tool("bwrap", f'for a; do shift; {bind}; set -- "$@" "$a"; done; exec "$REAL" "$@"')
    assert "/tmp is not private to the sandbox" in isolation(("bwrap",))
    assert kept.exists()
