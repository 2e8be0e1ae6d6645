"""Many processes at one instant: the whole machine, or one tree.

A tree is found either by the kernel's lists of children, from the root down, at a cost that grows with the tree, or by
a scan of all processes, at a cost that grows with the machine. `snapshot_tree` and `collect_tree_pids` begin with the
lists and change to a scan as soon as the remaining members would cost more than all processes of the machine.
"""

from __future__ import annotations

import time
from collections.abc import Iterable

from prock import engine, tree
from prock.engine.pids import check_pid
from prock.engine.protocol import WANT_CPU, WANT_IO, WANT_STAT
from prock.model import ProcessInfo, Scan, TreeStats, wanted_numbers


def scan_all_processes() -> Scan:
    """A row for every process of the machine; `Scan.vanished` and `Scan.denied` count those that could not be read.

    Source: ``stat`` and the CPU clock of each process. CPU totals are exact; see `ProcessInfo` for the rest. Cost: one
    listing of ``/proc``, and one read of ``stat`` and one `clock_gettime` a process.

    >>> largest = max(scan_all_processes(), key=lambda row: row.rss_bytes)
    >>> largest.rss_bytes > 2**20
    True
    """
    return engine.active.scan()


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
