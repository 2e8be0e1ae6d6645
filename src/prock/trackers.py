"""CPU over time: `DeltaTracker` from call to call, `CumulativeTracker` from a baseline on.

Both know processes by identity, not by pid: a pid that was given away again starts anew. Neither ever answers a
negative number, and the first answer about a process is None, as there is no interval yet. Trees go through the ledger:
children that ended stay counted, whether their parent waited for them or not, and nothing is counted twice.

A tracker belongs to one thread; any number of threads may have trackers of their own.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from prock import engine as engines
from prock.engine.protocol import WANT_CPU, WANT_STAT
from prock.errors import ProckError
from prock.ledger import Ledger
from prock.model import CpuPercent, Identity, ProcessInfo, TreeUsage

TYPE_CHECKING = False  # see _records.py
if TYPE_CHECKING:
    from prock.engine.protocol import Engine


class _Mark:
    """How much a process or a tree had used when."""

    __slots__ = ("at_ns", "identity", "used_ns")

    def __init__(self, identity: Identity, at_ns: int, used_ns: int) -> None:
        self.identity = identity
        self.at_ns = at_ns
        self.used_ns = used_ns

    def percent_until(self, at_ns: int, used_ns: int) -> CpuPercent | None:
        elapsed = at_ns - self.at_ns
        return 100.0 * max(0, used_ns - self.used_ns) / elapsed if elapsed > 0 else None


class _TreeAccount:
    """A tree's ledger, kept up to date. Once seen, a member stays one until it ends, whoever its parent is by then."""

    def __init__(self, identity: Identity) -> None:
        self.identity = identity
        self.ledger = Ledger()

    def update(self, engine: Engine, rows: list[ProcessInfo], unreadable: set[int]) -> list[ProcessInfo]:
        """Add the strays to the rows of the tree, and all to the ledger."""
        present = {row.identity for row in rows}
        for identity in self.ledger:
            if identity in present or identity[0] in unreadable:
                continue
            try:
                stray = engine.info(identity[0])
                found = engine.tree(identity[0], WANT_CPU | WANT_STAT) if stray and stray.identity == identity else None
            except ProckError:  # refused: there is somebody of that pid, and the ledger keeps what it has
                unreadable.add(identity[0])
                continue
            for member in found[0] if found else ():
                if member.info is None:
                    unreadable.add(member.pid)
                elif member.info.identity not in present:
                    present.add(member.info.identity)
                    rows.append(member.info)
        self.ledger.update(rows, unreadable)
        return rows

    def begin(self, engine: Engine, rows: list[ProcessInfo], unreadable: set[int]) -> list[ProcessInfo]:
        """The first update, and a second look at what children brought along that were reaped while it was made."""
        rows = self.update(engine, rows, unreadable)
        found = engine.tree(self.identity[0], WANT_CPU | WANT_STAT)
        self.ledger.rebase(member.info for member in (found[0] if found else ()) if member.info is not None)
        return rows


class _Tracker:
    """What both trackers share: marks of processes, accounts of trees, and forgetting the dead."""

    def __init__(self, *, engine: Engine | None = None, clock: Callable[[], int] = time.monotonic_ns) -> None:
        self._engine = engines.active if engine is None else engine
        self._clock = clock
        self._processes: dict[int, _Mark] = {}
        self._trees: dict[int, tuple[_Mark, _TreeAccount]] = {}

    def prune_dead(self) -> int:
        """Forget processes and trees whose root has ended. Answers how many those were."""
        dead_processes = [pid for pid, mark in self._processes.items() if self._is_gone(mark)]
        dead_trees = [pid for pid, (mark, _) in self._trees.items() if self._is_gone(mark)]
        for pid in dead_processes:
            del self._processes[pid]
        for pid in dead_trees:
            del self._trees[pid]
        return len({*dead_processes, *dead_trees})

    def _is_gone(self, mark: _Mark) -> bool:
        info = self._engine.info(mark.identity[0])
        return info is None or info.identity != mark.identity

    def _measure_process(self, pid: int | None) -> tuple[_Mark | None, _Mark] | None:
        """The mark that is kept of a process, if any, and the one that it makes now."""
        at_ns = self._clock()
        info = self._engine.info(pid)
        if info is None:
            if pid is not None:
                self._processes.pop(pid, None)
            return None
        now = _Mark(info.identity, at_ns, info.user_ns + info.system_ns)
        kept = self._processes.get(info.pid)
        return (kept if kept is not None and kept.identity == info.identity else None), now

    def _measure_tree(self, root_pid: int | None) -> tuple[_Mark | None, _Mark, TreeUsage] | None:
        """As `_measure_process`; the usage is without a percentage yet."""
        at_ns = self._clock()
        found = self._engine.tree(root_pid, WANT_CPU | WANT_STAT)
        root = found[0][0].info if found else None
        if found is None or root is None:
            if root_pid is not None:
                self._trees.pop(root_pid, None)
            return None
        kept, account = self._trees.get(root.pid, (None, None))
        rows = [member.info for member in found[0] if member.info is not None]
        unreadable = {member.pid for member in found[0] if member.info is None}
        if account is None or account.identity != root.identity:
            kept, account = None, _TreeAccount(root.identity)
            rows = account.begin(self._engine, rows, unreadable)
        else:
            rows = account.update(self._engine, rows, unreadable)
        now = _Mark(root.identity, at_ns, account.ledger.total_ns)
        self._trees[root.pid] = (now if kept is None else kept, account)
        memory = sum(row.rss_bytes for row in rows)
        return kept, now, TreeUsage(None, memory, len(rows) + len(unreadable))


