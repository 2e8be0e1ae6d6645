"""What a block costs: the monitor's result, and every way to leave the block."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING

import pytest
from support.elsewhere import in_child
from support.processes import Program
from support.sampling import MS, SLACK_NS, TICK_NS, open_descriptors

import prock
from prock.model import TreeTotals

if TYPE_CHECKING:
    from support.engines import Knows

    from prock.engine.protocol import Engine

pytestmark = pytest.mark.usefixtures("engine")


def burn(ns: int) -> None:
    until = time.process_time_ns() + ns
    while time.process_time_ns() < until:
        pass


def monitors() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "prock-monitor"]


def test_what_a_block_cost(puppet: Program, knows: Knows) -> None:
    with prock.Monitor(0.005, puppet.pid, series=True, io=True) as monitor:
        assert monitor.result is None
        puppet.does("many = [child(lambda: (burn(0.05), tells(1), stay())) for _ in range(3)]; told(3)")
        while len(monitor._series) < 3:  # a sample that has seen them
            pass
        seen = len(monitor._series)
        while len(monitor._series) < seen + 2:
            pass
        puppet.does("for one in many: os.kill(one, 9); os.waitpid(one, 0)")
        puppet.does("os.waitpid(child(lambda: burn(0.1)), 0)")
    result = monitor.result
    assert result is not None and result.series and result.samples == len(result.series)
    last = result.series[-1]
    assert type(last) is TreeTotals and (result.cpu_ns, result.wall_ns) == (last.cpu_ns, last.wall_ns)
    assert result.cpu_ns >= 250 * MS - SLACK_NS - 3 * knows.cpu_lag_ns and (
        result.ended_cpu_ns >= 150 * MS - TICK_NS - 3 * knows.cpu_lag_ns
    )
    assert result.ended_cpu_ns + result.unseen_cpu_ns <= result.cpu_ns
    assert result.cpu_percent == pytest.approx(100 * result.cpu_ns / result.wall_ns)
    assert result.peak_process_count == max(sample.process_count for sample in result.series) >= 4
    assert result.peak_thread_count == max(sample.thread_count for sample in result.series)
    assert result.peak_rss_bytes == max(sample.rss_bytes or 0 for sample in result.series)
    assert result.peak_cpu_percent == max(sample.cpu_percent or 0 for sample in result.series[:-1])
    assert result.late_ns == max(sample.late_ns for sample in result.series)
    assert result.skipped == sum(sample.skipped for sample in result.series)
    assert result.cost_ns == sum(sample.cost_ns for sample in result.series)
    assert result.disk_io is not None and result.peak_pss_bytes is None and result.denied == 0
    assert result.accounting == last.accounting and last.process_count == 1


def test_of_the_program_itself(knows: Knows) -> None:
    before = open_descriptors()
    with prock.Monitor() as monitor:
        burn(50 * MS)
    assert (
        monitor.result is not None
        and monitor.result.cpu_ns >= 50 * MS - knows.cpu_lag_ns
        and monitor.result.series == ()
    )
    assert monitor.result.samples >= 1 and monitor.result.peak_cpu_percent is not None
    assert open_descriptors() == before and monitors() == []


def test_a_block_shorter_than_the_interval(puppet: Program, knows: Knows) -> None:
    with prock.Monitor(1000, puppet.pid, series=True, pss=True) as monitor:
        puppet.does("burn(time.process_time() + 0.05)")
    result = monitor.result
    assert result is not None and result.samples == 1 and result.cpu_ns >= 50 * MS - knows.cpu_lag_ns
    assert result.peak_cpu_percent == result.series[0].cpu_percent
    assert result.peak_cpu_percent_over_ns == result.series[0].cpu_percent_over_ns >= result.wall_ns
    assert result.peak_cpu_percent == pytest.approx(100 * result.cpu_ns / result.peak_cpu_percent_over_ns)
    assert result.peak_pss_bytes is not None


@pytest.mark.parametrize("interval", [0.005, 0.05])
def test_percent_does_not_exceed_the_cpus(interval: float, engine: Engine) -> None:
    """Short-lived children on all CPUs: their parents' waited time arrives in ticks, many in some short intervals."""
    cpus = len(os.sched_getaffinity(0))
    with prock.Monitor(interval, accounting="ledger", series=True) as monitor:
        shells = [
            subprocess.Popen([sys.executable, "-c", SHORT_LIVED_CHILDREN], stdout=subprocess.DEVNULL)
            for _ in range(cpus + 1)
        ]
        for shell in shells:
            assert shell.wait() == 0
    result = monitor.result
    assert result is not None and result.cpu_ns > 100 * MS
    percents = [sample.cpu_percent or 0.0 for sample in result.series]
    assert max(percents) <= 102.5 * cpus


SHORT_LIVED_CHILDREN = """
import os, time
end = time.monotonic() + 1
while time.monotonic() < end:
    pid = os.fork()
    if pid == 0:
        while time.process_time() < 0.017: pass
        os._exit(0)
    os.waitpid(pid, 0)
"""


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt, SystemExit, GeneratorExit])
def test_an_exception_leaves_with_the_result(error: type[BaseException], puppet: Program, knows: Knows) -> None:
    before = open_descriptors()
    monitor = prock.Monitor(0.005, puppet.pid)

    def fail() -> None:
        with monitor:
            puppet.does("burn(time.process_time() + 0.05)")
            raise error

    with pytest.raises(error):
        fail()
    assert monitor.result is not None and monitor.result.cpu_ns >= 50 * MS - knows.cpu_lag_ns
    assert open_descriptors() == before and monitors() == []


