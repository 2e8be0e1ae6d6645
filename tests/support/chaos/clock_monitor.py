"""Follows a process while the wall clock is set back and forth: a program of its own, with the shim of fault_shim.c."""

from __future__ import annotations

import ctypes
import sys
import time

import prock
from prock.engine import open_engine, using
from support.chaos import invariants

HOUR_NS = 3600 * 10**9


def main(engine: str, pid: int) -> None:
    shim = ctypes.CDLL(None)
    shim.shim_set_clock.argtypes = [ctypes.c_long]
    before = time.time()
    shim.shim_set_clock(-HOUR_NS)
    assert time.time() < before, "the shim does nothing"
    with using(open_engine(engine)):
        following, tracker, delta = invariants.Following(), prock.CumulativeTracker(), prock.DeltaTracker()
        total = tracker.get_tree_cpu_ns(pid) or 0
        start = prock.get_liveness_info(pid)
        with (
            prock.Monitor(0.01, pid, io=True, series=True, accounting="ledger") as monitor,
            prock.TreeSampler(pid, io=True, accounting="ledger") as sampler,
        ):
            for number in range(60):
                shim.shim_set_clock((-1, 1)[number % 2] * number * HOUR_NS)
                sample = following.take(sampler.sample())
                assert 0 < sample.wall_ns < 300 * 10**9
                used = tracker.get_tree_cpu_ns(pid)
                assert used is not None and used >= total
                total = used
                invariants.non_negative(delta.get_cpu_percent(pid))
                invariants.tree(prock.snapshot_tree(pid), pid)
                now = prock.get_liveness_info(pid)
                assert now is not None and start is not None and now.identity == start.identity
                invariants.non_negative(prock.get_start_time(pid))
                time.sleep(0.005)
        assert invariants.monitored(monitor.result).wall_ns < 300 * 10**9
        for offset in (-HOUR_NS, HOUR_NS):
            process = prock.Popen(["sh", "-c", "sleep 0.1"])
            shim.shim_set_clock(offset)
            process.wait()
            result = invariants.account(process.finish())
            assert 0.05e9 < result.wall_ns < 300e9
        shim.shim_set_clock(-(2**62))  # before 1970
        invariants.account(prock.run(["true"])._replace(start_time=0.0))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
