"""What prock answers with: plain rows, immutable, hashable, picklable.

Units are in the names. ``None`` means unknown (not asked for, refused, or gone), never zero. Below each field stands
where the kernel says it, and how the number is biased: *exact*, *lower bound*, *upper bound* or *estimate*.
"""

from __future__ import annotations

from prock._compat.namedtuple import NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from typing import TypeAlias

CpuPercent: TypeAlias = float
"""CPU time over elapsed time, in percent: 100.0 is one core for the whole interval, a tree on 8 cores reaches 800.0."""

Identity: TypeAlias = "tuple[int, int]"
"""``(pid, start_ticks)``: names one process as long as the machine is up, also after its pid was given away."""


class Metric:
    """A row of `METRICS`, the table of what prock measures.

    - `unit`, `kind`: ``nanoseconds``, ``bytes`` or ``number``; a ``counter`` only grows, a ``gauge`` is a level.
    - `source`, `bias`: where the kernel reports it; how far that is from the true value.
    - `tree`: how members add up to a tree: ``sum``, or ``upper bound`` where shared parts count in each.
    - `text`: what it is. The help of the fields ``NAME``, ``subtree_NAME`` and ``peak_NAME`` is made of these.
    - `option`, `file`, `title`: of a metric with a reader of its own: the keyword (and command line option) that asks
      for it, its name in `refused`, and the title of its column. Its row types have the fields ``NAME`` and, for
      members of a sampled tree, ``subtree_NAME``; None where it was not asked for or is refused.
    """

    __slots__ = ("bias", "file", "kind", "name", "option", "source", "text", "title", "tree", "unit", "want")

    def __init__(
        self,
        name: str,
        unit: str,
        kind: str,
        tree: str,
        text: str,
        source: str,
        bias: str,
        *,
        option: str = "",
        file: str = "",
        title: str = "",
    ) -> None:
        self.name, self.unit, self.kind, self.tree = name, unit, kind, tree
        self.text, self.source, self.bias = text, source, bias
        self.option, self.file, self.title = option, file, title
        self.want = 0
        """The engines' bit for it, of those with a reader of their own."""


# fmt: off
METRICS = (
    Metric(
        "cpu_ns", "nanoseconds", "counter", "sum",
        "CPU time, user and system", "the process's CPU clock",
        "exact; a running thread lags by up to one scheduler tick",
    ),
    Metric(
        "user_ns", "nanoseconds", "counter", "sum",
        "CPU time in user mode", "utime of /proc/PID/stat",
        "estimate: the exact total, divided as scheduler ticks fell",
    ),
    Metric(
        "system_ns", "nanoseconds", "counter", "sum",
        "CPU time in the kernel", "stime of /proc/PID/stat", "estimate, as user_ns",
    ),
    Metric(
        "rss_bytes", "bytes", "gauge", "upper bound",
        "resident set size", "/proc/PID/stat and statm", "per-CPU counters of the kernel may lag by some dozen pages",
    ),
    Metric(
        "vsize_bytes", "bytes", "gauge", "sum",
        "address space in use", "/proc/PID/stat and statm", "exact",
    ),
    Metric(
        "pss_bytes", "bytes", "gauge", "sum",
        "proportional set size: shared pages divided by their users", "/proc/PID/smaps_rollup",
        "exact when read, then up to 10 s old",
    ),
    Metric(
        "process_count", "number", "gauge", "sum",
        "number of processes, zombies included", "the members",
        "lower bound: lacks those that live between two samples",
    ),
    Metric(
        "thread_count", "number", "gauge", "sum",
        "number of threads", "/proc/PID/stat", "exact",
    ),
    Metric(
        "minor_faults", "number", "counter", "sum",
        "page faults served from memory", "minflt of /proc/PID/stat", "exact",
    ),
    Metric(
        "major_faults", "number", "counter", "sum",
        "page faults that read from storage", "majflt of /proc/PID/stat", "exact",
    ),
    Metric(
        "read_bytes", "bytes", "counter", "sum",
        "bytes fetched from storage", "read_bytes of /proc/PID/io",
        "exact for local file systems, 0 for most network ones",
    ),
    Metric(
        "write_bytes", "bytes", "counter", "sum",
        "bytes sent or to be sent to storage", "write_bytes of /proc/PID/io", "counted when the page is dirtied",
    ),
    Metric(
        "cancelled_write_bytes", "bytes", "counter", "sum",
        "bytes of write_bytes never written, as the file was truncated first", "cancelled_write_bytes of /proc/PID/io",
        "exact",
    ),
    Metric(
        "read_chars", "bytes", "counter", "sum",
        "bytes through read calls, page cache, pipes and terminals included", "rchar of /proc/PID/io", "exact",
    ),
    Metric(
        "write_chars", "bytes", "counter", "sum",
        "bytes through write calls", "wchar of /proc/PID/io", "exact",
    ),
    Metric(
        "read_count", "number", "counter", "sum",
        "number of read calls", "syscr of /proc/PID/io", "exact",
    ),
    Metric(
        "write_count", "number", "counter", "sum",
        "number of write calls", "syscw of /proc/PID/io", "exact",
    ),
)
# fmt: on
"""All metrics. `NUMBERS` are those with a reader of their own; CONTRIBUTING says how one is added."""

