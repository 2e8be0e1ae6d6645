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
    from collections.abc import Container, Iterable, Iterator

    from prock.accounting.cgroup import RunCgroup
    from prock.accounting.open_sources import CpuSources
    from prock.accounting.perf_records import TaskRecords
    from prock.accounting.protocol import RootWaiter
    from prock.engine.protocol import Engine
    from prock.model import Identity, ProcessInfo


class Members:
    """The processes below one root, in its cgroup, or seen earlier. Where orphans are reaped, below those as well."""

    def __init__(
        self, engine: Engine, root_pid: int, waiter: RootWaiter | None = None, sources: CpuSources | None = None
    ) -> None:
        self._engine = engine
        self._root_pid = root_pid
        self._waiter = waiter
        self._cgroup = None if sources is None else sources.cgroup
        self._records = None if sources is None else sources.records
        self.known: dict[int, int] = {}
        """Pids and start times of the latest `rows`."""
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
        listed = [info for pid in cgroup.pids() if pid not in rows and (info := self._info(pid)) is not None]
        still = set(cgroup.pids()) if listed else set()  # then the pid was not reused before its row was read
        rows.update((info.pid, info) for info in listed if info.pid in still)

    def _add_recorded(self, rows: dict[int, ProcessInfo], records: TaskRecords) -> None:
        records.drain()
        for pid in records.living():
            row = None if pid in rows else self._info(pid)
            if row is not None and self._is_recorded(row, records):
                rows[pid] = row

    def _is_recorded(self, row: ProcessInfo, records: TaskRecords) -> bool:
        """Whether a record of its fork has the pid, and the start time but for a tick."""
        if sys.platform != "linux":
            return False
        from prock.engine.linux.procfs import TICK_NS

        suspended_ns = time.clock_gettime_ns(time.CLOCK_BOOTTIME) - time.monotonic_ns()
        return records.has_started(row.pid, row.start_ticks * TICK_NS - suspended_ns, 2 * TICK_NS)

    def is_evident(self, row: ProcessInfo, sampled: Container[Identity] = ()) -> bool:
        """Whether an orphan descends from the root by what is known of it: a member was seen with that identity, it is
        in the run's cgroup, or there is a record of its fork."""
        if row.identity in sampled or self.known.get(row.pid) == row.start_ticks:
            return True
        if self._cgroup is not None and self._cgroup.contains(row.pid):
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

    def signal(self, number: int, sampled: Iterable[Identity] = ()) -> int:
        """Send a signal to every living member once. Returns to how many it was sent."""
        from prock.runner.send_signal import NotSent, send

        sent = 0
        for row in self.rows(sampled):
            if row.is_alive:
                try:
                    send(row.identity, number)
                    sent += 1
                except NotSent:  # it has ended, is another user's, or the kernel has no pidfd
                    sent += self._signal_child(row, number)
        if number == KILL and self._cgroup is not None:
            self._cgroup.kill()
        return sent

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
