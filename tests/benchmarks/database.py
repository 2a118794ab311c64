"""The database at scale: `python tests/benchmarks/database.py [FOLDER] [--generations N] [--chunks N]`.

Makes files of that many generations (drafts, essays, evaluations) and chunks (20 in a conversation) of shuffled
sentences of this repository, a fifth of them Chinese or Japanese; then builds the database, updates it and searches in
it. Prints CPU seconds, sizes, and the times of searches: of the query alone, and of the whole process.
"""

import argparse
import json
import random
import re
import resource
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2] / "scripts"))

from dreamflow.chunks.sources import chunk_sources
from dreamflow.database.build import update_database
from dreamflow.database.generations import generation_source
from dreamflow.database.search import search
from dreamflow.files import sha256
from dreamflow.generation.layout import Layout

REPOSITORY = Path(__file__).parents[2]
CHUNKS_EACH, RARE = 20, 997  # chunks of a conversation; one text in so many has the rare words
QUERIES = ("sourdough starter", "model", "the of", "中国", "AI", "AI essay", "発", '"of the model"', "zzzyx", "a")
MODELS = ("small", "large", "judge")


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="?", type=Path, help="where to work (default: a temporary folder)")
    parser.add_argument("--generations", type=int, default=100_000)
    parser.add_argument("--chunks", type=int, default=100_000)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="database-", dir=options.folder) as folder:
        root = Path(folder) / "data"
        make_files(root, options.generations, options.chunks)
        measure(root)


def measure(root: Path) -> None:
    """Build, do nothing, update, search; print figures."""
    path, sources = root / "dreamflow.sqlite", [generation_source(Layout(root)), *chunk_sources(root)]

    def update() -> None:
        update_database(path, sources)

    print(f"build               {cpu(update):7.2f} s CPU, {path.stat().st_size / 1e6:,.0f} MB")
    print(f"nothing new         {cpu(update):7.2f} s CPU")
    folders = sorted((root / "gens/essay").iterdir())[:100]
    for folder in folders:
        (folder / "parsed.txt").write_text(f"{folder.name}: quite another text\n", encoding="utf-8")
    print(f"100 texts changed   {cpu(update):7.2f} s CPU")
    for folder in folders:
        (folder / "metadata.json").unlink()
    print(f"100 results removed {cpu(update):7.2f} s CPU")
    print(f"memory              {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3:7.0f} MB at most")
    for view in ("ancestors", "chunk_labels"):
        sql = f"SELECT count(*) FROM {view}"
        with closing(sqlite3.connect(path)) as connection:
            seconds = cpu(lambda statement=sql: connection.execute(statement).fetchone())
        print(f"view {view:14} {seconds:7.2f} s CPU")
    program = [sys.executable, str(REPOSITORY / "scripts/search.py"), "--limit", "10"]
    for query in QUERIES:
        for kind in ("all", "chunks"):
            seconds = min(cpu(lambda q=query, k=kind: search(path, q, k, 10)) for _ in range(3))
            before = resource.getrusage(resource.RUSAGE_CHILDREN)
            subprocess.run([*program, "--in", kind, query], cwd=root.parent, capture_output=True, check=False)
            after = resource.getrusage(resource.RUSAGE_CHILDREN)
            whole = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
            hits = len(search(path, query, kind, 10))
            print(f"{query:20} in {kind:7} {seconds:6.3f} s query, {whole:6.3f} s process, {hits} hits")


def cpu(work: Callable[[], Any]) -> float:
    """The CPU seconds that work takes."""
    start = time.process_time()
    work()
    return time.process_time() - start


