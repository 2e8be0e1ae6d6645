"""One call, one answer about one process.

Everywhere: ``pid=None`` is the calling process. ``None`` as an answer means that there is no such process (any more).
`ValueError` and `TypeError` for what can't be a pid, `AccessDenied` where the kernel refuses this user. Sources, biases
and costs are Linux's; on other systems psutil is asked, and `NotSupported` says what can't be known there. Costs are
told in system calls and files: on a quiet machine a CPU clock costs 0.2 µs, reading ``statm`` 4 to 5, ``io`` 5,
``stat`` 8.
"""

from __future__ import annotations

import os
import time

from prock import engine
from prock.errors import AccessDenied, NotSupported
from prock.model import AllStats, CpuTime, DiskIo, LivenessInfo, ProcessInfo, ProcessStats


def get_cpu_time(pid: int | None = None) -> CpuTime | None:
    """CPU time of one process, all its threads, without its children.

    Total: exact, from the process's CPU clock (a thread running at this instant lags by at most a scheduler tick).
    Split into user and system: estimate. Works for every user's processes and for zombies, until they are reaped.
    Cost: three `clock_gettime`, no file. Elsewhere as the system counts it; macOS refuses it of others' processes.

    >>> spent = get_cpu_time()
    >>> spent.total_ns > 0 and spent.total_ns == spent.user_ns + spent.system_ns
    True
    """
    return engine.active.cpu_time(pid)


def get_cpu_time_with_children(pid: int | None = None) -> CpuTime | None:
    """CPU time of a process and of the children that it waited for, and theirs (``cutime``, ``cstime``).

    The children's part is a lower bound, by less than two ticks of 10 ms; running children are not in it. macOS and
    Windows keep no account of it: `NotSupported`.
    Cost: one read of ``stat``, one `clock_gettime`.

    >>> get_cpu_time_with_children() - get_cpu_time() >= CpuTime(0, 0)
    True
    """
    info = engine.active.info(pid)
    if info is None:
        return None
    times = info.cpu_time_with_children
    if times is None:
        raise NotSupported("CPU time of children that were waited for: this system keeps no account of it")
    return times


def get_memory(pid: int | None = None) -> int | None:
    """Resident set size in bytes: what of the process is in memory, pages shared with others included.

    ``statm``; estimate, as the kernel's per-CPU counters may lag by some dozen pages. 0 for kernel threads and
    zombies. Cost: one read of ``statm``, half of one of ``stat``.

    >>> get_memory() > 2**20
    True
    """
    memory = engine.active.memory(pid)
    return None if memory is None else memory[0]


def get_memory_virtual(pid: int | None = None) -> int | None:
    """Address space of the process in bytes, used or not. ``statm``; exact. Cost: as `get_memory`.

    On Windows what is committed to the process alone.

    >>> get_memory_virtual() > get_memory()
    True
    """
    memory = engine.active.memory(pid)
    return None if memory is None else memory[1]


def get_disk_io(pid: int | None = None) -> DiskIo | None:
    """I/O counters of the process **and of all children that it waited for**, which the kernel adds up in one place.

    ``/proc/PID/io``; other users' processes refuse it (`AccessDenied`). `NotSupported` on a kernel without task I/O
    accounting, and on macOS and BSD, which count no bytes. Windows counts what goes through calls, children's apart.
    Cost: one read of ``io``.

    >>> get_disk_io().read_count > 0
    True
    """
    return engine.active.disk_io(pid)


def get_all_stats(pid: int | None = None) -> AllStats | None:
    """CPU time, memory and I/O in one call. I/O that is refused or not counted is None; the rest is still told.

    Cost: three `clock_gettime`, one read of ``statm`` and one of ``io``.

    >>> get_all_stats().memory_bytes > 2**20
    True
    """
    asked = engine.active
    cpu = asked.cpu_time(pid)
    memory = asked.memory(pid)
    if cpu is None or memory is None:
        return None
    try:
        disk_io = asked.disk_io(pid)
    except (AccessDenied, NotSupported):
        return AllStats(cpu, *memory, None)
    return None if disk_io is None else AllStats(cpu, *memory, disk_io)


def get_ppid(pid: int | None = None) -> int | None:
    """Pid of the parent; 0 for one without a parent in this PID namespace. ``stat``. Cost: one read of it.

    >>> import os
    >>> get_ppid() == os.getppid()
    True
    """
    return engine.active.ppid(pid)


