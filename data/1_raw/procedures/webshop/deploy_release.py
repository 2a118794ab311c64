"""Puts a build live and goes back to the release before it when the site does not come up."""

import http.client
import re
import shutil
import time
import urllib.request
from pathlib import Path

VERSION = re.compile(r"\d+\.\d+\.\d+")


def is_healthy(host: str, timeout: float) -> bool:
    """Whether the site on `host` answers its health check with 200."""
    try:
        with urllib.request.urlopen(f"http://{host}/health", timeout=timeout) as response:
            return response.status == 200
    except (OSError, ValueError, http.client.HTTPException):
        return False


def switch(root: Path, version: str) -> None:
    """Make `version` the live release; in one step, so that no request finds half a name."""
    new = root / "current.new"
    new.write_text(version + "\n", encoding="utf-8")
    new.replace(root / "current")


def deploy_release(
    version: str, host: str, build: str = "build", site: str = "site", checks: int = 3, delay: float = 2, keep: int = 3
) -> dict:
    """Copy a build to <site>/releases/<version>, switch to it, check it, and keep the newest `keep` releases.

    Returns {live, rolled_back, deleted}. Raises ValueError for a bad version or an incomplete build, and
    FileExistsError for a version that was deployed before.
    """
    if not VERSION.fullmatch(version):
        raise ValueError(f"not a version such as 1.4.0: {version!r}")
    root = Path(site)
    if not (Path(build) / "index.html").is_file():
        raise ValueError("the build has no index.html")
    target = root / "releases" / version
    live = root / "current"
    previous = live.read_text(encoding="utf-8").strip() if live.exists() else ""
    shutil.copytree(build, target)
    switch(root, version)
    healthy = False
    for attempt in range(checks):
        if is_healthy(host, timeout=5.0):
            healthy = True
            break
        time.sleep(delay * 2**attempt)
    if not healthy:
        if previous:
            switch(root, previous)
        else:
            live.unlink()
        shutil.rmtree(target)
        return {"live": previous, "rolled_back": True, "deleted": []}
    deleted = []
    releases = [folder for folder in target.parent.iterdir() if VERSION.fullmatch(folder.name)]
    # by number: 1.10.0 comes after 1.9.0
    releases.sort(key=lambda folder: [int(part) for part in folder.name.split(".")], reverse=True)
    for old in releases[keep:]:
        # after a step back the live release need not be the newest
        if old.name != version:
            shutil.rmtree(old)
            deleted.append(old.name)
    return {"live": version, "rolled_back": False, "deleted": deleted}
