"""Rows of a tracker sample and sums over them, as in ``native/tracker/subtree_sums.c`` and the binding."""

from __future__ import annotations

from prock._compat.namedtuple import NamedTuple
from prock.engine.protocol import WANT_STAT
from prock.engine.tuples import TreeSums
from prock.model import NO_IO, NUMBERS, CpuPercent, DiskIo, MemberSample, ProcessInfo

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

NO_NUMBERS: tuple[int | None, ...] = (None,) * len(NUMBERS)
NUMBER_FIELDS = (*(metric.name for metric in NUMBERS), *(f"subtree_{metric.name}" for metric in NUMBERS))
REFUSABLE = ("stat", "io", "children", *(metric.file for metric in NUMBERS))


class SnapshotRow(NamedTuple):
    """A member at the time of the sample."""

    tree: int
    info: ProcessInfo
    own_ns: int
    before_ns: int | None
    """Own time at the sample before; None where it was not seen then, though it existed."""
    memory: tuple[int, int]
    peak: int
    hugetlb: int
    shares: bool
    """Its address space is also another member's, with which its memory counts."""
    io: DiskIo | None
    numbers: tuple[int | None, ...]
    refused: frozenset[str]
    parent: int | None
    """Pid of the member above."""
    is_root: bool
    is_leaf: bool
    is_new: bool

    @property
    def used_ns(self) -> int | None:
        return None if self.before_ns is None else max(0, self.own_ns - self.before_ns)


def add_numbers(rows: Iterable[tuple[int | None, ...]]) -> tuple[int | None, ...]:
    """The sum at each place; None where no row's is known."""
    sums = NO_NUMBERS
    for row in rows:
        sums = tuple(a if b is None else b if a is None else a + b for a, b in zip(sums, row, strict=True))
    return sums


def sums_of(rows: list[SnapshotRow], vanished: dict[int, int]) -> list[TreeSums]:
    """Of each tree; how many vanished comes from outside, as those have no rows."""
    trees: dict[int, list[SnapshotRow]] = {}
    for row in rows:
        trees.setdefault(row.tree, []).append(row)
    size = max((*trees, *vanished), default=-1) + 1
    return [_sum_of(trees.get(tree, []), vanished.get(tree, 0)) for tree in range(size)]


def _sum_of(rows: list[SnapshotRow], vanished: int) -> TreeSums:
    return TreeSums(
        process_count=len(rows),
        thread_count=sum(row.info.thread_count for row in rows),
        cpu_ns=sum(row.own_ns for row in rows),
        rss_bytes=sum(row.memory[0] for row in rows if not row.shares),
        vsize_bytes=sum(row.memory[1] for row in rows if not row.shares),
        hugetlb_bytes=sum(row.hugetlb for row in rows),
        leaf_io=sum((row.io for row in rows if row.is_leaf and row.io is not None), NO_IO),
        denied=sum(1 for row in rows if row.refused),
        appeared=sum(row.is_new for row in rows),
        vanished=vanished,
        sharing=[row.info.pid for row in rows if row.shares],
        numbers=add_numbers(row.numbers for row in rows),
    )


class PureSnapshot:
    def __init__(self, rows: list[SnapshotRow], want: int) -> None:
        self._rows = rows
        self._want = want

    def rows(
        self, tree: int, interval_ns: int, unseen: list[tuple[int, int]], pss: dict[int, int], /
    ) -> list[MemberSample]:
        rows = {row.info.pid: row for row in self._rows if row.tree == tree}
        order = _breadth_first(rows.values())
        extra: dict[int, int] = {}
        for pid, ns in unseen:
            extra[pid] = extra.get(pid, 0) + ns
        sums: dict[int, list[int]] = {}
        ios: dict[int, DiskIo] = {}
        number_sums: dict[int, tuple[int | None, ...]] = {}
        for row in reversed(order):
            info = row.info
            waited = info.waited_ns
            numbers = [
                1,
                info.thread_count,
                row.own_ns + waited,
                (row.used_ns or 0) + extra.get(info.pid, 0),
                *row.memory,
            ]
            mine = sums.setdefault(info.pid, [0] * 6)
            mine[:] = map(int.__add__, mine, numbers)
            if row.io is not None:
                ios[info.pid] = ios.get(info.pid, NO_IO) + row.io
            subtree_numbers = add_numbers((number_sums.get(info.pid, NO_NUMBERS), row.numbers))
            number_sums[info.pid] = subtree_numbers
            if row.parent in rows and row.parent is not None:
                number_sums[row.parent] = add_numbers((number_sums.get(row.parent, NO_NUMBERS), subtree_numbers))
                above = sums.setdefault(row.parent, [0] * 6)
                above[:] = map(int.__add__, above, mine)
                if row.shares:
                    above[4] -= row.memory[0]
                    above[5] -= row.memory[1]
                if info.pid in ios:
                    ios[row.parent] = ios.get(row.parent, NO_IO) + ios[info.pid]
        return [
            self._sample(row, sums[row.info.pid], ios.get(row.info.pid), number_sums[row.info.pid], interval_ns, pss)
            for row in order
        ]

    def _sample(
        self,
        row: SnapshotRow,
        sums: list[int],
        io: DiskIo | None,
        numbers: tuple[int | None, ...],
        interval_ns: int,
        pss: dict[int, int],
    ) -> MemberSample:
        def percent(ns: int | None) -> CpuPercent | None:
            return None if ns is None or interval_ns <= 0 else 100.0 * ns / interval_ns

        info, knows_memory = row.info, bool(self._want & WANT_STAT) and "stat" not in row.refused
        own_and_subtree: dict[str, Any] = dict(zip(NUMBER_FIELDS, (*row.numbers, *numbers), strict=True))
        return MemberSample(
            pid=info.pid,
            ppid=info.ppid,
            comm=info.comm,
            state=info.state,
            thread_count=info.thread_count,
            start_ticks=info.start_ticks,
            cpu_ns=row.own_ns,
            cpu_percent=percent(row.used_ns),
            rss_bytes=row.memory[0] if knows_memory else None,
            vsize_bytes=row.memory[1] if knows_memory else None,
            disk_io=row.io,
            pss_bytes=pss.get(info.pid),
            subtree_process_count=sums[0],
            subtree_thread_count=sums[1],
            subtree_cpu_ns=sums[2],
            subtree_cpu_percent=percent(sums[3]),
            subtree_rss_bytes=sums[4] if self._want & WANT_STAT else None,
            subtree_vsize_bytes=sums[5] if self._want & WANT_STAT else None,
            subtree_disk_io=io,
            refused=tuple(name for name in REFUSABLE if name in row.refused),
            **own_and_subtree,
            peak_rss_bytes=row.peak if knows_memory and not row.shares else None,
            hugetlb_bytes=row.hugetlb if knows_memory else None,
        )


def _breadth_first(rows: Iterable[SnapshotRow]) -> list[SnapshotRow]:
    """The root, then those whose parent is not among the rows, then children."""
    by_pid = {row.info.pid: row for row in rows}
    children: dict[int, list[SnapshotRow]] = {}
    tops = []
    for row in by_pid.values():
        if row.parent in by_pid and row.parent is not None and not row.is_root:
            children.setdefault(row.parent, []).append(row)
        else:
            tops.append(row)
    order = sorted(tops, key=lambda row: not row.is_root)
    for row in order:
        order += children.get(row.info.pid, ())
    return order
