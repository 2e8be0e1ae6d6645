"""Follow any number of trees in one pass: which processes belong to them, and what each uses.

A process that was a member once stays one until it ends, also after it has started a session of its own, was orphaned
or reparented to a process outside the tree. Processes are known by identity, not by pid. What was used goes through the
ledger, so totals never fall and nothing is counted twice; what belongs to no living process has a field of its own.

A sample is one call into the engine (see `prock.engine.protocol.MemberTracker`), and with perf accounting one more for
each tree. Members that the kernel's lists of children do not lead to (a list can miss one while its process forks; an
orphan can be reparented before it was seen) are found by a scan of the machine, 30 s after the last one, or earlier
after many processes have started and ended.
"""

from __future__ import annotations

import os
import sys
import time
from _thread import allocate_lock  # the module threading around it costs two milliseconds to import
from _weakref import ref

from prock import engine as engines
from prock.engine.pids import check_pid
from prock.engine.protocol import WANT_CPU, WANT_IO, WANT_STAT
from prock.errors import AccessDenied, NoSuchProcess, NotSupported, OutOfDescriptors
from prock.sampling.sample import TreeSample
from prock.sampling.tree_state import NO_SUMS, TreeState

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from prock.accounting.perf_clock import TaskClocks
    from prock.engine.protocol import Engine
    from prock.model import ProcessInfo

ACCOUNTING = ("auto", "perf", "ledger")
VERIFY_NS = 30_000_000_000
VERIFY_AFTER_CHURN_NS = 1_000_000_000
VERIFY_SHARE = 500
"""Scans of the machine take at most one 500th of the time, however large it is."""

_forests: set[ref[Forest]] = set()
"""Threads may add at once: each adds itself, and takes itself out when it is gone. To be looked through it is
copied, in one step: any other can set off a garbage collection, which takes out of it what has gone."""


