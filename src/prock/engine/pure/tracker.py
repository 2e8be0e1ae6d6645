"""Tracked trees in plain Python, as in ``native/tracker/tracker.c`` but without cached descriptors."""

from __future__ import annotations

import time

from prock.engine.protocol import WANT_IO, WANT_STAT
from prock.engine.pure.rows import NO_NUMBERS, PureSnapshot, SnapshotRow, sums_of
from prock.engine.reads import REFUSALS
from prock.engine.tuples import MemberChange, MemberEnd, TrackerSample
from prock.errors import AccessDenied, MalformedProcFile, NotSupported
from prock.model import NUMBERS, DiskIo, ProcessInfo

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Protocol

    class ProcessReader(Protocol):
        """What a tracker reads; None for a pid that is gone."""

        clocks_usable: bool

        def begin(self) -> None:
            """A sample begins."""

        def now_ticks(self) -> int:
            """This instant, in the unit of `ProcessInfo.start_ticks`."""

        def outline(self, pid: int, /) -> ProcessInfo | None:
            """The row of a process that denies it: what is known all the same, and zeros."""

        def last_pid(self) -> int:
            """The pid that was allocated last. `NotSupported` where it is unknown. Only called if `clocks_usable`."""

        def shares_space(self, pid: int, parent: int, /) -> bool:
            """Whether it has the address space of a process that has the same size."""

        def own_ns(self, pid: int, /) -> int | None:
            """By the CPU clock; only called if `clocks_usable`."""

        def info(self, pid: int, /) -> ProcessInfo | None: ...

        def children_of_threads(self, pid: int, thread_count: int | None = None, /) -> list[int] | None: ...

        def memory(self, pid: int, /) -> tuple[int, int] | None: ...

        def status(self, info: ProcessInfo, /) -> tuple[int, int] | None:
            """Peak RSS and huge pages of a process with this row; None also where the system does not have them."""

        def disk_io(self, pid: int, /) -> DiskIo | None: ...

        def number(self, metric: str, pid: int, /) -> int | None: ...


STALE_NS = 1_000_000_000
"""The row of a process that has run, and all memory, is reread after this time at the latest."""
STATUS_EVERY_NS = 10_000_000
"""Times the number of members."""
FIRST_NUMBER = 8
RSS_NOISE_BYTES = 512 << 10
"""The kernel adds up its per-CPU counters for ``statm`` but not for ``stat``."""


class Stamp:
    """When a file was read: at which instant, at which own time of its process, at which last pid of the machine."""

    __slots__ = ("at_ns", "last_pid", "own_ns")

    def __init__(self) -> None:
        self.at_ns = self.own_ns = -1
        self.last_pid: int | None = None


class Member:
    __slots__ = (
        "before_ns",
        "born_since",
        "children_read",
        "expected_ticks",
        "faults",
        "gone",
        "has_children",
        "has_own_space",
        "hugetlb",
        "info",
        "io",
        "io_before",
        "io_read",
        "is_new",
        "is_root",
        "memory",
        "memory_read",
        "numbers",
        "numbers_read",
        "own_ns",
        "parent",
        "peak",
        "peak_before",
        "pid",
        "refused",
        "report",
        "reread",
        "shares_with",
        "stat_read",
        "status_ns",
        "tree",
        "unreported",
    )  # fmt: skip

    def __init__(self, pid: int, tree: int, parent: Member | None) -> None:
        self.pid = pid
        self.tree = tree
        self.parent = parent
        self.is_root = False
        self.is_new = self.report = True
        self.gone = self.reread = self.has_children = self.born_since = False
        self.has_own_space = False
        """It shares its address space with no other member, and will not."""
        self.shares_with: Member | None = None
        self.unreported = False
        """The latest pass failed: the next one reports what it found."""
        self.expected_ticks: int | None = None
        self.own_ns = self.before_ns = 0
        self.info = unreadable(pid)
        self.memory = (0, 0)
        self.peak = self.peak_before = self.hugetlb = 0
        self.faults = 0
        """When ``status`` was read, at `status_ns`."""
        self.status_ns: int | None = None
        self.io: DiskIo | None = None
        self.numbers: tuple[int | None, ...] = NO_NUMBERS
        """In the order of `prock.model.NUMBERS`."""
        self.io_before: DiskIo | None = None
        self.refused: frozenset[str] = frozenset()
        self.stat_read, self.children_read, self.memory_read, self.io_read = Stamp(), Stamp(), Stamp(), Stamp()
        self.numbers_read = Stamp()

    @property
    def has_ended(self) -> bool:
        return self.gone or not self.info.is_alive

    @property
    def lacks_leader(self) -> bool:
        """Its main thread has ended, others go on: then ``stat`` knows nothing of its memory."""
        return self.info.state == "Z" and self.info.thread_count > 1


