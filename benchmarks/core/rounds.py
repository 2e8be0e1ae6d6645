"""The measured rows: each question, by size of the tree and by number of unrelated processes."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

from benchmarks.core import startup
from benchmarks.core.contestants import ALL, CPU, IN_PYTHON, PROCK, SCAN, TREE, Contestants, Question
from benchmarks.harness.measure import Contestant, Row, beside_busy_thread, measure, now_and_then
from benchmarks.workloads.forest import forest

OTHERS = 2000

CPU_TITLE = "CPU time of a process"
ALL_TITLE = "all statistics of a process"
SCAN_TITLE = "scan of all processes"
SCAN_OTHERS_TITLE = f"scan, {OTHERS} more"

FEW_TREES = (10, 100, 500, 1000)
OTHERS_TREES = (5, 10, 100, 1000)
BUSY_TREE = 100


def tree_title(count: int) -> str:
    return f"tree of {count}"


def others_title(count: int) -> str:
    return f"tree of {count} among {OTHERS} unrelated processes"


def busy(name: str) -> str:
    """Name of a contestant beside a busy thread."""
    return f"{name}, beside a busy thread"


class Pace(NamedTuple):
    """How long to measure: seconds for a row, and how many turns even the slowest gets."""

    row_s: float
    busy_row_s: float
    startup_s: float
    least_turns: int
    least_busy_turns: int
    busy_trees: tuple[int, ...]


THOROUGH = Pace(
    row_s=9, busy_row_s=12, startup_s=24, least_turns=4, least_busy_turns=4, busy_trees=(10, BUSY_TREE, 1000)
)
QUICK = Pace(row_s=1.2, busy_row_s=2, startup_s=5, least_turns=2, least_busy_turns=1, busy_trees=(10, BUSY_TREE))


class Rounds(NamedTuple):
    """All rows by title."""

    plain: dict[str, Row]
    busy: dict[str, Row]
    startup: Row


def run(contestants: Contestants, forest_program: Path, temporary: Path, pace: Pace) -> Rounds:
    plain = {row.title: row for row in _few(contestants, forest_program, pace)}
    plain |= {row.title: row for row in _others(contestants, forest_program, pace)}
    beside = {row.title: row for row in _busy(contestants, forest_program, pace)}
    started = measure("start-up", startup.contestants(temporary), pace.startup_s, least=pace.least_turns)
    _progress(started, startup.IMPORT_PROCK)
    return Rounds(plain, beside, started)


def _few(contestants: Contestants, forest_program: Path, pace: Pace) -> Iterator[Row]:
    with forest(forest_program, 1) as pid:
        yield _measure(CPU_TITLE, contestants, CPU, pid, pace)
        yield _measure(ALL_TITLE, contestants, ALL, pid, pace)
        yield _measure(SCAN_TITLE, contestants, SCAN, pid, pace)
    for count in FEW_TREES:
        with forest(forest_program, count) as root:
            contestants.check_tree(root, count)
            yield _measure(tree_title(count), contestants, TREE, root, pace)


def _others(contestants: Contestants, forest_program: Path, pace: Pace) -> Iterator[Row]:
    with forest(forest_program, OTHERS, fanout=OTHERS) as other_root:
        yield _measure(SCAN_OTHERS_TITLE, contestants, SCAN, other_root, pace)
        for count in OTHERS_TREES:
            with forest(forest_program, count) as root:
                contestants.check_tree(root, count)
                yield _measure(others_title(count), contestants, TREE, root, pace)


def _busy(contestants: Contestants, forest_program: Path, pace: Pace) -> Iterator[Row]:
    with ExitStack() as stack:
        pid = stack.enter_context(forest(forest_program, 1))
        yield _measure_busy(CPU_TITLE, contestants, CPU, pid, pace)
        yield _measure_busy(ALL_TITLE, contestants, ALL, pid, pace)
        yield _measure_busy(SCAN_TITLE, contestants, SCAN, pid, pace)
    for count in pace.busy_trees:
        with forest(forest_program, count) as root:
            # The slowest needs most of a minute for one snapshot of a large tree.
            least = pace.least_busy_turns if count <= BUSY_TREE else 1
            yield _measure_busy(tree_title(count), contestants, TREE, root, pace._replace(least_busy_turns=least))


def _measure(title: str, contestants: Contestants, question: Question, pid: int, pace: Pace) -> Row:
    row = measure(title, contestants.for_question(question, pid), pace.row_s, least=pace.least_turns)
    _progress(row, PROCK)
    return row


def _measure_busy(title: str, contestants: Contestants, question: Question, pid: int, pace: Pace) -> Row:
    """Each contestant twice, with and without the busy thread, in the same passes."""
    both = []
    for name in IN_PYTHON:
        turn = contestants.turn(name, question, pid, now_and_then)
        both.append(Contestant(name, turn, most_calls=20))
        both.append(Contestant(busy(name), beside_busy_thread(turn), most_calls=20))
    row = measure(title, both, pace.busy_row_s, least=pace.least_busy_turns)
    _progress(row, busy(PROCK))
    return row


def _progress(row: Row, name: str) -> None:
    cost = row.cost(name)
    if cost is not None:
        print(f"{row.title}: {name} {cost.median / 1000:.4g} µs", file=sys.stderr)
