"""The engine on psutil: for macOS, Windows and BSD. It runs on Linux too, which is how it is tested.

What a system does not know is None, or `NotSupported` where a call has nothing else to return; what it denies to this
user raises `AccessDenied`. Trees come from one map of all parents, as only Linux has a cheaper way; everything else is
read for members only.
"""

from __future__ import annotations

import os
import sys
import time

from prock.engine.pids import check_pid
from prock.engine.portable import psutil_adapter as by_psutil
from prock.engine.portable.psutil_adapter import (
    IS_LINUX,
    IS_WINDOWS,
    IsZombie,
    PsRefused,
    PsZombie,
    answer,
    nanoseconds,
)
from prock.engine.protocol import WANT_CPU, WANT_IO, WANT_STAT
from prock.engine.pure.tracker import PureMemberTracker, unreadable
from prock.engine.reads import read_numbers, read_rows, read_until
from prock.errors import AccessDenied, NotSupported
from prock.model import CpuTime, DiskIo, LivenessInfo, ProcessInfo, ProcessStats, Scan

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

COMM_MAX = 64


class PortableEngine:
    name = "portable"
    root = "/proc"
    clocks_usable = False
    foreign: str | None = None
    io_includes_children = IS_LINUX
    children_list_is_racy = False
    reads_proc = False
    launcher: str | None = None
    core = None

    def __init__(self) -> None:
        self._starts = by_psutil.Starts()

    def cpu_time(self, pid: int | None, /) -> CpuTime | None:
        times = self._ask(pid, "cpu_times", lambda ps: ps.cpu_times())
        return None if times is None else CpuTime(nanoseconds(times.user), nanoseconds(times.system))

    def info(self, pid: int | None, /) -> ProcessInfo | None:
        number = self._process(pid)
        return None if number is None else self.row(number, None)

    def row(self, pid: int, ppid: int | None, thread_count: int | None = None) -> ProcessInfo | None:
        """Of a pid that is a process's. A parent that is known already saves Windows a look at all processes."""
        if ppid is None and IS_WINDOWS:
            ppid = Generations(self, by_psutil.parents()).parent(pid)
            if ppid is None:
                return None
        ps = by_psutil.process(pid)
        ps.oneshot_enter()
        try:
            return answer(pid, "stat", lambda: self._row(ps, ppid, thread_count))
        finally:
            ps.oneshot_exit()

    def _row(self, ps: Any, ppid: int | None, thread_count: int | None) -> ProcessInfo:
        pid: int = ps.pid
        start_ticks = self._starts.of(ps)
        name = ps.name()
        state = "?" if IS_WINDOWS else by_psutil.letter(ps.status())
        user = system = children_user = children_system = 0.0
        rss = vsize = 0
        try:
            user, system, children_user, children_system = ps.cpu_times()[:4]
            rss, vsize = ps.memory_info()[:2]
            threads = ps.num_threads() if thread_count is None else thread_count
            if state == "Z" and threads > 1:
                rss, vsize = by_psutil.memory_of_threads(ps)
        except PsZombie:
            state, threads = "Z", 1
        has_waited = by_psutil.HAS_WAITED
        return ProcessInfo(
            pid=pid,
            ppid=ps.ppid() if ppid is None or not IS_WINDOWS else ppid,
            pgrp=_group(pid),
            session=_session(pid),
            tty_nr=None,
            state=state,
            comm=name[:COMM_MAX],
            thread_count=threads,
            start_ticks=start_ticks,
            user_ns=nanoseconds(user),
            system_ns=nanoseconds(system),
            children_user_ns=nanoseconds(children_user) if has_waited else None,
            children_system_ns=nanoseconds(children_system) if has_waited else None,
            rss_bytes=rss,
            vsize_bytes=vsize,
            minor_faults=None,
            major_faults=None,
            children_minor_faults=None,
            children_major_faults=None,
        )

    def ppid(self, pid: int | None, /) -> int | None:
        if IS_WINDOWS:
            return Generations(self, by_psutil.parents()).parent(check_pid(pid) or os.getpid())
        ppid: int | None = self._ask(pid, "ppid", lambda ps: ps.ppid())
        return ppid

    def parents(self) -> dict[int, int]:
        parents = by_psutil.parents()
        if not IS_WINDOWS:
            return parents
        generations = Generations(self, parents)
        return {pid: generations.parent(pid) or 0 for pid in parents}

    def liveness(self, pid: int | None, /) -> LivenessInfo | None:
        number = self._process(pid)
        if number is None:
            return None
        ppid = self.ppid(number)
        ps = by_psutil.process(number)
        return None if ppid is None else answer(number, "state", lambda: self._liveness(ps, ppid))

    def _liveness(self, ps: Any, ppid: int) -> LivenessInfo:
        pid: int = ps.pid
        start_ticks = self._starts.of(ps)
        state = by_psutil.letter(ps.status())
        try:
            threads: int | None = ps.num_threads()
        except (PsRefused, PsZombie):
            threads = None
        return LivenessInfo(
            pid=pid,
            ppid=ppid,
            pgrp=_group(pid),
            session=_session(pid),
            tty=by_psutil.terminal(ps),
            state="?" if IS_WINDOWS and state == "R" else state,
            comm=ps.name()[:COMM_MAX],
            thread_count=threads,
            start_ticks=start_ticks,
            start_time=self.start_time(start_ticks),
        )

    def start_time(self, start_ticks: int, /) -> float:
        return self._starts.epoch_seconds(start_ticks)

    def now_ticks(self) -> int:
        return self._starts.now()

    def start_of(self, pid: int) -> int | None:
        """When it started; None where it is gone or does not tell."""
        try:
            return answer(pid, "create_time", lambda: self._starts.of(by_psutil.process(pid)))
        except (AccessDenied, NotSupported):
            return None

    def outline(self, pid: int) -> ProcessInfo | None:
        """The row of a process that denies it: what every user may read, and zeros for the rest."""
        try:
            known = self.liveness(pid)
        except (AccessDenied, NotSupported):
            return unreadable(pid) if by_psutil.exists(pid) else None
        if known is None:
            return None
        return unreadable(pid)._replace(
            ppid=known.ppid, state=known.state, comm=known.comm, start_ticks=known.start_ticks
        )  # fmt: skip

    def memory(self, pid: int | None, /) -> tuple[int, int] | None:
        try:
            found = self._ask(pid, "memory_info", lambda ps: ps.memory_info())
        except IsZombie:
            return 0, 0
        if found is not None and found.vms == 0 and (info := self.info(pid)) is not None:
            return info.rss_bytes, info.vsize_bytes
        return None if found is None else (found.rss, found.vms)

    def disk_io(self, pid: int | None, /) -> DiskIo | None:
        number = self._process(pid)
        if not (IS_LINUX or IS_WINDOWS) or not by_psutil.has("io_counters"):
            raise NotSupported(f"I/O counters of processes: {sys.platform} keeps none in bytes")
        return None if number is None else self.io_of(number)

    def io_of(self, pid: int) -> DiskIo | None:
        io = answer(pid, "io", lambda: by_psutil.process(pid).io_counters())
        if io is None:
            return None
        if IS_WINDOWS:  # there they are bytes through calls, whether to a disk or not
            return DiskIo(None, None, None, io.read_bytes, io.write_bytes, io.read_count, io.write_count)
        return DiskIo(
            io.read_bytes, io.write_bytes, None, io.read_chars, io.write_chars, io.read_count, io.write_count
        )  # fmt: skip

    def number(self, metric: str, pid: int | None, /) -> int | None:
        read: Callable[[int], int | None] = getattr(self, f"_{metric}")
        return read(check_pid(pid) or os.getpid())

    def _fd_count(self, pid: int) -> int | None:
        count: int | None = self._ask_or(0, pid, "fd", lambda ps: ps.num_handles() if IS_WINDOWS else ps.num_fds())
        # On Linux psutil lists them, which opens one more.
        return count if count is None or not IS_LINUX or pid != os.getpid() else count - 1

    def comm(self, pid: int | None, /) -> str | None:
        name: str | None = self._ask(pid, "name", lambda ps: ps.name())
        return None if name is None else name[:COMM_MAX]

    def path(self, pid: int | None, /) -> str | None:
        if sys.platform.startswith("openbsd"):
            raise NotSupported("paths of executables: OpenBSD does not tell them")
        return self._ask_or(None, pid, "exe", lambda ps: ps.exe()) or None

    def cmdline(self, pid: int | None, most_bytes: int, /) -> tuple[str, ...] | None:
        try:
            arguments = self._ask(pid, "cmdline", lambda ps: ps.cmdline())
        except (AccessDenied, NotSupported):
            return None
        joined = "\0".join(arguments or ()).rstrip("\0")[:most_bytes]
        return tuple(joined.split("\0")) if joined else None

    def environ(self, pid: int | None, /) -> bytes | None:
        found = self._ask_or({}, pid, "environ", lambda ps: ps.environ())
        if found is None:
            return None
        return "".join(f"{name}={value}\0" for name, value in found.items()).encode("utf-8", "surrogateescape")

    def children(self, pid: int | None, /) -> list[int] | None:
        number = self._process(pid)
        if number is None:
            return None
        generations = Generations(self, by_psutil.parents())
        return generations.children(number) if number in generations else None

    def pids(self) -> list[int]:
        return by_psutil.all_pids()

    def scan(self) -> Scan:
        taken_ns = time.monotonic_ns()
        generations = Generations(self, by_psutil.parents() if IS_WINDOWS else {})
        rows, vanished, denied = read_rows(by_psutil.all_pids(), lambda pid: self.row(pid, generations.parent(pid)))
        return Scan(rows, taken_ns=taken_ns, vanished=vanished, denied=denied)

    def tree(self, pid: int | None, want: int, /) -> tuple[list[ProcessStats], int, list[int]] | None:
        root = self._process(pid)
        if root is None:
            return None
        taken_ns = time.monotonic_ns()
        generations = Generations(self, by_psutil.parents())
        if root not in generations:
            return None
        members: list[ProcessStats] = []
        vanished = 0
        queue = [root]
        known = {root}
        for one in queue:
            member = self._member(one, generations.parent(one) or 0, want, taken_ns, is_root=one == root)
            if member is None:
                vanished += one != root
                continue
            members.append(member)
            for child in generations.children(one):
                if child not in known:
                    known.add(child)
                    queue.append(child)
        return (members, vanished, []) if members else None

    def _member(self, pid: int, ppid: int, want: int, taken_ns: int, *, is_root: bool) -> ProcessStats | None:
        row: ProcessInfo | None = None
        cpu: CpuTime | None = None
        disk_io: DiskIo | None = None
        refused: tuple[str, ...] = ()
        try:
            if want & WANT_STAT:
                row = self.row(pid, ppid)
                if row is None:
                    return None
                cpu, ppid = row.cpu_time, row.ppid
            elif want & WANT_CPU:
                cpu = self.cpu_time(pid)
                if cpu is None:
                    return None
        except (AccessDenied, NotSupported):
            if is_root:
                raise
            refused = ("stat",)
        if want & WANT_IO:
            try:
                disk_io = self.disk_io(pid)
            except (AccessDenied, NotSupported):
                refused += ("io",)
        numbers, refused = read_numbers(self, pid, want, refused)
        return ProcessStats(taken_ns, pid, ppid, cpu, row, disk_io, refused, **numbers)

    def subreaper(self, wanted: bool | None, /) -> bool:
        raise NotSupported("subreapers (prctl): only Linux has them, and the portable engine does not use them")

    def last_pid(self) -> int:
        raise NotSupported("the last allocated pid: the portable engine does not read it")

    def track(self, want: int, descriptors: int, /) -> PureMemberTracker:
        return PureMemberTracker(Pass(self), want)

    def pss(self, pids: list[int], until_ns: int, /) -> list[int | None]:
        if not IS_LINUX:
            return [None] * len(pids)
        return read_until(until_ns, pids, self._pss)

    def _pss(self, pid: int) -> int | None:
        shares = answer(pid, "smaps_rollup", lambda: by_psutil.process(pid).memory_full_info())
        share: int | None = getattr(shares, "pss", None)
        return share or None

    def _process(self, pid: int | None) -> int | None:
        """The number, where it is a process's."""
        number = check_pid(pid)
        if number is None:
            return os.getpid()
        return number if not IS_LINUX or by_psutil.exists(number) else None

    def _ask(self, pid: int | None, what: str, question: Callable[[Any], Any]) -> Any:
        """Call a method of psutil; None where the process is gone."""
        number = self._process(pid)
        return None if number is None else answer(number, what, lambda: question(by_psutil.process(number)))

    def _ask_or(self, empty: Any, pid: int | None, what: str, question: Callable[[Any], Any]) -> Any:
        """As `_ask`, but `empty` for a zombie or kernel thread."""
        try:
            return self._ask(pid, what, question)
        except IsZombie:
            return empty
        except AccessDenied:
            if self._has_no_memory(pid):
                return empty
            raise

    def _has_no_memory(self, pid: int | None) -> bool:
        """Kernel threads and zombies: to ordinary users they refuse what they do not even have."""
        try:
            return self.memory(pid) in ((0, 0), None)
        except (AccessDenied, NotSupported):
            return False


