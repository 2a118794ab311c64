"""A cohort as an RO-Crate 1.1: its inputs, its generations, what they say, the workflow, which model made what when.

Research Object Crates (https://w3id.org/ro/crate/1.1) describe files and their origin as JSON-LD. The crate is written
from what exists, and no service is asked. Who wrote concepts and templates is not known, so it names no author.
"""

import csv
import io
import shutil
from collections import defaultdict
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import UNSET

from .. import __version__
from ..errors import DreamflowError
from ..files import pretty, read_text, write_atomic
from ..generation.catalog import LEVELS, Catalog
from ..generation.layout import Layout
from ..generation.make import read_result
from ..generation.model import Result
from ..public_text import public_text
from .compile import Cohort

if TYPE_CHECKING:
    from rocrate.model import ContextEntity
    from rocrate.rocrate import ROCrate

VERSION = "1.1"
COLUMNS = (
    *("gen_id", "stage", "status", "reason", "mode", "template_id", "model_id", "provider", "model_name", "parents"),
    *("combo_id", "replicate", "prompt_tokens", "completion_tokens", "cost_usd", "latency_s", "created_at"),
    *("response_key", "inputs_sha256"),
)
_REPOSITORY = Path(__file__).parents[3]
_WORKFLOW_FILES = ("Snakefile", "LICENSE", "CITATION.cff")
_TYPES = {".csv": "text/csv", ".json": "application/json", ".md": "text/markdown", ".txt": "text/plain"}
_TYPES |= {".yaml": "application/yaml"}
_NO_LICENSE = "#no-license"


def write_crate(cohort: Cohort, catalog: Catalog, layout: Layout, folder: Path, says: str) -> str:
    """Write the crate of a cohort into `folder`, which is replaced; returns a line about it. `says` is what its scores
    say in a sentence."""
    made = list(_made(cohort, layout))
    with_files = folder.with_name(f".{folder.name}.files")
    shutil.rmtree(with_files, ignore_errors=True)
    try:
        crate = _crate(cohort, catalog, layout, with_files, made, says)
        shutil.rmtree(folder, ignore_errors=True)
        crate.write(folder)
    finally:
        shutil.rmtree(with_files, ignore_errors=True)
    return f"{folder}/: {len(made):,} of {len(cohort.members):,} generations, by {len(_by_action(made)):,} actions"


def _made(cohort: Cohort, layout: Layout) -> Iterator[Result]:
    """The generations that exist."""
    for facts in cohort.members.values():
        try:
            yield read_result(layout.generation(facts.stage, facts.gen_id))
        except (DreamflowError, OSError):
            continue


def _crate(cohort: Cohort, catalog: Catalog, layout: Layout, files: Path, made: list[Result], says: str) -> "ROCrate":
    from rocrate.model import ContextEntity
    from rocrate.rocrate import ROCrate

    crate = ROCrate(version=VERSION)
    crate.name = f"Dreamflow cohort {cohort.cohort_id}"
    crate.description = (
        f"Drafts, essays and evaluations by language models: {len(made):,} of {len(cohort.members):,} planned "
        f"generations. {says} The authors of its concepts and templates are not known."
    )
    crate.datePublished = datetime.now(UTC)
    about = "No license is known for concepts, templates and generated texts; ask whoever gave you this crate."
    crate.license = crate.add(
        ContextEntity(crate, _NO_LICENSE, {"@type": "CreativeWork", "name": "No license", "description": about})
    )
    spec = _text(crate, files, public_text(read_text(cohort.spec_path)), f"cohort/{cohort.spec_path.name}",
                 "The specification of the cohort: what is combined with what, and who judges.")  # fmt: skip
    inputs = [spec, *_inputs(crate, cohort, catalog, files)]
    models = _text(crate, files, pretty(_models(cohort)), "models.json",
                   "The planned models by id: provider, name, revision. It has no keys.")  # fmt: skip
    table = _text(crate, files, _table(made), "generations.csv",
                  "A row for each generation that exists: model, template, parents, tokens, US dollars, seconds and "
                  "time. An empty cell is unknown.")  # fmt: skip
    reports, results = layout.root / "cohorts" / cohort.cohort_id, layout.root / "results" / cohort.cohort_id
    outputs = [table, *_copies(crate, reports, "tables", "*.json"), *_copies(crate, reports, "tables", "*.csv")]
    outputs += [*_copies(crate, reports / "reports", "tables", "**/*.csv")]
    outputs += [*_copies(crate, reports / "reports", "tables", "**/*.md"), *_copies(crate, results, "results", "*.md")]
    workflow = _workflow(crate)
    _actions(crate, made, [*inputs, models], table, workflow)
    run = {"name": "Tables and best texts", "description": "The scores were collected and compared."}
    crate.add_action(workflow, "#tables", object=[table, spec], result=_one(outputs[1:] or [table]), properties=run)
    return crate


def _text(crate: "ROCrate", files: Path, text: str, path: str, description: str) -> "ContextEntity":
    """A file with this text in the crate."""
    source = files / path
    write_atomic(source, text)
    return _file(crate, source, path, description)


def _file(crate: "ROCrate", source: Path, path: str, description: str) -> "ContextEntity":
    kind = _TYPES.get(source.suffix, "text/plain")
    about = {
        "name": path,
        "description": description,
        "encodingFormat": kind,
        "contentSize": str(source.stat().st_size),
    }
    return crate.add_file(source, path, properties=about)


