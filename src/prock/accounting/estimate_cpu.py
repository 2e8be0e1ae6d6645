"""One CPU time made of the readings of all sources of a run. Pure arithmetic.

Every source is a lower bound, and each misses something else: processes that are not reaped in one, the exit of
short-lived processes in another, processes that left the command's cgroup in the third. So the largest reading is the
best lower bound.
"""

from __future__ import annotations

from prock._compat.namedtuple import NamedTuple
from prock.accounting.protocol import (
    CGROUP,
    LEDGER,
    PERF,
    PERF_NEW_CPU,
    PERF_STOPPED,
    SOURCES,
    STOPPED_AND_NOT_REAPED,
    WAITED,
)
from prock.results import Source

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from prock.accounting.protocol import CpuReading

AGREE, AGREE_NS = 0.005, 20_000_000
"""Sources that differ by less than this part and this much agree."""
LEFT_CGROUP = "processes have left the command's cgroup"
OF_SPLIT = {CGROUP: "the processes in the command's cgroup", WAITED: "the reaped processes"}
PERF_COUNTED_NO_MORE = (
    "lower bound, by at most about 0.1 ms for each process that ended and 10 µs for each context switch"
)
"""Of reaped processes, where perf events, which also count unreaped ones but lack that much, counted no more."""


class CpuEstimate(NamedTuple):
    total_ns: int | None
    upper_ns: int | None
    user_ns: int | None
    system_ns: int | None
    accounting: str
    by_source: tuple[tuple[str, int], ...]
    sources: tuple[Source, ...]
    missing: tuple[str, ...]


def estimate_cpu(wanted: str, readings: Iterable[CpuReading], upper_ns: int | None = None) -> CpuEstimate:
    """The best total of these readings, its source and its bias.

    `wanted`: ``auto`` or the one source that makes the total. A source that was not used has no reading.
    `upper_ns`: the tree used at most this much, by its enclosing cgroup.
    """
    known: dict[str, CpuReading] = {}
    for reading in sorted(readings, key=lambda reading: SOURCES.index(reading.source)):
        other = known.get(reading.source)
        if other is None or reading.lower_ns > other.lower_ns:
            known[reading.source] = reading
    by_source = tuple((name, reading.lower_ns) for name, reading in known.items())
    candidates = [known[name] for name in known if wanted in ("auto", CGROUP, PERF, name)]
    if not candidates:
        accounting = LEDGER if wanted == "auto" else wanted
        return CpuEstimate(None, upper_ns, None, None, accounting, by_source, (Source("cpu", "none", "unknown"),), ())
    best, bias = _best(candidates)
    total_ns = best.lower_ns
    if upper_ns is not None and total_ns > upper_ns:
        if best.is_complete:  # the two are read one after the other
            upper_ns = total_ns
        else:
            total_ns, bias = upper_ns, f"upper bound: {best.source} counted more than the enclosing cgroup"
    sources, user_ns, system_ns = [Source("cpu", best.source, bias)], None, None
    splits = [best] if best.source == CGROUP else [known[name] for name in (CGROUP, WAITED) if name in known]
    split = max(splits, key=lambda reading: reading.lower_ns, default=None)
    if split is not None and split.user_ns is not None and split.lower_ns:
        user_ns = min(total_ns, total_ns * split.user_ns // split.lower_ns)
        system_ns = total_ns - user_ns
        how = (
            "by scheduler ticks"
            if split.source == best.source == CGROUP
            else f"in the proportion of {OF_SPLIT[split.source]}"
        )
        sources.append(Source("user_system", split.source, f"estimate: {how}"))
    missing = [
        sentence
        for sentence in candidates[0].missing
        if all(
            sentence in reading.missing or (sentence == STOPPED_AND_NOT_REAPED and reading.missing)
            for reading in known.values()
        )
    ]
    return CpuEstimate(total_ns, upper_ns, user_ns, system_ns, best.source, by_source, tuple(sources), tuple(missing))


def _best(candidates: list[CpuReading]) -> tuple[CpuReading, str]:
    """The reading that makes the total, and the bias of that."""
    first = candidates[0]
    if first.is_complete:
        best = max(candidates, key=_proven_ns)
        if _proven_ns(best) <= first.lower_ns * (1 + AGREE) + AGREE_NS:
            return first, first.bias
        return best, f"{best.bias}; {LEFT_CGROUP}"
    best = max(candidates, key=lambda reading: reading.lower_ns)
    if (first.source, best.source) == (PERF, WAITED) and first.bias not in (PERF_STOPPED, PERF_NEW_CPU):
        return best, PERF_COUNTED_NO_MORE
    return best, best.bias


def _proven_ns(reading: CpuReading) -> int:
    return reading.lower_ns if reading.proven_ns is None else reading.proven_ns
