"""`Members`: which processes belong to the tree of a run, and signals to them."""

from __future__ import annotations

import os
import sys
import time

from prock._compat.signals import KILL
from prock.engine.protocol import WANT_STAT
from prock.errors import ProckError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Container, Iterable, Iterator, Mapping

    from prock.accounting.cgroup import RunCgroup
    from prock.accounting.open_sources import CpuSources
    from prock.accounting.perf_records import TaskRecords
    from prock.accounting.protocol import RootWaiter
    from prock.engine.protocol import Engine
    from prock.model import Identity, ProcessInfo


NEWEST, CHAIN_PASSES = 8, 10
"""The latest pids that are read again after a scan, and how often: one process of a chain lives for about 0.3 ms."""

SCANS, BETWEEN_SCANS_S = 10, 0.005
"""Scans for processes that may be orphans, until one is not disturbed by processes that end."""


class Members:
    """The processes below one root, in its cgroup, or seen earlier. Where orphans are reaped, below those as well."""

    def __init__(
        self, engine: Engine, root_pid: int, waiter: RootWaiter | None = None, sources: CpuSources | None = None
    ) -> None:
        self._engine = engine
        self._root_pid = root_pid
        self._waiter = waiter
        self._adoption_proves = waiter is not None and waiter.reaps_orphans and waiter.adoption_proves
        self._cgroup = None if sources is None else sources.cgroup
        self._records = None if sources is None else sources.records
        self.known: dict[int, int] = {}
        """Pids and start times of the latest `rows`."""
        self.sessions: dict[int, int] = {}
        """Sessions that members lead or led, and when these started: what joined one later descends from them."""
        self.scans = False
        """Whether `rows` scans the machine for members of `sessions`. `signal` sets it: until then samples suffice."""
        self.is_complete = False
        """Whether the latest `rows` had no process whose descent could not be proved."""

    def rows(self, sampled: Iterable[Identity] = ()) -> list[ProcessInfo]:
        """The members that exist now, zombies included. `sampled`: those of the latest sample, parents first.

        A child counts if its parent was the same process before and after the child was read: then neither pid was
        reused in between. A child whose parent ends meanwhile is left out, and found by a later call.

        Cost: a read of ``stat`` for each member, and one more for each that has children.
        """
        rows: dict[int, ProcessInfo] = {}
        self.is_complete = True
        for pid, start_ticks in self._roots(sampled):
            try:
                found = None if pid in rows else self._engine.tree(pid, WANT_STAT)
            except ProckError:
                continue
            info = None if found is None else found[0][0].info
            if found is None or info is None or start_ticks not in (info.start_ticks, None):
                continue
            if pid == self._root_pid and self._waiter is not None and not self._waiter.holds_root:
                continue
            rows[pid] = info
            self._add_descendants(rows, [row.info for row in found[0][1:] if row.info is not None])
        if self._cgroup is not None:
            self._add_of_cgroup(rows, self._cgroup)
        if self._records is not None:
            self._add_recorded(rows, self._records)
        self.sessions |= {row.pid: row.start_ticks for row in rows.values() if row.session == row.pid}
        if self.scans and self.sessions and not self._adoption_proves:
            self._add_of_sessions(rows)
        self.known = {row.pid: row.start_ticks for row in rows.values()}
        return list(rows.values())

    def _add_descendants(self, rows: dict[int, ProcessInfo], found: list[ProcessInfo]) -> None:
        """`found`: parents first."""
        parents = {info.ppid for info in found} & (rows.keys() | {info.pid for info in found})
        starts = {pid: info.start_ticks for pid in parents if (info := self._info(pid)) is not None}
        for info in found:
            parent = rows.get(info.ppid)
            if parent is not None and starts.get(info.ppid) == parent.start_ticks <= info.start_ticks:
                rows.setdefault(info.pid, info)
            else:
                self.is_complete = False

    def _add_of_cgroup(self, rows: dict[int, ProcessInfo], cgroup: RunCgroup) -> None:
        for pid in cgroup.pids():
            row = None if pid in rows else self._info(pid)
            if row is not None and self._is_in_cgroup(row, cgroup):
                rows[pid] = row

    def _is_in_cgroup(self, row: ProcessInfo, cgroup: RunCgroup) -> bool:
        """Its row is read again, so that its pid was not reused before its group was read."""
        if not cgroup.contains(row.pid):
            return False
        again = self._info(row.pid)
        return again is not None and again.identity == row.identity

    def _add_recorded(self, rows: dict[int, ProcessInfo], records: TaskRecords) -> None:
        records.drain()
        found = [row for pid in records.living() if pid not in rows and (row := self._info(pid)) is not None]
        records.drain()  # if a pid was reused before its row was read, the member's exit is in the records now
        living = set(records.living())
        rows.update((row.pid, row) for row in found if row.pid in living and self._is_recorded(row, records))

    def _is_recorded(self, row: ProcessInfo, records: TaskRecords) -> bool:
        """Whether a record of its fork, which is written after its start, has the pid and the start time."""
        if sys.platform != "linux":
            return False
        from prock.engine.linux.procfs import TICK_NS

        suspended_ns = time.clock_gettime_ns(time.CLOCK_BOOTTIME) - time.monotonic_ns()
        return records.has_started(row.pid, row.start_ticks * TICK_NS - suspended_ns, 2 * TICK_NS)

    def _add_of_sessions(self, rows: dict[int, ProcessInfo]) -> None:
        """What has left its parent, but not its session."""
        scanned = self._engine.scan()
        for row in scanned:
            if row.pid in self.sessions and row.session == row.pid and row.start_ticks != self.sessions[row.pid]:
                del self.sessions[row.pid]  # the id was reused
        if scanned.vanished:
            self.is_complete = False
        else:
            alive = {row.session for row in scanned}
            self.sessions = {session: ticks for session, ticks in self.sessions.items() if session in alive}
        rows.update((row.pid, row) for row in (*scanned, *self._newest()) if self._is_in_session(row))

    def _newest(self) -> Iterator[ProcessInfo]:
        """The processes that started last, the latest first. Of a chain of processes, each of which starts the next one
        and exits, a scan finds only zombies: the others end before their row is read."""
        if self._engine.clocks_usable:
            last = self._engine.last_pid()
            for pid in range(last, max(0, last - NEWEST), -1):
                row = self._info(pid)
                if row is not None and row.is_alive:
                    yield row

    def _is_in_session(self, row: ProcessInfo) -> bool:
        return row.session in self.sessions and self.sessions[row.session] <= row.start_ticks

    def is_evident(self, row: ProcessInfo, sampled: Container[Identity] = ()) -> bool:
        """Whether an orphan descends from the root by what is known of it: a member was seen with that identity, it
        joined a session after the member that leads it, it is in the run's cgroup, or there is a record of its fork."""
        if row.identity in sampled or self.known.get(row.pid) == row.start_ticks:
            return True
        if self._is_in_session(row) or (self._cgroup is not None and self._is_in_cgroup(row, self._cgroup)):
            return True
        if self._records is None:
            return False
        self._records.drain()
        return self._is_recorded(row, self._records)

    def _info(self, pid: int) -> ProcessInfo | None:
        try:
            return self._engine.info(pid)
        except ProckError:
            return None

    def _roots(self, sampled: Iterable[Identity]) -> Iterator[tuple[int, int | None]]:
        """Where to start walks: pids, and start times where they are known."""
        waiter = self._waiter
        if waiter is not None:
            yield from ((pid, None) for pid in waiter.children())
        if waiter is None or not waiter.reaps_orphans:
            yield from sampled
            yield from self.known.items()

    def possible_orphans(self, parent: int, since_ticks: int) -> list[ProcessInfo] | None:
        """Processes that no evidence connects with the tree, and that may be orphans of it: they started since then,
        and are children of `parent`, the parent of the root, or of its ancestors, one of which got the orphans.

        None if that is unknown, as processes ended while they were being read.
        """
        for _ in range(SCANS):
            scan = self._engine.scan()
            parents = {row.pid: row.ppid for row in scan}
            reapers = set(ancestors(parent, parents))
            if os.getpid() in reapers and not (self._engine.reads_proc and self._engine.subreaper(None)):
                reapers.discard(os.getpid())  # its new children are its own
            found = [row for row in scan if row.ppid in reapers and row.start_ticks >= since_ticks]
            found = [
                row for row in found if not self._is_in_session(row) and self.known.get(row.pid) != row.start_ticks
            ]
            if not scan.vanished and all(row.is_alive for row in found):
                return found
            time.sleep(BETWEEN_SCANS_S)  # a zombie may be a part of a chain of processes, or not reaped yet
        return found or None

    def signal(self, number: int, sampled: Iterable[Identity] = ()) -> int:
        """Send a signal to every living member once. Returns to how many it was sent."""
        self.scans = True
        rows = self.rows(sampled)
        sent = sum(self._send(row, number) for row in rows if row.is_alive)
        seen = {row.identity for row in rows}
        for _ in range(CHAIN_PASSES if self.sessions and not self._adoption_proves else 0):
            for row in self._newest():
                if row.identity not in seen and self._is_in_session(row):
                    sent += self._send(row, number)
        if number == KILL and self._cgroup is not None:
            self._cgroup.kill()
        return sent

    def _send(self, row: ProcessInfo, number: int) -> bool:
        from prock.runner.send_signal import NotSent, send

        try:
            send(row.identity, number)
        except NotSent:  # it has ended, is another user's, or the kernel has no pidfd
            return self._signal_child(row, number)
        return True

    def _signal_child(self, row: ProcessInfo, number: int) -> bool:
        """Without pidfds (before Linux 5.3): the pid of a child is not reused until this process reaps it.

        Where orphans are reparented to this process, repeated kills end such a tree generation by generation.
        """
        if sys.platform != "linux" or row.ppid != os.getpid() or not self._engine.clocks_usable:
            return False
        try:
            if os.waitid(os.P_PID, row.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None:
                return False
            info = self._engine.info(row.pid)
            if info is None or info.identity != row.identity:  # another child of this process has the pid now
                return False
            os.kill(row.pid, number)
        except OSError:  # not a child any more, or another user's
            return False
        return True


def ancestors(pid: int, parents: Mapping[int, int]) -> list[int]:
    """The process itself, its parent, and so on."""
    found: list[int] = []
    while pid in parents and pid not in found:  # a scan is not atomic: it can hold a cycle
        found.append(pid)
        pid = parents[pid]
    return found
