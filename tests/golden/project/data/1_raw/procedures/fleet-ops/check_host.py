"""Whether a host has room to work: three figures of its agent against their limits."""

import http.client
import json
import urllib.request

LEVELS = ("ok", "warning", "critical")


def ask(host: str, figure: str) -> dict:
    """A figure of the agent on a host, or an empty object when it does not answer properly within two seconds."""
    try:
        with urllib.request.urlopen(f"http://{host}:9100/{figure}", timeout=2) as response:
            value = json.load(response)
    except (OSError, ValueError, http.client.HTTPException):
        return {}
    return value if isinstance(value, dict) else {}


def read_load(host: str) -> dict:
    """Length of the run queue: {average, cores}."""
    return ask(host, "load")


def read_memory(host: str) -> dict:
    """Memory in MiB: {used, total}."""
    return ask(host, "memory")


def read_disks(host: str) -> dict:
    """Used share, 0 to 1, by mount point."""
    return ask(host, "disks")


def check_host(
    host: str,
    mounts: tuple[str, ...] = ("/",),
    load_limit: float = 1.5,
    memory_limit: float = 0.9,
    disk_limit: float = 0.85,
) -> dict:
    """{host, level, alerts}: critical above a limit, warning above 90 % of it, and for figures that are missing."""
    level = 0
    alerts = []
    figures = {}
    load = read_load(host)
    memory = read_memory(host)
    disks = read_disks(host)
    if load:
        # relative to the cores: a queue of 8 is idle on 32 cores and trouble on 2
        figures["load"] = (load["average"] / load["cores"], load_limit)
    if memory:
        figures["memory"] = (memory["used"] / memory["total"], memory_limit)
    for mount in mounts:
        if mount in disks:
            figures[f"disk {mount}"] = (disks[mount], disk_limit)
    for name, (value, limit) in figures.items():
        if value > limit:
            level = max(level, 2)
            alerts.append(f"{name}: {value:.2f} is above {limit}")
        elif value > 0.9 * limit:
            level = max(level, 1)
            alerts.append(f"{name}: {value:.2f} is close to {limit}")
    missing = 2 + len(mounts) - len(figures)
    if missing:
        level = max(level, 1)
        alerts.append(f"{missing} figures are missing")
    return {"host": host, "level": LEVELS[level], "alerts": alerts}
