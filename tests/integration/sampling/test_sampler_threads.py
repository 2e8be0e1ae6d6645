"""A sampler across forks, and in the hands of many threads."""

from __future__ import annotations

import os
import sys
import threading
from typing import TYPE_CHECKING

import pytest
from support.elsewhere import in_child
from support.processes import Program
from support.sampling import WORKERS, open_descriptors

import prock

if TYPE_CHECKING:
    pass

pytestmark = pytest.mark.usefixtures("engine")


def test_a_forked_child(puppet: Program) -> None:
    puppet.does(WORKERS)
    before = open_descriptors()
    sampler = prock.TreeSampler(puppet.pid, accounting="ledger", io=True)
    for _ in range(4):
        puppet.does("all_work()")
        last = sampler.sample()

    def check() -> int:
        assert open_descriptors() - before <= {max(open_descriptors())} | set(range(3, 1000)) - kept
        assert not kept & open_descriptors() or not kept
        with pytest.raises(ValueError, match=r"belongs to process \d+.*fork"):
            sampler.sample()
        with pytest.raises(ValueError, match="fork"):
            sampler._forest.add()
        sampler.close()
        assert len(last.members) == 21
        with prock.TreeSampler() as own:
            return own.sample().process_count

    kept = open_descriptors() - before - {max(open_descriptors())}
    kept = {fd for fd in kept if os.path.exists(f"/proc/self/fd/{fd}")}
    assert in_child(check) == 1
    puppet.does("all_work()")
    assert sampler.sample().process_count == 21 and sampler.sample().denied == 0
    sampler.close()
    assert open_descriptors() == before


def test_a_fork_while_another_thread_takes_a_sample(puppet: Program) -> None:
    puppet.tell(repr("for _ in range(500): child(lambda: (tells(1), stay()))\ntold(500); say(0)"))
    puppet.hears()
    stop = threading.Event()
    failures: list[BaseException] = []

    def sample() -> None:
        try:
            while not stop.is_set():
                with prock.TreeSampler(puppet.pid, io=True, accounting="ledger") as sampler:
                    assert sampler.sample().process_count == 501
        except BaseException as failure:
            failures.append(failure)

    thread = threading.Thread(target=sample)
    thread.start()
    try:
        for _ in range(30):
            assert in_child(lambda: prock.TreeSampler(accounting="ledger").sample().process_count) == 1
    finally:
        stop.set()
        thread.join()
    assert failures == []


@pytest.mark.parametrize("interval", [1e-6, 0.005, 10])
def test_many_threads_share_a_sampler(puppet: Program, interval: float) -> None:
    puppet.does("grow(2, 3); told(14)")
    samples: list[prock.TreeSample] = []
    failures: list[BaseException] = []

    def ask() -> None:
        try:
            for _ in range(20):
                sample = sampler.sample()
                assert len(sample.members) == 15 and sample.root is not None
                samples.append(sample)
        except BaseException as failure:
            failures.append(failure)

    before = sys.getswitchinterval()
    sampler = prock.TreeSampler(puppet.pid, accounting="ledger", io=True)
    threads = [threading.Thread(target=ask) for _ in range(8)]
    sys.setswitchinterval(interval)
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        for thread in threads:
            assert not thread.is_alive()
    finally:
        sys.setswitchinterval(before)
    sampler.close()
    assert failures == [] and len(samples) == 160 and len({sample.cpu_ns for sample in samples}) == 1


def test_members_are_made_once_by_many_threads(puppet: Program) -> None:
    puppet.does("grow(2, 3); told(14)")
    failures: list[BaseException] = []
    sys.setswitchinterval(1e-6)
    try:
        with prock.TreeSampler(puppet.pid, accounting="ledger") as sampler:
            for _ in range(40):
                sample, together = sampler.sample(), threading.Barrier(4)
                made: list[object] = []

                def look(sample: prock.TreeSample = sample, together: threading.Barrier = together) -> None:
                    try:
                        together.wait()
                        made.append(sample.members)  # noqa: B023
                    except BaseException as failure:
                        failures.append(failure)

                threads = [threading.Thread(target=look) for _ in range(4)]
                for thread in threads:
                    thread.start()
                for thread in threads:
                    thread.join()
                assert failures == [] and all(one is sample.members for one in made)
    finally:
        sys.setswitchinterval(0.005)


def test_each_of_many_that_are_made_at_once_is_known_to_a_fork() -> None:
    together = threading.Barrier(8)
    made: list[prock.Forest] = []

    def make() -> None:
        together.wait()
        made.extend([prock.Forest(accounting="ledger") for _ in range(50)])

    threads = [threading.Thread(target=make) for _ in range(8)]
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(before)
    assert in_child(lambda: [forest for forest in made if forest.is_open]) == []
    assert len(made) == 400 and all(forest.is_open for forest in made)
    for forest in made:
        forest.close()
