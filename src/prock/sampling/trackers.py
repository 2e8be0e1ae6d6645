"""CPU use over time: `DeltaTracker` from call to call, `CumulativeTracker` from a baseline on.

Both identify processes by pid and start time, so that a reused pid starts anew. No result is negative. The first
result for a process is None, as an interval has two ends. Trees are followed by a `TreeSampler` with the ledger:
children that ended stay counted, whether their parent waited for them or not, and nothing is counted twice.

A tracker belongs to one thread; each thread may have trackers of its own.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from prock import engine as engines
from prock._compat.namedtuple import NamedTuple
from prock.errors import NoSuchProcess
from prock.model import CpuPercent, Identity, TreeUsage
from prock.sampling.sampler import TreeSampler

TYPE_CHECKING = False
if TYPE_CHECKING:
    from prock.engine.protocol import Engine
    from prock.model import TreeTotals


class _Reading(NamedTuple):
    """CPU time of one process at one instant."""

    identity: Identity
    at_ns: int
    used_ns: int


class _Tracker:
    """What both trackers share."""

    _moves_baseline: bool
    """Whether each call is the baseline of the next one."""

    def __init__(self, *, engine: Engine | None = None, clock: Callable[[], int] = time.monotonic_ns) -> None:
        self._engine = engines.active if engine is None else engine
        self._clock = clock
        self._processes: dict[int, _Reading] = {}
        """The baseline of each process."""
        self._trees: dict[int, tuple[TreeSampler, TreeTotals]] = {}
        """The sampler of each root's tree, and its baseline."""

    def get_cpu_percent(self, pid: int | None = None) -> CpuPercent | None:
        """CPU of one process since its baseline, in percent of one core, without its children.

        - `pid`: default: the calling process.

        None the first time, and if the process does not exist. Exact, but the clock of a thread that is running lags by
        up to a scheduler tick. Cost: one read of ``stat``, one `clock_gettime`. Raises `AccessDenied`.
        """
        at_ns = self._clock()
        info = self._engine.info(pid)
        if info is None:
            if pid is not None:
                self._processes.pop(pid, None)
            return None
        now = _Reading(info.identity, at_ns, info.user_ns + info.system_ns)
        baseline = self._processes.get(info.pid)
        is_first = baseline is None or baseline.identity != info.identity
        if is_first or self._moves_baseline:
            self._processes[info.pid] = now
        if baseline is None or is_first:
            return None
        return _percent(now.used_ns - baseline.used_ns, at_ns - baseline.at_ns)

    def get_tree_cpu_percent(self, root_pid: int | None = None) -> TreeUsage | None:
        """CPU of a tree since its baseline, its memory and number of processes now. None only without a root.

        - `root_pid`: default: the calling process.

        The percentage is None the first time. Lower bound: a process that was born since counts with all it used, one
        that ended with what it used up to its last reading, and beyond that if its parent waited for it. A process
        that existed before the first call counts from when it is first seen. The memory of a sleeping process may be
        a second old. Cost: as `Forest.sample`, the first time as `Forest.add`. Raises `AccessDenied`.
        """
        sampled = self._sample_tree(root_pid)
        if sampled is None:
            return None
        baseline, now = sampled
        percent = None if baseline is now else _percent(now.cpu_ns - baseline.cpu_ns, now.taken_ns - baseline.taken_ns)
        return TreeUsage(percent, now.rss_bytes, now.process_count)

    def prune_dead(self) -> int:
        """Forget processes, and trees with their root, that have ended. Returns how many pids those were.

        Cost: one read of ``stat`` for each known process and tree.
        """
        dead_processes = [pid for pid, reading in self._processes.items() if self._has_ended(reading.identity)]
        dead_trees = [pid for pid, (sampler, _) in self._trees.items() if self._has_ended(sampler.root)]
        for pid in dead_processes:
            del self._processes[pid]
        for pid in dead_trees:
            self._forget_tree(pid)
        return len({*dead_processes, *dead_trees})

    def _has_ended(self, identity: Identity) -> bool:
        info = self._engine.info(identity[0])
        return info is None or info.identity != identity or not info.is_alive

    def _sample_tree(self, root_pid: int | None) -> tuple[TreeTotals, TreeTotals] | None:
        """The tree's baseline and totals now, the same object the first time; None if the root has ended."""
        pid = self._own_pid() if root_pid is None else root_pid
        if pid in self._trees:
            sampler, baseline = self._trees[pid]
            now = sampler.sample().totals
            if sampler.root_lives:
                if self._moves_baseline:
                    self._trees[pid] = sampler, now
                return baseline, now
            self._forget_tree(pid)
        try:
            sampler = TreeSampler(pid, accounting="ledger", engine=self._engine, clock=self._clock)
        except NoSuchProcess:
            return None
        now = sampler.sample().totals
        if not sampler.root_lives:
            sampler.close()
            return None
        self._trees[pid] = sampler, now
        return now, now

    def _own_pid(self) -> int:
        info = self._engine.info(None)
        assert info is not None
        return info.pid

    def _forget_tree(self, pid: int) -> None:
        sampler, _ = self._trees.pop(pid)
        sampler.close()


class DeltaTracker(_Tracker):
    """CPU use from each call to the next, as a monitor shows it: each call is the baseline of the next one.

    - `engine`, `clock`: source of rows and of monotonic nanoseconds. Default: those of this system.

    >>> import zlib
    >>> tracker = DeltaTracker()
    >>> tracker.get_cpu_percent() is None  # the first call
    True
    >>> packed = zlib.compress(bytes(2**25))
    >>> tracker.get_cpu_percent() > 0
    True
    """

    _moves_baseline = True


class CumulativeTracker(_Tracker):
    """CPU use since a baseline: the first call for a process or tree, or the last `reset`.

    The longer the time, the less a single short-lived child or a scheduler tick matters.

    - `engine`, `clock`: source of rows and of monotonic nanoseconds. Default: those of this system.

    >>> import zlib
    >>> tracker = CumulativeTracker()
    >>> tracker.get_tree_cpu_ns()
    0
    >>> packed = zlib.compress(bytes(2**25))
    >>> tracker.get_tree_cpu_ns() > 0
    True
    """

    _moves_baseline = False

    def __init__(self, *, engine: Engine | None = None, clock: Callable[[], int] = time.monotonic_ns) -> None:
        super().__init__(engine=engine, clock=clock)
        self._began_ns = clock()

    def get_tree_cpu_ns(self, root_pid: int | None = None) -> int | None:
        """CPU time in nanoseconds that a tree used since its baseline, ended members included.

        - `root_pid`: default: the calling process.

        None without a root; 0 the first time. Never falls. Lower bound, see `prock.sampling.cpu_ledger`. Cost and
        errors: as `get_tree_cpu_percent`.
        """
        sampled = self._sample_tree(root_pid)
        if sampled is None:
            return None
        baseline, now = sampled
        return now.cpu_ns - baseline.cpu_ns

    def reset(self) -> None:
        """Forget all baselines: the next call for each process is its first."""
        self._processes.clear()
        for pid in list(self._trees):
            self._forget_tree(pid)
        self._began_ns = self._clock()

    def elapsed(self) -> float:
        """Seconds since the tracker was created, or since the last `reset`."""
        return (self._clock() - self._began_ns) / 1e9


def _percent(used_ns: int, elapsed_ns: int) -> CpuPercent | None:
    return 100.0 * max(0, used_ns) / elapsed_ns if elapsed_ns > 0 else None
