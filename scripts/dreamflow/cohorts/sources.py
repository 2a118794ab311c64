"""The tables of cohorts in the database: concepts, combinations, members, and scores as a view."""

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..database.schema import Rows, Search, Source, Table, View, below, columns, csv_rows, files, stamp
from ..files import read_text
from ..generation.catalog import LEVELS, read_csv

if TYPE_CHECKING:
    from ..family import World

CONCEPTS = Table(
    "concepts",
    "The concepts in concepts_metadata.csv, with their descriptions.",
    columns("""
        concept_id TEXT the id
        name TEXT the name
        sentence TEXT the shortest description
        paragraph TEXT a longer one
        article TEXT the longest one
        path TEXT the file of the longest one, below the data folder; null if raw_root is elsewhere
    """),
    ("concept_id",),
    search=Search(
        kind="'concepts'",
        id="concept_id",
        title="name",
        date="NULL",
        path="path",
        columns={"name": 3.0, "sentence": 1.0, "article": 1.0, "paragraph": 1.0},
    ),
)
COMBOS = Table(
    "combos",
    "The concepts of each combination (combo_mappings.csv).",
    columns("""
        combo_id TEXT the combination
        concept_id TEXT a concept in it
        description_level TEXT the level of its description
        created_at TEXT when the combination was first used
    """),
    ("combo_id", "concept_id"),
    links={"concept_id": "concepts"},
)
MEMBERS = Table(
    "cohort_members",
    "What a cohort consists of (membership.csv), also what is not made yet.",
    columns("""
        cohort TEXT the cohort
        gen_id TEXT the generation
        stage TEXT its stage
        position INTEGER the place in the plan, from 0
    """),
    ("cohort", "gen_id"),
    indexes=(("gen_id",),),
)
SCORES = View(
    "scores",
    "The evaluations that exist with what they judge, as in a cohort's table of scores.",
    columns("""
        gen_id TEXT the evaluation
        parent_gen_id TEXT the judged text
        evaluation_template TEXT the template of the evaluation
        evaluation_llm_model TEXT the judge
        score REAL on the template's scale
        score_01 REAL rescaled to 0-1
        scale_low REAL the lowest score
        scale_high REAL the highest score
        status TEXT ok, failed, missing (no text), skipped or pending
        reason TEXT why there is no score
        combo_id TEXT the combination of concepts
        draft_template TEXT the template of the draft
        generation_template TEXT the template of the essay
        generation_model TEXT the model that wrote the judged text
        draft_model TEXT the model that wrote the draft
        origin_cohort_id TEXT the cohort that first needed the evaluation
        judged_stage TEXT draft or essay
        draft_gen_id TEXT the draft
        draft_replicate INTEGER its number
        essay_replicate INTEGER the number of the essay
        evaluation_replicate INTEGER the number of the evaluation
        self_judged INTEGER 1: the judge wrote the text or its draft
        cost_usd REAL US dollars of the evaluation
        warnings TEXT its warnings
        judged_title TEXT the first line of the judged text
        evaluation_path TEXT the evaluation, below the data folder
        judged_path TEXT the judged text, below the data folder
    """),
    """SELECT e.gen_id, e.parent_id AS parent_gen_id, e.template_id AS evaluation_template,
    coalesce(e.model_id, '') AS evaluation_llm_model, e.score, e.score_01, e.scale_low, e.scale_high,
    CASE WHEN e.status <> 'ok' THEN e.status WHEN e.text IS NULL THEN 'missing' WHEN e.score IS NULL THEN 'failed'
        ELSE 'ok' END AS status,
    e.score_problem AS reason, coalesce(e.combo_id, d.combo_id, '') AS combo_id,
    coalesce(d.template_id, '') AS draft_template, coalesce(essay.template_id, '') AS generation_template,
    coalesce(essay.model_id, d.model_id, '') AS generation_model, coalesce(d.model_id, '') AS draft_model,
    e.spec AS origin_cohort_id, coalesce(j.stage, '') AS judged_stage, coalesce(d.gen_id, '') AS draft_gen_id,
    d.replicate AS draft_replicate, essay.replicate AS essay_replicate, e.replicate AS evaluation_replicate,
    coalesce(e.model_id IN (d.model_id, essay.model_id), 0) OR EXISTS (
        SELECT 1 FROM models AS judge JOIN models AS writer USING (provider, name)
        WHERE name <> '' AND judge.model_id = e.model_id AND writer.model_id IN (d.model_id, essay.model_id)
    ) AS self_judged,
    e.cost_usd, coalesce(e.warnings, '') AS warnings, j.title AS judged_title, e.path AS evaluation_path,
    j.path AS judged_path
FROM generations AS e
LEFT JOIN generations AS j ON j.gen_id = e.parent_id
LEFT JOIN generations AS essay ON essay.gen_id = j.gen_id AND j.stage = 'essay'
LEFT JOIN generations AS d ON d.gen_id = CASE WHEN j.stage = 'essay' THEN j.parent_id ELSE j.gen_id END
WHERE e.stage = 'evaluation'""",
)
FROM_CONCEPTS = View(
    "from_concepts",
    "Recursive: from each concept to the drafts with it, to their essays and evaluations, and what else follows.",
    columns("""
        concept_id TEXT the concept
        gen_id TEXT a generation that follows from it
        steps INTEGER 1 for a draft, 2 for its essay, 3 for an evaluation of that
        stage TEXT the stage
        model_id TEXT the model
        score REAL the score, of an evaluation
    """),
    """WITH RECURSIVE down (concept_id, gen_id, steps) AS (
    SELECT combos.concept_id, generations.gen_id, 1 FROM combos
    JOIN generations ON generations.combo_id = combos.combo_id AND generations.stage = 'draft'
    UNION SELECT down.concept_id, lineage.gen_id, steps + 1 FROM down JOIN lineage ON lineage.parent_id = down.gen_id
) SELECT down.concept_id, down.gen_id, steps, stage, model_id, score FROM down JOIN generations USING (gen_id)""",
)


