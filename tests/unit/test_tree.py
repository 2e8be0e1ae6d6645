"""Maps and walks on made-up trees, cycles and strangers included."""

from __future__ import annotations

import pytest
from test_model import info

import prock
from prock import tree


def test_descendants_come_breadth_first_without_the_root() -> None:
    assert prock.collect_descendants_from_map(1, {1: [5, 2], 5: [9], 2: [3], 3: [4]}) == [5, 2, 9, 3, 4]


@pytest.mark.parametrize("children", [{1: [1]}, {1: [2], 2: [1]}, {1: [2], 2: [3], 3: [2]}])
def test_descendants_of_a_cycle_end(children: dict[int, list[int]]) -> None:
    found = prock.collect_descendants_from_map(1, children)
    assert len(found) == len(set(found)) and 1 not in found


def test_descendants_of_one_that_is_not_in_the_map() -> None:
    assert prock.collect_descendants_from_map(7, {1: [2]}) == []


@pytest.mark.parametrize(
    ("child", "ancestor", "answer"),
    [(3, 1, True), (3, 2, True), (1, 3, False), (3, 3, False), (3, 9, False), (8, 1, False), (3, 0, True)],
)
def test_is_descendant_of(child: int, ancestor: int, answer: bool) -> None:
    assert prock.is_descendant_of(child, ancestor, {3: 2, 2: 1, 1: 0}) is answer


@pytest.mark.parametrize("ancestor", [1, 2, 3, 9])
def test_is_descendant_of_ends_on_a_cycle(ancestor: int) -> None:
    assert prock.is_descendant_of(1, ancestor, {1: 2, 2: 3, 3: 2}) is (ancestor in (2, 3))


def test_one_scan_serves_many_roots_and_the_users_own_rows() -> None:
    rows = [
        info(pid=1, rss_bytes=10, user_ns=100, children_user_ns=7),
        info(pid=2, ppid=1, rss_bytes=20, system_ns=50),
        info(pid=3, ppid=2, rss_bytes=40, thread_count=5),
        info(pid=9, ppid=0, rss_bytes=1000),
    ]
    whole, part = prock.snapshot_tree_from_scan(1, rows), prock.snapshot_tree_from_scan(2, rows)
    assert whole is not None and part is not None
    assert whole.pids == (1, 2, 3) and part.pids == (2, 3)
    assert (whole.rss_bytes, part.rss_bytes, whole.thread_count) == (70, 60, 7)
    assert whole.cpu_time == (100, 50) and whole.cpu_time_with_children == (107, 50)
    assert prock.snapshot_tree_from_scan(5, rows) is None
    assert prock.build_parent_map(rows) == {1: 0, 2: 1, 3: 2, 9: 0}
    assert prock.build_children_map(rows) == {0: [1, 9], 1: [2], 2: [3]}


def test_a_scan_with_a_cycle_gives_each_process_once() -> None:
    found = prock.snapshot_tree_from_scan(2, [info(pid=2, ppid=3), info(pid=3, ppid=2)])
    assert found is not None and found.pids == (2, 3)


def test_totals_of_members_that_know_nothing_are_unknown_not_zero() -> None:
    member = prock.ProcessStats(1, 2, 3, prock.CpuTime(4, 5), None, None, ("stat", "io"))
    total = tree.total([member], vanished=1, denied=1)
    assert total.cpu_time == (4, 5)
    assert total[2:7] == (None, None, None, None, None)
    assert (total.process_count, total.vanished, total.denied) == (1, 1, 1)


def test_a_scans_coverage_is_handed_on() -> None:
    found = prock.snapshot_tree_from_scan(1, prock.Scan([info(pid=1)], taken_ns=5, vanished=6, denied=7))
    assert found is not None and (found.taken_ns, found.vanished, found.denied) == (5, 6, 7)
