"""Questions, and the contestants: bare system calls, prock with either engine, psutil, the Rust crate."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

import prock
from benchmarks.harness.measure import Contestant, Turn, in_a_loop
from benchmarks.harness.programs import PipeProgram
from prock import engine

FLOOR = "C floor"
FLOOR_IN_TICKS = "C floor in ticks"
"""Of a scan: without the CPU clocks, and so without exact times."""
PROCK = "prock"
PURE = "prock, pure"
PSUTIL = "psutil"
CRATE = "Rust crate"
IN_PYTHON = (PROCK, PURE, PSUTIL)

SCAN_FIELDS = ["pid", "ppid", "name", "status", "cpu_times", "memory_info", "num_threads", "create_time"]

Call = Callable[[], object]


@dataclass(frozen=True)
class Question:
    name: str
    """As floor.c and the crate's program call it."""
    prock: Callable[[int], object]
    psutil: Callable[[psutil.Process], object]


def _psutil_all(process: psutil.Process) -> object:
    with process.oneshot():
        return process.cpu_times(), process.memory_info(), process.io_counters()


def _psutil_tree(root: psutil.Process) -> list[object]:
    return [(one.cpu_times(), one.memory_info()) for one in (root, *root.children(recursive=True))]


CPU = Question("cpu", prock.get_cpu_time, lambda process: process.cpu_times())
ALL = Question("all", prock.get_all_stats, _psutil_all)
SCAN = Question("scan", lambda _: prock.scan_all_processes(), lambda _: list(psutil.process_iter(SCAN_FIELDS)))
TREE = Question("tree", prock.snapshot_tree, _psutil_tree)


class Contestants:
    """All that can take part on this machine."""

    def __init__(self, floor: PipeProgram, crate: PipeProgram | None) -> None:
        self._floor = floor
        self._crate = crate
        try:
            self._native = engine.open_engine("native")
        except prock.NotSupported:
            sys.exit("benchmarks: this prock was installed without its engine in C")
        self._pure = engine.open_engine("pure")

    def for_question(self, question: Question, pid: int) -> list[Contestant]:
        """All contestants, for one process or one tree."""
        found = [Contestant(FLOOR, _piped(self._floor, question.name, pid))]
        if question is SCAN:
            found.append(Contestant(FLOOR_IN_TICKS, _piped(self._floor, "scan-in-ticks", pid)))
        found += [Contestant(name, self.turn(name, question, pid)) for name in IN_PYTHON]
        if self._crate is not None:
            found.append(Contestant(CRATE, _piped(self._crate, question.name, pid)))
        return found

    def turn(self, name: str, question: Question, pid: int, style: Callable[[Call], Turn] = in_a_loop) -> Turn:
        """A turn of a contestant that runs in this process."""
        if name == PSUTIL:
            process = psutil.Process(pid)
            return style(lambda: question.psutil(process))
        chosen = self._native if name == PROCK else self._pure
        one_turn = style(lambda: question.prock(pid))

        def turn(calls: int) -> float:
            with engine.using(chosen):
                return one_turn(calls)

        return turn

    def check_tree(self, root: int, count: int) -> None:
        """Raise unless each contestant sees the whole tree."""
        seen = {PSUTIL: len(_psutil_tree(psutil.Process(root)))}
        for name, chosen in ((PROCK, self._native), (PURE, self._pure)):
            with engine.using(chosen):
                snapshot = prock.snapshot_tree(root)
            seen[name] = 0 if snapshot is None else snapshot.process_count
        wrong = [f"{name} sees {number}" for name, number in seen.items() if number != count]
        if wrong:
            raise RuntimeError(f"the tree has {count} processes, but {', '.join(wrong)}")


def _piped(program: PipeProgram, question: str, pid: int) -> Turn:
    return lambda calls: program.cost_ns(question, pid, calls)


@contextmanager
def all_contestants(floor: Path, crate: Path | None) -> Iterator[Contestants]:
    with ExitStack() as stack:
        piped = None if crate is None else stack.enter_context(PipeProgram(crate))
        yield Contestants(stack.enter_context(PipeProgram(floor)), piped)