def cohort_sources(world: "World") -> list[Source]:
    """The sources of this family."""
    root, raw = world.layout.root, Path(world.settings.raw_root)
    combos, members = files(root, "combo_mappings.csv"), files(root, "cohorts/*/membership.csv")
    return [
        Source(
            "concepts", 1, (CONCEPTS,), lambda: _find_concepts(raw), lambda item: {"concepts": _concepts(raw, root)}
        ),
        Source("combos", 1, (COMBOS,), combos, lambda item: {"combos": csv_rows(root / item)}, (FROM_CONCEPTS,)),
        Source("cohort_members", 1, (MEMBERS,), members, lambda item: _members(root / item), (SCORES,)),
    ]


def _find_concepts(raw: Path) -> Iterable[tuple[str, str]]:
    listed = raw / "concepts_metadata.csv"
    if listed.exists():
        yield listed.name, stamp(listed, *sorted(raw.glob("concepts/descriptions-*/*.txt")))


def _concepts(raw: Path, root: Path) -> Iterable[dict[str, Any]]:
    for row in read_csv(raw / "concepts_metadata.csv", ("concept_id",)).values():
        concept_id = row["concept_id"]
        texts = {level: raw / "concepts" / f"descriptions-{level}" / f"{concept_id}.txt" for level in LEVELS}
        paths = {level: path for level, path in texts.items() if path.exists()}
        found = {level: read_text(path) for level, path in paths.items()}
        longest = next((below(root, path) for path in paths.values()), None)
        yield {"concept_id": concept_id, "name": row.get("name") or concept_id, "path": longest, **found}


def _members(path: Path) -> Rows:
    rows = enumerate(csv_rows(path))
    cohort = path.parent.name
    return {"cohort_members": ({"cohort": cohort, "position": number, **row} for number, row in rows)}
