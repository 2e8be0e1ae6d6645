"""Result types: plain rows, immutable, hashable, picklable; and `METRICS`, the table of what prock measures.

Units are in the names. ``None`` means unknown (not read, access denied, or gone), never zero. `help` of a type has the
source and the bias of each field: *exact*, *lower bound*, *upper bound* or *estimate*.
"""

from __future__ import annotations

from prock._compat.namedtuple import FIELD_TEXTS, NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from typing import TypeAlias

BPF_LACKS = (
    "lower bound, by a scheduler tick for each running thread and 0.5 % of short processes at most, unless records "
    "were lost"
)
"""Bias of CPU time from eBPF records."""

CpuPercent: TypeAlias = float
"""CPU time over elapsed time, in percent: 100.0 is one core for the whole interval, a tree on 8 cores reaches 800.0."""

Identity: TypeAlias = "tuple[int, int]"
"""``(pid, start_ticks)``: identifies a process until the machine is rebooted, also after its pid was reused."""


class Metric(NamedTuple):
    """A row of `METRICS`, the table of what prock measures.

    - `unit`, `kind`: ``nanoseconds``, ``bytes`` or ``number``; a ``counter`` only grows, a ``gauge`` is a level.
    - `source`, `bias`: where the kernel reports it; how far that is from the true value.
    - `tree`: how members add up to a tree: ``sum``, or ``upper bound`` where shared parts count in each.
    - `text`: what it is. The help of the fields ``NAME``, ``subtree_NAME`` and ``peak_NAME`` is made of these.
    - `option`, `file`, `title`: only of `NUMBERS`, the metrics with a separate reader: the keyword and command line
      option that select it, its name in `refused`, the title of its column. Rows have a field ``NAME``, members of a
      sampled tree also ``subtree_NAME``. None where it was not selected, or access is denied.
    - `want`: only of `NUMBERS`: the engines' bit for it.
    """

    name: str
    unit: str
    kind: str
    tree: str
    text: str
    source: str
    bias: str
    option: str = ""
    file: str = ""
    title: str = ""
    want: int = 0


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
        "hugetlb_bytes", "bytes", "gauge", "upper bound",
        "huge pages of hugetlbfs, in no resident set size", "HugetlbPages of /proc/PID/status",
        "exact when read, at most a second old while the process runs; 0 where the system has none",
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
    Metric(
        "fd_count", "number", "gauge", "sum",
        "number of open file descriptors; on Windows of handles", "the size or the entries of /proc/PID/fd", "exact",
        option="fds", file="fd", title="FDS",
    ),
)
# fmt: on
"""All metrics. `NUMBERS` are those with a reader of their own; CONTRIBUTING says how one is added."""

NUMBERS = tuple(
    metric._replace(want=8 << place) for place, metric in enumerate(metric for metric in METRICS if metric.option)
)


def wanted_numbers(options: Mapping[str, bool]) -> int:
    """The engines' bits for the metrics whose option is true."""
    return sum(metric.want for metric in NUMBERS if options.get(metric.option))


def _texts() -> Iterator[tuple[str, str]]:
    """Help of the fields that mean the same in all types; of a metric's, made of its row in the table."""
    for metric in METRICS:
        text = f"{metric.text[0].upper()}{metric.text[1:]}"
        yield metric.name, f"{text}. Source: {metric.source}. Bias: {metric.bias}."
        bias = "upper bound, as shared pages count in each process" if metric.tree != "sum" else metric.bias
        yield f"subtree_{metric.name}", f"{text}: of the process and all below it. Bias: {bias}."
        yield f"peak_{metric.name}", f"{text}: the largest of a sample, a lower bound of the peak."
    yield "pid", "Process id."
    yield "ppid", "Pid of the parent; 0 where there is none in this PID namespace."
    yield "pgrp", "Process group id. None on Windows, and where the system denies it."
    yield "session", "Session id. None on Windows, and where the system denies it."
    yield "state", "One letter as in proc(5): R, S, D, Z (zombie), T, t, I, X. On Windows T (suspended) or ?."
    yield "comm", "Name of the main thread, at most 15 bytes; bytes that are not UTF-8 as surrogate escapes."
    yield "start_ticks", "Start in clock ticks since boot; not on Linux: in microseconds since the epoch."
    yield "start_time", "Start in seconds since the epoch, to the tick (10 ms). Moves when the wall clock is set."
    yield "disk_io", "I/O counters of ``/proc/PID/io``. None where they were not read or access is denied."
    yield "refused", "Names of the files that were to be read and that this user may not read."


FIELD_TEXTS.append(_texts)


