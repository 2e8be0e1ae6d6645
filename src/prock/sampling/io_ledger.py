"""The ledger's rule for disk I/O. The kernel makes it harder there: what a child did is added to its parent's own
counters when it is waited for, and has no field of its own. Pure arithmetic.

So of a member's counters some may be a child's that was counted while it lived. The ledger keeps for every member

    base        its counters when it was first seen, or zero where it was born since;
    explained   how much of its growth may be that of members that have ended;
    counted     the largest growth over both.

The total is the sum of what is counted, which only grows. Explaining too much makes it too small, never too large. It
is taken back where it is certain that nothing arrived: the parent's ``cminflt`` stands still, and every child that is
waited for brings at least one page fault. (Where nobody tells of page faults nothing is taken back.)

Other systems hand nothing on: there every member's counters are its own.

Leaves, which are most of a tree, need no account of their own: of them the sum is enough. A member gets one when it
is first seen with a child.
"""

from __future__ import annotations

from prock.model import DiskIo, Identity, ProcessInfo

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

NOTHING = DiskIo(0, 0, 0, 0, 0, 0, 0)


class _Parent:
    """The account of a member that has had children."""

    __slots__ = ("base", "counted", "doubtful", "explained", "faults", "faults_before")

    def __init__(self, base: DiskIo) -> None:
        self.base = base
        self.explained = NOTHING
        self.counted = NOTHING
        self.doubtful = NOTHING
        """Of what is explained: what no later reading has confirmed."""
        self.faults: int | None = None
        """``cminflt`` as last read, and before what is doubtful was explained."""
        self.faults_before: int | None = None


class IoLedger:
    """One tree's I/O, from the first update on.

    >>> IoLedger().total == NOTHING
    True
    """

    def __init__(self, *, handed_on: bool = True) -> None:
        self._handed_on = handed_on
        """Whether the counters of who was waited for are added to its parent's."""
        self._bases: dict[Identity, DiskIo] = {}
        """Of leaves."""
        self._parents: dict[Identity, _Parent] = {}
        self._counted = NOTHING
        """The sum of what is counted of parents."""
        self._retired = NOTHING
        self._leaves_base = NOTHING
        self._total = NOTHING

    @property
    def total(self) -> DiskIo:
        """Bytes and calls since the first update. Lower bound; never goes down."""
        return self._total

    def open(self, identity: Identity, io: DiskIo, *, existed: bool) -> None:
        """A new member, a leaf until it is seen with children; one that existed before is counted from now on."""
        if existed and identity not in self._bases and identity not in self._parents:
            self._bases[identity] = io
            self._leaves_base += io

    def rename(self, pid: int, now: Identity) -> None:
        """As `prock.sampling.cpu_ledger.CpuLedger.rename`."""
        before = (pid, 0)
        if before in self._bases:
            self._bases[now] = self._bases.pop(before)
        if before in self._parents:
            self._parents[now] = self._parents.pop(before)

    def advance(
        self,
        changed: Iterable[tuple[ProcessInfo, DiskIo]],
        ended: dict[Identity, DiskIo],
        inherited: list[tuple[Identity, list[Identity]]],
        leaves: DiskIo,
    ) -> None:
        """Take in members with children whose row or counters have changed, who ended with which counters, who may
        have inherited from them (`CpuLedger.inherited`, children first), and the sum of all living leaves."""
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
                brought[heir] = brought.get(heir, NOTHING) + handed_on
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
        self._total = self._total.largest(total)

    def _promote(self, identity: Identity) -> _Parent:
        base = self._bases.pop(identity, NOTHING)
        self._leaves_base -= base
        parent = self._parents[identity] = _Parent(base)
        return parent

    def _read(self, row: ProcessInfo, io: DiskIo) -> None:
        parent = self._parents.get(row.identity) or self._promote(row.identity)
        if any(parent.doubtful):
            if row.children_minor_faults is not None and row.children_minor_faults == parent.faults_before:
                parent.explained -= parent.doubtful
            parent.doubtful = NOTHING
        parent.faults = row.children_minor_faults
        self._count(parent, io)

    def _end(self, identity: Identity, io: DiskIo) -> DiskIo:
        """Close its account; all that it may have handed on."""
        parent = self._parents.pop(identity, None)
        if parent is not None:
            self._count(parent, io)
            self._counted -= parent.counted
            self._retired += parent.counted
            return parent.base + parent.counted + parent.explained
        base = self._bases.pop(identity, NOTHING)
        self._leaves_base -= base
        self._retired += io - base
        return io

    def _count(self, parent: _Parent, io: DiskIo) -> None:
        counted = parent.counted.largest(io - parent.base - parent.explained)
        self._counted += counted - parent.counted
        parent.counted = counted
