"""Questions about one process, one call each.

``pid=None`` is the calling process. A result of None means that the process does not exist (any more). A number that
cannot be a pid raises `ValueError`, another type `TypeError`, and `AccessDenied` says that this user may not read it.
Sources, biases and costs are those of Linux; other systems are read through psutil and raise `NotSupported` for what
they do not provide. Costs are in system calls and files: on a quiet machine a CPU clock costs 0.2 µs, reading
``statm`` 4 to 5, ``io`` 5, ``stat`` 8.
"""

from __future__ import annotations

import os
import time

from prock import engine
from prock.engine.reads import read_numbers
from prock.errors import AccessDenied, NotSupported
from prock.model import AllStats, CpuTime, DiskIo, LivenessInfo, ProcessInfo, ProcessStats, wanted_numbers

LONGEST_CMDLINE = 131_072
"""Bytes: as long as the kernel lets one argument be. A process can declare all of its memory to be its arguments."""


def get_cpu_time(pid: int | None = None) -> CpuTime | None:
    """CPU time of one process in nanoseconds, all its threads, without its children.

    - `pid`: default: the calling process.

    Source: the CPU clock of the process. The total is exact, but the clock of a thread that is running lags by up to a
    scheduler tick; the split into user and system is an estimate. Works for processes of all users, and for zombies
    until they are reaped. Cost: three `clock_gettime`, no file. macOS: `AccessDenied` for other users' processes.

    >>> used = get_cpu_time()
    >>> used.total_ns > 0 and used.total_ns == used.user_ns + used.system_ns
    True
    """
    return engine.active.cpu_time(pid)


def get_cpu_time_with_children(pid: int | None = None) -> CpuTime | None:
    """CPU time in nanoseconds of a process, of the children that it waited for, and of theirs.

    - `pid`: default: the calling process.

    Source: the CPU clock, and ``cutime`` and ``cstime`` of ``stat``. The children's part is a lower bound, by less than
    two ticks of 10 ms; running children are not in it. Cost: one read of ``stat``, one `clock_gettime`. Raises
    `NotSupported` on macOS and Windows, which do not count it.

    >>> get_cpu_time_with_children() - get_cpu_time() >= CpuTime(0, 0)
    True
    """
    info = engine.active.info(pid)
    if info is None:
        return None
    times = info.cpu_time_with_children
    if times is None:
        raise NotSupported("CPU time of children that were waited for: this system does not count it")
    return times


def get_memory(pid: int | None = None) -> int | None:
    """Resident set size in bytes: the memory of the process that is in RAM, shared pages included.

    - `pid`: default: the calling process.

    Source: ``statm``. Estimate: the kernel's per-CPU counters may lag by a few dozen pages. 0 for kernel threads and
    zombies. Cost: one read of ``statm``, half of one of ``stat``.

    >>> get_memory() > 2**20
    True
    """
    memory = engine.active.memory(pid)
    return None if memory is None else memory[0]


def get_memory_virtual(pid: int | None = None) -> int | None:
    """Size of the address space of a process in bytes, used or not.

    - `pid`: default: the calling process.

    Source: ``statm``; exact. On Windows the memory committed to the process alone. Cost: as `get_memory`.

    >>> get_memory_virtual() > get_memory()
    True
    """
    memory = engine.active.memory(pid)
    return None if memory is None else memory[1]


def get_disk_io(pid: int | None = None) -> DiskIo | None:
    """I/O counters of a process **and of all children that it waited for**: the kernel adds them up in one place.

    - `pid`: default: the calling process.

    Source: ``/proc/PID/io``; exact. Windows counts the bytes of calls, without children. Cost: one read of ``io``.
    Raises `AccessDenied` for other users' processes, and `NotSupported` on a kernel without task I/O accounting and on
    macOS and BSD, which count no bytes.

    >>> get_disk_io().read_count > 0
    True
    """
    return engine.active.disk_io(pid)


def get_all_stats(pid: int | None = None) -> AllStats | None:
    """CPU time, memory and I/O of a process in one call. I/O that may not be read or is not counted is None.

    - `pid`: default: the calling process.

    Sources and biases: as of the single functions. Cost: three `clock_gettime`, one read of ``statm`` and one of
    ``io``.

    >>> get_all_stats().memory_bytes > 2**20
    True
    """
    cpu = engine.active.cpu_time(pid)
    memory = engine.active.memory(pid)
    if cpu is None or memory is None:
        return None
    try:
        disk_io = engine.active.disk_io(pid)
    except (AccessDenied, NotSupported):
        return AllStats(cpu, *memory, None)
    return None if disk_io is None else AllStats(cpu, *memory, disk_io)


def get_ppid(pid: int | None = None) -> int | None:
    """Pid of the parent; 0 without a parent in this PID namespace.

    - `pid`: default: the calling process.

    Source: ``stat``; exact. Cost: one read of it.

    >>> import os
    >>> get_ppid() == os.getppid()
    True
    """
    return engine.active.ppid(pid)