class CpuTime(NamedTuple):
    """CPU time used, in nanoseconds.

    Differences saturate at zero: the split between user and system can move backwards by a tick, a total can not.

    >>> later, earlier = CpuTime(user_ns=7, system_ns=2), CpuTime(user_ns=4, system_ns=3)
    >>> later - earlier, (later - earlier).total_ns
    (CpuTime(user_ns=2, system_ns=0), 2)
    """

    user_ns: int
    system_ns: int

    @property
    def total_ns(self) -> int:
        """User and system together. Exact from the CPU clock; counted in ticks it is a lower bound by up to 20 ms."""
        return self.user_ns + self.system_ns

    @property
    def total_seconds(self) -> float:
        """`total_ns` in seconds."""
        return self.total_ns / 1e9

    def cpu_percent_since(self, earlier: CpuTime, elapsed_ns: int) -> CpuPercent | None:
        """CPU between two readings of one process, in percent of one core; None where no time has elapsed.

        - `elapsed_ns`: nanoseconds between the readings, by the monotonic clock.

        >>> CpuTime(user_ns=300, system_ns=200).cpu_percent_since(CpuTime(user_ns=50, system_ns=50), elapsed_ns=200)
        200.0
        """
        return 100.0 * (self - earlier).total_ns / elapsed_ns if elapsed_ns > 0 else None

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
    """I/O counters of a process: on Linux ``/proc/PID/io``, on Windows `GetProcessIoCounters`. None where the system
    does not count it; sums and differences with None are None.

    Linux adds the counters of every waited-for child to those of its parent: the sum over a tree's live processes
    counts nothing twice, but the figures of a process jump when it reaps a child. Windows does not add them.
    """

    read_bytes: int | None
    write_bytes: int | None
    cancelled_write_bytes: int | None
    read_chars: int | None
    write_chars: int | None
    read_count: int | None
    write_count: int | None

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


NO_IO = DiskIo(0, 0, 0, 0, 0, 0, 0)
"""Counters of a process that has read and written nothing."""


def _by_field(combine: Callable[[int, int], int], one: DiskIo, other: DiskIo) -> DiskIo:
    return DiskIo(*(None if a is None or b is None else combine(a, b) for a, b in zip(one, other, strict=True)))


def _at_least_zero(number: int) -> int:
    return number if number > 0 else 0


def _can_run(state: str, thread_count: int | None) -> bool:
    return state not in ("Z", "X", "x") or (thread_count or 1) > 1


class LivenessInfo(NamedTuple):
    """State and identity of a process, from one read of ``/proc/PID/stat``.

    - `tty`: Controlling terminal as ``ps -o tty=`` prints it (``pts/3``); None without one.
    - `thread_count`: Number of threads. None where access is denied (macOS: other users' processes).
    """

    pid: int
    ppid: int
    pgrp: int | None
    session: int | None
    tty: str | None
    state: str
    comm: str
    thread_count: int | None
    start_ticks: int
    start_time: float

    @property
    def identity(self) -> Identity:
        """``(pid, start_ticks)``: unique also after the pid was reused."""
        return (self.pid, self.start_ticks)

    @property
    def is_alive(self) -> bool:
        """Whether it can still run. A zombie cannot; a process of which only the main thread ended shows Z, and can."""
        return _can_run(self.state, self.thread_count)

    @property
    def has_tty(self) -> bool:
        """Whether it has a controlling terminal."""
        return self.tty is not None

    @property
    def is_orphaned(self) -> bool:
        """Whether pid 1 is its parent and it has no terminal, as what a closed terminal leaves behind. So are daemons;
        an orphan that a subreaper adopted has another parent."""
        return self.ppid == 1 and self.tty is None


