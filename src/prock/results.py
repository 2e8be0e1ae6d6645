"""Figures of finished measurements: plain data, which `prock.report` turns into text."""

from __future__ import annotations

from prock._compat.namedtuple import NamedTuple
from prock.model import CpuPercent, CpuTime, DiskIo, TreeTotals
from prock.redaction import redact

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any


class Source(NamedTuple):
    """Source and bias of a figure of a `prock.RunResult`.

    - `figure`: Name of the figure: ``cpu``, ``user_system``, ``root_cpu``, ``memory``, ``largest_process``, ``io``,
      ``faults``, ``processes``, ``commands`` ...
    - `source`: ``cgroup``, ``perf``, ``waited``, ``samples`` ..., or several: ``samples, pss``.
    - `bias`: ``exact``, ``lower bound: ...``, ``upper bound: ...`` or ``estimate: ...``.
    """

    figure: str
    source: str
    bias: str


class CommandUsage(NamedTuple):
    """All processes of one name. A process that executed several programs counts for the last.

    - `process_count`: Number of processes of this name. None: unknown, as the kernel ended the records at the exec of a
      program with other privileges.
    - `cpu_ns`: Own CPU time of all of them, in nanoseconds. None: unknown. The bias is that of source ``commands``.
    - `peak_rss_bytes`: Largest resident set size of one of them, as `ProcessUsage.peak_rss_bytes`.
    """

    comm: str
    process_count: int | None
    cpu_ns: int | None
    peak_rss_bytes: int | None


class ProcessUsage(NamedTuple):
    """One process of the tree.

    - `ppid`: Pid of the parent that started it, or else of its parent when it was first seen.
    - `cpu_ns`: Own CPU time in nanoseconds. None: unknown. The bias is that of source ``commands``.
    - `peak_rss_bytes`: Largest resident set size. Exact for the command's own process if it has ended and reaped no
      children (``ru_maxrss``); otherwise ``VmHWM`` as last sampled, a lower bound; None where no sample saw it. Where
      prock attached, of a process that existed then: as sampled, or ``VmHWM`` if it has risen since.
    - `started_ns`: Time from the start of the run to the start of the process.
    - `ended_ns`: Time from the start of the run to the end of the process. None: it was alive at the end.
    - `cmdline`: The arguments, at most 4 KiB of them, as read while it ran; None where they were not read.
    """

    pid: int
    ppid: int | None
    comm: str
    cpu_ns: int | None
    peak_rss_bytes: int | None
    started_ns: int | None
    ended_ns: int | None
    cmdline: tuple[str, ...] | None = None


class Survivor(NamedTuple):
    """A process of the tree that was still running when the run was measured.

    - `cpu_ns`: Own CPU time so far; part of the total.
    - `rss_bytes`: Resident set size; None where access is denied, or it has ended.
    - `cmdline`: The arguments, at most 4 KiB of them, as read while it ran; None where they were not read.
    """

    pid: int
    comm: str
    cpu_ns: int
    rss_bytes: int | None
    cmdline: tuple[str, ...] | None = None


class ReceivedSignal(NamedTuple):
    """A signal that a process sent to the command ``prock`` while it measured.

    - `number`: Number of the signal.
    - `sender_pid`: Pid of the process that sent it; 0: it is in another PID namespace.
    - `sender_uid`: Real user id of the sender.
    - `sender_comm`: Name of the sender; None if it had ended, or access is denied.
    - `wall_ns`: Time from the start of the run.
    """

    number: int
    sender_pid: int
    sender_uid: int
    sender_comm: str | None
    wall_ns: int


class LargeProcess(NamedTuple):
    """A process of a tree that exceeded a limit.

    - `rss_bytes`: Resident set size, shared pages included; None where access is denied.
    - `cpu_ns`: Own CPU time.
    - `cmdline`: The arguments, at most 4 KiB of them, as read while it ran; None where they were not read.
    """

    pid: int
    comm: str
    rss_bytes: int | None
    cpu_ns: int
    cmdline: tuple[str, ...] | None = None


