"""Who accounts for a command that is launched, besides those who wait for it: its cgroup, and perf events."""

from __future__ import annotations

import os

from prock._compat.signals import is_child
from prock.accounting.launched import LaunchedClock, StolenTime, cpus_to_record
from prock.errors import AccessDenied, NotSupported, OutOfDescriptors, ProckError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from prock.accounting.cgroup import RunCgroup
    from prock.accounting.perf_records import TaskRecords
    from prock.engine.protocol import Engine
    from prock.runner.spawn_linux import LauncherReport

MOST_CPUS_WITH_SWITCHES = 8
"""Half of `MOST_CPUS`: with two events for each, a fork costs as much more as with one for each of those."""


class Sources:
    """Those that `wanted` asks for: ``auto`` for all that can be had, or one, whose refusal is an error then."""

    def __init__(self, engine: Engine, wanted: str, *, keep_processes: bool) -> None:
        self._engine = engine
        self._wanted = wanted
        self._keep_processes = keep_processes
        self.group: RunCgroup | None = None
        self.clock: LaunchedClock | TaskRecords | None = None
        self.records: TaskRecords | None = None
        """The clock, where it has records."""
        self.stolen: StolenTime | None = None
        """Where the clock may be what counts, in a virtual machine."""
        self.refusals: list[str] = []
        """Of what was wanted and can't be had, why."""
        self.joined_late = False
        """Whether the command ran already when it joined the cgroup."""
        self.used_before_ns = 0
        """What the command's process had used before it executed the command ..."""
        self.outside_ns = 0
        """... and of it what is not in the cgroup's account."""

    def open_group(self) -> None:
        """Raises `NotSupported` where nothing else would do."""
        if self._wanted not in ("auto", "cgroup"):
            return
        from prock.accounting.cgroup import RunCgroup

        try:
            self.group = RunCgroup(self._engine)
        except NotSupported as reason:
            if self._wanted == "cgroup":
                raise
            self.refusals.append(reason.what)

    @property
    def directory(self) -> int:
        """A descriptor of the cgroup's, or -1."""
        return -1 if self.group is None else self.group.directory

    @property
    def cpus(self) -> str:
        """Which events the process is to open: see `prock.runner.spawn_linux.launch`."""
        if self._wanted not in ("auto", "perf"):
            return "-"
        return ",".join(map(str, cpus_to_record())) or "any"

    @property
    def with_switches(self) -> bool:
        """Whether to record who runs when, too: as many events once more."""
        return 0 < len(cpus_to_record()) <= MOST_CPUS_WITH_SWITCHES

    def take(self, ready: LauncherReport, events: list[int]) -> None:
        """What the process has come to, just before it executes the command. Raises as `open_group`."""
        if events:
            self.records = self._take_records(events)
            self.clock = self.records or LaunchedClock(events)
            if self.group is None or ready.group_error:
                self.stolen = StolenTime(self._engine.root)
        if ready.group_error:
            self._lose("cgroup", f"cgroup v2: it can't be entered ({os.strerror(ready.group_error)})")
        if ready.perf_error:
            self._lose("perf", f"perf events ({os.strerror(ready.perf_error)})")
        self.used_before_ns, self.outside_ns = ready.used_ns, ready.outside_ns

    def move_in(self, pid: int) -> None:
        """Move a child that runs already, and what it has started, into the cgroup. Raises as `open_group`."""
        if self.group is None:
            return
        self.joined_late = True
        try:
            if not is_child(os.P_PID, pid):  # another part of this process has waited for it: the pid may be reused
                return
            self.group.add(pid)
            for row in (self._engine.tree(pid, 0) or ([], 0))[0][1:]:  # since then its new children are in the group
                self.group.add(row.pid)
        except ProckError:
            pass
        except OSError as error:
            self._lose("cgroup", f"cgroup v2: it can't be entered ({error.strerror})")

    def _take_records(self, events: list[int]) -> TaskRecords | None:
        """None where no buffers can be had: then they are but a clock."""
        from prock.accounting.perf_records import TaskRecords

        cpus = len(cpus_to_record())
        if not cpus or len(events) not in (cpus, 2 * cpus):
            return None
        try:
            return TaskRecords(events[:cpus], self._engine, switches=events[cpus:], keep_processes=self._keep_processes)
        except (AccessDenied, NotSupported, OutOfDescriptors) as error:
            self.refusals.append(f"records of processes ({error})")
            return None

    def _lose(self, accounting: str, reason: str) -> None:
        if self._wanted == accounting:
            raise NotSupported(reason)
        self.refusals.append(reason)
        if accounting == "cgroup" and self.group is not None:
            self.group.close()
            self.group = None

    def cpu_ns(self) -> int | None:
        """For a line on a screen."""
        if self.group is not None:
            return self.group.cpu_time().total_ns
        return None if self.clock is None else self.clock.total_ns()

    def close(self) -> None:
        """What still runs goes on uncounted. Once more is no error."""
        if self.clock is not None:
            self.clock.close()
        if self.group is not None:
            self.group.close()
