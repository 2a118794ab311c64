"""Renew the lock files (`make lock`): resolve each envs/<name>.in with pip and write all packages to <name>.txt.

The other lock files do not repeat the packages of base.txt.
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).parent
LOCKS = ("base", "local_models", "dev", "cluster", "distill", "agents", "telemetry", "export")


def resolve(requirements: Path) -> list[str]:
    """`name==version` of all packages that pip would install into an empty environment, sorted."""
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--dry-run", "--ignore-installed"]
    with tempfile.NamedTemporaryFile(suffix=".json") as report:
        subprocess.run([*pip, "--report", report.name, "--requirement", requirements], check=True)  # noqa: S603
        packages = json.loads(Path(report.name).read_text(encoding="utf-8"))["install"]
    pins = (f"{item['metadata']['name']}=={item['metadata']['version'].split('+')[0]}" for item in packages)
    return sorted(pins, key=str.lower)


def main() -> None:
    """Write all lock files; base first, since the others are constrained by it."""
    base: list[str] = []
    for name in LOCKS:
        pins = [pin for pin in resolve(HERE / f"{name}.in") if pin not in base]
        base = base or pins
        head = f"# Made from {name}.in by `make lock`.\n"
        (HERE / f"{name}.txt").write_text(head + "\n".join(pins) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
