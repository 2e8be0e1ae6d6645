"""The memory footprint of a tree, shared pages counted once: when and of which members PSS is read, and the peak.

The sum of resident sets (RSS) comes with every sample but counts a page once in each process that maps it: 4 or 5
times too much where processes share. The sum of proportional set sizes (PSS) is right, but for PSS the kernel walks
all page tables, 17 µs a MiB of RSS, and holds a lock of the process meanwhile. So PSS is read only where the footprint
may have a new peak, and within a small part of the time.

Between two readings the footprint is bounded: it is at most the sum of RSS; it grows at most as that sum grows; and
growth that the sum does not show (a shared page that is written to becomes two, one member frees what another
allocates) costs the tree CPU time, as each page has to be filled.
"""

from __future__ import annotations

import time

from prock._compat.namedtuple import NamedTuple
from prock.errors import AccessDenied, MalformedProcFile, NotSupported

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from prock.engine.protocol import Engine
    from prock.sampling.sample import TreeSample

NEW_PEAK_FACTOR = 1.02
"""A footprint counts as a new peak from this multiple of the known one."""
UNREAD_SHARE = 0.04
"""Members that together have at most this part of the footprint are not read and count with half of their RSS: an
error of at most 2 %."""
LARGE_BYTES = 64 << 20
"""From this RSS on, pages shared with programs outside the tree (libraries: 1 to 3 MiB) do not justify a reading."""
RSS_NOISE_BYTES = 128 << 10
"""Change of the RSS of an idle process (median; up to 340 KiB with two CPUs): the kernel adds up its per-CPU counters
for ``statm`` (seen with Linux 6.18) but not for ``stat``, and the engines read either."""
FILLED_BYTES_PER_NS = 16
"""The fastest that a process can fill pages: huge pages are cleared at about 10 GB/s."""

BUDGET_NS = 100_000_000
"""CPU time for reading at the start, as short commands have a peak, too: 5 GiB of RSS are read once. Also the most that
is saved up."""
SETTLING_NS = 2_000_000_000
"""While memory changes, a pass is delayed up to this long, in proportion to its cost: a later one is more exact."""
COST_PER_PROCESS_NS = 30_000
COST_PER_MIB_NS = 17_000
"""Of 4 KiB pages; a huge page costs as much as one of them. Both are only the initial estimate."""
MEASURABLE_NS = 2_000_000
"""The cost of passes that are faster than this does not predict that of others."""
BACKOFF_LOG2 = 4
"""Each pass without a new peak halves the allowed part of the time, up to four times, until RSS has a new peak."""
MANY_MEMBERS = 32
"""The rows of fewer members cost less than 40 µs and are used whenever they could save a reading."""

UNREADABLE = (AccessDenied, MalformedProcFile, NotSupported)
BIAS_OF_PSS = "estimate: as sampled; without what is swapped out"
BIAS_OF_ONE = "estimate: as sampled; with all that one large process shares with programs outside"
BIAS_OF_RSS = "upper bound: counts shared pages once for each process"
BIAS_OF_DENIED = "upper bound: members that deny access to their PSS count with all they share"
BIAS_OF_ENDED = "estimate: members that ended while they were read count with half of their RSS"
BIAS_OF_GUESS = "estimate: memory changed faster than it was sampled"


class _Reading(NamedTuple):
    """The tree when its footprint was last known."""

    footprint: int
    rss: int
    cpu_ns: int


