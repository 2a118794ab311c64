"""Restarts a service host by host and stops before a bad release takes the whole fleet down."""

import logging
import subprocess
import time

log = logging.getLogger("fleet.restart")


def remote(host: str, *command: str, timeout: float) -> bool:
    """Whether a command succeeded on a host; a host that cannot be reached has failed."""
    try:
        done = subprocess.run(["ssh", "-o", "BatchMode=yes", "--", host, *command], timeout=timeout)  # noqa: S603, S607
    except (OSError, subprocess.SubprocessError) as error:
        log.warning("%s: %s", host, error)
        return False
    return done.returncode == 0


def rolling_restart(
    hosts: list[str], service: str = "web", batch: int = 2, max_failures: int = 1, timeout: float = 30.0
) -> dict:
    """Restart `service` on `hosts`, `batch` at a time, until more than `max_failures` of them have failed.

    Returns {restarted, failed, skipped}: every host is in one of the three. Raises ValueError without hosts.
    """
    if not hosts:
        raise ValueError("no hosts to restart")
    if batch < 1:
        raise ValueError("a batch has at least one host")
    restarted = []
    failed = []
    queue = list(dict.fromkeys(hosts))
    while queue and len(failed) <= max_failures:
        group, queue = queue[:batch], queue[batch:]
        started = [host for host in group if remote(host, "systemctl", "restart", service, timeout=timeout)]
        if started:
            # a process that dies at once would still count as active right after its start
            time.sleep(5)
        for host in group:
            if host in started and remote(host, "systemctl", "is-active", "--quiet", service, timeout=10):
                restarted.append(host)
            else:
                failed.append(host)
    if queue:
        log.error("stopped after %d failures", len(failed))
    return {"restarted": restarted, "failed": failed, "skipped": queue}
