"""CPU, memory and I/O of process trees: true, cheap, simple. ``help(prock.NAME)`` tells of each name what it costs."""

from __future__ import annotations

from prock.errors import AccessDenied, MalformedProcFile, NoSuchProcess, NotSupported, OutOfDescriptors, ProckError
from prock.model import (
    AllStats,
    CpuPercent,
    CpuTime,
    DiskIo,
    LivenessInfo,
    MemberSample,
    ProcessInfo,
    ProcessStats,
    Scan,
    TreeStats,
    TreeUsage,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
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
    from prock.results import CommandUsage, ProcessUsage, RunResult, Source, Survivor
    from prock.runner.popen import Popen, arun, run
    from prock.sampling.forest import Forest
    from prock.sampling.monitor import Monitor, MonitorResult
    from prock.sampling.sample import TreeSample, TreeTotals
    from prock.sampling.sampler import TreeSampler
    from prock.sampling.trackers import CumulativeTracker, DeltaTracker
    from prock.sampling.watch import awatch, watch
    from prock.snapshot import (
        build_children_map,
        build_parent_map,
        collect_tree_pids,
        scan_all_processes,
        snapshot_tree,
        snapshot_tree_from_scan,
    )
    from prock.tree import collect_descendants_from_map, is_descendant_of

__version__ = "0.1.0"

__all__ = [
    "AccessDenied",
    "AllStats",
    "CommandUsage",
    "CpuPercent",
    "CpuTime",
    "CumulativeTracker",
    "DeltaTracker",
    "DiskIo",
    "Forest",
    "LivenessInfo",
    "MalformedProcFile",
    "MemberSample",
    "Monitor",
    "MonitorResult",
    "NoSuchProcess",
    "NotSupported",
    "OutOfDescriptors",
    "Popen",
    "ProcessInfo",
    "ProcessStats",
    "ProcessUsage",
    "ProckError",
    "RunResult",
    "Scan",
    "Source",
    "Survivor",
    "TreeSample",
    "TreeSampler",
    "TreeStats",
    "TreeTotals",
    "TreeUsage",
    "arun",
    "awatch",
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
    "run",
    "scan_all_processes",
    "snapshot_process",
    "snapshot_tree",
    "snapshot_tree_from_scan",
    "watch",
]

_MODULES = {
    "CommandUsage": "results",
    "CumulativeTracker": "sampling.trackers",
    "DeltaTracker": "sampling.trackers",
    "Forest": "sampling.forest",
    "Monitor": "sampling.monitor",
    "MonitorResult": "sampling.monitor",
    "Popen": "runner.popen",
    "ProcessUsage": "results",
    "RunResult": "results",
    "Source": "results",
    "Survivor": "results",
    "TreeSample": "sampling.sample",
    "TreeSampler": "sampling.sampler",
    "TreeTotals": "sampling.sample",
    "arun": "runner.popen",
    "awatch": "sampling.watch",
    "build_children_map": "snapshot",
    "build_parent_map": "snapshot",
    "collect_descendants_from_map": "tree",
    "collect_tree_pids": "snapshot",
    "get_all_stats": "process",
    "get_children": "process",
    "get_cpu_time": "process",
    "get_cpu_time_with_children": "process",
    "get_disk_io": "process",
    "get_liveness_info": "process",
    "get_memory": "process",
    "get_memory_virtual": "process",
    "get_ppid": "process",
    "get_process_comm": "process",
    "get_process_environ": "process",
    "get_process_path": "process",
    "get_start_time": "process",
    "get_tty": "process",
    "is_descendant_of": "tree",
    "list_all_pids": "process",
    "run": "runner.popen",
    "scan_all_processes": "snapshot",
    "snapshot_process": "process",
    "snapshot_tree": "snapshot",
    "snapshot_tree_from_scan": "snapshot",
    "watch": "sampling.watch",
}
"""In which module each name is that is imported when it is first asked for: most programs ask for few of them."""

_ROOMS = ("engine", "process", "snapshot", "tree")
"""Modules that are there without being imported, as they have always been."""


def __getattr__(name: str) -> object:
    """Those names, imported when one is first asked for."""
    if name in _ROOMS:
        return __import__(f"prock.{name}", fromlist=["__name__"])
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(__import__(f"prock.{_MODULES[name]}", fromlist=[name]), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
