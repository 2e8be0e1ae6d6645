"""`StolenTime`: CPU time that the host of a virtual machine took. Perf events count it, the scheduler does not."""

from __future__ import annotations


class StolenTime:
    """The part of CPU time that the host of a virtual machine took, since this was created.

    Source: the first line of ``/proc/stat``, of the whole machine. Bias: assumes the same part for every process.
    """

    def __init__(self, proc: str) -> None:
        self._path = f"{proc}/stat"
        self._before = self._read()

    def read(self) -> tuple[float, int | None]:
        """Of the time in which a CPU had work, the part in which the host ran something else, 0 to 1; and what one tree
        can have lost, all that was stolen from the machine, in nanoseconds. None: unknown."""
        from prock.engine.linux.procfs import TICK_NS

        before, now = self._before, self._read()
        if before is None or now is None:
            return 0.0, None
        busy, stolen = now[0] - before[0], now[1] - before[1]
        part = stolen / (busy + stolen) if stolen > 0 and busy > 0 else 0.0
        return part, (stolen + 1) * TICK_NS if now[1] else 0  # one tick more, as both readings are rounded down

    def _read(self) -> tuple[int, int] | None:
        """Ticks of working CPUs, and stolen ticks."""
        try:
            with open(self._path, "rb", buffering=256) as file:
                user, nice, system, _, _, irq, softirq, steal = map(int, file.readline().split()[1:9])
        except (OSError, ValueError):
            return None
        return user + nice + system + irq + softirq, steal
