"""What ``prock doctor`` looks at where psutil is asked: on macOS, Windows and BSD; on Linux where that is wished."""

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

ALONE = "only Linux has them"
LINUX = "run it on Linux"
MANY = 200
"""Processes that are asked to see whether they answer."""
NATIVE = "unset PROCK_ENGINE: on Linux the other engines have them"


def _remedy() -> str:
    return NATIVE if sys.platform == "linux" else LINUX


def the_engine() -> Check:
    asked = os.environ.get("PROCK_ENGINE")
    reason = engine_that_fails()
    if reason is not None:
        return Check("engine", NO, f"portable does not work: {reason}", "pip install --upgrade psutil")
    if sys.platform == "linux":
        finding = f"portable, as PROCK_ENGINE={asked} asks: psutil is asked, as on other systems"
        return Check("engine", LIMITED, finding, "unset PROCK_ENGINE")
    why = f"as PROCK_ENGINE={asked} asks" if asked else f"as this is {system_name()}"
    return Check("engine", OK, f"portable, {why}: psutil is asked")


def the_library() -> Check:
    import psutil

    return Check("psutil", OK, psutil.__version__)


def cpu_times() -> Check:
    return _of_many("cpu_times", engine.active.cpu_time)


def waited_children() -> Check:
    """Whether the CPU of a child that ended is still to be had."""
    info = engine.active.info(None)
    if info is not None and info.children_user_ns is not None:
        return Check("waited_children", OK, "counted: what a process has waited for stays in its account")
    finding = (
        "not counted of running processes: of what ended samples know, and prock run, where the system hands it on"
    )
    return Check("waited_children", LIMITED, finding, LINUX)


def task_io() -> Check:
    try:
        if engine.active.disk_io(None) is None:
            return Check("task_io", NO, "the own counters are not to be found", "pip install --upgrade psutil")
    except NotSupported as error:
        return Check("task_io", NO, error.what, _remedy())
    except (ProckError, OSError) as error:
        return Check("task_io", NO, str(error), _remedy())
    return _of_many("task_io", engine.active.disk_io)


def shares() -> Check:
    if engine.active.pss([os.getpid()], 0)[0] is not None:
        return Check("shares", OK, "readable: memory that a tree shares is counted once")
    finding = "none: the memory of a tree counts shared pages in each process, and is an upper bound"
    return Check("shares", LIMITED, finding, LINUX)


def run_accounting() -> Check:
    if sys.platform == "win32":
        finding = "samples, and the command's own process exactly: Windows hands no account on from child to parent"
    else:
        finding = "what was waited for (wait4), and samples; orphans are known as samples saw them"
    return Check("run_accounting", LIMITED, finding, _remedy())


def signals() -> Check:
    if sys.platform == "linux":
        return Check("signals", OK, "through pidfds: to nobody else")
    finding = "by pid, just after a look at who has it: only Linux has pidfds"
    return Check("signals", LIMITED, finding, LINUX)


def perf_task_clock() -> Check:
    return Check("perf_task_clock", NO, f"not used here: {ALONE}", _remedy())


def cgroup_v2() -> Check:
    return Check("cgroup_v2", NO, f"not used here: {ALONE}", _remedy())


def _of_many(name: str, question: Callable[[int], object]) -> Check:
    """Whether it is answered of whatever process."""
    tried = refused = 0
    for pid in engine.active.pids()[:MANY]:
        try:
            tried += question(pid) is not None
        except AccessDenied:
            refused += 1
        except NotSupported:  # a zombie
            continue
    if refused:
        finding = f"refused of {refused} of {tried + refused} processes, as they are other users'"
        return Check(name, LIMITED, finding, "run as root (on Windows as an administrator)")
    return Check(name, OK, f"readable of all of {tried} processes")


CHECKS = (
    the_engine, the_library, the_python, the_kernel, cpu_times, waited_children, task_io, shares, run_accounting,
    signals, perf_task_clock, cgroup_v2, descriptors,
)  # fmt: skip