NUMBERS = tuple(metric for metric in METRICS if metric.option)
for _place, _metric in enumerate(NUMBERS):
    _metric.want = 8 << _place


def wanted_numbers(options: Mapping[str, bool]) -> int:
    """The engines' bits for the metrics whose option is true."""
    return sum(metric.want for metric in NUMBERS if options.get(metric.option))


class CpuTime(NamedTuple):
    """CPU time used, in nanoseconds.

    Differences saturate at zero: the split between user and system can move backwards by a tick, a total can not.

    >>> later, earlier = CpuTime(user_ns=7, system_ns=2), CpuTime(user_ns=4, system_ns=3)
    >>> later - earlier, (later - earlier).total_ns
    (CpuTime(user_ns=2, system_ns=0), 2)
    """

    user_ns: int
    """Time in user mode. Estimate: the exact total, divided as the scheduler ticks fell."""
    system_ns: int
    """Time in the kernel. Estimate, as `user_ns`."""

    @property
    def total_ns(self) -> int:
        """User and system together. Exact from the CPU clock; counted in ticks it is a lower bound by up to 20 ms."""
        return self.user_ns + self.system_ns

    def __add__(self, other: CpuTime) -> CpuTime:  # type: ignore[override]  # a sum of times, not of tuples
        if not isinstance(other, CpuTime):
            return NotImplemented
        return CpuTime(self.user_ns + other.user_ns, self.system_ns + other.system_ns)

    def __sub__(self, other: CpuTime) -> CpuTime:
        if not isinstance(other, CpuTime):
            return NotImplemented
        total = max(0, self.total_ns - other.total_ns)
        user = min(total, max(0, self.user_ns - other.user_ns))
        return CpuTime(user, total - user)


class DiskIo(NamedTuple):
    """I/O counters of a process: on Linux ``/proc/PID/io``, on Windows `GetProcessIoCounters`. None where there are
    none of that kind; sums and differences with such a one are None, too.

    Linux adds the counters of every child that was waited for to its parent's, and keeps no separate field: the
    sum over a tree's live processes counts nothing twice, but a single process's figures jump when it reaps a child.
    Windows hands nothing on.
    """

    read_bytes: int | None
    """Bytes fetched from storage. ``read_bytes``; exact for local file systems, 0 for most network ones."""
    write_bytes: int | None
    """Bytes sent (or about to be sent) to storage. ``write_bytes``; charged when the page is dirtied."""
    cancelled_write_bytes: int | None
    """Bytes of `write_bytes` that never had to be written: the file was truncated first. ``cancelled_write_bytes``."""
    read_chars: int | None
    """Bytes through read calls, page cache, pipes and terminals included. ``rchar``; exact."""
    write_chars: int | None
    """Bytes through write calls. ``wchar``; exact."""
    read_count: int | None
    """Number of read calls. ``syscr``; exact."""
    write_count: int | None
    """Number of write calls. ``syscw``; exact."""

    def __add__(self, other: DiskIo) -> DiskIo:  # type: ignore[override]  # a sum of counters, not of tuples
        if not isinstance(other, DiskIo):
            return NotImplemented
        a, b, c, d, e, f, g = self  # by hand: a fifth of what a loop costs, and ledgers add much
        h, i, j, k, m, n, o = other
        try:
            return DiskIo(a + h, b + i, c + j, d + k, e + m, f + n, g + o)  # type: ignore[operator]  # None is rare
        except TypeError:
            return _by_field(int.__add__, self, other)

    def __sub__(self, other: DiskIo) -> DiskIo:
        if not isinstance(other, DiskIo):
            return NotImplemented
        try:
            return DiskIo(*map(_at_least_zero, map(int.__sub__, self, other)))  # type: ignore[arg-type]  # as above
        except TypeError:
            return _by_field(lambda a, b: max(0, a - b), self, other)

    def largest(self, other: DiskIo) -> DiskIo:
        """Of each counter the larger one."""
        try:
            return DiskIo(*map(max, self, other))  # type: ignore[arg-type]  # as above
        except TypeError:
            return _by_field(max, self, other)


