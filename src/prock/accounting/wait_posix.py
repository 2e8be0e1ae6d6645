"""The account of a launched command's root where there are no subreapers and no proc: what waiting for it tells.

wait4(2) is on every POSIX system. What it tells of a process that has ended holds all those that it has waited for, and
that they have: macOS and the BSDs add up a process and its children when it ends, as Linux does. Orphans are in no such
account, nor is who was not waited for.
"""

from __future__ import annotations

import os
import sys
from _thread import allocate_lock  # the module threading around it costs two milliseconds to import

from prock.accounting.protocol import ExitedChild

TYPE_CHECKING = False
if TYPE_CHECKING:
    import subprocess
    from typing import Any

    from prock.accounting.protocol import RootWaiter

MAXRSS_BYTES = 1 if sys.platform == "darwin" else 1024
"""The unit of ``ru_maxrss``: bytes on macOS, kilobytes on Linux and the BSDs (their getrusage(2) says so)."""


def waiting_for(process: subprocess.Popen[Any] | int) -> RootWaiter:
    """For a child that nothing else waits for, or its pid. On Windows the object holds the process's handle."""
    if isinstance(process, int):
        return Child(process)
    if sys.platform == "win32":
        from prock.accounting.wait_windows import WindowsChild

        return WindowsChild(process)
    return Child(process.pid)


class Child:
    """One child of this process. Only for POSIX systems."""

    adopts = False
    holds_children = True
    lost_root = False
    disk_io = None
    refused_io = 0

    def __init__(self, pid: int) -> None:
        self.root_pid = pid
        self.root: ExitedChild | None = None
        self.root_state: int | None = None
        self.user_ns = self.system_ns = self.largest_bytes = 0
        self.minor_faults: int | None = None
        self.major_faults: int | None = None
        self.voluntary_switches: int | None = None
        self.involuntary_switches: int | None = None
        self._lock = allocate_lock()

    def reap(self) -> None:
        with self._lock:
            while self.root is None and self._wait():
                pass

    def _wait(self) -> bool:
        """Whether there was news of it."""
        if sys.platform == "win32":
            raise NotImplementedError
        try:
            found, status, usage = os.wait4(self.root_pid, os.WNOHANG | os.WUNTRACED | os.WCONTINUED)
        except ChildProcessError:  # somebody who waits for all children was there first, or SIGCHLD is ignored
            self.root = ExitedChild(self.root_pid, 0, None)
            self.lost_root = True
            self.root_state = None
            return True
        if not found:
            return False
        if os.WIFSTOPPED(status) or os.WIFCONTINUED(status):
            self.root_state = os.WSTOPSIG(status) if os.WIFSTOPPED(status) else None
            return True
        self.user_ns, self.system_ns = round(usage.ru_utime * 1e9), round(usage.ru_stime * 1e9)
        self.minor_faults, self.major_faults = usage.ru_minflt, usage.ru_majflt
        self.voluntary_switches, self.involuntary_switches = usage.ru_nvcsw, usage.ru_nivcsw
        self.largest_bytes = usage.ru_maxrss * MAXRSS_BYTES
        self.root_state = None
        self.root = ExitedChild(self.root_pid, os.waitstatus_to_exitcode(status), None)
        return True

    def children(self) -> list[int]:
        return [] if self.root is not None else [self.root_pid]

    @property
    def holds_root(self) -> bool:
        """Who waits for it here holds the lock; whether somebody else has, is seen by the next look."""
        return self.root is None

    def send(self, number: int, /) -> bool:
        """Its pid stays its own until it has been waited for, which the lock keeps off meanwhile."""
        with self._lock:
            while self.root is None and self._wait():
                pass
            if self.root is None:
                os.kill(self.root_pid, number)
        return True

    def close(self) -> None:
        """There is nothing to give back."""
