"""Close the sandbox from inside: a private root, an unprivileged user, no way back. Linux calls through ctypes."""

import ctypes
import os
import struct
from collections.abc import Mapping, Sequence
from pathlib import Path

NOBODY = 65534  # the user inside the sandbox
AF_UNIX = 1  # local sockets; a constant because the module `socket` is slow to import

_LIBC = ctypes.CDLL(None, use_errno=True)

# mount(2), umount2(2), unshare(2), prctl(2)
_RDONLY, _NOSUID, _NODEV, _NOEXEC, _REMOUNT, _BIND, _REC, _PRIVATE = 1, 2, 4, 8, 32, 4096, 16384, 1 << 18
_DETACH = 2
_NEWUSER = 0x10000000
_ANY_NAMESPACE = 0x7E020000
_PDEATHSIG, _DUMPABLE, _SECCOMP, _CAPBSET_DROP, _NO_NEW_PRIVS, _AMBIENT = 1, 4, 22, 24, 38, 47

# By machine: its audit number, then numbers of system calls.
_NAMES = ("clone", "socket", "unshare", "setns", "shmget", "msgget", "semget", "memfd_create", "io_uring_setup")
_NAMES += ("pivot_root", "capset")
_CALLS = {
    "x86_64": (0xC000003E, dict(zip(_NAMES, (56, 41, 272, 308, 29, 68, 64, 319, 425, 155, 126), strict=True))),
    "aarch64": (0xC00000B7, dict(zip(_NAMES, (220, 198, 97, 268, 194, 186, 190, 279, 425, 41, 91), strict=True))),
}
_MOUNT_SETATTR, _CLONE3, _MEMFD_SECRET = 442, 435, 447  # the same on every machine
# New namespaces would restore the right to mount (memory without limit). The others use memory that no limit counts;
# io_uring also bypasses the filter of system calls.
_REFUSED = ("unshare", "setns", "memfd_create", "shmget", "msgget", "semget", "io_uring_setup")


def machine() -> str:
    """The architecture of this machine; raises OSError if its system calls are not known."""
    if os.uname().machine not in _CALLS:
        raise OSError(f"no filter of system calls is known for {os.uname().machine}, only for {', '.join(_CALLS)}")
    return os.uname().machine


def build_root(binds: Sequence[Sequence[str]], links: Mapping[str, str], disk_mb: int) -> None:
    """Create a root with only read-only `binds` [from, to], `links`, /proc, /dev and a private /tmp, and enter it.

    Needs new mount and process namespaces, and the right to mount in them. The method is bubblewrap's: pivot to an
    empty base, build the new root from the old root, pivot again, detach the old root.
    """
    _mount("none", "/", None, _REC | _PRIVATE)
    _mount("tmpfs", "/tmp", "tmpfs", _NOSUID | _NODEV, "mode=755")  # noqa: S108  (exists on every system)
    for name in ("new", "old"):
        Path("/tmp", name).mkdir()  # noqa: S108
    _syscall("pivot_root", b"/tmp", b"/tmp/old")
    os.chdir("/")
    _mount("tmpfs", "/new", "tmpfs", _NOSUID | _NODEV, "mode=755,size=1m")
    for source, target in binds:
        _bind(f"/old{source}", f"/new{target}")
    for link, target in links.items():
        Path(f"/new{link}").symlink_to(target)
    for folder in ("proc", "dev", "tmp"):
        Path("/new", folder).mkdir()
    _mount("proc", "/new/proc", "proc", _NOSUID | _NODEV | _NOEXEC)
    _mount("tmpfs", "/new/tmp", "tmpfs", _NOSUID | _NODEV, f"mode=1777,size={disk_mb}m")
    _mount("tmpfs", "/new/dev", "tmpfs", _NOSUID, "mode=755,size=1m")
    for device in ("null", "zero", "full", "random", "urandom"):
        Path("/new/dev", device).touch()
        _mount(f"/old/dev/{device}", f"/new/dev/{device}", None, _BIND)
    for link, target in {"fd": "", "stdin": "/0", "stdout": "/1", "stderr": "/2"}.items():
        Path("/new/dev", link).symlink_to(f"/proc/self/fd{target}")
    Path("/new/dev/shm").mkdir()
    _mount("tmpfs", "/new/dev/shm", "tmpfs", _NOSUID | _NODEV, "mode=1777,size=1m")
    for place in ("/new/dev", "/new"):
        _mount(None, place, None, _REMOUNT | _BIND | _RDONLY | _NOSUID)
    os.chdir("/new")
    _syscall("pivot_root", b".", b".")  # the old base lies over the new root now
    _check(_LIBC.umount2(b".", _DETACH), "umount")
    os.chdir("/tmp")  # noqa: S108
    _check(_LIBC.sethostname(b"sandbox", 7), "sethostname")


