"""What a tree used in an interval: never more than it did, whoever ended, was born, or was waited for by whom."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from support.made_up import member, row

from prock.cli.scan_groups import as_member, forest
from prock.cli.tree import Node, build, walk
from prock.cli.usage import Interval
from prock.model import DiskIo, ProcessStats

SECOND = 1_000_000_000
BEGAN = 1000
"""In ticks; whoever started later was born in the interval."""


def interval(before: list[ProcessStats], after: list[ProcessStats], *, complete: bool = True) -> Interval:
    return Interval(before, after, began_ticks=BEGAN, elapsed_ns=10 * SECOND, complete=complete)


def used(before: list[ProcessStats], after: list[ProcessStats], **options: Any) -> dict[int, int | None]:
    """Each subtree's CPU, in seconds."""
    root = build(after, interval(before, after, **options), "pid")
    return {node.member.pid: None if (ns := node.sums.cpu_ns) is None else ns // SECOND for node in walk(root)}


def at(pid: int, ppid: int, own: int, waited_for: int = 0, **changed: Any) -> ProcessStats:
    return member(pid, ppid, user_ns=own * SECOND, children_user_ns=waited_for * SECOND, **changed)


def with_io(process: ProcessStats, amount: int) -> ProcessStats:
    return process._replace(disk_io=DiskIo(amount, 2 * amount, 0, 0, 0, 0, 0))


def test_own_times() -> None:
    assert used([at(1, 0, 5), at(2, 1, 7)], [at(1, 0, 6), at(2, 1, 10)]) == {1: 4, 2: 3}


def test_born_in_the_interval_counts_from_zero() -> None:
    assert used([at(1, 0, 5)], [at(1, 0, 5), at(2, 1, 3, start_ticks=BEGAN)]) == {1: 3, 2: 3}


def test_older_and_not_seen_before_is_unknown() -> None:
    assert used([at(1, 0, 5)], [at(1, 0, 5), at(2, 1, 3, start_ticks=BEGAN - 1)]) == {1: 0, 2: None}


def test_a_pid_that_was_given_away_again_is_another_process() -> None:
    before, after = [at(1, 0, 5), at(2, 1, 7)], [at(1, 0, 5, 7), at(2, 1, 1, start_ticks=BEGAN + 5)]
    assert used(before, after) == {1: 1, 2: 1}


def test_ended_and_waited_for_counts_what_it_used_since() -> None:
    assert used([at(1, 0, 5), at(2, 1, 7)], [at(1, 0, 5, 9)]) == {1: 2}


def test_born_ended_and_waited_for_counts_whole() -> None:
    assert used([at(1, 0, 5)], [at(1, 0, 5, 2)]) == {1: 2}


def test_ended_and_never_waited_for_takes_nothing_from_others() -> None:
    before = [at(1, 0, 5), at(2, 1, 7), at(3, 1, 1)]
    assert used(before, [at(1, 0, 5), at(3, 1, 4)]) == {1: 3, 3: 3}


def test_a_subtree_is_never_below_a_part_of_it() -> None:
    """Below 2 somebody is lost, below 3 somebody waited for: the root's own sum would hide what is certain of 3."""
    before = [at(1, 0, 0), at(2, 1, 0), at(3, 1, 0), at(4, 2, 7), at(5, 3, 1)]
    assert used(before, [at(1, 0, 0), at(2, 1, 0), at(3, 1, 0, 6)]) == {1: 5, 2: 0, 3: 5}


def test_waited_for_by_the_root_in_its_parents_place() -> None:
    """2 ends, its child 3 is handed to the root (a subreaper), ends and is waited for: an hour of before is not now."""
    before = [at(1, 0, 0), at(2, 1, 0), at(3, 2, 3600)]
    assert used(before, [at(1, 0, 0, 3601)]) == {1: 1}


def test_where_something_was_hidden_only_own_times_count() -> None:
    assert used([at(1, 0, 5)], [at(1, 0, 6, 3600)], complete=False) == {1: 1}


def test_hidden_processes_are_unknown_not_idle() -> None:
    hidden = member(2, 1)._replace(info=None, cpu_time=None, refused=("stat",))
    assert used([at(1, 0, 5), hidden], [at(1, 0, 6), hidden], complete=False) == {1: 1, 2: None}


def test_io_of_the_waited_for_is_not_counted_again() -> None:
    before = [with_io(at(1, 0, 0), 10), with_io(at(2, 1, 0), 500)]
    after = [with_io(at(1, 0, 0), 560)]
    root = build(after, interval(before, after), "pid")
    assert (root.sums.read_bytes, root.sums.write_bytes) == (50, 100)


def test_io_is_unknown_where_the_waited_for_refused_theirs() -> None:
    before = [with_io(at(1, 0, 0), 10), with_io(at(2, 1, 0), 10), at(3, 2, 0)]
    after = [with_io(at(1, 0, 0), 11), with_io(at(2, 1, 0), 9999)]
    root = build(after, interval(before, after), "pid")
    assert {node.member.pid: node.sums.read_bytes for node in walk(root)} == {1: 1, 2: None}


def test_the_machine_where_a_terminal_was_closed() -> None:
    """All below it end, and pid 1 waits for what the shell had started an hour ago."""
    session = {"session": 10, "tty_nr": 34816}
    before = [at(1, 0, 1), at(9, 1, 1), at(10, 9, 1, **session), at(11, 10, 3600, **session)]
    now = [row(1, 0, user_ns=SECOND, children_user_ns=3601 * SECOND), row(9, 1, user_ns=SECOND)]
    watched = interval(before, [as_member(process) for process in now])
    assert {tree.root.pid: tree.sums.cpu_ns for tree in forest(now, watched)} == {1: 0, 9: 0}


@settings(deadline=None)
@given(st.data())
def test_no_less_than_the_own_times_and_no_less_than_any_child(data: st.DataObject) -> None:
    before, after = _random_tree(data), _random_tree(data)
    watched = interval(before, after)
    root = build(after, watched, "pid")

    def below(node: Node) -> int:
        return sum(max(0, inner.usage.own_ns or 0) for inner in walk(node))

    for node in walk(root):
        assert (node.sums.cpu_ns or 0) >= below(node)
        assert (node.sums.cpu_ns or 0) >= max((child.sums.cpu_ns or 0 for child in node.children), default=0)


def _random_tree(data: st.DataObject) -> list[ProcessStats]:
    times = st.integers(0, 50)
    pids = [1, *sorted(data.draw(st.sets(st.integers(2, 12), max_size=8)))]
    return [
        at(
            pid,
            data.draw(st.sampled_from([0, *(other for other in pids if other < pid)])),
            data.draw(times),
            data.draw(times),
        )
        for pid in pids
    ]