def get_start_time(pid: int | None = None) -> float | None:
    """Start time of a process, in seconds since the epoch, to the tick (10 ms).

    - `pid`: default: the calling process.

    Source: ``stat``, which counts from boot, and the wall clock: the result changes when the wall clock is set. To
    detect a reused pid, compare `LivenessInfo.identity`, which never changes. Cost: one read of ``stat``, two vDSO
    clock calls.

    >>> import time
    >>> 0 < time.time() - get_start_time() < 86400
    True
    """
    row = engine.active.liveness(pid)
    return None if row is None else row.start_time


def get_tty(pid: int | None = None) -> str | None:
    """Controlling terminal as ``ps -o tty=`` prints it (``pts/3``, ``tty1``); None where ps prints ``?``.

    - `pid`: default: the calling process.

    Source: ``stat``, and for rare devices a link below ``/sys/dev/char``. Cost: one read of ``stat``.

    >>> tty = get_tty()
    >>> tty is None or "/dev/" not in tty
    True
    """
    row = engine.active.liveness(pid)
    return None if row is None else row.tty


def get_process_comm(pid: int | None = None) -> str | None:
    """The kernel's name of a process: at most 15 bytes, set by exec or by the process itself.

    - `pid`: default: the calling process.

    Source: ``comm``. May contain spaces, brackets, newlines and bytes that are not UTF-8 (as surrogate escapes). Cost:
    one read of ``comm``.

    >>> len(get_process_comm()) > 0
    True
    """
    return engine.active.comm(pid)


def get_process_path(pid: int | None = None) -> str | None:
    """Path of the executable, as the process sees it, without the `` (deleted)`` of the kernel.

    - `pid`: default: the calling process.

    Source: the link ``exe``. None also for kernel threads and zombies, which have none. Cost: one `readlink`. Raises
    `AccessDenied` for other users' processes.

    >>> import os
    >>> os.path.isabs(get_process_path())
    True
    """
    return engine.active.path(pid)


def get_process_cmdline(pid: int | None = None) -> tuple[str, ...] | None:
    """The arguments of a process, the name of the command first: as exec got them, or as the process has changed them.

    - `pid`: default: the calling process.

    Source: ``cmdline``, at most 128 KiB of it; bytes that are not UTF-8 as surrogate escapes. Empty arguments at the
    end are left out, as a process that sets its title leaves such. None also for kernel threads and zombies, which have
    none, and where access is denied. Cost: one read, which can wait for the memory lock of the process.

    >>> len(get_process_cmdline()) >= 1
    True
    """
    return engine.active.cmdline(pid, LONGEST_CMDLINE)


def get_process_environ(pid: int | None = None) -> dict[str, str] | None:
    """The environment that a process was started with, without its later changes.

    - `pid`: default: the calling process.

    Source: ``environ``; empty for kernel threads and zombies. Of a name that occurs twice the first counts, as for
    `getenv`. Cost: a read for each 64 KiB and one more, which can wait for the memory lock of the process. Raises
    `AccessDenied` for other users' processes, and `MalformedProcFile` for more than 8 MiB: exec permits less, but a
    process can set its own.

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
    """State, parent, session, terminal and identity of a process, in one read.

    - `pid`: default: the calling process.

    Source: ``stat``. Cost: one read of it.

    >>> get_liveness_info().is_alive
    True
    """
    return engine.active.liveness(pid)


def process_exists(pid: int | None = None) -> bool:
    """Whether there is a process with this pid, zombies included. To detect a reused pid, compare
    `LivenessInfo.identity`.

    - `pid`: default: the calling process.

    Source: the CPU clock of the process. Cost: three `clock_gettime`, no file.

    >>> process_exists()
    True
    """
    try:
        return engine.active.cpu_time(pid) is not None
    except AccessDenied:
        return True


def get_children(pid: int | None = None) -> list[int] | None:
    """Pids of the direct children of all threads, zombies included; ``[]`` without children.

    - `pid`: default: the calling process.

    Source: ``task/TID/children`` of every thread. While the process forks heavily the kernel may leave one out. Cost:
    one small read a thread; on kernels without CONFIG_PROC_CHILDREN a scan of the machine.

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


def snapshot_process(pid: int | None = None, *, io: bool = False, fds: bool = False) -> ProcessStats | None:
    """One process at this instant: CPU, memory, threads, state, and with `io` the I/O counters.

    - `pid`: default: the calling process.
    - `io`: read the I/O counters. Default: False.
    - `fds`: count open file descriptors. Default: False.

    `ProcessStats.refused` names the files that this user may not read. Cost: one read of ``stat``, one
    `clock_gettime`; with `io` one read of ``io``, with `fds` one `stat` of ``fd`` (before Linux 6.2 its listing).

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
    numbers, refused = read_numbers(engine.active, pid, wanted_numbers({"fds": fds}), refused)
    own_pid = info.pid if info is not None else (os.getpid() if pid is None else pid)
    return ProcessStats(taken_ns, own_pid, None if info is None else info.ppid, cpu, info, disk_io, refused, **numbers)