def lock(host_uid: int | None, new_user: bool) -> None:
    """Give up every privilege for good; raises OSError if that fails.

    `host_uid` is for the host's root: the user to become, since limits on processes do not apply to root. `new_user`
    enters a user namespace with one user, without rights in the namespaces around it.
    """
    machine()
    if host_uid is not None:
        os.setgroups([])
        os.setresgid(host_uid, host_uid, host_uid)
        os.setresuid(host_uid, host_uid, host_uid)
        set_dumpable(True)  # else the maps below belong to root
    if new_user:
        user, group = os.geteuid(), os.getegid()
        _check(_LIBC.unshare(_NEWUSER), "unshare(user)")
        Path("/proc/self/setgroups").write_text("deny")
        Path("/proc/self/uid_map").write_text(f"{NOBODY} {user} 1")
        Path("/proc/self/gid_map").write_text(f"{NOBODY} {group} 1")
    _check(_prctl(_NO_NEW_PRIVS, 1), "no_new_privs")
    for capability in range(64):
        _prctl(_CAPBSET_DROP, capability)  # may fail under bubblewrap: the check below decides
    _prctl(_AMBIENT, 4)
    _syscall("capset", struct.pack("Ii", 0x20080522, 0), bytes(24))
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    if any(int(status[kind], 16) for kind in ("CapInh", "CapPrm", "CapEff", "CapAmb")) or os.geteuid() != NOBODY:
        raise OSError(f"privileges remain: user {os.geteuid()}, capabilities {status['CapPrm'].strip()}")
    _check(_prctl(_PDEATHSIG, 9), "parent death signal")  # the change of user has cleared it
    set_dumpable(False)  # no other process may read or write this process
    _filter_calls()


def set_dumpable(dumpable: bool) -> None:
    """Set whether processes of the same user may read this process."""
    _check(_prctl(_DUMPABLE, int(dumpable)), "dumpable")


def try_new_user() -> bool:
    """Whether a new user namespace is possible, which must fail inside."""
    return _LIBC.unshare(_NEWUSER) == 0


def _filter_calls() -> None:
    """Refuse system calls that bypass the limits, and all sockets except local ones."""
    audit, numbers = _CALLS[machine()]
    load, equal, at_least, any_bit, give = 0x20, 0x15, 0x35, 0x45, 0x06
    allow, refuse, no_such_call, no_access = 0x7FFF0000, 0x50001, 0x50026, 0x5000D  # errno EPERM, ENOSYS, EACCES

    def unless(code: int, value: int, verdict: int) -> list[tuple[int, int, int, int]]:
        """Give `verdict` if the comparison holds, else continue."""
        return [(code, 0, 1, value), (give, 0, 0, verdict)]

    program = [(load, 0, 0, 4), (equal, 1, 0, audit), (give, 0, 0, refuse), (load, 0, 0, 0)]
    program += unless(at_least, 0x40000000, refuse)  # the x32 table of x86_64
    for number in sorted([numbers[name] for name in _REFUSED] + [_MEMFD_SECRET]):
        program += unless(equal, number, refuse)
    program += unless(equal, _CLONE3, no_such_call)  # the filter cannot read its flags; libraries fall back to clone
    program += [(equal, 0, 4, numbers["clone"]), (load, 0, 0, 16)]
    program += [*unless(any_bit, _ANY_NAMESPACE, refuse), (give, 0, 0, allow)]
    program += [(equal, 0, 3, numbers["socket"]), (load, 0, 0, 16), (equal, 1, 0, AF_UNIX)]
    program += [(give, 0, 0, no_access), (give, 0, 0, allow)]
    code = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *instruction) for instruction in program))
    described = ctypes.create_string_buffer(struct.pack("HP", len(program), ctypes.addressof(code)))
    _check(_prctl(_SECCOMP, 2, ctypes.addressof(described)), "filter of system calls")


def _mount(source: str | None, target: str, kind: str | None, flags: int, data: str | None = None) -> None:
    texts = [None if text is None else text.encode() for text in (source, target, kind, data)]
    result = _LIBC.mount(texts[0], texts[1], texts[2], ctypes.c_ulong(flags), texts[3])
    _check(result, f"mount {target.removeprefix('/new')}")


def _bind(source: str, target: str) -> None:
    """Mount a file or folder, with all mounts below it, read-only."""
    if Path(source).is_dir():
        Path(target).mkdir(parents=True, exist_ok=True)
    else:
        Path(target).parent.mkdir(parents=True, exist_ok=True)
        Path(target).touch()
    _mount(source, target, None, _BIND | _REC)
    read_only = struct.pack("QQQQ", _RDONLY | _NOSUID | _NODEV, 0, 0, 0)
    result = _LIBC.syscall(_MOUNT_SETATTR, -100, target.encode(), 0x8000, read_only, ctypes.c_size_t(len(read_only)))
    _check(result, f"make {target.removeprefix('/new')} read-only (Linux 5.12 or newer)")


def _syscall(name: str, *arguments: bytes | str) -> None:
    _check(_LIBC.syscall(_CALLS[machine()][1][name], *arguments), name)


def _prctl(option: int, value: int, pointer: int = 0) -> int:
    return _LIBC.prctl(option, ctypes.c_ulong(value), ctypes.c_ulong(pointer), ctypes.c_ulong(0), ctypes.c_ulong(0))


def _check(result: int, what: str) -> None:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")
