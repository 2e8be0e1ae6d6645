"""Totals by perf events, where they may be had: also of those whom nobody saw and nobody waited for."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from support.elsewhere import become_nobody, in_child, needs_root
from support.engines import LINUX_ENGINES
from support.processes import Program

import prock

if TYPE_CHECKING:
    from prock.engine.protocol import Engine

MS = 1_000_000
UNSEEN = """
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
for _ in range(20):
    one = child(lambda: burn(0.03))
    while os.path.exists(f'/proc/{one}'): pass
say(0)"""
"""Twenty children one after the other, each for 30 ms, that the kernel reaps itself."""


@pytest.fixture(params=LINUX_ENGINES)
def engine_name(request: pytest.FixtureRequest) -> str:
    """Only those have perf events."""
    return str(request.param)


@pytest.fixture
def by_perf(puppet: Program, engine: Engine) -> Iterator[prock.TreeSampler]:
    try:
        sampler = prock.TreeSampler(puppet.pid, accounting="perf")
    except (prock.AccessDenied, prock.NotSupported) as refused:
        pytest.skip(str(refused))
    with sampler:
        yield sampler


def test_who_was_neither_seen_nor_waited_for_counts(puppet: Program, by_perf: prock.TreeSampler) -> None:
    with prock.TreeSampler(puppet.pid, accounting="ledger") as by_ledger:
        puppet.does(UNSEEN)
        exact, seen = by_perf.sample(), by_ledger.sample()
    assert (exact.accounting, seen.accounting) == ("perf", "ledger") and exact.cpu_bias != seen.cpu_bias
    assert exact.cpu_ns - seen.cpu_ns >= 540 * MS and exact.unseen_cpu_ns >= 540 * MS
    assert exact.ended_cpu_ns == seen.ended_cpu_ns == 0


def test_it_never_falls_and_agrees_with_the_ledger_where_that_knows_all(
    puppet: Program, by_perf: prock.TreeSampler
) -> None:
    last = by_perf.sample()
    puppet.tell(repr("for _ in range(30):\n    child(lambda: burn(0.01)); os.wait()\nsay(0)"))
    for _ in range(100):
        now = by_perf.sample()
        assert now.cpu_ns >= last.cpu_ns and now.unseen_cpu_ns >= 0
        last = now
    puppet.rests()
    with prock.TreeSampler(puppet.pid, accounting="ledger") as later:
        used = puppet.does("child(lambda: burn(0.2)); os.wait(); say(0)")
        assert used == [0]
        more, of_it = by_perf.sample(), later.sample()
    assert of_it.cpu_ns <= more.cpu_ns - last.cpu_ns + 40 * MS  # what the ticks of cutime hide


def test_a_forest_has_events_for_each_of_its_trees(puppet: Program, by_perf: prock.TreeSampler) -> None:
    other = puppet.does("one = child(stay); say(one)")[0]
    with prock.Forest([other, os.getpid()], accounting="perf") as forest:
        puppet.does("burn(time.process_time() + 0.1)")
        samples = forest.sample()
        assert samples[other].cpu_ns < 20 * MS and samples[other].accounting == "perf"
    assert by_perf.sample().cpu_ns >= 100 * MS


def test_descriptors_come_back(puppet: Program, by_perf: prock.TreeSampler) -> None:
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(3):
        with prock.TreeSampler(puppet.pid, accounting="perf") as sampler:
            sampler.sample()
    with pytest.raises(prock.NoSuchProcess):
        prock.TreeSampler(2**30, accounting="perf")
    assert len(os.listdir("/proc/self/fd")) == before


def test_a_tree_that_needs_more_descriptors_than_there_may_be(puppet: Program, by_perf: prock.TreeSampler) -> None:
    puppet.does("for _ in range(60): child(stay)")

    def check() -> None:
        import resource

        resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
        with pytest.raises(prock.OutOfDescriptors):
            prock.TreeSampler(puppet.pid, accounting="perf")
        with prock.TreeSampler(puppet.pid) as sampler:
            assert sampler.sample().accounting == "ledger" and sampler.sample().process_count == 61

    in_child(check)


def test_descriptors_closed_behind_its_back(puppet: Program, by_perf: prock.TreeSampler, tmp_path: Path) -> None:
    """Then the ledger goes on, and nobody's file is read or closed."""
    file = tmp_path / "file"
    file.write_text("12345678" * 2)

    def check() -> None:
        sampler = prock.TreeSampler(puppet.pid, accounting="perf")
        before = sampler.sample()
        links = {int(name): os.path.realpath(f"/proc/self/fd/{name}") for name in os.listdir("/proc/self/fd")}
        events = [descriptor for descriptor, link in links.items() if "perf_event" in link]
        assert events
        for event in events:
            os.close(event)
        hosts = [os.open(file, os.O_RDONLY) for _ in range(len(events) + 2)]
        puppet.does("burn(time.process_time() + 0.05)")
        after = sampler.sample()
        assert after.accounting == "ledger" and after.cpu_ns >= before.cpu_ns + 40 * MS
        sampler.close()
        assert [os.read(host, 16) for host in hosts] == [b"12345678" * 2] * len(hosts)

    in_child(check)


@needs_root
def test_who_may_not(puppet: Program, engine: Engine) -> None:
    def check() -> None:
        become_nobody()
        with pytest.raises(prock.NotSupported if engine.core is None else prock.AccessDenied):
            prock.TreeSampler(puppet.pid, accounting="perf")
        with prock.TreeSampler(puppet.pid) as sampler:
            assert sampler.sample().accounting == "ledger"

    in_child(check)
