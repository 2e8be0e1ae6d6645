"""Overhead of being followed: of a fork storm, and of a Python program that watches its own children."""

from __future__ import annotations

import os
import select
import statistics
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import prock
from benchmarks.harness.chapter import MISSING, Chapter, Table, Target, progress
from benchmarks.harness.format import duration
from benchmarks.harness.measure import Row, Spread
from benchmarks.harness.programs import compile_c
from benchmarks.sampler.followers import LEDGER, OURS, PERF, PSUTIL, PsutilTree, sampler_of
from benchmarks.workloads.forest import forest

INTERVAL = 0.1
CHILDREN = 100
NONE = "none"
FOLLOWED_BY = (NONE, LEDGER, PERF, PSUTIL)
MONITOR, MONITOR_PSUTIL = "Monitor", "psutil thread"
"""In the process itself."""


@dataclass(frozen=True)
class Storm:
    title: str
    count: int
    us: int


class Pace(NamedTuple):
    passes: int
    share: float
    """Of the storms' size."""
    compute_passes: int
    compute_s: float


THOROUGH = Pace(15, 1.0, 7, 1.0)
QUICK = Pace(4, 0.5, 2, 0.6)

STORMS = (Storm("2 ms each", 200, 2000), Storm("end at once", 1000, 0))


class Mutual(NamedTuple):
    row: Row
    """Nanoseconds of a fixed computation."""
    late: dict[str, list[int]]
    """How many nanoseconds each sample came late."""
    due: dict[str, int]
    """How many samples were due while it computed."""


def chapter(temporary: Path, pace: Pace) -> Chapter:
    made = Chapter("Overhead")
    made.notes += [
        f"Storm: children one after the other, waited for; the same tree alone, and with each monitor that follows it"
        f" every {INTERVAL:g} s from another process, alternately; ratios within a pass, medians.",
        f"Computing: a Python program with {CHILDREN} sleeping children, which follows itself from a thread.",
    ]
    storms = {row.title: row for storm in STORMS for row in _storm_rows(temporary, storm, pace)}
    made.tables.append(_storm_table(storms))
    mutual = _mutual(temporary, pace)
    made.tables.append(_mutual_table(mutual))
    for title, row in storms.items():
        for name in (LEDGER, PERF):
            made.targets.append(Target(f"fork storm, {title}, {name}", _more(row, name), 2, unit=" %"))
    made.targets.append(Target(f"computing beside {MONITOR}", _more(mutual.row, MONITOR), 2, unit=" %"))
    made.raw = {
        "storms": {title: row.samples for title, row in storms.items()},
        "computing": {"ns": mutual.row.samples, "late_ns": mutual.late, "due": mutual.due},
    }
    return made


def _more(row: Row, name: str) -> float | None:
    """Percent more than alone."""
    ratio = row.ratio(name, NONE)
    return None if ratio is None else (ratio.median - 1) * 100


# --- a storm, followed from outside


