"""Reads the proportional set size (PSS) of a tree's members, a few in each sample."""

from __future__ import annotations

import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from prock.engine.protocol import Engine

PSS_EVERY_NS = 10_000_000_000
"""Age at which the PSS of a member is read again."""
PSS_SHARE = 50
"""All readings take at most one 50th of the time, as each holds a lock of its process."""


class PssReader:
    """The PSS of each member of one tree, as last read."""

    def __init__(self) -> None:
        self._known: dict[int, tuple[int | None, int]] = {}
        """Bytes and time of the reading, by pid. None: access denied; read again only after the others."""
        self._allowance_ns = PSS_EVERY_NS // PSS_SHARE

    def read(self, engine: Engine, pids: list[int], now_ns: int, elapsed_ns: int) -> None:
        """Read the members that are due, oldest reading first, within the allowed time."""
        self._allowance_ns = min(self._allowance_ns + elapsed_ns // PSS_SHARE, PSS_EVERY_NS // PSS_SHARE)
        if self._allowance_ns <= 0:
            return
        known = self._known
        due = [pid for pid in pids if pid not in known or now_ns - known[pid][1] >= PSS_EVERY_NS]
        due.sort(key=lambda pid: known[pid][1] if pid in known else -1)
        began_ns = time.monotonic_ns()
        for pid, pss in zip(due, engine.pss(due, began_ns + self._allowance_ns), strict=False):
            known[pid] = (pss, now_ns)
        self._allowance_ns -= time.monotonic_ns() - began_ns

    def forget(self, pids: list[int]) -> None:
        """Drop the readings of members that have ended."""
        for pid in pids:
            self._known.pop(pid, None)

    @property
    def bytes_of(self) -> dict[int, int]:
        """PSS in bytes by pid, of the members that could be read."""
        return {pid: pss for pid, (pss, _) in self._known.items() if pss is not None}

    def oldest_ns(self, now_ns: int) -> int | None:
        """Age of the oldest reading."""
        return max((now_ns - at_ns for pss, at_ns in self._known.values() if pss is not None), default=None)
