"""`Forest`: follows any number of process trees and samples all of them in one pass.

A process that was a member once stays one until it ends, also after it has started a session of its own or was
reparented to a process outside the tree. Processes are identified by pid and start time. CPU and I/O go through
ledgers, so totals never fall and count nothing twice.

A sample is one call into the engine (`prock.engine.protocol.MemberTracker`), and with perf accounting one more for
each tree. The kernel's lists of children can miss a child while its parent forks, and an orphan can be reparented
before any sample has seen it. A scan of the machine finds such members: 30 s after the last one, or earlier after many
processes have started and ended.
"""

from __future__ import annotations

import os
import sys
import time
from _thread import RLock  # importing threading costs 2 ms

from prock import engine as engines
from prock._compat import fork
from prock.engine.pids import check_pid
from prock.errors import AccessDenied, NoSuchProcess
from prock.sampling.options import SamplingOptions
from prock.sampling.sample import TreeSample
from prock.sampling.tree_state import NO_SUMS, TreeState

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import TypeVar, Unpack

    from prock.accounting.bpf_attach import BpfClock
    from prock.accounting.perf_attach import TaskClocks
    from prock.engine.protocol import Engine
    from prock.engine.tuples import MemberChange, MemberEnd
    from prock.model import ProcessInfo
    from prock.sampling.options import SamplingKeywords

    Event = TypeVar("Event", MemberChange, MemberEnd)

ALL_TREES = -1
SCAN_EVERY_NS = 30_000_000_000
SCAN_AFTER_CHURN_NS = 1_000_000_000
SCAN_SHARE = 500
"""Scans of the machine take at most one 500th of the time, however large the machine is."""
SEARCH_SHARE = 20
"""Searches for the roots of trees, each a scan of the machine, take at most one 20th of the time."""


