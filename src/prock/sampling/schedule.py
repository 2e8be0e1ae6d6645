"""When the samples of a loop are due."""

from __future__ import annotations

from prock.errors import check_interval


class Deadlines:
    """Deadlines on a fixed grid: a deadline that was missed is skipped and counted, never caught up.

    - `interval`: seconds between two deadlines.
    - `now_ns`: monotonic nanoseconds; the first deadline is one interval later.

    Raises as `prock.errors.check_interval`.

    >>> deadlines = Deadlines(1.0, now_ns=0)
    >>> deadlines.due_ns, deadlines.advance(now_ns=1_200_000_000)
    (1000000000, (1000000000, 0))
    >>> deadlines.advance(now_ns=5_700_000_000)
    (5000000000, 3)
    >>> deadlines.due_ns
    6000000000
    """

    def __init__(self, interval: float, now_ns: int) -> None:
        check_interval(interval)
        self._interval_ns = max(1, round(interval * 1e9))
        self.due_ns = now_ns + self._interval_ns

    def advance(self, now_ns: int) -> tuple[int, int]:
        """The latest deadline that has passed, and how many were missed before it. Moves on to the next one."""
        skipped = max(0, (now_ns - self.due_ns) // self._interval_ns)
        due_ns = self.due_ns + skipped * self._interval_ns
        self.due_ns = due_ns + self._interval_ns
        return due_ns, skipped

    def remaining(self, now_ns: int) -> float:
        """Seconds until the next deadline; 0 if it has passed."""
        return max(0.0, (self.due_ns - now_ns) / 1e9)
