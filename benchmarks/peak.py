"""The peak of a build's tree, beside the largest sum of PSS that was in memory at one instant.

The reference freezes the tree by a cgroup (v1 freezer or v2), every 5 ms after the last reading, and reads the PSS of
all of its processes.
"""

from __future__ import annotations

import argparse
import os
import select
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import prock
from benchmarks.harness.format import number

MIB = 1 << 20
EVERY_S = 0.005
GIVEN_UP_S = 0.05
"""A freezer of v1 may wait for a process that waits for a frozen one."""
FILES = 60
TOLERANCE = 0.10
NOISE = 0.05
"""The reference, too, looks only now and then."""
FREEZER = next(
    (path for path in map(Path, ("/sys/fs/cgroup/freezer", "/sys/fs/cgroup")) if os.access(path, os.W_OK)), None
)


def main(arguments: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks peak", description=__doc__)
    parser.add_argument("--runs", type=int, default=25)
    parser.add_argument("--quick", action="store_true", help="as --runs 5")
    parser.add_argument("--reference", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.reference is not None:
        print(largest_pss(options.reference))
        return
    if FREEZER is None:
        sys.exit("benchmarks: no cgroup with a freezer that this user may write: run it as root")
    outside = near = 0
    print("     truth        peak         from           to    PSS, % of a core")
    with tempfile.TemporaryDirectory(prefix="prock-bench-") as home:
        write_sources(Path(home))
        for _ in range(5 if options.quick else options.runs):
            truth, result, cost_ns = measure(Path(home), FREEZER)
            peak, low = result.peak_footprint_bytes or 0, result.peak_footprint_low_bytes or 0
            high = result.peak_footprint_high_bytes or 0
            within = low * (1 - NOISE) <= truth <= high
            near += abs(peak - truth) <= TOLERANCE * truth
            outside += not within
            cost = 100 * cost_ns / result.wall_ns
            sizes = "  ".join(f"{number(size / MIB):>6} MiB" for size in (truth, peak, low, high))
            print(f"{sizes}  {number(cost)}{'' if within else '  outside'}", flush=True)
    print(f"peak within {TOLERANCE:.0%} of the truth in {near} runs; the truth not between from and to in {outside}")
    if outside:
        sys.exit(1)


def write_sources(home: Path) -> None:
    names = [f"f{index}" for index in range(FILES)]
    for name in names:
        lines = "\n".join(f'int {name}_{i}(int a) {{ return printf("%d", a * {i}); }}' for i in range(40))
        (home / f"{name}.c").write_text(f"#include <stdio.h>\n#include <stdlib.h>\n#include <string.h>\n{lines}\n")
    objects = " ".join(f"{name}.o" for name in names)
    (home / "Makefile").write_text(f"all: {objects}\n%.o: %.c\n\tgcc -O2 -c $< -o $@\n.PHONY: all clean\n")


def measure(home: Path, freezer: Path) -> tuple[int, prock.RunResult, int]:
    """The largest sum of PSS, what prock reports, and the CPU time of its readings of PSS."""
    for made in home.glob("*.o"):
        made.unlink()
    group = freezer / f"prock-peak-{os.getpid()}"
    group.mkdir()
    reference = [sys.executable, "-m", "benchmarks", "peak", "--reference", str(group)]
    try:
        with subprocess.Popen(reference, stdout=subprocess.PIPE, stdin=subprocess.PIPE, text=True) as watcher:
            join = f"echo $$ > {group}/cgroup.procs; exec make -s -j4"
            process = prock.Popen(["/bin/sh", "-c", join], cwd=home)
            process.wait()
            thread = process._thread
            result = process.finish()
            truth, _ = watcher.communicate("\n")
    finally:
        group.rmdir()
    stats = None if thread is None else thread._session.stats
    return int(truth), result, 0 if stats is None else stats.footprint.cost_ns


def largest_pss(group: Path) -> int:
    """Until standard input has a line."""
    largest = 0
    while not select.select([sys.stdin], [], [], EVERY_S)[0]:
        largest = max(largest, pss_of(group))
    return largest


def pss_of(group: Path) -> int:
    """Of the whole group, frozen meanwhile."""
    is_v1 = (group / "freezer.state").exists()
    switch = group / ("freezer.state" if is_v1 else "cgroup.freeze")
    switch.write_text("FROZEN" if is_v1 else "1")
    try:
        state = switch if is_v1 else group / "cgroup.events"
        until_s = time.monotonic() + GIVEN_UP_S
        while not any(word in state.read_text() for word in ("FROZEN", "frozen 1")):
            if time.monotonic() > until_s:
                return 0
        total = 0
        for pid in (group / "cgroup.procs").read_text().split():
            try:
                rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
            except OSError:
                continue
            total += next((int(line.split()[1]) for line in rollup.splitlines() if line.startswith("Pss:")), 0) * 1024
        return total
    finally:
        switch.write_text("THAWED" if is_v1 else "0")
