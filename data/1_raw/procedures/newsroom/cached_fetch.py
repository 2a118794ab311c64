"""Pages of other sites, kept for a while, and used for longer when the site is down."""

import hashlib
import json
import logging
import time
import urllib.request
from pathlib import Path

log = logging.getLogger("newsroom.cache")


def now() -> float:
    """Seconds since 1970."""
    return time.time()


def download(host: str, path: str, timeout: float) -> str:
    """The text at a path of a site; OSError when it cannot be had."""
    with urllib.request.urlopen(f"https://{host}/{path}", timeout=timeout) as response:
        return response.read().decode("utf-8", "replace")


def read_entry(file: Path) -> dict | None:
    """The entry in a file of the cache; None where there is none that can be read."""
    try:
        entry = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return entry if isinstance(entry, dict) and {"saved", "text"} <= entry.keys() else None


def cached_fetch(
    host: str,
    path: str = "",
    folder: str = "cache",
    ttl: float = 900,
    stale: float = 86400,
    retries: int = 1,
    timeout: float = 10,
) -> dict:
    """{text, source, age}: a page not older than `ttl` seconds from the cache, else from the site.

    When the site fails `retries` + 1 times, an entry not older than `stale` seconds is better than nothing; without
    one the last OSError is raised.
    """
    key = hashlib.sha256(f"{host}/{path}".encode()).hexdigest()[:8]
    file = Path(folder, f"{key}.json")
    entry = read_entry(file)
    moment = now()
    age = moment - entry["saved"] if entry else None
    if entry and 0 <= age <= ttl:
        return {"text": entry["text"], "source": "cache", "age": age}
    for attempt in range(retries + 1):
        try:
            text = download(host, path, timeout=timeout)
            break
        except OSError as error:
            log.warning("%s/%s: %s", host, path, error)
            if attempt == retries:
                if entry and age <= stale:
                    return {"text": entry["text"], "source": "stale", "age": age}
                raise
            time.sleep(0.5 * (attempt + 1))
    file.parent.mkdir(parents=True, exist_ok=True)
    new = file.with_suffix(".new")
    new.write_text(json.dumps({"saved": moment, "text": text}), encoding="utf-8")
    new.replace(file)
    return {"text": text, "source": "site", "age": 0}
