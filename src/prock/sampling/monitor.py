"""`Monitor`: measures a block of the program with samples that a thread takes."""

from __future__ import annotations

import os
import time
from _thread import allocate_lock

from prock import engine as engines
from prock._compat.signals import all_blocked
from prock.errors import AccessDenied
from prock.results import MonitorFigures
from prock.sampling.options import SamplingOptions
from prock.sampling.sampler import TreeSampler
from prock.sampling.schedule import Deadlines

TYPE_CHECKING = False
if TYPE_CHECKING:
    import threading
    from collections.abc import Callable
    from typing import Any, ParamSpec, TypeVar, Unpack

    from prock.engine.protocol import Engine
    from prock.model import TreeTotals
    from prock.sampling.options import SamplingKeywords
    from prock.sampling.recorder import Recorder
    from prock.sampling.sample import TreeSample

    Arguments = ParamSpec("Arguments")
    Value = TypeVar("Value")

LARGEST = {
    "peak_rss_bytes": "rss_bytes",
    "peak_pss_bytes": "pss_bytes",
    "peak_process_count": "process_count",
    "peak_thread_count": "thread_count",
    "late_ns": "late_ns",
    "denied": "denied",
}
"""Fields of the result that are the largest value of a field of the samples."""


class MonitorResult(MonitorFigures):
    """CPU, memory and I/O of a block; `print` writes them as a short report."""

    __slots__ = ()

    def __str__(self) -> str:
        from prock.report.text import monitor_report

        return monitor_report(self)


