"""Which engines there are, and what each of them can know: the one place where tests read what differs."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, NamedTuple

import pytest

import prock
from prock.engine import open_engine

if TYPE_CHECKING:
    from prock.engine.protocol import CompiledCore


class Knows(NamedTuple):
    """What an engine can know here, on Linux, live on the proc of its own PID namespace."""

    cpu_lag_ns: int
    """By how much CPU time can be behind that of a process that sleeps: two counters, each in whole ticks."""
    without_files: bool
    """Whether CPU time can be had where no file can be read or opened."""
    files: bool
    """Whether it reads Linux's own files, and so page faults, terminals' numbers and cancelled writes."""
    threads: bool
    """Whether it knows single threads: their states, whose child is whose, memory without a main thread."""
    proc: bool
    """Whether the last pid and subreapers can be asked for."""
    scans_cheaply: bool
    """Whether a look at the whole machine costs so little that one is taken every 25 seconds."""


LINUX = Knows(cpu_lag_ns=0, without_files=True, files=True, threads=True, proc=True, scans_cheaply=True)
KNOWS = {
    "native": LINUX,
    "pure": LINUX,
    "portable": Knows(
        cpu_lag_ns=20_000_000, without_files=False, files=False, threads=False, proc=False, scans_cheaply=False
    ),
}


def _is_built(name: str) -> bool:
    try:
        open_engine(name)
    except prock.NotSupported:
        return False
    return True


LINUX_ENGINES = ["native", "pure"] if _is_built("native") else ["pure"]
COMPILED = [name for name in LINUX_ENGINES if name == "native"]
"""With perf events and the launcher."""
ENGINES = [*LINUX_ENGINES, "portable"]
HAS_GIL: bool = getattr(sys, "_is_gil_enabled", lambda: True)()


def core() -> CompiledCore:
    """The engine that opens perf events; skips the test without it."""
    found = open_engine("native").core if COMPILED else None
    if found is None:
        pytest.skip("the C core was not compiled")
    return found


on_linux_engines = pytest.mark.parametrize("engine_name", LINUX_ENGINES, indirect=True)
"""For tests of what has Linux's own files, clocks or calls as its source."""
