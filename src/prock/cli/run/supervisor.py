"""The time between a command's start and its report: signals, job control, time limits, and the samples that are due.

A signal from a key (Ctrl-C, Ctrl-\\) has reached the command already, as both are in the foreground process group.
A signal that a process sends to prock is meant for the command, and is sent once to the whole tree.
"""

from __future__ import annotations

import os
import sys
import time

from prock import engine as engines
from prock._compat.namedtuple import NamedTuple
from prock._compat.signals import CONT, TERM, kernel, name, numbers
from prock.errors import ProckError
from prock.report.layout import count

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from typing import Protocol

    from prock.cli.run.status_line import StatusLine
    from prock.runner.result import RunResult
    from prock.runner.session import RunSession
    from prock.runner.terminate import Termination

    class SignalSource(Protocol):
        """Receives signals."""

        @property
        def original(self) -> Iterable[int]:
            """The signal mask for the command."""

        def enable_child_signal(self) -> None: ...

        def wait(self, seconds: float, /) -> tuple[int, bool, tuple[int, int] | None] | None:
            """The number of the next signal, whether the terminal or the kernel sent it, and the pid and user id of the
            process that did, where that is known."""

        def close(self) -> None: ...

    class Outlet(Protocol):
        """Another system that gets figures of a run while it lasts."""

        @property
        def due_ns(self) -> int:
            """When `step` is to be called next."""

        def step(self, session: RunSession, now_ns: int, /) -> None: ...

        def environment(self, entries: list[bytes], /) -> list[bytes]:
            """These entries of the command's environment, and its own; called before each run."""

        def add(self, result: RunResult, /) -> None:
            """A run has ended."""

        def close(self, code: int, problems: Sequence[str], /) -> None:
            """All runs have ended: the exit code, and the budgets and limits that were exceeded, a sentence each."""


FOR_TREE = numbers("SIGINT SIGQUIT SIGTERM SIGHUP")
FOR_ROOT = numbers("SIGUSR1 SIGUSR2")
FOR_PROCK = numbers("SIGCHLD SIGCONT SIGWINCH SIGTSTP")
RESIZED = numbers("SIGWINCH SIGCONT")
KEYS = numbers("SIGINT SIGQUIT")
STOP_KEY = numbers("SIGTSTP")
STOPS = numbers("SIGTSTP SIGTTIN SIGTTOU SIGSTOP")
SAME_NS = 50_000_000
"""timeout(1) and signals to a process group reach prock twice: within this time they count as one."""
MOST_SENDERS = 10
HINT_NS = 1_000_000_000
LINE_NS = 1_000_000_000
"""Commands that end sooner get no status line, and do not pay for its import."""
KEY_REPEAT_NS = 2_000_000_000
"""A Ctrl-C that comes later than this after the last one counts as a first one."""


def open_signals() -> SignalSource:
    wanted = (*FOR_TREE, *FOR_ROOT, *FOR_PROCK)
    if sys.platform == "linux" and engines.active.reads_proc:
        from prock.cli.run.signals_linux import LinuxSignals

        return LinuxSignals(wanted)
    from prock.cli.run.signals_portable import HandlerSignals

    return HandlerSignals(wanted)


class Plan(NamedTuple):
    """When to stop waiting, and what to do then."""

    timeout: float | None = None
    kill_after: float = 2.0
    kill_tree: bool = False
    wait_all: bool = False
    detach: bool = False
    """prock did not start the tree: signals end the measurement and are not sent on."""