class LimitExceeded(NamedTuple):
    """Which limit ended a tree, and the tree at that moment.

    - `limit`: ``memory``, ``processes`` or ``cpu``.
    - `limit_value`: The limit, in bytes, nanoseconds or number of processes.
    - `value`: What the tree had then, in bytes, nanoseconds or number of processes.
    - `wall_ns`: Time from the start of the run.
    - `memory_bytes`: Memory of the tree, shared pages counted once; None where unknown.
    - `process_count`: Number of processes.
    - `cpu_ns`: CPU time of the tree so far; None where unknown.
    - `largest`: The largest processes by memory, for ``cpu`` by CPU time; at most five.
    """

    limit: str
    limit_value: int
    value: int
    wall_ns: int
    memory_bytes: int | None
    process_count: int
    cpu_ns: int | None
    largest: tuple[LargeProcess, ...]


class RunFigures(NamedTuple):
    """What a command and its whole process tree used.

    Every total has an entry in `sources` with its source and bias; what the figures may lack is in `missing`. Unknown
    is None.

    - `args`: The command; empty for a tree that prock attached to.
    - `pid`: Pid of the root: the process that became the command.
    - `returncode`: Exit code, or ``-n`` for signal n, as in `subprocess.CompletedProcess`. None: unknown, or not ended.
    - `timed_out`: Whether the run was ended because its timeout was reached.
    - `labels`: Labels of the caller, as pairs.
    - `start_time`: Start of the run, in seconds since the epoch.
    - `wall_ns`: Elapsed time from just before the start to the end of the root (with ``wait_all``: of the whole tree).
    - `cpu_ns`: CPU time of the whole tree, `survivors` included. `accounting` names the source, `sources` the bias.
    - `cpu_upper_ns`: CPU time that the tree used at most: the growth of a cgroup that it cannot leave. None: it can
      leave every group that could be read, as mostly where it is root's.
    - `user_ns`: The part of `cpu_ns` in user mode. Estimate, as `CpuTime.user_ns`.
    - `system_ns`: The part of `cpu_ns` in the kernel. Estimate, as `CpuTime.system_ns`.
    - `root_cpu_ns`: CPU time of the root process alone.
    - `accounting`: Source of `cpu_ns`: ``cgroup``, ``perf``, ``waited`` or ``ledger``.
    - `cpu_by_source`: `cpu_ns` by every source that was available, as pairs of name and nanoseconds.
    - `peak_footprint_bytes`: Largest memory of the tree in a sample, shared pages counted once; at least that of the
      largest process: `sources` names which.
    - `peak_footprint_low_bytes`: So much was in memory at one instant: the largest sum of proportional set sizes, less
      what changed while they were read. None where none was read.
    - `peak_footprint_high_bytes`: Upper bound of the memory of the tree in the samples: the sum of resident sets, or
      less where proportional ones were read since memory has changed. What came and went between two samples is
      not in it.
    - `peak_rss_bytes`: Largest sum of resident set sizes in a sample. Shared pages count in each process.
    - `peak_pss_bytes`: Largest sum of proportional set sizes, where it was read at the peak; otherwise None.
    - `largest_process_bytes`: Largest resident set size that a single process ever had; ``ru_maxrss``.
    - `cgroup_peak_bytes`: ``memory.peak`` of the cgroup of the command, page cache included; None without a
      cgroup or its memory controller.
    - `disk_io`: I/O of the whole tree, each process counted once.
    - `minor_faults`: Number of page faults served from memory.
    - `major_faults`: Number of page faults that read from storage.
    - `voluntary_switches`: Number of context switches by processes that waited for something.
    - `involuntary_switches`: Number of context switches that the scheduler forced.
    - `processes_started`: Number of processes ever started, the root included.
    - `peak_process_count`: Largest number of processes at once.
    - `threads_started`: Number of threads started beside the first of each process.
    - `peak_thread_count`: Largest number of threads at once, the first of each process included.
    - `commands`: Usage by command name, most CPU first.
    - `unattributed_cpu_ns`: Nanoseconds of `cpu_ns` that no row of `commands` has; None where `cpu_ns` is.
    - `processes`: Usage by process, in the order of start; empty unless ``processes=True``.
    - `slowest`: The processes with the most CPU time, at most three; empty for a single process.
    - `largest`: The processes with the largest resident sets, at most three; empty for a single process.
    - `survivors`: Processes of the tree that were still running at the end.
    - `samples`: Number of samples taken.
    - `sampling_interval_ns`: Longest time between two samples.
    - `cost_ns`: CPU time of the calling process for the measurement; of the command ``prock``: all of its CPU time.
    - `sources`: Source and bias of each known figure: see `source`.
    - `missing`: What the figures may lack, and why, in sentences.
    - `limit_exceeded`: The limit of `prock.Limits` for which the tree was ended; None without one.
    - `oom_kills`: Number of processes that the kernel killed during the run as memory ran out, in the command's cgroup
      or the nearest one around it that counts them: `sources` names which. None where none does.
    - `signals_received`: Signals that processes sent to the command ``prock``, with their senders; at most ten.
    - `end_time`: End of the measured time, in seconds since the epoch.
    - `stdout`: Captured output, as by `subprocess.run`.
    - `stderr`: Captured error output, as by `subprocess.run`.
    """

    args: tuple[str, ...]
    pid: int
    returncode: int | None
    timed_out: bool
    labels: tuple[tuple[str, str], ...]
    start_time: float
    wall_ns: int
    cpu_ns: int | None
    cpu_upper_ns: int | None
    user_ns: int | None
    system_ns: int | None
    root_cpu_ns: int | None
    accounting: str
    cpu_by_source: tuple[tuple[str, int], ...]
    peak_footprint_bytes: int | None
    peak_footprint_low_bytes: int | None
    peak_footprint_high_bytes: int | None
    peak_rss_bytes: int | None
    peak_pss_bytes: int | None
    largest_process_bytes: int | None
    cgroup_peak_bytes: int | None
    disk_io: DiskIo | None
    minor_faults: int | None
    major_faults: int | None
    voluntary_switches: int | None
    involuntary_switches: int | None
    processes_started: int | None
    peak_process_count: int | None
    threads_started: int | None
    peak_thread_count: int | None
    commands: tuple[CommandUsage, ...]
    unattributed_cpu_ns: int | None
    processes: tuple[ProcessUsage, ...]
    slowest: tuple[ProcessUsage, ...]
    largest: tuple[ProcessUsage, ...]
    survivors: tuple[Survivor, ...]
    samples: int
    sampling_interval_ns: int
    cost_ns: int
    sources: tuple[Source, ...]
    missing: tuple[str, ...]
    limit_exceeded: LimitExceeded | None = None
    oom_kills: int | None = None
    signals_received: tuple[ReceivedSignal, ...] = ()
    end_time: float | None = None
    stdout: Any = None
    stderr: Any = None

    @property
    def cpu_time(self) -> CpuTime | None:
        """User and system time of the tree in nanoseconds; None where the split is unknown."""
        if self.user_ns is None or self.system_ns is None:
            return None
        return CpuTime(self.user_ns, self.system_ns)

    @property
    def cpu_seconds(self) -> float | None:
        """`cpu_ns` in seconds."""
        return None if self.cpu_ns is None else self.cpu_ns / 1e9

    @property
    def user_seconds(self) -> float | None:
        """`user_ns` in seconds."""
        return None if self.user_ns is None else self.user_ns / 1e9

    @property
    def system_seconds(self) -> float | None:
        """`system_ns` in seconds."""
        return None if self.system_ns is None else self.system_ns / 1e9

    @property
    def wall_seconds(self) -> float:
        """`wall_ns` in seconds."""
        return self.wall_ns / 1e9

    @property
    def peak_mib(self) -> float | None:
        """`peak_footprint_bytes` in MiB."""
        return None if self.peak_footprint_bytes is None else self.peak_footprint_bytes / 2**20

    @property
    def cpu_percent(self) -> CpuPercent | None:
        """Mean CPU over the run, in percent of one core."""
        return None if self.cpu_ns is None or not self.wall_ns else 100.0 * self.cpu_ns / self.wall_ns

    @property
    def exit_code(self) -> int | None:
        """Exit code as in the ``$?`` of a shell: 128 + n for signal n."""
        return self.returncode if self.returncode is None or self.returncode >= 0 else 128 - self.returncode

    @property
    def signal(self) -> int | None:
        """Number of the signal that ended the command; None without one."""
        return -self.returncode if self.returncode is not None and self.returncode < 0 else None

    def source(self, figure: str) -> Source | None:
        """Source and bias of a figure; None where it is unknown."""
        return next((source for source in self.sources if source.figure == figure), None)

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> RunFigures:
        """The figures of a document that `as_document` made; keys that are missing are None or empty."""
        fields: dict[str, Any] = {name: document.get(name) for name in cls._fields}
        rows = {
            "commands": CommandUsage, "processes": ProcessUsage, "slowest": ProcessUsage, "largest": ProcessUsage,
            "survivors": Survivor, "sources": Source,
        }  # fmt: skip
        for name, kind in rows.items():
            fields[name] = tuple(_of_document(kind, row) for row in document.get(name) or ())
        fields["args"], fields["missing"] = tuple(document.get("args") or ()), tuple(document.get("missing") or ())
        for name in ("labels", "cpu_by_source"):
            fields[name] = tuple((document.get(name) or {}).items())
        io, limit = document.get("disk_io"), document.get("limit_exceeded")
        fields["disk_io"] = None if io is None else _of_document(DiskIo, io)
        if limit is not None:
            largest = tuple(_of_document(LargeProcess, row) for row in limit.get("largest", ()))
            fields["limit_exceeded"] = _of_document(LimitExceeded, {**limit, "largest": largest})
        return cls(**fields)

    def as_document(self) -> dict[str, object]:
        """For JSON: schema ``prock.run/1``, the fields as numbers and texts; docs/formats.md lists the keys."""
        document: dict[str, object] = {"schema": "prock.run/1"}
        for name, value in self._asdict().items():
            if name not in ("stdout", "stderr"):
                document[name] = _plain(value)
        document["args"] = [plain_text(argument) for argument in redact(self.args)]
        document["labels"] = {plain_text(name): plain_text(value) for name, value in self.labels}
        document["cpu_by_source"] = dict(self.cpu_by_source)
        document["cpu_percent"] = self.cpu_percent
        document["exit_code"] = self.exit_code
        document["signal"] = self.signal
        return document


