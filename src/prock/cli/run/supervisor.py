"""The time between a command's start and its report: signals, stops, time limits, and the looks that are due.

What the terminal sends (Ctrl-C, Ctrl-\\) has gone to the command already: both stand in the foreground process group.
What a process sends to prock is meant for the command, and goes to all of its tree, once.
"""

from __future__ import annotations

import os
import sys
import time

from prock import engine as engines
from prock._compat.namedtuple import NamedTuple
from prock._compat.signals import CONT, TERM, kernel, name, numbers
from prock.runner.terminate import Termination

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Protocol

    from prock.runner.session import RunSession

    class SignalInfo(Protocol):
        """A signal."""

        @property
        def si_signo(self) -> int: ...

        @property
        def si_code(self) -> int: ...

    class SignalSource(Protocol):
        """What waits for signals."""

        @property
        def original(self) -> Iterable[int]:
            """The mask that the command is to have."""

        def hear_of_children(self) -> None: ...

        def wait(self, seconds: float, /) -> SignalInfo | None: ...

        def close(self) -> None: ...

    class Line(Protocol):
        """A live status line."""

        due_ns: int

        def step(self, running: RunSession, now_ns: int, /) -> None: ...

        def hide(self) -> None: ...

        def resized(self) -> None: ...

        def close(self) -> None: ...


FOR_THE_TREE = numbers("SIGINT SIGQUIT SIGTERM SIGHUP")
FOR_THE_ROOT = numbers("SIGUSR1 SIGUSR2")
FOR_US = numbers("SIGCHLD SIGCONT SIGWINCH SIGTSTP")
RESIZED = numbers("SIGWINCH SIGCONT")
KEYS = numbers("SIGINT SIGQUIT")
STOP_KEY = numbers("SIGTSTP")
SAME_NS = 50_000_000
"""timeout(1) and group kills reach prock twice with what is meant once."""
HINT_NS = 1_000_000_000
LINE_NS = 1_000_000_000
"""Commands that end sooner flicker nothing, and don't pay for a status line."""
PATIENCE_NS = 2_000_000_000
"""A Ctrl-C that comes later than this after the last is a first one again."""
STOPS = numbers("SIGTSTP SIGTTIN SIGTTOU SIGSTOP")


def open_signals() -> SignalSource:
    """What waits for signals as this system lets it."""
    wanted = (*FOR_THE_TREE, *FOR_THE_ROOT, *FOR_US)
    if sys.platform == "linux" and engines.active.name != "portable":
        return Signals(wanted)
    from prock.cli.run.signals_linux import HeardSignals

    return HeardSignals(wanted)


if sys.platform == "linux":

    class Signals:
        """While it is open, signals wait to be asked for; those that prock was started to ignore stay so. Of Linux."""

        def __init__(self, wanted: tuple[int, ...]) -> None:
            self.numbers = [number for number in wanted if kernel.getsignal(number) != kernel.SIG_IGN]
            if kernel.SIGCHLD not in self.numbers:
                self.numbers.append(kernel.SIGCHLD)
            self.original = kernel.pthread_sigmask(kernel.SIG_BLOCK, self.numbers)
            """The mask that the command is to have."""

        @staticmethod
        def hear_of_children() -> None:
            """Where SIGCHLD is ignored nobody is waited for. To be called when the command has inherited that."""
            if kernel.getsignal(kernel.SIGCHLD) == kernel.SIG_IGN:
                kernel.signal(kernel.SIGCHLD, kernel.SIG_DFL)

        def wait(self, seconds: float) -> SignalInfo | None:
            return kernel.sigtimedwait(self.numbers, max(0.0, seconds))

        def close(self) -> None:
            """Forget what came too late, so that it does not end prock in place of its exit code."""
            while self.wait(0):
                pass
            kernel.pthread_sigmask(kernel.SIG_SETMASK, self.original)


class Plan(NamedTuple):
    """How long to stay, and what to do then."""

    timeout: float | None = None
    kill_after: float = 2.0
    kill_tree: bool = False
    wait_all: bool = False
    detach: bool = False
    """The tree is not prock's: signals end the account, and nothing else."""


