"""Which processes a run takes for members, where pids are reused between two reads."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from test_model import info

from prock.model import ProcessInfo, ProcessStats
from prock.runner.members import Members

ROOT, CHILD, GRANDCHILD = 5, 6, 7


class Machine:
    """Three processes, each the parent of the next; `after_walk` changes them once the tree was read."""

    def __init__(self, after_walk: Callable[[dict[int, ProcessInfo]], object] = lambda processes: None) -> None:
        self.processes = {
            pid: info(pid=pid, ppid=ppid, start_ticks=100)
            for pid, ppid in ((ROOT, 1), (CHILD, ROOT), (GRANDCHILD, CHILD))
        }
        self._after_walk = after_walk

    def tree(self, pid: int, want: int) -> tuple[list[ProcessStats], int] | None:
        if pid not in self.processes:
            return None
        found = [self.processes[pid]]
        for row in found:
            found += [child for child in self.processes.values() if child.ppid == row.pid]
        self._after_walk(self.processes)
        return [ProcessStats(0, row.pid, row.ppid, None, row, None, ()) for row in found], 0

    def info(self, pid: int) -> ProcessInfo | None:
        return self.processes.get(pid)


def members_of(machine: Machine) -> tuple[list[int], bool]:
    engine: Any = machine
    members = Members(engine, ROOT, None, None)
    return [row.pid for row in members.rows([(ROOT, 100)])], members.is_complete


def test_a_tree_that_holds_still_is_complete() -> None:
    assert members_of(Machine()) == ([ROOT, CHILD, GRANDCHILD], True)


def test_a_child_whose_parent_was_replaced_while_it_was_read_is_not_a_member() -> None:
    """The process listed as the child may be one that the successor has started."""

    def replace(processes: dict[int, ProcessInfo]) -> None:
        processes[CHILD] = processes[CHILD]._replace(start_ticks=101)

    assert members_of(Machine(replace)) == ([ROOT, CHILD], False)


def test_a_child_whose_parent_ended_while_it_was_read_waits_for_the_next_time() -> None:
    assert members_of(Machine(lambda processes: processes.pop(CHILD, None))) == ([ROOT, CHILD], False)


def test_a_root_that_was_replaced_has_no_members() -> None:
    machine = Machine()
    machine.processes[ROOT] = machine.processes[ROOT]._replace(start_ticks=101)
    assert members_of(machine) == ([], True)


def test_a_child_that_began_before_its_parent_is_not_a_member() -> None:
    machine = Machine()
    machine.processes[GRANDCHILD] = machine.processes[GRANDCHILD]._replace(start_ticks=99)
    assert members_of(machine) == ([ROOT, CHILD], False)
