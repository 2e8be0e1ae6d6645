"""Limits that hold while a tree runs, and the budgets that a finished run is checked against."""

from __future__ import annotations

import os
import time

from prock._compat.namedtuple import NamedTuple
from prock.results import LargeProcess, LimitExceeded
from prock.sampling.command_lines import SHORT_WAIT_S

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from prock.engine.protocol import Engine
    from prock.model import MemberSample
    from prock.results import RunFigures
    from prock.sampling.command_lines import CommandLines
    from prock.sampling.sample import TreeSample

FASTEST_GROWTH = 5
"""Bytes per nanosecond that a thread can fill at most: 1 to 2.5 were measured with pages of 4 KiB. Until the tree could
reach the limit at this rate, it is not sampled again."""
FASTEST_FORK_NS = 50_000
LARGEST = 5
"""Processes in `LimitExceeded.largest`."""
SAMPLING_SHARE, PSS_SHARE = 20, 50
"""Near a limit, samples take at most one 20th of the time, readings of PSS one 50th."""
FIRST_COST_NS = 50_000
UNTIL_NS = 1_000_000_000
"""Longest reading of PSS."""


class Limits(NamedTuple):
    """Limits of a whole tree while it runs; a tree that exceeds one is ended, and `RunResult.limit_exceeded` says so.

    None: no limit. Linux and other systems; by samples, so a tree may exceed one until the next sample: memory by what
    it can fill in some milliseconds. Cost: samples are taken more often the nearer a limit is, for up to 5 % of a core.

    - `memory_bytes`: Memory, shared pages counted once, as of `RunResult.peak_footprint_bytes`.
    - `processes`: Number of processes at once, not of threads.
    - `cpu_ns`: CPU time of the tree in nanoseconds, ended processes included.

    >>> prock.run(["sh", "-c", "while :; do :; done"], limits=Limits(cpu_ns=50_000_000)).limit_exceeded.limit
    'cpu'
    """

    memory_bytes: int | None = None
    processes: int | None = None
    cpu_ns: int | None = None


