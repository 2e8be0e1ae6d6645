"""When the samples of a loop are due."""

from __future__ import annotations

LONGEST_INTERVAL_S = 1e6


class Deadlines:
    """When samples are due, on a grid that never moves.

    >>> deadlines = Deadlines(1.0, now_ns=0)
    >>> deadlines.due_ns, deadlines.take(now_ns=1_200_000_000)
    (1000000000, (1000000000, 0))
    >>> deadlines.take(now_ns=5_700_000_000)
    (5000000000, 3)
    >>> deadlines.due_ns
    6000000000
    """

    def __init__(self, interval: float, now_ns: int) -> None:
        if not 0 < interval <= LONGEST_INTERVAL_S:  # false for nan, too
            raise ValueError(
                f"{interval!r} is no interval: give seconds, more than 0 and at most {LONGEST_INTERVAL_S:.0f}"
            )
        self._interval_ns = max(1, round(interval * 1e9))
        self.due_ns = now_ns + self._interval_ns

    def take(self, now_ns: int) -> tuple[int, int]:
        """The latest deadline that has come, and how many before it were missed."""
        skipped = max(0, (now_ns - self.due_ns) // self._interval_ns)
        due_ns = self.due_ns + skipped * self._interval_ns
        self.due_ns = due_ns + self._interval_ns
        return due_ns, skipped

    def remaining(self, now_ns: int) -> float:
        """Seconds until the next one."""
        return max(0.0, (self.due_ns - now_ns) / 1e9)
