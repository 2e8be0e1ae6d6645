"""Divides the processes of a machine into trees, each process in exactly one. No I/O, no clock.

Dividing only at pid 1 would say little: one service starts all logins, one terminal server all shells. A tree begins

- at every child of a *manager*: pid 1, and each user's own systemd;
- at every leader of a session that has a terminal (a login, a terminal window), but not again inside such a session;
- at every process whose parent cannot be seen (in another namespace, or hidden).

A manager is a tree of its own, of one process. All kernel threads are one tree.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from typing import TypeAlias

    from prock.model import MemberSample, ProcessInfo

    Row: TypeAlias = ProcessInfo | MemberSample

KERNEL_THREAD_DAEMON = 2


class Tree:
    """One tree: the rows of its processes in a scan or a sample, the root first."""

    def __init__(self, root: ProcessInfo, *, is_kernel: bool) -> None:
        self.root = root
        self.is_kernel = is_kernel
        self.rows: Sequence[Row] = []
        self.cpu_percent: float | None = None
        """Over the interval, children that ended in it included."""

    def main_command(self, value: Callable[[Row], float]) -> tuple[str, int] | None:
        """The name (not the root's) of more than half of a value, and how many processes have it."""
        values: dict[str, float] = {}
        numbers: dict[str, int] = {}
        for row in self.rows:
            values[row.comm] = values.get(row.comm, 0) + value(row)
            numbers[row.comm] = numbers.get(row.comm, 0) + 1
        name = max(values, key=values.__getitem__, default=self.root.comm)
        if name == self.root.comm or self.is_kernel or 2 * values[name] <= sum(values.values()):
            return None
        return name, numbers[name]


def divide(rows: Iterable[ProcessInfo]) -> list[Tree]:
    """All trees with their rows; an outer tree comes before those that began inside it."""
    by_pid = {row.pid: row for row in rows}
    children: dict[int, list[ProcessInfo]] = {}
    for row in by_pid.values():
        children.setdefault(row.ppid, []).append(row)
    managers = {row.pid for row in by_pid.values() if row.pid == 1 or (row.ppid == 1 and row.comm == "systemd")}
    members: dict[Tree, list[Row]] = {}
    done: set[int] = set()
    outermost = [row for row in by_pid.values() if row.ppid not in by_pid]
    for first in (*outermost, *by_pid.values()):  # the second part: processes that only a cycle of a torn scan reaches
        waiting = [(first, Tree(first, is_kernel=is_kernel(first)), _leads_terminal_session(first))]
        while waiting:
            row, tree, in_session = waiting.pop()
            if row.pid in done:
                continue
            done.add(row.pid)
            members.setdefault(tree, []).append(row)
            for child in children.get(row.pid, ()):
                opens_session = _leads_terminal_session(child) and not in_session
                if row.pid in managers or opens_session:
                    waiting.append((child, Tree(child, is_kernel=False), opens_session))
                else:
                    waiting.append((child, tree, in_session))
    for tree, found in members.items():
        tree.rows = found
    return list(members)


def _leads_terminal_session(row: ProcessInfo) -> bool:
    return row.session == row.pid and bool(row.tty_nr)  # None on other systems than Linux


def is_kernel(row: ProcessInfo) -> bool:
    """Pid 2 is the kernel's if it has no address space; in a container it can be any process."""
    return row.pid == KERNEL_THREAD_DAEMON and row.ppid == 0 and row.vsize_bytes == 0
