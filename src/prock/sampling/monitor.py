"""Follow a tree from a thread of one's own program, around a block of it."""

from __future__ import annotations

import os
import time

from prock._compat.namedtuple import NamedTuple
from prock.model import CpuPercent, DiskIo
from prock.sampling.sample import TreeTotals
from prock.sampling.sampler import TreeSampler
from prock.sampling.schedule import Deadlines

TYPE_CHECKING = False
if TYPE_CHECKING:
    import threading
    from typing import TypeVar

    from prock.engine.protocol import Engine

    Number = TypeVar("Number", int, float)


class MonitorResult(NamedTuple):
    """What a block cost. Peaks are those of samples: lower bounds."""

    wall_ns: int
    """How long the block took, from the baseline to the last sample."""
    cpu_ns: int
    """CPU time of the tree within the block; see `TreeTotals.cpu_ns`."""
    cpu_percent: CpuPercent | None
    """The mean over the block."""
    accounting: str
    """Where `cpu_ns` comes from, as `TreeTotals.accounting`."""
    ended_cpu_ns: int
    """Of `cpu_ns`: what processes used that have ended, as last seen."""
    unseen_cpu_ns: int
    """Of `cpu_ns`: what no sample saw in a process."""
    disk_io: DiskIo | None
    """What the tree has read and written within the block; None where it was not asked for. Lower bound."""
    peak_cpu_percent: CpuPercent | None
    """The highest of one interval, the last, shorter one left out."""
    peak_rss_bytes: int | None
    """The largest sum of resident sets: shared pages count in each process."""
    peak_pss_bytes: int | None
    """The largest sum of proportional shares; None where they were not asked for."""
    peak_process_count: int
    """The most at once."""
    peak_thread_count: int
    """The most at once, the first of each process included."""
    samples: int
    """How many were taken, the one at the end included."""
    skipped: int
    """Samples left out, as their time had passed."""
    late_ns: int
    """The most that a sample came late."""
    cost_ns: int
    """CPU time that watching took, of the program's own."""
    denied: int
    """The most members of one sample that refused something."""
    series: tuple[TreeTotals, ...]
    """Every sample, where it was asked for."""


class Monitor:
    """A context manager: what does this block cost, with all that it starts?

    A thread takes a sample every `interval` seconds, and one is taken when the block ends. `result` is None until then.
    `series` keeps every sample's totals. Root (the calling process by default), options and errors as of `TreeSampler`.
    The thread asks for the interpreter once a sample: beside one that computes it comes up to a switch interval (5 ms)
    late, which is in the result. A process that is forked inside the block has no monitor: there, leaving the block
    does nothing.

    >>> with Monitor(interval=0.01) as monitor:
    ...     total = sum(i * i for i in range(1_000_000))
    >>> monitor.result.cpu_ns > 0 and monitor.result.peak_rss_bytes > 2**20
    True
    """

    def __init__(
        self,
        interval: float = 0.1,
        root: int | None = None,
        *,
        series: bool = False,
        memory: bool = True,
        io: bool = False,
        pss: bool = False,
        accounting: str = "auto",
        engine: Engine | None = None,
    ) -> None:
        Deadlines(interval, 0)  # says at once what is wrong with it
        self._interval = interval
        self._root = root
        self._keep_series = series
        self._options = {"memory": memory, "io": io, "pss": pss, "accounting": accounting, "engine": engine}
        self.result: MonitorResult | None = None
        self._sampler: TreeSampler | None = None
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Monitor:
        import threading

        if self._sampler is not None:
            raise RuntimeError("this monitor is running: make one for each block")
        self.result = None
        self._pid = os.getpid()
        self._tally = _Tally(self._keep_series)
        self._failure: BaseException | None = None
        self._sampler = TreeSampler(self._root, **self._options)  # type: ignore[arg-type]  # each has its own type
        self._deadlines = Deadlines(self._interval, time.monotonic_ns())
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._run, name="prock-monitor", daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        if self._sampler is None or self._thread is None or self._pid != os.getpid():
            return
        self._done.set()
        self._thread.join()
        try:
            if self._failure is None:
                self._tally.add(self._sampler.sample().totals, is_last=True)
        finally:
            self._sampler.close()
            self._sampler = self._thread = None
        if self._failure is not None:
            raise self._failure
        self.result = self._tally.result()

    def _run(self) -> None:
        assert self._sampler is not None
        try:
            while not self._done.wait(self._deadlines.remaining(time.monotonic_ns())):
                due_ns, skipped = self._deadlines.take(time.monotonic_ns())
                self._tally.add(self._sampler.sample(due_ns=due_ns, skipped=skipped).totals)
        except BaseException as error:  # told where the block ends
            self._failure = error


class _Tally:
    def __init__(self, keep_series: bool) -> None:
        self._series: list[TreeTotals] | None = [] if keep_series else None
        self._last: TreeTotals | None = None
        self._peak_percent: CpuPercent | None = None
        self._peak_rss: int | None = None
        self._peak_pss: int | None = None
        self._processes = self._threads = self._samples = self._skipped = self._late = self._cost = self._denied = 0

    def add(self, totals: TreeTotals, *, is_last: bool = False) -> None:
        if self._series is not None:
            self._series.append(totals)
        if not is_last or self._last is None:
            self._peak_percent = _larger(self._peak_percent, totals.cpu_percent)
        self._peak_rss = _larger(self._peak_rss, totals.rss_bytes)
        self._peak_pss = _larger(self._peak_pss, totals.pss_bytes)
        self._processes = max(self._processes, totals.process_count)
        self._threads = max(self._threads, totals.thread_count)
        self._samples += 1
        self._skipped += totals.skipped
        self._late = max(self._late, totals.late_ns)
        self._cost += totals.cost_ns
        self._denied = max(self._denied, totals.denied)
        self._last = totals

    def result(self) -> MonitorResult:
        last = self._last
        assert last is not None
        return MonitorResult(
            wall_ns=last.wall_ns,
            cpu_ns=last.cpu_ns,
            cpu_percent=100.0 * last.cpu_ns / last.wall_ns if last.wall_ns else None,
            accounting=last.accounting,
            ended_cpu_ns=last.ended_cpu_ns,
            unseen_cpu_ns=last.unseen_cpu_ns,
            disk_io=last.disk_io,
            peak_cpu_percent=self._peak_percent,
            peak_rss_bytes=self._peak_rss,
            peak_pss_bytes=self._peak_pss,
            peak_process_count=self._processes,
            peak_thread_count=self._threads,
            samples=self._samples,
            skipped=self._skipped,
            late_ns=self._late,
            cost_ns=self._cost,
            denied=self._denied,
            series=tuple(self._series or ()),
        )


def _larger(a: Number | None, b: Number | None) -> Number | None:
    return b if a is None else a if b is None else max(a, b)
