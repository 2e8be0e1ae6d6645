"""The rounds of the benchmark: which question is asked among which processes."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

import _startup
from _contestants import ALL, CPU, IN_PYTHON, PROCK, SCAN, TREE, Contestants, Question
from _forest import forest
from _measure import Contestant, Row, beside_busy_thread, measure, now_and_then

STRANGERS = 2000

CPU_TITLE = "CPU time of a process"
ALL_TITLE = "all statistics of a process"
SCAN_TITLE = "scan of all processes"
SCAN_STRANGERS_TITLE = f"scan, {STRANGERS} more"

FEW_TREES = (10, 100, 500, 1000)
STRANGERS_TREES = (5, 10, 100, 1000)
BUSY_TREE = 100


def tree_title(count: int) -> str:
    return f"tree of {count}"


def strangers_title(count: int) -> str:
    return f"tree of {count} among {STRANGERS} strangers"


def busy(name: str) -> str:
    """What a contestant is called in the turns that it takes beside a busy thread."""
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
    """Everything that was measured, each row under its title."""

    plain: dict[str, Row]
    busy: dict[str, Row]
    startup: Row


def run(contestants: Contestants, forest_program: Path, temporary: Path, pace: Pace) -> Rounds:
    plain = {row.title: row for row in _few(contestants, forest_program, pace)}
    plain |= {row.title: row for row in _strangers(contestants, forest_program, pace)}
    beside = {row.title: row for row in _busy(contestants, forest_program, pace)}
    startup = measure("start-up", _startup.contestants(temporary), pace.startup_s, least=pace.least_turns)
    _tell(startup, _startup.IMPORT_PROCK)
    return Rounds(plain, beside, startup)


def _few(contestants: Contestants, forest_program: Path, pace: Pace) -> Iterator[Row]:
    with forest(forest_program, 1) as pid:
        yield _ask(CPU_TITLE, contestants, CPU, pid, pace)
        yield _ask(ALL_TITLE, contestants, ALL, pid, pace)
        yield _ask(SCAN_TITLE, contestants, SCAN, pid, pace)
    for count in FEW_TREES:
        with forest(forest_program, count) as root:
            contestants.check_tree(root, count)
            yield _ask(tree_title(count), contestants, TREE, root, pace)


def _strangers(contestants: Contestants, forest_program: Path, pace: Pace) -> Iterator[Row]:
    with forest(forest_program, STRANGERS, fanout=STRANGERS) as other_root:
        yield _ask(SCAN_STRANGERS_TITLE, contestants, SCAN, other_root, pace)
        for count in STRANGERS_TREES:
            with forest(forest_program, count) as root:
                contestants.check_tree(root, count)
                yield _ask(strangers_title(count), contestants, TREE, root, pace)


def _busy(contestants: Contestants, forest_program: Path, pace: Pace) -> Iterator[Row]:
    with ExitStack() as stack:
        pid = stack.enter_context(forest(forest_program, 1))
        yield _ask_busy(CPU_TITLE, contestants, CPU, pid, pace)
        yield _ask_busy(ALL_TITLE, contestants, ALL, pid, pace)
        yield _ask_busy(SCAN_TITLE, contestants, SCAN, pid, pace)
    for count in pace.busy_trees:
        with forest(forest_program, count) as root:
            # The slowest takes most of a minute for one look at a large tree: once has to do.
            least = pace.least_busy_turns if count <= BUSY_TREE else 1
            yield _ask_busy(tree_title(count), contestants, TREE, root, pace._replace(least_busy_turns=least))


def _ask(title: str, contestants: Contestants, question: Question, pid: int, pace: Pace) -> Row:
    row = measure(title, contestants.for_question(question, pid), pace.row_s, least=pace.least_turns)
    _tell(row, PROCK)
    return row


def _ask_busy(title: str, contestants: Contestants, question: Question, pid: int, pace: Pace) -> Row:
    """Everybody twice, with and without the busy thread, in the same passes."""
    both = []
    for name in IN_PYTHON:
        turn = contestants.turn(name, question, pid, now_and_then)
        both.append(Contestant(name, turn, most_calls=20))
        both.append(Contestant(busy(name), beside_busy_thread(turn), most_calls=20))
    row = measure(title, both, pace.busy_row_s, least=pace.least_busy_turns)
    _tell(row, busy(PROCK))
    return row


def _tell(row: Row, name: str) -> None:
    cost = row.cost(name)
    if cost is not None:
        print(f"{row.title}: {name} {cost.median / 1000:.4g} µs", file=sys.stderr)
