"""Signals to ``prock run`` and ``attach`` on systems without sigtimedwait(2) (macOS, Windows): Python signal handlers.

A handler does not learn the sender of a signal. So while prock is in the foreground of a terminal, a signal that a key
can send (Ctrl-C, Ctrl-\\, Ctrl-Z) is taken to come from the terminal, which has sent it to the command as well.
"""

from __future__ import annotations

import os
import sys
import time

from prock._compat.signals import kernel, numbers
from prock.cli.run.job_control import in_foreground

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

SLICE_S = 0.01
"""Between two checks on Windows, where there is nothing to wait for."""
FROM_KEYS = numbers("SIGINT SIGQUIT SIGTSTP")


class HandlerSignals:
    """While open, the wanted signals are queued; signals that prock was started to ignore stay ignored."""

    def __init__(self, wanted: tuple[int, ...]) -> None:
        self.original: tuple[int, ...] = ()
        """The signal mask for the command."""
        self._received: list[tuple[int, bool, tuple[int, int] | None]] = []
        self._child = numbers("SIGCHLD")
        self._pipe: tuple[int, int] | None = None
        self._wakeup_before = -1
        if sys.platform != "win32":
            self.original = tuple(kernel.pthread_sigmask(kernel.SIG_BLOCK, ()))
            self._pipe = os.pipe()
            for end in self._pipe:
                os.set_blocking(end, False)
            self._wakeup_before = kernel.set_wakeup_fd(self._pipe[1], warn_on_full_buffer=False)
        chosen = [number for number in wanted if number in self._child or kernel.getsignal(number) != kernel.SIG_IGN]
        self._before = {number: kernel.signal(number, self._receive) for number in chosen}

    def _receive(self, number: int, _: Any) -> None:
        if number not in self._child:
            self._received.append((number, number in FROM_KEYS and in_foreground(), None))

    @staticmethod
    def enable_child_signal() -> None:
        """Its handler is installed already."""

    def wait(self, seconds: float) -> tuple[int, bool, tuple[int, int] | None] | None:
        """The next signal; None if none arrived in that time, or if a child changed state."""
        seconds = 0 if self._received else max(0, seconds)
        if self._pipe is None:
            time.sleep(min(seconds, SLICE_S))
        else:
            import select

            if select.select([self._pipe[0]], [], [], seconds)[0]:
                os.read(self._pipe[0], 4096)  # its bytes only wake
        return self._received.pop(0) if self._received else None

    def close(self) -> None:
        """Restore the handlers."""
        for number, handler in self._before.items():
            kernel.signal(number, kernel.SIG_DFL if handler is None else handler)
        self._before.clear()
        if self._pipe is not None:
            kernel.set_wakeup_fd(self._wakeup_before)
            for end in self._pipe:
                os.close(end)
            self._pipe = None
