"""`finish`: the `RunResult` of a session that is over, or that is to be ended now."""

from __future__ import annotations

import os
import sys
import time

from prock._compat.namedtuple import NamedTuple
from prock.accounting.estimate_cpu import estimate_cpu
from prock.accounting.protocol import CGROUP, PERF
from prock.accounting.usage_tables import attributed_ns, by_command, by_process, heaviest, within
from prock.errors import AccessDenied, NotSupported, ProckError
from prock.results import Source, Survivor
from prock.runner.result import RunResult

TYPE_CHECKING = False
if TYPE_CHECKING:
    from prock.accounting.estimate_cpu import CpuEstimate
    from prock.accounting.perf_records import TaskRecords
    from prock.model import DiskIo, ProcessInfo
    from prock.results import CommandUsage, ProcessUsage
    from prock.runner.session import RunSession
    from prock.sampling.recorder import Recorder

MOST_NAMED = 5
MOST_ROWS = 100_000
"""Rows of a result's `processes` at most."""
LOST_ROOT = (
    "The exit code and the usage of the command are unknown: SIGCHLD is ignored in this process, or other code in it "
    "waits for all children."
)
NO_SPLIT = "User and system time are unknown: this system does not report them for processes that ended."
NO_FAULTS = "Page faults and context switches are unknown: this system does not report them for processes that ended."
TOO_SHORT = "I/O is unknown: the command ended before the first sample."
IO_DENIED = "I/O is unknown: no sample could read it: run prock as the user of the processes or as root."


def finish(session: RunSession, *, timed_out: bool = False, whole_tree: bool = False) -> RunResult:
    """Read all sources a last time, and close the session.

    `whole_tree`: the wall time is the tree's, until now, not the root's.
    """
    began_ns = time.thread_time_ns()
    try:
        session.end(whole_tree=whole_tree)
        result = ResultBuilder(session).result(timed_out=timed_out)
        if session.options.recorder is not None:
            result = _recorded(result, session, session.options.recorder)
    finally:
        session.close()
    of_readers_ns = 0 if session.stats is None else session.stats.cmdlines.cost_ns
    return result._replace(cost_ns=session.cost_ns + of_readers_ns + time.thread_time_ns() - began_ns)


def _recorded(result: RunResult, session: RunSession, recorder: Recorder) -> RunResult:
    """The result, which is in the recording, with the reason where that lacks something."""
    session.record_ended(recorder)
    recorder.add_result(session.tree_key, result.as_document())
    return result if recorder.failure is None else result._replace(missing=(*result.missing, recorder.failure))


class PeakMemory(NamedTuple):
    """Fields of the result, as `Faults`."""

    peak_footprint_bytes: int | None
    peak_footprint_low_bytes: int | None
    peak_footprint_high_bytes: int | None
    peak_rss_bytes: int | None
    peak_pss_bytes: int | None
    largest_process_bytes: int | None
    cgroup_peak_bytes: int | None


class Faults(NamedTuple):
    minor_faults: int | None = None
    major_faults: int | None = None
    voluntary_switches: int | None = None
    involuntary_switches: int | None = None


