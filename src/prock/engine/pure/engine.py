"""The engine in plain Python: the fallback where nothing could be compiled, and the oracle of the native one."""

from __future__ import annotations

import os
import time

from prock.engine.linux.procfs import CLOCK_PID_LIMIT, PAGE_BYTES, TICK_NS, ProcFiles, clock_id
from prock.engine.pids import PID_MAX, check_pid
from prock.engine.protocol import WANT_CPU, WANT_IO, WANT_STAT
from prock.engine.pure import parse
from prock.engine.pure.tracker import PureMemberTracker, unreadable
from prock.engine.reads import REFUSALS, read_numbers, read_rows, read_until
from prock.errors import AccessDenied, MalformedProcFile, NotSupported
from prock.model import CpuTime, DiskIo, ProcessInfo, ProcessStats, Scan

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import TypeVar

    Parsed = TypeVar("Parsed")


PF_FORKNOEXEC = 0x40


class PureEngine(ProcFiles):
    name = "pure"
    core = None

    def cpu_time(self, pid: int | None, /) -> CpuTime | None:
        pid = check_pid(pid)
        if not self.clocks_usable:
            info = self.info(pid)
            return None if info is None else info.cpu_time
        if pid is not None and pid >= CLOCK_PID_LIMIT:
            return None
        try:
            total = time.clock_gettime_ns(clock_id(pid or 0, 2))
            by_tick = time.clock_gettime_ns(clock_id(pid or 0, 0))
            user = time.clock_gettime_ns(clock_id(pid or 0, 1))
        except OSError:
            return None
        return CpuTime(*parse.split(total, user, max(0, by_tick - user)))

    def info(self, pid: int | None, /) -> ProcessInfo | None:
        pid = check_pid(pid)
        total_ns: int | None = 0

        def read_clock() -> None:
            """Called while the file is open and not yet read. Reading fails once the process was reaped, so if it
            succeeds, the pid was not reused meanwhile, and both values are of one process."""
            nonlocal total_ns
            total_ns = self.own_ns(pid or 0)

        stat = self._parsed(pid, "stat", parse.stat, read_clock if self.clocks_usable else None)
        if stat is None or total_ns is None:  # waited for since, or the id of a thread
            return None
        read_pid, comm, state, number = stat
        user, system = number[parse.UTIME], number[parse.STIME]
        if self.clocks_usable:
            user_ns, system_ns = parse.split(total_ns, user, system)
        else:
            user_ns, system_ns = parse.saturate(user * TICK_NS), parse.saturate(system * TICK_NS)
        rss, vsize = parse.saturate(number[parse.RSS] * PAGE_BYTES), number[parse.VSIZE]
        if state == b"Z" and number[parse.NUM_THREADS] > 1:
            rss, vsize = self._memory_of_thread(pid or read_pid)
        return ProcessInfo(
            pid=pid or read_pid,
            ppid=number[parse.PPID],
            pgrp=number[parse.PGRP],
            session=number[parse.SESSION],
            tty_nr=number[parse.TTY_NR],
            state=state.decode("utf-8", "surrogateescape"),
            comm=comm.decode("utf-8", "surrogateescape"),
            thread_count=number[parse.NUM_THREADS],
            start_ticks=number[parse.STARTTIME],
            user_ns=user_ns,
            system_ns=system_ns,
            children_user_ns=parse.saturate(number[parse.CUTIME] * TICK_NS),
            children_system_ns=parse.saturate(number[parse.CSTIME] * TICK_NS),
            rss_bytes=rss,
            vsize_bytes=vsize,
            minor_faults=number[parse.MINFLT],
            major_faults=number[parse.MAJFLT],
            children_minor_faults=number[parse.CMINFLT],
            children_major_faults=number[parse.CMAJFLT],
        )

    def memory(self, pid: int | None, /) -> tuple[int, int] | None:
        pages = self._parsed_of_process(pid, "statm", parse.statm)
        if pages is None:
            return None
        virtual, resident = pages
        if virtual == 0 and (info := self._without_leader(pid)) is not None:
            return info.rss_bytes, info.vsize_bytes
        return parse.saturate(resident * PAGE_BYTES), parse.saturate(virtual * PAGE_BYTES)

    def disk_io(self, pid: int | None, /) -> DiskIo | None:
        counters = self._parsed_of_process(pid, "io", parse.io)
        return None if counters is None else DiskIo(*counters)

    def comm(self, pid: int | None, /) -> str | None:
        name = self._parsed_of_process(pid, "comm", bytes)
        return None if name is None else name.removesuffix(b"\n")[: parse.COMM_MAX].decode("utf-8", "surrogateescape")

    def children(self, pid: int | None, /) -> list[int] | None:
        pid = check_pid(pid) or self._own_pid()
        if not self._is_process(pid):
            return None
        try:
            return self.children_of_threads(pid)
        except NotSupported:
            return self.children_by_scan(pid)

    def pids(self) -> list[int]:
        names = os.listdir(self.root)
        return sorted(int(name) for name in names if _is_pid(name))

    def scan(self) -> Scan:
        taken_ns = time.monotonic_ns()
        rows, vanished, denied = read_rows(self.pids(), self.info)
        return Scan(rows, taken_ns=taken_ns, vanished=vanished, denied=denied)

    def tree(self, pid: int | None, want: int, /) -> tuple[list[ProcessStats], int, list[int]] | None:
        root = check_pid(pid) or self._own_pid()
        if not self._is_process(root):
            return None
        if want & WANT_CPU and not self.clocks_usable:
            want |= WANT_STAT
        return TreePass(self, root, want).run()

    def track(self, want: int, descriptors: int, /) -> PureMemberTracker:
        return PureMemberTracker(self, want)

    def shares_space(self, pid: int, parent: int, /) -> bool:
        """Whether a child has its parent's address space, as after vfork(2), posix_spawn(3) or clone(2) with CLONE_VM
        until it executes a program.

        Where kcmp(2) is refused: whether its parent of the same size waits for that, as after vfork.
        """
        from prock.engine.pure import libc

        if not self._state_and_flags(pid)[1] & PF_FORKNOEXEC:
            return False
        same = libc.shares_space(pid, parent) if self.clocks_usable else None
        return self._state_and_flags(parent)[0] == b"D" if same is None else same

    def _state_and_flags(self, pid: int) -> tuple[bytes, int]:
        try:
            stat = self._parsed(pid, "stat", parse.stat)
        except REFUSALS:
            stat = None
        return (b"", 0) if stat is None else (stat[2], stat[3][parse.FLAGS])

    def begin(self) -> None:
        """A sample needs nothing beforehand here."""

    def outline(self, pid: int, /) -> ProcessInfo | None:
        return unreadable(pid)

    def _without_leader(self, pid: int | None) -> ProcessInfo | None:
        """The row of a process without its main thread, which has ended; None for any other one."""
        try:
            info = self.info(pid)
        except REFUSALS:
            return None
        return info if info is not None and info.state == "Z" and info.thread_count > 1 else None

    def _memory_of_thread(self, pid: int) -> tuple[int, int]:
        """Memory of a process after its main thread has ended."""
        try:
            pages = self._parsed_of_thread(pid, "statm", parse.statm, (0, 0))
        except REFUSALS:
            pages = None
        virtual, resident = pages or (0, 0)
        return parse.saturate(resident * PAGE_BYTES), parse.saturate(virtual * PAGE_BYTES)

    def _parsed_of_thread(
        self, pid: int, what: str, parser: Callable[[bytes], Parsed], nothing: Parsed | None = None
    ) -> Parsed | None:
        """Of the first thread but the main one that still has memory: `nothing` is what an exiting one shows."""
        try:
            threads = [name for name in os.listdir(f"{self.root}/{pid}/task") if _is_pid(name) and name != str(pid)]
        except OSError:
            return None
        for thread in threads:
            try:
                found = self._parsed(pid, f"task/{thread}/{what}", parser)
            except NotSupported:  # it has ended
                continue
            if found not in (None, nothing):
                return found
        return None

    def pss(self, pids: list[int], until_ns: int, /) -> list[int | None]:
        return read_until(until_ns, pids, self._pss)

    def _pss(self, pid: int) -> int | None:
        found = self._parsed(pid, "smaps_rollup", parse.pss)
        if found is None and self._without_leader(pid) is not None:
            return self._parsed_of_thread(pid, "smaps_rollup", parse.pss)
        return found

    def status(self, info: ProcessInfo, /) -> tuple[int, int] | None:
        if info.state == "Z" and info.thread_count > 1:
            return self._parsed_of_thread(info.pid, "status", parse.status)
        return self._parsed(info.pid, "status", parse.status)

    def subreaper(self, wanted: bool | None, /) -> bool:
        from prock.engine.pure import libc  # here, as ctypes costs 4 ms to import

        return libc.subreaper(wanted)

    def last_pid(self) -> int:
        # The first needs CONFIG_CHECKPOINT_RESTORE; the second may be a made-up one that lxcfs mounted over it.
        for name in ("sys/kernel/ns_last_pid", "loadavg"):
            path = f"{self.root}/{name}"
            try:
                if os.stat(path).st_dev == os.stat(self.root).st_dev:
                    return parse.last_pid(_read_file(path))
            except (FileNotFoundError, PermissionError):
                continue
            except ValueError:
                break
        raise NotSupported("last allocated pid")

    def _parsed_of_process(self, pid: int | None, what: str, parser: Callable[[bytes], Parsed]) -> Parsed | None:
        """As `_parsed`, but nothing for the id of a thread."""
        pid = check_pid(pid)
        if pid is not None and not self._is_process(pid):
            return None
        return self._parsed(pid, what, parser)

    def _parsed(
        self,
        pid: int | None,
        what: str,
        parser: Callable[[bytes], Parsed],
        when_open: Callable[[], object] | None = None,
    ) -> Parsed | None:
        try:
            data = _read_file(f"{self.root}/{pid or 'self'}/{what}", when_open)
        except PermissionError:
            raise AccessDenied(pid or os.getpid(), what) from None
        except FileNotFoundError:
            self._missing(pid, what)
            return None
        except ProcessLookupError:
            return None
        try:
            return parser(data)
        except ValueError:
            raise MalformedProcFile(pid or os.getpid(), what) from None

    def children_of_threads(self, pid: int, thread_count: int | None = None) -> list[int] | None:
        """Children that any thread started. A number of threads that is known already saves listing them.

        Raises `NotSupported` where the kernel was built without CONFIG_PROC_CHILDREN.
        """
        task = f"{self.root}/{pid}/task"
        found: list[int] = []
        threads_read = 0
        try:
            if thread_count is None:
                thread_count = os.stat(task).st_nlink - 2  # a directory for each thread; some file systems don't count
            tids = [pid] if thread_count == 1 else map(int, filter(_is_pid, os.listdir(task)))
            for tid in tids:
                children = self._children_of_thread(f"{task}/{tid}")
                if children is not None:
                    threads_read += 1
                    found += children
        except PermissionError:
            raise AccessDenied(pid, "children") from None
        except (FileNotFoundError, ProcessLookupError):
            pass
        except ValueError:
            raise MalformedProcFile(pid, "children") from None
        if not threads_read:
            self._missing(pid, "task")
            return None
        return found

    def _children_of_thread(self, directory: str) -> list[int] | None:
        try:
            return parse.children(_read_file(f"{directory}/children"))
        except FileNotFoundError:
            if os.path.exists(directory):
                raise NotSupported(f"{self.root}/PID/task/TID/children") from None
        except ProcessLookupError:
            pass
        return None