def test_one_block_at_a_time(puppet: Program, knows: Knows) -> None:
    monitor = prock.Monitor(0.005, puppet.pid, series=True)
    with monitor:
        with pytest.raises(RuntimeError, match="running"):
            monitor.__enter__()
        puppet.does("burn(time.process_time() + 0.05)")
    first = monitor.result
    with monitor:
        assert monitor.result is None
    second = monitor.result
    assert first is not None and second is not None and first.cpu_ns >= 50 * MS - knows.cpu_lag_ns > second.cpu_ns
    assert first.series[0] != second.series[0]
    monitor.__exit__(None, None, None)  # of no block: nothing
    assert monitor.result is second


def test_one_around_another(puppet: Program, knows: Knows) -> None:
    """By the ledger: perf counts what the host steals, and may differ by that in events that were opened apart."""
    with prock.Monitor(0.005, puppet.pid, accounting="ledger") as outer:
        with prock.Monitor(0.005, puppet.pid, accounting="ledger") as inner:
            puppet.does("burn(time.process_time() + 0.05)")
        puppet.does("burn(time.process_time() + 0.05)")
    assert inner.result is not None and outer.result is not None
    assert outer.result.cpu_ns >= inner.result.cpu_ns + 50 * MS - knows.cpu_lag_ns >= 100 * MS - 2 * knows.cpu_lag_ns


def test_who_is_not_there(dead_pid: int) -> None:
    before = open_descriptors()
    monitor = prock.Monitor(root=dead_pid)
    for _ in range(2):
        with pytest.raises(prock.NoSuchProcess):
            monitor.__enter__()
    assert monitor.result is None and open_descriptors() == before and monitors() == []


def test_a_tree_that_ends_within_the_block(puppet: Program) -> None:
    (pid,) = puppet.does("one = child(lambda: (gate(), burn(0.05))); say(one)")
    with prock.Monitor(0.005, pid, series=True) as monitor:
        puppet.does("open_gate(); os.waitpid(one, 0)")
    assert monitor.result is not None and monitor.result.series[-1].is_over and monitor.result.peak_process_count <= 1


def test_a_failure_of_the_thread_is_raised_at_the_end(puppet: Program, engine: Engine) -> None:
    asked = threading.Event()

    class Failing:
        def __init__(self, of: object, works: int) -> None:
            self.of = of
            self.works = works

        def __getattr__(self, name: str) -> object:
            return getattr(self.of, name)

        def track(self, *arguments: int) -> Failing:
            return Failing(engine.track(*arguments), 2)

        def sample(self, *arguments: object) -> object:
            self.works -= 1
            if self.works < 0:
                asked.set()
                raise OSError("out of something")
            return self.of.sample(*arguments)  # type: ignore[attr-defined]

    before = open_descriptors()
    monitor = prock.Monitor(0.001, puppet.pid, engine=Failing(engine, 0))  # type: ignore[arg-type]
    with pytest.raises(OSError, match="out of something"), monitor:
        asked.wait()
    assert monitor.result is None and open_descriptors() == before and monitors() == []


def test_a_child_that_is_forked_within_the_block(puppet: Program, knows: Knows) -> None:
    monitor = prock.Monitor(0.005, puppet.pid)

    def check() -> bool:
        kept = open_descriptors()
        monitor.__exit__(None, None, None)
        with prock.Monitor() as own:
            burn(20 * MS)
        assert own.result is not None and own.result.cpu_ns >= 20 * MS - knows.cpu_lag_ns
        return monitor.result is None and open_descriptors() == kept

    with monitor:
        assert in_child(check)
        puppet.does("burn(time.process_time() + 0.05)")
    assert monitor.result is not None and monitor.result.cpu_ns >= 50 * MS - knows.cpu_lag_ns


def test_beside_a_thread_that_computes(knows: Knows) -> None:
    before = sys.getswitchinterval()
    for interval in (1e-6, 0.2):
        sys.setswitchinterval(interval)
        try:
            with prock.Monitor(0.001, series=True) as monitor:
                burn(100 * MS)
        finally:
            sys.setswitchinterval(before)
        assert monitor.result is not None and monitor.result.cpu_ns >= 100 * MS - knows.cpu_lag_ns
        assert all(earlier.cpu_ns <= later.cpu_ns for earlier, later in itertools.pairwise(monitor.result.series))


def test_a_sample_within_the_block() -> None:
    with prock.Monitor(interval=100) as monitor:
        sample = monitor.sample()
    assert sample.root_pid == os.getpid()
    assert monitor.result is not None and monitor.result.samples == 2
    with pytest.raises(ValueError, match="not running: call sample"):
        monitor.sample()


def test_a_decorator_measures_each_call() -> None:
    monitor = prock.Monitor(interval=100)

    @monitor
    def work(depth: int) -> int:
        """Calls itself."""
        return work(depth - 1) + 1 if depth else 0

    assert work(2) == 2 and work.__doc__ == "Calls itself."
    first = monitor.result
    assert first is not None and first.wall_seconds == first.wall_ns / 1e9 and first.cpu_seconds == first.cpu_ns / 1e9
    work(0)
    assert monitor.result is not None and monitor.result is not first and monitor.result.wall_ns > 0


def test_cpu_time_of_children() -> None:
    burn = "import time\nwhile time.process_time() < 0.3: pass"
    with prock.Monitor(interval=0.05) as monitor:
        subprocess.run([sys.executable, "-c", burn], check=True)
    assert monitor.result is not None and monitor.result.children_cpu_ns is not None
    assert 0.25e9 < monitor.result.children_cpu_ns <= monitor.result.cpu_ns
    with prock.Monitor(interval=0.05) as monitor:
        end = time.process_time() + 0.3
        while time.process_time() < end:
            pass
    assert monitor.result is not None and monitor.result.children_cpu_ns is not None
    assert monitor.result.children_cpu_ns < 0.1e9 < monitor.result.cpu_ns
