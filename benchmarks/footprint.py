"""Peak memory of a tree: its cost, and its accuracy beside the known size and a control group's own figure."""

from __future__ import annotations

import argparse
import os
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import prock
from benchmarks.harness.format import number
from benchmarks.harness.programs import compile_c
from prock.engine import open_engine
from prock.sampling.footprint import Footprint

MIB = 1 << 20
INTERVAL_S = 0.1
HOLD_MS = 1500
MEMBERS = 300
RUN_US = 300
WORKLOADS = [
    ("private", 4, 100, 400),
    ("shared", 4, 200, 200),
    ("cow", 4, 200, 200),
    ("cowbreak", 4, 200, 400),
    ("grow", 4, 200, 800),
    ("private", 1, 400, 400),
    ("private", 4, 1000, 4000),
]
"""Kind, processes, MiB, and the MiB that they take together at their peak."""


def main(arguments: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks footprint", description=__doc__)
    parser.add_argument("--seconds", type=float, default=10.0, help="how long each of the large trees is followed")
    parser.add_argument("--quick", action="store_true", help="as --seconds 2")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="prock-bench-") as home:
        programs = {name: compile_c(name, Path(home)) for name in ("memory", "forest", "work")}
        print("peak over what is known, beside a control group's account and the sum of RSS; cost of reading")
        for name in ("native", "pure"):
            for kind, count, mib, expected in WORKLOADS:
                print(_accuracy(programs["memory"], name, kind, count, mib, expected), flush=True)
        print(f"\n{MEMBERS} processes, {1 / INTERVAL_S:g} samples a second: percent of a processor")
        forest = [str(programs["forest"]), str(MEMBERS), "17"]
        lively = [str(programs["work"]), "-", "-", "stir", str(MEMBERS), str(RUN_US)]
        for name in ("native", "pure"):
            for title, command in {"asleep": forest, f"lively, {RUN_US} µs each": lively}.items():
                print(_cost(command, name, title, 2.0 if options.quick else options.seconds), flush=True)


def _accuracy(program: Path, engine_name: str, kind: str, count: int, mib: int, expected: int) -> str:
    engine = open_engine(engine_name)
    with _memory_account() as account:
        join = [] if account is None else ["sh", "-c", f'echo 0 > {account}/cgroup.procs; exec "$@"', "sh"]
        command = [*join, str(program), kind, str(count), str(mib), str(HOLD_MS)]
        began_ns = time.monotonic_ns()
        with subprocess.Popen(command, stdout=subprocess.DEVNULL) as root:
            footprint = Footprint(engine)
            with prock.TreeSampler(root.pid, engine=engine, accounting="ledger") as sampler:
                while root.poll() is None:
                    footprint.add_sample(sampler.sample())
                    time.sleep(INTERVAL_S)
        elapsed_ns = time.monotonic_ns() - began_ns
        counted = None if account is None else _peak_of(account)
    peak, rss = footprint.peak_bytes or 0, footprint.peak_rss_bytes or 0
    return (
        f"{engine_name:6} {kind:8} {count} x {mib:4} MiB: {number(peak / expected / MIB)} ({footprint.source}), group"
        f" {'?' if counted is None else number(counted / expected / MIB)}, RSS {number(rss / expected / MIB)};"
        f" {number(footprint.cost_ns / 1e6)} ms for {footprint.readings} readings in {footprint.passes} passes,"
        f" {number(100 * footprint.cost_ns / elapsed_ns)} % of a processor"
    )


@contextmanager
def _memory_account() -> Iterator[Path | None]:
    """A control group that counts memory, page cache and the kernel's own included; None where there can be none."""
    version_1 = Path("/sys/fs/cgroup/memory")
    home = (version_1 if version_1.is_dir() else Path("/sys/fs/cgroup")) / f"prock-bench-{os.getpid()}"
    try:
        home.mkdir()
    except OSError:
        yield None
        return
    try:
        yield home if _peak_of(home) is not None else None
    finally:
        home.rmdir()


def _peak_of(account: Path) -> int | None:
    for name in ("memory.max_usage_in_bytes", "memory.peak"):
        if (account / name).exists():
            return int((account / name).read_text())
    return None


def _cost(command: list[str], engine_name: str, title: str, seconds: float) -> str:
    """Of `Footprint` at its default, of one that reads whenever anything has changed, and of reading all each time."""
    engine = open_engine(engine_name)
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, start_new_session=True) as root:
        assert root.stdout is not None and root.stdin is not None
        root.stdout.readline()
        found = {"footprint": Footprint(engine), "always_pss": Footprint(engine, always_pss=True)}
        sampling_ns = every_ns = samples = 0
        with prock.TreeSampler(root.pid, engine=engine, accounting="ledger") as sampler:
            began_ns = time.monotonic_ns()
            while (elapsed_ns := time.monotonic_ns() - began_ns) < seconds * 1e9:
                sample = sampler.sample()
                sampling_ns += sample.cost_ns
                for footprint in found.values():
                    footprint.add_sample(sample)
                if samples % 10 == 0:
                    before_ns = time.thread_time_ns()
                    engine.pss([member.pid for member in sample.members], 2**63)
                    every_ns += 10 * (time.thread_time_ns() - before_ns)
                samples += 1
                time.sleep(INTERVAL_S)
        root.stdin.close()
    words = [f"{name} {_percent(one.cost_ns, elapsed_ns)} ({one.passes} passes)" for name, one in found.items()]
    late_ns = found["footprint"].cost_ns
    return (
        f"{engine_name:6} {title}: {', '.join(words)}; all members each time {_percent(every_ns, elapsed_ns)};"
        f" sampling itself {_percent(sampling_ns, elapsed_ns)}; {number(late_ns / samples / 1000)} µs a sample"
    )


def _percent(ns: float, elapsed_ns: float) -> str:
    return f"{number(100 * ns / elapsed_ns)} %"
