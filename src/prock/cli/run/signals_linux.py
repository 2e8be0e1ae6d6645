"""Signals to ``prock run`` and ``attach`` on systems without sigtimedwait(2) (macOS, Windows): by handlers of Python's.

A handler is not told who sent a signal. So what a terminal sends as well (Ctrl-C, Ctrl-\\, Ctrl-Z) is taken to be from
the terminal while prock stands in front of one: the command has got it, too.
"""

from __future__ import annotations

import os
import sys
import time

from prock._compat.namedtuple import NamedTuple
from prock._compat.signals import kernel, numbers
from prock.cli.run.supervisor import is_in_front

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

SLICE_S = 0.01
"""Between two looks for what was heard, where there is nothing to wait for: on Windows."""
FROM_KEYS = numbers("SIGINT SIGQUIT SIGTSTP")


class Heard(NamedTuple):
    """As `signal.struct_siginfo`, as far as it is known."""

    si_signo: int
    si_code: int
    """More than 0: from the terminal, or from the kernel."""


class HeardSignals:
    """While it is open, signals wait to be asked for; those that prock was started to ignore stay ignored."""

    original: tuple[int, ...] = ()
    """No signal is blocked for the command."""

    def __init__(self, wanted: tuple[int, ...]) -> None:
        self._heard: list[Heard] = []
        self._child = numbers("SIGCHLD")
        self._pipe: tuple[int, int] | None = None
        self._woke_before = -1
        if sys.platform != "win32":
            self._pipe = os.pipe()
            for end in self._pipe:
                os.set_blocking(end, False)
            self._woke_before = kernel.set_wakeup_fd(self._pipe[1], warn_on_full_buffer=False)
        chosen = [number for number in wanted if number in self._child or kernel.getsignal(number) != kernel.SIG_IGN]
        self._before = {number: kernel.signal(number, self._note) for number in chosen}

    def _note(self, number: int, _: Any) -> None:
        if number not in self._child:
            self._heard.append(Heard(number, int(number in FROM_KEYS and is_in_front())))

    @staticmethod
    def hear_of_children() -> None:
        """A handler is there already."""

    def wait(self, seconds: float) -> Heard | None:
        """The next one; None where there is none in that time, or a child has changed."""
        if not self._heard and seconds > 0:
            self._sleep(seconds)
        self._drain()
        return self._heard.pop(0) if self._heard else None

    def _sleep(self, seconds: float) -> None:
        if self._pipe is not None:
            import select

            select.select([self._pipe[0]], [], [], seconds)
            return
        time.sleep(min(seconds, SLICE_S))

    def _drain(self) -> None:
        """It is there to wake, and says nothing."""
        try:
            while self._pipe is not None and os.read(self._pipe[0], 4096):
                pass
        except BlockingIOError:
            pass

    def close(self) -> None:
        """Whoever heard them before hears them again."""
        for number, handler in self._before.items():
            kernel.signal(number, kernel.SIG_DFL if handler is None else handler)
        self._before.clear()
        if self._pipe is not None:
            kernel.set_wakeup_fd(self._woke_before)
            for end in self._pipe:
                os.close(end)
            self._pipe = None
