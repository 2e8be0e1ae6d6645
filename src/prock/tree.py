"""Arithmetic on rows: who descends from whom, and what a tree adds up to. No I/O, no clock, no kernel.

Maps come from scans, and a scan is not atomic: it may hold strangers, orphans and cycles. Nothing here loops on them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from prock.model import CpuTime, DiskIo, ProcessInfo, ProcessStats, TreeStats


def parents_of(rows: Iterable[ProcessInfo]) -> dict[int, int]:
    """Each pid's parent."""
    return {row.pid: row.ppid for row in rows}


def children_of(rows: Iterable[ProcessInfo]) -> dict[int, list[int]]:
    """Each parent's children, in the order of the rows. Who has none is not in it."""
    children: dict[int, list[int]] = {}
    for row in rows:
        children.setdefault(row.ppid, []).append(row.pid)
    return children


def children_of_parents(parents: Mapping[int, int]) -> dict[int, list[int]]:
    """As `children_of`, from a map of parents."""
    children: dict[int, list[int]] = {}
    for pid, ppid in parents.items():
        children.setdefault(ppid, []).append(pid)
    return children


def collect_descendants_from_map(root_pid: int, children_map: Mapping[int, Sequence[int]]) -> list[int]:
    """All descendants of a process, breadth first, without itself. Cost: the size of the subtree; no system call.

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
    """Whether one process descends from another. None descends from itself. Cost: the depth; no system call.

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
    """The tree below a root as a scan shows it, breadth first; empty where the scan does not hold the root."""
    by_pid = {row.pid: row for row in rows}
    if root_pid not in by_pid:
        return []
    pids = [root_pid, *collect_descendants_from_map(root_pid, children_of(by_pid.values()))]
    found = (by_pid[pid] for pid in pids)
    return [ProcessStats(taken_ns, row.pid, row.ppid, row.cpu_time, row, None, ()) for row in found]


def total(members: Sequence[ProcessStats], *, vanished: int, denied: int) -> TreeStats:
    """What the members (at least one) add up to. A total of which no member knows its part is None."""
    user = system = waited_user = waited_system = rss = vsize = threads = described = with_waited = 0
    disk_io: DiskIo | None = None
    for member in members:
        if member.cpu_time is not None:
            user += member.cpu_time[0]
            system += member.cpu_time[1]
        info = member.info
        if info is not None:
            described += 1
            if info.children_user_ns is not None and info.children_system_ns is not None:
                with_waited += 1
                waited_user += info.children_user_ns
                waited_system += info.children_system_ns
            rss += info.rss_bytes
            vsize += info.vsize_bytes
            threads += info.thread_count
        if member.disk_io is not None:
            disk_io = member.disk_io if disk_io is None else disk_io + member.disk_io
    return TreeStats(
        taken_ns=members[0].taken_ns,
        cpu_time=CpuTime(user, system),
        cpu_time_with_children=CpuTime(user + waited_user, system + waited_system) if with_waited else None,
        rss_bytes=rss if described else None,
        vsize_bytes=vsize if described else None,
        thread_count=threads if described else None,
        disk_io=disk_io,
        members=tuple(members),
        vanished=vanished,
        denied=denied,
    )
