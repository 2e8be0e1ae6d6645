"""Clocks that are set back, that run from elsewhere, and monitors that were stopped meanwhile."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from support.chaos import clock_monitor, invariants, pid_namespace
from support.chaos.cli_commands import every_command, here, is_borne
from support.chaos.pid_namespace import crowd, in_cell
from support.elsewhere import in_child, libc

import prock
from prock.engine import open_engine, using

CLONE_NEWTIME = 0x80
MS = 1_000_000


def test_a_wall_clock_that_is_set_back(engine_name: str) -> None:
    """Only what is said to be the time of day moves; no interval, no percentage, no identity does."""

    def check() -> None:
        with crowd("churn", "member", 500) as watched:
            environment = {**os.environ, "LD_PRELOAD": str(pid_namespace.SHIM), "PYTHONPATH": ":".join(sys.path)}
            done = subprocess.run(
                [sys.executable, clock_monitor.__file__, engine_name, str(watched.pid)],
                env=environment, capture_output=True, text=True, timeout=120, check=False,
            )  # fmt: skip
            assert done.returncode == 0, done.stderr

    in_cell(check)


@pytest.mark.parametrize("offset_s", [10**8, "almost to zero"])
def test_a_time_namespace(engine_name: str, offset_s: int | str) -> None:
    """Where the clocks since boot are ahead by years, or begin anew: as in a container that was moved."""

    def check() -> None:
        up_s = int(time.clock_gettime(time.CLOCK_BOOTTIME))
        offset = offset_s if isinstance(offset_s, int) else 5 - up_s
        with crowd("churn", "member", 500) as watched:
            time.sleep(0.05)
            if libc.unshare(CLONE_NEWTIME) != 0:
                pytest.skip("no time namespaces here")
            Path("/proc/self/timens_offsets").write_text(f"monotonic {offset} 0\nboottime {offset} 0\n")
            in_child(lambda: inside(watched.pid, up_s, offset))

    def inside(pid: int, up_s: int, offset: int) -> None:
        assert abs(time.clock_gettime(time.CLOCK_BOOTTIME) - up_s - offset) < 100
        with using(open_engine(engine_name)):
            following = invariants.Following()
            with prock.TreeSampler(pid, io=True, accounting="ledger") as sampler:
                for _ in range(20):
                    sample = following.take(sampler.sample())
                    time.sleep(0.002)
            assert sample.cpu_ns <= sample.wall_ns * 10
            for process in (pid, os.getpid()):
                start = prock.get_start_time(process)
                assert start is not None and abs(time.time() - start) < 300
            for row in prock.scan_all_processes():
                invariants.info(row)
            with prock.Monitor(0.01, pid, series=True) as monitor:
                time.sleep(0.05)
            assert invariants.monitored(monitor.result).wall_ns < 300 * 10**9
            result = invariants.account(prock.run(["sh", "-c", "sleep 0.05 & wait"]))
            assert 0.03e9 < result.wall_ns < 300e9 and result.returncode == 0
            for words in every_command(pid):
                is_borne(*here(*words))

    in_cell(check)


def test_a_monitor_that_is_stopped_for_a_while(engine_name: str) -> None:
    """What it missed is said: samples left out, and how late the next one came. Nothing of the tree is lost."""

    def check() -> None:
        with crowd("churn", "member", 500) as watched:
            reader, writer = os.pipe()
            stopper = threading.Thread(target=lambda: stop(int(os.read(reader, 20))))
            stopper.start()
            in_child(lambda: follow(watched.pid, writer))
            stopper.join()

    def stop(pid: int) -> None:
        for _ in range(3):
            time.sleep(0.05)
            os.kill(pid, signal.SIGSTOP)
            time.sleep(0.3)
            os.kill(pid, signal.SIGCONT)

    def follow(pid: int, writer: int) -> None:
        with using(open_engine(engine_name)):
            with prock.Monitor(0.01, pid, io=True, series=True, accounting="ledger") as monitor:
                process = prock.Popen(["sleep", "1.3"], reap_orphans=False)
                os.write(writer, b"%d" % os.getpid())
                assert process.wait() == 0
                result = invariants.account(process.finish())
            watched = invariants.monitored(monitor.result)
            assert watched.skipped >= 50
            assert max(one.interval_ns for one in watched.series) >= 250 * MS
            assert result.wall_ns >= 1_300 * MS and result.sampling_interval_ns >= 250 * MS

    in_cell(check)
