"""Reads the proportional set sizes (PSS) of a tree's members, a few at a time."""

from __future__ import annotations

import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from prock.engine.protocol import Engine

PSS_EVERY_NS = 10_000_000_000
"""How old a member's share of memory gets before it is read again ..."""
PSS_SHARE = 50
"""... and the part of the time (one 50th) that all such readings may take, as they hold a lock of who is read."""


class PssReader:
    """Proportional shares of memory (PSS) of one tree's members, read slowly."""

    def __init__(self) -> None:
        self._known: dict[int, tuple[int | None, int]] = {}
        """Of pids: bytes, and when they were read. None: refused, and not to be asked at once again, before others."""
        self._allowance_ns = PSS_EVERY_NS // PSS_SHARE

    def read(self, engine: Engine, pids: list[int], now_ns: int, elapsed_ns: int) -> None:
        """Those that are due, the oldest first, as far as their part of the time goes."""
        self._allowance_ns = min(self._allowance_ns + elapsed_ns // PSS_SHARE, PSS_EVERY_NS // PSS_SHARE)
        if self._allowance_ns <= 0:
            return
        known = self._known
        due = [pid for pid in pids if pid not in known or now_ns - known[pid][1] >= PSS_EVERY_NS]
        due.sort(key=lambda pid: known[pid][1] if pid in known else -1)
        began_ns = time.monotonic_ns()
        for pid, share in zip(due, engine.pss(due, began_ns + self._allowance_ns), strict=False):
            known[pid] = (share, now_ns)
        self._allowance_ns -= time.monotonic_ns() - began_ns

    def forget(self, pids: list[int]) -> None:
        for pid in pids:
            self._known.pop(pid, None)

    @property
    def bytes_of(self) -> dict[int, int]:
        return {pid: share for pid, (share, _) in self._known.items() if share is not None}

    def oldest_ns(self, now_ns: int) -> int | None:
        return max((now_ns - at_ns for share, at_ns in self._known.values() if share is not None), default=None)
