"""Who is whose child, where the only way to know is a map of all parents: one for a whole pass, never one a member."""

from __future__ import annotations

import time

from prock.engine.portable import psutil_adapter as by_psutil
from prock.engine.portable.psutil_adapter import IS_WINDOWS
from prock.errors import AccessDenied, NotSupported

TYPE_CHECKING = False
if TYPE_CHECKING:
    from prock.engine.portable.engine import PortableEngine
    from prock.model import DiskIo, ProcessInfo

THREADS_OF_WINDOWS_NS = 10_000_000_000
"""How old a member's number of threads gets there: each time it is asked the machine's whole table is read."""


class Generations:
    """Parents and children by a map of parents.

    Windows keeps naming a parent that is gone, and its pid may be another's by now: there a parent must have begun
    no later than its child. When somebody began is asked once.
    """

    def __init__(self, engine: PortableEngine, parents: dict[int, int]) -> None:
        self._engine = engine
        self._parents = parents
        self._starts: dict[int, int | None] = {}
        self._children: dict[int, list[int]] = {}
        for pid, ppid in parents.items():
            if pid != ppid:
                self._children.setdefault(ppid, []).append(pid)

    def __contains__(self, pid: int) -> bool:
        return pid in self._parents

    def parent(self, pid: int) -> int | None:
        """0 without a parent, None where the map does not hold the process."""
        ppid = self._parents.get(pid)
        if ppid is None or not IS_WINDOWS:
            return ppid
        return ppid if ppid in self._parents and self._is_older(ppid, pid) else 0

    def children(self, pid: int) -> list[int]:
        """Ascending."""
        found = sorted(self._children.get(pid, ()))
        return [child for child in found if self._is_older(pid, child)] if IS_WINDOWS else found

    def _is_older(self, parent: int, child: int) -> bool:
        began, child_began = self._start_of(parent), self._start_of(child)
        return began is not None and child_began is not None and began <= child_began

    def _start_of(self, pid: int) -> int | None:
        if pid not in self._starts:
            self._starts[pid] = self._engine.start_of(pid)
        return self._starts[pid]


class Pass:
    """The engine as `PureMemberTracker` asks it: a map of parents a sample, and rows of members only."""

    clocks_usable = False

    def __init__(self, engine: PortableEngine) -> None:
        self._engine = engine
        self._generations = Generations(engine, {})
        self._threads: dict[int, tuple[int, int, int]] = {}
        """Of members on Windows: when it was asked, of which start, and how many."""

    def begin(self) -> None:
        self._generations = Generations(self._engine, by_psutil.parents())
        if self._threads:
            self._threads = {pid: known for pid, known in self._threads.items() if pid in self._generations}

    def last_pid(self) -> int:
        return self._engine.last_pid()

    def own_ns(self, pid: int, /) -> int | None:
        times = self._engine.cpu_time(pid)
        return None if times is None else times.total_ns

    def info(self, pid: int, /) -> ProcessInfo | None:
        ppid = self._generations.parent(pid)
        if ppid is None:  # a root that is added between two samples, or one that is gone
            return self._engine.info(pid)
        if not IS_WINDOWS:
            return self._engine.row(pid, ppid)
        now_ns = time.monotonic_ns()
        at_ns, start_ticks, threads = self._threads.get(pid, (0, 0, 0))
        is_fresh = pid in self._threads and now_ns - at_ns < THREADS_OF_WINDOWS_NS
        row = self._engine.row(pid, ppid, threads if is_fresh else None)
        if row is not None and is_fresh and row.start_ticks != start_ticks:
            row = self._engine.row(pid, ppid)
            is_fresh = False
        if row is not None and not is_fresh:
            self._threads[pid] = (now_ns, row.start_ticks, row.thread_count)
        return row

    def children_of_threads(self, pid: int, thread_count: int | None = None, /) -> list[int] | None:
        return self._generations.children(pid)

    def resident_and_virtual(self, pid: int, info: ProcessInfo, /) -> tuple[int, int] | None:
        return self._engine.memory(pid)

    def disk_io(self, pid: int, /) -> DiskIo | None:
        return self._engine.disk_io(pid)

    def number(self, metric: str, pid: int, /) -> int | None:
        return self._engine.number(metric, pid)

    def outline(self, pid: int, /) -> ProcessInfo | None:
        return self._engine.outline(pid)

    def lives(self, info: ProcessInfo, /) -> bool:
        try:
            now = self._engine.info(info.pid)
        except (AccessDenied, NotSupported):
            return True
        return now is not None and now.start_ticks == info.start_ticks and now.is_alive

    def now_ticks(self) -> int:
        return self._engine.now_ticks()
