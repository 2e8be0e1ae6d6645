"""Follow one tree: the door to `prock.sampling.forest` for who has one."""

from __future__ import annotations

import time

from prock.model import Identity
from prock.sampling.forest import Forest
from prock.sampling.sample import TreeSample

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from prock.engine.protocol import Engine


class TreeSampler:
    """Follow one tree. Taking a baseline is part of making it, so the first sample has an interval like all others.

    `memory`, `io`: read resident sets and I/O counters too. `pss`: and proportional shares, slowly: each at most every
    ten seconds, and all together in at most a 50th of the time. `accounting`: ``ledger``, or ``perf`` for totals that
    miss nobody, or ``auto`` for the best that this machine allows.

    None is the calling process. Raises `NoSuchProcess`, `AccessDenied`, and for what can't be a pid `ValueError` or
    `TypeError`. One member that refuses does not sink the tree: it is counted as `TreeTotals.denied`.
    Threads may share it: one waits for the other. A forked child can't use it. Cost: see `Forest.sample`.

    >>> with TreeSampler() as sampler:
    ...     total = sum(i * i for i in range(1_000_000))
    ...     sampler.sample().cpu_ns > 0
    True
    """

    def __init__(
        self,
        root: int | None = None,
        *,
        memory: bool = True,
        io: bool = False,
        pss: bool = False,
        accounting: str = "auto",
        engine: Engine | None = None,
        clock: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        self._forest = Forest(memory=memory, io=io, pss=pss, accounting=accounting, engine=engine, clock=clock)
        try:
            self._forest.add(root)
        except BaseException:
            self._forest.close()
            raise
        (self.root_pid,) = self._forest.roots
        self._tree = self._forest.tree(self.root_pid)

    @property
    def root(self) -> Identity:
        return self._tree.root

    @property
    def root_lives(self) -> bool:
        """Whether the root had not ended yet in the last sample."""
        return self._tree.root_lives

    def __enter__(self) -> TreeSampler:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def sample(self, *, due_ns: int | None = None, skipped: int = 0) -> TreeSample:
        """The tree now. `due_ns`, `skipped`: for `TreeTotals.late_ns` and `TreeTotals.skipped`."""
        return self._forest.sample(due_ns=due_ns, skipped=skipped)[self.root_pid]

    def close(self) -> None:
        """Give back all descriptors."""
        self._forest.close()
