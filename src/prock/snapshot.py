"""Many processes at one instant: the whole machine, or one tree.

A tree is found either by the kernel's lists of children, from the root down, at a cost that grows with the tree, or by
a scan of all processes, at a cost that grows with the machine. `snapshot_tree` and `collect_tree_pids` begin with the
lists and change to a scan as soon as the remaining members would cost more than all processes of the machine.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable

from prock import engine, tree
from prock.engine import facts
from prock.engine.pids import check_pid
from prock.engine.protocol import WANT_CPU, WANT_IO, WANT_STAT
from prock.errors import check_interval
from prock.model import BusyProcess, CpuTime, ProcessInfo, Scan, TreeStats, wanted_numbers
from prock.process import get_process_cmdline


def scan_all_processes() -> Scan:
    """A row for every process of the machine; `Scan.vanished` and `Scan.denied` count those that could not be read.

    Source: ``stat`` and the CPU clock of each process. CPU totals are exact; see `ProcessInfo` for the rest. Cost: one
    listing of ``/proc``, and one read of ``stat`` and one `clock_gettime` a process.

    >>> largest = max(scan_all_processes(), key=lambda row: row.rss_bytes)
    >>> largest.rss_bytes > 2**20
    True
    """
    return engine.active.scan()


def find(name: str | None = None, *, cmdline: str | None = None, user: str | int | None = None) -> list[ProcessInfo]:
    """The processes that match all criteria, ascending pids; the calling process is never among them.

    - `name`: the name of the command, or what follows its last slash in the command line: the kernel cuts names to 15
      bytes. Default: any.
    - `cmdline`: a part of the command line, its arguments joined by spaces. Default: any.
    - `user`: name or id of the effective user. Default: any.

    Source: as `scan_all_processes`, `get_process_cmdline` and ``status``. What this user may not read does not match.
    Cost: a scan, and one read of ``cmdline`` and ``status`` for each process that may match.

    >>> import subprocess
    >>> server = subprocess.Popen(["sleep", "100.25"])
    >>> [row.pid for row in find("sleep", cmdline="100.25")] == [server.pid]
    True
    >>> server.kill(), server.wait()
    (None, -9)
    """
    own_pid = os.getpid()
    return [row for row in scan_all_processes() if row.pid != own_pid and _matches(row, name, cmdline, user)]


def _matches(row: ProcessInfo, name: str | None, cmdline: str | None, user: str | int | None) -> bool:
    may_be_cut = name is not None and bool(row.comm) and name.startswith(row.comm)
    if name is not None and not may_be_cut:
        return False
    arguments: tuple[str, ...] = ()
    if cmdline is not None or name not in (None, row.comm):
        arguments = get_process_cmdline(row.pid) or ()
    if name not in (None, row.comm, *map(os.path.basename, arguments[:2])):
        return False
    if cmdline is not None and cmdline not in " ".join(arguments):
        return False
    if user is None:
        return True
    try:
        effective, _ = facts.users(row.pid)
    except OSError:
        return False
    return effective == (facts.user_name(user) if isinstance(user, int) else user)


def busiest(n: int = 10, interval: float = 1.0) -> list[BusyProcess]:
    """The processes of the machine that use the most CPU time from now on, most first; those that used none are left
    out.

    - `n`: how many at most. Default: 10.
    - `interval`: seconds to measure. Default: 1.

    Source: the CPU clocks, at the beginning and at the end; exact, except for the last scheduler tick. Lacks processes
    that end within the interval. Cost: two scans, and one read of ``cmdline`` for each row.

    >>> len(busiest(3, interval=0.01)) <= 3
    True
    """
    if n < 1:
        raise ValueError(f"invalid number of processes {n}: use 1 or more")
    check_interval(interval)
    before = {row.identity: row.cpu_time for row in scan_all_processes()}
    began_ns = time.monotonic_ns()
    time.sleep(interval)
    scan = scan_all_processes()
    elapsed_ns = scan.taken_ns - began_ns
    used = []
    for row in scan:
        cpu = row.cpu_time - before.get(row.identity, CpuTime(0, 0))
        if cpu.total_ns:
            used.append((cpu, row))
    used.sort(key=lambda one: (-one[0].total_ns, one[1].pid))
    return [
        BusyProcess(
            pid=row.pid,
            comm=row.comm,
            cmdline=get_process_cmdline(row.pid),
            cpu_percent=cpu.cpu_percent_since(CpuTime(0, 0), elapsed_ns),
            cpu_ns=cpu.total_ns,
            rss_bytes=row.rss_bytes,
        )
        for cpu, row in used[:n]
    ]


def build_parent_map(scan: Iterable[ProcessInfo] | None = None) -> dict[int, int]:
    """The parent of each process, by pid.

    - `scan`: rows of `scan_all_processes`; default: the processes are read now.

    Source: ``stat``. Cost: as `scan_all_processes` without `scan`, else no system call.

    >>> import os
    >>> build_parent_map()[os.getpid()] == os.getppid()
    True
    """
    return engine.active.parents() if scan is None else {row.pid: row.ppid for row in scan}


def build_children_map(scan: Iterable[ProcessInfo] | None = None) -> dict[int, list[int]]:
    """The children of each process that has some, by pid.

    - `scan`: rows of `scan_all_processes`; default: the processes are read now.

    Source: ``stat``. Cost: as `scan_all_processes` without `scan`, else no system call.

    >>> import os
    >>> os.getpid() in build_children_map()[os.getppid()]
    True
    """
    return tree.children_of(build_parent_map(scan))


def collect_tree_pids(root_pid: int | None = None) -> list[int] | None:
    """Pids of a process and all its descendants, root first, then breadth first; None without the root.

    - `root_pid`: default: the calling process.

    Source: ``task/TID/children``. While the tree forks heavily the kernel may leave one out. Cost: one small read a
    member. Raises `AccessDenied` for a root that this user may not read.

    >>> import os
    >>> collect_tree_pids()[0] == os.getpid()
    True
    """
    found = engine.active.tree(root_pid, 0)
    return None if found is None else [member.pid for member in found[0]]


def snapshot_tree(
    root_pid: int | None = None, *, memory: bool = True, io: bool = False, fds: bool = False
) -> TreeStats | None:
    """A process and all its descendants at this instant: totals, members, and how many could not be read.

    - `root_pid`: default: the calling process.
    - `memory`: read ``stat`` of each member, for memory, threads, state and names. Default: True; without it
      `ProcessStats.info` is None.
    - `io`: read the I/O counters. Default: False.
    - `fds`: count open file descriptors. Default: False.

    None without the root. Sources and biases: see `TreeStats`. While the tree forks heavily the kernel's lists of
    children may leave one out. Raises `AccessDenied` for a root that this user may not read; of a member it is counted
    as `TreeStats.denied`. Cost a member: one small read to find its children, two system calls for its CPU time, with
    `memory` one read of ``stat``, with `io` one of ``io``, with `fds` one `stat` of ``fd``. Processes outside the tree
    cost nothing, unless the tree is most of the machine and a scan is cheaper. Other systems list all processes to find
    the tree.

    >>> build = snapshot_tree()  # of a build: snapshot_tree(pid of make)
    >>> build.process_count >= 1 and build.rss_bytes > 2**20
    True
    """
    want = WANT_CPU | (WANT_STAT if memory else 0) | (WANT_IO if io else 0) | wanted_numbers({"fds": fds})
    found = engine.active.tree(root_pid, want)
    if found is None:
        return None
    members, vanished, sharing = found
    denied = sum(1 for member in members if member.refused)
    return tree.total(members, vanished=vanished, denied=denied, sharing=sharing)


def snapshot_tree_from_scan(root_pid: int | None = None, scan: Iterable[ProcessInfo] | None = None) -> TreeStats | None:
    """A tree taken from a scan of the machine: one scan serves many roots.

    - `root_pid`: default: the calling process.
    - `scan`: rows of `scan_all_processes`; default: a scan is taken now.

    Totals as of `snapshot_tree`, without I/O. `TreeStats.vanished` and `TreeStats.denied` are those of the whole scan.
    None if the scan does not contain the root. Cost: as `scan_all_processes` without `scan`, else no system call.

    >>> scan = scan_all_processes()
    >>> snapshot_tree_from_scan(None, scan).process_count >= 1
    True
    """
    pid = check_pid(root_pid)
    if pid is None:
        own = engine.active.info(None)
        if own is None:
            return None
        pid = own.pid
    rows = engine.active.scan() if scan is None else scan
    taken_ns, vanished, denied = (
        (rows.taken_ns, rows.vanished, rows.denied) if isinstance(rows, Scan) else (time.monotonic_ns(), 0, 0)
    )
    members = tree.members_from_scan(pid, rows, taken_ns)
    return tree.total(members, vanished=vanished, denied=denied) if members else None