class ProcessInfo(NamedTuple):
    """One process as ``/proc/PID/stat`` describes it: a row of a full scan.

    None is what the engine can't know: on Linux nothing, unless psutil reads it.

    - `tty_nr`: Device number of the controlling terminal, 0 without one. None with psutil: see `LivenessInfo.tty`.
    - `children_user_ns`: CPU time in user mode of waited-for children and theirs; ``cutime``. Lower bound, by less than
      a tick of 10 ms. None on macOS and Windows.
    - `children_system_ns`: CPU time in the kernel of waited-for children and theirs; ``cstime``, as `children_user_ns`.
    - `children_minor_faults`: Number of page faults of waited-for children and theirs served from memory; ``cminflt``,
      exact. None with psutil.
    - `children_major_faults`: Number of page faults of waited-for children and theirs that read from storage;
      ``cmajflt``, exact. None with psutil.
    """

    pid: int
    ppid: int
    pgrp: int | None
    session: int | None
    tty_nr: int | None
    state: str
    comm: str
    thread_count: int
    start_ticks: int
    user_ns: int
    system_ns: int
    children_user_ns: int | None
    children_system_ns: int | None
    rss_bytes: int
    vsize_bytes: int
    minor_faults: int | None
    major_faults: int | None
    children_minor_faults: int | None
    children_major_faults: int | None

    @property
    def identity(self) -> Identity:
        """``(pid, start_ticks)``: unique also after the pid was reused."""
        return (self.pid, self.start_ticks)

    @property
    def is_alive(self) -> bool:
        """As `LivenessInfo.is_alive`."""
        return _can_run(self.state, self.thread_count)

    @property
    def cpu_time(self) -> CpuTime:
        """Own CPU time in nanoseconds, without children."""
        return CpuTime(self.user_ns, self.system_ns)

    @property
    def cpu_time_with_children(self) -> CpuTime | None:
        """CPU time in nanoseconds with that of waited-for children; None where the system does not count them."""
        if self.children_user_ns is None or self.children_system_ns is None:
            return None
        return CpuTime(self.user_ns + self.children_user_ns, self.system_ns + self.children_system_ns)

    @property
    def waited_ns(self) -> int:
        """CPU time of waited-for children in nanoseconds. Lower bound; 0 where the system does not count them."""
        return (self.children_user_ns or 0) + (self.children_system_ns or 0)


class BusyProcess(NamedTuple):
    """A row of `prock.busiest`.

    - `cmdline`: The arguments; None where they are unknown.
    - `cpu_percent`: CPU over the interval, in percent of one core.
    - `cpu_ns`: CPU time within the interval, in nanoseconds.
    """

    pid: int
    comm: str
    cmdline: tuple[str, ...] | None
    cpu_percent: CpuPercent | None
    cpu_ns: int
    rss_bytes: int

    @property
    def rss_mib(self) -> float:
        """`rss_bytes` in MiB."""
        return self.rss_bytes / 2**20


class Scan(tuple["ProcessInfo", ...]):
    """All processes of the machine at about one time: an immutable sequence of `ProcessInfo`, ascending pids.

    A scan is not atomic: it can hold a child without its parent, and, after reuse of a pid, even a cycle.

    - `taken_ns`: Start of the scan, in nanoseconds of the monotonic clock.
    - `vanished`: Number of processes that were listed and had ended when they were read.
    - `denied`: Number of processes that this user may not read (``hidepid``).
    """

    taken_ns: int
    vanished: int
    denied: int

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
    """One process at one instant.

    - `taken_ns`: Start of the reading, by the monotonic clock. The members of a tree share one instant.
    - `ppid`: Pid of the parent. For a member whose ``stat`` is denied: the process that lists it as its child.
    - `cpu_time`: Own CPU time of all threads, without children. Exact; a running thread lags by up to one scheduler
      tick.
    - `info`: The rest of ``stat``; None where it was not read or is denied.
    """

    taken_ns: int
    pid: int
    ppid: int | None
    cpu_time: CpuTime | None
    info: ProcessInfo | None
    disk_io: DiskIo | None
    refused: tuple[str, ...]
    fd_count: int | None = None

    @property
    def comm(self) -> str | None:
        """Name of the main thread; None without `info`."""
        return None if self.info is None else self.info.comm

    @property
    def state(self) -> str | None:
        """Letter of proc(5), as `ProcessInfo.state`; None without `info`."""
        return None if self.info is None else self.info.state

    @property
    def identity(self) -> Identity | None:
        """``(pid, start_ticks)``: unique also after the pid was reused."""
        return None if self.info is None else self.info.identity

    @property
    def cpu_time_with_children(self) -> CpuTime | None:
        """CPU time in nanoseconds with that of waited-for children. Their part is a lower bound, by less than 20 ms."""
        return None if self.info is None else self.info.cpu_time_with_children

    @property
    def rss_bytes(self) -> int | None:
        """Resident set size in bytes; None without `info`."""
        return None if self.info is None else self.info.rss_bytes

    @property
    def vsize_bytes(self) -> int | None:
        """Address space in bytes; None without `info`."""
        return None if self.info is None else self.info.vsize_bytes

    @property
    def thread_count(self) -> int | None:
        """Number of threads; None without `info`."""
        return None if self.info is None else self.info.thread_count


