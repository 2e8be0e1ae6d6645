"""The base class of the two Linux engines: the reads that C would not make cheaper."""

from __future__ import annotations

import os
import time

from prock._compat import fork
from prock.engine.linux import tty as ttys
from prock.engine.pids import check_pid
from prock.errors import AccessDenied, MalformedProcFile, NotSupported
from prock.model import LivenessInfo

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from io import FileIO

    from prock.model import ProcessInfo, Scan

CLOCK_PID_LIMIT = 2**28
"""A clock id holds the pid above its three lowest bits; a larger one would name another clock."""

TICK_NS = 1_000_000_000 // os.sysconf("SC_CLK_TCK")
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")

LONGEST_ENVIRON = 8 * 1024**2
"""Bytes. The kernel takes 6 MiB of arguments and environment at most; but a process can declare all of its memory to be
its environment (prctl(2), PR_SET_MM), and reading that must not exhaust this process's memory."""


def clock_id(pid: int, kind: int) -> int:
    """Id of a process's CPU clock; pid 0 is the caller. Kinds: 0 user + system by tick, 1 user by tick, 2 scheduler."""
    return (~pid << 3) | kind


class ProcFiles:
    """The proc file system at `root`, read with plain system calls."""

    root: str
    clocks_usable: bool
    io_includes_children = True
    children_list_is_racy = True
    reads_proc = True
    launcher: str | None = None

    if TYPE_CHECKING:

        def info(self, pid: int | None, /) -> ProcessInfo | None: ...

        def scan(self) -> Scan: ...

    def __init__(self, root: str = "/proc") -> None:
        self.root = root.rstrip("/") or "/"
        self.clocks_usable = self._is_live()
        fork.register(self)

    def after_fork(self) -> None:
        """The child may be in another PID namespace, where the same proc shows other numbers."""
        self.clocks_usable = self._is_live()

    def _is_live(self) -> bool:
        """Does `root` number processes as our own system calls do, and do CPU clocks answer?

        Not so for a fake or another namespace's proc, and where a sandbox refuses the clocks.
        """
        try:
            return os.readlink(f"{self.root}/self") == str(os.getpid()) and self.own_ns(os.getpid()) is not None
        except OSError:
            return False

    @property
    def foreign(self) -> str | None:
        try:
            if os.readlink(f"{self.root}/self") == str(os.getpid()):
                return None
        except OSError:
            pass
        if not os.path.exists(f"{self.root}/stat"):
            return f"processes: no proc is mounted at {self.root} (mount -t proc proc {self.root})"
        return f"processes: {self.root} belongs to another PID namespace (mount -t proc proc {self.root})"

    def own_ns(self, pid: int, /) -> int | None:
        """By the CPU clock; None where the pid is not a process."""
        try:
            return time.clock_gettime_ns(clock_id(pid, 2)) if pid < CLOCK_PID_LIMIT else None
        except OSError:
            return None

    def _is_process(self, pid: int) -> bool:
        """Whether the pid is a process now: proc has a hidden directory for each thread id, too."""
        return not self.clocks_usable or self.own_ns(pid) is not None

    def _is_hidden(self, pid: int) -> bool:
        """Whether proc denies the existence of a process that does exist (mounted with ``hidepid=2``)."""
        path = f"{self.root}/{pid}"
        # Check again: the pid may have been reused in between.
        return self.clocks_usable and not os.path.exists(path) and self._is_process(pid) and not os.path.exists(path)

    def _has_no_memory(self, pid: int | None) -> bool:
        """Kernel threads and zombies: to ordinary users the kernel refuses what they do not even have."""
        row = self.info(pid)
        return row is not None and row.vsize_bytes == 0

    def _missing(self, pid: int | None, what: str) -> None:
        """The file was not there: returns where the process is gone, raises where there is another reason."""
        directory = f"{self.root}/{pid or 'self'}"
        if os.path.exists(directory):
            if os.path.exists(f"{directory}/{what}"):
                return  # of another process, that has got the pid meanwhile
            raise NotSupported(f"{self.root}/PID/{what}")
        if pid is not None and self._is_hidden(pid):
            raise AccessDenied(pid, what)

    def _own_pid(self) -> int:
        """As proc at `root` numbers it, which may be another PID namespace's number than `os.getpid`."""
        return int(os.readlink(f"{self.root}/self"))

    def ppid(self, pid: int | None, /) -> int | None:
        info = self.info(pid)
        return None if info is None else info.ppid

    def parents(self) -> dict[int, int]:
        return {row.pid: row.ppid for row in self.scan()}

    def liveness(self, pid: int | None, /) -> LivenessInfo | None:
        info = self.info(pid)
        if info is None:
            return None
        return LivenessInfo(
            pid=info.pid,
            ppid=info.ppid,
            pgrp=info.pgrp,
            session=info.session,
            tty=ttys.device_name(info.tty_nr or 0),
            state=info.state,
            comm=info.comm,
            thread_count=info.thread_count,
            start_ticks=info.start_ticks,
            start_time=self.start_time(info.start_ticks),
        )

    def start_time(self, start_ticks: int, /) -> float:
        boot_ns = time.time_ns() - time.clock_gettime_ns(time.CLOCK_BOOTTIME)
        centiseconds = round((boot_ns + start_ticks * TICK_NS) / 10_000_000)
        return centiseconds / 100

    def now_ticks(self) -> int:
        return time.clock_gettime_ns(time.CLOCK_BOOTTIME) // TICK_NS

    def children_by_scan(self, pid: int | None) -> list[int] | None:
        """For kernels that were built without CONFIG_PROC_CHILDREN."""
        pid = check_pid(pid) or self._own_pid()
        rows = self.scan()
        return [row.pid for row in rows if row.ppid == pid] if any(row.pid == pid for row in rows) else None

    def number(self, metric: str, pid: int | None, /) -> int | None:
        pid = check_pid(pid)
        if pid is not None and not self._is_process(pid):
            return None
        read: Callable[[int | None], int | None] = getattr(self, f"_{metric}")
        return read(pid)

    def _fd_count(self, pid: int | None) -> int | None:
        """Since Linux 6.2 the size of the directory ``fd``, which any user may read; else the number of its entries."""
        path = f"{self.root}/{pid or 'self'}/fd"
        try:
            size = os.stat(path).st_size if self.clocks_usable else 0
            own = self.clocks_usable and pid in (None, os.getpid())
            return size or len(os.listdir(path)) - own  # which opens one more
        except PermissionError:
            if self._has_no_memory(pid):
                return 0
            raise AccessDenied(pid or os.getpid(), "fd") from None
        except FileNotFoundError:
            self._missing(pid, "fd")
            return None
        except ProcessLookupError:
            return None

    def path(self, pid: int | None, /) -> str | None:
        pid = check_pid(pid)
        if pid is not None and not self._is_process(pid):
            return None
        try:
            path = os.readlink(f"{self.root}/{pid or 'self'}/exe")
        except PermissionError:
            if self._has_no_memory(pid):
                return None
            raise AccessDenied(pid or os.getpid(), "exe") from None
        except (FileNotFoundError, ProcessLookupError):  # gone; or a kernel thread or a zombie, which has none
            if pid is not None and self._is_hidden(pid):
                raise AccessDenied(pid, "exe") from None
            return None
        if path.endswith(" (deleted)") and not os.path.lexists(path):
            return path.removesuffix(" (deleted)")
        return path

    def cmdline(self, pid: int | None, most_bytes: int, /) -> tuple[str, ...] | None:
        pid = check_pid(pid)
        if pid is not None and not self._is_process(pid):
            return None
        try:
            with open(f"{self.root}/{pid or 'self'}/cmdline", "rb", buffering=0) as file:
                block = file.read(most_bytes)  # in one read: a process may change it meanwhile
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            return None
        # A process that sets its title leaves NULs behind it.
        arguments = block.rstrip(b"\0").split(b"\0")
        return tuple(map(os.fsdecode, arguments)) if any(arguments) else None

    def environ(self, pid: int | None, /) -> bytes | None:
        pid = check_pid(pid)
        if pid is not None and not self._is_process(pid):
            return None
        try:
            with open(f"{self.root}/{pid or 'self'}/environ", "rb", buffering=0) as file:
                block = _read_at_most(file, LONGEST_ENVIRON)
        except PermissionError:
            if self._has_no_memory(pid):
                return b""
            raise AccessDenied(pid or os.getpid(), "environ") from None
        except FileNotFoundError:
            self._missing(pid, "environ")
            return None
        except ProcessLookupError:  # from Linux 6.16 on also for kernel threads and zombies, which read as empty before
            return b"" if os.path.exists(f"{self.root}/{pid or 'self'}") else None
        if block is None:
            raise MalformedProcFile(pid or os.getpid(), "environ")
        return block


def _read_at_most(file: FileIO, limit: int) -> bytes | None:
    """All of it, or None where that is more."""
    parts, size = [], 0
    while part := file.read(65_536):
        parts.append(part)
        size += len(part)
        if size > limit:
            return None
    return b"".join(parts)