class Forest:
    """Several process trees, sampled in one pass: the fixed costs of a sample are paid once for all of them.

    `sample` returns a `TreeSample` for each root. Trees do not overlap: `add` raises `ValueError` for a root that is a
    member of another tree; an inner tree that was added before the outer one stays separate. A tree without living
    members, which zombies are not, stays until `remove`, or until its root's pid is reused and added again. Threads may
    share a forest; a forked child cannot use it.

    - `roots`: pids of the roots, None for the calling process; default: none, see `add`. One baseline serves all of
      them; a root below another one is a tree of its own.
    - `missing_ok`: skip roots that have ended or that this user may not read, instead of raising. Default: False.
    - `options`: see `SamplingOptions`.
    - `engine`, `clock`: source of rows and of monotonic nanoseconds. Default: those of this system.
    - `scans`: scan the machine for members that the lists of children miss. Default: True. With False the caller
      reports orphans by `adopt`.

    Raises `NoSuchProcess`, `AccessDenied` and `ValueError` as `add`.

    >>> import os
    >>> workers = [os.getpid()]  # the pids of a pool of workers
    >>> with Forest(workers, io=True) as forest:
    ...     for pid, sample in forest.sample().items():
    ...         print(pid == workers[0], sample.process_count >= 1)
    True True
    """

    def __init__(
        self,
        roots: Iterable[int | None] = (),
        *,
        engine: Engine | None = None,
        clock: Callable[[], int] = time.monotonic_ns,
        scans: bool = True,
        missing_ok: bool = False,
        **options: Unpack[SamplingKeywords],
    ) -> None:
        self._options = SamplingOptions(**options)
        self._options.check()
        self._engine = engines.active if engine is None else engine
        self._clock = clock
        self._scans = scans
        self._tracker = self._engine.track(self._options.want, 0)
        self._trees: dict[int, TreeState] = {}
        self._scanned_ns = clock()
        self._scan_cost_ns = 0
        self._churn = 0
        self._lock = Exclusive()
        self._pid = os.getpid()
        self._closed = False
        fork.register(self)
        self._tracker.limit(_cached_descriptors_limit())
        try:
            for root in roots:
                try:
                    tree = self._open_tree(root)
                except (NoSuchProcess, AccessDenied):
                    if not missing_ok:
                        raise
                else:
                    self._trees[tree.root[0]] = tree
            if self._trees:
                self._take_baseline(self.trees, ALL_TREES)
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Forest:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def __len__(self) -> int:
        return len(self._trees)

    @property
    def roots(self) -> tuple[int, ...]:
        """Pids of the roots, in the order of `add`."""
        return tuple(self._trees)

    @property
    def trees(self) -> list[TreeState]:
        """The state of each tree, in the order of `add`."""
        return list(self._trees.values())

    @property
    def descriptors(self) -> int:
        """Number of file descriptors held open."""
        return self._tracker.descriptors + sum(tree.events.descriptors for tree in self.trees if tree.events)

    @property
    def is_open(self) -> bool:
        """False after `close`, and in a forked child."""
        return not self._closed

    def tree(self, root: int) -> TreeState:
        """The state of a root's tree. Raises `KeyError` for a pid that is not a root here."""
        return self._trees[root]

    def close(self) -> None:
        """Close all file descriptors. Later calls raise `ValueError`; a second `close` does nothing."""
        with self._lock:
            self._closed = True
            self._tracker.close()
            for tree in self._trees.values():
                tree.close()

    def add(self, root: int | None = None, *, since_birth: bool = False) -> None:
        """Follow one more tree from now on. Cost: two passes over it, and with perf accounting one event a thread.

        - `root`: pid of the root; default: the calling process.
        - `since_birth`: count what the members have used since they started. Only for a root that was created for
          this measurement, as by the caller itself. Default: False, count from now on.

        Raises `NoSuchProcess`; `AccessDenied` for a root that this user may not read, and with ``accounting="perf"``
        for any member; `ValueError` for a process that is followed already and for a number that cannot be a pid.
        """
        with self._lock:
            self._check_open()
            tree = self._open_tree(root)
            try:
                if since_birth:
                    tree.ledger.count_from_birth()
                self._take_baseline([tree], tree.number, since_birth=since_birth)
            except BaseException:
                self._tracker.remove(tree.number)
                tree.close()
                raise
            self._trees[tree.root[0]] = tree

    def _open_tree(self, root: int | None) -> TreeState:
        """A tree without a baseline."""
        info = self._engine.info(check_pid(root))
        if info is None:
            raise NoSuchProcess(root or os.getpid())
        for pid, tree in self._trees.items():
            if info.identity in (tree.root, tree.ledger.identity_of(info.pid)):
                raise ValueError(f"process {info.pid} is followed already: it is in the tree of process {pid}")
        if info.pid in self._trees:
            self._drop(info.pid)
        taken = {tree.number for tree in self._trees.values()}
        number = next(number for number in range(len(taken) + 1) if number not in taken)
        events = self._attach(info.pid)
        try:
            added = self._tracker.add(info.pid, number)
            if added is None:
                raise NoSuchProcess(info.pid)
        except BaseException:
            if events is not None:
                events.close()
            raise
        tree = TreeState(added, number, self._options, io_handed_on=self._engine.io_includes_children)
        tree.events = events
        return tree

    def _attach(self, root: int) -> TaskClocks | BpfClock | None:
        """Perf events or eBPF records for the tree, where they are wanted and available."""
        if self._options.accounting == "ledger":
            return None
        from prock.accounting.open_sources import attach_clocks

        return attach_clocks(self._engine, root, self._options.accounting, _perf_descriptors_left())

    def _take_baseline(self, trees: list[TreeState], number: int, *, since_birth: bool = False) -> None:
        """Two passes over new trees (`CpuLedger.rebase` says why); one where everything since birth counts."""
        passed = self._tracker.sample([], number, False)
        changed, ended = _by_tree(passed.changed), _by_tree(passed.ended)
        now_ns, slept_ns = self._clock(), _slept_ns()
        for tree in trees:
            tree.begin(changed.get(tree.number, []), ended.get(tree.number, []), passed.sums[tree.number])
            tree.began_ns = tree.taken_ns = now_ns
            tree.slept_ns = slept_ns
        if since_birth:
            return
        passed = self._tracker.sample([], number, True)
        changed, ended = _by_tree(passed.changed), _by_tree(passed.ended)
        for tree in trees:
            tree.rebase(changed.get(tree.number, []), ended.get(tree.number, []))

    def adopt(self, root: int, pid: int) -> None:
        """Add a process to a root's tree, such as an orphan that was reparented before a sample saw it.

        Does nothing for a process that has ended or is a member already. Raises `KeyError` for an unknown `root`,
        `AccessDenied`.
        """
        with self._lock:
            self._check_open()
            tree = self._trees[root]
            info = self._engine.info(check_pid(pid))
            if info is not None and info.identity not in tree.ledger:
                self._tracker.adopt(info.pid, info.start_ticks, tree.number)

    def remove(self, root: int) -> None:
        """Stop following a tree. Raises `KeyError` for a pid that is not a root here."""
        with self._lock:
            self._check_open()
            self._drop(root)

    def _drop(self, root: int) -> None:
        tree = self._trees.pop(root)
        self._tracker.remove(tree.number)
        tree.close()

    def sample(self, *, due_ns: int | None = None, skipped: int = 0) -> dict[int, TreeSample]:
        """Sample all trees now. Returns a `TreeSample` for each root's pid; raises `ValueError` after `close`.

        - `due_ns`: when the sample was due, in monotonic nanoseconds, for `TreeTotals.late_ns`. Default: unknown, 0.
        - `skipped`: number of samples left out before it, for `TreeTotals.skipped`. Default: 0.

        Cost a member: one `clock_gettime`. A member that has run since the last sample costs one read more for its
        memory, one for its I/O, and, if the machine has allocated new pids, one for its row and one for its children.
        Perf accounting reads each event, in at most a 100th of the time. Other systems than Linux: one listing of all
        processes, and a row a member.
        """
        with self._lock:
            self._check_open()
            began_ns = time.thread_time_ns()
            self._find_missed_members(self._clock())
            taken_ns = self._clock()
            reading_since_ns = time.monotonic_ns()
            reread = [pid for tree in self._trees.values() for pid, _ in tree.ledger.to_reread]
            snapshot, sums, all_changed, all_ended = self._tracker.sample(reread, ALL_TREES, False)
            reading_ns = time.monotonic_ns() - reading_since_ns
            self._churn += len(all_changed) + len(all_ended)
            changed, ended = _by_tree(all_changed), _by_tree(all_ended)
            for tree in self._trees.values():
                number = tree.number
                tree.advance(
                    changed.get(number, []),
                    ended.get(number, []),
                    sums[number] if number < len(sums) else NO_SUMS,
                    taken_ns,
                    reading_ns,
                )
                if tree.pss is not None:
                    tree.pss.forget(tree.sums.sharing)
                    alone = [pid for pid in self._tracker.pids(number) if pid not in tree.sums.sharing]
                    tree.pss.read(self._engine, alone, taken_ns, taken_ns - tree.taken_ns)
            slept_ns = _slept_ns()
            cost_ns = time.thread_time_ns() - began_ns
            late_ns = 0 if due_ns is None else max(0, taken_ns - due_ns)
            return {
                pid: tree.sample(snapshot, taken_ns, slept_ns, cost_ns, late_ns, skipped)
                for pid, tree in self._trees.items()
            }

    def _find_missed_members(self, now_ns: int) -> None:
        """Scan the machine, if it is time, for members that are in no list of children."""
        no_children_lists = self._tracker.no_children_lists
        if not (self._scans or no_children_lists):
            return
        if not self._engine.children_list_is_racy and not any(tree.sessions for tree in self._trees.values()):
            return  # a scan finds only children of members, and every pass finds those
        members = sum(len(tree.ledger) for tree in self._trees.values())
        much_churn = self._churn > members // 2 + 16
        wait_ns = max(SCAN_AFTER_CHURN_NS if much_churn else SCAN_EVERY_NS, SCAN_SHARE * self._scan_cost_ns)
        if now_ns - self._scanned_ns <= wait_ns and not no_children_lists:
            return
        self._churn = 0
        self._tracker.limit(_cached_descriptors_limit())  # the number of forests or the limit may have changed
        began_ns = time.monotonic_ns()
        rows = self._engine.scan()
        sessions_alive = {row.session for row in rows if row.session is not None}
        for tree in self._trees.values():
            self._adopt_from(rows, tree)
            tree.sessions = {session: ticks for session, ticks in tree.sessions.items() if session in sessions_alive}
        self._scanned_ns = now_ns
        self._scan_cost_ns = time.monotonic_ns() - began_ns

    def _adopt_from(self, rows: Iterable[ProcessInfo], tree: TreeState) -> None:
        ledger = tree.ledger
        foreign = [row for row in rows if row.identity not in ledger]
        for row in foreign:
            if row.session == row.pid:  # the id was reused
                tree.sessions.pop(row.pid, None)
        for row in foreign:
            parent = ledger.identity_of(row.ppid)
            is_child = parent is not None and parent[1] <= row.start_ticks
            if is_child or (row.session in tree.sessions and row.start_ticks >= tree.began_ticks):
                self._tracker.adopt(row.pid, row.start_ticks, tree.number)

    def _check_open(self) -> None:
        if self._pid != os.getpid():
            raise ValueError(f"this sampler belongs to process {self._pid}: create a new one after a fork")
        if self._closed:
            raise ValueError("this sampler is closed: create a new one")

    def after_fork(self) -> None:
        """In the child the descriptors are copies, and a thread that does not exist there may hold the lock."""
        self._closed = True
        self._lock = Exclusive()
        self._tracker.close()


