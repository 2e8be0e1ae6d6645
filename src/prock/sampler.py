"""Follow trees: each sample says what every member and the whole tree use, at a cost that is the tree's.

Once a member, always a member, until it ends: whoever starts a session of its own, is orphaned or handed to somebody
outside stays. Processes are known by identity, not by pid. What was used goes through the ledger, so totals never fall
and hold nothing twice; what belongs to no living process stands in the sample as a figure of its own.

A sample is one call into the engine (see `prock.engine.protocol.Keep`). Members that the kernel's lists of children do
not lead to (a list can miss one while its process forks; an orphan can be handed on before it was seen) are found by a
scan of the machine, half a minute after the last one, or after much has come and gone.
"""

from __future__ import annotations

import os
import time
from _thread import allocate_lock  # the module threading around it costs two milliseconds to import
from _weakref import ref

from prock import engine as engines
from prock.engine.procfs import check_pid
from prock.engine.protocol import WANT_CPU, WANT_IO, WANT_STAT
from prock.errors import NoSuchProcess
from prock.io_ledger import IoLedger
from prock.ledger import Ledger
from prock.model import DiskIo, Identity, MemberSample, ProcessInfo, TreeTotals

TYPE_CHECKING = False  # see _records.py
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any

    from prock.engine.protocol import Engine, Frame, Sums

ACCOUNTING = ("auto", "perf", "ledger")
VERIFY_NS = 30_000_000_000
VERIFY_AFTER_CHURN_NS = 1_000_000_000
PSS_EVERY_NS = 10_000_000_000
"""How old a member's share of memory gets before it is read again ..."""
PSS_SHARE = 50
"""... and the part of the time (one 50th) that all such readings may take, as they hold a lock of who is read."""
DESCRIPTORS_SHARE = 2
"""Kept descriptors take at most half of the soft limit, and each forest at most half of what others left of that."""

_forests: list[ref[Forest]] = []


class TreeSample(TreeTotals):
    """A tree in one sample: its `TreeTotals`, and its members.

    >>> with TreeSampler() as sampler:
    ...     sample = sampler.sample()
    >>> sample.process_count == len(sample.members) and sample.root.pid == sample.root_pid
    True
    """

    @property
    def members(self) -> tuple[MemberSample, ...]:
        """Root first, then breadth first; orphans that others adopted follow the root. Made when first asked for."""
        if "members" not in self.__dict__:
            self.__dict__["members"] = tuple(self.__dict__.pop("_make_members")())
        made: tuple[MemberSample, ...] = self.__dict__["members"]
        return made

    @property
    def root(self) -> MemberSample | None:
        """None once it has ended; what it started stays the tree."""
        first = next(iter(self.members), None)
        return first if first is not None and first.identity == self.__dict__["_root"] else None

    @property
    def totals(self) -> TreeTotals:
        """Without the members: what to keep of many samples."""
        return TreeTotals(*self)

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"a TreeSample does not change: {name} can't be set")

    def __reduce__(self) -> tuple[Any, ...]:
        return _sample_of, (tuple(self), self.__dict__["_root"], self.members)


def _sample_of(totals: Iterable[Any], root: Identity, members: tuple[MemberSample, ...]) -> TreeSample:
    sample = TreeSample(*totals)
    sample.__dict__.update(_root=root, members=members)
    return sample


class _Account:
    """What is known of one tree from sample to sample."""

    def __init__(self, root: ProcessInfo, number: int, *, memory: bool, io: bool, pss: bool) -> None:
        self.root = root.identity
        self.number = number
        self.ledger = Ledger()
        self.io = IoLedger() if io else None
        self.memory = memory
        self.sessions: set[int] = set()
        """Those that a member leads or led: who is in one descends from a member."""
        self.shares: dict[int, tuple[int, int]] | None = {} if pss else None
        """Of pids: PSS in bytes, and when it was read."""
        self.pss_allowance_ns = 0
        self.began_ticks = 0
        self.began_ns = self.taken_ns = self.boottime_ns = 0
        self.cpu_ns = 0
        self.root_lives = True
        self.ended_early: list[tuple[Identity, int, DiskIo | None]] = []
        """Members that ended while the baseline was taken."""

    def advance(
        self,
        changed: list[tuple[ProcessInfo, DiskIo | None, bool]],
        ended: list[tuple[Identity, int, DiskIo | None]],
        living_ns: int,
        leaves_io: DiskIo,
    ) -> None:
        if self.ended_early:
            ended, self.ended_early = self.ended_early + ended, []
        rows = [row for row, _, _ in changed]
        if self.io is not None:
            for row, io, _ in changed:
                if io is not None and row.identity not in self.ledger:
                    self.io.open(row.identity, io, existed=self.ledger.existed(row))
        self.ledger.advance(rows, [(identity, own_ns) for identity, own_ns, _ in ended], living_ns)
        if self.io is not None:
            parents = [(row, io) for row, io, is_parent in changed if io is not None and is_parent]
            last = {identity: io for identity, _, io in ended if io is not None}
            self.io.advance(parents, last, self.ledger.inherited, leaves_io)
        for identity, _, _ in ended:
            self.root_lives = self.root_lives and identity != self.root
            if self.shares is not None:
                self.shares.pop(identity[0], None)
        for row in rows:
            if row.session == row.pid:
                self.sessions.add(row.session)
            if self.shares is not None and not row.is_alive:
                self.shares.pop(row.pid, None)

    def begin_again(self, changed: list[tuple[ProcessInfo, DiskIo | None, bool]]) -> None:
        """The second pass of the baseline: see `Ledger.rebase`."""
        if self.io is not None:
            for row, io, _ in changed:
                if io is not None:
                    self.io.open(row.identity, io, existed=True)
        self.ledger.rebase([row for row, _, _ in changed])
        self.sessions.update(row.session for row, _, _ in changed if row.session == row.pid)


