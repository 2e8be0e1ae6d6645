"""Whether calls leave something behind: Python objects, references to those that are always there, memory of C, open
descriptors. The same cases for the short test and for `make check-leaks`, which makes a million calls of each that
costs less than ten microseconds."""

from __future__ import annotations

import ctypes
import gc
import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from itertools import pairwise
from typing import Any, NamedTuple

import prock
from prock import errors, model

ROUNDS = 3
"""What is left behind by each call grows in every round; a cache that fills or a heap that settles does not."""


class Case(NamedTuple):
    name: str
    call: Callable[[], object]
    raises: type[BaseException] | tuple[type[BaseException], ...] | None = None
    """What each call must raise: that the way which is meant is the one that is gone."""


class Held(NamedTuple):
    """What this process holds."""

    blocks: int
    references: int
    heap_bytes: int
    descriptors: int


class Growth(NamedTuple):
    calls: int
    """In each round."""
    seconds: float
    least: Held
    """The least that it grew by in any round."""
    rss_bytes: int
    """From the first round's begin to the last one's end."""

    @property
    def leaks(self) -> list[str]:
        allowed = self.calls // 100 + 64
        found = []
        if self.least.blocks > allowed:
            found.append(f"{self.least.blocks} objects")
        if self.least.references > allowed:
            found.append(f"{self.least.references} references")
        if self.least.heap_bytes > 16 * allowed:  # an allocation takes 16 bytes at least
            found.append(f"{self.least.heap_bytes} bytes of heap")
        if self.least.descriptors > 0:
            found.append(f"{self.least.descriptors} descriptors")
        if self.rss_bytes > 2_000_000 + ROUNDS * self.calls:
            found.append(f"{self.rss_bytes} bytes of resident memory")
        return found


class _Mallinfo(ctypes.Structure):
    _fields_ = [
        (name, ctypes.c_size_t)
        for name in "arena ordblks smblks hblks hblkhd usmblks fsmblks uordblks fordblks keepcost".split()
    ]


_libc = ctypes.CDLL(None)
_mallinfo: Any = getattr(_libc, "mallinfo2", None)  # glibc 2.33
if _mallinfo is not None:
    _mallinfo.restype = _Mallinfo


def _heap_bytes() -> int:
    if _mallinfo is None:
        return 0
    told = _mallinfo()
    return int(told.uordblks + told.hblkhd)


ALWAYS_THERE: list[object] = [None, True, False, (), "", 0, 1, 5, "stat", "io", "children"]
ALWAYS_THERE += [value for module in (model, errors) for value in vars(module).values() if isinstance(value, type)]


def what_is_held() -> Held:
    gc.collect()
    return Held(
        sys.getallocatedblocks(),
        sum(sys.getrefcount(thing) for thing in ALWAYS_THERE),
        _heap_bytes(),
        len(os.listdir("/proc/self/fd")),
    )


def _rss_bytes() -> int:
    with open("/proc/self/statm", "rb") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGESIZE")


def repeat(case: Case, times: int) -> None:
    call, raises = case.call, case.raises
    if raises is None:
        for _ in range(times):
            call()
        return
    for _ in range(times):
        try:
            call()
        except raises:
            continue
        raise AssertionError(f"{case.name}: nothing was raised")


