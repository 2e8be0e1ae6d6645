"""Arithmetic on two snapshots: what each process used in between, and what a group of them did. No I/O, no clock.

Two lower bounds tell what a tree used. The sum of its members' *own* times misses children that ended meanwhile. The
change of their times *with waited-for children* has those, but also what such a child had used before the interval
(subtracted here, wherever its waiter may be), and lacks what nobody waited for. The larger of the two is the better.
"""

from __future__ import annotations

from prock._compat.namedtuple import NamedTuple
from prock.model import ProcessStats

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator


class Usage(NamedTuple):
    """What one process used: since its start, or in an interval. None is unknown."""

    own_ns: int | None
    with_children_ns: int | None
    """With waited-for children. In an interval it may be below zero: see `Interval`."""
    read_bytes: int | None
    write_bytes: int | None


def usage_of(member: ProcessStats) -> Usage:
    own, both, disk_io = member.cpu_time, member.cpu_time_with_children, member.disk_io
    own_ns = None if own is None else own.total_ns
    return Usage(
        own_ns,
        own_ns if both is None else both.total_ns,
        None if disk_io is None else disk_io.read_bytes,
        None if disk_io is None else disk_io.write_bytes,
    )


class Sums:
    """Running sums over processes. Slots, as there is one for each member of a tree.

    What no process of them knows is None in the answers. Of all `processes`, `described` have told their memory and
    threads (in ``stat``), and `processes_with_io` their I/O.
    """

    __slots__ = (
        "_floor_ns",
        "_own_ns",
        "_read",
        "_rss",
        "_threads",
        "_timed",
        "_with_children_ns",
        "_written",
        "described",
        "processes",
        "processes_with_io",
    )

    def __init__(self) -> None:
        self.processes = self.described = self.processes_with_io = 0
        self._timed = 0
        self._own_ns = self._with_children_ns = self._floor_ns = 0
        self._rss = self._threads = self._read = self._written = 0

    def add_member(self, member: ProcessStats, usage: Usage) -> None:
        self.processes += 1
        if member.info is not None:
            self.described += 1
            self._threads += member.info.thread_count
            self._rss += member.info.rss_bytes
        if usage.own_ns is not None:
            self._timed += 1
            self._own_ns += max(0, usage.own_ns)
            self._floor_ns += max(0, usage.own_ns)
            self._with_children_ns += usage.with_children_ns or 0
        if usage.read_bytes is not None and usage.write_bytes is not None:
            self.processes_with_io += 1
            self._read += usage.read_bytes
            self._written += usage.write_bytes

    def subtract_ended(self, used_before: Usage) -> None:
        """Take out what a child that ended, and was waited for, had used before the interval."""
        self._with_children_ns -= used_before.with_children_ns or 0
        self._read -= used_before.read_bytes or 0
        self._written -= used_before.write_bytes or 0

    def add(self, other: Sums) -> None:
        """Another group's, which is complete: what is certain of it is certain of both."""
        self.processes += other.processes
        self.described += other.described
        self._timed += other._timed
        self.processes_with_io += other.processes_with_io
        self._own_ns += other._own_ns
        self._with_children_ns += other._with_children_ns
        self._floor_ns += max(other._floor_ns, other._with_children_ns)
        self._rss += other._rss
        self._threads += other._threads
        self._read += other._read
        self._written += other._written

    @property
    def own_ns(self) -> int | None:
        return self._own_ns if self._timed else None

    @property
    def cpu_ns(self) -> int | None:
        """With waited-for children: the best of the lower bounds, and never below a part's."""
        return max(self._floor_ns, self._with_children_ns) if self._timed else None

    @property
    def rss_bytes(self) -> int | None:
        return self._rss if self.described else None

    @property
    def threads(self) -> int | None:
        return self._threads if self.described else None

    @property
    def read_bytes(self) -> int | None:
        return max(0, self._read) if self.processes_with_io else None

    @property
    def write_bytes(self) -> int | None:
        return max(0, self._written) if self.processes_with_io else None


class Interval:
    """What happened between two snapshots.

    `usage` tells it of each process of the later one. A process that was born meanwhile counts from zero; one that was
    there before and yet not seen has no baseline: unknown. A child that has ended meanwhile is in its waiter's times
    as a whole: `ended` has those of the earlier snapshot, to be subtracted from whoever may have waited for them.
    Where the earlier snapshot was not `complete`, such a child may be missing there: then only own times count.
    """

    def __init__(
        self,
        before: Iterable[ProcessStats],
        after: Iterable[ProcessStats],
        *,
        began_ticks: int,
        elapsed_ns: int,
        complete: bool,
    ) -> None:
        self.elapsed_ns = max(1, elapsed_ns)
        self._complete = complete
        self._began_ticks = began_ticks
        self._before = {member.pid: member for member in before}
        self._alive = {member.pid: member.identity for member in after}
        self.ended = [old for old in self._before.values() if not self._survived(old)]
        unread = (old for old in self.ended if old.disk_io is None)
        self._io_unclear = {next(self.survivors_above(old), None) for old in unread}

    def usage(self, member: ProcessStats) -> Usage:
        now = usage_of(member)
        old = self._before.get(member.pid)
        if old is not None and old.identity == member.identity:
            now = Usage(*(None if a is None or b is None else a - b for a, b in zip(now, usage_of(old), strict=True)))
        elif member.info is None or member.info.start_ticks < self._began_ticks:
            return Usage(None, None, None, None)
        if not self._complete:
            now = now._replace(with_children_ns=now.own_ns)
        if member.pid in self._io_unclear:
            now = now._replace(read_bytes=None, write_bytes=None)
        return now

    def used_before(self, old: ProcessStats) -> Usage:
        """What an ended process brings into its waiter's times that is not of this interval."""
        used = usage_of(old)
        return used if self._complete else used._replace(with_children_ns=0)

    def survivors_above(self, old: ProcessStats) -> Iterator[int]:
        """Pids of the ancestors that an ended process had and that still live, nearest first."""
        seen = {old.pid}
        parent = None if old.ppid is None else self._before.get(old.ppid)
        while parent is not None and parent.pid not in seen:
            seen.add(parent.pid)
            if self._survived(parent):
                yield parent.pid
            parent = None if parent.ppid is None else self._before.get(parent.ppid)

    def percent(self, nanoseconds: int | None) -> float | None:
        """Of one core."""
        return None if nanoseconds is None else 100 * max(0, nanoseconds) / self.elapsed_ns

    def per_second(self, amount: int | None) -> float | None:
        return None if amount is None else 1e9 * max(0, amount) / self.elapsed_ns

    def _survived(self, old: ProcessStats) -> bool:
        return old.pid in self._alive and self._alive[old.pid] == old.identity
