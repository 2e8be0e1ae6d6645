"""Arithmetic on rows: descendants and totals of a tree. No I/O, no clock, no kernel.

Maps come from scans, and a scan is not atomic: it may contain orphans, unrelated processes and cycles. No function here
loops endlessly on them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from prock.model import NUMBERS, CpuTime, DiskIo, ProcessInfo, ProcessStats, TreeStats

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def children_of(parents: Mapping[int, int]) -> dict[int, list[int]]:
    """The children of each process that has some, in the order of `parents`."""
    children: dict[int, list[int]] = {}
    for pid, ppid in parents.items():
        children.setdefault(ppid, []).append(pid)
    return children


def collect_descendants_from_map(root_pid: int, children_map: Mapping[int, Sequence[int]]) -> list[int]:
    """Pids of all descendants of a process, breadth first, without the process itself.

    - `root_pid`: the process.
    - `children_map`: as of `build_children_map`, or the caller's own.

    Cost: grows with the subtree; no system call.

    >>> collect_descendants_from_map(1, {1: [2, 3], 2: [4], 9: [8]})
    [2, 3, 4]
    """
    found = [root_pid]
    known = {root_pid}
    for pid in found:
        for child in children_map.get(pid, ()):
            if child not in known:
                known.add(child)
                found.append(child)
    return found[1:]


def is_descendant_of(child_pid: int, ancestor_pid: int, parent_map: Mapping[int, int]) -> bool:
    """Whether one process descends from another. A process does not descend from itself.

    - `child_pid`, `ancestor_pid`: the two processes.
    - `parent_map`: as of `build_parent_map`, or the caller's own.

    Cost: grows with the depth; no system call.

    >>> is_descendant_of(4, 1, {2: 1, 4: 2}), is_descendant_of(1, 4, {2: 1, 4: 2}), is_descendant_of(4, 4, {4: 4})
    (True, False, False)
    """
    if child_pid == ancestor_pid:
        return False
    seen = {child_pid}
    pid = parent_map.get(child_pid)
    while pid is not None and pid not in seen:
        if pid == ancestor_pid:
            return True
        seen.add(pid)
        pid = parent_map.get(pid)
    return False


def members_from_scan(root_pid: int, rows: Iterable[ProcessInfo], taken_ns: int) -> list[ProcessStats]:
    """The members of a tree in a scan, root first, then breadth first; empty if the scan does not contain the root."""
    by_pid = {row.pid: row for row in rows}
    if root_pid not in by_pid:
        return []
    children = children_of({pid: row.ppid for pid, row in by_pid.items()})
    pids = [root_pid, *collect_descendants_from_map(root_pid, children)]
    found = (by_pid[pid] for pid in pids)
    return [ProcessStats(taken_ns, row.pid, row.ppid, row.cpu_time, row, None, ()) for row in found]


def total(members: Sequence[ProcessStats], *, vanished: int, denied: int, sharing: Sequence[int] = ()) -> TreeStats:
    """The totals of at least one member. A total is None if it is unknown of every member.

    `sharing`: pids of members whose memory counts with another member, as both share one address space.
    """
    user = system = waited_user = waited_system = with_waited = 0
    disk_io: DiskIo | None = None
    for member in members:
        if member.cpu_time is not None:
            user += member.cpu_time[0]
            system += member.cpu_time[1]
        info = member.info
        if info is not None and info.children_user_ns is not None and info.children_system_ns is not None:
            with_waited += 1
            waited_user += info.children_user_ns
            waited_system += info.children_system_ns
        if member.disk_io is not None:
            disk_io = member.disk_io if disk_io is None else disk_io + member.disk_io
    names = ("thread_count", *(metric.name for metric in NUMBERS))
    numbers: dict[str, Any] = {name: _sum_of(name, members) for name in names}
    with_memory = [member for member in members if member.pid not in sharing] if sharing else members
    numbers |= {name: _sum_of(name, with_memory) for name in ("rss_bytes", "vsize_bytes")}
    return TreeStats(
        taken_ns=members[0].taken_ns,
        cpu_time=CpuTime(user, system),
        cpu_time_with_children=CpuTime(user + waited_user, system + waited_system) if with_waited else None,
        disk_io=disk_io,
        members=tuple(members),
        vanished=vanished,
        denied=denied,
        **numbers,
    )


def _sum_of(metric: str, members: Sequence[ProcessStats]) -> int | None:
    known = [value for member in members if (value := getattr(member, metric)) is not None]
    return sum(known) if known else None
