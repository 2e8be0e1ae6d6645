"""What is known of one followed tree from sample to sample: ledgers, perf events, its members' shares of memory."""

from __future__ import annotations

import time

from prock.model import DiskIo, Identity, ProcessInfo
from prock.sampling.cpu_ledger import Ledger
from prock.sampling.io_ledger import NOTHING, IoLedger

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import TypeAlias

    from prock.accounting.perf_clock import TaskClocks
    from prock.engine.protocol import Engine, Sums

    Change: TypeAlias = tuple[ProcessInfo, DiskIo | None, bool]
    """A row, its I/O, and whether it has had children."""
    End: TypeAlias = tuple[Identity, int, DiskIo | None]
    """Who ended, with its own CPU and I/O as last read."""

PSS_EVERY_NS = 10_000_000_000
"""How old a member's share of memory gets before it is read again ..."""
PSS_SHARE = 50
"""... and the part of the time (one 50th) that all such readings may take, as they hold a lock of who is read."""
EVENTS_SHARE = 100
NO_SUMS: Sums = (0, 0, 0, 0, 0, NOTHING, 0, 0, 0)


class TreeState:
    """One tree."""

    def __init__(
        self, root: ProcessInfo, number: int, *, memory: bool, io: bool, pss: bool, io_handed_on: bool = True
    ) -> None:
        self.root = root.identity
        self.number = number
        """The engine's for it."""
        self.ledger = Ledger()
        self.io = IoLedger(handed_on=io_handed_on) if io else None
        self.knows_io = False
        """Whether anybody ever told of it."""
        self.memory = memory
        self.shares = PssReader() if pss else None
        self.events: TaskClocks | None = None
        """Where perf accounts for it."""
        self.sessions: set[int] = set()
        """Those that a member leads or led: who is in one, and was born since, descends from a member."""
        self.began_ticks = 0
        self.began_ns = self.taken_ns = 0
        self.slept_ns: int | None = None
        self.root_lives = True
        self.sums: Sums = NO_SUMS
        self.ended: list[End] = []
        """In the last sample."""
        self.cpu_ns = self.cpu_before_ns = 0
        self._ended_early: list[End] = []
        self._events_before_ns = 0
        self._events_due_ns = 0

    def begin(self, changed: list[Change], ended: list[End], sums: Sums) -> None:
        """Take the first pass of the baseline."""
        self.began_ticks = max((row.start_ticks for row, _, _ in changed), default=0)
        self._take(changed, ended, sums)

    def begin_again(self, changed: list[Change], ended: list[End]) -> None:
        """Take the second: see `Ledger.rebase`. Who ended meanwhile is told with the first sample."""
        self._identify(changed)
        if self.io is not None:
            for row, io, _ in changed:
                if io is not None:
                    self.io.open(row.identity, io, existed=True)
        self.ledger.rebase([row for row, _, _ in changed])
        self._note_sessions(changed)
        self._ended_early = ended
        if self.events is not None:
            self._events_before_ns = self.events.total_ns()

    def advance(self, changed: list[Change], ended: list[End], sums: Sums, now_ns: int) -> None:
        """Take a sample."""
        self._take(changed, self._ended_early + ended if self._ended_early else ended, sums)
        self._ended_early = []
        self.cpu_before_ns = self.cpu_ns
        self.cpu_ns = max(self.cpu_ns, self.ledger.total_ns, self._by_events(now_ns))

    def _take(self, changed: list[Change], ended: list[End], sums: Sums) -> None:
        self.sums = sums
        self.ended = ended
        self._identify(changed)
        if self.io is not None:
            for row, io, _ in changed:
                if io is not None and row.identity not in self.ledger:
                    self.io.open(row.identity, io, existed=self.ledger.existed(row))
                self.knows_io = self.knows_io or io is not None
        rows = [row for row, _, _ in changed]
        self.ledger.advance(rows, [(identity, own_ns) for identity, own_ns, _ in ended], sums[2])
        if self.io is not None:
            parents = [(row, io) for row, io, is_parent in changed if io is not None and is_parent]
            last = {identity: io for identity, _, io in ended if io is not None}
            self.io.advance(parents, last, self.ledger.inherited, sums[5])
        for identity, _, _ in ended:
            self.root_lives = self.root_lives and identity != self.root
        self._note_sessions(changed)
        if self.shares is not None:
            self.shares.forget([identity[0] for identity, _, _ in ended])
            self.shares.forget([row.pid for row in rows if not row.is_alive])

    def _identify(self, changed: list[Change]) -> None:
        """Those whose row was refused until now, as by ``hidepid`` before they became this user's."""
        for row, _, _ in changed:
            if row.start_ticks and (row.pid, 0) in self.ledger:
                self.ledger.rename(row.pid, row.identity)
                if self.io is not None:
                    self.io.rename(row.pid, row.identity)

    def _note_sessions(self, changed: list[Change]) -> None:
        self.sessions.update(row.pid for row, _, _ in changed if row.session == row.pid)

    def _by_events(self, now_ns: int) -> int:
        """CPU since the baseline as perf counts it; 0 where it is not asked.

        Orphans that no sample sees keep working while the ledger stands still, so whether to ask is a matter of price:
        a read an event, in all at most a 100th of the time, but always when somebody has ended.
        """
        if self.events is None or (now_ns < self._events_due_ns and not self.ended):
            return 0
        began_ns = time.monotonic_ns()
        try:
            used_ns = self.events.total_ns() - self._events_before_ns
        except OSError:  # all descriptors were closed behind our back
            self.close()
            return 0
        self._events_due_ns = now_ns + EVENTS_SHARE * (time.monotonic_ns() - began_ns)
        return used_ns

    @property
    def unseen_ns(self) -> int:
        """Of the total: what is in no member's own time."""
        return self.cpu_ns - (self.ledger.total_ns - self.ledger.unseen_ns)

    def close(self) -> None:
        if self.events is not None:
            self.events.close()
            self.events = None


class PssReader:
    """Proportional shares of memory (PSS) of one tree's members, read slowly."""

    def __init__(self) -> None:
        self._known: dict[int, tuple[int | None, int]] = {}
        """Of pids: bytes, and when they were read. None: refused, and not to be asked at once again, before others."""
        self._allowance_ns = PSS_EVERY_NS // PSS_SHARE

    def read(self, engine: Engine, pids: list[int], now_ns: int, elapsed_ns: int) -> None:
        """Those that are due, the oldest first, as far as their part of the time goes."""
        self._allowance_ns = min(self._allowance_ns + elapsed_ns // PSS_SHARE, PSS_EVERY_NS // PSS_SHARE)
        if self._allowance_ns <= 0:
            return
        known = self._known
        due = [pid for pid in pids if pid not in known or now_ns - known[pid][1] >= PSS_EVERY_NS]
        due.sort(key=lambda pid: known[pid][1] if pid in known else -1)
        began_ns = time.monotonic_ns()
        for pid, share in zip(due, engine.pss(due, began_ns + self._allowance_ns), strict=False):
            known[pid] = (share, now_ns)
        self._allowance_ns -= time.monotonic_ns() - began_ns

    def forget(self, pids: list[int]) -> None:
        for pid in pids:
            self._known.pop(pid, None)

    @property
    def bytes_of(self) -> dict[int, int]:
        return {pid: share for pid, (share, _) in self._known.items() if share is not None}

    def oldest_ns(self, now_ns: int) -> int | None:
        return max((now_ns - at_ns for share, at_ns in self._known.values() if share is not None), default=None)
