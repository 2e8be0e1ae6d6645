"""The processes of a machine, divided into trees: each process in exactly one. No I/O, no clock.

To cut only at pid 1 would not say much: one service starts all logins, one terminal server all shells. A tree begins

- at every child of a *manager*: pid 1, and each user's own systemd;
- at every leader of a session that has a terminal (a login, a terminal's window), but not again inside such a session;
- at every process whose parent is not to be seen (another namespace's, or hidden).

A manager is a tree of its own, of one process. All kernel threads are one tree.
"""

from __future__ import annotations

from prock.cli.usage import Interval, Sums, Usage, usage_of
from prock.model import ProcessStats

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from prock.model import ProcessInfo

KERNEL_THREAD_DAEMON = 2


class Tree:
    """One of them; members in no order but the root first."""

    def __init__(self, root: ProcessInfo, *, is_kernel: bool) -> None:
        self.root = root
        self.is_kernel = is_kernel
        self.pids: list[int] = []
        self.sums = Sums()
        self._by_name: dict[str, Sums] = {}

    def add(self, member: ProcessStats, usage: Usage) -> None:
        self.pids.append(member.pid)
        self.sums.add_member(member, usage)
        self._by_name.setdefault(member.comm or "", Sums()).add_member(member, usage)

    def mostly(self, value: Callable[[Sums], int]) -> tuple[str, int] | None:
        """The name (not the root's) that makes more than half of a value, and how many processes have it."""
        name, sums = max(self._by_name.items(), key=lambda item: value(item[1]))
        if name == self.root.comm or self.is_kernel or 2 * value(sums) <= value(self.sums):
            return None
        return name, sums.processes


def forest(rows: Sequence[ProcessInfo], interval: Interval | None) -> list[Tree]:
    """All trees, with what their processes used: in the interval, or else since their start."""
    tree_of = _divide(rows)
    trees = {id(tree): tree for tree in tree_of.values()}
    for row in rows:
        member = as_member(row)
        tree_of[row.pid].add(member, usage_of(member) if interval is None else interval.usage(member))
    if interval is not None:
        for old in interval.ended:
            # Whoever was above it may have waited for it, or pid 1: a lower bound subtracts it from each of them.
            waiters = {id(tree_of[pid]) for pid in (1, *interval.survivors_above(old)) if pid in tree_of}
            for key in waiters:
                trees[key].sums.subtract_ended(interval.used_before(old))
    return list(trees.values())


def as_member(row: ProcessInfo) -> ProcessStats:
    return ProcessStats(
        taken_ns=0, pid=row.pid, ppid=row.ppid, cpu_time=row.cpu_time, info=row, disk_io=None, refused=()
    )


def _divide(rows: Iterable[ProcessInfo]) -> dict[int, Tree]:
    """Each pid's tree."""
    by_pid = {row.pid: row for row in rows}
    children: dict[int, list[ProcessInfo]] = {}
    for row in by_pid.values():
        children.setdefault(row.ppid, []).append(row)
    managers = {row.pid for row in by_pid.values() if row.pid == 1 or (row.ppid == 1 and row.comm == "systemd")}
    tree_of: dict[int, Tree] = {}
    outermost = [row for row in by_pid.values() if row.ppid not in by_pid]
    for first in (*outermost, *by_pid.values()):  # the second half: whatever only a cycle of a torn scan leads to
        waiting = [(first, Tree(first, is_kernel=_is_kernel(first)), _leads_terminal_session(first))]
        while waiting:
            row, tree, in_session = waiting.pop()
            if row.pid in tree_of:
                continue
            tree_of[row.pid] = tree
            for child in children.get(row.pid, ()):
                opens_session = _leads_terminal_session(child) and not in_session
                if row.pid in managers or opens_session:
                    waiting.append((child, Tree(child, is_kernel=False), opens_session))
                else:
                    waiting.append((child, tree, in_session))
    return tree_of


def _leads_terminal_session(row: ProcessInfo) -> bool:
    return row.session == row.pid and bool(row.tty_nr)  # None: on other systems than Linux it is not in the row


def _is_kernel(row: ProcessInfo) -> bool:
    """Pid 2 where it is the kernel's, which has no address space; in a container it can be anybody."""
    return row.pid == KERNEL_THREAD_DAEMON and row.ppid == 0 and row.vsize_bytes == 0
