"""Batches: the conversations whose archives one job makes. A job each would be slow for thousands of conversations.

    data/talks/made/many/<hash>.json, one/<conversation>.json

Conversations that rules chunk are divided by a hash of their ids. One that a model chunks has a batch of its own, so a
call that fails holds up no other conversation. The file of a batch says what each archive was made from.
"""

from collections.abc import Iterator, Mapping, Sequence
from hashlib import sha256
from pathlib import Path

from ..errors import DreamflowError
from ..files import canonical, pretty, read_json, write_atomic
from ..generation.layout import Layout
from ..generation.model import Json
from . import products
from .archive import is_broken
from .compile import Chunking, windows_of

MADE = "made"
_MANY, _ONE = "many", "one"
_SIZE = 20  # conversations of a batch, up to 256 batches: the start of a run takes a millisecond for each


def batches_of(spec_of: Mapping[str, Chunking]) -> dict[str, list[str]]:
    """The conversations of each batch."""
    many = [name for name, chunking in spec_of.items() if not chunking.has_basic]
    digits = 0 if len(many) <= _SIZE else 1 if len(many) <= 16 * _SIZE else 2
    batches: dict[str, list[str]] = {f"{_ONE}/{name}": [name] for name in spec_of if spec_of[name].has_basic}
    for name in many:
        batches.setdefault(f"{_MANY}/b{sha256(name.encode()).hexdigest()[:digits]}", []).append(name)
    return batches


def batch_path(talks: Path, batch: str) -> Path:
    """The file of a batch."""
    return talks / MADE / f"{batch}.json"


def batch_job(spec_of: Mapping[str, Chunking], names: Sequence[str]) -> str:
    """What decides the archives of a batch besides the answers, as JSON."""
    return canonical({name: _origin(spec_of[name], name) for name in names})


def _origin(chunking: Chunking, name: str) -> Json:
    """What decides an archive and its page besides the answers: the conversation and its windows."""
    rows = chunking.generations[name]
    windows = {row.gen_id: [w.first, w.last] for row, w in zip(rows, windows_of(rows), strict=True)}
    return [products.VERSION, chunking.talks[name].digest, windows]


def is_incomplete(home: Path) -> bool:
    """Whether a file of an archived conversation is lost, unreadable or older than what it is made from."""
    manifest, page = home / "manifest.json", home / "chunks.html"
    try:
        return page.stat().st_mtime_ns < manifest.stat().st_mtime_ns or is_broken(manifest)
    except FileNotFoundError:
        return True


def make_batch(
    spec_of: Mapping[str, Chunking], names: Sequence[str], path: Path, talks: Path, folder: Path, layout: Layout
) -> None:
    """Write the archives and pages of a batch, as far as they are not as they should be, and its file. Raises a
    `DreamflowError` about those that cannot be made, when all others are made."""
    before = dict(_made(talks)) if path.parent.name == _MANY else {}
    made, problems = {}, []
    for name in names:
        chunking, home = spec_of[name], folder / name
        origin = _origin(chunking, name)
        try:
            if chunking.has_basic or before.get(name) != origin or is_incomplete(home):
                products.make_archive(chunking, name, home, layout)
                products.write_page(chunking, name, home)
            made[name] = origin
        except (DreamflowError, OSError) as error:
            problems.append(str(error))
    write_atomic(path, pretty(made))
    if problems:
        raise DreamflowError("\n".join(problems))


def _made(talks: Path) -> Iterator[tuple[str, Json]]:
    """What the archives were made from, by the files of all batches, which may be those of another division."""
    for path in (talks / MADE / _MANY).glob("*.json"):
        try:
            yield from read_json(path).items()
        except (DreamflowError, AttributeError):  # they are made again
            continue


def remove_others(talks: Path, batches: Mapping[str, Sequence[str]]) -> None:
    """Remove the files of batches that are not there any more."""
    kept = {batch_path(talks, batch) for batch in batches}
    for path in (talks / MADE).glob("*/*.json"):
        if path not in kept:
            path.unlink(missing_ok=True)
