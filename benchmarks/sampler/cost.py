"""Cost of a sample of a followed tree: by size, among other processes, under churn, beside a busy thread."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

from benchmarks.harness.chapter import progress
from benchmarks.harness.measure import TURN_NS, Contestant, Row, Turn, beside_busy_thread, measure, now_and_then
from benchmarks.harness.programs import PipeProgram, compile_c
from benchmarks.sampler.followers import (
    ALL,
    ALL_FEW,
    ALL_PERF,
    ALL_ROWS,
    FLOOR,
    LEDGER,
    LEDGER_ROWS,
    PERF,
    PSUTIL,
    PSUTIL_ALL,
    SNAPSHOT,
    TimedCalls,
    floor,
    follow,
)
from benchmarks.workloads.churn import Churn, churning
from benchmarks.workloads.forest import forest

STILL = (ALL_FEW, LEDGER, LEDGER_ROWS, PERF, ALL, ALL_ROWS, ALL_PERF, SNAPSHOT, PSUTIL, PSUTIL_ALL)
CHURNED = (ALL_FEW, LEDGER, LEDGER_ROWS, PERF, ALL, ALL_PERF, SNAPSHOT, PSUTIL, PSUTIL_ALL)
AMONG = (LEDGER, ALL, PSUTIL)
BESIDE = (LEDGER, LEDGER_ROWS, ALL, PSUTIL)
BY_SIZE = (LEDGER, ALL)
FORKED = (LEDGER, ALL)
PACED = (LEDGER, PERF, ALL, PSUTIL)
PACED_S, PACED_SAMPLES = 0.1, 10
BUSY = 100
"""The largest tree that psutil reads beside a busy thread."""

OTHERS = 2000
SHARE = 10
"""One member in so many is replaced between two samples, or starts a child that ends."""


class Pace(NamedTuple):
    sizes: tuple[int, ...]
    changing: tuple[int, ...]
    """Sizes of trees that change."""
    some_sizes: tuple[int, ...]
    """Sizes of all others."""
    row_s: float
    churn_s: float
    """Of each kind of change."""
    by_size_s: float
    forked_s: float
    busy_s: float
    among_passes: int
    paced_passes: int
    least: int


THOROUGH = Pace(
    (10, 100, 1000, 5000),
    (10, 100, 1000, 5000),
    (10, 100, 1000),
    row_s=9,
    churn_s=5,
    by_size_s=10,
    forked_s=3,
    busy_s=9,
    among_passes=9,
    paced_passes=2,
    least=4,
)
QUICK = Pace(
    (10, 100, 1000),
    (1000,),
    (100,),
    row_s=1,
    churn_s=0.8,
    by_size_s=2,
    forked_s=1,
    busy_s=2,
    among_passes=3,
    paced_passes=1,
    least=2,
)


Change = Callable[[Churn, Churn, int], object]
"""A change between two samples: of a tree, of an unrelated tree, and to how many members."""


class Rounds(NamedTuple):
    """All by number of members."""

    still: dict[int, Row]
    paced: dict[int, Row]
    by_size: dict[str, Row]
    """By contestant; the sizes are compared, all trees at the same time."""
    awake: dict[int, Row]
    awake_forked: dict[int, Row]
    replaced: dict[int, Row]
    spawned: dict[int, Row]
    among: dict[int, Row]
    forked: dict[int, Row]
    beside: dict[int, Row]


class Programs(NamedTuple):
    forest: Path
    churn: Path
    floor: Path


def run(temporary: Path, pace: Pace) -> Rounds:
    programs = Programs(*(compile_c(name, temporary) for name in ("forest", "churn", "floor")))

    def changed(what: str, change: Change, *, beside_still: bool = False) -> dict[int, Row]:
        return {count: _changed(programs, count, what, change, pace, beside_still) for count in pace.changing}

    return Rounds(
        still={count: _still(programs, count, pace) for count in pace.sizes},
        paced={count: _paced(programs, count, pace) for count in pace.some_sizes},
        by_size={name: _by_size(programs, name, pace) for name in (FLOOR, *BY_SIZE)},
        awake=changed("have run", lambda tree, *_: tree.wake()),
        awake_forked=changed("have run, and another process has forked", _wake_and_fork),
        replaced=changed("were replaced", lambda tree, _, some: tree.replace(some), beside_still=True),
        spawned=changed("had a child", lambda tree, _, some: tree.spawn(some), beside_still=True),
        among={count: _among(programs, count, pace) for count in pace.some_sizes},
        forked={count: _forked(programs, count, pace) for count in pace.some_sizes},
        beside={count: _beside(programs, count, pace) for count in pace.some_sizes if count <= BUSY},
    )


def _still(programs: Programs, count: int, pace: Pace) -> Row:
    progress("cost: still tree of", count)
    with ExitStack() as stack:
        root = stack.enter_context(forest(programs.forest, count))
        contestants = [Contestant(FLOOR, floor(stack.enter_context(PipeProgram(programs.floor)), root))]
        contestants += [Contestant(name, turn) for name, turn in _all(STILL, root, count, stack)]
        return measure(f"still tree of {count}", contestants, pace.row_s, least=pace.least)


def _all(names: Sequence[str], root: int, count: int, stack: ExitStack) -> Iterator[tuple[str, Turn]]:
    """Those that can take part, each in a process of its own, and each of which sees the whole tree."""
    for name in names:
        calls = stack.enter_context(TimedCalls(name, root))
        if calls.seen is None:
            continue
        if calls.seen != count:
            raise RuntimeError(f"the tree has {count} processes, but {name} sees {calls.seen}")
        yield name, calls.turn


def _paced(programs: Programs, count: int, pace: Pace) -> Row:
    """Ten times a second, as a monitor does, with cold processor caches."""
    row = Row(f"still tree of {count}, at {PACED_S:g} s")
    with ExitStack() as stack:
        root = stack.enter_context(forest(programs.forest, count))
        rounds_of = list(_all(PACED, root, count, stack))
        for number in range(pace.paced_passes):
            for name, turn in rounds_of:
                progress("cost: still tree of", count, f"at {PACED_S:g} s,", name)
                row.samples.setdefault(name, {})[number] = _after(lambda: time.sleep(PACED_S), turn)(PACED_SAMPLES)
    return row


def _by_size(programs: Programs, name: str, pace: Pace) -> Row:
    """Trees of all sizes alternately, so that their costs are comparable."""
    progress("cost: trees of all sizes,", name)
    with ExitStack() as stack:
        contestants = []
        for count in pace.sizes:
            root = stack.enter_context(forest(programs.forest, count))
            if name == FLOOR:
                program = stack.enter_context(PipeProgram(programs.floor))  # each knows one tree
                contestants.append(Contestant(str(count), floor(program, root)))
                continue
            for _, turn in _all((name,), root, count, stack):
                contestants.append(Contestant(str(count), turn))
        return measure(f"{name}, by size", contestants, pace.by_size_s, least=pace.least)


def _changed(programs: Programs, count: int, what: str, change: Change, pace: Pace, beside_still: bool) -> Row:
    """Each sample finds something changed."""
    progress("cost: tree of", count, "members that", what)
    with ExitStack() as stack:
        tree, unrelated = (stack.enter_context(churning(programs.churn, size)) for size in (count, 3))
        contestants = []
        for name, turn in _all(CHURNED, tree.root, count, stack):
            changed = _after(lambda: change(tree, unrelated, max(1, count // SHARE)), turn)
            contestants.append(Contestant(name, changed, most_calls=50))
            if beside_still:
                contestants.append(Contestant(still(name), _after(_nothing, turn), most_calls=100))
        return measure(f"tree of {count}, members {what}", contestants, pace.churn_s, least=pace.least)


def _wake_and_fork(tree: Churn, unrelated: Churn, _: int) -> None:
    tree.wake()
    unrelated.spawn(1)


def still(name: str) -> str:
    """Name of a contestant while nothing changes."""
    return f"{name}, still"


def _nothing() -> None:
    """The change of a still tree, which is measured like any other."""


def _after(change: Callable[[], object], turn: Turn) -> Turn:
    """One sample after each change. A first sample takes in the changes of other rounds_of."""

    def changed(calls: int) -> float:
        turn(1)
        spent = 0.0
        for _ in range(calls):
            change()
            spent += turn(1)
        return spent / calls

    return changed


def _among(programs: Programs, count: int, pace: Pace) -> Row:
    """Alternately with and without unrelated processes, which are started and ended in each pass."""
    row = Row(f"tree of {count} among {OTHERS} other processes")
    with ExitStack() as stack:
        root = stack.enter_context(forest(programs.forest, count))
        rounds_of = list(_all(AMONG, root, count, stack))
        for number in range(pace.among_passes):
            progress("cost: tree of", count, "among other processes, pass", number + 1)
            for name, turn in rounds_of:
                row.samples.setdefault(name, {})[number] = _median_of_some(turn)
            with forest(programs.forest, OTHERS, fanout=OTHERS):
                for name, turn in rounds_of:
                    row.samples.setdefault(among(name), {})[number] = _median_of_some(turn)
    return row


def among(name: str) -> str:
    return f"{name}, among other processes"


def _median_of_some(turn: Turn) -> float:
    """Median of a few short rounds_of, against interruptions."""
    took = max(turn(1), 1.0)
    if took > TURN_NS:
        return turn(1)
    calls = max(1, min(round(TURN_NS / took), 1000))
    return statistics.median(turn(calls) for _ in range(5))


def _forked(programs: Programs, count: int, pace: Pace) -> Row:
    """Another process forks before each sample, so that the machine's last pid changes."""
    progress("cost: tree of", count, "while another process forks")
    with ExitStack() as stack:
        root = stack.enter_context(forest(programs.forest, count))
        unrelated = stack.enter_context(churning(programs.churn, 3))
        contestants = []
        for name, turn in _all(FORKED, root, count, stack):
            contestants.append(Contestant(name, _after(lambda: unrelated.spawn(1), turn), most_calls=100))
            contestants.append(Contestant(still(name), _after(_nothing, turn), most_calls=100))
        return measure(f"tree of {count}, another process forks", contestants, pace.forked_s, least=pace.least)


def _beside(programs: Programs, count: int, pace: Pace) -> Row:
    """In this process, with the busy thread."""
    progress("cost: tree of", count, "beside a busy thread")
    with ExitStack() as stack:
        root = stack.enter_context(forest(programs.forest, count))
        contestants = []
        for name in BESIDE:
            call = follow(name, root, stack)
            if call is None:
                continue
            turn = now_and_then(call)
            contestants.append(Contestant(name, turn, most_calls=20))
            contestants.append(Contestant(beside(name), beside_busy_thread(turn), most_calls=20))
        return measure(f"tree of {count}, beside a busy thread", contestants, pace.busy_s, least=min(pace.least, 2))


def beside(name: str) -> str:
    return f"{name}, beside a busy thread"