class Supervisor:
    """Follows one run to its end."""

    def __init__(
        self,
        session: RunSession,
        signals: SignalSource,
        plan: Plan,
        open_line: Callable[[], StatusLine | None] | None = None,
        outlets: Sequence[Outlet] = (),
    ) -> None:
        self._session = session
        self._signals = signals
        self._plan = plan
        self._line: StatusLine | None = None
        self._open_line = open_line
        """Opens the status line, once the run has lasted long enough."""
        self._line_ns = time.monotonic_ns() + LINE_NS
        self._outlets = outlets
        self._termination: Termination | None = None
        self._received: list[tuple[int, int]] = []
        """Signals that processes sent, with their times."""
        self._presses = 0
        self._pressed_ns = 0
        self._hint: tuple[int, str] | None = None
        self._stopped_with_command = False
        self._timeout_ns = None if plan.timeout is None else time.monotonic_ns() + round(plan.timeout * 1e9)
        self.timed_out = False
        self._is_limited = False
        """Whether the tree was killed as it exceeded a limit."""
        self.interrupted = False
        """Whether Ctrl-C was pressed."""
        self.detached = False
        """Whether prock stopped measuring a tree that goes on."""

    @property
    def end_requested(self) -> bool:
        return bool(self._received) or self.interrupted

    def run(self) -> None:
        session = self._session
        try:
            session.step()
            while not self._is_done():
                self._follow_stop()
                now_ns = time.monotonic_ns()
                received = self._signals.wait((self._due_ns() - now_ns) / 1e9)
                while received is not None:
                    self._handle(*received)
                    received = self._signals.wait(0)
                session.step()
                self._step(time.monotonic_ns())
        finally:
            if self._line is not None:
                self._line.close()

    def drain_signals(self) -> None:
        """Ctrl-C signals one process after the other: the command's end may be noticed before prock's own signal."""
        while (received := self._signals.wait(0)) is not None:
            if received[:2] == (kernel.SIGINT, True):
                self.interrupted = True

    def _is_done(self) -> bool:
        session, plan = self._session, self._plan
        if self.detached:
            return True
        if session.limit_exceeded is not None and not self._is_limited:
            self._is_limited = True
            self._kill(time.monotonic_ns())
        if self._termination is not None:
            return self._termination.is_over()
        if not session.root_ended:
            return False
        if plan.kill_tree and not session.is_over():
            self._terminate(plan.kill_after)
            return False
        return not plan.wait_all or session.is_over()

    def _due_ns(self) -> int:
        due = [self._session.due_ns]
        if self._termination is not None:
            due.append(self._termination.due_ns)
        elif self._timeout_ns is not None:
            due.append(self._timeout_ns)
        if self._hint is not None:
            due.append(self._hint[0])
        if self._line is not None:
            due.append(self._line.due_ns)
        elif self._open_line is not None:
            due.append(self._line_ns)
        return min(due + [outlet.due_ns for outlet in self._outlets])

    def _step(self, now_ns: int) -> None:
        if self._termination is not None:
            self._termination.step(now_ns)
        elif self._timeout_ns is not None and now_ns >= self._timeout_ns and not self._is_done():
            self.timed_out = True
            self._terminate(self._plan.kill_after)
        if self._hint is not None and now_ns >= self._hint[0]:
            _print_note(self._hint[1])
            self._hint = None
        if self._open_line is not None and now_ns >= self._line_ns:
            self._line, self._open_line = self._open_line(), None
        if self._line is not None:
            self._line.step(self._session, now_ns)
        for outlet in self._outlets:
            if now_ns >= outlet.due_ns:
                outlet.step(self._session, now_ns)

    def _handle(self, number: int, from_terminal: bool, sender: tuple[int, int] | None) -> None:
        now_ns = time.monotonic_ns()
        if sender is not None and number in (*FOR_TREE, *FOR_ROOT):
            self._note_sender(number, *sender, now_ns)
        if number in FOR_TREE:
            if self._plan.detach:
                self.detached = True
                self.interrupted = self.interrupted or number == kernel.SIGINT
            elif from_terminal:
                self._handle_key(number, now_ns)
            else:
                self._forward(number, now_ns)
        elif number in FOR_ROOT and not self._plan.detach and not self._session.root_ended:
            os.kill(self._session.pid, number)  # not reaped yet, so the pid cannot have been reused
        elif number in STOP_KEY:
            self._stopped_with_command = False
            if self._plan.detach:
                self._stop()
            elif not from_terminal:
                self._session.signal_tree(number)
        elif number in RESIZED and self._line is not None:
            self._line.resized()

    def _note_sender(self, number: int, pid: int, uid: int, now_ns: int) -> None:
        from prock.results import ReceivedSignal

        session = self._session
        if len(session.received) < MOST_SENDERS:
            try:
                comm = session.engine.comm(pid) if pid else None
            except ProckError:
                comm = None
            session.received.append(ReceivedSignal(number, pid, uid, comm, now_ns - session.began_ns))

    def _forward(self, number: int, now_ns: int) -> None:
        """A signal from a process: the first one is sent to the tree; a second one means that it did not help."""
        recent = [other for other, received_ns in self._received if now_ns - received_ns < SAME_NS]
        is_first = not self._received
        if number in recent:
            return
        self._received.append((number, now_ns))
        if self._termination is not None or not (is_first or recent):
            self._kill(now_ns)
            return
        sent = self._session.signal_tree(number)
        if self._session.stopped_by is not None and CONT is not None:
            self._session.signal_tree(CONT)
        if is_first:
            processes = count(sent, "process", "processes")
            hint = f"{name(number)} sent to {processes}; a second one kills {_them(sent)}"
            self._hint = now_ns + HINT_NS, hint

    def _handle_key(self, number: int, now_ns: int) -> None:
        """A signal from the terminal, which the command has received too: the first time that is enough."""
        self.interrupted = self.interrupted or number == kernel.SIGINT
        if number not in KEYS:
            return
        self._presses = self._presses + 1 if now_ns - self._pressed_ns < KEY_REPEAT_NS else 1
        self._pressed_ns = now_ns
        if self._presses < 2:
            return
        from prock.cli.run.job_control import terminal_edits_lines

        if not terminal_edits_lines():
            return
        if self._presses == 2:
            sent = self._session.signal_tree(TERM)
            _print_note(f"SIGTERM sent to {count(sent, 'process', 'processes')}; once more kills {_them(sent)}")
        else:
            self._kill(now_ns)

    def _terminate(self, kill_after: float, now_ns: int | None = None) -> None:
        from prock.runner.terminate import Termination

        self._termination = Termination(self._session, kill_after, now_ns=now_ns)

    def _kill(self, now_ns: int) -> None:
        self._hint = None
        if self._termination is None:
            self._terminate(0, now_ns)
        else:
            self._termination.kill(now_ns)

    def _follow_stop(self) -> None:
        """Stop when the command has stopped, once for each stop: the shell waits for the whole job to stop."""
        stopped_by = self._session.stopped_by
        if stopped_by is None or self._plan.detach or self._termination is not None:
            self._stopped_with_command = False
        elif stopped_by in STOPS and not self._stopped_with_command:
            from prock.cli.run.job_control import is_foreground_job

            if is_foreground_job():
                self._stopped_with_command = True
                self._stop()

    def _stop(self) -> None:
        from prock.cli.run.job_control import stop_self

        if self._line is not None:
            self._line.hide()
        stop_self()


def _them(number: int) -> str:
    return "it" if number == 1 else "them"


def _print_note(message: str) -> None:
    from prock.cli.output import write_error

    write_error(f"prock: {message}\n")
