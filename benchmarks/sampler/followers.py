"""The contestants that follow a tree, and what each reads per sample."""

from __future__ import annotations

import resource
import subprocess
import sys
from collections.abc import Callable
from contextlib import ExitStack
from typing import NamedTuple, Self

import psutil

import prock
from benchmarks.harness.programs import PipeProgram

FLOOR = "C floor"
"""The CPU clock of each member, with known members: the minimum."""
LEDGER = "CPU"
LEDGER_ROWS = "CPU, rows"
PERF = "CPU, perf"
ALL = "all"
ALL_FEW = "all, few fds"
"""Where the soft limit of descriptors is the usual 1024; all others have the hard one."""
ALL_ROWS = "all, rows"
ALL_PERF = "all, perf"
SNAPSHOT = "snapshot_tree"
PSUTIL = "psutil CPU"
PSUTIL_ALL = "psutil all"

USUAL_LIMIT = 1024

Call = Callable[[], object]


class How(NamedTuple):
    """A sampler's options, and whether rows are built."""

    accounting: str
    all: bool
    rows: bool = False
    descriptors: int | None = None
    """Their soft limit; None: the hard one."""


OURS = {
    LEDGER: How("ledger", all=False),
    LEDGER_ROWS: How("ledger", all=False, rows=True),
    PERF: How("perf", all=False),
    ALL: How("ledger", all=True),
    ALL_FEW: How("ledger", all=True, descriptors=USUAL_LIMIT),
    ALL_ROWS: How("ledger", all=True, rows=True),
    ALL_PERF: How("perf", all=True),
}


def follow(name: str, root: int, stack: ExitStack) -> Call | None:
    """A function that takes one sample; None where it is not supported. The stack closes what it opens."""
    if name == SNAPSHOT:
        return lambda: prock.snapshot_tree(root)
    if name in (PSUTIL, PSUTIL_ALL):
        return PsutilTree(root, all_metrics=name == PSUTIL_ALL)
    how = OURS[name]
    try:
        sampler = stack.enter_context(sampler_of(root, how))
    except prock.NotSupported:
        return None
    return (lambda: sampler.sample().members) if how.rows else sampler.sample


def sampler_of(root: int, how: How) -> prock.TreeSampler:
    """With that accounting; raises ``NotSupported`` where it is not available."""
    try:
        sampler = prock.TreeSampler(root, memory=how.all, io=how.all, accounting=how.accounting)
    except OSError as refusal:  # also where descriptors do not suffice
        raise prock.NotSupported(str(refusal)) from refusal
    if sampler.sample().accounting != how.accounting:
        sampler.close()
        raise prock.NotSupported(how.accounting)
    return sampler


def allow_descriptors(soft: int | None) -> None:
    """Set the soft limit of this process; None: the hard limit. prock caches descriptors below the soft limit."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard if soft is None else min(soft, hard), hard))


class PsutilTree:
    """Reuses ``Process`` objects from sample to sample: a new one is slower."""

    def __init__(self, root: int, *, all_metrics: bool) -> None:
        self._root = psutil.Process(root)
        self._processes: dict[psutil.Process, psutil.Process] = {}
        self._read = _read_all if all_metrics else _read_cpu

    def __call__(self) -> list[object]:
        found = [self._root, *self._root.children(recursive=True)]
        self._processes = {process: self._processes.get(process, process) for process in found}
        rows = []
        for process in self._processes.values():
            try:
                rows.append(self._read(process))
            except psutil.NoSuchProcess:
                continue
        return rows


def _read_cpu(process: psutil.Process) -> object:
    return process.cpu_times()


def _read_all(process: psutil.Process) -> object:
    with process.oneshot():
        return process.cpu_times(), process.memory_info(), process.io_counters()


def count_seen(call: Call) -> int:
    """Number of processes in one sample."""
    seen = call()
    if isinstance(seen, (prock.TreeSample, prock.TreeStats)):
        return seen.process_count
    return len(seen) if isinstance(seen, (list, tuple)) else 0


class TimedCalls:
    """A running timed_calls.py."""

    def __init__(self, name: str, root: int) -> None:
        command = [sys.executable, "-m", "benchmarks.sampler.timed_calls", name, str(root)]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True
        )
        seen = self._reply()
        self.seen = None if seen == "missing" else int(seen)
        """Number of processes that it sees; None where it is not supported."""

    def _reply(self) -> str:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"{self._process.args!r} ended")
        return line.strip()

    def turn(self, calls: int) -> float:
        """CPU time of one sample in nanoseconds."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{calls}\n")
        self._process.stdin.flush()
        return float(self._reply())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.communicate()


def floor(program: PipeProgram, root: int) -> Callable[[int], float]:
    return lambda calls: program.cost_ns("clocks", root, calls)
