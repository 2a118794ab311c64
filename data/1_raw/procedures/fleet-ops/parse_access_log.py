"""Figures from a web server's access log (combined format, with the time of a request in seconds at its end)."""

import re
from collections import Counter

LINE = re.compile(
    r'(?P<host>\S+) \S+ \S+ \[[^\]]+\] "(?P<method>[A-Z]+) (?P<path>\S+)[^"]*" (?P<status>\d{3}) (?P<size>\d+|-)'
    r'(?: "[^"]*" "[^"]*")?(?: (?P<seconds>\d+\.\d+))?'
)


def percentile(values: list[float], share: float) -> float:
    """The smallest value that at least this share of the values does not exceed; 0 of no values."""
    ordered = sorted(values)
    rank = max(0, -int(-share * len(ordered) // 1) - 1)
    return ordered[rank] if ordered else 0.0


def parse_access_log(text: str, top: int = 3, slow: float = 1.0, max_unreadable: float = 0.5) -> dict:
    """Requests, errors, traffic, latency and busiest paths of a log.

    Raises ValueError when more than the share `max_unreadable` of its lines are in another format.
    """
    unreadable = 0
    traffic = 0
    seconds = []
    slow_paths = []
    statuses = Counter()
    paths = Counter()
    lines = [line for line in text.splitlines() if line.strip()]
    for line in lines:
        match = LINE.match(line.strip())
        if match is None:
            unreadable += 1
            continue
        # the query is left out: it splits one page into thousands, and may hold what should not be reported
        path = match["path"].split("?")[0]
        paths[path] += 1
        statuses[match["status"][0] + "xx"] += 1
        if match["size"] != "-":
            traffic += int(match["size"])
        if match["seconds"] is not None:
            seconds.append(float(match["seconds"]))
            if seconds[-1] > slow:
                slow_paths.append(path)
    if unreadable > max_unreadable * len(lines):
        raise ValueError(f"{unreadable} of {len(lines)} lines are not in the combined log format")
    return {
        "requests": paths.total(),
        "unreadable": unreadable,
        "statuses": dict(sorted(statuses.items())),
        "error_share": round(statuses["5xx"] / max(1, paths.total()), 4),
        "bytes": traffic,
        "p95": percentile(seconds, 0.95),
        "slow": sorted(set(slow_paths)),
        "top": sorted(paths.items(), key=lambda item: (-item[1], item[0]))[:top],
    }