class Forest:
    """Several trees, followed in one pass: a supervisor of 50 workers pays once.

    `sample` answers each root's `TreeSample`. Trees do not overlap: a root that is a member of another root's tree is
    refused with `ValueError`, and one that was there first stays a tree of its own. A tree whose members have all
    ended stays until it is removed. Options as of `TreeSampler`.

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
    ) -> None:
        if accounting not in ACCOUNTING:
            raise ValueError(f"{accounting!r} is no accounting: choose one of {', '.join(ACCOUNTING)}")
        self._engine = engines.active if engine is None else engine
        self._clock = clock
        self._options = {"memory": memory, "io": io, "pss": pss}
        self._descriptors = _share_of_descriptors()
        want = WANT_CPU | (WANT_STAT if memory else 0) | (WANT_IO if io else 0)
        self._keep = self._engine.keep(want, self._descriptors)
        self._trees: dict[int, _Account] = {}
        self._numbers = 0
        self._verified_ns = clock()
        self._churn = 0
        self._lock = allocate_lock()
        self._pid = os.getpid()
        self._closed = False
        _forests[:] = [known for known in _forests if known() is not None]
        _forests.append(ref(self))
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

    def close(self) -> None:
        """Give back all descriptors. A sample after that is refused with `ValueError`."""
        with self._lock:
            self._closed = True
            self._keep.close()

    def add(self, root: int | None = None) -> None:
        """Follow one more tree, from now on. Cost: two passes over it. Raises `NoSuchProcess`, `AccessDenied`."""
        with self._lock:
            self._check_open()
            info = self._engine.info(check_pid(root))
            if info is None:
                raise NoSuchProcess(root or os.getpid())
            for pid, account in self._trees.items():
                if account.ledger.identity_of(info.pid) is not None:
                    raise ValueError(f"process {info.pid} is followed already, as part of the tree of {pid}")
            self._trees.pop(info.pid, None)
            number = self._free_number()
            added = self._keep.add(info.pid, number)
            if added is None:
                raise NoSuchProcess(info.pid)
            account = _Account(added, number, **self._options)
            self._begin(account)
            self._trees[added.pid] = account

    def _free_number(self) -> int:
        taken = {account.number for account in self._trees.values()}
        return next(number for number in range(len(taken) + 1) if number not in taken)

    def _begin(self, account: _Account) -> None:
        number = account.number
        _, sums, changed, ended = self._keep.sample([], number, False)
        mine = [event[1:] for event in changed]
        account.began_ticks = max((row.start_ticks for row, _, _ in mine), default=0)
        account.advance(mine, [event[1:] for event in ended], sums[number][2] if sums else 0, _leaves_of(sums, number))
        account.began_ns = account.taken_ns = self._clock()
        account.boottime_ns = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
        _, _, changed, ended = self._keep.sample([], number, True)
        account.begin_again([event[1:] for event in changed])
        account.ended_early = [event[1:] for event in ended]

    def remove(self, root: int) -> None:
        """Follow it no longer. Raises `KeyError` where it is no root here."""
        with self._lock:
            self._keep.remove(self._trees.pop(root).number)

    def sample(self, *, due_ns: int | None = None, skipped: int = 0) -> dict[int, TreeSample]:
        """Each root's tree now. `due_ns`, `skipped`: for `TreeTotals.late_ns` and `TreeTotals.skipped`.

        Cost a member: one `clock_gettime`; one that has run since, and where they are asked for, one read each for its
        memory and I/O, and where the machine has given away new pids, one each for its row and its children.
        """
        with self._lock:
            self._check_open()
            began_ns = time.thread_time_ns()
            taken_ns = self._clock()
            self._verify(taken_ns)
            reread = [pid for account in self._trees.values() for pid, _ in account.ledger.to_reread]
            frame, sums, changed, ended = self._keep.sample(reread, -1, False)
            self._distribute(sums, changed, ended)
            boottime_ns = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
            for account in self._trees.values():
                self._read_shares(account, taken_ns)
            cost_ns = time.thread_time_ns() - began_ns
            late_ns = 0 if due_ns is None else max(0, taken_ns - due_ns)
            return {
                pid: self._sample_of(account, frame, sums, ended, (taken_ns, boottime_ns, cost_ns, late_ns, skipped))
                for pid, account in self._trees.items()
            }

    def _distribute(
        self,
        sums: list[Sums],
        changed: list[tuple[int, ProcessInfo, DiskIo | None, bool]],
        ended: list[tuple[int, Identity, int, DiskIo | None]],
    ) -> None:
        self._churn += len(ended) + len(changed)
        for account in self._trees.values():
            number = account.number
            account.advance(
                [event[1:] for event in changed if event[0] == number],
                [event[1:] for event in ended if event[0] == number],
                sums[number][2] if number < len(sums) else 0,
                _leaves_of(sums, number),
            )

    def _sample_of(
        self,
        account: _Account,
        frame: Frame,
        sums: list[Sums],
        ended: list[tuple[int, Identity, int, DiskIo | None]],
        took: tuple[int, int, int, int, int],
    ) -> TreeSample:
        number, ledger = account.number, account.ledger
        taken_ns, boottime_ns, cost_ns, late_ns, skipped = took
        processes, threads, _, rss, vsize, _, denied, appeared, vanished = (
            sums[number] if number < len(sums) else (0, 0, 0, 0, 0, None, 0, 0, 0)
        )
        interval_ns = max(0, taken_ns - account.taken_ns)
        cpu_ns = ledger.total_ns
        sample = TreeSample(
            root_pid=account.root[0],
            taken_ns=taken_ns,
            interval_ns=interval_ns,
            elapsed_ns=max(0, taken_ns - account.began_ns),
            process_count=processes,
            num_threads=threads,
            cpu_ns=cpu_ns,
            cpu_percent=100.0 * (cpu_ns - account.cpu_ns) / interval_ns if interval_ns else None,
            accounting="ledger",
            ended_cpu_ns=ledger.ended_ns,
            unseen_cpu_ns=ledger.unseen_ns,
            rss_bytes=rss if account.memory else None,
            vsize_bytes=vsize if account.memory else None,
            pss_bytes=sum(share for share, _ in account.shares.values()) if account.shares else None,
            pss_age_ns=max(taken_ns - at_ns for _, at_ns in account.shares.values()) if account.shares else None,
            disk_io=None if account.io is None else account.io.total,
            appeared=appeared,
            ended=sum(1 for event in ended if event[0] == number) if ended else 0,
            vanished=vanished,
            denied=denied,
            cost_ns=cost_ns,
            late_ns=late_ns,
            skipped=skipped,
            suspended_ns=max(0, boottime_ns - account.boottime_ns - (taken_ns - account.taken_ns))
            // 1_000_000
            * 1_000_000,
        )
        unseen = [(pid, ns) for (pid, _), ns in ledger.lately_unseen]
        shares = {pid: share for pid, (share, _) in account.shares.items()} if account.shares else {}
        sample.__dict__.update(
            _root=account.root, _make_members=lambda: frame.rows(number, interval_ns, unseen, shares)
        )
        account.taken_ns, account.boottime_ns, account.cpu_ns = taken_ns, boottime_ns, cpu_ns
        return sample

    def _read_shares(self, account: _Account, now_ns: int) -> None:
        """PSS of those whose share is the oldest, as far as their part of the time goes."""
        if account.shares is None:
            return
        account.pss_allowance_ns = min(
            account.pss_allowance_ns + (now_ns - account.taken_ns) // PSS_SHARE, PSS_EVERY_NS // PSS_SHARE
        )
        if account.pss_allowance_ns <= 0 and account.shares:
            return
        shares = account.shares
        due = [
            pid
            for pid in self._keep.pids(account.number)
            if pid not in shares or now_ns - shares[pid][1] >= PSS_EVERY_NS
        ]
        due.sort(key=lambda pid: shares[pid][1] if pid in shares else -1)
        began_ns = time.monotonic_ns()
        for pid, share in zip(due, self._engine.pss(due, began_ns + account.pss_allowance_ns), strict=False):
            if share is None:
                shares.pop(pid, None)
            else:
                shares[pid] = (share, now_ns)
        account.pss_allowance_ns -= time.monotonic_ns() - began_ns

    def _verify(self, now_ns: int) -> None:
        """Look through the whole machine for members that nobody's list of children leads to."""
        since_ns = now_ns - self._verified_ns
        members = sum(1 for account in self._trees.values() for _ in account.ledger) if self._churn else 0
        much_churn = self._churn > members // 2 + 16 and since_ns > VERIFY_AFTER_CHURN_NS
        if not (since_ns > VERIFY_NS or much_churn or self._keep.lacks_children):
            return
        self._churn = 0
        rows = self._engine.scan()
        sessions_alive = {row.session for row in rows}
        for account in self._trees.values():
            self._adopt_from(rows, account)
            account.sessions &= sessions_alive
        self._verified_ns = self._clock()

    def _adopt_from(self, rows: Iterable[ProcessInfo], account: _Account) -> None:
        ledger = account.ledger
        for row in rows:
            if row.session == row.pid and row.session in account.sessions and row.identity not in ledger:
                account.sessions.discard(row.session)  # given away again
        for row in rows:
            if row.identity in ledger:
                continue
            parent = ledger.identity_of(row.ppid)
            is_child = parent is not None and parent[1] <= row.start_ticks
            if is_child or (row.session in account.sessions and row.start_ticks >= account.began_ticks):
                self._keep.adopt(row.pid, row.start_ticks, account.number)

    def _check_open(self) -> None:
        if self._pid != os.getpid():
            raise ValueError(f"this sampler belongs to process {self._pid}: make a new one after a fork")
        if self._closed:
            raise ValueError("this sampler is closed")

    def _after_fork(self) -> None:
        """In the child: the descriptors are copies, and the lock may be held by a thread that is not there."""
        self._closed = True
        self._lock = allocate_lock()
        self._keep.close()


