"""What an engine must answer. The rest of prock knows no other way to the kernel."""

from __future__ import annotations

TYPE_CHECKING = False  # see _records.py
if TYPE_CHECKING:
    from typing import Protocol

    from prock.model import CpuTime, DiskIo, ProcessInfo, ProcessStats, Scan

    class Engine(Protocol):
        """Everywhere: pid None is the calling process, a result None means gone.

        Raises `ValueError` or `TypeError` for what can't be a pid, `AccessDenied` where the kernel refuses,
        `NotSupported` where it has no such file, `MalformedProcFile` where it is not as proc(5) says, `OSError` for
        everything else (no descriptor left, no memory).
        """

        name: str
        """``native`` or ``pure``."""
        root: str
        """Where proc is mounted."""
        live: bool
        """Whether `root` shows the pids of the caller's own PID namespace, and CPU clocks answer. Only then the
        clocks are used; otherwise CPU time is counted in ticks."""

        def cpu_time(self, pid: int | None, /) -> CpuTime | None: ...

        def info(self, pid: int | None, /) -> ProcessInfo | None: ...

        def memory(self, pid: int | None, /) -> tuple[int, int] | None:
            """Resident and virtual bytes."""

        def disk_io(self, pid: int | None, /) -> DiskIo | None: ...

        def comm(self, pid: int | None, /) -> str | None: ...

        def path(self, pid: int | None, /) -> str | None: ...

        def environ(self, pid: int | None, /) -> bytes | None:
            """As the kernel keeps it: entries that end in NUL."""

        def children(self, pid: int | None, /) -> list[int] | None: ...

        def pids(self) -> list[int]:
            """All processes, ascending."""

        def scan(self) -> Scan: ...

        def tree(self, pid: int | None, want: int, /) -> tuple[list[ProcessStats], int] | None:
            """The members (root first, breadth first, parents read before their children) and how many vanished.

            `want` is a sum of the ``WANT_`` constants below. Members' files that are refused are named in their row.
            """


WANT_CPU = 1
"""Own CPU times: by the CPU clocks, without a file, where the engine is live."""
WANT_STAT = 2
"""One read of ``stat`` a member."""
WANT_IO = 4
"""One read of ``io`` a member."""