class ResultBuilder:
    """Reads what a session and its sources know, without closing them."""

    def __init__(self, session: RunSession) -> None:
        self._session = session
        self._engine = session.engine
        self._waiter = session.waiter
        self._members = session.rows()
        self._living = [row for row in self._members if row.is_alive]
        if self._living or session.forest is not None:
            session.sample(is_last=True)
        root = None if self._waiter is None else self._waiter.root
        self._root_peak = None if root is None or self._engine.launcher is None else root.peak_rss_bytes
        if session.stats is not None and self._root_peak is not None:
            session.stats.set_root_peak(self._root_peak)
        records = session.sources.records
        self._records: TaskRecords | None = records if records is not None and records.started else None
        self._sources: list[Source] = []
        self._missing: list[str] = []

    def result(self, *, timed_out: bool) -> RunResult:
        session, waiter, stats = self._session, self._waiter, self._session.stats
        lost_root = waiter is not None and waiter.lost_root
        if lost_root:
            self._missing.append(LOST_ROOT)
        self._name_unproved()
        self._name_possible_orphans()
        cpu = self._cpu()
        root_cpu_ns = self._root_cpu_ns()
        memory = self._memory()
        oom_kills = self._oom_kills()
        io = self._io()
        faults = self._faults()
        is_complete = self._records is not None and self._records.is_complete
        counts = [one for one in (self._records, None if is_complete else stats) if one is not None]
        stopped = self._records is not None and self._records.stopped > 0
        self._count_source(stopped=stopped)
        commands, rows = self._usage(cpu.total_ns, stopped=stopped)
        attributed = attributed_ns(commands)
        return RunResult(
            args=session.args if session.options.arguments else session.args[:1],
            pid=session.pid,
            returncode=None if waiter is None or waiter.root is None or lost_root else waiter.root.returncode,
            timed_out=timed_out,
            labels=session.options.labels,
            start_time=session.start_time,
            end_time=time.time() - (time.monotonic_ns() - session.ended_ns) / 1e9,
            wall_ns=max(0, session.ended_ns - session.began_ns),
            cpu_ns=cpu.total_ns,
            cpu_upper_ns=cpu.upper_ns,
            user_ns=cpu.user_ns,
            system_ns=cpu.system_ns,
            root_cpu_ns=root_cpu_ns,
            accounting=cpu.accounting,
            cpu_by_source=cpu.by_source,
            disk_io=io,
            processes_started=self._started(),
            peak_process_count=max((one.peak_process_count for one in counts), default=None),
            threads_started=None if self._records is None else self._records.threads_started,
            peak_thread_count=max((one.peak_thread_count for one in counts), default=None),
            commands=commands,
            unattributed_cpu_ns=None if cpu.total_ns is None else max(0, cpu.total_ns - attributed),
            processes=tuple(rows[:MOST_ROWS]) if session.options.processes else (),
            slowest=heaviest(rows, [row.cpu_ns for row in rows]),
            largest=heaviest(rows, [row.peak_rss_bytes for row in rows]),
            survivors=self._survivors(),
            samples=0 if stats is None else stats.samples,
            sampling_interval_ns=0 if stats is None else stats.longest_ns,
            cost_ns=session.cost_ns,
            sources=tuple(self._sources),
            missing=tuple(self._missing),
            limit_exceeded=session.limit_exceeded,
            oom_kills=oom_kills,
            signals_received=tuple(session.received),
            **memory._asdict(),
            **faults._asdict(),
        )

    def _name_unproved(self) -> None:
        waiter = self._waiter
        if waiter is not None and waiter.unproved_count:
            count = waiter.unproved_count
            names = ", ".join(f"{pid} ({comm})" for (pid, _), comm in waiter.unproved.items())
            more = "" if count <= len(waiter.unproved) else f" and {count - len(waiter.unproved)} more"
            self._missing.append(
                f"Orphans that may belong to other trees were neither counted nor signalled: {names}{more}; prock is "
                "PID 1, or has other children."
            )

    def _name_possible_orphans(self) -> None:
        """Where a tree was to be ended, and no source knows the orphans that no sample saw."""
        session = self._session
        if self._waiter is None or self._waiter.reaps_orphans or not session.members.scans:
            return
        if session.sources.cgroup is not None or session.sources.records is not None:
            return
        found = session.members.possible_orphans(os.getpid(), session.created_ticks)
        if found is None:
            self._missing.append(
                "Whether orphans of the command are left is unknown: processes ended during each scan of the machine."
            )
        if found:
            names = ", ".join(f"{row.pid} ({row.comm})" for row in found[:MOST_NAMED])
            more = "" if len(found) <= MOST_NAMED else f" and {len(found) - MOST_NAMED} more"
            self._missing.append(
                f"Processes that may be orphans of the command were neither counted nor ended: {names}{more}; nothing "
                "records which processes it started (see prock doctor)."
            )

    def _cpu(self) -> CpuEstimate:
        sources = self._session.sources
        cpu = estimate_cpu(sources.wanted, sources.readings(self._members), self._upper_ns())
        self._sources += cpu.sources
        if cpu.upper_ns is not None and sources.enclosing is not None:
            name, bias = sources.enclosing.source
            self._sources.append(Source("cpu_upper", name, bias))
        self._missing += cpu.missing
        if self._waiter is not None and not self._waiter.includes_children:
            self._missing.append(NO_SPLIT)
        has_perf = PERF in dict(cpu.by_source)  # perf events count all that a cgroup counts
        refused = [why for source, why in sources.refused.items() if source != CGROUP or not has_perf]
        self._missing += [f"Not used: {why}." for why in refused]
        return cpu

    def _upper_ns(self) -> int | None:
        """Read after all other sources."""
        enclosing = self._session.sources.enclosing
        upper_ns = None if enclosing is None else enclosing.growth_ns()
        if upper_ns is None or not self._living or sys.platform != "linux":
            return upper_ns
        from prock.engine.linux.procfs import TICK_NS

        return upper_ns + (os.cpu_count() or 1) * TICK_NS  # what runs now lags by at most a tick

    def _root_cpu_ns(self) -> int | None:
        session, waiter = self._session, self._waiter
        if waiter is not None and waiter.root is not None and waiter.root.own_ns is not None:
            source = "CPU clock" if waiter.includes_children else "process handle"
            self._sources.append(Source("root_cpu", source, "exact: read when it had ended"))
            return waiter.root.own_ns
        row = next((row for row in self._members if row.pid == session.pid), None)
        if row is not None:
            clock = "CPU clock" if self._engine.clocks_usable else "times of the process"
            self._sources.append(Source("root_cpu", clock, "exact, except for its last scheduler tick"))
            return max(0, row.user_ns + row.system_ns - session.used_before_ns)
        own_ns = None if session.stats is None else session.stats.root_cpu_ns
        if own_ns is not None:
            self._sources.append(Source("root_cpu", "samples", "lower bound: as last sampled"))
        return own_ns

    def _memory(self) -> PeakMemory:
        session, stats, waiter = self._session, self._session.stats, self._waiter
        footprint = low = high = rss = pss = None
        source = None
        if stats is not None and stats.samples:
            peak = stats.footprint
            footprint, rss, pss = peak.peak_bytes, peak.peak_rss_bytes, peak.peak_pss_bytes
            low, high = peak.low_bytes, peak.high_bytes
            if footprint is not None:
                source = Source("memory", f"samples, {peak.source}", peak.bias)
        sampled = 0 if stats is None else stats.largest_bytes
        reaped = waiter.largest_bytes if waiter is not None and waiter.root is not None else 0
        # Without the launcher, ru_maxrss includes the process that started the command.
        part = max(sampled, reaped if self._engine.launcher is not None else 0)
        if part > (footprint or 0):
            footprint, pss = part, None
            high = max(part, high or 0)
            bias = "lower bound: the largest process alone; samples missed the peak"
            if part <= (rss or 0):
                bias = "estimate: the largest process alone, with pages that other programs share"
            source = Source("memory", "VmHWM" if part == sampled else "ru_maxrss", bias)
        if source is not None:
            self._sources.append(source)
        largest = max(reaped, sampled)
        if reaped:
            self._sources.append(self._source_of_largest())
        elif sampled:
            self._sources.append(Source("largest_process", "VmHWM", "lower bound: as sampled"))
        if sampled:
            self._sources.append(self._source_of_processes())
        cgroup = session.sources.cgroup
        group_peak = None if cgroup is None else cgroup.peak_memory()
        if cgroup is not None and group_peak is not None:
            how = "lower bound: since the command joined it" if cgroup.joined_late else "exact"
            bias = f"{how}; page cache and kernel memory included"
            self._sources.append(Source("cgroup_peak", "memory.peak", bias))
        return PeakMemory(footprint, low, high, rss, pss, largest or None, group_peak)

    def _oom_kills(self) -> int | None:
        oom = self._session.oom_kills
        killed = None if oom is None else oom.count()
        if oom is not None and killed is not None:
            bias = f"estimate: in {oom.group}, where other processes than this tree may be"
            self._sources.append(
                Source("oom_kills", "cgroup", "exact: in the command's cgroup" if oom.is_own else bias)
            )
        return killed

    def _source_of_processes(self) -> Source:
        if self._root_peak is None:
            return Source("process_memory", "VmHWM", "lower bound: as last sampled")
        bias = "lower bound: as last sampled; exact for the command's own process"
        return Source("process_memory", "VmHWM, ru_maxrss", bias)

    def _source_of_largest(self) -> Source:
        if self._waiter is not None and not self._waiter.includes_children:
            bias = "lower bound: exact for the command's own process, the others as sampled"
            return Source("largest_process", "process handle, samples", bias)
        if self._engine.launcher is not None:
            return Source("largest_process", "ru_maxrss", "exact for all that was reaped")
        return Source("largest_process", "ru_maxrss", "upper bound: never less than the process that started it")

    def _io(self) -> DiskIo | None:
        session, waiter = self._session, self._waiter
        sampled = None if session.tree is None else session.tree.disk_io
        if waiter is None or waiter.disk_io is None:
            return self._sampled_io(sampled)
        total, denied = waiter.disk_io, waiter.denied_io
        for row in self._members:
            try:
                io = self._engine.disk_io(row.pid)
            except (ProckError, OSError):
                denied += 1
                continue
            total = total if io is None else total + io
        if sampled is not None:
            total = total.largest(sampled)
        if denied:
            self._missing.append(
                f"The I/O of {denied} of the reaped processes could not be read (access denied), except for what "
                "samples saw."
            )
        lacks = "" if waiter.reaps_orphans else ", and orphans"
        bias = f"exact for all that was reaped; lacks children of parents that ignore SIGCHLD{lacks}"
        if denied or waiter.lost_root:
            bias = "lower bound: as sampled, and of the processes that could be read when they had ended"
        self._sources.append(Source("io", "/proc/PID/io", bias))
        return None if (denied or waiter.lost_root) and not any(total) else total

    def _sampled_io(self, sampled: DiskIo | None) -> DiskIo | None:
        if sampled is not None:
            source = "/proc/PID/io" if sys.platform == "linux" else "counters of the processes"
            self._sources.append(Source("io", source, "lower bound: lacks what ended between two samples"))
            return sampled
        try:
            for pid in (None, self._session.pid):
                self._engine.disk_io(pid)
        except NotSupported as error:
            self._missing.append(f"I/O is unknown: {error.what}.")
        except AccessDenied as error:
            self._missing.append(f"I/O is unknown: {error}.")
        except (ProckError, OSError):
            pass
        else:
            stats = self._session.stats
            self._missing.append(TOO_SHORT if stats is None or not stats.samples else IO_DENIED)
        return None

    def _faults(self) -> Faults:
        waiter, rows = self._waiter, self._members
        if waiter is None or waiter.lost_root:
            return Faults()
        if waiter.minor_faults is None or waiter.major_faults is None:
            if waiter.root is not None:
                self._missing.append(NO_FAULTS)
            return Faults()
        lacks = (
            "" if not rows else "; lacks switches of survivors" if self._engine.clocks_usable else "; lacks survivors"
        )
        self._sources.append(Source("faults", "wait4", f"exact for all that was reaped{lacks}"))
        return Faults(
            waiter.minor_faults + sum((row.minor_faults or 0) + (row.children_minor_faults or 0) for row in rows),
            waiter.major_faults + sum((row.major_faults or 0) + (row.children_major_faults or 0) for row in rows),
            waiter.voluntary_switches if waiter.root is not None else None,
            waiter.involuntary_switches if waiter.root is not None else None,
        )

    def _started(self) -> int | None:
        """Samples may have seen processes of which there is no record, as it was lost or their events had ended."""
        stats = self._session.stats
        if self._records is None or self._records.is_complete or stats is None:
            return None if self._records is None else self._records.started
        return max(self._records.started, sum(processes for processes, _, _ in stats.commands().values()))

    def _count_source(self, *, stopped: bool) -> None:
        if self._records is not None:
            bias = "lower bound: some records were lost" if self._records.lost else "exact"
            if self._records.lacks_cpus:
                bias = "lower bound: lacks what started on CPUs that came online during the run"
            if stopped:
                bias = "lower bound: lacks what programs with other privileges, and unreadable ones, started"
            self._sources.append(Source("processes", "perf records", bias))
        elif self._session.stats is not None:
            self._sources.append(Source("processes", "samples", "lower bound: as sampled"))

    def _counted(self) -> dict[str, tuple[int, int | None]]:
        """By command: processes and CPU time by the perf records, and what living processes used up to now."""
        if self._records is None:
            return {}
        counted = self._records.commands()
        for row in self._living:
            processes, cpu_ns = counted.get(row.comm, (0, 0))
            own_ns = row.user_ns + row.system_ns
            counted[row.comm] = processes + 1, None if cpu_ns is None else cpu_ns + own_ns
        return counted

    def _usage(self, total_ns: int | None, *, stopped: bool) -> tuple[tuple[CommandUsage, ...], list[ProcessUsage]]:
        """Rows by command and by process, and their source."""
        stats, records = self._session.stats, self._records
        sampled = {} if stats is None else stats.commands()
        rows = [] if stats is None else stats.processes()
        if records is None or stopped:
            if sampled:
                bias = "lower bound: as sampled"
                if stopped:
                    bias += "; unknown where samples lack more than a little"
                self._sources.append(Source("commands", "samples", bias))
            commands = by_command(None, sampled, total_ns, stopped=stopped)
        else:
            bias = "estimate: by context switches; lacks the start and the end of each process"
            if not records.has_switches:
                bias = "estimate: as sampled where that has nearly all, otherwise unknown: too many context switches"
            self._sources.append(Source("commands", "perf records", bias))
            commands = by_command(self._counted(), sampled, total_ns)
        if records is not None:
            rows = by_process(rows, records.ended(), self._session.began_ns, records.living())
        place = next((place for place, row in enumerate(rows) if row.pid == self._session.pid), None)
        if place is not None and self._root_peak is not None:
            rows[place] = rows[place]._replace(peak_rss_bytes=self._root_peak)
        return commands, within(rows, total_ns)

    def _survivors(self) -> tuple[Survivor, ...]:
        if not self._living:
            return ()
        from prock.sampling.command_lines import CommandLines

        survivors = []
        cmdlines = CommandLines(self._engine, arguments=self._session.options.arguments)
        cmdlines.read((row.identity, row.comm) for row in self._living)
        for row in self._living:
            base_ns = self._session.used_before_ns if row.pid == self._session.pid else 0
            rss = self._rss_of(row)
            own_ns = max(0, row.user_ns + row.system_ns - base_ns)
            survivors.append(Survivor(row.pid, row.comm, own_ns, rss, cmdlines.get(row.identity, row.comm)))
        return tuple(sorted(survivors, key=lambda one: (-one.cpu_ns, one.pid)))

    def _rss_of(self, row: ProcessInfo) -> int | None:
        try:
            memory = self._engine.memory(row.pid)
        except (ProckError, OSError):
            return None
        return None if memory is None else memory[0]
