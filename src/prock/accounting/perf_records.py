"""What a launched tree did, by the kernel's own records: each fork, exec and exit, however short the life.

Before the command executes, its process opens an event on itself for each CPU (`Engine.open_on_exec`), which all that
it starts inherits, and hands over the descriptors. Measured on Linux 6.18:

- Forks, exits and execs are complete: storms on all CPUs, orphans, children that nobody waits for, vfork, threads, an
  exec by any thread. Records are there before a parent's wait returns.
- Root and ordinary users have them alike, up to kernel.perf_event_paranoid 2. Where an ordinary user's tree executes a
  setuid or unreadable program, the events of that process end there: it exits, by the records, and what it does
  afterwards is missing.
- An event a CPU costs a fork some 2 µs: with two CPUs, a storm of processes of 2 ms uses 0.4 % more CPU than bare, as
  with one event for any CPU. To take in a process costs 3 to 4 µs, 30 without the native engine.
- What each process used can't be had from inherit_stat (see ``native/perf/exec_events.c``), but from who ran when
  (`Engine.open_switches_on_exec`). That costs a switch 0.3 µs: nothing that shows in a storm of processes of 2 ms, 6 %
  more than the other events where processes do nothing but wake each other. It ends where there are too many.
"""

from __future__ import annotations

import os
import time

from prock._compat import fork
from prock.accounting.perf_clock import is_event
from prock.engine.protocol import RECORD_EXEC, RECORD_EXIT, RECORD_FORK
from prock.errors import AccessDenied, NotSupported

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import TypeAlias

    from prock.engine.protocol import Engine, Records
    from prock.engine.tuples import TaskEvent

    Ended: TypeAlias = tuple[int, int, str, int | None, int, int]
    """pid, ppid, comm, CPU in ns (None: unknown), and from when to when it lived, on the monotonic clock."""

SIZES = (128 << 10, 32 << 10, 4 << 10)
"""Of a buffer, in bytes, whichever can be had. An ordinary user has 516 KiB a CPU (kernel.perf_event_mlock_kb) for all
that he has running; the largest holds 1300 lives of processes without an exec, or 5000 switches."""
MOST_SWITCHES_PER_S = 10_000
"""More of them, on all CPUs together, cost the tree more than their answer is worth: there it is given up."""


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
        """What it used under other names, before it executed something."""
        self.names: dict[int, str] | None = None
        """Of threads that have others than the first: their children get them."""


class _Used:
    """Under one name."""

    __slots__ = ("cpu_ns", "is_known", "processes")

    def __init__(self) -> None:
        self.processes = self.cpu_ns = 0
        self.is_known = True


