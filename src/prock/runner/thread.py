"""`SessionThread`: a background thread that drives a run, for callers without an event loop."""

from __future__ import annotations

import os
import select
import sys
import threading
import time

from prock._compat.signals import all_blocked
from prock.runner.build_result import finish
from prock.runner.terminate import end_tree

TYPE_CHECKING = False
if TYPE_CHECKING:
    from prock.runner.result import RunResult
    from prock.runner.session import RunSession
    from prock.sampling.sample import TreeSample

POLL_S = 0.02
"""Longest time between two checks for the end of the root where the kernel has no pidfd (before Linux 5.3, a sandbox,
or another system)."""
FIRST_POLL_S = 0.0005
"""The first one; then twice that, and so on, so that short commands are not delayed."""
CTRL_C_S = 0.1
"""On Windows Ctrl-C does not interrupt a thread that waits for an event."""


def wait_for(event: threading.Event, timeout: float | None) -> bool:
    """Wait for an event so that Ctrl-C interrupts it on every system. Returns whether it was set."""
    if sys.platform != "win32":
        return event.wait(timeout)
    deadline = None if timeout is None else time.monotonic() + timeout
    while not event.is_set():
        left = CTRL_C_S if deadline is None else min(CTRL_C_S, deadline - time.monotonic())
        if left <= 0:
            return False
        event.wait(left)
    return True


class SessionThread:
    """Drives a `RunSession`. Keeps no reference to the `Popen`, which may be garbage-collected before."""

    def __init__(self, session: RunSession, *, whole_tree: bool, hold: bool) -> None:
        self._owner = os.getpid()
        self._session = session
        self._whole_tree = whole_tree
        self.hold = hold
        self._lock = threading.RLock()
        self._result: RunResult | None = None
        self._failure: BaseException | None = None
        self._timed_out = False
        self._is_closing = False
        """Set under the lock: from then on the session is not used by other threads."""
        self.returncode = 0
        self.root_ended, self.is_closed, self._wake = threading.Event(), threading.Event(), threading.Event()
        self._poll_s = FIRST_POLL_S
        self.thread = threading.Thread(target=self._run, name="prock-run", daemon=True)
        with all_blocked():
            self.thread.start()

    @property
    def is_forked(self) -> bool:
        """Whether this is a fork of the process that started the command: without the thread, and not its parent."""
        return os.getpid() != self._owner

    def _run(self) -> None:
        try:
            while not self._is_done():
                self._sleep()
            with self._lock:
                self._is_closing = True
                self._result = finish(self._session, timed_out=self._timed_out, whole_tree=self._whole_tree)
        except BaseException as error:  # raised by result()
            with self._lock:
                self._is_closing = True
                self._failure = error
                self._session.close()
        finally:
            if self._session.options.recorder is not None:
                self._session.options.recorder.close()
            self._note_root()
            self.root_ended.set()
            self.is_closed.set()

    def _is_done(self) -> bool:
        with self._lock:
            self._session.step()
            if self._session.limit_exceeded is not None:
                end_tree(self._session, 0)
            if not self._session.root_ended:
                return False
            self._note_root()
            return not self.hold and (not self._whole_tree or self._session.is_over())

    def _sleep(self) -> None:
        wait_s = max(0.0, (self._session.due_ns - time.monotonic_ns()) / 1e9)
        pidfd = -1 if self._session.waiter is None else self._session.waiter.pidfd
        if self.root_ended.is_set() or pidfd < 0 or sys.platform == "win32":
            self._wake.wait(min(wait_s, self._poll_s))
            self._poll_s = min(2 * self._poll_s, POLL_S)
            self._wake.clear()
            return
        poll = select.poll()
        poll.register(pidfd, select.POLLIN)
        poll.poll(1000 * wait_s + 1)

    def _note_root(self) -> None:
        waiter = self._session.waiter
        if waiter is not None and waiter.root is not None and not self.root_ended.is_set():
            self.returncode = waiter.root.returncode
            self.root_ended.set()

    def send_signal(self, number: int) -> None:
        """To the root alone; does nothing once it has ended."""
        if self._session.waiter is not None:
            self._session.waiter.send(number)

    def release(self) -> None:
        """Let the session end."""
        self.hold = False
        self._wake.set()

    def poll(self) -> int | None:
        if not self.root_ended.is_set() and self._lock.acquire(blocking=False):
            try:
                if not self._is_closing:
                    self._session.step()
                    self._note_root()
            finally:
                self._lock.release()
        return self.returncode if self.root_ended.is_set() else None

    def sample(self) -> TreeSample | None:
        with self._lock:
            return None if self._is_closing else self._session.sample()

    def signal_tree(self, number: int) -> int:
        with self._lock:
            return 0 if self._is_closing else self._session.signal_tree(number)

    def end_tree(self, kill_after: float, timed_out: bool) -> bool:
        with self._lock:
            if self._is_closing:
                return not (self._result is not None and self._result.survivors)
            self._timed_out = self._timed_out or timed_out
            return end_tree(self._session, kill_after)

    def result(self) -> RunResult:
        if self._result is None:
            raise self._failure or RuntimeError("the run has no result yet")
        return self._result
