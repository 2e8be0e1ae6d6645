"""`Termination`: end a tree by SIGTERM, after a grace period by SIGKILL, repeated until no process is left.

Each killed process lets a tree that forks as fast as it can fork once more. So what survives one SIGKILL is stopped
first: stopped processes do not fork, and use up the limit of processes.
"""

from __future__ import annotations

import time

from prock._compat.signals import CONT, KILL, TERM, numbers

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Protocol

    class Terminable(Protocol):
        """The part of `RunSession` that is used here."""

        due_ns: int

        def is_over(self) -> bool: ...

        def step(self) -> None: ...

        def signal_tree(self, number: int, /) -> int: ...


KILL_AGAIN_NS = 50_000_000
"""A process that forks during signalling leaves an unsignalled child, so signal again."""
GIVE_UP_NS = 5_000_000_000
"""While each SIGKILL reaches as many processes as before: they are blocked in the kernel."""
STOP = numbers("SIGSTOP")
LONGEST_SLEEP_NS = 10_000_000


class Termination:
    """For a loop that also does other things: call `step` at `due_ns` until `is_over`."""

    def __init__(self, session: Terminable, grace_s: float, *, now_ns: int | None = None) -> None:
        now_ns = time.monotonic_ns() if now_ns is None else now_ns
        self._session = session
        self._left: int | None = None
        """To how many processes the latest SIGKILL was sent."""
        self._changed_ns = now_ns
        """When that number changed."""
        self._gave_up = False
        self.due_ns = now_ns + round(grace_s * 1e9)
        if grace_s > 0:
            session.signal_tree(TERM)
            if CONT is not None:
                session.signal_tree(CONT)  # stopped processes handle SIGTERM only when they continue
        else:
            self.kill(now_ns)

    def is_over(self) -> bool:
        """Whether no process is left, or SIGKILL had no effect for `GIVE_UP_NS`."""
        return self._gave_up or self._session.is_over()

    def step(self, now_ns: int) -> None:
        if now_ns >= self.due_ns and not self.is_over():
            self.kill(now_ns)

    def kill(self, now_ns: int) -> None:
        """Without further grace."""
        if self._left is not None:
            self._stop_all()
        left, before = self._session.signal_tree(KILL), self._left
        if left != before:
            self._left, self._changed_ns = left, now_ns
        self.due_ns = now_ns + KILL_AGAIN_NS
        self._gave_up = now_ns - self._changed_ns > GIVE_UP_NS

    def _stop_all(self) -> None:
        """Until a pass finds no further process: a stopped one that is missing has ended meanwhile."""
        stopped = -1
        for number in STOP:
            while (found := self._session.signal_tree(number)) > stopped:
                stopped = found


def end_tree(session: Terminable, grace_s: float) -> bool:
    """Terminate the tree and wait for its end. Returns whether no process is left."""
    termination = Termination(session, grace_s)
    while not termination.is_over():
        now_ns = time.monotonic_ns()
        wait_ns = min(session.due_ns, termination.due_ns, now_ns + LONGEST_SLEEP_NS) - now_ns
        time.sleep(max(0, wait_ns) / 1e9)
        session.step()
        termination.step(time.monotonic_ns())
    return session.is_over()
