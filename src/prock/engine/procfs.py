"""What the two Linux engines share: where proc is, which pids can be, and the answers whose cost no C can lower."""

from __future__ import annotations

import os
import time
from _weakref import ref  # the module weakref around it costs a millisecond to import

from prock.errors import AccessDenied, MalformedProcFile, NotSupported

TYPE_CHECKING = False  # see prock/_records.py
if TYPE_CHECKING:
    from io import FileIO

    from prock.model import ProcessInfo, Scan

PID_MAX = 2**31 - 1
CLOCK_PID_LIMIT = 2**28
"""A clock id holds the pid above its three lowest bits; a larger one would name another clock."""

TICK_NS = 1_000_000_000 // os.sysconf("SC_CLK_TCK")
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")

LONGEST_ENVIRON = 8 * 1024**2
"""Bytes. The kernel takes 6 MiB of arguments and environment at most; but a process can declare all of its memory to be
its environment (prctl(2), PR_SET_MM), and who reads that is not to fill up the own."""

_open_engines: list[ref[ProcFiles]] = []


def clock_id(pid: int, kind: int) -> int:
    """Id of a process's CPU clock; pid 0 is the caller. Kinds: 0 user + system by tick, 1 user by tick, 2 scheduler."""
    return (~pid << 3) | kind


def check_pid(pid: int | None) -> int | None:
    """The pid as an `int`, or the error that says why it can't be one."""
    if pid is None:
        return None
    try:
        number = pid.__index__()
    except AttributeError:
        raise TypeError(f"a pid is an int or None, not {type(pid).__name__}") from None
    if not 0 < number <= PID_MAX:
        raise ValueError(f"{number} can't be a pid: it must be from 1 to {PID_MAX}")
    return number


class ProcFiles:
    """The proc file system at `root`, read with plain system calls."""

    root: str
    live: bool

    if TYPE_CHECKING:

        def info(self, pid: int | None, /) -> ProcessInfo | None: ...

        def scan(self) -> Scan: ...

    def __init__(self, root: str = "/proc") -> None:
        self.root = root.rstrip("/") or "/"
        self.live = self._is_live()
        _open_engines[:] = [known for known in _open_engines if known() is not None]
        _open_engines.append(ref(self))

    def _is_live(self) -> bool:
        """Does `root` number processes as our own system calls do, and do CPU clocks answer?

        Not so for a fake or another namespace's proc, and where a sandbox refuses the clocks.
        """
        try:
            return os.readlink(f"{self.root}/self") == str(os.getpid()) and self._clock_answers(os.getpid())
        except OSError:
            return False

    @staticmethod
    def _clock_answers(pid: int) -> bool:
        if pid >= CLOCK_PID_LIMIT:
            return False
        try:
            time.clock_gettime_ns(clock_id(pid, 2))
        except OSError:
            return False
        return True

    def _is_process(self, pid: int) -> bool:
        """Whether the pid names a process now: proc answers for the ids of threads too."""
        return not self.live or self._clock_answers(pid)

    def _is_hidden(self, pid: int) -> bool:
        """Whether proc denies the existence of a process that does exist (mounted with ``hidepid=2``)."""
        return self.live and not os.path.exists(f"{self.root}/{pid}") and self._clock_answers(pid)

    def _has_no_memory(self, pid: int | None) -> bool:
        """Kernel threads and zombies: to ordinary users the kernel refuses what they do not even have."""
        row = self.info(pid)
        return row is not None and row.vsize_bytes == 0

    def _missing(self, pid: int | None, what: str) -> None:
        """The file was not there: returns where the process is gone, raises where there is another reason."""
        if os.path.exists(f"{self.root}/{pid or 'self'}"):
            raise NotSupported(f"{self.root}/PID/{what}")
        if pid is not None and self._is_hidden(pid):
            raise AccessDenied(pid, what)

    def _own_pid(self) -> int:
        """As proc at `root` numbers it, which may be another PID namespace's number than `os.getpid`."""
        return int(os.readlink(f"{self.root}/self"))

    def pid_limit(self) -> int:
        try:
            with open(f"{self.root}/sys/kernel/pid_max", "rb") as file:
                return int(file.read())
        except (OSError, ValueError):
            raise NotSupported(f"{self.root}/sys/kernel/pid_max") from None

    def children_by_scan(self, pid: int | None) -> list[int] | None:
        """For kernels that were built without CONFIG_PROC_CHILDREN."""
        pid = check_pid(pid) or self._own_pid()
        rows = self.scan()
        return [row.pid for row in rows if row.ppid == pid] if any(row.pid == pid for row in rows) else None

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


def _after_fork() -> None:
    """The child may be in another PID namespace, where the same proc shows other numbers."""
    for known in _open_engines:
        engine = known()
        if engine is not None:
            engine.live = engine._is_live()


os.register_at_fork(after_in_child=_after_fork)