def _inputs(crate: "ROCrate", cohort: Cohort, catalog: Catalog, files: Path) -> Iterator["ContextEntity"]:
    """The templates and concepts of the cohort."""
    templates = {(facts.stage, facts.template_id) for facts in cohort.members.values() if facts.template_id}
    for stage, template_id in sorted(templates):
        source = catalog.root / "templates" / stage / f"{template_id}.txt"
        if source.is_file():
            yield _file(
                crate, source, f"templates/{stage}/{template_id}.txt", f"A template of the prompts for {stage}s."
            )
    for concept_id in sorted({concept for combo in cohort.combos.values() for concept in combo.concept_ids}):
        for level in LEVELS:
            source = catalog.root / "concepts" / f"descriptions-{level}" / f"{concept_id}.txt"
            if source.is_file():
                yield _file(crate, source, f"concepts/{level}/{concept_id}.txt", f"A concept, described in a {level}.")
    combos = [[combo.combo_id, *combo.concept_ids] for combo in cohort.combos.values()]
    if combos:
        text = "".join(f"{combo_id},{' '.join(concepts)}\n" for combo_id, *concepts in sorted(combos))
        yield _text(
            crate, files, f"combo_id,concept_ids\n{text}", "concepts/combinations.csv", "Which concepts are combined."
        )


def _models(cohort: Cohort) -> dict[str, dict[str, object]]:
    """What decides the answers of each planned model, without what may be secret."""
    models: dict[str, dict[str, object]] = {}
    for row in cohort.generations.values():
        for candidate in row.candidates:
            model = candidate.model
            about = {"provider": model.provider, "name": model.name, "revision": model.revision}
            models.setdefault(model.model_id, about | ({"lora": model.lora} if model.lora is not UNSET else {}))
    return models


def _table(made: list[Result]) -> str:
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(COLUMNS)
    for result in made:
        known = {
            "parents": " ".join(result.parents),
            "combo_id": result.wildcards.get("combo_id", ""),
            "prompt_tokens": result.usage.prompt if result.model_id else None,
            "completion_tokens": result.usage.completion if result.model_id else None,
        }
        writer.writerow([known[name] if name in known else getattr(result, name) for name in COLUMNS])
    return stream.getvalue()


def _copies(crate: "ROCrate", folder: Path, place: str, pattern: str) -> Iterator["ContextEntity"]:
    """The files of a folder that match, as files below `place`."""
    for source in sorted(folder.glob(pattern)):
        path = f"{place}/{source.relative_to(folder).as_posix()}"
        yield _file(crate, source, path, "A table of the cohort." if place == "tables" else "A page of the results.")


def _workflow(crate: "ROCrate") -> "ContextEntity":
    """The workflow: its main file, license and version."""
    from rocrate.model import ContextEntity

    language = crate.add(
        ContextEntity(
            crate,
            "https://snakemake.readthedocs.io",
            {"@type": "ComputerLanguage", "name": "Snakemake", "url": "https://snakemake.readthedocs.io"},
        )
    )
    about = {
        "@type": ["File", "SoftwareSourceCode"],
        "name": "Dreamflow",
        "version": __version__,
        "license": "https://spdx.org/licenses/Apache-2.0",
        "encodingFormat": "text/plain",
        "description": "The main file of the workflow that made this cohort.",
    }
    main, *others = (_REPOSITORY / name for name in _WORKFLOW_FILES)
    workflow = crate.add_file(main, f"workflow/{main.name}", properties=about)
    workflow["programmingLanguage"] = language
    crate.mainEntity = workflow
    for other in others:
        if other.exists():
            _file(crate, other, f"workflow/{other.name}", "A file about the workflow.")
    return workflow


def _by_action(made: list[Result]) -> dict[tuple[str, str], list[Result]]:
    """Generations by their stage and the model that answered ("": made without a model)."""
    groups: dict[tuple[str, str], list[Result]] = defaultdict(list)
    for result in made:
        groups[result.stage, result.model_id or ""].append(result)
    return groups


def _actions(
    crate: "ROCrate",
    made: list[Result],
    inputs: list["ContextEntity"],
    table: "ContextEntity",
    workflow: "ContextEntity",
) -> None:
    """An action for each stage and model: the model is its instrument; its times are those of the first and the last
    answer."""
    from rocrate.model import ContextEntity

    models: dict[str, ContextEntity] = {}
    for number, ((stage, model_id), group) in enumerate(sorted(_by_action(made).items()), start=1):
        instruments = [workflow]
        if model_id:
            if model_id not in models:
                names = sorted({f"{one.provider}: {one.model_name}" for one in group if one.model_name})
                about = {"@type": "SoftwareApplication", "name": model_id, "description": "; ".join(names) or model_id}
                models[model_id] = crate.add(ContextEntity(crate, f"#model-{len(models) + 1}", about))
            instruments.append(models[model_id])
        times = sorted(one.created_at for one in group if one.created_at)
        failed = sum(one.status != "ok" for one in group)
        tokens = sum(one.usage.prompt + one.usage.completion for one in group)
        costs = [one.cost_usd for one in group if one.cost_usd is not None]
        words = f"{len(group):,} generations of the stage {stage}, {failed:,} without a text; {tokens:,} tokens"
        words += f"; {sum(costs):.4f} US dollars" if costs else ""
        about = {"name": f"{stage} by {model_id or 'no model'}", "description": f"{words}. See generations.csv."}
        about |= {"startTime": times[0], "endTime": times[-1]} if times else {}
        crate.add_action(_one(instruments), f"#{stage}-{number}", object=_one(inputs), result=table, properties=about)


def _one(entities: list["ContextEntity"]) -> "ContextEntity | list[ContextEntity]":
    """A single entity without a list, as the recommendation has it."""
    return entities[0] if len(entities) == 1 else entities
