"""Which generations one job makes: a pure function of the plan, without jobs that wait for each other in turn."""

import threading
from collections.abc import Sequence
from pathlib import Path

from dreamflow.generation.layout import Layout
from dreamflow.generation.model import Evidence, Generation
from dreamflow.local_queue import LocalQueue
from dreamflow.shard_files import stamp
from dreamflow.shards import MAIN, Group, Segment, assign
from hypothesis import given
from hypothesis import strategies as st

SIZE = 6


def row(gen_id: str, parents: Sequence[str] = (), *, measured: bool = False) -> Generation:
    """A row of a plan; `measured`: it reads what another job measures."""
    return Generation(
        family="f",
        stage="s",
        gen_id=gen_id,
        mode="llm",
        template_id="t",
        template_sha256=None,
        parser="text/1",
        max_attempts=1,
        min_lines=1,
        parents=list(parents),
        evidence=Evidence("x.json", gen_id) if measured else None,
    )


@st.composite
def plans(draw: st.DrawFn) -> tuple[list[Generation], dict[str, str]]:
    """Rows, parents first, and the unit of each."""
    rows: list[Generation] = []
    for number in range(draw(st.integers(1, 40))):
        ids = [each.gen_id for each in rows]
        parents = draw(st.lists(st.sampled_from(ids), max_size=2, unique=True)) if ids else []
        rows.append(row(f"g{number}", parents, measured=draw(st.integers(0, 5)) == 0))
    return rows, {each.gen_id: draw(st.sampled_from("ab")) for each in rows}


def segments_of(rows: Sequence[Generation], units: dict[str, str], size: int = SIZE) -> list[Segment]:
    return list(assign(rows, lambda one: Group(MAIN, units[one.gen_id], size), lambda gen_id: None))


@given(plans())
def test_each_generation_is_in_one_segment_and_no_jobs_wait_in_turn(plan: tuple[list[Generation], dict[str, str]]):
    rows, units = plan
    segments = segments_of(rows, units)
    assert sorted(gen_id for one in segments for gen_id in one.gen_ids) == sorted(each.gen_id for each in rows)
    assert len({one.name for one in segments}) == len(segments)
    of = {gen_id: one for one in segments for gen_id in one.gen_ids}
    for each in rows:
        own = of[each.gen_id]
        assert own.name.startswith(f"{units[each.gen_id]}/s")
        for parent in each.parents:
            if of[parent] is own:
                assert own.gen_ids.index(parent) < own.gen_ids.index(each.gen_id)
                assert each.evidence is None
            else:
                assert of[parent].level < own.level


@given(plans())
def test_the_order_of_rows_is_no_matter(plan: tuple[list[Generation], dict[str, str]]):
    rows, units = plan
    alone = {one.name: set(one.gen_ids) for one in segments_of(rows, units)}
    depth: dict[str, int] = {}
    for each in rows:
        depth[each.gen_id] = 1 + max((depth[parent] for parent in each.parents), default=0)
    ordered = sorted(rows, key=lambda one: (depth[one.gen_id], one.gen_id))
    assert {one.name: set(one.gen_ids) for one in segments_of(ordered, units)} == alone


def chain_rows(numbers: range) -> list[Generation]:
    """A draft, an essay and an evaluation for each number."""
    return [each for n in numbers for each in (row(f"d{n}"), row(f"e{n}", [f"d{n}"]), row(f"v{n}", [f"e{n}"]))]


def test_a_chain_that_comes_changes_one_shard_or_splits_it():
    units = {each.gen_id: "a" for each in chain_rows(range(201))}
    before = {one.name: one.gen_ids for one in segments_of(chain_rows(range(200)), units, 30)}
    after = {one.name: one.gen_ids for one in segments_of(chain_rows(range(201)), units, 30)}
    assert all(len(gen_ids) <= 30 and len(gen_ids) % 3 == 0 for gen_ids in after.values())
    changed = {name for name, gen_ids in after.items() if before.get(name) != gen_ids}
    assert {"d200", "e200", "v200"} <= {gen_id for name in changed for gen_id in after[name]}
    assert len(changed) <= 2
    assert len(before.keys() - after.keys()) <= 1


def test_a_tree_that_is_too_large_for_a_shard_is_cut_at_its_root():
    rows = [row("root"), *(row(f"e{n}", ["root"]) for n in range(100)), *(row(f"v{n}", [f"e{n}"]) for n in range(100))]
    segments = segments_of(rows, {each.gen_id: "a" for each in rows}, 20)
    assert max(len(one.gen_ids) for one in segments) <= 20
    of = {gen_id: one for one in segments for gen_id in one.gen_ids}
    assert all(of[f"e{n}"] is of[f"v{n}"] for n in range(100))
    assert len(segments) < 40


def test_trees_of_two_units_lie_in_like_shards():
    """A cohort that continues the drafts of another waits for the shards with its drafts, not for all."""
    drafts, essays = [row(f"d{n}") for n in range(100)], [row(f"e{n}", [f"d{n}"]) for n in range(100)]
    units = {each.gen_id: each.gen_id[0] for each in (*drafts, *essays)}
    of = {gen_id: one for one in segments_of([*drafts, *essays], units, 20) for gen_id in one.gen_ids}
    waits = {(of[f"e{n}"].name, of[f"d{n}"].name) for n in range(100)}
    assert len(waits) == len({name for name, _ in waits})
    assert {of[f"d{n}"].level for n in range(100)} == {0}
    assert {of[f"e{n}"].level for n in range(100)} == {1}


def test_a_stamp_changes_with_each_file(tmp_path: Path):
    layout = Layout(tmp_path)
    folder = layout.generation("s", "g")
    folder.mkdir(parents=True)
    seen = {stamp(layout, "s", "g")}
    assert seen == {0}
    for name in layout.file_names("s"):
        (folder / name).write_text("one")
    for name in layout.file_names("s"):
        seen.add(stamp(layout, "s", "g"))
        before = (folder / name).stat()
        while (folder / name).stat().st_ctime_ns == before.st_ctime_ns:  # a tick of the clock of the file system
            (folder / name).write_text("two")
    seen.add(stamp(layout, "s", "g"))
    assert len(seen) == 1 + 1 + len(layout.file_names("s"))
    (folder / "metadata.json").unlink()
    assert stamp(layout, "s", "g") == 0


def test_a_model_goes_on_while_it_has_work():
    """Work that comes for the model that is loaded goes before older work for another, and templates stay together."""
    queue, order, has_begun, begin = LocalQueue(1), [], threading.Event(), threading.Event()

    def work(name: str) -> None:
        has_begun.set()
        begin.wait(30)
        order.append(name)
        if name == "a1":
            futures.append(queue.submit("a", "t", lambda: work("a3")))

    futures = [queue.submit("a", "t", lambda: work("a1"))]
    has_begun.wait(30)
    futures += [queue.submit("b", "t", lambda name=name: work(name)) for name in ("b1", "b2", "b3")]
    futures += [
        queue.submit("a", template, lambda name=name: work(name)) for template, name in (("u", "a2"), ("t", "a4"))
    ]
    begin.set()
    for future in list(futures):
        future.result(30)
    assert order == ["a1", "a4", "a3", "a2", "b1", "b2", "b3"]


def test_an_error_goes_to_whom_it_concerns():
    queue = LocalQueue(2)

    def fail() -> None:
        raise ValueError("no")

    failed, good = queue.submit("a", "t", fail), queue.submit("b", "t", lambda: 1)
    assert good.result(30) == 1
    assert isinstance(failed.exception(30), ValueError)
