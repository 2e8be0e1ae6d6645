"""The state of one followed tree between samples: ledgers, perf events, PSS readings."""

from __future__ import annotations

import time

from prock.engine.tuples import TreeSums
from prock.model import NO_IO, NUMBERS, DiskIo, ProcessInfo
from prock.sampling.cpu_ledger import CpuLedger
from prock.sampling.io_ledger import IoLedger
from prock.sampling.pss_reader import PssReader
from prock.sampling.sample import TreeSample

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from prock.accounting.bpf_attach import BpfClock
    from prock.accounting.perf_attach import TaskClocks
    from prock.engine.tuples import MemberChange, MemberEnd, TrackerSnapshot
    from prock.sampling.options import SamplingOptions

PERF_SHARE = 100
"""Reading perf events takes at most one 100th of the time, but they are always read when a member has ended."""
LEDGER_RATE_NS = 900_000_000
"""CPU percent by the ledger is over at least this time: each parent's waited time comes in ticks of 10 ms, two of which
that arrive at once would be 40 % of a core in 50 ms."""
PERF_RATE_NS = 90_000_000
NO_SUMS = TreeSums(0, 0, 0, 0, 0, 0, NO_IO, 0, 0, 0, [], (None,) * len(NUMBERS))


class TreeState:
    """The state of one tree. `number` is its number in the engine's tracker."""

    def __init__(self, root: ProcessInfo, number: int, options: SamplingOptions, *, io_handed_on: bool = True) -> None:
        self.root = root.identity
        self.number = number
        self.ledger = CpuLedger()
        self.io = IoLedger(handed_on=io_handed_on) if options.io else None
        self.memory = options.memory
        self.pss = PssReader() if options.pss else None
        self.events: TaskClocks | BpfClock | None = None
        """The tree's perf events or records; None: its CPU comes from the ledger alone."""
        self.sessions: dict[int, int] = {}
        """Sessions that a member leads or led, and its start. What joins such a session later descends from it."""
        self.began_ticks = 0
        self.began_ns = self.taken_ns = 0
        self.slept_ns: int | None = None
        self.root_lives = True
        """False for a zombie too, however late its parent reaps it."""
        self.sums: TreeSums = NO_SUMS
        self.changed: list[MemberChange] = []
        self.ended: list[MemberEnd] = []
        """Members that changed or ended since the sample before."""
        self.cpu_ns = self._rate_ns = 0
        self._cpu_percent: float | None = None
        self._readings: list[tuple[int, int]] = []
        """When recent readings of `cpu_ns` began, and what they were."""
        self._io_was_read = False
        self._zombies_counted = 0
        """Zombies that the latest sample counted as ended."""
        self._ended_in_baseline: list[MemberEnd] = []
        self._perf_base_ns = 0
        self._perf_due_ns = 0

    def begin(self, changed: list[MemberChange], ended: list[MemberEnd], sums: TreeSums) -> None:
        """Apply the first pass of the baseline."""
        self.began_ticks = max((change.info.start_ticks for change in changed), default=0)
        self._apply(changed, ended, sums)

    def rebase(self, changed: list[MemberChange], ended: list[MemberEnd]) -> None:
        """Apply the second pass, see `CpuLedger.rebase`. Members that ended meanwhile count in the first sample."""
        self._identify(changed)
        if self.io is not None:
            for change in changed:
                if change.disk_io is not None:
                    self.io.open(change.info.identity, change.disk_io, existed=True)
        self.ledger.rebase([change.info for change in changed])
        self._note_sessions(changed)
        self._ended_in_baseline = ended
        if self.events is not None:
            self._perf_base_ns = self.events.total_ns()

    def advance(
        self, changed: list[MemberChange], ended: list[MemberEnd], sums: TreeSums, now_ns: int, reading_ns: int
    ) -> None:
        """Apply a sample that began at `now_ns` and has taken `reading_ns` until now."""
        began_ns = time.monotonic_ns()
        self._apply(changed, self._ended_in_baseline + ended, sums)
        self._ended_in_baseline = []
        perf_ns = self._perf_ns(now_ns)
        self.cpu_ns = max(self.cpu_ns, self.ledger.total_ns, perf_ns)
        if self.events is not None:
            reading_ns += time.monotonic_ns() - began_ns
        self._rate(now_ns, reading_ns, is_fresh=self.events is None or perf_ns > 0)

    def _rate(self, now_ns: int, reading_ns: int, *, is_fresh: bool) -> None:
        """CPU percent, from the beginning of an earlier reading to the end of this one: never more than was used.

        A process may have to wait for a CPU while it reads: over less time, more could seem to be used than there are
        CPUs. For the same reason a total in which perf was not read (`is_fresh`) does not begin a later interval.
        """
        window_ns = LEDGER_RATE_NS if self.events is None else PERF_RATE_NS
        readings = self._readings or [(self.began_ns, 0)]
        while len(readings) > 1 and readings[1][0] <= now_ns - window_ns:
            del readings[0]
        since_ns, before_ns = readings[0]
        self._rate_ns = now_ns + reading_ns - since_ns if now_ns > since_ns else 0
        self._cpu_percent = 100.0 * (self.cpu_ns - before_ns) / self._rate_ns if self._rate_ns else None
        if is_fresh and now_ns - readings[-1][0] >= window_ns // 16:
            readings.append((now_ns, self.cpu_ns))
        self._readings = readings

    def sample(
        self,
        snapshot: TrackerSnapshot,
        taken_ns: int,
        slept_ns: int | None,
        cost_ns: int,
        late_ns: int,
        skipped: int,
    ) -> TreeSample:
        """The sample for the state that `advance` left.

        In a tree that is over, zombies that no process has reaped yet are no members any more.
        """
        is_over = len(self.ledger) == self.ledger.zombie_count
        zombies, zombies_before = self.ledger.zombie_count if is_over else 0, self._zombies_counted
        sums = NO_SUMS._replace(appeared=self.sums.appeared, vanished=self.sums.vanished) if is_over else self.sums
        numbers: dict[str, Any] = {metric.name: sum_ for metric, sum_ in zip(NUMBERS, sums.numbers, strict=True)}
        interval_ns = max(0, taken_ns - self.taken_ns)
        pss = {} if self.pss is None else self.pss.bytes_of
        sample = TreeSample(
            root_pid=self.root[0],
            taken_ns=taken_ns,
            interval_ns=interval_ns,
            wall_ns=max(0, taken_ns - self.began_ns),
            process_count=sums.process_count,
            thread_count=sums.thread_count,
            cpu_ns=self.cpu_ns,
            cpu_percent=self._cpu_percent,
            cpu_percent_over_ns=self._rate_ns,
            accounting="ledger" if self.events is None else self.events.source,
            ended_cpu_ns=self.ledger.ended_ns,
            unseen_cpu_ns=self.unseen_ns,
            rss_bytes=sums.rss_bytes if self.memory else None,
            vsize_bytes=sums.vsize_bytes if self.memory else None,
            hugetlb_bytes=sums.hugetlb_bytes if self.memory else None,
            pss_bytes=sum(pss.values()) if pss else None,
            pss_age_ns=None if self.pss is None else self.pss.oldest_ns(taken_ns),
            disk_io=self.disk_io,
            appeared=sums.appeared,
            ended=len(self.ended) + zombies - zombies_before,
            vanished=sums.vanished,
            denied=sums.denied,
            cost_ns=cost_ns,
            late_ns=late_ns,
            skipped=skipped,
            suspended_ns=_suspended_ns(self.slept_ns, slept_ns),
            time=time.time() - (time.monotonic_ns() - taken_ns) / 1e9,
            **numbers,
        )
        unseen = [(pid, ns) for (pid, _), ns in self.ledger.lately_unseen]
        number = self.number
        sample.__dict__.update(
            _root=self.root,
            _sharing=tuple(sums.sharing),
            _make_members=lambda: () if is_over else snapshot.rows(number, interval_ns, unseen, pss),
        )
        self._zombies_counted = zombies
        self.taken_ns, self.slept_ns = taken_ns, slept_ns
        return sample

    def _apply(self, changed: list[MemberChange], ended: list[MemberEnd], sums: TreeSums) -> None:
        self.sums = sums
        self.changed, self.ended = changed, ended
        self._identify(changed)
        if self.io is not None:
            for change in changed:
                row, io = change.info, change.disk_io
                if io is not None:
                    self._io_was_read = True
                    if row.identity not in self.ledger:
                        self.io.open(row.identity, io, existed=self.ledger.existed(row))
        rows = [change.info for change in changed]
        self.ledger.advance(rows, [(end.identity, end.cpu_ns) for end in ended], sums.cpu_ns)
        if self.io is not None:
            parents = [(one.info, one.disk_io) for one in changed if one.disk_io is not None and one.is_parent]
            last = {end.identity: end.disk_io for end in ended if end.disk_io is not None}
            self.io.advance(parents, last, self.ledger.inherited, sums.leaf_io)
        if any(end.identity == self.root for end in ended) or self.ledger.is_zombie(self.root):
            self.root_lives = False
        self._note_sessions(changed)
        if self.pss is not None:
            self.pss.forget([end.identity[0] for end in ended])
            self.pss.forget([row.pid for row in rows if not row.is_alive])

    def _identify(self, changed: list[MemberChange]) -> None:
        """Set the identity of members with a row that can be read for the first time, once ``hidepid`` permits it."""
        for change in changed:
            row = change.info
            if row.start_ticks and (row.pid, 0) in self.ledger:
                self.ledger.rename(row.pid, row.identity)
                if self.io is not None:
                    self.io.rename(row.pid, row.identity)

    def _note_sessions(self, changed: list[MemberChange]) -> None:
        rows = (change.info for change in changed)
        self.sessions.update((row.pid, row.start_ticks) for row in rows if row.session == row.pid)

    def _perf_ns(self, now_ns: int) -> int:
        """CPU since the baseline as perf counts it; 0 where it is not read in this sample.

        Orphans that no sample sees use CPU while the ledger stands still, so only its own cost decides.
        """
        if self.events is None or (now_ns < self._perf_due_ns and not self.ended):
            return 0
        began_ns = time.monotonic_ns()
        try:
            used_ns = self.events.total_ns() - self._perf_base_ns
        except OSError:  # the program has closed all descriptors
            self.close()
            return 0
        self._perf_due_ns = now_ns + PERF_SHARE * (time.monotonic_ns() - began_ns)
        return used_ns

    @property
    def disk_io(self) -> DiskIo | None:
        """I/O of the tree since the baseline; None where it was not read of any member."""
        return self.io.total if self.io is not None and self._io_was_read else None

    @property
    def unseen_ns(self) -> int:
        """The part of `cpu_ns` that is not in the own time of any member."""
        return self.cpu_ns - (self.ledger.total_ns - self.ledger.unseen_ns)

    def close(self) -> None:
        """Close the perf events."""
        if self.events is not None:
            self.events.close()
            self.events = None


def _suspended_ns(before_ns: int | None, slept_ns: int | None) -> int | None:
    """In whole milliseconds; less is noise of reading two clocks."""
    if before_ns is None or slept_ns is None:
        return None
    return max(0, slept_ns - before_ns) // 1_000_000 * 1_000_000
