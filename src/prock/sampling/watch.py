"""Samples of a tree at a fixed interval: `watch` for a loop, `awatch` for asyncio."""

from __future__ import annotations

import time

from prock.sampling.sample import TreeSample
from prock.sampling.sampler import TreeSampler
from prock.sampling.schedule import Deadlines

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Generator
    from typing import Unpack

    from prock.engine.protocol import Engine
    from prock.sampling.options import SamplingKeywords

THREAD_FROM_NS = 5_000_000
"""If a sample costs more, a thread takes the next one, so that the event loop is not blocked."""


def watch(
    root: int | None = None,
    interval: float = 1.0,
    *,
    count: int | None = None,
    engine: Engine | None = None,
    clock: Callable[[], int] = time.monotonic_ns,
    sleep: Callable[[float], object] = time.sleep,
    **options: Unpack[SamplingKeywords],
) -> Generator[TreeSample, None, None]:
    """Yield a `TreeSample` of a process tree every `interval` seconds, until the tree has ended.

    The first sample comes one interval after the call, which takes the baseline. The last sample of a tree that has
    ended, reaped by its parent or not, has `TreeTotals.is_over`. A deadline that has passed is skipped and counted in
    `TreeTotals.skipped`.

    - `root`: pid of the root; default: the calling process.
    - `interval`: seconds between samples; default: 1.
    - `count`: stop after so many samples; default: unlimited.
    - `sleep`: called with the seconds to wait; default: `time.sleep`.
    - `options`, `engine`, `clock`: as of `TreeSampler`.

    Raises, at the call and not in the loop, what `TreeSampler` raises, and `ValueError` for an invalid interval.
    Cost: as `Forest.sample`, each time.

    >>> for sample in watch(interval=0.01, count=2):  # of a build: watch(build.pid)
    ...     print(sample.process_count >= 1)
    True
    True
    """
    deadlines = Deadlines(interval, clock())
    sampler = TreeSampler(root, engine=engine, clock=clock, **options)
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
            due_ns, skipped = deadlines.advance(clock())
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
    engine: Engine | None = None,
    clock: Callable[[], int] = time.monotonic_ns,
    **options: Unpack[SamplingKeywords],
) -> AsyncGenerator[TreeSample, None]:
    """`watch` for ``async for``. The baseline is taken when the loop begins. Cancelling the task closes everything.

    Parameters and errors: as of `watch`; errors are raised by the first iteration. Cost: as `Forest.sample`, each
    time. If a sample takes more than 5 ms of CPU, a thread takes the next one.

    >>> import asyncio
    >>> async def show_cpu_of_workers():
    ...     async for sample in awatch(interval=0.01, count=1):
    ...         return sample.process_count >= 1
    >>> asyncio.run(show_cpu_of_workers())
    True
    """
    import asyncio

    taken = 0
    cost_ns = 0
    deadlines = Deadlines(interval, clock())
    with TreeSampler(root, engine=engine, clock=clock, **options) as sampler:
        while count is None or taken < count:
            await asyncio.sleep(deadlines.remaining(clock()))
            due_ns, skipped = deadlines.advance(clock())
            if cost_ns > THREAD_FROM_NS:
                sample = await asyncio.to_thread(sampler.sample, due_ns=due_ns, skipped=skipped)
            else:
                sample = sampler.sample(due_ns=due_ns, skipped=skipped)
            cost_ns = sample.cost_ns
            taken += 1
            yield sample
            if sample.is_over:
                return
