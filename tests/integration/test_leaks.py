"""Nothing is left behind by a call: of everything public, and of every entry of the C core with its refusals.

`make check-leaks` runs the same with PROCK_LEAK_CALLS=1000000, PROCK_LEAK_SECONDS of time for each that costs more than
ten microseconds a call, and prints what grew."""

from __future__ import annotations

import gc
import os
from collections.abc import Iterator

import pytest
from support import leaking
from support.engines import ENGINES
from support.leaking import Case

import prock
from prock.engine import open_engine, using

CALLS = int(os.environ.get("PROCK_LEAK_CALLS", "10000"))
SECONDS = float(os.environ.get("PROCK_LEAK_SECONDS", "0.05"))


def hold_flat(cases: list[Case], seconds: float = SECONDS) -> None:
    leaks = []
    gc.collect()
    gc.freeze()  # what was there before is not looked through at each step
    for case in cases:
        grown = leaking.growth(case, CALLS, seconds)
        if CALLS > 10000:
            print(
                f"{case.name:44} {leaking.ROUNDS * grown.calls:8} calls {grown.seconds:6.1f} s  least of a round:"
                f" {grown.least.blocks:+} objects {grown.least.references:+} references"
                f" {grown.least.heap_bytes:+} B of heap {grown.least.descriptors:+} descriptors;"
                f" RSS {grown.rss_bytes / 1024:+.0f} kB"
            )
        leaks += [f"{case.name}: {what} in {grown.calls} calls" for what in grown.leaks]
    gc.unfreeze()
    assert not leaks, "\n".join(["calls leave something behind", *leaks])


@pytest.mark.parametrize("name", ENGINES)
def test_what_is_asked_of_processes(name: str, sleeping_pid: int, dead_pid: int) -> None:
    with using(open_engine(name)):
        hold_flat(leaking.public_cases(sleeping_pid, dead_pid), SECONDS if name == "native" else SECONDS / 5)


@pytest.mark.parametrize("name", ENGINES if CALLS > 10000 else ENGINES[:1])
def test_what_follows_trees(name: str, sleeping_pid: int, dead_pid: int) -> None:
    with using(open_engine(name)):
        cases, closes = leaking.follower_cases(sleeping_pid, dead_pid)
        hold_flat(cases, SECONDS if name == "native" else SECONDS / 5)
        for close in closes:
            close()


NOT_CALLED = {"CpuPercent"}  # is float


def test_everything_public_has_a_case(sleeping_pid: int, dead_pid: int) -> None:
    cases, closes = leaking.follower_cases(sleeping_pid, dead_pid)
    cases += leaking.public_cases(sleeping_pid, dead_pid)
    for close in closes:
        close()
    called = {case.name.partition(",")[0] for case in cases}
    answers = {name for name in prock.__all__ if isinstance(getattr(prock, name), type) and name not in called}
    assert {name for name in prock.__all__ if name not in answers | NOT_CALLED} <= called
    assert all(issubclass(getattr(prock, name), (tuple, Exception, prock.TreeTotals, float)) for name in answers)


if "native" in ENGINES:
    from support import leaking_core

    @pytest.fixture
    def roots() -> Iterator[leaking_core.Roots]:
        roots = leaking_core.Roots()
        yield roots
        roots.close()

    def test_the_core(sleeping_pid: int, dead_pid: int, roots: leaking_core.Roots) -> None:
        hold_flat(leaking_core.proc_cases(sleeping_pid, dead_pid, roots))

    def test_keeps_and_frames(sleeping_pid: int, dead_pid: int) -> None:
        hold_flat(leaking_core.keep_cases(sleeping_pid, dead_pid))

    def test_records() -> None:
        hold_flat(leaking_core.record_cases())

    def test_every_entry_of_the_core_has_a_case(sleeping_pid: int, dead_pid: int, roots: leaking_core.Roots) -> None:
        from prock import _core

        cases = leaking_core.proc_cases(sleeping_pid, dead_pid, roots) + leaking_core.record_cases()
        cases += leaking_core.keep_cases(sleeping_pid, dead_pid)
        called = {case.name.partition(":")[0] for case in cases}
        for kind in (_core.Proc, _core.MemberTracker, _core.TrackerSnapshot, _core.Records):
            assert {name for name in vars(kind) if not name.startswith("_")} <= called