def growth(case: Case, calls: int, seconds: float) -> Growth:
    """After so many calls in all, or as many as there is time for where one takes more than ten microseconds."""
    repeat(case, 5)
    begin = time.perf_counter()
    repeat(case, 5)
    each = (time.perf_counter() - begin) / 5
    if each > 10e-6:
        calls = min(calls, int(seconds / each))
    calls = max(calls // ROUNDS, 10)
    repeat(case, calls // 10)
    held, rss_bytes = [what_is_held()], _rss_bytes()
    begin = time.perf_counter()
    for _ in range(ROUNDS):
        repeat(case, calls)
        held.append(what_is_held())
    took = time.perf_counter() - begin
    steps = [map(int.__sub__, after, before) for before, after in pairwise(held)]
    return Growth(calls, took, Held(*map(min, *steps)), _rss_bytes() - rss_bytes)


# ---- what is called ----


def public_cases(pid: int, gone: int) -> list[Case]:
    """Everything that prock exports and that takes a pid or none, of a living child, of none, and refused."""
    cases = []
    of_pid = (
        "get_all_stats get_children get_cpu_time get_cpu_time_with_children get_disk_io get_liveness_info get_memory "
        "get_memory_virtual get_ppid get_process_cmdline get_process_comm get_process_environ get_process_path "
        "get_start_time get_tty process_exists snapshot_process snapshot_tree collect_tree_pids snapshot_tree_from_scan"
    ).split()
    for name in of_pid:
        ask: Callable[..., object] = getattr(prock, name)
        cases += [
            Case(name, lambda ask=ask: ask(pid)),  # type: ignore[misc]
            Case(f"{name}, itself", lambda ask=ask: ask()),  # type: ignore[misc]
            Case(f"{name}, gone", lambda ask=ask: ask(gone)),  # type: ignore[misc]
            Case(f"{name}, no pid", lambda ask=ask: ask(0), ValueError),  # type: ignore[misc]
            Case(f"{name}, no int", lambda ask=ask: ask("1"), TypeError),  # type: ignore[misc]
        ]
    scan = prock.scan_all_processes()
    parents, children = prock.build_parent_map(scan), prock.build_children_map(scan)
    cases += [
        Case(name, ask)
        for name, ask in {
            "list_all_pids": prock.list_all_pids,
            "find": lambda: prock.find("sleep", cmdline="no such command"),
            "busiest": lambda: prock.busiest(1, interval=1e-6),
            "scan_all_processes": prock.scan_all_processes,
            "build_parent_map": lambda: prock.build_parent_map(scan),
            "build_children_map": lambda: prock.build_children_map(scan),
            "collect_descendants_from_map": lambda: prock.collect_descendants_from_map(1, children),
            "is_descendant_of": lambda: prock.is_descendant_of(pid, 1, parents),
            "snapshot_tree, io": lambda: prock.snapshot_tree(pid, io=True),
        }.items()
    ]
    return cases


def follower_cases(pid: int, gone: int) -> tuple[list[Case], list[Callable[[], None]]]:
    """What follows a tree; and what closes it in the end."""
    delta, cumulative = prock.DeltaTracker(), prock.CumulativeTracker()
    sampler = prock.TreeSampler(pid, io=True, pss=True, accounting="ledger")
    forest = prock.Forest([pid], accounting="ledger")
    closes = [sampler.close, forest.close]

    def whole_life(accounting: str) -> Callable[[], None]:
        def clocks_usable() -> None:
            with prock.TreeSampler(pid, io=True, accounting=accounting) as sampler:
                assert sampler.sample().members

        return clocks_usable

    def monitor() -> None:
        with prock.Monitor(interval=60):
            pass

    def awatch() -> None:
        import asyncio

        async def first() -> None:
            samples = prock.awatch(pid, interval=0.001)
            async for _ in samples:
                break
            await samples.aclose()

        asyncio.run(first())

    def watch() -> None:
        for _ in prock.watch(pid, interval=0.001):
            break

    folder = tempfile.mkdtemp()
    closes.append(lambda: shutil.rmtree(folder))
    recorded = f"{folder}/a"

    def recorder() -> None:
        with prock.Recorder(recorded, force=True) as recorder:
            recorder.add(sampler.sample())
            recorder.mark("x")

    of_itself = prock.TreeSampler(accounting="ledger", io=True)
    closes.append(of_itself.close)

    def members_come_and_go() -> None:
        child = os.posix_spawn("/bin/sleep", ["sleep", "100"], {})
        came = of_itself.sample()
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        went = of_itself.sample()
        assert len(came.members) == len(went.members) + 1

    cases = [
        Case("TreeSampler, members come and go", members_come_and_go),
        Case("DeltaTracker", lambda: delta.get_cpu_percent(pid)),
        Case("DeltaTracker, tree", lambda: delta.get_tree_cpu_percent(pid)),
        Case("DeltaTracker, gone", lambda: delta.get_tree_cpu_percent(gone)),
        Case("CumulativeTracker", lambda: cumulative.get_tree_cpu_ns(pid)),
        Case("CumulativeTracker, gone", lambda: cumulative.get_tree_cpu_ns(gone)),
        Case("TreeSampler, ledger", sampler.sample),
        Case("TreeSampler, rows", lambda: sampler.sample().members),
        Case("TreeSampler, its life", whole_life("ledger")),
        Case("TreeSampler, gone", lambda: prock.TreeSampler(gone), prock.NoSuchProcess),
        Case("Forest", forest.sample),
        Case("Forest, refused", lambda: forest.add(gone), prock.NoSuchProcess),
        Case("Monitor", monitor),
        Case("Recorder", recorder),
        Case("load", lambda: prock.load(recorded).timeline()),
        Case("Recording", lambda: prock.Recording(recorded)),
        Case("kill_tree, gone", lambda: prock.kill_tree(gone), prock.NoSuchProcess),
        Case("watch", watch),
        Case("awatch", awatch),
        Case("run", lambda: prock.run(["true"])),
        Case("arun", _arun),
        Case("Popen", _popen),
        Case("run, no such command", lambda: prock.run(["/nonexistent"]), FileNotFoundError),
        Case("run, nothing", lambda: prock.run([]), (ValueError, IndexError)),
    ]
    cases += _record_cases()
    try:
        by_events = prock.TreeSampler(pid, accounting="perf")
    except (prock.NotSupported, prock.AccessDenied):
        return cases, closes
    closes.append(by_events.close)
    cases += [
        Case("TreeSampler, perf", by_events.sample),
        Case("TreeSampler, its life with perf", whole_life("perf")),
    ]
    return cases, closes


def _record_cases() -> list[Case]:
    """Where eBPF is available."""
    if sys.platform != "linux":
        return []
    from prock.engine.bpf import Unavailable, open_recorder
    from prock.engine.bpf.records import ProcessRecords

    try:
        open_recorder(everything=False).close()
    except Unavailable:
        return []

    def whole_life() -> None:
        with ProcessRecords(everything=True) as records:
            prock.run(["true"])
            records.read()

    return [Case("ProcessRecords, its life", whole_life)]


def _arun() -> None:
    import asyncio

    async def one() -> None:
        await prock.arun(["true"])

    asyncio.run(one())


def _popen() -> None:
    with prock.Popen(["true"]) as process:
        process.finish()  # else what follows it may still be about to end when it is looked at what is held
