"""CPU over time: `DeltaTracker` from call to call, `CumulativeTracker` from a baseline on.

Both know processes by identity, not by pid: a pid that was given away again starts anew. Neither ever answers a
negative number, and the first answer about a process is None, as there is no interval yet. Trees are followed by a
sampler: children that ended stay counted, whether their parent waited for them or not, and nothing is counted twice.

A tracker belongs to one thread; any number of threads may have trackers of their own.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from prock import engine as engines
from prock.errors import NoSuchProcess
from prock.model import CpuPercent, Identity, TreeUsage
from prock.sampling.sampler import TreeSampler

TYPE_CHECKING = False
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


class _Tracker:
    """What both trackers share: marks of processes, samplers of trees, and forgetting the dead."""

    def __init__(self, *, engine: Engine | None = None, clock: Callable[[], int] = time.monotonic_ns) -> None:
        self._engine = engines.active if engine is None else engine
        self._clock = clock
        self._processes: dict[int, _Mark] = {}
        self._trees: dict[int, tuple[_Mark, TreeSampler]] = {}

    def prune_dead(self) -> int:
        """Forget processes and trees whose root has ended. Answers how many those were."""
        dead_processes = [pid for pid, mark in self._processes.items() if self._is_gone(mark)]
        dead_trees = [pid for pid, (mark, _) in self._trees.items() if self._is_gone(mark)]
        for pid in dead_processes:
            del self._processes[pid]
        for pid in dead_trees:
            self._forget_tree(pid)
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
        pid = self._own_pid() if root_pid is None else root_pid
        kept, sampler = self._trees.get(pid, (None, None))
        sample = None if sampler is None else sampler.sample()
        if sampler is None or sample is None or not sampler.root_lives:
            self._forget_tree(pid)
            kept = None
            try:
                sampler = TreeSampler(pid, accounting="ledger", engine=self._engine, clock=self._clock)
            except NoSuchProcess:
                return None
            sample = sampler.sample()
        now = _Mark(sampler.root, sample.taken_ns, sample.cpu_ns)
        self._trees[pid] = (now if kept is None else kept, sampler)
        return kept, now, TreeUsage(None, sample.rss_bytes, sample.process_count)

    def _own_pid(self) -> int:
        info = self._engine.info(None)
        assert info is not None
        return info.pid

    def _forget_tree(self, pid: int) -> None:
        _, sampler = self._trees.pop(pid, (None, None))
        if sampler is not None:
            sampler.close()


class DeltaTracker(_Tracker):
    """CPU use from each call to the next.

    >>> tracker = DeltaTracker()
    >>> tracker.get_cpu_percent() is None
    True
    >>> sum(i * i for i in range(1_000_000)) > 0 and tracker.get_cpu_percent() > 0
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
        existed before but is seen for the first time counts as 0 %. Cost: as `Forest.sample`, the first time as
        `Forest.add`. Memory of a process that sleeps may be a second old.
        """
        measured = self._measure_tree(root_pid)
        if measured is None:
            return None
        kept, now, usage = measured
        self._trees[now.identity[0]] = (now, self._trees[now.identity[0]][1])
        return usage if kept is None else usage._replace(cpu_percent=kept.percent_until(now.at_ns, now.used_ns))


class CumulativeTracker(_Tracker):
    """CPU use since a baseline: the first call for a process, or the last `reset`.

    The longer it runs, the less a single short-lived child or a scheduler tick matters.

    >>> tracker = CumulativeTracker()
    >>> tracker.get_tree_cpu_ns()
    0
    >>> sum(i * i for i in range(1_000_000)) > 0 and tracker.get_tree_cpu_ns() > 0
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

        The first time the percentage is None. Cost: as `DeltaTracker.get_tree_cpu_percent`.
        """
        measured = self._measure_tree(root_pid)
        if measured is None:
            return None
        kept, now, usage = measured
        return usage if kept is None else usage._replace(cpu_percent=kept.percent_until(now.at_ns, now.used_ns))

    def get_tree_cpu_ns(self, root_pid: int | None = None) -> int | None:
        """CPU time that a tree used since the first call for it, members that ended included. None without a root.

        Lower bound, see `prock.sampling.cpu_ledger`; never goes down. Cost: as `DeltaTracker.get_tree_cpu_percent`.
        """
        measured = self._measure_tree(root_pid)
        return None if measured is None else measured[1].used_ns - (measured[0] or measured[1]).used_ns

    def reset(self) -> None:
        """Forget all baselines: the next call for each process is its first."""
        self._processes.clear()
        for pid in list(self._trees):
            self._forget_tree(pid)
        self._began_ns = self._clock()

    def elapsed(self) -> float:
        """Seconds since tracking started, or since the last `reset`."""
        return (self._clock() - self._began_ns) / 1e9
