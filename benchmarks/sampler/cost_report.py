"""What the chapter on cost tells."""

from __future__ import annotations

import resource
import statistics
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path

from benchmarks.harness.chapter import MISSING, Chapter, Table, Target
from benchmarks.harness.format import duration, number
from benchmarks.harness.measure import Row, Spread
from benchmarks.sampler import cost
from benchmarks.sampler.cost import (
    BESIDE,
    BY_SIZE,
    CHURNED,
    PACED,
    PACED_S,
    PACED_SAMPLES,
    SHARE,
    STILL,
    STRANGERS,
    Pace,
    Rounds,
    among,
    beside,
    still,
)
from benchmarks.sampler.followers import ALL, ALL_ROWS, FLOOR, LEDGER, LEDGER_ROWS, PSUTIL, PSUTIL_ALL, USUAL_LIMIT

NOTES = (
    "CPU time of the thread that samples; medians of turns taken in turn, ratios within a pass.",
    f"CPU: totals of CPU time and processes; rows: one for each member is made as well; all: RSS and I/O too. {FLOOR}:"
    " a loop that asks the CPU clock of each member and nothing else. perf: by perf events; the others by the ledger.",
    "psutil: children(recursive=True), then cpu_times() of each, or with oneshot() cpu_times(), memory_info() and"
    " io_counters(); Process objects are kept from sample to sample.",
    "Awake: each member has run since the sample before. What has not run is not read again, but for memory once a"
    " second: so a still tree is cheap whatever is asked, and this is the other end. While nobody on the machine forks,"
    " no member can have: so that is told apart.",
    f"few fds: with the usual soft limit of {USUAL_LIMIT} descriptors; all others have the hard one,"
    f" {resource.getrlimit(resource.RLIMIT_NOFILE)[1]}. Each has a process of its own.",
    f"Replaced: one member in {SHARE} has ended, was waited for, and has a successor at each sample. Spawned: as many"
    " children more were started since the sample before, and have ended.",
    "Samples follow each other at once, so what they look at lies in the processor's caches as far as it fits; but for"
    f" those at {PACED_S:g} s, of which each turn is the mean of {PACED_SAMPLES}.",
)
PER_PROCESS = "per process and sample"


def chapter(temporary: Path, pace: Pace) -> Chapter:
    rounds = cost.run(temporary, pace)
    made = Chapter("Cost", notes=list(NOTES))
    made.tables = list(_tables(rounds))
    made.targets = list(_targets(rounds))
    made.raw = {
        "cost": {part: {row.title: row.samples for row in getattr(rounds, part).values()} for part in rounds._fields}
    }
    return made


def _tables(rounds: Rounds) -> Iterator[Table]:
    yield _by_member(f"Still tree, {PER_PROCESS}", rounds.still, (FLOOR, *STILL))
    yield _ratios("Still tree, how many times as much psutil costs", rounds.still)
    yield _by_member(f"Still tree at {PACED_S:g} s, {PER_PROCESS}", rounds.paced, PACED)
    yield _marginal(rounds.by_size)
    yield _by_member(f"Awake tree, {PER_PROCESS}", rounds.awake, CHURNED)
    yield _ratios("Awake tree, how many times as much psutil costs", rounds.awake)
    yield _by_member(f"Awake tree, and somebody has forked, {PER_PROCESS}", rounds.awake_forked, CHURNED)
    yield _by_member(f"A tenth of the members replaced, {PER_PROCESS}", rounds.replaced, CHURNED)
    yield _by_change("A tenth replaced, over a still tree, per member replaced", rounds.replaced)
    yield _by_member(f"As many short-lived children spawned, {PER_PROCESS}", rounds.spawned, CHURNED)
    yield _by_change("As many spawned, over a still tree, per child", rounds.spawned)
    yield _ratios("A tenth replaced, how many times as much psutil costs", rounds.replaced)
    yield _pairs(
        f"Among {STRANGERS} strangers (and how many times as much as without)", rounds.among, cost.AMONG, among
    )
    heading = "A stranger has forked since the sample before (and how many times as much as when nobody did)"
    yield _pairs(heading, rounds.forked, cost.FORKED, str, still)
    yield _pairs(
        "Beside a busy Python thread, elapsed (and how many times as long as without)", rounds.beside, BESIDE, beside
    )


def _by_member(heading: str, rows: dict[int, Row], names: tuple[str, ...]) -> Table:
    lines = [[str(count), *(_per(row.cost(name), count) for name in names)] for count, row in rows.items()]
    return Table(heading, ("members", *names), lines)


