"""The result types of a sample: `TreeTotals`, and `TreeSample`, which also has the members."""

from __future__ import annotations

from prock._compat.namedtuple import NamedTuple
from prock.model import CpuPercent, DiskIo, Identity, MemberSample

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any


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


class TreeSample(TreeTotals):
    """One sample of a tree: the fields of `TreeTotals`, and the members.

    >>> with prock.TreeSampler() as sampler:
    ...     sample = sampler.sample()
    >>> sample.process_count == len(sample.members) and sample.root.pid == sample.root_pid
    True
    """

    @property
    def members(self) -> tuple[MemberSample, ...]:
        """Root first, then breadth first; orphans that another process adopted follow the root. Built on first use."""
        make = self.__dict__.get("_make_members")
        if make is not None:  # several threads may build them; all get the tuple that was stored first
            self.__dict__.setdefault("members", tuple(make()))
            self.__dict__.pop("_make_members", None)
        members: tuple[MemberSample, ...] = self.__dict__["members"]
        return members

    @property
    def root(self) -> MemberSample | None:
        """The root process; None once it has ended. Its descendants remain the tree."""
        first = next(iter(self.members), None)
        return first if first is not None and first.identity == self.__dict__["_root"] else None

    @property
    def totals(self) -> TreeTotals:
        """The sample without its members: smaller, for storing many samples."""
        return TreeTotals(*self)

    def _replace(self, **changes: Any) -> TreeSample:
        return _sample_of(super()._replace(**changes), self.__dict__["_root"], self.members)

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"cannot set {name}: a TreeSample is immutable")

    def __reduce__(self) -> tuple[Any, ...]:
        return _sample_of, (tuple(self), self.__dict__["_root"], self.members)


def _sample_of(totals: Iterable[Any], root: Identity, members: tuple[MemberSample, ...]) -> TreeSample:
    sample = TreeSample(*totals)
    sample.__dict__.update(_root=root, members=members)
    return sample