class Exclusive:
    """A lock for threads. In a signal handler that interrupted its holder, waiting for it would never end: that raises.

    The holder may be in the middle of a sample, so that it cannot be entered twice either.
    """

    def __init__(self) -> None:
        self._lock = RLock()  # which knows its holder from the same instant on as it is held

    def __enter__(self) -> None:
        if self._lock._is_owned():  # type: ignore[attr-defined]  # as threading.Condition uses it
            raise RuntimeError("this sampler is in use by the code that a signal handler interrupted: sample elsewhere")
        self._lock.acquire()

    def __exit__(self, *exception: object) -> None:
        self._lock.release()


def _by_tree(events: Iterable[Event]) -> dict[int, list[Event]]:
    """Changes or ends of members, by the number of their tree."""
    grouped: dict[int, list[Event]] = {}
    for event in events:
        grouped.setdefault(event.tree, []).append(event)
    return grouped


def _slept_ns() -> int | None:
    """How long the machine was suspended since boot: CLOCK_BOOTTIME less CLOCK_MONOTONIC. None: not on Linux."""
    if sys.platform != "linux":
        return None
    for _ in range(3):  # again if this thread was interrupted between the two readings
        before_ns = time.monotonic_ns()
        with_sleep_ns = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
        if time.monotonic_ns() - before_ns < 500_000:
            break
    return with_sleep_ns - before_ns


def _open_forests() -> list[Forest]:
    return [forest for forest in fork.registered() if isinstance(forest, Forest) and forest.is_open]


def _descriptor_budget() -> int:
    """File descriptors for all forests of this process: half of the soft limit, which prock never raises."""
    limit = -1
    if sys.platform != "win32":
        limit = os.sysconf("SC_OPEN_MAX")
    return (limit if limit > 0 else 2**16) // 2


def _cached_descriptors_limit() -> int:
    """One forest's part: a quarter of the budget is for cached files, divided equally."""
    return _descriptor_budget() // 4 // max(1, len(_open_forests()))


def _perf_descriptors_left() -> int:
    """Three quarters of the budget are for perf events, first come, first served: half a tree is useless."""
    in_use = sum(tree.events.descriptors for forest in _open_forests() for tree in forest.trees if tree.events)
    return max(0, _descriptor_budget() * 3 // 4 - in_use)
