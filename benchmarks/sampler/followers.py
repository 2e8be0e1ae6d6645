"""Who follows a tree, and asks what of it in each sample."""

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
"""The CPU clock of each member, who is who being known: less can't be asked."""
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
    """A sampler's options, and whether its rows are made."""

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
    """What takes one sample; None where that can't be done here. What it keeps open is closed with the stack."""
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
    """With the accounting that was asked for; ``NotSupported`` where that can't be had."""
    try:
        sampler = prock.TreeSampler(root, memory=how.all, io=how.all, accounting=how.accounting)
    except OSError as refusal:  # also where descriptors do not suffice
        raise prock.NotSupported(str(refusal)) from refusal
    if sampler.sample().accounting != how.accounting:
        sampler.close()
        raise prock.NotSupported(how.accounting)
    return sampler


def allow_descriptors(soft: int | None) -> None:
    """To this process. None: as many as this user may have; prock keeps some of those that the soft limit leaves."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard if soft is None else min(soft, hard), hard))


class PsutilTree:
    """Keeps its ``Process`` objects from sample to sample: asking a new one is dearer."""

    def __init__(self, root: int, *, all_metrics: bool) -> None:
        self._root = psutil.Process(root)
        self._kept: dict[psutil.Process, psutil.Process] = {}
        self._ask = _ask_all if all_metrics else _ask_cpu

    def __call__(self) -> list[object]:
        found = [self._root, *self._root.children(recursive=True)]
        self._kept = {process: self._kept.get(process, process) for process in found}
        rows = []
        for process in self._kept.values():
            try:
                rows.append(self._ask(process))
            except psutil.NoSuchProcess:
                continue
        return rows


def _ask_cpu(process: psutil.Process) -> object:
    return process.cpu_times()


def _ask_all(process: psutil.Process) -> object:
    with process.oneshot():
        return process.cpu_times(), process.memory_info(), process.io_counters()


def count_seen(call: Call) -> int:
    """Of how many processes one sample tells."""
    seen = call()
    if isinstance(seen, (prock.TreeSample, prock.TreeStats)):
        return seen.process_count
    return len(seen) if isinstance(seen, (list, tuple)) else 0


class Asker:
    """Running timed_calls.py."""

    def __init__(self, name: str, root: int) -> None:
        command = [sys.executable, "-m", "benchmarks.sampler.timed_calls", name, str(root)]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True
        )
        seen = self._answer()
        self.seen = None if seen == "missing" else int(seen)
        """How many processes it sees; None where it can't follow."""

    def _answer(self) -> str:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"{self._process.args!r} ended")
        return line.strip()

    def turn(self, calls: int) -> float:
        """Nanoseconds of CPU time that one of so many samples took."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{calls}\n")
        self._process.stdin.flush()
        return float(self._answer())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.communicate()


def floor(program: PipeProgram, root: int) -> Callable[[int], float]:
    return lambda calls: program.cost_ns("clocks", root, calls)
