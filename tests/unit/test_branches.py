"""Of the branches of a conversation the one that was seen last is read, and no message is lost to a broken pointer."""

import pytest
from dreamflow.chunks.readers.message import NotUnderstood
from dreamflow.chunks.readers.messages import on_branch
from dreamflow.chunks.readers.tree import branch

CASES = {
    "the current one": ("a- ba1 ca2", "b", "ab"),
    "a current one inside": ("a- ba1 cb2", "b", "ab"),
    "the newest leaf": ("a- ba5 ca2", None, "ab"),
    "a dangling current one": ("a- ba5 ca2", "x", "ab"),
    "of two without times the last": ("a- ba ca", None, "ac"),
    "a leaf without a time has that before it": ("a1 ba9 ca2 db", None, "abd"),
    "two first questions": ("a-1 ba1 c-2 dc2", None, "cd"),
    "a missing parent": ("a-1 ba2 cx3 dc4", None, "abcd"),
    "all after one that is not listed": ("ar1 br2 cb3", None, "bc"),
}


@pytest.mark.parametrize(("nodes", "current", "expected"), CASES.values(), ids=CASES)
def test_branch(nodes, current, expected):
    # Each node is its name, its parent ("-" for none) and its time, if any.
    parents = {node[0]: None if node[1:2] in "-0123456789" else node[1] for node in nodes.split()}
    times = {node[0]: node[-1] and int(node[-1]) * 1e9 for node in nodes.split() if node[-1].isdigit()}
    assert branch(parents, times, current) == list(expected)


def test_messages_in_a_circle():
    with pytest.raises(NotUnderstood, match="form a cycle"):
        branch({"a": "b", "b": "a"}, {})


def test_messages_without_pointers_are_all_read():
    plain = [{"role": "user", "content": "a"}, {"role": "user", "content": "b"}]
    assert on_branch(plain) == [0, 1]
    assert on_branch([{"id": "1"}, {"id": "2"}]) == [0, 1]
    assert on_branch([{"id": "1", "parent": None}, {"id": "2"}, {"id": "3", "parent": "2"}]) == [0, 1, 2]
    newest_first = [{"sender": "A", "timestamp": 20}, {"sender": "B", "timestamp": 10}]
    assert on_branch(newest_first) == [1, 0]
