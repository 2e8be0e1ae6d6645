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

    @property
    def counted(self) -> int:
        return self.own - self.own_base + self.unexplained


class Ledger:
    """One tree's account, from the first update on.

    Rows must have been read parents before children, and every member that is still alive must be among them or among
    the unreadable ones: who is missing has ended.

    >>> ledger = Ledger()
    >>> ledger.total_ns
    0
    """

    def __init__(self, waited_slack_ns: int = WAITED_SLACK_NS) -> None:
        self._accounts: dict[Identity, _Account] = {}
        self._retired_ns = 0
        self._slack_ns = waited_slack_ns
        self._began_ticks: int | None = None
        self._adopters: set[Identity] = set()
        # Explained at a parent that was alive when it was read. Had it ended by the time its child did, the next update
        # finds it ended, and only then the child's time can have gone elsewhere.
        self._lately: list[tuple[Identity, int]] = []

    def __iter__(self) -> Iterator[Identity]:
        """The members that were alive at the last update, parents before their children."""
        return iter(self._accounts)

    @property
    def total_ns(self) -> int:
        """CPU time that the tree used since the first update. Lower bound; never goes down."""
        return self._retired_ns + sum(account.counted for account in self._accounts.values())

    def update(self, rows: Iterable[ProcessInfo], unreadable: Collection[int] = ()) -> None:
        """Take in one pass over the tree; `unreadable` are pids that exist, but could not be read this time."""
        present = {row.identity: row for row in rows}
        vanished = [one for one in self._accounts if one not in present and one[0] not in unreadable]
        moved = self._retire(vanished, zombies={one for one, row in present.items() if not row.is_alive})
        first = self._began_ticks is None
        if self._began_ticks is None:
            self._began_ticks = max((row.start_ticks for row in present.values()), default=0)
        identities = {row.pid: identity for identity, row in present.items()}
        for identity, row in present.items():
            account = self._accounts.get(identity)
            if account is None:
                account = self._open(row, existed=first or row.start_ticks < self._began_ticks)
                self._accounts[identity] = account
            self._set_parent(account, identities.get(row.ppid))
            self._read(account, row, moved.get(identity, 0))

    def rebase(self, rows: Iterable[ProcessInfo]) -> None:
        """A second pass after the first update: what it finds is older than the ledger, too.

        While the first pass runs a child may be reaped after its parent's turn and before its own, and would later come
        in through its parent with all that it used before; or be handed to one who has had his turn, and be missed.
        """
        for row in rows:
            account = self._accounts.get(row.identity)
            if account is None:
                self._accounts[row.identity] = self._open(row, existed=True)
            else:
                account.waited_base = max(account.waited_base, _waited_ns(row) + self._slack_ns)

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

    def _read(self, account: _Account, row: ProcessInfo, moved_here: int) -> None:
        account.own = max(account.own, _own_ns(row))
        waited = max(0, _waited_ns(row) - account.waited_base)
        arrived = min(account.explained, waited - account.unexplained + self._slack_ns)
        account.explained = arrived + moved_here
        account.unexplained = max(account.unexplained, waited - account.explained)

    def _retire(self, vanished: list[Identity], zombies: set[Identity]) -> dict[Identity, int]:
        """Close the accounts of members that ended. Answers how much is explained by that at whom."""
        moved: dict[Identity, int] = {}
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
            if account.parent not in gone and account.parent not in zombies:
                self._lately.append((account.parent, arrived))
            for heir in heirs:
                moved[heir] = moved.get(heir, 0) + arrived
        self._adopters -= gone
        for identity in vanished:
            self._retired_ns += self._accounts.pop(identity).counted
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
    return row.children_user_ns + row.children_system_ns