def get_start_time(pid: int | None = None) -> float | None:
    """When the process started, in seconds since the epoch, to the tick (10 ms).

    ``stat`` counts from boot; the distance of the wall clock to boot is taken now, so the answer moves when the wall
    clock is set. To tell whether a pid is still the same process use `LivenessInfo.identity`, which never moves.
    Cost: one read of ``stat``, two vDSO clock calls.

    >>> import time
    >>> 0 < time.time() - get_start_time() < 86400
    True
    """
    row = engine.active.liveness(pid)
    return None if row is None else row.start_time


def get_tty(pid: int | None = None) -> str | None:
    """Controlling terminal as ``ps -o tty=`` prints it (``pts/3``, ``tty1``); None where ps prints ``?``.

    ``stat``, and for rare devices a link below ``/sys/dev/char``. Cost: one read of ``stat``.

    >>> tty = get_tty()
    >>> tty is None or "/dev/" not in tty
    True
    """
    row = engine.active.liveness(pid)
    return None if row is None else row.tty


def get_process_comm(pid: int | None = None) -> str | None:
    """The kernel's name for the process: at most 15 bytes, set by exec or by the process itself.

    May hold spaces, brackets, newlines and bytes that are not UTF-8 (those come as surrogate escapes). Cost: one read
    of ``comm``.

    >>> len(get_process_comm()) > 0
    True
    """
    return engine.active.comm(pid)


def get_process_path(pid: int | None = None) -> str | None:
    """Path of the executable, as the process would see it; without the kernel's `` (deleted)``.

    The link ``exe``. None also for kernel threads and zombies, which have none. Other users' processes refuse it
    (`AccessDenied`). Cost: one `readlink`.

    >>> import os
    >>> os.path.isabs(get_process_path())
    True
    """
    return engine.active.path(pid)


def get_process_environ(pid: int | None = None) -> dict[str, str] | None:
    """The environment that the process was started with. What it changed since is not in it.

    ``environ``; empty for kernel threads and zombies. Other users' processes refuse it (`AccessDenied`). Of a name that
    stands twice the first counts, as for `getenv`. One of more than 8 MiB, which no process is ever given, but
    which one can pretend to have, is a `MalformedProcFile`. Cost: a read for each 64 KiB and one more, which can wait
    for the target's memory lock.

    >>> isinstance(get_process_environ(), dict)
    True
    """
    raw = engine.active.environ(pid)
    if raw is None:
        return None
    environment: dict[str, str] = {}
    for entry in raw.decode("utf-8", "surrogateescape").split("\0"):
        name, equals, value = entry.partition("=")
        if equals:
            environment.setdefault(name, value)
    return environment


def get_liveness_info(pid: int | None = None) -> LivenessInfo | None:
    """Is it alive, whose child is it, and is it still the same process? Cost: one read of ``stat``.

    >>> get_liveness_info().is_alive
    True
    """
    return engine.active.liveness(pid)


def get_children(pid: int | None = None) -> list[int] | None:
    """Pids of direct children, zombies included, started by whichever thread; ``[]`` where there are none.

    ``task/TID/children`` of every thread. Under heavy forking the kernel may leave one out. Cost: one small read a
    thread; a full scan on kernels without CONFIG_PROC_CHILDREN.

    >>> isinstance(get_children(), list)
    True
    """
    return engine.active.children(pid)


def list_all_pids() -> list[int]:
    """Pids of all processes that this user may see, ascending. Cost: one listing of ``/proc``.

    >>> import os
    >>> os.getpid() in list_all_pids()
    True
    """
    return engine.active.pids()


def snapshot_process(pid: int | None = None, *, io: bool = False) -> ProcessStats | None:
    """One process at this instant: CPU, memory, threads, state; I/O counters if asked for.

    `ProcessStats.refused` names what the kernel refused. Cost: one read of ``stat``, one `clock_gettime`; with `io` one
    read of ``io``.

    >>> snapshot_process().thread_count >= 1
    True
    """
    taken_ns = time.monotonic_ns()
    info: ProcessInfo | None = None
    disk_io: DiskIo | None = None
    refused: tuple[str, ...] = ()
    try:
        info = engine.active.info(pid)
        cpu = None if info is None else info.cpu_time
    except AccessDenied:
        refused = ("stat",)
        cpu = engine.active.cpu_time(pid)
    if cpu is None:
        return None
    if io:
        try:
            disk_io = engine.active.disk_io(pid)
        except (AccessDenied, NotSupported):
            refused += ("io",)
    own_pid = info.pid if info is not None else (os.getpid() if pid is None else pid)
    return ProcessStats(taken_ns, own_pid, None if info is None else info.ppid, cpu, info, disk_io, refused)
