"""`CpuSource`, the interface of every source of CPU time, and `RootWaiter`, which also waits for a command's root."""

from __future__ import annotations

from prock._compat.namedtuple import NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Protocol

    from prock.model import DiskIo, Identity, ProcessInfo

    class CpuSource(Protocol):
        """One source of a tree's CPU time: a cgroup, perf events, wait4, samples ..."""

        def reading(self, members: Sequence[ProcessInfo] = (), /) -> CpuReading | None:
            """The CPU time up to now; None where it is unknown.

            `members`: rows of the processes that exist now, for sources that count only exited ones.
            """

        def close(self) -> None:
            """Closes its descriptors. Idempotent."""


CGROUP, BPF, PERF, WAITED, LEDGER = SOURCES = ("cgroup", "bpf", "perf", "waited", "ledger")
"""The most complete first."""


class CpuReading(NamedTuple):
    """The CPU time of a tree by one source, in nanoseconds."""

    source: str
    """One of `SOURCES`. Of two readings with the same source, which see parts of the same, the larger one counts."""
    lower_ns: int
    """The tree used at least this much."""
    bias: str
    """``lower bound: ...`` or ``estimate: ...``."""
    missing: tuple[str, ...] = ()
    """Sentences on processes that this source does not count."""
    is_complete: bool = False
    """Whether the tree used no more, unless processes have left what this source counts."""
    user_ns: int | None = None
    system_ns: int | None = None
    proven_ns: int | None = None
    """The part of `lower_ns` that is certain against a complete source; None: all of it."""


NOT_REAPED = "CPU time and I/O of processes whose parent ignores SIGCHLD are missing, except for what samples saw."
NOT_SAMPLED = (
    "CPU time and I/O of processes that ended between two samples are missing; this system has no record of them."
)
NOT_ADOPTED = "Processes that outlived their parent are missing, except for what samples saw of them."
PERF_LACKS = "lower bound, by about 0.1 ms for each process that ended and 10 µs for each context switch"
PERF_STOPPED = "lower bound: lacks programs with other privileges, and unreadable ones"
"""The kernel has ended the events of such a process."""
STOPPED_AND_NOT_REAPED = (
    "CPU time of programs with other privileges, of unreadable ones and of what they started is missing where a parent "
    "ignores SIGCHLD, except for what samples saw."
)
"""`PERF_STOPPED`, where the other sources lack anything."""
PERF_NEW_CPU = "lower bound: lacks what ran on CPUs that came online during the run"
BPF_LOST = "lower bound: records of processes were lost, as a buffer or a map of the kernel was full"
BETWEEN_SAMPLES = "lower bound: lacks processes that ended between two samples"


class ExitedChild(NamedTuple):
    """A child of this process that has ended."""

    pid: int
    returncode: int
    """As `subprocess.Popen.returncode`."""
    own_ns: int | None
    """Its own CPU time without its children's; None where unknown, and for children other than the root."""
    peak_rss_bytes: int | None = None
    """Its largest resident set, exact; None where unknown, as for one that reaped children."""


class RootWaiter:
    """Waits for the root of a launched command: a `CpuSource` of the processes that were reaped.

    Base of `wait_linux.LinuxWaiter`, `wait_posix.PosixWaiter` and `wait_windows.WindowsWaiter`.
    """

    reaps_orphans = False
    """Whether orphans are reparented to this process and reaped."""
    includes_children = True
    """Whether the usage of an exited process includes the children that it reaped."""
    includes_start = False
    """Whether the root's usage includes starting its process, as there is no launcher."""
    adoption_proves = True
    """Whether an orphan that is reparented to this process is known to descend from the root."""
    pidfd = -1
    """Readable once the root has ended; -1: not available."""

    def __init__(self, pid: int = 0) -> None:
        self.root_pid = pid
        self.root: ExitedChild | None = None
        """Once it has ended."""
        self.root_state: int | None = None
        """The signal that stopped it, while it is stopped."""
        self.used_before_ns = 0
        """CPU time that the root's process used before it executed the command."""
        self.lost_root = False
        """Whether other code reaped the root, so that its usage and exit code are unknown."""
        self.user_ns = self.system_ns = 0
        self.largest_bytes = 0
        """The largest resident set of one process (``ru_maxrss``); 0: unknown."""
        self.minor_faults: int | None = None
        """None here and below: unknown on this system."""
        self.major_faults: int | None = None
        self.voluntary_switches: int | None = None
        self.involuntary_switches: int | None = None
        self.disk_io: DiskIo | None = None
        """Of all reaped processes."""
        self.denied_io = 0
        """Reaped processes whose I/O counters could not be read."""
        self.is_member: Callable[[ProcessInfo], bool] = lambda _: False
        """Whether there is evidence that an orphan descends from the root, where adoption is none."""
        self.unproved: dict[Identity, str] = {}
        """Names of the orphans that do not count, as nothing proves that they descend from the root; some of them."""
        self.unproved_count = 0

    @property
    def holds_root(self) -> bool:
        """Whether the root is not reaped, so that its pid cannot be reused."""
        return self.root is None

    def reading(self, members: Sequence[ProcessInfo] = (), /) -> CpuReading | None:
        """Reaped processes, and of `members` what they and the children that they reaped used.

        Without `includes_children`: the root alone, a part of what the ledger of samples counts.
        """
        if self.lost_root:
            return None
        if not self.includes_children:
            own_ns = self.user_ns + self.system_ns
            return None if self.root is None else CpuReading(LEDGER, own_ns, BETWEEN_SAMPLES, (NOT_SAMPLED,))
        user_ns, system_ns = self.user_ns, self.system_ns
        for row in members:
            user_ns += row.user_ns + (row.children_user_ns or 0)
            system_ns += row.system_ns + (row.children_system_ns or 0)
        if self.root is None:
            user_ns, system_ns = without_start(user_ns, system_ns, self.used_before_ns)
        orphans = "" if self.reaps_orphans else ", and orphans"
        bias = f"lower bound: lacks children of parents that ignore SIGCHLD{orphans}"
        if self.includes_start:
            bias += "; includes starting the process"
        missing = (NOT_REAPED,) if self.reaps_orphans else (NOT_REAPED, NOT_ADOPTED)
        return CpuReading(WAITED, user_ns + system_ns, bias, missing, user_ns=user_ns, system_ns=system_ns)

    def reap(self) -> object:
        """Wait for all processes that have ended, without blocking."""

    def children(self) -> list[int]:
        """Children of this process that belong to the tree: the root while it lives, and reparented orphans."""
        return [] if self.root is not None else [self.root_pid]

    def send(self, number: int, /) -> None:
        """Send a signal to the root if it lives, never to another process with the same pid."""

    def close(self) -> None:
        """Stop being a subreaper, close descriptors. Idempotent."""


def without_start(user_ns: int, system_ns: int, used_ns: int) -> tuple[int, int]:
    """User and system time without the `used_ns` from before the command was executed, most of it in the kernel."""
    rest = max(0, used_ns - system_ns)
    return max(0, user_ns - rest), max(0, system_ns - used_ns)
