"""One pass over a tree in plain Python, as ``native/walk.c`` does it: walk down, or scan where that is the cheaper."""

from __future__ import annotations

import time

from prock.engine.protocol import WANT_CPU, WANT_IO, WANT_STAT
from prock.errors import AccessDenied, MalformedProcFile, NotSupported
from prock.model import ProcessInfo, ProcessStats

TYPE_CHECKING = False  # see prock/_records.py
if TYPE_CHECKING:
    from prock.engine.pure import PureEngine

FIRST_DOUBT = 64
"""Members waiting to be visited, from which on it is asked (and again at each doubling) whether to scan."""
WALK_PRICE, SCAN_PRICE = 3, 2
"""What a member costs to be walked to (``stat`` and ``children``) and to be scanned (``stat`` alone): 11.6 to 8 µs."""
LISTING_SHARE = 5
"""The scan's listing is only made once a fifth of all threads waits: then it adds at most an eighth to the walk."""


class TreePass:
    """Parents are read before their children: in the other order a child reaped in between would count twice."""

    def __init__(self, engine: PureEngine, root: int, want: int) -> None:
        self._engine = engine
        self._root = root
        self._want = want
        self._taken_ns = time.monotonic_ns()
        self._doubt = FIRST_DOUBT
        self._members: list[ProcessStats] = []
        self._vanished = 0

    def run(self) -> tuple[list[ProcessStats], int] | None:
        try:
            finished = self._walk()
        except NotSupported:  # the kernel was built without CONFIG_PROC_CHILDREN
            self._scan(forced=True)
        else:
            if not finished and not self._scan(forced=False):
                self._doubt = 0
                self._walk()
        return (self._members, self._vanished) if self._members else None

    def _walk(self) -> bool:
        """Breadth first; False where it gave up because a scan is cheaper."""
        self._members, self._vanished = [], 0
        queue: list[tuple[int, int | None]] = [(self._root, None)]
        known = {self._root}
        for index, (pid, parent) in enumerate(queue):
            if self._scan_is_cheaper(len(queue) - index):
                return False
            for child in self._visit(pid, parent):
                if child not in known:
                    known.add(child)
                    queue.append((child, pid))
        return True

    def _visit(self, pid: int, parent: int | None) -> list[int]:
        """Read one member; its children are the answer."""
        member = self._read(pid, parent)
        if member is None:
            self._vanished += pid != self._root
            return []
        threads = member.num_threads
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
            if row is None and self._want & WANT_STAT and (row := engine.info(pid)) is None:
                return None
        except (AccessDenied, MalformedProcFile, NotSupported):
            if pid == self._root:
                raise
            refused = ("stat",)
        if row is not None:
            cpu = row.cpu_time
        elif self._want & WANT_CPU and engine.live:
            cpu = engine.cpu_time(pid)
            if cpu is None and not refused:
                return None
        if self._want & WANT_IO:
            try:
                disk_io = engine.disk_io(pid)
            except (AccessDenied, MalformedProcFile, NotSupported):
                refused += ("io",)
        ppid = parent if row is None else row.ppid
        return ProcessStats(self._taken_ns, pid, ppid, cpu, row, disk_io, refused)

    def _scan(self, forced: bool) -> bool:
        """The tree from a full scan; False where processes refused, for the walk finds those among them."""
        scan = self._engine.scan()
        if scan.denied and not forced:
            return False
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
        return True

    def _scan_is_cheaper(self, waiting: int) -> bool:
        if not self._want & WANT_STAT or not self._doubt or waiting < self._doubt:
            return False
        self._doubt = 2 * waiting
        if waiting * LISTING_SHARE < self._thread_count():
            return False
        return waiting * WALK_PRICE > len(self._engine.pids()) * SCAN_PRICE

    def _thread_count(self) -> int:
        """Threads of the machine, a cheap upper bound for its processes; 0 where it can't be read."""
        try:
            with open(f"{self._engine.root}/loadavg", "rb") as file:
                return int(file.read().split()[3].partition(b"/")[2])
        except (OSError, ValueError, IndexError):
            return 0
