"""Overhead of running a command under a tool: the tool's own CPU time, the time that it adds, and the slow-down."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from benchmarks.harness.chapter import MISSING, Chapter, Table
from benchmarks.harness.format import duration
from benchmarks.harness.measure import Row, Spread
from benchmarks.harness.programs import BIN
from benchmarks.run import prock_run
from benchmarks.run.accuracy import GROVE, LOADS, PROCESSES, QUICK_SHARE, Load, run_load
from benchmarks.run.execute import Ask, Outcome, why_no_truth
from benchmarks.run.setting import ALONE, Setting, doing, raw_outcome, troubles
from benchmarks.run.tool import Tool, What

PYTHON = "python3 -c pass"
LIMIT_S = 20.0
SLOW_S = 0.6
"""A tool that adds more than that takes part in a quarter of the passes."""
SLOWED = (Load("fork storm", "storm", 150, 2000), Load("steady", "steady", 1, 400_000))


class Pace(NamedTuple):
    starts: int
    slow_downs: int


THOROUGH, QUICK = Pace(20, 4), Pace(5, 1)


def chapter(setting: Setting) -> Chapter:
    made = Chapter("Overhead")
    pace = QUICK if setting.quick else THOROUGH
    made.raw = {}
    _own(setting, made)
    _added(setting, made, pace)
    _slow_downs(setting, made, pace)
    return made


# --- the tool's own CPU time


def _own(setting: Setting, made: Chapter) -> None:
    if (reason := why_no_truth()) is not None:
        made.notes.append(f"The tools' own CPU time is not known, without a control group ({reason}).")
        return
    load = next(load for load in LOADS if load.title == GROVE).sized(QUICK_SHARE if setting.quick else 1)
    found: dict[str, Outcome] = {}
    for tool in setting.tools:
        if tool.only is None and not (setting.quick and tool.is_variant):
            doing("overhead", load.title, tool)
            found[tool.name] = setting.kept.get((tool.name, load.title)) or run_load(setting, tool, load)
    made.notes.append(
        f"Own CPU time: of the tool and its helpers, over the {load.us / 1e5:g} s that {PROCESSES} processes run, of"
        " which all but one sleep. With the tool's start; as it is by default, or at the interval beside its name."
    )
    made.notes += troubles((name, load.title, outcome) for name, outcome in found.items())
    lines = [[name, _seconds(outcome.own_ns), *_share(outcome)] for name, outcome in found.items()]
    made.tables.append(Table("CPU time of the tool itself", ("", "CPU time", "of a processor"), lines))
    made.raw["own"] = {name: raw_outcome(outcome) for name, outcome in found.items()}


def _seconds(ns: int | None) -> str:
    return MISSING if ns is None else f"{max(0, ns) / 1e9:.3f} s"


def _share(outcome: Outcome) -> list[str]:
    if outcome.own_ns is None or not outcome.wall_s:
        return [MISSING]
    return [f"{max(0, outcome.own_ns) / outcome.wall_s / 1e9 * 100:.2f} %"]


# --- what it adds to a command that does nothing


def _added(setting: Setting, made: Chapter, pace: Pace) -> None:
    contestants: dict[str, Callable[[], float]] = {
        "true": lambda: _elapsed(["true"], setting.home),
        PYTHON: lambda: _elapsed([sys.executable, "-c", "pass"], setting.home),
    }
    tools = [tool for tool in setting.plain() if tool.starts]
    if any(tool.about == "prock" for tool in tools):
        tools.append(prock_run.loud())
    contestants |= {tool.name: _starting(setting, tool) for tool in tools}
    row = _alternately("true", contestants, pace.starts)
    made.notes.append(
        f"Added to `true`: elapsed time, alternately, passes: {pace.starts}, differences within a pass; beside them the"
        f" interpreter of the tools in Python. A tool that takes longer than {SLOW_S:g} s has a quarter of the turns."
    )
    lines = []
    for name in contestants:
        cost, more = row.cost(name), row.difference(name, "true")
        lines.append([name, *((duration(cost.median), _quartiles(cost, duration)) if cost else (MISSING, MISSING)),
                      MISSING if more is None or name == "true" else f"+{duration(more.median)}"])  # fmt: skip
    made.tables.append(Table("`true`", ("", "elapsed", "quartiles", "over `true` alone"), lines))
    made.raw["true"] = row.samples


def _starting(setting: Setting, tool: Tool) -> Callable[[], float]:
    home = setting.home / f"true-{tool.name}"
    home.mkdir()

    def once() -> float:
        for file in home.iterdir():  # some refuse to overwrite a file
            file.unlink()
        return _elapsed(tool.command(["true"], home, What.CPU), home)

    return once


def _elapsed(command: Sequence[str], home: Path) -> float:
    """Nanoseconds."""
    env = {**os.environ, "PATH": f"{BIN}{os.pathsep}{os.environ.get('PATH', '')}"}
    nothing = subprocess.DEVNULL
    begin = time.perf_counter_ns()
    process = subprocess.Popen(
        command, cwd=home, env=env, stdin=nothing, stdout=nothing, stderr=nothing, start_new_session=True
    )
    ends = os.pidfd_open(process.pid)  # subprocess itself polls every 50 ms where there is a limit
    try:
        select.select([ends], [], [], LIMIT_S)
        return float(time.perf_counter_ns() - begin)
    finally:
        os.close(ends)
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _alternately(title: str, contestants: dict[str, Callable[[], float]], passes: int) -> Row:
    row = Row(title, {name: {} for name in contestants})
    names = list(contestants)
    for number in range(passes):
        names.reverse()
        for name in names:
            before = list(row.samples[name].values())
            if number % 4 and before and min(before) > SLOW_S * 1e9:
                continue
            doing("overhead", f"{title}, pass {number + 1} of {passes},", None)
            row.samples[name][number] = contestants[name]()
    return row


# --- what it slows down


def _slow_downs(setting: Setting, made: Chapter, pace: Pace) -> None:
    tools: list[Tool | None] = [None, *setting.plain()]
    rows = {load.title: _slow_down(setting, load, tools, pace.slow_downs) for load in SLOWED}
    made.notes.append(
        f"Slow-down: elapsed time of the command itself, alternately, passes: {pace.slow_downs}; ratios within a pass,"
        " median, least and most."
    )
    lines = [
        [tool.name, *(cell for row in rows.values() for cell in _slowed(row, tool.name))] for tool in tools if tool
    ]
    header = ("", *(cell for title in rows for cell in (title, "from, to")))
    made.tables.append(Table("Elapsed time under the tool ÷ alone", header, lines))
    made.raw["slow-down"] = {title: row.samples for title, row in rows.items()}


def _slow_down(setting: Setting, load: Load, tools: Sequence[Tool | None], passes: int) -> Row:
    row, order = Row(load.title), list(tools)
    for number in range(passes):
        order.reverse()
        for tool in order:
            doing("overhead", f"{load.title}, pass {number + 1} of {passes},", tool)
            ask = Ask(setting.work(load.kind, load.count, load.us), limit_s=20)
            work_s = setting.run(tool, ask)[0].work_s
            if work_s:
                row.samples.setdefault(ALONE if tool is None else tool.name, {})[number] = work_s * 1e9
    return row


def _slowed(row: Row, name: str) -> list[str]:
    ratio = row.ratio(name, ALONE)
    if ratio is None:
        return [MISSING, MISSING]
    alone = row.samples[ALONE]
    ratios = [took / alone[number] for number, took in row.samples[name].items() if number in alone]
    return [f"{ratio.median:.2f}x", f"{min(ratios):.2f} to {max(ratios):.2f}"]


def _quartiles(spread: Spread, tell: Callable[[float], str]) -> str:
    return f"{tell(spread.low)} to {tell(spread.high)}"
