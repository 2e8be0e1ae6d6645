"""The I/O ledger: a tree's I/O totals that never fall and count nothing twice. Pure arithmetic.

When a process waits for a child, the kernel adds the child's I/O to the parent's own counters, without a separate
field. So a part of a member's counters may be a child's, counted already while it lived. The ledger keeps for a member

    base        its counters when it was first seen, or zero where it was born since;
    explained   how much of its growth may be that of members that have ended;
    counted     the largest growth over both.

The total is the sum of what is counted, which only grows. Too much explained I/O makes it too small, never too large.
It is corrected where certainly nothing arrived: the parent's ``cminflt`` has not changed, and every child that is
waited for adds at least one page fault. Without page fault counters nothing is corrected.

On other systems than Linux a member's counters are always its own.

Most members are leaves; for these the sum is enough. A member gets an account when it is first seen with a child.
"""

from __future__ import annotations

from prock.model import NO_IO, DiskIo, Identity, ProcessInfo

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable


class _Parent:
    """The figures of a member that has had children."""

    __slots__ = ("base", "counted", "doubtful", "explained", "faults", "faults_before")

    def __init__(self, base: DiskIo) -> None:
        self.base = base
        self.explained = NO_IO
        self.counted = NO_IO
        self.doubtful = NO_IO
        """The part of `explained` that no later reading has confirmed."""
        self.faults: int | None = None
        """``cminflt`` as last read."""
        self.faults_before: int | None = None
        """``cminflt`` before `doubtful` was explained."""


class IoLedger:
    """The I/O ledger of one tree, from the first update on.

    - `handed_on`: whether the system adds the counters of a child that was waited for to its parent's.

    >>> IoLedger().total == NO_IO
    True
    """

    def __init__(self, *, handed_on: bool = True) -> None:
        self._handed_on = handed_on
        self._leaf_bases: dict[Identity, DiskIo] = {}
        self._parents: dict[Identity, _Parent] = {}
        self._counted = NO_IO
        """Sum of `counted` over all living parents."""
        self._retired = NO_IO
        self._leaves_base = NO_IO
        self.total = NO_IO
        """Bytes and calls since the first update. Lower bound; never falls."""

    def open(self, identity: Identity, io: DiskIo, *, existed: bool) -> None:
        """Add a member, a leaf until it is seen with children. One that `existed` before counts from now on."""
        if existed and identity not in self._leaf_bases and identity not in self._parents:
            self._leaf_bases[identity] = io
            self._leaves_base += io

    def rename(self, pid: int, identity: Identity) -> None:
        """As `prock.sampling.cpu_ledger.CpuLedger.rename`."""
        before = (pid, 0)
        if before in self._leaf_bases:
            self._leaf_bases[identity] = self._leaf_bases.pop(before)
        if before in self._parents:
            self._parents[identity] = self._parents.pop(before)

    def advance(
        self,
        changed: Iterable[tuple[ProcessInfo, DiskIo]],
        ended: dict[Identity, DiskIo],
        inherited: list[tuple[Identity, list[Identity]]],
        leaves: DiskIo,
    ) -> None:
        """Update the ledger.

        - `changed`: members with children, where the row or the counters have changed.
        - `ended`: members that have ended, with their counters as last read.
        - `inherited`: members that may have inherited from these, as `CpuLedger.inherited`, children first.
        - `leaves`: sum over all living leaves.
        """
        before = {identity: parent.faults for identity, parent in self._parents.items()}
        rest = dict(ended)
        brought: dict[Identity, DiskIo] = {}
        for identity, heirs in inherited:
            if identity not in rest:
                continue
            handed_on = self._end(identity, rest.pop(identity))
            for heir in heirs if self._handed_on else ():
                parent = self._parents.get(heir) or self._promote(heir)
                parent.explained += handed_on
                brought[heir] = brought.get(heir, NO_IO) + handed_on
        for identity, io in rest.items():
            self._end(identity, io)
        for row, io in changed:
            self._read(row, io)
        for heir in brought.keys() & self._parents.keys():
            parent = self._parents[heir]
            if not any(parent.doubtful):
                parent.faults_before = before.get(heir)
            parent.doubtful += brought[heir]
        total = self._retired + self._counted + (leaves - self._leaves_base)
        self.total = self.total.largest(total)

    def _promote(self, identity: Identity) -> _Parent:
        base = self._leaf_bases.pop(identity, NO_IO)
        self._leaves_base -= base
        parent = self._parents[identity] = _Parent(base)
        return parent

    def _read(self, row: ProcessInfo, io: DiskIo) -> None:
        parent = self._parents.get(row.identity) or self._promote(row.identity)
        if any(parent.doubtful):
            if row.children_minor_faults is not None and row.children_minor_faults == parent.faults_before:
                parent.explained -= parent.doubtful
            parent.doubtful = NO_IO
        parent.faults = row.children_minor_faults
        self._count(parent, io)

    def _end(self, identity: Identity, io: DiskIo) -> DiskIo:
        """Close a member's account. Returns all that it may have handed on."""
        parent = self._parents.pop(identity, None)
        if parent is not None:
            self._count(parent, io)
            self._counted -= parent.counted
            self._retired += parent.counted
            return parent.base + parent.counted + parent.explained
        base = self._leaf_bases.pop(identity, NO_IO)
        self._leaves_base -= base
        self._retired += io - base
        return io

    def _count(self, parent: _Parent, io: DiskIo) -> None:
        counted = parent.counted.largest(io - parent.base - parent.explained)
        self._counted += counted - parent.counted
        parent.counted = counted
