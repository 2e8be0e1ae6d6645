"""What a sample of a followed tree is: its totals, and its members, whose rows are made when somebody asks for them."""

from __future__ import annotations

from prock._compat.namedtuple import NamedTuple
from prock.model import CpuPercent, DiskIo, Identity, MemberSample

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any


class TreeTotals(NamedTuple):
    """A tree in one sample. A baseline is taken when following it begins; totals of use count from there."""

    root_pid: int
    taken_ns: int
    """When the sample began, in nanoseconds of the monotonic clock."""
    interval_ns: int
    """Since the sample before, or the baseline."""
    wall_ns: int
    """Since the baseline."""
    process_count: int
    """Living members, zombies too."""
    thread_count: int
    cpu_ns: int
    """CPU time that the tree has used, members that have ended included. Never falls. Lower bound: see `cpu_bias`."""
    cpu_percent: CpuPercent | None
    """CPU over the interval; None where no time has passed."""
    accounting: str
    """Where `cpu_ns` comes from: ``ledger`` (`prock.sampling.cpu_ledger`) or ``perf`` (`prock.accounting`)."""
    ended_cpu_ns: int
    """Of `cpu_ns`: what members used that have ended, as last seen."""
    unseen_cpu_ns: int
    """Of `cpu_ns`: what no sample saw in a process: children that came and went between two, last moments of others.
    By perf it falls when a member turns out to have used it."""
    rss_bytes: int | None
    """Upper bound: shared pages count in each process."""
    vsize_bytes: int | None
    pss_bytes: int | None
    """Sum of what is known: lower bound until each member was read once."""
    pss_age_ns: int | None
    """Age of the oldest reading in `pss_bytes`."""
    disk_io: DiskIo | None
    """What the tree has read and written, members that have ended included. Never falls; lower bound."""
    appeared: int
    """Members that are new since the sample before."""
    ended: int
    """Members that have ended since."""
    vanished: int
    """Processes that were found and had ended before they could be read."""
    denied: int
    """Members of which something asked for was refused: see `MemberSample.refused`."""
    cost_ns: int
    """CPU time of the calling thread that this sample took; where several trees share one pass, of all of them."""
    late_ns: int
    """How long after it was due it was taken; 0 where nobody said when it was due."""
    skipped: int
    """Samples due since the one before that were left out, as their time had passed."""
    suspended_ns: int | None
    """How long the machine slept since the sample before; not part of `interval_ns`. Only Linux tells: else None."""

    @property
    def is_over(self) -> bool:
        """Whether no member is left."""
        return self.process_count == 0

    @property
    def cpu_bias(self) -> str:
        """How far `cpu_ns` can be trusted, in a line."""
        if self.accounting == "perf":
            return "lower bound, plus what a VM's host steals"
        return "lower bound: lacks the unseen and unreaped"


class TreeSample(TreeTotals):
    """A tree in one sample: its `TreeTotals`, and its members.

    >>> with prock.TreeSampler() as sampler:
    ...     sample = sampler.sample()
    >>> sample.process_count == len(sample.members) and sample.root.pid == sample.root_pid
    True
    """

    @property
    def members(self) -> tuple[MemberSample, ...]:
        """Root first, then breadth first; orphans that others adopted follow the root. Made when first asked for."""
        make = self.__dict__.get("_make_members")
        if make is not None:  # also while another thread makes them: the first to be ready is who counts
            self.__dict__.setdefault("members", tuple(make()))
            self.__dict__.pop("_make_members", None)
        made: tuple[MemberSample, ...] = self.__dict__["members"]
        return made

    @property
    def root(self) -> MemberSample | None:
        """None once it has ended; what it started stays the tree."""
        first = next(iter(self.members), None)
        return first if first is not None and first.identity == self.__dict__["_root"] else None

    @property
    def totals(self) -> TreeTotals:
        """Without the members: what to keep of many samples."""
        return TreeTotals(*self)

    def _replace(self, **changes: Any) -> TreeSample:
        return _sample_of(super()._replace(**changes), self.__dict__["_root"], self.members)

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"a TreeSample does not change: {name} can't be set")

    def __reduce__(self) -> tuple[Any, ...]:
        return _sample_of, (tuple(self), self.__dict__["_root"], self.members)


def _sample_of(totals: Iterable[Any], root: Identity, members: tuple[MemberSample, ...]) -> TreeSample:
    sample = TreeSample(*totals)
    sample.__dict__.update(_root=root, members=members)
    return sample