class Timeline(NamedTuple):
    """The usage of a tree over time, in steps of equal length.

    - `step_ns`: Length of a step in nanoseconds.
    - `cpu_ns`: By command, CPU time in nanoseconds in each step; the command with the most first.
    - `memory_bytes`: By command, memory in bytes in the sample of each step that has the largest total: its share, by
      resident sets, of the tree's memory, in which shared pages count once where that was measured.
    - `disk_bytes`: By command, bytes read from and written to disk in each step, as sampled: lower bounds. None where
      that was not measured.
    - `process_count`: The largest number of processes in each step.
    - `thread_count`: The largest number of threads in each step.
    - `marks`: Pairs of nanoseconds since the start and a text.
    """

    step_ns: int
    cpu_ns: dict[str, tuple[int, ...]]
    memory_bytes: dict[str, tuple[int, ...]]
    disk_bytes: dict[str, tuple[int, ...]] | None
    process_count: tuple[int, ...]
    thread_count: tuple[int, ...]
    marks: tuple[tuple[int, str], ...]


class MonitorFigures(NamedTuple):
    """CPU, memory and I/O of a block. Peaks are the largest sample: lower bounds.

    - `wall_ns`: Elapsed time from the baseline to the last sample.
    - `cpu_ns`: CPU time of the tree within the block, as `TreeTotals.cpu_ns`. Lower bound.
    - `cpu_percent`: Mean CPU over the block, in percent of one core.
    - `accounting`: Source of `cpu_ns`: ``ledger`` or ``perf``, as `TreeTotals.accounting`.
    - `ended_cpu_ns`: The part of `cpu_ns` used by processes that have ended, as last read.
    - `unseen_cpu_ns`: The part of `cpu_ns` that no sample saw in a process.
    - `disk_io`: I/O of the tree within the block; None unless ``io=True``. Lower bound.
    - `peak_cpu_percent`: Highest CPU of one sample, in percent of one core, without the shorter last interval.
    - `peak_cpu_percent_over_ns`: The time over which it was taken, as `TreeTotals.cpu_percent_over_ns`.
    - `peak_rss_bytes`: The largest sum of resident sets; shared pages count once in each process.
    - `peak_pss_bytes`: The largest sum of proportional set sizes; None unless ``pss=True``.
    - `peak_process_count`: Largest number of processes at once.
    - `peak_thread_count`: Largest number of threads at once, the first of each process included.
    - `samples`: Number of samples, the one at the end included.
    - `skipped`: Number of samples left out because their time had passed.
    - `late_ns`: The longest delay of a sample after its deadline.
    - `cost_ns`: CPU time of this program for all samples.
    - `denied`: Largest number of members in one sample that this user may not read in full.
    - `series`: The totals of every sample; empty unless ``series=True``.
    - `children_cpu_ns`: The part of `cpu_ns` that the root itself did not use: CPU time of the processes that it
      started. Lower bound; None where the root has ended.
    """

    wall_ns: int
    cpu_ns: int
    cpu_percent: CpuPercent | None
    accounting: str
    ended_cpu_ns: int
    unseen_cpu_ns: int
    disk_io: DiskIo | None
    peak_cpu_percent: CpuPercent | None
    peak_cpu_percent_over_ns: int
    peak_rss_bytes: int | None
    peak_pss_bytes: int | None
    peak_process_count: int
    peak_thread_count: int
    samples: int
    skipped: int
    late_ns: int
    cost_ns: int
    denied: int
    series: tuple[TreeTotals, ...]
    children_cpu_ns: int | None = None

    @property
    def cpu_seconds(self) -> float:
        """`cpu_ns` in seconds."""
        return self.cpu_ns / 1e9

    @property
    def wall_seconds(self) -> float:
        """`wall_ns` in seconds."""
        return self.wall_ns / 1e9

    @property
    def peak_mib(self) -> float | None:
        """The peak of the memory in MiB: `peak_pss_bytes`, or else `peak_rss_bytes`."""
        peak = self.peak_rss_bytes if self.peak_pss_bytes is None else self.peak_pss_bytes
        return None if peak is None else peak / 2**20


def _of_document(kind: Any, row: Mapping[str, Any]) -> Any:
    return kind(**{name: row.get(name) for name in kind._fields})


def _plain(value: Any) -> Any:
    if hasattr(value, "_asdict"):
        fields = value._asdict()
        if fields.get("cmdline") is not None:
            fields["cmdline"] = redact(fields["cmdline"])
        return {name: _plain(part) for name, part in fields.items()}
    if isinstance(value, tuple):
        return [_plain(part) for part in value]
    return plain_text(value) if isinstance(value, str) else value


def plain_text(text: str) -> str:
    r"""Bytes that are not UTF-8 as ``\xff``, other lone surrogates as ``\ud800``."""
    if text.isascii():
        return text
    try:
        return text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    except UnicodeEncodeError:
        return text.encode("utf-8", "backslashreplace").decode()