class LimitWatch:
    """Compares each sample with the limits, and determines when the next one is due.

    Raises `ValueError` or `TypeError` for limits that are not whole numbers of 1 or more.
    """

    def __init__(self, limits: Limits, engine: Engine) -> None:
        if not isinstance(limits, Limits):
            raise TypeError(f"invalid limits {limits!r}: use prock.Limits")
        for name, value in limits._asdict().items():
            if value is not None and (isinstance(value, bool) or not isinstance(value, int)):
                raise TypeError(f"invalid limit {name}={value!r}: use a whole number, 1 or more")
            if value is not None and value < 1:
                raise ValueError(f"invalid limit {name}={value!r}: use a whole number, 1 or more")
        self._limits = limits
        self._engine = engine
        self._cores = os.cpu_count() or 1
        self._pss: int | None = None
        self._pss_due_ns = 0
        self._cost_ns = FIRST_COST_NS
        """Of a sample, for each process: the least so far, as the first sample also imports modules."""

    def check(
        self,
        sample: TreeSample,
        *,
        wall_ns: int,
        cpu_ns: int | None,
        footprint_bytes: int | None,
        cmdlines: CommandLines,
    ) -> LimitExceeded | None:
        """The first limit that the tree exceeds in this sample."""
        limits = self._limits
        memory = sample.rss_bytes
        if limits.memory_bytes is not None and memory is not None and memory > limits.memory_bytes:
            memory = self._memory(sample.members, sample.taken_ns, limits.memory_bytes)
        for limit, most, value in (
            ("memory", limits.memory_bytes, memory),
            ("processes", limits.processes, sample.process_count),
            ("cpu", limits.cpu_ns, cpu_ns),
        ):
            if most is not None and value is not None and value > most:
                return LimitExceeded(
                    limit=limit,
                    limit_value=most,
                    value=value,
                    wall_ns=wall_ns,
                    memory_bytes=memory if limit == "memory" else footprint_bytes,
                    process_count=sample.process_count,
                    cpu_ns=cpu_ns,
                    largest=_largest(sample.members, cmdlines, by_cpu=limit == "cpu"),
                )
        return None

    def wait_ns(self, sample: TreeSample, cpu_ns: int | None) -> int:
        """Time until the tree could exceed a limit, and long enough for samples to be cheap."""
        limits = self._limits
        threads = max(1, min(self._cores, sample.thread_count))
        waits = []
        if limits.memory_bytes is not None and sample.rss_bytes is not None:
            known = sample.rss_bytes if sample.rss_bytes <= limits.memory_bytes else self._pss or 0
            waits.append((limits.memory_bytes - known) // (FASTEST_GROWTH * threads))
        if limits.processes is not None:
            waits.append((limits.processes - sample.process_count + 1) * FASTEST_FORK_NS)
        if limits.cpu_ns is not None and cpu_ns is not None:
            waits.append((limits.cpu_ns - cpu_ns) // threads)
        processes = max(1, sample.process_count)
        self._cost_ns = min(self._cost_ns, sample.cost_ns // processes)
        return max(min(waits, default=0), self._cost_ns * processes * SAMPLING_SHARE)

    def _memory(self, members: Sequence[MemberSample], now_ns: int, most: int) -> int | None:
        """The memory of a tree whose sum of RSS is above the limit: shared pages count once.

        None while PSS was read too recently for another reading to be cheap.
        """
        largest = max((row.rss_bytes or 0 for row in members), default=0)
        if largest > most:  # a tree is not below its largest process
            return largest
        if now_ns < self._pss_due_ns:
            return None
        began_ns = time.monotonic_ns()
        pids = [row.pid for row in members]
        sizes = self._engine.pss(pids, began_ns + UNTIL_NS)
        sizes += [None] * (len(pids) - len(sizes))
        self._pss = sum((row.rss_bytes or 0) if pss is None else pss for row, pss in zip(members, sizes, strict=True))
        ended_ns = time.monotonic_ns()
        self._pss_due_ns = ended_ns + (ended_ns - began_ns) * PSS_SHARE
        return max(self._pss, largest)


def _largest(members: Iterable[MemberSample], cmdlines: CommandLines, *, by_cpu: bool) -> tuple[LargeProcess, ...]:
    rows = sorted(members, key=lambda row: -(row.cpu_ns if by_cpu else row.rss_bytes or 0))[:LARGEST]
    cmdlines.read(((row.identity, row.comm) for row in rows), wait_s=SHORT_WAIT_S)
    return tuple(
        LargeProcess(row.pid, row.comm, row.rss_bytes, row.cpu_ns, cmdlines.get(row.identity, row.comm)) for row in rows
    )


def exceeded_budgets(
    results: Iterable[RunFigures], max_cpu_ns: int | None, max_memory_bytes: int | None, max_wall_ns: int | None
) -> tuple[str, ...]:
    """What exceeded its budget in any of the runs, in sentences. An unknown figure counts as exceeded."""
    from prock.report.layout import format_bytes, format_span

    results = list(results)
    exceeded = []
    for what, most, write, values in (
        ("CPU time", max_cpu_ns, format_span, [result.cpu_ns for result in results]),
        ("peak memory", max_memory_bytes, format_bytes, [_peak(result) for result in results]),
        ("elapsed time", max_wall_ns, format_span, [result.wall_ns for result in results]),
    ):
        known = [value for value in values if value is not None]
        if most is None:
            continue
        if len(known) < len(values):
            exceeded.append(f"{what} is unknown, the limit is {write(most)}")
        elif max(known) > most:
            exceeded.append(f"{what} {write(max(known))}, the limit is {write(most)}")
    return tuple(exceeded)


def _peak(result: RunFigures) -> int | None:
    """If the run ended before the first sample: its largest process, which may be an upper bound."""
    if result.peak_footprint_bytes is None and not result.samples:
        return result.largest_process_bytes
    return result.peak_footprint_bytes
