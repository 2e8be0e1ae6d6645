"""`TreeSampler`: a `Forest` with a single tree."""

from __future__ import annotations

import time

from prock.model import Identity
from prock.sampling.forest import Forest
from prock.sampling.sample import TreeSample

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Unpack

    from prock.engine.protocol import Engine
    from prock.sampling.options import SamplingKeywords


class TreeSampler:
    """Samples one process tree. The constructor takes the baseline, so that the first sample has an interval, too.

    If access to a member is denied, the sample does not fail: `TreeTotals.denied` counts it. Threads may
    share a sampler; a forked child cannot use it.

    - `root`: pid of the root; default: the calling process.
    - `options`: see `SamplingOptions`.
    - `engine`, `clock`: source of rows and of monotonic nanoseconds. Default: those of this system.

    Raises `NoSuchProcess`; `AccessDenied` for a root that this user may not read; `ValueError` or `TypeError` for what
    cannot be a pid. Cost: construction as `Forest.add`, a sample as `Forest.sample`.

    >>> import zlib
    >>> with TreeSampler() as sampler:
    ...     packed = zlib.compress(bytes(2**25))  # the work to measure, such as one training epoch
    ...     sample = sampler.sample()
    >>> sample.cpu_ns > 0 and sample.rss_bytes > 2**20
    True
    """

    def __init__(
        self,
        root: int | None = None,
        *,
        engine: Engine | None = None,
        clock: Callable[[], int] = time.monotonic_ns,
        **options: Unpack[SamplingKeywords],
    ) -> None:
        self._forest = Forest((root,), engine=engine, clock=clock, **options)
        (self.root_pid,) = self._forest.roots
        self._tree = self._forest.tree(self.root_pid)

    @property
    def root(self) -> Identity:
        """Pid and start time of the root."""
        return self._tree.root

    @property
    def root_lives(self) -> bool:
        """Whether the root had not ended yet in the last sample. A zombie has, however late its parent reaps it."""
        return self._tree.root_lives

    def __enter__(self) -> TreeSampler:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def sample(self, *, due_ns: int | None = None, skipped: int = 0) -> TreeSample:
        """Sample the tree now; parameters, errors and cost as of `Forest.sample`."""
        return self._forest.sample(due_ns=due_ns, skipped=skipped)[self.root_pid]

    def close(self) -> None:
        """Close all file descriptors. A sample after that raises `ValueError`."""
        self._forest.close()
