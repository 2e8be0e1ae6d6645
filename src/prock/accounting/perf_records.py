"""`TaskRecords`: every fork, exec and exit of a launched tree, from the ring buffers of its perf events.

Before the command executes, the launcher opens an event on its process for each CPU, inherited by all that it starts,
and passes the descriptors on. Measured on Linux 6.18:

- No fork, exit or exec is missing: storms on all CPUs, orphans, children that are never reaped, vfork, threads, an exec
  by any thread. Records are there before a parent's wait returns.
- Root and ordinary users get the same, up to kernel.perf_event_paranoid 2. Where a process executes a program with
  other privileges or one that it may not read, the kernel ends its events: it writes an exit record before the program
  is mapped, which `stopped` counts, and what the process does afterwards is missing.
- The command cannot disable the events, as it has not opened them.
- An event per CPU costs a fork about 2 µs: with two CPUs, a storm of processes of 2 ms uses 0.4 % more CPU than without
  prock, as with one event for all CPUs. Processing a record costs 3 to 4 µs a process.
- inherit_stat cannot give the CPU time of each process (see ``native/perf/exec_events.c``), but records of context
  switches can. They cost 0.3 µs a switch: not measurable in a storm of processes of 2 ms, 6 % more than
  the other events where processes only wake each other. With too many they are stopped.
"""

from __future__ import annotations

import os
import time

from prock._compat import fork
from prock.accounting.perf_clock import is_event
from prock.engine.linux.mountinfo import lines
from prock.engine.protocol import RECORD_EXEC, RECORD_EXIT, RECORD_FORK, RECORD_RENAME
from prock.errors import AccessDenied, NotSupported

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TypeAlias

    from prock.engine.protocol import Engine, Records
    from prock.engine.tuples import TaskEvent

    Ended: TypeAlias = tuple[int, int, str, int | None, int, int]
    """pid, ppid, comm, CPU in ns (None: unknown), start and end on the monotonic clock."""

SIZES = (128 << 10, 32 << 10, 4 << 10)
"""Bytes of a ring buffer; the first one that the kernel grants. An ordinary user has 516 KiB per CPU for all running
prock (kernel.perf_event_mlock_kb); the largest holds 1300 processes without an exec, or 5000 context switches."""
HEAVIEST_ENDED, MOST_ENDED = 100, 100_000
"""Ended processes that are kept at least: those with the most CPU time."""
CLOCKS_DIFFER_NS = 1_000_000
"""Between two readings that compare CLOCK_BOOTTIME and CLOCK_MONOTONIC."""
MOST_SWITCHES_PER_S = 10_000
"""With more, on all CPUs together, switch records are stopped: they cost the tree too much."""


class _Process:
    __slots__ = ("before", "comm", "cpu_ns", "names", "pid", "ppid", "start_ns", "threads")

    def __init__(self, pid: int, ppid: int, comm: str, start_ns: int) -> None:
        self.pid = pid
        self.ppid = ppid
        self.comm = comm
        self.start_ns = start_ns
        self.threads = 1
        self.cpu_ns = 0
        self.before: list[tuple[str, int]] | None = None
        """Names that it had before an exec, and its CPU time under each."""
        self.names: dict[int, str] | None = None
        """Names of threads that differ from the process's: their children inherit them."""


class _Used:
    """CPU time and number of processes under one name."""

    __slots__ = ("cpu_ns", "is_known", "processes")

    def __init__(self) -> None:
        self.processes = self.cpu_ns = 0
        self.is_known = True


