"""CPU, memory and I/O of process trees: accurate, cheap, simple. ``help(prock.NAME)`` has the details of each name."""

from __future__ import annotations

__version__ = "0.1.0"

TYPE_CHECKING = False
# isort: off
if TYPE_CHECKING:
    from prock.errors import (
        AccessDenied as AccessDenied,
        MalformedProcFile as MalformedProcFile,
        NoSuchProcess as NoSuchProcess,
        NotSupported as NotSupported,
        OutOfDescriptors as OutOfDescriptors,
        ProckError as ProckError,
    )
    from prock.model import (
        AllStats as AllStats,
        BusyProcess as BusyProcess,
        CpuPercent as CpuPercent,
        CpuTime as CpuTime,
        DiskIo as DiskIo,
        LivenessInfo as LivenessInfo,
        MemberSample as MemberSample,
        ProcessInfo as ProcessInfo,
        ProcessStats as ProcessStats,
        Scan as Scan,
        TreeStats as TreeStats,
        TreeTotals as TreeTotals,
        TreeUsage as TreeUsage,
    )
    from prock.process import (
        get_all_stats as get_all_stats,
        get_children as get_children,
        get_cpu_time as get_cpu_time,
        get_cpu_time_with_children as get_cpu_time_with_children,
        get_disk_io as get_disk_io,
        get_liveness_info as get_liveness_info,
        get_memory as get_memory,
        get_memory_virtual as get_memory_virtual,
        get_ppid as get_ppid,
        get_process_cmdline as get_process_cmdline,
        get_process_comm as get_process_comm,
        get_process_environ as get_process_environ,
        get_process_path as get_process_path,
        get_start_time as get_start_time,
        get_tty as get_tty,
        list_all_pids as list_all_pids,
        process_exists as process_exists,
        snapshot_process as snapshot_process,
    )
    from prock.recording.reader import (
        Recording as Recording,
        load as load,
    )
    from prock.recording.rows import (
        ProcessSample as ProcessSample,
        RecordedProcess as RecordedProcess,
        RecordedSample as RecordedSample,
    )
    from prock.results import (
        CommandUsage as CommandUsage,
        LargeProcess as LargeProcess,
        LimitExceeded as LimitExceeded,
        ProcessUsage as ProcessUsage,
        ReceivedSignal as ReceivedSignal,
        Source as Source,
        Survivor as Survivor,
        Timeline as Timeline,
    )
    from prock.runner.kill_tree import kill_tree as kill_tree
    from prock.runner.limits import Limits as Limits
    from prock.runner.popen import (
        Popen as Popen,
        arun as arun,
        run as run,
    )
    from prock.runner.result import RunResult as RunResult
    from prock.sampling.forest import Forest as Forest
    from prock.sampling.monitor import (
        Monitor as Monitor,
        MonitorResult as MonitorResult,
    )
    from prock.sampling.options import SamplingOptions as SamplingOptions
    from prock.sampling.recorder import Recorder as Recorder
    from prock.sampling.sample import TreeSample as TreeSample
    from prock.sampling.sampler import TreeSampler as TreeSampler
    from prock.sampling.trackers import (
        CumulativeTracker as CumulativeTracker,
        DeltaTracker as DeltaTracker,
    )
    from prock.sampling.watch import (
        awatch as awatch,
        watch as watch,
    )
    from prock.snapshot import (
        build_children_map as build_children_map,
        build_parent_map as build_parent_map,
        busiest as busiest,
        collect_tree_pids as collect_tree_pids,
        find as find,
        scan_all_processes as scan_all_processes,
        snapshot_tree as snapshot_tree,
        snapshot_tree_from_scan as snapshot_tree_from_scan,
    )
    from prock.tree import (
        collect_descendants_from_map as collect_descendants_from_map,
        is_descendant_of as is_descendant_of,
    )

    __all__: list[str]
else:
    # isort: on
    _NAMES = {
        "errors": "AccessDenied MalformedProcFile NoSuchProcess NotSupported OutOfDescriptors ProckError",
        "model": (
            "AllStats BusyProcess CpuPercent CpuTime DiskIo LivenessInfo MemberSample ProcessInfo ProcessStats Scan "
            "TreeStats TreeTotals TreeUsage"
        ),
        "process": (
            "get_all_stats get_children get_cpu_time get_cpu_time_with_children get_disk_io get_liveness_info "
            "get_memory get_memory_virtual get_ppid get_process_cmdline get_process_comm get_process_environ "
            "get_process_path get_start_time get_tty list_all_pids process_exists snapshot_process"
        ),
        "recording.reader": "Recording load",
        "recording.rows": "ProcessSample RecordedProcess RecordedSample",
        "results": "CommandUsage LargeProcess LimitExceeded ProcessUsage ReceivedSignal Source Survivor Timeline",
        "runner.kill_tree": "kill_tree",
        "runner.limits": "Limits",
        "runner.popen": "Popen arun run",
        "runner.result": "RunResult",
        "sampling.forest": "Forest",
        "sampling.monitor": "Monitor MonitorResult",
        "sampling.options": "SamplingOptions",
        "sampling.recorder": "Recorder",
        "sampling.sample": "TreeSample",
        "sampling.sampler": "TreeSampler",
        "sampling.trackers": "CumulativeTracker DeltaTracker",
        "sampling.watch": "awatch watch",
        "snapshot": (
            "build_children_map build_parent_map busiest collect_tree_pids find scan_all_processes snapshot_tree "
            "snapshot_tree_from_scan"
        ),
        "tree": "collect_descendants_from_map is_descendant_of",
    }
    """Public names by the module that defines them. It is imported on first use: most programs need few of them."""
    _MODULES = {name: module for module, names in _NAMES.items() for name in names.split()}
    __all__ = sorted(_MODULES)

    def __getattr__(name):
        if name not in _MODULES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        value = globals()[name] = getattr(__import__(f"prock.{_MODULES[name]}", fromlist=[name]), name)
        return value

    def __dir__():
        return sorted({*globals(), *__all__})
