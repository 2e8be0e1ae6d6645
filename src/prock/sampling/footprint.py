"""How much memory a tree takes, shared pages counted once: when its shares (PSS) must be read, of whom, and the peak.

The sum of resident sets (RSS) comes with every sample, but counts a page once for each process that maps it: 4 or 5
times too much where processes share. The sum of proportional shares is right, but the kernel walks all page tables for
it, 17 µs a MiB of RSS, and holds a lock of the process meanwhile. So shares are read only where they can matter: where
the footprint may have a new peak, within a small part of the time.

What bounds the footprint between two readings: it can't be more than the sum of resident sets; it grows by what that
sum has grown at most; and what the sum doesn't show (a shared page that is written to becomes two, one member frees
what another takes) takes the tree CPU time, as each page has to be filled.
"""

from __future__ import annotations

import time

from prock.errors import AccessDenied, MalformedProcFile, NotSupported

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from prock.engine.protocol import Engine
    from prock.sampling.sample import TreeSample

NEWS = 1.02
"""What is not above the known peak by that factor is no new one."""
UNREAD_SHARE = 0.04
"""Members that hold together no more than this part of the footprint are not read, and count with half of their RSS:
an error of 2 % at most."""
LARGE_BYTES = 64 << 20
"""From here on what a process shares with programs outside (libraries: 1 to 3 MiB) is too little to read it for."""
NOISE_BYTES = 128 << 10
"""By so much the RSS of a process moves though nothing happens (median; up to 340 KiB on two processors): the kernel
sums it up for ``statm`` (seen with Linux 6.18), but not for ``stat``, and the engines read now one, now the other."""
FILLED_BYTES_PER_NS = 16
"""How fast a process can fill pages, at most: huge ones are cleared at about 10 GB/s."""

ALLOWANCE_NS = 100_000_000
"""For the beginning, as short commands have a peak, too: 5 GiB of RSS are read once. And the most that is saved up."""
STANDSTILL_NS = 2_000_000_000
"""So long a pass is put off while memory moves, as the next will be the better one; the more it costs the longer."""
PRICE_PER_PROCESS_NS = 30_000
PRICE_PER_MIB_NS = 17_000
"""Of 4 KiB pages; a huge page costs as much as one of them. Both are where learning begins."""
TELLING_NS = 2_000_000
"""Passes that cost less say little of what others will."""
PATIENCE_LOG2 = 4
"""Passes that found no new peak, though RSS has no new one either, make the part of the time smaller: each halves it,
four times."""
MANY = 32
"""Members. Of fewer the rows cost less than 40 µs, and are looked at whenever they could spare a reading."""

REFUSALS = (AccessDenied, MalformedProcFile, NotSupported)
BIAS_OF_SHARES = "estimate: as sampled; without what is swapped out"
BIAS_OF_ONE = "estimate: as sampled; with all that one large process shares with programs outside"
BIAS_OF_RSS = "upper bound: counts shared pages once for each process"
BIAS_OF_REFUSED = "upper bound: members that refuse to tell their shares count with all they share"
BIAS_OF_ENDED = "estimate: members that ended while they were read count with half of their RSS"
BIAS_OF_GUESS = "estimate: memory grew faster than it could be read"