def _by_field(combine: Callable[[int, int], int], one: DiskIo, other: DiskIo) -> DiskIo:
    return DiskIo(*(None if a is None or b is None else combine(a, b) for a, b in zip(one, other, strict=True)))


def _at_least_zero(number: int) -> int:
    return number if number > 0 else 0


def _can_run(state: str, thread_count: int | None) -> bool:
    return state not in ("Z", "X", "x") or (thread_count or 1) > 1


class LivenessInfo(NamedTuple):
    """Is it alive, and is it still the same process? From one read of ``/proc/PID/stat``."""

    pid: int
    ppid: int
    """Parent; 0 where there is none in this PID namespace."""
    pgrp: int | None
    session: int | None
    """As the process group None where the system has none (Windows), or does not tell of others'."""
    tty: str | None
    """Controlling terminal as ``ps -o tty=`` prints it (``pts/3``), None without one."""
    state: str
    """One letter as in proc(5): R, S, D, Z (zombie), T, t, I, X … Windows tells suspended processes only: T, else ?."""
    comm: str
    """Name of the main thread, at most 15 bytes; bytes that are not UTF-8 as surrogate escapes."""
    thread_count: int | None
    """None where it is refused (macOS: of other users' processes)."""
    start_ticks: int
    """Start, in clock ticks since boot, or but on Linux in microseconds since the epoch. With the pid: its identity."""
    start_time: float
    """Start, in seconds since the epoch. On Linux to the tick (10 ms), and it moves when the wall clock is set; macOS
    and Windows tell what that clock showed. For show."""

    @property
    def identity(self) -> Identity:
        """What survives the reuse of a pid."""
        return (self.pid, self.start_ticks)

    @property
    def is_alive(self) -> bool:
        """Whether it can still run. A zombie can not; one whose main thread alone has ended shows Z too, and can."""
        return _can_run(self.state, self.thread_count)


class ProcessInfo(NamedTuple):
    """One process as ``/proc/PID/stat`` describes it: a row of a full scan.

    None is what the engine can't know: on Linux nothing, unless psutil is asked.
    """

    pid: int
    ppid: int
    """Parent; 0 where there is none in this PID namespace."""
    pgrp: int | None
    session: int | None
    tty_nr: int | None
    """Device number of the controlling terminal, 0 without one. None by psutil: see `LivenessInfo.tty`."""
    state: str
    comm: str
    thread_count: int
    start_ticks: int
    user_ns: int
    """Own time in user mode, all threads. Estimate: the exact total, divided as `utime` and `stime` are."""
    system_ns: int
    children_user_ns: int | None
    """Of children that were waited for, and theirs. ``cutime``; lower bound, by less than a tick of 10 ms. macOS and
    Windows keep none: None."""
    children_system_ns: int | None
    """``cstime``; as `children_user_ns`."""
    rss_bytes: int
    """Resident pages; shared ones count in every process. The kernel's per-CPU counters may lag by some dozen pages."""
    vsize_bytes: int
    """Address space in use; exact. On Windows what is committed to it alone (its page file usage)."""
    minor_faults: int | None
    """``minflt``; exact. None by psutil, as the next three."""
    major_faults: int | None
    """``majflt``: those that had to read from storage; exact."""
    children_minor_faults: int | None
    """``cminflt``, of children that were waited for, and theirs; exact."""
    children_major_faults: int | None
    """``cmajflt``; as `children_minor_faults`."""

    @property
    def identity(self) -> Identity:
        """What survives the reuse of a pid."""
        return (self.pid, self.start_ticks)

    @property
    def is_alive(self) -> bool:
        """As `LivenessInfo.is_alive`."""
        return _can_run(self.state, self.thread_count)

    @property
    def cpu_time(self) -> CpuTime:
        """Its own, without children."""
        return CpuTime(self.user_ns, self.system_ns)

    @property
    def cpu_time_with_children(self) -> CpuTime | None:
        """Its own and that of children waited for; None where the system keeps no account of these."""
        if self.children_user_ns is None or self.children_system_ns is None:
            return None
        return CpuTime(self.user_ns + self.children_user_ns, self.system_ns + self.children_system_ns)

    @property
    def waited_ns(self) -> int:
        """CPU of children waited for, in all; lower bound: 0 where the system keeps no account of it."""
        return (self.children_user_ns or 0) + (self.children_system_ns or 0)


