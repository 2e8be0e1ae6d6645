"""Samples at an interval: watch and awatch, their deadlines, and what they leave behind."""

from __future__ import annotations

import asyncio
import gc
import itertools
import math

import pytest
from support.processes import Program
from support.sampling import MS, Time, members, open_descriptors

import prock

pytestmark = pytest.mark.usefixtures("engine")


class Sleeper(Time):
    """Sleeping moves its clock; and it can be stopped for longer."""

    def __init__(self, *stops: float) -> None:
        super().__init__()
        self.stops = dict(enumerate(stops))
        self.slept: list[float] = []

    def sleep(self, seconds: float) -> None:
        self.passes(seconds + self.stops.get(len(self.slept), 0))
        self.slept.append(seconds)


def test_as_many_as_asked_for(puppet: Program) -> None:
    clock = Sleeper()
    samples = list(prock.watch(puppet.pid, 0.5, count=4, clock=clock, sleep=clock.sleep))
    assert [sample.interval_ns for sample in samples] == [500 * MS] * 4 == [round(s * 1e9) for s in clock.slept]
    assert [sample.wall_ns for sample in samples] == [500 * MS * number for number in range(1, 5)]
    assert all(sample.late_ns == sample.skipped == 0 for sample in samples)
    assert list(prock.watch(puppet.pid, count=0)) == []


def test_a_machine_that_was_stopped_catches_nothing_up(puppet: Program) -> None:
    clock = Sleeper(0, 10.3, 0, 0)
    samples = list(prock.watch(puppet.pid, 1.0, count=4, clock=clock, sleep=clock.sleep))
    assert [sample.skipped for sample in samples] == [0, 10, 0, 0]
    assert [round(sample.late_ns / 1e8) for sample in samples] == [0, 3, 0, 0]
    assert clock.slept == [pytest.approx(s) for s in (1.0, 1.0, 0.7, 1.0)]
    assert samples[1].cpu_percent is not None and samples[1].interval_ns == 11_300 * MS


def test_a_clock_that_jumps_backwards(puppet: Program) -> None:
    clock = Sleeper(0, -5, 0)
    samples = list(prock.watch(puppet.pid, 1.0, count=3, clock=clock, sleep=clock.sleep))
    assert [sample.cpu_percent is None for sample in samples] == [False, True, False]
    assert all(earlier.cpu_ns <= later.cpu_ns for earlier, later in itertools.pairwise(samples))
    assert all(sample.late_ns >= 0 and sample.skipped == 0 for sample in samples)


def test_the_last_sample_of_a_tree_that_ends(puppet: Program) -> None:
    (pid,) = puppet.does("one = child(); say(one)")
    clock = Sleeper()
    samples = []
    for sample in prock.watch(pid, clock=clock, sleep=clock.sleep):
        samples.append(sample)
        if len(samples) == 3:
            puppet.does("os.kill(one, 9); os.waitpid(one, 0)")
    assert [sample.is_over for sample in samples] == [False, False, False, True]
    assert samples[-1].root is None and samples[-1].cpu_ns >= samples[-2].cpu_ns and samples[-1].ended == 1


def test_a_root_that_is_not_reaped(puppet: Program) -> None:
    """A zombie has ended, however late its parent reaps it: its last CPU time counts, and reaping it adds nothing."""
    (pid,) = puppet.does("one = child(lambda: (gate(), burn(0.05))); say(one)")
    clock = Sleeper()
    with prock.TreeSampler(pid, accounting="ledger", clock=clock) as sampler:
        assert sampler.sample().root is not None and sampler.root_lives
        watching = prock.watch(pid, accounting="ledger", clock=clock, sleep=clock.sleep)
        assert not next(watching).is_over
        puppet.does("open_gate(); has_ended(one)")
        (last,) = watching
        after = sampler.sample()
        for sample in (last, after):
            assert sample.is_over and sample.members == () and sample.root is None and sample.ended == 1
            assert (sample.process_count, sample.thread_count, sample.rss_bytes) == (0, 0, 0)
            assert sample.cpu_ns >= 40 * MS
        assert not sampler.root_lives
        puppet.does("os.wait()")
        reaped = sampler.sample()
        assert reaped.is_over and (reaped.ended, reaped.cpu_ns) == (0, after.cpu_ns)


def test_a_root_that_is_not_reaped_while_others_go_on(puppet: Program) -> None:
    """The tree is over when they have ended; the zombie is a member until then."""
    root, other = puppet.does("libc.prctl(36, 1)\nroot = child(lambda: (tells(child()), gate())); say(root, told()[0])")
    with prock.TreeSampler(root, accounting="ledger") as sampler:
        assert set(members(sampler.sample())) == {root, other} and sampler.root_lives
        puppet.does("open_gate(); has_ended(root)")
        sample = sampler.sample()
        assert sample.root is None and not sampler.root_lives and not sample.is_over
        assert set(members(sample)) == {root, other} and sample.ended == 0
        puppet.does(f"os.kill({other}, 9); os.waitpid({other}, 0)")
        sample = sampler.sample()
        assert sample.is_over and sample.ended == 2 and sample.members == ()


