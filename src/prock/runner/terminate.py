"""How a tree is brought to its end: SIGTERM to all of it, after a grace SIGKILL, again until nothing is left."""

from __future__ import annotations

import time

from prock._compat.signals import CONT, KILL, TERM

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Protocol

    class Terminable(Protocol):
        """A `RunSession`, as far as this has to know it."""

        due_ns: int

        @property
        def is_over(self) -> bool: ...

        def step(self) -> None: ...

        def signal_tree(self, number: int, /) -> int: ...


KILL_AGAIN_NS = 50_000_000
"""Who forks while the signals go around leaves a child that got none."""
GIVE_UP_NS = 5_000_000_000
"""After the first SIGKILL. Who is left then hangs in the kernel, and dies when that lets go of it."""
LONGEST_SLEEP_NS = 10_000_000


class Termination:
    """The sequence, for a loop that also has other things to do: call `step` at `due_ns`, until `is_over`."""

    def __init__(self, running: Terminable, grace_s: float, *, now_ns: int | None = None) -> None:
        now_ns = time.monotonic_ns() if now_ns is None else now_ns
        self._running = running
        self._kill_ns: int | None = None
        """When the first SIGKILL was sent."""
        self._gave_up = False
        self.told = 0
        """How many got a SIGTERM."""
        self.due_ns = now_ns + round(grace_s * 1e9)
        if grace_s > 0:
            self.told = running.signal_tree(TERM)
            if CONT is not None:
                running.signal_tree(CONT)  # who is stopped would not hear of it
        else:
            self.kill(now_ns)

    @property
    def is_over(self) -> bool:
        """Whether nothing is left, or nothing can be done about what is."""
        return self._running.is_over or self._gave_up

    def step(self, now_ns: int) -> None:
        if now_ns >= self.due_ns and not self.is_over:
            self.kill(now_ns)

    def kill(self, now_ns: int) -> None:
        """Without further grace."""
        if self._kill_ns is None:
            self._kill_ns = now_ns
        self._running.signal_tree(KILL)
        self.due_ns = now_ns + KILL_AGAIN_NS
        self._gave_up = now_ns - self._kill_ns > GIVE_UP_NS


def end_tree(running: Terminable, grace_s: float) -> bool:
    """The whole sequence; answers whether nothing is left."""
    ending = Termination(running, grace_s)
    while not ending.is_over:
        now_ns = time.monotonic_ns()
        wait_ns = min(running.due_ns, ending.due_ns, now_ns + LONGEST_SLEEP_NS) - now_ns
        time.sleep(max(0, wait_ns) / 1e9)
        running.step()
        ending.step(time.monotonic_ns())
    return running.is_over