class Scan(tuple["ProcessInfo", ...]):
    """All processes of the machine at about one time: an immutable sequence of `ProcessInfo`, ascending pids.

    A scan is not atomic: it can hold a child without its parent, and, after reuse of a pid, even a cycle.
    """

    taken_ns: int
    """When it began, in nanoseconds of the monotonic clock."""
    vanished: int
    """Processes listed that had ended when their turn came."""
    denied: int
    """Processes listed that this user may not read (``hidepid``)."""

    def __new__(
        cls, rows: Iterable[ProcessInfo] = (), *, taken_ns: int = 0, vanished: int = 0, denied: int = 0
    ) -> Scan:
        self = super().__new__(cls, rows)
        self.__dict__.update(taken_ns=taken_ns, vanished=vanished, denied=denied)
        return self

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"a Scan does not change: {name} can't be set")

    def __repr__(self) -> str:
        return f"<Scan of {len(self)} processes, {self.vanished} vanished, {self.denied} denied>"


class ProcessStats(NamedTuple):
    """One process at one instant."""

    taken_ns: int
    """When the reading began, in nanoseconds of the monotonic clock. The members of a tree share one instant."""
    pid: int
    ppid: int | None
    """Parent. Of a tree's member that refuses its ``stat``: the process in whose list of children it stood."""
    cpu_time: CpuTime | None
    """Its own, all threads, without children. Exact; a thread running just then lags by up to a scheduler tick."""
    info: ProcessInfo | None
    """The rest of ``stat``; None where not asked for or refused."""
    disk_io: DiskIo | None
    """``/proc/PID/io``; None where not asked for or refused."""
    refused: tuple[str, ...]
    """Names of the files that were asked for and that the kernel refused."""

    @property
    def comm(self) -> str | None:
        return None if self.info is None else self.info.comm

    @property
    def state(self) -> str | None:
        return None if self.info is None else self.info.state

    @property
    def identity(self) -> Identity | None:
        """What survives the reuse of a pid."""
        return None if self.info is None else self.info.identity

    @property
    def cpu_time_with_children(self) -> CpuTime | None:
        """Its own and that of children waited for. The children's part is a lower bound, by less than 20 ms."""
        return None if self.info is None else self.info.cpu_time_with_children

    @property
    def rss_bytes(self) -> int | None:
        return None if self.info is None else self.info.rss_bytes

    @property
    def vsize_bytes(self) -> int | None:
        return None if self.info is None else self.info.vsize_bytes

    @property
    def thread_count(self) -> int | None:
        return None if self.info is None else self.info.thread_count


class TreeStats(NamedTuple):
    """A process and all its descendants at about one instant.

    Totals are sums over the members that could be read. None: not asked for, or of no member known.
    """

    taken_ns: int
    """When the reading began, in nanoseconds of the monotonic clock."""
    cpu_time: CpuTime
    """Own times of all members. Falls when a member ends."""
    cpu_time_with_children: CpuTime | None
    """Own times and those of children that members waited for. Nothing is in it twice, as parents are read before
    their children. Lower bound: by less than 20 ms a member, and by whatever ended without being waited for."""
    rss_bytes: int | None
    """Upper bound: pages that members share count once for each."""
    vsize_bytes: int | None
    thread_count: int | None
    disk_io: DiskIo | None
    """Of members and of children that they waited for. Lower bound where members refused it."""
    members: tuple[ProcessStats, ...]
    """Root first, then breadth first."""
    vanished: int
    """Descendants that were found and had ended when their turn came."""
    denied: int
    """Members of which something asked for was refused: see their `ProcessStats.refused`."""

    @property
    def process_count(self) -> int:
        """Members read, the root included, zombies too."""
        return len(self.members)

    @property
    def pids(self) -> tuple[int, ...]:
        """Root first, then breadth first."""
        return tuple(member.pid for member in self.members)


class AllStats(NamedTuple):
    """What one process uses, in one call."""

    cpu_time: CpuTime
    """As `prock.get_cpu_time`."""
    memory_bytes: int
    """Resident set size, as `prock.get_memory`."""
    memory_virtual_bytes: int
    """As `prock.get_memory_virtual`."""
    disk_io: DiskIo | None
    """As `prock.get_disk_io`; None where the kernel refuses it to this user or does not count it."""


class TreeUsage(NamedTuple):
    """What a tracker says of a tree."""

    cpu_percent: CpuPercent | None
    """CPU over the tracker's interval; None on the first call, when there is no interval yet."""
    memory_bytes: int | None
    """Sum of the members' resident sets; upper bound, as shared pages count in each."""
    process_count: int