def _group(pid: int) -> int | None:
    """Process group; None where the system has none or does not tell."""
    if sys.platform == "win32":
        return None
    try:
        return os.getpgid(pid)
    except OSError:
        return None


def _session(pid: int) -> int | None:
    if sys.platform == "win32":
        return None
    try:
        return os.getsid(pid)
    except OSError:
        return None


THREADS_OF_WINDOWS_NS = 10_000_000_000
"""How old a member's number of threads may be on Windows, which reads the table of all processes for it."""


class Generations:
    """Parents and children by a map of parents.

    Windows keeps the pid of a parent that is gone, and the pid may be reused: there a parent must have started no later
    than its child. Each start time is read once.
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
    """What `PureMemberTracker` reads through: one map of parents per sample, and rows of members only."""

    clocks_usable = False

    def __init__(self, engine: PortableEngine) -> None:
        self._engine = engine
        self._generations = Generations(engine, {})
        self._threads: dict[int, tuple[int, int, int]] = {}
        """Of members on Windows: when it was read, the member's start, and the number of threads."""

    def begin(self) -> None:
        self._generations = Generations(self._engine, by_psutil.parents())
        if self._threads:
            self._threads = {pid: known for pid, known in self._threads.items() if pid in self._generations}

    def last_pid(self) -> int:
        return self._engine.last_pid()

    def shares_space(self, pid: int, parent: int, /) -> bool:
        return False

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

    def memory(self, pid: int, /) -> tuple[int, int] | None:
        return self._engine.memory(pid)

    def disk_io(self, pid: int, /) -> DiskIo | None:
        return self._engine.disk_io(pid)

    def status(self, info: ProcessInfo, /) -> tuple[int, int] | None:
        return None

    def number(self, metric: str, pid: int, /) -> int | None:
        return self._engine.number(metric, pid)

    def outline(self, pid: int, /) -> ProcessInfo | None:
        return self._engine.outline(pid)

    def now_ticks(self) -> int:
        return self._engine.now_ticks()
