"""The checks of ``prock doctor`` with the portable engine (psutil): on macOS, Windows, BSD, on Linux by choice."""

from __future__ import annotations

import os
import sys

from prock import engine
from prock.cli.doctor.checks import (
    LIMITED,
    NO,
    OK,
    Check,
    descriptors,
    engine_that_fails,
    system_name,
    the_kernel,
    the_python,
)
from prock.errors import AccessDenied, NotSupported, ProckError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

LINUX_ONLY = "only Linux has it"
LINUX = "run it on Linux"
MANY = 200
"""Number of processes to try."""
REMEDY = "unset PROCK_ENGINE: the other engines have it on Linux" if sys.platform == "linux" else LINUX


def the_engine() -> Check:
    setting = os.environ.get("PROCK_ENGINE")
    reason = engine_that_fails()
    if reason is not None:
        return Check("engine", NO, f"portable does not work: {reason}", "pip install --upgrade psutil")
    if sys.platform == "linux":
        finding = f"portable (PROCK_ENGINE={setting}): psutil, as on other systems"
        return Check("engine", LIMITED, finding, "unset PROCK_ENGINE")
    reason = f"PROCK_ENGINE={setting}" if setting else system_name()
    return Check("engine", OK, f"portable ({reason}): psutil")


def the_library() -> Check:
    import psutil

    return Check("psutil", OK, psutil.__version__)


def cpu_times() -> Check:
    return _of_many("cpu_times", engine.active.cpu_time)


def waited_children() -> Check:
    """Whether the CPU time of ended children is counted."""
    info = engine.active.info(None)
    if info is not None and info.children_user_ns is not None:
        return Check("waited_children", OK, "counted in the process that waited for them")
    finding = "not counted: known from samples, and in prock run if the system passes it to the parent"
    return Check("waited_children", LIMITED, finding, LINUX)


def task_io() -> Check:
    try:
        if engine.active.disk_io(None) is None:
            return Check("task_io", NO, "the own counters cannot be read", "pip install --upgrade psutil")
    except NotSupported as error:
        return Check("task_io", NO, error.what, REMEDY)
    except (ProckError, OSError) as error:
        return Check("task_io", NO, str(error), REMEDY)
    return _of_many("task_io", engine.active.disk_io)


def shares() -> Check:
    if engine.active.pss([os.getpid()], 0)[0] is not None:
        return Check("shares", OK, "readable: memory that a tree shares is counted once")
    finding = "not available: the memory of a tree is an upper bound, as shared pages count in each process"
    return Check("shares", LIMITED, finding, LINUX)


def run_accounting() -> Check:
    if sys.platform == "win32":
        finding = "samples; exact for the command's own process: Windows does not pass CPU time from child to parent"
    else:
        finding = "wait4 and samples; orphans are known from samples only"
    return Check("run_accounting", LIMITED, finding, REMEDY)


def signals() -> Check:
    if sys.platform == "linux":
        return Check("signals", OK, "sent through pidfds, so that no other process can receive them")
    finding = "sent by pid, right after a check of the process: only Linux has pidfds"
    return Check("signals", LIMITED, finding, LINUX)


def perf_task_clock() -> Check:
    return Check("perf_task_clock", NO, f"not available: {LINUX_ONLY}", REMEDY)


def cgroup_v2() -> Check:
    return Check("cgroup_v2", NO, f"not available: {LINUX_ONLY}", REMEDY)


def _of_many(name: str, read: Callable[[int], object]) -> Check:
    """Whether it can be read of any process."""
    tried = refused = 0
    for pid in engine.active.pids()[:MANY]:
        try:
            tried += read(pid) is not None
        except AccessDenied:
            refused += 1
        except NotSupported:  # a zombie
            continue
    if refused:
        finding = f"access denied for {refused} of {tried + refused} processes of other users"
        return Check(name, LIMITED, finding, "run as root (on Windows as an administrator)")
    return Check(name, OK, f"readable for all of {tried} processes")


CHECKS = (
    the_engine, the_library, the_python, the_kernel, cpu_times, waited_children, task_io, shares, run_accounting,
    signals, perf_task_clock, cgroup_v2, descriptors,
)  # fmt: skip
