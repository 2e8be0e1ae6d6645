"""What the benchmark tells: a table for each round, and which of the targets were met."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import _startup
from _contestants import CRATE, FLOOR, FLOOR_IN_TICKS, IN_PYTHON, PROCK, PSUTIL, PURE
from _measure import Row, Spread, table
from _rounds import (
    BUSY_TREE,
    CPU_TITLE,
    SCAN_STRANGERS_TITLE,
    SCAN_TITLE,
    Rounds,
    busy,
    strangers_title,
    tree_title,
)
from _text import duration, number

MISSING = "-"


@dataclass(frozen=True)
class Target:
    """How one contestant has to compare with another."""

    what: str
    rows: dict[str, Row]
    title: str
    name: str
    over: str
    limit: float
    at_least: bool = False
    in_ms: bool = False
    """Compare by the difference in milliseconds, not by the ratio."""

    def measured(self) -> Spread | None:
        row = self.rows[self.title]
        if not self.in_ms:
            return row.ratio(self.name, self.over)
        longer = row.difference(self.name, self.over)
        return None if longer is None else Spread(*(value / 1e6 for value in longer))

    def verdict(self) -> str:
        measured = self.measured()
        if measured is None:
            return "not measured"
        met = measured.median >= self.limit if self.at_least else measured.median <= self.limit
        return "met" if met else "NOT met"


def targets(rounds: Rounds) -> list[Target]:
    plain, beside, startup = rounds.plain, rounds.busy, {rounds.startup.title: rounds.startup}
    few, many, start = SCAN_TITLE, SCAN_STRANGERS_TITLE, rounds.startup.title
    busy_tree = tree_title(BUSY_TREE)
    return [
        Target("get_cpu_time ÷ three bare clock_gettime", plain, CPU_TITLE, PROCK, FLOOR, 2),
        Target("psutil cpu_times ÷ get_cpu_time", plain, CPU_TITLE, PSUTIL, PROCK, 12, at_least=True),
        Target(f"{few} ÷ {FLOOR}", plain, few, PROCK, FLOOR, 1.15),
        Target(f"{many} ÷ {FLOOR}", plain, many, PROCK, FLOOR, 1.15),
        Target(f"{few} ÷ {FLOOR_IN_TICKS}", plain, few, PROCK, FLOOR_IN_TICKS, 1.15),
        Target(f"{many} ÷ {FLOOR_IN_TICKS}", plain, many, PROCK, FLOOR_IN_TICKS, 1.15),
        Target(f"{few}, psutil ÷ prock", plain, few, PSUTIL, PROCK, 5, at_least=True),
        Target(f"{many}, psutil ÷ prock", plain, many, PSUTIL, PROCK, 5, at_least=True),
        Target(f"{tree_title(500)}, psutil ÷ prock", plain, tree_title(500), PSUTIL, PROCK, 7, at_least=True),
        Target(f"{strangers_title(5)}, psutil ÷ prock", plain, strangers_title(5), PSUTIL, PROCK, 50, at_least=True),
        Target(f"{busy_tree}, busy thread ÷ idle", beside, busy_tree, busy(PROCK), PROCK, 3),
        Target(
            "import prock, over bare Python, ms", startup, start, _startup.IMPORT_PROCK, _startup.BARE, 15, in_ms=True
        ),
        Target(f"{_startup.STAT}, over bare Python, ms", startup, start, _startup.STAT, _startup.BARE, 35, in_ms=True),
    ]


def tables(rounds: Rounds, *, markdown: bool) -> Iterator[str]:
    """Headings and tables, in order."""
    for heading, header, lines in (
        ("What prock costs, and how many times as much the others", *_plain(rounds.plain)),
        ("Beside a busy Python thread (and how many times as long as without it)", *_busy(rounds.busy)),
        ("Start-up", *_start(rounds.startup)),
        ("Targets", *_targets(targets(rounds))),
    ):
        yield f"{'### ' if markdown else ''}{heading}\n\n{table(header, lines, markdown=markdown)}\n"


def _plain(rows: dict[str, Row]) -> tuple[Sequence[str], list[list[str]]]:
    others = (FLOOR, CRATE, PURE, PSUTIL)
    lines = [
        [title, _cost(row, PROCK), *(_times(row.ratio(name, PROCK)) for name in others)] for title, row in rows.items()
    ]
    return ("", PROCK, *others), lines


def _busy(rows: dict[str, Row]) -> tuple[Sequence[str], list[list[str]]]:
    lines = [
        [title, *(f"{_cost(row, busy(name))} ({_times(row.ratio(busy(name), name))})" for name in IN_PYTHON)]
        for title, row in rows.items()
    ]
    return ("", *IN_PYTHON), lines


def _start(row: Row) -> tuple[Sequence[str], list[list[str]]]:
    lines = [[_startup.BARE, _cost(row, _startup.BARE), ""]]
    for name in _startup.NAMES:
        longer = row.difference(name, _startup.BARE)
        lines.append([name, _cost(row, name), MISSING if longer is None else f"+{duration(longer.median)}"])
    return ("", "elapsed", "over bare Python"), lines


def _targets(targets: Sequence[Target]) -> tuple[Sequence[str], list[list[str]]]:
    lines = []
    for target in targets:
        measured = target.measured()
        numbers = [MISSING, MISSING] if measured is None else [number(measured.median), _quartiles(measured)]
        sign = "≥" if target.at_least else "≤"
        lines.append([target.what, *numbers, f"{sign} {target.limit:g}", target.verdict()])
    return ("", "measured", "quartiles", "required", ""), lines


def _quartiles(spread: Spread) -> str:
    return f"{number(spread.low)} to {number(spread.high)}"


def _cost(row: Row, name: str) -> str:
    cost = row.cost(name)
    return MISSING if cost is None else duration(cost.median)


def _times(ratio: Spread | None) -> str:
    return MISSING if ratio is None else f"{number(ratio.median)}x"