class DeltaTracker(_Tracker):
    """CPU use from each call to the next.

    >>> tracker = DeltaTracker()
    >>> tracker.get_cpu_percent() is None
    True
    >>> sum(i * i for i in range(100_000)) > 0 and tracker.get_cpu_percent() > 0
    True
    """

    def get_cpu_percent(self, pid: int | None = None) -> CpuPercent | None:
        """CPU of one process since the last call for it, in percent of one core. None the first time, or without it.

        Exact but for a thread that runs at this instant: its clock lags by up to a scheduler tick. Cost: one read of
        ``stat``, one `clock_gettime`. `AccessDenied` where the kernel refuses.
        """
        measured = self._measure_process(pid)
        if measured is None:
            return None
        kept, now = measured
        self._processes[now.identity[0]] = now
        return None if kept is None else kept.percent_until(now.at_ns, now.used_ns)

    def get_tree_cpu_percent(self, root_pid: int | None = None) -> TreeUsage | None:
        """CPU of a tree since the last call for it, its memory, and how many processes it is. None only without a root.

        The first time the percentage is None. A process that was born since counts with all it used, one that ended
        since with what it used up to its last reading, and beyond that if its parent waited for it. A process that
        existed before but is seen for the first time counts as 0 %. Cost: as `snapshot_tree`, the first time twice.
        """
        measured = self._measure_tree(root_pid)
        if measured is None:
            return None
        kept, now, usage = measured
        self._trees[now.identity[0]] = (now, self._trees[now.identity[0]][1])
        return usage if kept is None else usage._replace(percent=kept.percent_until(now.at_ns, now.used_ns))


class CumulativeTracker(_Tracker):
    """CPU use since a baseline: the first call for a process, or the last `reset`.

    The longer it runs, the less a single short-lived child or a scheduler tick matters.

    >>> tracker = CumulativeTracker()
    >>> tracker.get_tree_cpu_ns()
    0
    >>> sum(i * i for i in range(100_000)) > 0 and tracker.get_tree_cpu_ns() > 0
    True
    """

    def __init__(self, *, engine: Engine | None = None, clock: Callable[[], int] = time.monotonic_ns) -> None:
        super().__init__(engine=engine, clock=clock)
        self._began_ns = clock()

    def get_cpu_percent(self, pid: int | None = None) -> CpuPercent | None:
        """CPU of one process since the first call for it. None the first time. Cost: as `DeltaTracker`."""
        measured = self._measure_process(pid)
        if measured is None:
            return None
        kept, now = measured
        if kept is None:
            self._processes[now.identity[0]] = now
            return None
        return kept.percent_until(now.at_ns, now.used_ns)

    def get_tree_cpu_percent(self, root_pid: int | None = None) -> TreeUsage | None:
        """CPU of a tree since the first call for it, its memory and number of processes now. None only without a root.

        The first time the percentage is None. Cost: as `snapshot_tree`, the first time twice that.
        """
        measured = self._measure_tree(root_pid)
        if measured is None:
            return None
        kept, now, usage = measured
        return usage if kept is None else usage._replace(percent=kept.percent_until(now.at_ns, now.used_ns))

    def get_tree_cpu_ns(self, root_pid: int | None = None) -> int | None:
        """CPU time that a tree used since the first call for it, members that ended included. None without a root.

        Lower bound, see `prock.ledger`; never goes down. Cost: as `snapshot_tree`, the first time twice that.
        """
        measured = self._measure_tree(root_pid)
        return None if measured is None else measured[1].used_ns - (measured[0] or measured[1]).used_ns

    def reset(self) -> None:
        """Forget all baselines: the next call for each process is its first."""
        self._processes.clear()
        self._trees.clear()
        self._began_ns = self._clock()

    def elapsed(self) -> float:
        """Seconds since tracking started, or since the last `reset`."""
        return (self._clock() - self._began_ns) / 1e9