class TaskRecords:
    """The processes of a tree that is about to be launched: how many, how many at once, and what they used.

    `descriptors`: what `open_on_exec` gave for each CPU, in the process that is to execute the command; `switches`:
    what `open_switches_on_exec` gave for the same CPUs, in the same order, or nothing: then nothing tells what a
    single process used. They belong to this object from then on.

    The counts are exact where `lost` is 0, and lower bounds else; the command's own process is among them. An exec
    changes nothing in them. Cost: some microseconds a process, one read a CPU for the total. Not for two threads at
    once.

    Raises `AccessDenied` where this user may have no buffers (any more), `NotSupported` where the kernel has none, and
    `OutOfDescriptors`, without the native engine, where they do not suffice. The descriptors are still the caller's
    then.
    """

    def __init__(
        self, descriptors: list[int], engine: Engine, *, switches: list[int] | None = None, keep_processes: bool = False
    ) -> None:
        self._descriptors: list[int] = []  # so that close() works whatever fails below
        self._records: Records | None = None
        self.tells_cpu = bool(switches)
        """Whether it is still recorded who runs when; else what ends from now on used None knows what."""
        self.started = self.threads_started = 0
        """Processes, and threads beside each one's first."""
        self.peak_process_count = self.peak_thread_count = 0
        """The most that there were at once; each process has one thread at least."""
        self._lost = self._switches = self._most_ns = 0
        self._since_ns = time.monotonic_ns()
        self._living: dict[int, _Process] = {}
        self._threads = 0
        self._commands: dict[str, _Used] = {}
        self._ended: list[Ended] | None = [] if keep_processes else None
        self._records = _map(engine, descriptors, switches or [])
        self._descriptors = descriptors + (switches or [])
        fork.register(self)

    def after_fork(self) -> None:
        """Close the copies in the child, where the events would keep counting after the parent has closed its own."""
        self.close()

    def drain(self) -> None:
        """Take in what was recorded up to now. Every 100 ms is often enough for 10 000 processes a second and CPU.

        Cost: some microseconds where nothing happened, else 2 µs a record.
        """
        until_ns = time.monotonic_ns()
        events, lost, switches, switches_lost = self._open_records().drain(until_ns)
        self._lost = max(self._lost, lost)
        if self.tells_cpu:
            too_many = switches - self._switches > MOST_SWITCHES_PER_S * max(1.0, (until_ns - self._since_ns) / 1e9)
            if switches_lost or too_many:
                self.tells_cpu = False
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
            else:
                self._rename(event)

    def total_ns(self) -> int:
        """CPU of the tree since the exec, of all that lives and has ended. Never falls.

        Source and bias as in `prock.accounting.perf_clock`. Raises `ValueError` once it is closed.
        """
        total_ns, lost = self._open_records().totals()
        self._lost = max(self._lost, lost)
        self._most_ns = max(self._most_ns, total_ns)
        return self._most_ns

    @property
    def lost(self) -> int:
        """Records that found no room in the buffers, or made no sense: not 0, and the counts are lower bounds.

        Before Linux 6.0 the kernel tells only once there is room again. Cost: one read a CPU.
        """
        if self._records is not None:
            self._lost = max(self._lost, self._open_records().totals()[1])
        return self._lost

    def commands(self) -> dict[str, tuple[int, int | None]]:
        """By name: processes that have ended, and the CPU that they used under that name, in nanoseconds.

        A process counts under its last name, as ps would show it; its CPU from before an exec under the name that it
        had then. After a rename without exec (prctl), all since the last exec has the new name. None where it is
        unknown of any of them.
        """
        return {comm: (used.processes, used.cpu_ns if used.is_known else None) for comm, used in self._commands.items()}

    def ended(self) -> list[Ended]:
        """The processes that have ended, in that order, each with its last name and all of its CPU. Only where
        `keep_processes` was asked for; takes 300 bytes each."""
        return list(self._ended or ())

    def living(self) -> list[int]:
        """The pids of those that have not ended, by the records."""
        return list(self._living)

    def close(self) -> None:
        """End the counting; what was counted stays. Once more is no error."""
        records, self._records = self._records, None
        if records is not None:
            records.close()
        descriptors, self._descriptors = self._descriptors, []
        for descriptor in descriptors:
            if is_event(descriptor):
                os.close(descriptor)

    def __enter__(self) -> TaskRecords:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

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
        self.started += 1
        self._threads += 1
        if len(self._living) > self.peak_process_count:  # a call of max() would take longer than all else here
            self.peak_process_count = len(self._living)
        if self._threads > self.peak_thread_count:
            self.peak_thread_count = self._threads
        return process

    def _end(self, process: _Process, end_ns: int) -> None:
        del self._living[process.pid]
        self._threads -= process.threads
        used = self._commands.get(process.comm)
        if used is None:
            used = self._commands[process.comm] = _Used()
        used.processes += 1
        used.cpu_ns += process.cpu_ns
        if not self.tells_cpu:
            used.is_known = False
        if process.before is not None:
            for comm, cpu_ns in process.before:
                used = self._commands.setdefault(comm, _Used())
                used.cpu_ns += cpu_ns
                used.is_known = used.is_known and self.tells_cpu
        if self._ended is not None:
            before_ns = sum(cpu_ns for _, cpu_ns in process.before or ())
            cpu = process.cpu_ns + before_ns if self.tells_cpu else None
            self._ended.append((process.pid, process.ppid, process.comm, cpu, process.start_ns, end_ns))

    def _fork(self, event: TaskEvent) -> None:
        _, time_ns, pid, tid, ppid, ptid, _, _ = event
        parent = self._living.get(ppid)
        name = None if parent is None or parent.names is None else parent.names.get(ptid)
        if pid != ppid:
            self._begin(pid, ppid, name or ("" if parent is None else parent.comm), time_ns)
            return
        if parent is None:  # its own fork was lost
            parent = self._begin(pid, 0, "", time_ns)
        if name is not None and parent.names is not None:
            parent.names[tid] = name
        parent.threads += 1
        self.threads_started += 1
        self._threads += 1
        self.peak_thread_count = max(self.peak_thread_count, self._threads)

    def _exit(self, event: TaskEvent) -> None:
        _, time_ns, pid, tid, _, _, _, cpu_ns = event
        process = self._living.get(pid)
        if process is None:  # its fork was lost
            return
        process.cpu_ns += cpu_ns
        if process.threads == 1:
            self._end(process, time_ns)
            return
        process.threads -= 1
        self._threads -= 1
        if process.names is not None:
            process.names.pop(tid, None)

    def _exec(self, event: TaskEvent) -> None:
        _, time_ns, pid, _, _, _, name, cpu_ns = event
        process = self._living.get(pid)
        if process is None:  # the command itself, or its fork was lost
            self._begin(pid, 0, name or "", time_ns)
            return
        # Others have exited before. The thread that is left has no exit of its own where it was not the first: that
        # one's it is.
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
