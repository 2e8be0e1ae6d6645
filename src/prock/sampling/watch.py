"""Samples at an interval: `watch` for a loop, `awatch` for asyncio.

Deadlines lie on a grid from the baseline on. One whose time has passed before it could be met is left out and counted;
nothing is ever caught up.
"""

from __future__ import annotations

import time

from prock.sampling.sample import TreeSample
from prock.sampling.sampler import TreeSampler
from prock.sampling.schedule import Deadlines

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Generator

    from prock.engine.protocol import Engine

THREAD_FROM_NS = 5_000_000
"""A sample that costs more is taken beside the event loop, by a thread."""


def watch(
    root: int | None = None,
    interval: float = 1.0,
    *,
    count: int | None = None,
    memory: bool = True,
    io: bool = False,
    pss: bool = False,
    accounting: str = "auto",
    engine: Engine | None = None,
    clock: Callable[[], int] = time.monotonic_ns,
    sleep: Callable[[float], object] = time.sleep,
) -> Generator[TreeSample, None, None]:
    """A sample every `interval` seconds, the first an interval from now, until the tree is over or `count` are taken.

    The last sample of a tree that ended has `TreeTotals.is_over`. The baseline is taken, and what is wrong raised, by
    the call itself. Options and errors as of `TreeSampler`. Cost: as `Forest.sample`, each time.

    >>> [sample.process_count >= 1 for sample in watch(interval=0.01, count=2)]
    [True, True]
    """
    deadlines = Deadlines(interval, clock())
    sampler = TreeSampler(
        root, memory=memory, io=io, pss=pss, accounting=accounting, engine=engine, clock=clock
    )  # fmt: skip
    return _watch(sampler, deadlines, count, clock, sleep)


def _watch(
    sampler: TreeSampler,
    deadlines: Deadlines,
    count: int | None,
    clock: Callable[[], int],
    sleep: Callable[[float], object],
) -> Generator[TreeSample, None, None]:
    taken = 0
    with sampler:
        while count is None or taken < count:
            sleep(deadlines.remaining(clock()))
            due_ns, skipped = deadlines.take(clock())
            sample = sampler.sample(due_ns=due_ns, skipped=skipped)
            taken += 1
            yield sample
            if sample.is_over:
                return


async def awatch(
    root: int | None = None,
    interval: float = 1.0,
    *,
    count: int | None = None,
    memory: bool = True,
    io: bool = False,
    pss: bool = False,
    accounting: str = "auto",
    engine: Engine | None = None,
    clock: Callable[[], int] = time.monotonic_ns,
) -> AsyncGenerator[TreeSample, None]:
    """`watch` for ``async for``. The baseline is taken when the loop begins; cancelling it leaves nothing behind.

    Cost: as `Forest.sample`, each time; a sample that takes over 5 ms is taken by a thread, beside the event loop.

    >>> import asyncio
    >>> async def look():
    ...     async for sample in awatch(interval=0.01, count=1):
    ...         return sample.process_count >= 1
    >>> asyncio.run(look())
    True
    """
    import asyncio

    taken = 0
    cost_ns = 0
    deadlines = Deadlines(interval, clock())
    with TreeSampler(
        root, memory=memory, io=io, pss=pss, accounting=accounting, engine=engine, clock=clock
    ) as sampler:  # fmt: skip
        while count is None or taken < count:
            await asyncio.sleep(deadlines.remaining(clock()))
            due_ns, skipped = deadlines.take(clock())
            if cost_ns > THREAD_FROM_NS:
                sample = await asyncio.to_thread(sampler.sample, due_ns=due_ns, skipped=skipped)
            else:
                sample = sampler.sample(due_ns=due_ns, skipped=skipped)
            cost_ns = sample.cost_ns
            taken += 1
            yield sample
            if sample.is_over:
                return
