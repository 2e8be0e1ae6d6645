"""Perf events that a command opens on itself before it is executed: CPU of all that it starts, dead or alive."""

from __future__ import annotations

import os
import sys

MOST_CPUS = 16
"""Where more are online, one event for all CPUs is better, without records: 2.4 µs a fork and CPU were measured, so 40
with 16, a tenth of what starting the smallest program costs."""


def cpus_to_record() -> list[int]:
    """The CPUs that each need an event: all that are online, or none where those are more than `MOST_CPUS`.

    One that comes online later is not seen. Cost: one file.
    """
    try:
        with open("/sys/devices/system/cpu/online", "rb") as file:
            ranges = [part.partition(b"-") for part in file.read().strip().split(b",")]
        cpus = [cpu for first, _, last in ranges for cpu in range(int(first), int(last or first) + 1)]
    except (OSError, ValueError):
        return []
    return cpus if len(cpus) <= MOST_CPUS else []


class LaunchedClock:
    """One event, on any CPU, or several of which no records can be had.

    Lower bound, by some 0.1 ms a process that ends; on a virtual machine it holds what the host stole, too.
    """

    def __init__(self, descriptors: list[int]) -> None:
        self._descriptors = descriptors
        self._most_ns = 0

    def total_ns(self) -> int:
        """CPU of the tree since the command was executed. Never falls."""
        total_ns = 0
        for descriptor in self._descriptors:  # some tell of lost records, too, after the value
            total_ns += int.from_bytes(os.read(descriptor, 16)[:8], sys.byteorder)
        self._most_ns = max(self._most_ns, total_ns)
        return self._most_ns

    def close(self) -> None:
        """End the counting. Once more is no error."""
        descriptors, self._descriptors = self._descriptors, []
        for descriptor in descriptors:
            os.close(descriptor)


class StolenTime:
    """What the host of a virtual machine takes: perf events count it, the scheduler and its accounts do not.

    Source: the first line of ``/proc/stat``, of the whole machine. A tree's part of it is taken to be in proportion.
    """

    def __init__(self, proc: str) -> None:
        self._path = f"{proc}/stat"
        self._before = self._read()

    def share(self) -> float:
        """The part of the time, since this was made, in which a CPU that was wanted was not there; 0 to 1."""
        before, now = self._before, self._read()
        if before is None or now is None:
            return 0.0
        busy, stolen = now[0] - before[0], now[1] - before[1]
        return stolen / (busy + stolen) if stolen > 0 and busy > 0 else 0.0

    def _read(self) -> tuple[int, int] | None:
        """Ticks in which CPUs worked, and that were stolen."""
        try:
            with open(self._path, "rb", buffering=256) as file:
                user, nice, system, _, _, irq, softirq, steal = map(int, file.readline().split()[1:9])
        except (OSError, ValueError):
            return None
        return user + nice + system + irq + softirq, steal