class Forest:
    """Several trees, followed in one pass: a supervisor of 50 workers pays once.

    `sample` answers each root's `TreeSample`. Trees do not overlap: a root that is a member of another root's tree is
    refused with `ValueError`, and one that was there first stays a tree of its own. A tree whose members have all
    ended stays until it is removed, or its root's pid, given away again, is added anew. Options as of `TreeSampler`;
    without `scans` the machine is not looked through: for who is told of orphans, and calls `adopt`.

    >>> import os
    >>> with Forest([os.getpid()]) as forest:
    ...     forest.sample()[os.getpid()].process_count >= 1
    True
    """

    def __init__(
        self,
        roots: Iterable[int] = (),
        *,
        memory: bool = True,
        io: bool = False,
        pss: bool = False,
        accounting: str = "auto",
        engine: Engine | None = None,
        clock: Callable[[], int] = time.monotonic_ns,
        scans: bool = True,
    ) -> None:
        if accounting not in ACCOUNTING:
            raise ValueError(f"{accounting!r} is no accounting: choose one of {', '.join(ACCOUNTING)}")
        self._engine = engines.active if engine is None else engine
        self._clock = clock
        self._options = {"memory": memory, "io": io, "pss": pss}
        self._accounting = accounting
        self._scans = scans
        want = WANT_CPU | (WANT_STAT if memory else 0) | (WANT_IO if io else 0)
        self._tracker = self._engine.track(want, 0)
        self._trees: dict[int, TreeState] = {}
        self._verified_ns = clock()
        self._verify_cost_ns = 0
        self._churn = 0
        self._lock = allocate_lock()
        self._pid = os.getpid()
        self._closed = False
        _forests.add(ref(self, _forests.discard))
        self._tracker.limit(_cached_descriptors_limit())
        try:
            for root in roots:
                self.add(root)
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
        return tuple(self._trees)

    @property
    def trees(self) -> list[TreeState]:
        return list(self._trees.values())

    @property
    def descriptors(self) -> int:
        """How many it holds open."""
        return self._tracker.descriptors + sum(tree.events.descriptors for tree in self.trees if tree.events)

    def tree(self, root: int) -> TreeState:
        """What is known of a root's tree. Raises `KeyError` where it is no root here."""
        return self._trees[root]

    def close(self) -> None:
        """Give back all descriptors. A sample after that is refused with `ValueError`."""
        with self._lock:
            self._closed = True
            self._tracker.close()
            for tree in self._trees.values():
                tree.close()

    def add(self, root: int | None = None, *, since_birth: bool = False) -> None:
        """Follow one more tree, from now on. Cost: two passes over it, and where perf accounts for it, its attachment.

        `since_birth`: count what its members have used in all their lives. Only for a root that had no tree of its own
        before what is to be counted began, as one that the caller has started.

        Raises `NoSuchProcess`, and `AccessDenied` where the root refuses, or with ``accounting="perf"`` anything below.
        """
        with self._lock:
            self._check_open()
            info = self._engine.info(check_pid(root))
            if info is None:
                raise NoSuchProcess(root or os.getpid())
            for pid, tree in self._trees.items():
                if tree.ledger.identity_of(info.pid) == info.identity:
                    raise ValueError(f"process {info.pid} is followed already, as part of the tree of {pid}")
            if info.pid in self._trees:
                self._drop(info.pid)
            taken = {tree.number for tree in self._trees.values()}
            number = next(number for number in range(len(taken) + 1) if number not in taken)
            events = self._attach(info.pid)
            try:
                added = self._tracker.add(info.pid, number)
                if added is None:
                    raise NoSuchProcess(info.pid)
                tree = TreeState(added, number, **self._options, io_handed_on=self._engine.io_includes_children)
                tree.events = events
                if since_birth:
                    tree.ledger.count_from_birth()
                self._begin(tree, since_birth)
            except BaseException:
                self._tracker.remove(number)
                if events is not None:
                    events.close()
                raise
            self._trees[info.pid] = tree

    def _attach(self, root: int) -> TaskClocks | None:
        """Perf events for its tree, where they are wanted and may be had."""
        if self._accounting == "ledger" or (self._accounting == "auto" and not self._engine.clocks_usable):
            return None
        if self._engine.name == "portable":
            raise NotSupported(
                "perf events: only Linux has them, and the engine portable asks for nothing of that kind"
            )
        from prock.accounting.perf_clock import TaskClocks

        try:
            return TaskClocks([root], self._engine, _left_for_events())
        except (AccessDenied, NotSupported, OutOfDescriptors):
            if self._accounting == "perf":
                raise
            return None

    def _begin(self, tree: TreeState, since_birth: bool) -> None:
        """The baseline: two passes (see `Ledger.rebase`), or where nothing is to be left out one."""
        number = tree.number
        _, sums, changed, ended = self._tracker.sample([], number, False)
        tree.begin([event[1:] for event in changed], [event[1:] for event in ended], sums[number])
        tree.began_ns = tree.taken_ns = self._clock()
        tree.slept_ns = _slept_ns()
        if since_birth:
            return
        _, _, changed, ended = self._tracker.sample([], number, True)
        tree.begin_again([event[1:] for event in changed], [event[1:] for event in ended])

    def adopt(self, root: int, pid: int) -> None:
        """Tell that a process belongs to a root's tree, as one that was orphaned before anybody saw it."""
        with self._lock:
            self._check_open()
            tree = self._trees[root]
            info = self._engine.info(check_pid(pid))
            if info is not None and info.identity not in tree.ledger:
                self._tracker.adopt(info.pid, info.start_ticks, tree.number)

    def remove(self, root: int) -> None:
        """Follow it no longer. Raises `KeyError` where it is no root here."""
        with self._lock:
            self._check_open()
            self._drop(root)

    def _drop(self, root: int) -> None:
        tree = self._trees.pop(root)
        self._tracker.remove(tree.number)
        tree.close()

    def sample(self, *, due_ns: int | None = None, skipped: int = 0) -> dict[int, TreeSample]:
        """Each root's tree now. `due_ns`, `skipped`: for `TreeTotals.late_ns` and `TreeTotals.skipped`.

        Cost a member: one `clock_gettime`; one that has run since, and where they are asked for, one read each for its
        memory and I/O, and where the machine has given away new pids, one each for its row and its children. With perf
        accounting one read an event, in all at most a 100th of the time. On other systems one look at all processes for
        who belongs to whom, and a row a member.
        """
        with self._lock:
            self._check_open()
            began_ns = time.thread_time_ns()
            taken_ns = self._clock()
            self._verify(taken_ns)
            reread = [pid for tree in self._trees.values() for pid, _ in tree.ledger.to_reread]
            snapshot, sums, changed, ended = self._tracker.sample(reread, -1, False)
            self._churn += len(changed) + len(ended)
            for tree in self._trees.values():
                number = tree.number
                tree.advance(
                    [event[1:] for event in changed if event[0] == number],
                    [event[1:] for event in ended if event[0] == number],
                    sums[number] if number < len(sums) else NO_SUMS,
                    taken_ns,
                )
                if tree.pss is not None:
                    tree.pss.read(self._engine, self._tracker.pids(number), taken_ns, taken_ns - tree.taken_ns)
            slept_ns = _slept_ns()
            cost_ns = time.thread_time_ns() - began_ns
            late_ns = 0 if due_ns is None else max(0, taken_ns - due_ns)
            return {
                pid: tree.sample(snapshot, taken_ns, slept_ns, cost_ns, late_ns, skipped)
                for pid, tree in self._trees.items()
            }

    def _verify(self, now_ns: int) -> None:
        """Look through the whole machine for members that nobody's list of children leads to."""
        if not (self._scans or self._tracker.no_children_lists):
            return
        if not self._engine.children_list_is_racy and not any(tree.sessions for tree in self._trees.values()):
            return  # who could be found is a child of a member, and every pass sees those
        members = sum(len(tree.ledger) for tree in self._trees.values())
        much_churn = self._churn > members // 2 + 16
        wait_ns = max(VERIFY_AFTER_CHURN_NS if much_churn else VERIFY_NS, VERIFY_SHARE * self._verify_cost_ns)
        if now_ns - self._verified_ns <= wait_ns and not self._tracker.no_children_lists:
            return
        self._churn = 0
        self._tracker.limit(
            _cached_descriptors_limit()
        )  # there may be more forests by now, or the limit may be another
        began_ns = time.monotonic_ns()
        rows = self._engine.scan()
        sessions_alive = {row.session for row in rows if row.session is not None}
        for tree in self._trees.values():
            self._adopt_from(rows, tree)
            tree.sessions &= sessions_alive
        self._verified_ns = now_ns
        self._verify_cost_ns = time.monotonic_ns() - began_ns

    def _adopt_from(self, rows: Iterable[ProcessInfo], tree: TreeState) -> None:
        ledger = tree.ledger
        foreign = [row for row in rows if row.identity not in ledger]
        tree.sessions.difference_update(row.pid for row in foreign if row.session == row.pid)  # given away again
        for row in foreign:
            parent = ledger.identity_of(row.ppid)
            is_child = parent is not None and parent[1] <= row.start_ticks
            if is_child or (row.session in tree.sessions and row.start_ticks >= tree.began_ticks):
                self._tracker.adopt(row.pid, row.start_ticks, tree.number)

    def _check_open(self) -> None:
        if self._pid != os.getpid():
            raise ValueError(f"this sampler belongs to process {self._pid}: make a new one after a fork")
        if self._closed:
            raise ValueError("this sampler is closed")

    def _after_fork(self) -> None:
        """In the child: the descriptors are copies, and the lock may be held by a thread that is not there."""
        self._closed = True
        self._lock = allocate_lock()
        self._tracker.close()

    @property
    def is_open(self) -> bool:
        return not self._closed