def make_files(root: Path, generations: int, chunks: int) -> None:
    """Write the files of generations and archives."""
    texts = make_texts()
    number = 0
    for chain in range(generations // 4):
        draft, essay = f"d_{chain:016d}", f"e_{chain:016d}"
        number = _generation(root, "draft", draft, [], next(texts), number)
        number = _generation(root, "essay", essay, [draft], next(texts), number)
        for replicate in (1, 2):
            text = f"{next(texts)[:400]}\n\n{(chain + replicate) % 9 + 1}\n"
            number = _generation(root, "evaluation", f"v_{chain:015d}{replicate}", [essay], text, number)
    for conversation in range(chunks // CHUNKS_EACH):
        _archive(root, f"talk-{conversation:05d}", [next(texts) for _ in range(CHUNKS_EACH)])


def make_texts() -> Iterator[str]:
    """Texts of about 1,200 characters, or of 600 Chinese or Japanese ones."""
    shuffle = random.Random(1)
    spaced, unspaced = [], []
    for path in sorted(
        [*REPOSITORY.glob("**/*.md"), *REPOSITORY.glob("data/1_raw/**/*.*"), *REPOSITORY.glob("**/*.py")]
    ):
        for sentence in re.split(r"(?<=[.。!?！？])\s*|\n", path.read_text(encoding="utf-8", errors="ignore")):
            if 20 < len(sentence) < 300 and path.suffix != ".csv":
                (unspaced if re.search("[\u3040-\u9fff]", sentence) else spaced).append(sentence)
    number = 0
    while True:
        number += 1
        source, length = (unspaced, 600) if number % 5 == 0 else (spaced, 1200)
        parts = ["My sourdough starter rises slowly."] if number % RARE == 0 else []
        while sum(map(len, parts)) < length:
            parts.append(shuffle.choice(source))
        if number % RARE == 1:
            parts.insert(1, "AI 中国經濟發展的討論")
        yield " ".join(parts)


def _generation(root: Path, stage: str, gen_id: str, parents: list[str], text: str, number: int) -> int:
    folder = root / "gens" / stage / gen_id
    folder.mkdir(parents=True)
    metadata = {
        "gen_id": gen_id,
        "stage": stage,
        "family": "cohort",
        "mode": "llm",
        "status": "ok",
        "reason": "",
        "template_id": f"{stage}-{number % 3}",
        "parents": parents,
        "wildcards": {"combo_id": f"combo-{number // 40}"},
        "replicate": 1,
        "model_id": MODELS[number % 3],
        "provider": "openai",
        "model_name": MODELS[number % 3],
        "parser_options": {"scale": [0, 9]} if stage == "evaluation" else {},
        "parsed": {"warnings": []},
        "origin_cohort_id": "bench",
        "cost_usd": 0.001,
        "latency_s": 2.5,
        "usage": {"prompt_tokens": 300, "completion_tokens": 300},
        "attempts": [{"error": None, "response_key": sha256(gen_id), "sample": 0}],
        "created_at": f"2026-01-{number % 28 + 1:02d}T00:00:00+00:00",
    }
    (folder / "parsed.txt").write_text(text, encoding="utf-8")
    (folder / "metadata.json").write_text(json.dumps(metadata, indent=2), encoding="utf-8")
    return number + 1


def _archive(root: Path, name: str, texts: list[str]) -> None:
    folder = root / "chunks" / name
    folder.mkdir(parents=True)
    chunks, start = [], 0
    for number, text in enumerate(texts):
        chunks.append(
            {
                "id": f"b_{name}_{number}",
                "content": text,
                "labels": ["bread", "model"],
                "entities": ["Jim Lahey"],
                "summary": text[:100],
                "language": "en",
                "speaker": "user",
                "confidence": 0.5,
                "position_in_parent": number,
                "char_range": [start, start + len(text)],
                "token_range": [number * 300, number * 300 + 300],
                "turn_range": [number + 1, number + 1],
                "time_range": None,
                "quality_level": "basic",
                "method": "rules",
                "llm_used": None,
                "gen_id": None,
                "tokens_used": 0,
                "cost_usd": 0.0,
            }
        )
        start += len(text)
    about = {"title": f"About {name}", "source": f"{name}.md", "turns": len(texts), "tokens": 300 * len(texts)}
    about |= {"usage": {"cost_usd": 0}, "text_sha256": sha256("".join(texts))}
    archive = {"id": f"d_{name}", "conversation_id": name, "version": 1, "quality_level": "basic", "created_at": None}
    versions = {"1": {"status": "active", "superseded_by_version": None, "superseded_at": None}}
    manifest = {"conversation_id": name, "latest_version": 1, "versions": versions}
    (folder / "archive_v1.json").write_text(json.dumps({**archive, "metadata": about, "b_chunks": chunks}))
    (folder / "manifest.json").write_text(json.dumps(manifest))


if __name__ == "__main__":
    main()
