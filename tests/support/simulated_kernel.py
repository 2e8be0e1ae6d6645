"""A kernel that only keeps accounts. It changes every field of a row that trackers read as Linux does: CPU time,
parents, sessions, process groups, names, states, threads."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass, field

from prock.model import ProcessInfo
from prock.sampling.cpu_ledger import CpuLedger

TICK = 10
"""``cutime`` and ``cstime`` are told in ticks, rounded down; here a tick is 10 units of time."""
INIT = 1
CHANGES = ("setsid", "setpgid", "exec", "rename", "thread", "end thread", "end leader", "stop", "continue")
"""What a process does to its own row, or a signal does to it, besides its CPU time: see `Kernel.change`."""


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
    session: int = 0
    pgrp: int = 0
    comm: str = "init"
    threads: int = 1
    by_thread: bool = False
    """Whether a thread of the parent other than the first started it, so that it is in that thread's list."""
    lacks_leader: bool = False
    """Whether its first thread has ended and others go on: then its state is Z."""
    stopped: bool = False
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
        above = self.tasks[parent]
        self.tasks[pid] = Task(
            pid, self.now, parent, session=above.session, pgrp=above.pgrp, comm=above.comm,
            by_thread=above.threads > 1 and (above.lacks_leader or self.now % 2 == 0),
            ignores_sigchld=above.ignores_sigchld,
        )  # fmt: skip
        return pid

    def change(self, action: str, pid: int, amount: int) -> None:
        """One of `CHANGES`."""
        task = self.tasks[pid]
        if action == "setsid" and task.pgrp != pid:  # the leader of a group may not
            task.session = task.pgrp = pid
        elif action == "setpgid" and task.session != pid:
            task.pgrp = pid
        elif action == "exec":
            task.comm = f"program {amount}"
            task.lacks_leader = False  # the thread that executes becomes the first
            self._end_threads(task)
        elif action == "rename":
            task.comm = f"thread {amount}"
        elif action == "thread":
            task.threads += 1
        elif action == "end thread" and task.threads > 1 + task.lacks_leader:
            task.threads -= 1
            if task.threads == 1:
                self._end_threads(task)
        elif action == "end leader" and task.threads > 1:
            task.lacks_leader = True
        elif action in ("stop", "continue"):
            task.stopped = action == "stop"

    def _end_threads(self, task: Task) -> None:
        """All but the first, which gets their children."""
        task.threads = 1
        for child in self.children(task.pid):
            child.by_thread = False

    def burn(self, pid: int, amount: int) -> None:
        self.tasks[pid].own += amount
        self.tasks[pid].io += amount
        self.burnt += amount

    def exit(self, pid: int) -> None:
        task = self.tasks[pid]
        task.zombie, task.threads, task.stopped = True, 1, False
        heir = self._reaper_of(task)
        for child in self.children(pid):
            child.parent, child.by_thread = heir, False
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
            pid=pid, ppid=task.parent, pgrp=task.pgrp, session=task.session, tty_nr=0,
            state="Z" if task.zombie or task.lacks_leader else "T" if task.stopped else "S", comm=task.comm,
            thread_count=task.threads, start_ticks=task.start, user_ns=task.own, system_ns=0,
            children_user_ns=task.waited // TICK * TICK, children_system_ns=0,
            rss_bytes=0, vsize_bytes=0, minor_faults=1, major_faults=0,
            children_minor_faults=task.reaped, children_major_faults=0,
        )  # fmt: skip

    def _give_pid(self) -> int:
        return next(pid for pid in range(2, 10_000) if self._is_free(pid))

    def _is_free(self, pid: int) -> bool:
        """The id of a session or group is not allocated again while a process is in it."""
        return pid not in self.tasks and all(pid not in (task.session, task.pgrp) for task in self.tasks.values())

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

    def change(self, action: str, pid: int, amount: int) -> None:
        if action not in ("stop", "continue"):
            self.burn(pid, 1)
        super().change(action, pid, amount)

    def _give_pid(self) -> int:
        while True:
            self.last_pid = self.last_pid % self.pids + 1
            if self._is_free(self.last_pid):
                return self.last_pid