class Supervisor:
    """Follows one run to its end."""

    def __init__(
        self,
        running: RunSession,
        signals: SignalSource,
        plan: Plan,
        open_line: Callable[[], Line | None] | None = None,
    ) -> None:
        self._running = running
        self._signals = signals
        self._plan = plan
        self._line: Line | None = None
        self._open_line = open_line
        """How to get one, once the run has lasted long enough for it."""
        self._line_ns = time.monotonic_ns() + LINE_NS
        self._ending: Termination | None = None
        self._asked_ns: list[tuple[int, int]] = []
        """Signals from processes, and when they came."""
        self._pressed = 0
        self._pressed_ns = 0
        self._hint: tuple[int, str] | None = None
        self._stopped_with_it = False
        self._timeout_ns = None if plan.timeout is None else time.monotonic_ns() + round(plan.timeout * 1e9)
        self.timed_out = False
        self.interrupted = False
        """Whether somebody pressed Ctrl-C."""
        self.left = False
        """Whether prock was asked to let go of a tree that is not its own."""

    @property
    def was_asked_to_end(self) -> bool:
        return bool(self._asked_ns) or self.interrupted

    def run(self) -> None:
        running = self._running
        try:
            running.step()
            while not self._is_done():
                self._look_at_stops()
                now_ns = time.monotonic_ns()
                info = self._signals.wait((self._due_ns() - now_ns) / 1e9)
                while info is not None:
                    self._hear(info)
                    info = self._signals.wait(0)
                running.step()
                self._step(time.monotonic_ns())
        finally:
            if self._line is not None:
                self._line.close()

    def hear_the_rest(self) -> None:
        """Ctrl-C goes to the processes one after the other: the command's end may be noticed first."""
        while (info := self._signals.wait(0)) is not None:
            if info.si_signo == kernel.SIGINT and info.si_code > 0:
                self.interrupted = True

    def _is_done(self) -> bool:
        running, plan = self._running, self._plan
        if self.left:
            return True
        if self._ending is not None:
            return self._ending.is_over
        if not running.root_ended:
            return False
        if plan.kill_tree and not running.is_over:
            self._ending = Termination(running, plan.kill_after)
            return False
        return not plan.wait_all or running.is_over

    def _due_ns(self) -> int:
        due = [self._running.due_ns]
        if self._ending is not None:
            due.append(self._ending.due_ns)
        elif self._timeout_ns is not None:
            due.append(self._timeout_ns)
        if self._hint is not None:
            due.append(self._hint[0])
        if self._line is not None:
            due.append(self._line.due_ns)
        elif self._open_line is not None:
            due.append(self._line_ns)
        return min(due)

    def _step(self, now_ns: int) -> None:
        if self._ending is not None:
            self._ending.step(now_ns)
        elif self._timeout_ns is not None and now_ns >= self._timeout_ns and not self._is_done():
            self.timed_out = True
            if self._plan.detach:
                self.left = True
            else:
                self._ending = Termination(self._running, self._plan.kill_after)
        if self._hint is not None and now_ns >= self._hint[0]:
            _say(self._hint[1])
            self._hint = None
        if self._open_line is not None and now_ns >= self._line_ns:
            self._line, self._open_line = self._open_line(), None
        if self._line is not None:
            self._line.step(self._running, now_ns)

    def _hear(self, info: SignalInfo) -> None:
        number, now_ns = info.si_signo, time.monotonic_ns()
        from_terminal = info.si_code > 0
        if number in FOR_THE_TREE:
            if self._plan.detach:
                self.left = True
                self.interrupted = self.interrupted or number == kernel.SIGINT
            elif from_terminal:
                self._key(number, now_ns)
            else:
                self._asked(number, now_ns)
        elif number in FOR_THE_ROOT and not self._plan.detach and not self._running.root_ended:
            os.kill(self._running.pid, number)  # it was not reaped, so that this is it
        elif number in STOP_KEY:
            self._stopped_with_it = False
            if self._plan.detach:
                self._stop()
            elif not from_terminal:
                self._running.signal_tree(number)
        elif number in RESIZED and self._line is not None:
            self._line.resized()

    def _asked(self, number: int, now_ns: int) -> None:
        """By a process. The first signal is passed on; a second one says that it did not help."""
        recent = [other for other, asked_ns in self._asked_ns if now_ns - asked_ns < SAME_NS]
        is_first = not self._asked_ns
        if number in recent:
            return
        self._asked_ns.append((number, now_ns))
        if self._ending is not None or not (is_first or recent):
            self._kill(now_ns)
            return
        count = self._running.signal_tree(number)
        if self._running.stopped_by is not None and CONT is not None:
            self._running.signal_tree(CONT)
        if is_first:
            said = f"{name(number)} sent to {_processes(count)}; a second one kills {_them(count)}"
            self._hint = now_ns + HINT_NS, said

    def _key(self, number: int, now_ns: int) -> None:
        """From the terminal, which has sent it to the command as well: the first time that is enough."""
        self.interrupted = self.interrupted or number == kernel.SIGINT
        if number not in KEYS:
            return
        self._pressed = self._pressed + 1 if now_ns - self._pressed_ns < PATIENCE_NS else 1
        self._pressed_ns = now_ns
        if self._pressed == 2 and _terminal_edits_lines():
            count = self._running.signal_tree(TERM)
            _say(f"SIGTERM sent to {_processes(count)}; once more kills {_them(count)}")
        elif self._pressed > 2 and _terminal_edits_lines():
            self._kill(now_ns)

    def _kill(self, now_ns: int) -> None:
        self._hint = None
        if self._ending is None:
            self._ending = Termination(self._running, 0, now_ns=now_ns)
        else:
            self._ending.kill(now_ns)

    def _look_at_stops(self) -> None:
        """A shell that has a job waits for all of it to stop: stop with the command, once for each stop."""
        stopped_by = self._running.stopped_by
        if stopped_by is None or self._plan.detach:
            self._stopped_with_it = False
        elif stopped_by in STOPS and not self._stopped_with_it and _is_job_in_foreground():
            self._stopped_with_it = True
            self._stop()

    def _stop(self) -> None:
        if self._line is not None:
            self._line.hide()
        _stop_self()


