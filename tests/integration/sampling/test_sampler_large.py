"""Large trees, each made once and followed by two engines."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack

import pytest
from support.processes import Program

import prock
from prock.engine import active, open_engine


@pytest.fixture
def samplers(puppet: Program) -> Iterator[list[prock.TreeSampler]]:
    with ExitStack() as stack:
        yield [
            stack.enter_context(prock.TreeSampler(puppet.pid, accounting="ledger", io=True, engine=engine))
            for engine in (active, open_engine("pure"))
        ]


def test_a_deep_chain(puppet: Program, samplers: list[prock.TreeSampler]) -> None:
    puppet.does("grow(1, 200); told(200)")
    for sampler in samplers:
        sample = sampler.sample()
        assert sample.process_count == 201 == len(sample.members)
        assert [row.subtree_process_count for row in sample.members] == list(range(201, 0, -1))
        assert [row.ppid for row in sample.members[1:]] == [row.pid for row in sample.members[:-1]]


def test_a_wide_tree(puppet: Program, samplers: list[prock.TreeSampler]) -> None:
    puppet.tell(repr("for _ in range(2000): child(lambda: (tells(1), stay()))\ntold(2000); say(0)"))
    puppet.hears()
    for sampler in samplers:
        sample = sampler.sample()
        assert sample.process_count == 2001 and sample.root is not None and sample.root.subtree_process_count == 2001
        assert (sample.appeared, sample.vanished, sample.denied) == (2000, 0, 0)
        again = sampler.sample()
        assert again.process_count == 2001 and again.appeared == 0 and again.cpu_ns >= sample.cpu_ns
