"""The replay set: the experiences that a student learns from, and the tasks to measure it on.

Tasks of one group (of one template) are similar, so groups are split, not tasks: no template is both trained on and
measured. Within the groups to learn from, tasks are chosen by the salience of their experiences (prioritised replay;
Schaul et al. 2016), kinds in turn. A share is general replay, of other kinds, against forgetting (Robins 1995).
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NotRequired, TypedDict

from ..errors import DreamflowError
from ..files import jsonl, pretty, sha256, write_atomic
from ..generation.model import Generation, Json
from ..tasks.graders import Task
from .compile import Distillation, replay_counts, split_groups
from .data_card import data_card, summarise
from .experiences import Experience, load_experiences
from .likeness import near_duplicates, plain

Role = Literal["target", "general"]


class ReplayRow(TypedDict):
    """A line of replay.jsonl: a task with its most salient experience. `role`: whether its kind is to be learned
    (target) or preserved (general)."""

    task_id: str
    kind: str
    group: str
    salience: float
    experience_id: str
    task: Task
    split: NotRequired[Literal["train", "validation"]]
    role: NotRequired[Role]


@dataclass(frozen=True)
class Replay:
    """A replay set. `rows` are sorted by salience; `held_out` and `general` are tasks to measure only, of the kinds to
    learn and of the others; `card` is the data card as Markdown, `summary` its numbers."""

    rows: list[ReplayRow]
    held_out: list[Task]
    general: list[Task]
    card: str
    summary: dict[str, Json]


def write_replay_set(distillation: Distillation, practice: Mapping[str, Generation]) -> None:
    """Choose and write the replay set of a distillation. replay.jsonl, which makes the teacher's answers known, is
    last."""
    settings, folder = distillation.spec.replay.as_dict(), distillation.folder
    experiences = load_experiences(distillation.world.layout.root, distillation.spec.cycle)
    own = [row for row in experiences if row["gen_id"] in practice]
    replay = replay_set(own, list(distillation.tasks.values()), settings, settings["seed"])
    write_atomic(folder / "held_out.jsonl", jsonl(replay.held_out))
    write_atomic(folder / "general.jsonl", jsonl(replay.general))
    write_atomic(folder / "replay.json", pretty(replay.summary))
    write_atomic(folder / "data_card.md", replay.card)
    write_atomic(folder / "replay.jsonl", jsonl(replay.rows))


def replay_set(
    experiences: Sequence[Experience], tasks: Sequence[Task], settings: Mapping[str, Json], seed: int
) -> Replay:
    """Choose tasks to learn from and to measure on; `settings` are the section `replay` of a spec.

    Raises a `ConfigError` if the groups of a kind cannot be split, and a `DreamflowError` if a kind to learn has no
    tasks in a split.
    """
    roles = {task["kind"]: "target" if task["kind"] in settings["kinds"] else "general" for task in tasks}
    groups = split_groups({task["group"] for task in tasks}, settings["validation"], settings["held_out"], seed)
    measured = {
        role: _in_turn(
            [task for task in tasks if groups[task["group"]] == "held_out" and roles[task["kind"]] == role], size, seed
        )
        for role, size in (("target", settings["held_out_size"]), ("general", settings["general_size"]))
    }
    candidates, left_out = _candidates(experiences, tasks, groups, settings["min_salience"], seed)
    kept = _distinct(candidates, [*measured["target"], *measured["general"]], settings["near_duplicate"], left_out)
    rows: list[ReplayRow] = []
    for split, counts in replay_counts(settings["size"], settings["validation"], settings["general_share"]).items():
        for role, count in counts.items():
            available = [row for row in kept if groups[row["group"]] == split and roles[row["kind"]] == role]
            rows += [{**row, "split": split, "role": role} for row in _balanced(available, count)]
    rows.sort(key=_by_salience(seed))
    left_out["not chosen: less salient than what was"] = len(kept) - len(rows)
    _check_filled(rows, settings["kinds"], left_out)
    sets = {"held_out": measured["target"], "general": measured["general"]}
    check_no_leak(rows, **sets, near_duplicate=settings["near_duplicate"])
    summary = summarise(rows, sets, groups, left_out, experiences, tasks, settings, seed)
    return Replay(rows, **sets, card=data_card(summary), summary=summary)


def _in_turn(tasks: Sequence[Task], size: int, seed: int) -> list[Task]:
    """Return at most `size` tasks: kinds in turn, within a kind groups in turn, within a group in an order drawn by
    the seed. A larger size only adds tasks."""
    in_group = _numbered(sorted(tasks, key=lambda task: _draw(seed, task["task_id"])), "group")
    in_group.sort(key=lambda numbered: (numbered[0], _draw(seed, numbered[1]["group"])))
    in_kind = _numbered([task for _, task in in_group], "kind")
    in_kind.sort(key=lambda numbered: (numbered[0], numbered[1]["kind"]))
    return [task for _, task in in_kind[:size]]


def _numbered(rows: Iterable[Mapping[str, Json]], key: str) -> list[tuple[int, Mapping[str, Json]]]:
    """Number the rows with the same value of `key` from 0 on."""
    counts: Counter[str] = Counter()
    numbered = []
    for row in rows:
        numbered.append((counts[row[key]], row))
        counts[row[key]] += 1
    return numbered


def _draw(seed: int, name: str) -> str:
    return sha256(f"{seed}:{name}")


def _by_salience(seed: int) -> Callable[[ReplayRow], tuple[float, str]]:
    return lambda row: (-row["salience"], _draw(seed, row["task_id"]))


def _candidates(
    experiences: Sequence[Experience], tasks: Sequence[Task], groups: Mapping[str, str], min_salience: float, seed: int
) -> tuple[list[ReplayRow], dict[str, int]]:
    """Return a row per task to learn from with its most salient experience, by salience; and counts of the others."""
    best: dict[str | None, Experience] = {}
    for experience in sorted(experiences, key=lambda row: row["experience_id"]):
        previous = best.setdefault(experience["task_id"], experience)
        if _salience(experience) > _salience(previous):
            best[experience["task_id"]] = experience
    to_learn = [task for task in tasks if groups[task["group"]] != "held_out"]
    experienced = [task for task in to_learn if task["task_id"] in best]
    salient = [task for task in experienced if _salience(best[task["task_id"]]) >= min_salience]
    left_out = {
        "in groups that are held out": len(tasks) - len(to_learn),
        "without an experience": len(to_learn) - len(experienced),
        f"of a salience below {min_salience:g}": len(experienced) - len(salient),
    }
    rows: list[ReplayRow] = []
    for task in salient:
        experience = best[task["task_id"]]
        same = {key: task[key] for key in ("task_id", "kind", "group")}
        source = {"salience": _salience(experience), "experience_id": experience["experience_id"]}
        rows.append({**same, **source, "task": dict(task)})
    return sorted(rows, key=_by_salience(seed)), left_out


def _salience(experience: Experience) -> float:
    return experience["salience"] or 0.0  # null if no signal has a weight


def _distinct(
    rows: Sequence[ReplayRow], measured: Sequence[Task], min_likeness: float, left_out: dict[str, int]
) -> list[ReplayRow]:
    """Return the rows whose prompts differ from those of `measured` tasks and of kept rows before them."""
    prompts = [task["prompt"] for task in measured] + [row["task"]["prompt"] for row in rows]
    similar = near_duplicates(prompts, min_likeness)
    kept: set[int] = set()
    counts = {"like a task that is measured": 0, "like a more salient task": 0}
    for number in range(len(measured), len(prompts)):
        if any(other < len(measured) for other in similar[number]):
            counts["like a task that is measured"] += 1
        elif kept.intersection(similar[number]):
            counts["like a more salient task"] += 1
        else:
            kept.add(number)
    left_out.update(counts)
    return [rows[number - len(measured)] for number in sorted(kept)]


def _balanced(rows: Sequence[ReplayRow], count: int) -> list[ReplayRow]:
    """Return the first `count` rows, kinds in turn."""
    numbered = sorted(_numbered(rows, "kind"), key=lambda numbered: numbered[0])  # stable: keeps the order by salience
    return [row for _, row in numbered[:count]]


def _check_filled(rows: Sequence[ReplayRow], kinds: Sequence[str], left_out: Mapping[str, int]) -> None:
    for split in ("train", "validation"):
        empty = sorted(set(kinds) - {row["kind"] for row in rows if row["split"] == split})
        if empty:
            steps = "; ".join(f"{count} {step}" for step, count in left_out.items() if count)
            raise DreamflowError(
                f"the replay set has no {split} tasks of the kind {', '.join(empty)}. Tasks left out: "
                f"{steps or 'none'}. Let a model answer more tasks of these kinds, lower min_salience or raise size"
            )


def check_no_leak(
    rows: Sequence[ReplayRow], held_out: Sequence[Task], general: Sequence[Task], near_duplicate: float = 0.9
) -> None:
    """Raise a `DreamflowError` if train, validation and measured tasks share a group or a prompt.

    Prompts with a likeness of `near_duplicate` or more count as the same.
    """
    placed = [(row["split"], row["task"]) for split in ("train", "validation") for row in rows if row["split"] == split]
    placed += [("held_out", task) for task in held_out] + [("general", task) for task in general]
    similar = near_duplicates([task["prompt"] for _, task in placed], near_duplicate)
    first_of: dict[str, int] = {}
    problems = []
    for number, (split, task) in enumerate(placed):
        others = (first_of.setdefault(task["group"], number), *similar[number])
        leaks = (placed[other] for other in others if other < number and _must_differ(placed[other][0], split))
        if leak := next(leaks, None):
            other_split, other = leak
            problems.append(f"{task['task_id']} ({split}) {_shared(task, other)} {other['task_id']} ({other_split})")
    if problems:
        more = f"; and {len(problems) - 10} more" if len(problems) > 10 else ""
        raise DreamflowError(f"the splits leak: {'; '.join(problems[:10])}{more}")


def _must_differ(split: str, other: str) -> bool:
    """Return whether two splits must share nothing; the two measured sets may."""
    return split != other and {split, other} != {"held_out", "general"}


def _shared(task: Task, other: Task) -> str:
    if task["group"] == other["group"]:
        return f"has the same group, {task['group']}, as"
    same = plain(task["prompt"]) == plain(other["prompt"])
    return "has the same prompt as" if same else "has nearly the same prompt as"