class TreeStats(NamedTuple):
    """A process and all its descendants at about one instant.

    Totals are sums over the members that could be read. None: not read, or known of no member.

    - `taken_ns`: Start of the reading, by the monotonic clock.
    - `cpu_time`: Own CPU time of all members. Falls when a member ends.
    - `cpu_time_with_children`: CPU time of members and of the children that they waited for. Nothing counts twice, as
      parents are read before their children. Lower bound: by less than 20 ms a member, and by children that no process
      waited for.
    - `rss_bytes`: Sum of the resident set sizes. Upper bound: pages that members share count in each. An address space
      that several processes share until they execute a program (vfork, posix_spawn, CLONE_VM) counts once.
    - `disk_io`: I/O of members and of the children that they waited for. Lower bound where access to a member is
      denied.
    - `members`: The members, root first, then breadth first.
    - `vanished`: Number of descendants that were listed and had ended when they were read.
    - `denied`: Number of members that this user may not read in full: see `ProcessStats.refused`.
    """

    taken_ns: int
    cpu_time: CpuTime
    cpu_time_with_children: CpuTime | None
    rss_bytes: int | None
    vsize_bytes: int | None
    thread_count: int | None
    disk_io: DiskIo | None
    members: tuple[ProcessStats, ...]
    vanished: int
    denied: int
    fd_count: int | None = None

    @property
    def process_count(self) -> int:
        """Number of members, the root and zombies included."""
        return len(self.members)

    @property
    def pids(self) -> tuple[int, ...]:
        """Pids of the members, root first, then breadth first."""
        return tuple(member.pid for member in self.members)


class AllStats(NamedTuple):
    """CPU time, memory and I/O of one process.

    - `cpu_time`: As `prock.get_cpu_time`.
    - `memory_bytes`: Resident set size, as `prock.get_memory`.
    - `memory_virtual_bytes`: Address space in use, as `prock.get_memory_virtual`.
    - `disk_io`: As `prock.get_disk_io`; None where access is denied or the system does not count it.
    """

    cpu_time: CpuTime
    memory_bytes: int
    memory_virtual_bytes: int
    disk_io: DiskIo | None


class TreeUsage(NamedTuple):
    """CPU, memory and number of processes of a tree, as a tracker returns them.

    - `cpu_percent`: CPU over the interval of the tracker, in percent of one core; None in the first call, without an
      interval.
    - `memory_bytes`: Sum of the resident set sizes. Upper bound: shared pages count in each process.
    """

    cpu_percent: CpuPercent | None
    memory_bytes: int | None
    process_count: int


class MemberSample(NamedTuple):
    """One process of a sampled tree. Its subtree is the process and all below it.

    Files of a process that has not run since they were last read are not read again, as they cannot have changed, but
    for `rss_bytes`, which the kernel may have reclaimed from; it is at most a second old.

    - `ppid`: Pid of the parent now: outside the tree for the root, and for orphans that a process there adopted.
    - `comm`: Name, at most a second old while the process runs, as `state` and `thread_count`.
    - `cpu_percent`: Own CPU over the interval of the sample, in percent of one core. None: first seen in this sample,
      but older than the interval.
    - `disk_io`: I/O since the start of the process, with the children that it waited for.
    - `pss_bytes`: Proportional set size as last read; `TreeTotals.pss_age_ns` is the age of the oldest.
    - `peak_rss_bytes`: Largest resident set size: ``VmHWM`` of ``/proc/PID/status`` and the samples. Lower bound: VmHWM
      is read if the process had page faults since, 10 ms times the number of members after the last time, as a rule
      within a second, and begins again when it executes a program. None also while it shares another address space.
    - `subtree_cpu_ns`: Own and waited-for CPU time of the process and all below it. The waited-for part is a lower
      bound, by less than 20 ms a process.
    - `subtree_cpu_percent`: CPU of the process and all below it over the interval, in percent of one core, with the
      waited-for children that lived within it.
    - `subtree_disk_io`: I/O of the process and all below it. Lower bound where access to some is denied, None where to
      all.
    """

    pid: int
    ppid: int
    comm: str
    state: str
    thread_count: int
    start_ticks: int
    cpu_ns: int
    cpu_percent: CpuPercent | None
    rss_bytes: int | None
    vsize_bytes: int | None
    disk_io: DiskIo | None
    pss_bytes: int | None
    subtree_process_count: int
    subtree_thread_count: int
    subtree_cpu_ns: int
    subtree_cpu_percent: CpuPercent | None
    subtree_rss_bytes: int | None
    subtree_vsize_bytes: int | None
    subtree_disk_io: DiskIo | None
    refused: tuple[str, ...]
    fd_count: int | None = None
    subtree_fd_count: int | None = None
    peak_rss_bytes: int | None = None
    hugetlb_bytes: int | None = None

    @property
    def cpu_seconds(self) -> float:
        """`cpu_ns` in seconds."""
        return self.cpu_ns / 1e9

    @property
    def rss_mib(self) -> float | None:
        """`rss_bytes` in MiB."""
        return None if self.rss_bytes is None else self.rss_bytes / 2**20

    @property
    def identity(self) -> Identity:
        """``(pid, start_ticks)``: unique also after the pid was reused."""
        return (self.pid, self.start_ticks)

    @property
    def is_alive(self) -> bool:
        """As `LivenessInfo.is_alive`."""
        return _can_run(self.state, self.thread_count)


