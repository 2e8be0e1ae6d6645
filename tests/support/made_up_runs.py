"""Results of runs that nobody made, and trees that only exist to be told what to do."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from prock.model import DiskIo
from prock.results import CommandUsage, LimitExceeded, ProcessUsage, Source, Survivor
from prock.runner.result import RunResult

MIB = 2**20
MS = 1_000_000
S = 1_000_000_000


def result(**changed: Any) -> RunResult:
    """A build of some seconds."""
    return RunResult(
        args=("make", "-j2"),
        pid=4711,
        returncode=0,
        timed_out=False,
        labels=(),
        start_time=1_700_000_000.25,
        wall_ns=12_413 * MS,
        cpu_ns=21_370 * MS,
        cpu_upper_ns=None,
        user_ns=18_900 * MS,
        system_ns=2_470 * MS,
        root_cpu_ns=812 * MS,
        accounting="cgroup",
        cpu_by_source=(("cgroup", 21_370 * MS), ("perf", 21_301 * MS)),
        peak_footprint_bytes=812 * MIB,
        peak_footprint_low_bytes=800 * MIB,
        peak_footprint_high_bytes=900 * MIB,
        peak_rss_bytes=1100 * MIB,
        peak_pss_bytes=None,
        largest_process_bytes=340 * MIB,
        cgroup_peak_bytes=1300 * MIB,
        disk_io=DiskIo(17 * MIB, 256 * MIB, 0, 900 * MIB, 300 * MIB, 80_000, 20_000),
        minor_faults=123_456,
        major_faults=3,
        voluntary_switches=1234,
        involuntary_switches=56,
        processes_started=412,
        peak_process_count=9,
        threads_started=430,
        peak_thread_count=12,
        commands=(CommandUsage("cc1", 200, 18 * S, 340 * MIB), CommandUsage("sh", 12, 3 * MS, None)),
        unattributed_cpu_ns=0,
        processes=(
            ProcessUsage(4711, 4000, "make", 812 * MS, 30 * MIB, 0, 12_400 * MS),
            ProcessUsage(4712, None, "cc1", 2 * S, None, 100 * MS, None),
        ),
        slowest=(),
        largest=(),
        survivors=(),
        samples=124,
        sampling_interval_ns=103 * MS,
        cost_ns=93 * MS,
        sources=(
            Source("cpu", "cgroup", "exact"),
            Source("memory", "samples", "lower bound: looked at least every 0.1s"),
        ),
        missing=(),
    )._replace(**changed)


def survivors(number: int) -> tuple[Survivor, ...]:
    return tuple(Survivor(100 + index, f"daemon{index}", index * MS, index * MIB or None) for index in range(number))


class Tree:
    """What `RunSession` is to those who follow one; its clock is `now_ns`."""

    def __init__(self, *, members: int = 3, stubborn: bool = False) -> None:
        self.pid = 4711
        self.now_ns = 0
        self.due_ns = 0
        self.members = members
        self.stubborn = stubborn
        """Whether only SIGKILL ends it."""
        self.root_ended = False
        self.stopped_by: int | None = None
        self.limit_exceeded: LimitExceeded | None = None
        self.sent: list[int] = []

    def is_over(self) -> bool:
        return not self.members

    def step(self) -> None:
        self.due_ns = self.now_ns + 100 * MS

    def end(self, left: int = 0) -> None:
        """Of its root."""
        self.root_ended = True
        self.members = left

    def signal_tree(self, number: int) -> int:
        self.sent.append(number)
        told = self.members
        if number == 9 or (number in (1, 2, 15) and not self.stubborn):
            self.end()
        return told


class Script:
    """Signals that come when a test says so: ``(after_ns, number, from_terminal)`` each; or what happens then."""

    def __init__(self, tree: Tree, events: Iterable[tuple[Any, ...]]) -> None:
        self._tree = tree
        self._events = list(events)
        self._at_ns = 0

    def wait(self, seconds: float) -> Any:
        until_ns = self._tree.now_ns + round(seconds * S)
        if not self._events:
            self._tree.now_ns = until_ns
            return None
        after_ns, what, *terminal = self._events[0]
        if self._at_ns + after_ns > until_ns:
            self._tree.now_ns = until_ns
            return None
        del self._events[0]
        self._at_ns += after_ns
        self._tree.now_ns = max(self._tree.now_ns, self._at_ns)
        if callable(what):
            what()
            return 17, True, None
        return what, bool(terminal and terminal[0]), None