def _is_pid(name: str) -> bool:
    return name.isascii() and name.isdigit() and name[0] != "0" and int(name) <= PID_MAX


def _read_file(path: str, when_open: Callable[[], object] | None = None) -> bytes:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        if when_open is not None:
            when_open()
        data = os.read(descriptor, 4096)
        while part := os.read(descriptor, 65536) if data else b"":
            data += part
        return data
    finally:
        os.close(descriptor)


FIRST_DOUBT = 64
"""A scan is considered once so many members wait to be visited ..."""
LISTING_SHARE = 5
"""... and a fifth of all threads: then listing the processes adds at most an eighth to the walk."""
WALK_COST, SCAN_COST = 3, 2
"""Cost of a member in a walk (``stat`` and ``children``) and in a scan (``stat``): 11.6 to 8 µs."""


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

    def run(self) -> tuple[list[ProcessStats], int, list[int]] | None:
        try:
            unread = self._walk()
        except NotSupported:  # the kernel was built without CONFIG_PROC_CHILDREN
            self._assemble(self._engine.scan())
        else:
            if unread is not None:
                self._scan(unread)
        return (self._members, self._vanished, self._sharing()) if self._members else None

    def _sharing(self) -> list[int]:
        rows = {member.pid: member.info for member in self._members if member.info is not None}
        return [
            pid
            for pid, row in rows.items()
            if (parent := rows.get(row.ppid)) is not None
            and (row.vsize_bytes, row.rss_bytes) == (parent.vsize_bytes, parent.rss_bytes) != (0, 0)
            and pid != self._root
            and self._engine.shares_space(pid, row.ppid)
        ]

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
        """Whether its pid was reused since it was found: it is not a child of its parent, though the parent runs.

        The children of a zombie are reparented already."""
        if parent is None or row.ppid in (parent, 0) or not self._engine.clocks_usable:
            return False
        try:
            now = self._engine.info(parent)
        except (AccessDenied, MalformedProcFile, NotSupported):
            return False
        return now is not None and now.is_alive

    def _scan(self, unread: list[int]) -> None:
        """Let a scan read the rest. Where processes refuse it, walk after all: only that finds those among them."""
        rows, _, denied = read_rows(unread, self._engine.info)
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
        if waiting * WALK_COST <= unread * SCAN_COST:
            self._doubt = unread * SCAN_COST // WALK_COST + 1
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