class Footprint:
    """The footprint of one tree, updated by each sample. In bytes; None while no sample had memory.

    The footprint is the sum of the members' PSS (``Pss`` of ``smaps_rollup``). It includes shared memory and mapped
    files, and huge pages of hugetlbfs in each member that maps them, which are in neither RSS nor PSS (here they are
    part of both); but not swapped-out pages, and page cache that no process maps. Members are read one after the
    other, 17 ms a GiB of RSS. If a member unmaps shared pages or ends meanwhile, its part counts in those read later;
    if it maps pages of others, these were counted as theirs alone before. A pass during which more than a little has
    changed counts only until there is another; a member that ended meanwhile counts with half of its RSS.

    - `engine`: reads PSS.
    - `share`: reading takes at most one part in so many of the time, and once 100 ms more. Default: 200.
    - `always_pss`: read whenever memory may have changed, not only for a new peak, within the same share. Default:
      False.
    - `clock`, `cpu_clock`: nanoseconds of the monotonic clock, and of CPU time of the calling thread.

    Cost: 10 µs for most samples, whatever the size of the tree; else 1 µs a member for its row and, if it is read,
    30 µs and more for ``smaps_rollup``. A process that is read waits meanwhile if it maps or unmaps memory: 16 ms for
    each GiB that it has.

    >>> with prock.TreeSampler() as sampler:
    ...     footprint = Footprint(prock.engine.active)
    ...     footprint.add_sample(sampler.sample())
    >>> footprint.peak_bytes > 2**20 and footprint.source in ("pss", "rss")
    True
    """

    def __init__(
        self,
        engine: Engine,
        *,
        share: int = 200,
        always_pss: bool = False,
        clock: Callable[[], int] = time.monotonic_ns,
        cpu_clock: Callable[[], int] = time.thread_time_ns,
    ) -> None:
        self._engine = engine
        self._share = share
        self._always = always_pss
        self._clock = clock
        self._cpu_clock = cpu_clock
        self.current_bytes: int | None = None
        """Of the latest sample. Estimate from the change of RSS where PSS was not read."""
        self.peak_rss_bytes: int | None = None
        """The largest sum of RSS. Upper bound of `peak_bytes`, apart from the lag of RSS."""
        self._peak_with_huge_pages: int | None = None
        self.low_bytes: int | None = None
        """The largest sum of PSS, less what changed while it was read: so much was in memory at one instant."""
        self._high = 0
        self._peak_pss: int | None = None
        """The largest sum of PSS of all members that matter."""
        self.cost_ns = 0
        """CPU time of the calling thread for all this."""
        self.passes = 0
        """Readings of the tree."""
        self.readings = 0
        """Readings of single members."""
        self._peak: int | None = None
        self._peak_source, self._peak_bias = "rss", BIAS_OF_RSS
        self._is_provisional = False
        """Whether memory changed during the pass that found the peak: the next pass without changes replaces it."""
        self._guess: tuple[int, int] | None = None
        """If a peak may have been missed: its estimate, and the sum of RSS then."""
        self._budget_ns = BUDGET_NS
        self._cost_factor = 1.0
        """Measured over estimated cost of passes."""
        self._fruitless = 0
        """Passes in a row without a new peak."""
        self._backoff_until_ns = self._passed_ns = self._largest_cost_ns = 0
        self._sampled_ns: int | None = None
        self._rss_before = 0
        """In the previous sample."""
        self._known: _Reading | None = None
        self._highest_rss = 0
        """The largest sum of RSS with a known footprint."""
        self._lowest_rss = 0
        """The smallest sum of RSS since the footprint was known."""
        self._slope = 1.0
        """Growth of the footprint over growth of RSS."""

    @property
    def peak_bytes(self) -> int | None:
        """The largest footprint. Peaks between samples are missed; see also `bias`."""
        if self._peak is None:
            return self._peak_with_huge_pages
        return self._peak if self._guess is None else max(self._peak, self._guess[0])

    @property
    def high_bytes(self) -> int | None:
        """The largest upper bound of the footprint in a sample. What came and went between two samples is not in it."""
        return None if self.peak_bytes is None else max(self._high, self.peak_bytes)

    @property
    def peak_pss_bytes(self) -> int | None:
        """`peak_bytes` as the largest sum of PSS of all members that matter; None where it was not read at the peak."""
        return self._peak_pss if self.source == "pss" else None

    @property
    def source(self) -> str:
        """Source of `peak_bytes`: ``pss``; ``rss``, if that is as exact or PSS was not available; or ``mixed``."""
        return "mixed" if self._is_guess else self._peak_source

    @property
    def bias(self) -> str:
        """Bias of `peak_bytes`, in one line."""
        return BIAS_OF_GUESS if self._is_guess else self._peak_bias

    @property
    def _is_guess(self) -> bool:
        return self._guess is not None and self._peak is not None and self._guess[0] > NEW_PEAK_FACTOR * self._peak

    def add_sample(self, sample: TreeSample) -> None:
        """Update by the latest sample, and read PSS if necessary. Never raises for an unreadable member."""
        if sample.rss_bytes is None:
            return
        rss = sample.rss_bytes + (sample.hugetlb_bytes or 0)
        began_ns = self._cpu_clock()
        estimate_ns = self._estimated_cost_ns(sample.process_count, rss)
        cost_ns = int(self._cost_factor * estimate_ns)
        self._largest_cost_ns = max(self._largest_cost_ns, estimate_ns)
        self._add_budget(sample.taken_ns)
        self.peak_rss_bytes = max(sample.rss_bytes, self.peak_rss_bytes or 0)
        self._peak_with_huge_pages = max(rss, self._peak_with_huge_pages or 0)
        self._lowest_rss = min(rss, self._lowest_rss)
        bound = self._upper_bound(sample, rss)
        determined = self._determine(sample, rss, cost_ns) if self._may_be_new_peak(sample, rss, bound) else None
        if determined is None:
            self._estimate(rss, sample.process_count * RSS_NOISE_BYTES)
        self._high = max(self._high, bound if determined is None else determined)
        self._rss_before = rss
        self.cost_ns += self._cpu_clock() - began_ns

    @staticmethod
    def _estimated_cost_ns(members: int, rss: int) -> int:
        return members * COST_PER_PROCESS_NS + rss * COST_PER_MIB_NS // (1 << 20)

    @property
    def _budget_limit_ns(self) -> int:
        """More than the initial budget is saved up only if a single pass costs more."""
        return max(BUDGET_NS, int(self._cost_factor * self._largest_cost_ns))

    def _add_budget(self, now_ns: int) -> None:
        if self._sampled_ns is not None:
            saved_ns = self._budget_ns + max(0, now_ns - self._sampled_ns) // self._share
            self._budget_ns = min(saved_ns, self._budget_limit_ns)
        else:
            self._passed_ns = now_ns
        self._sampled_ns = now_ns

    def _may_be_new_peak(self, sample: TreeSample, rss: int, bound: int) -> bool:
        if self._known is None:
            return True
        if self._always:
            return self._known[1:] != (rss, sample.cpu_ns) or sample.appeared + sample.ended > 0
        return bound > NEW_PEAK_FACTOR * (self._peak or 0)

    def _upper_bound(self, sample: TreeSample, rss: int) -> int:
        """Upper bound of the footprint. A single process shares with no member, so RSS shows all of its memory."""
        if self._known is None:
            return rss
        footprint, _, cpu_ns = self._known
        hidden = 0 if sample.process_count == 1 else (sample.cpu_ns - cpu_ns) * FILLED_BYTES_PER_NS
        return min(rss, footprint + rss - self._lowest_rss + hidden)

    def _estimate(self, rss: int, noise: int) -> None:
        """Estimate the footprint: it grows as it grew before, and falls in proportion to RSS."""
        guess = rss
        if self._known is not None:
            footprint, known_rss, _ = self._known
            if rss < known_rss:
                guess = footprint * rss // known_rss
            else:
                grown = max(0, rss - known_rss - noise)
                slope = self._slope if grown >= LARGE_BYTES else footprint / max(1, known_rss)
                guess = max(footprint, min(rss, footprint + int(slope * grown)))
        self.current_bytes = guess
        if self._guess is None or guess > self._guess[0]:
            self._guess = (guess, rss)

    def _determine(self, sample: TreeSample, rss: int, cost_ns: int) -> int | None:
        """Determine the footprint now. Returns its upper bound, or None if that was not possible."""
        may_read = self._may_read(sample, rss, cost_ns)
        if may_read or sample.process_count <= MANY_MEMBERS:
            rows = sorted(
                ((row.rss_bytes or 0, row.pid) for row in sample.members if row.pid not in sample.sharing), reverse=True
            )
            largest = rows[0][0] if rows else 0
            if largest >= LARGE_BYTES and rss - largest <= UNREAD_SHARE * rss:
                self._set(sample, rss, (largest + rss) // 2, "rss", BIAS_OF_ONE)
                return rss
            if may_read and rss:
                return self._read_pss(sample, rss, rows, cost_ns)
        return None

    def _is_as_high_as_guess(self, sample: TreeSample, rss: int) -> bool:
        """Whether memory is as high as at the time of the guess."""
        return self._guess is None or rss + sample.process_count * RSS_NOISE_BYTES >= 0.95 * self._guess[1]

    def _may_read(self, sample: TreeSample, rss: int, cost_ns: int) -> bool:
        is_new_high = rss > NEW_PEAK_FACTOR * self._highest_rss + sample.process_count * RSS_NOISE_BYTES
        if not is_new_high and not self._always and sample.taken_ns < self._backoff_until_ns:
            return False
        budget_ns = self._budget_ns
        if self._is_guess and not self._is_as_high_as_guess(sample, rss) and budget_ns < self._budget_limit_ns:
            return False  # saved for when memory is as high again, not spent on readings of less memory
        if abs(rss - self._rss_before) > (NEW_PEAK_FACTOR - 1) * rss:
            waited_ns = max(SETTLING_NS // 20, sample.taken_ns - self._passed_ns)
            budget_ns = budget_ns * min(waited_ns, SETTLING_NS) // SETTLING_NS
        return cost_ns <= budget_ns

    def _read_pss(self, sample: TreeSample, rss: int, rows: list[tuple[int, int]], cost_ns: int) -> int | None:
        """A pass: largest members first, until the rest is small. Returns an upper bound if the footprint is known."""
        began_ns, cpu_began_ns = self._clock(), self._cpu_clock()
        until_ns = began_ns + 8 * cost_ns + 50_000_000
        found, denied, ended, at = sample.hugetlb_bytes or 0, 0, 0, 0
        left = sum(size for size, _ in rows)
        limit = UNREAD_SHARE * left
        complete = True
        read: list[tuple[int, int]] = []
        while complete and at < len(rows) and left > UNREAD_SHARE * found:
            batch: list[tuple[int, int]] = []
            while at < len(rows) and (left > limit or not batch):
                batch.append(rows[at])
                left -= rows[at][0]
                at += 1
            pss = self._engine.pss([pid for _, pid in batch], until_ns)
            self.readings += len(pss)
            complete = len(pss) == len(batch)
            for (size, pid), member_pss in zip(batch, pss, strict=False):
                if member_pss is not None:
                    found += member_pss
                    read.append((size, pid))
                elif self._has_memory(pid):
                    denied += size
                else:
                    ended += size
            limit = UNREAD_SHARE * (found + denied)
        self.passes += 1
        self._charge(sample, rss, self._clock() - began_ns, self._cpu_clock() - cpu_began_ns, complete)
        if not complete or found + denied == 0:
            return None
        moved = ended + sum(abs(self._rss_now(pid, size) - size) for size, pid in read)
        self.low_bytes = max(found - moved, self.low_bytes or 0)
        settled = moved <= UNREAD_SHARE * found + len(read) * RSS_NOISE_BYTES
        if not settled and self._peak is not None:
            return None
        self._set_from_pss(sample, rss, found, denied, ended, left)
        if not settled:
            self._is_provisional, self._peak_pss = True, None
        return min(rss, found + denied + left + moved)

    def _rss_now(self, pid: int, known: int) -> int:
        """RSS of a member that was read; the known one if access is denied, 0 if it has ended."""
        try:
            memory = self._engine.memory(pid)
        except UNREADABLE:
            return known
        return 0 if memory is None else memory[0]

    def _has_memory(self, pid: int) -> bool:
        """Whether a member without a PSS has memory: access is denied, or only its main thread has ended.

        False for one that is about to end: the kernel frees the memory before the process becomes a zombie.
        """
        try:
            info = self._engine.info(pid)
        except UNREADABLE:
            return True
        return info is not None and info.is_alive and (info.rss_bytes > 0 or info.thread_count > 1)

    def _charge(self, sample: TreeSample, rss: int, wall_ns: int, cpu_ns: int, complete: bool) -> None:
        """Charge the budget with CPU time, or with an 8th of the wall time where a pass waited for locks."""
        cost_ns = max(cpu_ns, wall_ns // 8)
        self._budget_ns -= cost_ns
        factor = cost_ns / max(1, self._estimated_cost_ns(sample.process_count, rss))
        if not complete:
            self._cost_factor = 2 * max(factor, self._cost_factor)
        elif cost_ns > MEASURABLE_NS:
            self._cost_factor = max(factor, (self._cost_factor + factor) / 2)
        self._fruitless += 1  # until it turns out to be a new peak
        wait_ns = self._share * cost_ns << min(self._fruitless, BACKOFF_LOG2)
        self._backoff_until_ns = sample.taken_ns + wait_ns
        self._passed_ns = sample.taken_ns

    def _set_from_pss(self, sample: TreeSample, rss: int, found: int, denied: int, ended: int, left: int) -> None:
        footprint = found + denied + (ended + left) // 2
        if found == 0:
            source, bias = "rss", BIAS_OF_RSS
        elif denied:
            source, bias = "mixed", BIAS_OF_DENIED
        elif ended > UNREAD_SHARE * found:
            source, bias = "mixed", BIAS_OF_ENDED
        else:
            source, bias = "pss", BIAS_OF_PSS
            self._peak_pss = max(footprint, self._peak_pss or 0)
        if footprint > NEW_PEAK_FACTOR * (self._peak or 0):
            self._fruitless = self._backoff_until_ns = 0
        self._set(sample, rss, footprint, source, bias)

    def _set(self, sample: TreeSample, rss: int, footprint: int, source: str, bias: str) -> None:
        before, rss_before, _ = self._known or (0, 0, 0)
        if rss - rss_before >= max(LARGE_BYTES, rss // 20):
            self._slope = min(1.0, max(0.0, (footprint - before) / (rss - rss_before)))
        self._known = _Reading(footprint, rss, sample.cpu_ns)
        self._highest_rss = max(rss, self._highest_rss)
        self._lowest_rss = rss
        self.current_bytes = footprint
        if self._is_as_high_as_guess(sample, rss):
            self._guess = None
        elif self._guess is not None:
            guess, guess_rss = self._guess
            above = guess_rss - rss  # memory beyond what is there now need not have been shared
            again = footprint + int(self._slope * min(above, rss)) + max(0, above - rss)
            self._guess = (min(guess, again), guess_rss)
        if self._peak is None or footprint > self._peak or self._is_provisional:
            self._peak, self._peak_source, self._peak_bias = footprint, source, bias
        self._is_provisional = False
