"""`PosixWaiter`: reaps the root of a launched command by wait4(2), on systems without subreapers and ``/proc``.

The usage of an exited process includes the children that it reaped, and theirs: macOS and the BSDs add them up as Linux
does. Orphans and children that were not reaped are not included.
"""

from __future__ import annotations

import os
import sys
from _thread import allocate_lock  # the module threading around it costs two milliseconds to import

from prock.accounting.protocol import ExitedChild, RootWaiter

MAXRSS_BYTES = 1 if sys.platform == "darwin" else 1024
"""Unit of ``ru_maxrss``: bytes on macOS, kilobytes on Linux and the BSDs (getrusage(2))."""


class PosixWaiter(RootWaiter):
    """Reaps one child of this process."""

    includes_start = True

    def __init__(self, pid: int) -> None:
        super().__init__(pid)
        self._lock = allocate_lock()

    def reap(self) -> None:
        with self._lock:
            self._reap_locked()

    def _reap_locked(self) -> None:
        while self.root is None and self._wait():
            pass

    def _wait(self) -> bool:
        """Whether the state of the child has changed."""
        if sys.platform == "win32":
            raise NotImplementedError
        try:
            found, status, usage = os.wait4(self.root_pid, os.WNOHANG | os.WUNTRACED | os.WCONTINUED)
        except ChildProcessError:  # other code waits for all children, or SIGCHLD is ignored
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

    def send(self, number: int, /) -> None:
        """The lock keeps the child unreaped meanwhile, so that its pid cannot be reused."""
        with self._lock:
            self._reap_locked()
            if self.root is None:
                os.kill(self.root_pid, number)
