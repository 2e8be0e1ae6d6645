"""Signals to ``prock run`` and ``attach`` on Linux: blocked, and received with sigtimedwait(2)."""

from __future__ import annotations

import sys

from prock._compat.signals import kernel
from prock.errors import require_call

assert sys.platform == "linux"

SI_USER, SI_TKILL = 0, -6
"""Codes for which the kernel sets the sender. That of sigqueue(3) is what the sender wrote."""


class LinuxSignals:
    """While open, the wanted signals are blocked and queued; signals that prock was started to ignore stay ignored."""

    def __init__(self, wanted: tuple[int, ...]) -> None:
        require_call("rt_sigtimedwait", lambda: kernel.sigtimedwait([], 0))
        self._numbers = [number for number in wanted if kernel.getsignal(number) != kernel.SIG_IGN]
        if kernel.SIGCHLD not in self._numbers:
            self._numbers.append(kernel.SIGCHLD)
        self.original = kernel.pthread_sigmask(kernel.SIG_BLOCK, self._numbers)
        """The signal mask for the command."""

    @staticmethod
    def enable_child_signal() -> None:
        """Where SIGCHLD is ignored, the kernel reaps children itself. Call this after the command has inherited it."""
        if kernel.getsignal(kernel.SIGCHLD) == kernel.SIG_IGN:
            kernel.signal(kernel.SIGCHLD, kernel.SIG_DFL)

    def wait(self, seconds: float) -> tuple[int, bool, tuple[int, int] | None] | None:
        info = kernel.sigtimedwait(self._numbers, max(0.0, seconds))
        if info is None:
            return None
        sender = (info.si_pid, info.si_uid) if info.si_code in (SI_USER, SI_TKILL) else None
        return info.si_signo, info.si_code > 0, sender

    def close(self) -> None:
        """Drop pending signals, so that a late one does not end prock instead of its exit code."""
        while self.wait(0):
            pass
        kernel.pthread_sigmask(kernel.SIG_SETMASK, self.original)
