"""CPU time of a launched command by perf events: `PerfSource`, `LaunchedClock`.

The launcher opens an event ``task-clock`` on the command's process before that executes the command. Processes and
threads inherit events from the thread that starts them, and their time stays in it when they end. Measured on Linux
6.18 against a cgroup:

- The events of a process end before its memory is torn down. Of children that use 2 ms the sum has 97 %, of
  double-forked ones 93 %, of children of 20 ms with a copy of 100 MB 86 %.
- The kernel ends the events of a process that executes a setuid, setgid or unreadable program, without an error: the
  sum has 202 of 404 ms. Where nothing changes (root executes a program that is setuid root) they stay enabled.
- Switching between tasks counts for neither: of processes that sleep 700 times in 30 ms of CPU time the sum has 82 %.
- Events count wall time on a CPU. In a virtual machine that includes time that the host stole, which no other source
  counts: 1.8 % in one measurement. Otherwise the sum is a lower bound.
"""

from __future__ import annotations

import os
import stat
import sys

from prock.accounting.protocol import PERF, PERF_LACKS, PERF_NEW_CPU, PERF_STOPPED, STOPPED_AND_NOT_REAPED, CpuReading

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Protocol

    from prock.accounting.steal import StolenTime
    from prock.model import ProcessInfo

    class Clock(Protocol):
        """`LaunchedClock` or `prock.accounting.perf_records.TaskRecords`."""

        @property
        def stopped(self) -> int | None:
            """Processes with events that the kernel has ended; None: unknown."""

        def total_ns(self) -> int: ...

        def close(self) -> None: ...


MOST_CPUS = 16
"""With more CPUs online, one event for all CPUs, without records: an event per CPU costs a fork 2.4 µs each, 40 µs with
16 CPUs, a tenth of starting the smallest program."""
UNCERTAIN = 0.02
"""Perf events were up to this much over the scheduler's figures, with vfork and exec from a thread."""
NOTICEABLE = 0.005
"""A smaller part of stolen time leaves the reading a lower bound."""


def is_event(descriptor: int) -> bool:
    """Whether it still can be one: a program that turns itself into a daemon closes all, and uses their numbers again.

    Perf events have no type of file; nor has an eventfd, but pipes, sockets, terminals and files all have one.
    """
    try:
        return stat.S_IFMT(os.fstat(descriptor).st_mode) == 0
    except OSError:
        return False


def online_cpus() -> list[int]:
    """The CPUs that each need an event. None where they are unknown. Cost: one file."""
    try:
        with open("/sys/devices/system/cpu/online", "rb") as file:
            ranges = [part.partition(b"-") for part in file.read().strip().split(b",")]
        return [cpu for first, _, last in ranges for cpu in range(int(first), int(last or first) + 1)]
    except (OSError, ValueError):
        return []


class LaunchedClock:
    """The events of a command without records: one for all CPUs, or several."""

    stopped: int | None = None

    def __init__(self, descriptors: list[int]) -> None:
        self._descriptors = descriptors
        self._most_ns = 0

    def total_ns(self) -> int:
        """CPU of the tree since the command was executed. Never decreases."""
        total_ns = 0
        for descriptor in self._descriptors:  # events with records also return the number of lost ones
            total_ns += int.from_bytes(os.read(descriptor, 16)[:8], sys.byteorder)
        self._most_ns = max(self._most_ns, total_ns)
        return self._most_ns

    def close(self) -> None:
        """Stop counting. Idempotent."""
        descriptors, self._descriptors = self._descriptors, []
        for descriptor in descriptors:
            os.close(descriptor)


class PerfSource:
    """The `CpuSource` of a command's perf events."""

    def __init__(self, clock: Clock, stolen: StolenTime) -> None:
        self._clock = clock
        self._stolen = stolen
        self.lacks_cpus = False
        """Whether a CPU came online that has no event."""

    def reading(self, members: Sequence[ProcessInfo] = (), /) -> CpuReading:
        """Without the part that the host stole. Lower bound, as `PERF_LACKS` says."""
        total_ns = self._clock.total_ns()
        part, stolen_ns = self._stolen.read()
        proven_ns = 0 if stolen_ns is None else max(0, round((total_ns - stolen_ns) * (1 - UNCERTAIN)))
        bias = f"estimate: {100 * part:.1f} % stolen by the host, subtracted" if part >= NOTICEABLE else PERF_LACKS
        if self._clock.stopped != 0:
            bias = PERF_STOPPED
        if self.lacks_cpus:
            bias = PERF_NEW_CPU
        missing = (STOPPED_AND_NOT_REAPED,) if self._clock.stopped else ()
        return CpuReading(PERF, round(total_ns * (1 - part)), bias, missing, proven_ns=proven_ns)

    def close(self) -> None:
        self._clock.close()
