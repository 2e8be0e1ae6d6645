"""Monitors of a few lines, each a process of its own: python monitor_loops.py NAME PID INTERVAL [LOG]

Each follows CPU time and memory of a tree until it is over. Only what the one needs is imported.
"""

from __future__ import annotations

import sys
import time
from importlib import import_module


def prock_watch(pid: int, interval: float, _: str) -> None:
    import prock

    for sample in prock.watch(pid, interval):
        _use(sample.cpu_percent, sample.rss_bytes)


def prock_rows(pid: int, interval: float, _: str) -> None:
    """And of each member."""
    import prock

    for sample in prock.watch(pid, interval):
        for member in sample.members:
            _use(member.cpu_percent, member.rss_bytes)


def psutil_loop(pid: int, interval: float, _: str) -> None:
    """With reused ``Process`` objects, which percentages need, and only the figures that are compared."""
    import psutil

    root = psutil.Process(pid)
    kept = {root: root}
    due = time.monotonic()
    while root.is_running():
        try:
            found = [root, *root.children(recursive=True)]
        except psutil.NoSuchProcess:
            return
        kept = {process: kept.get(process, process) for process in found}
        percent, rss = 0.0, 0
        for process in kept.values():
            try:
                with process.oneshot():
                    percent += process.cpu_percent()
                    rss += process.memory_info().rss
            except psutil.NoSuchProcess:
                continue
        _use(percent, rss)
        due += interval
        time.sleep(max(0.0, due - time.monotonic()))


def denet(pid: int, interval: float, log: str) -> None:
    ms = round(interval * 1000)
    import_module("denet").ProcessMonitor.from_pid(pid, ms, ms, output_file=log, quiet=True).run()


def resource_tracker(pid: int, interval: float, log: str) -> None:
    tracker = import_module("resource_tracker").ProcessTracker
    tracker(pid=pid, start_time=time.time(), interval=interval, output_file=log)


def _use(*_: object) -> None:
    """What a monitor does with its figures is not what is measured."""


LOOPS = {
    "prock-watch": prock_watch,
    "prock-rows": prock_rows,
    "psutil": psutil_loop,
    "denet": denet,
    "resource-tracker": resource_tracker,
}

if __name__ == "__main__":
    name, pid, interval, *rest = sys.argv[1:]
    try:
        LOOPS[name](int(pid), float(interval), *(rest or [""]))
    except KeyboardInterrupt:
        sys.exit(130)
