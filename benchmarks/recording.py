"""Recordings: cost and size of 100 processes at 10 Hz, and the time and size of reports on an hour of them."""

from __future__ import annotations

import argparse
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import prock
from benchmarks.harness.format import number
from prock.sampling.sample import TreeSample

PROCESSES, RUNNING, INTERVAL_S = 100, 10, 0.1
WORKER = "import time\nwhile True:\n    sum(range(20_000))\n    time.sleep(0.05)\n"
HOUR_SAMPLES = 36_000


def main(arguments: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks recording", description=__doc__)
    parser.add_argument("--samples", type=int, default=600)
    parser.add_argument("--kills", type=int, default=100, help="SIGKILLs at random moments")
    parser.add_argument("--quick", action="store_true", help="60 samples, 5 kills, no hour")
    options = parser.parse_args(arguments)
    if options.quick:
        options.samples, options.kills = 60, 5
    sleepers = "; ".join(["sleep 3600 &"] * (PROCESSES - RUNNING - 1)).replace("&;", "&")
    workers = " ".join([f"{sys.executable} -S -c '{WORKER}' &"] * RUNNING)
    tree = subprocess.Popen(["sh", "-c", f"{sleepers} {workers} wait"], start_new_session=True)
    failed = False
    try:
        time.sleep(1)
        with tempfile.TemporaryDirectory(prefix="prock-bench-") as home:
            samples, failed = cost(tree.pid, options.samples, Path(home))
            if not options.quick:
                failed = hour(samples, Path(home)) or failed
    finally:
        os.killpg(tree.pid, signal.SIGKILL)
        tree.wait()
    lost = kills(options.kills)
    print(f"{options.kills} SIGKILLs at random moments: {lost} recordings lost a sample or did not open (at most 0)")
    if failed or lost:
        sys.exit(1)


def cost(pid: int, count: int, home: Path) -> tuple[list[TreeSample], bool]:
    """CPU time of `Recorder.add`, and bytes for each process and sample."""
    path = home / "cost.prock"
    samples, costs = [], []
    with prock.TreeSampler(pid, io=True) as sampler, prock.Recorder(str(path)) as recorder:
        for _ in range(count):
            time.sleep(INTERVAL_S)
            sample = sampler.sample()
            len(sample.members)  # rows are made on first use
            began_ns = time.process_time_ns()
            recorder.add(sample)
            costs.append(time.process_time_ns() - began_ns)
            samples.append(sample)
    members = statistics.median(len(sample.members) for sample in samples)
    share = 100 * sum(costs[5:]) / len(costs[5:]) / 1e9 / INTERVAL_S
    size = path.stat().st_size / count / members
    median_us = statistics.median(costs) / 1000
    print(f"{members:.0f} processes at {1 / INTERVAL_S:.0f} Hz, {RUNNING} of them run; {count} samples")
    print(f"recording beyond sampling: {number(share)} % of a core (at most 0.5), median {median_us:.0f} us a sample")
    print(f"size: {number(size)} bytes for each process and sample (at most 6)")
    return samples, share > 0.5 or size > 6


def hour(samples: list[TreeSample], home: Path) -> bool:
    """The samples of `cost`, again and again, with the times of an hour; CPU times go on."""
    path = home / "hour.prock"
    gained = {
        last.identity: last.cpu_ns - first.cpu_ns
        for first, last in zip(samples[0].members, samples[-1].members, strict=False)
    }
    with prock.Recorder(str(path)) as recorder:
        began_ns = time.monotonic_ns()
        for place in range(HOUR_SAMPLES):
            rounds, sample = place // len(samples), samples[place % len(samples)]
            members = [
                member._replace(cpu_ns=member.cpu_ns + rounds * gained.get(member.identity, 0))
                for member in sample.members
            ]
            totals = sample.totals._replace(taken_ns=began_ns + round(place * INTERVAL_S * 1e9))
            recorder.add_sample(sample.root_identity, totals, members)
    failed = False
    for suffix, most_s, most_bytes in ((".html", 3.0, 1_000_000), (".svg", 3.0, 1_000_000)):
        out = home / f"hour{suffix}"
        began = time.monotonic()
        subprocess.run([sys.executable, "-m", "prock", "report", str(path), "-o", str(out)], check=True)
        took_s = time.monotonic() - began
        size = out.stat().st_size
        print(
            f"report on an hour ({path.stat().st_size / 1e6:.1f} MB) as {suffix}: {number(took_s)} s "
            f"(at most {most_s:g}), {size / 1000:.0f} kB (at most {most_bytes // 1000})"
        )
        failed = failed or took_s > most_s or size > most_bytes
    return failed


def kills(count: int) -> int:
    """Recordings that lost a sample that had been seen in them, or did not open."""
    lost = 0
    with tempfile.TemporaryDirectory(prefix="prock-bench-") as home:
        for place in range(count):
            path = Path(home) / f"{place}.prock"
            words = [sys.executable, "-m", "prock", "run", "-q", "-i", "0.005", "--record", str(path), "sleep", "60"]
            running = subprocess.Popen(words, start_new_session=True)
            seen = 0
            until = time.monotonic() + 0.25 + 0.4 * (place * 0.618 % 1)
            while time.monotonic() < until:
                if path.exists():
                    seen = len(prock.load(str(path)).samples)
                time.sleep(0.01)
            running.kill()
            running.wait()
            try:
                os.killpg(running.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
            try:
                lost += path.exists() and len(prock.load(str(path)).samples) < seen
            except prock.ProckError:
                lost += 1
    return lost