class Footprint:
    """Keeps the footprint of one tree, sample by sample. In bytes; None where no sample knew of memory.

    `take` each sample. `share`: reading takes at most one part in so many of the time, and once 100 ms more, of which
    a tree with little memory takes little. `always_pss`: read whenever memory may have changed, not only where
    there may be a new peak; within the same share. `clock` and `cpu_clock` are of the calling thread, in ns.

    The footprint is the sum of the members' shares (``Pss`` of ``smaps_rollup``). Shared memory and mapped files are in
    it; swapped-out pages, pages of hugetlbfs, and page cache that nobody maps are not. Members are read one after the
    other, 17 ms a GiB of RSS. Where somebody gives back meanwhile what he shared, or ends, his part counts in those
    that are read later; where somebody maps what others have, it counted as theirs alone before. A pass during which
    more than a little has moved is only believed until there is another; who has ended counts with half of his RSS.

    Cost: some 10 µs for a sample without news, whatever the size of the tree; else a row (1 µs) and, where it must be,
    a read of ``smaps_rollup`` for each member (30 µs and up). Who is read waits meanwhile if it maps or unmaps memory:
    16 ms for each GiB that it has, and within the same share of the time.

    >>> with prock.TreeSampler() as sampler:
    ...     footprint = Footprint(prock.engine.active)
    ...     footprint.take(sampler.sample())
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
        """In the latest sample. Estimate, moved with RSS, where it was not read."""
        self.peak_rss_bytes: int | None = None
        """Highest sum of resident sets. Upper bound of `peak_bytes`, but for what RSS lags behind."""
        self.peak_pss_bytes: int | None = None
        """Highest sum of shares that was read of all who matter; None where there was none."""
        self.cost_ns = 0
        """CPU time that all this took of the calling thread."""
        self.passes = 0
        """Readings of the tree."""
        self.readings = 0
        """Readings of single members."""
        self._peak: int | None = None
        self._peak_source, self._peak_bias = "rss", BIAS_OF_RSS
        self._is_provisional = False
        """Whether the peak is of a pass during which memory moved: the next one during which it rests replaces it."""
        self._guess: tuple[int, int] | None = None
        """Where the peak may have been missed: what it was, as far as can be guessed, and the sum of RSS then."""
        self._allowance_ns = ALLOWANCE_NS
        self._factor = 1.0
        """Of prices: what passes really cost."""
        self._fruitless = 0
        self._patient_until_ns = self._passed_ns = self._dearest_ns = 0
        self._taken_ns: int | None = None
        self._rss_before = 0
        """In the sample before."""
        self._read: tuple[int, int, int] | None = None
        """Footprint, sum of RSS and CPU time when it was known last."""
        self._highest_rss = 0
        """Of sums at which it was known."""
        self._lowest_rss = 0
        """Of sums since it was known."""
        self._slope = 1.0
        """Of what RSS grows by: the part that the footprint has grown by."""

    @property
    def peak_bytes(self) -> int | None:
        """The highest footprint. Peaks between samples are missed; for the rest see `bias`."""
        if self._peak is None:
            return self.peak_rss_bytes
        return self._peak if self._guess is None else max(self._peak, self._guess[0])

    @property
    def source(self) -> str:
        """Where `peak_bytes` comes from: ``pss``; ``rss``, if that is as good or no other was to be had; ``mixed``."""
        return "mixed" if self._is_guess else self._peak_source

    @property
    def bias(self) -> str:
        """How far `peak_bytes` can be trusted, in a line."""
        return BIAS_OF_GUESS if self._is_guess else self._peak_bias

    @property
    def _is_guess(self) -> bool:
        return self._guess is not None and self._peak is not None and self._guess[0] > NEWS * self._peak

    def take(self, sample: TreeSample) -> None:
        """Look at a sample, the tree's newest, and read what has to be read. Raises nothing for members that refuse."""
        rss = sample.rss_bytes
        if rss is None:
            return
        began_ns = self._cpu_clock()
        listed_ns = self._price_ns(sample.process_count, rss)
        price_ns = int(self._factor * listed_ns)
        self._dearest_ns = max(self._dearest_ns, listed_ns)
        self._earn(sample.taken_ns)
        self.peak_rss_bytes = max(rss, self.peak_rss_bytes or 0)
        self._lowest_rss = min(rss, self._lowest_rss)
        if not (self._may_be_news(sample, rss) and self._find(sample, rss, price_ns)):
            self._guess_it(rss, sample.process_count * NOISE_BYTES)
        self._rss_before = rss
        self.cost_ns += self._cpu_clock() - began_ns

    @staticmethod
    def _price_ns(members: int, rss: int) -> int:
        return members * PRICE_PER_PROCESS_NS + rss * PRICE_PER_MIB_NS // (1 << 20)

    @property
    def _allowed_at_most_ns(self) -> int:
        """More is saved up than for the beginning only where a single pass takes more."""
        return max(ALLOWANCE_NS, int(self._factor * self._dearest_ns))

    def _earn(self, now_ns: int) -> None:
        if self._taken_ns is not None:
            earned_ns = self._allowance_ns + max(0, now_ns - self._taken_ns) // self._share
            self._allowance_ns = min(earned_ns, self._allowed_at_most_ns)
        else:
            self._passed_ns = now_ns
        self._taken_ns = now_ns

    def _may_be_news(self, sample: TreeSample, rss: int) -> bool:
        if self._read is None:
            return True
        if self._always:
            return self._read[1:] != (rss, sample.cpu_ns) or sample.appeared + sample.ended > 0
        return self._most(sample, rss) > NEWS * (self._peak or 0)

    def _most(self, sample: TreeSample, rss: int) -> int:
        """What the footprint can be at most. One process shares with nobody here, so RSS shows all that it takes."""
        assert self._read is not None
        footprint, _, cpu_ns = self._read
        hidden = 0 if sample.process_count == 1 else (sample.cpu_ns - cpu_ns) * FILLED_BYTES_PER_NS
        return min(rss, footprint + rss - self._lowest_rss + hidden)

    def _guess_it(self, rss: int, noise: int) -> None:
        """Without reading: growth as it was, falls in proportion."""
        guess = rss
        if self._read is not None:
            footprint, known_rss, _ = self._read
            if rss < known_rss:
                guess = footprint * rss // known_rss
            else:
                grown = max(0, rss - known_rss - noise)
                guess = max(footprint, min(rss, footprint + int(self._slope * grown)))
        self.current_bytes = guess
        if self._guess is None or guess > self._guess[0]:
            self._guess = (guess, rss)

    def _find(self, sample: TreeSample, rss: int, price_ns: int) -> bool:
        """The footprint now, if it can be had. Whether it could."""
        may_read = self._may_read(sample, rss, price_ns)
        if may_read or sample.process_count <= MANY:
            rows = sorted(((row.rss_bytes or 0, row.pid) for row in sample.members), reverse=True)
            largest = rows[0][0] if rows else 0
            if largest >= LARGE_BYTES and rss - largest <= UNREAD_SHARE * rss:
                self._know(sample, rss, (largest + rss) // 2, "rss", BIAS_OF_ONE)
                return True
            if may_read and rss and self._read_shares(sample, rss, rows, price_ns):
                return True
        return False

    def _would_settle(self, sample: TreeSample, rss: int) -> bool:
        """Whether memory is as high as when it was guessed."""
        return self._guess is None or rss + sample.process_count * NOISE_BYTES >= 0.95 * self._guess[1]

    def _may_read(self, sample: TreeSample, rss: int, price_ns: int) -> bool:
        is_record = rss > NEWS * self._highest_rss + sample.process_count * NOISE_BYTES
        if not is_record and not self._always and sample.taken_ns < self._patient_until_ns:
            return False
        allowance_ns = self._allowance_ns
        if self._is_guess and not self._would_settle(sample, rss) and allowance_ns < self._allowed_at_most_ns:
            return False  # saved for when memory is as high again: else all would go into readings of cheap moments
        if abs(rss - self._rss_before) > (NEWS - 1) * rss:
            waited_ns = max(STANDSTILL_NS // 20, sample.taken_ns - self._passed_ns)
            allowance_ns = allowance_ns * min(waited_ns, STANDSTILL_NS) // STANDSTILL_NS
        return price_ns <= allowance_ns

    def _read_shares(self, sample: TreeSample, rss: int, rows: list[tuple[int, int]], price_ns: int) -> bool:
        """A pass: the largest members first, until the others hold little. Whether the footprint is known by it."""
        began_ns, cpu_began_ns = self._clock(), self._cpu_clock()
        until_ns = began_ns + 8 * price_ns + 50_000_000
        found = refused = ended = at = 0
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
            shares = self._engine.pss([pid for _, pid in batch], until_ns)
            self.readings += len(shares)
            complete = len(shares) == len(batch)
            for (size, pid), share in zip(batch, shares, strict=False):
                if share is not None:
                    found += share
                    read.append((size, pid))
                elif self._is_there(pid):
                    refused += size
                else:
                    ended += size
            limit = UNREAD_SHARE * (found + refused)
        self.passes += 1
        self._pay(sample, rss, self._clock() - began_ns, self._cpu_clock() - cpu_began_ns, complete)
        if not complete or found + refused == 0:
            return False
        moved = ended + sum(abs(self._rss_now(pid, size) - size) for size, pid in read)
        settled = moved <= UNREAD_SHARE * found + len(read) * NOISE_BYTES
        if not settled and self._peak is not None:
            return False
        self._know_shares(sample, rss, found, refused, ended, left)
        if not settled:
            self._is_provisional, self.peak_pss_bytes = True, None
        return True

    def _rss_now(self, pid: int, known: int) -> int:
        """Of a member that was read; as it was where that is refused, and nothing of one that has ended."""
        try:
            memory = self._engine.memory(pid)
        except REFUSALS:
            return known
        return 0 if memory is None else memory[0]

    def _is_there(self, pid: int) -> bool:
        """Of a member whose share is not told: as it is refused, or as its main thread has ended while others go on.

        Not of one that is about to end: the kernel takes the memory first, and calls it a zombie later.
        """
        try:
            info = self._engine.info(pid)
        except REFUSALS:
            return True
        return info is not None and info.is_alive and (info.rss_bytes > 0 or info.thread_count > 1)

    def _pay(self, sample: TreeSample, rss: int, wall_ns: int, cpu_ns: int, complete: bool) -> None:
        """By CPU time; who waits long for a target's lock pays for that, too, so that it does not happen often."""
        cost_ns = max(cpu_ns, wall_ns // 8)
        self._allowance_ns -= cost_ns
        factor = cost_ns / max(1, self._price_ns(sample.process_count, rss))
        if not complete:
            self._factor = 2 * max(factor, self._factor)
        elif cost_ns > TELLING_NS:
            self._factor = max(factor, (self._factor + factor) / 2)
        self._fruitless += 1  # unless it shows to be otherwise
        wait_ns = self._share * cost_ns << min(self._fruitless, PATIENCE_LOG2)
        self._patient_until_ns = sample.taken_ns + wait_ns
        self._passed_ns = sample.taken_ns

    def _know_shares(self, sample: TreeSample, rss: int, found: int, refused: int, ended: int, left: int) -> None:
        footprint = found + refused + (ended + left) // 2
        if found == 0:
            source, bias = "rss", BIAS_OF_RSS
        elif refused:
            source, bias = "mixed", BIAS_OF_REFUSED
        elif ended > UNREAD_SHARE * found:
            source, bias = "mixed", BIAS_OF_ENDED
        else:
            source, bias = "pss", BIAS_OF_SHARES
            self.peak_pss_bytes = max(footprint, self.peak_pss_bytes or 0)
        if footprint > NEWS * (self._peak or 0):
            self._fruitless = self._patient_until_ns = 0
        self._know(sample, rss, footprint, source, bias)

    def _know(self, sample: TreeSample, rss: int, footprint: int, source: str, bias: str) -> None:
        before, rss_before, _ = self._read or (0, 0, 0)
        if rss - rss_before >= max(LARGE_BYTES, rss // 20):
            self._slope = min(1.0, max(0.0, (footprint - before) / (rss - rss_before)))
        self._read = (footprint, rss, sample.cpu_ns)
        self._highest_rss = max(rss, self._highest_rss)
        self._lowest_rss = rss
        self.current_bytes = footprint
        if self._would_settle(sample, rss):
            self._guess = None
        elif self._guess is not None:
            guess, guess_rss = self._guess
            above = guess_rss - rss  # what is shared now need not have been when there was much more
            again = footprint + int(self._slope * min(above, rss)) + max(0, above - rss)
            self._guess = (min(guess, again), guess_rss)
        if self._peak is None or footprint > self._peak or self._is_provisional:
            self._peak, self._peak_source, self._peak_bias = footprint, source, bias
        self._is_provisional = False
