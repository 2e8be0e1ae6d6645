"""CPU, memory and I/O of process trees: true, cheap, simple. ``help(prock.NAME)`` tells of each name what it costs."""

from __future__ import annotations

from prock.errors import AccessDenied, MalformedProcFile, NotSupported, ProckError
from prock.model import (
    AllStats,
    CpuPercent,
    CpuTime,
    DiskIo,
    LivenessInfo,
    ProcessInfo,
    ProcessStats,
    Scan,
    TreeStats,
    TreeUsage,
)
from prock.process import (
    get_all_stats,
    get_children,
    get_cpu_time,
    get_cpu_time_with_children,
    get_disk_io,
    get_liveness_info,
    get_memory,
    get_memory_virtual,
    get_ppid,
    get_process_comm,
    get_process_environ,
    get_process_path,
    get_start_time,
    get_tty,
    list_all_pids,
    snapshot_process,
)
from prock.snapshot import (
    build_children_map,
    build_parent_map,
    collect_tree_pids,
    scan_all_processes,
    snapshot_tree,
    snapshot_tree_from_scan,
)
from prock.trackers import CumulativeTracker, DeltaTracker
from prock.tree import collect_descendants_from_map, is_descendant_of

__version__ = "0.1.0"

__all__ = [
    "AccessDenied",
    "AllStats",
    "CpuPercent",
    "CpuTime",
    "CumulativeTracker",
    "DeltaTracker",
    "DiskIo",
    "LivenessInfo",
    "MalformedProcFile",
    "NotSupported",
    "ProcessInfo",
    "ProcessStats",
    "ProckError",
    "Scan",
    "TreeStats",
    "TreeUsage",
    "build_children_map",
    "build_parent_map",
    "collect_descendants_from_map",
    "collect_tree_pids",
    "get_all_stats",
    "get_children",
    "get_cpu_time",
    "get_cpu_time_with_children",
    "get_disk_io",
    "get_liveness_info",
    "get_memory",
    "get_memory_virtual",
    "get_ppid",
    "get_process_comm",
    "get_process_environ",
    "get_process_path",
    "get_start_time",
    "get_tty",
    "is_descendant_of",
    "list_all_pids",
    "scan_all_processes",
    "snapshot_process",
    "snapshot_tree",
    "snapshot_tree_from_scan",
]
