"""prock beside other threads: who holds the GIL for how long, and many that ask at once."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.engines import ENGINES, HAS_GIL
from support.processes import Spawn, stat_line

import prock
from prock.engine import open_engine, using

native_only = pytest.mark.skipif(
    "native" not in ENGINES or not HAS_GIL,
    reason="plain Python lets go of the GIL at every system call, or there is none",
)


class Busy:
    """A thread that computes, and counts how far it got."""

    def __init__(self) -> None:
        self.steps = 0
        self.limit = sys.maxsize
        self.yields = False
        self._goes_on = True
        self._thread = threading.Thread(target=self._compute)

    def _compute(self) -> None:
        while self._goes_on and self.steps < self.limit:
            self.steps += 1
            if self.yields:
                time.sleep(0)

    def __enter__(self) -> Busy:
        self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._goes_on = False
        sys.setswitchinterval(0.005)
        self._thread.join()


@pytest.fixture
def busy() -> Iterator[Busy]:
    with Busy() as thread:
        yield thread
    sys.setswitchinterval(0.005)


@native_only
@pytest.mark.parametrize(
    "ask",
    [
        prock.get_cpu_time,
        prock.get_memory,
        prock.get_all_stats,
        prock.get_liveness_info,
        prock.get_process_comm,
        prock.get_children,
        prock.snapshot_process,
        prock.snapshot_tree,
        prock.collect_tree_pids,
    ],
)
def test_a_short_pass_keeps_the_gil(ask: Any, spawn: Spawn, busy: Busy) -> None:
    """With an endless switch interval another thread gets on only if somebody lets go of the GIL."""
    program = spawn("[sleeper() for _ in range(3)]; say(1); wait()")
    program.rests()
    with using(open_engine("native")):
        ask(program.pid)
        busy.yields = True
        sys.setswitchinterval(3600)
        time.sleep(0.05)  # so that it waits for the GIL by the new interval, not by the old one
        busy.yields = False
        before = busy.steps
        busy.limit = before + 1_000_000  # who gets the GIL would keep it for an hour
        answers = [ask(program.pid) for _ in range(1000)]  # to win the GIL, the other must be quick when it is let go
        after = busy.steps
        sys.setswitchinterval(0.005)
    assert None not in answers and after == before


@native_only
def test_a_long_pass_lets_go_of_the_gil(tmp_path: Path) -> None:
    for pid in range(1, 4001):
        (tmp_path / str(pid)).mkdir()
        (tmp_path / str(pid) / "stat").write_bytes(stat_line(pid))
    with using(open_engine("native", str(tmp_path))), Busy() as busy:
        sys.setswitchinterval(0.0001)
        before = busy.steps
        scan = prock.scan_all_processes()
        after = busy.steps
    assert len(scan) == 4000 and after > before


def test_many_threads_ask_for_a_tree_that_changes(spawn: Spawn, engine: object) -> None:
    program = spawn("""
say(1)
while True:
    pids = [os.fork() for _ in range(3)]
    if 0 in pids: os._exit(0)
    for pid in pids: os.waitpid(pid, 0)""")
    program.hears()
    failures: list[BaseException] = []

    def ask() -> None:
        try:
            tracker = prock.CumulativeTracker()
            total = 0
            for _ in range(10):
                tree = prock.snapshot_tree(program.pid, io=True)
                assert tree is not None and tree.pids[0] == program.pid and len(set(tree.pids)) == len(tree.pids)
                used = tracker.get_tree_cpu_ns(program.pid)
                assert used is not None and used >= total
                total = used
                assert prock.get_ppid() == os.getppid() and prock.scan_all_processes().denied == 0
        except BaseException as failure:
            failures.append(failure)

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
