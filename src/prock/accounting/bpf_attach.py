"""`BpfClock`: the CPU time of a tree that runs already, by eBPF records of each process that ends.

What ended counts as the kernel freed it, the work of ending included; what lives, and zombies, by their CPU clocks. A
child of a member is a member in the kernel, so that orphans, children that are not reaped, and programs with other
privileges count as well. Source: `prock.engine.bpf`.
"""

from __future__ import annotations

import time

from prock._compat import fork
from prock.engine.bpf.records import ProcessRecords
from prock.errors import NoSuchProcess

TYPE_CHECKING = False
if TYPE_CHECKING:
    from prock.engine.protocol import Engine

NEVER_NS = 1 << 62
FREED_S = 0.2
"""Longest wait, once the tree has ended, for the kernel to free its last processes, some milliseconds later."""


class BpfClock:
    """As `prock.accounting.perf_attach.TaskClocks`, for one tree. Cost: 40 ms to load, a few µs a process that ended.

    Raises `prock.engine.bpf.Unavailable` and `NoSuchProcess`.
    """

    source = "bpf"
    descriptors = 0
    """They are not part of the budget of cached ones."""

    def __init__(self, root: int, engine: Engine) -> None:
        self._engine = engine
        self._ended_ns = self._most_ns = 0
        self._last: dict[int, int] = {}
        """What the clocks of members were."""
        self._is_closed = False
        self.missed = 0
        """Events and members that were lost: the total lacks them."""
        self._records = ProcessRecords(everything=False, arguments=False)
        fork.register(self)
        if not self._records.add_tree(root, 1):
            self.close()
            raise NoSuchProcess(root)

    def total_ns(self) -> int:
        """CPU time of the tree, including what members used before they were added. Never decreases."""
        if self._is_closed:
            raise ValueError("this clock is closed, or belongs to the process that this one was forked from")
        self._read()
        deadline = time.monotonic() + FREED_S
        while not self._records.running and self._gone() and time.monotonic() < deadline:
            self._records.wait(0.005)
            self._read()
        self._most_ns = max(self._most_ns, self._ended_ns + sum(self._last.values()))
        return self._most_ns

    def _read(self) -> None:
        self._ended_ns += sum(ended.cpu_ns or 0 for ended in self._records.read(unreaped_ns=NEVER_NS))
        self.missed = sum(self._records.losses())
        before, self._last = self._last, {}
        for pid in self._records.members():
            cpu = self._engine.cpu_time(pid)
            self._last[pid] = before.get(pid, 0) if cpu is None else cpu.total_ns

    def _gone(self) -> bool:
        """Whether a member has been reaped, and its record has not arrived yet."""
        return any(self._engine.cpu_time(pid) is None for pid in self._last)

    def close(self) -> None:
        """Stop counting. Idempotent."""
        self._is_closed = True
        self._records.close()

    def after_fork(self) -> None:
        """Close the copies in the child, which would keep the programs loaded."""
        self.close()
