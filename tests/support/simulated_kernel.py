"""A kernel that only keeps accounts: who forks, burns, exits, reaps, and who inherits whose children."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass, field

from prock.model import ProcessInfo
from prock.sampling.cpu_ledger import CpuLedger

TICK = 10
"""``cutime`` and ``cstime`` are told in ticks, rounded down; here a tick is 10 units of time."""
INIT = 1


@dataclass
class Task:
    pid: int
    start: int
    parent: int
    own: int = 0
    waited: int = 0
    io: int = 0
    """Bytes read, of itself and of children that it waited for."""
    reaped: int = 0
    """Descendants that were waited for: each had one page fault."""
    zombie: bool = False
    ignores_sigchld: bool = False
    subreaper: bool = False


@dataclass
class Kernel:
    """Pids are reused as fast as possible, to the ledger's peril."""

    tasks: dict[int, Task] = field(default_factory=dict)
    now: int = 0
    burnt: int = 0
    """All CPU time that descendants of the root used, and the root."""

    def __post_init__(self) -> None:
        self.tasks[INIT] = Task(INIT, 0, 0)
        self.root = self.fork(INIT)

    def fork(self, parent: int) -> int:
        self.now += 1
        pid = self._give_pid()
        self.tasks[pid] = Task(pid, self.now, parent, ignores_sigchld=self.tasks[parent].ignores_sigchld)
        return pid

    def burn(self, pid: int, amount: int) -> None:
        self.tasks[pid].own += amount
        self.tasks[pid].io += amount
        self.burnt += amount

    def exit(self, pid: int) -> None:
        task = self.tasks[pid]
        task.zombie = True
        heir = self._reaper_of(task)
        for child in self.children(pid):
            child.parent = heir
            if child.zombie and (heir == INIT or self.tasks[heir].ignores_sigchld):
                self._release(child)
        if self.tasks[task.parent].ignores_sigchld or task.parent == INIT:
            self._release(task)

    def reap(self, parent: int) -> None:
        """Wait for all children that have ended."""
        for child in self.children(parent):
            if child.zombie:
                self.tasks[parent].waited += child.own + child.waited
                self.tasks[parent].reaped += 1 + child.reaped
                self.tasks[parent].io += child.io
                self._release(child)

    def children(self, pid: int) -> list[Task]:
        return [task for task in self.tasks.values() if task.parent == pid]

    def living(self) -> list[int]:
        return [task.pid for task in self.tasks.values() if task.pid != INIT and not task.zombie]

    def row(self, pid: int) -> ProcessInfo:
        task = self.tasks[pid]
        return ProcessInfo(
            pid=pid, ppid=task.parent, pgrp=0, session=0, tty_nr=0, state="Z" if task.zombie else "S", comm="",
            thread_count=1, start_ticks=task.start, user_ns=task.own, system_ns=0,
            children_user_ns=task.waited // TICK * TICK, children_system_ns=0,
            rss_bytes=0, vsize_bytes=0, minor_faults=1, major_faults=0,
            children_minor_faults=task.reaped, children_major_faults=0,
        )  # fmt: skip

    def _give_pid(self) -> int:
        return next(pid for pid in range(2, 10_000) if pid not in self.tasks)

    def _reaper_of(self, task: Task) -> int:
        ancestor = self.tasks[task.parent]
        while ancestor.pid != INIT and (ancestor.zombie or not ancestor.subreaper):
            ancestor = self.tasks[ancestor.parent]
        return ancestor.pid

    def _release(self, task: Task) -> None:
        del self.tasks[task.pid]


def read_tree(kernel: Kernel, known: Collection[tuple[int, int]]) -> Iterator[ProcessInfo]:
    """The rows that a tracker gets: the tree breadth first, then what was known before and is no longer in it.

    Between any two rows the kernel may go on.
    """
    seen = set()
    for start in (kernel.root, *(pid for pid, _ in known)):
        queue = [start]
        for pid in queue:
            task = kernel.tasks.get(pid)
            if task is None or pid in seen:
                continue
            if pid == start != kernel.root and (pid, task.start) not in known:
                continue  # the pid was given away again
            seen.add(pid)
            row = kernel.row(pid)
            queue += [child.pid for child in kernel.children(pid)]
            yield row


def sample(kernel: Kernel, ledger: CpuLedger) -> None:
    update(ledger, list(read_tree(kernel, list(ledger))))


def update(ledger: CpuLedger, rows: list[ProcessInfo]) -> None:
    """Take in a whole pass: who is not in it has ended."""
    present = {row.identity for row in rows}
    ended = [(identity, 0) for identity in ledger if identity not in present]
    ledger.advance(rows, ended, sum(row.user_ns for row in rows))


@dataclass
class LiveKernel(Kernel):
    """One that can be asked as a real one is: whatever a process does takes CPU time, and pids go round."""

    pids: int = 60
    last_pid: int = INIT

    def fork(self, parent: int) -> int:
        if parent != INIT:
            self.burn(parent, 1)
        return super().fork(parent)

    def exit(self, pid: int) -> None:
        self.burn(pid, 1)
        super().exit(pid)

    def reap(self, parent: int) -> None:
        self.burn(parent, 1)
        super().reap(parent)

    def _give_pid(self) -> int:
        while True:
            self.last_pid = self.last_pid % self.pids + 1
            if self.last_pid not in self.tasks:
                return self.last_pid
