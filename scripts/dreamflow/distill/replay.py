"""The replay set: which experiences a student learns from again, and on what it is measured.

Tasks of one group (of one template) are alike, so groups, not tasks, are split: each group is on one side, and what a
student is measured on shares no template with what it learned from. From the groups to learn from, tasks are chosen by
the salience of their experiences (prioritised replay; Schaul et al. 2016), as many of each kind as there are of the
others. A share of them is of kinds that are not to be learned: general replay, against forgetting (Robins 1995).
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from ..errors import ConfigError, DreamflowError
from ..files import jsonl, pretty, sha256, write_atomic
from ..generation.model import Generation, Json
from ..tasks.graders import Task
from .compile import Distillation
from .data_card import data_card, summarise
from .experiences import Experience, load_experiences
from .likeness import near_duplicates, plain
from .rows import ReplayRow
from .split import split_groups


@dataclass(frozen=True)
class Replay:
    """What a distillation learns from and is measured on.

    `rows` come with the most salient first; `held_out` and `general` are tasks that are never trained on, of the kinds
    to learn and of the others; `card` is the data card, Markdown; `summary` has its numbers, plain JSON.
    """

    rows: list[ReplayRow]
    held_out: list[Task]
    general: list[Task]
    card: str
    summary: dict[str, Json]


def write_replay_set(distillation: Distillation, practice: Mapping[str, Generation]) -> None:
    """Choose and write the replay set of a distillation; replay.jsonl, which says what a teacher answers, is last."""
    settings, folder = distillation.spec.replay.as_dict(), distillation.folder
    known = load_experiences(distillation.world.layout.root, distillation.cycle)
    own = [row for row in known if row["gen_id"] in practice]
    replay = replay_set(own, list(distillation.tasks.values()), settings, settings["seed"])
    write_atomic(folder / "held_out.jsonl", jsonl(replay.held_out))
    write_atomic(folder / "general.jsonl", jsonl(replay.general))
    write_atomic(folder / "replay.json", pretty(replay.summary))
    write_atomic(folder / "data_card.md", replay.card)
    write_atomic(folder / "replay.jsonl", jsonl(replay.rows))


def replay_set(
    experiences: Iterable[Experience], tasks: Sequence[Task], settings: Mapping[str, Json], seed: int
) -> Replay:
    """Choose from `experiences` (see `experiences`) those to learn from again, of `tasks`.

    `settings`: kinds (to learn), size (rows), general_share (of the rows), min_salience, validation and held_out
    (shares of each kind's groups; validation is that share of the rows, too), held_out_size and general_size (tasks),
    near_duplicate (likeness from which two prompts are one). A `ConfigError` tells of kinds that are not there or
    cannot be split, a `DreamflowError` of a set that would be empty, with what fell out at each step.
    """
    experiences = list(experiences)
    targets = set(settings["kinds"])
    _check_kinds(targets, tasks)
    roles = {task["kind"]: "target" if task["kind"] in targets else "general" for task in tasks}
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
    for split, share in (("train", 1 - settings["validation"]), ("validation", settings["validation"])):
        size = round(settings["size"] * share)
        general = round(size * settings["general_share"])
        for role, wanted in (("target", size - general), ("general", general)):
            there = [row for row in kept if groups[row["group"]] == split and roles[row["kind"]] == role]
            rows += [{**row, "split": split, "role": role} for row in _balanced(there, wanted)]
    rows.sort(key=_by_salience(seed))
    left_out["not chosen: less salient than what was"] = len(kept) - len(rows)
    _check_filled(rows, settings["kinds"], left_out)
    held_out, general = measured["target"], measured["general"]
    check_no_leak(rows, held_out, general, settings["near_duplicate"])
    sets = {"held_out": held_out, "general": general}
    summary = summarise(rows, sets, groups, left_out, experiences, tasks, settings, seed)
    return Replay(rows, held_out, general, data_card(summary), summary)


def _check_kinds(targets: set[str], tasks: Sequence[Task]) -> None:
    there = {task["kind"] for task in tasks}
    if unknown := sorted(targets - there):
        raise ConfigError(f"kinds: there are no tasks of the kind {unknown[0]!r}; there are {', '.join(sorted(there))}")
    if not targets:
        raise ConfigError("kinds: at least one kind of tasks to learn is needed")


def _in_turn(tasks: Sequence[Task], size: int, seed: int) -> list[Task]:
    """At most `size` tasks: of kinds in turn, within a kind of groups in turn, within a group in an order drawn by the
    seed; so a larger size only adds to a smaller one."""
    turns: Counter[str] = Counter()
    in_group: dict[str, int] = {}
    placed = []
    for task in sorted(tasks, key=lambda task: _draw(seed, task["task_id"])):
        in_group[task["task_id"]] = turns[task["group"]]
        turns[task["group"]] += 1
    of_kind: Counter[str] = Counter()
    for task in sorted(tasks, key=lambda task: (in_group[task["task_id"]], _draw(seed, task["group"]))):
        placed.append((of_kind[task["kind"]], task["kind"], task))
        of_kind[task["kind"]] += 1
    placed.sort(key=lambda one: one[:2])
    return [task for *_, task in placed[:size]]


def _draw(seed: int, name: str) -> str:
    return sha256(f"{seed}:{name}")


def _by_salience(seed: int) -> Callable[[ReplayRow], tuple[float, str]]:
    return lambda row: (-row["salience"], _draw(seed, row["task_id"]))


def _candidates(
    experiences: Sequence[Experience],
    tasks: Sequence[Task],
    groups: Mapping[str, str],
    min_salience: float,
    seed: int,
) -> tuple[list[ReplayRow], dict[str, int]]:
    """A row for each task to learn from that was experienced, with its most salient experience; most salient first."""
    known = {task["task_id"] for task in tasks}
    best: dict[str, Experience] = {}
    for one in sorted(experiences, key=lambda one: one["experience_id"]):
        task_id = one["task_id"]
        if task_id in known and (task_id not in best or _salience(one) > _salience(best[task_id])):
            best[task_id] = one
    to_learn = [task for task in tasks if groups[task["group"]] != "held_out"]
    met = [task for task in to_learn if task["task_id"] in best]
    salient = [task for task in met if _salience(best[task["task_id"]]) >= min_salience]
    left_out = {
        "in groups that are held out": len(tasks) - len(to_learn),
        "without an experience": len(to_learn) - len(met),
        f"of a salience below {min_salience:g}": len(met) - len(salient),
    }
    rows = [_row(task, best[task["task_id"]]) for task in salient]
    return sorted(rows, key=_by_salience(seed)), left_out


def _salience(experience: Experience) -> float:
    return experience["salience"] or 0.0  # null where no signal has a weight


def _row(task: Task, experience: Experience) -> ReplayRow:
    return {
        "task_id": task["task_id"],
        "kind": task["kind"],
        "group": task["group"],
        "salience": _salience(experience),
        "experience_id": experience["experience_id"],
        "task": dict(task),
    }


def _distinct(
    rows: Sequence[ReplayRow], measured: Sequence[Task], least: float, left_out: dict[str, int]
) -> list[ReplayRow]:
    """The rows whose prompts are unlike those of `measured` tasks and of the rows kept before them."""
    prompts = [task["prompt"] for task in measured] + [row["task"]["prompt"] for row in rows]
    alike = near_duplicates(prompts, least)
    kept: set[int] = set()
    counts = Counter({"like a task that is measured": 0, "like a more salient task": 0})
    for number in range(len(measured), len(prompts)):
        if any(other < len(measured) for other in alike[number]):
            counts["like a task that is measured"] += 1
        elif kept.intersection(alike[number]):
            counts["like a more salient task"] += 1
        else:
            kept.add(number)
    left_out.update(counts)
    return [rows[number - len(measured)] for number in sorted(kept)]


def _balanced(rows: Sequence[ReplayRow], wanted: int) -> list[ReplayRow]:
    """The first `wanted` rows, as many of each kind as of the others, as far as there are."""
    places: Counter[str] = Counter()
    placed = []
    for row in rows:
        placed.append((places[row["kind"]], row))
        places[row["kind"]] += 1
    placed.sort(key=lambda one: one[0])  # stable: of equal places the more salient row comes first
    return [row for _, row in placed[:wanted]]


def _check_filled(rows: Sequence[ReplayRow], kinds: Sequence[str], left_out: Mapping[str, int]) -> None:
    for split in ("train", "validation"):
        empty = sorted(set(kinds) - {row["kind"] for row in rows if row["split"] == split})
        if empty:
            steps = "; ".join(f"{count} {step}" for step, count in left_out.items() if count)
            raise DreamflowError(
                f"the replay set has no {split} tasks of the kind {', '.join(empty)}. Of all tasks were left out: "
                f"{steps or 'none'}. Let a model answer more tasks of these kinds, lower min_salience or raise size"
            )


def check_no_leak(
    rows: Iterable[ReplayRow], held_out: Sequence[Task], general: Sequence[Task], near_duplicate: float = 0.9
) -> None:
    """A `DreamflowError` with the ids of tasks that are both learned from and measured.

    That is what shares a group, or a prompt, or has a prompt that is alike by `near_duplicate` or more; also between
    the splits train and validation.
    """
    sides: dict[str, list[Task]] = {"train": [], "validation": []}
    for row in rows:
        sides[row["split"]].append(row["task"])
    sides |= {"held_out": list(held_out), "general": list(general)}
    where = [(side, task) for side, members in sides.items() for task in members]
    alike = near_duplicates([task["prompt"] for _, task in where], near_duplicate)
    first_of: dict[str, int] = {}
    for number, (_, task) in enumerate(where):
        first_of.setdefault(task["group"], number)
    problems = []
    for number, (side, task) in enumerate(where):
        earlier = [other for other in (first_of[task["group"]], *alike[number]) if other < number]
        leak = next((where[other] for other in earlier if _apart(where[other][0], side)), None)
        if leak:
            problems.append(f"{task['task_id']} ({side}) {_reason(task, leak[1])} {leak[1]['task_id']} ({leak[0]})")
    if problems:
        more = f"; and {len(problems) - 10} more" if len(problems) > 10 else ""
        raise DreamflowError(f"the splits leak: {'; '.join(problems[:10])}{more}")


def _apart(side: str, other: str) -> bool:
    """Whether two sides must share nothing; both measured ones may be alike."""
    return side != other and {side, other} != {"held_out", "general"}


def _reason(task: Task, other: Task) -> str:
    if task["group"] == other["group"]:
        return f"is of the same group, {task['group']}, as"
    return "has the prompt of" if plain(task["prompt"]) == plain(other["prompt"]) else "has nearly the prompt of"