class TreeSampler:
    """Follow one tree. Taking a baseline is part of making it, so the first sample has an interval like all others.

    `memory`, `io`: read resident sets and I/O counters too. `pss`: and proportional shares, slowly: each at most every
    ten seconds, and all together in at most a 50th of the time. `accounting`: ``ledger``, or ``perf`` for totals that
    miss nobody, or ``auto`` for the best that this machine allows.

    None is the calling process. Raises `NoSuchProcess`, `AccessDenied`, and for what can't be a pid `ValueError` or
    `TypeError`. One member that refuses does not sink the tree: it is counted as `TreeTotals.denied`.
    Threads may share it: one waits for the other. A forked child can't use it. Cost: see `Forest.sample`.

    >>> with TreeSampler() as sampler:
    ...     total = sum(i * i for i in range(100_000))
    ...     sampler.sample().cpu_ns > 0
    True
    """

    def __init__(
        self,
        root: int | None = None,
        *,
        memory: bool = True,
        io: bool = False,
        pss: bool = False,
        accounting: str = "auto",
        engine: Engine | None = None,
        clock: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        self._forest = Forest(memory=memory, io=io, pss=pss, accounting=accounting, engine=engine, clock=clock)
        try:
            self._forest.add(root)
        except BaseException:
            self._forest.close()
            raise
        (self.root_pid,) = self._forest.roots
        self._account = self._forest._trees[self.root_pid]

    @property
    def root(self) -> Identity:
        return self._account.root

    @property
    def root_lives(self) -> bool:
        """Whether the root had not ended yet in the last sample."""
        return self._account.root_lives

    def __enter__(self) -> TreeSampler:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def sample(self, *, due_ns: int | None = None, skipped: int = 0) -> TreeSample:
        """The tree now. `due_ns`, `skipped`: for `TreeTotals.late_ns` and `TreeTotals.skipped`."""
        return self._forest.sample(due_ns=due_ns, skipped=skipped)[self.root_pid]

    def close(self) -> None:
        """Give back all descriptors."""
        self._forest.close()


def _share_of_descriptors() -> int:
    limit = os.sysconf("SC_OPEN_MAX")
    taken = sum(forest._descriptors for forest in map(ref.__call__, _forests) if forest and not forest._closed)
    return max(0, (limit if limit > 0 else 2**16) // DESCRIPTORS_SHARE - taken) // 2


def _leaves_of(sums: list[Sums], number: int) -> DiskIo:
    return DiskIo(*sums[number][5]) if number < len(sums) else DiskIo(0, 0, 0, 0, 0, 0, 0)


def _after_fork() -> None:
    for known in _forests:
        forest = known()
        if forest is not None:
            forest._after_fork()


os.register_at_fork(after_in_child=_after_fork)