def _stop_self() -> None:
    if sys.platform != "win32":
        os.kill(os.getpid(), kernel.SIGSTOP)


def _is_job_in_foreground() -> bool:
    """Whether a shell with job control has put prock in front of its terminal, and wakes it when it is to go on.

    Below a script it must not stop: whoever continues the command then does not know of prock.
    """
    if sys.platform == "win32":
        return False
    try:
        shell = os.getppid()
        if os.getpgid(shell) == os.getpgrp() or os.getsid(shell) != os.getsid(0):
            return False
    except OSError:
        return False
    return is_in_front()


def is_in_front() -> bool:
    """Whether a terminal's keys go to this process."""
    if sys.platform == "win32":
        return True
    try:
        terminal = os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY)
    except OSError:
        return False
    try:
        return os.tcgetpgrp(terminal) == os.getpgrp()
    except OSError:
        return False
    finally:
        os.close(terminal)


def _terminal_edits_lines() -> bool:
    """Whether nobody on the terminal edits lines by itself, to whom Ctrl-C is but a key."""
    if sys.platform == "win32":
        return True
    try:
        import termios

        terminal = os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY)
        try:
            return bool(termios.tcgetattr(terminal)[3] & termios.ICANON)
        finally:
            os.close(terminal)
    except (ImportError, OSError, termios.error):
        return False


def _processes(number: int) -> str:
    return "1 process" if number == 1 else f"{number} processes"


def _them(number: int) -> str:
    return "it" if number == 1 else "them"


def _say(message: str) -> None:
    from prock.cli.output import write_error

    if sys.stderr is not None:
        write_error(f"prock: {message}\n")
