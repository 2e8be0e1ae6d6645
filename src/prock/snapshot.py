"""Many processes at one instant: the whole machine, or one tree of it.

Two ways lead to a tree: walking down from its root by the kernel's lists of children, whose cost is the tree's, and a
scan of all processes, whose cost is the machine's. `snapshot_tree` and `collect_tree_pids` begin with the first and
change to the second as soon as the members still to be visited would cost more than all processes of the machine.
"""

from __future__ import annotations

import time
from collections.abc import Iterable

from prock import engine, tree
from prock.engine.pids import check_pid
from prock.engine.protocol import WANT_CPU, WANT_IO, WANT_STAT
from prock.model import ProcessInfo, Scan, TreeStats


def scan_all_processes() -> Scan:
    """A row for every process of the machine, with exact CPU times, and how many vanished or refused meanwhile.

    Cost: one listing of ``/proc``, and one read of ``stat`` and one `clock_gettime` a process.

    >>> import os
    >>> os.getpid() in {row.pid for row in scan_all_processes()}
    True
    """
    return engine.active.scan()


def build_parent_map(scan: Iterable[ProcessInfo] | None = None) -> dict[int, int]:
    """Each process's parent, from a scan (taken here when none is given). Cost: the scan's.

    >>> import os
    >>> build_parent_map()[os.getpid()] == os.getppid()
    True
    """
    return engine.active.parents() if scan is None else tree.parents_of(scan)


def build_children_map(scan: Iterable[ProcessInfo] | None = None) -> dict[int, list[int]]:
    """Each parent's children, from a scan (taken here when none is given). Who has none is not in it. Cost: the scan's.

    >>> import os
    >>> os.getpid() in build_children_map()[os.getppid()]
    True
    """
    return tree.children_of_parents(engine.active.parents()) if scan is None else tree.children_of(scan)


def collect_tree_pids(root_pid: int | None = None) -> list[int] | None:
    """The root and all its descendants, breadth first, root first; None where there is no root.

    Cost: one small read a member.

    >>> import os
    >>> collect_tree_pids()[0] == os.getpid()
    True
    """
    found = engine.active.tree(root_pid, 0)
    return None if found is None else [member.pid for member in found[0]]


def snapshot_tree(root_pid: int | None = None, *, memory: bool = True, io: bool = False) -> TreeStats | None:
    """A process and all its descendants, now: totals, members, and what could not be read. None where there is no root.

    Cost a member: one small read to find its children, two system calls for its CPU time, one read of ``stat`` (not
    with ``memory=False``: then `ProcessStats.info` is None), with `io` one read of ``io``. Nothing for strangers,
    except where the tree is most of the machine: then one scan is cheaper, and is what is done. (On other systems one
    look at all processes finds the tree.)
    One member that refuses does not sink the tree; a root that does raises `AccessDenied`. While the tree forks heavily
    the kernel's lists of children may leave one out.

    >>> here = snapshot_tree()
    >>> here.process_count >= 1 and here.rss_bytes > 2**20
    True
    """
    want = WANT_CPU | (WANT_STAT if memory else 0) | (WANT_IO if io else 0)
    found = engine.active.tree(root_pid, want)
    if found is None:
        return None
    members, vanished = found
    denied = sum(1 for member in members if member.refused)
    return tree.total(members, vanished=vanished, denied=denied)


def snapshot_tree_from_scan(root_pid: int | None = None, scan: Iterable[ProcessInfo] | None = None) -> TreeStats | None:
    """A tree as a scan shows it (taken here when none is given): one scan serves many roots.

    Totals as of `snapshot_tree`, without I/O. `vanished` and `denied` are the whole scan's: which of those belonged to
    this tree nobody knows. None where the scan does not hold the root. Cost: the scan's, and none for the next root.

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
