"""The trackers on a machine that stands still: a fake proc, and a clock that moves when it is told to."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import pytest
from support.engines import LINUX_ENGINES
from support.processes import fake_process, stat_line

import prock
from prock.engine import open_engine

TICK_NS = 1_000_000_000 // os.sysconf("SC_CLK_TCK")
SECOND = 1_000_000_000


class Machine:
    """Processes use ticks, the clock uses seconds."""

    def __init__(self, root: Path, engine_name: str) -> None:
        self.root = root
        self.now_ns = 5 * SECOND
        self.engine = open_engine(engine_name, str(root))

    def clock(self) -> int:
        return self.now_ns

    def start(self, pid: int, **fields: object) -> None:
        fake_process(self.root, pid, **{"starttime": pid, "rss": 1} | fields)  # type: ignore[arg-type]  # fields of stat

    def pass_(self, seconds: float, **ticks: int) -> None:
        """Let time pass, in which processes come to have used that many ticks."""
        self.now_ns += int(seconds * SECOND)
        for name, utime in ticks.items():
            self.set(int(name.removeprefix("pid")), utime=utime)

    def set(self, pid: int, **fields: object) -> None:
        (self.root / str(pid) / "stat").write_bytes(stat_line(pid, **{"starttime": pid, "rss": 1} | fields))

    def children(self, pid: int, *children: int) -> None:
        listed = b"".join(b"%d " % child for child in children)
        (self.root / str(pid) / "task" / str(pid) / "children").write_bytes(listed)

    def end(self, pid: int) -> None:
        shutil.rmtree(self.root / str(pid))


@pytest.fixture(params=LINUX_ENGINES)
def engine_name(request: pytest.FixtureRequest) -> str:
    """Those that can be told where proc is."""
    return str(request.param)


@pytest.fixture
def machine(tmp_path: Path, engine_name: str) -> Machine:
    return Machine(tmp_path, engine_name)


@pytest.fixture
def delta(machine: Machine) -> prock.DeltaTracker:
    return prock.DeltaTracker(engine=machine.engine, clock=machine.clock)


@pytest.fixture
def cumulative(machine: Machine) -> prock.CumulativeTracker:
    return prock.CumulativeTracker(engine=machine.engine, clock=machine.clock)


def test_delta_of_one_process(machine: Machine, delta: prock.DeltaTracker) -> None:
    machine.start(5, utime=100)
    assert delta.get_cpu_percent(5) is None
    machine.pass_(2, pid5=200)
    assert delta.get_cpu_percent(5) == 50.0
    machine.pass_(1)
    assert delta.get_cpu_percent(5) == 0.0
    machine.pass_(1, pid5=500)
    assert delta.get_cpu_percent(5) == 300.0


def test_cumulative_of_one_process(machine: Machine, cumulative: prock.CumulativeTracker) -> None:
    machine.start(5, utime=100)
    assert cumulative.get_cpu_percent(5) is None
    machine.pass_(2, pid5=200)
    assert cumulative.get_cpu_percent(5) == 50.0
    machine.pass_(2)
    assert cumulative.get_cpu_percent(5) == 25.0
    assert cumulative.elapsed() == 4.0
    cumulative.reset()
    assert cumulative.elapsed() == 0.0 and cumulative.get_cpu_percent(5) is None


@pytest.mark.parametrize("tracker_type", [prock.DeltaTracker, prock.CumulativeTracker])
def test_a_pid_given_away_again_starts_anew(machine: Machine, tracker_type: type[Any]) -> None:
    tracker = tracker_type(engine=machine.engine, clock=machine.clock)
    machine.start(5, utime=100)
    tracker.get_cpu_percent(5)
    tracker.get_tree_cpu_percent(5)
    machine.pass_(1)
    machine.set(5, starttime=77, utime=3000)
    assert tracker.get_cpu_percent(5) is None
    assert tracker.get_tree_cpu_percent(5) == (None, os.sysconf("SC_PAGE_SIZE"), 1)
    machine.pass_(1)
    machine.set(5, starttime=77, utime=3050)
    assert tracker.get_cpu_percent(5) == tracker.get_tree_cpu_percent(5).cpu_percent == 50.0


@pytest.mark.parametrize("tracker_type", [prock.DeltaTracker, prock.CumulativeTracker])
def test_counters_and_clocks_that_go_back(machine: Machine, tracker_type: type[Any]) -> None:
    tracker = tracker_type(engine=machine.engine, clock=machine.clock)
    machine.start(5, utime=100)
    tracker.get_cpu_percent(5)
    tracker.get_tree_cpu_percent(5)
    machine.pass_(1, pid5=50)
    assert tracker.get_cpu_percent(5) == 0.0 and tracker.get_tree_cpu_percent(5).cpu_percent == 0.0
    machine.pass_(-1)
    machine.pass_(0, pid5=60)
    assert tracker.get_cpu_percent(5) is None and tracker.get_tree_cpu_percent(5).cpu_percent is None


def test_gone_is_none_and_is_forgotten(machine: Machine, delta: prock.DeltaTracker) -> None:
    for pid in (5, 6):
        machine.start(pid)
        delta.get_cpu_percent(pid)
        delta.get_tree_cpu_percent(pid)
    assert delta.prune_dead() == 0
    machine.end(5)
    assert delta.prune_dead() == 1 and delta.prune_dead() == 0
    assert delta.get_cpu_percent(5) is None and delta.get_tree_cpu_percent(5) is None
    machine.pass_(1)
    assert delta.get_cpu_percent(6) == 0.0


def test_a_tree_first_has_no_percentage_but_memory_and_a_count(machine: Machine, delta: prock.DeltaTracker) -> None:
    machine.start(5, utime=100, rss=3)
    machine.start(6, utime=100, rss=4, ppid=5)
    machine.children(5, 6)
    assert delta.get_tree_cpu_percent(5) == (None, 7 * os.sysconf("SC_PAGE_SIZE"), 2)
    machine.pass_(1, pid5=110, pid6=140)
    usage = delta.get_tree_cpu_percent(5)
    assert usage is not None and usage.cpu_percent == 50.0 and usage.process_count == 2


def test_a_member_born_since_counts_from_birth_and_an_older_one_from_now(
    machine: Machine, delta: prock.DeltaTracker
) -> None:
    machine.start(50, utime=0)
    machine.start(51, utime=0, ppid=50)
    machine.children(50, 51)
    delta.get_tree_cpu_percent(50)
    machine.start(60, utime=30, ppid=50)  # its start time is later than that of all that were there
    machine.start(7, utime=900, ppid=50)  # was there, but is seen for the first time
    machine.children(50, 51, 60, 7)
    machine.pass_(1)
    usage = delta.get_tree_cpu_percent(50)
    assert usage is not None and usage.cpu_percent == 30.0 and usage.process_count == 4


def test_a_child_that_is_reaped_counts_once_with_what_nobody_saw_of_it(
    machine: Machine, cumulative: prock.CumulativeTracker
) -> None:
    machine.start(5)
    assert cumulative.get_tree_cpu_ns(5) == 0
    machine.start(6, utime=100, ppid=5)
    machine.children(5, 6)
    assert cumulative.get_tree_cpu_ns(5) == 100 * TICK_NS
    machine.end(6)
    machine.children(5)
    machine.set(5, cutime=170)
    counted = cumulative.get_tree_cpu_ns(5)
    assert counted is not None and 168 * TICK_NS <= counted <= 170 * TICK_NS
    assert cumulative.get_tree_cpu_ns(5) == counted


def test_a_child_that_nobody_waits_for_stays_counted(machine: Machine, cumulative: prock.CumulativeTracker) -> None:
    machine.start(5)
    cumulative.get_tree_cpu_ns(5)
    machine.start(6, utime=100, ppid=5)
    machine.children(5, 6)
    cumulative.get_tree_cpu_ns(5)
    machine.end(6)
    machine.children(5)
    assert cumulative.get_tree_cpu_ns(5) == 100 * TICK_NS
    machine.set(5, cutime=40)  # of another one, which lived and died unseen
    machine.pass_(1)
    counted = cumulative.get_tree_cpu_ns(5)
    assert counted is not None and 100 * TICK_NS <= counted <= 140 * TICK_NS


def test_an_orphan_stays_a_member_with_all_that_it_starts(
    machine: Machine, cumulative: prock.CumulativeTracker
) -> None:
    machine.start(5)
    cumulative.get_tree_cpu_ns(5)
    machine.start(6, utime=10, ppid=5)
    machine.start(7, utime=20, ppid=6)
    machine.children(5, 6)
    machine.children(6, 7)
    assert cumulative.get_tree_cpu_ns(5) == 30 * TICK_NS
    machine.end(6)
    machine.children(5)
    machine.set(7, utime=50, ppid=1)
    machine.start(8, utime=5, ppid=7)
    machine.children(7, 8)
    machine.pass_(1)
    usage = cumulative.get_tree_cpu_percent(5)
    assert (
        usage is not None
        and usage.process_count == 3
        and usage.cpu_percent == pytest.approx(65 * TICK_NS / SECOND * 100)
    )
    machine.end(7)
    machine.set(8, utime=9, ppid=1)
    assert cumulative.get_tree_cpu_ns(5) == 69 * TICK_NS


def test_a_member_that_cannot_be_read_for_once_is_not_taken_for_ended(
    machine: Machine, cumulative: prock.CumulativeTracker
) -> None:
    machine.start(5)
    cumulative.get_tree_cpu_ns(5)
    machine.start(6, utime=100, ppid=5)
    machine.children(5, 6)
    cumulative.get_tree_cpu_ns(5)
    (machine.root / "6" / "stat").write_bytes(b"garbage")
    usage = cumulative.get_tree_cpu_percent(5)
    assert usage is not None and usage.process_count == 2
    machine.set(6, utime=130, ppid=5)
    assert cumulative.get_tree_cpu_ns(5) == 130 * TICK_NS
