"""`Members`: which processes belong to the tree of a run, and signals to them."""

from __future__ import annotations

import os
import sys

from prock._compat.signals import KILL
from prock.errors import ProckError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from prock.accounting.cgroup import RunCgroup
    from prock.accounting.protocol import RootWaiter
    from prock.engine.protocol import Engine
    from prock.model import Identity, ProcessInfo


class Members:
    """The processes below one root, in its cgroup, or seen earlier. Where orphans are reaped, below those as well."""

    def __init__(self, engine: Engine, root_pid: int, waiter: RootWaiter | None, cgroup: RunCgroup | None) -> None:
        self._engine = engine
        self._root_pid = root_pid
        self._waiter = waiter
        self._cgroup = cgroup
        self.known: dict[int, int] = {}
        """Pids and start times of the latest `rows`."""

    def rows(self, sampled: Iterable[Identity] = ()) -> list[ProcessInfo]:
        """The members that exist now, zombies included. `sampled`: those of the latest sample, parents first.

        Cost: a walk of the tree, and a read of ``stat`` for each member.
        """
        starts: dict[int, int | None] = {}
        """Start times as they were found; None for processes that only the cgroup lists."""
        for pid, start_ticks in self._roots(sampled):
            try:
                found = None if pid in starts else self._engine.tree(pid, 0)
                # Checked after the walk: then the pid was the same process's all the time.
                info = None if found is None or start_ticks is None else self._engine.info(pid)
            except ProckError:
                continue
            if found is None or (start_ticks is not None and (info is None or info.start_ticks != start_ticks)):
                continue
            if pid == self._root_pid and self._waiter is not None and not self._waiter.holds_root:
                continue
            starts.update((row.pid, row.identity and row.identity[1]) for row in found[0])
            if start_ticks is not None:
                starts[pid] = start_ticks
        if self._cgroup is not None:
            starts = {**dict.fromkeys(self._cgroup.pids()), **starts}
        rows = []
        for pid, start_ticks in starts.items():
            try:
                info = self._engine.info(pid)
            except ProckError:
                continue
            if info is not None and start_ticks in (info.start_ticks, None):
                rows.append(info)
        if self._cgroup is not None:
            listed = set(self._cgroup.pids())  # still listed: then the pid was not reused before its row was read
            rows = [row for row in rows if starts[row.pid] is not None or row.pid in listed]
        self.known = {row.pid: row.start_ticks for row in rows}
        return rows

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
