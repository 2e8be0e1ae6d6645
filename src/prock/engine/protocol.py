"""The interface of all engines: every read of processes in prock goes through it."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Protocol

    from prock.engine.tuples import DrainedEvents, TrackerSample
    from prock.model import CpuTime, DiskIo, LivenessInfo, ProcessInfo, ProcessStats, Scan

    class Engine(Protocol):
        """In every method, pid None is the calling process, and the result None means that the process is gone.

        Raises `ValueError` or `TypeError` if the argument can't be a pid, `AccessDenied` if the kernel denies access,
        `NotSupported` if it has no such file, `MalformedProcFile` if the file is not as in proc(5), and `OSError` for
        other errors (no free descriptor, no memory).
        """

        name: str
        """``native``, ``pure`` or ``portable``."""
        root: str
        """Directory where proc is mounted."""
        clocks_usable: bool
        """Whether `root` shows the pids of the caller's PID namespace, and CPU clocks can be read. If not, CPU time is
        counted in ticks."""

        @property
        def foreign(self) -> str | None:
            """Why its pids are not those of this process's system calls; None if they are."""

        io_includes_children: bool
        """Whether the counters of children that were waited for are added to their parent's."""
        children_list_is_racy: bool
        """Whether `children` and a `MemberTracker` can miss one that a scan finds."""
        reads_proc: bool
        """Whether this is Linux's proc: then the caller may use cgroups, pidfds and subreapers too."""
        launcher: str | None
        """Path of the compiled program that starts commands (`prock.runner.spawn_linux`). None: there is none, or it
        is not executable."""

        @property
        def core(self) -> CompiledCore | None:
            """This engine as the C core, which alone opens perf events; None for the other engines."""

        def cpu_time(self, pid: int | None, /) -> CpuTime | None: ...

        def info(self, pid: int | None, /) -> ProcessInfo | None: ...

        def memory(self, pid: int | None, /) -> tuple[int, int] | None:
            """Resident and virtual bytes."""

        def disk_io(self, pid: int | None, /) -> DiskIo | None: ...

        def number(self, metric: str, pid: int | None, /) -> int | None:
            """The value of one of `prock.model.NUMBERS`."""

        def comm(self, pid: int | None, /) -> str | None: ...

        def path(self, pid: int | None, /) -> str | None: ...

        def environ(self, pid: int | None, /) -> bytes | None:
            """As the kernel keeps it: entries that end in NUL."""

        def cmdline(self, pid: int | None, most_bytes: int, /) -> tuple[str, ...] | None:
            """The arguments, from the first bytes of them; None for a zombie, a kernel thread, and where access is
            denied. The read waits for the memory lock of the process: it has no place in a pass over many."""

        def ppid(self, pid: int | None, /) -> int | None: ...

        def liveness(self, pid: int | None, /) -> LivenessInfo | None: ...

        def start_time(self, start_ticks: int, /) -> float:
            """A start, in seconds since the epoch."""

        def now_ticks(self) -> int:
            """This instant, in the unit of `ProcessInfo.start_ticks`."""

        def children(self, pid: int | None, /) -> list[int] | None: ...

        def parents(self) -> dict[int, int]:
            """Of all processes."""

        def pids(self) -> list[int]:
            """All processes, ascending."""

        def scan(self) -> Scan: ...

        def tree(self, pid: int | None, want: int, /) -> tuple[list[ProcessStats], int, list[int]] | None:
            """The members (root first, breadth first, parents read before their children), how many vanished, and the
            pids of those whose address space is also another member's.

            `want` is a sum of the ``WANT_`` constants below. Members' files that are refused are named in their row.
            """

        def track(self, want: int, descriptors: int, /) -> MemberTracker:
            """A new tracker. `descriptors`: how many it may keep open between two samples."""

        def pss(self, pids: list[int], until_ns: int, /) -> list[int | None]:
            """PSS in bytes; None for a process that is gone, denies access or has no memory. Stops at that instant of
            the monotonic clock, after one process at least."""

        def subreaper(self, wanted: bool | None, /) -> bool:
            """Whether this process was a subreaper; `wanted` sets whether it is from now on, None changes nothing."""

        def last_pid(self) -> int:
            """The pid or thread id that was allocated last. Only where `clocks_usable`."""

    class CompiledCore(Engine, Protocol):
        """What the C core can do besides: it opens and reads perf events. The kernel raises `AccessDenied` for them
        where kernel.perf_event_paranoid or a seccomp profile forbids them."""

        def children_by_thread(self, pid: int | None, /) -> list[tuple[int, list[int]]] | None:
            """Each thread of the process, and the children that it started."""

        def thread_state(self, pid: int, tid: int, /) -> str | None:
            """``R``, ``S``, ``D`` ... of one thread of the process."""

        def pid_limit(self) -> int:
            """One more than the largest pid that the kernel allocates before it starts again from the smallest."""

        def open_task_clock(self, tid: int | None, /) -> int | None:
            """Descriptor of a new perf event that counts the CPU time, from now on, of this thread and of the threads
            and processes that it starts from now on."""

        def read_task_clocks(self, fds: Iterable[int], /) -> int:
            """Sum of such events in nanoseconds."""

        def map_records(self, descriptors: list[int], switches: list[int], size: int, /) -> Records:
            """Map the ring buffers of events that the launcher opened, one event per CPU, `size` bytes each (a power of
            two of pages). `switches` may be empty. The descriptors stay the caller's. `AccessDenied` where the user's
            limit on locked memory is reached."""

    class Records(Protocol):
        """Ring buffers of perf events, one per CPU."""

        def drain(self, until_ns: int, /) -> DrainedEvents:
            """Events up to that instant of the monotonic clock, in order.

            A cause comes before its effect if the instant is before the call: the kernel writes a fork before the child
            runs, and exits of threads before the exec that ended them."""

        def totals(self) -> tuple[int, int]:
            """CPU in nanoseconds, and how many records the events say they lost: 0 before Linux 6.0."""

        def stop_switches(self) -> None: ...

        def close(self) -> None:
            """Unmap the buffers, but keep the caller's descriptors open. May be called twice."""

    class MemberTracker(Protocol):
        """The members of any number of trees, which the caller numbers, and what was last read of them.

        A sample reads every member's CPU clock. A member that has not run since has not forked, waited, read, written
        or changed its name: files are read for the others only, lists of children only if pids were allocated. Parents
        are read before their children.

        Descriptors of files that are read often are cached; the least recently used are closed first.
        """

        @property
        def no_children_lists(self) -> bool:
            """Whether the kernel lacks lists of children: then only scans find new members."""

        @property
        def descriptors(self) -> int:
            """Number of open descriptors."""

        def limit(self, descriptors: int, /) -> None:
            """Keep at most so many descriptors open from now on."""

        def add(self, pid: int, tree: int, /) -> ProcessInfo | None:
            """Add a root; None if it does not exist. The next sample finds its descendants."""

        def adopt(self, pid: int, start_ticks: int, tree: int, /) -> None:
            """Add a member that is in no list of children, such as an orphan."""

        def remove(self, tree: int, /) -> None: ...

        def sample(self, reread: list[int], tree: int, everything: bool, /) -> TrackerSample:
            """One pass over all trees, or over one (-1: all). `reread`: pids to report as changed in any case;
            `everything`: all of them."""

        def pids(self, tree: int, /) -> list[int]: ...

        def close(self) -> None: ...


WANT_CPU = 1
"""Own CPU times: by the CPU clocks, without a file, if `Engine.clocks_usable`."""
WANT_STAT = 2
"""One read of ``stat`` a member."""
WANT_IO = 4
"""One read of ``io`` a member."""
RECORD_FORK, RECORD_EXIT, RECORD_RENAME, RECORD_EXEC, RECORD_STOPPED = 1, 2, 3, 4, 8
"""Kinds of `TaskEvent`. A fork whose pid is also the parent's pid is a new thread; an exit is the exit of a thread."""