class TaskRecords:
    """Counts the processes of a tree that is about to be launched: started, at most at once, and their CPU time.

    `descriptors`: one task event for each CPU, opened by the launcher. `switches`: events of context switches for the
    same CPUs in the same order, or none: then per-process CPU time is unknown. Both belong to this object from then on.

    Counts are exact if `is_complete`, otherwise lower bounds; the command's own process is included. An
    exec changes no count. Cost: some microseconds a process, one read a CPU for the total. Not for two threads at once.

    Raises `AccessDenied` where the user may lock no more memory for buffers, `NotSupported` where the kernel has none,
    and `OutOfDescriptors`. The descriptors remain the caller's then.
    """

    def __init__(
        self, descriptors: list[int], engine: Engine, *, switches: list[int] | None = None, keep_processes: bool = False
    ) -> None:
        self._descriptors: list[int] = []  # so that close() works whatever fails below
        self._records: Records | None = None
        self.has_switches = bool(switches)
        """Whether context switches are recorded; otherwise per-process CPU is unknown from now on."""
        self.started = self.threads_started = 0
        """Processes, and threads besides the first of each."""
        self.stopped = 0
        """Processes with events that the kernel has ended: what they did afterwards is missing."""
        self.lacks_cpus = False
        """Whether a CPU without an event came online: what started and ended there is missing."""
        self.peak_process_count = self.peak_thread_count = 0
        """Most at once; each process has at least one thread."""
        self._lost = self._switches = self._most_ns = 0
        self._since_ns = time.monotonic_ns()
        self._living: dict[int, _Process] = {}
        self._threads = 0
        self._commands: dict[str, _Used] = {}
        self._ended: list[Ended] = []
        self.ended_listener: Callable[[Ended], object] | None = None
        """Called for each process that has ended, while records are processed."""
        self._most = MOST_ENDED if keep_processes else HEAVIEST_ENDED
        self._starts: dict[int, int] | None = None
        """Pids of ended processes, and when they started; None: not kept."""
        self._offset_ns = _monotonic_offset_ns(engine.root)
        self._records = _map(engine, descriptors, switches or [])
        self._descriptors = descriptors + (switches or [])
        fork.register(self)

    def after_fork(self) -> None:
        """Close the copies in the child, where the events would keep counting after the parent has closed its own."""
        self.close()

    def drain(self) -> None:
        """Process the records up to now. Every 100 ms is enough for 10 000 processes a second and CPU.

        Cost: some microseconds without records, otherwise 2 µs a record.
        """
        until_ns = time.monotonic_ns() - self._offset_ns
        events, lost, switches, switches_lost = self._open_records().drain(until_ns)
        self._lost = max(self._lost, lost)
        if self.has_switches:
            too_many = switches - self._switches > MOST_SWITCHES_PER_S * max(1.0, (until_ns - self._since_ns) / 1e9)
            if switches_lost or too_many:
                self.has_switches = False
                self._open_records().stop_switches()
            if until_ns - self._since_ns > 1e9:
                self._switches, self._since_ns = switches, until_ns
        for event in events:
            kind = event[0]
            if kind == RECORD_FORK:
                self._fork(event)
            elif kind == RECORD_EXIT:
                self._exit(event)
            elif kind == RECORD_EXEC:
                self._exec(event)
            elif kind == RECORD_RENAME:
                self._rename(event)
            else:
                self.stopped += 1
                self._exit(event, is_stop=True)

    def total_ns(self) -> int:
        """CPU time of the tree since the exec, ended processes included. Never decreases.

        Source and bias as in `prock.accounting.perf_clock`. Raises `ValueError` after `close`.
        """
        total_ns, lost = self._open_records().totals()
        self._lost = max(self._lost, lost)
        self._most_ns = max(self._most_ns, total_ns)
        return self._most_ns

    @property
    def lost(self) -> int:
        """Records that did not fit into the buffers or could not be parsed. If not 0, counts are lower bounds.

        Before Linux 6.0 the kernel reports lost records only when the buffer has space again. Cost: one read a CPU.
        """
        if self._records is not None:
            self._lost = max(self._lost, self._open_records().totals()[1])
        return self._lost

    @property
    def is_complete(self) -> bool:
        """Whether counts are exact, not lower bounds."""
        return not self.stopped and not self.lost and not self.lacks_cpus

    def commands(self) -> dict[str, tuple[int, int | None]]:
        """By name: processes that have ended, and the CPU nanoseconds that they used under that name.

        A process counts under its last name, as ps shows it; CPU time from before an exec counts under the name of that
        time. After a rename without exec (prctl), all since the last exec counts under the new name. None: unknown for
        one of them.
        """
        return {comm: (used.processes, used.cpu_ns if used.is_known else None) for comm, used in self._commands.items()}

    def ended(self) -> list[Ended]:
        """Processes that have ended, with their last name and all of their CPU time: those with the most, and with
        `keep_processes` up to `MOST_ENDED`, of 300 bytes each."""
        return list(self._ended)

    def living(self) -> list[int]:
        """Pids of the processes that have not ended, by the records."""
        return list(self._living)

    def keep_starts(self) -> None:
        """Let `has_started` know ended processes as well: 100 bytes for each pid that is used."""
        if self._starts is None:
            self._starts = {}

    def has_started(self, pid: int, start_ns: int, within_ns: int) -> bool:
        """Whether the record of that process's fork was written within this time after `start_ns`, by the monotonic
        clock, as of `drain`."""
        process = self._living.get(pid)
        known_ns = process.start_ns if process is not None else (self._starts or {}).get(pid)
        return known_ns is not None and -CLOCKS_DIFFER_NS <= known_ns - start_ns <= within_ns

    def close(self) -> None:
        """Stop counting; the counts remain. Idempotent."""
        records, self._records = self._records, None
        if records is not None:
            records.close()
        descriptors, self._descriptors = self._descriptors, []
        for descriptor in descriptors:
            if is_event(descriptor):
                os.close(descriptor)

    def __del__(self) -> None:
        self.close()

    def _open_records(self) -> Records:
        if self._records is None:
            raise ValueError("these records are closed, or belong to the process that this one was forked from")
        return self._records

    def _begin(self, pid: int, ppid: int, comm: str, start_ns: int) -> _Process:
        known = self._living.get(pid)
        if known is not None:  # its exit was lost
            self._end(known, start_ns)
        process = self._living[pid] = _Process(pid, ppid, comm, start_ns)
        self._threads += 1
        if self._lost:  # then processes and threads that have ended may seem to live
            return process
        if len(self._living) > self.peak_process_count:  # a call of max() would take longer than all else here
            self.peak_process_count = len(self._living)
        if self._threads > self.peak_thread_count:
            self.peak_thread_count = self._threads
        return process

    def _end(self, process: _Process, end_ns: int, *, is_stop: bool = False) -> None:
        """`is_stop`: only its events have ended, so its end and its CPU time are unknown."""
        del self._living[process.pid]
        if self._starts is not None:
            self._starts[process.pid] = process.start_ns
        self._threads -= process.threads
        if is_stop:
            return
        used = self._commands.get(process.comm)
        if used is None:
            used = self._commands[process.comm] = _Used()
        used.processes += 1
        used.cpu_ns += process.cpu_ns
        if not self.has_switches:
            used.is_known = False
        if process.before is not None:
            for comm, cpu_ns in process.before:
                used = self._commands.setdefault(comm, _Used())
                used.cpu_ns += cpu_ns
                used.is_known = used.is_known and self.has_switches
        before_ns = sum(cpu_ns for _, cpu_ns in process.before or ())
        cpu = process.cpu_ns + before_ns if self.has_switches else None
        ended = (process.pid, process.ppid, process.comm, cpu, process.start_ns, end_ns)
        self._ended.append(ended)
        if self.ended_listener is not None:
            self.ended_listener(ended)
        if len(self._ended) > 2 * self._most:
            self._ended.sort(key=lambda ended: -(ended[3] or 0))
            del self._ended[self._most :]

    def _fork(self, event: TaskEvent) -> None:
        _, time_ns, pid, tid, ppid, ptid, _, _ = event
        time_ns += self._offset_ns
        parent = self._living.get(ppid)
        name = None if parent is None or parent.names is None else parent.names.get(ptid)
        if pid != ppid:
            self.started += 1
            self._begin(pid, ppid, name or ("" if parent is None else parent.comm), time_ns)
            return
        if parent is None:  # its own fork was lost
            parent = self._begin(pid, 0, "", time_ns)
        if name is not None and parent.names is not None:
            parent.names[tid] = name
        parent.threads += 1
        self.threads_started += 1
        self._threads += 1
        if not self._lost:
            self.peak_thread_count = max(self.peak_thread_count, self._threads)

    def _exit(self, event: TaskEvent, *, is_stop: bool = False) -> None:
        _, time_ns, pid, tid, _, _, _, cpu_ns = event
        process = self._living.get(pid)
        if process is None:  # its fork was lost
            return
        process.cpu_ns += cpu_ns
        if process.threads == 1:
            self._end(process, time_ns + self._offset_ns, is_stop=is_stop)
            return
        process.threads -= 1
        self._threads -= 1
        if process.names is not None:
            process.names.pop(tid, None)

    def _exec(self, event: TaskEvent) -> None:
        _, time_ns, pid, _, _, _, name, cpu_ns = event
        process = self._living.get(pid)
        if process is None:  # the command itself, or its fork was lost
            self.started = self.started or 1
            self._begin(pid, 0, name or "", time_ns + self._offset_ns)
            return
        # The other threads have exited before. If the remaining thread was not the first, it takes over that one's
        # tid, and the exit record of that.
        self._threads -= process.threads - 1
        process.threads = 1
        process.names = None
        if process.cpu_ns + cpu_ns:
            process.before = [*(process.before or ()), (process.comm, process.cpu_ns + cpu_ns)]
        process.cpu_ns = 0
        process.comm = name or ""

    def _rename(self, event: TaskEvent) -> None:
        _, _, pid, tid, _, _, name, _ = event
        process = self._living.get(pid)
        if process is None:
            return
        if tid == pid:
            process.comm = name or ""
            return
        process.names = process.names or {}
        process.names[tid] = name or ""


def _monotonic_offset_ns(proc: str) -> int:
    """Of this process's time namespace: records have the time of the initial one."""
    for line in lines(f"{proc}/self/timens_offsets"):
        name, _, numbers = line.partition(" ")
        if name == "monotonic":
            seconds, nanoseconds = map(int, numbers.split())
            return seconds * 1_000_000_000 + nanoseconds
    return 0


def _map(engine: Engine, descriptors: list[int], switches: list[int]) -> Records:
    core = engine.core
    if core is None or not descriptors:
        raise NotSupported("records without the compiled core, or without an event for each CPU")
    for size in SIZES:
        try:
            return core.map_records(descriptors, switches, size)
        except AccessDenied:
            if size == SIZES[-1]:
                raise
    raise AssertionError("there is a smallest size")