def test_a_root_whose_main_thread_has_ended_goes_on(puppet: Program) -> None:
    (pid,) = puppet.does("""
def lead():
    threading.Thread(target=lambda: (gate(), os._exit(0))).start()
    libc.syscall(60, 0)  # exit of this thread alone, on x86-64
one = child(lead)
while open(f'/proc/{one}/stat').read().rsplit(')')[1].split()[0] != 'Z': pass
say(one)""")
    clock = Sleeper()
    samples = []
    for sample in prock.watch(pid, clock=clock, sleep=clock.sleep):
        samples.append(sample)
        if len(samples) == 3:
            assert sample.root is not None and sample.root.state == "Z"
            puppet.does("open_gate(); has_ended(one)")
    assert [sample.is_over for sample in samples] == [False, False, False, True]


def test_trackers_of_a_root_that_is_not_reaped(puppet: Program) -> None:
    (pid,) = puppet.does("one = child(gate); say(one)")
    trackers = prock.DeltaTracker(), prock.CumulativeTracker()
    assert all(tracker.get_tree_cpu_percent(pid) is not None for tracker in trackers)
    puppet.does("open_gate(); has_ended(one)")
    assert trackers[0].get_tree_cpu_percent(pid) is None and trackers[0].prune_dead() == 0
    assert trackers[1].prune_dead() == 1 and trackers[1].get_tree_cpu_percent(pid) is None
    assert prock.DeltaTracker().get_tree_cpu_percent(pid) is None


def test_what_is_wrong_is_said_by_the_call(dead_pid: int) -> None:
    before = open_descriptors()
    for interval in (0, -1, math.nan, math.inf, 1e7):
        with pytest.raises(ValueError, match="invalid interval"):
            prock.watch(interval=interval)
        with pytest.raises(ValueError, match="invalid interval"):
            prock.Monitor(interval)
    with pytest.raises(prock.NoSuchProcess):
        prock.watch(dead_pid)
    with pytest.raises(TypeError):
        prock.watch(interval="1")  # type: ignore[arg-type]
    assert open_descriptors() == before


@pytest.mark.parametrize("begun", [False, True])
def test_one_that_is_left_gives_back_its_descriptors(puppet: Program, begun: bool) -> None:
    puppet.does("grow(3, 1); told(3)")
    before = open_descriptors()
    clock = Sleeper()
    watching = prock.watch(puppet.pid, io=True, clock=clock, sleep=clock.sleep)
    for _ in range(3 if begun else 0):
        puppet.does("burn(time.process_time() + 0.01); os.waitpid(child(lambda: None), 0)")
        assert len(members(next(watching))) == 4
    watching.close()
    del watching
    gc.collect()
    assert open_descriptors() == before


def test_a_real_clock(puppet: Program) -> None:
    samples = list(prock.watch(puppet.pid, 0.01, count=5))
    assert all(sample.interval_ns > 0 and sample.late_ns >= 0 for sample in samples)
    assert all(sample.suspended_ns == 0 for sample in samples)
    due = [sample.taken_ns - sample.late_ns for sample in samples]
    assert all((later - earlier) % (10 * MS) == 0 for earlier, later in itertools.pairwise(due))


def test_for_asyncio(puppet: Program) -> None:
    async def look() -> list[prock.TreeSample]:
        return [sample async for sample in prock.awatch(puppet.pid, 0.01, count=3)]

    before = open_descriptors()
    samples = asyncio.run(look())
    assert [sample.process_count for sample in samples] == [1, 1, 1] and open_descriptors() == before


@pytest.mark.parametrize("by_thread", [False, True])
def test_cancelling_leaves_nothing(puppet: Program, by_thread: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Wherever it waits: no descriptor, no task."""
    monkeypatch.setattr("prock.sampling.watch.THREAD_FROM_NS", 0 if by_thread else 10**18)
    puppet.does("grow(3, 1); told(3)")

    async def look(taken: list[prock.TreeSample], enough: asyncio.Event) -> None:
        async for sample in prock.awatch(puppet.pid, 0.002, io=True):
            taken.append(sample)
            if len(taken) == 5:
                enough.set()

    async def cancel() -> None:
        taken: list[prock.TreeSample] = []
        enough = asyncio.Event()
        task = asyncio.create_task(look(taken, enough))
        await enough.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert asyncio.all_tasks() == {asyncio.current_task()}
        assert all(sample.process_count == 4 for sample in taken)

    before = open_descriptors()
    asyncio.run(cancel())
    gc.collect()
    assert open_descriptors() == before


def test_the_end_of_a_tree_ends_awatch(puppet: Program) -> None:
    (pid,) = puppet.does("one = child(); say(one)")

    async def look() -> list[bool]:
        found = []
        async for sample in prock.awatch(pid, 0.001):
            found.append(sample.is_over)
            if len(found) == 2:
                puppet.does("os.kill(one, 9); os.waitpid(one, 0)")
        return found

    found = asyncio.run(look())
    assert found[-1] and not any(found[:-1])


def test_awatch_says_what_is_wrong(dead_pid: int) -> None:
    async def look(pid: int | None, interval: float) -> None:
        async for _ in prock.awatch(pid, interval):
            pass

    with pytest.raises(ValueError, match="invalid interval"):
        asyncio.run(look(None, 0))
    with pytest.raises(prock.NoSuchProcess):
        asyncio.run(look(dead_pid, 1))
