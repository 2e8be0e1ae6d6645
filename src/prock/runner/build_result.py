"""The account of a tree that is over, or broken off: all that a `RunSession` and its sources know, as a `RunResult`."""

from __future__ import annotations

import sys
import time

from prock.accounting.estimate import PERF, WAITED, CpuReadings, estimate_cpu
from prock.errors import NotSupported, ProckError
from prock.model import CpuTime
from prock.results import Source, Survivor
from prock.runner.result import RunResult
from prock.runner.tables import usage_by_command, with_records

TYPE_CHECKING = False
if TYPE_CHECKING:
    from prock.accounting.perf_records import TaskRecords
    from prock.accounting.protocol import RootWaiter
    from prock.engine.protocol import Engine
    from prock.model import DiskIo, ProcessInfo
    from prock.runner.session import RunSession

MOST_ROWS = 100_000
"""Rows of a result's `processes` at most."""
LOST_ROOT = (
    "How the command ended, and what waiting for it would have told, is unknown: SIGCHLD is ignored in this process, "
    "or another part of it waits for all children."
)


NO_SPLIT = "How the CPU time divides into user and system is unknown: of who has ended this system tells nobody."
NO_FAULTS = "Page faults and context switches are unknown: this system does not tell them of who has ended."
TOO_SHORT = "I/O is unknown: it ended before it was looked at."


def finish(running: RunSession, *, timed_out: bool = False, whole_tree: bool = False) -> RunResult:
    """Close the account of a tree, and give back all that it took.

    `whole_tree`: the wall time is the tree's, until now, not only its root's.
    """
    began_ns = time.thread_time_ns()
    try:
        running.ends(whole_tree=whole_tree)
        result = ResultBuilder(running).result(timed_out=timed_out)
    finally:
        running.close()
    return result._replace(cost_ns=running.cost_ns + time.thread_time_ns() - began_ns)


