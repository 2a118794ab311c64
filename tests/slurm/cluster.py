"""A real Slurm on this machine, for tests: one node, partitions `cpu` and `gpu` (one GPU that is none), no systemd.

    python tests/slurm/cluster.py start FOLDER     start it (idempotent) and print what to set in a shell
    python tests/slurm/cluster.py stop FOLDER      stop it; logs and records stay

Everything lies in the folder: configuration, key, sockets, logs, and what tests read, `log/jobcomp.log` (a line per
finished job). The daemons run as the calling user and listen on 127.0.0.1, as far as the host's name means that.
"""

import getpass
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

PACKAGES = {"slurmctld": "slurmctld", "slurmd": "slurmd", "sbatch": "slurm-client", "munged": "munge"}
CLIENTS = ("srun", "sbatch", "squeue", "scancel", "scontrol", "sinfo", "sacct", "sacctmgr", "sshare")
SEARCH = os.environ["PATH"] + os.pathsep + "/usr/sbin" + os.pathsep + "/sbin"
PATIENCE_S = 600  # a busy machine is slow; what takes longer never happens

CONFIG = """\
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmUser={user}
SlurmdUser={user}
SlurmctldPort={ports[0]}
SlurmdPort={ports[1]}
{bind}
AuthType=auth/munge
AuthInfo=socket={root}/run/munge.socket
CredType=cred/munge
SlurmctldPidFile={root}/run/slurmctld.pid
SlurmdPidFile={root}/run/slurmd.pid
SlurmctldLogFile={root}/log/slurmctld.log
SlurmdLogFile={root}/log/slurmd.log
StateSaveLocation={root}/state
SlurmdSpoolDir={root}/spool
MailProg=/bin/true
# No control groups and no systemd: a job is its process group (by parents, what outlives its parent would outlive
# scancel too). The node may claim more than the machine has.
ProctrackType=proctrack/pgid
TaskPlugin=task/none
MpiDefault=none
SwitchType=switch/none
JobAcctGatherType=jobacct_gather/none
SlurmdParameters=config_overrides
ReturnToService=2
KillWait=1
# a job that can never run is refused instead of waiting for ever
EnforcePartLimits=ALL
# finished jobs stay visible to squeue and scontrol
MinJobAge=900
SchedulerType=sched/backfill
SchedulerParameters=batch_sched_delay=0,bf_interval=5
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
DefMemPerCPU=200
GresTypes=gpu
JobCompType=jobcomp/filetxt
JobCompLoc={root}/log/jobcomp.log
AccountingStorageType=accounting_storage/none
NodeName={host} NodeAddr=127.0.0.1 CPUs={cpus} RealMemory={memory_mb} Gres=gpu:fake:1 State=UNKNOWN
PartitionName=cpu Nodes={host} Default=YES MaxTime=1-0 State=UP
PartitionName=gpu Nodes={host} MaxTime=1-0 State=UP
"""


class CannotStart(Exception):
    """Slurm cannot be started here, and why."""


