"""CPU time of a tree by perf events: `LaunchedClock` of a command, `TaskClocks` of a tree that runs already.

A command's process opens an event ``task-clock`` on itself before it executes the command. Of a running tree, each
thread gets one; `prock.accounting.perf_attach` finds out which threads need one. Processes and threads inherit events
from the thread that starts them, and their time stays in it when they end. Measured on Linux 6.18 against a cgroup:

- The events of a process end before its memory is torn down. Of children that use 2 ms the sum has 97 %, of
  double-forked ones 93 %, of children of 20 ms with a copy of 100 MB 86 %.
- The exec of a setuid or unreadable program by an ordinary user disables its events without an error, inherited ones
  too: the sum has 202 of 404 ms. In a tree of root's they stay enabled.
- Events count wall time on a CPU. In a virtual machine that includes time that the host stole, which no other source
  counts: 1.8 % in one measurement. Otherwise the sum is a lower bound.
"""

from __future__ import annotations

import errno
import os
import sys

from prock._compat import fork
from prock.accounting.perf_attach import Attachment, is_event
from prock.accounting.protocol import PERF, PERF_LACKS, CpuReading
from prock.errors import NotSupported

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from prock.accounting.perf_records import TaskRecords
    from prock.accounting.steal import StolenTime
    from prock.engine.protocol import Engine
    from prock.model import ProcessInfo

MOST_CPUS = 16
"""With more CPUs online, one event for all CPUs, without records: an event per CPU costs a fork 2.4 µs each, 40 µs with
16 CPUs, a tenth of starting the smallest program."""
NOTICEABLE = 0.005
"""A smaller part of stolen time leaves the reading a lower bound."""


def cpus_to_record() -> list[int]:
    """The CPUs that each need an event: all online ones; none where those are more than `MOST_CPUS`.

    A CPU that comes online later is not counted. Cost: one file.
    """
    try:
        with open("/sys/devices/system/cpu/online", "rb") as file:
            ranges = [part.partition(b"-") for part in file.read().strip().split(b",")]
        cpus = [cpu for first, _, last in ranges for cpu in range(int(first), int(last or first) + 1)]
    except (OSError, ValueError):
        return []
    return cpus if len(cpus) <= MOST_CPUS else []


class LaunchedClock:
    """The events of a command without records: one for all CPUs, or several."""

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

    name = PERF

    def __init__(self, clock: LaunchedClock | TaskRecords, stolen: StolenTime | None) -> None:
        """`stolen`: None where another source makes the total, so that the reading need not be corrected."""
        self._clock = clock
        self._stolen = stolen

    def reading(self, members: Sequence[ProcessInfo] = (), /) -> CpuReading:
        """Without the part that the host stole. Lower bound, by about 0.1 ms for each process that ended."""
        total_ns = self._clock.total_ns()
        part = 0.0 if self._stolen is None else self._stolen.share()
        bias = f"estimate: {100 * part:.1f} % stolen by the host, subtracted" if part >= NOTICEABLE else PERF_LACKS
        return CpuReading(PERF, round(total_ns * (1 - part)), bias)

    def close(self) -> None:
        self._clock.close()


class TaskClocks:
    """The events of the trees below some processes, as one sum; one object a tree, where each is to have its own.

    A process that is gone adds nothing: without any there are no `descriptors`. Trees may overlap; no thread counts
    twice within one object. Cost: 60 to 80 µs a thread to attach, 6 of them for the event, the others for the proof
    that its thread sleeps and for two looks at the tree, or more where something forks; a microsecond an event to read.
    Where threads run, attaching waits until no fork of theirs can be in flight: a millisecond, longer for large
    processes.

    Raises `AccessDenied` where the kernel refuses the event of any thread (another user's process, a high
    kernel.perf_event_paranoid, a sandbox), `OutOfDescriptors` where they do not suffice or more than `limit` are
    needed, and `NotSupported` without perf events, without CONFIG_PROC_CHILDREN, and for another PID namespace's proc.
    Nothing stays open then.
    """

    def __init__(self, root_pids: Iterable[int], engine: Engine, limit: int) -> None:
        self._attachment: Attachment | None = None  # so that close() works whatever fails below
        core = engine.core
        if core is None:
            raise NotSupported(f"perf events: only the compiled core opens them, and the engine is {engine.name}")
        if not engine.clocks_usable:
            raise NotSupported("perf events by way of another PID namespace's proc")
        self._engine = core
        self._most_ns = 0
        self._attachment = Attachment(core, limit)
        fork.register(self)
        try:
            self._attachment.run(list(root_pids))
        except BaseException:
            self.close()
            raise

    @property
    def descriptors(self) -> int:
        """How many are open."""
        return 0 if self._attachment is None else self._attachment.descriptors

    @property
    def missed(self) -> int:
        """Threads and processes, found while attaching, that may not be counted, or not in full.

        It could not be told, or not yet, whether they are in another's event, and to count one twice would be worse.
        """
        attachment = self._attachment
        if attachment is None:
            return 0
        return attachment.missed + sum(not doubt.is_clean for doubt in attachment.doubts)

    def total_ns(self) -> int:
        """CPU of the trees since they were attached to. Never falls.

        Raises `ValueError` once it is closed, and `OSError` where somebody else closed its descriptors: their numbers
        may be other files' by now, and are not read.
        """
        attachment = self._attachment
        if attachment is None:
            raise ValueError("these events are closed, or belong to the process that this one was forked from")
        if attachment.events and not is_event(attachment.events[0]):
            raise OSError(errno.EBADF, "the descriptors of perf events were closed by somebody else")
        doubtful = attachment.settle_doubts()
        self._most_ns = max(self._most_ns, doubtful + self._engine.read_task_clocks(attachment.events))
        return self._most_ns

    def close(self) -> None:
        """End the counting. Once more is no error."""
        attachment, self._attachment = self._attachment, None
        if attachment is not None:
            attachment.close()

    def after_fork(self) -> None:
        """Close the copies in the child, where the events would keep counting after the parent has closed its own."""
        self.close()

    def __enter__(self) -> TaskClocks:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def __del__(self) -> None:
        self.close()