class ResultBuilder:
    """Asks everybody one last time, when it is made. Closes nothing."""

    def __init__(self, running: RunSession) -> None:
        self._running = running
        self._engine: Engine = running.engine
        self._waited: RootWaiter | None = running.waited
        self._members = running.members()
        self._living = [row for row in self._members if row.is_alive]
        if self._living:
            running.sample()
        self._sources: list[Source] = []
        self._missing: list[str] = []

    def result(self, *, timed_out: bool) -> RunResult:
        running, waited = self._running, self._waited
        root = None if waited is None or waited.lost_root else waited.root
        if waited is not None and waited.lost_root:
            self._missing.append(LOST_ROOT)
        figures = {**self._cpu(), **self._memory(), **self._io(), **self._faults(), **self._processes()}
        return RunResult(
            args=running.args,
            pid=running.pid,
            returncode=None if root is None else root.returncode,
            timed_out=timed_out,
            labels=running.options.labels,
            start_time=running.start_time,
            wall_ns=max(0, running.ended_ns - running.began_ns),
            **figures,  # type: ignore[arg-type]  # each has its own type
            survivors=self._survivors(),
            cost_ns=running.cost_ns,
            sources=tuple(self._sources),
            missing=tuple(self._missing),
        )

    def _cpu(self) -> dict[str, object]:
        running, sources = self._running, self._running.sources
        used_ns = running.used_before_ns
        group = None if sources.group is None else _less(sources.group.cpu_time(), used_ns - sources.outside_ns)
        perf_ns = None if sources.clock is None else sources.clock.total_ns()
        ledger_ns = None
        if running.forest is not None:
            tree = running.forest.tree(running.pid)
            if tree.events is not None:  # of a tree that was attached to
                perf_ns = tree.cpu_ns
            else:
                ledger_ns = max(0, tree.cpu_ns - (0 if self._waited is None else used_ns))
        if self._waited is not None and not self._waited.holds_children and self._waited.root is not None:
            ledger_ns = max(ledger_ns or 0, self._waited.user_ns + self._waited.system_ns)  # the whole has its part
        verdict = estimate_cpu(
            CpuReadings(
                asked=running.options.accounting,
                cgroup=group,
                perf_ns=perf_ns,
                stolen=0.0 if sources.stolen is None else sources.stolen.share(),
                waited=self._waited_for(),
                adopts=self._waited is not None and self._waited.adopts,
                ledger_ns=ledger_ns,
                joined_late=sources.joined_late,
                hands_on=self._hands_on(),
            )
        )
        first, *others = verdict.sources
        if self._engine.launcher is None and verdict.accounting == WAITED:
            first = first._replace(bias=f"{first.bias}; holds the start of its process, too")
        self._sources += [first, *others]
        self._missing += verdict.missing
        if self._waited is not None and not self._waited.holds_children:
            self._missing.append(NO_SPLIT)
        if running.options.accounting == "auto":
            # Who has perf events lacks nothing without a cgroup.
            told = [why for why in sources.refusals if verdict.accounting != PERF or not why.startswith("cgroup")]
            self._missing += [f"Not used: {why}." for why in told]
        return {
            "cpu_ns": verdict.total_ns,
            "user_ns": verdict.user_ns,
            "system_ns": verdict.system_ns,
            "root_cpu_ns": self._root_cpu_ns(),
            "accounting": verdict.accounting,
            "cpu_by_source": verdict.by_source,
        }

    def _hands_on(self) -> bool:
        try:
            info = self._engine.info(None)
        except (ProckError, OSError):
            return True
        return info is None or info.children_user_ns is not None

    def _waited_for(self) -> CpuTime | None:
        """Of those who ended and were waited for; of those who have not been, their own and what they waited for."""
        waited = self._waited
        if waited is None or waited.lost_root or not waited.holds_children:
            return None
        user_ns, system_ns = waited.user_ns, waited.system_ns
        for row in self._members:
            user_ns += row.user_ns + (row.children_user_ns or 0)
            system_ns += row.system_ns + (row.children_system_ns or 0)
        total = CpuTime(user_ns, system_ns)
        return total if waited.root is not None else _less(total, self._running.used_before_ns)

    def _root_cpu_ns(self) -> int | None:
        running, waited = self._running, self._waited
        if waited is not None and waited.root is not None and waited.root.own_ns is not None:
            source = "CPU clock" if waited.holds_children else "process handle"
            self._sources.append(Source("root_cpu", source, "exact: read when it had ended"))
            return waited.root.own_ns
        row = next((row for row in self._members if row.pid == running.pid), None)
        if row is not None:
            clock = "CPU clock" if self._engine.clocks_usable else "times of the process"
            self._sources.append(Source("root_cpu", clock, "exact, but for its last scheduler tick"))
            return max(0, row.user_ns + row.system_ns - running.used_before_ns)
        own_ns = None if running.peaks is None else running.peaks.root_cpu_ns
        if own_ns is not None:
            self._sources.append(Source("root_cpu", "samples", "lower bound: as last seen"))
        return own_ns

    def _memory(self) -> dict[str, object]:
        running, peaks, waited = self._running, self._running.peaks, self._waited
        largest = waited.largest_bytes if waited is not None and waited.root is not None else 0
        footprint = rss = pss = None
        if peaks is not None and peaks.samples:
            footprint, rss, pss = (
                peaks.footprint.peak_bytes, peaks.footprint.peak_rss_bytes, peaks.footprint.peak_pss_bytes,
            )  # fmt: skip
            if footprint is not None:
                self._sources.append(Source("memory", f"samples, {peaks.footprint.source}", peaks.footprint.bias))
        if running.is_exact_launch and largest > (footprint or 0):  # nobody believes in a tree smaller than its process
            footprint = largest
            bias = "lower bound: of the largest process alone, which samples missed"
            if largest <= (rss or 0):
                bias = "estimate: of the largest process, with what it shares with programs outside the tree"
            self._sources[-1 if rss is not None else len(self._sources) :] = [Source("memory", "ru_maxrss", bias)]
        if largest:
            self._sources.append(self._source_of_largest())
        elif peaks is not None and peaks.largest_bytes:
            largest = peaks.largest_bytes
            self._sources.append(Source("largest_process", "samples", "lower bound: as sampled"))
        if waited is not None and not waited.holds_children and peaks is not None:
            largest = max(largest, peaks.largest_bytes)
        group_peak = None if running.sources.group is None else running.sources.group.peak_memory()
        if group_peak is not None:
            how = "lower bound: since the command joined it" if running.sources.joined_late else "exact"
            bias = f"{how}; page cache and kernel memory included"
            self._sources.append(Source("cgroup_peak", "memory.peak", bias))
        return {
            "peak_footprint_bytes": footprint,
            "peak_rss_bytes": rss,
            "peak_pss_bytes": pss,
            "largest_process_bytes": largest or None,
            "cgroup_peak_bytes": group_peak,
        }

    def _source_of_largest(self) -> Source:
        """Of the one that the system tells itself."""
        if self._waited is not None and not self._waited.holds_children:
            bias = "lower bound: exact of the command's own process, of the others as sampled"
            return Source("largest_process", "process handle, samples", bias)
        if self._running.is_exact_launch:
            return Source("largest_process", "ru_maxrss", "exact for all that was waited for")
        return Source("largest_process", "ru_maxrss", "upper bound: never less than the process that started it")

    def _io(self) -> dict[str, object]:
        running, waited = self._running, self._waited
        tree = None if running.forest is None else running.forest.tree(running.pid)
        sampled = None if tree is None else tree.disk_io
        if waited is None or waited.disk_io is None:
            return {"disk_io": self._sampled_io(sampled)}
        total, refused = waited.disk_io, waited.refused_io
        for row in self._members:
            try:
                io = self._engine.disk_io(row.pid)
            except (ProckError, OSError):
                refused += 1
                continue
            total = total if io is None else total + io
        if sampled is not None:
            total = total.largest(sampled)
        if refused:
            self._missing.append(
                f"The I/O of {refused} of the processes that were waited for was refused to this user, but for what "
                "samples saw of it."
            )
        lacks = "" if waited.adopts else ", and their orphans"
        bias = f"exact for all that was waited for; lacks children of parents that ignore SIGCHLD{lacks}"
        if refused or waited.lost_root:
            bias = "lower bound: as sampled, and of those that could be asked when they had ended"
        self._sources.append(Source("io", "/proc/PID/io", bias))
        return {"disk_io": None if (refused or waited.lost_root) and not any(total) else total}

    def _sampled_io(self, sampled: DiskIo | None) -> DiskIo | None:
        """As far as samples know, or else why not."""
        if sampled is not None:
            source = "/proc/PID/io" if sys.platform == "linux" else "counters of the processes"
            self._sources.append(Source("io", source, "lower bound: lacks what ended between two samples"))
            return sampled
        try:
            self._engine.disk_io(None)
        except NotSupported as error:
            self._missing.append(f"I/O is unknown: {error.what}.")
        except (ProckError, OSError):
            pass
        else:
            self._missing.append(TOO_SHORT)
        return None

    def _faults(self) -> dict[str, object]:
        waited = self._waited
        names = ("minor_faults", "major_faults", "voluntary_switches", "involuntary_switches")
        if waited is None or waited.lost_root:
            return dict.fromkeys(names)
        if waited.minor_faults is None or waited.major_faults is None:
            if waited.root is not None:
                self._missing.append(NO_FAULTS)
            return dict.fromkeys(names)
        rows = self._members
        lacks = (
            "" if not rows else "; lacks switches of survivors" if self._engine.clocks_usable else "; lacks survivors"
        )
        self._sources.append(Source("faults", "wait4", f"exact for all that was waited for{lacks}"))
        minor = sum((row.minor_faults or 0) + (row.children_minor_faults or 0) for row in rows)
        major = sum((row.major_faults or 0) + (row.children_major_faults or 0) for row in rows)
        return {
            "minor_faults": waited.minor_faults + minor,
            "major_faults": waited.major_faults + major,
            "voluntary_switches": waited.voluntary_switches if waited.root is not None else None,
            "involuntary_switches": waited.involuntary_switches if waited.root is not None else None,
        }

    def _processes(self) -> dict[str, object]:
        running, peaks = self._running, self._running.peaks
        records = running.sources.records
        records = records if records is not None and records.started else None
        seen = {} if peaks is None else peaks.commands()
        rows = peaks.processes() if peaks is not None and running.options.processes else []
        if records is not None:
            bias = "lower bound: some records were lost" if records.lost else "exact"
            self._sources.append(Source("processes", "perf records", bias))
        elif peaks is not None:
            self._sources.append(Source("processes", "samples", "lower bound: as sampled"))
        return {
            "processes_started": None if records is None else records.started,
            "peak_process_count": records.peak_process_count
            if records
            else peaks.peak_process_count
            if peaks
            else None,
            "threads_started": None if records is None else records.threads_started,
            "peak_thread_count": records.peak_thread_count if records else peaks.peak_thread_count if peaks else None,
            "commands": usage_by_command(self._counted(records), seen),
            "processes": tuple(with_records(rows, records.ended(), running.began_ns) if records else rows)[:MOST_ROWS],
            "samples": 0 if peaks is None else peaks.samples,
            "sampling_interval_ns": 0 if peaks is None else peaks.longest_ns,
        }

    def _counted(self, records: TaskRecords | None) -> dict[str, tuple[int, int | None]]:
        """By command, all that ended, as the records have it; and of who lives what it has used so far."""
        if records is None:
            return {}
        counted = records.commands()
        for row in self._living:
            processes, cpu_ns = counted.get(row.comm, (0, 0))
            own_ns = row.user_ns + row.system_ns
            counted[row.comm] = processes + 1, None if cpu_ns is None else cpu_ns + own_ns
        return counted

    def _survivors(self) -> tuple[Survivor, ...]:
        survivors = []
        for row in self._living:
            base_ns = self._running.used_before_ns if row.pid == self._running.pid else 0
            memory = self._memory_of(row)
            survivors.append(Survivor(row.pid, row.comm, max(0, row.user_ns + row.system_ns - base_ns), memory))
        return tuple(sorted(survivors, key=lambda one: (-one.cpu_ns, one.pid)))

    def _memory_of(self, row: ProcessInfo) -> int | None:
        try:
            memory = self._engine.memory(row.pid)
        except (ProckError, OSError):
            return None
        return None if memory is None else memory[0]


def _less(used: CpuTime, before_ns: int) -> CpuTime:
    """Without what was used before the command was executed, which was mostly in the kernel."""
    system_ns = max(0, used.system_ns - before_ns)
    return CpuTime(max(0, used.user_ns - max(0, before_ns - used.system_ns)), system_ns)
