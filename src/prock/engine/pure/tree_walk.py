"""One pass over a tree in plain Python, as in ``native/procfs/tree_walk.c``: walk, or scan where cheaper."""

from __future__ import annotations

import time

from prock.engine.numbers import read_numbers
from prock.engine.protocol import WANT_CPU, WANT_IO, WANT_STAT
from prock.engine.pure import parse
from prock.errors import AccessDenied, MalformedProcFile, NotSupported
from prock.model import ProcessInfo, ProcessStats

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from prock.engine.pure.engine import PureEngine

FIRST_DOUBT = 64
"""A scan is thought of once so many members wait to be visited ..."""
LISTING_SHARE = 5
"""... and a fifth of all threads: then listing the processes adds at most an eighth to the walk."""
WALK_PRICE, SCAN_PRICE = 3, 2
"""What a member costs to be walked to (``stat`` and ``children``) and to be scanned (``stat`` alone): 11.6 to 8 µs."""


class TreePass:
    """Parents are read before their children: in the other order a child reaped in between would count twice."""

    def __init__(self, engine: PureEngine, root: int, want: int) -> None:
        self._engine = engine
        self._root = root
        self._want = want
        self._taken_ns = time.monotonic_ns()
        self._doubt: float = FIRST_DOUBT
        self._members: list[ProcessStats] = []
        self._vanished = 0

    def run(self) -> tuple[list[ProcessStats], int] | None:
        try:
            unread = self._walk()
        except NotSupported:  # the kernel was built without CONFIG_PROC_CHILDREN
            self._assemble(self._engine.scan())
        else:
            if unread is not None:
                self._scan(unread)
        return (self._members, self._vanished) if self._members else None

    def _walk(self) -> list[int] | None:
        """Breadth first; where it gave up because a scan is cheaper, the pids that are not read yet."""
        self._members, self._vanished = [], 0
        queue: list[tuple[int, int | None]] = [(self._root, None)]
        known = {self._root}
        for index, (pid, parent) in enumerate(queue):
            unread = self._cheaper_scan(visited=index, waiting=len(queue) - index)
            if unread is not None:
                return unread
            for child in self._visit(pid, parent):
                if child not in known:
                    known.add(child)
                    queue.append((child, pid))
        return None

    def _visit(self, pid: int, parent: int | None) -> list[int]:
        """Read one member; its children are the answer."""
        member = self._read(pid, parent)
        if member is None:
            self._vanished += pid != self._root
            return []
        threads = member.thread_count
        try:
            children = self._engine.children_of_threads(pid, threads)
        except (AccessDenied, MalformedProcFile):
            member = member._replace(refused=(*member.refused, "children"))
            children = []
        if children is None and not self._want:  # nothing else has shown that it exists
            self._vanished += pid != self._root
            return []
        self._members.append(member)
        return children or []

    def _read(self, pid: int, parent: int | None, row: ProcessInfo | None = None) -> ProcessStats | None:
        """A member with all that is wanted, or None where it is gone. A root that refuses refuses the whole tree."""
        engine, cpu, disk_io = self._engine, None, None
        refused: tuple[str, ...] = ()
        try:
            if row is None and self._want & WANT_STAT:
                row = engine.info(pid)
                if row is None or self._is_another(row, parent):
                    return None
        except (AccessDenied, MalformedProcFile, NotSupported):
            if pid == self._root:
                raise
            refused = ("stat",)
        if row is not None:
            cpu = row.cpu_time
        elif self._want & WANT_CPU and engine.clocks_usable:
            cpu = engine.cpu_time(pid)
            if cpu is None and not refused:
                return None
        if self._want & WANT_IO:
            try:
                disk_io = engine.disk_io(pid)
            except (AccessDenied, MalformedProcFile, NotSupported):
                refused += ("io",)
        numbers, refused = read_numbers(engine, pid, self._want, refused)
        ppid = parent if row is None else row.ppid
        return ProcessStats(self._taken_ns, pid, ppid, cpu, row, disk_io, refused, **numbers)

    def _is_another(self, row: ProcessInfo, parent: int | None) -> bool:
        """Whether its pid was given away again since it was found: who is not its parent's child, though that lives.

        A parent that has ended, though nobody has waited for it yet, has handed its children on."""
        if parent is None or row.ppid in (parent, 0) or not self._engine.clocks_usable:
            return False
        try:
            now = self._engine.info(parent)
        except (AccessDenied, MalformedProcFile, NotSupported):
            return False
        return now is not None and now.is_alive

    def _scan(self, unread: list[int]) -> None:
        """Let a scan read the rest. Where processes refuse it, walk after all: only that finds those among them."""
        rows, _, denied = self._engine.read_all(unread)
        if denied:
            self._doubt = float("inf")
            self._walk()
        else:
            self._assemble([member.info for member in self._members if member.info is not None] + rows)

    def _assemble(self, scan: Sequence[ProcessInfo]) -> None:
        """The tree from a scan."""
        place = {row.pid: index for index, row in enumerate(scan)}
        children: dict[int, list[int]] = {}
        for row in scan:
            children.setdefault(row.ppid, []).append(row.pid)
        self._members, self._vanished = [], 0
        queue: list[tuple[int, int | None]] = [(self._root, None)] if self._root in place else []
        known = {self._root}
        for pid, parent in queue:
            read_too_early = parent is not None and place[pid] < place[parent]
            member = self._read(pid, parent, None if read_too_early else scan[place[pid]])
            if member is None:
                self._vanished += pid != self._root
                continue
            self._members.append(member)
            for child in children.get(pid, ()):
                if child not in known:
                    known.add(child)
                    queue.append((child, pid))

    def _cheaper_scan(self, visited: int, waiting: int) -> list[int] | None:
        """What a scan would have to read, where what is known to be left of the walk would cost more."""
        if not self._want & WANT_STAT or waiting < self._doubt:
            return None
        threads = self._thread_count()
        if waiting * LISTING_SHARE < threads:
            self._doubt = threads // LISTING_SHARE + 1
            return None
        pids = self._engine.pids()
        unread = max(0, len(pids) - visited)
        if waiting * WALK_PRICE <= unread * SCAN_PRICE:
            self._doubt = unread * SCAN_PRICE // WALK_PRICE + 1
            return None
        read = {member.pid for member in self._members if member.info is not None}
        return [pid for pid in pids if pid not in read]

    def _thread_count(self) -> int:
        """Threads of the machine, a cheap upper bound for its processes; 0 where it can't be read."""
        try:
            with open(f"{self._engine.root}/loadavg", "rb") as file:
                return parse.thread_count(file.read())
        except (OSError, ValueError):
            return 0
