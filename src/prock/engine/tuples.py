"""Named tuples that engines return, beside those of `prock.model`. The C core compares their fields with its own."""

from __future__ import annotations

from prock._compat.namedtuple import NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Protocol

    from prock.model import DiskIo, Identity, MemberSample, ProcessInfo

    class TrackerSnapshot(Protocol):
        """The members as one sample found them."""

        def rows(
            self, tree: int, interval_ns: int, unseen: list[tuple[int, int]], pss: dict[int, int], /
        ) -> list[MemberSample]:
            """Root first, then breadth first. `unseen`: pids, and the CPU time of their unsampled children."""


class TreeSums(NamedTuple):
    """Sums over the members of one tree in one pass of a `MemberTracker`. 0 where the tracker does not read it.

    `cpu_ns`: own CPU time of the members. `leaf_io`: I/O of the members without children. `denied`, `appeared`:
    members of which something was refused, and that are new. `vanished`: processes found and gone when read. `sharing`:
    pids of members whose address space is also another member's, with which their memory counts.
    `numbers`: in the order of `prock.model.NUMBERS`; None where no member's is known.
    """

    process_count: int
    thread_count: int
    cpu_ns: int
    rss_bytes: int
    vsize_bytes: int
    hugetlb_bytes: int
    leaf_io: DiskIo
    denied: int
    appeared: int
    vanished: int
    sharing: list[int]
    numbers: tuple[int | None, ...]


class MemberChange(NamedTuple):
    """A member that is new, has waited for children, has another parent or session, is a zombie now, was to be reread,
    or (with I/O) has children and other counters than before. `is_parent`: whether it ever had children.
    `peak_rss_bytes`: 0 where unknown."""

    tree: int
    info: ProcessInfo
    disk_io: DiskIo | None
    is_parent: bool
    peak_rss_bytes: int


class MemberEnd(NamedTuple):
    """A member that has ended, with its own CPU time, I/O, peak RSS (0: unknown) and name as last read."""

    tree: int
    identity: Identity
    cpu_ns: int
    disk_io: DiskIo | None
    peak_rss_bytes: int
    comm: str


class TrackerSample(NamedTuple):
    """One pass of a `MemberTracker`. `sums` has an item for each tree, at the tree's number."""

    snapshot: TrackerSnapshot
    sums: list[TreeSums]
    changed: list[MemberChange]
    ended: list[MemberEnd]


class TaskEvent(NamedTuple):
    """An event of a task as perf records it; see `prock.engine.protocol.RECORD_FORK`.

    `time_ns`: monotonic clock. `ppid`, `ptid`: of the parent, for a fork or an exit. `comm`: the new name, for a rename
    or an exec. `cpu_ns`: CPU time that the process used since its last exit or exec, for these, where switches are
    recorded.
    """

    kind: int
    time_ns: int
    pid: int
    tid: int
    ppid: int
    ptid: int
    comm: str | None
    cpu_ns: int


class DrainedEvents(NamedTuple):
    """Task events in order; and since the start: records lost, context switches seen, and of these how many were lost
    or may have been."""

    events: list[TaskEvent]
    lost: int
    switches: int
    switches_lost: int
