"""The rule that keeps a tree's CPU total from ever going down or counting twice. Pure arithmetic: rows in, a total out.

The difficulty: when a process reaps a child, the kernel adds all that the child used to the parent's ``cutime`` and
``cstime`` (here: its *waited* time), and forgets the child. What the ledger saw of that child is then in there a second
time; what it used after it was last seen is in there for the first time; and children that lived and died unseen are in
there too. So for every member the ledger keeps

    own          the largest own time seen, less the baseline;
    explained    how much of its waited time may be time that was seen in a child already;
    unexplained  the largest excess of waited over explained time: what nobody had counted before.

The total is the sum of own and unexplained over all members that ever were. Both only grow, so it never goes down.

When a member vanishes, all that was seen of it is added to what is explained at its parent: that is where it went if
it was waited for. Explaining too much makes the total too small, never too large; and it is taken back as soon as the
parent is read again: what has not arrived in its waited time by then never will (it ignores SIGCHLD), for the kernel
adds it before the pid disappears.

If the parent ended too (it vanished, or is a zombie now) the child may have been handed to an ancestor before it ended
itself, so it is explained at each ancestor that adopts (prctl(2), PR_SET_CHILD_SUBREAPER). Who adopts can't be asked,
but is seen when a member's parent changes. Until that was seen once, an orphan that ends within the same interval as
its parent counts twice. To suspect every ancestor was tried, and lost more: of a deep tree of short-lived processes up
to all that was used between two updates.

The total is a lower bound: what a process used between its last reading and its end is lost if nobody in the tree
waited for it, and so is a whole process that nobody saw and nobody waited for.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator

from prock.model import Identity, ProcessInfo

WAITED_SLACK_NS = 20_000_000
"""``cutime`` and ``cstime`` are told in ticks of 10 ms, rounded down, each."""


class _Account:
    """What the ledger knows of one member."""

    __slots__ = ("explained", "own", "own_base", "parent", "unexplained", "waited_base")

    def __init__(self, own_base: int, waited_base: int) -> None:
        self.parent: Identity | None = None
        self.own_base = self.own = own_base
        self.waited_base = waited_base
        self.explained = 0
        self.unexplained = 0


class CpuLedger:
    """One tree's account, from the first update on.

    Rows must have been read parents before children.

    >>> ledger = Ledger()
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
        # Explained at a parent that was alive when it was read. Had it ended by the time its child did, the next update
        # finds it ended, and only then the child's time can have gone elsewhere.
        self._lately: list[tuple[Identity, int]] = []
        self._living_ns = 0
        self._living_base_ns = 0
        self.ended_ns = 0
        """Of the total: what members used that have ended, as last seen."""
        self.unseen_ns = 0
        """Of the total: what came in through waited-for time alone."""
        self.lately_unseen: list[tuple[Identity, int]] = []
        """What the last update added to `unseen_ns`, and who had waited for it."""
        self.to_reread: set[Identity] = set()
        """Whose row the next update has to bring, changed or not: it tells whether what is explained there arrived."""
        self.inherited: list[tuple[Identity, list[Identity]]] = []
        """Who ended by the last update, and in whose waited-for figures all that it used may stand now."""

    def __iter__(self) -> Iterator[Identity]:
        """The members that were alive at the last update, parents before their children."""
        return iter(self._accounts)

    def __len__(self) -> int:
        return len(self._accounts)

    def __contains__(self, identity: Identity) -> bool:
        return identity in self._accounts

    def identity_of(self, pid: int) -> Identity | None:
        """The member of that pid that was alive at the last update."""
        return self._of_pid.get(pid)

    @property
    def total_ns(self) -> int:
        """CPU time that the tree used since the first update. Lower bound; never goes down."""
        return self.ended_ns + self.unseen_ns + self._living_ns - self._living_base_ns

    def advance(self, rows: Collection[ProcessInfo], ended: list[tuple[Identity, int]], living_ns: int) -> None:
        """Take in what has changed: rows of who is new, has waited for children, has got another parent or has become a
        zombie, and of `to_reread`; who has ended, and its own time as last read; and the sum of the own times of all
        who live."""
        for identity, own_ns in ended:
            account = self._accounts.get(identity)
            if account is not None:
                account.own = max(account.own, own_ns)
        vanished = [identity for identity, _ in ended if identity in self._accounts]
        for row in rows:
            (self._zombies.discard if row.is_alive else self._zombies.add)(row.identity)
        moved = self._retire(vanished, self._zombies)
        self.lately_unseen = []
        for row in rows:
            if row.identity not in self._accounts:
                self._admit(row, existed=self.existed(row))
        if self._began_ticks is None:
            self._began_ticks = max((row.start_ticks for row in rows), default=0)
        for row in rows:
            identity = row.identity
            account = self._accounts[identity]
            self._set_parent(account, self._of_pid.get(row.ppid))
            self._read(identity, account, row, moved.pop(identity, 0))
        for identity, explained in moved.items():
            if identity in self._accounts:
                self._accounts[identity].explained += explained
        self._living_ns = living_ns

    def existed(self, row: ProcessInfo) -> bool:
        """Whether a process is older than the ledger."""
        return self._began_ticks is None or row.start_ticks < self._began_ticks

    def count_from_birth(self) -> None:
        """Before the first update: who is in it was started after the ledger began, and counts in full."""
        self._began_ticks = 0

    def rename(self, pid: int, now: Identity) -> None:
        """A member whose row was refused, so that nobody knew when it began, has told it: it is no other."""
        before = (pid, 0)
        self._accounts = {now if known == before else known: account for known, account in self._accounts.items()}
        for account in self._accounts.values():
            if account.parent == before:
                account.parent = now
        self._of_pid[pid] = now
        self._lately = [(now if known == before else known, ns) for known, ns in self._lately]
        for some in (self._adopters, self._zombies, self.to_reread):
            if before in some:
                some.remove(before)
                some.add(now)

    def rebase(self, rows: Iterable[ProcessInfo]) -> None:
        """A second pass after the first update: what it finds is older than the ledger, too.

        While the first pass runs a child may be reaped after its parent's turn and before its own, and would later come
        in through its parent with all that it used before; or be handed to one who has had his turn, and be missed.
        """
        for row in rows:
            account = self._accounts.get(row.identity)
            if account is None:
                account = self._admit(row, existed=True)
                self._living_ns += account.own
            else:
                account.waited_base = max(account.waited_base, _waited_ns(row) + self._slack_ns)

    def _admit(self, row: ProcessInfo, *, existed: bool) -> _Account:
        account = self._open(row, existed=existed)
        self._accounts[row.identity] = account
        self._of_pid[row.pid] = row.identity
        self._living_base_ns += account.own_base
        return account

    def _open(self, row: ProcessInfo, *, existed: bool) -> _Account:
        """Who existed before the ledger began is counted from now on, who was born since from its birth on.

        Of the waited time at the beginning only the ticks are known: the rest of the last ones is taken as old.
        """
        return _Account(_own_ns(row), _waited_ns(row) + self._slack_ns) if existed else _Account(0, 0)

    def adopts(self, identity: Identity) -> None:
        """Tell that a process inherits the orphans of its descendants."""
        self._adopters.add(identity)

    def _set_parent(self, account: _Account, parent: Identity | None) -> None:
        if account.parent is not None and parent is not None and parent != account.parent:
            self._adopters.add(parent)
        account.parent = parent

    def _read(self, identity: Identity, account: _Account, row: ProcessInfo, moved_here: int) -> None:
        account.own = max(account.own, _own_ns(row))
        waited = max(0, _waited_ns(row) - account.waited_base)
        arrived = min(account.explained, waited - account.unexplained + self._slack_ns)
        account.explained = arrived + moved_here
        excess = waited - account.explained - account.unexplained
        if excess > 0:
            account.unexplained += excess
            self.unseen_ns += excess
            self.lately_unseen.append((identity, excess))

    def _retire(self, vanished: list[Identity], zombies: set[Identity]) -> dict[Identity, int]:
        """Close the accounts of members that ended. Answers how much is explained by that at whom."""
        moved: dict[Identity, int] = {}
        self.inherited = []
        gone = set(vanished)
        for parent, arrived in self._lately:
            for heir in self._heirs(parent, gone, zombies)[1:]:
                moved[heir] = moved.get(heir, 0) + arrived
        self._lately = []
        for identity in reversed(vanished):  # children first: what they explain at their parent moves on with it
            account = self._accounts[identity]
            if account.parent not in self._accounts:
                continue
            arrived = account.own + account.waited_base + account.unexplained + account.explained
            arrived += moved.pop(identity, 0)
            heirs = self._heirs(account.parent, gone, zombies)
            self.inherited.append((identity, heirs))
            if account.parent not in gone and account.parent not in zombies:
                self._lately.append((account.parent, arrived))
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

    def _heirs(self, parent: Identity, gone: set[Identity], zombies: set[Identity]) -> list[Identity]:
        """Into whose waited time a vanished child's time may have gone: the parent's, and whose else."""
        if parent not in gone and parent not in zombies:
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


def _waited_ns(row: ProcessInfo) -> int:
    return row.waited_ns
