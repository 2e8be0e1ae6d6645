"""Figures of finished measurements: plain data, which `prock.report` turns into text."""

from __future__ import annotations

from prock._compat.namedtuple import NamedTuple
from prock.model import CpuPercent, CpuTime, DiskIo, TreeTotals

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


class Source(NamedTuple):
    """Where a figure of a `prock.RunResult` comes from, and how far it can be trusted."""

    figure: str
    """``cpu``, ``user_system``, ``root_cpu``, ``memory``, ``largest_process``, ``io``, ``faults``, ``processes`` ..."""
    source: str
    """``cgroup``, ``perf``, ``waited``, ``samples`` ..., or several: ``perf, waited``."""
    bias: str
    """In a few words: ``exact``, ``lower bound: ...``, ``upper bound: ...``, ``estimate: ...``."""


class CommandUsage(NamedTuple):
    """All processes of one name. A process that executed several programs counts for the last."""

    comm: str
    process_count: int
    """How many were seen."""
    cpu_ns: int
    """Their own, together."""
    peak_rss_bytes: int | None
    """The most that one of them was seen with; None where none lived long enough for a sample. Lower bound."""


class ProcessUsage(NamedTuple):
    """One process of the tree."""

    pid: int
    ppid: int | None
    """The parent that started it, or where that wasn't seen the one that it had when it was."""
    comm: str
    cpu_ns: int
    """Its own."""
    peak_rss_bytes: int | None
    """The most that it was seen with; None where it did not live long enough for a sample. Lower bound."""
    started_ns: int | None
    """Nanoseconds after the beginning of the run."""
    ended_ns: int | None
    """None: it was alive at the end."""


class Survivor(NamedTuple):
    """A process of the tree that was still there when the account was closed."""

    pid: int
    comm: str
    cpu_ns: int
    """Its own so far; part of the total."""
    rss_bytes: int | None
    """Its resident set; None where it was refused, or it ended after all."""


class RunFigures(NamedTuple):
    """What a command and its whole process tree used.

    Every total has an entry in `sources` that tells where it comes from and how it is biased; what may be missing
    is said in `missing`, in sentences. Unknown is None. Times are nanoseconds, sizes bytes.
    """

    args: tuple[str, ...]
    """The command; empty for a tree that was attached to."""
    pid: int
    """Of the root: the process that the command became."""
    returncode: int | None
    """Exit code, or ``-n`` for the signal n, as `subprocess.CompletedProcess` has it. None: unknown, or not ended."""
    timed_out: bool
    """Whether it was ended because its time was over."""
    labels: tuple[tuple[str, str], ...]
    """What the caller gave it, as pairs."""
    start_time: float
    """Seconds since the epoch."""
    wall_ns: int
    """From just before it was started until its root had ended (or, if asked for, all of the tree)."""
    cpu_ns: int | None
    """CPU time of the whole tree, `survivors` included."""
    user_ns: int | None
    """Of it, in user mode; an estimate, as `CpuTime`'s."""
    system_ns: int | None
    """Of it, in the kernel; as `user_ns`."""
    root_cpu_ns: int | None
    """CPU time of the root process alone."""
    accounting: str
    """Where `cpu_ns` comes from: ``cgroup``, ``perf``, ``waited`` or ``ledger``."""
    cpu_by_source: tuple[tuple[str, int], ...]
    """The same total by every source that was there."""
    peak_footprint_bytes: int | None
    """The most memory the tree was seen with, shared pages counted once; see `sources`."""
    peak_rss_bytes: int | None
    """The largest sum of resident sets that was seen: shared pages count in each process."""
    peak_pss_bytes: int | None
    """The largest sum of proportional shares that was read; None where none had to be, or could be."""
    largest_process_bytes: int | None
    """The largest resident set that a single process ever had: `ru_maxrss`."""
    cgroup_peak_bytes: int | None
    """``memory.peak`` of the command's cgroup, page cache included; None where there is none."""
    disk_io: DiskIo | None
    """Of the whole tree, each process once."""
    minor_faults: int | None
    """Page faults that were served from memory."""
    major_faults: int | None
    """Those that had to wait for storage."""
    voluntary_switches: int | None
    """How often somebody of the tree gave up the CPU, to wait for something."""
    involuntary_switches: int | None
    """How often it was taken away."""
    processes_started: int | None
    """How many processes there ever were, the root included."""
    peak_process_count: int | None
    """The most at once."""
    threads_started: int | None
    """Beside the first of each process."""
    peak_thread_count: int | None
    """The most at once, the first of each process included."""
    commands: tuple[CommandUsage, ...]
    """The most CPU first."""
    processes: tuple[ProcessUsage, ...]
    """Where they were asked for: in the order of their start."""
    survivors: tuple[Survivor, ...]
    """Members that were still running at the end."""
    samples: int
    """How often the tree was looked at."""
    sampling_interval_ns: int
    """The longest time between two looks."""
    cost_ns: int
    """CPU time that all this took of the calling process; of the command ``prock`` all of it, its start included."""
    sources: tuple[Source, ...]
    """One for each figure that is known: see `source`."""
    missing: tuple[str, ...]
    """What these figures may lack, and why, in sentences."""
    stdout: Any = None
    """What was captured, as by `subprocess.run`."""
    stderr: Any = None
    """As `stdout`."""

    @property
    def cpu_time(self) -> CpuTime | None:
        """User and system time of the tree."""
        if self.user_ns is None or self.system_ns is None:
            return None
        return CpuTime(self.user_ns, self.system_ns)

    @property
    def cpu_percent(self) -> CpuPercent | None:
        """The mean over the run: 100 is one core."""
        return None if self.cpu_ns is None or not self.wall_ns else 100.0 * self.cpu_ns / self.wall_ns

    @property
    def exit_code(self) -> int | None:
        """As a shell has it in ``$?``: 128 + n for the signal n."""
        return self.returncode if self.returncode is None or self.returncode >= 0 else 128 - self.returncode

    @property
    def signal(self) -> int | None:
        """The signal that ended it."""
        return -self.returncode if self.returncode is not None and self.returncode < 0 else None

    def source(self, figure: str) -> Source | None:
        """Where that figure comes from."""
        return next((source for source in self.sources if source.figure == figure), None)

    def as_document(self) -> dict[str, object]:
        """For JSON: schema ``prock.run/1``, numbers and texts as the fields above have them; see docs/formats.md."""
        document: dict[str, object] = {"schema": "prock.run/1"}
        for name, value in self._asdict().items():
            if name not in ("stdout", "stderr"):
                document[name] = _plain(value)
        document["args"] = [_text(argument) for argument in self.args]
        document["labels"] = {_text(name): _text(value) for name, value in self.labels}
        document["cpu_by_source"] = dict(self.cpu_by_source)
        document["cpu_percent"] = self.cpu_percent
        document["exit_code"] = self.exit_code
        document["signal"] = self.signal
        return document


