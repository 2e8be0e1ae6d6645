"""Opens CPU sources: `CpuSources` for a run, `attach_clocks` for a followed tree. Which ones is decided here alone."""

from __future__ import annotations

import os
import sys

from prock._compat.signals import is_child
from prock.accounting.protocol import BPF, CGROUP, PERF, SOURCES, WAITED
from prock.errors import AccessDenied, NotSupported, OutOfDescriptors, ProckError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from prock.accounting.bpf_attach import BpfClock
    from prock.accounting.cgroup import RunCgroup
    from prock.accounting.enclosing_group import EnclosingGroup
    from prock.accounting.perf_attach import TaskClocks
    from prock.accounting.perf_clock import PerfSource
    from prock.accounting.perf_records import TaskRecords
    from prock.accounting.protocol import CpuReading, CpuSource
    from prock.engine.protocol import Engine
    from prock.model import ProcessInfo

ACCOUNTINGS = ("auto", *SOURCES)
MOST_CPUS_WITH_SWITCHES = 8
"""Half of `MOST_CPUS`: with two events for each CPU, a fork costs as much as with one event for each of `MOST_CPUS`."""
LINUX_ONLY = "cgroup, perf: only Linux has them, and the portable engine does not use them"
NO_LAUNCHER = "perf events: only the compiled launcher opens them before the command runs"
NO_CHILDREN = "waited accounting: Windows does not add the CPU time of children to the process that waits for them"
RUNS_ALREADY = "{} accounting: the tree runs already; use bpf, perf or ledger"
NOT_LAUNCHED = "bpf accounting: only for a tree that runs already (prock attach)"


