"""Tables and targets of the cost chapter."""

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
    OTHERS,
    PACED,
    PACED_S,
    PACED_SAMPLES,
    SHARE,
    STILL,
    Pace,
    Rounds,
    among,
    beside,
    still,
)
from benchmarks.sampler.followers import ALL, ALL_ROWS, FLOOR, LEDGER, LEDGER_ROWS, PSUTIL, PSUTIL_ALL, USUAL_LIMIT

NOTES = (
    "CPU time of the thread that samples; medians of alternate turns, ratios within a pass.",
    f"CPU: totals of CPU time and processes; rows: one for each member as well; all: RSS and I/O too. {FLOOR}:"
    " a loop that reads the CPU clock of each member only. perf: by perf events; the others by the ledger.",
    "psutil: children(recursive=True), then cpu_times() of each, or with oneshot() cpu_times(), memory_info() and"
    " io_counters(); Process objects are reused.",
    "Awake: each member has run since the sample before. A member that has not run is not read again, except memory"
    " once a second: a still tree is the cheapest case, and this the most expensive one. Without a fork on the machine"
    " no member has a new child: so that is a separate row.",
    f"few fds: with the usual soft limit of {USUAL_LIMIT} descriptors; all others have the hard one,"
    f" {resource.getrlimit(resource.RLIMIT_NOFILE)[1]}. Each runs in its own process.",
    f"Replaced: one member in {SHARE} has ended, was waited for, and has a successor at each sample. Spawned: as many"
    " children more were started since the sample before, and have ended.",
    "Samples follow each other at once, with warm processor caches; except those at"
    f" {PACED_S:g} s, of which each turn is the mean of {PACED_SAMPLES}.",
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
    yield _by_member(f"Awake tree, and another process has forked, {PER_PROCESS}", rounds.awake_forked, CHURNED)
    yield _by_member(f"A tenth of the members replaced, {PER_PROCESS}", rounds.replaced, CHURNED)
    yield _by_change("A tenth replaced, over a still tree, per member replaced", rounds.replaced)
    yield _by_member(f"As many short-lived children spawned, {PER_PROCESS}", rounds.spawned, CHURNED)
    yield _by_change("As many spawned, over a still tree, per child", rounds.spawned)
    yield _ratios("A tenth replaced, how many times as much psutil costs", rounds.replaced)
    yield _pairs(
        f"Among {OTHERS} other processes (and how many times as much as without)", rounds.among, cost.AMONG, among
    )
    heading = "Another process has forked since the sample before (and how many times as much as without)"
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


def member_costs(row: Row) -> dict[str, float]:
    """Nanoseconds per additional member, from each size to the next, without the fixed cost of a sample."""
    found = {}
    sizes = _sizes(row)
    for less, more in pairwise(sizes):
        longer = row.difference(more, less)
        if longer is not None:
            found[f"{less} to {more}"] = longer.median / (int(more) - int(less))
    return found


def _steepness(row: Row) -> float | None:
    """How many times as much a member costs in the largest tree as in a small one."""
    costs = list(member_costs(row).values())
    return costs[-1] / costs[0] if costs and costs[0] > 0 else None


def _marginal(rows: dict[str, Row]) -> Table:
    steps = list(member_costs(next(iter(rows.values()))))
    lines = []
    for name, row in rows.items():
        costs, least = member_costs(row), _sizes(row)[0]
        cost = row.cost(least)
        fixed = MISSING if cost is None else duration(cost.median - int(least) * costs[steps[0]])
        lines.append([name, fixed, *(duration(costs[step]) if step in costs else MISSING for step in steps)])
    return Table("Fixed cost of a sample, and cost of each additional member", ("", "a sample", *steps), lines)


def _by_change(heading: str, rows: dict[int, Row]) -> Table:
    lines = []
    for count, row in rows.items():
        longer = [row.difference(name, still(name)) for name in CHURNED]
        changes = max(1, count // SHARE)
        lines.append([str(count), *(MISSING if one is None else duration(one.median / changes) for one in longer)])
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
        what = f"{name}, cost of a member in a tree of {largest} ÷ in one of 100, over that of the {FLOOR}"
        yield Target(what, measured, 1.25)
    for name in (LEDGER, ALL):
        ratios = [ratio.median for row in rounds.among.values() if (ratio := row.ratio(among(name), name))]
        measured = statistics.median(ratios) if ratios else None
        yield Target(f"{name}, among {OTHERS} other processes ÷ without", measured, 1.1)
