"""Show what the runs of this project do and did, from any terminal: it needs no lock and changes nothing.

Run: python scripts/status.py [--watch] [--json]      in the folder of the project, as `snakemake` does
"""

import argparse
import json
import sys
import time
from pathlib import Path

import yaml
from dreamflow.run_status import read_status
from dreamflow.status_text import status_text

WATCH_S = 1.0
HOME = "\x1b[H\x1b[J"  # the top of the screen, cleared


def main() -> None:
    """Print the status, once or again and again."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--watch", action="store_true", help="show it again every second, until Ctrl-C")
    parser.add_argument("--json", action="store_true", help="as JSON (see dreamflow/run_status.py: read_status)")
    parser.add_argument("--data", type=Path, help="the data folder; default: data_root of config/config.yaml")
    options = parser.parse_args()
    root = options.data or _data_root()
    if not root.is_dir():
        sys.exit(f"{root}: no such folder. Call it in the folder of the project, or name the folder with --data")
    try:
        while True:
            status = read_status(root)
            text = json.dumps(status, ensure_ascii=False) if options.json else status_text(status)
            print((HOME if options.watch and not options.json and sys.stdout.isatty() else "") + text, flush=True)
            if not options.watch:
                return
            time.sleep(WATCH_S)
    except (KeyboardInterrupt, BrokenPipeError):
        return


def _data_root() -> Path:
    """The data folder of the configuration. A broken one is not checked here: then it is the usual folder."""
    try:
        settings = yaml.safe_load(Path("config/config.yaml").read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError):
        settings = None
    root = settings.get("data_root") if isinstance(settings, dict) else None
    return Path(root if isinstance(root, str) else "data")


if __name__ == "__main__":
    main()