class Monitor:
    """Measures a block of the program and all processes that it starts.

    A thread takes a sample every `interval` seconds, and leaving the block takes one more. `result`, a `MonitorResult`,
    is None until then. While another thread computes, a sample comes up to a switch interval (5 ms) late;
    `MonitorResult.late_ns` has the most. A process forked inside the block has no monitor: leaving the block does
    nothing there.

    - `interval`: seconds between samples; default: 0.1.
    - `root`: pid of the root; default: the calling process.
    - `series`: keep the totals of every sample. Default: False.
    - `record`: a file for a recording, which must not exist: see `Recorder`. Default: none.
    - `options`, `engine`: as of `TreeSampler`.

    The constructor raises `ValueError` for an invalid interval, entering the block what `TreeSampler` raises, and
    leaving it what a sample in the thread has raised. Cost: as `Forest.sample`, each time.

    >>> import zlib
    >>> with Monitor(interval=0.01) as monitor:  # around one training epoch, one request, one test
    ...     packed = zlib.compress(bytes(2**25))
    >>> monitor.result.cpu_ns > 0 and monitor.result.peak_rss_bytes > 2**20
    True

    As a decorator it measures each call; its `result` is that of the call that ended last:

    >>> monitor = Monitor()
    >>> @monitor
    ... def pack():
    ...     return zlib.compress(bytes(2**20))
    >>> packed = pack()
    >>> monitor.result.wall_ns > 0
    True
    """

    def __init__(
        self,
        interval: float = 0.1,
        root: int | None = None,
        *,
        series: bool = False,
        record: str | None = None,
        engine: Engine | None = None,
        **options: Unpack[SamplingKeywords],
    ) -> None:
        Deadlines(interval, 0)  # raises for an invalid interval
        self._interval = interval
        self._root = root
        self._keep_series = series
        self._record = record
        self._recorder: Recorder | None = None
        SamplingOptions(**options).check()
        self._options = options
        self._engine = engine
        self.result: MonitorResult | None = None
        self._sampler: TreeSampler | None = None
        self._thread: threading.Thread | None = None
        self._lock = allocate_lock()

    def __enter__(self) -> Monitor:
        import threading

        if self._sampler is not None:
            raise RuntimeError("this monitor is running: create one for each block")
        self.result = None
        self._pid = os.getpid()
        self._last: TreeTotals | None = None
        self._largest: dict[str, Any] = {}
        self._peak = (0.0, 0)
        self._samples = self._skipped = self._cost_ns = 0
        self._series: list[TreeTotals] = []
        self._failure: BaseException | None = None
        self._sampler = TreeSampler(self._root, engine=self._engine, **self._options)
        if self._record is not None:
            from prock.sampling.recorder import Recorder

            try:
                self._recorder = Recorder(self._record)
            except BaseException:
                self._sampler.close()
                self._sampler = None
                raise
        self._root_ns = self._root_cpu_ns()
        self._deadlines = Deadlines(self._interval, time.monotonic_ns())
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._run, name="prock-monitor", daemon=True)
        with all_blocked():
            self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        if self._sampler is None or self._thread is None or self._pid != os.getpid():
            return
        self._done.set()
        self._thread.join()
        try:
            if self._failure is None:
                self._add(self._sampler.sample(), is_last=True)
        finally:
            self._sampler.close()
            if self._recorder is not None:
                self._recorder.close()
            self._sampler = self._thread = self._recorder = None
        if self._failure is not None:
            raise self._failure
        last = self._last
        assert last is not None
        self.result = MonitorResult(
            wall_ns=last.wall_ns,
            cpu_ns=last.cpu_ns,
            cpu_percent=100.0 * last.cpu_ns / last.wall_ns if last.wall_ns else None,
            accounting=last.accounting,
            ended_cpu_ns=last.ended_cpu_ns,
            unseen_cpu_ns=last.unseen_cpu_ns,
            disk_io=last.disk_io,
            peak_cpu_percent=self._peak[0] if self._peak[1] else None,
            peak_cpu_percent_over_ns=self._peak[1],
            samples=self._samples,
            skipped=self._skipped,
            cost_ns=self._cost_ns,
            series=tuple(self._series),
            children_cpu_ns=self._children_cpu_ns(last.cpu_ns),
            **self._largest,
        )

    def sample(self) -> TreeSample:
        """A sample now, within the block; it counts in the result too. Raises `ValueError` outside of the block."""
        sampler = self._sampler
        if sampler is None or self._pid != os.getpid():
            raise ValueError("this monitor is not running: call sample() inside its block")
        with self._lock:
            sample = sampler.sample()
            self._add(sample)
        return sample

    def __call__(self, function: Callable[Arguments, Value]) -> Callable[Arguments, Value]:
        """As a decorator: measure each call; `result` is that of the call that ended last."""
        from functools import wraps

        @wraps(function)
        def measured(*args: Arguments.args, **keywords: Arguments.kwargs) -> Value:
            each = Monitor(  # so that threads and recursive calls have their own
                self._interval,
                self._root,
                series=self._keep_series,
                record=self._record,
                engine=self._engine,
                **self._options,
            )
            try:
                with each:
                    return function(*args, **keywords)
            finally:
                self.result = each.result

        return measured

    def _run(self) -> None:
        assert self._sampler is not None
        try:
            while not self._done.wait(self._deadlines.remaining(time.monotonic_ns())):
                due_ns, skipped = self._deadlines.advance(time.monotonic_ns())
                with self._lock:
                    self._add(self._sampler.sample(due_ns=due_ns, skipped=skipped))
        except BaseException as error:  # raised again where the block ends
            self._failure = error

    def _children_cpu_ns(self, cpu_ns: int) -> int | None:
        before_ns, now_ns = self._root_ns, self._root_cpu_ns()
        return None if before_ns is None or now_ns is None else max(0, cpu_ns - (now_ns - before_ns))

    def _root_cpu_ns(self) -> int | None:
        engine = self._engine or engines.active
        try:
            cpu = engine.cpu_time(self._root)
        except AccessDenied:
            return None
        return None if cpu is None else cpu.total_ns

    def _add(self, sample: TreeSample, *, is_last: bool = False) -> None:
        if self._recorder is not None:
            self._recorder.add(sample)
        totals = self._last = sample.totals
        self._samples += 1
        self._skipped += totals.skipped
        self._cost_ns += totals.cost_ns
        if not is_last or self._samples == 1:  # the last interval is shorter
            self._peak = max(self._peak, (totals.cpu_percent or 0.0, totals.cpu_percent_over_ns))
        for field, name in LARGEST.items():
            value, largest = getattr(totals, name), self._largest.get(field)
            self._largest[field] = value if largest is None else largest if value is None else max(largest, value)
        if self._keep_series:
            self._series.append(totals)