class TreeTotals(NamedTuple):
    """The totals of a tree in one sample. Usage counts from the baseline, taken when sampling of the tree began.

    - `root_pid`: Pid of the root.
    - `taken_ns`: Start of the sample, in nanoseconds of the monotonic clock.
    - `interval_ns`: Time since the previous sample, or since the baseline.
    - `wall_ns`: Time since the baseline.
    - `cpu_ns`: CPU time of the tree, ended members included. Never falls. Lower bound, see `cpu_bias`.
    - `cpu_percent`: CPU over `cpu_percent_over_ns`, in percent of one core. None: no time has passed.
    - `cpu_percent_over_ns`: The interval and the time for reading, or more where that is too short for the source: by
      the ledger, which reads ticks of 10 ms from each parent, at least 0.9 s, by perf 0.09 s; at most since the
      baseline.
    - `accounting`: Source of `cpu_ns`: ``ledger`` (samples) or ``perf``.
    - `ended_cpu_ns`: The part of `cpu_ns` used by members that have ended, as last read.
    - `unseen_cpu_ns`: The part of `cpu_ns` that no sample saw in a process: children that lived between two samples,
      and the last moments of members. With perf it falls when a later reading attributes it to a member.
    - `rss_bytes`: Sum of the resident sets. Upper bound: shared pages count once in each process. An address space
      that several processes share until they execute a program (vfork, posix_spawn, CLONE_VM) counts once.
    - `pss_bytes`: Sum of the proportional set sizes as last read. Lower bound until each member was read once.
    - `pss_age_ns`: Age of the oldest reading in `pss_bytes`.
    - `disk_io`: I/O of the tree, ended members included. Never falls. Lower bound.
    - `appeared`: Number of members first seen in this sample.
    - `ended`: Number of members that ended since the previous sample.
    - `vanished`: Number of processes that were listed and ended before they could be read.
    - `denied`: Number of members that this user may not read in full: see `MemberSample.refused`.
    - `cost_ns`: CPU time of the calling thread for this sample; in a `Forest` for all trees together.
    - `late_ns`: How long after its deadline the sample was taken; 0 without a deadline.
    - `skipped`: Number of samples left out before this one because their time had passed.
    - `time`: Start of the sample in seconds since the epoch, by the wall clock.
    - `suspended_ns`: How long the machine was suspended since the previous sample; not part of `interval_ns`. None: not
      on Linux.
    """

    root_pid: int
    taken_ns: int
    interval_ns: int
    wall_ns: int
    process_count: int
    thread_count: int
    cpu_ns: int
    cpu_percent: CpuPercent | None
    cpu_percent_over_ns: int
    accounting: str
    ended_cpu_ns: int
    unseen_cpu_ns: int
    rss_bytes: int | None
    vsize_bytes: int | None
    pss_bytes: int | None
    pss_age_ns: int | None
    disk_io: DiskIo | None
    appeared: int
    ended: int
    vanished: int
    denied: int
    cost_ns: int
    late_ns: int
    skipped: int
    suspended_ns: int | None
    fd_count: int | None = None
    hugetlb_bytes: int | None = None
    time: float | None = None

    @property
    def cpu_seconds(self) -> float:
        """`cpu_ns` in seconds."""
        return self.cpu_ns / 1e9

    @property
    def wall_seconds(self) -> float:
        """`wall_ns` in seconds."""
        return self.wall_ns / 1e9

    @property
    def rss_mib(self) -> float | None:
        """`rss_bytes` in MiB."""
        return None if self.rss_bytes is None else self.rss_bytes / 2**20

    @property
    def is_over(self) -> bool:
        """Whether all members have ended, reaped or not: then it has no members, also if zombies are left."""
        return self.process_count == 0

    @property
    def cpu_bias(self) -> str:
        """Bias of `cpu_ns`, in one line."""
        if self.accounting == "bpf":
            return BPF_LACKS
        if self.accounting == "perf":
            return "lower bound, plus time stolen by a VM's host"
        return "lower bound: lacks processes neither sampled nor reaped"
