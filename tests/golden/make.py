"""Make the golden files again: `python tests/golden/make.py --update`.

A deliberate act: what is frozen says that ids, keys, files and reports of existing projects stay as they are, and that
their paid answers are found again. Only make them again for a change of behaviour that is wanted and is said in the
commit; else find out why they differ. `--code FOLDER` runs another checkout of the workflow.
"""

import argparse
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from golden.frozen import FROZEN, REPOSITORY, new_project, run, save, written


def main() -> None:
    """Run the golden project and keep what it writes; without `--update`, only say what that needs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--update", action="store_true", help="replace the golden files")
    parser.add_argument("--code", type=Path, default=REPOSITORY, help="the checkout that runs")
    options = parser.parse_args()
    if not options.update:
        parser.error("nothing done: say --update to replace the golden files")
    with tempfile.TemporaryDirectory() as folder:
        root = new_project(Path(folder) / "project")
        run(root, options.code)
        files = written(root)
    save(files)
    print(f"{len(files)} files in {FROZEN}")


if __name__ == "__main__":
    main()