def _per(cost: Spread | None, count: int) -> str:
    return MISSING if cost is None else duration(cost.median / count)


RATIOS = ((PSUTIL, LEDGER), (PSUTIL, LEDGER_ROWS), (PSUTIL_ALL, ALL), (PSUTIL_ALL, ALL_ROWS))


def _ratios(heading: str, rows: dict[int, Row]) -> Table:
    pairs = [pair for pair in RATIOS if any(row.ratio(*pair) for row in rows.values())]
    lines = [[str(count), *(_times(row.ratio(*pair)) for pair in pairs)] for count, row in rows.items()]
    return Table(heading, ("members", *(f"{one} ÷ {other}" for one, other in pairs)), lines)


def _times(ratio: Spread | None) -> str:
    return MISSING if ratio is None else f"{number(ratio.median)}x"


def _sizes(row: Row) -> list[str]:
    return sorted(row.samples, key=int)


def prices(row: Row) -> dict[str, float]:
    """What one member more costs, from each size to the next, in nanoseconds: a sample's own price is not in it."""
    found = {}
    sizes = _sizes(row)
    for less, more in pairwise(sizes):
        dearer = row.difference(more, less)
        if dearer is not None:
            found[f"{less} to {more}"] = dearer.median / (int(more) - int(less))
    return found


def _steepness(row: Row) -> float | None:
    """How many times as much a member costs in the largest tree as in a small one."""
    price = list(prices(row).values())
    return price[-1] / price[0] if price and price[0] > 0 else None


def _marginal(rows: dict[str, Row]) -> Table:
    steps = list(prices(next(iter(rows.values()))))
    lines = []
    for name, row in rows.items():
        price, least = prices(row), _sizes(row)[0]
        cost = row.cost(least)
        fixed = MISSING if cost is None else duration(cost.median - int(least) * price[steps[0]])
        lines.append([name, fixed, *(duration(price[step]) if step in price else MISSING for step in steps)])
    return Table("What a sample costs by itself, and each member more", ("", "a sample", *steps), lines)


def _by_change(heading: str, rows: dict[int, Row]) -> Table:
    lines = []
    for count, row in rows.items():
        dearer = [row.difference(name, still(name)) for name in CHURNED]
        changes = max(1, count // SHARE)
        lines.append([str(count), *(MISSING if one is None else duration(one.median / changes) for one in dearer)])
    return Table(heading, ("members", *CHURNED), lines)


def _pairs(
    heading: str,
    rows: dict[int, Row],
    names: tuple[str, ...],
    other: Callable[[str], str],
    plain: Callable[[str], str] = str,
) -> Table:
    lines = []
    for count, row in rows.items():
        cells = [str(count)]
        for name in names:
            cost = row.cost(other(name))
            cells.append(
                MISSING if cost is None else f"{duration(cost.median)} ({_times(row.ratio(other(name), plain(name)))})"
            )
        lines.append(cells)
    return Table(heading, ("members", *names), lines)


def _targets(rounds: Rounds) -> Iterator[Target]:
    row = rounds.still[1000]
    for name, limit in ((LEDGER, 0.8), (LEDGER_ROWS, 3), (ALL, 4)):
        cost = row.cost(name)
        yield Target(f"still 1000, {name}, per process", None if cost is None else cost.median / 1e6, limit, unit=" µs")
    for what, rows in (("awake", rounds.awake), ("awake and a fork", rounds.awake_forked)):
        awake = rows[1000].cost(ALL)
        yield Target(f"{what} 1000, {ALL}, per process", None if awake is None else awake.median / 1e6, 4, unit=" µs")
    for one, other, limit in ((PSUTIL, LEDGER, 60), (PSUTIL_ALL, ALL, 20)):
        ratio = row.ratio(one, other)
        yield Target(f"still 1000, {one} ÷ {other}", None if ratio is None else ratio.median, limit, at_least=True)
    for name in BY_SIZE:
        steepness, unavoidable = (_steepness(rounds.by_size[one]) for one in (name, FLOOR))
        measured = steepness / unavoidable if steepness and unavoidable else None
        largest = _sizes(rounds.by_size[name])[-1]
        what = f"{name}, price of a member in a tree of {largest} ÷ in one of 100, over that of the {FLOOR}"
        yield Target(what, measured, 1.25)
    for name in (LEDGER, ALL):
        ratios = [ratio.median for row in rounds.among.values() if (ratio := row.ratio(among(name), name))]
        measured = statistics.median(ratios) if ratios else None
        yield Target(f"{name}, among {STRANGERS} strangers ÷ without", measured, 1.1)