class CpuSources:
    """The sources of one run.

    `wanted`: ``auto`` for all that are available, or one of `SOURCES`. Raises `NotSupported` where that one is not
    available, here and in the methods.
    """

    def __init__(self, engine: Engine, wanted: str, *, attached: bool = False, keep_processes: bool = False) -> None:
        self._engine = engine
        self.wanted = wanted
        self._keep_processes = keep_processes
        self.cgroup: RunCgroup | None = None
        self.records: TaskRecords | None = None
        """Perf records of forks, execs and exits; not a source, but from the same events."""
        self._perf: PerfSource | None = None
        self._cpus: list[int] = []
        """CPUs for which perf events are opened; none: one event for all CPUs."""
        self._others: list[CpuSource] = []
        self.enclosing: EnclosingGroup | None = None
        """Bounds the CPU time of the tree from above."""
        self.refused: dict[str, str] = {}
        """Sources that ``auto`` could not use, and why."""
        if wanted not in ACCOUNTINGS:
            raise ValueError(f"invalid accounting {wanted!r}: choose one of {', '.join(ACCOUNTINGS)}")
        if attached:
            if wanted in (CGROUP, WAITED):
                raise NotSupported(RUNS_ALREADY.format(wanted))
        elif wanted == BPF:
            raise NotSupported(NOT_LAUNCHED)
        elif not engine.reads_proc:
            if wanted == WAITED and sys.platform == "win32":
                raise NotSupported(NO_CHILDREN)
            self._refuse((CGROUP, PERF), LINUX_ONLY)
        elif engine.launcher is None:
            self._refuse((PERF,), NO_LAUNCHER)

    def _refuse(self, sources: Sequence[str], reason: str) -> None:
        if self.wanted in sources:
            raise NotSupported(reason)
        if self.wanted == "auto":
            self.refused[sources[0]] = reason

    def open_cgroup(self) -> int:
        """Create a cgroup for the command if one is wanted. Returns a descriptor of its directory, or -1."""
        if self.wanted not in ("auto", CGROUP) or not self._engine.reads_proc:
            return -1
        from prock.accounting.cgroup import RunCgroup

        try:
            self.cgroup = RunCgroup(self._engine)
        except NotSupported as error:
            self._refuse((CGROUP,), error.what)
            return -1
        return self.cgroup.directory

    def choose_events(self) -> tuple[str, bool]:
        """`cpus` and `with_switches` of `prock.runner.spawn_linux.launch`."""
        if self.wanted not in ("auto", PERF):
            return "-", False
        from prock.accounting.perf_clock import MOST_CPUS, online_cpus

        cpus = online_cpus()
        self._cpus = cpus if len(cpus) <= MOST_CPUS else []
        return ",".join(map(str, self._cpus)) or "any", 0 < len(self._cpus) <= MOST_CPUS_WITH_SWITCHES

    def take_launched(self, events: list[int], *, cgroup_error: int, perf_error: int, used_in_cgroup_ns: int) -> None:
        """Take the descriptors of the launcher's events, just before it executes the command.

        Errors are errnos or 0. `used_in_cgroup_ns`: CPU time of the launcher that the cgroup has counted.
        """
        if events:
            from prock.accounting.perf_clock import LaunchedClock, PerfSource
            from prock.accounting.steal import StolenTime

            self.records = self._open_records(events)
            self._perf = PerfSource(self.records or LaunchedClock(events), StolenTime(self._engine.root))
        if cgroup_error:
            self._lose_cgroup(cgroup_error)
        if perf_error:
            self._refuse((PERF,), f"perf events ({os.strerror(perf_error)})")
        if self.cgroup is not None:
            self.cgroup.used_before_ns = used_in_cgroup_ns

    def _open_records(self, events: list[int]) -> TaskRecords | None:
        """None where the kernel gives no buffers: the events only count then."""
        from prock.accounting.perf_records import TaskRecords

        cpus = len(self._cpus)
        if not cpus or len(events) not in (cpus, 2 * cpus):
            return None
        try:
            return TaskRecords(events[:cpus], self._engine, switches=events[cpus:], keep_processes=self._keep_processes)
        except (AccessDenied, NotSupported, OutOfDescriptors) as error:
            self.refused["records"] = f"records of processes ({error})"
            return None

    def move_into_cgroup(self, pid: int) -> None:
        """Move a child that runs already, and what it has started, into the cgroup if there is one."""
        if sys.platform == "win32" or self.cgroup is None:
            return
        if not is_child(os.P_PID, pid):  # other code reaped it: the pid may be reused
            return
        try:
            self.cgroup.add(pid)
            for row in (self._engine.tree(pid, 0) or ([], 0, []))[0][1:]:  # later children are born in the group
                self.cgroup.add(row.pid)
        except ProckError:
            pass
        except OSError as error:
            self._lose_cgroup(error.errno or 0)

    def _lose_cgroup(self, error: int) -> None:
        if self.cgroup is not None:
            self.cgroup.close()
            self.cgroup = None
        self._refuse((CGROUP,), f"cgroup v2: it cannot be entered ({os.strerror(error)})")

    def open_enclosing(self, pids: Sequence[int] | None = None) -> None:
        """Bound the CPU time from now on. `pids`: all processes of a tree that runs already."""
        if self._engine.reads_proc and sys.platform == "linux":
            from prock.accounting.enclosing_group import EnclosingGroup

            self.enclosing = EnclosingGroup(self._engine.root, pids)

    def add(self, source: CpuSource) -> None:
        """Add the waiter or the samples' ledger."""
        self._others.append(source)

    def readings(self, members: Sequence[ProcessInfo] = ()) -> list[CpuReading]:
        self._check_cpus()
        sources = [source for source in (self.cgroup, self._perf, *self._others) if source is not None]
        readings = [reading for source in sources if (reading := source.reading(members)) is not None]
        if self.cgroup is not None and all(reading.source != CGROUP for reading in readings):
            self.refused[CGROUP] = "cgroup v2: the command's group was removed while it ran"
        return readings

    def _check_cpus(self) -> None:
        """Note whether processes may have run on a CPU without an event: one that came online and is online."""
        if self._perf is None or not self._cpus:
            return
        from prock.accounting.perf_clock import online_cpus

        if set(online_cpus()) - set(self._cpus):
            self._perf.lacks_cpus = True
            if self.records is not None:
                self.records.lacks_cpus = True

    def current_ns(self) -> int | None:
        """The CPU time now by the cgroup or perf events, without reading the others."""
        source = self.cgroup or self._perf
        reading = None if source is None else source.reading()
        return None if reading is None else reading.lower_ns

    def close(self) -> None:
        """Stop counting. Idempotent."""
        for source in (self.cgroup, self._perf, *self._others):
            if source is not None:
                source.close()


def attach_clocks(engine: Engine, root_pid: int, wanted: str, limit: int) -> TaskClocks | BpfClock | None:
    """Of a tree that runs already. `wanted`: ``perf``, ``bpf``, or ``auto`` for perf, or None where not available."""
    if wanted == BPF:
        if sys.platform != "linux" or not engine.clocks_usable:
            raise NotSupported("bpf accounting: it needs Linux and the /proc of this PID namespace")
        from prock.accounting.bpf_attach import BpfClock

        return BpfClock(root_pid, engine)
    if not engine.clocks_usable:
        if wanted == PERF:
            raise NotSupported("perf accounting: it needs Linux and the /proc of this PID namespace")
        return None
    from prock.accounting.perf_attach import TaskClocks

    try:
        return TaskClocks([root_pid], engine, limit)
    except (AccessDenied, NotSupported, OutOfDescriptors):
        if wanted == PERF:
            raise
        return None
