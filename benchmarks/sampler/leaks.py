"""Whether a million samples leave anything behind in the process that took them: memory, or open descriptors."""

from __future__ import annotations

import gc
import os
import time
from pathlib import Path
from typing import NamedTuple

import prock
from benchmarks.harness.chapter import Chapter, Table, Target, progress
from benchmarks.harness.format import duration
from benchmarks.harness.programs import compile_c
from benchmarks.sampler.followers import How, sampler_of
from benchmarks.workloads.churn import Churn, churning

MEMBERS = 6
ROWS_EVERY = 10
REPLACED_EVERY = 500
REOPENED_EVERY = 5000
"""Samples after which the sampler is closed, and another one made."""
WARM_UP = 20_000
"""Samples before the first look: by then all that is kept on purpose is there."""
ALLOWED_KB = 2048.0
"""A scan of a full machine now and then leaves the heap larger by some hundred kB; a million samples that each lost the
smallest object there is would leave 16,000."""


class Pace(NamedTuple):
    samples: int


THOROUGH = Pace(1_000_000)
QUICK = Pace(100_000)


class Holds(NamedTuple):
    """What this process holds."""

    rss_kb: float
    descriptors: int

    @classmethod
    def now(cls) -> Holds:
        gc.collect()
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        return cls(pages * os.sysconf("SC_PAGESIZE") / 1024, len(os.listdir("/proc/self/fd")))


def chapter(temporary: Path, pace: Pace) -> Chapter:
    made = Chapter("Leaks")
    made.notes.append(
        f"{pace.samples} samples of a tree of {MEMBERS} with RSS and I/O; rows in one of {ROWS_EVERY}, a member"
        f" replaced every {REPLACED_EVERY}, the sampler closed and another made every {REOPENED_EVERY}."
    )
    lines, found = [], {}
    for accounting in ("ledger", "perf"):
        begin = time.monotonic_ns()
        try:
            with churning(compile_c("churn", temporary), MEMBERS) as churn:
                _take(churn, accounting, min(WARM_UP, pace.samples))
                before = Holds.now()
                _take(churn, accounting, pace.samples)
                after = Holds.now()
        except prock.NotSupported:
            continue
        found[accounting] = {"before": before._asdict(), "after": after._asdict()}
        took = duration(time.monotonic_ns() - begin)
        rss = (f"{before.rss_kb:.0f} kB", f"{after.rss_kb:.0f} kB")
        lines.append([accounting, *rss, str(before.descriptors), str(after.descriptors), took])
        more = after.descriptors - before.descriptors
        made.targets.append(Target(f"{accounting}, RSS grew by", after.rss_kb - before.rss_kb, ALLOWED_KB, unit=" kB"))
        made.targets.append(Target(f"{accounting}, more descriptors", more, 0))
    header = ("", "RSS before", "after", "descriptors before", "after", "took")
    made.tables.append(Table(f"What the process holds before and after {pace.samples} samples", header, lines))
    made.raw = {"leaks": found}
    return made


def _take(churn: Churn, accounting: str, samples: int) -> None:
    for done in range(0, samples, REOPENED_EVERY):
        progress("leaks:", accounting, done, "of", samples)
        with sampler_of(churn.root, How(accounting, all=True)) as sampler:
            for number in range(1, min(REOPENED_EVERY, samples - done) + 1):
                sample = sampler.sample()
                if number % ROWS_EVERY == 0 and len(sample.members) != sample.process_count:
                    raise RuntimeError(f"{sample.process_count} processes, but {len(sample.members)} rows")
                if number % REPLACED_EVERY == 0:
                    churn.replace(1)