def _slept_ns() -> int | None:
    """How long the machine has slept since it booted: what one clock counts and the other not. Linux alone has both."""
    if sys.platform != "linux":
        return None
    for _ in range(3):  # once more where this process was interrupted between them
        before_ns = time.monotonic_ns()
        with_sleep_ns = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
        if time.monotonic_ns() - before_ns < 500_000:
            break
    return with_sleep_ns - before_ns


def _open_forests() -> list[Forest]:
    return [forest for known in _forests.copy() if (forest := known()) is not None and forest.is_open]


def _all_descriptors() -> int:
    """How many the forests of this process may hold open together: half of the soft limit, which is never raised."""
    limit = -1
    if sys.platform != "win32":
        limit = os.sysconf("SC_OPEN_MAX")
    return (limit if limit > 0 else 2**16) // 2


def _cached_descriptors_limit() -> int:
    """Of one forest: a quarter of all is for files that are kept, divided equally."""
    return _all_descriptors() // 4 // max(1, len(_open_forests()))


def _left_for_events() -> int:
    """Three quarters are for perf events, for whom comes first: half a tree of events is of no use."""
    in_use = sum(tree.events.descriptors for forest in _open_forests() for tree in forest.trees if tree.events)
    return max(0, _all_descriptors() * 3 // 4 - in_use)


def _after_fork() -> None:
    for known in _forests.copy():
        forest = known()
        if forest is not None:
            forest._after_fork()


if sys.platform != "win32":
    os.register_at_fork(after_in_child=_after_fork)
