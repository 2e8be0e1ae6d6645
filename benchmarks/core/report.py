"""Tables and targets of the core benchmark."""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.core import startup
from benchmarks.core.contestants import CRATE, FLOOR, FLOOR_IN_TICKS, IN_PYTHON, PROCK, PSUTIL, PURE
from benchmarks.core.rounds import (
    BUSY_TREE,
    CPU_TITLE,
    SCAN_OTHERS_TITLE,
    SCAN_TITLE,
    Rounds,
    busy,
    others_title,
    tree_title,
)
from benchmarks.harness.chapter import MISSING, Chapter, Table, Target
from benchmarks.harness.format import duration, number
from benchmarks.harness.measure import Row, Spread


def chapter(rounds: Rounds, notes: list[str]) -> Chapter:
    return Chapter(
        "Core",
        notes,
        [
            Table("Cost of prock, and how many times as much the others cost", *_plain(rounds.plain)),
            Table("Beside a busy Python thread (and how many times as long as without it)", *_busy(rounds.busy)),
            Table("Start-up", *_start(rounds.startup)),
        ],
        _targets(rounds),
        {
            "plain": {title: row.samples for title, row in rounds.plain.items()},
            "busy": {title: row.samples for title, row in rounds.busy.items()},
            "startup": rounds.startup.samples,
        },
    )


def _targets(rounds: Rounds) -> list[Target]:
    few, many, tree, busy_tree = SCAN_TITLE, SCAN_OTHERS_TITLE, tree_title(500), tree_title(BUSY_TREE)

    def ratio(title: str, name: str, over: str) -> Spread | None:
        return rounds.plain[title].ratio(name, over)

    def longer(name: str) -> Spread | None:
        spread = rounds.startup.difference(name, startup.BARE)
        return None if spread is None else Spread(*(value / 1e6 for value in spread))

    return [
        Target("get_cpu_time ÷ three bare clock_gettime", ratio(CPU_TITLE, PROCK, FLOOR), 2),
        Target("psutil cpu_times ÷ get_cpu_time", ratio(CPU_TITLE, PSUTIL, PROCK), 12, at_least=True),
        *(
            Target(f"{title} ÷ {floor}", ratio(title, PROCK, floor), 1.15)
            for floor in (FLOOR, FLOOR_IN_TICKS)
            for title in (few, many)
        ),
        *(Target(f"{title}, psutil ÷ prock", ratio(title, PSUTIL, PROCK), 5, at_least=True) for title in (few, many)),
        Target(f"{tree}, psutil ÷ prock", ratio(tree, PSUTIL, PROCK), 7, at_least=True),
        Target(f"{others_title(5)}, psutil ÷ prock", ratio(others_title(5), PSUTIL, PROCK), 50, at_least=True),
        Target(f"{busy_tree}, busy thread ÷ idle", rounds.busy[busy_tree].ratio(busy(PROCK), PROCK), 3),
        Target("import prock, over bare Python", longer(startup.IMPORT_PROCK), 15, unit=" ms"),
        Target(f"{startup.STAT}, over bare Python", longer(startup.STAT), 35, unit=" ms"),
    ]


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
    lines = [[startup.BARE, _cost(row, startup.BARE), ""]]
    for name in startup.NAMES:
        longer = row.difference(name, startup.BARE)
        lines.append([name, _cost(row, name), MISSING if longer is None else f"+{duration(longer.median)}"])
    return ("", "elapsed", "over bare Python"), lines


def _cost(row: Row, name: str) -> str:
    cost = row.cost(name)
    return MISSING if cost is None else duration(cost.median)


def _times(ratio: Spread | None) -> str:
    return MISSING if ratio is None else f"{number(ratio.median)}x"