@contextmanager
def _server(program: Path) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [program, "-", "-", "serve", "0", "0"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        yield process
    finally:
        process.communicate()


@contextmanager
def _prock(pid: int, name: str) -> Iterator[Callable[[], object]]:
    with sampler_of(pid, OURS[name]) as sampler:
        yield sampler.sample


@contextmanager
def _psutil(pid: int) -> Iterator[Callable[[], object]]:
    yield PsutilTree(pid, all_metrics=False)


def _attached(name: str, pid: int) -> AbstractContextManager[Callable[[], object] | None]:
    if name == NONE:
        return nullcontext()
    return _psutil(pid) if name == PSUTIL else _prock(pid, name)


def _storm_rows(temporary: Path, storm: Storm, pace: Pace) -> tuple[Row, Row]:
    """Elapsed time and CPU time: on a busy machine only the second is comparable."""
    rows = Row(f"{storm.title}, elapsed"), Row(f"{storm.title}, CPU time")
    order = f"{max(1, round(storm.count * pace.share))} {storm.us}\n"
    with _server(compile_c("work", temporary)) as server:
        names = list(FOLLOWED_BY)
        for number_of_pass in range(-1, pace.passes):  # the first only warms up
            names.reverse()
            for name in names:
                progress("overhead: fork storm,", storm.title, name)
                try:
                    with _attached(name, server.pid) as sample:
                        took = _one_storm(server, order, sample)
                except prock.NotSupported:
                    continue
                for row, ns in zip(rows, took, strict=True) if number_of_pass >= 0 else ():
                    row.samples.setdefault(name, {})[number_of_pass] = ns
    return rows


def _one_storm(server: subprocess.Popen[str], order: str, sample: Callable[[], object] | None) -> list[float]:
    assert server.stdin is not None
    assert server.stdout is not None
    server.stdin.write(order)
    server.stdin.flush()
    due = time.monotonic() + INTERVAL
    while sample is not None:
        if select.select([server.stdout], [], [], max(0.0, due - time.monotonic()))[0]:
            break
        sample()
        due += INTERVAL
    return [float(ns) for ns in server.stdout.readline().split()]


def _storm_table(rows: dict[str, Row]) -> Table:
    lines = []
    for title, row in rows.items():
        cost = row.cost(NONE)
        ratios = [_text(row.ratio(name, NONE)) for name in FOLLOWED_BY[1:]]
        lines.append([title, MISSING if cost is None else duration(cost.median), *ratios])
    return Table("A fork storm, and how many times as much when it is followed", ("", *FOLLOWED_BY), lines)


def _text(ratio: Spread | None) -> str:
    return MISSING if ratio is None else f"{ratio.median:.3f}x ({ratio.low:.3f} to {ratio.high:.3f})"


# --- a program that computes, and follows itself


class _PsutilThread:
    """Follows this process and its children from a thread, on the same grid of deadlines as `prock.Monitor`."""

    def __init__(self) -> None:
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.late: list[int] = []

    def __enter__(self) -> _PsutilThread:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()

    def _run(self) -> None:
        tree = PsutilTree(os.getpid(), all_metrics=False)
        due = time.monotonic() + INTERVAL
        while not self._done.wait(max(0.0, due - time.monotonic())):
            due += max(0, int((time.monotonic() - due) / INTERVAL)) * INTERVAL
            self.late.append(round((time.monotonic() - due) * 1e9))
            tree()
            due += INTERVAL


def _mutual(temporary: Path, pace: Pace) -> Mutual:
    mutual = Mutual(Row("computing"), {}, {})
    with forest(compile_c("forest", temporary), CHILDREN):
        rounds = _rounds_in(pace.compute_s)
        names = [NONE, MONITOR, MONITOR_PSUTIL]
        for number_of_pass in range(pace.compute_passes):
            names.reverse()
            for name in names:
                progress("overhead: computing beside", name)
                took = _computing(name, rounds, mutual)
                mutual.row.samples.setdefault(name, {})[number_of_pass] = took
    return mutual


def _computing(name: str, rounds: int, mutual: Mutual) -> float:
    if name == NONE:
        return _compute(rounds)
    if name == MONITOR:
        with prock.Monitor(INTERVAL, series=True, memory=False, accounting="ledger") as monitor:
            took = _compute(rounds)
        assert monitor.result is not None
        # The last is taken as the block ends, and not by the thread.
        late = [sample.late_ns for sample in monitor.result.series[:-1]]
    else:
        with _PsutilThread() as thread:
            took = _compute(rounds)
        late = thread.late
    mutual.late.setdefault(name, []).extend(late)
    mutual.due[name] = mutual.due.get(name, 0) + int(took / 1e9 / INTERVAL)
    return took


def _compute(rounds: int) -> float:
    begin, value = time.perf_counter_ns(), 1
    for _ in range(rounds):
        value = (value * 5 + 1) % 65_537
    return float(time.perf_counter_ns() - begin)


def _rounds_in(seconds: float) -> int:
    rounds = 100_000
    return round(rounds * seconds * 1e9 / min(_compute(rounds) for _ in range(5)))


def _mutual_table(mutual: Mutual) -> Table:
    lines = []
    for name in (NONE, MONITOR, MONITOR_PSUTIL):
        cost, late = mutual.row.cost(name), sorted(mutual.late.get(name, []))
        lines.append(
            [
                name,
                MISSING if cost is None else duration(cost.median),
                MISSING if name == NONE else _text(mutual.row.ratio(name, NONE)),
                duration(statistics.median(late)) if late else MISSING,
                duration(late[-1]) if late else MISSING,
                MISSING if name == NONE else f"{len(late)} of {mutual.due[name]}",
            ]
        )
    return Table(
        "Computing, beside a thread that follows this process and its children",
        ("", "elapsed", "ratio", "samples late by", "at most", "taken of those due"),
        lines,
    )
