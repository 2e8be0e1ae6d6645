"""What a sample of a followed tree costs: by size, among strangers, under churn, beside a thread that computes."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

from _chapter import progress
from _churn import Churn, churning
from _followers import (
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
    Call,
    count_seen,
    floor,
    follow,
)
from _forest import forest
from _measure import Contestant, Row, Turn, beside_busy_thread, in_a_loop, measure, now_and_then
from _programs import Asked, compile_c

STILL = (ALL_FEW, LEDGER, LEDGER_ROWS, PERF, ALL, ALL_ROWS, ALL_PERF, SNAPSHOT, PSUTIL, PSUTIL_ALL)
"""Who is to have few descriptors comes first: those of all samplers count."""
CHURNED = (LEDGER, LEDGER_ROWS, PERF, ALL, ALL_PERF, SNAPSHOT, PSUTIL, PSUTIL_ALL)
AMONG = (LEDGER, ALL, PSUTIL)
BESIDE = (LEDGER, LEDGER_ROWS, ALL, PSUTIL)
BY_SIZE = (LEDGER, ALL)
FORKED = (LEDGER, ALL)
PACED = (LEDGER, PERF, ALL, PSUTIL)
PACED_S, PACED_SAMPLES = 0.1, 10
BUSY = 100
"""The largest tree that psutil can be asked for beside a busy thread."""

STRANGERS = 2000
SHARE = 10
"""Of the members, one in so many is replaced between two samples, or a child started that has ended."""


class Pace(NamedTuple):
    sizes: tuple[int, ...]
    some_sizes: tuple[int, ...]
    """Where fewer do."""
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
"""What happens to a tree between two samples, to so many of its members; and what to a stranger."""


class Rounds(NamedTuple):
    """All by number of members."""

    still: dict[int, Row]
    paced: dict[int, Row]
    by_size: dict[str, Row]
    """By what is asked; the contestants are the sizes, all there at the same time."""
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
        return {count: _changed(programs, count, what, change, pace, beside_still) for count in pace.sizes}

    return Rounds(
        still={count: _still(programs, count, pace) for count in pace.sizes},
        paced={count: _paced(programs, count, pace) for count in pace.some_sizes},
        by_size={name: _by_size(programs, name, pace) for name in (FLOOR, *BY_SIZE)},
        awake=changed("have run", lambda tree, *_: tree.wake()),
        awake_forked=changed("have run, and a stranger has forked", _wake_and_fork),
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
        contestants = [Contestant(FLOOR, floor(stack.enter_context(Asked(programs.floor)), root))]
        contestants += [Contestant(name, in_a_loop(call)) for name, call in _all(STILL, root, count, stack)]
        return measure(f"still tree of {count}", contestants, pace.row_s, least=pace.least)


def _all(names: Sequence[str], root: int, count: int, stack: ExitStack) -> Iterator[tuple[str, Call]]:
    """Those that can take part, each of which sees the whole tree."""
    for name in names:
        call = follow(name, root, stack)
        if call is None:
            continue
        if count_seen(call) != count:
            raise RuntimeError(f"the tree has {count} processes, but {name} sees {count_seen(call)}")
        yield name, call


def _paced(programs: Programs, count: int, pace: Pace) -> Row:
    """Ten times a second, as a monitor does, which finds the processor's caches full of others' things."""
    row = Row(f"still tree of {count}, at {PACED_S:g} s")
    with ExitStack() as stack:
        root = stack.enter_context(forest(programs.forest, count))
        calls = list(_all(PACED, root, count, stack))
        for number in range(pace.paced_passes):
            for name, call in calls:
                progress("cost: still tree of", count, f"at {PACED_S:g} s,", name)
                turn = _after(lambda: time.sleep(PACED_S), call)
                row.samples.setdefault(name, {})[number] = turn(PACED_SAMPLES)
    return row


def _by_size(programs: Programs, name: str, pace: Pace) -> Row:
    """The same sampler, on trees of all sizes in turn: only so are their prices comparable."""
    progress("cost: trees of all sizes,", name)
    with ExitStack() as stack:
        contestants = []
        for count in pace.sizes:
            root = stack.enter_context(forest(programs.forest, count))
            if name == FLOOR:
                asked = stack.enter_context(Asked(programs.floor))  # each knows one tree
                contestants.append(Contestant(str(count), floor(asked, root)))
                continue
            for _, call in _all((name,), root, count, stack):
                contestants.append(Contestant(str(count), in_a_loop(call)))
        return measure(f"{name}, by size", contestants, pace.by_size_s, least=pace.least)


def _changed(programs: Programs, count: int, what: str, change: Change, pace: Pace, beside_still: bool) -> Row:
    """Each sample finds something changed. Of the time only the sample's counts."""
    progress("cost: tree of", count, "members that", what)
    with ExitStack() as stack:
        tree, stranger = (stack.enter_context(churning(programs.churn, size)) for size in (count, 3))
        contestants = []
        for name, call in _all(CHURNED, tree.root, count, stack):
            turn = _after(lambda: change(tree, stranger, max(1, count // SHARE)), call)
            contestants.append(Contestant(name, turn, most_calls=50))
            if beside_still:
                contestants.append(Contestant(still(name), _after(_nothing, call), most_calls=100))
        return measure(f"tree of {count}, members {what}", contestants, pace.churn_s, least=pace.least)


def _wake_and_fork(tree: Churn, stranger: Churn, _: int) -> None:
    tree.wake()
    stranger.spawn(1)


def still(name: str) -> str:
    """What a contestant is called in the turns in which nothing changes."""
    return f"{name}, still"


def _nothing() -> None:
    """What changes in a still tree: measured like a change, and after what others have changed has been seen."""


def _after(change: Call, call: Call) -> Turn:
    def turn(calls: int) -> float:
        call()  # the changes that others have asked for since are not this turn's
        spent = 0
        for _ in range(calls):
            change()
            before = time.thread_time_ns()
            call()
            spent += time.thread_time_ns() - before
        return spent / calls

    return turn


def _among(programs: Programs, count: int, pace: Pace) -> Row:
    """With strangers and without in turn: they are made and ended in each pass."""
    row = Row(f"tree of {count} among {STRANGERS} strangers")
    with ExitStack() as stack:
        root = stack.enter_context(forest(programs.forest, count))
        calls = list(_all(AMONG, root, count, stack))
        for number in range(pace.among_passes):
            progress("cost: tree of", count, "among strangers, pass", number + 1)
            for name, call in calls:
                row.samples.setdefault(name, {})[number] = _median_of_turns(call)
            with forest(programs.forest, STRANGERS, fanout=STRANGERS):
                for name, call in calls:
                    row.samples.setdefault(among(name), {})[number] = _median_of_turns(call)
    return row


def _forked(programs: Programs, count: int, pace: Pace) -> Row:
    """Somebody else forks before each sample: then the machine's last pid, which tells that nobody did, does not."""
    progress("cost: tree of", count, "while a stranger forks")
    with ExitStack() as stack:
        root = stack.enter_context(forest(programs.forest, count))
        stranger = stack.enter_context(churning(programs.churn, 3))
        contestants = []
        for name, call in _all(FORKED, root, count, stack):
            contestants.append(Contestant(name, _after(lambda: stranger.spawn(1), call), most_calls=100))
            contestants.append(Contestant(still(name), _after(_nothing, call), most_calls=100))
        return measure(f"tree of {count}, a stranger forks", contestants, pace.forked_s, least=pace.least)


def among(name: str) -> str:
    return f"{name}, among strangers"


def _median_of_turns(call: Call) -> float:
    """Of a few short turns: one that was interrupted doesn't count."""
    turn, begin = in_a_loop(call), time.perf_counter_ns()
    turn(1)
    took = max(time.perf_counter_ns() - begin, 1)
    calls = max(1, min(10_000_000 // took, 1000))
    return statistics.median(turn(calls) for _ in range(5 if took < 5_000_000 else 1))


def _beside(programs: Programs, count: int, pace: Pace) -> Row:
    progress("cost: tree of", count, "beside a busy thread")
    with ExitStack() as stack:
        root = stack.enter_context(forest(programs.forest, count))
        contestants = []
        for name, call in _all(BESIDE, root, count, stack):
            turn = now_and_then(call)
            contestants.append(Contestant(name, turn, most_calls=20))
            contestants.append(Contestant(beside(name), beside_busy_thread(turn), most_calls=20))
        return measure(f"tree of {count}, beside a busy thread", contestants, pace.busy_s, least=min(pace.least, 2))


def beside(name: str) -> str:
    return f"{name}, beside a busy thread"