def unreadable(pid: int) -> ProcessInfo:
    """Stands for a row of which nothing is known."""
    return ProcessInfo(pid, 0, 0, 0, 0, "?", "", 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0)


class PureMemberTracker:
    def __init__(self, reader: ProcessReader, want: int, clock: Callable[[], int] = time.monotonic_ns) -> None:
        self._clock = clock
        self._reader = reader
        self._want = want
        self._members: list[Member] = []
        self._of_pid: dict[int, Member] = {}
        self._last_pid: int | None = None
        self._now_ns = 0
        self._boot_ticks_before: dict[int, int] = {}
        self.no_children_lists = False
        self.descriptors = 0

    def limit(self, descriptors: int, /) -> None:
        """It holds none."""

    def add(self, pid: int, tree: int, /) -> ProcessInfo | None:
        info = self._reader.info(pid)
        if info is not None:
            self._append(pid, tree, None).is_root = True
        return info

    def adopt(self, pid: int, start_ticks: int, tree: int, /) -> None:
        if pid not in self._of_pid:
            self._append(pid, tree, None).expected_ticks = start_ticks

    def remove(self, tree: int, /) -> None:
        for member in self._members:
            if member.tree == tree:
                member.gone, member.unreported = True, False
        self._drop_gone()

    def pids(self, tree: int, /) -> list[int]:
        return [member.pid for member in self._members if member.tree == tree and not member.gone]

    def close(self) -> None:
        self._members.clear()
        self._of_pid.clear()

    def sample(self, reread: list[int], tree: int, everything: bool, /) -> TrackerSample:
        self._drop_gone()
        self._reader.begin()
        self._last_pid = self._read_last_pid()
        self._now_ns = self._clock()
        boot_ticks = self._reader.now_ticks()
        for pid in reread:
            if pid in self._of_pid:
                self._of_pid[pid].reread = True
        vanished: dict[int, int] = {}
        looked_at: list[Member] = []
        for member in self._members:
            if tree in (-1, member.tree):
                if not member.unreported:
                    member.report = member.is_new
                    member.before_ns = member.own_ns
                    member.io_before = member.io
                    member.peak_before = member.peak
                member.unreported = False
        try:
            for member in self._members:  # it grows on the way
                if tree in (-1, member.tree):
                    looked_at.append(member)
                    member.reread = member.reread or everything
                    self._look(member)
            if self._is_in_doubt():
                for member in looked_at:
                    self._verify(member)
        except BaseException:
            for known in self._members:
                known.unreported = known.unreported or tree in (-1, known.tree)
            raise
        for member in looked_at:
            if member.gone and member.is_new:
                vanished[member.tree] = vanished.get(member.tree, 0) + 1
        for member in looked_at:
            self._find_shared(member)
        rows = [self._row(member) for member in looked_at if not member.gone]
        changed = [
            MemberChange(member.tree, member.info, member.io, member.has_children, member.peak)
            for member in looked_at
            if member.report and not member.gone
        ]
        ended = [
            MemberEnd(member.tree, member.info.identity, member.own_ns, member.io, member.peak, member.info.comm)
            for member in looked_at
            if member.gone and not member.is_new
        ]
        for member in looked_at:
            member.is_new = member.report = False
            self._boot_ticks_before[member.tree] = boot_ticks
        return TrackerSample(PureSnapshot(rows, self._want), sums_of(rows, vanished), changed, ended)

    def _read_last_pid(self) -> int | None:
        try:
            return self._reader.last_pid() if self._reader.clocks_usable else None
        except NotSupported:
            return None

    def _append(self, pid: int, tree: int, parent: Member | None) -> Member:
        member = Member(pid, tree, parent)
        self._members.append(member)
        self._of_pid[pid] = member
        if parent is not None and not parent.has_children:
            parent.has_children = parent.report = True
        return member

    def _drop_gone(self) -> None:
        """Forget members that have ended, and reread orphans, whose new parent is unknown."""
        for member in self._members:
            if member.parent is not None and member.parent.gone:
                member.parent = None
                member.reread = True
        if any(member.gone and not member.unreported for member in self._members):
            self._members = [member for member in self._members if not member.gone or member.unreported]
            self._of_pid = {member.pid: member for member in self._members}

    def _look(self, member: Member) -> None:
        if member.gone:
            return  # found so by a pass that failed
        own_ns: int | None = member.own_ns
        if self._reader.clocks_usable:
            own_ns = self._reader.own_ns(member.pid)
            if own_ns is None:
                member.gone = True
                return
        assert own_ns is not None
        orphaned = member.parent is not None and member.parent.has_ended
        if member.is_new or member.reread or orphaned or self._is_stale(member, own_ns):
            self._read_stat(member, own_ns)
            if member.gone:
                return
        else:
            member.own_ns = own_ns
        member.reread = False
        self._read_memory(member)
        self._read_status(member)
        self._read_io(member)
        self._read_numbers(member)
        self._read_children(member)

    def _is_in_doubt(self) -> bool:
        """Whether pids were allocated during the pass: then a member whose clock moved may be another process."""
        return self._last_pid is not None and self._read_last_pid() != self._last_pid

    def _verify(self, member: Member) -> None:
        """Mark a member as gone if its pid was reused; only one whose clock moved and whose row was not read.

        Only its start time is used: the rest of the row is younger than its children's, which it may have reaped."""
        if member.gone or member.stat_read.own_ns == member.own_ns:
            return
        try:
            info = self._reader.info(member.pid)
        except REFUSALS:
            return
        if info is not None and info.start_ticks != member.info.start_ticks != 0:
            member.own_ns, member.io, member.peak = member.before_ns, member.io_before, member.peak_before
            member.gone = True

    def _is_stale(self, member: Member, own_ns: int) -> bool:
        """Whether its row may have changed in a way that matters."""
        if not self._reader.clocks_usable or own_ns < member.own_ns:
            return True
        if own_ns == member.stat_read.own_ns:
            return False
        return (
            member.has_children
            or member.is_root
            or self._pids_were_allocated(member.stat_read)
            or self._now_ns - member.stat_read.at_ns > STALE_NS
        )

    def _pids_were_allocated(self, since: Stamp) -> bool:
        return self._last_pid is None or self._last_pid != since.last_pid

    def _has_run(self, member: Member, since: Stamp) -> bool:
        """True where only ticks are known, which are too coarse."""
        return since.own_ns != member.own_ns or not self._reader.clocks_usable

    def _stamp(self, stamp: Stamp, member: Member) -> None:
        stamp.at_ns, stamp.own_ns, stamp.last_pid = self._now_ns, member.own_ns, self._last_pid

    def _read_stat(self, member: Member, own_ns: int) -> None:
        known = member.info
        try:
            info = self._reader.info(member.pid)
            member.refused -= {"stat"}
        except REFUSALS:
            member.refused |= {"stat"}
            info = self._outline(member, own_ns)
        if info is None or self._is_another(member, info):
            member.gone = True
            return
        if self._reader.clocks_usable:
            user, system = info.user_ns, info.system_ns
            user_ns = own_ns * user // (user + system) if system else own_ns
            info = info._replace(user_ns=user_ns, system_ns=own_ns - user_ns)
        else:
            own_ns = max(own_ns, info.user_ns + info.system_ns)
        if member.is_new:
            born = self._boot_ticks_before.get(member.tree)
            member.born_since = born is not None and info.start_ticks >= born
        elif (
            info.waited_ns != known.waited_ns
            or (info.ppid, info.session, info.is_alive, info.children_minor_faults)
            != (known.ppid, known.session, known.is_alive, known.children_minor_faults)
            or member.reread
        ):
            member.report = True
        if member.is_new or info.ppid != known.ppid:
            self._set_parent(member, info.ppid)
        if info.thread_count != known.thread_count:  # a new thread may have children already
            member.children_read = Stamp()
        member.own_ns = own_ns
        member.info = info
        self._stamp(member.stat_read, member)
        if not member.lacks_leader:
            member.memory = (info.rss_bytes, info.vsize_bytes)
            self._stamp(member.memory_read, member)

    def _outline(self, member: Member, own_ns: int) -> ProcessInfo | None:
        """Of one that refuses its row. What was read of it before it did stays."""
        outline = self._reader.outline(member.pid)
        if outline is None or member.is_new:
            return None if outline is None else outline._replace(user_ns=own_ns)
        known = member.info
        return known if outline.start_ticks in (0, known.start_ticks) else outline

    def _is_another(self, member: Member, info: ProcessInfo) -> bool:
        """Whether the pid was reused since the sample before, or since its parent listed it."""
        if member.info.start_ticks == 0 and not member.is_new:
            return False  # its start time was never read before
        if not member.is_new:
            return info.start_ticks != member.info.start_ticks
        if member.expected_ticks is not None:
            return info.start_ticks not in (member.expected_ticks, 0)
        parent = member.parent
        return (
            parent is not None
            and info.ppid not in (parent.pid, 0)
            and not parent.has_ended
            and self._lives(parent.info)
        )

    def _lives(self, info: ProcessInfo) -> bool:
        """Whether that process still runs, or is unreadable. A zombie does not run."""
        try:
            now = self._reader.info(info.pid)
        except REFUSALS:
            return True
        return now is not None and now.start_ticks == info.start_ticks and now.is_alive

    def _set_parent(self, member: Member, ppid: int) -> None:
        parent = self._of_pid.get(ppid)
        member.parent = None if parent is None or parent.gone or parent is member else parent
        if member.parent is not None and not member.parent.has_children:
            member.parent.has_children = member.parent.report = True

    def _read_memory(self, member: Member) -> None:
        stamp = member.memory_read
        if not self._want & WANT_STAT or "stat" in member.refused:
            return
        if stamp.own_ns != member.own_ns or self._now_ns - stamp.at_ns > STALE_NS or member.lacks_leader:
            try:
                memory = self._reader.memory(member.pid)
            except REFUSALS:
                return
            if memory is not None:
                member.memory = memory
                self._stamp(stamp, member)

    def _read_status(self, member: Member) -> None:
        """A new peak, or huge pages, cost page faults."""
        rss, faults = member.memory[0], (member.info.minor_faults or 0) + (member.info.major_faults or 0)
        member.peak = max(member.peak, rss)
        if not rss or not self._want & WANT_STAT or "stat" in member.refused:
            return
        is_due = member.status_ns is None or (self._now_ns - member.status_ns >= STATUS_EVERY_NS * len(self._members))
        if is_due and (member.faults != faults or member.hugetlb):
            try:
                found = self._reader.status(member.info)
            except REFUSALS:
                return
            if found is not None:
                member.faults, member.status_ns = faults, self._now_ns
                member.peak, member.hugetlb = max(member.peak, found[0]), found[1]

    def _read_io(self, member: Member) -> None:
        if not self._want & WANT_IO or not self._has_run(member, member.io_read):
            return
        try:
            io = self._reader.disk_io(member.pid)
            member.refused -= {"io"}
        except REFUSALS:
            member.refused |= {"io"}
            return
        if io is not None:
            if member.has_children and io != member.io:
                member.report = True
            member.io = io
            self._stamp(member.io_read, member)

    def _read_numbers(self, member: Member) -> None:
        if self._want < FIRST_NUMBER or not self._has_run(member, member.numbers_read):
            return
        values = list(member.numbers)
        for place, metric in enumerate(NUMBERS):
            if not self._want & metric.want:
                continue
            try:
                value = self._reader.number(metric.name, member.pid)
                member.refused -= {metric.file}
            except REFUSALS:
                value = None
                member.refused |= {metric.file}
            else:
                if value is None:
                    continue
            values[place] = value
        member.numbers = tuple(values)
        self._stamp(member.numbers_read, member)

    def _read_children(self, member: Member) -> None:
        """A member that has run may have forked, and one with children may be the subreaper of others."""
        stamp = member.children_read
        ran = self._has_run(member, stamp)
        if not member.is_new and not (self._pids_were_allocated(stamp) and (ran or member.has_children)):
            return
        try:
            found = self._reader.children_of_threads(member.pid, member.info.thread_count if ran else 1)
            member.refused -= {"children"}
        except NotSupported:  # the kernel was built without CONFIG_PROC_CHILDREN
            self.no_children_lists = True
            return
        except (AccessDenied, MalformedProcFile):
            member.refused |= {"children"}
            return
        for pid in found or ():
            known = self._of_pid.get(pid)
            if known is None or known.gone:
                self._append(pid, member.tree, member)
        self._stamp(stamp, member)

    def _find_shared(self, member: Member) -> None:
        """As ``native/tracker/shared_spaces.c``, but compares with the parent alone."""
        if member.has_own_space or member.gone or "stat" in member.refused or member.memory == (0, 0):
            return
        known, member.shares_with = member.shares_with, None
        for other in (known, member.parent):
            if (
                other is not None
                and not other.gone
                and other.tree == member.tree
                and other.memory[1] == member.memory[1]
                and abs(other.memory[0] - member.memory[0]) <= RSS_NOISE_BYTES
                and self._reader.shares_space(member.pid, other.pid)
            ):
                member.shares_with = other.shares_with or other
                member.peak = member.hugetlb = 0  # the other's
                return
        member.has_own_space = True

    def _row(self, member: Member) -> SnapshotRow:
        parent = member.parent
        return SnapshotRow(
            tree=member.tree,
            info=member.info,
            own_ns=member.own_ns,
            before_ns=None if member.is_new and not member.born_since else member.before_ns,
            memory=member.memory,
            peak=member.peak,
            hugetlb=member.hugetlb,
            shares=member.shares_with is not None,
            io=member.io,
            numbers=member.numbers,
            refused=member.refused,
            parent=None if parent is None or parent.gone else parent.pid,
            is_root=member.is_root,
            is_leaf=not member.has_children,
            is_new=member.is_new,
        )