class MemberSample(NamedTuple):
    """One process of a tree that is followed, in one sample. Its subtree is itself and all below it.

    What a process that has not run since it was last read says of itself is not read again: it can't have changed, but
    for `rss_bytes`, which the kernel may have reclaimed from; that is at most a second old.
    """

    pid: int
    ppid: int
    """Parent now. Outside the tree for the root, and for orphans that were handed to somebody there."""
    comm: str
    """Name, `state` and `thread_count`: of a process that runs, at most a second old."""
    state: str
    thread_count: int
    start_ticks: int
    cpu_ns: int
    """Its own, since its start; exact, as `ProcessStats.cpu_time`."""
    cpu_percent: CpuPercent | None
    """Its own, over the sample's interval. None: seen for the first time, but older than the interval."""
    rss_bytes: int | None
    vsize_bytes: int | None
    disk_io: DiskIo | None
    """Since its start, of itself and of children that it waited for."""
    pss_bytes: int | None
    """Proportional share of its memory, as last read; the tree's `TreeTotals.pss_age_ns` says how old at most."""
    subtree_process_count: int
    subtree_thread_count: int
    subtree_cpu_ns: int
    """Own and waited-for time of all; the waited-for part is a lower bound, by less than 20 ms a process."""
    subtree_cpu_percent: CpuPercent | None
    """Over the interval, with what children used that lived and ended within it, where they were waited for."""
    subtree_rss_bytes: int | None
    """Upper bound: shared pages count in each process."""
    subtree_vsize_bytes: int | None
    subtree_disk_io: DiskIo | None
    """Lower bound where members refuse it; None where all do."""
    refused: tuple[str, ...]
    """Names of the files that were asked for and that the kernel refused."""

    @property
    def identity(self) -> Identity:
        """What survives the reuse of a pid."""
        return (self.pid, self.start_ticks)

    @property
    def is_alive(self) -> bool:
        """As `LivenessInfo.is_alive`."""
        return _can_run(self.state, self.thread_count)


class TreeTotals(NamedTuple):
    """The totals of a tree in one sample. Usage counts from the baseline, taken when sampling of the tree began."""

    root_pid: int
    taken_ns: int
    """Start of the sample, in nanoseconds of the monotonic clock."""
    interval_ns: int
    """Time since the previous sample, or since the baseline."""
    wall_ns: int
    """Time since the baseline."""
    process_count: int
    """Members alive, zombies included."""
    thread_count: int
    """Their threads."""
    cpu_ns: int
    """CPU time of the tree, ended members included. Never falls. Lower bound, see `cpu_bias`."""
    cpu_percent: CpuPercent | None
    """CPU over the interval, 100 is one core. None: no time has passed."""
    accounting: str
    """Source of `cpu_ns`: ``ledger`` (`prock.sampling.cpu_ledger`) or ``perf`` (`prock.accounting`)."""
    ended_cpu_ns: int
    """The part of `cpu_ns` used by members that have ended, as last read."""
    unseen_cpu_ns: int
    """The part of `cpu_ns` that no sample saw in a process: children that lived between two samples, and the last
    moments of members. With perf it falls when a later reading attributes it to a member."""
    rss_bytes: int | None
    """Sum of the resident sets. Upper bound: shared pages count once in each process."""
    vsize_bytes: int | None
    """Sum of the address spaces."""
    pss_bytes: int | None
    """Sum of the proportional set sizes as last read. Lower bound until each member was read once."""
    pss_age_ns: int | None
    """Age of the oldest reading in `pss_bytes`."""
    disk_io: DiskIo | None
    """I/O of the tree, ended members included. Never falls. Lower bound."""
    appeared: int
    """Members first seen in this sample."""
    ended: int
    """Members that ended since the previous sample."""
    vanished: int
    """Processes that were found and ended before they could be read."""
    denied: int
    """Members that this user may not read in full: see `MemberSample.refused`."""
    cost_ns: int
    """CPU time of the calling thread for this sample; in a `Forest` for all trees together."""
    late_ns: int
    """How long after its deadline the sample was taken; 0 without a deadline."""
    skipped: int
    """Samples left out before this one because their time had passed."""
    suspended_ns: int | None
    """How long the machine was suspended since the previous sample; not part of `interval_ns`. None: not on Linux."""

    @property
    def is_over(self) -> bool:
        """Whether all members have ended."""
        return self.process_count == 0

    @property
    def cpu_bias(self) -> str:
        """Bias of `cpu_ns`, in one line."""
        if self.accounting == "perf":
            return "lower bound, plus what a VM's host steals"
        return "lower bound: lacks the unseen and unreaped"