class MonitorFigures(NamedTuple):
    """CPU, memory and I/O of a block. Peaks are the largest sample: lower bounds."""

    wall_ns: int
    """Elapsed time from the baseline to the last sample."""
    cpu_ns: int
    """CPU time of the tree within the block, as `TreeTotals.cpu_ns`. Lower bound."""
    cpu_percent: CpuPercent | None
    """Mean over the block; 100 is one core."""
    accounting: str
    """Source of `cpu_ns`: ``ledger`` or ``perf``, as `TreeTotals.accounting`."""
    ended_cpu_ns: int
    """The part of `cpu_ns` used by processes that have ended, as last read."""
    unseen_cpu_ns: int
    """The part of `cpu_ns` that no sample saw in a process."""
    disk_io: DiskIo | None
    """I/O of the tree within the block; None unless ``io=True``. Lower bound."""
    peak_cpu_percent: CpuPercent | None
    """The highest of one interval, without the shorter last one."""
    peak_rss_bytes: int | None
    """The largest sum of resident sets; shared pages count once in each process."""
    peak_pss_bytes: int | None
    """The largest sum of proportional set sizes; None unless ``pss=True``."""
    peak_process_count: int
    """The most at once."""
    peak_thread_count: int
    """The most at once, the first thread of each process included."""
    samples: int
    """Number of samples, the one at the end included."""
    skipped: int
    """Samples left out because their time had passed."""
    late_ns: int
    """The longest delay of a sample after its deadline."""
    cost_ns: int
    """CPU time of this program for all samples."""
    denied: int
    """The most members in one sample that this user may not read in full."""
    series: tuple[TreeTotals, ...]
    """The totals of every sample; empty unless ``series=True``."""


def _plain(value: Any) -> Any:
    if isinstance(value, tuple):
        return {name: _plain(part) for name, part in value._asdict().items()} if hasattr(value, "_asdict") else [
            _plain(part) for part in value
        ]  # fmt: skip
    return _text(value) if isinstance(value, str) else value


def _text(text: str) -> str:
    r"""Bytes that are not UTF-8 as ``\xff``, other lone surrogates as ``\ud800``: everybody can read the document."""
    if text.isascii():
        return text
    try:
        return text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    except UnicodeEncodeError:
        return text.encode("utf-8", "backslashreplace").decode()
