"""The CPU ledger: a tree's CPU total that never falls and counts nothing twice. Pure arithmetic on rows.

When a process reaps a child, the kernel adds all that the child used to the parent's ``cutime`` and ``cstime`` (its
*waited* time) and forgets the child. That sum contains time that the ledger has counted already while the child lived,
what the child used after its last reading, and children that no sample has seen. So the ledger keeps for each member

    own          the largest own time seen, less the baseline;
    explained    how much of its waited time may already be counted as own time of a child;
    unexplained  the largest excess of waited over explained time: time that nothing else has counted.

The total is the sum of own and unexplained over all members there ever were. Both only grow, so it never falls.

When a member vanishes, all that was seen of it becomes explained at its parent, where it went if the parent waited for
it. Too much explained time makes the total too small, never too large. The next reading of the parent corrects it: the
kernel adds the time before the pid disappears, so what has not arrived by then never will (the parent ignores SIGCHLD).

If the parent has ended too (it vanished or is a zombie), the child may have been reparented before it ended itself, so
its time is explained at each ancestor that is a subreaper (PR_SET_CHILD_SUBREAPER of prctl(2)). No interface reports
subreapers; the ledger recognizes one when a member's parent changes to it. Until then an orphan that ends in the same
interval as its parent counts twice. Treating every ancestor as a subreaper was tried and lost more: of a deep tree of
short-lived processes up to all that was used between two updates.

The total is a lower bound. It lacks what a process used between its last reading and its end, and processes that no
sample saw, unless a process of the tree waited for them.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator

from prock.model import Identity, ProcessInfo

WAITED_SLACK_NS = 20_000_000
"""``cutime`` and ``cstime`` are each rounded down to ticks of 10 ms."""


class _Account:
    """The figures of one member."""

    __slots__ = ("explained", "own", "own_base", "parent", "unexplained", "waited_base")

    def __init__(self, own_base: int, waited_base: int) -> None:
        self.parent: Identity | None = None
        self.own_base = self.own = own_base
        self.waited_base = waited_base
        self.explained = 0
        self.unexplained = 0


class CpuLedger:
    """The CPU ledger of one tree, from the first update on. Rows must have been read parents before children.

    >>> ledger = CpuLedger()
    >>> ledger.total_ns
    0
    """

    def __init__(self, waited_slack_ns: int = WAITED_SLACK_NS) -> None:
        self._accounts: dict[Identity, _Account] = {}
        self._of_pid: dict[int, Identity] = {}
        self._slack_ns = waited_slack_ns
        self._began_ticks: int | None = None
        self._adopters: set[Identity] = set()
        self._zombies: set[Identity] = set()
        # Explained at a parent that was alive when it was read. If that parent ended before the child did, the next
        # update finds it ended, and the child's time may have gone to an adopter.
        self._moved_lately: list[tuple[Identity, int]] = []
        self._living_ns = 0
        self._living_base_ns = 0
        self.ended_ns = 0
        """The part of the total used by members that have ended, as last read."""
        self.unseen_ns = 0
        """The part of the total that came in through waited time alone."""
        self.lately_unseen: list[tuple[Identity, int]] = []
        """What the last update added to `unseen_ns`, by the process that had waited for it."""
        self.to_reread: set[Identity] = set()
        """Members to read again for the next update, changed or not: this shows whether explained time has arrived."""
        self.inherited: list[tuple[Identity, list[Identity]]] = []
        """Members that ended by the last update, each with the members that may have its time in their waited time."""

    def __iter__(self) -> Iterator[Identity]:
        """The members that were alive at the last update, parents before their children."""
        return iter(self._accounts)

    def __len__(self) -> int:
        return len(self._accounts)

    def __contains__(self, identity: object) -> bool:
        return identity in self._accounts

    def identity_of(self, pid: int) -> Identity | None:
        """The member of that pid that was alive at the last update."""
        return self._of_pid.get(pid)

    @property
    def zombie_count(self) -> int:
        """How many members were zombies at the last update."""
        return len(self._zombies)

    def is_zombie(self, identity: Identity) -> bool:
        """Whether that member was a zombie at the last update."""
        return identity in self._zombies

    @property
    def total_ns(self) -> int:
        """CPU time that the tree has used since the first update. Lower bound; never falls."""
        return self.ended_ns + self.unseen_ns + self._living_ns - self._living_base_ns

    def advance(self, rows: Collection[ProcessInfo], ended: list[tuple[Identity, int]], living_ns: int) -> None:
        """Update the ledger.

        - `rows`: members that are new, have waited for children, have another parent or have become zombies, and those
          of `to_reread`.
        - `ended`: members that have ended, with their own time as last read.
        - `living_ns`: sum of the own times of all living members.
        """
        vanished = []
        for identity, own_ns in ended:
            account = self._accounts.get(identity)
            if account is not None:
                account.own = max(account.own, own_ns)
                vanished.append(identity)
        for row in rows:
            (self._zombies.discard if row.is_alive else self._zombies.add)(row.identity)
        moved = self._retire(vanished)
        self.lately_unseen = []
        for row in rows:
            if row.identity not in self._accounts:
                self._admit(row, existed=self.existed(row))
        if self._began_ticks is None:
            self._began_ticks = max((row.start_ticks for row in rows), default=0)
        for row in rows:
            identity = row.identity
            account = self._accounts[identity]
            parent = self._of_pid.get(row.ppid)
            if account.parent is not None and parent is not None and parent != account.parent:
                self._adopters.add(parent)
            account.parent = parent
            self._read(identity, account, row, moved.pop(identity, 0))
        for identity, explained in moved.items():
            if identity in self._accounts:
                self._accounts[identity].explained += explained
        self._living_ns = living_ns

    def existed(self, row: ProcessInfo) -> bool:
        """Whether a process is older than the ledger."""
        return self._began_ticks is None or row.start_ticks < self._began_ticks

    def count_from_birth(self) -> None:
        """Before the first update: count in full what its members have used."""
        self._began_ticks = 0

    def rename(self, pid: int, identity: Identity) -> None:
        """Set the identity of a member after its start time could be read for the first time."""
        before = (pid, 0)
        self._accounts = {identity if known == before else known: account for known, account in self._accounts.items()}
        for account in self._accounts.values():
            if account.parent == before:
                account.parent = identity
        self._of_pid[pid] = identity
        self._moved_lately = [(identity if known == before else known, ns) for known, ns in self._moved_lately]
        for members in (self._adopters, self._zombies, self.to_reread):
            if before in members:
                members.remove(before)
                members.add(identity)

    def rebase(self, rows: Iterable[ProcessInfo]) -> None:
        """Apply a second pass after the first update: all that it finds is older than the ledger, too.

        During the first pass a process may reap a child between its own reading and the child's, or a child may be
        reparented to a process that was read already. Without a second pass the time that such a child used before
        the ledger began would be counted, or the child would be missed.
        """
        for row in rows:
            account = self._accounts.get(row.identity)
            if account is None:
                self._living_ns += self._admit(row, existed=True).own
            else:
                account.waited_base = max(account.waited_base, row.waited_ns + self._slack_ns)

    def _admit(self, row: ProcessInfo, *, existed: bool) -> _Account:
        """A process that is older than the ledger counts from now on, a younger one from its birth on."""
        # Of the waited time at the beginning only whole ticks are known: the rest of the last ones counts as old.
        account = _Account(_own_ns(row), row.waited_ns + self._slack_ns) if existed else _Account(0, 0)
        self._accounts[row.identity] = account
        self._of_pid[row.pid] = row.identity
        self._living_base_ns += account.own_base
        return account

    def _read(self, identity: Identity, account: _Account, row: ProcessInfo, moved_here: int) -> None:
        account.own = max(account.own, _own_ns(row))
        waited = max(0, row.waited_ns - account.waited_base)
        arrived = min(account.explained, waited - account.unexplained + self._slack_ns)
        account.explained = arrived + moved_here
        excess = waited - account.explained - account.unexplained
        if excess > 0:
            account.unexplained += excess
            self.unseen_ns += excess
            self.lately_unseen.append((identity, excess))

    def _retire(self, vanished: list[Identity]) -> dict[Identity, int]:
        """Close the accounts of members that ended. Returns how much that explains at which member."""
        moved: dict[Identity, int] = {}
        self.inherited = []
        gone = set(vanished)
        for parent, arrived in self._moved_lately:
            for heir in self._heirs(parent, gone)[1:]:
                moved[heir] = moved.get(heir, 0) + arrived
        self._moved_lately = []
        for identity in reversed(vanished):  # children first: what they explain at their parent moves on with it
            account = self._accounts[identity]
            if account.parent not in self._accounts:
                continue
            arrived = account.own + account.waited_base + account.unexplained + account.explained
            arrived += moved.pop(identity, 0)
            heirs = self._heirs(account.parent, gone)
            self.inherited.append((identity, heirs))
            if account.parent not in gone and account.parent not in self._zombies:
                self._moved_lately.append((account.parent, arrived))
            for heir in heirs:
                moved[heir] = moved.get(heir, 0) + arrived
        self.to_reread = moved.keys() - gone
        self._adopters -= gone
        self._zombies -= gone
        for identity in vanished:
            account = self._accounts.pop(identity)
            if self._of_pid.get(identity[0]) == identity:
                del self._of_pid[identity[0]]
            self._living_base_ns -= account.own_base
            self.ended_ns += account.own - account.own_base
        return moved

    def _heirs(self, parent: Identity, gone: set[Identity]) -> list[Identity]:
        """The members that may have waited for a vanished child: the parent, and adopters if it has ended."""
        if parent not in gone and parent not in self._zombies:
            return [parent]
        survivors = [ancestor for ancestor in self._ancestors(parent) if ancestor not in gone]
        if parent in gone:
            survivors = survivors[1:]  # the parent's own end carries it to the first one
        return [parent, *(survivor for survivor in survivors if survivor in self._adopters)]

    def _ancestors(self, identity: Identity) -> Iterator[Identity]:
        """Those known at the last update, nearest first."""
        seen = {identity}
        parent = self._accounts[identity].parent
        while parent is not None and parent not in seen and parent in self._accounts:
            yield parent
            seen.add(parent)
            parent = self._accounts[parent].parent


def _own_ns(row: ProcessInfo) -> int:
    return row.user_ns + row.system_ns
