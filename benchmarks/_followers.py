"""Who follows a tree, and asks what of it in each sample."""

from __future__ import annotations

import resource
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import NamedTuple

import psutil
from _programs import Asked

import prock

FLOOR = "C floor"
"""The CPU clock of each member, who is who being known: less can't be asked."""
LEDGER = "CPU"
LEDGER_ROWS = "CPU, rows"
PERF = "CPU, perf"
ALL = "all"
ALL_FEW = "all, few fds"
"""Made where the soft limit of descriptors is the usual 1024."""
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
    """The soft limit while it is made."""


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
        with limited_descriptors(how.descriptors):
            sampler = sampler_of(root, how)
    except prock.NotSupported:
        return None
    stack.enter_context(sampler)
    return (lambda: sampler.sample().members) if how.rows else sampler.sample


def sampler_of(root: int, how: How) -> prock.TreeSampler:
    """With the accounting that was asked for; ``NotSupported`` where that can't be had."""
    try:
        sampler = prock.TreeSampler(root, memory=how.all, io=how.all, accounting=how.accounting)
    except prock.AccessDenied as refusal:
        raise prock.NotSupported(str(refusal)) from refusal
    if sampler.sample().accounting != how.accounting:
        sampler.close()
        raise prock.NotSupported(how.accounting)
    return sampler


@contextmanager
def limited_descriptors(soft: int | None) -> Iterator[None]:
    """Prock keeps descriptors by the share of the soft limit that is left. None: as many as this user may have."""
    before, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard if soft is None else min(soft, hard), hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (before, hard))


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


def floor(asked: Asked, root: int) -> Callable[[int], float]:
    """As a turn, not as a call: it measures itself."""
    return lambda calls: asked.ask("clocks", root, calls)