class Slurm:
    """A Slurm in a folder; as a context manager it runs inside, and its logs stay."""

    def __init__(self, root: Path, *, cpus: int = 8, memory_mb: int = 64_000) -> None:
        self.root, self.cpus, self.memory_mb = root.resolve(), cpus, memory_mb
        self.host = socket.gethostname().split(".")[0]

    def __enter__(self) -> "Slurm":
        self.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self.stop()

    def environment(self) -> dict[str, str]:
        """What a process needs to talk to this Slurm: its clients come first on PATH."""
        path = f"{self.root}/bin{os.pathsep}{os.environ['PATH']}"
        return {"PATH": path, "SLURM_CONF": str(self.root / "etc/slurm.conf")}

    def ask(self, *command: str) -> str:
        """The output of one of Slurm's commands."""
        environment = {**os.environ, **self.environment()}
        return subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout

    def finished(self) -> list[dict[str, str]]:
        """Slurm's records of finished jobs, oldest first: JobId, JobState, Partition and so on."""
        path = self.root / "log/jobcomp.log"
        lines = path.read_text().splitlines() if path.exists() else []
        return [dict(part.split("=", 1) for part in line.split() if "=" in part) for line in lines]

    def job(self, job_id: str) -> dict[str, str]:
        """What Slurm knows of a job, whether it runs or has ended; JOB_GRES tells its GPUs, Comment its rule."""
        return dict(
            part.split("=", 1) for part in self.ask("scontrol", "-d", "show", "job", job_id).split() if "=" in part
        )

    # --- starting and stopping ---

    def start(self) -> None:
        """Start the daemons and wait for the node. Raises `CannotStart`, also where programs are not installed."""
        _require_programs()
        if not (self._pid("slurmctld") or self._pid("slurmd")):
            self._configure()
        run, etc = self.root / "run", self.root / "etc"
        self._launch(
            "munged",
            f"--key-file={etc}/munge.key",
            f"--socket={run}/munge.socket",
            f"--pid-file={run}/munged.pid",
            f"--log-file={self.root}/log/munged.log",
            f"--seed-file={run}/munged.seed",
            "--force",
        )
        self._launch("slurmctld")
        self._launch("slurmd")
        self.wait("the node does not become idle", lambda: set(self._states()) == {"idle"})

    def stop(self) -> None:
        """Cancel the jobs and stop the daemons."""
        if self._pid("slurmctld") and self._pid("slurmd"):
            self.ask("scancel", "--full", f"--user={getpass.getuser()}")
            self.wait("jobs do not end", lambda: not self.ask("squeue", "--noheader").strip())
        for name in ("slurmd", "slurmctld", "munged"):
            if pid := self._pid(name):
                os.kill(pid, signal.SIGTERM)
                self.wait(f"{name} does not stop", lambda name=name: not self._pid(name))

    def _states(self) -> list[str]:
        try:
            return self.ask("sinfo", "--noheader", "--partition=cpu,gpu", "--format=%T").split()
        except subprocess.CalledProcessError:  # not listening yet
            return []

    def wait(self, problem: str, done: Callable[[], bool]) -> None:
        """Wait until something is done. Raises `CannotStart` with the problem if it never is."""
        deadline = time.monotonic() + PATIENCE_S
        while not done():
            if time.monotonic() > deadline:
                log = (self.root / "log/slurmctld.log").read_text()
                raise CannotStart(f"Slurm in {self.root}: {problem}; its log ends:\n{log[-2000:]}")
            time.sleep(0.1)

    def _pid(self, name: str) -> int | None:
        """The process of a daemon that is alive: not a stranger with its number, nor one that nobody has buried."""
        try:
            pid = int((self.root / f"run/{name}.pid").read_text())
            status = Path(f"/proc/{pid}/status").read_text()
        except (OSError, ValueError):
            return None
        return pid if status.startswith(f"Name:\t{name}") and "State:\tZ" not in status else None

    def _launch(self, name: str, *arguments: str) -> None:
        """Start a daemon, which puts itself in the background."""
        if self._pid(name):
            return
        (self.root / f"run/{name}.pid").unlink(missing_ok=True)
        environment = {**os.environ, **self.environment()}
        with (self.root / f"log/{name}.out").open("w") as out:
            done = subprocess.run(
                [shutil.which(name, path=SEARCH), *arguments],
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                check=False,
            )
        if done.returncode:
            raise CannotStart(f"{name} does not start: {(self.root / f'log/{name}.out').read_text()[-500:]}")
        self.wait(f"{name} has died", lambda: self._pid(name) is not None)

    def _configure(self) -> None:
        for folder in ("etc", "run", "log", "state", "spool", "bin", "dev"):
            (self.root / folder).mkdir(parents=True, exist_ok=True)
        for folder in (self.root, self.root / "etc", self.root / "run"):
            folder.chmod(0o755)  # munged refuses what others may write to
        key = self.root / "etc/munge.key"
        if not key.exists():
            key.touch(mode=0o600)
            key.write_bytes(secrets.token_bytes(1024))
        try:
            address = socket.gethostbyname(self.host)
        except OSError:
            address = ""
        # Daemons bind to the address of the host's name instead of to all: right only where that is the loopback.
        bind = "CommunicationParameters=NoInAddrAny,NoCtldInAddrAny" if address.startswith("127.") else ""
        facts = {"root": self.root, "host": self.host, "user": getpass.getuser(), "bind": bind, "ports": _free_ports(2)}
        config = CONFIG.format(**facts, cpus=self.cpus, memory_mb=self.memory_mb)
        (self.root / "etc/slurm.conf").write_text(config)
        # A GPU has to be a character device; what a symlink leads to is looked at.
        gpu = self.root / "dev/gpu0"
        if not gpu.is_symlink():
            gpu.symlink_to("/dev/null")
        (self.root / "etc/gres.conf").write_text(f"NodeName={self.host} Name=gpu Type=fake File={gpu}\n")
        version = subprocess.run(["slurmd", "-V"], env={"PATH": SEARCH}, capture_output=True, text=True, check=True)
        newer = tuple(int(part) for part in version.stdout.split()[1].split(".")[:2]) >= (23, 2)
        (self.root / "etc/cgroup.conf").write_text("CgroupPlugin=disabled\n" if newer else "")
        # Inside a job, the executor's SLURM_CONF is gone before srun is called: the clients bring it back.
        for name in CLIENTS:
            if real := shutil.which(name, path=SEARCH):
                wrapper = self.root / "bin" / name
                wrapper.write_text(f'#!/bin/sh\nSLURM_CONF={self.root}/etc/slurm.conf exec {real} "$@"\n')
                wrapper.chmod(0o755)


def _free_ports(count: int) -> list[int]:
    """TCP ports that nobody listens on, below those that the system gives out."""
    found: list[int] = []
    while len(found) < count:
        port = 20_000 + secrets.randbelow(12_000)
        with socket.socket() as probe:
            if port not in found and probe.connect_ex(("127.0.0.1", port)):
                found.append(port)
    return found


def _require_programs() -> None:
    missing = sorted({package for program, package in PACKAGES.items() if not shutil.which(program, path=SEARCH)})
    if missing:
        raise CannotStart(f"not installed: {', '.join(missing)} (Debian packages)")


if __name__ == "__main__":
    action, folder = sys.argv[1:]
    slurm = Slurm(Path(folder))
    try:
        slurm.start() if action == "start" else slurm.stop()
    except CannotStart as error:
        sys.exit(str(error))
    if action == "start":
        print(*(f"export {name}={value}" for name, value in slurm.environment().items()), sep="\n")
